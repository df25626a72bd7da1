/* SPDX-License-Identifier: Apache-2.0 */
#include "media/digits.h"

#include <math.h>
#include <string.h>
#include "media/audio.h"
#include "media/play.h"
#include "media/relay.h"

#define PAUSE_US    60000 /* between two digits */
#define ENDS        3     /* the end is sent three times: RFC 4733 section 2.5.1.4 */
#define MIN_MS      40
#define MAX_MS      10000
#define MAX_LIVE_MS 60000 /* nobody presses longer: the one who did is gone */
#define SEGMENT_MAX 0xffffu
#define TONE_HZ     8000
#define QUIETEST    24    /* -dBm0 of a tone: quieter ones are not recognised everywhere */

static bool may_send(const struct stream *stream)
{
	return (stream->flags & MP_REMOTE_SEND) && net_addr_isset(&stream->wire->dst);
}

bool digits_are_tones(const struct stream *stream)
{
	return stream->dtmf_tx == MEDIA_DTMF_INBAND;
}

static bool can_send(const struct stream *stream)
{
	return digits_are_tones(stream) ||
	       (stream->dtmf_tx == MEDIA_DTMF_EVENT && stream->dtmf_pt >= 0);
}

/* ------------------------------------------------------------------ the queue */

static struct digits_one *append(struct relay *relay, struct stream *stream)
{
	struct digits *digits = &stream->digits;

	if (!can_send(stream) || digits->n == DIGITS_QUEUE)
		return NULL;
	digits->active = true;
	relay_gen_add(relay, stream);
	return &digits->queue[digits->n++];
}

void digits_send(struct relay *relay, struct stream *stream, uint8_t event, uint32_t ms)
{
	struct digits_one *one = append(relay, stream);

	if (one)
		*one = (struct digits_one){ .event = event,
					    .volume = DIGITS_VOLUME,
					    .ms = ms < MIN_MS ? MIN_MS : ms > MAX_MS ? MAX_MS : ms };
}

void digits_press(struct relay *relay, struct stream *stream, uint8_t event, uint8_t volume)
{
	struct digits_one *one;

	digits_release(stream, 0); /* two keys at once: the first has been let go */
	one = append(relay, stream);
	if (one)
		*one = (struct digits_one){ .event = event, .volume = volume, .live = true };
}

void digits_release(struct stream *stream, uint32_t ms)
{
	struct digits *digits = &stream->digits;
	struct digits_one *last = digits->n ? &digits->queue[digits->n - 1] : NULL;

	if (!last || !last->live)
		return;
	last->live = false;
	last->ms = ms < MIN_MS ? MIN_MS : ms > MAX_LIVE_MS ? MAX_LIVE_MS : ms;
	/* What was sent cannot be taken back. */
	if (digits->n == 1 && digits->started && last->ms < digits->sent_ms)
		last->ms = digits->sent_ms;
}

static void next_digit(struct stream *stream, uint64_t now_us)
{
	struct digits *digits = &stream->digits;

	digits->n--;
	memmove(digits->queue, digits->queue + 1, digits->n * sizeof(digits->queue[0]));
	digits->started = false;
	digits->ends_sent = 0;
	digits->pause_until_us = now_us + (digits->n ? PAUSE_US : 0);
}

/* ------------------------------------------------------------------ events */

static uint32_t units_of(const struct stream *stream, uint32_t ms)
{
	return (uint32_t)((uint64_t)ms * stream->dtmf_hz / 1000);
}

static void send_event(struct relay *relay, struct stream *stream, struct hdr_rtp *hdr,
		       const struct hdr_event *event)
{
	uint8_t payload[4], head[HDR_RTP_BYTES];
	struct iovec iov[2] = { { head, sizeof(head) }, { payload, sizeof(payload) } };

	hdr->pt = (uint8_t)stream->dtmf_pt;
	hdr->ts = stream->digits.ts;
	out_own(&stream->out, OUT_DTMF, hdr, relay->now_us);
	hdr_rtp_write(head, hdr);
	hdr_event_write(payload, event);
	path_send(relay, stream, iov, 2);
}

static void start_event(struct relay *relay, struct stream *stream)
{
	struct digits *digits = &stream->digits;

	out_start_own(&stream->out, relay->now_us);
	digits->started = true;
	digits->sent_ms = 0;
	digits->segment_ms = 0;
	digits->ts = out_next_ts(&stream->out, stream->clock_hz, relay->now_us);
	if (digits->ts == stream->out.ts)
		digits->ts += stream->clock_hz / 100;
}

