/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/seal.h"
#include "db/db.h"
#include "entities/entities.h"

/* What happens around the write of a tenant: its identity, and what a new one holds (D-356). */
#define PREFIX_LENGTH 6

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

static int put(json_t *row, const char *name, const char *value)
{
	return json_object_set_new(row, name, json_string(value)) ? -ENOMEM : 0;
}

int tenant_before_validate(struct sch_ctx *ctx, json_t *body)
{
	static const char *const lowered[] = { "domain", "sip_prefix" };

	for (size_t k = 0; k < 2; k++) {
		const char *text = json_string_value(json_object_get(body, lowered[k]));
		char *copy = text ? arena_strdup(ctx->arena, text) : NULL;

		for (char *p = copy; p && *p; p++)
			*p = (char)tolower((unsigned char)*p);
		if (copy && put(body, lowered[k], copy))
			return -ENOMEM;
	}
	return 0;
}

static int random_prefix(json_t *row)
{
	char hex[PREFIX_LENGTH + 1];

	seal_random_hex(hex, sizeof(hex));
	return put(row, "sip_prefix", hex);
}

static void check_prefix(struct sch_ctx *ctx, const char *prefix)
{
	bool ok = strlen(prefix) == PREFIX_LENGTH;

	for (const char *p = prefix; *p; p++)
		ok = ok && (isdigit((unsigned char)*p) || (*p >= 'a' && *p <= 'z'));
	if (!ok)
		sch_problem_add(ctx, "sip_prefix", "bad_format",
				SCH_TR(ctx, "Il prefisso ha sei lettere minuscole non accentate o cifre.",
				       "The prefix has six unaccented lower-case letters or digits."));
}

static int check_prefix_free(struct sch_ctx *ctx, const json_t *row, const json_t *old)
{
	bool is_default = old && !strcmp(text_of(old, "domain"), "default");
	int64_t n = 0;
	int err;

	if (!old || is_default || !strcmp(text_of(row, "sip_prefix"), text_of(old, "sip_prefix")))
		return 0;
	err = db_query_i64(&n, ctx->db, "SELECT COUNT(*) FROM \"account\" WHERE tenant_id = $1",
			   DB_ARGS(db_i64(sch_row_id(old))));
	if (!err && n)
		sch_problem_add(ctx, "sip_prefix", "in_use",
				SCH_TR(ctx, "Il prefisso non si cambia finché il tenant ha account.",
				       "The prefix cannot change while the tenant has accounts."));
	return err;
}

static int check_fallback(struct sch_ctx *ctx, const json_t *row, const json_t *old)
{
	char name[260];
	int err;

	if (!json_is_true(json_object_get(row, "provisioning_fallback")))
		return 0;
	err = db_query_text(name, sizeof(name), ctx->db,
			    "SELECT name FROM \"tenant\" WHERE provisioning_fallback = 1 AND id <> $1",
			    DB_ARGS(db_i64(sch_row_id(old))));
	if (err == -ENOENT)
		return 0;
	if (!err)
		sch_problem_add(ctx, "provisioning_fallback", "taken",
				SCH_TR(ctx, "Lo ha già il tenant \"%s\": toglierlo prima a quello.",
				       "Tenant \"%s\" has it already: take it from that one first."),
				name);
	return err;
}

static int make_identity(json_t *row)
{
	char hex[33], uuid[37];
	int err;

	seal_random_hex(hex, sizeof(hex));
	err = put(row, "salt", hex);
	seal_random_hex(hex, sizeof(hex));
	hex[12] = '4'; /* a random UUID (RFC 4122 section 4.4) */
	hex[16] = "89ab"[hex[16] & 3];
	(void)snprintf(uuid, sizeof(uuid), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
		       hex + 16, hex + 20);
	return err ? err : put(row, "uuid", uuid);
}

