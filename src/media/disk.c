/* SPDX-License-Identifier: Apache-2.0 */
#include "media/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "media/oggopus.h"
#include "media/protocol.h"
#include "media/vault.h"
#include "media/wav.h"

#define TURN_MS   100  /* between two looks at the rings while something is recorded */
#define BATCH     4096 /* samples encoded at once */
#define PART      ".part"
#define PART_LEN  5
#define HEAD_MS   1000 /* how often the lengths in a header are corrected */
#define MAX_PATHS (MP_MAX_PATH + 16)

struct disk_file {
	struct disk_file *next;
	struct disk *disk;
	char path[MP_MAX_PATH];
	bool opus, is_sealed;
	uint8_t key[VAULT_KEY_BYTES];
	uint32_t hz;
	unsigned channels;

	/* the ring: samples; positions only grow */
	int16_t *ring;
	size_t size; /* a power of two */
	_Atomic size_t head, tail;
	_Atomic int err;
	_Atomic uint64_t lost; /* samples per channel */
	_Atomic bool ended, done;
	int notify_fd;

	/* silence instead of what was lost: the writer puts gap_n in at position gap_at */
	size_t gap_at, gap_n;
	_Atomic bool gap_due;

	/* producer */
	size_t gap; /* lost since the last sample that had room, samples per channel */

	/* writer */
	bool opened;
	int fd;
	uint64_t bytes, frames;
	uint64_t head_at_frames; /* when the header is corrected next */
	struct vault *vault;
	struct oggopus *oo;
};

struct disk {
	int folder;
	char *path;
	pthread_t writer, finisher;
	bool writer_runs, finisher_runs;
	struct timespec started;
	_Atomic(struct disk_file *) incoming; /* a stack */
	_Atomic bool stop;
	int wake_fd; /* of the writer; it counts: what comes before the writer sleeps is not lost */
	pthread_mutex_t lock;
	pthread_cond_t finish;
	struct disk_file *to_finish, **to_finish_end; /* under lock */
	bool writer_ended;                            /* under lock */
	struct {
		_Atomic uint64_t files, finished, failed, bytes, lost_ms;
	} stats;
};

/* ------------------------------------------------------------------ paths */

bool disk_path_ok(const char *path)
{
	const char *part = path;
	size_t len = strlen(path);

	if (!len || len >= MP_MAX_PATH || path[len - 1] == '/')
		return false;
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	for (;;) {
		if (*part == '/' || *part == '.')
			return false;
		part = strchr(part, '/');
		if (!part)
			return true;
		part++;
	}
}

