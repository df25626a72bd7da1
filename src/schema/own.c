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

int sch_revision_take(int64_t *ret, struct sch_ctx *ctx, int64_t scope)
{
	if (!ctx->batch_revision || ctx->batch_scope != scope)
		return sch_revision_next(ret, ctx->db, scope);
	*ret = ctx->batch_revision;
	ctx->batch_wrote = true;
	return 0;
}

int sch_batch_begin(struct sch_ctx *ctx, int64_t scope)
{
	static const char sql[] =
		"INSERT INTO configuration_revision (tenant_id, saved, applied) VALUES ($1, 0, 0)"
		" ON CONFLICT (tenant_id) DO UPDATE SET saved = configuration_revision.saved"
		" RETURNING saved";
	int64_t saved;
	int err = db_query_i64(&saved, ctx->db, sql, DB_ARGS(db_i64(scope)));

	if (err)
		return err;
	ctx->batch_scope = scope;
	ctx->batch_revision = saved + 1;
	return 0;
}

/* A batch that wrote nothing raises nothing. */
int sch_batch_end(struct sch_ctx *ctx)
{
	static const char sql[] = "UPDATE configuration_revision SET saved = $2, saved_at = $3"
				  " WHERE tenant_id = $1 AND saved < $2";
	const int64_t revision = ctx->batch_revision;
	const bool wrote = ctx->batch_wrote;

	ctx->batch_revision = 0;
	ctx->batch_wrote = false;
	return revision && wrote ? db_exec(ctx->db, sql,
					   DB_ARGS(db_i64(ctx->batch_scope), db_i64(revision),
						   db_i64(clk_wall_us()))) :
				   0;
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

static int select_sql(struct sch_out *sql, const struct sch_entity *e, const char *suffix)
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
	if (!err)
		err = sch_out_text(sql, suffix);
	return err ? err : sch_out_text(sql, "\" WHERE id = $1 AND tenant_id = $2");
}

