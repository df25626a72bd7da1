/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of the control connection, read in both directions. */
#include <stdlib.h>
#include <string.h>
#include "media/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const uint8_t *data, size_t size, enum wire_dir dir)
{
	struct wire_reader reader = { .data = data, .left = size, .dir = dir };
	const struct mp_hdr *hdr;
	const char *why = NULL;
	size_t seen = 0;
	int n;

	while ((n = wire_next(&hdr, &reader, &why)) > 0) {
		if (hdr->size != wire_size(hdr->type))
			abort();
		seen += hdr->size;
	}
	if (seen > size || (n == 0 && seen != size) || (n < 0 && !why))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* malloc aligns, as the readers' buffers are */

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	read_all(copy, size, WIRE_TO_MEDIA);
	read_all(copy, size, WIRE_TO_SWITCH);
	free(copy);
	return 0;
}
