/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "sip/limiter.h"

static unsigned send_method(struct fix *fix, const char *method, const char *extra)
{
	char buf[2048];
	const struct fix_req req = { .method = method, .user = "a0", .callid = method, .cseq = 1,
		.extra = extra };

	if (!fix_exchange(fix, fix->fd, fix_print(buf, sizeof(buf), fix, &req, NULL), 300))
		return 0;
	return fix_status(fix);
}

static unsigned invite(struct fix *fix, const char *user, enum digest_alg alg, const char *password)
{
	static unsigned cseq;
	unsigned scode = fix_auth(fix, fix->fd,
				  &(struct fix_req){ .method = "INVITE", .user = user, .callid = user,
					  .cseq = ++cseq, .to = "102",
					  .extra = "Contact: <sip:x@127.0.0.1:5070>\r\n" },
				  alg, password);

	return scode == 100 && fix_wait(fix, fix->fd, 500) ? fix_status(fix) : scode;
}

static void options_is_answered(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(send_method(fix, "OPTIONS", NULL), 200);
	assert_true(fix_has(fix, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS"));
	assert_true(fix_has(fix, "Accept: application/sdp"));
	assert_true(fix_has(fix, "Supported: 100rel"));
	assert_true(fix_has(fix, ";rport=") && fix_has(fix, ";received=127.0.0.1"));
}

static void methods_outside_of_a_dialog(void **state)
{
	static const struct {
		const char *method;
		unsigned scode;
	} want[] = {
		{ "BYE", 481 },     { "INFO", 481 },      { "UPDATE", 481 },  { "PRACK", 481 },
		{ "NOTIFY", 481 },  { "CANCEL", 481 },    { "MESSAGE", 405 }, { "SUBSCRIBE", 405 },
		{ "PUBLISH", 405 }, { "REFER", 405 },     { "NEWMETHOD", 501 }, { "invite", 501 },
		{ "ACK", 0 },
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(send_method(*state, want[i].method, NULL), want[i].scode);
		if (want[i].scode == 405)
			assert_true(fix_has(*state, "Allow: INVITE"));
	}
}

static bool take_dialog(const struct sip_msg *msg, void *arg)
{
	return !sip_reply(edge_sip(((struct fix *)arg)->edge), msg, 299, "Mine");
}

static bool leave_dialog(const struct sip_msg *msg, void *arg)
{
	(void)msg;
	(void)arg;
	return false;
}

static void requests_of_dialogs_go_to_the_handler(void **state)
{
	struct fix *fix = *state;
	const char *methods[] = { "BYE", "INVITE", "REFER", "SUBSCRIBE" };
	char buf[2048], to[64];

	snprintf(to, sizeof(to), "a0@127.0.0.1>;tag=t1\r\nX: <");
	for (unsigned round = 0; round < 2; round++) {
		edge_set_dialog_handler(fix->edge, round ? leave_dialog : take_dialog, fix);
		for (size_t i = 0; i < 4; i++) {
			const struct fix_req req = { .method = methods[i], .user = "a0",
				.callid = methods[i], .cseq = round + 1, .to = to };

			assert_true(fix_exchange(fix, fix->fd, fix_print(buf, sizeof(buf), fix, &req, NULL),
						 500));
			assert_int_equal(fix_status(fix), round ? 481 : 299);
		}
	}
	assert_int_equal(fix->invites, 0);
}

/* ------------------------------------------------------------------ who (D-066) */

static void accounts_authenticate_register_and_invite(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(send_method(fix, "REGISTER", NULL), 401);
	assert_int_equal(send_method(fix, "INVITE", NULL), 401);
	assert_int_equal(fix->invites, 0);
	assert_int_equal(invite(fix, "a1", DIGEST_MD5, "pw"), 486);
	assert_int_equal(invite(fix, "a2", DIGEST_SHA256, "pw"), 486);
	assert_int_equal(fix->invites, 2);
	assert_int_equal(fix->invite_account, 3);
}

static void who_knows_sha_256_is_offered_nothing_weaker(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(send_method(fix, "INVITE", NULL), 401);
	assert_true(fix_has(fix, "algorithm=MD5") && fix_has(fix, "algorithm=SHA-256"));
	assert_int_equal(invite(fix, "a0", DIGEST_SHA256, "pw"), 486);
	assert_int_equal(send_method(fix, "INVITE", "X-Round: 2\r\n"), 401);
	assert_true(fix_has(fix, "algorithm=SHA-256"));
	assert_false(fix_has(fix, "algorithm=MD5"));
}

static void refusals_do_not_tell_which_part_was_wrong(void **state)
{
	static const char *const users[] = { "a0", "nobody" };
	struct fix *fix = *state;
	char first[2][4096], second[2][4096];

	for (size_t i = 0; i < 2; i++) {
		char buf[4096], line[1024], *p;
		const struct fix_req req = { .method = "REGISTER", .user = users[i], .callid = "same",
			.cseq = 1 };

		assert_true(fix_exchange(fix, fix->fd, fix_print(buf, sizeof(buf), fix, &req, NULL), 500));
		strcpy(first[i], fix->rx);
		fix_authorize(line, sizeof(line), fix, &req, DIGEST_MD5, "wrong", 1);
		assert_true(fix_exchange(fix, fix->fd, fix_print(buf, sizeof(buf), fix, &req, line), 500));
		assert_int_equal(fix_status(fix), 403);
		strcpy(second[i], fix->rx);
		for (p = strstr(first[i], "nonce="); p; p = strstr(p + 1, "nonce="))
			memset(p + 7, 'n', 48);
	}
	for (size_t i = 0; i < 2; i++) { /* but for what the request itself differs in */
		char *text = i ? second[0] : first[0], *other = i ? second[1] : first[1];

		assert_int_equal(strncmp(text, other, strcspn(text, "\n")), 0);
		assert_string_equal(strstr(text, "\r\nCall-ID"), strstr(other, "\r\nCall-ID"));
	}
	assert_non_null(strstr(fix->events, "security.sip.auth_failed 1 {\"source\":\"127.0.0.1:"));
	assert_non_null(strstr(fix->events, "security.sip.auth_failed 0 "));
	assert_non_null(strstr(fix->events, "\"username\":\"nobody\",\"count\":1}"));
}

static void disabled_account_is_403(void **state)
{
	struct fix *fix = *state;

	fix->accounts[0].enabled = false;
	assert_int_equal(invite(fix, "a0", DIGEST_MD5, "pw"), 403);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1>", 3600, 1), 403);
}

static void transport_that_is_off_is_403(void **state)
{
	struct fix *fix = *state;
	int fd = fix_tcp(fix, fix->port);

	fix->accounts[0].transports = 1 << SNAP_TCP;
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1>", 3600, 1), 403);
	assert_int_equal(invite(fix, "a0", DIGEST_MD5, "pw"), 403);
	assert_int_equal(fix_register(fix, fd, "a0", "<sip:x@127.0.0.1>", 3600, 2), 200);
	close(fd);
}

static void registration_check_binds_invite_to_register(void **state)
{
	struct fix *fix = *state;
	uint16_t port;
	int other = fix_socket(SOCK_DGRAM, &port), own = fix->fd;

	fix->accounts[0].registration_check = true;
	assert_int_equal(invite(fix, "a0", DIGEST_MD5, "pw"), 403);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(invite(fix, "a0", DIGEST_MD5, "pw"), 486);
	fix->fd = other;
	fix->fd_port = port;
	assert_int_equal(invite(fix, "a0", DIGEST_MD5, "pw"), 403);
	fix->fd = own;
	assert_int_equal(fix->invites, 1);
	close(other);
}

static void acl_holds_for_invite(void **state)
{
	struct fix *fix = *state;
	struct snap_net net = { .addr = { [10] = 0xff, [11] = 0xff, [12] = 10 }, .prefix = 104 };

	fix->accounts[0].acl_source = &net;
	fix->accounts[0].n_acl_source = 1;
	assert_int_equal(invite(fix, "a0", DIGEST_MD5, "pw"), 403);
	fix->accounts[1].acl_contact = &net;
	fix->accounts[1].n_acl_contact = 1;
	assert_int_equal(invite(fix, "a1", DIGEST_MD5, "pw"), 403);
	net.addr[12] = 127;
	assert_int_equal(invite(fix, "a1", DIGEST_MD5, "pw"), 486);
}

static void registered_source_may_stand_for_the_password(void **state)
{
	struct fix *fix = *state;
	uint16_t port;
	int other = fix_socket(SOCK_DGRAM, &port);

	fix->sip->invite_auth = SNAP_INVITE_REGISTERED_SOURCE;
	assert_int_equal(send_method(fix, "INVITE", NULL), 401);
	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(send_method(fix, "INVITE", "X-Round: 2\r\n"), 486);
	fix->fd_port = port;
	assert_int_equal(fix_auth(fix, other,
				  &(struct fix_req){ .method = "INVITE", .user = "a0", .callid = "z",
					  .cseq = 1 }, DIGEST_MD5, "wrong"),
			 403);
	close(other);
}

static void credentials_for_another_number_are_refused(void **state)
{
	struct fix *fix = *state;
	char buf[4096], line[1024];
	struct fix_req req = { .method = "INVITE", .user = "a0", .callid = "u", .cseq = 1,
		.ruri = "sip:102@127.0.0.1" };

	assert_true(fix_exchange(fix, fix->fd, fix_print(buf, sizeof(buf), fix, &req, NULL), 500));
	fix_authorize(line, sizeof(line), fix, &req, DIGEST_MD5, "pw", 1);
	req.ruri = "sip:00390123456@127.0.0.1";
	assert_true(fix_exchange(fix, fix->fd, fix_print(buf, sizeof(buf), fix, &req, line), 500));
	assert_int_equal(fix_status(fix), 403);
	assert_int_equal(fix->invites, 0);
}

static void replayed_request_does_not_pass(void **state)
{
	struct fix *fix = *state;
	char buf[4096], line[1024];
	const struct fix_req req = { .method = "INVITE", .user = "a0", .callid = "r", .cseq = 1 };

	assert_true(fix_exchange(fix, fix->fd, fix_print(buf, sizeof(buf), fix, &req, NULL), 500));
	fix_authorize(line, sizeof(line), fix, &req, DIGEST_MD5, "pw", 1);
	fix_print(buf, sizeof(buf), fix, &req, line);
	assert_true(fix_exchange(fix, fix->fd, buf, 500));
	assert_int_equal(fix_status(fix), 486);
	memcpy(strstr(buf, "branch=z9hG4bK") + 14, "replayed", 8);
	memcpy(strstr(buf, "Call-ID: r") + 9, "s", 1);
	assert_true(fix_exchange(fix, fix->fd, buf, 500));
	assert_int_equal(fix_status(fix), 401);
	assert_true(fix_has(fix, "stale=true"));
	assert_int_equal(fix->invites, 1);
}

static void register_for_another_account_is_refused(void **state)
{
	struct fix *fix = *state;
	struct fix_req req = { .method = "REGISTER", .user = "a0", .to = "a1", .callid = "x", .cseq = 1,
		.extra = "Contact: <sip:x@127.0.0.1>\r\n" };

	assert_int_equal(fix_auth(fix, fix->fd, &req, DIGEST_MD5, "pw"), 403);
	req.to = "101"; /* its extension's number is its own */
	assert_int_equal(fix_auth(fix, fix->fd, &req, DIGEST_MD5, "pw"), 200);
}

static void ten_failures_a_minute_close_the_door(void **state)
{
	struct fix *fix = *state;
	struct edge_stats stats;

	for (unsigned i = 0; i < LIMIT_PAIR_PER_MIN; i++)
		assert_int_equal(fix_auth(fix, fix->fd,
					  &(struct fix_req){ .method = "REGISTER", .user = "a0",
						  .callid = "b", .cseq = i + 1 }, DIGEST_MD5, "wrong"),
				 403);
	assert_non_null(strstr(fix->events, "security.sip.banned 1 "));
	/* The right password is not even looked at; others from there are. */
	assert_int_equal(send_method(fix, "REGISTER", NULL), 403);
	assert_int_equal(fix_register(fix, fix->fd, "a1", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	edge_stats(fix->edge, &stats);
	assert_int_equal(stats.auth_failed, LIMIT_PAIR_PER_MIN);
	assert_int_equal(stats.rate_limited, 1);
	assert_int_equal(stats.registrations, 1);
}

/* ------------------------------------------------------------------ limiter */

static void limits(void **state)
{
	const struct pl alice = PL("alice"), bob = PL("bob");
	struct limiter *limiter;
	struct sa src, inside, other;
	uint32_t n;

	(void)state;
	assert_int_equal(limiter_alloc(&limiter), 0);
	clk_drive(1700000000000000);
	sa_set_str(&src, "203.0.113.7", 5060);
	sa_set_str(&other, "203.0.113.8", 5060);
	sa_set_str(&inside, "10.1.1.1", 5060);

	for (unsigned i = 0; i < LIMIT_UNKNOWN; i++) {
		assert_int_equal(limiter_failed(limiter, &src, &alice, false, true, &n), LIMIT_NONE);
		assert_int_equal(limiter_failed(limiter, &inside, &alice, false, true, &n), LIMIT_NONE);
	}
	assert_int_equal(limiter_failed(limiter, &inside, &bob, false, true, &n), LIMIT_NONE);
	assert_int_equal(limiter_failed(limiter, &src, &bob, false, true, &n), LIMIT_SOURCE);
	assert_int_equal(limiter_check(limiter, &src, NULL), LIMIT_SOURCE);
	assert_int_equal(limiter_check(limiter, &other, NULL), LIMIT_NONE);
	assert_int_equal(limiter_check(limiter, &inside, NULL), LIMIT_NONE);
	clk_advance_ms(LIMIT_BAN_MS);
	assert_int_equal(limiter_check(limiter, &src, NULL), LIMIT_NONE);

	/* Thirty a minute with any names, in an address where nobody had the right password. */
	for (unsigned i = 0; i < LIMIT_SOURCE_PER_MIN - 1; i++) {
		char name[8];
		struct pl pl;

		snprintf(name, sizeof(name), "u%u", i);
		pl_set_str(&pl, name);
		assert_int_equal(limiter_failed(limiter, &other, &pl, true, false, &n), LIMIT_NONE);
	}
	limiter_passed(limiter, &other, &alice);
	assert_int_equal(limiter_failed(limiter, &other, &bob, true, false, &n), LIMIT_NONE);
	clk_advance_ms(LIMIT_GOOD_MS + 1);
	for (unsigned i = 0; i < LIMIT_SOURCE_PER_MIN - 1; i++) {
		char name[8];
		struct pl pl;

		snprintf(name, sizeof(name), "v%u", i);
		pl_set_str(&pl, name);
		(void)limiter_failed(limiter, &other, &pl, true, false, &n);
	}
	assert_int_equal(limiter_failed(limiter, &other, &bob, true, false, &n), LIMIT_SOURCE);

	/* Who has the right password is heard, though others behind the same address guess. */
	assert_int_equal(limiter_check(limiter, &other, NULL), LIMIT_SOURCE);
	limiter_passed(limiter, &other, &alice);
	assert_int_equal(limiter_check(limiter, &other, NULL), LIMIT_NONE);

	/* After a minute a name is counted anew. */
	for (unsigned i = 0; i < 2 * (LIMIT_PAIR_PER_MIN - 1); i++) {
		if (i == LIMIT_PAIR_PER_MIN - 1)
			clk_advance_ms(60 * 1000);
		assert_int_equal(limiter_failed(limiter, &inside, &alice, true, false, &n), LIMIT_NONE);
	}
	assert_int_equal(limiter_failed(limiter, &inside, &alice, true, false, &n), LIMIT_PAIR);
	mem_deref(limiter);
	clk_release();
}

static void which_addresses_are_public(void **state)
{
	static const struct {
		const char *addr;
		bool is_public;
	} want[] = {
		{ "8.8.8.8", true },        { "10.255.1.1", false },   { "172.15.0.1", true },
		{ "172.16.0.1", false },    { "172.31.9.9", false },   { "172.32.0.1", true },
		{ "192.168.0.1", false },   { "192.169.0.1", true },   { "127.0.0.9", false },
		{ "169.254.1.1", false },   { "100.64.0.1", false },   { "100.128.0.1", true },
		{ "::1", false },           { "fe80::1", false },      { "fd00::1", false },
		{ "2001:db8::1", true },    { "::ffff:10.0.0.1", false },
	};
	struct sa sa;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(sa_set_str(&sa, want[i].addr, 1), 0);
		assert_int_equal(limiter_is_public(&sa), want[i].is_public);
	}
}

/* ------------------------------------------------------------------ trace, addresses */

static void trace_masks_credentials(void **state)
{
	struct fix *fix = *state;
	const char *ids[] = { "other", "a1" };
	char *text = NULL;
	uint8_t *pcap = NULL;
	size_t len = 0, at = 24, packets = 0;
	uint32_t linktype;

	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(fix_register(fix, fix->fd, "a1", "<sip:x@127.0.0.1:5070>", 3600, 1), 200);
	assert_int_equal(edge_trace_text(fix->edge, &text, ids, 2), 0);
	assert_non_null(strstr(text, "REGISTER sip:127.0.0.1"));
	assert_non_null(strstr(text, "received UDP 127.0.0.1:"));
	assert_non_null(strstr(text, "SIP/2.0 200 OK"));
	assert_null(strstr(text, "sip:a0@"));
	assert_non_null(strstr(text, "Authorization: xxxx"));
	assert_null(strstr(text, "response="));
	assert_null(strstr(text, "c0ffee"));
	free(text);

	assert_int_equal(edge_trace_pcap(fix->edge, &pcap, &len, ids, 2), 0);
	memcpy(&linktype, pcap + 20, 4);
	assert_int_equal(linktype, 101);
	while (at < len) {
		uint32_t head[4], sum = 0;
		const uint8_t *ip;

		memcpy(head, pcap + at, 16);
		ip = pcap + at + 16;
		assert_int_equal(ip[0], 0x45);
		assert_int_equal(ip[2] << 8 | ip[3], head[2]);
		for (size_t i = 0; i < 20; i += 2)
			sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
		assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
		assert_true(llabs((long long)head[0] - clk_wall_s()) <= 2);
		at += 16 + head[2];
		packets++;
	}
	assert_int_equal(at, len);
	assert_int_equal(packets, 4);
	free(pcap);

	assert_int_equal(edge_trace_text(fix->edge, &text, ids, 1), 0);
	assert_string_equal(text, "");
	free(text);
}

static void local_address_has_the_transport_port(void **state)
{
	struct fix *fix = *state;
	struct sa sa, dst;

	sa_set_str(&dst, "127.0.0.1", 1);
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_UDP, &dst), 0);
	assert_int_equal(sa_port(&sa), fix->port);
	assert_int_equal(sa_in(&sa), INADDR_LOOPBACK);
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_TLS, &dst), -ENOENT);
}

