/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_INV_PRIV_H
#define AOIDE_SIP_INV_PRIV_H

#include <string.h>
#include "sip/inv.h"

/* Shared by the inv*.c files only. Call thread. */
struct edge;
struct inv_ctx;
struct inv_auth;

#define INV_BUCKETS		 16384
#define INV_MAX_FORKS		 8    /* early dialogs beside the first one */
#define INV_MAX_PENDING		 8    /* responses that wait for a PRACK */
#define INV_MAX_HEAD		 1536 /* bytes of route set and To */
#define INV_MAX_URI		 512  /* bytes of a remote target */
#define INV_MAX_AUTH_TRIES	 3
#define INV_MAX_REFRESH_FAILURES 3  /* half of the interval, then eighths: before it expires */
#define INV_MIN_SE_S		 90 /* RFC 4028 section 4: the smallest anyone may ask for */
#define INV_TRYING_MS		 150 /* RFC 3261 section 17.2.1: 100 within 200 ms, if nothing else */
#define INV_T1_MS		 SIP_T1
#define INV_T2_MS		 SIP_T2
#define INV_TIMEOUT_MS		 (64 * SIP_T1)

/* Methods that inv knows; bit numbers of masks. */
enum inv_method {
	INV_INVITE,
	INV_ACK,
	INV_BYE,
	INV_CANCEL,
	INV_PRACK,
	INV_UPDATE,
	INV_INFO,
	INV_REFER,
	INV_OPTIONS,
	INV_METHODS
};

enum inv_state {
	INV_ST_CALLING,	 /* UAC: INVITE sent, no final response */
	INV_ST_OFFERED,	 /* UAC: 2xx with an offer came, the ACK waits for inv_ack() */
	INV_ST_INCOMING, /* UAS: not answered */
	INV_ST_ACCEPTED, /* UAS: 2xx sent, ACK not seen */
	INV_ST_ESTABLISHED,
	INV_ST_ENDED, /* over for the owner; transactions may linger */
};

/* Who refreshes the session (RFC 4028). */
enum inv_refresher { INV_REFRESH_NONE, INV_REFRESH_US, INV_REFRESH_PEER };

/* One dialog (RFC 3261 section 12). All text is in the same block. */
struct inv_dlg {
	struct le le;	    /* inv->forks */
	const char *head;   /* "Route: ...\r\n...To: ...\r\n" of our requests */
	const char *target; /* remote target, or the request URI before there is a dialog */
	char *new_target;   /* after a target refresh, owned */
	const char *rtag;   /* NULL: no dialog yet */
	size_t head_len;
	bool has_route;
	uint32_t branch;
	uint32_t rel_rseq; /* last reliable 1xx acknowledged, 0 none */
};

/* A client transaction of ours; frees itself with its final response. */
struct inv_tx {
	struct inv *inv;
	struct inv_dlg *dlg; /* reference */
	struct sip_request *req;
	struct mbuf *sent; /* INVITE as sent, for CANCEL */
	struct sa dst;	   /* where it went */
	enum sip_transp tp;
	enum inv_method method;
	uint32_t cseq;
	unsigned tries;	  /* challenges answered */
	bool contact;	  /* the request carries one */
	bool initial;	  /* the INVITE that makes the dialog */
	bool provisional; /* a 1xx came: CANCEL may go out */
	bool has_offer, refresh;
	bool tells;	  /* inv_tell() */
	char *body, *hdrs; /* to send it again with credentials or another timer */
	char *ctype;
	uint8_t q850;
};

/* A response that waits for the PRACK of an earlier one (RFC 3262 section 3). */
struct inv_pending {
	struct le le;
	uint16_t scode;
	char *reason, *sdp, *hdrs;
};

struct inv {
	struct le he; /* ctx->dialogs, by local tag */
	struct le le; /* ctx->all */
	struct inv_ctx *ctx;
	inv_event_h *event_h;
	void *arg;
	enum inv_state state;
	bool uas, alive, cancelled, ended_queued;
	bool peer_100rel, peer_requires_100rel, peer_timer;
	uint16_t allow; /* mask of 1 << enum inv_method; what the peer takes */

	struct inv_dlg *dlg; /* the dialog, or a UAC's first early one */
	struct list forks;
	uint32_t n_branches;
	char *text; /* one block: fixed, callid, contact_user */
	char *end_reason;
	const char *fixed; /* "From: ...\r\nCall-ID: ...\r\n" */
	const char *callid, *contact_user;
	char ltag[17];
	uint32_t lseq, rseq;  /* CSeq: last sent, last received */
	uint32_t invite_cseq; /* of the INVITE whose 2xx we acknowledge */

