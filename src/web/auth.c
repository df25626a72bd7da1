/* SPDX-License-Identifier: Apache-2.0 */
#include "web/auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"
#include "bus/bus.h"
#include "web/security.h"
#include "web/sessions.h"
#include "web/web_priv.h"
#include "web/xauth.h"

/*
 * D-245: ten failures a minute per address and user. An address that tries many users, and a user
 * tried from many addresses, have limits of their own, wide enough for an office behind one address.
 */
static const struct web_rate rate_pair = { .burst = 10, .refill_ms = 6000 };
static const struct web_rate rate_address = { .burst = 60, .refill_ms = 1000 };
static const struct web_rate rate_user = { .burst = 100, .refill_ms = 600 };

struct attempt {
	char pair[256], address[96], user[192];
	const char *username;
};

static void attempt_init(struct attempt *attempt, const struct rest *rest, const char *username,
			 const char *domain)
{
	char name[160];

	snprintf(name, sizeof(name), "%.64s@%.64s", username, domain);
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	snprintf(attempt->pair, sizeof(attempt->pair), "p:%s|%s", rest->req->address, name);
	snprintf(attempt->address, sizeof(attempt->address), "a:%s", rest->req->address);
	snprintf(attempt->user, sizeof(attempt->user), "u:%s", name);
	attempt->username = username;
}

static int too_many(struct rest *rest, uint32_t wait_ms)
{
	rest_header(rest, "Retry-After", "%u", (wait_ms + 999) / 1000);
	return rest_problem(rest, -ETOOMANY, "too_many",
			    REST_TEXT(rest, "Troppe richieste: riprovare tra %u secondi.",
				      "Too many requests: try again in %u seconds."),
			    (wait_ms + 999) / 1000);
}

int auth_rate(struct rest *rest, const char *name, struct web_rate rate)
{
	uint32_t wait = web_limiter_take(rest->web->rates, name, rate, 1, clk_mono_ms());

	return wait ? too_many(rest, wait) : 0;
}

/* Before anything is looked up: has this caller failed too often lately? */
static int attempt_allowed(struct rest *rest, const struct attempt *attempt)
{
	struct web_limiter *failures = rest->web->failures;
	uint64_t now_ms = clk_mono_ms();
	uint32_t wait;

	wait = web_limiter_take(failures, attempt->pair, rate_pair, 0, now_ms);
	if (!wait)
		wait = web_limiter_take(failures, attempt->address, rate_address, 0, now_ms);
	if (!wait)
		wait = web_limiter_take(failures, attempt->user, rate_user, 0, now_ms);
	return wait ? too_many(rest, wait) : 0;
}

static int attempt_failed(struct rest *rest, const struct attempt *attempt)
{
	struct web_limiter *failures = rest->web->failures;
	uint64_t now_ms = clk_mono_ms();

	(void)web_limiter_take(failures, attempt->pair, rate_pair, 1, now_ms);
	(void)web_limiter_take(failures, attempt->address, rate_address, 1, now_ms);
	(void)web_limiter_take(failures, attempt->user, rate_user, 1, now_ms);
	log_info("web.auth_failed", "a login or API call was refused",
		 kv_text("user", attempt->username), kv_text("source", rest->req->address));
	if (rest->web->bus)
		bus_publish(rest->web->bus, "sys.security.web.auth_failed",
			    json_pack("{s:s,s:s,s:i}", "source", rest->req->address, "username",
				      attempt->username, "count",
				      (int)web_limiter_used(failures, attempt->pair, rate_pair,
							    now_ms)));
	return -EAUTH;
}

/* D-037: a default password opens the API to neighbours only, never to the Internet. */
static int default_password_allowed(struct rest *rest, const struct principal *who)
{
	if (!who->user.default_password || web_address_is_private(rest->req->address))
		return 0;
	return rest_problem(rest, -EFORBIDDEN, "default_password",
			    REST_TEXT(rest,
				      "La password predefinita va cambiata prima di usare il PBX da indirizzi pubblici.",
				      "The default password must be changed before the PBX is used from public addresses."));
}

