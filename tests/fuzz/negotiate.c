/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "call/negotiate.h"
#include "sip/sdesc.h"
#include "snapshot/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct snap_codecs audio = { 4, { SNAP_OPUS, SNAP_PCMA, SNAP_G726, SNAP_G729 } };
static const struct snap_codecs other_audio = { 2, { SNAP_PCMU, SNAP_PCMA } };
static const struct snap_codecs video = { 2, { SNAP_H264, SNAP_VP8 } };

static const struct neg_side one = { .audio = &audio, .video = &video, .video_kbps = 384,
				     .events = true, .t38 = true };
static const struct neg_side two = { .audio = &other_audio, .video = &video, .events = true, .t38 = true };

/* What we say must be something that we understand ourselves. */
static void check_text(const struct sdesc *desc)
{
	static const uint16_t ports[SDESC_MAX_MEDIA] = { 2, 4, 6, 8, 10, 12, 14, 16 };
	static char text[2 * SDESC_MAX_BYTES];
	struct sdesc *again = NULL;
	struct sa addr;

	sa_set_str(&addr, "203.0.113.1", 0);
	if (sdesc_print(desc, text, sizeof(text), &(struct sdesc_print_opts){ .addr = &addr, .ports = ports }) < 0)
		return;
	if (sdesc_parse(&again, text, strlen(text)) || again->n_media != desc->n_media)
		abort();
	mem_deref(again);
}

/* A number stands once in a line. */
static void check_numbers(const struct sdesc_media *line)
{
	for (size_t i = 0; i < line->n_formats; i++)
		for (size_t k = 0; k < i; k++)
			if (line->formats[i].pt >= 0 && line->formats[i].pt == line->formats[k].pt)
				abort();
}

static void check_offer(const struct sdesc *offer, const struct sdesc *before)
{
	if (before && offer->n_media < before->n_media)
		abort(); /* RFC 3264 section 8 */
	for (size_t i = 0; i < offer->n_media; i++)
		check_numbers(&offer->media[i]);
	check_text(offer);
}

/* Line by line, nothing that was not asked. */
static void check_answer(const struct sdesc *answer, const struct sdesc *offer)
{
	if (answer->n_media != offer->n_media)
		abort();
	for (size_t i = 0; i < answer->n_media; i++) {
		const struct sdesc_media *line = &answer->media[i], *asked = &offer->media[i];
		struct media_format formats[MEDIA_MAX_FORMATS];

		if (line->kind != asked->kind || (line->port && !asked->port) ||
		    (line->port && line->dir & ~sdesc_dir_reverse(asked->dir)))
			abort();
		if (neg_formats(formats, line, asked, false) > MEDIA_MAX_FORMATS)
			abort();
		check_numbers(line);
	}
	check_text(answer);
}

/* Two descriptions with a zero byte between: what one side wants, what the other says to it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *zero = memchr(data, 0, size);
	const size_t first = zero ? (size_t)(zero - data) : size;
	struct sdesc *want = NULL, *said = NULL, *offer = NULL, *next = NULL, *answer = NULL, *agreed = NULL;
	struct neg_lines lines;

	if (sdesc_parse(&want, (const char *)data, first))
		return 0;
	if (!neg_answer(&answer, want, &one, NULL, NULL))
		check_answer(answer, want);
	answer = mem_deref(answer);
	if (!zero || sdesc_parse(&said, (const char *)zero + 1, size - first - 1))
		goto out;

	if (!neg_offer(&offer, &lines, want, &one, &two, NULL)) {
		check_offer(offer, NULL);
		if (!neg_answer(&answer, want, &one, said, &lines))
			check_answer(answer, want);
		if (!neg_agreed(&agreed, said, offer))
			check_text(agreed);
		if (!neg_offer(&next, &lines, said, &two, &one, offer))
			check_offer(next, offer);
	}

out:
	mem_deref(agreed);
	mem_deref(next);
	mem_deref(answer);
	mem_deref(offer);
	mem_deref(said);
	mem_deref(want);
	return 0;
}
