/* SPDX-License-Identifier: Apache-2.0 */
#include "media/dtls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#define MTU          1200
#define MAX_CERT     8192    /* bytes of a chain; keeps keys at a size that is quickly verified */
#define REPEAT_US    400000  /* first repetition; the round trips of calls are shorter */
#define REPEAT_MOST_US 3000000
#define LINGER_US    10000000 /* a repeated last flight of theirs is answered for so long */
#define VALID_S      (20L * 366 * 86400)

static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES";
static const char profiles[] = "SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:"
			       "SRTP_AES128_CM_SHA1_80:SRTP_AES128_CM_SHA1_32";
static const char label[] = "EXTRACTOR-dtls_srtp";

static const struct {
	unsigned long id;
	enum media_suite suite;
	size_t key, salt;
} suites[] = {
	{ SRTP_AEAD_AES_256_GCM, MEDIA_AEAD_AES_256_GCM, 32, 12 },
	{ SRTP_AEAD_AES_128_GCM, MEDIA_AEAD_AES_128_GCM, 16, 12 },
	{ SRTP_AES128_CM_SHA1_80, MEDIA_AES_CM_128_HMAC_SHA1_80, 16, 14 },
	{ SRTP_AES128_CM_SHA1_32, MEDIA_AES_CM_128_HMAC_SHA1_32, 16, 14 },
};

static const struct {
	const EVP_MD *(*md)(void);
	size_t len;
} hashes[MEDIA_HASHES] = {
	[MEDIA_SHA_1] = { EVP_sha1, 20 },
	[MEDIA_SHA_256] = { EVP_sha256, 32 },
	[MEDIA_SHA_384] = { EVP_sha384, 48 },
	[MEDIA_SHA_512] = { EVP_sha512, 64 },
};

struct assoc_identity {
	SSL_CTX *ctx;
	BIO_METHOD *bio;
	uint8_t fingerprint[32];
};

struct assoc {
	SSL *ssl;                 /* NULL again when nobody can repeat anything any more */
	enum assoc_state state;
	bool active;
	enum media_hash hash;
	uint8_t fingerprint[ASSOC_HASH_BYTES];
	int err;
	uint64_t done_us;
	enum media_suite suite;
	uint8_t tx[ASSOC_KEY_BYTES], rx[ASSOC_KEY_BYTES];

	/* while a function of ours runs */
	const uint8_t *data;
	size_t len;
	assoc_send_h *send_h;
	void *arg;
};

/* ------------------------------------------------------------------ a datagram as a BIO */

static int bio_write(BIO *bio, const char *data, int len)
{
	struct assoc *assoc = BIO_get_data(bio);

	if (assoc->send_h && len > 0)
		assoc->send_h(assoc->arg, (const uint8_t *)data, (size_t)len);
	return len; /* what gets lost is repeated */
}

static int bio_read(BIO *bio, char *buf, int size)
{
	struct assoc *assoc = BIO_get_data(bio);
	size_t len = assoc->len;

	BIO_clear_retry_flags(bio);
	if (!assoc->data || size <= 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (len > (size_t)size)
		len = (size_t)size;
	memcpy(buf, assoc->data, len);
	assoc->data = NULL;
	return (int)len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_DGRAM_QUERY_MTU:
	case BIO_CTRL_DGRAM_GET_FALLBACK_MTU:
		return MTU;
	case BIO_CTRL_DGRAM_GET_MTU_OVERHEAD:
		return 48;
	default:
		return 0;
	}
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* ------------------------------------------------------------------ identity */

static int certificate(X509 **ret, EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name;
	uint64_t serial = 0;
	bool ok;

	if (!cert)
		return -ENOMEM;
	name = X509_get_subject_name(cert);
	ok = RAND_bytes((uint8_t *)&serial, sizeof(serial)) == 1 && X509_set_version(cert, 2) &&
	     ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1) &&
	     X509_gmtime_adj(X509_getm_notBefore(cert), -86400) &&
	     X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S) && X509_set_pubkey(cert, key) &&
	     X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"aoide", -1, -1,
					0) &&
	     X509_set_issuer_name(cert, name) && X509_sign(cert, key, EVP_sha256());
	if (!ok) {
		X509_free(cert);
		return -ENOMEM;
	}
	*ret = cert;
	return 0;
}

/* Who the other side is its fingerprint tells, after the handshake. */
static int accept_any(X509_STORE_CTX *ctx, void *arg)
{
	return 1;
}

static unsigned timer_h(SSL *ssl, unsigned us)
{
	return !us ? REPEAT_US : us * 2 > REPEAT_MOST_US ? REPEAT_MOST_US : us * 2;
}

