/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Measures what a call between a telephone (PCMA) and a browser (Opus 48 kHz) costs the media process,
 * against the same encoder and decoder calls alone. Both sides speak all the time. Prints one JSON
 * object.
 *
 * Alone are as many states as there are calls, shared among as many threads as there are relay threads,
 * each woken by the clock every 20 ms: a core that has slept is slower, whatever it then does. The
 * process and the codecs alone are measured in turns, and the middle of the rounds' ratios counts.
 * "unpaced" is one thread that never sleeps, for comparison.
 *
 *   bench_transcode [SECONDS, default 12] [CALLS, default 50] [relay threads, default 2]
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/re.h"
#include "media/client.h"
#include "media/codec.h"
#include "media/relay.h"
#include "media/rtphdr.h"
#include "mediaproc.h"
#include "rtpload.h"

#define MAX_CALLS 500
#define FRAMES    500 /* of speech, 10 s, then from the beginning */
#define TICK_US   20000
#define LISTEN_US 5000
#define SETTLE_S  2

#define ROUNDS       4
#define MAX_THREADS  16
#define ALONE_SETTLE 25 /* ticks that are not counted */

struct side { /* what the phones of one kind send */
	const struct codec *codec;
	uint8_t pt;
	uint32_t hz, ts_step;
	uint16_t len[FRAMES];
	uint8_t data[FRAMES][CODEC_MAX_BYTES];
	int16_t pcm[FRAMES][960];
};

struct bench {
	struct mediaproc proc;
	unsigned threads, calls;
	double seconds;
	struct media_stream *streams[2 * MAX_CALLS];
	int fds[2 * MAX_CALLS];
	uint16_t phones[2 * MAX_CALLS], ports[2 * MAX_CALLS];
	struct side side[2];
	_Atomic bool stop;
	_Atomic uint64_t received;
	uint64_t sent, all_sent, all_received;
	double kb_per_call;
};

