/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <string.h>
#include "base/log.h"

/* Inside the dialog: new offers, INFO, REFER, and the session timer. */

/* ------------------------------------------------------------------ our offers */

/* Section 14.1: no new offer while one of either side is open. */
static bool is_exchange_open(const struct inv *inv)
{
	return inv->offer_local || inv->offer_remote || inv->invite_tx || inv->update_tx ||
	       inv->offer_st || inv->ack_wait || inv->ack_due;
}

static bool is_early(const struct inv *inv)
{
	return inv->state == INV_ST_CALLING || inv->state == INV_ST_INCOMING;
}

/* An UPDATE may come before the final response once the first exchange is complete (RFC 3311
 * section 5.1); the INVITE transaction under way does not count then. */
static bool may_update_early(const struct inv *inv)
{
	if (!(inv->allow & 1u << INV_UPDATE) || inv->offer_local || inv->offer_remote ||
	    inv->update_tx || inv->offer_st || inv->rel_wait || !inv->dlg->rtag)
		return false;
	return inv->uas ? inv->answered_early : inv->dlg->rel_rseq != 0;
}

static void session_handler(void *arg);

static int keep_offer(struct inv *inv, const char *sdp, const char *hdrs)
{
	int err;

	err = inv_set_text(&inv->retry_sdp, sdp, str_len(sdp));
	if (!err)
		err = inv_set_text(&inv->retry_hdrs, hdrs, str_len(hdrs));
	inv->retry_offer = !err;
	return err;
}

static int send_offer(struct inv *inv, enum inv_method method, const char *sdp, const char *hdrs)
{
	int err;

	err = inv_send_request(
		NULL, inv, inv->dlg,
		&(struct inv_req){
			.method = method, .body = sdp, .hdrs = hdrs, .has_offer = sdp != NULL });
	if (err)
		return err;
	inv->offer_local = sdp != NULL;
	/* Kept until the answer: a 491 sends it again. */
	return keep_offer(inv, sdp, hdrs);
}

int inv_reoffer(struct inv *inv, const char *sdp, const char *hdrs)
{
	int err;

	if (inv->state == INV_ST_ENDED)
		return -ENOTCONN;
	if (is_early(inv) && sdp && may_update_early(inv))
		return send_offer(inv, INV_UPDATE, sdp, hdrs);
	if (inv->state == INV_ST_ESTABLISHED && !is_exchange_open(inv) &&
	    !tmr_isrunning(&inv->tmr_retry))
		return send_offer(inv, INV_INVITE, sdp, hdrs);
	err = keep_offer(inv, sdp, hdrs);
	return err ? err : -EAGAIN;
}

void inv_flush_offer(struct inv *inv)
{
	char *sdp, *hdrs;
	int err;

	if (!inv->retry_offer || inv->state != INV_ST_ESTABLISHED || is_exchange_open(inv) ||
	    tmr_isrunning(&inv->tmr_retry))
		return;
	sdp = mem_ref(inv->retry_sdp);
	hdrs = mem_ref(inv->retry_hdrs);
	err = send_offer(inv, INV_INVITE, sdp, hdrs);
	mem_deref(sdp);
	mem_deref(hdrs);
	if (err) {
		inv->retry_offer = false;
		inv_post(inv, &(struct inv_event){ .type = INV_EV_REANSWER, .scode = 503 });
	}
}

static void retry_handler(void *arg)
{
	inv_flush_offer(arg);
}

/* Section 14.1: who made the Call-ID waits 2.1 to 4 s, the other up to 2 s, in steps of 10 ms. */
static void wait_after_glare(struct inv *inv)
{
	const uint32_t ms = inv->uas ? 10 * (rand_u16() % 201) : 2100 + 10 * (rand_u16() % 191);

	inv->retry_offer = true;
	tmr_start(&inv->tmr_retry, ms, retry_handler, inv);
}

static void end_of_dialog(struct inv *inv, uint16_t scode, const struct sip_msg *msg)
{
	inv_send_bye(inv, inv->dlg, 0);
	if (msg)
		inv_finish(inv, scode, &msg->reason, inv_msg_q850(msg), true, msg);
	else
		inv_finish_text(inv, scode, NULL, 0, false);
}

