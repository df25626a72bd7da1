/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SCHEMA_SCHEMA_H
#define AOIDE_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

/*
 * The registry: one table of fields per entity (style guide, section 7). From it come the SQL
 * tables (saved `<entity>` and applied `<entity>_applied`), CRUD, validation, template inheritance,
 * references, permissions, audit, CSV, OpenAPI and the document that the web front end draws from.
 */
struct db;

enum sch_lang { SCH_IT, SCH_EN };
struct sch_label {
	const char *it, *en;
};

enum sch_type {
	SCH_BOOL,
	SCH_INT,      /* min..max */
	SCH_TEXT,     /* max characters; charset check by `check` */
	SCH_DIGITS,   /* text of [0-9], min..max characters */
	SCH_PHONE,    /* text of [+0-9*#], max characters */
	SCH_EMAIL,
	SCH_HOST,     /* IP address or DNS name */
	SCH_ENUM,     /* one of values[] */
	SCH_ENUM_LIST,/* ordered list out of values[], no doubles; JSON array */
	SCH_NET_LIST, /* list of networks "10.0.0.0/8" or addresses; JSON array */
	SCH_SECRET,   /* sealed; write-only in REST (D-364) */
	SCH_VERIFIER, /* digestPassword of a user, sealed; input is the clear password */
	SCH_REF,      /* id of `ref` */
	SCH_REF_LIST, /* ids of `ref`, JSON array */
	SCH_DEST,     /* destination {type, id, value} (01-entity-index, Destinations) */
	SCH_LIST,     /* list of objects with fields[] (children), stored as JSON */
	SCH_OBJECT,   /* one object with fields[], stored as JSON */
	SCH_UUID,     /* made by us, immutable */
	SCH_TIME,     /* UTC microseconds, read-only in REST */
};

enum sch_flag {
	SCH_REQUIRED = 1 << 0,
	SCH_UNIQUE = 1 << 1,        /* in the tenant (or node, by scope) */
	SCH_UNIQUE_NODE = 1 << 2,   /* over all tenants (account user name, BASE-25) */
	SCH_NOCASE = 1 << 3,        /* uniqueness ignores case */
	SCH_INHERIT = 1 << 4,       /* may come from the template; NULL in the row = inherited */
	SCH_READONLY = 1 << 5,      /* set by the product, ignored on input */
	SCH_IMMUTABLE = 1 << 6,     /* only on create */
	SCH_HIDDEN = 1 << 7,        /* not in REST */
	SCH_LISTED = 1 << 8,        /* a column of the list page by default */
	SCH_VIRTUAL = 1 << 9,       /* no column: in REST input only (user_create...), or with
				     * SCH_READONLY in its output only (sch_entity.decorate) */
	SCH_SEARCH = 1 << 10,       /* looked at by q= */
};

enum sch_on_delete { SCH_REFUSE, SCH_SET_NULL, SCH_CASCADE };
enum sch_scope { SCH_PBX, SCH_TENANT, SCH_PBX_OR_TENANT };

/* Permissions (01-entity-index, Permissions; BASE-75, BASE-76). */
enum sch_level { SCH_LEVEL_NONE, SCH_LEVEL_LIST, SCH_LEVEL_READ, SCH_LEVEL_WRITE };
struct sch_permission {
	const char *key, *action; /* "extensions", "EXTENSION" */
	bool node, tenant;        /* at which level it may be held */
	struct sch_label label;
};
extern const struct sch_permission sch_permissions[];
extern const size_t sch_n_permissions;
#define SCH_MAX_PERMISSIONS 128
int sch_permission_index(const char *key); /* -ENOENT */
const char *sch_level_name(enum sch_level level);

struct sch_value { /* one value of an enum */
	const char *value;
	struct sch_label label;
};

struct sch_problem { /* one error of one field, ready to show */
	const char *field;   /* "overflow.internal.busy.destination" */
	const char *code;    /* "required", "duplicate", "too_long", "unknown_field"... */
	char message[200];   /* in the caller's language: what is wrong and what to do */
};

