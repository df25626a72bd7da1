/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "db/db.h"
#include "testdb.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OK(call) assert_int_equal(call, 0)

static void make_people(struct testdb *t)
{
	char sql[700];

	(void)snprintf(sql, sizeof(sql),
		       "CREATE TABLE team (id %s, name TEXT NOT NULL UNIQUE);"
		       "CREATE TABLE person (id %s, team_id BIGINT REFERENCES team (id),"
		       " number BIGINT NOT NULL, name TEXT, weight DOUBLE PRECISION, photo %s,"
		       " active BIGINT NOT NULL DEFAULT 1, UNIQUE (team_id, number));"
		       "CREATE UNIQUE INDEX person_name_nocase ON person (lower(name))",
		       db_sql_autoid(t->db), db_sql_autoid(t->db), db_sql_blob(t->db));
	OK(db_script(t->db, sql));
	OK(db_exec(t->db, "INSERT INTO team (name) VALUES ($1), ($2)",
		   DB_ARGS(db_text("red"), db_text("blue"))));
}

static int64_t count(struct db *db)
{
	int64_t n = -1;

	OK(db_query_i64(&n, db, "SELECT COUNT(*) FROM person", DB_NO_ARGS));

	return n;
}

static int add(struct db *db, int64_t number, const char *name)
{
	return db_exec(db, "INSERT INTO person (team_id, number, name) VALUES (1, $1, $2)",
		       DB_ARGS(db_i64(number), db_text(name)));
}

static void values_come_back_as_they_went(void **state)
{
	struct testdb *t = *state;
	struct db_rows *rows = NULL;
	static const uint8_t photo[] = { 0, 1, 0xff, '\\', '\'', 0 };
	const void *blob;
	size_t len = 0;

	make_people(t);
	OK(db_exec(t->db,
		   "INSERT INTO person (number, name, weight, photo, active)"
		   " VALUES ($1, $2, $3, $4, $5)",
		   DB_ARGS(db_i64(INT64_MIN), db_textn("Zoë €xyz", 9), db_real(0.1),
			   db_blob(photo, sizeof(photo)), db_bool(false))));
	assert_int_equal(db_changes(t->db), 1);
	OK(db_exec(t->db,
		   "INSERT INTO person (number, name, weight, photo) VALUES ($1, $2, $3, $4)",
		   DB_ARGS(db_i64(INT64_MAX), db_null(), db_null(), db_blob("", 0))));

	OK(db_query(
		&rows, t->db,
		"SELECT number, name, weight, photo, active, team_id FROM person ORDER BY number",
		DB_NO_ARGS));
	assert_int_equal(db_columns(rows), 6);
	assert_string_equal(db_column_name(rows, 4), "active");
	assert_int_equal(db_next(rows), 1);
	assert_true(db_col_i64(rows, 0) == INT64_MIN);
	assert_string_equal(db_col_text(rows, 1), "Zoë €x");
	assert_true(db_col_real(rows, 2) == 0.1);
	blob = db_col_blob(rows, 3, &len);
	assert_int_equal(len, sizeof(photo));
	assert_memory_equal(blob, photo, len);
	assert_int_equal(db_col_i64(rows, 4), 0);
	assert_true(db_is_null(rows, 5));
	assert_int_equal(db_col_i64(rows, 5), 0);

	assert_int_equal(db_next(rows), 1);
	assert_true(db_col_i64(rows, 0) == INT64_MAX);
	assert_null(db_col_text(rows, 1));
	assert_true(db_is_null(rows, 2));
	assert_false(db_is_null(rows, 3));
	assert_non_null(db_col_blob(rows, 3, &len));
	assert_int_equal(len, 0);
	assert_int_equal(db_col_i64(rows, 4), 1);
	assert_int_equal(db_next(rows), 0);
	assert_int_equal(db_next(rows), 0);
	db_rows_close(rows);
}

