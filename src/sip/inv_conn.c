/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include "base/log.h"
#include "sip/edge_priv.h"
#include "sip/transp_guard.h"

/*
 * The connection that an INVITE came in by, or went out by, while it waits for its final response. libre tells
 * nobody that one was closed, and a stream has no retransmissions that would notice.
 *
 * A closed connection alone is no end: proxies close idle ones, and either side may open another (RFC 3261
 * sections 18.1.1 and 18.2.2). So one is opened to where the other side listens. When that fails, the INVITE has
 * failed as by any transport error (section 8.1.3.1: 503); a caller counts as having cancelled. A browser
 * listens nowhere.
 */
#define LOOK_MS   500
#define MAX_LOOKS 8    /* that opening another one may take */

/* Where what belongs to the INVITE goes. False: it waits no more. */
static bool find_hop(const struct inv *inv, enum sip_transp *tp, struct sa *dst)
{
	const struct inv_tx *tx = inv->invite_tx;

	if (inv->state == INV_ST_INCOMING && inv->st) {
		*tp = inv->msg->tp;
		sip_reply_addr(dst, inv->msg, true);
		return true;
	}
	if (inv->state != INV_ST_CALLING || inv->cancelled || !tx)
		return false;

	*tp = tx->sent ? tx->tp : SIP_TRANSP_NONE; /* a name is still being resolved */
	*dst = tx->dst;
	return true;
}

static enum guard_conn look_at(const struct inv *inv, enum sip_transp tp, const struct sa *dst)
{
	if (tp == SIP_TRANSP_NONE || (inv->state == INV_ST_INCOMING && sip_msg_tcpconn(inv->msg)))
		return GUARD_CONN_UP;
	return guard_conn_state(inv->ctx->edge->guard, tp, dst);
}

/* RFC 5626 section 4.4.1: what every stream may carry opens it. */
static void open_another(const struct inv *inv, enum sip_transp tp, const struct sa *dst)
{
	struct mbuf *mb = mbuf_alloc(4);

	if (mb && !mbuf_write_str(mb, "\r\n\r\n")) {
		mb->pos = 0;
		(void)sip_send(inv->ctx->sip, NULL, tp, dst, mb);
	}
	mem_deref(mb);
}

static void fail(struct inv *inv, enum sip_transp tp, const struct sa *dst)
{
	log_info("sip.conn_lost", "the connection of a call that is not answered yet was closed",
		 kv_text("callid", inv->callid), kv_text("transport", sip_transp_name(tp)), kv_sa("peer", dst));
	if (inv->state == INV_ST_INCOMING) {
		inv->st = mem_deref(inv->st); /* there is nobody to answer */
		inv_finish_text(inv, 487, NULL, 16, true);
		return;
	}

	/* Should it still ring somewhere: what answers later is ended. */
	inv->cancelled = true;
	if (inv->invite_tx->provisional && !inv_send_cancel(inv, 0, 0, NULL))
		inv_repeat(inv, inv->cancel, NULL);
	inv_finish_text(inv, 503, NULL, 0, false);
}

static void look_handler(void *arg)
{
	struct inv *inv = arg;
	enum guard_conn state;
	enum sip_transp tp;
	struct sa dst;

	if (!inv->ctx->edge || !find_hop(inv, &tp, &dst) || tp == SIP_TRANSP_UDP)
		return;

	state = look_at(inv, tp, &dst);
	if (state == GUARD_CONN_UP)
		inv->conn_looks = 0;
	else if (inv->conn_looks)
		inv->conn_looks++;
	if (state == GUARD_CONN_NONE && !inv->conn_looks && tp != SIP_TRANSP_WS && tp != SIP_TRANSP_WSS) {
		inv->conn_looks = 1;
		open_another(inv, tp, &dst);
	} else if (state == GUARD_CONN_NONE || inv->conn_looks > MAX_LOOKS) {
		mem_ref(inv);
		fail(inv, tp, &dst);
		mem_deref(inv);
		return;
	}
	tmr_start(&inv->tmr_conn, LOOK_MS, look_handler, inv);
}

void inv_watch_conn(struct inv *inv)
{
	tmr_start(&inv->tmr_conn, LOOK_MS, look_handler, inv);
}
