/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_PROTOCOL_H
#define AOIDE_MEDIA_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

/*
 * What the switch and the media process say to each other over a Unix SOCK_SEQPACKET connection.
 *
 * A packet holds one or more messages; each starts with struct mp_hdr and is a multiple of eight
 * bytes long. Fixed widths, host byte order (both ends are the same binary on the same machine; a
 * big-endian peer fails the magic). Every message has exactly one length, so a reader checks the
 * length, the type, the direction and the ranges before it looks at anything (media/wire.h).
 *
 * The switch opens with MP_HELLO, the media process answers MP_WELCOME. These two keep the layout of
 * their first 32 bytes for ever, so that any version can tell any other why it will not talk.
 *
 * A lease owns streams. It is a random number that the switch keeps in <data>/run/lease; a second
 * connection with the same lease takes it over (the newest wins). When nobody is connected the
 * streams go on for MEDIA_LEASE_MS; when the lease is taken up again, streams that are not adopted
 * within MEDIA_LEASE_MS end.
 */
#define MP_MAGIC      0x41504d31u /* "1MPA" */
#define MP_VERSION    1
#define MP_MAX_PACKET 16384

enum mp_type {
	/* switch to media */
	MP_HELLO = 1,
	MP_OPEN,        /* answered by MP_OPENED or MP_FAILED */
	MP_CLOSE,       /* the stream ends; MP_STATS with MP_FINAL when asked */
	MP_REMOTE,
	MP_BRIDGE,
	MP_UNBRIDGE,
	MP_MUSIC_START,
	MP_MUSIC_STOP,
	MP_DTMF_SEND,
	MP_STATS_QUERY, /* answered by MP_STATS */
	MP_LIST,        /* answered by one MP_ORPHAN for each stream that waits for adoption, then
	                   MP_ORPHAN with stream 0 */
	MP_ADOPT,       /* answered by MP_OPENED or MP_FAILED */
	MP_ABANDON,     /* a stream that was not adopted ends */

	/* media to switch */
	MP_WELCOME = 64,
	MP_OPENED,
	MP_FAILED,
	MP_LATCHED,
	MP_TIMEOUT,
	MP_DTMF,
	MP_STATS,
	MP_ORPHAN,
	MP_TYPES
};

struct mp_hdr {
	uint16_t type;
	uint16_t size; /* of the whole message */
	uint32_t zero;
	uint64_t stream; /* 0 in MP_HELLO, MP_WELCOME, MP_LIST */
};

struct mp_addr {
	uint8_t family; /* 0 none, 4, 6 */
	uint8_t zero;
	uint16_t port; /* host order */
	uint32_t scope; /* IPv6 link-local */
	uint8_t addr[16]; /* network order; IPv4 in the first four */
};

struct mp_hello {
	struct mp_hdr hdr;
	uint32_t magic;
	uint16_t version;
	uint16_t zero;
	uint64_t lease; /* not 0 */
};

struct mp_welcome {
	struct mp_hdr hdr;
	uint32_t magic;
	uint16_t version;
	uint16_t zero;
	uint64_t lease;
	uint64_t instance; /* of this media process: another number means that it was restarted */
	uint32_t streams;  /* that wait for adoption */
	uint32_t zero2;
};

#define MP_OPEN_VIDEO 0x01
#define MP_OPEN_MUX   0x02
#define MP_OPEN_IPV6  0x04
#define MP_OPEN_FLAGS 0x07

struct mp_open {
	struct mp_hdr hdr;
	uint8_t flags;
	uint8_t tos; /* 0: the default of the kind */
	uint16_t zero;
	uint32_t timeout_ms;
	uint64_t near; /* a stream that this one will probably be bridged to; 0 none */
};

#define MP_CLOSE_STATS 0x01

struct mp_close {
	struct mp_hdr hdr;
	uint32_t flags;
	uint32_t zero;
};

#define MP_REMOTE_MUX       0x01
#define MP_REMOTE_SYMMETRIC 0x02
#define MP_REMOTE_SEND      0x04
#define MP_REMOTE_RECV      0x08
#define MP_REMOTE_FLAGS     0x0f

struct mp_remote {
	struct mp_hdr hdr;
	struct mp_addr rtp, rtcp;
	uint8_t flags;
	uint8_t codec; /* enum media_codec */
	uint8_t pt;    /* 0..127 */
	uint8_t ptime_ms;
	uint32_t clock_hz; /* 0: 8000 */
	int16_t dtmf_pt;   /* -1..127 */
	uint16_t zero;
	uint32_t zero2;
};

struct mp_bridge {
	struct mp_hdr hdr;
	uint64_t other;
};

struct mp_music {
	struct mp_hdr hdr;
	uint32_t moh_class;
	uint32_t zero;
};

struct mp_digit { /* MP_DTMF_SEND and MP_DTMF */
	struct mp_hdr hdr;
	uint8_t event; /* RFC 4733: 0-9, 10 *, 11 #, 12-15 A-D */
	uint8_t zero[3];
	uint32_t duration_ms;
};

struct mp_opened { /* and MP_ORPHAN */
	struct mp_hdr hdr;
	uint16_t rtp_port, rtcp_port;
	uint32_t zero;
};

struct mp_failed {
	struct mp_hdr hdr;
	int32_t err; /* negative */
	uint32_t zero;
};

struct mp_latched {
	struct mp_hdr hdr;
	struct mp_addr remote;
};

#define MP_FINAL 0x01

struct mp_stats {
	struct mp_hdr hdr;
	uint32_t flags;
	uint32_t jitter_us;
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, rx_lost, rx_dropped;
};

#endif
