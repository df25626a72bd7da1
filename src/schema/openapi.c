/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "schema/schema_priv.h"

/* Paths and components of every entity for the OpenAPI 3.0.3 document (API-09). */

static int put(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) ? -ENOMEM : 0;
}

/* "AccountTemplate": the name of the component. */
static void component_name(char *buf, size_t size, const struct sch_entity *e)
{
	sch_rest_name(buf, size, e);
	buf[0] = (char)toupper((unsigned char)buf[0]);
}

static json_t *schema_ref(const char *name)
{
	char path[120];

	(void)snprintf(path, sizeof(path), "#/components/schemas/%s", name);
	return json_pack("{s:s}", "$ref", path);
}

/* ------------------------------------------------------------------ schemas */

static const struct {
	const char *type, *format, *items;
} type_map[] = {
	[SCH_BOOL] = { "boolean" },
	[SCH_INT] = { "integer" },
	[SCH_TEXT] = { "string" },
	[SCH_DIGITS] = { "string" },
	[SCH_PHONE] = { "string" },
	[SCH_EMAIL] = { "string", "email" },
	[SCH_HOST] = { "string" },
	[SCH_ENUM] = { "string" },
	[SCH_ENUM_LIST] = { "array", NULL, "string" },
	[SCH_NET_LIST] = { "array", NULL, "string" },
	[SCH_SECRET] = { "string", "password" },
	[SCH_VERIFIER] = { "string", "password" },
	[SCH_REF] = { "integer", "int64" },
	[SCH_REF_LIST] = { "array", NULL, "integer" },
	[SCH_DEST] = { "object" },
	[SCH_LIST] = { "array" },
	[SCH_OBJECT] = { "object" },
	[SCH_UUID] = { "string", "uuid" },
	[SCH_TIME] = { "string", "date-time" },
};

static const char *patterns(const struct sch_field *f)
{
	return f->type == SCH_DIGITS ? "^[0-9]+$" : f->type == SCH_PHONE ? "^[+0-9*#]+$" : NULL;
}

