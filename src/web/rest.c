/* SPDX-License-Identifier: Apache-2.0 */
#include "web/rest.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/arena.h"
#include "db/db.h"
#include "web/auth.h"
#include "web/cache.h"
#include "web/coerce.h"
#include "web/files.h"
#include "web/upload.h"
#include "web/web_priv.h"

/* Error of a handler -> status on /rest/ and on v2, code and text (D-226, D-227). */
static const struct failure {
	int err, status_rest, status_v2;
	const char *code;
	struct sch_label title, detail;
} failures[] = {
	{ -EINVAL, 400, 422, "invalid", { "Dati non validi", "The data are not valid" },
	  { "Correggere i campi elencati.", "Correct the fields listed." } },
	{ -EINVALID, 400, 422, "invalid", { "Dati non validi", "The data are not valid" },
	  { "Correggere i campi elencati.", "Correct the fields listed." } },
	{ -EBADBODY, 400, 400, "malformed_body", { "Corpo non leggibile", "The body cannot be read" },
	  { "Il corpo della richiesta non è ben formato.", "The body of the request is not well formed." } },
	{ -EBADPATH, 400, 400, "malformed_request", { "Richiesta non valida", "Malformed request" },
	  { "L'indirizzo o un parametro non è valido.", "The address or a parameter is not valid." } },
	{ -EAUTH, 401, 401, "unauthorized", { "Autenticazione necessaria", "Authentication required" },
	  { "Credenziali mancanti, errate o scadute.", "The credentials are missing, wrong or expired." } },
	{ -EFORBIDDEN, 403, 403, "forbidden", { "Non permesso", "Not allowed" },
	  { "Il proprio ruolo non permette questa operazione.", "Your role does not allow this." } },
	{ -EACCES, 403, 403, "forbidden", { "Non permesso", "Not allowed" },
	  { "Il proprio ruolo non permette questa operazione.", "Your role does not allow this." } },
	{ -EPERM, 403, 403, "forbidden", { "Non permesso", "Not allowed" },
	  { "Il proprio ruolo non permette questa operazione.", "Your role does not allow this." } },
	{ -ENOENT, 404, 404, "not_found", { "Non trovato", "Not found" },
	  { "Non esiste nulla a questo indirizzo.", "There is nothing at this address." } },
	{ -EMETHOD, 405, 405, "method_not_allowed", { "Metodo non permesso", "Method not allowed" },
	  { "Questo indirizzo accetta solo i metodi di Allow.", "This address takes only the methods in Allow." } },
	{ -ENOTACCEPTABLE, 406, 406, "not_acceptable", { "Formato non disponibile", "Format not available" },
	  { "Nessun formato di Accept è disponibile qui.", "No format named in Accept is available here." } },
	{ -EDQUOT, 503, 503, "disk_full", { "Disco pieno", "The disk is full" },
	  { "Liberare spazio sul disco del server.", "Make room on the server's disk." } },
	{ -ECONFLICT, 409, 409, "conflict", { "Conflitto", "Conflict" },
	  { "La richiesta è in conflitto con lo stato attuale.", "The request conflicts with the present state." } },
	{ -EDUPLICATE, 400, 409, "duplicate", { "Valore già esistente", "The value exists already" },
	  { "Un altro oggetto ha già questo valore.", "Another object has this value already." } },
	{ -EINUSE, 409, 409, "in_use", { "Oggetto in uso", "The object is in use" },
	  { "Non si può eliminare: l'elenco dice perché.", "It cannot be deleted: the list says why." } },
	{ -ESTALE_REV, 412, 412, "stale", { "Modificato nel frattempo", "Changed meanwhile" },
	  { "Rileggere l'oggetto e ripetere la modifica.", "Read the object again and repeat the change." } },
	{ -EMSGSIZE, 413, 413, "too_large", { "Troppo grande", "Too large" },
	  { "Il corpo della richiesta è troppo grande.", "The body of the request is too large." } },
	{ -EMEDIATYPE, 415, 415, "media_type", { "Tipo non accettato", "Media type not accepted" },
	  { "Questo Content-Type non è accettato qui.", "This Content-Type is not accepted here." } },
	{ -ELOCKED, 423, 423, "locked", { "Configurazione bloccata", "The configuration is locked" },
	  { "Un altro utente sta modificando la configurazione.", "Another user is changing the configuration." } },
	{ -ETOOMANY, 429, 429, "too_many", { "Troppe richieste", "Too many requests" },
	  { "Riprovare dopo il tempo indicato in Retry-After.", "Try again after the time in Retry-After." } },
	{ -EUNAVAILABLE, 503, 503, "unavailable", { "Servizio non disponibile", "Service unavailable" },
	  { "Il motore telefonico non risponde. Riprovare tra poco.", "The telephony engine does not answer. Try again shortly." } },
	{ -ETIMEDOUT, 503, 503, "unavailable", { "Servizio non disponibile", "Service unavailable" },
	  { "Il motore telefonico non risponde. Riprovare tra poco.", "The telephony engine does not answer. Try again shortly." } },
	{ -EBUSY, 503, 503, "busy", { "Base di dati occupata", "The database is busy" },
	  { "Riprovare tra qualche secondo.", "Try again in a few seconds." } },
	{ -EPIPE, 503, 503, "database", { "Base di dati non raggiungibile", "The database cannot be reached" },
	  { "Riprovare tra qualche secondo.", "Try again in a few seconds." } },
	{ -ENOSPC, 503, 503, "disk_full", { "Disco pieno", "The disk is full" },
	  { "Liberare spazio sul disco del server.", "Make room on the server's disk." } },
	{ -ENOMEM, 503, 503, "memory", { "Memoria esaurita", "Out of memory" },
	  { "Riprovare tra qualche secondo.", "Try again in a few seconds." } },
	{ 0, 500, 500, "internal", { "Errore interno", "Internal error" },
	  { "L'errore è nel registro del server.", "The error is in the server's log." } },
};

