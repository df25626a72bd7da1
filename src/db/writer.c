/* SPDX-License-Identifier: Apache-2.0 */
#include "db/writer.h"
#include "db/writer_priv.h"
#include "base/err.h"
#include "base/log.h"
#include "base/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH_MS     5
#define BUSY_RECORDS 8 /* within batch_ms: for so many it is worth to wait longer */
#define BUSY_BATCHES 4 /* batch_ms that one sync then serves */

struct ring_entry { /* before each record in the ring */
	uint64_t seq;
	uint32_t kind, len;
};

uint64_t writer_now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);

	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct timespec writer_at_ms(uint64_t ms)
{
	return (struct timespec){
		.tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000,
	};
}

void writer_rest(struct writer *w, unsigned span_ms)
{
	struct timespec until = writer_at_ms(writer_now_ms() + span_ms);

	(void)pthread_mutex_lock(&w->lock);
	while (!atomic_load(&w->stopping) &&
	       !pthread_cond_timedwait(&w->ending, &w->lock, &until))
		;
	(void)pthread_mutex_unlock(&w->lock);
}

bool writer_must_end(struct writer *w)
{
	return atomic_load(&w->stopping) && writer_now_ms() >= w->stop_at_ms;
}

/* ------------------------------------------------------------------ the ring */

static void wake_journal(struct writer *w)
{
	if (atomic_exchange(&w->journal_sleeps, false))
		(void)sem_post(&w->wake);
}

int writer_post(struct writer *w, uint32_t kind, const void *data, size_t len, uint64_t *seq)
{
	struct ring_entry entry = { .seq = w->next_seq, .kind = kind, .len = (uint32_t)len };

	if (len > WRITER_MAX_RECORD_BYTES)
		return -EMSGSIZE;
	if (atomic_load(&w->journal_bytes) + ring_used(w->ring) + len > w->max_journal_bytes ||
	    ring_put(w->ring, &entry, sizeof(entry), data, len)) {
		atomic_fetch_add(&w->dropped, 1);
		return -ENOBUFS;
	}

	w->next_seq++;
	atomic_fetch_add(&w->posted, 1);
	if (seq)
		*seq = entry.seq;
	wake_journal(w);

	return 0;
}

uint64_t writer_acked(const struct writer *w)
{
	return atomic_load(&w->acked);
}

uint64_t writer_applied(const struct writer *w)
{
	return atomic_load(&w->applied);
}

void writer_stats(const struct writer *w, struct writer_stats *ret)
{
	*ret = (struct writer_stats){
		.posted = atomic_load(&w->posted),
		.acked = atomic_load(&w->acked),
		.applied = atomic_load(&w->applied),
		.dropped = atomic_load(&w->dropped),
		.dead = atomic_load(&w->dead),
		.journal_bytes = atomic_load(&w->journal_bytes),
	};
}

/* ------------------------------------------------------------------ segments */

static int segment_add(struct writer *w, uint64_t first_seq, uint64_t bytes)
{
	struct segment *bigger;
	int err = 0;

	(void)pthread_mutex_lock(&w->lock);
	bigger = reallocarray(w->segments, w->n_segments + 1, sizeof(*bigger));
	if (bigger) {
		w->segments = bigger;
		bigger[w->n_segments++] = (struct segment){ first_seq, bytes };
		atomic_fetch_add(&w->journal_bytes, bytes);
	} else {
		err = -ENOMEM;
	}
	(void)pthread_mutex_unlock(&w->lock);

	return err;
}

/* ------------------------------------------------------------------ journal thread */

/* A new file for the batch that begins with first_seq. */
static int open_segment(struct writer *w, uint64_t first_seq)
{
	int fd = journal_create(w->dir, w->name, first_seq, &w->id);
	int err;

	if (fd < 0)
		return fd;

	(void)pthread_mutex_lock(&w->lock);
	/* After a failed write the same number may begin a second try at the same file. */
	if (w->n_segments > 0 && w->segments[w->n_segments - 1].first_seq == first_seq) {
		w->n_segments--;
		atomic_fetch_sub(&w->journal_bytes, w->segments[w->n_segments].bytes);
	}
	(void)pthread_mutex_unlock(&w->lock);

	err = segment_add(w, first_seq, JOURNAL_HEADER_BYTES);
	if (err) {
		(void)close(fd);
		return err;
	}

	w->fd = fd;
	w->fd_bytes = JOURNAL_HEADER_BYTES;

	return 0;
}

