/* SPDX-License-Identifier: Apache-2.0 */
#include "media/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/seal.h"
#include "media/wav.h"

#define KEY_FILE    "recordings.key"
#define KEY_CONTEXT "recordings.key"
#define HEX_BYTES   (2 * VAULT_KEY_BYTES + 1)
#define TAG_FINAL   crypto_secretstream_xchacha20poly1305_TAG_FINAL
#define TAG_MESSAGE crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
#define SEAL_BYTES  crypto_secretstream_xchacha20poly1305_ABYTES
#define MARK_BYTES  8

/* ------------------------------------------------------------------ closing */

static int seal_chunk(struct vault *vault, uint8_t tag)
{
	uint8_t sealed[VAULT_SEALED];
	unsigned long long len;

	/* Fails only above 64 GiB in one message. */
	(void)crypto_secretstream_xchacha20poly1305_push(&vault->state, sealed, &len, vault->plain,
							 vault->n, NULL, 0, tag);
	vault->n = 0;
	return vault->write_h(sealed, (size_t)len, vault->arg);
}

int vault_begin(struct vault *vault, const uint8_t key[VAULT_KEY_BYTES], vault_write_h *write_h,
		void *arg)
{
	uint8_t head[VAULT_HEAD];

	if (sodium_init() < 0)
		return -EIO;
	vault->n = 0;
	vault->write_h = write_h;
	vault->arg = arg;
	memcpy(head, VAULT_MARK, MARK_BYTES);
	(void)crypto_secretstream_xchacha20poly1305_init_push(&vault->state, head + MARK_BYTES, key);
	return write_h(head, sizeof(head), arg);
}

int vault_put(struct vault *vault, const void *data, size_t len)
{
	const uint8_t *at = data;
	int err = 0;

	while (len && !err) {
		size_t n = VAULT_CHUNK - vault->n < len ? VAULT_CHUNK - vault->n : len;

		memcpy(vault->plain + vault->n, at, n);
		vault->n += n;
		at += n;
		len -= n;
		if (vault->n == VAULT_CHUNK)
			err = seal_chunk(vault, TAG_MESSAGE);
	}
	return err;
}

int vault_end(struct vault *vault)
{
	int err = seal_chunk(vault, TAG_FINAL);

	sodium_memzero(vault, sizeof(*vault));
	return err;
}

/* ------------------------------------------------------------------ opening */

int vault_open(const uint8_t key[VAULT_KEY_BYTES], const void *data, size_t len,
	       vault_write_h *write_h, void *arg)
{
	crypto_secretstream_xchacha20poly1305_state state;
	uint8_t plain[VAULT_CHUNK], tag = TAG_MESSAGE;
	const uint8_t *at = data;
	unsigned long long n_plain;
	int err = 0;

	if (sodium_init() < 0)
		return -EIO;
	if (len < VAULT_HEAD || memcmp(at, VAULT_MARK, MARK_BYTES) ||
	    crypto_secretstream_xchacha20poly1305_init_pull(&state, at + MARK_BYTES, key))
		return -EBADMSG;
	at += VAULT_HEAD;
	len -= VAULT_HEAD;

	while (!err && tag != TAG_FINAL) {
		size_t n = len < VAULT_SEALED ? len : VAULT_SEALED;

		if (n < SEAL_BYTES) {
			err = -ENODATA;
		} else if (crypto_secretstream_xchacha20poly1305_pull(&state, plain, &n_plain, &tag, at,
								      n, NULL, 0)) {
			/* A short one at the end is what a crash leaves of a chunk. */
			err = n < VAULT_SEALED ? -ENODATA : -ECORRUPT;
		} else {
			at += n;
			len -= n;
			err = n_plain ? write_h(plain, (size_t)n_plain, arg) : 0;
		}
	}
	if (!err && len)
		err = -ECORRUPT; /* nothing may follow the last chunk */
	sodium_memzero(&state, sizeof(state));
	sodium_memzero(plain, sizeof(plain));
	return err;
}

static int write_fd(const void *data, size_t len, void *arg)
{
	const uint8_t *at = data;
	int fd = *(const int *)arg;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int vault_open_file(const char *in_path, const char *out_path, const uint8_t key[VAULT_KEY_BYTES])
{
	int in = open(in_path, O_RDONLY | O_CLOEXEC), out = -1, err, err_wav;
	void *data = MAP_FAILED;
	struct stat st;

	if (in < 0)
		return -errno;
	if (fstat(in, &st)) {
		err = -errno;
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size < VAULT_HEAD) {
		err = -EBADMSG;
		goto out;
	}
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, in, 0);
	out = open(out_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (data == MAP_FAILED || out < 0) {
		err = -errno;
		goto out;
	}

	err = vault_open(key, data, (size_t)st.st_size, write_fd, &out);
	err_wav = wav_repair(out);
	if (!err && err_wav && err_wav != -EBADMSG) /* not a WAV file is fine */
		err = err_wav;
	if (err && err != -ENODATA)
		(void)unlink(out_path);

out:
	if (data != MAP_FAILED)
		(void)munmap(data, (size_t)st.st_size);
	if (out >= 0)
		(void)close(out);
	(void)close(in);
	return err;
}

/* ------------------------------------------------------------------ the key */

static int key_read(uint8_t *key, const char *path)
{
	char text[512], *hex = NULL;
	size_t len;
	ssize_t n;
	int err, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	err = n < 0 ? -errno : 0;
	(void)close(fd);
	if (err)
		return err;

	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	err = seal_open(&hex, KEY_CONTEXT, text);
	if (!err && (sodium_hex2bin(key, VAULT_KEY_BYTES, hex, strlen(hex), NULL, &len, NULL) ||
		     len != VAULT_KEY_BYTES))
		err = -ECORRUPT;
	if (hex)
		sodium_memzero(hex, strlen(hex));
	free(hex);
	return err;
}

/* Two processes may make it at once: link() lets one win, and both read the winner's. */
static int key_make(const char *path)
{
	uint8_t key[VAULT_KEY_BYTES];
	char hex[HEX_BYTES], tmp[PATH_MAX], *sealed = NULL;
	int fd, err;

	if (snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	randombytes_buf(key, sizeof(key));
	sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
	err = seal_close(&sealed, KEY_CONTEXT, hex);
	sodium_memzero(key, sizeof(key));
	sodium_memzero(hex, sizeof(hex));
	if (err)
		return err;

	fd = mkstemp(tmp); /* mode 0600 */
	if (fd < 0) {
		free(sealed);
		return -errno;
	}
	err = write_fd(sealed, strlen(sealed), &fd);
	if (!err && fsync(fd))
		err = -errno;
	if (!err && link(tmp, path) && errno != EEXIST)
		err = -errno;
	(void)close(fd);
	(void)unlink(tmp);
	free(sealed);
	return err;
}

int vault_key_load(uint8_t key[VAULT_KEY_BYTES], const char *data_dir)
{
	char path[PATH_MAX];
	int err;

	if (snprintf(path, sizeof(path), "%s/" KEY_FILE, data_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (sodium_init() < 0)
		return -EIO;
	err = key_read(key, path);
	if (err != -ENOENT)
		return err;
	err = key_make(path);
	return err ? err : key_read(key, path);
}
