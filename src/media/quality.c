/* SPDX-License-Identifier: Apache-2.0 */
#include "media/quality.h"

#include <stdbool.h>

#define R_NARROW 93.2 /* ITU-T G.107 with all its defaults */
#define R_WIDE   129  /* ITU-T G.107.1 with all its defaults: the same scale, continued */

/*
 * Equipment impairment Ie and robustness against random loss Bpl, with concealment at the receiver
 * (ITU-T G.113 appendix I).
 */
static const struct impairment {
	double ie, bpl;
} narrow[MEDIA_CODECS] = {
	[MEDIA_CODEC_OTHER] = { 0, 25.1 }, [MEDIA_PCMA] = { 0, 25.1 }, [MEDIA_PCMU] = { 0, 25.1 },
	[MEDIA_G722] = { 0, 25.1 },	   [MEDIA_GSM] = { 20, 10 },   [MEDIA_OPUS] = { 0, 25.1 },
	[MEDIA_L16] = { 0, 25.1 },	   [MEDIA_G726_32] = { 7, 25.1 }, [MEDIA_G729] = { 11, 19 },
};

/*
 * Wide band: appendix IV gives Ie 13 for G.722 at 64 kbit/s, and Bpl 4.3 for the codec of the same Ie,
 * G.722.2 at 12.65 kbit/s. It has no row for Opus, which is taken for G.722.2 at its best rate (Ie 8),
 * nor for samples as they are. 95 in the formula below is the same as for narrow band.
 */
static const struct impairment wide[MEDIA_CODECS] = {
	[MEDIA_G722] = { 13, 4.3 }, [MEDIA_OPUS] = { 8, 4.3 }, [MEDIA_L16] = { 0, 4.3 },
};

uint16_t quality_mos_x100(const struct quality *quality)
{
	bool is_wide = quality->hz > 8000 && wide[quality->codec].bpl > 0;
	const struct impairment *codec = &(is_wide ? wide : narrow)[quality->codec];
	double loss = quality->lost_ppm < 1000000 ? quality->lost_ppm / 10000.0 : 100;
	double delay = quality->delay_ms;
	double r, mos;

	r = is_wide ? R_WIDE : R_NARROW;
	r -= codec->ie + (95 - codec->ie) * loss / (loss + codec->bpl); /* G.107 section 7.5, G.107.1 section 7.5 */
	r -= 0.024 * delay + (delay > 177.3 ? 0.11 * (delay - 177.3) : 0); /* Id, the usual approximation */
	if (r <= 0)
		return 100;
	if (r >= 100) /* G.107 annex B: better than the best telephone */
		return 450;

	mos = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6;     /* annex B */
	return mos < 1 ? 100 : (uint16_t)(mos * 100 + 0.5);
}
