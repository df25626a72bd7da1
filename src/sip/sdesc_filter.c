/* SPDX-License-Identifier: Apache-2.0 */
/* Which codecs of a description are allowed, and in which order. */
#include "sip/sdesc_priv.h"

#include <string.h>
#include <strings.h>
#include "snapshot/snapshot.h"

/* Encoding names of the codecs that a list may hold (BASE-51). */
static const struct codec_name {
	uint8_t codec; /* enum snap_codec */
	const char *name;
} codec_names[] = {
	{ SNAP_PCMA, "PCMA" },	     { SNAP_PCMU, "PCMU" },	    { SNAP_G722, "G722" },
	{ SNAP_G726, "G726-32" },    { SNAP_G726, "G726-16" },	    { SNAP_G726, "G726-24" },
	{ SNAP_G726, "G726-40" },    { SNAP_G726, "AAL2-G726-32" }, { SNAP_G729, "G729" },
	{ SNAP_G729, "G729A" },	     { SNAP_GSM, "GSM" },	    { SNAP_OPUS, "opus" },
	{ SNAP_H261, "H261" },	     { SNAP_H263, "H263" },	    { SNAP_H263P, "H263-1998" },
	{ SNAP_H263P, "H263-2000" }, { SNAP_H264, "H264" },	    { SNAP_VP8, "VP8" },
};

int sdesc_snap_codec(const struct sdesc_format *format)
{
	for (size_t i = 0; i < ARRAY_SIZE(codec_names); i++) {
		if (!strcasecmp(format->name, codec_names[i].name))
			return codec_names[i].codec;
	}
	return -1;
}

/* Place in the list; SNAP_CODECS: a companion, after all codecs; -1: not allowed. */
static int rank_of(const struct sdesc_format *fmt, const struct snap_codecs *list)
{
	const int codec = sdesc_snap_codec(fmt);

	if (sdesc_is_companion(fmt))
		return SNAP_CODECS;
	for (int k = 0; codec >= 0 && k < list->n; k++) {
		if (list->list[k] == codec)
			return k;
	}
	return -1;
}

/* Returns how many real codecs are left. */
static int filter_media(struct sdesc_media *media, const struct snap_codecs *list, bool reorder)
{
	int ranks[SDESC_MAX_FORMATS];
	size_t kept = 0;
	int codecs = 0;

	for (size_t i = 0; i < media->n_formats; i++)
		ranks[i] = rank_of(&media->formats[i], list);
	for (size_t i = 0; i < media->n_formats; i++)
		codecs += ranks[i] >= 0 && ranks[i] < SNAP_CODECS;
	if (!codecs) { /* nothing in common refuses the line (RFC 3264 section 6) */
		media->port = 0;
		media->n_formats = media->n_formats ? 1 : 0;
		return 0;
	}

	/* Insertion keeps equals in their order; at most SDESC_MAX_FORMATS. */
	for (size_t i = 0; i < media->n_formats; i++) {
		const struct sdesc_format fmt = media->formats[i];
		const int rank = ranks[i];
		size_t at = kept;

		if (rank < 0)
			continue;
		while (reorder && at && ranks[at - 1] > rank) {
			media->formats[at] = media->formats[at - 1];
			ranks[at] = ranks[at - 1];
			--at;
		}
		media->formats[at] = fmt;
		ranks[at] = rank;
		++kept;
	}
	media->n_formats = kept;
	return codecs;
}

static int filter(struct sdesc *desc, const struct snap_codecs *audio,
		  const struct snap_codecs *video, bool reorder)
{
	int codecs = 0;

	for (size_t i = 0; i < desc->n_media; i++) {
		struct sdesc_media *media = &desc->media[i];

		if (!media->port || !sdesc_is_rtp(media->proto))
			continue;
		if (media->kind == SDESC_AUDIO && audio)
			codecs += filter_media(media, audio, reorder);
		else if (media->kind == SDESC_VIDEO && video)
			(void)filter_media(media, video, reorder); /* counts audio only */
	}
	return codecs;
}

int sdesc_filter(struct sdesc *desc, const struct snap_codecs *audio,
		 const struct snap_codecs *video)
{
	return filter(desc, audio, video, true);
}

int sdesc_restrict(struct sdesc *desc, const struct snap_codecs *audio,
		   const struct snap_codecs *video)
{
	return filter(desc, audio, video, false);
}
