/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/seal.h"
#include "schema/schema_priv.h"

/* Tenants, salts and who may log in (API-03, API-04, D-034 to D-037, D-225). */
#define DEFAULT_DOMAIN   "default"
#define DEFAULT_PASSWORD "admin"

static void to_hex(char *hex, const unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * n] = '\0';
}

void sch_digest_password(char digest[SCH_DIGEST_SIZE], const char *password, const char *salt)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned n = 0;

	digest[0] = '\0'; /* no digest is equal to it */
	if (md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) &&
	    EVP_DigestUpdate(md, password, strlen(password)) && EVP_DigestUpdate(md, "{", 1) &&
	    EVP_DigestUpdate(md, salt, strlen(salt)) && EVP_DigestUpdate(md, "}", 1) &&
	    EVP_DigestFinal_ex(md, sum, &n))
		to_hex(digest, sum, n);
	EVP_MD_CTX_free(md);
}

/* A value of the node, made on first use. */
static int node_value(char *buf, size_t size, struct db *db, const char *name)
{
	static const char read[] = "SELECT value FROM sch_node WHERE name = $1";
	static const char make[] = "INSERT INTO sch_node (name, value) VALUES ($1, $2)"
				   " ON CONFLICT DO NOTHING";
	char fresh[SCH_SALT_SIZE];
	int err = db_query_text(buf, size, db, read, DB_ARGS(db_text(name)));

	if (err != -ENOENT)
		return err;
	seal_random_hex(fresh, sizeof(fresh));
	err = db_exec(db, make, DB_ARGS(db_text(name), db_text(fresh)));
	return err ? err : db_query_text(buf, size, db, read, DB_ARGS(db_text(name)));
}

static void lower(char *buf, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		buf[n++] = (char)tolower((unsigned char)*text);
	buf[n] = '\0';
}

static bool is_machine_domain(const char *domain)
{
	return !domain[0] || !strcasecmp(domain, "pbxadmin");
}

int sch_tenant_find(int64_t *ret, struct db *db, const char *domain)
{
	char name[256];

	lower(name, sizeof(name), domain);
	return db_query_i64(ret, db, "SELECT id FROM \"tenant\" WHERE domain = $1",
			    DB_ARGS(db_text(name)));
}

static int scope_salt(char salt[SCH_SALT_SIZE], struct db *db, int64_t scope)
{
	if (!scope)
		return node_value(salt, SCH_SALT_SIZE, db, "salt");
	return db_query_text(salt, SCH_SALT_SIZE, db, "SELECT salt FROM \"tenant\" WHERE id = $1",
			     DB_ARGS(db_i64(scope)));
}

/* Stable, so that asking twice tells nothing; keyed, so that nobody else can compute it. */
static int pseudo_salt(char salt[SCH_SALT_SIZE], struct db *db, const char *domain)
{
	char key[SCH_SALT_SIZE], name[256];
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int err = node_value(key, sizeof(key), db, "pseudo_salt_key");

	if (err)
		return err;
	lower(name, sizeof(name), domain);
	if (!HMAC(EVP_sha256(), key, (int)strlen(key), (const unsigned char *)name, strlen(name),
		  sum, &n))
		return -ENOMEM;
	to_hex(salt, sum, (SCH_SALT_SIZE - 1) / 2);
	return 0;
}

int sch_salt(char salt[SCH_SALT_SIZE], struct db *db, const char *domain)
{
	int64_t tenant_id = 0;
	int err = 0;

	if (!is_machine_domain(domain))
		err = sch_tenant_find(&tenant_id, db, domain);
	if (err == -ENOENT)
		return pseudo_salt(salt, db, domain);
	return err ? err : scope_salt(salt, db, tenant_id);
}

