/* SPDX-License-Identifier: Apache-2.0 */
#include "mediafix.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "media/codec.h"

/*
 * Calls through the media process between phones that have different codecs: what one says as a tone
 * the other hears as that tone.
 */
#define LOUD     8000.0
#define SRTP_TAG_BYTES 16
#define MAX_HELD (48000 * 4)

/* A phone that speaks a tone in one codec, and understands the same one. */
struct talker {
	struct leg leg;
	struct phone phone;
	const struct codec *codec;
	uint8_t pt;
	uint32_t ptime_ms; /* of what it sends */
	uint32_t hz;
	double tone_hz;    /* 0: says nothing */
	bool fec, dtx;
	struct codec_enc *enc;
	struct codec_dec *dec;
	size_t spoken;     /* samples */
	uint64_t next_ms;
	struct srtp *tx, *rx; /* of an encrypted call */
	bool paused;  /* sends nothing */
	bool silent;  /* sends silence */

	/* what it hears */
	int16_t *pcm;
	size_t n;
	unsigned packets, markers, gaps, other_spans;
	uint32_t want_ms; /* packets of other lengths are counted; 0: none is */
	bool started;
	struct hdr_rtp last;
	uint32_t last_span;
};

static const struct {
	enum media_codec codec;
	uint32_t clock_hz;
	uint8_t pt;
} numbers[] = {
	{ MEDIA_PCMA, 8000, 8 },	{ MEDIA_PCMU, 8000, 0 },  { MEDIA_G722, 8000, 9 },
	{ MEDIA_GSM, 8000, 3 },		{ MEDIA_OPUS, 48000, 111 }, { MEDIA_G726_32, 8000, 112 },
	{ MEDIA_G729, 8000, 18 },	{ MEDIA_L16, 16000, 113 },
};
#define N_NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static double level_at(const int16_t *pcm, size_t n, uint32_t hz, double tone_hz)
{
	double w = 2 * M_PI * tone_hz / hz, c = 2 * cos(w), s0, s1 = 0, s2 = 0;

	for (size_t i = 0; i < n; i++) {
		s0 = pcm[i] + c * s1 - s2;
		s2 = s1;
		s1 = s0;
	}
	return n ? 2 * sqrt(fabs(s1 * s1 + s2 * s2 - c * s1 * s2)) / (double)n : 0;
}

static void talker_open(struct fix *fix, struct talker *t, enum media_codec codec, uint32_t ptime_ms,
			double tone_hz, const struct leg *near)
{
	t->codec = NULL;
	for (size_t i = 0; i < N_NUMBERS; i++)
		if (numbers[i].codec == codec) {
			t->codec = codec_find(codec, numbers[i].clock_hz);
			t->pt = numbers[i].pt;
		}
	assert_non_null(t->codec);
	t->ptime_ms = codec_ptime(t->codec, ptime_ms);
	t->tone_hz = tone_hz;
	t->hz = codec_hz(t->codec, UINT32_MAX);
	t->pcm = malloc(MAX_HELD * sizeof(*t->pcm));
	assert_non_null(t->pcm);
	assert_int_equal(codec_enc_alloc(&t->enc, t->codec,
					 &(struct codec_opts){ .fec = t->fec }), 0);
	assert_int_equal(codec_dec_alloc(&t->dec, t->codec, 0), 0);
	phone_open(&t->phone, "127.0.0.1");
	leg_open(fix, &t->leg, near ? &(struct media_open_opts){ .near = near->stream } : NULL);
}

/* Tells the stream about the phone; asked_ms is its a=ptime. */
static void talker_remote(struct talker *t, uint32_t asked_ms)
{
	struct media_format format = { .codec = t->codec->id, .pt_out = t->pt, .pt_in = t->pt,
				       .clock_hz = t->codec->clock_hz, .fec = t->fec, .dtx = t->dtx };
	struct media_remote remote = { .may_send = true, .may_recv = true, .formats = &format,
				       .n_formats = 1, .ptime_ms = (uint8_t)asked_ms,
				       .dtmf_tx = MEDIA_DTMF_EVENT, .dtmf_pt = 101, .dtmf_pt_in = 101 };

	leg_remote(&t->leg, &t->phone, &remote);
}

