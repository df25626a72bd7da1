/* SPDX-License-Identifier: Apache-2.0 */
#include "web/xauth.h"

#include <ctype.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/err.h"

static const char scheme[] = "RestApiUsernameToken";

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static bool all_chars(const char *text, bool (*ok)(char c))
{
	for (; *text; text++)
		if (!ok(*text))
			return false;
	return true;
}

static bool is_hex(char c)
{
	return isxdigit((unsigned char)c) != 0;
}

static bool is_base64(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '/' || c == '=';
}

/* PUB-02: any text but quotes (they end it) and `@`; control characters never. */
static bool is_name(char c)
{
	return c != '@' && (unsigned char)c >= 0x20 && c != 0x7f;
}

static bool is_any(char c)
{
	return (unsigned char)c >= 0x20;
}

enum { P_USERNAME, P_DOMAIN, P_DIGEST, P_NONCE, P_CREATED, P_COUNT };

static const struct param {
	const char *name;
	size_t offset, size;
	size_t min;
	bool (*ok)(char c);
} params[P_COUNT] = {
	[P_USERNAME] = { "username", offsetof(struct xauth, username), XAUTH_MAX_NAME, 1, is_name },
	[P_DOMAIN] = { "domain", offsetof(struct xauth, domain), XAUTH_MAX_NAME, 0, is_name },
	[P_DIGEST] = { "digest", offsetof(struct xauth, digest), XAUTH_DIGEST_BYTES,
		       XAUTH_DIGEST_BYTES - 1, is_base64 },
	[P_NONCE] = { "nonce", offsetof(struct xauth, nonce), XAUTH_NONCE_MAX + 1, XAUTH_NONCE_MIN,
		      is_hex },
	[P_CREATED] = { "created", offsetof(struct xauth, created), 24, 20, is_any },
};

static int find_param(const char *name, size_t len)
{
	for (int i = 0; i < P_COUNT; i++)
		if (strlen(params[i].name) == len && !strncasecmp(params[i].name, name, len))
			return i;
	return -1;
}

/* "2016-04-29T15:48:26Z" and nothing else, as seconds since 1970. Returns 0 or -EINVAL. */
static int parse_time(int64_t *ret, const char *text)
{
	static const char shape[] = "0000-00-00T00:00:00Z";
	struct tm tm = { 0 };
	struct tm back;
	time_t t;

	if (strlen(text) != sizeof(shape) - 1)
		return -EINVAL;
	for (size_t i = 0; shape[i]; i++) {
		bool ok = shape[i] == '0' ? isdigit((unsigned char)text[i]) != 0 : text[i] == shape[i];

		if (!ok)
			return -EINVAL;
	}

	tm.tm_year = atoi(text) - 1900;
	tm.tm_mon = atoi(text + 5) - 1;
	tm.tm_mday = atoi(text + 8);
	tm.tm_hour = atoi(text + 11);
	tm.tm_min = atoi(text + 14);
	tm.tm_sec = atoi(text + 17);
	back = tm;
	t = timegm(&back);
	/* timegm() turns the 31st of April into the 1st of May; such dates are refused. */
	if (back.tm_mon != tm.tm_mon || back.tm_mday != tm.tm_mday || back.tm_hour != tm.tm_hour ||
	    back.tm_min != tm.tm_min || back.tm_sec != tm.tm_sec)
		return -EINVAL;

	*ret = t;
	return 0;
}

int xauth_parse(struct xauth *ret, const char *text, size_t len)
{
	struct xauth auth = { 0 };
	bool seen[P_COUNT] = { false };
	const char *p = text, *end = text + len;

	if (len > XAUTH_MAX_BYTES || memchr(text, '\0', len))
		return -EINVAL;

	while (p < end && is_space(*p))
		p++;
	if ((size_t)(end - p) <= sizeof(scheme) - 1 ||
	    strncasecmp(p, scheme, sizeof(scheme) - 1) || !is_space(p[sizeof(scheme) - 1]))
		return -EINVAL;
	p += sizeof(scheme) - 1;

	for (;;) {
		const char *name, *value;
		size_t name_len, value_len;
		int i;

		while (p < end && (is_space(*p) || *p == ','))
			p++;
		if (p == end)
			break;

		name = p;
		while (p < end && isalnum((unsigned char)*p))
			p++;
		name_len = (size_t)(p - name);
		while (p < end && is_space(*p))
			p++;
		if (!name_len || p == end || *p++ != '=')
			return -EINVAL;
		while (p < end && is_space(*p))
			p++;
		if (p == end || *p++ != '"')
			return -EINVAL;
		value = p;
		while (p < end && *p != '"')
			p++;
		if (p == end)
			return -EINVAL;
		value_len = (size_t)(p++ - value);

		i = find_param(name, name_len);
		if (i < 0)
			continue;
		if (seen[i] || value_len < params[i].min || value_len >= params[i].size)
			return -EINVAL;
		seen[i] = true;
		memcpy((char *)&auth + params[i].offset, value, value_len);
		if (!all_chars((char *)&auth + params[i].offset, params[i].ok))
			return -EINVAL;
	}

	for (int i = 0; i < P_COUNT; i++)
		if (!seen[i])
			return -EINVAL;
	if (parse_time(&auth.created_s, auth.created))
		return -EINVAL;

	*ret = auth;
	return 0;
}

