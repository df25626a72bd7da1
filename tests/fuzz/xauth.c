/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "web/xauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* X-authenticate: what parses keeps the promises of its grammar. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char digest[XAUTH_DIGEST_BYTES];
	struct xauth auth;

	if (xauth_parse(&auth, (const char *)data, size))
		return 0;
	assert(*auth.username && !strchr(auth.username, '@') && !strchr(auth.username, '"'));
	assert(strlen(auth.nonce) >= XAUTH_NONCE_MIN && strlen(auth.nonce) <= XAUTH_NONCE_MAX);
	assert(strspn(auth.nonce, "0123456789abcdefABCDEF") == strlen(auth.nonce));
	assert(strlen(auth.created) == 20);
	xauth_digest(digest, auth.nonce, "", auth.username, auth.domain, auth.created);
	assert(strlen(digest) == XAUTH_DIGEST_BYTES - 1);
	return 0;
}
