/* SPDX-License-Identifier: Apache-2.0 */
#include "media/rtcp.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/re.h"
#include "media/audio.h"
#include "media/quality.h"
#include "media/relay.h"
#include "media/secure.h"

#define KIND_SR   200 /* RFC 3550 section 12.1 */
#define KIND_RR   201
#define KIND_SDES 202
#define KIND_BYE  203
#define SDES_CNAME 1

#define BLOCK_BYTES   24
#define NTP_EPOCH_S   2208988800ull /* 1900 to 1970 */
#define RTT_MAX_US    30000000      /* more is a lie or a clock that was set */
#define SR_OLD_US     30000000      /* a sender's clock is not carried on longer than that */

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
	return p + 4;
}

/* ------------------------------------------------------------------ reading */

static int read_blocks(struct report_heard *ret, const uint8_t *block, size_t len, size_t count,
		       uint32_t about)
{
	if (len < count * BLOCK_BYTES)
		return -EBADMSG;

	for (; count; count--, block += BLOCK_BYTES) {
		uint32_t lost = get32(block + 4) & 0xffffff;

		if (get32(block) != about)
			continue;
		ret->has_block = true;
		ret->fraction = block[4];
		ret->lost = lost & 0x800000 ? (int32_t)lost - 0x1000000 : (int32_t)lost;
		ret->jitter = get32(block + 12);
		ret->lsr = get32(block + 16);
		ret->dlsr = get32(block + 20);
	}
	return 0;
}

static int read_sr(struct report_heard *ret, const uint8_t *body, size_t len, size_t count,
		   uint32_t about)
{
	if (len < 24)
		return -EBADMSG;
	ret->has_sr = true;
	ret->sr_ssrc = get32(body);
	ret->sr_ntp = (uint64_t)get32(body + 4) << 32 | get32(body + 8);
	ret->sr_rtp = get32(body + 12);
	return read_blocks(ret, body + 24, len - 24, count, about);
}

static int read_rr(struct report_heard *ret, const uint8_t *body, size_t len, size_t count,
		   uint32_t about)
{
	return len < 4 ? -EBADMSG : read_blocks(ret, body + 4, len - 4, count, about);
}

/* The first chunk is enough: nobody mixes more than one source towards us. */
static int read_sdes(struct report_heard *ret, const uint8_t *body, size_t len, size_t count,
		     uint32_t about)
{
	size_t at = 4;

	if (!count)
		return 0;
	while (at + 2 <= len && body[at]) {
		size_t n = body[at + 1];

		if (at + 2 + n > len)
			return -EBADMSG;
		if (body[at] == SDES_CNAME) {
			n = n < REPORT_MAX_CNAME ? n : REPORT_MAX_CNAME;
			memcpy(ret->cname, body + at + 2, n);
			ret->cname[n] = '\0';
			return 0;
		}
		at += 2 + n;
	}
	return at < len ? 0 : -EBADMSG;
}

static int read_bye(struct report_heard *ret, const uint8_t *body, size_t len, size_t count,
		    uint32_t about)
{
	ret->has_bye = true;
	return len < 4 * count ? -EBADMSG : 0;
}

static int (*const readers[])(struct report_heard *ret, const uint8_t *body, size_t len,
			      size_t count, uint32_t about) = {
	[KIND_SR - KIND_SR] = read_sr,
	[KIND_RR - KIND_SR] = read_rr,
	[KIND_SDES - KIND_SR] = read_sdes,
	[KIND_BYE - KIND_SR] = read_bye,
};

int report_parse(struct report_heard *ret, const uint8_t *data, size_t len, uint32_t about)
{
	*ret = (struct report_heard){ 0 };
	if (len < 8)
		return -EBADMSG;

	while (len) {
		size_t body, pad;
		int err = 0;

		if (len < 4 || data[0] >> 6 != 2)
			return -EBADMSG;
		body = 4u * ((size_t)data[2] << 8 | data[3]);
		if (body + 4 > len)
			return -EBADMSG;
		/* Padding stands in the last packet only (RFC 3550 section 6.4.1). */
		pad = data[0] & 0x20 ? data[body + 3] : 0;
		if (pad > body)
			return -EBADMSG;

		if (data[1] >= KIND_SR && data[1] <= KIND_BYE)
			err = readers[data[1] - KIND_SR](ret, data + 4, body - pad, data[0] & 0x1f, about);
		if (err)
			return err;
		data += body + 4;
		len -= body + 4;
	}
	return 0;
}