static int load_from(json_t **own, json_t **sealed, struct db *db, const struct sch_entity *entity,
		     const char *suffix, int64_t scope, int64_t id)
{
	struct sch_out sql = { 0 };
	struct db_rows *rows = NULL;
	json_t *o = json_object(), *s = json_object();
	int n, err = select_sql(&sql, entity, suffix);

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

int sch_own_load(json_t **own, json_t **sealed, struct db *db, const struct sch_entity *entity,
		 int64_t scope, int64_t id)
{
	return load_from(own, sealed, db, entity, "", scope, id);
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

/* What lists copy; see SCH_FIXED_COLUMNS. */
struct rest {
	struct sch_out own, over;
};

static int print_pair(struct sch_out *out, const struct sch_field *f, const json_t *value)
{
	char iso[32], *text;
	int err = sch_out_json_string(out, f->name);

	if (!err)
		err = sch_out_mem(out, ":", 1);
	if (!err && f->type == SCH_TIME && json_is_integer(value))
		err = sch_out_json_string(out,
					  clk_iso(iso, sizeof(iso), json_integer_value(value)));
	else if (!err) {
		text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("null");
		err = text ? sch_out_text(out, text) : -ENOMEM;
		free(text);
	}
	return err ? err : sch_out_mem(out, ",", 1);
}

static int rest_print(struct rest *rest, const struct sch_entity *e, const json_t *own)
{
	int err = sch_out_text(&rest->own, "");

	if (!err)
		err = sch_out_text(&rest->over, "");
	for (size_t i = 0; !err && i < e->n_fields; i++) {
		const struct sch_field *f = &e->fields[i];
		const json_t *value = json_object_get(own, f->name);

		if (!sch_stored(f) || f->flags & SCH_HIDDEN || sch_is_secret(f->type))
			continue;
		if (!(f->flags & SCH_INHERIT)) {
			err = print_pair(&rest->own, f, value);
			continue;
		}
		if (!value || json_is_null(value))
			continue;
		err = sch_out_text(&rest->over, f->name);
		if (!err)
			err = sch_out_mem(&rest->over, "\t", 1);
		if (!err)
			err = print_pair(&rest->over, f, value);
		if (!err)
			err = sch_out_mem(&rest->over, "\n", 1);
	}
	return err;
}

static void rest_free(struct rest *rest)
{
	sch_out_free(&rest->own);
	sch_out_free(&rest->over);
}

static struct db_arg over_arg(const struct rest *rest)
{
	return rest->over.len ? db_text(rest->over.text) : db_null();
}

static int print_sql(struct sch_out *sql, const struct sch_entity *e, bool insert)
{
	char part[160];
	int n = insert ? 9 : 8, err;

	(void)snprintf(part, sizeof(part),
		       insert ? "INSERT INTO \"%s\" (tenant_id, revision, created_at, updated_at,"
				" sort_key, search_key, rest, rest_over" :
				"UPDATE \"%s\" SET revision = $2, updated_at = $3, sort_key = $4,"
				" search_key = $5, rest = $6, rest_over = $7",
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
		err = sch_out_text(sql, ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8");
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
	struct db_arg args[8 + SCH_MAX_FIELDS + 1];
	char sort[KEY_BYTES], search[4 * KEY_BYTES];
	struct sch_out sql = { 0 };
	struct rest rest = { 0 };
	int64_t revision;
	size_t n = 3;
	int err;

	err = sch_revision_take(&revision, ctx, scope);
	if (!err)
		err = rest_print(&rest, entity, own);
	if (err)
		goto out;
	sort_key(sort, sizeof(sort), entity, own);
	search_key(search, sizeof(search), entity, own);
	args[0] = db_i64(scope);
	args[1] = db_i64(revision);
	args[2] = db_i64(clk_wall_us());
	if (id == 0) /* created_at comes before updated_at */
		args[n++] = db_i64(clk_wall_us());
	args[n++] = db_text(sort);
	args[n++] = db_text(search);
	args[n++] = db_text(rest.own.text);
	args[n++] = over_arg(&rest);
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
	if (!err)
		err = sch_refs_store(ctx, entity, scope, id, own);
	if (!err && ret_id)
		*ret_id = id;

out:
	sch_out_free(&sql);
	rest_free(&rest);
	return err;
}

int sch_touch(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t scope, int64_t id)
{
	char sql[160];
	int64_t revision;
	int err = sch_revision_take(&revision, ctx, scope);

	if (err)
		return err;
	(void)snprintf(sql, sizeof(sql), "UPDATE \"%s\" SET revision = $1 WHERE id = $2 AND"
			" tenant_id = $3", entity->name);
	return db_exec(ctx->db, sql, DB_ARGS(db_i64(revision), db_i64(id), db_i64(scope)));
}

/* ------------------------------------------------------------------ another registry */

/* What derived columns depend on: names, types and flags of the fields, in order. */
static uint64_t fingerprint(const struct sch_field *fields, size_t n, uint64_t hash)
{
	for (size_t i = 0; i < n; i++) {
		for (const char *p = fields[i].name; *p; p++)
			hash = (hash ^ (unsigned char)*p) * 0x100000001b3ull; /* FNV-1a */
		hash = (hash ^ (unsigned)fields[i].type) * 0x100000001b3ull;
		hash = (hash ^ fields[i].flags) * 0x100000001b3ull;
		/* The depth is that of the registry's tables. */
		hash = fingerprint(fields[i].fields, fields[i].n_fields, hash);
	}
	return hash;
}

static int refresh_row(struct db *db, struct arena *arena, const struct sch_entity *e,
		       const char *suffix, int64_t scope, int64_t id)
{
	struct sch_ctx *ctx = arena_zalloc(arena, sizeof(*ctx));
	char sort[KEY_BYTES], search[4 * KEY_BYTES], part[200];
	struct db_arg args[5 + SCH_MAX_FIELDS];
	struct sch_out sql = { 0 };
	struct rest rest = { 0 };
	json_t *own = NULL;
	size_t n = 5;
	int err = ctx ? load_from(&own, NULL, db, e, suffix, scope, id) : -ENOMEM;

	if (err)
		return err;
	ctx->arena = arena;
	(void)snprintf(part, sizeof(part), "UPDATE \"%s%s\" SET sort_key = $1, search_key = $2,"
					   " rest = $3, rest_over = $4",
		       e->name, suffix);
	err = sch_out_text(&sql, part);
	for (size_t i = 0; !err && i < e->n_fields; i++) {
		const struct sch_field *f = &e->fields[i];
		json_t *value = json_object_get(own, f->name);

		if (!sch_stored(f) || (f->type != SCH_OBJECT && f->type != SCH_LIST) ||
		    json_is_null(value))
			continue;
		err = sch_complete(f, value);
		if (!err)
			err = store_arg(&args[n++], ctx, f, value);
		(void)snprintf(part, sizeof(part), ", \"%s\" = $%zu", f->name, n);
		if (!err)
			err = sch_out_text(&sql, part);
	}
	sort_key(sort, sizeof(sort), e, own);
	search_key(search, sizeof(search), e, own);
	if (!err)
		err = rest_print(&rest, e, own);
	if (!err)
		err = sch_out_text(&sql, " WHERE id = $5");
	if (!err) {
		args[0] = db_text(sort);
		args[1] = db_text(search);
		args[2] = db_text(rest.own.text);
		args[3] = over_arg(&rest);
		args[4] = db_i64(id);
		err = db_exec(db, sql.text, args, n);
	}
	sch_out_free(&sql);
	rest_free(&rest);
	json_decref(own);
	return err;
}

static int refresh_table(struct db *db, const struct sch_entity *e, const char *suffix)
{
	struct db_rows *rows = NULL;
	struct arena *arena = NULL;
	char sql[160];
	int n = 0, err;

	(void)snprintf(sql, sizeof(sql), "SELECT id, tenant_id FROM \"%s%s\" ORDER BY id", e->name,
		       suffix);
	err = db_query(&rows, db, sql, DB_NO_ARGS);
	while (!err && (n = db_next(rows)) > 0) {
		err = arena_alloc(&arena, 64 * 1024);
		if (!err)
			err = refresh_row(db, arena, e, suffix, db_col_i64(rows, 1),
					  db_col_i64(rows, 0));
		arena_free(arena);
		arena = NULL;
	}
	db_rows_close(rows);
	return err ? err : n < 0 ? n : 0;
}

int sch_refresh(struct db *db)
{
	static const char read[] = "SELECT value FROM sch_node WHERE name = $1";
	static const char keep[] = "INSERT INTO sch_node (name, value) VALUES ($1, $2)"
				   " ON CONFLICT (name) DO UPDATE SET value = $2";
	char now[32], was[32] = "", name[96];
	int err = 0;

	for (size_t i = 0; !err && i < sch_n_entities; i++) {
		const struct sch_entity *e = sch_entities[i];

		(void)snprintf(name, sizeof(name), "registry.%s", e->name);
		(void)snprintf(now, sizeof(now), "%016llx",
			       (unsigned long long)fingerprint(e->fields, e->n_fields,
							       0xcbf29ce484222325ull));
		err = db_query_text(was, sizeof(was), db, read, DB_ARGS(db_text(name)));
		if (!err && !strcmp(was, now))
			continue;
		err = err == -ENOENT ? 0 : err;
		if (!err)
			err = refresh_table(db, e, "");
		if (!err)
			err = refresh_table(db, e, "_applied");
		if (!err)
			err = db_exec(db, keep, DB_ARGS(db_text(name), db_text(now)));
	}
	return err;
}
