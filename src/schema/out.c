/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "schema/schema_priv.h"

#define OUT_FIRST_BYTES (16u * 1024)

static int reserve(struct sch_out *out, size_t more)
{
	size_t size = out->size ? out->size : OUT_FIRST_BYTES;
	char *text;

	if (out->len + more < out->size)
		return 0;
	while (size <= out->len + more)
		size *= 2;
	text = realloc(out->text, size);
	if (!text)
		return -ENOMEM;
	out->text = text;
	out->size = size;
	return 0;
}

void sch_out_free(struct sch_out *out)
{
	free(out->text);
	memset(out, 0, sizeof(*out));
}

int sch_out_mem(struct sch_out *out, const char *text, size_t len)
{
	int err = reserve(out, len);

	if (err)
		return err;
	if (len)
		memcpy(out->text + out->len, text, len);
	out->len += len;
	out->text[out->len] = '\0';
	return 0;
}

int sch_out_text(struct sch_out *out, const char *text)
{
	return sch_out_mem(out, text, strlen(text));
}

int sch_out_i64(struct sch_out *out, int64_t v)
{
	char buf[24];
	size_t i = sizeof(buf);
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		buf[--i] = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		buf[--i] = '-';
	return sch_out_mem(out, buf + i, sizeof(buf) - i);
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c != '"' && c != '\\';
}

int sch_out_json_string(struct sch_out *out, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	const char *start = text, *p = text;
	int err = sch_out_mem(out, "\"", 1);

	for (; !err && *p; p++) {
		unsigned char c = (unsigned char)*p;
		char esc[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

		if (is_plain(c))
			continue;
		err = sch_out_mem(out, start, (size_t)(p - start));
		if (!err && (c == '"' || c == '\\'))
			err = sch_out_mem(out, (char[]){ '\\', (char)c }, 2);
		else if (!err)
			err = sch_out_mem(out, esc, sizeof(esc));
		start = p + 1;
	}
	if (!err)
		err = sch_out_mem(out, start, (size_t)(p - start));
	return err ? err : sch_out_mem(out, "\"", 1);
}
