/* SPDX-License-Identifier: Apache-2.0 */
#include "media/mend.h"

#include <string.h>

#define MIN_LAG_US   2500  /* 400 Hz; several periods of a higher voice are a period, too */
#define MAX_LAG_US   12500 /* 80 Hz */
#define STEP_LAG_US  10000
#define WINDOW_US    10000 /* compared */
#define BLEND_US     4000
#define LOOK_EVERY   16 /* samples compared before it is seen whether it can still be the best */
#define KEEP_FULL_MS 10 /* invented sound is as loud as what was heard for so long */
#define FADE_MS      50 /* and then fades within */

static size_t us(uint32_t hz, uint32_t span_us)
{
	return (size_t)((uint64_t)hz * span_us / 1000000);
}

static int16_t blend(int32_t from, int32_t to, size_t i, size_t n)
{
	return (int16_t)(from + (to - from) * (int32_t)(i + 1) / (int32_t)(n + 1));
}

static int16_t loudest(const int16_t *pcm, size_t n)
{
	int32_t max = 0;

	for (size_t i = 0; i < n; i++) {
		int32_t v = pcm[i] < 0 ? -(int32_t)pcm[i] : pcm[i];

		max = v > max ? v : max;
	}
	return (int16_t)(max > INT16_MAX ? INT16_MAX : max);
}

/*
 * How unlike a signal is to itself lag samples later; every step-th sample is compared. What is at least
 * as unlike as `most` need not be known better.
 */
static uint64_t unlike(const int16_t *a, const int16_t *b, size_t n, size_t step, uint64_t most)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n && sum < most; i += LOOK_EVERY * step) {
		size_t end = i + LOOK_EVERY * step < n ? i + LOOK_EVERY * step : n;

		for (size_t k = i; k < end; k += step) {
			int32_t d = (int32_t)a[k] - b[k];

			sum += (uint64_t)(d < 0 ? -d : d);
		}
	}
	return sum;
}

/*
 * The lag at which `base` is most like `base + dir * lag` over n samples. Above 8 kHz first coarsely,
 * then around the best: AMDF, as G.711 appendix I does.
 */
static size_t best_lag(const int16_t *base, int dir, size_t n, size_t min, size_t max, uint32_t hz)
{
	size_t step = hz / 8000 ? hz / 8000 : 1, best = min, from, to;
	uint64_t least = UINT64_MAX;

	for (size_t lag = min; lag <= max; lag += step) {
		uint64_t u = unlike(base, base + dir * (ptrdiff_t)lag, n, step, least);

		if (u < least) {
			least = u;
			best = lag;
		}
	}
	if (step == 1)
		return best;

	from = best > min + step ? best - step : min;
	to = best + step < max ? best + step : max;
	least = UINT64_MAX;
	for (size_t lag = from; lag <= to; lag++) {
		uint64_t u = unlike(base, base + dir * (ptrdiff_t)lag, n, step, least);

		if (u < least) {
			least = u;
			best = lag;
		}
	}
	return best;
}

static size_t history_len(uint32_t hz)
{
	return hz / 1000 * MEND_HISTORY_MS;
}

size_t mend_bytes(uint32_t hz)
{
	return sizeof(struct mend) + history_len(hz) * sizeof(int16_t);
}

void mend_init(struct mend *mend, uint32_t hz)
{
	memset(mend, 0, mend_bytes(hz));
	mend->hz = hz;
}

static void remember(struct mend *mend, const int16_t *pcm, size_t n)
{
	size_t len = history_len(mend->hz);

	if (n >= len) {
		memcpy(mend->history, pcm + n - len, len * sizeof(*pcm));
	} else {
		memmove(mend->history, mend->history + n, (len - n) * sizeof(*pcm));
		memcpy(mend->history + len - n, pcm, n * sizeof(*pcm));
	}
	mend->n = (uint32_t)(mend->n + n > len ? len : mend->n + n);
}

/* The next sample of the repeated period, ever softer. */
static int16_t next_invented(struct mend *mend)
{
	const int16_t *period = mend->history + history_len(mend->hz) - mend->lag;
	uint32_t full = mend->hz / 1000 * KEEP_FULL_MS, fade = mend->hz / 1000 * FADE_MS;
	int32_t v = period[mend->at];

	mend->at = mend->at + 1 == mend->lag ? 0 : mend->at + 1;
	if (mend->faded >= full + fade)
		return 0;
	if (mend->faded > full)
		v = (int32_t)((int64_t)v * (full + fade - mend->faded) / fade);
	mend->faded++;
	return (int16_t)v;
}

static void gap_begin(struct mend *mend)
{
	size_t len = history_len(mend->hz), n = us(mend->hz, WINDOW_US);
	size_t max = us(mend->hz, MAX_LAG_US);
	int16_t *end = mend->history + len;

	mend->at = 0;
	mend->faded = 0;
	mend->lag = (uint32_t)best_lag(end - n, -1, n, us(mend->hz, MIN_LAG_US), max, mend->hz);

	/* The period's end runs into its own beginning: both are made alike (overlap-add). */
	for (size_t i = 0, b = mend->lag / 4; i < b; i++)
		end[(ptrdiff_t)(i - b)] = blend(end[(ptrdiff_t)(i - b)],
						end[(ptrdiff_t)(i - b - mend->lag)], i, b);
}

void mend_invent(struct mend *mend, int16_t *pcm, size_t n)
{
	if (!mend->n) {
		memset(pcm, 0, n * sizeof(*pcm));
		return;
	}
	if (!mend->lag)
		gap_begin(mend);
	for (size_t i = 0; i < n; i++)
		pcm[i] = next_invented(mend);
}

void mend_keep(struct mend *mend, int16_t *pcm, size_t n)
{
	size_t b = us(mend->hz, BLEND_US);

	b = b < n ? b : n;
	for (size_t i = 0; mend->lag && i < b; i++)
		pcm[i] = blend(next_invented(mend), pcm[i], i, b);
	mend->lag = 0;
	remember(mend, pcm, n);
}

/* Silence has no period: the longest step will do. */
static size_t step_lag(const int16_t *pcm, size_t n, uint32_t hz)
{
	size_t max = us(hz, STEP_LAG_US);

	if (loudest(pcm, n) < 64)
		return max;
	return best_lag(pcm, 1, n - max, us(hz, MIN_LAG_US), max, hz);
}

size_t mend_shorten(int16_t *pcm, size_t n, uint32_t hz)
{
	size_t max = us(hz, STEP_LAG_US), lag, b;

	if (n < 2 * max)
		return n;

	lag = step_lag(pcm, n, hz);
	b = n - lag < lag ? n - lag : lag;
	for (size_t i = 0; i < b; i++)
		pcm[i] = blend(pcm[i], pcm[i + lag], i, b);
	memmove(pcm + b, pcm + b + lag, (n - b - lag) * sizeof(*pcm));
	return n - lag;
}

size_t mend_lengthen(int16_t *pcm, size_t n, uint32_t hz)
{
	size_t max = us(hz, STEP_LAG_US), lag, b;

	if (n < 2 * max)
		return n;

	/* a b c ... becomes a (b blended into a) b c ...: the sound steps back by one period */
	lag = step_lag(pcm, n, hz);
	b = n - lag < lag ? n - lag : lag;
	memmove(pcm + lag, pcm, n * sizeof(*pcm));
	/* pcm[0..lag) is the beginning as it was; pcm[lag..) begins anew. Blend the seam. */
	for (size_t i = 0; i < b; i++)
		pcm[lag + i] = blend(pcm[2 * lag + i], pcm[lag + i], i, b);
	return n + lag;
}
