/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_LEG_SECURE_H
#define AOIDE_CALL_LEG_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include "sip/sdesc.h"

/*
 * Keys and ICE of a leg (D-080): what its account lets us offer and accept, what was agreed, what the
 * media process must know. Each leg has keys of its own; nothing of one side's reaches the other.
 */
struct leg;

/*
 * Whether what the peer says of encryption (offer or answer) is what its account asks for.
 * 0; -EACCES: required and missing, or present and switched off. Logs why.
 */
int leg_secure_check(const struct leg *leg, const struct sdesc *desc);

/* True when we can agree on keys, or on none, for this line of the peer's. */
bool leg_secure_carries(const struct leg *leg, const struct sdesc *desc, size_t line);

/*
 * The peer's description is in force: which of its lines share one transport (RFC 9143). Before
 * leg_secure_remote() of its lines, when streams of refused ones are gone.
 */
void leg_secure_group(struct leg *leg, const struct sdesc *desc);

/* The peer's line is in force: agrees and tells the stream. Before media_set_remote(). */
void leg_secure_remote(struct leg *leg, const struct sdesc *desc, size_t line);

/* The streams of the leg end. */
void leg_secure_close(struct leg *leg);

/* The stream whose port the line has: its own, or that of its bundle. */
const struct media_stream *leg_secure_transport(const struct leg *leg, size_t line);

/* Sets what only this hop says; the texts are good until the next call. */
void leg_secure_print(struct leg *leg, const struct sdesc *desc, struct sdesc_print_opts *opts);

/*
 * A phone refused an offer of plain RTP with keys beside it (account "optional"): the next offer is
 * encryption alone, as phones that insist on it want it, the one after that has no keys. False: there
 * is nothing left to try.
 */
bool leg_secure_fall_back(struct leg *leg, unsigned scode);

#endif
