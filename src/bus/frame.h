/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BUS_FRAME_H
#define AOIDE_BUS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What client and hub say to each other over the Unix stream socket. Numbers are big endian:
 *
 *	u32  bytes that follow
 *	u8   type
 *	u32  id: of a request and its answer, else 0
 *	i32  arg: FRAME_REQUEST its timeout in ms; FRAME_REPLY 0 or a negative error
 *	u16  length of the subject
 *	     subject, then JSON text to the end of the frame
 */
enum frame_type {
	FRAME_HELLO = 1, /* to the hub: subject is the client's name */
	FRAME_SUBSCRIBE, /* to the hub: subject is a pattern */
	FRAME_EVENT,     /* both ways */
	FRAME_REQUEST,   /* both ways; the hub puts an id of its own in */
	FRAME_REPLY,     /* both ways */
	FRAME_WANTED,    /* to the client: JSON array of all patterns subscribed to */
};

#define FRAME_LENGTH_BYTES 4u
#define FRAME_HEADER_BYTES (FRAME_LENGTH_BYTES + 1 + 4 + 4 + 2)
#define FRAME_MAX_BYTES    (16u * 1024 * 1024) /* of a whole frame */
#define SUBJECT_MAX        200u

struct frame {
	enum frame_type type;
	uint32_t id;
	int32_t arg;
	char subject[SUBJECT_MAX + 1];
	const char *text; /* borrowed from the buffer; not terminated */
	size_t text_len;
};

/*
 * Takes one frame from the beginning of buf.
 *
 * used  bytes the frame takes; when more are needed, how many bytes the whole frame has (0: unknown)
 *
 * Returns 1 (a frame), 0 (not complete yet), -EBADMSG (no frame: hang up), -EMSGSIZE.
 */
int frame_parse(struct frame *ret, const uint8_t *buf, size_t len, size_t *used);

/* Bytes that frame_print() needs. */
size_t frame_size(const char *subject, size_t text_len);
/* buf holds at least frame_size() bytes. */
void frame_print(uint8_t *buf, enum frame_type type, uint32_t id, int32_t arg, const char *subject,
		 const char *text, size_t text_len);

/* Tokens of letters, digits, - _ and :, separated by single dots; a pattern may hold * and end in >. */
bool subject_is_valid(const char *subject, bool is_pattern);
bool subject_matches(const char *pattern, const char *subject);

/* Patterns that begin so serve requests; events never go there. */
#define SUBJECT_COMMAND "cmd."
bool subject_is_command(const char *subject);

#endif
