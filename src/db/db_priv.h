/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_DB_DB_PRIV_H
#define AOIDE_DB_DB_PRIV_H

#include "db/db.h"

/* What the two drivers share. Inside src/db only. */

#define DB_BUSY_MS 10000 /* how long a lock is waited for before -EBUSY */

/* One prepared statement. Those that a cursor still reads are busy and not handed out twice. */
struct db_stmt {
	struct db_stmt *hash_next, *lru_prev, *lru_next;
	uint32_t hash;
	bool cached, busy;
	char *sql;
	char *types;   /* one letter per parameter (PostgreSQL: part of the identity), or "" */
	void *handle;  /* sqlite3_stmt */
	char name[16]; /* PostgreSQL's name of it */
	int16_t *bind; /* SQLite: argument number of each parameter */
	int n_bind;
};

#define DB_HASH_SLOTS 512
struct db_cache {
	struct db_stmt *slots[DB_HASH_SLOTS];
	struct db_stmt *first, *last; /* most recently used first */
	unsigned count;
};

struct db_ops {
	void (*close)(struct db *db);
	/* rows NULL: only the number of changed rows matters. */
	int (*run)(struct db *db, struct db_rows **rows, const char *sql, const struct db_arg *args,
		   size_t n);
	int (*script)(struct db *db, const char *sql);
	void (*stmt_free)(struct db *db, struct db_stmt *stmt);
	const char *begin, *begin_read, *autoid, *blob;

	int (*next)(struct db_rows *rows);
	void (*rows_close)(struct db_rows *rows);
	int (*columns)(const struct db_rows *rows);
	const char *(*column_name)(const struct db_rows *rows, int col);
	bool (*is_null)(const struct db_rows *rows, int col);
	int64_t (*col_i64)(const struct db_rows *rows, int col);
	double (*col_real)(const struct db_rows *rows, int col);
	const char *(*col_text)(const struct db_rows *rows, int col);
	const void *(*col_blob)(const struct db_rows *rows, int col, size_t *len);
};

struct db { /* first member of each driver's struct */
	const struct db_ops *ops;
	enum db_kind kind;
	int depth;	   /* open transactions, savepoints included */
	int tx_err;	   /* why the transaction can only be rolled back; 0: it is sound */
	bool tx_gone;	   /* the server has given the whole transaction up already */
	bool handles_gone; /* the server has forgotten the prepared statements */
	int64_t changes;
	char error[512];
	char constraint[256];
	struct db_cache cache;
};

struct db_rows { /* first member of each driver's struct */
	struct db *db;
};

int db_sqlite_open(struct db **ret, const char *path, char *err_text, size_t err_size);
int db_postgres_open(struct db **ret, const char *url, char *err_text, size_t err_size);

/* Keeps the text, one line, for db_error_text(). Forgets the constraint. */
void db_error_set(struct db *db, const char *text);
/* Keeps "a,b" out of "t.a, t.b" or "a, b". */
void db_constraint_set(struct db *db, const char *columns, size_t len);

struct db_stmt *db_cache_find(struct db *db, const char *types, const char *sql);
/* Makes room and adds; a statement whose twin is busy stays out of the cache (cached false). */
int db_cache_add(struct db_stmt **ret, struct db *db, const char *types, const char *sql);
void db_cache_remove(struct db *db, struct db_stmt *stmt);
void db_cache_clear(struct db *db);
/* The cursor on it has ended: frees what is not in the cache. */
void db_stmt_release(struct db *db, struct db_stmt *stmt);

#endif
