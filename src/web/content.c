/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "audio/prompts.h"
#include "audio/store.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "bus/bus.h"
#include "db/db.h"
#include "web/content.h"
#include "web/rest.h"
#include "web/upload.h"
#include "web/web_priv.h"

#define FILE_FALLBACK_MB 64

/* ------------------------------------------------------------------ the row */

int content_resolve(struct rest *rest, int64_t *id, json_t **row)
{
	int err = rest_resolve(rest, rest->params[0], id);

	return err ? err : sch_get(&rest->ctx, rest->entity, *id, row);
}

int content_raise_version(struct rest *rest, const struct sch_entity *entity, int64_t id)
{
	struct sch_ctx inner;
	json_t *row = NULL, *body;
	int err;

	sch_ctx_inner(&inner, &rest->ctx);
	inner.tenant_id = rest->ctx.tenant_id;
	err = sch_get(&inner, entity, id, &row);
	body = json_pack("{s:I}", "version", (json_int_t)js_int(row, "version", 0) + 1);
	if (!err)
		err = body ? sch_write(&inner, entity, SCH_PATCH, id, body, 0, NULL) : -ENOMEM;
	sch_ctx_join(&rest->ctx, &inner, NULL, NULL);
	json_decref(row);
	json_decref(body);
	return err;
}

void content_forget(struct rest *rest, int64_t id)
{
	struct sch_ctx inner;

	sch_ctx_inner(&inner, &rest->ctx);
	inner.tenant_id = rest->ctx.tenant_id;
	(void)sch_delete(&inner, rest->entity, id, 0); /* what stays is empty and can be deleted */
}

/* ------------------------------------------------------------------ limits */

/* audio_max_mb of the caller's tenant (D-196). */
int64_t content_max_mb(struct rest *rest)
{
	struct sch_query query = { .fields = "audio_max_mb", .page = 1, .page_size = 1 };
	struct sch_ctx inner;
	struct sch_out rows = { 0 };
	json_t *list = NULL;
	int64_t total, mb = FILE_FALLBACK_MB;

	sch_ctx_inner(&inner, &rest->ctx);
	inner.tenant_id = rest->who->user.tenant_id;
	if (inner.tenant_id &&
	    !sch_list(&inner, sch_find("audio_settings"), &query, &rows, &total)) {
		list = json_loadb(rows.text, rows.len, 0, NULL);
		mb = js_int(json_array_get(list, 0), "audio_max_mb", mb);
	}
	json_decref(list);
	sch_out_free(&rows);
	return mb;
}

static int too_large(struct rest *rest, int64_t mb)
{
	return rest_problem(rest, -EMSGSIZE, "too_large",
			    REST_TEXT(rest, "Il file supera il limite di %lld MB: accorciarlo, o alzare il limite nelle impostazioni audio.",
				      "The file exceeds the limit of %lld MB: shorten it, or raise the limit in the audio settings."),
			    (long long)mb);
}

int64_t content_upload_limit(struct rest *rest)
{
	bool many = rest->route->handler == rest_moh_file_add ||
		    rest->route->handler == rest_language_archive;
	int64_t bytes = content_max_mb(rest) * 1024 * 1024 + UPLOAD_HEAD_BYTES;

	return many ? UPLOAD_MAX_BYTES : bytes;
}

/* ------------------------------------------------------------------ receiving */

/* One file out of the request, on disk. */
int content_keep(struct rest *rest, struct audio_content *c, const struct part *part)
{
	int64_t mb = content_max_mb(rest);
	int err;

	if ((int64_t)part->len > mb * 1024 * 1024)
		return too_large(rest, mb);
	if (!part->len)
		return rest_problem(rest, -EBADBODY, "empty_body",
				    REST_TEXT(rest, "Il file \"%s\" è vuoto.", "The file \"%s\" is empty."),
				    part->file_name);
	err = upload_keep(c->incoming, rest->web->config->data_dir, part->data, part->len);
	c->bytes = (int64_t)part->len;
	snprintf(c->source_name, sizeof(c->source_name), "%s", part->file_name);
	return err;
}

/* The one file of a request. */
int content_only_file(struct rest *rest, struct upload *upload, struct part *part)
{
	int n = upload_file(upload, part);

	if (n > 0)
		return 0;
	return rest_problem(rest, n < 0 ? n : -EBADBODY, "no_file",
			    REST_TEXT(rest, "La richiesta non contiene un file: inviarlo come multipart/form-data o come corpo.",
				      "The request holds no file: send it as multipart/form-data or as the body."));
}

void content_drop(struct rest *rest, const struct audio_content *c)
{
	audio_incoming_remove(rest->web->config->data_dir, c->incoming);
}

/* Row and version together; entity NULL: nothing else changes. On an error the file is gone. */
int content_stage(struct rest *rest, struct audio_content *c, const struct sch_entity *entity)
{
	char replaced[AUDIO_NAME_SIZE] = "";
	int err = db_begin(rest->db);

	if (err) {
		content_drop(rest, c);
		return err;
	}
	err = audio_stage(rest->db, c, replaced);
	if (!err && entity)
		err = content_raise_version(rest, entity, c->owner_id);
	if (!err)
		err = db_commit(rest->db);
	if (err) {
		db_rollback(rest->db);
		content_drop(rest, c);
		return err;
	}
	audio_incoming_remove(rest->web->config->data_dir, replaced);
	return 0;
}

