/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_CONTENT_H
#define AOIDE_WEB_CONTENT_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

/*
 * What handlers of sound share (PLT-30..33): contents of audio files, music, prompts and volatile files
 * come in, go out and belong to a row. What is uploaded is staged in the store and converted by jobs; a
 * request waits a moment for that, so that a file which is no sound is refused at once, and answers
 * "converting" when it takes longer. Functions that refuse have said why (rest_problem()).
 */
struct audio_content;
struct part;
struct rest;
struct sch_entity;
struct upload;

#define CONTENT_WAIT_MS 8000

/* The row that the address names. row: new reference. */
int content_resolve(struct rest *rest, int64_t *id, json_t **row);
/* Raises the version of the row that a content belongs to: a change like any other, so it is in the audit
 * and is applied. */
int content_raise_version(struct rest *rest, const struct sch_entity *entity, int64_t id);
/* Takes a row back that this request has made: nothing of a file that cannot be used stays. */
void content_forget(struct rest *rest, int64_t id);

int64_t content_max_mb(struct rest *rest);       /* audio_max_mb of the caller's tenant (D-196) */
int64_t content_upload_limit(struct rest *rest); /* bytes that the route takes, see upload.h */

/* The one file of a request; none is refused. */
int content_only_file(struct rest *rest, struct upload *upload, struct part *part);
/* One file out of the request, on disk: c has its name. Too large a one is refused. */
int content_keep(struct rest *rest, struct audio_content *c, const struct part *part);
void content_drop(struct rest *rest, const struct audio_content *c); /* what was kept and not staged */
/* Row and version together; entity NULL: nothing else changes. On an error the file is gone. */
int content_stage(struct rest *rest, struct audio_content *c, const struct sch_entity *entity);
/* Waits until the content is converted, but not for ever; then c is what the store says. */
int content_wait(struct rest *rest, struct audio_content *c, uint64_t end_ms);
bool content_was_refused(const struct audio_content *c);
int content_refused(struct rest *rest, const struct audio_content *c);
/* All of these for content c, whose kind, owner and name are set. */
int content_receive(struct rest *rest, struct audio_content *c, const struct sch_entity *entity);

int content_send(struct rest *rest, const struct audio_content *c, const char *name);
/* A prompt in a language (its row): its own recording, else its base's. */
int content_send_prompt(struct rest *rest, const json_t *language, const char *prompt);
/* A file's own name without its ending; "/" and controls have no place in it. */
const char *content_default_name(struct rest *rest, const char *file_name);

#endif
