/* SPDX-License-Identifier: Apache-2.0 */
#include "inv_fixture.h"
#include "sip/inv_priv.h"

/* Reliable provisional responses, offers inside dialogs, session timers, export. */

#define LATE_MS 50 /* long timers may be (base/timer.h) */

static int call_peer(struct ph *ph, const char *sdp, uint32_t se_s)
{
	struct inv_invite_opts o = { .ruri = "sip:peer@test",
				     .from_uri = "sip:us@test",
				     .contact_user = "us",
				     .tp = SIP_TRANSP_UDP,
				     .sdp = sdp,
				     .session_expires_s = se_s,
				     .min_se_s = se_s ? 90 : 0 };
	struct sa dst;

	sa_set_str(&dst, "127.0.0.1", ph->fix->fd_port);
	o.dst = &dst;
	return inv_invite(&ph->inv, ph->fix->edge, &o, ph_event, ph);
}

/* We are called and talk. */
static void be_called(struct ph *ph, const char *extra)
{
	ph_invite(ph, extra, "offer");
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	ph_learn(ph, ph_next(ph, "200 INVITE"));
	ph_request(ph, "ACK", 1, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "ACK\n");
}

/* We call and talk; the text of our INVITE. */
static const char *call_up(struct ph *ph, const char *extra, uint32_t se_s)
{
	static char invite[8192];

	assert_int_equal(call_peer(ph, "offer", se_s), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	ph_reply(ph, invite, 200, "t1", extra, "answer");
	ph_expect(ph, "ACK");
	assert_string_equal(ph_log(ph), "ANSWERED 200 #1 [answer]\n");
	return invite;
}

static uint32_t rseq_of(const struct got *got)
{
	const char *at = strstr(got->text, "RSeq: ");

	return at ? (uint32_t)strtoul(at + 6, NULL, 10) : 0;
}

/* ------------------------------------------------------------------ RFC 3262 */

static void reliable_progress_is_repeated_until_prack(void **state)
{
	struct ph *ph = *state;
	char rack[64];
	uint32_t rseq;

	ph_invite(ph, "Supported: 100rel\r\n", "offer");
	assert_int_equal(inv_progress(ph->inv, 180, NULL, NULL, NULL), 0);
	assert_int_equal(rseq_of(ph_next(ph, "180 INVITE")),
			 0); /* supported, no SDP: not reliable */
	assert_int_equal(inv_progress(ph->inv, 183, NULL, "answer", NULL), 0);
	struct got *got = ph_next(ph, "183 INVITE");

	assert_non_null(strstr(got->text, "Require: 100rel\r\n"));
	rseq = rseq_of(got);
	assert_true(rseq > 0);
	ph_learn(ph, got);
	ph_pass(ph, 500);
	ph_expect(ph, "183 INVITE");
	ph_pass(ph, 1000);
	ph_expect(ph, "183 INVITE");

	/* The answer waits for the PRACK, since the 183 carried SDP. */
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	assert_int_equal(ph_count(ph, "200 INVITE"), 0);

	snprintf(rack, sizeof(rack), "RAck: %u 1 INVITE\r\n", rseq + 1);
	ph_request(ph, "PRACK", 2, NULL, rack, NULL);
	ph_expect(ph, "481 PRACK");
	snprintf(rack, sizeof(rack), "RAck: %u 1 INVITE\r\n", rseq);
	ph_request(ph, "PRACK", 3, NULL, rack, NULL);
	ph_expect(ph, "200 PRACK");
	got = ph_next(ph, "200 INVITE");
	assert_non_null(got);
	assert_null(strstr(got->text, "\r\n\r\nanswer")); /* said already */
	ph_pass(ph, 400);
	assert_int_equal(ph_count(ph, "183 INVITE"), 0);
	ph_request(ph, "ACK", 1, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "ACK\n");
}

static void required_reliability_queues_in_order(void **state)
{
	struct ph *ph = *state;
	char rack[64];
	uint32_t rseq;

	ph_invite(ph, "Require: 100rel\r\n", "offer");
	assert_int_equal(inv_progress(ph->inv, 180, NULL, NULL, NULL), 0);
	assert_int_equal(inv_progress(ph->inv, 183, NULL, "answer", NULL), 0);
	struct got *got = ph_next(ph, "180 INVITE");

	rseq = rseq_of(got);
	assert_true(rseq > 0);
	ph_learn(ph, got);
	assert_int_equal(ph_count(ph, "183 INVITE"), 0);
	snprintf(rack, sizeof(rack), "RAck: %u 1 INVITE\r\n", rseq);
	ph_request(ph, "PRACK", 2, NULL, rack, NULL);
	got = ph_next(ph, "183 INVITE");
	assert_non_null(got);
	assert_int_equal(rseq_of(got), rseq + 1);
	/* Nobody acknowledges this one: RFC 3262 section 3. */
	ph_pass(ph, 33000);
	ph_expect(ph, "504 INVITE");
	assert_string_equal(ph_log(ph), "ENDED 504 q102\n");
}

static void delayed_offer_in_progress_is_answered_in_prack(void **state)
{
	struct ph *ph = *state;
	char rack[64];

	ph_invite(ph, "Supported: 100rel\r\n", NULL);
	assert_int_equal(inv_progress(ph->inv, 183, NULL, "our offer", NULL), 0);
	struct got *got = ph_next(ph, "183 INVITE");

	ph_learn(ph, got);
	snprintf(rack, sizeof(rack), "RAck: %u 1 INVITE\r\n", rseq_of(got));
	ph_request(ph, "PRACK", 2, NULL, rack, "their answer");
	ph_expect(ph, "200 PRACK");
	assert_string_equal(ph_log(ph), "REANSWER 200 [their answer]\n");

	/* A later PRACK may bring an offer, answered in its own response. */
	assert_int_equal(inv_progress(ph->inv, 183, NULL, "our offer", NULL), 0);
	got = ph_next(ph, "183 INVITE");
	snprintf(rack, sizeof(rack), "RAck: %u 1 INVITE\r\n", rseq_of(got));
	ph_request(ph, "PRACK", 3, NULL, rack, "their offer");
	assert_string_equal(ph_log(ph), "OFFER [their offer]\n");
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "our answer"), 0);
	got = ph_next(ph, "200 PRACK");
	assert_non_null(strstr(got->text, "\r\n\r\nour answer"));
	inv_end(ph->inv, 480, NULL, 0);
	ph_expect(ph, "480 INVITE");
}

