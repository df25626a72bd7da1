/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libre's random numbers, out of a pool that the kernel fills.
 *
 * libre asks OpenSSL's generator for every four bytes; each tag, branch and Call-ID of a call costs
 * several locks and AES runs: 7 % of the CPU of a busy switch. These functions take the place of
 * libre's through the symbol table, as the timers do (base/timer.h). The bytes are getrandom()'s, as
 * good as before, a kilobyte at a time and per thread; what was handed out is wiped from the pool.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#pragma GCC visibility push(default)
#include "base/re.h"
#pragma GCC visibility pop

#define POOL_BYTES 1024

static _Thread_local struct {
	size_t left; /* bytes at the end of the pool that nobody has had */
	uint8_t bytes[POOL_BYTES];
} pool;

static void fill(uint8_t *p, size_t size)
{
	while (size) {
		const ssize_t n = getrandom(p, size, 0);

		if (n < 0 && errno != EINTR)
			abort(); /* guessable tags are worse than no call */
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		}
	}
}

void rand_bytes(uint8_t *p, size_t size)
{
	if (size > POOL_BYTES / 4) {
		fill(p, size);
		return;
	}

	if (pool.left < size) {
		fill(pool.bytes, POOL_BYTES);
		pool.left = POOL_BYTES;
	}

	uint8_t *from = pool.bytes + POOL_BYTES - pool.left;

	memcpy(p, from, size);
	explicit_bzero(from, size);
	pool.left -= size;
}

void rand_init(void)
{
}

uint32_t rand_u32(void)
{
	uint32_t v;

	rand_bytes((uint8_t *)&v, sizeof(v));
	return v;
}

uint16_t rand_u16(void)
{
	return (uint16_t)rand_u32();
}

uint64_t rand_u64(void)
{
	uint64_t v;

	rand_bytes((uint8_t *)&v, sizeof(v));
	return v;
}

/* 62 letters and digits; a byte above the last multiple of 62 would favour the first ones. */
char rand_char(void)
{
	static const char chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	uint8_t v;

	do {
		rand_bytes(&v, sizeof(v));
	} while (v >= 248);

	return chars[v % 62];
}

void rand_str(char *str, size_t size)
{
	if (!str || !size)
		return;

	for (size_t i = 0; i + 1 < size; i++)
		str[i] = rand_char();
	str[size - 1] = '\0';
}
