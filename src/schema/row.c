/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/json.h"
#include "base/seal.h"
#include "schema/schema_priv.h"

/*
 * Rows to JSON. Lists are printed straight from the columns: a tree per row would cost ten times
 * as much. What a row inherits is copied from a text that was rendered once per template; fields
 * that lie side by side in it are copied in one piece.
 */
#define PLAN_TEMPLATES 16 /* texts kept per call; more templates than that are rendered again */

struct tmpl {
	int64_t id, revision;
	struct sch_out text;                      /* `"nat":false,"srtp":"off",` */
	uint32_t from[SCH_MAX_FIELDS], to[SCH_MAX_FIELDS]; /* of each field in it; empty: not there */
};

struct sch_plan {
	struct sch_ctx *ctx;
	const struct sch_entity *entity, *template_entity;
	bool shown[SCH_MAX_FIELDS];
	int column[SCH_MAX_FIELDS]; /* of the query; -1: not asked for */
	char *key[SCH_MAX_FIELDS];  /* `"name":` */
	size_t key_len[SCH_MAX_FIELDS];
	int template_column;
	bool has_overrides;
	bool whole; /* every field, no secret: rows are copied from their ready text */
	int rest_column;
	struct tmpl tmpl[PLAN_TEMPLATES];
	size_t n_tmpl, next_tmpl;
};

int64_t sch_scope_id(const struct sch_ctx *ctx, const struct sch_entity *entity)
{
	return entity->scope == SCH_PBX ? 0 : ctx->tenant_id;
}

static bool named(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = list; p; p = strchr(p, ','), p = p ? p + 1 : NULL)
		if (!strncmp(p, name, n) && (p[n] == ',' || !p[n]))
			return true;
	return false;
}

static int unknown_in_list(struct sch_ctx *ctx, const struct sch_entity *e, const char *list)
{
	char name[64];

	for (const char *p = list; p && *p;) {
		size_t n = strcspn(p, ",");

		if (n >= sizeof(name))
			n = sizeof(name) - 1;
		memcpy(name, p, n);
		name[n] = '\0';
		if (n && strcmp(name, "id") && strcmp(name, "revision") && strcmp(name, "overrides") &&
		    !sch_field_find(e->fields, e->n_fields, name))
			sch_problem_add(ctx, "fields", "unknown_field",
					SCH_TR(ctx, "Il campo \"%.40s\" non esiste: controllare il nome.",
					       "There is no field \"%.40s\": check the name."),
					name);
		p += strcspn(p, ",");
		p += *p == ',';
	}
	return ctx->n_problems ? -EINVAL : 0;
}

static bool printable(const struct sch_ctx *ctx, const struct sch_field *f)
{
	if (f->flags & SCH_HIDDEN || f->type == SCH_VERIFIER)
		return false;
	if (f->type == SCH_SECRET)
		return ctx->reveal_secrets;
	return sch_stored(f) || f->back;
}

int sch_plan_alloc(struct sch_plan **ret, struct sch_ctx *ctx, const struct sch_entity *entity,
		   const char *fields)
{
	struct sch_plan *plan;
	int col = 2;

	if (fields && unknown_in_list(ctx, entity, fields))
		return -EINVAL;
	plan = calloc(1, sizeof(*plan));
	if (!plan)
		return -ENOMEM;
	plan->ctx = ctx;
	plan->entity = entity;
	plan->template_entity = sch_template_of(entity);
	plan->whole = !fields && !ctx->reveal_secrets;
	if (plan->whole) {
		plan->rest_column = col;
		col += 2;
	}
	plan->has_overrides = plan->template_entity && (!fields || named(fields, "overrides"));
	for (size_t i = 0; i < entity->n_fields; i++) {
		const struct sch_field *f = &entity->fields[i];
		bool is_template = plan->template_entity && !strcmp(f->name, entity->template_field);
		bool wanted = !fields || named(fields, f->name);

		plan->shown[i] = printable(ctx, f) && wanted;
		plan->column[i] = -1;
		if (plan->whole ? (f->back && plan->shown[i]) || is_template :
				  plan->shown[i] || is_template ||
					  (plan->has_overrides && (f->flags & SCH_INHERIT)))
			plan->column[i] = col++;
		if (is_template)
			plan->template_column = plan->column[i];
		plan->key[i] = arena_printf(ctx->arena, "\"%s\":", f->name);
		if (!plan->key[i]) {
			sch_plan_free(plan);
			return -ENOMEM;
		}
		plan->key_len[i] = strlen(plan->key[i]);
	}
	*ret = plan;
	return 0;
}

