/* SPDX-License-Identifier: Apache-2.0 */
#include "media/sound_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sndfile.h>
#include <speex/speex_resampler.h>

/* Where the samples of a sound come from: a file, or a list of tones that we make. */

#define RESAMPLE_QUALITY 8
#define MIN_RATE_HZ      4000
#define MAX_RATE_HZ      192000
#define MAX_CHANNELS     8
#define CHUNKS_PER_S     10  /* read from a file at once */
#define MAX_SEGMENTS     64
#define MAX_TONES        4   /* together */
#define ENDLESS_MS       1000 /* whole periods of any whole number of Hz */
#define TONE_DB          (-13.0) /* dBm0 each, as tones of exchanges are (E.180) */
#define DTMF_DB          (-8.0)
#define FULL_SCALE_DB    3.14 /* dBm0 of the loudest sine */
#define DTMF_MS          100
#define RAMP_MS          2   /* a tone that begins at once clicks */

struct segment {
	uint32_t start, n; /* in samples */
	uint8_t n_tones;
	uint16_t hz[MAX_TONES];
};

struct source {
	uint32_t rate_hz;
	uint32_t frames;
	bool endless;
	uint32_t loop_frame;
	double gain; /* 1.0: as it is */

	/* a list of tones */
	struct segment *segments;
	unsigned n_segments, at_segment;
	double amplitude;
	uint64_t at; /* samples made */

	/* a file */
	SNDFILE *file;
	SF_INFO info;
	SpeexResamplerState *resampler; /* NULL: the rate is the same */
	short *chunk;        /* as read, then mixed down */
	int16_t *ready;      /* at our rate */
	size_t n_chunk, n_ready, ready_at, max_ready;
	sf_count_t left;     /* frames of the file to read */
};

/* ------------------------------------------------------------------ tones */

/* ITU-T Q.23 */
static const struct {
	char digit;
	uint16_t low, high;
} dtmf[] = {
	{ '1', 697, 1209 }, { '2', 697, 1336 }, { '3', 697, 1477 }, { 'A', 697, 1633 },
	{ '4', 770, 1209 }, { '5', 770, 1336 }, { '6', 770, 1477 }, { 'B', 770, 1633 },
	{ '7', 852, 1209 }, { '8', 852, 1336 }, { '9', 852, 1477 }, { 'C', 852, 1633 },
	{ '*', 941, 1209 }, { '0', 941, 1336 }, { '#', 941, 1477 }, { 'D', 941, 1633 },
};

static struct segment *segment_add(struct source *source, uint64_t ms)
{
	struct segment *segment = &source->segments[source->n_segments];
	const struct segment *last = source->n_segments ? segment - 1 : NULL;

	if (source->n_segments == MAX_SEGMENTS || ms > SOUND_MAX_S * 1000ull)
		return NULL;
	source->n_segments++;
	segment->start = last ? last->start + last->n : 0;
	segment->n = (uint32_t)(ms * source->rate_hz / 1000);
	return segment;
}

/* "350+440" before the slash; returns what follows, NULL when it is wrong. */
static const char *read_tones(struct segment *segment, const char *text)
{
	for (;;) {
		char *end;
		unsigned long hz = strtoul(text, &end, 10);

		if (end == text || *text < '0' || *text > '9' || hz >= 4000 ||
		    segment->n_tones == MAX_TONES)
			return NULL;
		if (hz)
			segment->hz[segment->n_tones++] = (uint16_t)hz;
		if (*end != '+')
			return end;
		text = end + 1;
	}
}

/* The tone that never ends begins with a frame, so that it can be repeated from there. */
static void make_endless(struct source *source, struct segment *segment)
{
	uint32_t frame = source->rate_hz / SOUND_FPS;

	segment->start = (segment->start + frame - 1) / frame * frame;
	segment->n = source->rate_hz * ENDLESS_MS / 1000;
	source->loop_frame = segment->start / frame;
	source->endless = true;
}

static int parse_tone(struct source *source, const char *text)
{
	while (*text) {
		struct segment tones = { 0 }, *segment;
		unsigned long ms;
		char *end;

		text = read_tones(&tones, text);
		if (!text || *text++ != '/' || *text < '0' || *text > '9')
			return -EINVAL;
		ms = strtoul(text, &end, 10);
		if ((*end && *end != ',') || (*end && !end[1]) || (!ms && *end))
			return -EINVAL;
		segment = segment_add(source, ms);
		if (!segment)
			return -EINVAL;
		memcpy(segment->hz, tones.hz, sizeof(tones.hz));
		segment->n_tones = tones.n_tones;
		if (!ms)
			make_endless(source, segment);
		text = *end ? end + 1 : end;
	}
	source->amplitude = pow(10, (TONE_DB - FULL_SCALE_DB) / 20);
	return 0;
}

