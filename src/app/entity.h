/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_APP_ENTITY_H
#define AOIDE_APP_ENTITY_H

#include "schema/schema.h"

/* Writes through the registry on behalf of the product itself (demo, ctl). */

/* ret: free with entity_ctx_free(). db is borrowed. */
int entity_ctx_alloc(struct sch_ctx **ret, struct db *db, const char *who);
void entity_ctx_free(struct sch_ctx *ctx); /* accepts NULL */

/* The id of the one object whose field has this value. -ENOENT: none. */
int entity_find(struct sch_ctx *ctx, const char *name, const char *field, const char *value,
		int64_t *ret);

/* Every object as a JSON array; ret: new reference. */
int entity_list(struct sch_ctx *ctx, const char *name, json_t **ret);

/* Steals body. The first problem is in ctx->problems[0]. */
int entity_write(struct sch_ctx *ctx, const char *name, enum sch_write how, int64_t id, json_t *body,
		 int64_t *ret_id);

#endif
