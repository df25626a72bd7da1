/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_CONTROL_PRIV_H
#define AOIDE_MEDIA_CONTROL_PRIV_H

#include <pthread.h>
#include "media/control.h"
#include "media/disk.h"
#include "media/music.h"
#include "media/pool.h"
#include "media/relay.h"
#include "media/wire.h"

#define CONTROL_MAX_THREADS 64
#define CONTROL_MAX_CONNS   32
#define CONTROL_MAX_LEASES  32
#define CONTROL_MAX_BATCHES 256   /* 4 MiB of events for a switch that does not read */
#define CONTROL_BUCKETS     16384 /* of the stream table; a power of two */
#define CONTROL_TURN_MS     1000  /* while streams close, whose end wakes nobody, or ports cannot be bound */
#define CONTROL_READ_TURN   64
#define CONTROL_BIND        32    /* port pairs bound ahead in a turn in which nothing else happened */
#define CONTROL_BIND_BUSY   4     /* ... and in any other */

struct lease;

struct out_batch {
	struct out_batch *next;
	struct wire_batch wire;
};

/* A connection of a switch. */
struct conn {
	struct control *control;
	int fd;
	struct lease *lease; /* NULL before MP_HELLO */
	struct out_batch *first, *last, *spare;
	unsigned n_batches, n_bad;
	bool blocked, dead;
};

struct lease {
	uint64_t id;
	struct conn *conn;      /* NULL: nobody */
	struct stream *streams;
	size_t n_streams;
	uint64_t deadline_ms;   /* 0 none: then streams that are not claimed end */
};

struct control {
	struct control_opts opts;
	int epoll_fd, listen_fd, event_fd, stop_fd;
	bool stopping;
	uint64_t instance, now_ms, pressed_at_ms;
	struct conn *conns[CONTROL_MAX_CONNS];
	struct lease *leases[CONTROL_MAX_LEASES];
	struct relay *relays[CONTROL_MAX_THREADS];
	unsigned n_relays;
	struct pool *pool;
	int pool_err; /* of pool_prepare(); 0: all is bound */
	struct disk *disk; /* NULL: recordings fail */
	struct stream *table[CONTROL_BUCKETS];
	size_t n_streams, n_closing;
	struct assoc_identity *identity; /* of DTLS */
	struct sounds *sounds;
	struct music *music;
	_Atomic unsigned n_ready_relays; /* that may be told of sounds */
	struct control_status status;
	struct {
		pthread_mutex_t lock, one; /* one: who asks; several take turns */
		pthread_cond_t done;
		struct census *wanted;     /* under lock */
		int err;
	} census;
};

/* control.c */
/* A zeroed message to the switch; NULL (and the connection is given up) when it does not read. */
void *conn_message(struct conn *conn, uint16_t type, uint64_t stream);
void control_take_events(struct control *control);

/* leases.c */
void lease_hello(struct conn *conn, const struct mp_hello *hello);
void lease_detach(struct conn *conn);
void lease_expire(struct control *control);
/* Until the next lease expires, from now_ms on; -1: none will. */
int lease_wait_ms(const struct control *control);
void lease_free_all(struct control *control);
/* A checked message of a connection that has a lease. */
void lease_command(struct conn *conn, const struct mp_hdr *hdr);
void lease_event(struct control *control, const struct relay_ev *ev);

#endif
