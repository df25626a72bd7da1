/* SPDX-License-Identifier: Apache-2.0 */
/* aoide ctl: recordings, listening to calls. */
#include "app/ctl.h"

#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/seal.h"
#include "bus/bus.h"
#include "media/vault.h"

#define ASK_TIMEOUT_MS 10000u

static int print_answer(const struct ctl *ctl, const json_t *answer, const char *text, const char *name)
{
	if (ctl->is_json)
		return ctl_print_json(answer);
	(void)printf("%s %s\n", text, name);

	return CTL_OK;
}

/* Asks and waits, with what the answers of these commands mean. */
static int ask(struct ctl *ctl, const char *subject, json_t *data, json_t **ret)
{
	static const struct {
		int err;
		const char *text;
	} reasons[] = {
		{ -EINUSE, "this call is being recorded already" },
		{ -ENODATA, "this call is not being recorded" },
		{ -ENOTCONN, "nobody talks in this call" },
		{ -ENOTSUP, "the phones of this call talk to each other directly: the PBX does not hear them" },
		{ -EFORBIDDEN, "there is no key to encrypt with; see the log of the switch" },
		{ -EINVALID, "there is no such extension in the call's tenant, or it is disabled" },
	};
	const int err = bus_request_wait(ret, ctl->bus, subject, data, ASK_TIMEOUT_MS);

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (err == reasons[i].err) {
			(void)fprintf(stderr, "aoide ctl: %s\n", reasons[i].text);
			return CTL_FAILED;
		}
	}
	if (err == -ENOENT) {
		(void)fprintf(stderr, "aoide ctl: there is no such call\n");
		return CTL_NOT_FOUND;
	}
	if (err)
		(void)fprintf(stderr, "aoide ctl: %s: %s\n", subject, err_text(err));
	return err ? CTL_FAILED : CTL_OK;
}

int ctl_record(struct ctl *ctl)
{
	static const char *const verbs[] = { "start", "pause", "resume", "stop" };
	json_t *answer = NULL;
	bool is_known = false;
	int code;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		is_known = is_known || !strcmp(ctl->argv[1], verbs[i]);
	if (!is_known) {
		(void)fprintf(stderr, "aoide ctl: record CALL start|pause|resume|stop\n");
		return CTL_USAGE;
	}

	code = ask(ctl, "cmd.switch.record",
		       json_pack("{s:s, s:s, s:b, s:b, s:b}", "linkedid", ctl->argv[0], "verb",
				 ctl->argv[1], "mono", ctl->with.mono, "opus", ctl->with.opus, "encrypt",
				 ctl->with.encrypt),
		       &answer);
	if (!code)
		code = print_answer(ctl, answer, ctl->argv[1], js_str(answer, "file", ""));
	json_decref(answer);
	return code;
}

int ctl_spy(struct ctl *ctl)
{
	const char *role = ctl->with.barge ? "barge" : ctl->with.whisper ? "whisper" : "spy";
	json_t *answer = NULL;
	int code;

	code = ask(ctl, "cmd.switch.spy",
		       json_pack("{s:s, s:s, s:s, s:s}", "linkedid", ctl->argv[0], "extension",
				 ctl->argv[1], "role", role, "to", ctl->with.to_caller ? "a" : "b"),
		       &answer);
	if (!code)
		code = print_answer(ctl, answer, "ringing", ctl->argv[1]);
	json_decref(answer);
	return code;
}

int ctl_rooms(struct ctl *ctl)
{
	static const char *const titles[] = { "CALL", "EXTENSION", "ROLE" };
	json_t *answer = NULL, *rows = json_array(), *room, *member;
	size_t i, k;
	int code;

	code = ask(ctl, "cmd.switch.rooms", json_object(), &answer);
	if (code)
		goto out;
	if (ctl->is_json) {
		code = ctl_print_json(json_object_get(answer, "items"));
		goto out;
	}

	json_array_foreach(json_object_get(answer, "items"), i, room) {
		json_array_foreach(json_object_get(room, "members"), k, member)
			json_array_append_new(rows, json_pack("[s, s, s]",
							      k ? "" : js_str(room, "linkedid", ""),
							      js_str(member, "extension", ""),
							      js_str(member, "role", "")));
	}
	ctl_print_table(titles, 3, rows);

out:
	json_decref(answer);
	json_decref(rows);
	return code;
}

/* What went wrong, and what to do. */
static int tell(const char *file, int err)
{
	const char *why = err == -ECORRUPT ? "it was encrypted by another installation, or was changed"
			  : err == -EBADMSG ? "it is not an encrypted recording"
			  : err == -EEXIST  ? "the file exists; remove it or choose another name"
					    : err_text(err);

	(void)fprintf(stderr, "aoide ctl: %s: %s\n", file, why);
	return err == -ENOENT ? CTL_NOT_FOUND : CTL_FAILED;
}

int ctl_decrypt(struct ctl *ctl)
{
	uint8_t key[VAULT_KEY_BYTES];
	int err;

	err = seal_init(ctl->config->data_dir);
	if (!err)
		err = vault_key_load(key, ctl->config->data_dir);
	if (err) {
		(void)fprintf(stderr,
			      "aoide ctl: the key of the recordings cannot be read in %s: %s; run this as "
			      "the user of the PBX\n",
			      ctl->config->data_dir, err_text(err));
		return CTL_FAILED;
	}

	err = vault_open_file(ctl->argv[0], ctl->argv[1], key);
	sodium_memzero(key, sizeof(key));
	if (err == -ENODATA) {
		(void)fprintf(stderr,
			      "aoide ctl: %s was cut off, by a crash or a copy; what it holds has been written\n",
			      ctl->argv[0]);
		return CTL_OK;
	}
	if (err)
		return tell(err == -EEXIST ? ctl->argv[1] : ctl->argv[0], err);

	(void)printf("%s\n", ctl->argv[1]);
	return CTL_OK;
}
