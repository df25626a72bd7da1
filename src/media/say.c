/* SPDX-License-Identifier: Apache-2.0 */
#include "media/say.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "media/audio.h"
#include "media/codec.h"
#include "media/formats.h"
#include "media/relay.h"

#define IDLE_US 5000000 /* an encoder that nobody used is freed */
#define RATES   3       /* 8000, 16000, 48000 */

struct say {
	const struct codec *codec;
	struct codec_enc *enc;
	uint8_t pt;
	bool dtx;
	uint32_t ptime_ms;
	struct audio_rate *rates[RATES]; /* to the encoder's, by the rate of what is spoken */
	bool spoke;                      /* in this tick */
	bool talking;                    /* and in the one before */
	bool sent;                       /* since it began to talk */
	bool marker;
	uint32_t ts;                     /* of pcm[0] */
	uint64_t spoke_at_us;
	int16_t *pcm;
	size_t n;
	uint8_t joined[64]; /* frames of G.729 that make a packet */
	size_t joined_len;
	uint32_t joined_ts;
	struct audio_frame frame;
};

/* ------------------------------------------------------------------ life */

void say_free(struct say *say)
{
	if (!say)
		return;
	codec_enc_free(say->enc);
	for (int i = 0; i < RATES; i++)
		audio_rate_free(say->rates[i]);
	free(say->pcm);
	free(say);
}

void say_prefetch(const struct say *say)
{
	codec_enc_prefetch(say->enc);
	__builtin_prefetch(&say->spoke);
	__builtin_prefetch(&say->frame);
	__builtin_prefetch(say->pcm);
}

/* An encoder for sound of hz. */
int say_alloc(struct say **ret, const struct stream *stream, uint32_t hz)
{
	const struct mp_format *format = format_out(stream);
	struct codec_opts opts = { 0 };
	struct say *say;
	int err;

	if (!format)
		return -ENOTSUP;
	say = calloc(1, sizeof(*say));
	if (!say)
		return -ENOMEM;

	say->codec = format_codec(format);
	say->pt = format->pt_out;
	say->ptime_ms = codec_ptime(say->codec, stream->ptime_ms);
	say->dtx = format->flags & MP_FORMAT_DTX;
	opts.hz = codec_hz(say->codec, hz < format_highest_hz(format) ? hz : format_highest_hz(format));
	opts.max_hz = format->max_hz;
	opts.fec = format->flags & MP_FORMAT_FEC;
	opts.dtx = say->dtx;
	say->frame.hz = opts.hz;
	say->pcm = malloc(opts.hz / 1000 * (CODEC_MAX_PTIME + AUDIO_FRAME_MS) * sizeof(*say->pcm));
	err = say->pcm ? codec_enc_alloc(&say->enc, say->codec, &opts) : -ENOMEM;
	if (err) {
		say_free(say);
		return err;
	}
	*ret = say;
	return 0;
}

void say_expect_loss(struct say *say, unsigned percent)
{
	codec_enc_loss(say->enc, percent);
}

bool say_is_idle(const struct say *say, uint64_t now_us)
{
	return now_us - say->spoke_at_us > IDLE_US;
}

/* ------------------------------------------------------------------ what is said */

static unsigned rate_index(uint32_t hz)
{
	return hz <= 8000 ? 0 : hz <= 16000 ? 1 : 2;
}

static int16_t add(int16_t a, int16_t b)
{
	int32_t sum = (int32_t)a + b;

	return (int16_t)(sum > INT16_MAX ? INT16_MAX : sum < INT16_MIN ? INT16_MIN : sum);
}

static void mix(struct say *say, const struct audio_frame *frame)
{
	size_t n = say->frame.hz / 1000 * AUDIO_FRAME_MS;

	if (!say->spoke) {
		memcpy(say->frame.v, frame->v, n * sizeof(*frame->v));
		say->frame.silent = frame->silent;
		say->frame.concealed = frame->concealed;
		return;
	}
	for (size_t i = 0; i < n && !frame->silent; i++)
		say->frame.v[i] = add(say->frame.v[i], frame->v[i]);
	say->frame.silent &= frame->silent;
	say->frame.concealed |= frame->concealed;
}

bool say_suits(const struct say *say, const struct stream *stream, uint32_t hz)
{
	uint32_t best_hz = audio_hz(stream);

	return say->talking || say->spoke ||
	       codec_hz(say->codec, hz < best_hz ? hz : best_hz) == say->frame.hz;
}

int say_add(struct say *say, const struct audio_frame *frame, uint64_t now_us)
{
	struct audio_frame changed;
	struct audio_rate **rate;

	if (frame->hz != say->frame.hz) {
		rate = &say->rates[rate_index(frame->hz)];
		if (!*rate && audio_rate_alloc(rate, frame->hz, say->frame.hz))
			return -ENOMEM;
		audio_rate_change(*rate, &changed, frame);
		frame = &changed;
	}
	mix(say, frame);
	say->spoke = true;
	say->spoke_at_us = now_us;
	return 0;
}