static void reliable_progress_is_acknowledged_once_and_in_order(void **state)
{
	struct ph *ph = *state;
	static char invite[8192];
	struct got *got;
	char cseq[64];

	assert_int_equal(call_peer(ph, "offer", 0), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	ph_reply(ph, invite, 180, "t1", "Require: 100rel\r\nRSeq: 77\r\n", NULL);
	got = ph_next(ph, "PRACK");
	snprintf(cseq, sizeof(cseq), "RAck: 77 %lu INVITE\r\n",
		 strtoul(strstr(invite, "CSeq: ") + 6, NULL, 10));
	assert_non_null(strstr(got->text, cseq));
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	ph_reply(ph, invite, 180, "t1", "Require: 100rel\r\nRSeq: 77\r\n", NULL); /* again */
	ph_reply(ph, invite, 183, "t1", "Require: 100rel\r\nRSeq: 79\r\n", "gap");
	assert_int_equal(ph_count(ph, "PRACK"), 0);
	ph_reply(ph, invite, 183, "t1", "Require: 100rel\r\nRSeq: 78\r\n", "early");
	got = ph_next(ph, "PRACK");
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	/* Another fork counts by itself. */
	ph_reply(ph, invite, 180, "t2", "Require: 100rel\r\nRSeq: 5\r\n", NULL);
	got = ph_next(ph, "PRACK");
	assert_non_null(strstr(got->text, ";tag=t2\r\n"));
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph),
			    "PROGRESS 180 #1\nPROGRESS 183 #1 [early]\nPROGRESS 180 #2\n");
	ph_reply(ph, invite, 200, "t1", NULL, NULL);
	ph_expect(ph, "ACK");
	assert_string_equal(ph_log(ph), "ANSWERED 200 #1\n");
}

