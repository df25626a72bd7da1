/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include "entities/entities.h"

/* Roles (BASE-74 to BASE-76, D-039 to D-043). */
#define ROLE_PRIORITY_MAX   99
#define ROLE_PRIORITY_ADMIN 100 /* of the predefined administrators alone */

static const struct sch_value kinds[] = {
	{ "custom", { "Ruolo personalizzato", "Custom role" } },
	{ "tenant_user", { "Utente del tenant", "Tenant user" } },
	{ "tenant_admin", { "Amministratore del PBX", "PBX administrator" } },
	{ "privacy_admin", { "Amministratore della privacy di tenant", "Tenant privacy administrator" } },
	{ "phonebook", { "Utente della rubrica di tenant", "Tenant phonebook user" } },
	{ "click2call", { "Utente Click2Call di tenant", "Tenant Click2Call user" } },
	{ "nexus", { "Utente NEXUS di tenant", "Tenant NEXUS user" } },
	{ "pbx_admin", { "Amministratore della macchina", "Machine administrator" } },
	{ 0 },
};

static const struct sch_group groups[] = {
	{ "role", { "Ruolo", "Role" } },
	{ "permissions", { "Permessi", "Permissions" } },
	{ 0 },
};

static const struct sch_field fields[] = {
	{ .name = "description", .type = SCH_TEXT, .max = 64, .group = "role",
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH,
	  .label = { "Descrizione", "Description" },
	  .help = { "Identifica il ruolo quando lo si assegna a un utente",
		    "Identifies the role when it is given to a user" } },
	{ .name = "priority", .type = SCH_INT, .min = 0, .max = ROLE_PRIORITY_ADMIN, .def = "1",
	  .group = "role", .flags = SCH_LISTED, .label = { "Priorità", "Priority" },
	  .help = { "Chi ha priorità maggiore può prendere il lucchetto di configurazione; 0 non lo "
		    "toglie mai a nessuno, 100 è degli amministratori predefiniti",
		    "Higher priority may take the configuration lock over; 0 never takes it from "
		    "anybody, 100 is the predefined administrators'" } },
	{ .name = "kind", .type = SCH_ENUM, .values = kinds, .def = "custom", .group = "role",
	  .flags = SCH_READONLY | SCH_LISTED, .label = { "Tipo", "Kind" } },
	{ .name = "permissions", .type = SCH_OBJECT, .group = "permissions",
	  .fields = entity_permission_fields, .n_fields = ENTITY_N_PERMISSIONS,
	  .label = { "Permessi", "Permissions" },
	  .help = { "Nessuno: il pannello non appare; elenco: solo la lista; lettura: anche il "
		    "dettaglio; scrittura: tutto",
		    "None: the panel is not shown; list: rows only; read: details too; write: "
		    "everything" } },
};

/* Actions are accepted for keys: {"SERVICE_OPERATION": "write"}. */
static int before_validate(struct sch_ctx *ctx, json_t *body)
{
	json_t *levels = json_object_get(body, "permissions");

	if (!json_is_object(levels))
		return 0;
	for (size_t i = 0; i < sch_n_permissions; i++) {
		json_t *level = json_object_get(levels, sch_permissions[i].action);

		if (!level || json_object_get(levels, sch_permissions[i].key))
			continue;
		if (json_object_set(levels, sch_permissions[i].key, level))
			return -ENOMEM;
		json_object_del(levels, sch_permissions[i].action);
	}
	return 0;
}

static bool same_level(const json_t *row, const json_t *old, const char *key)
{
	const char *now = json_string_value(json_object_get(json_object_get(row, "permissions"), key));
	const char *was = json_string_value(json_object_get(json_object_get(old, "permissions"), key));

	return now && was && !strcmp(now, was);
}

/* D-040: nobody makes a role that may more than he may himself, or outranks him. */
static void check_power(struct sch_ctx *ctx, const json_t *row, const json_t *old)
{
	if (!ctx->levels)
		return;
	if (json_integer_value(json_object_get(row, "priority")) >= ctx->role_priority)
		sch_problem_add(ctx, "priority", "too_high",
				SCH_TR(ctx, "Scegliere una priorità inferiore a quella del proprio ruolo (%d).",
				       "Choose a priority below that of your own role (%d)."),
				ctx->role_priority);
	for (size_t i = 0; i < sch_n_permissions; i++) {
		const struct sch_permission *p = &sch_permissions[i];
		int level = (int)sch_role_level(row, p->key);

		if (level <= ctx->levels[i] || same_level(row, old, p->key))
			continue;
		sch_problem_add(ctx, sch_path(ctx, "permissions", p->key), "exceeds_own",
				SCH_TR(ctx, "Non si può concedere più di quanto si possiede: al massimo \"%s\".",
				       "You cannot grant more than you hold: at most \"%s\"."),
				sch_level_name(ctx->levels[i]));
	}
}