/* The session goes on until it expires: a few more attempts, by re-INVITE if UPDATE is unknown. */
static void refresh_failed(struct inv *inv, uint16_t scode)
{
	if (scode == 405 || scode == 501)
		inv->allow &= (uint16_t) ~(1u << INV_UPDATE);
	if (++inv->refresh_failures >= INV_MAX_REFRESH_FAILURES)
		end_of_dialog(inv, 408, NULL);
	else
		tmr_start(&inv->tmr_session, (uint64_t)inv->se_s * 1000 / 8, session_handler, inv);
}

/*
 * What a failed re-INVITE or UPDATE means: true when nothing is left to tell. 408 and 481 end the
 * dialog (section 12.2.1.2); so does a refresh that nobody answers (RFC 4028 section 10).
 */
static bool on_failure(struct inv *inv, struct inv_tx *tx, int err, const struct sip_msg *msg)
{
	inv->offer_local = inv->offer_local && !tx->has_offer;
	if (err || msg->scode == 408 || msg->scode == 481) {
		end_of_dialog(inv, msg ? msg->scode : 408, msg);
		return true;
	}
	if (inv_retry(tx, msg)) {
		inv->offer_local = tx->has_offer;
		return true;
	}
	if (tx->refresh) {
		refresh_failed(inv, msg->scode);
		return true;
	}
	if (msg->scode == 491) {
		wait_after_glare(inv);
		return true;
	}
	inv->retry_offer = false;
	inv_post(inv, &(struct inv_event){ .type = INV_EV_REANSWER,
					   .scode = msg->scode,
					   .reason = msg->reason,
					   .msg = msg });
	return false;
}

/* A 2xx to our re-INVITE or UPDATE. */
static void on_success(struct inv *inv, struct inv_tx *tx, const struct sip_msg *msg)
{
	struct pl sdp;

	inv_dlg_refresh(inv->dlg, msg);
	inv_note_allow(inv, msg);
	inv_session_from_response(inv, msg);
	inv_session_restart(inv);
	inv->refresh_failures = 0;
	if (tx->refresh)
		return;
	(void)inv_msg_sdp(&sdp, msg);
	inv->offer_local = false;
	inv->retry_offer = false;
	if (tx->body || tx->has_offer || sdp.l)
		inv_post(inv, &(struct inv_event){ .type = INV_EV_REANSWER,
						   .scode = msg->scode,
						   .reason = msg->reason,
						   .sdp = sdp,
						   .msg = msg });
}

void inv_on_reinvite_response(struct inv_tx *tx, int err, const struct sip_msg *msg)
{
	struct inv *inv = tx->inv;

	inv->invite_tx = NULL;
	if (!err && msg->scode < 300) {
		inv->invite_cseq = tx->cseq;
		inv_dlg_refresh(inv->dlg, msg);
		if (inv->state == INV_ST_ENDED || tx->has_offer) {
			(void)inv_send_ack(inv, inv->dlg, tx->cseq, NULL, msg, true);
		} else {
			inv->ack_due = true; /* their offer; inv_ack() answers */
			inv->offer_remote = true;
		}
		if (inv->state != INV_ST_ENDED)
			on_success(inv, tx, msg);
	} else if (inv->state != INV_ST_ENDED) {
		(void)on_failure(inv, tx, err, msg);
	}
	inv_flush_offer(inv);
}

void inv_on_update_response(struct inv_tx *tx, int err, const struct sip_msg *msg)
{
	struct inv *inv = tx->inv;

	inv->update_tx = NULL;
	if (inv->state == INV_ST_ENDED)
		return;
	if (!err && msg->scode < 300)
		on_success(inv, tx, msg);
	else
		(void)on_failure(inv, tx, err, msg);
	inv_flush_offer(inv);
}

/* ------------------------------------------------------------------ the peer's offers */

static void reinvite_cancelled(void *arg)
{
	struct inv *inv = arg;

	if (inv->offer_st)
		(void)inv_reply_send(inv, &inv->offer_st, inv->offer_msg,
				     &(struct inv_reply){ .scode = 487 }, NULL);
	inv->offer_msg = mem_deref(inv->offer_msg);
	inv->offer_remote = false;
	inv_flush_offer(inv);
}

