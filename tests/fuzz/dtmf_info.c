/* SPDX-License-Identifier: Apache-2.0 */
/* INFO about keys: a line of content type, then the body. */
#include <stdlib.h>
#include <string.h>
#include "call/leg_dtmf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* exact, so that one byte too far is seen */
	const char *eol;
	struct pl ctype, body;
	uint32_t duration_ms;
	char digit;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	eol = size ? memchr(copy, '\n', size) : NULL;
	ctype = (struct pl){ .p = copy, .l = eol ? (size_t)(eol - copy) : size };
	body = (struct pl){ .p = eol ? eol + 1 : copy + size };
	body.l = (size_t)(copy + size - body.p);
	if (!leg_dtmf_parse(&digit, &duration_ms, &ctype, &body) &&
	    ((digit && !strchr("0123456789*#ABCD", digit)) || !duration_ms || duration_ms > 10000))
		abort();
	free(copy);
	return 0;
}
