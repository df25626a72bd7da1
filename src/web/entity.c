/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "bus/bus.h"
#include "db/db.h"
#include "web/cache.h"
#include "web/rest.h"
#include "web/web_priv.h"

/* CRUD of every entity of the registry (D-220..D-230). */
#define PAGE_SIZE_DEFAULT 50
#define PAGE_SIZE_MAX     1000
#define PAGE_MAX          1000000
#define IDEMPOTENCY_S     (24 * 3600)

/* ------------------------------------------------------------------ queries */

static bool read_positive(const char *text, int max, int *ret)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (!isdigit((unsigned char)*text) || *end || n < 1 || n > max)
		return false;
	*ret = (int)n;
	return true;
}

static int bad_arg(struct rest *rest, const char *name)
{
	return rest_problem(rest, -EBADPATH, "bad_parameter",
			    REST_TEXT(rest, "Il parametro \"%s\" non è valido.",
				      "The parameter \"%s\" is not valid."), name);
}

static int bad_number(struct rest *rest, const char *name, int max)
{
	return rest_problem(rest, -EBADPATH, "bad_parameter",
			    REST_TEXT(rest, "Il parametro \"%s\" è un numero da 1 a %d.",
				      "The parameter \"%s\" is a number from 1 to %d."), name, max);
}

static bool is_option(const char *name)
{
	static const char *const options[] = { "reveal", "force", "apply", "mode", "separator", "bom",
					       "secrets" };

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(options[i], name))
			return true;
	return false;
}

/* `field=v`, `field~=v`, `field[op]=v` (D-228). */
static int read_filter(struct rest *rest, struct sch_query *query, const struct web_arg *arg)
{
	static const char *const ops[] = { "ne", "lt", "le", "gt", "ge", "in", "null" };
	const size_t max = sizeof(query->filters) / sizeof(query->filters[0]);
	char *field = arena_strdup(rest->req->arena, arg->name), *open;
	const char *op = "=";
	size_t len;

	if (!field)
		return -ENOMEM;
	len = strlen(field);
	open = strchr(field, '[');
	if (query->n_filters == max)
		return bad_arg(rest, arg->name);
	if (open && len && field[len - 1] == ']') {
		field[len - 1] = '\0';
		*open++ = '\0';
		op = NULL;
		for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
			if (!strcmp(ops[i], open))
				op = ops[i];
		if (!op)
			return rest_problem(rest, -EBADPATH, "bad_parameter",
					    REST_TEXT(rest,
						      "\"%s\" non è un filtro: in [] vanno ne, lt, le, gt, ge, in o null.",
						      "\"%s\" is no filter: [] takes ne, lt, le, gt, ge, in or null."),
					    arg->name);
	} else if (len && field[len - 1] == '~') {
		field[len - 1] = '\0';
		op = "~";
	}
	query->filters[query->n_filters].field = field;
	query->filters[query->n_filters].op = op;
	query->filters[query->n_filters++].value = arg->value;
	return 0;
}

/* paged: whether a page was asked for; without one /rest/ answers the whole list. */
static int read_query(struct rest *rest, struct sch_query *query, bool *paged)
{
	*query = (struct sch_query){ .page = 1, .page_size = PAGE_SIZE_DEFAULT };
	*paged = rest->family == FAMILY_V2;

	for (size_t i = 0; i < rest->req->n_args; i++) {
		const struct web_arg *arg = &rest->req->args[i];
		int err;

		if (is_option(arg->name) || !*arg->name)
			continue;
		if (!strcmp(arg->name, "page")) {
			if (!read_positive(arg->value, PAGE_MAX, &query->page))
				return bad_number(rest, arg->name, PAGE_MAX);
			*paged = true;
		} else if (!strcmp(arg->name, "page_size")) {
			if (!read_positive(arg->value, PAGE_SIZE_MAX, &query->page_size))
				return bad_number(rest, arg->name, PAGE_SIZE_MAX);
			*paged = true;
		} else if (!strcmp(arg->name, "sort")) {
			query->sort = arg->value;
		} else if (!strcmp(arg->name, "fields")) {
			query->fields = arg->value;
		} else if (!strcmp(arg->name, "q")) {
			query->q = arg->value;
		} else {
			err = read_filter(rest, query, arg);
			if (err)
				return err;
		}
	}
	if (!*paged)
		query->page_size = 0;
	return 0;
}