const struct audio_frame *say_said(const struct say *say)
{
	return say->spoke ? &say->frame : NULL;
}

/* ------------------------------------------------------------------ packets */

static uint32_t units_of(const struct say *say, size_t samples)
{
	return (uint32_t)((uint64_t)samples * say->codec->clock_hz / say->frame.hz);
}

static void say_send(struct relay *relay, struct stream *stream, struct say *say, uint32_t ts,
		     const uint8_t *data, size_t len)
{
	struct hdr_rtp hdr = { .pt = say->pt, .marker = say->marker, .ts = ts };

	relay_send_own(relay, stream, OUT_AUDIO, &hdr, data, len);
	say->marker = false;
	say->sent = true;
}

static void send_joined(struct relay *relay, struct stream *stream, struct say *say)
{
	if (say->joined_len)
		say_send(relay, stream, say, say->joined_ts, say->joined, say->joined_len);
	say->joined_len = 0;
}

/* Samples leave the buffer; time goes on. */
static void say_consume(struct say *say, size_t n)
{
	say->ts += units_of(say, n);
	say->n -= n;
	memmove(say->pcm, say->pcm + n, say->n * sizeof(*say->pcm));
}

/*
 * G.729 with annex B, frame by frame: a packet ends with a comfort noise frame or before what is not
 * sent (RFC 3551 section 4.5.6).
 */
static void say_frames(struct relay *relay, struct stream *stream, struct say *say)
{
	size_t frame = say->frame.hz / 1000 * say->codec->frame_ms;
	size_t full = say->ptime_ms / say->codec->frame_ms * say->codec->frame_bytes;
	uint8_t data[CODEC_MAX_BYTES];

	while (say->n >= frame) {
		int len = codec_encode(say->enc, data, sizeof(data), say->pcm, frame);

		if (len > 0 && say->joined_len + (size_t)len <= sizeof(say->joined)) {
			if (!say->joined_len)
				say->joined_ts = say->ts;
			memcpy(say->joined + say->joined_len, data, (size_t)len);
			say->joined_len += (size_t)len;
		}
		if (len < say->codec->frame_bytes || say->joined_len >= full) {
			send_joined(relay, stream, say);
			say->marker |= len < say->codec->frame_bytes;
		}
		say_consume(say, frame);
	}
}

static void say_packets(struct relay *relay, struct stream *stream, struct say *say)
{
	size_t packet = say->frame.hz / 1000 * say->ptime_ms;
	uint8_t data[CODEC_MAX_BYTES];

	while (say->n >= packet) {
		int len = codec_encode(say->enc, data, sizeof(data), say->pcm, packet);

		if (len > 0)
			say_send(relay, stream, say, say->ts, data, (size_t)len);
		else
			say->marker = true; /* after silence that is not sent a talkspurt begins */
		say_consume(say, packet);
	}
}

static void say_encode(struct relay *relay, struct stream *stream, struct say *say)
{
	if (say->dtx && say->codec->frame_bytes)
		say_frames(relay, stream, say);
	else
		say_packets(relay, stream, say);
}

/* The first frame after silence, or after somebody else has sent. */
static void say_begin(struct relay *relay, struct stream *stream, struct say *say)
{
	say->n = 0;
	say->joined_len = 0;
	say->ts = out_begin_ts(&stream->out, say->codec->clock_hz, relay->now_us);
	say->marker = true;
	say->talking = true;
	say->sent = false;
}

/* What is less than a packet is filled up with silence. */
static void say_finish(struct relay *relay, struct stream *stream, struct say *say)
{
	size_t packet = say->frame.hz / 1000 * say->ptime_ms, rest = say->n % packet;

	say->talking = false;
	if (say->sent && stream->out.source != OUT_AUDIO)
		return;
	if (rest) {
		memset(say->pcm + say->n, 0, (packet - rest) * sizeof(*say->pcm));
		say->n += packet - rest;
		say_encode(relay, stream, say);
	}
	send_joined(relay, stream, say);
}

void say_tick(struct relay *relay, struct stream *stream, struct say *say)
{
	size_t frame = say->frame.hz / 1000 * AUDIO_FRAME_MS;

	if (!relay_may_send(stream) || (stream->digits.active && !digits_are_tones(stream))) {
		say->talking = false; /* nothing can be sent, or digits take its place */
		return;
	}
	if (!say->spoke) {
		if (say->talking)
			say_finish(relay, stream, say);
		return;
	}
	if (!say->talking || (say->sent && stream->out.source != OUT_AUDIO))
		say_begin(relay, stream, say);
	memcpy(say->pcm + say->n, say->frame.v, frame * sizeof(*say->pcm));
	say->n += frame;
	say_encode(relay, stream, say);
}

void say_tick_end(struct say *say)
{
	say->spoke = false;
}
