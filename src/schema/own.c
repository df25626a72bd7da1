/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/json.h"
#include "schema/schema_priv.h"

/* Rows as they are stored: what an object has of its own, without its template. */
#define KEY_BYTES 1024 /* of sort_key and search_key; what is longer is not looked at */

int sch_revision_next(int64_t *ret, struct db *db, int64_t scope)
{
	static const char sql[] =
		"INSERT INTO configuration_revision (tenant_id, saved, applied, saved_at)"
		" VALUES ($1, 1, 0, $2) ON CONFLICT (tenant_id) DO UPDATE"
		" SET saved = configuration_revision.saved + 1, saved_at = $2 RETURNING saved";

	return db_query_i64(ret, db, sql, DB_ARGS(db_i64(scope), db_i64(clk_wall_us())));
}

static json_t *load_value(const struct sch_field *f, struct db_rows *rows, int col)
{
	if (db_is_null(rows, col))
		return json_null();
	if (f->type == SCH_BOOL)
		return json_boolean(db_col_i64(rows, col));
	if (f->type == SCH_INT || f->type == SCH_REF || f->type == SCH_TIME)
		return json_integer(db_col_i64(rows, col));
	if (sch_is_json(f->type)) {
		json_t *value = json_loads(db_col_text(rows, col), JSON_DECODE_ANY, NULL);

		return value ? value : json_null();
	}
	return json_string(db_col_text(rows, col));
}

static int load_row(json_t *own, json_t *sealed, const struct sch_entity *e, struct db_rows *rows)
{
	int col = 2;

	if (json_object_set_new(own, "id", json_integer(db_col_i64(rows, 0))) ||
	    json_object_set_new(own, "revision", json_integer(db_col_i64(rows, 1))))
		return -ENOMEM;
	for (size_t i = 0; i < e->n_fields; i++) {
		const struct sch_field *f = &e->fields[i];

		if (!sch_stored(f))
			continue;
		if (json_object_set_new(sch_is_secret(f->type) ? sealed : own, f->name,
					load_value(f, rows, col++)))
			return -ENOMEM;
	}
	return 0;
}

static int select_sql(struct sch_out *sql, const struct sch_entity *e)
{
	int err = sch_out_text(sql, "SELECT id, revision");

	for (size_t i = 0; !err && i < e->n_fields; i++) {
		if (!sch_stored(&e->fields[i]))
			continue;
		err = sch_out_text(sql, ", \"");
		if (!err)
			err = sch_out_text(sql, e->fields[i].name);
		if (!err)
			err = sch_out_mem(sql, "\"", 1);
	}
	if (!err)
		err = sch_out_text(sql, " FROM \"");
	if (!err)
		err = sch_out_text(sql, e->name);
	return err ? err : sch_out_text(sql, "\" WHERE id = $1 AND tenant_id = $2");
}

int sch_own_load(json_t **own, json_t **sealed, struct db *db, const struct sch_entity *entity,
		 int64_t scope, int64_t id)
{
	struct sch_out sql = { 0 };
	struct db_rows *rows = NULL;
	json_t *o = json_object(), *s = json_object();
	int n, err = select_sql(&sql, entity);

	if (!err)
		err = db_query(&rows, db, sql.text, DB_ARGS(db_i64(id), db_i64(scope)));
	sch_out_free(&sql);
	if (err)
		goto out;
	n = db_next(rows);
	err = n > 0 ? load_row(o, s, entity, rows) : n < 0 ? n : -ENOENT;

out:
	db_rows_close(rows);
	if (err || !own) {
		json_decref(o);
		o = NULL;
	}
	if (err || !sealed) {
		json_decref(s);
		s = NULL;
	}
	if (!err && own)
		*own = o;
	if (!err && sealed)
		*sealed = s;
	return err;
}

/* ------------------------------------------------------------------ storing */

static int store_arg(struct db_arg *arg, struct sch_ctx *ctx, const struct sch_field *f,
		     const json_t *value)
{
	char *text;

	if (!value || json_is_null(value)) {
		*arg = db_null();
		return 0;
	}
	if (json_is_boolean(value)) {
		*arg = db_bool(json_is_true(value));
		return 0;
	}
	if (json_is_integer(value)) {
		*arg = db_i64(json_integer_value(value));
		return 0;
	}
	if (json_is_string(value)) {
		*arg = db_text(json_string_value(value));
		return 0;
	}
	text = js_dump(value);
	if (!text)
		return -ENOMEM;
	*arg = db_text(arena_strdup(ctx->arena, text));
	free(text);
	return arg->data ? 0 : -ENOMEM;
}

