/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_FORMATS_H
#define AOIDE_MEDIA_FORMATS_H

#include <stdint.h>

/* The formats of a stream, as the switch told them. Relay thread only. */
struct codec;
struct mp_format;
struct stream;

/* NULL: one that we neither encode nor decode. */
const struct codec *format_codec(const struct mp_format *format);
/* The format that we send when we make the sound; NULL: we cannot. */
const struct mp_format *format_out(const struct stream *stream);
/* That of a packet which came; NULL: not agreed. */
const struct mp_format *format_in(const struct stream *stream, uint8_t pt);
/* The receiver's format that is the same as the sender's; or NULL. */
const struct mp_format *format_same(const struct stream *to, const struct mp_format *format);
/* The best rate of its sound, as far as the phone can use it. NULL: that of a telephone. */
uint32_t format_highest_hz(const struct mp_format *format);

#endif
