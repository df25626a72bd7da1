/* SPDX-License-Identifier: Apache-2.0 */
#include "media/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <gsm.h>
#include <opus.h>
#include <spandsp/telephony.h>
#include <spandsp/bit_operations.h>
#include <spandsp/g711.h>
#include <spandsp/g722.h>
#include <spandsp/g726.h>
#ifdef HAVE_G729
#include <bcg729/decoder.h>
#include <bcg729/encoder.h>
#endif
#include "media/mend.h"

#define GSM_BYTES   33
#define GSM_SAMPLES 160

#define G729_BYTES   10
#define G729_SID     2 /* bytes of a comfort noise frame */
#define G729_SAMPLES 80

/* Half of the last step of quality costs twice the time: 5 of 10, as for a device with a battery. */
#define OPUS_COMPLEXITY  5
#define OPUS_MUSIC_BPS   48000
#define OPUS_LOSS        5 /* percent, until the other side has reported */
#define OPUS_MAX_LOSS    30
#define OPUS_PAUSE_BYTES 2 /* a payload so short is not sent (opus_encode()) */
#define OPUS_PART_MS     10
#define OPUS_PARTS       6
#define OPUS_PART_BYTES  400

/* One row per codec; the functions are called with arguments that fit the row. */
struct row {
	struct codec pub;
	int (*enc_open)(struct codec_enc *enc, const struct codec_opts *opts);
	int (*encode)(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n);
	void (*enc_close)(struct codec_enc *enc);
	int (*dec_open)(struct codec_dec *dec);
	int (*decode)(struct codec_dec *dec, int16_t *pcm, const uint8_t *data, size_t len);
	bool (*conceal)(struct codec_dec *dec, int16_t *pcm, size_t n); /* false: not this time */
	void (*dec_close)(struct codec_dec *dec);
};

struct codec_enc {
	const struct row *row;
	uint32_t hz;
	bool dtx, fec;
	union {
		g722_encode_state_t *g722;
		g726_state_t *g726;
		gsm gsm;
		OpusEncoder *opus;
		void *g729;
	} u;
	OpusRepacketizer *joiner; /* Opus of 30 and 50 ms, made when needed first */
};

struct codec_dec {
	const struct row *row;
	uint32_t hz;
	union {
		g722_decode_state_t *g722;
		g726_state_t *g726;
		gsm gsm;
		OpusDecoder *opus;
		void *g729;
	} u;
	struct mend *mend; /* NULL: the codec conceals by itself */
};

/* ------------------------------------------------------------------ G.711, L16 */

static int pcma_encode(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n)
{
	for (size_t i = 0; i < n; i++)
		data[i] = linear_to_alaw(pcm[i]);
	return (int)n;
}

static int pcma_decode(struct codec_dec *dec, int16_t *pcm, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		pcm[i] = alaw_to_linear(data[i]);
	return (int)len;
}

static int pcmu_encode(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n)
{
	for (size_t i = 0; i < n; i++)
		data[i] = linear_to_ulaw(pcm[i]);
	return (int)n;
}

static int pcmu_decode(struct codec_dec *dec, int16_t *pcm, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		pcm[i] = ulaw_to_linear(data[i]);
	return (int)len;
}

static int l16_encode(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		data[2 * i] = (uint8_t)((uint16_t)pcm[i] >> 8);
		data[2 * i + 1] = (uint8_t)pcm[i];
	}
	return (int)(2 * n);
}

static int l16_decode(struct codec_dec *dec, int16_t *pcm, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len / 2; i++)
		pcm[i] = (int16_t)(data[2 * i] << 8 | data[2 * i + 1]);
	return (int)(len / 2);
}

/* ------------------------------------------------------------------ G.722 */

static int g722_enc_open(struct codec_enc *enc, const struct codec_opts *opts)
{
	enc->u.g722 = g722_encode_init(NULL, 64000, enc->hz == 8000 ? G722_SAMPLE_RATE_8000 : 0);
	return enc->u.g722 ? 0 : -ENOMEM;
}

