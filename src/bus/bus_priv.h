/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BUS_BUS_PRIV_H
#define AOIDE_BUS_BUS_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include "bus/bus.h"
#include "bus/frame.h"

/* Shared by bus.c (what any thread may call) and bus_thread.c (the connection, which one thread has). */
#define BUS_MAX_SUBSCRIPTIONS 256u
#define BUS_READ_BYTES        65536u
#define BUS_BACKOFF_FIRST_MS  50u

struct subscription {
	char *pattern;
	bus_msg_h *h;
	void *arg;
};

struct packet {
	struct packet *next;
	size_t len;
	uint8_t data[];
};

struct pending {
	struct pending *next;
	uint32_t id;
	uint64_t deadline_ms;
	bool is_sent;
	bus_answer_h *answer_h;
	void *arg;
};

struct wanted { /* what anybody subscribes to */
	size_t n;
	char *patterns[];
};

struct bus {
	_Atomic unsigned refs; /* the owner, and each reply that is still owed */
	char *path, *name;
	pthread_t thread;
	int wake_fd;
	atomic_bool is_stopping, is_connected, was_connected;

	pthread_mutex_t lock; /* all below up to the next blank line */
	struct subscription subs[BUS_MAX_SUBSCRIPTIONS];
	size_t n_subs; /* only grows: the thread reads entries below it without the lock */
	struct packet *out_head, *out_tail;
	size_t out_bytes, out_frames;
	struct pending *pending;
	size_t n_pending;
	uint32_t next_id;
	uint32_t generation; /* of the connection: late answers to an earlier one are dropped */
	uint64_t dropped;

	pthread_mutex_t wanted_lock;
	struct wanted *wanted;

	/* the thread's own */
	int fd;
	size_t out_pos;
	uint8_t *in;
	size_t in_len, in_size;
	uint64_t retry_at_ms, backoff_ms, dropped_logged;
};

struct bus_reply {
	struct bus *bus;
	uint32_t id, generation;
};

/* bus.c; NULL: too long, or no memory. */
struct packet *bus_packet(enum frame_type type, uint32_t id, int32_t arg, const char *subject,
			  const char *text, size_t text_len);

/* bus_thread.c */
int bus_try_connect(struct bus *bus);
void *bus_main(void *arg);

#endif
