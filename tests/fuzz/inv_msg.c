/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "sip/inv.h"
#include "sip/inv_priv.h"
#include "sip/edge_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern struct list *tmrl_get(void); /* libre's, of this thread */

/*
 * A call by a hostile phone: messages divided by NUL, the first an INVITE, the others whatever,
 * inside the dialog when their To tag is 00000000000000aa. The owner rings with SDP, answers,
 * accepts offers.
 */
#define FUZZ_MAX_MESSAGES 16
#define FUZZ_FORGET_EVERY 64 /* inputs after which libre's transactions are let time out */

static struct edge *edge;
static struct inv *call;

static void on_event(const struct inv_event *ev, void *arg)
{
	switch (ev->type) {
	case INV_EV_OFFER:
		(void)inv_reanswer(ev->inv, 200, NULL, "v=0\r\n");
		break;
	case INV_EV_IDENTITY:
		(void)inv_tell(ev->inv, "X-Test: 1\r\n");
		break;
	case INV_EV_REFER:
		(void)inv_refer_reply(ev->inv, 501, NULL);
		break;
	case INV_EV_ENDED:
		call = mem_deref(call);
		break;
	case INV_EV_PROGRESS:
	case INV_EV_ANSWERED:
	case INV_EV_REANSWER:
	case INV_EV_ACK:
	case INV_EV_INFO:
		break;
	}
}

static void start(void)
{
	const struct edge_opts opts = { .listen = "127.0.0.1" };
	struct sa laddr;

	if (libre_init())
		abort();
	(void)log_level_set("*", "error");
	clk_drive(1000000);
	if (edge_alloc(&edge, &opts))
		abort();
	sa_set_str(&laddr, "127.0.0.1", 0);
	if (sip_transp_add(edge_sip(edge), SIP_TRANSP_UDP, &laddr))
		abort();
}

static void message(const uint8_t *data, size_t size, bool first)
{
	struct mbuf *mb = mbuf_alloc(size + 1);
	struct sip_msg *msg = NULL;
	char text[200];
	struct inv_identity who;
	struct pl pl;

	if (!mb)
		return;
	(void)mbuf_write_mem(mb, data, size);
	mb->pos = 0;
	if (sip_msg_decode(&msg, mb))
		goto out;
	/* What the edge has checked before: these are there, and a request's tag is its own. */
	if (!msg->callid.p || !msg->cseq.met.p || !msg->via.branch.p || !msg->from.val.p ||
	    !msg->to.val.p)
		goto out;
	msg->tp = SIP_TRANSP_UDP;
	msg->tag = 0xaa;
	sa_set_str(&msg->src, "127.0.0.1", 9);
	msg->dst = msg->src;

	(void)inv_msg_unknown_require(msg, text, sizeof(text));
	(void)inv_msg_q850(msg);
	(void)inv_redirect_user(text, sizeof(text), msg);
	(void)inv_asserted(&who, msg);
	(void)edge_pedantic(msg);
	if (!msg->req) {
		if (edge->dialog_h)
			(void)edge->dialog_h(msg, edge->dialog_arg);
		goto out;
	}
	if (first && !call) {
		if (!inv_accept(&call, edge, msg, "us", on_event, NULL)) {
			(void)inv_progress(call, 183, NULL, "v=0\r\n", NULL);
			(void)inv_msg_sdp(&pl, msg);
		}
	} else if (edge->dialog_h) {
		(void)edge->dialog_h(msg, edge->dialog_arg);
		if (call)
			(void)inv_answer(call, "v=0\r\n", NULL);
	}

out:
	mem_deref(msg);
	mem_deref(mb);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned runs;
	char state[INV_STATE_MAX];
	size_t n = 0;
	int state_len;

	if (!edge)
		start();
	while (size && n++ < FUZZ_MAX_MESSAGES) {
		const uint8_t *end = memchr(data, 0, size);
		const size_t len = end ? (size_t)(end - data) : size;

		message(data, len, n == 1);
		tmr_poll(tmrl_get());
		size -= end ? len + 1 : len;
		data += end ? len + 1 : len;
	}
	state_len = call ? inv_export(call, state, sizeof(state)) : 0;
	if (state_len > 0)
		(void)inv_bye_exported(edge, state, (size_t)state_len);
	inv_close(edge);
	call = mem_deref(call);
	if (++runs % FUZZ_FORGET_EVERY == 0) {
		clk_advance_ms(70000);
		tmr_poll(tmrl_get());
	}
	return 0;
}
