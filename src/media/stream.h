/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_STREAM_H
#define AOIDE_MEDIA_STREAM_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include "media/client.h"
#include "media/digits.h"
#include "media/listen.h"
#include "media/protocol.h"
#include "media/rtcp.h"
#include "media/rtphdr.h"

/*
 * A stream as the control thread and its relay thread see it. Each field has one owner; a stream
 * changes hands only through the command and event queues of relay.h, so nothing here is locked.
 */
struct audio;
struct bundle;
struct play;
struct relay;
struct member;
struct recorder;
struct repack;
struct room;
struct secure;
struct slot;

#define MEDIA_LINE 64 /* bytes that come into the cache at once */

union net_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

socklen_t net_addr_len(const union net_addr *addr);
bool net_addr_isset(const union net_addr *addr); /* family, port and address are there */
bool net_addr_same_ip(const union net_addr *a, const union net_addr *b);
bool net_addr_same(const union net_addr *a, const union net_addr *b);
void net_addr_from_wire(union net_addr *ret, const struct mp_addr *wire);
void net_addr_to_wire(struct mp_addr *ret, const union net_addr *addr);
uint16_t net_addr_port(const union net_addr *addr);
void net_addr_set_port(union net_addr *addr, uint16_t port);

/* One UDP socket as epoll sees it. */
struct sock {
	struct slot *slot;
	int fd;
	bool is_rtcp;
};

/* A socket of sound that rests is in no epoll set: a tick fetches its packets. */
enum rest {
	REST_NONE,
	REST_HELD,  /* of a held phone: what it says goes nowhere, when it came is not known */
	REST_HEARD, /* to be decoded: the kernel stamps the packets */
};

/*
 * A bound even/odd pair of ports. Slots are kept when their stream ends: a call then needs no
 * socket(), bind(), epoll_ctl() or close(). Between two streams what arrives is read and thrown away
 * by the relay thread; when much arrives the slot is muted in epoll.
 */
struct slot { /* stream_line_alloc() */
	/* fixed */
	_Alignas(MEDIA_LINE) struct sock rtp;
	struct sock rtcp;
	uint16_t port;
	bool ipv6;

	/* relay thread */
	struct stream *stream; /* NULL between streams */
	uint32_t strays;
	uint8_t tos;
	bool connected, muted, keep_unconnected;
	bool away; /* between two relay threads: events of this turn no longer count */
	uint8_t resting; /* enum rest */

	/* control thread, and handed with the slot */
	struct slot *next;
	struct relay *relay; /* whose epoll set it is in */
	uint64_t freed_at_ms;
};

/* What the receiver behind a stream has been sent last; continuity is kept from here. */
struct stream_out {
	bool started, mapped; /* mapped: numbers differ from the source's */
	uint8_t source;       /* enum out_source */
	uint64_t source_id;   /* stream id of a bridge peer */
	uint32_t source_ssrc;
	uint32_t ssrc;
	uint16_t seq, seq_add;
	uint32_t ts, ts_add;
	uint64_t at_us; /* when it was sent */
};

enum out_source { OUT_NONE, OUT_BRIDGE, OUT_MUSIC, OUT_DTMF, OUT_AUDIO, OUT_ROOM };

/* Reception statistics, RFC 3550 appendix A. */
struct stream_in {
	bool started;
	bool timed;         /* transit is that of the packet before */
	uint32_t ssrc;
	uint16_t seq;       /* highest */
	uint32_t cycles;    /* 65536 each */
	uint32_t base;
	uint64_t in_span;   /* packets since base */
	uint64_t lost_before, expected_before; /* of earlier SSRCs */
	uint8_t pt;         /* of the last packet of sound */
	uint32_t transit, jitter_q4; /* RFC 3550 A.8 */
	uint32_t jitter_max_q4;
};

struct stream {
	/* control thread */
	struct stream *hash_next;
	struct stream *lease_prev, *lease_next;
	struct relay *relay;
	struct stream *bundled; /* the next one of its bundle, in a ring; NULL: in none */
	struct stream *bridged; /* to whom it was told to be */
	bool claimed;
	bool want_stats; /* when it closes */
	bool has_remote; /* was told one */
	uint64_t closed_at_ms;

