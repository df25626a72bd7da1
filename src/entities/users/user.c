/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/entities.h"

/* Users (BASE-69 to BASE-73, PLT-04). */
static const struct sch_value auth_methods[] = {
	{ "local", { "Locale", "Local" } },
	{ 0 },
};

static const struct sch_value languages[] = {
	{ "it", { "Italiano", "Italian" } },
	{ "en", { "Inglese", "English" } },
	{ 0 },
};

static const struct sch_group groups[] = {
	{ "identity", { "Utente", "User" } },
	{ "authentication", { "Autenticazione", "Authentication" } },
	{ "access", { "Autorizzazioni", "Authorisations" } },
	{ 0 },
};

static const struct sch_field fields[] = {
	{ .name = "enabled", .type = SCH_BOOL, .def = "true", .group = "identity",
	  .flags = SCH_LISTED, .label = { "Abilitato", "Enabled" } },
	{ .name = "username", .type = SCH_TEXT, .max = 64, .check = entity_check_username,
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH,
	  .group = "identity", .label = { "Nome utente", "User name" } },
	{ .name = "first_name", .type = SCH_TEXT, .max = 64, .check = entity_check_person_name,
	  .flags = SCH_LISTED | SCH_SEARCH, .group = "identity", .label = { "Nome", "First name" } },
	{ .name = "last_name", .type = SCH_TEXT, .max = 64, .check = entity_check_person_name,
	  .flags = SCH_LISTED | SCH_SEARCH, .group = "identity",
	  .label = { "Cognome", "Last name" } },
	{ .name = "email", .type = SCH_EMAIL, .flags = SCH_LISTED | SCH_SEARCH, .group = "identity",
	  .label = { "Indirizzo email", "E-mail address" },
	  .help = { "Riceve anche il messaggio per reimpostare la password",
		    "Also gets the mail that resets the password" } },
	{ .name = "extension", .type = SCH_REF, .ref = "extension", .on_delete = SCH_SET_NULL,
	  .flags = SCH_UNIQUE | SCH_LISTED, .group = "identity",
	  .label = { "Interno", "Extension" } },
	{ .name = "language", .type = SCH_ENUM, .values = languages, .group = "identity",
	  .label = { "Lingua", "Language" },
	  .help = { "Delle pagine, e di ciò che l'interno sente al telefono; vuoto: quella del tenant",
		    "Of the pages, and of what the extension hears on the phone; empty: the tenant's" } },
	{ .name = "predefined", .type = SCH_BOOL, .def = "false", .flags = SCH_READONLY,
	  .group = "identity", .label = { "Predefinito", "Predefined" } },

	{ .name = "auth_method", .type = SCH_ENUM, .values = auth_methods, .def = "local",
	  .flags = SCH_LISTED, .group = "authentication",
	  .label = { "Metodo di autenticazione", "Authentication method" } },
	{ .name = "password", .type = SCH_VERIFIER, .max = 128, .group = "authentication",
	  .label = { "Nuova password", "New password" },
	  .help = { "Compilare solo per cambiarla", "Fill in only to change it" } },
	{ .name = "force_password_change", .type = SCH_BOOL, .def = "false",
	  .group = "authentication",
	  .label = { "Forza il cambio della password al prossimo login",
		     "Change the password at the next login" } },

	{ .name = "role", .type = SCH_REF, .ref = "role", .def = "@Tenant User",
	  .flags = SCH_REQUIRED | SCH_LISTED, .group = "access", .label = { "Ruolo", "Role" } },
	{ .name = "gui_access", .type = SCH_BOOL, .def = "false", .flags = SCH_LISTED,
	  .group = "access", .label = { "Accesso GUI", "GUI access" } },
	{ .name = "cti_access", .type = SCH_BOOL, .def = "false", .flags = SCH_LISTED,
	  .group = "access", .label = { "Accesso CTI", "CTI access" } },
	{ .name = "webcti_access", .type = SCH_BOOL, .def = "false", .flags = SCH_LISTED,
	  .group = "access", .label = { "Accesso WebCTI", "WebCTI access" },
	  .help = { "Solo per utenti con un interno", "Only for users with an extension" } },
	{ .name = "api_access", .type = SCH_BOOL, .def = "false", .flags = SCH_LISTED,
	  .group = "access", .label = { "Accesso API", "API access" } },
};

const struct sch_entity entity_user = {
	.name = "user", .scope = SCH_PBX_OR_TENANT, .permission = "gui_users",
	.natural_key = "username", .title_field = "username",
	.label = { "Utenti", "Users" }, .label_one = { "Utente", "User" }, .groups = groups,
	SCH_FIELDS(fields),
	.before_write = user_before_write, .before_delete = user_before_delete,
};
