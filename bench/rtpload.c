/* SPDX-License-Identifier: Apache-2.0 */
#include "rtpload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "base/re.h"

#define SLOTS      40 /* a leg sends in one of them; one slot is half a millisecond */
#define SLOT_NS    500000
#define LATE_NS    5000000
#define PAYLOAD    160
#define PACKET     (12 + PAYLOAD)
#define TAG        10 /* of SRTP */
#define HIST_STEPS 20000 /* of 10 us */
#define STEP_NS    10000
#define READ_BATCH 8

struct stamp {
	int64_t sent_ns;
	uint32_t leg, measured;
};

struct leg {
	int fd;
	uint16_t seq;
	uint32_t ts;
	struct srtp *tx, *rx; /* NULL: plain */
};

struct worker {
	pthread_t thread;
	const struct rtpload_opts *opts;
	struct leg *legs;
	unsigned index;
	uint64_t sent, received, crossed, late;
	int64_t max_ns;
	uint32_t hist[HIST_STEPS];
};

static _Atomic int phase; /* 0 settling, 1 measuring, 2 stragglers, 3 end */

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void leg_send(struct worker *worker, unsigned k, bool measured)
{
	struct leg *leg = &worker->legs[k];
	uint8_t data[PACKET + TAG] = { 0x80, 8 };
	struct mbuf mb = { .buf = data, .size = sizeof(data), .end = PACKET };
	struct stamp stamp = { .sent_ns = now_ns(CLOCK_REALTIME), .leg = k, .measured = measured };
	uint16_t seq = htons(leg->seq++);
	uint32_t ts = htonl(leg->ts), ssrc = htonl(k + 1);

	leg->ts += PAYLOAD;
	memcpy(data + 2, &seq, 2);
	memcpy(data + 4, &ts, 4);
	memcpy(data + 8, &ssrc, 4);
	memcpy(data + 12, &stamp, sizeof(stamp));
	if (leg->tx && srtp_encrypt(leg->tx, &mb))
		return;
	if (send(leg->fd, data, mb.end, MSG_DONTWAIT) == (ssize_t)mb.end && measured)
		worker->sent++;
}

static void packet_count(struct worker *worker, unsigned k, const uint8_t *data,
			 const struct msghdr *msg)
{
	struct stamp stamp;
	struct timespec at = { 0 };
	int64_t ns;

	memcpy(&stamp, data + 12, sizeof(stamp));
	if (stamp.leg != (k ^ 1)) {
		worker->crossed++;
		return;
	}
	if (!stamp.measured)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS)
			memcpy(&at, CMSG_DATA(c), sizeof(at));
	ns = at.tv_sec * 1000000000ll + at.tv_nsec - stamp.sent_ns;
	if (ns < 0)
		ns = 0;
	if (ns > worker->max_ns)
		worker->max_ns = ns;
	worker->hist[ns / STEP_NS < HIST_STEPS ? ns / STEP_NS : HIST_STEPS - 1]++;
	worker->received++;
}

static void leg_read(struct worker *worker, unsigned k)
{
	struct leg *leg = &worker->legs[k];
	const size_t len = PACKET + (leg->rx ? TAG : 0);
	uint8_t data[READ_BATCH][PACKET + TAG], control[READ_BATCH][64];
	struct iovec iov[READ_BATCH];
	struct mmsghdr msgs[READ_BATCH];
	int n;

	do {
		for (int i = 0; i < READ_BATCH; i++) {
			iov[i] = (struct iovec){ data[i], len };
			msgs[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i],
							   .msg_iovlen = 1,
							   .msg_control = control[i],
							   .msg_controllen = sizeof(control[i]) };
		}
		n = recvmmsg(worker->legs[k].fd, msgs, READ_BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			struct mbuf mb = { .buf = data[i], .size = len, .end = msgs[i].msg_len };

			if (msgs[i].msg_len == len && (!leg->rx || !srtp_decrypt(leg->rx, &mb)))
				packet_count(worker, k, data[i], &msgs[i].msg_hdr);
		}
	} while (n == READ_BATCH);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	const struct rtpload_opts *opts = worker->opts;
	struct timespec at;
	int64_t next;

	/* It stands for phones elsewhere, which do not wait for our CPU; needs root. */
	(void)pthread_setschedparam(pthread_self(), SCHED_RR, &(struct sched_param){ 1 });
	clock_gettime(CLOCK_MONOTONIC, &at);
	next = at.tv_sec * 1000000000ll + at.tv_nsec;
	for (unsigned slot = 0;; slot = (slot + 1) % SLOTS) {
		int now = atomic_load(&phase);

		if (now == 3)
			break;
		if (now_ns(CLOCK_MONOTONIC) - next > LATE_NS)
			worker->late++;
		/* Both legs of a call are one worker's; they send at different times. */
		for (unsigned k = 0; k < opts->legs; k++) {
			if (k / 2 % opts->threads != worker->index || (k * 13) % SLOTS != slot)
				continue;
			leg_read(worker, k);
			if (now < 2)
				leg_send(worker, k, now == 1);
		}
		next += SLOT_NS;
		at = (struct timespec){ next / 1000000000, next % 1000000000 };
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
			;
	}
	return NULL;
}

