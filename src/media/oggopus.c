/* SPDX-License-Identifier: Apache-2.0 */
#include "media/oggopus.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <ogg/ogg.h>
#include <opus.h>
#include <sodium.h>

#define FRAMES_PER_S 50
#define GRANULE_HZ   48000 /* of positions, whatever the sampling rate: RFC 7845 section 4 */
#define MAX_PACKET   1500
#define MAX_FRAME    (48000 / FRAMES_PER_S * 2)
#define HEAD_BYTES   19
#define BIT_RATE     24000 /* per channel: speech that cannot be told from the original */
#define COMPLEXITY   5     /* a third of the work of 10 for the same ear at this rate */

struct oggopus {
	ogg_stream_state ogg;
	OpusEncoder *encoder;
	uint32_t hz;
	unsigned channels, pre_skip; /* in GRANULE_HZ */
	size_t frame, n;             /* samples per channel: of a frame; waiting */
	uint64_t taken, encoded;     /* samples per channel */
	unsigned packets;            /* since the last page */
	int64_t packet_no;
	oggopus_write_h *write_h;
	void *arg;
	int16_t samples[MAX_FRAME];
};

static int pages_out(struct oggopus *oo)
{
	ogg_page page;
	int err = 0;

	while (!err && ogg_stream_flush(&oo->ogg, &page)) {
		err = oo->write_h(page.header, (size_t)page.header_len, oo->arg);
		if (!err)
			err = oo->write_h(page.body, (size_t)page.body_len, oo->arg);
	}
	oo->packets = 0;
	return err;
}

static int packet_in(struct oggopus *oo, uint8_t *data, size_t len, int64_t granule, bool last)
{
	ogg_packet packet = { .packet = data,
			      .bytes = (long)len,
			      .b_o_s = !oo->packet_no,
			      .e_o_s = last,
			      .granulepos = granule,
			      .packetno = oo->packet_no };

	oo->packet_no++;
	oo->packets++;
	return ogg_stream_packetin(&oo->ogg, &packet) ? -ENOMEM : 0;
}

static void put32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

/* RFC 7845 section 5: identification and comment, each a page of its own. */
static int heads_out(struct oggopus *oo)
{
	static const char vendor[] = "aoide";
	uint8_t head[HEAD_BYTES] = "OpusHead\1", tags[8 + 4 + sizeof(vendor) - 1 + 4] = "OpusTags";
	int err;

	head[9] = (uint8_t)oo->channels;
	head[10] = (uint8_t)oo->pre_skip;
	head[11] = (uint8_t)(oo->pre_skip >> 8);
	put32(head + 12, oo->hz);
	err = packet_in(oo, head, sizeof(head), 0, false);
	if (!err)
		err = pages_out(oo);
	if (err)
		return err;

	put32(tags + 8, sizeof(vendor) - 1);
	memcpy(tags + 12, vendor, sizeof(vendor) - 1);
	err = packet_in(oo, tags, sizeof(tags), 0, false);
	return err ? err : pages_out(oo);
}

static void oo_free(struct oggopus *oo)
{
	if (oo->encoder)
		opus_encoder_destroy(oo->encoder);
	ogg_stream_clear(&oo->ogg);
	free(oo);
}

int oggopus_begin(struct oggopus **ret, uint32_t hz, unsigned channels, oggopus_write_h *write_h,
		  void *arg)
{
	struct oggopus *oo = calloc(1, sizeof(*oo));
	opus_int32 lookahead = 0;
	int err;

	if (!oo)
		return -ENOMEM;

	*oo = (struct oggopus){ .hz = hz,
				.channels = channels,
				.frame = hz / FRAMES_PER_S,
				.write_h = write_h,
				.arg = arg };
	oo->encoder = opus_encoder_create((opus_int32)hz, (int)channels, OPUS_APPLICATION_AUDIO, &err);
	if (!oo->encoder || ogg_stream_init(&oo->ogg, (int)randombytes_random())) {
		oo_free(oo);
		return -ENOMEM;
	}
	(void)opus_encoder_ctl(oo->encoder, OPUS_SET_BITRATE(BIT_RATE * (int)channels));
	(void)opus_encoder_ctl(oo->encoder, OPUS_SET_COMPLEXITY(COMPLEXITY));
	if (channels == 2) /* who said what must stay apart */
		(void)opus_encoder_ctl(oo->encoder, OPUS_SET_FORCE_CHANNELS(2));
	(void)opus_encoder_ctl(oo->encoder, OPUS_GET_LOOKAHEAD(&lookahead));
	oo->pre_skip = (unsigned)lookahead * (GRANULE_HZ / hz);

	err = heads_out(oo);
	if (err) {
		oo_free(oo);
		return err;
	}
	*ret = oo;
	return 0;
}

static int frame_out(struct oggopus *oo, bool last)
{
	uint8_t data[MAX_PACKET];
	uint64_t granule;
	int n, err;

	memset(oo->samples + oo->n * oo->channels, 0,
	       (oo->frame - oo->n) * oo->channels * sizeof(oo->samples[0]));
	n = opus_encode(oo->encoder, oo->samples, (int)oo->frame, data, sizeof(data));
	if (n < 0)
		return -EINVAL;
	oo->n = 0;
	oo->encoded += oo->frame;

	/* The position of the last page says where the sound ends, inside its last frame. */
	granule = last ? oo->taken * (GRANULE_HZ / oo->hz) + oo->pre_skip
		       : oo->encoded * (GRANULE_HZ / oo->hz);
	err = packet_in(oo, data, (size_t)n, (int64_t)granule, last);
	if (!err && (last || oo->packets >= FRAMES_PER_S))
		err = pages_out(oo);
	return err;
}

int oggopus_put(struct oggopus *oo, const int16_t *samples, size_t n)
{
	int err = 0;

	while (n && !err) {
		size_t take = oo->frame - oo->n < n ? oo->frame - oo->n : n;

		memcpy(oo->samples + oo->n * oo->channels, samples,
		       take * oo->channels * sizeof(*samples));
		oo->n += take;
		oo->taken += take;
		samples += take * oo->channels;
		n -= take;
		if (oo->n == oo->frame)
			err = frame_out(oo, false);
	}
	return err;
}

int oggopus_end(struct oggopus *oo)
{
	int err = 0;

	if (!oo)
		return 0;

	/* The encoder is behind by its look-ahead: silence pushes the rest out. */
	while (!err && (oo->encoded + oo->frame) * (GRANULE_HZ / oo->hz) <
			       oo->taken * (GRANULE_HZ / oo->hz) + oo->pre_skip)
		err = frame_out(oo, false);
	if (!err)
		err = frame_out(oo, true);
	oo_free(oo);
	return err;
}
