/* SPDX-License-Identifier: Apache-2.0 */
#include "media/listen.h"

#include <stdlib.h>
#include <string.h>
#include <spandsp.h>
#include "base/log.h"
#include "media/audio.h"
#include "media/digits.h"
#include "media/play.h"
#include "media/record.h"
#include "media/relay.h"
#include "media/wire.h"

#define LAST_DIGIT   15      /* events above are flash, fax and lines (RFC 4733 section 3.2) */
#define LATE_S       5       /* packets of a digit that is over may come so much later */
#define GAP_US       20000   /* digits of one stream are not reported faster on the average */
#define BURST        32      /* but a network that held them back may deliver so many at once */
#define SEGMENT_MAX  0xffffu /* RFC 4733 section 2.5.1.3 */

#define TONE_HZ       8000
#define TONE_SAMPLES  (TONE_HZ / 1000 * AUDIO_FRAME_MS)
#define TONE_LEAST    (-36.0f) /* dBm0: quieter ones are not keys */
#define TONE_TWIST    8.0f     /* dB between the two frequencies, and the other way round */
#define TONE_REVERSE  4.0f
#define TONE_DELAY    2        /* frames: a key is recognised within 40 ms of its beginning */

/* The sound of a stream, looked at for tones. */
struct listen {
	struct listen *prev, *next; /* relay->listeners */
	struct stream *stream;
	dtmf_rx_state_t *keys;
	modem_connect_tones_rx_state_t *cng, *ced;
	struct audio_rate *rate;
	uint32_t rate_hz;
	/* a key that is heard now */
	char key;
	int level_dbm0;
	uint32_t ticks;
	/* what the receivers said within this tick */
	char began;
	bool ended;
	int fax; /* enum mp_fax_tone, -1 none */
	struct audio_frame late[TONE_DELAY + 1];
	unsigned at;
};

/* ------------------------------------------------------------------ telling */

static bool is_flood(struct listen_event *event, uint64_t now_us)
{
	if (event->credit_us + BURST * GAP_US < now_us)
		event->credit_us = now_us - BURST * GAP_US;
	if (event->credit_us + GAP_US > now_us)
		return true;
	event->credit_us += GAP_US;
	return false;
}

static void tell(struct relay *relay, struct stream *stream, uint8_t event, uint32_t ms)
{
	struct relay_ev ev = { .type = REV_DIGIT, .id = stream->id, .lease = stream->lease };

	if (is_flood(&stream->digit, relay->now_us))
		return;
	ev.u.digit.event = event;
	ev.u.digit.duration_ms = ms;
	relay_event(relay, &ev, true);
	play_digit(relay, stream, event);
	record_digit(relay, stream, event);
}

/* The peer that hears digits in another way than they come; NULL: none, or it hears something else. */
static struct stream *translated(const struct stream *stream)
{
	struct stream *peer = stream->peer;

	return peer && !stream->digit.passes && !stream->music && !peer->music && !peer->playing ? peer : NULL;
}

/* ------------------------------------------------------------------ RFC 4733 */

/*
 * Events pass untouched between phones that count alike, while the sound around them passes too:
 * then their numbers fit among it.
 */
static bool may_pass(const struct stream *stream, const struct stream *peer)
{
	return peer && peer->dtmf_tx == MEDIA_DTMF_EVENT && peer->dtmf_pt >= 0 &&
	       !peer->digits.active && stream->clock_hz == peer->clock_hz &&
	       stream->dtmf_hz == peer->dtmf_hz &&
	       (!peer->out.started || (peer->out.source == OUT_BRIDGE && peer->out.source_id == stream->id));
}

static void finish(struct relay *relay, struct stream *stream)
{
	struct listen_event *digit = &stream->digit;
	uint64_t units = (uint64_t)digit->before + digit->duration;
	uint32_t ms = (uint32_t)(units * 1000 / stream->dtmf_hz);
	struct stream *peer = translated(stream);

	digit->active = false;
	digit->any_done = true;
	digit->done_ts = digit->ts;
	if (peer)
		digits_release(peer, ms);
	tell(relay, stream, digit->event, ms);
}

static void begin(struct relay *relay, struct stream *stream, const struct hdr_rtp *hdr,
		  const struct hdr_event *event)
{
	struct listen_event *digit = &stream->digit;
	struct stream *peer;

	digit->active = true;
	relay_due(relay, relay->now_us + MEDIA_DIGIT_STALE_US);
	digit->passes = may_pass(stream, stream->peer);
	digit->event = event->event;
	digit->volume = event->volume;
	digit->ssrc = hdr->ssrc;
	digit->ts = hdr->ts;
	digit->before = 0;
	digit->duration = 0;
	peer = translated(stream);
	if (peer)
		digits_press(relay, peer, event->event, event->volume);
}

/* The end is sent three times, and what was sent before may arrive after it. */
static bool is_over(const struct stream *stream, const struct hdr_rtp *hdr)
{
	const struct listen_event *digit = &stream->digit;
	int32_t since = (int32_t)(hdr->ts - digit->done_ts);

	return digit->any_done && digit->ssrc == hdr->ssrc && since <= 0 &&
	       since > -(int32_t)(LATE_S * stream->dtmf_hz + SEGMENT_MAX);
}

