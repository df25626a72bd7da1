/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <string.h>
#include "base/log.h"
#include "sip/decode.h"

/* The called side: an initial INVITE and its responses. */

/* ------------------------------------------------------------------ repeating */

void inv_stop_repeating(struct inv *inv)
{
	tmr_cancel(&inv->tmr_rtx);
	inv->resp = mem_deref(inv->resp);
	inv->resp_to = mem_deref(inv->resp_to);
	inv->cancel = mem_deref(inv->cancel);
}

/* 64*T1 have passed without PRACK, ACK, or a final response after CANCEL. */
static void give_up(struct inv *inv)
{
	if (inv->cancel) {
		/* RFC 3261 section 9.1: the INVITE counts as cancelled. */
		inv_stop_repeating(inv);
		mem_deref(inv->invite_tx);
		return;
	}
	inv_stop_repeating(inv);
	if (inv->rel_wait) { /* RFC 3262 section 3 */
		inv->rel_wait = false;
		if (inv->st)
			(void)inv_reply_send(inv, &inv->st, inv->msg,
					     &(struct inv_reply){ .scode = 504 }, NULL);
		inv_finish_text(inv, 504, NULL, 0, false);
		return;
	}
	if (!inv->ack_wait)
		return;
	inv->ack_wait = false;
	inv_send_bye(inv, inv->dlg, 102); /* RFC 3261 section 13.3.1.4 */
	inv_finish_text(inv, 408, NULL, 0, false);
	if (inv->bye_after_ack) {
		inv->bye_after_ack = false;
		mem_deref(inv);
	}
}

static void repeat_handler(void *arg)
{
	struct inv *inv = arg;

	inv->resp_total_ms += inv->resp_ms;
	if (inv->resp_total_ms >= INV_TIMEOUT_MS) {
		mem_ref(inv);
		give_up(inv);
		mem_deref(inv);
		return;
	}
	if (inv->cancel) {
		inv->cancel->pos = 0;
		if (inv->cancel_tp == SIP_TRANSP_UDP)
			(void)sip_send(inv->ctx->sip, NULL, inv->cancel_tp, &inv->cancel_dst,
				       inv->cancel);
	} else if (inv->resp) {
		(void)inv_resend(inv, inv->resp_to, inv->resp);
	}
	/* A reliable 1xx doubles without bound (RFC 3262 section 3), the others stop at T2. */
	inv->resp_ms *= 2;
	if (!inv->rel_wait && inv->resp_ms > INV_T2_MS)
		inv->resp_ms = INV_T2_MS;
	if (inv->resp_total_ms + inv->resp_ms > INV_TIMEOUT_MS)
		inv->resp_ms = INV_TIMEOUT_MS - inv->resp_total_ms;
	tmr_start(&inv->tmr_rtx, inv->resp_ms, repeat_handler, inv);
}

/* Takes over mb: the response to msg, or the CANCEL when msg is NULL. */
void inv_repeat(struct inv *inv, struct mbuf *mb, const struct sip_msg *msg)
{
	if (msg) {
		inv_stop_repeating(inv);
		inv->resp = mb;
		inv->resp_to = mem_ref((void *)(uintptr_t)msg);
	}
	inv->resp_ms = INV_T1_MS;
	inv->resp_total_ms = 0;
	tmr_start(&inv->tmr_rtx, inv->resp_ms, repeat_handler, inv);
}

/* ------------------------------------------------------------------ accepting */

/* RFC 3261 section 9.2. libre has answered the CANCEL; its Reason stays with libre. */
static void cancel_handler(void *arg)
{
	struct inv *inv = arg;

	mem_ref(inv);
	if (inv->st)
		(void)inv_reply_send(inv, &inv->st, inv->msg, &(struct inv_reply){ .scode = 487 },
				     NULL);
	inv_finish_text(inv, 487, NULL, 16, true);
	mem_deref(inv);
}

/* Refuses what needs nobody's decision; true when it did. */
static bool settled(struct inv_ctx *ctx, const struct sip_msg *msg, struct pl *sdp)
{
	char text[200], line[240];
	enum inv_body body;

	if (pl_isset(&msg->to.tag)) { /* a dialog we do not know (section 12.2.2) */
		(void)inv_refuse(ctx, msg, 481, inv_reason_text(481), NULL);
		return true;
	}
	if (inv_msg_unknown_require(msg, text, sizeof(text))) {
		(void)re_snprintf(line, sizeof(line), "Unsupported: %s\r\n", text);
		(void)inv_refuse(ctx, msg, 420, inv_reason_text(420), line);
		return true;
	}
	body = inv_msg_sdp(sdp, msg);
	if (body == INV_BODY_OTHER || body == INV_BODY_BAD) {
		(void)inv_refuse(ctx, msg, 415, inv_reason_text(415),
				 "Accept: application/sdp, multipart/mixed\r\n");
		return true;
	}
	if (inv_session_too_small(ctx, msg, line, sizeof(line))) {
		(void)inv_refuse(ctx, msg, 422, inv_reason_text(422), line);
		return true;
	}
	return false;
}