void sch_plan_free(struct sch_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->n_tmpl; i++)
		sch_out_free(&plan->tmpl[i].text);
	free(plan);
}

static int print_back_column(const struct sch_plan *plan, struct sch_out *sql,
			     const struct sch_field *f)
{
	bool pg = db_kind(plan->ctx->db) == DB_POSTGRES;
	const char *what = f->type == SCH_REF ? "MIN(b.id)" :
			   pg ? "string_agg(b.id::text, ',' ORDER BY b.id)" : "group_concat(b.id)";
	char *text = arena_printf(plan->ctx->arena,
				  ", (SELECT %s FROM \"%s\" b WHERE b.\"%s\" = x.id"
				  " AND b.tenant_id = x.tenant_id)",
				  what, f->ref, f->back);

	return text ? sch_out_text(sql, text) : -ENOMEM;
}

int sch_plan_columns(const struct sch_plan *plan, struct sch_out *sql)
{
	int err = sch_out_text(sql, plan->whole ? "x.id, x.revision, x.rest, x.rest_over" :
						  "x.id, x.revision");

	for (size_t i = 0; !err && i < plan->entity->n_fields; i++) {
		const struct sch_field *f = &plan->entity->fields[i];

		if (plan->column[i] < 0)
			continue;
		if (f->back) {
			err = print_back_column(plan, sql, f);
			continue;
		}
		err = sch_out_text(sql, ", x.\"");
		if (!err)
			err = sch_out_text(sql, f->name);
		if (!err)
			err = sch_out_mem(sql, "\"", 1);
	}
	return err;
}

static int print_secret(struct sch_out *out, const struct sch_entity *e, const struct sch_field *f,
			const char *sealed)
{
	char context[128], *clear = NULL;
	int err;

	(void)snprintf(context, sizeof(context), "%s.%s", e->name, f->name);
	err = seal_open(&clear, context, sealed);
	if (!err)
		err = sch_out_json_string(out, clear);
	if (clear)
		memset(clear, 0, strlen(clear));
	free(clear);
	return err;
}

static int print_value(struct sch_out *out, const struct sch_entity *e, const struct sch_field *f,
		       struct db_rows *rows, int col)
{
	char iso[32];

	if (db_is_null(rows, col)) {
		if (f->back && f->type == SCH_REF_LIST)
			return sch_out_mem(out, "[]", 2);
		return sch_out_mem(out, "null", 4);
	}
	switch (f->type) {
	case SCH_BOOL:
		return db_col_i64(rows, col) ? sch_out_mem(out, "true", 4) :
					       sch_out_mem(out, "false", 5);
	case SCH_INT:
	case SCH_REF:
		return sch_out_i64(out, db_col_i64(rows, col));
	case SCH_TIME:
		return sch_out_json_string(out, clk_iso(iso, sizeof(iso), db_col_i64(rows, col)));
	case SCH_REF_LIST:
		if (f->back) { /* "3,5" */
			int err = sch_out_mem(out, "[", 1);

			if (!err)
				err = sch_out_text(out, db_col_text(rows, col));
			return err ? err : sch_out_mem(out, "]", 1);
		}
		return sch_out_text(out, db_col_text(rows, col));
	case SCH_ENUM_LIST:
	case SCH_NET_LIST:
	case SCH_DEST:
	case SCH_LIST:
	case SCH_OBJECT:
		return sch_out_text(out, db_col_text(rows, col));
	case SCH_SECRET:
		return print_secret(out, e, f, db_col_text(rows, col));
	case SCH_TEXT:
	case SCH_DIGITS:
	case SCH_PHONE:
	case SCH_EMAIL:
	case SCH_HOST:
	case SCH_ENUM:
	case SCH_UUID:
	case SCH_VERIFIER:
		return sch_out_json_string(out, db_col_text(rows, col));
	}
	return -EINVAL;
}

