/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_LIMITER_H
#define AOIDE_SIP_LIMITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/re.h"

/*
 * Who failed to authenticate how often (D-245, D-066), per source address and per address and user
 * name. Bounded: a full bucket forgets who was quiet longest. IPv6 counts by /64, because one host
 * has the whole of it. Call thread only.
 */
struct limiter;

#define LIMIT_PAIR_PER_MIN    10              /* D-245 */
#define LIMIT_SOURCE_PER_MIN  30              /* many names from one address: a scan */
#define LIMIT_UNKNOWN         3               /* D-066: then silence for public addresses */
#define LIMIT_BAN_MS          (5 * 60 * 1000)
#define LIMIT_GOOD_MS         (60 * 60 * 1000)

enum limit {
	LIMIT_NONE,
	LIMIT_PAIR,   /* this name from this address: refuse without looking */
	LIMIT_SOURCE, /* everything from this address that is not registered: drop */
};

int limiter_alloc(struct limiter **ret);

/* May this source, with this user name (may be empty), be listened to? */
enum limit limiter_check(struct limiter *limiter, const struct sa *src, const struct pl *user);

/*
 * Counts a failed authentication. known: the account exists. silence: unknown names from public
 * addresses are dropped (setting drop_unknown).
 *
 * failures  set to the count of the last minute of this pair
 *
 * Returns the limit that was reached by this very failure.
 */
enum limit limiter_failed(struct limiter *limiter, const struct sa *src, const struct pl *user,
			  bool known, bool silence, uint32_t *failures);

/* A right password: the address is good for an hour, so that one wrong phone of an office does not
 * silence the others. */
void limiter_passed(struct limiter *limiter, const struct sa *src, const struct pl *user);

bool limiter_is_good(struct limiter *limiter, const struct sa *src);

/* Not loopback, private, link-local or unique local (RFC 1918, 6598, 3927, 4193). */
bool limiter_is_public(const struct sa *src);

#endif
