/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/seal.h"
#include "schema/schema_priv.h"

/*
 * One write, in one transaction: read the old row under the tenant's lock, build the complete new
 * one, check all of it, let the entity's hooks speak, store, keep references, audit.
 */
struct writing {
	struct sch_ctx *ctx;
	const struct sch_entity *entity;
	enum sch_write how;
	int64_t id, scope;
	json_t *body;              /* a copy with registry names */
	json_t *old, *old_sealed;  /* NULL on create */
	json_t *row, *sealed;      /* the new one; row also has the virtual fields of the input */
	json_t *clear;             /* new secrets in clear text, by field */
	json_t *template_row;      /* of the old template; loaded when asked for */
	const json_t *overrides;   /* of the body, or NULL */
};

/* Members of a body that are not fields. */
static const char *const body_extras[] = { "id", "revision", "overrides", "created_at",
					   "updated_at", NULL };

static bool is_override(const struct writing *w, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(w->overrides, i, item)
		if (json_is_string(item) && !strcmp(json_string_value(item), name))
			return true;
	return false;
}

static int check_overrides(struct writing *w)
{
	struct sch_ctx *ctx = w->ctx;
	size_t i;
	json_t *item;

	w->overrides = json_object_get(w->body, "overrides");
	if (!w->overrides || json_is_null(w->overrides)) {
		w->overrides = NULL;
		return 0;
	}
	if (!json_is_array(w->overrides) || !w->entity->template_field) {
		sch_problem_add(ctx, "overrides", "bad_type",
				SCH_TR(ctx, "\"overrides\" è la lista dei campi che non vengono dal template.",
				       "\"overrides\" is the list of fields that do not come from the template."));
		return -EINVAL;
	}
	json_array_foreach(w->overrides, i, item) {
		const char *name = json_string_value(item);
		const struct sch_field *f =
			name ? sch_field_find(w->entity->fields, w->entity->n_fields, name) : NULL;

		if (f && f->flags & SCH_INHERIT)
			continue;
		sch_problem_add(ctx, "overrides", "unknown_field",
				SCH_TR(ctx, "\"%.40s\" non è un campo che viene dal template.",
				       "\"%.40s\" is no field that comes from the template."),
				name ? name : "?");
		return -EINVAL;
	}
	return 0;
}

/* ------------------------------------------------------------------ values */

static const json_t *template_value(struct writing *w, const struct sch_field *f)
{
	const struct sch_entity *t = sch_template_of(w->entity);
	int64_t id = json_integer_value(json_object_get(w->old ? w->old : w->row,
							w->entity->template_field));

	if (!w->template_row && t && id)
		(void)sch_own_load(&w->template_row, NULL, w->ctx->db, t, w->scope, id);
	return json_object_get(w->template_row, f->name);
}

/* RFC 7386 inside an object field: what the patch does not name stays. New reference. */
static json_t *merged(struct writing *w, const struct sch_field *f, const json_t *given)
{
	const json_t *base = json_object_get(w->old, f->name);
	json_t *copy;

	if (!json_is_object(base) && f->flags & SCH_INHERIT)
		base = template_value(w, f);
	if (f->type != SCH_OBJECT || w->how != SCH_PATCH || !json_is_object(base) ||
	    !json_is_object(given))
		return json_incref((json_t *)given);
	copy = json_copy((json_t *)base);
	if (copy && json_object_update(copy, (json_t *)given)) {
		json_decref(copy);
		copy = NULL;
	}
	return copy;
}

static json_t *default_of(struct writing *w, const struct sch_field *f)
{
	int64_t id = 0;

	if (f->type == SCH_REF && f->def && f->def[0] == '@') {
		const struct sch_entity *target = sch_find(f->ref);

		if (target && !sch_find_title(&id, w->ctx, target, f->def + 1))
			return json_integer(id);
		return json_null();
	}
	return sch_default(f);
}

/* What a field becomes when the body does not name it. New reference. */
static json_t *unnamed(struct writing *w, const struct sch_field *f)
{
	bool keeps = w->how == SCH_PATCH || f->flags & (SCH_READONLY | SCH_IMMUTABLE | SCH_HIDDEN);

	if (w->old && keeps)
		return json_incref(json_object_get(w->old, f->name));
	if (f->flags & SCH_INHERIT)
		return json_null();
	return default_of(w, f);
}

