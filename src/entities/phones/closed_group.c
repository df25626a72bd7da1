/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/entities.h"

/* Closed groups (ADV-10, ADV-11). */
static const struct sch_field fields[] = {
	{ .name = "name", .type = SCH_TEXT, .max = 64, .label = { "Nome", "Name" },
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH },
};

const struct sch_entity entity_closed_group = {
	.name = "closed_group", .scope = SCH_TENANT, .permission = "extensions",
	.title_field = "name",
	.label = { "Gruppi chiusi", "Closed groups" },
	.label_one = { "Gruppo chiuso", "Closed group" },
	SCH_FIELDS(fields),
};
