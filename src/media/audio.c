/* SPDX-License-Identifier: Apache-2.0 */
#include "media/audio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <speex/speex_resampler.h>
#include "base/log.h"
#include "media/codec.h"
#include "media/formats.h"
#include "media/hear.h"
#include "media/relay.h"
#include "media/repack.h"
#include "media/say.h"

#define RATE_QUALITY 3  /* of 10: inaudible on a telephone, and cheap */
#define BACK_PACKETS 25 /* that would pass, one after the other: then they do again */
#define PASS_NONE    UINT32_MAX

struct audio {
	struct stream *stream;
	struct audio *prev, *next; /* of the relay's list */
	unsigned wants;
	unsigned could_pass; /* packets */
	struct hear *hear;   /* NULL: nobody wants to hear it */
	struct say *say;     /* NULL: nothing was said of late */
};

struct audio_rate {
	SpeexResamplerState *state;
	uint32_t to_hz;
};

/* ------------------------------------------------------------------ rates */

int audio_rate_alloc(struct audio_rate **ret, uint32_t from_hz, uint32_t to_hz)
{
	struct audio_rate *rate = calloc(1, sizeof(*rate));
	int err;

	if (!rate)
		return -ENOMEM;
	rate->to_hz = to_hz;
	rate->state = speex_resampler_init(1, from_hz, to_hz, RATE_QUALITY, &err);
	if (!rate->state) {
		free(rate);
		return -ENOMEM;
	}
	*ret = rate;
	return 0;
}

void audio_rate_free(struct audio_rate *rate)
{
	if (!rate)
		return;
	speex_resampler_destroy(rate->state);
	free(rate);
}

void audio_rate_change(struct audio_rate *rate, struct audio_frame *ret, const struct audio_frame *frame)
{
	spx_uint32_t in = frame->hz / 1000 * AUDIO_FRAME_MS, n = rate->to_hz / 1000 * AUDIO_FRAME_MS;
	spx_uint32_t out = n;

	ret->hz = rate->to_hz;
	ret->silent = frame->silent;
	ret->concealed = frame->concealed;
	(void)speex_resampler_process_int(rate->state, 0, frame->v, &in, ret->v, &out);
	if (out < n) /* a sample more or less when it begins */
		memset(ret->v + out, 0, (n - out) * sizeof(*ret->v));
}

/* ------------------------------------------------------------------ a stream's audio: life */

void audio_enter(struct relay *relay, struct stream *stream)
{
	struct audio *audio = stream->audio;

	if (!audio)
		return;
	audio->prev = NULL;
	audio->next = relay->audios;
	if (relay->audios)
		relay->audios->prev = audio;
	relay->audios = audio;
	relay_tick_need(relay);
}

void audio_leave(struct relay *relay, struct stream *stream)
{
	struct audio *audio = stream->audio;

	if (!audio)
		return;
	if (audio->prev)
		audio->prev->next = audio->next;
	else
		relay->audios = audio->next;
	if (audio->next)
		audio->next->prev = audio->prev;
	relay_tick_need(relay);
}

void audio_close(struct stream *stream)
{
	if (stream->audio) {
		hear_free(stream->audio->hear);
		say_free(stream->audio->say);
		free(stream->audio);
		stream->audio = NULL;
	}
	repack_free(stream->repack);
	stream->repack = NULL;
}

static struct audio *audio_get(struct relay *relay, struct stream *stream)
{
	if (stream->audio)
		return stream->audio;
	stream->audio = calloc(1, sizeof(*stream->audio));
	if (!stream->audio)
		return NULL;
	stream->audio->stream = stream;
	audio_enter(relay, stream);
	return stream->audio;
}

/* Enough for those who listen, and no more than the encoder at the other end has use for. */
static uint32_t hz_wanted(const struct stream *stream, unsigned wants)
{
	if (wants & AUDIO_WANT_ROOM)
		return AUDIO_MAX_HZ;
	return (wants & AUDIO_WANT_BRIDGE) && stream->peer ? audio_hz(stream->peer) : 16000;
}

static bool wants(const struct stream *stream, unsigned reasons)
{
	return stream->audio && stream->audio->wants & reasons;
}