static bool writable(const struct writing *w, const struct sch_field *f)
{
	if (w->ctx->system)
		return true;
	if (f->flags & (SCH_READONLY | SCH_HIDDEN))
		return false;
	return !(f->flags & SCH_IMMUTABLE) || !w->old;
}

static int take_value(struct writing *w, const struct sch_field *f, const json_t *given)
{
	json_t *whole = merged(w, f, given), *value = NULL;
	int err = whole ? sch_validate(&value, w->ctx, f, f->name, whole) : -ENOMEM;

	if (!err && json_is_null(value) && !(f->flags & (SCH_INHERIT | SCH_VIRTUAL))) {
		json_decref(value);
		value = default_of(w, f);
	}
	if (!err && json_object_set(w->row, f->name, value))
		err = -ENOMEM;
	json_decref(value);
	json_decref(whole);
	return err == -EINVAL ? 0 : err; /* the problem is noted; go on and find the others */
}

static int build_inherited(struct writing *w, const struct sch_field *f, const json_t *given)
{
	const json_t *old = json_object_get(w->old, f->name);

	if (w->overrides && !is_override(w, f->name))
		return json_object_set_new(w->row, f->name, json_null()) ? -ENOMEM : 0;
	if (given && !json_is_null(given))
		return take_value(w, f, given);
	if (w->overrides) { /* named as overridden, but without a value */
		if (!old || json_is_null(old))
			old = template_value(w, f);
		return json_object_set(w->row, f->name, (json_t *)(old ? old : given)) ? -ENOMEM : 0;
	}
	if (given)
		return json_object_set_new(w->row, f->name, json_null()) ? -ENOMEM : 0;
	return json_object_set_new(w->row, f->name, unnamed(w, f)) ? -ENOMEM : 0;
}

/* Secrets cannot be read back, so an absent or empty one means "as it was"; null clears it. */
static int build_secret(struct writing *w, const struct sch_field *f, const json_t *given)
{
	json_t *old = json_object_get(w->old_sealed, f->name);
	json_t *value = NULL;
	int err;

	if (!given || (json_is_string(given) && !json_string_length(given)))
		return json_object_set(w->sealed, f->name, old ? old : json_null()) ? -ENOMEM : 0;
	if (json_is_null(given))
		return json_object_set_new(w->sealed, f->name, json_null()) ? -ENOMEM : 0;
	err = sch_validate(&value, w->ctx, f, f->name, given);
	if (!err && (json_object_set(w->clear, f->name, value) ||
		     json_object_set(w->row, f->name, value)))
		err = -ENOMEM;
	json_decref(value);
	return err == -EINVAL ? 0 : err;
}

static int build_field(struct writing *w, const struct sch_field *f)
{
	const json_t *given = json_object_get(w->body, f->name);

	if (f->back && f->flags & SCH_READONLY)
		return 0;
	if (f->flags & SCH_VIRTUAL)
		return given && writable(w, f) && !json_is_null(given) ? take_value(w, f, given) : 0;
	if (!writable(w, f))
		given = NULL;
	if (sch_is_secret(f->type))
		return build_secret(w, f, given);
	if (f->flags & SCH_INHERIT)
		return build_inherited(w, f, given);
	if (given && !json_is_null(given))
		return take_value(w, f, given);
	if (given && w->how == SCH_PATCH)
		return json_object_set_new(w->row, f->name, default_of(w, f)) ? -ENOMEM : 0;
	return json_object_set_new(w->row, f->name, unnamed(w, f)) ? -ENOMEM : 0;
}

static int build_row(struct writing *w)
{
	struct sch_ctx *ctx = w->ctx;
	int err = 0;

	if (w->id && json_object_set_new(w->row, "id", json_integer(w->id)))
		return -ENOMEM;
	for (size_t i = 0; !err && i < w->entity->n_fields; i++)
		err = build_field(w, &w->entity->fields[i]);
	return err ? err : ctx->n_problems ? -EINVAL : 0;
}

/* ------------------------------------------------------------------ checks of the whole */

/* A value that was refused is not missing as well. */
static bool has_problem(const struct sch_ctx *ctx, const char *field)
{
	size_t n = strlen(field);

	for (size_t i = 0; i < ctx->n_problems; i++)
		if (!strncmp(ctx->problems[i].field, field, n) &&
		    (!ctx->problems[i].field[n] || ctx->problems[i].field[n] == '.'))
			return true;
	return false;
}

