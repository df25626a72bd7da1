/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <spandsp/telephony.h>
#include <spandsp/bit_operations.h>
#include <spandsp/g726.h>
#include "media/codec.h"
#include "media/mend.h"

#define LOUD 8000.0

/* A tone, and what a stranger hears of it: the amplitude at a frequency (Goertzel). */
static void tone_make(int16_t *pcm, size_t n, uint32_t hz, double tone_hz, size_t from)
{
	for (size_t i = 0; i < n; i++)
		pcm[i] = (int16_t)lrint(LOUD * sin(2 * M_PI * tone_hz * (double)(from + i) / hz));
}

static double level_at(const int16_t *pcm, size_t n, uint32_t hz, double tone_hz)
{
	double w = 2 * M_PI * tone_hz / hz, c = 2 * cos(w), s0, s1 = 0, s2 = 0;

	for (size_t i = 0; i < n; i++) {
		s0 = pcm[i] + c * s1 - s2;
		s2 = s1;
		s1 = s0;
	}
	return 2 * sqrt(s1 * s1 + s2 * s2 - c * s1 * s2) / (double)n;
}

static double rms(const int16_t *pcm, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)pcm[i] * pcm[i];
	return sqrt(sum / (double)n);
}

/* The tone is there, about as loud as it was, and most of what is heard is the tone. */
static void assert_tone(const int16_t *pcm, size_t n, uint32_t hz, double tone_hz)
{
	double level = level_at(pcm, n, hz, tone_hz);

	assert_true(level > LOUD * 0.7 && level < LOUD * 1.4);
	assert_true(rms(pcm, n) < level * 0.85); /* 0.707 for the tone alone */
}

/* One second through an encoder and a decoder; the last half of it is returned. */
static size_t through(int16_t *ret, const struct codec *codec, uint32_t enc_hz, uint32_t dec_hz,
		      uint32_t ptime_ms, double tone_hz)
{
	struct codec_enc *enc;
	struct codec_dec *dec;
	int16_t in[48 * 60], out[CODEC_MAX_SAMPLES];
	uint8_t data[CODEC_MAX_BYTES];
	size_t n = enc_hz / 1000 * ptime_ms, got = 0, at = 0;
	int len, m;

	assert_int_equal(codec_enc_alloc(&enc, codec, &(struct codec_opts){ .hz = enc_hz }), 0);
	assert_int_equal(codec_dec_alloc(&dec, codec, dec_hz), 0);
	for (uint32_t ms = 0; ms < 1000; ms += ptime_ms, at += n) {
		tone_make(in, n, enc_hz, tone_hz, at);
		len = codec_encode(enc, data, sizeof(data), in, n);
		assert_true(len > 0);
		assert_int_equal(codec_span(codec, data, (size_t)len),
				 codec->clock_hz / 1000 * ptime_ms);
		m = codec_decode(dec, out, CODEC_MAX_SAMPLES, data, (size_t)len);
		assert_int_equal(m, dec_hz / 1000 * ptime_ms);
		if (ms < 500)
			continue;
		memcpy(ret + got, out, (size_t)m * sizeof(*out));
		got += (size_t)m;
	}
	codec_enc_free(enc);
	codec_dec_free(dec);
	return got;
}

static void every_codec_carries_a_tone_in_packets_of_10_to_60_ms(void **state)
{
	static int16_t heard[48000];
	size_t n_codecs, n;
	const struct codec *const *all = codec_all(&n_codecs);

	assert_true(n_codecs >= 9);
	for (size_t i = 0; i < n_codecs; i++)
		for (int rate = 0; rate < CODEC_RATES && all[i]->hz[rate]; rate++)
			for (uint32_t ptime = 10; ptime <= 60; ptime += 10)
				for (int tone = 0; tone < 2; tone++) {
					double tone_hz = tone ? 1000 : 440;
					uint32_t hz = all[i]->hz[rate];

					if (codec_ptime(all[i], ptime) != ptime)
						continue;
					n = through(heard, all[i], hz, hz, ptime, tone_hz);
					assert_tone(heard, n, hz, tone_hz);
				}
}

