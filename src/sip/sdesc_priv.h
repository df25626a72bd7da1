/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_SDESC_PRIV_H
#define AOIDE_SIP_SDESC_PRIV_H

#include "sip/sdesc.h"

/* Shared by the sdesc*.c files only. */

/* One allocation: this, the media lines, their formats and attributes, the text. */
struct sdesc_block {
	struct sdesc desc;
	size_t bytes;
	size_t tail_at; /* where the formats end: from here on attributes and text */
	struct sdesc *lenders[2]; /* whose texts it uses; NULL of what was parsed */
};

/* "sendrecv" and so on. */
const char *sdesc_dir_name(enum sdesc_dir dir);
/* False: the name is none of a direction. */
bool sdesc_dir_find(enum sdesc_dir *ret, const char *name);
/* "t38UDPRedundancy"; -ENOENT. */
int sdesc_t38_ec_find(enum sdesc_t38_ec *ret, const char *text);
const char *sdesc_t38_ec_name(enum sdesc_t38_ec ec); /* not of UNSAID */

#endif
