/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_XAUTH_H
#define AOIDE_WEB_XAUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The single-use header `X-authenticate` (API-02..API-08, PUB-02, D-035, D-236). The parser and the
 * digest are pure; the store of used nonces is shared by all workers.
 */
#define XAUTH_MAX_BYTES    1024
#define XAUTH_MAX_NAME     128
#define XAUTH_NONCE_MIN    8
#define XAUTH_NONCE_MAX    128
#define XAUTH_WINDOW_S     300
#define XAUTH_HEX_BYTES    65 /* a digestPassword and its NUL */
#define XAUTH_DIGEST_BYTES 45 /* Base64 of 32 bytes and its NUL */

struct xauth {
	char username[XAUTH_MAX_NAME];
	char domain[XAUTH_MAX_NAME]; /* exactly as sent: it is part of the digest (D-035) */
	char digest[XAUTH_DIGEST_BYTES];
	char nonce[XAUTH_NONCE_MAX + 1];
	char created[24];
	int64_t created_s;
};

/*
 * Parses the header's value. White space and the order of the parameters are free, names of
 * parameters are compared without case, unknown ones are ignored.
 *
 * Returns 0 or -EINVAL (anything missing, doubled, too long or malformed).
 */
int xauth_parse(struct xauth *ret, const char *text, size_t len);

/* API-04: lower-case hexadecimal SHA-256 of `password{salt}`. buf: XAUTH_HEX_BYTES. */
void xauth_digest_password(char *buf, const char *password, const char *salt);

/* API-05. buf: XAUTH_DIGEST_BYTES. */
void xauth_digest(char *buf, const char *nonce, const char *digest_password, const char *username,
		  const char *domain, const char *created);

/* Same text? The time taken does not depend on where they differ. */
bool xauth_equal(const char *a, const char *b);

/* True within five minutes of now_s, both sides included (API-06). */
bool xauth_in_window(const struct xauth *auth, int64_t now_s);

/* "" and pbxAdmin in any case name the machine's own users (D-035). */
bool xauth_is_machine_domain(const char *domain);

/*
 * Used nonces per (domain, user), each kept until max(received, Created) + 5 minutes (D-236). What
 * is in the store survives a restart of the process in a small file, so that a header cannot be
 * replayed after one. Any thread.
 */
struct xauth_nonces;

#define XAUTH_NONCES_MAX (1u << 21) /* 48 MB at the very most */

/* path: where they outlive the process; NULL: in memory only. */
int xauth_nonces_alloc(struct xauth_nonces **ret, const char *path);
void xauth_nonces_free(struct xauth_nonces *store);

/*
 * Remembers a nonce whose digest was verified.
 *
 * Returns 0, -EDUPLICATE (used before), -ENOBUFS (the store is full of unexpired ones), -ENOMEM.
 */
int xauth_nonces_use(struct xauth_nonces *store, int64_t user_id, const char *nonce,
		     int64_t created_s, int64_t now_s);

/* How many are remembered now, expired ones not yet swept included. */
size_t xauth_nonces_count(struct xauth_nonces *store);

#endif
