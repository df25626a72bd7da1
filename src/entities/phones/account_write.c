/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "base/seal.h"
#include "db/db.h"
#include "entities/entities.h"
#include "entities/phones/account_values.h"

/* What happens around the write of an account (BASE-43, BASE-48, BASE-49, APP-09, D-056, D-085). */
#define PASSWORD_MADE 20
#define USERNAME_MAX  64

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

int account_before_validate(struct sch_ctx *ctx, json_t *body)
{
	json_t *mobile = json_object_get(body, "kcti_mobile_app");
	const char *type = json_string_value(json_object_get(body, "type"));
	int err = account_read_aliases(body);

	if (!err && json_is_boolean(mobile) && !type &&
	    json_object_set_new(body, "type",
				json_string(json_is_true(mobile) ? "KCTI_MOBILE_APP" :
								   "SIP_ACCOUNT")))
		err = -ENOMEM;
	if (!err && type && !strcmp(type, "MOBILE_APP") &&
	    json_object_set_new(body, "type", json_string("KCTI_MOBILE_APP")))
		err = -ENOMEM;
	if (json_is_boolean(mobile))
		(void)json_object_del(body, "kcti_mobile_app");
	return err;
}

/* The tenant's prefix is part of the stored name (D-056). */
static int add_prefix(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	const char *name = text_of(row, "username");
	char prefix[16], whole[2 * USERNAME_MAX];
	int err;

	if (old && !strcmp(name, text_of(old, "username")))
		return 0;
	err = db_query_text(prefix, sizeof(prefix), ctx->db,
			    "SELECT COALESCE(sip_prefix, '') FROM \"tenant\" WHERE id = $1",
			    DB_ARGS(db_i64(ctx->tenant_id)));
	if (err || !prefix[0] || !strncmp(name, prefix, strlen(prefix)))
		return err == -ENOENT ? 0 : err;
	(void)snprintf(whole, sizeof(whole), "%s%s", prefix, name);
	if (strlen(whole) > USERNAME_MAX)
		sch_problem_add(ctx, "username", "too_long",
				SCH_TR(ctx, "Con il prefisso \"%s\" il nome supera %d caratteri: accorciarlo.",
				       "With the prefix \"%s\" the name exceeds %d characters: shorten it."),
				prefix, USERNAME_MAX);
	return json_object_set_new(row, "username", json_string(whole)) ? -ENOMEM : 0;
}

static int make_password(struct sch_ctx *ctx, json_t *row)
{
	char made[PASSWORD_MADE + 1];

	seal_random_secret(made, sizeof(made));
	ctx->generated = json_pack("{s:s}", "password", made);
	return ctx->generated && !json_object_set_new(row, "password", json_string(made)) ? 0 :
											    -ENOMEM;
}

static int check_limit(struct sch_ctx *ctx)
{
	int64_t limit = -1, n = 0;
	int err = db_query_i64(&limit, ctx->db, "SELECT max_accounts FROM \"tenant\" WHERE id = $1",
			       DB_ARGS(db_i64(ctx->tenant_id)));

	if (!err && limit >= 0)
		err = db_query_i64(&n, ctx->db, "SELECT COUNT(*) FROM \"account\" WHERE tenant_id = $1",
				   DB_ARGS(db_i64(ctx->tenant_id)));
	if (!err && limit >= 0 && n >= limit)
		sch_problem_add(ctx, "username", "limit",
				SCH_TR(ctx, "Il tenant ha già tutti i suoi %lld account: chiedere di aumentare il limite.",
				       "The tenant has all of its %lld accounts: ask for a higher limit."),
				(long long)limit);
	return err == -ENOENT ? 0 : err;
}

static int check_mobile(struct sch_ctx *ctx, json_t *row)
{
	int64_t extension = json_integer_value(json_object_get(row, "extension"));
	int64_t other = 0;
	int err;

	if (strcmp(text_of(row, "type"), "KCTI_MOBILE_APP"))
		return 0;
	/* The app may call from another address than it registered from (BASE-44). */
	if (json_object_set_new(row, "registration_check", json_false()))
		return -ENOMEM;
	if (!extension)
		return 0;
	err = db_query_i64(&other, ctx->db,
			   "SELECT id FROM \"account\" WHERE extension = $1 AND type = $2 AND id <> $3",
			   DB_ARGS(db_i64(extension), db_text("KCTI_MOBILE_APP"),
				   db_i64(sch_row_id(row))));
	if (!err)
		sch_problem_add(ctx, "type", "double",
				SCH_TR(ctx, "L'interno ha già un account KCTI Mobile App: uno solo è ammesso.",
				       "The extension has a KCTI Mobile App account already: one is allowed."));
	return err == -ENOENT ? 0 : err;
}

/* What the SIP settings switch off cannot be switched on here. */
static int check_settings(struct sch_ctx *ctx, const json_t *row, const json_t *old)
{
	static const struct {
		const char *protocol, *column;
	} protocols[] = { { "UDP", "udp_enabled" }, { "TCP", "tcp_enabled" },
			  { "TLS", "tls_enabled" }, { "WS", "ws_enabled" },
			  { "WSS", "wss_enabled" } };
	const char *srtp = text_of(row, "srtp"), *proxy = text_of(row, "outbound_proxy_protocol");
	char sql[100];
	int64_t on = 1;
	int err = 0;

	if (*srtp && strcmp(srtp, "off") && strcmp(srtp, text_of(old, "srtp"))) {
		err = db_query_i64(&on, ctx->db, "SELECT srtp_support FROM \"sip_settings\"",
				   DB_NO_ARGS);
		if (!err && !on)
			sch_problem_add(ctx, "srtp", "not_available",
					SCH_TR(ctx, "La cifratura RTP (SRTP) è disabilitata dalle impostazioni SIP.",
					       "RTP encryption (SRTP) is switched off in the SIP settings."));
	}
	for (size_t i = 0; !err && i < 5; i++) {
		if (strcmp(proxy, protocols[i].protocol) ||
		    !strcmp(proxy, text_of(old, "outbound_proxy_protocol")))
			continue;
		(void)snprintf(sql, sizeof(sql), "SELECT %s FROM \"sip_settings\"",
			       protocols[i].column);
		err = db_query_i64(&on, ctx->db, sql, DB_NO_ARGS);
		if (!err && !on)
			sch_problem_add(ctx, "outbound_proxy_protocol", "not_available",
					SCH_TR(ctx, "Il trasporto %s è disabilitato dalle impostazioni SIP: sceglierne un altro.",
					       "Transport %s is switched off in the SIP settings: choose another one."),
					proxy);
	}
	return err == -ENOENT ? 0 : err;
}

int account_before_write(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	int err = add_prefix(ctx, row, old);

	if (!err && !old)
		err = check_limit(ctx);
	if (!err && !old && !json_is_string(json_object_get(row, "password")))
		err = make_password(ctx, row);
	if (!err)
		err = check_mobile(ctx, row);
	if (!err)
		err = check_settings(ctx, row, old);
	return err ? err : ctx->n_problems ? -EINVAL : 0;
}
