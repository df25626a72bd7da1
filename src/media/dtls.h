/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_DTLS_H
#define AOIDE_MEDIA_DTLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "media/client.h"

/*
 * DTLS-SRTP (RFC 5763, 5764) with DTLS 1.2: an association makes the keys of one transport. The other
 * side proves itself by the fingerprint that signalling told; certificates are self-signed.
 *
 * A handshake is done where its packets arrive, in the relay thread: with P-256 our share costs 0.5 ms of
 * it (bench_dtls), once per call, in steps of which the longest takes 0.4 ms as server and 0.5 ms as
 * client: no longer than a packet may wait. A helper thread would cost two thread changes per flight to
 * save that. Foreign RSA keys are limited to 4096 bits
 * (0.1 ms to verify) by the size of what is accepted.
 */
struct assoc;
struct assoc_identity; /* of the process: a key and its self-signed certificate */

#define ASSOC_KEY_BYTES 46
#define ASSOC_HASH_BYTES 64

int assoc_identity_alloc(struct assoc_identity **ret); /* -ENOMEM */
void assoc_identity_free(struct assoc_identity *identity);
void assoc_fingerprint(uint8_t sha256[32], const struct assoc_identity *identity);

/* Sends one datagram to the other side. */
typedef void(assoc_send_h)(void *arg, const uint8_t *data, size_t len);

struct assoc_opts {
	const struct assoc_identity *identity;
	bool active;         /* we are the client */
	enum media_hash hash;
	const uint8_t *fingerprint; /* hash's length */
};

enum assoc_state { ASSOC_NEW, ASSOC_SHAKING, ASSOC_DONE, ASSOC_FAILED };

int assoc_alloc(struct assoc **ret, const struct assoc_opts *opts);
void assoc_free(struct assoc *assoc);

/* Each may send. The state afterwards is the answer; errors are told once, by the state's change. */
enum assoc_state assoc_start(struct assoc *assoc, assoc_send_h *send_h, void *arg); /* active */
enum assoc_state assoc_receive(struct assoc *assoc, const uint8_t *data, size_t len,
			       assoc_send_h *send_h, void *arg);
/* Repeats what got lost; call it four times a second. */
enum assoc_state assoc_tick(struct assoc *assoc, uint64_t now_us, assoc_send_h *send_h, void *arg);

enum assoc_state assoc_state(const struct assoc *assoc);
bool assoc_is_same(const struct assoc *assoc, const struct assoc_opts *opts);
/* -EACCES: another certificate than announced; -EPROTO. 0: not failed. */
int assoc_error(const struct assoc *assoc);
/* Master key and salt of each direction, when DONE. */
enum media_suite assoc_keys(const struct assoc *assoc, uint8_t tx[ASSOC_KEY_BYTES],
			    uint8_t rx[ASSOC_KEY_BYTES]);

#endif
