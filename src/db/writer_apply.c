/* SPDX-License-Identifier: Apache-2.0 */
#include "db/writer_priv.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BATCH_MAX_RECORDS 1000
#define APPLY_BATCHES	  5  /* batch_ms that are gathered for one transaction */
#define BUSY_BATCHES	  20 /* ... on a busy switch */

/*
 * Deletes what lies wholly behind the position. The last segment stays, however old: its name and
 * records are what tells the next start which numbers were given out already.
 */
static void segments_clean(struct writer *w)
{
	char path[512];

	(void)pthread_mutex_lock(&w->lock);
	while (w->n_segments > 1 && w->segments[1].first_seq <= atomic_load(&w->applied) + 1) {
		journal_path(path, sizeof(path), w->dir, w->name, w->segments[0].first_seq);
		(void)unlink(path); /* if it stays, its records are passed over */
		atomic_fetch_sub(&w->journal_bytes, w->segments[0].bytes);
		w->n_segments--;
		memmove(w->segments, w->segments + 1, w->n_segments * sizeof(*w->segments));
	}
	(void)pthread_mutex_unlock(&w->lock);
}

/* Errors that say nothing about the record: the same batch may work later. */
static bool is_transient(int err)
{
	static const int list[] = { -EBUSY,  -EPIPE,	-EIO,	  -ENOSPC, -EROFS,    -ENOMEM,
				    -EAGAIN, -ECORRUPT, -ENOTSUP, -EINTR,  -ETIMEDOUT };

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i] == err)
			return true;

	return false;
}

void writer_close_reading(struct writer *w)
{
	if (w->read_fd >= 0)
		(void)close(w->read_fd);
	w->read_fd = -1;
}

static const char sql_table[] =
	"CREATE TABLE IF NOT EXISTS writer_position ("
	"name TEXT PRIMARY KEY, journal TEXT NOT NULL, seq BIGINT NOT NULL)";
static const struct db_migration migrations[] = { { 1, "writer_position", NULL, sql_table } };

/*
 * Where the database stands. A position that belongs to another journal (the folder was emptied,
 * or the database is another one) says nothing about ours: then all that is there is applied. A
 * journal that began empty is always another one: that is every start after a clean end.
 */
static int load_position(struct writer *w)
{
	int64_t seq = 0;
	int err;

	err = db_exec(w->db,
		      "INSERT INTO writer_position (name, journal, seq) VALUES ($1, $2, 0)"
		      " ON CONFLICT (name) DO NOTHING",
		      DB_ARGS(db_text(w->name), db_text(w->id_hex)));
	if (err)
		return err;

	err = db_query_i64(&seq, w->db,
			   "SELECT seq FROM writer_position WHERE name = $1 AND journal = $2",
			   DB_ARGS(db_text(w->name), db_text(w->id_hex)));
	if (err == -ENOENT) {
		if (!w->began_empty)
			log_warn("writer.new_journal",
				 "the database knows another journal; this one is applied from its "
				 "start",
				 kv_text("journal", w->name));
		err = db_exec(w->db,
			      "UPDATE writer_position SET journal = $2, seq = 0 WHERE name = $1",
			      DB_ARGS(db_text(w->name), db_text(w->id_hex)));
	}
	if (err)
		return err;

	/* A position past everything that was ever in the journal: files of it were lost. The
	 * numbers that this run gives out must not look as if they were applied. */
	if (!w->position_known && (uint64_t)seq >= w->first_new_seq) {
		seq = (int64_t)w->first_new_seq - 1;
		err = db_exec(
			w->db,
			"UPDATE writer_position SET seq = $3 WHERE name = $1 AND journal = $2",
			DB_ARGS(db_text(w->name), db_text(w->id_hex), db_i64(seq)));
		if (err)
			return err;
	}
	w->position_known = true;
	atomic_store(&w->applied, (uint64_t)seq);

	/* Reading starts over; what is applied is passed over. */
	writer_close_reading(w);
	w->read_segment = 0;

	return 0;
}

