/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_DB_WRITER_PRIV_H
#define AOIDE_DB_WRITER_PRIV_H

#include "db/db.h"
#include "db/journal_priv.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

/*
 * Three parties. The poster copies records into a ring (base/ring.h). The
 * journal thread drains the ring into segment files and acknowledges. The apply thread reads the
 * segments and applies them; it alone touches the database.
 *
 * Nothing here asks base/clock: a test that drives time must not stop the disk.
 */
#define WRITER_BACKOFF_FIRST_MS 100
#define WRITER_BACKOFF_LAST_MS	5000

struct ring;

struct segment {
	uint64_t first_seq;
	uint64_t bytes; /* written and synced */
};

struct writer {
	/* Constant after the start. */
	char *dir, *name, *db_url;
	writer_apply_h *apply_h;
	void *arg;
	unsigned batch_ms;
	uint64_t max_journal_bytes;
	uint32_t segment_bytes;
	struct journal_id id;
	char id_hex[33];
	uint32_t seed;
	int lock_fd;

	/* Poster. */
	uint64_t next_seq;
	struct ring *ring;
	_Atomic bool journal_sleeps;
	sem_t wake;

	/* Journal thread, for the apply thread: records come so fast that both gather for longer. */
	_Atomic bool is_busy;

	/* Journal thread. */
	pthread_t journal_thread;
	bool journal_runs;
	int fd; /* of the last segment; -1: the next batch makes one */
	uint64_t fd_bytes;
	uint8_t *batch;
	unsigned gather_ms; /* before the next batch */
	bool disk_failing;

	/* Both, under the lock. */
	pthread_mutex_t lock;
	pthread_cond_t changed, ending; /* ending: of the stop alone */
	struct segment *segments; /* ascending; the last one may still grow */
	size_t n_segments;
	_Atomic uint64_t journal_bytes;

	/* Apply thread. */
	pthread_t apply_thread;
	bool apply_runs;
	struct db *db;
	uint64_t first_new_seq; /* of this run; what lies before is from earlier ones */
	bool position_known;	/* the database was asked in this run */
	bool began_empty;	/* no file was there: a clean end leaves none */
	uint8_t *chunk;
	int read_fd;
	uint64_t read_segment, read_at; /* where the next batch begins */
	bool db_failing;

	_Atomic bool stopping, journal_done;
	uint64_t stop_at_ms; /* written before stopping */
	_Atomic uint64_t posted, acked, applied, dropped, dead;
};

uint64_t writer_now_ms(void);
struct timespec writer_at_ms(uint64_t ms); /* of writer_now_ms() */
/* Sleeps, but a stop ends it. */
void writer_rest(struct writer *w, unsigned span_ms);
bool writer_must_end(struct writer *w); /* the stop cannot wait any longer */

/* writer_apply.c */
void *writer_apply_main(void *arg);
/* In the caller's thread at start: what the last run acknowledged is in the database before calls
 * come in, if the database is there. */
int writer_replay(struct writer *w);
void writer_close_reading(struct writer *w);

#endif
