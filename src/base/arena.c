/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN     16u
#define ARENA_MIN_BLOCK 256u
#define ARENA_MAX_BLOCK (1024u * 1024)

struct block {
	struct block *next;
	size_t size, used; /* of data */
	_Alignas(16) char data[];
};

struct arena {
	struct block *blocks; /* the newest first: it is the one being filled */
	size_t next_bytes;
	size_t total_bytes;
};

static struct block *block_add(struct arena *arena, size_t need)
{
	size_t size = arena->next_bytes;
	struct block *block;

	if (need > size)
		size = need;
	block = malloc(sizeof(*block) + size);
	if (!block)
		return NULL;

	block->size = size;
	block->used = 0;
	arena->total_bytes += sizeof(*block) + size;
	if (arena->next_bytes < ARENA_MAX_BLOCK)
		arena->next_bytes *= 2;

	/* A block for one big object goes behind the current one, which may still have room. */
	if (arena->blocks && size == need && need > arena->blocks->size - arena->blocks->used &&
	    arena->blocks->size - arena->blocks->used > ARENA_MIN_BLOCK) {
		block->next = arena->blocks->next;
		arena->blocks->next = block;
	} else {
		block->next = arena->blocks;
		arena->blocks = block;
	}

	return block;
}

int arena_alloc(struct arena **ret, size_t first_bytes)
{
	struct arena *arena = calloc(1, sizeof(*arena));

	if (!arena)
		return -ENOMEM;

	arena->next_bytes = first_bytes < ARENA_MIN_BLOCK ? ARENA_MIN_BLOCK : first_bytes;
	arena->total_bytes = sizeof(*arena);

	*ret = arena;
	return 0;
}

void arena_free(struct arena *arena)
{
	struct block *block, *next;

	if (!arena)
		return;

	for (block = arena->blocks; block; block = next) {
		next = block->next;
		free(block);
	}
	free(arena);
}

void *arena_zalloc(struct arena *arena, size_t bytes)
{
	struct block *block = arena->blocks;
	void *p;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	bytes = bytes ? (bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1) : ARENA_ALIGN;

	if (!block || block->size - block->used < bytes) {
		block = block_add(arena, bytes);
		if (!block)
			return NULL;
	}

	p = block->data + block->used;
	block->used += bytes;

	return memset(p, 0, bytes);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
	char *copy;

	if (!text)
		return NULL;

	copy = arena_zalloc(arena, len + 1);
	if (copy)
		memcpy(copy, text, len);

	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;

	text = arena_zalloc(arena, (size_t)n + 1);
	if (!text)
		return NULL;

	va_start(ap, fmt);
	(void)vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);

	return text;
}

size_t arena_bytes(const struct arena *arena)
{
	return arena->total_bytes;
}
