/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/edge.h"

#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <openssl/ssl.h>
#include "base/certfile.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/iface.h"
#include "base/log.h"
#include "base/timer.h"
#include "snapshot/snapshot.h"
#include "sip/digest.h"
#include "sip/edge_priv.h"
#include "sip/limiter.h"
#include "sip/outside.h"
#include "sip/registrar_priv.h"
#include "sip/trace.h"
#include "sip/transp_guard.h"

/* A transaction lingers for 32 s: at 1,000 calls/s there are tens of thousands. */
#define EDGE_CTRANS_BUCKETS 65536
#define EDGE_STRANS_BUCKETS 65536
#define EDGE_CONN_BUCKETS   4096
#define EDGE_MAX_DNS        8
#define EDGE_ROUTE_CACHE_MS 30000

void edge_addr16(uint8_t addr[16], const struct sa *sa)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	uint32_t v4;

	if (sa_af(sa) == AF_INET6) {
		sa_in6(sa, addr);
		return;
	}
	v4 = htonl(sa_in(sa));
	memcpy(addr, mapped, sizeof(mapped));
	memcpy(addr + 12, &v4, 4);
}

void edge_sa_unmap(struct sa *ret, const struct sa *sa)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	uint8_t addr[16];
	uint32_t v4;

	edge_addr16(addr, sa);
	if (sa_af(sa) == AF_INET6 && !memcmp(addr, mapped, sizeof(mapped))) {
		memcpy(&v4, addr + 12, 4);
		sa_set_in(ret, ntohl(v4), sa_port(sa));
		return;
	}
	if (ret != sa)
		*ret = *sa;
}

/* ------------------------------------------------------------------ transports */

static int tls_context(struct edge *edge)
{
	int err;

	if (edge->tls)
		return 0;
	if (!edge->cert_path) {
		log_error("sip.tls_certificate", "TLS needs a certificate: set cert_path");
		return -EINVAL;
	}

	err = tls_alloc(&edge->tls, TLS_METHOD_SSLV23, edge->cert_path, NULL);
	if (err) {
		log_error("sip.tls_certificate", "the certificate cannot be used",
			  kv_text("path", edge->cert_path), kv_err(err));
		return err_from_re(err);
	}
	SSL_CTX_set_min_proto_version(tls_openssl_context(edge->tls), TLS1_2_VERSION);
	return 0;
}

static int transport_listen(struct edge *edge, enum sip_transp tp, const struct sa *laddr)
{
	int err;

	switch (tp) {
	case SIP_TRANSP_TLS:
		err = tls_context(edge);
		return err ? err : err_from_re(sip_transp_add(edge->sip, tp, laddr, edge->tls));
	case SIP_TRANSP_WS:
	case SIP_TRANSP_WSS:
		return err_from_re(
			sip_transp_add_websock(edge->sip, tp, laddr, true, edge->cert_path));
	default:
		return err_from_re(sip_transp_add(edge->sip, tp, laddr));
	}
}

static int transport_add(struct edge *edge, enum sip_transp tp, const char *host, uint16_t port)
{
	struct edge_transport *t;
	struct sa laddr, loopback;
	int err;

	if (edge->n_transports == EDGE_TRANSPORTS)
		return -ENOSPC;
	err = sa_set_str(&laddr, host, port);
	if (err) {
		log_error("sip.listen", "not an IP address to listen on", kv_text("address", host));
		return -EINVAL;
	}

	loopback = laddr;
	if (sa_is_any(&laddr))
		(void)sa_set_str(&loopback, sa_af(&laddr) == AF_INET6 ? "::1" : "127.0.0.1", 0);
	err = transport_listen(edge, tp, &loopback);
	if (!err) { /* libre has it now, and keeps it */
		t = &edge->transports[edge->n_transports++];
		t->tp = tp;
		t->laddr = laddr;
		if (sa_is_any(&laddr))
			err = guard_rebind(edge->sip, tp, &laddr);
		t->is_off = err != 0;
	}
	if (err) {
		log_error("sip.listen", "cannot listen", kv_text("transport", sip_transp_name(tp)),
			  kv_sa("address", &laddr), kv_err(err));
		return err;
	}

	log_info("sip.listen", "listening", kv_text("transport", sip_transp_name(tp)),
		 kv_sa("address", &laddr));
	return 0;
}

