/* SPDX-License-Identifier: Apache-2.0 */
#include "media/relay.h"

#include <sys/random.h>

/* A source that comes back may keep its own clock when that is this close to ours. */
#define OUT_CLOCK_SLACK_DIV 5 /* a fifth of a second */

uint32_t out_next_ts(const struct stream_out *out, uint32_t clock_hz, uint64_t now_us)
{
	return out->ts + (uint32_t)((now_us - out->at_us) * clock_hz / 1000000);
}

/* The timestamp may not stand still or go back when the source changes at once. */
static uint32_t ts_of_change(const struct stream_out *out, uint32_t clock_hz, uint64_t now_us)
{
	uint32_t ts = out_next_ts(out, clock_hz, now_us);

	return ts == out->ts ? ts + clock_hz / 100 : ts;
}

static void remember(struct stream_out *out, uint16_t seq, uint32_t ts, uint64_t now_us)
{
	if (!out->started || (int16_t)(seq - out->seq) > 0)
		out->seq = seq;

	/* An event's packets share one timestamp; the clock runs from the first. */
	if (!out->started || (int32_t)(ts - out->ts) > 0) {
		out->ts = ts;
		out->at_us = now_us;
	}
	out->started = true;
}

static void change_source(struct stream_out *out, enum out_source source, uint64_t source_id,
			  struct hdr_rtp *hdr, uint32_t clock_hz, uint64_t now_us)
{
	uint32_t ts = ts_of_change(out, clock_hz, now_us);
	uint32_t own = hdr->ts + out->ts_add;
	int32_t off = (int32_t)(own - ts);
	int32_t slack = (int32_t)(clock_hz / OUT_CLOCK_SLACK_DIV);

	/* The peer that was interrupted by a digit or by music goes on in its own time if it can. */
	if (out->source_id != source_id || out->source_ssrc != hdr->ssrc || off > slack ||
	    off < -slack || (int32_t)(own - out->ts) <= 0)
		out->ts_add = ts - hdr->ts;

	out->seq_add = (uint16_t)(out->seq + 1 - hdr->seq);
	out->source = (uint8_t)source;
	out->source_id = source_id;
	out->source_ssrc = hdr->ssrc;
	out->mapped = true;
	hdr->marker = true; /* a new talkspurt: the receiver's jitter buffer may adjust */
}

void out_map(struct stream_out *out, enum out_source source, uint64_t source_id,
	     struct hdr_rtp *hdr, uint32_t clock_hz, uint64_t now_us, bool keep_ssrc)
{
	if (keep_ssrc)
		return;

	if (!out->started) {
		out->ssrc = hdr->ssrc;
		out->source = (uint8_t)source;
		out->source_id = source_id;
		out->source_ssrc = hdr->ssrc;
	} else if (out->source != source || out->source_id != source_id ||
		   out->source_ssrc != hdr->ssrc) {
		change_source(out, source, source_id, hdr, clock_hz, now_us);
	}

	if (out->mapped) {
		hdr->seq = (uint16_t)(hdr->seq + out->seq_add);
		hdr->ts += out->ts_add;
		hdr->ssrc = out->ssrc;
	}
	remember(out, hdr->seq, hdr->ts, now_us);
}

uint32_t out_begin_ts(struct stream_out *out, uint32_t clock_hz, uint64_t now_us)
{
	out_start_own(out, now_us);
	return ts_of_change(out, clock_hz, now_us);
}

void out_own(struct stream_out *out, enum out_source source, struct hdr_rtp *hdr, uint64_t now_us)
{
	hdr->ssrc = out->ssrc;
	hdr->seq = (uint16_t)(out->seq + 1);
	out->source = (uint8_t)source;
	remember(out, hdr->seq, hdr->ts, now_us);
}

void out_start_own(struct stream_out *out, uint64_t now_us)
{
	uint32_t random[3] = { 0x41303031, 1, 1 };

	if (out->started)
		return;

	/* Predictable numbers only if the kernel has no randomness: RFC 3550 section 5.1 says should. */
	(void)!getrandom(random, sizeof(random), GRND_NONBLOCK);
	out->ssrc = random[0];
	out->seq = (uint16_t)random[1];
	out->ts = random[2];
	out->at_us = now_us;
	out->started = true;
}
