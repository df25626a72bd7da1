/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * What the kernel and the scheduler of this machine alone cost: hands the six messages of a call on to
 * the other side, as many and about as long as a B2BUA sends, with one socket and epoll. It reads the first
 * line and the Call-ID, by which it finds both sides. No dialogs, no media, no CDR, nothing sent again.
 *
 * `floor_b2bua PORT NUMBER=PORT...`: where each called number is, on loopback; ends with SIGINT.
 */
#define MAX_NUMBERS 16
#define MAX_CALLS   65536 /* places by hash of the Call-ID */
#define PROBES      64    /* places tried: with thousands of calls one of them is free */
#define BATCH       16
#define MAX_BYTES   4096

struct call {
	uint64_t id;  /* hash; 0: free */
	bool is_over; /* its place may be taken */
	struct sockaddr_in caller, called;
};

static struct number {
	const char *text;
	struct sockaddr_in at;
} numbers[MAX_NUMBERS];

static int n_numbers;
static struct call calls[MAX_CALLS];
static volatile sig_atomic_t is_over;

static void on_signal(int sig)
{
	(void)sig;
	is_over = 1;
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static const struct number *number_of(const char *text)
{
	const char *user = strstr(text, "sip:");

	for (int i = 0; user && i < n_numbers; i++) {
		size_t n = strlen(numbers[i].text);

		if (!strncmp(user + 4, numbers[i].text, n) && user[4 + n] == '@')
			return &numbers[i];
	}
	return NULL;
}

static uint64_t call_id(const char *text)
{
	const char *id = strstr(text, "Call-ID: ");
	uint64_t hash = 1469598103934665603ull; /* FNV-1a */

	if (!id)
		return 0;
	for (id += 9; *id && *id != '\r' && *id != '\n'; id++)
		hash = (hash ^ (uint8_t)*id) * 1099511628211ull;
	return hash;
}

/* may_begin: a free place will do. */
static struct call *call_of(uint64_t id, bool may_begin)
{
	struct call *free_one = NULL;

	for (unsigned i = 0; i < PROBES; i++) {
		struct call *call = &calls[((id >> 16) + i) % MAX_CALLS];

		if (call->id == id)
			return call;
		if (!free_one && (!call->id || call->is_over))
			free_one = call;
	}
	return may_begin ? free_one : NULL;
}

/* Where a message goes; NULL: nowhere. */
static const struct sockaddr_in *next_hop(const char *text, const struct sockaddr_in *from)
{
	const bool is_invite = !strncmp(text, "INVITE ", 7);
	const uint64_t id = call_id(text);
	struct call *call = id ? call_of(id, is_invite) : NULL;
	const struct number *number;

	if (!call)
		return NULL;
	if (!strncmp(text, "SIP/2.0 ", 8)) {
		call->is_over |= strstr(text, " BYE\r\n") != NULL;
		return &call->caller;
	}
	if (is_invite) {
		number = number_of(text);
		if (!number)
			return NULL;
		*call = (struct call){ .id = id, .caller = *from, .called = number->at };
	}
	return &call->called;
}

static void forward(int fd)
{
	static char bytes[BATCH][MAX_BYTES + 1];
	static struct sockaddr_in from[BATCH];
	static struct iovec iov[BATCH];
	static struct mmsghdr msgs[BATCH];
	int n;

	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ bytes[i], MAX_BYTES };
		msgs[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
						   .msg_namelen = sizeof(from[i]),
						   .msg_iov = &iov[i],
						   .msg_iovlen = 1 };
	}
	n = recvmmsg(fd, msgs, BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		const struct sockaddr_in *to;

		bytes[i][msgs[i].msg_len] = '\0';
		to = next_hop(bytes[i], &from[i]);
		if (to)
			(void)sendto(fd, bytes[i], msgs[i].msg_len, 0, (const struct sockaddr *)to,
				     sizeof(*to)); /* lost like any datagram */
	}
}

int main(int argc, char *argv[])
{
	struct epoll_event event = { .events = EPOLLIN };
	struct sockaddr_in here = loopback(argc > 1 ? atoi(argv[1]) : 0);
	int fd, epoll_fd, size = 4 << 20;

	for (int i = 2; i < argc && n_numbers < MAX_NUMBERS; i++) {
		char *port = strchr(argv[i], '=');

		if (!port)
			continue;
		*port++ = '\0';
		numbers[n_numbers++] = (struct number){ argv[i], loopback(atoi(port)) };
	}
	if (!here.sin_port || !n_numbers) {
		(void)fprintf(stderr, "usage: floor_b2bua PORT NUMBER=PORT...\n");
		return 2;
	}
	(void)signal(SIGINT, on_signal);
	(void)signal(SIGTERM, on_signal);

	fd = socket(AF_INET, SOCK_DGRAM, 0);
	epoll_fd = epoll_create1(0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* as much as it may have */
	if (fd < 0 || epoll_fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)) ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		perror("floor_b2bua");
		return 1;
	}
	while (!is_over) {
		if (epoll_wait(epoll_fd, &event, 1, -1) > 0)
			forward(fd);
	}
	return 0;
}