int sch_secret_seal(char **ret, struct db *db, const struct sch_entity *entity,
		    const struct sch_field *field, int64_t scope, const char *clear)
{
	char context[128], salt[SCH_SALT_SIZE], digest[SCH_DIGEST_SIZE];
	int err;

	(void)snprintf(context, sizeof(context), "%s.%s", entity->name, field->name);
	if (field->type != SCH_VERIFIER)
		return seal_close(ret, context, clear);
	err = scope_salt(salt, db, scope);
	if (err)
		return err;
	sch_digest_password(digest, clear, salt);
	return digest[0] ? seal_close(ret, context, digest) : -ENOMEM;
}

/* ------------------------------------------------------------------ who logs in */

static void all_levels(struct sch_user *u, bool node, bool tenant)
{
	for (size_t i = 0; i < sch_n_permissions; i++)
		if ((node && sch_permissions[i].node) || (tenant && sch_permissions[i].tenant))
			u->levels[i] = SCH_LEVEL_WRITE;
}

/* While nobody else administers the machine, the administrator of "default" does (D-034). */
static int is_single_tenant(bool *ret, struct db *db)
{
	int64_t n = 0;
	int err = db_query_i64(&n, db,
			       "SELECT COUNT(*) FROM \"user\" WHERE tenant_id = 0 AND enabled = 1",
			       DB_NO_ARGS);

	*ret = n == 0;
	return err;
}

static int role_levels(struct sch_user *u, struct db *db, const char *kind, const char *permissions)
{
	bool single = false;
	json_t *role;
	int err = 0;

	if (!strcmp(kind, "tenant_admin")) {
		if (!strcmp(u->domain, DEFAULT_DOMAIN))
			err = is_single_tenant(&single, db);
		all_levels(u, single, true);
		return err;
	}
	if (!strcmp(kind, "pbx_admin")) {
		all_levels(u, true, false);
		return 0;
	}
	role = json_pack("{s:o?}", "permissions", json_loads(permissions, 0, NULL));
	for (size_t i = 0; i < sch_n_permissions; i++)
		u->levels[i] = sch_role_level(role, sch_permissions[i].key);
	json_decref(role);
	return 0;
}

static void copy(char *buf, size_t size, const char *text)
{
	(void)snprintf(buf, size, "%s", text ? text : "");
}

static int fill_user(struct sch_user *u, struct db *db, struct db_rows *rows)
{
	char salt[SCH_SALT_SIZE], digest[SCH_DIGEST_SIZE], *verifier = NULL;
	int err = 0;

	u->id = db_col_i64(rows, 0);
	u->enabled = db_col_i64(rows, 1);
	u->gui = db_col_i64(rows, 2);
	u->cti = db_col_i64(rows, 3);
	u->webcti = db_col_i64(rows, 4);
	u->api = db_col_i64(rows, 5);
	u->must_change = db_col_i64(rows, 6);
	u->extension_id = db_col_i64(rows, 7);
	u->role_id = db_col_i64(rows, 8);
	u->role_priority = (int)db_col_i64(rows, 9);
	copy(u->username, sizeof(u->username), db_col_text(rows, 13));
	copy(u->language, sizeof(u->language), db_col_text(rows, 14));
	copy(u->role_name, sizeof(u->role_name), db_col_text(rows, 15));
	if (!db_is_null(rows, 10))
		err = seal_open(&verifier, "user.password", db_col_text(rows, 10));
	copy(u->verifier, sizeof(u->verifier), verifier);
	free(verifier);
	if (!err)
		err = role_levels(u, db, db_col_text(rows, 11), db_col_text(rows, 12));
	if (!err)
		err = scope_salt(salt, db, u->tenant_id);
	if (err)
		return err;
	sch_digest_password(digest, DEFAULT_PASSWORD, salt);
	u->default_password = u->verifier[0] && !strcmp(digest, u->verifier);
	return 0;
}

