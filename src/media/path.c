/* SPDX-License-Identifier: Apache-2.0 */
#include "media/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include "media/audio.h"
#include "media/bundle.h"
#include "media/codec.h"
#include "media/quality.h"
#include "media/secure.h"

/* Packets: what is accepted from whom, and where it goes. Relay thread only. */

#define REST_MOST_US 200000 /* some ticks: longer no packet waits for one */
#define PATH_ROUNDS  16 /* batches read from one socket before others get their turn */

enum rank { RANK_NONE, RANK_OTHER, RANK_SAME_IP, RANK_EXACT };

/* ------------------------------------------------------------------ sending */

/* Sends with the source address the other side knows, when the kernel would choose another. */
static void name_source(struct msghdr *msg, const union net_addr *local, uint8_t *buf)
{
	struct cmsghdr *cmsg = (void *)buf;

	if (local->sa.sa_family == AF_INET) {
		struct in_pktinfo info = { .ipi_spec_dst = local->in.sin_addr };

		*cmsg = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(info)),
					  .cmsg_level = IPPROTO_IP,
					  .cmsg_type = IP_PKTINFO };
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		msg->msg_controllen = CMSG_SPACE(sizeof(info));
	} else {
		struct in6_pktinfo info = { .ipi6_addr = local->in6.sin6_addr };

		*cmsg = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(info)),
					  .cmsg_level = IPPROTO_IPV6,
					  .cmsg_type = IPV6_PKTINFO };
		memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
		msg->msg_controllen = CMSG_SPACE(sizeof(info));
	}
	msg->msg_control = buf;
}

/* One block without options: the kernel need not fetch and check a list of parts. */
static int send_one(int fd, const struct msghdr *msg)
{
	ssize_t len = msg->msg_iovlen == 1 && !msg->msg_control
			      ? sendto(fd, msg->msg_iov->iov_base, msg->msg_iov->iov_len,
				       MSG_DONTWAIT, msg->msg_name, msg->msg_namelen)
			      : sendmsg(fd, msg, MSG_DONTWAIT);

	return len < 0 ? -1 : 1;
}

/* From the socket fd of a wire. */
static void send_all(struct relay *relay, struct stream *wire, int fd, const union net_addr *dst,
		     struct mmsghdr *msgs, unsigned n)
{
	_Alignas(struct cmsghdr) uint8_t control[64] = { 0 };
	bool connected = fd == wire->slot->rtp.fd && wire->slot->connected;
	unsigned done = 0;
	bool retried = false;

	for (unsigned i = 0; i < n; i++) {
		struct msghdr *hdr = &msgs[i].msg_hdr;

		hdr->msg_name = connected ? NULL : (void *)(uintptr_t)dst;
		hdr->msg_namelen = connected ? 0 : net_addr_len(dst);
		hdr->msg_control = NULL;
		hdr->msg_controllen = 0;
		if (!connected && wire->slot->keep_unconnected)
			name_source(hdr, &wire->local, control);
	}

	while (done < n) {
		int sent = n == 1 ? send_one(fd, &msgs[0].msg_hdr)
				  : sendmmsg(fd, msgs + done, n - done, MSG_DONTWAIT);

		if (sent > 0) {
			done += (unsigned)sent;
			continue;
		}
		/* An ICMP error of an earlier packet is told by this call, which then sent nothing. */
		if (errno == ECONNREFUSED && !retried) {
			retried = true;
			continue;
		}
		relay->local.dropped++;
		done++;
	}
}

void path_send_raw(struct relay *relay, const struct sock *sock, const union net_addr *dst,
		   const union net_addr *local, const void *data, size_t len)
{
	_Alignas(struct cmsghdr) uint8_t control[64] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_name = (void *)(uintptr_t)dst,
			      .msg_namelen = net_addr_len(dst),
			      .msg_iov = &iov,
			      .msg_iovlen = 1 };

	if (local->sa.sa_family != AF_UNSPEC)
		name_source(&msg, local, control);
	if (sendmsg(sock->fd, &msg, MSG_DONTWAIT) < 0)
		relay->local.dropped++;
}

