/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <string.h>
#include "base/log.h"

/* The calling side: an initial INVITE of ours and what comes back. */

void inv_quote(char *buf, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 3 < size; ++text) {
		if (*text == '\r' || *text == '\n')
			continue;
		if (*text == '"' || *text == '\\')
			buf[n++] = '\\';
		buf[n++] = *text;
	}
	buf[n] = '\0';
}

static bool is_line_safe(const char *text)
{
	return !text || !strpbrk(text, "\r\n<>");
}

static int invite_init(struct inv *inv, const struct inv_invite_opts *o)
{
	char name[256], from[768], callid[34];
	struct pl from_pl, callid_pl;
	int err;

	if (!is_line_safe(o->from_uri) || !is_line_safe(o->to_uri))
		return -EINVAL;
	(void)re_snprintf(inv->ltag, sizeof(inv->ltag), "%016llx", rand_u64());
	(void)re_snprintf(callid, sizeof(callid), "%016llx%016llx", rand_u64(), rand_u64());
	inv_quote(name, sizeof(name), o->from_name ? o->from_name : "");
	if (re_snprintf(from, sizeof(from), "%s%s%s<%s>", name[0] ? "\"" : "", name,
			name[0] ? "\" " : "", o->from_uri) < 0)
		return -EMSGSIZE;
	pl_set_str(&from_pl, from);
	pl_set_str(&callid_pl, callid);
	err = inv_set_identity(inv, &from_pl, &callid_pl, o->contact_user);
	if (!err)
		err = inv_dlg_initial(&inv->dlg, o->ruri, o->to_uri ? o->to_uri : o->ruri,
				      o->routes, o->n_routes);
	if (!err && o->auth_user)
		err = inv_set_text(&inv->auth_user, o->auth_user, strlen(o->auth_user));
	if (!err && o->auth_user)
		err = inv_set_text(&inv->auth_password, o->auth_password ? o->auth_password : "",
				   str_len(o->auth_password));
	if (err)
		return err;

	inv->state = INV_ST_CALLING;
	inv->lseq = rand_u16();
	inv->max_forwards = o->max_forwards;
	inv->se_s = o->session_expires_s;
	inv->min_se_s = o->min_se_s;
	inv->invite_offer = inv->offer_local = o->sdp != NULL;
	if (o->dst) {
		inv->dst = inv->peer = *o->dst;
		inv->tp = (enum sip_transp)o->tp;
		inv->has_dst = true;
	}
	if (o->sdp && inv->se_s)
		err = inv_set_text(&inv->local_sdp, o->sdp, strlen(o->sdp));
	return err;
}

int inv_invite(struct inv **ret, struct edge *edge, const struct inv_invite_opts *opts,
	       inv_event_h *event_h, void *arg)
{
	struct inv_ctx *ctx = NULL;
	struct inv *inv = NULL;
	struct inv_tx *tx;
	int err;

	if (!opts->ruri || !opts->from_uri)
		return -EINVAL;
	err = inv_ctx_get(&ctx, edge);
	if (err)
		return err;
	err = inv_alloc(&inv, ctx, event_h, arg);
	if (!err)
		err = invite_init(inv, opts);
	if (!err)
		err = inv_send_request(&tx, inv, inv->dlg,
				       &(struct inv_req){ .method = INV_INVITE,
							  .body = opts->sdp,
							  .hdrs = opts->hdrs,
							  .has_offer = opts->sdp != NULL });
	mem_deref(ctx);
	if (err) {
		mem_deref(inv);
		return err;
	}
	inv_join(inv);
	if (!inv->has_dst || inv->tp != SIP_TRANSP_UDP)
		inv_watch_conn(inv);
	*ret = inv;
	return 0;
}

/* ------------------------------------------------------------------ dialogs of the responses */

static struct inv_dlg *find_dlg(struct inv *inv, const struct pl *tag)
{
	if (inv->dlg->rtag && !pl_strcmp(tag, inv->dlg->rtag))
		return inv->dlg;
	for (struct le *le = list_head(&inv->forks); le; le = le->next) {
		struct inv_dlg *dlg = le->data;

		if (dlg->rtag && !pl_strcmp(tag, dlg->rtag))
			return dlg;
	}
	return NULL;
}

