/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_SOUND_H
#define AOIDE_MEDIA_SOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "media/client.h"

/*
 * The cache of what can be played: prompts, music, tones. A sound is read once and encoded once per
 * codec by a thread of the cache, and is then shared by everybody who plays it. It can be played
 * from its first frame on, while the rest is still being encoded. No function waits for a disk.
 *
 * Any thread. Names are those of media_play() except "moh:" (media/music.h).
 */
#define SOUND_FRAME_MS   20
#define SOUND_FPS        (1000 / SOUND_FRAME_MS)
#define SOUND_MAX_S      3600 /* of one sound; the rest is not played */
#define SOUND_MAX_NAME   256
#define SOUND_MAX_GAIN_DB 40

struct sounds;
struct sound;       /* one sound at one volume; references are counted */
struct sound_track; /* a sound in one codec; belongs to the sound */

/* Something that was not there is there now, or has failed. In the thread of the cache. */
typedef void(sound_ready_h)(void *arg);

struct sounds_opts {
	size_t max_bytes; /* encoded sound kept; sounds that nobody plays leave first. 0: default */
	sound_ready_h *ready_h;
	void *arg;
};

int sounds_alloc(struct sounds **ret, const struct sounds_opts *opts);
/* Ends the thread: nothing is read any more, ready_h is not called any more. NULL is fine. */
void sounds_stop(struct sounds *sounds);
/* References must have been given back. NULL is fine. */
void sounds_free(struct sounds *sounds);

/*
 * A new reference. A file that changed is read anew: what was seen on the disk more than a second ago
 * is looked at again before it is used.
 *
 * Returns 0, -EINPROGRESS (ready_h will be called: ask again), -ENOENT or -EACCES (no such file),
 * -EINVAL (not a sound), -ENOSPC (all that is cached is being played), -ENOMEM.
 */
int sounds_get(struct sound **ret, struct sounds *sounds, const char *name, int gain_db);
/* NULL is fine. */
void sound_unref(struct sound *sound);

/* Length in frames; the last is filled up with silence. */
uint32_t sound_frames(const struct sound *sound);

/* In a codec as RTP carries it; or as samples of a rate (8000, 16000, 48000), in host byte order. As
 * sounds_get(), plus -ENOTSUP (we cannot encode that). */
int sound_track(const struct sound_track **ret, struct sound *sound, enum media_codec codec,
		uint32_t clock_hz);
int sound_pcm(const struct sound_track **ret, struct sound *sound, uint32_t hz);

uint32_t sound_frame_ts(const struct sound_track *track); /* RTP timestamp units of a frame */
/* Where a sound goes on after its end: 0, or inside a tone without end. */
bool sound_is_endless(const struct sound *sound, uint32_t *from_frame);

/*
 * n frames from one on, as one payload. Fewer come back at the end, when the codec packs one frame
 * only, or when the rest is not encoded yet.
 *
 * Returns the length; 0: frame is past the end, or not encoded yet (frame < sound_frames()), or
 * *failed (may be NULL) says that it never will be.
 */
size_t sound_payload(const struct sound_track *track, uint32_t frame, uint32_t *n,
		     const uint8_t **payload, bool *failed);

struct sounds_stats {
	uint64_t hits, misses, read_errors, evicted;
	size_t bytes, sounds;
};
void sounds_stats(struct sounds *sounds, struct sounds_stats *ret);

#endif
