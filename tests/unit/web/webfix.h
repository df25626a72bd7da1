/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_TESTS_WEBFIX_H
#define AOIDE_TESTS_WEBFIX_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>
#include <jansson.h>
#include <openssl/ssl.h>

#include "app/prepare.h"
#include "audio/store.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/seal.h"
#include "bus/bus.h"
#include "call/cdr.h"
#include "db/db.h"
#include "schema/schema.h"
#include "testdb.h"
#include "web/web.h"
#include "web/xauth.h"

/* A real server on a port of the kernel, its bus, and a client that speaks TLS over loopback. */
#define ADMIN_PASSWORD "Prova-di-Aoide-2026"

struct fix {
	struct testdb *postgres; /* NULL: SQLite in dir */
	char dir[128];
	struct config *config;
	struct bus_hub *hub;
	struct bus *bus; /* plays the switch */
	struct db *db;
	struct web *web;
	pthread_t thread;
	SSL_CTX *ctx;
	int64_t tenant_id;
	char salt[SCH_SALT_SIZE];
	unsigned nonce;
	char cookie[128], csrf[64];
};

struct reply {
	int status;
	char *text; /* all of it */
	char *body;
	size_t body_len;
	json_t *json;
};

static inline void reply_free(struct reply *reply)
{
	free(reply->text);
	json_decref(reply->json);
	memset(reply, 0, sizeof(*reply));
}

static inline SSL *dial(struct fix *f)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(web_https_port(f->web)),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval limit = { .tv_sec = 20 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	SSL *ssl = SSL_new(f->ctx);

	assert_true(fd >= 0 && ssl);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	SSL_set_fd(ssl, fd);
	assert_int_equal(SSL_connect(ssl), 1);
	return ssl;
}

static inline void hang_up(SSL *ssl)
{
	int fd = SSL_get_fd(ssl);

	SSL_free(ssl);
	close(fd);
}

static inline const char *header_of(const struct reply *reply, const char *name)
{
	static char value[2048];
	char key[128];
	const char *at;

	snprintf(key, sizeof(key), "\r\n%s: ", name);
	at = strcasestr(reply->text, key);
	if (!at || at > reply->body)
		return NULL;
	at += strlen(key);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
	return value;
}

/* Reads one answer; status 0: the server closed the connection without one. */
static inline void read_reply(SSL *ssl, bool head, struct reply *reply)
{
	size_t size = 1 << 16, len = 0, want = 0;

	memset(reply, 0, sizeof(*reply));
	reply->text = calloc(1, size);
	while (!reply->body || len < want) {
		int n;

		if (len + 20000 > size) {
			size *= 2;
			reply->text = realloc(reply->text, size);
		}
		n = SSL_read(ssl, reply->text + len, 16384);
		if (n <= 0)
			break;
		len += (size_t)n;
		reply->text[len] = '\0';
		if (!reply->body && strstr(reply->text, "\r\n\r\n")) {
			const char *length;

			reply->body = strstr(reply->text, "\r\n\r\n") + 4;
			length = header_of(reply, "content-length");
			want = (size_t)(reply->body - reply->text) +
			       (length && !head ? (size_t)atoll(length) : 0);
			if (size < want + 20000) {
				size_t at = (size_t)(reply->body - reply->text);

				size = want + 40000;
				reply->text = realloc(reply->text, size);
				reply->body = reply->text + at;
			}
		}
	}
	if (!reply->body)
		return;
	/* The pointer may be into an older block after realloc. */
	reply->body = strstr(reply->text, "\r\n\r\n") + 4;
	reply->body_len = len - (size_t)(reply->body - reply->text);
	reply->status = atoi(reply->text + 9);
	reply->json = json_loadb(reply->body, reply->body_len, JSON_DECODE_ANY, NULL);
}

