/* SPDX-License-Identifier: Apache-2.0 */
#include "ideal_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH  8
#define EVENTS 256

struct leg {
	int fd, peer_fd;
};

struct worker {
	pthread_t thread;
	int epoll_fd;
	struct mmsghdr msgs[BATCH];
	struct iovec iov[BATCH];
	uint8_t data[BATCH][2048];
};

static _Atomic int stopped;

static void relay_leg(struct worker *worker, const struct leg *leg)
{
	int n;

	do {
		for (int i = 0; i < BATCH; i++)
			worker->iov[i].iov_len = sizeof(worker->data[i]);
		n = recvmmsg(leg->fd, worker->msgs, BATCH, MSG_DONTWAIT, NULL);
		if (n <= 0)
			return;
		for (int i = 0; i < n; i++)
			worker->iov[i].iov_len = worker->msgs[i].msg_len;
		(void)sendmmsg(leg->peer_fd, worker->msgs, (unsigned)n, MSG_DONTWAIT);
	} while (n == BATCH);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct epoll_event evs[EVENTS];

	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), -11); /* as ours */
	for (int i = 0; i < BATCH; i++) {
		worker->iov[i].iov_base = worker->data[i];
		worker->msgs[i].msg_hdr.msg_iov = &worker->iov[i];
		worker->msgs[i].msg_hdr.msg_iovlen = 1;
	}
	while (!atomic_load_explicit(&stopped, memory_order_relaxed)) {
		int n = epoll_wait(worker->epoll_fd, evs, EVENTS, 250);

		for (int i = 0; i < n; i++)
			relay_leg(worker, evs[i].data.ptr);
	}
	return NULL;
}

static int leg_socket(uint16_t *port, uint16_t remote)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in to = at;
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	to.sin_port = htons(remote);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    getsockname(fd, (struct sockaddr *)&at, &len) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return -1;
	*port = ntohs(at.sin_port);
	return fd;
}

int ideal_relay_run(unsigned legs, const uint16_t *remotes, unsigned threads, int ready_fd,
		    int stop_fd)
{
	struct leg *leg = calloc(legs, sizeof(*leg));
	struct worker *workers = calloc(threads, sizeof(*workers));
	uint16_t *ports = calloc(legs, sizeof(*ports));
	char byte;

	if (!leg || !workers || !ports)
		return -ENOMEM;

	for (unsigned k = 0; k < legs; k++) {
		leg[k].fd = leg_socket(&ports[k], remotes[k]);
		if (leg[k].fd < 0)
			return -errno;
	}
	for (unsigned t = 0; t < threads; t++)
		workers[t].epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (unsigned k = 0; k < legs; k++) {
		struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = &leg[k] };

		leg[k].peer_fd = leg[k ^ 1].fd;
		if (epoll_ctl(workers[k / 2 % threads].epoll_fd, EPOLL_CTL_ADD, leg[k].fd, &ev))
			return -errno;
	}
	for (unsigned t = 0; t < threads; t++)
		if (pthread_create(&workers[t].thread, NULL, worker_main, &workers[t]))
			return -EAGAIN;

	if (write(ready_fd, ports, legs * sizeof(*ports)) != (ssize_t)(legs * sizeof(*ports)))
		return -EIO; /* 4,000 bytes: a pipe takes them at once */
	(void)!read(stop_fd, &byte, 1);
	atomic_store(&stopped, 1);
	for (unsigned t = 0; t < threads; t++)
		pthread_join(workers[t].thread, NULL);
	for (unsigned k = 0; k < legs; k++)
		close(leg[k].fd);
	free(leg);
	free(ports);
	free(workers);
	return 0;
}
