/* SPDX-License-Identifier: Apache-2.0 */
#include "webfix.h"

static int64_t id_of(const struct reply *r)
{
	return json_integer_value(json_object_get(r->json, "id"));
}

static void salt_in_every_form(void **state)
{
	struct fix *f = *state;
	struct reply r;
	char first[64], want[100];

	ask(f, &r, "GET", "/rest/salt/default", "Accept: application/json\r\n", NULL);
	assert_int_equal(r.status, 200);
	assert_string_equal(json_string_value(json_object_get(r.json, "salt")), f->salt);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/salt/default", "", NULL);
	snprintf(want, sizeof(want), "<result><salt>%s</salt></result>", f->salt);
	assert_non_null(strstr(r.body, want));
	assert_string_equal(header_of(&r, "content-type"), "application/xml; charset=utf-8");
	reply_free(&r);
	ask(f, &r, "GET", "/rest/salt/default/", "Accept: text/plain\r\n", NULL);
	assert_string_equal(r.body, f->salt);
	reply_free(&r);
	/* D-225: a domain that does not exist looks the same, and keeps its salt. */
	ask(f, &r, "GET", "/rest/salt/nobody", "Accept: text/plain\r\n", NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(r.body_len, 32);
	snprintf(first, sizeof(first), "%s", r.body);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/salt/NoBody", "Accept: text/plain\r\n", NULL);
	assert_string_equal(r.body, first);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/salt/pbxAdmin", "Accept: application/json\r\n", NULL);
	assert_int_equal(r.status, 200);
	reply_free(&r);
}

static void signed_requests(void **state)
{
	struct fix *f = *state;
	struct reply r, again;
	char headers[2048], *unauthorised;

	snprintf(headers, sizeof(headers), "%s", sign(f));
	ask(f, &r, "GET", "/rest/extension", headers, NULL);
	assert_int_equal(r.status, 200);
	assert_true(json_is_array(r.json));
	reply_free(&r);

	/* Replayed, then every other way to fail: one and the same answer. */
	ask(f, &r, "GET", "/rest/extension", headers, NULL);
	assert_int_equal(r.status, 401);
	unauthorised = strdup(r.body);
	reply_free(&r);
	snprintf(headers, sizeof(headers), "%s", sign_as(f, "admin", "default", "wrong", JSON_IN));
	ask(f, &again, "GET", "/rest/extension", headers, NULL);
	assert_int_equal(again.status, 401);
	assert_string_equal(again.body, unauthorised);
	reply_free(&again);
	snprintf(headers, sizeof(headers), "%s", sign_as(f, "nobody", "default", ADMIN_PASSWORD, JSON_IN));
	ask(f, &again, "GET", "/rest/extension", headers, NULL);
	assert_string_equal(again.body, unauthorised);
	reply_free(&again);
	snprintf(headers, sizeof(headers), "%s", sign_as(f, "admin", "elsewhere", ADMIN_PASSWORD, JSON_IN));
	ask(f, &again, "GET", "/rest/extension", headers, NULL);
	assert_string_equal(again.body, unauthorised);
	reply_free(&again);
	ask(f, &again, "GET", "/rest/extension", "Accept: application/json\r\nX-Authenticate: garbage\r\n", NULL);
	assert_string_equal(again.body, unauthorised);
	reply_free(&again);
	ask(f, &again, "GET", "/rest/extension", "Accept: application/json\r\n", NULL);
	assert_string_equal(again.body, unauthorised);
	reply_free(&again);
	free(unauthorised);
}

static void failures_are_limited(void **state)
{
	struct fix *f = *state;
	struct reply r;

	for (int i = 0; i < 10; i++) {
		ask(f, &r, "GET", "/rest/account", sign_as(f, "mario", "default", "wrong", JSON_IN), NULL);
		assert_int_equal(r.status, 401);
		reply_free(&r);
	}
	ask(f, &r, "GET", "/rest/account", sign_as(f, "mario", "default", "wrong", JSON_IN), NULL);
	assert_int_equal(r.status, 429);
	assert_true(atoi(header_of(&r, "retry-after")) > 0);
	reply_free(&r);
	/* Others are not touched. */
	ask(f, &r, "GET", "/rest/account", sign(f), NULL);
	assert_int_equal(r.status, 200);
	reply_free(&r);
}

static void extension_life_cycle(void **state)
{
	struct fix *f = *state;
	struct reply r;
	char path[80], headers[3000], etag[80];
	int64_t id;

	ask(f, &r, "POST", "/api/pbx/v2/extension", sign(f), "{\"number\":\"201\",\"first_name\":\"Anna\"}");
	assert_int_equal(r.status, 201);
	assert_non_null(header_of(&r, "location"));
	id = id_of(&r);
	reply_free(&r);

	/* By its number on /rest/, with a trailing slash, in XML. */
	ask(f, &r, "GET", "/rest/extension/201/", sign(f), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(id_of(&r), id);
	snprintf(etag, sizeof(etag), "%.60s", header_of(&r, "etag"));
	reply_free(&r);
	snprintf(headers, sizeof(headers), "%sIf-None-Match: %s\r\n", sign(f), etag);
	ask(f, &r, "GET", "/rest/extension/201", headers, NULL);
	assert_int_equal(r.status, 304);
	assert_int_equal(r.body_len, 0);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/extension/201",
	    sign_as(f, "admin", "default", ADMIN_PASSWORD, "Accept: application/xml\r\n"), NULL);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "<number>201</number>"));
	reply_free(&r);

	/* XML body on /rest/; the same on v2 is refused. */
	ask(f, &r, "PATCH", "/rest/extension/201",
	    sign_as(f, "admin", "default", ADMIN_PASSWORD,
		    "Accept: application/json\r\nContent-Type: application/xml\r\n"),
	    "<extension><last_name>Rossi</last_name><enabled>false</enabled></extension>");
	assert_int_equal(r.status, 200);
	assert_string_equal(json_string_value(json_object_get(r.json, "last_name")), "Rossi");
	assert_true(json_is_false(json_object_get(r.json, "enabled")));
	reply_free(&r);
	snprintf(path, sizeof(path), "/api/pbx/v2/extension/%lld", (long long)id);
	ask(f, &r, "PATCH", path,
	    sign_as(f, "admin", "default", ADMIN_PASSWORD, "Content-Type: application/xml\r\n"), "<a/>");
	assert_int_equal(r.status, 415);
	reply_free(&r);

	/* The old ETag no longer matches. */
	snprintf(headers, sizeof(headers), "%sIf-Match: %s\r\n", sign(f), etag);
	ask(f, &r, "PATCH", path, headers, "{\"last_name\":\"Bianchi\"}");
	assert_int_equal(r.status, 412);
	reply_free(&r);

	/* The same number again: 409 on v2, 400 on /rest/, both name the field. */
	ask(f, &r, "POST", "/api/pbx/v2/extension", sign(f), "{\"number\":\"201\"}");
	assert_int_equal(r.status, 409);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(r.json, "errors"), 0), "field")),
			    "number");
	reply_free(&r);
	ask(f, &r, "POST", "/rest/extension", sign(f), "{\"number\":\"201\"}");
	assert_int_equal(r.status, 400);
	reply_free(&r);
	ask(f, &r, "POST", "/api/pbx/v2/extension", sign(f), "{\"number\":\"abc\",\"colour\":1}");
	assert_int_equal(r.status, 422);
	assert_true(json_array_size(json_object_get(r.json, "errors")) >= 1);
	reply_free(&r);

	ask(f, &r, "DELETE", path, sign(f), NULL);
	assert_int_equal(r.status, 204);
	reply_free(&r);
	ask(f, &r, "GET", path, sign(f), NULL);
	assert_int_equal(r.status, 404);
	reply_free(&r);
}

