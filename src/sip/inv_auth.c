/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <string.h>
#include <openssl/evp.h>

/*
 * Answers digest challenges. Ours and not libre's sip_auth: that one cannot be written into a
 * message of our own making with its public functions, and knows MD5 only (RFC 8760 adds SHA-256).
 */
#define AUTH_MAX_REALMS 4
#define AUTH_HEX	(2 * EVP_MAX_MD_SIZE + 1)

struct realm {
	char *realm, *nonce, *opaque;
	const char *algorithm;	  /* as we write it; NULL: not told, MD5 */
	char user_hash[AUTH_HEX]; /* H(user:realm:password) */
	char *user;
	bool qop, proxy, sha256;
	uint32_t nc;
};

struct inv_auth {
	struct realm realms[AUTH_MAX_REALMS];
	size_t n;
};

struct challenge {
	struct inv_auth *auth;
	const char *user, *password;
	bool proxy;
	int err;
};

static void realm_clear(struct realm *realm)
{
	mem_deref(realm->realm);
	mem_deref(realm->nonce);
	mem_deref(realm->opaque);
	mem_deref(realm->user);
	memset(realm, 0, sizeof(*realm));
}

static void auth_destructor(void *arg)
{
	struct inv_auth *auth = arg;

	for (size_t i = 0; i < auth->n; i++)
		realm_clear(&auth->realms[i]);
}

/* Hash of the parts joined by colons, in lower-case hex. */
static int digest(char hex[AUTH_HEX], bool sha256, const char *const *parts, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int err = -ENOMEM;

	if (!ctx)
		return -ENOMEM;
	if (EVP_DigestInit_ex(ctx, sha256 ? EVP_sha256() : EVP_md5(), NULL) != 1)
		goto out;
	for (size_t i = 0; i < n; i++) {
		if (i && EVP_DigestUpdate(ctx, ":", 1) != 1)
			goto out;
		if (EVP_DigestUpdate(ctx, parts[i], strlen(parts[i])) != 1)
			goto out;
	}
	if (EVP_DigestFinal_ex(ctx, md, &len) != 1)
		goto out;
	for (unsigned i = 0; i < len; i++) {
		hex[2 * i] = digits[md[i] >> 4];
		hex[2 * i + 1] = digits[md[i] & 15];
	}
	hex[2 * len] = '\0';
	err = 0;

out:
	EVP_MD_CTX_free(ctx);
	return err;
}

/* "auth,auth-int" */
static bool has_qop_auth(const struct pl *qop)
{
	const char *p = qop->p, *end = qop->p + qop->l;

	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		struct pl word;

		if (!comma)
			comma = end;
		while (p < comma && *p == ' ')
			++p;
		word.p = p;
		word.l = (size_t)(comma - p);
		while (word.l && word.p[word.l - 1] == ' ')
			--word.l;
		if (!pl_strcasecmp(&word, "auth"))
			return true;
		p = comma + 1;
	}
	return false;
}

