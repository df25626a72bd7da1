/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <string.h>
#include "base/log.h"
#include "sip/decode.h"
#include "sip/edge_priv.h"
#include "sip/q850.h"
#include "snapshot/snapshot.h"

/* Life of a dialog, its events, and who gets which message. */

struct queued {
	struct le le;
	struct inv *inv;
	struct sip_msg *msg;
	struct inv_event event;
};

/* ------------------------------------------------------------------ context of an edge */

static void ctx_destructor(void *arg)
{
	struct inv_ctx *ctx = arg;

	if (ctx->edge)
		edge_set_dialog_handler(ctx->edge, NULL, NULL);
	tmr_cancel(&ctx->tmr);
	list_flush(&ctx->queue);
	mem_deref(ctx->dialogs);
}

static bool dialog_request(const struct sip_msg *msg, void *arg);

static struct inv_ctx *ctx_of(const struct edge *edge)
{
	return edge->dialog_h == dialog_request ? edge->dialog_arg : NULL;
}

int inv_ctx_get(struct inv_ctx **ret, struct edge *edge)
{
	struct inv_ctx *ctx = ctx_of(edge);
	int err;

	if (ctx) {
		*ret = mem_ref(ctx);
		return 0;
	}
	ctx = mem_zalloc(sizeof(*ctx), ctx_destructor);
	if (!ctx)
		return -ENOMEM;
	ctx->sip = edge_sip(edge);
	err = -hash_alloc(&ctx->dialogs, INV_BUCKETS);
	if (err) {
		mem_deref(ctx);
		return err;
	}
	ctx->edge = edge;
	edge_set_dialog_handler(edge, dialog_request, ctx);
	*ret = ctx;
	return 0;
}

void inv_timers_of(const struct inv_ctx *ctx, uint32_t *se_s, uint32_t *min_se_s)
{
	const struct snap *snap = edge_snap(ctx->edge);
	const struct snap_sip *set = snap ? snap_sip(snap) : NULL;

	*se_s = set ? set->session_expires_s : 0;
	*min_se_s = set && set->min_se_s > INV_MIN_SE_S ? set->min_se_s : INV_MIN_SE_S;
}

uint32_t inv_count(const struct edge *edge)
{
	const struct inv_ctx *ctx = ctx_of(edge);

	return ctx ? list_count(&ctx->all) : 0;
}

/* ------------------------------------------------------------------ life */

