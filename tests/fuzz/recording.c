/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "media/disk.h"
#include "media/vault.h"
#include "media/wav.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sink {
	uint8_t *data;
	size_t n, size;
};

static int sink_write(const void *data, size_t len, void *arg)
{
	struct sink *sink = arg;

	if (sink->n + len > sink->size)
		abort();
	memcpy(sink->data + sink->n, data, len);
	sink->n += len;
	return 0;
}

/* Files of recordings as a crash, a disk or somebody's hand may have left them; and their names. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[VAULT_KEY_BYTES] = { 1 };
	static struct vault vault;
	struct sink sealed = { .size = size + VAULT_HEAD + (size / VAULT_CHUNK + 1) * 32 };
	struct sink plain = { .size = size + VAULT_CHUNK };
	uint8_t again[WAV_HEAD];
	struct wav wav;
	char path[64];

	if (!wav_parse(&wav, data, size)) {
		wav_head(again, &wav);
		if (memcmp(again, data, 4) || memcmp(again + 8, data + 8, WAV_HEAD - 8))
			abort();
	}

	if (size && size < sizeof(path)) {
		memcpy(path, data, size);
		path[size] = '\0';
		if (disk_path_ok(path) && (strstr(path, "..") == path || strstr(path, "/..") || path[0] == '/'))
			abort();
	}

	/* Bytes of strangers; then the same bytes sealed, one changed: nothing foreign comes out. */
	sealed.data = malloc(sealed.size);
	plain.data = malloc(plain.size);
	if (!sealed.data || !plain.data)
		abort();
	(void)vault_open(key, data, size, sink_write, &plain);
	plain.n = 0;
	if (vault_begin(&vault, key, sink_write, &sealed) || vault_put(&vault, data, size) ||
	    vault_end(&vault))
		abort();
	if (size)
		sealed.data[data[0] * 7919u % sealed.n] ^= (uint8_t)(data[size - 1] & 3);
	(void)vault_open(key, sealed.data, sealed.n, sink_write, &plain);
	if (plain.n > size || memcmp(plain.data, data, plain.n))
		abort();
	free(sealed.data);
	free(plain.data);
	return 0;
}
