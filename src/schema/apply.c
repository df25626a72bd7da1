/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "schema/schema_priv.h"

/*
 * Saved to applied and back (BASE-80). A row carries the saved revision that wrote it, so what
 * changed since the last apply is a range of an index; what was deleted is in sch_deleted. The
 * work is a few set statements per entity, whatever the number of rows.
 */
static int column_list(struct sch_out *out, const struct sch_entity *e)
{
	int err = sch_out_text(out, SCH_FIXED_COLUMNS);

	for (size_t i = 0; !err && i < e->n_fields; i++) {
		if (!sch_stored(&e->fields[i]))
			continue;
		err = sch_out_text(out, ", \"");
		if (!err)
			err = sch_out_text(out, e->fields[i].name);
		if (!err)
			err = sch_out_mem(out, "\"", 1);
	}
	return err;
}

static bool in_scope(const struct sch_entity *e, int64_t scope)
{
	return e->scope == SCH_PBX_OR_TENANT || (e->scope == SCH_PBX) == (scope == 0);
}

static int copy_columns(struct db *db, const struct sch_entity *e, const char *into,
			const char *from, const char *where, const struct db_arg *args, size_t n)
{
	struct sch_out sql = { 0 };
	char part[300];
	int err;

	(void)snprintf(part, sizeof(part), "INSERT INTO \"%s%s\" (", e->name, into);
	err = sch_out_text(&sql, part);
	if (!err)
		err = column_list(&sql, e);
	if (!err)
		err = sch_out_text(&sql, ") SELECT ");
	if (!err)
		err = column_list(&sql, e);
	(void)snprintf(part, sizeof(part), " FROM \"%s%s\" WHERE %s", e->name, from, where);
	if (!err)
		err = sch_out_text(&sql, part);
	if (!err)
		err = db_exec(db, sql.text, args, n);
	sch_out_free(&sql);
	return err;
}

static int entity_changed(int64_t *ret, struct db *db, const struct sch_entity *e, int64_t scope,
			  int64_t applied)
{
	char sql[300];

	(void)snprintf(sql, sizeof(sql),
		       "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM \"%s\" WHERE tenant_id = $1"
		       " AND revision > $2 LIMIT 1) c) + (SELECT COUNT(*) FROM sch_deleted"
		       " WHERE tenant_id = $1 AND entity = $3)",
		       e->name);
	return db_query_i64(ret, db, sql,
			    DB_ARGS(db_i64(scope), db_i64(applied), db_text(e->name)));
}

static int apply_entity(struct db *db, const struct sch_entity *e, int64_t scope, int64_t applied)
{
	const struct db_arg args[] = { db_i64(scope), db_i64(applied), db_text(e->name) };
	int64_t changed;
	char sql[500];
	int err = entity_changed(&changed, db, e, scope, applied);

	if (err || !changed)
		return err;
	(void)snprintf(sql, sizeof(sql),
		       "DELETE FROM \"%s_applied\" WHERE id IN (SELECT id FROM \"%s\""
		       " WHERE tenant_id = $1 AND revision > $2 UNION ALL SELECT id FROM sch_deleted"
		       " WHERE tenant_id = $1 AND entity = $3)",
		       e->name, e->name);
	err = db_exec(db, sql, args, 3);
	return err ? err :
		     copy_columns(db, e, "_applied", "", "tenant_id = $1 AND revision > $2", args, 2);
}

static int mark_applied(struct db *db, int64_t scope, int64_t *revision)
{
	int err = db_exec(db, "DELETE FROM sch_deleted WHERE tenant_id = $1",
			  DB_ARGS(db_i64(scope)));

	return err ? err :
		     db_query_i64(revision, db,
				  "UPDATE configuration_revision SET applied = saved, applied_at = $2"
				  " WHERE tenant_id = $1 RETURNING applied",
				  DB_ARGS(db_i64(scope), db_i64(clk_wall_us())));
}

static int lock(struct db *db, int64_t scope)
{
	return db_exec(db,
		       "INSERT INTO configuration_revision (tenant_id, saved, applied)"
		       " VALUES ($1, 0, 0) ON CONFLICT (tenant_id) DO UPDATE"
		       " SET saved = configuration_revision.saved",
		       DB_ARGS(db_i64(scope)));
}

int sch_revisions(struct db *db, int64_t tenant_id, int64_t *saved, int64_t *applied)
{
	struct db_rows *rows = NULL;
	int n, err;

	err = db_query(&rows, db,
		       "SELECT saved, applied FROM configuration_revision WHERE tenant_id = $1",
		       DB_ARGS(db_i64(tenant_id)));
	if (err)
		return err;
	n = db_next(rows);
	*saved = n > 0 ? db_col_i64(rows, 0) : 0;
	*applied = n > 0 ? db_col_i64(rows, 1) : 0;
	db_rows_close(rows);
	return n < 0 ? n : 0;
}

int sch_apply(struct db *db, int64_t tenant_id, int64_t *ret_revision)
{
	int64_t saved, applied, revision = 0;
	int err = db_begin(db);

	if (err)
		return err;
	err = lock(db, tenant_id);
	if (!err)
		err = sch_revisions(db, tenant_id, &saved, &applied);
	for (size_t i = 0; !err && i < sch_n_entities; i++)
		if (in_scope(sch_entities[i], tenant_id))
			err = apply_entity(db, sch_entities[i], tenant_id, applied);
	if (!err)
		err = mark_applied(db, tenant_id, &revision);
	if (!err)
		err = db_commit(db);
	if (err)
		db_rollback(db);
	else if (ret_revision)
		*ret_revision = revision;
	return err;
}