/* API-08, in its order. */
static int by_header(struct rest *rest, const char *text)
{
	char digest[XAUTH_DIGEST_BYTES];
	int64_t now_s = clk_wall_s();
	struct principal *who = NULL;
	struct attempt attempt;
	struct xauth auth;
	bool machine, equal;
	int err;

	if (xauth_parse(&auth, text, strlen(text))) {
		attempt_init(&attempt, rest, "", "");
		err = attempt_allowed(rest, &attempt);
		return err ? err : attempt_failed(rest, &attempt);
	}
	machine = xauth_is_machine_domain(auth.domain);
	attempt_init(&attempt, rest, auth.username, machine ? "" : auth.domain);
	err = attempt_allowed(rest, &attempt);
	if (err)
		return err;
	if (!xauth_in_window(&auth, now_s))
		return attempt_failed(rest, &attempt);

	err = principal_find(&who, rest->db, auth.username, machine ? "" : auth.domain);
	if (err && err != -ENOENT)
		return err;
	/* An unknown user costs the same hash as a known one. */
	xauth_digest(digest, auth.nonce, who ? who->user.verifier : "", auth.username, auth.domain,
		     auth.created);
	equal = xauth_equal(digest, auth.digest);
	if (!who || !who->user.enabled || !who->user.api || !who->is_local || !*who->user.verifier || !equal) {
		principal_free(who);
		return attempt_failed(rest, &attempt);
	}

	err = xauth_nonces_use(rest->web->nonces, who->user.id, auth.nonce, auth.created_s, now_s);
	if (err) {
		principal_free(who);
		return err == -EDUPLICATE ? attempt_failed(rest, &attempt) :
		       err == -ENOBUFS	  ? too_many(rest, 60000) : err;
	}
	who->via = VIA_HEADER;
	rest->who = who;
	return default_password_allowed(rest, who);
}

/*
 * Until a forced change of password is done there is nothing else (D-037): neither what needs a
 * permission nor what is open to every user. The pages need the schema for their frame.
 */
static bool is_open_before_change(const struct route *route)
{
	return !route || route->handler == rest_schema_get ||
	       (route->tag && !strcmp(route->tag, "session"));
}

/* Every change needs the header that only our own pages can know (D-238). */
static int by_cookie(struct rest *rest, const char *token)
{
	const char *csrf = rest->req->headers[H_CSRF];
	int err = session_find(&rest->who, rest->db, token);

	if (err == -ENOENT)
		return -EAUTH;
	if (err)
		return err;
	if (!(rest->req->method & WEB_READS) && (!csrf || !xauth_equal(csrf, rest->who->csrf)))
		return rest_problem(rest, -EFORBIDDEN, "csrf",
				    REST_TEXT(rest, "Manca l'intestazione X-CSRF-Token della sessione.",
					      "The header X-CSRF-Token of the session is missing."));
	if (!web_origin_matches(rest->req->headers[H_ORIGIN], rest->req->headers[H_HOST]))
		return rest_problem(rest, -EFORBIDDEN, "origin",
				    REST_TEXT(rest, "La richiesta viene da un altro sito.",
					      "The request comes from another site."));
	if (rest->who->must_change_password && !is_open_before_change(rest->route))
		return rest_problem(rest, -EFORBIDDEN, "password_change_required",
				    REST_TEXT(rest, "Cambiare prima la password.",
					      "Change the password first."));
	return 0;
}

int auth_request(struct rest *rest, bool anonymous_ok)
{
	const char *header = rest->req->headers[H_AUTHENTICATE];
	char token[SESSION_TOKEN_CHARS + 1], name[32];
	unsigned per_s = rest->web->config->web_rate;
	int err;

	if (header)
		err = by_header(rest, header);
	else if (!session_token(token, rest->req->headers[H_COOKIE]))
		err = by_cookie(rest, token);
	else
		return anonymous_ok ? 0 : -EAUTH;
	if (err)
		return err;

	log_context_set(rest->who->user.domain, NULL);
	if (!rest->req->headers[H_ACCEPT_LANGUAGE] && *rest->who->language)
		rest->lang = *rest->who->language == 'i' ? SCH_IT : SCH_EN;
	if (!per_s)
		return 0;
	snprintf(name, sizeof(name), "r:%lld", (long long)rest->who->user.id);
	return auth_rate(rest, name,
			 (struct web_rate){ .burst = 2 * per_s,
					    .refill_ms = per_s < 1000 ? 1000 / per_s : 1 });
}

int auth_password(struct rest *rest, const char *username, const char *password)
{
	char name[128], hash[XAUTH_HEX_BYTES], salt[SCH_SALT_SIZE], *domain;
	struct principal *who = NULL;
	struct attempt attempt;
	bool equal;
	int err;

	snprintf(name, sizeof(name), "%s", username);
	domain = strrchr(name, '@');
	if (domain)
		*domain++ = '\0';
	attempt_init(&attempt, rest, name, domain ? domain : "");
	err = attempt_allowed(rest, &attempt);
	if (err)
		return err;

	err = principal_find(&who, rest->db, name,
			     domain && xauth_is_machine_domain(domain) ? "" : domain);
	if (err && err != -ENOENT)
		return err;
	err = sch_salt(salt, rest->db, who ? who->user.domain : domain ? domain : "");
	if (err) {
		principal_free(who);
		return err;
	}
	xauth_digest_password(hash, password, salt);
	equal = who && xauth_equal(hash, who->user.verifier);
	if (!who || !who->user.enabled || !who->is_local || !*who->user.verifier || !equal) {
		principal_free(who);
		return attempt_failed(rest, &attempt);
	}
	rest->who = who;
	if (!who->user.gui)
		return rest_problem(rest, -EFORBIDDEN, "no_gui_access",
				    REST_TEXT(rest, "Questo utente non ha l'accesso GUI.",
					      "This user has no GUI access."));
	return 0;
}
