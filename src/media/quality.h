/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_QUALITY_H
#define AOIDE_MEDIA_QUALITY_H

#include <stdint.h>
#include "media/client.h"

/*
 * What a listener would say of the sound, estimated from what the network did to it: the E-model
 * (ITU-T G.107) with its default values and only those impairments that we can measure. docs/quality.md
 * explains the numbers. Pure, any thread.
 */
struct quality {
	enum media_codec codec;  /* MEDIA_CODEC_OTHER: taken for G.711 */
	uint32_t hz;             /* rate of its sound; more than 8000: wide band (ITU-T G.107.1) */
	uint32_t lost_ppm;       /* packets lost, or sound concealed, in millionths */
	uint32_t delay_ms;       /* mouth to ear, one way */
};

/* Mean opinion score times 100: 100 (worst) to 441 (the E-model's best for narrow band) or 450. */
uint16_t quality_mos_x100(const struct quality *quality);

#endif
