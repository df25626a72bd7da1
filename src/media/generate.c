/* SPDX-License-Identifier: Apache-2.0 */
#include "media/relay.h"

#include <poll.h>
#include "media/audio.h"
#include "media/play.h"

#define HELD_TICKS 6  /* from one look at what a held phone sends to the next */
#define HELD_ASKED 16 /* sockets in one question: what the kernel has of them is in the cache for sending, too */

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
	__builtin_prefetch(&after->bundle);
	__builtin_prefetch(&after->tx_packets);
	__builtin_prefetch(&after->digits.active);
}

/* ------------------------------------------------------------------ what held phones send */

/* Sockets of which the kernel is asked at once whether they hold something. */
struct asked {
	unsigned n;
	struct pollfd fds[HELD_ASKED];
	struct sock *socks[HELD_ASKED];
};

static void ask(struct relay *relay, struct asked *asked)
{
	int n = asked->n ? poll(asked->fds, asked->n, 0) : 0;

	for (unsigned i = 0; i < asked->n && n > 0; i++) {
		if (!asked->fds[i].revents)
			continue;
		path_readable(relay, asked->socks[i]);
		n--;
	}
	asked->n = 0;
}

/*
 * What a held phone sends goes nowhere: it is counted, and a digit is told. So its socket rests, too, and
 * is looked at now and then, neighbours in the same tick: a watched one would wake its watch with every
 * packet of music that leaves, a tenth of what that costs.
 */
static void look_at_held(struct relay *relay, struct stream *stream, struct asked *asked)
{
	struct slot *slot = stream->slot;

	if (!slot || (slot->port / (2 * HELD_ASKED) + relay->gen_turn) % HELD_TICKS || audio_heard(stream))
		return;
	relay_rest(relay, stream, REST_HELD);
	if (!slot->resting)
		return;
	asked->fds[asked->n] = (struct pollfd){ .fd = slot->rtp.fd, .events = POLLIN };
	asked->socks[asked->n++] = &slot->rtp;
	if (asked->n == HELD_ASKED)
		ask(relay, asked);
}

void generate_tick(struct relay *relay)
{
	struct asked asked;
	struct stream *next;

	asked.n = 0;
	relay->gen_turn++;
	for (struct stream *stream = relay->gens; stream; stream = next) {
		if (stream->gen_next)
			prefetch(stream->gen_next);
		if (stream->music)
			look_at_held(relay, stream, &asked);
		next = stream->gen_next; /* a tick may take the stream out */
		if (stream->digits.active)
			digits_tick(relay, stream);
		else
			play_tick(relay, stream);
	}
	ask(relay, &asked);
}
