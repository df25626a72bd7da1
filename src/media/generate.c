/* SPDX-License-Identifier: Apache-2.0 */
#include "media/relay.h"

#include "base/log.h"
#include "media/moh.h"

/* What the relay sends by itself: music on hold and digits. Every RELAY_TICK_MS, relay thread only. */

#define DIGIT_PAUSE_US 60000 /* between two digits */
#define DIGIT_ENDS     3     /* the end is sent three times: RFC 4733 section 2.5.1.4 */
#define DIGIT_VOLUME   10    /* -10 dBm0 */
#define DIGIT_MIN_MS   40
#define DIGIT_MAX_MS   6000 /* 16 bits of duration at 8 kHz hold 8 s */

static void send_own(struct relay *relay, struct stream *stream, enum out_source source,
		     struct hdr_rtp *hdr, const uint8_t *payload, size_t len)
{
	uint8_t head[HDR_RTP_BYTES];
	struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)payload, len } };

	out_own(&stream->out, source, hdr, relay->now_us);
	hdr_rtp_write(head, hdr);
	path_send(relay, stream, iov, 2);
}

static bool may_send(const struct stream *stream)
{
	return (stream->flags & MP_REMOTE_SEND) && net_addr_isset(&stream->dst);
}

/* ------------------------------------------------------------------ music */

static void music_tick(struct relay *relay, struct stream *stream)
{
	struct hdr_rtp hdr = { .pt = stream->pt };
	const struct moh_track *track;
	const uint8_t *payload;
	uint32_t n = stream->ptime_ms >= 2 * MOH_FRAME_MS ? stream->ptime_ms / MOH_FRAME_MS : 1;
	size_t len;

	track = moh_track(atomic_load_explicit(relay->moh, memory_order_acquire), stream->codec,
			  stream->clock_hz);
	if (!track || !may_send(stream)) {
		stream->music_marker = true; /* silence ends with the next packet */
		return;
	}
	if (stream->music_wait) {
		stream->music_wait--;
		return;
	}

	if (stream->music_frame >= track->n_frames)
		stream->music_frame = 0;
	len = moh_payload(track, stream->music_frame, &n, &payload);

	if (stream->music_marker || stream->out.source != OUT_MUSIC) {
		out_start_own(&stream->out, relay->now_us);
		hdr.ts = out_next_ts(&stream->out, stream->clock_hz, relay->now_us);
		if (hdr.ts == stream->out.ts)
			hdr.ts += track->frame_ts; /* what came before fills at least one frame */
		hdr.marker = true;
	} else {
		hdr.ts = stream->music_ts;
	}
	stream->music_marker = false;
	stream->music_ts = hdr.ts + n * track->frame_ts;
	stream->music_frame += n;
	stream->music_wait = (uint8_t)(n - 1);
	send_own(relay, stream, OUT_MUSIC, &hdr, payload, len);
}

void generate_music_start(struct relay *relay, struct stream *stream, uint32_t moh_class)
{
	/* One class exists so far; an unknown one plays the default, as silence would seem a fault. */
	stream->music_class = moh_class;
	stream->music = true;
	stream->music_marker = true;
	relay_gen_add(relay, stream);

	if (!relay->told_no_music && stream->codec == MEDIA_CODEC_OTHER) {
		relay->told_no_music = true;
		log_warn("media.moh.codec", "music on hold cannot be sent in this codec; it is silent",
			 kv_int("payload_type", stream->pt), kv_int("clock_hz", stream->clock_hz));
	}
}

void generate_music_stop(struct relay *relay, struct stream *stream)
{
	stream->music = false;
	stream->music_wait = 0;
	if (!stream->tone.active)
		relay_gen_remove(relay, stream);
}

/* ------------------------------------------------------------------ digits, RFC 4733 */

static void next_digit(struct stream *stream)
{
	stream->tone.n--;
	for (unsigned i = 0; i < stream->tone.n; i++) {
		stream->tone.event[i] = stream->tone.event[i + 1];
		stream->tone.ms[i] = stream->tone.ms[i + 1];
	}
	stream->tone.started = false;
	stream->tone.ends_sent = 0;
}

static void tone_tick(struct relay *relay, struct stream *stream)
{
	struct hdr_rtp hdr = { .pt = (uint8_t)stream->dtmf_pt };
	struct hdr_event event = { .event = stream->tone.event[0], .volume = DIGIT_VOLUME };
	uint8_t payload[4];
	uint32_t ms;

	if (relay->now_us < stream->tone.pause_until_us)
		return;
	if (!stream->tone.n || stream->dtmf_pt < 0 || !may_send(stream)) {
		stream->tone.n = 0;
		stream->tone.active = false;
		stream->music_marker = true;
		if (!stream->music)
			relay_gen_remove(relay, stream);
		return;
	}

	if (!stream->tone.started) {
		out_start_own(&stream->out, relay->now_us);
		stream->tone.started = true;
		stream->tone.sent_ms = 0;
		stream->tone.start_ts =
			out_next_ts(&stream->out, stream->clock_hz, relay->now_us);
		if (stream->tone.start_ts == stream->out.ts)
			stream->tone.start_ts += stream->clock_hz / 100;
		hdr.marker = true;
	}

	ms = stream->tone.sent_ms + RELAY_TICK_MS;
	event.end = ms >= stream->tone.ms[0];
	if (event.end)
		ms = stream->tone.ms[0];
	else
		stream->tone.sent_ms = (uint16_t)ms;
	event.duration = (uint16_t)((uint64_t)ms * stream->clock_hz / 1000 > UINT16_MAX
					    ? UINT16_MAX
					    : (uint64_t)ms * stream->clock_hz / 1000);
	hdr.ts = stream->tone.start_ts;
	hdr_event_write(payload, &event);
	send_own(relay, stream, OUT_DTMF, &hdr, payload, sizeof(payload));

	if (event.end && ++stream->tone.ends_sent == DIGIT_ENDS) {
		next_digit(stream);
		stream->tone.pause_until_us = relay->now_us + (stream->tone.n ? DIGIT_PAUSE_US : 0);
	}
}

void generate_digit(struct relay *relay, struct stream *stream, uint8_t event, uint32_t ms)
{
	unsigned n = stream->tone.n;

	if (stream->dtmf_pt < 0 || n == STREAM_DTMF_QUEUE)
		return;

	ms = ms < DIGIT_MIN_MS ? DIGIT_MIN_MS : ms > DIGIT_MAX_MS ? DIGIT_MAX_MS : ms;
	stream->tone.event[n] = event;
	stream->tone.ms[n] = (uint16_t)ms;
	stream->tone.n++;
	stream->tone.active = true;
	relay_gen_add(relay, stream);
}

/* ------------------------------------------------------------------ tick */

void generate_tick(struct relay *relay)
{
	struct stream *next;

	for (struct stream *stream = relay->gens; stream; stream = next) {
		next = stream->gen_next; /* a tick may take the stream out */
		if (stream->tone.active)
			tone_tick(relay, stream);
		else if (stream->music)
			music_tick(relay, stream);
	}
}
