/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/convert.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <mpg123.h>
#include <sndfile.h>
#include <speex/speex_resampler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_FRAMES  4096
#define MAX_CHANNELS  32
#define MIN_RATE      1000
#define MAX_RATE      400000
#define QUALITY       8 /* of speexdsp, 0..10; 10 takes twice as long for what no telephone carries */
#define FULL_SCALE    32767.0f
#define WAV_HEAD      44

/* Where sound comes from. libsndfile reads MP3 too, but ends where it guesses the end of a file with
 * a variable bit rate and no table: so libmpg123 itself does that. */
struct source {
	SNDFILE *snd;
	mpg123_handle *mpg;
	int rate, channels;
	int64_t frames; /* as the head promises; 0: not known */
	bool broken;
	char name[48];
};

/* What one pass carries along. */
struct pass {
	struct source *from;
	SpeexResamplerState *resampler; /* NULL: the rate stays */
	int out_fd;
	int to_rate;
	float gain;
	float peak;     /* of what came out, before the gain */
	uint64_t frames; /* written */
	float *block, *mono, *changed;
	int16_t *pcm;
	size_t changed_size;
	const char *reason;
};

/* ------------------------------------------------------------------ sources */

static void name_of(char *buf, size_t size, int format)
{
	SF_FORMAT_INFO major = { .format = format & SF_FORMAT_TYPEMASK };
	SF_FORMAT_INFO sub = { .format = format & SF_FORMAT_SUBMASK };

	if (sf_command(NULL, SFC_GET_FORMAT_INFO, &major, sizeof(major)))
		major.name = "?";
	if (sf_command(NULL, SFC_GET_FORMAT_INFO, &sub, sizeof(sub)))
		sub.name = "?";
	(void)snprintf(buf, size, "%.*s, %.18s", (int)strcspn(major.name, " ("), major.name, sub.name);
}

static bool open_snd(struct source *s, int fd)
{
	SF_INFO info = { 0 };

	s->snd = sf_open_fd(fd, SFM_READ, &info, 0);
	if (!s->snd)
		return false;
	if ((info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_MPEG) {
		(void)sf_close(s->snd);
		s->snd = NULL;
		return false;
	}
	(void)sf_command(s->snd, SFC_SET_NORM_FLOAT, NULL, SF_TRUE);
	s->rate = info.samplerate;
	s->channels = info.channels;
	s->frames = info.frames;
	name_of(s->name, sizeof(s->name), info.format);
	return true;
}

static bool open_mpg(struct source *s, int fd)
{
	struct mpg123_frameinfo info;
	long rate = 0;
	int encoding = 0;

	s->mpg = mpg123_new(NULL, NULL);
	if (!s->mpg || lseek(fd, 0, SEEK_SET) ||
	    mpg123_param(s->mpg, MPG123_ADD_FLAGS, MPG123_QUIET | MPG123_FORCE_FLOAT, 0) ||
	    mpg123_open_fd(s->mpg, fd) ||
	    mpg123_getformat(s->mpg, &rate, &s->channels, &encoding) ||
	    encoding != MPG123_ENC_FLOAT_32 || mpg123_info(s->mpg, &info))
		return false;
	s->rate = (int)rate;
	(void)snprintf(s->name, sizeof(s->name), "MPEG layer %d", info.layer);
	return true;
}

static void source_close(struct source *s)
{
	if (s->snd)
		(void)sf_close(s->snd);
	if (s->mpg)
		mpg123_delete(s->mpg);
}

static bool source_rewind(struct source *s)
{
	return s->snd ? sf_seek(s->snd, 0, SEEK_SET) == 0 : mpg123_seek(s->mpg, 0, SEEK_SET) == 0;
}

/* Frames read into block, 0 at the end. */
static size_t source_read(struct source *s, float *block)
{
	size_t bytes = 0, frame = sizeof(*block) * (size_t)s->channels;
	sf_count_t n;
	int err;

	if (s->snd) {
		n = sf_readf_float(s->snd, block, BLOCK_FRAMES);
		s->broken = sf_error(s->snd) != SF_ERR_NO_ERROR;
		return n > 0 ? (size_t)n : 0;
	}
	do
		err = mpg123_read(s->mpg, (unsigned char *)block, BLOCK_FRAMES * frame, &bytes);
	while (err == MPG123_NEW_FORMAT && !bytes);
	s->broken = err != MPG123_OK && err != MPG123_DONE;
	return bytes / frame;
}

/* ------------------------------------------------------------------ the stored form */

static int store_rate(int rate)
{
	return rate > 16000 ? 48000 : rate > 8000 ? 16000 : 8000;
}

static void put_le(uint8_t *at, uint32_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void wav_head(uint8_t head[WAV_HEAD], int rate, uint64_t frames)
{
	uint32_t bytes = (uint32_t)(frames * 2);

	memcpy(head, "RIFF....WAVEfmt ", 16);
	put_le(head + 4, bytes + WAV_HEAD - 8, 4);
	put_le(head + 16, 16, 4);
	put_le(head + 20, 1, 2); /* PCM */
	put_le(head + 22, 1, 2);
	put_le(head + 24, (uint32_t)rate, 4);
	put_le(head + 28, (uint32_t)rate * 2, 4);
	put_le(head + 32, 2, 2);
	put_le(head + 34, 16, 2);
	memcpy(head + 36, "data", 4);
	put_le(head + 40, bytes, 4);
}

static const char *write_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return errno == ENOSPC || errno == EDQUOT ? "disk_full" :
			       errno == EFBIG			  ? "too_long" :
								    "converter";
		at += n;
		len -= (size_t)n;
	}
	return NULL;
}