static void count_sent(struct relay *relay, struct stream *stream, size_t bytes)
{
	stream->tx_packets++;
	stream->tx_bytes += bytes;
	relay->local.tx_packets++;
}

/* The parts as one packet: a small copy is cheaper than two parts are for the kernel. */
static bool gather(struct iovec *one, const struct iovec *iov, int n_iov)
{
	size_t room = one->iov_len - SECURE_TRAILER, len = 0;

	for (int i = 0; i < n_iov; i++) {
		if (iov[i].iov_len > room - len)
			return false;
		memcpy((uint8_t *)one->iov_base + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	one->iov_len = len;
	return true;
}

/* The usual way of what we send ourselves: nothing is to be said to the kernel but what it shall send. */
static bool send_connected(const struct slot *slot, const void *data, size_t len)
{
	return slot->connected && send(slot->rtp.fd, data, len, MSG_DONTWAIT) >= 0;
}

void path_send(struct relay *relay, struct stream *stream, const struct iovec *iov, int n_iov)
{
	_Alignas(8) uint8_t data[RELAY_MAX_PACKET + SECURE_TRAILER];
	struct iovec one = { data, sizeof(data) };
	struct mmsghdr msg = { .msg_hdr = { .msg_iov = &one, .msg_iovlen = 1 } };
	size_t bytes;

	if (!gather(&one, iov, n_iov)) {
		relay->local.dropped++;
		return;
	}
	bytes = one.iov_len;
	if (stream->secure && !secure_protect(stream, data, &one.iov_len, false)) {
		relay->local.dropped++;
		return;
	}
	count_sent(relay, stream, bytes);
	if (!send_connected(stream->wire->slot, data, one.iov_len))
		send_all(relay, stream->wire, stream->wire->slot->rtp.fd, &stream->wire->dst, &msg, 1);
}

void path_send_rtcp(struct relay *relay, struct stream *stream, uint8_t *data, size_t len)
{
	bool mux = stream->flags & MP_REMOTE_MUX;
	struct stream *wire = stream->wire;
	const union net_addr *dst = mux ? &wire->dst : &wire->rtcp_dst;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct mmsghdr msg = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };

	if (!net_addr_isset(dst))
		return;
	if (stream->secure && !secure_protect(stream, data, &iov.iov_len, true)) {
		relay->local.dropped++;
		return;
	}
	relay->local.tx_packets++;
	send_all(relay, wire, mux ? wire->slot->rtp.fd : wire->slot->rtcp.fd, dst, &msg, 1);
}

static bool may_send(const struct stream *stream)
{
	return (stream->flags & MP_REMOTE_SEND) && net_addr_isset(&stream->wire->dst);
}

/* ------------------------------------------------------------------ latching */

void path_disconnect(struct slot *slot)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (slot->connected)
		(void)connect(slot->rtp.fd, &none, sizeof(none)); /* UDP: cannot fail */
	slot->connected = false;
	slot->keep_unconnected = false;
}

void path_forget_remote(struct stream *stream)
{
	path_disconnect(stream->slot);
	memset(&stream->dst, 0, sizeof(stream->dst));
	memset(&stream->src, 0, sizeof(stream->src));
	memset(&stream->sdp, 0, sizeof(stream->sdp));
	memset(&stream->sdp_rtcp, 0, sizeof(stream->sdp_rtcp));
	memset(&stream->rtcp_dst, 0, sizeof(stream->rtcp_dst));
	memset(&stream->local, 0, sizeof(stream->local));
	stream->rank = RANK_NONE;
	stream->locked = false;
}

/*
 * A connected socket sends cheaper, and the kernel keeps third parties out. But connect() also
 * chooses our address; when the phone talks to another one of this host the socket stays
 * unconnected and names its source in each packet.
 */