static void parameters_are_named_not_counted(void **state)
{
	struct testdb *t = *state;
	int64_t n = 0;
	char text[8];

	make_people(t);
	OK(db_exec(t->db, "INSERT INTO person (name, number) VALUES ($2, $1)",
		   DB_ARGS(db_i64(7), db_text("seven"))));
	OK(db_query_i64(&n, t->db, "SELECT number FROM person WHERE name = $2 AND number < $1",
			DB_ARGS(db_i64(8), db_text("seven"))));
	assert_int_equal(n, 7);
	/* The same parameter twice; compared with a constant it is still a 64 bit number. */
	OK(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM person WHERE ($1 = 0 OR number < $1)",
			DB_ARGS(db_i64((int64_t)1 << 40))));
	assert_int_equal(n, 1);
	/* Text meets a number column. */
	OK(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM person WHERE number = $1",
			DB_ARGS(db_text("7"))));
	assert_int_equal(n, 1);
	OK(db_query_text(text, sizeof(text), t->db, "SELECT name FROM person LIMIT $1",
			 DB_ARGS(db_i64(1))));
	assert_string_equal(text, "seven");
	assert_int_equal(db_query_i64(&n, t->db, "SELECT id FROM person WHERE number = $1",
				      DB_ARGS(db_i64(99))),
			 -ENOENT);
	/* The type of a parameter may change from call to call. */
	OK(db_exec(t->db, "UPDATE person SET weight = $1", DB_ARGS(db_i64(4))));
	OK(db_exec(t->db, "UPDATE person SET weight = $1", DB_ARGS(db_real(4.5))));
	OK(db_exec(t->db, "UPDATE person SET weight = $1", DB_ARGS(db_null())));
	OK(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM person WHERE weight IS NULL", DB_NO_ARGS));
	assert_int_equal(n, 1);
}

static void returning_is_done_without_reading(void **state)
{
	struct testdb *t = *state;
	struct db_rows *rows = NULL;
	int64_t id = 0, again = 0;

	make_people(t);
	OK(db_query_i64(&id, t->db, "INSERT INTO person (number) VALUES ($1) RETURNING id",
			DB_ARGS(db_i64(1))));
	OK(db_query(&rows, t->db, "INSERT INTO person (number) VALUES ($1), ($2) RETURNING id",
		    DB_ARGS(db_i64(2), db_i64(3))));
	assert_int_equal(count(t->db), 3);
	assert_int_equal(db_next(rows), 1);
	again = db_col_i64(rows, 0);
	assert_true(again > id);
	assert_int_equal(db_next(rows), 1);
	assert_true(db_col_i64(rows, 0) > again);
	assert_int_equal(db_next(rows), 0);
	db_rows_close(rows);
	OK(db_exec(t->db, "DELETE FROM person WHERE number > $1 RETURNING id", DB_ARGS(db_i64(1))));
	assert_int_equal(count(t->db), 1);
}

static void errors_have_their_code_and_columns(void **state)
{
	struct testdb *t = *state;
	int64_t n;

	make_people(t);
	OK(add(t->db, 1, "Ann"));
	assert_int_equal(add(t->db, 1, "Bob"), -EDUPLICATE);
	assert_string_equal(db_error_constraint(t->db), "team_id,number");
	assert_true(db_error_text(t->db)[0] != '\0');
	assert_int_equal(add(t->db, 2, "ANN"), -EDUPLICATE);
	assert_string_equal(db_error_constraint(t->db), "person_name_nocase");
	assert_int_equal(db_exec(t->db, "INSERT INTO team (id, name) VALUES (1, 'x')", DB_NO_ARGS),
			 -EDUPLICATE);
	assert_string_equal(db_error_constraint(t->db), "id");

	assert_int_equal(db_exec(t->db, "DELETE FROM team WHERE id = 1", DB_NO_ARGS), -EINUSE);
	assert_int_equal(
		db_exec(t->db, "INSERT INTO person (number, team_id) VALUES (5, 77)", DB_NO_ARGS),
		-EINUSE);
	assert_int_equal(db_exec(t->db, "INSERT INTO person (number) VALUES (NULL)", DB_NO_ARGS),
			 -EINVAL);
	assert_int_equal(db_exec(t->db, "SELECT wrong FROM nothing", DB_NO_ARGS), -EINVAL);
	assert_string_equal(db_error_constraint(t->db), "");
	assert_int_equal(db_exec(t->db, "SELECT 1; SELECT 2", DB_NO_ARGS), -EINVAL);
	assert_int_equal(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM person WHERE number = $1",
				      DB_NO_ARGS),
			 -EINVAL);
	assert_int_equal(
		db_exec(t->db, "UPDATE person SET name = $1", DB_ARGS(db_textn("a\0b", 3))),
		-EINVAL);
	assert_int_equal(count(t->db), 1);
}

