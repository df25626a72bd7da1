/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/prompts.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"

struct prompts {
	struct arena *arena;
	size_t n;
	struct prompt list[PROMPTS_MAX];
};

/* One field of RFC 4180: plain, or in quotes with doubled quotes. NULL: malformed. */
static const char *read_field(struct arena *arena, const char **at, const char *end)
{
	const char *c = *at;
	char *text, *to;

	if (c >= end || *c != '"') {
		while (c < end && *c != ',' && *c != '\n' && *c != '\r')
			c++;
		text = arena_strndup(arena, *at, (size_t)(c - *at));
		*at = c;
		return text;
	}
	to = text = arena_zalloc(arena, (size_t)(end - c) < 1024 ? (size_t)(end - c) + 1 : 1024);
	if (!text)
		return NULL;
	for (c++; c < end; c++) {
		if (*c == '"' && (c + 1 == end || c[1] != '"'))
			break;
		c += *c == '"';
		if (to - text >= 1023)
			return NULL;
		*to++ = *c;
	}
	if (c >= end)
		return NULL;
	*at = c + 1;
	return text;
}

/* "digits/0", "rec-start": what may be part of a file's path. */
static bool is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-/");

	return n && !name[n] && n < 100 && name[0] != '/' && name[n - 1] != '/' &&
	       !strstr(name, "//");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct prompt *)a)->name, ((const struct prompt *)b)->name);
}

static int parse_lines(struct prompts *p, const char *text, size_t len)
{
	const char *at = text, *end = text + len;

	for (size_t line = 0; at < end; line++) {
		const char *fields[3] = { NULL };

		for (int i = 0; i < 3; i++) {
			fields[i] = read_field(p->arena, &at, end);
			if (!fields[i] || (i < 2 && (at >= end || *at++ != ',')))
				return -ECORRUPT;
		}
		at += at < end && *at == '\r';
		if (at < end && *at++ != '\n')
			return -ECORRUPT;
		if (!line)
			continue; /* the head */
		if (p->n == PROMPTS_MAX || !is_name(fields[0]))
			return -ECORRUPT;
		p->list[p->n++] = (struct prompt){ fields[0], fields[1], fields[2] };
	}
	qsort(p->list, p->n, sizeof(p->list[0]), by_name);
	for (size_t i = 1; i < p->n; i++)
		if (!strcmp(p->list[i - 1].name, p->list[i].name))
			return -ECORRUPT;
	return 0;
}

int prompts_parse(struct prompts **ret, const char *text, size_t len)
{
	struct prompts *p;
	int err;

	if (len > PROMPTS_MAX_BYTES)
		return -ECORRUPT;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	err = arena_alloc(&p->arena, 16 * 1024);
	if (!err)
		err = parse_lines(p, text, len);
	if (err)
		prompts_free(p);
	else
		*ret = p;
	return err;
}

int prompts_load(struct prompts **ret, const char *share_dir)
{
	char path[PATH_MAX], *text;
	size_t len;
	FILE *file;
	int err;

	if (!share_dir)
		return -ENOENT;
	(void)snprintf(path, sizeof(path), "%s/prompts/prompts.csv", share_dir);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	text = malloc(PROMPTS_MAX_BYTES + 1);
	len = text ? fread(text, 1, PROMPTS_MAX_BYTES + 1, file) : 0;
	err = !text ? -ENOMEM : ferror(file) ? -EIO : prompts_parse(ret, text, len);
	(void)fclose(file);
	free(text);
	return err;
}

void prompts_free(struct prompts *prompts)
{
	if (!prompts)
		return;
	arena_free(prompts->arena);
	free(prompts);
}

size_t prompts_count(const struct prompts *prompts)
{
	return prompts->n;
}

const struct prompt *prompts_at(const struct prompts *prompts, size_t i)
{
	return &prompts->list[i];
}

const struct prompt *prompts_find(const struct prompts *prompts, const char *name)
{
	const struct prompt key = { .name = name };

	return bsearch(&key, prompts->list, prompts->n, sizeof(prompts->list[0]), by_name);
}

const char *prompts_folder(const char *code)
{
	static const struct {
		const char *code, *folder;
	} builtin[] = { { "it", "it" }, { "us", "us" }, { "es", "us" } };

	for (size_t i = 0; i < sizeof(builtin) / sizeof(builtin[0]); i++)
		if (!strcmp(builtin[i].code, code))
			return builtin[i].folder;
	return NULL;
}
