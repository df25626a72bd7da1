/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/seal.h"
#include "bus/bus.h"
#include "web/auth.h"
#include "web/rest.h"
#include "web/sessions.h"
#include "web/web_priv.h"
#include "web/xauth.h"


static json_t *permissions_of(const struct principal *who)
{
	json_t *permissions = json_object();

	for (size_t i = 0; i < sch_n_permissions; i++) {
		const struct sch_permission *p = &sch_permissions[i];
		enum sch_level level = principal_level(who, p->key);
		bool here = who->user.tenant_id ? p->tenant || (who->node_rights && p->node) : p->node;

		if (here && level > SCH_LEVEL_NONE)
			json_object_set_new(permissions, p->key, json_string(sch_level_name(level)));
	}
	return permissions;
}

static const char *session_language(const struct rest *rest)
{
	if (*rest->who->language)
		return rest->who->language;
	return rest->lang == SCH_IT ? "it" : "en";
}

static int answer_session(struct rest *rest, int status)
{
	const struct principal *who = rest->who;

	rest_header(rest, "Cache-Control", "no-store");
	return rest_answer(
		rest, status,
		json_pack("{s:s,s:s,s:I,s:s,s:s,s:s,s:s*,s:s,s:b,s:b,s:o}", "username", who->user.username,
			  "domain", who->user.domain, "tenant_id", (json_int_t)who->user.tenant_id,
			  "tenant_name", who->user.tenant_name, "role", who->user.role_name, "language",
			  session_language(rest), "extension", *who->extension ? who->extension : NULL,
			  "csrf", who->csrf, "node_rights", who->node_rights, "must_change_password",
			  who->must_change_password, "permissions", permissions_of(who)));
}

int rest_session_create(struct rest *rest)
{
	char token[SESSION_TOKEN_CHARS + 1];
	const char *username, *password;
	json_t *body = NULL;
	int err;

	/* A page of another site must not log somebody in as somebody else. */
	err = rest_body(rest, NULL, &body);
	if (err)
		return err;
	username = js_str(body, "username", NULL);
	password = js_str(body, "password", NULL);
	if (!username || !password || strlen(username) > 200 || strlen(password) > 1024) {
		err = rest_problem(rest, -EBADBODY, "malformed_body",
				   REST_TEXT(rest, "Servono i testi username e password.",
					     "The texts username and password are needed."));
		goto out;
	}
	err = auth_password(rest, username, password);
	if (err)
		goto out;
	err = session_begin(rest->db, rest->who, rest->req->address, token);
	if (err)
		goto out;
	log_info("web.login", "a user logged in", kv_text("user", rest->who->full_name),
		 kv_text("source", rest->req->address));
	rest_header(rest, "Set-Cookie",
		    SESSION_COOKIE "=%s; Path=/; Max-Age=%d; HttpOnly; Secure; SameSite=Strict", token,
		    SESSION_LIFE_S);
	err = answer_session(rest, 201);
out:
	json_decref(body);
	return err;
}

int rest_session_get(struct rest *rest)
{
	return answer_session(rest, 200);
}

int rest_session_delete(struct rest *rest)
{
	int err = 0;

	if (rest->who->via == VIA_SESSION)
		err = session_end(rest->db, rest->who->session_hash);
	if (!err && rest->who->via == VIA_SESSION && rest->web->sockets)
		web_sockets_end(rest->web->sockets, rest->who, false);
	rest_header(rest, "Set-Cookie",
		    SESSION_COOKIE "=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict");
	return err ? err : rest_answer_empty(rest, 204);
}

int rest_session_patch(struct rest *rest)
{
	const char *language;
	json_t *body = NULL;
	int err = rest_body(rest, NULL, &body);

	if (err)
		return err;
	language = js_str(body, "language", "");
	if (strcmp(language, "it") && strcmp(language, "en"))
		err = rest_problem(rest, -EINVAL, "unknown_language",
				   REST_TEXT(rest, "language può essere it o en.",
					     "language may be it or en."));
	else
		err = session_set_language(rest->db, rest->who, language);
	json_decref(body);
	return err ? err : answer_session(rest, 200);
}