/* Sockets of IPv6 are for IPv6 only, so that addresses of IPv4 look the same everywhere. */
static const char *listen_list(const char *listen)
{
	if (!listen || !*listen)
		return "0.0.0.0";
	return strcmp(listen, "::") ? listen : "::,0.0.0.0";
}

static int transports_add(struct edge *edge, const struct edge_opts *opts)
{
	const struct {
		enum sip_transp tp;
		uint16_t port;
	} wanted[] = {
		{ SIP_TRANSP_UDP, opts->udp_port }, { SIP_TRANSP_TCP, opts->tcp_port },
		{ SIP_TRANSP_TLS, opts->tls_port }, { SIP_TRANSP_WS, opts->ws_port },
		{ SIP_TRANSP_WSS, opts->wss_port },
	};
	const char *list = edge->listen;
	char host[64];
	int err;

	while (*list) {
		size_t len = strcspn(list, ", ");

		if (len >= sizeof(host))
			return -EINVAL;
		memcpy(host, list, len);
		host[len] = '\0';
		for (size_t i = 0; len > 0 && i < sizeof(wanted) / sizeof(wanted[0]); i++) {
			if (!wanted[i].port)
				continue;
			err = transport_add(edge, wanted[i].tp, host, wanted[i].port);
			if (err)
				return err;
		}
		list += len + strspn(list + len, ", ");
	}
	return 0;
}

/* Its address is the web server's: what is printed into Contact and SDP is what browsers can reach. */
static int proxy_add(struct edge *edge, const struct edge_opts *opts)
{
	const char *list = edge->listen;
	struct edge_transport *t;
	struct sa loopback, visible;
	char host[64];
	int err;

	if (!opts->proxy_secret || !*opts->proxy_secret)
		return 0;
	if (edge->n_transports == EDGE_TRANSPORTS)
		return -ENOSPC;
	(void)re_snprintf(host, sizeof(host), "%b", list, strcspn(list, ", "));
	if (sa_set_str(&visible, host, opts->proxy_port))
		return -EINVAL;
	err = err_from_re(str_dup(&edge->proxy_secret, opts->proxy_secret));
	if (err)
		return err;

	(void)sa_set_str(&loopback, "127.0.0.1", 0);
	err = transport_listen(edge, SIP_TRANSP_WS, &loopback);
	if (!err)
		err = guard_stand_behind(edge->sip, SIP_TRANSP_WSS, &visible, &edge->proxy_port);
	if (err) {
		log_error("sip.listen", "the web server cannot pass WebSockets on to us", kv_err(err));
		return err;
	}

	t = &edge->transports[edge->n_transports++];
	t->tp = SIP_TRANSP_WSS;
	t->laddr = visible;
	t->is_proxied = true;
	return 0;
}

bool edge_is_on(const struct edge *edge, int tp)
{
	for (size_t i = 0; i < edge->n_transports; i++) {
		if ((int)edge->transports[i].tp == tp && !edge->transports[i].is_off)
			return true;
	}
	return false;
}

/* laddr NULL: closes the listener. */
static int turn(struct edge *edge, struct edge_transport *t, const struct sa *laddr)
{
	int err = guard_listen(edge->guard, (size_t)(t - edge->transports), laddr);

	if (err)
		return err;
	t->is_off = !laddr;
	if (laddr)
		t->laddr = *laddr;
	log_info("sip.listen", laddr ? "listening" : "no longer listening",
		 kv_text("transport", sip_transp_name(t->tp)), kv_sa("address", &t->laddr));
	return 0;
}

static bool is_wanted(const struct edge_transport *t, const struct sa *wanted, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (sa_cmp(&t->laddr, &wanted[i], SA_ALL))
			return true;
	}
	return false;
}

