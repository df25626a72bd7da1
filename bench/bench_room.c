/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Measures the mixer and the recorder of the media process with one relay thread. Prints one JSON
 * object.
 *
 *   bench_room mixer|record [SECONDS per measurement, default 6]
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "base/re.h"
#include "media/client.h"
#include "media/codec.h"
#include "media/rtphdr.h"
#include "mediaproc.h"
#include "rtpload.h"

#define MAX_LEGS  2100
#define MAX_ROOMS 200

struct bench {
	struct mediaproc proc;
	double seconds;
	struct media_stream *streams[MAX_LEGS], *rooms[MAX_ROOMS];
	int fds[MAX_LEGS];
	uint16_t phones[MAX_LEGS], ports[MAX_LEGS];
	bool talks[MAX_LEGS]; /* it sends */
	unsigned legs, n_recorded, n_rec_failed, wanted;
	_Atomic bool stop;
	_Atomic uint64_t received, late;
};

static bool all_recorded(void *arg)
{
	const struct bench *bench = arg;

	return bench->n_recorded >= bench->wanted;
}

static void event_h(const struct media_event *event, void *arg)
{
	struct bench *bench = arg;

	mediaproc_event_h(event, &bench->proc);
	if (event->type == MEDIA_EV_RECORDED) {
		bench->n_recorded++;
		bench->n_rec_failed += event->err != 0;
	}
}

static void media_end(struct bench *bench)
{
	for (unsigned k = 0; k < MAX_LEGS; k++)
		bench->streams[k] = mem_deref(bench->streams[k]);
	for (unsigned k = 0; k < MAX_ROOMS; k++)
		bench->rooms[k] = mem_deref(bench->rooms[k]);
	mediaproc_end(&bench->proc);
}

static int legs_open(struct bench *bench, unsigned legs)
{
	static const struct media_format pcma = { .codec = MEDIA_PCMA, .pt_out = 8, .pt_in = 8,
						  .clock_hz = 8000 };
	int err;

	bench->legs = legs;
	bench->n_recorded = bench->n_rec_failed = 0;
	for (unsigned k = 0; k < legs; k++) {
		struct sa remote;

		if (media_open(&bench->streams[k], bench->proc.media, &(struct media_open_opts){ 0 }, event_h,
			       bench))
			return -ENOTCONN;
		sa_set_str(&remote, "127.0.0.1", bench->phones[k]);
		media_set_remote(bench->streams[k],
				 &(struct media_remote){ .rtp = &remote, .may_send = true,
							 .may_recv = true, .formats = &pcma,
							 .n_formats = 1, .dtmf_pt = -1, .dtmf_pt_in = -1 });
	}
	err = mediaproc_wait_open(&bench->proc, legs);
	for (unsigned k = 0; k < legs && !err; k++)
		bench->ports[k] = media_stream_port(bench->streams[k]);
	return err;
}

static int room_open(struct bench *bench, unsigned i)
{
	return media_room_open(&bench->rooms[i], bench->proc.media, 16000, event_h, bench);
}

/* ------------------------------------------------------------------ phones */

static void *ears_main(void *arg)
{
	struct bench *bench = arg;
	struct epoll_event evs[256], ev = { .events = EPOLLIN };
	uint8_t data[8][512];
	struct iovec iov[8];
	struct mmsghdr msgs[8];
	int fd = epoll_create1(EPOLL_CLOEXEC);

	memset(msgs, 0, sizeof(msgs));
	for (int i = 0; i < 8; i++) {
		iov[i] = (struct iovec){ data[i], sizeof(data[i]) };
		msgs[i].msg_hdr.msg_iov = &iov[i];
		msgs[i].msg_hdr.msg_iovlen = 1;
	}
	for (unsigned k = 0; k < bench->legs; k++) {
		ev.data.u32 = k;
		(void)epoll_ctl(fd, EPOLL_CTL_ADD, bench->fds[k], &ev);
	}
	while (!atomic_load(&bench->stop)) {
		int n = epoll_wait(fd, evs, 256, 50);

		for (int i = 0; i < n; i++) {
			int got = recvmmsg(bench->fds[evs[i].data.u32], msgs, 8, MSG_DONTWAIT, NULL);

			if (got > 0)
				atomic_fetch_add(&bench->received, (uint64_t)got);
		}
	}
	close(fd);
	return NULL;
}