static void wildcard_and_advertised_address(void **state)
{
	struct fix *fix = *state;
	struct sa sa, far, near;

	edge_close(fix->edge);
	fix->opts.listen = "0.0.0.0";
	fix->opts.advertise = "198.51.100.1";
	fix_start(fix);
	sa_set_str(&far, "203.0.113.1", 5060);
	sa_set_str(&near, "127.0.0.1", 5060);
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_UDP, &far), 0);
	assert_int_equal(sa_in(&sa), 0xc6336401);
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_UDP, &near), 0);
	assert_int_equal(sa_in(&sa), INADDR_LOOPBACK);
	assert_int_equal(send_method(fix, "OPTIONS", NULL), 200);
}

static void strangers_see_the_external_host(void **state)
{
	static const struct snap_net local = { { [10] = 0xff, 0xff, 10 }, 104 };
	struct fix *fix = *state;
	struct sa sa, far, near;

	fix->sip->external_host = "203.0.113.7";
	fix->sip->local_nets = &local;
	fix->sip->n_local_nets = 1;
	assert_int_equal(edge_set_outside(fix->edge), 0);
	sa_set_str(&far, "192.0.2.1", 5060);
	sa_set_str(&near, "10.1.2.3", 5060);
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_UDP, &far), 0);
	assert_int_equal(sa_in(&sa), 0xcb007107);
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_UDP, &near), 0);
	assert_int_equal(sa_in(&sa), INADDR_LOOPBACK);
	assert_int_equal(sa_in(edge_outside(fix->edge)), 0xcb007107);
	assert_int_equal(sa_port(&sa), fix->port);

	fix->sip->external_ports[SNAP_UDP] = 15060; /* and the NAT has another port for us */
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_UDP, &far), 0);
	assert_int_equal(sa_port(&sa), 15060);
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_UDP, &near), 0);
	assert_int_equal(sa_port(&sa), fix->port);

	fix->sip->external_host = "";
	assert_int_equal(edge_set_outside(fix->edge), 0);
	assert_null(edge_outside(fix->edge));
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_UDP, &far), 0);
	assert_int_not_equal(sa_in(&sa), 0xcb007107);
}

