/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include "sip/decode.h"
#include "sip/edge.h"
#include "snapshot/snapshot.h"

/* Requests and responses of a dialog as they go on the wire. */

#define INV_DEFAULT_AGENT "Aoide"

static void put_contact(struct inv_out *out, const struct inv *inv, const struct sa *local,
			enum sip_transp tp)
{
	inv_put(out, "Contact: <sip:");
	if (inv->contact_user[0]) {
		inv_put(out, inv->contact_user);
		inv_put(out, "@");
	}
	inv_put_address(out, local);
	inv_put(out, sip_transp_param(tp));
	inv_put(out, ">\r\n");
}

static void put_reason(struct inv_out *out, uint8_t q850)
{
	if (!q850)
		return;
	inv_put(out, "Reason: Q.850;cause=");
	inv_put_number(out, q850);
	inv_put(out, "\r\n");
}

static void put_body(struct inv_out *out, const char *ctype, const char *body)
{
	const size_t len = body ? strlen(body) : 0;

	if (len) {
		inv_put(out, "Content-Type: ");
		inv_put(out, ctype ? ctype : "application/sdp");
		inv_put(out, "\r\n");
	}
	inv_put(out, "Content-Length: ");
	inv_put_number(out, len);
	inv_put(out, "\r\n\r\n");
	if (len)
		inv_put_n(out, body, len);
}

static const char *agent_name(const struct inv_ctx *ctx)
{
	const struct snap *snap = edge_snap(ctx->edge);
	const struct snap_sip *set = snap ? snap_sip(snap) : NULL;

	return set && set->user_agent && set->user_agent[0] ? set->user_agent : INV_DEFAULT_AGENT;
}

static void put_agent(struct inv_out *out, const char *name, const struct inv_ctx *ctx)
{
	inv_put(out, name);
	inv_put(out, agent_name(ctx));
	inv_put(out, "\r\n");
}

/* ------------------------------------------------------------------ requests */

static void tx_destructor(void *arg)
{
	struct inv_tx *tx = arg;

	if (tx->inv->invite_tx == tx)
		tx->inv->invite_tx = NULL;
	if (tx->inv->update_tx == tx)
		tx->inv->update_tx = NULL;
	mem_deref(tx->req);
	mem_deref(tx->sent);
	mem_deref(tx->body);
	mem_deref(tx->hdrs);
	mem_deref(tx->ctype);
	mem_deref(tx->dlg);
	mem_deref(tx->inv);
}

/* libre wrote the address it is bound to, which is 0.0.0.0 on a wildcard and private behind NAT. */
static int correct_via(struct mbuf *mb, enum sip_transp tp, const struct sa *local)
{
	static const char via[] = "\r\nVia: SIP/2.0/";
	struct inv_out out = { .mb = mb };
	char tail[128];
	char *at, *branch;
	size_t len;

	at = memmem(mb->buf, mb->end, via, sizeof(via) - 1);
	if (!at)
		return EBADMSG;
	at += sizeof(via) - 1 + strlen(sip_transp_name(tp)) + 1;
	branch = memmem(at, (size_t)((char *)mb->buf + mb->end - at), ";branch=", 8);
	if (!branch)
		return EBADMSG;
	len = (size_t)((char *)mb->buf + mb->end - branch);
	if (len > sizeof(tail))
		return EOVERFLOW;
	memcpy(tail, branch, len);
	mb->pos = (size_t)(at - (char *)mb->buf);
	mb->end = mb->pos;
	inv_put_address(&out, local);
	inv_put_n(&out, tail, len);
	return out.err;
}

static int send_handler(enum sip_transp tp, const struct sa *src, const struct sa *dst,
			struct mbuf *mb, void *arg)
{
	struct inv_tx *tx = arg;
	struct inv_out out = { .mb = mb };
	struct sa local;

	inv_local_for(tx->inv->ctx, &local, tp, dst);
	if (!sa_cmp(&local, src, SA_ALL))
		out.err = correct_via(mb, tp, &local);
	if (tx->contact)
		put_contact(&out, tx->inv, &local, tp);
	tx->dst = *dst;
	tx->tp = tp;
	if (tx->method == INV_INVITE) {
		mem_deref(tx->sent);
		tx->sent = mem_ref(mb);
		if (!tx->inv->dlg->rtag && !tx->inv->has_dst) {
			tx->inv->peer = *dst;
			tx->inv->tp = tp;
		}
	}
	return out.err;
}