static int open_database(struct writer *w)
{
	char text[300];
	int err;

	if (w->db)
		return 0;

	err = db_open(&w->db, w->db_url, text, sizeof(text));
	if (err)
		return err;

	err = db_migrate(w->db, "writer", migrations, 1);
	if (!err)
		err = load_position(w);
	if (err) {
		db_close(w->db);
		w->db = NULL;
	}

	return err;
}

/* Where reading goes on: the segment after `after`, or the first one. False: there is none yet. */
static bool next_segment(struct writer *w, uint64_t after, struct segment *ret)
{
	bool found = false;

	(void)pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_segments && !found; i++) {
		found = w->segments[i].first_seq > after;
		if (found)
			*ret = w->segments[i];
	}
	(void)pthread_mutex_unlock(&w->lock);

	return found;
}

static bool this_segment(struct writer *w, struct segment *ret)
{
	bool found = false;

	(void)pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n_segments && !found; i++) {
		found = w->segments[i].first_seq == w->read_segment;
		if (found)
			*ret = w->segments[i];
	}
	(void)pthread_mutex_unlock(&w->lock);

	return found;
}

/* Opens the segment that holds the next record. Returns 1, 0 (nothing to read yet), or -errno. */
static int position_reading(struct writer *w, struct segment *seg)
{
	char path[512];

	while (w->read_fd < 0 || !this_segment(w, seg) || w->read_at >= seg->bytes) {
		/* What was read to its end is left only when another one follows: it may grow. */
		if (!next_segment(w, w->read_segment, seg))
			return 0;

		writer_close_reading(w);
		journal_path(path, sizeof(path), w->dir, w->name, seg->first_seq);
		w->read_fd = open(path, O_RDONLY | O_CLOEXEC);
		if (w->read_fd < 0)
			return -errno;
		w->read_segment = seg->first_seq;
		w->read_at = JOURNAL_HEADER_BYTES;
	}

	return 1;
}

static void report_damage(struct writer *w, uint64_t first_seq, uint64_t offset, size_t damaged)
{
	char path[512], copy[560];

	journal_path(path, sizeof(path), w->dir, w->name, first_seq);
	(void)snprintf(copy, sizeof(copy), "%s.damaged", path);
	if (link(path, copy) && errno != EEXIST)
		copy[0] = '\0';
	log_error("writer.damaged", "the disk has changed records of the journal; they are lost",
		  kv_text("journal", w->name), kv_text("kept", copy), kv_int("offset", offset),
		  kv_int("bytes", damaged));
}

struct batch {
	struct journal_record records[BATCH_MAX_RECORDS];
	size_t n;
	uint64_t last_seq;
};

/*
 * Reads the next records after the position; they borrow from w->chunk. The cursor moves only over
 * what is behind us; read_end is where it goes when the batch is done. Returns 1, 0 (none), -errno.
 */
static int read_batch(struct writer *w, struct batch *batch, uint64_t *read_end)
{
	uint64_t newest = atomic_load(&w->applied);
	struct segment seg;
	int n;

	batch->n = 0;
	while (batch->n == 0) {
		struct journal_record record;
		size_t offset = 0, damaged = 0, len;
		ssize_t got;

		n = position_reading(w, &seg);
		if (n <= 0)
			return n;

		len = seg.bytes - w->read_at < JOURNAL_CHUNK_BYTES
			      ? (size_t)(seg.bytes - w->read_at)
			      : JOURNAL_CHUNK_BYTES;
		got = pread(w->read_fd, w->chunk, len, (off_t)w->read_at);
		if (got <= 0)
			return got < 0 ? -errno : -EIO;

		while (batch->n < BATCH_MAX_RECORDS &&
		       journal_parse(&record, w->chunk, (size_t)got, &offset, w->seed,
				     w->read_at + (uint64_t)got >= seg.bytes, &damaged)) {
			if (record.seq <= newest)
				continue;
			newest = record.seq;
			batch->records[batch->n++] = record;
		}
		if (damaged)
			report_damage(w, seg.first_seq, w->read_at, damaged);

		*read_end = w->read_at + offset;
		batch->last_seq = newest;
		if (batch->n == 0)
			w->read_at = *read_end;
	}

	return 1;
}