static const struct failure *failure_of(int err)
{
	const struct failure *failure = failures;

	while (failure->err && failure->err != err)
		failure++;
	return failure;
}

/* ------------------------------------------------------------------ answers */

/* As rest_answer() with another XML root than <result>. */
static int answer_root(struct rest *rest, int status, const char *root, json_t *value)
{
	struct web_text *out = &rest->resp->body;

	if (!value)
		return -ENOMEM;
	web_text_free(out);
	if (rest->repr == REPR_XML) {
		web_xml_print(out, root, value);
	} else {
		char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		if (!text) {
			json_decref(value);
			return -ENOMEM;
		}
		web_text_puts(out, text);
		free(text);
	}
	json_decref(value);
	rest->resp->status = status;
	rest->resp->ctype = web_repr_ctype(rest->repr == REPR_XML ? REPR_XML : REPR_JSON);
	return out->failed ? -ENOMEM : 0;
}

int rest_answer(struct rest *rest, int status, json_t *value)
{
	return answer_root(rest, status, "result", value);
}

int rest_answer_text(struct rest *rest, int status, const char *ctype, struct web_text *text)
{
	if (text->failed) {
		web_text_free(text);
		return -ENOMEM;
	}
	web_text_free(&rest->resp->body);
	rest->resp->body = *text;
	*text = (struct web_text){ 0 };
	rest->resp->status = status;
	rest->resp->ctype = ctype;
	return 0;
}

int rest_answer_empty(struct rest *rest, int status)
{
	web_text_free(&rest->resp->body);
	rest->resp->status = status;
	rest->resp->ctype = NULL;
	return 0;
}