static void transactions_nest(void **state)
{
	struct testdb *t = *state;

	make_people(t);
	OK(db_begin(t->db));
	OK(add(t->db, 1, NULL));
	OK(db_begin(t->db));
	OK(add(t->db, 2, NULL));
	OK(db_begin(t->db));
	OK(add(t->db, 3, NULL));
	OK(db_commit(t->db));
	db_rollback(t->db); /* takes 2 and 3 */
	assert_int_equal(count(t->db), 1);

	/* An error inside: the level is rolled back, the rest goes on. */
	OK(db_begin(t->db));
	assert_int_equal(add(t->db, 1, NULL), -EDUPLICATE);
	db_rollback(t->db);
	assert_string_equal(db_error_constraint(t->db), "team_id,number");
	OK(add(t->db, 4, NULL));
	OK(db_commit(t->db));
	assert_int_equal(count(t->db), 2);

	OK(db_begin(t->db));
	OK(add(t->db, 5, NULL));
	db_rollback(t->db);
	db_rollback(t->db); /* nothing open: nothing happens */
	assert_int_equal(count(t->db), 2);
	assert_int_equal(db_commit(t->db), -EINVAL);

	OK(db_begin_read(t->db));
	assert_int_equal(count(t->db), 2);
	OK(db_commit(t->db));
}

static void readers_see_only_what_is_committed(void **state)
{
	struct testdb *t = *state;
	struct db *other = NULL;
	char text[200];

	make_people(t);
	OK(db_open(&other, t->url, text, sizeof(text)));
	OK(db_begin(t->db));
	OK(add(t->db, 1, NULL));
	assert_int_equal(count(other), 0);
	OK(db_commit(t->db));
	assert_int_equal(count(other), 1);

	/* A reading transaction keeps its view. */
	OK(db_begin_read(other));
	assert_int_equal(count(other), 1);
	OK(add(t->db, 2, NULL));
	assert_int_equal(count(other), 1);
	OK(db_commit(other));
	assert_int_equal(count(other), 2);
	db_close(other);
}

static void statements_beyond_the_cache(void **state)
{
	struct testdb *t = *state;
	struct db_rows *outer = NULL, *inner = NULL;
	char sql[80];
	int64_t n;

	make_people(t);
	for (int i = 0; i < 3; i++)
		OK(add(t->db, i, NULL));
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < DB_MAX_STATEMENTS + 40; i++) {
			(void)snprintf(sql, sizeof(sql), "SELECT %d + COUNT(*) FROM person", i);
			OK(db_query_i64(&n, t->db, sql, DB_NO_ARGS));
			assert_int_equal(n, i + 3);
		}
	}

	/* The same text open twice, while others push it out of the cache. */
	OK(db_query(&outer, t->db, "SELECT number FROM person ORDER BY number", DB_NO_ARGS));
	assert_int_equal(db_next(outer), 1);
	OK(db_query(&inner, t->db, "SELECT number FROM person ORDER BY number", DB_NO_ARGS));
	for (int i = 0; i < DB_MAX_STATEMENTS + 1; i++) {
		(void)snprintf(sql, sizeof(sql), "SELECT -%d FROM person", i);
		OK(db_query_i64(&n, t->db, sql, DB_NO_ARGS));
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(db_next(inner), 1);
		assert_int_equal(db_col_i64(inner, 0), i);
	}
	assert_int_equal(db_next(outer), 1);
	assert_int_equal(db_col_i64(outer, 0), 1);
	db_rows_close(inner);
	db_rows_close(outer);
}

static void tables_may_change_under_statements(void **state)
{
	struct testdb *t = *state;
	struct db *other = NULL;
	struct db_rows *rows = NULL;
	char text[200];

	make_people(t);
	OK(db_open(&other, t->url, text, sizeof(text)));
	for (int i = 0; i < 2; i++) {
		OK(db_query(&rows, other, "SELECT * FROM team ORDER BY id", DB_NO_ARGS));
		assert_int_equal(db_columns(rows), 2 + i);
		assert_int_equal(db_next(rows), 1);
		db_rows_close(rows);
		OK(db_query(&rows, t->db, "SELECT * FROM team ORDER BY id", DB_NO_ARGS));
		db_rows_close(rows);
		if (i == 0)
			OK(db_script(t->db, "ALTER TABLE team ADD COLUMN motto TEXT"));
	}
	db_close(other);
}

static const struct db_migration migrations[] = {
	{ 1, "first", NULL, "CREATE TABLE m (a BIGINT); INSERT INTO m VALUES (1)" },
	{ 2, "second", "INSERT INTO m VALUES (2)", "INSERT INTO m VALUES (2)" },
	{ 3, "third", NULL, "ALTER TABLE m ADD COLUMN b TEXT; UPDATE m SET b = 'x'" },
};

