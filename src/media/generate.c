/* SPDX-License-Identifier: Apache-2.0 */
#include "media/relay.h"

#include "media/play.h"

/* What the relay sends by itself, every RELAY_TICK_MS: digits, else what play.c plays. Relay thread. */

void relay_send_own(struct relay *relay, struct stream *stream, enum out_source source,
		    struct hdr_rtp *hdr, const uint8_t *payload, size_t len)
{
	uint8_t head[HDR_RTP_BYTES];
	struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)payload, len } };

	out_own(&stream->out, source, hdr, relay->now_us);
	hdr_rtp_write(head, hdr);
	path_send(relay, stream, iov, 2);
}

bool relay_may_send(const struct stream *stream)
{
	return (stream->flags & MP_REMOTE_SEND) && net_addr_isset(&stream->wire->dst);
}

/* Thousands that are held do not fit the cache: the next but one comes into it, and what the next has. */
static void prefetch(const struct stream *stream)
{
	const struct stream *after = stream->gen_next;

	__builtin_prefetch(stream->slot);
	if (stream->hold)
		play_prefetch(stream->hold);
	if (!after)
		return;
	__builtin_prefetch(&after->gen_next);
	__builtin_prefetch(&after->own_next_us);
	__builtin_prefetch(&after->tx_packets);
	__builtin_prefetch(&after->out.ts_add);
	__builtin_prefetch(&after->digits.active);
}

void generate_tick(struct relay *relay)
{
	struct stream *next;

	for (struct stream *stream = relay->gens; stream; stream = next) {
		next = stream->gen_next; /* a tick may take the stream out */
		if (next)
			prefetch(next);
		if (stream->digits.active)
			digits_tick(relay, stream);
		else
			play_tick(relay, stream);
	}
}
