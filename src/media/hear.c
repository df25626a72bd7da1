/* SPDX-License-Identifier: Apache-2.0 */
#include "media/hear.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "media/audio.h"
#include "media/codec.h"
#include "media/formats.h"
#include "media/jitter.h"
#include "media/mend.h"
#include "media/stream.h"

#define HELD_MS    160 /* longest packet, a frame, and one stretched step */
#define ROUNDS     16  /* packets taken in one tick at most */
#define QUIET_PEAK 150 /* such sound may be cut or stretched at any time */
#define OVER_QUIET_MS 25 /* too long a delay is shortened: in silence */
#define OVER_LOUD_MS  50 /* ... and in the middle of a word */
#define UNDER_MS      5  /* too short a one is made longer */
#define LOUD_TICKS    5  /* between two steps that might be heard */

#define ALIVE_US  1000000  /* after the last packet the receiver gets silence, then nothing */
#define PAUSED_US 60000000 /* ... when the sender had said that it would be silent */

#define PT_COMFORT_NOISE 13 /* RFC 3389 */

struct hear {
	struct jitter *jitter;
	struct codec_dec *decs[MP_MAX_FORMATS]; /* made when their first packet comes */
	struct codec_dec *dec;                  /* of the last packet */
	uint32_t hz;                            /* rate that is wanted of them */
	int16_t *pcm;                           /* decoded, not played yet */
	size_t n, room;
	uint8_t loud_wait;
	bool started, paused;
	uint64_t last_at_us;
	struct audio_frame frame;
};

/* ------------------------------------------------------------------ life */

static void hear_forget(struct hear *hear)
{
	for (int i = 0; i < MP_MAX_FORMATS; i++) {
		codec_dec_free(hear->decs[i]);
		hear->decs[i] = NULL;
	}
	hear->dec = NULL;
	hear->n = 0;
}

void hear_free(struct hear *hear)
{
	if (!hear)
		return;
	hear_forget(hear);
	jitter_free(hear->jitter);
	free(hear->pcm);
	free(hear);
}

/* Room for a longer time at a higher rate. */
static bool hear_room(struct hear *hear, uint32_t hz)
{
	size_t room = hz / 1000 * HELD_MS;
	int16_t *pcm;

	if (room <= hear->room)
		return true;
	pcm = realloc(hear->pcm, room * sizeof(*pcm));
	if (!pcm)
		return false;
	hear->pcm = pcm;
	hear->room = room;
	return true;
}

/* The decoder of a format; NULL: out of memory. */
static struct codec_dec *hear_dec(struct hear *hear, const struct stream *stream,
				  const struct mp_format *format)
{
	struct codec_dec **dec = &hear->decs[format - stream->formats];
	const struct codec *codec = format_codec(format);

	if (!*dec && (!hear_room(hear, codec_hz(codec, hear->hz)) ||
		      codec_dec_alloc(dec, codec, codec_hz(codec, hear->hz))))
		return NULL;
	return *dec;
}

int hear_alloc(struct hear **ret, const struct stream *stream, uint32_t hz)
{
	const struct mp_format *format = format_out(stream);
	struct hear *hear = calloc(1, sizeof(*hear));
	int err;

	if (!hear)
		return -ENOMEM;
	hear->hz = hz;
	hear->frame.hz = 8000;
	hear->frame.silent = true;
	err = jitter_alloc(&hear->jitter, format ? format->clock_hz : 8000);
	/* Most phones send what they prefer; other decoders are made when their packets come. */
	if (!err && format && !hear_dec(hear, stream, format))
		err = -ENOMEM;
	if (err) {
		hear_free(hear);
		return err;
	}
	*ret = hear;
	return 0;
}

void hear_renew(struct hear *hear, uint32_t hz)
{
	hear_forget(hear);
	hear->hz = hz;
}

void hear_set_hz(struct hear *hear, uint32_t hz)
{
	if (hear->hz != hz)
		hear_renew(hear, hz);
}

/* ------------------------------------------------------------------ packets */

void hear_prefetch(const struct hear *hear)
{
	jitter_prefetch(hear->jitter);
	if (hear->dec)
		codec_dec_prefetch(hear->dec);
	__builtin_prefetch(hear->frame.v);
	__builtin_prefetch(hear->pcm);
}