static void talker_close(struct talker *t)
{
	leg_close(&t->leg);
	phone_close(&t->phone);
	codec_enc_free(t->enc);
	codec_dec_free(t->dec);
	mem_deref(t->tx);
	mem_deref(t->rx);
	free(t->pcm);
}

/* The two sides of a call have suites of their own. */
static void talker_encrypt(struct talker *t, uint8_t seed)
{
	static const struct {
		enum media_suite media;
		enum srtp_suite re;
	} suites[] = {
		{ MEDIA_AES_CM_128_HMAC_SHA1_80, SRTP_AES_CM_128_HMAC_SHA1_80 },
		{ MEDIA_AEAD_AES_256_GCM, SRTP_AES_256_GCM },
	};
	enum media_suite suite = suites[seed % 2].media;
	enum srtp_suite re = suites[seed % 2].re;
	size_t len = media_suite_key_len(suite);
	uint8_t ours[64], theirs[64];

	assert_true(len <= sizeof(ours));
	memset(ours, seed, len);
	memset(theirs, seed ^ 0x55, len);
	assert_int_equal(srtp_alloc(&t->tx, re, theirs, len, 0), 0);
	assert_int_equal(srtp_alloc(&t->rx, re, ours, len, 0), 0);
	media_set_secure(t->leg.stream, &(struct media_secure){ .mode = MEDIA_SDES, .suite_tx = suite,
								.suite_rx = suite, .key_tx = ours,
								.key_rx = theirs });
}

static void send_payload(struct talker *t, const uint8_t *payload, size_t len, uint32_t span)
{
	uint8_t data[HDR_RTP_BYTES + CODEC_MAX_BYTES + SRTP_TAG_BYTES];
	struct mbuf mb = { .buf = data, .size = sizeof(data), .end = HDR_RTP_BYTES + len };

	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = t->pt, .seq = t->phone.seq++, .ts = t->phone.ts,
					       .ssrc = t->phone.ssrc });
	memcpy(data + HDR_RTP_BYTES, payload, len);
	t->phone.ts += span;
	if (t->tx)
		assert_int_equal(srtp_encrypt(t->tx, &mb), 0);
	phone_send_raw(t->phone.rtp, t->leg.port, data, mb.end);
}

static void speak_packet(struct talker *t)
{
	size_t n = t->hz / 1000 * t->ptime_ms;
	uint8_t payload[CODEC_MAX_BYTES];
	int16_t pcm[48 * 60];
	int len;

	for (size_t i = 0; i < n; i++)
		pcm[i] = t->silent ? 0
				   : (int16_t)lrint(LOUD * sin(2 * M_PI * t->tone_hz *
							       (double)(t->spoken + i) / t->hz));
	t->spoken += n;
	len = codec_encode(t->enc, payload, sizeof(payload), pcm, n);
	assert_true(len > 0);
	send_payload(t, payload, (size_t)len, t->codec->clock_hz / 1000 * t->ptime_ms);
}

