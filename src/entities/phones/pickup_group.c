/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/entities.h"

/* Pickup groups (BASE-41, TEL-07): extensions name the groups they belong to and may pick up on. */
static const struct sch_field fields[] = {
	{ .name = "name", .type = SCH_TEXT, .max = 64, .label = { "Nome", "Name" },
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH },
};

const struct sch_entity entity_pickup_group = {
	.name = "pickup_group", .scope = SCH_TENANT, .permission = "extensions",
	.title_field = "name",
	.label = { "Gruppi di prelievo", "Pickup groups" },
	.label_one = { "Gruppo di prelievo", "Pickup group" },
	SCH_FIELDS(fields),
};
