/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_INV_H
#define AOIDE_SIP_INV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/re.h"

/*
 * The INVITE session of a B2BUA, on libre's dialogs, client and server transactions: what sipsess
 * lacks (PRACK and 100rel RFC 3262, UPDATE RFC 3311, session timers RFC 4028, forked early dialogs,
 * Reason RFC 3326, access to every message). One struct inv is one leg's dialog, either side.
 *
 * It knows SIP and offer/answer order, not what is in an SDP: bodies pass as text. Everything it
 * has to say is an event. Events are delivered in the loop, never inside an inv_ call. The last
 * event is INV_EV_ENDED, exactly once. Call thread only.
 *
 * inv_accept() and inv_invite() give one reference: keep it until ENDED was delivered, then
 * mem_deref() it.
 */
struct edge;
struct inv;

enum inv_event_type {
	INV_EV_PROGRESS, /* UAC: 101..199 (not 100): scode, reason, sdp if any (answer or early
			    answer); branch tells forked early dialogs apart */
	INV_EV_ANSWERED, /* UAC: 2xx; sdp: the answer, or the offer when we sent none (then the ACK
			    waits for inv_ack) */
	INV_EV_OFFER, /* in-dialog offer by re-INVITE or UPDATE, or late offer wanted (sdp empty):
			 answer with inv_reanswer(); branch: which offer, for inv_offer_stands() */
	INV_EV_REANSWER, /* answer to our inv_reoffer(), or in a PRACK to the offer of
			    inv_progress(): scode and sdp. After inv_reoffer() without sdp: their
			    offer; answer it with inv_ack() */
	INV_EV_ACK,	 /* UAS: ACK of our 2xx; sdp: answer to a delayed offer, or empty; unanswered:
			    there was an offer */
	INV_EV_INFO,	 /* INFO: ctype and body; answered 200 by us */
	INV_EV_IDENTITY, /* a re-INVITE or UPDATE says who sends it: msg, for inv_asserted() */
	INV_EV_REFER,	 /* REFER: msg; answer with inv_refer_reply() */
	INV_EV_ENDED,	 /* scode + reason: the final failure (UAC), 487 after CANCEL (UAS), 200 for
			    BYE,    408 for timeouts (transaction, session timer); q850: cause from the
			    Reason    header if any, else mapped by RFC 3398 */
};

struct inv_event {
	enum inv_event_type type;
	struct inv *inv;
	uint16_t scode;
	struct pl reason;
	uint8_t q850;		   /* 0 none */
	bool q850_said;		   /* ENDED: the peer told the cause itself (RFC 3326) */
	bool by_peer;		   /* ENDED: the peer ended it */
	bool unanswered;	   /* ACK: our 2xx carried an offer, and this no answer to it */
	uint32_t branch;	   /* PROGRESS, OFFER */
	struct pl sdp;		   /* text; l == 0: none */
	struct pl ctype, body;	   /* INFO */
	const struct sip_msg *msg; /* borrowed; may be NULL */
};

typedef void(inv_event_h)(const struct inv_event *event, void *arg);

/* ------------------------------------------------------------------ UAS */

/*
 * Takes an initial INVITE over: sends 100 Trying unless something better goes out within 150 ms,
 * follows CANCEL, retransmissions and the peer's timers. Refuses by itself what the RFCs settle:
 * unknown Require (420), Session-Expires too small (422), body of unknown type (415); then returns
 * -EINVAL and the call never existed.
 *
 * contact_user  user part of our Contact
 */
int inv_accept(struct inv **ret, struct edge *edge, const struct sip_msg *msg,
	       const char *contact_user, inv_event_h *event_h, void *arg);

/* 1xx. sdp NULL: none. Sent reliably when the peer requires or supports 100rel and there is SDP.
 * hdrs: more header lines, each ended by CRLF, or NULL. */
int inv_progress(struct inv *inv, uint16_t scode, const char *reason, const char *sdp,
		 const char *hdrs);
/* 200. sdp: the answer (or our offer, when the INVITE had none). Waits for the PRACK of an earlier
 * reliable 1xx with SDP; left out when that 1xx carried the very same text. */
int inv_answer(struct inv *inv, const char *sdp, const char *hdrs);
/* 3xx..6xx; q850 0: no Reason header. ENDED follows. */
int inv_reject(struct inv *inv, uint16_t scode, const char *reason, uint8_t q850, const char *hdrs);

/* ------------------------------------------------------------------ UAC */

/* What stands between the quotes of a quoted-string: quotes and backslashes escaped, line ends dropped
 * (RFC 3261 section 25.1). */
void inv_quote(char *buf, size_t size, const char *text);