/* The first field that a write changes; NULL: none. */
static const char *changed_field(struct sch_ctx *ctx, const json_t *row, const json_t *old)
{
	static const char *const simple[] = { "description", "priority" };

	for (size_t i = 0; i < sizeof(simple) / sizeof(simple[0]); i++)
		if (!json_equal(json_object_get(row, simple[i]), json_object_get(old, simple[i])))
			return simple[i];
	for (size_t i = 0; i < sch_n_permissions; i++)
		if (sch_role_level(row, sch_permissions[i].key) !=
		    sch_role_level(old, sch_permissions[i].key))
			return sch_path(ctx, "permissions", sch_permissions[i].key);
	return NULL;
}

static int before_write(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	const char *kind = json_string_value(json_object_get(row, "kind"));
	const char *changed = old ? changed_field(ctx, row, old) : "kind";

	/* What is written back as it is does no harm, such as the import of an export. */
	if (ctx->system || !changed)
		return 0;
	if (kind && strcmp(kind, "custom")) {
		sch_problem_add(ctx, changed, "predefined",
				SCH_TR(ctx, "I ruoli predefiniti non si modificano: creare un ruolo nuovo.",
				       "Predefined roles cannot be changed: create a new role."));
		return -EINVAL;
	}
	if (json_integer_value(json_object_get(row, "priority")) > ROLE_PRIORITY_MAX)
		sch_problem_add(ctx, "priority", "out_of_range",
				SCH_TR(ctx, "La priorità di un ruolo va da 0 a %d.",
				       "The priority of a role is between 0 and %d."),
				ROLE_PRIORITY_MAX);
	if (old && ctx->levels && ctx->role_id == sch_row_id(old))
		sch_problem_add(ctx, "description", "own_role",
				SCH_TR(ctx, "Il proprio ruolo può essere modificato solo da chi ha priorità maggiore.",
				       "Your own role can be changed only by somebody of higher priority."));
	if (old && ctx->levels &&
	    json_integer_value(json_object_get(old, "priority")) >= ctx->role_priority)
		sch_problem_add(ctx, "priority", "outranks",
				SCH_TR(ctx, "Questo ruolo ha priorità pari o superiore alla propria.",
				       "This role has a priority equal to or above your own."));
	for (size_t i = 0; i < sch_n_permissions; i++) {
		const struct sch_permission *p = &sch_permissions[i];

		if (sch_role_level(row, p->key) == SCH_LEVEL_NONE ||
		    (ctx->tenant_id ? p->tenant : p->node))
			continue;
		sch_problem_add(ctx, sch_path(ctx, "permissions", p->key), "wrong_level",
				ctx->tenant_id ?
					SCH_TR(ctx, "Questo permesso esiste solo a livello di macchina: lasciare \"none\".",
					       "This permission exists at node level only: leave \"none\".") :
					SCH_TR(ctx, "Questo permesso esiste solo nei tenant: lasciare \"none\".",
					       "This permission exists in tenants only: leave \"none\"."));
	}
	check_power(ctx, row, old);
	return ctx->n_problems ? -EINVAL : 0;
}

static int before_delete(struct sch_ctx *ctx, int64_t id, const json_t *old)
{
	const char *kind = json_string_value(json_object_get(old, "kind"));

	if (kind && strcmp(kind, "custom") && !ctx->system) {
		sch_problem_add(ctx, "kind", "predefined",
				SCH_TR(ctx, "I ruoli predefiniti non si possono eliminare.",
				       "Predefined roles cannot be deleted."));
		return -EINUSE;
	}
	if (ctx->levels &&
	    (ctx->role_id == id ||
	     json_integer_value(json_object_get(old, "priority")) >= ctx->role_priority)) {
		sch_problem_add(ctx, "priority", "outranks",
				SCH_TR(ctx, "Questo ruolo ha priorità pari o superiore alla propria.",
				       "This role has a priority equal to or above your own."));
		return -EFORBIDDEN;
	}
	return 0;
}

const struct sch_entity entity_role = {
	.name = "role", .scope = SCH_PBX_OR_TENANT, .permission = "roles", .title_field = "description",
	.label = { "Ruoli", "Roles" }, .label_one = { "Ruolo", "Role" }, .groups = groups,
	SCH_FIELDS(fields),
	.before_validate = before_validate, .before_write = before_write,
	.before_delete = before_delete,
};
