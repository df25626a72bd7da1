/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "schema/schema_priv.h"

static const char *const type_names[] = {
	[SCH_BOOL] = "bool", [SCH_INT] = "int", [SCH_TEXT] = "text", [SCH_DIGITS] = "digits",
	[SCH_PHONE] = "phone", [SCH_EMAIL] = "email", [SCH_HOST] = "host", [SCH_ENUM] = "enum",
	[SCH_ENUM_LIST] = "enum_list", [SCH_NET_LIST] = "net_list", [SCH_SECRET] = "secret",
	[SCH_VERIFIER] = "verifier", [SCH_REF] = "ref", [SCH_REF_LIST] = "ref_list",
	[SCH_DEST] = "dest", [SCH_LIST] = "list", [SCH_OBJECT] = "object", [SCH_UUID] = "uuid",
	[SCH_TIME] = "time",
};

const char *sch_type_name(enum sch_type type)
{
	return type_names[type];
}

/* lowerCamelCase of a snake_case name. */
static void to_camel(char *buf, size_t size, const char *name)
{
	size_t n = 0;
	bool up = false;

	for (; *name && n + 1 < size; name++) {
		if (*name == '_') {
			up = true;
			continue;
		}
		buf[n++] = up ? (char)toupper((unsigned char)*name) : *name;
		up = false;
	}
	if (size)
		buf[n] = '\0';
}

void sch_snake(char *buf, size_t size, const char *name)
{
	size_t n = 0;

	for (; *name && n + 2 < size; name++) {
		if (*name >= 'A' && *name <= 'Z') {
			buf[n++] = '_';
			buf[n++] = (char)tolower((unsigned char)*name);
		}
		else
			buf[n++] = *name;
	}
	if (size)
		buf[n] = '\0';
}

void sch_rest_name(char *buf, size_t size, const struct sch_entity *entity)
{
	to_camel(buf, size, entity->name);
}

const struct sch_entity *sch_find(const char *name)
{
	char camel[64];

	for (size_t i = 0; name && i < sch_n_entities; i++) {
		if (!strcmp(sch_entities[i]->name, name))
			return sch_entities[i];
		to_camel(camel, sizeof(camel), sch_entities[i]->name);
		if (!strcmp(camel, name))
			return sch_entities[i];
	}
	return NULL;
}

const struct sch_field *sch_field_find(const struct sch_field *fields, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(fields[i].name, name))
			return &fields[i];
	return NULL;
}

const struct sch_entity *sch_template_of(const struct sch_entity *entity)
{
	const struct sch_field *f;

	if (!entity->template_field)
		return NULL;
	f = sch_field_find(entity->fields, entity->n_fields, entity->template_field);
	return f ? sch_find(f->ref) : NULL;
}

json_t *sch_default(const struct sch_field *field)
{
	json_t *value = NULL;
	const char *def = field->def;

	if (!def || (field->type == SCH_REF && def[0] == '@')) {
		if (field->type == SCH_ENUM_LIST || field->type == SCH_NET_LIST ||
		    field->type == SCH_REF_LIST || field->type == SCH_LIST)
			return json_array();
		/* An object that says nothing of itself is made of the defaults of its members. */
		if (field->type == SCH_OBJECT && !(field->flags & SCH_VIRTUAL))
			value = json_object();
		else
			return json_null();
	}
	else if (sch_is_text(field->type))
		return json_string(def);
	else
		value = json_loads(def, JSON_DECODE_ANY, NULL);
	if (value && sch_complete(field, value)) {
		json_decref(value);
		value = NULL;
	}
	return value;
}

/* Every destination has the same three members (docs/schema-document.md). */
static int complete_dest(json_t *dest)
{
	if (!json_object_get(dest, "id") && json_object_set_new(dest, "id", json_null()))
		return -ENOMEM;
	if (!json_object_get(dest, "value") && json_object_set_new(dest, "value", json_null()))
		return -ENOMEM;
	return 0;
}

static int complete_object(const struct sch_field *field, json_t *object)
{
	int err = 0;

	for (size_t i = 0; !err && i < field->n_fields; i++) {
		const struct sch_field *inner = &field->fields[i];
		json_t *value = json_object_get(object, inner->name);

		/* The depth is that of the registry's tables, not of what somebody sent. */
		if (value)
			err = sch_complete(inner, value);
		else
			err = json_object_set_new(object, inner->name, sch_default(inner)) ? -ENOMEM : 0;
	}
	return err;
}

int sch_complete(const struct sch_field *field, json_t *value)
{
	size_t i;
	json_t *item;
	int err = 0;

	if (field->type == SCH_DEST && json_is_object(value))
		return complete_dest(value);
	if (field->type == SCH_OBJECT && json_is_object(value))
		return complete_object(field, value);
	if (field->type == SCH_LIST && json_is_array(value))
		json_array_foreach(value, i, item)
			if (!err && json_is_object(item))
				err = complete_object(field, item);
	return err;
}