/* Requests that may change the target carry Contact (RFC 3261 section 12.2.1.1, RFC 3311). */
static bool refreshes_target(enum inv_method method)
{
	return method == INV_INVITE || method == INV_UPDATE;
}

static void put_session(struct inv_out *out, const struct inv *inv)
{
	if (!inv->se_s)
		return;
	inv_put(out, "Session-Expires: ");
	inv_put_number(out, inv->se_s);
	if (inv->refresher == INV_REFRESH_PEER)
		inv_put(out, ";refresher=uas");
	else
		inv_put(out, ";refresher=uac");
	inv_put(out, "\r\n");
	if (inv->min_se_s > INV_MIN_SE_S)
		inv_put_line_number(out, "Min-SE: ", inv->min_se_s);
}

/* RFC 4028 section 7.1: the first request leaves the choice of the refresher to the other side. */
static void put_session_offer(struct inv_out *out, const struct inv *inv)
{
	if (!inv->se_s)
		return;
	inv_put_line_number(out, "Session-Expires: ", inv->se_s);
	if (inv->min_se_s > INV_MIN_SE_S)
		inv_put_line_number(out, "Min-SE: ", inv->min_se_s);
}

static int write_request(struct mbuf *mb, struct inv *inv, const struct inv_dlg *dlg,
			 const struct inv_req *req, uint32_t cseq)
{
	struct inv_out out = { .mb = mb };
	const char *name = inv_method_name(req->method);
	int err;

	inv_put_line_number(&out, "Max-Forwards: ", inv->max_forwards ? inv->max_forwards : 70);
	inv_put_n(&out, dlg->head, dlg->head_len);
	inv_put(&out, inv->fixed);
	inv_put(&out, "CSeq: ");
	inv_put_number(&out, cseq);
	inv_put(&out, " ");
	inv_put(&out, name);
	inv_put(&out, "\r\n");
	put_agent(&out, "User-Agent: ", inv->ctx);
	if (inv->auth && !out.err) {
		err = inv_auth_write(mb, inv->auth, name, inv_dlg_target(dlg));
		if (err)
			return err;
	}
	if (refreshes_target(req->method)) {
		inv_put(&out, "Allow: ");
		inv_put(&out, inv_allow_text);
		/* Without our offer a reliable 1xx would bring theirs, to be answered in the
		 * PRACK: nobody needs that, so it is not invited. */
		inv_put(&out, req->body || req->method == INV_UPDATE
				      ? "\r\nSupported: 100rel, timer\r\n"
				      : "\r\nSupported: timer\r\n");
		if (dlg->rtag)
			put_session(&out, inv);
		else
			put_session_offer(&out, inv);
	}
	if (req->rack) {
		inv_put(&out, "RAck: ");
		inv_put(&out, req->rack);
		inv_put(&out, "\r\n");
	}
	put_reason(&out, req->q850);
	if (req->hdrs)
		inv_put(&out, req->hdrs);
	put_body(&out, req->ctype, req->body);
	mb->pos = 0;
	return -out.err;
}

int inv_send_request(struct inv_tx **ret, struct inv *inv, struct inv_dlg *dlg,
		     const struct inv_req *req)
{
	const char *name = inv_method_name(req->method);
	struct inv_tx *tx;
	struct mbuf *mb;
	struct inv_hop hop;
	int err;

	if (!inv->ctx->edge)
		return -ESHUTDOWN;
	err = inv_find_hop(&hop, inv, dlg);
	if (err)
		return err;
	tx = mem_zalloc(sizeof(*tx), tx_destructor);
	if (!tx)
		return -ENOMEM;
	tx->inv = mem_ref(inv);
	tx->dlg = mem_ref(dlg);
	tx->method = req->method;
	tx->cseq = ++inv->lseq;
	tx->tries = req->tries;
	tx->contact = refreshes_target(req->method);
	tx->has_offer = req->has_offer;
	tx->refresh = req->refresh;
	tx->initial = req->method == INV_INVITE && !dlg->rtag;
	tx->q850 = req->q850;

	mb = mbuf_alloc(1024 + (req->body ? strlen(req->body) : 0));
	if (!mb) {
		err = -ENOMEM;
		goto out;
	}
	err = write_request(mb, inv, dlg, req, tx->cseq);
	if (err)
		goto out;

	/* Kept only when the request may have to be sent again with credentials or another timer.
	 */
	if (inv->auth_user || (req->method == INV_INVITE && inv->se_s)) {
		err = inv_set_text(&tx->body, req->body, str_len(req->body));
		if (!err)
			err = inv_set_text(&tx->hdrs, req->hdrs, str_len(req->hdrs));
		if (!err)
			err = inv_set_text(&tx->ctype, req->ctype, str_len(req->ctype));
		if (err)
			goto out;
	}

	err = -sip_request(&tx->req, inv->ctx->sip, true, name, -1, inv_dlg_target(dlg), -1,
			   &hop.uri, mb, (size_t)inv, send_handler, inv_tx_response, tx);

out:
	mem_deref(mb);
	if (err) {
		mem_deref(tx);
		return err;
	}
	if (req->method == INV_INVITE)
		inv->invite_tx = tx;
	else if (req->method == INV_UPDATE)
		inv->update_tx = tx;
	if (ret)
		*ret = tx;
	return 0;
}

