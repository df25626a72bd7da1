/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "schema/schema_priv.h"

/*
 * Who points to whom. Table sch_reference is rewritten with every row and is the one answer to "may
 * this be deleted" (D-089): memberships and templates refuse, destinations are reset to hang up,
 * links are cleared.
 */
#define MAX_USERS_SHOWN 20
#define MAX_USERS       10000 /* of one object; more than that is refused as in use */

struct refs {
	struct sch_ctx *ctx;
	const struct sch_entity *entity;
	int64_t id, scope;
};

static int add_ref(const struct refs *r, const char *path, const char *target, int64_t target_id)
{
	static const char sql[] = "INSERT INTO sch_reference (entity, id, field, target_entity,"
				  " target_id, tenant_id) VALUES ($1, $2, $3, $4, $5, $6)";

	return db_exec(r->ctx->db, sql,
		       DB_ARGS(db_text(r->entity->name), db_i64(r->id), db_text(path),
			       db_text(target), db_i64(target_id), db_i64(r->scope)));
}

static int add_dest(const struct refs *r, const char *path, const json_t *dest)
{
	const char *target = sch_dest_target(json_string_value(json_object_get(dest, "type")));
	int64_t id = json_integer_value(json_object_get(dest, "id"));
	int64_t identity = json_integer_value(json_object_get(dest, "identity"));
	int64_t class = json_integer_value(json_object_get(dest, "routing_class"));
	int err = 0;

	if (target && id)
		err = add_ref(r, path, target, id);
	if (!err && identity)
		err = add_ref(r, sch_path(r->ctx, path, "identity"), "extension", identity);
	if (!err && class)
		err = add_ref(r, sch_path(r->ctx, path, "routing_class"), "routing_class", class);
	return err;
}

/* The depth is that of the registry's tables. */
static int add_value(const struct refs *r, const struct sch_field *f, const char *path,
		     const json_t *value)
{
	json_t *item;
	size_t i;
	int err = 0;

	if (!value || json_is_null(value))
		return 0;
	if (f->type == SCH_REF)
		return add_ref(r, path, f->ref, json_integer_value(value));
	if (f->type == SCH_DEST)
		return add_dest(r, path, value);
	if (f->type == SCH_REF_LIST) {
		json_array_foreach(value, i, item)
			err = err ? err : add_ref(r, path, f->ref, json_integer_value(item));
		return err;
	}
	if (f->type == SCH_OBJECT) {
		for (i = 0; !err && i < f->n_fields; i++)
			err = add_value(r, &f->fields[i], sch_path(r->ctx, path, f->fields[i].name),
					json_object_get(value, f->fields[i].name));
		return err;
	}
	if (f->type == SCH_LIST)
		json_array_foreach(value, i, item)
			for (size_t k = 0; !err && k < f->n_fields; k++) {
				char number[24];

				(void)snprintf(number, sizeof(number), "%zu", i);
				err = add_value(r, &f->fields[k],
						sch_path(r->ctx, sch_path(r->ctx, path, number),
							 f->fields[k].name),
						json_object_get(item, f->fields[k].name));
			}
	return err;
}

int sch_refs_store(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t scope, int64_t id,
		   const json_t *own)
{
	const struct refs r = { ctx, entity, id, scope };
	int err = db_exec(ctx->db, "DELETE FROM sch_reference WHERE entity = $1 AND id = $2",
			  DB_ARGS(db_text(entity->name), db_i64(id)));

	for (size_t i = 0; !err && i < entity->n_fields; i++)
		if (sch_stored(&entity->fields[i]))
			err = add_value(&r, &entity->fields[i], entity->fields[i].name,
					json_object_get(own, entity->fields[i].name));
	return err;
}

/* ------------------------------------------------------------------ before a delete */

struct user_of { /* one row of sch_reference */
	char entity[64], field[160];
	int64_t id, scope;
};