static void event_tick(struct relay *relay, struct stream *stream)
{
	struct digits *digits = &stream->digits;
	const struct digits_one *one = &digits->queue[0];
	struct hdr_event event = { .event = one->event, .volume = one->volume };
	struct hdr_rtp hdr = { 0 };
	uint32_t units;

	if (!digits->started) {
		start_event(relay, stream);
		hdr.marker = true;
	}
	if (!digits->ends_sent)
		digits->sent_ms += RELAY_TICK_MS;
	event.end = one->live ? digits->sent_ms >= MAX_LIVE_MS : digits->sent_ms >= one->ms;
	if (event.end && !one->live)
		digits->sent_ms = one->ms;

	/* Sixteen bits are full: a segment without an end, and another that goes on (section 2.5.1.3). */
	units = units_of(stream, digits->sent_ms) - units_of(stream, digits->segment_ms);
	if (units > SEGMENT_MAX) {
		send_event(relay, stream, &hdr,
			   &(struct hdr_event){ .event = one->event, .volume = one->volume,
						.duration = SEGMENT_MAX });
		digits->ts += SEGMENT_MAX;
		digits->segment_ms += (uint32_t)((uint64_t)SEGMENT_MAX * 1000 / stream->dtmf_hz);
		units = units_of(stream, digits->sent_ms) - units_of(stream, digits->segment_ms);
		hdr.marker = false;
	}
	event.duration = (uint16_t)(units < SEGMENT_MAX ? units : SEGMENT_MAX);
	send_event(relay, stream, &hdr, &event);

	if (event.end && ++digits->ends_sent == ENDS)
		next_digit(stream, relay->now_us);
}

/* ------------------------------------------------------------------ tones */

/* ITU-T Q.23, in the order of the events. */
static const uint16_t low_hz[] = { 941, 697, 697, 697, 770, 770, 770, 852, 852, 852, 941, 941,
				   697, 770, 852, 941 };
static const uint16_t high_hz[] = { 1336, 1209, 1336, 1477, 1209, 1336, 1477, 1209, 1336, 1477,
				    1209, 1477, 1633, 1633, 1633, 1633 };

/* One of the two frequencies; the next call goes on where this one ended. */
static void add_sine(int16_t *pcm, size_t n, uint32_t *phase, uint32_t hz, double amplitude)
{
	uint32_t step = (uint32_t)(((uint64_t)hz << 32) / TONE_HZ);

	for (size_t i = 0; i < n; i++, *phase += step)
		pcm[i] = (int16_t)(pcm[i] + amplitude * sin(*phase * (2 * M_PI / 4294967296.0)));
}

/* Silence too is spoken: nothing else shall be heard before the next key. */
static void tone_tick(struct relay *relay, struct stream *stream, bool pause)
{
	struct digits *digits = &stream->digits;
	const struct digits_one *one = &digits->queue[0];
	struct audio_frame frame = { .hz = TONE_HZ, .silent = pause };
	size_t n = TONE_HZ / 1000 * AUDIO_FRAME_MS;
	double amplitude, volume;

	if (pause) {
		audio_speak(relay, stream, &frame);
		return;
	}
	if (!digits->started) {
		digits->started = true;
		digits->sent_ms = 0;
		digits->phase[0] = digits->phase[1] = 0;
	}
	if (one->event < sizeof(low_hz) / sizeof(low_hz[0])) {
		/* Both together have the volume; each is 3 dB below. 3.14 dBm0 is full scale. */
		volume = one->volume < QUIETEST ? one->volume : QUIETEST;
		amplitude = 32767 * pow(10, -(volume + 6.15) / 20);
		add_sine(frame.v, n, &digits->phase[0], low_hz[one->event], amplitude);
		add_sine(frame.v, n, &digits->phase[1], high_hz[one->event], amplitude);
	}
	audio_speak(relay, stream, &frame);

	digits->sent_ms += RELAY_TICK_MS;
	if (digits->sent_ms >= (one->live ? MAX_LIVE_MS : one->ms)) {
		next_digit(stream, relay->now_us);
		digits->pause_until_us = relay->now_us + PAUSE_US;
	}
}

/* ------------------------------------------------------------------ the tick */

static void stop(struct relay *relay, struct stream *stream)
{
	stream->digits.n = 0;
	stream->digits.active = false;
	stream->digits.started = false;
	stream->own_marker = true;
	if (!play_wants_tick(stream))
		relay_gen_remove(relay, stream);
}

void digits_tick(struct relay *relay, struct stream *stream)
{
	struct digits *digits = &stream->digits;

	bool pause = relay->now_us < digits->pause_until_us;

	if (pause && !digits_are_tones(stream))
		return;
	if ((!digits->n && !pause) || !can_send(stream) || !may_send(stream))
		stop(relay, stream);
	else if (digits_are_tones(stream))
		tone_tick(relay, stream, pause);
	else
		event_tick(relay, stream);
}
