/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/prompts.h"
#include "audio/store.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/seal.h"
#include "bus/bus.h"
#include "db/db.h"
#include "web/audio_api.h"
#include "web/rest.h"
#include "web/upload.h"
#include "web/web_priv.h"

/*
 * Contents of audio files, music and prompts (PLT-30..33): uploads, downloads, states. What is uploaded
 * is staged in the store and converted by jobs; a request waits a moment for that, so that a file which
 * is no sound is refused at once, and answers "converting" when it takes longer.
 */
#define CONVERT_WAIT_MS  8000
#define UNPACK_WAIT_MS   100000
#define FILE_FALLBACK_MB 64
#define VOLATILE_S       3600
#define VOLATILE_MAX_S   (7 * 24 * 3600)
#define MERGE_TRIES      5

/* ------------------------------------------------------------------ limits */

/* audio_max_mb of the caller's tenant (D-196). */
static int64_t max_mb(struct rest *rest)
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

int64_t audio_upload_limit(struct rest *rest)
{
	bool many = rest->route->handler == rest_moh_file_add ||
		    rest->route->handler == rest_language_archive;
	int64_t bytes = max_mb(rest) * 1024 * 1024 + UPLOAD_HEAD_BYTES;

	return many ? UPLOAD_MAX_BYTES : bytes;
}

/* ------------------------------------------------------------------ receiving */

