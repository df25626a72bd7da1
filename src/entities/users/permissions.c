/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <errno.h>
#include "schema/schema.h"
#include "entities/entities.h"

#define P(k, a, n, t, i, e)                                                                        \
	{ .key = #k, .action = #a, .node = n, .tenant = t, .label = { i, e } },
const struct sch_permission sch_permissions[] = {
#include "entities/users/permissions.inc"
};
#undef P
const size_t sch_n_permissions = sizeof(sch_permissions) / sizeof(sch_permissions[0]);
_Static_assert(sizeof(sch_permissions) / sizeof(sch_permissions[0]) <= SCH_MAX_PERMISSIONS,
	       "levels of a session hold every permission");

const struct sch_value entity_levels[] = {
	{ "none", { "nessuno", "none" } },
	{ "list", { "elenco", "list" } },
	{ "read", { "lettura", "read" } },
	{ "write", { "scrittura", "write" } },
	{ 0 },
};

/* The object `permissions` of a role: one level per permission; what is missing is none (D-041). */
#define P(k, a, n, t, i, e)                                                                        \
	{ .name = #k, .type = SCH_ENUM, .values = entity_levels, .def = "none", .label = { i, e } },
const struct sch_field entity_permission_fields[] = {
#include "entities/users/permissions.inc"
};
#undef P
_Static_assert(sizeof(entity_permission_fields) / sizeof(entity_permission_fields[0]) ==
		       ENTITY_N_PERMISSIONS,
	       "entities.h counts the permissions");

int sch_permission_index(const char *key)
{
	for (size_t i = 0; i < sch_n_permissions; i++)
		if (!strcmp(sch_permissions[i].key, key))
			return (int)i;
	return -ENOENT;
}

const char *sch_level_name(enum sch_level level)
{
	return entity_levels[level].value;
}