void inv_send_bye(struct inv *inv, struct inv_dlg *dlg, uint8_t q850)
{
	/* Nobody is left to hear of a failure: the dialog is over for us either way. */
	(void)inv_send_request(NULL, inv, dlg,
			       &(struct inv_req){ .method = INV_BYE, .q850 = q850 });
}

/*
 * The ACK of a 2xx is a transaction of its own (RFC 3261 section 13.2.2.4): kept and sent again for
 * every repetition of the 2xx. Without SDP to add, dlg may be one that is not ours to keep.
 */
int inv_send_ack(struct inv *inv, struct inv_dlg *dlg, uint32_t cseq, const char *sdp,
		 const struct sip_msg *resp, bool keep)
{
	struct inv_out out = { .mb = mbuf_alloc(768 + (sdp ? strlen(sdp) : 0)) };
	enum sip_transp tp;
	struct sa dst, local;
	char branch[24];
	int err;

	if (!out.mb)
		return -ENOMEM;
	inv_dialog_dst(inv, dlg, &dst, &tp);
	inv_local_for(inv->ctx, &local, tp, &dst);
	(void)re_snprintf(branch, sizeof(branch), "z9hG4bK%016llx", rand_u64());

	inv_put(&out, "ACK ");
	inv_put(&out, inv_dlg_target(dlg));
	inv_put(&out, " SIP/2.0\r\nVia: SIP/2.0/");
	inv_put(&out, sip_transp_name(tp));
	inv_put(&out, " ");
	inv_put_address(&out, &local);
	inv_put(&out, ";branch=");
	inv_put(&out, branch);
	inv_put(&out, ";rport\r\nMax-Forwards: 70\r\n");
	inv_put_n(&out, dlg->head, dlg->head_len);
	inv_put(&out, inv->fixed);
	inv_put(&out, "CSeq: ");
	inv_put_number(&out, cseq);
	inv_put(&out, " ACK\r\n");
	if (inv->auth && !out.err) /* section 22.1: the INVITE's credentials */
		out.err = -inv_auth_write(out.mb, inv->auth, "INVITE", inv_dlg_target(dlg));
	put_body(&out, NULL, sdp);
	out.mb->pos = 0;

	err = -out.err;
	if (!err)
		err = -sip_send(inv->ctx->sip, NULL, tp, &dst, out.mb);
	if (!err && keep) {
		mem_deref(inv->ack);
		inv->ack = mem_ref(out.mb);
		inv->ack_dst = dst;
		inv->ack_tp = tp;
	}
	mem_deref(out.mb);
	return err;
}

/*
 * CANCEL has the request URI, top Via, To, From, Call-ID and CSeq number of the INVITE (RFC 3261
 * section 9.1). Written by us because libre's carries no Reason: phones read there that somebody
 * else answered and list no missed call.
 */
