/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "media/music.h"
#include "media/protocol.h"
#include "media/sound.h"
#include "wavfix.h"

struct cache {
	struct sounds *sounds;
	char dir[64];
	pthread_mutex_t lock;
	pthread_cond_t cond;
	unsigned ready;
};

static void ready_h(void *arg)
{
	struct cache *cache = arg;

	pthread_mutex_lock(&cache->lock);
	cache->ready++;
	pthread_cond_broadcast(&cache->cond);
	pthread_mutex_unlock(&cache->lock);
}

static void cache_open(struct cache *cache, size_t max_bytes)
{
	memset(cache, 0, sizeof(*cache));
	pthread_mutex_init(&cache->lock, NULL);
	pthread_cond_init(&cache->cond, NULL);
	(void)snprintf(cache->dir, sizeof(cache->dir), "/tmp/aoide-sound-XXXXXX");
	assert_non_null(mkdtemp(cache->dir));
	assert_int_equal(sounds_alloc(&cache->sounds,
				      &(struct sounds_opts){ .max_bytes = max_bytes,
							     .ready_h = ready_h,
							     .arg = cache }),
			 0);
}

static void cache_close(struct cache *cache)
{
	char command[128];

	sounds_free(cache->sounds);
	(void)snprintf(command, sizeof(command), "rm -r %s", cache->dir);
	assert_int_equal(system(command), 0);
	pthread_cond_destroy(&cache->cond);
	pthread_mutex_destroy(&cache->lock);
}

static const char *name_of(const struct cache *cache, char *buf, const char *file)
{
	(void)snprintf(buf, SOUND_MAX_NAME, "file:%s/%s", cache->dir, file);
	return buf;
}

/* Until something is ready that was not before. */
static void wait_ready(struct cache *cache, unsigned seen)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	pthread_mutex_lock(&cache->lock);
	while (cache->ready == seen)
		assert_int_equal(pthread_cond_timedwait(&cache->cond, &cache->lock, &until), 0);
	pthread_mutex_unlock(&cache->lock);
}

static unsigned seen(struct cache *cache)
{
	unsigned n;

	pthread_mutex_lock(&cache->lock);
	n = cache->ready;
	pthread_mutex_unlock(&cache->lock);
	return n;
}

static int get(struct sound **ret, struct cache *cache, const char *name, int gain_db)
{
	for (;;) {
		unsigned n = seen(cache);
		int err = sounds_get(ret, cache->sounds, name, gain_db);

		if (err != -EINPROGRESS)
			return err;
		wait_ready(cache, n);
	}
}

/* All samples of a sound at a rate; the caller frees. */
static int16_t *samples(struct cache *cache, struct sound *sound, uint32_t hz, size_t *n)
{
	const struct sound_track *track;
	const uint8_t *payload;
	uint32_t frame = hz / SOUND_FPS, left = sound_frames(sound), at = 0;
	int16_t *all = calloc(left, frame * sizeof(*all));

	assert_non_null(all);
	while (sound_pcm(&track, sound, hz) == -EINPROGRESS)
		usleep(1000);
	while (at < left) {
		uint32_t count = left - at;
		bool failed;
		size_t len = sound_payload(track, at, &count, &payload, &failed);

		assert_false(failed);
		if (!len) {
			usleep(1000);
			continue;
		}
		assert_int_equal(len, count * frame * sizeof(*all));
		memcpy(all + at * frame, payload, len);
		at += count;
	}
	*n = left * frame;
	return all;
}

/* ------------------------------------------------------------------ files */

static void any_rate_and_stereo_keep_their_pitch(void **state)
{
	static const struct {
		uint32_t rate_hz;
		unsigned channels;
	} files[] = { { 8000, 1 }, { 11025, 1 }, { 16000, 2 }, { 22050, 1 }, { 44100, 2 }, { 48000, 2 },
		      { 96000, 1 } };
	static const uint32_t rates[] = { 8000, 16000, 48000 };
	struct cache cache;
	char name[SOUND_MAX_NAME];

	cache_open(&cache, 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct sound *sound;

		name_of(&cache, name, "tone.wav");
		wav_tone(name + 5, files[i].rate_hz, files[i].channels, 700, 1010);
		assert_int_equal(get(&sound, &cache, name, (int)i), 0); /* a volume each: no cache */
		assert_int_equal(sound_frames(sound), 51); /* the last is filled up */
		for (size_t k = 0; k < 3; k++) {
			size_t n;
			int16_t *pcm = samples(&cache, sound, rates[k], &n);
			double share = pcm_tone_share(pcm + n / 10, n / 2, rates[k], 700);

			assert_true(share > 0.98);
			free(pcm);
		}
		sound_unref(sound);
	}
	cache_close(&cache);
}