static void lists_are_paged(void **state)
{
	struct fix *f = *state;
	struct reply r, second;
	char body[80];

	for (int i = 0; i < 12; i++) {
		snprintf(body, sizeof(body), "{\"number\":\"3%02d\"}", i);
		ask(f, &r, "POST", "/rest/extension?apply=false", sign(f), body);
		assert_int_equal(r.status, 201);
		reply_free(&r);
	}
	ask(f, &r, "GET", "/api/pbx/v2/extension?page=2&page_size=5&sort=-number&number~=3", sign(f), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(json_array_size(json_object_get(r.json, "items")), 5);
	assert_int_equal(json_integer_value(json_object_get(r.json, "total")), 12);
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(r.json, "items"), 0), "number")), "306");
	/* A second time from the cache: the same bytes. */
	ask(f, &second, "GET", "/api/pbx/v2/extension?page=2&page_size=5&sort=-number&number~=3", sign(f), NULL);
	assert_string_equal(second.body, r.body);
	reply_free(&second);
	reply_free(&r);
	/* A write shows at once. */
	ask(f, &r, "POST", "/rest/extension?apply=false", sign(f), "{\"number\":\"312\"}");
	assert_int_equal(r.status, 201);
	reply_free(&r);
	ask(f, &r, "GET", "/api/pbx/v2/extension?page=2&page_size=5&sort=-number&number~=3", sign(f), NULL);
	assert_int_equal(json_integer_value(json_object_get(r.json, "total")), 13);
	reply_free(&r);

	ask(f, &r, "GET", "/rest/extension?page=1&page_size=5", sign(f), NULL);
	assert_int_equal(json_array_size(r.json), 5);
	assert_string_equal(header_of(&r, "x-total-count"), "13");
	assert_string_equal(header_of(&r, "link"), "</rest/extension?page_size=5&page=2>; rel=\"next\"");
	reply_free(&r);
	ask(f, &r, "GET", "/rest/extension", sign(f), NULL);
	assert_int_equal(json_array_size(r.json), 13);
	reply_free(&r);
	ask(f, &r, "GET", "/api/pbx/v2/extension?page=0", sign(f), NULL);
	assert_int_equal(r.status, 400);
	reply_free(&r);
	ask(f, &r, "GET", "/api/pbx/v2/extension?nothing=1", sign(f), NULL);
	assert_int_equal(r.status, 422);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/extension/export.csv", sign_as(f, "admin", "default", ADMIN_PASSWORD,
								"Accept: text/csv\r\n"), NULL);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "312"));
	reply_free(&r);
}