/* What a telephone says into Opus at 8 kHz a browser hears at 48 kHz, and G.722 likewise. */
static void rates_of_both_sides_need_not_be_the_same(void **state)
{
	static const enum media_codec codecs[] = { MEDIA_OPUS, MEDIA_G722 };
	static int16_t heard[48000];

	for (int c = 0; c < 2; c++) {
		const struct codec *codec = codec_find(codecs[c], c ? 8000 : 48000);

		for (int from = 0; from < CODEC_RATES && codec->hz[from]; from++)
			for (int to = 0; to < CODEC_RATES && codec->hz[to]; to++) {
				size_t n = through(heard, codec, codec->hz[from], codec->hz[to], 20, 1000);

				assert_tone(heard, n, codec->hz[to], 1000);
			}
	}
}

/* RFC 3551 section 4.5.4: the first sample is in the low bits; AAL2-G726-32 has them the other way. */
static void g726_has_the_first_sample_in_the_low_bits(void **state)
{
	g726_state_t *raw = g726_init(NULL, 32000, G726_ENCODING_LINEAR, G726_PACKING_NONE);
	uint8_t data[80], codes[160];
	struct codec_enc *enc;
	int16_t pcm[160];

	assert_non_null(raw);
	assert_int_equal(codec_enc_alloc(&enc, codec_find(MEDIA_G726_32, 8000),
					 &(struct codec_opts){ 0 }), 0);
	tone_make(pcm, 160, 8000, 440, 0);
	assert_int_equal(g726_encode(raw, codes, pcm, 160), 160);
	assert_int_equal(codec_encode(enc, data, sizeof(data), pcm, 160), 80);
	for (int i = 0; i < 80; i++)
		assert_int_equal(data[i], codes[2 * i] | codes[2 * i + 1] << 4);
	codec_enc_free(enc);
	(void)g726_free(raw);
}

static void packet_lengths_are_whole_frames(void **state)
{
	const struct codec *pcma = codec_find(MEDIA_PCMA, 8000), *gsm = codec_find(MEDIA_GSM, 8000);
	const struct codec *l16 = codec_find(MEDIA_L16, 48000);

	assert_int_equal(codec_ptime(pcma, 0), 20);
	assert_int_equal(codec_ptime(pcma, 30), 30);
	assert_int_equal(codec_ptime(pcma, 35), 30);
	assert_int_equal(codec_ptime(pcma, 3), 10);
	assert_int_equal(codec_ptime(pcma, 200), 60);
	assert_int_equal(codec_ptime(gsm, 10), 20);
	assert_int_equal(codec_ptime(gsm, 30), 20);
	assert_int_equal(codec_ptime(gsm, 50), 40);
	assert_int_equal(codec_ptime(l16, 60), 10); /* 20 ms would not fit into a packet */
	assert_null(codec_find(MEDIA_CODEC_OTHER, 8000));
	assert_null(codec_find(MEDIA_PCMA, 16000));
	assert_int_equal(codec_hz(codec_find(MEDIA_OPUS, 48000), 16000), 16000);
	assert_int_equal(codec_hz(codec_find(MEDIA_OPUS, 48000), 44100), 48000);
	assert_int_equal(codec_hz(codec_find(MEDIA_G722, 8000), 48000), 16000);
}

