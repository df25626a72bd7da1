/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/json.h"
#include "schema/schema_priv.h"

/* The audit log (PLT-01, PLT-02, D-216): one row per object, one sub-row per property. */
struct audit {
	struct sch_ctx *ctx;
	int64_t id;
	int64_t seq;
};

/* What a person reads in the log: texts bare, the rest as JSON. NULL: empty. */
static const char *shown(struct sch_ctx *ctx, const json_t *value)
{
	char *dump;
	const char *text;

	if (!value || json_is_null(value))
		return NULL;
	if (json_is_string(value))
		return json_string_value(value);
	dump = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	text = arena_strdup(ctx->arena, dump);
	free(dump);
	return text;
}

static int add_change(struct audit *a, const char *property, const char *previous,
		      const char *current)
{
	static const char sql[] = "INSERT INTO audit_change (audit_id, seq, property, previous,"
				  " current) VALUES ($1, $2, $3, $4, $5)";

	return db_exec(a->ctx->db, sql,
		       DB_ARGS(db_i64(a->id), db_i64(++a->seq), db_text(property),
			       db_text(previous), db_text(current)));
}

/* Objects are compared member by member; the depth is that of the registry's tables. */
static int compare(struct audit *a, const struct sch_field *f, const char *path, const json_t *old,
		   const json_t *now)
{
	int err = 0;

	if (json_is_null(old))
		old = NULL;
	if (json_is_null(now))
		now = NULL;
	if (old == now || (old && now && json_equal(old, now)))
		return 0;
	if (f->type != SCH_OBJECT)
		return add_change(a, path, shown(a->ctx, old), shown(a->ctx, now));
	for (size_t i = 0; !err && i < f->n_fields; i++)
		err = compare(a, &f->fields[i], sch_path(a->ctx, path, f->fields[i].name),
			      json_object_get(old, f->fields[i].name),
			      json_object_get(now, f->fields[i].name));
	return err;
}

static int compare_secret(struct audit *a, const struct sch_field *f, const json_t *old,
			  const json_t *now)
{
	const char *was = json_string_value(old), *is = json_string_value(now);

	if ((!was && !is) || (was && is && !strcmp(was, is)))
		return 0;
	return add_change(a, f->name, was ? "***" : NULL, is ? "***" : NULL);
}

int sch_audit(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t scope, int64_t id,
	      const char *action, const json_t *old, const json_t *old_sealed, const json_t *row,
	      const json_t *sealed)
{
	static const char sql[] =
		"INSERT INTO audit_log (transaction_id, tenant_id, at, user_id, username, ip_address,"
		" action, entity, object_id, object_type, description)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id";
	const json_t *any = row ? row : old;
	const char *title = entity->title_field ?
				    json_string_value(json_object_get(any, entity->title_field)) :
				    NULL;
	struct audit a = { .ctx = ctx };
	int err;

	err = db_query_i64(&a.id, ctx->db, sql,
			   DB_ARGS(db_text(ctx->transaction), db_i64(scope), db_i64(clk_wall_us()),
				   db_i64(ctx->user_id), db_text(ctx->user_name),
				   db_text(ctx->address), db_text(action), db_text(entity->name),
				   db_i64(id), db_text(entity->label_one.en),
				   db_text(title ? title : entity->label_one.en)));
	for (size_t i = 0; !err && i < entity->n_fields; i++) {
		const struct sch_field *f = &entity->fields[i];

		if (!sch_stored(f) || f->flags & SCH_HIDDEN)
			continue;
		if (sch_is_secret(f->type))
			err = compare_secret(&a, f, json_object_get(old_sealed, f->name),
					     json_object_get(sealed, f->name));
		else
			err = compare(&a, f, f->name, json_object_get(old, f->name),
				      json_object_get(row, f->name));
	}
	return err;
}
