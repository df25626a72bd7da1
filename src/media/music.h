/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_MUSIC_H
#define AOIDE_MEDIA_MUSIC_H

#include <stdint.h>
#include "media/sound.h"

/*
 * Classes of music on hold (PLT-31): lists of files that play on, in order or at random, whether
 * somebody listens or not. All listeners of a class are at the same place, as with a radio. Class 0,
 * and a class that is not known or has nothing to play, is the default file. Any thread.
 */
#define MUSIC_MAX_CLASSES 65536
#define MUSIC_MAX_FILES   1024 /* of a class */

struct music;
struct mp_moh_file;

/* default_file: NULL or missing: silence. sounds is borrowed and must live longer. */
int music_alloc(struct music **ret, struct sounds *sounds, const char *default_file);
void music_free(struct music *music);

/* A file of a class, one after the other (protocol.h). */
void music_file(struct music *music, const struct mp_moh_file *msg);

/* What a class plays at this moment, and where in it. Errors as sounds_get(). */
int music_now(struct sound **ret, uint32_t *frame, struct music *music, uint32_t moh_class,
	      int gain_db, uint64_t now_us);

/*
 * The same for a listener who does not share the place: the index'th file from the beginning, files in
 * their order; counting goes on after the last.
 */
int music_nth(struct sound **ret, struct music *music, uint32_t moh_class, int gain_db,
	      uint32_t index);

#endif
