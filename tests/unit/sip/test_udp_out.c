/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the SIP sockets when, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/re.h"
#include "sip/udp_out.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PHONES	   2
#define RECEIVE_MS 5000 /* on a machine that stands still */

extern struct list *tmrl_get(void); /* libre's, not in its headers */

static struct {
	struct udp_sock *us;
	int phones[PHONES];
	struct sa at[PHONES];
} net;

static void never_h(const struct sa *src, struct mbuf *mb, void *arg)
{
	(void)src;
	(void)mb;
	(void)arg;
	fail();
}

static int setup(void **state)
{
	struct sa any;

	(void)state;
	assert_int_equal(libre_init(), 0);
	assert_int_equal(sa_set_str(&any, "127.0.0.1", 0), 0);
	assert_int_equal(udp_listen(&net.us, &any, never_h, NULL), 0);
	udp_out_add(net.us, udp_sock_fd(net.us, AF_INET));
	for (int i = 0; i < PHONES; i++) {
		net.at[i] = any;
		net.phones[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(net.phones[i], &any.u.sa, any.len), 0);
		assert_int_equal(getsockname(net.phones[i], &net.at[i].u.sa, &net.at[i].len), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	udp_out_remove(net.us);
	mem_deref(net.us);
	for (int i = 0; i < PHONES; i++)
		close(net.phones[i]);
	libre_close();
	return 0;
}

static int say(const struct sa *to, const char *text)
{
	struct mbuf *mb = mbuf_alloc(strlen(text));
	int err;

	assert_non_null(mb);
	assert_int_equal(mbuf_write_str(mb, text), 0);
	mb->pos = 0;
	err = udp_send(net.us, to, mb);
	mem_deref(mb);
	return err;
}

static void end_of_turn(void)
{
	tmr_poll(tmrl_get());
}

static void phone_gets(int phone, const char *text)
{
	struct pollfd fd = { .fd = net.phones[phone], .events = POLLIN };
	char buf[256];
	ssize_t n;

	assert_int_equal(poll(&fd, 1, RECEIVE_MS), 1);
	n = recv(net.phones[phone], buf, sizeof(buf) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_string_equal(buf, text);
}

/* Over loopback a datagram is there when the call that sent it returns. */
static void phone_has_nothing(int phone)
{
	char buf[256];

	assert_int_equal(recv(net.phones[phone], buf, sizeof(buf), MSG_DONTWAIT), -1);
}

static void what_can_wait_leaves_together_at_the_end_of_the_turn(void **state)
{
	(void)state;
	assert_int_equal(say(&net.at[0], "SIP/2.0 180 Ringing"), 0);
	assert_int_equal(say(&net.at[1], "ACK sip:b SIP/2.0"), 0);
	assert_int_equal(say(&net.at[0], "SIP/2.0 200 OK"), 0);
	assert_int_equal(say(&net.at[1], "INVITE sip:b SIP/2.0"), 0);
	assert_int_equal(say(&net.at[0], "BYE sip:a SIP/2.0"), 0);
	phone_has_nothing(0);
	phone_has_nothing(1);

	end_of_turn();
	phone_gets(0, "SIP/2.0 180 Ringing");
	phone_gets(0, "SIP/2.0 200 OK");
	phone_gets(0, "BYE sip:a SIP/2.0");
	phone_gets(1, "ACK sip:b SIP/2.0");
	phone_gets(1, "INVITE sip:b SIP/2.0");
	end_of_turn();
	phone_has_nothing(0);
}

static void another_request_leaves_at_once_and_overtakes_nothing_for_its_phone(void **state)
{
	(void)state;
	assert_int_equal(say(&net.at[0], "ACK sip:a SIP/2.0"), 0);
	assert_int_equal(say(&net.at[1], "INFO sip:b SIP/2.0"), 0);
	phone_has_nothing(0); /* the other phone's request is no reason */
	phone_gets(1, "INFO sip:b SIP/2.0");

	assert_int_equal(say(&net.at[0], "INFO sip:a SIP/2.0"), 0);
	phone_gets(0, "ACK sip:a SIP/2.0");
	phone_gets(0, "INFO sip:a SIP/2.0");
	end_of_turn();
	phone_has_nothing(0);
}

static void more_than_fit_leave_early_and_in_order(void **state)
{
	char text[64];

	(void)state;
	for (int i = 0; i < 150; i++) {
		(void)re_snprintf(text, sizeof(text), "SIP/2.0 200 %d", i);
		assert_int_equal(say(&net.at[0], text), 0);
	}
	end_of_turn();
	for (int i = 0; i < 150; i++) {
		(void)re_snprintf(text, sizeof(text), "SIP/2.0 200 %d", i);
		phone_gets(0, text);
	}
}

/* A request's error is known at once, a response's is counted; the others of the turn still leave. An
 * INVITE's error is known when it is repeated, and at once of the next one. */
static void what_cannot_be_sent_is_seen(void **state)
{
	const uint64_t before = udp_out_lost();
	struct sa everybody; /* the kernel refuses it: the socket is not allowed to broadcast */

	(void)state;
	assert_int_equal(sa_set_str(&everybody, "255.255.255.255", 5060), 0);
	assert_int_not_equal(say(&everybody, "INFO sip:a SIP/2.0"), 0);

	assert_int_equal(say(&net.at[0], "SIP/2.0 200 first"), 0);
	assert_int_equal(say(&everybody, "SIP/2.0 200 nowhere"), 0);
	assert_int_equal(say(&net.at[0], "SIP/2.0 200 last"), 0);
	end_of_turn();
	assert_int_equal(udp_out_lost(), before + 1);
	phone_gets(0, "SIP/2.0 200 first");
	phone_gets(0, "SIP/2.0 200 last");

	sa_set_port(&everybody, 5062);
	assert_int_equal(say(&everybody, "INVITE sip:a SIP/2.0"), 0);
	end_of_turn();
	assert_int_equal(udp_out_lost(), before + 2);
	assert_int_not_equal(say(&everybody, "INVITE sip:a SIP/2.0"), 0);
	assert_int_equal(say(&net.at[0], "INVITE sip:b SIP/2.0"), 0);
	end_of_turn();
	phone_gets(0, "INVITE sip:b SIP/2.0");
	assert_int_equal(udp_out_lost(), before + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_wait_leaves_together_at_the_end_of_the_turn),
		cmocka_unit_test(another_request_leaves_at_once_and_overtakes_nothing_for_its_phone),
		cmocka_unit_test(more_than_fit_leave_early_and_in_order),
		cmocka_unit_test(what_cannot_be_sent_is_seen),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
