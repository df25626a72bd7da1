/* SPDX-License-Identifier: Apache-2.0 */
#include "web/repr.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <expat.h>

#include "base/err.h"
#include "base/json.h"

static const struct {
	const char *type, *printed;
} reprs[REPR_COUNT] = {
	[REPR_JSON] = { "application/json", "application/json" },
	[REPR_XML] = { "application/xml", "application/xml; charset=utf-8" },
	[REPR_TEXT] = { "text/plain", "text/plain; charset=utf-8" },
	[REPR_CSV] = { "text/csv", "text/csv; charset=utf-8" },
	[REPR_HTML] = { "text/html", "text/html; charset=utf-8" },
};

const char *web_repr_ctype(enum web_repr repr)
{
	return reprs[repr].printed;
}

static const char *skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* q=0.5 as 500; a broken weight counts as 1. */
static int quality(const char *params, const char *end)
{
	for (const char *p = params; p < end; p++) {
		if (*p != ';')
			continue;
		p = skip_space(p + 1);
		if (strncasecmp(p, "q=", 2))
			continue;
		if (p[2] == '1')
			return 1000;
		if (p[2] == '0') {
			int q = 0, unit = 100;

			if (p[3] == '.')
				for (p += 4; p < end && isdigit((unsigned char)*p) && unit; p++) {
					q += (*p - '0') * unit;
					unit /= 10;
				}
			return q;
		}
		return 1000;
	}
	return 1000;
}

/* Does a media range such as text/xml name the representation? Returns how exactly: 3 type, 2 type
 * family, 1 anything, 0 no. */
static int range_names(const char *range, size_t len, enum web_repr repr)
{
	const char *type = reprs[repr].type;
	size_t family = (size_t)(strchr(type, '/') - type) + 1;

	if (len == 3 && !strncmp(range, "*/*", 3))
		return 1;
	if (len == family + 1 && !strncasecmp(range, type, family) && range[family] == '*')
		return 2;
	if (len == strlen(type) && !strncasecmp(range, type, len))
		return 3;
	if (repr == REPR_XML && len == 8 && !strncasecmp(range, "text/xml", 8))
		return 3;
	return 0;
}

int web_repr_choose(const char *accept, unsigned offered, enum web_repr fallback)
{
	int best = -1, best_q = 0;

	if (!accept || !*skip_space(accept))
		return fallback;

	for (int repr = 0; repr < REPR_COUNT; repr++) {
		int exact = 0, q = 0;

		if (!(offered & REPR_MASK(repr)))
			continue;
		for (const char *p = accept; *p;) {
			const char *end, *params;
			int names;

			p = skip_space(p);
			end = p + strcspn(p, ",");
			params = memchr(p, ';', (size_t)(end - p));
			params = params ? params : end;
			while (params > p && (params[-1] == ' ' || params[-1] == '\t'))
				params--;
			names = range_names(p, (size_t)(params - p), repr);
			if (names > exact) {
				exact = names;
				q = quality(params, end);
			}
			p = *end ? end + 1 : end;
		}
		if (!exact || !q)
			continue;
		/* Only an exactly named type may stand before the fallback (D-222: a bare wildcard means
		 * what the family always sent). */
		q = q * 10 + (exact == 3 ? 2 : 0) + (repr == (int)fallback ? 1 : 0);
		if (q > best_q) {
			best_q = q;
			best = repr;
		}
	}
	return best < 0 ? -ENOENT : best;
}

enum web_body web_body_kind(const char *content_type)
{
	static const struct {
		const char *type;
		enum web_body kind;
	} kinds[] = {
		{ "application/json", BODY_JSON },
		{ "application/merge-patch+json", BODY_JSON },
		{ "text/json", BODY_JSON },
		{ "application/xml", BODY_XML },
		{ "text/xml", BODY_XML },
		{ "application/x-www-form-urlencoded", BODY_FORM },
		{ "text/csv", BODY_CSV },
		{ "application/csv", BODY_CSV },
	};
	size_t len;

	if (!content_type || !*content_type)
		return BODY_NONE;
	len = strcspn(content_type, "; \t");
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].type) == len && !strncasecmp(kinds[i].type, content_type, len))
			return kinds[i].kind;
	return BODY_OTHER;
}

/* ------------------------------------------------------------------ XML in */

struct xml_level {
	char name[64];
	json_t *object;       /* members so far; NULL: none seen */
	json_t *list;         /* <entry> children; NULL: none seen */
	struct web_text text;
	bool nil;
};

struct xml_state {
	XML_Parser parser;
	struct xml_level levels[XML_MAX_DEPTH];
	int depth; /* of the open element; 0 none */
	unsigned elements;
	json_t *result;
	const char *problem;
};

static void xml_stop(struct xml_state *state, const char *problem)
{
	if (!state->problem)
		state->problem = problem;
	XML_StopParser(state->parser, XML_FALSE);
}

static void xml_doctype(void *arg, const XML_Char *name, const XML_Char *sysid,
			const XML_Char *pubid, int internal)
{
	xml_stop(arg, "a document type declaration is not accepted");
}

