/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are played in a call and forgotten after a while. */
#include <errno.h>
#include <stdlib.h>

#include "audio/store.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/seal.h"
#include "web/content.h"
#include "web/rest.h"
#include "web/upload.h"
#include "web/web_priv.h"

#define VOLATILE_MAX_S (7 * 24 * 3600)

static json_t *describe_volatile(struct rest *rest, const struct audio_content *c)
{
	char iso[32];
	json_t *item = json_pack("{s:s, s:s}", "token", c->name, "expires_at",
				 clk_iso(iso, sizeof(iso), c->expires_at_us));

	if (item && audio_describe(item, c, rest->lang)) {
		json_decref(item);
		item = NULL;
	}
	return item;
}

/* Of the caller's tenant, not expired. */
static int find_volatile(struct rest *rest, struct audio_content *c)
{
	int err = rest->ctx.tenant_id ?
			  audio_find(c, rest->db, AUDIO_VOLATILE, rest->ctx.tenant_id, 0, rest->params[0]) :
			  -EFORBIDDEN;

	return !err && c->expires_at_us < clk_wall_us() ? -ENOENT : err;
}

int rest_volatile_create(struct rest *rest)
{
	struct audio_content c = { .kind = AUDIO_VOLATILE, .tenant_id = rest->ctx.tenant_id };
	const char *text = web_arg(rest->req, "expires_s", "3600");
	char *end;
	long span_s = strtol(text, &end, 10);
	int err;

	if (!c.tenant_id)
		return -EFORBIDDEN;
	if (end == text || *end || span_s < 10 || span_s > VOLATILE_MAX_S)
		return rest_problem(rest, -EBADPATH, "bad_parameter",
				    REST_TEXT(rest, "expires_s va da 10 a %d secondi.",
					      "expires_s is from 10 to %d seconds."), VOLATILE_MAX_S);
	seal_random_hex(c.name, AUDIO_NAME_SIZE);
	c.expires_at_us = clk_wall_us() + (int64_t)span_s * 1000000;
	err = content_receive(rest, &c, NULL);
	if (err) {
		if (c.id)
			(void)audio_remove(rest->db, rest->web->config->data_dir, c.id);
		return err;
	}
	return rest_answer(rest, 201, describe_volatile(rest, &c));
}

struct volatile_list {
	struct rest *rest;
	json_t *items;
};

static int list_one(const struct audio_content *c, void *arg)
{
	struct volatile_list *list = arg;

	if (c->expires_at_us < clk_wall_us())
		return 0;
	return json_array_append_new(list->items, describe_volatile(list->rest, c)) ? -ENOMEM : 0;
}

int rest_volatile_list(struct rest *rest)
{
	struct volatile_list list = { rest, json_array() };
	int err = rest->ctx.tenant_id ? 0 : -EFORBIDDEN;

	if (!err)
		err = audio_each(rest->db, AUDIO_VOLATILE, rest->ctx.tenant_id, 0, list_one, &list);
	if (!err)
		err = rest_answer(rest, 200, json_pack("{s:O, s:i}", "items", list.items, "total",
						       (int)json_array_size(list.items)));
	json_decref(list.items);
	return err;
}

int rest_volatile_get(struct rest *rest)
{
	struct audio_content c;
	int err = find_volatile(rest, &c);

	return err ? err : rest_answer(rest, 200, describe_volatile(rest, &c));
}

int rest_volatile_content_get(struct rest *rest)
{
	struct audio_content c;
	int err = find_volatile(rest, &c);

	return err ? err : content_send(rest, &c, content_default_name(rest, c.source_name));
}

int rest_volatile_delete(struct rest *rest)
{
	struct audio_content c;
	int err = find_volatile(rest, &c);

	if (!err)
		err = audio_remove(rest->db, rest->web->config->data_dir, c.id);
	return err ? err : rest_answer_empty(rest, 204);
}