static int make_folders(int folder, const char *path)
{
	char part[MP_MAX_PATH];

	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdirat(folder, part, 0700) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

static void part_name(char *buf, size_t size, const char *path)
{
	(void)snprintf(buf, size, "%s" PART, path);
}

/* ------------------------------------------------------------------ producer */

/* A file begins or ends, or all do. Without a lock: relay threads call it. */
static void writer_wake(struct disk *disk)
{
	uint64_t one = 1;

	(void)!write(disk->wake_fd, &one, sizeof(one)); /* only fails when it is awake 2^64 times already */
}

int disk_open(struct disk_file **ret, struct disk *disk, const struct disk_opts *opts)
{
	size_t want = (size_t)opts->hz * opts->channels / 1000 * DISK_RING_MS;
	struct disk_file *file;

	if (!disk_path_ok(opts->path))
		return -EINVAL;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;

	for (file->size = 1; file->size < want;)
		file->size *= 2;
	file->ring = malloc(file->size * sizeof(file->ring[0]));
	if (!file->ring) {
		free(file);
		return -ENOMEM;
	}
	file->disk = disk;
	(void)snprintf(file->path, sizeof(file->path), "%s", opts->path);
	file->opus = opts->opus;
	file->is_sealed = opts->key;
	if (opts->key)
		memcpy(file->key, opts->key, sizeof(file->key));
	file->hz = opts->hz;
	file->channels = opts->channels;
	file->notify_fd = -1;
	file->fd = -1;

	file->next = atomic_load(&disk->incoming);
	while (!atomic_compare_exchange_weak(&disk->incoming, &file->next, file))
		;
	writer_wake(disk);
	atomic_fetch_add(&disk->stats.files, 1);
	*ret = file;
	return 0;
}

/* Room for samples per channel. */
static size_t room_of(const struct disk_file *file)
{
	size_t used = atomic_load_explicit(&file->head, memory_order_relaxed) -
		      atomic_load_explicit(&file->tail, memory_order_acquire);

	return (file->size - used) / file->channels;
}

static void ring_in(struct disk_file *file, const int16_t *samples, size_t n)
{
	size_t head = atomic_load_explicit(&file->head, memory_order_relaxed);
	size_t left = n * file->channels;

	while (left) {
		size_t at = head & (file->size - 1);
		size_t take = file->size - at < left ? file->size - at : left;

		if (samples) {
			memcpy(file->ring + at, samples, take * sizeof(*samples));
			samples += take;
		} else {
			memset(file->ring + at, 0, take * sizeof(file->ring[0]));
		}
		head += take;
		left -= take;
	}
	atomic_store_explicit(&file->head, head, memory_order_release);
}

int disk_put(struct disk_file *file, const int16_t *samples, size_t n)
{
	bool has_room = room_of(file) >= n;
	int err = atomic_load_explicit(&file->err, memory_order_relaxed);

	if (err)
		return err;
	if (has_room && file->gap && !atomic_load_explicit(&file->gap_due, memory_order_acquire)) {
		file->gap_at = atomic_load_explicit(&file->head, memory_order_relaxed);
		file->gap_n = file->gap;
		file->gap = 0;
		atomic_store_explicit(&file->gap_due, true, memory_order_release);
	}
	if (has_room && !file->gap) {
		ring_in(file, samples, n);
		return 0;
	}

	file->gap += n;
	atomic_fetch_add_explicit(&file->lost, n, memory_order_relaxed);
	return file->gap / (file->hz / 1000) < DISK_PATIENCE_MS ? 0 : -ETIMEDOUT;
}

void disk_end(struct disk_file *file, int notify_fd)
{
	struct disk *disk = file->disk;

	file->notify_fd = notify_fd;
	/* From here on the file may be complete, and freed by the one who heard of that. */
	atomic_store_explicit(&file->ended, true, memory_order_release);
	writer_wake(disk);
}

static void file_free(struct disk_file *file)
{
	sodium_memzero(file->key, sizeof(file->key));
	free(file->ring);
	free(file);
}

bool disk_done(struct disk_file *file, struct disk_result *ret)
{
	if (!atomic_load_explicit(&file->done, memory_order_acquire))
		return false;

	*ret = (struct disk_result){ .err = atomic_load(&file->err),
				     .bytes = file->bytes,
				     .lost_ms = (uint32_t)(atomic_load(&file->lost) /
							   (file->hz / 1000)) };
	file_free(file);
	return true;
}

/* ------------------------------------------------------------------ writer: bytes */

static int bytes_out(const void *data, size_t len, void *arg)
{
	struct disk_file *file = arg;
	const uint8_t *at = data;

	while (len) {
		ssize_t n = write(file->fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
		file->bytes += (size_t)n;
	}
	return 0;
}

/* Sound or headers, sealed or not. */
static int content_out(const void *data, size_t len, void *arg)
{
	struct disk_file *file = arg;

	return file->vault ? vault_put(file->vault, data, len) : bytes_out(data, len, file);
}

static uint32_t sound_bytes(const struct disk_file *file)
{
	return (uint32_t)(file->frames * file->channels * sizeof(int16_t));
}

static int head_correct(struct disk_file *file)
{
	uint8_t head[WAV_HEAD];

	if (file->opus || file->is_sealed)
		return 0;
	file->head_at_frames = file->frames + file->hz * HEAD_MS / 1000;
	wav_head(head, &(struct wav){ .hz = file->hz,
				      .channels = (uint16_t)file->channels,
				      .bytes = sound_bytes(file) });
	return pwrite(file->fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) ? 0 : -EIO;
}

static int file_begin(struct disk_file *file)
{
	uint8_t head[WAV_HEAD];
	char part[MAX_PATHS];
	int err;

	file->opened = true;
	err = make_folders(file->disk->folder, file->path);
	if (err)
		return err;
	if (!faccessat(file->disk->folder, file->path, F_OK, 0))
		return -EEXIST;
	part_name(part, sizeof(part), file->path);
	file->fd = openat(file->disk->folder, part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file->fd < 0)
		return -errno;

	if (file->is_sealed) {
		file->vault = malloc(sizeof(*file->vault));
		if (!file->vault)
			return -ENOMEM;
		err = vault_begin(file->vault, file->key, bytes_out, file);
		sodium_memzero(file->key, sizeof(file->key));
		if (err)
			return err;
	}
	if (file->opus)
		return oggopus_begin(&file->oo, file->hz, file->channels, content_out, file);

	wav_head(head, &(struct wav){ .hz = file->hz,
				      .channels = (uint16_t)file->channels,
				      .bytes = file->is_sealed ? WAV_UNKNOWN : 0 });
	return content_out(head, sizeof(head), file);
}

static int sound_out(struct disk_file *file, const int16_t *samples, size_t n)
{
	int err;

	if (file->oo)
		return oggopus_put(file->oo, samples, n);
	if ((file->frames + n) * file->channels * sizeof(*samples) > WAV_MAX_BYTES)
		return -EFBIG;

	/* Samples lie as in the file: WAV and all machines that we run on are little-endian. */
	err = content_out(samples, n * file->channels * sizeof(*samples), file);
	if (!err)
		file->frames += n;
	return err;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "WAV samples would need to be swapped");

/* ------------------------------------------------------------------ writer: files */

static void file_failed(struct disk_file *file, int err)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&file->err, &none, err))
		log_error("media.disk.write", "a recording cannot be written; it ends here",
			  kv_text("file", file->path), kv_err(err));
}

