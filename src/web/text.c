/* SPDX-License-Identifier: Apache-2.0 */
#include "web/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static bool grow(struct web_text *out, size_t more)
{
	size_t size = out->size ? out->size : 1024;
	char *text;

	if (out->failed)
		return false;
	if (out->len + more + 1 <= out->size)
		return true;
	while (size < out->len + more + 1)
		size *= 2;
	text = realloc(out->text, size);
	if (!text) {
		out->failed = true;
		return false;
	}
	out->text = text;
	out->size = size;
	return true;
}

void web_text_add(struct web_text *out, const char *text, size_t len)
{
	if (!grow(out, len))
		return;
	memcpy(out->text + out->len, text, len);
	out->len += len;
	out->text[out->len] = '\0';
}

void web_text_puts(struct web_text *out, const char *text)
{
	web_text_add(out, text, strlen(text));
}

void web_text_printf(struct web_text *out, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !grow(out, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(out->text + out->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	out->len += (size_t)n;
}

void web_text_xml(struct web_text *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			web_text_puts(out, "&lt;");
			break;
		case '>':
			web_text_puts(out, "&gt;");
			break;
		case '&':
			web_text_puts(out, "&amp;");
			break;
		case '"':
			web_text_puts(out, "&quot;");
			break;
		default:
			/* XML 1.0 section 2.2 has no other control characters. */
			if ((unsigned char)*text < 0x20 && !strchr("\t\n\r", *text))
				web_text_add(out, "?", 1);
			else
				web_text_add(out, text, 1);
		}
	}
}

void web_text_json(struct web_text *out, const char *text)
{
	const char *from = text;

	web_text_add(out, "\"", 1);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		web_text_add(out, from, (size_t)(text - from));
		from = text + 1;
		if (c < 0x20)
			web_text_printf(out, "\\u%04x", c);
		else
			web_text_printf(out, "\\%c", c);
	}
	web_text_add(out, from, (size_t)(text - from));
	web_text_add(out, "\"", 1);
}

void web_text_free(struct web_text *out)
{
	free(out->text);
	*out = (struct web_text){ 0 };
}

bool web_utf8_valid(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;

	while (p < end) {
		unsigned char c = *p++;
		uint32_t code, least;
		int more;

		if (c < 0x80)
			continue;
		if (c >= 0xc2 && c <= 0xdf) {
			more = 1;
			code = c & 0x1f;
			least = 0x80;
		} else if (c >= 0xe0 && c <= 0xef) {
			more = 2;
			code = c & 0x0f;
			least = 0x800;
		} else if (c >= 0xf0 && c <= 0xf4) {
			more = 3;
			code = c & 0x07;
			least = 0x10000;
		} else {
			return false;
		}
		for (; more > 0; more--) {
			if (p == end || (*p & 0xc0) != 0x80)
				return false;
			code = code << 6 | (*p++ & 0x3f);
		}
		if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return false;
	}
	return true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int web_url_decode(char *text, size_t len, bool plus)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '%') {
			int high = i + 2 < len ? hex_value(text[i + 1]) : -1;
			int low = i + 2 < len ? hex_value(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return -EINVAL;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		if (!c)
			return -EINVAL;
		text[out++] = c;
	}
	if (!web_utf8_valid(text, out))
		return -EINVAL;
	return (int)out;
}
