/* SPDX-License-Identifier: Apache-2.0 */
#include "media/listen.h"

#include "media/digits.h"
#include "media/play.h"
#include "media/record.h"
#include "media/relay.h"

#define LAST_DIGIT   15      /* events above are flash, fax and lines (RFC 4733 section 3.2) */
#define LATE_S       5       /* packets of a digit that is over may come so much later */
#define GAP_US       20000   /* digits of one stream are not reported faster on the average */
#define BURST        32      /* but a network that held them back may deliver so many at once */
#define SEGMENT_MAX  0xffffu /* RFC 4733 section 2.5.1.3 */

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
	       since > -(int32_t)(LATE_S * stream->dtmf_hz);
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
		if (digit->ssrc == hdr->ssrc && (int32_t)(hdr->ts - digit->ts) < 0 &&
		    (int32_t)(hdr->ts - digit->ts) > -(int32_t)(LATE_S * stream->dtmf_hz))
			return digit->passes; /* late packet of a segment, or of a digit nobody missed */
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
}
