/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db.h"
#include "db/db_priv.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SQL_LOG_CHARS 300

struct db_arg db_i64(int64_t v)
{
	return (struct db_arg){ .type = DB_T_I64, .num = v };
}

struct db_arg db_bool(bool v)
{
	return db_i64(v ? 1 : 0);
}

struct db_arg db_real(double v)
{
	return (struct db_arg){ .type = DB_T_REAL, .real = v };
}

struct db_arg db_textn(const char *v, size_t len)
{
	if (!v)
		return db_null();

	return (struct db_arg){ .type = DB_T_TEXT, .data = v, .len = len };
}

struct db_arg db_text(const char *v)
{
	return db_textn(v, v ? strlen(v) : 0);
}

struct db_arg db_blob(const void *v, size_t len)
{
	if (!v)
		return db_null();

	return (struct db_arg){ .type = DB_T_BLOB, .data = v, .len = len };
}

struct db_arg db_null(void)
{
	return (struct db_arg){ .type = DB_T_NULL };
}

void db_error_set(struct db *db, const char *text)
{
	size_t n = 0;

	db->constraint[0] = '\0';
	for (; *text && n + 1 < sizeof(db->error); text++)
		db->error[n++] = *text == '\n' ? ' ' : *text;
	while (n > 0 && db->error[n - 1] == ' ')
		n--;
	db->error[n] = '\0';
}

void db_constraint_set(struct db *db, const char *columns, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < sizeof(db->constraint); i++) {
		if (columns[i] == '.') { /* what stood before it was the table */
			while (n > 0 && db->constraint[n - 1] != ',')
				n--;
			continue;
		}
		if (columns[i] != ' ' && columns[i] != '"')
			db->constraint[n++] = columns[i];
	}
	db->constraint[n] = '\0';
}

int db_open(struct db **ret, const char *url, char *err_text, size_t err_size)
{
	if (err_text && err_size)
		err_text[0] = '\0';

	if (!strncmp(url, "postgresql://", 13) || !strncmp(url, "postgres://", 11))
		return db_postgres_open(ret, url, err_text, err_size);

	return db_sqlite_open(ret, url, err_text, err_size);
}

void db_close(struct db *db)
{
	if (!db)
		return;

	db->handles_gone = db->kind == DB_POSTGRES; /* they end with the connection */
	db_cache_clear(db);
	db->ops->close(db);
}

enum db_kind db_kind(const struct db *db)
{
	return db->kind;
}

const char *db_error_text(const struct db *db)
{
	return db->error;
}

const char *db_error_constraint(const struct db *db)
{
	return db->constraint;
}

const char *db_sql_autoid(const struct db *db)
{
	return db->ops->autoid;
}

const char *db_sql_blob(const struct db *db)
{
	return db->ops->blob;
}

/* A wrong statement is our mistake and is reported here, where its text is known; the values are
 * not, they may be secrets. */
static int failed(struct db *db, const char *sql, int err)
{
	size_t shown = strlen(sql) < SQL_LOG_CHARS ? strlen(sql) : SQL_LOG_CHARS;

	if (err == -EINVAL)
		log_error("db.bad_sql", "the database refused a statement",
			  kv_text("reason", db->error), kv_textn("sql", sql, shown));

	if (db->depth > 0 && (db->kind == DB_POSTGRES || db->tx_gone))
		db->tx_err = err;

	return err;
}

static int run(struct db *db, struct db_rows **rows, const char *sql, const struct db_arg *args,
	       size_t n)
{
	int err;

	if (db->tx_err)
		return db->tx_err;
	if (n > DB_MAX_ARGS) {
		db_error_set(db, "too many parameters");
		return failed(db, sql, -EINVAL);
	}

	err = db->ops->run(db, rows, sql, args, n);

	return err ? failed(db, sql, err) : 0;
}

int db_exec(struct db *db, const char *sql, const struct db_arg *args, size_t n)
{
	return run(db, NULL, sql, args, n);
}

int64_t db_changes(const struct db *db)
{
	return db->changes;
}

