/* SPDX-License-Identifier: Apache-2.0 */
#include "media/quality.h"

/*
 * Equipment impairment Ie and robustness against random loss Bpl, with concealment at the receiver
 * (ITU-T G.113 appendix I). G.722, Opus and L16 have no value on the narrow-band scale: their loss
 * behaviour is that of G.711 with concealment, and without loss they cost nothing.
 */
static const struct {
	double ie, bpl;
} codecs[MEDIA_CODECS] = {
	[MEDIA_CODEC_OTHER] = { 0, 25.1 }, [MEDIA_PCMA] = { 0, 25.1 }, [MEDIA_PCMU] = { 0, 25.1 },
	[MEDIA_G722] = { 0, 25.1 },	   [MEDIA_GSM] = { 20, 10 },   [MEDIA_OPUS] = { 0, 25.1 },
	[MEDIA_L16] = { 0, 25.1 },	   [MEDIA_G726_32] = { 7, 25.1 }, [MEDIA_G729] = { 11, 19 },
};

uint16_t quality_mos_x100(const struct quality *quality)
{
	double ie = codecs[quality->codec].ie, bpl = codecs[quality->codec].bpl;
	double loss = quality->lost_ppm < 1000000 ? quality->lost_ppm / 10000.0 : 100;
	double delay = quality->delay_ms;
	double r, mos;

	r = 93.2 - (ie + (95 - ie) * loss / (loss + bpl));         /* G.107 section 3.5 */
	r -= 0.024 * delay + (delay > 177.3 ? 0.11 * (delay - 177.3) : 0); /* Id, the usual approximation */
	if (r <= 0)
		return 100;

	mos = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6;     /* annex B */
	return mos < 1 ? 100 : (uint16_t)(mos * 100 + 0.5);
}
