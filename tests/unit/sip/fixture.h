/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_TESTS_SIP_FIXTURE_H
#define AOIDE_TESTS_SIP_FIXTURE_H

/*
 * A real edge on a loopback port with accounts made by hand, and raw sockets that speak to it. The
 * loop runs only inside fix_run() and fix_wait(), so a test reads top-down.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <cmocka.h>
#include <sodium.h>
#include "base/re.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "snapshot/snapshot.h"
#include "sip/digest.h"
#include "sip/edge.h"
#include "sip/edge_priv.h"
#include "sip/registrar.h"
#include "sip/registrar_priv.h"

#define FIX_ACCOUNTS 4 /* "a0".."a3" with ids 1.., password "pw" */
#define FIX_REALM    "aoide"
#define UNUSED       __attribute__((unused))

struct fix {
	struct edge *edge;
	struct edge_opts opts;
	struct snap *snap;
	struct snap_sip *sip;           /* in snap */
	struct snap_account *accounts;  /* in snap */
	uint16_t port, tls_port, ws_port, fd_port;
	int fd;          /* UDP */
	char rx[65536];  /* what came last */
	size_t rx_len;
	unsigned invites;
	int64_t invite_account;
	char events[4096], changes[4096]; /* a line each */
};

/* ------------------------------------------------------------------ a snapshot by hand */

static void fix_secrets(struct snap_account *account, const char *password)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "%s:" FIX_REALM ":%s", account->username, password);

	md5((const uint8_t *)text, (size_t)n, account->ha1_md5);
	crypto_hash_sha256(account->ha1_sha256, (const uint8_t *)text, (size_t)n);
}

/* Built as the loader does, but from here; tests change fields behind the edge's back. */
static void fix_snapshot(struct fix *fix)
{
	static const char *const names[FIX_ACCOUNTS] = { "a0", "a1", "a2", "a3" };
	struct arena *sip_arena = NULL, *arena = NULL;
	struct snap_extension *extension;
	struct snap_tenant *tenant;

	assert_int_equal(snap_alloc(&fix->snap), 0);
	assert_int_equal(arena_alloc(&sip_arena, 4096), 0);
	assert_int_equal(arena_alloc(&arena, 4096), 0);
	fix->sip = arena_zalloc(sip_arena, sizeof(*fix->sip));
	*fix->sip = (struct snap_sip){ .realm = FIX_REALM, .user_agent = "Aoide", .min_expires_s = 60,
		.max_expires_s = 3600, .options_interval_s = 25 };
	tenant = arena_zalloc(arena, sizeof(*tenant));
	extension = arena_zalloc(arena, sizeof(*extension));
	fix->accounts = arena_zalloc(arena, FIX_ACCOUNTS * sizeof(*fix->accounts));
	*extension = (struct snap_extension){ .id = 1, .number = "101", .tenant = tenant };
	for (size_t i = 0; i < FIX_ACCOUNTS; i++) {
		fix->accounts[i] = (struct snap_account){ .id = (int64_t)i + 1, .username = names[i],
			.enabled = true, .max_contacts = 1, .transports = 0x1f,
			.extension = extension, .tenant = tenant };
		fix_secrets(&fix->accounts[i], "pw");
	}
	*tenant = (struct snap_tenant){ .id = 1, .domain = "t", .arena = arena, .refs = 1,
		.n_accounts = FIX_ACCOUNTS, .accounts = fix->accounts };
	snap_swap_sip(fix->snap, fix->sip, sip_arena);
	assert_int_equal(snap_swap(fix->snap, 1, tenant), 0);
}

/* ------------------------------------------------------------------ life */

UNUSED static void fix_invite(const struct sip_msg *msg, const struct snap_account *account, void *arg)
{
	struct fix *fix = arg;

	fix->invites++;
	fix->invite_account = account->id;
	(void)sip_treply(NULL, edge_sip(fix->edge), msg, 486, "Busy Here");
}

UNUSED static void fix_event(const char *subject, int64_t tenant_id, const char *json, void *arg)
{
	struct fix *fix = arg;
	size_t used = strlen(fix->events);

	snprintf(fix->events + used, sizeof(fix->events) - used, "%s %lld %s\n", subject,
		 (long long)tenant_id, json);
}

UNUSED static void fix_change(const struct reg_contact *contact, const char *what, void *arg)
{
	struct fix *fix = arg;
	size_t used = strlen(fix->changes);

	snprintf(fix->changes + used, sizeof(fix->changes) - used, "%s %s\n", what,
		 contact->username);
}

static int fix_socket(int type, uint16_t *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*port = ntohs(sin.sin_port);
	return fd;
}

