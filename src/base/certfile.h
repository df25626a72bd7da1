/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_CERTFILE_H
#define AOIDE_BASE_CERTFILE_H

#include <openssl/types.h>

/*
 * Puts the certificate of a PEM file (certificate, chain, key) in the place of whatever a server's
 * context has: handshakes that begin from now on get it, connections that are open go on. For the
 * thread that makes the context's handshakes.
 *
 * Returns 0, or -EINVAL (no certificate, no key, or one that belongs to another certificate), -ENOMEM;
 * then the context is as before.
 */
int certfile_replace(SSL_CTX *ctx, const char *path);

#endif
