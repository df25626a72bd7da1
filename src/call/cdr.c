/* SPDX-License-Identifier: Apache-2.0 */
#include "call/cdr.h"
#include "db/db.h"
#include "base/err.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACK_VERSION 1
#define TAG_DETAIL   255 /* what follows belongs to the next detail */
#define PAGE_ROWS    200

/* A call is filed by its end and listed by its start: no call is longer than this, so that a period
 * is one range of the index on the start. */
#define LONGEST_CALL_US (INT64_C(31) * 24 * 3600 * 1000000)

enum col_type { COL_TEXT, COL_I64, COL_BOOL, COL_U16, COL_U8 };

/* One row says a column's name, its place in the struct and its tag in a packed record. Tags are
 * for ever: journals of older programs carry them. */
struct col {
	const char *name;
	enum col_type type;
	uint8_t tag;
	uint16_t offset, size;
};

#define CALL_COL(number, t, field)                                                                 \
	{                                                                                          \
#field, t, number, offsetof(struct cdr, field), sizeof(((struct cdr *)0)->field)   \
	}
#define STEP_COL(number, t, field)                                                                 \
	{                                                                                          \
#field, t, number, offsetof(struct cdr_detail, field),                             \
			sizeof(((struct cdr_detail *)0)->field)                                    \
	}

/* PLT-59 */
static const struct col call_cols[] = {
	CALL_COL(1, COL_I64, tenant_id),      CALL_COL(2, COL_TEXT, unique_id),
	CALL_COL(3, COL_TEXT, linkedid),      CALL_COL(4, COL_TEXT, call_uuid),
	CALL_COL(5, COL_TEXT, source_type),   CALL_COL(6, COL_TEXT, destination_type),
	CALL_COL(7, COL_TEXT, status),	      CALL_COL(8, COL_I64, start_us),
	CALL_COL(9, COL_I64, channel_up_us),  CALL_COL(10, COL_I64, answer_us),
	CALL_COL(11, COL_I64, end_us),	      CALL_COL(12, COL_TEXT, caller),
	CALL_COL(13, COL_TEXT, caller_name),  CALL_COL(14, COL_BOOL, anonymous),
	CALL_COL(15, COL_TEXT, called),	      CALL_COL(16, COL_TEXT, called_name),
	CALL_COL(17, COL_TEXT, answered_by),  CALL_COL(18, COL_TEXT, gateway_name),
	CALL_COL(19, COL_TEXT, account_code), CALL_COL(20, COL_TEXT, src_peer_name),
	CALL_COL(21, COL_TEXT, src_ip_port),  CALL_COL(22, COL_TEXT, src_extension),
	CALL_COL(23, COL_U16, sip_code),      CALL_COL(24, COL_U8, q850),
	CALL_COL(25, COL_TEXT, quality),
};

/* PLT-60 */
static const struct col step_cols[] = {
	STEP_COL(1, COL_TEXT, source_num),
	STEP_COL(2, COL_BOOL, anonymous),
	STEP_COL(3, COL_TEXT, destination_type),
	STEP_COL(4, COL_TEXT, destination_id),
	STEP_COL(5, COL_TEXT, destination_name),
	STEP_COL(6, COL_TEXT, destination_num),
	STEP_COL(7, COL_I64, enter_us),
	STEP_COL(8, COL_I64, enqueue_us),
	STEP_COL(9, COL_I64, answer_us),
	STEP_COL(10, COL_I64, exit_us),
	STEP_COL(11, COL_TEXT, exit_cause),
	STEP_COL(12, COL_TEXT, answered_by),
	STEP_COL(13, COL_TEXT, mapped_source_num),
	STEP_COL(14, COL_TEXT, mapped_dst_num),
	STEP_COL(15, COL_TEXT, account_code),
};

#define N_COLS(a)    (sizeof(a) / sizeof((a)[0]))
#define N_CALL_COLS  N_COLS(call_cols)
#define N_STEP_COLS  N_COLS(step_cols)
#define COLS_SQL_MAX 600