/* Somebody listens there: a transport that rests, else a new one. A UDP socket keeps its family. */
static int open_at(struct edge *edge, enum sip_transp tp, const struct sa *laddr)
{
	struct edge_transport *idle = NULL;
	const size_t n = edge->n_transports;
	char host[64];
	int err, added = 0;

	for (size_t i = 0; i < n; i++) {
		struct edge_transport *t = &edge->transports[i];

		if (t->tp != tp || t->is_proxied)
			continue;
		if (!t->is_off && sa_cmp(&t->laddr, laddr, SA_ALL))
			return 0;
		if (t->is_off && (tp != SIP_TRANSP_UDP || sa_af(&t->laddr) == sa_af(laddr)))
			idle = t;
	}
	if (idle)
		return turn(edge, idle, laddr);

	(void)re_snprintf(host, sizeof(host), "%j", laddr);
	err = transport_add(edge, tp, host, sa_port(laddr));
	if (edge->n_transports > n)
		added = guard_add(edge->guard);
	return err ? err : added;
}

/* Of one kind: what is not wanted is closed first, since a wildcard and an address exclude each other. */
static int set_kind(struct edge *edge, enum sip_transp tp, const struct sa *wanted, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < edge->n_transports && !err; i++) {
		struct edge_transport *t = &edge->transports[i];

		if (t->tp == tp && !t->is_proxied && !t->is_off && !is_wanted(t, wanted, n))
			err = turn(edge, t, NULL);
	}
	for (size_t i = 0; i < n && !err; i++)
		err = open_at(edge, tp, &wanted[i]);
	return err;
}

/* The addresses of --listen. */
static int hosts_at_start(const struct edge *edge, struct sa *ret, uint16_t port)
{
	const char *list = edge->listen;
	char host[64];
	int n = 0;

	while (*list && n < IFACE_MAX) {
		size_t len = strcspn(list, ", ");

		(void)re_snprintf(host, sizeof(host), "%b", list, len);
		if (len && sa_set_str(&ret[n++], host, port))
			return -EINVAL;
		list += len + strspn(list + len, ", ");
	}
	return n;
}

static int hosts_of(const char *bind, struct sa *ret, uint16_t port)
{
	struct iface_address found[IFACE_MAX];
	int n = iface_addresses(found, bind);

	for (int i = 0; i < n; i++) {
		if (sa_set_str(&ret[i], found[i].text, port))
			return -EINVAL;
	}
	return n;
}

static int set_listener(struct edge *edge, enum sip_transp tp, const struct edge_listener *listener)
{
	const bool is_bound = listener->bind && *listener->bind;
	struct sa wanted[IFACE_MAX];
	int n = 0, err;

	if (listener->port)
		n = is_bound ? hosts_of(listener->bind, wanted, listener->port)
			     : hosts_at_start(edge, wanted, listener->port);
	if (is_bound && (n == -EADDRNOTAVAIL || n == -ENODEV)) {
		log_error("sip.bind",
			  "the bind address of the SIP settings is not one of this machine's; it stays as it is",
			  kv_text("transport", sip_transp_name(tp)), kv_text("address", listener->bind),
			  kv_err(n));
		return -EAGAIN;
	}
	if (n < 0)
		return n;

	err = set_kind(edge, tp, wanted, (size_t)n);
	if (err)
		log_error("sip.listen",
			  "an address or port of the SIP settings cannot be used; choose another",
			  kv_text("transport", sip_transp_name(tp)), kv_int("port", listener->port),
			  kv_text("address", is_bound ? listener->bind : edge->listen), kv_err(err));
	return err;
}

int edge_set_listeners(struct edge *edge, const struct edge_listener list[], bool proxied)
{
	int err = 0, one;

	for (size_t i = 0; i < edge->n_transports; i++) {
		if (edge->transports[i].is_proxied)
			edge->transports[i].is_off = !proxied;
	}
	for (int tp = 0; tp < SNAP_TRANSPORTS; tp++) {
		one = set_listener(edge, (enum sip_transp)tp, &list[tp]);
		if (one && (!err || err == -EAGAIN))
			err = one;
	}
	return err;
}

