/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_EDGE_PRIV_H
#define AOIDE_SIP_EDGE_PRIV_H

#include "base/re.h"
#include "sip/edge.h"
#include "sip/registrar.h"

/* Shared by the files of the edge only. Call thread. */
struct digest;
struct limiter;
struct trace;
struct transp_guard;

#define EDGE_TRANSPORTS  16  /* listening addresses times transports */
#define EDGE_ROUTE_CACHE 256 /* destinations whose local address is remembered */
#define EDGE_MAX_MESSAGE 65535

struct edge_transport {
	enum sip_transp tp;
	struct sa laddr; /* as bound; the port is the real one */
	bool is_proxied; /* laddr is the web server's */
	bool is_off;     /* not listening: switched off, or its port was changed */
};

struct edge_route {
	struct sa dst;   /* without port */
	struct sa local;
	uint64_t until_ms;
};

struct outside;

struct edge {
	struct sip *sip;
	struct sip_lsnr *lsnr_req, *lsnr_resp;
	struct dnsc *dnsc;
	struct tls *tls;
	char *cert_path;
	char *listen;
	char *proxy_secret;
	uint16_t proxy_port;      /* on loopback */
	struct sa advertise;      /* unset: found per destination */
	struct outside *outside;
	struct edge_transport transports[EDGE_TRANSPORTS];
	size_t n_transports;
	struct edge_route routes[EDGE_ROUTE_CACHE];

	struct snap *snap;
	struct writer *writer;
	struct registrar *registrar;
	struct digest *digest;
	struct limiter *limiter;
	struct trace *trace;
	struct transp_guard *guard;

	edge_invite_h *invite_h;
	edge_event_h *event_h;
	void *arg;
	edge_dialog_h *dialog_h;
	void *dialog_arg;
	struct edge_stats stats;
};

/* Somebody may reach us by this transport. */
bool edge_is_on(const struct edge *edge, int tp);

/* edge_check.c: every request that no transaction knows. */
bool edge_request(const struct sip_msg *msg, void *arg);
bool edge_response(const struct sip_msg *msg, void *arg);
/* Replies without a transaction; reason says what is wrong. hdrs: more lines, or NULL. */
void edge_refuse(struct edge *edge, const struct sip_msg *msg, uint16_t scode, const char *reason,
		 const char *hdrs);

/* edge_form.c: what is wrong with a request by the letter of RFC 3261, of what is forgiven otherwise. */
const char *edge_pedantic(const struct sip_msg *msg);

/* v4 as ::ffff:a.b.c.d, as the snapshot's networks are. */
void edge_addr16(uint8_t addr[16], const struct sa *sa);
/* v4-mapped IPv6 as plain IPv4. */
void edge_sa_unmap(struct sa *ret, const struct sa *sa);

#endif
