/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/digest.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sodium.h>
#include "base/clock.h"
#include "base/err.h"

#define NONCE_ID_BYTES  8
#define NONCE_MAC_BYTES 16
#define NONCE_HEX       (2 * (NONCE_ID_BYTES + NONCE_MAC_BYTES))

/* 131,072 nonces in use at a time, in 2.4 MB. */
#define SEEN_BUCKETS 32768
#define SEEN_WAYS    4
#define NC_WINDOW    32
#define NC_ONCE      UINT32_MAX /* a response without qop: the nonce is spent */

#define STRONG_BUCKETS 4096
#define STRONG_MAX     200000 /* phones; beyond, nothing new is remembered */

struct seen {
	uint64_t id;     /* of the nonce; 0: free */
	uint32_t nc_max;
	uint32_t window; /* bit n: nc_max - n was used */
};

struct seen_bucket {
	struct seen ways[SEEN_WAYS];
	uint64_t evicted_id; /* newest nonce that had to make room: it and older ones count as used */
};

struct strong { /* a phone that has used SHA-256 */
	struct le he;
	uint64_t key;
	uint8_t ha1[8]; /* start of it: a new password starts anew */
};

struct digest {
	uint8_t secret[crypto_generichash_KEYBYTES];
	uint64_t last_id;
	struct seen_bucket *seen;
	struct hash *strong;
	uint32_t n_strong;
};

/* ------------------------------------------------------------------ life */

static void digest_destructor(void *arg)
{
	struct digest *digest = arg;

	sodium_memzero(digest->secret, sizeof(digest->secret));
	hash_flush(digest->strong);
	mem_deref(digest->strong);
	mem_deref(digest->seen);
}

int digest_alloc(struct digest **ret)
{
	struct digest *digest;

	if (sodium_init() < 0)
		return -EIO;
	digest = mem_zalloc(sizeof(*digest), digest_destructor);
	if (!digest)
		return -ENOMEM;

	randombytes_buf(digest->secret, sizeof(digest->secret));
	digest->seen = mem_zalloc(SEEN_BUCKETS * sizeof(*digest->seen), NULL);
	if (!digest->seen || hash_alloc(&digest->strong, STRONG_BUCKETS)) {
		mem_deref(digest);
		return -ENOMEM;
	}
	*ret = digest;
	return 0;
}

/* ------------------------------------------------------------------ nonces */

static void nonce_mac(const struct digest *digest, uint8_t mac[NONCE_MAC_BYTES], uint64_t id)
{
	(void)crypto_generichash(mac, NONCE_MAC_BYTES, (const uint8_t *)&id, sizeof(id),
				 digest->secret, sizeof(digest->secret));
}

/* The id is the time in ms, 16 bits for nonces of the same ms; it never repeats. */
static void nonce_make(struct digest *digest, char hex[NONCE_HEX + 1])
{
	uint8_t raw[NONCE_ID_BYTES + NONCE_MAC_BYTES];
	uint64_t id = clk_mono_ms() << 16;

	if (id <= digest->last_id)
		id = digest->last_id + 1;
	digest->last_id = id;

	memcpy(raw, &id, NONCE_ID_BYTES);
	nonce_mac(digest, raw + NONCE_ID_BYTES, id);
	sodium_bin2hex(hex, NONCE_HEX + 1, raw, sizeof(raw));
}

/* The id of a nonce of ours that is young enough; 0: it is not. */
static uint64_t nonce_id(const struct digest *digest, const struct pl *nonce)
{
	uint8_t raw[NONCE_ID_BYTES + NONCE_MAC_BYTES], mac[NONCE_MAC_BYTES];
	uint64_t id, now_ms = clk_mono_ms();
	size_t n;

	if (nonce->l != NONCE_HEX ||
	    sodium_hex2bin(raw, sizeof(raw), nonce->p, nonce->l, NULL, &n, NULL) ||
	    n != sizeof(raw))
		return 0;

	memcpy(&id, raw, NONCE_ID_BYTES);
	nonce_mac(digest, mac, id);
	if (sodium_memcmp(mac, raw + NONCE_ID_BYTES, NONCE_MAC_BYTES))
		return 0;
	return (id >> 16) + DIGEST_NONCE_MS >= now_ms ? id : 0;
}

static struct seen *seen_find(struct seen_bucket *bucket, uint64_t id)
{
	for (size_t i = 0; i < SEEN_WAYS; i++) {
		if (bucket->ways[i].id == id)
			return &bucket->ways[i];
	}
	return NULL;
}