struct sch_field {
	const char *name;
	enum sch_type type;
	unsigned flags;
	const char *def;                 /* default, as JSON text or bare word; NULL: null */
	int64_t min, max;                /* number range, or length range of text; 0,0: type's own */
	const struct sch_value *values;  /* SCH_ENUM, SCH_ENUM_LIST; ends with value NULL */
	const char *ref;                 /* SCH_REF, SCH_REF_LIST */
	enum sch_on_delete on_delete;
	const struct sch_field *fields;  /* SCH_LIST, SCH_OBJECT */
	size_t n_fields;
	struct sch_label label, help;
	const char *group;               /* key of the form's section; see sch_entity.groups */
	const char *visible_if;          /* "lock_policy=auto_relock"; what the form shows it for */
	const char *back; /* SCH_REF, SCH_REF_LIST without a column: the field of `ref` that points to us */
	/* More than a table can say. Fills problem->code and message. Returns 0 or -EINVAL. */
	int (*check)(const json_t *value, enum sch_lang lang, struct sch_problem *problem);
};
#define SCH_ITEMS(a) .fields = (a), .n_fields = sizeof(a) / sizeof((a)[0])

struct sch_group {
	const char *key;
	struct sch_label label;
};

struct sch_ctx;
struct sch_entity {
	const char *name;        /* snake_case; SQL table; REST name is its lowerCamelCase (D-220) */
	enum sch_scope scope;
	bool singleton;          /* settings that exist once per scope */
	bool shared;             /* SCH_PBX: tenants may read the rows, because theirs refer to them */
	const char *permission;  /* key of 01-entity-index, Permissions */
	const char *natural_key; /* /rest/extension/{exten}: field that items are found by; or NULL */
	const char *title_field; /* what a list of choices shows */
	const char *template_field; /* name of the SCH_REF field that SCH_INHERIT fields come from */
	struct sch_label label, label_one;
	const struct sch_group *groups; /* ends with key NULL */
	const struct sch_field *fields;
	size_t n_fields;
	/* Rows whose bool guard_field is true are governed by guard_permission in place of permission
	 * (protected accounts, D-042). The web lets a caller in when either is enough; this module
	 * filters the rows by ctx->levels. */
	const char *guard_field, *guard_permission;
	/* Rewrites aliases in a copy of the body before anything is looked at. */
	int (*before_validate)(struct sch_ctx *ctx, json_t *body);
	/* Hooks; all may be NULL; run inside the write's transaction; return 0 or -EINVAL with problems
	 * added by sch_problem_add(), or another error. row: the complete new object in REST form, but
	 * inheritable fields are null when inherited, and the virtual fields of the input are in it;
	 * old: the same before the write, NULL on create. Secrets are the clear text where the input
	 * set one, absent elsewhere. */
	int (*before_write)(struct sch_ctx *ctx, json_t *row, const json_t *old);
	int (*after_write)(struct sch_ctx *ctx, int64_t id, const json_t *row, const json_t *old);
	int (*before_delete)(struct sch_ctx *ctx, int64_t id, const json_t *old);
	/* Writes the rows that a new node or tenant (ctx->tenant_id) begins with. Called once per scope
	 * in its life, so what somebody deletes does not come back; in databases of an older release too. */
	int (*seed)(struct sch_ctx *ctx);
	/* Adds to rows that are about to be shown what is no configuration: the SCH_VIRTUAL |
	 * SCH_READONLY fields. rows: array in REST form. Such lists are not cached. */
	int (*decorate)(struct sch_ctx *ctx, json_t *rows);
};
#define SCH_FIELDS(a) .fields = (a), .n_fields = sizeof(a) / sizeof((a)[0])

/* All entities in dependency order (entities/entities.c). */
extern const struct sch_entity *const sch_entities[];
extern const size_t sch_n_entities;
const struct sch_entity *sch_find(const char *name);         /* "account_template" or "accountTemplate" */
void sch_rest_name(char *buf, size_t size, const struct sch_entity *entity); /* "accountTemplate" */