/* One file out of the request, on disk. */
static int keep_file(struct rest *rest, struct audio_content *c, const struct part *part)
{
	int64_t mb = max_mb(rest);
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
static int only_file(struct rest *rest, struct upload *upload, struct part *part)
{
	int n = upload_file(upload, part);

	if (n > 0)
		return 0;
	return rest_problem(rest, n < 0 ? n : -EBADBODY, "no_file",
			    REST_TEXT(rest, "La richiesta non contiene un file: inviarlo come multipart/form-data o come corpo.",
				      "The request holds no file: send it as multipart/form-data or as the body."));
}

static void drop(struct rest *rest, const struct audio_content *c)
{
	audio_incoming_remove(rest->web->config->data_dir, c->incoming);
}

int rest_audio_raise_version(struct rest *rest, const struct sch_entity *entity, int64_t id)
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

/* Row and version together; entity NULL: nothing else changes. On an error the file is gone. */
static int stage(struct rest *rest, struct audio_content *c, const struct sch_entity *entity)
{
	char replaced[AUDIO_NAME_SIZE] = "";
	int err = db_begin(rest->db);

	if (err) {
		drop(rest, c);
		return err;
	}
	err = audio_stage(rest->db, c, replaced);
	if (!err && entity)
		err = rest_audio_raise_version(rest, entity, c->owner_id);
	if (!err)
		err = db_commit(rest->db);
	if (err) {
		db_rollback(rest->db);
		drop(rest, c);
		return err;
	}
	audio_incoming_remove(rest->web->config->data_dir, replaced);
	return 0;
}

/* Waits until the content is converted, but not for ever; then c is what the store says. */
static int wait_for(struct rest *rest, struct audio_content *c, uint64_t end_ms)
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

static bool was_refused(const struct audio_content *c)
{
	return c->state != AUDIO_CONVERTING && c->reason[0];
}

static int refused(struct rest *rest, const struct audio_content *c)
{
	const char *text = audio_reason(c->reason, rest->lang);
	const char *code = audio_reason_code(c->reason); /* outlives c */

	sch_problem_add(&rest->ctx, "file", code, "%s", text);
	return rest_problem(rest, -EINVAL, code, "%s", text);
}

/* Receives the request's file for content c, whose kind, owner and name are set. */
static int receive_one(struct rest *rest, struct audio_content *c, const struct sch_entity *entity)
{
	struct upload upload = { 0 };
	struct part part;
	int err = upload_open(rest, &upload);

	if (!err)
		err = only_file(rest, &upload, &part);
	if (!err)
		err = keep_file(rest, c, &part);
	upload_close(&upload);
	if (!err)
		err = stage(rest, c, entity);
	if (!err)
		err = wait_for(rest, c, clk_mono_ms() + CONVERT_WAIT_MS);
	if (!err && entity)
		rest_written(rest, c->owner_id, "modified");
	if (!err && was_refused(c))
		err = refused(rest, c);
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

static int send_content(struct rest *rest, const struct audio_content *c, const char *name)
{
	char path[PATH_MAX];
	int err = audio_path(path, sizeof(path), rest->web->config->data_dir, c);

	if (!err && !c->has_file)
		path[0] = '\0';
	return err ? err : send_file(rest, path, name);
}

/* A prompt in a language: its own recording, else its base's. */
static int send_prompt(struct rest *rest, const json_t *language, const char *prompt)
{
	struct audio_content content;
	const char *folder = prompts_folder(js_str(language, "base", ""));
	char path[PATH_MAX];
	int err = audio_find(&content, rest->db, AUDIO_PROMPT, 0, js_int(language, "id", 0), prompt);

	if (!err && content.has_file)
		return send_content(rest, &content, prompt);
	if (err && err != -ENOENT)
		return err;
	if (!folder || !rest->web->config->share_dir)
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/prompts/%s/%s.wav", rest->web->config->share_dir, folder, prompt);
	return send_file(rest, path, prompt);
}

/* ------------------------------------------------------------------ audio files */

int rest_audio_resolve(struct rest *rest, int64_t *id, json_t **row)
{
	int err = sch_resolve(&rest->ctx, rest->entity, rest->params[0], id);

	return err ? err : sch_get(&rest->ctx, rest->entity, *id, row);
}

static const char *text_arg(struct rest *rest, struct upload *upload, const char *name,
			    const char *def)
{
	const char *value = upload_field(upload, rest->req->arena, name);

	return value ? value : web_arg(rest->req, name, def);
}

/* The file's own name without its ending, when none was given; "/" and controls have no place in it. */
static const char *default_name(struct rest *rest, const char *file_name)
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

static int create_row(struct rest *rest, struct upload *upload, const struct part *part, int64_t *id)
{
	const char *name = text_arg(rest, upload, "name", NULL);
	const char *folder = text_arg(rest, upload, "folder", NULL);
	json_t *body;
	int err;

	if (!name || !*name)
		name = default_name(rest, part->file_name);
	body = json_pack("{s:s, s:s*}", "name", name ? name : "", "folder",
			 folder && *folder ? folder : NULL);
	err = body ? sch_write(&rest->ctx, rest->entity, SCH_CREATE, 0, body, 0, id) : -ENOMEM;
	json_decref(body);
	return err;
}

/* Takes back what create_row() made: nothing of a file that cannot be used stays. */
void rest_audio_forget(struct rest *rest, int64_t id)
{
	struct sch_ctx inner;

	sch_ctx_inner(&inner, &rest->ctx);
	inner.tenant_id = rest->ctx.tenant_id;
	(void)sch_delete(&inner, rest->entity, id, 0); /* what stays is empty and can be deleted */
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
		err = only_file(rest, &upload, &part);
	if (!err)
		err = keep_file(rest, &c, &part);
	if (!err) {
		err = create_row(rest, &upload, &part, &id);
		if (err)
			drop(rest, &c);
	}
	upload_close(&upload);
	if (err)
		return err;

	c.owner_id = id;
	err = stage(rest, &c, rest->entity);
	if (!err)
		err = wait_for(rest, &c, clk_mono_ms() + CONVERT_WAIT_MS);
	if (!err && was_refused(&c))
		err = refused(rest, &c);
	if (err) {
		rest_audio_forget(rest, id);
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
	int err = rest_audio_resolve(rest, &c.owner_id, &row);

	json_decref(row);
	if (!err)
		err = receive_one(rest, &c, rest->entity);
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
	int err = rest_audio_resolve(rest, &id, &row);

	if (err)
		return err;
	err = audio_find(&content, rest->db, AUDIO_FILE, rest->ctx.tenant_id, id, "");
	if (err == -ENOENT)
		err = 0;
	if (!err && !content.has_file && js_bool(row, "builtin", false)) {
		err = system_language(rest, &language);
		if (!err)
			err = send_prompt(rest, language, js_str(row, "name", ""));
	} else if (!err) {
		err = send_content(rest, &content, js_str(row, "name", ""));
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
	int err = rest_audio_resolve(rest, &id, &row);

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
		err = rest_audio_raise_version(rest, rest->entity, id);
	if (err && err != -ENOENT)
		return err;
	rest_written(rest, id, "modified");
	return rest_answer_object(rest, 200, id);
}

/* ------------------------------------------------------------------ music on hold */

struct moh_upload {
	struct audio_content list[PARTS_MAX];
	size_t n;
};

/* The class's list with more files, or without one (remove > 0). */
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
		err = keep_file(rest, c, &part);
		if (!err)
			err = stage(rest, c, NULL);
		all->n += !err;
	}
	if (!err && n < 0)
		err = rest_problem(rest, n, "malformed_body",
				   REST_TEXT(rest, "Il corpo non è multipart/form-data ben formato.",
					     "The body is not well-formed multipart/form-data."));
	if (!err && !all->n)
		err = only_file(rest, upload, &part); /* says what is missing */
	return err;
}

static int report_file(struct rest *rest, const struct audio_content *c, json_t *added, json_t *failed)
{
	json_t *item = json_pack("{s:I, s:s}", "file", (json_int_t)c->id, "name", c->source_name);

	if (!item)
		return -ENOMEM;
	if (!was_refused(c))
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
	uint64_t end_ms = clk_mono_ms() + CONVERT_WAIT_MS;
	json_t *added = json_array(), *failed = json_array();
	int err = added && failed ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < all->n; i++) {
		err = wait_for(rest, &all->list[i], end_ms);
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
	int err = rest_audio_resolve(rest, &id, &row);

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
	int err = rest_audio_resolve(rest, &id, &row);

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
	int err = rest_audio_resolve(rest, &id, &row);

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

	return err ? err : send_content(rest, &content, default_name(rest, content.source_name));
}

int rest_moh_content_put(struct rest *rest)
{
	struct audio_content content;
	int err = moh_content(rest, &content);

	if (!err)
		err = receive_one(rest, &content, rest->entity);
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

/* ------------------------------------------------------------------ languages */

struct replaced {
	struct audio_content *list;
	size_t n, size;
};

static int add_replaced(const struct audio_content *content, void *arg)
{
	struct replaced *r = arg;

	if (r->n == r->size) {
		size_t size = r->size ? 2 * r->size : 64;
		struct audio_content *bigger = reallocarray(r->list, size, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		r->list = bigger;
		r->size = size;
	}
	r->list[r->n++] = *content;
	return 0;
}

static const struct audio_content *find_replaced(const struct replaced *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->list[i].name, name))
			return &r->list[i];
	return NULL;
}

static json_t *describe_prompt(struct rest *rest, const struct prompt *prompt,
			       const struct audio_content *content, const char *base)
{
	json_t *item = json_pack("{s:s, s:s, s:b}", "name", prompt->name, "text",
				 !strcmp(base, "it") ? prompt->it : prompt->en, "replaced",
				 content && content->has_file);

	if (item && audio_describe(item, content, rest->lang)) {
		json_decref(item);
		return NULL;
	}
	/* What is not replaced is inherited, and the base is always there. */
	if (item && (!content || !content->has_file) &&
	    (!content || content->state != AUDIO_CONVERTING))
		(void)json_object_set_new(item, "state", json_string("inherited"));
	return item;
}

int rest_prompt_list(struct rest *rest)
{
	struct prompts *prompts = NULL;
	struct replaced replaced = { 0 };
	json_t *row = NULL, *items = json_array();
	int64_t id;
	int err = rest_audio_resolve(rest, &id, &row);

	if (!err)
		err = prompts_load(&prompts, rest->web->config->share_dir);
	if (!err)
		err = audio_each(rest->db, AUDIO_PROMPT, 0, id, add_replaced, &replaced);
	for (size_t i = 0; !err && i < prompts_count(prompts); i++) {
		const struct prompt *prompt = prompts_at(prompts, i);

		err = json_array_append_new(items,
					    describe_prompt(rest, prompt,
							    find_replaced(&replaced, prompt->name),
							    js_str(row, "base", ""))) ?
			      -ENOMEM :
			      0;
	}
	if (!err)
		err = rest_answer(rest, 200, json_pack("{s:O, s:i}", "items", items, "total",
						       (int)json_array_size(items)));
	json_decref(items);
	json_decref(row);
	prompts_free(prompts);
	free(replaced.list);
	return err;
}

/* The prompt that the path names: `.../prompt/beep/content`, `.../prompt/echo/intro/content`. */
static int path_prompt(struct rest *rest, struct audio_content *c, json_t **row)
{
	struct prompts *prompts = NULL;
	int err = rest_audio_resolve(rest, &c->owner_id, row);

	if (err)
		return err;
	c->kind = AUDIO_PROMPT;
	snprintf(c->name, sizeof(c->name), "%s%s%s", rest->params[1], rest->n_params > 2 ? "/" : "",
		 rest->n_params > 2 ? rest->params[2] : "");
	snprintf(c->folder, sizeof(c->folder), "%s", js_str(*row, "code", ""));
	err = prompts_load(&prompts, rest->web->config->share_dir);
	if (!err && !prompts_find(prompts, c->name))
		err = rest_problem(rest, -ENOENT, "unknown_prompt",
				   REST_TEXT(rest, "Non esiste un file di sistema \"%s\".",
					     "There is no system prompt \"%s\"."), c->name);
	prompts_free(prompts);
	if (!err && rest->req->method & ~(unsigned)WEB_READS && !js_bool(*row, "custom", false))
		err = rest_problem(rest, -ECONFLICT, "predefined",
				   REST_TEXT(rest, "Le lingue predefinite non si modificano: creare una lingua personalizzata.",
					     "Built-in languages cannot be changed: create a custom language."));
	return err;
}

int rest_prompt_content_get(struct rest *rest)
{
	struct audio_content c = { 0 };
	json_t *row = NULL;
	int err = path_prompt(rest, &c, &row);

	if (!err)
		err = send_prompt(rest, row, c.name);
	json_decref(row);
	return err;
}

static int answer_prompt(struct rest *rest, const struct audio_content *c)
{
	json_t *answer = json_pack("{s:s, s:b}", "name", c->name, "replaced", c->has_file);

	if (answer && audio_describe(answer, c, rest->lang)) {
		json_decref(answer);
		return -ENOMEM;
	}
	return rest_answer(rest, 200, answer);
}

int rest_prompt_content_put(struct rest *rest)
{
	struct audio_content c = { 0 };
	json_t *row = NULL;
	int err = path_prompt(rest, &c, &row);

	json_decref(row);
	if (!err)
		err = receive_one(rest, &c, rest->entity);
	return err ? err : answer_prompt(rest, &c);
}

int rest_prompt_content_delete(struct rest *rest)
{
	struct audio_content c = { 0 }, content;
	json_t *row = NULL;
	int err = path_prompt(rest, &c, &row);

	json_decref(row);
	if (!err)
		err = audio_find(&content, rest->db, AUDIO_PROMPT, 0, c.owner_id, c.name);
	if (!err)
		err = audio_remove(rest->db, rest->web->config->data_dir, content.id);
	if (!err)
		err = rest_audio_raise_version(rest, rest->entity, c.owner_id);
	if (err)
		return err;
	rest_written(rest, c.owner_id, "modified");
	return rest_answer_empty(rest, 204);
}

/* What became of an archive, for a person: files that took a place, that have none, that are no sound. */
static int report_archive(struct rest *rest, json_t *report)
{
	uint64_t end_ms = clk_mono_ms() + CONVERT_WAIT_MS;
	json_t *failed = json_array(), *item;
	size_t i;
	int err = failed ? 0 : -ENOMEM;

	json_array_foreach(json_object_get(report, "matched"), i, item) {
		struct audio_content c = { .id = js_int(item, "content", 0) };

		if (err || wait_for(rest, &c, end_ms))
			continue;
		(void)json_object_set_new(item, "state", json_string(audio_state_name(c.state)));
		if (was_refused(&c))
			err = json_array_append_new(failed,
						    json_pack("{s:s, s:s, s:s, s:s}", "file",
							      js_str(item, "file", ""), "prompt", c.name,
							      "code", c.reason, "message",
							      audio_reason(c.reason, rest->lang))) ?
				      -ENOMEM :
				      0;
		if (was_refused(&c) && !c.has_file)
			(void)audio_remove(rest->db, rest->web->config->data_dir, c.id);
	}
	if (!err && json_object_set(report, "failed", failed))
		err = -ENOMEM;
	json_decref(failed);
	return err;
}

static int unpack(struct rest *rest, const struct audio_content *zip, int64_t id, const char *code,
		  json_t **report)
{
	if (!rest->web->bus)
		return -EUNAVAILABLE;
	return bus_request_wait(report, rest->web->bus, "cmd.jobs.unpack",
				json_pack("{s:s, s:I, s:s, s:I}", "incoming", zip->incoming, "language",
					  (json_int_t)id, "code", code, "file_max_bytes",
					  (json_int_t)max_mb(rest) * 1024 * 1024),
				UNPACK_WAIT_MS);
}

static int archive_problem(struct rest *rest, const char *said)
{
	const char *reason = audio_reason_code(said); /* outlives the report */

	if (!strcmp(reason, "unreadable") || !strcmp(reason, "damaged"))
		return rest_problem(rest, -EINVAL, reason,
				    REST_TEXT(rest, "Il file non è un archivio ZIP leggibile fino in fondo.",
					      "The file is no ZIP archive that can be read to its end."));
	if (!strcmp(reason, "too_long"))
		return rest_problem(rest, -EMSGSIZE, reason,
				    REST_TEXT(rest, "L'archivio ha troppi file, o file troppo grandi.",
					      "The archive has too many files, or too large ones."));
	return rest_problem(rest, strcmp(reason, "disk_full") ? -EIO : -ENOSPC, reason, "%s",
			    audio_reason(reason, rest->lang));
}

int rest_language_archive(struct rest *rest)
{
	struct audio_content zip = { 0 };
	struct upload upload = { 0 };
	struct part part;
	json_t *row = NULL, *report = NULL;
	const char *reason;
	int64_t id;
	int err = rest_audio_resolve(rest, &id, &row);

	if (!err && !js_bool(row, "custom", false))
		err = rest_problem(rest, -ECONFLICT, "predefined",
				   REST_TEXT(rest, "Le lingue predefinite non si modificano: creare una lingua personalizzata.",
					     "Built-in languages cannot be changed: create a custom language."));
	if (!err)
		err = upload_open(rest, &upload);
	if (!err)
		err = only_file(rest, &upload, &part);
	if (!err)
		err = upload_keep(zip.incoming, rest->web->config->data_dir, part.data, part.len);
	upload_close(&upload);
	if (!err)
		err = unpack(rest, &zip, id, js_str(row, "code", ""), &report);
	drop(rest, &zip);
	reason = js_str(report, "reason", NULL);
	if (!err && json_array_size(json_object_get(report, "matched"))) {
		err = rest_audio_raise_version(rest, rest->entity, id);
		if (!err)
			rest_written(rest, id, "modified");
	}
	if (!err && reason)
		err = archive_problem(rest, reason);
	if (!err)
		err = report_archive(rest, report);
	if (!err)
		err = rest_answer(rest, 200, json_incref(report));
	json_decref(report);
	json_decref(row);
	return err;
}

/* ------------------------------------------------------------------ volatile files */

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
	err = receive_one(rest, &c, NULL);
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

	return err ? err : send_content(rest, &c, default_name(rest, c.source_name));
}

int rest_volatile_delete(struct rest *rest)
{
	struct audio_content c;
	int err = find_volatile(rest, &c);

	if (!err)
		err = audio_remove(rest->db, rest->web->config->data_dir, c.id);
	return err ? err : rest_answer_empty(rest, 204);
}
