/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <fcntl.h>
#include <arpa/inet.h>
#include "sip/transp_guard.h"

/* A certificate and, when it is given, a key in one file. */
static void write_pem(const char *path, const char *cn, EVP_PKEY *key, const EVP_PKEY *written)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_get_subject_name(cert);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(cert, name);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(file, cert), 1);
	if (written)
		assert_int_equal(PEM_write_PrivateKey(file, written, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
	X509_free(cert);
}

static void make_pem(const char *path, const char *cn)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");

	write_pem(path, cn, key, key);
	EVP_PKEY_free(key);
}

static void make_rsa_pem(const char *path, const char *cn)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);

	write_pem(path, cn, key, key);
	EVP_PKEY_free(key);
}

static int setup(void **state)
{
	struct fix *fix = fix_open();
	char *pem = strdup("/tmp/test_transport_XXXXXX");
	int fd = mkstemp(pem);

	assert_true(fd >= 0);
	close(fd);
	make_pem(pem, "first");
	edge_close(fix->edge);
	fix->tls_port = fix_free_port();
	fix->ws_port = fix_free_port();
	fix->opts.cert_path = pem;
	fix->opts.tls_port = fix->tls_port;
	fix->opts.ws_port = fix->ws_port;
	fix->opts.wss_port = fix_free_port();
	fix_start(fix);
	*state = fix;
	return 0;
}

static int teardown(void **state)
{
	struct fix *fix = *state;
	char *pem = (char *)fix->opts.cert_path;

	(void)unlink(pem);
	fix_close(fix);
	free(pem);
	return 0;
}

struct tls_client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

/* Turns the loop until the call is through. */
#define TLS_TURN(fix, call)                                                                        \
	do {                                                                                       \
		fix_run(2);                                                                        \
		n = call;                                                                          \
	} while (n <= 0 && tries++ < 200)

static struct tls_client tls_open(struct fix *fix, uint16_t port, char *cn, size_t size)
{
	struct tls_client c = { .ctx = SSL_CTX_new(TLS_client_method()) };
	int n, tries = 0;
	X509 *cert;

	c.fd = fix_tcp(fix, port);
	assert_int_equal(fcntl(c.fd, F_SETFL, O_NONBLOCK), 0);
	c.ssl = SSL_new(c.ctx);
	SSL_set_fd(c.ssl, c.fd);
	TLS_TURN(fix, SSL_connect(c.ssl));
	assert_int_equal(n, 1);
	cert = SSL_get1_peer_certificate(c.ssl);
	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, (int)size);
	X509_free(cert);
	return c;
}

static void tls_close(struct tls_client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	close(c->fd);
}

static void tls_carries_sip_and_reloads_its_certificate(void **state)
{
	struct fix *fix = *state;
	char cn[64], buf[2048];
	struct tls_client c = tls_open(fix, fix->tls_port, cn, sizeof(cn)), d;
	int n, tries = 0;

	assert_string_equal(cn, "first");
	make_pem(fix->opts.cert_path, "second");
	assert_int_equal(edge_reload_cert(fix->edge, NULL), 0);
	d = tls_open(fix, fix->tls_port, cn, sizeof(cn));
	assert_string_equal(cn, "second");
	tls_close(&d);

	/* The old connection goes on. */
	fix_print(buf, sizeof(buf), fix,
		  &(struct fix_req){ .method = "OPTIONS", .user = "x", .callid = "tls", .cseq = 1,
			  .tp = "TLS" }, NULL);
	assert_int_equal(SSL_write(c.ssl, buf, (int)strlen(buf)), strlen(buf));
	TLS_TURN(fix, SSL_read(c.ssl, fix->rx, sizeof(fix->rx) - 1));
	assert_true(n > 0);
	fix->rx[n] = '\0';
	assert_int_equal(fix_status(fix), 200);
	tls_close(&c);
	assert_int_equal(edge_reload_cert(fix->edge, "/nonexistent.pem"), -EINVAL);
}