static double seconds_of(clockid_t clock)
{
	struct timespec t = { 0 };

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned rss_kb(pid_t pid)
{
	char path[64], line[128];
	unsigned kb = 0;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %u", &kb) == 1)
			break;
	if (file)
		fclose(file);
	return kb;
}

/* ------------------------------------------------------------------ speech */

/* A voice: harmonics of a pitch that moves, in syllables, with a pause after each sentence. */
static void speech(int16_t *pcm, size_t n, uint32_t hz, size_t from)
{
	for (size_t i = 0; i < n; i++) {
		double t = (double)(from + i) / hz, pitch = 120 + 25 * sin(2 * M_PI * 0.7 * t), v = 0;
		double loud = 0.5 - 0.5 * cos(2 * M_PI * 3.8 * t);

		for (int h = 1; h <= 20 && h * pitch < hz / 2.2; h++)
			v += sin(2 * M_PI * h * pitch * t) / h * (h % 5 == 3 ? 2.2 : 1);
		if (fmod(t, 3.0) > 2.4)
			loud = 0;
		pcm[i] = (int16_t)(4000 * loud * v + (double)(random() % 21) - 10);
	}
}

static int side_make(struct side *side, enum media_codec codec, uint32_t clock_hz, uint8_t pt)
{
	struct codec_enc *enc;
	int err, len;

	side->codec = codec_find(codec, clock_hz);
	side->pt = pt;
	side->hz = codec_hz(side->codec, 48000);
	side->ts_step = clock_hz / 50;
	err = codec_enc_alloc(&enc, side->codec, &(struct codec_opts){ 0 });
	for (size_t i = 0; i < FRAMES && !err; i++) {
		speech(side->pcm[i], side->hz / 50, side->hz, i * (side->hz / 50));
		len = codec_encode(enc, side->data[i], CODEC_MAX_BYTES, side->pcm[i], side->hz / 50);
		err = len > 0 ? 0 : -EINVAL;
		side->len[i] = (uint16_t)len;
	}
	codec_enc_free(enc);
	return err;
}

/* ------------------------------------------------------------------ the codecs alone */

/* What one call needs; hz is the rate at which Opus works. */
struct states {
	struct codec_dec *a_dec, *b_dec;
	struct codec_enc *a_enc, *b_enc;
};

/* One thread's share of the calls: every n_threads-th from first on. */
struct share {
	pthread_t thread;
	const struct bench *bench;
	struct states *states;
	const int16_t (*pcm)[960];
	uint32_t hz;
	unsigned first, n_threads;
	size_t ticks;
	bool paced;
	double spent_s;
	uint64_t bytes; /* so that no call is optimized away, and all of them worked */
};

static void states_close(struct states *states, unsigned n)
{
	for (unsigned c = 0; c < n; c++) {
		codec_dec_free(states[c].a_dec);
		codec_dec_free(states[c].b_dec);
		codec_enc_free(states[c].a_enc);
		codec_enc_free(states[c].b_enc);
	}
	memset(states, 0, n * sizeof(*states));
}

static int states_open(struct states *states, const struct bench *bench, uint32_t hz)
{
	const struct codec *phone = bench->side[0].codec, *browser = bench->side[1].codec;
	int err = 0;

	for (unsigned c = 0; c < bench->calls && !err; c++) {
		err = codec_dec_alloc(&states[c].a_dec, phone, 8000);
		if (!err)
			err = codec_dec_alloc(&states[c].b_dec, browser, hz);
		if (!err)
			err = codec_enc_alloc(&states[c].a_enc, phone, &(struct codec_opts){ 0 });
		if (!err)
			err = codec_enc_alloc(&states[c].b_enc, browser,
					      &(struct codec_opts){ .hz = hz });
	}
	return err;
}

/* What a tick of a relay thread calls, and nothing else: it decodes all, then it encodes all. */
static void share_tick(struct share *share, size_t i)
{
	const struct side *phone = &share->bench->side[0], *browser = &share->bench->side[1];
	int16_t pcm[CODEC_MAX_SAMPLES];
	uint8_t data[CODEC_MAX_BYTES];

	for (unsigned c = share->first; c < share->bench->calls; c += share->n_threads) {
		const struct states *s = &share->states[c];
		size_t k = (i + 7 * c) % FRAMES;

		(void)codec_decode(s->a_dec, pcm, CODEC_MAX_SAMPLES, phone->data[k], phone->len[k]);
		(void)codec_decode(s->b_dec, pcm, CODEC_MAX_SAMPLES, browser->data[k], browser->len[k]);
	}
	for (unsigned c = share->first; c < share->bench->calls; c += share->n_threads) {
		const struct states *s = &share->states[c];
		size_t k = (i + 7 * c) % FRAMES;

		share->bytes += (uint64_t)codec_encode(s->b_enc, data, sizeof(data), share->pcm[k],
						       share->hz / 50);
		share->bytes += (uint64_t)codec_encode(s->a_enc, data, sizeof(data), phone->pcm[k], 160);
	}
}

/* Paced: woken by the clock, as the thread that it is compared with; else without pause. */
static void *share_main(void *arg)
{
	struct share *share = arg;
	uint64_t due = clk_mono_us();
	double begin;

	/* The same claim on a CPU as the relay threads have, where that is allowed. */
	if (share->paced)
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(), RELAY_NICE);
	for (size_t i = 0; i < ALONE_SETTLE + share->ticks; i++, due += TICK_US) {
		uint64_t now = clk_mono_us();

		if (share->paced && now < due)
			usleep((useconds_t)(due - now));
		begin = seconds_of(CLOCK_THREAD_CPUTIME_ID);
		share_tick(share, i);
		if (i >= ALONE_SETTLE)
			share->spent_s += seconds_of(CLOCK_THREAD_CPUTIME_ID) - begin;
	}
	return NULL;
}

/*
 * CPU of one call's 20 ms, both ways, in us. hz is the rate at which Opus works; without threads it is
 * one that never sleeps.
 */
static int alone(double *ret_us, const struct bench *bench, uint32_t hz, size_t ticks,
		 unsigned threads)
{
	static struct states states[MAX_CALLS];
	static int16_t pcm[FRAMES][960];
	struct share shares[MAX_THREADS] = { 0 };
	unsigned n_threads = threads ? threads : 1, n;
	double spent_s = 0;
	int err;

	for (size_t i = 0; i < FRAMES; i++)
		speech(pcm[i], hz / 50, hz, i * (hz / 50));
	err = states_open(states, bench, hz);
	if (err)
		goto out;

	for (n = 0; n < n_threads && !err; n++) {
		shares[n] = (struct share){ .bench = bench, .states = states,
					    .pcm = (const int16_t(*)[960])pcm, .hz = hz, .first = n,
					    .n_threads = n_threads, .ticks = ticks, .paced = threads };
		err = -pthread_create(&shares[n].thread, NULL, share_main, &shares[n]);
	}
	for (unsigned i = 0; i < n - (err ? 1 : 0); i++) {
		pthread_join(shares[i].thread, NULL);
		spent_s += shares[i].spent_s;
		if (!err && !shares[i].bytes)
			err = -EINVAL;
	}
	*ret_us = spent_s * 1e6 / (double)ticks / bench->calls;
out:
	states_close(states, bench->calls);
	return err;
}

