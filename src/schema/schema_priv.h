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
 * folded title, search_key the folded text of the SCH_SEARCH fields. rest is what lists show of the
 * row itself, ready to copy: `"number":"101","email":null,`; rest_over the overrides of inheritable
 * fields in the order of the form, each as a line `busy_level<tab>"busy_level":3,`. */
#define SCH_FIXED_COLUMNS                                                                          \
	"id, tenant_id, revision, created_at, updated_at, sort_key, search_key, rest, rest_over"
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


/* ------------------------------------------------------------------ out.c */

int sch_out_mem(struct sch_out *out, const char *text, size_t len);
int sch_out_text(struct sch_out *out, const char *text);
int sch_out_i64(struct sch_out *out, int64_t v);
int sch_out_json_string(struct sch_out *out, const char *text); /* with its quotes */

/* ------------------------------------------------------------------ row.c */

/* The tenant id that rows of the entity carry for this caller: 0 for node entities. */
int64_t sch_scope_id(const struct sch_ctx *ctx, const struct sch_entity *entity);

/*
 * How the rows of one query are printed: which columns, in which order, and the template values
 * that go where a row inherits (rendered once per template). Lives as long as one call.
 */
struct sch_plan;
int sch_plan_alloc(struct sch_plan **ret, struct sch_ctx *ctx, const struct sch_entity *entity,
		   const char *fields);
void sch_plan_free(struct sch_plan *plan);
int sch_plan_columns(const struct sch_plan *plan, struct sch_out *sql); /* "x.id, x.revision, ..." */
int sch_plan_print(struct sch_plan *plan, struct sch_out *out, struct db_rows *rows);

/*
 * A row as it is stored: own has every stored field that is no secret (null: inherited), "id" and
 * "revision"; sealed has the secrets as sealed texts. -ENOENT.
 */
int sch_own_load(json_t **own, json_t **sealed, struct db *db, const struct sch_entity *entity,
		 int64_t scope, int64_t id);
/* Writes again what is derived from rows (keys, rest, defaults of new members of objects) in the
 * saved and applied tables, when the registry is not the one that wrote them. */
int sch_refresh(struct db *db);
/* Writes own and sealed as a new row (id 0) or over row id, and keeps its references. */
int sch_own_store(int64_t *ret_id, struct sch_ctx *ctx, const struct sch_entity *entity,
		  int64_t scope, int64_t id, const json_t *own, const json_t *sealed);
/* The next saved revision of the tenant. The first statement of every write: it locks the tenant. */
int sch_revision_next(int64_t *ret, struct db *db, int64_t scope);
/* The same inside a batch, where all writes carry one revision and its row is updated once: in
 * PostgreSQL a row that one transaction updates thousands of times is walked through each time. */
int sch_revision_take(int64_t *ret, struct sch_ctx *ctx, int64_t scope);
int sch_batch_begin(struct sch_ctx *ctx, int64_t scope); /* inside a transaction; locks the tenant */
int sch_batch_end(struct sch_ctx *ctx);
/* Marks a row as changed because what it shows of others did (back references). */
int sch_touch(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t scope, int64_t id);

/* ------------------------------------------------------------------ validate.c */

/* Checks and normalises one value. path: as it is shown in problems. out: new reference, untouched
 * on -EINVAL (problems were added). */
int sch_validate(json_t **out, struct sch_ctx *ctx, const struct sch_field *field, const char *path,
		 const json_t *in);
/* Entity a destination type points to; NULL: none. */
const char *sch_dest_target(const char *type);
int sch_exists(struct sch_ctx *ctx, const struct sch_entity *target, int64_t id);
/* Walks camelCase and unknown names of an object. */
int sch_rename_members(struct sch_ctx *ctx, const struct sch_field *fields, size_t n,
		       const char *path, json_t *object, const char *const *also);

/* ------------------------------------------------------------------ refs.c, audit.c */

int sch_refs_store(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t scope, int64_t id,
		   const json_t *own);
/* Resets, clears, cascades or refuses what points to the row (D-089). -EINUSE with problems. */
int sch_refs_release(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t id);

int sch_audit(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t scope, int64_t id,
	      const char *action, const json_t *old, const json_t *old_sealed, const json_t *row,
	      const json_t *sealed);

/* list.c: text for LIKE, where % and _ of the value mean themselves. NULL: out of memory. */
char *sch_like_part(struct arena *arena, const char *value);

/* ------------------------------------------------------------------ tenant.c */

int sch_seed_node(struct db *db);
/* Seals a clear secret of the field: what is stored. Verifiers are digested with the scope's salt. */
int sch_secret_seal(char **ret, struct db *db, const struct sch_entity *entity,
		    const struct sch_field *field, int64_t scope, const char *clear);

#endif