/* They saw our report, kept it for DLSR, and theirs is here now (RFC 3550 section 6.4.1). */
static void note_round_trip(struct report *report, const struct report_heard *heard, uint64_t now_us)
{
	for (size_t i = 0; i < sizeof(report->sent) / sizeof(report->sent[0]); i++) {
		uint64_t held_us = (uint64_t)heard->dlsr * 1000000 / 65536;
		uint64_t away_us;

		if (!report->sent[i].at_us || report->sent[i].mid != heard->lsr)
			continue;
		away_us = now_us - report->sent[i].at_us;
		if (away_us > RTT_MAX_US || held_us > away_us)
			continue; /* clocks that run apart by more than the way takes */
		report->rtt_us = away_us > held_us ? (uint32_t)(away_us - held_us) : 1;
		if (report->rtt_us > report->rtt_max_us)
			report->rtt_max_us = report->rtt_us;
	}
}

int report_take(struct relay *relay, struct stream *stream, const uint8_t *data, size_t len)
{
	struct report *report = &stream->report;
	struct report_heard heard;
	int err = report_parse(&heard, data, len, stream->out.started ? stream->out.ssrc : report->ssrc);

	if (err)
		return err;

	if (heard.has_block) {
		report->tx_lost = heard.lost > 0 ? (uint64_t)heard.lost : 0;
		report->tx_jitter = heard.jitter;
		audio_lost(stream, heard.fraction * 100u / 256);
		if (heard.lsr)
			note_round_trip(report, &heard, relay->now_us);
	}
	if (heard.has_sr) {
		report->sr.ntp = heard.sr_ntp;
		report->sr.ssrc = heard.sr_ssrc;
		report->sr.rtp = heard.sr_rtp;
		report->sr.at_us = relay->now_us;
	}
	if (heard.cname[0])
		memcpy(report->sr.cname, heard.cname, sizeof(report->sr.cname));
	return 0;
}

/* ------------------------------------------------------------------ writing */

static uint64_t ntp_of(int64_t wall_us)
{
	uint64_t s = (uint64_t)wall_us / 1000000, us = (uint64_t)wall_us % 1000000;

	return (s + NTP_EPOCH_S) << 32 | (us << 32) / 1000000;
}

static uint64_t ntp_span(uint64_t us)
{
	return (us / 1000000) << 32 | (us % 1000000 << 32) / 1000000;
}

/*
 * Sound that only passes keeps the clock and the name that its sender gave it: video of the same phone
 * passes with its reports untouched, and both must fit together at the receiver. An echo does not: a
 * phone that heard its own name would take it for a loop (RFC 3550 section 8.2). NULL: it is ours.
 */
static const struct report *clock_of(const struct stream *stream, uint64_t now_us)
{
	const struct stream *peer = stream->peer;
	const struct report *report = peer && peer != stream ? &peer->report : NULL;

	return report && report->sr.at_us && now_us - report->sr.at_us < SR_OLD_US &&
			       stream->out.source == OUT_BRIDGE && stream->out.source_id == peer->id &&
			       stream->out.source_ssrc == report->sr.ssrc ?
		       report : NULL;
}

static uint8_t *write_sender(uint8_t *p, struct stream *stream, const struct report *theirs,
			     uint64_t now_us)
{
	struct report *report = &stream->report;
	uint64_t ntp = ntp_of(clk_wall_us());
	uint32_t rtp = out_next_ts(&stream->out, stream->clock_hz, now_us);
	uint64_t bytes = stream->tx_bytes;

	if (theirs) {
		uint64_t age_us = now_us - theirs->sr.at_us;

		ntp = theirs->sr.ntp + ntp_span(age_us);
		rtp = theirs->sr.rtp + (uint32_t)(age_us * stream->clock_hz / 1000000) +
		      (stream->out.mapped ? stream->out.ts_add : 0);
	}
	report->sent[1] = report->sent[0];
	report->sent[0].mid = (uint32_t)(ntp >> 16);
	report->sent[0].at_us = now_us;

	bytes -= stream->tx_packets * HDR_RTP_BYTES < bytes ? stream->tx_packets * HDR_RTP_BYTES : bytes;
	p = put32(p, (uint32_t)(ntp >> 32));
	p = put32(p, (uint32_t)ntp);
	p = put32(p, rtp);
	p = put32(p, (uint32_t)stream->tx_packets);
	return put32(p, (uint32_t)bytes);
}

/* Lost in this span of all that was expected in it, in millionths; quality follows. */
static void judge_span(struct stream *stream, uint32_t lost_ppm)
{
	struct report *report = &stream->report;
	uint16_t mos = stream_mos_x100(stream, lost_ppm);

	if (!report->mos_min_x100 || mos < report->mos_min_x100)
		report->mos_min_x100 = mos;
}

