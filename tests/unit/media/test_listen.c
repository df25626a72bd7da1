/* SPDX-License-Identifier: Apache-2.0 */
/* Digits: each is told once, and reaches the other phone in its own way (PLT-37). */
#include "mediafix.h"

#include <math.h>
#include <spandsp.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"

struct pair {
	struct leg a, b;
	struct phone pa, pb;
};

static const struct media_format pcma = { .codec = MEDIA_PCMA, .pt_out = 8, .pt_in = 8, .clock_hz = 8000 };
static const struct media_format opus = { .codec = MEDIA_OPUS, .pt_out = 96, .pt_in = 96, .clock_hz = 48000 };

static void remote(struct leg *leg, const struct phone *phone, const struct media_format *format,
		   enum media_dtmf way, int16_t pt)
{
	leg_remote(leg, phone,
		   &(struct media_remote){ .may_send = true, .may_recv = true, .formats = format,
					   .n_formats = 1, .dtmf_tx = way, .dtmf_pt = pt,
					   .dtmf_pt_in = pt });
}

/* a speaks G.711 and sends events as 101; b as given. */
static void pair_open(struct fix *fix, struct pair *pair, const struct media_format *format,
		      enum media_dtmf way, int16_t pt)
{
	phone_open(&pair->pa, "127.0.0.1");
	phone_open(&pair->pb, "127.0.0.1");
	leg_open(fix, &pair->a, NULL);
	leg_open(fix, &pair->b, &(struct media_open_opts){ .near = pair->a.stream });
	remote(&pair->a, &pair->pa, &pcma, MEDIA_DTMF_EVENT, 101);
	remote(&pair->b, &pair->pb, format, way, pt);
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

static void event_send(struct phone *phone, uint16_t to, uint8_t event, bool end, uint16_t duration)
{
	uint8_t data[HDR_RTP_BYTES + 4];

	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = 101, .seq = phone->seq++, .ts = phone->ts,
					       .ssrc = phone->ssrc });
	hdr_event_write(data + HDR_RTP_BYTES,
			&(struct hdr_event){ .event = event, .end = end, .volume = 7,
					     .duration = duration });
	phone_send_raw(phone->rtp, to, data, sizeof(data));
}

/* A key of 100 ms in no time at all, as a network gives it that held it back. */
static void press(struct pair *pair, uint8_t event)
{
	for (uint16_t d = 160; d <= 640; d += 160)
		event_send(&pair->pa, pair->a.port, event, false, d);
	for (int i = 0; i < 3; i++)
		event_send(&pair->pa, pair->a.port, event, true, 800);
	pair->pa.ts += 1600;
}

struct awaited {
	struct leg *leg;
	unsigned digits;
};

static bool have_come(void *arg)
{
	const struct awaited *awaited = arg;

	return awaited->leg->digits >= awaited->digits;
}

/* Exactly so many, not one more. */
static void expect_digits(struct leg *leg, const char *digits)
{
	struct awaited awaited = { leg, (unsigned)strlen(digits) };

	assert_true(fix_until(have_come, &awaited, FIX_WAIT_MS));
	fix_run(400);
	assert_int_equal(leg->digits, strlen(digits));
	assert_memory_equal(leg->digit, digits, strlen(digits));
}

static void keys_that_arrive_at_once_are_all_told(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_EVENT, 101);
	press(&pair, 5);
	press(&pair, 5); /* the same key twice is two digits */
	press(&pair, 1);
	press(&pair, 10);
	expect_digits(&pair.a, "551*");
	assert_int_equal(pair.a.duration_ms, 100);
	pair_close(&pair);
}

static void late_and_repeated_packets_are_no_new_digit(void **state)
{
	struct pair pair;
	uint32_t first;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_EVENT, 101);
	first = pair.pa.ts;
	press(&pair, 3);
	event_send(&pair.pa, pair.a.port, 4, false, 160);
	pair.pa.ts = first; /* overtaken packets of the first key */
	event_send(&pair.pa, pair.a.port, 3, false, 480);
	event_send(&pair.pa, pair.a.port, 3, true, 800);
	pair.pa.ts = first + 1600;
	event_send(&pair.pa, pair.a.port, 4, true, 800);
	expect_digits(&pair.a, "34");
	pair_close(&pair);
}