/*
 * The dialog of a response, made when it is new: the first takes the place of the one without a
 * tag, others are forks (RFC 3261 section 12.1.2). NULL: no tag, too many, or no memory.
 */
static struct inv_dlg *dlg_of_response(struct inv *inv, const struct inv_tx *tx,
				       const struct sip_msg *msg)
{
	struct inv_dlg *dlg;
	int err;

	if (!pl_isset(&msg->to.tag))
		return NULL;
	dlg = find_dlg(inv, &msg->to.tag);
	if (dlg)
		return dlg;
	if (list_count(&inv->forks) >= INV_MAX_FORKS)
		return NULL;
	err = inv_dlg_from_msg(&dlg, msg, tx ? inv_dlg_target(tx->dlg) : inv_dlg_target(inv->dlg));
	if (err) {
		log_debug("sip.response_refused", "response that makes no dialog",
			  kv_text("callid", inv->callid), kv_err(err));
		return NULL;
	}
	dlg->branch = ++inv->n_branches;
	if (!inv->dlg->rtag) {
		mem_deref(inv->dlg);
		inv->dlg = dlg;
	} else {
		list_append(&inv->forks, &dlg->le, dlg);
	}
	return dlg;
}

/* A 2xx confirms this one; the other early dialogs are over (section 13.2.2.4). */
static void choose_dlg(struct inv *inv, struct inv_dlg *dlg)
{
	if (dlg != inv->dlg) {
		list_unlink(&dlg->le);
		mem_deref(inv->dlg);
		inv->dlg = dlg;
	}
	list_flush(&inv->forks);
}

/* ------------------------------------------------------------------ provisional responses */

static void cancel_now(struct inv *inv)
{
	if (inv->cancel)
		return;
	if (!inv_send_cancel(inv, inv->cancel_scode, inv->cancel_q850, inv->end_reason))
		inv_repeat(inv, inv->cancel, NULL);
}

/*
 * RFC 3262 section 4: acknowledged in order; a repetition is dropped, and so is one that came too
 * early (it will be repeated). Returns true when the response is news.
 */
static bool reliable_is_new(struct inv *inv, const struct inv_tx *tx, struct inv_dlg *dlg,
			    const struct sip_msg *msg)
{
	const uint32_t rseq = inv_msg_number(msg, SIP_HDR_RSEQ);
	char rack[64];

	if (!rseq || !inv_msg_has_option(msg, SIP_HDR_REQUIRE, "100rel"))
		return true;
	if (dlg->rel_rseq && rseq != dlg->rel_rseq + 1)
		return false;
	dlg->rel_rseq = rseq;
	(void)re_snprintf(rack, sizeof(rack), "%u %u INVITE", rseq, tx->cseq);
	if (inv_send_request(NULL, inv, dlg,
			     &(struct inv_req){ .method = INV_PRACK, .rack = rack }))
		log_warn("sip.prack_failed", "PRACK cannot be sent; the call may fail",
			 kv_text("callid", inv->callid));
	return true;
}

static void on_provisional(struct inv *inv, struct inv_tx *tx, const struct sip_msg *msg)
{
	struct inv_dlg *dlg;
	struct pl sdp;

	tx->provisional = true;
	if (inv->cancelled) {
		cancel_now(inv);
		return;
	}
	if (msg->scode == 100 || inv->state != INV_ST_CALLING)
		return;
	inv_note_allow(inv, msg);
	dlg = dlg_of_response(inv, tx, msg);
	if (dlg && !reliable_is_new(inv, tx, dlg, msg))
		return;
	(void)inv_msg_sdp(&sdp, msg);
	if (dlg && sdp.l && dlg->rel_rseq) /* a reliable 1xx carries the answer */
		inv->offer_local = false;
	inv_post(inv, &(struct inv_event){ .type = INV_EV_PROGRESS,
					   .scode = msg->scode,
					   .reason = msg->reason,
					   .sdp = sdp,
					   .msg = msg,
					   .branch = dlg ? dlg->branch : 0 });
}

/* ------------------------------------------------------------------ final responses */

