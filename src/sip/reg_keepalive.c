/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "snapshot/snapshot.h"
#include "sip/edge_priv.h"
#include "sip/registrar_priv.h"
#include "sip/transp_guard.h"

/*
 * Keeps the way to a contact open (BASE-46, D-077). A NAT's mapping lives on any packet, so most of
 * them are the four bytes of a CRLF pair, which cost nothing on either side; each eighth is an
 * OPTIONS, which measures the round trip and, on a connection, makes libre's idle timer start anew
 * (it closes what is silent for 15 minutes, and many phones never ping).
 */
#define OPTIONS_EVERY     8
#define DEFAULT_PERIOD_S  25
#define CONN_WATCH_S      4000000u /* libre's own ping: nearly never, half of the phones would not answer it */
#define CONN_IDLE_MS      (15 * 60 * 1000)

static uint32_t period_ms(const struct binding *binding)
{
	const struct snap_sip *set = snap_sip(binding->reg->snap);
	uint32_t s = set && set->options_interval_s ? set->options_interval_s : DEFAULT_PERIOD_S;

	return binding->nat ? 1000 * s : 1000 * s * OPTIONS_EVERY;
}

void keepalive_start(struct binding *binding)
{
	uint32_t period;

	if (!binding->nat && !binding->conn) {
		wheel_clear(&binding->keepalive);
		return;
	}
	if (binding->keepalive.le.list)
		return;
	/* Spread, or all phones of a restart would be pinged in the same tick. */
	period = period_ms(binding);
	wheel_set(&binding->reg->keepalive, &binding->keepalive,
		  clk_mono_ms() + 1000 + rand_u32() % period, binding);
}

static void send_crlf(struct binding *binding)
{
	struct mbuf *mb = mbuf_alloc(4);

	if (!mb)
		return;
	if (!mbuf_write_str(mb, "\r\n\r\n")) {
		mb->pos = 0;
		/* An unreachable host shows by its expiry. */
		(void)sip_send(binding->reg->sip, NULL, binding->c.tp, &binding->c.dst, mb);
	}
	mem_deref(mb);
}

static void options_response(int err, const struct sip_msg *msg, void *arg)
{
	struct binding *binding = arg;

	if (msg && msg->scode < 200)
		return;
	if (msg) {
		binding->c.rtt_us = (uint32_t)(clk_mono_us() - binding->options_us);
		guard_conn_touch(binding->reg->edge->guard, msg, CONN_IDLE_MS);
		return;
	}
	if (binding->c.rtt_us)
		log_info("sip.contact_silent", "the contact does not answer OPTIONS",
			 kv_text("account", binding->c.username), kv_sa("contact", &binding->c.dst),
			 kv_err(err));
	binding->c.rtt_us = 0;
}

static void send_options(struct binding *binding)
{
	struct registrar *reg = binding->reg;
	char route_text[96];
	struct pl route_pl;
	struct uri route;
	struct sa local;

	if (binding->options || edge_local_addr(reg->edge, &local, binding->c.tp, &binding->c.dst))
		return;
	(void)re_snprintf(route_text, sizeof(route_text), "sip:%J;transport=%s", &binding->c.dst,
			  (const char *[]){ "udp", "tcp", "tls", "ws", "wss" }[binding->c.tp]);
	pl_set_str(&route_pl, route_text);
	if (uri_decode(&route, &route_pl))
		return;

	binding->options_us = clk_mono_us();
	(void)sip_requestf(&binding->options, reg->sip, true, "OPTIONS", binding->c.uri, &route,
			   NULL, NULL, options_response, binding,
			   "From: <sip:%J>;tag=%08x\r\n"
			   "To: <%s>\r\n"
			   "Call-ID: %016llx\r\n"
			   "CSeq: 1 OPTIONS\r\n"
			   "Contact: <sip:%J%s>\r\n"
			   "Accept: application/sdp\r\n"
			   "Content-Length: 0\r\n\r\n",
			   &local, rand_u32(), binding->c.uri, rand_u64(), &local,
			   sip_transp_param(binding->c.tp));
}

/* The connection of a contact is gone: the phone may listen where its Contact says, or it has to
 * register again. */
static void conn_lost(struct binding *binding)
{
	struct pl pl;
	struct uri uri;
	struct sa dst;

	binding->conn_watch = mem_deref(binding->conn_watch);
	binding->conn = mem_deref(binding->conn);
	pl_set_str(&pl, binding->c.uri);
	if (binding->c.tp == SIP_TRANSP_TCP && !binding->nat && !uri_decode(&uri, &pl) &&
	    !sa_set(&dst, &uri.host, uri.port ? uri.port : SIP_PORT) &&
	    !sa_cmp(&dst, &binding->c.src, SA_ALL)) {
		binding->c.dst = dst;
		binding->is_from_contact = true;
		wheel_clear(&binding->keepalive);
		store_put(binding);
		return;
	}
	binding_drop(binding, "expired");
}

static void conn_watch_handler(int err, void *arg)
{
	struct binding *binding = arg;

	if (err)
		conn_lost(binding);
}

void keepalive_watch_conn(struct binding *binding, const struct sip_msg *msg)
{
	if (binding->conn == msg->sock)
		return;
	binding->conn_watch = mem_deref(binding->conn_watch);
	mem_deref(binding->conn);
	binding->conn = msg->tp == SIP_TRANSP_UDP ? NULL : mem_ref(msg->sock);

	/* WebSockets have no watch in libre; those are looked at with each keep-alive. */
	if (msg->tp == SIP_TRANSP_TCP || msg->tp == SIP_TRANSP_TLS)
		(void)sip_keepalive_start(&binding->conn_watch, binding->reg->sip, msg,
					  CONN_WATCH_S, conn_watch_handler, binding);
}

void keepalive_due(void *data, void *arg)
{
	struct binding *binding = data;

	(void)arg;
	if (!binding_conn_is_alive(binding)) {
		conn_lost(binding);
		return;
	}
	wheel_set(&binding->reg->keepalive, &binding->keepalive,
		  clk_mono_ms() + period_ms(binding), binding);
	if (!binding->nat || binding->keepalives++ % OPTIONS_EVERY == 0)
		send_options(binding);
	else if (binding->c.tp == SIP_TRANSP_UDP || binding->c.tp == SIP_TRANSP_TCP ||
		 binding->c.tp == SIP_TRANSP_TLS)
		send_crlf(binding);
}
