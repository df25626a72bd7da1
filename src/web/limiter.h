/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_LIMITER_H
#define AOIDE_WEB_LIMITER_H

#include <stddef.h>
#include <stdint.h>

/*
 * Token buckets by name (an address, a user), for D-245. A fixed table: when two names compete for
 * a place the one that is fuller, that is less guilty, is forgotten. Any thread.
 */
struct web_limiter;

int web_limiter_alloc(struct web_limiter **ret, size_t slots);
void web_limiter_free(struct web_limiter *limiter);

/* How many may come at once, and how long one takes to come back. */
struct web_rate {
	uint32_t burst;
	uint32_t refill_ms;
};

/*
 * Takes `cost` tokens of the name; cost 0 only looks.
 *
 * Returns 0 when at least one was (or is) there, else the milliseconds until there is one.
 */
uint32_t web_limiter_take(struct web_limiter *limiter, const char *name, struct web_rate rate,
			  uint32_t cost, uint64_t now_ms);

/* How many tokens of the name are out now. */
uint32_t web_limiter_used(struct web_limiter *limiter, const char *name, struct web_rate rate,
			  uint64_t now_ms);

#endif