/* Speech-like: a tone that is not the same for any two. */
static void *mouths_main(void *arg)
{
	struct bench *bench = arg;
	const struct codec *codec = codec_find(MEDIA_PCMA, 8000);
	struct codec_enc *enc = NULL;
	uint8_t (*frames)[160] = malloc(16 * sizeof(*frames));
	uint64_t next_us = clk_mono_us();
	uint16_t seq = 1;

	if (!frames || codec_enc_alloc(&enc, codec, &(struct codec_opts){ 0 }))
		return NULL;
	for (int f = 0; f < 16; f++) {
		int16_t pcm[160];

		for (int i = 0; i < 160; i++)
			pcm[i] = (int16_t)(4000 * sin(2 * M_PI * (300 + 50 * f) * i / 8000));
		(void)codec_encode(enc, frames[f], 160, pcm, 160);
	}
	codec_enc_free(enc);

	for (; !atomic_load(&bench->stop); seq++) {
		for (unsigned k = 0; k < bench->legs; k++) {
			uint8_t data[HDR_RTP_BYTES + 160];

			if (!bench->talks[k])
				continue;
			hdr_rtp_write(data, &(struct hdr_rtp){ .pt = 8, .seq = seq, .ts = seq * 160u,
							       .ssrc = k + 1 });
			memcpy(data + HDR_RTP_BYTES, frames[k % 16], 160);
			(void)send(bench->fds[k], data, sizeof(data), MSG_DONTWAIT);
		}
		next_us += 20000;
		if (clk_mono_us() > next_us + 20000)
			atomic_fetch_add(&bench->late, 1);
		while (clk_mono_us() < next_us)
			usleep((useconds_t)(next_us - clk_mono_us()));
	}
	free(frames);
	return NULL;
}

struct measure {
	double cores, packets_per_s;
	unsigned late;
};

static int measure(struct measure *ret, struct bench *bench)
{
	pthread_t ears, mouths;
	uint64_t packets;
	double cpu;

	atomic_store(&bench->stop, false);
	atomic_store(&bench->late, 0);
	for (unsigned k = 0; k < bench->legs; k++) {
		struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(bench->ports[k]),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		if (connect(bench->fds[k], (struct sockaddr *)&to, sizeof(to)))
			return -errno;
	}
	if (pthread_create(&ears, NULL, ears_main, bench) ||
	    pthread_create(&mouths, NULL, mouths_main, bench))
		return -EAGAIN;
	(void)mediaproc_until(NULL, NULL, 1500);
	packets = atomic_load(&bench->received);
	cpu = mediaproc_cpu(bench->proc.pid);
	(void)mediaproc_until(NULL, NULL, (unsigned)(bench->seconds * 1000));
	ret->cores = (mediaproc_cpu(bench->proc.pid) - cpu) / bench->seconds;
	ret->packets_per_s = (double)(atomic_load(&bench->received) - packets) / bench->seconds;
	ret->late = (unsigned)atomic_load(&bench->late);
	atomic_store(&bench->stop, true);
	pthread_join(ears, NULL);
	pthread_join(mouths, NULL);
	return 0;
}

static void phones_close(struct bench *bench)
{
	for (unsigned k = 0; k < bench->legs; k++)
		close(bench->fds[k]);
}

static void print(const char *name, const struct bench *bench, const struct measure *m, bool comma)
{
	printf("  \"%s\": {\"legs\": %u, \"cores\": %.3f, \"packets_per_s\": %.0f, "
	       "\"missing_percent\": %.3f, \"late_rounds\": %u}%s\n",
	       name, bench->legs, m->cores, m->packets_per_s,
	       100 * (1 - m->packets_per_s / (50.0 * bench->legs)), m->late, comma ? "," : "");
	fflush(stdout);
}

/* ------------------------------------------------------------------ what is measured */

