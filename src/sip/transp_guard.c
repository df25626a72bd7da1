/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/transp_guard.h"

#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>
#include <openssl/crypto.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/timer.h"
#include "sip/edge_priv.h"
#include "sip/edge.h"
#include "sip/limiter.h"
#include "sip/udp_out.h"
#include "snapshot/snapshot.h"

#define LIBRE_VERSION   "1.1.0"
#define UDP_RX_BYTES    8192 /* as libre's buffer: a longer datagram arrives cut */
#define UDP_RX_BATCH    64   /* datagrams that one turn of the loop takes from a socket */
#define RECOUNT_MS      1000
#define SOURCE_COUNTERS 4096
#define SHORT_MESSAGE   4    /* keep-alives; libre drops them */
#define UDP_SOCKBUF     (4 * 1024 * 1024) /* phones of a whole site register in the same second */
#define TCP_BACKLOG     1024              /* libre's is 5 */

/* libre 1.1.0, src/sip/sip.h: the start of it. */
struct priv_sip {
	struct list transpl, lsnrl, reql;
	struct hash *ht_ctrans, *ht_strans, *ht_strans_mrg, *ht_conn;
};

/* src/sip/transp.c */
struct priv_transport {
	struct le le;
	struct sa laddr;
	struct sip *sip;
	struct tls *tls;
	void *sock;
	enum sip_transp tp;
	struct http_cli *http_cli;
	struct http_sock *http_sock;
};

/* src/sip/transp.c: the start of it */
struct priv_conn {
	struct le he;
	struct list ql, kal;
	struct tmr tmr, tmr_ka;
	struct sa laddr, paddr;
	struct tls_conn *sc;
	struct tcp_conn *tc;
	struct mbuf *mb;
	struct sip *sip;
	uint32_t ka_interval;
	bool established;
	enum sip_transp tp;
};

/* src/http/server.c: the start of it */
struct priv_http_sock {
	struct list connl;
	struct tcp_sock *ts;
	struct tls *tls;
	http_req_h *reqh;
	void *arg;
};

/* src/tcp/tcp.c */
struct priv_tcp_sock {
	int fd, fdc;
	tcp_conn_h *connh;
	void *arg;
};

/* src/udp/udp.c: the start of it */
struct priv_udp_sock {
	struct list helpers;
	udp_recv_h *rh;
	udp_error_h *eh;
	void *arg;
	int fd, fd6;
};

/* Room for what one read brings. */
struct udp_rx {
	struct mmsghdr msgs[UDP_RX_BATCH];
	struct iovec iov[UDP_RX_BATCH];
	struct sa src[UDP_RX_BATCH];
	uint8_t bytes[UDP_RX_BATCH][UDP_RX_BYTES];
};

struct tap { /* one listening socket */
	struct transp_guard *guard;
	struct udp_sock *us;
	int fd; /* of us */
	int af; /* of us */
	struct tcp_sock *ts;
	tcp_conn_h *connh; /* libre's */
	void *arg;
	bool is_proxied;   /* by our web server */
	http_req_h *reqh;  /* libre's, of WebSockets */
	void *req_arg;
};

struct transp_guard {
	struct edge *edge;
	bool is_on;
	struct tap taps[EDGE_TRANSPORTS];
	size_t n_taps;
	struct udp_rx *rx;
	uint64_t counted_ms;
	uint32_t n_conns;
	uint16_t per_source[SOURCE_COUNTERS];
};

/* ------------------------------------------------------------------ datagrams */

struct scan { /* the lines that a reply must repeat */
	struct pl start, lines[5];
};

static const struct {
	const char *name, *compact;
} scan_names[] = {
	{ "Via", "v" }, { "From", "f" }, { "To", "t" }, { "Call-ID", "i" }, { "CSeq", NULL },
};

#define SCAN_NAMES (sizeof(scan_names) / sizeof(scan_names[0]))

/* The next line without its end; false: the text is over. Folded lines are taken as one. */
static bool next_line(struct pl *ret, struct pl *text)
{
	const char *end, *p = text->p;

	if (!text->l)
		return false;
	do {
		end = memchr(p, '\n', (size_t)(text->p + text->l - p));
		if (!end)
			return false;
		p = end + 1;
	} while (p < text->p + text->l && (*p == ' ' || *p == '\t') && end != text->p &&
		 !(end == text->p + 1 && text->p[0] == '\r'));

	ret->p = text->p;
	ret->l = (size_t)(end - text->p);
	if (ret->l && ret->p[ret->l - 1] == '\r')
		ret->l--;
	pl_advance(text, p - text->p);
	return true;
}

