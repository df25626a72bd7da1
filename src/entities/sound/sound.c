/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/sound/sound.h"

const char *sound_text(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

int sound_put(json_t *row, const char *name, const char *value)
{
	return json_object_set_new(row, name, json_string(value)) ? -ENOMEM : 0;
}

int sound_seed(struct sch_ctx *ctx, const char *entity, json_t *body)
{
	int err = body ? sch_write(ctx, sch_find(entity), SCH_CREATE, 0, body, 0, NULL) : -ENOMEM;

	json_decref(body);
	return err;
}

struct decorating {
	struct sch_ctx *ctx;
	json_t *rows;
};

static int add_state(const struct audio_content *content, void *arg)
{
	const struct decorating *d = arg;
	size_t i;
	json_t *row;

	json_array_foreach(d->rows, i, row)
		if (sch_row_id(row) == content->owner_id)
			return audio_describe(row, content, d->ctx->lang);
	return 0;
}

int sound_decorate(struct sch_ctx *ctx, json_t *rows, enum audio_kind kind)
{
	struct decorating d = { ctx, rows };
	size_t i;
	json_t *row;
	int err = 0;

	json_array_foreach(rows, i, row)
		err = err ? err : audio_describe(row, NULL, ctx->lang);
	if (err)
		return err;
	return audio_each(ctx->db, kind, ctx->tenant_id,
			  json_array_size(rows) == 1 ? sch_row_id(json_array_get(rows, 0)) : -1,
			  add_state, &d);
}
