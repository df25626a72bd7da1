/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_CLIENT_PRIV_H
#define AOIDE_MEDIA_CLIENT_PRIV_H

#include "base/re.h"
#include "media/client.h"
#include "media/protocol.h"

/* Shared by client.c (the connection), client_stream.c (handles and their events) and client_send.c
 * (what is said about a stream). */
enum client_state { STATE_DOWN, STATE_HELLO, STATE_LISTING, STATE_UP };

struct client_batch;

struct media { /* the connection */
	char *path;
	uint8_t fingerprint[32];
	uint64_t lease, instance; /* instance 0: never connected, or known to be dead */
	uint64_t next_id;
	enum client_state state;
	int fd;
	bool writable; /* false: wait for FD_WRITE */
	bool warned;   /* the version of the other side was complained about */
	unsigned failures, dropped;
	struct tmr flush, retry;
	uint64_t flushed_at_ms;
	struct list batches; /* struct client_batch, oldest first; new messages go into the last */
	struct client_batch *spare;
	uint32_t n_batches;
	struct hash *streams;
	struct list all;
	uint64_t *orphans;
	size_t n_orphans;
	media_up_h *up_h;
	void *arg;
	media_event_h *recorded_h;
	void *recorded_arg;
};

struct media_stream { /* a handle: of a stream, or of a room */
	struct le hash_le, le;
	struct media *media; /* NULL: the connection object is gone */
	uint64_t id;
	uint16_t rtp_port, rtcp_port;
	bool opened, closed, gone;
	media_event_h *event_h;
	void *arg;
};

/* client.c: a zeroed message that leaves soon; NULL when memory or queue is full. */
void *client_message(struct media *media, uint16_t type, uint64_t id);

/* client_stream.c */
struct media_stream *client_stream_find(const struct media *media, uint64_t id);
/* As client_message(); NULL also for a stream that has ended. */
void *client_stream_message(struct media_stream *stream, uint16_t type);
/* Tells the last event of a stream that the media process does not have (any more). */
void client_stream_gone(struct media_stream *stream, enum media_event_type type, int err);
/* Hands an event of a stream to its handler. */
void client_stream_told(struct media *media, const struct mp_hdr *hdr);

#endif
