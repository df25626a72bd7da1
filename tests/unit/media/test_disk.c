/* SPDX-License-Identifier: Apache-2.0 */
/* Recordings on the disk: headers at any moment, encryption, what a slow or full disk does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <sndfile.h>
#include "base/err.h"
#include "base/log.h"
#include "base/seal.h"
#include "media/disk.h"
#include "media/vault.h"
#include "media/wav.h"

struct fix {
	char dir[64];
	struct disk *disk;
	int fd;
};

/* Without threads of ours: the test forks. */
static int setup_folder(void **state)
{
	struct fix *fix = calloc(1, sizeof(*fix));

	assert_non_null(fix);
	(void)log_level_set("*", getenv("MEDIA_LOG") ? getenv("MEDIA_LOG") : "error");
	(void)snprintf(fix->dir, sizeof(fix->dir), "/tmp/aoide-disk-XXXXXX");
	assert_non_null(mkdtemp(fix->dir));
	fix->fd = eventfd(0, EFD_CLOEXEC);
	*state = fix;
	return 0;
}

static int setup(void **state)
{
	struct fix *fix;

	(void)setup_folder(state);
	fix = *state;
	return disk_start(&fix->disk, fix->dir);
}

static int teardown(void **state)
{
	struct fix *fix = *state;
	char command[128];

	disk_stop(fix->disk);
	close(fix->fd);
	(void)snprintf(command, sizeof(command), "rm -rf %s", fix->dir);
	(void)!system(command);
	free(fix);
	return 0;
}

static const char *path_of(const struct fix *fix, const char *name)
{
	static char path[4][256];
	static int at;

	at = (at + 1) % 4;
	(void)snprintf(path[at], sizeof(path[at]), "%s/%s", fix->dir, name);
	return path[at];
}

static bool exists(const struct fix *fix, const char *name)
{
	return !access(path_of(fix, name), F_OK);
}

static off_t size_of(const struct fix *fix, const char *name)
{
	struct stat st;

	return stat(path_of(fix, name), &st) ? -1 : st.st_size;
}

static struct disk_result finish(struct fix *fix, struct disk_file *file)
{
	struct pollfd pfd = { .fd = fix->fd, .events = POLLIN };
	struct disk_result result = { .err = 1 };
	uint64_t n;

	disk_end(file, fix->fd);
	assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_int_equal(read(fix->fd, &n, sizeof(n)), sizeof(n));
	assert_true(disk_done(file, &result));
	return result;
}

/* ms of tones, another one per channel, in frames of 20 ms at most as fast as the ring takes them. */
static void put_tones(struct disk_file *file, uint32_t hz, unsigned channels, const double *tones,
		      unsigned ms, unsigned counter)
{
	int16_t frame[2 * 960];
	unsigned n = hz / 50;
	static size_t times[8];
	size_t *t = &times[counter];

	for (unsigned k = 0; k < ms / 20; k++) {
		for (unsigned i = 0; i < n; i++, ++*t)
			for (unsigned c = 0; c < channels; c++)
				frame[i * channels + c] = (int16_t)(
					8000 * sin(2 * M_PI * tones[c] * (double)*t / (double)hz));
		assert_int_equal(disk_put(file, frame, n), 0);
		if (k % 100 == 99)
			usleep(150000);
	}
}

/* Share of the energy of one channel that is at hz (Goertzel over all of it). */
static double tone_share(const float *v, sf_count_t n, int channels, int channel, double rate,
			 double hz)
{
	double coeff = 2 * cos(2 * M_PI * hz / rate), s1 = 0, s2 = 0, energy = 0;

	for (sf_count_t i = 0; i < n; i++) {
		double x = v[i * channels + channel], s0 = x + coeff * s1 - s2;

		s2 = s1;
		s1 = s0;
		energy += x * x;
	}
	return energy > 0 ? (s1 * s1 + s2 * s2 - coeff * s1 * s2) * 2 / (double)n / energy : 0;
}

struct read_back {
	SF_INFO info;
	double share[2][2]; /* channel, tone */
	double level;
};

static struct read_back read_back(const char *path, const double *tones)
{
	struct read_back ret = { 0 };
	SNDFILE *file = sf_open(path, SFM_READ, &ret.info);
	sf_count_t max, n;
	float *v;

