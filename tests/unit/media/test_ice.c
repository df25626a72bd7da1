/* SPDX-License-Identifier: Apache-2.0 */
#include "mediafix.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "media/dtls.h"

/* Agents that check us, and lite ones that we check; their STUN is libre's. */

#define OUR_UFRAG   "pbxu"
#define OUR_PWD     "pbxpasswordpbxpassword"
#define THEIR_UFRAG "them"
#define THEIR_PWD   "theirpasswordtheirpass"

struct pair {
	struct leg a, b;
	struct phone pa, pb;
};

static void set_ice(struct leg *leg, const char *ufrag, bool lite, const struct phone *candidate)
{
	struct sa addr;
	struct media_candidate one = { .addr = &addr, .priority = 2130706431, .component = 1 };

	if (candidate)
		sa_set_str(&addr, "127.0.0.1", candidate->port);
	media_set_ice(leg->stream, &(struct media_ice){ .ufrag = ufrag,
							.pwd = OUR_PWD,
							.remote_ufrag = THEIR_UFRAG,
							.remote_pwd = THEIR_PWD,
							.remote_lite = lite,
							.controlling = lite,
							.candidates = &one,
							.n_candidates = candidate ? 1 : 0 });
}

static const struct media_remote muxed = {
	.may_send = true, .may_recv = true, .rtcp_mux = true,
	.formats = &(const struct media_format){ .codec = MEDIA_PCMA, .pt_out = 8, .pt_in = 8,
						 .clock_hz = 8000 },
	.n_formats = 1, .dtmf_pt = -1, .dtmf_pt_in = -1,
};

static void pair_open(struct fix *fix, struct pair *pair, bool lite)
{
	*pair = (struct pair){ 0 };
	phone_open(&pair->pa, "127.0.0.1");
	phone_open(&pair->pb, "127.0.0.1");
	leg_open(fix, &pair->a, &(struct media_open_opts){ .rtcp_mux = true });
	leg_open(fix, &pair->b, &(struct media_open_opts){ .near = pair->a.stream });
	set_ice(&pair->a, OUR_UFRAG, lite, lite ? &pair->pa : NULL);
	leg_remote(&pair->a, &pair->pb, &muxed); /* what SDP says of addresses does not count */
	leg_remote(&pair->b, &pair->pb, NULL);
	media_bridge(pair->a.stream, pair->b.stream);
	fix_sync(&pair->b);
}

static void pair_close(struct pair *pair)
{
	leg_close(&pair->a);
	leg_close(&pair->b);
	phone_close(&pair->pa);
	phone_close(&pair->pb);
	fix_run(20);
}

struct wish {
	const char *ufrag, *pwd;
	bool use, controlled;
};

