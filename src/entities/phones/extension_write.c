/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "db/db.h"
#include "entities/entities.h"

/*
 * What happens around the write of an extension: accounts are linked or made (BASE-34) and its user
 * is made (BASE-36) in the same transaction.
 */
static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

static bool is_on(const json_t *row, const char *name)
{
	return json_is_true(json_object_get(row, name));
}

static bool may_write(const struct sch_ctx *ctx, const char *permission)
{
	int index = sch_permission_index(permission);

	return ctx->system || !ctx->levels ||
	       (index >= 0 && ctx->levels[index] >= SCH_LEVEL_WRITE);
}

static int check_limit(struct sch_ctx *ctx)
{
	int64_t limit = -1, n = 0;
	int err = db_query_i64(&limit, ctx->db, "SELECT max_extensions FROM \"tenant\" WHERE id = $1",
			       DB_ARGS(db_i64(ctx->tenant_id)));

	if (!err && limit >= 0)
		err = db_query_i64(&n, ctx->db,
				   "SELECT COUNT(*) FROM \"extension\" WHERE tenant_id = $1",
				   DB_ARGS(db_i64(ctx->tenant_id)));
	if (!err && limit >= 0 && n >= limit)
		sch_problem_add(ctx, "number", "limit",
				SCH_TR(ctx, "Il tenant ha già tutti i suoi %lld interni: chiedere di aumentare il limite.",
				       "The tenant has all of its %lld extensions: ask for a higher limit."),
				(long long)limit);
	return err == -ENOENT ? 0 : err;
}

static int check_user(struct sch_ctx *ctx, const json_t *row, const json_t *old)
{
	int64_t user = 0;
	int err;

	if (!is_on(row, "user_create"))
		return 0;
	if (!may_write(ctx, "gui_users"))
		sch_problem_add(ctx, "user_create", "not_allowed",
				SCH_TR(ctx, "Serve il permesso di scrittura sugli utenti.",
				       "The permission to write users is needed."));
	if (!*text_of(row, "user_name"))
		sch_problem_add(ctx, "user_name", "required",
				SCH_TR(ctx, "Indicare il nome del nuovo utente.",
				       "Give the name of the new user."));
	if (!old)
		return 0;
	err = db_query_i64(&user, ctx->db, "SELECT id FROM \"user\" WHERE extension = $1",
			   DB_ARGS(db_i64(sch_row_id(old))));
	if (!err)
		sch_problem_add(ctx, "user_create", "exists",
				SCH_TR(ctx, "L'interno ha già un utente: modificarlo nella gestione utenti.",
				       "The extension has a user already: change it in user management."));
	return err == -ENOENT ? 0 : err;
}

static void check_voicemail(struct sch_ctx *ctx, const json_t *row)
{
	static const char *const by_mail[] = { "vm_notify", "vm_attach", "vm_delete_after_send" };

	if (!is_on(row, "vm_create") || *text_of(row, "vm_email"))
		return;
	for (size_t i = 0; i < 3; i++)
		if (is_on(row, by_mail[i])) {
			sch_problem_add(ctx, "vm_email", "required",
					SCH_TR(ctx, "Per inviare i messaggi per e-mail serve l'indirizzo.",
					       "Sending messages by e-mail needs the address."));
			return;
		}
}

/* A mode that publishes something of the extension's own needs that (BASE-37). What the template gives
 * cannot be judged here: many templates have the mode, and each extension its number. */
static void check_ldap(struct sch_ctx *ctx, const json_t *row)
{
	const char *mode = text_of(row, "ldap_mode");

	if (!strcmp(mode, "custom_number") && !*text_of(row, "ldap_custom_number"))
		sch_problem_add(ctx, "ldap_custom_number", "required",
				SCH_TR(ctx, "Indicare il numero da pubblicare, o un'altra modalità.",
				       "Give the number to publish, or another mode."));
	if (!strcmp(mode, "rule_on_custom_extension") && !*text_of(row, "ldap_custom_extension"))
		sch_problem_add(ctx, "ldap_custom_extension", "required",
				SCH_TR(ctx, "Indicare l'interno a cui applicare la regola, o un'altra modalità.",
				       "Give the extension that the rule applies to, or another mode."));
}

static void check_accounts(struct sch_ctx *ctx, const json_t *row)
{
	if (json_is_object(json_object_get(row, "create_account")) && !may_write(ctx, "accounts"))
		sch_problem_add(ctx, "create_account", "not_allowed",
				SCH_TR(ctx, "Serve il permesso di scrittura sugli account.",
				       "The permission to write accounts is needed."));
}

int extension_before_write(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	int err = old ? 0 : check_limit(ctx);

	if (!err)
		err = check_user(ctx, row, old);
	check_voicemail(ctx, row);
	check_ldap(ctx, row);
	check_accounts(ctx, row);
	return err ? err : ctx->n_problems ? -EINVAL : 0;
}

/* ------------------------------------------------------------------ accounts */