/* ------------------------------------------------------------------ re-INVITE and UPDATE */

static void peer_holds_by_reinvite(void **state)
{
	struct ph *ph = *state;
	struct got *got;
	char contact[64];

	be_called(ph, NULL);
	snprintf(contact, sizeof(contact), "Contact: <sip:moved@127.0.0.1:%u>\r\n",
		 ph->fix->fd_port);
	ph_request(ph, "INVITE", 2, NULL, contact, "hold");
	ph_expect(ph, "100 INVITE");
	assert_string_equal(ph_log(ph), "OFFER [hold]\n");
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "held"), 0);
	got = ph_next(ph, "200 INVITE");
	assert_non_null(strstr(got->text, "\r\n\r\nheld"));
	ph_pass(ph, 500);
	ph_expect(ph, "200 INVITE"); /* until the ACK */
	ph_request(ph, "ACK", 2, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "");

	ph_request(ph, "INVITE", 3, NULL, NULL, "bad");
	assert_string_equal(ph_log(ph), "OFFER [bad]\n");
	assert_int_equal(inv_reanswer(ph->inv, 488, NULL, NULL), 0);
	ph_expect(ph, "488 INVITE");
	ph_request(ph, "ACK", 3, NULL, NULL, NULL);
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "late"), -ENOENT);

	/* The target moved with the first re-INVITE, not with the refused one. */
	inv_end(ph->inv, 200, NULL, 16);
	got = ph_next(ph, "BYE");
	assert_true(strstr(got->text, "BYE sip:moved@127.0.0.1:") == got->text);
}

static void peer_asks_for_our_offer(void **state)
{
	struct ph *ph = *state;

	be_called(ph, NULL);
	ph_request(ph, "INVITE", 2, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "OFFER\n");
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "our offer"), 0);
	ph_expect(ph, "200 INVITE");
	ph_request(ph, "ACK", 2, NULL, NULL, "their answer");
	assert_string_equal(ph_log(ph), "ACK [their answer]\n");

	/* Without an answer it is told all the same; after an answer of ours there is nothing to tell. */
	ph_request(ph, "INVITE", 3, NULL, NULL, NULL);
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "our offer"), 0);
	ph_expect(ph, "200 INVITE");
	(void)ph_log(ph);
	ph_request(ph, "ACK", 3, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "ACK unanswered\n");
	ph_request(ph, "INVITE", 4, NULL, NULL, "offer");
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "our answer"), 0);
	ph_expect(ph, "200 INVITE");
	(void)ph_log(ph);
	ph_request(ph, "ACK", 4, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "");
}

static void offer_that_is_taken_back_is_not_the_next_one(void **state)
{
	struct ph *ph = *state;

	be_called(ph, NULL);
	ph_request(ph, "INVITE", 2, "z9hG4bKfirst", NULL, "first");
	assert_true(inv_offer_stands(ph->inv, 1));
	ph_request(ph, "CANCEL", 2, "z9hG4bKfirst", NULL, NULL);
	ph_expect(ph, "487 INVITE");
	ph_request(ph, "ACK", 2, "z9hG4bKfirst", NULL, NULL);
	assert_false(inv_offer_stands(ph->inv, 1));
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "answer"), -ENOENT);
	ph_request(ph, "INVITE", 3, NULL, NULL, "second");
	assert_false(inv_offer_stands(ph->inv, 1));
	assert_true(inv_offer_stands(ph->inv, 2));
	assert_string_equal(ph_log(ph), "OFFER [first]\nOFFER [second]\n");
}

