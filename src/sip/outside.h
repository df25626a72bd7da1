/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_OUTSIDE_H
#define AOIDE_SIP_OUTSIDE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/re.h"

/*
 * Our address as strangers see it: the external host of the settings (PLT-43), and what a STUN server
 * says (PLT-42). Names are looked up, and the server is asked, again and again; what was known stays until
 * there is something new. Nothing here blocks. Call thread only.
 */
struct outside;

struct outside_settings {
	const char *host;        /* address or name; NULL or empty: none */
	uint32_t refresh_s;      /* how often names and the server are asked */
	const char *stun_server; /* likewise */
	uint16_t stun_port;      /* 0: 3478 */
};

/* dnsc is borrowed. -ENOMEM. */
int outside_alloc(struct outside **ret, struct dnsc *dnsc);
/* The same again changes nothing. */
int outside_set(struct outside *outside, const struct outside_settings *settings);

/* Without a port; NULL: not known. */
const struct sa *outside_host(const struct outside *outside); /* of the settings */
const struct sa *outside_seen(const struct outside *outside); /* by the STUN server */

#endif