static void a_lost_beginning_and_a_lost_end_do_not_matter(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_EVENT, 101);
	event_send(&pair.pa, pair.a.port, 7, true, 800); /* only one end arrived */
	pair.pa.ts += 1600;
	event_send(&pair.pa, pair.a.port, 8, false, 480); /* no end */
	pair.pa.ts += 1600;
	press(&pair, 9);
	event_send(&pair.pa, pair.a.port, 0, false, 480); /* nothing follows at all */
	expect_digits(&pair.a, "7890");
	assert_int_equal(pair.a.duration_ms, 60);
	pair_close(&pair);
}

/* RFC 4733 section 2.5.1.3: sixteen bits hold 8.19 s at 8 kHz. */
static void a_very_long_press_is_one_digit(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_EVENT, 101);
	event_send(&pair.pa, pair.a.port, 2, false, 60000);
	event_send(&pair.pa, pair.a.port, 2, false, 65535);
	pair.pa.ts += 65535;
	event_send(&pair.pa, pair.a.port, 2, false, 800);
	pair.pa.ts -= 65535; /* a packet of the first segment was overtaken */
	event_send(&pair.pa, pair.a.port, 2, false, 65000);
	pair.pa.ts += 65535;
	event_send(&pair.pa, pair.a.port, 2, true, 14465);
	expect_digits(&pair.a, "2");
	assert_int_equal(pair.a.duration_ms, 10000);
	pair_close(&pair);
}

static void flash_is_no_digit(void **state)
{
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_EVENT, 101);
	press(&pair, 16);
	press(&pair, 1);
	expect_digits(&pair.a, "1");
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000)); /* who understands it gets it */
	assert_int_equal(mark, 16);
	pair_close(&pair);
}

static void a_phone_that_takes_info_hears_no_events(void **state)
{
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_NONE, -1);
	press(&pair, 6);
	expect_digits(&pair.a, "6"); /* the switch sends the INFO */
	assert_false(phone_hear(&pair.pb, &hdr, &mark, 50));
	phone_send(&pair.pa, pair.a.port, 8, 0x11);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	pair_close(&pair);
}

struct event_run { /* what a phone heard of one digit */
	unsigned packets, markers, ends, segments;
	uint32_t first_ts, units;
	uint16_t seq;
};

/* Reads the events of one digit; ends when three ends have come. */
static void hear_event(struct phone *phone, uint8_t pt, uint8_t event, struct event_run *run)
{
	uint8_t data[256];
	uint32_t ts = 0;

	memset(run, 0, sizeof(*run));
	while (run->ends < 3) {
		size_t n = phone_recv(phone->rtp, data, sizeof(data), 1000);
		struct hdr_event got;
		struct hdr_rtp hdr;

		assert_true(n > 0);
		assert_int_equal(hdr_rtp_parse(&hdr, data, n), 0);
		assert_int_equal(hdr.pt, pt);
		assert_int_equal(hdr_event_parse(&got, data + hdr.payload_at, hdr.payload_len), 0);
		assert_int_equal(got.event, event);
		assert_int_equal(got.volume, 7);
		if (run->packets++)
			assert_int_equal(hdr.seq, (uint16_t)(run->seq + 1));
		else
			run->first_ts = ts = hdr.ts;
		run->seq = hdr.seq;
		run->markers += hdr.marker;
		run->ends += got.end;
		if (hdr.ts != ts) {
			assert_int_equal(hdr.ts - ts, 0xffff);
			run->segments++;
			ts = hdr.ts;
		}
		run->units = hdr.ts - run->first_ts + got.duration;
	}
}

/* G.711 and Opus count at different rates: the event is made anew, as long as it was. */
static void an_event_changes_its_clock(void **state)
{
	struct event_run run;
	struct pair pair;
	uint64_t next_us;

	pair_open(*state, &pair, &opus, MEDIA_DTMF_EVENT, 110);
	next_us = clk_mono_us();
	for (uint16_t d = 160; d <= 16000; d += 160) { /* two seconds, on the clock */
		event_send(&pair.pa, pair.a.port, 5, false, d);
		for (next_us += 20000; clk_mono_us() < next_us;)
			usleep(1000);
	}
	for (int i = 0; i < 3; i++)
		event_send(&pair.pa, pair.a.port, 5, true, 16000);
	hear_event(&pair.pb, 110, 5, &run);
	assert_int_equal(run.markers, 1);
	assert_int_equal(run.segments, 1); /* 96,000 units */
	assert_in_range(run.units, 2 * 48000 - 4 * 960, 2 * 48000 + 4 * 960);
	assert_true(run.packets > 90);
	expect_digits(&pair.a, "5");
	assert_int_equal(pair.a.duration_ms, 2000);
	pair_close(&pair);
}

