/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_priv.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lite_db {
	struct db base;
	sqlite3 *handle;
};

/*
 * A reading statement is a cursor on the live statement. A writing one with RETURNING has run to
 * its end before the first row is handed out: SQLite commits when the statement ends, and an error
 * of that commit must reach db_query(). Its rows wait in `kept`.
 */
struct lite_rows {
	struct db_rows base;
	struct db_stmt *stmt;
	sqlite3_stmt *handle;
	int columns;
	bool first_pending, ended;
	sqlite3_value **kept;
	size_t n_kept, next_kept; /* in rows */
	sqlite3_value **row;	  /* NULL: the live row */
};

static const struct db_ops lite_ops;

static sqlite3 *lite(const struct db *db)
{
	return ((const struct lite_db *)db)->handle;
}

static const struct lite_error {
	int code; /* extended first, then primary */
	int err;
} lite_errors[] = {
	{ SQLITE_CONSTRAINT_UNIQUE, -EDUPLICATE },
	{ SQLITE_CONSTRAINT_PRIMARYKEY, -EDUPLICATE },
	{ SQLITE_CONSTRAINT_ROWID, -EDUPLICATE },
	{ SQLITE_CONSTRAINT_FOREIGNKEY, -EINUSE },
	{ SQLITE_CONSTRAINT, -EINVAL },
	{ SQLITE_BUSY, -EBUSY },
	{ SQLITE_LOCKED, -EBUSY },
	{ SQLITE_FULL, -ENOSPC },
	{ SQLITE_NOMEM, -ENOMEM },
	{ SQLITE_IOERR, -EIO },
	{ SQLITE_CANTOPEN, -EIO },
	{ SQLITE_READONLY, -EROFS },
	{ SQLITE_CORRUPT, -ECORRUPT },
	{ SQLITE_NOTADB, -ECORRUPT },
	{ SQLITE_TOOBIG, -EMSGSIZE },
	{ SQLITE_INTERRUPT, -EINTR },
};

static int error_of(sqlite3 *handle)
{
	int extended = sqlite3_extended_errcode(handle);
	int sys = sqlite3_system_errno(handle);

	if ((extended & 0xff) == SQLITE_IOERR && (sys == ENOSPC || sys == EFBIG || sys == EDQUOT))
		return -ENOSPC;

	for (size_t i = 0; i < sizeof(lite_errors) / sizeof(lite_errors[0]); i++) {
		const struct lite_error *e = &lite_errors[i];

		if (e->code == extended || e->code == (extended & 0xff))
			return e->err;
	}

	return -EINVAL;
}

/* Keeps text and columns of the failure; notices when SQLite has rolled all back by itself. */
static int fail(struct db *db)
{
	static const char unique[] = "UNIQUE constraint failed: ";
	const char *text = sqlite3_errmsg(lite(db));
	int err = error_of(lite(db));

	db_error_set(db, text);
	if (err == -EDUPLICATE && !strncmp(text, unique, sizeof(unique) - 1)) {
		const char *columns = text + sizeof(unique) - 1;
		size_t len = strlen(columns);

		if (!strncmp(columns, "index '", 7) && len > 8)
			db_constraint_set(db, columns + 7, len - 8);
		else
			db_constraint_set(db, columns, len);
	}
	if (db->depth > 0 && sqlite3_get_autocommit(lite(db)))
		db->tx_gone = true;

	return err;
}

static void lite_close(struct db *db)
{
	(void)sqlite3_close_v2(lite(db));
	free(db);
}

static void lite_stmt_free(struct db *db, struct db_stmt *stmt)
{
	(void)db;
	(void)sqlite3_finalize(stmt->handle);
}

/* SQLite numbers $n by first appearance, not by n. */
static int map_parameters(struct db *db, struct db_stmt *stmt)
{
	int n = sqlite3_bind_parameter_count(stmt->handle);

	stmt->bind = calloc(n ? (size_t)n : 1, sizeof(*stmt->bind));
	if (!stmt->bind)
		return -ENOMEM;

	for (int i = 0; i < n; i++) {
		const char *name = sqlite3_bind_parameter_name(stmt->handle, i + 1);
		int number = name && name[0] == '$' ? atoi(name + 1) : 0;

		if (number < 1 || number > DB_MAX_ARGS) {
			db_error_set(db, "parameters are $1, $2, ...");
			return -EINVAL;
		}
		stmt->bind[i] = (int16_t)number;
	}
	stmt->n_bind = n;

	return 0;
}

