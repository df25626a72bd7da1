/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include "media/relay.h"
#include "media/wire.h"

/* ------------------------------------------------------------------ RTCP */

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static const struct hdr_map self = { true, 0xaaaa, 0xbbbb, 100, 1000 };
static const struct hdr_map about = { true, 0xcccc, 0xdddd, 7, 0 };
static const struct hdr_map off = { 0 };

/* RFC 3550 section 6.4.1: sender, RTP timestamp and report blocks follow the rewritten headers. */
static void sender_report_follows_the_rewriting(void **state)
{
	uint8_t sr[52 + 20 + 8] = { 0x81, 200, 0, 12 };
	uint8_t *sdes = sr + 52, *bye = sr + 72;

	put32(sr + 4, 0xaaaa);
	put32(sr + 16, 5000);
	put32(sr + 28, 0xdddd);
	put32(sr + 36, 0x00010007);
	memcpy(sdes, (uint8_t[]){ 0x81, 202, 0, 4 }, 4);
	put32(sdes + 4, 0xaaaa);
	memcpy(sdes + 8, "\x01\x05" "a@b.c\0\0\0\0\0", 12);
	memcpy(bye, (uint8_t[]){ 0x81, 203, 0, 1 }, 4);
	put32(bye + 4, 0xaaaa);

	assert_int_equal(hdr_rtcp_map(sr, sizeof(sr), &self, &about), 0);
	assert_int_equal(get32(sr + 4), 0xbbbb);
	assert_int_equal(get32(sr + 16), 6000);
	assert_int_equal(get32(sr + 28), 0xcccc);
	assert_int_equal(get32(sr + 36), 0x00010000);
	assert_int_equal(get32(sdes + 4), 0xbbbb);
	assert_int_equal(get32(bye + 4), 0xbbbb);
}

static void feedback_names_the_senders_own_stream(void **state)
{
	uint8_t pli[12] = { 0x81, 206, 0, 2 };

	put32(pli + 4, 0xaaaa);
	put32(pli + 8, 0xdddd);
	assert_int_equal(hdr_rtcp_map(pli, sizeof(pli), &self, &about), 0);
	assert_int_equal(get32(pli + 4), 0xbbbb);
	assert_int_equal(get32(pli + 8), 0xcccc);
}

static void nothing_changes_when_nothing_was_rewritten(void **state)
{
	uint8_t rr[32] = { 0x81, 201, 0, 7 }, before[32];

	put32(rr + 4, 0xaaaa);
	put32(rr + 8, 0xdddd);
	memcpy(before, rr, sizeof(rr));
	assert_int_equal(hdr_rtcp_map(rr, sizeof(rr), &off, &off), 0);
	assert_memory_equal(rr, before, sizeof(rr));
}

static void broken_rtcp_is_refused(void **state)
{
	static const struct {
		size_t len;
		uint8_t data[16];
	} cases[] = {
		{ 4, { 0x80, 201, 0, 0 } },                   /* below eight bytes */
		{ 8, { 0x40, 201, 0, 1 } },                   /* version 1 */
		{ 8, { 0x80, 201, 0, 2 } },                   /* longer than it is */
		{ 8, { 0x81, 201, 0, 1 } },                   /* a report block that is not there */
		{ 8, { 0x80, 200, 0, 1 } },                   /* a sender report without its body */
		{ 8, { 0xa0, 201, 0, 1, 0, 0, 0, 200 } },     /* padding above the packet */
		{ 12, { 0x81, 202, 0, 2, 0, 0, 0, 1, 1, 200 } }, /* an SDES item above the packet */
		{ 12, { 0x82, 203, 0, 1, 0, 0, 0, 1 } },      /* BYE of two with one */
		{ 10, { 0x80, 201, 0, 1, 0, 0, 0, 1, 0x80, 201 } }, /* half a header behind */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t data[16];

		memcpy(data, cases[i].data, sizeof(data));
		assert_int_equal(hdr_rtcp_map(data, cases[i].len, &self, &about), -EBADMSG);
	}
}

