/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BENCH_IDEAL_RELAY_H
#define AOIDE_BENCH_IDEAL_RELAY_H

#include <stdint.h>

/*
 * The least a user-space relay can do: one connected UDP socket per leg, static pairs (leg 2i with leg
 * 2i + 1), epoll and recvmmsg/sendmmsg, no look at any packet. What ours is compared with.
 *
 * Leg k gets a port from the kernel and is connected to 127.0.0.1:remotes[k]. The ports (legs numbers
 * of 16 bits) are written to ready_fd. Returns when a byte or the end comes on stop_fd.
 */
int ideal_relay_run(unsigned legs, const uint16_t *remotes, unsigned threads, int ready_fd,
		    int stop_fd);

#endif