static int context(SSL_CTX **ret, EVP_PKEY *key, X509 *cert)
{
	SSL_CTX *ctx = SSL_CTX_new(DTLS_method());

	if (!ctx)
		return -ENOMEM;
	if (!SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION) ||
	    !SSL_CTX_set_cipher_list(ctx, ciphers) || SSL_CTX_use_certificate(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_set_tlsext_use_srtp(ctx, profiles)) {
		SSL_CTX_free(ctx);
		return -ENOMEM;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
	SSL_CTX_set_max_cert_list(ctx, MAX_CERT);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_QUERY_MTU |
					 SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_read_ahead(ctx, 1);
	*ret = ctx;
	return 0;
}

int assoc_identity_alloc(struct assoc_identity **ret)
{
	struct assoc_identity *identity = calloc(1, sizeof(*identity));
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = NULL;
	int err = -ENOMEM;

	if (!identity || !key)
		goto out;
	err = certificate(&cert, key);
	if (!err)
		err = context(&identity->ctx, key, cert);
	if (err)
		goto out;

	(void)X509_digest(cert, EVP_sha256(), identity->fingerprint, NULL);
	identity->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagram");
	if (!identity->bio || !BIO_meth_set_write(identity->bio, bio_write) ||
	    !BIO_meth_set_read(identity->bio, bio_read) ||
	    !BIO_meth_set_ctrl(identity->bio, bio_ctrl) ||
	    !BIO_meth_set_create(identity->bio, bio_create))
		err = -ENOMEM;

out:
	X509_free(cert);
	EVP_PKEY_free(key);
	if (err) {
		assoc_identity_free(identity);
		return err;
	}
	*ret = identity;
	return 0;
}

void assoc_identity_free(struct assoc_identity *identity)
{
	if (!identity)
		return;
	SSL_CTX_free(identity->ctx);
	BIO_meth_free(identity->bio);
	free(identity);
}

void assoc_fingerprint(uint8_t sha256[32], const struct assoc_identity *identity)
{
	memcpy(sha256, identity->fingerprint, sizeof(identity->fingerprint));
}

/* ------------------------------------------------------------------ associations */

int assoc_alloc(struct assoc **ret, const struct assoc_opts *opts)
{
	struct assoc *assoc = calloc(1, sizeof(*assoc));
	BIO *bio;

	if (!assoc)
		return -ENOMEM;
	assoc->active = opts->active;
	assoc->hash = opts->hash;
	memcpy(assoc->fingerprint, opts->fingerprint, hashes[opts->hash].len);
	assoc->ssl = SSL_new(opts->identity->ctx);
	bio = assoc->ssl ? BIO_new(opts->identity->bio) : NULL;
	if (!bio) {
		assoc_free(assoc);
		return -ENOMEM;
	}
	BIO_set_data(bio, assoc);
	SSL_set_bio(assoc->ssl, bio, bio);
	(void)SSL_set_mtu(assoc->ssl, MTU);
	DTLS_set_timer_cb(assoc->ssl, timer_h);
	if (opts->active)
		SSL_set_connect_state(assoc->ssl);
	else
		SSL_set_accept_state(assoc->ssl);
	*ret = assoc;
	return 0;
}

void assoc_free(struct assoc *assoc)
{
	if (!assoc)
		return;
	SSL_free(assoc->ssl);
	OPENSSL_cleanse(assoc, sizeof(*assoc));
	free(assoc);
}

bool assoc_is_same(const struct assoc *assoc, const struct assoc_opts *opts)
{
	return assoc->active == opts->active && assoc->hash == opts->hash &&
	       !memcmp(assoc->fingerprint, opts->fingerprint, hashes[opts->hash].len);
}

static enum assoc_state fail(struct assoc *assoc, int err)
{
	assoc->state = ASSOC_FAILED;
	assoc->err = err;
	ERR_clear_error();
	return assoc->state;
}

static bool is_who_was_announced(const struct assoc *assoc)
{
	X509 *cert = SSL_get1_peer_certificate(assoc->ssl);
	uint8_t digest[EVP_MAX_MD_SIZE];
	bool same;

	same = cert && X509_digest(cert, hashes[assoc->hash].md(), digest, NULL) &&
	       !CRYPTO_memcmp(digest, assoc->fingerprint, hashes[assoc->hash].len);
	X509_free(cert);
	return same;
}

/* RFC 5764 section 4.2: client key, server key, client salt, server salt. */
static enum assoc_state take_keys(struct assoc *assoc)
{
	SRTP_PROTECTION_PROFILE *profile = SSL_get_selected_srtp_profile(assoc->ssl);
	uint8_t material[2 * (32 + 14)], *client, *server;
	size_t key = 0, salt = 0;

	for (size_t i = 0; profile && i < sizeof(suites) / sizeof(suites[0]); i++) {
		if (suites[i].id != profile->id)
			continue;
		assoc->suite = suites[i].suite;
		key = suites[i].key;
		salt = suites[i].salt;
	}
	if (!key || SSL_export_keying_material(assoc->ssl, material, 2 * (key + salt), label,
					       sizeof(label) - 1, NULL, 0, 0) != 1)
		return fail(assoc, -EPROTO);

	client = assoc->active ? assoc->tx : assoc->rx;
	server = assoc->active ? assoc->rx : assoc->tx;
	memcpy(client, material, key);
	memcpy(server, material + key, key);
	memcpy(client + key, material + 2 * key, salt);
	memcpy(server + key, material + 2 * key + salt, salt);
	OPENSSL_cleanse(material, sizeof(material));
	assoc->state = ASSOC_DONE;
	return assoc->state;
}

static enum assoc_state advance(struct assoc *assoc)
{
	int n = SSL_do_handshake(assoc->ssl);

	if (n == 1)
		return is_who_was_announced(assoc) ? take_keys(assoc) : fail(assoc, -EACCES);
	switch (SSL_get_error(assoc->ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		ERR_clear_error();
		return assoc->state;
	default:
		return fail(assoc, -EPROTO);
	}
}

static void begin(struct assoc *assoc, const uint8_t *data, size_t len, assoc_send_h *send_h,
		  void *arg)
{
	assoc->data = data;
	assoc->len = len;
	assoc->send_h = send_h;
	assoc->arg = arg;
	ERR_clear_error();
}

static enum assoc_state end(struct assoc *assoc)
{
	assoc->data = NULL;
	assoc->send_h = NULL;
	return assoc->state;
}

enum assoc_state assoc_start(struct assoc *assoc, assoc_send_h *send_h, void *arg)
{
	if (assoc->state != ASSOC_NEW || !assoc->active)
		return assoc->state;
	begin(assoc, NULL, 0, send_h, arg);
	assoc->state = ASSOC_SHAKING;
	(void)advance(assoc);
	return end(assoc);
}

enum assoc_state assoc_receive(struct assoc *assoc, const uint8_t *data, size_t len,
			       assoc_send_h *send_h, void *arg)
{
	uint8_t rest[256];

	if (!assoc->ssl || assoc->state == ASSOC_FAILED || (assoc->state == ASSOC_NEW && assoc->active))
		return assoc->state;
	begin(assoc, data, len, send_h, arg);
	if (assoc->state != ASSOC_DONE) {
		assoc->state = ASSOC_SHAKING;
		(void)advance(assoc);
	} else { /* a flight of theirs again, an alert; data of theirs means nothing to us */
		(void)SSL_read(assoc->ssl, rest, sizeof(rest));
		ERR_clear_error();
	}
	return end(assoc);
}

enum assoc_state assoc_tick(struct assoc *assoc, uint64_t now_us, assoc_send_h *send_h, void *arg)
{
	struct timeval left;

	if (!assoc->ssl)
		return assoc->state;
	if (assoc->state == ASSOC_FAILED || (assoc->done_us && now_us - assoc->done_us >= LINGER_US)) {
		SSL_free(assoc->ssl); /* tens of kilobytes, for nothing any more */
		assoc->ssl = NULL;
		return assoc->state;
	}
	if (assoc->state == ASSOC_DONE && !assoc->done_us)
		assoc->done_us = now_us;
	if (assoc->state != ASSOC_SHAKING)
		return assoc->state;

	begin(assoc, NULL, 0, send_h, arg);
	if (DTLSv1_get_timeout(assoc->ssl, &left) && !left.tv_sec && !left.tv_usec &&
	    DTLSv1_handle_timeout(assoc->ssl) < 0)
		(void)fail(assoc, -ETIMEDOUT);
	return end(assoc);
}

enum assoc_state assoc_state(const struct assoc *assoc)
{
	return assoc->state;
}

int assoc_error(const struct assoc *assoc)
{
	return assoc->err;
}

enum media_suite assoc_keys(const struct assoc *assoc, uint8_t tx[ASSOC_KEY_BYTES],
			    uint8_t rx[ASSOC_KEY_BYTES])
{
	memcpy(tx, assoc->tx, ASSOC_KEY_BYTES);
	memcpy(rx, assoc->rx, ASSOC_KEY_BYTES);
	return assoc->suite;
}
