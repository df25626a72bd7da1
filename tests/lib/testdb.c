/* SPDX-License-Identifier: Apache-2.0 */
#include "testdb.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PG_START_TRIES 1000 /* of 10 ms */

const enum db_kind testdb_kinds[2] = { [DB_SQLITE] = DB_SQLITE, [DB_POSTGRES] = DB_POSTGRES };

/* The one server of this test program. */
static struct pg_server {
	char bin[200];
	char dir[128];
	pid_t owner; /* the process that started it: a fork must not stop it */
	pid_t pid;
	unsigned databases;
} pg;

void testdb_mkdir(char *buf, size_t size)
{
	const char *base = getenv("TMPDIR");

	(void)snprintf(buf, size, "%s/aoide-test-XXXXXX", base ? base : "/tmp");
	if (!mkdtemp(buf))
		fail_msg("mkdtemp %s: %s", buf, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

void testdb_rmdir(const char *path)
{
	if (path[0] && nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
		print_error("cannot remove %s: %s\n", path, strerror(errno));
}

/* ------------------------------------------------------------------ the server */

/* PostgreSQL refuses to run as root. */
static struct passwd *server_user(void)
{
	struct passwd *user;

	if (geteuid() != 0)
		return NULL;

	user = getpwnam("postgres");

	return user ? user : getpwnam("nobody");
}

/* In the child. The server ends with the test program, however that ends. */
static void become_server(const char *output)
{
	struct passwd *user = server_user();
	int fd = open(output, O_WRONLY | O_CREAT | O_APPEND, 0644);

	if (fd >= 0) {
		(void)dup2(fd, STDOUT_FILENO);
		(void)dup2(fd, STDERR_FILENO);
	}
	if (user && (setgid(user->pw_gid) || setuid(user->pw_uid)))
		_exit(126);
	(void)prctl(PR_SET_PDEATHSIG, SIGQUIT);
	(void)chdir("/");
}

static pid_t run(char *const argv[])
{
	char output[200];
	pid_t pid;

	(void)snprintf(output, sizeof(output), "%s/output.txt", pg.dir);
	(void)fflush(NULL);
	pid = fork();
	if (pid == 0) {
		become_server(output);
		(void)execv(argv[0], argv);
		_exit(127);
	}
	if (pid < 0)
		fail_msg("fork: %s", strerror(errno));

	return pid;
}

static void find_programs(void)
{
	const char *named = getenv("AOIDE_PG_BIN");
	glob_t found = { 0 };

	if (named) {
		(void)snprintf(pg.bin, sizeof(pg.bin), "%s", named);
	} else if (!glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found)) {
		(void)snprintf(pg.bin, sizeof(pg.bin), "%s", found.gl_pathv[found.gl_pathc - 1]);
		*strrchr(pg.bin, '/') = '\0';
	}
	globfree(&found);

	if (!pg.bin[0])
		fail_msg("PostgreSQL is missing: install the package postgresql, or set"
			 " AOIDE_TEST_PG=0 to leave its tests out");
}

static void make_cluster(void)
{
	struct passwd *user = server_user();
	char program[240], data[200];
	int status = -1;

	pg.owner = getpid();
	testdb_mkdir(pg.dir, sizeof(pg.dir));
	if (user && chown(pg.dir, user->pw_uid, user->pw_gid))
		fail_msg("chown: %s", strerror(errno));

	(void)snprintf(program, sizeof(program), "%s/initdb", pg.bin);
	(void)snprintf(data, sizeof(data), "%s/data", pg.dir);
	(void)waitpid(
		run((char *[]){ program, "-D", data, "-U", "aoide", "-A", "trust", "-E", "UTF8",
				"--no-locale", "--no-sync", "--no-instructions", NULL }),
		&status, 0);
	if (status != 0)
		fail_msg("initdb failed (%d), see %s/output.txt", status, pg.dir);
}

static void server_url(char *buf, size_t size, const char *database)
{
	(void)snprintf(buf, size, "postgresql:///%s?host=%s&user=aoide", database, pg.dir);
}

void testdb_pg_start(void)
{
	char program[240], data[200], url[256], text[300] = "";
	struct db *db = NULL;

	(void)snprintf(program, sizeof(program), "%s/postgres", pg.bin);
	(void)snprintf(data, sizeof(data), "%s/data", pg.dir);
	pg.pid = run((char *[]){ program, "-D", data, "-k", pg.dir, "-c", "listen_addresses=", "-c",
				 "fsync=off", "-c", "full_page_writes=off", "-c",
				 "max_connections=40", "-c", "shared_buffers=32MB", "-c",
				 "autovacuum=off", NULL });

	server_url(url, sizeof(url), "postgres");
	for (int i = 0; i < PG_START_TRIES; i++) {
		if (!db_open(&db, url, text, sizeof(text))) {
			db_close(db);
			return;
		}
		(void)usleep(10 * 1000);
	}
	fail_msg("PostgreSQL does not start: %s; see %s/output.txt", text, pg.dir);
}

void testdb_pg_stop(void)
{
	if (!pg.pid || pg.owner != getpid())
		return;

	(void)kill(pg.pid, SIGQUIT); /* at once, as a crash does */
	(void)waitpid(pg.pid, NULL, 0);
	pg.pid = 0;
}

static int group_teardown(void **state)
{
	testdb_pg_stop();
	if (pg.owner == getpid())
		testdb_rmdir(pg.dir);
	pg.dir[0] = '\0';

	return 0;
}

/* ------------------------------------------------------------------ one test */

static void fresh_database(struct testdb *t)
{
	char url[256], name[32], sql[64], text[300] = "";
	struct db *db = NULL;

	if (!pg.dir[0]) {
		find_programs();
		make_cluster();
	}
	if (!pg.pid)
		testdb_pg_start();

	server_url(url, sizeof(url), "postgres");
	if (db_open(&db, url, text, sizeof(text)))
		fail_msg("%s", text);

	(void)snprintf(name, sizeof(name), "test%u", ++pg.databases);
	(void)snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
	assert_int_equal(db_script(db, sql), 0);
	db_close(db);

	server_url(t->url, sizeof(t->url), name);
}

int testdb_setup(void **state)
{
	enum db_kind kind = *(const enum db_kind *)*state;
	struct testdb *t = NULL;
	char text[300] = "";

	t = calloc(1, sizeof(*t));
	assert_non_null(t);
	t->kind = kind;
	testdb_mkdir(t->dir, sizeof(t->dir));
	if (kind == DB_SQLITE)
		(void)snprintf(t->url, sizeof(t->url), "%s/test.db", t->dir);
	else
		fresh_database(t);
	if (db_open(&t->db, t->url, text, sizeof(text)))
		fail_msg("%s", text);
	*state = t;

	return 0;
}

int testdb_teardown(void **state)
{
	struct testdb *t = *state;

	db_close(t->db);
	testdb_rmdir(t->dir);
	free(t);

	return 0;
}

static void not_wanted(void **state)
{
	(void)state;
	print_message("AOIDE_TEST_PG=0: nothing is proved about PostgreSQL\n");
	skip();
}

int testdb_run_group(const char *name, const struct CMUnitTest *tests, size_t n)
{
	const char *wanted = getenv("AOIDE_TEST_PG");
	struct CMUnitTest *copy = calloc(n, sizeof(*copy));
	int failed;

	assert_non_null(copy);
	memcpy(copy, tests, n * sizeof(*copy));
	for (size_t i = 0; i < n && wanted && !strcmp(wanted, "0"); i++) {
		if (copy[i].initial_state != &testdb_kinds[DB_POSTGRES])
			continue;
		copy[i].test_func = not_wanted;
		copy[i].setup_func = NULL;
		copy[i].teardown_func = NULL;
	}

	failed = _cmocka_run_group_tests(name, copy, n, NULL, group_teardown);
	free(copy);

	return failed;
}
