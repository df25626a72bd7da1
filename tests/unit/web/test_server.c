/* SPDX-License-Identifier: Apache-2.0 */
#include "webfix.h"

#include <time.h>

static int64_t id_of(const struct reply *r)
{
	return json_integer_value(json_object_get(r->json, "id"));
}

static const char *code_of(const struct reply *r)
{
	const char *code = json_string_value(json_object_get(r->json, "code"));

	return code ? code : "";
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

	/* By its number on both families, with a trailing slash, in XML. */
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
	snprintf(path, sizeof(path), "/rest/extension/%lld", (long long)id);
	ask(f, &r, "PATCH", path,
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
				 (long long)extension);
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

static void add_call(struct fix *f, const char *id, const char *caller, const char *called, int64_t end_us,
		     const char *destination)
{
	struct cdr *cdr = calloc(1, sizeof(*cdr));
	char *buf = malloc(CDR_RECORD_MAX_BYTES);
	int n;

	cdr->tenant_id = f->tenant_id;
	snprintf(cdr->unique_id, sizeof(cdr->unique_id), "%s", id);
	snprintf(cdr->linkedid, sizeof(cdr->linkedid), "%s", id);
	strcpy(cdr->source_type, "local_exten");
	strcpy(cdr->destination_type, destination);
	strcpy(cdr->status, "OK");
	snprintf(cdr->caller, sizeof(cdr->caller), "%s", caller);
	snprintf(cdr->called, sizeof(cdr->called), "%s", called);
	snprintf(cdr->answered_by, sizeof(cdr->answered_by), "%s", called);
	cdr->start_us = end_us - 75500000;
	cdr->answer_us = end_us - 60250000;
	cdr->end_us = end_us;
	cdr->n_details = 1;
	strcpy(cdr->details[0].destination_type, destination);
	strcpy(cdr->details[0].exit_cause, "NCC");
	snprintf(cdr->details[0].destination_num, CDR_TEXT, "%s", called);
	cdr->details[0].enter_us = cdr->start_us;
	cdr->details[0].answer_us = cdr->answer_us;
	cdr->details[0].exit_us = end_us;
	n = cdr_pack(cdr, buf, CDR_RECORD_MAX_BYTES);
	assert_true(n > 0);
	assert_int_equal(cdr_writer_apply(f->db, CDR_RECORD, buf, (size_t)n), 0);
	free(buf);
	free(cdr);
}

static int64_t moment(int year, int month, int day, int hour)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour,
			 .tm_isdst = -1 };

	return (int64_t)mktime(&tm) * 1000000;
}

static const char *plain(struct fix *f, const char *accept)
{
	char more[128];

	snprintf(more, sizeof(more), "Accept: %s\r\n", accept);
	return sign_as(f, "admin", "default", ADMIN_PASSWORD, more);
}

