/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "schema/schema_priv.h"

/*
 * One value of one field: checked, normalised, or refused with what is wrong and what to do. Values
 * may come as text (XML, forms, CSV), so "true" and "12" are taken for what they say.
 */
#define MAX_TEXT  255  /* of a text field without a length of its own */
#define MAX_NETS  64
#define MAX_ITEMS 1000 /* of lists */

typedef int(validate_h)(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			const char *path, const json_t *in);

static int bad_type(struct sch_ctx *ctx, const char *path, const char *it, const char *en)
{
	sch_problem_add(ctx, path, "bad_type",
			SCH_TR(ctx, "Valore di tipo sbagliato: serve %s.",
			       "The value has the wrong type: give %s."),
			SCH_TR(ctx, it, en));
	return -EINVAL;
}

static int set(json_t **out, json_t *value)
{
	if (!value)
		return -ENOMEM;
	*out = value;
	return 0;
}

static int validate_bool(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			 const char *path, const json_t *in)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = { { "true", true }, { "false", false }, { "1", true },  { "0", false },
		      { "sì", true },  { "si", true },     { "yes", true }, { "no", false },
		      /* what an Italian spreadsheet makes of true and false in a CSV file */
		      { "vero", true }, { "falso", false } };
	const char *text = json_string_value(in);

	if (json_is_boolean(in))
		return set(out, json_boolean(json_is_true(in)));
	if (json_is_integer(in) && (json_integer_value(in) & ~1ll) == 0)
		return set(out, json_boolean(json_integer_value(in)));
	for (size_t i = 0; text && i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(text, words[i].word))
			return set(out, json_boolean(words[i].value));
	return bad_type(ctx, path, "true o false", "true or false");
}

static bool read_i64(int64_t *ret, const json_t *in)
{
	const char *text = json_string_value(in);
	char *end;

	if (json_is_integer(in)) {
		*ret = json_integer_value(in);
		return true;
	}
	if (!text || !*text || strlen(text) > 19 || isspace((unsigned char)*text))
		return false;
	errno = 0;
	*ret = strtoll(text, &end, 10);
	return !errno && !*end;
}

static int validate_int(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			const char *path, const json_t *in)
{
	int64_t v;

	if (!read_i64(&v, in))
		return bad_type(ctx, path, "un numero intero", "a whole number");
	/* The product itself may go beyond what people may type: priorities of fixed roles (D-039). */
	if (!ctx->system && (f->min || f->max) && (v < f->min || v > f->max)) {
		sch_problem_add(ctx, path, "out_of_range",
				SCH_TR(ctx, "Il valore %lld non è ammesso: deve essere tra %lld e %lld.",
				       "The value %lld is not allowed: it must be between %lld and %lld."),
				(long long)v, (long long)f->min, (long long)f->max);
		return -EINVAL;
	}
	return set(out, json_integer(v));
}

/* ------------------------------------------------------------------ texts */

static size_t characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static bool has_control(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			return true;
	return false;
}

static bool only(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == '\0';
}

static bool is_email(const char *text)
{
	const char *at = strchr(text, '@');
	const char *domain = at ? at + 1 : "";
	size_t n = strlen(domain);

	return at && at > text && at - text <= 64 && !strchr(domain, '@') && n >= 1 && n <= 253 &&
	       !strpbrk(text, " <>()[],;:\\\"") && domain[0] != '.' && domain[n - 1] != '.' &&
	       !strstr(text, "..");
}

static bool is_dns_name(const char *text)
{
	size_t label = 0, n = strlen(text);
	bool all_numeric = true;

	if (!n || n > 253)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '.') {
			if (!label || text[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!(c < 0x80 && isalnum(c)) && c != '_' && (c != '-' || !label))
			return false;
		all_numeric = all_numeric && isdigit(c);
		if (++label > 63)
			return false;
	}
	/* "10.0.0.300" is a mistyped address, not a name. */
	return text[n - 1] != '-' && !all_numeric;
}

static bool is_host(const char *text)
{
	uint8_t addr[16];

	return inet_pton(AF_INET, text, addr) == 1 || inet_pton(AF_INET6, text, addr) == 1 ||
	       is_dns_name(text);
}

