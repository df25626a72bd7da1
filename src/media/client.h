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

enum media_codec { /* what the media process can make itself (music, tones); others only pass */
	MEDIA_CODEC_OTHER, MEDIA_PCMA, MEDIA_PCMU, MEDIA_G722, MEDIA_GSM, MEDIA_OPUS, MEDIA_L16,
};

enum media_event_type {
	MEDIA_EV_OPENED,      /* ports are known */
	MEDIA_EV_FAILED,      /* err; the stream is gone */
	MEDIA_EV_LATCHED,     /* the source is fixed; remote */
	MEDIA_EV_RTP_TIMEOUT, /* nothing received for the time asked; once per silence */
	MEDIA_EV_DTMF,        /* RFC 4733 digit ended, seen in passing */
	MEDIA_EV_STATS,       /* answer to media_stats(), and the last word of a closed stream */
	MEDIA_EV_LOST,        /* the media process died: every stream of this connection is gone */
};

struct media_stats {
	uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, rx_lost, rx_dropped;
	uint32_t jitter_us; /* RFC 3550 section 6.4.1, of what is received */
};

struct media_event {
	enum media_event_type type;
	uint64_t stream_id;
	int err;
	uint16_t rtp_port, rtcp_port; /* OPENED */
	const struct sa *remote;      /* LATCHED */
	char digit;                   /* DTMF: 0-9 * # A-D */
	uint32_t duration_ms;
	struct media_stats stats;
};

typedef void(media_event_h)(const struct media_event *event, void *arg);

/* up_h: connection came up (true) or was lost (false). Reconnects by itself. */
typedef void(media_up_h)(bool up, void *arg);
int media_connect(struct media **ret, const char *socket_path, media_up_h *up_h, void *arg);
bool media_is_up(const struct media *media);

struct media_open_opts {
	bool video;              /* for TOS only; and SSRCs of video are never rewritten */
	uint8_t tos;             /* 0: EF for audio, AF41 for video (D-082) */
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
	enum media_codec codec; /* of what we would send ourselves */
	uint8_t pt;             /* its payload type */
	uint32_t clock_hz;      /* its RTP clock */
	uint8_t ptime_ms;       /* 0: 20 */
	int16_t dtmf_pt;        /* telephone-event, -1 none */
};

/* Where to send, what to accept. May be repeated (re-INVITE); a new address latches anew. */
void media_set_remote(struct media_stream *stream, const struct media_remote *remote);

/* Relays a and b to each other, both ways; replaces earlier connections of either. */
void media_bridge(struct media_stream *a, struct media_stream *b);
void media_unbridge(struct media_stream *stream);

/* Music on hold of a class (0: default file) into the stream instead of the bridge's packets; what
 * the held party says goes nowhere. media_music_stop() returns to the bridge. SSRC and sequence
 * numbers stay continuous for the receiver. */
void media_music_start(struct media_stream *stream, uint32_t moh_class);
void media_music_stop(struct media_stream *stream);

/* Sends one RFC 4733 digit into the stream (INFO towards a peer that uses telephone-event). */
void media_dtmf_send(struct media_stream *stream, char digit, uint32_t duration_ms);

void media_query_stats(struct media_stream *stream); /* STATS follows */

/*
 * Closes the stream now and lets the handle live until its last STATS has come (or LOST); then
 * mem_deref() it. Who does not care for the last word just derefs: after mem_deref() no handler of
 * that stream is called any more.
 */
void media_stream_close(struct media_stream *stream);

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
