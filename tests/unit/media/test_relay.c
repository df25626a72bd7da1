/* SPDX-License-Identifier: Apache-2.0 */
#include "mediafix.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A call: two legs, each told its phone's address, bridged. */
struct pair {
	struct leg a, b;
	struct phone pa, pb;
};

static void pair_open_as(struct fix *fix, struct pair *pair, bool symmetric, bool video)
{
	struct media_remote remote = { .may_send = true,
				       .may_recv = true,
				       .symmetric = symmetric,
				       .formats = &(const struct media_format){ .codec = MEDIA_PCMA, .pt_out = 8,
					.pt_in = 8, .clock_hz = 8000 },
				    .n_formats = 1, .dtmf_tx = MEDIA_DTMF_EVENT,
				    .dtmf_pt = 101, .dtmf_pt_in = 101 };

	phone_open(&pair->pa, "127.0.0.1");
	phone_open(&pair->pb, "127.0.0.1");
	leg_open(fix, &pair->a, &(struct media_open_opts){ .video = video });
	leg_open(fix, &pair->b, &(struct media_open_opts){ .video = video, .near = pair->a.stream });
	leg_remote(&pair->a, &pair->pa, &remote);
	leg_remote(&pair->b, &pair->pb, &remote);
	media_bridge(pair->a.stream, pair->b.stream);
	fix_sync(&pair->b);
}

static void pair_open(struct fix *fix, struct pair *pair, bool symmetric)
{
	pair_open_as(fix, pair, symmetric, false);
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


static void rtcp_of_video_passes_beside(void **state)
{
	/* RR of RFC 3550 section 6.4.2 with one report block. */
	uint8_t rr[32] = { 0x81, 201, 0, 7, 1, 2, 3, 4 }, got[64];
	struct pair pair;

	pair_open_as(*state, &pair, false, true);
	phone_send_raw(pair.pa.rtcp, pair.a.rtcp_port, rr, sizeof(rr));
	assert_int_equal(phone_recv(pair.pb.rtcp, got, sizeof(got), 1000), sizeof(rr));
	assert_memory_equal(got, rr, sizeof(rr));

	/* Lengths that do not add up go nowhere. */
	rr[3] = 99;
	phone_send_raw(pair.pa.rtcp, pair.a.rtcp_port, rr, sizeof(rr));
	assert_int_equal(phone_recv(pair.pb.rtcp, got, sizeof(got), 100), 0);
	pair_close(&pair);
}

static void rtcp_of_video_uses_one_port_where_agreed(void **state)
{
	struct media_remote mux = { .may_send = true, .may_recv = true, .rtcp_mux = true,
				    .formats = &(const struct media_format){ .codec = MEDIA_PCMA, .pt_out = 8,
					.pt_in = 8, .clock_hz = 8000 },
				    .n_formats = 1, .dtmf_tx = MEDIA_DTMF_EVENT,
				    .dtmf_pt = -1, .dtmf_pt_in = -1 };
	uint8_t sr[28] = { 0x80, 200, 0, 6, 9, 9, 9, 9 }, got[64];
	struct fix *fix = *state;
	struct pair pair = { 0 };

	phone_open(&pair.pa, "127.0.0.1");
	phone_open(&pair.pb, "127.0.0.1");
	leg_open(fix, &pair.a, &(struct media_open_opts){ .rtcp_mux = true, .video = true });
	assert_int_equal(pair.a.rtcp_port, pair.a.port);
	leg_open(fix, &pair.b, &(struct media_open_opts){ .video = true, .near = pair.a.stream });
	leg_remote(&pair.a, &pair.pa, &mux);
	leg_remote(&pair.b, &pair.pb, NULL);
	media_bridge(pair.a.stream, pair.b.stream);
	fix_sync(&pair.b);

	phone_send_raw(pair.pa.rtp, pair.a.port, sr, sizeof(sr)); /* muxed in, two ports out */
	assert_int_equal(phone_recv(pair.pb.rtcp, got, sizeof(got), 1000), sizeof(sr));
	phone_send_raw(pair.pb.rtcp, pair.b.rtcp_port, sr, sizeof(sr)); /* and back */
	assert_int_equal(phone_recv(pair.pa.rtp, got, sizeof(got), 1000), sizeof(sr));
	pair_close(&pair);
}

static bool latched_once(void *arg)
{
	return ((struct leg *)arg)->latched == 1;
}

static bool latched_twice(void *arg)
{
	return ((struct leg *)arg)->latched == 2;
}

/* BASE-46: a phone behind NAT is heard from where it really sends, and answered there. */
static void symmetric_source_is_latched(void **state)
{
	struct phone nat;
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, true);
	phone_open(&nat, "127.0.0.2"); /* another address than the SDP said */
	phone_send(&nat, pair.a.port, 8, 0x11);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	assert_true(fix_until(latched_once, &pair.a, FIX_WAIT_MS));
	assert_int_equal(sa_port(&pair.a.remote), nat.port);

	phone_send(&pair.pb, pair.b.port, 8, 0x22);
	assert_true(phone_hear(&nat, &hdr, &mark, 1000));
	assert_int_equal(mark, 0x22);
	assert_false(phone_hear(&pair.pa, &hdr, &mark, 50));
	phone_close(&nat);
	pair_close(&pair);
}

