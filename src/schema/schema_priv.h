/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SCHEMA_PRIV_H
#define AOIDE_SCHEMA_PRIV_H

#include "base/err.h"
#include "base/arena.h"
#include "db/db.h"
#include "schema/schema.h"

/*
 * Shared inside src/schema. Every SQL text here is built from names of the registry and numbered
 * parameters only; a name from outside is looked up in the registry first.
 */

/* Columns that every entity table starts with, before one column per stored field. sort_key is the
 * folded title, search_key the folded text of the SCH_SEARCH fields. */
#define SCH_FIXED_COLUMNS "id, tenant_id, revision, created_at, updated_at, sort_key, search_key"
#define SCH_N_FIXED       7
#define SCH_MAX_FIELDS    128 /* of one entity; a start-up check */

static inline bool sch_stored(const struct sch_field *f)
{
	return !(f->flags & SCH_VIRTUAL) && !f->back;
}

/* The value is kept as JSON text. */
static inline bool sch_is_json(enum sch_type type)
{
	return type == SCH_ENUM_LIST || type == SCH_NET_LIST || type == SCH_REF_LIST ||
	       type == SCH_DEST || type == SCH_LIST || type == SCH_OBJECT;
}

static inline bool sch_is_text(enum sch_type type)
{
	return type == SCH_TEXT || type == SCH_DIGITS || type == SCH_PHONE || type == SCH_EMAIL ||
	       type == SCH_HOST || type == SCH_ENUM || type == SCH_SECRET || type == SCH_VERIFIER ||
	       type == SCH_UUID;
}

static inline bool sch_is_secret(enum sch_type type)
{
	return type == SCH_SECRET || type == SCH_VERIFIER;
}

const struct sch_field *sch_field_find(const struct sch_field *fields, size_t n, const char *name);
const char *sch_type_name(enum sch_type type);
const struct sch_entity *sch_template_of(const struct sch_entity *entity);

/* buf: lowerCamelCase of a snake_case name; and back. */
void sch_camel(char *buf, size_t size, const char *name);
void sch_snake(char *buf, size_t size, const char *name);

/* Default of a field as a value of REST form, complete with the defaults of inner fields. A
 * reference's "@title" default is null here. New reference; NULL when memory is out. */
json_t *sch_default(const struct sch_field *field);
/* Adds missing members of an object (or of each object of a list) with their defaults. */
int sch_complete(const struct sch_field *field, json_t *value);

/* Lower case without accents, for sorting and searching (D-370). Writes at most size - 1 bytes of
 * whole characters. */
void sch_fold(char *buf, size_t size, const char *text);
/* Equal but for case; accents count. */
bool sch_same_nocase(const char *a, const char *b);


int sch_ddl(struct db *db);

#endif
