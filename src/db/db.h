/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_DB_DB_H
#define AOIDE_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One SQL interface, two drivers: SQLite (WAL) and PostgreSQL. SQL is written in what both share:
 * parameters $1..$n (the SQLite driver binds by name), named columns, ON CONFLICT, RETURNING.
 *
 * A struct db is one connection, for one thread at a time. All calls block: never in a call thread.
 * Statements are prepared once per connection and text (the DB_MAX_STATEMENTS used last are kept).
 *
 * Types of columns that both drivers treat alike: BIGINT for whole numbers, booleans (0 or 1) and
 * times (UTC microseconds), DOUBLE PRECISION, TEXT, and db_sql_blob(). Do not declare BOOLEAN: the
 * drivers differ. A number given to PostgreSQL is a BIGINT there, whatever the column; text takes
 * the type of what it meets, so text "5" fits a BIGINT column too.
 *
 * What differs: a failed statement spoils the whole transaction in PostgreSQL. So whoever wants to
 * go on inside a transaction after an error puts the statement between db_begin() and
 * db_rollback(), in both drivers.
 */
#define DB_MAX_ARGS	  256
#define DB_MAX_STATEMENTS 256
struct db;
struct db_rows;

enum db_kind { DB_SQLITE, DB_POSTGRES };

enum db_type { DB_T_NULL, DB_T_I64, DB_T_REAL, DB_T_TEXT, DB_T_BLOB };

struct db_arg {
	enum db_type type;
	int64_t num;
	double real;
	const void *data; /* borrowed for the call */
	size_t len;
};

#define DB_ARGS(...)                                                                               \
	((const struct db_arg[]){ __VA_ARGS__ }),                                                  \
		sizeof((const struct db_arg[]){ __VA_ARGS__ }) / sizeof(struct db_arg)
#define DB_NO_ARGS NULL, 0

struct db_arg db_i64(int64_t v);
struct db_arg db_bool(bool v);
struct db_arg db_real(double v);
struct db_arg db_text(const char *v); /* NULL binds NULL */
struct db_arg db_textn(const char *v, size_t len);
struct db_arg db_blob(const void *v, size_t len);
struct db_arg db_null(void);

/*
 * url: path of an SQLite file, or "postgresql://..." (libpq). Returns 0 or -errno; what went wrong
 * is logged and in db_error_text() is not available yet, so err_text (may be NULL) gets it.
 */
int db_open(struct db **ret, const char *url, char *err_text, size_t err_size);
void db_close(struct db *db);
enum db_kind db_kind(const struct db *db);
const char *db_error_text(const struct db *db); /* of the last failed call */

/*
 * After -EDUPLICATE: the columns that must be unique, in the index's order, as "tenant_id,number";
 * when the index is on an expression, its name. "" when unknown or the last failure was another.
 * After -EINUSE: the name of the constraint in PostgreSQL, "" in SQLite (which does not say).
 */
const char *db_error_constraint(const struct db *db);

/*
 * Errors of the calls below: -EDUPLICATE (unique constraint), -EINUSE (foreign key), -EBUSY (locked
 * too long), -EPIPE (connection lost; the next call reconnects, but never inside a transaction),
 * -EINVAL (bad SQL or a value that does not fit: our mistake, logged), -EIO (disk), -ENOSPC,
 * -ECORRUPT (not a database).
 */
int db_exec(struct db *db, const char *sql, const struct db_arg *args, size_t n);
int64_t db_changes(const struct db *db); /* rows changed by the last db_exec */

/* Several statements without parameters, for migrations. */
int db_script(struct db *db, const char *sql);

/* ret: close with db_rows_close() (accepts NULL). Loop: `while ((n = db_next(rows)) > 0)`. The
 * statement has run when db_query() returns, so INSERT ... RETURNING is done even if no row is
 * read. PostgreSQL's whole answer is in memory: page what can grow. */
int db_query(struct db_rows **ret, struct db *db, const char *sql, const struct db_arg *args,
	     size_t n);
int db_next(struct db_rows *rows); /* 1 a row, 0 the end, negative an error */
void db_rows_close(struct db_rows *rows);
int db_columns(const struct db_rows *rows);
const char *db_column_name(const struct db_rows *rows, int col);

/* Values of the current row, borrowed until db_next(). Conversions are lenient (NULL: 0 or NULL).
 */
bool db_is_null(const struct db_rows *rows, int col);
int64_t db_col_i64(const struct db_rows *rows, int col);
double db_col_real(const struct db_rows *rows, int col);
const char *db_col_text(const struct db_rows *rows, int col);
const void *db_col_blob(const struct db_rows *rows, int col, size_t *len);

/* One value of one row. Returns 0, -ENOENT (no row), or an error. */
int db_query_i64(int64_t *ret, struct db *db, const char *sql, const struct db_arg *args, size_t n);
/* buf gets the text, cut to size. */
int db_query_text(char *buf, size_t size, struct db *db, const char *sql, const struct db_arg *args,
		  size_t n);

/*
 * Transactions nest by savepoints. When db_begin() fails nothing has begun. Everything that fails
 * after it, db_commit() too, is followed by one db_rollback() of the same level; at level 0
 * db_rollback() does nothing.
 *
 * The outermost db_begin() takes SQLite's write lock at once (so a transaction never fails half way
 * for a lock). db_begin_read() takes none and sees one state of the data until its commit.
 */
int db_begin(struct db *db);
int db_begin_read(struct db *db);
int db_commit(struct db *db);
void db_rollback(struct db *db);

/*
 * Migrations: numbered from 1 upward in ascending order, forward only, each in a transaction,
 * recorded in table `migration`. Several processes may call it at once. -ENOTSUP: the database is
 * of a newer program. Entity tables are not here: the schema module makes and alters them from the
 * registry.
 */
struct db_migration {
	int number;
	const char *name;
	const char *sql_sqlite; /* NULL: as sql */
	const char *sql;
};
int db_migrate(struct db *db, const char *module, const struct db_migration *list, size_t n);

/* A column list differs a little per driver: the type words of both. */
const char *db_sql_autoid(
	const struct db *db); /* "INTEGER PRIMARY KEY AUTOINCREMENT" or "BIGSERIAL PRIMARY KEY" */
const char *db_sql_blob(const struct db *db); /* "BLOB" or "BYTEA" */

#endif
