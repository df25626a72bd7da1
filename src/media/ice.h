/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_ICE_H
#define AOIDE_MEDIA_ICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include "media/relay.h"

/*
 * ICE of one stream (RFC 8445). We are a lite agent: our address is known, we answer checks and take
 * the pair that the other side nominates. Where the other side is lite as well somebody must check:
 * then it is us, as controlling agent, with consent (RFC 7675). Relay thread only.
 *
 * While a stream has an agent, packets are taken from addresses that passed a check and from nowhere
 * else, and leave for the selected one; what SDP said of addresses does not count.
 */
#define AGENT_PAIRS 16

struct agent;

/* Begins, or goes on: the same credentials again change nothing. -ENOMEM. */
int agent_set(struct agent **agent, struct relay *relay, struct stream *stream,
	      const struct mp_ice *msg);
void agent_candidate(struct agent *agent, struct relay *relay, struct stream *stream,
		     const struct mp_candidate *msg);
void agent_free(struct agent *agent);

/* A STUN message. */
void agent_receive(struct agent *agent, struct relay *relay, struct stream *stream,
		   const struct sock *sock, struct msghdr *msg, const uint8_t *data, size_t len);
bool agent_knows(const struct agent *agent, const union net_addr *from);
/* A pair for RTP is in use. */
bool agent_is_ready(const struct agent *agent);
/* Checks of ours are not answered yet. */
bool agent_is_busy(const struct agent *agent);
/* Checks that are due; a new pair each time at most, the best first (RFC 8445 section 14.2).
 * Returns 0 or, once, a negative error: nothing answers (any more). */
int agent_tick(struct agent *agent, struct relay *relay, struct stream *stream);

#endif