static int g722_enc(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n)
{
	return g722_encode(enc->u.g722, data, pcm, (int)n);
}

static void g722_enc_close(struct codec_enc *enc)
{
	(void)g722_encode_free(enc->u.g722);
}

static int g722_dec_open(struct codec_dec *dec)
{
	dec->u.g722 = g722_decode_init(NULL, 64000, dec->hz == 8000 ? G722_SAMPLE_RATE_8000 : 0);
	return dec->u.g722 ? 0 : -ENOMEM;
}

static int g722_dec(struct codec_dec *dec, int16_t *pcm, const uint8_t *data, size_t len)
{
	return g722_decode(dec->u.g722, pcm, data, (int)len);
}

static void g722_dec_close(struct codec_dec *dec)
{
	(void)g722_decode_free(dec->u.g722);
}

/* ------------------------------------------------------------------ G.726 */

/* The first sample is in the low bits: RFC 3551 section 4.5.4, unlike AAL2-G726-32. */
static int g726_enc_open(struct codec_enc *enc, const struct codec_opts *opts)
{
	enc->u.g726 = g726_init(NULL, 32000, G726_ENCODING_LINEAR, G726_PACKING_RIGHT);
	return enc->u.g726 ? 0 : -ENOMEM;
}

static int g726_enc(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n)
{
	return g726_encode(enc->u.g726, data, pcm, (int)n);
}

static void g726_enc_close(struct codec_enc *enc)
{
	(void)g726_free(enc->u.g726);
}

static int g726_dec_open(struct codec_dec *dec)
{
	dec->u.g726 = g726_init(NULL, 32000, G726_ENCODING_LINEAR, G726_PACKING_RIGHT);
	return dec->u.g726 ? 0 : -ENOMEM;
}

static int g726_dec(struct codec_dec *dec, int16_t *pcm, const uint8_t *data, size_t len)
{
	return g726_decode(dec->u.g726, pcm, data, (int)len);
}

static void g726_dec_close(struct codec_dec *dec)
{
	(void)g726_free(dec->u.g726);
}

/* ------------------------------------------------------------------ GSM */

static int gsm_enc_open(struct codec_enc *enc, const struct codec_opts *opts)
{
	enc->u.gsm = gsm_create();
	return enc->u.gsm ? 0 : -ENOMEM;
}

static int gsm_enc(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n)
{
	size_t frames = n / GSM_SAMPLES;

	for (size_t i = 0; i < frames; i++)
		gsm_encode(enc->u.gsm, (gsm_signal *)(uintptr_t)pcm + i * GSM_SAMPLES,
			   data + i * GSM_BYTES);
	return (int)(frames * GSM_BYTES);
}

static void gsm_enc_close(struct codec_enc *enc)
{
	gsm_destroy(enc->u.gsm);
}

static int gsm_dec_open(struct codec_dec *dec)
{
	dec->u.gsm = gsm_create();
	return dec->u.gsm ? 0 : -ENOMEM;
}

static int gsm_dec(struct codec_dec *dec, int16_t *pcm, const uint8_t *data, size_t len)
{
	size_t frames = len / GSM_BYTES;

	for (size_t i = 0; i < frames; i++)
		if (gsm_decode(dec->u.gsm, (gsm_byte *)(uintptr_t)data + i * GSM_BYTES,
			       pcm + i * GSM_SAMPLES) < 0)
			return -EBADMSG;
	return (int)(frames * GSM_SAMPLES);
}

static void gsm_dec_close(struct codec_dec *dec)
{
	gsm_destroy(dec->u.gsm);
}

/* ------------------------------------------------------------------ G.729 */

#ifdef HAVE_G729
static int g729_enc_open(struct codec_enc *enc, const struct codec_opts *opts)
{
	enc->u.g729 = initBcg729EncoderChannel(opts->dtx);
	return enc->u.g729 ? 0 : -ENOMEM;
}

