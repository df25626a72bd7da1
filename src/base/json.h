/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_JSON_H
#define AOIDE_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

/* Helpers over jansson. json_ is jansson's prefix, ours is js_. */

#define JS_MAX_DEPTH 64
#define JS_MAX_BYTES (16u * 1024 * 1024)

/*
 * Parses text from outside strictly: duplicate keys, trailing bytes, nesting above JS_MAX_DEPTH and
 * NUL characters are refused.
 *
 * err_text  may be NULL; filled with "line 3, column 7: ..." on error
 *
 * Returns 0, -EINVAL, -EMSGSIZE, -ENOMEM.
 */
int js_parse(json_t **ret, const char *text, size_t len, char *err_text, size_t err_size);

const char *js_str(const json_t *obj, const char *key, const char *def); /* def unless a string */
int64_t js_int(const json_t *obj, const char *key, int64_t def);
bool js_bool(const json_t *obj, const char *key, bool def);
char *js_dump(const json_t *value); /* compact; free() it; NULL when memory is out */

#endif