static void migrations_run_once(void **state)
{
	struct testdb *t = *state;
	static const struct db_migration broken[] = {
		{ 1, "first", NULL, "SELECT 1" },
		{ 4, "broken", NULL,
		  "INSERT INTO m VALUES (9, 'y'); INSERT INTO nowhere VALUES (1)" },
	};
	int64_t n = 0;

	OK(db_migrate(t->db, "m", migrations, 2));
	OK(db_migrate(t->db, "m", migrations, 2));
	OK(db_migrate(t->db, "m", migrations, 3));
	OK(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM m WHERE b = 'x'", DB_NO_ARGS));
	assert_int_equal(n, 2);
	assert_int_equal(db_migrate(t->db, "m", migrations, 2), -ENOTSUP);

	/* A failed one leaves nothing behind. */
	assert_int_equal(db_migrate(t->db, "m", broken, 2), -EINVAL);
	OK(db_query_i64(&n, t->db, "SELECT COUNT(*) FROM m", DB_NO_ARGS));
	assert_int_equal(n, 2);
	OK(db_query_i64(&n, t->db, "SELECT MAX(number) FROM migration WHERE module = 'm'",
			DB_NO_ARGS));
	assert_int_equal(n, 3);
	OK(db_query_i64(&n, t->db, "SELECT MIN(applied_us) FROM migration", DB_NO_ARGS));
	assert_true(n > INT64_C(1000000) * 1000000000);
}

struct contender {
	const char *url;
	int err;
};

static void *migrate_and_write(void *arg)
{
	struct contender *c = arg;
	struct db *db = NULL;

	c->err = db_open(&db, c->url, NULL, 0);
	if (!c->err)
		c->err = db_migrate(db, "m", migrations, 3);
	for (int i = 0; !c->err && i < 50; i++) {
		c->err = db_begin(db);
		if (!c->err)
			c->err = db_exec(db, "UPDATE m SET a = a + 1", DB_NO_ARGS);
		if (!c->err)
			c->err = db_commit(db);
	}
	db_close(db);

	return NULL;
}

static void several_start_and_write_at_once(void **state)
{
	struct testdb *t = *state;
	struct contender c[4];
	pthread_t threads[4];
	int64_t n = 0;

	for (int i = 0; i < 4; i++) {
		c[i] = (struct contender){ .url = t->url, .err = 1 };
		OK(pthread_create(&threads[i], NULL, migrate_and_write, &c[i]));
	}
	for (int i = 0; i < 4; i++) {
		OK(pthread_join(threads[i], NULL));
		OK(c[i].err);
	}
	OK(db_query_i64(&n, t->db, "SELECT SUM(a) FROM m", DB_NO_ARGS));
	assert_int_equal(n, 1 + 2 + 2 * 4 * 50);
}

static void a_lost_server_is_found_again(void **state)
{
	struct testdb *t = *state;

	make_people(t);
	OK(add(t->db, 1, NULL));

	/* Gone in a transaction: everything fails until it is rolled back. */
	OK(db_begin(t->db));
	OK(db_begin(t->db));
	OK(add(t->db, 2, NULL));
	testdb_pg_stop();
	assert_int_equal(add(t->db, 3, NULL), -EPIPE);
	testdb_pg_start();
	assert_int_equal(add(t->db, 3, NULL), -EPIPE);
	db_rollback(t->db);
	assert_int_equal(add(t->db, 3, NULL), -EPIPE);
	assert_int_equal(db_commit(t->db), -EPIPE);
	db_rollback(t->db);
	assert_int_equal(count(t->db), 1);

	/* Gone while idle: nobody notices. */
	OK(add(t->db, 4, NULL));
	testdb_pg_stop();
	testdb_pg_start();
	OK(add(t->db, 5, NULL));
	assert_int_equal(count(t->db), 3);

	/* Away: an error each time, then it works again. */
	testdb_pg_stop();
	assert_int_equal(add(t->db, 6, NULL), -EPIPE);
	assert_int_equal(db_begin(t->db), -EPIPE);
	testdb_pg_start();
	OK(add(t->db, 6, NULL));
	assert_int_equal(count(t->db), 4);
}

static void what_cannot_be_opened_says_why(void **state)
{
	struct testdb *t = *state;
	struct db *db = NULL;
	char text[200] = "", path[200];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/no/such/folder.db", t->dir);
	assert_int_equal(db_open(&db, path, text, sizeof(text)), -EIO);
	assert_non_null(strstr(text, "folder.db"));

	(void)snprintf(path, sizeof(path), "%s/garbage.db", t->dir);
	f = fopen(path, "w");
	assert_non_null(f);
	for (int i = 0; i < 1000; i++)
		(void)fputs("this is not a database ", f);
	(void)fclose(f);
	assert_int_equal(db_open(&db, path, text, sizeof(text)), -ECORRUPT);

	(void)snprintf(path, sizeof(path), "postgresql:///x?host=%s&password=hush", t->dir);
	assert_int_equal(db_open(&db, path, text, sizeof(text)), -EPIPE);
	assert_non_null(strstr(text, "PostgreSQL"));
	assert_null(strstr(text, "hush"));
	assert_null(db);
}

/* A file may not grow any more: the database says so, loses nothing, and goes on when it may. */
static void a_full_disk_is_told_apart(void **state)
{
	struct testdb *t = *state;
	struct rlimit before, tiny;
	char name[2000];
	int err = 0;

	make_people(t);
	OK(add(t->db, 1, "first"));
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	(void)signal(SIGXFSZ, SIG_IGN);
	OK(getrlimit(RLIMIT_FSIZE, &before));
	tiny = before;
	tiny.rlim_cur = 200 * 1024;
	OK(setrlimit(RLIMIT_FSIZE, &tiny));
	OK(db_begin(t->db));
	for (int64_t n = 2; !err && n < 5000; n++) {
		(void)snprintf(name, 20, "%019lld", (long long)n);
		name[19] = 'x';
		err = add(t->db, n, name);
	}
	if (!err)
		err = db_commit(t->db);
	assert_int_equal(err, -ENOSPC);
	db_rollback(t->db);
	assert_int_equal(count(t->db), 1);
	OK(setrlimit(RLIMIT_FSIZE, &before));
	OK(add(t->db, 2, "second"));
	assert_int_equal(count(t->db), 2);
}

static void the_file_is_private(void **state)
{
	struct testdb *t = *state;
	char path[300];
	struct stat st;

	make_people(t);
	assert_int_equal(stat(t->url, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	(void)snprintf(path, sizeof(path), "%s-wal", t->url);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* Another process that comes and goes: SQLite's notes on locks would survive a mere fork. */
static int visitor(const char *url)
{
	struct db *db = NULL;
	const int err = db_open(&db, url, NULL, 0);

	if (!err)
		(void)count(db);
	db_close(db); /* would delete the -wal if it were the last one */

	return err ? 1 : 0;
}

static void a_second_connection_keeps_the_locks_of_the_first(void **state)
{
	struct testdb *t = *state;
	struct db *second = NULL;
	char path[300];
	struct stat st;
	int status;
	pid_t pid;

	make_people(t);
	OK(db_open(&second, t->url, NULL, 0));

	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		(void)execl("/proc/self/exe", "test_db", t->url, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);

	(void)snprintf(path, sizeof(path), "%s-wal", t->url);
	assert_int_equal(stat(path, &st), 0);
	db_close(second);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TESTDB_BOTH("values come back as they went", values_come_back_as_they_went),
		TESTDB_BOTH("parameters are named, not counted", parameters_are_named_not_counted),
		TESTDB_BOTH("INSERT ... RETURNING is done without reading",
			    returning_is_done_without_reading),
		TESTDB_BOTH("errors have their code and columns",
			    errors_have_their_code_and_columns),
		TESTDB_BOTH("transactions nest", transactions_nest),
		TESTDB_BOTH("readers see only what is committed",
			    readers_see_only_what_is_committed),
		TESTDB_BOTH("more statements than the cache holds", statements_beyond_the_cache),
		TESTDB_BOTH("tables may change under statements",
			    tables_may_change_under_statements),
		TESTDB_BOTH("migrations run once", migrations_run_once),
		TESTDB_BOTH("several start and write at once", several_start_and_write_at_once),
		TESTDB_ONE("a lost server is found again", a_lost_server_is_found_again,
			   DB_POSTGRES),
		TESTDB_ONE("what cannot be opened says why", what_cannot_be_opened_says_why,
			   DB_SQLITE),
		TESTDB_ONE("a full disk is told apart", a_full_disk_is_told_apart, DB_SQLITE),
		TESTDB_ONE("the file is private", the_file_is_private, DB_SQLITE),
		TESTDB_ONE("a second connection keeps the locks of the first",
			   a_second_connection_keeps_the_locks_of_the_first, DB_SQLITE),
	};

	if (argc == 2)
		return visitor(argv[1]);

	return testdb_run(tests);
}
