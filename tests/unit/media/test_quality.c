/* SPDX-License-Identifier: Apache-2.0 */
/* The estimate of how a call sounds, and what others' RTCP says. Pure functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include "media/quality.h"
#include "media/rtcp.h"

static uint16_t mos_at(enum media_codec codec, uint32_t hz, uint32_t lost_ppm, uint32_t delay_ms)
{
	return quality_mos_x100(&(struct quality){
		.codec = codec, .hz = hz, .lost_ppm = lost_ppm, .delay_ms = delay_ms });
}

static uint16_t mos(enum media_codec codec, uint32_t lost_ppm, uint32_t delay_ms)
{
	return mos_at(codec, 8000, lost_ppm, delay_ms);
}

/* R = 93.2 is 4.41 (G.107 annex B); the other rows were worked out by hand from the formulas. */
static void known_scores(void **state)
{
	static const struct {
		enum media_codec codec;
		uint32_t lost_ppm, delay_ms;
		uint16_t mos_x100;
	} rows[] = {
		{ MEDIA_PCMA, 0, 0, 441 },
		{ MEDIA_PCMA, 0, 150, 433 },	   /* R 89.6 */
		{ MEDIA_PCMA, 0, 400, 305 },	   /* R 59.1: late, though nothing is lost */
		{ MEDIA_PCMA, 50000, 100, 382 },  /* 5 % lost: R 75.0 */
		{ MEDIA_G729, 0, 0, 410 },	   /* R 82.2 */
		{ MEDIA_GSM, 0, 0, 374 },	   /* R 73.2 */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint16_t got = mos(rows[i].codec, rows[i].lost_ppm, rows[i].delay_ms);

		assert_in_range(got, rows[i].mos_x100 - 1u, rows[i].mos_x100 + 1u);
	}
}

/* R = 129 - Ie,eff (G.107.1), worked out by hand; a codec without a wide-band row stays what it is. */
static void known_wide_scores(void **state)
{
	static const struct {
		enum media_codec codec;
		uint32_t lost_ppm, delay_ms;
		uint16_t mos_x100;
	} rows[] = {
		{ MEDIA_G722, 0, 0, 450 },	  /* R 116 */
		{ MEDIA_G722, 10000, 0, 450 },    /* 1 % lost: R 100.5 */
		{ MEDIA_G722, 30000, 0, 411 },	  /* 3 % lost: R 82.3 */
		{ MEDIA_OPUS, 0, 150, 450 },	  /* R 117.4 */
		{ MEDIA_OPUS, 50000, 100, 368 },  /* 5 % lost: R 71.8 */
		{ MEDIA_L16, 0, 400, 444 },	  /* R 94.9 */
		{ MEDIA_PCMA, 0, 0, 441 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint16_t got = mos_at(rows[i].codec, 16000, rows[i].lost_ppm, rows[i].delay_ms);

		assert_in_range(got, rows[i].mos_x100 - 1u, rows[i].mos_x100 + 1u);
	}
	assert_int_equal(mos_at(MEDIA_L16, 8000, 0, 0), 441);
	assert_int_equal(mos_at(MEDIA_OPUS, 0, 0, 0), 441);
}

static void worse_is_never_better(void **state)
{
	for (int codec = 0; codec < MEDIA_CODECS; codec++) {
		for (uint32_t hz = 8000; hz <= 16000; hz += 8000) {
			for (uint32_t i = 0; i < 100; i++) {
				assert_true(mos_at(codec, hz, i * 10000, 50) >=
					    mos_at(codec, hz, (i + 1) * 10000, 50));
				assert_true(mos_at(codec, hz, 10000, i * 20) >=
					    mos_at(codec, hz, 10000, (i + 1) * 20));
			}
			assert_in_range(mos_at(codec, hz, 0, 0), 100, 450);
			assert_int_equal(mos_at(codec, hz, 2000000, 100000), 100);
		}
	}
}

/* SR with one block about 0x0a0b0c0d: 7 lost, jitter 33; SDES; BYE; an XR in between. */
static const uint8_t compound[] = {
	0x81, 200, 0, 12, 1, 2, 3, 4, 0xe0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 9, 0, 0, 6, 0,
	0x0a, 0x0b, 0x0c, 0x0d, 12, 0, 0, 7, 0, 0, 1, 0, 0, 0, 0, 33, 0, 1, 0, 2, 0, 0, 0x80, 0,
	0x80, 207, 0, 1, 1, 2, 3, 4,
	0x81, 202, 0, 3, 1, 2, 3, 4, 1, 4, 'a', '@', 'b', 'c', 0, 0,
	0x81, 203, 0, 1, 1, 2, 3, 4,
};

static void a_compound_packet_is_understood(void **state)
{
	struct report_heard heard;

	assert_int_equal(report_parse(&heard, compound, sizeof(compound), 0x0a0b0c0d), 0);
	assert_true(heard.has_sr);
	assert_int_equal(heard.sr_ssrc, 0x01020304);
	assert_true(heard.sr_ntp == 0xe000000180000000ull);
	assert_int_equal(heard.sr_rtp, 0x1000);
	assert_true(heard.has_block);
	assert_int_equal(heard.lost, 7);
	assert_int_equal(heard.jitter, 33);
	assert_int_equal(heard.lsr, 0x00010002);
	assert_int_equal(heard.dlsr, 0x8000);
	assert_string_equal(heard.cname, "a@bc");
	assert_true(heard.has_bye);

	/* What it says about somebody else is not about us. */
	assert_int_equal(report_parse(&heard, compound, sizeof(compound), 1), 0);
	assert_false(heard.has_block);
}

static void more_came_than_was_sent(void **state)
{
	/* Duplicates make the count of lost packets negative: 24 bits with sign. */
	uint8_t rr[32] = { 0x81, 201, 0, 7, 9, 9, 9, 9, 0, 0, 0, 5, 0, 0xff, 0xff, 0xfe };
	struct report_heard heard;

	assert_int_equal(report_parse(&heard, rr, sizeof(rr), 5), 0);
	assert_int_equal(heard.lost, -2);
}

static void lengths_that_do_not_add_up_are_refused(void **state)
{
	struct report_heard heard;
	uint8_t copy[sizeof(compound)];

	for (size_t len = 0; len < sizeof(compound); len++) {
		bool whole = len == 52 || len == 60 || len == 76; /* ends of packets */

		assert_int_equal(report_parse(&heard, compound, len, 5), whole ? 0 : -EBADMSG);
	}
	memcpy(copy, compound, sizeof(copy));
	copy[0] = 0x82; /* two blocks are announced */
	assert_int_equal(report_parse(&heard, copy, sizeof(copy), 5), -EBADMSG);
	memcpy(copy, compound, sizeof(copy));
	copy[69] = 9; /* an item longer than its chunk */
	assert_int_equal(report_parse(&heard, copy, sizeof(copy), 5), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_scores),
		cmocka_unit_test(known_wide_scores),
		cmocka_unit_test(worse_is_never_better),
		cmocka_unit_test(a_compound_packet_is_understood),
		cmocka_unit_test(more_came_than_was_sent),
		cmocka_unit_test(lengths_that_do_not_add_up_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