static bool challenge_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct challenge *ch = arg;
	struct httpauth_digest_chall c;
	struct realm *realm = NULL;
	const char *parts[3];
	bool sha256 = false;

	if (httpauth_digest_challenge_decode(&c, &hdr->val))
		return false;
	if (pl_isset(&c.algorithm)) {
		sha256 = !pl_strcasecmp(&c.algorithm, "SHA-256");
		if (!sha256 && pl_strcasecmp(&c.algorithm, "MD5"))
			return false; /* one we do not know; another header may have one we do */
	}
	if (pl_isset(&c.qop) && !has_qop_auth(&c.qop))
		return false;

	for (size_t i = 0; i < ch->auth->n; i++) {
		struct realm *r = &ch->auth->realms[i];

		if (r->proxy == ch->proxy && !pl_strcmp(&c.realm, r->realm))
			realm = r;
	}
	if (realm && realm->nc == 0 && realm->sha256 && !sha256)
		return false; /* of several for one realm in one response the strongest counts */
	if (realm && realm->nc && (!pl_isset(&c.stale) || pl_strcasecmp(&c.stale, "true")) &&
	    !pl_strcmp(&c.nonce, realm->nonce)) {
		ch->err = -EACCES; /* the same challenge again: the credentials were refused */
		return true;
	}
	if (!realm) {
		if (ch->auth->n == AUTH_MAX_REALMS)
			return false;
		realm = &ch->auth->realms[ch->auth->n++];
	} else {
		realm_clear(realm);
	}

	realm->proxy = ch->proxy;
	realm->sha256 = sha256;
	realm->algorithm = pl_isset(&c.algorithm) ? (sha256 ? "SHA-256" : "MD5") : NULL;
	realm->qop = pl_isset(&c.qop);
	if (pl_strdup(&realm->realm, &c.realm) || pl_strdup(&realm->nonce, &c.nonce) ||
	    str_dup(&realm->user, ch->user) ||
	    (pl_isset(&c.opaque) && pl_strdup(&realm->opaque, &c.opaque))) {
		ch->err = -ENOMEM;
		return true;
	}
	parts[0] = ch->user;
	parts[1] = realm->realm;
	parts[2] = ch->password;
	ch->err = digest(realm->user_hash, sha256, parts, 3);
	return ch->err != 0;
}

int inv_auth_challenge(struct inv_auth **auth, const struct sip_msg *msg, const char *user,
		       const char *password)
{
	struct challenge ch = { .user = user, .password = password, .err = -ENOENT };

	if (!*auth) {
		*auth = mem_zalloc(sizeof(**auth), auth_destructor);
		if (!*auth)
			return -ENOMEM;
	}
	ch.auth = *auth;
	if (sip_msg_hdr_apply(msg, true, SIP_HDR_WWW_AUTHENTICATE, challenge_handler, &ch))
		return ch.err;
	ch.proxy = true;
	if (sip_msg_hdr_apply(msg, true, SIP_HDR_PROXY_AUTHENTICATE, challenge_handler, &ch))
		return ch.err;
	return ch.err; /* -ENOENT: nothing we could answer */
}

int inv_auth_write(struct mbuf *mb, struct inv_auth *auth, const char *method, const char *uri)
{
	char ha2[AUTH_HEX], response[AUTH_HEX], nc[9], cnonce[17];
	int err;

	for (size_t i = 0; i < auth->n; i++) {
		struct realm *r = &auth->realms[i];
		const char *const a2[] = { method, uri };

		(void)re_snprintf(nc, sizeof(nc), "%08x", ++r->nc);
		(void)re_snprintf(cnonce, sizeof(cnonce), "%016llx", rand_u64());
		err = digest(ha2, r->sha256, a2, 2);
		if (err)
			return err;
		if (r->qop)
			err = digest(
				response, r->sha256,
				(const char *[]){ r->user_hash, r->nonce, nc, cnonce, "auth", ha2 },
				6);
		else
			err = digest(response, r->sha256,
				     (const char *[]){ r->user_hash, r->nonce, ha2 }, 3);
		if (err)
			return err;

		err = mbuf_printf(mb,
				  "%s: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", "
				  "uri=\"%s\", response=\"%s\"",
				  r->proxy ? "Proxy-Authorization" : "Authorization", r->user,
				  r->realm, r->nonce, uri, response);
		if (!err && r->algorithm)
			err = mbuf_printf(mb, ", algorithm=%s", r->algorithm);
		if (!err && r->opaque)
			err = mbuf_printf(mb, ", opaque=\"%s\"", r->opaque);
		if (!err && r->qop)
			err = mbuf_printf(mb, ", cnonce=\"%s\", qop=auth, nc=%s", cnonce, nc);
		if (!err)
			err = mbuf_write_str(mb, "\r\n");
		if (err)
			return -err;
	}
	return 0;
}
