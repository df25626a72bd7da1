/* SPDX-License-Identifier: Apache-2.0 */
#include "media/bundle.h"

#include <errno.h>
#include <stdlib.h>
#include "media/secure.h"

#define SSRCS 16 /* known per direction; a line of video has two or three */

enum kind { KIND_SR = 200, KIND_RR = 201, KIND_RTPFB = 205, KIND_PSFB = 206 };

struct known { /* SSRCs of one direction */
	struct {
		uint32_t ssrc;
		struct stream *line; /* NULL: free */
	} of[SSRCS];
	unsigned hot, next;
};

struct bundle {
	struct stream *carrier;
	struct stream *riders[BUNDLE_MAX - 1];
	unsigned n;
	struct stream *line[128]; /* by payload type; NULL: the carrier's */
	struct known heard, sent;
};

/* ------------------------------------------------------------------ SSRCs */

static void note(struct known *known, uint32_t ssrc, struct stream *line)
{
	if (known->of[known->hot].ssrc == ssrc && known->of[known->hot].line == line)
		return;
	for (unsigned i = 0; i < SSRCS; i++) {
		if (known->of[i].line && known->of[i].ssrc == ssrc) {
			known->of[i].line = line;
			known->hot = i;
			return;
		}
	}
	known->of[known->next].ssrc = ssrc;
	known->of[known->next].line = line;
	known->hot = known->next;
	known->next = (known->next + 1) % SSRCS;
}

static struct stream *find(const struct known *known, uint32_t ssrc)
{
	for (unsigned i = 0; i < SSRCS; i++) {
		if (known->of[i].line && known->of[i].ssrc == ssrc)
			return known->of[i].line;
	}
	return NULL;
}

static void forget(struct known *known, const struct stream *line)
{
	for (unsigned i = 0; i < SSRCS; i++) {
		if (known->of[i].line == line)
			known->of[i].line = NULL;
	}
}

/* ------------------------------------------------------------------ packets */

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct stream *bundle_line(struct stream *carrier, const uint8_t *data, size_t len)
{
	struct bundle *bundle = carrier->bundle;
	struct stream *line;

	if (len < HDR_RTP_BYTES)
		return carrier; /* which will drop it */
	line = bundle->line[data[1] & 0x7f];
	if (!line)
		line = carrier;
	note(&bundle->heard, get32(data + 8), line);
	return line;
}

void bundle_sent(struct stream *stream, uint32_t ssrc)
{
	note(&stream->bundle->sent, ssrc, stream);
}

/* Blocks of 24 bytes, each about an SSRC that we have sent. */
static struct stream *find_reported(const struct bundle *bundle, const uint8_t *block,
				    const uint8_t *end)
{
	struct stream *line = NULL;

	for (; !line && block + 24 <= end; block += 24)
		line = find(&bundle->sent, get32(block));
	return line;
}

/* RFC 4585 section 6.1; those that leave the field empty name the source behind it (FIR, TMMBR: RFC
 * 5104; REMB a word later). */
static struct stream *find_asked(const struct bundle *bundle, const uint8_t *data, size_t size)
{
	static const size_t places[] = { 8, 12, 20 };
	struct stream *line = NULL;

	for (size_t i = 0; !line && i < sizeof(places) / sizeof(places[0]); i++) {
		if (places[i] + 4 <= size && (!i || !get32(data + 8)))
			line = find(&bundle->sent, get32(data + places[i]));
	}
	return line;
}

struct stream *bundle_report_line(const struct stream *carrier, const uint8_t *data, size_t size)
{
	const struct bundle *bundle = carrier->bundle;
	struct stream *line = NULL;

	if (size < 8)
		return NULL;
	if (data[1] == KIND_RTPFB || data[1] == KIND_PSFB)
		line = find_asked(bundle, data, size);
	if (!line)
		line = find(&bundle->heard, get32(data + 4));
	if (!line && (data[1] == KIND_SR || data[1] == KIND_RR))
		line = find_reported(bundle, data + (data[1] == KIND_SR ? 28 : 8), data + size);
	return line;
}

/* ------------------------------------------------------------------ who rides */

static void rest(struct slot *slot)
{
	slot->stream = NULL;
	slot->strays = 0;
}

static int begin(struct stream *carrier)
{
	struct secure *secure;

	if (carrier->bundle)
		return 0;
	secure = secure_get(carrier); /* also of a plain one: so no plain stream has to ask for a bundle */
	carrier->bundle = calloc(1, sizeof(*carrier->bundle));
	if (!carrier->bundle || !secure) {
		free(carrier->bundle);
		carrier->bundle = NULL;
		return -ENOMEM;
	}
	carrier->bundle->carrier = carrier;
	return 0;
}

static void set_payload_types(struct stream *stream, const uint8_t payload_types[16])
{
	struct bundle *bundle = stream->bundle;

	for (unsigned pt = 0; pt < 128; pt++) {
		if (payload_types[pt / 8] >> pt % 8 & 1)
			bundle->line[pt] = stream;
		else if (bundle->line[pt] == stream)
			bundle->line[pt] = NULL;
	}
}

int bundle_join(struct relay *relay, struct stream *stream, struct stream *carrier,
		const uint8_t payload_types[16])
{
	int err;

	if (stream->wire != carrier) {
		bundle_leave(relay, stream);
		err = begin(carrier);
		if (err)
			return err;
		if (carrier->bundle->n == BUNDLE_MAX - 1)
			return -ENOSPC;
		relay_pace(relay, stream, false);
		secure_free(stream);
		path_forget_remote(stream);
		rest(stream->slot);
		carrier->bundle->riders[carrier->bundle->n++] = stream;
		stream->bundle = carrier->bundle;
		stream->secure = carrier->secure;
		stream->wire = carrier;
	}
	set_payload_types(stream, payload_types);
	return 0;
}

static void step_down(struct relay *relay, struct stream *rider)
{
	rider->wire = rider;
	rider->secure = NULL;
	rider->bundle = NULL;
	path_forget_remote(rider);
	relay_slot_begin(relay, rider->slot, rider);
}

void bundle_leave(struct relay *relay, struct stream *stream)
{
	struct bundle *bundle = stream->bundle;
	unsigned left = 0;

	if (!bundle)
		return;

	for (unsigned i = 0; i < bundle->n; i++) {
		struct stream *rider = bundle->riders[i];

		if (stream != bundle->carrier && rider != stream) {
			bundle->riders[left++] = rider;
			continue;
		}
		for (unsigned pt = 0; pt < 128; pt++) {
			if (bundle->line[pt] == rider)
				bundle->line[pt] = NULL;
		}
		forget(&bundle->heard, rider);
		forget(&bundle->sent, rider);
		step_down(relay, rider);
	}
	bundle->n = left;
	if (!left) {
		bundle->carrier->bundle = NULL;
		free(bundle);
	}
}
