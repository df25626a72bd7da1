/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "schema/schema_priv.h"

/* Lists with filter, order and pages (D-228), and single objects. */
#define MAX_SORTS 8
#define MAX_IN    100 /* values of one [in] filter */
#define MAX_ARGS  (DB_MAX_ARGS - 16) /* of all filters; the rest is for page, tenant and the like */

struct query {
	struct sch_ctx *ctx;
	const struct sch_entity *entity;
	struct sch_out where, order;
	struct db_arg args[DB_MAX_ARGS];
	size_t n_args;
};

static int add_arg(struct query *q, struct db_arg arg)
{
	if (q->n_args >= DB_MAX_ARGS)
		return -E2BIG;
	q->args[q->n_args++] = arg;
	return (int)q->n_args;
}

static int text_f(struct query *q, struct sch_out *out, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int text_f(struct query *q, struct sch_out *out, const char *fmt, ...)
{
	char buf[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(buf))
		return -E2BIG;
	return sch_out_mem(out, buf, (size_t)n);
}

/* The column as a person sees it: with the template's value where the row inherits. */
static void column_sql(char *buf, size_t size, const struct sch_entity *e, const struct sch_field *f)
{
	const struct sch_entity *t = sch_template_of(e);

	if (f->flags & SCH_INHERIT && t)
		(void)snprintf(buf, size,
			       "COALESCE(x.\"%s\", (SELECT t.\"%s\" FROM \"%s\" t WHERE t.id = x.\"%s\"))",
			       f->name, f->name, t->name, e->template_field);
	else
		(void)snprintf(buf, size, "x.\"%s\"", f->name);
}

/* ------------------------------------------------------------------ filters */

static const struct {
	const char *op, *sql;
} compares[] = {
	{ "=", "=" }, { "ne", "<>" }, { "lt", "<" }, { "le", "<=" }, { "gt", ">" }, { "ge", ">=" },
};

static int bad_filter(struct query *q, const char *field, const char *code, const char *it,
		      const char *en)
{
	sch_problem_add(q->ctx, field, code, "%s", SCH_TR(q->ctx, it, en));
	return -EINVAL;
}

static bool is_yes(const char *value)
{
	return !*value || !strcasecmp(value, "true") || !strcmp(value, "1");
}

static bool is_no(const char *value)
{
	return !strcasecmp(value, "false") || !strcmp(value, "0");
}

static int filter_arg(struct db_arg *arg, struct query *q, const struct sch_field *f,
		      const char *value)
{
	char *end;
	long long num;

	if (sch_is_text(f->type)) {
		*arg = db_text(value);
		return 0;
	}
	if (f->type == SCH_BOOL && (!strcasecmp(value, "true") || !strcasecmp(value, "false"))) {
		*arg = db_bool(!strcasecmp(value, "true"));
		return 0;
	}
	errno = 0;
	num = strtoll(value, &end, 10);
	if (!*value || *end || errno)
		return f->type == SCH_BOOL ?
			       bad_filter(q, f->name, "bad_type", "Il filtro ammette true o false.",
					  "The filter takes true or false.") :
			       bad_filter(q, f->name, "bad_type", "Il filtro ha bisogno di un numero.",
					  "The filter needs a number.");
	*arg = db_i64(num);
	return 0;
}

static int too_many_values(struct query *q, const char *field)
{
	sch_problem_add(q->ctx, field, "too_many",
			SCH_TR(q->ctx, "I filtri hanno troppi valori: al massimo %d per [in] e %d in tutto; dividere la richiesta.",
			       "The filters have too many values: at most %d for [in] and %d in all; divide the request."),
			MAX_IN, MAX_ARGS);
	return -EINVAL;
}

static int filter_in(struct query *q, const struct sch_field *f, const char *column,
		     const char *list)
{
	const char *comma = "";
	int n, count = 0, err = text_f(q, &q->where, " AND %s IN (", column);

	while (!err && *list) {
		size_t len = strcspn(list, ",");
		const char *value = arena_strndup(q->ctx->arena, list, len);
		struct db_arg arg;

		if (count++ == MAX_IN || q->n_args >= MAX_ARGS)
			return too_many_values(q, f->name);
		err = value ? filter_arg(&arg, q, f, value) : -ENOMEM;
		if (err)
			break;
		n = add_arg(q, arg);
		err = n < 0 ? n : text_f(q, &q->where, "%s$%d", comma, n);
		comma = ", ";
		list += len + (list[len] == ',');
	}
	if (!err && !count)
		err = sch_out_text(&q->where, "NULL");
	return err ? err : sch_out_text(&q->where, ")");
}

char *sch_like_part(struct arena *arena, const char *value)
{
	size_t n = strlen(value);
	char *buf = arena_zalloc(arena, 2 * n + 3), *p = buf;

	if (!buf)
		return NULL;
	*p++ = '%';
	for (size_t i = 0; i < n; i++) {
		if (value[i] == '%' || value[i] == '_' || value[i] == '\\')
			*p++ = '\\';
		*p++ = value[i];
	}
	*p++ = '%';
	return buf;
}

static int filter_like(struct query *q, const char *expression, const char *value)
{
	char *part = sch_like_part(q->ctx->arena, value);
	int n = part ? add_arg(q, db_text(part)) : -ENOMEM;

	return n < 0 ? n :
		       text_f(q, &q->where, " AND %s LIKE $%d ESCAPE '\\'", expression, n);
}

static int add_filter(struct query *q, const char *name, const char *op, const char *value)
{
	static const struct sch_field id = { .name = "id", .type = SCH_INT };
	const struct sch_field *f = sch_field_find(q->entity->fields, q->entity->n_fields, name);
	char column[300], lowered[340];
	struct db_arg arg;
	int n, err;

	if (!f && !strcmp(name, "id"))
		f = &id;
	if (!f || f->flags & (SCH_HIDDEN | SCH_VIRTUAL) || f->back || sch_is_secret(f->type))
		return bad_filter(q, name, "unknown_field",
				  "Non si può filtrare per questo campo: i campi sono in /api/pbx/v2/schema.",
				  "This field cannot be filtered by: /api/pbx/v2/schema lists the fields.");
	if (q->n_args >= MAX_ARGS)
		return too_many_values(q, name);
	column_sql(column, sizeof(column), q->entity, f);
	if (!strcmp(op, "null") && !is_yes(value) && !is_no(value))
		return bad_filter(q, f->name, "bad_type", "Il filtro [null] ammette true o false.",
				  "The filter [null] takes true or false.");
	if (!strcmp(op, "null"))
		return text_f(q, &q->where, " AND %s IS %sNULL", column, is_no(value) ? "NOT " : "");
	if (sch_is_json(f->type))
		return bad_filter(q, name, "bad_filter", "Per questo campo esiste solo il filtro null.",
				  "This field has only the filter null.");
	if (!strcmp(op, "in"))
		return filter_in(q, f, column, value);
	if (!strcmp(op, "~") && sch_is_text(f->type)) {
		char *low = arena_strdup(q->ctx->arena, value);

		for (char *p = low; p && *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p | 0x20);
		(void)snprintf(lowered, sizeof(lowered), "lower(%s)", column);
		return low ? filter_like(q, lowered, low) : -ENOMEM;
	}
	for (size_t i = 0; i < sizeof(compares) / sizeof(compares[0]); i++) {
		if (strcmp(compares[i].op, op))
			continue;
		err = filter_arg(&arg, q, f, value);
		if (err)
			return err;
		n = add_arg(q, arg);
		return n < 0 ? n : text_f(q, &q->where, " AND %s %s $%d", column, compares[i].sql, n);
	}
	return bad_filter(q, name, "bad_filter", "Questo operatore non vale per questo campo.",
			  "This operator does not fit this field.");
}

static int add_search(struct query *q, const char *text)
{
	char folded[256];

	sch_fold(folded, sizeof(folded), text);
	return filter_like(q, "x.search_key", folded);
}

/* Guarded rows are those of another permission (D-042). */
static int add_guard(struct query *q)
{
	const struct sch_entity *e = q->entity;
	int plain, guarded;

	if (!q->ctx->levels || q->ctx->system || !e->guard_field)
		return 0;
	plain = sch_permission_index(e->permission);
	guarded = sch_permission_index(e->guard_permission);
	if (plain >= 0 && q->ctx->levels[plain] == SCH_LEVEL_NONE) {
		int err = text_f(q, &q->where, " AND x.\"%s\" = 1", e->guard_field);

		if (err)
			return err;
	}
	if (guarded >= 0 && q->ctx->levels[guarded] == SCH_LEVEL_NONE)
		return text_f(q, &q->where, " AND x.\"%s\" = 0", e->guard_field);
	return 0;
}

/* ------------------------------------------------------------------ order */

static int add_sort(struct query *q, const char *name, bool down)
{
	const struct sch_field *f = sch_field_find(q->entity->fields, q->entity->n_fields, name);
	const struct sch_entity *target;
	const char *dir = down ? " DESC" : "";
	char column[300];

	if (!strcmp(name, "id"))
		return text_f(q, &q->order, "x.id%s, ", dir);
	if (!f || !sch_stored(f) || f->flags & SCH_HIDDEN || sch_is_secret(f->type) ||
	    sch_is_json(f->type))
		return bad_filter(q, *name ? name : "sort", "unknown_field",
				  "Non si può ordinare per questo campo: i campi sono in /api/pbx/v2/schema.",
				  "This field cannot be sorted by: /api/pbx/v2/schema lists the fields.");
	column_sql(column, sizeof(column), q->entity, f);
	if (f->type == SCH_DIGITS)
		return text_f(q, &q->order, "length(%s)%s, %s%s, ", column, dir, column, dir);
	if (q->entity->title_field && !strcmp(name, q->entity->title_field))
		return text_f(q, &q->order, "x.sort_key%s, ", dir);
	target = f->type == SCH_REF ? sch_find(f->ref) : NULL;
	if (target)
		return text_f(q, &q->order, "(SELECT r.sort_key FROM \"%s\" r WHERE r.id = %s)%s, ",
			      target->name, column, dir);
	return text_f(q, &q->order, sch_is_text(f->type) ? "lower(%s)%s, " : "%s%s, ", column, dir);
}

static int add_order(struct query *q, const char *sort)
{
	const struct sch_field *title =
		q->entity->title_field ? sch_field_find(q->entity->fields, q->entity->n_fields,
							q->entity->title_field) :
					 NULL;
	char name[64];
	int err = 0, count = 0;

	while (!err && sort && *sort && count++ < MAX_SORTS) {
		size_t len = strcspn(sort, ",");
		bool down = *sort == '-';

		(void)snprintf(name, sizeof(name), "%.*s", (int)(len - down), sort + down);
		err = add_sort(q, name, down);
		sort += len + (sort[len] == ',');
	}
	if (!err && !count && title) /* numbers by value, names by letters (D-370) */
		err = title->type == SCH_DIGITS ?
			      text_f(q, &q->order, "length(x.\"%s\"), x.sort_key, ", title->name) :
			      text_f(q, &q->order, "x.sort_key, ");
	return err ? err : sch_out_text(&q->order, "x.id");
}

/* ------------------------------------------------------------------ the list */

static int build(struct query *q, const struct sch_query *query)
{
	int err, n = add_arg(q, db_i64(sch_scope_id(q->ctx, q->entity)));

	err = text_f(q, &q->where, " FROM \"%s\" x WHERE x.tenant_id = $%d", q->entity->name, n);
	if (!err && query->q && *query->q)
		err = add_search(q, query->q);
	for (size_t i = 0; i < query->n_filters; i++) {
		int e = add_filter(q, query->filters[i].field, query->filters[i].op,
				   query->filters[i].value);

		err = err ? err : e;
	}
	if (!err)
		err = add_guard(q);
	if (!err)
		err = add_order(q, query->sort);
	return err ? err : q->ctx->n_problems ? -EINVAL : 0;
}

static int count_rows(int64_t *total, struct query *q)
{
	struct sch_out sql = { 0 };
	int err = sch_out_text(&sql, "SELECT COUNT(*)");

	if (!err)
		err = sch_out_mem(&sql, q->where.text, q->where.len);
	if (!err)
		err = db_query_i64(total, q->ctx->db, sql.text, q->args, q->n_args);
	sch_out_free(&sql);
	return err;
}

static int run(struct query *q, struct sch_plan *plan, const struct sch_query *query,
	       struct sch_out *out, int64_t *n_rows)
{
	struct sch_out sql = { 0 };
	struct db_rows *rows = NULL;
	int n = 0, err = sch_out_text(&sql, "SELECT ");

	if (!err)
		err = sch_plan_columns(plan, &sql);
	if (!err)
		err = sch_out_mem(&sql, q->where.text, q->where.len);
	if (!err)
		err = sch_out_text(&sql, " ORDER BY ");
	if (!err)
		err = sch_out_mem(&sql, q->order.text, q->order.len);
	if (!err && query->page_size > 0) {
		int limit = add_arg(q, db_i64(query->page_size));
		int page = query->page > 1 ? query->page - 1 : 0;
		int offset = add_arg(q, db_i64((int64_t)page * query->page_size));

		err = limit < 0 || offset < 0 ?
			      -E2BIG :
			      text_f(q, &sql, " LIMIT $%d OFFSET $%d", limit, offset);
	}
	if (!err)
		err = db_query(&rows, q->ctx->db, sql.text, q->args, q->n_args);
	if (!err)
		err = sch_out_mem(out, "[", 1);
	for (*n_rows = 0; !err && (n = db_next(rows)) > 0; ++*n_rows) {
		if (*n_rows)
			err = sch_out_mem(out, ",", 1);
		if (!err)
			err = sch_plan_print(plan, out, rows);
	}
	if (!err)
		err = n < 0 ? n : sch_out_mem(out, "]", 1);
	db_rows_close(rows);
	sch_out_free(&sql);
	return err;
}

int sch_list(struct sch_ctx *ctx, const struct sch_entity *entity, const struct sch_query *query,
	     struct sch_out *out, int64_t *total)
{
	struct query q = { .ctx = ctx, .entity = entity };
	struct sch_plan *plan = NULL;
	int64_t n_rows = 0;
	size_t n_args;
	int err = build(&q, query);

	if (!err)
		err = sch_plan_alloc(&plan, ctx, entity, query->fields);
	n_args = q.n_args;
	if (!err)
		err = run(&q, plan, query, out, &n_rows);
	q.n_args = n_args;
	/* A first page that is not full says itself how many rows there are. */
	if (!err && total && (query->page_size <= 0 || (query->page <= 1 && n_rows < query->page_size)))
		*total = n_rows;
	else if (!err && total)
		err = count_rows(total, &q);
	sch_plan_free(plan);
	sch_out_free(&q.where);
	sch_out_free(&q.order);
	return err;
}

/* ------------------------------------------------------------------ one object */

static int check_readable(struct sch_ctx *ctx, const struct sch_entity *e, const json_t *row)
{
	int index;

	if (!ctx->levels || ctx->system || !e->guard_field)
		return 0;
	index = sch_permission_index(json_is_true(json_object_get(row, e->guard_field)) ?
					     e->guard_permission :
					     e->permission);
	if (index < 0 || ctx->levels[index] == SCH_LEVEL_NONE)
		return -ENOENT;
	return ctx->levels[index] < SCH_LEVEL_READ ? -EFORBIDDEN : 0;
}

static int get_text(struct sch_out *out, struct sch_ctx *ctx, const struct sch_entity *entity,
		    int64_t id)
{
	struct sch_plan *plan = NULL;
	struct sch_out sql = { 0 };
	struct db_rows *rows = NULL;
	int n, err;

	err = sch_plan_alloc(&plan, ctx, entity, NULL);
	if (!err)
		err = sch_out_text(&sql, "SELECT ");
	if (!err)
		err = sch_plan_columns(plan, &sql);
	if (!err)
		err = sch_out_text(&sql, " FROM \"");
	if (!err)
		err = sch_out_text(&sql, entity->name);
	if (!err)
		err = sch_out_text(&sql, entity->singleton ?
						 "\" x WHERE x.tenant_id = $1 AND (x.id = $2 OR $2 = 0)" :
						 "\" x WHERE x.tenant_id = $1 AND x.id = $2");
	if (!err)
		err = db_query(&rows, ctx->db, sql.text,
			       DB_ARGS(db_i64(sch_scope_id(ctx, entity)), db_i64(id)));
	if (!err) {
		n = db_next(rows);
		err = n > 0 ? sch_plan_print(plan, out, rows) : n < 0 ? n : -ENOENT;
	}
	db_rows_close(rows);
	sch_out_free(&sql);
	sch_plan_free(plan);
	return err;
}

int sch_get(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t id, json_t **ret)
{
	struct sch_out out = { 0 };
	json_t *row = NULL;
	int err = get_text(&out, ctx, entity, id);

	if (!err) {
		row = json_loadb(out.text, out.len, 0, NULL);
		err = row ? check_readable(ctx, entity, row) : -ECORRUPT;
	}
	sch_out_free(&out);
	if (err)
		json_decref(row);
	else
		*ret = row;
	return err;
}

static int resolve_natural(struct sch_ctx *ctx, const struct sch_entity *e, const char *key,
			   int64_t *ret)
{
	char sql[200];

	(void)snprintf(sql, sizeof(sql), "SELECT id FROM \"%s\" WHERE \"%s\" = $1 AND tenant_id = $2",
		       e->name, e->natural_key);
	return db_query_i64(ret, ctx->db, sql,
			    DB_ARGS(db_text(key), db_i64(sch_scope_id(ctx, e))));
}

int sch_resolve_id(struct sch_ctx *ctx, const struct sch_entity *entity, const char *key,
		   int64_t *ret)
{
	int64_t id;
	char *end;
	int err;

	errno = 0;
	id = strtoll(key, &end, 10);
	if (key[0] < '0' || key[0] > '9' || *end || errno)
		return -ENOENT;
	err = sch_exists(ctx, entity, id);
	if (!err)
		*ret = id;
	return err;
}

/* No id where nothing has that natural key: extension 107 that is not there must not become the one
 * with id 107. */
int sch_resolve(struct sch_ctx *ctx, const struct sch_entity *entity, const char *key, int64_t *ret)
{
	return entity->natural_key ? resolve_natural(ctx, entity, key, ret) :
				     sch_resolve_id(ctx, entity, key, ret);
}