static bool fix_is_free(int type, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type, 0);
	bool is_free = !bind(fd, (struct sockaddr *)&sin, sizeof(sin));

	close(fd);
	return is_free;
}

/* A port that UDP and TCP have free: above those that the kernel gives to whoever asks for any, so that nobody
 * has it before it is bound, and no other one than before. */
static uint16_t fix_free_port(void)
{
	static unsigned n;
	uint16_t port;

	do {
		port = (uint16_t)(61000 + ((unsigned)getpid() * 61 + n++) % 4400);
	} while (!fix_is_free(SOCK_DGRAM, port) || !fix_is_free(SOCK_STREAM, port));
	return port;
}

static struct registrar *fix_reg(const struct fix *fix)
{
	return edge_registrar(fix->edge);
}

UNUSED static void fix_start(struct fix *fix)
{
	int err = edge_alloc(&fix->edge, &fix->opts);

	/* Another test may have taken the port meanwhile. */
	for (unsigned i = 0; i < 5 && err == -EADDRINUSE; i++) {
		fix->port = fix->opts.udp_port = fix->opts.tcp_port = fix_free_port();
		err = edge_alloc(&fix->edge, &fix->opts);
	}
	assert_int_equal(err, 0);
	reg_set_change_handler(fix_reg(fix), fix_change, fix);
}

UNUSED static struct fix *fix_open(void)
{
	struct fix *fix = calloc(1, sizeof(*fix));

	assert_non_null(fix);
	assert_int_equal(libre_init(), 0);
	(void)log_level_set("*", "error");
	fix_snapshot(fix);
	fix->fd = fix_socket(SOCK_DGRAM, &fix->fd_port);
	fix->port = fix_free_port();
	fix->opts = (struct edge_opts){ .listen = "127.0.0.1", .udp_port = fix->port,
		.tcp_port = fix->port, .snap = fix->snap, .invite_h = fix_invite,
		.event_h = fix_event, .arg = fix };
	fix_start(fix);
	return fix;
}

UNUSED static void fix_close(struct fix *fix)
{
	edge_close(fix->edge);
	snap_free(fix->snap);
	close(fix->fd);
	libre_close();
	free(fix);
}

UNUSED static int fix_setup(void **state)
{
	*state = fix_open();
	return 0;
}

UNUSED static int fix_teardown(void **state)
{
	fix_close(*state);
	return 0;
}

/* ------------------------------------------------------------------ traffic */

static void fix_cancel(void *arg)
{
	(void)arg;
	re_cancel();
}

static void fix_readable(int flags, void *arg)
{
	(void)flags;
	(void)arg;
	re_cancel();
}

UNUSED static void fix_run(unsigned ms)
{
	struct tmr tmr;

	tmr_init(&tmr);
	tmr_start(&tmr, ms, fix_cancel, NULL);
	(void)re_main(NULL);
	tmr_cancel(&tmr);
}

/* Waits until something can be read on fd; fix->rx has it. */
static bool fix_wait(struct fix *fix, int fd, unsigned ms)
{
	ssize_t n;

	fix->rx_len = 0;
	fix->rx[0] = '\0';
	assert_int_equal(fd_listen(fd, FD_READ, fix_readable, NULL), 0);
	fix_run(ms);
	fd_close(fd);
	n = recv(fd, fix->rx, sizeof(fix->rx) - 1, MSG_DONTWAIT);
	if (n <= 0)
		return false;
	fix->rx_len = (size_t)n;
	fix->rx[n] = '\0';
	return true;
}

static void fix_send(const struct fix *fix, int fd, const char *text, size_t len)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(fix->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int type = 0;
	socklen_t size = sizeof(type);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
	else
		assert_int_equal(sendto(fd, text, len, 0, (struct sockaddr *)&sin, sizeof(sin)), len);
}

UNUSED static bool fix_exchange(struct fix *fix, int fd, const char *text, unsigned ms)
{
	fix_send(fix, fd, text, strlen(text));
	return fix_wait(fix, fd, ms);
}