	struct sa dst;	/* override of where requests go */
	struct sa peer; /* where messages come from or go to */
	enum sip_transp tp;
	bool has_dst;

	/* server side */
	struct sip_msg *msg; /* initial INVITE */
	struct sip_strans *st;
	struct mbuf *resp;	 /* 2xx or reliable 1xx that is repeated until ACK or PRACK */
	struct sip_msg *resp_to; /* what it answers */
	uint32_t resp_ms, resp_total_ms;
	uint32_t rseq_out; /* RSeq of the last reliable 1xx */
	bool rel_wait, rel_has_sdp, ack_wait;
	bool bye_after_ack; /* over for the owner, the BYE waits for the ACK; holds a reference */
	uint32_t ack_cseq;  /* CSeq that the awaited ACK carries */
	struct list pending;
	struct sip_strans *offer_st, *refer_st; /* re-INVITE, UPDATE, PRACK with offer; REFER */
	struct sip_msg *offer_msg, *refer_msg;
	uint32_t n_offers; /* the number of the one in offer_msg */

	/* client side */
	struct inv_tx *invite_tx; /* initial or re-INVITE under way; borrowed */
	struct inv_tx *update_tx; /* UPDATE under way; borrowed */
	struct mbuf *ack;	  /* last ACK, for repeated 2xx */
	struct sa ack_dst;
	enum sip_transp ack_tp;
	bool ack_due; /* a 2xx brought an offer: the ACK waits for inv_ack() */
	struct mbuf *cancel;
	uint16_t cancel_scode;
	uint8_t cancel_q850;
	struct sa cancel_dst;
	enum sip_transp cancel_tp;
	struct inv_auth *auth;
	char *auth_user, *auth_password;
	uint8_t max_forwards;

	/* offer and answer (RFC 3264, 6337) */
	bool offer_local;    /* our offer waits for an answer */
	bool offer_remote;   /* the peer's offer waits for ours */
	bool answered_early; /* UAS: the answer went out in a reliable 1xx */
	bool invite_offer;   /* the initial INVITE carried an offer */
	bool prack_offer;    /* our offer is in a reliable 1xx; the answer comes in its PRACK */
	char *local_sdp;     /* what we sent last: refresh by re-INVITE, and comparing */
	char *retry_sdp, *retry_hdrs; /* reoffer that met glare */
	bool retry_offer;

	/* session timer (RFC 4028) */
	uint32_t se_s, min_se_s;
	enum inv_refresher refresher;
	unsigned refresh_failures;

	struct tmr tmr_rtx;	/* 2xx, reliable 1xx or CANCEL again */
	struct tmr tmr_session; /* refresh, or expiry */
	struct tmr tmr_retry;	/* after 491 */
	struct tmr tmr_trying;	/* until 100, unless we say something better before */
	struct tmr tmr_conn;	/* look at the connection of the INVITE */
	unsigned conn_looks;	/* since another one was opened, 0: it is up */
};

/* One per edge, made by its first dialog, freed with its last. */
struct inv_ctx {
	struct edge *edge; /* NULL once closed */
	struct sip *sip;
	struct hash *dialogs;
	struct list all;
	struct list queue; /* events to deliver */
	struct tmr tmr;
};

/*
 * What inv_export() writes: this, then Call-ID, our tag, the peer's tag, From and Call-ID lines, To and
 * Route lines, target, each with its NUL. Another layout has another magic.
 */
#define INV_STATE_MAGIC 0x414f4432u /* "AOD2" */
struct inv_state_head {
	uint32_t magic;
	uint32_t cseq, rcseq;
	uint16_t tp, port;
	uint8_t addr[16]; /* v4 as ::ffff:a.b.c.d */
};

int inv_ctx_get(struct inv_ctx **ret, struct edge *edge); /* a reference */
/* One reference; takes over none. inv_join() makes it findable and lets it live until ENDED. */
int inv_alloc(struct inv **ret, struct inv_ctx *ctx, inv_event_h *event_h, void *arg);
void inv_join(struct inv *inv);
/* fixed, callid and contact_user as one block; from is the value of From without our tag. */
int inv_set_identity(struct inv *inv, const struct pl *from, const struct pl *callid,
		     const char *contact_user);
void inv_timers_of(const struct inv_ctx *ctx, uint32_t *se_s, uint32_t *min_se_s);

/* ------------------------------------------------------------------ inv.c */

