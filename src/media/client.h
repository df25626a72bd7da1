/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_CLIENT_H
#define AOIDE_MEDIA_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The switch's side of the media process: commands out, events in, over one SOCK_SEQPACKET
 * connection (media/protocol.h holds the wire structs). Call thread only; never blocks: commands
 * are batched and sent at the end of the loop's turn, and queue while the media process restarts.
 *
 * A stream is one m-line of one leg: an RTP socket and (unless rtcp-mux) an RTCP socket. Streams
 * belong to a lease; they live on for MEDIA_LEASE_MS when the switch is gone and are adopted by the
 * next switch that presents their ids. Stream ids are chosen by the switch and never reused.
 */
#define MEDIA_LEASE_MS 60000

struct sa;
struct media;        /* the connection */
struct media_stream; /* handle; mem_deref() closes the stream in the media process */

enum media_codec { /* what the media process can decode and encode; others only pass */
	MEDIA_CODEC_OTHER, MEDIA_PCMA, MEDIA_PCMU, MEDIA_G722, MEDIA_GSM, MEDIA_OPUS, MEDIA_L16,
	MEDIA_G726_32, MEDIA_G729, MEDIA_CODECS,
};

/* Ways in which a digit travels (PLT-37). INFO is signalling: the call layer sends it. */
enum media_dtmf { MEDIA_DTMF_NONE, MEDIA_DTMF_EVENT, MEDIA_DTMF_INBAND, MEDIA_DTMF_WAYS };

enum media_suite { /* RFC 4568, 6188, 7714 */
	MEDIA_SUITE_NONE,
	MEDIA_AES_CM_128_HMAC_SHA1_80, MEDIA_AES_CM_128_HMAC_SHA1_32,
	MEDIA_AES_256_CM_HMAC_SHA1_80, MEDIA_AES_256_CM_HMAC_SHA1_32,
	MEDIA_AEAD_AES_128_GCM, MEDIA_AEAD_AES_256_GCM, MEDIA_SUITES,
};

enum media_hash { MEDIA_SHA_1, MEDIA_SHA_256, MEDIA_SHA_384, MEDIA_SHA_512, MEDIA_HASHES };

enum media_end { /* why a sequence or a recording ended */
	MEDIA_END_DONE, MEDIA_END_STOPPED, MEDIA_END_DIGIT, MEDIA_END_SILENCE, MEDIA_END_LIMIT,
	MEDIA_END_FAILED, MEDIA_ENDS,
};

enum media_event_type {
	MEDIA_EV_OPENED,      /* ports are known */
	MEDIA_EV_FAILED,      /* err; the stream is gone */
	MEDIA_EV_LATCHED,     /* the source is fixed; remote */
	MEDIA_EV_RTP_TIMEOUT, /* nothing received for the time asked; once per silence */
	MEDIA_EV_DTMF,        /* a digit ended, once whatever the way it came */
	MEDIA_EV_STATS,       /* answer to media_stats(), and the last word of a closed stream */
	MEDIA_EV_SECURED,     /* DTLS and ICE are done; err: they failed and no media will flow */
	MEDIA_EV_PLAYED,      /* id, reason, digit, span_ms; err: a sound could not be read */
	MEDIA_EV_RECORDED,    /* id, reason, digit, span_ms, bytes; err */
	MEDIA_EV_TALKING,     /* talking, level: a member of a room */
	MEDIA_EV_FAX,         /* a fax machine: is_called tells CED (it answers) from CNG (it calls) */
	MEDIA_EV_LOST,        /* the media process died: every stream of this connection is gone */
};

struct media_stats {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, rx_lost, rx_dropped;
	uint64_t tx_lost;      /* as the other side reports */
	uint32_t jitter_us;    /* RFC 3550 section 6.4.1, of what is received */
	uint32_t tx_jitter_us; /* as the other side reports */
	uint32_t rtt_us, rtt_max_us; /* 0 unknown */
	uint32_t concealed_ms; /* sound that had to be invented */
	uint32_t delay_ms;     /* of the jitter buffer */
	uint32_t jitter_max_us;
	uint16_t mos_x100;     /* estimate of what is received (ITU-T G.107); 0 unknown */
	uint16_t mos_min_x100; /* of its worst span of some 5 s */
	enum media_codec codec; /* received last */
	bool transcoded;
};

struct media_event {
	enum media_event_type type;
	uint64_t stream_id;
	int err;
	uint16_t rtp_port, rtcp_port; /* OPENED */
	const struct sa *remote;      /* LATCHED */
	char digit;                   /* DTMF: 0-9 * # A-D */
	uint32_t duration_ms;
	uint32_t id;                  /* PLAYED, RECORDED: as given */
	enum media_end reason;
	uint32_t span_ms;             /* played or recorded */
	uint64_t bytes;
	bool talking;
	uint8_t level;                /* -dBov, RFC 6464 */
	bool is_called;               /* FAX */
	struct media_stats stats;
};

typedef void(media_event_h)(const struct media_event *event, void *arg);

