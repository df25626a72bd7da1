/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_BUNDLE_H
#define AOIDE_MEDIA_BUNDLE_H

#include <stddef.h>
#include <stdint.h>
#include "media/relay.h"

/*
 * Several streams on one transport (RFC 9143): one of them, the carrier, lends the others its socket,
 * its addresses, its ICE and its keys (stream->wire). What arrives is sorted by payload type, which the
 * switch sees to be different on every line of a bundle; reports are sorted by the SSRCs they are from
 * or about. The sockets of those that ride rest meanwhile. Relay thread only; all live in one.
 */
#define BUNDLE_MAX 8 /* streams on one transport, the carrier included */

struct bundle;

/*
 * stream rides with carrier from now on, or goes on to; what arrives with one of the payload types
 * (a bit each, the lowest bit of the first byte is 0) is its. Returns 0, -ENOMEM, -ENOSPC.
 */
int bundle_join(struct relay *relay, struct stream *stream, struct stream *carrier,
		const uint8_t payload_types[16]);
/* Back to its own socket, mute until it is told a remote; when the carrier leaves all do. */
void bundle_leave(struct relay *relay, struct stream *stream);

/* Whose RTP packet that is which arrived at the carrier. */
struct stream *bundle_line(struct stream *carrier, const uint8_t *data, size_t len);
/* Whom one packet of a compound of RTCP (size bytes with its header) concerns; NULL: it does not say. */
struct stream *bundle_report_line(const struct stream *carrier, const uint8_t *data, size_t size);
/* A packet leaves for stream. */
void bundle_sent(struct stream *stream, uint32_t ssrc);

#endif
