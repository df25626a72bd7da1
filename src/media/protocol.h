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
#define MP_VERSION    3
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
	MP_SECURE,      /* keys of SDES, or role and fingerprint of DTLS */
	MP_ICE,         /* credentials of both sides; candidates follow */
	MP_CANDIDATE,
	MP_MOH_FILE,    /* a file of a class of music */
	MP_PLAY,        /* one element of a sequence; the last one starts it. Answered by MP_PLAYED */
	MP_PLAY_STOP,
	MP_RECORD,      /* answered by MP_RECORDED when it has ended */
	MP_RECORD_SET,  /* pause, resume, stop */
	MP_ROOM_OPEN,   /* a mixer: a stream without a socket; MP_PLAY and MP_RECORD take its id */
	MP_ROOM_JOIN,   /* a stream enters a room, or changes how it takes part */
	MP_ROOM_LEAVE,
	MP_BUNDLE,      /* the stream uses the transport of another one */
	MP_LISTEN,      /* which ways of sending digits are looked for in what arrives */

	/* media to switch */
	MP_WELCOME = 64,
	MP_OPENED,
	MP_FAILED,
	MP_LATCHED,
	MP_TIMEOUT,
	MP_DTMF,
	MP_STATS,
	MP_ORPHAN,
	MP_SECURED,     /* DTLS or ICE came to an end, good or bad */
	MP_PLAYED,
	MP_RECORDED,
	MP_TALKING,     /* a member of a room begins or stops to speak */
	MP_FAX,         /* a tone of a fax machine (MP_LISTEN_FAX), once each time it begins */
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
	uint8_t fingerprint[32]; /* SHA-256 of the certificate of our DTLS (RFC 8122) */
};

#define MP_OPEN_VIDEO 0x01
#define MP_OPEN_MUX   0x02
#define MP_OPEN_IPV6  0x04
#define MP_OPEN_TOS   0x08 /* tos counts, also when it is 0 */
#define MP_OPEN_FLAGS 0x0f