static void try_connect(struct stream *stream)
{
	struct slot *slot = stream->slot;
	union net_addr own;
	socklen_t len = sizeof(own);

	if (slot->connected || slot->keep_unconnected ||
	    !net_addr_same(&stream->src, &stream->dst))
		return;
	if (connect(slot->rtp.fd, &stream->dst.sa, net_addr_len(&stream->dst)))
		return;

	slot->connected = true;
	if (stream->local.sa.sa_family == AF_UNSPEC)
		return;
	if (getsockname(slot->rtp.fd, &own.sa, &len) || !net_addr_same_ip(&own, &stream->local)) {
		path_disconnect(slot);
		slot->keep_unconnected = true;
	}
}

void path_local(union net_addr *ret, const struct msghdr *msg)
{
	memset(ret, 0, sizeof(*ret));
	for (const struct cmsghdr *c = CMSG_FIRSTHDR(msg); c;
	     c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, (struct cmsghdr *)(uintptr_t)c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret->in = (struct sockaddr_in){ .sin_family = AF_INET,
							.sin_addr = info.ipi_addr };
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ret->in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6,
							  .sin6_addr = info.ipi6_addr };
		}
	}
}

static void learn_local(struct stream *stream, const struct msghdr *msg)
{
	union net_addr local;

	path_local(&local, msg);
	if (local.sa.sa_family != AF_UNSPEC)
		stream->local = local;
}

static void latch(struct relay *relay, struct stream *stream, const struct msghdr *msg,
		  enum rank rank)
{
	const union net_addr *from = msg->msg_name;
	struct relay_ev ev = { .type = REV_LATCHED, .id = stream->id, .lease = stream->lease };

	if (!stream->rank)
		stream->latched_at_us = relay->now_us;
	stream->rank = (uint8_t)rank;
	stream->src = *from;
	learn_local(stream, msg);
	if (stream->flags & MP_REMOTE_SYMMETRIC) {
		stream->dst = *from;
		/* RTCP is taken from where it comes; until then it goes beside the RTP port. */
		if (!stream->rtcp_latched) {
			stream->rtcp_dst = *from;
			net_addr_set_port(&stream->rtcp_dst, (uint16_t)(net_addr_port(from) + 1));
		}
	}
	net_addr_to_wire(&ev.u.addr, from);
	relay_event(relay, &ev, true);
}

static bool source_ok(struct relay *relay, struct stream *stream, const struct msghdr *msg)
{
	const union net_addr *from = msg->msg_name;
	enum rank rank, least;

	if (stream->rank && net_addr_same(from, &stream->src)) {
		if (!stream->locked && relay->now_us - stream->latched_at_us >= MEDIA_LATCH_US) {
			stream->locked = true;
			try_connect(stream);
		}
		return true;
	}
	if (stream->ice)
		return secure_source_ok(stream, from);

	rank = net_addr_same(from, &stream->sdp)      ? RANK_EXACT
	       : net_addr_same_ip(from, &stream->sdp) ? RANK_SAME_IP
						      : RANK_OTHER;
	least = stream->flags & MP_REMOTE_SYMMETRIC ? RANK_OTHER : RANK_SAME_IP;
	if (rank < least || stream->locked || rank <= stream->rank)
		return false;
	if (stream->rank && relay->now_us - stream->latched_at_us >= MEDIA_LATCH_US)
		return false; /* the first second is over, though nothing came in it */

	latch(relay, stream, msg, rank);
	if (rank == RANK_EXACT) {
		stream->locked = true;
		try_connect(stream);
	}
	return true;
}