static int check_new_password(struct rest *rest, const char *current, const char *fresh)
{
	char hash[XAUTH_HEX_BYTES], salt[SCH_SALT_SIZE];
	int err = sch_salt(salt, rest->db, rest->who->user.domain);

	if (err)
		return err;
	xauth_digest_password(hash, current, salt);
	if (!xauth_equal(hash, rest->who->user.verifier))
		return rest_problem(rest, -EINVAL, "wrong_password",
				    REST_TEXT(rest, "La password attuale non è quella.",
					      "The current password is not right."));
	if (!*fresh) /* the registry would keep the old one, and take the change for done */
		return rest_problem(rest, -EINVAL, "missing_password",
				    REST_TEXT(rest, "Indicare la nuova password in \"password\".",
					      "Give the new password as \"password\"."));
	if (!strcasecmp(fresh, rest->who->user.username) || !strcmp(fresh, current))
		return rest_problem(rest, -EINVAL, "weak_password",
				    REST_TEXT(rest,
					      "La nuova password deve essere diversa dalla precedente e dal nome utente.",
					      "The new password must differ from the old one and from the user name."));
	return 0;
}

/* PUT me/password {"current", "password"}: one's own (PLT-09); needs no permission and no lock. */
int rest_password_change(struct rest *rest)
{
	const struct sch_entity *entity = sch_find("user");
	const char *current, *fresh;
	struct principal *now = NULL;
	json_t *body = NULL, *patch = NULL;
	char name[32];
	int64_t id;
	int err;

	snprintf(name, sizeof(name), "pw:%lld", (long long)rest->who->user.id);
	err = auth_rate(rest, name, (struct web_rate){ .burst = 10, .refill_ms = 6000 });
	if (err)
		return err;
	err = rest_body(rest, NULL, &body);
	if (err)
		return err;
	current = js_str(body, "current", "");
	fresh = js_str(body, "password", "");
	err = check_new_password(rest, current, fresh);
	if (err)
		goto out;

	patch = json_pack("{s:s,s:b}", "password", fresh, "force_password_change", 0);
	rest->ctx.system = true; /* his own, predefined user or not */
	rest->ctx.levels = NULL;
	err = sch_write(&rest->ctx, entity, SCH_PATCH, rest->who->user.id, patch, 0, &id);
	if (err)
		goto out;
	web_applier_touch(rest->web->applier, rest->who->user.tenant_id);

	err = principal_by_id(&now, rest->db, rest->who->user.id);
	if (err)
		goto out;
	snprintf(now->csrf, sizeof(now->csrf), "%s", rest->who->csrf);
	snprintf(now->session_hash, sizeof(now->session_hash), "%s", rest->who->session_hash);
	err = session_end_others(rest->db, now);
	if (!err && rest->web->sockets)
		web_sockets_end(rest->web->sockets, now, true);
	principal_free(now);
	if (!err)
		err = rest_answer_empty(rest, 204);
out:
	json_decref(patch);
	json_decref(body);
	return err;
}

/* ------------------------------------------------------------------ salt */

/* API-03, D-224. */
int rest_salt_get(struct rest *rest)
{
	static const struct web_rate rate = { .burst = 10, .refill_ms = 100 }; /* D-245 */
	char salt[SCH_SALT_SIZE], name[80];
	struct web_text text = { 0 };
	int err;

	snprintf(name, sizeof(name), "s:%s", rest->req->address);
	err = auth_rate(rest, name, rate);
	if (err)
		return err;
	err = sch_salt(salt, rest->db, rest->params[0]);
	if (err)
		return err;
	rest_header(rest, "Cache-Control", "no-store");
	if (rest->repr == REPR_TEXT) {
		web_text_puts(&text, salt);
		return rest_answer_text(rest, 200, web_repr_ctype(REPR_TEXT), &text);
	}
	return rest_answer(rest, 200, json_pack("{s:s}", "salt", salt));
}