/* everybody_sends: as phones do that know no silence suppression. */
static int big_room(struct bench *bench, unsigned listeners, bool everybody_sends, const char *name,
		    bool comma)
{
	unsigned legs = listeners + 3;
	struct measure m;
	int err = rtpload_open(bench->fds, bench->phones, legs + legs % 2);

	if (!err)
		err = mediaproc_begin(&bench->proc, 1, NULL);
	if (!err)
		err = legs_open(bench, legs);
	if (!err)
		err = room_open(bench, 0);
	for (unsigned k = 0; k < legs && !err; k++) {
		bench->talks[k] = k < 3 || everybody_sends;
		media_room_join(bench->streams[k], bench->rooms[0],
				&(struct media_member){ .muted = k >= 3 });
	}
	if (!err)
		err = measure(&m, bench);
	if (!err)
		print(name, bench, &m, comma);
	phones_close(bench);
	media_end(bench);
	return err;
}

static int small_rooms(struct bench *bench, unsigned rooms, unsigned members, const char *name, bool comma)
{
	unsigned legs = rooms * members;
	struct measure m;
	int err = rtpload_open(bench->fds, bench->phones, legs);

	if (!err)
		err = mediaproc_begin(&bench->proc, 1, NULL);
	if (!err)
		err = legs_open(bench, legs);
	for (unsigned i = 0; i < rooms && !err; i++)
		err = room_open(bench, i);
	for (unsigned k = 0; k < legs && !err; k++) {
		bench->talks[k] = true;
		media_room_join(bench->streams[k], bench->rooms[k / members], &(struct media_member){ 0 });
	}
	if (!err)
		err = measure(&m, bench);
	if (!err)
		print(name, bench, &m, comma);
	phones_close(bench);
	media_end(bench);
	return err;
}

/* Calls with and without a recording: the difference is what it costs. */
static int recordings(struct bench *bench, unsigned calls, bool record, bool opus, const char *name,
		      bool comma)
{
	struct measure m;
	int err = rtpload_open(bench->fds, bench->phones, 2 * calls);

	if (!err)
		err = mediaproc_begin(&bench->proc, 1, NULL);
	if (!err)
		err = legs_open(bench, 2 * calls);
	for (unsigned k = 0; k < calls && !err; k++) {
		char path[64];

		bench->talks[2 * k] = bench->talks[2 * k + 1] = true;
		media_bridge(bench->streams[2 * k], bench->streams[2 * k + 1]);
		(void)snprintf(path, sizeof(path), "%s/%u.%s", name, k, opus ? "opus" : "wav");
		if (record)
			err = media_record(bench->streams[2 * k],
					   &(struct media_record){ .id = k + 1, .path = path,
								   .stereo = true, .opus = opus });
	}
	if (!err)
		err = measure(&m, bench);
	if (!err && record) {
		bench->wanted = calls;
		for (unsigned k = 0; k < calls; k++)
			media_record_stop(bench->streams[2 * k], k + 1);
		(void)mediaproc_until(all_recorded, bench, 15000);
		printf("  \"%s_complete\": %u, \"%s_failed\": %u,\n", name, bench->n_recorded, name,
		       bench->n_rec_failed);
	}
	if (!err)
		print(name, bench, &m, comma);
	phones_close(bench);
	media_end(bench);
	return err;
}

static int run(struct bench *bench, const char *what)
{
	int err;

	if (!strcmp(what, "mixer")) {
		err = big_room(bench, 1000, false, "listeners_1000", true);
		if (!err)
			err = big_room(bench, 1000, true, "listeners_1000_all_send", true);
		if (!err)
			err = small_rooms(bench, 200, 5, "rooms_200_of_5", false);
		return err;
	}
	err = recordings(bench, 200, false, false, "plain_200", true);
	if (!err)
		err = recordings(bench, 200, true, false, "wav_200", true);
	if (!err)
		err = recordings(bench, 200, true, true, "opus_200", false);
	return err;
}

int main(int argc, char *argv[])
{
	static struct bench bench;
	int err;

	if (argc < 2 || (strcmp(argv[1], "mixer") && strcmp(argv[1], "record"))) {
		(void)fprintf(stderr, "bench_room mixer|record [SECONDS]\n");
		return 2;
	}
	bench.seconds = argc > 2 ? atof(argv[2]) : 6;
	if (mediaproc_init(&bench.proc, "error", 2 * MAX_LEGS))
		return 1;

	printf("{\n");
	err = run(&bench, argv[1]);
	printf("}\n");
	mediaproc_close(&bench.proc);
	if (err)
		(void)fprintf(stderr, "bench_room: %s\n", strerror(-err));
	return err ? 1 : 0;
}
