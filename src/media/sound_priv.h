/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_SOUND_PRIV_H
#define AOIDE_MEDIA_SOUND_PRIV_H

#include <stdatomic.h>
#include <sys/stat.h>
#include "media/sound.h"

/* Shared by sound.c (the cache) and source.c (where samples come from). */
#define SOUND_KINDS       16 /* ways to encode: the table of codecs, and samples of each rate */
#define SOUND_MAX_RATE_HZ 48000

struct sound_track {
	uint32_t frame_ts;
	bool packs_many;    /* several frames may follow each other in a payload */
	uint8_t *data;
	uint32_t *offsets;  /* one more than frames */
	_Atomic uint32_t n_ready;
	_Atomic bool failed;
};

struct sound {
	_Atomic int refs;
	struct sounds *cache;
	char name[SOUND_MAX_NAME];
	int gain_db;
	_Atomic(struct sound_track *) tracks[SOUND_KINDS];

	/* written by the cache's thread before anybody is given the sound */
	uint32_t n_frames, loop_frame;
	bool is_endless, is_file;
	struct stat file;

	/* under the lock of the cache */
	struct sound *hash_next, *newer, *older, *next_check;
	bool is_listed, is_asked;
	uint64_t checked_at_ms; /* 0: never */
	int err, stat_err;
	uint32_t wanted; /* bit per kind */
	size_t bytes;
};

/* ------------------------------------------------------------------ source.c */

/* The file of a sound's name; NULL: it is none. */
const char *sound_path(const char *name);

/* Samples of a sound, from its beginning. One thread. */
struct source;
/* rate_hz 0: only to look at it. -ENOENT, -EINVAL (not a sound), -ENOMEM. */
int source_open(struct source **ret, const char *name, uint32_t rate_hz);
void source_close(struct source *source); /* NULL is fine */
uint32_t source_frames(const struct source *source);
bool source_is_endless(const struct source *source, uint32_t *from_frame);
void source_set_gain(struct source *source, int gain_db);
/* The next n samples; silence after the end. */
void source_read(struct source *source, int16_t *samples, size_t n);

#endif