static bool flag(const struct rest *rest, const char *name)
{
	const char *value = web_arg(rest->req, name, NULL);

	return value && (!strcmp(value, "true") || !strcmp(value, "1") || !*value);
}

/* ?reveal=true shows secrets to those who may write (D-364). */
static int read_reveal(struct rest *rest)
{
	if (!flag(rest, "reveal"))
		return 0;
	if (principal_level(rest->who, rest->entity->permission) < SCH_LEVEL_WRITE)
		return rest_problem(rest, -EFORBIDDEN, "forbidden",
				    REST_TEXT(rest, "I segreti si mostrano a chi può scrivere.",
					      "Secrets are shown to those who may write."));
	rest->ctx.reveal_secrets = true;
	return 0;
}

/* What is shown beside the configuration (sch_entity.decorate); fields: those that were asked for. */
static int decorate(struct rest *rest, json_t *rows, const char *fields)
{
	size_t i;
	json_t *row, *value;
	const char *key;
	void *tmp;
	int err = rest->entity->decorate ? rest->entity->decorate(&rest->ctx, rows) : 0;

	if (err || !fields || !rest->entity->decorate)
		return err;
	json_array_foreach(rows, i, row)
		json_object_foreach_safe(row, tmp, key, value) {
			const char *at = strstr(fields, key);
			size_t n = strlen(key);

			while (at && !((at == fields || at[-1] == ',') && (!at[n] || at[n] == ',')))
				at = strstr(at + 1, key);
			if (!at && strcmp(key, "id"))
				(void)json_object_del(row, key);
		}
	return 0;
}

static int decorate_text(struct rest *rest, struct sch_out *rows, const char *fields)
{
	json_t *list;
	char *text = NULL;
	int err;

	if (!rest->entity->decorate)
		return 0;
	list = json_loadb(rows->text, rows->len, 0, NULL);
	err = list ? decorate(rest, list, fields) : -ENOMEM;
	if (!err)
		text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	if (err || !text)
		return err ? err : -ENOMEM;
	sch_out_free(rows);
	*rows = (struct sch_out){ .text = text, .len = strlen(text), .size = strlen(text) + 1 };
	return 0;
}

/* ------------------------------------------------------------------ lists */

static void link_header(struct rest *rest, const struct sch_query *query, int64_t total)
{
	int64_t last = query->page_size ? (total + query->page_size - 1) / query->page_size : 1;
	struct web_text link = { 0 };
	static const struct {
		const char *rel;
		int step;
	} rels[] = { { "prev", -1 }, { "next", 1 } };

	for (size_t i = 0; i < 2; i++) {
		int64_t page = query->page + rels[i].step;

		if (page < 1 || page > last)
			continue;
		web_text_printf(&link, "%s<%s?", link.len ? ", " : "", rest->req->path);
		for (size_t a = 0; a < rest->req->n_args; a++) {
			const struct web_arg *arg = &rest->req->args[a];
			const char *const parts[] = { arg->name, "=", arg->value, "&" };

			if (!strcmp(arg->name, "page"))
				continue;
			for (size_t p = 0; p < 4; p++)
				for (const char *c = parts[p]; *c; c++) {
					bool plain = isalnum((unsigned char)*c) || strchr("-._~", *c) ||
						     p % 2;

					web_text_printf(&link, plain ? "%c" : "%%%02X",
							(unsigned char)*c);
				}
		}
		web_text_printf(&link, "page=%lld>; rel=\"%s\"", (long long)page, rels[i].rel);
	}
	if (link.text)
		rest_header(rest, "Link", "%s", link.text);
	web_text_free(&link);
}