static void a_stun_server_tells_how_we_are_seen(void **state)
{
	struct fix *fix = *state;
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof(from);
	struct stun_unknown_attr unknown;
	struct stun_msg *request = NULL;
	struct mbuf *mb = mbuf_alloc(256);
	struct sa seen, far, sa;

	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&from, &len), 0);
	fix->sip->stun_server = "127.0.0.1";
	fix->sip->stun_port = ntohs(from.sin_port);
	assert_int_equal(edge_set_outside(fix->edge), 0);
	assert_null(edge_outside(fix->edge));

	mb->end = (size_t)recvfrom(fd, mb->buf, mb->size, 0, (struct sockaddr *)&from, &len);
	assert_int_equal(stun_msg_decode(&request, mb, &unknown), 0);
	assert_int_equal(stun_msg_method(request), STUN_METHOD_BINDING);
	sa_set_str(&seen, "203.0.113.9", 40000);
	mbuf_rewind(mb);
	assert_int_equal(stun_msg_encode(mb, STUN_METHOD_BINDING, STUN_CLASS_SUCCESS_RESP,
					 stun_msg_tid(request), NULL, NULL, 0, false, 0x00, 1,
					 STUN_ATTR_XOR_MAPPED_ADDR, &seen), 0);
	assert_int_equal(sendto(fd, mb->buf, mb->end, 0, (struct sockaddr *)&from, len), mb->end);
	for (int i = 0; i < 50 && !edge_outside(fix->edge); i++)
		fix_run(20);
	assert_non_null(edge_outside(fix->edge));
	assert_int_equal(sa_in(edge_outside(fix->edge)), 0xcb007109);

	/* It is a candidate, not what everybody is told: phones of our own network would not find it. */
	sa_set_str(&far, "192.0.2.1", 5060);
	assert_int_equal(edge_local_addr(fix->edge, &sa, SIP_TRANSP_UDP, &far), 0);
	assert_int_not_equal(sa_in(&sa), 0xcb007109);
	mem_deref(request);
	mem_deref(mb);
	close(fd);
}

