/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_AUDIO_PARTS_H
#define AOIDE_AUDIO_PARTS_H

#include <stddef.h>

/*
 * multipart/form-data (RFC 7578) that lies in memory as a whole (a mapped file). Pure; any thread.
 */
#define PARTS_MAX 200

struct part {
	char name[64];       /* of the form's field */
	char file_name[256]; /* the last part of its path; "": no file */
	const char *data;    /* inside the body */
	size_t len;
};

/* Takes the boundary out of a Content-Type. Returns its length (1..70), or -EINVAL. */
int parts_boundary(char *buf, size_t size, const char *content_type);

/*
 * Walks: start with *at = 0. Returns 1 and the next part, 0 at the end, -EINVAL when the body is not
 * well formed (also when it ends without its last boundary: cut short).
 */
int parts_next(struct part *ret, const char *body, size_t len, const char *boundary, size_t *at);

#endif
