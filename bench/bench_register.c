/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What registrations cost: registers N accounts (with digest, as phones do), refreshes them all, and
 * prints memory and CPU of the process that answers as JSON.
 *
 *	bench_register [--accounts N] [--rounds R] [--port P --pid PID [--user FORMAT] [--password TEXT]]
 *
 * Without --port it starts an edge of its own in a child process with accounts made by hand;
 * with it, accounts by the printf format (default "u%06u") must exist in the PBX that listens there.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sodium.h>
#include "base/re.h"
#include "base/clock.h"
#include "base/log.h"
#include "sip/digest.h"
#include "sip/edge.h"
#include "sip/edge_priv.h"
#include "sip/registrar.h"
#include "register_snapshot.h"

#define WINDOW      64 /* requests under way: 32 accounts' worth does not overrun a socket buffer */
#define TIMEOUT_MS  2000
#define MAX_MESSAGE 4096

struct options {
	unsigned accounts, rounds;
	uint16_t port;
	pid_t pid;
	const char *user, *password;
	bool serve; /* only answer, for a look with a phone */
};

/* ------------------------------------------------------------------ what is measured */

static double cpu_s(pid_t pid)
{
	char path[64], text[1024], *p;
	unsigned long user = 0, sys = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fgets(text, sizeof(text), file) && (p = strrchr(text, ')')))
		(void)sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
	fclose(file);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static long rss_kb(pid_t pid)
{
	char path[64], line[256];
	long kb = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmRSS: %ld kB", &kb) == 1)
			break;
	}
	fclose(file);
	return kb;
}

/* ------------------------------------------------------------------ the server */

static pid_t serve(const struct options *opts)
{
	pid_t pid = opts->serve ? 0 : fork();

	if (pid)
		return pid;
	if (!opts->serve)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)log_level_set("*", opts->serve ? "debug" : "error");
	if (libre_init() || sodium_init() < 0)
		_exit(1);

	struct snap *snap = bench_snapshot(opts->accounts, opts->user, opts->password);
	struct edge *edge = NULL;
	int err = edge_alloc(&edge, &(struct edge_opts){ .listen = "127.0.0.1",
					    .udp_port = opts->port, .tcp_port = opts->port,
					    .snap = snap });

	if (err)
		_exit(2);
	(void)re_main(NULL);
	_exit(0);
}

static uint16_t free_port(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, len) ||
	    getsockname(fd, (struct sockaddr *)&sin, &len))
		exit(1);
	close(fd);
	return ntohs(sin.sin_port);
}

/* ------------------------------------------------------------------ the phones */

struct phones {
	const struct options *opts;
	int fd;
	uint16_t port;
	unsigned cseq, ok, failed, sent;
	uint8_t *done; /* per account, of this round */
};

static void account_name(const struct phones *p, unsigned i, char *buf, size_t size)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(buf, size, p->opts->user, i);
#pragma GCC diagnostic pop
}

static void send_register(struct phones *p, unsigned i, const char *authorization)
{
	char buf[MAX_MESSAGE], name[64];
	int n;

	account_name(p, i, name, sizeof(name));
	n = snprintf(buf, sizeof(buf),
		     "REGISTER sip:127.0.0.1:%u SIP/2.0\r\n"
		     "Via: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%08x%08x;rport\r\n"
		     "Max-Forwards: 70\r\n"
		     "From: <sip:%s@127.0.0.1>;tag=%08x\r\n"
		     "To: <sip:%s@127.0.0.1>\r\n"
		     "Call-ID: %u-bench@127.0.0.1\r\n"
		     "CSeq: %u REGISTER\r\n"
		     "Contact: <sip:%s@127.0.0.1:%u>\r\n"
		     "Expires: 3600\r\n"
		     "User-Agent: Bench phone 1.0 of ordinary length\r\n"
		     "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, REFER, INFO, UPDATE\r\n"
		     "%s"
		     "Content-Length: 0\r\n\r\n",
		     p->opts->port, p->port, i, rand_u32(), name, i, name, i,
		     authorization ? p->cseq + 1 : p->cseq, name, p->port,
		     authorization ? authorization : "");
	if (send(p->fd, buf, (size_t)n, 0) != n)
		perror("send");
	p->sent++;
}

static void answer_challenge(struct phones *p, unsigned i, const char *reply)
{
	char name[64], nonce[160], realm[128], uri[64], text[256], response[65], line[1024];
	const struct pl method = PL("REGISTER");
	struct digest_creds creds = { .alg = DIGEST_MD5, .nc = PL("00000001"), .cnonce = PL("0a4f113b"),
		.qop = PL("auth") };
	const char *at_nonce = strstr(reply, "nonce=\""), *at_realm = strstr(reply, "realm=\"");
	uint8_t ha1[16];
	int n;

	if (!at_nonce || !at_realm || sscanf(at_nonce, "nonce=\"%159[^\"]", nonce) != 1 ||
	    sscanf(at_realm, "realm=\"%127[^\"]", realm) != 1)
		return;
	account_name(p, i, name, sizeof(name));
	n = snprintf(text, sizeof(text), "%s:%s:%s", name, realm, p->opts->password);
	md5((const uint8_t *)text, (size_t)n, ha1);
	snprintf(uri, sizeof(uri), "sip:127.0.0.1:%u", p->opts->port);
	pl_set_str(&creds.nonce, nonce);
	pl_set_str(&creds.uri, uri);
	if (digest_response(response, DIGEST_MD5, ha1, &method, &creds))
		return;
	snprintf(line, sizeof(line),
		 "Authorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", "
		 "response=\"%s\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"0a4f113b\"\r\n",
		 name, realm, nonce, uri, response);
	send_register(p, i, line);
}

