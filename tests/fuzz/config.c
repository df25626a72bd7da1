/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a configuration file holds: a clear error, or values that can be written and read back. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = NULL;
	char why[256] = "";
	FILE *file;
	int err;

	if (!size || config_alloc(&config))
		return 0;
	file = fmemopen((void *)(uintptr_t)data, size, "r");
	if (!file)
		abort();

	err = config_read_stream(config, file, "fuzz", why, sizeof(why));
	if (err && !strstr(why, "line "))
		abort(); /* an error without its line */
	if (config->rtp_first >= config->rtp_last || config->rtp_first & 1 || !config->sip_port ||
	    !config->media_threads || !config->data_dir[0])
		abort(); /* a value that the rest of the program may rely on */

	(void)fclose(file);
	config_free(config);
	return 0;
}