void rest_header(struct rest *rest, const char *name, const char *fmt, ...)
{
	char value[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	for (char *p = value; *p; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
	web_text_printf(&rest->resp->head, "%s: %s\r\n", name, value);
}

int rest_problem(struct rest *rest, int err, const char *code, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	rest->problem_code = code;
	rest->problem_detail = arena_strdup(rest->req->arena, text);
	return err;
}

static json_t *problem_errors(const struct rest *rest)
{
	json_t *errors = json_array();

	for (size_t i = 0; i < rest->ctx.n_problems; i++) {
		const struct sch_problem *p = &rest->ctx.problems[i];

		json_array_append_new(errors, json_pack("{s:s*,s:s*,s:s}", "field", p->field, "code",
							p->code, "message", p->message));
	}
	return errors;
}

/* RFC 9457, in JSON or, on /rest/, XML with root <error> (D-227). */
static void answer_problem(struct rest *rest, int err)
{
	const struct failure *failure = failure_of(err);
	bool v2 = rest->family == FAMILY_V2;
	int status = v2 ? failure->status_v2 : failure->status_rest;
	json_t *doc;

	if (status == 500)
		log_error("web.failed", "a request failed", kv_text("path", rest->req->path),
			  kv_text("method", web_method_name(rest->req->method)), kv_err(err));
	if (status == 503)
		rest_header(rest, "Retry-After", "2");

	doc = json_pack("{s:s,s:s,s:i,s:s,s:s}", "type", "about:blank", "title",
			REST_TEXT(rest, failure->title.it, failure->title.en), "status", status,
			"detail",
			rest->problem_detail ? rest->problem_detail :
				REST_TEXT(rest, failure->detail.it, failure->detail.en),
			"code", rest->problem_code ? rest->problem_code : failure->code);
	if (doc && rest->ctx.n_problems)
		json_object_set_new(doc, "errors", problem_errors(rest));
	if (rest->repr != REPR_XML)
		rest->repr = REPR_JSON;
	if (answer_root(rest, status, "error", doc)) {
		rest_answer_empty(rest, 503);
		return;
	}
	if (rest->repr == REPR_JSON)
		rest->resp->ctype = "application/problem+json";
	rest_header(rest, "Cache-Control", "no-store");
}

/* ------------------------------------------------------------------ bodies */

int rest_body(struct rest *rest, const struct sch_entity *entity, json_t **ret)
{
	struct web_req *req = rest->req;
	enum web_body kind = web_body_kind(req->headers[H_CONTENT_TYPE]);
	char text[160] = "";
	json_t *body = NULL;
	int err;

	if (!req->body_len)
		return rest_problem(rest, -EBADBODY, "empty_body",
				    REST_TEXT(rest, "Manca il corpo della richiesta.",
					      "The request has no body."));
	if (kind == BODY_NONE)
		kind = BODY_JSON;
	if (rest->family == FAMILY_V2 && kind != BODY_JSON)
		kind = BODY_OTHER; /* D-222: JSON only */
	switch (kind) {
	case BODY_JSON:
		err = js_parse(&body, req->body, req->body_len, text, sizeof(text));
		break;
	case BODY_XML:
		err = web_xml_parse(&body, req->body, req->body_len, text, sizeof(text));
		break;
	case BODY_FORM:
		err = web_form_parse(&body, req->body, req->body_len, text, sizeof(text));
		break;
	default:
		return rest_problem(rest, -EMEDIATYPE, "media_type",
				    rest->family == FAMILY_V2 ?
					    REST_TEXT(rest, "Inviare il corpo come application/json.",
						      "Send the body as application/json.") :
					    REST_TEXT(rest,
						      "Inviare il corpo come application/json, application/xml o modulo.",
						      "Send the body as application/json, application/xml or a form."));
	}
	if (err == -ENOMEM)
		return err;
	if (err)
		return rest_problem(rest, -EBADBODY, "malformed_body",
				    REST_TEXT(rest, "Il corpo non è leggibile: %s",
					      "The body cannot be read: %s"), text);
	if (!json_is_object(body)) {
		json_decref(body);
		return rest_problem(rest, -EBADBODY, "malformed_body",
				    REST_TEXT(rest, "Il corpo deve essere un oggetto.",
					      "The body must be an object."));
	}
	if (kind != BODY_JSON && entity)
		web_coerce(body, entity);
	*ret = body;
	return 0;
}

/* ------------------------------------------------------------------ ETag */

void rest_etag(struct rest *rest, int64_t revision)
{
	const char *wanted = rest->req->headers[H_IF_NONE_MATCH];
	uint8_t hash[SHA256_DIGEST_LENGTH];
	char etag[64];
	int n;

	if (rest->resp->status != 200 || !rest->resp->body.text)
		return;
	SHA256((const uint8_t *)rest->resp->body.text, rest->resp->body.len, hash);
	/* The revision lets If-Match name a state of the object; the hash tells representations and
	 * values that come from a template apart. */
	n = snprintf(etag, sizeof(etag), "\"%lld.", (long long)revision);
	for (int i = 0; i < 8; i++)
		n += snprintf(etag + n, sizeof(etag) - (size_t)n, "%02x", hash[i]);
	snprintf(etag + n, sizeof(etag) - (size_t)n, "\"");
	rest_header(rest, "ETag", "%s", etag);
	rest_header(rest, "Cache-Control", "private, no-cache");
	if (wanted && (strstr(wanted, etag) || !strcmp(wanted, "*")))
		rest_answer_empty(rest, 304);
}

/* ------------------------------------------------------------------ routing */

int route_match(const char *pattern, const char *path, struct arena *arena,
		const char *params[REST_MAX_PARAMS])
{
	int n = 0;

	for (;;) {
		size_t pattern_len = strcspn(pattern, "/"), path_len = strcspn(path, "/");

		if (!path_len && pattern_len)
			return -ENOENT;
		if (*pattern == '{') {
			if (n == REST_MAX_PARAMS)
				return -ENOENT;
			params[n] = arena_strndup(arena, path, path_len);
			if (!params[n++])
				return -ENOENT;
		} else if (pattern_len != path_len || strncmp(pattern, path, path_len)) {
			return -ENOENT;
		}
		pattern += pattern_len;
		path += path_len;
		if (!*pattern)
			break;
		if (*path != '/')
			return -ENOENT;
		pattern++;
		path++;
	}
	/* A trailing slash is tolerated (D-220). */
	return !*path || !strcmp(path, "/") ? n : -ENOENT;
}

static const char *family_of(const char *path, enum rest_family *family)
{
	static const struct {
		const char *prefix;
		enum rest_family family;
	} prefixes[] = {
		{ "/rest/", FAMILY_REST },
		{ "/api/pbx/v2/", FAMILY_V2 },
		{ "/", FAMILY_ROOT },
	};

	for (size_t i = 0;; i++) {
		size_t len = strlen(prefixes[i].prefix);

		if (!strncmp(path, prefixes[i].prefix, len)) {
			*family = prefixes[i].family;
			return path + len;
		}
	}
}

/* The first parameter of these patterns is the name of an entity. */
static bool names_entity(const char *pattern)
{
	return !strncmp(pattern, "{entity}", 8) || !strncmp(pattern, "{settings}", 10);
}

static const struct sch_entity *entity_of(const char *pattern, const char *name)
{
	const struct sch_entity *entity = sch_find(name);
	char rest_name[64];

	if (!entity)
		return NULL;
	/* D-220: lowerCamelCase only; the table's name is no path. */
	sch_rest_name(rest_name, sizeof(rest_name), entity);
	if (strcmp(rest_name, name))
		return NULL;
	return entity->singleton == (pattern[1] == 's') ? entity : NULL;
}

/* Finds the route; -ENOENT, or -EMETHOD with the Allow header set. */
static int find_route(struct rest *rest, const char *path)
{
	unsigned method = rest->req->method == WEB_HEAD ? WEB_GET : rest->req->method;
	unsigned allowed = 0;
	char allow[96] = "";

	for (size_t i = 0; i < web_n_routes; i++) {
		const struct route *route = &web_routes[i];
		const struct sch_entity *entity = NULL;
		const char *params[REST_MAX_PARAMS] = { NULL };
		int n;

		if (!(route->families & 1u << rest->family))
			continue;
		n = route_match(route->pattern, path, rest->req->arena, params);
		if (n < 0)
			continue;
		if (route->entity)
			entity = sch_find(route->entity);
		if (names_entity(route->pattern)) {
			entity = entity_of(route->pattern, params[0]);
			if (!entity)
				continue;
		}
		allowed |= route->methods;
		if (!(route->methods & method))
			continue;
		rest->route = route;
		rest->entity = entity;
		rest->n_params = (size_t)n;
		memcpy(rest->params, params, sizeof(params));
		return 0;
	}
	if (!allowed)
		return -ENOENT;
	for (unsigned m = WEB_GET; m <= WEB_DELETE; m <<= 1)
		if (allowed & m)
			snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s",
				 *allow ? ", " : "", web_method_name(m));
	if (allowed & WEB_GET)
		strcat(allow, ", HEAD");
	rest_header(rest, "Allow", "%s", allow);
	return -EMETHOD;
}

static int choose_repr(struct rest *rest)
{
	unsigned offered = rest->route->offered;
	enum web_repr fallback = REPR_JSON;
	int repr;

	if (rest->family == FAMILY_REST && (!offered || offered & REPR_MASK(REPR_XML)))
		fallback = REPR_XML;
	if (!offered)
		offered = REPR_MASK(REPR_JSON) |
			  (rest->family == FAMILY_REST ? REPR_MASK(REPR_XML) : 0);
	if (rest->family == FAMILY_V2)
		return 0; /* D-222: JSON always */
	/* An address that has one form only, such as export.csv, says so itself. */
	if (!(offered & (offered - 1)))
		return 0;
	repr = web_repr_choose(rest->req->headers[H_ACCEPT], offered, fallback);
	if (repr < 0)
		return -ENOTACCEPTABLE;
	rest->repr = (enum web_repr)repr;
	return 0;
}

static int check_access(struct rest *rest)
{
	const struct route *route = rest->route;
	const char *permission = route->permission;
	enum sch_level held;

	if (route->access != ACCESS_LEVEL)
		return 0;
	if (!permission)
		permission = rest->entity->permission;
	held = principal_level(rest->who, permission);
	/* Protected rows have a permission of their own; which rows are seen is the registry's work
	 * (D-042). */
	if (!route->permission && rest->entity->guard_permission) {
		enum sch_level guarded = principal_level(rest->who, rest->entity->guard_permission);

		held = guarded > held ? guarded : held;
	}
	if (held < route->level)
		return rest_problem(rest, -EFORBIDDEN, "forbidden",
				    REST_TEXT(rest, "Serve il permesso \"%s\" a livello \"%s\".",
					      "This needs the permission \"%s\" at level \"%s\"."),
				    permission, sch_level_name(route->level));
	return 0;
}

/* Whose rows the handlers see: the caller's own, always (D-226). */
static int set_context(struct rest *rest)
{
	struct principal *who = rest->who;
	struct sch_ctx *ctx = &rest->ctx;

	ctx->db = rest->db;
	ctx->lang = rest->lang;
	ctx->arena = rest->req->arena;
	ctx->address = rest->req->address;
	if (!who)
		return 0;
	ctx->tenant_id = who->user.tenant_id;
	ctx->user_id = who->user.id;
	ctx->user_name = who->full_name;
	ctx->levels = who->user.levels;
	ctx->role_id = who->user.role_id;
	ctx->role_priority = who->user.role_priority;
	if (!rest->entity)
		return 0;
	if (rest->entity->scope == SCH_PBX) {
		bool reads = rest->entity->shared && rest->req->method & WEB_READS;

		if (!who->node_rights && !reads)
			return rest_problem(rest, -EFORBIDDEN, "node_only",
					    REST_TEXT(rest, "Riservato all'amministratore della macchina.",
						      "Only the machine's administrator may do this."));
		ctx->tenant_id = 0;
	} else if (rest->entity->scope == SCH_TENANT && !who->user.tenant_id) {
		return rest_problem(rest, -EFORBIDDEN, "tenant_only",
				    REST_TEXT(rest, "Un utente di macchina non agisce dentro un tenant.",
					      "A machine user does not act inside a tenant."));
	}
	return 0;
}

static int run_route(struct rest *rest, const char *path)
{
	int err = find_route(rest, path);

	if (err)
		return err;
	err = choose_repr(rest);
	if (err)
		return err;
	if (!rest->db)
		return -EPIPE;
	if (rest->req->principal) { /* an upload, on its second visit */
		rest->who = rest->req->principal;
		rest->req->principal = NULL;
		if (!rest->req->headers[H_ACCEPT_LANGUAGE] && *rest->who->language)
			rest->lang = *rest->who->language == 'i' ? SCH_IT : SCH_EN;
	} else if (rest->route->access != ACCESS_ANONYMOUS) {
		err = auth_request(rest, rest->route->access == ACCESS_DOC && rest->req->loopback);
		if (err)
			return err;
	}
	err = check_access(rest);
	if (err)
		return err;
	err = set_context(rest);
	if (err)
		return err;
	if (rest->req->is_upload && !rest->req->is_admitted) {
		err = upload_admit(rest);
		if (!err) {
			rest->req->principal = rest->who;
			rest->who = NULL;
		}
		return err;
	}
	if (web_cache_answer(rest))
		return 0;
	return rest->route->handler(rest);
}

void rest_run(struct web *web, struct db *db, struct web_req *req)
{
	struct rest rest = { .web = web, .db = db, .req = req, .resp = &req->resp };
	const char *path = family_of(req->path, &rest.family);
	int err;

	rest.lang = *web_language(req->headers[H_ACCEPT_LANGUAGE], "en") == 'i' ? SCH_IT : SCH_EN;
	if (rest.family == FAMILY_REST) {
		int repr = web_repr_choose(req->headers[H_ACCEPT],
					   REPR_MASK(REPR_JSON) | REPR_MASK(REPR_XML), REPR_XML);

		rest.repr = repr == REPR_JSON ? REPR_JSON : REPR_XML; /* of problems */
	}
	if (req->is_socket) {
		err = db ? auth_request(&rest, false) : -EPIPE;
		req->principal = err ? NULL : rest.who;
		if (err)
			principal_free(rest.who);
		return;
	}

	if (!web_utf8_valid(req->path, strlen(req->path)))
		err = -EBADPATH;
	else
		err = run_route(&rest, path);
	if (err == -ENOENT && !rest.route && rest.family == FAMILY_ROOT && strncmp(path, "api/", 4))
		err = files_answer(&rest);
	if (err)
		answer_problem(&rest, err);
	else if (!req->resp.shared && req->resp.body.failed)
		answer_problem(&rest, -ENOMEM);

	json_decref(rest.ctx.generated);
	json_decref(rest.ctx.reset);
	principal_free(rest.who);
	log_context_set(NULL, NULL);
}