/* What a text type allows beyond its length. */
static int check_charset(struct sch_ctx *ctx, const struct sch_field *f, const char *path,
			 const char *text)
{
	bool ok = true;
	const char *it = "", *en = "";

	if (f->type == SCH_DIGITS) {
		ok = only(text, "0123456789");
		it = "Sono ammesse solo cifre.";
		en = "Only digits are allowed.";
	}
	else if (f->type == SCH_PHONE) {
		ok = only(text, "+0123456789*#") && !strchr(text + 1, '+');
		it = "Sono ammesse cifre, * e #, con + solo all'inizio.";
		en = "Only digits, * and # are allowed, with + at the start only.";
	}
	else if (f->type == SCH_EMAIL) {
		ok = is_email(text);
		it = "Non è un indirizzo e-mail: scriverlo come nome@dominio.it.";
		en = "This is no e-mail address: write it like name@example.com.";
	}
	else if (f->type == SCH_HOST) {
		ok = is_host(text);
		it = "Non è un indirizzo IP né un nome di host.";
		en = "This is neither an IP address nor a host name.";
	}
	if (ok)
		return 0;
	sch_problem_add(ctx, path, "bad_format", "%s", SCH_TR(ctx, it, en));
	return -EINVAL;
}

static int check_length(struct sch_ctx *ctx, const struct sch_field *f, const char *path,
			const char *text)
{
	size_t n = characters(text);
	size_t max = f->max ? (size_t)f->max : MAX_TEXT;

	if (n > max) {
		sch_problem_add(ctx, path, "too_long",
				SCH_TR(ctx, "%zu caratteri sono troppi: al massimo %zu.",
				       "%zu characters are too many: at most %zu."),
				n, max);
		return -EINVAL;
	}
	if (n < (size_t)f->min) {
		sch_problem_add(ctx, path, "too_short",
				SCH_TR(ctx, "Servono almeno %lld caratteri.",
				       "At least %lld characters are needed."),
				(long long)f->min);
		return -EINVAL;
	}
	return 0;
}

/* Spaces around what a person typed are no part of it, except in secrets. */
static char *trimmed(struct sch_ctx *ctx, const struct sch_field *f, const char *text)
{
	size_t n;

	if (sch_is_secret(f->type))
		return arena_strdup(ctx->arena, text);
	while (*text == ' ')
		text++;
	n = strlen(text);
	while (n && text[n - 1] == ' ')
		n--;
	return arena_strndup(ctx->arena, text, n);
}

static int validate_text(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			 const char *path, const json_t *in)
{
	char *text;

	if (json_is_integer(in))
		text = arena_printf(ctx->arena, "%lld", (long long)json_integer_value(in));
	else if (json_is_string(in))
		text = trimmed(ctx, f, json_string_value(in));
	else
		return bad_type(ctx, path, "un testo", "a text");
	if (!text)
		return -ENOMEM;
	if (has_control(text)) {
		sch_problem_add(ctx, path, "control_characters",
				SCH_TR(ctx, "A capo, tabulazioni e caratteri di controllo non sono ammessi: toglierli.",
				       "Line ends, tabs and control characters are not allowed: remove them."));
		return -EINVAL;
	}
	if (!*text) /* An empty box is no value. */
		return set(out, json_null());
	if (check_charset(ctx, f, path, text) || check_length(ctx, f, path, text))
		return -EINVAL;
	return set(out, json_string(text));
}

static const struct sch_value *find_value(const struct sch_field *f, const char *text)
{
	for (const struct sch_value *v = f->values; text && v && v->value; v++)
		if (!strcasecmp(v->value, text) || !strcmp(v->label.it, text) ||
		    !strcmp(v->label.en, text))
			return v;
	return NULL;
}

