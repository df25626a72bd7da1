/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_TRANSP_GUARD_H
#define AOIDE_SIP_TRANSP_GUARD_H

#include <stdint.h>
#include "base/re.h"

/*
 * What libre 1.1.0's transports do not offer and a server in the open needs: limits on connections
 * at accept, a look at datagrams before they are parsed (banned sources, broken messages that
 * deserve a 400), whether a connection is still there, requests to browsers (libre queues them for ever, and does
 * not name the subprotocol, without which they hang up), the idle timer of WebSockets (libre closes each 32 s after its start, because
 * nothing restarts the timer), a real address in Via when listening on a wildcard.
 *
 * It reads structs that libre keeps private. guard_alloc() proves their layout with values that are
 * known (version, back pointers, addresses); when one does not fit, the guard stays off with an error in
 * the log and the rest works without it. Call thread only.
 */
struct edge;
struct transp_guard;

#define GUARD_MAX_CONNS            16384
#define GUARD_MAX_CONNS_PER_SOURCE 64   /* of an address that nobody has authenticated from */
#define GUARD_MAX_CONNS_GOOD       4096 /* an office behind one address */

/* After the transports were added. ret gets an inactive guard when libre is another one. */
int guard_alloc(struct transp_guard **ret, struct edge *edge);

/*
 * libre refuses to listen on a wildcard. Moves the transport that was added last, and that listens
 * on some loopback port, to this address: its descriptor becomes another socket, which libre only
 * knows by number. -ENOTSUP: an unknown libre.
 */
int guard_rebind(struct sip *sip, enum sip_transp tp, const struct sa *addr);

/*
 * The transport that was added last, a WebSocket listener on loopback, serves a proxy of ours: it
 * calls itself tp at `visible` from now on. port: where it really listens. -ENOTSUP as above.
 */
int guard_stand_behind(struct sip *sip, enum sip_transp tp, const struct sa *visible, uint16_t *port);

/* Opens the listener of a transport (its place in the order of adding) at an address, or closes it
 * (NULL). A UDP socket keeps its family. -ENOTSUP as above. */
int guard_listen(struct transp_guard *guard, size_t index, const struct sa *addr);
/* A transport that was added after guard_alloc(). */
int guard_add(struct transp_guard *guard);

/* The connection of this message lives for another idle_ms; nothing for UDP. */
void guard_conn_touch(struct transp_guard *guard, const struct sip_msg *msg, uint32_t idle_ms);

/* The TLS contexts that libre made for WSS itself; stops at the first error. */
typedef int(guard_tls_h)(struct tls *tls, void *arg);
int guard_tls_apply(struct transp_guard *guard, guard_tls_h *h, void *arg);

/* The connection that a message for this address would take; UP also when the guard is off. */
enum guard_conn { GUARD_CONN_NONE, GUARD_CONN_OPENING, GUARD_CONN_UP };
enum guard_conn guard_conn_state(const struct transp_guard *guard, enum sip_transp tp, const struct sa *peer);

uint32_t guard_conn_count(const struct transp_guard *guard);

#endif