static const uint8_t tid[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

/* Sends a check; returns the status of the answer (0: none came, 200: success). */
static unsigned check(struct phone *phone, uint16_t port, const struct wish *wish)
{
	const uint32_t priority = 1845501695;
	const uint64_t tie = 7;
	struct stun_unknown_attr unknown;
	struct mbuf *mb = mbuf_alloc(256);
	struct stun_msg *reply = NULL;
	struct stun_attr *attr;
	char username[64];
	unsigned status = 200;

	(void)re_snprintf(username, sizeof(username), "%s:%s", wish->ufrag ? wish->ufrag : OUR_UFRAG,
			  THEIR_UFRAG);
	assert_int_equal(
		stun_msg_encode(mb, STUN_METHOD_BINDING, STUN_CLASS_REQUEST, tid, NULL,
				(const uint8_t *)(wish->pwd ? wish->pwd : OUR_PWD),
				strlen(wish->pwd ? wish->pwd : OUR_PWD), true, 0x00,
				wish->use ? 4 : 3, STUN_ATTR_USERNAME, username, STUN_ATTR_PRIORITY,
				&priority,
				wish->controlled ? STUN_ATTR_CONTROLLED : STUN_ATTR_CONTROLLING, &tie,
				STUN_ATTR_USE_CAND, &tie), /* libre leaves out what is NULL */
		0);
	phone_send_raw(phone->rtp, port, mb->buf, mb->end);

	mbuf_rewind(mb);
	mbuf_resize(mb, 512);
	mb->end = phone_recv(phone->rtp, mb->buf, 512, 3000);
	if (!mb->end) {
		mem_deref(mb);
		return 0;
	}
	assert_int_equal(stun_msg_decode(&reply, mb, &unknown), 0);
	assert_memory_equal(stun_msg_tid(reply), tid, sizeof(tid));
	assert_int_equal(stun_msg_chk_fingerprint(reply), 0);
	if (stun_msg_class(reply) == STUN_CLASS_ERROR_RESP) {
		attr = stun_msg_attr(reply, STUN_ATTR_ERR_CODE);
		status = attr ? attr->v.err_code.code : 1;
	} else {
		assert_int_equal(stun_msg_chk_mi(reply, (const uint8_t *)OUR_PWD, strlen(OUR_PWD)), 0);
		attr = stun_msg_attr(reply, STUN_ATTR_XOR_MAPPED_ADDR);
		assert_non_null(attr);
		assert_int_equal(sa_port(&attr->v.sa), phone->port);
	}
	mem_deref(reply);
	mem_deref(mb);
	return status;
}

static bool is_secured(void *arg)
{
	return ((struct leg *)arg)->secured > 0;
}

static void assert_talk(struct pair *pair, struct phone *at)
{
	struct hdr_rtp hdr;
	uint8_t mark;

	phone_send(at, pair->a.port, 8, 0x11);
	assert_true(phone_hear(&pair->pb, &hdr, &mark, 3000));
	assert_int_equal(mark, 0x11);
	phone_send(&pair->pb, pair->b.port, 8, 0x22);
	assert_true(phone_hear(at, &hdr, &mark, 3000));
	assert_int_equal(mark, 0x22);
}

static void a_nominated_pair_carries_the_media(void **state)
{
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, false);
	phone_send(&pair.pa, pair.a.port, 8, 0x66); /* nobody has proved anything yet */
	assert_false(phone_hear(&pair.pb, &hdr, &mark, 50));
	phone_send(&pair.pb, pair.b.port, 8, 0x66);
	assert_false(phone_hear(&pair.pa, &hdr, &mark, 50));

	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .use = true }), 200);
	assert_talk(&pair, &pair.pa);
	assert_true(fix_until(is_secured, &pair.a, FIX_WAIT_MS));
	assert_int_equal(pair.a.secured_err, 0);
	pair_close(&pair);
}

static void who_did_not_pass_a_check_is_not_heard(void **state)
{
	struct phone thief;
	struct hdr_rtp hdr;
	struct pair pair;
	uint8_t mark;

	pair_open(*state, &pair, false);
	phone_open(&thief, "127.0.0.3");
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .use = true }), 200);
	assert_talk(&pair, &pair.pa);
	phone_send(&thief, pair.a.port, 8, 0x66);
	assert_false(phone_hear(&pair.pb, &hdr, &mark, 50));
	/* Not by trying passwords either. */
	assert_int_equal(check(&thief, pair.a.port, &(struct wish){ .pwd = "wrongpasswordwrongpass",
								    .use = true }), 401);
	assert_int_equal(check(&thief, pair.a.port, &(struct wish){ .ufrag = "no", .use = true }), 401);
	phone_send(&thief, pair.a.port, 8, 0x66);
	assert_false(phone_hear(&pair.pb, &hdr, &mark, 50));
	assert_talk(&pair, &pair.pa);
	phone_close(&thief);
	pair_close(&pair);
}

static void a_browser_may_change_its_network(void **state)
{
	struct phone other;
	struct pair pair;

	pair_open(*state, &pair, false);
	phone_open(&other, "127.0.0.2");
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .use = true }), 200);
	assert_talk(&pair, &pair.pa);
	assert_int_equal(check(&other, pair.a.port, &(struct wish){ .use = true }), 200);
	assert_talk(&pair, &other); /* same priority: the newer nomination counts */
	phone_close(&other);
	pair_close(&pair);
}

static void a_lite_agent_never_controls(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, false);
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .controlled = true }), 487);
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .use = true }), 200);
	assert_talk(&pair, &pair.pa);
	pair_close(&pair);
}