static void bad_choice(struct sch_ctx *ctx, const struct sch_field *f, const char *path,
		       const char *given)
{
	char list[160] = "";
	size_t n = 0;

	for (const struct sch_value *v = f->values; v && v->value && n < sizeof(list); v++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", v->value);
	sch_problem_add(ctx, path, "bad_choice",
			SCH_TR(ctx, "\"%.20s\" non è ammesso; scegliere tra: %s.",
			       "\"%.20s\" is not allowed; choose one of: %s."),
			given ? given : "?", list);
}

static int validate_enum(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			 const char *path, const json_t *in)
{
	const char *text = json_string_value(in);
	const struct sch_value *v = find_value(f, text);

	if (text && !*text)
		return set(out, json_null());
	if (v)
		return set(out, json_string(v->value));
	bad_choice(ctx, f, path, text);
	return -EINVAL;
}

/* ------------------------------------------------------------------ lists */

/* A list, or a text with commas (forms, CSV). New reference. */
static json_t *as_list(const json_t *in)
{
	const char *text = json_string_value(in);
	json_t *list;

	if (json_is_array(in))
		return json_incref((json_t *)in);
	if (!text)
		return NULL;
	list = json_array();
	while (list && *text) {
		size_t n = strcspn(text, ",");
		size_t skip = strspn(text, " ");
		size_t len = n > skip ? n - skip : 0;

		while (len && text[skip + len - 1] == ' ')
			len--;
		if (len && json_array_append_new(list, json_stringn(text + skip, len)))
			break;
		text += n + (text[n] == ',');
	}
	return list;
}

static int too_many(struct sch_ctx *ctx, const char *path, size_t n, size_t max)
{
	if (n <= max)
		return 0;
	sch_problem_add(ctx, path, "too_many",
			SCH_TR(ctx, "%zu voci sono troppe: al massimo %zu.",
			       "%zu entries are too many: at most %zu."),
			n, max);
	return -EINVAL;
}

static bool in_list(const json_t *list, const json_t *value)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item)
		if (json_equal(item, value))
			return true;
	return false;
}

/* Each entry through one; doubles are refused. */
static int validate_entries(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			    const char *path, const json_t *in, size_t max, validate_h *one)
{
	json_t *list = as_list(in), *result = json_array(), *item;
	int err = 0;
	size_t i;

	if (!list) {
		json_decref(result);
		return bad_type(ctx, path, "una lista", "a list");
	}
	if (too_many(ctx, path, json_array_size(list), max))
		err = -EINVAL;
	for (i = 0; !err && i < json_array_size(list); i++) {
		json_t *value = NULL;

		item = json_array_get(list, i);
		err = one(&value, ctx, f, path, item);
		if (!err && in_list(result, value)) {
			sch_problem_add(ctx, path, "double",
					SCH_TR(ctx, "La voce %zu è ripetuta: toglierla.",
					       "Entry %zu is there twice: remove it."),
					i + 1);
			err = -EINVAL;
		}
		if (!err && json_array_append(result, value))
			err = -ENOMEM;
		json_decref(value);
	}
	json_decref(list);
	if (err)
		json_decref(result);
	else
		*out = result;
	return err;
}

static int validate_enum_list(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			      const char *path, const json_t *in)
{
	return validate_entries(out, ctx, f, path, in, MAX_ITEMS, validate_enum);
}

/* "10.0.0.5/8" becomes "10.0.0.0/8": the host bits say nothing. */
static bool normal_net(char *buf, size_t size, const char *text)
{
	char addr[64];
	uint8_t bits[16];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	int family, max;
	long prefix;
	char *end;

	if (n >= sizeof(addr))
		return false;
	memcpy(addr, text, n);
	addr[n] = '\0';
	family = strchr(addr, ':') ? AF_INET6 : AF_INET;
	max = family == AF_INET6 ? 128 : 32;
	if (inet_pton(family, addr, bits) != 1)
		return false;
	if (!slash)
		return inet_ntop(family, bits, buf, (socklen_t)size);
	prefix = strtol(slash + 1, &end, 10);
	if (!isdigit((unsigned char)slash[1]) || *end || prefix < 0 || prefix > max)
		return false;
	for (int i = (int)prefix; i < max; i++)
		bits[i / 8] &= (uint8_t)~(0x80 >> (i % 8));
	if (!inet_ntop(family, bits, buf, (socklen_t)size))
		return false;
	n = strlen(buf);
	return snprintf(buf + n, size - n, "/%ld", prefix) < (int)(size - n);
}

static int validate_net(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			const char *path, const json_t *in)
{
	const char *text = json_string_value(in);
	char buf[80];

	if (text && normal_net(buf, sizeof(buf), text))
		return set(out, json_string(buf));
	sch_problem_add(ctx, path, "bad_network",
			SCH_TR(ctx, "\"%.40s\" non è una rete: scriverla come 192.168.1.0/24 o 192.168.1.5.",
			       "\"%.40s\" is no network: write it like 192.168.1.0/24 or 192.168.1.5."),
			text ? text : "?");
	return -EINVAL;
}

static int validate_net_list(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			     const char *path, const json_t *in)
{
	return validate_entries(out, ctx, f, path, in, MAX_NETS, validate_net);
}