static void call_register(void **state)
{
	struct fix *f = *state;
	struct reply r;
	json_t *call;

	add_call(f, "1463997154.0", "101", "102", moment(2016, 5, 23, 12), "local_exten");
	add_call(f, "1463997155.0", "101", "0612345678", moment(2016, 5, 24, 12), "obl");
	add_call(f, "1463997156.0", "103", "101", moment(2016, 6, 1, 0), "local_exten");

	ask(f, &r, "GET", "/rest/cdr/summary/2016/05", plain(f, "application/json"), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(json_array_size(r.json), 2);
	call = json_array_get(r.json, 1);
	assert_string_equal(json_string_value(json_object_get(call, "unique_id")), "1463997154.0");
	assert_string_equal(json_string_value(json_object_get(call, "duration")), "00:01:15");
	assert_string_equal(json_string_value(json_object_get(call, "end_datetime")), "2016-05-23 12:00:00");
	assert_true(json_real_value(json_object_get(call, "bill_secs")) > 60.2 &&
		    json_real_value(json_object_get(call, "bill_secs")) < 60.3);
	/* D-046: outside numbers lose three digits, inside ones do not. */
	assert_string_equal(json_string_value(json_object_get(json_array_get(r.json, 0), "called")),
			    "0612345xxx");
	assert_string_equal(json_string_value(json_object_get(call, "called")), "102");
	reply_free(&r);

	ask(f, &r, "GET", "/rest/cdr/detailed/2016/05-06/24-01", plain(f, "application/json"), NULL);
	assert_int_equal(json_array_size(r.json), 2);
	assert_int_equal(json_array_size(json_object_get(json_array_get(r.json, 0), "details")), 1);
	reply_free(&r);

	ask(f, &r, "GET", "/rest/cdr/v3_compat/2016/05/23", plain(f, "text/csv"), NULL);
	assert_string_equal(r.body,
			    "#id,source,start_time,answer_time,end_time,account_code,caller,gateway_name,"
			    "called,status,answered_by,bill_secs,duration,destination\n"
			    "1463997154.0,local_exten,2016-05-23 11:58:44,2016-05-23 11:58:59,"
			    "2016-05-23 12:00:00,,101,,102,OK,102,60.250,75,local_exten\n");
	reply_free(&r);
	ask(f, &r, "GET", "/rest/cdr/v3_compat/2016/05/23", plain(f, "*/*"), NULL);
	assert_non_null(strstr(r.body, "<?xml version=\"1.0\"?>\n<cdr><call><id>1463997154.0</id>"));
	assert_non_null(strstr(r.body, "<account_code/>"));
	reply_free(&r);
	ask(f, &r, "GET", "/rest/cdr/blues_out/2016", plain(f, "application/json"), NULL);
	assert_string_equal(header_of(&r, "content-type"), "text/plain; charset=utf-8");
	assert_string_equal(r.body, "2016-05-24,11:58:44,60,101,0612345xxx,,out,\n");
	reply_free(&r);
	ask(f, &r, "GET", "/rest/cdr", plain(f, "application/json"), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(json_array_size(r.json), 0);
	reply_free(&r);

	/* By POST, in XML and JSON; date parts of the URL do not count. */
	ask(f, &r, "POST", "/rest/cdr/summary/1999",
	    sign_as(f, "admin", "default", ADMIN_PASSWORD,
		    "Accept: application/json\r\nContent-Type: application/xml\r\n"),
	    "<?xml version=\"1.0\"?><kpbx_request><cdr><begin>2016-05-23 11:00:00</begin>"
	    "<end>2016-05-23 12:00:00</end></cdr></kpbx_request>");
	assert_int_equal(r.status, 200);
	assert_int_equal(json_array_size(r.json), 1);
	reply_free(&r);
	ask(f, &r, "POST", "/rest/cdr/summary", sign(f),
	    "{\"cdr\":{\"begin\":\"2016-01-01 00:00:00\",\"end\":\"2016-12-31 00:00:00\","
	    "\"unique_id\":\"1463997156.0\"}}");
	assert_int_equal(json_array_size(r.json), 1);
	reply_free(&r);
	ask(f, &r, "POST", "/rest/cdr/summary", sign(f), "{\"cdr\":{\"begin\":\"yesterday\"}}");
	assert_int_equal(r.status, 400);
	reply_free(&r);

	ask(f, &r, "GET", "/api/pbx/v2/cdr?from=2016-01-01&page_size=2&q=101", sign(f), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(json_integer_value(json_object_get(r.json, "total")), 3);
	assert_int_equal(json_array_size(json_object_get(r.json, "items")), 2);
	reply_free(&r);
}

/* ------------------------------------------------------------------ the switch, played by the test */

static void on_calls(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	struct fix *f = arg;

	bus_reply(reply, 0, json_pack("{s:[{s:s,s:I,s:s,s:s},{s:s,s:I,s:s,s:s}]}", "items", "linkedid", "1.0",
				      "tenant_id", (json_int_t)f->tenant_id, "caller", "101", "called",
				      "102", "linkedid", "2.0", "tenant_id", (json_int_t)99, "caller",
				      "901", "called", "902"));
}

static void on_hangup(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	bool ok = !strcmp(json_string_value(json_object_get(data, "linkedid")), "1.0");

	bus_reply(reply, ok ? 0 : -ENOENT, ok ? json_object() : NULL);
}

static void live_state(void **state)
{
	struct fix *f = *state;
	struct reply r;

	ask(f, &r, "GET", "/api/pbx/v2/phoneService/calls", sign(f), NULL);
	assert_int_equal(r.status, 503);
	assert_string_equal(code_of(&r), "unavailable");
	reply_free(&r);
	assert_int_equal(bus_subscribe(f->bus, "cmd.switch.calls", on_calls, f), 0);
	assert_int_equal(bus_subscribe(f->bus, "cmd.switch.hangup", on_hangup, f), 0);
	for (int i = 0; i < 50; i++) {
		ask(f, &r, "GET", "/api/pbx/v2/phoneService/calls", sign(f), NULL);
		if (r.status == 200)
			break;
		reply_free(&r);
		nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	}
	/* The call of another tenant is not shown, whatever the switch says. */
	assert_int_equal(json_integer_value(json_object_get(r.json, "total")), 1);
	reply_free(&r);
	ask(f, &r, "DELETE", "/api/pbx/v2/phoneService/call/2.0", sign(f), NULL);
	assert_int_equal(r.status, 404);
	reply_free(&r);
	ask(f, &r, "DELETE", "/api/pbx/v2/phoneService/call/1.0", sign(f), NULL);
	assert_int_equal(r.status, 204);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/dashboard", sign(f), NULL);
	assert_int_equal(r.status, 200);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/dashboard/firmwareVersion", sign(f), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(strncmp(json_string_value(r.json), "4.16.0-", 7), 0);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/dashboard/serialNumber", sign(f), NULL);
	assert_int_equal(strncmp(json_string_value(r.json), "AOID", 4), 0);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/ctiUser/", sign(f), NULL);
	assert_true(json_is_array(r.json));
	reply_free(&r);
	ask(f, &r, "GET", "/rest/account/", sign(f), NULL);
	assert_true(json_is_array(r.json));
	reply_free(&r);
}

/* ------------------------------------------------------------------ WebSocket */

static SSL *open_ws(struct fix *f, const char *headers)
{
	char head[1024];
	SSL *ssl = dial(f);
	int n = snprintf(head, sizeof(head), "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
			 "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			 "Sec-WebSocket-Version: 13\r\n%s\r\n", web_https_port(f->web), headers);

	assert_int_equal(SSL_write(ssl, head, n), n);
	return ssl;
}

static int read_exactly(SSL *ssl, void *buf, int len)
{
	int got = 0;

	while (got < len) {
		int n = SSL_read(ssl, (char *)buf + got, len - got);

		if (n <= 0)
			return -1;
		got += n;
	}
	return 0;
}

/* The opening answer, byte by byte so that no frame is lost. */
static int read_head(SSL *ssl)
{
	char head[2048] = "";
	size_t n = 0;

	while (!strstr(head, "\r\n\r\n") && n < sizeof(head) - 1)
		if (read_exactly(ssl, head + n++, 1))
			return 0;
	return atoi(head + 9);
}

/* Returns the opcode; text into buf. */
static int read_frame(SSL *ssl, char *buf, size_t size)
{
	uint8_t head[2], more[2];
	size_t len;

	if (read_exactly(ssl, head, 2))
		return -1;
	len = head[1] & 0x7f;
	if (len == 126) {
		if (read_exactly(ssl, more, 2))
			return -1;
		len = (size_t)more[0] << 8 | more[1];
	}
	assert_true(len < size);
	if (read_exactly(ssl, buf, (int)len))
		return -1;
	buf[len] = '\0';
	return head[0] & 15;
}

static void send_frame(SSL *ssl, const char *text)
{
	uint8_t frame[256] = { 0x81, (uint8_t)(0x80 | strlen(text)) };

	assert_true(strlen(text) < 126);
	memcpy(frame + 6, text, strlen(text)); /* masked with zeros */
	assert_true(SSL_write(ssl, frame, (int)strlen(text) + 6) > 0);
}

static void publish(struct fix *f, const char *topic, int64_t tenant, const char *caller)
{
	char subject[80];

	snprintf(subject, sizeof(subject), "t.%lld.%s", (long long)tenant, topic);
	assert_int_equal(bus_publish(f->bus, subject, json_pack("{s:s,s:s}", "caller", caller, "called",
								"102")), 0);
}

static void events_for_browsers(void **state)
{
	struct fix *f = *state;
	char headers[256], text[4096];
	SSL *ssl;

	ssl = open_ws(f, "");
	assert_int_equal(read_head(ssl), 101);
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 8); /* close */
	assert_int_equal((uint8_t)text[0] << 8 | (uint8_t)text[1], 4401);
	hang_up(ssl);

	log_in(f);
	snprintf(headers, sizeof(headers), "Cookie: %s\r\nOrigin: https://evil.example\r\n", f->cookie);
	ssl = open_ws(f, headers);
	assert_int_equal(read_head(ssl), 403);
	hang_up(ssl);

	snprintf(headers, sizeof(headers), "Cookie: %s\r\nOrigin: https://127.0.0.1:%u\r\n", f->cookie,
		 web_https_port(f->web));
	ssl = open_ws(f, headers);
	assert_int_equal(read_head(ssl), 101);
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 1);
	assert_string_equal(text, "{\"type\":\"hello\"}");
	send_frame(ssl, "{\"type\":\"subscribe\",\"topics\":[\"call.*\",\"registration.*\"]}");
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 1);
	assert_string_equal(text, "{\"type\":\"subscribed\"}");
	publish(f, "call.new", 99, "foreign");
	publish(f, "config.applied", f->tenant_id, "unwanted");
	publish(f, "call.ringing", f->tenant_id, "101");
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 1);
	assert_string_equal(text, "{\"type\":\"event\",\"topic\":\"call.ringing\","
				  "\"data\":{\"caller\":\"101\",\"called\":\"102\"}}");
	/* Nonsense ends the connection and nothing else. */
	send_frame(ssl, "{{{");
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 8);
	hang_up(ssl);
	ssl = open_ws(f, headers);
	assert_int_equal(read_head(ssl), 101);
	hang_up(ssl);
}