/* What happened; scode and so on are filled in by the caller, inv by us. msg is referenced. */
void inv_post(struct inv *inv, const struct inv_event *event);
/* ENDED, once; the state becomes ENDED. msg may be NULL. */
void inv_finish(struct inv *inv, uint16_t scode, const struct pl *reason, uint8_t q850,
		bool by_peer, const struct sip_msg *msg);
void inv_finish_text(struct inv *inv, uint16_t scode, const char *reason, uint8_t q850,
		     bool by_peer);
/* Copies; NULL stays NULL. Frees what was there. */
int inv_set_text(char **at, const char *text, size_t len);
/* A final response without much in it. */
void inv_reply_plain(struct inv *inv, const struct sip_msg *msg, uint16_t scode, const char *hdrs);
/* 500 with Retry-After, 491: offers that cross (RFC 3261 section 14.2, RFC 3311 section 5.2). */
void inv_reply_later(struct inv *inv, const struct sip_msg *msg);

/* ------------------------------------------------------------------ inv_dialog.c */

int inv_dlg_initial(struct inv_dlg **ret, const char *target, const char *to_uri,
		    const char *const *routes, size_t n_routes);
int inv_dlg_from_msg(struct inv_dlg **ret, const struct sip_msg *msg, const char *fallback_target);
/* Target refresh (RFC 3261 section 12.2). */
void inv_dlg_refresh(struct inv_dlg *dlg, const struct sip_msg *msg);
const char *inv_dlg_target(const struct inv_dlg *dlg);

void inv_note_peer(struct inv *inv, const struct sip_msg *msg);

/* Where a request goes, as libre wants to hear it. */
struct inv_hop {
	struct uri uri;
	char host[64];
};
int inv_find_hop(struct inv_hop *hop, const struct inv *inv, const struct inv_dlg *dlg);
void inv_dialog_dst(const struct inv *inv, const struct inv_dlg *dlg, struct sa *dst,
		    enum sip_transp *tp);
void inv_local_for(const struct inv_ctx *ctx, struct sa *ret, enum sip_transp tp,
		   const struct sa *dst);

/* Writes on until the first error and remembers it (libre's, positive). */
struct inv_out {
	struct mbuf *mb;
	int err;
};

void inv_put_grown(struct inv_out *out, const char *text, size_t len);

/* Inline, so that the many constants of a message are copied by their length. */
static inline void inv_put_n(struct inv_out *out, const char *text, size_t len)
{
	struct mbuf *mb = out->mb;

	if (out->err || !mb || len > mb->size - mb->pos) {
		inv_put_grown(out, text, len);
		return;
	}
	memcpy(mb->buf + mb->pos, text, len);
	mb->pos += len;
	if (mb->end < mb->pos)
		mb->end = mb->pos;
}

static inline void inv_put(struct inv_out *out, const char *text)
{
	inv_put_n(out, text, strlen(text));
}

void inv_put_pl(struct inv_out *out, const struct pl *pl);
void inv_put_number(struct inv_out *out, uint64_t n);
void inv_put_line_number(struct inv_out *out, const char *name, uint64_t n);
/* "192.0.2.1:5060", "[2001:db8::1]:5060" */
void inv_put_address(struct inv_out *out, const struct sa *addr);

/* ------------------------------------------------------------------ inv_write.c */

struct inv_req {
	enum inv_method method;
	const char *hdrs;  /* lines with CRLF, or NULL */
	const char *ctype; /* NULL: application/sdp */
	const char *body;  /* or NULL */
	bool has_offer, refresh;
	uint8_t q850;	  /* Reason header, 0 none */
	const char *rack; /* PRACK */
	unsigned tries;
};

/* Sends a request of the dialog; its response comes to inv_tx_response(). ret may be NULL. */
int inv_send_request(struct inv_tx **ret, struct inv *inv, struct inv_dlg *dlg,
		     const struct inv_req *req);
int inv_send_ack(struct inv *inv, struct inv_dlg *dlg, uint32_t cseq, const char *sdp,
		 const struct sip_msg *resp, bool keep);
int inv_send_cancel(struct inv *inv, uint16_t scode, uint8_t q850, const char *reason);
void inv_send_bye(struct inv *inv, struct inv_dlg *dlg, uint8_t q850);

struct inv_reply {
	uint16_t scode;
	const char *reason; /* NULL: by the code */
	const char *sdp;
	const char *hdrs;
	uint32_t rseq; /* reliable 1xx */
	bool contact, session, allow, record_route;
	uint8_t q850;
	uint32_t retry_after_s; /* plus one, 0 none */
};
int inv_reply_send(struct inv *inv, struct sip_strans **st, const struct sip_msg *msg,
		   const struct inv_reply *reply, struct mbuf **sent);
