/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "audio/convert.h"

/* Uploaded sound files: whatever they hold, a known reason or a well-formed WAV of the stored form. */
#define MAX_INPUT 65536

/* The libraries lose memory where they give up; the child that decodes one file ends with it. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libsndfile\nleak:libvorbis\nleak:libFLAC\nleak:libopus\nleak:libmpg123\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int in_fd = memfd_create("in", MFD_CLOEXEC), out_fd = memfd_create("out", MFD_CLOEXEC);
	struct audio_info info = { 0 };
	uint8_t head[44];
	const char *reason;

	if (in_fd < 0 || out_fd < 0)
		abort();
	if (size <= MAX_INPUT && write(in_fd, data, size) == (ssize_t)size && !lseek(in_fd, 0, SEEK_SET)) {
		reason = audio_convert(in_fd, out_fd, &info);
		if (!reason && (info.rate_hz != 8000 && info.rate_hz != 16000 && info.rate_hz != 48000))
			abort();
		if (!reason && (pread(out_fd, head, sizeof(head), 0) != sizeof(head) || head[0] != 'R' ||
				lseek(out_fd, 0, SEEK_END) !=
					44 + (off_t)(head[40] | head[41] << 8 | head[42] << 16 |
						     (uint32_t)head[43] << 24)))
			abort();
	}
	close(in_fd);
	close(out_fd);
	return 0;
}
