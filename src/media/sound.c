/* SPDX-License-Identifier: Apache-2.0 */
#include "media/sound.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "media/codec.h"
#include "media/sound_priv.h"

#define DEFAULT_BYTES   (256u << 20)
#define BUCKETS         1024 /* a power of two */
#define MAX_SOUNDS      16384
#define FRESH_MS        1000 /* so long a look at the disk is good */
#define MAX_OPUS_FRAME  320  /* four times what its rate of bits needs on average */
#define STEP_FRAMES     10   /* encoded of one track before another one has its turn */

/* What a sound can be encoded as: the rows of the codec table, then samples. */
struct kind {
	const struct codec *codec; /* NULL: samples in host order */
	uint32_t clock_hz, rate_hz;
	uint32_t max_frame;
};

static const uint32_t pcm_rates[] = { 8000, 16000, 48000 };
#define N_PCM (sizeof(pcm_rates) / sizeof(pcm_rates[0]))

/* A track that is being encoded. */
struct job {
	struct job *next;
	struct sound *sound; /* a reference */
	unsigned kind;
	bool started;
	struct source *source;
	struct codec_enc *encoder; /* NULL for samples */
	size_t at; /* bytes written */
};

struct sounds {
	struct sounds_opts opts;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* what follows */
	pthread_cond_t work;
	bool stopping;
	struct sound *table[BUCKETS];
	struct sound *newest, *oldest; /* by use */
	struct sound *to_check;        /* a list by next_check; references */
	struct job *jobs, **jobs_end;
	struct sounds_stats stats;
};

/* ------------------------------------------------------------------ kinds */

static struct kind kind_at(unsigned index)
{
	size_t n;
	const struct codec *const *codecs = codec_all(&n);
	const struct codec *codec = index < n ? codecs[index] : NULL;
	uint32_t hz = codec ? codec_hz(codec, SOUND_MAX_RATE_HZ) : pcm_rates[index - n];

	return (struct kind){
		.codec = codec,
		.clock_hz = codec ? codec->clock_hz : hz,
		.rate_hz = hz,
		.max_frame = !codec ? hz / SOUND_FPS * (uint32_t)sizeof(int16_t)
			     : codec->frame_bytes
				     ? (uint32_t)codec->frame_bytes * SOUND_FRAME_MS / codec->frame_ms
				     : MAX_OPUS_FRAME,
	};
}

static int kind_of_codec(enum media_codec id, uint32_t clock_hz)
{
	size_t n;
	const struct codec *const *codecs = codec_all(&n);

	for (size_t i = 0; i < n && i < SOUND_KINDS - N_PCM; i++)
		if (codecs[i]->id == id && codecs[i]->clock_hz == clock_hz &&
		    SOUND_FRAME_MS % codecs[i]->frame_ms == 0)
			return (int)i;
	return -ENOTSUP;
}

static int kind_of_pcm(uint32_t hz)
{
	size_t n;

	(void)codec_all(&n);
	for (size_t i = 0; i < N_PCM && n + i < SOUND_KINDS; i++)
		if (pcm_rates[i] == hz)
			return (int)(n + i);
	return -ENOTSUP;
}

/* ------------------------------------------------------------------ references */

static void track_free(struct sound_track *track)
{
	if (!track)
		return;
	free(track->data);
	free(track->offsets);
	free(track);
}

static void sound_free(struct sound *sound)
{
	for (unsigned i = 0; i < SOUND_KINDS; i++)
		track_free(atomic_load_explicit(&sound->tracks[i], memory_order_relaxed));
	free(sound);
}

static struct sound *sound_ref(struct sound *sound)
{
	atomic_fetch_add_explicit(&sound->refs, 1, memory_order_relaxed);
	return sound;
}

void sound_unref(struct sound *sound)
{
	if (sound && atomic_fetch_sub_explicit(&sound->refs, 1, memory_order_acq_rel) == 1)
		sound_free(sound);
}

/* ------------------------------------------------------------------ the table, under the lock */

static unsigned bucket_of(const char *name, int gain_db)
{
	uint32_t h = 2166136261u ^ (uint32_t)gain_db;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return (h ^ h >> 15) & (BUCKETS - 1);
}

static struct sound *table_find(struct sounds *sounds, const char *name, int gain_db)
{
	struct sound *sound = sounds->table[bucket_of(name, gain_db)];

	while (sound && (sound->gain_db != gain_db || strcmp(sound->name, name)))
		sound = sound->hash_next;
	return sound;
}

