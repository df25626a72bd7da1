/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_UDP_OUT_H
#define AOIDE_SIP_UDP_OUT_H

#include "base/re.h"

/*
 * What the SIP sockets send, in fewer and cheaper system calls than libre's.
 *
 * udp_out.c takes the place of libre's udp_send() and udp_local_get() through the symbol table, as the
 * timers do (base/timer.h). For sockets that are named here, responses, ACK, BYE and INVITE wait for the
 * end of the turn of the loop and leave together, in their order; where nobody is named, and for all other
 * requests, whose errors libre wants to know, libre's own function is called. So it is for an INVITE to an
 * address that something could not be sent to before. libre asks the kernel for the address of a socket
 * with every message that it traces: it is asked once. Call thread only.
 */

/* The socket of a transport, bound for good; fd is what it reads and writes. */
void udp_out_add(struct udp_sock *us, int fd);
void udp_out_remove(const struct udp_sock *us);

/* How much of what waited could then not be sent, since the start; a warning says so. */
uint64_t udp_out_lost(void);

#endif