static struct seen *seen_add(struct seen_bucket *bucket, uint64_t id)
{
	struct seen *oldest = &bucket->ways[0];

	for (size_t i = 1; i < SEEN_WAYS; i++) {
		if (bucket->ways[i].id < oldest->id)
			oldest = &bucket->ways[i];
	}
	if (oldest->id > bucket->evicted_id)
		bucket->evicted_id = oldest->id;
	*oldest = (struct seen){ .id = id };
	return oldest;
}

/* Marks the counter of a nonce as used; false: it was used before, or that is not known any more. */
static bool nonce_use(struct digest *digest, uint64_t id, uint32_t nc)
{
	uint64_t mix = (id ^ (id >> 21)) * 0x9e3779b97f4a7c15ull;
	struct seen_bucket *bucket = &digest->seen[(mix >> 40) % SEEN_BUCKETS];
	struct seen *seen = seen_find(bucket, id);
	uint32_t step;

	if (!seen) {
		if (id <= bucket->evicted_id)
			return false;
		seen = seen_add(bucket, id);
		seen->nc_max = nc;
		seen->window = 1;
		return true;
	}
	if (nc == NC_ONCE || seen->nc_max == NC_ONCE)
		return false;

	if (nc > seen->nc_max) {
		step = nc - seen->nc_max;
		seen->window = step < NC_WINDOW ? seen->window << step | 1 : 1;
		seen->nc_max = nc;
		return true;
	}
	step = seen->nc_max - nc; /* late by UDP's reordering */
	if (step >= NC_WINDOW || seen->window & 1u << step)
		return false;
	seen->window |= 1u << step;
	return true;
}

/* ------------------------------------------------------------------ challenge */

/*
 * baresip 1.0 and what else stands on libre 1.1 give up at the first challenge that is not MD5, in
 * whatever order; sipp looks at the first one only. belle-sip takes the best it knows.
 */
static const struct {
	const char *prefix;
	enum digest_offer offer;
} offers[] = {
	{ "baresip v0.", DIGEST_OFFER_MD5_ONLY },
	{ "baresip v1.", DIGEST_OFFER_MD5_ONLY },
	{ "baresip", DIGEST_OFFER_MD5_FIRST },
	{ "Linphone", DIGEST_OFFER_SHA256_FIRST },
	{ "belle-sip", DIGEST_OFFER_SHA256_FIRST },
};

enum digest_offer digest_offer_for(const struct pl *user_agent)
{
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		size_t len = strlen(offers[i].prefix);

		if (user_agent->l >= len && !strncasecmp(user_agent->p, offers[i].prefix, len))
			return offers[i].offer;
	}
	return DIGEST_OFFER_MD5_FIRST;
}

int digest_challenge(struct digest *digest, char *buf, size_t size, const char *realm,
		     enum digest_offer offer, bool stale)
{
	static const struct {
		const char *algs[2];
	} orders[] = {
		[DIGEST_OFFER_MD5_FIRST] = { { "MD5", "SHA-256" } },
		[DIGEST_OFFER_SHA256_FIRST] = { { "SHA-256", "MD5" } },
		[DIGEST_OFFER_MD5_ONLY] = { { "MD5", NULL } },
		[DIGEST_OFFER_SHA256_ONLY] = { { "SHA-256", NULL } },
	};
	char nonce[NONCE_HEX + 1];
	size_t used = 0;

	nonce_make(digest, nonce);
	for (size_t i = 0; i < 2 && orders[offer].algs[i]; i++) {
		int n = snprintf(buf + used, size - used,
				 "WWW-Authenticate: Digest realm=\"%s\", nonce=\"%s\", "
				 "algorithm=%s, qop=\"auth\"%s\r\n",
				 realm, nonce, orders[offer].algs[i], stale ? ", stale=true" : "");

		if (n < 0 || (size_t)n >= size - used)
			return -EMSGSIZE;
		used += (size_t)n;
	}
	return 0;
}

/* ------------------------------------------------------------------ parsing */

