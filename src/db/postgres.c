/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_priv.h"
#include "base/err.h"
#include "base/log.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Object identifiers of PostgreSQL's built-in types (pg_type.dat); they never change. */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_FLOAT8 = 701 };

struct pg_db {
	struct db base;
	PGconn *conn;
	bool durable;
	unsigned next_name;
	/* The parameters of the call in progress. */
	const char *values[DB_MAX_ARGS];
	int lengths[DB_MAX_ARGS], formats[DB_MAX_ARGS];
	Oid oids[DB_MAX_ARGS];
	char types[DB_MAX_ARGS + 1];
	char *text; /* numbers as text and texts with their NUL */
	size_t text_size;
};

struct pg_rows {
	struct db_rows base;
	PGresult *result;
	int row, n_rows;
	unsigned char *blob; /* decoded value of the current row */
};

static const struct db_ops pg_ops;

static struct pg_db *pg(struct db *db)
{
	return (struct pg_db *)db;
}

/* SQLSTATE by prefix, longest first. */
static const struct pg_error {
	const char *state;
	int err;
} pg_errors[] = {
	{ "23505", -EDUPLICATE }, { "23503", -EINUSE },
	{ "40001", -EBUSY }, /* serialization failure */
	{ "40P01", -EBUSY }, /* deadlock */
	{ "55P03", -EBUSY }, /* lock timeout */
	{ "53100", -ENOSPC },	  { "53200", -ENOMEM },
	{ "57P", -EPIPE },    /* the server shuts down, or starts */
	{ "53", -EPIPE },     /* too many connections */
	{ "08P01", -EINVAL }, /* a parameter has no value */
	{ "08", -EPIPE },	  { "58", -EIO },
	{ "XX001", -ECORRUPT },	  { "XX002", -ECORRUPT },
};

static int error_of_state(const char *state)
{
	for (size_t i = 0; i < sizeof(pg_errors) / sizeof(pg_errors[0]); i++)
		if (!strncmp(state, pg_errors[i].state, strlen(pg_errors[i].state)))
			return pg_errors[i].err;

	return -EINVAL;
}

static int lost(struct db *db)
{
	db_error_set(db, PQerrorMessage(pg(db)->conn));
	if (db->depth > 0)
		db->tx_gone = true;

	return -EPIPE;
}

/* The columns are in the detail, "Key (tenant_id, number)=(1, 101) already exists.", whatever the
 * server's language; an expression has parentheses of its own, then the name of the index serves.
 */
static void keep_constraint(struct db *db, const PGresult *result, int err)
{
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	const char *name = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	const char *from = detail ? strchr(detail, '(') : NULL;
	const char *to = from ? strstr(from, ")=(") : NULL;

	if (err == -EDUPLICATE && to && !memchr(from + 1, '(', (size_t)(to - from - 1)))
		db_constraint_set(db, from + 1, (size_t)(to - from - 1));
	else if (name)
		db_constraint_set(db, name, strlen(name));
}

static int fail(struct db *db, const PGresult *result)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *text;
	int err;

	if (PQstatus(pg(db)->conn) != CONNECTION_OK)
		return lost(db);
	if (!state) {
		db_error_set(db, PQerrorMessage(pg(db)->conn));
		return -EIO;
	}

	/* Not the whole message: its detail may show the row, with secrets in it. */
	text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	db_error_set(db, text ? text : state);
	err = error_of_state(state);
	if (err == -EDUPLICATE || err == -EINUSE)
		keep_constraint(db, result, err);

	return err;
}

static void notice(void *arg, const char *text)
{
	(void)arg;
	log_debug("db.notice", "PostgreSQL says", kv_textn("text", text, strcspn(text, "\n")));
}

static void pg_close(struct db *db)
{
	PQfinish(pg(db)->conn);
	free(pg(db)->text);
	free(db);
}

