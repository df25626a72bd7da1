/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_CONTROL_H
#define AOIDE_MEDIA_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The control thread of the media process: connections of switches, leases, the table of streams,
 * the port pool; it commands the relay threads. Everything here runs in the thread that calls
 * control_run(), except control_stop() and control_status().
 */
struct control;

struct control_opts {
	const char *socket_path;
	const char *listen;
	uint16_t rtp_first, rtp_last;
	unsigned threads;
	size_t max_pairs;
	const char *moh_file; /* NULL or missing: silence on hold */
	const char *recordings; /* their folder; NULL: nothing can be recorded */
	uint32_t lease_ms;    /* 0: MEDIA_LEASE_MS; tests use less */
};

int control_alloc(struct control **ret, const struct control_opts *opts);
void control_free(struct control *control);

/* Serves until control_stop(). */
int control_run(struct control *control);
/* Any thread, any signal handler. */
void control_stop(struct control *control);

struct control_status { /* published by the control thread; readable from any */
	_Atomic uint64_t streams, leases, opened, failed, bound_pairs, pairs, bind_errors;
};

struct control_totals {
	uint64_t streams, leases, opened, failed, bound_pairs, pairs, bind_errors;
	uint64_t rx_packets, tx_packets, dropped, turns;
	uint64_t recordings, recordings_failed, recordings_lost_ms; /* since the start */
	unsigned threads;
};
void control_status(const struct control *control, struct control_totals *ret);

/*
 * Counts all streams; census_free() what came. Any thread but the control thread, which does the work:
 * it waits for that, a second at most.
 *
 * Returns 0, -ENOMEM, -ETIMEDOUT.
 */
struct census;
int control_census(struct control *control, struct census *ret);

#endif
