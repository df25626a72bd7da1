/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "db/db.h"
#include "db/writer.h"
#include "testdb.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OK(call)    assert_int_equal(call, 0)
#define KILL_ROUNDS 40
#define MAX_NUMBERS 2000000

enum { KIND_NUMBER = 1, KIND_POISON, KIND_UNIQUE };

/* Table item has no unique constraint: what is applied twice is seen. */
static int apply(struct db *db, uint32_t kind, const void *data, size_t len, void *arg)
{
	int64_t n;

	if (len < sizeof(n))
		return -EINVAL;
	memcpy(&n, data, sizeof(n));
	if (kind == KIND_UNIQUE)
		return db_exec(db, "INSERT INTO single (n) VALUES ($1)", DB_ARGS(db_i64(n)));
	if (kind == KIND_POISON) {
		/* What it wrote before it failed must not stay. */
		(void)db_exec(db, "INSERT INTO item (n) VALUES (-1)", DB_NO_ARGS);
		return -EINVAL;
	}

	return db_exec(db, "INSERT INTO item (n) VALUES ($1)", DB_ARGS(db_i64(n)));
}

static struct writer_opts opts_of(struct testdb *t)
{
	return (struct writer_opts){
		.journal_dir = t->dir,
		.name = "test",
		.db_url = t->url,
		.apply_h = apply,
		.batch_ms = 1,
		.segment_bytes = 4096,
	};
}

static void make_tables(struct testdb *t)
{
	OK(db_script(t->db, "CREATE TABLE item (n BIGINT);"
			    "CREATE TABLE single (n BIGINT PRIMARY KEY)"));
}

static struct writer *start(struct testdb *t)
{
	struct writer_opts opts = opts_of(t);
	struct writer *w = NULL;

	OK(writer_start(&w, &opts));

	return w;
}

static void post(struct writer *w, uint32_t kind, int64_t n)
{
	OK(writer_post(w, kind, &n, sizeof(n), NULL));
}

static void post_many(struct writer *w, int64_t from, int64_t to)
{
	for (int64_t n = from; n <= to; n++)
		post(w, KIND_NUMBER, n);
}

static int64_t number(struct testdb *t, const char *sql)
{
	int64_t n = -1;

	OK(db_query_i64(&n, t->db, sql, DB_NO_ARGS));

	return n;
}

static void expect_items(struct testdb *t, int64_t n, int64_t max)
{
	assert_int_equal(number(t, "SELECT COUNT(*) FROM item"), n);
	assert_int_equal(number(t, "SELECT COUNT(DISTINCT n) FROM item"), n);
	assert_int_equal(number(t, "SELECT MAX(n) FROM item"), max);
	assert_int_equal(number(t, "SELECT COUNT(*) FROM item WHERE n < 0"), 0);
}

static void wait_until(bool (*ready)(struct writer *w), struct writer *w)
{
	for (int i = 0; i < 3000; i++) {
		if (ready(w))
			return;
		(void)usleep(10 * 1000);
	}
	fail_msg("nothing happened in 30 s");
}

static bool all_acked(struct writer *w)
{
	struct writer_stats stats;

	writer_stats(w, &stats);

	return stats.acked >= stats.posted;
}

static bool all_applied(struct writer *w)
{
	return writer_applied(w) >= writer_acked(w) && all_acked(w);
}

/* Paths of the journal's segments, in order; returns their number. */
static int segments(struct testdb *t, char paths[][400], int max)
{
	struct dirent **list = NULL;
	int n = scandir(t->dir, &list, NULL, alphasort), found = 0;

	for (int i = 0; i < n; i++) {
		size_t len = strlen(list[i]->d_name);

		if (len > 8 && !strcmp(list[i]->d_name + len - 8, ".journal") && found < max)
			(void)snprintf(paths[found++], 400, "%s/%s", t->dir, list[i]->d_name);
		free(list[i]);
	}
	free(list);

	return found;
}