static void news_are_told_beside_offers(void **state)
{
	static const char who[] = "P-Asserted-Identity: <sip:7@x>\r\n";
	struct ph *ph = *state;
	static char req[8192], tell[8192];

	be_called(ph, "Allow: INVITE, ACK, BYE, CANCEL\r\n");
	assert_int_equal(inv_tell(ph->inv, who), -ENOTSUP);
	ph_request(ph, "INVITE", 2, NULL, "Allow: INVITE, ACK, BYE, CANCEL, UPDATE\r\nP-Asserted-Identity: <sip:8@y>\r\n",
		   "offer");
	assert_string_equal(ph_log(ph), "IDENTITY\nOFFER [offer]\n");
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "answer"), 0);
	ph_expect(ph, "200 INVITE");
	ph_request(ph, "ACK", 2, NULL, NULL, NULL);

	assert_int_equal(inv_reoffer(ph->inv, "new", NULL), 0);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	assert_int_equal(inv_tell(ph->inv, who), 0);
	str_ncpy(tell, ph_next(ph, "UPDATE")->text, sizeof(tell));
	assert_non_null(strstr(tell, who));
	assert_non_null(strstr(tell, "Content-Length: 0\r\n"));
	ph_reply(ph, tell, 491, NULL, NULL, NULL);
	assert_string_equal(ph_log(ph), "");
	ph_reply(ph, req, 200, NULL, NULL, "new answer");
	ph_expect(ph, "ACK");
	assert_string_equal(ph_log(ph), "REANSWER 200 [new answer]\n");

	ph_request(ph, "UPDATE", 3, NULL, "P-Asserted-Identity: <sip:9@y>\r\n", NULL);
	ph_expect(ph, "200 UPDATE");
	assert_string_equal(ph_log(ph), "IDENTITY\n");
}

static void we_offer_and_the_answer_is_told(void **state)
{
	struct ph *ph = *state;
	static char req[8192];

	be_called(ph, NULL);
	assert_int_equal(inv_reoffer(ph->inv, "hold", NULL), 0);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	assert_int_equal(inv_reoffer(ph->inv, "newer", NULL), -EAGAIN);
	/* Theirs meets ours: RFC 3261 section 14.2. */
	ph_request(ph, "INVITE", 2, NULL, NULL, "x");
	ph_expect(ph, "491 INVITE");
	ph_request(ph, "ACK", 2, NULL, NULL, NULL);
	ph_request(ph, "UPDATE", 3, NULL, NULL, "x");
	ph_expect(ph, "491 UPDATE");
	ph_reply(ph, req, 200, NULL, NULL, "ok");
	ph_expect(ph, "ACK");
	(void)ph_log(ph);
}

static void kept_offer_follows_the_open_one(void **state)
{
	struct ph *ph = *state;
	static char req[8192];

	be_called(ph, NULL);
	ph_request(ph, "INVITE", 2, NULL, NULL, "theirs");
	assert_string_equal(ph_log(ph), "OFFER [theirs]\n");
	assert_int_equal(inv_reoffer(ph->inv, "ours", NULL), -EAGAIN);
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "ok"), 0);
	ph_expect(ph, "200 INVITE");
	assert_int_equal(ph_count(ph, "INVITE"), 0);
	ph_request(ph, "ACK", 2, NULL, NULL, NULL);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	assert_non_null(strstr(req, "\r\n\r\nours"));
	ph_reply(ph, req, 488, NULL, NULL, NULL);
	ph_expect(ph, "ACK");
	assert_string_equal(ph_log(ph), "REANSWER 488\n");
	assert_true(inv_is_established(ph->inv));
}