static int prepare(struct db_stmt **ret, struct db *db, const char *sql)
{
	struct db_stmt *stmt = db_cache_find(db, "", sql);
	sqlite3_stmt *handle = NULL;
	const char *tail = NULL;
	int err;

	if (stmt) {
		*ret = stmt;
		return 0;
	}

	if (sqlite3_prepare_v3(lite(db), sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, &tail))
		return fail(db);
	if (!handle || (tail && tail[strspn(tail, " \t\n;")])) {
		(void)sqlite3_finalize(handle);
		db_error_set(db, "exactly one statement is expected");
		return -EINVAL;
	}

	err = db_cache_add(&stmt, db, "", sql);
	if (err) {
		(void)sqlite3_finalize(handle);
		return err;
	}

	stmt->handle = handle;
	err = map_parameters(db, stmt);
	if (err) {
		db_cache_remove(db, stmt);
		return err;
	}

	*ret = stmt;

	return 0;
}

static int bind_one(sqlite3_stmt *handle, int i, const struct db_arg *arg)
{
	switch (arg->type) {
	case DB_T_NULL:
		return sqlite3_bind_null(handle, i);
	case DB_T_I64:
		return sqlite3_bind_int64(handle, i, arg->num);
	case DB_T_REAL:
		return sqlite3_bind_double(handle, i, arg->real);
	case DB_T_TEXT:
		return sqlite3_bind_text64(handle, i, arg->data, arg->len, SQLITE_STATIC,
					   SQLITE_UTF8);
	case DB_T_BLOB:
		return sqlite3_bind_blob64(handle, i, arg->len ? arg->data : "", arg->len,
					   SQLITE_STATIC);
	}

	return SQLITE_MISUSE;
}

static int bind_all(struct db *db, struct db_stmt *stmt, const struct db_arg *args, size_t n)
{
	for (int i = 0; i < stmt->n_bind; i++) {
		const struct db_arg *arg;

		if ((size_t)stmt->bind[i] > n) {
			db_error_set(db, "a parameter has no value");
			return -EINVAL;
		}
		arg = &args[stmt->bind[i] - 1];
		if (arg->type == DB_T_TEXT && memchr(arg->data, '\0', arg->len)) {
			db_error_set(db, "a text holds a NUL character");
			return -EINVAL;
		}
		if (bind_one(stmt->handle, i + 1, arg))
			return fail(db);
	}

	return 0;
}

static void rows_free(struct lite_rows *rows)
{
	for (size_t i = 0; i < rows->n_kept * (size_t)rows->columns; i++)
		sqlite3_value_free(rows->kept[i]);
	free(rows->kept);
	free(rows);
}

static int keep_row(struct lite_rows *rows)
{
	size_t columns = (size_t)rows->columns;
	sqlite3_value **kept;

	kept = reallocarray(rows->kept, (rows->n_kept + 1) * columns, sizeof(*kept));
	if (!kept)
		return -ENOMEM;

	rows->kept = kept;
	for (size_t i = 0; i < columns; i++) {
		sqlite3_value **at = &kept[rows->n_kept * columns + i];

		*at = sqlite3_value_dup(sqlite3_column_value(rows->handle, (int)i));
		if (!*at) {
			while (i-- > 0)
				sqlite3_value_free(kept[rows->n_kept * columns + i]);
			return -ENOMEM;
		}
	}
	rows->n_kept++;

	return 0;
}

static int finish_writing(struct db *db, struct lite_rows *rows, int step)
{
	int err;

	while (step == SQLITE_ROW) {
		err = keep_row(rows);
		if (err)
			return err;
		step = sqlite3_step(rows->handle);
	}

	return step == SQLITE_DONE ? 0 : fail(db);
}