/* ------------------------------------------------------------------ discard */

static int discard_entity(struct sch_ctx *ctx, const struct sch_entity *e, int64_t scope,
			  int64_t applied)
{
	const struct db_arg args[] = { db_i64(scope), db_i64(applied), db_text(e->name) };
	struct db_rows *rows = NULL;
	int64_t changed;
	char sql[500];
	int n, err = entity_changed(&changed, ctx->db, e, scope, applied);

	if (err || !changed)
		return err;
	(void)snprintf(sql, sizeof(sql),
		       "DELETE FROM \"%s\" WHERE tenant_id = $1 AND revision > $2", e->name);
	err = db_exec(ctx->db, sql, args, 2);
	(void)snprintf(sql, sizeof(sql),
		       "tenant_id = $1 AND NOT EXISTS (SELECT 1 FROM \"%s\" s"
		       " WHERE s.id = \"%s_applied\".id)",
		       e->name, e->name);
	if (!err)
		err = copy_columns(ctx->db, e, "", "_applied", sql, args, 1);
	if (!err)
		err = db_exec(ctx->db, "DELETE FROM sch_reference WHERE entity = $1 AND tenant_id = $2",
			      DB_ARGS(db_text(e->name), db_i64(scope)));
	(void)snprintf(sql, sizeof(sql), "SELECT id FROM \"%s\" WHERE tenant_id = $1", e->name);
	if (!err)
		err = db_query(&rows, ctx->db, sql, args, 1);
	while (!err && (n = db_next(rows)) > 0) {
		json_t *own = NULL;

		err = sch_own_load(&own, NULL, ctx->db, e, scope, db_col_i64(rows, 0));
		if (!err)
			err = sch_refs_store(ctx, e, scope, db_col_i64(rows, 0), own);
		json_decref(own);
	}
	db_rows_close(rows);
	return err;
}

/* The saved revision goes on rising: a number never names two states. */
int sch_discard(struct sch_ctx *ctx)
{
	int64_t saved, applied, next;
	int err = db_begin(ctx->db);

	if (err)
		return err;
	err = lock(ctx->db, ctx->tenant_id);
	if (!err)
		err = sch_revisions(ctx->db, ctx->tenant_id, &saved, &applied);
	for (size_t i = 0; !err && i < sch_n_entities; i++)
		if (in_scope(sch_entities[i], ctx->tenant_id))
			err = discard_entity(ctx, sch_entities[i], ctx->tenant_id, applied);
	if (!err)
		err = sch_revision_next(&next, ctx->db, ctx->tenant_id);
	if (!err)
		err = mark_applied(ctx->db, ctx->tenant_id, &next);
	if (!err)
		err = db_commit(ctx->db);
	if (err)
		db_rollback(ctx->db);
	return err;
}

/* ------------------------------------------------------------------ pending */

#define MAX_PENDING 1000

static int add_pending(json_t *list, const struct sch_entity *e, struct db_rows *rows)
{
	char iso[32];
	json_t *item;

	item = json_pack("{s:s, s:I, s:s?, s:s, s:s?, s:s?}", "entity", e->name, "id",
			 (json_int_t)db_col_i64(rows, 0), "title", db_col_text(rows, 1), "action",
			 db_col_text(rows, 2), "user", db_col_text(rows, 3), "at",
			 db_is_null(rows, 4) ? NULL :
					       clk_iso(iso, sizeof(iso), db_col_i64(rows, 4)));
	return item && !json_array_append_new(list, item) ? 0 : -ENOMEM;
}

/* Title and author come from the last audit row of the object: a deleted one has no other. */
static int pending_entity(json_t *list, struct sch_ctx *ctx, const struct sch_entity *e,
			  int64_t applied)
{
	struct db_rows *rows = NULL;
	char sql[1200];
	int n = 0, err;

	(void)snprintf(sql, sizeof(sql),
		       "SELECT p.id, l.description, p.action, l.username, l.at FROM ("
		       " SELECT s.id AS id, CASE WHEN a.id IS NULL THEN 'created' ELSE 'modified' END"
		       " AS action FROM \"%s\" s LEFT JOIN \"%s_applied\" a ON a.id = s.id"
		       " WHERE s.tenant_id = $1 AND s.revision > $2"
		       " UNION ALL SELECT d.id, 'deleted' FROM sch_deleted d JOIN \"%s_applied\" a"
		       " ON a.id = d.id WHERE d.tenant_id = $1 AND d.entity = $3) p"
		       " LEFT JOIN audit_log l ON l.id = (SELECT MAX(m.id) FROM audit_log m"
		       " WHERE m.entity = $3 AND m.object_id = p.id) ORDER BY l.id LIMIT $4",
		       e->name, e->name, e->name);
	err = db_query(&rows, ctx->db, sql,
		       DB_ARGS(db_i64(ctx->tenant_id), db_i64(applied), db_text(e->name),
			       db_i64(MAX_PENDING)));
	while (!err && (n = db_next(rows)) > 0)
		err = add_pending(list, e, rows);
	db_rows_close(rows);
	return err ? err : n < 0 ? n : 0;
}

int sch_pending(struct sch_ctx *ctx, json_t **ret)
{
	json_t *list = json_array();
	int64_t saved, applied;
	int err = list ? sch_revisions(ctx->db, ctx->tenant_id, &saved, &applied) : -ENOMEM;

	for (size_t i = 0; !err && saved > applied && i < sch_n_entities; i++)
		if (in_scope(sch_entities[i], ctx->tenant_id))
			err = pending_entity(list, ctx, sch_entities[i], applied);
	if (err)
		json_decref(list);
	else
		*ret = list;
	return err;
}