/*
 * Makes or extends the tables of all entities; forward only. Also tables sch_reference, audit_log,
 * audit_change, configuration_revision. Creates what a new node has (D-356). After seal_init().
 *
 * Tables `<entity>` (saved) and `<entity>_applied` have the same columns: id, tenant_id (0: node; the
 * id of the row itself is the tenant id in `tenant`, whose tenant_id is 0), revision (the tenant's
 * saved revision that wrote the row), created_at, updated_at (wall microseconds), sort_key,
 * search_key, then one column per field that is neither SCH_VIRTUAL nor `back`:
 *   SCH_BOOL INTEGER 0/1; SCH_INT, SCH_REF, SCH_TIME BIGINT; the others TEXT.
 *   SCH_ENUM_LIST, SCH_NET_LIST, SCH_REF_LIST: JSON array, ["PCMA","OPUS"], ["10.0.0.0/8"], [3,5].
 *   SCH_DEST, SCH_LIST, SCH_OBJECT: compact JSON, complete with defaults.
 *   SCH_SECRET, SCH_VERIFIER: seal_open() with context "<entity>.<field>", e.g. "account.password".
 * NULL in an SCH_INHERIT column: the value of the same column in the template's row. Names of tables
 * and columns are always quoted: "user" is a word of SQL.
 */
int sch_migrate(struct db *db);

/* ------------------------------------------------------------------ one write or read */

#define SCH_MAX_PROBLEMS 32

struct sch_ctx {
	struct db *db;
	int64_t tenant_id;     /* 0: node level */
	int64_t user_id;       /* 0: the system */
	const char *user_name; /* "admin@default"; for the audit */
	const char *address;   /* where the request came from; for the audit */
	enum sch_lang lang;
	bool reveal_secrets;   /* ?reveal=true by one who may write (D-364), or the answer to a create */
	bool force;            /* ?force=true (D-089) */
	bool system;           /* the product itself acts: predefined things may be written */
	/* The acting user's rights, for D-040 and D-042; levels NULL: everything is allowed. */
	const uint8_t *levels; /* enum sch_level by index of sch_permissions[] */
	int64_t role_id;
	int role_priority;
	/* Secrets that this write made up and that cannot be read again, {"password": "..."}; the web
	 * shows them once and lets go with json_decref(). NULL: none. */
	json_t *generated;
	struct sch_problem problems[SCH_MAX_PROBLEMS]; /* filled on -EINVAL, -EDUPLICATE, -EINUSE */
	size_t n_problems;
	json_t *reset; /* delete: destinations that were reset, [{entity,id,title,field}] (D-089) */
	struct arena *arena;   /* of the request; owns texts of problems */
	/* Below: this module's own. */
	char transaction[37];  /* audit id of the outermost write (PLT-01) */
	unsigned depth;
	int64_t batch_scope, batch_revision; /* many writes that share one revision; 0: none */
	bool batch_wrote;
};

