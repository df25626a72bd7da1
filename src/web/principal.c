/* SPDX-License-Identifier: Apache-2.0 */
#include "web/principal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "db/db.h"

void principal_free(struct principal *who)
{
	free(who);
}

enum sch_level principal_level(const struct principal *who, const char *permission)
{
	int i = who ? sch_permission_index(permission) : -ENOENT;

	return i < 0 ? SCH_LEVEL_NONE : (enum sch_level)who->user.levels[i];
}

/* What the login does not need, but requests do. */
static int read_extras(struct principal *who, struct db *db)
{
	struct db_rows *rows = NULL;
	const char *kind, *number, *method;
	int err, n;

	err = db_query(&rows, db,
		       "SELECT r.kind, x.number, u.auth_method FROM \"user\" u"
		       " LEFT JOIN \"role\" r ON r.id = u.role"
		       " LEFT JOIN \"extension\" x ON x.id = u.extension AND x.tenant_id = u.tenant_id"
		       " WHERE u.id = $1",
		       DB_ARGS(db_i64(who->user.id)));
	if (err)
		return err;
	n = db_next(rows);
	if (n > 0) {
		kind = db_col_text(rows, 0);
		number = db_col_text(rows, 1);
		method = db_col_text(rows, 2);
		who->privacy = kind && !strcmp(kind, "privacy_admin");
		who->is_local = !method || !*method || !strcmp(method, "local");
		snprintf(who->extension, sizeof(who->extension), "%s", number ? number : "");
	}
	db_rows_close(rows);
	return n < 0 ? n : 0;
}

int principal_find(struct principal **ret, struct db *db, const char *username, const char *domain)
{
	struct principal *who = calloc(1, sizeof(*who));
	int err;

	if (!who)
		return -ENOMEM;
	err = sch_user_verifier_open(&who->user, db, domain, username);
	if (!err)
		err = read_extras(who, db);
	if (err) {
		free(who);
		return err;
	}
	/* In single-tenant mode admin has the node's permissions too (D-034). */
	who->node_rights = !who->user.tenant_id || principal_level(who, "tenants") == SCH_LEVEL_WRITE;
	who->must_change_password = who->user.must_change || who->user.default_password;
	snprintf(who->language, sizeof(who->language), "%s", who->user.language);
	if (who->user.tenant_id)
		snprintf(who->full_name, sizeof(who->full_name), "%s@%s", who->user.username,
			 who->user.domain);
	else
		snprintf(who->full_name, sizeof(who->full_name), "%s", who->user.username);
	*ret = who;
	return 0;
}

int principal_by_id(struct principal **ret, struct db *db, int64_t user_id)
{
	struct db_rows *rows = NULL;
	char username[128] = "", domain[128] = "";
	int err, n;

	err = db_query(&rows, db,
		       "SELECT u.username, t.domain FROM \"user\" u"
		       " LEFT JOIN \"tenant\" t ON t.id = u.tenant_id WHERE u.id = $1",
		       DB_ARGS(db_i64(user_id)));
	if (err)
		return err;
	n = db_next(rows);
	if (n > 0) {
		const char *text = db_col_text(rows, 1);

		snprintf(username, sizeof(username), "%s", db_col_text(rows, 0));
		snprintf(domain, sizeof(domain), "%s", text ? text : "");
	}
	db_rows_close(rows);
	if (n <= 0)
		return n < 0 ? n : -ENOENT;
	return principal_find(ret, db, username, domain);
}