static int write_batch(struct writer *w, uint64_t first_seq, size_t len)
{
	int err;

	if (w->fd >= 0 && w->fd_bytes >= w->segment_bytes) {
		(void)close(w->fd);
		w->fd = -1;
	}
	if (w->fd < 0) {
		err = open_segment(w, first_seq);
		if (err)
			return err;
	}

	err = journal_write(w->fd, w->batch, len);
	if (err) {
		/* After a failed sync nobody knows what is on the disk: the file is cut back and
		 * left, the batch goes into a new one. What could not be cut carries numbers that
		 * come again, and the reader takes each number once. */
		(void)ftruncate(w->fd, (off_t)w->fd_bytes);
		(void)close(w->fd);
		w->fd = -1;
		return err;
	}

	w->fd_bytes += len;

	return 0;
}

static void acknowledge(struct writer *w, uint64_t last_seq, size_t len)
{
	(void)pthread_mutex_lock(&w->lock);
	w->segments[w->n_segments - 1].bytes += len;
	atomic_fetch_add(&w->journal_bytes, len);
	atomic_store(&w->acked, last_seq);
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
}

static void pause_ms(struct writer *w, unsigned span_ms)
{
	uint64_t until = writer_now_ms() + span_ms;

	while (writer_now_ms() < until && !atomic_load(&w->stopping))
		(void)usleep(20 * 1000);
	if (atomic_load(&w->stopping))
		(void)usleep(20 * 1000);
}

/* Writes the batch however long it takes. Returns false when the stop cannot wait any longer. */
static bool insist_on_writing(struct writer *w, uint64_t first_seq, size_t len)
{
	unsigned backoff_ms = WRITER_BACKOFF_FIRST_MS;
	int err = write_batch(w, first_seq, len);

	while (err && !writer_must_end(w)) {
		if (!w->disk_failing)
			log_error("writer.disk_failing",
				  "the journal cannot be written; records wait in memory, free the"
				  " disk",
				  kv_text("journal", w->name), kv_text("folder", w->dir),
				  kv_err(err));
		w->disk_failing = true;
		pause_ms(w, backoff_ms);
		backoff_ms = backoff_ms * 2 < WRITER_BACKOFF_LAST_MS ? backoff_ms * 2
								     : WRITER_BACKOFF_LAST_MS;
		err = write_batch(w, first_seq, len);
	}
	if (!err && w->disk_failing) {
		w->disk_failing = false;
		log_info("writer.disk_works", "the journal is written again",
			 kv_text("journal", w->name));
	}

	return !err;
}

struct gathered {
	uint64_t first_seq, last_seq;
	size_t taken;   /* bytes of the ring */
	size_t len;     /* bytes of the batch */
	bool is_all;
};

/* Takes what fits from the ring into w->batch. */
static void gather(struct gathered *ret, struct writer *w)
{
	size_t at = 0, len = 0, there;
	const uint8_t *ring = ring_peek(w->ring, &there);

	while (at < there) {
		struct journal_record record;
		struct ring_entry entry;

		memcpy(&entry, ring + at, sizeof(entry));
		if (len + JOURNAL_RECORD_BYTES + entry.len > JOURNAL_CHUNK_BYTES)
			break;

		record = (struct journal_record){ .seq = entry.seq,
						  .kind = entry.kind,
						  .len = entry.len,
						  .data = ring + at + sizeof(entry) };
		if (len == 0)
			ret->first_seq = entry.seq;
		ret->last_seq = entry.seq;
		len += journal_encode(w->batch + len, w->seed, &record);
		at += sizeof(entry) + entry.len;
	}
	ret->taken = at;
	ret->len = len;
	ret->is_all = at == there;
}

static bool ring_is_empty(struct writer *w)
{
	return !ring_used(w->ring);
}

static void sleep_until_posted(struct writer *w)
{
	atomic_store(&w->journal_sleeps, true);
	if (ring_is_empty(w) && !atomic_load(&w->stopping))
		while (sem_wait(&w->wake) && errno == EINTR)
			;
	atomic_store(&w->journal_sleeps, false);
}

