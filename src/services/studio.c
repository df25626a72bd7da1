/* SPDX-License-Identifier: Apache-2.0 */
#include "services/studio.h"

#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/seal.h"
#include "call/call.h"
#include "call/call_play.h"
#include "call/call_record.h"
#include "call/engine.h"
#include "services/extension.h"
#include "sip/edge.h"
#include "sip/registrar.h"
#include "snapshot/snapshot.h"

#define RING_MS    30000
#define RECORD_MS  (10 * 60 * 1000)
#define MIN_MS     500 /* less is a slip of the finger */
#define TRIES      3
#define REMEMBERED 64  /* tasks whose outcome can be asked for */

enum state { RINGING, PLAYING, RECORDING, DONE, FAILED };
static const char *const state_names[] = { "ringing", "playing", "recording", "done", "failed" };

struct studio {
	struct le le; /* engine->studios, which holds a reference; the fiber holds another */
	char id[STUDIO_ID_SIZE];
	int64_t tenant_id, audio_file;
	int64_t account_id; /* 0: any */
	bool records;
	enum state state;
	const char *reason; /* of FAILED */
	char file[64]; /* what was recorded */
	char title[CALL_TEXT], sound[4200];
};

static void studio_destructor(void *arg)
{
	struct studio *studio = arg;

	list_unlink(&studio->le);
}

/* ------------------------------------------------------------------ the call */

static int say(struct call *call, const char *name, const char *keys)
{
	int n = call_play(call, &(struct prompt){ .names = &name, .n_names = 1, .keys = keys });

	return n < 0 && n != -ENOENT ? n : 0; /* what cannot be heard has been logged */
}

static int ring(const struct studio *studio, struct call *call)
{
	struct dial_identity identity = { .number = call->caller_ext->number, .name = studio->title };
	struct dial_target *targets = NULL;
	size_t n = 0, kept = 0;
	int err = extension_targets(&targets, &n, call, call->caller_ext);

	for (size_t i = 0; i < n; i++)
		if (!studio->account_id || targets[i].account->id == studio->account_id)
			targets[kept++] = targets[i];
	if (!err)
		err = call_ring_caller(call, targets, kept, &identity, RING_MS);
	mem_deref(targets);
	return err;
}

static int play(struct studio *studio, struct call *call)
{
	const char *name = studio->sound;
	int n;

	studio->state = PLAYING;
	n = call_play(call, &(struct prompt){ .names = &name, .n_names = 1 });
	if (n == -EHANGUP)
		n = 0; /* has heard enough */
	return n;
}

/* Kept by jobs, for the audio file it says; a journal holds the order until it is on disk. */
static int keep(const struct studio *studio, struct recording *rec)
{
	json_t *order = json_pack("{s:I, s:I, s:s}", "tenant_id", (json_int_t)studio->tenant_id,
				  "audio_file", (json_int_t)studio->audio_file, "name", studio->title);
	char *text = order ? json_dumps(order, JSON_COMPACT) : NULL;
	int err = text ? recording_note(rec, text) : -ENOMEM;

	free(text);
	json_decref(order);
	return err;
}

/* One try: 0 and *kept false: too short. */
static int record_once(struct studio *studio, struct call *call, bool *kept)
{
	struct recording *rec = NULL;
	enum media_end reason = MEDIA_END_FAILED;
	char path[64];
	int err, hung_up;

	(void)re_snprintf(path, sizeof(path), CONFIG_PHONE_DIR "/%s-%u", studio->id, call->n_recordings);
	studio->state = RECORDING;
	hung_up = call_record(call, call->a,
			      &(struct record_opts){ .path = path, .beep = true, .max_ms = RECORD_MS,
						     .stop_keys = "#" },
			      &rec, &reason);
	err = hung_up == -EHANGUP ? 0 : hung_up;
	*kept = !err && rec && recording_ms(rec) >= MIN_MS;
	if (*kept)
		err = keep(studio, rec);
	if (*kept && !err)
		str_ncpy(studio->file, recording_path(rec), sizeof(studio->file));
	mem_deref(rec);
	return err ? err : hung_up;
}

static int record(struct studio *studio, struct call *call)
{
	bool kept = false;
	int err = 0;

	for (int i = 0; i < TRIES && !err && !kept; i++) {
		studio->state = PLAYING;
		studio->reason = i ? "too_short" : "hung_up";
		if (i)
			err = say(call, "record/too-short", NULL);
		if (!err)
			err = say(call, "record/after-the-beep", "#");
		if (!err)
			err = record_once(studio, call, &kept);
	}
	if (kept) {
		studio->state = DONE;
		if (!err)
			(void)say(call, "record/recorded", "#");
		return 0;
	}
	if (!err)
		studio->reason = "too_short";
	return err ? err : -ENODATA;
}