static bool is_header(const struct pl *line, const char *name)
{
	size_t n;

	if (!name || (line->p[0] | 0x20) != (name[0] | 0x20)) /* most lines are none of those */
		return false;
	n = strlen(name);
	if (line->l <= n || strncasecmp(line->p, name, n))
		return false;
	while (n < line->l && (line->p[n] == ' ' || line->p[n] == '\t'))
		n++;
	return n < line->l && line->p[n] == ':';
}

/* Reads the head. False: it does not end with an empty line. */
static bool scan_head(struct scan *scan, const struct mbuf *mb)
{
	struct pl text = { .p = (const char *)mbuf_buf(mb), .l = mbuf_get_left(mb) }, line;

	if (!next_line(&scan->start, &text))
		return false;
	while (next_line(&line, &text)) {
		if (!line.l)
			return true;
		for (size_t i = 0; i < SCAN_NAMES; i++) {
			if (!scan->lines[i].l && (is_header(&line, scan_names[i].name) ||
						  is_header(&line, scan_names[i].compact)))
				scan->lines[i] = line;
		}
	}
	return false;
}

/* METHOD SP URI SP version, one space each (RFC 3261 section 7.1). */
static const char *request_line(const struct pl *line, uint16_t *scode)
{
	static const char version[] = "SIP/2.0";
	const char *end = line->p + line->l, *uri, *last;

	uri = memchr(line->p, ' ', line->l);
	last = uri ? memchr(uri + 1, ' ', (size_t)(end - uri - 1)) : NULL;
	if (!last || uri == line->p || last == uri + 1 || memchr(last + 1, ' ', (size_t)(end - last - 1)))
		return "Malformed request line";
	last++;
	if ((size_t)(end - last) == sizeof(version) - 1 && !strncasecmp(last, version, sizeof(version) - 1))
		return NULL;
	if (end - last > 4 && !strncasecmp(last, "SIP/", 4)) {
		*scode = 505;
		return "Version Not Supported";
	}
	return "Malformed request line";
}

/* text: a word in lower case. */
static bool has_text(const struct pl *line, const char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0; i + n <= line->l; i++) {
		if ((line->p[i] | 0x20) == text[0] && !strncasecmp(line->p + i, text, n))
			return true;
	}
	return false;
}

/* What is wrong with a request that libre would drop without a word; NULL: let libre parse it. */
static const char *scan_verdict(const struct scan *scan, const struct mbuf *mb, bool has_end,
				uint16_t *scode)
{
	static const char *const missing[SCAN_NAMES] = {
		"Missing Via header", "Missing From header", "Missing To header",
		"Missing Call-ID header", "Missing CSeq header"
	};
	const char *reason;

	*scode = 400;
	if (mbuf_get_left(mb) >= UDP_RX_BYTES) {
		*scode = 513;
		return "Message Too Large";
	}
	if (!has_end)
		return "Incomplete message";
	reason = request_line(&scan->start, scode);
	if (reason)
		return reason;
	for (size_t i = 0; i < SCAN_NAMES; i++) {
		if (!scan->lines[i].l)
			return missing[i];
	}
	return has_text(&scan->lines[0], "branch") ? NULL : "Missing branch in Via";
}

/* A reply to what could not be parsed: the headers that are there, as they are. Nothing is sent
 * for an ACK or without a Via. */
static void scan_reply(struct udp_sock *us, const struct sa *src, const struct scan *scan,
		       uint16_t scode, const char *reason)
{
	struct mbuf *mb;
	int err;

	if (!scan->lines[0].l || (scan->start.l > 4 && !memcmp(scan->start.p, "ACK ", 4)))
		return;
	mb = mbuf_alloc(1024);
	if (!mb)
		return;

	err = mbuf_printf(mb, "SIP/2.0 %u %s\r\n", scode, reason);
	for (size_t i = 0; !err && i < SCAN_NAMES; i++) {
		if (scan->lines[i].l)
			err = mbuf_printf(mb, "%r\r\n", &scan->lines[i]);
	}
	if (!err)
		err = mbuf_write_str(mb, "Content-Length: 0\r\n\r\n");
	if (!err) {
		mb->pos = 0;
		(void)udp_send(us, src, mb); /* a courtesy */
	}
	mem_deref(mb);
}

