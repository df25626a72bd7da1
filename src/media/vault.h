/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_VAULT_H
#define AOIDE_MEDIA_VAULT_H

#include <stddef.h>
#include <stdint.h>
#include <sodium.h>

/*
 * Recordings encrypted at rest (PLT-87, D-206): a mark of eight bytes, the header of a libsodium
 * secretstream, then chunks of VAULT_CHUNK bytes, each sealed on its own; the last one is shorter or
 * empty and says that it is the last. A file that was cut off opens up to its last whole chunk.
 * Any thread, one at a time per object.
 */
#define VAULT_KEY_BYTES 32
#define VAULT_CHUNK     4096
#define VAULT_MARK      "AOIDEv1\n"
#define VAULT_SEALED    (VAULT_CHUNK + crypto_secretstream_xchacha20poly1305_ABYTES)
#define VAULT_HEAD      (8 + crypto_secretstream_xchacha20poly1305_HEADERBYTES)

/* Takes len bytes of the sealed file, in their order. Returns 0 or -errno. */
typedef int(vault_write_h)(const void *data, size_t len, void *arg);

struct vault {
	crypto_secretstream_xchacha20poly1305_state state;
	uint8_t plain[VAULT_CHUNK];
	size_t n;
	vault_write_h *write_h;
	void *arg;
};

/* Errors of all three are those of write_h. */
int vault_begin(struct vault *vault, const uint8_t key[VAULT_KEY_BYTES], vault_write_h *write_h,
		void *arg);
int vault_put(struct vault *vault, const void *data, size_t len);
int vault_end(struct vault *vault);

/*
 * Opens sealed bytes that may be anything. write_h gets the plain ones.
 *
 * Returns 0, -EBADMSG (not such a file), -ECORRUPT (wrong key or changed bytes), -ENODATA (it was cut
 * off: what stood before has been written), or what write_h returned.
 */
int vault_open(const uint8_t key[VAULT_KEY_BYTES], const void *data, size_t len,
	       vault_write_h *write_h, void *arg);

/* The same from file to file; a WAV header is completed, as it could not be while sealing. out_path
 * must not exist. Also -errno of the files. */
int vault_open_file(const char *in_path, const char *out_path, const uint8_t key[VAULT_KEY_BYTES]);

/*
 * The key of this installation, <data>/recordings.key, sealed by the machine key (seal_init() first);
 * made on first use. Returns 0, -ECORRUPT (another machine's), -errno.
 */
int vault_key_load(uint8_t key[VAULT_KEY_BYTES], const char *data_dir);

#endif
