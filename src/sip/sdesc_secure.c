/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/sdesc_secure.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	size_t key_len;
} suites[SDESC_SUITES] = {
	[SDESC_SUITE_NONE] = { "", 0 },
	[SDESC_AES_CM_128_HMAC_SHA1_80] = { "AES_CM_128_HMAC_SHA1_80", 30 },
	[SDESC_AES_CM_128_HMAC_SHA1_32] = { "AES_CM_128_HMAC_SHA1_32", 30 },
	[SDESC_AES_256_CM_HMAC_SHA1_80] = { "AES_256_CM_HMAC_SHA1_80", 46 },
	[SDESC_AES_256_CM_HMAC_SHA1_32] = { "AES_256_CM_HMAC_SHA1_32", 46 },
	[SDESC_AEAD_AES_128_GCM] = { "AEAD_AES_128_GCM", 28 },
	[SDESC_AEAD_AES_256_GCM] = { "AEAD_AES_256_GCM", 44 },
};

static const struct {
	const char *name;
	size_t len;
} hashes[SDESC_HASHES] = {
	[SDESC_SHA_1] = { "sha-1", 20 },
	[SDESC_SHA_256] = { "sha-256", 32 },
	[SDESC_SHA_384] = { "sha-384", 48 },
	[SDESC_SHA_512] = { "sha-512", 64 },
};

static const char *const setups[] = {
	[SDESC_SETUP_NONE] = "holdconn",
	[SDESC_ACTPASS] = "actpass",
	[SDESC_ACTIVE] = "active",
	[SDESC_PASSIVE] = "passive",
};

/* ------------------------------------------------------------------ reading */

/* Moves *p behind blanks and the next word, which is left in word. */
static bool next_word(struct pl *word, const char **p)
{
	*p += strspn(*p, " \t");
	word->p = *p;
	word->l = strcspn(*p, " \t");
	*p += word->l;
	return word->l > 0;
}

static bool word_is(const struct pl *word, const char *text)
{
	return word->l == strlen(text) && !strncasecmp(word->p, text, word->l);
}

static bool word_number(uint32_t *ret, const struct pl *word, uint32_t max)
{
	uint64_t n = 0;

	if (!word->l || word->l > 10)
		return false;
	for (size_t i = 0; i < word->l; i++) {
		if (word->p[i] < '0' || word->p[i] > '9')
			return false;
		n = n * 10 + (uint64_t)(word->p[i] - '0');
	}
	*ret = (uint32_t)n;
	return n <= max;
}

/*
 * "inline:<base64>[|lifetime][|MKI:length]". A second key and a key identifier are not for us
 * (nobody uses them); a lifetime is, as no call lives for 2^31 packets.
 */
static bool read_key(struct sdesc_crypto *crypto, const struct pl *word)
{
	static const char prefix[] = "inline:";
	const size_t want = suites[crypto->suite].key_len;
	uint8_t key[48]; /* what 64 characters may become */
	size_t len = sizeof(key), text_len;
	struct pl rest = *word;

	if (rest.l < sizeof(prefix) || strncasecmp(rest.p, prefix, sizeof(prefix) - 1) ||
	    memchr(rest.p, ';', rest.l) || memchr(rest.p, ':', rest.l) != rest.p + 6 ||
	    memrchr(rest.p, ':', rest.l) != rest.p + 6)
		return false;

	pl_advance(&rest, sizeof(prefix) - 1);
	for (text_len = 0; text_len < rest.l && rest.p[text_len] != '|'; text_len++)
		;
	if (text_len > 64 || base64_decode(rest.p, text_len, key, &len) || len != want)
		return false;
	memcpy(crypto->key, key, len);
	return true;
}