/* true: the datagram goes no further. */
static bool datagram(struct tap *tap, const struct sa *src, struct mbuf *mb)
{
	struct edge *edge = tap->guard->edge;
	struct scan scan = { .start = PL_INIT };
	const char *reason;
	uint16_t scode;
	bool has_end;

	if (mbuf_get_left(mb) <= SHORT_MESSAGE || (mbuf_buf(mb)[0] & 0xc0) == 0) /* STUN */
		return false;
	if (limiter_check(edge->limiter, src, NULL) == LIMIT_SOURCE) {
		edge->stats.rate_limited++;
		return true;
	}

	if (mbuf_get_left(mb) > 8 && !memcmp(mbuf_buf(mb), "SIP/2.0 ", 8))
		return false; /* nobody answers a response */

	has_end = scan_head(&scan, mb);
	reason = scan_verdict(&scan, mb, has_end, &scode);
	if (reason) {
		edge->stats.malformed++;
		scan_reply(tap->us, src, &scan, scode, reason);
		return true;
	}
	return false;
}

static struct udp_rx *udp_rx_alloc(void)
{
	struct udp_rx *rx = mem_alloc(sizeof(*rx), NULL);

	for (size_t i = 0; rx && i < UDP_RX_BATCH; i++) {
		rx->iov[i] = (struct iovec){ rx->bytes[i], UDP_RX_BYTES };
		rx->msgs[i].msg_hdr = (struct msghdr){ .msg_name = &rx->src[i].u,
						       .msg_namelen = sizeof(rx->src[i].u),
						       .msg_iov = &rx->iov[i],
						       .msg_iovlen = 1 };
	}
	return rx;
}

/*
 * Reads instead of libre, which takes one datagram per turn of the loop into 8 KiB of fresh memory.
 * Transactions and calls keep the buffer, so it gets the size of its datagram.
 */
static void read_handler(int flags, void *arg)
{
	struct tap *tap = arg;
	const struct priv_udp_sock *us = (const struct priv_udp_sock *)tap->us;
	struct udp_rx *rx = tap->guard->rx;
	int n;

	(void)flags;
	n = recvmmsg(tap->fd, rx->msgs, UDP_RX_BATCH, MSG_DONTWAIT, NULL);
	if (n > 0)
		timer_load((unsigned)n * TIMER_FULL_LOAD / UDP_RX_BATCH);

	for (int i = 0; i < n; i++) {
		struct mbuf *mb = mbuf_alloc(rx->msgs[i].msg_len);

		rx->src[i].len = rx->msgs[i].msg_hdr.msg_namelen;
		rx->msgs[i].msg_hdr.msg_namelen = sizeof(rx->src[i].u); /* for the next read */
		if (!mb)
			continue; /* the phone sends again */
		(void)mbuf_write_mem(mb, rx->bytes[i], rx->msgs[i].msg_len);
		mb->pos = 0;
		if (!datagram(tap, &rx->src[i], mb))
			us->rh(&rx->src[i], mb, us->arg);
		mem_deref(mb);
	}
}

/* ------------------------------------------------------------------ connections */

static uint16_t *source_counter(struct transp_guard *guard, const struct sa *src)
{
	return &guard->per_source[sa_hash(src, SA_ADDR) % SOURCE_COUNTERS];
}

static bool count_conn(struct le *le, void *arg)
{
	struct transp_guard *guard = arg;
	const struct priv_conn *conn = le->data;
	uint16_t *counter = source_counter(guard, &conn->paddr);

	guard->n_conns++;
	if (*counter < UINT16_MAX)
		++*counter;
	return false;
}

/* Counts anew once a second; between, accepts are added and closes are not seen: the strict side. */
static void recount(struct transp_guard *guard)
{
	const struct priv_sip *sip = (const struct priv_sip *)guard->edge->sip;
	uint64_t now_ms = clk_mono_ms();

	if (guard->counted_ms && now_ms - guard->counted_ms < RECOUNT_MS)
		return;
	guard->counted_ms = now_ms;
	guard->n_conns = 0;
	memset(guard->per_source, 0, sizeof(guard->per_source));
	(void)hash_apply(sip->ht_conn, count_conn, guard);
}

