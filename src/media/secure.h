/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_SECURE_H
#define AOIDE_MEDIA_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "media/relay.h"

/*
 * What stands between a stream and the wire when that is not plain RTP: SRTP and SRTCP (RFC 3711,
 * 6188, 7714) with keys from SDES or DTLS, and ICE. A stream that has none of it has a NULL pointer
 * (stream->secure), which is all that a plain packet costs. Relay thread only.
 */
#define SECURE_TRAILER 32 /* room behind a packet for what protection appends */

/*
 * Takes a packet as it came. STUN and DTLS are dealt with here (RFC 7983), SRTP becomes RTP in place.
 * True: *len bytes of plain RTP or RTCP remain. False: it was not media, or may not be.
 */
bool secure_receive(struct relay *relay, struct stream *stream, struct sock *sock,
		    struct msghdr *msg, uint8_t *data, size_t *len);

/* Protects in place; SECURE_TRAILER bytes follow data. False: no keys yet, or refused: do not send. */
bool secure_protect(struct stream *stream, uint8_t *data, size_t *len, bool is_rtcp);

/* The address has passed a check of ICE; only for streams that have it (stream->ice). */
bool secure_source_ok(const struct stream *stream, const union net_addr *from);

/* What the stream has, made if it has none; NULL: out of memory. */
struct secure *secure_get(struct stream *stream);

/* MP_SECURE, MP_ICE and MP_CANDIDATE. */
void secure_on_secure(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);
void secure_on_ice(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);
void secure_on_candidate(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);

/* Checks or a handshake are under way. */
bool secure_is_busy(const struct stream *stream);
/* What is due of DTLS and ICE: at each housekeeping of the relay, every RELAY_PACE_MS while the stream is
 * busy, and when an address becomes known. */
void secure_tick(struct relay *relay, struct stream *stream);
void secure_free(struct stream *stream);

#endif