int db_script(struct db *db, const char *sql)
{
	int err;

	if (db->tx_err)
		return db->tx_err;

	err = db->ops->script(db, sql);

	return err ? failed(db, sql, err) : 0;
}

int db_query(struct db_rows **ret, struct db *db, const char *sql, const struct db_arg *args,
	     size_t n)
{
	return run(db, ret, sql, args, n);
}

int db_next(struct db_rows *rows)
{
	int n = rows->db->ops->next(rows);

	return n < 0 ? failed(rows->db, "(reading rows)", n) : n;
}

void db_rows_close(struct db_rows *rows)
{
	if (rows)
		rows->db->ops->rows_close(rows);
}

int db_columns(const struct db_rows *rows)
{
	return rows->db->ops->columns(rows);
}

const char *db_column_name(const struct db_rows *rows, int col)
{
	return rows->db->ops->column_name(rows, col);
}

bool db_is_null(const struct db_rows *rows, int col)
{
	return rows->db->ops->is_null(rows, col);
}

int64_t db_col_i64(const struct db_rows *rows, int col)
{
	return rows->db->ops->col_i64(rows, col);
}

double db_col_real(const struct db_rows *rows, int col)
{
	return rows->db->ops->col_real(rows, col);
}

const char *db_col_text(const struct db_rows *rows, int col)
{
	return rows->db->ops->col_text(rows, col);
}

const void *db_col_blob(const struct db_rows *rows, int col, size_t *len)
{
	return rows->db->ops->col_blob(rows, col, len);
}

int db_query_i64(int64_t *ret, struct db *db, const char *sql, const struct db_arg *args, size_t n)
{
	struct db_rows *rows = NULL;
	int got, err;

	err = db_query(&rows, db, sql, args, n);
	if (err)
		return err;

	got = db_next(rows);
	if (got > 0)
		*ret = db_col_i64(rows, 0);
	db_rows_close(rows);

	return got > 0 ? 0 : got < 0 ? got : -ENOENT;
}

int db_query_text(char *buf, size_t size, struct db *db, const char *sql, const struct db_arg *args,
		  size_t n)
{
	struct db_rows *rows = NULL;
	const char *text;
	int got, err;

	err = db_query(&rows, db, sql, args, n);
	if (err)
		return err;

	got = db_next(rows);
	if (got > 0) {
		text = db_col_text(rows, 0);
		(void)snprintf(buf, size, "%s", text ? text : "");
	}
	db_rows_close(rows);

	return got > 0 ? 0 : got < 0 ? got : -ENOENT;
}

/* ------------------------------------------------------------------ transactions */

static int begin(struct db *db, const char *outermost)
{
	char sql[48];
	int err;

	if (db->tx_err)
		return db->tx_err;

	if (db->depth == 0)
		(void)snprintf(sql, sizeof(sql), "%s", outermost);
	else
		(void)snprintf(sql, sizeof(sql), "SAVEPOINT level_%d", db->depth);

	err = db->ops->run(db, NULL, sql, DB_NO_ARGS);
	if (err)
		return failed(db, sql, err);

	db->depth++;

	return 0;
}

int db_begin(struct db *db)
{
	return begin(db, db->ops->begin);
}

int db_begin_read(struct db *db)
{
	return begin(db, db->ops->begin_read);
}

int db_commit(struct db *db)
{
	char sql[48] = "COMMIT";
	int err;

	if (db->depth == 0) {
		db_error_set(db, "commit without a transaction");
		return failed(db, sql, -EINVAL);
	}
	if (db->tx_err)
		return db->tx_err;

	if (db->depth > 1)
		(void)snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT level_%d", db->depth - 1);

	err = db->ops->run(db, NULL, sql, DB_NO_ARGS);
	if (err)
		return failed(db, sql, err);

	db->depth--;

	return 0;
}

