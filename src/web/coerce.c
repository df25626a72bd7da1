/* SPDX-License-Identifier: Apache-2.0 */
#include "web/coerce.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WAITING 64

static bool is_list(enum sch_type type)
{
	return type == SCH_ENUM_LIST || type == SCH_NET_LIST || type == SCH_REF_LIST ||
	       type == SCH_LIST;
}

static bool is_number(enum sch_type type)
{
	return type == SCH_INT || type == SCH_REF || type == SCH_REF_LIST || type == SCH_TIME;
}

/* Is `mohClass` the camelCase of `moh_class`, or the same? (D-221) */
static bool same_name(const char *name, const char *snake)
{
	for (; *name && *snake; name++, snake++) {
		if (*snake == '_' && *name != '_') {
			snake++;
			if (toupper((unsigned char)*snake) != *name)
				return false;
		} else if (*name != *snake) {
			return false;
		}
	}
	return !*name && !*snake;
}

static const struct sch_field *field_of(const struct sch_field *fields, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (same_name(name, fields[i].name))
			return &fields[i];
	return NULL;
}

/* A text as number or boolean; NULL: it is neither, keep the text. */
static json_t *scalar(enum sch_type type, const char *text)
{
	char *end;
	long long n;

	if (!*text && (is_number(type) || type == SCH_ENUM))
		return json_null();
	if (type == SCH_BOOL) {
		if (!strcmp(text, "true") || !strcmp(text, "1"))
			return json_true();
		if (!strcmp(text, "false") || !strcmp(text, "0"))
			return json_false();
		return NULL;
	}
	if (!is_number(type))
		return NULL;
	errno = 0;
	n = strtoll(text, &end, 10);
	return *end || errno ? NULL : json_integer(n);
}

/* "" for a list means none; one element was not repeated, so it came without a list around it. */
static json_t *as_list(json_t *value)
{
	json_t *list;

	if (json_is_array(value) || json_is_null(value))
		return json_incref(value);
	list = json_array();
	if (!json_is_string(value) || json_string_length(value))
		json_array_append(list, value);
	return list;
}

static void coerce_items(json_t *list, enum sch_type type)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) {
		json_t *value = json_is_string(item) ? scalar(type, json_string_value(item)) : NULL;

		if (value)
			json_array_set_new(list, i, value);
	}
}

struct waiting {
	json_t *object;
	const struct sch_field *fields;
	size_t n_fields;
};

static void push_objects(struct waiting *waiting, size_t *n, json_t *value,
			 const struct sch_field *field)
{
	size_t i, items = json_is_array(value) ? json_array_size(value) : 1;

	for (i = 0; i < items && *n < MAX_WAITING; i++) {
		json_t *object = json_is_array(value) ? json_array_get(value, i) : value;

		if (json_is_object(object))
			waiting[(*n)++] = (struct waiting){ object, field->fields, field->n_fields };
	}
}

/* type, id, value of a destination. */
static void coerce_destination(json_t *value)
{
	json_t *id = json_object_get(value, "id");
	json_t *number = json_is_string(id) ? scalar(SCH_REF, json_string_value(id)) : NULL;

	if (number)
		json_object_set_new(value, "id", number);
}

static void coerce_field(struct waiting *waiting, size_t *n, json_t *object, const char *key,
			 json_t *value, const struct sch_field *field)
{
	if (is_list(field->type)) {
		json_t *list = as_list(value);

		json_object_set_new(object, key, list);
		if (field->type == SCH_REF_LIST)
			coerce_items(list, field->type);
		else if (field->type == SCH_LIST)
			push_objects(waiting, n, list, field);
		return;
	}
	if (field->type == SCH_OBJECT)
		push_objects(waiting, n, value, field);
	else if (field->type == SCH_DEST && json_is_object(value))
		coerce_destination(value);
	else if (json_is_string(value)) {
		json_t *better = scalar(field->type, json_string_value(value));

		if (better)
			json_object_set_new(object, key, better);
	}
}

void web_coerce(json_t *body, const struct sch_entity *entity)
{
	struct waiting waiting[MAX_WAITING];
	size_t n = 0;

	waiting[n++] = (struct waiting){ body, entity->fields, entity->n_fields };
	while (n) {
		struct waiting now = waiting[--n];
		const char *key;
		json_t *value;
		void *next;

		json_object_foreach_safe(now.object, next, key, value) {
			const struct sch_field *field = field_of(now.fields, now.n_fields, key);

			if (field)
				coerce_field(waiting, &n, now.object, key, value, field);
		}
	}
	if (json_object_get(body, "overrides"))
		json_object_set_new(body, "overrides", as_list(json_object_get(body, "overrides")));
}
