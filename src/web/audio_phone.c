/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "audio/store.h"
#include "base/arena.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"
#include "web/content.h"
#include "web/rest.h"
#include "web/web_priv.h"

/*
 * Audio files on a phone (PLT-30): the switch rings it and plays or records; jobs bring what was recorded
 * into the store as they do with uploads. A request returns when the phone rings.
 */
#define SWITCH_WAIT_MS 5000

/* ------------------------------------------------------------------ ringing */

static const struct refusal {
	int err, as;
	const char *field, *code;
	struct sch_label text;
} refusals[] = {
	{ -EINVALID, -EINVAL, "extension", "unknown_extension",
	  { "Questo interno non esiste, è disattivato o non è ancora applicato: sceglierne un altro.",
	    "There is no such extension, it is disabled or not applied yet: choose another one." } },
	{ -ENODATA, -EINVAL, "account", "unknown_account",
	  { "L'account non appartiene a questo interno: scegliere uno dei suoi account.",
	    "The account does not belong to this extension: choose one of its accounts." } },
	{ -ENOTCONN, -ECONFLICT, "account", "not_registered",
	  { "Il telefono non è registrato: collegarlo, o scegliere un altro account.",
	    "The phone is not registered: connect it, or choose another account." } },
	{ -EBUSY, -ECONFLICT, "extension", "busy",
	  { "L'interno è occupato: attendere la fine delle sue chiamate.",
	    "The extension is busy: wait until its calls have ended." } },
};

static int refused(struct rest *rest, int err)
{
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *r = &refusals[i];
		const char *text = REST_TEXT(rest, r->text.it, r->text.en);

		if (r->err != err)
			continue;
		sch_problem_add(&rest->ctx, r->field, r->code, "%s", text);
		return rest_problem(rest, r->as, r->code, "%s", text);
	}
	return err == -ETIMEDOUT ? -EUNAVAILABLE : err;
}

/* The phone to be rung, out of the request's body. */
static int read_phone(struct rest *rest, json_t **body)
{
	int err = rest_body(rest, NULL, body);

	if (err)
		return err;
	if (*js_str(*body, "extension", ""))
		return 0;
	sch_problem_add(&rest->ctx, "extension", "required", "%s",
			REST_TEXT(rest, "Indicare il numero dell'interno da chiamare.",
				  "Give the number of the extension to be called."));
	return -EINVAL;
}

/* sound NULL: a recording is made. ret: {"id"} of the switch. */
static int ring(struct rest *rest, const json_t *phone, int64_t file, const char *title,
		const char *sound, json_t **ret)
{
	json_t *question;
	int err;

	if (!rest->web->bus)
		return -EUNAVAILABLE;
	question = json_pack("{s:I, s:s, s:s, s:s, s:s*, s:I}", "tenant_id",
			     (json_int_t)rest->ctx.tenant_id, "extension",
			     js_str(phone, "extension", ""), "account", js_str(phone, "account", ""),
			     "title", title, "sound", sound, "audio_file", (json_int_t)file);
	if (!question)
		return -ENOMEM;
	err = bus_request_wait(ret, rest->web->bus, "cmd.switch.studio", question, SWITCH_WAIT_MS);
	return err ? refused(rest, err) : 0;
}

static int answer_ringing(struct rest *rest, int64_t file, json_t *task)
{
	rest_header(rest, "Cache-Control", "no-store");
	return rest_answer(rest, 202, json_pack("{s:s, s:I, s:s}", "task", js_str(task, "id", ""), "id",
						(json_int_t)file, "state", "ringing"));
}

/* ------------------------------------------------------------------ playing */

/* As the switch plays it: the uploaded file, or the prompt of a predefined one. */
static int sound_of(struct rest *rest, int64_t id, const json_t *row, char *buf, size_t size)
{
	struct audio_content content;
	char path[PATH_MAX];
	int err = audio_find(&content, rest->db, AUDIO_FILE, rest->ctx.tenant_id, id, "");

	if (err && err != -ENOENT)
		return err;
	if (!err && content.has_file) {
		err = audio_path(path, sizeof(path), rest->web->config->data_dir, &content);
		if (!err && (size_t)snprintf(buf, size, "file:%s", path) >= size)
			err = -ENAMETOOLONG;
		return err;
	}
	if (js_bool(row, "builtin", false)) {
		(void)snprintf(buf, size, "%s", js_str(row, "name", ""));
		return 0;
	}
	return rest_problem(rest, -ECONFLICT, "no_content",
			    REST_TEXT(rest, "Non c'è ancora nulla da riprodurre: caricare o registrare il contenuto.",
				      "There is nothing to play yet: upload or record the content."));
}

int rest_audio_play(struct rest *rest)
{
	json_t *body = NULL, *row = NULL, *task = NULL;
	char sound[PATH_MAX + 8];
	int64_t id;
	int err = content_resolve(rest, &id, &row);

	if (!err)
		err = read_phone(rest, &body);
	if (!err)
		err = sound_of(rest, id, row, sound, sizeof(sound));
	if (!err)
		err = ring(rest, body, id, js_str(row, "path", ""), sound, &task);
	if (!err)
		err = answer_ringing(rest, id, task);
	json_decref(task);
	json_decref(body);
	json_decref(row);
	return err;
}

