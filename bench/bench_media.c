/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Measures the media process against an ideal relay in the same run, and what opening and closing a
 * stream costs. Prints one JSON object.
 *
 *   bench_media [SECONDS per measurement, default 8] [relay threads, 0: as the media process] [srtp]
 *
 * srtp: instead of that, SRTP to SRTP against plain RTP.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/re.h"
#include "ideal_relay.h"
#include "media/client.h"
#include "mediaproc.h"
#include "rtpload.h"

#define MAX_LEGS  2000

struct bench {
	struct mediaproc proc;
	unsigned threads;
	double seconds;
	pid_t watched; /* whose CPU is measured */
	struct media_stream *streams[MAX_LEGS];
	int fds[MAX_LEGS];
	uint16_t phones[MAX_LEGS], ports[MAX_LEGS]; /* of the phones, of the relay */
	bool srtp;
};

static double cpu_h(void *arg)
{
	return mediaproc_cpu(((const struct bench *)arg)->watched);
}

static double cpu_self(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------ relaying */

static const uint8_t srtp_key[30] = "a key of thirty bytes for all";

static int calls_set_up(struct bench *bench, unsigned legs)
{
	int err;

	for (unsigned k = 0; k < legs; k++) {
		struct media_open_opts opts = { .near = k % 2 ? bench->streams[k - 1] : NULL };
		struct sa remote;

		if (media_open(&bench->streams[k], bench->proc.media, &opts,
			       mediaproc_event_h, &bench->proc))
			return -ENOTCONN;
		sa_set_str(&remote, "127.0.0.1", bench->phones[k]);
		media_set_remote(bench->streams[k],
				 &(struct media_remote){ .rtp = &remote, .symmetric = true,
							 .may_send = true, .may_recv = true,
							 .formats = &(const struct media_format){ .codec = MEDIA_PCMA, .pt_out = 8,
					.pt_in = 8, .clock_hz = 8000 },
				    .n_formats = 1, .dtmf_tx = MEDIA_DTMF_EVENT,
				    .dtmf_pt = 101, .dtmf_pt_in = 101 });
		if (bench->srtp)
			media_set_secure(bench->streams[k],
					 &(struct media_secure){ .mode = MEDIA_SDES,
								 .suite_tx = MEDIA_AES_CM_128_HMAC_SHA1_80,
								 .suite_rx = MEDIA_AES_CM_128_HMAC_SHA1_80,
								 .key_tx = srtp_key,
								 .key_rx = srtp_key });
		if (k % 2)
			media_bridge(bench->streams[k - 1], bench->streams[k]);
	}
	err = mediaproc_wait_open(&bench->proc, legs);
	for (unsigned k = 0; k < legs && !err; k++)
		bench->ports[k] = media_stream_port(bench->streams[k]);
	return err;
}

static void print_result(const char *name, unsigned calls, const struct rtpload_result *r,
			 bool comma)
{
	double cpu_s = r->cpu_after_s - r->cpu_before_s;

	printf("  \"%s_%u\": {\"calls\": %u, \"packets\": %llu, \"loss_percent\": %.4f, "
	       "\"crossed\": %llu, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, "
	       "\"cpu_us_per_packet\": %.3f, \"cores\": %.2f, \"late_sends\": %llu}%s\n",
	       name, calls, calls, (unsigned long long)r->sent, r->loss_percent,
	       (unsigned long long)r->crossed, r->p50_ms, r->p99_ms, r->max_ms,
	       r->sent ? cpu_s * 1e6 / (double)r->sent : 0, cpu_s / r->elapsed_s,
	       (unsigned long long)r->late_sends, comma ? "," : "");
	fflush(stdout);
}

static double us_per_packet(const struct rtpload_result *r)
{
	return r->sent ? (r->cpu_after_s - r->cpu_before_s) * 1e6 / (double)r->sent : 0;
}

static int load(struct rtpload_result *ret, struct bench *bench, unsigned legs)
{
	return rtpload_run(ret,
			   &(struct rtpload_opts){ .legs = legs, .fds = bench->fds,
						   .ports = bench->ports, .threads = 2,
						   .seconds = bench->seconds,
						   .srtp_key = bench->srtp ? srtp_key : NULL },
			   cpu_h, bench);
}

static int run_ours(struct rtpload_result *ret, struct bench *bench, unsigned calls)
{
	int err = rtpload_open(bench->fds, bench->phones, 2 * calls);

	if (!err)
		err = mediaproc_begin(&bench->proc, bench->threads, NULL);
	bench->watched = bench->proc.pid;
	if (!err)
		err = calls_set_up(bench, 2 * calls);
	if (!err)
		err = load(ret, bench, 2 * calls);
	for (unsigned k = 0; k < 2 * calls; k++)
		bench->streams[k] = mem_deref(bench->streams[k]);
	mediaproc_end(&bench->proc);
	return err;
}

static int run_ideal(struct rtpload_result *ret, struct bench *bench, unsigned calls)
{
	int ready[2], stop[2], err;
	size_t want;
	char byte = 1;

	if (pipe(ready) || pipe(stop))
		return -errno;
	err = rtpload_open(bench->fds, bench->phones, 2 * calls);
	if (err)
		return err;
	bench->watched = fork();
	if (!bench->watched) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(ideal_relay_run(2 * calls, bench->phones, bench->threads, ready[1],
				      stop[0]) ? 1 : 0);
	}
	close(ready[1]); /* so that a child that dies is noticed */
	want = 2 * calls * sizeof(bench->ports[0]);
	err = read(ready[0], bench->ports, want) == (ssize_t)want ? 0 : -EIO;
	if (!err)
		err = load(ret, bench, 2 * calls);
	(void)!write(stop[1], &byte, 1);
	(void)waitpid(bench->watched, NULL, 0);
	close(ready[0]);
	close(stop[0]);
	close(stop[1]);
	return err;
}