#define ON_SERVER(text, f) { .name = text, .test_func = f, .setup_func = fix_setup, .teardown_func = fix_teardown }

/* The same over PostgreSQL. */
#define ON_POSTGRES(text, f)                                                                       \
	{ text " (PostgreSQL)", f, fix_setup, fix_teardown, (void *)&testdb_kinds[DB_POSTGRES] }

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_SERVER("[API-03] [PUB-01] [PUB-02] the salt in JSON, XML and text; unknown domains tell nothing",
			  salt_in_every_form),
		ON_SERVER("[API-08] [API-06] one answer for every way to fail, a header works once",
			  signed_requests),
		ON_SERVER("[API-08] failures are limited per address and user", failures_are_limited),
		ON_SERVER("[API-01] [API-11] an extension over both families: ETag, XML, duplicates",
			  extension_life_cycle),
		ON_SERVER("[API-11] lists are paged, sorted, filtered, cached exactly", lists_are_paged),
		ON_SERVER("a POST repeated with its Idempotency-Key makes one object", repeated_post_makes_one),
		ON_SERVER("[BASE-69] browser sessions: cookie, CSRF, restart, change of password",
			  browser_session),
		ON_SERVER("[API-11] malformed requests have a clear error", malformed_requests),
		ON_SERVER("odd connections do no harm", odd_connections),
		ON_SERVER("security headers", security_headers),
		ON_SERVER("files of the GUI: caching, packed files, pages, no way out", gui_files),
		ON_SERVER("[API-09] documentation, OpenAPI, Postman", documentation),
		ON_SERVER("[BASE-80] saved, applied, applied by itself", save_and_apply),
		ON_SERVER("[API-08] objects of another tenant do not exist", foreign_objects_do_not_exist),
		ON_SERVER("[PUB-04] [PUB-05] [PUB-06] the call register in its formats", call_register),
		ON_SERVER("[PUB-03] [PLT-22] live calls, hang up, dashboard", live_state),
		ON_SERVER("events for browsers: login, origin, tenant, topics", events_for_browsers),
		ON_POSTGRES("[API-08] one answer for every way to fail", signed_requests),
		ON_POSTGRES("[API-11] an extension over both families", extension_life_cycle),
		ON_POSTGRES("[API-11] lists are paged, cached exactly", lists_are_paged),
		ON_POSTGRES("a POST repeated makes one object", repeated_post_makes_one),
		ON_POSTGRES("[BASE-69] browser sessions", browser_session),
		ON_POSTGRES("[PUB-04] the call register", call_register),
	};

	return testdb_run(tests);
}
