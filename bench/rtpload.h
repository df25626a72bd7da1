/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BENCH_RTPLOAD_H
#define AOIDE_BENCH_RTPLOAD_H

#include <stdint.h>

/*
 * Phones: each leg has a socket of its own and sends 50 G.711 packets a second to the relay; what it
 * receives is checked (does it come from the leg it should come from?) and timed by the kernel.
 */
struct rtpload_opts {
	unsigned legs;         /* leg 2i talks to leg 2i + 1 */
	int *fds;              /* of rtpload_open(), one per leg */
	const uint16_t *ports; /* of the relay, one per leg */
	unsigned threads;
	double seconds;        /* of measuring, after one second of settling */
	const uint8_t *srtp_key; /* 30 bytes: every leg speaks AES_CM_128_HMAC_SHA1_80, both ways with
	                            this key; NULL: plain RTP */
};

struct rtpload_result {
	uint64_t sent, received, crossed, late_sends;
	double loss_percent, p50_ms, p99_ms, max_ms;
	double elapsed_s;
	double cpu_before_s, cpu_after_s; /* of the process watched, by the caller's function */
};

/* Opens the phones' sockets on ports given by the kernel. Returns 0 or -errno. */
int rtpload_open(int *fds, uint16_t *locals, unsigned legs);

/* cpu_h(arg) is called at the start and at the end of measuring. Closes the
 * sockets. Returns 0 or -errno. */
typedef double(rtpload_cpu_h)(void *arg);
int rtpload_run(struct rtpload_result *ret, const struct rtpload_opts *opts, rtpload_cpu_h *cpu_h,
		void *arg);

#endif