static void a_better_match_replaces_within_the_first_second(void **state)
{
	struct phone first;
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, true);
	phone_open(&first, "127.0.0.2");
	phone_send(&first, pair.a.port, 8, 0x11);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	phone_send(&pair.pa, pair.a.port, 8, 0x12); /* the address of the SDP */
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	assert_int_equal(mark, 0x12);
	assert_true(fix_until(latched_twice, &pair.a, FIX_WAIT_MS));

	phone_send(&first, pair.a.port, 8, 0x13); /* and no way back */
	assert_false(phone_hear(&pair.pb, &hdr, &mark, 50));
	phone_close(&first);
	pair_close(&pair);
}

static void the_first_second_ends_though_nothing_came_in_it(void **state)
{
	struct phone first;
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, true);
	phone_open(&first, "127.0.0.2");
	phone_send(&first, pair.a.port, 8, 0x11);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	fix_run(1100);
	phone_send(&pair.pa, pair.a.port, 8, 0x12); /* a better match, too late */
	assert_false(phone_hear(&pair.pb, &hdr, &mark, 50));
	phone_send(&first, pair.a.port, 8, 0x13);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	assert_int_equal(mark, 0x13);
	phone_close(&first);
	pair_close(&pair);
}

static void a_third_party_cannot_take_over(void **state)
{
	struct phone real, thief;
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, true);
	phone_open(&real, "127.0.0.2");
	phone_open(&thief, "127.0.0.3");
	for (int i = 0; i < 12; i++) { /* longer than the first second */
		phone_send(&real, pair.a.port, 8, 0x11);
		assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
		assert_int_equal(mark, 0x11);
		phone_send(&thief, pair.a.port, 8, 0x66);
		assert_false(phone_hear(&pair.pb, &hdr, &mark, 20));
		fix_run(90);
	}
	/* Not even from the address of the SDP, once the second is over. */
	phone_send(&pair.pa, pair.a.port, 8, 0x67);
	assert_false(phone_hear(&pair.pb, &hdr, &mark, 50));
	phone_send(&pair.pb, pair.b.port, 8, 0x22);
	assert_true(phone_hear(&real, &hdr, &mark, 1000));
	assert_false(phone_hear(&thief, &hdr, &mark, 20));
	phone_close(&thief);
	phone_close(&real);
	pair_close(&pair);
}

static void without_nat_only_the_address_of_the_sdp_is_heard(void **state)
{
	struct phone stranger, other_port;
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, false);
	phone_open(&stranger, "127.0.0.9");
	phone_open(&other_port, "127.0.0.1");
	phone_send(&stranger, pair.a.port, 8, 0x66);
	assert_false(phone_hear(&pair.pb, &hdr, &mark, 50));
	leg_stats(&pair.a);
	assert_int_equal(pair.a.stats.rx_dropped, 1);

	/* Same host, another port than it receives on: heard, but answered where the SDP says. */
	phone_send(&other_port, pair.a.port, 8, 0x11);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	phone_send(&pair.pb, pair.b.port, 8, 0x22);
	assert_true(phone_hear(&pair.pa, &hdr, &mark, 1000));
	assert_false(phone_hear(&other_port, &hdr, &mark, 20));
	phone_close(&stranger);
	phone_close(&other_port);
	pair_close(&pair);
}