/* ------------------------------------------------------------------ references */

int sch_exists(struct sch_ctx *ctx, const struct sch_entity *target, int64_t id)
{
	char sql[128];
	int64_t found;

	(void)snprintf(sql, sizeof(sql), "SELECT id FROM \"%s\" WHERE id = $1 AND tenant_id = $2",
		       target->name);
	return db_query_i64(&found, ctx->db, sql,
			    DB_ARGS(db_i64(id), db_i64(sch_scope_id(ctx, target))));
}

int sch_find_title(int64_t *ret, struct sch_ctx *ctx, const struct sch_entity *entity,
		   const char *title)
{
	struct db_rows *rows = NULL;
	char sql[200], key[1024];
	int n = 0, err;

	(void)snprintf(sql, sizeof(sql),
		       "SELECT id, \"%s\" FROM \"%s\" WHERE tenant_id = $1 AND sort_key = $2"
		       " ORDER BY id",
		       entity->title_field, entity->name);
	sch_fold(key, sizeof(key), title);
	err = db_query(&rows, ctx->db, sql,
		       DB_ARGS(db_i64(sch_scope_id(ctx, entity)), db_text(key)));
	if (err)
		return err;
	err = -ENOENT; /* the key leaves accents out, the title does not */
	while (err && (n = db_next(rows)) > 0)
		if (sch_same_nocase(db_col_text(rows, 1), title)) {
			*ret = db_col_i64(rows, 0);
			err = 0;
		}
	db_rows_close(rows);
	return n < 0 ? n : err;
}

static int check_target(struct sch_ctx *ctx, const struct sch_entity *target, const char *path,
			int64_t id)
{
	int err = sch_exists(ctx, target, id);

	if (err != -ENOENT)
		return err;
	sch_problem_add(ctx, path, "not_found",
			SCH_TR(ctx, "%s con id %lld non esiste: sceglierne uno dalla lista.",
			       "There is no %s with id %lld: choose one from the list."),
			SCH_TR(ctx, target->label_one.it, target->label_one.en), (long long)id);
	return -EINVAL;
}

static int validate_ref(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			const char *path, const json_t *in)
{
	const struct sch_entity *target = sch_find(f->ref);
	const char *text = json_string_value(in);
	int64_t id = 0;
	int err;

	if (text && !*text)
		return set(out, json_null());
	if (!target || !read_i64(&id, in) || id <= 0)
		return bad_type(ctx, path, "l'id di un oggetto", "the id of an object");
	err = check_target(ctx, target, path, id);
	return err ? err : set(out, json_integer(id));
}

static int validate_ref_list(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			     const char *path, const json_t *in)
{
	return validate_entries(out, ctx, f, path, in, MAX_ITEMS, validate_ref);
}

/* ------------------------------------------------------------------ destinations */

/* What each type needs (01-entity-index, Destinations). A type is offered where the field lists it. */
static const struct dest_type {
	const char *type, *target;
	bool id_required, value_required;
} dest_types[] = {
	{ "hangup", NULL, false, false },
	{ "external_number", NULL, false, true },
	{ "extension", "extension", true, false },
	{ "voicemail", "extension", false, false }, /* null: the extension's own */
	{ "return_to_transferor", NULL, false, false },
};

static const struct dest_type *dest_type(const char *type)
{
	for (size_t i = 0; type && i < sizeof(dest_types) / sizeof(dest_types[0]); i++)
		if (!strcmp(dest_types[i].type, type))
			return &dest_types[i];
	return NULL;
}

const char *sch_dest_target(const char *type)
{
	const struct dest_type *t = dest_type(type);

	return t ? t->target : NULL;
}

/* Members of an external number beside its number (D-071, BASE-54). */
static const struct sch_field dest_external[] = {
	{ .name = "value", .type = SCH_PHONE, .max = 32, .flags = SCH_REQUIRED },
	{ .name = "identity", .type = SCH_REF, .ref = "extension" },
	{ .name = "routing_class", .type = SCH_REF, .ref = "routing_class" },
	{ .name = "ring_timeout", .type = SCH_INT, .min = 5, .max = 600, .def = "60" },
};