static void a_restart_keeps_the_old_pair_until_there_is_a_new_one(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, false);
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .use = true }), 200);
	set_ice(&pair.a, OUR_UFRAG, false, NULL); /* the same again: a re-INVITE */
	leg_remote(&pair.a, &pair.pb, &muxed);
	fix_sync(&pair.a);
	assert_talk(&pair, &pair.pa);

	set_ice(&pair.a, "newu", false, NULL);
	leg_remote(&pair.a, &pair.pb, &muxed);
	fix_sync(&pair.a);
	assert_talk(&pair, &pair.pa);
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .use = true }), 200); /* late */
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .ufrag = "newu", .use = true }),
			 200);
	assert_talk(&pair, &pair.pa);
	pair_close(&pair);
}

/* Answers checks of ours until one says that the pair is to be used. */
static bool answer_checks(struct phone *phone, uint16_t port)
{
	struct stun_unknown_attr unknown;
	struct mbuf *mb = mbuf_alloc(512);
	bool used = false;
	struct sa from;

	for (int i = 0; i < 10 && !used; i++) {
		struct stun_msg *request = NULL;
		struct stun_attr *attr;

		mbuf_rewind(mb);
		fix_run(10);
		mb->end = phone_recv(phone->rtp, mb->buf, 512, 5000);
		assert_true(mb->end > 0);
		assert_int_equal(stun_msg_decode(&request, mb, &unknown), 0);
		assert_int_equal(stun_msg_chk_fingerprint(request), 0);
		assert_int_equal(stun_msg_chk_mi(request, (const uint8_t *)THEIR_PWD, strlen(THEIR_PWD)),
				 0);
		attr = stun_msg_attr(request, STUN_ATTR_USERNAME);
		assert_string_equal(attr->v.username, THEIR_UFRAG ":" OUR_UFRAG);
		assert_non_null(stun_msg_attr(request, STUN_ATTR_CONTROLLING));
		assert_non_null(stun_msg_attr(request, STUN_ATTR_PRIORITY));
		used = stun_msg_attr(request, STUN_ATTR_USE_CAND) != NULL;

		sa_set_str(&from, "127.0.0.1", port);
		mbuf_rewind(mb);
		assert_int_equal(stun_msg_encode(mb, STUN_METHOD_BINDING, STUN_CLASS_SUCCESS_RESP,
						 stun_msg_tid(request), NULL,
						 (const uint8_t *)THEIR_PWD, strlen(THEIR_PWD), true,
						 0x00, 1, STUN_ATTR_XOR_MAPPED_ADDR, &from), 0);
		phone_send_raw(phone->rtp, port, mb->buf, mb->end);
		mem_deref(request);
	}
	mem_deref(mb);
	return used;
}

/* The other side is lite: we check and nominate. */
static void we_check_who_does_not_check_us(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, true);
	assert_true(answer_checks(&pair.pa, pair.a.port));
	assert_true(fix_until(is_secured, &pair.a, FIX_WAIT_MS));
	assert_int_equal(pair.a.secured_err, 0);
	assert_talk(&pair, &pair.pa);
	pair_close(&pair);
}

/* The best ones never answer: the first that does is taken, though not at once. */
static void candidates_that_are_dead_do_not_hold_us_up(void **state)
{
	struct media_candidate candidates[8];
	struct phone dead[7];
	struct sa addrs[8];
	struct pair pair;
	uint8_t data[512];

	pair_open(*state, &pair, false);
	for (unsigned i = 0; i < 8; i++) {
		const struct phone *phone = i < 7 ? &dead[i] : &pair.pa;

		if (i < 7)
			phone_open(&dead[i], "127.0.0.1");
		sa_set_str(&addrs[i], "127.0.0.1", phone->port);
		candidates[i] = (struct media_candidate){ .addr = &addrs[i], .component = 1,
							  .priority = 2130706431 - i };
	}
	media_set_ice(pair.a.stream, &(struct media_ice){ .ufrag = "next", .pwd = OUR_PWD,
							  .remote_ufrag = "next", .remote_pwd = THEIR_PWD,
							  .off = true });
	media_set_ice(pair.a.stream, &(struct media_ice){ .ufrag = OUR_UFRAG,
							  .pwd = OUR_PWD,
							  .remote_ufrag = THEIR_UFRAG,
							  .remote_pwd = THEIR_PWD,
							  .remote_lite = true,
							  .controlling = true,
							  .candidates = candidates,
							  .n_candidates = 8 });
	fix_sync(&pair.a);
	assert_true(answer_checks(&pair.pa, pair.a.port));
	assert_true(fix_until(is_secured, &pair.a, FIX_WAIT_MS));
	assert_talk(&pair, &pair.pa);
	for (unsigned i = 0; i < 7; i++) { /* each was asked */
		assert_true(phone_recv(dead[i].rtp, data, sizeof(data), 3000) > 0);
		phone_close(&dead[i]);
	}
	pair_close(&pair);
}

