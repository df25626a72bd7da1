/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "schema_node.h"

/* CSV import: whatever the file, an answer and no row in a preview. First byte: entity and mode. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sch_ctx *ctx = schema_node();
	json_t *result = NULL;
	int64_t before = 0, after = 0;
	enum sch_import mode;
	const struct sch_entity *entity;
	int err;

	if (!size)
		return 0;
	mode = (enum sch_import)(data[0] % 3);
	entity = sch_entities[data[0] / 3 % sch_n_entities];
	schema_node_begin(ctx);
	(void)db_query_i64(&before, ctx->db, "SELECT COUNT(*) FROM \"extension\"", DB_NO_ARGS);
	err = sch_csv_import(ctx, entity, mode, (const char *)data + 1, size - 1, &result);
	(void)db_query_i64(&after, ctx->db, "SELECT COUNT(*) FROM \"extension\"", DB_NO_ARGS);
	if ((!err && !result) || (mode == SCH_IMPORT_PREVIEW && after != before))
		abort();
	json_decref(result);
	schema_node_end(ctx);
	return 0;
}