/* What a certificate authority gives may have another kind of key than what we made ourselves. */
static void a_certificate_of_another_kind_takes_the_place_of_the_old_one(void **state)
{
	struct fix *fix = *state;
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	struct tls_client c;
	char cn[64];

	make_rsa_pem(fix->opts.cert_path, "rsa");
	assert_int_equal(edge_reload_cert(fix->edge, NULL), 0);
	c = tls_open(fix, fix->tls_port, cn, sizeof(cn));
	assert_string_equal(cn, "rsa");
	tls_close(&c);
	c = tls_open(fix, fix->opts.wss_port, cn, sizeof(cn));
	assert_string_equal(cn, "rsa");
	tls_close(&c);

	/* What cannot be used leaves the one in force. */
	write_pem(fix->opts.cert_path, "without key", key, NULL);
	assert_int_equal(edge_reload_cert(fix->edge, NULL), -EINVAL);
	write_pem(fix->opts.cert_path, "wrong key", key, other);
	assert_int_equal(edge_reload_cert(fix->edge, NULL), -EINVAL);
	c = tls_open(fix, fix->tls_port, cn, sizeof(cn));
	assert_string_equal(cn, "rsa");
	tls_close(&c);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void wss_reloads_its_certificate(void **state)
{
	struct fix *fix = *state;
	char cn[64];
	struct tls_client c = tls_open(fix, fix->opts.wss_port, cn, sizeof(cn));

	assert_string_equal(cn, "first");
	tls_close(&c);
	make_pem(fix->opts.cert_path, "second");
	assert_int_equal(edge_reload_cert(fix->edge, NULL), 0);
	c = tls_open(fix, fix->opts.wss_port, cn, sizeof(cn));
	assert_string_equal(cn, "second");
	tls_close(&c);
}

static void ws_send(struct fix *fix, int fd, const char *text)
{
	uint8_t frame[4096] = { 0x81, 0x80 | 126 };
	size_t len = strlen(text);

	frame[2] = (uint8_t)(len >> 8);
	frame[3] = (uint8_t)len;
	memcpy(frame + 8, text, len); /* masked with zero */
	assert_int_equal(send(fd, frame, 8 + len, MSG_NOSIGNAL), 8 + len);
	(void)fix;
}

/* The text of one frame from the server. */
static bool ws_wait(struct fix *fix, int fd)
{
	size_t head = 2;

	if (!fix_wait(fix, fd, 1000))
		return false;
	if ((fix->rx[1] & 0x7f) == 126)
		head = 4;
	memmove(fix->rx, fix->rx + head, fix->rx_len - head + 1);
	return true;
}

static int ws_open(struct fix *fix)
{
	int fd = fix_tcp(fix, fix->ws_port);
	char text[512];

	snprintf(text, sizeof(text),
		 "GET /any/path HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n"
		 "Sec-WebSocket-Version: 13\r\n\r\n");
	fix_send(fix, fd, text, strlen(text));
	assert_true(fix_wait(fix, fd, 1000));
	assert_true(fix_has(fix, "101 Switching Protocols"));
	assert_true(fix_has(fix, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	return fd;
}

static void websocket_registers_and_is_reached(void **state)
{
	struct fix *fix = *state;
	const struct reg_contact *c[1];
	char buf[4096], line[1024];
	int fd = ws_open(fix);
	const struct fix_req req = { .method = "REGISTER", .user = "a0", .callid = "w", .cseq = 1,
		.tp = "WS", .extra = "Contact: <sip:x@df7jal23ls0d.invalid;transport=ws>\r\n" };
	struct edge_stats stats;

	ws_send(fix, fd, fix_print(buf, sizeof(buf), fix, &req, NULL));
	assert_true(ws_wait(fix, fd));
	assert_int_equal(fix_status(fix), 401);
	fix_authorize(line, sizeof(line), fix, &req, DIGEST_MD5, "pw", 1);
	ws_send(fix, fd, fix_print(buf, sizeof(buf), fix, &req, line));
	assert_true(ws_wait(fix, fd));
	assert_int_equal(fix_status(fix), 200);
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[0], c, 1), 1);
	assert_int_equal(c[0]->tp, SIP_TRANSP_WS);
	edge_stats(fix->edge, &stats);
	assert_int_equal(stats.tcp_connections, 1);

	/* Keep-alive OPTIONS come down the same connection. */
	keepalive_due(binding_first(fix_reg(fix), 1), NULL);
	assert_true(ws_wait(fix, fd));
	assert_int_equal(strncmp(fix->rx, "OPTIONS sip:x@df7jal23ls0d.invalid;transport=ws", 47), 0);

	close(fd);
	fix_run(30);
	assert_int_equal(reg_contacts(fix_reg(fix), &fix->accounts[0], c, 1), 0);
	keepalive_due(binding_first(fix_reg(fix), 1), NULL);
	assert_int_equal(reg_count(fix_reg(fix)), 0);
}

/* libre's accept timer closes a WebSocket 32 s after its start, if nobody starts it anew. */
static void registered_websocket_lives_on(void **state)
{
	struct fix *fix = *state;
	char buf[4096], line[1024];
	int fd = ws_open(fix), silent = ws_open(fix);
	const struct fix_req req = { .method = "REGISTER", .user = "a0", .callid = "w", .cseq = 1,
		.tp = "WS", .extra = "Contact: <sip:x@d.invalid;transport=ws>\r\n" };
	struct tmr tmr;

	ws_send(fix, fd, fix_print(buf, sizeof(buf), fix, &req, NULL));
	assert_true(ws_wait(fix, fd));
	fix_authorize(line, sizeof(line), fix, &req, DIGEST_MD5, "pw", 1);
	ws_send(fix, fd, fix_print(buf, sizeof(buf), fix, &req, line));
	assert_true(ws_wait(fix, fd));
	assert_int_equal(fix_status(fix), 200);
	assert_int_equal(guard_conn_count(fix->edge->guard), 2);

	tmr_init(&tmr);
	clk_drive(clk_wall_us());
	tmr_start(&tmr, 50000, fix_cancel, NULL);
	clk_advance_ms(60000);
	(void)re_main(NULL);
	clk_release();
	assert_int_equal(guard_conn_count(fix->edge->guard), 1);
	assert_true(binding_conn_is_alive(binding_first(fix_reg(fix), 1)));
	close(fd);
	close(silent);
}

#define T(name, f) { name, f, setup, teardown, NULL }

#define LONG_MS  10000 /* an answer ends the wait */
#define SHORT_MS 200

/* True: who listens at this address has answered an OPTIONS, from there. */
static bool answers_at(struct fix *fix, const char *host, unsigned wait_ms)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(fix->port) }, from;
	socklen_t len = sizeof(from);
	char text[1024];
	ssize_t n;

	assert_int_equal(inet_pton(AF_INET, host, &sin.sin_addr), 1);
	(void)fix_print(text, sizeof(text), fix,
			&(struct fix_req){ .method = "OPTIONS", .user = "x", .callid = host, .cseq = 1 }, "");
	assert_int_equal(sendto(fix->fd, text, strlen(text), 0, (struct sockaddr *)&sin, sizeof(sin)),
			 strlen(text));
	assert_int_equal(fd_listen(fix->fd, FD_READ, fix_readable, NULL), 0);
	fix_run(wait_ms);
	fd_close(fix->fd);
	n = recvfrom(fix->fd, text, sizeof(text), MSG_DONTWAIT, (struct sockaddr *)&from, &len);
	if (n < 0)
		return false;
	assert_memory_equal(text, "SIP/2.0 200", 11);
	assert_memory_equal(&from.sin_addr, &sin.sin_addr, sizeof(from.sin_addr));
	return true;
}