static void on_2xx(struct inv *inv, struct inv_tx *tx, const struct sip_msg *msg)
{
	struct inv_dlg *dlg = dlg_of_response(inv, tx, msg);
	struct pl sdp;

	if (!dlg) {
		inv_finish_text(inv, 502, "Answer without a dialog", 0, true);
		return;
	}
	choose_dlg(inv, dlg);
	inv_dlg_refresh(dlg, msg);
	inv->invite_cseq = tx->cseq;
	inv_note_allow(inv, msg);
	(void)inv_msg_sdp(&sdp, msg);

	if (inv->cancelled || inv->state != INV_ST_CALLING) {
		/* It crossed our CANCEL (section 9.1). */
		(void)inv_send_ack(inv, dlg, tx->cseq, NULL, msg, true);
		inv_send_bye(inv, dlg, inv->cancel_q850 ? inv->cancel_q850 : 16);
		return;
	}

	inv_session_from_response(inv, msg);
	if (tx->has_offer) {
		const int err = inv_send_ack(inv, dlg, tx->cseq, NULL, msg, true);

		if (err)
			log_warn("sip.ack_failed",
				 "ACK cannot be sent; the peer will repeat its answer",
				 kv_text("callid", inv->callid), kv_err(err));
		inv->offer_local = false;
		inv->state = INV_ST_ESTABLISHED;
	} else {
		inv->offer_remote = sdp.l > 0;
		inv->ack_due = true;
		inv->state = INV_ST_OFFERED;
	}
	inv_session_restart(inv);
	inv_post(inv, &(struct inv_event){ .type = INV_EV_ANSWERED,
					   .scode = msg->scode,
					   .reason = msg->reason,
					   .sdp = sdp,
					   .msg = msg,
					   .branch = dlg->branch });
	inv_flush_offer(inv);
}

void inv_on_invite_response(struct inv_tx *tx, int err, const struct sip_msg *msg)
{
	struct inv *inv = tx->inv;

	if (!err && msg->scode < 200) {
		on_provisional(inv, tx, msg);
		return;
	}
	inv->invite_tx = NULL;
	if (inv->cancel)
		inv_stop_repeating(inv);
	if (err) {
		/* Section 8.1.3.1: a timeout is a 408, any other transport error a 503. */
		inv_finish_text(inv, err == ETIMEDOUT ? 408 : 503, NULL, 0, false);
		return;
	}
	if (msg->scode < 300) {
		on_2xx(inv, tx, msg);
		return;
	}
	if (!inv->cancelled && inv_retry(tx, msg))
		return;
	inv_finish(inv, msg->scode, &msg->reason, inv_msg_q850(msg), true, msg);
}

/* A repeated 2xx gets the same ACK, one of another fork ACK and BYE (section 13.2.2.4). */
void inv_on_stray_2xx(struct inv *inv, const struct sip_msg *msg)
{
	struct inv_dlg *dlg;
	bool is_known;

	if (inv->dlg->rtag && !pl_strcmp(&msg->to.tag, inv->dlg->rtag)) {
		if (!inv->ack || msg->cseq.num != inv->invite_cseq)
			return;
		inv->ack->pos = 0;
		(void)sip_send(inv->ctx->sip, NULL, inv->ack_tp, &inv->ack_dst, inv->ack);
		return;
	}
	is_known = find_dlg(inv, &msg->to.tag) != NULL;
	dlg = dlg_of_response(inv, NULL, msg);
	if (!dlg)
		return;
	(void)inv_send_ack(inv, dlg, msg->cseq.num, NULL, msg, false);
	if (!is_known)
		inv_send_bye(inv, dlg, 16);
}

int inv_ack(struct inv *inv, const char *sdp)
{
	int err;

	if (!inv->ack_due)
		return -ENOENT;
	err = inv_send_ack(inv, inv->dlg, inv->invite_cseq, sdp, NULL, true);
	if (err)
		return err;
	inv->ack_due = false;
	inv->offer_remote = false;
	if (sdp && inv->se_s)
		err = inv_set_text(&inv->local_sdp, sdp, strlen(sdp));
	if (inv->state == INV_ST_OFFERED)
		inv->state = INV_ST_ESTABLISHED;
	inv_flush_offer(inv);
	return err;
}
