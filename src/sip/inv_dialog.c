/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <string.h>
#include "sip/edge.h"
#include "snapshot/snapshot.h"

/* Dialog state, and writing the requests and responses of a dialog. */

#define INV_DEFAULT_AGENT "Aoide"

/* ------------------------------------------------------------------ writing */

/* Writes on until the first error and remembers it. */
struct out {
	struct mbuf *mb;
	int err;
};

static void put_n(struct out *out, const char *text, size_t len)
{
	if (!out->err)
		out->err = mbuf_write_mem(out->mb, (const uint8_t *)text, len);
}

static void put(struct out *out, const char *text)
{
	put_n(out, text, strlen(text));
}

static void put_pl(struct out *out, const struct pl *pl)
{
	put_n(out, pl->p, pl->l);
}

static void put_number(struct out *out, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	put_n(out, digits + i, sizeof(digits) - i);
}

static void put_line_number(struct out *out, const char *name, uint64_t n)
{
	put(out, name);
	put_number(out, n);
	put(out, "\r\n");
}

/* "192.0.2.1:5060", "[2001:db8::1]:5060" */
static void put_address(struct out *out, const struct sa *addr)
{
	const bool v6 = sa_af(addr) == AF_INET6;
	char text[64];

	if (sa_ntop(addr, text, sizeof(text)))
		text[0] = '\0';
	if (v6)
		put(out, "[");
	put(out, text);
	put(out, v6 ? "]:" : ":");
	put_number(out, sa_port(addr));
}

static void put_contact(struct out *out, const struct inv *inv, const struct sa *local,
			enum sip_transp tp)
{
	put(out, "Contact: <sip:");
	if (inv->contact_user[0]) {
		put(out, inv->contact_user);
		put(out, "@");
	}
	put_address(out, local);
	put(out, sip_transp_param(tp));
	put(out, ">\r\n");
}

static void put_reason(struct out *out, uint8_t q850)
{
	if (!q850)
		return;
	put(out, "Reason: Q.850;cause=");
	put_number(out, q850);
	put(out, "\r\n");
}

static void put_body(struct out *out, const char *ctype, const char *body)
{
	const size_t len = body ? strlen(body) : 0;

	if (len) {
		put(out, "Content-Type: ");
		put(out, ctype ? ctype : "application/sdp");
		put(out, "\r\n");
	}
	put(out, "Content-Length: ");
	put_number(out, len);
	put(out, "\r\n\r\n");
	if (len)
		put_n(out, body, len);
}

static const char *agent_name(const struct inv_ctx *ctx)
{
	const struct snap *snap = edge_snap(ctx->edge);
	const struct snap_sip *set = snap ? snap_sip(snap) : NULL;

	return set && set->user_agent && set->user_agent[0] ? set->user_agent : INV_DEFAULT_AGENT;
}

static void put_agent(struct out *out, const char *name, const struct inv_ctx *ctx)
{
	put(out, name);
	put(out, agent_name(ctx));
	put(out, "\r\n");
}

/* ------------------------------------------------------------------ dialog state */

static void dlg_destructor(void *arg)
{
	struct inv_dlg *dlg = arg;

	list_unlink(&dlg->le);
	mem_deref(dlg->new_target);
}

/* A URI that we write into a request line: no blanks, no line ends. */
static bool is_plain_uri(const struct pl *uri)
{
	if (!uri->l || uri->l > INV_MAX_URI)
		return false;
	for (size_t i = 0; i < uri->l; i++) {
		const unsigned char c = (unsigned char)uri->p[i];

		if (c <= ' ' || c == 0x7f || c == '<' || c == '>')
			return false;
	}
	return true;
}

static int dlg_build(struct inv_dlg **ret, struct mbuf *head, const struct pl *target,
		     const struct pl *rtag)
{
	struct inv_dlg *dlg;
	char *text;

	if (head->end > INV_MAX_HEAD)
		return -EMSGSIZE;
	dlg = mem_zalloc(sizeof(*dlg) + head->end + target->l + rtag->l + 3, dlg_destructor);
	if (!dlg)
		return -ENOMEM;
	text = (char *)(dlg + 1);
	memcpy(text, head->buf, head->end);
	dlg->head = text;
	dlg->head_len = head->end;
	text += head->end + 1;
	memcpy(text, target->p, target->l);
	dlg->target = text;
	text += target->l + 1;
	if (rtag->l) {
		memcpy(text, rtag->p, rtag->l);
		dlg->rtag = text;
	}
	*ret = dlg;
	return 0;
}

