/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "base/log.h"
#include "sip/edge_priv.h"
#include "sip/inv.h"

/*
 * What the dialogs alone cost: each INVITE from anyone becomes a call to one fixed address, SDP is
 * handed on as it is. No accounts, no media, no CDR. `bench_inv PORT DEST_PORT`, driven by sipp; on
 * SIGINT it prints the calls and the CPU of each.
 */
struct bench {
	struct edge *edge;
	struct sa dst;
	unsigned long calls, failed;
};

struct leg {
	struct bench *bench;
	struct inv *inv;
	struct leg *other;
	bool called;
};

static void on_event(const struct inv_event *ev, void *arg)
{
	struct leg *leg = arg, *other = leg->other;
	char sdp[4096] = "";

	(void)pl_strcpy(&ev->sdp, sdp, sizeof(sdp));
	switch (ev->type) {
	case INV_EV_PROGRESS:
		if (other)
			(void)inv_progress(other->inv, ev->scode, NULL, *sdp ? sdp : NULL, NULL);
		break;
	case INV_EV_ANSWERED:
		if (other)
			(void)inv_answer(other->inv, sdp, NULL);
		break;
	case INV_EV_ENDED:
		if (other) {
			inv_end(other->inv, ev->scode, NULL, ev->q850);
			other->other = NULL;
		}
		leg->bench->failed += leg->called && ev->scode != 200;
		mem_deref(leg->inv);
		free(leg);
		break;
	case INV_EV_OFFER:
		if (other)
			(void)inv_reoffer(other->inv, *sdp ? sdp : NULL, NULL);
		break;
	case INV_EV_REANSWER:
		if (other)
			(void)inv_reanswer(other->inv, ev->scode, NULL, *sdp ? sdp : NULL);
		break;
	case INV_EV_ACK:
		if (other && *sdp)
			(void)inv_ack(other->inv, sdp);
		break;
	case INV_EV_INFO:
	case INV_EV_IDENTITY:
	case INV_EV_REFER:
		break;
	}
}

static void on_invite(struct bench *bench, const struct sip_msg *msg)
{
	struct leg *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
	char sdp[4096];
	struct pl body = { .p = (const char *)mbuf_buf(msg->mb), .l = mbuf_get_left(msg->mb) };

	a->bench = b->bench = bench;
	b->called = true;
	if (inv_accept(&a->inv, bench->edge, msg, "bench", on_event, a)) {
		free(a);
		free(b);
		return;
	}
	(void)pl_strcpy(&body, sdp, sizeof(sdp));
	bench->calls++;
	if (inv_invite(&b->inv, bench->edge,
		       &(struct inv_invite_opts){ .ruri = "sip:callee@127.0.0.1",
						  .from_uri = "sip:caller@127.0.0.1",
						  .contact_user = "bench",
						  .dst = &bench->dst,
						  .tp = SIP_TRANSP_UDP,
						  .sdp = *sdp ? sdp : NULL },
		       on_event, b)) {
		bench->failed++;
		free(b);
		inv_end(a->inv, 503, NULL, 0);
		return;
	}
	a->other = b;
	b->other = a;
}

static bool on_request(const struct sip_msg *msg, void *arg)
{
	struct bench *bench = arg;
	struct edge *edge = bench->edge;

	if (pl_isset(&msg->to.tag) && edge->dialog_h && edge->dialog_h(msg, edge->dialog_arg))
		return true;
	if (!pl_strcmp(&msg->met, "INVITE") && !pl_isset(&msg->to.tag))
		on_invite(bench, msg);
	else if (pl_strcmp(&msg->met, "ACK"))
		(void)sip_treply(NULL, edge->sip, msg, 481, "Gone");
	return true;
}

static void on_signal(int sig)
{
	re_cancel();
}

int main(int argc, char **argv)
{
	struct bench bench = { 0 };
	struct edge_opts opts = { .listen = "127.0.0.1" };
	struct rusage use;
	double cpu_s;

	if (argc != 3) {
		fprintf(stderr, "usage: bench_inv PORT DEST_PORT\n");
		return 2;
	}
	if (libre_init())
		return 1;
	(void)log_level_set("*", "error");
	opts.udp_port = (uint16_t)atoi(argv[1]);
	sa_set_str(&bench.dst, "127.0.0.1", (uint16_t)atoi(argv[2]));
	if (fd_setsize(1024) || edge_alloc(&bench.edge, &opts))
		return 1;
	bench.edge->lsnr_req = mem_deref(bench.edge->lsnr_req);
	if (sip_listen(&bench.edge->lsnr_req, bench.edge->sip, true, on_request, &bench))
		return 1;
	(void)re_main(on_signal);

	getrusage(RUSAGE_SELF, &use);
	cpu_s = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
		(double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
	printf("calls %lu failed %lu cpu_ms_per_call %.3f rss_kb %ld lingering %u\n", bench.calls,
	       bench.failed, bench.calls ? cpu_s * 1000 / (double)bench.calls : 0.0, use.ru_maxrss,
	       inv_count(bench.edge));
	inv_close(bench.edge);
	edge_close(bench.edge);
	libre_close();
	return 0;
}