static void hash_texts(uint8_t hash[SHA256_DIGEST_LENGTH], const char *const *texts, size_t n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	/* Cannot fail short of an empty machine; a hash of zeros then matches nothing. */
	memset(hash, 0, SHA256_DIGEST_LENGTH);
	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)) {
		for (size_t i = 0; i < n; i++)
			EVP_DigestUpdate(ctx, texts[i], strlen(texts[i]));
		EVP_DigestFinal_ex(ctx, hash, NULL);
	}
	EVP_MD_CTX_free(ctx);
}

void xauth_digest_password(char *buf, const char *password, const char *salt)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t hash[SHA256_DIGEST_LENGTH];

	hash_texts(hash, (const char *[]){ password, "{", salt, "}" }, 4);
	for (size_t i = 0; i < sizeof(hash); i++) {
		buf[2 * i] = digits[hash[i] >> 4];
		buf[2 * i + 1] = digits[hash[i] & 15];
	}
	buf[2 * sizeof(hash)] = '\0';
}

void xauth_digest(char *buf, const char *nonce, const char *digest_password, const char *username,
		  const char *domain, const char *created)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	hash_texts(hash, (const char *[]){ nonce, digest_password, username, domain, created }, 5);
	EVP_EncodeBlock((unsigned char *)buf, hash, sizeof(hash));
}