int inv_dlg_initial(struct inv_dlg **ret, const char *target, const char *to_uri,
		    const char *const *routes, size_t n_routes)
{
	struct out out = { .mb = mbuf_alloc(256) };
	struct pl uri, no_tag = PL_INIT;
	int err;

	pl_set_str(&uri, target);
	if (!out.mb)
		return -ENOMEM;
	for (size_t i = 0; i < n_routes; i++) {
		const bool has_lr = strstr(routes[i], ";lr") != NULL;
		const bool has_angle = routes[i][0] == '<';

		put(&out, has_angle ? "Route: " : "Route: <");
		put(&out, routes[i]);
		put(&out, has_angle ? "\r\n" : has_lr ? ">\r\n" : ";lr>\r\n");
	}
	put(&out, "To: <");
	put(&out, to_uri);
	put(&out, ">\r\n");
	err = out.err ? -out.err : is_plain_uri(&uri) ? 0 : -EINVAL;
	if (!err)
		err = dlg_build(ret, out.mb, &uri, &no_tag);
	if (!err)
		(*ret)->has_route = n_routes > 0;
	mem_deref(out.mb);
	return err;
}

static bool route_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct out *out = arg;

	put(out, "Route: ");
	put_pl(out, &hdr->val);
	put(out, "\r\n");
	return out->mb->end > INV_MAX_HEAD;
}

/* The route set is the Record-Route as it stands in a request, reversed in a response (12.1). */
int inv_dlg_from_msg(struct inv_dlg **ret, const struct sip_msg *msg, const char *fallback_target)
{
	const struct sip_hdr *contact = sip_msg_hdr(msg, SIP_HDR_CONTACT);
	struct out out = { .mb = mbuf_alloc(256) };
	struct sip_addr addr;
	struct pl target = PL_INIT;
	int err;

	if (!out.mb)
		return -ENOMEM;
	if (contact && !sip_addr_decode(&addr, &contact->val) && is_plain_uri(&addr.auri))
		target = addr.auri;
	else if (fallback_target)
		pl_set_str(&target, fallback_target);
	if (!target.l) {
		err = -EBADMSG;
		goto out;
	}

	if (sip_msg_hdr_apply(msg, msg->req, SIP_HDR_RECORD_ROUTE, route_handler, &out)) {
		err = -EMSGSIZE;
		goto out;
	}
	put(&out, "To: ");
	put_pl(&out, msg->req ? &msg->from.val : &msg->to.val);
	put(&out, "\r\n");
	err = -out.err;
	if (!err)
		err = dlg_build(ret, out.mb, &target, msg->req ? &msg->from.tag : &msg->to.tag);
	if (!err)
		(*ret)->has_route = !strncmp((*ret)->head, "Route:", 6);

out:
	mem_deref(out.mb);
	return err;
}

void inv_dlg_refresh(struct inv_dlg *dlg, const struct sip_msg *msg)
{
	const struct sip_hdr *contact = sip_msg_hdr(msg, SIP_HDR_CONTACT);
	struct sip_addr addr;

	if (!contact || sip_addr_decode(&addr, &contact->val) || !is_plain_uri(&addr.auri))
		return;
	if (!pl_strcmp(&addr.auri, inv_dlg_target(dlg)))
		return;
	(void)inv_set_text(&dlg->new_target, addr.auri.p, addr.auri.l);
}

const char *inv_dlg_target(const struct inv_dlg *dlg)
{
	return dlg->new_target ? dlg->new_target : dlg->target;
}

/* The peer moved, or a connection was made anew: follow it. */
void inv_note_peer(struct inv *inv, const struct sip_msg *msg)
{
	inv->peer = msg->src;
	if (!inv->has_dst)
		inv->tp = msg->tp;
	else if (inv->tp == msg->tp && msg->req && msg->tp != SIP_TRANSP_UDP)
		inv->dst = msg->src;
}

/* ------------------------------------------------------------------ where to */

static bool transport_of(enum sip_transp *ret, const struct uri *uri)
{
	struct pl name;

	if (msg_param_decode(&uri->params, "transport", &name)) {
		*ret = pl_strcasecmp(&uri->scheme, "sips") ? SIP_TRANSP_UDP : SIP_TRANSP_TLS;
		return true;
	}
	for (int tp = SIP_TRANSP_UDP; tp < SIP_TRANSPC; tp++) {
		if (pl_strcasecmp(&name, sip_transp_name((enum sip_transp)tp)))
			continue;
		*ret = (enum sip_transp)tp;
		return true;
	}
	return false;
}

