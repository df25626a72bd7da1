/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_NEGOTIATE_H
#define AOIDE_CALL_NEGOTIATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "media/client.h"
#include "sip/sdesc.h"

/*
 * What is offered to one side and answered to the other (RFC 3264; BASE-51, PLT-44, D-081). Each leg
 * negotiates on its own: sound that both have in common passes as it is, other sound is transcoded,
 * picture and fax pass or are refused. Pure functions on descriptions: no stream, no dialog.
 *
 * What is made here borrows texts of the descriptions it was made from and holds references to them.
 */
struct snap_codecs;

#define NEG_EVENT_PT 101 /* telephone-event, as we offer it (PLT-37) */

struct neg_side { /* what a side may use */
	const struct snap_codecs *audio, *video; /* in its order; no video codec: no picture */
	uint32_t video_kbps;                     /* 0: no limit */
	bool events;                             /* digits as RFC 4733 */
	bool t38;
	uint16_t t38_max_datagram;               /* told to both sides; 0: what the other one says */
	enum sdesc_t38_ec t38_ec;                /* the strongest that is told */
	bool direct; /* media does not pass us: nothing can be added, renumbered or transcoded */
};

/* Which line of the other side's description a line belongs to; -1 none. */
struct neg_lines {
	int8_t of[SDESC_MAX_MEDIA];
};

/*
 * The offer to a side. want: what the other side has said, NULL: nothing, and sound is offered
 * alone. before: what this side has been told last, whose lines keep their place; NULL in a new
 * session. lines, when not NULL, gets the line of want for each line of the offer.
 *
 * Sound: what both may use comes first, in the order of `to`, then what can be transcoded to it.
 * -ENOTSUP: want has lines, and none of them can be offered.
 */
int neg_offer(struct sdesc **ret, struct neg_lines *lines, const struct sdesc *want,
	      const struct neg_side *from, const struct neg_side *to, const struct sdesc *before);

/*
 * The answer to an offer of this side, line by line. chosen: what the other side has agreed to, with
 * lines as neg_offer() told them; NULL: we are the other side, and take sound.
 *
 * Sound: of what was offered, what the other side has as well, in the offered order; else the first
 * that can be transcoded. -ENOTSUP: every line would be refused.
 */
int neg_answer(struct sdesc **ret, const struct sdesc *offer, const struct neg_side *side,
	       const struct sdesc *chosen, const struct neg_lines *lines);

/* Of the audio codecs of said only those that were agreed with ours: a copy to be wanted from
 * others. */
int neg_agreed(struct sdesc **ret, const struct sdesc *said, const struct sdesc *ours);

/* What flows on a line, the one we send first comes first. Returns how many. */
size_t neg_formats(struct media_format ret[MEDIA_MAX_FORMATS], const struct sdesc_media *ours,
		   const struct sdesc_media *theirs, bool we_offered);

/* telephone-event of a line, at the clock of its first codec if there are several; -1 none. */
int neg_event_pt(const struct sdesc_media *line);

/* T.38 over UDPTL. */
bool neg_is_fax(const struct sdesc_media *line);

/* A line that could be transcoded, should the other side have none of its codecs. */
bool neg_is_transcodable(const struct sdesc_media *line, const struct neg_side *side);

/* They want to hear something, on some audio line. */
bool neg_hears(const struct sdesc *said);

#endif
