/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <errno.h>
#include <stdio.h>

/*
 * Jansson parses recursively and allows 2,048 levels; a fiber's or worker's stack shall not depend
 * on what a stranger sends, so the depth is counted before.
 */
static bool is_too_deep(const char *text, size_t len)
{
	bool in_string = false;
	unsigned depth = 0;

	for (size_t i = 0; i < len; i++) {
		const char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > JS_MAX_DEPTH)
				return true;
		} else if ((c == '}' || c == ']') && depth) {
			depth--;
		}
	}

	return false;
}

static void set_text(char *err_text, size_t err_size, const char *text)
{
	if (err_text && err_size)
		(void)snprintf(err_text, err_size, "%s", text);
}

int js_parse(json_t **ret, const char *text, size_t len, char *err_text, size_t err_size)
{
	json_error_t error;
	json_t *value;

	if (!text)
		return -EINVAL;

	if (len > JS_MAX_BYTES) {
		set_text(err_text, err_size, "the document is larger than 16 MiB");
		return -EMSGSIZE;
	}
	if (is_too_deep(text, len)) {
		set_text(err_text, err_size, "the document is nested more than 64 levels deep");
		return -EMSGSIZE;
	}

	value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!value) {
		if (err_text && err_size)
			(void)snprintf(err_text, err_size, "line %d, column %d: %s", error.line,
				       error.column, error.text);
		return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM : -EINVAL;
	}

	*ret = value;
	return 0;
}

const char *js_str(const json_t *obj, const char *key, const char *def)
{
	const json_t *value = json_object_get(obj, key);

	return json_is_string(value) ? json_string_value(value) : def;
}

int64_t js_int(const json_t *obj, const char *key, int64_t def)
{
	const json_t *value = json_object_get(obj, key);

	return json_is_integer(value) ? (int64_t)json_integer_value(value) : def;
}

bool js_bool(const json_t *obj, const char *key, bool def)
{
	const json_t *value = json_object_get(obj, key);

	return json_is_boolean(value) ? json_boolean_value(value) : def;
}

char *js_dump(const json_t *value)
{
	return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}