/* The first Route, or the target. */
static bool next_uri(struct uri *ret, const struct inv_dlg *dlg)
{
	struct sip_addr addr;
	struct pl pl;

	if (dlg->has_route) {
		const char *end = memchr(dlg->head, '\r', dlg->head_len);

		pl.p = dlg->head + 7;
		pl.l = end ? (size_t)(end - pl.p) : 0;
		if (sip_addr_decode(&addr, &pl))
			return false;
		*ret = addr.uri;
		return true;
	}
	pl_set_str(&pl, inv_dlg_target(dlg));
	return !uri_decode(ret, &pl);
}

/*
 * Where a request inside a dialog goes. By the book to the first Route or the remote target; but a
 * connection is used as long as it lives, and a phone behind NAT is reached only where its messages
 * come from. Names are not resolved again: the peer's address is known.
 */
static void dialog_dst(const struct inv *inv, const struct inv_dlg *dlg, struct sa *dst,
		       enum sip_transp *tp)
{
	struct uri uri;
	struct sa sa;

	*dst = inv->has_dst ? inv->dst : inv->peer;
	*tp = inv->tp;
	if (inv->has_dst || inv->tp != SIP_TRANSP_UDP)
		return;
	if (!next_uri(&uri, dlg) || !transport_of(tp, &uri) ||
	    sa_set(&sa, &uri.host, sip_transp_port(*tp, uri.port)) ||
	    (!dlg->has_route && !sa_cmp(&sa, &inv->peer, SA_ADDR))) {
		*tp = inv->tp;
		return;
	}
	*dst = sa;
}

int inv_dialog_hop(const struct inv *inv, struct sa *dst, enum sip_transp *tp)
{
	if (!inv->dlg || !inv->dlg->rtag)
		return -ENOENT;
	dialog_dst(inv, inv->dlg, dst, tp);
	return 0;
}

struct hop {
	struct uri uri;
	char host[64];
};

static int hop_from_dst(struct hop *hop, const struct sa *dst, enum sip_transp tp)
{
	static const char *const params[] = {
		[SIP_TRANSP_UDP] = ";transport=udp", [SIP_TRANSP_TCP] = ";transport=tcp",
		[SIP_TRANSP_TLS] = ";transport=tls", [SIP_TRANSP_WS] = ";transport=ws",
		[SIP_TRANSP_WSS] = ";transport=wss",
	};

	if ((int)tp < 0 || tp >= SIP_TRANSPC || sa_ntop(dst, hop->host, sizeof(hop->host)))
		return -EINVAL;
	memset(&hop->uri, 0, sizeof(hop->uri));
	pl_set_str(&hop->uri.scheme, "sip");
	pl_set_str(&hop->uri.host, hop->host);
	pl_set_str(&hop->uri.params, params[tp]);
	hop->uri.port = sa_port(dst);
	return 0;
}

static int find_hop(struct hop *hop, const struct inv *inv, const struct inv_dlg *dlg)
{
	enum sip_transp tp;
	struct sa dst;

	if (dlg->rtag || inv->has_dst) {
		dialog_dst(inv, dlg, &dst, &tp);
		return hop_from_dst(hop, &dst, tp);
	}
	if (!next_uri(&hop->uri, dlg))
		return -EINVAL;
	if (!pl_strcasecmp(&hop->uri.scheme, "sips")) { /* libre resolves sip: only */
		pl_set_str(&hop->uri.scheme, "sip");
		pl_set_str(&hop->uri.params, ";transport=tls");
	}
	return 0;
}

static void local_for(const struct inv_ctx *ctx, struct sa *ret, enum sip_transp tp,
		      const struct sa *dst)
{
	if (edge_local_addr(ctx->edge, ret, tp, dst) && sip_transp_laddr(ctx->sip, ret, tp, dst))
		sa_set_str(ret, "0.0.0.0", SIP_PORT);
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
	struct out out = { .mb = mb };
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
	put_address(&out, local);
	put_n(&out, tail, len);
	return out.err;
}

static int send_handler(enum sip_transp tp, const struct sa *src, const struct sa *dst,
			struct mbuf *mb, void *arg)
{
	struct inv_tx *tx = arg;
	struct out out = { .mb = mb };
	struct sa local;

