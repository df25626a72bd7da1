/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_MOH_H
#define AOIDE_MEDIA_MOH_H

#include <stddef.h>
#include <stdint.h>
#include "media/client.h"

/*
 * Music on hold: a file decoded once, encoded once per codec and shared by all who listen. Built by
 * a loader thread, immutable afterwards, readable from any thread.
 */
#define MOH_MAX_S    600 /* of a file; the rest is not played */
#define MOH_FRAME_MS 20

struct moh;

struct moh_track {
	enum media_codec codec;
	uint32_t clock_hz;      /* RTP clock */
	uint32_t frame_ts;      /* timestamp units of a frame */
	uint32_t n_frames;
	uint32_t frame_bytes;   /* 0: frames differ in size, see offsets */
	const uint32_t *offsets; /* n_frames + 1 */
	const uint8_t *data;
};

/* Reads a WAV file of any common rate and format. -ENOENT, -EINVAL (not audio), -ENOMEM. */
int moh_load(struct moh **ret, const char *path);
void moh_free(struct moh *moh);

/* NULL: music cannot be sent in this codec. moh may be NULL. */
const struct moh_track *moh_track(const struct moh *moh, enum media_codec codec,
				  uint32_t clock_hz);

/* n frames from one on, as one payload; returns its length. frame must be below n_frames; fewer frames
 * come back at the end of the track or when the codec packs one frame only. */
size_t moh_payload(const struct moh_track *track, uint32_t frame, uint32_t *n,
		   const uint8_t **payload);

#endif
