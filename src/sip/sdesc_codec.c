/* SPDX-License-Identifier: Apache-2.0 */
/* What the formats of a line are. */
#include "sip/sdesc_priv.h"

#include <string.h>
#include <strings.h>
#include "snapshot/snapshot.h"

/* Formats that accompany a codec and are none. */
static const char *const companions[] = { "telephone-event", "CN", "red", "rtx" };

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

bool sdesc_is_companion(const struct sdesc_format *fmt)
{
	for (size_t i = 0; i < ARRAY_SIZE(companions); i++) {
		if (!strcasecmp(fmt->name, companions[i]))
			return true;
	}
	return false;
}

bool sdesc_is_codec(const struct sdesc_format *format)
{
	return format->pt >= 0 && format->name[0] && !sdesc_is_companion(format);
}

const struct sdesc_format *sdesc_codec(const struct sdesc_media *media)
{
	for (size_t i = 0; i < media->n_formats; i++) {
		if (sdesc_is_codec(&media->formats[i]))
			return &media->formats[i];
	}
	return NULL;
}

uint32_t sdesc_fmtp_number(const struct sdesc_format *format, const char *name, uint32_t fallback)
{
	const size_t len = strlen(name);

	for (const char *p = format->fmtp; p && *p; p += strcspn(p, ";"), p += *p == ';') {
		uint32_t n = 0;

		while (*p == ' ')
			p++;
		if (strncasecmp(p, name, len) || p[len] != '=')
			continue;
		p += len + 1;
		if (*p < '0' || *p > '9')
			return fallback;
		for (; *p >= '0' && *p <= '9' && n < UINT32_MAX / 10 - 1; p++)
			n = n * 10 + (uint32_t)(*p - '0');
		return n;
	}
	return fallback;
}
