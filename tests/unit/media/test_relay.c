/* SPDX-License-Identifier: Apache-2.0 */
#include "mediafix.h"

#include <string.h>
#include <unistd.h>

/* A call: two legs, each told its phone's address, bridged. */
struct pair {
	struct leg a, b;
	struct phone pa, pb;
};

static void pair_open(struct fix *fix, struct pair *pair, bool symmetric)
{
	struct media_remote remote = { .may_send = true,
				       .may_recv = true,
				       .symmetric = symmetric,
				       .codec = MEDIA_PCMA,
				       .pt = 8,
				       .clock_hz = 8000,
				       .dtmf_pt = 101 };

	phone_open(&pair->pa, "127.0.0.1");
	phone_open(&pair->pb, "127.0.0.1");
	leg_open(fix, &pair->a, NULL);
	leg_open(fix, &pair->b, &(struct media_open_opts){ .near = pair->a.stream });
	leg_remote(&pair->a, &pair->pa, &remote);
	leg_remote(&pair->b, &pair->pb, &remote);
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

static void relays_both_ways_untouched(void **state)
{
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, false);
	assert_int_equal(pair.a.port % 2, 0);
	assert_int_equal(pair.a.rtcp_port, pair.a.port + 1);
	for (int i = 0; i < 50; i++) {
		uint16_t seq_a = pair.pa.seq, seq_b = pair.pb.seq;
		uint32_t ts_a = pair.pa.ts;

		phone_send(&pair.pa, pair.a.port, 8, 0xaa);
		phone_send(&pair.pb, pair.b.port, 8, 0xbb);
		assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
		assert_int_equal(mark, 0xaa);
		assert_int_equal(hdr.seq, seq_a);
		assert_int_equal(hdr.ts, ts_a);
		assert_int_equal(hdr.ssrc, pair.pa.ssrc);
		assert_int_equal(hdr.payload_len, 160);
		assert_true(phone_hear(&pair.pa, &hdr, &mark, 1000));
		assert_int_equal(mark, 0xbb);
		assert_int_equal(hdr.seq, seq_b);
	}
	pair_close(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(relays_both_ways_untouched, fix_setup, fix_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