static int want_set(struct relay *relay, struct stream *stream, unsigned reason, bool on)
{
	struct audio *audio;
	unsigned now;
	int err;

	if (!on && !stream->audio)
		return 0;
	if (on && (stream->video || (stream->n_formats && !format_out(stream))))
		return -ENOTSUP;
	audio = audio_get(relay, stream);
	if (!audio)
		return -ENOMEM;

	now = on ? audio->wants | reason : audio->wants & ~reason;
	if (now && !audio->hear) {
		err = hear_alloc(&audio->hear, stream, hz_wanted(stream, now));
		if (err)
			return err;
	}
	audio->wants = now;
	if (!now) {
		hear_free(audio->hear); /* the rest goes at the end of the tick, when nobody looks at it */
		audio->hear = NULL;
	} else {
		hear_set_hz(audio->hear, hz_wanted(stream, now));
	}
	return 0;
}

/* What the recorded stream hears is what its peer says. */
static void link_said(struct relay *relay, struct stream *stream)
{
	bool on = stream->peer && stream->peer != stream && wants(stream->peer, AUDIO_WANT_RECORD);

	if (on != wants(stream, AUDIO_WANT_SAID))
		(void)want_set(relay, stream, AUDIO_WANT_SAID, on); /* else half of it is silent */
}

int audio_want(struct relay *relay, struct stream *stream, enum audio_want reason, bool on)
{
	int err = want_set(relay, stream, reason, on);

	if (!err && reason == AUDIO_WANT_RECORD && stream->peer)
		link_said(relay, stream->peer);
	return err;
}

static void route_forget(struct relay *relay, struct stream *stream)
{
	stream->pass_key = PASS_NONE;
	repack_free(stream->repack);
	stream->repack = NULL;
	if (wants(stream, AUDIO_WANT_BRIDGE))
		(void)want_set(relay, stream, AUDIO_WANT_BRIDGE, false); /* off cannot fail */
}

void audio_bridged(struct relay *relay, struct stream *stream)
{
	route_forget(relay, stream);
	route_forget(relay, stream->peer);
	link_said(relay, stream);
	link_said(relay, stream->peer);
}

void audio_unbridge(struct relay *relay, struct stream *stream)
{
	route_forget(relay, stream);
	route_forget(relay, stream->peer);
	(void)want_set(relay, stream, AUDIO_WANT_SAID | AUDIO_WANT_MIX, false); /* off cannot fail */
	(void)want_set(relay, stream->peer, AUDIO_WANT_SAID | AUDIO_WANT_MIX, false);
}

void audio_formats_changed(struct relay *relay, struct stream *stream)
{
	struct audio *audio = stream->audio;

	route_forget(relay, stream);
	if (stream->peer)
		route_forget(relay, stream->peer);
	if (audio && audio->hear)
		hear_renew(audio->hear, hz_wanted(stream, audio->wants));
	if (audio) {
		say_free(audio->say);
		audio->say = NULL;
	}
}

/* ------------------------------------------------------------------ routes */

static bool lengths_differ(const struct stream *to, const struct codec *codec, const struct hdr_rtp *hdr,
			   const uint8_t *payload)
{
	uint32_t span;

	if (!to->ptime_ms || !codec || !codec->frame_bytes || codec_is_pause(codec, payload, hdr->payload_len))
		return false; /* it did not ask; or it takes any length: Opus, RFC 7587 section 4.2 */
	span = codec_span(codec, payload, hdr->payload_len);
	return span && span != codec->clock_hz / 1000 * codec_ptime(codec, to->ptime_ms);
}

static void pass_set(struct stream *stream, const struct hdr_rtp *hdr, uint8_t pt, bool any_length)
{
	stream->pass_mask = any_length ? 0x7f : UINT32_MAX;
	stream->pass_key = audio_pass_key(hdr) & stream->pass_mask;
	stream->pass_pt = pt;
}

/* The same codec at both ends: as it is, or in packets of another length. */
static bool route_same(struct relay *relay, struct stream *stream, const struct mp_format *in,
		       const struct mp_format *out, const struct hdr_rtp *hdr, const uint8_t *payload)
{
	const struct codec *codec = format_codec(in);
	struct stream *peer = stream->peer;

	if (wants(stream, AUDIO_WANT_BRIDGE)) {
		if (++stream->audio->could_pass < BACK_PACKETS)
			return false; /* a sender that changes all the time is not followed */
		route_forget(relay, stream);
	}
	if (stream->repack || lengths_differ(peer, codec, hdr, payload)) {
		if (!stream->repack &&
		    repack_alloc(&stream->repack, codec, codec_ptime(codec, peer->ptime_ms), out->pt_out))
			return false;
		repack_take(relay, stream, stream->repack, hdr, payload);
		return false;
	}
	/* Payloads of other lengths come here again, to be looked at. */
	pass_set(stream, hdr, out->pt_out, !peer->ptime_ms || !codec || !codec->frame_bytes);
	return true;
}