/* Runs the statement as far as db_query() promises. */
static int start_rows(struct lite_rows **ret, struct db *db, struct db_stmt *stmt)
{
	struct lite_rows *rows = calloc(1, sizeof(*rows));
	int step, err = 0;

	if (!rows)
		return -ENOMEM;

	rows->base.db = db;
	rows->stmt = stmt;
	rows->handle = stmt->handle;

	step = sqlite3_step(rows->handle);
	rows->columns = sqlite3_column_count(rows->handle);
	if (sqlite3_stmt_readonly(rows->handle)) {
		rows->first_pending = step == SQLITE_ROW;
		rows->ended = step == SQLITE_DONE;
		if (step != SQLITE_ROW && step != SQLITE_DONE)
			err = fail(db);
	} else {
		rows->ended = true;
		err = finish_writing(db, rows, step);
		db->changes = sqlite3_changes64(lite(db));
	}
	if (err) {
		rows_free(rows);
		return err;
	}

	*ret = rows;

	return 0;
}

static int run_to_end(struct db *db, struct db_stmt *stmt)
{
	int step;

	do {
		step = sqlite3_step(stmt->handle);
	} while (step == SQLITE_ROW);

	if (step != SQLITE_DONE)
		return fail(db);

	db->changes = sqlite3_stmt_readonly(stmt->handle) ? 0 : sqlite3_changes64(lite(db));

	return 0;
}

static int lite_run(struct db *db, struct db_rows **ret, const char *sql, const struct db_arg *args,
		    size_t n)
{
	struct lite_rows *rows = NULL;
	struct db_stmt *stmt = NULL;
	int err;

	err = prepare(&stmt, db, sql);
	if (err)
		return err;

	stmt->busy = true;
	err = bind_all(db, stmt, args, n);
	if (err)
		goto out;

	if (ret)
		err = start_rows(&rows, db, stmt);
	else
		err = run_to_end(db, stmt);

out:
	if (rows) {
		*ret = &rows->base;
	} else {
		(void)sqlite3_reset(stmt->handle);
		(void)sqlite3_clear_bindings(stmt->handle);
		db_stmt_release(db, stmt);
	}

	return err;
}

static int lite_script(struct db *db, const char *sql)
{
	return sqlite3_exec(lite(db), sql, NULL, NULL, NULL) ? fail(db) : 0;
}

/* ------------------------------------------------------------------ rows */

static int lite_next(struct db_rows *base)
{
	struct lite_rows *rows = (struct lite_rows *)base;
	int step;

	if (rows->next_kept < rows->n_kept) {
		rows->row = &rows->kept[rows->next_kept++ * (size_t)rows->columns];
		return 1;
	}
	if (rows->first_pending) {
		rows->first_pending = false;
		return 1;
	}
	if (rows->ended)
		return 0;

	step = sqlite3_step(rows->handle);
	if (step == SQLITE_ROW)
		return 1;

	rows->ended = true;

	return step == SQLITE_DONE ? 0 : fail(base->db);
}

static void lite_rows_close(struct db_rows *base)
{
	struct lite_rows *rows = (struct lite_rows *)base;

	(void)sqlite3_reset(rows->handle);
	(void)sqlite3_clear_bindings(rows->handle);
	db_stmt_release(base->db, rows->stmt);
	rows_free(rows);
}

static int lite_columns(const struct db_rows *base)
{
	return ((const struct lite_rows *)base)->columns;
}

static const char *lite_column_name(const struct db_rows *base, int col)
{
	return sqlite3_column_name(((const struct lite_rows *)base)->handle, col);
}

static bool lite_is_null(const struct db_rows *base, int col)
{
	const struct lite_rows *rows = (const struct lite_rows *)base;

	if (rows->row)
		return sqlite3_value_type(rows->row[col]) == SQLITE_NULL;

	return sqlite3_column_type(rows->handle, col) == SQLITE_NULL;
}

static int64_t lite_col_i64(const struct db_rows *base, int col)
{
	const struct lite_rows *rows = (const struct lite_rows *)base;

	if (rows->row)
		return sqlite3_value_int64(rows->row[col]);

	return sqlite3_column_int64(rows->handle, col);
}

static double lite_col_real(const struct db_rows *base, int col)
{
	const struct lite_rows *rows = (const struct lite_rows *)base;

	if (rows->row)
		return sqlite3_value_double(rows->row[col]);

	return sqlite3_column_double(rows->handle, col);
}