static void glare_is_retried_by_us(void **state)
{
	struct ph *ph = *state;
	static char req[8192];

	be_called(ph, NULL);
	assert_int_equal(inv_reoffer(ph->inv, "ours", NULL), 0);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	ph_reply(ph, req, 491, NULL, NULL, NULL);
	ph_expect(ph, "ACK");
	assert_string_equal(ph_log(ph), "");
	ph_pass(ph, 2250);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	assert_non_null(strstr(req, "\r\n\r\nours"));
	ph_reply(ph, req, 200, NULL, NULL, "ok");
	ph_expect(ph, "ACK");
	assert_string_equal(ph_log(ph), "REANSWER 200 [ok]\n");
}

static void owner_of_the_call_id_waits_longer(void **state)
{
	struct ph *ph = *state;
	static char req[8192];

	(void)call_up(ph, NULL, 0);
	assert_int_equal(inv_reoffer(ph->inv, "ours", NULL), 0);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	ph_reply(ph, req, 491, NULL, NULL, NULL);
	ph_pass(ph, 2000);
	assert_int_equal(ph_count(ph, "INVITE"), 0);
	ph_pass(ph, 2250);
	ph_expect(ph, "INVITE");
}

static void lost_dialog_ends_the_call(void **state)
{
	struct ph *ph = *state;
	static char req[8192];

	be_called(ph, NULL);
	assert_int_equal(inv_reoffer(ph->inv, "ours", NULL), 0);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	ph_reply(ph, req, 481, NULL, NULL, NULL);
	ph_expect(ph, "BYE");
	assert_string_equal(ph_log(ph), "ENDED 481 q41 peer\n");
}

static void early_dialog_is_updated(void **state)
{
	struct ph *ph = *state;
	static char invite[8192], req[8192];
	struct got *got;

	assert_int_equal(call_peer(ph, "offer", 0), 0);
	str_ncpy(invite, ph_next(ph, "INVITE")->text, sizeof(invite));
	ph_reply(ph, invite, 183, "t1", "Require: 100rel\r\nRSeq: 1\r\nAllow: UPDATE, PRACK\r\n",
		 "early");
	ph_reply(ph, ph_next(ph, "PRACK")->text, 200, NULL, NULL, NULL);
	assert_int_equal(inv_reoffer(ph->inv, "new offer", NULL), 0);
	str_ncpy(req, ph_next(ph, "UPDATE")->text, sizeof(req));
	ph_reply(ph, req, 200, NULL, NULL, "new answer");
	assert_string_equal(ph_log(ph), "PROGRESS 183 #1 [early]\nREANSWER 200 [new answer]\n");

	/* and theirs */
	ph_request_in(ph, invite, "t1", "UPDATE", 9, NULL, "their offer");
	assert_string_equal(ph_log(ph), "OFFER [their offer]\n");
	ph_request_in(ph, invite, "t1", "UPDATE", 10, NULL, "second");
	got = ph_next(ph, "500 UPDATE");
	assert_non_null(strstr(got->text, "Retry-After: "));
	assert_int_equal(inv_reanswer(ph->inv, 200, NULL, "our answer"), 0);
	ph_expect(ph, "200 UPDATE");
	ph_reply(ph, invite, 200, "t1", NULL, NULL);
	assert_string_equal(ph_log(ph), "ANSWERED 200 #1\n");
}

static void reinvite_without_offer_asks_the_peer(void **state)
{
	struct ph *ph = *state;
	static char req[8192];

	be_called(ph, NULL);
	assert_int_equal(inv_reoffer(ph->inv, NULL, NULL), 0);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	ph_reply(ph, req, 200, NULL, NULL, "their offer");
	assert_string_equal(ph_log(ph), "REANSWER 200 [their offer]\n");
	assert_int_equal(inv_ack(ph->inv, "our answer"), 0);
	assert_non_null(strstr(ph_next(ph, "ACK")->text, "\r\n\r\nour answer"));
}

/* ------------------------------------------------------------------ other requests */

