/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of music on hold and their files (PLT-31). */
#include <errno.h>
#include <stdlib.h>

#include "audio/store.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "web/content.h"
#include "web/rest.h"
#include "web/upload.h"
#include "web/web_priv.h"

#define MERGE_TRIES 5

struct moh_upload {
	struct audio_content list[PARTS_MAX];
	size_t n;
};

/* The class's list with more files, or without one (gone > 0). */
static int change_files(struct rest *rest, int64_t id, const json_t *more, int64_t gone)
{
	int err = -ESTALE_REV;

	/* Another upload may change the list between reading and writing. */
	for (int i = 0; err == -ESTALE_REV && i < MERGE_TRIES; i++) {
		struct sch_ctx inner;
		json_t *row = NULL, *files, *body;

		sch_ctx_inner(&inner, &rest->ctx);
		inner.tenant_id = rest->ctx.tenant_id;
		err = sch_get(&inner, rest->entity, id, &row);
		if (err)
			return err;
		files = json_object_get(row, "files");
		for (size_t k = json_array_size(files); gone && k-- > 0;)
			if (js_int(json_array_get(files, k), "file", 0) == gone)
				(void)json_array_remove(files, k);
		if (more)
			(void)json_array_extend(files, (json_t *)more);
		body = json_pack("{s:O, s:I}", "files", files, "version",
				 (json_int_t)js_int(row, "version", 0) + 1);
		err = body ? sch_write(&inner, rest->entity, SCH_PATCH, id, body,
				       js_int(row, "revision", 0), NULL) : -ENOMEM;
		sch_ctx_join(&rest->ctx, &inner, NULL, NULL);
		json_decref(body);
		json_decref(row);
	}
	return err;
}

static int stage_parts(struct rest *rest, struct upload *upload, int64_t id, struct moh_upload *all)
{
	struct part part;
	int n = 0, err = 0;

	while (!err && all->n < PARTS_MAX && (n = upload_file(upload, &part)) > 0) {
		struct audio_content *c = &all->list[all->n];

		*c = (struct audio_content){ .kind = AUDIO_MOH, .owner_id = id,
					     .tenant_id = rest->ctx.tenant_id };
		err = content_keep(rest, c, &part);
		if (!err)
			err = content_stage(rest, c, NULL);
		all->n += !err;
	}
	if (!err && n < 0)
		err = rest_problem(rest, n, "malformed_body",
				   REST_TEXT(rest, "Il corpo non è multipart/form-data ben formato.",
					     "The body is not well-formed multipart/form-data."));
	if (!err && !all->n)
		err = content_only_file(rest, upload, &part); /* says what is missing */
	return err;
}

static int report_file(struct rest *rest, const struct audio_content *c, json_t *added, json_t *failed)
{
	json_t *item = json_pack("{s:I, s:s}", "file", (json_int_t)c->id, "name", c->source_name);

	if (!item)
		return -ENOMEM;
	if (!content_was_refused(c))
		return json_array_append_new(added, item) ? -ENOMEM : 0;
	json_decref(item);
	(void)audio_remove(rest->db, rest->web->config->data_dir, c->id);
	sch_problem_add(&rest->ctx, arena_printf(rest->req->arena, "file.%s", c->source_name),
			audio_reason_code(c->reason), "%s", audio_reason(c->reason, rest->lang));
	return json_array_append_new(failed, json_pack("{s:s, s:s, s:s}", "name", c->source_name, "code",
						       c->reason, "message",
						       audio_reason(c->reason, rest->lang))) ?
		       -ENOMEM :
		       0;
}

static int finish_files(struct rest *rest, struct moh_upload *all, int64_t id)
{
	uint64_t end_ms = clk_mono_ms() + CONTENT_WAIT_MS;
	json_t *added = json_array(), *failed = json_array();
	int err = added && failed ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < all->n; i++) {
		err = content_wait(rest, &all->list[i], end_ms);
		if (!err)
			err = report_file(rest, &all->list[i], added, failed);
	}
	if (!err && json_array_size(added))
		err = change_files(rest, id, added, 0);
	if (!err && !json_array_size(added))
		err = rest_problem(rest, -EINVAL, "unreadable",
				   REST_TEXT(rest, "Nessun file è stato aggiunto: si veda il motivo di ciascuno.",
					     "No file was added: see the reason of each."));
	if (!err) {
		rest_written(rest, id, "modified");
		err = rest_answer(rest, 201, json_pack("{s:O, s:O}", "added", added, "failed", failed));
	}
	json_decref(added);
	json_decref(failed);
	return err;
}

int rest_moh_file_add(struct rest *rest)
{
	struct moh_upload *all;
	struct upload upload = { 0 };
	json_t *row = NULL;
	int64_t id;
	int err = content_resolve(rest, &id, &row);

	json_decref(row);
	if (err)
		return err;
	all = calloc(1, sizeof(*all));
	err = all ? upload_open(rest, &upload) : -ENOMEM;
	if (!err)
		err = stage_parts(rest, &upload, id, all);
	upload_close(&upload);
	if (!err)
		err = finish_files(rest, all, id);
	else /* all or what can be read: a request that ends half way adds nothing */
		for (size_t i = 0; all && i < all->n; i++)
			(void)audio_remove(rest->db, rest->web->config->data_dir, all->list[i].id);
	free(all);
	return err;
}

int rest_moh_files_get(struct rest *rest)
{
	json_t *row = NULL, *rows = NULL;
	int64_t id;
	int err = content_resolve(rest, &id, &row);

	if (!err) {
		rows = json_pack("[O]", row);
		err = rows ? rest->entity->decorate(&rest->ctx, rows) : -ENOMEM;
	}
	if (!err)
		err = rest_answer(rest, 200, json_pack("{s:O, s:i}", "items", json_object_get(row, "files"),
						       "total",
						       (int)json_array_size(json_object_get(row, "files"))));
	json_decref(rows);
	json_decref(row);
	return err;
}

/* The music that the path's second parameter names; it must be the class's own. */
static int moh_content(struct rest *rest, struct audio_content *content)
{
	json_t *row = NULL;
	int64_t id;
	int err = content_resolve(rest, &id, &row);

	json_decref(row);
	if (!err)
		err = audio_get(content, rest->db, strtoll(rest->params[1], NULL, 10));
	if (err)
		return err;
	return content->kind == AUDIO_MOH && content->owner_id == id &&
			       content->tenant_id == rest->ctx.tenant_id ?
		       0 :
		       -ENOENT;
}

int rest_moh_content_get(struct rest *rest)
{
	struct audio_content content;
	int err = moh_content(rest, &content);

	return err ? err : content_send(rest, &content, content_default_name(rest, content.source_name));
}

int rest_moh_content_put(struct rest *rest)
{
	struct audio_content content;
	int err = moh_content(rest, &content);

	if (!err)
		err = content_receive(rest, &content, rest->entity);
	return err ? err : rest_answer_object(rest, 200, content.owner_id);
}

int rest_moh_file_delete(struct rest *rest)
{
	struct audio_content content;
	int err = moh_content(rest, &content);

	/* The file goes when no applied class names it any more (audio_sweep()). */
	if (!err)
		err = change_files(rest, content.owner_id, NULL, content.id);
	if (err)
		return err;
	rest_written(rest, content.owner_id, "modified");
	return rest_answer_object(rest, 200, content.owner_id);
}