void sch_problem_add(struct sch_ctx *ctx, const char *field, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ------------------------------------------------------------------ for the hooks of entities */

#define SCH_TR(ctx, italian, english) ((ctx)->lang == SCH_IT ? (italian) : (english))
const char *sch_path(struct sch_ctx *ctx, const char *outer, const char *inner); /* "outer.inner" */
int64_t sch_row_id(const json_t *row);                            /* 0: none yet */
/* The row with this title (without regard to case) of the caller's scope. -ENOENT. */
int sch_find_title(int64_t *ret, struct sch_ctx *ctx, const struct sch_entity *entity,
		   const char *title);
enum sch_level sch_role_level(const json_t *role, const char *key); /* of a row of role */
/* A writer of other rows inside the same transaction: same caller, no problems, acts as the system.
 * Problems of the inner write are moved over by sch_ctx_join(), their fields renamed by pairs
 * { "username", "user_name", NULL }; unknown ones get the prefix. */
void sch_ctx_inner(struct sch_ctx *inner, const struct sch_ctx *ctx);
void sch_ctx_join(struct sch_ctx *ctx, struct sch_ctx *inner, const char *prefix,
		  const char *const *renames);

struct sch_query { /* D-228 */
	const char *q;             /* free text */
	const char *sort;          /* "number,-name" */
	const char *fields;        /* "id,number" or NULL */
	struct {
		const char *field, *op, *value; /* op: "=", "~", "ne", "lt", "le", "gt", "ge", "in", "null" */
	} filters[16];
	size_t n_filters;
	int page, page_size;       /* page_size 0: all */
};

/*
 * Growing text that list answers are printed into, without building a tree per row.
 */
struct sch_out {
	char *text; /* NUL terminated; free() */
	size_t len, size;
};
void sch_out_free(struct sch_out *out);

/* Appends a JSON array of the objects (REST form, templates resolved) to out; total: rows of the
 * whole filter. Errors: -EINVAL with problems (unknown field in filter or sort). */
int sch_list(struct sch_ctx *ctx, const struct sch_entity *entity, const struct sch_query *query,
	     struct sch_out *out, int64_t *total);

/*
 * The object in REST form: "id", every field, "overrides" (names of inheritable fields that are set
 * on the object itself), "revision" (ETag). Fields that are not overridden show the template's
 * value. Secrets are absent unless revealed. ret: new reference. -ENOENT (also: another tenant's).
 */
int sch_get(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t id, json_t **ret);
/*
 * The object of a path; -ENOENT: none. /rest/ paths carry the natural key where the entity has one
 * (extension 12 is the one with that number, never that id) and else the id; /api/pbx/v2/ paths
 * carry ids only, so that the object with id 12 is never taken for another one's number.
 */
int sch_resolve(struct sch_ctx *ctx, const struct sch_entity *entity, const char *key, int64_t *ret);
int sch_resolve_id(struct sch_ctx *ctx, const struct sch_entity *entity, const char *key,
		   int64_t *ret);

/*
 * Writes are one transaction each: validate everything (all problems, not only the first), write,
 * keep references, audit, raise the tenant's saved revision.
 *
 * Input of an inheritable field: a value overrides, null inherits, missing inherits (create, put)
 * or stays (patch). With an "overrides" array in the body, it alone says what is overridden, so that
 * GET followed by PUT changes nothing. camelCase names are accepted (D-221).
 *
 * Secrets: missing or "" keeps what there is, null clears. PATCH merges objects (RFC 7386), lists
 * are replaced. A write that changes nothing raises no revision. if_revision 0: not asked.
 * SCH_PBX entities are written at node level whatever ctx->tenant_id says: may the caller? is the
 * web's question. id of a singleton may be 0.
 *
 * Errors: -EINVAL, -EDUPLICATE, -EINUSE (with problems), -EFORBIDDEN, -ENOENT, -ESTALE_REV, -EBUSY.
 */
enum sch_write { SCH_CREATE, SCH_PUT, SCH_PATCH };
int sch_write(struct sch_ctx *ctx, const struct sch_entity *entity, enum sch_write how, int64_t id,
	      const json_t *body, int64_t if_revision, int64_t *ret_id);
int sch_delete(struct sch_ctx *ctx, const struct sch_entity *entity, int64_t id,
	       int64_t if_revision);

/* A new tenant with what D-356 says it has. Writing entity tenant does the same; admin_password is
 * its virtual field "password". NULL: "admin", to be changed at first login, in tenant "default"
 * (D-037); elsewhere one is made up and left in ctx->generated. Not applied: apply tenant 0 and the
 * new one. */
int sch_tenant_create(struct sch_ctx *ctx, const json_t *body, const char *admin_password,
		      int64_t *ret_id);

/* ------------------------------------------------------------------ users and salts */

struct sch_user { /* who a request is made by */
	int64_t id, tenant_id; /* tenant_id 0: a machine user (pbxadmin) */
	int64_t role_id, extension_id;
	int role_priority;
	char username[65], domain[64], tenant_name[260], role_name[260];
	char language[8]; /* "it", "en" or "" */
	bool enabled, gui, cti, webcti, api;
	bool must_change;      /* the password is to be changed at this login */
	bool default_password; /* it is still "admin": D-037 */
	char verifier[65];     /* digestPassword (API-04), lower hex; "": no local password */
	uint8_t levels[SCH_MAX_PERMISSIONS]; /* enum sch_level by index of sch_permissions[] */
};

/*
 * domain: text of the request in any case; "" or "pbxadmin": machine users; NULL: a bare name is
 * looked up among machine users, then in the tenant "default" (D-034). The saved user counts: a new
 * password is in force at once.
 *
 * Returns 0, -ENOENT (whatever part is unknown), or a database error.
 */
int sch_user_verifier_open(struct sch_user *ret, struct db *db, const char *domain,
			   const char *username);

#define SCH_SALT_SIZE   33 /* 32 hex characters and a NUL */
#define SCH_DIGEST_SIZE 65
/* The salt of a domain as above; of an unknown one a stable pseudo-salt (D-225). */
int sch_salt(char salt[SCH_SALT_SIZE], struct db *db, const char *domain);
/* sha256("password{salt}"), lower hex (API-04). */
void sch_digest_password(char digest[SCH_DIGEST_SIZE], const char *password, const char *salt);
/* Singletons and seeds of ctx->tenant_id (0: the node) that it has not had yet. Inside a write. */
int sch_seed_scope(struct sch_ctx *ctx);

/* Tenant of a domain (any case). -ENOENT. */
int sch_tenant_find(int64_t *ret, struct db *db, const char *domain);

/* ------------------------------------------------------------------ save, apply (BASE-80) */

/* Copies saved rows of the tenant (0: node) that differ into the applied tables, one transaction;
 * raises the applied revision. ret_revision: the new one. */
int sch_apply(struct db *db, int64_t tenant_id, int64_t *ret_revision);
/* One indexed row: saved is what the ETag of any list of the tenant is made of. */
int sch_revisions(struct db *db, int64_t tenant_id, int64_t *saved, int64_t *applied);
/* Changes not applied yet: JSON array of {entity, id, title, action, user, at}. */
int sch_pending(struct sch_ctx *ctx, json_t **ret);
/* Copies the applied rows back over the saved ones. */
int sch_discard(struct sch_ctx *ctx);

/* ------------------------------------------------------------------ documents */

/* What the front end draws lists and forms from; see docs/schema-document.md. */
json_t *sch_document(void);
/* Adds paths and components of every entity to an OpenAPI 3.0.3 document. */
int sch_openapi(json_t *doc);

/*
 * The audit log (PLT-01, PLT-02), newest first. Texts NULL: any. object_type: as shown, or the entity's name; q: part
 * of the description. ret: items with all columns of the register; with_changes: also what has changed, secrets
 * as "***".
 */
struct sch_audit_query {
	bool all_tenants, with_changes; /* else the ctx's alone */
	int64_t from_us, to_us;         /* 0: no limit */
	const char *username, *ip_address, *action, *object_type, *transaction_id, *q;
	int page, page_size;            /* from 1 */
};
int sch_audit_list(struct sch_ctx *ctx, const struct sch_audit_query *query, json_t **ret, int64_t *total);

/* CSV (D-213, D-368): header of field names (Italian labels accepted on import). */
int sch_csv_export(struct sch_ctx *ctx, const struct sch_entity *entity,
		   const struct sch_query *query, char separator, bool bom, bool secrets,
		   struct sch_out *out);
enum sch_import { SCH_IMPORT_PREVIEW, SCH_IMPORT_ALL_OR_NOTHING, SCH_IMPORT_VALID_ROWS };
/* ret: {"rows":n,"created":n,"updated":n,"failed":n,"errors":[{"row":2,"field":..,"code":..,"message":..}]} */
#define SCH_CSV_MAX_BYTES (8u * 1024 * 1024)
#define SCH_CSV_MAX_ROWS  50000
int sch_csv_import(struct sch_ctx *ctx, const struct sch_entity *entity, enum sch_import mode,
		   const char *text, size_t len, json_t **ret);

#endif
