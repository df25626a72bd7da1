/* SPDX-License-Identifier: Apache-2.0 */
#include "base/seal.h"
#include "base/err.h"
#include "base/log.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE    "machine.key"
#define KEY_BYTES   crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES   crypto_aead_xchacha20poly1305_ietf_ABYTES
#define MARK        "s1:"
#define MARK_LEN    3u
#define MAX_PLAIN   (64u * 1024)
#define B64         sodium_base64_VARIANT_ORIGINAL_NO_PADDING

/* Set once at start, then only read. It lies in locked memory that is left out of core dumps. */
static unsigned char *machine_key;
static pthread_mutex_t key_lock = PTHREAD_MUTEX_INITIALIZER;

static int key_read(unsigned char *key, const char *path)
{
	char hex[KEY_BYTES * 2 + 2];
	struct stat st;
	size_t len;
	ssize_t n;
	int err = 0;
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;

	n = read(fd, hex, sizeof(hex));
	if (n < 0) {
		err = -errno;
		goto out;
	}
	if (!fstat(fd, &st) && (st.st_mode & 077))
		log_warn("seal.key_mode", "others may read the machine key: run chmod 600 on it",
			 kv_text("file", path));
	if (sodium_hex2bin(key, KEY_BYTES, hex, (size_t)n, "\n", &len, NULL) || len != KEY_BYTES)
		err = -ECORRUPT;

out:
	sodium_memzero(hex, sizeof(hex));
	(void)close(fd);
	return err;
}

/* Two processes may start at the same time: each writes its own file, link() lets one win, and
 * both read the winner's. */
static int key_make(const char *path)
{
	unsigned char key[KEY_BYTES];
	char hex[KEY_BYTES * 2 + 1];
	char tmp[PATH_MAX];
	int fd, err = 0;

	if (snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	fd = mkstemp(tmp); /* mode 0600 */
	if (fd < 0)
		return -errno;

	randombytes_buf(key, sizeof(key));
	sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
	hex[sizeof(hex) - 1] = '\n';
	if (write(fd, hex, sizeof(hex)) != (ssize_t)sizeof(hex) || fsync(fd))
		err = errno ? -errno : -EIO;
	else if (link(tmp, path) && errno != EEXIST)
		err = -errno;

	sodium_memzero(key, sizeof(key));
	sodium_memzero(hex, sizeof(hex));
	(void)close(fd);
	(void)unlink(tmp);
	return err;
}

int seal_init(const char *data_dir)
{
	char path[PATH_MAX];
	unsigned char *key = NULL;
	int err;

	if (sodium_init() < 0)
		return -EIO;
	if (snprintf(path, sizeof(path), "%s/" KEY_FILE, data_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	key = sodium_malloc(KEY_BYTES);
	if (!key)
		return -ENOMEM;

	err = key_read(key, path);
	if (err == -ENOENT) {
		err = key_make(path);
		if (!err)
			err = key_read(key, path);
	}
	if (err)
		goto out;
	(void)sodium_mprotect_readonly(key);

	pthread_mutex_lock(&key_lock);
	if (machine_key)
		sodium_free(machine_key);
	machine_key = key;
	key = NULL;
	pthread_mutex_unlock(&key_lock);

out:
	if (key)
		sodium_free(key);
	return err;
}

int seal_close(char **ret, const char *context, const char *plain)
{
	const size_t len = strlen(plain);
	unsigned char *box = NULL;
	char *text = NULL;
	unsigned long long box_len;
	size_t text_size;
	int err = 0;

	if (!machine_key)
		return -EINVAL;
	if (len > MAX_PLAIN)
		return -EMSGSIZE;

	box = malloc(NONCE_BYTES + len + TAG_BYTES);
	text_size = sodium_base64_encoded_len(NONCE_BYTES + len + TAG_BYTES, B64);
	text = malloc(MARK_LEN + text_size);
	if (!box || !text) {
		err = -ENOMEM;
		goto out;
	}

	randombytes_buf(box, NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
		box + NONCE_BYTES, &box_len, (const unsigned char *)plain, len,
		(const unsigned char *)context, strlen(context), NULL, box, machine_key);
	memcpy(text, MARK, MARK_LEN);
	sodium_bin2base64(text + MARK_LEN, text_size, box, NONCE_BYTES + (size_t)box_len, B64);

	*ret = text;
	text = NULL;

out:
	free(box);
	free(text);
	return err;
}

int seal_open(char **ret, const char *context, const char *sealed)
{
	const size_t text_len = strlen(sealed);
	unsigned char *box = NULL;
	char *plain = NULL;
	unsigned long long plain_len;
	size_t len;
	int err = 0;

	if (!machine_key)
		return -EINVAL;
	if (text_len > 2 * MAX_PLAIN || strncmp(sealed, MARK, MARK_LEN))
		return -ECORRUPT;

	box = malloc(text_len);
	plain = malloc(text_len);
	if (!box || !plain) {
		err = -ENOMEM;
		goto out;
	}

	if (sodium_base642bin(box, text_len, sealed + MARK_LEN, text_len - MARK_LEN, NULL, &len,
			      NULL, B64) ||
	    len < NONCE_BYTES + TAG_BYTES ||
	    crypto_aead_xchacha20poly1305_ietf_decrypt(
		    (unsigned char *)plain, &plain_len, NULL, box + NONCE_BYTES, len - NONCE_BYTES,
		    (const unsigned char *)context, strlen(context), box, machine_key)) {
		err = -ECORRUPT;
		goto out;
	}
	plain[plain_len] = '\0';

	*ret = plain;
	plain = NULL;

out:
	if (plain)
		sodium_memzero(plain, text_len);
	free(box);
	free(plain);
	return err;
}

/* Every function here may be the first: libsodium's initialization may be repeated. */
void seal_random_hex(char *buf, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	if (sodium_init() < 0)
		abort(); /* a guessable secret is worse than none */
	for (size_t i = 0; i + 1 < size; i++)
		buf[i] = digits[randombytes_uniform(16)];
	if (size)
		buf[size - 1] = '\0';
}

/* A letter of each case and a digit: what password policies ask for (D-063). */
static bool has_every_class(const char *text)
{
	bool lower = false, upper = false, digit = false;

	for (; *text; text++) {
		lower = lower || (*text >= 'a' && *text <= 'z');
		upper = upper || (*text >= 'A' && *text <= 'Z');
		digit = digit || (*text >= '0' && *text <= '9');
	}

	return lower && upper && digit;
}

void seal_random_secret(char *buf, size_t size)
{
	/* Without 0 O 1 l I: secrets are read from paper and typed into phones. */
	static const char chars[] = "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

	if (sodium_init() < 0)
		abort(); /* a guessable secret is worse than none */
	if (!size)
		return;

	do {
		for (size_t i = 0; i + 1 < size; i++)
			buf[i] = chars[randombytes_uniform(sizeof(chars) - 1)];
		buf[size - 1] = '\0';
	} while (size > 3 && !has_every_class(buf));
}