/* Counts it when there is room for it. */
static bool may_connect(struct transp_guard *guard, const struct sa *peer)
{
	struct limiter *limiter = guard->edge->limiter;
	uint16_t *counter = source_counter(guard, peer);
	uint32_t max = limiter_is_good(limiter, peer) || sa_is_loopback(peer) ?
			       GUARD_MAX_CONNS_GOOD :
			       GUARD_MAX_CONNS_PER_SOURCE;

	recount(guard);
	if (guard->n_conns >= GUARD_MAX_CONNS || *counter >= max ||
	    limiter_check(limiter, peer, NULL) == LIMIT_SOURCE) {
		if (!guard->edge->stats.conns_refused++)
			log_warn("sip.connections", "too many connections, refusing",
				 kv_sa("source", peer), kv_int("open", guard->n_conns));
		return false;
	}
	guard->n_conns++;
	++*counter;
	return true;
}

static void accept_handler(const struct sa *peer, void *arg)
{
	struct tap *tap = arg;

	timer_load(TIMER_FULL_LOAD); /* libre takes one connection a turn, and more may wait */

	/* Who is behind the web server is looked at when it has said so. */
	if (!tap->is_proxied && !may_connect(tap->guard, peer)) {
		tcp_reject(tap->ts);
		return;
	}
	tap->connh(peer, tap->arg);
}

/* ------------------------------------------------------------------ WebSocket handshakes */

/* RFC 7118 section 5, RFC 6455 section 4.2.2: the 101 names the subprotocol that was chosen; a browser
 * closes a connection whose 101 does not. libre 1.1.0 leaves it out. */
static bool name_subprotocol(int *err, struct mbuf *mb, void *arg)
{
	static const char start[] = "HTTP/1.1 101 ";
	static const char line[] = "Sec-WebSocket-Protocol: sip\r\n";
	const size_t pos = mb->pos, left = mbuf_get_left(mb);
	const char *text = (const char *)mbuf_buf(mb), *end;

	(void)arg;
	if (left < sizeof(start) || memcmp(text, start, sizeof(start) - 1))
		return false; /* a frame: its first octet is none of text */
	end = memchr(text, '\n', left);
	if (!end)
		return false;

	mb->pos = pos + (size_t)(end + 1 - text);
	*err = mbuf_shift(mb, (ssize_t)sizeof(line) - 1);
	if (*err)
		return true;
	mb->pos -= sizeof(line) - 1;
	*err = mbuf_write_str(mb, line);
	mb->pos = pos;
	return *err != 0;
}

/* The web server speaks for a browser: from here on the connection is the browser's, for ACLs, limits,
 * traces and replies. */
static bool take_peer(struct transp_guard *guard, struct http_conn *conn, const struct http_msg *msg)
{
	const struct http_hdr *hdr = http_msg_xhdr(msg, EDGE_PROXY_HEADER);
	const char *secret = guard->edge->proxy_secret;
	const size_t len = strlen(secret);
	struct pl text;
	struct sa peer;

	if (!hdr || hdr->val.l <= len || hdr->val.p[len] != ' ' ||
	    CRYPTO_memcmp(hdr->val.p, secret, len))
		return false;
	text.p = hdr->val.p + len + 1;
	text.l = hdr->val.l - len - 1;
	if (sa_decode(&peer, text.p, text.l) || !sa_port(&peer))
		return false;

	edge_sa_unmap(&peer, &peer);
	*(struct sa *)(uintptr_t)http_conn_peer(conn) = peer; /* libre's own, of this connection */
	return true;
}

static void ws_request(struct http_conn *conn, const struct http_msg *msg, void *arg)
{
	struct tap *tap = arg;
	/* Above TLS; the connection owns it. */
	const int layer = 100;

	if (tap->is_proxied && !take_peer(tap->guard, conn, msg)) {
		(void)http_reply(conn, 403, "Forbidden", NULL);
		return;
	}
	if (tap->is_proxied && (tap->guard->edge->transports[tap - tap->guard->taps].is_off ||
				!may_connect(tap->guard, http_conn_peer(conn)))) {
		(void)http_reply(conn, 503, "Service Unavailable", NULL);
		return;
	}
	(void)tcp_register_helper(NULL, http_conn_tcp(conn), layer, NULL, name_subprotocol, NULL, NULL);
	tap->reqh(conn, msg, tap->req_arg);
}

