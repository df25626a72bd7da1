/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_ARENA_H
#define AOIDE_BASE_ARENA_H

#include <stddef.h>

/*
 * Arena: memory that lives as long as one request, one import or one snapshot and is freed at once.
 * One thread at a time. Allocation never needs a matching free.
 */
struct arena;

/* first_bytes: size of the first block; blocks double up to 1 MiB. Returns 0 or -ENOMEM. */
int arena_alloc(struct arena **ret, size_t first_bytes);
void arena_free(struct arena *arena); /* accepts NULL */
void *arena_zalloc(struct arena *arena, size_t bytes); /* NULL when memory is out; 16-byte aligned */
char *arena_strdup(struct arena *arena, const char *text); /* NULL in, NULL out */
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t arena_bytes(const struct arena *arena); /* what it holds from the system */

#endif