/* ------------------------------------------------------------------ DTLS behind it */

struct browser {
	struct phone *phone;
	uint16_t to;
};

static void browser_send(void *arg, const uint8_t *data, size_t len)
{
	const struct browser *browser = arg;

	phone_send_raw(browser->phone->rtp, browser->to, data, len);
}

static void shake(struct assoc *assoc, struct browser *browser, unsigned rounds)
{
	uint8_t data[1600];

	(void)assoc_start(assoc, browser_send, browser);
	for (unsigned i = 0; i < rounds && assoc_state(assoc) < ASSOC_DONE; i++) {
		size_t len = phone_recv(browser->phone->rtp, data, sizeof(data), 100);

		if (len && data[0] >= 20 && data[0] < 64)
			(void)assoc_receive(assoc, data, len, browser_send, browser);
		(void)assoc_tick(assoc, 0, browser_send, browser);
	}
}

static void set_dtls(struct leg *leg, const struct assoc_identity *identity, bool wrong, bool active)
{
	uint8_t print[32];

	assoc_fingerprint(print, identity);
	print[5] ^= wrong;
	media_set_secure(leg->stream, &(struct media_secure){ .mode = MEDIA_DTLS,
							      .active = active,
							      .hash = MEDIA_SHA_256,
							      .fingerprint = print });
	fix_sync(leg);
}

static void srtp_talk(struct pair *pair, struct assoc *assoc)
{
	uint8_t tx[ASSOC_KEY_BYTES], rx[ASSOC_KEY_BYTES], data[256];
	struct mbuf mb = { .buf = data, .size = sizeof(data), .end = HDR_RTP_BYTES + 160 };
	struct srtp *srtp_tx, *srtp_rx;
	struct hdr_rtp hdr;
	uint8_t mark;

	assert_int_equal(assoc_keys(assoc, tx, rx), MEDIA_AEAD_AES_256_GCM);
	assert_int_equal(srtp_alloc(&srtp_tx, SRTP_AES_256_GCM, tx, 44, 0), 0);
	assert_int_equal(srtp_alloc(&srtp_rx, SRTP_AES_256_GCM, rx, 44, 0), 0);

	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = 8, .seq = 1, .ssrc = 5 });
	memset(data + HDR_RTP_BYTES, 0x31, 160);
	assert_int_equal(srtp_encrypt(srtp_tx, &mb), 0);
	phone_send_raw(pair->pa.rtp, pair->a.port, data, mb.end);
	assert_true(phone_hear(&pair->pb, &hdr, &mark, 3000));
	assert_int_equal(mark, 0x31);

	phone_send(&pair->pb, pair->b.port, 8, 0x32);
	do
		mb.end = phone_recv(pair->pa.rtp, data, sizeof(data), 1000);
	while (mb.end && data[0] < 128);
	assert_int_equal(mb.end, HDR_RTP_BYTES + 160 + 16);
	mb.pos = 0;
	assert_int_equal(srtp_decrypt(srtp_rx, &mb), 0);
	assert_int_equal(data[HDR_RTP_BYTES], 0x32);
	mem_deref(srtp_tx);
	mem_deref(srtp_rx);
}

