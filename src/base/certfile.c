/* SPDX-License-Identifier: Apache-2.0 */
#include "base/certfile.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_CHAIN 16

/*
 * A context keeps one certificate per kind of key, and has no function to take one away: an RSA
 * certificate loaded over one with an EC key would be there and never be shown. So the replacement
 * hangs on the context, and each handshake takes that and nothing else.
 */
struct certfile {
	X509 *leaf;
	EVP_PKEY *key;
	STACK_OF(X509) *chain;
};

static void certfile_free(struct certfile *file)
{
	if (!file)
		return;
	X509_free(file->leaf);
	EVP_PKEY_free(file->key);
	sk_X509_pop_free(file->chain, X509_free);
	free(file);
}

static void free_with_context(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl,
			      void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	certfile_free(ptr);
}

/* The one place of ours in every context; OpenSSL gives it out once per process. */
static CRYPTO_ONCE place_once = CRYPTO_ONCE_STATIC_INIT;
static int place = -1;

static void take_place(void)
{
	place = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_with_context);
}

static int choose_h(SSL *ssl, void *arg)
{
	const struct certfile *file = SSL_CTX_get_ex_data(arg, place);

	SSL_certs_clear(ssl);
	return SSL_use_cert_and_key(ssl, file->leaf, file->key, file->chain, 1);
}

static int read_pem(struct certfile *file, FILE *pem)
{
	X509 *cert;

	file->leaf = PEM_read_X509_AUX(pem, NULL, NULL, NULL);
	file->chain = sk_X509_new_null();
	if (!file->leaf || !file->chain)
		return -EINVAL;
	while (sk_X509_num(file->chain) < MAX_CHAIN && (cert = PEM_read_X509(pem, NULL, NULL, NULL))) {
		if (!sk_X509_push(file->chain, cert)) {
			X509_free(cert);
			return -ENOMEM;
		}
	}

	/* The key may stand before or behind the certificates. */
	rewind(pem);
	file->key = PEM_read_PrivateKey(pem, NULL, NULL, NULL);
	return file->key && X509_check_private_key(file->leaf, file->key) == 1 ? 0 : -EINVAL;
}

int certfile_replace(SSL_CTX *ctx, const char *path)
{
	struct certfile *file = calloc(1, sizeof(*file)), *old;
	FILE *pem = fopen(path, "re");
	int err;

	if (!CRYPTO_THREAD_run_once(&place_once, take_place) || place < 0 || !file)
		err = -ENOMEM;
	else
		err = pem ? read_pem(file, pem) : -EINVAL;
	if (err)
		goto out;

	old = SSL_CTX_get_ex_data(ctx, place);
	if (SSL_CTX_set_ex_data(ctx, place, file) != 1) {
		err = -ENOMEM;
		goto out;
	}
	certfile_free(old);
	file = NULL;
	SSL_CTX_set_cert_cb(ctx, choose_h, ctx);

out:
	if (pem)
		(void)fclose(pem);
	certfile_free(file);
	ERR_clear_error();
	return err;
}
