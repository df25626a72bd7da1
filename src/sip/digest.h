/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_DIGEST_H
#define AOIDE_SIP_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/re.h"

/*
 * The server's half of digest authentication (RFC 3261 section 22, RFC 7616, RFC 8760). libre's
 * knows MD5 only and no replay check.
 *
 * A nonce is a time, a number and a MAC with a secret made at start: nothing is kept for a challenge
 * that nobody answers. Kept, in bounded memory, is which counters (nc) of a nonce were used, and
 * which accounts have used SHA-256. Call thread only.
 */
struct digest;

#define DIGEST_NONCE_MS      (10 * 60 * 1000) /* older nonces are stale */
#define DIGEST_MAX_PARAM     1024             /* longest value in an Authorization header */
#define DIGEST_CHALLENGE_MAX 1024             /* both challenges, printed */

enum digest_alg { DIGEST_NONE, DIGEST_MD5, DIGEST_SHA256 };

/* What the client's User-Agent can cope with; see docs/decisions/0070-digest-order.md. */
enum digest_offer { DIGEST_OFFER_MD5_FIRST, DIGEST_OFFER_SHA256_FIRST, DIGEST_OFFER_MD5_ONLY,
	DIGEST_OFFER_SHA256_ONLY };

struct digest_creds { /* borrowed from the header */
	struct pl username, realm, nonce, uri, response, cnonce, nc, qop;
	enum digest_alg alg; /* DIGEST_NONE: one that we did not offer */
};

enum digest_verdict {
	DIGEST_OK,
	DIGEST_STALE,    /* the password is right, the nonce old or used: challenge with stale=true */
	DIGEST_RETRY,    /* the nonce is not ours or old, and the password is wrong: challenge */
	DIGEST_WRONG,    /* the nonce is in force, the password wrong */
};

int digest_alloc(struct digest **ret);

/* Parses the value of an Authorization header. -EBADMSG: not Digest, or a needed part is missing. */
int digest_parse(struct digest_creds *ret, const struct pl *val);

/* WWW-Authenticate lines, each ended by CRLF. */
int digest_challenge(struct digest *digest, char *buf, size_t size, const char *realm,
		     enum digest_offer offer, bool stale);
enum digest_offer digest_offer_for(const struct pl *user_agent);

/*
 * Checks a response. An unknown account is checked against any other HA1, so that it takes as long,
 * with known false.
 */
enum digest_verdict digest_verify(struct digest *digest, const struct digest_creds *creds,
				  const struct pl *method, const uint8_t ha1_md5[16],
				  const uint8_t ha1_sha256[32], bool known);

/*
 * Has this phone (account and User-Agent), with this password, used SHA-256 before? Then MD5 is a
 * downgrade. Not the account alone: a browser that knows MD5 only may share it with a phone (D-078).
 */
struct digest_phone {
	int64_t account_id;
	struct pl user_agent;
	const uint8_t *ha1_sha256;
};
bool digest_is_downgrade(const struct digest *digest, const struct digest_phone *phone,
			 enum digest_alg alg);
void digest_remember(struct digest *digest, const struct digest_phone *phone, enum digest_alg alg);

/* The response value as lower case hex, for tests and our own requests. buf: 65 bytes. */
int digest_response(char buf[65], enum digest_alg alg, const uint8_t *ha1, const struct pl *method,
		    const struct digest_creds *creds);

#endif
