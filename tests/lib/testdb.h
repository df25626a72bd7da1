/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_TESTS_TESTDB_H
#define AOIDE_TESTS_TESTDB_H

#include "db/db.h"

/*
 * Empty databases for tests, on both drivers. PostgreSQL is Debian's: one server per test program,
 * started at first use in a temporary folder on a Unix socket, ended by its pid (and by the kernel
 * if the test program dies). A missing PostgreSQL makes tests fail; who really has none sets
 * AOIDE_TEST_PG=0 and sees those tests as skipped. AOIDE_PG_BIN names another folder of programs.
 *
 *	static const struct CMUnitTest tests[] = {
 *		TESTDB_BOTH("[PLT-59] one row per call", one_row),
 *	};
 *	return testdb_run(tests);
 *
 * and in the test: `struct testdb *t = *state;`
 */
struct testdb {
	enum db_kind kind;
	struct db *db; /* open */
	char url[256]; /* for more connections */
	char dir[128]; /* temporary folder, removed with all it holds */
};

/* The test runs twice. f gets a struct testdb of its own in *state. */
#define TESTDB_BOTH(text, f) TESTDB_ONE(text, f, DB_SQLITE), TESTDB_ONE(text, f, DB_POSTGRES)
#define TESTDB_ONE(text, f, kind)                                                                  \
	{                                                                                          \
		text " (" #kind ")", f, testdb_setup, testdb_teardown, (void *)&testdb_kinds[kind] \
	}

extern const enum db_kind testdb_kinds[2];

int testdb_setup(void **state);
int testdb_teardown(void **state);

/* Runs the group and stops PostgreSQL at its end. */
#define testdb_run(tests) testdb_run_group(#tests, tests, sizeof(tests) / sizeof((tests)[0]))
struct CMUnitTest;
int testdb_run_group(const char *name, const struct CMUnitTest *tests, size_t n);

/* PostgreSQL as a broken server: stopped at once, and started again on the same data. */
void testdb_pg_stop(void);
void testdb_pg_start(void);

/* A temporary folder, and removing one with all it holds. They fail the test on error. */
void testdb_mkdir(char *buf, size_t size);
void testdb_rmdir(const char *path);

#endif