/* RFC 4568 section 9.1: tag suite key-params *session-params. */
static void read_crypto(struct sdesc_secure *ret, const char *value)
{
	struct sdesc_crypto crypto = { 0 };
	struct pl tag, suite, key, param;

	if (ret->n_crypto == SDESC_MAX_CRYPTO || !next_word(&tag, &value) ||
	    !next_word(&suite, &value) || !next_word(&key, &value) ||
	    !word_number(&crypto.tag, &tag, 999999999))
		return;

	for (unsigned i = 1; i < SDESC_SUITES; i++) {
		if (word_is(&suite, suites[i].name))
			crypto.suite = (enum sdesc_suite)i;
	}
	if (!crypto.suite || !read_key(&crypto, &key))
		return;

	/* Only the replay window may be asked for; no encryption, no authentication and others may not. */
	while (next_word(&param, &value)) {
		if (param.l < 4 || strncasecmp(param.p, "WSH=", 4))
			return;
	}
	ret->crypto[ret->n_crypto++] = crypto;
}

/* RFC 8122: hash SP two hex digits, colons between. The strongest one that we know counts. */
static void read_fingerprint(struct sdesc_secure *ret, const char *value)
{
	uint8_t bytes[64];
	unsigned hash;
	struct pl word;
	size_t n = 0;

	if (!next_word(&word, &value))
		return;
	for (hash = 0; hash < SDESC_HASHES && !word_is(&word, hashes[hash].name); hash++)
		;
	if (hash == SDESC_HASHES || !next_word(&word, &value) ||
	    word.l != 3 * hashes[hash].len - 1)
		return;

	for (size_t i = 0; i < word.l; i += 3) {
		if (!isxdigit((unsigned char)word.p[i]) || !isxdigit((unsigned char)word.p[i + 1]) ||
		    (i + 2 < word.l && word.p[i + 2] != ':'))
			return;
		bytes[n++] = (uint8_t)(ch_hex(word.p[i]) << 4 | ch_hex(word.p[i + 1]));
	}
	if (ret->has_fingerprint && hash <= (unsigned)ret->hash)
		return;
	ret->has_fingerprint = true;
	ret->hash = (enum sdesc_hash)hash;
	memcpy(ret->fingerprint, bytes, n);
}

static void read_setup(struct sdesc_secure *ret, const char *value)
{
	for (unsigned i = SDESC_ACTPASS; i <= SDESC_PASSIVE; i++) {
		if (!strcasecmp(value, setups[i]))
			ret->setup = (enum sdesc_setup)i;
	}
}

static void read_text(char *ret, size_t size, const char *value)
{
	size_t len = strcspn(value, " \t");

	if (len >= size)
		return;
	memcpy(ret, value, len);
	ret[len] = '\0';
}

static void read_ufrag(struct sdesc_secure *ret, const char *value)
{
	read_text(ret->ufrag, sizeof(ret->ufrag), value);
}

static void read_pwd(struct sdesc_secure *ret, const char *value)
{
	read_text(ret->pwd, sizeof(ret->pwd), value);
}

static void read_lite(struct sdesc_secure *ret, const char *value)
{
	ret->ice_lite = true;
}

static void read_mid(struct sdesc_secure *ret, const char *value)
{
	read_text(ret->mid, sizeof(ret->mid), value);
}

/* RFC 8839 section 5.1: foundation component transport priority address port typ type ... */
static void read_candidate(struct sdesc_secure *ret, const char *value)
{
	struct sdesc_candidate *candidate = &ret->candidates[ret->n_candidates];
	struct pl words[6];
	uint32_t component, port;
	char addr[64];

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!next_word(&words[i], &value))
			return;
	}
	if (ret->n_candidates == SDESC_MAX_CANDIDATES || !word_is(&words[2], "udp") ||
	    !word_number(&component, &words[1], 2) || !component ||
	    !word_number(&candidate->priority, &words[3], UINT32_MAX) ||
	    !word_number(&port, &words[5], 65535) || !port || words[4].l >= sizeof(addr))
		return;

	/* A name (<uuid>.local of a browser that hides its address) is learnt from its checks. */
	(void)pl_strcpy(&words[4], addr, sizeof(addr));
	if (sa_set_str(&candidate->addr, addr, (uint16_t)port))
		return;
	candidate->component = (uint8_t)component;
	ret->n_candidates++;
}

