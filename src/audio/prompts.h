/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_AUDIO_PROMPTS_H
#define AOIDE_AUDIO_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The spoken prompts that we ship: <share>/prompts/prompts.csv (name, Italian text, English text) and
 * <share>/prompts/<it|us>/<name>.wav. Read once, then immutable.
 */
#define PROMPTS_MAX       2000
#define PROMPTS_MAX_BYTES (1024u * 1024)

struct prompt {
	const char *name, *it, *en; /* "echo/intro" and what it says */
};
struct prompts;

/* -ENOENT: no such folder (or share_dir is NULL); -ECORRUPT: the table cannot be read. */
int prompts_load(struct prompts **ret, const char *share_dir);
int prompts_parse(struct prompts **ret, const char *text, size_t len);
void prompts_free(struct prompts *prompts);
size_t prompts_count(const struct prompts *prompts);
const struct prompt *prompts_at(const struct prompts *prompts, size_t i); /* by name */
const struct prompt *prompts_find(const struct prompts *prompts, const char *name);

/* Where the recordings of a built-in language lie: "it" -> "it"; "es" has none yet and speaks "us". */
const char *prompts_folder(const char *builtin_code); /* NULL: not built in */

#endif
