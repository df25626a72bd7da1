/* SPDX-License-Identifier: Apache-2.0 */
#include "web/mask.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define MASKED 3

void mask_digits(char *number, size_t size)
{
	size_t len = strlen(number), digits = 0;

	for (size_t i = 0; i < len; i++)
		digits += isdigit((unsigned char)number[i]) != 0;
	if (!len)
		return;
	if (digits <= MASKED || len < MASKED) {
		snprintf(number, size, "xxx");
		return;
	}
	memcpy(number + len - MASKED, "xxx", MASKED);
}

bool mask_needed(const struct principal *who, bool own)
{
	/* A user's own calls are complete to himself: he must be able to dial again. */
	return !who->privacy && !own;
}

bool mask_is_external(const char *type)
{
	return !strcmp(type, "ibl") || !strcmp(type, "obl");
}

static void mask_member(json_t *call, const char *number_key, const char *name_key)
{
	char number[128];

	snprintf(number, sizeof(number), "%s", js_str(call, number_key, ""));
	/* A name that is only the number again would tell it. */
	if (!strcmp(js_str(call, name_key, ""), number))
		json_object_set_new(call, name_key, json_string(""));
	mask_digits(number, sizeof(number));
	json_object_set_new(call, number_key, json_string(number));
}

void mask_call(const struct rest *rest, json_t *call)
{
	const char *own = rest->who->extension;
	const char *caller = js_str(call, "caller", ""), *called = js_str(call, "called", "");
	bool is_own = *own && (!strcmp(caller, own) || !strcmp(called, own));

	if (!mask_needed(rest->who, is_own))
		return;
	/* The side that has no account of ours came in, or goes out, over a line. */
	if (mask_is_external(js_str(call, "source_type", "local_exten")))
		mask_member(call, "caller", "caller_name");
	if (mask_is_external(js_str(call, "destination_type", "local_exten")))
		mask_member(call, "called", "called_name");
}