int inv_set_text(char **at, const char *text, size_t len)
{
	char *copy = NULL;

	if (text) {
		copy = mem_alloc(len + 1, NULL);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	mem_deref(*at);
	*at = copy;
	return 0;
}

static void inv_destructor(void *arg)
{
	struct inv *inv = arg;

	tmr_cancel(&inv->tmr_rtx);
	tmr_cancel(&inv->tmr_session);
	tmr_cancel(&inv->tmr_retry);
	tmr_cancel(&inv->tmr_trying);
	tmr_cancel(&inv->tmr_conn);
	hash_unlink(&inv->he);
	list_unlink(&inv->le);
	list_flush(&inv->forks);
	list_flush(&inv->pending);
	mem_deref(inv->dlg);
	mem_deref(inv->text);
	mem_deref(inv->end_reason);
	mem_deref(inv->st);
	mem_deref(inv->offer_st);
	mem_deref(inv->refer_st);
	mem_deref(inv->msg);
	mem_deref(inv->offer_msg);
	mem_deref(inv->refer_msg);
	mem_deref(inv->resp);
	mem_deref(inv->resp_to);
	mem_deref(inv->ack);
	mem_deref(inv->cancel);
	mem_deref(inv->auth);
	mem_deref(inv->auth_user);
	mem_deref(inv->auth_password);
	mem_deref(inv->local_sdp);
	mem_deref(inv->retry_sdp);
	mem_deref(inv->retry_hdrs);
	mem_deref(inv->ctx);
}

int inv_alloc(struct inv **ret, struct inv_ctx *ctx, inv_event_h *event_h, void *arg)
{
	struct inv *inv = mem_zalloc(sizeof(*inv), inv_destructor);

	if (!inv)
		return -ENOMEM;
	inv->ctx = mem_ref(ctx);
	inv->event_h = event_h;
	inv->arg = arg;
	inv->tp = SIP_TRANSP_UDP;
	sa_init(&inv->peer, AF_UNSPEC);
	/* Who says nothing of Allow is a simple phone: no PRACK, UPDATE, INFO. */
	inv->allow = 1u << INV_INVITE | 1u << INV_ACK | 1u << INV_BYE | 1u << INV_CANCEL |
		     1u << INV_OPTIONS;
	*ret = inv;
	return 0;
}

int inv_set_identity(struct inv *inv, const struct pl *from, const struct pl *callid,
		     const char *contact_user)
{
	const char *user = contact_user ? contact_user : "";
	const size_t size = from->l + 2 * callid->l + strlen(user) + sizeof(inv->ltag) + 64;
	int n;

	inv->text = mem_alloc(size, NULL);
	if (!inv->text)
		return -ENOMEM;
	n = re_snprintf(inv->text, size, "From: %r;tag=%s\r\nCall-ID: %r\r\n", from, inv->ltag,
			callid);
	if (n < 0)
		return -EMSGSIZE;
	inv->fixed = inv->text;
	inv->callid = inv->text + n + 1;
	memcpy(inv->text + n + 1, callid->p, callid->l);
	inv->text[n + 1 + callid->l] = '\0';
	inv->contact_user = inv->callid + callid->l + 1;
	memcpy(inv->text + n + callid->l + 2, user, strlen(user) + 1);
	return 0;
}

void inv_join(struct inv *inv)
{
	hash_append(inv->ctx->dialogs, hash_joaat_str(inv->ltag), &inv->he, inv);
	list_append(&inv->ctx->all, &inv->le, inv);
	inv->alive = true;
	mem_ref(inv);
}

void inv_close(struct edge *edge)
{
	struct inv_ctx *ctx = mem_ref(ctx_of(edge));
	struct le *le;

	if (!ctx)
		return;
	edge_set_dialog_handler(edge, NULL, NULL);
	list_flush(&ctx->queue);
	ctx->edge = NULL;
	while ((le = list_head(&ctx->all))) {
		struct inv *inv = mem_ref(le->data);

		list_unlink(&inv->le);
		hash_unlink(&inv->he);
		inv->event_h = NULL;
		inv->state = INV_ST_ENDED;
		inv->ended_queued = true;
		tmr_cancel(&inv->tmr_rtx);
		tmr_cancel(&inv->tmr_session);
		tmr_cancel(&inv->tmr_retry);
		tmr_cancel(&inv->tmr_trying);
		tmr_cancel(&inv->tmr_conn);
		inv->st = mem_deref(inv->st);
		inv->offer_st = mem_deref(inv->offer_st);
		inv->refer_st = mem_deref(inv->refer_st);
		if (inv->bye_after_ack) {
			inv->bye_after_ack = false;
			mem_deref(inv);
		}
		if (inv->alive) {
			inv->alive = false;
			mem_deref(inv);
		}
		mem_deref(inv);
	}
	mem_deref(ctx);
}

/* ------------------------------------------------------------------ events */

static void queued_destructor(void *arg)
{
	struct queued *q = arg;

	list_unlink(&q->le);
	mem_deref(q->msg);
	mem_deref(q->inv);
}

static void deliver(void *arg)
{
	struct inv_ctx *ctx = mem_ref(arg);
	uint32_t n = list_count(&ctx->queue);
	struct le *le;

	/* What handlers add waits for the next turn, so that sockets get theirs. */
	while (n-- && (le = list_head(&ctx->queue))) {
		struct queued *q = le->data;
		struct inv *inv = q->inv;

		list_unlink(&q->le);
		if (inv->event_h)
			inv->event_h(&q->event, inv->arg);
		if (q->event.type == INV_EV_ENDED) {
			if (q->msg && q->msg->req) /* BYE, which its transaction keeps */
				decode_forget_headers(q->msg);
			inv->event_h = NULL;
			if (inv->alive) {
				inv->alive = false;
				mem_deref(inv);
			}
		}
		mem_deref(q);
	}
	if (!list_isempty(&ctx->queue) && !tmr_isrunning(&ctx->tmr))
		tmr_start(&ctx->tmr, 0, deliver, ctx);
	mem_deref(ctx);
}

void inv_post(struct inv *inv, const struct inv_event *event)
{
	struct queued *q;

	if (!inv->event_h || !inv->ctx->edge)
		return;
	q = mem_zalloc(sizeof(*q), queued_destructor);
	if (!q) {
		log_error("sip.event_lost", "out of memory: an event of a call is lost",
			  kv_text("callid", inv->callid), kv_int("event", event->type));
		return;
	}
	q->event = *event;
	q->event.inv = inv;
	q->inv = mem_ref(inv);
	q->msg = mem_ref((void *)(uintptr_t)event->msg);
	list_append(&inv->ctx->queue, &q->le, q);
	if (!tmr_isrunning(&inv->ctx->tmr))
		tmr_start(&inv->ctx->tmr, 0, deliver, inv->ctx);
}

void inv_finish(struct inv *inv, uint16_t scode, const struct pl *reason, uint8_t q850,
		bool by_peer, const struct sip_msg *msg)
{
	if (inv->ended_queued)
		return;
	inv->ended_queued = true;
	inv->state = INV_ST_ENDED;
	tmr_cancel(&inv->tmr_session);
	tmr_cancel(&inv->tmr_retry);
	tmr_cancel(&inv->tmr_trying);
	tmr_cancel(&inv->tmr_conn);
	if (!inv->bye_after_ack && !inv->cancel)
		inv_stop_repeating(inv);
	inv_drop_offers(inv, 487);
	list_flush(&inv->pending);
	inv_post(inv, &(struct inv_event){ .type = INV_EV_ENDED,
					   .scode = scode,
					   .reason = *reason,
					   .q850 = q850 ? q850 : q850_from_sip(scode),
					   .q850_said = q850 && msg,
					   .by_peer = by_peer,
					   .msg = msg });
}

void inv_finish_text(struct inv *inv, uint16_t scode, const char *reason, uint8_t q850,
		     bool by_peer)
{
	struct pl pl;

	if (!reason || inv_set_text(&inv->end_reason, reason, strlen(reason)))
		pl_set_str(&pl, inv_reason_text(scode));
	else
		pl_set_str(&pl, inv->end_reason);
	inv_finish(inv, scode, &pl, q850, by_peer, NULL);
}

/* ------------------------------------------------------------------ finding */

struct key {
	const struct pl *callid, *tag;
};

static bool key_handler(struct le *le, void *arg)
{
	const struct inv *inv = le->data;
	const struct key *key = arg;

	return !pl_strcmp(key->tag, inv->ltag) && !pl_strcmp(key->callid, inv->callid);
}

static struct inv *find(const struct inv_ctx *ctx, const struct sip_msg *msg, const struct pl *tag)
{
	struct key key = { &msg->callid, tag };

	if (!pl_isset(tag))
		return NULL;
	return list_ledata(hash_lookup(ctx->dialogs, hash_joaat_pl(tag), key_handler, &key));
}

/* A request before any response of that tag reached us belongs to a dialog all the same. */
static bool is_peer_tag(const struct inv *inv, const struct pl *tag)
{
	if (!inv->dlg->rtag)
		return inv->uas ? !pl_isset(tag) : true;
	if (!pl_strcmp(tag, inv->dlg->rtag))
		return true;
	for (struct le *le = list_head(&inv->forks); le; le = le->next) {
		const struct inv_dlg *dlg = le->data;

		if (dlg->rtag && !pl_strcmp(tag, dlg->rtag))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------ requests inside the dialog */

void inv_reply_plain(struct inv *inv, const struct sip_msg *msg, uint16_t scode, const char *hdrs)
{
	struct sip_strans *st = NULL;

	(void)inv_reply_send(inv, &st, msg, &(struct inv_reply){ .scode = scode, .hdrs = hdrs },
			     NULL);
}

void inv_reply_later(struct inv *inv, const struct sip_msg *msg)
{
	struct sip_strans *st = NULL;

	(void)inv_reply_send(
		inv, &st, msg,
		&(struct inv_reply){ .scode = 500, .retry_after_s = 1 + rand_u16() % 11 }, NULL);
}

static void on_bye(struct inv *inv, const struct sip_msg *msg)
{
	struct pl reason;

	inv_reply_plain(inv, msg, 200, NULL);
	if (inv->st) /* RFC 3261 section 15.1.2: pending requests get 487 */
		(void)inv_reply_send(inv, &inv->st, inv->msg, &(struct inv_reply){ .scode = 487 },
				     NULL);
	pl_set_str(&reason, inv_reason_text(200));
	inv_finish(inv, 200, &reason, inv_msg_q850(msg), true, msg);
}

static void on_options(struct inv *inv, const struct sip_msg *msg)
{
	struct sip_strans *st = NULL;

	(void)inv_reply_send(inv, &st, msg,
			     &(struct inv_reply){ .scode = 200,
						  .allow = true,
						  .contact = true,
						  .hdrs = "Accept: application/sdp\r\n" },
			     NULL);
}

typedef void(request_h)(struct inv *inv, const struct sip_msg *msg);

static request_h *const request_handlers[INV_METHODS] = {
	[INV_INVITE] = inv_on_reinvite, [INV_ACK] = inv_on_ack,	      [INV_BYE] = on_bye,
	[INV_PRACK] = inv_on_prack,	[INV_UPDATE] = inv_on_update, [INV_INFO] = inv_on_info,
	[INV_REFER] = inv_on_refer,	[INV_OPTIONS] = on_options,
};

static void after_the_end(struct inv *inv, const struct sip_msg *msg, enum inv_method method)
{
	if (method == INV_ACK)
		inv_on_ack(inv, msg);
	else
		inv_reply_plain(inv, msg, method == INV_BYE ? 200 : 481, NULL);
}

/* libre's INVITE transaction ends with the first 2xx, and our CANCEL has none at all. */
static bool stray_response(struct inv_ctx *ctx, const struct sip_msg *msg)
{
	const bool is_cancel = !pl_strcmp(&msg->cseq.met, "CANCEL");
	struct inv *inv;

	if (!is_cancel && (pl_strcmp(&msg->cseq.met, "INVITE") || msg->scode / 100 != 2))
		return false;
	inv = find(ctx, msg, &msg->from.tag);
	if (!inv || inv->uas)
		return false;
	mem_ref(inv);
	if (is_cancel) {
		if (msg->scode >= 200 && inv->cancel)
			inv_stop_repeating(inv);
	} else {
		inv_on_stray_2xx(inv, msg);
	}
	mem_deref(inv);
	return true;
}

static bool dialog_request(const struct sip_msg *msg, void *arg)
{
	struct inv_ctx *ctx = arg;
	enum inv_method method;
	char unknown[160], line[200];
	struct inv *inv;

	if (!msg->req)
		return stray_response(ctx, msg);
	inv = find(ctx, msg, &msg->to.tag);
	if (!inv || !is_peer_tag(inv, &msg->from.tag))
		return false;

	mem_ref(inv);
	if (!inv_method_of(&method, &msg->met) || !request_handlers[method]) {
		(void)re_snprintf(line, sizeof(line), "Allow: %s\r\n", inv_allow_text);
		inv_reply_plain(inv, msg, 405, line);
		goto out;
	}
	if (inv->state == INV_ST_ENDED) {
		after_the_end(inv, msg, method);
		goto out;
	}
	if (method != INV_ACK) {
		if (inv->rseq && msg->cseq.num <= inv->rseq) { /* RFC 3261 section 12.2.2 */
			inv_reply_plain(inv, msg, 500, NULL);
			goto out;
		}
		inv->rseq = msg->cseq.num;
		if (inv_msg_unknown_require(msg, unknown, sizeof(unknown))) {
			(void)re_snprintf(line, sizeof(line), "Unsupported: %s\r\n", unknown);
			inv_reply_plain(inv, msg, 420, line);
			goto out;
		}
	}
	inv_note_peer(inv, msg);
	request_handlers[method](inv, msg);

out:
	mem_deref(inv);
	return true;
}

/* ------------------------------------------------------------------ responses */

void inv_tx_response(int err, const struct sip_msg *msg, void *arg)
{
	struct inv_tx *tx = arg;
	struct inv *inv = mem_ref(tx->inv);

	if (!err && msg)
		inv_note_peer(inv, msg);
	if (!err && msg->scode < 200) {
		if (tx->initial)
			inv_on_invite_response(tx, 0, msg);
		mem_deref(inv);
		return;
	}

	if (inv->ctx->edge) {
		if (tx->initial)
			inv_on_invite_response(tx, err, msg);
		else if (tx->method == INV_INVITE)
			inv_on_reinvite_response(tx, err, msg);
		else if (tx->method == INV_UPDATE && !tx->tells)
			inv_on_update_response(tx, err, msg);
		else if (msg)
			(void)inv_retry(tx, msg);
	}
	mem_deref(tx);
	mem_deref(inv);
}

/* Credentials (RFC 3261 section 22.2) or a longer session interval (RFC 4028 section 7.4). */
bool inv_retry(struct inv_tx *tx, const struct sip_msg *msg)
{
	struct inv *inv = tx->inv;
	struct inv_se se;

	if (tx->tries >= INV_MAX_AUTH_TRIES)
		return false;
	switch (msg->scode) {
	case 401:
	case 407:
		if (!inv->auth_user ||
		    inv_auth_challenge(&inv->auth, msg, inv->auth_user, inv->auth_password))
			return false;
		break;
	case 422:
		inv_msg_session(&se, msg);
		if (!inv->se_s || se.min_se_s <= inv->se_s)
			return false;
		inv->se_s = inv->min_se_s = se.min_se_s;
		break;
	default:
		return false;
	}
	/* The dialog of a BYE is over for its owner; that one is still said properly. */
	if (inv->state == INV_ST_ENDED && tx->method != INV_BYE)
		return false;
	return !inv_send_request(NULL, inv, tx->dlg,
				 &(struct inv_req){ .method = tx->method,
						    .hdrs = tx->hdrs,
						    .body = tx->body,
						    .ctype = tx->ctype,
						    .has_offer = tx->has_offer,
						    .refresh = tx->refresh,
						    .q850 = tx->q850,
						    .tries = tx->tries + 1 });
}

/* ------------------------------------------------------------------ both sides */

void inv_end(struct inv *inv, uint16_t scode, const char *reason, uint8_t q850)
{
	if (!inv || inv->state == INV_ST_ENDED)
		return;
	mem_ref(inv);
	switch (inv->state) {
	case INV_ST_CALLING:
		inv->cancelled = true;
		/* Before a provisional response nobody may know the INVITE yet (section 9.1). */
		if (inv->invite_tx && inv->invite_tx->provisional &&
		    !inv_send_cancel(inv, scode, q850, reason))
			inv_repeat(inv, inv->cancel, NULL);
		else
			(void)inv_set_text(&inv->end_reason, reason, str_len(reason));
		inv->cancel_scode = scode;
		inv->cancel_q850 = q850;
		break;
	case INV_ST_INCOMING:
	case INV_ST_ACCEPTED:
		inv_uas_end(inv, scode, reason, q850);
		break;
	case INV_ST_OFFERED:
		(void)inv_send_ack(inv, inv->dlg, inv->invite_cseq, NULL, NULL, true);
		inv_send_bye(inv, inv->dlg, q850);
		break;
	case INV_ST_ESTABLISHED:
		if (inv->ack_due)
			(void)inv_send_ack(inv, inv->dlg, inv->invite_cseq, NULL, NULL, true);
		inv_uas_end(inv, scode, reason, q850);
		break;
	case INV_ST_ENDED:
		break;
	}
	inv_finish_text(inv, scode ? scode : 487, reason, q850 ? q850 : 16, false);
	mem_deref(inv);
}

const char *inv_callid(const struct inv *inv)
{
	return inv->callid;
}

bool inv_is_established(const struct inv *inv)
{
	return inv->state == INV_ST_ACCEPTED || inv->state == INV_ST_ESTABLISHED;
}

bool inv_owes_answer(const struct inv *inv)
{
	/* After a reliable 183 with the answer the 200 repeats it. */
	return inv->offer_remote || inv->ack_due ||
	       (inv->state == INV_ST_INCOMING && inv->invite_offer && !inv->offer_local);
}

bool inv_is_reliable(const struct inv *inv)
{
	return inv->uas && inv->peer_100rel;
}

bool inv_peer_allows(const struct inv *inv, const char *method)
{
	enum inv_method m;
	struct pl pl;

	pl_set_str(&pl, method);
	return inv_method_of(&m, &pl) && (inv->allow & 1u << m);
}