void inv_drop_offers(struct inv *inv, uint16_t scode)
{
	if (inv->offer_st)
		(void)inv_reply_send(inv, &inv->offer_st, inv->offer_msg,
				     &(struct inv_reply){ .scode = scode }, NULL);
	inv->offer_msg = mem_deref(inv->offer_msg);
	if (inv->refer_st)
		(void)inv_reply_send(inv, &inv->refer_st, inv->refer_msg,
				     &(struct inv_reply){ .scode = 481 }, NULL);
	inv->refer_msg = mem_deref(inv->refer_msg);
	inv->offer_remote = inv->offer_local = false;
	inv->retry_offer = false;
}

/* Body of unknown type, session interval: settled without the owner. */
static bool offer_settled(struct inv *inv, const struct sip_msg *msg, struct pl *sdp)
{
	const enum inv_body body = inv_msg_sdp(sdp, msg);
	char line[64];

	if (body == INV_BODY_OTHER || body == INV_BODY_BAD) {
		inv_reply_plain(inv, msg, 415, "Accept: application/sdp, multipart/mixed\r\n");
		return true;
	}
	if (inv_session_too_small(inv->ctx, msg, line, sizeof(line))) {
		inv_reply_plain(inv, msg, 422, line);
		return true;
	}
	return false;
}

static void hold_offer(struct inv *inv, const struct sip_msg *msg, const struct pl *sdp,
		       sip_cancel_h *cancel_h)
{
	if (sip_strans_alloc(&inv->offer_st, inv->ctx->sip, msg, cancel_h, inv)) {
		inv_reply_plain(inv, msg, 500, NULL);
		return;
	}
	inv->offer_msg = mem_ref((void *)(uintptr_t)msg);
	inv->offer_remote = true;
	inv_note_allow(inv, msg);
	inv_post(inv, &(struct inv_event){ .type = INV_EV_OFFER,
					   .branch = ++inv->n_offers,
					   .sdp = *sdp,
					   .msg = msg });
}

static void note_identity(struct inv *inv, const struct sip_msg *msg)
{
	struct inv_identity said;

	if (!is_early(inv) && !inv_asserted(&said, msg))
		inv_post(inv, &(struct inv_event){ .type = INV_EV_IDENTITY, .msg = msg });
}

/* RFC 3261 section 14.2. */
void inv_on_reinvite(struct inv *inv, const struct sip_msg *msg)
{
	struct pl sdp;

	if (is_early(inv) || inv->offer_st || inv->ack_wait) {
		inv_reply_later(inv, msg);
		return;
	}
	if (is_exchange_open(inv)) {
		inv_reply_plain(inv, msg, 491, NULL);
		return;
	}
	if (offer_settled(inv, msg, &sdp))
		return;
	note_identity(inv, msg);
	hold_offer(inv, msg, &sdp, reinvite_cancelled);
	if (inv->offer_st)
		(void)inv_reply_send(inv, &inv->offer_st, msg,
				     &(struct inv_reply){ .scode = 100, .reason = "Trying" }, NULL);
}

/* RFC 3311 section 5.2. */
void inv_on_update(struct inv *inv, const struct sip_msg *msg)
{
	struct sip_strans *st = NULL;
	struct pl sdp;

	if (offer_settled(inv, msg, &sdp))
		return;
	note_identity(inv, msg);
	if (sdp.l) {
		if (inv->offer_remote || inv->offer_st)
			inv_reply_later(inv, msg);
		else if (inv->offer_local || inv->ack_due)
			inv_reply_plain(inv, msg, 491, NULL);
		else
			hold_offer(inv, msg, &sdp, NULL);
		return;
	}
	/* A refresh of session and target only. */
	inv_dlg_refresh(inv->dlg, msg);
	inv_session_from_request(inv, msg);
	(void)inv_reply_send(
		inv, &st, msg,
		&(struct inv_reply){
			.scode = 200, .contact = true, .allow = true, .session = true },
		NULL);
	inv_session_restart(inv);
}