int inv_send_cancel(struct inv *inv, uint16_t scode, uint8_t q850, const char *reason)
{
	static const char sip2[] = " SIP/2.0\r\n";
	const struct inv_tx *tx = inv->invite_tx;
	struct inv_out out = { 0 };
	const char *p, *end, *eol;
	int err;

	if (!tx || !tx->sent)
		return -ENOENT;
	out.mb = mbuf_alloc(768);
	if (!out.mb)
		return -ENOMEM;
	p = (const char *)tx->sent->buf;
	end = p + tx->sent->end;
	p += strlen("INVITE ");
	eol = memmem(p, (size_t)(end - p), sip2, sizeof(sip2) - 1);
	if (!eol) {
		mem_deref(out.mb);
		return -EBADMSG;
	}
	inv_put(&out, "CANCEL ");
	inv_put_n(&out, p, (size_t)(eol - p));
	p = eol + sizeof(sip2) - 1; /* the Via line comes next */
	eol = memmem(p, (size_t)(end - p), "\r\n", 2);
	inv_put(&out, sip2);
	inv_put_n(&out, p, eol ? (size_t)(eol + 2 - p) : 0);
	inv_put(&out, "Max-Forwards: 70\r\n");
	inv_put_n(&out, tx->dlg->head, tx->dlg->head_len);
	inv_put(&out, inv->fixed);
	inv_put(&out, "CSeq: ");
	inv_put_number(&out, tx->cseq);
	inv_put(&out, " CANCEL\r\n");
	if (scode >= 200) {
		inv_put(&out, "Reason: SIP;cause=");
		inv_put_number(&out, scode);
		if (reason && !strpbrk(reason, "\"\\\r\n")) {
			inv_put(&out, ";text=\"");
			inv_put(&out, reason);
			inv_put(&out, "\"");
		}
		inv_put(&out, "\r\n");
	}
	put_reason(&out, q850);
	put_agent(&out, "User-Agent: ", inv->ctx);
	put_body(&out, NULL, NULL);
	out.mb->pos = 0;

	err = -out.err;
	if (!err)
		err = -sip_send(inv->ctx->sip, NULL, tx->tp, &tx->dst, out.mb);
	if (!err) {
		mem_deref(inv->cancel);
		inv->cancel = mem_ref(out.mb);
		inv->cancel_dst = tx->dst;
		inv->cancel_tp = tx->tp;
	}
	mem_deref(out.mb);
	return err;
}

/* ------------------------------------------------------------------ responses */

/* Where ";rport" stands in the top Via. By hand: this runs for each response, and libre's search is
 * by regular expression. */
static bool has_rport(const struct sip_msg *msg, struct pl *rport)
{
	static const char name[] = ";rport";
	const char *p = msg->via.params.p, *end = p + msg->via.params.l;

	for (; p && end - p >= (ptrdiff_t)sizeof(name) - 1; ++p) {
		const char *after = p + sizeof(name) - 1;

		if (*p != ';' || strncasecmp(p, name, sizeof(name) - 1) ||
		    (after < end && *after != ';' && *after != '=' && *after != ' '))
			continue;
		rport->p = p;
		rport->l = sizeof(name) - 1;
		if (after < end && *after == '=') /* filled in by a hop before: replaced */
			rport->l += strcspn(after, "; ,\r\n");
		if (rport->p + rport->l > end)
			rport->l = (size_t)(end - p);
		return true;
	}
	return false;
}

/* RFC 3261 section 18.2.1, RFC 3581 section 4. */
static void put_top_via(struct inv_out *out, const struct sip_msg *msg, const struct sip_hdr *hdr)
{
	struct pl rport;
	char text[64];

	inv_put(out, "Via: ");
	if (has_rport(msg, &rport)) {
		inv_put_n(out, hdr->val.p, (size_t)(rport.p - hdr->val.p));
		inv_put_n(out, rport.p + rport.l,
			  (size_t)(hdr->val.p + hdr->val.l - rport.p - rport.l));
		inv_put(out, ";rport=");
		inv_put_number(out, sa_port(&msg->src));
	} else {
		inv_put_pl(out, &hdr->val);
	}
	if (!sa_ntop(&msg->src, text, sizeof(text))) {
		inv_put(out, ";received=");
		inv_put(out, text);
	}
	inv_put(out, "\r\n");
}