static void repeated_post_makes_one(void **state)
{
	struct fix *f = *state;
	struct reply r, again;
	char headers[3000];

	snprintf(headers, sizeof(headers), "%sIdempotency-Key: 7f3a\r\n", sign(f));
	ask(f, &r, "POST", "/rest/extension", headers, "{\"number\":\"250\"}");
	assert_int_equal(r.status, 201);
	snprintf(headers, sizeof(headers), "%sIdempotency-Key: 7f3a\r\n", sign(f));
	ask(f, &again, "POST", "/rest/extension", headers, "{\"number\":\"250\"}");
	assert_int_equal(again.status, 201);
	assert_int_equal(id_of(&again), id_of(&r));
	reply_free(&again);
	reply_free(&r);
}

static void browser_session(void **state)
{
	struct fix *f = *state;
	struct reply r;
	char headers[512];

	ask(f, &r, "GET", "/api/pbx/v2/session", JSON_IN, NULL);
	assert_int_equal(r.status, 401);
	reply_free(&r);
	log_in(f);
	ask(f, &r, "GET", "/api/pbx/v2/session", cookie_headers(f, ""), NULL);
	assert_int_equal(r.status, 200);
	assert_string_equal(json_string_value(json_object_get(r.json, "username")), "admin");
	assert_string_equal(json_string_value(json_object_get(json_object_get(r.json, "permissions"),
							      "extensions")), "write");
	reply_free(&r);

	/* A change without the token of the session, or from another site. */
	snprintf(headers, sizeof(headers), "Cookie: %s\r\n" JSON_IN, f->cookie);
	ask(f, &r, "POST", "/api/pbx/v2/extension", headers, "{\"number\":\"260\"}");
	assert_int_equal(r.status, 403);
	assert_string_equal(code_of(&r), "csrf");
	reply_free(&r);
	ask(f, &r, "POST", "/api/pbx/v2/extension", cookie_headers(f, "Origin: https://evil.example\r\n"),
	    "{\"number\":\"260\"}");
	assert_int_equal(r.status, 403);
	reply_free(&r);
	ask(f, &r, "POST", "/api/pbx/v2/extension", cookie_headers(f, ""), "{\"number\":\"260\"}");
	assert_int_equal(r.status, 201);
	reply_free(&r);

	/* A restart of the process logs nobody out. */
	stop_web(f);
	start_web(f);
	ask(f, &r, "PATCH", "/api/pbx/v2/session", cookie_headers(f, ""), "{\"language\":\"it\"}");
	assert_int_equal(r.status, 200);
	assert_string_equal(json_string_value(json_object_get(r.json, "language")), "it");
	reply_free(&r);
	ask(f, &r, "GET", "/api/pbx/v2/schema", cookie_headers(f, ""), NULL);
	assert_int_equal(r.status, 200);
	reply_free(&r);

	/* A new password ends all other sessions and keeps this one. */
	snprintf(headers, sizeof(headers), "%s", f->cookie);
	log_in(f);
	ask(f, &r, "PUT", "/api/pbx/v2/me/password", cookie_headers(f, ""),
	    "{\"current\":\"" ADMIN_PASSWORD "\",\"password\":\"Altra-Prova-2026!\"}");
	assert_int_equal(r.status, 204);
	reply_free(&r);
	ask(f, &r, "GET", "/api/pbx/v2/session", cookie_headers(f, ""), NULL);
	assert_int_equal(r.status, 200);
	reply_free(&r);
	snprintf(f->cookie, sizeof(f->cookie), "%.120s", headers);
	ask(f, &r, "GET", "/api/pbx/v2/session", cookie_headers(f, ""), NULL);
	assert_int_equal(r.status, 401);
	reply_free(&r);
}