static void a_key_pressed_when_the_bridge_ends_is_let_go(void **state)
{
	struct event_run run;
	struct pair pair;

	pair_open(*state, &pair, &opus, MEDIA_DTMF_EVENT, 110);
	event_send(&pair.pa, pair.a.port, 5, false, 160);
	usleep(100000);
	media_unbridge(pair.a.stream);
	fix_sync(&pair.a);
	hear_event(&pair.pb, 110, 5, &run);
	assert_in_range(run.units, 2000, 48000 / 3);
	pair_close(&pair);
}

/* ------------------------------------------------------------------ tones */

struct sound { /* what a phone hears, and what it says, 20 ms at a time */
	dtmf_rx_state_t *rx;
	char keys[32];
	unsigned n_keys, events, loud, packets;
	uint32_t event_ts;
};

static void listen_in(struct phone *phone, struct sound *sound)
{
	uint8_t data[512];
	int16_t pcm[400];
	size_t n;

	while ((n = phone_recv(phone->rtp, data, sizeof(data), 0)) > 0) {
		struct hdr_rtp hdr;
		double power = 0;

		assert_int_equal(hdr_rtp_parse(&hdr, data, n), 0);
		if (hdr.pt == 101) {
			if (hdr.ts != sound->event_ts)
				sound->events++;
			sound->event_ts = hdr.ts;
			continue;
		}
		sound->packets++;
		for (size_t i = 0; i < hdr.payload_len; i++) {
			pcm[i] = alaw_to_linear(data[hdr.payload_at + i]);
			power += (double)pcm[i] * pcm[i];
		}
		sound->loud += power / (double)hdr.payload_len > 500.0 * 500.0;
		(void)dtmf_rx(sound->rx, pcm, (int)hdr.payload_len);
	}
	sound->n_keys += (unsigned)dtmf_rx_get(sound->rx, sound->keys + sound->n_keys,
					       (int)(sizeof(sound->keys) - 1 - sound->n_keys));
}

static void say(struct phone *phone, uint16_t to, const int16_t *pcm)
{
	uint8_t data[HDR_RTP_BYTES + 160];

	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = 8, .seq = phone->seq++, .ts = phone->ts,
					       .ssrc = phone->ssrc });
	phone->ts += 160;
	for (int i = 0; i < 160; i++)
		data[HDR_RTP_BYTES + i] = linear_to_alaw(pcm[i]);
	phone_send_raw(phone->rtp, to, data, sizeof(data));
}

/* a says keys as tones, b listens, for so many frames; then the last ones arrive. */
static void talk(struct pair *pair, const char *keys, unsigned frames, struct sound *heard)
{
	dtmf_tx_state_t *tx = dtmf_tx_init(NULL);
	int16_t pcm[160];

	(void)dtmf_tx_put(tx, keys, -1);
	for (unsigned i = 0; i < frames; i++) {
		memset(pcm, 0, sizeof(pcm));
		(void)dtmf_tx(tx, pcm, 160);
		say(&pair->pa, pair->a.port, pcm);
		listen_in(&pair->pb, heard);
		fix_run(19);
	}
	fix_run(300);
	listen_in(&pair->pb, heard);
	dtmf_tx_free(tx);
}

static void sound_open(struct sound *sound)
{
	*sound = (struct sound){ .rx = dtmf_rx_init(NULL, NULL, NULL) };
}

/* Neither the tone nor a piece of it may be heard beside the event: it would be a second digit. */
static void tones_become_events(void **state)
{
	struct sound heard;
	struct pair pair;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_EVENT, 101);
	remote(&pair.a, &pair.pa, &pcma, MEDIA_DTMF_INBAND, -1);
	media_listen(pair.a.stream, &(struct media_listen_opts){ .inband = true });
	fix_sync(&pair.a);
	sound_open(&heard);
	talk(&pair, "159*", 60, &heard);
	expect_digits(&pair.a, "159*");
	assert_int_equal(heard.events, 4);
	assert_int_equal(heard.n_keys, 0);
	assert_in_range(heard.loud, 0, 1);
	assert_true(heard.packets > 10); /* the sound between the keys passes */
	dtmf_rx_free(heard.rx);
	pair_close(&pair);
}

