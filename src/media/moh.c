/* SPDX-License-Identifier: Apache-2.0 */
#include "media/moh.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <gsm.h>
#include <opus.h>
#include <sndfile.h>
#include <speex/speex_resampler.h>
#include <spandsp/telephony.h>
#include <spandsp/bit_operations.h>
#include <spandsp/g722.h>
#include <spandsp/g711.h>

#define RESAMPLE_QUALITY 8
#define OPUS_BIT_RATE    32000
#define OPUS_MAX_FRAME   1276
#define FRAMES_PER_S     (1000 / MOH_FRAME_MS)
#define MIN_RATE_HZ      4000
#define MAX_RATE_HZ      192000

/* Grows while a track is encoded. */
struct track {
	struct moh_track pub;
	uint8_t *data;
	uint32_t *offsets;
};

struct encoding;

/* Sound to encode, in frames of 20 ms at one rate. */
struct sound {
	int16_t *samples;
	size_t n; /* a multiple of the frame */
	uint32_t rate_hz;
};

/* One row per codec: encode_frame writes one frame and returns its bytes, 0 on failure. */
struct encoding {
	enum media_codec codec;
	uint32_t clock_hz, rate_hz;
	uint32_t max_frame;
	bool varies;
	void *(*open)(void);
	size_t (*encode_frame)(void *state, uint8_t *out, const int16_t *in, size_t n);
	void (*close)(void *state);
};

/* ------------------------------------------------------------------ codecs */

static void *no_state(void)
{
	static char none;

	return &none;
}

static void no_close(void *state)
{
}

static size_t pcma_frame(void *state, uint8_t *out, const int16_t *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = linear_to_alaw(in[i]);
	return n;
}

static size_t pcmu_frame(void *state, uint8_t *out, const int16_t *in, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = linear_to_ulaw(in[i]);
	return n;
}

static size_t l16_frame(void *state, uint8_t *out, const int16_t *in, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = (uint8_t)((uint16_t)in[i] >> 8);
		out[2 * i + 1] = (uint8_t)in[i];
	}
	return 2 * n;
}

static void *g722_open(void)
{
	return g722_encode_init(NULL, 64000, 0);
}

static size_t g722_frame(void *state, uint8_t *out, const int16_t *in, size_t n)
{
	int bytes = g722_encode(state, out, in, (int)n);

	return bytes > 0 ? (size_t)bytes : 0;
}

static void g722_close(void *state)
{
	(void)g722_encode_free(state);
}

static void *gsm_open(void)
{
	return gsm_create();
}

static size_t gsm_frame_encode(void *state, uint8_t *out, const int16_t *in, size_t n)
{
	gsm_encode(state, (gsm_signal *)(uintptr_t)in, out);
	return 33;
}

static void gsm_close(void *state)
{
	gsm_destroy(state);
}

static void *opus_open(void)
{
	int err;
	OpusEncoder *encoder = opus_encoder_create(48000, 1, OPUS_APPLICATION_AUDIO, &err);

	if (err != OPUS_OK)
		return NULL;
	(void)opus_encoder_ctl(encoder, OPUS_SET_BITRATE(OPUS_BIT_RATE));
	return encoder;
}

static size_t opus_frame(void *state, uint8_t *out, const int16_t *in, size_t n)
{
	int bytes = opus_encode(state, in, (int)n, out, OPUS_MAX_FRAME);

	return bytes > 0 ? (size_t)bytes : 0;
}

static void opus_close(void *state)
{
	opus_encoder_destroy(state);
}

static const struct encoding encodings[] = {
	{ MEDIA_PCMA, 8000, 8000, 160, false, no_state, pcma_frame, no_close },
	{ MEDIA_PCMU, 8000, 8000, 160, false, no_state, pcmu_frame, no_close },
	/* Its RTP clock is 8000 though it samples at 16000: RFC 3551 section 4.5.2. */
	{ MEDIA_G722, 8000, 16000, 160, false, g722_open, g722_frame, g722_close },
	{ MEDIA_GSM, 8000, 8000, 33, false, gsm_open, gsm_frame_encode, gsm_close },
	{ MEDIA_OPUS, 48000, 48000, OPUS_MAX_FRAME, true, opus_open, opus_frame, opus_close },
	{ MEDIA_L16, 8000, 8000, 320, false, no_state, l16_frame, no_close },
	{ MEDIA_L16, 16000, 16000, 640, false, no_state, l16_frame, no_close },
};
#define N_ENCODINGS (sizeof(encodings) / sizeof(encodings[0]))

struct moh {
	struct track tracks[N_ENCODINGS];
};

/* ------------------------------------------------------------------ encoding */

static int track_encode(struct track *track, const struct encoding *enc, const struct sound *sound)
{
	size_t frame = sound->rate_hz / FRAMES_PER_S, n = sound->n / frame, at = 0;
	void *state = NULL;
	int err = -ENOMEM;

	track->pub = (struct moh_track){ .codec = enc->codec,
					 .clock_hz = enc->clock_hz,
					 .frame_ts = enc->clock_hz / FRAMES_PER_S,
					 .frame_bytes = enc->varies ? 0 : enc->max_frame };
	track->data = malloc(n * enc->max_frame);
	track->offsets = malloc((n + 1) * sizeof(*track->offsets));
	state = enc->open();
	if (!track->data || !track->offsets || !state)
		goto out;

	for (size_t i = 0; i < n; i++) {
		size_t len = enc->encode_frame(state, track->data + at, sound->samples + i * frame,
					       frame);

		if (!len || len > enc->max_frame) {
			err = -EINVAL;
			goto out;
		}
		track->offsets[i] = (uint32_t)at;
		at += len;
	}
	track->offsets[n] = (uint32_t)at;
	track->pub.n_frames = (uint32_t)n;
	track->pub.data = track->data;
	track->pub.offsets = track->offsets;
	err = 0;

out:
	if (state)
		enc->close(state);
	return err;
}