static void malformed_requests(void **state)
{
	static const struct {
		const char *type, *body;
		int status;
	} bodies[] = {
		{ "application/json", "{", 400 }, { "application/json", "", 400 },
		{ "application/json", "[1,2]", 400 }, { "application/json", "{\"number\":\"1\",}", 400 },
		{ "application/json", "{\"number\":\"\xff\xfe\"}", 400 },
		{ "application/json", "{\"a\":1,\"a\":2}", 400 }, { "application/json", "null", 400 },
		{ "application/xml", "<a>", 400 }, { "application/xml", "<!DOCTYPE a><a/>", 400 },
		{ "application/xml", "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><a>&b;</a>", 400 },
		{ "image/png", "xxxx", 415 }, { "application/x-www-form-urlencoded", "a=%zz", 400 },
		{ "application/json", "{\"number\":{\"deep\":[]}}", 400 },
		{ "application/json", "{\"number\":\"12345678901234567890123\"}", 400 },
	};
	static const struct {
		const char *method, *path;
		int status;
	} lines[] = {
		{ "GET", "/rest/nothing", 404 }, { "GET", "/rest/", 404 }, { "GET", "/api/pbx/v2/", 404 },
		{ "DELETE", "/rest/extension", 405 }, { "PUT", "/rest/cdr", 405 },
		{ "GET", "/rest/extension/99999999999999999999999", 404 },
		{ "GET", "/rest/extension/%2e%2e%2fnothing", 404 }, { "GET", "/rest/extension/-1", 404 },
		{ "GET", "/rest/account_template", 404 }, { "GET", "/rest/cdr/summary/16", 400 },
		{ "GET", "/rest/cdr/summary/2016/13", 400 }, { "GET", "/rest/cdr/summary/2016/02/30", 400 },
		{ "GET", "/rest/cdr/unknown", 400 }, { "GET", "/rest/extension?page=x", 400 },
		{ "GET", "/rest/extension?sort=%27%3b--", 400 }, { "GET", "/api/other", 404 },
		{ "POST", "/index.html", 405 },
	};
	struct fix *f = *state;
	struct reply r;
	char more[128], path[4000];

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		snprintf(more, sizeof(more), "Accept: application/json\r\nContent-Type: %s\r\n", bodies[i].type);
		ask(f, &r, "POST", "/rest/extension", sign_as(f, "admin", "default", ADMIN_PASSWORD, more),
		    bodies[i].body);
		if (r.status != bodies[i].status)
			print_message("%s -> %d %s\n", bodies[i].body, r.status, r.body);
		assert_int_equal(r.status, bodies[i].status);
		assert_non_null(json_object_get(r.json, "detail"));
		reply_free(&r);
	}
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		ask(f, &r, lines[i].method, lines[i].path, sign(f), NULL);
		if (r.status != lines[i].status)
			print_message("%s %s -> %d\n", lines[i].method, lines[i].path, r.status);
		assert_int_equal(r.status, lines[i].status);
		assert_non_null(json_object_get(r.json, "detail"));
		reply_free(&r);
	}
	ask(f, &r, "DELETE", "/rest/extension", sign(f), NULL);
	assert_string_equal(header_of(&r, "allow"), "GET, POST, HEAD");
	reply_free(&r);
	ask(f, &r, "GET", "/rest/extension", sign_as(f, "admin", "default", ADMIN_PASSWORD,
						     "Accept: image/png\r\n"), NULL);
	assert_int_equal(r.status, 406);
	reply_free(&r);
	memset(path, 'a', sizeof(path));
	memcpy(path, "/rest/extension/", 16);
	path[sizeof(path) - 1] = '\0';
	ask(f, &r, "GET", path, sign(f), NULL);
	assert_int_equal(r.status, 404);
	reply_free(&r);
	/* The process lives. */
	ask(f, &r, "GET", "/rest/extension", sign(f), NULL);
	assert_int_equal(r.status, 200);
	reply_free(&r);
}