static int dest_unknown_members(struct sch_ctx *ctx, const char *path, const json_t *in,
				bool external)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)in, key, value) {
		if (!strcmp(key, "type") || !strcmp(key, "id") || !strcmp(key, "value") ||
		    (external && sch_field_find(dest_external, 4, key)))
			continue;
		sch_problem_add(ctx, sch_path(ctx, path, key), "unknown_field",
				SCH_TR(ctx, "Questa destinazione non ha il campo \"%.40s\".",
				       "This destination has no field \"%.40s\"."),
				key);
		return -EINVAL;
	}
	return 0;
}

static int dest_external_members(json_t *out, struct sch_ctx *ctx, const char *path,
				 const json_t *in)
{
	int err = 0;

	for (size_t i = 0; i < sizeof(dest_external) / sizeof(dest_external[0]); i++) {
		const struct sch_field *f = &dest_external[i];
		const json_t *given = json_object_get(in, f->name);
		json_t *value = NULL;
		int e = 0;

		if (!given || json_is_null(given))
			value = sch_default(f);
		else
			e = sch_validate(&value, ctx, f, sch_path(ctx, path, f->name), given);
		if (!e && (f->flags & SCH_REQUIRED) && json_is_null(value)) {
			sch_problem_add(ctx, sch_path(ctx, path, f->name), "required",
					SCH_TR(ctx, "Indicare il numero da chiamare.",
					       "Give the number to call."));
			e = -EINVAL;
		}
		if (!e && json_object_set(out, f->name, value))
			e = -ENOMEM;
		json_decref(value);
		err = err ? err : e;
	}
	return err;
}

static int dest_id(json_t *out, struct sch_ctx *ctx, const struct dest_type *t, const char *path,
		   const json_t *in)
{
	const struct sch_entity *target = t->target ? sch_find(t->target) : NULL;
	const json_t *given = json_object_get(in, "id");
	const char *inner = sch_path(ctx, path, "id");
	int64_t id = 0;
	int err;

	if (!target || !given || json_is_null(given)) {
		if (!t->id_required)
			return 0;
		sch_problem_add(ctx, inner, "required",
				SCH_TR(ctx, "Scegliere a chi inoltrare la chiamata.",
				       "Choose where the call goes."));
		return -EINVAL;
	}
	if (!read_i64(&id, given) || id <= 0)
		return bad_type(ctx, inner, "l'id di un oggetto", "the id of an object");
	err = check_target(ctx, target, inner, id);
	if (!err && json_object_set_new(out, "id", json_integer(id)))
		err = -ENOMEM;
	return err;
}

static int validate_dest(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			 const char *path, const json_t *in)
{
	const char *type = json_string_value(json_is_object(in) ? json_object_get(in, "type") : in);
	const struct sch_value *offered = find_value(f, type);
	const struct dest_type *t = dest_type(offered ? offered->value : NULL);
	json_t *dest;
	int err;

	if (!t) {
		bad_choice(ctx, f, sch_path(ctx, path, "type"), type);
		return -EINVAL;
	}
	dest = json_pack("{s:s, s:n, s:n}", "type", t->type, "id", "value");
	if (!dest)
		return -ENOMEM;
	err = json_is_object(in) ? dest_unknown_members(ctx, path, in, t->value_required) : 0;
	if (!err)
		err = dest_id(dest, ctx, t, path, json_is_object(in) ? in : NULL);
	if (!err && t->value_required)
		err = dest_external_members(dest, ctx, path, in);
	if (err)
		json_decref(dest);
	else
		*out = dest;
	return err;
}

/* ------------------------------------------------------------------ objects */

int sch_rename_members(struct sch_ctx *ctx, const struct sch_field *fields, size_t n,
		       const char *path, json_t *object, const char *const *also)
{
	const char *key;
	char snake[96];
	json_t *value, *renames = json_object();
	void *tmp;
	int err = 0;

	if (!renames)
		return -ENOMEM;
	json_object_foreach_safe(object, tmp, key, value) {
		const char *const *a = also;

		while (a && *a && strcmp(*a, key))
			a++;
		if (sch_field_find(fields, n, key) || (a && *a))
			continue;
		sch_snake(snake, sizeof(snake), key);
		if (sch_field_find(fields, n, snake)) {
			if (!json_object_get(object, snake) &&
			    json_object_set(renames, snake, value))
				err = -ENOMEM;
			(void)json_object_del(object, key);
			continue;
		}
		sch_problem_add(ctx, path ? sch_path(ctx, path, key) : key, "unknown_field",
				SCH_TR(ctx, "Il campo \"%.40s\" non esiste: controllare il nome.",
				       "There is no field \"%.40s\": check the name."),
				key);
		err = err ? err : -EINVAL;
	}
	if (json_object_update(object, renames))
		err = -ENOMEM;
	json_decref(renames);
	return err;
}

