/* SPDX-License-Identifier: Apache-2.0 */
#include "web/principal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "base/err.h"
#include "base/seal.h"
#include "db/db.h"
#include "web/xauth.h"

enum {
	C_ID, C_TENANT, C_USERNAME, C_PASSWORD, C_ENABLED, C_GUI, C_API, C_METHOD, C_FORCE,
	C_LANGUAGE, C_ROLE, C_EXTENSION, C_DOMAIN, C_TENANT_NAME, C_SALT, C_KIND, C_DESCRIPTION,
	C_PRIORITY, C_PERMISSIONS, C_NUMBER, C_MACHINE_USERS
};

#define SELECT_USER                                                                                \
	"SELECT u.id, u.tenant_id, u.username, u.password, u.enabled, u.gui_access, u.api_access," \
	" u.auth_method, u.force_password_change, u.language, u.role, u.extension, t.domain,"      \
	" t.name, t.salt, r.kind, r.description, r.priority, r.permissions, x.number,"             \
	" (SELECT COUNT(*) FROM \"user\" m WHERE m.tenant_id = 0) AS machine_users"                \
	" FROM \"user\" u LEFT JOIN \"tenant\" t ON t.id = u.tenant_id"                            \
	" LEFT JOIN \"role\" r ON r.id = u.role"                                                   \
	" LEFT JOIN \"extension\" x ON x.id = u.extension AND x.tenant_id = u.tenant_id"

void principal_free(struct principal *who)
{
	free(who);
}

enum sch_level principal_level(const struct principal *who, const char *permission)
{
	int i;

	if (!who)
		return SCH_LEVEL_NONE;
	if (who->is_admin)
		return SCH_LEVEL_WRITE;
	i = sch_permission_index(permission);
	return i < 0 ? SCH_LEVEL_NONE : (enum sch_level)who->levels[i];
}

static void copy_col(char *buf, size_t size, const struct db_rows *rows, int col)
{
	const char *text = db_col_text(rows, col);

	snprintf(buf, size, "%s", text ? text : "");
}

static void read_levels(struct principal *who, const char *text)
{
	json_t *levels = text ? json_loads(text, 0, NULL) : NULL;

	for (size_t i = 0; i < sch_n_permissions && i < SCH_MAX_PERMISSIONS; i++) {
		const char *name =
			json_string_value(json_object_get(levels, sch_permissions[i].key));

		for (int level = SCH_LEVEL_LIST; name && level <= SCH_LEVEL_WRITE; level++)
			if (!strcmp(name, sch_level_name((enum sch_level)level)))
				who->levels[i] = (uint8_t)level;
	}
	json_decref(levels);
}

/* The machine's own users have the salt of the node (API-03). */
static int node_salt(char *buf, size_t size, struct db *db)
{
	return db_query_text(buf, size, db, "SELECT value FROM sch_node WHERE name = $1",
			     DB_ARGS(db_text("salt")));
}

/* D-037: admin/admin and pbxadmin/admin, as they are shipped. */
static bool is_default_password(const struct principal *who)
{
	char hash[XAUTH_HEX_BYTES];

	if (strcmp(who->username, "admin") && strcmp(who->username, "pbxadmin"))
		return false;
	xauth_digest_password(hash, "admin", who->salt);
	return xauth_equal(hash, who->verifier);
}

