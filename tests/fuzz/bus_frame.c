/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A stream of frames from a stranger: each is refused, incomplete, or prints as it came. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t pos = 0, used;
	struct frame frame;

	while (frame_parse(&frame, data + pos, size - pos, &used) == 1) {
		const size_t len = frame_size(frame.subject, frame.text_len);
		uint8_t *copy;

		if (used != len || used > size - pos)
			abort();
		copy = malloc(len);
		if (!copy)
			abort();
		frame_print(copy, frame.type, frame.id, frame.arg, frame.subject, frame.text,
			    frame.text_len);
		if (memcmp(copy, data + pos, len))
			abort();
		free(copy);
		if (frame.type == FRAME_SUBSCRIBE)
			(void)subject_matches(frame.subject, "t.1.call.ringing");
		pos += used;
	}

	return 0;
}