static void sort_key(char *buf, size_t size, const struct sch_entity *e, const json_t *own)
{
	const char *title = e->title_field ?
				    json_string_value(json_object_get(own, e->title_field)) :
				    NULL;

	sch_fold(buf, size, title ? title : "");
}

static void search_key(char *buf, size_t size, const struct sch_entity *e, const json_t *own)
{
	char folded[KEY_BYTES];
	size_t n = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < e->n_fields; i++) {
		const char *text = json_string_value(json_object_get(own, e->fields[i].name));

		if (!(e->fields[i].flags & SCH_SEARCH) || !text)
			continue;
		sch_fold(folded, sizeof(folded), text);
		if (n + strlen(folded) + 2 > size)
			return;
		n += (size_t)snprintf(buf + n, size - n, "%s\n", folded);
	}
}

static int print_sql(struct sch_out *sql, const struct sch_entity *e, bool insert)
{
	char part[160];
	int n = insert ? 7 : 6, err;

	(void)snprintf(part, sizeof(part),
		       insert ? "INSERT INTO \"%s\" (tenant_id, revision, created_at, updated_at,"
				" sort_key, search_key" :
				"UPDATE \"%s\" SET revision = $2, updated_at = $3, sort_key = $4,"
				" search_key = $5",
		       e->name);
	err = sch_out_text(sql, part);
	for (size_t i = 0; !err && i < e->n_fields; i++) {
		if (!sch_stored(&e->fields[i]))
			continue;
		if (insert)
			(void)snprintf(part, sizeof(part), ", \"%s\"", e->fields[i].name);
		else
			(void)snprintf(part, sizeof(part), ", \"%s\" = $%d", e->fields[i].name, n++);
		err = sch_out_text(sql, part);
	}
	if (!insert) {
		(void)snprintf(part, sizeof(part), " WHERE id = $%d AND tenant_id = $1",
			       n);
		return err ? err : sch_out_text(sql, part);
	}
	if (!err)
		err = sch_out_text(sql, ") VALUES ($1, $2, $3, $4, $5, $6");
	for (size_t i = 0; !err && i < e->n_fields; i++) {
		if (!sch_stored(&e->fields[i]))
			continue;
		(void)snprintf(part, sizeof(part), ", $%d", n++);
		err = sch_out_text(sql, part);
	}
	return err ? err : sch_out_text(sql, ") RETURNING id");
}

int sch_own_store(int64_t *ret_id, struct sch_ctx *ctx, const struct sch_entity *entity,
		  int64_t scope, int64_t id, const json_t *own, const json_t *sealed)
{
	struct db_arg args[6 + SCH_MAX_FIELDS + 1];
	char sort[KEY_BYTES], search[4 * KEY_BYTES];
	struct sch_out sql = { 0 };
	int64_t revision;
	size_t n = 3;
	int err;

	err = sch_revision_next(&revision, ctx->db, scope);
	if (err)
		return err;
	sort_key(sort, sizeof(sort), entity, own);
	search_key(search, sizeof(search), entity, own);
	args[0] = db_i64(scope);
	args[1] = db_i64(revision);
	args[2] = db_i64(clk_wall_us());
	if (id == 0) /* created_at comes before updated_at */
		args[n++] = db_i64(clk_wall_us());
	args[n++] = db_text(sort);
	args[n++] = db_text(search);
	for (size_t i = 0; !err && i < entity->n_fields; i++) {
		const struct sch_field *f = &entity->fields[i];

		if (sch_stored(f))
			err = store_arg(&args[n++], ctx, f,
					json_object_get(sch_is_secret(f->type) ? sealed : own,
							f->name));
	}
	if (!err)
		err = print_sql(&sql, entity, id == 0);
	if (!err && id == 0)
		err = db_query_i64(&id, ctx->db, sql.text, args, n);
	else if (!err) {
		args[n++] = db_i64(id);
		err = db_exec(ctx->db, sql.text, args, n);
	}
	sch_out_free(&sql);
	if (!err)
		err = sch_refs_store(ctx, entity, scope, id, own);
	if (!err && ret_id)
		*ret_id = id;
	return err;
}

int sch_touch(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t scope, int64_t id)
{
	char sql[160];
	int64_t revision;
	int err = sch_revision_next(&revision, ctx->db, scope);

	if (err)
		return err;
	(void)snprintf(sql, sizeof(sql), "UPDATE \"%s\" SET revision = $1 WHERE id = $2 AND"
			" tenant_id = $3", entity->name);
	return db_exec(ctx->db, sql, DB_ARGS(db_i64(revision), db_i64(id), db_i64(scope)));
}
