/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/entities.h"
#include "entities/phones/account_values.h"

/* SIP accounts (BASE-29, BASE-43 to BASE-51, APP-09). */
static const struct sch_value types[] = {
	{ "SIP_ACCOUNT", { "SIP Account", "SIP account" } },
	{ "KCTI_MOBILE_APP", { "KCTI Mobile App", "KCTI Mobile App" } },
	{ "KPE", { "App con profilo (KPE)", "App with profile (KPE)" } },
	{ 0 },
};

static const struct sch_group groups[] = {
	{ "identity", { "Account", "Account" } },
	{ "usage", { "Modalità di utilizzo", "Usage" } },
	{ "security", { "Sicurezza", "Security" } },
	{ "registration", { "Registrazione", "Registration" } },
	{ "network", { "Rete", "Network" } },
	{ "transport", { "Trasporto", "Transport" } },
	{ "media", { "Media e codec", "Media and codecs" } },
	{ 0 },
};

#define INHERIT SCH_INHERIT
#define D(text)
static const struct sch_field fields[] = {
	{ .name = "enabled", .type = SCH_BOOL, .def = "true", .group = "identity",
	  .flags = SCH_LISTED, .label = { "Abilitato", "Enabled" } },
	{ .name = "protected", .type = SCH_BOOL, .def = "false", .group = "identity",
	  .flags = SCH_LISTED, .label = { "Protetto", "Protected" },
	  .help = { "L'accesso è regolato dal permesso Gestione degli account protetti",
		    "Access is ruled by the permission Protected accounts" } },
	{ .name = "username", .type = SCH_TEXT, .max = 64, .check = entity_check_username,
	  .flags = SCH_REQUIRED | SCH_UNIQUE_NODE | SCH_LISTED | SCH_SEARCH, .group = "identity",
	  .label = { "Nome utente", "User name" },
	  .help = { "Unico su tutta la macchina: nei tenant con prefisso il prefisso viene anteposto",
		    "Unique on the whole node: a tenant's prefix is put before it" } },
	{ .name = "password", .type = SCH_SECRET, .max = 128, .check = entity_check_secret,
	  .group = "identity", .label = { "Password", "Password" },
	  .help = { "Vuoto: generata", "Empty: generated" } },
	{ .name = "label", .type = SCH_TEXT, .max = 64, .flags = SCH_LISTED | SCH_SEARCH,
	  .group = "identity", .label = { "Etichetta", "Label" } },
	{ .name = "extension", .type = SCH_REF, .ref = "extension", .on_delete = SCH_SET_NULL,
	  .flags = SCH_LISTED, .group = "identity", .label = { "Interno", "Extension" } },
	{ .name = "type", .type = SCH_ENUM, .values = types, .def = "SIP_ACCOUNT", .group = "usage",
	  .label = { "Tipo", "Type" } },
	{ .name = "template", .type = SCH_REF, .ref = "account_template", .def = "@Default",
	  .flags = SCH_REQUIRED | SCH_LISTED, .group = "usage",
	  .label = { "Template dell'account", "Account template" } },
#include "entities/phones/account_inherited.inc"
};
#undef INHERIT
#undef D

const struct sch_entity entity_account = {
	.name = "account", .scope = SCH_TENANT, .permission = "accounts", .title_field = "username",
	.template_field = "template",
	.guard_field = "protected", .guard_permission = "protected_accounts",
	.label = { "Account SIP", "SIP accounts" }, .label_one = { "Account SIP", "SIP account" },
	.groups = groups, SCH_FIELDS(fields),
	.before_validate = account_before_validate, .before_write = account_before_write,
};
