/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "base/seal.h"
#include "db/db.h"
#include "entities/entities.h"

/* What happens around the write of a user (BASE-69 to BASE-74, D-038, D-040, D-063). */
#define PASSWORD_MIN     12
#define PASSWORD_CLASSES 3
#define PASSWORD_MADE    16

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

static bool is_on(const json_t *row, const char *name)
{
	return json_is_true(json_object_get(row, name));
}

static unsigned classes(const char *password)
{
	bool lower = false, upper = false, digit = false, other = false;

	for (const unsigned char *p = (const unsigned char *)password; *p; p++) {
		lower = lower || islower(*p);
		upper = upper || isupper(*p);
		digit = digit || isdigit(*p);
		other = other || !isalnum(*p);
	}
	return (unsigned)lower + upper + digit + other;
}

static void check_password(struct sch_ctx *ctx, const char *username, const char *password)
{
	if (strlen(password) < PASSWORD_MIN || classes(password) < PASSWORD_CLASSES)
		sch_problem_add(ctx, "password", "weak",
				SCH_TR(ctx, "La password ha almeno %d caratteri e tre tipi tra minuscole, maiuscole, cifre e simboli.",
				       "A password has at least %d characters and three kinds of lower case, upper case, digits and symbols."),
				PASSWORD_MIN);
	else if (*username && strcasestr(password, username))
		sch_problem_add(ctx, "password", "weak",
				SCH_TR(ctx, "La password non può contenere il nome utente.",
				       "The password cannot contain the user name."));
}

/* A password for who got none: twelve and more random characters of at least three kinds. */
static int make_password(struct sch_ctx *ctx, json_t *row)
{
	char made[PASSWORD_MADE + 1];

	do
		seal_random_secret(made, sizeof(made));
	while (classes(made) < PASSWORD_CLASSES);
	ctx->generated = json_pack("{s:s}", "password", made);
	return ctx->generated && !json_object_set_new(row, "password", json_string(made)) ? 0 :
											    -ENOMEM;
}

static void check_access(struct sch_ctx *ctx, const json_t *row)
{
	static const char *const flags[] = { "cti_access", "webcti_access" };

	if (is_on(row, "predefined") || json_integer_value(json_object_get(row, "extension")))
		return;
	for (size_t i = 0; i < 2; i++)
		if (is_on(row, flags[i]))
			sch_problem_add(ctx, flags[i], "needs_extension",
					SCH_TR(ctx, "Serve un interno: associarlo all'utente o togliere questo accesso.",
					       "An extension is needed: give the user one or remove this access."));
}

static void check_predefined(struct sch_ctx *ctx, const json_t *row, const json_t *old)
{
	static const char *const fixed[] = { "username", "role", "extension" };
	static const char *const granted[] = { "enabled", "gui_access", "cti_access", "api_access" };

	if (!old || !is_on(old, "predefined"))
		return;
	for (size_t i = 0; i < 3; i++)
		if (!json_equal(json_object_get(row, fixed[i]), json_object_get(old, fixed[i])))
			sch_problem_add(ctx, fixed[i], "predefined",
					SCH_TR(ctx, "Di un utente predefinito non si può cambiare.",
					       "This cannot change in a predefined user."));
	for (size_t i = 0; i < 4 && !strcmp(text_of(old, "username"), "admin"); i++)
		if (!is_on(row, granted[i]))
			sch_problem_add(ctx, granted[i], "predefined",
					SCH_TR(ctx, "L'utente admin ha sempre questo accesso.",
					       "The user admin always has this access."));
}

/* ------------------------------------------------------------------ roles */

static int load_role(json_t **ret, int64_t *priority, char *kind, size_t size, struct sch_ctx *ctx,
		     int64_t id)
{
	struct db_rows *rows = NULL;
	int n, err;

	err = db_query(&rows, ctx->db,
		       "SELECT priority, kind, permissions FROM \"role\" WHERE id = $1",
		       DB_ARGS(db_i64(id)));
	if (err)
		return err;
	n = db_next(rows);
	if (n > 0) {
		*priority = db_col_i64(rows, 0);
		(void)snprintf(kind, size, "%s", db_col_text(rows, 1));
		*ret = json_pack("{s:o?}", "permissions", json_loads(db_col_text(rows, 2), 0, NULL));
	}
	db_rows_close(rows);
	return n > 0 ? (*ret ? 0 : -ENOMEM) : n < 0 ? n : -ENOENT;
}