/* Finds the field a path ends in, and in *parent the object or list that holds its value. */
static const struct sch_field *walk(const struct sch_entity *e, json_t *own, const char *path,
				    json_t **parent, char *last, size_t last_size)
{
	const struct sch_field *fields = e->fields, *f = NULL;
	size_t n = e->n_fields;
	json_t *at = own;

	while (*path) {
		size_t len = strcspn(path, ".");

		if (len >= last_size)
			return NULL;
		memcpy(last, path, len);
		last[len] = '\0';
		path += len + (path[len] == '.');
		if (json_is_array(at)) {
			at = json_array_get(at, (size_t)strtoul(last, NULL, 10));
			continue;
		}
		/* Members of a destination have no field of their own. */
		if (f && f->type == SCH_DEST) {
			*parent = at;
			return f;
		}
		f = sch_field_find(fields, n, last);
		if (!f)
			return NULL;
		*parent = at;
		at = json_object_get(at, last);
		fields = f->fields;
		n = f->n_fields;
	}
	return f;
}

static int title_of(char *buf, size_t size, const struct sch_entity *e, const json_t *own)
{
	const char *title = e->title_field ?
				    json_string_value(json_object_get(own, e->title_field)) :
				    NULL;

	return snprintf(buf, size, "%s", title ? title : "");
}

static int note_reset(struct sch_ctx *ctx, const struct sch_entity *e, const struct user_of *u,
		      const json_t *own)
{
	char title[128];

	(void)title_of(title, sizeof(title), e, own);
	if (!ctx->reset)
		ctx->reset = json_array();
	return ctx->reset && !json_array_append_new(ctx->reset,
						    json_pack("{s:s, s:I, s:s, s:s}", "entity",
							      u->entity, "id", (json_int_t)u->id,
							      "title", title, "field", u->field)) ?
		       0 :
		       -ENOMEM;
}

static void refuse(struct sch_ctx *ctx, const struct sch_entity *e, const struct sch_field *f,
		   const json_t *own)
{
	char title[128];

	(void)title_of(title, sizeof(title), e, own);
	if (ctx->n_problems < MAX_USERS_SHOWN)
		sch_problem_add(ctx, e->name, "in_use",
				SCH_TR(ctx, "Usato da: %s \"%s\" (%s). Modificarlo prima di eliminare.",
				       "Used by: %s \"%s\" (%s). Change that before deleting."),
				SCH_TR(ctx, e->label_one.it, e->label_one.en), title,
				SCH_TR(ctx, f->label.it, f->label.en));
}

static void drop_from_list(json_t *list, int64_t id)
{
	for (size_t i = json_array_size(list); i-- > 0;)
		if (json_integer_value(json_array_get(list, i)) == id)
			(void)json_array_remove(list, i);
}

/* What the reference becomes. edited: own was changed and is to be stored. */
static int release_value(bool *edited, struct sch_ctx *ctx, const struct sch_entity *e,
			 const struct sch_field *f, const struct user_of *u, json_t *own,
			 json_t *parent, const char *last, int64_t target_id)
{
	*edited = true;
	if (f->type == SCH_DEST) {
		int err = strcmp(last, f->name) ?
				  (json_object_set_new(parent, last, json_null()) ? -ENOMEM : 0) :
				  (json_object_set_new(parent, last,
						       json_pack("{s:s, s:n, s:n}", "type",
								 "hangup", "id", "value")) ?
					   -ENOMEM :
					   0);

		return err ? err : note_reset(ctx, e, u, own);
	}
	if (f->type == SCH_REF && f->on_delete == SCH_SET_NULL)
		return json_object_set_new(parent, last, json_null()) ? -ENOMEM : 0;
	if (f->type == SCH_REF_LIST && (ctx->force || f->on_delete == SCH_SET_NULL)) {
		drop_from_list(json_object_get(parent, last), target_id);
		return 0;
	}
	*edited = false;
	if (f->type != SCH_REF || f->on_delete != SCH_CASCADE)
		refuse(ctx, e, f, own);
	return 0;
}