/* Others soon follow the first record; one sync serves them all. */
static void wait_for_records(struct writer *w)
{
	uint64_t since_ms = writer_now_ms();

	if (ring_is_empty(w)) {
		sleep_until_posted(w);
		if (writer_now_ms() - since_ms > w->gather_ms)
			w->gather_ms = w->batch_ms; /* whatever the last one was like, that was long ago */
	}
	writer_rest(w, w->gather_ms);
}

/* How long the next batch gathers, after one that gathered n records for gather_ms. */
static void set_pace(struct writer *w, uint64_t n)
{
	bool is_busy = n * w->batch_ms >= (uint64_t)BUSY_RECORDS * w->gather_ms;

	w->gather_ms = is_busy ? BUSY_BATCHES * w->batch_ms : w->batch_ms;
	atomic_store(&w->is_busy, is_busy);
}

static void *journal_main(void *arg)
{
	struct writer *w = arg;
	struct gathered batch = { .is_all = true };
	uint64_t done_seq = w->first_new_seq - 1;

	(void)pthread_setname_np(pthread_self(), "db-journal");
	for (;;) {
		/* What came during the sync gathers like all else; what did not fit goes at once. */
		if (batch.is_all && !atomic_load(&w->stopping))
			wait_for_records(w);
		if (ring_is_empty(w)) {
			if (atomic_load(&w->stopping))
				break;
			batch.is_all = true;
			continue;
		}

		gather(&batch, w);
		if (!insist_on_writing(w, batch.first_seq, batch.len)) {
			log_error("writer.lost", "records were lost: the disk did not take them",
				  kv_text("journal", w->name), kv_int("from", batch.first_seq),
				  kv_int("bytes", ring_used(w->ring)));
			break;
		}
		ring_drop(w->ring, batch.taken);
		set_pace(w, batch.last_seq - done_seq);
		done_seq = batch.last_seq;
		acknowledge(w, batch.last_seq, batch.len);
	}

	return NULL;
}

/* ------------------------------------------------------------------ start and end */