static void say_impossible(struct relay *relay, const struct mp_format *in, const struct stream *peer)
{
	if (relay->told_no_codec)
		return;
	relay->told_no_codec = true;
	log_warn("media.transcode.impossible",
		 "the two sides of a call have no format in common, and one is not understood here: "
		 "it stays silent. Give both accounts a codec of the list that is not video",
		 kv_int("from_codec", in->codec), kv_int("from_payload_type", in->pt_in),
		 kv_int("to_payload_type", peer->n_formats ? peer->formats[0].pt_out : -1));
}

/* No format in common: the sound is made anew. */
static bool route_slow(struct relay *relay, struct stream *stream, const struct mp_format *in)
{
	struct stream *peer = stream->peer;
	struct audio *other;

	stream->pass_key = PASS_NONE;
	if (wants(stream, AUDIO_WANT_BRIDGE)) {
		stream->audio->could_pass = 0;
		return false;
	}
	if (!format_codec(in) || !format_out(peer)) {
		say_impossible(relay, in, peer);
		return false;
	}
	if (want_set(relay, stream, AUDIO_WANT_BRIDGE, true))
		return false;
	stream->transcoded = true;
	stream->audio->could_pass = 0;
	/* The encoder is made now, not when the first frame is to be sent. */
	other = audio_get(relay, peer);
	if (other && !other->say)
		(void)say_alloc(&other->say, peer, format_highest_hz(in));
	return false;
}

bool audio_route(struct relay *relay, struct stream *stream, const struct hdr_rtp *hdr,
		 const uint8_t *payload)
{
	struct stream *peer = stream->peer;
	const struct mp_format *in = format_in(stream, hdr->pt), *out;

	/* Digits and what was not agreed go as they came; a digit's packets are numbered anew. */
	if (stream->dtmf_pt_in >= 0 && peer->dtmf_pt >= 0 && hdr->pt == stream->dtmf_pt_in) {
		pass_set(stream, hdr, (uint8_t)peer->dtmf_pt, false);
		return true;
	}
	if (!in && wants(stream, AUDIO_WANT_BRIDGE)) {
		stream->pass_key = PASS_NONE;
		return false; /* comfort noise, perhaps: its timestamps are not those that we send */
	}
	if (!in || !peer->n_formats || stream->video) {
		out = in && in->codec != MEDIA_CODEC_OTHER ? format_same(peer, in) : NULL;
		pass_set(stream, hdr, out ? out->pt_out : hdr->pt, true);
		return true;
	}
	if (in->codec == MEDIA_CODEC_OTHER) {
		pass_set(stream, hdr, hdr->pt, true);
		return true;
	}
	if (listen_translates(stream))
		return route_slow(relay, stream, in);
	out = format_same(peer, in);
	return out ? route_same(relay, stream, in, out, hdr, payload) : route_slow(relay, stream, in);
}

/* ------------------------------------------------------------------ the ticks */

/* All that the stream says is decoded here, none of it passes. */
static bool is_only_heard(const struct audio *audio)
{
	return audio->hear && (audio->wants & AUDIO_WANT_ROOM ||
			       (audio->wants & AUDIO_WANT_BRIDGE && audio->stream->pass_key == PASS_NONE));
}

void audio_take(struct relay *relay, struct stream *stream, const struct hdr_rtp *hdr,
		const uint8_t *payload)
{
	if (stream->audio->hear)
		hear_take(stream->audio->hear, stream, hdr, payload, relay->now_us);
}

/*
 * Codecs drive what belongs to hundreds of streams out of the cache. Each step of a tick fetches what it
 * touches of the next stream while it works for this one, and of the one after that what leads there.
 */
static void prefetch_paths(const struct audio *audio)
{
	const struct stream *stream = audio->stream;

	__builtin_prefetch(&stream->wire);
	__builtin_prefetch(&stream->flags);
	__builtin_prefetch(&stream->slot);
	__builtin_prefetch(audio->hear);
	__builtin_prefetch(audio->say);
}

static void prefetch_read(const struct audio *audio)
{
	const struct stream *stream = audio->stream;

	if (stream->slot)
		__builtin_prefetch(&stream->slot->resting);
	__builtin_prefetch(&stream->rx_packets);
	__builtin_prefetch(&stream->in);
	if (audio->hear)
		hear_prefetch(audio->hear);
}

static void prefetch_hear(const struct audio *audio)
{
	__builtin_prefetch(&audio->stream->concealed_ms);
	if (audio->hear)
		hear_prefetch(audio->hear);
}