static void put_echoed(struct inv_out *out, const struct sip_msg *msg, const char *ltag,
		       const struct inv_reply *r)
{
	bool top = true;

	for (struct le *le = list_head(&msg->hdrl); le; le = le->next) {
		const struct sip_hdr *hdr = le->data;
		const bool adds_tag =
			hdr->id == SIP_HDR_TO && r->scode > 100 && !pl_isset(&msg->to.tag);

		if (hdr->id == SIP_HDR_VIA && top) {
			top = false;
			put_top_via(out, msg, hdr);
			continue;
		}
		if (hdr->id != SIP_HDR_VIA && hdr->id != SIP_HDR_TO && hdr->id != SIP_HDR_FROM &&
		    hdr->id != SIP_HDR_CALL_ID && hdr->id != SIP_HDR_CSEQ &&
		    !(hdr->id == SIP_HDR_RECORD_ROUTE && r->record_route))
			continue;
		inv_put_pl(out, &hdr->name);
		inv_put(out, ": ");
		inv_put_pl(out, &hdr->val);
		if (adds_tag) {
			inv_put(out, ";tag=");
			inv_put(out, ltag);
		}
		inv_put(out, "\r\n");
	}
}

/* Session-Expires of a 2xx (RFC 4028 section 9). */
static void put_session_answer(struct inv_out *out, const struct inv *inv)
{
	if (!inv->se_s || inv->refresher == INV_REFRESH_NONE)
		return;
	if (inv->refresher == INV_REFRESH_PEER)
		inv_put(out, "Require: timer\r\n");
	inv_put(out, "Session-Expires: ");
	inv_put_number(out, inv->se_s);
	inv_put(out,
		inv->refresher == INV_REFRESH_PEER ? ";refresher=uac\r\n" : ";refresher=uas\r\n");
}

int inv_reply_send(struct inv *inv, struct sip_strans **st, const struct sip_msg *msg,
		   const struct inv_reply *r, struct mbuf **sent)
{
	struct inv_out out = { .mb = mbuf_alloc(768 + (r->sdp ? strlen(r->sdp) : 0)) };
	struct sa dst, local;
	struct pl rport;
	int err;

	if (!out.mb)
		return -ENOMEM;
	inv_put(&out, "SIP/2.0 ");
	inv_put_number(&out, r->scode);
	inv_put(&out, " ");
	inv_put(&out, r->reason && *r->reason ? r->reason : inv_reason_text(r->scode));
	inv_put(&out, "\r\n");
	put_echoed(&out, msg, inv->ltag, r);
	put_agent(&out, "Server: ", inv->ctx);
	if (r->contact) {
		inv_local_for(inv->ctx, &local, msg->tp, &msg->src);
		put_contact(&out, inv, &local, msg->tp);
	}
	if (r->allow) {
		inv_put(&out, "Allow: ");
		inv_put(&out, inv_allow_text);
		inv_put(&out, "\r\nSupported: ");
		inv_put(&out, inv_supported_text);
		inv_put(&out, "\r\n");
	}
	if (r->rseq) {
		inv_put(&out, "Require: 100rel\r\n");
		inv_put_line_number(&out, "RSeq: ", r->rseq);
	}
	if (r->session)
		put_session_answer(&out, inv);
	if (r->retry_after_s)
		inv_put_line_number(&out, "Retry-After: ", r->retry_after_s - 1);
	put_reason(&out, r->q850);
	if (r->hdrs)
		inv_put(&out, r->hdrs);
	put_body(&out, NULL, r->sdp);
	out.mb->pos = 0;

	err = -out.err;
	if (!err) {
		sip_reply_addr(&dst, msg, has_rport(msg, &rport));
		if (r->scode >= 200)
			(void)mbuf_trim(out.mb); /* the transaction keeps it for 32 s */
		err = -sip_strans_reply(st, inv->ctx->sip, msg, &dst, r->scode, out.mb);
	}
	if (!err && sent)
		*sent = mem_ref(out.mb);
	if (!err && r->scode >= 300 && msg == inv->msg)
		decode_forget_headers(inv->msg);
	mem_deref(out.mb);
	return err;
}

int inv_refuse(struct inv_ctx *ctx, const struct sip_msg *msg, uint16_t scode, const char *reason,
	       const char *hdrs)
{
	return -sip_treplyf(NULL, NULL, ctx->sip, msg, false, scode, reason,
			    "%sContent-Length: 0\r\n\r\n", hdrs ? hdrs : "");
}

int inv_resend(struct inv *inv, const struct sip_msg *msg, struct mbuf *mb)
{
	struct pl rport;
	struct sa dst;

	sip_reply_addr(&dst, msg, has_rport(msg, &rport));
	mb->pos = 0;
	return -sip_send(inv->ctx->sip, msg->sock, msg->tp, &dst, mb);
}