static void lru_out(struct sounds *sounds, struct sound *sound)
{
	*(sound->newer ? &sound->newer->older : &sounds->newest) = sound->older;
	*(sound->older ? &sound->older->newer : &sounds->oldest) = sound->newer;
}

static void lru_in(struct sounds *sounds, struct sound *sound)
{
	sound->newer = NULL;
	sound->older = sounds->newest;
	*(sounds->newest ? &sounds->newest->newer : &sounds->oldest) = sound;
	sounds->newest = sound;
}

static void table_in(struct sounds *sounds, struct sound *sound)
{
	struct sound **head = &sounds->table[bucket_of(sound->name, sound->gain_db)];

	sound->hash_next = *head;
	*head = sound;
	lru_in(sounds, sound);
	sound->is_listed = true;
	sounds->stats.sounds++;
}

/* Whoever plays it keeps it; nobody finds it any more. */
static void table_out(struct sounds *sounds, struct sound *sound)
{
	struct sound **at = &sounds->table[bucket_of(sound->name, sound->gain_db)];

	while (*at != sound)
		at = &(*at)->hash_next;
	*at = sound->hash_next;
	lru_out(sounds, sound);
	sound->is_listed = false;
	sounds->stats.sounds--;
	sounds->stats.bytes -= sound->bytes;
	sound_unref(sound);
}

/* Makes room by what nobody has played for longest. */
static void evict(struct sounds *sounds)
{
	struct sound *newer;

	for (struct sound *s = sounds->oldest; s; s = newer) {
		newer = s->newer;
		if (sounds->stats.bytes <= sounds->opts.max_bytes &&
		    sounds->stats.sounds < MAX_SOUNDS)
			return;
		if (atomic_load_explicit(&s->refs, memory_order_acquire) > 1)
			continue;
		table_out(sounds, s);
		sounds->stats.evicted++;
	}
}

static struct sound *sound_new(struct sounds *sounds, const char *name, int gain_db)
{
	struct sound *sound = calloc(1, sizeof(*sound));

	if (!sound)
		return NULL;
	sound->cache = sounds;
	sound->gain_db = gain_db;
	(void)snprintf(sound->name, sizeof(sound->name), "%s", name);
	atomic_store_explicit(&sound->refs, 1, memory_order_relaxed);
	return sound;
}

/* The thread has to look at the disk first. */
static void ask_check(struct sounds *sounds, struct sound *sound)
{
	if (sound->is_asked)
		return;
	sound->is_asked = true;
	sound->next_check = sounds->to_check;
	sounds->to_check = sound_ref(sound);
	pthread_cond_signal(&sounds->work);
}

int sounds_get(struct sound **ret, struct sounds *sounds, const char *name, int gain_db)
{
	struct sound *sound;
	int err = 0;

	if (strlen(name) >= SOUND_MAX_NAME)
		return -EINVAL;
	gain_db = gain_db > SOUND_MAX_GAIN_DB    ? SOUND_MAX_GAIN_DB
		  : gain_db < -SOUND_MAX_GAIN_DB ? -SOUND_MAX_GAIN_DB
						 : gain_db;

	pthread_mutex_lock(&sounds->lock);
	sound = table_find(sounds, name, gain_db);
	if (!sound) {
		evict(sounds);
		if (sounds->stats.sounds >= MAX_SOUNDS || sounds->stats.bytes > sounds->opts.max_bytes) {
			err = -ENOSPC;
			goto out;
		}
		sound = sound_new(sounds, name, gain_db);
		if (!sound) {
			err = -ENOMEM;
			goto out;
		}
		table_in(sounds, sound);
		sounds->stats.misses++;
	} else {
		lru_out(sounds, sound);
		lru_in(sounds, sound);
	}

	if (!sound->checked_at_ms || (sound->is_file && clk_mono_ms() - sound->checked_at_ms > FRESH_MS)) {
		ask_check(sounds, sound);
		err = -EINPROGRESS;
	} else if (sound->err) {
		err = sound->err;
	} else {
		*ret = sound_ref(sound);
		sounds->stats.hits++;
	}
out:
	pthread_mutex_unlock(&sounds->lock);
	return err;
}

/* ------------------------------------------------------------------ tracks */

uint32_t sound_frames(const struct sound *sound)
{
	return sound->n_frames;
}

bool sound_is_endless(const struct sound *sound, uint32_t *from_frame)
{
	*from_frame = sound->loop_frame;
	return sound->is_endless;
}