/* ------------------------------------------------------------------ the process */

static void end(struct bench *bench)
{
	for (unsigned k = 0; k < 2 * bench->calls; k++)
		bench->streams[k] = mem_deref(bench->streams[k]);
	mediaproc_end(&bench->proc);
}

static int begin(struct bench *bench)
{
	int err = mediaproc_begin(&bench->proc, bench->threads, NULL);

	if (err)
		return err;
	for (unsigned k = 0; k < 2 * bench->calls; k++) {
		const struct side *side = &bench->side[k % 2];
		struct media_open_opts opts = { .near = k % 2 ? bench->streams[k - 1] : NULL };
		struct media_format format = { .codec = side->codec->id, .pt_out = side->pt,
					       .pt_in = side->pt, .clock_hz = side->codec->clock_hz };
		struct sa remote;

		if (media_open(&bench->streams[k], bench->proc.media, &opts,
			       mediaproc_event_h, &bench->proc))
			return -ENOTCONN;
		sa_set_str(&remote, "127.0.0.1", bench->phones[k]);
		media_set_remote(bench->streams[k],
				 &(struct media_remote){ .rtp = &remote, .symmetric = true,
							 .may_send = true, .may_recv = true,
							 .formats = &format, .n_formats = 1,
							 .dtmf_pt = -1, .dtmf_pt_in = -1 });
		if (k % 2)
			media_bridge(bench->streams[k - 1], bench->streams[k]);
	}
	err = mediaproc_wait_open(&bench->proc, 2 * bench->calls);
	for (unsigned k = 0; k < 2 * bench->calls && !err; k++)
		bench->ports[k] = media_stream_port(bench->streams[k]);
	return err;
}

/* ------------------------------------------------------------------ the phones */

/*
 * They stand for phones elsewhere, which cost the sender no wake: they look by the clock, as those of
 * rtpload.c do.
 */
static void *listen_main(void *arg)
{
	struct bench *bench = arg;
	uint8_t data[2048];

	while (!bench->stop) {
		usleep(LISTEN_US);
		for (unsigned k = 0; k < 2 * bench->calls; k++)
			while (recv(bench->fds[k], data, sizeof(data), MSG_DONTWAIT) > 0)
				bench->received++;
	}
	return NULL;
}

static void send_one(struct bench *bench, unsigned k, size_t frame)
{
	const struct side *side = &bench->side[k % 2];
	size_t at = (frame + 7 * (k / 2)) % FRAMES;
	uint8_t data[HDR_RTP_BYTES + CODEC_MAX_BYTES];
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(bench->ports[k]),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = side->pt, .seq = (uint16_t)frame,
					       .ts = (uint32_t)frame * side->ts_step, .ssrc = k + 1 });
	memcpy(data + HDR_RTP_BYTES, side->data[at], side->len[at]);
	if (sendto(bench->fds[k], data, HDR_RTP_BYTES + side->len[at], 0, (void *)&to, sizeof(to)) > 0)
		bench->sent++;
}

/* Phones do not speak in step: each begins at its own time within the 20 ms. */
static void speak(struct bench *bench, size_t *frame, double seconds)
{
	uint64_t due = clk_mono_us();
	unsigned parts = 10, legs = 2 * bench->calls;

	for (size_t end = *frame + (size_t)(seconds * 50); *frame < end; (*frame)++)
		for (unsigned p = 0; p < parts; p++, due += TICK_US / parts) {
			uint64_t now = clk_mono_us();

			if (now < due)
				usleep((useconds_t)(due - now));
			for (unsigned k = p; k < legs; k += parts)
				send_one(bench, k, *frame);
		}
}

