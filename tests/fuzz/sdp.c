/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "sip/sdesc.h"
#include "sip/sdesc_secure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever parses must print, and what was printed must parse and print the same again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char first[2 * SDESC_MAX_BYTES], second[2 * SDESC_MAX_BYTES];
	static const uint16_t ports[SDESC_MAX_MEDIA] = { 2, 4, 6, 8, 10, 12, 14, 16 };
	struct sdesc *desc = NULL, *copy = NULL, *again = NULL;
	struct sdesc_print_opts o = { .ports = ports };
	struct sa addr;

	sa_set_str(&addr, "203.0.113.1", 0);
	o.addr = &addr;
	if (sdesc_parse(&desc, (const char *)data, size))
		return 0;
	for (size_t i = 0; i < desc->n_media; i++) {
		struct sdesc_secure secure;

		sdesc_secure_parse(&secure, desc, i);
		if (secure.n_crypto > SDESC_MAX_CRYPTO || secure.n_candidates > SDESC_MAX_CANDIDATES)
			abort();
	}
	if (sdesc_print(desc, first, sizeof(first), &o) > 0) {
		if (sdesc_parse(&again, first, strlen(first)))
			abort();
		if (sdesc_print(again, second, sizeof(second), &o) < 0 || strcmp(first, second))
			abort();
	}
	if (!sdesc_copy(&copy, desc)) {
		(void)sdesc_print(copy, first, sizeof(first), &o);
	}
	mem_deref(again);
	mem_deref(copy);
	mem_deref(desc);
	return 0;
}
