/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/convert.h"
#include "testdb.h"

/* Sound made here, converted, and looked at again. */
struct sound {
	int format, rate, channels;
	double hz, level, seconds;
};

static void write_sound(const char *path, const struct sound *s)
{
	SF_INFO info = { .format = s->format, .samplerate = s->rate, .channels = s->channels };
	SNDFILE *file = sf_open(path, SFM_WRITE, &info);
	int n = (int)(s->seconds * s->rate);
	float frame[8];

	assert_non_null(file);
	for (int i = 0; i < n; i++) {
		for (int c = 0; c < s->channels; c++)
			frame[c] = (float)(s->level * sin(2 * M_PI * s->hz * i / s->rate));
		assert_int_equal(sf_writef_float(file, frame, 1), 1);
	}
	sf_close(file);
}

struct result {
	SF_INFO info;
	double peak, rms, hz;
};

static void look_at(struct result *r, const char *path)
{
	SNDFILE *file = sf_open(path, SFM_READ, &r->info);
	short *pcm;
	sf_count_t n;
	int crossings = 0;

	assert_non_null(file);
	pcm = calloc((size_t)r->info.frames + 1, sizeof(*pcm));
	n = sf_read_short(file, pcm, r->info.frames);
	r->peak = r->rms = 0;
	for (sf_count_t i = 0; i < n; i++) {
		double x = pcm[i] / 32767.0;

		r->peak = fabs(x) > r->peak ? fabs(x) : r->peak;
		r->rms += x * x;
		crossings += i && pcm[i - 1] < 0 && pcm[i] >= 0;
	}
	r->rms = sqrt(r->rms / (double)n);
	r->hz = crossings * (double)r->info.samplerate / (double)n;
	free(pcm);
	sf_close(file);
}

static const char *convert(const char *from, const char *to, struct audio_info *info)
{
	return audio_convert_file(from, to, NULL, info);
}

static void every_form_becomes_the_stored_one(void **state)
{
	static const struct {
		struct sound in;
		int rate;
	} cases[] = {
		{ { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, 440, 0.3, 1 }, 8000 },
		{ { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, 2, 440, 0.3, 1 }, 48000 },
		{ { SF_FORMAT_WAV | SF_FORMAT_PCM_24, 16000, 1, 440, 0.3, 1 }, 16000 },
		{ { SF_FORMAT_WAV | SF_FORMAT_FLOAT, 96000, 6, 440, 0.3, 1 }, 48000 },
		{ { SF_FORMAT_WAV | SF_FORMAT_ULAW, 8000, 1, 440, 0.3, 1 }, 8000 },
		{ { SF_FORMAT_WAV | SF_FORMAT_GSM610, 8000, 1, 440, 0.3, 1 }, 8000 },
		{ { SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 6000, 1, 440, 0.3, 1 }, 8000 },
		{ { SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 22050, 1, 440, 0.3, 1 }, 48000 },
		{ { SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, 2, 440, 0.3, 1 }, 48000 },
		{ { SF_FORMAT_OGG | SF_FORMAT_VORBIS, 44100, 1, 440, 0.3, 1 }, 48000 },
		{ { SF_FORMAT_OGG | SF_FORMAT_OPUS, 48000, 1, 440, 0.3, 1 }, 48000 },
		{ { SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 44100, 1, 440, 0.3, 1 }, 48000 },
		{ { SF_FORMAT_W64 | SF_FORMAT_PCM_16, 11025, 1, 440, 0.3, 1 }, 16000 },
		{ { SF_FORMAT_CAF | SF_FORMAT_PCM_16, 32000, 1, 440, 0.3, 1 }, 48000 },
	};
	char dir[128], from[160], to[160];

	testdb_mkdir(dir, sizeof(dir));
	(void)snprintf(from, sizeof(from), "%s/in", dir);
	(void)snprintf(to, sizeof(to), "%s/a/b/out.wav", dir);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct audio_info info = { 0 };
		struct result r = { .info = { 0 } };
		const char *reason;

		write_sound(from, &cases[i].in);
		reason = convert(from, to, &info);
		if (reason)
			fail_msg("case %zu: %s", i, reason);
		look_at(&r, to);
		assert_int_equal(r.info.format, SF_FORMAT_WAV | SF_FORMAT_PCM_16);
		assert_int_equal(r.info.channels, 1);
		assert_int_equal(r.info.samplerate, cases[i].rate);
		assert_int_equal(info.rate_hz, cases[i].rate);
		/* An MP3 pads its ends with up to three frames. */
		assert_in_range(info.duration_ms, 990, 1090);
		if (fabs(r.hz - 440) > 44)
			fail_msg("case %zu: %f Hz", i, r.hz);
		/* As loud as it was: 0.3 / sqrt(2). */
		if (fabs(r.rms - 0.2121) > 0.02)
			fail_msg("case %zu: level %f", i, r.rms);
	}
	testdb_rmdir(dir);
}

