/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_DB_WRITER_H
#define AOIDE_DB_WRITER_H

#include <stddef.h>
#include <stdint.h>

/*
 * The writer thread: takes records from the call thread, appends them to an on-disk journal, and
 * applies them to the database in batches. After a kill at any moment every record that was
 * acknowledged is applied exactly once: the position of the journal is stored in the same database
 * transaction as the rows, and a restart replays from there.
 *
 * A database that is away (PostgreSQL restarts, disk full) stops nothing: the journal grows up to
 * WRITER_MAX_JOURNAL_BYTES and is applied later.
 */
#define WRITER_MAX_JOURNAL_BYTES (1024ull * 1024 * 1024)
#define WRITER_MAX_RECORD_BYTES	 (256u * 1024)
#define WRITER_QUEUE_BYTES	 (16u * 1024 * 1024) /* posted, not yet in the journal */
#define WRITER_SEGMENT_BYTES	 (16u * 1024 * 1024) /* a journal file; deleted when applied */
#define WRITER_MAX_DEAD_BYTES	 (64u * 1024 * 1024)

struct db;
struct writer;

/*
 * Applies one record inside the writer's transaction. kind and data as posted. Runs in the thread
 * that applies (and, at start, in the caller's thread while replaying).
 *
 * Errors of the database itself (-EBUSY, -EPIPE, -EIO, -ENOSPC, -EROFS, -ENOMEM, -ECORRUPT,
 * -ENOTSUP) make the whole batch be tried again later. Any other (-EINVAL, -EDUPLICATE, -EINUSE...)
 * is the record's own: it is moved to `<name>.dead` in the journal folder with a log line, and the
 * rest goes on. What it had written is undone; it may be called again for the same record.
 */
typedef int(writer_apply_h)(struct db *db, uint32_t kind, const void *data, size_t len, void *arg);

struct writer_opts {
	const char *journal_dir;
	const char *name; /* journal file names and the row in table writer_position */
	const char *db_url;
	writer_apply_h *apply_h;
	void *arg;
	unsigned batch_ms;	    /* what a batch gathers for before it is written to the journal,
				     * 0: 5 ms; four times that while eight records and more come
				     * in that time. The database follows within five times (while
				     * busy: twenty times) batch_ms after that */
	uint64_t max_journal_bytes; /* 0: WRITER_MAX_JOURNAL_BYTES */
	uint32_t segment_bytes;	    /* 0: WRITER_SEGMENT_BYTES */
};

/*
 * Replays what the last run left, then starts two threads: one writes the journal, one applies it,
 * so that a database that hangs does not hold up the acknowledgements. A database that is away now
 * is no error: it is applied later.
 *
 * Returns 0, -EBUSY (another process uses this journal), -errno of the journal folder (it is made).
 */
int writer_start(struct writer **ret, const struct writer_opts *opts);
/* Writes and applies what is queued, then ends. Gives up applying after timeout_ms (it stays in the
 * journal). */
void writer_stop(struct writer *writer, unsigned timeout_ms);

/*
 * Takes a copy of the record. Never blocks. Any one thread (the call thread).
 *
 * seq   may be NULL; the record's number: it is acknowledged (safe on disk) once
 *       writer_acked() >= *seq
 *
 * Returns 0, -ENOBUFS (queue or journal full: the caller logs and counts), -EMSGSIZE.
 */
int writer_post(struct writer *writer, uint32_t kind, const void *data, size_t len, uint64_t *seq);
uint64_t writer_acked(const struct writer *writer);
uint64_t writer_applied(const struct writer *writer);

struct writer_stats {
	uint64_t posted, acked, applied, dropped, dead, journal_bytes;
};
void writer_stats(const struct writer *writer, struct writer_stats *ret);

#endif