static int want_track(struct sound *sound, unsigned kind)
{
	struct sounds *sounds = sound->cache;
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		return -ENOMEM;

	pthread_mutex_lock(&sounds->lock);
	if (sound->wanted & 1u << kind || sounds->stopping) {
		free(job);
	} else {
		sound->wanted |= 1u << kind;
		job->sound = sound_ref(sound);
		job->kind = kind;
		*sounds->jobs_end = job;
		sounds->jobs_end = &job->next;
		pthread_cond_signal(&sounds->work);
	}
	pthread_mutex_unlock(&sounds->lock);
	return -EINPROGRESS;
}

static int track_get(const struct sound_track **ret, struct sound *sound, int kind)
{
	struct sound_track *track;

	if (kind < 0)
		return kind;
	track = atomic_load_explicit(&sound->tracks[kind], memory_order_acquire);
	if (!track)
		return want_track(sound, (unsigned)kind);
	*ret = track;
	return 0;
}

int sound_track(const struct sound_track **ret, struct sound *sound, enum media_codec codec,
		uint32_t clock_hz)
{
	return track_get(ret, sound, kind_of_codec(codec, clock_hz));
}

int sound_pcm(const struct sound_track **ret, struct sound *sound, uint32_t hz)
{
	return track_get(ret, sound, kind_of_pcm(hz));
}

uint32_t sound_frame_ts(const struct sound_track *track)
{
	return track->frame_ts;
}

size_t sound_payload(const struct sound_track *track, uint32_t frame, uint32_t *n,
		     const uint8_t **payload, bool *failed)
{
	uint32_t ready = atomic_load_explicit(&track->n_ready, memory_order_acquire);
	uint32_t count = track->packs_many && *n ? *n : 1;

	if (failed)
		*failed = atomic_load_explicit(&track->failed, memory_order_relaxed);
	if (frame >= ready) {
		*n = 0;
		return 0;
	}
	if (count > ready - frame)
		count = ready - frame;
	*n = count;
	*payload = track->data + track->offsets[frame];
	return track->offsets[frame + count] - track->offsets[frame];
}

/* ------------------------------------------------------------------ the thread: looking at a file */