	local_for(tx->inv->ctx, &local, tp, dst);
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

static void put_session(struct out *out, const struct inv *inv)
{
	if (!inv->se_s)
		return;
	put(out, "Session-Expires: ");
	put_number(out, inv->se_s);
	if (inv->refresher == INV_REFRESH_PEER)
		put(out, ";refresher=uas");
	else
		put(out, ";refresher=uac");
	put(out, "\r\n");
	if (inv->min_se_s > INV_MIN_SE_S)
		put_line_number(out, "Min-SE: ", inv->min_se_s);
}

/* RFC 4028 section 7.1: the first request leaves the choice of the refresher to the other side. */
static void put_session_offer(struct out *out, const struct inv *inv)
{
	if (!inv->se_s)
		return;
	put_line_number(out, "Session-Expires: ", inv->se_s);
	if (inv->min_se_s > INV_MIN_SE_S)
		put_line_number(out, "Min-SE: ", inv->min_se_s);
}

static int write_request(struct mbuf *mb, struct inv *inv, const struct inv_dlg *dlg,
			 const struct inv_req *req, uint32_t cseq)
{
	struct out out = { .mb = mb };
	const char *name = inv_method_name(req->method);
	int err;

	put_line_number(&out, "Max-Forwards: ", inv->max_forwards ? inv->max_forwards : 70);
	put_n(&out, dlg->head, dlg->head_len);
	put(&out, inv->fixed);
	put(&out, "CSeq: ");
	put_number(&out, cseq);
	put(&out, " ");
	put(&out, name);
	put(&out, "\r\n");
	put_agent(&out, "User-Agent: ", inv->ctx);
	if (inv->auth && !out.err) {
		err = inv_auth_write(mb, inv->auth, name, inv_dlg_target(dlg));
		if (err)
			return err;
	}
	if (refreshes_target(req->method)) {
		put(&out, "Allow: ");
		put(&out, inv_allow_text);
		/* Without our offer a reliable 1xx would bring theirs, to be answered in the
		 * PRACK: nobody needs that, so it is not invited. */
		put(&out, req->body || req->method == INV_UPDATE ? "\r\nSupported: 100rel, timer\r\n"
								 : "\r\nSupported: timer\r\n");
		if (dlg->rtag)
			put_session(&out, inv);
		else
			put_session_offer(&out, inv);
	}
	if (req->rack) {
		put(&out, "RAck: ");
		put(&out, req->rack);
		put(&out, "\r\n");
	}
	put_reason(&out, req->q850);
	if (req->hdrs)
		put(&out, req->hdrs);
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
	struct hop hop;
	int err;

	if (!inv->ctx->edge)
		return -ESHUTDOWN;
	err = find_hop(&hop, inv, dlg);
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

	/* Kept only when the request may have to be sent again with credentials or another timer. */
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
	struct out out = { .mb = mbuf_alloc(768 + (sdp ? strlen(sdp) : 0)) };
	enum sip_transp tp;
	struct sa dst, local;
	char branch[24];
	int err;

	if (!out.mb)
		return -ENOMEM;
	dialog_dst(inv, dlg, &dst, &tp);
	local_for(inv->ctx, &local, tp, &dst);
	(void)re_snprintf(branch, sizeof(branch), "z9hG4bK%016llx", rand_u64());

	put(&out, "ACK ");
	put(&out, inv_dlg_target(dlg));
	put(&out, " SIP/2.0\r\nVia: SIP/2.0/");
	put(&out, sip_transp_name(tp));
	put(&out, " ");
	put_address(&out, &local);
	put(&out, ";branch=");
	put(&out, branch);
	put(&out, ";rport\r\nMax-Forwards: 70\r\n");
	put_n(&out, dlg->head, dlg->head_len);
	put(&out, inv->fixed);
	put(&out, "CSeq: ");
	put_number(&out, cseq);
	put(&out, " ACK\r\n");
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
	struct out out = { 0 };
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
	put(&out, "CANCEL ");
	put_n(&out, p, (size_t)(eol - p));
	p = eol + sizeof(sip2) - 1; /* the Via line comes next */
	eol = memmem(p, (size_t)(end - p), "\r\n", 2);
	put(&out, sip2);
	put_n(&out, p, eol ? (size_t)(eol + 2 - p) : 0);
	put(&out, "Max-Forwards: 70\r\n");
	put_n(&out, tx->dlg->head, tx->dlg->head_len);
	put(&out, inv->fixed);
	put(&out, "CSeq: ");
	put_number(&out, tx->cseq);
	put(&out, " CANCEL\r\n");
	if (scode >= 200) {
		put(&out, "Reason: SIP;cause=");
		put_number(&out, scode);
		if (reason && !strpbrk(reason, "\"\\\r\n")) {
			put(&out, ";text=\"");
			put(&out, reason);
			put(&out, "\"");
		}
		put(&out, "\r\n");
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

static bool has_rport(const struct sip_msg *msg, struct pl *rport)
{
	return !msg_param_exists(&msg->via.params, "rport", rport);
}

/* RFC 3261 section 18.2.1, RFC 3581 section 4. */
static void put_top_via(struct out *out, const struct sip_msg *msg, const struct sip_hdr *hdr)
{
	struct pl rport;
	char text[64];

	put(out, "Via: ");
	if (has_rport(msg, &rport)) {
		put_n(out, hdr->val.p, (size_t)(rport.p - hdr->val.p));
		put_n(out, rport.p + rport.l, (size_t)(hdr->val.p + hdr->val.l - rport.p - rport.l));
		put(out, ";rport=");
		put_number(out, sa_port(&msg->src));
	}
	else {
		put_pl(out, &hdr->val);
	}
	if (!sa_ntop(&msg->src, text, sizeof(text))) {
		put(out, ";received=");
		put(out, text);
	}
	put(out, "\r\n");
}

static void put_echoed(struct out *out, const struct sip_msg *msg, const char *ltag,
		       const struct inv_reply *r)
{
	bool top = true;

	for (struct le *le = list_head(&msg->hdrl); le; le = le->next) {
		const struct sip_hdr *hdr = le->data;
		const bool adds_tag = hdr->id == SIP_HDR_TO && r->scode > 100 &&
				      !pl_isset(&msg->to.tag);

		if (hdr->id == SIP_HDR_VIA && top) {
			top = false;
			put_top_via(out, msg, hdr);
			continue;
		}
		if (hdr->id != SIP_HDR_VIA && hdr->id != SIP_HDR_TO && hdr->id != SIP_HDR_FROM &&
		    hdr->id != SIP_HDR_CALL_ID && hdr->id != SIP_HDR_CSEQ &&
		    !(hdr->id == SIP_HDR_RECORD_ROUTE && r->record_route))
			continue;
		put_pl(out, &hdr->name);
		put(out, ": ");
		put_pl(out, &hdr->val);
		if (adds_tag) {
			put(out, ";tag=");
			put(out, ltag);
		}
		put(out, "\r\n");
	}
}

/* Session-Expires of a 2xx (RFC 4028 section 9). */
static void put_session_answer(struct out *out, const struct inv *inv)
{
	if (!inv->se_s || inv->refresher == INV_REFRESH_NONE)
		return;
	if (inv->refresher == INV_REFRESH_PEER)
		put(out, "Require: timer\r\n");
	put(out, "Session-Expires: ");
	put_number(out, inv->se_s);
	put(out, inv->refresher == INV_REFRESH_PEER ? ";refresher=uac\r\n" : ";refresher=uas\r\n");
}

int inv_reply_send(struct inv *inv, struct sip_strans **st, const struct sip_msg *msg,
		   const struct inv_reply *r, struct mbuf **sent)
{
	struct out out = { .mb = mbuf_alloc(768 + (r->sdp ? strlen(r->sdp) : 0)) };
	struct sa dst, local;
	struct pl rport;
	int err;

	if (!out.mb)
		return -ENOMEM;
	put(&out, "SIP/2.0 ");
	put_number(&out, r->scode);
	put(&out, " ");
	put(&out, r->reason && *r->reason ? r->reason : inv_reason_text(r->scode));
	put(&out, "\r\n");
	put_echoed(&out, msg, inv->ltag, r);
	put_agent(&out, "Server: ", inv->ctx);
	if (r->contact) {
		local_for(inv->ctx, &local, msg->tp, &msg->src);
		put_contact(&out, inv, &local, msg->tp);
	}
	if (r->allow) {
		put(&out, "Allow: ");
		put(&out, inv_allow_text);
		put(&out, "\r\nSupported: ");
		put(&out, inv_supported_text);
		put(&out, "\r\n");
	}
	if (r->rseq) {
		put(&out, "Require: 100rel\r\n");
		put_line_number(&out, "RSeq: ", r->rseq);
	}
	if (r->session)
		put_session_answer(&out, inv);
	if (r->retry_after_s)
		put_line_number(&out, "Retry-After: ", r->retry_after_s - 1);
	put_reason(&out, r->q850);
	if (r->hdrs)
		put(&out, r->hdrs);
	put_body(&out, NULL, r->sdp);
	out.mb->pos = 0;

	err = -out.err;
	if (!err) {
		sip_reply_addr(&dst, msg, has_rport(msg, &rport));
		err = -sip_strans_reply(st, inv->ctx->sip, msg, &dst, r->scode, out.mb);
	}
	if (!err && sent)
		*sent = mem_ref(out.mb);
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