static int accept_init(struct inv *inv, const struct sip_msg *msg, const char *contact_user)
{
	int err;

	err = inv_dlg_from_msg(&inv->dlg, msg, NULL);
	if (err)
		return err;
	(void)re_snprintf(inv->ltag, sizeof(inv->ltag), "%016llx", msg->tag);
	err = inv_set_identity(inv, &msg->to.val, &msg->callid, contact_user);
	if (err)
		return err;
	inv->uas = true;
	inv->state = INV_ST_INCOMING;
	inv->msg = mem_ref((void *)(uintptr_t)msg);
	inv->peer = msg->src;
	inv->tp = msg->tp;
	inv->lseq = rand_u16();
	inv->rseq = msg->cseq.num;
	inv->peer_requires_100rel = inv_msg_has_option(msg, SIP_HDR_REQUIRE, "100rel");
	inv->peer_100rel =
		inv->peer_requires_100rel || inv_msg_has_option(msg, SIP_HDR_SUPPORTED, "100rel");
	inv_note_allow(inv, msg);
	inv_session_from_request(inv, msg);
	return 0;
}

/* The phone shall stop repeating its INVITE. */
static void trying_handler(void *arg)
{
	struct inv *inv = arg;

	if (inv->st)
		(void)inv_reply_send(inv, &inv->st, inv->msg,
				     &(struct inv_reply){ .scode = 100, .reason = "Trying" }, NULL);
}

int inv_accept(struct inv **ret, struct edge *edge, const struct sip_msg *msg,
	       const char *contact_user, inv_event_h *event_h, void *arg)
{
	struct inv_ctx *ctx = NULL;
	struct inv *inv = NULL;
	struct pl sdp;
	int err;

	err = inv_ctx_get(&ctx, edge);
	if (err)
		return err;
	if (settled(ctx, msg, &sdp)) {
		err = -EINVAL;
		goto out;
	}
	err = inv_alloc(&inv, ctx, event_h, arg);
	if (err)
		goto out;
	err = accept_init(inv, msg, contact_user);
	if (err) {
		log_debug("sip.invite_refused", "INVITE without a usable Contact or too long",
			  kv_sa("src", &msg->src), kv_err(err));
		(void)inv_refuse(ctx, msg, 400, "Bad Contact or Record-Route", NULL);
		err = -EINVAL;
		goto out;
	}
	inv->offer_remote = inv->invite_offer = sdp.l > 0;
	err = -sip_strans_alloc(&inv->st, ctx->sip, msg, cancel_handler, inv);
	if (err)
		goto out;
	tmr_start(&inv->tmr_trying, INV_TRYING_MS, trying_handler, inv);
	if (msg->tp != SIP_TRANSP_UDP)
		inv_watch_conn(inv);
	inv_join(inv);
	*ret = inv;

out:
	if (err)
		mem_deref(inv);
	mem_deref(ctx);
	return err;
}

/* ------------------------------------------------------------------ responding */

static void pending_destructor(void *arg)
{
	struct inv_pending *p = arg;

	list_unlink(&p->le);
	mem_deref(p->reason);
	mem_deref(p->sdp);
	mem_deref(p->hdrs);
}

static int postpone(struct inv *inv, uint16_t scode, const char *reason, const char *sdp,
		    const char *hdrs)
{
	struct inv_pending *p;
	int err;

	if (list_count(&inv->pending) >= INV_MAX_PENDING)
		return -EAGAIN;
	p = mem_zalloc(sizeof(*p), pending_destructor);
	if (!p)
		return -ENOMEM;
	p->scode = scode;
	err = inv_set_text(&p->reason, reason, str_len(reason));
	if (!err)
		err = inv_set_text(&p->sdp, sdp, str_len(sdp));
	if (!err)
		err = inv_set_text(&p->hdrs, hdrs, str_len(hdrs));
	if (err) {
		mem_deref(p);
		return err;
	}
	list_append(&inv->pending, &p->le, p);
	return 0;
}