static int answer_list(struct rest *rest, const struct sch_query *query, struct sch_out *rows,
		       int64_t total)
{
	struct web_text out = { 0 };
	json_t *list;

	rest_header(rest, "X-Total-Count", "%lld", (long long)total);
	if (rest->family == FAMILY_V2) {
		web_text_puts(&out, "{\"items\":");
		web_text_add(&out, rows->text, rows->len);
		web_text_printf(&out, ",\"page\":%d,\"page_size\":%d,\"total\":%lld}", query->page,
				query->page_size, (long long)total);
		return rest_answer_text(rest, 200, web_repr_ctype(REPR_JSON), &out);
	}
	link_header(rest, query, total);
	if (rest->repr == REPR_JSON) {
		web_text_add(&out, rows->text, rows->len);
		return rest_answer_text(rest, 200, web_repr_ctype(REPR_JSON), &out);
	}
	list = json_loadb(rows->text, rows->len, 0, NULL);
	return rest_answer(rest, 200, list);
}

int rest_entity_list(struct rest *rest)
{
	struct sch_query query;
	struct sch_out rows = { 0 };
	int64_t total = 0;
	bool paged;
	int err = read_query(rest, &query, &paged);

	if (!err)
		err = read_reveal(rest);
	if (err)
		return err;
	err = sch_list(&rest->ctx, rest->entity, &query, &rows, &total);
	if (!err)
		err = decorate_text(rest, &rows, query.fields);
	if (err)
		goto out;
	err = answer_list(rest, &query, &rows, total);
	if (err)
		goto out;
	if (rest->ctx.reveal_secrets) {
		rest_header(rest, "Cache-Control", "no-store");
		goto out;
	}
	rest_etag(rest, rest->cache_tenant_revision);
	web_cache_keep(rest);
out:
	sch_out_free(&rows);
	return err;
}

/* ------------------------------------------------------------------ one object */

/*
 * On /rest/ the address of extension 12 is /rest/extension/12 whatever its id is, so Location names
 * the natural key; an id would lead to whoever has that number.
 */
static void location(struct rest *rest, const json_t *row)
{
	const char *natural = rest->family == FAMILY_V2 || !rest->entity->natural_key ?
				      "" : js_str(row, rest->entity->natural_key, "");
	const char *family = rest->family == FAMILY_V2 ? "/api/pbx/v2/" : "/rest/";
	char name[64];

	sch_rest_name(name, sizeof(name), rest->entity);
	if (*natural) /* none has a character that an address would have to escape */
		rest_header(rest, "Location", "%s%s/%s", family, name, natural);
	else
		rest_header(rest, "Location", "%s%s/%lld", family, name,
			    (long long)js_int(row, "id", 0));
}

int rest_answer_object(struct rest *rest, int status, int64_t id)
{
	json_t *row = NULL, *rows;
	int64_t revision;
	int err = sch_get(&rest->ctx, rest->entity, id, &row);

	if (!err && rest->entity->decorate) {
		rows = json_pack("[O]", row);
		err = rows ? decorate(rest, rows, NULL) : -ENOMEM;
		json_decref(rows);
	}
	if (err) {
		json_decref(row);
		return err;
	}
	revision = js_int(row, "revision", 0);
	if (status == 201)
		location(rest, row);
	if (rest->ctx.generated)
		json_object_update(row, rest->ctx.generated);
	if (rest->ctx.reset)
		json_object_set(row, "reset", rest->ctx.reset);
	err = rest_answer(rest, status, row);
	if (err)
		return err;
	if (status == 200 && !rest->ctx.reveal_secrets)
		rest_etag(rest, revision);
	else
		rest_header(rest, "Cache-Control", "no-store");
	return 0;
}

int rest_resolve(struct rest *rest, const char *key, int64_t *id)
{
	return rest->family == FAMILY_V2 ? sch_resolve_id(&rest->ctx, rest->entity, key, id) :
					   sch_resolve(&rest->ctx, rest->entity, key, id);
}

static int resolve(struct rest *rest, int64_t *id)
{
	return rest_resolve(rest, rest->params[1], id);
}