int rtpload_open(int *fds, uint16_t *locals, unsigned legs)
{
	int on = 1;

	for (unsigned k = 0; k < legs; k++) {
		struct sockaddr_in at = { .sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		socklen_t len = sizeof(at);

		fds[k] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fds[k] < 0 || bind(fds[k], (struct sockaddr *)&at, sizeof(at)) ||
		    getsockname(fds[k], (struct sockaddr *)&at, &len) ||
		    setsockopt(fds[k], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
			return -errno;
		locals[k] = ntohs(at.sin_port);
	}
	return 0;
}

static int leg_open(struct leg *leg, int fd, uint16_t remote, const uint8_t *key)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(remote),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	leg->fd = fd;
	if (key && (srtp_alloc(&leg->tx, SRTP_AES_CM_128_HMAC_SHA1_80, key, 30, 0) ||
		    srtp_alloc(&leg->rx, SRTP_AES_CM_128_HMAC_SHA1_80, key, 30, 0)))
		return -ENOMEM;
	return connect(fd, (struct sockaddr *)&to, sizeof(to)) ? -errno : 0;
}

static double quantile(const uint64_t *hist, uint64_t n, double q)
{
	uint64_t seen = 0;

	for (int i = 0; i < HIST_STEPS; i++) {
		seen += hist[i];
		if (n && (double)seen >= q * (double)n)
			return (i + 1) * (STEP_NS / 1e6);
	}
	return 0;
}

static void collect(struct rtpload_result *ret, const struct worker *workers, unsigned n)
{
	uint64_t *hist = calloc(HIST_STEPS, sizeof(*hist));

	if (!hist)
		return;
	for (unsigned t = 0; t < n; t++) {
		const struct worker *worker = &workers[t];

		ret->sent += worker->sent;
		ret->received += worker->received;
		ret->crossed += worker->crossed;
		ret->late_sends += worker->late;
		if ((double)worker->max_ns / 1e6 > ret->max_ms)
			ret->max_ms = (double)worker->max_ns / 1e6;
		for (int i = 0; i < HIST_STEPS; i++)
			hist[i] += worker->hist[i];
	}
	ret->loss_percent =
		ret->sent ? 100.0 * (double)(ret->sent - ret->received) / (double)ret->sent : 100;
	ret->p50_ms = quantile(hist, ret->received, 0.50);
	ret->p99_ms = quantile(hist, ret->received, 0.99);
	free(hist);
}

int rtpload_run(struct rtpload_result *ret, const struct rtpload_opts *opts, rtpload_cpu_h *cpu_h,
		void *arg)
{
	struct leg *legs = calloc(opts->legs, sizeof(*legs));
	struct worker *workers = calloc(opts->threads, sizeof(*workers));
	int64_t began;
	int err = legs && workers ? 0 : -ENOMEM;

	memset(ret, 0, sizeof(*ret));
	atomic_store(&phase, 0);
	for (unsigned k = 0; k < opts->legs && !err; k++)
		err = leg_open(&legs[k], opts->fds[k], opts->ports[k], opts->srtp_key);
	if (err)
		goto out;

	for (unsigned t = 0; t < opts->threads; t++) {
		workers[t].opts = opts;
		workers[t].legs = legs;
		workers[t].index = t;
		if (pthread_create(&workers[t].thread, NULL, worker_main, &workers[t]))
			abort();
	}
	usleep(2000000); /* settle: sources are latched and connected after one second */
	ret->cpu_before_s = cpu_h(arg);
	began = now_ns(CLOCK_MONOTONIC);
	atomic_store(&phase, 1);
	usleep((useconds_t)(opts->seconds * 1e6));
	atomic_store(&phase, 2);
	ret->cpu_after_s = cpu_h(arg);
	ret->elapsed_s = (double)(now_ns(CLOCK_MONOTONIC) - began) / 1e9;
	usleep(300000);
	atomic_store(&phase, 3);
	for (unsigned t = 0; t < opts->threads; t++)
		pthread_join(workers[t].thread, NULL);
	collect(ret, workers, opts->threads);

out:
	for (unsigned k = 0; k < opts->legs; k++) {
		close(opts->fds[k]);
		if (!legs)
			continue;
		mem_deref(legs[k].tx);
		mem_deref(legs[k].rx);
	}
	free(legs);
	free(workers);
	return err;
}