void hear_take(struct hear *hear, const struct stream *stream, const struct hdr_rtp *hdr,
	       const uint8_t *payload, uint64_t now_us)
{
	const struct mp_format *format;
	const struct codec *codec;
	uint32_t span;

	if (hdr->pt == PT_COMFORT_NOISE) {
		hear->paused = true;
		hear->last_at_us = now_us;
		return;
	}
	format = format_in(stream, hdr->pt);
	codec = format ? format_codec(format) : NULL;
	span = codec ? codec_span(codec, payload, hdr->payload_len) : 0;
	if (!span)
		return; /* digits, or nothing that we know */

	if (codec->clock_hz != jitter_clock_hz(hear->jitter))
		jitter_restart(hear->jitter, codec->clock_hz);
	hear->paused = codec_is_pause(codec, payload, hdr->payload_len);
	hear->last_at_us = now_us;
	jitter_put(hear->jitter, hdr, payload, span, hear->paused && codec->id == MEDIA_G729,
		   now_us);
	if (codec_repeats(codec, payload, hdr->payload_len))
		jitter_expect_repeats(hear->jitter, span, now_us);
}

/* ------------------------------------------------------------------ frames */

/* Samples that so many units of the clock are, at the rate of the decoder. */
static size_t samples_of(const struct hear *hear, uint32_t units)
{
	return (size_t)((uint64_t)units * hear->frame.hz / jitter_clock_hz(hear->jitter));
}

static uint32_t ms_of(const struct hear *hear, uint32_t units)
{
	return (uint32_t)((uint64_t)units * 1000 / jitter_clock_hz(hear->jitter));
}

static void invent(struct hear *hear, size_t n)
{
	n = n < hear->room - hear->n ? n : hear->room - hear->n;
	if (hear->dec)
		codec_conceal(hear->dec, hear->pcm + hear->n, n);
	else
		memset(hear->pcm + hear->n, 0, n * sizeof(*hear->pcm));
	hear->n += n;
}

/* The decoder of a packet's format becomes the present one. */
static bool use_dec(struct hear *hear, const struct stream *stream, uint8_t pt)
{
	const struct mp_format *format = format_in(stream, pt);
	struct codec_dec *dec = format && format_codec(format) ? hear_dec(hear, stream, format) : NULL;

	if (!dec)
		return false; /* the formats have changed since it came */
	if (codec_dec_hz(dec) != hear->frame.hz) {
		hear->frame.hz = codec_dec_hz(dec);
		hear->n = 0; /* sound of another rate cannot be joined to it */
	}
	hear->dec = dec;
	return true;
}

static void take_played(struct hear *hear, struct stream *stream, const struct jitter_next *next)
{
	int n;

	stream->concealed_ms += ms_of(hear, next->bridged);
	if (!use_dec(hear, stream, next->pt))
		return;
	n = codec_decode(hear->dec, hear->pcm + hear->n, hear->room - hear->n, next->data, next->len);
	if (n >= 0) {
		hear->n += (size_t)n;
		return;
	}
	invent(hear, samples_of(hear, next->span));
	stream->concealed_ms += ms_of(hear, next->span);
	hear->frame.concealed = true;
}

static void take_lost(struct hear *hear, struct stream *stream, const struct jitter_next *next)
{
	size_t n = samples_of(hear, next->span);

	if (next->adjacent && use_dec(hear, stream, next->pt) && n <= hear->room - hear->n &&
	    codec_decode_before(hear->dec, hear->pcm + hear->n, n, next->data, next->len)) {
		hear->n += n;
		return;
	}
	invent(hear, n);
	stream->concealed_ms += ms_of(hear, next->span);
	hear->frame.concealed = true;
}

