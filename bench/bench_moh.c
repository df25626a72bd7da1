/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Music on hold to many listeners against a bare sender of the same packets, one thread each, with the same
 * priority, on the same core, to the same phones. Both send every 20 ms, the bare sender 10 ms after ours: so
 * they take turns of 10 ms, and whatever else happens on the machine, and how fast it is just now, meets both
 * alike. The median of the ratios of each second is told, and the quarters beside it. Prints one JSON object.
 * A machine that needs more than 5 us a packet has no room for both on one core: ask for fewer listeners.
 *
 *   bench_moh MUSIC.wav [LISTENERS, default 2000] [SECONDS, default 40]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/re.h"
#include "media/client.h"
#include "media/relay.h"
#include "mediaproc.h"

#define MAX_LISTENERS 4000
#define MAX_SECONDS   600
#define PAYLOAD       160
#define LATCH_MS      1500 /* the source of a phone is sure after a second */
#define SETTLE_MS     1000 /* all are held and rest */
#define PERIOD_S      0.02

/* What the bare sender, a process of its own, shares with the bench. */
struct bare_shared {
	_Atomic uint64_t begin_ns; /* of its first tick; 0: not yet */
};

struct bench {
	struct mediaproc proc;
	struct bare_shared *bare;
	pid_t bare_pid;
	const char *music;
	unsigned n;
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

/* ------------------------------------------------------------------ the core */

/* The senders get the last core that we may use; the bench itself leaves it if there is another. */
static void cores_choose(cpu_set_t *senders, cpu_set_t *others)
{
	int last = 0;

	if (sched_getaffinity(0, sizeof(*others), others))
		CPU_ZERO(others);
	for (int i = 0; i < CPU_SETSIZE; i++)
		last = CPU_ISSET(i, others) ? i : last;
	CPU_ZERO(senders);
	CPU_SET(last, senders);
	if (CPU_COUNT(others) > 1)
		CPU_CLR(last, others);
}

/* ------------------------------------------------------------------ the bare sender */

/*
 * The floor: what a careful engineer writes whose only task is to send these packets. A timer wakes one
 * thread every 20 ms; each listener has a socket of its own, as every phone is told a port of its own, and
 * it is connected, so that the kernel remembers the way; no call sends through several sockets, so each
 * packet is one send() of one block. Sockets are used in the order in which they were made, which memory
 * likes best. Nobody listens to them, nothing is counted, no header continues another one's. It asks for the
 * priority that our relay threads ask for.
 */
static void bare_sender(const struct bench *bench)
{
	struct itimerspec spec = { .it_interval.tv_nsec = (long)(PERIOD_S * 1e9) };
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), *fds = calloc(bench->n, sizeof(int));
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
	}
	(void)setpriority(PRIO_PROCESS, 0, RELAY_NICE);
	memset(music, 0xd5, sizeof(music));
	while (!atomic_load(&bench->bare->begin_ns))
		(void)usleep(1000);
	spec.it_value.tv_sec = (time_t)(atomic_load(&bench->bare->begin_ns) / 1000000000);
	spec.it_value.tv_nsec = (long)(atomic_load(&bench->bare->begin_ns) % 1000000000);
	(void)timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL);
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

static int bare_begin(struct bench *bench)
{
	bench->bare = mmap(NULL, sizeof(*bench->bare), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0);
	if (bench->bare == MAP_FAILED)
		return -errno;
	bench->bare_pid = fork();
	if (bench->bare_pid < 0)
		return -errno;
	if (!bench->bare_pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		bare_sender(bench);
		_exit(1);
	}
	return 0;
}

static void bare_end(const struct bench *bench)
{
	if (bench->bare_pid <= 0)
		return;
	(void)kill(bench->bare_pid, SIGKILL);
	(void)waitpid(bench->bare_pid, NULL, 0);
}

/* ------------------------------------------------------------------ ours */