static void tell_ready(struct sounds *sounds)
{
	if (sounds->opts.ready_h)
		sounds->opts.ready_h(sounds->opts.arg);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Puts a new sound of that name in the place of one that no longer tells what is on the disk. */
static struct sound *replace(struct sounds *sounds, struct sound *old)
{
	struct sound *sound = sound_new(sounds, old->name, old->gain_db);

	if (!sound)
		return NULL;
	table_out(sounds, old);
	table_in(sounds, sound);
	return sound;
}

static void check_file(struct sounds *sounds, struct sound *sound, const char *path)
{
	struct source *source = NULL;
	struct stat now = { 0 };
	int stat_err = stat(path, &now) ? -errno : 0, err = stat_err;
	bool changed = !sound->checked_at_ms || stat_err != sound->stat_err ||
		       !same_file(&now, &sound->file);

	if (changed && !err)
		err = source_open(&source, sound->name, 0);

	pthread_mutex_lock(&sounds->lock);
	if (changed && sound->checked_at_ms && sound->is_listed) {
		sound->checked_at_ms = clk_mono_ms();
		sound = replace(sounds, sound);
	}
	if (sound && changed) {
		sound->n_frames = source ? source_frames(source) : 0;
		sound->file = now;
		sound->is_file = true;
		sound->stat_err = stat_err;
		sound->err = err;
	}
	if (sound)
		sound->checked_at_ms = clk_mono_ms();
	sounds->stats.read_errors += changed && err;
	pthread_mutex_unlock(&sounds->lock);

	if (changed && err)
		log_error("media.sound.read", "a sound cannot be read; look at the file",
			  kv_text("file", path), kv_err(err));
	source_close(source);
}

/* Tones never change. */
static void check_made(struct sounds *sounds, struct sound *sound)
{
	struct source *source = NULL;
	int err = source_open(&source, sound->name, 8000);

	pthread_mutex_lock(&sounds->lock);
	sound->err = err;
	if (!err) {
		sound->n_frames = source_frames(source);
		sound->is_endless = source_is_endless(source, &sound->loop_frame);
	}
	sound->checked_at_ms = clk_mono_ms();
	sounds->stats.read_errors += err != 0;
	pthread_mutex_unlock(&sounds->lock);

	if (err)
		log_error("media.sound.name", "this is not the name of a sound",
			  kv_text("sound", sound->name), kv_err(err));
	source_close(source);
}

static void run_checks(struct sounds *sounds)
{
	struct sound *list, *next;

	pthread_mutex_lock(&sounds->lock);
	list = sounds->to_check;
	sounds->to_check = NULL;
	for (struct sound *s = list; s; s = s->next_check)
		s->is_asked = false;
	pthread_mutex_unlock(&sounds->lock);

	for (struct sound *s = list; s; s = next) {
		const char *path = sound_path(s->name);

		next = s->next_check;
		if (path)
			check_file(sounds, s, path);
		else
			check_made(sounds, s);
		sound_unref(s);
	}
	if (list)
		tell_ready(sounds);
}

/* ------------------------------------------------------------------ the thread: encoding */

static int job_start(struct job *job)
{
	struct kind kind = kind_at(job->kind);
	struct sound *sound = job->sound;
	struct sound_track *track;
	int err;

	job->started = true;
	err = source_open(&job->source, sound->name, kind.rate_hz);
	if (!err && kind.codec)
		err = codec_enc_alloc(&job->encoder, kind.codec,
				      &(struct codec_opts){ .hz = kind.rate_hz, .music = true });
	if (err)
		return err;
	source_set_gain(job->source, sound->gain_db);

	track = calloc(1, sizeof(*track));
	if (!track)
		return -ENOMEM;
	track->frame_ts = kind.clock_hz / SOUND_FPS;
	track->packs_many = !kind.codec || kind.codec->frame_bytes;
	track->data = malloc((size_t)sound->n_frames * kind.max_frame);
	track->offsets = malloc(((size_t)sound->n_frames + 1) * sizeof(*track->offsets));
	if (!track->data || !track->offsets) {
		track_free(track);
		return -ENOMEM;
	}
	track->offsets[0] = 0;
	job->at = 0;
	atomic_store_explicit(&sound->tracks[job->kind], track, memory_order_release);
	return 0;
}

/* One frame; returns its bytes or a negative error. */
static int encode(const struct job *job, const struct kind *kind, uint8_t *data, const int16_t *frame)
{
	size_t n = kind->rate_hz / SOUND_FPS;

	if (kind->codec)
		return codec_encode(job->encoder, data, kind->max_frame, frame, n);
	memcpy(data, frame, n * sizeof(*frame));
	return (int)(n * sizeof(*frame));
}

/* Some frames more. Returns 1 when there are no more, 0 when there are, or a negative error. */
static int job_step(struct job *job)
{
	struct kind kind = kind_at(job->kind);
	struct sound_track *track =
		atomic_load_explicit(&job->sound->tracks[job->kind], memory_order_relaxed);
	uint32_t n = atomic_load_explicit(&track->n_ready, memory_order_relaxed);
	int16_t frame[SOUND_MAX_RATE_HZ / SOUND_FPS];

	for (int i = 0; i < STEP_FRAMES && n < job->sound->n_frames; i++, n++) {
		int len;

		source_read(job->source, frame, kind.rate_hz / SOUND_FPS);
		len = encode(job, &kind, track->data + job->at, frame);
		if (len <= 0)
			return len ? len : -EINVAL;
		job->at += (size_t)len;
		track->offsets[n + 1] = (uint32_t)job->at;
		atomic_store_explicit(&track->n_ready, n + 1, memory_order_release);
	}
	return n == job->sound->n_frames;
}

static void job_free(struct job *job)
{
	codec_enc_free(job->encoder);
	source_close(job->source);
	sound_unref(job->sound);
	free(job);
}

static void job_failed(struct sounds *sounds, struct job *job, int err)
{
	struct sound *sound = job->sound;
	struct sound_track *track =
		atomic_load_explicit(&sound->tracks[job->kind], memory_order_relaxed);

	const struct kind kind = kind_at(job->kind);

	log_error("media.sound.encode", "a sound cannot be encoded; those who play it hear silence",
		  kv_text("sound", sound->name), kv_text("codec", kind.codec ? kind.codec->name : "samples"),
		  kv_err(err));
	pthread_mutex_lock(&sounds->lock);
	sounds->stats.read_errors++;
	/* The file may have gone meanwhile: who asks next looks at the disk again. */
	if (sound->is_listed)
		table_out(sounds, sound);
	pthread_mutex_unlock(&sounds->lock);
	if (!track) {
		track = calloc(1, sizeof(*track));
		if (!track)
			return;
	}
	atomic_store_explicit(&track->failed, true, memory_order_relaxed);
	atomic_store_explicit(&sound->tracks[job->kind], track, memory_order_release);
}

static void job_done(struct sounds *sounds, struct job *job)
{
	size_t bytes = job->at + (job->sound->n_frames + 1) * sizeof(uint32_t);

	pthread_mutex_lock(&sounds->lock);
	job->sound->bytes += bytes;
	if (job->sound->is_listed)
		sounds->stats.bytes += bytes;
	pthread_mutex_unlock(&sounds->lock);
}

/* One step of the first job, which then waits behind the others. */
static void run_job(struct sounds *sounds)
{
	struct job *job;
	bool first;
	int n;

	pthread_mutex_lock(&sounds->lock);
	job = sounds->jobs;
	sounds->jobs = job->next;
	if (!sounds->jobs)
		sounds->jobs_end = &sounds->jobs;
	job->next = NULL;
	pthread_mutex_unlock(&sounds->lock);

	first = !job->started;
	n = first ? job_start(job) : 0;
	if (!n)
		n = job_step(job);
	if (n < 0)
		job_failed(sounds, job, n);
	if (n > 0)
		job_done(sounds, job);
	if (n) {
		job_free(job);
		pthread_mutex_lock(&sounds->lock);
		evict(sounds);
		pthread_mutex_unlock(&sounds->lock);
	} else {
		pthread_mutex_lock(&sounds->lock);
		*sounds->jobs_end = job;
		sounds->jobs_end = &job->next;
		pthread_mutex_unlock(&sounds->lock);
	}
	if (first || n)
		tell_ready(sounds);
}

static void *thread_main(void *arg)
{
	struct sounds *sounds = arg;
	bool has_jobs;

	(void)pthread_setname_np(pthread_self(), "sounds");
	for (;;) {
		pthread_mutex_lock(&sounds->lock);
		while (!sounds->stopping && !sounds->to_check && !sounds->jobs)
			pthread_cond_wait(&sounds->work, &sounds->lock);
		has_jobs = sounds->jobs;
		if (sounds->stopping) {
			pthread_mutex_unlock(&sounds->lock);
			return NULL;
		}
		pthread_mutex_unlock(&sounds->lock);

		run_checks(sounds);
		if (has_jobs)
			run_job(sounds);
	}
}

/* ------------------------------------------------------------------ life */

int sounds_alloc(struct sounds **ret, const struct sounds_opts *opts)
{
	struct sounds *sounds = calloc(1, sizeof(*sounds));
	int err;

	if (!sounds)
		return -ENOMEM;

	sounds->opts = *opts;
	if (!sounds->opts.max_bytes)
		sounds->opts.max_bytes = DEFAULT_BYTES;
	sounds->jobs_end = &sounds->jobs;
	pthread_mutex_init(&sounds->lock, NULL);
	pthread_cond_init(&sounds->work, NULL);
	err = -pthread_create(&sounds->thread, NULL, thread_main, sounds);
	if (err) {
		sounds_free(sounds);
		return err;
	}
	sounds->started = true;
	*ret = sounds;
	return 0;
}

void sounds_stop(struct sounds *sounds)
{
	if (!sounds || !sounds->started)
		return;
	pthread_mutex_lock(&sounds->lock);
	sounds->stopping = true;
	pthread_cond_signal(&sounds->work);
	pthread_mutex_unlock(&sounds->lock);
	pthread_join(sounds->thread, NULL);
	sounds->started = false;
}

void sounds_free(struct sounds *sounds)
{
	struct job *job;
	struct sound *sound;

	if (!sounds)
		return;
	sounds_stop(sounds);
	while ((job = sounds->jobs)) {
		sounds->jobs = job->next;
		job_free(job);
	}
	while ((sound = sounds->to_check)) {
		sounds->to_check = sound->next_check;
		sound_unref(sound);
	}
	while (sounds->newest)
		table_out(sounds, sounds->newest);
	pthread_cond_destroy(&sounds->work);
	pthread_mutex_destroy(&sounds->lock);
	free(sounds);
}

void sounds_stats(struct sounds *sounds, struct sounds_stats *ret)
{
	pthread_mutex_lock(&sounds->lock);
	*ret = sounds->stats;
	pthread_mutex_unlock(&sounds->lock);
}
