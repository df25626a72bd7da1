/* SPDX-License-Identifier: Apache-2.0 */
#include "wavfix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <sndfile.h>

void wav_tone(const char *path, uint32_t rate_hz, unsigned channels, double hz, uint32_t ms)
{
	SF_INFO info = { .samplerate = (int)rate_hz,
			 .channels = (int)channels,
			 .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16 };
	SNDFILE *file = sf_open(path, SFM_WRITE, &info);
	size_t n = (size_t)rate_hz * ms / 1000;
	short *v = calloc(n * channels, sizeof(*v));

	assert_non_null(file);
	assert_non_null(v);
	for (size_t i = 0; i < n; i++)
		for (unsigned c = 0; c < channels; c++)
			v[i * channels + c] =
				(short)lrint(8192 * sin(2 * M_PI * hz * (double)i / rate_hz));
	assert_int_equal(sf_writef_short(file, v, (sf_count_t)n), n);
	free(v);
	sf_close(file);
}

double pcm_tone_share(const int16_t *pcm, size_t n, uint32_t rate_hz, double hz)
{
	double re = 0, im = 0, all = 0;

	for (size_t i = 0; i < n; i++) {
		double w = 2 * M_PI * hz * (double)i / rate_hz;

		re += pcm[i] * cos(w);
		im += pcm[i] * sin(w);
		all += (double)pcm[i] * pcm[i];
	}
	return all > 0 ? 2 * (re * re + im * im) / ((double)n * all) : 0;
}

double pcm_rms(const int16_t *pcm, size_t n)
{
	double all = 0;

	for (size_t i = 0; i < n; i++)
		all += (double)pcm[i] * pcm[i];
	return n ? sqrt(all / (double)n) / 32768 : 0;
}

void pcm_from_alaw(int16_t *pcm, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int a = data[i] ^ 0x55, seg = (a & 0x70) >> 4, v = (a & 0x0f) << 4;

		v = seg ? (v + 0x108) << (seg - 1) : v + 8;
		pcm[i] = (int16_t)(a & 0x80 ? v : -v);
	}
}