static void records_arrive_once_and_in_order(void **state)
{
	struct testdb *t = *state;
	char paths[64][400];
	struct writer_stats stats;
	struct writer *w;
	uint64_t seq = 0;
	int64_t n = 1;
	uint8_t *large = calloc(1, WRITER_MAX_RECORD_BYTES + 1);

	make_tables(t);
	w = start(t);
	OK(writer_post(w, KIND_NUMBER, &n, sizeof(n), &seq));
	assert_int_equal(seq, 1);
	post_many(w, 2, 3000);
	n = 3001;
	memcpy(large, &n, sizeof(n));
	OK(writer_post(w, KIND_NUMBER, large, WRITER_MAX_RECORD_BYTES, NULL));
	assert_int_equal(writer_post(w, KIND_NUMBER, large, WRITER_MAX_RECORD_BYTES + 1, NULL),
			 -EMSGSIZE);
	wait_until(all_applied, w);
	writer_stats(w, &stats);
	assert_int_equal(stats.posted, 3001);
	assert_int_equal(stats.applied, 3001);
	assert_int_equal(stats.dropped, 0);
	writer_stop(w, 1000);
	expect_items(t, 3001, 3001);
	assert_int_equal(segments(t, paths, 64), 1); /* applied files are gone */

	/* Numbers go on after a restart; what was queued at the stop is stored. */
	w = start(t);
	n = 3002;
	OK(writer_post(w, KIND_NUMBER, &n, sizeof(n), &seq));
	assert_int_equal(seq, 3002);
	writer_stop(w, 10000);
	expect_items(t, 3002, 3002);
	free(large);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Twenty transactions' worth, with a rest of two seconds before a transaction: it comes once. */
static void a_busy_writer_does_not_rest_while_it_is_behind(void **state)
{
	struct testdb *t = *state;
	struct writer_opts opts = opts_of(t);
	struct writer *w = NULL;

	make_tables(t);
	opts.batch_ms = 100;
	opts.segment_bytes = 0;
	OK(writer_start(&w, &opts));
	for (int64_t n = 1; n <= 10; n++) /* busy from here on */
		post(w, KIND_NUMBER, n);
	wait_until(all_acked, w);
	post_many(w, 11, 20000);
	wait_until(all_applied, w);
	writer_stop(w, 10000);
	expect_items(t, 20000, 20000);
}

static void a_stop_ends_the_gathering(void **state)
{
	struct testdb *t = *state;
	struct writer_opts opts = opts_of(t);
	struct writer *w = NULL;
	int64_t began_ms = now_ms();

	make_tables(t);
	opts.batch_ms = 60000;
	OK(writer_start(&w, &opts));
	post(w, KIND_NUMBER, 1);
	(void)usleep(100 * 1000);
	writer_stop(w, 20000);
	assert_true(now_ms() - began_ms < 40000);
	expect_items(t, 1, 1);
}

static void one_journal_has_one_writer(void **state)
{
	struct testdb *t = *state;
	struct writer_opts opts = opts_of(t);
	struct writer *w, *second = NULL;

	w = start(t);
	assert_int_equal(writer_start(&second, &opts), -EBUSY);
	assert_null(second);
	writer_stop(w, 1000);
}

static void poison_goes_aside(void **state)
{
	struct testdb *t = *state;
	struct writer_stats stats;
	struct writer *w;
	char path[400];
	struct stat st;

	make_tables(t);
	w = start(t);
	post_many(w, 1, 5);
	post(w, KIND_POISON, 6);
	post_many(w, 6, 10);
	post(w, KIND_UNIQUE, 1);
	post(w, KIND_UNIQUE, 1); /* -EDUPLICATE from the database */
	post_many(w, 11, 20);
	wait_until(all_applied, w);
	writer_stats(w, &stats);
	writer_stop(w, 1000);
	assert_int_equal(stats.dead, 2);
	expect_items(t, 20, 20);
	assert_int_equal(number(t, "SELECT COUNT(*) FROM single"), 1);
	(void)snprintf(path, sizeof(path), "%s/test.dead", t->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 2 * (24 + 8));
}

/* ------------------------------------------------------------------ kill -9 */

struct shared {			      /* between the test and the child that is killed */
	_Atomic int64_t next;	      /* number to post next */
	_Atomic uint64_t round_acked; /* last number of this process that is acknowledged */
	int64_t number_of_seq[MAX_NUMBERS];
	uint8_t acked[MAX_NUMBERS];
};

static void child_main(struct testdb *t, struct shared *shared)
{
	struct writer_opts opts = opts_of(t);
	struct writer *w = NULL;
	uint64_t seq, told = 0;

	if (writer_start(&w, &opts))
		_exit(1);

	told = writer_acked(w);
	for (;;) {
		for (int i = 0; i < 20; i++) {
			int64_t n = atomic_load(&shared->next);

			/* A number that is posted is never used again, acknowledged or not. */
			if (n >= MAX_NUMBERS)
				_exit(2);
			atomic_store(&shared->next, n + 1);
			if (writer_post(w, KIND_NUMBER, &n, sizeof(n), &seq))
				continue;
			if (seq < MAX_NUMBERS)
				shared->number_of_seq[seq] = n;
		}
		for (uint64_t acked = writer_acked(w); told < acked; told++)
			shared->acked[shared->number_of_seq[told + 1]] = 1;
		(void)usleep(300);
	}
}

static void kill_at_any_moment(void **state)
{
	struct testdb *t = *state;
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct db_rows *rows = NULL;
	uint8_t *stored = calloc(1, MAX_NUMBERS);
	int64_t acked = 0, found = 0;
	unsigned seed = 20161123;
	struct writer *w;

	assert_true(shared != MAP_FAILED);
	make_tables(t);
	atomic_store(&shared->next, 1);
	for (int round = 0; round < KILL_ROUNDS; round++) {
		pid_t pid;
		int status = 0;

		(void)fflush(NULL);
		pid = fork();
		if (pid == 0)
			child_main(t, shared);
		(void)usleep(5000 + (useconds_t)rand_r(&seed) % 75000);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}

	w = start(t);
	writer_stop(w, 30000);

	OK(db_query(&rows, t->db, "SELECT n FROM item", DB_NO_ARGS));
	while (db_next(rows) > 0) {
		int64_t n = db_col_i64(rows, 0);

		assert_true(n > 0 && n < MAX_NUMBERS);
		assert_int_equal(stored[n], 0); /* none doubled */
		stored[n] = 1;
		found++;
	}
	db_rows_close(rows);
	for (int64_t n = 1; n < atomic_load(&shared->next); n++) {
		acked += shared->acked[n];
		if (shared->acked[n])
			assert_int_equal(stored[n], 1); /* none lost */
	}
	print_message("%d kills: %lld posted, %lld acknowledged, %lld stored\n", KILL_ROUNDS,
		      (long long)atomic_load(&shared->next) - 1, (long long)acked,
		      (long long)found);
	assert_true(acked > KILL_ROUNDS * 20);
	assert_true(found >= acked);
	free(stored);
	(void)munmap(shared, sizeof(*shared));
}

/* ------------------------------------------------------------------ damage */

/* The database away, so that the records stay in the journal. */
static void journal_only(struct testdb *t, int64_t from, int64_t to)
{
	struct writer_opts opts = opts_of(t);
	struct writer *w = NULL;
	char url[400];

	(void)snprintf(url, sizeof(url), "%s/no/database/here.db", t->dir);
	opts.db_url = url;
	OK(writer_start(&w, &opts));
	for (; from <= to; from += 60) { /* several batches, so that there are several files */
		post_many(w, from, from + 59 < to ? from + 59 : to);
		wait_until(all_acked, w);
	}
	assert_int_equal(writer_applied(w), 0);
	writer_stop(w, 0);
}

static void a_torn_tail_is_cut(void **state)
{
	struct testdb *t = *state;
	char paths[64][400];
	struct writer *w;
	struct stat st;
	int n;

	make_tables(t);
	journal_only(t, 1, 300);
	n = segments(t, paths, 64);
	assert_true(n > 1);
	/* The last record was written in part only. */
	OK(stat(paths[n - 1], &st));
	OK(truncate(paths[n - 1], st.st_size - 5));
	w = start(t);
	expect_items(t, 299, 299);
	post(w, KIND_NUMBER, 301);
	writer_stop(w, 10000);
	expect_items(t, 300, 301);

	/* A file that was only begun. */
	(void)snprintf(paths[0], sizeof(paths[0]), "%s/test.00000000000000009999.journal", t->dir);
	n = open(paths[0], O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(n, "AOIDE", 5), 5);
	(void)close(n);
	w = start(t);
	post(w, KIND_NUMBER, 302);
	writer_stop(w, 10000);
	expect_items(t, 301, 302);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	(void)close(fd);
}

static void a_flipped_byte_costs_one_record(void **state)
{
	struct testdb *t = *state;
	char paths[64][400], copy[420];
	struct writer *w;
	struct stat st;

	make_tables(t);
	journal_only(t, 1, 300);
	assert_true(segments(t, paths, 64) > 1);
	flip(paths[0], 32 + 10 * 32 + 24); /* data of record 11 */
	flip(paths[0], 32 + 20 * 32 + 5);  /* length of record 21: now far beyond the file */
	flip(paths[1], 32 + 0 * 32);	   /* magic of the first record of the second file */
	w = start(t);
	expect_items(t, 297, 300);
	assert_int_equal(number(t, "SELECT COUNT(*) FROM item WHERE n IN (11, 21)"), 0);
	(void)snprintf(copy, sizeof(copy), "%s.damaged", paths[0]);
	OK(stat(copy, &st)); /* kept for who wants to look */
	post(w, KIND_NUMBER, 301);
	writer_stop(w, 10000);
	expect_items(t, 298, 301);
}

static void a_replaced_database_gets_what_the_journal_has(void **state)
{
	struct testdb *t = *state;
	char paths[64][400];
	struct writer *w;
	int n;

	make_tables(t);
	w = start(t);
	post_many(w, 1, 10);
	writer_stop(w, 10000);

	/* The journal's folder is emptied: its numbers begin anew and are not taken for old ones.
	 */
	n = segments(t, paths, 64);
	while (n-- > 0)
		OK(unlink(paths[n]));
	w = start(t);
	post_many(w, 11, 15);
	writer_stop(w, 10000);
	expect_items(t, 15, 15);

	/* The database forgets: what is still in the journal comes again, new ones follow. */
	OK(db_script(t->db, "DELETE FROM item; DELETE FROM writer_position"));
	w = start(t);
	post_many(w, 16, 20);
	writer_stop(w, 10000);
	expect_items(t, 10, 20);

	/* The database is ahead of the journal. */
	OK(db_exec(t->db, "UPDATE writer_position SET seq = 100000", DB_NO_ARGS));
	w = start(t);
	post_many(w, 21, 30);
	writer_stop(w, 10000);
	expect_items(t, 20, 30);
}

/* ------------------------------------------------------------------ trouble */

static void a_full_disk_is_waited_for(void **state)
{
	struct testdb *t = *state;
	struct rlimit before, tiny;
	struct writer_opts opts = opts_of(t);
	struct writer *w = NULL;
	uint64_t acked;

	/* A file may not grow past 6000 bytes: write() fails as on a full disk. The database is
	 * PostgreSQL or not touched meanwhile, the limit is this process's. */
	make_tables(t);
	(void)signal(SIGXFSZ, SIG_IGN);
	OK(getrlimit(RLIMIT_FSIZE, &before));
	tiny = before;
	tiny.rlim_cur = 6000;

	opts.segment_bytes = 1 << 20;
	OK(writer_start(&w, &opts));
	post_many(w, 1, 10);
	wait_until(all_applied, w);
	OK(setrlimit(RLIMIT_FSIZE, &tiny));
	for (int64_t n = 11; n <= 2000; n++) {
		post(w, KIND_NUMBER, n);
		if (n == 100)
			(void)usleep(50 * 1000);
	}
	(void)usleep(400 * 1000);
	acked = writer_acked(w);
	assert_true(acked < 2000);
	OK(setrlimit(RLIMIT_FSIZE, &before));
	wait_until(all_applied, w);
	writer_stop(w, 10000);
	expect_items(t, 2000, 2000);
}

static void a_failing_database_is_waited_for(void **state)
{
	struct testdb *t = *state;
	struct writer_stats stats;
	struct writer *w;

	make_tables(t);
	w = start(t);
	post_many(w, 1, 10);
	wait_until(all_applied, w);

	if (t->kind == DB_POSTGRES)
		testdb_pg_stop();
	else
		OK(db_begin(t->db)); /* holds the write lock */
	for (int64_t n = 11; n <= 500; n++) {
		post(w, KIND_NUMBER, n);
		(void)usleep(100);
	}
	wait_until(all_acked, w); /* safe, though not stored */
	writer_stats(w, &stats);
	assert_int_equal(stats.applied, 10);
	if (t->kind == DB_POSTGRES)
		testdb_pg_start();
	else
		OK(db_commit(t->db));
	wait_until(all_applied, w);
	writer_stop(w, 10000);
	writer_stats(w = start(t), &stats);
	assert_int_equal(stats.dead, 0);
	writer_stop(w, 1000);
	expect_items(t, 500, 500);
}

static void a_stop_leaves_the_rest_for_the_next_start(void **state)
{
	struct testdb *t = *state;
	struct writer *w;

	make_tables(t);
	journal_only(t, 1, 100);
	w = start(t); /* replays before it returns */
	expect_items(t, 100, 100);
	assert_int_equal(writer_applied(w), 100);
	writer_stop(w, 1000);
}

static void the_journal_has_a_limit(void **state)
{
	struct testdb *t = *state;
	struct writer_opts opts = opts_of(t);
	struct writer_stats stats;
	struct writer *w = NULL;
	char url[400];
	int64_t n = 0;
	int err = 0;

	make_tables(t);
	(void)snprintf(url, sizeof(url), "%s/no/database/here.db", t->dir);
	opts.db_url = url;
	opts.max_journal_bytes = 20000;
	OK(writer_start(&w, &opts));
	while (!err && n < 2000) {
		n++;
		err = writer_post(w, KIND_NUMBER, &n, sizeof(n), NULL);
		(void)usleep(50);
	}
	assert_int_equal(err, -ENOBUFS);
	assert_true(n > 400);
	wait_until(all_acked, w);
	writer_stats(w, &stats);
	assert_int_equal(stats.dropped, 1);
	assert_int_equal(stats.posted, n - 1);
	/* What waits in memory is counted without the head of 32 - 24 bytes that it gets in the journal. */
	assert_true(stats.journal_bytes <= 20000 / 24 * 32 + 1000);
	writer_stop(w, 0);

	w = start(t);
	writer_stop(w, 1000);
	expect_items(t, n - 1, n - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TESTDB_BOTH("records arrive once and in order", records_arrive_once_and_in_order),
		TESTDB_BOTH("a busy writer does not rest while it is behind",
			    a_busy_writer_does_not_rest_while_it_is_behind),
		TESTDB_BOTH("a stop ends the gathering", a_stop_ends_the_gathering),
		TESTDB_BOTH("one journal has one writer", one_journal_has_one_writer),
		TESTDB_BOTH("poison goes aside", poison_goes_aside),
		TESTDB_BOTH("kill -9 at any moment: none lost, none doubled", kill_at_any_moment),
		TESTDB_BOTH("a torn tail is cut", a_torn_tail_is_cut),
		TESTDB_BOTH("a flipped byte costs one record", a_flipped_byte_costs_one_record),
		TESTDB_BOTH("journal and database of different ages",
			    a_replaced_database_gets_what_the_journal_has),
		TESTDB_BOTH("a full disk is waited for", a_full_disk_is_waited_for),
		TESTDB_BOTH("a failing database is waited for", a_failing_database_is_waited_for),
		TESTDB_BOTH("a stop leaves the rest for the next start",
			    a_stop_leaves_the_rest_for_the_next_start),
		TESTDB_BOTH("the journal has a limit", the_journal_has_a_limit),
	};

	return testdb_run(tests);
}