/* ------------------------------------------------------------------ values */

static int64_t get_number(const struct col *col, const void *base)
{
	const uint8_t *at = (const uint8_t *)base + col->offset;
	int64_t i64;
	uint16_t u16;

	switch (col->type) {
	case COL_I64:
		memcpy(&i64, at, sizeof(i64));
		return i64;
	case COL_U16:
		memcpy(&u16, at, sizeof(u16));
		return u16;
	case COL_BOOL:
		return *(const bool *)at;
	case COL_U8:
		return *at;
	case COL_TEXT:
		break;
	}

	return 0;
}

static void set_number(const struct col *col, void *base, int64_t value)
{
	uint8_t *at = (uint8_t *)base + col->offset;
	uint16_t u16 = (uint16_t)value;

	switch (col->type) {
	case COL_I64:
		memcpy(at, &value, sizeof(value));
		return;
	case COL_U16:
		memcpy(at, &u16, sizeof(u16));
		return;
	case COL_BOOL:
		*(bool *)at = value != 0;
		return;
	case COL_U8:
		*at = (uint8_t)value;
		return;
	case COL_TEXT:
		return;
	}
}

/* A text that does not fit is cut between characters, not inside one: half a UTF-8 character is
 * refused by PostgreSQL. */
static void set_text(const struct col *col, void *base, const char *text, size_t len)
{
	char *at = (char *)base + col->offset;

	if (len >= col->size) {
		len = col->size - 1u;
		while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(at, text, len);
	at[len] = '\0';
}

/* Bytes of the UTF-8 character at p, 0: it is not valid (RFC 3629 section 4). */
static size_t utf8_length(const uint8_t *p)
{
	static const struct {
		uint8_t first, last, low, high;
		size_t more;
	} forms[] = {
		{ 0x01, 0x7f, 0, 0, 0 },       { 0xc2, 0xdf, 0x80, 0xbf, 1 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 2 }, { 0xe1, 0xec, 0x80, 0xbf, 2 },
		{ 0xed, 0xed, 0x80, 0x9f, 2 }, { 0xee, 0xef, 0x80, 0xbf, 2 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 3 }, { 0xf1, 0xf3, 0x80, 0xbf, 3 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 3 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (p[0] < forms[i].first || p[0] > forms[i].last)
			continue;
		for (size_t k = 1; k <= forms[i].more; k++)
			if (p[k] < (k == 1 ? forms[i].low : 0x80) ||
			    p[k] > (k == 1 ? forms[i].high : 0xbf))
				return 0;
		return 1 + forms[i].more;
	}

	return 0;
}

/* Names come from strangers' phones. PostgreSQL refuses what is not UTF-8, and no CDR may be lost
 * for a strange name. */
static void clean_text(char *text)
{
	while (*text) {
		size_t n = utf8_length((const uint8_t *)text);

		if (n == 0)
			*text = '?';
		text += n ? n : 1;
	}
}

/* ------------------------------------------------------------------ packing */

struct pack {
	uint8_t *buf;
	size_t len, size;
	bool full;
};

static void put(struct pack *pack, uint8_t tag, const void *data, size_t len)
{
	uint8_t head[3] = { tag, (uint8_t)(len >> 8), (uint8_t)len };

	if (pack->full || pack->size - pack->len < sizeof(head) + len) {
		pack->full = true;
		return;
	}

	memcpy(pack->buf + pack->len, head, sizeof(head));
	if (len > 0)
		memcpy(pack->buf + pack->len + sizeof(head), data, len);
	pack->len += sizeof(head) + len;
}

static void put_cols(struct pack *pack, const struct col *cols, size_t n, const void *base)
{
	for (size_t i = 0; i < n; i++) {
		const char *text = (const char *)base + cols[i].offset;
		uint8_t number[8];
		uint64_t value;

		if (cols[i].type == COL_TEXT) {
			if (text[0])
				put(pack, cols[i].tag, text, strnlen(text, cols[i].size));
			continue;
		}

		value = (uint64_t)get_number(&cols[i], base);
		if (!value)
			continue;
		for (int b = 0; b < 8; b++)
			number[b] = (uint8_t)(value >> (56 - 8 * b));
		put(pack, cols[i].tag, number, sizeof(number));
	}
}

int cdr_pack(const struct cdr *cdr, void *buf, size_t size)
{
	struct pack pack = { .buf = buf, .size = size };
	uint8_t version = PACK_VERSION;
	size_t n = cdr->n_details < CDR_MAX_DETAILS ? cdr->n_details : CDR_MAX_DETAILS;

	put(&pack, 0, &version, 1);
	put_cols(&pack, call_cols, N_CALL_COLS, cdr);
	for (size_t i = 0; i < n; i++) {
		put(&pack, TAG_DETAIL, NULL, 0);
		put_cols(&pack, step_cols, N_STEP_COLS, &cdr->details[i]);
	}

	return pack.full ? -EMSGSIZE : (int)pack.len;
}

static int take(const struct col *cols, size_t n, void *base, uint8_t tag, const uint8_t *data,
		size_t len)
{
	const struct col *col = NULL;
	uint64_t value = 0;

	for (size_t i = 0; i < n && !col; i++)
		if (cols[i].tag == tag)
			col = &cols[i];
	if (!col)
		return 0; /* of a newer program */

	if (col->type == COL_TEXT) {
		if (memchr(data, '\0', len))
			return -EBADMSG;
		set_text(col, base, (const char *)data, len);
		clean_text((char *)base + col->offset);
		return 0;
	}

	if (len != 8)
		return -EBADMSG;
	for (int b = 0; b < 8; b++)
		value = value << 8 | data[b];
	set_number(col, base, (int64_t)value);

	return 0;
}

int cdr_unpack(struct cdr *ret, const void *data, size_t len)
{
	const uint8_t *p = data;
	struct cdr_detail *step = NULL;
	int err = 0;

	memset(ret, 0, offsetof(struct cdr, details));
	if (len < 4 || p[0] != 0 || p[1] != 0 || p[2] != 1 || p[3] != PACK_VERSION)
		return -EBADMSG;

	p += 4;
	len -= 4;
	while (len > 0 && !err) {
		size_t n;

		if (len < 3)
			return -EBADMSG;
		n = (size_t)p[1] << 8 | p[2];
		if (n > len - 3)
			return -EBADMSG;

		if (p[0] == TAG_DETAIL) {
			if (ret->n_details == CDR_MAX_DETAILS)
				return -EBADMSG;
			step = &ret->details[ret->n_details++];
			memset(step, 0, sizeof(*step));
		} else if (step) {
			err = take(step_cols, N_STEP_COLS, step, p[0], p + 3, n);
		} else {
			err = take(call_cols, N_CALL_COLS, ret, p[0], p + 3, n);
		}
		p += 3 + n;
		len -= 3 + n;
	}

	return err;
}

/* ------------------------------------------------------------------ tables */

#define CDR_COLUMNS                                                                                \
	"tenant_id BIGINT NOT NULL, unique_id TEXT NOT NULL UNIQUE, linkedid TEXT NOT NULL,"       \
	" call_uuid TEXT NOT NULL, source_type TEXT NOT NULL, destination_type TEXT NOT NULL,"     \
	" status TEXT NOT NULL, start_us BIGINT NOT NULL, channel_up_us BIGINT NOT NULL,"          \
	" answer_us BIGINT NOT NULL, end_us BIGINT NOT NULL, caller TEXT NOT NULL,"                \
	" caller_name TEXT NOT NULL, anonymous BIGINT NOT NULL, called TEXT NOT NULL,"             \
	" called_name TEXT NOT NULL, answered_by TEXT NOT NULL, gateway_name TEXT NOT NULL,"       \
	" account_code TEXT NOT NULL, src_peer_name TEXT NOT NULL, src_ip_port TEXT NOT NULL,"     \
	" src_extension TEXT NOT NULL, sip_code BIGINT NOT NULL, q850 BIGINT NOT NULL);"           \
	"CREATE INDEX cdr_by_start ON cdr (tenant_id, start_us, id);"                              \
	"CREATE INDEX cdr_by_end ON cdr (tenant_id, end_us);"                                      \
	"CREATE TABLE cdr_detail (cdr_id BIGINT NOT NULL REFERENCES cdr (id) ON DELETE CASCADE,"   \
	" step BIGINT NOT NULL, source_num TEXT NOT NULL, anonymous BIGINT NOT NULL,"              \
	" destination_type TEXT NOT NULL, destination_id TEXT NOT NULL,"                           \
	" destination_name TEXT NOT NULL, destination_num TEXT NOT NULL, enter_us BIGINT NOT "     \
	"NULL,"                                                                                    \
	" enqueue_us BIGINT NOT NULL, answer_us BIGINT NOT NULL, exit_us BIGINT NOT NULL,"         \
	" exit_cause TEXT NOT NULL, answered_by TEXT NOT NULL, mapped_source_num TEXT NOT NULL,"   \
	" mapped_dst_num TEXT NOT NULL, account_code TEXT NOT NULL, PRIMARY KEY (cdr_id, step))"

static const struct db_migration migrations[] = {
	{ 1, "cdr and cdr_detail",
	  "CREATE TABLE cdr (id INTEGER PRIMARY KEY AUTOINCREMENT, " CDR_COLUMNS,
	  "CREATE TABLE cdr (id BIGSERIAL PRIMARY KEY, " CDR_COLUMNS },
	{ 2, "how the legs of a call sounded",
	  "ALTER TABLE cdr ADD COLUMN quality TEXT NOT NULL DEFAULT ''",
	  "ALTER TABLE cdr ADD COLUMN quality TEXT NOT NULL DEFAULT ''" },
};

int cdr_migrate(struct db *db)
{
	return db_migrate(db, "cdr", migrations, N_COLS(migrations));
}

/* ------------------------------------------------------------------ writing */

/* "a, b, c" or "d.a, d.b, d.c" */
static void column_list(char *buf, size_t size, const char *prefix, const struct col *cols,
			size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s%s", i ? ", " : "", prefix,
					cols[i].name);
}

static void parameter_list(char *buf, size_t size, size_t n)
{
	size_t len = 0;

	for (size_t i = 1; i <= n; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s$%zu", i > 1 ? ", " : "", i);
}

static void arguments(struct db_arg *args, const struct col *cols, size_t n, const void *base)
{
	for (size_t i = 0; i < n; i++) {
		const char *text = (const char *)base + cols[i].offset;

		args[i] = cols[i].type == COL_TEXT ? db_textn(text, strnlen(text, cols[i].size))
						   : db_i64(get_number(&cols[i], base));
	}
}

/* Texts of the statements that run for each call, made from the tables above once. */
static struct {
	pthread_once_t once;
	char call[COLS_SQL_MAX + 300], step[COLS_SQL_MAX + 300];
} insert_sql = { .once = PTHREAD_ONCE_INIT };

static void make_insert_sql(void)
{
	char columns[COLS_SQL_MAX], params[200];

	column_list(columns, sizeof(columns), "", call_cols, N_CALL_COLS);
	parameter_list(params, sizeof(params), N_CALL_COLS);
	(void)snprintf(insert_sql.call, sizeof(insert_sql.call),
		       "INSERT INTO cdr (%s) VALUES (%s) ON CONFLICT (unique_id) DO NOTHING"
		       " RETURNING id",
		       columns, params);

	column_list(columns, sizeof(columns), "", step_cols, N_STEP_COLS);
	parameter_list(params, sizeof(params), N_STEP_COLS + 2);
	(void)snprintf(insert_sql.step, sizeof(insert_sql.step),
		       "INSERT INTO cdr_detail (%s, cdr_id, step) VALUES (%s)", columns, params);
}

/* Returns 0 with the new id, -ENOENT when the call is there already. */
static int insert_call(int64_t *ret, struct db *db, const struct cdr *cdr)
{
	struct db_arg args[N_CALL_COLS];

	arguments(args, call_cols, N_CALL_COLS, cdr);

	return db_query_i64(ret, db, insert_sql.call, args, N_CALL_COLS);
}

static int insert_steps(struct db *db, int64_t id, const struct cdr *cdr)
{
	struct db_arg args[N_STEP_COLS + 2];
	int err = 0;

	for (size_t i = 0; i < cdr->n_details && !err; i++) {
		arguments(args, step_cols, N_STEP_COLS, &cdr->details[i]);
		args[N_STEP_COLS] = db_i64(id);
		args[N_STEP_COLS + 1] = db_i64((int64_t)i);
		err = db_exec(db, insert_sql.step, args, N_STEP_COLS + 2);
	}

	return err;
}

int cdr_writer_apply(struct db *db, uint32_t kind, const void *data, size_t len)
{
	struct cdr *cdr;
	int64_t id = 0;
	int err;

	if (kind != CDR_RECORD)
		return -EINVAL;

	(void)pthread_once(&insert_sql.once, make_insert_sql);
	cdr = malloc(sizeof(*cdr)); /* too large for a stack */
	if (!cdr)
		return -ENOMEM;

	err = cdr_unpack(cdr, data, len);
	if (!err && !cdr->unique_id[0])
		err = -EINVAL;
	if (!err)
		err = insert_call(&id, db, cdr);
	if (!err)
		err = insert_steps(db, id, cdr);
	else if (err == -ENOENT)
		err = 0;
	free(cdr);

	return err;
}

/* ------------------------------------------------------------------ reading */

static void read_cols(const struct db_rows *rows, int first, const struct col *cols, size_t n,
		      void *base)
{
	for (size_t i = 0; i < n; i++) {
		int at = first + (int)i;

		if (cols[i].type == COL_TEXT) {
			const char *text = db_col_text(rows, at);

			set_text(&cols[i], base, text ? text : "", text ? strlen(text) : 0);
		} else {
			set_number(&cols[i], base, db_col_i64(rows, at));
		}
	}
}

static int read_steps(struct db *db, int64_t id, struct cdr *cdr)
{
	char columns[COLS_SQL_MAX], sql[COLS_SQL_MAX + 100];
	struct db_rows *rows = NULL;
	int n = 0, err;

	column_list(columns, sizeof(columns), "", step_cols, N_STEP_COLS);
	(void)snprintf(sql, sizeof(sql),
		       "SELECT %s FROM cdr_detail WHERE cdr_id = $1 ORDER BY step", columns);
	err = db_query(&rows, db, sql, DB_ARGS(db_i64(id)));
	if (err)
		return err;

	while (cdr->n_details < CDR_MAX_DETAILS && (n = db_next(rows)) > 0)
		read_cols(rows, 0, step_cols, N_STEP_COLS, &cdr->details[cdr->n_details++]);
	db_rows_close(rows);

	return n < 0 ? n : 0;
}

/* Where a page begins: after this row. */
struct page {
	int64_t start_us, id;
	int limit, offset;
};

struct filter {
	char sql[900];
	size_t len;
	struct db_arg args[12];
	size_t n;
};

static void filter_add(struct filter *f, const char *condition, struct db_arg arg)
{
	char text[300];

	f->args[f->n++] = arg;
	(void)snprintf(text, sizeof(text), condition, (int)f->n, (int)f->n, (int)f->n, (int)f->n);
	f->len += (size_t)snprintf(f->sql + f->len, sizeof(f->sql) - f->len, "%s%s",
				   f->len ? " AND " : " WHERE ", text);
}

static void make_filter(struct filter *f, const struct cdr_query *q, const struct page *page)
{
	if (q->tenant_id)
		filter_add(f, "tenant_id = $%d", db_i64(q->tenant_id));
	if (q->from_us) {
		filter_add(f, "end_us >= $%d", db_i64(q->from_us));
		filter_add(f, "start_us >= $%d", db_i64(q->from_us - LONGEST_CALL_US));
	}
	if (q->to_us) {
		filter_add(f, "end_us < $%d", db_i64(q->to_us));
		filter_add(f, "start_us < $%d", db_i64(q->to_us));
	}
	if (q->unique_id)
		filter_add(f, "unique_id = $%d", db_text(q->unique_id));
	if (q->extension)
		filter_add(f,
			   "(src_extension = $%d OR answered_by = $%d OR EXISTS (SELECT 1 FROM"
			   " cdr_detail d WHERE d.cdr_id = cdr.id AND d.destination_type ="
			   " 'local_exten' AND d.destination_num = $%d))",
			   db_text(q->extension));
	if (page->id) {
		filter_add(f, "start_us <= $%d", db_i64(page->start_us));
		filter_add(f, "(start_us < $%d", db_i64(page->start_us));
		f->args[f->n++] = db_i64(page->id);
		f->len += (size_t)snprintf(f->sql + f->len, sizeof(f->sql) - f->len,
					   " OR id < $%d)", (int)f->n);
	}
}

static int query_page(struct db_rows **ret, struct db *db, const struct cdr_query *q,
		      const struct page *page)
{
	char columns[COLS_SQL_MAX], sql[COLS_SQL_MAX + 1200];
	struct filter f = { .len = 0 };

	make_filter(&f, q, page);
	column_list(columns, sizeof(columns), "", call_cols, N_CALL_COLS);
	(void)snprintf(sql, sizeof(sql),
		       "SELECT id, %s FROM cdr%s ORDER BY start_us DESC, id DESC"
		       " LIMIT $%d OFFSET $%d",
		       columns, f.sql, (int)f.n + 1, (int)f.n + 2);
	f.args[f.n++] = db_i64(page->limit);
	f.args[f.n++] = db_i64(page->offset);

	return db_query(ret, db, sql, f.args, f.n);
}

/* Returns the rows of the page handed to h; *stopped: what h returned. */
static int walk_page(struct db *db, const struct cdr_query *q, struct page *page, bool details,
		     struct cdr *cdr, cdr_row_h *h, void *arg, int *stopped)
{
	struct db_rows *rows = NULL;
	int n, count = 0, err;

	err = query_page(&rows, db, q, page);
	if (err)
		return err;

	while (!*stopped && (n = db_next(rows)) != 0) {
		if (n < 0) {
			count = n;
			break;
		}

		page->id = db_col_i64(rows, 0);
		cdr->n_details = 0;
		read_cols(rows, 1, call_cols, N_CALL_COLS, cdr);
		page->start_us = cdr->start_us;
		if (details) {
			err = read_steps(db, page->id, cdr);
			if (err) {
				count = err;
				break;
			}
		}
		count++;
		*stopped = h(cdr, arg);
	}
	db_rows_close(rows);

	return count;
}

int cdr_select(struct db *db, const struct cdr_query *q, bool details, cdr_row_h *h, void *arg)
{
	struct page page = { .offset = q->offset };
	struct cdr *cdr = malloc(sizeof(*cdr));
	int left = q->limit, n, stopped = 0;

	if (!cdr)
		return -ENOMEM;

	do {
		page.limit = q->limit && left < PAGE_ROWS ? left : PAGE_ROWS;
		n = walk_page(db, q, &page, details, cdr, h, arg, &stopped);
		page.offset = 0;
		left -= n > 0 ? n : 0;
	} while (n == PAGE_ROWS && !stopped && (!q->limit || left > 0));
	free(cdr);

	return n < 0 ? n : stopped;
}