static void xml_start(void *arg, const XML_Char *name, const XML_Char **attrs)
{
	struct xml_state *state = arg;
	struct xml_level *level;

	if (state->problem)
		return;
	if (state->depth == XML_MAX_DEPTH) {
		xml_stop(state, "elements are nested too deeply");
		return;
	}
	if (++state->elements > XML_MAX_ELEMENTS) {
		xml_stop(state, "there are too many elements");
		return;
	}
	if (strlen(name) >= sizeof(level->name)) {
		xml_stop(state, "the name of an element is too long");
		return;
	}
	level = &state->levels[state->depth++];
	memset(level, 0, sizeof(*level));
	strcpy(level->name, name);
	for (; attrs[0]; attrs += 2)
		if (!strcmp(attrs[0], "nil") && !strcmp(attrs[1], "true"))
			level->nil = true;
}

/* What an element that just closed stands for; takes what the level holds. */
static json_t *xml_value(struct xml_level *level)
{
	json_t *value;

	if (level->list)
		value = json_incref(level->list);
	else if (level->object)
		value = json_incref(level->object);
	else if (level->nil)
		value = json_null();
	else
		value = json_stringn(level->text.text ? level->text.text : "", level->text.len);

	json_decref(level->list);
	json_decref(level->object);
	level->list = level->object = NULL;
	web_text_free(&level->text);
	return value;
}

static int xml_join(struct xml_level *parent, const char *name, json_t *value)
{
	json_t *there;

	if (!strcmp(name, "entry")) {
		if (!parent->list)
			parent->list = json_array();
		return json_array_append_new(parent->list, value);
	}
	if (!parent->object)
		parent->object = json_object();
	there = json_object_get(parent->object, name);
	if (!there)
		return json_object_set_new(parent->object, name, value);
	if (json_is_array(there))
		return json_array_append_new(there, value);
	return json_object_set_new(parent->object, name,
				   json_pack("[O,o]", there, value));
}

static void xml_end(void *arg, const XML_Char *name)
{
	struct xml_state *state = arg;
	struct xml_level *level;
	json_t *value;

	/* A stopped parser still reports the end of an empty element. */
	if (state->problem || !state->depth)
		return;
	level = &state->levels[--state->depth];
	value = xml_value(level);
	if (!value) {
		xml_stop(state, "the text is not valid");
		return;
	}
	if (!state->depth) {
		state->result = value;
		return;
	}
	if (xml_join(level - 1, level->name, value))
		xml_stop(state, "memory is out");
}

static void xml_chars(void *arg, const XML_Char *text, int len)
{
	struct xml_state *state = arg;

	if (state->depth)
		web_text_add(&state->levels[state->depth - 1].text, text, (size_t)len);
}

int web_xml_parse(json_t **ret, const char *text, size_t len, char *err_text, size_t err_size)
{
	struct xml_state *state = calloc(1, sizeof(*state));
	int err = 0;

	if (!state)
		return -ENOMEM;
	state->parser = XML_ParserCreate(NULL);
	if (!state->parser) {
		free(state);
		return -ENOMEM;
	}
	XML_SetUserData(state->parser, state);
	XML_SetElementHandler(state->parser, xml_start, xml_end);
	XML_SetCharacterDataHandler(state->parser, xml_chars);
	XML_SetStartDoctypeDeclHandler(state->parser, xml_doctype);

	if (len > (size_t)JS_MAX_BYTES ||
	    XML_Parse(state->parser, text, (int)len, XML_TRUE) != XML_STATUS_OK) {
		const char *why = state->problem ?
			state->problem : XML_ErrorString(XML_GetErrorCode(state->parser));

		if (err_text)
			snprintf(err_text, err_size, "line %lu, column %lu: %s",
				 XML_GetCurrentLineNumber(state->parser),
				 XML_GetCurrentColumnNumber(state->parser) + 1, why);
		err = -EINVAL;
	}

	XML_ParserFree(state->parser);
	for (int i = 0; i < XML_MAX_DEPTH; i++) {
		json_decref(state->levels[i].list);
		json_decref(state->levels[i].object);
		web_text_free(&state->levels[i].text);
	}
	if (!err && json_is_string(state->result)) {
		/* A root without elements: an empty object, as an empty form is. */
		json_decref(state->result);
		state->result = json_object();
	}
	if (err)
		json_decref(state->result);
	else
		*ret = state->result;
	free(state);
	return err;
}

/* ------------------------------------------------------------------ forms */

static int form_join(json_t *object, char *name, const char *value)
{
	char *open = strchr(name, '['), *close;
	json_t *inner;

	if (!open)
		return json_object_set_new(object, name, json_string(value));
	close = strchr(open, ']');
	if (!close || close[1] || open == name)
		return -1;
	*open = *close = '\0';
	inner = json_object_get(object, name);
	if (!inner) {
		inner = open[1] ? json_object() : json_array();
		if (json_object_set_new(object, name, inner))
			return -1;
	}
	if (open[1])
		return json_is_object(inner) ?
			json_object_set_new(inner, open + 1, json_string(value)) : -1;
	return json_is_array(inner) ? json_array_append_new(inner, json_string(value)) : -1;
}