static void prefetch_speak(const struct audio *audio)
{
	const struct stream *stream = audio->stream;

	__builtin_prefetch(&stream->tx_packets);
	__builtin_prefetch(&stream->out.ts_add);
	__builtin_prefetch(&stream->digits.active);
	if (stream->slot)
		__builtin_prefetch(stream->slot);
	if (audio->say)
		say_prefetch(audio->say);
}

static void prefetch(const struct audio *next, void (*step)(const struct audio *))
{
	if (!next)
		return;
	step(next);
	if (next->next)
		prefetch_paths(next->next);
}

void audio_tick_read(struct relay *relay)
{
	for (struct audio *a = relay->audios; a; a = a->next) {
		prefetch(a->next, prefetch_read);
		if (a->hear && a->stream->slot && a->stream->slot->resting)
			path_readable(relay, &a->stream->slot->rtp);
	}
}

void audio_tick_hear(struct relay *relay)
{
	for (struct audio *a = relay->audios; a; a = a->next) {
		prefetch(a->next, prefetch_hear);
		if (a->hear)
			hear_tick(a->hear, a->stream, relay->now_us);
	}
}

const struct audio_frame *audio_heard(const struct stream *stream)
{
	return stream->audio && stream->audio->hear ? hear_frame(stream->audio->hear) : NULL;
}

void audio_tick_bridge(struct relay *relay)
{
	for (struct audio *a = relay->audios; a; a = a->next) {
		struct stream *stream = a->stream;

		if (!(a->wants & AUDIO_WANT_BRIDGE) || !path_passes(stream) || stream->digit.active ||
		    !hear_is_alive(a->hear, relay->now_us))
			continue;
		audio_speak(relay, stream->peer, listen_without_tones(stream, hear_frame(a->hear)));
	}
}

/* The encoder for a frame. A new talkspurt may get another one. NULL: there is none. */
static struct say *say_for(struct audio *audio, const struct audio_frame *frame)
{
	if (audio->say && !say_suits(audio->say, audio->stream, frame->hz)) {
		say_free(audio->say);
		audio->say = NULL;
	}
	if (!audio->say && say_alloc(&audio->say, audio->stream, frame->hz))
		return NULL;
	return audio->say;
}

void audio_speak(struct relay *relay, struct stream *stream, const struct audio_frame *frame)
{
	struct audio *audio = audio_get(relay, stream);
	struct say *say = audio ? say_for(audio, frame) : NULL;

	if (say)
		(void)say_add(say, frame, relay->now_us); /* out of memory: it is not heard */
}

void audio_tick_speak(struct relay *relay)
{
	for (struct audio *a = relay->audios; a; a = a->next) {
		prefetch(a->next, prefetch_speak);
		if (a->say)
			say_tick(relay, a->stream, a->say);
	}
}

void audio_lost(struct stream *stream, unsigned percent)
{
	if (stream->audio && stream->audio->say)
		say_expect_loss(stream->audio->say, percent);
}

uint32_t audio_hz(const struct stream *stream)
{
	return format_highest_hz(format_out(stream));
}

/* ------------------------------------------------------------------ what was said */

bool audio_said_wanted(const struct stream *stream)
{
	return wants(stream, AUDIO_WANT_RECORD);
}

const struct audio_frame *audio_said(const struct stream *stream)
{
	const struct audio *audio = stream->audio;

	if (!audio || !(audio->wants & AUDIO_WANT_RECORD))
		return NULL;
	if (audio->say && say_said(audio->say))
		return say_said(audio->say);
	return stream->peer && path_passes(stream->peer) ? audio_heard(stream->peer) : NULL;
}

static enum rest rest_of(const struct audio *audio)
{
	if (audio->hear && (is_only_heard(audio) || audio->stream->music))
		return REST_HEARD;
	return audio->stream->music ? REST_HELD : REST_NONE;
}

void audio_tick_end(struct relay *relay)
{
	struct audio *next;

	for (struct audio *a = relay->audios; a; a = next) {
		struct stream *peer = a->stream->peer;

		next = a->next;
		relay_rest(relay, a->stream, rest_of(a));
		if (a->say)
			say_tick_end(a->say);
		if (a->say && say_is_idle(a->say, relay->now_us) &&
		    !(peer && wants(peer, AUDIO_WANT_BRIDGE))) {
			say_free(a->say);
			a->say = NULL;
		}
		if (!a->wants && !a->say) {
			audio_leave(relay, a->stream);
			a->stream->audio = NULL;
			free(a);
		}
	}
}
