/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_ENTITIES_PHONES_ACCOUNT_VALUES_H
#define AOIDE_ENTITIES_PHONES_ACCOUNT_VALUES_H

#include "schema/schema.h"

/* Shared by accounts and their templates. */
extern const struct sch_value account_srtp[];            /* off optional required (D-080) */
extern const struct sch_value account_transport_types[]; /* SIP WEBRTC (APP-112) */

/* The documented boolean of srtp: on is required, off is off (D-080). */
int account_read_aliases(json_t *body);

#endif
