/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_QUALITY_H
#define AOIDE_CALL_QUALITY_H

#include <stddef.h>
#include <stdint.h>
#include "media/client.h"

/*
 * How a call sounded, leg by leg (docs/quality.md): the last words of its streams, gathered when they
 * close, for its CDR. Call thread only.
 */
struct call;
struct leg;

#define QUALITY_MAX_LEGS 4    /* the first ones; a call that was passed around has more */
#define QUALITY_WAIT_MS  300  /* the CDR waits so long for the media process, the hang-up does not */

struct call_quality;

/* Closes the stream that carried the leg's sound, takes the reference over and keeps its last word.
 * NULL is fine. */
void call_quality_close(struct leg *leg, struct media_stream *stream);
/* In the fiber: until every stream has said its last word, at most QUALITY_WAIT_MS. */
void call_quality_wait(struct call *call);
/* What is known as a JSON array; "" when no sound came at all. */
void call_quality_print(const struct call *call, char *buf, size_t size);

#endif
