/* SPDX-License-Identifier: Apache-2.0 */
#include "media/repack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "media/relay.h"

#define MAX_HOLE_S 1 /* a longer one is another time */

struct repack {
	const struct codec *codec;
	uint8_t pt;
	size_t asked;      /* bytes of a packet as the receiver wants it */
	bool started, marker;
	bool sent; /* since it started */
	uint32_t ssrc;
	uint32_t source_ts; /* that comes next from the sender */
	uint32_t ts;       /* of data[0], as the receiver counts */
	size_t n;
	uint8_t data[CODEC_MAX_BYTES + RELAY_MAX_PACKET];
};

int repack_alloc(struct repack **ret, const struct codec *codec, uint32_t ptime_ms, uint8_t pt)
{
	struct repack *repack = calloc(1, sizeof(*repack));

	if (!repack)
		return -ENOMEM;
	repack->codec = codec;
	repack->pt = pt;
	repack->asked = ptime_ms / codec->frame_ms * codec->frame_bytes;
	*ret = repack;
	return 0;
}

void repack_free(struct repack *repack)
{
	free(repack);
}

static void send_first(struct relay *relay, struct stream *to, struct repack *repack, size_t len)
{
	struct hdr_rtp hdr = { .pt = repack->pt, .marker = repack->marker, .ts = repack->ts };

	relay_send_own(relay, to, OUT_AUDIO, &hdr, repack->data, len);
	repack->marker = false;
	repack->sent = true;
	repack->ts += codec_span(repack->codec, repack->data, len);
	repack->n -= len;
	memmove(repack->data, repack->data + len, repack->n);
}

static void flush(struct relay *relay, struct stream *to, struct repack *repack)
{
	if (repack->n)
		send_first(relay, to, repack, repack->n);
}

/* Our clock and the sender's from here on. */
static void anchor(struct relay *relay, struct stream *to, struct repack *repack,
		   const struct hdr_rtp *hdr)
{
	repack->started = true;
	repack->ssrc = hdr->ssrc;
	repack->source_ts = hdr->ts;
	repack->n = 0;
	repack->marker = true;
	repack->sent = false;
	repack->ts = out_begin_ts(&to->out, repack->codec->clock_hz, relay->now_us);
}

void repack_take(struct relay *relay, struct stream *from, struct repack *repack,
		 const struct hdr_rtp *hdr, const uint8_t *payload)
{
	uint32_t span = codec_span(repack->codec, payload, hdr->payload_len);
	int32_t most = (int32_t)repack->codec->clock_hz * MAX_HOLE_S, hole;
	struct stream *to = from->peer;

	if (!span)
		return;
	hole = (int32_t)(hdr->ts - repack->source_ts);
	if (!repack->started || repack->ssrc != hdr->ssrc || hole > most || hole < -most ||
	    (repack->sent && to->out.source != OUT_AUDIO)) {
		anchor(relay, to, repack, hdr);
		hole = 0;
	}
	if (hole < 0) {
		from->rx_dropped++; /* what comes after it has left: numbers cannot go back */
		return;
	}
	if (hole > 0) {
		flush(relay, to, repack);
		repack->ts += (uint32_t)hole;
		repack->marker |= hdr->marker;
	}

	memcpy(repack->data + repack->n, payload, hdr->payload_len);
	repack->n += hdr->payload_len;
	repack->source_ts = hdr->ts + span;
	while (repack->n >= repack->asked)
		send_first(relay, to, repack, repack->asked);
	/* A comfort noise frame ends a packet, and nothing may follow for long. */
	if (codec_is_pause(repack->codec, payload, hdr->payload_len))
		flush(relay, to, repack);
}
