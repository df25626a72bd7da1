/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_CODEC_H
#define AOIDE_MEDIA_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "media/client.h"

/*
 * Samples to payloads and back, for every codec that the media process understands. An encoder or
 * decoder belongs to one thread; making one allocates, using it does not.
 *
 * A codec works at one or more rates of samples, which need not be that of its RTP clock: Opus is
 * given what a telephone has (8000) or a computer (48000), and changes rates better than we could.
 */
#define CODEC_MIN_MS      10
#define CODEC_MAX_MS      120 /* longest packet that is understood (Opus, RFC 7587 section 4.2) */
#define CODEC_MAX_PTIME   60  /* longest that is made */
#define CODEC_MAX_SAMPLES (48 * CODEC_MAX_MS)
#define CODEC_MAX_BYTES   1440 /* longest payload that is made: L16/8000 of 60 ms is 960 */
#define CODEC_RATES       3

struct codec {
	enum media_codec id;
	const char *name;         /* as in rtpmap */
	uint32_t clock_hz;        /* of RTP */
	uint32_t hz[CODEC_RATES]; /* rates of samples, lowest first; 0 after the last */
	uint16_t frame_ms;        /* payloads are made of these */
	uint16_t frame_bytes;     /* 0: varies (Opus) */
};

/* Every codec; *n is their number. Constant. L16 has a row for each clock. */
const struct codec *const *codec_all(size_t *n);

/* NULL: we cannot understand it, it can only pass. */
const struct codec *codec_find(enum media_codec id, uint32_t clock_hz);

/* The rate of the codec that is best for sound of want_hz: the lowest that loses nothing of it, else
 * the highest there is. */
uint32_t codec_hz(const struct codec *codec, uint32_t want_hz);

/* The length of packets that comes nearest to the ptime asked and that the codec can make: whole
 * frames, 60 ms and CODEC_MAX_BYTES at most. 0 asks for 20. */
uint32_t codec_ptime(const struct codec *codec, uint32_t ptime_ms);

/* How long a payload lasts, in units of the RTP clock; 0: it is malformed. */
uint32_t codec_span(const struct codec *codec, const uint8_t *data, size_t len);

/* The payload says that nothing more will come for a while (DTX): a silence after it is no loss. */
bool codec_is_pause(const struct codec *codec, const uint8_t *data, size_t len);

/* The payload repeats what was before it (Opus FEC): waiting for it is worth while when that is lost. */
bool codec_repeats(const struct codec *codec, const uint8_t *data, size_t len);

/* ------------------------------------------------------------------ encoder */

struct codec_opts {
	uint32_t hz;     /* rate of samples, one of the codec's; 0: its highest */
	uint32_t max_hz; /* the receiver has no use for more (Opus maxplaybackrate); 0: no limit */
	bool fec;        /* Opus: packets repeat the sound before them in small */
	bool dtx;        /* silence need not be sent: Opus, G.729 annex B */
	bool music;      /* not only speech: encoded by those who have the time */
};

struct codec_enc;

/* -ENOMEM, -EINVAL (a rate that the codec does not have). */
int codec_enc_alloc(struct codec_enc **ret, const struct codec *codec, const struct codec_opts *opts);
void codec_enc_free(struct codec_enc *enc);
/* It is used soon. */
void codec_enc_prefetch(const struct codec_enc *enc);
uint32_t codec_enc_hz(const struct codec_enc *enc);

/*
 * Encodes n samples into one payload: whole frames, CODEC_MAX_PTIME at most (Opus: 10 to 60 ms in
 * steps of 10).
 *
 * Returns the bytes written; 0: silence that is not sent (with dtx); -EINVAL (n), -EMSGSIZE (size).
 */
int codec_encode(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n);

/* How much of what we send is lost, in percent: so much does Opus repeat. Ignored without fec. */
void codec_enc_loss(struct codec_enc *enc, unsigned percent);

/* ------------------------------------------------------------------ decoder */

struct codec_dec;

/* hz as in codec_opts. Errors as codec_enc_alloc(). */
int codec_dec_alloc(struct codec_dec **ret, const struct codec *codec, uint32_t hz);
void codec_dec_free(struct codec_dec *dec);
/* It is used soon. */
void codec_dec_prefetch(const struct codec_dec *dec);
uint32_t codec_dec_hz(const struct codec_dec *dec);

/*
 * Decodes a payload of a stranger. pcm has room for max samples.
 *
 * Returns the samples written, or -EBADMSG (nothing was written; conceal it), -EMSGSIZE (longer than
 * max).
 */
int codec_decode(struct codec_dec *dec, int16_t *pcm, size_t max, const uint8_t *data, size_t len);

/*
 * The last n samples before a payload, as far as it repeats them (Opus FEC). To be called before
 * codec_decode() of the same payload, when what came before is lost.
 *
 * Returns n, or 0: it tells nothing about them.
 */
int codec_decode_before(struct codec_dec *dec, int16_t *pcm, size_t n, const uint8_t *data, size_t len);

/* Between talkspurts codec_conceal() makes comfort noise (Opus, G.729) and no echo of the last word. */
bool codec_has_noise(const struct codec_dec *dec);

/* Invents n samples in place of lost ones: the codec's own way, else the last period fading out. */
void codec_conceal(struct codec_dec *dec, int16_t *pcm, size_t n);

#endif