static void malformed_payloads_are_refused(void **state)
{
	static const uint8_t junk[2000] = { 0xff, 0xff, 0xff };
	int16_t pcm[CODEC_MAX_SAMPLES];
	struct codec_dec *dec;
	struct codec_enc *enc;
	uint8_t data[100];

	assert_int_equal(codec_enc_alloc(&enc, codec_find(MEDIA_PCMA, 8000),
					 &(struct codec_opts){ .hz = 16000 }), -EINVAL);
	assert_int_equal(codec_dec_alloc(&dec, codec_find(MEDIA_PCMA, 8000), 48000), -EINVAL);

	assert_int_equal(codec_dec_alloc(&dec, codec_find(MEDIA_GSM, 8000), 0), 0);
	assert_int_equal(codec_decode(dec, pcm, CODEC_MAX_SAMPLES, junk, 33), -EBADMSG); /* no 0xd */
	assert_int_equal(codec_decode(dec, pcm, CODEC_MAX_SAMPLES, junk, 32), -EBADMSG);
	assert_int_equal(codec_decode(dec, pcm, CODEC_MAX_SAMPLES, junk, 0), -EBADMSG);
	codec_dec_free(dec);

	assert_int_equal(codec_dec_alloc(&dec, codec_find(MEDIA_OPUS, 48000), 0), 0);
	assert_int_equal(codec_decode(dec, pcm, CODEC_MAX_SAMPLES, junk, 3), -EBADMSG);
	codec_dec_free(dec);

	assert_int_equal(codec_dec_alloc(&dec, codec_find(MEDIA_PCMA, 8000), 0), 0);
	assert_int_equal(codec_decode(dec, pcm, 100, junk, 160), -EMSGSIZE);
	assert_int_equal(codec_decode(dec, pcm, CODEC_MAX_SAMPLES, junk, 2000), -EBADMSG); /* 250 ms */
	codec_dec_free(dec);

	assert_int_equal(codec_enc_alloc(&enc, codec_find(MEDIA_PCMA, 8000), &(struct codec_opts){ 0 }), 0);
	assert_int_equal(codec_encode(enc, data, sizeof(data), pcm, 160), -EMSGSIZE);
	assert_int_equal(codec_encode(enc, data, sizeof(data), pcm, 79), -EINVAL);
	codec_enc_free(enc);
	codec_enc_free(NULL);
	codec_dec_free(NULL);
}

/* Every tenth packet is lost; the tone goes on, and what follows is whole again. */
static void every_codec_conceals_what_is_lost(void **state)
{
	size_t n_codecs;
	const struct codec *const *all = codec_all(&n_codecs);

	for (size_t c = 0; c < n_codecs; c++) {
		const struct codec *codec = all[c];
		uint32_t hz = codec_hz(codec, 8000), ms = codec->id == MEDIA_L16 ? 10 : 20;
		size_t n = hz / 1000 * ms;
		struct codec_enc *enc;
		struct codec_dec *dec;
		int16_t in[960], out[CODEC_MAX_SAMPLES];
		uint8_t data[CODEC_MAX_BYTES];

		assert_int_equal(codec_enc_alloc(&enc, codec, &(struct codec_opts){ .hz = hz }), 0);
		assert_int_equal(codec_dec_alloc(&dec, codec, hz), 0);
		codec_conceal(dec, out, n); /* before anything came */
		for (int i = 0; i < 50; i++) {
			int len;

			tone_make(in, n, hz, 440, (size_t)i * n);
			len = codec_encode(enc, data, sizeof(data), in, n);
			assert_true(len > 0);
			if (i % 10 == 9)
				codec_conceal(dec, out, n);
			else
				assert_int_equal(codec_decode(dec, out, CODEC_MAX_SAMPLES, data, (size_t)len),
						 n);
			if (i < 19)
				continue;
			/* What predicts from a model of speech needs time to find a bare tone again. */
			if (codec->id == MEDIA_OPUS || codec->id == MEDIA_G729)
				assert_true(rms(out, n) > LOUD * 0.02 && rms(out, n) < LOUD * 1.5);
			else
				assert_true(rms(out, n) > LOUD * 0.35 && rms(out, n) < LOUD);
		}
		for (int i = 0; i < 10; i++)
			codec_conceal(dec, out, n);
		assert_true(codec->id == MEDIA_G729 || rms(out, n) < LOUD * 0.1); /* it has faded */
		codec_enc_free(enc);
		codec_dec_free(dec);
	}
}

