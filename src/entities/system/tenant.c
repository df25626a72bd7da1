/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/entities.h"

/* Tenants (PLT-26, D-055 to D-058). The id of the row is the tenant id of everything it owns. */
static const struct sch_value modes[] = {
	{ "full", { "Piena", "Full" } },
	{ "limited", { "Limitata", "Limited" } },
	{ "disabled", { "Disabilitata", "Disabled" } },
	{ 0 },
};

static const struct sch_group groups[] = {
	{ "tenant", { "Tenant", "Tenant" } },
	{ "limits", { "Limiti", "Limits" } },
	{ 0 },
};

static const struct sch_field fields[] = {
	{ .name = "operating_mode", .type = SCH_ENUM, .values = modes, .def = "full",
	  .flags = SCH_LISTED, .group = "tenant",
	  .label = { "Modalità operativa", "Operating mode" } },
	{ .name = "name", .type = SCH_TEXT, .max = 64, .group = "tenant",
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH,
	  .label = { "Nome", "Name" } },
	{ .name = "domain", .type = SCH_TEXT, .max = 63, .check = entity_check_tenant_domain,
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH,
	  .group = "tenant", .label = { "Dominio", "Domain" },
	  .help = { "Ciò che segue @ nei nomi utente (admin@dominio)",
		    "What follows @ in user names (admin@domain)" } },
	{ .name = "password", .type = SCH_TEXT, .max = 128, .flags = SCH_VIRTUAL | SCH_IMMUTABLE,
	  .group = "tenant", .label = { "Password", "Password" },
	  .help = { "Password iniziale dell'amministratore del tenant",
		    "Initial password of the tenant's administrator" } },
	{ .name = "custom_logo_url", .type = SCH_TEXT, .max = 512, .check = entity_check_url,
	  .group = "tenant", .label = { "Url del logo personalizzato", "URL of the custom logo" } },
	{ .name = "contact_email", .type = SCH_EMAIL, .flags = SCH_LISTED, .group = "tenant",
	  .label = { "Email del referente", "Contact e-mail" } },
	{ .name = "sip_prefix", .type = SCH_TEXT, .min = 0, .max = 6, .flags = SCH_LISTED,
	  .group = "tenant", .label = { "Prefisso degli account SIP", "SIP account prefix" },
	  .help = { "Sei lettere minuscole o cifre; vuoto: casuale. Si cambia finché non ci sono "
		    "account",
		    "Six lower-case letters or digits; empty: random. Changeable while there is no "
		    "account" } },
	{ .name = "uuid", .type = SCH_UUID, .flags = SCH_READONLY | SCH_LISTED, .group = "tenant",
	  .label = { "UUID", "UUID" } },
	{ .name = "salt", .type = SCH_TEXT, .max = 32, .flags = SCH_READONLY | SCH_HIDDEN,
	  .label = { "Salt", "Salt" } },
	{ .name = "max_accounts", .type = SCH_INT, .min = -1, .max = 1000000, .def = "-1",
	  .flags = SCH_LISTED, .group = "limits",
	  .label = { "Numero massimo di account", "Most accounts" },
	  .help = { "-1: illimitato", "-1: unlimited" } },
	{ .name = "max_extensions", .type = SCH_INT, .min = -1, .max = 1000000, .def = "-1",
	  .flags = SCH_LISTED, .group = "limits",
	  .label = { "Numero massimo di interni", "Most extensions" },
	  .help = { "-1: illimitato", "-1: unlimited" } },
	{ .name = "call_limit", .type = SCH_INT, .min = -1, .max = 100000, .def = "-1",
	  .flags = SCH_LISTED, .group = "limits",
	  .label = { "Limite chiamate contemporanee", "Concurrent external calls" },
	  .help = { "Riguarda le chiamate esterne; -1: illimitato, 0: nessuna",
		    "Concerns external calls; -1: unlimited, 0: none" } },
	{ .name = "storage_quota", .type = SCH_INT, .min = -1, .max = 100000000, .def = "-1",
	  .flags = SCH_LISTED, .group = "limits",
	  .label = { "Quota di archiviazione locale", "Local storage quota" },
	  .help = { "In MB; -1: illimitata", "In MB; -1: unlimited" } },
	{ .name = "provisioning_fallback", .type = SCH_BOOL, .def = "false", .flags = SCH_LISTED,
	  .group = "tenant", .label = { "Provisioning fallback abilitato", "Provisioning fallback" },
	  .help = { "Serve i dispositivi che nessun tenant riconosce; al massimo un tenant",
		    "Serves devices that no tenant knows; one tenant at most" } },
};

const struct sch_entity entity_tenant = {
	.name = "tenant", .scope = SCH_PBX, .permission = "tenants", .title_field = "name",
	.natural_key = "uuid",
	.label = { "Tenant", "Tenants" }, .label_one = { "Tenant", "Tenant" }, .groups = groups,
	SCH_FIELDS(fields),
	.before_validate = tenant_before_validate, .before_write = tenant_before_write,
	.after_write = tenant_after_write, .before_delete = tenant_before_delete,
};