static void every_codec_has_frames_of_its_size(void **state)
{
	static const struct {
		enum media_codec codec;
		uint32_t clock_hz, frame_ts, bytes;
	} expected[] = {
		{ MEDIA_PCMA, 8000, 160, 160 }, { MEDIA_PCMU, 8000, 160, 160 },
		{ MEDIA_G722, 8000, 160, 160 }, { MEDIA_GSM, 8000, 160, 33 },
		{ MEDIA_OPUS, 48000, 960, 0 },	{ MEDIA_L16, 16000, 320, 640 },
		{ MEDIA_G726_32, 8000, 160, 80 },
	};
	struct cache cache;
	struct sound *sound;
	char name[SOUND_MAX_NAME];

	cache_open(&cache, 0);
	wav_tone(name_of(&cache, name, "a.wav") + 5, 8000, 1, 440, 1000);
	assert_int_equal(get(&sound, &cache, name, 0), 0);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		const struct sound_track *track;
		const uint8_t *payload;
		uint32_t frames;
		size_t len;

		while (sound_track(&track, sound, expected[i].codec, expected[i].clock_hz) ==
		       -EINPROGRESS)
			usleep(1000);
		assert_int_equal(sound_frame_ts(track), expected[i].frame_ts);
		do {
			frames = 3;
			len = sound_payload(track, 48, &frames, &payload, NULL);
		} while (!len || (expected[i].bytes && frames != 2));
		assert_int_equal(frames, expected[i].bytes ? 2 : 1);
		assert_true(expected[i].bytes ? len == 2 * expected[i].bytes : len > 0 && len < 320);
		frames = 1;
		assert_int_equal(sound_payload(track, 50, &frames, &payload, NULL), 0);
	}
	{
		const struct sound_track *track;

		assert_int_equal(sound_track(&track, sound, MEDIA_CODEC_OTHER, 8000), -ENOTSUP);
	}
	sound_unref(sound);
	cache_close(&cache);
}

static void what_is_no_sound_is_told(void **state)
{
	static const char *const bad[] = {
		"", "file:", "file:relative.wav", "music", "tone:", "tone:425", "tone:425/", "tone:a/1",
		"tone:425/100,", "tone:425/0,400/5", "tone:1+2+3+4+5/100", "tone:9000/100", "silence:",
		"silence:0", "silence:-1", "silence:99999999999", "dtmf:", "dtmf:12x", "moh:1",
		"file:/proc/self/exe", "file:/tmp", "file:/dev/zero",
	};
	struct cache cache;
	struct sound *sound;

	cache_open(&cache, 0);
	assert_int_equal(get(&sound, &cache, "file:/nonexistent.wav", 0), -ENOENT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int err = get(&sound, &cache, bad[i], 0);

		if (err != -EINVAL && err != -ENOENT)
			fail_msg("%s: %d", bad[i], err);
	}
	cache_close(&cache);
}

static void a_changed_file_is_read_anew(void **state)
{
	struct cache cache;
	struct sound *first, *again, *other;
	char name[SOUND_MAX_NAME];
	int16_t *pcm;
	size_t n;

	cache_open(&cache, 0);
	wav_tone(name_of(&cache, name, "a.wav") + 5, 8000, 1, 440, 500);
	assert_int_equal(get(&first, &cache, name, 0), 0);
	assert_int_equal(get(&again, &cache, name, 0), 0);
	assert_ptr_equal(first, again);
	sound_unref(again);

	wav_tone(name + 5, 8000, 1, 900, 800);
	usleep(1100000);
	assert_int_equal(get(&other, &cache, name, 0), 0);
	assert_ptr_not_equal(first, other);
	assert_int_equal(sound_frames(first), 25);
	assert_int_equal(sound_frames(other), 40);
	pcm = samples(&cache, other, 8000, &n);
	assert_true(pcm_tone_share(pcm, n, 8000, 900) > 0.98);
	free(pcm);
	sound_unref(first);
	sound_unref(other);

	/* And one that has gone is missed; the same when it comes back. */
	assert_int_equal(unlink(name + 5), 0);
	usleep(1100000);
	assert_int_equal(get(&first, &cache, name, 0), -ENOENT);
	wav_tone(name + 5, 8000, 1, 440, 500);
	usleep(1100000);
	assert_int_equal(get(&first, &cache, name, 0), 0);
	sound_unref(first);
	cache_close(&cache);
}