/* ------------------------------------------------------------------ continuity */

static void a_new_source_continues_the_numbers(void **state)
{
	struct stream_out out = { 0 };
	struct hdr_rtp hdr = { .seq = 65535, .ts = 1000, .ssrc = 0xaa };

	out_map(&out, OUT_BRIDGE, 1, &hdr, 8000, 1000000, false);
	assert_int_equal(hdr.ssrc, 0xaa);
	assert_false(out.mapped);

	/* Another leg, 40 ms later. */
	hdr = (struct hdr_rtp){ .seq = 500, .ts = 777777, .ssrc = 0xbb };
	out_map(&out, OUT_BRIDGE, 2, &hdr, 8000, 1040000, false);
	assert_int_equal(hdr.ssrc, 0xaa);
	assert_int_equal(hdr.seq, 0);
	assert_int_equal(hdr.ts, 1320);
	assert_true(hdr.marker);

	/* Its next packets, one of them late. */
	hdr = (struct hdr_rtp){ .seq = 502, .ts = 777777 + 320, .ssrc = 0xbb };
	out_map(&out, OUT_BRIDGE, 2, &hdr, 8000, 1080000, false);
	assert_int_equal(hdr.seq, 2);
	assert_int_equal(hdr.ts, 1640);
	hdr = (struct hdr_rtp){ .seq = 501, .ts = 777777 + 160, .ssrc = 0xbb };
	out_map(&out, OUT_BRIDGE, 2, &hdr, 8000, 1081000, false);
	assert_int_equal(hdr.seq, 1);
	assert_int_equal(hdr.ts, 1480);
	assert_false(hdr.marker);
	assert_int_equal(out.seq, 2);
}

static void a_phone_that_restarts_its_ssrc_is_hidden(void **state)
{
	struct stream_out out = { 0 };
	struct hdr_rtp hdr = { .seq = 10, .ts = 1000, .ssrc = 0xaa };

	out_map(&out, OUT_BRIDGE, 1, &hdr, 8000, 0, false);
	hdr = (struct hdr_rtp){ .seq = 9000, .ts = 5, .ssrc = 0xab };
	out_map(&out, OUT_BRIDGE, 1, &hdr, 8000, 20000, false);
	assert_int_equal(hdr.ssrc, 0xaa);
	assert_int_equal(hdr.seq, 11);
	assert_int_equal(hdr.ts, 1160);
}

static void video_keeps_its_sources(void **state)
{
	struct stream_out out = { 0 };
	struct hdr_rtp hdr = { .seq = 10, .ts = 1000, .ssrc = 0xaa };

	out_map(&out, OUT_BRIDGE, 1, &hdr, 90000, 0, true);
	hdr = (struct hdr_rtp){ .seq = 9000, .ts = 5, .ssrc = 0xab };
	out_map(&out, OUT_BRIDGE, 1, &hdr, 90000, 20000, true);
	assert_int_equal(hdr.ssrc, 0xab);
	assert_int_equal(hdr.seq, 9000);
}

static void the_peer_goes_on_in_its_own_time_after_a_digit(void **state)
{
	struct stream_out out = { 0 };
	struct hdr_rtp hdr = { .seq = 10, .ts = 1000, .ssrc = 0xaa };

	out_map(&out, OUT_BRIDGE, 1, &hdr, 8000, 0, false);
	hdr = (struct hdr_rtp){ .ts = out_next_ts(&out, 8000, 20000) };
	assert_int_equal(hdr.ts, 1160);
	out_own(&out, OUT_DTMF, &hdr, 20000);
	assert_int_equal(hdr.seq, 11);
	assert_int_equal(hdr.ssrc, 0xaa);

	/* 100 ms later, with 7 ms of jitter that must not show in the timestamps. */
	hdr = (struct hdr_rtp){ .seq = 16, .ts = 1960, .ssrc = 0xaa };
	out_map(&out, OUT_BRIDGE, 1, &hdr, 8000, 127000, false);
	assert_int_equal(hdr.seq, 12);
	assert_int_equal(hdr.ts, 1960);
}