/* Waits until the content is converted, but not for ever; then c is what the store says. */
int content_wait(struct rest *rest, struct audio_content *c, uint64_t end_ms)
{
	uint64_t now_ms = clk_mono_ms();
	json_t *answer = NULL;

	if (rest->web->bus && now_ms < end_ms)
		(void)bus_request_wait(&answer, rest->web->bus, "cmd.jobs.audio",
				       json_pack("{s:I}", "id", (json_int_t)c->id),
				       (unsigned)(end_ms - now_ms));
	json_decref(answer);
	return audio_get(c, rest->db, c->id);
}

bool content_was_refused(const struct audio_content *c)
{
	return c->state != AUDIO_CONVERTING && c->reason[0];
}

int content_refused(struct rest *rest, const struct audio_content *c)
{
	const char *text = audio_reason(c->reason, rest->lang);
	const char *code = audio_reason_code(c->reason); /* outlives c */

	sch_problem_add(&rest->ctx, "file", code, "%s", text);
	return rest_problem(rest, -EINVAL, code, "%s", text);
}

/* Receives the request's file for content c, whose kind, owner and name are set. */
int content_receive(struct rest *rest, struct audio_content *c, const struct sch_entity *entity)
{
	struct upload upload = { 0 };
	struct part part;
	int err = upload_open(rest, &upload);

	if (!err)
		err = content_only_file(rest, &upload, &part);
	if (!err)
		err = content_keep(rest, c, &part);
	upload_close(&upload);
	if (!err)
		err = content_stage(rest, c, entity);
	if (!err)
		err = content_wait(rest, c, clk_mono_ms() + CONTENT_WAIT_MS);
	if (!err && entity)
		rest_written(rest, c->owner_id, "modified");
	if (!err && content_was_refused(c))
		err = content_refused(rest, c);
	return err;
}

/* ------------------------------------------------------------------ sending */

/* "name.wav" for Content-Disposition: what is not plain goes percent-encoded (RFC 8187). */
static void disposition(struct rest *rest, const char *name)
{
	static const char hex[] = "0123456789ABCDEF";
	const char *download = web_arg(rest->req, "download", NULL);
	char plain[200], coded[700];
	size_t n = 0, m = 0;

	for (const unsigned char *c = (const unsigned char *)name; *c && n + 1 < sizeof(plain) && m + 4 < sizeof(coded); c++) {
		bool safe = (*c >= '0' && *c <= '9') || (*c >= 'A' && *c <= 'Z') ||
			    (*c >= 'a' && *c <= 'z') || *c == '-' || *c == '_' || *c == '.';

		plain[n++] = safe || *c == ' ' ? (char)*c : '_';
		if (safe) {
			coded[m++] = (char)*c;
		} else {
			coded[m++] = '%';
			coded[m++] = hex[*c >> 4];
			coded[m++] = hex[*c & 15];
		}
	}
	plain[n] = coded[m] = '\0';
	rest_header(rest, "Content-Disposition", "%s; filename=\"%s.wav\"; filename*=UTF-8''%s.wav",
		    download && strcmp(download, "0") && strcmp(download, "false") ? "attachment" : "inline",
		    plain, coded);
}

static int send_file(struct rest *rest, const char *path, const char *name)
{
	int err = upload_send_file(rest, path, "audio/wav");

	if (err == -ENOENT)
		return rest_problem(rest, -ENOENT, "no_content",
				    REST_TEXT(rest, "Non c'è ancora nulla da riprodurre.",
					      "There is nothing to play yet."));
	if (!err)
		disposition(rest, name);
	return err;
}

int content_send(struct rest *rest, const struct audio_content *c, const char *name)
{
	char path[PATH_MAX];
	int err = audio_path(path, sizeof(path), rest->web->config->data_dir, c);

	if (!err && !c->has_file)
		path[0] = '\0';
	return err ? err : send_file(rest, path, name);
}

/* A prompt in a language: its own recording, else its base's. */
int content_send_prompt(struct rest *rest, const json_t *language, const char *prompt)
{
	struct audio_content content;
	const char *folder = prompts_folder(js_str(language, "base", ""));
	char path[PATH_MAX];
	int err = audio_find(&content, rest->db, AUDIO_PROMPT, 0, js_int(language, "id", 0), prompt);

	if (!err && content.has_file)
		return content_send(rest, &content, prompt);
	if (err && err != -ENOENT)
		return err;
	if (!folder || !rest->web->config->share_dir)
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/prompts/%s/%s.wav", rest->web->config->share_dir, folder, prompt);
	return send_file(rest, path, prompt);
}

/* The file's own name without its ending, when none was given; "/" and controls have no place in it. */
const char *content_default_name(struct rest *rest, const char *file_name)
{
	char *name = arena_strdup(rest->req->arena, file_name);
	char *dot = name ? strrchr(name, '.') : NULL;

	if (dot && dot != name)
		*dot = '\0';
	for (char *c = name; c && *c; c++)
		if ((unsigned char)*c < ' ' || *c == '/' || *c == '\\')
			*c = '_';
	return name;
}
