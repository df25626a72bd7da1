/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Music on hold to many listeners against a program that does nothing but send the same packets, one
 * thread each, in turns. Prints one JSON object. "listening" is that sender with its sockets in an epoll
 * set, as they must be when phones may also say something: each packet sent then wakes the set's list,
 * which costs a tenth more in the kernel.
 *
 *   bench_moh MUSIC.wav [LISTENERS, default 2000] [SECONDS per measurement, default 6]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/re.h"
#include "media/client.h"
#include "mediaproc.h"

#define MAX_LISTENERS 4000
#define RUNS          3
#define PAYLOAD       160
#define SETTLE_MS     1500 /* the source of a phone is sure after a second */

struct bench {
	struct mediaproc proc;
	const char *music;
	unsigned n;
	double seconds;
	struct media_stream *streams[MAX_LISTENERS];
	int phones[MAX_LISTENERS];
	uint16_t ports[MAX_LISTENERS];
};

/* ------------------------------------------------------------------ phones */

/* Nobody reads them: what does not fit is dropped by the kernel, for both senders alike. */
static int phones_open(struct bench *bench)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int small = 4096;

	for (unsigned k = 0; k < bench->n; k++) {
		struct sockaddr_in own = addr;
		socklen_t len = sizeof(own);
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		if (fd < 0 || bind(fd, (struct sockaddr *)&own, len) ||
		    getsockname(fd, (struct sockaddr *)&own, &len))
			return -errno;
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		bench->phones[k] = fd;
		bench->ports[k] = ntohs(own.sin_port);
	}
	return 0;
}

static void phones_say_hello(struct bench *bench)
{
	uint8_t packet[12 + PAYLOAD] = { 0x80, 8 };

	for (unsigned k = 0; k < bench->n; k++) {
		struct sockaddr_in to = { .sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
					  .sin_port = htons(media_stream_port(bench->streams[k])) };

		packet[3]++;
		packet[11] = (uint8_t)k;
		(void)sendto(bench->phones[k], packet, sizeof(packet), 0, (struct sockaddr *)&to,
			     sizeof(to));
	}
}

/* ------------------------------------------------------------------ the two senders */

/* The least that can be done: a connected socket per listener, a header, a payload, the cheapest call. */
static void bare_sender(const struct bench *bench, bool listening)
{
	struct itimerspec spec = { .it_interval.tv_nsec = 20000000, .it_value.tv_nsec = 20000000 };
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), *fds = calloc(bench->n, sizeof(int));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	static uint8_t music[50 * PAYLOAD];
	uint16_t seq = 0;
	uint64_t ticks;

	for (unsigned k = 0; k < bench->n; k++) {
		struct sockaddr_in to = { .sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
					  .sin_port = htons(bench->ports[k]) };

		fds[k] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fds[k] < 0 || connect(fds[k], (struct sockaddr *)&to, sizeof(to)))
			_exit(1);
		if (listening && epoll_ctl(epoll, EPOLL_CTL_ADD, fds[k],
					   &(struct epoll_event){ .events = EPOLLIN | EPOLLET }))
			_exit(1);
	}
	memset(music, 0xd5, sizeof(music));
	(void)timerfd_settime(timer, 0, &spec, NULL);
	while (read(timer, &ticks, sizeof(ticks)) == sizeof(ticks)) {
		for (; ticks; ticks--, seq++) {
			for (unsigned k = 0; k < bench->n; k++) {
				uint8_t packet[12 + PAYLOAD] = { 0x80, 8, (uint8_t)(seq >> 8),
								 (uint8_t)seq };
				uint32_t ts = htonl(seq * PAYLOAD), ssrc = htonl(k);

				memcpy(packet + 4, &ts, 4);
				memcpy(packet + 8, &ssrc, 4);
				memcpy(packet + 12, music + seq % 50 * PAYLOAD, PAYLOAD);
				(void)send(fds[k], packet, sizeof(packet), MSG_DONTWAIT);
			}
		}
	}
}