uint16_t edge_proxy_port(const struct edge *edge)
{
	return edge->proxy_port;
}

/* The context stays, so that connections in use are not disturbed. */
static int reload_context(struct tls *tls, void *arg)
{
	const char *path = arg;
	const int err = certfile_replace(tls_openssl_context(tls), path);

	if (err)
		log_error("sip.tls_certificate", "the new certificate cannot be used; the old one stays",
			  kv_text("path", path), kv_err(err));
	return err;
}

int edge_reload_cert(struct edge *edge, const char *cert_path)
{
	char *path;
	int err = 0;

	if (cert_path) {
		if (str_dup(&path, cert_path))
			return -ENOMEM;
		mem_deref(edge->cert_path);
		edge->cert_path = path;
	}
	if (!edge->cert_path)
		return 0;
	if (edge->tls)
		err = reload_context(edge->tls, edge->cert_path);
	if (!err)
		err = guard_tls_apply(edge->guard, reload_context, edge->cert_path);
	if (!err)
		log_info("sip.tls_certificate", "certificate in use",
			 kv_text("path", edge->cert_path));
	return err;
}

/* ------------------------------------------------------------------ local address */

/* The kernel's choice of source address towards dst; asks with a socket that sends nothing. */
static int source_towards(struct sa *ret, const struct sa *dst)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct sa to = *dst;
	int fd, err = 0;

	if (!sa_port(&to))
		sa_set_port(&to, SIP_PORT);
	fd = socket(sa_af(&to), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, &to.u.sa, to.len) || getsockname(fd, (struct sockaddr *)&ss, &len))
		err = -errno;
	close(fd);
	if (err)
		return err;
	return err_from_re(sa_set_sa(ret, (struct sockaddr *)&ss));
}

static int source_cached(struct edge *edge, struct sa *ret, const struct sa *dst)
{
	struct edge_route *route = &edge->routes[sa_hash(dst, SA_ADDR) % EDGE_ROUTE_CACHE];
	uint64_t now_ms = clk_mono_ms();
	int err;

	if (route->until_ms > now_ms && sa_cmp(&route->dst, dst, SA_ADDR)) {
		*ret = route->local;
		return 0;
	}
	err = source_towards(ret, dst);
	if (err)
		return err;

	route->dst = *dst;
	route->local = *ret;
	route->until_ms = now_ms + EDGE_ROUTE_CACHE_MS;
	return 0;
}

/* Local networks see the private address, the others the advertised one (PLT-43). */
static bool is_local_net(const struct edge *edge, const struct sa *dst)
{
	const struct snap_sip *set = edge->snap ? snap_sip(edge->snap) : NULL;
	uint8_t addr[16];

	if (sa_is_loopback(dst))
		return true;
	if (!set || !set->n_local_nets)
		return false;
	edge_addr16(addr, dst);
	return snap_net_allows(set->local_nets, set->n_local_nets, addr);
}

static const struct edge_transport *transport_for(const struct edge *edge, int tp,
						  const struct sa *dst)
{
	const struct edge_transport *any = NULL;

	for (size_t i = 0; i < edge->n_transports; i++) {
		const struct edge_transport *t = &edge->transports[i];

		if ((int)t->tp != tp || t->is_off)
			continue;
		if (t->is_proxied) { /* the last choice: it leads to /ws-sip only */
			any = any ? any : t;
			continue;
		}
		if (!dst || sa_af(&t->laddr) == sa_af(dst))
			return t;
		any = t;
	}
	return any;
}

/* The port that goes with the external host of the settings, where the NAT maps it to another. */
static uint16_t external_port(const struct edge *edge, const struct sa *shown, int tp, uint16_t port)
{
	const struct snap_sip *set = edge->snap ? snap_sip(edge->snap) : NULL;

	if (!set || shown != outside_host(edge->outside) || tp < SNAP_UDP || tp > SNAP_TLS)
		return port;
	return set->external_ports[tp] ? set->external_ports[tp] : port;
}

