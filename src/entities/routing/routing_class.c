/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/entities.h"

/* Outbound routing classes (BASE-38, BASE-55). Their rules come with the lines. */
static const struct sch_field fields[] = {
	{ .name = "name", .type = SCH_TEXT, .max = 64, .label = { "Nome", "Name" },
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH },
	{ .name = "note", .type = SCH_TEXT, .max = 255, .flags = SCH_LISTED | SCH_SEARCH,
	  .label = { "Note", "Note" } },
};

const struct sch_entity entity_routing_class = {
	.name = "routing_class", .scope = SCH_TENANT, .permission = "lcr_classes",
	.title_field = "name",
	.label = { "Classi di instradamento in uscita", "Outbound routing classes" },
	.label_one = { "Classe di instradamento in uscita", "Outbound routing class" },
	SCH_FIELDS(fields),
};
