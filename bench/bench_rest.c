/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <openssl/ssl.h>

#include "audio/store.h"
#include "app/prepare.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/seal.h"
#include "db/db.h"
#include "schema/schema.h"
#include "web/web.h"
#include "web/xauth.h"

/*
 * GET /rest/extension, pages of 50 out of 1,000 extensions, over keep-alive TLS connections. The
 * server has one core to itself, the clients have the others. Three ways: a browser's session asking
 * for one page, every request another page (the cache's memory holds them too), and X-authenticate
 * with a header of its own per request. "uncached" lets each request miss by a parameter of its own.
 * Prints one JSON object.
 */
#define PASSWORD    "Prova-di-Aoide-2026"
#define EXTENSIONS  1000
#define CONNECTIONS 6
#define SECONDS     3.0

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_rest: %s failed\n", what);
	exit(1);
}

struct shared { /* between server and clients */
	_Atomic int port;
	_Atomic bool stop;
	char salt[SCH_SALT_SIZE];
};

static void fill(struct config *config, struct shared *shared)
{
	struct sch_ctx *ctx = calloc(1, sizeof(*ctx));
	char path[512], number[16];
	struct db *db = NULL;
	int64_t id = 0;

	must(!db_open(&db, config_path(path, sizeof(path), config, CONFIG_DB_FILE), NULL, 0), "db_open");
	must(!sch_migrate(db), "sch_migrate");
	must(!audio_migrate(db), "audio_migrate");
	must(!arena_alloc(&ctx->arena, 65536), "arena");
	ctx->db = db;
	ctx->system = true;
	must(!sch_tenant_find(&ctx->tenant_id, db, "default"), "tenant");
	must(!sch_salt(shared->salt, db, "default"), "salt");
	must(!db_query_i64(&id, db,
			   "SELECT id FROM \"user\" WHERE username = 'admin' AND tenant_id = $1",
			   DB_ARGS(db_i64(ctx->tenant_id))), "admin");
	json_t *body = json_pack("{s:s,s:b,s:b,s:b}", "password", PASSWORD, "force_password_change", 0,
				 "gui_access", 1, "api_access", 1);
	must(!sch_write(ctx, sch_find("user"), SCH_PATCH, id, body, 0, &id), "password");
	json_decref(body);
	must(!db_begin(db), "begin");
	for (int i = 0; i < EXTENSIONS; i++) {
		snprintf(number, sizeof(number), "%d", 1000 + i);
		body = json_pack("{s:s,s:s,s:s}", "number", number, "first_name", "Anna", "last_name",
				 "Rossi");
		must(!sch_write(ctx, sch_find("extension"), SCH_CREATE, 0, body, 0, &id), "extension");
		json_decref(body);
	}
	must(!db_commit(db), "commit");
	json_decref(ctx->generated);
	arena_free(ctx->arena);
	free(ctx);
	db_close(db);
}

static void *stopper(void *arg)
{
	struct web *web = ((void **)arg)[0];
	struct shared *shared = ((void **)arg)[1];

	while (!atomic_load(&shared->stop))
		usleep(20000);
	web_stop(web);
	return NULL;
}

static void pin(int first, int last)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = first; i <= last; i++)
		CPU_SET(i, &set);
	(void)sched_setaffinity(0, sizeof(set), &set); /* one core machines share it */
}