static void a_new_address_latches_anew(void **state)
{
	struct phone moved;
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, false);
	phone_send(&pair.pa, pair.a.port, 8, 0x11); /* exact: latched, connected */
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	phone_open(&moved, "127.0.0.1");
	leg_remote(&pair.a, &moved, NULL);
	fix_sync(&pair.a);
	phone_send(&moved, pair.a.port, 8, 0x12);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	assert_int_equal(mark, 0x12);
	phone_send(&pair.pb, pair.b.port, 8, 0x22);
	assert_true(phone_hear(&moved, &hdr, &mark, 1000));
	phone_close(&moved);
	pair_close(&pair);
}

static void direction_is_honoured(void **state)
{
	struct media_remote remote = { .may_send = false, .may_recv = true, .formats = &(const struct media_format){ .codec = MEDIA_PCMA, .pt_out = 8,
					.pt_in = 8, .clock_hz = 8000 },
				    .n_formats = 1, .dtmf_tx = MEDIA_DTMF_EVENT,
				    .dtmf_pt = -1, .dtmf_pt_in = -1 };
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, false);
	leg_remote(&pair.a, &pair.pa, &remote);
	fix_sync(&pair.a);
	phone_send(&pair.pb, pair.b.port, 8, 0x22);
	assert_false(phone_hear(&pair.pa, &hdr, &mark, 50));
	phone_send(&pair.pa, pair.a.port, 8, 0x11);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));

	remote.may_send = true;
	remote.may_recv = false;
	leg_remote(&pair.a, &pair.pa, &remote);
	fix_sync(&pair.a);
	phone_send(&pair.pa, pair.a.port, 8, 0x11);
	assert_false(phone_hear(&pair.pb, &hdr, &mark, 50));
	phone_send(&pair.pb, pair.b.port, 8, 0x22);
	assert_true(phone_hear(&pair.pa, &hdr, &mark, 1000));
	pair_close(&pair);
}

static void what_is_not_rtp_is_dropped_and_counted(void **state)
{
	uint8_t junk[1600] = { 0x80, 8 }, got[2048];
	struct pair pair;

	pair_open(*state, &pair, false);
	phone_send_raw(pair.pa.rtp, pair.a.port, junk, 11);   /* too short */
	junk[0] = 0x40;
	phone_send_raw(pair.pa.rtp, pair.a.port, junk, 172);  /* version 1 */
	junk[0] = 0x8f;
	phone_send_raw(pair.pa.rtp, pair.a.port, junk, 40);   /* 15 CSRCs do not fit */
	junk[0] = 0x80;
	phone_send_raw(pair.pa.rtp, pair.a.port, junk, 1501); /* oversized */
	phone_send_raw(pair.pa.rtp, pair.a.port, junk, 0);    /* empty */
	assert_int_equal(phone_recv(pair.pb.rtp, got, sizeof(got), 100), 0);
	leg_stats(&pair.a);
	assert_int_equal(pair.a.stats.rx_dropped, 5);
	assert_int_equal(pair.a.stats.rx_packets, 0);
	phone_send_raw(pair.pa.rtp, pair.a.port, junk, 1500);
	assert_int_equal(phone_recv(pair.pb.rtp, got, sizeof(got), 1000), 1500);
	pair_close(&pair);
}

static void statistics_count_loss_and_jitter(void **state)
{
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, false);
	pair.pa.seq = 65530; /* over the wrap */
	for (int i = 0; i < 20; i++) {
		if (i == 7 || i == 8 || i == 15) {
			pair.pa.seq++;
			pair.pa.ts += 160;
			continue;
		}
		phone_send(&pair.pa, pair.a.port, 8, 1);
		assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
		usleep(2000);
	}
	leg_stats(&pair.a);
	assert_int_equal(pair.a.stats.rx_packets, 17);
	assert_int_equal(pair.a.stats.rx_bytes, 17 * 172);
	assert_int_equal(pair.a.stats.rx_lost, 3);
	/* Sent every 2 ms with timestamps of 20 ms: jitter grows towards 18 ms (RFC 3550 A.8). */
	assert_in_range(pair.a.stats.jitter_us, 5000, 40000);
	leg_stats(&pair.b);
	assert_int_equal(pair.b.stats.tx_packets, 17);
	pair_close(&pair);
}

