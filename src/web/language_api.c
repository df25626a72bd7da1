/* SPDX-License-Identifier: Apache-2.0 */
/* Languages: their prompts, one by one or many in an archive (PLT-32, PLT-33). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/prompts.h"
#include "audio/store.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "bus/bus.h"
#include "web/content.h"
#include "web/rest.h"
#include "web/upload.h"
#include "web/web_priv.h"

#define UNPACK_WAIT_MS 100000

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
	if (!item || (content && content->has_file))
		return item;

	/* What is not replaced is inherited, and the base is always there. */
	(void)json_object_set_new(item, "playable", json_true());
	if (!content || content->state != AUDIO_CONVERTING)
		(void)json_object_set_new(item, "state", json_string("inherited"));
	return item;
}

int rest_prompt_list(struct rest *rest)
{
	struct prompts *prompts = NULL;
	struct replaced replaced = { 0 };
	json_t *row = NULL, *items = json_array();
	int64_t id;
	int err = content_resolve(rest, &id, &row);

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

static int predefined(struct rest *rest)
{
	return rest_problem(rest, -ECONFLICT, "predefined",
			    REST_TEXT(rest, "Le lingue predefinite non si modificano: creare una lingua personalizzata.",
				      "Built-in languages cannot be changed: create a custom language."));
}

/* The prompt that the path names: `.../prompt/beep/content`, `.../prompt/echo/intro/content`. */
static int path_prompt(struct rest *rest, struct audio_content *c, json_t **row)
{
	struct prompts *prompts = NULL;
	int err = content_resolve(rest, &c->owner_id, row);

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
		err = predefined(rest);
	return err;
}

int rest_prompt_content_get(struct rest *rest)
{
	struct audio_content c = { 0 };
	json_t *row = NULL;
	int err = path_prompt(rest, &c, &row);

	if (!err)
		err = content_send_prompt(rest, row, c.name);
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
		err = content_receive(rest, &c, rest->entity);
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
		err = content_raise_version(rest, rest->entity, c.owner_id);
	if (err)
		return err;
	rest_written(rest, c.owner_id, "modified");
	return rest_answer_empty(rest, 204);
}

/* What became of an archive, for a person: files that took a place, that have none, that are no sound. */
static int report_archive(struct rest *rest, json_t *report)
{
	uint64_t end_ms = clk_mono_ms() + CONTENT_WAIT_MS;
	json_t *failed = json_array(), *item;
	size_t i;
	int err = failed ? 0 : -ENOMEM;

	json_array_foreach(json_object_get(report, "matched"), i, item) {
		struct audio_content c = { .id = js_int(item, "content", 0) };

		if (err || content_wait(rest, &c, end_ms))
			continue;
		(void)json_object_set_new(item, "state", json_string(audio_state_name(c.state)));
		if (content_was_refused(&c))
			err = json_array_append_new(failed,
						    json_pack("{s:s, s:s, s:s, s:s}", "file",
							      js_str(item, "file", ""), "prompt", c.name,
							      "code", c.reason, "message",
							      audio_reason(c.reason, rest->lang))) ?
				      -ENOMEM :
				      0;
		if (content_was_refused(&c) && !c.has_file)
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
					  (json_int_t)content_max_mb(rest) * 1024 * 1024),
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
	int err = content_resolve(rest, &id, &row);

	if (!err && !js_bool(row, "custom", false))
		err = predefined(rest);
	if (!err)
		err = upload_open(rest, &upload);
	if (!err)
		err = content_only_file(rest, &upload, &part);
	if (!err)
		err = upload_keep(zip.incoming, rest->web->config->data_dir, part.data, part.len);
	upload_close(&upload);
	if (!err)
		err = unpack(rest, &zip, id, js_str(row, "code", ""), &report);
	content_drop(rest, &zip);
	reason = js_str(report, "reason", NULL);
	if (!err && json_array_size(json_object_get(report, "matched"))) {
		err = content_raise_version(rest, rest->entity, id);
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