/* One media process, from its begin to its end: CPU of one call's 20 ms, in us. */
static int measure(double *ret_us, struct bench *bench, size_t *frame, double seconds)
{
	pthread_t listener;
	unsigned empty_kb;
	double before;
	int err = begin(bench);

	if (err)
		goto out;
	empty_kb = rss_kb(bench->proc.pid);
	bench->stop = false;
	err = -pthread_create(&listener, NULL, listen_main, bench);
	if (err)
		goto out;
	speak(bench, frame, SETTLE_S);
	before = mediaproc_cpu(bench->proc.pid);
	bench->sent = 0;
	bench->received = 0;
	speak(bench, frame, seconds);
	*ret_us = (mediaproc_cpu(bench->proc.pid) - before) * 1e6 / (seconds * 50) / bench->calls;
	bench->kb_per_call = (double)(rss_kb(bench->proc.pid) - empty_kb) / bench->calls;
	bench->stop = true;
	pthread_join(listener, NULL);
	bench->all_sent += bench->sent;
	bench->all_received += bench->received;
out:
	end(bench);
	return err;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return (v[(n - 1) / 2] + v[n / 2]) / 2;
}

static int run(struct bench *bench)
{
	const size_t part = (size_t)(bench->seconds * 50 / ROUNDS);
	double own[ROUNDS + 1] = { 0 }, process[ROUNDS] = { 0 }, ratio[ROUNDS], hot = 0, wide = 0;
	size_t frame = 0;
	int err;

	err = side_make(&bench->side[0], MEDIA_PCMA, 8000, 8);
	if (!err)
		err = side_make(&bench->side[1], MEDIA_OPUS, 48000, 111);
	if (!err)
		err = rtpload_open(bench->fds, bench->phones, 2 * bench->calls);

	/* In turns: a machine is not equally fast all the time. */
	if (!err)
		err = alone(&own[0], bench, 8000, part, bench->threads);
	for (unsigned r = 0; r < ROUNDS && !err; r++) {
		err = measure(&process[r], bench, &frame, (double)part / 50);
		if (!err)
			err = alone(&own[r + 1], bench, 8000, part, bench->threads);
		ratio[r] = 2 * process[r] / (own[r] + own[r + 1]);
	}
	if (!err)
		err = alone(&wide, bench, 48000, part, bench->threads);
	if (!err)
		err = alone(&hot, bench, 8000, part, 0);
	if (err)
		return err;

	printf("{\n  \"calls\": %u, \"threads\": %u, \"seconds\": %.1f, \"sent\": %llu, \"received\": %llu,\n",
	       bench->calls, bench->threads, (double)(ROUNDS * part) / 50,
	       (unsigned long long)bench->all_sent, (unsigned long long)bench->all_received);
	printf("  \"rounds\": [");
	for (unsigned r = 0; r < ROUNDS; r++)
		printf("%s{ \"process_us\": %.1f, \"codecs_us\": %.1f, \"ratio\": %.3f }", r ? ", " : "",
		       process[r], (own[r] + own[r + 1]) / 2, ratio[r]);
	printf("],\n  \"process_us\": %.1f,", median(process, ROUNDS));
	printf(" \"codecs_us\": %.1f, \"codecs_unpaced_us\": %.1f, \"codecs_48k_us\": %.1f,\n"
	       "  \"ratio\": %.3f, \"ratio_unpaced\": %.3f, \"ratio_48k\": %.3f, \"kb_per_call\": %.1f\n}\n",
	       median(own, ROUNDS + 1), hot, wide, median(ratio, ROUNDS), process[ROUNDS / 2] / hot,
	       process[ROUNDS / 2] / wide, bench->kb_per_call);
	return bench->all_received * 10 < bench->all_sent * 9 ? -EIO : 0;
}

int main(int argc, char *argv[])
{
	static struct bench bench = { .seconds = 12, .calls = 50, .threads = 2 };
	int err;

	if (argc > 1)
		bench.seconds = atof(argv[1]);
	if (argc > 2)
		bench.calls = (unsigned)atoi(argv[2]);
	if (argc > 3)
		bench.threads = (unsigned)atoi(argv[3]);
	if (bench.seconds < ROUNDS || !bench.calls || bench.calls > MAX_CALLS || !bench.threads ||
	    bench.threads > MAX_THREADS)
		return 2;

	if (mediaproc_init(&bench.proc, "error", 1024))
		return 1;
	err = run(&bench);
	mediaproc_close(&bench.proc);
	if (err)
		fprintf(stderr, "bench_transcode: %s\n", strerror(-err));
	return err ? 1 : 0;
}