static bool exceeds(const struct sch_ctx *ctx, const json_t *role)
{
	for (size_t i = 0; i < sch_n_permissions; i++)
		if ((int)sch_role_level(role, sch_permissions[i].key) > (int)ctx->levels[i])
			return true;
	return false;
}

static void refuse_role(struct sch_ctx *ctx, const char *it, const char *en)
{
	sch_problem_add(ctx, "role", "not_allowed", "%s", SCH_TR(ctx, it, en));
}

static int check_role(struct sch_ctx *ctx, const json_t *row, const json_t *old)
{
	int64_t id = json_integer_value(json_object_get(row, "role"));
	int64_t was = json_integer_value(json_object_get(old, "role"));
	int64_t priority = 0, old_priority = 0;
	char kind[32] = "", old_kind[32] = "";
	json_t *role = NULL, *old_role = NULL;
	int err = load_role(&role, &priority, kind, sizeof(kind), ctx, id);

	if (!err && was)
		err = load_role(&old_role, &old_priority, old_kind, sizeof(old_kind), ctx, was);
	if (!err && id != was && strcmp(kind, "custom") && strcmp(kind, "tenant_user") &&
	    strcmp(kind, "pbx_admin"))
		refuse_role(ctx, "Questo ruolo è solo degli utenti predefiniti: sceglierne un altro.",
			    "This role is for predefined users only: choose another one.");
	if (!err && ctx->levels) {
		bool self = old && sch_row_id(old) == ctx->user_id;

		if (self && id != was)
			refuse_role(ctx, "Non si può cambiare il proprio ruolo.",
				    "You cannot change your own role.");
		else if (was && !self && old_priority >= ctx->role_priority)
			refuse_role(ctx, "L'utente ha un ruolo di priorità pari o superiore alla propria.",
				    "The user has a role of a priority equal to or above your own.");
		else if (id != was && (priority >= ctx->role_priority ||
				       /* everybody may make ordinary users */
				       (strcmp(kind, "tenant_user") && exceeds(ctx, role))))
			refuse_role(ctx, "Si possono assegnare solo ruoli con priorità inferiore e permessi non superiori ai propri.",
				    "You can give only roles of lower priority and with no more rights than yours.");
	}
	json_decref(role);
	json_decref(old_role);
	return err;
}

int user_before_write(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	const char *password = json_string_value(json_object_get(row, "password"));
	bool seeding = ctx->system && is_on(row, "predefined") && !old;
	int err = 0;

	if (seeding)
		return 0;
	if (password)
		check_password(ctx, text_of(row, "username"), password);
	else if (!old)
		err = make_password(ctx, row);
	check_access(ctx, row);
	check_predefined(ctx, row, old);
	if (!err)
		err = check_role(ctx, row, old);
	return err ? err : ctx->n_problems ? -EINVAL : 0;
}

int user_before_delete(struct sch_ctx *ctx, int64_t id, const json_t *old)
{
	struct sch_ctx *c = ctx;
	json_t *role = NULL;
	int64_t priority = 0;
	char kind[32];
	int err;

	if (is_on(old, "predefined")) {
		sch_problem_add(c, "username", "predefined",
				SCH_TR(c, "Gli utenti predefiniti non si possono eliminare: disabilitarlo.",
				       "Predefined users cannot be deleted: disable the user."));
		return -EINUSE;
	}
	if (!ctx->levels)
		return 0;
	err = load_role(&role, &priority, kind, sizeof(kind), ctx,
			json_integer_value(json_object_get(old, "role")));
	json_decref(role);
	if (!err && priority >= ctx->role_priority)
		err = -EFORBIDDEN;
	return err;
}