int rest_entity_get(struct rest *rest)
{
	int64_t id;
	int err = resolve(rest, &id);

	if (!err)
		err = read_reveal(rest);
	return err ? err : rest_answer_object(rest, 200, id);
}

/* ------------------------------------------------------------------ writes */

/* If-Match: "12.abcdef" names revision 12; `*` and nothing name none. */
static int64_t if_revision(const struct rest *rest)
{
	const char *text = rest->req->headers[H_IF_MATCH];

	if (!text)
		return 0;
	while (*text && !isdigit((unsigned char)*text)) {
		if (*text == '*')
			return 0;
		text++;
	}
	/* A tag that is not one of ours matches no revision. */
	return *text ? strtoll(text, NULL, 10) : -1;
}

/* What follows every write: the event, and the apply that old clients expect (D-052). */
void rest_written(struct rest *rest, int64_t id, const char *action)
{
	struct web *web = rest->web;
	char subject[64];
	const char *apply = web_arg(rest->req, "apply", "true");
	bool is_tenant = !strcmp(rest->entity->name, "tenant");

	if (web->bus) {
		snprintf(subject, sizeof(subject), "t.%lld.entity.changed",
			 (long long)rest->ctx.tenant_id);
		bus_publish(web->bus, subject,
			    json_pack("{s:s,s:I,s:s}", "entity", rest->entity->name, "id",
				      (json_int_t)id, "action", action));
	}
	if (!strcmp(apply, "false") || !strcmp(apply, "0"))
		return;
	web_applier_touch(web->applier, rest->ctx.tenant_id);
	if (is_tenant)
		web_applier_touch(web->applier, id);
}

static int create(struct rest *rest, const json_t *body, int64_t *id)
{
	if (!strcmp(rest->entity->name, "tenant"))
		return sch_tenant_create(&rest->ctx, body, js_str(body, "password", NULL), id);
	return sch_write(&rest->ctx, rest->entity, SCH_CREATE, 0, body, 0, id);
}

#define HASH_HEX 41

static void hash_hex(char buf[HASH_HEX], const void *data, size_t len)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256(data, len, hash);
	for (size_t i = 0; i < HASH_HEX / 2; i++)
		snprintf(buf + 2 * i, 3, "%02x", hash[i]);
}

static void idempotency_hash(char buf[HASH_HEX], const struct rest *rest, const char *key)
{
	const char *text = arena_printf(rest->req->arena, "%lld|%s|%s",
					(long long)rest->who->user.id, rest->req->path, key);

	hash_hex(buf, text ? text : key, strlen(text ? text : key));
}

/* answer: id and hash of the body that made it. Another body is no repetition, and an answer about what
 * the first one made would be a lie. */
static int repeated_answer(struct rest *rest, const char *answer, const char *body_hash, int64_t *id)
{
	char *end;

	*id = strtoll(answer, &end, 10);
	if (!*end || !strcmp(end + 1, body_hash))
		return 0;
	return rest_problem(rest, -EINVAL, "idempotency_key_used",
			    REST_TEXT(rest,
				      "Questa Idempotency-Key è già servita per una richiesta diversa: usarne una nuova.",
				      "This Idempotency-Key has served another request: use a new one."));
}

/*
 * D-230: a POST repeated with the same Idempotency-Key within a day answers what the first one made.
 * Key and object are written in one transaction, so neither exists without the other.
 */