/* up_h: connection came up (true) or was lost (false). Reconnects by itself. */
typedef void(media_up_h)(bool up, void *arg);
int media_connect(struct media **ret, const char *socket_path, media_up_h *up_h, void *arg);
bool media_is_up(const struct media *media);

struct media_open_opts {
	bool video;              /* for TOS only; and SSRCs of video are never rewritten */
	bool has_tos;            /* else EF for audio, AF41 for video (D-082) */
	uint8_t tos;             /* the octet: a DSCP in its upper six bits (PLT-39) */
	const struct media_stream *near; /* NULL, or the stream this one will probably be bridged to (the
	                           caller's, for the callee's): both then live in one media thread and
	                           the bridge needs no move. Only speed depends on it */
	bool rtcp_mux;           /* one port */
	bool ipv6;
	uint32_t rtp_timeout_ms; /* 0: no event */
};

/*
 * Opens a stream; OPENED or FAILED follows. event_h is called for all its events, in the loop,
 * never inside a media_ call. ret: one reference, deref closes.
 * Returns 0, -ENOMEM, -EUNAVAILABLE (media process down).
 */
int media_open(struct media_stream **ret, struct media *media, const struct media_open_opts *opts,
	       media_event_h *event_h, void *arg);

uint64_t media_stream_id(const struct media_stream *stream);
uint16_t media_stream_port(const struct media_stream *stream); /* 0 before OPENED */
bool media_stream_opened(const struct media_stream *stream);

struct media_remote {
	const struct sa *rtp;   /* from SDP */
	const struct sa *rtcp;  /* NULL: rtp port + 1, or the RTP port with rtcp_mux */
	bool rtcp_mux;
	bool symmetric;         /* NAT: send to where packets come from; the source is latched, and after
	                           the first second it cannot be taken over by a third party */
	bool may_send, may_recv;/* direction as we see it: what we may send to them, what we accept */
	bool raw;               /* UDPTL: datagrams pass as they are, nothing of ours is sent; formats
	                           and directions are not looked at */
	const struct media_format *formats; /* agreed, the one that we send first comes first */
	size_t n_formats;       /* MEDIA_MAX_FORMATS at most; more are not sent by us */
	uint8_t ptime_ms;       /* of what we send; 0: 20 */
	enum media_dtmf dtmf_tx; /* how digits reach this side */
	int16_t dtmf_pt;        /* telephone-event as we send it, -1 none */
	int16_t dtmf_pt_in;     /* as it arrives, -1 none */
	uint32_t dtmf_hz;       /* clock of telephone-event; 0: that of the first format */
};

#define MEDIA_MAX_FORMATS 8

struct media_format {
	enum media_codec codec;
	uint8_t pt_out, pt_in;  /* usually the same */
	uint32_t clock_hz;      /* of RTP */
	uint32_t max_hz;        /* Opus maxplaybackrate; 0: whatever */
	bool fec, dtx;          /* Opus useinbandfec, usedtx; G.729 annex B (dtx) */
};

/* Where to send, what to accept. May be repeated (re-INVITE); a new address latches anew. */
void media_set_remote(struct media_stream *stream, const struct media_remote *remote);

/* Connects a and b, both ways; replaces earlier connections of either. Packets of a format that both
 * have pass untouched, others are decoded and encoded anew. a and b the same: an echo. */
void media_bridge(struct media_stream *a, struct media_stream *b);
void media_unbridge(struct media_stream *stream);

/* Music on hold of a class (0: default file) into the stream instead of the bridge's packets; what
 * the held party says goes nowhere. media_music_stop() returns to the bridge. SSRC and sequence
 * numbers stay continuous for the receiver. */
void media_music_start(struct media_stream *stream, uint32_t moh_class);
void media_music_stop(struct media_stream *stream);

/* Tells the files of a class (PLT-31), again after each MEDIA connection; n 0: the class is gone. */
void media_moh_set(struct media *media, uint32_t moh_class, const char *const *paths, size_t n,
		   bool random);

/* Sends one digit into the stream, in the way of its remote (event or tone). Queued. */
void media_dtmf_send(struct media_stream *stream, char digit, uint32_t duration_ms);

struct media_listen_opts {
	bool inband; /* tones in the sound are digits */
	bool fax;
};
void media_listen(struct media_stream *stream, const struct media_listen_opts *opts);

/* ------------------------------------------------------------------ encryption */

struct media_secure {
	enum { MEDIA_PLAIN, MEDIA_SDES, MEDIA_DTLS } mode;
	enum media_suite suite_tx, suite_rx;      /* SDES */
	const uint8_t *key_tx, *key_rx;           /* master key and salt, media_suite_key_len() bytes */
	bool active;                              /* DTLS: we are the client */
	enum media_hash hash;                     /* of the other side's certificate */
	const uint8_t *fingerprint;
};
/* Before the media_set_remote() of the same exchange. The same keys again change nothing (a re-INVITE
 * must not reset the rollover counter). */
void media_set_secure(struct media_stream *stream, const struct media_secure *secure);
size_t media_suite_key_len(enum media_suite suite); /* 30 for AES-128; 0 for none */
/* SHA-256 of our certificate for a=fingerprint, 32 bytes; NULL while not connected. */
const uint8_t *media_fingerprint(const struct media *media);