static void serve(const char *dir, struct shared *shared)
{
	struct config *config = NULL;
	struct web *web = NULL;
	pthread_t thread;
	char path[512], why[100];
	void *arg[2];

	must(!config_alloc(&config), "config");
	must(!config_set(config, "data", dir, why, sizeof(why)), "config");
	must(!config_set(config, "listen", "127.0.0.1", why, sizeof(why)), "config");
	config->https_port = config->http_port = 0;
	config->web_rate = 0;
	snprintf(path, sizeof(path), "%s/run", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/tls", dir);
	mkdir(path, 0700);
	must(!seal_init(dir), "seal");
	must(!prepare_certificate(config), "certificate");
	fill(config, shared);
	pin(0, 0);
	must(!web_alloc(&web, config), "web");
	arg[0] = web;
	arg[1] = shared;
	must(!pthread_create(&thread, NULL, stopper, arg), "thread");
	atomic_store(&shared->port, web_https_port(web));
	web_run(web);
	pthread_join(thread, NULL);
	web_free(web);
	config_free(config);
}

/* ------------------------------------------------------------------ clients */

enum way { ONE_PAGE, ALL_PAGES, UNCACHED, SIGNED, WAYS };
static const char *const way_names[WAYS] = { "session_one_page", "session_all_pages",
					     "session_uncached", "x_authenticate" };

struct client {
	pthread_t thread;
	struct shared *shared;
	SSL_CTX *ctx;
	enum way way;
	int number;
	const char *cookie;
	double until;
	unsigned long done, failed, bytes;
};

static double now(void)
{
	return (double)clk_mono_us() / 1e6;
}

static SSL *dial(SSL_CTX *ctx, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL *ssl = SSL_new(ctx);

	must(!connect(fd, (struct sockaddr *)&to, sizeof(to)), "connect");
	SSL_set_fd(ssl, fd);
	must(SSL_connect(ssl) == 1, "TLS");
	return ssl;
}

/* Returns the status; buf holds the head at least. */
static int exchange(SSL *ssl, const char *request, char *buf, size_t size, unsigned long *bytes)
{
	size_t len = 0, want = 0;
	char *body = NULL;

	if (SSL_write(ssl, request, (int)strlen(request)) <= 0)
		return 0;
	while (!body || len < want) {
		int n = SSL_read(ssl, buf + len, (int)(size - 1 - len));

		if (n <= 0)
			return 0;
		len += (size_t)n;
		buf[len] = '\0';
		if (!body && (body = strstr(buf, "\r\n\r\n"))) {
			char *length = strcasestr(buf, "content-length:");

			want = (size_t)(body + 4 - buf) + (length ? (size_t)atoll(length + 15) : 0);
			if (want >= size)
				return 0;
		}
	}
	*bytes += len;
	return atoi(buf + 9);
}

static void sign(char *buf, size_t size, const struct shared *shared, const char *hex)
{
	char digest[XAUTH_DIGEST_BYTES], nonce[33], created[32];

	seal_random_hex(nonce, sizeof(nonce));
	clk_iso(created, sizeof(created), clk_wall_us());
	strcpy(created + 19, "Z");
	xauth_digest(digest, nonce, hex, "admin", "default", created);
	snprintf(buf, size, "X-authenticate: RestApiUsernameToken Username=\"admin\", Domain=\"default\", "
			    "Digest=\"%s\", Nonce=\"%s\", Created=\"%s\"\r\n", digest, nonce, created);
}

static void *client_main(void *arg)
{
	struct client *client = arg;
	char request[1024], auth[512], hex[XAUTH_HEX_BYTES];
	char *buf = malloc(1 << 20);
	SSL *ssl = dial(client->ctx, atomic_load(&client->shared->port));

	xauth_digest_password(hex, PASSWORD, client->shared->salt);
	while (now() < client->until) {
		unsigned long n = client->done + client->failed;
		unsigned page = client->way == ALL_PAGES ? 1 + (unsigned)(n % 20) : 1;
		char extra[64] = "";

		if (client->way == UNCACHED)
			snprintf(extra, sizeof(extra), "&id[ge]=-%lu%02d", n, client->number);
		if (client->way == SIGNED)
			sign(auth, sizeof(auth), client->shared, hex);
		else
			snprintf(auth, sizeof(auth), "Cookie: %s\r\n", client->cookie);
		snprintf(request, sizeof(request),
			 "GET /rest/extension?page=%u&page_size=50%s HTTP/1.1\r\nHost: localhost\r\n"
			 "Accept: application/json\r\n%s\r\n", page, extra, auth);
		if (exchange(ssl, request, buf, 1 << 20, &client->bytes) == 200)
			client->done++;
		else
			client->failed++;
		if (client->failed > 100)
			break;
	}
	SSL_free(ssl);
	free(buf);
	return NULL;
}

static void log_in(SSL_CTX *ctx, struct shared *shared, char *cookie, size_t size)
{
	static const char body[] = "{\"username\":\"admin@default\",\"password\":\"" PASSWORD "\"}";
	char request[512], *buf = malloc(1 << 20), *at;
	SSL *ssl = dial(ctx, atomic_load(&shared->port));
	unsigned long bytes = 0;

	snprintf(request, sizeof(request),
		 "POST /api/pbx/v2/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
		 "Content-Length: %zu\r\n\r\n%s", sizeof(body) - 1, body);
	must(exchange(ssl, request, buf, 1 << 20, &bytes) == 201, "login");
	at = strstr(buf, "aoide_session=");
	must(at != NULL, "cookie");
	snprintf(cookie, size, "%.*s", (int)strcspn(at, ";"), at);
	SSL_free(ssl);
	free(buf);
}

static double cpu_of(pid_t pid)
{
	char path[64], line[1024] = "", *at;
	unsigned long user = 0, sys = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	fclose(file);
	at = strrchr(line, ')');
	if (at)
		(void)sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static void measure(enum way way, SSL_CTX *ctx, struct shared *shared, pid_t server, const char *cookie)
{
	struct client clients[CONNECTIONS] = { 0 };
	unsigned long done = 0, failed = 0, bytes = 0;
	double start = now(), cpu = cpu_of(server), took;

	for (int i = 0; i < CONNECTIONS; i++) {
		clients[i] = (struct client){ .shared = shared, .ctx = ctx, .way = way, .number = i,
					      .cookie = cookie, .until = start + SECONDS };
		must(!pthread_create(&clients[i].thread, NULL, client_main, &clients[i]), "thread");
	}
	for (int i = 0; i < CONNECTIONS; i++) {
		pthread_join(clients[i].thread, NULL);
		done += clients[i].done;
		failed += clients[i].failed;
		bytes += clients[i].bytes;
	}
	took = now() - start;
	cpu = cpu_of(server) - cpu;
	printf("%s\"%s\":{\"per_s\":%.0f,\"cpu_us\":%.0f,\"failed\":%lu,\"kib\":%.1f}", way ? "," : "",
	       way_names[way], (double)done / took, done ? cpu * 1e6 / (double)done : 0, failed,
	       done ? (double)bytes / (double)done / 1024 : 0);
}

int main(void)
{
	char dir[] = "/tmp/aoide-bench-rest-XXXXXX", cookie[128], command[128];
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	SSL_CTX *ctx;
	pid_t server;

	must(shared != MAP_FAILED && mkdtemp(dir) != NULL, "folder");
	(void)log_level_set("*", "error");
	server = fork();
	must(server >= 0, "fork");
	if (!server) {
		serve(dir, shared);
		exit(0);
	}
	while (!atomic_load(&shared->port)) {
		int status;

		must(waitpid(server, &status, WNOHANG) == 0, "server");
		usleep(20000);
	}
	if (cores > 1)
		pin(1, (int)cores - 1);
	signal(SIGPIPE, SIG_IGN);
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	log_in(ctx, shared, cookie, sizeof(cookie));
	printf("{\"name\":\"rest_extension_page_of_50\",\"cores\":%ld,\"server_cores\":1,", cores);
	for (enum way way = 0; way < WAYS; way++)
		measure(way, ctx, shared, server, cookie);
	printf("}\n");
	SSL_CTX_free(ctx);
	atomic_store(&shared->stop, true);
	waitpid(server, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) ? 1 : 0;
}