static void hear_packet(struct talker *t, uint8_t *data, size_t len)
{
	struct mbuf mb = { .buf = data, .size = len, .end = len };
	struct hdr_rtp hdr;
	uint32_t span;
	int n;

	if (t->rx) {
		assert_int_equal(srtp_decrypt(t->rx, &mb), 0);
		len = mb.end;
	}
	assert_int_equal(hdr_rtp_parse(&hdr, data, len), 0);
	if (hdr.pt == 101)
		return;
	assert_int_equal(hdr.pt, t->pt);
	span = codec_span(t->codec, data + hdr.payload_at, hdr.payload_len);
	assert_true(span > 0);
	if (t->started) {
		assert_int_equal(hdr.ssrc, t->last.ssrc);
		assert_int_equal(hdr.seq, (uint16_t)(t->last.seq + 1));
		if (hdr.ts != t->last.ts + t->last_span) {
			assert_true((int32_t)(hdr.ts - t->last.ts) > 0);
			t->gaps++;
			assert_true(hdr.marker);
		}
	}
	t->markers += hdr.marker;
	t->other_spans += t->want_ms && span != t->codec->clock_hz / 1000 * t->want_ms;
	t->started = true;
	t->last = hdr;
	t->last_span = span;
	t->packets++;
	n = codec_decode(t->dec, t->pcm + t->n, MAX_HELD - t->n, data + hdr.payload_at, hdr.payload_len);
	assert_true(n > 0);
	t->n += (size_t)n;
}

/* All of them talk and listen, in real time. */
static void talk(struct talker *const *all, size_t n, uint32_t ms)
{
	uint64_t begin = clk_mono_ms(), now;
	uint8_t data[2048];
	size_t len;

	for (size_t i = 0; i < n; i++)
		all[i]->next_ms = begin;
	while ((now = clk_mono_ms()) < begin + ms) {
		for (size_t i = 0; i < n; i++) {
			struct talker *t = all[i];

			while (t->tone_hz > 0 && !t->paused && t->next_ms <= now) {
				speak_packet(t);
				t->next_ms += t->ptime_ms;
			}
			while ((len = phone_recv(t->phone.rtp, data, sizeof(data), 0)))
				hear_packet(t, data, len);
		}
		fix_run(2);
	}
}

/* The mean of many looks: time is stretched and cut a little on the way, which moves the phase. */
static double mean_level(const int16_t *pcm, size_t n, uint32_t hz, double tone_hz)
{
	size_t look = hz / 20;
	double sum = 0;

	for (size_t at = 0; at + look <= n; at += look)
		sum += level_at(pcm + at, look, hz, tone_hz);
	return sum / (double)(n / look);
}

/* The last half second that was heard is the other's tone, and nothing else: that is 0.71 of its level. */
static bool hears(const struct talker *t, double tone_hz, bool tell)
{
	size_t n = t->hz / 2;
	double level, sum = 0;

	if (t->n <= n) {
		if (tell)
			print_error("%s hears %u packets only\n", t->codec->name, t->packets);
		return false;
	}
	for (size_t i = t->n - n; i < t->n; i++)
		sum += (double)t->pcm[i] * t->pcm[i];
	sum = sqrt(sum / (double)n);
	level = mean_level(t->pcm + t->n - n, n, t->hz, tone_hz);
	if (level > LOUD * 0.6 && level < LOUD * 1.5 && sum < level)
		return true;
	if (tell)
		print_error("%s hears %.0f of %.0f Hz, %.0f in all\n", t->codec->name, level, tone_hz, sum);
	return false;
}

static void assert_hears(const struct talker *t, double tone_hz)
{
	assert_true(hears(t, tone_hz, true));
}

static void pair_connect(struct talker *a, struct talker *b, uint32_t ptime_a, uint32_t ptime_b)
{
	talker_remote(a, ptime_a);
	talker_remote(b, ptime_b);
	media_bridge(a->leg.stream, b->leg.stream);
}

static void pair_open(struct fix *fix, struct talker *a, enum media_codec ca, struct talker *b,
		      enum media_codec cb, uint32_t ptime_a, uint32_t ptime_b)
{
	talker_open(fix, a, ca, ptime_a, 440, NULL);
	talker_open(fix, b, cb, ptime_b, 1000, &a->leg);
	pair_connect(a, b, ptime_a, ptime_b);
}

#define AT_ONCE 10 /* calls: a loaded machine with sanitizers carries not many more */

