/* SPDX-License-Identifier: Apache-2.0 */
/* DTLS records as strangers send them: the input is cut into datagrams (two bytes of length each). */
#include <stdlib.h>
#include <string.h>
#include "media/dtls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void swallow(void *arg, const uint8_t *data, size_t len)
{
	if (len > 1200)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t fingerprint[64];
	static struct assoc_identity *identity;
	struct assoc *assoc;

	if (!identity && assoc_identity_alloc(&identity))
		return 0;
	if (!size || assoc_alloc(&assoc, &(struct assoc_opts){ .identity = identity,
							       .active = data[0] & 1,
							       .hash = MEDIA_SHA_256,
							       .fingerprint = fingerprint }))
		return 0;

	(void)assoc_start(assoc, swallow, NULL);
	for (size_t at = 1; at + 2 <= size;) {
		size_t len = (size_t)(data[at] << 8 | data[at + 1]) % 1500;
		uint8_t *copy;

		at += 2;
		if (len > size - at)
			len = size - at;
		copy = malloc(len ? len : 1);
		if (!copy)
			break;
		memcpy(copy, data + at, len);
		if (assoc_receive(assoc, copy, len, swallow, NULL) == ASSOC_DONE)
			abort(); /* nobody knows our key */
		free(copy);
		at += len;
	}
	(void)assoc_tick(assoc, 1, swallow, NULL);
	assoc_free(assoc);
	return 0;
}