void path_set_remote(struct relay *relay, struct stream *stream, const struct mp_remote *remote)
{
	union net_addr sdp, sdp_rtcp;
	bool anew, other_formats;

	net_addr_from_wire(&sdp, &remote->rtp);
	net_addr_from_wire(&sdp_rtcp, &remote->rtcp);
	anew = !net_addr_same(&sdp, &stream->sdp) ||
	       ((remote->flags ^ stream->flags) & MP_REMOTE_SYMMETRIC);

	other_formats = remote->n_formats != stream->n_formats || remote->ptime_ms != stream->ptime_ms ||
			memcmp(remote->formats, stream->formats, sizeof(stream->formats));

	stream->flags = remote->flags;
	memcpy(stream->formats, remote->formats, sizeof(stream->formats));
	stream->n_formats = remote->n_formats;
	stream->codec = remote->n_formats ? remote->formats[0].codec : MEDIA_CODEC_OTHER;
	stream->pt = remote->formats[0].pt_out;
	stream->ptime_ms = remote->ptime_ms;
	stream->clock_hz = remote->formats[0].clock_hz ? remote->formats[0].clock_hz : 8000;
	stream->dtmf_tx = remote->dtmf_tx;
	stream->dtmf_pt = remote->dtmf_pt;
	stream->dtmf_pt_in = remote->dtmf_pt_in;
	stream->dtmf_hz = remote->dtmf_hz ? remote->dtmf_hz : stream->clock_hz;
	stream->heard_at_us = relay->now_us; /* the silence that counts begins now */
	stream->timed_out = false;
	if (other_formats)
		audio_formats_changed(relay, stream);

	if (stream->ice || stream->wire != stream || (!anew && net_addr_same(&sdp_rtcp, &stream->sdp_rtcp)))
		return;

	if (anew) {
		path_disconnect(stream->slot);
		stream->sdp = sdp;
		stream->dst = sdp;
		stream->rank = RANK_NONE;
		stream->locked = false;
		memset(&stream->local, 0, sizeof(stream->local));
	}
	stream->sdp_rtcp = sdp_rtcp;
	stream->rtcp_latched = false;
	stream->rtcp_dst = sdp_rtcp;
	if (!net_addr_isset(&sdp_rtcp) && net_addr_isset(&sdp)) {
		stream->rtcp_dst = sdp;
		net_addr_set_port(&stream->rtcp_dst, (uint16_t)(net_addr_port(&sdp) + 1));
	}
}

/* ------------------------------------------------------------------ statistics, digits */

static void count_span(struct stream_in *in)
{
	uint64_t expected = (uint64_t)in->cycles + in->seq - in->base + 1;

	in->expected_before += expected;
	if (expected > in->in_span)
		in->lost_before += expected - in->in_span;
}

static void start_span(struct stream_in *in, const struct hdr_rtp *hdr)
{
	in->started = true;
	in->ssrc = hdr->ssrc;
	in->seq = hdr->seq;
	in->base = hdr->seq;
	in->cycles = 0;
	in->in_span = 0;
	in->timed = false;
}

/* RFC 3550 appendix A.1, A.3 and A.8, without its probation: the source is checked by address. */
static void count_rtp(struct stream *stream, const struct hdr_rtp *hdr, uint64_t now_us)
{
	struct stream_in *in = &stream->in;
	uint32_t transit = (uint32_t)(now_us * stream->clock_hz / 1000000) - hdr->ts;
	int16_t step = (int16_t)(hdr->seq - in->seq);
	uint32_t d;

	if (!in->started || in->ssrc != hdr->ssrc || step > 3000 || step < -3000) {
		if (in->started)
			count_span(in);
		start_span(in, hdr);
	} else if (step > 0) {
		if (hdr->seq < in->seq)
			in->cycles += 65536;
		in->seq = hdr->seq;
	}
	in->in_span++;
	if (hdr->pt == stream->dtmf_pt_in)
		return; /* packets of a digit share a timestamp: they say nothing about the way */
	in->pt = hdr->pt;
	if (stream->slot->resting == REST_HELD) {
		in->timed = false;
		return;
	}

	d = in->timed ? transit - in->transit : 0;
	in->timed = true;
	in->transit = transit;
	if ((int32_t)d < 0)
		d = -d;
	if (d < stream->clock_hz) /* a jump of the sender's clock is not jitter */
		in->jitter_q4 += d - ((in->jitter_q4 + 8) >> 4);
	if (in->jitter_q4 > in->jitter_max_q4)
		in->jitter_max_q4 = in->jitter_q4;
}

uint64_t stream_expected(const struct stream *stream)
{
	struct stream_in in = stream->in;

	if (in.started)
		count_span(&in);
	return in.expected_before;
}