static inline void ask(struct fix *f, struct reply *reply, const char *method, const char *path,
		       const char *headers, const char *body)
{
	char head[8192];
	SSL *ssl = dial(f);
	int n;

	n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s", method, path,
		     web_https_port(f->web), headers ? headers : "");
	if (body)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Length: %zu\r\n", strlen(body));
	n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
	assert_int_equal(SSL_write(ssl, head, n), n);
	if (body && *body)
		(void)SSL_write(ssl, body, (int)strlen(body));
	read_reply(ssl, !strcmp(method, "HEAD"), reply);
	hang_up(ssl);
}

/* Headers of a signed request (API-05). */
static inline const char *sign_as(struct fix *f, const char *user, const char *domain,
				  const char *password, const char *more)
{
	static char text[2048];
	char hex[XAUTH_HEX_BYTES], digest[XAUTH_DIGEST_BYTES], nonce[40], created[40];

	clk_iso(created, sizeof(created), clk_wall_us());
	if (strlen(created) > 20)
		strcpy(created + 19, "Z");
	snprintf(nonce, sizeof(nonce), "%08x%08x", 0xa0000000u + f->nonce++, (unsigned)getpid());
	xauth_digest_password(hex, password, f->salt);
	xauth_digest(digest, nonce, hex, user, domain, created);
	snprintf(text, sizeof(text),
		 "X-authenticate: RestApiUsernameToken Username=\"%s\", Domain=\"%s\", Digest=\"%s\", "
		 "Nonce=\"%s\", Created=\"%s\"\r\n%s", user, domain, digest, nonce, created, more);
	return text;
}

#define JSON_IN "Accept: application/json\r\nContent-Type: application/json\r\n"

static inline const char *sign(struct fix *f)
{
	return sign_as(f, "admin", "default", ADMIN_PASSWORD, JSON_IN);
}

static inline const char *cookie_headers(struct fix *f, const char *more)
{
	static char text[1024];

	snprintf(text, sizeof(text), "Cookie: %s\r\nX-CSRF-Token: %s\r\n%s%s", f->cookie, f->csrf, JSON_IN,
		 more);
	return text;
}

static inline void *web_thread(void *arg)
{
	web_run(arg);
	return NULL;
}

static inline struct sch_ctx *fix_ctx(struct fix *f)
{
	struct sch_ctx *ctx = calloc(1, sizeof(*ctx));

	assert_int_equal(arena_alloc(&ctx->arena, 65536), 0);
	ctx->db = f->db;
	ctx->tenant_id = f->tenant_id;
	ctx->lang = SCH_EN;
	ctx->system = true;
	ctx->user_name = "test";
	return ctx;
}

static inline void ctx_free(struct sch_ctx *ctx)
{
	json_decref(ctx->generated);
	json_decref(ctx->reset);
	arena_free(ctx->arena);
	free(ctx);
}

static inline void fix_write(struct fix *f, const char *entity, enum sch_write how, int64_t id,
			     json_t *body, int64_t *ret)
{
	struct sch_ctx *ctx = fix_ctx(f);
	int err = sch_write(ctx, sch_find(entity), how, id, body, 0, ret);

	if (err)
		for (size_t i = 0; i < ctx->n_problems; i++)
			print_message("%s: %s: %s\n", entity, ctx->problems[i].field,
				      ctx->problems[i].message);
	assert_int_equal(err, 0);
	json_decref(body);
	ctx_free(ctx);
}

static inline void start_web(struct fix *f)
{
	assert_int_equal(web_alloc(&f->web, f->config), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, web_thread, f->web), 0);
}

static inline void stop_web(struct fix *f)
{
	web_stop(f->web);
	pthread_join(f->thread, NULL);
	web_free(f->web);
	f->web = NULL;
}