/* A key that stays pressed longer than sixteen bits can say. */
static bool goes_on(const struct listen_event *digit, const struct hdr_rtp *hdr,
		    const struct hdr_event *event)
{
	return digit->event == event->event && hdr->ts - digit->ts == SEGMENT_MAX;
}

bool listen_event(struct relay *relay, struct stream *stream, const struct hdr_rtp *hdr,
		  const uint8_t *data)
{
	struct listen_event *digit = &stream->digit;
	struct hdr_event event;

	if (hdr_event_parse(&event, data + hdr->payload_at, hdr->payload_len))
		return false;
	if (event.event > LAST_DIGIT)
		return may_pass(stream, stream->peer);
	if (is_over(stream, hdr))
		return digit->passes;

	if (digit->active && (digit->ts != hdr->ts || digit->ssrc != hdr->ssrc)) {
		/* Late packet of a digit nobody missed, or of a segment, whose timestamp is that of its begin. */
		if (digit->ssrc == hdr->ssrc && (int32_t)(hdr->ts - digit->ts) < 0 &&
		    (int32_t)(hdr->ts - digit->ts) > -(int32_t)(LATE_S * stream->dtmf_hz + SEGMENT_MAX))
			return digit->passes;
		if (goes_on(digit, hdr, &event)) {
			digit->before += SEGMENT_MAX;
			digit->ts = hdr->ts;
			digit->duration = 0;
		} else {
			finish(relay, stream); /* its end was lost */
		}
	}
	if (!digit->active)
		begin(relay, stream, hdr, &event);

	if (event.duration > digit->duration)
		digit->duration = event.duration;
	digit->seen_us = relay->now_us;
	if (event.end)
		finish(relay, stream);
	return digit->passes;
}

void listen_stale(struct relay *relay, struct stream *stream)
{
	if (stream->digit.active && relay->now_us - stream->digit.seen_us >= MEDIA_DIGIT_STALE_US)
		finish(relay, stream);
	if (stream->digit.active)
		relay_due(relay, stream->digit.seen_us + MEDIA_DIGIT_STALE_US);
}

/* ------------------------------------------------------------------ tones in the sound */

bool listen_translates(const struct stream *stream)
{
	const struct stream *peer = stream->peer;

	return stream->listen && stream->listen->keys && peer && peer != stream &&
	       peer->dtmf_tx != MEDIA_DTMF_INBAND;
}

const struct audio_frame *listen_without_tones(struct stream *stream, const struct audio_frame *frame)
{
	struct listen *listen = stream->listen;

	if (!listen_translates(stream))
		return frame;
	/* The oldest place is free for the newest frame, which listen_tick() has already judged. */
	listen->late[listen->at] = *frame;
	if (listen->key) {
		memset(listen->late[listen->at].v, 0, sizeof(frame->v));
		listen->late[listen->at].silent = true;
	}
	listen->at = (listen->at + 1) % (TONE_DELAY + 1);
	frame = &listen->late[listen->at];
	return frame->hz ? frame : &listen->late[(listen->at + TONE_DELAY) % (TONE_DELAY + 1)];
}

/* What waits to be passed on is the beginning of a key. */
static void silence_late(struct listen *listen)
{
	for (int i = 0; i <= TONE_DELAY; i++) {
		memset(listen->late[i].v, 0, sizeof(listen->late[i].v));
		listen->late[i].silent = true;
	}
}

/* spandsp tells a key when it begins, and 0 when it ends. */
static void key_h(void *arg, int code, int level, int delay)
{
	struct listen *listen = arg;

	if (code) {
		listen->began = (char)code;
		listen->level_dbm0 = level;
	} else {
		listen->ended = true;
	}
}

static void fax_h(void *arg, int code, int level, int delay)
{
	struct listen *listen = arg;

	if (code == MODEM_CONNECT_TONES_FAX_CNG)
		listen->fax = MP_FAX_CNG;
	else if (code == MODEM_CONNECT_TONES_FAX_CED)
		listen->fax = MP_FAX_CED;
}

static bool takes_events(const struct stream *peer)
{
	return peer->dtmf_tx == MEDIA_DTMF_EVENT && peer->dtmf_pt >= 0 && !peer->music && !peer->playing;
}

static void key_ends(struct relay *relay, struct listen *listen)
{
	struct stream *stream = listen->stream;
	uint32_t ms = listen->ticks * AUDIO_FRAME_MS;
	int event = wire_event_of(listen->key);

	listen->key = 0;
	if (listen_translates(stream) && takes_events(stream->peer))
		digits_release(stream->peer, ms);
	if (event >= 0)
		tell(relay, stream, (uint8_t)event, ms);
}

static void key_begins(struct relay *relay, struct listen *listen)
{
	struct stream *stream = listen->stream;
	int event = wire_event_of(listen->began);
	int volume = listen->level_dbm0 < 0 ? -listen->level_dbm0 : 0;

	listen->key = listen->began;
	listen->ticks = 2; /* it was there before it was recognised */
	silence_late(listen);
	if (event >= 0 && listen_translates(stream) && takes_events(stream->peer))
		digits_press(relay, stream->peer, (uint8_t)event, (uint8_t)(volume < 63 ? volume : 63));
}