void guard_conn_touch(struct transp_guard *guard, const struct sip_msg *msg, uint32_t idle_ms)
{
	struct priv_conn *conn = msg->sock;

	if (!guard || !guard->is_on || msg->tp == SIP_TRANSP_UDP || !conn ||
	    !sip_msg_tcpconn(msg) || conn->tmr.arg != conn || !conn->tmr.th)
		return;
	tmr_start(&conn->tmr, idle_ms, conn->tmr.th, conn);

	/* libre forgets to say so of WebSockets it accepted, and would queue our requests for ever. */
	if (conn->sip == guard->edge->sip && conn->tp == msg->tp &&
	    (msg->tp == SIP_TRANSP_WS || msg->tp == SIP_TRANSP_WSS))
		conn->established = true;
}

int guard_tls_apply(struct transp_guard *guard, guard_tls_h *h, void *arg)
{
	const struct priv_sip *sip = (const struct priv_sip *)guard->edge->sip;
	int err = 0;

	for (struct le *le = guard->is_on ? sip->transpl.head : NULL; le && !err; le = le->next) {
		const struct priv_transport *t = le->data;
		const struct priv_http_sock *http = (const struct priv_http_sock *)t->http_sock;

		if (t->tp == SIP_TRANSP_WSS && http && http->ts == http_sock_tcp(t->http_sock) &&
		    http->tls)
			err = h(http->tls, arg);
	}
	return err;
}

enum guard_conn guard_conn_state(const struct transp_guard *guard, enum sip_transp tp, const struct sa *peer)
{
	const struct priv_sip *sip;
	enum guard_conn state = GUARD_CONN_NONE;

	if (!guard || !guard->is_on)
		return GUARD_CONN_UP;
	sip = (const struct priv_sip *)guard->edge->sip;
	for (struct le *le = list_head(hash_list(sip->ht_conn, sa_hash(peer, SA_ALL))); le; le = le->next) {
		const struct priv_conn *conn = le->data;

		if (conn->tp != tp || !sa_cmp(&conn->paddr, peer, SA_ALL))
			continue;
		if (conn->established)
			return GUARD_CONN_UP;
		state = GUARD_CONN_OPENING;
	}
	return state;
}

uint32_t guard_conn_count(const struct transp_guard *guard)
{
	const struct priv_sip *sip;
	uint32_t n = 0;

	if (!guard->is_on)
		return 0;
	sip = (const struct priv_sip *)guard->edge->sip;
	for (uint32_t i = 0; i < hash_bsize(sip->ht_conn); i++)
		n += list_count(hash_list(sip->ht_conn, i));
	return n;
}

/* ------------------------------------------------------------------ life */

static struct tcp_sock *listener_of(const struct priv_transport *t)
{
	bool is_ws = t->tp == SIP_TRANSP_WS || t->tp == SIP_TRANSP_WSS;

	return is_ws ? http_sock_tcp(t->http_sock) : t->sock;
}

static bool transport_fits(const struct sip *sip, const struct priv_transport *t, enum sip_transp tp,
			   const struct sa *laddr)
{
	const struct priv_tcp_sock *ts;
	bool is_ws = tp == SIP_TRANSP_WS || tp == SIP_TRANSP_WSS;

	if (t->sip != sip || t->tp != tp ||
	    !sa_cmp(&t->laddr, laddr, sa_is_any(laddr) ? SA_PORT : SA_ALL))
		return false;
	if (tp == SIP_TRANSP_UDP)
		return t->sock && ((const struct priv_udp_sock *)t->sock)->arg == t;
	ts = (const struct priv_tcp_sock *)listener_of(t);
	if (is_ws && (!t->http_sock || ((const struct priv_http_sock *)t->http_sock)->arg != t))
		return false;
	return ts && ts->connh && ts->arg == (is_ws ? (const void *)t->http_sock : (const void *)t);
}

