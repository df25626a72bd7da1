/* SPDX-License-Identifier: Apache-2.0 */
#include "media/music.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/log.h"
#include "media/protocol.h"

#define BUCKETS   256
#define FRAME_US  (SOUND_FRAME_MS * 1000)
#define ON_TIME_US 1000000 /* a file that ended so long ago is followed without a gap */

struct music_class {
	struct music_class *next;
	uint32_t id;
	bool random;
	char **files;    /* names of sounds */
	uint32_t n_files;
	char **coming;   /* being told */
	uint32_t n_coming, max_coming;

	uint32_t at;         /* the file that plays */
	uint64_t started_us; /* its beginning; 0: nobody has listened yet */
};

struct music {
	struct sounds *sounds;
	pthread_mutex_t lock; /* what follows */
	struct music_class *table[BUCKETS];
	uint32_t n_classes;
	uint64_t seed;
};

/* ------------------------------------------------------------------ what there is */

static struct music_class *class_find(struct music *music, uint32_t id)
{
	struct music_class *class = music->table[id % BUCKETS];

	while (class && class->id != id)
		class = class->next;
	return class;
}

static struct music_class *class_get(struct music *music, uint32_t id)
{
	struct music_class *class = class_find(music, id);

	if (class || music->n_classes == MUSIC_MAX_CLASSES)
		return class;
	class = calloc(1, sizeof(*class));
	if (!class)
		return NULL;
	class->id = id;
	class->next = music->table[id % BUCKETS];
	music->table[id % BUCKETS] = class;
	music->n_classes++;
	return class;
}

static void files_free(char **files, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		free(files[i]);
	free(files);
}

static void class_free(struct music_class *class)
{
	files_free(class->files, class->n_files);
	files_free(class->coming, class->n_coming);
	free(class);
}

static void class_remove(struct music *music, uint32_t id)
{
	struct music_class **at = &music->table[id % BUCKETS], *class;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	class = *at;
	if (!class)
		return;
	*at = class->next;
	music->n_classes--;
	class_free(class);
}

static int add_coming(struct music_class *class, const char *path)
{
	char name[SOUND_MAX_NAME];

	if (class->n_coming == MUSIC_MAX_FILES)
		return -ENOSPC;
	if (class->n_coming == class->max_coming) {
		uint32_t max = class->max_coming ? 2 * class->max_coming : 8;
		char **files = realloc(class->coming, max * sizeof(*files));

		if (!files)
			return -ENOMEM;
		class->coming = files;
		class->max_coming = max;
	}
	(void)snprintf(name, sizeof(name), "file:%s", path);
	class->coming[class->n_coming] = strdup(name);
	if (!class->coming[class->n_coming])
		return -ENOMEM;
	class->n_coming++;
	return 0;
}

static bool same_files(const struct music_class *class)
{
	if (class->n_files != class->n_coming)
		return false;
	for (uint32_t i = 0; i < class->n_files; i++)
		if (strcmp(class->files[i], class->coming[i]))
			return false;
	return true;
}

/* The list is complete. What plays goes on when it is still the same. */
static void take_coming(struct music_class *class, bool random)
{
	class->random = random;
	if (same_files(class)) {
		files_free(class->coming, class->n_coming);
	} else {
		files_free(class->files, class->n_files);
		class->files = class->coming;
		class->n_files = class->n_coming;
		class->at = 0;
		class->started_us = 0;
	}
	class->coming = NULL;
	class->n_coming = class->max_coming = 0;
}

void music_file(struct music *music, const struct mp_moh_file *msg)
{
	struct music_class *class;
	int err = -ENOMEM;

	pthread_mutex_lock(&music->lock);
	if (msg->flags & MP_MOH_NONE) {
		class_remove(music, msg->moh_class);
		err = 0;
		goto out;
	}
	class = class_get(music, msg->moh_class);
	if (!class)
		goto out;
	if (!msg->index) {
		files_free(class->coming, class->n_coming);
		class->coming = NULL;
		class->n_coming = class->max_coming = 0;
	}
	err = add_coming(class, msg->path);
	if (msg->flags & MP_MOH_LAST)
		take_coming(class, msg->flags & MP_MOH_RANDOM);
out:
	pthread_mutex_unlock(&music->lock);
	if (err)
		log_error("media.music", "a file of a class of music was left out",
			  kv_int("class", msg->moh_class), kv_text("file", msg->path), kv_err(err));
}

/* ------------------------------------------------------------------ what plays */