static void requests_of_a_dialog_are_checked(void **state)
{
	struct ph *ph = *state;
	struct got *got;

	be_called(ph, NULL);
	ph_request(ph, "OPTIONS", 5, NULL, NULL, NULL);
	got = ph_next(ph, "200 OPTIONS");
	assert_non_null(strstr(got->text, "Allow: INVITE"));
	ph_request(ph, "OPTIONS", 4, NULL, NULL, NULL);
	ph_expect(ph, "500 OPTIONS"); /* section 12.2.2: out of order */
	ph_request(ph, "OPTIONS", 6, NULL, "Require: foo\r\n", NULL);
	ph_expect(ph, "420 OPTIONS");
	ph_request(ph, "PUBLISH", 7, NULL, NULL, NULL);
	ph_expect(ph, "405 PUBLISH");
	ph_request(ph, "PRACK", 8, NULL, "RAck: 1 1 INVITE\r\n", NULL);
	ph_expect(ph, "481 PRACK");
	ph_request(ph, "INVITE", 9, NULL, "Supported: timer\r\nSession-Expires: 20\r\n", "x");
	ph_expect(ph, "422 INVITE");
	str_ncpy(ph->to_tag, "unknown", sizeof(ph->to_tag));
	ph_request(ph, "BYE", 10, NULL, NULL, NULL);
	ph_expect(ph, "481 BYE");
	assert_string_equal(ph_log(ph), "");
}

static void info_and_refer_are_handed_up(void **state)
{
	struct ph *ph = *state;

	be_called(ph, NULL);
	ph_request(ph, "INFO", 2, NULL, NULL, "Signal=1");
	ph_expect(ph, "200 INFO");
	assert_string_equal(ph_log(ph), "INFO {application/sdp Signal=1}\n");
	ph_request(ph, "REFER", 3, NULL, NULL, NULL);
	ph_expect(ph, "400 REFER");
	ph_request(ph, "REFER", 4, NULL, "Refer-To: <sip:103@test>\r\n", NULL);
	assert_string_equal(ph_log(ph), "REFER\n");
	assert_int_equal(inv_refer_reply(ph->inv, 501, "Not Implemented"), 0);
	ph_expect(ph, "501 REFER");
	assert_int_equal(inv_refer_reply(ph->inv, 501, NULL), -ENOENT);
}

/* ------------------------------------------------------------------ RFC 4028 */

static void we_refresh_by_update(void **state)
{
	struct ph *ph = *state;
	struct got *got;

	ph_invite(ph,
		  "Supported: timer\r\nSession-Expires: 100\r\nAllow: INVITE, ACK, BYE, UPDATE\r\n",
		  "offer");
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	got = ph_next(ph, "200 INVITE");
	assert_non_null(strstr(got->text, "Session-Expires: 100;refresher=uas\r\n"));
	ph_learn(ph, got);
	ph_request(ph, "ACK", 1, NULL, NULL, NULL);
	for (int i = 0; i < 3; i++) {
		ph_pass(ph, 50000 + LATE_MS);
		got = ph_next(ph, "UPDATE");
		assert_non_null(got);
		assert_non_null(strstr(got->text, "Session-Expires: 100;refresher=uac\r\n"));
		ph_reply(ph, got->text, 200, NULL, "Session-Expires: 100;refresher=uac\r\n", NULL);
	}
	assert_string_equal(ph_log(ph), "ACK\n"); /* the owner hears nothing of it */
	ph_pass(ph, 50000 + LATE_MS);
	ph_expect(ph, "UPDATE"); /* nobody answers this one */
	ph_pass(ph, 33000 + LATE_MS);
	ph_expect(ph, "BYE");
	assert_string_equal(ph_log(ph), "ENDED 408 q102\n");
}