static int socket_bound(int type, const struct sa *addr)
{
	int fd = socket(sa_af(addr), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, err;

	if (fd < 0)
		return -errno;
	/* As libre: a restart binds while old connections wait. Never for UDP: two would share it. */
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (sa_af(addr) == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &addr->u.sa, addr->len)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int guard_rebind(struct sip *sip, enum sip_transp tp, const struct sa *addr)
{
	struct priv_transport *t = list_ledata(list_tail(&((struct priv_sip *)sip)->transpl));
	struct priv_tcp_sock *ts;
	int fd, err;

	if (strcmp(sys_libre_version_get(), LIBRE_VERSION) || !t ||
	    !transport_fits(sip, t, tp, &t->laddr))
		return -ENOTSUP;
	fd = socket_bound(tp == SIP_TRANSP_UDP ? SOCK_DGRAM : SOCK_STREAM, addr);
	if (fd < 0)
		return fd;

	if (tp == SIP_TRANSP_UDP) {
		udp_thread_detach(t->sock);
		err = dup2(fd, udp_sock_fd(t->sock, sa_af(addr))) < 0 ? -errno : 0;
		if (!err)
			err = err_from_re(udp_thread_attach(t->sock));
	} else {
		ts = (struct priv_tcp_sock *)listener_of(t);
		fd_close(ts->fd);
		err = dup2(fd, ts->fd) < 0 ? -errno : 0;
		if (!err)
			err = err_from_re(tcp_sock_listen(listener_of(t), TCP_BACKLOG));
	}
	close(fd);
	t->laddr = *addr;
	return err;
}

int guard_stand_behind(struct sip *sip, enum sip_transp tp, const struct sa *visible, uint16_t *port)
{
	struct priv_transport *t = list_ledata(list_tail(&((struct priv_sip *)sip)->transpl));

	if (strcmp(sys_libre_version_get(), LIBRE_VERSION) || !t || !t->http_sock ||
	    !transport_fits(sip, t, t->tp, &t->laddr))
		return -ENOTSUP;
	*port = sa_port(&t->laddr);
	t->tp = tp;
	t->laddr = *visible;
	return 0;
}

static bool layout_is_known(const struct edge *edge)
{
	const struct priv_sip *sip = (const struct priv_sip *)edge->sip;
	struct le *le = sip->transpl.head;

	if (strcmp(sys_libre_version_get(), LIBRE_VERSION) ||
	    hash_bsize(sip->ht_conn) == 0)
		return false;
	for (size_t i = 0; i < edge->n_transports; i++, le = le->next) {
		if (!le || !le->data ||
		    !transport_fits(edge->sip, le->data, edge->transports[i].tp,
				    &edge->transports[i].laddr))
			return false;
	}
	return true;
}

/* PLT-39: a DSCP, in the upper six bits of the octet. */
static void mark(int fd, int af, uint8_t dscp)
{
	int tos = dscp << 2;

	if (af == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	else
		(void)setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

static int tap_open(struct transp_guard *guard, struct priv_transport *t, bool is_proxied)
{
	const struct snap_sip *set = guard->edge->snap ? snap_sip(guard->edge->snap) : NULL;
	const uint8_t tos = set ? set->tos_sip : 0;
	struct tap *tap = &guard->taps[guard->n_taps++];
	struct priv_http_sock *http = (struct priv_http_sock *)t->http_sock;
	struct priv_tcp_sock *ts;

	tap->guard = guard;
	tap->is_proxied = is_proxied;
	if (t->tp == SIP_TRANSP_UDP) {
		tap->us = t->sock;
		(void)udp_sockbuf_set(tap->us, UDP_SOCKBUF); /* as much as the kernel allows */
		mark(udp_sock_fd(tap->us, sa_af(&t->laddr)), sa_af(&t->laddr), tos);
		tap->fd = udp_sock_fd(tap->us, sa_af(&t->laddr));
		tap->af = sa_af(&t->laddr);
		udp_thread_detach(tap->us);
		udp_out_add(tap->us, tap->fd);
		return err_from_re(fd_listen(tap->fd, FD_READ, read_handler, tap));
	}
	tap->ts = listener_of(t);
	ts = (struct priv_tcp_sock *)tap->ts;
	(void)listen(ts->fd, TCP_BACKLOG);
	mark(ts->fd, sa_af(&t->laddr), tos); /* connections inherit it */
	tap->connh = ts->connh;
	tap->arg = ts->arg;
	ts->connh = accept_handler;
	ts->arg = tap;
	if (http) {
		tap->reqh = http->reqh;
		tap->req_arg = http->arg;
		http->reqh = ws_request;
		http->arg = tap;
	}
	return 0;
}

/* libre prints this address into Via; 0.0.0.0 is nobody's. */
static void via_address(struct edge *edge, struct priv_transport *t)
{
	struct sa addr;

	if (sa_is_any(&t->laddr) && !edge_local_addr(edge, &addr, t->tp, NULL) &&
	    sa_af(&addr) == sa_af(&t->laddr))
		t->laddr = addr;
}

static struct priv_transport *transport_at(const struct edge *edge, size_t index)
{
	struct le *le = ((const struct priv_sip *)edge->sip)->transpl.head;

	while (le && index--)
		le = le->next;
	return le ? le->data : NULL;
}

/*
 * libre knows the socket by its descriptor's number. While it is off nothing is sent from it:
 * libre does not find a transport without an address family, and loopback leads nowhere else.
 */
static int udp_listen_at(struct transp_guard *guard, struct priv_transport *t, struct tap *tap,
			 const struct sa *addr)
{
	const struct snap_sip *set = guard->edge->snap ? snap_sip(guard->edge->snap) : NULL;
	struct sa off;
	int fd, err;

	(void)sa_set_str(&off, tap->af == AF_INET6 ? "::1" : "127.0.0.1", 0);
	if (addr && sa_af(addr) != tap->af)
		return -EAFNOSUPPORT;
	fd = socket_bound(SOCK_DGRAM, addr ? addr : &off);
	if (fd < 0)
		return fd;

	udp_out_remove(tap->us); /* what waits is still sent from the old address */
	fd_close(tap->fd);
	err = dup2(fd, tap->fd) < 0 ? -errno : 0;
	close(fd);
	sa_init(&t->laddr, AF_UNSPEC);
	if (err || !addr)
		return err;
	(void)udp_sockbuf_set(tap->us, UDP_SOCKBUF);
	mark(tap->fd, sa_af(addr), set ? set->tos_sip : 0);
	udp_out_add(tap->us, tap->fd);
	t->laddr = *addr;
	via_address(guard->edge, t);
	return err_from_re(fd_listen(tap->fd, FD_READ, read_handler, tap));
}

int guard_listen(struct transp_guard *guard, size_t index, const struct sa *addr)
{
	struct priv_transport *t = guard->is_on ? transport_at(guard->edge, index) : NULL;
	struct priv_tcp_sock *ts;
	int fd, err = 0;

	if (!t)
		return -ENOTSUP;
	if (t->tp == SIP_TRANSP_UDP)
		return udp_listen_at(guard, t, &guard->taps[index], addr);
	/* libre knows the listener by its descriptor's number: an unbound socket takes its place. */
	fd = addr ? socket_bound(SOCK_STREAM, addr)
		  : socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return addr ? fd : -errno;

	ts = (struct priv_tcp_sock *)listener_of(t);
	fd_close(ts->fd);
	if (dup2(fd, ts->fd) < 0)
		err = -errno;
	close(fd);
	if (!err && addr) {
		err = err_from_re(tcp_sock_listen(listener_of(t), TCP_BACKLOG));
		t->laddr = *addr;
		via_address(guard->edge, t);
	}
	return err;
}

int guard_add(struct transp_guard *guard)
{
	struct priv_transport *t = guard->is_on ? transport_at(guard->edge, guard->n_taps) : NULL;
	int err;

	if (!t)
		return guard->is_on ? -ENOTSUP : 0;
	err = tap_open(guard, t, false);
	via_address(guard->edge, t);
	return err;
}

static void guard_destructor(void *arg)
{
	struct transp_guard *guard = arg;

	for (size_t i = 0; i < guard->n_taps; i++) {
		if (!guard->taps[i].us)
			continue;
		udp_out_remove(guard->taps[i].us);
		fd_close(guard->taps[i].fd);
	}
	mem_deref(guard->rx);
}

int guard_alloc(struct transp_guard **ret, struct edge *edge)
{
	struct priv_sip *sip = (struct priv_sip *)edge->sip;
	struct transp_guard *guard;
	int err = 0;

	guard = mem_zalloc(sizeof(*guard), guard_destructor);
	if (!guard)
		return -ENOMEM;
	guard->edge = edge;
	guard->rx = udp_rx_alloc();
	if (!guard->rx) {
		mem_deref(guard);
		return -ENOMEM;
	}
	guard->is_on = layout_is_known(edge);
	if (!guard->is_on)
		log_error("sip.guard",
			  "this libre is not the one that was tested: no limits on connections, and "
			  "WebSockets close after 32 s",
			  kv_text("libre", sys_libre_version_get()));

	for (struct le *le = guard->is_on ? sip->transpl.head : NULL; !err && le; le = le->next) {
		err = tap_open(guard, le->data, edge->transports[guard->n_taps].is_proxied);
		via_address(edge, le->data);
	}
	if (err)
		mem_deref(guard);
	else
		*ret = guard;
	return err;
}