static const int16_t *at_8khz(struct listen *listen, const struct audio_frame *frame,
			      struct audio_frame *room)
{
	if (frame->hz == TONE_HZ)
		return frame->v;
	if (listen->rate_hz != frame->hz) {
		audio_rate_free(listen->rate);
		listen->rate = NULL;
		listen->rate_hz = 0;
		if (audio_rate_alloc(&listen->rate, frame->hz, TONE_HZ))
			return NULL;
		listen->rate_hz = frame->hz;
	}
	audio_rate_change(listen->rate, room, frame);
	return room->v;
}

static void listen_to(struct relay *relay, struct listen *listen, const struct audio_frame *frame)
{
	struct audio_frame room;
	const int16_t *pcm = at_8khz(listen, frame, &room);
	struct mp_fax *msg;

	if (!pcm)
		return; /* out of memory: this frame is not listened to */

	listen->began = 0;
	listen->ended = false;
	listen->fax = -1;
	if (listen->keys)
		(void)dtmf_rx(listen->keys, pcm, TONE_SAMPLES);
	if (listen->cng) {
		(void)modem_connect_tones_rx(listen->cng, pcm, TONE_SAMPLES);
		(void)modem_connect_tones_rx(listen->ced, pcm, TONE_SAMPLES);
	}

	if (listen->key)
		listen->ticks++;
	if (listen->key && (listen->ended || listen->began))
		key_ends(relay, listen);
	if (listen->began)
		key_begins(relay, listen);
	if (listen->fax >= 0) {
		msg = relay_tell(relay, listen->stream, MP_FAX, true);
		if (msg)
			msg->tone = (uint32_t)listen->fax;
	}
}

void listen_tick(struct relay *relay)
{
	for (struct listen *listen = relay->listeners; listen; listen = listen->next) {
		const struct audio_frame *frame = audio_heard(listen->stream);

		if (frame)
			listen_to(relay, listen, frame);
	}
}

static void listen_free(struct listen *listen)
{
	if (!listen)
		return;
	if (listen->keys)
		dtmf_rx_free(listen->keys);
	if (listen->cng)
		modem_connect_tones_rx_free(listen->cng);
	if (listen->ced)
		modem_connect_tones_rx_free(listen->ced);
	audio_rate_free(listen->rate);
	free(listen);
}

static struct listen *listen_alloc(struct stream *stream, uint32_t flags)
{
	struct listen *listen = calloc(1, sizeof(*listen));

	if (!listen)
		return NULL;
	listen->stream = stream;
	listen->fax = -1;
	if (flags & MP_LISTEN_INBAND) {
		listen->keys = dtmf_rx_init(NULL, NULL, NULL);
		if (listen->keys) {
			dtmf_rx_set_realtime_callback(listen->keys, key_h, listen);
			dtmf_rx_parms(listen->keys, 0, TONE_TWIST, TONE_REVERSE, TONE_LEAST);
		}
	}
	if (flags & MP_LISTEN_FAX) {
		listen->cng = modem_connect_tones_rx_init(NULL, MODEM_CONNECT_TONES_FAX_CNG, fax_h, listen);
		listen->ced = modem_connect_tones_rx_init(NULL, MODEM_CONNECT_TONES_FAX_CED, fax_h, listen);
	}
	if (((flags & MP_LISTEN_INBAND) && !listen->keys) ||
	    ((flags & MP_LISTEN_FAX) && (!listen->cng || !listen->ced))) {
		listen_free(listen);
		return NULL;
	}
	return listen;
}

void listen_enter(struct relay *relay, struct stream *stream)
{
	struct listen *listen = stream->listen;

	if (!listen)
		return;
	listen->prev = NULL;
	listen->next = relay->listeners;
	if (relay->listeners)
		relay->listeners->prev = listen;
	relay->listeners = listen;
}

void listen_leave(struct relay *relay, struct stream *stream)
{
	struct listen *listen = stream->listen;

	if (!listen)
		return;
	if (listen->prev)
		listen->prev->next = listen->next;
	else
		relay->listeners = listen->next;
	if (listen->next)
		listen->next->prev = listen->prev;
}

void listen_close(struct stream *stream)
{
	listen_free(stream->listen);
	stream->listen = NULL;
}

void listen_on_listen(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	uint32_t flags = ((const struct mp_listen *)hdr)->flags;
	int err;

	listen_leave(relay, stream);
	listen_close(stream);
	if (flags) {
		stream->listen = listen_alloc(stream, flags);
		if (!stream->listen)
			log_error("media.listen.memory", "no memory to listen for keys in the sound");
		listen_enter(relay, stream);
	}
	err = audio_want(relay, stream, AUDIO_WANT_DIGITS, stream->listen != NULL);
	if (err)
		log_warn("media.listen.codec", "keys cannot be heard in this sound", kv_err(err));
	if (stream->peer)
		audio_bridged(relay, stream); /* it may have to pass as samples now, or no longer */
}