	/* fixed */
	uint64_t id, lease;
	uint32_t room_hz;  /* not 0: a room */
	uint32_t timeout_ms;
	bool video, mux;
	uint8_t tos;

	/*
	 * Relay thread, all that follows. Thousands of streams do not fit the cache: what every packet
	 * that leaves needs stands in three lines of it, and what every one that comes needs follows.
	 */
	_Alignas(MEDIA_LINE) struct stream *gen_next; /* those that a tick sends for */
	struct stream *gen_prev;
	struct slot *slot;                  /* fixed; NULL: a room */
	struct play *play, *hold;           /* play.h: sequence, music */
	struct audio *audio;                /* the slow path (media/audio.h); NULL: packets only pass */
	struct stream *wire;                /* whose socket, addresses and keys it uses: usually its own */
	struct secure *secure;              /* SRTP, DTLS, ICE of the wire; NULL: plain RTP */

	struct bundle *bundle;              /* of those that use one wire; NULL: alone */
	uint64_t own_next_us;        /* what we send ourselves: no packet of a tick before */
	uint32_t own_ts;             /* ... comes next */
	uint8_t own_wait;            /* ... ticks until the next packet */
	bool own_marker;             /* ... it begins anew */
	bool in_gen;
	bool music;                  /* hold is set: the bridge is silent both ways */
	bool playing;                /* play is set and replaces what the bridge says */
	uint8_t flags;               /* MP_REMOTE_* */
	uint8_t codec, pt, ptime_ms; /* of formats[0]: what we send ourselves */
	bool locked;                 /* the source can no more be replaced */
	bool ice;                    /* its checks say who may send and who is sent to */
	uint32_t clock_hz;           /* of formats[0] */
	union net_addr dst;          /* where RTP goes */

	uint64_t tx_packets, tx_bytes;
	struct stream_out out;

	struct stream *peer;
	uint64_t rx_packets, rx_bytes, rx_dropped;
	uint64_t latched_at_us, heard_at_us;
	union net_addr src;          /* latched source */
	uint8_t rank;                /* of it; 0 none */
	bool timed_out;
	/* How packets pass to the peer: those alike in the bits of pass_mask to the packet that was
	 * looked at last (audio_route()). */
	uint32_t pass_key, pass_mask;
	uint8_t pass_pt;             /* as the peer numbers the format */
	int16_t dtmf_pt, dtmf_pt_in;
	struct stream_in in;

	struct digits digits;        /* that we send */
	struct listen_event digit;   /* that comes */
	struct listen *listen;       /* tones are looked for; or NULL */

	struct stream *prev, *next;   /* of the relay's list */
	struct stream *pace_prev, *pace_next; /* of those that are being connected */
	bool paced;
	struct room *room;            /* it is one */
	struct member *member;        /* it is in one */
	struct recorder *recorders;   /* record.h: also those whose file is being completed */
	bool closing;                 /* it ends when they have */
	struct play *coming;          /* the sequence that is being told */
	struct repack *repack;        /* NULL: the peer takes packets of this length */

	union net_addr sdp, sdp_rtcp; /* as told */
	union net_addr rtcp_dst;
	union net_addr local;         /* our address as the other side sees it, once known */
	struct mp_format formats[MP_MAX_FORMATS];
	uint8_t n_formats;
	uint8_t dtmf_tx;              /* enum media_dtmf */
	uint32_t dtmf_hz;
	bool rtcp_latched;
	bool transcoded;              /* ever */
	uint32_t concealed_ms;        /* sound that was invented, as far as we decoded it */
	uint32_t delay_ms;            /* of the jitter buffer when it was looked at last */
	struct report report;
};

/* Zeroed, at the beginning of a line; free() it. NULL: out of memory. */
void *stream_line_alloc(size_t size);

void stream_stats(const struct stream *stream, struct media_stats *ret);
/* Packets that should have come, and those that did not. */
uint64_t stream_expected(const struct stream *stream);
uint64_t stream_lost(const struct stream *stream);
/* Estimate of how it sounds when so much is lost (media/quality.h). */
uint16_t stream_mos_x100(const struct stream *stream, uint32_t lost_ppm);

#endif
