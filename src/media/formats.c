/* SPDX-License-Identifier: Apache-2.0 */
#include "media/formats.h"

#include "media/codec.h"
#include "media/stream.h"

const struct codec *format_codec(const struct mp_format *format)
{
	return codec_find(format->codec, format->clock_hz);
}

const struct mp_format *format_out(const struct stream *stream)
{
	for (unsigned i = 0; i < stream->n_formats; i++)
		if (format_codec(&stream->formats[i]))
			return &stream->formats[i];
	return NULL;
}

const struct mp_format *format_in(const struct stream *stream, uint8_t pt)
{
	for (unsigned i = 0; i < stream->n_formats; i++)
		if (stream->formats[i].pt_in == pt)
			return &stream->formats[i];
	return NULL;
}

const struct mp_format *format_same(const struct stream *to, const struct mp_format *format)
{
	for (unsigned i = 0; i < to->n_formats; i++)
		if (to->formats[i].codec == format->codec &&
		    to->formats[i].clock_hz == format->clock_hz)
			return &to->formats[i];
	return NULL;
}

uint32_t format_highest_hz(const struct mp_format *format)
{
	uint32_t hz = format ? codec_hz(format_codec(format), UINT32_MAX) : 8000;

	/* An Opus decoder that plays 8000 gains nothing from more. */
	return format && format->max_hz && format->max_hz < hz ? codec_hz(format_codec(format), format->max_hz)
							       : hz;
}