uint64_t stream_lost(const struct stream *stream)
{
	struct stream_in in = stream->in;

	if (in.started)
		count_span(&in);
	return in.lost_before;
}

static uint32_t clock_us(const struct stream *stream, uint64_t units)
{
	return stream->clock_hz ? (uint32_t)(units * 1000000 / stream->clock_hz) : 0;
}

static const struct mp_format *format_heard(const struct stream *stream)
{
	static const struct mp_format other = { .codec = MEDIA_CODEC_OTHER };

	for (unsigned i = 0; i < stream->n_formats; i++)
		if (stream->formats[i].pt_in == stream->in.pt)
			return &stream->formats[i];
	return &other;
}

uint16_t stream_mos_x100(const struct stream *stream, uint32_t lost_ppm)
{
	uint32_t jitter_ms = clock_us(stream, stream->in.jitter_q4 >> 4) / 1000;
	/* Our buffer where we decode; else who hears it has at least two packets, and twice the jitter. */
	uint32_t buffer_ms = stream->delay_ms ? stream->delay_ms : jitter_ms > 20 ? 2 * jitter_ms : 40;
	const struct mp_format *format = format_heard(stream);
	const struct codec *codec = codec_find(format->codec, format->clock_hz);

	return quality_mos_x100(&(struct quality){
		.codec = format->codec,
		.hz = codec ? codec_hz(codec, UINT32_MAX) : 0,
		.lost_ppm = lost_ppm,
		.delay_ms = stream->report.rtt_us / 2000 + buffer_ms + stream->ptime_ms });
}

static void fill_quality(const struct stream *stream, uint64_t expected, struct media_stats *ret)
{
	uint64_t lost_ppm, invented_ppm;

	if (!expected || stream->video)
		return;
	/* Sound that came too late to be played was invented as well as sound that never came. */
	lost_ppm = ret->rx_lost * 1000000 / expected;
	invented_ppm = ret->concealed_ms * 1000000ull / (expected * (stream->ptime_ms ? stream->ptime_ms : 20));
	lost_ppm = invented_ppm > lost_ppm ? invented_ppm : lost_ppm;
	ret->mos_x100 = stream_mos_x100(stream, lost_ppm < 1000000 ? (uint32_t)lost_ppm : 1000000);
	ret->mos_min_x100 = stream->report.mos_min_x100;
	if (!ret->mos_min_x100 || ret->mos_x100 < ret->mos_min_x100)
		ret->mos_min_x100 = ret->mos_x100;
}

void stream_stats(const struct stream *stream, struct media_stats *ret)
{
	uint32_t jitter_us = clock_us(stream, stream->in.jitter_q4 >> 4);
	uint32_t peak_us = clock_us(stream, stream->in.jitter_max_q4 >> 4);

	*ret = (struct media_stats){
		.rx_packets = stream->rx_packets,
		.rx_bytes = stream->rx_bytes,
		.tx_packets = stream->tx_packets,
		.tx_bytes = stream->tx_bytes,
		.rx_lost = stream_lost(stream),
		.rx_dropped = stream->rx_dropped,
		.tx_lost = stream->report.tx_lost,
		.jitter_us = jitter_us,
		.jitter_max_us = peak_us,
		.tx_jitter_us = clock_us(stream, stream->report.tx_jitter),
		.rtt_us = stream->report.rtt_us,
		.rtt_max_us = stream->report.rtt_max_us,
		.codec = stream->in.started ? format_heard(stream)->codec : MEDIA_CODEC_OTHER,
		.transcoded = stream->transcoded,
		.concealed_ms = stream->concealed_ms,
		.delay_ms = stream->delay_ms,
	};
	fill_quality(stream, stream_expected(stream), ret);
}

/* ------------------------------------------------------------------ receiving */

static void drop(struct relay *relay, struct stream *stream)
{
	stream->rx_dropped++;
	relay->local.dropped++;
}

bool path_passes(const struct stream *stream)
{
	const struct stream *peer = stream->peer;

	return peer && !stream->music && !peer->music && !peer->playing && !peer->digits.active &&
	       may_send(peer);
}