/* Talks and checks the calls, 440 Hz one way and 1000 Hz back, and ends them. */
typedef void(check_h)(struct talker *t, const struct talker *other);
static void run_calls(struct talker *all, size_t n, check_h *check)
{
	struct talker *list[2 * AT_ONCE] = { NULL };

	for (size_t i = 0; i < n; i++)
		list[i] = &all[i];
	fix_sync(&all[n - 1].leg);
	talk(list, n, 1500);
	for (int k = 0; k < 8; k++) { /* a busy machine makes gaps, which pass */
		bool all_hear = true;

		for (size_t i = 0; i < n; i++)
			all_hear = all_hear && hears(&all[i], i % 2 ? 440 : 1000, false);
		if (all_hear)
			break;
		talk(list, n, 250);
	}
	/* What is told is of a call that goes on: in silence nothing is buffered. */
	for (size_t i = 0; i < n; i++) {
		all[i].leg.has_stats = false;
		media_query_stats(all[i].leg.stream);
	}
	for (size_t i = 0; i < n; i++)
		for (int k = 0; !all[i].leg.has_stats; k++) {
			assert_true(k < 250);
			talk(list, n, 20);
		}
	for (size_t i = 0; i < n; i++) {
		assert_hears(&all[i], i % 2 ? 440 : 1000);
		assert_int_equal(all[i].leg.stats.transcoded, all[i].codec != all[i ^ 1].codec);
		check(&all[i], &all[i ^ 1]);
	}
	for (size_t i = 0; i < n; i++)
		talker_close(&all[i]);
	memset(all, 0, n * sizeof(*all));
	fix_run(50);
}

static void check_stats(struct talker *t, const struct talker *other)
{
	assert_int_equal(t->leg.stats.codec, t->codec->id);
	assert_int_equal(t->leg.stats.rx_lost, 0);
	assert_true(t->leg.stats.delay_ms <= 400);
	assert_true(t->codec == other->codec || t->leg.stats.delay_ms > 0);
}

/* Every codec with every other. */
static void every_pair(struct fix *fix, bool encrypted)
{
	struct talker *all = calloc(2 * AT_ONCE, sizeof(*all));
	size_t n = 0, pairs = 0;

	assert_non_null(all);
	for (size_t i = 0; i < N_NUMBERS; i++)
		for (size_t k = i; k < N_NUMBERS; k++) {
			if (!codec_find(numbers[i].codec, numbers[i].clock_hz) ||
			    !codec_find(numbers[k].codec, numbers[k].clock_hz))
				continue; /* built without it */
			talker_open(fix, &all[n], numbers[i].codec, 20, 440, NULL);
			talker_open(fix, &all[n + 1], numbers[k].codec, 20, 1000, &all[n].leg);
			if (encrypted) {
				talker_encrypt(&all[n], 0x11);
				talker_encrypt(&all[n + 1], 0x22);
			}
			pair_connect(&all[n], &all[n + 1], 20, 20);
			n += 2;
			pairs++;
			if (n < 2 * AT_ONCE)
				continue;
			run_calls(all, n, check_stats);
			n = 0;
		}
	if (n)
		run_calls(all, n, check_stats);
	assert_true(pairs >= 28);
	free(all);
}

static void every_codec_hears_every_other(void **state)
{
	every_pair(*state, false);
}

static void every_codec_hears_every_other_encrypted(void **state)
{
	every_pair(*state, true);
}

static void check_lengths(struct talker *t, const struct talker *other)
{
	assert_int_equal(t->other_spans, 0);
	assert_true(t->packets * t->want_ms > 1200);
	assert_true(t->gaps <= 1);
}

