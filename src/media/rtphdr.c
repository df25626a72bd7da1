/* SPDX-License-Identifier: Apache-2.0 */
#include "media/rtphdr.h"

#include <errno.h>
#include <string.h>

#define RTCP_SR   200
#define RTCP_RR   201
#define RTCP_SDES 202
#define RTCP_BYE  203
#define RTCP_APP  204
#define RTCP_FB   205 /* RTPFB, and 206 PSFB: RFC 4585 section 6.1 */
#define RTCP_PSFB 206
#define RTCP_XR   207
#define RTCP_LAST 207

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

int hdr_rtp_parse(struct hdr_rtp *ret, const uint8_t *data, size_t len)
{
	size_t at, pad;

	if (len < HDR_RTP_BYTES || data[0] >> 6 != 2)
		return -EBADMSG;

	at = HDR_RTP_BYTES + 4u * (data[0] & 0x0f);
	if (data[0] & 0x10) { /* extension: RFC 3550 section 5.3.1 */
		if (len < at + 4)
			return -EBADMSG;
		at += 4 + 4u * get16(data + at + 2);
	}
	if (len < at)
		return -EBADMSG;

	pad = data[0] & 0x20 ? data[len - 1] : 0;
	if (data[0] & 0x20 && (!pad || pad > len - at))
		return -EBADMSG;

	*ret = (struct hdr_rtp){ .pt = data[1] & 0x7f,
				 .marker = data[1] >> 7,
				 .seq = get16(data + 2),
				 .ts = get32(data + 4),
				 .ssrc = get32(data + 8),
				 .payload_at = at,
				 .payload_len = len - at - pad };
	return 0;
}

void hdr_rtp_patch(uint8_t *data, const struct hdr_rtp *hdr)
{
	data[1] = (uint8_t)(hdr->marker << 7 | hdr->pt);
	put16(data + 2, hdr->seq);
	put32(data + 4, hdr->ts);
	put32(data + 8, hdr->ssrc);
}

void hdr_rtp_write(uint8_t *data, const struct hdr_rtp *hdr)
{
	data[0] = 0x80;
	hdr_rtp_patch(data, hdr);
}

bool hdr_is_rtcp(const uint8_t *data, size_t len)
{
	return len >= 8 && data[0] >> 6 == 2 && data[1] >= RTCP_SR && data[1] <= RTCP_LAST;
}

static void map_self(uint8_t *ssrc, const struct hdr_map *map)
{
	if (map->on && get32(ssrc) == map->ssrc_in)
		put32(ssrc, map->ssrc_out);
}

static void map_about(uint8_t *ssrc, const struct hdr_map *map)
{
	if (map->on && get32(ssrc) == map->ssrc_out)
		put32(ssrc, map->ssrc_in);
}

/* Report blocks of 24 bytes: SSRC, loss, extended highest sequence number at 8. */
static void map_reports(uint8_t *block, size_t n, const struct hdr_map *about)
{
	for (size_t i = 0; i < n; i++, block += 24) {
		if (!about->on || get32(block) != about->ssrc_out)
			continue;
		put32(block, about->ssrc_in);
		put32(block + 8, get32(block + 8) - about->seq_add);
	}
}

static int map_sr(uint8_t *body, size_t len, size_t count, const struct hdr_map *self,
		  const struct hdr_map *about)
{
	if (len < 24 + 24 * count)
		return -EBADMSG;
	if (self->on && get32(body) == self->ssrc_in)
		put32(body + 12, get32(body + 12) + self->ts_add);
	map_self(body, self);
	map_reports(body + 24, count, about);
	return 0;
}

static int map_rr(uint8_t *body, size_t len, size_t count, const struct hdr_map *self,
		  const struct hdr_map *about)
{
	if (len < 4 + 24 * count)
		return -EBADMSG;
	map_self(body, self);
	map_reports(body + 4, count, about);
	return 0;
}

/* Chunks: SSRC, items (type, length, text), a zero, padding to 32 bits (RFC 3550 section 6.5). */
static int map_sdes(uint8_t *body, size_t len, size_t count, const struct hdr_map *self,
		    const struct hdr_map *about)
{
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		if (len < at + 4)
			return -EBADMSG;
		map_self(body + at, self);
		at += 4;
		while (at < len && body[at]) {
			if (at + 2 > len)
				return -EBADMSG;
			at += 2u + body[at + 1];
		}
		if (at >= len)
			return -EBADMSG;
		at = (at + 4) & ~(size_t)3;
	}
	return at > len ? -EBADMSG : 0;
}

static int map_bye(uint8_t *body, size_t len, size_t count, const struct hdr_map *self,
		   const struct hdr_map *about)
{
	if (len < 4 * count)
		return -EBADMSG;
	for (size_t i = 0; i < count; i++)
		map_self(body + 4 * i, self);
	return 0;
}

static int map_feedback(uint8_t *body, size_t len, size_t count, const struct hdr_map *self,
			const struct hdr_map *about)
{
	if (len < 8)
		return -EBADMSG;
	map_self(body, self);
	map_about(body + 4, about);
	return 0;
}

static int map_first(uint8_t *body, size_t len, size_t count, const struct hdr_map *self,
		     const struct hdr_map *about)
{
	if (len < 4)
		return -EBADMSG;
	map_self(body, self);
	return 0;
}

static int (*const rtcp_table[])(uint8_t *body, size_t len, size_t count, const struct hdr_map *self,
				 const struct hdr_map *about) = {
	[RTCP_SR - RTCP_SR] = map_sr,	    [RTCP_RR - RTCP_SR] = map_rr,
	[RTCP_SDES - RTCP_SR] = map_sdes,   [RTCP_BYE - RTCP_SR] = map_bye,
	[RTCP_APP - RTCP_SR] = map_first,   [RTCP_FB - RTCP_SR] = map_feedback,
	[RTCP_PSFB - RTCP_SR] = map_feedback, [RTCP_XR - RTCP_SR] = map_first,
};

int hdr_rtcp_map(uint8_t *data, size_t len, const struct hdr_map *self, const struct hdr_map *about)
{
	size_t body, pad;
	int err;

	if (len < 8)
		return -EBADMSG;

	while (len) {
		if (len < 4 || data[0] >> 6 != 2)
			return -EBADMSG;
		body = 4u * get16(data + 2);
		if (body + 4 > len)
			return -EBADMSG;

		/* Padding stands in the last packet only (RFC 3550 section 6.4.1). */
		pad = data[0] & 0x20 ? data[body + 3] : 0;
		if (pad > body)
			return -EBADMSG;

		if (data[1] >= RTCP_SR && data[1] <= RTCP_LAST) {
			err = rtcp_table[data[1] - RTCP_SR](data + 4, body - pad, data[0] & 0x1f, self,
							    about);
			if (err)
				return err;
		}
		data += body + 4;
		len -= body + 4;
	}
	return 0;
}

int hdr_event_parse(struct hdr_event *ret, const uint8_t *payload, size_t len)
{
	if (len < 4)
		return -EBADMSG;

	*ret = (struct hdr_event){ .event = payload[0],
				   .end = payload[1] >> 7,
				   .volume = payload[1] & 0x3f,
				   .duration = get16(payload + 2) };
	return 0;
}

void hdr_event_write(uint8_t payload[4], const struct hdr_event *event)
{
	payload[0] = event->event;
	payload[1] = (uint8_t)(event->end << 7 | (event->volume & 0x3f));
	put16(payload + 2, event->duration);
}