static int ours_begin(struct bench *bench)
{
	int err = mediaproc_begin(&bench->proc, 1, bench->music);

	for (unsigned k = 0; k < bench->n && !err; k++) {
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
	if (!err)
		err = mediaproc_wait_open(&bench->proc, bench->n);
	if (err)
		return err;
	phones_say_hello(bench);
	(void)mediaproc_until(NULL, NULL, LATCH_MS);
	phones_say_hello(bench); /* the second one fixes the source */
	(void)mediaproc_until(NULL, NULL, SETTLE_MS);
	return 0;
}

static void ours_end(struct bench *bench)
{
	for (unsigned k = 0; k < bench->n; k++)
		bench->streams[k] = mem_deref(bench->streams[k]);
	mediaproc_end(&bench->proc);
}

/* ------------------------------------------------------------------ both */

static double now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* When the next packet comes to a phone; 0: none does. */
static double next_packet_s(int phone)
{
	struct pollfd fd = { .fd = phone, .events = POLLIN };
	uint8_t data[12 + PAYLOAD];

	while (recv(phone, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	return poll(&fd, 1, 1000) > 0 ? now_s() : 0;
}

/* The bare sender's ticks lie in the middle between ours. Who was held last is the first of a tick. */
static int begin_both(struct bench *bench)
{
	double first_s;

	for (unsigned k = 0; k < bench->n; k++)
		media_music_start(bench->streams[k], 0);
	(void)mediaproc_until(NULL, NULL, SETTLE_MS);

	first_s = next_packet_s(bench->phones[bench->n - 1]);
	if (first_s <= 0)
		return -ENODATA;
	atomic_store(&bench->bare->begin_ns, (uint64_t)((first_s + 10.5 * PERIOD_S) * 1e9));
	(void)mediaproc_until(NULL, NULL, SETTLE_MS);
	return 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double of_sorted(double *v, unsigned n, double share)
{
	qsort(v, n, sizeof(*v), by_size);
	return v[(unsigned)(share * (n - 1) + 0.5)];
}

static void run(struct bench *bench, unsigned seconds)
{
	double bare_us[MAX_SECONDS], ours_us[MAX_SECONDS], ratio[MAX_SECONDS];
	const double packets = bench->n / PERIOD_S;

	for (unsigned i = 0; i < seconds; i++) {
		double bare_s = mediaproc_cpu(bench->bare_pid), ours_s = mediaproc_cpu(bench->proc.pid);

		(void)usleep(1000000);
		bare_s = mediaproc_cpu(bench->bare_pid) - bare_s;
		ours_s = mediaproc_cpu(bench->proc.pid) - ours_s;
		bare_us[i] = bare_s / packets * 1e6;
		ours_us[i] = ours_s / packets * 1e6;
		ratio[i] = ours_s / bare_s;
	}
	printf("{\"listeners\": %u, \"seconds\": %u, \"bare_us_per_packet\": %.3f, \"aoide_us_per_packet\": %.3f, "
	       "\"ratio\": %.3f, \"ratio_quarter\": %.3f, \"ratio_three_quarters\": %.3f, \"cores\": %.3f}\n",
	       bench->n, seconds, of_sorted(bare_us, seconds, 0.5), of_sorted(ours_us, seconds, 0.5),
	       of_sorted(ratio, seconds, 0.5), of_sorted(ratio, seconds, 0.25), of_sorted(ratio, seconds, 0.75),
	       of_sorted(ours_us, seconds, 0.5) * packets / 1e6);
}

int main(int argc, char *argv[])
{
	struct bench *bench = calloc(1, sizeof(*bench));
	cpu_set_t senders, others;
	unsigned seconds;
	int err;

	if (!bench || argc < 2)
		return 2;
	bench->music = realpath(argv[1], NULL);
	bench->n = argc > 2 ? (unsigned)atoi(argv[2]) : 2000;
	seconds = argc > 3 ? (unsigned)atoi(argv[3]) : 40;
	if (!bench->music || !bench->n || bench->n > MAX_LISTENERS || !seconds || seconds > MAX_SECONDS ||
	    mediaproc_init(&bench->proc, "warn", 2 * MAX_LISTENERS))
		return 1;

	cores_choose(&senders, &others);
	(void)sched_setaffinity(0, sizeof(senders), &senders); /* the senders inherit it */
	err = phones_open(bench);
	if (!err)
		err = bare_begin(bench);
	if (!err)
		err = ours_begin(bench);
	(void)sched_setaffinity(0, sizeof(others), &others);
	if (!err)
		err = begin_both(bench);
	if (!err)
		run(bench, seconds);
	bare_end(bench);
	ours_end(bench);

	mediaproc_close(&bench->proc);
	if (err)
		(void)fprintf(stderr, "bench_moh: %s\n", strerror(-err));
	return err ? 1 : 0;
}