static void peer_that_does_not_refresh_is_ended(void **state)
{
	struct ph *ph = *state;

	ph_invite(ph, "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n", "offer");
	assert_int_equal(inv_answer(ph->inv, "answer", NULL), 0);
	struct got *got = ph_next(ph, "200 INVITE");

	assert_non_null(strstr(got->text, "Require: timer\r\n"));
	assert_non_null(strstr(got->text, "Session-Expires: 120;refresher=uac\r\n"));
	ph_learn(ph, got);
	ph_request(ph, "ACK", 1, NULL, NULL, NULL);
	ph_pass(ph, 80000);
	ph_request(ph, "UPDATE", 2, NULL,
		   "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n", NULL);
	got = ph_next(ph, "200 UPDATE");
	assert_non_null(strstr(got->text, "Session-Expires: 120;refresher=uac\r\n"));
	ph_pass(ph, 87000);
	assert_string_equal(ph_log(ph), "ACK\n");
	ph_pass(ph, 2000);
	ph_expect(ph, "BYE");
	assert_string_equal(ph_log(ph), "ENDED 408 q102\n");
}

static void short_interval_is_raised_and_refreshed_by_reinvite(void **state)
{
	struct ph *ph = *state;
	static char req[8192];

	assert_int_equal(call_peer(ph, "offer", 100), 0);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	assert_non_null(strstr(req, "Session-Expires: 100\r\n"));
	ph_reply(ph, req, 422, "t0", "Min-SE: 200\r\n", NULL);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	assert_non_null(strstr(req, "Session-Expires: 200\r\n"));
	assert_non_null(strstr(req, "Min-SE: 200\r\n"));
	ph_reply(ph, req, 200, "t1", "Session-Expires: 200;refresher=uac\r\n", "answer");
	ph_expect(ph, "ACK");
	ph_pass(ph, 100000 + LATE_MS);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req)); /* the peer allows no UPDATE */
	assert_non_null(strstr(req, "\r\n\r\noffer"));
	ph_reply(ph, req, 200, NULL, "Session-Expires: 200;refresher=uac\r\n", "answer");
	ph_expect(ph, "ACK");
	assert_string_equal(ph_log(ph), "ANSWERED 200 #1 [answer]\n");
}

/* ------------------------------------------------------------------ export */

/* The connection of a TCP phone is gone with the process that had it: its Contact is asked. */
static void tcp_phone_gets_the_bye_where_it_listens(struct ph *ph, const char *was, size_t was_len)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	const char *target = memmem(was, was_len, "\0sip:peer@", 10); /* the last text */
	char req[4096] = "", changed[INV_STATE_MAX];
	struct inv_state_head head;
	size_t changed_len;
	int conn = -1;

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	assert_non_null(target);
	memcpy(changed, was, was_len);
	memcpy(&head, was, sizeof(head));
	head.tp = SIP_TRANSP_TCP;
	head.port = 9;
	memcpy(changed, &head, sizeof(head));
	changed_len = (size_t)(target + 1 - was);
	changed_len += 1 + (size_t)snprintf(changed + changed_len, sizeof(changed) - changed_len,
					    "sip:peer@127.0.0.1:%u;transport=tcp",
					    ntohs(sin.sin_port));

	assert_int_equal(inv_bye_exported(ph->fix->edge, changed, changed_len), 0);
	for (int i = 0; i < 100 && !*req; i++) {
		ph_turn(ph);
		if (conn < 0)
			conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
		if (conn >= 0)
			(void)!read(conn, req, sizeof(req) - 1);
	}
	assert_memory_equal(req, "BYE sip:peer@127.0.0.1:", 23);
	close(conn);
	close(fd);
}