static void the_cache_stays_within_its_bytes(void **state)
{
	struct sounds_stats stats;
	struct cache cache;
	struct sound *kept = NULL;
	char name[SOUND_MAX_NAME], file[32];

	cache_open(&cache, 200000); /* twelve of one second as samples of 8 kHz */
	for (int i = 0; i < 40; i++) {
		struct sound *sound;
		int16_t *pcm;
		size_t n;

		(void)snprintf(file, sizeof(file), "%d.wav", i);
		wav_tone(name_of(&cache, name, file) + 5, 8000, 1, 440, 1000);
		assert_int_equal(get(&sound, &cache, name, 0), 0);
		pcm = samples(&cache, sound, 8000, &n);
		free(pcm);
		if (!i)
			kept = sound;
		else
			sound_unref(sound);
	}
	usleep(20000);
	sounds_stats(cache.sounds, &stats);
	assert_in_range(stats.bytes, 100000, 220000);
	assert_true(stats.evicted > 20);
	assert_int_equal(stats.misses, 40);
	{
		size_t n; /* what is played is not taken away */
		int16_t *pcm = samples(&cache, kept, 8000, &n);

		assert_true(pcm_tone_share(pcm, n, 8000, 440) > 0.98);
		free(pcm);
	}
	sound_unref(kept);
	cache_close(&cache);
}

/* ------------------------------------------------------------------ made sounds */

static void tones_have_their_cadence(void **state)
{
	struct cache cache;
	struct sound *sound;
	int16_t *pcm;
	uint32_t from;
	size_t n;

	cache_open(&cache, 0);
	assert_int_equal(get(&sound, &cache, "tone:425/1000,0/4000", 0), 0);
	assert_int_equal(sound_frames(sound), 250);
	assert_false(sound_is_endless(sound, &from));
	pcm = samples(&cache, sound, 8000, &n);
	assert_true(pcm_tone_share(pcm + 100, 7800, 8000, 425) > 0.99);
	assert_true(pcm_rms(pcm, 8000) > 0.08);
	assert_true(pcm_rms(pcm + 8000, 32000) == 0);
	free(pcm);
	sound_unref(sound);

	/* A tone without end begins with a frame and repeats without a jump. */
	assert_int_equal(get(&sound, &cache, "tone:500/130,350+440/0", 0), 0);
	assert_true(sound_is_endless(sound, &from));
	assert_int_equal(from, 7);
	assert_int_equal(sound_frames(sound), 57);
	pcm = samples(&cache, sound, 8000, &n);
	assert_true(pcm_tone_share(pcm + 1120, 8000, 8000, 350) > 0.49);
	assert_true(pcm_tone_share(pcm + 1120, 8000, 8000, 440) > 0.49);
	assert_true(abs(pcm[1120] - pcm[n - 1]) < 3300);
	free(pcm);
	sound_unref(sound);

	assert_int_equal(get(&sound, &cache, "dtmf:5#", 0), 0);
	assert_int_equal(sound_frames(sound), 20);
	pcm = samples(&cache, sound, 8000, &n);
	assert_true(pcm_tone_share(pcm, 800, 8000, 770) > 0.45);
	assert_true(pcm_tone_share(pcm, 800, 8000, 1336) > 0.45);
	assert_true(pcm_rms(pcm + 800, 800) == 0);
	assert_true(pcm_tone_share(pcm + 1600, 800, 8000, 941) > 0.45);
	free(pcm);
	sound_unref(sound);

	assert_int_equal(get(&sound, &cache, "silence:130", 0), 0);
	assert_int_equal(sound_frames(sound), 7);
	sound_unref(sound);
	cache_close(&cache);
}

static void volume_is_part_of_the_sound(void **state)
{
	struct cache cache;
	struct sound *loud, *quiet;
	int16_t *a, *b;
	size_t n;

	cache_open(&cache, 0);
	assert_int_equal(get(&loud, &cache, "tone:400/200", 0), 0);
	assert_int_equal(get(&quiet, &cache, "tone:400/200", -20), 0);
	assert_ptr_not_equal(loud, quiet);
	a = samples(&cache, loud, 8000, &n);
	b = samples(&cache, quiet, 8000, &n);
	assert_true(pcm_rms(b, n) > 0.09 * pcm_rms(a, n) && pcm_rms(b, n) < 0.11 * pcm_rms(a, n));
	free(a);
	free(b);
	sound_unref(loud);
	sound_unref(quiet);
	cache_close(&cache);
}

/* ------------------------------------------------------------------ classes of music */

static void tell_file(struct music *music, uint32_t id, const char *path, uint16_t index,
		      uint16_t flags)
{
	struct mp_moh_file msg = { .moh_class = id, .index = index, .flags = flags };

	assert_true(strlen(path) < sizeof(msg.path));
	strcpy(msg.path, path);
	music_file(music, &msg);
}

