/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Measures what a call between a telephone (PCMA) and a browser (Opus 48 kHz) costs the media process,
 * against the same encoder and decoder calls alone. Both sides speak all the time. Prints one JSON
 * object.
 *
 *   bench_transcode [SECONDS, default 10] [CALLS, default 50] [relay threads, default 2]
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/re.h"
#include "media/client.h"
#include "media/codec.h"
#include "media/rtphdr.h"
#include "mediaproc.h"
#include "rtpload.h"

#define MAX_CALLS 500
#define FRAMES    500 /* of speech, 10 s, then from the beginning */
#define TICK_US   20000
#define LISTEN_US 5000

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
	uint64_t sent;
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

/*
 * CPU of one call's 20 ms, both ways, in us: what the media process calls for it, and nothing else. hz
 * is the rate at which Opus works. As many states as there are calls, in turns, as in the process.
 */
static int alone(double *ret_us, const struct bench *bench, uint32_t hz)
{
	const struct side *phone = &bench->side[0], *browser = &bench->side[1];
	static struct codec_dec *a_dec[MAX_CALLS], *b_dec[MAX_CALLS];
	static struct codec_enc *a_enc[MAX_CALLS], *b_enc[MAX_CALLS];
	static int16_t wide[FRAMES][960];
	int16_t pcm[CODEC_MAX_SAMPLES];
	uint8_t data[CODEC_MAX_BYTES];
	double begin, spent = 0;
	int err = 0;

	for (size_t i = 0; i < FRAMES; i++)
		speech(wide[i], hz / 50, hz, i * (hz / 50));
	for (unsigned c = 0; c < bench->calls && !err; c++) {
		err = codec_dec_alloc(&a_dec[c], phone->codec, 8000);
		if (!err)
			err = codec_dec_alloc(&b_dec[c], browser->codec, hz);
		if (!err)
			err = codec_enc_alloc(&a_enc[c], phone->codec, &(struct codec_opts){ 0 });
		if (!err)
			err = codec_enc_alloc(&b_enc[c], browser->codec, &(struct codec_opts){ .hz = hz });
	}
	if (err)
		return err;

	begin = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
	for (size_t i = 0; i < FRAMES; i++)
		for (unsigned c = 0; c < bench->calls; c++) {
			size_t k = (i + 7 * c) % FRAMES;

			(void)codec_decode(a_dec[c], pcm, CODEC_MAX_SAMPLES, phone->data[k], phone->len[k]);
			(void)codec_encode(b_enc[c], data, sizeof(data), wide[k], hz / 50);
			(void)codec_decode(b_dec[c], pcm, CODEC_MAX_SAMPLES, browser->data[k],
					   browser->len[k]);
			(void)codec_encode(a_enc[c], data, sizeof(data), phone->pcm[k], 160);
		}
	spent = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - begin;
	for (unsigned c = 0; c < bench->calls; c++) {
		codec_dec_free(a_dec[c]);
		codec_dec_free(b_dec[c]);
		codec_enc_free(a_enc[c]);
		codec_enc_free(b_enc[c]);
	}
	*ret_us = spent * 1e6 / FRAMES / bench->calls;
	return 0;
}

/* ------------------------------------------------------------------ the process */

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

static int run(struct bench *bench)
{
	double before, cpu_us, own_us = 0, again_us = 0, wide_us = 0;
	unsigned empty_kb, full_kb;
	pthread_t listener;
	size_t frame = 0;
	int err;

	err = side_make(&bench->side[0], MEDIA_PCMA, 8000, 8);
	if (!err)
		err = side_make(&bench->side[1], MEDIA_OPUS, 48000, 111);
	if (!err)
		err = alone(&own_us, bench, 8000);
	if (!err)
		err = alone(&wide_us, bench, 48000);
	if (!err)
		err = rtpload_open(bench->fds, bench->phones, 2 * bench->calls);
	if (!err)
		err = begin(bench);
	if (err)
		return err;

	empty_kb = rss_kb(bench->proc.pid);
	if (pthread_create(&listener, NULL, listen_main, bench))
		return -EAGAIN;
	speak(bench, &frame, 2);
	before = mediaproc_cpu(bench->proc.pid);
	bench->sent = 0;
	bench->received = 0;
	speak(bench, &frame, bench->seconds);
	cpu_us = (mediaproc_cpu(bench->proc.pid) - before) * 1e6 / (bench->seconds * 50) / bench->calls;
	full_kb = rss_kb(bench->proc.pid);
	bench->stop = true;
	pthread_join(listener, NULL);
	/* Before and after: a machine is not equally fast all the time. */
	err = alone(&again_us, bench, 8000);
	own_us = (own_us + again_us) / 2;

	printf("{\n  \"calls\": %u, \"seconds\": %.0f, \"sent\": %llu, \"received\": %llu,\n"
	       "  \"process_us\": %.1f, \"codecs_us\": %.1f, \"codecs_48k_us\": %.1f,\n"
	       "  \"ratio\": %.3f, \"ratio_48k\": %.3f, \"kb_per_call\": %.1f\n}\n",
	       bench->calls, bench->seconds, (unsigned long long)bench->sent,
	       (unsigned long long)bench->received, cpu_us, own_us, wide_us, cpu_us / own_us,
	       cpu_us / wide_us, (double)(full_kb - empty_kb) / bench->calls);
	return err ? err : bench->received * 10 < bench->sent * 9 ? -EIO : 0;
}

int main(int argc, char *argv[])
{
	static struct bench bench = { .seconds = 10, .calls = 50, .threads = 2 };
	int err;

	if (argc > 1)
		bench.seconds = atof(argv[1]);
	if (argc > 2)
		bench.calls = (unsigned)atoi(argv[2]);
	if (argc > 3)
		bench.threads = (unsigned)atoi(argv[3]);
	if (bench.seconds < 1 || !bench.calls || bench.calls > MAX_CALLS)
		return 2;

	if (mediaproc_init(&bench.proc, "error", 1024))
		return 1;
	err = run(&bench);
	for (unsigned k = 0; k < 2 * bench.calls; k++)
		mem_deref(bench.streams[k]);
	mediaproc_end(&bench.proc);
	mediaproc_close(&bench.proc);
	if (err)
		fprintf(stderr, "bench_transcode: %s\n", strerror(-err));
	return err ? 1 : 0;
}
