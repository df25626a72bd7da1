/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_HEAR_H
#define AOIDE_MEDIA_HEAR_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What a stream's phone says, as samples: packets go through the jitter buffer into the decoder of their
 * format, what is lost is concealed, and the delay is brought to what the network needs. A part of
 * media/audio.h. Relay thread only.
 */
struct audio_frame;
struct hdr_rtp;
struct hear;
struct stream;

/* hz: the rate that is wanted of the decoders. -ENOMEM. */
int hear_alloc(struct hear **ret, const struct stream *stream, uint32_t hz);
void hear_free(struct hear *hear); /* NULL is fine */
/* Another rate is wanted from now on. */
void hear_set_hz(struct hear *hear, uint32_t hz);
/* The stream has other formats: decoders are made anew, for this rate. */
void hear_renew(struct hear *hear, uint32_t hz);

/* It is used soon. */
void hear_prefetch(const struct hear *hear);
void hear_take(struct hear *hear, const struct stream *stream, const struct hdr_rtp *hdr,
	       const uint8_t *payload, uint64_t now_us);
/* Makes the next frame, and keeps the stream's account of what was invented and how late it is. */
void hear_tick(struct hear *hear, struct stream *stream, uint64_t now_us);
const struct audio_frame *hear_frame(const struct hear *hear);
/* The phone sends, or has said that it is silent. */
bool hear_is_alive(const struct hear *hear, uint64_t now_us);

#endif
