/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_TESTS_FUZZ_SCHEMA_NODE_H
#define AOIDE_TESTS_FUZZ_SCHEMA_NODE_H

#include <stdio.h>
#include <stdlib.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/seal.h"
#include "db/db.h"
#include "schema/schema.h"

/* A new node in memory, made once per process: each input acts inside a transaction of its own. */
static inline struct sch_ctx *schema_node(void)
{
	static struct sch_ctx ctx;
	char dir[] = "/tmp/fuzz-schema-XXXXXX", key[64];

	if (ctx.db)
		return &ctx;
	if (!mkdtemp(dir) || seal_init(dir) || db_open(&ctx.db, ":memory:", NULL, 0) ||
	    sch_migrate(ctx.db) || sch_tenant_find(&ctx.tenant_id, ctx.db, "default"))
		abort();
	(void)snprintf(key, sizeof(key), "%s/machine.key", dir);
	(void)remove(key);
	(void)remove(dir);
	return &ctx;
}

static inline void schema_node_begin(struct sch_ctx *ctx)
{
	if (arena_alloc(&ctx->arena, 4096) || db_begin(ctx->db))
		abort();
	ctx->n_problems = 0;
}

static inline void schema_node_end(struct sch_ctx *ctx)
{
	db_rollback(ctx->db);
	arena_free(ctx->arena);
	ctx->arena = NULL;
	json_decref(ctx->generated);
	json_decref(ctx->reset);
	ctx->generated = ctx->reset = NULL;
}

#endif