static int accept_offer(struct inv *inv, const char *reason, const char *sdp)
{
	const bool is_invite = !pl_strcmp(&inv->offer_msg->met, "INVITE");
	const bool is_prack = !pl_strcmp(&inv->offer_msg->met, "PRACK");
	struct mbuf *mb = NULL;
	struct pl offer;
	int err;

	if (!is_prack) {
		inv_dlg_refresh(inv->dlg, inv->offer_msg);
		inv_session_from_request(inv, inv->offer_msg);
	}
	if (sdp && inv->se_s) {
		err = inv_set_text(&inv->local_sdp, sdp, strlen(sdp));
		if (err)
			return err;
	}
	err = inv_reply_send(inv, &inv->offer_st, inv->offer_msg,
			     &(struct inv_reply){ .scode = 200,
						  .reason = reason,
						  .sdp = sdp,
						  .contact = !is_prack,
						  .allow = !is_prack,
						  .session = !is_prack },
			     is_invite ? &mb : NULL);
	if (err)
		return err;
	if (is_invite) {
		inv->ack_wait = true;
		inv->ack_cseq = inv->offer_msg->cseq.num;
		inv_repeat(inv, mb, inv->offer_msg);
		inv->offer_local = inv_msg_sdp(&offer, inv->offer_msg) == INV_BODY_NONE;
	}
	if (!is_prack)
		inv_session_restart(inv);
	return 0;
}

int inv_reanswer(struct inv *inv, uint16_t scode, const char *reason, const char *sdp)
{
	int err;

	if (!inv->offer_st)
		return -ENOENT;
	if (scode < 200 || scode > 699)
		return -EINVAL;
	if (scode < 300)
		err = accept_offer(inv, reason, sdp);
	else
		err = inv_reply_send(inv, &inv->offer_st, inv->offer_msg,
				     &(struct inv_reply){ .scode = scode, .reason = reason }, NULL);
	inv->offer_msg = mem_deref(inv->offer_msg);
	inv->offer_st = mem_deref(inv->offer_st);
	inv->offer_remote = false;
	inv_flush_offer(inv);
	return err;
}

bool inv_offer_stands(const struct inv *inv, uint32_t branch)
{
	return inv->offer_st && inv->n_offers == branch;
}

/* ------------------------------------------------------------------ INFO and REFER */

int inv_info(struct inv *inv, const char *ctype, const char *body)
{
	if (inv->state == INV_ST_ENDED || !inv->dlg->rtag)
		return -ENOTCONN;
	return inv_send_request(
		NULL, inv, inv->dlg,
		&(struct inv_req){ .method = INV_INFO, .ctype = ctype, .body = body });
}

int inv_tell(struct inv *inv, const char *hdrs)
{
	struct inv_tx *offering = inv->update_tx, *tx;
	int err;

	if (inv->state != INV_ST_ESTABLISHED)
		return -ENOTCONN;
	if (!(inv->allow & 1u << INV_UPDATE))
		return -ENOTSUP;
	err = inv_send_request(&tx, inv, inv->dlg, &(struct inv_req){ .method = INV_UPDATE, .hdrs = hdrs });
	if (err)
		return err;

	tx->tells = true;
	inv->update_tx = offering; /* no offer waits for this one */
	return 0;
}

void inv_on_info(struct inv *inv, const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = sip_msg_hdr(msg, SIP_HDR_CONTENT_TYPE);

	inv_reply_plain(inv, msg, 200, NULL);
	inv_post(inv, &(struct inv_event){ .type = INV_EV_INFO,
					   .msg = msg,
					   .ctype = hdr ? hdr->val : pl_null,
					   .body = inv_msg_body(msg) });
}

void inv_on_refer(struct inv *inv, const struct sip_msg *msg)
{
	if (inv->refer_st) {
		inv_reply_later(inv, msg);
		return;
	}
	if (sip_msg_hdr_count(msg, SIP_HDR_REFER_TO) != 1) { /* RFC 3515 section 2.4.2 */
		inv_reply_plain(inv, msg, 400, NULL);
		return;
	}
	if (sip_strans_alloc(&inv->refer_st, inv->ctx->sip, msg, NULL, NULL)) {
		inv_reply_plain(inv, msg, 500, NULL);
		return;
	}
	inv->refer_msg = mem_ref((void *)(uintptr_t)msg);
	inv_post(inv, &(struct inv_event){ .type = INV_EV_REFER, .msg = msg });
}

