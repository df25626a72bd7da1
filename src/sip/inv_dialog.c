/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <string.h>
#include "sip/edge.h"

/* What a dialog knows, where its requests go, and how text gets into a message. */

void inv_put_grown(struct inv_out *out, const char *text, size_t len)
{
	if (!out->err)
		out->err = mbuf_write_mem(out->mb, (const uint8_t *)text, len);
}

void inv_put_pl(struct inv_out *out, const struct pl *pl)
{
	inv_put_n(out, pl->p, pl->l);
}

void inv_put_number(struct inv_out *out, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	inv_put_n(out, digits + i, sizeof(digits) - i);
}

void inv_put_line_number(struct inv_out *out, const char *name, uint64_t n)
{
	inv_put(out, name);
	inv_put_number(out, n);
	inv_put(out, "\r\n");
}

/* "192.0.2.1:5060", "[2001:db8::1]:5060" */
void inv_put_address(struct inv_out *out, const struct sa *addr)
{
	const bool v6 = sa_af(addr) == AF_INET6;
	char text[64];

	if (sa_ntop(addr, text, sizeof(text)))
		text[0] = '\0';
	if (v6)
		inv_put(out, "[");
	inv_put(out, text);
	inv_put(out, v6 ? "]:" : ":");
	inv_put_number(out, sa_port(addr));
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
	struct inv_out out = { .mb = mbuf_alloc(256) };
	struct pl uri, no_tag = PL_INIT;
	int err;

	pl_set_str(&uri, target);
	if (!out.mb)
		return -ENOMEM;
	for (size_t i = 0; i < n_routes; i++) {
		const bool has_lr = strstr(routes[i], ";lr") != NULL;
		const bool has_angle = routes[i][0] == '<';

		inv_put(&out, has_angle ? "Route: " : "Route: <");
		inv_put(&out, routes[i]);
		inv_put(&out, has_angle ? "\r\n" : has_lr ? ">\r\n" : ";lr>\r\n");
	}
	inv_put(&out, "To: <");
	inv_put(&out, to_uri);
	inv_put(&out, ">\r\n");
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
	struct inv_out *out = arg;

	inv_put(out, "Route: ");
	inv_put_pl(out, &hdr->val);
	inv_put(out, "\r\n");
	return out->mb->end > INV_MAX_HEAD;
}

/* The route set is the Record-Route as it stands in a request, reversed in a response (12.1). */
int inv_dlg_from_msg(struct inv_dlg **ret, const struct sip_msg *msg, const char *fallback_target)
{
	const struct sip_hdr *contact = sip_msg_hdr(msg, SIP_HDR_CONTACT);
	struct inv_out out = { .mb = mbuf_alloc(256) };
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
	inv_put(&out, "To: ");
	inv_put_pl(&out, msg->req ? &msg->from.val : &msg->to.val);
	inv_put(&out, "\r\n");
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
void inv_dialog_dst(const struct inv *inv, const struct inv_dlg *dlg, struct sa *dst,
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
	inv_dialog_dst(inv, inv->dlg, dst, tp);
	return 0;
}

static int hop_from_dst(struct inv_hop *hop, const struct sa *dst, enum sip_transp tp)
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

int inv_find_hop(struct inv_hop *hop, const struct inv *inv, const struct inv_dlg *dlg)
{
	enum sip_transp tp;
	struct sa dst;

	if (dlg->rtag || inv->has_dst) {
		inv_dialog_dst(inv, dlg, &dst, &tp);
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

void inv_local_for(const struct inv_ctx *ctx, struct sa *ret, enum sip_transp tp,
		   const struct sa *dst)
{
	if (edge_local_addr(ctx->edge, ret, tp, dst) && sip_transp_laddr(ctx->sip, ret, tp, dst))
		sa_set_str(ret, "0.0.0.0", SIP_PORT);
}
