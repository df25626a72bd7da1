/* SPDX-License-Identifier: Apache-2.0 */
#include "inv_fixture.h"
#include "sip/inv_priv.h"
#include "sip/q850.h"

/* Basic calls, both sides (RFC 3261 sections 9, 12, 13, 15). */

static int call_peer(struct ph *ph, const char *sdp, const struct inv_invite_opts *more)
{
	struct inv_invite_opts o = more ? *more : (struct inv_invite_opts){ 0 };
	struct sa dst;

	sa_set_str(&dst, "127.0.0.1", ph->fix->fd_port);
	o.ruri = "sip:peer@test";
	o.from_uri = "sip:us@test";
	o.from_name = "We \"us\"";
	o.contact_user = "us";
	o.dst = &dst;
	o.tp = SIP_TRANSP_UDP;
	o.sdp = sdp;
	return inv_invite(&ph->inv, ph->fix->edge, &o, ph_event, ph);
}

static void called_and_peer_hangs_up(void **state)
{
	struct ph *ph = *state;

	ph_invite(ph, "Allow: INVITE, ACK, BYE, CANCEL, INFO\r\n", "offer");
	assert_int_equal(ph->accept_errors, 0);
	ph_pass(ph, INV_TRYING_MS - 1);
	assert_int_equal(ph_count(ph, "100 INVITE"), 0);
	ph_pass(ph, 1);
	ph_expect(ph, "100 INVITE");
	assert_string_equal(inv_callid(ph->inv), ph->callid);
	assert_true(inv_peer_allows(ph->inv, "INFO"));
	assert_false(inv_peer_allows(ph->inv, "UPDATE"));

	assert_int_equal(inv_progress(ph->inv, 180, "Ringing", NULL, NULL), 0);
	ph_learn(ph, ph_next(ph, "180 INVITE"));
	assert_int_equal(inv_answer(ph->inv, "answer", "X-Test: 1\r\n"), 0);
	struct got *got = ph_next(ph, "200 INVITE");

	assert_non_null(got);
	assert_non_null(strstr(got->text, "\r\n\r\nanswer"));
	assert_non_null(strstr(got->text, "X-Test: 1\r\n"));
	assert_non_null(strstr(got->text, "Content-Type: application/sdp\r\n"));
	assert_non_null(strstr(got->text, "Contact: <sip:us@127.0.0.1:"));
	assert_non_null(strstr(got->text, "Allow: INVITE, ACK, BYE"));
	assert_non_null(strstr(got->text, ";rport="));
	assert_true(inv_is_established(ph->inv));
	ph_request(ph, "ACK", 1, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "ACK\n");

	ph_request(ph, "BYE", 2, NULL, "Reason: SIP;cause=200, Q.850;cause=17\r\n", NULL);
	ph_expect(ph, "200 BYE");
	assert_string_equal(ph_log(ph), "ENDED 200 q17 peer\n");
	assert_null(ph->inv);
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

static void called_and_we_hang_up(void **state)
{
	struct ph *ph = *state;
	char branch[8192];

	ph_invite(ph, NULL, "offer");
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	ph_learn(ph, ph_next(ph, "200 INVITE"));
	ph_request(ph, "ACK", 1, NULL, NULL, NULL);
	inv_end(ph->inv, 200, NULL, 16);
	struct got *got = ph_next(ph, "BYE");

	assert_non_null(got);
	/* The Contact of the peer is behind NAT: BYE names it and goes to where the peer is. */
	assert_true(strstr(got->text, "BYE sip:peer@192.168.250.1:5060") == got->text);
	assert_non_null(strstr(got->text, "Reason: Q.850;cause=16\r\n"));
	assert_non_null(strstr(got->text, "To: \"Peer\" <sip:peer@test>;tag=p"));
	str_ncpy(branch, got->text, sizeof(branch));
	ph_reply(ph, branch, 200, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "ACK\nENDED 200 q16\n");
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

static void answer_is_repeated_until_ack(void **state)
{
	struct ph *ph = *state;

	ph_invite(ph, NULL, "offer");
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	ph_learn(ph, ph_next(ph, "200 INVITE"));
	ph_pass(ph, 500);
	ph_expect(ph, "200 INVITE");
	ph_pass(ph, 1000);
	ph_expect(ph, "200 INVITE");
	ph_pass(ph, 2000);
	ph_expect(ph, "200 INVITE");
	ph_request(ph, "ACK", 1, NULL, NULL, NULL);
	ph_pass(ph, 10000);
	assert_int_equal(ph_count(ph, "200 INVITE"), 0);
	assert_string_equal(ph_log(ph), "ACK\n");
}

static void no_ack_ends_the_call(void **state)
{
	struct ph *ph = *state;

	ph_invite(ph, NULL, "offer");
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	ph_learn(ph, ph_next(ph, "200 INVITE"));
	ph_pass(ph, 31500);
	assert_string_equal(ph_log(ph), "");
	ph_pass(ph, 1000);
	ph_expect(ph, "BYE");
	assert_string_equal(ph_log(ph), "ENDED 408 q102\n");
}

/* RFC 3261 section 15: no BYE before the ACK; the owner need not wait. */
static void bye_waits_for_the_ack(void **state)
{
	struct ph *ph = *state;

	ph_invite(ph, NULL, "offer");
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	ph_learn(ph, ph_next(ph, "200 INVITE"));
	inv_end(ph->inv, 200, NULL, 16);
	assert_string_equal(ph_log(ph), "ENDED 200 q16\n");
	assert_int_equal(ph_count(ph, "BYE"), 0);
	ph_pass(ph, 500);
	ph_expect(ph, "200 INVITE");
	ph_request(ph, "ACK", 1, NULL, NULL, NULL);
	struct got *got = ph_next(ph, "BYE");

	assert_non_null(got);
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

/* The end of the program, when nothing but the outstanding BYE holds the dialog any more. */
static void closes_while_a_bye_waits(void **state)
{
	struct ph *ph = *state;

	ph_invite(ph, NULL, "offer");
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	ph_learn(ph, ph_next(ph, "200 INVITE"));
	inv_end(ph->inv, 200, NULL, 16);
	assert_string_equal(ph_log(ph), "ENDED 200 q16\n");
	ph->inv = mem_deref(ph->inv);
	assert_int_equal(inv_count(ph->fix->edge), 1);
	inv_close(ph->fix->edge);
	assert_int_equal(ph_count(ph, "BYE"), 0);
}

static void peer_cancels(void **state)
{
	struct ph *ph = *state;

	ph_invite(ph, NULL, "offer");
	assert_int_equal(inv_progress(ph->inv, 180, NULL, NULL, NULL), 0);
	ph_request(ph, "CANCEL", 1, ph->branch, NULL, NULL);
	ph_expect(ph, "200 CANCEL");
	assert_string_equal(ph_log(ph), "ENDED 487 q16 peer\n");
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

static void rejected_with_reason(void **state)
{
	struct ph *ph = *state;

	ph_invite(ph, NULL, "offer");
	assert_int_equal(inv_reject(ph->inv, 486, "Busy Here", 17, "X-Why: busy\r\n"), 0);
	struct got *got = ph_next(ph, "486 INVITE");

	assert_non_null(got);
	assert_non_null(strstr(got->text, "Reason: Q.850;cause=17\r\n"));
	assert_non_null(strstr(got->text, "X-Why: busy\r\n"));
	assert_string_equal(ph_log(ph), "ENDED 486 q17\n");
}

static void what_the_rfc_settles_is_refused(void **state)
{
	struct ph *ph = *state;
	struct got *got;

	ph_invite(ph, "Require: 100rel, foo, bar\r\n", "offer");
	got = ph_next(ph, "420 INVITE");
	assert_non_null(got);
	assert_non_null(strstr(got->text, "Unsupported: foo, bar\r\n"));

	ph_invite(ph, "Supported: timer\r\nSession-Expires: 60\r\n", "offer");
	got = ph_next(ph, "422 INVITE");
	assert_non_null(got);
	assert_non_null(strstr(got->text, "Min-SE: 90\r\n"));

	ph_invite(ph, "Contact: <mailto:x y>\r\n", "offer");
	ph_expect(ph, "400 INVITE");

	snprintf(ph->callid, sizeof(ph->callid), "other");
	ph->to_tag[0] = '\0';
	ph_send(ph,
		"INVITE sip:us@127.0.0.1:%u SIP/2.0\r\nVia: SIP/2.0/UDP "
		"127.0.0.1:%u;branch=z9hG4bKq\r\n"
		"From: <sip:p@t>;tag=1\r\nTo: <sip:u@t>\r\nCall-ID: q\r\nCSeq: 1 INVITE\r\n"
		"Contact: <sip:p@127.0.0.1:%u>\r\nContent-Type: text/plain\r\nContent-Length: "
		"2\r\n\r\nhi",
		ph->fix->port, ph->fix->fd_port, ph->fix->fd_port);
	got = ph_next(ph, "415 INVITE");
	assert_non_null(got);
	assert_non_null(strstr(got->text, "Accept: application/sdp"));
	assert_int_equal(ph->accept_errors, 4);
	assert_null(ph->inv);
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

static void multipart_offer_is_found(void **state)
{
	struct ph *ph = *state;
	static const char body[] =
		"preamble\r\n--b1\r\nContent-Type: application/isup\r\n\r\n\x01\x02\r\n"
		"--b1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b1--\r\n";

	ph_send(ph,
		"INVITE sip:us@127.0.0.1:%u SIP/2.0\r\nVia: SIP/2.0/UDP "
		"127.0.0.1:%u;branch=z9hG4bKq\r\n"
		"From: <sip:p@t>;tag=1\r\nTo: <sip:u@t>\r\nCall-ID: q\r\nCSeq: 1 INVITE\r\n"
		"Contact: <sip:p@127.0.0.1:%u>\r\n"
		"Content-Type: multipart/mixed;boundary=b1\r\nContent-Length: %zu\r\n\r\n%s",
		ph->fix->port, ph->fix->fd_port, ph->fix->fd_port, sizeof(body) - 1, body);
	assert_non_null(ph->inv);
	inv_end(ph->inv, 480, NULL, 0);
	ph_expect(ph, "480 INVITE");
}

/* ------------------------------------------------------------------ we call */

static void we_call_and_hang_up(void **state)
{
	struct ph *ph = *state;
	static char invite[8192], ack[8192];
	struct got *got;

	assert_int_equal(call_peer(ph, "offer", NULL), 0);
	got = ph_next(ph, "INVITE");
	assert_non_null(got);
	str_ncpy(invite, got->text, sizeof(invite));
	assert_true(strstr(invite, "INVITE sip:peer@test SIP/2.0\r\n") == invite);
	assert_non_null(strstr(invite, "From: \"We \\\"us\\\"\" <sip:us@test>;tag="));
	assert_non_null(strstr(invite, "Supported: 100rel, timer\r\n"));
	assert_non_null(strstr(invite, "\r\n\r\noffer"));
	assert_non_null(strstr(invite, "Max-Forwards: 70\r\n"));
	ph_reply(ph, invite, 100, NULL, NULL, NULL);
	ph_reply(ph, invite, 180, "t1", NULL, NULL);
	ph_reply(ph, invite, 183, "t1", NULL, "early");
	ph_reply(ph, invite, 200, "t1", "Record-Route: <sip:127.0.0.1:9;lr>, <sip:p2;lr>\r\n",
		 "answer");
	assert_string_equal(ph_log(ph), "PROGRESS 180 #1\nPROGRESS 183 #1 [early]\n"
					"ANSWERED 200 #1 [answer]\n");
	got = ph_next(ph, "ACK");
	assert_non_null(got);
	str_ncpy(ack, got->text, sizeof(ack));
	assert_non_null(strstr(ack, ";tag=t1\r\n"));

	/* The 2xx again: the same ACK again. */
	ph_reply(ph, invite, 200, "t1", NULL, "answer");
	got = ph_next(ph, "ACK");
	assert_non_null(got);
	assert_string_equal(got->text, ack);

	inv_end(ph->inv, 200, NULL, 16);
	got = ph_next(ph, "BYE");
	assert_non_null(got);
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "ENDED 200 q16\n");
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

static void peer_hangs_up_on_our_call(void **state)
{
	struct ph *ph = *state;
	static char invite[8192];

	assert_int_equal(call_peer(ph, "offer", NULL), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	ph_reply(ph, invite, 200, "t1", NULL, "answer");
	ph_expect(ph, "ACK");
	ph_request_in(ph, invite, "t1", "BYE", 7, NULL, NULL);
	ph_expect(ph, "200 BYE");
	assert_string_equal(ph_log(ph), "ANSWERED 200 #1 [answer]\nENDED 200 q16 peer\n");
}

static void failures_carry_code_and_cause(void **state)
{
	static const struct {
		unsigned scode;
		const char *extra, *log;
	} cases[] = {
		{ 486, NULL, "ENDED 486 q17 peer\n" },
		{ 404, NULL, "ENDED 404 q1 peer\n" },
		{ 480, "Reason: Q.850;cause=20;text=\"x\"\r\n", "ENDED 480 q20 peer\n" },
		{ 302, "Contact: <sip:else@where>\r\n", "ENDED 302 q127 peer\n" },
		{ 401, NULL, "ENDED 401 q21 peer\n" },
		{ 603, NULL, "ENDED 603 q21 peer\n" },
	};
	struct ph *ph = *state;
	static char invite[8192];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(call_peer(ph, "offer", NULL), 0);
		str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
		ph_reply(ph, invite, cases[i].scode, "t1", cases[i].extra, NULL);
		ph_expect(ph, "ACK");
		assert_string_equal(ph_log(ph), cases[i].log);
		assert_null(ph->inv);
	}
}

static void nobody_answers_the_invite(void **state)
{
	struct ph *ph = *state;

	assert_int_equal(call_peer(ph, "offer", NULL), 0);
	ph_pass(ph, 33000);
	assert_true(ph_count(ph, "INVITE") >= 6);
	assert_string_equal(ph_log(ph), "ENDED 408 q102\n");
}

static void cancel_waits_for_a_provisional(void **state)
{
	struct ph *ph = *state;
	static char invite[8192], cancel[8192];

	assert_int_equal(call_peer(ph, "offer", NULL), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	inv_end(ph->inv, 200, "Call completed elsewhere", 0);
	assert_string_equal(ph_log(ph), "ENDED 200 q16\n");
	assert_int_equal(ph_count(ph, "CANCEL"), 0);
	ph_reply(ph, invite, 180, "t1", NULL, NULL);
	str_ncpy(cancel, ph_next(ph, "CANCEL")->text, sizeof(cancel));
	assert_non_null(
		strstr(cancel, "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n"));
	/* Same branch as the INVITE, no tag in To (section 9.1). */
	assert_non_null(strstr(cancel, "To: <sip:peer@test>\r\n"));
	const char *via = strstr(invite, "Via:");

	assert_memory_equal(strstr(cancel, "Via:"), via, strcspn(via, "\r"));

	/* Repeated until it is answered. */
	ph_pass(ph, 500);
	ph_expect(ph, "CANCEL");
	ph_reply(ph, cancel, 200, "t1", NULL, NULL);
	ph_pass(ph, 5000);
	assert_int_equal(ph_count(ph, "CANCEL"), 0);
	ph_reply(ph, invite, 487, "t1", NULL, NULL);
	ph_expect(ph, "ACK");
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

static void answer_that_crosses_our_cancel_is_ended(void **state)
{
	struct ph *ph = *state;
	static char invite[8192];
	struct got *got;

	assert_int_equal(call_peer(ph, "offer", NULL), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	ph_reply(ph, invite, 180, "t1", NULL, NULL);
	inv_end(ph->inv, 487, NULL, 0);
	ph_expect(ph, "CANCEL");
	ph_reply(ph, invite, 200, "t1", NULL, "answer");
	ph_expect(ph, "ACK");
	got = ph_next(ph, "BYE");
	assert_non_null(got);
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "PROGRESS 180 #1\nENDED 487 q16\n");
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

static void cancel_without_any_final_gives_up(void **state)
{
	struct ph *ph = *state;
	static char invite[8192];

	assert_int_equal(call_peer(ph, "offer", NULL), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	ph_reply(ph, invite, 180, "t1", NULL, NULL);
	inv_end(ph->inv, 487, NULL, 0);
	ph_pass(ph, 33000);
	assert_string_equal(ph_log(ph), "PROGRESS 180 #1\nENDED 487 q16\n");
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

static void forks_are_told_apart_and_late_answers_ended(void **state)
{
	struct ph *ph = *state;
	static char invite[8192];
	struct got *got;

	assert_int_equal(call_peer(ph, "offer", NULL), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	ph_reply(ph, invite, 180, "t1", NULL, NULL);
	ph_reply(ph, invite, 183, "t2", NULL, "early2");
	ph_reply(ph, invite, 180, "t1", NULL, NULL);
	ph_reply(ph, invite, 200, "t2", NULL, "answer2");
	got = ph_next(ph, "ACK");
	assert_non_null(strstr(got->text, ";tag=t2\r\n"));
	assert_string_equal(ph_log(ph),
			    "PROGRESS 180 #1\nPROGRESS 183 #2 [early2]\nPROGRESS 180 #1\n"
			    "ANSWERED 200 #2 [answer2]\n");
	/* The other phone was answered as well: ACK and BYE to it, our call goes on. */
	ph_reply(ph, invite, 200, "t1", NULL, "answer1");
	got = ph_next(ph, "ACK");
	assert_non_null(strstr(got->text, ";tag=t1\r\n"));
	got = ph_next(ph, "BYE");
	assert_non_null(strstr(got->text, ";tag=t1\r\n"));
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	ph_reply(ph, invite, 200, "t1", NULL, "answer1");
	ph_expect(ph, "ACK");
	assert_int_equal(ph_count(ph, "BYE"), 0);
	assert_string_equal(ph_log(ph), "");
	assert_true(inv_is_established(ph->inv));
}

static void delayed_offer_is_answered_in_the_ack(void **state)
{
	struct ph *ph = *state;
	static char invite[8192];
	struct got *got;

	assert_int_equal(call_peer(ph, NULL, NULL), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	assert_non_null(strstr(invite, "Supported: timer\r\n"));
	ph_reply(ph, invite, 200, "t1", NULL, "their offer");
	assert_string_equal(ph_log(ph), "ANSWERED 200 #1 [their offer]\n");
	assert_int_equal(ph_count(ph, "ACK"), 0);
	assert_int_equal(inv_ack(ph->inv, "our answer"), 0);
	got = ph_next(ph, "ACK");
	assert_non_null(strstr(got->text, "\r\n\r\nour answer"));
	assert_int_equal(inv_ack(ph->inv, "again"), -ENOENT);

	/* and the other way round */
	inv_end(ph->inv, 200, NULL, 16);
	ph_reply(ph, ph_next(ph, "BYE")->text, 200, NULL, NULL, NULL);
	(void)ph_log(ph);
	ph_invite(ph, NULL, NULL);
	assert_int_equal(inv_answer(ph->inv, "our offer", NULL), 0);
	ph_learn(ph, ph_next(ph, "200 INVITE"));
	ph_request(ph, "ACK", 1, NULL, NULL, "their answer");
	assert_string_equal(ph_log(ph), "ACK [their answer]\n");
}

static void challenges_are_answered(void **state)
{
	struct ph *ph = *state;
	static char invite[8192];
	struct got *got;

	assert_int_equal(
		call_peer(ph, "offer",
			  &(struct inv_invite_opts){ .auth_user = "us", .auth_password = "pw" }),
		0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	ph_reply(ph, invite, 407, "t0",
		 "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", "
		 "algorithm=MD5\r\n"
		 "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", "
		 "algorithm=SHA-256\r\n",
		 NULL);
	got = ph_next(ph, "INVITE");
	assert_non_null(got);
	str_ncpy(invite, got->text, sizeof(invite));
	assert_non_null(strstr(invite, "Proxy-Authorization: Digest username=\"us\", realm=\"r\""));
	assert_non_null(strstr(invite, "algorithm=SHA-256"));
	assert_non_null(strstr(invite, "nc=00000001"));
	assert_non_null(strstr(invite, "\r\n\r\noffer"));
	ph_reply(ph, invite, 200, "t1", NULL, "answer");
	got = ph_next(ph, "ACK");
	assert_non_null(strstr(got->text, "Proxy-Authorization: "));
	assert_string_equal(ph_log(ph), "ANSWERED 200 #1 [answer]\n");

	/* A BYE that is challenged anew is sent again, though the owner has left. */
	inv_end(ph->inv, 200, NULL, 16);
	str_ncpy(invite, ph_next(ph, "BYE")->text, sizeof(invite));
	ph_reply(ph, invite, 401, "t1", "WWW-Authenticate: Digest realm=\"w\", nonce=\"m\"\r\n",
		 NULL);
	got = ph_next(ph, "BYE");
	assert_non_null(got);
	assert_non_null(
		strstr(got->text, "\r\nAuthorization: Digest username=\"us\", realm=\"w\""));
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

static void wrong_credentials_end_the_call(void **state)
{
	struct ph *ph = *state;
	static char invite[8192];

	assert_int_equal(
		call_peer(ph, "offer",
			  &(struct inv_invite_opts){ .auth_user = "us", .auth_password = "bad" }),
		0);
	for (int i = 0; i < 2; i++) {
		str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
		ph_reply(ph, invite, 401, "t0",
			 "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n", NULL);
	}
	assert_string_equal(ph_log(ph), "ENDED 401 q21 peer\n");
}

static void tcp_dialog_stays_on_its_connection(void **state)
{
	struct ph *ph = *state;
	struct got *got;

	ph_invite(ph, NULL, "offer");
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	got = ph_next(ph, "200 INVITE");
	assert_non_null(strstr(got->text, ";transport=tcp>"));
	ph_learn(ph, got);
	ph_request(ph, "ACK", 1, NULL, NULL, NULL);
	assert_int_equal(inv_info(ph->inv, "application/dtmf-relay", "Signal=5\r\n"), 0);
	got = ph_next(ph, "INFO");
	assert_non_null(got);
	assert_non_null(strstr(got->text, "Via: SIP/2.0/TCP 127.0.0.1:"));
	assert_non_null(strstr(got->text, "Content-Type: application/dtmf-relay\r\n"));
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	inv_end(ph->inv, 200, NULL, 16);
	ph_reply(ph, ph_next(ph, "BYE")->text, 200, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "ACK\nENDED 200 q16\n");
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

/* Bound to every address, we still name the one that the peer reaches us at. */
static void wildcard_never_shows(void **state)
{
	struct ph *ph = *state;
	static char invite[8192];
	char via[64];
	struct got *got;

	snprintf(via, sizeof(via), "Via: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK", ph->fix->port);
	assert_int_equal(call_peer(ph, "offer", NULL), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	assert_non_null(strstr(invite, via));
	assert_null(strstr(invite, "0.0.0.0"));
	ph_reply(ph, invite, 200, "t1", NULL, "answer");
	got = ph_next(ph, "ACK");
	assert_non_null(got);
	assert_non_null(strstr(got->text, via));
	inv_end(ph->inv, 200, NULL, 16);
	got = ph_next(ph, "BYE");
	assert_non_null(got);
	assert_non_null(strstr(got->text, via));
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

/* The peer listens at the port that its Via and Contact name. */
static int listen_as_peer(const struct ph *ph)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(ph->fix->fd_port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 5), 0);
	return fd;
}

static void hang_up_connection(struct ph *ph)
{
	close(ph->conn);
	ph->conn = -1;
	ph_turn(ph);
}

static void caller_that_is_gone_has_cancelled(void **state)
{
	struct ph *ph = *state;

	ph_invite(ph, NULL, "offer");
	assert_int_equal(inv_progress(ph->inv, 180, NULL, NULL, NULL), 0);
	ph_expect(ph, "180 INVITE");
	ph_pass(ph, 60000);
	assert_string_equal(ph_log(ph), "");
	hang_up_connection(ph);
	ph_pass(ph, 1500);
	assert_string_equal(ph_log(ph), "ENDED 487 q16 peer\n");
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

/* RFC 3261 section 18.2.2: a proxy that closes what is idle. */
static void caller_that_listens_is_answered_over_a_new_connection(void **state)
{
	struct ph *ph = *state;
	int fd = listen_as_peer(ph);
	char ping[4];

	ph_invite(ph, NULL, "offer");
	ph_pass(ph, INV_TRYING_MS);
	ph_expect(ph, "100 INVITE");
	hang_up_connection(ph);
	ph_pass(ph, 1500);
	ph->conn = accept(fd, NULL, NULL);
	assert_true(ph->conn >= 0);
	assert_int_equal(recv(ph->conn, ping, sizeof(ping), MSG_WAITALL), sizeof(ping));
	assert_memory_equal(ping, "\r\n\r\n", sizeof(ping));
	ph_pass(ph, 60000);
	assert_string_equal(ph_log(ph), "");
	assert_int_equal(inv_reject(ph->inv, 486, NULL, 0, NULL), 0);
	ph_expect(ph, "486 INVITE");
	close(fd);
}

static void callee_that_is_gone_has_failed(void **state)
{
	struct ph *ph = *state;
	int fd = listen_as_peer(ph);
	struct inv_invite_opts o = { .ruri = "sip:peer@test", .from_uri = "sip:us@test",
				     .tp = SIP_TRANSP_TCP, .sdp = "offer" };
	static char invite[8192];
	struct sa dst;

	sa_set_str(&dst, "127.0.0.1", ph->fix->fd_port);
	o.dst = &dst;
	assert_int_equal(inv_invite(&ph->inv, ph->fix->edge, &o, ph_event, ph), 0);
	ph_turn(ph);
	close(ph->conn);
	ph->conn = accept(fd, NULL, NULL);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	ph_reply(ph, invite, 180, "t1", NULL, NULL);
	ph_pass(ph, 60000);
	assert_string_equal(ph_log(ph), "PROGRESS 180 #1\n");
	close(fd);
	hang_up_connection(ph);
	ph_pass(ph, 1500);
	assert_string_equal(ph_log(ph), "ENDED 503 q41\n");
	ph_pass(ph, 33000);
	assert_int_equal(inv_count(ph->fix->edge), 0);
}

/* RFC 3398 sections 7.2.4.1 and 8.2.6.1. */
static void causes_follow_the_table(void **state)
{
	static const struct {
		uint16_t scode;
		uint8_t cause;
	} to_cause[] = { { 200, 16 }, { 404, 1 },  { 480, 18 }, { 484, 28 }, { 486, 17 },
			 { 503, 41 }, { 600, 17 }, { 603, 21 }, { 699, 127 } },
	  to_scode[] = { { 404, 1 },   { 486, 17 },  { 408, 18 }, { 480, 19 }, { 403, 21 },
			 { 410, 22 },  { 502, 27 },  { 484, 28 }, { 503, 34 }, { 488, 65 },
			 { 504, 102 }, { 500, 127 }, { 500, 99 } };

	for (size_t i = 0; i < ARRAY_SIZE(to_cause); i++)
		assert_int_equal(q850_from_sip(to_cause[i].scode), to_cause[i].cause);
	for (size_t i = 0; i < ARRAY_SIZE(to_scode); i++)
		assert_int_equal(sip_from_q850(to_scode[i].cause), to_scode[i].scode);
	for (unsigned n = 0; n < 1000; n++)
		assert_true(q850_from_sip((uint16_t)n) > 0);
}

#define UDP(name) cmocka_unit_test_setup_teardown(name, ph_setup_udp, ph_teardown)
#define TCP(name) cmocka_unit_test_setup_teardown(name, ph_setup_tcp, ph_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UDP(called_and_peer_hangs_up),
		UDP(called_and_we_hang_up),
		UDP(answer_is_repeated_until_ack),
		UDP(no_ack_ends_the_call),
		UDP(bye_waits_for_the_ack),
		UDP(closes_while_a_bye_waits),
		UDP(peer_cancels),
		UDP(rejected_with_reason),
		UDP(what_the_rfc_settles_is_refused),
		UDP(multipart_offer_is_found),
		UDP(we_call_and_hang_up),
		UDP(peer_hangs_up_on_our_call),
		UDP(failures_carry_code_and_cause),
		UDP(nobody_answers_the_invite),
		UDP(cancel_waits_for_a_provisional),
		UDP(answer_that_crosses_our_cancel_is_ended),
		UDP(cancel_without_any_final_gives_up),
		UDP(forks_are_told_apart_and_late_answers_ended),
		UDP(delayed_offer_is_answered_in_the_ack),
		UDP(challenges_are_answered),
		UDP(wrong_credentials_end_the_call),
		TCP(tcp_dialog_stays_on_its_connection),
		TCP(caller_that_is_gone_has_cancelled),
		TCP(caller_that_listens_is_answered_over_a_new_connection),
		TCP(callee_that_is_gone_has_failed),
		cmocka_unit_test_setup_teardown(wildcard_never_shows, ph_setup_wildcard,
						ph_teardown),
		cmocka_unit_test(causes_follow_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