static int delete_owner(struct sch_ctx *ctx, const struct sch_entity *e, int64_t id)
{
	struct sch_ctx inner;
	int err;

	sch_ctx_inner(&inner, ctx);
	err = sch_delete(&inner, e, id, 0);
	sch_ctx_join(ctx, &inner, NULL, NULL);
	return err == -ENOENT ? 0 : err;
}

static int release_one(struct sch_ctx *ctx, const struct user_of *u, int64_t target_id)
{
	const struct sch_entity *e = sch_find(u->entity);
	const struct sch_field *f;
	json_t *own = NULL, *sealed = NULL, *before = NULL, *parent = NULL;
	char last[64];
	bool edited = false;
	int err;

	if (!e)
		return 0;
	err = sch_own_load(&own, &sealed, ctx->db, e, u->scope, u->id);
	if (err) /* an earlier reference of the same row may have deleted it */
		return err == -ENOENT ? 0 : err;
	before = json_deep_copy(own);
	f = before ? walk(e, own, u->field, &parent, last, sizeof(last)) : NULL;
	if (!f || !parent) {
		err = before ? 0 : -ENOMEM;
		goto out;
	}
	if (f->type == SCH_REF && f->on_delete == SCH_CASCADE) {
		err = delete_owner(ctx, e, u->id);
		goto out;
	}
	err = release_value(&edited, ctx, e, f, u, own, parent, last, target_id);
	if (!err && edited)
		err = sch_own_store(NULL, ctx, e, u->scope, u->id, own, sealed);
	if (!err && edited)
		err = sch_audit(ctx, e, u->scope, u->id, "modified", before, sealed, own, sealed);

out:
	json_decref(before);
	json_decref(own);
	json_decref(sealed);
	return err;
}

static int load_users(struct user_of **ret, size_t *n, struct sch_ctx *ctx,
		      const struct sch_entity *entity, int64_t id)
{
	static const char sql[] = "SELECT entity, id, field, tenant_id FROM sch_reference"
				  " WHERE target_entity = $1 AND target_id = $2"
				  " ORDER BY entity, id, field LIMIT $3";
	struct db_rows *rows = NULL;
	struct user_of *list = NULL;
	size_t used = 0, size = 0;
	int more, err;

	err = db_query(&rows, ctx->db, sql,
		       DB_ARGS(db_text(entity->name), db_i64(id), db_i64(MAX_USERS)));
	if (err)
		return err;
	while ((more = db_next(rows)) > 0) {
		struct user_of *bigger;

		if (used == size) {
			size = size ? 2 * size : 16;
			bigger = realloc(list, size * sizeof(*list));
			if (!bigger) {
				more = -ENOMEM;
				break;
			}
			list = bigger;
		}
		(void)snprintf(list[used].entity, sizeof(list[used].entity), "%s",
			       db_col_text(rows, 0));
		list[used].id = db_col_i64(rows, 1);
		(void)snprintf(list[used].field, sizeof(list[used].field), "%s",
			       db_col_text(rows, 2));
		list[used].scope = db_col_i64(rows, 3);
		used++;
	}
	db_rows_close(rows);
	if (more < 0) {
		free(list);
		return more;
	}
	*ret = list;
	*n = used;
	return 0;
}

int sch_refs_release(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t id)
{
	struct user_of *users = NULL;
	size_t n = 0;
	int err = load_users(&users, &n, ctx, entity, id);

	for (size_t i = 0; !err && i < n; i++)
		/* What an object says of itself goes with it. */
		if (strcmp(users[i].entity, entity->name) || users[i].id != id)
			err = release_one(ctx, &users[i], id);
	free(users);
	if (!err && ctx->n_problems)
		err = -EINUSE;
	return err;
}