static bool succeeded(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static int simple(struct db *db, const char *sql)
{
	PGresult *result = PQexec(pg(db)->conn, sql);
	int err = succeeded(result) ? 0 : fail(db, result);

	PQclear(result);

	return err;
}

/* What a connection needs before it is used, also after it was made anew. */
static int set_up(struct db *db)
{
	char sql[128];

	(void)snprintf(sql, sizeof(sql), "SET lock_timeout = %d; SET synchronous_commit = %s",
		       DB_BUSY_MS, pg(db)->durable ? "on" : "off");

	return simple(db, sql);
}

/* The server does not know them any more: nothing is to be told to it. */
static void forget_statements(struct db *db)
{
	db->handles_gone = true;
	db_cache_clear(db);
	db->handles_gone = false;
}

static int reconnect(struct db *db)
{
	forget_statements(db);
	PQreset(pg(db)->conn);
	if (PQstatus(pg(db)->conn) != CONNECTION_OK)
		return lost(db);

	log_info("db.reconnected", "connected to PostgreSQL again");

	return set_up(db);
}

/*
 * Makes sure that the connection can be used. A server that was restarted while we were idle has
 * closed the connection: that is seen here, before a statement is sent, and outside a transaction
 * nobody notices. Once sent, a statement is never repeated: it may have been done.
 */
static int ready(struct db *db)
{
	PGconn *conn = pg(db)->conn;
	struct pollfd fd = { .fd = PQsocket(conn), .events = POLLIN };

	/* A server that goes says farewell first: the end comes after some bytes. */
	for (int i = 0; i < 16 && PQstatus(conn) == CONNECTION_OK && poll(&fd, 1, 0) > 0; i++)
		(void)PQconsumeInput(conn);
	if (PQstatus(conn) == CONNECTION_OK)
		return 0;

	return db->depth > 0 ? lost(db) : reconnect(db);
}

static void pg_stmt_free(struct db *db, struct db_stmt *stmt)
{
	char sql[64];

	if (!stmt->name[0] || db->handles_gone || PQstatus(pg(db)->conn) != CONNECTION_OK ||
	    PQtransactionStatus(pg(db)->conn) == PQTRANS_INERROR)
		return;

	(void)snprintf(sql, sizeof(sql), "DEALLOCATE %s", stmt->name);
	PQclear(PQexec(pg(db)->conn, sql));
}

/* ------------------------------------------------------------------ parameters */

static size_t text_bytes(const struct db_arg *arg)
{
	return arg->type == DB_T_TEXT ? arg->len + 1 : arg->type == DB_T_BLOB ? 0 : 32;
}

static int make_room(struct pg_db *db, const struct db_arg *args, size_t n)
{
	size_t need = 1;
	char *text;

	for (size_t i = 0; i < n; i++)
		need += text_bytes(&args[i]);
	if (need <= db->text_size)
		return 0;

	text = realloc(db->text, need);
	if (!text)
		return -ENOMEM;

	db->text = text;
	db->text_size = need;

	return 0;
}

/*
 * Values travel as text, bytes as they are. A number says that it is a BIGINT: left to itself
 * PostgreSQL would make an INTEGER of it in `$1 = 0` and refuse what is above 2^31.
 */
static int set_parameter(struct pg_db *db, size_t i, const struct db_arg *arg, char *text)
{
	db->values[i] = text;
	db->lengths[i] = 0;
	db->formats[i] = 0;
	db->oids[i] = 0;
	db->types[i] = '-';

	switch (arg->type) {
	case DB_T_NULL:
		db->values[i] = NULL;
		return 0;
	case DB_T_I64:
		(void)snprintf(text, 32, "%lld", (long long)arg->num);
		db->oids[i] = OID_INT8;
		db->types[i] = 'i';
		return 0;
	case DB_T_REAL:
		(void)snprintf(text, 32, "%.17g", arg->real);
		db->oids[i] = OID_FLOAT8;
		db->types[i] = 'r';
		return 0;
	case DB_T_TEXT:
		if (memchr(arg->data, '\0', arg->len)) {
			db_error_set(&db->base, "a text holds a NUL character");
			return -EINVAL;
		}
		memcpy(text, arg->data, arg->len);
		text[arg->len] = '\0';
		return 0;
	case DB_T_BLOB:
		db->values[i] = arg->len ? arg->data : "";
		db->lengths[i] = (int)arg->len;
		db->formats[i] = 1;
		db->oids[i] = OID_BYTEA;
		db->types[i] = 'b';
		return 0;
	}

	return -EINVAL;
}

static int set_parameters(struct pg_db *db, const struct db_arg *args, size_t n)
{
	char *text;
	int err;

	err = make_room(db, args, n);
	if (err)
		return err;

	text = db->text;
	for (size_t i = 0; i < n; i++) {
		err = set_parameter(db, i, &args[i], text);
		if (err)
			return err;
		text += text_bytes(&args[i]);
	}
	db->types[n] = '\0';

	return 0;
}

/* ------------------------------------------------------------------ statements */

static int prepare(struct db_stmt **ret, struct db *db, const char *sql, size_t n)
{
	struct db_stmt *stmt = db_cache_find(db, pg(db)->types, sql);
	PGresult *result;
	int err = 0;

	if (stmt) {
		*ret = stmt;
		return 0;
	}

	err = db_cache_add(&stmt, db, pg(db)->types, sql);
	if (err)
		return err;

	(void)snprintf(stmt->name, sizeof(stmt->name), "s%u", ++pg(db)->next_name);
	result = PQprepare(pg(db)->conn, stmt->name, sql, (int)n, pg(db)->oids);
	if (PQresultStatus(result) != PGRES_COMMAND_OK) {
		err = fail(db, result);
		stmt->name[0] = '\0';
		db_cache_remove(db, stmt);
	} else {
		*ret = stmt;
	}
	PQclear(result);

	return err;
}

/* A table that was altered since makes a prepared `SELECT *` fail with 0A000; prepared again it
 * works. Inside a transaction it cannot be repeated, the caller gets the error. */
static bool is_stale_plan(struct db *db, const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	return db->depth == 0 && state && !strcmp(state, "0A000");
}

static int run_prepared(PGresult **ret, struct db *db, const char *sql, size_t n)
{
	struct db_stmt *stmt = NULL;
	PGresult *result;
	int err;

	for (int tries = 0;; tries++) {
		err = prepare(&stmt, db, sql, n);
		if (err)
			return err;

		result = PQexecPrepared(pg(db)->conn, stmt->name, (int)n, pg(db)->values,
					pg(db)->lengths, pg(db)->formats, 0);
		if (succeeded(result)) {
			*ret = result;
			return 0;
		}

		if (tries > 0 || !is_stale_plan(db, result))
			break;
		PQclear(result);
		db_cache_remove(db, stmt);
	}

	err = fail(db, result);
	PQclear(result);

	return err;
}

/* Transaction control cannot be prepared in every state and gains nothing by it. */
static bool is_control(const char *sql)
{
	static const char *const words[] = { "BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT",
					     "RELEASE" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strncmp(sql, words[i], strlen(words[i])))
			return true;

	return false;
}

static int pg_run(struct db *db, struct db_rows **ret, const char *sql, const struct db_arg *args,
		  size_t n)
{
	PGresult *result = NULL;
	struct pg_rows *rows;
	int err;

	err = ready(db);
	if (err)
		return err;
	if (is_control(sql))
		return simple(db, sql);

	err = set_parameters(pg(db), args, n);
	if (err)
		return err;

	err = run_prepared(&result, db, sql, n);
	if (err)
		return err;

	db->changes =
		PQresultStatus(result) == PGRES_COMMAND_OK || !ret ? atoll(PQcmdTuples(result)) : 0;
	if (!ret) {
		PQclear(result);
		return 0;
	}

	rows = calloc(1, sizeof(*rows));
	if (!rows) {
		PQclear(result);
		return -ENOMEM;
	}

	rows->base.db = db;
	rows->result = result;
	rows->row = -1;
	rows->n_rows = PQntuples(result);
	*ret = &rows->base;

	return 0;
}

static int pg_script(struct db *db, const char *sql)
{
	int err = ready(db);

	/* Tables may change under statements that were prepared before, and inside a transaction a
	 * stale one cannot be repaired. */
	if (!err && db->cache.count > 0) {
		err = simple(db, "DEALLOCATE ALL");
		if (!err)
			forget_statements(db);
	}

	return err ? err : simple(db, sql);
}

/* ------------------------------------------------------------------ rows */

static const struct pg_rows *answer(const struct db_rows *rows)
{
	return (const struct pg_rows *)rows;
}

static int pg_next(struct db_rows *base)
{
	struct pg_rows *rows = (struct pg_rows *)base;

	PQfreemem(rows->blob);
	rows->blob = NULL;
	if (rows->row + 1 >= rows->n_rows)
		return 0;

	rows->row++;

	return 1;
}

static void pg_rows_close(struct db_rows *base)
{
	struct pg_rows *rows = (struct pg_rows *)base;

	PQfreemem(rows->blob);
	PQclear(rows->result);
	free(rows);
}

static int pg_columns(const struct db_rows *rows)
{
	return PQnfields(answer(rows)->result);
}

static const char *pg_column_name(const struct db_rows *rows, int col)
{
	return PQfname(answer(rows)->result, col);
}

static bool pg_is_null(const struct db_rows *rows, int col)
{
	return PQgetisnull(answer(rows)->result, answer(rows)->row, col);
}

static const char *pg_col_text(const struct db_rows *rows, int col)
{
	if (pg_is_null(rows, col))
		return NULL;

	return PQgetvalue(answer(rows)->result, answer(rows)->row, col);
}

static int64_t pg_col_i64(const struct db_rows *rows, int col)
{
	const char *text = pg_col_text(rows, col);

	if (!text)
		return 0;
	if (PQftype(answer(rows)->result, col) == OID_BOOL) /* SELECT a = b, EXISTS (...) */
		return text[0] == 't';

	return strtoll(text, NULL, 10);
}

static double pg_col_real(const struct db_rows *rows, int col)
{
	const char *text = pg_col_text(rows, col);

	return text ? strtod(text, NULL) : 0;
}

static const void *pg_col_blob(const struct db_rows *base, int col, size_t *len)
{
	struct pg_rows *rows = (struct pg_rows *)base;
	const char *text = pg_col_text(base, col);

	*len = 0;
	if (!text)
		return NULL;
	if (PQftype(rows->result, col) != OID_BYTEA) {
		*len = (size_t)PQgetlength(rows->result, rows->row, col);
		return text;
	}

	PQfreemem(rows->blob);
	rows->blob = PQunescapeBytea((const unsigned char *)text, len);

	return rows->blob;
}

static const struct db_ops pg_ops = {
	.close = pg_close,
	.run = pg_run,
	.script = pg_script,
	.stmt_free = pg_stmt_free,
	.begin = "BEGIN",
	.begin_read = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	.autoid = "BIGSERIAL PRIMARY KEY",
	.blob = "BYTEA",
	.next = pg_next,
	.rows_close = pg_rows_close,
	.columns = pg_columns,
	.column_name = pg_column_name,
	.is_null = pg_is_null,
	.col_i64 = pg_col_i64,
	.col_real = pg_col_real,
	.col_text = pg_col_text,
	.col_blob = pg_col_blob,
};

/* ------------------------------------------------------------------ opening */

int db_postgres_open(struct db **ret, const char *url, char *err_text, size_t err_size)
{
	/* What the address says wins: its parts are expanded last. */
	const char *const keys[] = { "client_encoding",
				     "fallback_application_name",
				     "connect_timeout",
				     "keepalives_idle",
				     "keepalives_interval",
				     "keepalives_count",
				     "tcp_user_timeout",
				     "dbname",
				     NULL };
	const char *const values[] = { "UTF8", "aoide", "5", "30", "10", "3", "30000", url, NULL };
	struct pg_db *db = calloc(1, sizeof(*db));
	int err = 0;

	if (!db)
		return -ENOMEM;

	db->base.ops = &pg_ops;
	db->base.kind = DB_POSTGRES;
	db->durable = true;
	db->conn = PQconnectdbParams(keys, values, 1);
	if (!db->conn) {
		free(db);
		return -ENOMEM;
	}

	(void)PQsetNoticeProcessor(db->conn, notice, NULL);
	if (PQstatus(db->conn) != CONNECTION_OK)
		err = lost(&db->base);
	else
		err = set_up(&db->base);
	if (err) {
		if (err_text) /* libpq never prints the password */
			(void)snprintf(err_text, err_size, "PostgreSQL: %s", db->base.error);
		db_close(&db->base);
		return err;
	}

	*ret = &db->base;

	return 0;
}