static void check_required(struct writing *w)
{
	struct sch_ctx *ctx = w->ctx;

	for (size_t i = 0; i < w->entity->n_fields; i++) {
		const struct sch_field *f = &w->entity->fields[i];

		if (!(f->flags & SCH_REQUIRED) || !sch_stored(f) || has_problem(ctx, f->name))
			continue;
		if (!json_is_null(json_object_get(w->row, f->name)) &&
		    json_object_get(w->row, f->name))
			continue;
		sch_problem_add(ctx, f->name, "required",
				SCH_TR(ctx, "Il campo \"%s\" è obbligatorio: compilarlo.",
				       "The field \"%s\" is required: fill it in."),
				SCH_TR(ctx, f->label.it, f->label.en));
	}
}

/* Looks for another row with the same value. Titles that ignore case are found by their folded key
 * and compared here, because the databases disagree on what lower case is. */
static int find_double(int64_t *ret, struct writing *w, const struct sch_field *f, const char *text,
		       const json_t *value)
{
	bool nocase = f->flags & SCH_NOCASE && w->entity->title_field &&
		      !strcmp(w->entity->title_field, f->name);
	struct db_rows *rows = NULL;
	char sql[300], key[1024];
	int n, err;

	(void)snprintf(sql, sizeof(sql), "SELECT id, \"%s\" FROM \"%s\" WHERE %s = $1 AND id <> $2%s",
		       f->name, w->entity->name,
		       nocase ? "sort_key" : arena_printf(w->ctx->arena, "\"%s\"", f->name),
		       f->flags & SCH_UNIQUE_NODE ? "" : " AND tenant_id = $3");
	if (nocase)
		sch_fold(key, sizeof(key), text);
	const struct db_arg args[] = { nocase ? db_text(key) :
				       text   ? db_text(text) :
						db_i64(json_integer_value(value)),
				       db_i64(w->id), db_i64(w->scope) };

	*ret = 0;
	err = db_query(&rows, w->ctx->db, sql, args, f->flags & SCH_UNIQUE_NODE ? 2 : 3);
	if (err)
		return err;
	while (!*ret && (n = db_next(rows)) > 0)
		if (!nocase || sch_same_nocase(db_col_text(rows, 1), text))
			*ret = db_col_i64(rows, 0);
	db_rows_close(rows);
	return 0;
}

/* node: also what is unique over all tenants, which a hook may have completed with a prefix. */
static int check_unique(struct writing *w, bool node)
{
	struct sch_ctx *ctx = w->ctx;
	int err = 0;

	for (size_t i = 0; !err && i < w->entity->n_fields; i++) {
		const struct sch_field *f = &w->entity->fields[i];
		const json_t *value = json_object_get(w->row, f->name);
		int64_t other = 0;

		if (!(f->flags & (SCH_UNIQUE | SCH_UNIQUE_NODE)) || !value || json_is_null(value))
			continue;
		if (f->flags & SCH_UNIQUE_NODE && !node)
			continue;
		if (w->old && json_equal(value, json_object_get(w->old, f->name)))
			continue;
		err = find_double(&other, w, f, json_string_value(value), value);
		if (!err && other)
			sch_problem_add(ctx, f->name, "duplicate",
					SCH_TR(ctx, "\"%s\" esiste già in %s: scegliere un altro valore.",
					       "\"%s\" exists already in %s: choose another value."),
					json_is_string(value) ? json_string_value(value) : f->name,
					SCH_TR(ctx, w->entity->label.it, w->entity->label.en));
	}
	return err;
}

/* D-042: for guarded rows another permission replaces the ordinary one. */
static int check_guard(struct sch_ctx *ctx, const struct sch_entity *e, const json_t *row)
{
	const char *key = e->permission;
	int index;

	if (!ctx->levels || ctx->system || !e->guard_field || !row)
		return 0;
	if (json_is_true(json_object_get(row, e->guard_field)))
		key = e->guard_permission;
	index = sch_permission_index(key);
	return index >= 0 && ctx->levels[index] >= SCH_LEVEL_WRITE ? 0 : -EFORBIDDEN;
}

/* Problems of one kind have an error of their own, which the web answers with 409. */
static int error_of_problems(const struct sch_ctx *ctx)
{
	bool duplicate = true, in_use = true;

	for (size_t i = 0; i < ctx->n_problems; i++) {
		duplicate = duplicate && !strcmp(ctx->problems[i].code, "duplicate");
		in_use = in_use && !strcmp(ctx->problems[i].code, "in_use");
	}
	return !ctx->n_problems ? 0 : duplicate ? -EDUPLICATE : in_use ? -EINUSE : -EINVAL;
}

