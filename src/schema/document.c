/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "schema/schema_priv.h"

/* The document that the front end draws lists and forms from (docs/schema-document.md). */
#define DOCUMENT_VERSION 1

static json_t *label(const struct sch_label *l)
{
	return json_pack("{s:s, s:s}", "it", l->it, "en", l->en);
}

static const char *const scopes[] = {
	[SCH_PBX] = "pbx",
	[SCH_TENANT] = "tenant",
	[SCH_PBX_OR_TENANT] = "pbx+tenant",
};

static int put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) ? -ENOMEM : 0;
}

static int put_values(json_t *object, const struct sch_field *f)
{
	json_t *list;
	int err = 0;

	if (!f->values)
		return 0;
	list = json_array();
	for (const struct sch_value *v = f->values; !err && v->value; v++)
		err = json_array_append_new(list, json_pack("{s:s, s:o}", "value", v->value, "label",
							    label(&v->label))) ?
			      -ENOMEM :
			      0;
	return err ? err : put(object, "values", list);
}

static int put_visible_if(json_t *object, const char *rule)
{
	const char *equal = rule ? strchr(rule, '=') : NULL;
	json_t *value;

	if (!equal)
		return 0;
	value = json_loads(equal + 1, JSON_DECODE_ANY, NULL); /* true, null, 5 */
	if (!value)
		value = json_string(equal + 1);
	return put(object, "visible_if",
		   json_pack("{s:s%, s:o}", "field", rule, (size_t)(equal - rule), "value", value));
}

static int put_flags(json_t *object, const struct sch_field *f)
{
	static const struct {
		const char *key;
		unsigned flags;
	} keys[] = {
		{ "required", SCH_REQUIRED },
		{ "unique", SCH_UNIQUE | SCH_UNIQUE_NODE },
		{ "inherit", SCH_INHERIT },
		{ "readonly", SCH_READONLY },
		{ "immutable", SCH_IMMUTABLE },
		{ "listed", SCH_LISTED },
		{ "search", SCH_SEARCH },
		{ "virtual", SCH_VIRTUAL },
	};
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(keys) / sizeof(keys[0]); i++)
		err = put(object, keys[i].key, json_boolean(f->flags & keys[i].flags));
	return err;
}

static json_t *fields_of(const struct sch_field *fields, size_t n);

static json_t *field_of(const struct sch_field *f)
{
	json_t *o = json_pack("{s:s, s:s, s:o}", "name", f->name, "type", sch_type_name(f->type),
			      "label", label(&f->label));
	int err = o ? put_flags(o, f) : -ENOMEM;

	if (!err && f->help.it)
		err = put(o, "help", label(&f->help));
	if (!err && f->group)
		err = put(o, "group", json_string(f->group));
	if (!err && !(f->flags & SCH_INHERIT))
		err = put(o, "default", sch_default(f));
	if (!err && (f->min || f->max)) {
		err = put(o, "min", json_integer(f->min));
		if (!err)
			err = put(o, "max", json_integer(f->max));
	}
	if (!err)
		err = put_values(o, f);
	if (!err && f->ref)
		err = put(o, "ref", json_string(f->ref));
	if (!err)
		err = put_visible_if(o, f->visible_if);
	if (!err && f->n_fields)
		err = put(o, "fields", fields_of(f->fields, f->n_fields));
	if (err) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

/* The depth is that of the registry's tables. */
static json_t *fields_of(const struct sch_field *fields, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < n; i++)
		if (!(fields[i].flags & SCH_HIDDEN) &&
		    json_array_append_new(list, field_of(&fields[i]))) {
			json_decref(list);
			list = NULL;
		}
	return list;
}

static json_t *groups_of(const struct sch_entity *e)
{
	json_t *list = json_array();

	for (const struct sch_group *g = e->groups; list && g && g->key; g++)
		if (json_array_append_new(list, json_pack("{s:s, s:o}", "key", g->key, "label",
							  label(&g->label)))) {
			json_decref(list);
			list = NULL;
		}
	return list;
}

static json_t *entity_of(const struct sch_entity *e)
{
	char rest[64];

	sch_rest_name(rest, sizeof(rest), e);
	return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s*, s:s*, s:s*, s:o, s:o, s:o, s:o}", "name",
			 e->name, "rest", rest, "scope", scopes[e->scope], "singleton", e->singleton,
			 "permission", e->permission, "natural_key", e->natural_key, "title_field",
			 e->title_field, "template_field", e->template_field, "label",
			 label(&e->label), "label_one", label(&e->label_one), "groups", groups_of(e),
			 "fields", fields_of(e->fields, e->n_fields));
}

json_t *sch_document(void)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < sch_n_entities; i++)
		if (json_array_append_new(list, entity_of(sch_entities[i]))) {
			json_decref(list);
			list = NULL;
		}
	return list ? json_pack("{s:i, s:o}", "version", DOCUMENT_VERSION, "entities", list) : NULL;
}
