/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "schema/schema_priv.h"

/* The audit log as people read it (PLT-01, PLT-02, D-218). */

/* $1..$2: tenants; a filter that is empty matches everything. */
#define MATCHING                                                                                   \
	" FROM audit_log l LEFT JOIN tenant t ON t.id = l.tenant_id"                               \
	" WHERE l.tenant_id >= $1 AND l.tenant_id <= $2 AND l.at >= $3 AND l.at < $4"              \
	" AND ($5 = '' OR l.username = $5) AND ($6 = '' OR l.ip_address = $6)"                     \
	" AND ($7 = '' OR l.action = $7) AND ($8 = '' OR l.entity = $8 OR l.object_type = $8)"     \
	" AND ($9 = '' OR l.transaction_id = $9) AND ($10 = '' OR l.description LIKE $10 ESCAPE '\\')"

static const char sql_count[] = "SELECT COUNT(*)" MATCHING;
static const char sql_rows[] =
	"SELECT l.id, l.transaction_id, t.domain, l.at, l.username, l.ip_address, l.action, l.entity,"
	" l.object_id, l.object_type, l.description" MATCHING " ORDER BY l.id DESC LIMIT $11 OFFSET $12";
static const char sql_changes[] =
	"SELECT property, previous, current FROM audit_change WHERE audit_id = $1 ORDER BY seq LIMIT $2";

#define CHANGES_MAX 1000 /* of one object */

static json_t *text_of(const struct db_rows *rows, int column)
{
	return db_is_null(rows, column) ? json_null() : json_string(db_col_text(rows, column));
}

static json_t *read_item(const struct db_rows *rows)
{
	char iso[32];

	return json_pack("{s:I, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "id",
			 (json_int_t)db_col_i64(rows, 0), "transaction_id", text_of(rows, 1), "tenant",
			 text_of(rows, 2), "timestamp", clk_iso(iso, sizeof(iso), db_col_i64(rows, 3)),
			 "username", text_of(rows, 4), "ip_address", text_of(rows, 5), "action",
			 text_of(rows, 6), "entity", text_of(rows, 7), "object_id",
			 (json_int_t)db_col_i64(rows, 8), "object_type", text_of(rows, 9),
			 "description", text_of(rows, 10));
}

static int read_changes(struct db *db, json_t *item)
{
	json_t *changes = json_array();
	struct db_rows *rows = NULL;
	int n = 0, err;

	if (!changes || json_object_set_new(item, "changes", changes))
		return -ENOMEM;
	err = db_query(&rows, db, sql_changes,
		       DB_ARGS(db_i64(json_integer_value(json_object_get(item, "id"))),
			       db_i64(CHANGES_MAX)));
	while (!err && (n = db_next(rows)) > 0)
		err = json_array_append_new(changes,
					    json_pack("{s:o, s:o, s:o}", "property", text_of(rows, 0),
						      "previous", text_of(rows, 1), "current",
						      text_of(rows, 2))) ?
			      -ENOMEM :
			      0;
	db_rows_close(rows);
	return err ? err : n < 0 ? n : 0;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

int sch_audit_list(struct sch_ctx *ctx, const struct sch_audit_query *query, json_t **ret, int64_t *total)
{
	const char *like = query->q ? sch_like_part(ctx->arena, query->q) : "";
	const int64_t to_us = query->to_us ? query->to_us : INT64_MAX;
	const int64_t first = query->all_tenants ? 0 : ctx->tenant_id;
	const int64_t last = query->all_tenants ? INT64_MAX : ctx->tenant_id;
	struct db_rows *rows = NULL;
	json_t *items = json_array(), *item;
	size_t i;
	int n = 0, err = like && items ? 0 : -ENOMEM;

	if (!err)
		err = db_query_i64(total, ctx->db, sql_count,
				   DB_ARGS(db_i64(first), db_i64(last), db_i64(query->from_us),
					   db_i64(to_us), db_text(or_empty(query->username)),
					   db_text(or_empty(query->ip_address)),
					   db_text(or_empty(query->action)),
					   db_text(or_empty(query->object_type)),
					   db_text(or_empty(query->transaction_id)), db_text(like)));
	if (!err)
		err = db_query(&rows, ctx->db, sql_rows,
			       DB_ARGS(db_i64(first), db_i64(last), db_i64(query->from_us),
				       db_i64(to_us), db_text(or_empty(query->username)),
				       db_text(or_empty(query->ip_address)),
				       db_text(or_empty(query->action)),
				       db_text(or_empty(query->object_type)),
				       db_text(or_empty(query->transaction_id)), db_text(like),
				       db_i64(query->page_size),
				       db_i64((int64_t)(query->page - 1) * query->page_size)));
	while (!err && (n = db_next(rows)) > 0)
		err = json_array_append_new(items, read_item(rows)) ? -ENOMEM : 0;
	db_rows_close(rows);
	if (!err && n < 0)
		err = n;
	json_array_foreach(items, i, item)
		if (!err && query->with_changes)
			err = read_changes(ctx->db, item);

	if (err)
		json_decref(items);
	else
		*ret = items;
	return err;
}