struct mp_open {
	struct mp_hdr hdr;
	uint8_t flags;
	uint8_t tos; /* the octet of the IP header, with MP_OPEN_TOS; else the default of the kind */
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
#define MP_REMOTE_RAW       0x10 /* not RTP (UDPTL of T.38): datagrams pass as they are */
#define MP_REMOTE_FLAGS     0x1f

#define MP_MAX_FORMATS 8

#define MP_FORMAT_FEC   0x01 /* Opus: the other side makes use of it (useinbandfec) */
#define MP_FORMAT_DTX   0x02 /* Opus: we may fall silent (usedtx); G.729: annex B */
#define MP_FORMAT_FLAGS 0x03

struct mp_format {
	uint8_t codec;  /* enum media_codec */
	uint8_t pt_out; /* 0..127: what we send with */
	uint8_t pt_in;  /* what arrives with */
	uint8_t flags;
	uint32_t clock_hz; /* of RTP */
	uint32_t max_hz;   /* highest useful sampling rate (Opus maxplaybackrate); 0: the codec's */
};

struct mp_remote {
	struct mp_hdr hdr;
	struct mp_addr rtp, rtcp;
	uint8_t flags;
	uint8_t ptime_ms;
	uint8_t n_formats; /* the first is what we send when we make the sound ourselves */
	uint8_t dtmf_tx;   /* enum media_dtmf: how digits reach this side */
	int16_t dtmf_pt;   /* telephone-event as sent; -1..127 */
	int16_t dtmf_pt_in;
	uint32_t dtmf_hz;       /* clock of telephone-event; 0: that of the first format */
	uint32_t zero;
	struct mp_format formats[MP_MAX_FORMATS];
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

struct mp_bundle {
	struct mp_hdr hdr;
	uint64_t carrier; /* 0: its own transport again */
	uint8_t payload_types[16]; /* that arrive for it: a bit each, from the lowest of the first byte */
};

enum mp_secure_mode { MP_SECURE_OFF, MP_SECURE_SDES, MP_SECURE_DTLS, MP_SECURE_MODES };

#define MP_MAX_KEY 46 /* AES-256: 32 bytes of key, 14 of salt */

struct mp_secure {
	struct mp_hdr hdr;
	uint8_t mode;
	uint8_t suite_tx, suite_rx; /* enum media_suite, SDES */
	uint8_t active;             /* DTLS: we begin (a=setup:active) */
	uint8_t hash;               /* enum media_hash of the fingerprint */
	uint8_t zero[3];
	uint8_t key_tx[MP_MAX_KEY], key_rx[MP_MAX_KEY]; /* SDES: master key and salt */
	uint8_t zero2[4];
	uint8_t fingerprint[64];    /* DTLS: of the certificate that the other side must show */
};

#define MP_ICE_LITE_REMOTE 0x01 /* the other side answers checks only: we must make them */
#define MP_ICE_CONTROLLING 0x02
#define MP_ICE_RESTART     0x04
#define MP_ICE_OFF         0x08 /* no longer */
#define MP_ICE_FLAGS       0x0f

#define MP_MAX_UFRAG 32
#define MP_MAX_PWD   64

struct mp_ice { /* texts end with a zero byte */
	struct mp_hdr hdr;
	uint32_t flags;
	uint32_t zero;
	char ufrag[MP_MAX_UFRAG], pwd[MP_MAX_PWD];               /* ours */
	char remote_ufrag[MP_MAX_UFRAG], remote_pwd[MP_MAX_PWD]; /* empty until known */
};

struct mp_candidate { /* of the other side */
	struct mp_hdr hdr;
	struct mp_addr addr;
	uint32_t priority;
	uint8_t component; /* 1 RTP, 2 RTCP */
	uint8_t zero[3];
};

#define MP_MAX_PATH 232

#define MP_MOH_RANDOM 0x01
#define MP_MOH_LAST   0x02 /* the class is complete and replaces what was under this number */
#define MP_MOH_NONE   0x04 /* no file: the class is gone, the default plays instead */
#define MP_MOH_FLAGS  0x07

struct mp_moh_file {
	struct mp_hdr hdr; /* stream 0 */
	uint32_t moh_class; /* not 0: that is the default file of the configuration */
	uint16_t index;     /* from 0; restarts the list */
	uint16_t flags;
	char path[MP_MAX_PATH];
};

#define MP_PLAY_LAST 0x01 /* the sequence is complete: play it */
#define MP_PLAY_LOOP 0x02 /* for ever (with LAST) */
#define MP_PLAY_KEYS 0x04 /* a digit stops it (with LAST) */
#define MP_PLAY_MIX  0x08 /* over what the stream hears anyway (with LAST) */
#define MP_PLAY_FLAGS 0x0f

struct mp_play {
	struct mp_hdr hdr;
	uint32_t play; /* chosen by the switch; the same in each element */
	uint32_t offset_ms;
	uint16_t flags;
	int16_t gain_db;
	uint32_t zero;
	char sound[MP_MAX_PATH]; /* see media_play() */
};

struct mp_play_stop {
	struct mp_hdr hdr;
	uint32_t play;
	uint32_t zero;
};

struct mp_played {
	struct mp_hdr hdr;
	uint32_t play;
	int32_t err;       /* 0, or negative: a sound could not be read */
	uint32_t played_ms;
	uint8_t reason;    /* enum media_end */
	uint8_t event;     /* the digit that stopped it */
	uint8_t zero[2];
};

#define MP_RECORD_STEREO  0x01 /* said left, heard right; else mixed */
#define MP_RECORD_OPUS    0x02 /* Ogg; else WAV */
#define MP_RECORD_SEALED  0x04 /* encrypted with key (PLT-87) */
#define MP_RECORD_SAID    0x08 /* only what arrives from the stream, as voicemail wants it */
#define MP_RECORD_KEYS    0x10 /* a digit of the mask ends it */
#define MP_RECORD_FLAGS   0x1f

struct mp_record {
	struct mp_hdr hdr;
	uint32_t record; /* chosen by the switch */
	uint32_t flags;
	uint32_t max_ms;     /* 0: no limit */
	uint32_t silence_ms; /* ends after so much silence; 0: never */
	uint32_t keys;       /* bit n: RFC 4733 event n */
	uint32_t zero;
	uint8_t key[32];
	char path[MP_MAX_PATH]; /* below the folder of recordings */
};

enum mp_record_verb { MP_RECORD_PAUSE, MP_RECORD_RESUME, MP_RECORD_STOP, MP_RECORD_VERBS };

struct mp_record_set {
	struct mp_hdr hdr;
	uint32_t record;
	uint32_t verb;
};

struct mp_recorded {
	struct mp_hdr hdr;
	uint32_t record;
	int32_t err;
	uint64_t bytes;
	uint32_t recorded_ms;
	uint8_t reason; /* enum media_end */
	uint8_t event;
	uint8_t zero[2];
};

struct mp_room_open {
	struct mp_hdr hdr; /* its id, chosen like a stream's */
	uint32_t hz;       /* 8000, 16000 or 48000 */
	uint32_t flags;    /* 0 */
};

#define MP_MEMBER_MUTED   0x01 /* nobody hears it */
#define MP_MEMBER_DEAF    0x02 /* it hears nobody */
#define MP_MEMBER_WHISPER 0x04 /* only `to` hears it */
#define MP_MEMBER_SPY     0x08 /* it hears all, and also whispers */
#define MP_MEMBER_TALKING 0x10 /* MP_TALKING is wanted */
#define MP_MEMBER_FLAGS   0x1f

struct mp_room_join {
	struct mp_hdr hdr; /* the stream */
	uint64_t room;
	uint64_t to;       /* a stream of the room, or 0 */
	uint32_t flags;
	int16_t gain_in_db, gain_out_db; /* of what it says, of what it hears */
};

struct mp_talking {
	struct mp_hdr hdr;
	uint32_t talking;
	uint32_t level; /* -dBov, 0..127 (RFC 6464) */
};

enum mp_fax_tone { MP_FAX_CNG, MP_FAX_CED, MP_FAX_TONES };

struct mp_fax {
	struct mp_hdr hdr;
	uint32_t tone; /* enum mp_fax_tone */
	uint32_t zero;
};

#define MP_LISTEN_INBAND 0x01 /* tones in the sound */
#define MP_LISTEN_FAX    0x02 /* CNG and CED tones: MEDIA_EV_FAX */
#define MP_LISTEN_FLAGS  0x03

struct mp_listen {
	struct mp_hdr hdr;
	uint32_t flags;
	uint32_t zero;
};

struct mp_secured {
	struct mp_hdr hdr;
	int32_t err; /* 0: media can flow */
	uint32_t zero;
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
	uint64_t tx_lost;       /* as the other side reports */
	uint32_t tx_jitter_us;  /* as the other side reports */
	uint32_t rtt_us;        /* last; 0 unknown */
	uint32_t rtt_max_us;
	uint16_t mos_x100;      /* estimate of what is received (E-model); 0 unknown */
	uint8_t codec;          /* enum media_codec of what was received last */
	uint8_t transcoded;     /* it was decoded and encoded anew */
	uint32_t concealed_ms;  /* sound that had to be invented */
	uint32_t delay_ms;      /* of the jitter buffer, at present */
	uint32_t jitter_max_us;
	uint16_t mos_min_x100;  /* of the worst span of some 5 s */
	uint16_t zero;
};

#endif