static void ipv6_works(void **state)
{
	struct fix *fix = *state;
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	char buf[2048], ruri[64];
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	struct fix_req req = { .method = "OPTIONS", .user = "x", .callid = "6", .cseq = 1, .ruri = ruri };

	if (fd < 0 || bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)))
		skip();
	edge_close(fix->edge);
	fix->opts.listen = "127.0.0.1, ::1";
	fix_start(fix);
	snprintf(ruri, sizeof(ruri), "sip:[::1]:%u", fix->port);
	sin6.sin6_port = htons(fix->port);
	fix_print(buf, sizeof(buf), fix, &req, NULL);
	assert_int_equal(sendto(fd, buf, strlen(buf), 0, (struct sockaddr *)&sin6, sizeof(sin6)),
			 strlen(buf));
	assert_true(fix_wait(fix, fd, 500));
	assert_int_equal(fix_status(fix), 200);
	assert_true(fix_has(fix, "received=::1"));
	assert_int_equal(send_method(fix, "OPTIONS", NULL), 200);
	close(fd);
}

#define T(name, f) { name, f, fix_setup, fix_teardown, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		T("OPTIONS is answered with Allow, Accept and Supported", options_is_answered),
		T("methods outside of a dialog: 481, 405 with Allow, 501, silence for ACK",
		  methods_outside_of_a_dialog),
		T("requests of dialogs go to the handler, strangers' get 481",
		  requests_of_dialogs_go_to_the_handler),
		T("[BASE-29] accounts authenticate REGISTER and INVITE", accounts_authenticate_register_and_invite),
		T("who knows SHA-256 is offered nothing weaker", who_knows_sha_256_is_offered_nothing_weaker),
		T("[D-066] wrong password and unknown account are answered alike",
		  refusals_do_not_tell_which_part_was_wrong),
		T("[D-066] a disabled account is 403", disabled_account_is_403),
		T("[BASE-50] a transport that is off is 403", transport_that_is_off_is_403),
		T("[BASE-44] the INVITE must come from where the REGISTER came from",
		  registration_check_binds_invite_to_register),
		T("[BASE-45] the lists hold for INVITE", acl_holds_for_invite),
		T("invite_auth=registered_source: the place stands for the password",
		  registered_source_may_stand_for_the_password),
		T("credentials made for another number are refused", credentials_for_another_number_are_refused),
		T("a replayed INVITE does not pass", replayed_request_does_not_pass),
		T("REGISTER for another account is refused", register_for_another_account_is_refused),
		T("[D-245] ten failures a minute close the door for that name", ten_failures_a_minute_close_the_door),
		T("trace as text and pcap, credentials masked", trace_masks_credentials),
		T("the local address has the transport's port", local_address_has_the_transport_port),
		T("[PLT-43] strangers see the advertised address, local networks the real one",
		  wildcard_and_advertised_address),
		T("[PLT-43] the external host is what strangers see", strangers_see_the_external_host),
		T("[PLT-42] a STUN server tells how we are seen", a_stun_server_tells_how_we_are_seen),
		T("IPv6 and IPv4 together", ipv6_works),
		cmocka_unit_test(limits),
		cmocka_unit_test(which_addresses_are_public),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
