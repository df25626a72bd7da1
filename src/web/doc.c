/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "web/rest.h"
#include "web/web_priv.h"

/* API-09, D-237: everything is generated from the router table and the registry. */

static json_t *path_parameters(const char *pattern)
{
	json_t *params = json_array();

	for (const char *p = strchr(pattern, '{'); p; p = strchr(p, '{')) {
		size_t len = strcspn(++p, "}");

		json_array_append_new(params, json_pack("{s:s%,s:s,s:b,s:{s:s}}", "name", p, len, "in",
							"path", "required", 1, "schema", "type",
							"string"));
	}
	return params;
}

static json_t *operation(const struct route *route, const char *id)
{
	json_t *op = json_pack("{s:s,s:s,s:[s],s:{s:{s:s},s:{s:s}}}", "operationId", id, "summary",
			       route->summary, "tags", route->tag, "responses", "200", "description",
			       "Success", "default", "description",
			       "RFC 9457 problem document with type, title, status, detail, code, errors");
	json_t *params = path_parameters(route->pattern);

	if (json_array_size(params))
		json_object_set(op, "parameters", params);
	json_decref(params);
	if (route->access == ACCESS_ANONYMOUS)
		json_object_set_new(op, "security", json_array());
	if (route->upload)
		json_object_set_new(
			op, "requestBody",
			json_pack("{s:{s:{s:{s:s,s:{s:{s:s,s:s}}}},s:{s:{s:s,s:s}}}}", "content",
				  "multipart/form-data", "schema", "type", "object", "properties", "file",
				  "type", "string", "format", "binary", "application/octet-stream",
				  "schema", "type", "string", "format", "binary"));
	else if (route->methods & (WEB_POST | WEB_PUT | WEB_PATCH))
		json_object_set_new(op, "requestBody",
				    json_pack("{s:{s:{s:{s:s}}}}", "content", "application/json",
					      "schema", "type", "object"));
	return op;
}