int tenant_before_write(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	bool is_default = !strcmp(text_of(row, "domain"), "default");
	int err = 0;

	if (!old)
		err = make_identity(row);
	if (!err && !is_default && !*text_of(row, "sip_prefix"))
		err = old ? put(row, "sip_prefix", text_of(old, "sip_prefix")) : random_prefix(row);
	if (!err && *text_of(row, "sip_prefix"))
		check_prefix(ctx, text_of(row, "sip_prefix"));
	if (!err)
		err = check_prefix_free(ctx, row, old);
	if (!err)
		err = check_fallback(ctx, row, old);
	if (old && !strcmp(text_of(old, "domain"), "default") && !is_default)
		sch_problem_add(ctx, "domain", "predefined",
				SCH_TR(ctx, "Il dominio del tenant predefinito non si cambia.",
				       "The domain of the default tenant cannot change."));
	return err ? err : ctx->n_problems ? -EINVAL : 0;
}

/* ------------------------------------------------------------------ contents of a new tenant */

static const struct seed_role {
	const char *kind, *description;
	int priority; /* as D-039 says, beyond what may be typed */
	const char *permission, *level;
} seed_roles[] = {
	{ "tenant_user", "Tenant User", 0, "shared_phonebook", "read" },
	{ "tenant_admin", "PBX administrator", 100, NULL, NULL },
	{ "privacy_admin", "Tenant privacy administrator", 0, "call_log_view", "read" },
	{ "phonebook", "Tenant phonebook user", 0, "shared_phonebook", "read" },
	{ "click2call", "Tenant Click2Call user", 0, NULL, NULL },
	{ "nexus", "Tenant NEXUS user", 0, "call_log_view", "read" },
};

static const struct seed_user {
	const char *username, *first, *last, *kind;
} seed_users[] = {
	{ "admin", "Tenant", "Admin", "tenant_admin" },
	{ "privacyadmin", "Privacy", "Admin", "privacy_admin" },
	{ "phonebook", "Phonebook", "User", "phonebook" },
	{ "click2call", "Click2Call", "User", "click2call" },
	{ "kalliope-nexus", "Nexus", "User", "nexus" },
};

static int create(struct sch_ctx *ctx, const char *entity, json_t *body, int64_t *ret)
{
	int err = body ? sch_write(ctx, sch_find(entity), SCH_CREATE, 0, body, 0, ret) : -ENOMEM;

	json_decref(body);
	return err;
}

static int seed_one_role(struct sch_ctx *ctx, const struct seed_role *r)
{
	json_t *body = json_pack("{s:s, s:s, s:i}", "description", r->description, "kind", r->kind,
				 "priority", r->priority);

	if (body && r->permission)
		(void)json_object_set_new(body, "permissions",
					  json_pack("{s:s}", r->permission, r->level));
	return create(ctx, "role", body, NULL);
}

static int role_of_kind(int64_t *ret, struct sch_ctx *ctx, const char *kind)
{
	return db_query_i64(ret, ctx->db, "SELECT id FROM \"role\" WHERE tenant_id = $1 AND kind = $2",
			    DB_ARGS(db_i64(ctx->tenant_id), db_text(kind)));
}

static int seed_one_user(struct sch_ctx *ctx, const struct seed_user *u, const char *password)
{
	bool is_admin = !strcmp(u->kind, "tenant_admin");
	int64_t role = 0;
	json_t *body;
	int err = role_of_kind(&role, ctx, u->kind);

	if (err)
		return err;
	body = json_pack("{s:s, s:s, s:s, s:I, s:b, s:b, s:b, s:b, s:b}", "username", u->username,
			 "first_name", u->first, "last_name", u->last, "role", (json_int_t)role,
			 "predefined", 1, "enabled", is_admin, "gui_access", is_admin, "cti_access",
			 is_admin, "api_access", is_admin);
	if (body && is_admin &&
	    (json_object_set_new(body, "password", json_string(password ? password : "admin")) ||
	     json_object_set_new(body, "force_password_change", json_boolean(!password)))) {
		json_decref(body);
		return -ENOMEM;
	}
	return create(ctx, "user", body, NULL);
}