/* ------------------------------------------------------------------ storing */

static int seal_secrets(struct writing *w)
{
	const char *name;
	json_t *value;
	int err = 0;

	/* A hook may have made a secret up by writing it into the row. */
	for (size_t i = 0; i < w->entity->n_fields; i++) {
		const struct sch_field *f = &w->entity->fields[i];
		json_t *made = json_object_get(w->row, f->name);

		if (sch_is_secret(f->type) && json_is_string(made) &&
		    json_object_set(w->clear, f->name, made))
			return -ENOMEM;
	}
	json_object_foreach(w->clear, name, value) {
		const struct sch_field *f =
			sch_field_find(w->entity->fields, w->entity->n_fields, name);
		char *text = NULL;

		if (!err)
			err = sch_secret_seal(&text, w->ctx->db, w->entity, f, w->scope,
					      json_string_value(value));
		if (!err && json_object_set_new(w->sealed, name, json_string(text)))
			err = -ENOMEM;
		free(text);
	}
	return err;
}

static bool unchanged(const struct writing *w)
{
	if (!w->old || json_object_size(w->clear))
		return false;
	for (size_t i = 0; i < w->entity->n_fields; i++) {
		const struct sch_field *f = &w->entity->fields[i];
		const char *name = f->name;

		if (f->flags & SCH_VIRTUAL && json_object_get(w->row, name))
			return false; /* the hook decides what it means */
		if (sch_stored(f) && !sch_is_secret(f->type) &&
		    !json_equal(json_object_get(w->row, name), json_object_get(w->old, name)))
			return false;
		if (sch_is_secret(f->type) && !json_equal(json_object_get(w->sealed, name),
							  json_object_get(w->old_sealed, name)))
			return false;
	}
	return true;
}

static bool only_virtual_changed(const struct writing *w)
{
	if (!w->old || json_object_size(w->clear))
		return false;
	for (size_t i = 0; i < w->entity->n_fields; i++) {
		const struct sch_field *f = &w->entity->fields[i];
		const json_t *now = json_object_get(sch_is_secret(f->type) ? w->sealed : w->row,
						    f->name);
		const json_t *was = json_object_get(
			sch_is_secret(f->type) ? w->old_sealed : w->old, f->name);

		if (sch_stored(f) && !json_equal(now, was))
			return false;
	}
	return true;
}

/* Rows that show this one by a back reference show something else now. */
static int touch_targets(struct writing *w)
{
	int err = 0;

	for (size_t i = 0; !err && i < w->entity->n_fields; i++) {
		const struct sch_field *f = &w->entity->fields[i];
		const struct sch_entity *target = f->type == SCH_REF ? sch_find(f->ref) : NULL;
		const json_t *now = json_object_get(w->row, f->name);
		const json_t *was = json_object_get(w->old, f->name);
		bool shown = false;

		for (size_t k = 0; target && k < target->n_fields; k++)
			shown = shown || (target->fields[k].back &&
					  !strcmp(target->fields[k].ref, w->entity->name) &&
					  !strcmp(target->fields[k].back, f->name));
		if (!shown || (was && now && json_equal(now, was)))
			continue;
		if (json_integer_value(was))
			err = sch_touch(w->ctx, target, w->scope, json_integer_value(was));
		if (!err && json_integer_value(now))
			err = sch_touch(w->ctx, target, w->scope, json_integer_value(now));
	}
	return err;
}

static int store(struct writing *w)
{
	int err = seal_secrets(w);

	if (err || unchanged(w))
		return err;
	if (!only_virtual_changed(w)) {
		err = sch_own_store(&w->id, w->ctx, w->entity, w->scope, w->id, w->row, w->sealed);
		if (err)
			return err;
		if (json_object_set_new(w->row, "id", json_integer(w->id)))
			return -ENOMEM;
		err = sch_audit(w->ctx, w->entity, w->scope, w->id, w->old ? "modified" : "created",
				w->old, w->old_sealed, w->row, w->sealed);
	}
	if (!err)
		err = touch_targets(w);
	if (!err && w->entity->after_write)
		err = w->entity->after_write(w->ctx, w->id, w->row, w->old);
	return err;
}