/* Each side sends and gets packets of its own length, whether the codecs differ or not. */
static void each_side_has_its_packet_length(void **state)
{
	static const enum media_codec pairs[][2] = {
		{ MEDIA_PCMA, MEDIA_OPUS }, { MEDIA_PCMA, MEDIA_PCMU }, { MEDIA_G722, MEDIA_GSM },
		{ MEDIA_G726_32, MEDIA_PCMA }, { MEDIA_PCMA, MEDIA_PCMA }, { MEDIA_G722, MEDIA_G722 },
		{ MEDIA_G726_32, MEDIA_G726_32 },
	};
	static const uint32_t lengths[][2] = { { 10, 20 }, { 20, 30 }, { 30, 20 }, { 60, 10 },
					       { 40, 60 }, { 50, 40 } };
	struct talker *all = calloc(2 * AT_ONCE, sizeof(*all));
	size_t n = 0;

	assert_non_null(all);
	for (size_t p = 0; p < sizeof(pairs) / sizeof(pairs[0]); p++)
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			struct talker *a = &all[n], *b = &all[n + 1];

			pair_open(*state, a, pairs[p][0], b, pairs[p][1], lengths[l][0], lengths[l][1]);
			a->want_ms = codec_ptime(a->codec, lengths[l][0]);
			b->want_ms = codec_ptime(b->codec, lengths[l][1]);
			n += 2;
			if (n < 2 * AT_ONCE)
				continue;
			run_calls(all, n, check_lengths);
			n = 0;
		}
	if (n)
		run_calls(all, n, check_lengths);
	free(all);
}

/* After a re-INVITE both have the same codec: packets pass untouched again, and numbers go on. */
static void packets_pass_again_when_formats_meet(void **state)
{
	struct talker a = { 0 }, b = { 0 }, *list[2] = { &a, &b };
	const struct media_format both[2] = {
		{ .codec = MEDIA_PCMU, .pt_out = 0, .pt_in = 0, .clock_hz = 8000 },
		{ .codec = MEDIA_PCMA, .pt_out = 8, .pt_in = 8, .clock_hz = 8000 },
	};
	struct media_remote remote = { .may_send = true, .may_recv = true, .formats = both,
				       .n_formats = 2, .dtmf_pt = -1, .dtmf_pt_in = -1 };
	struct hdr_rtp hdr;
	uint8_t data[2048], mark;
	uint16_t seq;

	pair_open(*state, &a, MEDIA_PCMA, &b, MEDIA_PCMU, 20, 20);
	fix_sync(&b.leg);
	talk(list, 2, 800);
	assert_hears(&b, 440);
	leg_stats(&a.leg);
	assert_true(a.leg.stats.transcoded);

	leg_remote(&b.leg, &b.phone, &remote); /* now b has PCMA, too */
	fix_sync(&b.leg);
	while (phone_recv(b.phone.rtp, data, sizeof(data), 50))
		hear_packet(&b, data, HDR_RTP_BYTES + 160);
	seq = b.last.seq;
	for (int i = 0; i < 5; i++) {
		phone_send(&a.phone, a.leg.port, 8, 0x5a);
		assert_true(phone_hear(&b.phone, &hdr, &mark, 1000));
		assert_int_equal(hdr.pt, 8);
		assert_int_equal(mark, 0x5a);
		assert_int_equal(hdr.seq, ++seq);
		assert_int_equal(hdr.ssrc, b.last.ssrc);
		assert_true((int32_t)(hdr.ts - b.last.ts) > 0);
	}
	talker_close(&a);
	talker_close(&b);
	fix_run(20);
}