static json_t *values_of(const struct sch_field *f)
{
	json_t *list = json_array();

	for (const struct sch_value *v = f->values; list && v && v->value; v++)
		if (json_array_append_new(list, json_string(v->value))) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *object_schema(const struct sch_field *fields, size_t n);

static int put_limits(json_t *o, const struct sch_field *f)
{
	bool number = f->type == SCH_INT;
	int err = 0;

	if ((!f->min && !f->max) || (!number && !sch_is_text(f->type)))
		return 0;
	if (number || f->min)
		err = put(o, number ? "minimum" : "minLength", json_integer(f->min));
	return err ? err : put(o, number ? "maximum" : "maxLength", json_integer(f->max));
}

static int put_inner(json_t *o, const struct sch_field *f)
{
	json_t *inner = NULL;

	if (f->type == SCH_DEST)
		return put(o, "properties",
			   json_pack("{s:{s:s, s:o}, s:{s:s, s:b}, s:{s:s, s:b}}", "type", "type",
				     "string", "enum", values_of(f), "id", "type", "integer",
				     "nullable", 1, "value", "type", "string", "nullable", 1));
	if (f->type == SCH_OBJECT) {
		int err;

		inner = object_schema(f->fields, f->n_fields);
		err = inner ? put(o, "properties", json_incref(json_object_get(inner, "properties"))) :
			      -ENOMEM;
		json_decref(inner);
		return err;
	}
	if (f->type == SCH_LIST)
		return put(o, "items", object_schema(f->fields, f->n_fields));
	if (type_map[f->type].items) {
		inner = json_pack("{s:s}", "type", type_map[f->type].items);
		if (inner && f->values && put(inner, "enum", values_of(f))) {
			json_decref(inner);
			return -ENOMEM;
		}
		return put(o, "items", inner);
	}
	return f->values ? put(o, "enum", values_of(f)) : 0;
}

static json_t *field_schema(const struct sch_field *f)
{
	json_t *o = json_pack("{s:s, s:s}", "type", type_map[f->type].type, "description",
			      f->help.en ? f->help.en : f->label.en ? f->label.en : f->name);
	json_t *def;
	int err = o ? put_limits(o, f) : -ENOMEM;

	if (!err && type_map[f->type].format)
		err = put(o, "format", json_string(type_map[f->type].format));
	if (!err && patterns(f))
		err = put(o, "pattern", json_string(patterns(f)));
	if (!err)
		err = put_inner(o, f);
	if (!err && f->flags & SCH_READONLY)
		err = put(o, "readOnly", json_true());
	if (!err && (sch_is_secret(f->type) || (f->flags & SCH_VIRTUAL && !f->back)))
		err = put(o, "writeOnly", json_true());
	if (!err && !(f->flags & SCH_REQUIRED))
		err = put(o, "nullable", json_true());
	def = f->flags & (SCH_INHERIT | SCH_VIRTUAL) ? NULL : sch_default(f);
	if (!err && def && !json_is_null(def))
		err = put(o, "default", json_incref(def));
	json_decref(def);
	if (err) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

/* The depth is that of the registry's tables. */
static json_t *object_schema(const struct sch_field *fields, size_t n)
{
	json_t *properties = json_object(), *required = json_array();
	int err = properties && required ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < n; i++) {
		if (fields[i].flags & SCH_HIDDEN)
			continue;
		err = put(properties, fields[i].name, field_schema(&fields[i]));
		if (!err && fields[i].flags & SCH_REQUIRED && !fields[i].def)
			err = json_array_append_new(required, json_string(fields[i].name)) ? -ENOMEM :
											      0;
	}
	if (err) {
		json_decref(properties);
		json_decref(required);
		return NULL;
	}
	if (!json_array_size(required)) { /* an empty list is not allowed there */
		json_decref(required);
		required = NULL;
	}
	return json_pack("{s:s, s:o, s:o*}", "type", "object", "properties", properties, "required",
			 required);
}

static json_t *entity_schema(const struct sch_entity *e)
{
	json_t *o = object_schema(e->fields, e->n_fields);
	json_t *properties = json_object_get(o, "properties");

	if (!o)
		return NULL;
	(void)json_object_set_new(properties, "id", json_pack("{s:s, s:s, s:b}", "type", "integer",
							      "format", "int64", "readOnly", 1));
	(void)json_object_set_new(properties, "revision",
				  json_pack("{s:s, s:s, s:b, s:s}", "type", "integer", "format",
					    "int64", "readOnly", 1, "description",
					    "Goes into ETag and If-Match"));
	if (e->template_field)
		(void)json_object_set_new(
			properties, "overrides",
			json_pack("{s:s, s:{s:s}, s:s}", "type", "array", "items", "type", "string",
				  "description",
				  "Names of the fields set on the object itself; the others show the "
				  "value of its template"));
	return o;
}

/* An object as a client would send it: what is required and what has a default. */
static json_t *example_of(const struct sch_entity *e)
{
	json_t *o = json_object();

	for (size_t i = 0; o && i < e->n_fields; i++) {
		const struct sch_field *f = &e->fields[i];
		json_t *value;

		if (f->flags & (SCH_HIDDEN | SCH_READONLY | SCH_VIRTUAL | SCH_INHERIT) || f->back)
			continue;
		if (f->flags & SCH_REQUIRED && !f->def)
			value = json_string(f->type == SCH_DIGITS ? "101" :
					    !strcmp(f->name, "domain") ? "example" : "Example");
		else if (f->type == SCH_BOOL || f->type == SCH_ENUM)
			value = sch_default(f);
		else
			continue;
		if (json_is_null(value))
			json_decref(value);
		else
			(void)json_object_set_new(o, f->name, value);
	}
	return o;
}

/* ------------------------------------------------------------------ operations */

static int put_response(json_t *responses, const char *status, const char *text, json_t *schema,
			const char *media)
{
	json_t *o = json_pack("{s:s}", "description", text);

	if (schema && put(o, "content", json_pack("{s:{s:o}}", media, "schema", schema)))
		return -ENOMEM;
	return put(responses, status, o);
}

static const struct {
	const char *status, *text;
} problems[] = {
	{ "400", "The body or a parameter is malformed" },
	{ "401", "Credentials are missing or wrong" },
	{ "403", "The permission is missing" },
	{ "404", "There is no such object" },
	{ "406", "The answer does not exist in the form that Accept asks for (under /rest/)" },
	{ "409", "A value exists already, or the object is in use; errors lists the users" },
	{ "412", "The object was changed meanwhile (If-Match)" },
	{ "413", "The body is too large" },
	{ "415", "The body's media type is not accepted" },
	{ "422", "Fields are not valid (under /rest/: 400)" },
	{ "423", "Another user holds the configuration lock" },
	{ "429", "Too many requests; Retry-After tells when to go on" },
	{ "503", "Not available now" },
};

static json_t *responses_of(const char *status, const char *text, json_t *schema)
{
	json_t *o = json_object();
	int err = put_response(o, status, text, schema, "application/json");

	for (size_t i = 0; !err && i < sizeof(problems) / sizeof(problems[0]); i++)
		err = put_response(o, problems[i].status, problems[i].text, schema_ref("Problem"),
				   "application/problem+json");
	return o;
}

static json_t *parameter(const char *in, const char *name, const char *type, const char *text)
{
	return json_pack("{s:s, s:s, s:b, s:s, s:{s:s}}", "in", in, "name", name, "required",
			 !strcmp(in, "path"), "description", text, "schema", "type", type);
}

static json_t *list_parameters(void)
{
	return json_pack(
		"[o, o, o, o, o]",
		parameter("query", "page", "integer", "Page, from 1"),
		parameter("query", "page_size", "integer", "Rows of a page, 50 unless told, at most 1000"),
		parameter("query", "sort", "string", "Fields, with - before those that go down"),
		parameter("query", "fields", "string", "Only these fields, with commas"),
		parameter("query", "q", "string",
			  "Free text. Besides: field=value, field~=part, field[ne|lt|le|gt|ge|in|null]=value"));
}

static json_t *operation(const struct sch_entity *e, const char *verb, const char *family,
			 const char *what, json_t *responses, json_t *parameters, bool body)
{
	char name[64], id[160];
	json_t *o;

	component_name(name, sizeof(name), e);
	(void)snprintf(id, sizeof(id), "%s%s%s", verb, name, family);
	o = json_pack("{s:s, s:s, s:[s], s:o, s:o*}", "operationId", id, "summary", what, "tags",
		      e->label.en, "responses", responses, "parameters", parameters);
	if (o && body)
		(void)json_object_set_new(
			o, "requestBody",
			json_pack("{s:b, s:{s:{s:o, s:o}}}", "required", 1, "content",
				  "application/json", "schema", schema_ref(name), "example",
				  example_of(e)));
	return o;
}

static json_t *list_schema(const char *name, bool v2)
{
	json_t *array = json_pack("{s:s, s:o}", "type", "array", "items", schema_ref(name));

	if (!v2)
		return array;
	return json_pack("{s:s, s:{s:o, s:{s:s}, s:{s:s}, s:{s:s}}}", "type", "object", "properties",
			 "items", array, "page", "type", "integer", "page_size", "type", "integer",
			 "total", "type", "integer");
}

static int add_collection(json_t *paths, const struct sch_entity *e, const char *base,
			  const char *name, bool v2)
{
	const char *family = v2 ? "" : "Rest";
	json_t *o = json_object();
	int err = o ? put(o, "get",
			  operation(e, "list", family, e->label.en,
				    responses_of("200", "The objects", list_schema(name, v2)),
				    list_parameters(), false)) :
		      -ENOMEM;

	if (!err)
		err = put(o, "post",
			  operation(e, "create", family, "Create",
				    responses_of("201", "Created; Location names it", schema_ref(name)),
				    NULL, true));
	return err ? err : put(paths, base, o);
}

static int add_item(json_t *paths, const struct sch_entity *e, const char *path,
		    const char *parameter_name, const char *name, bool v2)
{
	static const struct {
		const char *verb, *method, *text;
	} writes[] = {
		{ "replace", "put", "Replace; what is missing takes its default" },
		{ "change", "patch", "Change the members that are given (RFC 7386)" },
	};
	const char *family = v2 ? "" : "Rest";
	json_t *o = json_object();
	int err = o ? put(o, "get",
			  operation(e, "get", family, "One object",
				    responses_of("200", "The object", schema_ref(name)), NULL, false)) :
		      -ENOMEM;

	for (size_t i = 0; !err && i < 2; i++)
		err = put(o, writes[i].method,
			  operation(e, writes[i].verb, family, writes[i].text,
				    responses_of("200", "The object as it is now", schema_ref(name)),
				    json_pack("[o]", parameter("header", "If-Match", "string",
							       "ETag of the object as it was read")),
				    true));
	if (!err && !e->singleton)
		err = put(o, "delete",
			  operation(e, "delete", family, "Delete",
				    responses_of(v2 ? "204" : "200", "Deleted", NULL),
				    json_pack("[o]",
					      parameter("query", "force", "boolean",
							"Also take it out of lists it is a member of")),
				    false));
	if (!err && parameter_name)
		err = put(o, "parameters",
			  json_pack("[o]", parameter("path", parameter_name,
						     v2 || !e->natural_key ? "integer" : "string",
						     v2 || !e->natural_key ? "Id" : e->natural_key)));
	return err ? err : put(paths, path, o);
}

static int add_entity(json_t *paths, json_t *schemas, const struct sch_entity *e)
{
	char rest[64], name[64], base[120], item[200];
	int err;

	sch_rest_name(rest, sizeof(rest), e);
	component_name(name, sizeof(name), e);
	err = put(schemas, name, entity_schema(e));
	for (int v2 = 0; !err && v2 <= 1; v2++) {
		const char *key = !strcmp(e->name, "extension") && !v2 ? "exten" :
				  e->natural_key && !v2		       ? e->natural_key :
									 "id";

		(void)snprintf(base, sizeof(base), "%s/%s", v2 ? "/api/pbx/v2" : "/rest", rest);
		(void)snprintf(item, sizeof(item), "%s/{%s}", base, key);
		if (e->singleton) {
			err = add_item(paths, e, base, NULL, name, v2);
			continue;
		}
		err = add_collection(paths, e, base, name, v2);
		if (!err)
			err = add_item(paths, e, item, key, name, v2);
	}
	return err;
}

static json_t *problem_schema(void)
{
	return json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s},"
			 " s:{s:s, s:{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}}}}}}",
			 "type", "object", "properties", "type", "type", "string", "title", "type",
			 "string", "status", "type", "integer", "detail", "type", "string", "code",
			 "type", "string", "errors", "type", "array", "items", "type", "object",
			 "properties", "field", "type", "string", "code", "type", "string", "message",
			 "type", "string");
}

static json_t *member(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	if (value)
		return value;
	return json_object_set_new(object, key, json_object()) ? NULL :
								  json_object_get(object, key);
}

int sch_openapi(json_t *doc)
{
	json_t *paths = member(doc, "paths");
	json_t *components = member(doc, "components");
	json_t *schemas = components ? member(components, "schemas") : NULL;
	int err = paths && schemas ? put(schemas, "Problem", problem_schema()) : -ENOMEM;

	for (size_t i = 0; !err && i < sch_n_entities; i++)
		err = add_entity(paths, schemas, sch_entities[i]);
	return err;
}