static inline int fix_setup(void **state)
{
	struct fix *f = calloc(1, sizeof(*f));
	const enum db_kind *kind = *state;
	char path[256], why[200];
	int64_t id = 0;

	assert_non_null(f);
	if (kind && *kind == DB_POSTGRES) {
		if (testdb_setup(state))
			return -1;
		f->postgres = *state;
	}
	testdb_mkdir(f->dir, sizeof(f->dir));
	assert_int_equal(config_alloc(&f->config), 0);
	assert_int_equal(config_set(f->config, "data", f->dir, why, sizeof(why)), 0);
	assert_int_equal(config_set(f->config, "listen", "127.0.0.1", why, sizeof(why)), 0);
	f->config->https_port = 0;
	f->config->http_port = 0;
	snprintf(path, sizeof(path), "%s/www", f->dir);
	mkdir(path, 0700);
	free(f->config->www_dir);
	f->config->www_dir = strdup(path);
	snprintf(path, sizeof(path), "%s/run", f->dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/tls", f->dir);
	mkdir(path, 0700);
	assert_int_equal(seal_init(f->dir), 0);
	assert_int_equal(prepare_certificate(f->config), 0);
	config_path(path, sizeof(path), f->config, CONFIG_DB_FILE);
	if (f->postgres) {
		snprintf(path, sizeof(path), "%s", f->postgres->url);
		free(f->config->database);
		f->config->database = strdup(path);
	}
	assert_int_equal(db_open(&f->db, path, why, sizeof(why)), 0);
	assert_int_equal(sch_migrate(f->db), 0);
	assert_int_equal(audio_migrate(f->db), 0);
	assert_int_equal(cdr_migrate(f->db), 0);
	assert_int_equal(sch_tenant_find(&f->tenant_id, f->db, "default"), 0);
	assert_int_equal(sch_salt(f->salt, f->db, "default"), 0);
	assert_int_equal(db_query_i64(&id, f->db,
				      "SELECT id FROM \"user\" WHERE username = 'admin' AND tenant_id = $1",
				      DB_ARGS(db_i64(f->tenant_id))), 0);
	fix_write(f, "user", SCH_PATCH, id,
		  json_pack("{s:s,s:b,s:b,s:b}", "password", ADMIN_PASSWORD, "force_password_change", 0,
			    "gui_access", 1, "api_access", 1), &id);
	assert_int_equal(bus_hub_start(&f->hub, config_path(path, sizeof(path), f->config,
							     CONFIG_BUS_SOCKET)), 0);
	assert_int_equal(bus_connect(&f->bus, path, "test"), 0);
	f->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(f->ctx, SSL_VERIFY_NONE, NULL);
	start_web(f);
	*state = f;
	return 0;
}

static inline int fix_teardown(void **state)
{
	struct fix *f = *state;

	stop_web(f);
	bus_close(f->bus);
	bus_hub_stop(f->hub);
	db_close(f->db);
	SSL_CTX_free(f->ctx);
	config_free(f->config);
	testdb_rmdir(f->dir);
	if (f->postgres) {
		*state = f->postgres;
		testdb_teardown(state);
	}
	free(f);
	return 0;
}

/* Logs a browser in as admin. */
static inline void log_in(struct fix *f)
{
	struct reply r;
	const char *value;

	ask(f, &r, "POST", "/api/pbx/v2/session", JSON_IN,
	    "{\"username\":\"admin@default\",\"password\":\"" ADMIN_PASSWORD "\"}");
	assert_int_equal(r.status, 201);
	value = header_of(&r, "set-cookie");
	assert_non_null(value);
	snprintf(f->cookie, sizeof(f->cookie), "%.*s", (int)strcspn(value, ";"), value);
	snprintf(f->csrf, sizeof(f->csrf), "%s", json_string_value(json_object_get(r.json, "csrf")));
	reply_free(&r);
}

/* The error code of an answer; "" none. */
static inline const char *code_of(const struct reply *r)
{
	const char *code = json_string_value(json_object_get(r->json, "code"));

	return code ? code : "";
}

#define ON_SERVER(text, f) { .name = text, .test_func = f, .setup_func = fix_setup, .teardown_func = fix_teardown }

/* The same over PostgreSQL. */
#define ON_POSTGRES(text, f)                                                                       \
	{ text " (PostgreSQL)", f, fix_setup, fix_teardown, (void *)&testdb_kinds[DB_POSTGRES] }

#endif
