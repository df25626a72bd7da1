/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "schema_node.h"

/* Bodies of writes: refused with problems, or written so that they can be read and written back
 * without a change. First byte: entity and whether it is a create. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t id)
{
	int64_t scope = entity->scope == SCH_PBX ? 0 : ctx->tenant_id;
	int64_t before, after, applied;
	json_t *row = NULL;

	if (sch_get(ctx, entity, id, &row))
		abort();
	if (sch_revisions(ctx->db, scope, &before, &applied) ||
	    sch_write(ctx, entity, SCH_PUT, id, row, 0, NULL) ||
	    sch_revisions(ctx->db, scope, &after, &applied) || before != after)
		abort();
	json_decref(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sch_ctx *ctx = schema_node();
	const struct sch_entity *entity;
	json_t *body = NULL;
	int64_t id = 1;
	int err;

	if (!size || js_parse(&body, (const char *)data + 1, size - 1, NULL, 0))
		return 0;
	entity = sch_entities[data[0] / 2 % sch_n_entities];
	schema_node_begin(ctx);
	err = sch_write(ctx, entity, data[0] % 2 ? SCH_CREATE : SCH_PATCH, id, body, 0, &id);
	if ((err == -EINVAL || err == -EDUPLICATE) && !ctx->n_problems)
		abort();
	if (!err)
		check_written(ctx, entity, id);
	json_decref(body);
	schema_node_end(ctx);
	return 0;
}
