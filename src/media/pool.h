/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_POOL_H
#define AOIDE_MEDIA_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * RTP port pairs. A pair that was bound once stays bound; freed pairs go to the back of a queue and
 * rest for POOL_REST_MS while others are left, so that late packets do not hit a new call. Ports that
 * browsers refuse to send to are left out. Control thread only.
 */
#define POOL_REST_MS  1000
#define POOL_PREPARED 512  /* pairs bound at start, over all relays */
#define POOL_IDLE     2048 /* bound soon afterwards, in pieces */

struct pool;
struct relay;
struct slot;

struct pool_opts {
	const char *listen; /* address, or a wildcard */
	uint16_t first, last;
	struct relay **relays;
	unsigned n_relays;
	size_t max_pairs; /* by file descriptors; IPv4 and IPv6 together */
};

/* -EINVAL: no pair in the range that can be used, or an address that is not one. */
int pool_alloc(struct pool **ret, const struct pool_opts *opts);
void pool_free(struct pool *pool); /* after the relays have stopped */

/*
 * A bound pair that the relay watches, for a new stream.
 * Returns 0, -EADDRNOTAVAIL (every port is in use), -EAFNOSUPPORT, or the error of socket().
 */
int pool_take(struct slot **ret, struct pool *pool, struct relay *relay, bool ipv6);
/* closed_at_ms: when its stream was over, which its relay may have heard much later. */
void pool_give(struct pool *pool, struct slot *slot, uint64_t closed_at_ms);

/*
 * Binds n more pairs ahead of need, up to POOL_IDLE or half the range.
 *
 * Returns 0 when that many are bound, -EAGAIN (go on), or why none could be bound now.
 */
int pool_prepare(struct pool *pool, size_t n);

struct pool_stats {
	size_t pairs;  /* of the range that can be used, per family */
	size_t bound, in_use, bind_errors;
};
void pool_stats(const struct pool *pool, struct pool_stats *ret);

#endif