static bool is_lws(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip(struct pl *pl, const char *more)
{
	while (pl->l && (is_lws(*pl->p) || strchr(more, *pl->p)))
		pl_advance(pl, 1);
}

static struct pl take_token(struct pl *pl)
{
	struct pl token = { .p = pl->p, .l = 0 };

	while (pl->l && !is_lws(*pl->p) && !strchr("=,\"", *pl->p)) {
		pl_advance(pl, 1);
		token.l++;
	}
	return token;
}

/* A quoted string without its quotes; an escaped quote does not end it. False: no closing quote. */
static bool take_value(struct pl *ret, struct pl *pl)
{
	if (!pl->l || *pl->p != '"') {
		*ret = take_token(pl);
		return true;
	}

	pl_advance(pl, 1);
	ret->p = pl->p;
	ret->l = 0;
	while (pl->l && *pl->p != '"') {
		size_t n = *pl->p == '\\' && pl->l > 1 ? 2 : 1;

		pl_advance(pl, (ssize_t)n);
		ret->l += n;
	}
	if (!pl->l)
		return false;
	pl_advance(pl, 1);
	return true;
}

int digest_parse(struct digest_creds *ret, const struct pl *val)
{
	struct digest_creds creds = { .alg = DIGEST_MD5 };
	struct pl rest = *val, algorithm = PL_INIT, name, value, scheme;
	const struct {
		const char *name;
		struct pl *to;
	} params[] = {
		{ "username", &creds.username }, { "realm", &creds.realm },
		{ "nonce", &creds.nonce },       { "uri", &creds.uri },
		{ "response", &creds.response }, { "cnonce", &creds.cnonce },
		{ "nc", &creds.nc },             { "qop", &creds.qop },
		{ "algorithm", &algorithm },
	};

	skip(&rest, "");
	scheme = take_token(&rest);
	if (pl_strcasecmp(&scheme, "Digest"))
		return -EBADMSG;

	for (;;) {
		skip(&rest, ",");
		if (!rest.l)
			break;
		name = take_token(&rest);
		skip(&rest, "");
		if (!name.l || !rest.l || *rest.p != '=')
			return -EBADMSG;
		pl_advance(&rest, 1);
		skip(&rest, "");
		if (!take_value(&value, &rest) || value.l > DIGEST_MAX_PARAM)
			return -EBADMSG;
		for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
			if (!pl_strcasecmp(&name, params[i].name))
				*params[i].to = value;
		}
	}

	if (!creds.username.l || !creds.nonce.l || !creds.uri.l || !creds.response.l)
		return -EBADMSG;
	if (creds.qop.l && (!creds.nc.l || !creds.cnonce.l))
		return -EBADMSG;
	if (algorithm.l) {
		creds.alg = !pl_strcasecmp(&algorithm, "MD5")       ? DIGEST_MD5 :
			    !pl_strcasecmp(&algorithm, "SHA-256") ? DIGEST_SHA256 :
								      DIGEST_NONE;
	}
	*ret = creds;
	return 0;
}

/* ------------------------------------------------------------------ checking */

struct text {
	char buf[4 * DIGEST_MAX_PARAM];
	size_t len;
};

static void text_add(struct text *text, const char *p, size_t len)
{
	if (len > sizeof(text->buf) - text->len)
		len = sizeof(text->buf) - text->len;
	memcpy(text->buf + text->len, p, len);
	text->len += len;
}

static void text_add_pl(struct text *text, const struct pl *pl)
{
	text_add(text, ":", 1);
	text_add(text, pl->p, pl->l);
}

/* H(text) as lower case hex; returns its length. */
static size_t text_hash(char hex[65], const struct text *text, enum digest_alg alg)
{
	uint8_t raw[32];
	size_t n = alg == DIGEST_SHA256 ? 32 : 16;

	if (alg == DIGEST_SHA256)
		crypto_hash_sha256(raw, (const uint8_t *)text->buf, text->len);
	else
		md5((const uint8_t *)text->buf, text->len, raw);
	sodium_bin2hex(hex, 2 * n + 1, raw, n);
	return 2 * n;
}

/* RFC 7616 sections 3.4.1 to 3.4.3, qop "auth" or none. */
int digest_response(char buf[65], enum digest_alg alg, const uint8_t *ha1, const struct pl *method,
		    const struct digest_creds *creds)
{
	struct text text = { .len = 0 };
	char ha1_hex[65], ha2_hex[65];
	size_t n = alg == DIGEST_SHA256 ? 32 : 16;

	if (creds->uri.l > DIGEST_MAX_PARAM || creds->cnonce.l > DIGEST_MAX_PARAM ||
	    creds->nonce.l > DIGEST_MAX_PARAM || creds->nc.l > 16 || method->l > 64)
		return -EMSGSIZE;

	text_add(&text, method->p, method->l);
	text_add_pl(&text, &creds->uri);
	text_hash(ha2_hex, &text, alg);

	text.len = 0;
	sodium_bin2hex(ha1_hex, sizeof(ha1_hex), ha1, n);
	text_add(&text, ha1_hex, 2 * n);
	text_add_pl(&text, &creds->nonce);
	if (creds->qop.l) {
		text_add_pl(&text, &creds->nc);
		text_add_pl(&text, &creds->cnonce);
		text_add_pl(&text, &creds->qop);
	}
	text_add(&text, ":", 1);
	text_add(&text, ha2_hex, 2 * n);
	text_hash(buf, &text, alg);
	return 0;
}