/* One answer; true when an account is through. */
static bool take_answer(struct phones *p)
{
	char buf[MAX_MESSAGE];
	ssize_t n = recv(p->fd, buf, sizeof(buf) - 1, 0);
	const char *callid;
	unsigned i, scode;

	if (n <= 0)
		return false;
	buf[n] = '\0';
	callid = strstr(buf, "Call-ID: ");
	if (!callid || sscanf(callid, "Call-ID: %u-bench", &i) != 1 || i >= p->opts->accounts ||
	    sscanf(buf, "SIP/2.0 %u", &scode) != 1 || p->done[i])
		return false;
	if (scode == 401) {
		answer_challenge(p, i, buf);
		return false;
	}
	p->done[i] = 1;
	if (scode == 200)
		p->ok++;
	else
		p->failed++;
	return true;
}

/* Registers every account once, WINDOW at a time. */
static void play_round(struct phones *p)
{
	unsigned next = 0, under_way = 0, through = 0;

	memset(p->done, 0, p->opts->accounts);
	p->ok = p->failed = 0;
	p->cseq += 2;
	while (through < p->opts->accounts) {
		while (under_way < WINDOW && next < p->opts->accounts) {
			send_register(p, next++, NULL);
			under_way++;
		}
		if (take_answer(p)) {
			through++;
			under_way--;
		} else if (errno == EAGAIN) { /* lost: ask again */
			unsigned lost = 0;

			for (unsigned i = 0; i < next && lost < WINDOW; i++) {
				if (!p->done[i]) {
					send_register(p, i, NULL);
					lost++;
				}
			}
			errno = 0;
		}
	}
}

static int measure(const struct options *opts, pid_t pid)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct phones p = { .opts = opts, .cseq = (unsigned)clk_wall_s() & 0xfffffff,
		.done = calloc(1, opts->accounts) };
	struct timeval tv = { .tv_sec = TIMEOUT_MS / 1000 };
	socklen_t len = sizeof(sin);
	long before_kb = rss_kb(pid), after_kb;
	double first_s, refresh_s = 0, wall_s = 0, at;
	uint64_t t0;

	p.fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (!p.done || p.fd < 0 || bind(p.fd, (struct sockaddr *)&sin, len) ||
	    getsockname(p.fd, (struct sockaddr *)&sin, &len))
		return 1;
	p.port = ntohs(sin.sin_port);
	sin.sin_port = htons(opts->port);
	if (connect(p.fd, (struct sockaddr *)&sin, sizeof(sin)))
		return 1;
	(void)setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));

	at = cpu_s(pid);
	play_round(&p);
	first_s = cpu_s(pid) - at;
	after_kb = rss_kb(pid);
	if (p.failed) {
		fprintf(stderr, "bench_register: %u of %u accounts were refused\n", p.failed,
			opts->accounts);
		return 1;
	}
	for (unsigned r = 0; r < opts->rounds; r++) {
		at = cpu_s(pid);
		t0 = clk_mono_us();
		play_round(&p);
		refresh_s += cpu_s(pid) - at;
		wall_s += (double)(clk_mono_us() - t0) / 1e6;
	}

	printf("{\"bench\":\"register\",\"accounts\":%u,\"rounds\":%u,\"rss_before_mb\":%.1f,"
	       "\"rss_registered_mb\":%.1f,\"rss_after_refresh_mb\":%.1f,\"bytes_per_account\":%.0f,"
	       "\"first_cpu_us\":%.1f,\"refresh_cpu_us\":%.1f,\"refreshes_per_s\":%.0f,\"cores\":%ld}\n",
	       opts->accounts, opts->rounds, (double)before_kb / 1024, (double)after_kb / 1024,
	       (double)rss_kb(pid) / 1024, (double)(after_kb - before_kb) * 1024 / opts->accounts,
	       first_s * 1e6 / opts->accounts, refresh_s * 1e6 / opts->accounts / opts->rounds,
	       opts->accounts * opts->rounds / wall_s, sysconf(_SC_NPROCESSORS_ONLN));
	free(p.done);
	close(p.fd);
	return 0;
}

int main(int argc, char *argv[])
{
	struct options opts = { .accounts = 100000, .rounds = 1, .user = "u%06u", .password = "secret" };
	bool own;
	pid_t pid;
	int result;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--accounts"))
			opts.accounts = (unsigned)atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--rounds"))
			opts.rounds = (unsigned)atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--port"))
			opts.port = (uint16_t)atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--pid"))
			opts.pid = (pid_t)atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "--user"))
			opts.user = argv[i + 1];
		else if (!strcmp(argv[i], "--password"))
			opts.password = argv[i + 1];
		else if (!strcmp(argv[i], "--serve"))
			opts.serve = !strcmp(argv[i + 1], "yes");
	}
	if (!opts.accounts || !opts.rounds)
		return 2;
	own = !opts.port || opts.serve;
	if (!opts.port)
		opts.port = free_port();
	pid = own ? serve(&opts) : opts.pid;
	usleep(own ? 500000 : 0);
	result = measure(&opts, pid);
	if (own) {
		kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	return result;
}