static const char *lite_col_text(const struct db_rows *base, int col)
{
	const struct lite_rows *rows = (const struct lite_rows *)base;

	if (rows->row)
		return (const char *)sqlite3_value_text(rows->row[col]);

	return (const char *)sqlite3_column_text(rows->handle, col);
}

static const void *lite_col_blob(const struct db_rows *base, int col, size_t *len)
{
	const struct lite_rows *rows = (const struct lite_rows *)base;
	const void *data;

	if (lite_is_null(base, col)) {
		*len = 0;
		return NULL;
	}

	if (rows->row) {
		data = sqlite3_value_blob(rows->row[col]);
		*len = (size_t)sqlite3_value_bytes(rows->row[col]);
	} else {
		data = sqlite3_column_blob(rows->handle, col);
		*len = (size_t)sqlite3_column_bytes(rows->handle, col);
	}

	return data ? data : ""; /* empty, but not NULL */
}

static const struct db_ops lite_ops = {
	.close = lite_close,
	.run = lite_run,
	.script = lite_script,
	.stmt_free = lite_stmt_free,
	.begin = "BEGIN IMMEDIATE",
	.begin_read = "BEGIN",
	.autoid = "INTEGER PRIMARY KEY AUTOINCREMENT",
	.blob = "BLOB",
	.next = lite_next,
	.rows_close = lite_rows_close,
	.columns = lite_columns,
	.column_name = lite_column_name,
	.is_null = lite_is_null,
	.col_i64 = lite_col_i64,
	.col_real = lite_col_real,
	.col_text = lite_col_text,
	.col_blob = lite_col_blob,
};

/* ------------------------------------------------------------------ opening */

/* Changing to WAL needs the file alone, and SQLite does not call the busy handler for it: two
 * processes that start together would disturb each other without this. */
static int use_wal(struct db *db)
{
	for (int tries = 0; tries < 200; tries++) {
		int rc = sqlite3_exec(lite(db), "PRAGMA journal_mode = WAL", NULL, NULL, NULL);

		if (!rc)
			return 0;
		if ((rc & 0xff) != SQLITE_BUSY && (rc & 0xff) != SQLITE_LOCKED)
			break;
		(void)usleep(20 * 1000);
	}

	return fail(db);
}

/*
 * The file holds call records and sealed secrets: others on the machine need not read it. SQLite
 * gives its -wal and -shm files the same mode.
 *
 * A file that is there is not opened: closing any descriptor of it would drop the locks of all
 * connections of this process (POSIX), and the next process to close its own would take itself for
 * the last one and delete the -wal under us. The mutex is for two threads at the very first start.
 */
static void create_private(const char *path)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int fd;

	if (!strcmp(path, ":memory:") || !strncmp(path, "file:", 5))
		return;

	(void)pthread_mutex_lock(&lock);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		(void)close(fd);
	(void)pthread_mutex_unlock(&lock);
}

int db_sqlite_open(struct db **ret, const char *path, char *err_text, size_t err_size)
{
	struct lite_db *db = calloc(1, sizeof(*db));
	int err;

	if (!db)
		return -ENOMEM;

	db->base.ops = &lite_ops;
	db->base.kind = DB_SQLITE;
	create_private(path);
	if (sqlite3_open_v2(path, &db->handle,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
			    NULL)) {
		err = db->handle ? fail(&db->base) : -ENOMEM;
		goto out;
	}

	(void)sqlite3_busy_timeout(db->handle, DB_BUSY_MS);
	err = use_wal(&db->base);
	if (err)
		goto out;

	err = lite_script(&db->base, "PRAGMA synchronous = FULL;"
				     "PRAGMA foreign_keys = ON;"
				     "PRAGMA temp_store = MEMORY;"
				     "PRAGMA cache_size = -8192;"
				     "PRAGMA journal_size_limit = 67108864");

out:
	if (err) {
		if (err_text)
			(void)snprintf(err_text, err_size, "%s: %s", path, db->base.error);
		db_close(&db->base);
		return err;
	}

	*ret = &db->base;

	return 0;
}
