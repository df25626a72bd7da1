/* SPDX-License-Identifier: Apache-2.0 */
#include "media/audio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <speex/speex_resampler.h>
#include "base/log.h"
#include "media/codec.h"
#include "media/jitter.h"
#include "media/mend.h"
#include "media/relay.h"
#include "media/repack.h"

#define RATE_QUALITY 3 /* of 10: inaudible on a telephone, and cheap */

#define HELD_MS    160 /* longest packet, a frame, and one stretched step */
#define ROUNDS     16  /* packets taken in one tick at most */
#define QUIET_PEAK 150 /* such sound may be cut or stretched at any time */
#define OVER_QUIET_MS 25 /* too long a delay is shortened: in silence */
#define OVER_LOUD_MS  50 /* ... and in the middle of a word */
#define UNDER_MS      5  /* too short a one is made longer */
#define LOUD_TICKS    5  /* between two steps that might be heard */

#define BACK_PACKETS 25 /* that would pass, one after the other: then they do again */

#define ALIVE_US  1000000  /* after the last packet the receiver gets silence, then nothing */
#define PAUSED_US 60000000 /* ... when the sender had said that it would be silent */
#define IDLE_US   5000000  /* an encoder that nobody used is freed */

#define PT_COMFORT_NOISE 13 /* RFC 3389 */
#define PASS_NONE        UINT32_MAX
#define RATES            3 /* 8000, 16000, 48000 */

/* What a stream's phone says. */
struct hear {
	struct jitter *jitter;
	struct codec_dec *decs[MP_MAX_FORMATS]; /* made when their first packet comes */
	struct codec_dec *dec;                  /* of the last packet */
	uint32_t hz;                            /* rate that is wanted of them */
	int16_t *pcm;                           /* decoded, not played yet */
	size_t n, room;
	uint8_t loud_wait;
	bool started, paused;
	uint64_t last_at_us;
	struct audio_frame frame;
};

/* What it shall hear. */
struct say {
	const struct codec *codec;
	struct codec_enc *enc;
	uint8_t pt;
	bool dtx;
	uint32_t ptime_ms;
	struct audio_rate *rates[RATES]; /* to the encoder's, by the rate of what is spoken */
	bool spoke;                      /* in this tick */
	bool talking;                    /* and in the one before */
	bool sent;                       /* since it began to talk */
	bool marker;
	uint32_t ts;                     /* of pcm[0] */
	uint64_t spoke_at_us;
	int16_t *pcm;
	size_t n;
	uint8_t joined[64]; /* frames of G.729 that make a packet */
	size_t joined_len;
	uint32_t joined_ts;
	struct audio_frame frame;
};

