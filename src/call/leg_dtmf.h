/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_LEG_DTMF_H
#define AOIDE_CALL_LEG_DTMF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/re.h"
#include "media/client.h"

/*
 * Digits of a leg (PLT-37). They travel as RFC 4733 events, as tones, or as SIP INFO; the node's DTMF
 * mode says which way we use, and a phone that cannot do it gets the nearest that it can. Events and
 * tones are the media process's concern, INFO is ours, and here the three become one CALL_EV_DIGIT.
 * Call thread only.
 */
struct call_event;
struct leg;

#define LEG_DTMF_HELD    8
#define LEG_DTMF_HOLD_MS 500 /* how long a first INFO waits for an event of the same key */
#define LEG_DTMF_MS      160 /* of a digit without a length */

struct leg_dtmf { /* in struct leg */
	enum { LEG_DTMF_UNKNOWN, LEG_DTMF_BY_MEDIA, LEG_DTMF_BY_INFO } found; /* what its phone does */
	struct {
		char digit;
		uint32_t duration_ms;
	} held[LEG_DTMF_HELD];
	size_t n_held;
	struct tmr tmr;
	char last;           /* told last because of an INFO */
	uint64_t last_at_ms;
	bool is_listening, is_listening_fax;
};

/* A digit that the media process heard; a digit that came as INFO. Each posts CALL_EV_DIGIT, but once
 * for a key that a phone reports in both ways. */
void leg_dtmf_heard(struct leg *leg, char digit, uint32_t duration_ms);

/*
 * An INFO request. True: it was about a key (a hook flash is one that we have no use for), and is dealt
 * with; false: it is something else.
 */
bool leg_dtmf_info(struct leg *leg, const struct pl *ctype, const struct pl *body);

/* The body of such an INFO: application/dtmf-relay or application/dtmf. digit 0: a flash, or a key that
 * does not exist. -ENOENT: not about keys. Pure. */
int leg_dtmf_parse(char *digit, uint32_t *duration_ms, const struct pl *ctype, const struct pl *body);

/* Gives the leg a digit of its partner; what the media process has passed already is not repeated. */
void leg_dtmf_pass(struct leg *leg, const struct call_event *event);
/* Presses a key towards the leg, in its way. */
void leg_dtmf_send(struct leg *leg, char digit, uint32_t duration_ms);

/* How digits reach the leg, when telephone-event has this payload type (-1: not agreed). */
enum media_dtmf leg_dtmf_way(const struct leg *leg, int event_pt);

/*
 * Who the leg talks to has changed, or what was agreed: tones in its sound are looked for when they are
 * its digits and somebody needs them. partner NULL: a service.
 */
void leg_dtmf_update(struct leg *leg, const struct leg *partner);
void leg_dtmf_close(struct leg *leg);

#endif
