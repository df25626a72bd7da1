/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_EDGE_H
#define AOIDE_SIP_EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The SIP edge: transports, and who may pass. Every request from outside enters here: malformed
 * ones are answered or dropped, REGISTER goes to the registrar, initial INVITEs are authenticated
 * (digest, registration check, ACL, transport: BASE-29, BASE-44, BASE-45, BASE-50, D-066) and handed
 * on with the account they come from. Requests inside dialogs belong to sip/inv. Call thread only.
 */
struct sip;
struct sip_msg;
struct sa;
struct snap;
struct snap_account;
struct writer;
struct edge;
struct registrar;

/* An authenticated initial INVITE (no To tag). msg is borrowed: sip_strans_alloc and mem_ref it
 * inside. The handler answers it. */
typedef void(edge_invite_h)(const struct sip_msg *msg, const struct snap_account *account, void *arg);

/* What the web, the audit and the log hear: "failed authentication", "banned"... data is a JSON
 * object text; subject without prefix ("security.sip.auth_failed"). tenant_id 0: node. */
typedef void(edge_event_h)(const char *subject, int64_t tenant_id, const char *json, void *arg);

/* A request that belongs to a dialog: true when it was one of ours and is answered. Also each
 * response that no transaction knows. */
typedef bool(edge_dialog_h)(const struct sip_msg *msg, void *arg);

struct edge_opts {
	const char *listen;      /* "0.0.0.0", "::" or addresses, several with commas */
	const char *advertise;   /* host for Contact and Via when listen is a wildcard; may be NULL */
	uint16_t udp_port, tcp_port, tls_port, ws_port, wss_port; /* 0: off */
	const char *cert_path;   /* PEM for TLS and WSS */
	/*
	 * WebSockets that the web server passes on (/ws-sip, D-084): a listener on loopback, for who
	 * knows the secret only, whose connections count as WSS of the address that the web server names.
	 */
	const char *proxy_secret; /* NULL: none */
	uint16_t proxy_port;     /* what the world sees: the web server's */
	struct snap *snap;       /* borrowed */
	struct writer *writer;   /* registrations are stored through it; NULL in tests */
	edge_invite_h *invite_h;
	edge_event_h *event_h;
	void *arg;
};

int edge_alloc(struct edge **ret, const struct edge_opts *opts);
void edge_close(struct edge *edge); /* stops listening, ends transactions, frees */

/*
 * sip/inv takes what carries a To tag (and ACK) through this one handler. Do not sip_listen() for
 * requests: the edge answers what nobody knows (481, 405, 501) and has to be asked last.
 */
void edge_set_dialog_handler(struct edge *edge, edge_dialog_h *h, void *arg);

/* Where the web server reaches us, on 127.0.0.1; 0: nowhere. It says who it speaks for in this header
 * of the handshake: "<secret> <address>:<port>". */
#define EDGE_PROXY_HEADER "X-Aoide-Peer"
uint16_t edge_proxy_port(const struct edge *edge);

/*
 * Where each transport listens, also while running (PLT-36, in the order of enum snap_transport): port 0
 * closes, another port or address replaces the one there was. proxied: browsers are taken from the web
 * server. Connections that are open end by themselves; what they ask by a transport that is off is refused.
 *
 * Returns 0, -EAGAIN (an address is not this machine's now: that transport stays as it was), else as
 * edge_alloc(). What could be opened is open.
 */
struct edge_listener {
	uint16_t port;
	const char *bind; /* an address or interface (base/iface.h); NULL or empty: those of the start */
};
int edge_set_listeners(struct edge *edge, const struct edge_listener list[], bool proxied);

/* The settings of the node have changed: where strangers reach us (sip/outside.h). */
int edge_set_outside(struct edge *edge);
/* Our address as strangers see it, for those that try several (ICE): of the settings, else as a STUN
 * server sees us. NULL: not known. */
const struct sa *edge_outside(const struct edge *edge);

/* Uses the certificate and key in this PEM from the next TLS connection on; NULL: the same file. */
int edge_reload_cert(struct edge *edge, const char *cert_path);
struct sip *edge_sip(const struct edge *edge);
struct registrar *edge_registrar(const struct edge *edge);
const struct snap *edge_snap(const struct edge *edge);

/* The address that a peer at dst reaches us at, for SDP and Contact: with the port of transport tp
 * (enum sip_transp). -ENOENT: tp is not listening. */
int edge_local_addr(const struct edge *edge, struct sa *ret, int tp, const struct sa *dst);

/*
 * Trace of one call as it was on the wire: text to read, or pcap (LINKTYPE_RAW with synthetic
 * UDP/IP). The edge keeps the last EDGE_TRACE_MESSAGES messages in a ring of bounded bytes.
 * callids: SIP Call-IDs of the legs. ret is malloc'ed. Secrets in Authorization headers are masked.
 */
#define EDGE_TRACE_MESSAGES 4096
#define EDGE_TRACE_BYTES    (4u * 1024 * 1024)
int edge_trace_text(const struct edge *edge, char **ret, const char *const *callids, size_t n);
int edge_trace_pcap(const struct edge *edge, uint8_t **ret, size_t *len, const char *const *callids,
		    size_t n);

struct edge_stats {
	uint64_t requests, responses, malformed, auth_failed, refused, rate_limited;
	uint64_t conns_refused;
	uint32_t registrations, tcp_connections;
};
void edge_stats(const struct edge *edge, struct edge_stats *ret);

#endif