static int bind_udp(struct fix *fix, const char *where)
{
	const struct edge_opts *o = &fix->opts;

	return edge_set_listeners(fix->edge, (const struct edge_listener[SNAP_TRANSPORTS]){
		[SNAP_UDP] = { o->udp_port, where }, [SNAP_TCP] = { o->tcp_port, NULL },
		[SNAP_TLS] = { o->tls_port, NULL }, [SNAP_WS] = { o->ws_port, NULL },
		[SNAP_WSS] = { o->wss_port, "" } }, false);
}

static void a_bind_address_holds_at_once(void **state)
{
	struct fix *fix = *state;
	struct sa dst, local;
	int fd;

	assert_true(answers_at(fix, "127.0.0.1", LONG_MS));
	assert_int_equal(bind_udp(fix, "127.0.0.2"), 0);
	assert_true(answers_at(fix, "127.0.0.2", LONG_MS));
	assert_false(answers_at(fix, "127.0.0.1", SHORT_MS));
	assert_int_equal(sa_set_str(&dst, "127.0.0.9", 5060), 0);
	assert_int_equal(edge_local_addr(fix->edge, &local, SIP_TRANSP_UDP, &dst), 0);
	assert_int_equal(sa_in(&local), 0x7f000002);
	fd = fix_tcp(fix, fix->port); /* the others stay where they were */
	close(fd);

	/* What is not there leaves all as it was. */
	assert_int_equal(bind_udp(fix, "192.0.2.1"), -EAGAIN);
	assert_int_equal(bind_udp(fix, "%nosuch0%"), -EAGAIN);
	assert_true(answers_at(fix, "127.0.0.2", LONG_MS));

	assert_int_equal(bind_udp(fix, "%lo:0%"), 0);
	assert_true(answers_at(fix, "127.0.0.1", LONG_MS));
	assert_false(answers_at(fix, "127.0.0.2", SHORT_MS));
	assert_int_equal(bind_udp(fix, "0.0.0.0"), 0);
	assert_true(answers_at(fix, "127.0.0.1", LONG_MS));
	assert_int_equal(bind_udp(fix, NULL), 0);
	assert_true(answers_at(fix, "127.0.0.1", LONG_MS));
	assert_false(answers_at(fix, "127.0.0.2", SHORT_MS));
}