/* Takes packets until a frame is there, or nothing comes. */
static void hear_fill(struct hear *hear, struct stream *stream, uint64_t now_us)
{
	uint32_t tick = jitter_clock_hz(hear->jitter) / 1000 * AUDIO_FRAME_MS;
	struct jitter_next next;

	for (int i = 0; i < ROUNDS && hear->n < hear->frame.hz / 1000 * AUDIO_FRAME_MS; i++) {
		jitter_next(hear->jitter, &next, tick, now_us);
		switch (next.verdict) {
		case JITTER_PLAY:
			hear->started = true;
			take_played(hear, stream, &next);
			break;
		case JITTER_LOST:
			take_lost(hear, stream, &next);
			break;
		case JITTER_DRY:
			invent(hear, samples_of(hear, tick));
			hear->frame.concealed = true;
			break;
		case JITTER_PAUSE:
			return;
		}
	}
}

static bool is_quiet(const int16_t *pcm, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pcm[i] > QUIET_PEAK || pcm[i] < -QUIET_PEAK)
			return false;
	return true;
}

/* Brings the delay nearer to what it should be, by a step that is hardly heard. */
static void hear_adapt(struct hear *hear, struct stream *stream, uint64_t now_us)
{
	uint32_t hz = hear->frame.hz, ticks = (uint32_t)(hear->n * 1000 / hz / AUDIO_FRAME_MS);
	int32_t over_ms = jitter_over_ms(hear->jitter, ticks * AUDIO_FRAME_MS, now_us);
	size_t most = hz / 1000 * 2 * AUDIO_FRAME_MS, n;
	bool quiet;

	if (hear->loud_wait)
		hear->loud_wait--;
	if (over_ms <= OVER_QUIET_MS && over_ms >= -UNDER_MS)
		return;

	n = hear->n < most ? hear->n : most;
	quiet = is_quiet(hear->pcm, n);
	if (!quiet && (hear->loud_wait || (over_ms > 0 && over_ms <= OVER_LOUD_MS)))
		return;
	hear->loud_wait = quiet ? 0 : LOUD_TICKS;

	if (over_ms > 0) {
		size_t left = mend_shorten(hear->pcm, n, hz);

		memmove(hear->pcm + left, hear->pcm + n, (hear->n - n) * sizeof(*hear->pcm));
		hear->n -= n - left;
		hear_fill(hear, stream, now_us);
	} else if (hear->n == n && hear->n + hz / 1000 * MEND_STEP_MS <= hear->room) {
		hear->n = mend_lengthen(hear->pcm, n, hz);
	}
}

bool hear_is_alive(const struct hear *hear, uint64_t now_us)
{
	return hear->started && now_us - hear->last_at_us < (hear->paused ? PAUSED_US : ALIVE_US);
}

/* What is between talkspurts: the decoder's comfort noise when it has one, else silence. */
static void fill_pause(struct hear *hear, size_t frame, uint64_t now_us)
{
	if (hear->dec && hear_is_alive(hear, now_us) && codec_has_noise(hear->dec)) {
		invent(hear, frame - hear->n);
		return;
	}
	hear->frame.silent = !hear->n;
	memset(hear->pcm + hear->n, 0, (frame - hear->n) * sizeof(*hear->pcm));
	hear->n = frame;
}

void hear_tick(struct hear *hear, struct stream *stream, uint64_t now_us)
{
	size_t frame;

	hear->frame.concealed = false;
	hear->frame.silent = false;
	hear_fill(hear, stream, now_us);
	frame = hear->frame.hz / 1000 * AUDIO_FRAME_MS;
	if (hear->n >= frame)
		hear_adapt(hear, stream, now_us);
	frame = hear->frame.hz / 1000 * AUDIO_FRAME_MS; /* another format may have come */
	if (!hear_room(hear, hear->frame.hz)) {
		hear->frame.silent = true;
		memset(hear->frame.v, 0, sizeof(hear->frame.v));
		return;
	}
	if (hear->n < frame)
		fill_pause(hear, frame, now_us);

	memcpy(hear->frame.v, hear->pcm, frame * sizeof(*hear->pcm));
	hear->n -= frame;
	memmove(hear->pcm, hear->pcm + frame, hear->n * sizeof(*hear->pcm));
	stream->delay_ms = jitter_delay_ms(hear->jitter, (uint32_t)(hear->n * 1000 / hear->frame.hz),
					   now_us);
}

const struct audio_frame *hear_frame(const struct hear *hear)
{
	return &hear->frame;
}
