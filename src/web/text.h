/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_TEXT_H
#define AOIDE_WEB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Growing text that answers are printed into. NUL terminated once something was added. */
struct web_text {
	char *text; /* free() */
	size_t len, size;
	bool failed; /* memory is out; later additions do nothing */
};

void web_text_add(struct web_text *out, const char *text, size_t len);
void web_text_puts(struct web_text *out, const char *text);
void web_text_printf(struct web_text *out, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void web_text_xml(struct web_text *out, const char *text);  /* escaped for XML and HTML */
void web_text_json(struct web_text *out, const char *text); /* quoted and escaped JSON string */
void web_text_free(struct web_text *out);

/* True for well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool web_utf8_valid(const char *text, size_t len);

/*
 * Undoes %xx and, with plus, '+' in place. Returns the new length, or -EINVAL for a broken escape,
 * a NUL or bytes that are not UTF-8.
 */
int web_url_decode(char *text, size_t len, bool plus);

#endif