static int send_progress(struct inv *inv, uint16_t scode, const char *reason, const char *sdp,
			 const char *hdrs)
{
	const bool reliable = inv->peer_requires_100rel || (inv->peer_100rel && sdp);
	struct mbuf *mb = NULL;
	int err;

	tmr_cancel(&inv->tmr_trying);
	if (reliable)
		inv->rseq_out = inv->rseq_out ? inv->rseq_out + 1 : 1 + (rand_u32() >> 2);
	err = inv_reply_send(inv, &inv->st, inv->msg,
			     &(struct inv_reply){ .scode = scode,
						  .reason = reason,
						  .sdp = sdp,
						  .hdrs = hdrs,
						  .contact = true,
						  .allow = true,
						  .record_route = true,
						  .rseq = reliable ? inv->rseq_out : 0 },
			     reliable ? &mb : NULL);
	if (err || !reliable)
		return err;

	inv_repeat(inv, mb, inv->msg);
	inv->rel_wait = true;
	inv->rel_has_sdp = sdp != NULL;
	if (!sdp)
		return 0;
	if (inv->offer_remote) {
		inv->offer_remote = false;
		inv->answered_early = true;
	} else if (!inv->invite_offer && !inv->answered_early) {
		inv->offer_local = inv->prack_offer = true;
	}
	return inv_set_text(&inv->local_sdp, sdp, strlen(sdp));
}

int inv_progress(struct inv *inv, uint16_t scode, const char *reason, const char *sdp,
		 const char *hdrs)
{
	if (scode <= 100 || scode >= 200)
		return -EINVAL;
	if (inv->state != INV_ST_INCOMING || !inv->st)
		return -ENOTCONN;
	if (inv->rel_wait && (inv->peer_requires_100rel || (inv->peer_100rel && sdp)))
		return postpone(inv, scode, reason, sdp, hdrs);
	return send_progress(inv, scode, reason, sdp, hdrs);
}

static int send_answer(struct inv *inv, const char *sdp, const char *hdrs)
{
	struct mbuf *mb = NULL;
	int err;

	tmr_cancel(&inv->tmr_trying);
	/* An answer goes out once (RFC 6337 section 3.1.1). One that differs is a phone changing
	 * its mind, or another phone; leaving it out would lose the audio. */
	if (sdp && inv->answered_early && inv->local_sdp && !strcmp(sdp, inv->local_sdp))
		sdp = NULL;
	if (sdp && inv->se_s) {
		err = inv_set_text(&inv->local_sdp, sdp, strlen(sdp));
		if (err)
			return err;
	}
	err = inv_reply_send(inv, &inv->st, inv->msg,
			     &(struct inv_reply){ .scode = 200,
						  .reason = "OK",
						  .sdp = sdp,
						  .hdrs = hdrs,
						  .contact = true,
						  .allow = true,
						  .record_route = true,
						  .session = true },
			     &mb);
	if (err)
		return err;
	if (sdp && !inv->offer_remote && !inv->invite_offer && !inv->answered_early)
		inv->offer_local = true;
	inv->offer_remote = false;
	inv->rel_wait = false;
	inv->state = INV_ST_ACCEPTED;
	inv->ack_wait = true;
	inv->ack_cseq = inv->msg->cseq.num;
	inv_repeat(inv, mb, inv->msg);
	inv_session_restart(inv);
	return 0;
}

int inv_answer(struct inv *inv, const char *sdp, const char *hdrs)
{
	if (inv->state != INV_ST_INCOMING || !inv->st)
		return -ENOTCONN;
	if (inv->rel_wait && inv->rel_has_sdp)
		return postpone(inv, 200, NULL, sdp, hdrs);
	list_flush(&inv->pending); /* what should have been said before is out of date */
	return send_answer(inv, sdp, hdrs);
}

int inv_reject(struct inv *inv, uint16_t scode, const char *reason, uint8_t q850, const char *hdrs)
{
	int err;

	if (scode < 300 || scode > 699)
		return -EINVAL;
	if (inv->state != INV_ST_INCOMING || !inv->st)
		return -ENOTCONN;
	err = inv_reply_send(
		inv, &inv->st, inv->msg,
		&(struct inv_reply){ .scode = scode, .reason = reason, .q850 = q850, .hdrs = hdrs },
		NULL);
	inv_finish_text(inv, scode, reason, q850, false);
	return err;
}