static int parse_dtmf(struct source *source, const char *text)
{
	for (; *text; text++) {
		struct segment *segment = segment_add(source, DTMF_MS);
		size_t i = 0;

		while (i < sizeof(dtmf) / sizeof(dtmf[0]) && dtmf[i].digit != *text)
			i++;
		if (!segment || i == sizeof(dtmf) / sizeof(dtmf[0]) || !segment_add(source, DTMF_MS))
			return -EINVAL;
		segment->n_tones = 2;
		segment->hz[0] = dtmf[i].low;
		segment->hz[1] = dtmf[i].high;
	}
	source->amplitude = pow(10, (DTMF_DB - FULL_SCALE_DB) / 20);
	return 0;
}

static int parse_silence(struct source *source, const char *text)
{
	char *end;
	unsigned long ms = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end)
		return -EINVAL;
	return ms && segment_add(source, ms) ? 0 : -EINVAL;
}

static const struct {
	const char *prefix;
	int (*parse)(struct source *source, const char *text);
} makers[] = {
	{ "tone:", parse_tone },
	{ "silence:", parse_silence },
	{ "dtmf:", parse_dtmf },
};

static int tones_open(struct source *source, const char *name)
{
	const struct segment *last;
	uint32_t frame;
	int err = -EINVAL;

	if (!source->rate_hz)
		source->rate_hz = 8000;
	frame = source->rate_hz / SOUND_FPS;
	source->segments = calloc(MAX_SEGMENTS, sizeof(*source->segments));
	if (!source->segments)
		return -ENOMEM;

	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		size_t len = strlen(makers[i].prefix);

		if (!strncmp(name, makers[i].prefix, len))
			err = makers[i].parse(source, name + len);
	}
	if (err || !source->n_segments)
		return -EINVAL;
	last = &source->segments[source->n_segments - 1];
	if (last->start + last->n > SOUND_MAX_S * source->rate_hz)
		return -EINVAL;
	source->frames = (last->start + last->n + frame - 1) / frame;
	return 0;
}

static double tone_sample(const struct source *source, const struct segment *segment, uint32_t i)
{
	uint32_t ramp = source->rate_hz * RAMP_MS / 1000, to_end = segment->n - i;
	double v = 0, rise = 1;

	for (unsigned k = 0; k < segment->n_tones; k++)
		v += sin(2 * M_PI * segment->hz[k] * i / source->rate_hz);
	if (!source->endless && i < ramp)
		rise = (double)i / ramp;
	if (!source->endless && to_end < ramp)
		rise = (double)to_end / ramp;
	return v * rise * source->amplitude;
}

static void tones_read(struct source *source, int16_t *samples, size_t n)
{
	for (size_t i = 0; i < n; i++, source->at++) {
		const struct segment *segment = &source->segments[source->at_segment];
		double v = 0;

		while (source->at_segment + 1 < source->n_segments && source->at >= segment[1].start) {
			source->at_segment++;
			segment++;
		}
		if (source->at >= segment->start && source->at < (uint64_t)segment->start + segment->n)
			v = tone_sample(source, segment, (uint32_t)source->at - segment->start);
		samples[i] = (int16_t)lrint(fmax(-1, fmin(1, v)) * 32767);
	}
}

/* ------------------------------------------------------------------ files */

const char *sound_path(const char *name)
{
	return strncmp(name, "file:", 5) ? NULL : name + 5;
}

static int file_check(struct source *source)
{
	const SF_INFO *info = &source->info;

	return info->samplerate < MIN_RATE_HZ || info->samplerate > MAX_RATE_HZ ||
			       info->channels < 1 || info->channels > MAX_CHANNELS || info->frames < 1
		       ? -EINVAL
		       : 0;
}