static int find_user(struct sch_user *u, struct db *db, int64_t scope, const char *username)
{
	static const char sql[] =
		"SELECT u.id, u.enabled, u.gui_access, u.cti_access, u.webcti_access, u.api_access,"
		" u.force_password_change, u.extension, u.role, r.priority, u.password, r.kind,"
		" r.permissions, u.username, u.language, r.description"
		" FROM \"user\" u JOIN \"role\" r ON r.id = u.role"
		" WHERE u.tenant_id = $1 AND u.sort_key = $2";
	struct db_rows *rows = NULL;
	char key[256];
	int n, err;

	sch_fold(key, sizeof(key), username);
	err = db_query(&rows, db, sql, DB_ARGS(db_i64(scope), db_text(key)));
	if (err)
		return err;
	u->tenant_id = scope;
	n = db_next(rows);
	err = n > 0 ? fill_user(u, db, rows) : n < 0 ? n : -ENOENT;
	db_rows_close(rows);
	return err;
}

static int find_in_tenant(struct sch_user *u, struct db *db, const char *domain,
			  const char *username)
{
	int64_t tenant_id;
	int err = sch_tenant_find(&tenant_id, db, domain);

	if (err)
		return err;
	lower(u->domain, sizeof(u->domain), domain);
	err = db_query_text(u->tenant_name, sizeof(u->tenant_name), db,
			    "SELECT name FROM \"tenant\" WHERE id = $1", DB_ARGS(db_i64(tenant_id)));
	return err ? err : find_user(u, db, tenant_id, username);
}

int sch_user_verifier_open(struct sch_user *ret, struct db *db, const char *domain,
			   const char *username)
{
	int err = -ENOENT;

	memset(ret, 0, sizeof(*ret));
	if (!domain || is_machine_domain(domain))
		err = find_user(ret, db, 0, username);
	if (err == -ENOENT && (!domain || !is_machine_domain(domain)))
		err = find_in_tenant(ret, db, domain ? domain : DEFAULT_DOMAIN, username);
	return err;
}

/* ------------------------------------------------------------------ a new node, a new tenant */

int sch_tenant_create(struct sch_ctx *ctx, const json_t *body, const char *admin_password,
		      int64_t *ret_id)
{
	json_t *copied = json_copy((json_t *)body);
	int err = copied ? 0 : -ENOMEM;

	if (!err && admin_password &&
	    json_object_set_new(copied, "password", json_string(admin_password)))
		err = -ENOMEM;
	if (!err)
		err = sch_write(ctx, sch_find("tenant"), SCH_CREATE, 0, copied, 0, ret_id);
	json_decref(copied);
	return err;
}

static int count_of(int64_t *n, struct db *db, const char *entity)
{
	char sql[100];

	(void)snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM \"%s\"", entity);
	return db_query_i64(n, db, sql, DB_NO_ARGS);
}

static int seed_entity(struct sch_ctx *ctx, const struct sch_entity *e)
{
	char sql[100];
	json_t *empty;
	int64_t n = 1;
	int err = 0;

	if (e->singleton) {
		(void)snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM \"%s\" WHERE tenant_id = $1",
			       e->name);
		err = db_query_i64(&n, ctx->db, sql, DB_ARGS(db_i64(ctx->tenant_id)));
	}
	if (!err && !n) {
		empty = json_object();
		err = empty ? sch_write(ctx, e, SCH_CREATE, 0, empty, 0, NULL) : -ENOMEM;
		json_decref(empty);
	}
	return !err && e->seed ? e->seed(ctx) : err;
}

int sch_seed_scope(struct sch_ctx *ctx)
{
	int err = 0;

	for (size_t i = 0; !err && i < sch_n_entities; i++) {
		const struct sch_entity *e = sch_entities[i];
		char mark[120];

		if (!(e->singleton || e->seed) || (e->scope == SCH_PBX) != (ctx->tenant_id == 0))
			continue;
		(void)snprintf(mark, sizeof(mark), "seeded.%s.%lld", e->name,
			       (long long)ctx->tenant_id);
		err = db_exec(ctx->db,
			      "INSERT INTO sch_node (name, value) VALUES ($1, '') ON CONFLICT DO NOTHING",
			      DB_ARGS(db_text(mark)));
		if (!err && db_changes(ctx->db))
			err = seed_entity(ctx, e);
	}
	return err;
}

