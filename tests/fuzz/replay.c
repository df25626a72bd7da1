/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main() of a fuzz target without libFuzzer: gives it every file of the folders or files named on
 * the command line, and the empty input.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_BYTES (1024u * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	size_t n;

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -1;
	}
	data = malloc(MAX_BYTES);
	if (!data) {
		(void)fclose(file);
		return -1;
	}
	n = fread(data, 1, MAX_BYTES, file);
	(void)fclose(file);

	/* A copy of the exact size lets the address sanitizer see a read past the end. */
	data = realloc(data, n ? n : 1);
	if (data)
		(void)LLVMFuzzerTestOneInput(data, n);
	free(data);

	return data ? 1 : -1;
}

static int replay_folder(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	char file[PATH_MAX];
	int n = 0, one;

	if (!dir)
		return 0; /* a target without a corpus still gets the empty input */

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		one = replay_file(file);
		if (one < 0) {
			n = -1;
			break;
		}
		n += one;
	}
	(void)closedir(dir);

	return n;
}

int main(int argc, char *argv[])
{
	const uint8_t nothing = 0;
	int n = 1;

	(void)LLVMFuzzerTestOneInput(&nothing, 0);
	for (int i = 1; i < argc; i++) {
		struct stat st;
		const bool is_file = !stat(argv[i], &st) && S_ISREG(st.st_mode);
		const int one = is_file ? replay_file(argv[i]) : replay_folder(argv[i]);

		if (one < 0)
			return EXIT_FAILURE;
		n += one;
	}

	printf("%d inputs replayed\n", n);
	return EXIT_SUCCESS;
}
