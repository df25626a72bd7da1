/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_ROOM_H
#define AOIDE_MEDIA_ROOM_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Rooms: mixers. A room is a stream without a socket; it and its members live in one relay thread.
 * Those who only listen in the same format share one encoder: a packet is made once and sent to all,
 * so a thousand listeners cost a thousand packets and not a thousand encoders. Relay thread only.
 */
#define ROOM_FORMATS 8 /* shared encoders of a room; further formats are encoded for each listener */

struct audio_frame;
struct member;
struct mp_room_join;
struct relay;
struct room;
struct stream;

/* stream->room_hz is set: makes stream->room. -ENOMEM. */
int room_open(struct relay *relay, struct stream *stream);
/* The room ends; its members leave. Nothing happens without a room. */
void room_close(struct relay *relay, struct stream *stream);

/* Enters, or changes how it takes part. -ENOMEM. */
int room_join(struct relay *relay, struct stream *stream, struct stream *room_stream,
	      const struct mp_room_join *msg);
/* Nothing happens to who is in no room. */
void room_leave(struct relay *relay, struct stream *stream);

/* All rooms of the thread: after audio_tick_hear(), before audio_tick_speak(). */
void room_tick(struct relay *relay);

uint32_t room_hz(const struct room *room);
/* What was said in this tick, by all; valid until the next. */
const struct audio_frame *room_mixed(const struct room *room);

/* relay_verbs[] */
struct mp_hdr;
void room_on_leave(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);

#endif