/* True when the packet, changed in place, is to be sent to the peer. */
static bool take_rtp(struct relay *relay, struct stream *stream, const struct msghdr *msg,
		     uint8_t *data, size_t len)
{
	struct stream *peer = stream->peer;
	struct hdr_rtp hdr;
	bool passes, changed;

	if (hdr_rtp_parse(&hdr, data, len) || !source_ok(relay, stream->wire, msg)) {
		drop(relay, stream);
		return false;
	}

	stream->rx_packets++;
	stream->rx_bytes += len;
	stream->heard_at_us = relay->now_us;
	stream->timed_out = false;
	count_rtp(stream, &hdr, relay->now_us);
	if (!(stream->flags & MP_REMOTE_RECV)) {
		drop(relay, stream);
		return false;
	}
	if (hdr.pt == stream->dtmf_pt_in && !listen_event(relay, stream, &hdr, data))
		return false;

	passes = path_passes(stream);
	if (passes && (audio_pass_key(&hdr) & stream->pass_mask) != stream->pass_key)
		passes = audio_route(relay, stream, &hdr, data + hdr.payload_at);
	if (stream->audio)
		audio_take(relay, stream, &hdr, data + hdr.payload_at);
	if (!passes)
		return false;

	changed = hdr.pt != stream->pass_pt;
	hdr.pt = stream->pass_pt;
	out_map(&peer->out, OUT_BRIDGE, stream->id, &hdr, peer->clock_hz, relay->now_us,
		stream->video);
	if (changed || peer->out.mapped)
		hdr_rtp_patch(data, &hdr);
	return true;
}

static bool rtcp_source_ok(struct stream *stream, const union net_addr *from, bool is_rtcp_socket)
{
	if (stream->ice)
		return secure_source_ok(stream, from);
	if (stream->rank ? !net_addr_same_ip(from, &stream->src)
			 : (stream->flags & MP_REMOTE_SYMMETRIC) ||
				   (!net_addr_same_ip(from, &stream->sdp) &&
				    !net_addr_same_ip(from, &stream->sdp_rtcp)))
		return false;

	if (is_rtcp_socket && (stream->flags & MP_REMOTE_SYMMETRIC) && !stream->rtcp_latched) {
		stream->rtcp_latched = true;
		stream->rtcp_dst = *from;
	}
	return true;
}

bool path_source_ok(struct relay *relay, struct stream *stream, const struct sock *sock,
		    const struct msghdr *msg)
{
	return sock->is_rtcp ? rtcp_source_ok(stream, msg->msg_name, true)
			     : source_ok(relay, stream, msg);
}

static struct hdr_map map_of(const struct stream *to, const struct stream *from)
{
	const struct stream_out *out = &to->out;

	return (struct hdr_map){ .on = out->started && out->mapped && out->source == OUT_BRIDGE &&
				       out->source_id == from->id,
				 .ssrc_in = out->source_ssrc,
				 .ssrc_out = out->ssrc,
				 .seq_add = out->seq_add,
				 .ts_add = out->ts_add };
}

/* Of video: what a phone reports and asks for goes to the phone that films. */
static void pass_rtcp(struct relay *relay, struct stream *stream, uint8_t *data, size_t len)
{
	struct stream *peer = stream->peer;
	struct hdr_map self, about;

	/* While one side hears music its reports are not about the other; an echo has none. */
	if (!peer || peer == stream || stream->music || peer->music)
		return;

	self = map_of(peer, stream);
	about = map_of(stream, peer);
	if (hdr_rtcp_map(data, len, &self, &about)) {
		drop(relay, stream);
		return;
	}
	path_send_rtcp(relay, peer, data, len);
}

static void take_rtcp(struct relay *relay, struct stream *stream, const struct sock *sock,
		      const union net_addr *from, uint8_t *data, size_t len)
{
	if (!hdr_is_rtcp(data, len) || !rtcp_source_ok(stream->wire, from, sock->is_rtcp)) {
		drop(relay, stream);
		return;
	}
	/* A phone that is muted or saves silence may send nothing else for minutes: it is there. */
	stream->heard_at_us = relay->now_us;
	stream->timed_out = false;

	if (stream->video)
		pass_rtcp(relay, stream, data, len);
	else if (report_take(relay, stream, data, len))
		drop(relay, stream);
}