static int file_buffers(struct source *source)
{
	uint32_t from_hz = (uint32_t)source->info.samplerate;
	int err;

	source->n_chunk = from_hz / CHUNKS_PER_S;
	source->max_ready = source->rate_hz / CHUNKS_PER_S + source->rate_hz / SOUND_FPS + 64;
	source->chunk = malloc(source->n_chunk * (size_t)source->info.channels * sizeof(short));
	source->ready = malloc(source->max_ready * sizeof(*source->ready));
	if (!source->chunk || !source->ready)
		return -ENOMEM;
	if (from_hz == source->rate_hz)
		return 0;

	source->resampler =
		speex_resampler_init(1, from_hz, source->rate_hz, RESAMPLE_QUALITY, &err);
	if (!source->resampler)
		return -ENOMEM;
	(void)speex_resampler_skip_zeros(source->resampler);
	return 0;
}

static int file_open(struct source *source, const char *path)
{
	sf_count_t most;
	struct stat st;
	int fd, err;

	if (*path != '/')
		return -EINVAL;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a FIFO may not stop us */
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	source->file = sf_open_fd(fd, SFM_READ, &source->info, SF_TRUE);
	if (!source->file)
		return -EINVAL;
	err = file_check(source);
	if (err)
		return err;

	most = (sf_count_t)SOUND_MAX_S * source->info.samplerate;
	source->left = source->info.frames < most ? source->info.frames : most;
	source->frames = (uint32_t)((source->left * SOUND_FPS + source->info.samplerate - 1) /
				    source->info.samplerate);
	return source->rate_hz ? file_buffers(source) : 0;
}

static short mix_down(const short *frame, int channels)
{
	int sum = 0;

	for (int i = 0; i < channels; i++)
		sum += frame[i];
	return (short)(sum / channels);
}

/* Reads on into ready[], which is empty; silence follows the end of the file. */
static void file_fill(struct source *source)
{
	sf_count_t want = (sf_count_t)source->n_chunk, got;
	int channels = source->info.channels;
	spx_uint32_t in = (spx_uint32_t)want, out = (spx_uint32_t)source->max_ready;

	got = sf_readf_short(source->file, source->chunk, want < source->left ? want : source->left);
	got = got < 0 ? 0 : got;
	source->left = got ? source->left - got : 0;
	for (sf_count_t i = 0; i < got; i++)
		source->chunk[i] = mix_down(source->chunk + i * channels, channels);
	for (sf_count_t i = got; i < want; i++)
		source->chunk[i] = 0;

	if (source->resampler)
		(void)speex_resampler_process_int(source->resampler, 0, source->chunk, &in, source->ready,
						  &out);
	else
		memcpy(source->ready, source->chunk, source->n_chunk * sizeof(short));
	source->n_ready = source->resampler ? out : source->n_chunk;
	source->ready_at = 0;
}

static void file_read(struct source *source, int16_t *samples, size_t n)
{
	while (n) {
		size_t have = source->n_ready - source->ready_at, take = have < n ? have : n;

		memcpy(samples, source->ready + source->ready_at, take * sizeof(*samples));
		source->ready_at += take;
		samples += take;
		n -= take;
		if (n)
			file_fill(source);
	}
}

/* ------------------------------------------------------------------ both */

int source_open(struct source **ret, const char *name, uint32_t rate_hz)
{
	struct source *source = calloc(1, sizeof(*source));
	const char *path = sound_path(name);
	int err;

	if (!source)
		return -ENOMEM;
	source->rate_hz = rate_hz;
	source->gain = 1;
	err = path ? file_open(source, path) : tones_open(source, name);
	if (err) {
		source_close(source);
		return err;
	}
	*ret = source;
	return 0;
}

void source_close(struct source *source)
{
	if (!source)
		return;
	if (source->file)
		sf_close(source->file);
	if (source->resampler)
		speex_resampler_destroy(source->resampler);
	free(source->segments);
	free(source->chunk);
	free(source->ready);
	free(source);
}

uint32_t source_frames(const struct source *source)
{
	return source->frames;
}

bool source_is_endless(const struct source *source, uint32_t *from_frame)
{
	*from_frame = source->loop_frame;
	return source->endless;
}

void source_set_gain(struct source *source, int gain_db)
{
	source->gain = pow(10, gain_db / 20.0);
}

void source_read(struct source *source, int16_t *samples, size_t n)
{
	if (source->file)
		file_read(source, samples, n);
	else
		tones_read(source, samples, n);
	if (source->gain == 1)
		return;
	for (size_t i = 0; i < n; i++)
		samples[i] = (int16_t)lrint(fmax(-32768, fmin(32767, samples[i] * source->gain)));
}