/* "get_rest_cdr_format": stable and unique. */
static void operation_id(char *buf, size_t size, const char *method, const char *path)
{
	size_t n = (size_t)snprintf(buf, size, "%s", method);

	for (char *p = buf; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	for (const char *p = path; *p && n + 1 < size; p++) {
		if (isalnum((unsigned char)*p))
			buf[n++] = *p;
		else if (n && buf[n - 1] != '_')
			buf[n++] = '_';
	}
	while (n && buf[n - 1] == '_')
		n--;
	buf[n] = '\0';
}

static void add_route(json_t *paths, const struct route *route, const char *prefix)
{
	char path[160], id[200], method[12];
	json_t *item;

	snprintf(path, sizeof(path), "%s%s", prefix, route->pattern);
	item = json_object_get(paths, path);
	if (!item) {
		item = json_object();
		json_object_set_new(paths, path, item);
	}
	snprintf(method, sizeof(method), "%s", web_method_name((enum web_method)route->methods));
	operation_id(id, sizeof(id), method, path);
	for (char *p = method; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	json_object_set_new(item, method, operation(route, id));
}

static json_t *security_schemes(void)
{
	return json_pack(
		"{s:{s:s,s:s,s:s,s:s},s:{s:s,s:s,s:s,s:s}}", "xAuthenticate", "type", "apiKey", "in",
		"header", "name", "X-authenticate", "description",
		"Single-use header, see the introduction of the documentation", "session", "type",
		"apiKey", "in", "cookie", "name", "aoide_session", "description",
		"Browser session; changes also need X-CSRF-Token");
}

static int make_document(json_t **ret)
{
	json_t *paths = json_object();
	json_t *doc = json_pack("{s:s,s:{s:s,s:s,s:s},s:[{s:s}],s:o,s:{s:o},s:[{s:[]},{s:[]}]}",
				"openapi", "3.0.3", "info", "title", "Aoide REST API", "version",
				AOIDE_VERSION, "description",
				"Two families over the same handlers: /rest/ (compatible, XML or JSON by "
				"Accept) and /api/pbx/v2/ (JSON).",
				"servers", "url", "/", "paths", paths, "components",
				"securitySchemes", security_schemes(), "security", "xAuthenticate",
				"session");
	int err;

	if (!doc)
		return -ENOMEM;
	for (size_t i = 0; i < web_n_routes; i++) {
		const struct route *route = &web_routes[i];

		if (!route->tag)
			continue;
		if (route->families & 1u << FAMILY_REST)
			add_route(paths, route, "/rest/");
		if (route->families & 1u << FAMILY_V2)
			add_route(paths, route, "/api/pbx/v2/");
	}
	err = sch_openapi(doc);
	if (err)
		json_decref(doc);
	else
		*ret = doc;
	return err;
}

int rest_doc_json(struct rest *rest)
{
	json_t *doc = NULL;
	int err = make_document(&doc);

	if (err)
		return err;
	err = rest_answer(rest, 200, doc);
	if (!err)
		rest_etag(rest, 1);
	return err;
}

/* ------------------------------------------------------------------ the page for people */

static const char page_head[] =
	"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
	"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
	"<title>Aoide REST API</title><style>"
	":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:70em;"
	"margin:2em auto;padding:0 1em}code,pre{font:13px/1.4 ui-monospace,monospace}"
	"pre{padding:1em;overflow:auto;border:1px solid #8888;border-radius:6px}"
	"h2{margin-top:2em;border-bottom:1px solid #8888}summary{cursor:pointer}"
	"details{margin:.3em 0;padding:.3em .6em;border:1px solid #8884;border-radius:6px}"
	"table{border-collapse:collapse;margin:.5em 0}td,th{padding:.2em .8em .2em 0;"
	"text-align:left;vertical-align:top}"
	/* On a phone nothing is wider than the screen: long paths break, examples scroll by themselves. */
	"code,td,th,summary{overflow-wrap:anywhere}.m{display:inline-block;width:4.5em;font-weight:700}"
	".GET{color:#2a7}.POST{color:#27c}.PUT,.PATCH{color:#b70}.DELETE{color:#c33}"
	"</style></head><body><h1>Aoide REST API</h1>"
	"<p>Machine readable: <a href=\"/api/doc.json\">OpenAPI 3.0.3</a>, "
	"<a href=\"/api/doc/postman.json\">Postman collection</a> that signs its requests.</p>"
	"<h2>Signing a request</h2>"
	"<p>Each request carries a header of its own making, valid once and for five minutes. The "
	"password itself never travels.</p><pre>"
	"salt           = GET /rest/salt/&lt;domain&gt;          (domain pbxAdmin for machine users)\n"
	"digestPassword = hex(sha256(password + \"{\" + salt + \"}\"))\n"
	"digest         = base64(sha256(nonce + digestPassword + username + domain + created))\n\n"
	"X-authenticate: RestApiUsernameToken Username=\"admin\", Domain=\"default\",\n"
	"  Digest=\"...\", Nonce=\"&lt;8 or more random hex digits&gt;\", "
	"Created=\"2016-04-29T15:48:26Z\"</pre>"
	"<p>Bash:</p><pre>"
	"user=admin domain=default password=secret pbx=https://127.0.0.1:8443\n"
	"salt=$(curl -sk -H 'Accept: text/plain' $pbx/rest/salt/$domain)\n"
	"dp=$(printf '%s{%s}' \"$password\" \"$salt\" | sha256sum | cut -c1-64)\n"
	"nonce=$(openssl rand -hex 16) created=$(date -u +%Y-%m-%dT%H:%M:%SZ)\n"
	"digest=$(printf '%s' \"$nonce$dp$user$domain$created\" | openssl sha256 -binary | base64)\n"
	"curl -sk -H 'Accept: application/json' -H \"X-authenticate: RestApiUsernameToken "
	"Username=\\\"$user\\\", Domain=\\\"$domain\\\", Digest=\\\"$digest\\\", Nonce=\\\"$nonce\\\", "
	"Created=\\\"$created\\\"\" $pbx/rest/extension</pre>";


static void page_schema_rows(struct web_text *out, const json_t *schema)
{
	const json_t *properties = json_object_get(schema, "properties");
	const char *name;
	json_t *property;

	if (!json_object_size(properties))
		return;
	web_text_puts(out, "<table><tr><th>member</th><th>type</th><th></th></tr>");
	json_object_foreach((json_t *)properties, name, property) {
		web_text_puts(out, "<tr><td><code>");
		web_text_xml(out, name);
		web_text_puts(out, "</code></td><td>");
		web_text_xml(out, js_str(property, "type", "object"));
		web_text_puts(out, "</td><td>");
		web_text_xml(out, js_str(property, "description", js_str(property, "title", "")));
		web_text_puts(out, "</td></tr>");
	}
	web_text_puts(out, "</table>");
}

static void page_operation(struct web_text *out, const char *method, const char *path, json_t *op)
{
	json_t *params = json_object_get(op, "parameters"), *param;
	char upper[12];
	size_t i;

	snprintf(upper, sizeof(upper), "%s", method);
	for (char *p = upper; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	web_text_printf(out, "<details><summary><span class=\"m %s\">%s</span><code>", upper, upper);
	web_text_xml(out, path);
	web_text_puts(out, "</code> ");
	web_text_xml(out, js_str(op, "summary", ""));
	web_text_puts(out, "</summary>");
	if (json_array_size(params)) {
		web_text_puts(out, "<table><tr><th>parameter</th><th>in</th><th></th></tr>");
		json_array_foreach(params, i, param) {
			web_text_puts(out, "<tr><td><code>");
			web_text_xml(out, js_str(param, "name", js_str(param, "$ref", "")));
			web_text_puts(out, "</code></td><td>");
			web_text_xml(out, js_str(param, "in", ""));
			web_text_puts(out, "</td><td>");
			web_text_xml(out, js_str(param, "description", ""));
			web_text_puts(out, "</td></tr>");
		}
		web_text_puts(out, "</table>");
	}
	web_text_puts(out, "</details>");
}

int rest_doc_html(struct rest *rest)
{
	struct web_text out = { 0 };
	json_t *doc = NULL, *item, *op, *schema;
	const char *path, *method, *name;
	int err = make_document(&doc);

	if (err)
		return err;
	web_text_puts(&out, page_head);
	web_text_puts(&out, "<h2>Operations</h2>");
	json_object_foreach(json_object_get(doc, "paths"), path, item)
		json_object_foreach(item, method, op)
			if (json_is_object(op))
				page_operation(&out, method, path, op);
	web_text_puts(&out, "<h2>Objects</h2>");
	json_object_foreach(json_object_get(json_object_get(doc, "components"), "schemas"), name,
			    schema) {
		web_text_puts(&out, "<details><summary><code>");
		web_text_xml(&out, name);
		web_text_puts(&out, "</code></summary>");
		page_schema_rows(&out, schema);
		web_text_puts(&out, "</details>");
	}
	web_text_puts(&out, "</body></html>");
	json_decref(doc);
	return rest_answer_text(rest, 200, web_repr_ctype(REPR_HTML), &out);
}

/* ------------------------------------------------------------------ Postman */

/* Runs in Postman before each request: only address, user and password are to be set. */
static const char *const sign_script[] = {
	"const v = k => pm.collectionVariables.get(k) || '';",
	"const sha = (t, enc) => CryptoJS.SHA256(t).toString(enc);",
	"const user = v('username'), domain = v('domain');",
	"pm.sendRequest({ url: v('pbx') + '/rest/salt/' + (domain || 'pbxAdmin'), method: 'GET',",
	"  header: { Accept: 'application/json' } }, (err, res) => {",
	"  if (err) { throw err; }",
	"  const dp = sha(v('password') + '{' + res.json().salt + '}', CryptoJS.enc.Hex);",
	"  const nonce = CryptoJS.lib.WordArray.random(16).toString();",
	"  const created = new Date().toISOString().slice(0, 19) + 'Z';",
	"  const digest = sha(nonce + dp + user + domain + created, CryptoJS.enc.Base64);",
	"  pm.request.headers.upsert({ key: 'X-authenticate', value:",
	"    `RestApiUsernameToken Username=\"${user}\", Domain=\"${domain}\", Digest=\"${digest}\", ` +",
	"    `Nonce=\"${nonce}\", Created=\"${created}\"` });",
	"});",
};

static json_t *postman_script(void)
{
	json_t *lines = json_array();

	for (size_t i = 0; i < sizeof(sign_script) / sizeof(sign_script[0]); i++)
		json_array_append_new(lines, json_string(sign_script[i]));
	return json_pack("[{s:s,s:{s:s,s:o}}]", "listen", "prerequest", "script", "type",
			 "text/javascript", "exec", lines);
}

/* "/rest/extension/{exten}" as Postman writes it: {{pbx}}/rest/extension/:exten */
static json_t *postman_request(const char *method, const char *path, json_t *op)
{
	struct web_text url = { 0 };
	json_t *request;
	char upper[12];

	snprintf(upper, sizeof(upper), "%s", method);
	for (char *p = upper; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	web_text_puts(&url, "{{pbx}}");
	for (const char *p = path; *p; p++)
		if (*p == '{')
			web_text_add(&url, ":", 1);
		else if (*p != '}')
			web_text_add(&url, p, 1);
	request = json_pack("{s:s,s:{s:s,s:s,s:[{s:s,s:s},{s:s,s:s}]}}", "name",
			    js_str(op, "summary", path), "request", "method", upper, "url",
			    url.text ? url.text : "", "header", "key", "Accept", "value",
			    "application/json", "key", "Content-Type", "value", "application/json");
	web_text_free(&url);
	return request;
}

int rest_doc_postman(struct rest *rest)
{
	json_t *doc = NULL, *item, *op, *items;
	const char *path, *method;
	int err = make_document(&doc);

	if (err)
		return err;
	items = json_array();
	json_object_foreach(json_object_get(doc, "paths"), path, item)
		json_object_foreach(item, method, op)
			if (json_is_object(op))
				json_array_append_new(items, postman_request(method, path, op));
	json_decref(doc);
	rest_header(rest, "Content-Disposition", "attachment; filename=\"aoide.postman.json\"");
	return rest_answer(
		rest, 200,
		json_pack("{s:{s:s,s:s},s:o,s:o,s:[{s:s,s:s},{s:s,s:s},{s:s,s:s},{s:s,s:s}]}", "info",
			  "name", "Aoide REST API", "schema",
			  "https://schema.getpostman.com/json/collection/v2.1.0/collection.json", "item",
			  items, "event", postman_script(), "variable", "key", "pbx", "value",
			  "https://127.0.0.1:8443", "key", "username", "value", "admin", "key", "domain",
			  "value", "default", "key", "password", "value", ""));
}