static int create_once(struct rest *rest, const json_t *body, const char *key, int64_t *id,
		       bool *repeated)
{
	struct db *db = rest->db;
	int64_t now_s = clk_wall_s();
	char hash[HASH_HEX], body_hash[HASH_HEX], answer[24 + HASH_HEX];
	int err;

	idempotency_hash(hash, rest, key);
	hash_hex(body_hash, rest->req->body, rest->req->body_len);
	err = db_begin(db);
	if (err)
		return err;
	err = db_exec(db, "DELETE FROM web_idempotency WHERE at_s < $1",
		      DB_ARGS(db_i64(now_s - IDEMPOTENCY_S)));
	if (err)
		goto fail;
	err = db_exec(db,
		      "INSERT INTO web_idempotency (key_hash, status, answer, at_s)"
		      " VALUES ($1, 0, '', $2) ON CONFLICT (key_hash) DO NOTHING",
		      DB_ARGS(db_text(hash), db_i64(now_s)));
	if (err)
		goto fail;
	if (!db_changes(db)) {
		err = db_query_text(answer, sizeof(answer), db,
				    "SELECT answer FROM web_idempotency WHERE key_hash = $1",
				    DB_ARGS(db_text(hash)));
		*repeated = true;
		db_rollback(db);
		return err ? err : repeated_answer(rest, answer, body_hash, id);
	}
	err = create(rest, body, id);
	if (err)
		goto fail;
	snprintf(answer, sizeof(answer), "%lld %s", (long long)*id, body_hash);
	err = db_exec(db, "UPDATE web_idempotency SET status = 201, answer = $1 WHERE key_hash = $2",
		      DB_ARGS(db_text(answer), db_text(hash)));
	if (err)
		goto fail;
	return db_commit(db);

fail:
	db_rollback(db);
	return err;
}

int rest_entity_create(struct rest *rest)
{
	const char *key = rest->req->headers[H_IDEMPOTENCY_KEY];
	json_t *body = NULL;
	bool repeated = false;
	int64_t id = 0;
	int err = rest_body(rest, rest->entity, &body);

	if (err)
		return err;
	err = key && *key ? create_once(rest, body, key, &id, &repeated) : create(rest, body, &id);
	json_decref(body);
	if (err)
		return err;
	if (!repeated)
		rest_written(rest, id, "created");
	rest->ctx.reveal_secrets = !repeated; /* once, to whoever made it (D-364) */
	return rest_answer_object(rest, 201, id);
}

static int modify(struct rest *rest, enum sch_write how, int64_t id)
{
	json_t *body = NULL;
	int err = rest_body(rest, rest->entity, &body);

	if (err)
		return err;
	err = sch_write(&rest->ctx, rest->entity, how, id, body, if_revision(rest), &id);
	json_decref(body);
	if (err)
		return err;
	rest_written(rest, id, "modified");
	return rest_answer_object(rest, 200, id);
}

int rest_entity_put(struct rest *rest)
{
	int64_t id;
	int err = resolve(rest, &id);

	return err ? err : modify(rest, SCH_PUT, id);
}

int rest_entity_patch(struct rest *rest)
{
	int64_t id;
	int err = resolve(rest, &id);

	return err ? err : modify(rest, SCH_PATCH, id);
}

int rest_entity_delete(struct rest *rest)
{
	int64_t id;
	int err = resolve(rest, &id);

	if (err)
		return err;
	rest->ctx.force = flag(rest, "force");
	err = sch_delete(&rest->ctx, rest->entity, id, if_revision(rest));
	if (err)
		return err;
	rest_written(rest, id, "deleted");
	if (rest->family == FAMILY_V2 && !rest->ctx.reset)
		return rest_answer_empty(rest, 204);
	return rest_answer(rest, 200,
			   json_pack("{s:s,s:o}", "result", "ok", "reset",
				     rest->ctx.reset ? json_incref(rest->ctx.reset) : json_array()));
}

/* ------------------------------------------------------------------ settings that exist once */

static int settings_id(struct rest *rest, int64_t *id)
{
	struct sch_query query = { .fields = "id", .page = 1, .page_size = 1 };
	struct sch_out rows = { 0 };
	json_t *list = NULL;
	int64_t total;
	int err = sch_list(&rest->ctx, rest->entity, &query, &rows, &total);

	if (!err) {
		list = json_loadb(rows.text, rows.len, 0, NULL);
		*id = js_int(json_array_get(list, 0), "id", 0);
		err = *id ? 0 : -ENOENT;
	}
	json_decref(list);
	sch_out_free(&rows);
	return err;
}