/*
 * A compound may speak of several lines of a bundle: each hears what concerns it. What is protected
 * grows at its end, so all but the last are copied.
 */
static void take_bundled_rtcp(struct relay *relay, struct stream *carrier, const struct sock *sock,
			      const union net_addr *from, uint8_t *data, size_t len)
{
	uint8_t part[RELAY_MAX_PACKET + SECURE_TRAILER];
	struct stream *line = NULL;
	size_t begin = 0, at = 0;

	while (at + 4 <= len) {
		size_t size = 4 + 4u * (size_t)(data[at + 2] << 8 | data[at + 3]);
		struct stream *whose =
			size <= len - at ? bundle_report_line(carrier, data + at, size) : NULL;

		if (whose && line && whose != line) {
			memcpy(part, data + begin, at - begin);
			take_rtcp(relay, line, sock, from, part, at - begin);
			begin = at;
		}
		line = whose ? whose : line;
		at += size;
	}
	take_rtcp(relay, line ? line : carrier, sock, from, data + begin, len - begin);
}

/*
 * Not RTP (UDPTL of T.38): what comes from the right place goes on as it is. Directions do not count,
 * and neither does silence: who receives a long page has nothing to say.
 */
static bool take_raw(struct relay *relay, struct stream *stream, const struct sock *sock,
		     const struct msghdr *msg, size_t len)
{
	const struct stream *peer = stream->peer;

	if (sock->is_rtcp || !source_ok(relay, stream, msg)) {
		drop(relay, stream);
		return false;
	}

	stream->rx_packets++;
	stream->rx_bytes += len;
	stream->heard_at_us = relay->now_us;
	stream->timed_out = false;
	return peer && peer->flags & MP_REMOTE_RAW && net_addr_isset(&peer->dst);
}

static void send_passed(struct relay *relay, struct stream *to, unsigned n)
{
	struct stream *wire = to->wire;

	send_all(relay, wire, wire->slot->rtp.fd, &wire->dst, relay->out, n);
}

/* When a packet that waited for the tick came; a clock that was set does not make it older than that. */
static uint64_t came_at_us(const struct relay *relay, struct msghdr *msg, uint64_t now_us)
{
	struct timespec ts;
	uint64_t at_us;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
			continue;
		memcpy(&ts, CMSG_DATA(c), sizeof(ts));
		at_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000 + relay->rest_skew_us;
		return at_us <= now_us && now_us - at_us <= REST_MOST_US ? at_us : now_us;
	}
	return now_us;
}

static void take_batch(struct relay *relay, struct sock *sock, struct stream *stream, unsigned n)
{
	const bool waited = sock->slot->resting == REST_HEARD && !sock->is_rtcp;
	const uint64_t now_us = relay->now_us;
	const bool is_shared = stream->bundle;
	struct stream *line = stream, *to = NULL; /* whose packet it is; whom those that wait are for */
	unsigned n_out = 0;

	for (unsigned i = 0; i < n; i++) {
		struct msghdr *msg = &relay->in[i].msg_hdr;
		uint8_t *data = relay->in_data[i];
		size_t len = relay->in[i].msg_len, bytes;

		relay->local.rx_packets++;
		if (waited)
			relay->now_us = came_at_us(relay, msg, now_us);
		if (len > RELAY_MAX_PACKET || msg->msg_flags & MSG_TRUNC) {
			drop(relay, stream);
			continue;
		}
		if (stream->flags & MP_REMOTE_RAW) {
			if (!take_raw(relay, stream, sock, msg, len))
				continue;
			bytes = len;
		} else {
			if (stream->secure && !secure_receive(relay, stream, sock, msg, data, &len))
				continue;
			if (sock->is_rtcp || hdr_is_rtcp(data, len)) {
				if (is_shared)
					take_bundled_rtcp(relay, stream, sock, msg->msg_name, data, len);
				else
					take_rtcp(relay, stream, sock, msg->msg_name, data, len);
				continue;
			}
			if (is_shared)
				line = bundle_line(stream, data, len);
			if (!take_rtp(relay, line, msg, data, len))
				continue;
			bytes = len;
			if (line->peer->secure && !secure_protect(line->peer, data, &len, false)) {
				relay->local.dropped++;
				continue;
			}
			if (n_out && to != line->peer) {
				send_passed(relay, to, n_out);
				n_out = 0;
			}
		}
		to = line->peer;
		relay->out_iov[n_out] = (struct iovec){ .iov_base = data, .iov_len = len };
		relay->out[n_out].msg_hdr.msg_iov = &relay->out_iov[n_out];
		relay->out[n_out].msg_hdr.msg_iovlen = 1;
		count_sent(relay, to, bytes);
		n_out++;
	}
	relay->now_us = now_us;
	if (n_out)
		send_passed(relay, to, n_out);
}

