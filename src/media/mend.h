/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_MEND_H
#define AOIDE_MEDIA_MEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Mends a signal in which something is missing or that is too short or too long, by its own period:
 * the way of G.711 appendix I, at any rate. Pure arithmetic.
 */
#define MEND_MAX_HZ     48000
#define MEND_HISTORY_MS 40

struct mend {
	uint32_t hz;
	uint32_t n;       /* samples kept */
	uint32_t lag;     /* period that is being repeated, 0: nothing is missing */
	uint32_t at;      /* in it */
	uint32_t faded;   /* samples invented */
	int16_t history[]; /* the last MEND_HISTORY_MS */
};

size_t mend_bytes(uint32_t hz); /* of a struct mend for the rate */
void mend_init(struct mend *mend, uint32_t hz);

/* Sound that has come. After a gap its beginning is blended with what was invented. */
void mend_keep(struct mend *mend, int16_t *pcm, size_t n);

/* n samples in place of what has not come; silence after 60 ms. */
void mend_invent(struct mend *mend, int16_t *pcm, size_t n);

/* Longest change that one call makes. */
#define MEND_STEP_MS 10

/* Takes one period out of the sound, 10 ms at most. Returns the samples left; n if it is too short. */
size_t mend_shorten(int16_t *pcm, size_t n, uint32_t hz);

/* Repeats one period, 10 ms at most. pcm has room for that. Returns the samples there are now. */
size_t mend_lengthen(int16_t *pcm, size_t n, uint32_t hz);

#endif