static void tones_stay_tones_where_they_are_understood(void **state)
{
	struct sound heard;
	struct pair pair;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_INBAND, -1);
	remote(&pair.a, &pair.pa, &pcma, MEDIA_DTMF_INBAND, -1);
	media_listen(pair.a.stream, &(struct media_listen_opts){ .inband = true }); /* in-call codes */
	fix_sync(&pair.a);
	sound_open(&heard);
	talk(&pair, "0D", 30, &heard);
	expect_digits(&pair.a, "0D");
	assert_string_equal(heard.keys, "0D");
	leg_stats(&pair.a);
	assert_false(pair.a.stats.transcoded);
	dtmf_rx_free(heard.rx);
	pair_close(&pair);
}

static void events_become_tones(void **state)
{
	static const int16_t silence[160];
	struct sound heard;
	struct pair pair;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_INBAND, -1);
	sound_open(&heard);
	for (int i = 0; i < 60; i++) {
		if (i == 10 || i == 30) {
			for (uint16_t d = 160; d <= 800; d += 160)
				event_send(&pair.pa, pair.a.port, i == 10 ? 7 : 11, d == 800, d);
			pair.pa.ts += 800;
		} else {
			say(&pair.pa, pair.a.port, silence);
		}
		listen_in(&pair.pb, &heard);
		fix_run(19);
	}
	fix_run(100);
	listen_in(&pair.pb, &heard);
	assert_string_equal(heard.keys, "7#");
	assert_in_range(heard.loud, 8, 14); /* two keys of 100 ms */
	assert_int_equal(heard.events, 0);
	expect_digits(&pair.a, "7#");
	dtmf_rx_free(heard.rx);
	pair_close(&pair);
}

/* A tone lasts as long as the key is down, though nobody knows yet how long that will be. */
static void a_tone_lasts_while_the_key_is_down(void **state)
{
	struct sound heard;
	struct pair pair;
	uint64_t next_us;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_INBAND, -1);
	sound_open(&heard);
	next_us = clk_mono_us();
	for (uint16_t d = 160; d <= 4800; d += 160) { /* 600 ms, on the clock */
		event_send(&pair.pa, pair.a.port, 9, d == 4800, d);
		listen_in(&pair.pb, &heard);
		for (next_us += 20000; clk_mono_us() < next_us;)
			fix_run(1);
	}
	fix_run(100);
	listen_in(&pair.pb, &heard);
	assert_string_equal(heard.keys, "9");
	assert_in_range(heard.loud, 20, 40);
	dtmf_rx_free(heard.rx);
	pair_close(&pair);
}

static bool heard_fax(void *arg)
{
	return ((struct leg *)arg)->fax_tones > 0;
}

static void a_calling_fax_is_recognised(void **state)
{
	struct pair pair;
	int16_t pcm[160];
	unsigned at = 0;

	pair_open(*state, &pair, &pcma, MEDIA_DTMF_EVENT, 101);
	media_listen(pair.a.stream, &(struct media_listen_opts){ .fax = true });
	fix_sync(&pair.a);
	for (int i = 0; i < 60; i++) { /* CNG: 1100 Hz for half a second */
		for (int k = 0; k < 160; k++, at++)
			pcm[k] = i < 28 ? (int16_t)(6000 * sin(at * 1100 * 2 * M_PI / 8000)) : 0;
		say(&pair.pa, pair.a.port, pcm);
		fix_run(19);
	}
	assert_true(fix_until(heard_fax, &pair.a, 1000));
	assert_false(pair.a.is_called_fax);
	assert_int_equal(pair.a.digits, 0);
	pair_close(&pair);
}

#define T(function) cmocka_unit_test_setup_teardown(function, fix_setup, fix_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(keys_that_arrive_at_once_are_all_told),
		T(late_and_repeated_packets_are_no_new_digit),
		T(a_lost_beginning_and_a_lost_end_do_not_matter),
		T(a_very_long_press_is_one_digit),
		T(flash_is_no_digit),
		T(a_phone_that_takes_info_hears_no_events),
		T(an_event_changes_its_clock),
		T(a_key_pressed_when_the_bridge_ends_is_let_go),
		T(tones_become_events),
		T(tones_stay_tones_where_they_are_understood),
		T(events_become_tones),
		T(a_tone_lasts_while_the_key_is_down),
		T(a_calling_fax_is_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