int edge_local_addr(const struct edge *edge, struct sa *ret, int tp, const struct sa *dst)
{
	const struct edge_transport *t = transport_for(edge, tp, dst);
	const struct sa *shown = outside_host(edge->outside);
	struct sa local, to;
	uint16_t port;
	int err;

	if (!t)
		return -ENOENT;
	port = sa_port(&t->laddr);

	if (dst)
		edge_sa_unmap(&to, dst);
	if (!shown && sa_isset(&edge->advertise, SA_ADDR))
		shown = &edge->advertise;
	if (shown && !(dst && is_local_net(edge, &to)) && (!dst || sa_af(shown) == sa_af(&to))) {
		local = *shown;
		port = external_port(edge, shown, tp, port);
	} else if (!sa_is_any(&t->laddr)) {
		local = t->laddr;
	} else if (dst) {
		/* The cache is not part of what a caller sees of the edge. */
		err = source_cached((struct edge *)edge, &local, &to);
		if (err)
			return err;
	} else if (net_default_source_addr_get(sa_af(&t->laddr), &local)) {
		sa_set_str(&local, sa_af(&t->laddr) == AF_INET6 ? "::1" : "127.0.0.1", 0);
	}

	sa_set_port(&local, port);
	*ret = local;
	return 0;
}

/* ------------------------------------------------------------------ life */

static int dns_client(struct edge *edge)
{
	struct sa servers[EDGE_MAX_DNS];
	uint32_t n = EDGE_MAX_DNS;

	/* Without a resolver names cannot be called; addresses can. */
	if (dns_srv_get(NULL, 0, servers, &n))
		n = 0;
	return err_from_re(dnsc_alloc(&edge->dnsc, NULL, servers, n));
}

static void trace_handler(bool tx, enum sip_transp tp, const struct sa *src, const struct sa *dst,
			  const uint8_t *pkt, size_t len, void *arg)
{
	struct edge *edge = arg;
	struct sa local;

	/* libre takes a few KB of a connection a turn, and a trunk may have sent more. */
	if (!tx && tp != SIP_TRANSP_UDP)
		timer_load(TIMER_FULL_LOAD);
	/* A socket on a wildcard does not know which address it speaks from. */
	if (tx && sa_is_any(src) && !edge_local_addr(edge, &local, tp, dst))
		src = &local;
	trace_add(edge->trace, tx, tp, src, dst, pkt, len);
}

static void edge_destructor(void *arg)
{
	struct edge *edge = arg;

	mem_deref(edge->lsnr_req);
	mem_deref(edge->lsnr_resp);
	mem_deref(edge->registrar);
	if (edge->sip)
		sip_set_trace_handler(edge->sip, NULL);
	sip_close(edge->sip, true);
	mem_deref(edge->guard); /* before the sockets that it looks into */
	mem_deref(edge->sip);
	mem_deref(edge->trace);
	mem_deref(edge->limiter);
	mem_deref(edge->digest);
	mem_deref(edge->outside);
	mem_deref(edge->dnsc);
	mem_deref(edge->tls);
	mem_deref(edge->cert_path);
	mem_deref(edge->listen);
	mem_deref(edge->proxy_secret);
}

int edge_set_outside(struct edge *edge)
{
	const struct snap_sip *set = edge->snap ? snap_sip(edge->snap) : NULL;

	if (!set)
		return 0;
	return outside_set(edge->outside, &(struct outside_settings){
						  .host = set->external_host,
						  .refresh_s = set->external_refresh_s,
						  .stun_server = set->stun_server,
						  .stun_port = set->stun_port });
}

const struct sa *edge_outside(const struct edge *edge)
{
	const struct sa *host = outside_host(edge->outside);

	return host ? host : outside_seen(edge->outside);
}

