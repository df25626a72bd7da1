/* SPDX-License-Identifier: Apache-2.0 */
#include "mediafix.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "media/protocol.h"
#include "wavfix.h"

#define HEARD_MAX 64000

/* What a phone has heard in A-law, and whether it was one continuous stream. */
struct heard {
	int16_t pcm[HEARD_MAX];
	size_t n, packets, jumps, markers, gaps;
	struct hdr_rtp last;
	uint64_t first_ms;
};

static struct heard heard; /* too large for a stack */

static void hear_packet(const uint8_t *data, size_t len)
{
	struct hdr_rtp hdr;
	size_t n;

	assert_int_equal(hdr_rtp_parse(&hdr, data, len), 0);
	if (!heard.packets)
		heard.first_ms = clk_mono_ms();
	n = hdr.payload_len < HEARD_MAX - heard.n ? hdr.payload_len : HEARD_MAX - heard.n;
	pcm_from_alaw(heard.pcm + heard.n, data + hdr.payload_at, n);
	if (heard.packets) {
		heard.jumps += hdr.ssrc != heard.last.ssrc ||
			       hdr.seq != (uint16_t)(heard.last.seq + 1) ||
			       (int32_t)(hdr.ts - heard.last.ts) <= 0;
		heard.gaps += hdr.ts - heard.last.ts != heard.last.payload_len;
	}
	heard.markers += hdr.marker;
	heard.last = hdr;
	heard.n += n;
	heard.packets++;
}

/* Listens until a sequence has ended, or for a time (0: until the end). */
static void hear(struct phone *phone, struct leg *leg, unsigned ms)
{
	uint64_t until_ms = clk_mono_ms() + (ms ? ms : 10000);
	unsigned played = leg->played;
	uint8_t data[2048];
	size_t len;

	memset(&heard, 0, sizeof(heard));
	while (clk_mono_ms() < until_ms && (ms || leg->played == played)) {
		fix_run(1);
		while ((len = phone_recv(phone->rtp, data, sizeof(data), 0)))
			hear_packet(data, len);
	}
	if (!ms)
		assert_int_equal(leg->played, played + 1);
	while ((len = phone_recv(phone->rtp, data, sizeof(data), 0)))
		hear_packet(data, len);
}

static double share(double from, double to, double hz)
{
	size_t a = (size_t)(from * 8000), b = (size_t)(to * 8000);

	assert_true(b <= heard.n);
	return pcm_tone_share(heard.pcm + a, b - a, 8000, hz);
}

static void play(struct leg *leg, const char *const *sounds, size_t n, const struct media_play *more)
{
	struct media_play opts = { .id = 1 };

	if (more)
		opts = *more;
	opts.sounds = sounds;
	opts.n_sounds = n;
	assert_int_equal(media_play(leg->stream, &opts), 0);
}

struct set {
	struct phone phone;
	struct leg leg;
	char a[160], b[160]; /* 440 Hz and 1000 Hz, half a second each */
};

static void set_open(struct set *set, struct fix *fix)
{
	memset(set, 0, sizeof(*set));
	phone_open(&set->phone, "127.0.0.1");
	leg_open(fix, &set->leg, NULL);
	leg_remote(&set->leg, &set->phone, NULL);
	(void)snprintf(set->a, sizeof(set->a), "file:%s/a.wav", fix->dir);
	(void)snprintf(set->b, sizeof(set->b), "file:%s/b.wav", fix->dir);
	wav_tone(set->a + 5, 48000, 2, 440, 500);
	wav_tone(set->b + 5, 16000, 1, 1000, 500);
}

static void set_close(struct set *set)
{
	leg_close(&set->leg);
	phone_close(&set->phone);
}

/* ------------------------------------------------------------------ sequences */