static int bench_calls(struct bench *bench, unsigned calls)
{
	struct rtpload_result ideal, ours;
	int err = run_ideal(&ideal, bench, calls);

	if (!err)
		err = run_ours(&ours, bench, calls);
	if (err)
		return err;
	print_result("ideal", calls, &ideal, true);
	print_result("aoide", calls, &ours, true);
	printf("  \"ratio_%u\": %.3f,\n", calls, us_per_packet(&ours) / us_per_packet(&ideal));
	return 0;
}

static int bench_srtp(struct bench *bench, unsigned calls)
{
	struct rtpload_result plain, secret;
	int err = run_ours(&plain, bench, calls);

	bench->srtp = true;
	if (!err)
		err = run_ours(&secret, bench, calls);
	if (err)
		return err;
	print_result("plain", calls, &plain, true);
	print_result("srtp", calls, &secret, true);
	printf("  \"ratio_%u\": %.3f\n", calls, us_per_packet(&secret) / us_per_packet(&plain));
	return 0;
}

/* ------------------------------------------------------------------ open and close */

/*
 * Calls of two streams each: opened, told their remotes, bridged, closed after half a second; in turns
 * of one millisecond as a switch does it. Measured from the third second on, when ports are reused.
 */
static int bench_open(struct bench *bench, unsigned per_s, bool comma)
{
	unsigned total = per_s * 7, warm = per_s * 3, done = 0, opened;
	uint64_t began, peak = 0;
	double cpu_s = 0, self_s = 0;
	int err = mediaproc_begin(&bench->proc, bench->threads, NULL);

	if (err)
		return err;
	began = clk_mono_ms();
	opened = 0;
	while (done < total) {
		if (done < warm) {
			cpu_s = mediaproc_cpu(bench->proc.pid);
			self_s = cpu_self();
		}
		unsigned due = (unsigned)((clk_mono_ms() - began) * per_s / 1000);

		for (; opened < due && opened < total && opened - done < MAX_LEGS / 2; opened++) {
			struct media_stream **s = &bench->streams[2 * (opened % (MAX_LEGS / 2))];

			for (int i = 0; i < 2; i++) {
				struct media_open_opts opts = { .near = i ? s[0] : NULL };
				struct sa remote;

				if (media_open(&s[i], bench->proc.media, &opts,
			       mediaproc_event_h, &bench->proc))
					return -ENOTCONN;
				sa_set_str(&remote, "127.0.0.1", 9); /* nobody sends */
				media_set_remote(s[i], &(struct media_remote){ .rtp = &remote,
					.may_send = true, .may_recv = true, .formats = &(const struct media_format){ .codec = MEDIA_PCMA, .pt_out = 8,
					.pt_in = 8, .clock_hz = 8000 },
				    .n_formats = 1, .dtmf_tx = MEDIA_DTMF_EVENT,
				    .dtmf_pt = 101, .dtmf_pt_in = 101 });
			}
			media_bridge(s[0], s[1]);
		}
		/* A call lasts half a second. */
		for (; done + per_s / 2 < due && done < opened; done++) {
			struct media_stream **s = &bench->streams[2 * (done % (MAX_LEGS / 2))];

			s[0] = mem_deref(s[0]);
			s[1] = mem_deref(s[1]);
		}
		if (opened - done > peak)
			peak = opened - done;
		(void)mediaproc_until(NULL, NULL, 1);
	}
	(void)mediaproc_until(NULL, NULL, 300);
	cpu_s = mediaproc_cpu(bench->proc.pid) - cpu_s;
	self_s = cpu_self() - self_s;
	printf("  \"open_%u\": {\"streams\": %u, \"failed\": %u, \"peak_calls\": %llu, "
	       "\"media_us_per_stream\": %.2f, \"client_us_per_stream\": %.2f}%s\n",
	       per_s, bench->proc.n_open, bench->proc.n_failed, (unsigned long long)peak,
	       cpu_s * 1e6 / (2 * (total - warm)), self_s * 1e6 / (2 * (total - warm)), comma ? "," : "");
	mediaproc_end(&bench->proc);
	return bench->proc.n_failed ? -EIO : 0;
}

static int bench_all(struct bench *bench)
{
	int err = bench_calls(bench, 600);

	if (!err)
		err = bench_calls(bench, 1000);
	if (!err)
		err = bench_open(bench, 200, true);
	if (!err)
		err = bench_open(bench, 1000, false);
	return err;
}

int main(int argc, char *argv[])
{
	struct bench *bench = calloc(1, sizeof(*bench));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	int err;

	if (!bench)
		return 1;
	bench->seconds = argc > 1 ? atof(argv[1]) : 8;
	bench->threads = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
	if (!bench->threads)
		bench->threads = cores < 4 ? (unsigned)cores : 4;
	if (mediaproc_init(&bench->proc, "error", 2 * MAX_LEGS))
		return 1;

	printf("{\n  \"cores\": %ld, \"relay_threads\": %u, \"seconds\": %.0f,\n", cores,
	       bench->threads, bench->seconds);
	if (argc > 3 && !strcmp(argv[3], "srtp"))
		err = bench_srtp(bench, 600);
	else
		err = bench_all(bench);
	printf("}\n");

	mediaproc_close(&bench->proc);
	free(bench);
	if (err)
		(void)fprintf(stderr, "bench_media: %s\n", strerror(-err));
	return err ? 1 : 0;
}