bool xauth_equal(const char *a, const char *b)
{
	size_t len = strlen(a);

	return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

bool xauth_in_window(const struct xauth *auth, int64_t now_s)
{
	int64_t apart = now_s - auth->created_s;

	return apart <= XAUTH_WINDOW_S && apart >= -XAUTH_WINDOW_S;
}

bool xauth_is_machine_domain(const char *domain)
{
	return !*domain || !strcasecmp(domain, "pbxadmin");
}

/* ------------------------------------------------------------------ used nonces */

/* Only a hash is kept: 128 bits of SHA-256 over user and nonce. expires_s 0 marks a free slot. */
struct nonce {
	uint64_t key[2];
	uint32_t expires_s;
	uint32_t unused; /* keeps the file free of uninitialised bytes */
};

#define NONCES_FIRST 4096u

struct xauth_nonces {
	pthread_mutex_t lock;
	struct nonce *slots; /* open addressing, a power of two of slots, at most 3/4 used */
	size_t n_slots, used;
	char *path;
	int fd; /* of path, append only; -1 none */
};

static struct nonce *nonce_slot(struct nonce *slots, size_t n_slots, const uint64_t key[2])
{
	size_t i = key[0] & (n_slots - 1);

	while (slots[i].expires_s && (slots[i].key[0] != key[0] || slots[i].key[1] != key[1]))
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

/* Writes what is still valid into a new file, which takes the old one's place. */
static void nonces_rewrite(struct xauth_nonces *store)
{
	char tmp[4096];
	int fd;

	if (!store->path)
		return;

	snprintf(tmp, sizeof(tmp), "%s.new", store->path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	for (size_t i = 0; i < store->n_slots; i++) {
		if (!store->slots[i].expires_s)
			continue;
		if (write(fd, &store->slots[i], sizeof(struct nonce)) != sizeof(struct nonce)) {
			close(fd);
			(void)unlink(tmp); /* the old file stays, which is only longer */
			return;
		}
	}
	if (rename(tmp, store->path)) {
		close(fd);
		return;
	}
	if (store->fd >= 0)
		close(store->fd);
	store->fd = fd;
}

/* Drops what has expired and makes room: the table doubles while it stays half full. */
static int nonces_sweep(struct xauth_nonces *store, int64_t now_s)
{
	struct nonce *slots;
	size_t live = 0, n_slots = NONCES_FIRST;

	for (size_t i = 0; i < store->n_slots; i++)
		if (store->slots[i].expires_s >= now_s)
			live++;
	while (n_slots / 2 < live)
		n_slots *= 2;
	if (n_slots > XAUTH_NONCES_MAX)
		n_slots = XAUTH_NONCES_MAX;
	if (live >= n_slots - n_slots / 4)
		return -ENOBUFS;

	slots = calloc(n_slots, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < store->n_slots; i++)
		if (store->slots[i].expires_s >= now_s)
			*nonce_slot(slots, n_slots, store->slots[i].key) = store->slots[i];

	free(store->slots);
	store->slots = slots;
	store->n_slots = n_slots;
	store->used = live;
	nonces_rewrite(store);
	return 0;
}

static void nonces_load(struct xauth_nonces *store)
{
	struct nonce nonce;
	FILE *file = fopen(store->path, "rbe");

	if (!file)
		return;
	while (fread(&nonce, sizeof(nonce), 1, file) == 1) {
		struct nonce *slot;

		if (!nonce.expires_s)
			continue;
		if (store->used >= store->n_slots - store->n_slots / 4 &&
		    nonces_sweep(store, (int64_t)time(NULL)))
			break;
		slot = nonce_slot(store->slots, store->n_slots, nonce.key);
		if (!slot->expires_s)
			store->used++;
		*slot = nonce;
	}
	fclose(file);
}

int xauth_nonces_alloc(struct xauth_nonces **ret, const char *path)
{
	struct xauth_nonces *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	pthread_mutex_init(&store->lock, NULL);
	store->fd = -1;
	store->n_slots = NONCES_FIRST;
	store->slots = calloc(store->n_slots, sizeof(*store->slots));
	if (!store->slots)
		goto nomem;
	if (path) {
		store->path = strdup(path);
		if (!store->path)
			goto nomem;
		nonces_load(store);
		if (store->fd < 0)
			store->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	}
	*ret = store;
	return 0;

nomem:
	xauth_nonces_free(store);
	return -ENOMEM;
}

void xauth_nonces_free(struct xauth_nonces *store)
{
	if (!store)
		return;
	if (store->fd >= 0)
		close(store->fd);
	pthread_mutex_destroy(&store->lock);
	free(store->path);
	free(store->slots);
	free(store);
}

int xauth_nonces_use(struct xauth_nonces *store, int64_t user_id, const char *nonce,
		     int64_t created_s, int64_t now_s)
{
	int64_t expires_s = (created_s > now_s ? created_s : now_s) + XAUTH_WINDOW_S;
	uint8_t hash[SHA256_DIGEST_LENGTH];
	struct nonce *slot;
	struct nonce fresh = { 0 };
	char user[24];
	int err = 0;

	snprintf(user, sizeof(user), "%lld:", (long long)user_id);
	hash_texts(hash, (const char *[]){ user, nonce }, 2);
	memcpy(fresh.key, hash, sizeof(fresh.key));
	fresh.expires_s = (uint32_t)expires_s;

	pthread_mutex_lock(&store->lock);

	slot = nonce_slot(store->slots, store->n_slots, fresh.key);
	if (slot->expires_s >= now_s && slot->expires_s) {
		err = -EDUPLICATE;
		goto out;
	}
	if (!slot->expires_s && store->used >= store->n_slots - store->n_slots / 4) {
		err = nonces_sweep(store, now_s);
		if (err)
			goto out;
		slot = nonce_slot(store->slots, store->n_slots, fresh.key);
	}
	if (!slot->expires_s)
		store->used++;
	*slot = fresh;

	/* A record that cannot be written costs protection across a restart only. */
	if (store->fd >= 0 && write(store->fd, &fresh, sizeof(fresh)) != sizeof(fresh)) {
		close(store->fd);
		store->fd = -1;
	}
out:
	pthread_mutex_unlock(&store->lock);
	return err;
}

size_t xauth_nonces_count(struct xauth_nonces *store)
{
	size_t used;

	pthread_mutex_lock(&store->lock);
	used = store->used;
	pthread_mutex_unlock(&store->lock);
	return used;
}
