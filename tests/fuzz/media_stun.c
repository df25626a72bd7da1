/* SPDX-License-Identifier: Apache-2.0 */
/* STUN as strangers send it to an RTP port. */
#include <stdlib.h>
#include <string.h>
#include "media/binding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1); /* exact, so that one byte too far is seen */
	uint8_t buf[BINDING_BYTES];
	struct binding msg, again;
	size_t len;

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (!binding_parse(&msg, copy, size)) {
		if (msg.username && (msg.username < (const char *)copy ||
				     msg.username + msg.username_len > (const char *)copy + size))
			abort();
		(void)binding_is_from(&msg, copy, "password");

		/* What we write we can read. */
		len = binding_write(buf, &(struct binding_write){
						 .class = msg.class,
						 .tid = msg.tid,
						 .username = "a:b",
						 .priority = msg.priority,
						 .tie_breaker = msg.tie_breaker,
						 .use_candidate = msg.use_candidate,
						 .error = 487,
						 .mapped = msg.mapped.sa.sa_family ? &msg.mapped : NULL,
						 .password = "password" });
		if (binding_parse(&again, buf, len) || !binding_is_from(&again, buf, "password") ||
		    again.class != msg.class)
			abort();
	}
	free(copy);
	return 0;
}