static const struct {
	const char *name;
	void (*h)(struct sdesc_secure *ret, const char *value);
} rules[] = {
	{ "crypto", read_crypto },   { "fingerprint", read_fingerprint }, { "setup", read_setup },
	{ "ice-ufrag", read_ufrag }, { "ice-pwd", read_pwd },		  { "ice-lite", read_lite },
	{ "mid", read_mid },	     { "candidate", read_candidate },
};

static void read_attrs(struct sdesc_secure *ret, const struct sdesc_attr *attrs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(rules); k++) {
			if (!strcasecmp(attrs[i].name, rules[k].name))
				rules[k].h(ret, attrs[i].value ? attrs[i].value : "");
		}
	}
}

/* What ret does not say itself. */
static void inherit(struct sdesc_secure *ret, const struct sdesc_secure *from)
{
	if (!ret->has_fingerprint && from->has_fingerprint) {
		ret->has_fingerprint = true;
		ret->hash = from->hash;
		memcpy(ret->fingerprint, from->fingerprint, sizeof(ret->fingerprint));
	}
	if (!ret->setup)
		ret->setup = from->setup;
	if (!ret->ufrag[0])
		memcpy(ret->ufrag, from->ufrag, sizeof(ret->ufrag));
	if (!ret->pwd[0])
		memcpy(ret->pwd, from->pwd, sizeof(ret->pwd));
}

void sdesc_secure_parse(struct sdesc_secure *ret, const struct sdesc *desc, size_t line)
{
	struct sdesc_secure session = { 0 }, tagged = { 0 };

	*ret = (struct sdesc_secure){ 0 };
	read_attrs(&session, desc->attrs, desc->n_attrs);
	read_attrs(ret, desc->media[line].attrs, desc->media[line].n_attrs);
	if (desc->bundle && desc->media[line].bundled && line != desc->tagged) {
		read_attrs(&tagged, desc->media[desc->tagged].attrs, desc->media[desc->tagged].n_attrs);
		inherit(ret, &tagged);
	}
	inherit(ret, &session);
	if (!ret->ufrag[0] || !ret->pwd[0])
		ret->ufrag[0] = ret->pwd[0] = '\0';
	ret->ice_lite = session.ice_lite;
}

/* ------------------------------------------------------------------ writing */

static bool append(char *buf, size_t size, const char *fmt, ...)
{
	const size_t len = strlen(buf);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = re_vsnprintf(buf + len, size - len, fmt, ap);
	va_end(ap);
	if (n >= 0)
		return true;
	buf[len] = '\0';
	return false;
}

bool sdesc_put_crypto(char *buf, size_t size, const struct sdesc_crypto *crypto)
{
	char key[80] = "";
	size_t len = sizeof(key) - 1;

	if (base64_encode(crypto->key, suites[crypto->suite].key_len, key, &len))
		return false;
	key[len] = '\0';
	return append(buf, size, "a=crypto:%u %s inline:%s\r\n", crypto->tag,
		      suites[crypto->suite].name, key);
}

bool sdesc_put_fingerprint(char *buf, size_t size, enum sdesc_hash hash, const uint8_t *fingerprint)
{
	char text[3 * 64 + 1];

	for (size_t i = 0; i < hashes[hash].len; i++)
		(void)re_snprintf(text + 3 * i, 4, "%02X:", fingerprint[i]);
	text[3 * hashes[hash].len - 1] = '\0';
	return append(buf, size, "a=fingerprint:%s %s\r\n", hashes[hash].name, text);
}

bool sdesc_put_candidate(char *buf, size_t size, const struct sdesc_candidate *candidate,
			 unsigned foundation, const char *type)
{
	return append(buf, size, "a=candidate:%u %u udp %u %j %u typ %s\r\n", foundation,
		      candidate->component, candidate->priority, &candidate->addr,
		      sa_port(&candidate->addr), type);
}

bool sdesc_put_attr(char *buf, size_t size, const char *name, const char *value)
{
	return append(buf, size, value ? "a=%s:%s\r\n" : "a=%s\r\n", name, value);
}