int rest_settings_get(struct rest *rest)
{
	int64_t id;
	int err = settings_id(rest, &id);

	if (!err)
		err = read_reveal(rest);
	return err ? err : rest_answer_object(rest, 200, id);
}

int rest_settings_put(struct rest *rest)
{
	int64_t id;
	int err = settings_id(rest, &id);

	return err ? err : modify(rest, SCH_PUT, id);
}

int rest_settings_patch(struct rest *rest)
{
	int64_t id;
	int err = settings_id(rest, &id);

	return err ? err : modify(rest, SCH_PATCH, id);
}

/* ------------------------------------------------------------------ CSV */

int rest_separator(struct rest *rest, char *ret)
{
	const char *separator = web_arg(rest->req, "separator", ",");

	/* A bare ; in an address ends the argument, so it arrives empty. */
	if (strlen(separator) != 1 || !strchr(",;\t", *separator))
		return rest_problem(rest, -EBADPATH, "unknown_separator",
				    REST_TEXT(rest,
					      "separator: usare virgola, punto e virgola (%%3B nell'indirizzo) o tabulazione (%%09).",
					      "separator: use a comma, a semicolon (%%3B in the address) or a tab (%%09)."));
	*ret = *separator;
	return 0;
}

int rest_entity_export(struct rest *rest)
{
	bool secrets = flag(rest, "secrets");
	struct sch_query query;
	struct sch_out out = { 0 };
	struct web_text text;
	char name[64], separator;
	bool paged;
	int err = read_query(rest, &query, &paged);

	if (!err)
		err = rest_separator(rest, &separator);
	if (err)
		return err;
	if (secrets && principal_level(rest->who, rest->entity->permission) < SCH_LEVEL_WRITE)
		return -EFORBIDDEN;
	query.page_size = 0; /* every row of the filter (D-213) */
	err = sch_csv_export(&rest->ctx, rest->entity, &query, separator, flag(rest, "bom"), secrets,
			     &out);
	if (err) {
		sch_out_free(&out);
		return err;
	}
	sch_rest_name(name, sizeof(name), rest->entity);
	rest_header(rest, "Content-Disposition", "attachment; filename=\"%s.csv\"", name);
	rest_header(rest, "Cache-Control", "no-store");
	text = (struct web_text){ .text = out.text, .len = out.len, .size = out.size };
	return rest_answer_text(rest, 200, web_repr_ctype(REPR_CSV), &text);
}

int rest_entity_import(struct rest *rest)
{
	static const struct {
		const char *name;
		enum sch_import mode;
	} modes[] = {
		{ "preview", SCH_IMPORT_PREVIEW },
		{ "all", SCH_IMPORT_ALL_OR_NOTHING },
		{ "valid", SCH_IMPORT_VALID_ROWS },
	};
	const char *wanted = web_arg(rest->req, "mode", "preview");
	enum web_body kind = web_body_kind(rest->req->headers[H_CONTENT_TYPE]);
	json_t *report = NULL;
	int err;

	if (kind != BODY_CSV && kind != BODY_NONE)
		return rest_problem(rest, -EMEDIATYPE, "media_type",
				    REST_TEXT(rest, "Inviare il file come text/csv.",
					      "Send the file as text/csv."));
	if (!rest->req->body_len)
		return rest_problem(rest, -EBADBODY, "empty_body",
				    REST_TEXT(rest, "Il file è vuoto.", "The file is empty."));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, wanted))
			continue;
		err = sch_csv_import(&rest->ctx, rest->entity, modes[i].mode, rest->req->body,
				     rest->req->body_len, &report);
		if (err)
			return err;
		if (js_int(report, "created", 0) + js_int(report, "updated", 0) > 0 &&
		    modes[i].mode != SCH_IMPORT_PREVIEW)
			rest_written(rest, 0, "modified");
		return rest_answer(rest, 200, report);
	}
	return rest_problem(rest, -EBADPATH, "bad_parameter",
			    REST_TEXT(rest, "Il parametro \"mode\" ammette preview, all o valid.",
				      "The parameter \"mode\" takes preview, all or valid."));
}