/* ------------------------------------------------------------------ control messages */

static int check_one(void *msg, size_t len, enum wire_dir dir)
{
	struct wire_reader reader = { .data = msg, .left = len, .dir = dir };
	const struct mp_hdr *hdr;
	const char *why = NULL;
	int n = wire_next(&hdr, &reader, &why);

	assert_true(n >= 0 || why);
	return n;
}

static void messages_with_a_wrong_field_are_refused(void **state)
{
	_Alignas(8) struct mp_remote remote = { .hdr = { .type = MP_REMOTE, .size = sizeof(remote),
							 .stream = 1 }, .n_formats = 1, .dtmf_pt = -1,
					 .dtmf_pt_in = -1 };
	struct mp_remote bad;

	assert_int_equal(check_one(&remote, sizeof(remote), WIRE_TO_MEDIA), 1);
	assert_int_equal(check_one(&remote, sizeof(remote), WIRE_TO_SWITCH), -EBADMSG);
	assert_int_equal(check_one(&remote, sizeof(remote) - 8, WIRE_TO_MEDIA), -EBADMSG);
	assert_int_equal(check_one(&remote, 8, WIRE_TO_MEDIA), -EBADMSG);
	assert_int_equal(check_one(&remote, 0, WIRE_TO_MEDIA), 0);

#define REFUSED(field, value)                                                                      \
	bad = remote;                                                                              \
	bad.field = value;                                                                         \
	assert_int_equal(check_one(&bad, sizeof(bad), WIRE_TO_MEDIA), -EBADMSG)
	REFUSED(hdr.type, 0);
	REFUSED(hdr.type, 9999);
	REFUSED(hdr.size, 8);
	REFUSED(hdr.size, 0);
	REFUSED(hdr.zero, 1);
	REFUSED(hdr.stream, 0);
	REFUSED(rtp.family, 5);
	REFUSED(rtcp.family, 255);
	REFUSED(flags, 0x20);
	REFUSED(n_formats, 9);
	REFUSED(formats[0].codec, 100);
	REFUSED(formats[0].pt_out, 128);
	REFUSED(formats[0].pt_in, 128);
	REFUSED(dtmf_tx, 9);
	REFUSED(dtmf_pt, 128);
	REFUSED(dtmf_pt, -2);
	REFUSED(formats[0].clock_hz, 1000000);
#undef REFUSED
}

static void digits_and_events_are_inverse(void **state)
{
	for (uint8_t event = 0; event < 16; event++)
		assert_int_equal(wire_event_of(wire_digit_of(event)), event);
	assert_int_equal(wire_digit_of(16), 0);
	assert_int_equal(wire_event_of('x'), -EINVAL);
	assert_int_equal(wire_event_of(0), -EINVAL);
}

static void a_full_batch_says_so(void **state)
{
	static struct wire_batch batch;
	unsigned n = 0;

	while (wire_append(&batch, MP_OPEN, n + 1))
		n++;
	assert_int_equal(n, MP_MAX_PACKET / sizeof(struct mp_open));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sender_report_follows_the_rewriting),
		cmocka_unit_test(feedback_names_the_senders_own_stream),
		cmocka_unit_test(nothing_changes_when_nothing_was_rewritten),
		cmocka_unit_test(broken_rtcp_is_refused),
		cmocka_unit_test(a_new_source_continues_the_numbers),
		cmocka_unit_test(a_phone_that_restarts_its_ssrc_is_hidden),
		cmocka_unit_test(video_keeps_its_sources),
		cmocka_unit_test(the_peer_goes_on_in_its_own_time_after_a_digit),
		cmocka_unit_test(messages_with_a_wrong_field_are_refused),
		cmocka_unit_test(digits_and_events_are_inverse),
		cmocka_unit_test(a_full_batch_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