	if (!file)
		fail_msg("%s: %s", path, sf_strerror(NULL));
	max = 60 * ret.info.samplerate;
	v = calloc((size_t)(max * ret.info.channels), sizeof(*v));
	n = sf_readf_float(file, v, max);
	assert_int_equal(n, ret.info.frames);
	for (int c = 0; c < ret.info.channels; c++)
		for (int k = 0; k < 2; k++)
			ret.share[c][k] = tone_share(v, n, ret.info.channels, c, ret.info.samplerate,
						     tones[k]);
	for (sf_count_t i = 0; i < n * ret.info.channels; i++)
		ret.level += fabs(v[i]) / (double)(n * ret.info.channels);
	free(v);
	sf_close(file);
	return ret;
}

/* ------------------------------------------------------------------ */

static void only_paths_below_the_folder_are_taken(void **state)
{
	static const char *const good[] = { "a.wav", "2026/11/x y.wav", "ü/é.opus" };
	static const char *const bad[] = { "", "/etc/x", "..", "../x", "a/../b", "a//b", "a/", ".x",
					   "a/.x", "a/./b", "a\nb", "a\x7f" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(disk_path_ok(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(disk_path_ok(bad[i]));
}

static void a_stereo_wav_has_each_side_on_its_channel(void **state)
{
	struct fix *fix = *state;
	const double tones[2] = { 440, 1000 };
	struct disk_file *file;
	struct disk_result done;
	struct read_back back;

	assert_int_equal(disk_open(&file, fix->disk, &(struct disk_opts){ .path = "2026/11/a.wav",
									  .hz = 8000,
									  .channels = 2 }), 0);
	put_tones(file, 8000, 2, tones, 3000, 0);
	done = finish(fix, file);
	assert_int_equal(done.err, 0);
	assert_int_equal(done.lost_ms, 0);
	assert_int_equal(done.bytes, 44 + 3 * 8000 * 4);
	assert_false(exists(fix, "2026/11/a.wav.part"));

	back = read_back(path_of(fix, "2026/11/a.wav"), tones);
	assert_int_equal(back.info.channels, 2);
	assert_int_equal(back.info.frames, 24000);
	assert_true(back.share[0][0] > 0.95 && back.share[1][1] > 0.95);
	assert_true(back.share[0][1] < 0.01 && back.share[1][0] < 0.01);
}

static void an_opus_file_reads_back(void **state)
{
	struct fix *fix = *state;
	const double tones[2] = { 440, 1000 };
	const uint32_t rates[] = { 8000, 16000, 48000 };

	for (size_t i = 0; i < 3; i++) {
		struct disk_file *file;
		struct read_back back;
		char name[32];

		(void)snprintf(name, sizeof(name), "%u.opus", rates[i]);
		assert_int_equal(disk_open(&file, fix->disk, &(struct disk_opts){
			.path = name, .opus = true, .hz = rates[i], .channels = 2 }), 0);
		put_tones(file, rates[i], 2, tones, 2500, 0);
		assert_int_equal(finish(fix, file).err, 0);
		back = read_back(path_of(fix, name), tones);
		assert_int_equal(back.info.channels, 2);
		/* Its length is exact, though frames and look-ahead are not. */
		assert_int_equal(back.info.frames * 2 / 5, back.info.samplerate);
		assert_true(back.share[0][0] > 0.9 && back.share[1][1] > 0.9);
		assert_true(back.share[0][1] < 0.02 && back.share[1][0] < 0.02);
	}
}

static void the_name_that_exists_is_not_overwritten(void **state)
{
	struct fix *fix = *state;
	struct disk_file *file;
	int fd = open(path_of(fix, "x.wav"), O_CREAT | O_WRONLY, 0600);

	assert_int_equal(write(fd, "old", 3), 3);
	close(fd);
	assert_int_equal(disk_open(&file, fix->disk, &(struct disk_opts){ .path = "x.wav", .hz = 8000,
									  .channels = 1 }), 0);
	assert_int_equal(finish(fix, file).err, -EEXIST);
	assert_int_equal(size_of(fix, "x.wav"), 3);
}

/* Sound in the whole pages that an Ogg file has so far: the granule position of the last, in 48ths of a ms. */
static uint64_t ogg_ms(const char *path)
{
	static uint8_t data[200000];
	uint64_t granule = 0;
	FILE *file = fopen(path, "r");
	size_t n = file ? fread(data, 1, sizeof(data), file) : 0;

	if (file)
		fclose(file);
	for (size_t i = 0; i + 14 <= n; i++)
		if (!memcmp(data + i, "OggS", 4))
			memcpy(&granule, data + i + 6, sizeof(granule));
	return granule / 48;
}

/* Killed at any moment; then the next process starts. */
static void a_killed_writer_leaves_files_that_play(void **state)
{
	struct fix *fix = *state;
	const double tones[2] = { 440, 1000 };
	static const char *const names[] = { "k.wav", "k.opus", "k.wav.enc" };
	uint8_t key[VAULT_KEY_BYTES] = { 7 };

	for (int round = 0; round < 4; round++) {
		struct read_back back;
		struct disk *disk;
		char part[64];
		pid_t pid = fork();

		if (!pid) {
			struct disk_file *files[3];

			if (disk_start(&disk, fix->dir))
				_exit(1);
			for (int i = 0; i < 3; i++)
				(void)disk_open(&files[i], disk, &(struct disk_opts){
					.path = names[i], .opus = i == 1, .key = i == 2 ? key : NULL,
					.hz = 8000, .channels = 1 });
			for (int n = 0; n < 1000; n++) {
				for (int i = 0; i < 3; i++)
					put_tones(files[i], 8000, 1, tones, 40, (unsigned)i + 1);
				usleep(15000);
			}
			_exit(0);
		}
		for (int i = 0; i < 3000 && (size_of(fix, "k.wav.part") < 44 + 2 * 8000 * 2 ||
					     size_of(fix, "k.wav.enc.part") < 44 + 2 * 8000 * 2 ||
					     ogg_ms(path_of(fix, "k.opus.part")) < 1500); i++)
			usleep(10000);
		usleep((useconds_t)round * 137000);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		usleep(20000); /* no process starts within the tick of file times (4 ms) of the last write */

		/* Before any repair: a player reads it as it stands. */
		back = read_back(path_of(fix, "k.wav.part"), tones);
		assert_true(back.info.frames >= 8000 && back.share[0][0] > 0.95);

		assert_int_equal(disk_start(&disk, fix->dir), 0);
		for (int i = 0; i < 3000 && (exists(fix, "k.wav.part") || exists(fix, "k.opus.part") ||
					    exists(fix, "k.wav.enc.part")); i++)
			usleep(10000);
		disk_stop(disk);

		back = read_back(path_of(fix, "k.wav"), tones);
		assert_int_equal(44 + 2 * back.info.frames, size_of(fix, "k.wav") & ~1);
		assert_true(back.share[0][0] > 0.95);
		back = read_back(path_of(fix, "k.opus"), tones);
		assert_true(back.info.frames > back.info.samplerate && back.share[0][0] > 0.9);
		assert_int_equal(vault_open_file(path_of(fix, "k.wav.enc"), path_of(fix, "open.wav"), key),
				 -ENODATA);
		back = read_back(path_of(fix, "open.wav"), tones);
		assert_true(back.info.frames > 8000 && back.share[0][0] > 0.95);

		for (int i = 0; i < 3; i++) {
			assert_int_equal(unlink(path_of(fix, names[i])), 0);
			(void)snprintf(part, sizeof(part), "%s.part", names[i]);
			assert_false(exists(fix, part));
		}
		assert_int_equal(unlink(path_of(fix, "open.wav")), 0);
	}
}

static void lost_sound_becomes_silence_and_is_counted(void **state)
{
	struct fix *fix = *state;
	const double tones[2] = { 440, 1000 };
	struct disk_file *file;
	struct disk_result done;
	struct read_back back;
	int16_t frame[160];

	for (int i = 0; i < 160; i++)
		frame[i] = 8000;
	assert_int_equal(disk_open(&file, fix->disk, &(struct disk_opts){ .path = "slow.wav",
									  .hz = 8000, .channels = 1 }),
			 0);
	/* 13 s at once: the ring holds 4, and on a busy machine the writer may come in between. */
	for (int k = 0; k < 650; k++)
		assert_int_equal(disk_put(file, frame, 160), 0);
	usleep(400000);
	for (int k = 0; k < 50; k++)
		assert_int_equal(disk_put(file, frame, 160), 0);
	done = finish(fix, file);
	assert_int_equal(done.err, 0);
	assert_in_range(done.lost_ms, 20, 9020);
	back = read_back(path_of(fix, "slow.wav"), tones);
	assert_int_equal(back.info.frames, 700 * 160);
}

static void a_disk_that_stands_still_ends_the_recording(void **state)
{
	struct fix *fix = *state;
	struct disk_file *file;
	int err = 0;

	assert_int_equal(disk_open(&file, fix->disk, &(struct disk_opts){ .path = "still.wav",
									  .hz = 8000, .channels = 1 }),
			 0);
	for (int k = 0; k < 5000 && !err; k++)
		err = disk_put(file, NULL, 160);
	assert_int_equal(err, -ETIMEDOUT);
	(void)finish(fix, file);
}

/* The limit of file sizes stands for a full disk. */
static void a_full_disk_ends_the_recording_and_keeps_what_there_is(void **state)
{
	struct fix *fix = *state;
	const double tones[2] = { 440, 1000 };
	struct rlimit old, small = { 30000, RLIM_INFINITY };
	struct disk_file *file;
	struct disk_result done;
	struct read_back back;
	int16_t frame[160] = { 0 };
	int err = 0;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(disk_open(&file, fix->disk, &(struct disk_opts){ .path = "full.wav",
									  .hz = 8000, .channels = 1 }),
			 0);
	for (int k = 0; k < 500 && !err; k++) {
		err = disk_put(file, frame, 160);
		usleep(5000);
	}
	assert_int_equal(err, -EFBIG);
	done = finish(fix, file);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(done.err, -EFBIG);
	back = read_back(path_of(fix, "full.wav"), tones);
	assert_true(back.info.frames > 8000);
	assert_true(44 + 2 * back.info.frames <= size_of(fix, "full.wav"));
}

/* ------------------------------------------------------------------ asleep */

/* How often the thread of this name went to sleep so far. */
static long sleeps_of(const char *name)
{
	char path[300], text[4096], *at;
	DIR *dir = opendir("/proc/self/task");
	long sleeps = -1;

	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e && sleeps < 0; e = readdir(dir)) {
		FILE *file;
		size_t n;

		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
		file = fopen(path, "r");
		if (!file)
			continue;
		n = fread(text, 1, sizeof(text) - 1, file);
		fclose(file);
		text[n] = '\0';
		at = strstr(text, "\nvoluntary_ctxt_switches:");
		if (at && !strncmp(text, "Name:\t", 6) && !strncmp(text + 6, name, strlen(name)))
			sleeps = atol(at + strlen("\nvoluntary_ctxt_switches:"));
	}
	closedir(dir);
	return sleeps;
}

/* Its sleep has no end of its own: one wake that is lost would be seen here for ever. */
static void a_writer_without_files_sleeps_and_wakes_at_once(void **state)
{
	struct fix *fix = *state;
	long before;

	usleep(300000);
	before = sleeps_of("recordings");
	assert_true(before >= 0);
	usleep(1000000);
	assert_in_range(sleeps_of("recordings") - before, 0, 2);

	for (int i = 0; i < 200; i++) {
		struct disk_file *file;
		struct disk_result done;
		int16_t frame[160] = { 0 };
		char name[32], part[40];

		(void)snprintf(name, sizeof(name), "%d.wav", i);
		(void)snprintf(part, sizeof(part), "%s.part", name);
		usleep((useconds_t)(rand() % 3000));
		assert_int_equal(disk_open(&file, fix->disk,
					   &(struct disk_opts){ .path = name, .hz = 8000, .channels = 1 }),
				 0);
		assert_int_equal(disk_put(file, frame, 160), 0);
		if (i % 20 == 0) /* what nobody ends is written as well */
			for (int k = 0; k < 1000 && size_of(fix, part) < 44 + 320; k++)
				usleep(10000);
		if (i % 20 == 0)
			assert_true(size_of(fix, part) >= 44 + 320);
		done = finish(fix, file);
		assert_int_equal(done.err, 0);
		assert_int_equal(done.bytes, 44 + 320);
	}
}

/* ------------------------------------------------------------------ encryption */

struct heap {
	uint8_t data[100000];
	size_t n;
};

static int heap_write(const void *data, size_t len, void *arg)
{
	struct heap *heap = arg;

	assert_true(heap->n + len <= sizeof(heap->data));
	memcpy(heap->data + heap->n, data, len);
	heap->n += len;
	return 0;
}

static void sealed_recordings_open_again_and_only_with_the_key(void **state)
{
	static struct heap sealed, plain;
	static struct vault vault;
	uint8_t key[VAULT_KEY_BYTES] = { 1 }, other[VAULT_KEY_BYTES] = { 2 };
	static const size_t lengths[] = { 0, 1, VAULT_CHUNK - 1, VAULT_CHUNK, VAULT_CHUNK + 1, 50000 };
	static uint8_t text[50000];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * i >> 3);
	for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
		size_t len = lengths[k];

		sealed.n = plain.n = 0;
		assert_int_equal(vault_begin(&vault, key, heap_write, &sealed), 0);
		for (size_t at = 0; at < len; at += 100)
			assert_int_equal(vault_put(&vault, text + at, len - at < 100 ? len - at : 100), 0);
		assert_int_equal(vault_end(&vault), 0);

		assert_int_equal(vault_open(key, sealed.data, sealed.n, heap_write, &plain), 0);
		assert_int_equal(plain.n, len);
		assert_memory_equal(plain.data, text, len);
		assert_int_not_equal(vault_open(other, sealed.data, sealed.n, heap_write, &plain), 0);

		/* Cut anywhere: whole chunks come out, and that it was cut is told. */
		for (size_t cut = VAULT_HEAD; cut < sealed.n; cut += 997) {
			plain.n = 0;
			assert_int_equal(vault_open(key, sealed.data, cut, heap_write, &plain), -ENODATA);
			assert_int_equal(plain.n, (cut - VAULT_HEAD) / VAULT_SEALED * VAULT_CHUNK);
			assert_memory_equal(plain.data, text, plain.n);
		}
		/* Nothing may follow the end; a changed byte is noticed. */
		plain.n = 0;
		assert_int_not_equal(vault_open(key, sealed.data, sealed.n + 1, heap_write, &plain), 0);
		plain.n = 0;
		sealed.data[sealed.n - 1] ^= 1;
		assert_int_not_equal(vault_open(key, sealed.data, sealed.n, heap_write, &plain), 0);
	}
	assert_int_equal(vault_open(key, "RIFF", 4, heap_write, &plain), -EBADMSG);
}