/* A sender may change to another codec of those agreed in the middle of the call. */
static void the_sender_changes_its_codec(void **state)
{
	struct talker a = { 0 }, b = { 0 }, c = { 0 }, *list[2] = { &a, &b };
	const struct media_format two[2] = {
		{ .codec = MEDIA_PCMA, .pt_out = 8, .pt_in = 8, .clock_hz = 8000 },
		{ .codec = MEDIA_G722, .pt_out = 9, .pt_in = 9, .clock_hz = 8000 },
	};
	struct media_remote remote = { .may_send = true, .may_recv = true, .formats = two,
				       .n_formats = 2, .dtmf_pt = -1, .dtmf_pt_in = -1 };

	pair_open(*state, &a, MEDIA_PCMA, &b, MEDIA_OPUS, 20, 20);
	leg_remote(&a.leg, &a.phone, &remote);
	fix_sync(&b.leg);
	talk(list, 2, 800);
	assert_hears(&b, 440);

	codec_enc_free(a.enc);
	a.codec = codec_find(MEDIA_G722, 8000);
	a.hz = 16000;
	a.pt = 9;
	a.spoken = 0;
	a.tone_hz = 700;
	assert_int_equal(codec_enc_alloc(&a.enc, a.codec, &(struct codec_opts){ 0 }), 0);
	list[0] = &c; /* what a hears is PCMA still */
	c = a;
	c.started = false;
	c.pt = 9;
	talk(&(struct talker *){ &b }, 1, 0);
	{
		uint64_t end = clk_mono_ms() + 1000;
		uint8_t data[2048];
		size_t len;

		a.next_ms = clk_mono_ms();
		while (clk_mono_ms() < end) {
			while (a.next_ms <= clk_mono_ms()) {
				speak_packet(&a);
				a.next_ms += 20;
			}
			while ((len = phone_recv(b.phone.rtp, data, sizeof(data), 0)))
				hear_packet(&b, data, len);
			fix_run(2);
		}
	}
	assert_hears(&b, 700);
	talker_close(&a);
	talker_close(&b);
	fix_run(20);
}

/* What is lost on the way is concealed, counted, and heard as little as can be. */
static void loss_and_disorder_are_mended(void **state)
{
	struct talker a = { 0 }, b = { 0 };
	uint8_t held[HDR_RTP_BYTES + 160], data[2048];
	size_t len;

	talker_open(*state, &a, MEDIA_PCMA, 20, 440, NULL);
	talker_open(*state, &b, MEDIA_PCMU, 20, 0, &a.leg);
	talker_remote(&a, 0);
	talker_remote(&b, 0);
	media_bridge(a.leg.stream, b.leg.stream);
	fix_sync(&b.leg);

	for (int i = 0; i < 100; i++) {
		int16_t pcm[160];

		for (int s = 0; s < 160; s++)
			pcm[s] = (int16_t)lrint(LOUD * sin(2 * M_PI * 440 * (i * 160 + s) / 8000.0));
		hdr_rtp_write(data, &(struct hdr_rtp){ .pt = 8, .seq = (uint16_t)(65500 + i),
						       .ts = 0xffffff00u + (uint32_t)i * 160,
						       .ssrc = 77 });
		assert_int_equal(codec_encode(a.enc, data + HDR_RTP_BYTES, 160, pcm, 160), 160);
		if (i % 10 == 3) {
			memcpy(held, data, sizeof(held)); /* comes after the next one */
		} else if (i % 20 == 7) {
			; /* lost: 5 of 100 */
		} else {
			phone_send_raw(a.phone.rtp, a.leg.port, data, sizeof(held));
			if (i % 10 == 5) /* twice */
				phone_send_raw(a.phone.rtp, a.leg.port, data, sizeof(held));
			if (i % 10 == 4)
				phone_send_raw(a.phone.rtp, a.leg.port, held, sizeof(held));
		}
		for (uint64_t end = clk_mono_ms() + 20; clk_mono_ms() < end;) {
			while ((len = phone_recv(b.phone.rtp, data, sizeof(data), 0)))
				hear_packet(&b, data, len);
			fix_run(2);
		}
	}
	while ((len = phone_recv(b.phone.rtp, data, sizeof(data), 100)) && b.packets < 110)
		hear_packet(&b, data, len);

	assert_true(b.packets >= 96);
	assert_int_equal(b.gaps, 0);
	b.n -= b.n > 16000 ? 0 : 800; /* its end is silence already */
	assert_true(mean_level(b.pcm + 4000, 8000, 8000, 440) > LOUD * 0.75);
	leg_stats(&a.leg);
	assert_in_range(a.leg.stats.concealed_ms, 80, 180); /* 5 packets, a few more while it learned */
	talker_close(&a);
	talker_close(&b);
	fix_run(20);
}