struct inv_invite_opts {
	const char *ruri;      /* request URI */
	const char *to_uri;    /* NULL: ruri */
	const char *from_uri;  /* "sip:101@host" */
	const char *from_name; /* display name, UTF-8, or NULL */
	const char *contact_user;
	const struct sa *dst;	   /* where to send, NULL: resolve the ruri or route */
	int tp;			   /* enum sip_transp, with dst */
	const char *const *routes; /* Route URIs (outbound proxy, Path) */
	size_t n_routes;
	const char *sdp;		       /* offer, or NULL for a delayed offer */
	const char *hdrs;		       /* more header lines, each ended by CRLF */
	const char *auth_user, *auth_password; /* answers challenges; NULL: ends with 401 */
	uint32_t session_expires_s, min_se_s;  /* 0: no session timer offered */
	uint8_t max_forwards;		       /* 0: 70 */
};

int inv_invite(struct inv **ret, struct edge *edge, const struct inv_invite_opts *opts,
	       inv_event_h *event_h, void *arg);
/* ACK with the answer to the offer in a 2xx. -ENOENT: no ACK is due. */
int inv_ack(struct inv *inv, const char *sdp);

/* ------------------------------------------------------------------ both */

/* Offers new media: re-INVITE, or UPDATE while early and allowed. -EAGAIN: an exchange is under
 * way; the offer is kept (the last one counts) and sent when that has ended, as it is after a 491
 * (glare, RFC 3261 section 14.1); REANSWER tells the result. sdp NULL: ask for an offer (re-INVITE
 * without body). */
int inv_reoffer(struct inv *inv, const char *sdp, const char *hdrs);
/* Answers INV_EV_OFFER: 200 with sdp, or a refusal such as 488. -ENOENT: it was taken back. */
int inv_reanswer(struct inv *inv, uint16_t scode, const char *reason, const char *sdp);
/* The offer of that event still waits for an answer: it has not been taken back (CANCEL). */
bool inv_offer_stands(const struct inv *inv, uint32_t branch);
/* Sends INFO (DTMF relay). Its outcome matters to nobody. */
int inv_info(struct inv *inv, const char *ctype, const char *body);
/* Tells something by header lines alone, in an UPDATE without offer. Its outcome matters to nobody. -ENOTSUP: the
 * peer takes none. */
int inv_tell(struct inv *inv, const char *hdrs);
int inv_refer_reply(struct inv *inv, uint16_t scode, const char *reason);

/*
 * Ends it, whatever state it is in: CANCEL, BYE, or a final response (scode for a UAS not yet
 * answered). ENDED follows at once in the next turn of the loop, the rest goes on by itself.
 */
void inv_end(struct inv *inv, uint16_t scode, const char *reason, uint8_t q850);

/* Where a 3xx sends the call: the user of its best contact (RFC 3261 section 20.10), unescaped, or the number
 * of a tel URI. -ENOENT: it names nobody. */
int inv_redirect_user(char *buf, size_t size, const struct sip_msg *msg);

/*
 * Who the sender says it is: P-Asserted-Identity (RFC 3325), else Remote-Party-ID. The number is one that can
 * be dialled or a plain user name, the name is without quotes and control characters, perhaps empty.
 * -ENOENT: it says nothing that can be used; ret is then undefined.
 */
struct inv_identity {
	char number[80], name[160];
};
int inv_asserted(struct inv_identity *ret, const struct sip_msg *msg);

/* Facts, borrowed. */
const char *inv_callid(const struct inv *inv);
bool inv_is_established(const struct inv *inv);
/* What it said last is an offer, and the description that we say next answers it (RFC 3264). */
bool inv_owes_answer(const struct inv *inv);
bool inv_peer_allows(const struct inv *inv, const char *method);
/* UAS: a provisional response with SDP would be reliable, so it may carry an offer (RFC 3262). */
bool inv_is_reliable(const struct inv *inv);

/* ------------------------------------------------------------------ journal */

/*
 * What must be known to speak inside an established dialog after a restart: bytes, bounded by
 * INV_STATE_MAX. It changes with target and transport (re-INVITE, UPDATE, a new connection), so store
 * it when established and after each OFFER and REANSWER; CSeq numbers may be older, the BYE leaves a
 * gap. Returns the length; -ENOTCONN: no dialog; -EMSGSIZE.
 */
#define INV_STATE_MAX 4096
int inv_export(const struct inv *inv, char *buf, size_t size);
/* Sends BYE in an exported dialog and forgets it (recovery). Reason header: Q.850 cause 41. -EBADMSG:
 * not what inv_export() of this version writes. */
int inv_bye_exported(struct edge *edge, const char *buf, size_t len);

/* Before edge_close(): forgets every dialog of this edge without a word to peers or owners. */
void inv_close(struct edge *edge);
/* Dialogs and lingering ones. */
uint32_t inv_count(const struct edge *edge);

#endif