static void run(struct call *call, void *arg)
{
	struct studio *studio = arg;
	int err;

	call_step_enter(call, "service", studio->records ? "audio_record" : "audio_play", NULL,
			studio->title);
	err = ring(studio, call);
	if (err == -ENOANSWER)
		studio->reason = "no_answer";
	if (!err)
		err = studio->records ? record(studio, call) : play(studio, call);
	if (err && !studio->reason)
		studio->reason = err == -EHANGUP ? "hung_up" : "failed";
	if (err && err != -EHANGUP && err != -ENOANSWER && err != -ENODATA) {
		studio->reason = "failed";
		log_warn("studio.failed", "a phone could not play or record an audio file",
			 kv_text("linkedid", call->linkedid), kv_text("file", studio->title), kv_err(err));
	}
	studio->state = err ? FAILED : DONE;
	mem_deref(studio);
}

/* ------------------------------------------------------------------ asked for */

static const struct snap_account *find_account(const struct snap_extension *extension,
					       const char *username)
{
	for (uint16_t i = 0; i < extension->n_accounts; i++)
		if (!strcmp(extension->accounts[i]->username, username))
			return extension->accounts[i];
	return NULL;
}

static bool is_registered(const struct engine *engine, const struct snap_extension *extension,
			  const struct snap_account *only)
{
	const struct reg_contact *contacts[REG_MAX_CONTACTS];

	for (uint16_t i = 0; i < extension->n_accounts; i++) {
		const struct snap_account *account = extension->accounts[i];

		if ((!only || only == account) && account->enabled &&
		    reg_contacts(edge_registrar(engine->o.edge), account, contacts, REG_MAX_CONTACTS))
			return true;
	}
	return false;
}

/* As much as fits; no letter is cut in two. */
static void copy_title(char title[CALL_TEXT], const char *text)
{
	size_t len = strnlen(text, CALL_TEXT - 1);

	while (len && text[len] && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	memcpy(title, text, len);
	title[len] = '\0';
}

static void remember(struct engine *engine, struct studio *studio)
{
	struct studio *oldest = list_ledata(list_head(&engine->studios));

	if (list_count(&engine->studios) >= REMEMBERED) {
		list_unlink(&oldest->le); /* its call may go on */
		mem_deref(oldest);
	}
	list_append(&engine->studios, &studio->le, mem_ref(studio));
}

int studio_start(struct engine *engine, const struct studio_opts *opts, char id[STUDIO_ID_SIZE])
{
	const struct snap_tenant *tenant = snap_tenant_find(engine->o.snap, opts->tenant_id);
	const struct snap_extension *extension =
		tenant ? snap_extension_find(tenant, opts->extension, strlen(opts->extension)) : NULL;
	const struct snap_account *account = NULL;
	struct studio *studio;
	int err;

	if (!extension || !extension->enabled)
		return -EINVALID;
	if (opts->account && *opts->account) {
		account = find_account(extension, opts->account);
		if (!account)
			return -ENODATA;
	}
	if (!is_registered(engine, extension, account))
		return -ENOTCONN;
	if (extension_is_busy(engine, extension))
		return -EBUSY;

	studio = mem_zalloc(sizeof(*studio), studio_destructor);
	if (!studio)
		return -ENOMEM;
	seal_random_hex(studio->id, sizeof(studio->id));
	studio->tenant_id = opts->tenant_id;
	studio->audio_file = opts->audio_file;
	studio->account_id = account ? account->id : 0;
	studio->records = !opts->sound;
	copy_title(studio->title, opts->title);
	str_ncpy(studio->sound, opts->sound ? opts->sound : "", sizeof(studio->sound));
	str_ncpy(id, studio->id, STUDIO_ID_SIZE);
	remember(engine, studio);
	err = call_originate(engine, tenant, extension, studio->title, run, studio);
	if (err) {
		list_unlink(&studio->le);
		mem_deref(studio);
		mem_deref(studio);
	}
	return err;
}

int studio_state(json_t **ret, const struct engine *engine, int64_t tenant_id, const char *id)
{
	for (const struct le *le = engine->studios.head; le; le = le->next) {
		const struct studio *studio = le->data;

		if (strcmp(studio->id, id) || studio->tenant_id != tenant_id)
			continue;
		*ret = json_pack("{s:I, s:s, s:s*, s:s*}", "audio_file", (json_int_t)studio->audio_file,
				 "state", state_names[studio->state], "reason",
				 studio->state == FAILED ? studio->reason : NULL, "file",
				 studio->file[0] ? studio->file : NULL);
		return *ret ? 0 : -ENOMEM;
	}
	return -ENOENT;
}