static void odd_connections(void **state)
{
	static const char *const rubbish[] = {
		"\r\n\r\n", "GET\r\n\r\n", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", "\xff\xfe\xfd\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n", "GET http://[::1 HTTP/1.1\r\n\r\n",
		"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /rest/extension HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
		"POST /rest/extension HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde",
		"POST /rest/extension HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"POST /rest/extension HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	};
	static const char two_requests[] = "GET /api/pbx/v2/health HTTP/1.1\r\nHost: a\r\n\r\n"
					   "GET /rest/nothing HTTP/1.1\r\nHost: a\r\n\r\n";
	static const char half[] = "POST /rest/extension HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{";
	static const char quick[] = "GET /rest/salt/default HTTP/1.1\r\nHost: a\r\n\r\n";
	struct fix *f = *state;
	struct reply r;
	char *big = malloc(60000);
	SSL *ssl;

	for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
		ssl = dial(f);
		assert_true(SSL_write(ssl, rubbish[i], (int)strlen(rubbish[i])) > 0);
		SSL_shutdown(ssl);
		read_reply(ssl, false, &r);
		assert_true(r.status != 200 || i == 4);
		reply_free(&r);
		hang_up(ssl);
	}
	/* Headers without end. */
	ssl = dial(f);
	memset(big, 'h', 60000);
	memcpy(big, "GET / HTTP/1.1\r\nX-Big: ", 23);
	(void)SSL_write(ssl, big, 60000);
	read_reply(ssl, false, &r);
	assert_int_not_equal(r.status, 200);
	reply_free(&r);
	hang_up(ssl);
	free(big);

	/* Too large a body is refused before it comes. */
	ask(f, &r, "POST", "/rest/extension", "Content-Length: 2000000\r\n", NULL);
	assert_int_equal(r.status, 413);
	reply_free(&r);

	/* A body that stops half way, and a client that leaves while a worker has his request. */
	ssl = dial(f);
	(void)SSL_write(ssl, half, sizeof(half) - 1);
	hang_up(ssl);
	for (int i = 0; i < 20; i++) {
		ssl = dial(f);
		(void)SSL_write(ssl, quick, sizeof(quick) - 1);
		hang_up(ssl);
	}

	/* Two requests in one packet: two answers, in order. */
	ssl = dial(f);
	assert_int_equal(SSL_write(ssl, two_requests, sizeof(two_requests) - 1), sizeof(two_requests) - 1);
	read_reply(ssl, false, &r);
	assert_int_equal(r.status, 200);
	if (!strstr(r.body, "HTTP/1.1 404")) {
		reply_free(&r);
		read_reply(ssl, false, &r);
		assert_int_equal(r.status, 404);
	}
	reply_free(&r);
	hang_up(ssl);

	/* POST without a body and without its length. */
	log_in(f);
	ask(f, &r, "POST", "/api/pbx/v2/configuration/apply", cookie_headers(f, ""), NULL);
	assert_int_equal(r.status, 200);
	reply_free(&r);
}

