/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_ENTITIES_SOUND_H
#define AOIDE_ENTITIES_SOUND_H

#include "audio/store.h"
#include "entities/entities.h"

/* What the entities of sound share: the fields that show a content's state (audio_describe()). */
#define SOUND_STATE_FIELDS                                                                         \
	{ .name = "state", .type = SCH_ENUM, .values = audio_states,                               \
	  .flags = SCH_READONLY | SCH_VIRTUAL | SCH_LISTED, .label = { "Stato", "State" } },       \
	{ .name = "playable", .type = SCH_BOOL, .flags = SCH_READONLY | SCH_VIRTUAL,               \
	  .label = { "Riproducibile", "Playable" } },                                              \
	{ .name = "reason", .type = SCH_TEXT, .flags = SCH_READONLY | SCH_VIRTUAL,                 \
	  .label = { "Motivo", "Reason" } },                                                       \
	{ .name = "duration_ms", .type = SCH_INT, .flags = SCH_READONLY | SCH_VIRTUAL | SCH_LISTED, \
	  .label = { "Durata", "Duration" } },                                           \
	{ .name = "size_bytes", .type = SCH_INT, .flags = SCH_READONLY | SCH_VIRTUAL,              \
	  .label = { "Byte caricati", "Bytes uploaded" } },                                        \
	{ .name = "rate_hz", .type = SCH_INT, .flags = SCH_READONLY | SCH_VIRTUAL,                 \
	  .label = { "Frequenza (Hz)", "Sample rate (Hz)" } },                                     \
	{ .name = "source_name", .type = SCH_TEXT, .flags = SCH_READONLY | SCH_VIRTUAL,            \
	  .label = { "File caricato", "Uploaded file" } },                                         \
	{ .name = "source_format", .type = SCH_TEXT, .flags = SCH_READONLY | SCH_VIRTUAL,          \
	  .label = { "Formato originale", "Original format" } },                                   \
	{ .name = "content_at", .type = SCH_TIME, .flags = SCH_READONLY | SCH_VIRTUAL,             \
	  .label = { "Caricato il", "Uploaded at" } }

/* Rows of one kind found by their id, to be decorated together with one query. */
int sound_decorate(struct sch_ctx *ctx, json_t *rows, enum audio_kind kind);

const char *sound_text(const json_t *row, const char *name); /* "" when absent */
int sound_put(json_t *row, const char *name, const char *value);
/* Creates a row as the product; steals body. */
int sound_seed(struct sch_ctx *ctx, const char *entity, json_t *body);

#endif
