/* SPDX-License-Identifier: Apache-2.0 */
#include "app/entity.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>

int entity_ctx_alloc(struct sch_ctx **ret, struct db *db, const char *who)
{
	struct sch_ctx *ctx = calloc(1, sizeof(*ctx)); /* large, for its problems */
	int err;

	if (!ctx)
		return -ENOMEM;
	err = arena_alloc(&ctx->arena, 4096);
	if (err) {
		free(ctx);
		return err;
	}

	ctx->db = db;
	ctx->user_name = who;
	ctx->address = "";
	ctx->lang = SCH_EN;
	ctx->system = true;

	*ret = ctx;
	return 0;
}

void entity_ctx_free(struct sch_ctx *ctx)
{
	if (!ctx)
		return;

	arena_free(ctx->arena);
	free(ctx);
}

static int list(struct sch_ctx *ctx, const char *name, const struct sch_query *query, json_t **ret)
{
	const struct sch_entity *entity = sch_find(name);
	struct sch_out out = { 0 };
	int64_t total = 0;
	int err;

	if (!entity)
		return -ENOENT;

	ctx->n_problems = 0;
	err = sch_list(ctx, entity, query, &out, &total);
	if (!err)
		err = js_parse(ret, out.text, out.len, NULL, 0);
	sch_out_free(&out);

	return err;
}

int entity_list(struct sch_ctx *ctx, const char *name, json_t **ret)
{
	const struct sch_query query = { .page = 1 };

	return list(ctx, name, &query, ret);
}

int entity_find(struct sch_ctx *ctx, const char *name, const char *field, const char *value,
		int64_t *ret)
{
	struct sch_query query = { .page = 1, .page_size = 1, .n_filters = 1 };
	json_t *found = NULL;
	int err;

	query.filters[0].field = field;
	query.filters[0].op = "=";
	query.filters[0].value = value;
	err = list(ctx, name, &query, &found);
	if (err)
		return err;

	if (json_array_size(found))
		*ret = js_int(json_array_get(found, 0), "id", 0);
	else
		err = -ENOENT;
	json_decref(found);

	return err;
}

int entity_write(struct sch_ctx *ctx, const char *name, enum sch_write how, int64_t id, json_t *body,
		 int64_t *ret_id)
{
	const struct sch_entity *entity = sch_find(name);
	int64_t written = id;
	int err = entity && body ? 0 : -ENOENT;

	ctx->n_problems = 0;
	if (!err)
		err = sch_write(ctx, entity, how, id, body, 0, &written);
	if (!err && ret_id)
		*ret_id = written;
	json_decref(body);

	return err;
}
