/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/parts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define BOUNDARY_MAX 70   /* RFC 2046 section 5.1.1 */
#define HEAD_MAX     4096 /* headers of one part */

int parts_boundary(char *buf, size_t size, const char *content_type)
{
	static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "'()+_,-./:=?";
	const char *at = content_type;
	size_t n;

	if (strncasecmp(at, "multipart/form-data", 19))
		return -EINVAL;
	at = strcasestr(at, "boundary=");
	if (!at)
		return -EINVAL;
	at += 9;
	at += *at == '"';
	n = strspn(at, plain);
	if (!n || n > BOUNDARY_MAX || n >= size)
		return -EINVAL;
	memcpy(buf, at, n);
	buf[n] = '\0';
	return (int)n;
}

/* `name="..."`, where \" and browsers' %22 stand for a quote. Copies what fits; false: absent. */
static bool parameter(char *buf, size_t size, const char *line, const char *end, const char *key)
{
	size_t key_len = strlen(key), n = 0;
	const char *at = line;

	for (;; at++) {
		at = memchr(at, ';', (size_t)(end - at));
		if (!at)
			return false;
		do
			at++;
		while (at < end && *at == ' ');
		if ((size_t)(end - at) > key_len + 1 && !strncasecmp(at, key, key_len) &&
		    at[key_len] == '=' && at[key_len + 1] == '"')
			break;
		if (at >= end)
			return false;
		at--;
	}
	for (at += key_len + 2; at < end && *at != '"'; at++) {
		char c = *at;

		if (c == '\\' && at + 1 < end && at[1] == '"') {
			c = *++at;
		} else if (end - at >= 3 && !strncmp(at, "%22", 3)) {
			c = '"';
			at += 2;
		}
		if (n + 1 < size)
			buf[n++] = c;
	}
	buf[n] = '\0';
	return at < end;
}

/* Old browsers send the whole path. */
static void keep_last_part(char *name)
{
	char *last = name;

	for (char *c = name; *c; c++)
		if (*c == '/' || *c == '\\')
			last = c + 1;
	memmove(name, last, strlen(last) + 1);
}

static int read_head(struct part *ret, const char *head, const char *end)
{
	bool found = false;

	for (const char *line = head; line < end;) {
		const char *eol = memmem(line, (size_t)(end - line), "\r\n", 2);

		eol = eol ? eol : end;
		if (eol - line > 20 && !strncasecmp(line, "Content-Disposition:", 20)) {
			found = parameter(ret->name, sizeof(ret->name), line, eol, "name");
			(void)parameter(ret->file_name, sizeof(ret->file_name), line, eol,
					"filename");
			keep_last_part(ret->file_name);
		}
		line = eol + 2;
	}
	return found ? 0 : -EINVAL;
}

int parts_next(struct part *ret, const char *body, size_t len, const char *boundary, size_t *at)
{
	char mark[BOUNDARY_MAX + 5];
	size_t mark_len = (size_t)snprintf(mark, sizeof(mark), "\r\n--%s", boundary);
	const char *p = body + *at, *end = body + len, *head_end, *data_end;

	if (mark_len >= sizeof(mark) || *at > len)
		return -EINVAL;
	/* The first boundary needs no line before it; each call but the first begins behind one. */
	if (!*at) {
		if (len < mark_len - 2 || strncmp(body, mark + 2, mark_len - 2)) {
			p = memmem(body, len, mark, mark_len);
			if (!p)
				return -EINVAL;
			p += 2;
		}
		p += mark_len - 2;
	}
	if (end - p >= 2 && !memcmp(p, "--", 2))
		return 0;
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	if (end - p < 2 || memcmp(p, "\r\n", 2))
		return -EINVAL;
	p += 2;

	memset(ret, 0, sizeof(*ret));
	head_end = memmem(p, (size_t)(end - p) < HEAD_MAX ? (size_t)(end - p) : HEAD_MAX, "\r\n\r\n", 4);
	if (!head_end || read_head(ret, p, head_end))
		return -EINVAL;
	ret->data = head_end + 4;
	/* An empty part: the line end of the head is that of the boundary. */
	data_end = memmem(head_end + 2, (size_t)(end - head_end - 2), mark, mark_len);
	if (!data_end)
		return -EINVAL;
	ret->len = data_end > ret->data ? (size_t)(data_end - ret->data) : 0;
	*at = (size_t)(data_end - body) + mark_len;
	return 1;
}