/* With useinbandfec the packet after a lost one tells what was in it. */
static void opus_repeats_what_was_before(void **state)
{
	const struct codec *opus = codec_find(MEDIA_OPUS, 48000);
	static const uint32_t rates[] = { 8000, 16000, 48000 };

	for (int r = 0; r < 3; r++) {
		uint32_t hz = rates[r];
		size_t n = hz / 50;
		struct codec_enc *enc;
		struct codec_dec *dec;
		int16_t in[960], out[CODEC_MAX_SAMPLES];
		uint8_t data[CODEC_MAX_BYTES];
		int known = 0;

		assert_int_equal(codec_enc_alloc(&enc, opus, &(struct codec_opts){ .hz = hz, .fec = true }),
				 0);
		codec_enc_loss(enc, 20);
		assert_int_equal(codec_dec_alloc(&dec, opus, hz), 0);
		for (int i = 0; i < 100; i++) {
			int len;

			/* Like speech: a voice of 200 Hz with harmonics that comes and goes. */
			for (size_t s = 0; s < n; s++) {
				double t = (double)((size_t)i * n + s) / hz;

				in[s] = 0;
				for (int h = 1; h < 8; h++)
					in[s] = (int16_t)(in[s] + 3000 / h * sin(2 * M_PI * 200 * h * t) *
							  (0.6 + 0.4 * sin(2 * M_PI * 4 * t)));
			}
			len = codec_encode(enc, data, sizeof(data), in, n);
			assert_true(len > 2);
			if (i % 5 == 3)
				continue; /* lost */
			if (i % 5 == 4 && codec_decode_before(dec, out, n, data, (size_t)len)) {
				assert_true(level_at(out, n, hz, 200) > 500);
				known++;
			}
			assert_int_equal(codec_decode(dec, out, CODEC_MAX_SAMPLES, data, (size_t)len), n);
		}
		assert_true(known >= 10);
		codec_enc_free(enc);
		codec_dec_free(dec);
	}

	/* Without it nothing is told. */
	{
		struct codec_enc *enc;
		struct codec_dec *dec;
		int16_t pcm[160] = { 0 };
		uint8_t data[CODEC_MAX_BYTES];
		int len;

		assert_int_equal(codec_enc_alloc(&enc, opus, &(struct codec_opts){ .hz = 8000 }), 0);
		assert_int_equal(codec_dec_alloc(&dec, opus, 8000), 0);
		for (int i = 0; i < 10; i++) {
			tone_make(pcm, 160, 8000, 440, (size_t)i * 160);
			len = codec_encode(enc, data, sizeof(data), pcm, 160);
			assert_int_equal(codec_decode_before(dec, pcm, 160, data, (size_t)len), 0);
		}
		codec_enc_free(enc);
		codec_dec_free(dec);
	}
}

/* With dtx silence is not sent; the payload before says so. */
static void silence_is_not_sent_with_dtx(void **state)
{
	static const enum media_codec codecs[] = { MEDIA_OPUS, MEDIA_G729 };

	for (int c = 0; c < 2; c++) {
		const struct codec *codec = codec_find(codecs[c], c ? 8000 : 48000);
		int16_t pcm[160], out[CODEC_MAX_SAMPLES];
		uint8_t data[CODEC_MAX_BYTES];
		struct codec_enc *enc;
		struct codec_dec *dec;
		int sent = 0, pauses = 0;

		if (!codec)
			continue; /* built without G.729 */
		assert_int_equal(codec_enc_alloc(&enc, codec, &(struct codec_opts){ .hz = 8000, .dtx = true }),
				 0);
		assert_int_equal(codec_dec_alloc(&dec, codec, 8000), 0);
		srand(1);
		for (int i = 0; i < 200; i++) { /* one second of tone, then of next to nothing */
			size_t n = c ? 80 : 160;
			int len;

			tone_make(pcm, n, 8000, 440, (size_t)i * n);
			for (size_t s = 0; i >= 100 && s < n; s++)
				pcm[s] = (int16_t)(rand() % 3);
			len = codec_encode(enc, data, sizeof(data), pcm, n);
			assert_true(len >= 0);
			if (len)
				assert_int_equal(codec_decode(dec, out, CODEC_MAX_SAMPLES, data,
							      (size_t)len), n);
			else
				codec_conceal(dec, out, n);
			sent += i >= 150 && len;
			pauses += len && codec_is_pause(codec, data, (size_t)len);
			if (i >= 170)
				assert_true(rms(out, n) < 200);
		}
		assert_true(sent < 15);
		assert_true(c == 0 || pauses >= 1);
		codec_enc_free(enc);
		codec_dec_free(dec);
	}
}

