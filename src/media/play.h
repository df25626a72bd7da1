/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_PLAY_H
#define AOIDE_MEDIA_PLAY_H

#include <stdbool.h>
#include <stdint.h>
#include "media/protocol.h"

/*
 * Sequences of sounds on a stream or a room, and music on hold. What is cached in the codec of the
 * stream goes out as it is: no encoder per listener. Relay thread only.
 *
 * A sequence that was asked for replaces the bridge's packets (unless it is mixed) and hides the
 * music; both come back when it ends.
 */
#define PLAY_MAX_SOUNDS 128

struct audio_frame;
struct play;
struct relay;
struct stream;

void play_music_start(struct relay *relay, struct stream *stream, uint32_t moh_class);
void play_music_stop(struct relay *relay, struct stream *stream);

/* A key was pressed on the stream's phone: ends what may be interrupted. */
void play_digit(struct relay *relay, struct stream *stream, uint8_t event);

/* What is to be sent in this tick. */
void play_tick(struct relay *relay, struct stream *stream);
bool play_wants_tick(const struct stream *stream);
/* It is wanted soon. */
void play_prefetch(const struct play *play);
/* A sequence sounds over what the stream hears anyway. */
bool play_mixes(const struct stream *stream);

/* Sounds that were waited for have been read: those who wait begin at once. */
void play_ready(struct relay *relay);

/* The stream ends. */
void play_close(struct stream *stream);

/*
 * The next 20 ms of the sequence as samples, for who mixes it by itself (rooms). False: nothing plays,
 * or it has not been read yet. The end is told to the switch as ever.
 */
bool play_pull(struct relay *relay, struct stream *stream, uint32_t hz, struct audio_frame *ret);

/* relay_verbs[] */
void play_on_play(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);
void play_on_stop(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);

#endif