static void put_samples(struct pass *p, const float *samples, size_t n)
{
	for (size_t i = 0; i < n && !p->reason; i += BLOCK_FRAMES) {
		size_t part = n - i < BLOCK_FRAMES ? n - i : BLOCK_FRAMES;

		for (size_t k = 0; k < part; k++) {
			float x = samples[i + k], level = fabsf(x);

			if (level > p->peak)
				p->peak = level;
			x = x * p->gain * FULL_SCALE;
			x = x > FULL_SCALE ? FULL_SCALE : x < -FULL_SCALE ? -FULL_SCALE : x;
			put_le((uint8_t *)&p->pcm[k], (uint32_t)(int32_t)lrintf(x), 2);
		}
		p->reason = write_all(p->out_fd, p->pcm, part * 2);
		p->frames += part;
	}
	if (!p->reason && p->frames > (uint64_t)AUDIO_MAX_S * (uint64_t)p->to_rate)
		p->reason = "too_long";
}

static void put_block(struct pass *p, const float *mono, size_t n)
{
	size_t at = 0;

	if (!p->resampler) {
		put_samples(p, mono, n);
		return;
	}
	while (at < n && !p->reason) {
		spx_uint32_t in_len = (spx_uint32_t)(n - at), out_len = (spx_uint32_t)p->changed_size;

		if (speex_resampler_process_float(p->resampler, 0, mono + at, &in_len, p->changed,
						  &out_len)) {
			p->reason = "converter";
			return;
		}
		put_samples(p, p->changed, out_len);
		at += in_len;
		if (!in_len && !out_len) {
			p->reason = "converter";
			return;
		}
	}
}

/* What is not a number, or beyond any sound, is silence: broken float files have such. */
static float sane(float x)
{
	return isfinite(x) && fabsf(x) < 1e6f ? x : 0.0f;
}

static void mix_down(struct pass *p, size_t frames)
{
	size_t channels = (size_t)p->from->channels;

	for (size_t i = 0; i < frames; i++) {
		float sum = 0;

		for (size_t c = 0; c < channels; c++)
			sum += sane(p->block[i * channels + c]);
		p->mono[i] = sum / (float)channels;
	}
}

/* The resampler keeps the end of the sound back: silence pushes it out. */
static void flush(struct pass *p, uint64_t wanted)
{
	memset(p->mono, 0, BLOCK_FRAMES * sizeof(*p->mono));
	while (p->resampler && !p->reason && p->frames < wanted)
		put_block(p, p->mono, BLOCK_FRAMES);
}