static int read_principal(struct principal *who, struct db *db, struct db_rows *rows)
{
	const char *sealed = db_col_text(rows, C_PASSWORD);
	char *verifier = NULL;
	char method[16];
	int err;

	who->user_id = db_col_i64(rows, C_ID);
	who->tenant_id = db_col_i64(rows, C_TENANT);
	who->enabled = db_col_i64(rows, C_ENABLED) != 0;
	who->may_gui = db_col_i64(rows, C_GUI) != 0;
	who->may_api = db_col_i64(rows, C_API) != 0;
	who->must_change_password = db_col_i64(rows, C_FORCE) != 0;
	who->role_id = db_col_i64(rows, C_ROLE);
	who->extension_id = db_col_i64(rows, C_EXTENSION);
	who->priority = (int)db_col_i64(rows, C_PRIORITY);
	copy_col(who->username, sizeof(who->username), rows, C_USERNAME);
	copy_col(who->domain, sizeof(who->domain), rows, C_DOMAIN);
	copy_col(who->tenant_name, sizeof(who->tenant_name), rows, C_TENANT_NAME);
	copy_col(who->salt, sizeof(who->salt), rows, C_SALT);
	copy_col(who->language, sizeof(who->language), rows, C_LANGUAGE);
	copy_col(who->role_kind, sizeof(who->role_kind), rows, C_KIND);
	copy_col(who->role, sizeof(who->role), rows, C_DESCRIPTION);
	copy_col(who->extension, sizeof(who->extension), rows, C_NUMBER);
	copy_col(method, sizeof(method), rows, C_METHOD);
	who->is_local = !*method || !strcmp(method, "local");
	who->is_admin = !strcmp(who->role_kind, "tenant_admin") || !strcmp(who->role_kind, "pbx_admin");
	who->privacy = !strcmp(who->role_kind, "privacy_admin");
	/* In single-tenant mode there are no machine users: admin has both powers (D-034). */
	who->node_rights = !who->tenant_id || (who->is_admin && !db_col_i64(rows, C_MACHINE_USERS) &&
					       !strcmp(who->domain, "default"));
	read_levels(who, db_col_text(rows, C_PERMISSIONS));
	if (sealed && *sealed) {
		err = seal_open(&verifier, "user.password", sealed);
		if (err)
			return err;
		snprintf(who->verifier, sizeof(who->verifier), "%s", verifier);
		free(verifier);
	}
	return 0;
}

static int load(struct principal **ret, struct db *db, const char *sql, const struct db_arg *args,
		size_t n_args)
{
	struct principal *who = calloc(1, sizeof(*who));
	struct db_rows *rows = NULL;
	int err, n;

	if (!who)
		return -ENOMEM;
	err = db_query(&rows, db, sql, args, n_args);
	if (err)
		goto out;
	n = db_next(rows);
	if (n > 0)
		err = read_principal(who, db, rows);
	else
		err = n < 0 ? n : -ENOENT;
	db_rows_close(rows);
	if (err)
		goto out;

	if (!who->tenant_id) {
		err = node_salt(who->salt, sizeof(who->salt), db);
		if (err && err != -ENOENT)
			goto out;
		err = 0;
	}
	snprintf(who->full_name, sizeof(who->full_name), who->tenant_id ? "%.64s@%.64s" : "%.64s",
		 who->username, who->domain);
	who->default_password = is_default_password(who);
	who->must_change_password = who->must_change_password || who->default_password;
out:
	if (err)
		free(who);
	else
		*ret = who;
	return err;
}

static int find_in(struct principal **ret, struct db *db, const char *username, const char *domain)
{
	static const char exact[] = SELECT_USER
		" WHERE u.username = $1 AND (t.domain = $2 OR ($2 = '' AND u.tenant_id = 0))";
	static const char nocase[] = SELECT_USER
		" WHERE lower(u.username) = lower($1)"
		" AND (t.domain = lower($2) OR ($2 = '' AND u.tenant_id = 0))";
	int err = load(ret, db, exact, DB_ARGS(db_text(username), db_text(domain)));

	if (err != -ENOENT)
		return err;
	return load(ret, db, nocase, DB_ARGS(db_text(username), db_text(domain)));
}

int principal_find(struct principal **ret, struct db *db, const char *username, const char *domain)
{
	int err;

	if (domain)
		return find_in(ret, db, username, domain);
	err = find_in(ret, db, username, "");
	return err == -ENOENT ? find_in(ret, db, username, "default") : err;
}

int principal_by_id(struct principal **ret, struct db *db, int64_t user_id)
{
	return load(ret, db, SELECT_USER " WHERE u.id = $1", DB_ARGS(db_i64(user_id)));
}

int principal_salt(char *buf, size_t size, struct db *db, const char *domain)
{
	if (xauth_is_machine_domain(domain))
		return node_salt(buf, size, db);
	return db_query_text(buf, size, db, "SELECT salt FROM \"tenant\" WHERE domain = lower($1)",
			     DB_ARGS(db_text(domain)));
}
