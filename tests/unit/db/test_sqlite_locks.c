/* SPDX-License-Identifier: Apache-2.0 */
/* Seen failing: the switch kept reading an old configuration after an apply. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "db/db.h"

/*
 * Another process, made before this one has SQLite open: a fork would inherit what SQLite believes to
 * hold. It opens the file, runs a statement, closes, and says whether that went well.
 */
struct other {
	pid_t pid;
	int to, from;
};

static void other_main(const char *path, int in, int out)
{
	static const char *const statements[] = {
		"CREATE TABLE t (n INTEGER)", "SELECT 1", "INSERT INTO t VALUES (1)"
	};
	char n;

	while (read(in, &n, 1) == 1) {
		struct db *db = NULL;
		int err = db_open(&db, path, NULL, 0);

		if (!err)
			err = db_script(db, statements[(int)n]);
		db_close(db);
		n = err ? 1 : 0;
		if (write(out, &n, 1) != 1)
			break;
	}
	_exit(0);
}

static void other_start(struct other *other, const char *path)
{
	int to[2], from[2];

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	other->pid = fork();
	assert_true(other->pid >= 0);
	if (other->pid == 0) {
		close(to[1]);
		other_main(path, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	other->to = to[1];
	other->from = from[0];
}

enum { CREATES, COMES_AND_GOES, INSERTS };

static void elsewhere(const struct other *other, char what)
{
	assert_int_equal(write(other->to, &what, 1), 1);
	assert_int_equal(read(other->from, &what, 1), 1);
	assert_int_equal(what, 0);
}

static void a_second_connection_keeps_the_locks_of_the_first(void **state)
{
	char dir[] = "/tmp/aoide-locks-XXXXXX", path[64], wal[80];
	struct db *first, *second;
	struct other other;
	int64_t n;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/x.db", dir);
	(void)snprintf(wal, sizeof(wal), "%s-wal", path);
	other_start(&other, path);

	elsewhere(&other, CREATES);
	assert_int_equal(db_open(&first, path, NULL, 0), 0);
	assert_int_equal(db_query_i64(&n, first, "SELECT COUNT(*) FROM t", DB_NO_ARGS), 0);
	assert_int_equal(db_open(&second, path, NULL, 0), 0);

	/* It is not the last one, so the write-ahead log stays. */
	elsewhere(&other, COMES_AND_GOES);
	assert_int_equal(access(wal, F_OK), 0);

	elsewhere(&other, INSERTS);
	assert_int_equal(db_query_i64(&n, first, "SELECT COUNT(*) FROM t", DB_NO_ARGS), 0);
	assert_int_equal(n, 1);

	close(other.to);
	close(other.from);
	assert_int_equal(waitpid(other.pid, NULL, 0), other.pid);
	db_close(second);
	db_close(first);
	(void)unlink(path);
	(void)rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_connection_keeps_the_locks_of_the_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