static int silence_out(struct disk_file *file, size_t n)
{
	static const int16_t silence[BATCH];
	int err = 0;

	while (n && !err) {
		size_t take = n < BATCH / 2 ? n : BATCH / 2;

		err = sound_out(file, silence, take);
		n -= take;
	}
	return err;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Empties the ring. */
static void file_work(struct disk_file *file)
{
	size_t tail = atomic_load_explicit(&file->tail, memory_order_relaxed);
	size_t left = atomic_load_explicit(&file->head, memory_order_acquire) - tail;
	bool gap_due = atomic_load_explicit(&file->gap_due, memory_order_acquire);
	int err = atomic_load_explicit(&file->err, memory_order_relaxed);

	if (!err && !file->opened)
		err = file_begin(file);
	while (left) {
		size_t at = tail & (file->size - 1);
		size_t take = min_size(min_size(file->size - at, left), BATCH);

		if (gap_due && file->gap_at == tail) {
			if (!err)
				err = silence_out(file, file->gap_n);
			gap_due = false;
			atomic_store_explicit(&file->gap_due, false, memory_order_release);
		}
		if (gap_due && file->gap_at - tail < take)
			take = file->gap_at - tail;
		if (!err)
			err = sound_out(file, file->ring + at, take / file->channels);
		tail += take;
		left -= take;
		atomic_store_explicit(&file->tail, tail, memory_order_release);
	}
	if (!err && file->frames >= file->head_at_frames)
		err = head_correct(file);
	if (err)
		file_failed(file, err);
}

/* All is written that was taken; also what failed gets as right a header as it can. */
static void file_close(struct disk_file *file)
{
	int err = oggopus_end(file->oo);

	file->oo = NULL;
	if (file->vault && !err)
		err = vault_end(file->vault);
	free(file->vault);
	file->vault = NULL;
	if (file->fd >= 0) {
		int err_head = head_correct(file);

		err = err ? err : err_head;
	}
	if (err)
		file_failed(file, err);
}

static void finish_later(struct disk *disk, struct disk_file *file)
{
	file->next = NULL;
	pthread_mutex_lock(&disk->lock);
	*disk->to_finish_end = file;
	disk->to_finish_end = &file->next;
	pthread_cond_signal(&disk->finish);
	pthread_mutex_unlock(&disk->lock);
}

/* For a turn while there are files, else until one begins or all end. */
static void wait_turn(struct disk *disk, bool has_files)
{
	struct pollfd pfd = { .fd = disk->wake_fd, .events = POLLIN };
	uint64_t n;

	(void)poll(&pfd, 1, has_files ? TURN_MS : -1);
	(void)!read(disk->wake_fd, &n, sizeof(n));
}

static struct disk_file *take_incoming(struct disk *disk, struct disk_file *files)
{
	struct disk_file *file = atomic_exchange(&disk->incoming, NULL), *next;

	for (; file; file = next) {
		next = file->next;
		file->next = files;
		files = file;
	}
	return files;
}

static void *writer_main(void *arg)
{
	struct disk *disk = arg;
	struct disk_file *files = NULL;
	bool stop = false;

	(void)pthread_setname_np(pthread_self(), "recordings");
	while (!stop || files) {
		stop = atomic_load(&disk->stop);
		files = take_incoming(disk, files);
		for (struct disk_file **at = &files; *at;) {
			struct disk_file *file = *at;
			bool ended = atomic_load_explicit(&file->ended, memory_order_acquire);

			file_work(file);
			if (!ended) {
				at = &file->next;
				continue;
			}
			file_close(file);
			*at = file->next;
			finish_later(disk, file);
		}
		if (!stop || files)
			wait_turn(disk, files);
	}

	pthread_mutex_lock(&disk->lock);
	disk->writer_ended = true;
	pthread_cond_signal(&disk->finish);
	pthread_mutex_unlock(&disk->lock);
	return NULL;
}

/* ------------------------------------------------------------------ finisher */

static int folder_sync(int folder, const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[MP_MAX_PATH] = ".";
	int fd, err = 0;

	if (slash)
		(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	fd = openat(folder, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	close(fd);
	return err;
}

/* Safe on the disk, then under its own name. What failed half-way is kept as well: it plays. */
static int file_place(const struct disk_file *file)
{
	int folder = file->disk->folder;
	char part[MAX_PATHS];

	part_name(part, sizeof(part), file->path);
	if (!file->bytes)
		return unlinkat(folder, part, 0) ? -errno : 0;
	if (fsync(file->fd))
		return -errno;
	if (renameat2(folder, part, folder, file->path, RENAME_NOREPLACE))
		return -errno;
	return folder_sync(folder, file->path);
}

static void file_finish(struct disk *disk, struct disk_file *file)
{
	int notify_fd = file->notify_fd;
	uint64_t one = 1;

	if (file->fd >= 0) {
		int err = file_place(file);

		if (err)
			file_failed(file, err);
		close(file->fd);
	}
	atomic_fetch_add(atomic_load(&file->err) ? &disk->stats.failed : &disk->stats.finished, 1);
	atomic_fetch_add(&disk->stats.bytes, file->bytes);
	atomic_fetch_add(&disk->stats.lost_ms, atomic_load(&file->lost) / (file->hz / 1000));

	/* From here on its owner may free it. */
	atomic_store_explicit(&file->done, true, memory_order_release);
	if (notify_fd >= 0)
		(void)!write(notify_fd, &one, sizeof(one));
}

/* A file that the last process was writing. Its time stays: it tells when the recording ended. */
static int part_repair(const char *path, const struct stat *was)
{
	const struct timespec times[2] = { was->st_atim, was->st_mtim };
	char *name = strdup(path);
	int fd, err;

	if (!name)
		return -ENOMEM;
	name[strlen(name) - PART_LEN] = '\0';
	fd = open(path, O_RDWR | O_CLOEXEC);
	err = fd < 0 ? -errno : wav_repair(fd);
	if (err == -EBADMSG)
		err = 0; /* pages of Ogg and sealed chunks end where they end */
	if (!err)
		(void)futimens(fd, times); /* a wrong time is better than no recording */
	if (!err && fsync(fd))
		err = -errno;
	if (fd >= 0)
		close(fd);
	if (!err && renameat2(AT_FDCWD, path, AT_FDCWD, name, RENAME_NOREPLACE))
		err = -errno;
	free(name);
	return err;
}

static bool is_older(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static bool is_left_part(const FTSENT *entry, const struct timespec *started)
{
	return entry->fts_info == FTS_F && entry->fts_namelen > PART_LEN &&
	       !strcmp(entry->fts_name + entry->fts_namelen - PART_LEN, PART) &&
	       is_older(&entry->fts_statp->st_mtim, started);
}

static void repair_all(struct disk *disk)
{
	char *const roots[] = { disk->path, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *entry;
	unsigned n = 0;

	/* Read first: glibc's fts_close() frees the roots only when they have been read. */
	while (tree && (entry = fts_read(tree)) && !atomic_load(&disk->stop)) {
		int err = is_left_part(entry, &disk->started) ?
				  part_repair(entry->fts_path, entry->fts_statp) :
				  1;

		n += !err;
		if (err < 0)
			log_error("media.disk.repair", "a recording that a crash left cannot be completed",
				  kv_text("file", entry->fts_path), kv_err(err));
	}
	if (tree)
		(void)fts_close(tree);
	if (n)
		log_warn("media.disk.repaired", "recordings that the last process left are complete now",
			 kv_int("files", n));
}

static void *finisher_main(void *arg)
{
	struct disk *disk = arg;
	bool ended = false;

	(void)pthread_setname_np(pthread_self(), "rec-finish");
	repair_all(disk);
	while (!ended) {
		struct disk_file *files, *next;

		pthread_mutex_lock(&disk->lock);
		while (!disk->to_finish && !disk->writer_ended)
			pthread_cond_wait(&disk->finish, &disk->lock);
		files = disk->to_finish;
		disk->to_finish = NULL;
		disk->to_finish_end = &disk->to_finish;
		ended = disk->writer_ended;
		pthread_mutex_unlock(&disk->lock);

		for (; files; files = next) {
			next = files->next;
			file_finish(disk, files);
		}
	}
	return NULL;
}

/* ------------------------------------------------------------------ start and end */

static void disk_free(struct disk *disk)
{
	if (disk->folder >= 0)
		close(disk->folder);
	if (disk->wake_fd >= 0)
		close(disk->wake_fd);
	pthread_cond_destroy(&disk->finish);
	pthread_mutex_destroy(&disk->lock);
	free(disk->path);
	free(disk);
}

int disk_start(struct disk **ret, const char *folder)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	int err = 0;

	if (!disk)
		return -ENOMEM;

	pthread_mutex_init(&disk->lock, NULL);
	pthread_cond_init(&disk->finish, NULL);
	disk->to_finish_end = &disk->to_finish;
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &disk->started); /* the clock of file times */
	disk->path = strdup(folder);
	disk->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	disk->folder = disk->wake_fd < 0 ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!disk->path)
		err = -ENOMEM;
	else if (disk->folder < 0)
		err = -errno;
	if (!err) {
		err = -pthread_create(&disk->finisher, NULL, finisher_main, disk);
		disk->finisher_runs = !err;
	}
	if (!err) {
		err = -pthread_create(&disk->writer, NULL, writer_main, disk);
		disk->writer_runs = !err;
	}
	if (err) {
		disk_stop(disk);
		return err;
	}
	*ret = disk;
	return 0;
}

void disk_stop(struct disk *disk)
{
	if (!disk)
		return;

	atomic_store(&disk->stop, true);
	if (disk->writer_runs) {
		writer_wake(disk);
		pthread_join(disk->writer, NULL);
	}
	pthread_mutex_lock(&disk->lock);
	disk->writer_ended = true;
	pthread_cond_signal(&disk->finish);
	pthread_mutex_unlock(&disk->lock);
	if (disk->finisher_runs)
		pthread_join(disk->finisher, NULL);
	disk_free(disk);
}

void disk_stats(const struct disk *disk, struct disk_stats *ret)
{
	*ret = (struct disk_stats){ .files = atomic_load(&disk->stats.files),
				    .finished = atomic_load(&disk->stats.finished),
				    .failed = atomic_load(&disk->stats.failed),
				    .bytes = atomic_load(&disk->stats.bytes),
				    .lost_ms = atomic_load(&disk->stats.lost_ms) };
}