static void run_pass(struct pass *p)
{
	uint8_t head[WAV_HEAD] = { 0 };
	uint64_t read = 0, wanted;
	size_t n;

	p->frames = 0;
	p->peak = 0;
	if (lseek(p->out_fd, 0, SEEK_SET) || ftruncate(p->out_fd, 0)) {
		p->reason = "converter";
		return;
	}
	p->reason = write_all(p->out_fd, head, sizeof(head));
	while (!p->reason && (n = source_read(p->from, p->block)) > 0) {
		mix_down(p, n);
		put_block(p, p->mono, n);
		read += n;
	}
	if (p->reason)
		return;
	/* Also a length that the head promises and the rest does not keep. */
	if (p->from->broken || read + read / 10 < (uint64_t)p->from->frames) {
		p->reason = "damaged";
		return;
	}
	wanted = (read * (uint64_t)p->to_rate + (uint64_t)p->from->rate / 2) /
		 (uint64_t)p->from->rate;
	flush(p, wanted);
	/* Silence that the last block carried beyond the end goes. */
	if (!p->reason && p->frames > wanted) {
		p->frames = wanted;
		if (ftruncate(p->out_fd, (off_t)(WAV_HEAD + wanted * 2)))
			p->reason = "converter";
	}
	if (!p->reason && !p->frames)
		p->reason = "empty";
	if (p->reason)
		return;
	wav_head(head, p->to_rate, p->frames);
	if (lseek(p->out_fd, 0, SEEK_SET))
		p->reason = "converter";
	else
		p->reason = write_all(p->out_fd, head, sizeof(head));
}

static const char *prepare(struct pass *p)
{
	int err = 0;

	p->to_rate = store_rate(p->from->rate);
	p->changed_size = (size_t)BLOCK_FRAMES * 8;
	if (p->from->rate != p->to_rate) {
		p->resampler = speex_resampler_init(1, (spx_uint32_t)p->from->rate,
						    (spx_uint32_t)p->to_rate, QUALITY, &err);
		if (!p->resampler)
			return "converter";
		(void)speex_resampler_skip_zeros(p->resampler);
	}
	p->block = calloc((size_t)BLOCK_FRAMES * (size_t)p->from->channels, sizeof(*p->block));
	p->mono = calloc(BLOCK_FRAMES, sizeof(*p->mono));
	p->changed = calloc(p->changed_size, sizeof(*p->changed));
	p->pcm = calloc(BLOCK_FRAMES, sizeof(*p->pcm));
	return p->block && p->mono && p->changed && p->pcm ? NULL : "converter";
}

static void describe(struct audio_info *info, const struct pass *p)
{
	(void)snprintf(info->source_format, sizeof(info->source_format), "%.40s, %d Hz, %d ch",
		       p->from->name, p->from->rate, p->from->channels);
	info->rate_hz = p->to_rate;
	info->duration_ms = (int64_t)(p->frames * 1000 / (uint64_t)p->to_rate);
}

const char *audio_convert(int in_fd, int out_fd, struct audio_info *ret)
{
	struct source from = { 0 };
	struct pass p = { .from = &from, .out_fd = out_fd, .gain = 1 };

	if (!open_snd(&from, in_fd) && !open_mpg(&from, in_fd))
		p.reason = "unreadable";
	else if (from.channels < 1 || from.channels > MAX_CHANNELS || from.rate < MIN_RATE ||
		 from.rate > MAX_RATE)
		p.reason = "unreadable";
	if (!p.reason)
		p.reason = prepare(&p);
	if (!p.reason)
		run_pass(&p);
	/* A second pass, quieter, when something would have been cut off. */
	if (!p.reason && p.peak > 1.0f) {
		p.gain = 1.0f / p.peak;
		if (p.resampler && (speex_resampler_reset_mem(p.resampler) ||
				    speex_resampler_skip_zeros(p.resampler)))
			p.reason = "converter";
		else if (!source_rewind(&from))
			p.reason = "damaged";
		else
			run_pass(&p);
	}
	if (!p.reason)
		describe(ret, &p);
	source_close(&from);
	if (p.resampler)
		speex_resampler_destroy(p.resampler);
	free(p.block);
	free(p.mono);
	free(p.changed);
	free(p.pcm);
	return p.reason;
}
