/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_RTPHDR_H
#define AOIDE_MEDIA_RTPHDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * RTP and RTCP headers as a relay needs them: read and changed in place (RFC 3550, 4733, 5761). What
 * comes in is from strangers. Pure functions, any thread.
 */
#define HDR_RTP_BYTES 12

struct hdr_rtp {
	uint8_t pt;
	bool marker;
	uint16_t seq;
	uint32_t ts, ssrc;
	size_t payload_at, payload_len; /* without padding */
};

/* -EBADMSG: not RTP version 2, or shorter than its own header says. */
int hdr_rtp_parse(struct hdr_rtp *ret, const uint8_t *data, size_t len);

/* Writes a header without CSRCs and extension. data has HDR_RTP_BYTES. */
void hdr_rtp_write(uint8_t *data, const struct hdr_rtp *hdr);

/* Changes fields in place. */
void hdr_rtp_patch(uint8_t *data, const struct hdr_rtp *hdr);

/* True for a packet that is RTCP by its second byte (RFC 5761 section 4). */
bool hdr_is_rtcp(const uint8_t *data, size_t len);

/*
 * How the numbers of one sender look to the receiver when a relay rewrites: out = in + offset.
 * Applied to what the sender says about itself (SR, SDES, BYE, feedback).
 */
struct hdr_map {
	bool on;
	uint32_t ssrc_in, ssrc_out;
	uint16_t seq_add;
	uint32_t ts_add;
};

/*
 * Rewrites a compound RTCP packet in place: what the sender says of itself through self; what it
 * reports about the stream it receives backwards through about. Either may be off.
 *
 * Returns 0 or -EBADMSG (not a compound packet whose lengths add up: drop it).
 */
int hdr_rtcp_map(uint8_t *data, size_t len, const struct hdr_map *self, const struct hdr_map *about);

/* One telephone-event payload (RFC 4733 section 2.3). */
struct hdr_event {
	uint8_t event, volume;
	bool end;
	uint16_t duration; /* in timestamp units */
};

int hdr_event_parse(struct hdr_event *ret, const uint8_t *payload, size_t len); /* -EBADMSG */
void hdr_event_write(uint8_t payload[4], const struct hdr_event *event);

#endif