static bool has_stats(void *arg)
{
	return ((struct leg *)arg)->has_stats;
}

static void the_last_word_of_a_closed_stream_is_its_statistics(void **state)
{
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, false);
	phone_send(&pair.pa, pair.a.port, 8, 1);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	pair.a.has_stats = false;
	media_stream_close(pair.a.stream);
	assert_true(fix_until(has_stats, &pair.a, FIX_WAIT_MS));
	assert_int_equal(pair.a.stats.rx_packets, 1);
	pair_close(&pair);
}

static bool timed_out(void *arg)
{
	return ((struct leg *)arg)->timed_out;
}

static void silence_is_reported_once_per_silence(void **state)
{
	struct phone phone;
	struct leg leg;

	phone_open(&phone, "127.0.0.1");
	leg_open(*state, &leg, &(struct media_open_opts){ .rtp_timeout_ms = 400 });
	leg_remote(&leg, &phone, NULL);
	assert_true(fix_until(timed_out, &leg, 2000));
	leg.timed_out = false;
	assert_false(fix_until(timed_out, &leg, 900));
	phone_send(&phone, leg.port, 8, 1);
	assert_true(fix_until(timed_out, &leg, 2000));
	leg_close(&leg);
	phone_close(&phone);
}

/* How often the first thread of the media process and its relays went to sleep so far; a sanitizer has threads, too. */
static long sleeps_of(const struct fix *fix)
{
	char path[300], line[128];
	long sum = 0, n;
	bool ours;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)fix->pid);
	dir = opendir(path);
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		FILE *file;

		(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)fix->pid, e->d_name);
		file = e->d_name[0] == '.' ? NULL : fopen(path, "r");
		ours = atoi(e->d_name) == fix->pid;
		while (file && fgets(line, sizeof(line), file)) {
			ours |= !strncmp(line, "Name:\trelay", 11);
			if (ours && sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1)
				sum += n;
		}
		if (file)
			fclose(file);
	}
	closedir(dir);
	return sum;
}

/* All ports are bound ahead, what was closed has been freed: from then on nothing wakes. */
static void expect_sleep(const struct fix *fix)
{
	long before, wakes = 1000;

	for (int i = 0; i < 20 && wakes > 4; i++) {
		before = sleeps_of(fix);
		usleep(1000000);
		wakes = sleeps_of(fix) - before;
	}
	assert_in_range(wakes, 0, 4);
}

/* And the first stream of a thread wakes it: its silence is told though no packet comes. */
static void threads_with_nothing_to_do_sleep(void **state)
{
	struct fix *fix = *state;
	struct phone phone;
	struct leg leg;

	fix_restart(fix, fix->rtp_first, fix->rtp_last, 3);
	phone_open(&phone, "127.0.0.1");
	for (int i = 0; i < 2; i++) {
		expect_sleep(fix);
		leg_open(fix, &leg, &(struct media_open_opts){ .rtp_timeout_ms = 1000 });
		leg_remote(&leg, &phone, NULL);
		leg.timed_out = false;
		assert_true(fix_until(timed_out, &leg, FIX_WAIT_MS));
		leg_close(&leg);
	}
	phone_close(&phone);
}

static void event_send(struct phone *phone, uint16_t to, uint8_t event, bool end, uint16_t duration)
{
	uint8_t data[HDR_RTP_BYTES + 4];

	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = 101, .seq = phone->seq++, .ts = phone->ts,
					       .ssrc = phone->ssrc });
	hdr_event_write(data + HDR_RTP_BYTES,
			&(struct hdr_event){ .event = event, .end = end, .volume = 10,
					     .duration = duration });
	phone_send_raw(phone->rtp, to, data, sizeof(data));
}

static bool three_digits(void *arg)
{
	return ((struct leg *)arg)->digits == 3;
}