/* Digits of RFC 4733 pass beside the transcoded sound. */
static void digits_pass_beside_transcoded_sound(void **state)
{
	uint8_t event[HDR_RTP_BYTES + 4] = { 0 }, data[2048];
	struct talker a = { 0 }, b = { 0 }, *list[2] = { &a, &b };
	unsigned seen = 0, stamps = 0;
	uint32_t last_ts = 0;
	struct hdr_rtp hdr;

	pair_open(*state, &a, MEDIA_PCMA, &b, MEDIA_PCMU, 20, 20);
	fix_sync(&b.leg);
	talk(list, 2, 400);
	a.tone_hz = 0;
	for (int i = 0; i < 8; i++) {
		struct hdr_event digit = { .event = 5, .volume = 10, .end = i > 4,
					   .duration = (uint16_t)(160 * (i < 5 ? i + 1 : 6)) };

		hdr_rtp_write(event, &(struct hdr_rtp){ .pt = 101, .marker = !i, .seq = a.phone.seq++,
							.ts = a.phone.ts, .ssrc = a.phone.ssrc });
		hdr_event_write(event + HDR_RTP_BYTES, &digit);
		phone_send_raw(a.phone.rtp, a.leg.port, event, sizeof(event));
		fix_run(20);
	}
	a.phone.ts += 160 * 8;
	for (size_t len; (len = phone_recv(b.phone.rtp, data, sizeof(data), 100)) && seen < 20;) {
		assert_int_equal(hdr_rtp_parse(&hdr, data, len), 0);
		if (hdr.pt != 101)
			continue;
		stamps += !seen || hdr.ts != last_ts;
		last_ts = hdr.ts;
		seen++;
	}
	assert_in_range(seen, 6, 12);
	assert_int_equal(stamps, 1); /* one digit, not eight */
	assert_string_equal(a.leg.digit, "5");

	a.tone_hz = 440;
	b.started = false;
	talk(list, 2, 900);
	assert_hears(&b, 440);
	talker_close(&a);
	talker_close(&b);
	fix_run(20);
}

/* Bridged to itself: the phone hears what it says, which it must understand as it is. */
static void who_stops_speaking_is_not_sent_for_ever(void **state)
{
	struct talker a = { 0 }, b = { 0 }, *list[2] = { &a, &b };
	unsigned before;

	pair_open(*state, &a, MEDIA_PCMA, &b, MEDIA_OPUS, 20, 20);
	b.tone_hz = 0;
	fix_sync(&b.leg);
	talk(list, 2, 600);
	a.paused = true;
	before = b.packets;
	talk(list, 2, 700); /* silence is sent for a second: a receiver may mind when nothing comes */
	assert_true(b.packets > before + 20);
	talk(list, 2, 700);
	before = b.packets;
	talk(list, 2, 300);
	assert_int_equal(b.packets, before);

	a.paused = false; /* its clock went on meanwhile */
	a.phone.ts += 8 * 1700;
	talk(list, 2, 900);
	assert_hears(&b, 440);
	talker_close(&a);
	talker_close(&b);
	fix_run(20);
}