static bool response_is_right(const struct digest_creds *creds, const struct pl *method,
			      const uint8_t *ha1)
{
	size_t hex_len = creds->alg == DIGEST_SHA256 ? 64 : 32;
	char want[65], got[64];

	if (creds->response.l != hex_len ||
	    digest_response(want, creds->alg, ha1, method, creds))
		return false;
	for (size_t i = 0; i < hex_len; i++) { /* some phones write capitals */
		char c = creds->response.p[i];

		got[i] = c >= 'A' && c <= 'F' ? (char)(c + 32) : c;
	}
	return !sodium_memcmp(want, got, hex_len);
}

enum digest_verdict digest_verify(struct digest *digest, const struct digest_creds *creds,
				  const struct pl *method, const uint8_t ha1_md5[16],
				  const uint8_t ha1_sha256[32], bool known)
{
	uint64_t id = nonce_id(digest, &creds->nonce);
	uint32_t nc = NC_ONCE;
	bool right;

	if (creds->alg == DIGEST_NONE || (creds->qop.l && pl_strcasecmp(&creds->qop, "auth")))
		return DIGEST_RETRY;

	right = response_is_right(creds, method,
				  creds->alg == DIGEST_SHA256 ? ha1_sha256 : ha1_md5);
	right &= known;
	if (!id)
		return right ? DIGEST_STALE : DIGEST_RETRY;
	if (!right)
		return DIGEST_WRONG;

	if (creds->qop.l) {
		nc = pl_x32(&creds->nc);
		if (!nc || nc == NC_ONCE || creds->nc.l > 8)
			return DIGEST_STALE;
	}
	return nonce_use(digest, id, nc) ? DIGEST_OK : DIGEST_STALE;
}

/* ------------------------------------------------------------------ downgrade */

static uint64_t strong_key(const struct digest *digest, const struct digest_phone *phone)
{
	uint8_t text[sizeof(phone->account_id) + 128];
	size_t n = phone->user_agent.l < 128 ? phone->user_agent.l : 128;
	uint64_t key;

	memcpy(text, &phone->account_id, sizeof(phone->account_id));
	if (n)
		memcpy(text + sizeof(phone->account_id), phone->user_agent.p, n);
	crypto_shorthash((uint8_t *)&key, text, sizeof(phone->account_id) + n, digest->secret);
	return key;
}

static bool strong_match(struct le *le, void *arg)
{
	const struct strong *strong = le->data;

	return strong->key == *(const uint64_t *)arg;
}

static struct strong *strong_find(const struct digest *digest, uint64_t key)
{
	return list_ledata(hash_lookup(digest->strong, (uint32_t)key, strong_match, &key));
}

bool digest_is_downgrade(const struct digest *digest, const struct digest_phone *phone,
			 enum digest_alg alg)
{
	const struct strong *strong;

	if (alg == DIGEST_SHA256)
		return false;
	strong = strong_find(digest, strong_key(digest, phone));
	return strong && !memcmp(strong->ha1, phone->ha1_sha256, sizeof(strong->ha1));
}

static void strong_destructor(void *arg)
{
	struct strong *strong = arg;

	hash_unlink(&strong->he);
}

void digest_remember(struct digest *digest, const struct digest_phone *phone, enum digest_alg alg)
{
	uint64_t key = strong_key(digest, phone);
	struct strong *strong;

	if (alg != DIGEST_SHA256)
		return;
	strong = strong_find(digest, key);
	if (!strong) {
		if (digest->n_strong >= STRONG_MAX)
			return;
		strong = mem_zalloc(sizeof(*strong), strong_destructor);
		if (!strong)
			return; /* not remembered: the next time will do */
		digest->n_strong++;
		strong->key = key;
		hash_append(digest->strong, (uint32_t)key, &strong->he, strong);
	}
	memcpy(strong->ha1, phone->ha1_sha256, sizeof(strong->ha1));
}
