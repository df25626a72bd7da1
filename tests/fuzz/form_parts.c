/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audio/parts.h"
#include "audio/prompts.h"

/* Bodies of multipart/form-data: the Content-Type ends at the first line end, the rest is the body.
 * Every part lies inside the body and behind the one before it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *eol = memchr(data, '\n', size);
	struct prompts *prompts = NULL;
	char boundary[72], *ctype;
	const char *body, *last;
	struct part part;
	size_t at = 0, len;

	if (!prompts_parse(&prompts, (const char *)data, size))
		prompts_free(prompts);
	if (!eol)
		return 0;
	ctype = strndup((const char *)data, (size_t)(eol - data));
	body = last = (const char *)eol + 1;
	len = size - (size_t)(eol - data) - 1;
	if (parts_boundary(boundary, sizeof(boundary), ctype) > 0)
		while (parts_next(&part, body, len, boundary, &at) > 0) {
			if (part.data < last || part.data + part.len > body + len || at > len ||
			    strlen(part.name) >= sizeof(part.name) || strchr(part.file_name, '/'))
				abort();
			last = part.data + part.len;
		}
	free(ctype);
	return 0;
}