UNUSED static int fix_tcp(const struct fix *fix, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	(void)fix;
	assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static unsigned fix_status(const struct fix *fix)
{
	unsigned scode = 0;

	(void)sscanf(fix->rx, "SIP/2.0 %u", &scode);
	return scode;
}

UNUSED static bool fix_has(const struct fix *fix, const char *text)
{
	return strstr(fix->rx, text) != NULL;
}

/* ------------------------------------------------------------------ requests */

struct fix_req {
	const char *method, *user, *callid;
	const char *ruri;  /* NULL: the edge */
	const char *to;    /* user of To; NULL: user */
	const char *extra; /* header lines */
	const char *tp;    /* NULL: UDP */
	unsigned cseq;
};

static const char *fix_ruri(char *buf, size_t size, const struct fix *fix, const struct fix_req *req)
{
	if (req->ruri)
		return req->ruri;
	snprintf(buf, size, "sip:127.0.0.1:%u", fix->port);
	return buf;
}

static const char *fix_print(char *buf, size_t size, const struct fix *fix, const struct fix_req *req,
			     const char *authorization)
{
	char ruri[64];

	snprintf(buf, size,
		 "%s %s SIP/2.0\r\n"
		 "Via: SIP/2.0/%s 127.0.0.1:%u;branch=z9hG4bK%08x;rport\r\n"
		 "Max-Forwards: 70\r\n"
		 "From: <sip:%s@127.0.0.1>;tag=f1\r\n"
		 "To: <sip:%s@127.0.0.1>\r\n"
		 "Call-ID: %s\r\n"
		 "CSeq: %u %s\r\n"
		 "%s%s"
		 "Content-Length: 0\r\n\r\n",
		 req->method, fix_ruri(ruri, sizeof(ruri), fix, req), req->tp ? req->tp : "UDP",
		 fix->fd_port, rand_u32(), req->user, req->to ? req->to : req->user, req->callid,
		 req->cseq, req->method, authorization ? authorization : "",
		 req->extra ? req->extra : "");
	return buf;
}

/* The Authorization line that answers the challenge of this algorithm in fix->rx. nc 0: no qop. */
static void fix_authorize(char *buf, size_t size, const struct fix *fix, const struct fix_req *req,
			  enum digest_alg alg, const char *password, unsigned nc)
{
	const char *name = alg == DIGEST_SHA256 ? "algorithm=SHA-256" : "algorithm=MD5";
	struct snap_account account = { .username = req->user };
	struct digest_creds creds = { .alg = alg };
	char nonce[128], nc_text[9], response[65], ruri[64], qop[96] = "";
	const char *at = strstr(fix->rx, "nonce=\"");
	struct pl method;

	assert_non_null(strstr(fix->rx, name));
	assert_non_null(at);
	assert_int_equal(sscanf(at, "nonce=\"%127[^\"]\"", nonce), 1);
	fix_secrets(&account, password);
	snprintf(nc_text, sizeof(nc_text), "%08x", nc);
	pl_set_str(&creds.nonce, nonce);
	pl_set_str(&creds.uri, fix_ruri(ruri, sizeof(ruri), fix, req));
	if (nc) {
		pl_set_str(&creds.nc, nc_text);
		pl_set_str(&creds.cnonce, "c0ffee");
		pl_set_str(&creds.qop, "auth");
		snprintf(qop, sizeof(qop), ", qop=auth, nc=%s, cnonce=\"c0ffee\"", nc_text);
	}
	pl_set_str(&method, req->method);
	assert_int_equal(digest_response(response, alg,
					 alg == DIGEST_SHA256 ? account.ha1_sha256 :
								account.ha1_md5,
					 &method, &creds),
			 0);
	snprintf(buf, size,
		 "Authorization: Digest username=\"%s\", realm=\"" FIX_REALM "\", nonce=\"%s\", "
		 "uri=\"%s\", response=\"%s\", %s%s\r\n",
		 req->user, nonce, fix_ruri(ruri, sizeof(ruri), fix, req), response, name, qop);
}

/* Sends, answers the challenge; the final status, 0 when nothing came. */
static unsigned fix_auth(struct fix *fix, int fd, const struct fix_req *req, enum digest_alg alg,
			 const char *password)
{
	char buf[4096], line[1024];

	if (!fix_exchange(fix, fd, fix_print(buf, sizeof(buf), fix, req, NULL), 1000))
		return 0;
	if (fix_status(fix) != 401)
		return fix_status(fix);
	fix_authorize(line, sizeof(line), fix, req, alg, password, 1);
	if (!fix_exchange(fix, fd, fix_print(buf, sizeof(buf), fix, req, line), 1000))
		return 0;
	return fix_status(fix);
}

/* REGISTER of one contact; expires -1: the header is left out. */
UNUSED static unsigned fix_register(struct fix *fix, int fd, const char *user, const char *contact,
				    int expires, unsigned cseq)
{
	char extra[512], line[64] = "";

	if (expires >= 0)
		snprintf(line, sizeof(line), "Expires: %d\r\n", expires);
	snprintf(extra, sizeof(extra), "Contact: %s\r\n%s", contact, line);
	return fix_auth(fix, fd,
			&(struct fix_req){ .method = "REGISTER", .user = user, .callid = user,
				.cseq = cseq, .extra = extra },
			DIGEST_MD5, "pw");
}

#endif
