/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define US_PER_S 1000000

/* The clock is one of the two known exceptions to "no mutable file-scope variable". */
static atomic_bool is_driven;
static _Atomic uint64_t driven_mono_us;
static _Atomic int64_t driven_wall_us;

static int64_t read_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts); /* cannot fail for these two clocks */

	return (int64_t)ts.tv_sec * US_PER_S + ts.tv_nsec / 1000;
}

uint64_t clk_mono_us(void)
{
	if (atomic_load_explicit(&is_driven, memory_order_acquire))
		return atomic_load(&driven_mono_us);

	return (uint64_t)read_us(CLOCK_MONOTONIC);
}

uint64_t clk_mono_ms(void)
{
	return clk_mono_us() / 1000;
}

int64_t clk_wall_us(void)
{
	if (atomic_load_explicit(&is_driven, memory_order_acquire))
		return atomic_load(&driven_wall_us);

	return read_us(CLOCK_REALTIME);
}

int64_t clk_wall_s(void)
{
	return clk_wall_us() / US_PER_S;
}

void clk_drive(int64_t wall_us)
{
	/* The monotonic clock goes on from where it is, so that timers which run already make sense. */
	atomic_store(&driven_mono_us, clk_mono_us());
	atomic_store(&driven_wall_us, wall_us);
	atomic_store_explicit(&is_driven, true, memory_order_release);
}

void clk_advance_ms(uint64_t ms)
{
	atomic_fetch_add(&driven_mono_us, ms * 1000);
	atomic_fetch_add(&driven_wall_us, (int64_t)ms * 1000);
}

void clk_release(void)
{
	atomic_store_explicit(&is_driven, false, memory_order_release);
}

const char *clk_iso(char *buf, size_t size, int64_t wall_us)
{
	time_t s = (time_t)(wall_us / US_PER_S);
	struct tm tm;

	if (wall_us % US_PER_S < 0)
		s--; /* before 1970 the division rounds the wrong way */

	if (!gmtime_r(&s, &tm) || !strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm)) {
		if (size)
			buf[0] = '\0';
	}

	return buf;
}
