/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/entities.h"
#include "entities/phones/extension_values.h"

/* Extensions (BASE-28, BASE-33 to BASE-42). What happens around a write is in extension_write.c. */
static const struct sch_field new_account[] = {
	{ .name = "username", .type = SCH_TEXT, .max = 64, .check = entity_check_username,
	  .label = { "Nome utente", "User name" },
	  .help = { "Vuoto: il numero dell'interno", "Empty: the extension's number" } },
	{ .name = "password", .type = SCH_TEXT, .max = 128, .check = entity_check_secret,
	  .label = { "Password", "Password" },
	  .help = { "Vuoto: generata", "Empty: generated" } },
	{ .name = "template", .type = SCH_REF, .ref = "account_template",
	  .label = { "Template dell'account", "Account template" } },
	{ .name = "label", .type = SCH_TEXT, .max = 64, .label = { "Etichetta", "Label" } },
};

static const struct sch_group groups[] = {
	{ "identity", { "Interno", "Extension" } },
	{ "accounts", { "Account SIP", "SIP accounts" } },
	{ "voicemail", { "Casella vocale", "Voicemail" } },
	{ "user", { "Utente locale", "Local user" } },
	EXTENSION_SHARED_GROUPS,
	{ 0 },
};

#define INHERIT SCH_INHERIT
#define D(text)
static const struct sch_field fields[] = {
	{ .name = "enabled", .type = SCH_BOOL, .def = "true", .group = "identity",
	  .flags = SCH_LISTED, .label = { "Abilitato", "Enabled" } },
	{ .name = "number", .type = SCH_DIGITS, .min = 1, .max = 16, .group = "identity",
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_LISTED | SCH_SEARCH,
	  .label = { "Interno", "Extension" },
	  .help = { "Il numero a cui l'utente è raggiungibile dentro il PBX",
		    "The number that reaches the user inside the PBX" } },
	{ .name = "first_name", .type = SCH_TEXT, .max = 64, .check = entity_check_person_name,
	  .flags = SCH_LISTED | SCH_SEARCH, .group = "identity",
	  .label = { "Nome", "First name" } },
	{ .name = "last_name", .type = SCH_TEXT, .max = 64, .check = entity_check_person_name,
	  .flags = SCH_LISTED | SCH_SEARCH, .group = "identity",
	  .label = { "Cognome", "Last name" } },
	{ .name = "email", .type = SCH_EMAIL, .flags = SCH_SEARCH, .group = "identity",
	  .label = { "Indirizzo e-mail", "E-mail address" } },
	{ .name = "mobile_number", .type = SCH_PHONE, .max = 32, .flags = SCH_SEARCH,
	  .group = "identity", .label = { "Numero mobile", "Mobile number" },
	  .help = { "Per Fork2Mobile, FastTransfer e la rubrica",
		    "For Fork2Mobile, FastTransfer and the phonebook" } },
	{ .name = "service_pin", .type = SCH_SECRET, .check = entity_check_pin, .group = "identity",
	  .label = { "PIN dei servizi", "Service PIN" },
	  .help = { "Da 4 a 16 cifre: casella vocale, interruttori, paging, lucchetto",
		    "4 to 16 digits: voicemail, switches, paging, electronic lock" } },
	{ .name = "template", .type = SCH_REF, .ref = "extension_template", .def = "@Default",
	  .flags = SCH_REQUIRED | SCH_LISTED, .group = "identity",
	  .label = { "Template", "Template" } },

	{ .name = "link_accounts", .type = SCH_REF_LIST, .ref = "account", .back = "extension",
	  .flags = SCH_VIRTUAL, .group = "accounts",
	  .label = { "Aggiungi account esistente", "Link existing accounts" },
	  .help = { "Gli account di questo interno: squillano insieme",
		    "The accounts of this extension: they ring together" } },
	{ .name = "create_account", .type = SCH_OBJECT, SCH_ITEMS(new_account),
	  .flags = SCH_VIRTUAL, .group = "accounts",
	  .label = { "Crea account", "Create an account" } },

	{ .name = "vm_create", .type = SCH_BOOL, .def = "false", .flags = SCH_LISTED,
	  .group = "voicemail", .label = { "Crea casella vocale", "Voicemail box" } },
	{ .name = "vm_enabled", .type = SCH_BOOL, .def = "true", .group = "voicemail",
	  .visible_if = "vm_create=true", .label = { "Abilitato", "Enabled" },
	  .help = { "Disabilitata conserva configurazione e messaggi",
		    "When off, configuration and messages are kept" } },
	{ .name = "vm_email", .type = SCH_EMAIL, .group = "voicemail", .visible_if = "vm_create=true",
	  .label = { "Indirizzo e-mail", "E-mail address" } },
	{ .name = "vm_notify", .type = SCH_BOOL, .def = "false", .group = "voicemail",
	  .visible_if = "vm_create=true",
	  .label = { "Notifica nuovi messaggi in casella vocale tramite email",
		     "Notify new messages by e-mail" } },
	{ .name = "vm_attach", .type = SCH_BOOL, .def = "false", .group = "voicemail",
	  .visible_if = "vm_create=true",
	  .label = { "Inoltra i messaggi vocali come allegati", "Send messages as attachments" } },
	{ .name = "vm_delete_after_send", .type = SCH_BOOL, .def = "false", .group = "voicemail",
	  .visible_if = "vm_create=true",
	  .label = { "Cancella i messaggi vocali inoltrati", "Delete messages that were sent" } },

	{ .name = "user", .type = SCH_REF, .ref = "user", .back = "extension",
	  .flags = SCH_VIRTUAL | SCH_READONLY, .group = "user", .label = { "Utente", "User" } },
	{ .name = "user_create", .type = SCH_BOOL, .flags = SCH_VIRTUAL, .group = "user",
	  .visible_if = "user=null", .label = { "Crea utente locale", "Create a local user" } },
	{ .name = "user_gui", .type = SCH_BOOL, .flags = SCH_VIRTUAL, .group = "user",
	  .visible_if = "user_create=true", .label = { "Abilita accesso GUI", "GUI access" } },
	{ .name = "user_cti", .type = SCH_BOOL, .flags = SCH_VIRTUAL, .group = "user",
	  .visible_if = "user_create=true", .label = { "Abilita accesso CTI", "CTI access" } },
	{ .name = "user_api", .type = SCH_BOOL, .flags = SCH_VIRTUAL, .group = "user",
	  .visible_if = "user_create=true", .label = { "Abilita accesso API", "API access" } },
	{ .name = "user_name", .type = SCH_TEXT, .max = 64, .flags = SCH_VIRTUAL, .group = "user",
	  .visible_if = "user_create=true", .check = entity_check_username,
	  .label = { "Nome utente", "User name" } },
	{ .name = "user_password", .type = SCH_TEXT, .max = 128, .flags = SCH_VIRTUAL,
	  .group = "user", .visible_if = "user_create=true", .label = { "Password", "Password" },
	  .help = { "Vuoto: generata e mostrata una volta", "Empty: generated and shown once" } },
#include "entities/phones/extension_inherited.inc"
};
#undef INHERIT
#undef D

const struct sch_entity entity_extension = {
	.name = "extension", .scope = SCH_TENANT, .permission = "extensions",
	.natural_key = "number", .title_field = "number", .template_field = "template",
	.label = { "Interni", "Extensions" }, .label_one = { "Interno", "Extension" },
	.groups = groups, SCH_FIELDS(fields),
	.before_write = extension_before_write, .after_write = extension_after_write,
};
