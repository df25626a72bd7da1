/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_SEAL_H
#define AOIDE_BASE_SEAL_H

#include <stddef.h>
#include <stdint.h>

/*
 * Secrets at rest: sealed with a machine key (libsodium XChaCha20-Poly1305, random nonce, Base64
 * text that starts with "s1:"). Any thread after seal_init().
 */

/* Loads <data_dir>/machine.key (0600), making it on first start. */
int seal_init(const char *data_dir);

/* ret is free()d by the caller. context binds the text to its place ("account.password"). */
int seal_close(char **ret, const char *context, const char *plain);
int seal_open(char **ret, const char *context, const char *sealed); /* -ECORRUPT: wrong key or text */

/* Random text for secrets and salts. */
void seal_random_hex(char *buf, size_t size); /* size - 1 characters and a NUL */
void seal_random_secret(char *buf, size_t size); /* unambiguous letters and digits, each kind at least once (from 3 characters on) */

#endif
