/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include "entities/entities.h"
#include "entities/phones/extension_values.h"

/* Templates of extensions (BASE-32, PLT-92). */
const struct sch_value extension_ldap_modes[] = {
	{ "disabled", { "Disabilitato", "Disabled" } },
	{ "ldap_rule", { "Regola pubblicazione LDAP", "LDAP publication rule" } },
	{ "custom_number", { "Presentando il numero sottoindicato", "With the number below" } },
	{ "rule_on_custom_extension",
	  { "Regola di pubblicazione LDAP applicata all'interno sottoindicato",
	    "LDAP publication rule on the extension below" } },
	{ 0 },
};

const struct sch_value extension_lock_modes[] = {
	{ "open", { "Aperto", "Open" } },
	{ "code", { "Codice", "Code" } },
	{ "password", { "Password", "Password" } },
	{ 0 },
};

const struct sch_value extension_lock_policies[] = {
	{ "per_call", { "Per chiamata", "Per call" } },
	{ "auto_relock",
	  { "Blocca automaticamente dopo il numero di minuti sottoindicato",
	    "Lock again after the minutes below" } },
	{ "manual",
	  { "Sbloccato finché l'utente lo blocca nuovamente", "Unlocked until the user locks it" } },
	{ 0 },
};

#define COMMON_DESTINATIONS                                                                        \
	{ "hangup", { "Riaggancia", "Hang up" } },                                                 \
		{ "external_number", { "Numero esterno", "External number" } },                    \
		{ "extension", { "Interno", "Extension" } },                                       \
		{ "voicemail", { "Casella vocale", "Voicemail" } }

static const struct sch_value destinations[] = { COMMON_DESTINATIONS, { 0 } };
static const struct sch_value transfer_destinations[] = {
	COMMON_DESTINATIONS,
	{ "return_to_transferor", { "Ritorna a chi ha trasferito", "Return to the transferor" } },
	{ 0 },
};

#define EVENT_FIELD                                                                                \
	{ .name = "generate_event", .type = SCH_BOOL, .def = "false",                              \
	  .label = { "Genera evento", "Generate event" } }

const struct sch_field extension_overflow_cell[2] = {
	{ .name = "destination", .type = SCH_DEST, .values = destinations, .flags = SCH_REQUIRED,
	  .def = "{\"type\":\"hangup\"}", .label = { "Destinazione", "Destination" } },
	EVENT_FIELD,
};

const struct sch_field extension_overflow_transfer_cell[2] = {
	{ .name = "destination", .type = SCH_DEST, .values = transfer_destinations,
	  .flags = SCH_REQUIRED, .def = "{\"type\":\"return_to_transferor\"}",
	  .label = { "Destinazione", "Destination" } },
	EVENT_FIELD,
};

static const struct sch_group groups[] = {
	{ "identity", { "Template", "Template" } },
	EXTENSION_SHARED_GROUPS,
	{ 0 },
};

#define INHERIT 0
#define D(text) .def = text,
static const struct sch_field fields[] = {
	{ .name = "name", .type = SCH_TEXT, .max = 64, .group = "identity",
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH,
	  .label = { "Nome", "Name" } },
	{ .name = "is_default", .type = SCH_BOOL, .def = "false", .flags = SCH_READONLY | SCH_LISTED,
	  .group = "identity", .label = { "Predefinito", "Default" } },
#include "entities/phones/extension_inherited.inc"
};
#undef INHERIT
#undef D

static int before_delete(struct sch_ctx *ctx, int64_t id, const json_t *old)
{
	if (ctx->system || !json_is_true(json_object_get(old, "is_default")))
		return 0;
	sch_problem_add(ctx, "name", "predefined",
			SCH_TR(ctx, "Il template Default non si può eliminare.",
			       "The Default template cannot be deleted."));
	return -EINUSE;
}

const struct sch_entity entity_extension_template = {
	.name = "extension_template", .scope = SCH_TENANT, .permission = "extension_templates",
	.title_field = "name",
	.label = { "Template degli interni", "Extension templates" },
	.label_one = { "Template dell'interno", "Extension template" },
	.groups = groups, SCH_FIELDS(fields), .before_delete = before_delete,
};
