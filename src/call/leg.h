/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_LEG_H
#define AOIDE_CALL_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/re.h"
#include "call/leg_dtmf.h"
#include "call/negotiate.h"
#include "sip/sdesc.h"

/*
 * A leg: one SIP dialog with its media streams. Owned by its call; after the call has let go it
 * lives on until the dialog has ended. Call thread only.
 */
struct call;
struct engine;
struct inv;
struct inv_identity;
struct leg_secure;
struct room_guest;
struct media_stream;
struct snap_account;
struct snap_extension;

enum leg_state { LEG_NEW, LEG_RINGING, LEG_UP, LEG_ENDED };

/* What a leg and its partner had agreed on, should a new offer come to nothing. */
struct leg_before {
	struct sdesc *desc;
	bool we_offered;
	struct neg_lines lines, partner_lines;
};

struct leg {
	struct le le;                     /* call->legs */
	struct engine *engine;
	struct call *call;                /* NULL once let go */
	struct inv *inv;
	const struct snap_account *account;
	const struct snap_extension *counted; /* extension whose usage this leg adds to */
	uint64_t id;
	size_t target;                    /* which of call_dial()'s targets it calls */
	size_t n_diversions;              /* of its call's, when it was called */
	bool incoming;                    /* the peer called us */
	bool direct;                      /* direct media: no streams of ours (BASE-47) */
	bool media_failed;                /* no port, or the media process died */
	bool is_held;                     /* the peer holds us */
	bool has_sound;                   /* a packet of its phone has come */
	bool has_rung;
	enum leg_state state;
	int tp;                           /* enum sip_transp */
	struct sa peer, local;            /* its address, ours towards it */
	struct media_stream *streams[SDESC_MAX_MEDIA]; /* one per m-line, NULL: refused */
	size_t n_streams;
	struct leg_secure *secure;        /* keys, ICE (call/leg_secure.h); NULL: nothing said yet */
	struct sdesc *remote;             /* what it last said */
	struct sdesc *local_desc;         /* what we last said to it */
	struct leg_dtmf dtmf;
	struct room_guest *guest;         /* of another call's conversation (call_room.h) */
	bool we_offered;                  /* local_desc was the offer and remote answers it */
	bool answer_due;                  /* our offer went out in a 2xx: its ACK brings the answer */
	struct leg_before before;         /* that offer */
	uint32_t offered;                 /* the offer of the leg that is being dealt with (its event's branch) */
	struct sdesc *offer;              /* prepared, not yet sent (call_dial) */
	struct neg_lines lines;           /* of its partner, for each of its own */
	uint64_t sdp_id, sdp_version;
	uint32_t sdp_crc;                 /* of the text last sent; a change raises the version */
	struct inv_identity *said;        /* who it has said to be since it was called; NULL nothing */
	uint16_t scode;                   /* how it ended */
	uint8_t q850;
	bool q850_said;                   /* the peer told the cause itself */
	bool ended_by_peer;
	uint32_t early_branch;
	int64_t answered_us;
};

int leg_alloc(struct leg **ret, struct call *call, const struct snap_account *account,
	      bool incoming);

/* Ends the dialog in whatever state it is, closes the streams, leaves the call. NULL is fine. */
void leg_end(struct leg *leg, uint16_t scode, const char *reason, uint8_t q850);

/* Counts the leg as an active call of the extension until it ends (BASE-39). */
void leg_count(struct leg *leg, const struct snap_extension *extension);

/* The handler to give to inv_accept and inv_invite, with the leg as its argument. */
struct inv_event;
void leg_inv_event(const struct inv_event *event, void *arg);

/* ------------------------------------------------------------------ media (leg_media.c) */


/*
 * The offer to this leg out of what peer wants (NULL: sound alone, all that we can). lines: as
 * neg_offer() tells; give it to leg_media_pair() when the offer has been accepted.
 */
int leg_media_offer(struct sdesc **ret, struct neg_lines *lines, const struct leg *leg,
		    const struct leg *peer, const struct sdesc *want);

/* The answer to what this leg has offered, out of what peer has chosen; peer and chosen NULL: we take
 * its sound ourselves (a service that answers). */
int leg_media_answer(struct sdesc **ret, const struct leg *leg, const struct sdesc *offer,
		     const struct leg *peer, const struct sdesc *chosen);

/* What a leg has agreed to, or offered so far: what a peer may be asked for. NULL: it has said nothing
 * yet. */
int leg_media_wanted(struct sdesc **ret, const struct leg *leg);

/*
 * Opens streams for the m-lines of desc that have none yet; call_wait_streams() then waits for the
 * ports. Lines we cannot carry are left alone. Returns 0 or -errno.
 */
int leg_media_open(struct leg *leg, const struct sdesc *desc);
bool leg_media_ready(const struct leg *leg);

/*
 * Texts are in the engine's scratch buffer: use them before any wait. NULL: too large or out of memory.
 *
 * Prints desc as our offer to this leg: its m-lines with our address and ports.
 */
const char *leg_media_print_offer(struct leg *leg, const struct sdesc *desc);

/* Our answer to an offer of this leg. Both are in force from now on. */
const char *leg_media_accept(struct leg *leg, struct sdesc *offer, const struct sdesc *answer);

/*
 * The peer's answer to our offer, which was printed before, is in force: tells the media process where
 * to send, what to accept and what flows. Streams of refused lines end. Takes a reference of desc.
 */
void leg_media_remote(struct leg *leg, struct sdesc *desc);

/* lines of an offer to leg become those of the pair. */
void leg_media_pair(struct leg *leg, struct leg *peer, const struct neg_lines *lines);
/* Pairs two legs that were not offered each other's lines: by kind, in order. b has agreed to its lines,
 * a has at least been told of them. */
void leg_media_match(struct leg *a, struct leg *b);
/* Line by line, both ways. */
void leg_media_bridge(struct leg *a, struct leg *b);
/* The stream of its first line of sound that is in use; NULL none. Borrowed. */
struct media_stream *leg_sound(const struct leg *leg);
void leg_media_close(struct leg *leg);
/* Ends streams of lines that are not in use: after an offer that came to nothing. */
void leg_media_tidy(struct leg *leg);

enum leg_offer {
	LEG_OFFER_SAME, /* nothing that concerns the other side: refresh, new address or codecs, resume */
	LEG_OFFER_HOLD, /* it no longer wants to hear us (TEL-03) */
	LEG_OFFER_NEW,  /* lines come or go: the other side must be asked */
};
enum leg_offer leg_media_classify(const struct leg *leg, const struct sdesc *offer);
/* desc would leave this leg with the lines that it has. */
bool leg_media_is_same(const struct leg *leg, const struct sdesc *desc);
/* It has put us on hold: it wants to hear nothing (sendonly, inactive, 0.0.0.0, port 0). */
bool leg_media_holds(const struct leg *leg);
/* It began the call so, and has nothing to say either (RFC 3725: its address comes later). */
bool leg_media_begins_held(const struct leg *leg);

/* Music to this leg instead of its partner (TEL-03), or back. */
void leg_music(struct leg *leg, bool on);

#endif