static int lock_journal(struct writer *w)
{
	char path[512];

	if (mkdir(w->dir, 0700) && errno != EEXIST)
		return -errno;

	(void)snprintf(path, sizeof(path), "%s/%s.lock", w->dir, w->name);
	w->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (w->lock_fd < 0)
		return -errno;

	if (flock(w->lock_fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;

	return 0;
}

/* Reads one old segment; a torn tail is cut off. */
static int recover_segment(struct writer *w, uint64_t first_seq, bool newest)
{
	struct journal_scan scan;
	char path[512], aside[560];
	int err;

	journal_path(path, sizeof(path), w->dir, w->name, first_seq);
	err = journal_scan(&scan, path);
	if (err == -ENODATA) { /* the last run ended while it made the file */
		(void)unlink(path);
		return 0;
	}
	if (err == -ECORRUPT) {
		(void)snprintf(aside, sizeof(aside), "%s.damaged", path);
		(void)rename(path, aside);
		log_error("writer.damaged", "a journal file has no valid header; it is left out",
			  kv_text("kept", aside));
		return 0;
	}
	if (err)
		return err;

	if (newest && scan.valid_bytes < scan.file_bytes) {
		log_warn("writer.torn", "the last run ended while it wrote; the torn end is cut",
			 kv_text("journal", w->name),
			 kv_int("bytes", scan.file_bytes - scan.valid_bytes));
		if (truncate(path, (off_t)scan.valid_bytes))
			return -errno;
	}

	w->id = scan.id;
	if (scan.last_seq >= w->next_seq)
		w->next_seq = scan.last_seq + 1;
	if (first_seq >= w->next_seq)
		w->next_seq = first_seq;

	return segment_add(w, first_seq, scan.valid_bytes);
}

static int recover(struct writer *w)
{
	uint64_t *list = NULL;
	size_t n = 0;
	int err;

	w->next_seq = 1;
	err = journal_list(&list, &n, w->dir, w->name);
	for (size_t i = 0; i < n && !err; i++)
		err = recover_segment(w, list[i], i + 1 == n);
	free(list);
	if (err)
		return err;

	w->began_empty = w->n_segments == 0;
	if (w->began_empty &&
	    getrandom(w->id.bytes, sizeof(w->id.bytes), 0) != (ssize_t)sizeof(w->id.bytes))
		return -EIO;

	for (size_t i = 0; i < sizeof(w->id.bytes); i++)
		(void)snprintf(w->id_hex + 2 * i, 3, "%02x", w->id.bytes[i]);
	w->seed = journal_seed(&w->id);
	w->first_new_seq = w->next_seq;
	atomic_store(&w->acked, w->next_seq - 1);

	return 0;
}

static int start_thread(pthread_t *ret, void *(*main_h)(void *), struct writer *w)
{
	sigset_t all, old;
	int err;

	/* Signals are for the thread that runs the event loop. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(ret, NULL, main_h, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);

	return err;
}

static void writer_free(struct writer *w)
{
	db_close(w->db);
	writer_close_reading(w);
	if (w->fd >= 0)
		(void)close(w->fd);
	if (w->lock_fd >= 0)
		(void)close(w->lock_fd);
	(void)sem_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
	(void)pthread_cond_destroy(&w->changed);
	(void)pthread_cond_destroy(&w->ending);
	free(w->segments);
	ring_free(w->ring);
	free(w->batch);
	free(w->chunk);
	free(w->dir);
	free(w->name);
	free(w->db_url);
	free(w);
}

static struct writer *writer_new(const struct writer_opts *opts)
{
	struct writer *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return NULL;

	w->fd = w->read_fd = w->lock_fd = -1;
	(void)sem_init(&w->wake, 0, 0);
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&w->changed, &attr);
	(void)pthread_cond_init(&w->ending, &attr);
	(void)pthread_condattr_destroy(&attr);

	w->dir = strdup(opts->journal_dir);
	w->name = strdup(opts->name);
	w->db_url = strdup(opts->db_url);
	w->batch = malloc(JOURNAL_CHUNK_BYTES);
	w->chunk = malloc(JOURNAL_CHUNK_BYTES);
	w->apply_h = opts->apply_h;
	w->arg = opts->arg;
	w->batch_ms = opts->batch_ms ? opts->batch_ms : BATCH_MS;
	w->gather_ms = w->batch_ms;
	w->max_journal_bytes =
		opts->max_journal_bytes ? opts->max_journal_bytes : WRITER_MAX_JOURNAL_BYTES;
	w->segment_bytes = opts->segment_bytes ? opts->segment_bytes : WRITER_SEGMENT_BYTES;
	if (!w->dir || !w->name || !w->db_url || !w->batch || !w->chunk ||
	    ring_alloc(&w->ring, WRITER_QUEUE_BYTES)) {
		writer_free(w);
		return NULL;
	}

	return w;
}

int writer_start(struct writer **ret, const struct writer_opts *opts)
{
	struct writer *w = writer_new(opts);
	int err;

	if (!w)
		return -ENOMEM;

	err = lock_journal(w);
	if (!err)
		err = recover(w);
	if (!err)
		err = writer_replay(w);
	if (!err)
		err = start_thread(&w->journal_thread, journal_main, w);
	w->journal_runs = !err;
	if (!err)
		err = start_thread(&w->apply_thread, writer_apply_main, w);
	w->apply_runs = !err;
	if (err) {
		writer_stop(w, 0);
		return err;
	}

	*ret = w;

	return 0;
}

void writer_stop(struct writer *w, unsigned timeout_ms)
{
	if (!w)
		return;

	w->stop_at_ms = writer_now_ms() + timeout_ms;
	atomic_store(&w->stopping, true);
	wake_journal(w);
	(void)pthread_mutex_lock(&w->lock);
	(void)pthread_cond_broadcast(&w->changed); /* a back-off ends early */
	(void)pthread_cond_broadcast(&w->ending);
	(void)pthread_mutex_unlock(&w->lock);
	if (w->journal_runs)
		(void)pthread_join(w->journal_thread, NULL);

	(void)pthread_mutex_lock(&w->lock);
	atomic_store(&w->journal_done, true);
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
	if (w->apply_runs)
		(void)pthread_join(w->apply_thread, NULL);

	if (atomic_load(&w->applied) < atomic_load(&w->acked))
		log_warn("writer.left", "records wait in the journal for the next start",
			 kv_text("journal", w->name),
			 kv_int("records", atomic_load(&w->acked) - atomic_load(&w->applied)));
	writer_free(w);
}