/*
 * A comfort noise frame may only end a packet, and what is not sent leaves a hole: with dtx the
 * caller gives one frame at a time. Of several, those up to the first pause are kept.
 */
static int g729_enc(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n)
{
	uint8_t frame[G729_BYTES], len;
	bool open = true;
	int at = 0;

	for (size_t i = 0; i < n / G729_SAMPLES; i++) {
		bcg729Encoder(enc->u.g729, pcm + i * G729_SAMPLES, frame, &len);
		if (open)
			memcpy(data + at, frame, len);
		at += open ? len : 0;
		open = open && len == G729_BYTES;
	}
	return at;
}

static void g729_enc_close(struct codec_enc *enc)
{
	closeBcg729EncoderChannel(enc->u.g729);
}

static int g729_dec_open(struct codec_dec *dec)
{
	dec->u.g729 = initBcg729DecoderChannel();
	return dec->u.g729 ? 0 : -ENOMEM;
}

static int g729_dec(struct codec_dec *dec, int16_t *pcm, const uint8_t *data, size_t len)
{
	int n = 0;

	for (; len >= G729_BYTES; data += G729_BYTES, len -= G729_BYTES, n += G729_SAMPLES)
		bcg729Decoder(dec->u.g729, data, G729_BYTES, 0, 0, 0, pcm + n);
	if (len == G729_SID) {
		bcg729Decoder(dec->u.g729, data, G729_SID, 0, 1, 0, pcm + n);
		n += G729_SAMPLES;
	}
	return n;
}

/* After a comfort noise frame an erased frame is more of that noise. */
static bool g729_conceal(struct codec_dec *dec, int16_t *pcm, size_t n)
{
	int16_t frame[G729_SAMPLES];

	for (size_t at = 0; at < n; at += G729_SAMPLES) {
		size_t part = n - at < G729_SAMPLES ? n - at : G729_SAMPLES;

		bcg729Decoder(dec->u.g729, NULL, 0, 1, 0, 0, frame);
		memcpy(pcm + at, frame, part * sizeof(*pcm));
	}
	return true;
}

static void g729_dec_close(struct codec_dec *dec)
{
	closeBcg729DecoderChannel(dec->u.g729);
}
#endif

/* ------------------------------------------------------------------ Opus */

static opus_int32 opus_bandwidth(uint32_t max_hz)
{
	return !max_hz || max_hz > 24000 ? OPUS_BANDWIDTH_FULLBAND
	       : max_hz > 16000		 ? OPUS_BANDWIDTH_SUPERWIDEBAND
	       : max_hz > 12000		 ? OPUS_BANDWIDTH_WIDEBAND
	       : max_hz > 8000		 ? OPUS_BANDWIDTH_MEDIUMBAND
					 : OPUS_BANDWIDTH_NARROWBAND;
}

/* Speech, RFC 7587 section 3.1.1, with room for the repeated part. */
static opus_int32 opus_bit_rate(uint32_t hz)
{
	return hz <= 8000 ? 20000 : hz <= 16000 ? 28000 : 40000;
}