struct audio {
	struct stream *stream;
	struct audio *prev, *next; /* of the relay's list */
	unsigned wants;
	unsigned could_pass; /* packets */
	struct hear *hear;
	struct say *say;
	const struct audio_frame *told;
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

static unsigned rate_index(uint32_t hz)
{
	return hz <= 8000 ? 0 : hz <= 16000 ? 1 : 2;
}

/* ------------------------------------------------------------------ formats */

static const struct codec *codec_of(const struct mp_format *format)
{
	return codec_find(format->codec, format->clock_hz);
}

/* The format that we send when we make the sound; NULL: we cannot. */
static const struct mp_format *format_out(const struct stream *stream)
{
	for (unsigned i = 0; i < stream->n_formats; i++)
		if (codec_of(&stream->formats[i]))
			return &stream->formats[i];
	return NULL;
}

static const struct mp_format *format_in(const struct stream *stream, uint8_t pt)
{
	for (unsigned i = 0; i < stream->n_formats; i++)
		if (stream->formats[i].pt_in == pt)
			return &stream->formats[i];
	return NULL;
}

/* The receiver's format that is the same as the sender's. */
static const struct mp_format *format_same(const struct stream *to, const struct mp_format *format)
{
	for (unsigned i = 0; i < to->n_formats; i++)
		if (to->formats[i].codec == format->codec &&
		    to->formats[i].clock_hz == format->clock_hz)
			return &to->formats[i];
	return NULL;
}

static uint32_t highest_hz(const struct mp_format *format)
{
	uint32_t hz = format ? codec_hz(codec_of(format), UINT32_MAX) : 8000;

	/* An Opus decoder that plays 8000 gains nothing from more. */
	return format && format->max_hz && format->max_hz < hz ? codec_hz(codec_of(format), format->max_hz)
							       : hz;
}

void audio_lost(struct stream *stream, unsigned percent)
{
	if (stream->audio && stream->audio->say)
		codec_enc_loss(stream->audio->say->enc, percent);
}

uint32_t audio_hz(const struct stream *stream)
{
	return highest_hz(format_out(stream));
}

/* ------------------------------------------------------------------ hearing: life */

/* Enough for those who listen, and no more than the encoder at the other end has use for. */
static uint32_t hz_wanted(const struct stream *stream, unsigned wants)
{
	if (wants & AUDIO_WANT_ROOM)
		return AUDIO_MAX_HZ;
	return (wants & AUDIO_WANT_BRIDGE) && stream->peer ? audio_hz(stream->peer) : 16000;
}

static void hear_forget(struct hear *hear)
{
	for (int i = 0; i < MP_MAX_FORMATS; i++) {
		codec_dec_free(hear->decs[i]);
		hear->decs[i] = NULL;
	}
	hear->dec = NULL;
	hear->n = 0;
}

static void hear_free(struct hear *hear)
{
	if (!hear)
		return;
	hear_forget(hear);
	jitter_free(hear->jitter);
	free(hear->pcm);
	free(hear);
}

/* Room for a longer time at a higher rate. */
static bool hear_room(struct hear *hear, uint32_t hz)
{
	size_t room = hz / 1000 * HELD_MS;
	int16_t *pcm;

	if (room <= hear->room)
		return true;
	pcm = realloc(hear->pcm, room * sizeof(*pcm));
	if (!pcm)
		return false;
	hear->pcm = pcm;
	hear->room = room;
	return true;
}

/* The decoder of a format; NULL: out of memory. */
static struct codec_dec *hear_dec(struct hear *hear, const struct stream *stream,
				  const struct mp_format *format)
{
	struct codec_dec **dec = &hear->decs[format - stream->formats];
	const struct codec *codec = codec_of(format);

	if (!*dec && (!hear_room(hear, codec_hz(codec, hear->hz)) ||
		      codec_dec_alloc(dec, codec, codec_hz(codec, hear->hz))))
		return NULL;
	return *dec;
}

static int hear_alloc(struct hear **ret, const struct stream *stream, unsigned wants)
{
	const struct mp_format *format = format_out(stream);
	struct hear *hear = calloc(1, sizeof(*hear));
	int err;

	if (!hear)
		return -ENOMEM;
	hear->hz = hz_wanted(stream, wants);
	hear->frame.hz = 8000;
	hear->frame.silent = true;
	err = jitter_alloc(&hear->jitter, format ? format->clock_hz : 8000);
	/* Most phones send what they prefer; other decoders are made when their packets come. */
	if (!err && format && !hear_dec(hear, stream, format))
		err = -ENOMEM;
	if (err) {
		hear_free(hear);
		return err;
	}
	*ret = hear;
	return 0;
}

/* ------------------------------------------------------------------ speaking: life */

static void say_free(struct say *say)
{
	if (!say)
		return;
	codec_enc_free(say->enc);
	for (int i = 0; i < RATES; i++)
		audio_rate_free(say->rates[i]);
	free(say->pcm);
	free(say);
}

/* An encoder for sound of hz. */
static int say_alloc(struct say **ret, const struct stream *stream, uint32_t hz)
{
	const struct mp_format *format = format_out(stream);
	struct codec_opts opts = { 0 };
	struct say *say;
	int err;

	if (!format)
		return -ENOTSUP;
	say = calloc(1, sizeof(*say));
	if (!say)
		return -ENOMEM;

	say->codec = codec_of(format);
	say->pt = format->pt_out;
	say->ptime_ms = codec_ptime(say->codec, stream->ptime_ms);
	say->dtx = format->flags & MP_FORMAT_DTX;
	opts.hz = codec_hz(say->codec, hz < highest_hz(format) ? hz : highest_hz(format));
	opts.max_hz = format->max_hz;
	opts.fec = format->flags & MP_FORMAT_FEC;
	opts.dtx = say->dtx;
	say->frame.hz = opts.hz;
	say->pcm = malloc(opts.hz / 1000 * (CODEC_MAX_PTIME + AUDIO_FRAME_MS) * sizeof(*say->pcm));
	err = say->pcm ? codec_enc_alloc(&say->enc, say->codec, &opts) : -ENOMEM;
	if (err) {
		say_free(say);
		return err;
	}
	*ret = say;
	return 0;
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
		err = hear_alloc(&audio->hear, stream, now);
		if (err)
			return err;
	}
	audio->wants = now;
	if (!now) {
		hear_free(audio->hear); /* the rest goes at the end of the tick, when nobody looks at it */
		audio->hear = NULL;
	} else if (audio->hear->hz != hz_wanted(stream, now)) {
		audio->hear->hz = hz_wanted(stream, now);
		hear_forget(audio->hear);
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
	if (audio && audio->hear) {
		hear_forget(audio->hear);
		audio->hear->hz = hz_wanted(stream, audio->wants);
	}
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
	const struct codec *codec = codec_of(in);
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
	if (!codec_of(in) || !format_out(peer)) {
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
		(void)say_alloc(&other->say, peer, highest_hz(in));
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

/* ------------------------------------------------------------------ hearing */

void audio_take(struct relay *relay, struct stream *stream, const struct hdr_rtp *hdr,
		const uint8_t *payload)
{
	struct hear *hear = stream->audio->hear;
	const struct mp_format *format;
	const struct codec *codec;
	uint32_t span;

	if (!hear)
		return;
	if (hdr->pt == PT_COMFORT_NOISE) {
		hear->paused = true;
		hear->last_at_us = relay->now_us;
		return;
	}
	format = format_in(stream, hdr->pt);
	codec = format ? codec_of(format) : NULL;
	span = codec ? codec_span(codec, payload, hdr->payload_len) : 0;
	if (!span)
		return; /* digits, or nothing that we know */

	if (codec->clock_hz != jitter_clock_hz(hear->jitter))
		jitter_restart(hear->jitter, codec->clock_hz);
	hear->paused = codec_is_pause(codec, payload, hdr->payload_len);
	hear->last_at_us = relay->now_us;
	jitter_put(hear->jitter, hdr, payload, span, hear->paused && codec->id == MEDIA_G729,
		   relay->now_us);
	if (codec_repeats(codec, payload, hdr->payload_len))
		jitter_expect_repeats(hear->jitter, span, relay->now_us);
}

/* Samples that so many units of the clock are, at the rate of the decoder. */
static size_t samples_of(const struct hear *hear, uint32_t units)
{
	return (size_t)((uint64_t)units * hear->frame.hz / jitter_clock_hz(hear->jitter));
}

static uint32_t ms_of(const struct hear *hear, uint32_t units)
{
	return (uint32_t)((uint64_t)units * 1000 / jitter_clock_hz(hear->jitter));
}

static void invent(struct hear *hear, size_t n)
{
	n = n < hear->room - hear->n ? n : hear->room - hear->n;
	if (hear->dec)
		codec_conceal(hear->dec, hear->pcm + hear->n, n);
	else
		memset(hear->pcm + hear->n, 0, n * sizeof(*hear->pcm));
	hear->n += n;
}

/* The decoder of a packet's format becomes the present one. */
static bool use_dec(struct hear *hear, const struct stream *stream, uint8_t pt)
{
	const struct mp_format *format = format_in(stream, pt);
	struct codec_dec *dec = format && codec_of(format) ? hear_dec(hear, stream, format) : NULL;

	if (!dec)
		return false; /* the formats have changed since it came */
	if (codec_dec_hz(dec) != hear->frame.hz) {
		hear->frame.hz = codec_dec_hz(dec);
		hear->n = 0; /* sound of another rate cannot be joined to it */
	}
	hear->dec = dec;
	return true;
}

static void take_played(struct hear *hear, struct stream *stream, const struct jitter_next *next)
{
	int n;

	stream->concealed_ms += ms_of(hear, next->bridged);
	if (!use_dec(hear, stream, next->pt))
		return;
	n = codec_decode(hear->dec, hear->pcm + hear->n, hear->room - hear->n, next->data, next->len);
	if (n >= 0) {
		hear->n += (size_t)n;
		return;
	}
	invent(hear, samples_of(hear, next->span));
	stream->concealed_ms += ms_of(hear, next->span);
	hear->frame.concealed = true;
}

static void take_lost(struct hear *hear, struct stream *stream, const struct jitter_next *next)
{
	size_t n = samples_of(hear, next->span);

	if (next->adjacent && use_dec(hear, stream, next->pt) && n <= hear->room - hear->n &&
	    codec_decode_before(hear->dec, hear->pcm + hear->n, n, next->data, next->len)) {
		hear->n += n;
		return;
	}
	invent(hear, n);
	stream->concealed_ms += ms_of(hear, next->span);
	hear->frame.concealed = true;
}

/* Takes packets until a frame is there, or nothing comes. */
static void hear_fill(struct hear *hear, struct stream *stream, uint64_t now_us)
{
	uint32_t tick = jitter_clock_hz(hear->jitter) / 1000 * AUDIO_FRAME_MS;
	struct jitter_next next;

	for (int i = 0; i < ROUNDS && hear->n < hear->frame.hz / 1000 * AUDIO_FRAME_MS; i++) {
		jitter_next(hear->jitter, &next, tick, now_us);
		switch (next.verdict) {
		case JITTER_PLAY:
			hear->started = true;
			take_played(hear, stream, &next);
			break;
		case JITTER_LOST:
			take_lost(hear, stream, &next);
			break;
		case JITTER_DRY:
			invent(hear, samples_of(hear, tick));
			hear->frame.concealed = true;
			break;
		case JITTER_PAUSE:
			return;
		}
	}
}

static bool is_quiet(const int16_t *pcm, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pcm[i] > QUIET_PEAK || pcm[i] < -QUIET_PEAK)
			return false;
	return true;
}

/* Brings the delay nearer to what it should be, by a step that is hardly heard. */
static void hear_adapt(struct hear *hear, struct stream *stream, uint64_t now_us)
{
	uint32_t hz = hear->frame.hz, ticks = (uint32_t)(hear->n * 1000 / hz / AUDIO_FRAME_MS);
	int32_t over_ms = jitter_over_ms(hear->jitter, ticks * AUDIO_FRAME_MS, now_us);
	size_t most = hz / 1000 * 2 * AUDIO_FRAME_MS, n;
	bool quiet;

	if (hear->loud_wait)
		hear->loud_wait--;
	if (over_ms <= OVER_QUIET_MS && over_ms >= -UNDER_MS)
		return;

	n = hear->n < most ? hear->n : most;
	quiet = is_quiet(hear->pcm, n);
	if (!quiet && (hear->loud_wait || (over_ms > 0 && over_ms <= OVER_LOUD_MS)))
		return;
	hear->loud_wait = quiet ? 0 : LOUD_TICKS;

	if (over_ms > 0) {
		size_t left = mend_shorten(hear->pcm, n, hz);

		memmove(hear->pcm + left, hear->pcm + n, (hear->n - n) * sizeof(*hear->pcm));
		hear->n -= n - left;
		hear_fill(hear, stream, now_us);
	} else if (hear->n == n && hear->n + hz / 1000 * MEND_STEP_MS <= hear->room) {
		hear->n = mend_lengthen(hear->pcm, n, hz);
	}
}

static bool is_alive(const struct hear *hear, uint64_t now_us)
{
	return hear->started && now_us - hear->last_at_us < (hear->paused ? PAUSED_US : ALIVE_US);
}

/* What is between talkspurts: the decoder's comfort noise when it has one, else silence. */
static void fill_pause(struct hear *hear, size_t frame, uint64_t now_us)
{
	if (hear->dec && is_alive(hear, now_us) && codec_has_noise(hear->dec)) {
		invent(hear, frame - hear->n);
		return;
	}
	hear->frame.silent = !hear->n;
	memset(hear->pcm + hear->n, 0, (frame - hear->n) * sizeof(*hear->pcm));
	hear->n = frame;
}

static void hear_tick(struct hear *hear, struct stream *stream, uint64_t now_us)
{
	size_t frame;

	hear->frame.concealed = false;
	hear->frame.silent = false;
	hear_fill(hear, stream, now_us);
	frame = hear->frame.hz / 1000 * AUDIO_FRAME_MS;
	if (hear->n >= frame)
		hear_adapt(hear, stream, now_us);
	frame = hear->frame.hz / 1000 * AUDIO_FRAME_MS; /* another format may have come */
	if (!hear_room(hear, hear->frame.hz)) {
		hear->frame.silent = true;
		memset(hear->frame.v, 0, sizeof(hear->frame.v));
		return;
	}
	if (hear->n < frame)
		fill_pause(hear, frame, now_us);

	memcpy(hear->frame.v, hear->pcm, frame * sizeof(*hear->pcm));
	hear->n -= frame;
	memmove(hear->pcm, hear->pcm + frame, hear->n * sizeof(*hear->pcm));
	stream->delay_ms = jitter_delay_ms(hear->jitter, (uint32_t)(hear->n * 1000 / hear->frame.hz),
					   now_us);
}

void audio_tick_hear(struct relay *relay)
{
	for (struct audio *a = relay->audios; a; a = a->next)
		if (a->hear)
			hear_tick(a->hear, a->stream, relay->now_us);
}

const struct audio_frame *audio_heard(const struct stream *stream)
{
	return stream->audio && stream->audio->hear ? &stream->audio->hear->frame : NULL;
}

void audio_tick_bridge(struct relay *relay)
{
	for (struct audio *a = relay->audios; a; a = a->next) {
		struct stream *stream = a->stream;

		if (!(a->wants & AUDIO_WANT_BRIDGE) || !path_passes(stream) || stream->digit.active ||
		    !is_alive(a->hear, relay->now_us))
			continue;
		audio_speak(relay, stream->peer, listen_without_tones(stream, &a->hear->frame));
	}
}

/* ------------------------------------------------------------------ speaking */

static int16_t add(int16_t a, int16_t b)
{
	int32_t sum = (int32_t)a + b;

	return (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
}

static void mix(struct say *say, const struct audio_frame *frame)
{
	size_t n = say->frame.hz / 1000 * AUDIO_FRAME_MS;

	if (!say->spoke) {
		memcpy(say->frame.v, frame->v, n * sizeof(*frame->v));
		say->frame.silent = frame->silent;
		say->frame.concealed = frame->concealed;
		return;
	}
	for (size_t i = 0; i < n && !frame->silent; i++)
		say->frame.v[i] = add(say->frame.v[i], frame->v[i]);
	say->frame.silent &= frame->silent;
	say->frame.concealed |= frame->concealed;
}

/* Another encoder when the sound of a new talkspurt is richer or poorer than the old one could say. */
static bool say_ready(struct audio *audio, const struct audio_frame *frame)
{
	struct say *say = audio->say;
	uint32_t hz;

	if (say && !say->talking && !say->spoke) {
		hz = codec_hz(say->codec, frame->hz < audio_hz(audio->stream) ? frame->hz
									      : audio_hz(audio->stream));
		if (hz == say->frame.hz)
			return true;
		say_free(say);
		audio->say = NULL;
	}
	return audio->say || !say_alloc(&audio->say, audio->stream, frame->hz);
}

void audio_speak(struct relay *relay, struct stream *stream, const struct audio_frame *frame)
{
	struct audio *audio = audio_get(relay, stream);
	struct audio_frame changed;
	struct audio_rate **rate;
	struct say *say;

	if (!audio || !say_ready(audio, frame))
		return;
	say = audio->say;
	if (frame->hz != say->frame.hz) {
		rate = &say->rates[rate_index(frame->hz)];
		if (!*rate && audio_rate_alloc(rate, frame->hz, say->frame.hz))
			return;
		audio_rate_change(*rate, &changed, frame);
		frame = &changed;
	}
	mix(say, frame);
	say->spoke = true;
	say->spoke_at_us = relay->now_us;
}

static uint32_t units_of(const struct say *say, size_t samples)
{
	return (uint32_t)((uint64_t)samples * say->codec->clock_hz / say->frame.hz);
}

static void say_send(struct relay *relay, struct stream *stream, struct say *say, uint32_t ts,
		     const uint8_t *data, size_t len)
{
	struct hdr_rtp hdr = { .pt = say->pt, .marker = say->marker, .ts = ts };

	relay_send_own(relay, stream, OUT_AUDIO, &hdr, data, len);
	say->marker = false;
	say->sent = true;
}

static void send_joined(struct relay *relay, struct stream *stream, struct say *say)
{
	if (say->joined_len)
		say_send(relay, stream, say, say->joined_ts, say->joined, say->joined_len);
	say->joined_len = 0;
}

/* Samples leave the buffer; time goes on. */
static void say_consume(struct say *say, size_t n)
{
	say->ts += units_of(say, n);
	say->n -= n;
	memmove(say->pcm, say->pcm + n, say->n * sizeof(*say->pcm));
}

/*
 * G.729 with annex B, frame by frame: a packet ends with a comfort noise frame or before what is not
 * sent (RFC 3551 section 4.5.6).
 */
static void say_frames(struct relay *relay, struct stream *stream, struct say *say)
{
	size_t frame = say->frame.hz / 1000 * say->codec->frame_ms;
	size_t full = say->ptime_ms / say->codec->frame_ms * say->codec->frame_bytes;
	uint8_t data[CODEC_MAX_BYTES];

	while (say->n >= frame) {
		int len = codec_encode(say->enc, data, sizeof(data), say->pcm, frame);

		if (len > 0 && say->joined_len + (size_t)len <= sizeof(say->joined)) {
			if (!say->joined_len)
				say->joined_ts = say->ts;
			memcpy(say->joined + say->joined_len, data, (size_t)len);
			say->joined_len += (size_t)len;
		}
		if (len < say->codec->frame_bytes || say->joined_len >= full) {
			send_joined(relay, stream, say);
			say->marker |= len < say->codec->frame_bytes;
		}
		say_consume(say, frame);
	}
}

static void say_packets(struct relay *relay, struct stream *stream, struct say *say)
{
	size_t packet = say->frame.hz / 1000 * say->ptime_ms;
	uint8_t data[CODEC_MAX_BYTES];

	while (say->n >= packet) {
		int len = codec_encode(say->enc, data, sizeof(data), say->pcm, packet);

		if (len > 0)
			say_send(relay, stream, say, say->ts, data, (size_t)len);
		else
			say->marker = true; /* after silence that is not sent a talkspurt begins */
		say_consume(say, packet);
	}
}

static void say_encode(struct relay *relay, struct stream *stream, struct say *say)
{
	if (say->dtx && say->codec->frame_bytes)
		say_frames(relay, stream, say);
	else
		say_packets(relay, stream, say);
}

/* The first frame after silence, or after somebody else has sent. */
static void say_begin(struct relay *relay, struct stream *stream, struct say *say)
{
	say->n = 0;
	say->joined_len = 0;
	say->ts = out_begin_ts(&stream->out, say->codec->clock_hz, relay->now_us);
	say->marker = true;
	say->talking = true;
	say->sent = false;
}

/* What is less than a packet is filled up with silence. */
static void say_finish(struct relay *relay, struct stream *stream, struct say *say)
{
	size_t packet = say->frame.hz / 1000 * say->ptime_ms, rest = say->n % packet;

	say->talking = false;
	if (say->sent && stream->out.source != OUT_AUDIO)
		return;
	if (rest) {
		memset(say->pcm + say->n, 0, (packet - rest) * sizeof(*say->pcm));
		say->n += packet - rest;
		say_encode(relay, stream, say);
	}
	send_joined(relay, stream, say);
}

static void say_tick(struct relay *relay, struct stream *stream, struct say *say)
{
	size_t frame = say->frame.hz / 1000 * AUDIO_FRAME_MS;

	if (!relay_may_send(stream) || (stream->digits.active && !digits_are_tones(stream))) {
		say->talking = false; /* nothing can be sent, or digits take its place */
		return;
	}
	if (!say->spoke) {
		if (say->talking)
			say_finish(relay, stream, say);
		return;
	}
	if (!say->talking || (say->sent && stream->out.source != OUT_AUDIO))
		say_begin(relay, stream, say);
	memcpy(say->pcm + say->n, say->frame.v, frame * sizeof(*say->pcm));
	say->n += frame;
	say_encode(relay, stream, say);
}

void audio_tick_speak(struct relay *relay)
{
	for (struct audio *a = relay->audios; a; a = a->next)
		if (a->say)
			say_tick(relay, a->stream, a->say);
}

/* ------------------------------------------------------------------ what was said */

bool audio_said_wanted(const struct stream *stream)
{
	return wants(stream, AUDIO_WANT_RECORD);
}

void audio_tell_said(struct stream *stream, const struct audio_frame *frame)
{
	if (stream->audio)
		stream->audio->told = frame;
}

const struct audio_frame *audio_said(const struct stream *stream)
{
	const struct audio *audio = stream->audio;

	if (!audio || !(audio->wants & AUDIO_WANT_RECORD))
		return NULL;
	if (audio->say && audio->say->spoke)
		return &audio->say->frame;
	if (audio->told)
		return audio->told;
	return stream->peer && path_passes(stream->peer) ? audio_heard(stream->peer) : NULL;
}

void audio_tick_end(struct relay *relay)
{
	struct audio *next;

	for (struct audio *a = relay->audios; a; a = next) {
		struct stream *peer = a->stream->peer;

		next = a->next;
		a->told = NULL;
		if (a->say)
			a->say->spoke = false;
		if (a->say && relay->now_us - a->say->spoke_at_us > IDLE_US &&
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
