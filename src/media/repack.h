/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_REPACK_H
#define AOIDE_MEDIA_REPACK_H

#include <stddef.h>
#include <stdint.h>
#include "media/codec.h"
#include "media/rtphdr.h"

/*
 * Packets of another length without decoding: payloads of whole frames (all codecs but Opus) are
 * joined and cut for a receiver who asked for another ptime than the sender has. A long packet leaves
 * as several at once; short ones wait for each other. Relay thread only.
 */
struct relay;
struct stream;
struct repack;

/* -ENOMEM. */
int repack_alloc(struct repack **ret, const struct codec *codec, uint32_t ptime_ms, uint8_t pt);
void repack_free(struct repack *repack);

/* A packet of `from` for its peer. */
void repack_take(struct relay *relay, struct stream *from, struct repack *repack,
		 const struct hdr_rtp *hdr, const uint8_t *payload);

#endif