/* RFC 9112 section 3.2. */
static void request_heads(void **state)
{
	static const struct {
		const char *text;
		int status;
		const char *says;
	} heads[] = {
		{ "GET /api/pbx/v2/health HTTP/1.1\r\nHost: a\r\n\r\n", 200, "" },
		{ "GET /api/pbx/v2/health HTTP/1.1\r\n\r\n", 400, "Host" },
		{ "GET /api/pbx/v2/health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "more than one Host" },
		{ "GET /api/pbx/v2/health HTTP/1.0\r\n\r\n", 200, "" },
		{ "GET /api/pbx/v2/health?q=a%0Ab&page=2 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "line break" },
		{ "GET /api/pbx/v2/health?q=a%0D%0AX-Authenticate:%20x HTTP/1.1\r\nHost: a\r\n\r\n", 400,
		  "line break" },
	};
	struct fix *f = *state;
	struct reply r;

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		SSL *ssl = dial(f);

		assert_true(SSL_write(ssl, heads[i].text, (int)strlen(heads[i].text)) > 0);
		read_reply(ssl, false, &r);
		assert_int_equal(r.status, heads[i].status);
		assert_non_null(strstr(r.body, heads[i].says));
		reply_free(&r);
		hang_up(ssl);
	}
}

static void security_headers(void **state)
{
	struct fix *f = *state;
	struct reply r;

	ask(f, &r, "GET", "/", "", NULL);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "has not been built"));
	assert_non_null(strstr(header_of(&r, "content-security-policy"), "script-src 'self'"));
	assert_non_null(header_of(&r, "strict-transport-security"));
	assert_string_equal(header_of(&r, "x-content-type-options"), "nosniff");
	assert_string_equal(header_of(&r, "x-frame-options"), "DENY");
	reply_free(&r);
}

