/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_AUDIO_API_H
#define AOIDE_WEB_AUDIO_API_H

#include <stdint.h>
#include <jansson.h>

/* What handlers of audio files share. */
struct rest;
struct sch_entity;

/* The row that the address names. ret: new reference. */
int rest_audio_resolve(struct rest *rest, int64_t *id, json_t **row);
/* Raises the version of the row that a content belongs to: a change like any other, so it is in the audit
 * and is applied. */
int rest_audio_raise_version(struct rest *rest, const struct sch_entity *entity, int64_t id);
/* Takes a row back that this request has made. */
void rest_audio_forget(struct rest *rest, int64_t id);

#endif