static void an_encrypted_recording_is_noise_without_the_key(void **state)
{
	struct fix *fix = *state;
	const double tones[2] = { 440, 1000 };
	uint8_t key[VAULT_KEY_BYTES], again[VAULT_KEY_BYTES];
	static uint8_t data[200000];
	struct disk_file *file;
	struct read_back back;
	unsigned seen[256] = { 0 };
	ssize_t n;
	int fd;

	assert_int_equal(seal_init(fix->dir), 0);
	assert_int_equal(vault_key_load(key, fix->dir), 0);
	assert_int_equal(vault_key_load(again, fix->dir), 0);
	assert_memory_equal(key, again, sizeof(key));
	assert_int_equal(disk_open(&file, fix->disk, &(struct disk_opts){
		.path = "s.wav.enc", .key = key, .hz = 16000, .channels = 1 }), 0);
	put_tones(file, 16000, 1, tones, 3000, 0);
	assert_int_equal(finish(fix, file).err, 0);

	fd = open(path_of(fix, "s.wav.enc"), O_RDONLY);
	n = read(fd, data, sizeof(data));
	close(fd);
	assert_true(n > 96000);
	assert_null(memmem(data, (size_t)n, "RIFF", 4));
	for (ssize_t i = 0; i < n; i++)
		seen[data[i]]++;
	for (int i = 0; i < 256; i++) /* every value about as often */
		assert_in_range(seen[i], (unsigned)n / 256 / 2, (unsigned)n / 256 * 2);

	assert_int_equal(vault_open_file(path_of(fix, "s.wav.enc"), path_of(fix, "s.wav"), key), 0);
	back = read_back(path_of(fix, "s.wav"), tones);
	assert_int_equal(back.info.frames, 48000);
	assert_true(back.share[0][0] > 0.95);

	/* It does not overwrite, and a wrong key leaves nothing. */
	assert_int_equal(vault_open_file(path_of(fix, "s.wav.enc"), path_of(fix, "s.wav"), key), -EEXIST);
	key[0] ^= 1;
	assert_int_not_equal(vault_open_file(path_of(fix, "s.wav.enc"), path_of(fix, "t.wav"), key), 0);
	assert_false(exists(fix, "t.wav"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_paths_below_the_folder_are_taken),
		cmocka_unit_test_setup_teardown(a_stereo_wav_has_each_side_on_its_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(an_opus_file_reads_back, setup, teardown),
		cmocka_unit_test_setup_teardown(the_name_that_exists_is_not_overwritten, setup, teardown),
		cmocka_unit_test_setup_teardown(a_killed_writer_leaves_files_that_play, setup_folder,
						teardown),
		cmocka_unit_test_setup_teardown(lost_sound_becomes_silence_and_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_disk_that_stands_still_ends_the_recording, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_ends_the_recording_and_keeps_what_there_is,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_writer_without_files_sleeps_and_wakes_at_once, setup,
						teardown),
		cmocka_unit_test(sealed_recordings_open_again_and_only_with_the_key),
		cmocka_unit_test_setup_teardown(an_encrypted_recording_is_noise_without_the_key, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