static int receive(struct relay *relay, int fd, bool want_control)
{
	int n;

	for (int i = 0; i < RELAY_BATCH; i++) {
		struct msghdr *msg = &relay->in[i].msg_hdr;

		msg->msg_namelen = sizeof(union net_addr);
		msg->msg_controllen = want_control ? sizeof(relay->in_control[i]) : 0;
		msg->msg_control = want_control ? relay->in_control[i] : NULL;
	}
	n = recvmmsg(fd, relay->in, RELAY_BATCH, MSG_DONTWAIT, NULL);

	/* An ICMP error of the past (ECONNREFUSED) is taken by the call; the packets are still there. */
	if (n < 0 && errno != EAGAIN)
		n = recvmmsg(fd, relay->in, RELAY_BATCH, MSG_DONTWAIT, NULL);
	return n;
}

/* Nobody's packets: late ones of the call before, or strangers. */
static void read_strays(struct relay *relay, struct sock *sock)
{
	struct slot *slot = sock->slot;
	struct epoll_event none = { .data.ptr = sock };

	for (int n = RELAY_BATCH; n == RELAY_BATCH;) {
		n = receive(relay, sock->fd, false);
		if (n > 0)
			slot->strays += (uint32_t)n;
		if (slot->strays > MEDIA_STRAYS_MAX)
			break;
	}
	if (slot->strays <= MEDIA_STRAYS_MAX || slot->muted)
		return;

	slot->muted = true;
	none.data.ptr = &slot->rtp;
	(void)epoll_ctl(relay->epoll_fd, EPOLL_CTL_MOD, slot->rtp.fd, &none);
	none.data.ptr = &slot->rtcp;
	(void)epoll_ctl(relay->epoll_fd, EPOLL_CTL_MOD, slot->rtcp.fd, &none);
}

void path_drain(struct relay *relay, struct sock *sock)
{
	for (int i = 0; i < PATH_ROUNDS && receive(relay, sock->fd, false) == RELAY_BATCH; i++)
		;
}

/* Edge-triggered: reads until the socket is empty, or arms it again. One that rests is read by each tick. */
void path_readable(struct relay *relay, struct sock *sock)
{
	struct epoll_event again = { .events = EPOLLIN | EPOLLET, .data.ptr = sock };
	struct stream *stream = sock->slot->stream;
	int n;

	if (sock->slot->away)
		return; /* its next thread reads them */
	if (!stream) {
		read_strays(relay, sock);
		return;
	}

	for (int round = 0; round < PATH_ROUNDS; round++) {
		n = receive(relay, sock->fd, !stream->locked || stream->ice || sock->slot->resting == REST_HEARD);
		if (n > 0)
			take_batch(relay, sock, stream, (unsigned)n);
		if (n < RELAY_BATCH)
			return;
	}
	if (!sock->slot->resting || sock->is_rtcp)
		(void)epoll_ctl(relay->epoll_fd, EPOLL_CTL_MOD, sock->fd, &again);
}