static uint8_t *write_block(uint8_t *p, struct stream *stream, uint64_t now_us)
{
	struct report *report = &stream->report;
	const struct stream_in *in = &stream->in;
	uint64_t expected = stream_expected(stream), lost = stream_lost(stream);
	uint64_t of = expected - report->expected;
	uint64_t gone = lost > report->lost ? lost - report->lost : 0;
	int64_t span = (int64_t)((uint64_t)in->cycles + in->seq - in->base + 1) - (int64_t)in->in_span;
	uint32_t fraction = of ? (uint32_t)(gone * 256 / of) : 0;

	if (of)
		judge_span(stream, (uint32_t)(gone * 1000000 / of));
	report->expected = expected;
	report->lost = lost;

	span = span > 0x7fffff ? 0x7fffff : span < -0x800000 ? -0x800000 : span;
	p = put32(p, in->ssrc);
	p = put32(p, (fraction > 255 ? 255 : fraction) << 24 | ((uint32_t)span & 0xffffff));
	p = put32(p, in->cycles + in->seq);
	p = put32(p, in->jitter_q4 >> 4);
	if (!report->sr.at_us || report->sr.ssrc != in->ssrc) {
		p = put32(p, 0);
		return put32(p, 0);
	}
	p = put32(p, (uint32_t)(report->sr.ntp >> 16));
	return put32(p, (uint32_t)((now_us - report->sr.at_us) * 65536 / 1000000));
}

static void set_length(uint8_t *head, const uint8_t *end, uint8_t kind, unsigned count)
{
	size_t words = (size_t)(end - head) / 4 - 1;

	head[0] = (uint8_t)(0x80 | count);
	head[1] = kind;
	head[2] = (uint8_t)(words >> 8);
	head[3] = (uint8_t)words;
}

static uint8_t *write_sdes(uint8_t *p, uint32_t ssrc, const char *cname)
{
	size_t n = strlen(cname);
	uint8_t *head = p;

	p = put32(p + 4, ssrc);
	*p++ = SDES_CNAME;
	*p++ = (uint8_t)n;
	memcpy(p, cname, n);
	p += n;
	do /* a zero ends the list, more of them fill the word */
		*p++ = 0;
	while ((p - head) % 4);
	set_length(head, p, KIND_SDES, 1);
	return p;
}

static void choose_names(struct report *report)
{
	if (report->cname[0])
		return;
	report->ssrc = rand_u32();
	/* RFC 7022: short-lived and says nothing about us. */
	(void)re_snprintf(report->cname, sizeof(report->cname), "%08x%08x", rand_u32(), rand_u32());
}

static void send_report(struct relay *relay, struct stream *stream, bool bye)
{
	struct report *report = &stream->report;
	const struct report *theirs = clock_of(stream, relay->now_us);
	bool is_sender = stream->out.started && stream->tx_packets;
	uint8_t data[REPORT_MAX_BYTES + SECURE_TRAILER], *p = data + 4, *head;
	uint32_t ssrc;

	choose_names(report);
	ssrc = stream->out.started ? stream->out.ssrc : report->ssrc;

	p = put32(p, ssrc);
	if (is_sender)
		p = write_sender(p, stream, theirs, relay->now_us);
	if (stream->in.started)
		p = write_block(p, stream, relay->now_us);
	set_length(data, p, is_sender ? KIND_SR : KIND_RR, stream->in.started);
	p = write_sdes(p, ssrc, theirs && theirs->sr.cname[0] ? theirs->sr.cname : report->cname);
	if (bye) {
		head = p;
		p = put32(p + 4, ssrc);
		set_length(head, p, KIND_BYE, 1);
	}
	path_send_rtcp(relay, stream, data, (size_t)(p - data));
	report->begun = true;
}

static bool ends_here(const struct stream *stream)
{
	return stream->slot && !stream->video && !(stream->flags & MP_REMOTE_RAW);
}

void report_due(struct relay *relay, struct stream *stream)
{
	struct report *report = &stream->report;
	uint64_t span_us;

	if (!ends_here(stream) || !(stream->rx_packets || stream->tx_packets))
		return;
	if (relay->now_us < report->due_us) {
		relay_due(relay, report->due_us);
		return;
	}

	if (report->due_us)
		send_report(relay, stream, false);
	/* The first one comes in half the time (RFC 3550 section 6.2). */
	span_us = report->due_us ? REPORT_INTERVAL_US : REPORT_INTERVAL_US / 2;
	report->due_us = relay->now_us + span_us / 2 + rand_u32() % span_us;
	relay_due(relay, report->due_us);
}

void report_bye(struct relay *relay, struct stream *stream)
{
	if (stream->report.begun && ends_here(stream))
		send_report(relay, stream, true);
}