static void a_sequence_is_heard_without_a_seam(void **state)
{
	struct set set;
	const char *const sounds[] = { set.a, "silence:100", set.b, "tone:600/200" };

	set_open(&set, *state);
	play(&set.leg, sounds, 4, NULL);
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(heard.packets, 65); /* 1.3 s */
	assert_int_equal(heard.jumps, 0);
	assert_int_equal(heard.gaps, 0);
	assert_int_equal(heard.markers, 1);
	assert_true(share(0.05, 0.45, 440) > 0.98);
	assert_true(share(0.65, 1.05, 1000) > 0.98);
	assert_true(share(1.12, 1.28, 600) > 0.98);
	assert_int_equal(set.leg.last_played.reason, MEDIA_END_DONE);
	assert_int_equal(set.leg.last_played.err, 0);
	assert_int_equal(set.leg.last_played.span_ms, 1300);
	assert_int_equal(set.leg.last_played.id, 1);
	set_close(&set);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Half of the packets within 5 ms: those of a tick would be spread over 20. What a question to the media process
 * and its answer take at the same time is what the machine is busy with otherwise.
 */
static void the_first_packet_waits_for_no_tick(void **state)
{
	struct set set;
	const char *const sounds[] = { set.a };
	uint64_t took_ms[20] = { 0 }, asking_ms[20] = { 0 };
	bool prompt = false;

	set_open(&set, *state);
	play(&set.leg, sounds, 1, NULL);
	hear(&set.phone, &set.leg, 0); /* now it is cached */
	for (int round = 0; round < 3 && !prompt; round++) {
		for (uint32_t i = 0; i < 20; i++) {
			uint64_t asked_ms = clk_mono_ms();

			leg_stats(&set.leg);
			asking_ms[i] = clk_mono_ms() - asked_ms;
			asked_ms = clk_mono_ms();
			play(&set.leg, sounds, 1, &(struct media_play){ .id = i });
			while (hear(&set.phone, &set.leg, 33 + i), !heard.packets) /* at any distance to the tick */
				assert_true(clk_mono_ms() < asked_ms + FIX_WAIT_MS);
			took_ms[i] = heard.first_ms - asked_ms;
		}
		qsort(took_ms, 20, sizeof(took_ms[0]), by_size);
		qsort(asking_ms, 20, sizeof(asking_ms[0]), by_size);
		prompt = took_ms[10] <= 5 + asking_ms[10];
	}
	assert_true(prompt);
	set_close(&set);
}

static void volume_offset_and_packet_time_are_obeyed(void **state)
{
	struct set set;
	const char *const sounds[] = { set.a };
	struct media_remote forty = { .may_send = true,
				      .may_recv = true,
				      .formats = &(const struct media_format){
					      .codec = MEDIA_PCMA, .pt_out = 8, .pt_in = 8, .clock_hz = 8000 },
				      .n_formats = 1,
				      .ptime_ms = 40,
				      .dtmf_pt = -1,
				      .dtmf_pt_in = -1 };
	double loud;

	set_open(&set, *state);
	play(&set.leg, sounds, 1, NULL);
	hear(&set.phone, &set.leg, 0);
	loud = pcm_rms(heard.pcm, heard.n);
	play(&set.leg, sounds, 1, &(struct media_play){ .gain_db = -12 });
	hear(&set.phone, &set.leg, 0);
	assert_true(pcm_rms(heard.pcm, heard.n) > 0.23 * loud);
	assert_true(pcm_rms(heard.pcm, heard.n) < 0.27 * loud);
	play(&set.leg, sounds, 1, &(struct media_play){ .offset_ms = 300 });
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(heard.packets, 10);
	play(&set.leg, sounds, 1, &(struct media_play){ .offset_ms = 30000 });
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(heard.packets, 0);
	assert_int_equal(set.leg.last_played.reason, MEDIA_END_DONE);

	leg_remote(&set.leg, &set.phone, &forty);
	play(&set.leg, sounds, 1, NULL);
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(heard.packets, 13); /* 12 of 40 ms and one of 20 */
	assert_int_equal(heard.jumps + heard.gaps, 0);
	assert_true(share(0.05, 0.45, 440) > 0.98);
	set_close(&set);
}

static void sequences_loop_until_they_are_stopped(void **state)
{
	struct set set;
	const char *const sounds[] = { "tone:700/100", "silence:100" };
	const char *const endless[] = { "tone:425/0" };

	set_open(&set, *state);
	play(&set.leg, sounds, 2, &(struct media_play){ .id = 5, .loop = true });
	hear(&set.phone, &set.leg, 1000);
	assert_in_range(heard.packets, 45, 52);
	media_play_stop(set.leg.stream, 4); /* another one */
	hear(&set.phone, &set.leg, 200);
	assert_true(heard.packets > 5);
	assert_int_equal(set.leg.played, 0);
	media_play_stop(set.leg.stream, 5);
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(set.leg.last_played.reason, MEDIA_END_STOPPED);
	assert_in_range(set.leg.last_played.span_ms, 1000, 1400);

	play(&set.leg, endless, 1, &(struct media_play){ .id = 6 });
	hear(&set.phone, &set.leg, 1600); /* over the seam of its repetition */
	assert_int_equal(heard.jumps + heard.gaps, 0);
	assert_true(share(0.1, 1.5, 425) > 0.99);
	play(&set.leg, sounds, 1, &(struct media_play){ .id = 7 }); /* replaces it */
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(set.leg.last_played.id, 6);
	assert_int_equal(set.leg.last_played.reason, MEDIA_END_STOPPED);
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(set.leg.last_played.id, 7);
	assert_int_equal(set.leg.last_played.reason, MEDIA_END_DONE);
	set_close(&set);
}

static void press(struct set *set, uint8_t event)
{
	uint8_t data[16];
	struct hdr_rtp hdr = { .pt = 101, .marker = true, .ssrc = set->phone.ssrc };

	for (int i = 0; i < 5; i++) {
		hdr.seq = set->phone.seq++;
		hdr.ts = set->phone.ts;
		hdr_rtp_write(data, &hdr);
		hdr_event_write(data + 12, &(struct hdr_event){ .event = event,
								.duration = (uint16_t)(160 * i + 160),
								.end = i > 1 });
		phone_send_raw(set->phone.rtp, set->leg.port, data, 16);
		hdr.marker = false;
	}
	set->phone.ts += 1600;
}

static void a_key_ends_what_may_be_interrupted(void **state)
{
	struct set set;
	const char *const sounds[] = { "tone:425/0" };

	set_open(&set, *state);
	play(&set.leg, sounds, 1, NULL);
	hear(&set.phone, &set.leg, 200);
	press(&set, 5);
	hear(&set.phone, &set.leg, 200);
	assert_true(heard.packets > 5);
	assert_int_equal(set.leg.played, 0);
	assert_int_equal(set.leg.digits, 1);

	play(&set.leg, sounds, 1, &(struct media_play){ .id = 2, .until_digit = true });
	hear(&set.phone, &set.leg, 200);
	press(&set, 11);
	hear(&set.phone, &set.leg, 200);
	assert_int_equal(set.leg.played, 2); /* the first was replaced */
	assert_int_equal(set.leg.last_played.id, 2);
	assert_int_equal(set.leg.last_played.reason, MEDIA_END_DIGIT);
	assert_int_equal(set.leg.last_played.digit, '#');
	assert_int_equal(set.leg.digits, 2); /* and told as a digit, once */
	assert_true(heard.packets < 4);
	set_close(&set);
}

static void what_cannot_be_read_is_left_out_and_told(void **state)
{
	struct set set;
	const char *const some[] = { "file:/nonexistent/x.wav", set.a, "nonsense" };
	const char *const none[] = { "file:/nonexistent/x.wav", "nonsense" };

	set_open(&set, *state);
	play(&set.leg, some, 3, NULL);
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(heard.packets, 25);
	assert_int_equal(set.leg.last_played.reason, MEDIA_END_DONE);
	assert_int_equal(set.leg.last_played.err, -ENOENT);
	play(&set.leg, none, 2, &(struct media_play){ .loop = true });
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(set.leg.last_played.reason, MEDIA_END_FAILED);
	assert_int_equal(set.leg.last_played.err, -ENOENT);
	set_close(&set);
}

/* Who holds us hears nothing, and the service goes on; so it does in a codec that we do not have. */
static void time_passes_where_nothing_can_be_heard(void **state)
{
	struct set set;
	const char *const sounds[] = { set.a };
	struct media_remote remote = { .may_recv = true,
				       .formats = &(const struct media_format){
					       .codec = MEDIA_PCMA, .pt_out = 8, .pt_in = 8, .clock_hz = 8000 },
				       .n_formats = 1,
				       .dtmf_pt = -1,
				       .dtmf_pt_in = -1 };
	uint64_t began_ms;

	set_open(&set, *state);
	leg_remote(&set.leg, &set.phone, &remote);
	began_ms = clk_mono_ms();
	play(&set.leg, sounds, 1, NULL);
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(heard.packets, 0);
	assert_in_range(clk_mono_ms() - began_ms, 400, 700);
	assert_int_equal(set.leg.last_played.span_ms, 500);

	remote.may_send = true;
	remote.formats = &(const struct media_format){ .codec = MEDIA_CODEC_OTHER, .pt_out = 99,
						       .pt_in = 99, .clock_hz = 8000 };
	leg_remote(&set.leg, &set.phone, &remote);
	began_ms = clk_mono_ms();
	play(&set.leg, sounds, 1, NULL);
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(heard.packets, 0);
	assert_in_range(clk_mono_ms() - began_ms, 400, 700);
	assert_int_equal(set.leg.last_played.err, -ENOTSUP);
	assert_int_equal(set.leg.last_played.reason, MEDIA_END_FAILED);
	set_close(&set);
}

/* ------------------------------------------------------------------ beside a bridge */

static void a_prompt_hides_the_bridge_and_music_until_it_ends(void **state)
{
	struct set set;
	struct phone other;
	struct leg b;
	struct hdr_rtp hdr;
	const char *const sounds[] = { "tone:425/200" };
	uint8_t mark;

	set_open(&set, *state);
	phone_open(&other, "127.0.0.1");
	leg_open(*state, &b, &(struct media_open_opts){ .near = set.leg.stream });
	leg_remote(&b, &other, NULL);
	media_bridge(set.leg.stream, b.stream);
	fix_sync(&b);
	phone_send(&other, b.port, 8, 0x22);
	assert_true(phone_hear(&set.phone, &hdr, &mark, 1000));
	assert_int_equal(mark, 0x22);

	play(&set.leg, sounds, 1, NULL);
	fix_sync(&set.leg);
	phone_send(&other, b.port, 8, 0x22);
	phone_send(&set.phone, set.leg.port, 8, 0x11); /* the other side still hears this */
	assert_true(phone_hear(&other, &hdr, &mark, 1000));
	assert_int_equal(mark, 0x11);
	hear(&set.phone, &set.leg, 0);
	assert_int_equal(heard.packets, 10);
	assert_int_equal(heard.jumps, 0);
	phone_send(&other, b.port, 8, 0x33);
	assert_true(phone_hear(&set.phone, &hdr, &mark, 1000));
	assert_int_equal(mark, 0x33);
	assert_int_equal(hdr.seq, (uint16_t)(heard.last.seq + 1));
	assert_int_equal(hdr.ssrc, heard.last.ssrc);

	media_music_start(set.leg.stream, 0);
	hear(&set.phone, &set.leg, 300);
	play(&set.leg, sounds, 1, NULL);
	hear(&set.phone, &set.leg, 0);
	hear(&set.phone, &set.leg, 300);
	assert_true(heard.packets > 10); /* the music is back */
	assert_true(share(0, 0.2, 425) < 0.5);
	leg_close(&b);
	phone_close(&other);
	set_close(&set);
}

/* Over the conversation: both are heard, and afterwards packets pass untouched again. */
static void a_mixed_sound_lets_the_bridge_be_heard(void **state)
{
	static int16_t pcm[8000];
	static uint8_t alaw[8000];
	struct set set;
	struct phone other;
	struct leg b;
	struct hdr_rtp hdr;
	const char *const sounds[] = { "tone:1000/1500" };
	uint8_t packet[12 + 160], mark;

	set_open(&set, *state);
	phone_open(&other, "127.0.0.1");
	leg_open(*state, &b, &(struct media_open_opts){ .near = set.leg.stream });
	leg_remote(&b, &other, NULL);
	media_bridge(set.leg.stream, b.stream);
	fix_sync(&b);
	for (int i = 0; i < 8000; i++)
		alaw[i] = i / 10 % 2 ? 0xb5 : 0x35; /* a square wave of 400 Hz */
	pcm_from_alaw(pcm, alaw, 8000);
	assert_true(pcm_tone_share(pcm, 8000, 8000, 400) > 0.7);

	memset(&heard, 0, sizeof(heard));
	for (unsigned i = 0; i < 110; i++) {
		size_t len;
		uint8_t data[2048];

		if (i == 10)
			play(&set.leg, sounds, 1, &(struct media_play){ .mix = true });
		hdr = (struct hdr_rtp){ .pt = 8, .ssrc = 7, .seq = (uint16_t)i, .ts = i * 160 };
		hdr_rtp_write(packet, &hdr);
		memcpy(packet + 12, alaw + i % 50 * 160, 160);
		phone_send_raw(other.rtp, b.port, packet, sizeof(packet));
		fix_run(20);
		while ((len = phone_recv(set.phone.rtp, data, sizeof(data), 0)))
			hear_packet(data, len);
	}
	assert_int_equal(set.leg.played, 1);
	assert_int_equal(heard.jumps, 0);
	assert_true(share(0.6, 1.4, 400) > 0.2);
	assert_true(share(0.6, 1.4, 1000) > 0.1); /* a quarter of the square wave's */

	phone_send(&other, b.port, 8, 0x33);
	fix_run(50);
	for (mark = 0; mark != 0x33;)
		assert_true(phone_hear(&set.phone, &hdr, &mark, 1000));
	leg_close(&b);
	phone_close(&other);
	set_close(&set);
}

/* TEL-53: the phone's own packets come back, but not under its own SSRC (RFC 3550 section 8.2). */
static void a_stream_bridged_to_itself_is_an_echo(void **state)
{
	struct set set;
	struct hdr_rtp hdr, last = { 0 };
	uint8_t mark;

	set_open(&set, *state);
	media_bridge(set.leg.stream, set.leg.stream);
	fix_sync(&set.leg);
	for (uint8_t i = 1; i < 10; i++) {
		phone_send(&set.phone, set.leg.port, 8, i);
		assert_true(phone_hear(&set.phone, &hdr, &mark, 1000));
		assert_int_equal(mark, i);
		assert_int_not_equal(hdr.ssrc, set.phone.ssrc);
		if (i > 1) {
			assert_int_equal(hdr.ssrc, last.ssrc);
			assert_int_equal(hdr.seq, (uint16_t)(last.seq + 1));
		}
		last = hdr;
	}
	media_unbridge(set.leg.stream);
	fix_sync(&set.leg);
	phone_send(&set.phone, set.leg.port, 8, 1);
	assert_false(phone_hear(&set.phone, &hdr, &mark, 100));
	set_close(&set);
}

/* Listens until half a second of this tone alone has come, whenever its file has been read. */
static void hear_until(struct set *set, double hz)
{
	const uint64_t end_ms = clk_mono_ms() + FIX_WAIT_MS;
	uint8_t data[2048];
	size_t len, from = 0;

	memset(&heard, 0, sizeof(heard));
	do {
		assert_true(clk_mono_ms() < end_ms);
		fix_run(1);
		while ((len = phone_recv(set->phone.rtp, data, sizeof(data), 0)))
			hear_packet(data, len);
		if (heard.n > 400 && pcm_tone_share(heard.pcm + heard.n - 400, 400, 8000, hz) < 0.9)
			from = heard.n; /* something else until here */
	} while (heard.n < from + 4400);
	assert_true(pcm_tone_share(heard.pcm + heard.n - 4000, 4000, 8000, hz) > 0.9);
}

/* PLT-31: each class has its own sound; the same music is heard by all who listen to it. */
static void music_is_heard_by_class(void **state)
{
	struct fix *fix = *state;
	struct set set;
	const char *files[1];
	const char *const moh[] = { "moh:3" };

	set_open(&set, fix);
	files[0] = set.a + 5;
	media_moh_set(fix->media, 2, files, 1, false);
	files[0] = set.b + 5;
	media_moh_set(fix->media, 3, files, 1, false);
	media_music_start(set.leg.stream, 2);
	hear_until(&set, 440);
	assert_int_equal(heard.jumps + heard.gaps, 0);
	media_music_start(set.leg.stream, 3);
	hear_until(&set, 1000);
	media_music_stop(set.leg.stream);
	fix_sync(&set.leg);
	hear(&set.phone, &set.leg, 60);
	hear(&set.phone, &set.leg, 200);
	assert_int_equal(heard.packets, 0);

	/* As an element of a sequence, with volume and a place to begin. */
	play(&set.leg, moh, 1, &(struct media_play){ .gain_db = -6, .offset_ms = 100 });
	hear_until(&set, 1000);
	media_play_stop(set.leg.stream, 0);
	hear(&set.phone, &set.leg, 0);
	set_close(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)
		TEST(a_sequence_is_heard_without_a_seam),
		TEST(the_first_packet_waits_for_no_tick),
		TEST(volume_offset_and_packet_time_are_obeyed),
		TEST(sequences_loop_until_they_are_stopped),
		TEST(a_key_ends_what_may_be_interrupted),
		TEST(what_cannot_be_read_is_left_out_and_told),
		TEST(time_passes_where_nothing_can_be_heard),
		TEST(a_prompt_hides_the_bridge_and_music_until_it_ends),
		TEST(a_mixed_sound_lets_the_bridge_be_heard),
		TEST(a_stream_bridged_to_itself_is_an_echo),
		TEST(music_is_heard_by_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
