/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_SAY_H
#define AOIDE_MEDIA_SAY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What a stream's phone shall hear, from samples: frames of a tick are added, encoded, packed by ptime
 * and sent. A part of media/audio.h. Relay thread only.
 */
struct audio_frame;
struct relay;
struct say;
struct stream;

/* An encoder for sound of hz. -ENOTSUP (no format that we can encode), -ENOMEM. */
int say_alloc(struct say **ret, const struct stream *stream, uint32_t hz);
/* It is used soon. */
void say_prefetch(const struct say *say);
void say_free(struct say *say); /* NULL is fine */
/* So much of what is sent is lost: Opus then repeats more. */
void say_expect_loss(struct say *say, unsigned percent);

/* False: a new talkspurt of sound of hz is richer or poorer than this encoder can say. */
bool say_suits(const struct say *say, const struct stream *stream, uint32_t hz);
/* One more frame of this tick, of any rate. -ENOMEM: it is not heard. */
int say_add(struct say *say, const struct audio_frame *frame, uint64_t now_us);
/* All frames of this tick together; NULL: there was none. */
const struct audio_frame *say_said(const struct say *say);
void say_tick(struct relay *relay, struct stream *stream, struct say *say);
void say_tick_end(struct say *say);
/* Nothing was said for a while. */
bool say_is_idle(const struct say *say, uint64_t now_us);

#endif
