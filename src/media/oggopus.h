/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_OGGOPUS_H
#define AOIDE_MEDIA_OGGOPUS_H

#include <stddef.h>
#include <stdint.h>

/* Sound to an Ogg Opus stream (RFC 7845), a page per second, so that a crash costs no more than that.
 * Any thread, one at a time per object. */
struct oggopus;

/* Takes whole pages, in their order. Returns 0 or -errno. */
typedef int(oggopus_write_h)(const void *data, size_t len, void *arg);

/* hz: 8000, 16000 or 48000. -ENOMEM, or what write_h returned. */
int oggopus_begin(struct oggopus **ret, uint32_t hz, unsigned channels, oggopus_write_h *write_h,
		  void *arg);
/* n samples per channel, interleaved. */
int oggopus_put(struct oggopus *oo, const int16_t *samples, size_t n);
/* The last page; frees it whatever is returned. NULL is fine. */
int oggopus_end(struct oggopus *oo);

#endif