static void nothing_is_cut_off(void **state)
{
	/* Floats far above full scale, and a square wave whose change of rate overshoots. */
	static const struct sound loud = { SF_FORMAT_WAV | SF_FORMAT_FLOAT, 44100, 1, 440, 4.0, 0.5 };
	char dir[128], from[160], to[160];
	struct audio_info info = { 0 };
	struct result r = { .info = { 0 } };

	testdb_mkdir(dir, sizeof(dir));
	(void)snprintf(from, sizeof(from), "%s/in", dir);
	(void)snprintf(to, sizeof(to), "%s/out.wav", dir);
	write_sound(from, &loud);
	assert_null(convert(from, to, &info));
	look_at(&r, to);
	assert_true(r.peak > 0.98);
	assert_true(fabs(r.rms - 0.7071) < 0.02); /* still a sine, not a square */
	assert_true(fabs(r.hz - 440) < 5);
	testdb_rmdir(dir);
}

static void put_file(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "wb");

	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, len, file), len);
	fclose(file);
}

static void broken_files_are_refused_and_leave_the_old_one(void **state)
{
	static const struct sound good = { SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 44100, 1, 440, 0.3, 3 };
	char dir[128], from[160], to[160], part[200];
	static uint8_t junk[200000];
	struct audio_info info = { 0 };
	struct stat before, after;

	testdb_mkdir(dir, sizeof(dir));
	(void)snprintf(from, sizeof(from), "%s/in", dir);
	(void)snprintf(to, sizeof(to), "%s/out.wav", dir);
	(void)snprintf(part, sizeof(part), "%s.part", to);
	write_sound(from, &good);
	assert_null(convert(from, to, &info));
	assert_int_equal(stat(to, &before), 0);

	assert_int_equal(truncate(from, 20000), 0);
	assert_string_equal(convert(from, to, &info), "damaged");
	assert_int_equal(truncate(from, 30), 0);
	assert_string_equal(convert(from, to, &info), "unreadable");
	assert_int_equal(truncate(from, 0), 0);
	assert_string_equal(convert(from, to, &info), "unreadable");
	srand(7);
	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = (uint8_t)rand();
	put_file(from, junk, sizeof(junk));
	assert_string_equal(convert(from, to, &info), "unreadable");
	(void)unlink(from);
	assert_string_equal(convert(from, to, &info), "lost");

	assert_int_equal(stat(to, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(before.st_size, after.st_size);
	assert_int_equal(access(part, F_OK), -1);
	testdb_rmdir(dir);
}

static void a_conversion_can_be_stopped(void **state)
{
	static const struct sound one = { SF_FORMAT_WAV | SF_FORMAT_PCM_16, 44100, 1, 440, 0.3, 200 };
	const atomic_bool stop = true;
	char dir[128], from[160], to[160];
	struct audio_info info = { 0 };

	testdb_mkdir(dir, sizeof(dir));
	(void)snprintf(from, sizeof(from), "%s/in", dir);
	(void)snprintf(to, sizeof(to), "%s/out.wav", dir);
	write_sound(from, &one);
	assert_string_equal(audio_convert_file(from, to, &stop, &info), "stopped");
	assert_int_equal(access(to, F_OK), -1);
	testdb_rmdir(dir);
}

/* ------------------------------------------------------------------ archives */

static bool wants_wav(const char *path, void *arg)
{
	return strstr(path, ".wav") != NULL;
}

static int count_file(const char *path, const char *incoming, int64_t bytes, void *arg)
{
	int *n = arg;

	++*n;
	return 0;
}

static void what_is_no_archive_is_refused(void **state)
{
	char dir[128], path[160];
	int n = 0, fd;

	testdb_mkdir(dir, sizeof(dir));
	(void)snprintf(path, sizeof(path), "%s/in.zip", dir);
	put_file(path, "PK\3\4 not really", 16);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_non_null(audio_unpack(fd, dir, 1 << 20, wants_wav, count_file, &n));
	(void)close(fd);
	put_file(path, "hello", 5);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_string_equal(audio_unpack(fd, dir, 1 << 20, wants_wav, count_file, &n), "unreadable");
	(void)close(fd);
	assert_int_equal(n, 0);
	testdb_rmdir(dir);
}

int main(int argc, char *argv[])
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_becomes_the_stored_one),
		cmocka_unit_test(nothing_is_cut_off),
		cmocka_unit_test(broken_files_are_refused_and_leave_the_old_one),
		cmocka_unit_test(a_conversion_can_be_stopped),
		cmocka_unit_test(what_is_no_archive_is_refused),
	};

	/* The jailed child is this very program, as it is `aoide` in the product. */
	if (argc > 1 && (!strcmp(argv[1], "convert") || !strcmp(argv[1], "unpack")))
		audio_child_main(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