static int parts_alloc(struct edge *edge)
{
	int err;

	err = outside_alloc(&edge->outside, edge->dnsc);
	if (!err)
		err = edge_set_outside(edge);
	if (!err)
		err = digest_alloc(&edge->digest);
	if (err)
		return err;
	err = limiter_alloc(&edge->limiter);
	if (err)
		return err;
	err = trace_alloc(&edge->trace, EDGE_TRACE_MESSAGES, EDGE_TRACE_BYTES);
	if (err)
		return err;
	err = registrar_alloc(&edge->registrar, edge, edge->sip, edge->snap, edge->writer,
			      edge->digest);
	if (err)
		return err;
	err = guard_alloc(&edge->guard, edge);
	if (err)
		return err;
	err = err_from_re(sip_listen(&edge->lsnr_req, edge->sip, true, edge_request, edge));
	if (err)
		return err;
	err = err_from_re(sip_listen(&edge->lsnr_resp, edge->sip, false, edge_response, edge));
	if (err)
		return err;
	sip_set_trace_handler(edge->sip, trace_handler);
	return 0;
}

int edge_alloc(struct edge **ret, const struct edge_opts *opts)
{
	const struct snap_sip *set = opts->snap ? snap_sip(opts->snap) : NULL;
	struct edge *edge;
	int err;

	edge = mem_zalloc(sizeof(*edge), edge_destructor);
	if (!edge)
		return -ENOMEM;

	edge->snap = opts->snap;
	edge->writer = opts->writer;
	edge->invite_h = opts->invite_h;
	edge->event_h = opts->event_h;
	edge->arg = opts->arg;
	sa_init(&edge->advertise, AF_UNSPEC);
	if (opts->advertise && *opts->advertise && sa_set_str(&edge->advertise, opts->advertise, 0))
		log_warn("sip.advertise",
			 "the advertised address is a name, which only the certificate takes; phones are told this "
			 "machine's own address: give an IP address",
			 kv_text("advertise", opts->advertise));
	if (opts->cert_path) {
		err = err_from_re(str_dup(&edge->cert_path, opts->cert_path));
		if (err)
			goto out;
	}

	err = err_from_re(str_dup(&edge->listen, listen_list(opts->listen)));
	if (!err)
		err = dns_client(edge);
	if (err)
		goto out;
	err = sip_alloc(&edge->sip, edge->dnsc, EDGE_CTRANS_BUCKETS, EDGE_STRANS_BUCKETS,
			EDGE_CONN_BUCKETS, set && set->user_agent ? set->user_agent : "Aoide", NULL,
			edge);
	if (err) {
		err = err_from_re(err);
		goto out;
	}

	err = transports_add(edge, opts);
	if (!err)
		err = proxy_add(edge, opts);
	if (err)
		goto out;
	err = parts_alloc(edge);

out:
	if (err)
		mem_deref(edge);
	else
		*ret = edge;
	return err;
}

void edge_close(struct edge *edge)
{
	mem_deref(edge);
}

void edge_set_dialog_handler(struct edge *edge, edge_dialog_h *h, void *arg)
{
	edge->dialog_h = h;
	edge->dialog_arg = arg;
}

struct sip *edge_sip(const struct edge *edge)
{
	return edge->sip;
}

struct registrar *edge_registrar(const struct edge *edge)
{
	return edge->registrar;
}

const struct snap *edge_snap(const struct edge *edge)
{
	return edge->snap;
}

void edge_stats(const struct edge *edge, struct edge_stats *ret)
{
	*ret = edge->stats;
	ret->registrations = reg_count(edge->registrar);
	ret->tcp_connections = guard_conn_count(edge->guard);
}

int edge_trace_text(const struct edge *edge, char **ret, const char *const *callids, size_t n)
{
	return trace_text(edge->trace, ret, callids, n);
}

int edge_trace_pcap(const struct edge *edge, uint8_t **ret, size_t *len, const char *const *callids,
		    size_t n)
{
	return trace_pcap(edge->trace, ret, len, callids, n);
}
