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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/re.h"
#include "media/client.h"
#include "media/media_main.h"

#define RTP_PORTS     "20000-29999"
#define MAX_LISTENERS 4000
#define RUNS          3
#define PAYLOAD       160
#define SETTLE_MS     1500 /* the source of a phone is sure after a second */

struct bench {
	char dir[64], socket[128];
	const char *music;
	unsigned n;
	double seconds;
	pid_t pid;
	struct media *media;
	struct media_stream *streams[MAX_LISTENERS];
	int phones[MAX_LISTENERS];
	uint16_t ports[MAX_LISTENERS];
	unsigned n_open, n_failed;
	bool up;
};

static double cpu_of(pid_t pid)
{
	struct timespec t = { 0 };
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return 0;
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------ loop */

struct until {
	struct bench *bench;
	bool (*cond)(struct bench *bench);
	uint64_t end_ms;
	struct tmr tmr;
};

static void until_h(void *arg)
{
	struct until *until = arg;

	if (clk_mono_ms() >= until->end_ms || (until->cond && until->cond(until->bench)))
		re_cancel();
	else
		tmr_start(&until->tmr, 5, until_h, until);
}

static bool until(struct bench *bench, bool (*cond)(struct bench *bench), unsigned ms)
{
	struct until u = { .bench = bench, .cond = cond, .end_ms = clk_mono_ms() + ms };

	tmr_init(&u.tmr);
	tmr_start(&u.tmr, 5, until_h, &u);
	(void)re_main(NULL);
	return cond && cond(bench);
}

static bool is_up(struct bench *bench)
{
	return bench->up;
}

static bool all_open(struct bench *bench)
{
	return bench->n_open + bench->n_failed >= bench->n;
}

static void up_h(bool up, void *arg)
{
	((struct bench *)arg)->up = up;
}

static void event_h(const struct media_event *event, void *arg)
{
	struct bench *bench = arg;

	if (event->type == MEDIA_EV_OPENED)
		bench->n_open++;
	else if (event->type == MEDIA_EV_FAILED || event->type == MEDIA_EV_LOST)
		bench->n_failed++;
}

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

static void media_process(const struct bench *bench)
{
	struct config *config = NULL;
	char why[200];
	int err;

	err = config_alloc(&config);
	if (!err)
		err = config_set(config, "data", bench->dir, why, sizeof(why)) ||
		      config_set(config, "listen", "0.0.0.0", why, sizeof(why)) ||
		      config_set(config, "rtp-ports", RTP_PORTS, why, sizeof(why)) ||
		      config_set(config, "moh-file", bench->music, why, sizeof(why)) ||
		      config_set(config, "media-threads", "1", why, sizeof(why));
	if (!err)
		err = media_main(config);
	config_free(config);
	_exit(err ? 1 : 0);
}

static double measure(const struct bench *bench)
{
	double before = cpu_of(bench->pid);

	usleep((useconds_t)(bench->seconds * 1e6));
	return (cpu_of(bench->pid) - before) / (bench->seconds * 50 * bench->n) * 1e6;
}

static void end_child(struct bench *bench, int sig)
{
	(void)kill(bench->pid, sig);
	(void)waitpid(bench->pid, NULL, 0);
}

static double run_bare(struct bench *bench, bool listening)
{
	double us;

	bench->pid = fork();
	if (!bench->pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		bare_sender(bench, listening);
		_exit(0);
	}
	usleep(SETTLE_MS * 1000);
	us = measure(bench);
	end_child(bench, SIGKILL);
	return us;
}

static int hold_all(struct bench *bench)
{
	bench->n_open = bench->n_failed = 0;
	for (unsigned k = 0; k < bench->n; k++) {
		const struct media_format pcma = { .codec = MEDIA_PCMA, .pt_out = 8, .pt_in = 8,
						   .clock_hz = 8000 };
		struct sa remote;

		if (media_open(&bench->streams[k], bench->media, &(struct media_open_opts){ 0 },
			       event_h, bench))
			return -ENOTCONN;
		sa_set_str(&remote, "127.0.0.1", bench->ports[k]);
		media_set_remote(bench->streams[k],
				 &(struct media_remote){ .rtp = &remote, .symmetric = true,
							 .may_send = true, .may_recv = true,
							 .formats = &pcma, .n_formats = 1,
							 .dtmf_pt = -1, .dtmf_pt_in = -1 });
	}
	if (!until(bench, all_open, 10000) || bench->n_failed) {
		(void)fprintf(stderr, "bench_moh: %u streams opened, %u failed\n", bench->n_open,
			      bench->n_failed);
		return -ENOBUFS;
	}
	for (unsigned k = 0; k < bench->n; k++)
		media_music_start(bench->streams[k], 0);
	return 0;
}

static double run_ours(struct bench *bench, int *err)
{
	struct stat st;
	double us = 0;

	bench->up = false;
	bench->pid = fork();
	if (!bench->pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		media_process(bench);
	}
	for (int i = 0; i < 500 && stat(bench->socket, &st); i++)
		usleep(10000);
	*err = media_connect(&bench->media, bench->socket, up_h, bench);
	if (!*err && !until(bench, is_up, 5000))
		*err = -ETIMEDOUT;
	if (!*err)
		*err = hold_all(bench);
	if (!*err) {
		phones_say_hello(bench);
		(void)until(bench, NULL, SETTLE_MS);
		phones_say_hello(bench); /* the second one fixes the source */
		(void)until(bench, NULL, 200);
		us = measure(bench);
	}
	for (unsigned k = 0; k < bench->n; k++)
		bench->streams[k] = mem_deref(bench->streams[k]);
	bench->media = mem_deref(bench->media);
	end_child(bench, SIGTERM);
	(void)unlink(bench->socket);
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
	char command[128];
	struct rlimit files;
	int err;

	if (!bench || argc < 2)
		return 2;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)log_level_set("*", "warn");
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	bench->music = realpath(argv[1], NULL);
	bench->n = argc > 2 ? (unsigned)atoi(argv[2]) : 2000;
	bench->seconds = argc > 3 ? atof(argv[3]) : 6;
	(void)snprintf(bench->dir, sizeof(bench->dir), "/tmp/aoide-moh-XXXXXX");
	if (!bench->music || bench->n > MAX_LISTENERS || !mkdtemp(bench->dir) || libre_init() ||
	    fd_setsize(2 * MAX_LISTENERS))
		return 1;
	(void)snprintf(bench->socket, sizeof(bench->socket), "%s/run/media.sock", bench->dir);

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

	libre_close();
	(void)snprintf(command, sizeof(command), "rm -rf %s", bench->dir);
	(void)!system(command);
	if (err)
		(void)fprintf(stderr, "bench_moh: %s\n", strerror(-err));
	return err ? 1 : 0;
}