/* ------------------------------------------------------------------ templates */

static int template_render(struct sch_plan *plan, struct tmpl *t)
{
	struct sch_out sql = { 0 };
	struct db_rows *rows = NULL;
	const struct sch_entity *e = plan->entity;
	int n, col = 1, err;

	err = sch_out_text(&sql, "SELECT x.revision");
	for (size_t i = 0; !err && i < e->n_fields; i++) {
		if (!(e->fields[i].flags & SCH_INHERIT) || !plan->shown[i])
			continue;
		err = sch_out_text(&sql, ", x.\"");
		if (!err)
			err = sch_out_text(&sql, e->fields[i].name);
		if (!err)
			err = sch_out_mem(&sql, "\"", 1);
	}
	if (!err)
		err = sch_out_text(&sql, " FROM \"");
	if (!err)
		err = sch_out_text(&sql, plan->template_entity->name);
	if (!err)
		err = sch_out_text(&sql, "\" x WHERE x.id = $1");
	if (!err)
		err = db_query(&rows, plan->ctx->db, sql.text, DB_ARGS(db_i64(t->id)));
	sch_out_free(&sql);
	if (err)
		return err;
	n = db_next(rows);
	if (n > 0)
		t->revision = db_col_i64(rows, 0);
	for (size_t i = 0; !err && n > 0 && i < e->n_fields; i++) {
		if (!(e->fields[i].flags & SCH_INHERIT) || !plan->shown[i])
			continue;
		t->from[i] = (uint32_t)t->text.len;
		err = sch_out_mem(&t->text, plan->key[i], plan->key_len[i]);
		if (!err)
			err = print_value(&t->text, e, &e->fields[i], rows, col++);
		if (!err)
			err = sch_out_mem(&t->text, ",", 1);
		t->to[i] = (uint32_t)t->text.len;
	}
	db_rows_close(rows);
	return n < 0 ? n : err;
}

static int template_find(const struct tmpl **ret, struct sch_plan *plan, int64_t id)
{
	struct tmpl *t;
	int err;

	for (size_t i = 0; i < plan->n_tmpl; i++)
		if (plan->tmpl[i].id == id) {
			*ret = &plan->tmpl[i];
			return 0;
		}
	t = &plan->tmpl[plan->next_tmpl];
	plan->next_tmpl = (plan->next_tmpl + 1) % PLAN_TEMPLATES;
	if (plan->n_tmpl < PLAN_TEMPLATES)
		plan->n_tmpl++;
	sch_out_free(&t->text);
	memset(t, 0, sizeof(*t));
	t->id = id;
	err = template_render(plan, t);
	if (!err)
		*ret = t;
	return err;
}

/* ------------------------------------------------------------------ rows */

static int print_fields(struct sch_plan *plan, struct sch_out *out, struct db_rows *rows,
			const struct tmpl *t)
{
	const struct sch_entity *e = plan->entity;
	uint32_t from = 0, to = 0; /* inherited text not copied yet */
	int err = 0;

	for (size_t i = 0; !err && i < e->n_fields; i++) {
		const struct sch_field *f = &e->fields[i];

		if (!plan->shown[i])
			continue;
		if (t && (f->flags & SCH_INHERIT) && db_is_null(rows, plan->column[i])) {
			if (t->from[i] != to) {
				err = sch_out_mem(out, t->text.text + from, to - from);
				from = t->from[i];
			}
			to = t->to[i];
			continue;
		}
		if (to > from)
			err = sch_out_mem(out, t->text.text + from, to - from);
		from = to = 0;
		if (!err)
			err = sch_out_mem(out, plan->key[i], plan->key_len[i]);
		if (!err)
			err = print_value(out, e, f, rows, plan->column[i]);
		if (!err)
			err = sch_out_mem(out, ",", 1);
	}
	if (!err && to > from)
		err = sch_out_mem(out, t->text.text + from, to - from);
	return err;
}

