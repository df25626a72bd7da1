/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_SDESC_SECURE_H
#define AOIDE_SIP_SDESC_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sip/sdesc.h"

/*
 * Keys, fingerprints and ICE in a session description: SDES (RFC 4568, 6188, 7714), DTLS-SRTP
 * (RFC 5763, 8122, 8842) and ICE (RFC 8839). Pure functions. What is said here concerns one hop: it is
 * read from one side's description, made anew for the other's, and never handed on.
 */
enum sdesc_suite {
	SDESC_SUITE_NONE,
	SDESC_AES_CM_128_HMAC_SHA1_80, SDESC_AES_CM_128_HMAC_SHA1_32,
	SDESC_AES_256_CM_HMAC_SHA1_80, SDESC_AES_256_CM_HMAC_SHA1_32,
	SDESC_AEAD_AES_128_GCM, SDESC_AEAD_AES_256_GCM, SDESC_SUITES,
};

enum sdesc_hash { SDESC_SHA_1, SDESC_SHA_256, SDESC_SHA_384, SDESC_SHA_512, SDESC_HASHES };
enum sdesc_setup { SDESC_SETUP_NONE, SDESC_ACTPASS, SDESC_ACTIVE, SDESC_PASSIVE };

#define SDESC_MAX_CRYPTO     8
#define SDESC_MAX_KEY        46
#define SDESC_MAX_CANDIDATES 16
#define SDESC_MAX_UFRAG      32 /* with the end; RFC 8839 allows 256, nobody sends more than 8 */
#define SDESC_MAX_PWD        64
#define SDESC_MAX_MID        32

struct sdesc_crypto {
	uint32_t tag;
	enum sdesc_suite suite;
	uint8_t key[SDESC_MAX_KEY]; /* master key and salt, as long as the suite has them */
};

struct sdesc_candidate {
	struct sa addr;
	uint32_t priority;
	uint8_t component;
};

/* What one m-line (and the session level) says of itself. */
struct sdesc_secure {
	struct sdesc_crypto crypto[SDESC_MAX_CRYPTO]; /* those that we can use, in their order */
	size_t n_crypto;
	bool has_fingerprint;
	enum sdesc_hash hash;
	uint8_t fingerprint[64];
	enum sdesc_setup setup;
	char ufrag[SDESC_MAX_UFRAG], pwd[SDESC_MAX_PWD]; /* empty: no ICE */
	bool ice_lite;
	struct sdesc_candidate candidates[SDESC_MAX_CANDIDATES]; /* UDP, with an address */
	size_t n_candidates;
	char mid[SDESC_MAX_MID];
};

/* What is not understood is left out, as if it had not been offered. A line of a bundle that says nothing
 * of its transport has that of the tagged line. */
void sdesc_secure_parse(struct sdesc_secure *ret, const struct sdesc *desc, size_t line);

/*
 * Prints one line "a=...\r\n" behind what buf (NUL terminated, size bytes) holds. False: no room.
 */
bool sdesc_put_crypto(char *buf, size_t size, const struct sdesc_crypto *crypto);
bool sdesc_put_fingerprint(char *buf, size_t size, enum sdesc_hash hash, const uint8_t *fingerprint);
bool sdesc_put_candidate(char *buf, size_t size, const struct sdesc_candidate *candidate,
			 unsigned foundation, const char *type);
/* "name:value", or "name" when value is NULL. */
bool sdesc_put_attr(char *buf, size_t size, const char *name, const char *value);

#endif