static void a_transport_that_started_bound_is_opened_and_closed(void **state)
{
	struct fix *fix = *state;

	edge_close(fix->edge);
	fix->opts.udp_port = 0;
	fix_start(fix);
	fix->opts.udp_port = fix->port;
	assert_int_equal(bind_udp(fix, "192.0.2.1"), -EAGAIN);
	assert_false(edge_is_on(fix->edge, SIP_TRANSP_UDP));
	assert_int_equal(bind_udp(fix, "127.0.0.2"), 0);
	assert_true(answers_at(fix, "127.0.0.2", LONG_MS));
	fix->opts.udp_port = 0;
	assert_int_equal(bind_udp(fix, "127.0.0.2"), 0);
	assert_false(edge_is_on(fix->edge, SIP_TRANSP_UDP));
	assert_false(answers_at(fix, "127.0.0.2", SHORT_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T("[PLT-36] the bind address of a transport holds at once; one of another machine changes nothing",
		  a_bind_address_holds_at_once),
		T("a transport that started bound is opened and closed",
		  a_transport_that_started_bound_is_opened_and_closed),
		T("TLS carries SIP; a new certificate disturbs no connection",
		  tls_carries_sip_and_reloads_its_certificate),
		T("a certificate with another kind of key takes the place of the old one; what is broken does not",
		  a_certificate_of_another_kind_takes_the_place_of_the_old_one),
		T("WSS uses a new certificate", wss_reloads_its_certificate),
		T("a registered WebSocket outlives libre's accept timer", registered_websocket_lives_on),
		T("[D-084] a WebSocket on any path registers and is reached (RFC 7118)",
		  websocket_registers_and_is_reached),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