static int validate_object(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			   const char *path, const json_t *in)
{
	json_t *given, *result;
	int err;

	if (!json_is_object(in))
		return bad_type(ctx, path, "un oggetto", "an object");
	given = json_copy((json_t *)in);
	result = json_object();
	err = given && result ? sch_rename_members(ctx, f->fields, f->n_fields, path, given, NULL) :
				-ENOMEM;
	/* The depth is that of the registry's tables. */
	for (size_t i = 0; i < f->n_fields; i++) {
		const struct sch_field *inner = &f->fields[i];
		const json_t *value = json_object_get(given, inner->name);
		json_t *clean = NULL;
		int e = 0;

		if (!value || json_is_null(value))
			clean = sch_default(inner);
		else
			e = sch_validate(&clean, ctx, inner, sch_path(ctx, path, inner->name), value);
		if (!e && json_is_null(clean)) /* an empty text is no value either */
			clean = sch_default(inner);
		if (!e && (inner->flags & SCH_REQUIRED) && (!clean || json_is_null(clean))) {
			sch_problem_add(ctx, sch_path(ctx, path, inner->name), "required",
					SCH_TR(ctx, "Manca un valore: indicarlo.",
					       "A value is missing: give one."));
			e = -EINVAL;
		}
		if (!e && json_object_set(result, inner->name, clean))
			e = -ENOMEM;
		json_decref(clean);
		err = err ? err : e;
	}
	json_decref(given);
	if (err)
		json_decref(result);
	else
		*out = result;
	return err;
}

static int validate_list(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			 const char *path, const json_t *in)
{
	json_t *result, *item;
	char number[24];
	size_t i;
	int err = 0;

	if (!json_is_array(in))
		return bad_type(ctx, path, "una lista", "a list");
	if (too_many(ctx, path, json_array_size(in), f->max ? (size_t)f->max : MAX_ITEMS))
		return -EINVAL;
	result = json_array();
	json_array_foreach(in, i, item) {
		json_t *clean = NULL;
		int e;

		(void)snprintf(number, sizeof(number), "%zu", i);
		e = validate_object(&clean, ctx, f, sch_path(ctx, path, number), item);
		if (!e && json_array_append(result, clean))
			e = -ENOMEM;
		json_decref(clean);
		err = err ? err : e;
	}
	if (err)
		json_decref(result);
	else
		*out = result;
	return err;
}

static int validate_fixed(json_t **out, struct sch_ctx *ctx, const struct sch_field *f,
			  const char *path, const json_t *in)
{
	return set(out, json_deep_copy(in)); /* only the product writes these */
}

static validate_h *const validators[] = {
	[SCH_BOOL] = validate_bool,
	[SCH_INT] = validate_int,
	[SCH_TEXT] = validate_text,
	[SCH_DIGITS] = validate_text,
	[SCH_PHONE] = validate_text,
	[SCH_EMAIL] = validate_text,
	[SCH_HOST] = validate_text,
	[SCH_ENUM] = validate_enum,
	[SCH_ENUM_LIST] = validate_enum_list,
	[SCH_NET_LIST] = validate_net_list,
	[SCH_SECRET] = validate_text,
	[SCH_VERIFIER] = validate_text,
	[SCH_REF] = validate_ref,
	[SCH_REF_LIST] = validate_ref_list,
	[SCH_DEST] = validate_dest,
	[SCH_LIST] = validate_list,
	[SCH_OBJECT] = validate_object,
	[SCH_UUID] = validate_fixed,
	[SCH_TIME] = validate_fixed,
};

int sch_validate(json_t **out, struct sch_ctx *ctx, const struct sch_field *field, const char *path,
		 const json_t *in)
{
	struct sch_problem problem = { 0 };
	json_t *value = NULL;
	int err = validators[field->type](&value, ctx, field, path, in);

	if (!err && field->check && !json_is_null(value) &&
	    field->check(value, ctx->lang, &problem)) {
		sch_problem_add(ctx, path, problem.code, "%s", problem.message);
		json_decref(value);
		return -EINVAL;
	}
	if (!err)
		*out = value;
	return err;
}