/* Tenants of a database that an older release made; applied at once unless changes of people wait. */
static int seed_tenants(struct sch_ctx *ctx)
{
	int64_t *ids = NULL, saved, applied, now, n = 0;
	struct db_rows *rows = NULL;
	size_t count = 0;
	int err, more = 0;

	err = count_of(&n, ctx->db, "tenant");
	if (!err)
		ids = calloc((size_t)n + 1, sizeof(*ids));
	if (!err)
		err = ids ? db_query(&rows, ctx->db, "SELECT id FROM \"tenant\" ORDER BY id", DB_NO_ARGS) :
			    -ENOMEM;
	while (!err && count < (size_t)n && (more = db_next(rows)) > 0)
		ids[count++] = db_col_i64(rows, 0);
	db_rows_close(rows);
	for (size_t i = 0; !err && i < count; i++) {
		ctx->tenant_id = ids[i];
		err = sch_revisions(ctx->db, ids[i], &saved, &applied);
		if (!err)
			err = sch_seed_scope(ctx);
		if (!err)
			err = sch_revisions(ctx->db, ids[i], &now, &n);
		if (!err && now != saved && saved == applied)
			err = sch_apply(ctx->db, ids[i], NULL);
	}
	ctx->tenant_id = 0;
	free(ids);
	return err ? err : more < 0 ? more : 0;
}

static int seed_default_tenant(struct sch_ctx *ctx)
{
	json_t *body = json_pack("{s:s, s:s}", "name", "Default", "domain", DEFAULT_DOMAIN);
	int64_t n = 0, id = 0;
	int err = body ? count_of(&n, ctx->db, "tenant") : -ENOMEM;

	if (!err && !n) {
		err = sch_tenant_create(ctx, body, NULL, &id);
		if (!err)
			err = sch_apply(ctx->db, id, NULL);
	}
	json_decref(body);
	return err;
}

static int seed_machine_role(struct sch_ctx *ctx)
{
	json_t *body = json_pack("{s:s, s:s, s:i}", "description", "PBX Admin", "kind", "pbx_admin",
				 "priority", 1000);
	int64_t n = 0;
	int err = body ? db_query_i64(&n, ctx->db, "SELECT COUNT(*) FROM \"role\" WHERE tenant_id = 0",
				      DB_NO_ARGS) :
			 -ENOMEM;

	if (!err && !n)
		err = sch_write(ctx, sch_find("role"), SCH_CREATE, 0, body, 0, NULL);
	json_decref(body);
	return err;
}

int sch_seed_node(struct db *db)
{
	struct sch_ctx *ctx = calloc(1, sizeof(*ctx));
	int64_t saved = 0, applied = 0;
	int err = ctx ? arena_alloc(&ctx->arena, 64 * 1024) : -ENOMEM;

	if (err)
		goto out;
	ctx->db = db;
	ctx->system = true;
	ctx->lang = SCH_EN;
	ctx->user_name = "system";
	err = sch_seed_scope(ctx);
	if (!err)
		err = seed_machine_role(ctx);
	if (!err)
		err = seed_default_tenant(ctx);
	if (!err)
		err = seed_tenants(ctx);
	if (!err)
		err = sch_revisions(db, 0, &saved, &applied);
	if (!err && !applied) /* a new node: nobody else would put it into force */
		err = sch_apply(db, 0, NULL);

out:
	if (ctx) {
		arena_free(ctx->arena);
		json_decref(ctx->generated);
		json_decref(ctx->reset);
	}
	free(ctx);
	return err;
}