/* INCOMING: a final response. ACCEPTED: BYE, but not before the ACK (RFC 3261 section 15). */
void inv_uas_end(struct inv *inv, uint16_t scode, const char *reason, uint8_t q850)
{
	if (inv->state == INV_ST_INCOMING) {
		if (inv->st)
			(void)inv_reply_send(
				inv, &inv->st, inv->msg,
				&(struct inv_reply){
					.scode = scode >= 300 && scode < 700 ? scode : 480,
					.reason = scode >= 300 && scode < 700 ? reason : NULL,
					.q850 = q850 },
				NULL);
	} else if (inv->state == INV_ST_ACCEPTED && inv->ack_wait) {
		inv->bye_after_ack = true;
		mem_ref(inv);
	} else {
		inv_send_bye(inv, inv->dlg, q850);
	}
}

/* ------------------------------------------------------------------ ACK and PRACK */

/* libre's transaction keeps request and response for 32 s more, only to know the INVITE again: after a 2xx it
 * does not answer it (RFC 6026 section 7.1). */
static void forget_answered(struct inv *inv)
{
	if (inv->state == INV_ST_ACCEPTED)
		decode_forget_headers(inv->msg);
	if (inv->resp)
		mbuf_reset(inv->resp);
}

void inv_on_ack(struct inv *inv, const struct sip_msg *msg)
{
	const bool initial = inv->state == INV_ST_ACCEPTED, is_asked = inv->offer_local;
	struct pl sdp;

	if (!inv->ack_wait || msg->cseq.num != inv->ack_cseq)
		return;
	inv->ack_wait = false;
	forget_answered(inv);
	inv_stop_repeating(inv);
	inv_note_peer(inv, msg);
	if (inv->bye_after_ack) {
		inv->bye_after_ack = false;
		inv_send_bye(inv, inv->dlg, 16);
		mem_deref(inv);
		return;
	}
	if (inv->state == INV_ST_ENDED)
		return;

	inv->state = INV_ST_ESTABLISHED;
	(void)inv_msg_sdp(&sdp, msg);
	if (!is_asked)
		sdp = pl_null;
	inv->offer_local = false;
	if (initial || is_asked)
		inv_post(inv, &(struct inv_event){ .type = INV_EV_ACK,
						   .unanswered = is_asked && !sdp.l,
						   .sdp = sdp,
						   .msg = msg });
	inv_flush_offer(inv);
}

static void flush_pending(struct inv *inv)
{
	struct le *le;

	while (!inv->rel_wait && inv->state == INV_ST_INCOMING && (le = list_head(&inv->pending))) {
		struct inv_pending *p = mem_ref(le->data);

		list_unlink(&p->le);
		if (p->scode >= 200)
			(void)send_answer(inv, p->sdp, p->hdrs);
		else
			(void)send_progress(inv, p->scode, p->reason, p->sdp, p->hdrs);
		mem_deref(p);
		mem_deref(p); /* the list's */
	}
}

/* RFC 3262 sections 3 and 5. */
void inv_on_prack(struct inv *inv, const struct sip_msg *msg)
{
	uint32_t rseq, cseq;
	struct pl method, sdp;

	if (!inv->uas || !inv->rel_wait || !inv_msg_rack(msg, &rseq, &cseq, &method) ||
	    rseq != inv->rseq_out || cseq != inv->msg->cseq.num || pl_strcmp(&method, "INVITE")) {
		inv_reply_plain(inv, msg, 481, NULL);
		return;
	}
	inv->rel_wait = false;
	inv_stop_repeating(inv);

	if (inv_msg_sdp(&sdp, msg) == INV_BODY_SDP && !inv->prack_offer && !inv->offer_st &&
	    !inv->offer_local && !inv->offer_remote &&
	    !sip_strans_alloc(&inv->offer_st, inv->ctx->sip, msg, NULL, NULL)) {
		/* A new offer: its answer is in the response to this PRACK. */
		inv->offer_msg = mem_ref((void *)(uintptr_t)msg);
		inv->offer_remote = true;
		inv_post(inv, &(struct inv_event){ .type = INV_EV_OFFER,
						   .branch = ++inv->n_offers,
						   .sdp = sdp,
						   .msg = msg });
	} else {
		inv_reply_plain(inv, msg, 200, NULL);
	}
	if (inv->prack_offer) {
		inv->prack_offer = inv->offer_local = false;
		inv->answered_early = true;
		inv_post(inv, &(struct inv_event){ .type = INV_EV_REANSWER,
						   .scode = 200,
						   .reason = msg->reason,
						   .sdp = sdp,
						   .msg = msg });
	}
	flush_pending(inv);
}