/* A reply before there is an inv. */
int inv_refuse(struct inv_ctx *ctx, const struct sip_msg *msg, uint16_t scode, const char *reason,
	       const char *hdrs);
int inv_resend(struct inv *inv, const struct sip_msg *msg, struct mbuf *mb);

/* ------------------------------------------------------------------ inv_msg.c */

enum inv_body { INV_BODY_NONE, INV_BODY_SDP, INV_BODY_OTHER, INV_BODY_BAD };
enum inv_body inv_msg_sdp(struct pl *ret, const struct sip_msg *msg);
struct pl inv_msg_body(const struct sip_msg *msg);
bool inv_method_of(enum inv_method *ret, const struct pl *name);
const char *inv_method_name(enum inv_method method);
extern const char inv_allow_text[], inv_supported_text[];
void inv_note_allow(struct inv *inv, const struct sip_msg *msg);
/* Unknown option tags of Require into buf as "a, b"; true when there are any. */
bool inv_msg_unknown_require(const struct sip_msg *msg, char *buf, size_t size);
bool inv_msg_has_option(const struct sip_msg *msg, enum sip_hdrid id, const char *option);
uint32_t inv_msg_number(const struct sip_msg *msg, enum sip_hdrid id); /* 0: none or no number */
struct inv_se {
	uint32_t se_s, min_se_s;
	enum inv_refresher_role { INV_ROLE_NONE, INV_ROLE_UAC, INV_ROLE_UAS } role;
};
void inv_msg_session(struct inv_se *ret, const struct sip_msg *msg);
uint8_t inv_msg_q850(const struct sip_msg *msg); /* 0 none */
bool inv_msg_rack(const struct sip_msg *msg, uint32_t *rseq, uint32_t *cseq, struct pl *method);
const char *inv_reason_text(uint16_t scode);

/* ------------------------------------------------------------------ inv_uac.c, inv_uas.c,
 * inv_mid.c */

void inv_tx_response(int err, const struct sip_msg *msg, void *arg); /* inv.c, by method */
void inv_on_invite_response(struct inv_tx *tx, int err, const struct sip_msg *msg);
void inv_on_reinvite_response(struct inv_tx *tx, int err, const struct sip_msg *msg);
void inv_on_update_response(struct inv_tx *tx, int err, const struct sip_msg *msg);
/* Sends it again after a 401, 407 or 422 when that may help. */
bool inv_retry(struct inv_tx *tx, const struct sip_msg *msg);
void inv_on_stray_2xx(struct inv *inv, const struct sip_msg *msg);

void inv_uas_end(struct inv *inv, uint16_t scode, const char *reason, uint8_t q850);
void inv_on_ack(struct inv *inv, const struct sip_msg *msg);
void inv_on_prack(struct inv *inv, const struct sip_msg *msg);
void inv_stop_repeating(struct inv *inv);
void inv_repeat(struct inv *inv, struct mbuf *mb, const struct sip_msg *msg);

/* inv_conn.c: while the initial INVITE waits for its final response. */
void inv_watch_conn(struct inv *inv);

void inv_on_reinvite(struct inv *inv, const struct sip_msg *msg);
void inv_on_update(struct inv *inv, const struct sip_msg *msg);
void inv_on_info(struct inv *inv, const struct sip_msg *msg);
void inv_on_refer(struct inv *inv, const struct sip_msg *msg);
void inv_drop_offers(struct inv *inv, uint16_t scode);
/* An exchange has ended: sends the offer that waited for it. */
void inv_flush_offer(struct inv *inv);
bool inv_session_too_small(struct inv_ctx *ctx, const struct sip_msg *msg, char *hdrs, size_t size);

void inv_session_from_request(struct inv *inv, const struct sip_msg *msg);
void inv_session_from_response(struct inv *inv, const struct sip_msg *msg);
void inv_session_restart(struct inv *inv);

/* inv_state.c */
int inv_dialog_hop(const struct inv *inv, struct sa *dst, enum sip_transp *tp);

/* ------------------------------------------------------------------ inv_auth.c */

/* Credentials that answer the challenges of a 401 or 407 (RFC 3261 section 22, RFC 8760). */
int inv_auth_challenge(struct inv_auth **auth, const struct sip_msg *msg, const char *user,
		       const char *password);
int inv_auth_write(struct mbuf *mb, struct inv_auth *auth, const char *method, const char *uri);

#endif