static int print_overrides(struct sch_plan *plan, struct sch_out *out, struct db_rows *rows)
{
	const struct sch_entity *e = plan->entity;
	const char *comma = "";
	int err = sch_out_text(out, "\"overrides\":[");

	for (size_t i = 0; !err && i < e->n_fields; i++) {
		if (!(e->fields[i].flags & SCH_INHERIT) || db_is_null(rows, plan->column[i]))
			continue;
		err = sch_out_text(out, comma);
		if (!err) /* the key without its colon */
			err = sch_out_mem(out, plan->key[i], plan->key_len[i] - 1);
		comma = ",";
	}
	return err ? err : sch_out_text(out, "],");
}

/* The template's text with the row's overrides in their places. */
static int print_merged(struct sch_plan *plan, struct sch_out *out, const struct tmpl *t,
			const char *over)
{
	const struct sch_entity *e = plan->entity;
	size_t i = 0;
	uint32_t from = 0; /* of the template's text: not copied yet */
	int err = 0;

	while (!err && over && *over) {
		size_t name = strcspn(over, "\t"), line = strcspn(over, "\n");

		while (i < e->n_fields && (strncmp(e->fields[i].name, over, name) ||
					   e->fields[i].name[name]))
			i++;
		if (i == e->n_fields || line <= name)
			return -ECORRUPT;
		err = sch_out_mem(out, t->text.text + from, t->from[i] - from);
		if (!err)
			err = sch_out_mem(out, over + name + 1, line - name - 1);
		from = t->to[i];
		over += line + (over[line] == '\n');
	}
	return err ? err : sch_out_mem(out, t->text.text + from, t->text.len - from);
}

static int print_override_names(struct sch_out *out, const char *over)
{
	const char *comma = "\"";
	int err = sch_out_text(out, "\"overrides\":[");

	while (!err && over && *over) {
		err = sch_out_text(out, comma);
		if (!err)
			err = sch_out_mem(out, over, strcspn(over, "\t"));
		if (!err)
			err = sch_out_mem(out, "\"", 1);
		comma = ",\"";
		over += strcspn(over, "\n");
		over += *over == '\n';
	}
	return err ? err : sch_out_text(out, "],");
}

static int print_whole(struct sch_plan *plan, struct sch_out *out, struct db_rows *rows,
		       const struct tmpl *t)
{
	const struct sch_entity *e = plan->entity;
	const char *over = db_col_text(rows, plan->rest_column + 1);
	const char *rest = db_col_text(rows, plan->rest_column);
	int err = rest ? sch_out_text(out, rest) : -ECORRUPT;

	if (!err && t)
		err = print_merged(plan, out, t, over);
	for (size_t i = 0; !err && i < e->n_fields; i++) {
		if (!e->fields[i].back || plan->column[i] < 0)
			continue;
		err = sch_out_mem(out, plan->key[i], plan->key_len[i]);
		if (!err)
			err = print_value(out, e, &e->fields[i], rows, plan->column[i]);
		if (!err)
			err = sch_out_mem(out, ",", 1);
	}
	return err || !t ? err : print_override_names(out, over);
}

/* The revision shown is the newer one of the row and its template: what is shown depends on both,
 * so that an ETag made of it is right. */
int sch_plan_print(struct sch_plan *plan, struct sch_out *out, struct db_rows *rows)
{
	const struct tmpl *t = NULL;
	int64_t revision = db_col_i64(rows, 1);
	int err = 0;

	if (plan->template_entity)
		err = template_find(&t, plan, db_col_i64(rows, plan->template_column));
	if (!err)
		err = sch_out_text(out, "{\"id\":");
	if (!err)
		err = sch_out_i64(out, db_col_i64(rows, 0));
	if (!err)
		err = sch_out_mem(out, ",", 1);
	if (!err && plan->whole)
		err = print_whole(plan, out, rows, t);
	else if (!err) {
		err = print_fields(plan, out, rows, t);
		if (!err && plan->has_overrides)
			err = print_overrides(plan, out, rows);
	}
	if (!err)
		err = sch_out_text(out, "\"revision\":");
	if (!err)
		err = sch_out_i64(out, t && t->revision > revision ? t->revision : revision);
	return err ? err : sch_out_mem(out, "}", 1);
}