/* Random payloads of any length: no decoder may mind (the fuzz target goes on with this). */
static void decoders_survive_noise(void **state)
{
	size_t n_codecs;
	const struct codec *const *all = codec_all(&n_codecs);
	int16_t pcm[CODEC_MAX_SAMPLES];

	srand(7);
	for (size_t c = 0; c < n_codecs; c++) {
		struct codec_dec *dec;

		assert_int_equal(codec_dec_alloc(&dec, all[c], 0), 0);
		for (int i = 0; i < 2000; i++) {
			size_t len = (size_t)rand() % 400;
			uint8_t *data = malloc(len ? len : 1);

			assert_non_null(data);
			for (size_t k = 0; k < len; k++)
				data[k] = (uint8_t)rand();
			if (all[c]->id == MEDIA_GSM && len)
				data[0] = (uint8_t)(0xd0 | (data[0] & 15));
			(void)codec_decode_before(dec, pcm, codec_dec_hz(dec) / 50, data, len);
			(void)codec_decode(dec, pcm, CODEC_MAX_SAMPLES, data, len);
			codec_conceal(dec, pcm, codec_dec_hz(dec) / 100 * (1 + (size_t)rand() % 3));
			free(data);
		}
		codec_dec_free(dec);
	}
}

/* Time is taken out of and put into a tone without a click: it stays the same tone. */
static void sound_can_be_made_shorter_and_longer(void **state)
{
	static const uint32_t rates[] = { 8000, 16000, 48000 };
	static int16_t pcm[48000], frame[48 * 30];

	for (int r = 0; r < 3; r++)
		for (int longer = 0; longer < 2; longer++) {
			uint32_t hz = rates[r];
			size_t n = hz / 50, total = 0, m;

			for (size_t i = 0; i < 25; i++) {
				tone_make(frame, n, hz, 250, i * n);
				m = longer ? mend_lengthen(frame, n, hz) : mend_shorten(frame, n, hz);
				assert_true(longer ? m > n && m <= n * 3 / 2 : m < n && m >= n / 2);
				memcpy(pcm + total, frame, m * sizeof(*pcm));
				total += m;
			}
			assert_true(level_at(pcm, total, hz, 250) > LOUD * 0.5);
			assert_int_equal(mend_shorten(frame, hz / 100, hz), hz / 100); /* too short */
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_codec_carries_a_tone_in_packets_of_10_to_60_ms),
		cmocka_unit_test(rates_of_both_sides_need_not_be_the_same),
		cmocka_unit_test(g726_has_the_first_sample_in_the_low_bits),
		cmocka_unit_test(packet_lengths_are_whole_frames),
		cmocka_unit_test(malformed_payloads_are_refused),
		cmocka_unit_test(every_codec_conceals_what_is_lost),
		cmocka_unit_test(opus_repeats_what_was_before),
		cmocka_unit_test(silence_is_not_sent_with_dtx),
		cmocka_unit_test(decoders_survive_noise),
		cmocka_unit_test(sound_can_be_made_shorter_and_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