static uint32_t place(struct cache *cache, struct music *music, uint32_t id, uint64_t ms,
		      uint32_t *frames)
{
	struct sound *sound;
	uint32_t frame;
	int err;

	do {
		unsigned n = seen(cache);

		err = music_now(&sound, &frame, music, id, 0, ms * 1000);
		if (err == -EINPROGRESS)
			wait_ready(cache, n);
	} while (err == -EINPROGRESS);
	assert_int_equal(err, 0);
	*frames = sound_frames(sound);
	sound_unref(sound);
	return frame;
}

/* PLT-31: top to bottom; everybody is at the same place; the list goes round. */
static void a_class_plays_on_for_all(void **state)
{
	struct music *music;
	struct cache cache;
	char one[SOUND_MAX_NAME], two[SOUND_MAX_NAME], gone[SOUND_MAX_NAME];
	uint32_t frames;

	cache_open(&cache, 0);
	wav_tone(name_of(&cache, one, "1.wav") + 5, 8000, 1, 440, 1000);
	wav_tone(name_of(&cache, two, "2.wav") + 5, 8000, 1, 440, 2000);
	name_of(&cache, gone, "gone.wav");
	assert_int_equal(music_alloc(&music, cache.sounds, one + 5), 0);

	tell_file(music, 7, one + 5, 0, 0);
	tell_file(music, 7, gone + 5, 1, 0);
	tell_file(music, 7, two + 5, 2, MP_MOH_LAST);
	assert_int_equal(place(&cache, music, 7, 1000, &frames), 0); /* it begins with the first listener */
	assert_int_equal(frames, 50);
	assert_int_equal(place(&cache, music, 7, 1500, &frames), 25);
	(void)place(&cache, music, 7, 2000, &frames); /* the missing one is left out */
	assert_int_equal(frames, 100);
	assert_int_equal(place(&cache, music, 7, 3900, &frames), 95);
	assert_int_equal(place(&cache, music, 7, 4100, &frames), 5);
	assert_int_equal(frames, 50);

	/* The same list told again changes nothing, another one begins. */
	tell_file(music, 7, one + 5, 0, 0);
	tell_file(music, 7, gone + 5, 1, 0);
	tell_file(music, 7, two + 5, 2, MP_MOH_LAST);
	assert_int_equal(place(&cache, music, 7, 4200, &frames), 10);
	tell_file(music, 7, two + 5, 0, MP_MOH_LAST);
	assert_int_equal(place(&cache, music, 7, 4300, &frames), 0);
	assert_int_equal(frames, 100);
	assert_int_equal(place(&cache, music, 7, 4300 + 7000, &frames), 50); /* one file goes round */

	/* A class that is not there, or no more, is the default. */
	(void)place(&cache, music, 9, 5000, &frames);
	assert_int_equal(frames, 50);
	tell_file(music, 7, "", 0, MP_MOH_NONE | MP_MOH_LAST);
	(void)place(&cache, music, 7, 5000, &frames);
	assert_int_equal(frames, 50);
	music_free(music);
	cache_close(&cache);
}

static void a_random_class_plays_all_of_its_files(void **state)
{
	struct music *music;
	struct cache cache;
	char name[4][SOUND_MAX_NAME], file[8];
	unsigned heard[4] = { 0 }, same = 0;
	uint32_t frames, last = 0;

	cache_open(&cache, 0);
	assert_int_equal(music_alloc(&music, cache.sounds, NULL), 0);
	for (uint16_t i = 0; i < 4; i++) {
		(void)snprintf(file, sizeof(file), "%d.wav", i);
		wav_tone(name_of(&cache, name[i], file) + 5, 8000, 1, 440, 1000u + 100u * i);
		tell_file(music, 1, name[i] + 5, i, MP_MOH_RANDOM | (i == 3 ? MP_MOH_LAST : 0));
	}
	for (uint64_t ms = 1000; ms < 400000; ms += 2000) {
		(void)place(&cache, music, 1, ms, &frames);
		same += frames == last;
		last = frames;
		heard[(frames - 50) / 5]++;
	}
	for (int i = 0; i < 4; i++)
		assert_true(heard[i] > 10);
	assert_true(same < 100);
	music_free(music);
	cache_close(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_rate_and_stereo_keep_their_pitch),
		cmocka_unit_test(every_codec_has_frames_of_its_size),
		cmocka_unit_test(what_is_no_sound_is_told),
		cmocka_unit_test(a_changed_file_is_read_anew),
		cmocka_unit_test(the_cache_stays_within_its_bytes),
		cmocka_unit_test(tones_have_their_cadence),
		cmocka_unit_test(volume_is_part_of_the_sound),
		cmocka_unit_test(a_class_plays_on_for_all),
		cmocka_unit_test(a_random_class_plays_all_of_its_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