static double measure(const struct bench *bench, pid_t pid)
{
	double before = mediaproc_cpu(pid);

	usleep((useconds_t)(bench->seconds * 1e6));
	return (mediaproc_cpu(pid) - before) / (bench->seconds * 50 * bench->n) * 1e6;
}

static double run_bare(struct bench *bench, bool listening)
{
	double us;
	pid_t pid = fork();

	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		bare_sender(bench, listening);
		_exit(0);
	}
	usleep(SETTLE_MS * 1000);
	us = measure(bench, pid);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	return us;
}

static int hold_all(struct bench *bench)
{
	int err;

	for (unsigned k = 0; k < bench->n; k++) {
		const struct media_format pcma = { .codec = MEDIA_PCMA, .pt_out = 8, .pt_in = 8,
						   .clock_hz = 8000 };
		struct sa remote;

		if (media_open(&bench->streams[k], bench->proc.media, &(struct media_open_opts){ 0 },
			       mediaproc_event_h, &bench->proc))
			return -ENOTCONN;
		sa_set_str(&remote, "127.0.0.1", bench->ports[k]);
		media_set_remote(bench->streams[k],
				 &(struct media_remote){ .rtp = &remote, .symmetric = true,
							 .may_send = true, .may_recv = true,
							 .formats = &pcma, .n_formats = 1,
							 .dtmf_pt = -1, .dtmf_pt_in = -1 });
	}
	err = mediaproc_wait_open(&bench->proc, bench->n);
	for (unsigned k = 0; k < bench->n && !err; k++)
		media_music_start(bench->streams[k], 0);
	return err;
}

static double run_ours(struct bench *bench, int *err)
{
	double us = 0;

	*err = mediaproc_begin(&bench->proc, 1, bench->music);
	if (!*err)
		*err = hold_all(bench);
	if (!*err) {
		phones_say_hello(bench);
		(void)mediaproc_until(NULL, NULL, SETTLE_MS);
		phones_say_hello(bench); /* the second one fixes the source */
		(void)mediaproc_until(NULL, NULL, 200);
		us = measure(bench, bench->proc.pid);
	}
	for (unsigned k = 0; k < bench->n; k++)
		bench->streams[k] = mem_deref(bench->streams[k]);
	mediaproc_end(&bench->proc);
	return us;
}

static double median(double *v)
{
	for (int i = 0; i < RUNS; i++)
		for (int k = i + 1; k < RUNS; k++)
			if (v[k] < v[i]) {
				double t = v[i];

				v[i] = v[k];
				v[k] = t;
			}
	return v[RUNS / 2];
}

int main(int argc, char *argv[])
{
	struct bench *bench = calloc(1, sizeof(*bench));
	double bare[RUNS], listening[RUNS], ours[RUNS];
	int err;

	if (!bench || argc < 2)
		return 2;
	bench->music = realpath(argv[1], NULL);
	bench->n = argc > 2 ? (unsigned)atoi(argv[2]) : 2000;
	bench->seconds = argc > 3 ? atof(argv[3]) : 6;
	if (!bench->music || bench->n > MAX_LISTENERS ||
	    mediaproc_init(&bench->proc, "warn", 2 * MAX_LISTENERS))
		return 1;

	err = phones_open(bench);
	for (int i = 0; i < RUNS && !err; i++) {
		bare[i] = run_bare(bench, false);
		listening[i] = run_bare(bench, true);
		ours[i] = run_ours(bench, &err);
	}
	if (!err) {
		double b = median(bare), l = median(listening), o = median(ours);

		printf("{\"listeners\": %u, \"bare_us_per_packet\": %.3f, "
		       "\"listening_us_per_packet\": %.3f, \"aoide_us_per_packet\": %.3f, "
		       "\"ratio\": %.3f, \"ratio_listening\": %.3f, \"cores\": %.3f}\n",
		       bench->n, b, l, o, o / b, o / l, o * 50 * bench->n / 1e6);
	}

	mediaproc_close(&bench->proc);
	if (err)
		(void)fprintf(stderr, "bench_moh: %s\n", strerror(-err));
	return err ? 1 : 0;
}
