/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_RTCP_H
#define AOIDE_MEDIA_RTCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * RTCP of sound ends at each leg: both phones hear our own reports about what we received from them
 * and sent to them, so that loss and round trip are those of the leg and true also when sound is made
 * anew. RTCP of video is not touched here: it passes (hdr_rtcp_map()), as key frames are asked for
 * from the phone that films.
 *
 * Relay thread only, but report_parse() is pure.
 */
#define REPORT_INTERVAL_US 5000000 /* RFC 3550 section 6.2: the mean; each is drawn from half to one and a half */
#define REPORT_MAX_CNAME   48      /* a longer one is cut */
#define REPORT_MAX_BYTES   160     /* of a compound packet of ours */

struct relay;
struct stream;

/* What one compound packet says that concerns us. */
struct report_heard {
	bool has_sr;
	uint32_t sr_ssrc, sr_rtp;
	uint64_t sr_ntp;
	bool has_block;      /* about what we send */
	uint8_t fraction;    /* lost since the report before, of 256 */
	int32_t lost;        /* 24 bits with sign */
	uint32_t jitter;     /* in units of the clock */
	uint32_t lsr, dlsr;
	bool has_bye;
	char cname[REPORT_MAX_CNAME + 1]; /* of the first chunk; empty when there is none */
};

/*
 * Reads a compound or reduced-size packet (RFC 3550, 5506). about: SSRC that we send with. Kinds that
 * we do not know (XR, APP, feedback) are passed over.
 *
 * Returns 0 or -EBADMSG (lengths do not add up).
 */
int report_parse(struct report_heard *ret, const uint8_t *data, size_t len, uint32_t about);

/* What a stream remembers (media/stream.h holds one). */
struct report {
	uint64_t due_us;        /* 0: nothing was sent or heard yet */
	bool begun;             /* a report has left: a BYE is due at the end */
	uint32_t ssrc;          /* ours until we send RTP */
	char cname[17];
	struct {                /* their last SR */
		uint64_t ntp, at_us; /* at_us 0: none */
		uint32_t ssrc, rtp;
		char cname[REPORT_MAX_CNAME + 1];
	} sr;
	struct {                /* our last SRs, to know them in LSR */
		uint32_t mid;
		uint64_t at_us; /* 0 none */
	} sent[2];
	uint64_t expected, lost; /* at the last report */
	uint64_t tx_lost;
	uint32_t tx_jitter;      /* in units of the clock */
	uint32_t rtt_us, rtt_max_us;
	uint16_t mos_min_x100;
};

/* A packet of the phone whose source was checked. -EBADMSG: to be counted as dropped. */
int report_take(struct relay *relay, struct stream *stream, const uint8_t *data, size_t len);
/* Housekeeping: sends a report when its time has come. */
void report_due(struct relay *relay, struct stream *stream);
/* The stream ends: BYE to whom reports were sent. */
void report_bye(struct relay *relay, struct stream *stream);

#endif
