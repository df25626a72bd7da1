/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_REST_H
#define AOIDE_WEB_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "schema/schema.h"
#include "web/principal.h"
#include "web/repr.h"
#include "web/request.h"

/*
 * What a handler of the router table works with. One per request, in a worker thread. A handler
 * sets the answer and returns 0, or returns an error that rest_run() turns into a problem document
 * (RFC 9457, D-226, D-227).
 */
struct web;
struct db;
struct route;

enum rest_family { FAMILY_ROOT, FAMILY_REST, FAMILY_V2 };
#define REST_MAX_PARAMS 6

struct rest {
	struct web *web;
	struct db *db;
	struct web_req *req;
	struct web_response *resp;
	enum rest_family family;
	const struct route *route;
	const char *params[REST_MAX_PARAMS]; /* what the pattern's {names} stand for, in order */
	size_t n_params;
	const struct sch_entity *entity;     /* of {entity} */
	enum web_repr repr;
	enum sch_lang lang;
	struct principal *who;               /* NULL: anonymous */
	struct sch_ctx ctx;
	const char *problem_detail;          /* of the error returned, or NULL */
	const char *problem_code;
	/* cache.c: where the answer may be kept, and what it depends on. */
	char *cache_key;
	int64_t cache_tenant_revision, cache_node_revision;
};

enum rest_access {
	ACCESS_ANONYMOUS,
	ACCESS_USER,     /* anybody who is logged in */
	ACCESS_LEVEL,    /* permission of the route, or of the entity */
	ACCESS_DOC,      /* logged in, or from this machine (D-237) */
};

/* A row of the router table. Patterns lack the family's prefix. */
struct route {
	unsigned families;     /* mask of 1 << enum rest_family */
	unsigned methods;      /* mask of enum web_method; GET serves HEAD too */
	const char *pattern;   /* "cdr/{format}" */
	int (*handler)(struct rest *rest);
	enum rest_access access;
	const char *permission; /* ACCESS_LEVEL; NULL: the entity's */
	enum sch_level level;   /* needed for it */
	unsigned offered;       /* mask of representations; 0: JSON and, on /rest/, XML */
	const char *tag, *summary; /* of the OpenAPI document; tag NULL: not listed */
	const char *entity;     /* whose rows and permission it is about; NULL: {entity} or none */
	bool upload;            /* the body may be a file (upload.h) */
};
extern const struct route web_routes[];
extern const size_t web_n_routes;

/* Does the pattern match the path (no leading slash, trailing one tolerated)? Fills params with
 * pieces copied into the arena. Returns their number or -ENOENT. */
struct arena;
int route_match(const char *pattern, const char *path, struct arena *arena,
		const char *params[REST_MAX_PARAMS]);

/* Answers the request. Worker thread. */
void rest_run(struct web *web, struct db *db, struct web_req *req);

/* ------------------------------------------------------------------ for handlers */

/* Steals value; prints it in the representation. Returns 0 or -ENOMEM. */
int rest_answer(struct rest *rest, int status, json_t *value);
/* Takes text over (leaves *text empty). */
int rest_answer_text(struct rest *rest, int status, const char *ctype, struct web_text *text);
int rest_answer_empty(struct rest *rest, int status);
/* No CR or LF ever gets through. */
void rest_header(struct rest *rest, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Returns err, with code and text (already in the caller's language) for its problem document. */
int rest_problem(struct rest *rest, int err, const char *code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* One of two texts by the caller's language. */
#define REST_TEXT(rest, it, en) ((rest)->lang == SCH_IT ? (it) : (en))

/* The body as a JSON object (from JSON, XML or a form), strictly parsed. ret: new reference. With
 * an entity, texts of XML and forms become what the fields are. */
int rest_body(struct rest *rest, const struct sch_entity *entity, json_t **ret);

/* Codes of our own for what errno cannot say, mapped to a status like the others. */
enum {
	EREST_FIRST = 4100,
	EMEDIATYPE,    /* 415 */
	ENOTACCEPTABLE,/* 406 */
	ETOOMANY,      /* 429 */
	EBADPATH,      /* 400: malformed path or date */
	EBADBODY,      /* 400 */
	EMETHOD,       /* 405 */
	ECONFLICT,     /* 409 */
};

/* Of an entity: the object as the answer, and what follows every write of one (the event, the apply that
 * old clients expect, D-052). rest->entity is set. */
int rest_answer_object(struct rest *rest, int status, int64_t id);
void rest_written(struct rest *rest, int64_t id, const char *action);
/* The id of the object that the path names: by id on /api/pbx/v2/, by its natural key on /rest/. */
int rest_resolve(struct rest *rest, const char *key, int64_t *id);
/* ?separator= of a CSV answer; a comma unless told. */
int rest_separator(struct rest *rest, char *ret);

/* Sets an ETag from the answer's bytes and turns the answer into a 304 if the client has it. */
void rest_etag(struct rest *rest, int64_t revision);

/* ------------------------------------------------------------------ handlers, by file */

#define REST_HANDLERS(X)                                                                           \
	X(rest_session_create) X(rest_session_get) X(rest_session_delete) X(rest_session_patch) X(rest_password_change)     \
	X(rest_salt_get)                                                                                \
	X(rest_entity_list) X(rest_entity_create) X(rest_entity_get) X(rest_entity_put) X(rest_entity_patch)                \
	X(rest_entity_delete) X(rest_entity_export) X(rest_entity_import)                                         \
	X(rest_settings_get) X(rest_settings_put) X(rest_settings_patch)                                          \
	X(rest_schema_get) X(rest_config_revision) X(rest_config_changes) X(rest_config_apply) X(rest_config_discard)       \
	X(rest_audit_list)                                                                                              \
	X(rest_cdr_by_path) X(rest_cdr_by_body) X(rest_cdr_page)                                                  \
	X(rest_live_registrations) X(rest_live_calls) X(rest_live_call) X(rest_live_hangup)                            \
	X(rest_dashboard_get) X(rest_dashboard_version) X(rest_dashboard_serial) X(rest_cti_users)                     \
	X(rest_audio_create) X(rest_audio_content_get) X(rest_audio_content_put) X(rest_audio_content_delete)             \
	X(rest_audio_play) X(rest_audio_record) X(rest_audio_rerecord) X(rest_audio_phone_get)                             \
	X(rest_moh_files_get) X(rest_moh_file_add) X(rest_moh_file_delete) X(rest_moh_content_get)                        \
	X(rest_moh_content_put) X(rest_prompt_list) X(rest_prompt_content_get) X(rest_prompt_content_put)                 \
	X(rest_prompt_content_delete) X(rest_language_archive) X(rest_volatile_create) X(rest_volatile_list)              \
	X(rest_volatile_get) X(rest_volatile_content_get) X(rest_volatile_delete)                                         \
	X(rest_doc_json) X(rest_doc_html) X(rest_doc_postman) X(rest_loglevel_get) X(rest_loglevel_put) X(rest_health_get) X(rest_metrics_get)
#define X(name) int name(struct rest *rest);
REST_HANDLERS(X)
#undef X

#endif