static void exported_dialog_can_be_ended_by_another_process(void **state)
{
	struct ph *ph = *state;
	static char text[INV_STATE_MAX], req[8192];
	struct inv_state_head head;
	unsigned long cseq;
	int len;

	assert_int_equal(call_peer(ph, "offer", 0), 0);
	assert_int_equal(inv_export(ph->inv, text, sizeof(text)), -ENOTCONN);
	str_ncpy(req, ph_next(ph, "INVITE")->text, sizeof(req));
	ph_reply(ph, req, 200, "t1", "Record-Route: <sip:p1@127.0.0.1:9;lr>\r\n", "answer");
	ph_expect(ph, "ACK");
	len = inv_export(ph->inv, text, sizeof(text));
	assert_true(len > 0);
	for (int n = 0; n < len; n++)
		assert_int_equal(inv_export(ph->inv, text, (size_t)n), -EMSGSIZE);
	assert_int_equal(inv_export(ph->inv, text, (size_t)len), len);
	cseq = strtoul(strstr(req, "CSeq: ") + 6, NULL, 10);

	inv_close(ph->fix->edge); /* the process is gone */
	ph->inv = mem_deref(ph->inv);
	assert_int_equal(inv_bye_exported(ph->fix->edge, text, (size_t)len), 0);
	struct got *got = ph_next(ph, "BYE");

	assert_non_null(got);
	assert_non_null(strstr(got->text, "Route: <sip:p1@127.0.0.1:9;lr>\r\n"));
	assert_non_null(strstr(got->text, "To: <sip:peer@test>;tag=t1\r\n"));
	assert_non_null(strstr(got->text, "Reason: Q.850;cause=41\r\n"));
	assert_true(strtoul(strstr(got->text, "CSeq: ") + 6, NULL, 10) > cseq + 9);
	const char *callid = strstr(req, "Call-ID:");

	assert_memory_equal(strstr(got->text, "Call-ID:"), callid, strcspn(callid, "\r"));
	ph_reply(ph, got->text, 200, NULL, NULL, NULL);
	ph_turn(ph);
	assert_int_equal(inv_count(ph->fix->edge), 0);

	tcp_phone_gets_the_bye_where_it_listens(ph, text, (size_t)len);

	for (int n = 0; n < len; n++)
		assert_int_equal(inv_bye_exported(ph->fix->edge, text, (size_t)n), -EBADMSG);
	memcpy(&head, text, sizeof(head));
	head.magic++;
	memcpy(text, &head, sizeof(head));
	assert_int_equal(inv_bye_exported(ph->fix->edge, text, (size_t)len), -EBADMSG);
	head.magic--;
	memcpy(text, &head, sizeof(head));
	memcpy(memmem(text, (size_t)len, "Route: ", 7), "\r\n\r\n", 4); /* would end the headers */
	assert_int_equal(inv_bye_exported(ph->fix->edge, text, (size_t)len), -EBADMSG);
}

#define UDP(name) cmocka_unit_test_setup_teardown(name, ph_setup_udp, ph_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UDP(reliable_progress_is_repeated_until_prack),
		UDP(required_reliability_queues_in_order),
		UDP(delayed_offer_in_progress_is_answered_in_prack),
		UDP(reliable_progress_is_acknowledged_once_and_in_order),
		UDP(peer_holds_by_reinvite),
		UDP(peer_asks_for_our_offer),
		UDP(offer_that_is_taken_back_is_not_the_next_one),
		UDP(news_are_told_beside_offers),
		UDP(we_offer_and_the_answer_is_told),
		UDP(kept_offer_follows_the_open_one),
		UDP(glare_is_retried_by_us),
		UDP(owner_of_the_call_id_waits_longer),
		UDP(lost_dialog_ends_the_call),
		UDP(early_dialog_is_updated),
		UDP(reinvite_without_offer_asks_the_peer),
		UDP(requests_of_a_dialog_are_checked),
		UDP(info_and_refer_are_handed_up),
		UDP(we_refresh_by_update),
		UDP(peer_that_does_not_refresh_is_ended),
		UDP(short_interval_is_raised_and_refreshed_by_reinvite),
		UDP(exported_dialog_can_be_ended_by_another_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