static void put_file(struct fix *f, const char *name, const char *text)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->config->www_dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void gui_files(void **state)
{
	struct fix *f = *state;
	struct reply r;
	char path[300];

	snprintf(path, sizeof(path), "%s/assets", f->config->www_dir);
	mkdir(path, 0700);
	put_file(f, "index.html", "<html>app</html>");
	put_file(f, "assets/index-4fa2.js", "run()");
	put_file(f, "assets/index-4fa2.js.gz", "packed");
	put_file(f, "../secret.txt", "secret");

	ask(f, &r, "GET", "/extensions/12", "", NULL);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body, "<html>app</html>");
	assert_string_equal(header_of(&r, "cache-control"), "no-cache");
	reply_free(&r);
	ask(f, &r, "GET", "/assets/index-4fa2.js", "", NULL);
	assert_string_equal(r.body, "run()");
	assert_non_null(strstr(header_of(&r, "cache-control"), "immutable"));
	reply_free(&r);
	ask(f, &r, "GET", "/assets/index-4fa2.js", "Accept-Encoding: gzip, br\r\n", NULL);
	assert_string_equal(r.body, "packed");
	assert_string_equal(header_of(&r, "content-encoding"), "gzip");
	reply_free(&r);
	ask(f, &r, "HEAD", "/assets/index-4fa2.js", "", NULL);
	assert_int_equal(r.status, 200);
	assert_string_equal(header_of(&r, "content-length"), "5");
	assert_int_equal(r.body_len, 0);
	reply_free(&r);
	ask(f, &r, "GET", "/assets/gone-1234.js", "", NULL);
	assert_int_equal(r.status, 404);
	reply_free(&r);
	ask(f, &r, "GET", "/%2e%2e/secret.txt", "", NULL);
	assert_true(r.status != 200 || !strstr(r.body, "secret"));
	reply_free(&r);
	ask(f, &r, "GET", "/assets/..%2f..%2fsecret.txt", "", NULL);
	assert_true(r.status != 200 || !strstr(r.body, "secret"));
	reply_free(&r);
}

static void documentation(void **state)
{
	struct fix *f = *state;
	struct reply r;

	ask(f, &r, "GET", "/api/doc.json", "", NULL);
	assert_int_equal(r.status, 200);
	assert_string_equal(json_string_value(json_object_get(r.json, "openapi")), "3.0.3");
	assert_non_null(json_object_get(json_object_get(r.json, "paths"), "/rest/cdr/{format}"));
	assert_non_null(json_object_get(json_object_get(r.json, "paths"), "/api/pbx/v2/extension"));
	reply_free(&r);
	ask(f, &r, "GET", "/api/doc", "Accept: text/html\r\n", NULL);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "/rest/extension"));
	assert_null(strstr(r.body, "<script"));
	reply_free(&r);
	ask(f, &r, "GET", "/api/doc/postman.json", "", NULL);
	assert_int_equal(r.status, 200);
	assert_non_null(strstr(r.body, "RestApiUsernameToken"));
	reply_free(&r);
}

