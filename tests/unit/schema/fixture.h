/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_TESTS_SCHEMA_FIXTURE_H
#define AOIDE_TESTS_SCHEMA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/seal.h"
#include "db/db.h"
#include "schema/schema.h"
#include "testdb.h"

#define OK(call) assert_int_equal(call, 0)

/* A new node with its tenant "default", and an administrator who acts. */
static inline struct sch_ctx *fixture(struct testdb *t)
{
	struct sch_ctx *ctx = calloc(1, sizeof(*ctx));

	assert_non_null(ctx);
	OK(seal_init(t->dir));
	OK(sch_migrate(t->db));
	OK(arena_alloc(&ctx->arena, 4096));
	ctx->db = t->db;
	ctx->lang = SCH_EN;
	ctx->user_name = "admin@default";
	ctx->address = "127.0.0.1";
	OK(sch_tenant_find(&ctx->tenant_id, t->db, "default"));
	return ctx;
}

static inline void fixture_clear(struct sch_ctx *ctx)
{
	json_decref(ctx->generated);
	json_decref(ctx->reset);
	ctx->generated = ctx->reset = NULL;
	ctx->n_problems = 0;
}

static inline void fixture_free(struct sch_ctx *ctx)
{
	fixture_clear(ctx);
	arena_free(ctx->arena);
	free(ctx);
}

static inline json_t *js(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

/* Writes JSON text with ' for ". */
static inline int put(struct sch_ctx *ctx, const char *entity, enum sch_write how, int64_t id,
		      const char *body, int64_t *ret)
{
	char *text = strdup(body);
	json_t *value;
	int err;

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	value = js(text);
	free(text);
	fixture_clear(ctx);
	err = sch_write(ctx, sch_find(entity), how, id, value, 0, ret);
	json_decref(value);
	return err;
}

static inline int64_t make(struct sch_ctx *ctx, const char *entity, const char *body)
{
	int64_t id = 0;
	int err = put(ctx, entity, SCH_CREATE, 0, body, &id);

	for (size_t i = 0; err && i < ctx->n_problems; i++)
		print_error("%s: %s %s\n", ctx->problems[i].field, ctx->problems[i].code,
			    ctx->problems[i].message);
	assert_int_equal(err, 0);
	return id;
}

static inline json_t *get(struct sch_ctx *ctx, const char *entity, int64_t id)
{
	json_t *row = NULL;

	OK(sch_get(ctx, sch_find(entity), id, &row));
	return row;
}

static inline const char *str(const json_t *row, const char *name)
{
	return json_string_value(json_object_get(row, name));
}

static inline int64_t num(const json_t *row, const char *name)
{
	return json_integer_value(json_object_get(row, name));
}

static inline bool problem(const struct sch_ctx *ctx, const char *field, const char *code)
{
	for (size_t i = 0; i < ctx->n_problems; i++)
		if (!strcmp(ctx->problems[i].field, field) && !strcmp(ctx->problems[i].code, code))
			return true;
	return false;
}

#endif