int web_form_parse(json_t **ret, const char *text, size_t len, char *err_text, size_t err_size)
{
	char *copy = strndup(text, len), *p;
	json_t *object = json_object();
	unsigned fields = 0;
	int err = 0;

	if (!copy || !object) {
		err = -ENOMEM;
		goto out;
	}
	if (strlen(copy) != len)
		err = -EINVAL;

	for (p = copy; !err && *p;) {
		char *end = p + strcspn(p, "&"), *next = *end ? end + 1 : end;
		char *equals = memchr(p, '=', (size_t)(end - p));
		char *value = equals ? equals + 1 : end;
		size_t name_len = (size_t)((equals ? equals : end) - p);
		size_t value_len = (size_t)(end - value);
		int name_n, value_n;

		value_n = web_url_decode(value, value_len, true);
		name_n = web_url_decode(p, name_len, true);
		if (value_n < 0 || name_n < 0 || ++fields > FORM_MAX_FIELDS) {
			err = -EINVAL;
			break;
		}
		value[value_n] = '\0';
		p[name_n] = '\0';
		if (name_n && form_join(object, p, value))
			err = -EINVAL;
		p = next;
	}
	if (err == -EINVAL && err_text)
		snprintf(err_text, err_size, "form field %u is malformed", fields);
out:
	free(copy);
	if (err)
		json_decref(object);
	else
		*ret = object;
	return err;
}

/* ------------------------------------------------------------------ XML out */

/* Member names become element names; what XML does not allow in one becomes `_`. */
static void xml_name(struct web_text *out, const char *name)
{
	unsigned char c = (unsigned char)*name;

	if (!isalpha(c) && c != '_' && c < 0x80)
		web_text_add(out, "_", 1);
	for (; *name; name++) {
		c = (unsigned char)*name;
		if (isalnum(c) || c >= 0x80 || strchr("_-.", c))
			web_text_add(out, name, 1);
		else
			web_text_add(out, "_", 1);
	}
}

static void xml_tag(struct web_text *out, const char *open, const char *name, const char *close)
{
	web_text_puts(out, open);
	xml_name(out, name);
	web_text_puts(out, close);
}

static bool xml_scalar(struct web_text *out, const char *name, const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		return false;
	case JSON_NULL:
		xml_tag(out, "<", name, " nil=\"true\"/>");
		return true;
	case JSON_STRING:
		xml_tag(out, "<", name, ">");
		web_text_xml(out, json_string_value(value));
		break;
	case JSON_INTEGER:
		xml_tag(out, "<", name, ">");
		web_text_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		xml_tag(out, "<", name, ">");
		web_text_printf(out, "%.17g", json_real_value(value));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		xml_tag(out, "<", name, ">");
		web_text_puts(out, json_is_true(value) ? "true" : "false");
		break;
	}
	xml_tag(out, "</", name, ">");
	return true;
}

/* A stack instead of recursion: the values come from stored rows whose depth outsiders chose. */
struct xml_open {
	const json_t *value;
	const char *name;
	void *iter;   /* next member of an object */
	size_t index; /* next item of an array */
};

void web_xml_print(struct web_text *out, const char *root, const json_t *value)
{
	struct xml_open stack[JS_MAX_DEPTH + 2];
	size_t n = 0;

	web_text_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	if (xml_scalar(out, root, value)) {
		web_text_puts(out, "\n");
		return;
	}
	xml_tag(out, "<", root, ">");
	stack[n++] = (struct xml_open){ .value = value, .name = root,
					.iter = json_object_iter((json_t *)value) };
	while (n) {
		struct xml_open *top = &stack[n - 1];
		const json_t *child = NULL;
		const char *name = "entry";

		if (json_is_array(top->value)) {
			child = json_array_get(top->value, top->index++);
		} else if (top->iter) {
			name = json_object_iter_key(top->iter);
			child = json_object_iter_value(top->iter);
			top->iter = json_object_iter_next((json_t *)top->value, top->iter);
		}
		if (!child) {
			xml_tag(out, "</", top->name, ">");
			n--;
			continue;
		}
		if (xml_scalar(out, name, child))
			continue;
		if (n == sizeof(stack) / sizeof(stack[0])) {
			xml_tag(out, "<", name, " nil=\"true\"/>");
			continue;
		}
		xml_tag(out, "<", name, ">");
		stack[n++] = (struct xml_open){ .value = child, .name = name,
						.iter = json_object_iter((json_t *)child) };
	}
	web_text_puts(out, "\n");
}

const char *web_language(const char *accept_language, const char *def)
{
	for (const char *p = accept_language; p && *p;) {
		p = skip_space(p);
		if (!strncasecmp(p, "it", 2) && !isalpha((unsigned char)p[2]))
			return "it";
		if (!strncasecmp(p, "en", 2) && !isalpha((unsigned char)p[2]))
			return "en";
		p += strcspn(p, ",");
		if (*p)
			p++;
	}
	return def;
}
