/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "rtpload.h"
#include "talk_ua.h"

/*
 * What people in calls hear through the whole product: sets N calls up over SIP with digest, lets
 * both sides of each send and receive G.711, measures loss and delay, and hangs all of them up. Says
 * "measuring" on stderr when it begins to count. Prints one JSON object.
 *
 *	bench_talk SIP_PORT CALLER SECRET CALLEE SECRET NUMBER CALLS SECONDS [PID ...]
 *
 * PIDs: the processes whose CPU is counted. Status 1: a call failed.
 */
#define MAX_PIDS 8

struct watched {
	pid_t pids[MAX_PIDS];
	unsigned n;
	bool said;
};

static double cpu_of(void *arg)
{
	struct watched *watched = arg;
	double sum_s = 0;

	for (unsigned i = 0; i < watched->n; i++) {
		struct timespec t = { 0 };
		clockid_t clock;

		if (!clock_getcpuclockid(watched->pids[i], &clock) && !clock_gettime(clock, &t))
			sum_s += (double)t.tv_sec + (double)t.tv_nsec / 1e9;
	}
	if (!watched->said)
		fprintf(stderr, "measuring\n");
	watched->said = true;
	return sum_s;
}

static void print(const struct rtpload_result *r, unsigned calls, unsigned failed, unsigned not_ended)
{
	double cpu_s = r->cpu_after_s - r->cpu_before_s;

	printf("{\"bench\": \"talk\", \"calls\": %u, \"failed\": %u, \"not_ended\": %u, \"packets\": %llu, "
	       "\"lost\": %lld, \"loss_percent\": %.4f, \"crossed\": %llu, \"p50_ms\": %.2f, "
	       "\"p99_ms\": %.2f, \"max_ms\": %.2f, \"late_sends\": %llu, \"cores\": %.2f, "
	       "\"cpu_us_per_packet\": %.3f}\n",
	       calls, failed, not_ended, (unsigned long long)r->sent,
	       (long long)(r->sent - r->received), r->loss_percent, (unsigned long long)r->crossed,
	       r->p50_ms, r->p99_ms, r->max_ms, (unsigned long long)r->late_sends, cpu_s / r->elapsed_s,
	       r->sent ? cpu_s * 1e6 / (double)r->sent : 0);
}

int main(int argc, char **argv)
{
	struct talk_phone caller, callee;
	struct talk_call *calls;
	struct rtpload_result result;
	struct rtpload_opts opts = { .threads = 2 };
	struct watched watched = { .n = 0 };
	struct rlimit files;
	uint16_t *locals, *relays;
	unsigned wanted, up = 0, not_ended = 0;

	if (argc < 9) {
		fprintf(stderr, "usage: bench_talk SIP_PORT CALLER SECRET CALLEE SECRET NUMBER CALLS "
				"SECONDS [PID ...]\n");
		return 2;
	}
	(void)log_level_set("*", "error");
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	wanted = (unsigned)atoi(argv[7]);
	for (int i = 9; i < argc && watched.n < MAX_PIDS; i++)
		watched.pids[watched.n++] = (pid_t)atoi(argv[i]);
	calls = calloc(wanted, sizeof(*calls));
	locals = calloc(2 * wanted, sizeof(*locals));
	relays = calloc(2 * wanted, sizeof(*relays));
	opts.fds = calloc(2 * wanted, sizeof(*opts.fds));
	if (!wanted || !calls || !locals || !relays || !opts.fds ||
	    rtpload_open(opts.fds, locals, 2 * wanted)) {
		perror("bench_talk");
		return 1;
	}
	talk_open(&caller, (uint16_t)atoi(argv[1]), argv[2], argv[3]);
	talk_open(&callee, (uint16_t)atoi(argv[1]), argv[4], argv[5]);
	talk_register(&caller);
	talk_register(&callee);
	for (unsigned i = 0; i < wanted; i++) {
		if (!talk_call(&calls[up], &caller, &callee, argv[6], locals[2 * up],
			       locals[2 * up + 1], i))
			continue;
		relays[2 * up] = calls[up].relay_caller;
		relays[2 * up + 1] = calls[up].relay_callee;
		up++;
	}
	opts.legs = 2 * up;
	opts.ports = relays;
	opts.seconds = atof(argv[8]);
	if (!up || rtpload_run(&result, &opts, cpu_of, &watched)) {
		fprintf(stderr, "bench_talk: no call to listen to\n");
		return 1;
	}
	for (unsigned i = 0; i < up; i++)
		not_ended += !talk_hangup(&calls[i], &caller, &callee);
	print(&result, up, wanted - up, not_ended);
	free(calls);
	free(locals);
	free(relays);
	free(opts.fds);
	close(caller.fd);
	close(callee.fd);
	return up == wanted && !not_ended ? 0 : 1;
}
