/* SPDX-License-Identifier: Apache-2.0 */
#include "web/limiter.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "base/err.h"

#define PROBES 4

struct bucket {
	uint64_t key;      /* 0: free */
	uint64_t empty_ms; /* how much was taken, as the time at which it has all come back */
};

struct web_limiter {
	pthread_mutex_t lock;
	uint8_t seed[crypto_shorthash_KEYBYTES]; /* nobody outside can choose who collides */
	size_t mask;
	struct bucket buckets[];
};

int web_limiter_alloc(struct web_limiter **ret, size_t slots)
{
	struct web_limiter *limiter;
	size_t n = PROBES;

	while (n < slots)
		n *= 2;
	limiter = calloc(1, sizeof(*limiter) + n * sizeof(struct bucket));
	if (!limiter)
		return -ENOMEM;
	pthread_mutex_init(&limiter->lock, NULL);
	randombytes_buf(limiter->seed, sizeof(limiter->seed));
	limiter->mask = n - 1;
	*ret = limiter;
	return 0;
}

void web_limiter_free(struct web_limiter *limiter)
{
	if (!limiter)
		return;
	pthread_mutex_destroy(&limiter->lock);
	free(limiter);
}

static struct bucket *find_bucket(struct web_limiter *limiter, uint64_t key)
{
	struct bucket *victim = NULL;

	for (size_t i = 0; i < PROBES; i++) {
		struct bucket *bucket = &limiter->buckets[(key + i) & limiter->mask];

		if (bucket->key == key)
			return bucket;
		if (!victim || bucket->empty_ms < victim->empty_ms)
			victim = bucket;
	}
	*victim = (struct bucket){ .key = key };
	return victim;
}

static uint64_t key_of(const struct web_limiter *limiter, const char *name)
{
	uint64_t key;

	crypto_shorthash((uint8_t *)&key, (const uint8_t *)name, strlen(name), limiter->seed);
	return key ? key : 1;
}

uint32_t web_limiter_take(struct web_limiter *limiter, const char *name, struct web_rate rate,
			  uint32_t cost, uint64_t now_ms)
{
	uint64_t full_ms = (uint64_t)rate.burst * rate.refill_ms;
	struct bucket *bucket;
	uint64_t debt, key = key_of(limiter, name);
	uint32_t wait = 0;

	pthread_mutex_lock(&limiter->lock);
	bucket = find_bucket(limiter, key);
	if (bucket->empty_ms < now_ms)
		bucket->empty_ms = now_ms;
	debt = bucket->empty_ms - now_ms;
	if (debt + rate.refill_ms > full_ms)
		wait = (uint32_t)(debt + rate.refill_ms - full_ms);
	else
		bucket->empty_ms += (uint64_t)cost * rate.refill_ms;
	pthread_mutex_unlock(&limiter->lock);

	return wait;
}

uint32_t web_limiter_used(struct web_limiter *limiter, const char *name, struct web_rate rate,
			  uint64_t now_ms)
{
	uint64_t key = key_of(limiter, name);
	uint32_t used = 0;

	pthread_mutex_lock(&limiter->lock);
	for (size_t i = 0; i < PROBES; i++) {
		const struct bucket *bucket = &limiter->buckets[(key + i) & limiter->mask];

		if (bucket->key == key && bucket->empty_ms > now_ms)
			used = (uint32_t)((bucket->empty_ms - now_ms + rate.refill_ms - 1) /
					  rate.refill_ms);
	}
	pthread_mutex_unlock(&limiter->lock);
	return used;
}
