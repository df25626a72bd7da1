/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "schema/schema_priv.h"

/* Problems beyond SCH_MAX_PROBLEMS are not kept: who reads 32 errors repairs those first. */
void sch_problem_add(struct sch_ctx *ctx, const char *field, const char *code, const char *fmt, ...)
{
	struct sch_problem *p;
	va_list ap;

	if (ctx->n_problems >= SCH_MAX_PROBLEMS)
		return;
	p = &ctx->problems[ctx->n_problems];
	p->field = arena_strdup(ctx->arena, field ? field : "");
	if (!p->field)
		p->field = "";
	p->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(p->message, sizeof(p->message), fmt, ap);
	va_end(ap);
	ctx->n_problems++;
}

const char *sch_path(struct sch_ctx *ctx, const char *outer, const char *inner)
{
	const char *path = arena_printf(ctx->arena, "%s.%s", outer, inner);

	return path ? path : outer;
}

int64_t sch_row_id(const json_t *row)
{
	return json_integer_value(json_object_get(row, "id"));
}

enum sch_level sch_role_level(const json_t *role, const char *key)
{
	const char *level =
		json_string_value(json_object_get(json_object_get(role, "permissions"), key));

	for (int i = SCH_LEVEL_LIST; level && i <= SCH_LEVEL_WRITE; i++)
		if (!strcmp(level, sch_level_name((enum sch_level)i)))
			return (enum sch_level)i;
	return SCH_LEVEL_NONE;
}

void sch_ctx_inner(struct sch_ctx *inner, const struct sch_ctx *ctx)
{
	memset(inner, 0, sizeof(*inner));
	inner->db = ctx->db;
	inner->tenant_id = ctx->tenant_id;
	inner->user_id = ctx->user_id;
	inner->user_name = ctx->user_name;
	inner->address = ctx->address;
	inner->lang = ctx->lang;
	inner->force = ctx->force;
	inner->system = true;
	inner->arena = ctx->arena;
	inner->depth = ctx->depth;
	inner->batch_scope = ctx->batch_scope;
	inner->batch_revision = ctx->batch_revision;
	memcpy(inner->transaction, ctx->transaction, sizeof(inner->transaction));
}

static const char *renamed(struct sch_ctx *ctx, const char *field, const char *prefix,
			   const char *const *renames)
{
	for (; renames && renames[0]; renames += 2)
		if (!strcmp(renames[0], field))
			return renames[1];
	return prefix ? sch_path(ctx, prefix, field) : field;
}

void sch_ctx_join(struct sch_ctx *ctx, struct sch_ctx *inner, const char *prefix,
		  const char *const *renames)
{
	for (size_t i = 0; i < inner->n_problems; i++)
		sch_problem_add(ctx, renamed(ctx, inner->problems[i].field, prefix, renames),
				inner->problems[i].code, "%s", inner->problems[i].message);
	inner->n_problems = 0;
	ctx->batch_wrote = ctx->batch_wrote || inner->batch_wrote;
	json_decref(inner->generated);
	inner->generated = NULL;
	json_decref(inner->reset);
	inner->reset = NULL;
}