/* PLT-37: RFC 4733 digits pass and are seen in passing, each once, also when an end is lost. */
static void digits_are_seen_in_passing(void **state)
{
	static const uint8_t keys[] = { 5, 11, 12 };
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;
	int heard = 0;

	pair_open(*state, &pair, false);
	for (int k = 0; k < 3; k++) {
		for (uint16_t d = 160; d <= 800; d += 160)
			event_send(&pair.pa, pair.a.port, keys[k], false, d);
		usleep(40000); /* no key is shorter; faster ones are a flood */
		for (int i = 0; i < 3 && k != 1; i++) /* the second loses all three ends */
			event_send(&pair.pa, pair.a.port, keys[k], true, 960);
		pair.pa.ts += 1600;
		usleep(40000);
	}
	assert_true(fix_until(three_digits, &pair.a, FIX_WAIT_MS));
	fix_run(300);
	assert_int_equal(pair.a.digits, 3);
	assert_string_equal(pair.a.digit, "5#A");
	assert_int_equal(pair.a.duration_ms, 120);
	while (phone_hear(&pair.pb, &hdr, &mark, 50))
		heard += hdr.pt == 101;
	assert_int_equal(heard, 5 * 3 + 3 * 2);
	pair_close(&pair);
}

/* Its socket is read now and then only: nothing of that is lost, and nothing is heard later. */
static void what_a_held_phone_sends_is_counted_and_stays(void **state)
{
	struct pair pair;
	struct hdr_rtp hdr;
	uint8_t mark;

	pair_open(*state, &pair, false);
	phone_send(&pair.pa, pair.a.port, 8, 0x11);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	media_music_start(pair.a.stream, 0);
	fix_sync(&pair.a);
	for (int i = 0; i < 10; i++) /* ticks have passed: it rests */
		assert_true(phone_hear(&pair.pa, &hdr, &mark, 1000));

	for (int i = 0; i < 19; i++) /* more than are read at once */
		phone_send(&pair.pa, pair.a.port, 8, 0x22);
	event_send(&pair.pa, pair.a.port, 5, false, 400);
	event_send(&pair.pa, pair.a.port, 5, true, 800);
	for (int i = 0; i < FIX_WAIT_MS / 20 && (pair.a.stats.rx_packets < 22 || !pair.a.digits); i++) {
		fix_run(20);
		leg_stats(&pair.a);
	}
	assert_int_equal(pair.a.stats.rx_packets, 22);
	assert_string_equal(pair.a.digit, "5");
	assert_int_equal(pair.a.stats.jitter_max_us, 0); /* when they came is not known, and not invented */

	phone_send(&pair.pa, pair.a.port, 8, 0x33);
	media_music_stop(pair.a.stream);
	fix_sync(&pair.a);
	phone_send(&pair.pa, pair.a.port, 8, 0x44);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	assert_int_equal(mark, 0x44);
	pair_close(&pair);
}

static void legs_of_different_threads_are_brought_together(void **state)
{
	struct leg legs[8];
	struct phone phones[8];
	struct hdr_rtp hdr;
	uint8_t mark;

	fix_restart(*state, ((struct fix *)*state)->rtp_first, ((struct fix *)*state)->rtp_last, 4);
	for (int i = 0; i < 8; i++) { /* spread over all threads: no hint */
		phone_open(&phones[i], "127.0.0.1");
		leg_open(*state, &legs[i], NULL);
		leg_remote(&legs[i], &phones[i], NULL);
	}
	/* Each with each: bridges are replaced, streams wander. */
	for (int d = 1; d < 8; d++) {
		for (int i = 0; i < 4; i++)
			media_bridge(legs[i].stream, legs[(i + d) % 4 + 4].stream);
		fix_sync(&legs[7]);
		fix_sync(&legs[3]);
		for (int i = 0; i < 4; i++) {
			phone_send(&phones[i], legs[i].port, 8, (uint8_t)(i + 1));
			assert_true(phone_hear(&phones[(i + d) % 4 + 4], &hdr, &mark, 1000));
			assert_int_equal(mark, i + 1);
		}
	}
	media_unbridge(legs[0].stream);
	fix_sync(&legs[0]);
	phone_send(&phones[0], legs[0].port, 8, 9);
	for (int i = 4; i < 8; i++)
		assert_false(phone_hear(&phones[i], &hdr, &mark, 20));
	for (int i = 0; i < 8; i++) {
		leg_close(&legs[i]);
		phone_close(&phones[i]);
	}
	fix_run(20);
}