static int seed_templates(struct sch_ctx *ctx)
{
	int err = create(ctx, "extension_template",
			 json_pack("{s:s, s:b}", "name", "Default", "is_default", 1), NULL);

	if (!err)
		err = create(ctx, "account_template",
			     json_pack("{s:s, s:b}", "name", "Default", "is_default", 1), NULL);
	if (!err) /* APP-112, D-358 */
		err = create(ctx, "account_template",
			     json_pack("{s:s, s:b, s:s, s:b, s:s, s:b, s:b, s:[s,s]}", "name",
				       "WebRTC", "nat", 1, "srtp", "required",
				       "outbound_proxy_override", 1, "transport_type", "WEBRTC",
				       "transport_udp", 0, "transport_wss", 1, "audio_codecs", "PCMA",
				       "OPUS"),
			     NULL);
	return err;
}

static int seed_contents(struct sch_ctx *ctx, const char *password)
{
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(seed_roles) / sizeof(seed_roles[0]); i++)
		err = seed_one_role(ctx, &seed_roles[i]);
	for (size_t i = 0; !err && i < sizeof(seed_users) / sizeof(seed_users[0]); i++)
		err = seed_one_user(ctx, &seed_users[i], password);
	if (!err)
		err = seed_templates(ctx);
	return err ? err : sch_seed_scope(ctx);
}

int tenant_after_write(struct sch_ctx *ctx, int64_t id, const json_t *row, const json_t *old)
{
	const char *password = text_of(row, "password");
	struct sch_ctx inner;
	char made[17];
	int err;

	if (old)
		return 0;
	if (!*password && strcmp(text_of(row, "domain"), "default")) {
		seal_random_secret(made, sizeof(made));
		password = made;
		ctx->generated = json_pack("{s:s}", "password", made);
	}
	sch_ctx_inner(&inner, ctx);
	inner.tenant_id = id;
	err = seed_contents(&inner, *password ? password : NULL);
	sch_ctx_join(ctx, &inner, "contents", NULL);
	return err;
}

/* Everything the tenant owns goes at once, applied rows included; registers keep theirs (D-373). */
int tenant_before_delete(struct sch_ctx *ctx, int64_t id, const json_t *old)
{
	char sql[160], seeds[64];
	int err = 0;

	if (!strcmp(text_of(old, "domain"), "default")) {
		sch_problem_add(ctx, "domain", "predefined",
				SCH_TR(ctx, "Il tenant predefinito non si può eliminare.",
				       "The default tenant cannot be deleted."));
		return -EINUSE;
	}
	for (size_t i = 0; !err && i < 2 * sch_n_entities; i++) {
		const struct sch_entity *e = sch_entities[i / 2];

		if (e->scope == SCH_PBX)
			continue;
		(void)snprintf(sql, sizeof(sql), "DELETE FROM \"%s%s\" WHERE tenant_id = $1", e->name,
			       i % 2 ? "_applied" : "");
		err = db_exec(ctx->db, sql, DB_ARGS(db_i64(id)));
	}
	if (!err)
		err = db_exec(ctx->db, "DELETE FROM sch_reference WHERE tenant_id = $1",
			      DB_ARGS(db_i64(id)));
	if (!err)
		err = db_exec(ctx->db, "DELETE FROM sch_deleted WHERE tenant_id = $1",
			      DB_ARGS(db_i64(id)));
	(void)snprintf(seeds, sizeof(seeds), "seeded.%%.%lld", (long long)id);
	if (!err)
		err = db_exec(ctx->db, "DELETE FROM sch_node WHERE name LIKE $1", DB_ARGS(db_text(seeds)));
	return err ? err :
		     db_exec(ctx->db, "DELETE FROM configuration_revision WHERE tenant_id = $1",
			     DB_ARGS(db_i64(id)));
}
