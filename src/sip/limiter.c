/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/limiter.h"

#include <string.h>
#include <sodium.h>
#include "base/clock.h"
#include "base/err.h"
#include "sip/edge_priv.h"

#define BUCKETS   4096
#define WAYS      4 /* 16,384 addresses and pairs, in 1 MB */
#define MINUTE_MS 60000

struct entry {
	uint64_t key;          /* 0: free */
	uint64_t touched_ms;
	uint64_t window_ms;    /* start of the minute that failures counts */
	uint64_t banned_until_ms;
	uint64_t good_until_ms;
	uint32_t failures;
	uint32_t unknown;      /* names that no account has */
};

struct limiter {
	uint8_t secret[crypto_shorthash_KEYBYTES]; /* nobody can aim at a bucket */
	struct entry buckets[BUCKETS][WAYS];
};

int limiter_alloc(struct limiter **ret)
{
	struct limiter *limiter;

	if (sodium_init() < 0)
		return -EIO;
	limiter = mem_zalloc(sizeof(*limiter), NULL);
	if (!limiter)
		return -ENOMEM;
	randombytes_buf(limiter->secret, sizeof(limiter->secret));
	*ret = limiter;
	return 0;
}

bool limiter_is_public(const struct sa *src)
{
	static const struct {
		uint8_t addr[16];
		uint8_t bits;
	} nets[] = {
		{ { [10] = 0xff, [11] = 0xff, [12] = 10 }, 104 },
		{ { [10] = 0xff, [11] = 0xff, [12] = 127 }, 104 },
		{ { [10] = 0xff, [11] = 0xff, [12] = 172, [13] = 16 }, 108 },
		{ { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 168 }, 112 },
		{ { [10] = 0xff, [11] = 0xff, [12] = 169, [13] = 254 }, 112 },
		{ { [10] = 0xff, [11] = 0xff, [12] = 100, [13] = 64 }, 106 },
		{ { [15] = 1 }, 128 },
		{ { [0] = 0xfc }, 7 },
		{ { [0] = 0xfe, [1] = 0x80 }, 10 },
	};
	uint8_t addr[16];

	edge_addr16(addr, src);
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		size_t whole = nets[i].bits / 8, rest = nets[i].bits % 8;
		uint8_t mask = (uint8_t)(0xff << (8 - rest));

		if (memcmp(addr, nets[i].addr, whole))
			continue;
		if (!rest || !((addr[whole] ^ nets[i].addr[whole]) & mask))
			return false;
	}
	return true;
}

static uint64_t key_of(const struct limiter *limiter, const struct sa *src, const struct pl *user)
{
	uint8_t text[16 + 64] = { 0 };
	uint64_t key = 0;
	size_t len = 16;

	edge_addr16(text, src);
	if (sa_af(src) == AF_INET6 && memcmp(text, (uint8_t[10]){ 0 }, 10))
		memset(text + 8, 0, 8);
	if (user) {
		size_t n = user->l < 64 ? user->l : 64;

		memcpy(text + 16, user->p, n);
		len += n;
	}
	crypto_shorthash((uint8_t *)&key, text, len, limiter->secret);
	return key ? key : 1;
}

static struct entry *find(struct limiter *limiter, uint64_t key)
{
	struct entry *ways = limiter->buckets[key % BUCKETS];

	for (size_t i = 0; i < WAYS; i++) {
		if (ways[i].key == key)
			return &ways[i];
	}
	return NULL;
}

static struct entry *find_or_add(struct limiter *limiter, uint64_t key)
{
	struct entry *ways = limiter->buckets[key % BUCKETS], *oldest = &ways[0];
	struct entry *entry = find(limiter, key);

	if (!entry) {
		for (size_t i = 1; i < WAYS; i++) {
			if (ways[i].touched_ms < oldest->touched_ms)
				oldest = &ways[i];
		}
		entry = oldest;
		*entry = (struct entry){ .key = key };
	}
	entry->touched_ms = clk_mono_ms();
	return entry;
}

enum limit limiter_check(struct limiter *limiter, const struct sa *src, const struct pl *user)
{
	struct entry *source = find(limiter, key_of(limiter, src, NULL));
	struct entry *pair = user && user->l ? find(limiter, key_of(limiter, src, user)) : NULL;
	uint64_t now_ms = clk_mono_ms();

	if (source && source->banned_until_ms > now_ms && source->good_until_ms <= now_ms)
		return LIMIT_SOURCE;
	if (pair && pair->banned_until_ms > now_ms)
		return LIMIT_PAIR;
	return LIMIT_NONE;
}

bool limiter_is_good(struct limiter *limiter, const struct sa *src)
{
	const struct entry *source = find(limiter, key_of(limiter, src, NULL));

	return source && source->good_until_ms > clk_mono_ms();
}

static uint32_t count(struct entry *entry, uint64_t now_ms)
{
	if (now_ms - entry->window_ms >= MINUTE_MS) {
		entry->window_ms = now_ms;
		entry->failures = 0;
		entry->unknown = 0;
	}
	return ++entry->failures;
}

enum limit limiter_failed(struct limiter *limiter, const struct sa *src, const struct pl *user,
			  bool known, bool silence, uint32_t *failures)
{
	struct entry *source = find_or_add(limiter, key_of(limiter, src, NULL));
	uint64_t now_ms = clk_mono_ms();
	bool is_good = source->good_until_ms > now_ms;
	struct entry *pair;
	uint32_t n;

	n = count(source, now_ms);
	if (!known)
		source->unknown++;
	if (!is_good && (n >= LIMIT_SOURCE_PER_MIN ||
			 (silence && source->unknown > LIMIT_UNKNOWN && limiter_is_public(src)))) {
		*failures = n;
		source->banned_until_ms = now_ms + LIMIT_BAN_MS;
		return LIMIT_SOURCE;
	}

	pair = find_or_add(limiter, key_of(limiter, src, user));
	*failures = count(pair, now_ms);
	if (*failures < LIMIT_PAIR_PER_MIN)
		return LIMIT_NONE;
	pair->banned_until_ms = now_ms + MINUTE_MS;
	pair->failures = 0;
	return LIMIT_PAIR;
}

void limiter_passed(struct limiter *limiter, const struct sa *src, const struct pl *user)
{
	struct entry *source = find(limiter, key_of(limiter, src, NULL));
	struct entry *pair;

	if (!source)
		source = find_or_add(limiter, key_of(limiter, src, NULL));
	source->touched_ms = clk_mono_ms();
	source->good_until_ms = clk_mono_ms() + LIMIT_GOOD_MS;
	pair = find(limiter, key_of(limiter, src, user));
	if (pair)
		pair->failures = 0;
}