int inv_refer_reply(struct inv *inv, uint16_t scode, const char *reason)
{
	int err;

	if (!inv->refer_st)
		return -ENOENT;
	if (scode < 200 || scode > 699)
		return -EINVAL;
	err = inv_reply_send(
		inv, &inv->refer_st, inv->refer_msg,
		&(struct inv_reply){ .scode = scode, .reason = reason, .contact = scode < 300 },
		NULL);
	inv->refer_st = mem_deref(inv->refer_st);
	inv->refer_msg = mem_deref(inv->refer_msg);
	return err;
}

/* ------------------------------------------------------------------ session timer (RFC 4028) */

bool inv_session_too_small(struct inv_ctx *ctx, const struct sip_msg *msg, char *hdrs, size_t size)
{
	uint32_t se_s, min_se_s;
	struct inv_se se;

	inv_msg_session(&se, msg);
	inv_timers_of(ctx, &se_s, &min_se_s);
	if (!se.se_s || se.se_s >= min_se_s || !inv_msg_has_option(msg, SIP_HDR_SUPPORTED, "timer"))
		return false;
	(void)re_snprintf(hdrs, size, "Min-SE: %u\r\n", min_se_s);
	return true;
}

/*
 * Section 9. Unless the peer chose, we refresh: we notice then when it is gone, and no phone has to
 * be trusted with it.
 */
void inv_session_from_request(struct inv *inv, const struct sip_msg *msg)
{
	uint32_t se_s, min_se_s;
	struct inv_se se;

	inv->peer_timer = inv_msg_has_option(msg, SIP_HDR_SUPPORTED, "timer");
	inv_msg_session(&se, msg);
	if (se.se_s) {
		inv->se_s = se.se_s;
		inv->refresher = se.role == INV_ROLE_UAC && inv->peer_timer ? INV_REFRESH_PEER
									    : INV_REFRESH_US;
		return;
	}
	if (!inv->peer_timer || inv->se_s)
		return;
	inv_timers_of(inv->ctx, &se_s, &min_se_s);
	if (se_s && se_s < se.min_se_s)
		se_s = se.min_se_s;
	inv->se_s = se_s;
	inv->refresher = se_s ? INV_REFRESH_US : INV_REFRESH_NONE;
}

/* Section 7.2: without Session-Expires in the 2xx the session does not expire. */
void inv_session_from_response(struct inv *inv, const struct sip_msg *msg)
{
	struct inv_se se;

	inv_msg_session(&se, msg);
	inv->se_s = se.se_s;
	if (!se.se_s)
		inv->refresher = INV_REFRESH_NONE;
	else
		inv->refresher = se.role == INV_ROLE_UAS ? INV_REFRESH_PEER : INV_REFRESH_US;
}

static void session_handler(void *arg)
{
	struct inv *inv = arg;
	int err = -EBUSY;

	mem_ref(inv);
	if (inv->refresher == INV_REFRESH_PEER) { /* section 10 */
		end_of_dialog(inv, 408, NULL);
	} else if (is_exchange_open(inv) || tmr_isrunning(&inv->tmr_retry)) {
		/* The exchange under way refreshes as well, unless it fails. */
		tmr_start(&inv->tmr_session, 5000, session_handler, inv);
	} else {
		if (inv->allow & 1u << INV_UPDATE)
			err = inv_send_request(
				NULL, inv, inv->dlg,
				&(struct inv_req){ .method = INV_UPDATE, .refresh = true });
		else if (inv->local_sdp)
			err = inv_send_request(NULL, inv, inv->dlg,
					       &(struct inv_req){ .method = INV_INVITE,
								  .body = inv->local_sdp,
								  .has_offer = true,
								  .refresh = true });
		if (err)
			end_of_dialog(inv, 408, NULL);
	}
	mem_deref(inv);
}

/* Half-way for the refresher; the other side gives up a little before the end (section 10). */
void inv_session_restart(struct inv *inv)
{
	uint32_t early_s, wait_s;

	if (!inv->se_s || inv->refresher == INV_REFRESH_NONE || inv->state == INV_ST_ENDED) {
		tmr_cancel(&inv->tmr_session);
		return;
	}
	early_s = inv->se_s / 3 < 32 ? inv->se_s / 3 : 32;
	wait_s = inv->refresher == INV_REFRESH_US ? inv->se_s / 2 : inv->se_s - early_s;
	tmr_start(&inv->tmr_session, wait_s ? (uint64_t)wait_s * 1000 : 1000, session_handler, inv);
}