static int opus_enc_open(struct codec_enc *enc, const struct codec_opts *opts)
{
	OpusEncoder *opus;
	int err;

	opus = opus_encoder_create((opus_int32)enc->hz, 1,
				   opts->music ? OPUS_APPLICATION_AUDIO : OPUS_APPLICATION_VOIP, &err);
	if (err != OPUS_OK)
		return -ENOMEM;

	/* None of these can fail: the values are in range. */
	(void)opus_encoder_ctl(opus, OPUS_SET_BITRATE(opts->music ? OPUS_MUSIC_BPS
								  : opus_bit_rate(enc->hz)));
	(void)opus_encoder_ctl(opus, OPUS_SET_MAX_BANDWIDTH(opus_bandwidth(opts->max_hz)));
	(void)opus_encoder_ctl(opus, OPUS_SET_INBAND_FEC(opts->fec));
	(void)opus_encoder_ctl(opus, OPUS_SET_PACKET_LOSS_PERC(opts->fec ? OPUS_LOSS : 0));
	(void)opus_encoder_ctl(opus, OPUS_SET_DTX(opts->dtx));
	if (!opts->music) {
		(void)opus_encoder_ctl(opus, OPUS_SET_COMPLEXITY(OPUS_COMPLEXITY));
		(void)opus_encoder_ctl(opus, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
	}
	enc->u.opus = opus;
	return 0;
}

/* 30 and 50 ms are no frames of Opus but can be packets: several frames of 10 ms in one. */
static int opus_encode_parts(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm,
			     size_t n)
{
	uint8_t parts[OPUS_PARTS][OPUS_PART_BYTES];
	size_t part = enc->hz / 1000 * OPUS_PART_MS;
	bool spoke = false;
	int len;

	if (!enc->joiner)
		enc->joiner = opus_repacketizer_create();
	if (!enc->joiner)
		return -ENOMEM;

	opus_repacketizer_init(enc->joiner);
	for (size_t i = 0; i < n / part; i++) {
		len = opus_encode(enc->u.opus, pcm + i * part, (int)part, parts[i], OPUS_PART_BYTES);
		if (len < 0)
			return -EINVAL;
		spoke |= len > OPUS_PAUSE_BYTES;
		/* Frames of one packet are of one kind; when the encoder changes, the rest has to wait. */
		if (opus_repacketizer_cat(enc->joiner, parts[i], len) != OPUS_OK)
			break;
	}
	if (enc->dtx && !spoke)
		return 0;
	len = opus_repacketizer_out(enc->joiner, data, (opus_int32)size);
	return len > 0 ? len : -EMSGSIZE;
}

static int opus_enc(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n)
{
	size_t ms = n * 1000 / enc->hz;
	int len;

	if (ms == 30 || ms == 50)
		return opus_encode_parts(enc, data, size, pcm, n);

	len = opus_encode(enc->u.opus, pcm, (int)n, data, (opus_int32)size);
	if (len < 0)
		return -EINVAL;
	return enc->dtx && len <= OPUS_PAUSE_BYTES ? 0 : len;
}

static void opus_enc_close(struct codec_enc *enc)
{
	if (enc->joiner)
		opus_repacketizer_destroy(enc->joiner);
	opus_encoder_destroy(enc->u.opus);
}

static int opus_dec_open(struct codec_dec *dec)
{
	int err;

	dec->u.opus = opus_decoder_create((opus_int32)dec->hz, 1, &err);
	return err == OPUS_OK ? 0 : -ENOMEM;
}

/* The caller has seen that the packet is no longer than its buffer. */
static int opus_dec(struct codec_dec *dec, int16_t *pcm, const uint8_t *data, size_t len)
{
	int n = opus_decode(dec->u.opus, data, (opus_int32)len, pcm,
			    (int)(dec->hz / 1000 * CODEC_MAX_MS), 0);

	return n < 0 ? -EBADMSG : n;
}

/* Opus invents multiples of 2.5 ms. */
static bool opus_conceal(struct codec_dec *dec, int16_t *pcm, size_t n)
{
	return n % (dec->hz / 400) == 0 && opus_decode(dec->u.opus, NULL, 0, pcm, (int)n, 0) == (int)n;
}

static void opus_dec_close(struct codec_dec *dec)
{
	opus_decoder_destroy(dec->u.opus);
}

/* True when the payload's first frame begins with a repetition (RFC 6716 section 4.2.4). */
static bool opus_repeats(const uint8_t *data, size_t len)
{
	const unsigned char *frames[48];
	opus_int16 sizes[48];
	unsigned config = len ? data[0] >> 3 : 16, n;
	int parts = opus_packet_parse(data, (opus_int32)len, NULL, frames, sizes, NULL);

	if (config >= 16 || parts <= 0 || sizes[0] < 1)
		return false; /* CELT has none */
	/* One bit of voice activity per 20 ms, then the flag: SILK of 40 and 60 ms has 2 and 3. */
	n = config < 12 && config % 4 >= 2 ? config % 4 : 1;
	return frames[0][0] >> (7 - n) & 1;
}

/* ------------------------------------------------------------------ the table */

static const struct row rows[] = {
	{ .pub = { MEDIA_PCMA, "PCMA", 8000, { 8000 }, 10, 80 },
	  .encode = pcma_encode, .decode = pcma_decode },
	{ .pub = { MEDIA_PCMU, "PCMU", 8000, { 8000 }, 10, 80 },
	  .encode = pcmu_encode, .decode = pcmu_decode },
	/* Its RTP clock is 8000 though it samples at 16000: RFC 3551 section 4.5.2. */
	{ .pub = { MEDIA_G722, "G722", 8000, { 8000, 16000 }, 10, 80 },
	  .enc_open = g722_enc_open, .encode = g722_enc, .enc_close = g722_enc_close,
	  .dec_open = g722_dec_open, .decode = g722_dec, .dec_close = g722_dec_close },
	{ .pub = { MEDIA_GSM, "GSM", 8000, { 8000 }, 20, GSM_BYTES },
	  .enc_open = gsm_enc_open, .encode = gsm_enc, .enc_close = gsm_enc_close,
	  .dec_open = gsm_dec_open, .decode = gsm_dec, .dec_close = gsm_dec_close },
	{ .pub = { MEDIA_OPUS, "opus", 48000, { 8000, 16000, 48000 }, 10, 0 },
	  .enc_open = opus_enc_open, .encode = opus_enc, .enc_close = opus_enc_close,
	  .dec_open = opus_dec_open, .decode = opus_dec, .conceal = opus_conceal,
	  .dec_close = opus_dec_close },
	{ .pub = { MEDIA_G726_32, "G726-32", 8000, { 8000 }, 10, 40 },
	  .enc_open = g726_enc_open, .encode = g726_enc, .enc_close = g726_enc_close,
	  .dec_open = g726_dec_open, .decode = g726_dec, .dec_close = g726_dec_close },
#ifdef HAVE_G729
	{ .pub = { MEDIA_G729, "G729", 8000, { 8000 }, 10, G729_BYTES },
	  .enc_open = g729_enc_open, .encode = g729_enc, .enc_close = g729_enc_close,
	  .dec_open = g729_dec_open, .decode = g729_dec, .conceal = g729_conceal,
	  .dec_close = g729_dec_close },
#endif
	{ .pub = { MEDIA_L16, "L16", 8000, { 8000 }, 10, 160 },
	  .encode = l16_encode, .decode = l16_decode },
	{ .pub = { MEDIA_L16, "L16", 16000, { 16000 }, 10, 320 },
	  .encode = l16_encode, .decode = l16_decode },
	{ .pub = { MEDIA_L16, "L16", 48000, { 48000 }, 10, 960 },
	  .encode = l16_encode, .decode = l16_decode },
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct codec *const all[N_ROWS] = {
	&rows[0].pub, &rows[1].pub, &rows[2].pub, &rows[3].pub, &rows[4].pub, &rows[5].pub,
	&rows[6].pub, &rows[7].pub, &rows[8].pub,
#ifdef HAVE_G729
	&rows[9].pub,
#endif
};

const struct codec *const *codec_all(size_t *n)
{
	*n = N_ROWS;
	return all;
}

const struct codec *codec_find(enum media_codec id, uint32_t clock_hz)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (rows[i].pub.id == id && rows[i].pub.clock_hz == clock_hz)
			return &rows[i].pub;
	return NULL;
}

static const struct row *row_of(const struct codec *codec)
{
	return (const struct row *)(const void *)codec; /* its first member */
}

uint32_t codec_hz(const struct codec *codec, uint32_t want_hz)
{
	uint32_t hz = codec->hz[0];

	for (int i = 1; i < CODEC_RATES && codec->hz[i] && hz < want_hz; i++)
		hz = codec->hz[i];
	return hz;
}

static uint32_t highest_hz(const struct codec *codec)
{
	return codec_hz(codec, UINT32_MAX);
}

static bool has_hz(const struct codec *codec, uint32_t hz)
{
	return hz && codec_hz(codec, hz) == hz;
}

uint32_t codec_ptime(const struct codec *codec, uint32_t ptime_ms)
{
	uint32_t frame = codec->frame_ms, most = CODEC_MAX_PTIME;

	if (codec->frame_bytes && codec->frame_bytes * (most / frame) > CODEC_MAX_BYTES)
		most = CODEC_MAX_BYTES / codec->frame_bytes * frame;
	if (!ptime_ms)
		ptime_ms = 20;
	ptime_ms = ptime_ms < most ? ptime_ms / frame * frame : most / frame * frame;
	return ptime_ms ? ptime_ms : frame;
}

static uint32_t g729_span(size_t len)
{
	size_t rest = len % G729_BYTES;

	if (rest && rest != G729_SID)
		return 0;
	return (uint32_t)(len / G729_BYTES + (rest ? 1 : 0)) * G729_SAMPLES;
}

uint32_t codec_span(const struct codec *codec, const uint8_t *data, size_t len)
{
	uint32_t frame, span;
	int n;

	if (!len)
		return 0;
	if (codec->id == MEDIA_OPUS) {
		n = opus_packet_get_nb_samples(data, (opus_int32)len, (opus_int32)codec->clock_hz);
		return n > 0 ? (uint32_t)n : 0;
	}

	frame = codec->clock_hz / 1000 * codec->frame_ms;
	if (codec->id == MEDIA_G729)
		span = g729_span(len);
	else if (codec->id == MEDIA_GSM)
		span = len % GSM_BYTES ? 0 : (uint32_t)(len / GSM_BYTES) * frame;
	else if (codec->id == MEDIA_L16 && len % 2)
		span = 0;
	else /* odd lengths of packets are seen in the wild, and all of these can be cut anywhere */
		span = (uint32_t)((uint64_t)len * frame / codec->frame_bytes);
	return span <= codec->clock_hz / 1000 * CODEC_MAX_MS ? span : 0;
}

bool codec_is_pause(const struct codec *codec, const uint8_t *data, size_t len)
{
	if (codec->id == MEDIA_OPUS)
		return len <= OPUS_PAUSE_BYTES;
	return codec->id == MEDIA_G729 && len % G729_BYTES == G729_SID;
}

bool codec_repeats(const struct codec *codec, const uint8_t *data, size_t len)
{
	return codec->id == MEDIA_OPUS && opus_repeats(data, len);
}

/* ------------------------------------------------------------------ encoder */

int codec_enc_alloc(struct codec_enc **ret, const struct codec *codec, const struct codec_opts *opts)
{
	const struct row *row = row_of(codec);
	struct codec_enc *enc;
	int err;

	if (opts->hz && !has_hz(codec, opts->hz))
		return -EINVAL;
	enc = calloc(1, sizeof(*enc));
	if (!enc)
		return -ENOMEM;

	enc->row = row;
	enc->hz = opts->hz ? opts->hz : highest_hz(codec);
	enc->dtx = opts->dtx;
	enc->fec = opts->fec;
	err = row->enc_open ? row->enc_open(enc, opts) : 0;
	if (err) {
		free(enc);
		return err;
	}
	*ret = enc;
	return 0;
}

void codec_enc_free(struct codec_enc *enc)
{
	if (!enc)
		return;
	if (enc->row->enc_close)
		enc->row->enc_close(enc);
	free(enc);
}

void codec_enc_prefetch(const struct codec_enc *enc)
{
	__builtin_prefetch(enc);
}

uint32_t codec_enc_hz(const struct codec_enc *enc)
{
	return enc->hz;
}

int codec_encode(struct codec_enc *enc, uint8_t *data, size_t size, const int16_t *pcm, size_t n)
{
	const struct codec *codec = &enc->row->pub;
	size_t frame = enc->hz / 1000 * codec->frame_ms;

	if (!n || n % frame || n > enc->hz / 1000 * CODEC_MAX_PTIME)
		return -EINVAL;
	if (size < n / frame * codec->frame_bytes)
		return -EMSGSIZE;
	return enc->row->encode(enc, data, size, pcm, n);
}

void codec_enc_loss(struct codec_enc *enc, unsigned percent)
{
	percent = percent < OPUS_LOSS ? OPUS_LOSS : percent > OPUS_MAX_LOSS ? OPUS_MAX_LOSS : percent;
	if (enc->row->pub.id == MEDIA_OPUS && enc->fec)
		(void)opus_encoder_ctl(enc->u.opus, OPUS_SET_PACKET_LOSS_PERC((opus_int32)percent));
}

/* ------------------------------------------------------------------ decoder */

int codec_dec_alloc(struct codec_dec **ret, const struct codec *codec, uint32_t hz)
{
	const struct row *row = row_of(codec);
	struct codec_dec *dec;
	int err = 0;

	if (hz && !has_hz(codec, hz))
		return -EINVAL;
	dec = calloc(1, sizeof(*dec));
	if (!dec)
		return -ENOMEM;

	dec->row = row;
	dec->hz = hz ? hz : highest_hz(codec);
	if (!row->conceal) {
		dec->mend = malloc(mend_bytes(dec->hz));
		err = dec->mend ? 0 : -ENOMEM;
	}
	if (dec->mend)
		mend_init(dec->mend, dec->hz);
	if (!err && row->dec_open)
		err = row->dec_open(dec);
	if (err) {
		free(dec->mend);
		free(dec);
		return err;
	}
	*ret = dec;
	return 0;
}

void codec_dec_free(struct codec_dec *dec)
{
	if (!dec)
		return;
	if (dec->row->dec_close)
		dec->row->dec_close(dec);
	free(dec->mend);
	free(dec);
}

void codec_dec_prefetch(const struct codec_dec *dec)
{
	__builtin_prefetch(dec);
}

uint32_t codec_dec_hz(const struct codec_dec *dec)
{
	return dec->hz;
}

/* Samples that a payload makes; 0: malformed. */
static size_t samples_of(const struct codec_dec *dec, const uint8_t *data, size_t len)
{
	const struct codec *codec = &dec->row->pub;

	return (size_t)((uint64_t)codec_span(codec, data, len) * dec->hz / codec->clock_hz);
}

int codec_decode(struct codec_dec *dec, int16_t *pcm, size_t max, const uint8_t *data, size_t len)
{
	size_t n = samples_of(dec, data, len);
	int got;

	if (!n)
		return -EBADMSG;
	if (n > max)
		return -EMSGSIZE;

	got = dec->row->decode(dec, pcm, data, len);
	if (got < 0)
		return got;
	if (dec->mend)
		mend_keep(dec->mend, pcm, (size_t)got);
	return got;
}

int codec_decode_before(struct codec_dec *dec, int16_t *pcm, size_t n, const uint8_t *data, size_t len)
{
	if (dec->row->pub.id != MEDIA_OPUS || !n || n % (dec->hz / 400) || !opus_repeats(data, len))
		return 0;
	return opus_decode(dec->u.opus, data, (opus_int32)len, pcm, (int)n, 1) == (int)n ? (int)n : 0;
}

bool codec_has_noise(const struct codec_dec *dec)
{
	return dec->row->conceal;
}

void codec_conceal(struct codec_dec *dec, int16_t *pcm, size_t n)
{
	if (dec->mend)
		mend_invent(dec->mend, pcm, n);
	else if (!dec->row->conceal(dec, pcm, n))
		memset(pcm, 0, n * sizeof(*pcm));
}
