/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "base/re.h"
#include "sip/digest.h"
#include "sip/edge.h"
#include "sip/edge_priv.h"
#include "sip/registrar_priv.h"
#include "sip/trace.h"
#include "snapshot/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * One datagram through the edge: libre's parser, our checks, the registrar as if the password had
 * been right (it is called directly), digest parsing and the trace. The edge has no socket; that
 * sending fails is part of the test.
 */
static struct edge *edge_once(void)
{
	static struct edge *edge;
	struct arena *sip_arena = NULL, *arena = NULL;
	struct snap_account *account;
	struct snap_tenant *tenant;
	struct snap_sip *sip;
	struct snap *snap = NULL;

	if (edge)
		return edge;
	(void)log_level_set("*", "error");
	if (libre_init() || snap_alloc(&snap) || arena_alloc(&sip_arena, 4096) ||
	    arena_alloc(&arena, 4096))
		abort();
	sip = arena_zalloc(sip_arena, sizeof(*sip));
	*sip = (struct snap_sip){ .realm = "aoide", .user_agent = "Aoide", .min_expires_s = 60,
		.max_expires_s = 3600, .options_interval_s = 25 };
	tenant = arena_zalloc(arena, sizeof(*tenant));
	account = arena_zalloc(arena, sizeof(*account));
	*account = (struct snap_account){ .id = 1, .username = "a", .enabled = true,
		.max_contacts = 3, .transports = 0x1f, .tenant = tenant, .nat = true };
	*tenant = (struct snap_tenant){ .id = 1, .domain = "t", .arena = arena, .refs = 1,
		.n_accounts = 1, .accounts = account };
	snap_swap_sip(snap, sip, sip_arena);
	if (snap_swap(snap, 1, tenant) || edge_alloc(&edge, &(struct edge_opts){ .snap = snap }))
		abort();
	return edge;
}

static void trace(struct edge *edge, const struct sip_msg *msg)
{
	char callid[128];
	const char *ids[] = { callid };
	uint8_t *pcap = NULL;
	char *text = NULL;
	size_t len;

	if (pl_strcpy(&msg->callid, callid, sizeof(callid)))
		return;
	if (!edge_trace_text(edge, &text, ids, 1) && !text)
		abort();
	if (!edge_trace_pcap(edge, &pcap, &len, ids, 1) && len < 24)
		abort();
	free(text);
	free(pcap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct edge *edge = edge_once();
	const struct snap_account *account = snap_account_find(edge_snap(edge), "a", 1);
	struct sip_msg *msg = NULL;
	struct digest_creds creds;
	struct mbuf *mb;
	struct pl pl = { .p = (const char *)data, .l = size };

	(void)digest_parse(&creds, &pl);
	if (!size || size > EDGE_MAX_MESSAGE)
		return 0;
	mb = mbuf_alloc(size);
	if (!mb)
		return 0;
	(void)mbuf_write_mem(mb, data, size);
	mb->pos = 0;
	if (!sip_msg_decode(&msg, mb)) {
		sa_set_str(&msg->src, "192.0.2.1", 5060);
		sa_set_str(&msg->dst, "192.0.2.2", 5060);
		msg->tp = SIP_TRANSP_UDP;
		trace_add(edge->trace, false, msg->tp, &msg->src, &msg->dst, data, size);
		if (msg->req) {
			(void)edge_request(msg, edge);
			if (pl_isset(&msg->callid) && pl_isset(&msg->via.branch))
				registrar_request(edge_registrar(edge), msg, account, DIGEST_MD5);
			if (data[size - 1] % 64 == '\n') /* it looks at thousands of messages */
				trace(edge, msg);
		} else {
			(void)edge_response(msg, edge);
		}
	}
	mem_deref(msg);
	mem_deref(mb);
	return 0;
}