/* ------------------------------------------------------------------ the write */

static int current_revision(int64_t *ret, struct writing *w)
{
	const json_t *t = NULL;

	*ret = json_integer_value(json_object_get(w->old, "revision"));
	if (w->entity->template_field) {
		(void)template_value(w, &w->entity->fields[0]);
		t = w->template_row;
	}
	if (json_integer_value(json_object_get(t, "revision")) > *ret)
		*ret = json_integer_value(json_object_get(t, "revision"));
	return 0;
}

static int load_old(struct writing *w, int64_t if_revision)
{
	int64_t revision;
	int err;

	err = sch_own_load(&w->old, &w->old_sealed, w->ctx->db, w->entity, w->scope, w->id);
	if (err)
		return err;
	(void)current_revision(&revision, w);
	if (if_revision && if_revision != revision)
		return -ESTALE_REV;
	return check_guard(w->ctx, w->entity, w->old);
}

static int check_body_id(struct writing *w)
{
	const json_t *id = json_object_get(w->body, "id");
	struct sch_ctx *ctx = w->ctx;

	if (!w->id || !json_is_integer(id) || json_integer_value(id) == w->id)
		return 0;
	sch_problem_add(ctx, "id", "mismatch",
			SCH_TR(ctx, "L'id del corpo non è quello dell'indirizzo: toglierlo.",
			       "The id of the body is not that of the path: remove it."));
	return -EINVAL;
}

static int prepare_body(struct writing *w)
{
	int err = 0;

	if (w->entity->before_validate)
		err = w->entity->before_validate(w->ctx, w->body);
	if (!err || err == -EINVAL)
		err = sch_rename_members(w->ctx, w->entity->fields, w->entity->n_fields, NULL,
					 w->body, body_extras);
	if (!err || err == -EINVAL)
		err = check_overrides(w);
	if (!err || err == -EINVAL)
		err = check_body_id(w);
	return err == -EINVAL ? 0 : err; /* noted */
}

static int write_locked(struct writing *w, int64_t if_revision)
{
	int err = 0;

	if (w->how != SCH_CREATE)
		err = load_old(w, if_revision);
	if (!err)
		err = prepare_body(w);
	if (!err)
		err = build_row(w);
	if (!err || err == -EINVAL) {
		bool sound;
		int e;

		check_required(w);
		sound = !w->ctx->n_problems;
		if (sound && w->entity->before_write)
			err = w->entity->before_write(w->ctx, w->row, w->old);
		e = check_unique(w, sound);
		err = e ? e : err;
	}
	if (!err)
		err = check_guard(w->ctx, w->entity, w->row);
	if (!err || err == -EINVAL)
		err = w->ctx->n_problems ? error_of_problems(w->ctx) : err;
	if (!err)
		err = store(w);
	if (!err)
		err = error_of_problems(w->ctx);
	return err;
}

static void transaction_id(struct sch_ctx *ctx)
{
	char hex[33];

	if (ctx->depth)
		return;
	seal_random_hex(hex, sizeof(hex));
	hex[12] = '4'; /* a random UUID (RFC 4122 section 4.4) */
	hex[16] = "89ab"[hex[16] & 3];
	(void)snprintf(ctx->transaction, sizeof(ctx->transaction), "%.8s-%.4s-%.4s-%.4s-%.12s", hex,
		       hex + 8, hex + 12, hex + 16, hex + 20);
}

/* Takes the tenant's lock by writing its revision first: SQLite then never has to turn a read
 * transaction into a write one, and PostgreSQL serialises the writers of one tenant. */
static int begin_locked(struct sch_ctx *ctx, int64_t scope)
{
	static const char sql[] =
		"INSERT INTO configuration_revision (tenant_id, saved, applied) VALUES ($1, 0, 0)"
		" ON CONFLICT (tenant_id) DO UPDATE SET saved = configuration_revision.saved";
	int err = db_begin(ctx->db);

	if (err)
		return err;
	transaction_id(ctx);
	ctx->depth++;
	if (!ctx->batch_revision || ctx->batch_scope != scope) /* a batch has it */
		err = db_exec(ctx->db, sql, DB_ARGS(db_i64(scope)));
	if (err) {
		ctx->depth--;
		db_rollback(ctx->db);
	}
	return err;
}

static int end_locked(struct sch_ctx *ctx, int err)
{
	ctx->depth--;
	if (!err)
		err = db_commit(ctx->db);
	if (err)
		db_rollback(ctx->db);
	return err;
}