/* The record goes where someone can look at it, and is safe there before the position passes it. */
static int bury(struct writer *w, const struct journal_record *record, int why)
{
	uint8_t *buf = NULL;
	char path[512];
	struct stat st;
	int fd, err = -ENOMEM;

	log_error("writer.dead_letter", "a record could not be stored; it is kept aside",
		  kv_text("journal", w->name), kv_int("seq", record->seq),
		  kv_int("kind", record->kind), kv_int("bytes", record->len), kv_err(why));

	(void)snprintf(path, sizeof(path), "%s/%s.dead", w->dir, w->name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;

	if (!fstat(fd, &st) && st.st_size > (off_t)WRITER_MAX_DEAD_BYTES) {
		log_error("writer.dead_full", "no room aside: the record is lost; move the file",
			  kv_text("file", path));
		err = 0;
		goto out;
	}

	buf = malloc(JOURNAL_RECORD_BYTES + record->len);
	if (!buf)
		goto out;

	err = journal_write(fd, buf, journal_encode(buf, w->seed, record));
	if (err)
		err = -ENOSPC; /* whatever it was: the batch is tried again */

out:
	free(buf);
	(void)close(fd);

	return err;
}

static int apply_one(struct writer *w, const struct journal_record *record, bool carefully)
{
	int err;

	if (!carefully)
		return w->apply_h(w->db, record->kind, record->data, record->len, w->arg);

	err = db_begin(w->db);
	if (err)
		return err;

	err = w->apply_h(w->db, record->kind, record->data, record->len, w->arg);
	if (!err)
		err = db_commit(w->db);
	if (!err)
		return 0;

	db_rollback(w->db);
	if (is_transient(err))
		return err;

	err = bury(w, record, err);
	if (!err)
		atomic_fetch_add(&w->dead, 1);

	return err;
}

/*
 * Moves the position first: in PostgreSQL this waits for the transaction of a writer that was
 * killed and whose COMMIT the server may still be doing. If that one got through, the position is
 * not where we believe it is and nothing is applied twice.
 */
static int apply_batch(struct writer *w, const struct batch *batch, bool carefully)
{
	int err;

	err = db_begin(w->db);
	if (err)
		return err;

	err = db_exec(w->db,
		      "UPDATE writer_position SET seq = $3 WHERE name = $1 AND journal = $2"
		      " AND seq = $4",
		      DB_ARGS(db_text(w->name), db_text(w->id_hex),
			      db_i64((int64_t)batch->last_seq),
			      db_i64((int64_t)atomic_load(&w->applied))));
	if (!err && db_changes(w->db) != 1)
		err = -EAGAIN;
	for (size_t i = 0; i < batch->n && !err; i++)
		err = apply_one(w, &batch->records[i], carefully);
	if (!err)
		err = db_commit(w->db);
	if (err)
		db_rollback(w->db);

	return err;
}

/* One batch. Returns 1 (done, there may be more), 0 (nothing to do), or an error to wait for. */
static int apply_some(struct writer *w, struct batch *batch)
{
	uint64_t read_end = 0, acked;
	int n, err;

	err = open_database(w);
	if (err)
		return err;

	acked = atomic_load(&w->acked);

	n = read_batch(w, batch, &read_end);
	if (n < 0)
		return n;
	if (n == 0) {
		/* All is read. When numbers are missing (damaged, or applied to a database that was
		 * replaced since) the position passes them. */
		if (acked <= atomic_load(&w->applied))
			return 0;
		read_end = w->read_at;
		batch->last_seq = acked;
	}

	err = apply_batch(w, batch, false);
	if (err && !is_transient(err))
		err = apply_batch(w, batch, true);
	if (err) {
		/* Whether a COMMIT got through before the connection broke only the database
		 * knows: it is asked again. */
		db_close(w->db);
		w->db = NULL;
		return err;
	}

	w->read_at = read_end;
	(void)pthread_mutex_lock(&w->lock);
	atomic_store(&w->applied, batch->last_seq);
	(void)pthread_mutex_unlock(&w->lock);
	segments_clean(w);

	return 1;
}

static void report_database(struct writer *w, int err)
{
	if (err < 0 && !w->db_failing)
		log_error("writer.database_failing",
			  "records cannot be stored in the database; they wait in the journal",
			  kv_text("journal", w->name), kv_err(err));
	if (err > 0 && w->db_failing)
		log_info("writer.database_works", "records are stored again",
			 kv_text("journal", w->name));
	if (err)
		w->db_failing = err < 0;
}

/* Waits until something is to be applied, or for span_ms after a failure. False: the end. */
static bool wait_for_work(struct writer *w, unsigned span_ms)
{
	struct timespec until = writer_at_ms(writer_now_ms() + span_ms);

	(void)pthread_mutex_lock(&w->lock);
	if (span_ms > 0) {
		while (!atomic_load(&w->stopping) &&
		       !pthread_cond_timedwait(&w->changed, &w->lock, &until))
			;
	} else {
		while (atomic_load(&w->acked) <= atomic_load(&w->applied) &&
		       !atomic_load(&w->journal_done))
			(void)pthread_cond_wait(&w->changed, &w->lock);
	}
	(void)pthread_mutex_unlock(&w->lock);

	if (!atomic_load(&w->stopping))
		return true;
	if (span_ms > 0) /* the stop waits, but not busily */
		(void)usleep(20 * 1000);

	return !writer_must_end(w) && (!atomic_load(&w->journal_done) ||
				       atomic_load(&w->acked) > atomic_load(&w->applied));
}

void *writer_apply_main(void *arg)
{
	struct writer *w = arg;
	struct batch *batch = malloc(sizeof(*batch));
	unsigned backoff_ms = 0;
	bool is_behind = false;
	uint64_t acked;
	int n;

	(void)pthread_setname_np(pthread_self(), "db-writer");
	if (!batch) {
		log_error("writer.no_memory", "records stay in the journal until the next start",
			  kv_text("journal", w->name));
		return NULL;
	}

	while (wait_for_work(w, backoff_ms)) {
		/* A transaction costs more than the records in it, and nobody waits for it: they
		 * are safe already. */
		if (!is_behind)
			writer_rest(w, w->batch_ms * (atomic_load(&w->is_busy) ? BUSY_BATCHES :
										 APPLY_BATCHES));
		acked = atomic_load(&w->acked);
		n = apply_some(w, batch);
		is_behind = n > 0 && atomic_load(&w->applied) < acked; /* more than fits into one */
		if (n != -EAGAIN)
			report_database(w, n);
		if (n >= 0)
			backoff_ms = 0;
		else if (backoff_ms == 0)
			backoff_ms = WRITER_BACKOFF_FIRST_MS;
		else if (backoff_ms < WRITER_BACKOFF_LAST_MS)
			backoff_ms *= 2;
	}

	free(batch);

	return NULL;
}

int writer_replay(struct writer *w)
{
	struct batch *batch = malloc(sizeof(*batch));
	int n, disputes = 0;

	if (!batch)
		return -ENOMEM;

	do {
		n = apply_some(w, batch);
		if (n == -EAGAIN)
			disputes++; /* with what is left of a killed run */
		else
			report_database(w, n);
	} while (n > 0 || (n == -EAGAIN && disputes < 10));
	free(batch);

	return 0;
}
