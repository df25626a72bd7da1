/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_WIRE_H
#define AOIDE_MEDIA_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "media/protocol.h"

/* Checks what arrives on the control connection, for both ends. Pure functions, any thread. */

enum wire_dir { WIRE_TO_MEDIA, WIRE_TO_SWITCH };

/* Walks over the messages of one packet. */
struct wire_reader {
	const uint8_t *data;
	size_t left;
	enum wire_dir dir;
};

/*
 * The next message of a packet, checked: length, type, direction, enum ranges, reserved bytes.
 * data of the reader must be 8-byte aligned.
 *
 * why  what is wrong, for the log, on error
 *
 * Returns 1 with *ret set, 0 at the end, -EBADMSG.
 */
int wire_next(const struct mp_hdr **ret, struct wire_reader *reader, const char **why);

/* Size of a message type; 0 for an unknown one. */
uint16_t wire_size(uint16_t type);

/* Frees a copy of a message (NULL is fine) and leaves nothing of it: some carry keys. */
void wire_forget(struct mp_hdr *msg);

/* Digits of RFC 4733 section 3.2: '0'-'9' '*' '#' 'A'-'D' and back. -EINVAL: no such digit. */
int wire_event_of(char digit);
char wire_digit_of(uint8_t event); /* 0 when event > 15 */

/* A batch of messages that leaves as one packet. */
struct wire_batch {
	size_t len;
	_Alignas(8) uint8_t data[MP_MAX_PACKET];
};

/* Appends a zeroed message with its header filled in; NULL when the batch is full. */
void *wire_append(struct wire_batch *batch, uint16_t type, uint64_t stream);

#endif