/* ------------------------------------------------------------------ reading */

static int16_t mix_down(const short *frame, int channels)
{
	int sum = 0;

	for (int i = 0; i < channels; i++)
		sum += frame[i];
	return (int16_t)(sum / channels);
}

static int file_read(struct sound *ret, const char *path)
{
	SF_INFO info = { 0 };
	SNDFILE *file = sf_open(path, SFM_READ, &info);
	short *all = NULL;
	sf_count_t n;
	int err = -ENOMEM;

	if (!file)
		return access(path, F_OK) ? -ENOENT : -EINVAL;
	if (info.samplerate < MIN_RATE_HZ || info.samplerate > MAX_RATE_HZ || info.channels < 1 ||
	    info.channels > 8 || info.frames < info.samplerate / FRAMES_PER_S) {
		err = -EINVAL;
		goto out;
	}

	n = (sf_count_t)MOH_MAX_S * info.samplerate;
	n = info.frames < n ? info.frames : n;
	all = malloc((size_t)n * (size_t)info.channels * sizeof(*all));
	if (!all)
		goto out;
	n = sf_readf_short(file, all, n);
	if (n <= 0) {
		err = -EINVAL;
		goto out;
	}

	for (sf_count_t i = 0; i < n; i++)
		all[i] = mix_down(all + i * info.channels, info.channels);
	*ret = (struct sound){ .samples = all, .n = (size_t)n, .rate_hz = (uint32_t)info.samplerate };
	all = NULL;
	err = 0;

out:
	free(all);
	sf_close(file);
	return err;
}

/* The same sound at another rate, cut to whole frames. */
static int resample(struct sound *ret, const struct sound *from, uint32_t rate_hz)
{
	size_t frame = rate_hz / FRAMES_PER_S;
	size_t n = (size_t)((uint64_t)from->n * rate_hz / from->rate_hz) / frame * frame;
	spx_uint32_t in = (spx_uint32_t)from->n, out = (spx_uint32_t)n;
	SpeexResamplerState *state;
	int err;

	if (!n)
		return -EINVAL;
	ret->samples = calloc(n, sizeof(*ret->samples));
	if (!ret->samples)
		return -ENOMEM;
	ret->n = n;
	ret->rate_hz = rate_hz;
	if (rate_hz == from->rate_hz) {
		memcpy(ret->samples, from->samples, n * sizeof(*ret->samples));
		return 0;
	}

	state = speex_resampler_init(1, from->rate_hz, rate_hz, RESAMPLE_QUALITY, &err);
	if (!state)
		return -ENOMEM;
	(void)speex_resampler_skip_zeros(state);
	err = speex_resampler_process_int(state, 0, from->samples, &in, ret->samples, &out);
	speex_resampler_destroy(state);
	return err == RESAMPLER_ERR_SUCCESS ? 0 : -EINVAL;
}

int moh_load(struct moh **ret, const char *path)
{
	struct moh *moh = calloc(1, sizeof(*moh));
	struct sound file = { 0 }, sound = { 0 };
	int err;

	if (!moh)
		return -ENOMEM;

	err = file_read(&file, path);
	for (size_t i = 0; i < N_ENCODINGS && !err; i++) {
		if (sound.rate_hz != encodings[i].rate_hz) {
			free(sound.samples);
			sound = (struct sound){ 0 };
			err = resample(&sound, &file, encodings[i].rate_hz);
		}
		if (!err)
			err = track_encode(&moh->tracks[i], &encodings[i], &sound);
	}
	free(sound.samples);
	free(file.samples);
	if (err) {
		moh_free(moh);
		return err;
	}
	*ret = moh;
	return 0;
}

void moh_free(struct moh *moh)
{
	if (!moh)
		return;
	for (size_t i = 0; i < N_ENCODINGS; i++) {
		free(moh->tracks[i].data);
		free(moh->tracks[i].offsets);
	}
	free(moh);
}

/* ------------------------------------------------------------------ playing */

const struct moh_track *moh_track(const struct moh *moh, enum media_codec codec, uint32_t clock_hz)
{
	if (!moh)
		return NULL;
	for (size_t i = 0; i < N_ENCODINGS; i++)
		if (moh->tracks[i].pub.codec == codec && moh->tracks[i].pub.clock_hz == clock_hz)
			return &moh->tracks[i].pub;
	return NULL;
}

size_t moh_payload(const struct moh_track *track, uint32_t frame, uint32_t *n,
		   const uint8_t **payload)
{
	uint32_t count = track->frame_bytes && *n ? *n : 1;

	if (count > track->n_frames - frame)
		count = track->n_frames - frame;
	*n = count;
	*payload = track->data + track->offsets[frame];
	return track->offsets[frame + count] - track->offsets[frame];
}
