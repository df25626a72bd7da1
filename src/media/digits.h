/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_DIGITS_H
#define AOIDE_MEDIA_DIGITS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Digits that we send into a stream, in the way of its remote: RFC 4733 events or tones. Two kinds:
 * those that somebody asks for, with a length, one after the other; and those that the bridged phone is
 * pressing now in a way that this one does not understand, as long as they are pressed. While a digit is
 * sent nothing else is. Relay thread only.
 */
#define DIGITS_QUEUE  32
#define DIGITS_VOLUME 10 /* -10 dBm0 */

struct relay;
struct stream;

struct digits_one {
	uint8_t event, volume;
	bool live;   /* still pressed: ms is not known yet */
	uint32_t ms;
};

struct digits { /* in struct stream */
	bool active, started;
	uint8_t n;
	uint32_t ts;          /* of the event, or of its present segment */
	uint32_t sent_ms, segment_ms; /* so far; before the present segment */
	uint8_t ends_sent;
	uint64_t pause_until_us;
	uint32_t phase[2];    /* of the tone; a turn is 2^32 */
	struct digits_one queue[DIGITS_QUEUE];
};

/* Queues a digit; one too many is forgotten. Lengths are brought into what receivers understand. */
void digits_send(struct relay *relay, struct stream *stream, uint8_t event, uint32_t ms);
/* The bridged phone presses a key; and lets it go after ms, as measured there. */
void digits_press(struct relay *relay, struct stream *stream, uint8_t event, uint8_t volume);
void digits_release(struct stream *stream, uint32_t ms);
/* They are spoken as sound. */
bool digits_are_tones(const struct stream *stream);
/* Every RELAY_TICK_MS while active. */
void digits_tick(struct relay *relay, struct stream *stream);

#endif