/* T.38: some of it looks like RTP, some like RTCP, some like nothing. */
static void datagrams_of_fax_pass_as_they_are(void **state)
{
	static const uint8_t packets[][16] = {
		{ 0x00, 0x01, 0x06, 0x01, 0x02, 0x03 },
		{ 0x80, 0xc8, 0x00, 0x00, 0x12, 0x34, 0x56, 0x78 },
		{ 0x80, 0x08, 0x00, 0x01, 0, 0, 0, 1, 0, 0, 0, 2, 0xd5, 0xd5 },
		{ 0xff },
	};
	struct pair pair;
	struct phone talked_a, talked_b;
	struct hdr_rtp hdr;
	uint8_t got[64], mark;

	/* Sound comes first, from other ports. */
	pair_open(*state, &pair, false);
	phone_send(&pair.pa, pair.a.port, 8, 1);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	phone_send(&pair.pb, pair.b.port, 8, 1);
	assert_true(phone_hear(&pair.pa, &hdr, &mark, 1000));
	talked_a = pair.pa;
	talked_b = pair.pb;
	phone_open(&pair.pa, "127.0.0.1");
	phone_open(&pair.pb, "127.0.0.1");

	leg_remote(&pair.a, &pair.pa, &(struct media_remote){ .raw = true });
	leg_remote(&pair.b, &pair.pb, &(struct media_remote){ .raw = true });
	fix_sync(&pair.b);
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		phone_send_raw(pair.pa.rtp, pair.a.port, packets[i], i + 1);
		assert_int_equal(phone_recv(pair.pb.rtp, got, sizeof(got), 1000), i + 1);
		assert_memory_equal(got, packets[i], i + 1);
		phone_send_raw(pair.pb.rtp, pair.b.port, packets[i], sizeof(packets[i]));
		assert_int_equal(phone_recv(pair.pa.rtp, got, sizeof(got), 1000), sizeof(packets[i]));
		assert_memory_equal(got, packets[i], sizeof(packets[i]));
	}

	/* Music is not for a fax machine, nor is what another RTP stream says. */
	media_music_start(pair.a.stream, 0);
	fix_sync(&pair.a);
	assert_int_equal(phone_recv(pair.pa.rtp, got, sizeof(got), 100), 0);
	media_music_stop(pair.a.stream);

	/* And back to sound. */
	leg_remote(&pair.a, &pair.pa, NULL);
	leg_remote(&pair.b, &pair.pb, NULL);
	fix_sync(&pair.b);
	phone_send(&pair.pa, pair.a.port, 8, 7);
	assert_true(phone_hear(&pair.pb, &hdr, &mark, 1000));
	assert_int_equal(mark, 7);
	phone_close(&talked_a);
	phone_close(&talked_b);
	pair_close(&pair);
}

#define T(function) cmocka_unit_test_setup_teardown(function, fix_setup, fix_teardown)
#define T_ID(id, function)                                                                         \
	{                                                                                          \
		id " " #function, function, fix_setup, fix_teardown, NULL                          \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(relays_both_ways_untouched),
		T(rtcp_of_video_passes_beside),
		T(rtcp_of_video_uses_one_port_where_agreed),
		T_ID("[BASE-46]", symmetric_source_is_latched),
		T(a_better_match_replaces_within_the_first_second),
		T(the_first_second_ends_though_nothing_came_in_it),
		T(a_third_party_cannot_take_over),
		T(without_nat_only_the_address_of_the_sdp_is_heard),
		T(a_new_address_latches_anew),
		T(direction_is_honoured),
		T(what_is_not_rtp_is_dropped_and_counted),
		T(statistics_count_loss_and_jitter),
		T(the_last_word_of_a_closed_stream_is_its_statistics),
		T(silence_is_reported_once_per_silence),
		T(threads_with_nothing_to_do_sleep),
		T_ID("[PLT-37]", digits_are_seen_in_passing),
		T(what_a_held_phone_sends_is_counted_and_stays),
		T(datagrams_of_fax_pass_as_they_are),
		T(legs_of_different_threads_are_brought_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