struct media_candidate {
	const struct sa *addr;
	uint32_t priority;
	uint8_t component;
};
struct media_ice {
	const char *ufrag, *pwd;                /* ours, chosen by the caller */
	const char *remote_ufrag, *remote_pwd;  /* NULL: not known yet */
	bool remote_lite, controlling, restart, off;
	const struct media_candidate *candidates;
	size_t n_candidates;
};
void media_set_ice(struct media_stream *stream, const struct media_ice *ice);

/*
 * The stream uses the transport of another (RFC 9143): its port, its keys, its ICE, none of which are
 * told for the stream itself. Before media_set_remote(), whose addresses then do not count. NULL: its
 * own transport again.
 *
 * payload_types  bit n (of byte n / 8): what arrives with n is the stream's; no other of that transport
 *                has it
 */
void media_set_bundle(struct media_stream *stream, const struct media_stream *carrier,
		      const uint8_t payload_types[16]);

/* ------------------------------------------------------------------ sounds */

/*
 * What can be played; a sound is a text:
 *   file:<absolute path>      WAV
 *   silence:<ms>
 *   tone:<list>               ITU-T E.180 style: "425/1000,0/4000" = 1 s of 425 Hz, 4 s of nothing;
 *                             "350+440/0" = both, for ever
 *   dtmf:<digits>             tones of 100 ms with pauses of 100 ms
 *   moh:<class>               the music as it stands now
 */
struct media_play {
	uint32_t id;            /* comes back in MEDIA_EV_PLAYED */
	const char *const *sounds;
	size_t n_sounds;
	uint32_t offset_ms;     /* into the first */
	int16_t gain_db;
	bool loop;
	bool until_digit;       /* a digit stops it, is reported as MEDIA_EV_DTMF and in PLAYED */
	bool mix;               /* over the bridge or room; else instead of it */
};
/* A new sequence replaces the one that runs (which ends as STOPPED). Works on rooms, too. */
int media_play(struct media_stream *stream, const struct media_play *play);
void media_play_stop(struct media_stream *stream, uint32_t id);

struct media_record {
	uint32_t id;
	const char *path;       /* below <data>/recordings; folders are made; written as <path>.part and
	                           renamed when complete */
	bool stereo, opus, said_only;
	const uint8_t *key;     /* 32 bytes: encrypt (PLT-87); NULL plain */
	uint32_t max_ms, silence_ms;
	const char *keys;       /* digits that end it, or NULL */
};
int media_record(struct media_stream *stream, const struct media_record *record);
/* RECORDED of all streams, before their own handlers and also of those that are closed and whose handles
 * are gone: a recording is complete after the stream's end only. Ids are then best unique. */
void media_on_recorded(struct media *media, media_event_h *event_h, void *arg);
void media_record_pause(struct media_stream *stream, uint32_t id, bool pause);
void media_record_stop(struct media_stream *stream, uint32_t id);

/* ------------------------------------------------------------------ rooms */

/* A mixer. The handle takes media_play() and media_record(); mem_deref() closes it. OPENED follows. */
int media_room_open(struct media_stream **ret, struct media *media, uint32_t hz,
		    media_event_h *event_h, void *arg);

struct media_member {
	bool muted, deaf;       /* is not heard, hears nothing */
	bool spy;               /* hears what all say, whispers included; with muted: silent listening */
	const struct media_stream *whisper_to; /* only this member hears it */
	bool tell_talking;
	int16_t gain_in_db, gain_out_db;
};
/* Enters, or changes how it takes part. A stream is in one room at a time, and not bridged. */
void media_room_join(struct media_stream *stream, const struct media_stream *room,
		     const struct media_member *member);
void media_room_leave(struct media_stream *stream);

void media_query_stats(struct media_stream *stream); /* STATS follows */

/*
 * Closes the stream now and lets the handle live until its last STATS has come (or LOST); then
 * mem_deref() it. Who does not care for the last word just derefs: after mem_deref() no handler of
 * that stream is called any more.
 */
void media_stream_close(struct media_stream *stream);
/* Events go there from now on: who closes a stream may hand it to somebody who lives longer. */
void media_stream_handler(struct media_stream *stream, media_event_h *event_h, void *arg);

/*
 * After a restart of the switch: the lease (a random number in <folder of the socket>/lease, made on
 * first use) is presented again, and before up_h(true) the media process has told which streams it
 * still holds for it. Each of them ends after MEDIA_LEASE_MS unless it is adopted.
 *
 * ids  filled with at most n ids; returns how many there are
 */
size_t media_orphans(const struct media *media, uint64_t *ids, size_t n);
/* Ends streams that the last switch left. */
void media_abandon(struct media *media, const uint64_t *ids, size_t n);
/* Takes one over as a handle: OPENED or FAILED (-ENOENT: it has ended) follows. Its remote, bridge
 * and music are as the last switch left them. Errors as media_open(). */
int media_adopt(struct media_stream **ret, struct media *media, uint64_t id,
		media_event_h *event_h, void *arg);

#endif