/* ------------------------------------------------------------------ recording */

/* Replaces the content of a file, whether it has one or not. */
int rest_audio_rerecord(struct rest *rest)
{
	json_t *body = NULL, *row = NULL, *task = NULL;
	int64_t id;
	int err = content_resolve(rest, &id, &row);

	if (!err)
		err = read_phone(rest, &body);
	if (!err)
		err = ring(rest, body, id, js_str(row, "path", ""), NULL, &task);
	if (!err && content_raise_version(rest, rest->entity, id))
		log_warn("web.audio", "a recording is not noted as a change", kv_int("audio_file", id));
	if (!err) {
		rest_written(rest, id, "modified");
		err = answer_ringing(rest, id, task);
	}
	json_decref(task);
	json_decref(body);
	json_decref(row);
	return err;
}

static int create_row(struct rest *rest, const json_t *body, int64_t *id)
{
	const char *folder = js_str(body, "folder", "");
	json_t *row = json_pack("{s:s, s:s*}", "name", js_str(body, "name", ""), "folder",
				*folder ? folder : NULL);
	int err = row ? sch_write(&rest->ctx, rest->entity, SCH_CREATE, 0, row, 0, id) : -ENOMEM;

	json_decref(row);
	return err;
}

/* A new file. It is made before the phone rings, so that its name is free and stays so; when nothing is
 * recorded it is empty, and can be recorded again or deleted. */
int rest_audio_record(struct rest *rest)
{
	json_t *body = NULL, *row = NULL, *task = NULL;
	int64_t id = 0;
	int err = read_phone(rest, &body);

	if (!err)
		err = create_row(rest, body, &id);
	if (!err)
		err = sch_get(&rest->ctx, rest->entity, id, &row);
	if (!err)
		err = ring(rest, body, id, js_str(row, "path", ""), NULL, &task);
	if (err && id)
		content_forget(rest, id);
	if (!err) {
		rest_written(rest, id, "created");
		err = answer_ringing(rest, id, task);
	}
	json_decref(task);
	json_decref(body);
	json_decref(row);
	return err;
}

/* ------------------------------------------------------------------ how far it is */

static const struct sch_value reasons[] = {
	{ "no_answer", { "Il telefono non ha risposto.", "The phone did not answer." } },
	{ "hung_up", { "Chi ha risposto ha riagganciato prima di registrare.",
		       "Who answered hung up before recording." } },
	{ "too_short", { "La registrazione era troppo breve: parlare dopo il segnale acustico.",
			 "The recording was too short: speak after the beep." } },
	{ "failed", { "La chiamata non è riuscita: riprovare.", "The call failed: try again." } },
};

/* Recorded, but jobs have not taken it over yet. */
static bool is_waiting(const struct rest *rest, const char *file)
{
	static const char *const ends[] = { ".part", "" };
	char path[PATH_MAX];

	for (size_t i = 0; i < 2 && *file; i++) {
		(void)snprintf(path, sizeof(path), "%s/" CONFIG_RECORDINGS_DIR "/%s%s",
			       rest->web->config->data_dir, file, ends[i]);
		if (!access(path, F_OK))
			return true;
	}
	return false;
}

/* What became of the recording: converting, ready, failed. */
static const char *content_state(struct rest *rest, const json_t *task, const char **message)
{
	struct audio_content c;

	if (is_waiting(rest, js_str(task, "file", "")) ||
	    audio_find(&c, rest->db, AUDIO_FILE, rest->ctx.tenant_id, js_int(task, "audio_file", 0), ""))
		return "converting";
	if (c.state != AUDIO_CONVERTING && c.reason[0]) {
		*message = audio_reason(c.reason, rest->lang);
		return "failed";
	}
	return audio_state_name(c.state);
}

int rest_audio_phone_get(struct rest *rest)
{
	const char *state, *reason, *message = NULL;
	json_t *task = NULL, *question;
	int err;

	if (!rest->web->bus)
		return -EUNAVAILABLE;
	question = json_pack("{s:I, s:s}", "tenant_id", (json_int_t)rest->ctx.tenant_id, "id",
			     rest->params[0]);
	err = bus_request_wait(&task, rest->web->bus, "cmd.switch.studio_state", question,
			       SWITCH_WAIT_MS);
	if (err)
		return err == -ETIMEDOUT ? -EUNAVAILABLE : err;

	state = js_str(task, "state", "");
	reason = js_str(task, "reason", NULL);
	for (size_t i = 0; reason && i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (!strcmp(reasons[i].value, reason))
			message = REST_TEXT(rest, reasons[i].label.it, reasons[i].label.en);
	if (js_str(task, "file", NULL) && !strcmp(state, "done"))
		state = content_state(rest, task, &message);
	rest_header(rest, "Cache-Control", "no-store");
	err = rest_answer(rest, 200,
			  json_pack("{s:s, s:I, s:s, s:s?, s:s?}", "task", rest->params[0], "id",
				    (json_int_t)js_int(task, "audio_file", 0), "state", state, "reason",
				    reason, "message", message));
	json_decref(task);
	return err;
}