static void keys_come_from_dtls_behind_ice(void **state)
{
	struct fix *fix = *state;
	struct assoc_identity *identity;
	struct browser browser;
	struct assoc *assoc;
	struct pair pair;

	pair_open(fix, &pair, false);
	assert_int_equal(assoc_identity_alloc(&identity), 0);
	assert_int_equal(assoc_alloc(&assoc, &(struct assoc_opts){
					.identity = identity, .active = true, .hash = MEDIA_SHA_256,
					.fingerprint = media_fingerprint(fix->media) }), 0);
	browser = (struct browser){ &pair.pa, pair.a.port };
	set_dtls(&pair.a, identity, false, false);

	shake(assoc, &browser, 3); /* without a check nobody answers */
	assert_int_equal(assoc_state(assoc), ASSOC_SHAKING);
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .use = true }), 200);
	assert_int_equal(pair.a.secured, 0);
	shake(assoc, &browser, 50);
	assert_int_equal(assoc_state(assoc), ASSOC_DONE);
	assert_true(fix_until(is_secured, &pair.a, FIX_WAIT_MS));
	assert_int_equal(pair.a.secured_err, 0);
	srtp_talk(&pair, assoc);

	set_dtls(&pair.a, identity, false, false); /* a re-INVITE changes nothing */
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .use = true }), 200);
	assoc_free(assoc);
	assoc_identity_free(identity);
	pair_close(&pair);
}

static void the_wrong_certificate_gets_no_media(void **state)
{
	struct fix *fix = *state;
	struct assoc_identity *identity;
	struct browser browser;
	struct assoc *assoc;
	struct pair pair;

	pair_open(fix, &pair, false);
	assert_int_equal(assoc_identity_alloc(&identity), 0);
	assert_int_equal(assoc_alloc(&assoc, &(struct assoc_opts){
					.identity = identity, .active = true, .hash = MEDIA_SHA_256,
					.fingerprint = media_fingerprint(fix->media) }), 0);
	browser = (struct browser){ &pair.pa, pair.a.port };
	set_dtls(&pair.a, identity, true, false);
	assert_int_equal(check(&pair.pa, pair.a.port, &(struct wish){ .use = true }), 200);
	shake(assoc, &browser, 20);
	assert_true(fix_until(is_secured, &pair.a, FIX_WAIT_MS));
	assert_int_equal(pair.a.secured_err, -EACCES);
	assoc_free(assoc);
	assoc_identity_free(identity);
	pair_close(&pair);
}

/* A SIP phone without ICE, which waits for us to begin. */
static void we_begin_where_that_was_agreed(void **state)
{
	struct fix *fix = *state;
	struct assoc_identity *identity;
	struct browser browser;
	struct assoc *assoc;
	struct pair pair = { 0 };

	phone_open(&pair.pa, "127.0.0.1");
	phone_open(&pair.pb, "127.0.0.1");
	leg_open(fix, &pair.a, &(struct media_open_opts){ .rtcp_mux = true });
	leg_open(fix, &pair.b, &(struct media_open_opts){ .near = pair.a.stream });
	assert_int_equal(assoc_identity_alloc(&identity), 0);
	assert_int_equal(assoc_alloc(&assoc, &(struct assoc_opts){
					.identity = identity, .active = false, .hash = MEDIA_SHA_256,
					.fingerprint = media_fingerprint(fix->media) }), 0);
	browser = (struct browser){ &pair.pa, pair.a.port };
	set_dtls(&pair.a, identity, false, true);
	leg_remote(&pair.a, &pair.pa, &muxed);
	leg_remote(&pair.b, &pair.pb, NULL);
	media_bridge(pair.a.stream, pair.b.stream);
	fix_sync(&pair.b);

	shake(assoc, &browser, 50);
	assert_int_equal(assoc_state(assoc), ASSOC_DONE);
	assert_true(fix_until(is_secured, &pair.a, FIX_WAIT_MS));
	assert_int_equal(pair.a.secured_err, 0);
	srtp_talk(&pair, assoc);
	assoc_free(assoc);
	assoc_identity_free(identity);
	pair_close(&pair);
}

#define T(test) cmocka_unit_test_setup_teardown(test, fix_setup, fix_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_nominated_pair_carries_the_media),
		T(who_did_not_pass_a_check_is_not_heard),
		T(a_browser_may_change_its_network),
		T(a_lite_agent_never_controls),
		T(a_restart_keeps_the_old_pair_until_there_is_a_new_one),
		T(we_check_who_does_not_check_us),
		T(candidates_that_are_dead_do_not_hold_us_up),
		T(keys_come_from_dtls_behind_ice),
		T(the_wrong_certificate_gets_no_media),
		T(we_begin_where_that_was_agreed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