static void save_and_apply(void **state)
{
	struct fix *f = *state;
	struct reply r;
	json_int_t saved, applied;

	log_in(f);
	ask(f, &r, "POST", "/api/pbx/v2/configuration/apply", cookie_headers(f, ""), "");
	assert_int_equal(r.status, 200);
	reply_free(&r);
	ask(f, &r, "POST", "/api/pbx/v2/extension?apply=false", cookie_headers(f, ""), "{\"number\":\"270\"}");
	assert_int_equal(r.status, 201);
	reply_free(&r);
	ask(f, &r, "GET", "/api/pbx/v2/configuration/revision", cookie_headers(f, ""), NULL);
	assert_int_equal(r.status, 200);
	saved = json_integer_value(json_object_get(r.json, "saved"));
	applied = json_integer_value(json_object_get(r.json, "applied"));
	assert_true(saved > applied);
	assert_true(json_integer_value(json_object_get(r.json, "pending")) >= 1);
	reply_free(&r);
	/* A write with apply takes the waiting one along, half a second later (D-052). */
	ask(f, &r, "POST", "/api/pbx/v2/extension", cookie_headers(f, ""), "{\"number\":\"271\"}");
	assert_int_equal(r.status, 201);
	reply_free(&r);
	for (int i = 0; i < 100; i++) {
		ask(f, &r, "GET", "/api/pbx/v2/configuration/revision", cookie_headers(f, ""), NULL);
		saved = json_integer_value(json_object_get(r.json, "saved"));
		applied = json_integer_value(json_object_get(r.json, "applied"));
		reply_free(&r);
		if (saved == applied)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	assert_int_equal(saved, applied);
}

/* ------------------------------------------------------------------ tenants and roles */

static void foreign_objects_do_not_exist(void **state)
{
	struct fix *f = *state;
	struct sch_ctx *ctx = fix_ctx(f);
	json_t *tenant = json_pack("{s:s,s:s}", "name", "Other", "domain", "other");
	int64_t other = 0, extension = 0, own_tenant = f->tenant_id;
	struct reply r;
	char path[120];
	static const char *const methods[] = { "GET", "PUT", "PATCH", "DELETE" };

	ctx->tenant_id = 0;
	assert_int_equal(sch_tenant_create(ctx, tenant, "Prova-di-Aoide-2027", &other), 0);
	json_decref(tenant);
	ctx_free(ctx);
	f->tenant_id = other;
	fix_write(f, "extension", SCH_CREATE, 0, json_pack("{s:s}", "number", "777"), &extension);
	f->tenant_id = own_tenant;
	for (size_t i = 0; i < 4; i++)
		for (int v2 = 0; v2 < 2; v2++) {
			snprintf(path, sizeof(path), "%s/extension/%lld", v2 ? "/api/pbx/v2" : "/rest",
				 v2 ? (long long)extension : 777LL);
			ask(f, &r, methods[i], path, sign(f),
			    strcmp(methods[i], "GET") ? "{\"first_name\":\"x\"}" : NULL);
			assert_int_equal(r.status, 404);
			reply_free(&r);
		}
	ask(f, &r, "GET", "/rest/extension/777", sign(f), NULL);
	assert_int_equal(r.status, 404);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/extension?number=777", sign(f), NULL);
	assert_int_equal(json_array_size(r.json), 0);
	reply_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_SERVER("[API-03] [PUB-01] [PUB-02] the salt in JSON, XML and text; unknown domains tell nothing",
			  salt_in_every_form),
		ON_SERVER("[API-08] [API-06] one answer for every way to fail, a header works once",
			  signed_requests),
		ON_SERVER("[API-08] failures are limited per address and user", failures_are_limited),
		ON_SERVER("[API-01] [D-229] an extension over both families: ETag, XML, duplicates",
			  extension_life_cycle),
		ON_SERVER("[D-228] lists are paged, sorted, filtered, cached exactly", lists_are_paged),
		ON_SERVER("a POST repeated with its Idempotency-Key makes one object", repeated_post_makes_one),
		ON_SERVER("browser sessions: cookie, CSRF, restart, change of password",
			  browser_session),
		ON_SERVER("[D-226] malformed requests have a clear error", malformed_requests),
		ON_SERVER("odd connections do no harm", odd_connections),
		ON_SERVER("a request line with a line break, or a missing or double Host, is refused with its reason",
			  request_heads),
		ON_SERVER("security headers", security_headers),
		ON_SERVER("files of the GUI: caching, packed files, pages, no way out", gui_files),
		ON_SERVER("[API-09] documentation, OpenAPI, Postman", documentation),
		ON_SERVER("[BASE-80] saved, applied, applied by itself", save_and_apply),
		ON_SERVER("[API-08] objects of another tenant do not exist", foreign_objects_do_not_exist),
		ON_POSTGRES("[API-08] one answer for every way to fail", signed_requests),
		ON_POSTGRES("[D-229] an extension over both families", extension_life_cycle),
		ON_POSTGRES("[D-228] lists are paged, cached exactly", lists_are_paged),
		ON_POSTGRES("a POST repeated makes one object", repeated_post_makes_one),
		ON_POSTGRES("browser sessions", browser_session),
	};

	return testdb_run(tests);
}