static int singleton_id(int64_t *ret, struct sch_ctx *ctx, const struct sch_entity *e)
{
	char sql[128];

	(void)snprintf(sql, sizeof(sql), "SELECT id FROM \"%s\" WHERE tenant_id = $1", e->name);
	return db_query_i64(ret, ctx->db, sql, DB_ARGS(db_i64(sch_scope_id(ctx, e))));
}

int sch_write(struct sch_ctx *ctx, const struct sch_entity *entity, enum sch_write how, int64_t id,
	      const json_t *body, int64_t if_revision, int64_t *ret_id)
{
	struct writing w = { .ctx = ctx, .entity = entity, .how = how, .id = id,
			     .scope = sch_scope_id(ctx, entity) };
	int err;

	if (!json_is_object(body)) {
		sch_problem_add(ctx, "", "bad_type",
				SCH_TR(ctx, "Il corpo della richiesta deve essere un oggetto.",
				       "The body of the request must be an object."));
		return -EINVAL;
	}
	if (entity->scope == SCH_TENANT && !ctx->tenant_id)
		return -EFORBIDDEN;
	if (entity->singleton && how != SCH_CREATE && !id) {
		err = singleton_id(&w.id, ctx, entity);
		if (err)
			return err;
	}
	err = begin_locked(ctx, w.scope);
	if (err)
		return err;
	w.body = json_deep_copy(body);
	w.row = json_object();
	w.sealed = json_object();
	w.clear = json_object();
	if (how == SCH_CREATE)
		w.id = 0;
	err = w.body && w.row && w.sealed && w.clear ? write_locked(&w, if_revision) : -ENOMEM;
	err = end_locked(ctx, err);
	if (!err && ret_id)
		*ret_id = w.id;
	json_decref(w.body);
	json_decref(w.old);
	json_decref(w.old_sealed);
	json_decref(w.row);
	json_decref(w.sealed);
	json_decref(w.clear);
	json_decref(w.template_row);
	return err;
}

/* ------------------------------------------------------------------ deleting */

static int forget_row(struct sch_ctx *ctx, const struct sch_entity *e, int64_t scope, int64_t id)
{
	char sql[128];
	int64_t revision;
	int err;

	(void)snprintf(sql, sizeof(sql), "DELETE FROM \"%s\" WHERE id = $1 AND tenant_id = $2",
		       e->name);
	err = sch_revision_take(&revision, ctx, scope);
	if (!err)
		err = db_exec(ctx->db, sql, DB_ARGS(db_i64(id), db_i64(scope)));
	if (!err)
		err = db_exec(ctx->db, "DELETE FROM sch_reference WHERE entity = $1 AND id = $2",
			      DB_ARGS(db_text(e->name), db_i64(id)));
	if (!err)
		err = db_exec(ctx->db,
			      "INSERT INTO sch_deleted (tenant_id, entity, id) VALUES ($1, $2, $3)"
			      " ON CONFLICT DO NOTHING",
			      DB_ARGS(db_i64(scope), db_text(e->name), db_i64(id)));
	return err;
}

static int delete_locked(struct writing *w, int64_t if_revision)
{
	int err = load_old(w, if_revision);

	if (!err && w->entity->before_delete)
		err = w->entity->before_delete(w->ctx, w->id, w->old);
	if (!err)
		err = sch_refs_release(w->ctx, w->entity, w->id);
	if (!err)
		err = forget_row(w->ctx, w->entity, w->scope, w->id);
	if (!err)
		err = touch_targets(w); /* row is NULL: only the old targets */
	if (!err)
		err = sch_audit(w->ctx, w->entity, w->scope, w->id, "deleted", w->old,
				w->old_sealed, NULL, NULL);
	return err;
}

int sch_delete(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t id,
	       int64_t if_revision)
{
	struct writing w = { .ctx = ctx, .entity = entity, .how = SCH_PUT, .id = id,
			     .scope = sch_scope_id(ctx, entity) };
	int err;

	if (entity->singleton || (entity->scope == SCH_TENANT && !ctx->tenant_id))
		return -EFORBIDDEN;
	err = begin_locked(ctx, w.scope);
	if (err)
		return err;
	err = end_locked(ctx, delete_locked(&w, if_revision));
	json_decref(w.old);
	json_decref(w.old_sealed);
	json_decref(w.template_row);
	return err;
}