static int link_account(struct sch_ctx *ctx, int64_t account, json_t *extension)
{
	json_t *body = json_pack("{s:o}", "extension", extension);
	struct sch_ctx inner;
	int64_t guarded = 0;
	int err;

	if (!body)
		return -ENOMEM;
	err = db_query_i64(&guarded, ctx->db, "SELECT protected FROM \"account\" WHERE id = $1",
			   DB_ARGS(db_i64(account)));
	if (!err && !may_write(ctx, guarded ? "protected_accounts" : "accounts")) {
		sch_problem_add(ctx, "link_accounts", "not_allowed",
				SCH_TR(ctx, "Serve il permesso di scrittura sull'account %lld.",
				       "The permission to write account %lld is needed."),
				(long long)account);
		err = -EINVAL;
	}
	if (!err) {
		sch_ctx_inner(&inner, ctx);
		err = sch_write(&inner, &entity_account, SCH_PATCH, account, body, 0, NULL);
		sch_ctx_join(ctx, &inner, "link_accounts", NULL);
	}
	json_decref(body);
	return err;
}

static json_t *linked_now(struct sch_ctx *ctx, int64_t id)
{
	struct db_rows *rows = NULL;
	json_t *list = json_array();

	if (!list || db_query(&rows, ctx->db, "SELECT id FROM \"account\" WHERE extension = $1",
			      DB_ARGS(db_i64(id)))) {
		json_decref(list);
		return NULL;
	}
	while (db_next(rows) > 0)
		if (json_array_append_new(list, json_integer(db_col_i64(rows, 0))))
			break;
	db_rows_close(rows);
	return list;
}

static bool holds(const json_t *list, int64_t id)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
		if (json_integer_value(item) == id)
			return true;
	return false;
}

/* The list of the body is the whole truth; without one nothing changes. */
static int link_accounts(struct sch_ctx *ctx, int64_t id, const json_t *row)
{
	const json_t *wanted = json_object_get(row, "link_accounts");
	json_t *now, *item;
	size_t i;
	int err = 0;

	if (!json_is_array(wanted))
		return 0;
	now = linked_now(ctx, id);
	if (!now)
		return -EIO;
	json_array_foreach(now, i, item)
		if (!err && !holds(wanted, json_integer_value(item)))
			err = link_account(ctx, json_integer_value(item), json_null());
	json_array_foreach(wanted, i, item)
		if (!err && !holds(now, json_integer_value(item)))
			err = link_account(ctx, json_integer_value(item), json_integer(id));
	json_decref(now);
	return err;
}

/* Passes on what the inner write made up, under the name of the form's section. */
static int keep_generated(struct sch_ctx *ctx, struct sch_ctx *inner, const char *name)
{
	const json_t *password = json_object_get(inner->generated, "password");

	if (!password)
		return 0;
	if (!ctx->generated)
		ctx->generated = json_object();
	return ctx->generated && !json_object_set(ctx->generated, name, (json_t *)password) ? 0 :
											     -ENOMEM;
}

static int create_account(struct sch_ctx *ctx, int64_t id, const json_t *row)
{
	static const char *const members[] = { "username", "password", "template", "label" };
	const json_t *given = json_object_get(row, "create_account");
	json_t *body = json_pack("{s:I, s:s}", "extension", (json_int_t)id, "username",
				 text_of(row, "number"));
	struct sch_ctx inner;
	int err = body ? 0 : -ENOMEM;

	if (!json_is_object(given)) {
		json_decref(body);
		return err;
	}
	for (size_t i = 0; !err && i < 4; i++) {
		json_t *value = json_object_get(given, members[i]);

		if (value && !json_is_null(value) && json_object_set(body, members[i], value))
			err = -ENOMEM;
	}
	sch_ctx_inner(&inner, ctx);
	if (!err)
		err = sch_write(&inner, &entity_account, SCH_CREATE, 0, body, 0, NULL);
	if (!err)
		err = keep_generated(ctx, &inner, "account_password");
	sch_ctx_join(ctx, &inner, "create_account", NULL);
	json_decref(body);
	return err;
}

/* ------------------------------------------------------------------ user */

static int create_user(struct sch_ctx *ctx, int64_t id, const json_t *row)
{
	static const char *const renames[] = { "username", "user_name", "password", "user_password",
					       "cti_access", "user_cti", NULL };
	struct sch_ctx inner;
	json_t *body;
	int err;

	if (!is_on(row, "user_create"))
		return 0;
	body = json_pack("{s:s, s:s?, s:I, s:O?, s:O?, s:O?, s:b, s:b, s:b}", "username",
			 text_of(row, "user_name"), "password",
			 json_string_value(json_object_get(row, "user_password")), "extension",
			 (json_int_t)id, "first_name", json_object_get(row, "first_name"),
			 "last_name", json_object_get(row, "last_name"), "email",
			 json_object_get(row, "email"), "gui_access", is_on(row, "user_gui"),
			 "cti_access", is_on(row, "user_cti"), "api_access", is_on(row, "user_api"));
	if (!body)
		return -ENOMEM;
	sch_ctx_inner(&inner, ctx);
	err = sch_write(&inner, &entity_user, SCH_CREATE, 0, body, 0, NULL);
	if (!err)
		err = keep_generated(ctx, &inner, "user_password");
	sch_ctx_join(ctx, &inner, "user", renames);
	json_decref(body);
	return err;
}

int extension_after_write(struct sch_ctx *ctx, int64_t id, const json_t *row, const json_t *old)
{
	int err = link_accounts(ctx, id, row);

	if (!err)
		err = create_account(ctx, id, row);
	return err ? err : create_user(ctx, id, row);
}