static uint32_t next_file(struct music *music, const struct music_class *class)
{
	if (!class->random || class->n_files < 3)
		return (class->at + 1) % class->n_files;

	/* xorshift64; any other file than the one that has just ended */
	music->seed ^= music->seed << 13;
	music->seed ^= music->seed >> 7;
	music->seed ^= music->seed << 17;
	return (class->at + 1 + (uint32_t)(music->seed % (class->n_files - 1))) % class->n_files;
}

static uint32_t first_file(struct music *music, const struct music_class *class)
{
	return class->random ? next_file(music, class) : 0;
}

/* Moves on to the file that plays at now_us. -EAGAIN: look again, another file plays. */
static int class_place(struct music *music, struct music_class *class, const struct sound *sound,
		       uint64_t now_us, uint32_t *frame)
{
	uint64_t span_us = (uint64_t)sound_frames(sound) * FRAME_US;
	uint64_t passed_us = now_us > class->started_us ? now_us - class->started_us : 0;

	if (passed_us < span_us) {
		*frame = (uint32_t)(passed_us / FRAME_US);
		return 0;
	}
	if (class->n_files == 1) {
		class->started_us += passed_us / span_us * span_us;
		*frame = (uint32_t)(passed_us % span_us / FRAME_US);
		return 0;
	}
	class->at = next_file(music, class);
	class->started_us =
		passed_us - span_us < ON_TIME_US ? class->started_us + span_us : now_us;
	return -EAGAIN;
}

static int class_now(struct sound **ret, uint32_t *frame, struct music *music,
		     struct music_class *class, int gain_db, uint64_t now_us)
{
	int err = -ENOENT;

	if (!class->started_us) {
		class->started_us = now_us;
		class->at = first_file(music, class);
	}
	for (uint32_t tries = 0; tries < 2 * class->n_files; tries++) {
		struct sound *sound;

		err = sounds_get(&sound, music->sounds, class->files[class->at], gain_db);
		if (err == -EINPROGRESS)
			return err;
		if (err) { /* the cache has told it; another one plays instead */
			class->at = (class->at + 1) % class->n_files;
			class->started_us = now_us;
			continue;
		}
		err = class_place(music, class, sound, now_us, frame);
		if (!err) {
			*ret = sound;
			return 0;
		}
		sound_unref(sound);
	}
	return err == -EAGAIN ? -EINPROGRESS : err;
}

int music_now(struct sound **ret, uint32_t *frame, struct music *music, uint32_t moh_class,
	      int gain_db, uint64_t now_us)
{
	struct music_class *class;
	int err = -ENOENT;

	pthread_mutex_lock(&music->lock);
	class = class_find(music, moh_class);
	if (class && class->n_files)
		err = class_now(ret, frame, music, class, gain_db, now_us);
	class = class_find(music, 0);
	if (err && err != -EINPROGRESS && moh_class && class)
		err = class_now(ret, frame, music, class, gain_db, now_us);
	pthread_mutex_unlock(&music->lock);
	return err;
}

int music_nth(struct sound **ret, struct music *music, uint32_t moh_class, int gain_db, uint32_t index)
{
	struct music_class *class;
	int err = -ENOENT;

	pthread_mutex_lock(&music->lock);
	class = class_find(music, moh_class);
	if (!class || !class->n_files)
		class = class_find(music, 0);
	if (class && class->n_files)
		err = sounds_get(ret, music->sounds, class->files[index % class->n_files], gain_db);
	pthread_mutex_unlock(&music->lock);
	return err;
}

/* ------------------------------------------------------------------ life */

int music_alloc(struct music **ret, struct sounds *sounds, const char *default_file)
{
	struct music *music = calloc(1, sizeof(*music));
	struct music_class *class = NULL;
	int err = 0;

	if (!music)
		return -ENOMEM;
	music->sounds = sounds;
	pthread_mutex_init(&music->lock, NULL);
	if (getrandom(&music->seed, sizeof(music->seed), GRND_NONBLOCK) < 0 || !music->seed)
		music->seed = 88172645463325252ull; /* the order only has to vary, not to be secret */

	if (default_file) {
		class = class_get(music, 0);
		err = class ? add_coming(class, default_file) : -ENOMEM;
		if (!err)
			take_coming(class, false);
	}
	if (err) {
		music_free(music);
		return err;
	}
	*ret = music;
	return 0;
}

void music_free(struct music *music)
{
	if (!music)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		struct music_class *next;

		for (struct music_class *c = music->table[i]; c; c = next) {
			next = c->next;
			class_free(c);
		}
	}
	pthread_mutex_destroy(&music->lock);
	free(music);
}
