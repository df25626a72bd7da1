/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_ENTITIES_ENTITIES_H
#define AOIDE_ENTITIES_ENTITIES_H

#include "base/err.h"
#include "schema/schema.h"

/*
 * The configurable things, one file each. This header is shared inside the folder: value lists and
 * checks that several entities use. Everybody else finds entities by sch_find().
 */
extern const struct sch_entity entity_tenant, entity_role, entity_user, entity_sip_settings,
	entity_account_template, entity_account, entity_extension_template, entity_extension,
	entity_pickup_group, entity_closed_group, entity_routing_class, entity_language,
	entity_audio_file, entity_moh_class, entity_audio_settings;

/* Rows of users/permissions.inc. */
#define ENTITY_N_PERMISSIONS 88
extern const struct sch_field entity_permission_fields[ENTITY_N_PERMISSIONS];
extern const struct sch_value entity_levels[];

extern const struct sch_value entity_transports[];   /* UDP TCP TLS WS WSS */
extern const struct sch_value entity_audio_codecs[]; /* PCMA PCMU G722 G726 G729 GSM OPUS */
extern const struct sch_value entity_video_codecs[]; /* H261 H263 H263P H264 VP8 */

/* Checks; see sch_field.check. */
typedef int(entity_check_h)(const json_t *value, enum sch_lang lang, struct sch_problem *problem);
entity_check_h entity_check_pin;           /* 4..16 digits (D-087) */
entity_check_h entity_check_secret;        /* printable, no spaces (D-086) */
entity_check_h entity_check_username;      /* [A-Za-z0-9._-] (D-086) */
entity_check_h entity_check_person_name;   /* no ; and " (D-086) */
entity_check_h entity_check_tenant_domain; /* D-057 */
entity_check_h entity_check_url;           /* http, https */
entity_check_h entity_check_bind;          /* address or interface (D-083) */

/* Hooks whose code is in a file of its own. */
int extension_before_write(struct sch_ctx *ctx, json_t *row, const json_t *old);
int extension_after_write(struct sch_ctx *ctx, int64_t id, const json_t *row, const json_t *old);
int account_before_validate(struct sch_ctx *ctx, json_t *body);
int account_before_write(struct sch_ctx *ctx, json_t *row, const json_t *old);
int user_before_write(struct sch_ctx *ctx, json_t *row, const json_t *old);
int user_before_delete(struct sch_ctx *ctx, int64_t id, const json_t *old);
int tenant_before_validate(struct sch_ctx *ctx, json_t *body);
int tenant_before_write(struct sch_ctx *ctx, json_t *row, const json_t *old);
int tenant_after_write(struct sch_ctx *ctx, int64_t id, const json_t *row, const json_t *old);
int tenant_before_delete(struct sch_ctx *ctx, int64_t id, const json_t *old);

/* Fills code and message in the caller's language; returns -EINVAL. */
int entity_problem(struct sch_problem *problem, enum sch_lang lang, const char *code,
		   const char *italian, const char *english);

#endif
