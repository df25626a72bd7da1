/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_TESTS_WAVFIX_H
#define AOIDE_TESTS_WAVFIX_H

#include <stddef.h>
#include <stdint.h>

/* Sound files for tests, and what can be heard in samples. */

/* A WAV of a tone at a quarter of full scale; hz 0: silence. Stereo: both sides the same. */
void wav_tone(const char *path, uint32_t rate_hz, unsigned channels, double hz, uint32_t ms);

/* How much of the energy is that tone: 0..1. */
double pcm_tone_share(const int16_t *pcm, size_t n, uint32_t rate_hz, double hz);
double pcm_rms(const int16_t *pcm, size_t n); /* full scale 1.0 */
/* G.711 A-law as our phones get it. */
void pcm_from_alaw(int16_t *pcm, const uint8_t *data, size_t n);

#endif
