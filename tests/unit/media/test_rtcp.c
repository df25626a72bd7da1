/* SPDX-License-Identifier: Apache-2.0 */
/* Reports that the relay sends to each phone, and what it learns from theirs. */
#include "mediafix.h"

#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "media/rtcp.h"

#define REPORT_WAIT_MS 9000 /* the first comes within 4 s */

struct pair {
	struct leg a, b;
	struct phone pa, pb;
};

static void pair_open(struct fix *fix, struct pair *pair)
{
	phone_open(&pair->pa, "127.0.0.1");
	phone_open(&pair->pb, "127.0.0.1");
	leg_open(fix, &pair->a, NULL);
	leg_open(fix, &pair->b, &(struct media_open_opts){ .near = pair->a.stream });
	leg_remote(&pair->a, &pair->pa, NULL);
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

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* Twenty packets of a, three of them lost, arrive at b. */
static void speak(struct pair *pair)
{
	struct hdr_rtp hdr;
	uint8_t mark;

	for (int i = 0; i < 20; i++) {
		if (i == 5 || i == 6 || i == 11) {
			pair->pa.seq++;
			pair->pa.ts += 160;
			continue;
		}
		phone_send(&pair->pa, pair->a.port, 8, 1);
		assert_true(phone_hear(&pair->pb, &hdr, &mark, 1000));
	}
}

static void each_leg_hears_reports_of_its_own(void **state)
{
	struct report_heard heard;
	struct pair pair;
	uint8_t got[256];
	size_t n;

	pair_open(*state, &pair);
	speak(&pair);

	/* Who spoke hears what was lost of it, in a receiver report: nothing was sent to it. */
	n = phone_recv(pair.pa.rtcp, got, sizeof(got), REPORT_WAIT_MS);
	assert_true(n > 8);
	assert_int_equal(got[1], 201);
	assert_int_equal(report_parse(&heard, got, n, pair.pa.ssrc), 0);
	assert_true(heard.has_block);
	assert_int_equal(heard.lost, 3);
	assert_int_equal(heard.fraction, 256 * 3 / 20);
	assert_int_equal(strlen(heard.cname), 16);

	/* Who listened hears a sender report with what was sent, under the SSRC that it knows. */
	n = phone_recv(pair.pb.rtcp, got, sizeof(got), REPORT_WAIT_MS);
	assert_true(n > 28);
	assert_int_equal(report_parse(&heard, got, n, 1), 0);
	assert_true(heard.has_sr);
	assert_int_equal(heard.sr_ssrc, pair.pa.ssrc);
	assert_int_equal(get32(got + 20), 17);
	assert_int_equal(get32(got + 24), 17 * 160);

	/* The end is said with BYE. */
	leg_close(&pair.b);
	fix_run(100); /* a report that was due may have come before it */
	for (heard.has_bye = false; !heard.has_bye;) {
		n = phone_recv(pair.pb.rtcp, got, sizeof(got), 1000);
		assert_int_equal(report_parse(&heard, got, n, 1), 0);
	}
	pair_close(&pair);
}

typedef bool(stats_h)(const struct media_stats *stats);

/* A packet lies in the socket until the relay's thread reads it. */
static void stats_until(struct leg *leg, stats_h *is_there)
{
	const uint64_t end_ms = clk_mono_ms() + FIX_WAIT_MS;

	do {
		assert_true(clk_mono_ms() < end_ms);
		fix_run(1);
		leg_stats(leg);
	} while (!is_there(&leg->stats));
}

static bool five_are_lost(const struct media_stats *stats)
{
	return stats->tx_lost == 5;
}

static bool six_are_lost(const struct media_stats *stats)
{
	return stats->tx_lost == 6;
}

static bool seven_are_lost(const struct media_stats *stats)
{
	return stats->tx_lost == 7;
}

static bool one_is_dropped(const struct media_stats *stats)
{
	return stats->rx_dropped == 1;
}

/* When a report says that it was sent, on the wall clock (RFC 3550 section 4: seconds since 1900 in 32.32 bits). */
static uint64_t sent_us(const struct report_heard *heard)
{
	return ((heard->sr_ntp >> 32) - 2208988800u) * 1000000 + ((heard->sr_ntp & 0xffffffff) * 1000000 >> 32);
}

static void round_trip_and_loss_of_the_other_direction_are_learnt(void **state)
{
	uint8_t rr[32] = { 0x81, 201, 0, 7, 9, 9, 9, 9 }, got[256];
	struct report_heard heard;
	struct pair pair;
	uint64_t least_us, most_us;
	uint32_t rtt_us;
	size_t n;

	pair_open(*state, &pair);
	speak(&pair);
	n = phone_recv(pair.pb.rtcp, got, sizeof(got), REPORT_WAIT_MS);
	assert_int_equal(report_parse(&heard, got, n, 1), 0);

	/* The answer took 400 ms or more, of which the phone held it for 300. */
	usleep(400000);
	put32(rr + 8, heard.sr_ssrc);
	put32(rr + 12, 5); /* lost */
	put32(rr + 20, 80); /* jitter: 10 ms */
	put32(rr + 24, (uint32_t)(heard.sr_ntp >> 16));
	put32(rr + 28, 300 * 65536 / 1000);
	least_us = (uint64_t)clk_wall_us() - sent_us(&heard) - 300000;
	phone_send_raw(pair.pb.rtcp, pair.b.rtcp_port, rr, sizeof(rr));
	stats_until(&pair.b, five_are_lost);
	most_us = (uint64_t)clk_wall_us() - sent_us(&heard) - 300000;
	assert_int_equal(pair.b.stats.tx_jitter_us, 10000);
	rtt_us = pair.b.stats.rtt_us;
	assert_in_range(rtt_us, least_us - 1000, most_us + 1000); /* 16 bits of a second are rounded */
	assert_int_equal(rtt_us, pair.b.stats.rtt_max_us);

	/* An LSR that we never sent proves nothing. */
	put32(rr + 12, 6);
	put32(rr + 24, 12345);
	phone_send_raw(pair.pb.rtcp, pair.b.rtcp_port, rr, sizeof(rr));
	stats_until(&pair.b, six_are_lost);
	assert_int_equal(pair.b.stats.rtt_us, rtt_us);

	/* Nor does one that was held longer than it was away. */
	put32(rr + 12, 7);
	put32(rr + 24, (uint32_t)(heard.sr_ntp >> 16));
	put32(rr + 28, 3600u << 16);
	phone_send_raw(pair.pb.rtcp, pair.b.rtcp_port, rr, sizeof(rr));
	stats_until(&pair.b, seven_are_lost);
	assert_int_equal(pair.b.stats.rtt_us, rtt_us);
	pair_close(&pair);
}

/* Video passes with its own reports: sound that only passes must stay on the same clock. */
static void sound_that_passes_keeps_its_senders_clock(void **state)
{
	uint8_t sr[44] = { 0x80, 200, 0, 6 }, got[256];
	struct report_heard heard;
	struct pair pair;
	size_t n;

	pair_open(*state, &pair);
	speak(&pair);
	put32(sr + 4, pair.pa.ssrc);
	put32(sr + 8, 0xd0000000);
	put32(sr + 16, 16000);
	memcpy(sr + 28, "\x81\xca\0\3XXXX\1\6film@me\0", 16);
	put32(sr + 32, pair.pa.ssrc);
	sr[42] = sr[43] = 0;
	sr[37] = 4; /* "film" */
	phone_send_raw(pair.pa.rtcp, pair.a.rtcp_port, sr, sizeof(sr));
	n = phone_recv(pair.pb.rtcp, got, sizeof(got), REPORT_WAIT_MS);
	assert_int_equal(report_parse(&heard, got, n, 1), 0);
	assert_in_range(heard.sr_ntp >> 32, 0xd0000000, 0xd0000005);
	/* Both numbers moved by the same span. */
	assert_in_range(heard.sr_rtp - 16000, ((heard.sr_ntp - 0xd000000000000000ull) * 8000 >> 32) - 8,
			((heard.sr_ntp - 0xd000000000000000ull) * 8000 >> 32) + 8);
	assert_string_equal(heard.cname, "film");
	pair_close(&pair);
}

static void an_echo_has_a_name_of_its_own(void **state)
{
	uint8_t sr[44] = { 0x80, 200, 0, 6 }, got[256];
	struct report_heard heard;
	struct phone phone;
	struct hdr_rtp hdr;
	struct leg leg;
	uint8_t mark;
	size_t n;

	phone_open(&phone, "127.0.0.1");
	leg_open(*state, &leg, NULL);
	leg_remote(&leg, &phone, NULL);
	media_bridge(leg.stream, leg.stream);
	fix_sync(&leg);
	phone_send(&phone, leg.port, 8, 1);
	assert_true(phone_hear(&phone, &hdr, &mark, 1000));
	put32(sr + 4, phone.ssrc);
	put32(sr + 8, 0xd0000000);
	memcpy(sr + 28, "\x81\xca\0\3XXXX\1\4mine\0\0", 16);
	put32(sr + 32, phone.ssrc);
	phone_send_raw(phone.rtcp, leg.rtcp_port, sr, sizeof(sr));
	n = phone_recv(phone.rtcp, got, sizeof(got), REPORT_WAIT_MS);
	assert_int_equal(report_parse(&heard, got, n, 1), 0);
	assert_true(heard.has_sr);
	assert_true(heard.sr_ssrc != phone.ssrc);
	assert_string_not_equal(heard.cname, "mine");
	leg_close(&leg);
	phone_close(&phone);
	fix_run(20);
}

static void rubbish_is_dropped_and_counted(void **state)
{
	uint8_t rr[32] = { 0x81, 201, 0, 99, 9, 9, 9, 9 };
	struct pair pair;

	pair_open(*state, &pair);
	phone_send_raw(pair.pb.rtcp, pair.b.rtcp_port, rr, sizeof(rr));
	stats_until(&pair.b, one_is_dropped);
	pair_close(&pair);
}

#define T(function) cmocka_unit_test_setup_teardown(function, fix_setup, fix_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(each_leg_hears_reports_of_its_own),
		T(round_trip_and_loss_of_the_other_direction_are_learnt),
		T(sound_that_passes_keeps_its_senders_clock),
		T(an_echo_has_a_name_of_its_own),
		T(rubbish_is_dropped_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