/* With usedtx and annex B silence costs next to nothing, and speech comes back whole. */
static void silence_is_saved_with_dtx(void **state)
{
	static const enum media_codec codecs[] = { MEDIA_OPUS, MEDIA_G729 };

	for (int c = 0; c < 2; c++) {
		struct talker a = { 0 }, b = { .dtx = true }, *list[2] = { &a, &b };
		unsigned before;

		if (!codec_find(codecs[c], c ? 8000 : 48000))
			continue; /* built without G.729 */
		pair_open(*state, &a, MEDIA_PCMA, &b, codecs[c], 20, 20);
		fix_sync(&b.leg);
		talk(list, 2, 900);
		assert_hears(&b, 440);
		a.silent = true;
		talk(list, 2, 600);
		before = b.packets;
		talk(list, 2, 1000);
		assert_true(b.packets - before <= 15); /* of 50 */
		a.silent = false;
		talk(list, 2, 1000);
		assert_hears(&b, 440);
		assert_true(b.gaps >= 1 && b.markers >= 2);

		/* The other way: the phone sends nothing in silence; its return is no loss. */
		b.paused = true;
		b.phone.ts += b.codec->clock_hz * 2 / 5;
		talk(list, 2, 400);
		b.paused = false;
		talk(list, 2, 900);
		assert_hears(&a, 1000);
		leg_stats(&b.leg);
		assert_true(b.leg.stats.concealed_ms <= 60);
		talker_close(&a);
		talker_close(&b);
	}
	fix_run(20);
}

/*
 * What Opus repeats in its packets is heard instead of being invented. A packet that a busy machine delays too
 * much is invented as well, in either case: of several rounds the best one tells what had to be.
 */
static void opus_repeats_what_is_lost(void **state)
{
	uint32_t concealed[2] = { UINT32_MAX, UINT32_MAX };

	for (int round = 0; round < 8 && !(concealed[1] + 40 <= concealed[0]); round++) {
		const int fec = round > 0;
		struct talker a = { .fec = fec }, b = { 0 };
		uint8_t data[2048], payload[CODEC_MAX_BYTES];
		size_t len;

		talker_open(*state, &a, MEDIA_OPUS, 20, 440, NULL);
		talker_open(*state, &b, MEDIA_PCMA, 20, 0, &a.leg);
		talker_remote(&a, 0);
		talker_remote(&b, 0);
		media_bridge(a.leg.stream, b.leg.stream);
		fix_sync(&b.leg);
		codec_enc_loss(a.enc, 20);
		for (int i = 0; i < 75; i++) {
			int16_t pcm[960];
			int n;

			for (int s = 0; s < 960; s++) { /* a voice, which is what Opus repeats */
				double t = (i * 960 + s) / 48000.0, v = 0;

				for (int h = 1; h < 8; h++)
					v += 3000.0 / h * sin(2 * M_PI * 200 * h * t);
				pcm[s] = (int16_t)(v * (0.6 + 0.4 * sin(2 * M_PI * 4 * t)));
			}
			n = codec_encode(a.enc, payload, sizeof(payload), pcm, 960);
			assert_true(n > 0);
			if (i % 8 == 7) {
				a.phone.seq++;
				a.phone.ts += 960;
			} else {
				send_payload(&a, payload, (size_t)n, 960);
			}
			for (uint64_t end = clk_mono_ms() + 20; clk_mono_ms() < end;) {
				while ((len = phone_recv(b.phone.rtp, data, sizeof(data), 0)))
					hear_packet(&b, data, len);
				fix_run(2);
			}
		}
		leg_stats(&a.leg);
		if (a.leg.stats.concealed_ms < concealed[fec])
			concealed[fec] = a.leg.stats.concealed_ms;
		talker_close(&a);
		talker_close(&b);
		if (!fec) {
			assert_true(concealed[0] >= 140); /* nine packets of 20 ms */
			concealed[0] = 140;
		}
	}
	assert_true(concealed[1] + 40 <= concealed[0]);
	fix_run(20);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_codec_hears_every_other, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(every_codec_hears_every_other_encrypted, fix_setup,
						fix_teardown),
		cmocka_unit_test_setup_teardown(each_side_has_its_packet_length, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(packets_pass_again_when_formats_meet, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(the_sender_changes_its_codec, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(loss_and_disorder_are_mended, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(digits_pass_beside_transcoded_sound, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(silence_is_saved_with_dtx, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(opus_repeats_what_is_lost, fix_setup, fix_teardown),
		cmocka_unit_test_setup_teardown(who_stops_speaking_is_not_sent_for_ever, fix_setup,
						fix_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
