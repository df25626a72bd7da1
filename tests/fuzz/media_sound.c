/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of a stranger through the jitter buffer into every decoder. The first byte chooses the codec,
 * then each packet is: a byte of length, two of time, and the packet itself with its RTP header.
 */
#include <stdlib.h>
#include <string.h>
#include "media/codec.h"
#include "media/jitter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TICK_US 20000

struct player {
	const struct codec *codec;
	struct codec_dec *dec;
	struct jitter *jitter;
	int16_t *pcm; /* of exactly CODEC_MAX_SAMPLES, so that one too many is seen */
};

static void tick(struct player *p, uint64_t now_us)
{
	uint32_t tick = p->codec->clock_hz / 50;
	size_t per_tick = codec_dec_hz(p->dec) / 50, n;
	struct jitter_next next;

	for (int i = 0; i < 16; i++) {
		jitter_next(p->jitter, &next, tick, now_us);
		n = (size_t)((uint64_t)next.span * codec_dec_hz(p->dec) / p->codec->clock_hz);
		switch (next.verdict) {
		case JITTER_PLAY:
			if (codec_decode(p->dec, p->pcm, CODEC_MAX_SAMPLES, next.data, next.len) >
			    CODEC_MAX_SAMPLES)
				abort();
			break;
		case JITTER_LOST:
			if (n > CODEC_MAX_SAMPLES)
				abort();
			if (!next.adjacent || !codec_decode_before(p->dec, p->pcm, n, next.data, next.len))
				codec_conceal(p->dec, p->pcm, n);
			break;
		case JITTER_DRY:
			codec_conceal(p->dec, p->pcm, per_tick);
			break;
		case JITTER_PAUSE:
			return;
		}
	}
}

static void packet(struct player *p, const uint8_t *data, size_t len, uint64_t now_us)
{
	uint8_t *copy = malloc(len ? len : 1); /* exact */
	struct hdr_rtp hdr;

	if (!copy)
		return;
	memcpy(copy, data, len);
	if (!hdr_rtp_parse(&hdr, copy, len))
		jitter_put(p->jitter, &hdr, copy + hdr.payload_at,
			   codec_span(p->codec, copy + hdr.payload_at, hdr.payload_len),
			   codec_is_pause(p->codec, copy + hdr.payload_at, hdr.payload_len), now_us);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n_codecs, len;
	const struct codec *const *all = codec_all(&n_codecs);
	uint64_t now_us = 1000000, tick_us = now_us;
	struct player p = { 0 };

	if (!size)
		return 0;
	p.codec = all[data[0] % n_codecs];
	p.pcm = malloc(CODEC_MAX_SAMPLES * sizeof(*p.pcm));
	if (!p.pcm || codec_dec_alloc(&p.dec, p.codec, p.codec->hz[data[0] / 64 % CODEC_RATES]) ||
	    jitter_alloc(&p.jitter, p.codec->clock_hz))
		abort();
	data++;
	size--;
	while (size > 3) {
		now_us += (uint64_t)(data[1] << 8 | data[2]) * 8; /* half a second at most */
		for (; tick_us <= now_us; tick_us += TICK_US)
			tick(&p, tick_us);
		len = data[0] < size - 3 ? data[0] : size - 3;
		packet(&p, data + 3, len, now_us);
		data += 3 + len;
		size -= 3 + len;
	}
	tick(&p, tick_us + TICK_US);
	jitter_free(p.jitter);
	codec_dec_free(p.dec);
	free(p.pcm);
	return 0;
}