void db_rollback(struct db *db)
{
	char sql[48] = "ROLLBACK";
	char error[sizeof(db->error)], constraint[sizeof(db->constraint)];
	int err = 0;

	if (db->depth == 0)
		return;

	/* The caller still wants to know why it had to roll back. */
	memcpy(error, db->error, sizeof(error));
	memcpy(constraint, db->constraint, sizeof(constraint));

	db->depth--;
	if (!db->tx_gone) {
		if (db->depth > 0) {
			(void)snprintf(sql, sizeof(sql), "ROLLBACK TO SAVEPOINT level_%d",
				       db->depth);
			err = db->ops->run(db, NULL, sql, DB_NO_ARGS);
			(void)snprintf(sql, sizeof(sql), "RELEASE SAVEPOINT level_%d", db->depth);
		}
		if (!err)
			err = db->ops->run(db, NULL, sql, DB_NO_ARGS);
		if (err)
			db->tx_gone = db->depth > 0;
		db->tx_err = db->depth > 0 ? err : 0;
	}
	if (db->depth == 0) {
		db->tx_err = 0;
		db->tx_gone = false;
	}

	memcpy(db->error, error, sizeof(error));
	memcpy(db->constraint, constraint, sizeof(constraint));
}

/* ------------------------------------------------------------------ migrations */

/* Any number will do, as long as every process takes the same. */
#define MIGRATION_LOCK 7026337

static const char sql_migration_table[] = "CREATE TABLE IF NOT EXISTS migration ("
					  "module TEXT NOT NULL, number BIGINT NOT NULL,"
					  " name TEXT NOT NULL, applied_us BIGINT NOT NULL,"
					  " PRIMARY KEY (module, number))";

/* SQLite's db_begin() has locked the database already. */
static int lock_migrations(struct db *db)
{
	if (db->kind == DB_SQLITE)
		return 0;

	return db_exec(db, "SELECT pg_advisory_xact_lock($1)", DB_ARGS(db_i64(MIGRATION_LOCK)));
}

static int migrate_one(struct db *db, const char *module, const struct db_migration *m)
{
	const char *sql = db->kind == DB_SQLITE && m->sql_sqlite ? m->sql_sqlite : m->sql;
	int64_t known;
	int err;

	err = db_begin(db);
	if (err)
		return err;

	err = lock_migrations(db);
	if (err)
		goto out;

	err = db_query_i64(&known, db,
			   "SELECT COUNT(*) FROM migration WHERE module = $1 AND number = $2",
			   DB_ARGS(db_text(module), db_i64(m->number)));
	if (err || known)
		goto out;

	err = db_script(db, sql);
	if (err) {
		log_error("db.migration_failed", "a migration failed, the database is unchanged",
			  kv_text("module", module), kv_int("number", m->number),
			  kv_text("name", m->name), kv_text("reason", db->error));
		goto out;
	}

	err = db_exec(db,
		      "INSERT INTO migration (module, number, name, applied_us)"
		      " VALUES ($1, $2, $3, $4)",
		      DB_ARGS(db_text(module), db_i64(m->number), db_text(m->name),
			      db_i64(clk_wall_us())));

out:
	if (!err)
		err = db_commit(db);
	if (err)
		db_rollback(db);

	return err;
}

static int migration_table(struct db *db)
{
	int err = db_begin(db);

	if (err)
		return err;

	err = lock_migrations(db);
	if (!err)
		err = db_script(db, sql_migration_table);
	if (!err)
		err = db_commit(db);
	if (err)
		db_rollback(db);

	return err;
}

int db_migrate(struct db *db, const char *module, const struct db_migration *list, size_t n)
{
	int64_t newest = 0;
	int err;

	err = migration_table(db);
	if (err)
		return err;

	err = db_query_i64(&newest, db, "SELECT MAX(number) FROM migration WHERE module = $1",
			   DB_ARGS(db_text(module)));
	if (err)
		return err;
	if (n > 0 && newest > list[n - 1].number) {
		db_error_set(db, "the database was made by a newer program; install that one");
		log_error("db.newer", "the database was made by a newer program; install that one",
			  kv_text("module", module), kv_int("database", newest),
			  kv_int("program", list[n - 1].number));
		return -ENOTSUP;
	}

	for (size_t i = 0; i < n; i++) {
		if (list[i].number <= newest)
			continue;
		err = migrate_one(db, module, &list[i]);
		if (err)
			return err;
	}

	return 0;
}
