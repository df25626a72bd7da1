/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include "entities/entities.h"
#include "entities/phones/account_values.h"

/* Templates of SIP accounts (BASE-32, PLT-93). */
const struct sch_value account_srtp[] = {
	{ "off", { "Disabilitato", "Off" } },
	{ "optional", { "Facoltativo", "Optional" } },
	{ "required", { "Obbligatorio", "Required" } },
	{ 0 },
};

const struct sch_value account_transport_types[] = {
	{ "SIP", { "SIP", "SIP" } },
	{ "WEBRTC", { "WebRTC", "WebRTC" } },
	{ 0 },
};

static const struct sch_group groups[] = {
	{ "identity", { "Template", "Template" } },
	{ "security", { "Sicurezza", "Security" } },
	{ "registration", { "Registrazione", "Registration" } },
	{ "network", { "Rete", "Network" } },
	{ "transport", { "Trasporto", "Transport" } },
	{ "media", { "Media e codec", "Media and codecs" } },
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
#include "entities/phones/account_inherited.inc"
};
#undef INHERIT
#undef D

int account_read_aliases(json_t *body)
{
	json_t *srtp = json_object_get(body, "srtp");

	if (json_is_boolean(srtp))
		return json_object_set_new(body, "srtp",
					   json_string(json_is_true(srtp) ? "required" : "off")) ?
			       -ENOMEM :
			       0;
	return 0;
}

static int before_validate(struct sch_ctx *ctx, json_t *body)
{
	return account_read_aliases(body);
}

static int before_delete(struct sch_ctx *ctx, int64_t id, const json_t *old)
{
	if (ctx->system || !json_is_true(json_object_get(old, "is_default")))
		return 0;
	sch_problem_add(ctx, "name", "predefined",
			SCH_TR(ctx, "Il template Default non si può eliminare.",
			       "The Default template cannot be deleted."));
	return -EINUSE;
}

const struct sch_entity entity_account_template = {
	.name = "account_template", .scope = SCH_TENANT, .permission = "account_templates",
	.title_field = "name",
	.label = { "Template degli account", "Account templates" },
	.label_one = { "Template dell'account SIP", "SIP account template" },
	.groups = groups, SCH_FIELDS(fields),
	.before_validate = before_validate, .before_delete = before_delete,
};
