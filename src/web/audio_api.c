/* SPDX-License-Identifier: Apache-2.0 */
/* Audio files of a tenant: uploaded, replaced, heard (PLT-30). */
#include <errno.h>
#include <string.h>

#include "audio/store.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "web/content.h"
#include "web/rest.h"
#include "web/upload.h"
#include "web/web_priv.h"

static const char *text_arg(struct rest *rest, struct upload *upload, const char *name,
			    const char *def)
{
	const char *value = upload_field(upload, rest->req->arena, name);

	return value ? value : web_arg(rest->req, name, def);
}

static int create_row(struct rest *rest, struct upload *upload, const struct part *part, int64_t *id)
{
	const char *name = text_arg(rest, upload, "name", NULL);
	const char *folder = text_arg(rest, upload, "folder", NULL);
	json_t *body;
	int err;

	if (!name || !*name)
		name = content_default_name(rest, part->file_name);
	body = json_pack("{s:s, s:s*}", "name", name ? name : "", "folder",
			 folder && *folder ? folder : NULL);
	err = body ? sch_write(&rest->ctx, rest->entity, SCH_CREATE, 0, body, 0, id) : -ENOMEM;
	json_decref(body);
	return err;
}

/* POST audioFile: with a file; a JSON body makes an empty one, to be recorded or uploaded later. */
int rest_audio_create(struct rest *rest)
{
	struct audio_content c = { .kind = AUDIO_FILE, .tenant_id = rest->ctx.tenant_id };
	struct upload upload = { 0 };
	struct part part;
	int64_t id = 0;
	int err;

	if (!rest->req->is_upload)
		return rest_entity_create(rest);
	err = upload_open(rest, &upload);
	if (!err)
		err = content_only_file(rest, &upload, &part);
	if (!err)
		err = content_keep(rest, &c, &part);
	if (!err) {
		err = create_row(rest, &upload, &part, &id);
		if (err)
			content_drop(rest, &c);
	}
	upload_close(&upload);
	if (err)
		return err;

	c.owner_id = id;
	err = content_stage(rest, &c, rest->entity);
	if (!err)
		err = content_wait(rest, &c, clk_mono_ms() + CONTENT_WAIT_MS);
	if (!err && content_was_refused(&c))
		err = content_refused(rest, &c);
	if (err) {
		content_forget(rest, id);
		(void)audio_remove(rest->db, rest->web->config->data_dir, c.id);
		return err;
	}
	rest_written(rest, id, "created");
	return rest_answer_object(rest, 201, id);
}

int rest_audio_content_put(struct rest *rest)
{
	struct audio_content c = { .kind = AUDIO_FILE, .tenant_id = rest->ctx.tenant_id };
	json_t *row = NULL;
	int err = content_resolve(rest, &c.owner_id, &row);

	json_decref(row);
	if (!err)
		err = content_receive(rest, &c, rest->entity);
	return err ? err : rest_answer_object(rest, 200, c.owner_id);
}

/* The language that a tenant's callers hear, as its row. */
static int system_language(struct rest *rest, json_t **ret)
{
	struct sch_query query = { .fields = "system_language", .page = 1, .page_size = 1 };
	struct sch_out rows = { 0 };
	struct sch_ctx inner;
	json_t *list;
	int64_t total, id = 0;
	int err = sch_list(&rest->ctx, sch_find("audio_settings"), &query, &rows, &total);

	if (!err) {
		list = json_loadb(rows.text, rows.len, 0, NULL);
		id = js_int(json_array_get(list, 0), "system_language", 0);
		json_decref(list);
	}
	sch_out_free(&rows);
	sch_ctx_inner(&inner, &rest->ctx);
	inner.tenant_id = 0;
	return err ? err : sch_get(&inner, sch_find("language"), id, ret);
}

int rest_audio_content_get(struct rest *rest)
{
	struct audio_content content = { 0 };
	json_t *row = NULL, *language = NULL;
	int64_t id;
	int err = content_resolve(rest, &id, &row);

	if (err)
		return err;
	err = audio_find(&content, rest->db, AUDIO_FILE, rest->ctx.tenant_id, id, "");
	if (err == -ENOENT)
		err = 0;
	if (!err && !content.has_file && js_bool(row, "builtin", false)) {
		err = system_language(rest, &language);
		if (!err)
			err = content_send_prompt(rest, language, js_str(row, "name", ""));
	} else if (!err) {
		err = content_send(rest, &content, js_str(row, "name", ""));
	}
	json_decref(language);
	json_decref(row);
	return err;
}

/* A predefined file speaks again as it was made. */
int rest_audio_content_delete(struct rest *rest)
{
	struct audio_content content;
	json_t *row = NULL;
	int64_t id;
	bool builtin;
	int err = content_resolve(rest, &id, &row);

	builtin = js_bool(row, "builtin", false);
	json_decref(row);
	if (err)
		return err;
	if (!builtin)
		return rest_problem(rest, -ECONFLICT, "not_builtin",
				    REST_TEXT(rest, "Solo il contenuto dei file predefiniti si ripristina: sostituire il contenuto, o eliminare il file.",
					      "Only predefined files can be restored: replace the content, or delete the file."));
	err = audio_find(&content, rest->db, AUDIO_FILE, rest->ctx.tenant_id, id, "");
	if (!err)
		err = audio_remove(rest->db, rest->web->config->data_dir, content.id);
	if (!err)
		err = content_raise_version(rest, rest->entity, id);
	if (err && err != -ENOENT)
		return err;
	rest_written(rest, id, "modified");
	return rest_answer_object(rest, 200, id);
}
