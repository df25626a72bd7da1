/* SPDX-License-Identifier: Apache-2.0 */
/* Rooms and recordings through a real media process: phones that say tones, ears that look for them. */
#include "mediafix.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sndfile.h>
#include "base/clock.h"
#include "media/codec.h"
#include "media/protocol.h"
#include "media/vault.h"

#define MAX_HEARD 160000

struct ear { /* a stream and the phone behind it */
	struct media_stream *stream;
	struct phone phone;
	const struct codec *codec;
	uint8_t pt;
	struct codec_enc *enc;
	struct codec_dec *dec;
	double tone_hz; /* 0: it sends nothing */
	size_t t;
	uint16_t port;
	int16_t heard[MAX_HEARD];
	size_t n_heard, n_packets;
	uint32_t last_ts;
	uint16_t last_seq;
	uint32_t ssrc;
	bool out_of_order;
	/* events */
	bool opened, failed, lost, closed;
	unsigned n_recorded, n_talking;
	struct media_event recorded;
	bool talking;
};

static void ear_event(const struct media_event *event, void *arg)
{
	struct ear *ear = arg;

	switch (event->type) {
	case MEDIA_EV_OPENED:
		ear->opened = true;
		ear->port = event->rtp_port;
		break;
	case MEDIA_EV_FAILED:
		ear->failed = true;
		break;
	case MEDIA_EV_LOST:
		ear->lost = true;
		break;
	case MEDIA_EV_RECORDED:
		ear->n_recorded++;
		ear->recorded = *event;
		break;
	case MEDIA_EV_TALKING:
		ear->n_talking++;
		ear->talking = event->talking;
		break;
	case MEDIA_EV_STATS:
		ear->closed = true;
		break;
	default:
		break;
	}
}

static bool is_open(void *arg)
{
	const struct ear *ear = arg;

	return ear->opened || ear->failed;
}

static void ear_open_codec(struct fix *fix, struct ear *ear, double tone_hz, enum media_codec codec,
			   uint32_t clock_hz, uint8_t pt)
{
	struct media_format format = { .codec = codec, .pt_out = pt, .pt_in = pt, .clock_hz = clock_hz };
	struct sa rtp;

	memset(ear, 0, sizeof(*ear));
	phone_open(&ear->phone, "127.0.0.1");
	ear->codec = codec_find(codec, clock_hz);
	assert_non_null(ear->codec);
	ear->pt = pt;
	ear->tone_hz = tone_hz;
	assert_int_equal(codec_enc_alloc(&ear->enc, ear->codec, &(struct codec_opts){ 0 }), 0);
	assert_int_equal(codec_dec_alloc(&ear->dec, ear->codec, codec_enc_hz(ear->enc)), 0);
	assert_int_equal(media_open(&ear->stream, fix->media, &(struct media_open_opts){ 0 }, ear_event,
				    ear), 0);
	assert_true(fix_until(is_open, ear, FIX_WAIT_MS));
	sa_set_str(&rtp, "127.0.0.1", ear->phone.port);
	media_set_remote(ear->stream, &(struct media_remote){ .rtp = &rtp, .may_send = true,
							      .may_recv = true, .formats = &format,
							      .n_formats = 1,
							      .dtmf_tx = MEDIA_DTMF_EVENT,
							      .dtmf_pt = 101, .dtmf_pt_in = 101 });
}

static void ear_open(struct fix *fix, struct ear *ear, double tone_hz)
{
	ear_open_codec(fix, ear, tone_hz, MEDIA_PCMA, 8000, 8);
}

static void ear_close(struct ear *ear)
{
	ear->stream = mem_deref(ear->stream);
	phone_close(&ear->phone);
	codec_enc_free(ear->enc);
	codec_dec_free(ear->dec);
}

static void ear_say(struct ear *ear)
{
	uint32_t hz = codec_enc_hz(ear->enc);
	uint8_t data[HDR_RTP_BYTES + CODEC_MAX_BYTES];
	int16_t pcm[960];
	int n;

	if (!ear->tone_hz)
		return;
	for (uint32_t i = 0; i < hz / 50; i++, ear->t++)
		pcm[i] = (int16_t)(6000 * sin(2 * M_PI * ear->tone_hz * (double)ear->t / hz));
	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = ear->pt, .seq = ear->phone.seq++,
					       .ts = ear->phone.ts, .ssrc = ear->phone.ssrc });
	ear->phone.ts += ear->codec->clock_hz / 50;
	n = codec_encode(ear->enc, data + HDR_RTP_BYTES, CODEC_MAX_BYTES, pcm, hz / 50);
	assert_true(n > 0);
	phone_send_raw(ear->phone.rtp, ear->port, data, HDR_RTP_BYTES + (size_t)n);
}

static void ear_hear(struct ear *ear)
{
	uint8_t data[2048];
	struct hdr_rtp hdr;
	size_t len;

	while ((len = phone_recv(ear->phone.rtp, data, sizeof(data), 0))) {
		int n;

		assert_int_equal(hdr_rtp_parse(&hdr, data, len), 0);
		if (hdr.pt != ear->pt)
			continue;
		if (ear->n_packets && (hdr.ssrc != ear->ssrc ||
				       (uint16_t)(hdr.seq - ear->last_seq) != 1 ||
				       (int32_t)(hdr.ts - ear->last_ts) <= 0))
			ear->out_of_order = true;
		ear->ssrc = hdr.ssrc;
		ear->last_seq = hdr.seq;
		ear->last_ts = hdr.ts;
		ear->n_packets++;
		n = codec_decode(ear->dec, ear->heard + ear->n_heard, MAX_HEARD - ear->n_heard,
				 data + hdr.payload_at, hdr.payload_len);
		assert_true(n >= 0);
		ear->n_heard += (size_t)n;
	}
}

/* Everybody talks and listens for so long, on the clock. */
static void talk(struct ear **ears, size_t n, unsigned ms)
{
	uint64_t next_us = clk_mono_us();

	for (unsigned k = 0; k < ms / 20; k++) {
		for (size_t i = 0; i < n; i++)
			ear_say(ears[i]);
		next_us += 20000;
		do {
			fix_run(2);
			for (size_t i = 0; i < n; i++)
				ear_hear(ears[i]);
		} while (clk_mono_us() < next_us);
	}
}

static void forget(struct ear **ears, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ears[i]->n_heard = ears[i]->n_packets = 0;
}

static double share(const int16_t *v, size_t n, unsigned step, double rate, double hz)
{
	double coeff = 2 * cos(2 * M_PI * hz / rate), s1 = 0, s2 = 0, energy = 1;

	for (size_t i = 0; i < n; i++) {
		double x = v[i * step], s0 = x + coeff * s1 - s2;

		s2 = s1;
		s1 = s0;
		energy += x * x;
	}
	return n ? (s1 * s1 + s2 * s2 - coeff * s1 * s2) * 2 / (double)n / energy : 0;
}

static double hears(const struct ear *ear, double hz)
{
	return share(ear->heard, ear->n_heard, 1, codec_dec_hz(ear->dec), hz);
}

/* Of all it hears, this tone is a good part; or nothing at all of it is there. */
#define assert_hears(ear, hz)      assert_true(hears(ear, hz) > 0.2)
#define assert_hears_not(ear, hz)  assert_true(hears(ear, hz) < 0.01)

/* ------------------------------------------------------------------ recordings */

struct file {
	SF_INFO info;
	int16_t *v;
};

static const char *path_of(const struct fix *fix, const char *name)
{
	static char path[4][200];
	static unsigned at;

	at = (at + 1) % 4;
	(void)snprintf(path[at], sizeof(path[at]), "%s/recordings/%s", fix->dir, name);
	return path[at];
}

static void file_read(struct file *file, const char *path)
{
	SNDFILE *in;

	memset(file, 0, sizeof(*file));
	in = sf_open(path, SFM_READ, &file->info);
	if (!in)
		fail_msg("%s: %s", path, sf_strerror(NULL));
	file->v = calloc((size_t)file->info.frames * (size_t)file->info.channels + 1, sizeof(int16_t));
	assert_int_equal(sf_readf_short(in, file->v, file->info.frames), file->info.frames);
	sf_close(in);
}

static double file_share(const struct file *file, int channel, double hz)
{
	return share(file->v + channel, (size_t)file->info.frames, (unsigned)file->info.channels,
		     file->info.samplerate, hz);
}

static int span_ms(const struct file *file)
{
	return (int)(file->info.frames * 1000 / file->info.samplerate);
}

static bool has_recorded(void *arg)
{
	return ((const struct ear *)arg)->n_recorded;
}

static void record_stop(struct ear *ear, uint32_t id)
{
	media_record_stop(ear->stream, id);
	assert_true(fix_until(has_recorded, ear, FIX_WAIT_MS));
	assert_int_equal(ear->recorded.id, id);
	assert_int_equal(ear->recorded.err, 0);
	assert_int_equal(ear->recorded.reason, MEDIA_END_STOPPED);
}

static void two_talk(struct fix *fix, struct ear *a, struct ear *b)
{
	ear_open(fix, a, 440);
	ear_open(fix, b, 1000);
	media_bridge(a->stream, b->stream);
	talk((struct ear *[]){ a, b }, 2, 200);
}

static void stereo_has_what_is_said_left_and_what_is_heard_right(void **state)
{
	struct fix *fix = *state;
	static struct ear a, b;
	struct file file;

	two_talk(fix, &a, &b);
	assert_int_equal(media_record(a.stream, &(struct media_record){ .id = 7, .path = "d/s.wav",
									.stereo = true }), 0);
	talk((struct ear *[]){ &a, &b }, 2, 1000);
	record_stop(&a, 7);
	assert_in_range(a.recorded.span_ms, 900, 1100);

	file_read(&file, path_of(fix, "d/s.wav"));
	assert_int_equal(file.info.channels, 2);
	assert_int_equal(span_ms(&file), a.recorded.span_ms);
	assert_int_equal(a.recorded.bytes, 44 + 4 * file.info.frames);
	assert_true(file_share(&file, 0, 440) > 0.8);
	assert_true(file_share(&file, 1, 1000) > 0.8);
	assert_true(file_share(&file, 0, 1000) < 0.01);
	assert_true(file_share(&file, 1, 440) < 0.01);
	free(file.v);

	/* Once, and the call was not disturbed. */
	talk((struct ear *[]){ &a, &b }, 2, 200);
	assert_int_equal(a.n_recorded, 1);
	assert_hears(&a, 1000);
	assert_hears(&b, 440);
	ear_close(&a);
	ear_close(&b);
}

static void mono_has_both_and_said_only_has_one(void **state)
{
	struct fix *fix = *state;
	static struct ear a, b;
	struct file file;

	two_talk(fix, &a, &b);
	assert_int_equal(media_record(a.stream, &(struct media_record){ .id = 1, .path = "mono.wav" }), 0);
	assert_int_equal(media_record(b.stream, &(struct media_record){ .id = 2, .path = "said.opus",
									.said_only = true,
									.opus = true }), 0);
	talk((struct ear *[]){ &a, &b }, 2, 1000);
	record_stop(&a, 1);
	record_stop(&b, 2);

	file_read(&file, path_of(fix, "mono.wav"));
	assert_int_equal(file.info.channels, 1);
	assert_true(file_share(&file, 0, 440) > 0.3 && file_share(&file, 0, 1000) > 0.3);
	free(file.v);
	file_read(&file, path_of(fix, "said.opus"));
	assert_int_equal(file.info.channels, 1);
	assert_true(file_share(&file, 0, 440) < 0.02 && file_share(&file, 0, 1000) > 0.8);
	assert_int_equal(span_ms(&file), b.recorded.span_ms);
	free(file.v);
	ear_close(&a);
	ear_close(&b);
}

static void what_is_said_in_a_pause_is_not_recorded(void **state)
{
	struct fix *fix = *state;
	static struct ear a, b;
	struct ear *both[] = { &a, &b };
	struct file file;

	two_talk(fix, &a, &b);
	assert_int_equal(media_record(a.stream, &(struct media_record){ .id = 1, .path = "p.wav",
									.stereo = true }), 0);
	talk(both, 2, 600);
	media_record_pause(a.stream, 1, true);
	talk(both, 2, 100); /* what is still on its way */
	a.tone_hz = 2000;
	talk(both, 2, 600);
	a.tone_hz = 440;
	talk(both, 2, 200);
	media_record_pause(a.stream, 1, false);
	talk(both, 2, 600);
	record_stop(&a, 1);
	assert_in_range(a.recorded.span_ms, 1100, 1300);
	file_read(&file, path_of(fix, "p.wav"));
	assert_true(file_share(&file, 0, 440) > 0.5);
	assert_true(file_share(&file, 0, 2000) < 0.01);
	free(file.v);
	ear_close(&a);
	ear_close(&b);
}

static void it_ends_by_length_silence_and_digit(void **state)
{
	struct fix *fix = *state;
	static struct ear a;
	struct ear *all[] = { &a };
	uint8_t event[HDR_RTP_BYTES + 4];

	ear_open(fix, &a, 440);
	talk(all, 1, 200);
	assert_int_equal(media_record(a.stream, &(struct media_record){ .id = 1, .path = "1.wav",
									.said_only = true,
									.max_ms = 500 }), 0);
	talk(all, 1, 700);
	assert_true(fix_until(has_recorded, &a, FIX_WAIT_MS));
	assert_int_equal(a.recorded.reason, MEDIA_END_LIMIT);
	assert_int_equal(a.recorded.span_ms, 500);

	a.n_recorded = 0;
	assert_int_equal(media_record(a.stream, &(struct media_record){ .id = 2, .path = "2.wav",
									.said_only = true,
									.silence_ms = 400 }), 0);
	talk(all, 1, 600);
	assert_int_equal(a.n_recorded, 0);
	a.tone_hz = 0;
	talk(all, 1, 700);
	assert_true(fix_until(has_recorded, &a, FIX_WAIT_MS));
	assert_int_equal(a.recorded.reason, MEDIA_END_SILENCE);
	assert_in_range(a.recorded.span_ms, 900, 1300);

	a.n_recorded = 0;
	a.tone_hz = 440;
	assert_int_equal(media_record(a.stream, &(struct media_record){ .id = 3, .path = "3.wav",
									.said_only = true,
									.keys = "#9" }), 0);
	for (int k = 0; k < 2; k++) { /* 5 goes on, 9 ends */
		talk(all, 1, 200);
		assert_int_equal(a.n_recorded, 0);
		hdr_rtp_write(event, &(struct hdr_rtp){ .pt = 101, .seq = a.phone.seq++,
							.ts = a.phone.ts, .ssrc = a.phone.ssrc });
		hdr_event_write(event + HDR_RTP_BYTES, &(struct hdr_event){
			.event = k ? 9 : 5, .end = true, .duration = 800, .volume = 10 });
		phone_send_raw(a.phone.rtp, a.port, event, sizeof(event));
	}
	assert_true(fix_until(has_recorded, &a, FIX_WAIT_MS));
	assert_int_equal(a.recorded.reason, MEDIA_END_DIGIT);
	assert_int_equal(a.recorded.digit, '9');
	ear_close(&a);
}

static bool is_closed(void *arg)
{
	return ((const struct ear *)arg)->closed;
}

static void a_stream_that_is_closed_tells_its_recordings_first(void **state)
{
	struct fix *fix = *state;
	static struct ear a, b;
	struct file file;

	two_talk(fix, &a, &b);
	assert_int_equal(media_record(a.stream, &(struct media_record){ .id = 1, .path = "c.wav" }), 0);
	talk((struct ear *[]){ &a, &b }, 2, 400);
	media_stream_close(a.stream);
	assert_true(fix_until(is_closed, &a, FIX_WAIT_MS));
	assert_int_equal(a.n_recorded, 1);
	assert_int_equal(a.recorded.err, 0);
	file_read(&file, path_of(fix, "c.wav"));
	assert_in_range(span_ms(&file), 300, 500);
	free(file.v);
	ear_close(&a);
	ear_close(&b);
}

static void a_place_outside_of_the_folder_is_refused(void **state)
{
	struct fix *fix = *state;
	static const char *const bad[] = { "../x.wav", "/tmp/x.wav", "a/../../x.wav", "" };
	static struct ear a;

	ear_open(fix, &a, 440);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		a.n_recorded = 0;
		assert_int_equal(media_record(a.stream, &(struct media_record){ .id = 1,
										.path = bad[i] }), 0);
		assert_true(fix_until(has_recorded, &a, FIX_WAIT_MS));
		assert_int_equal(a.recorded.err, -EINVAL);
		assert_int_equal(a.recorded.reason, MEDIA_END_FAILED);
	}
	ear_close(&a);
}

static bool is_lost(void *arg)
{
	return ((const struct ear *)arg)->lost;
}

static bool file_is_there(void *arg)
{
	return !access(arg, F_OK);
}

static void a_killed_process_leaves_recordings_that_play(void **state)
{
	struct fix *fix = *state;
	static struct ear a, b;
	struct file file;

	two_talk(fix, &a, &b);
	assert_int_equal(media_record(a.stream, &(struct media_record){ .id = 1, .path = "x/k.wav",
									.stereo = true }), 0);
	talk((struct ear *[]){ &a, &b }, 2, 1600);
	fix_kill(fix);
	assert_true(fix_until(is_lost, &a, FIX_WAIT_MS));
	assert_int_not_equal(access(path_of(fix, "x/k.wav"), F_OK), 0);
	fix_start(fix);
	assert_true(fix_until(file_is_there, (void *)(uintptr_t)path_of(fix, "x/k.wav"), FIX_WAIT_MS));
	file_read(&file, path_of(fix, "x/k.wav"));
	assert_true(span_ms(&file) >= 1200);
	assert_true(file_share(&file, 0, 440) > 0.8 && file_share(&file, 1, 1000) > 0.8);
	free(file.v);
	ear_close(&a);
	ear_close(&b);
}

/* ------------------------------------------------------------------ rooms */

static struct ear room_ear;

static struct media_stream *room_open(struct fix *fix, uint32_t hz)
{
	struct media_stream *room;

	memset(&room_ear, 0, sizeof(room_ear));
	assert_int_equal(media_room_open(&room, fix->media, hz, ear_event, &room_ear), 0);
	assert_true(fix_until(is_open, &room_ear, FIX_WAIT_MS));
	assert_false(room_ear.failed);
	return room;
}

static void in_a_room_each_hears_the_others(void **state)
{
	struct fix *fix = *state;
	static struct ear a, b, c;
	struct ear *all[] = { &a, &b, &c };
	struct media_stream *room = room_open(fix, 16000);

	ear_open(fix, &a, 440);
	ear_open_codec(fix, &b, 1000, MEDIA_G722, 8000, 9);
	ear_open_codec(fix, &c, 1700, MEDIA_OPUS, 48000, 111);
	for (int i = 0; i < 3; i++)
		media_room_join(all[i]->stream, room, &(struct media_member){ 0 });
	talk(all, 3, 400);
	forget(all, 3);
	talk(all, 3, 1000);
	assert_hears(&a, 1000);
	assert_hears(&a, 1700);
	assert_hears_not(&a, 440);
	assert_hears(&b, 440);
	assert_hears(&b, 1700);
	assert_hears_not(&b, 1000);
	assert_hears(&c, 440);
	assert_hears(&c, 1000);
	assert_hears_not(&c, 1700);

	/* Back to a conversation of two. */
	media_room_leave(c.stream);
	media_bridge(a.stream, b.stream);
	media_room_leave(a.stream); /* it has left by that already */
	for (int i = 0; i < 3; i++)
		assert_false(all[i]->out_of_order);
	for (int i = 0; i < 3; i++)
		ear_close(all[i]);
	mem_deref(room);
}

static void a_spy_is_not_heard_a_whisper_by_one_a_barge_by_all(void **state)
{
	struct fix *fix = *state;
	static struct ear a, b, s;
	struct ear *all[] = { &a, &b, &s };
	struct media_stream *room = room_open(fix, 8000);

	ear_open(fix, &a, 440);
	ear_open(fix, &b, 1000);
	ear_open(fix, &s, 1700);
	media_room_join(a.stream, room, &(struct media_member){ 0 });
	media_room_join(b.stream, room, &(struct media_member){ 0 });
	media_room_join(s.stream, room, &(struct media_member){ .muted = true, .spy = true });
	talk(all, 3, 300);
	forget(all, 3);
	talk(all, 3, 600);
	assert_hears(&s, 440);
	assert_hears(&s, 1000);
	assert_hears(&a, 1000);
	assert_hears_not(&a, 1700);
	assert_hears(&b, 440);
	assert_hears_not(&b, 1700);

	media_room_join(s.stream, room, &(struct media_member){ .whisper_to = b.stream });
	talk(all, 3, 300);
	forget(all, 3);
	talk(all, 3, 600);
	assert_hears(&b, 1700);
	assert_hears(&b, 440);
	assert_hears_not(&a, 1700);
	assert_hears(&s, 440);
	assert_hears(&s, 1000);

	media_room_join(s.stream, room, &(struct media_member){ 0 });
	talk(all, 3, 300);
	forget(all, 3);
	talk(all, 3, 600);
	assert_hears(&a, 1700);
	assert_hears(&b, 1700);
	for (int i = 0; i < 3; i++)
		assert_false(all[i]->out_of_order);
	for (int i = 0; i < 3; i++)
		ear_close(all[i]);
	mem_deref(room);
}

static void who_talks_is_told_and_mute_is_obeyed(void **state)
{
	struct fix *fix = *state;
	static struct ear a, b;
	struct ear *all[] = { &a, &b };
	struct media_stream *room = room_open(fix, 8000);

	ear_open(fix, &a, 440);
	ear_open(fix, &b, 0);
	media_room_join(a.stream, room, &(struct media_member){ .tell_talking = true });
	media_room_join(b.stream, room, &(struct media_member){ .tell_talking = true });
	talk(all, 2, 500);
	assert_true(a.talking);
	assert_int_equal(a.n_talking, 1);
	assert_int_equal(b.n_talking, 0);
	a.tone_hz = 0;
	talk(all, 2, 1000);
	assert_false(a.talking);
	assert_int_equal(a.n_talking, 2);

	/* A muted member that talks is told as well, and not heard. */
	a.tone_hz = 440;
	media_room_join(a.stream, room, &(struct media_member){ .muted = true, .tell_talking = true });
	forget(all, 2);
	talk(all, 2, 500);
	assert_true(a.talking);
	assert_hears_not(&b, 440);
	ear_close(&a);
	ear_close(&b);
	mem_deref(room);
}

static void listeners_share_a_packet_and_the_room_is_recorded(void **state)
{
	struct fix *fix = *state;
	static struct ear talkers[2], listeners[8];
	struct ear *all[10] = { &talkers[0], &talkers[1] };
	struct media_stream *room = room_open(fix, 16000);
	struct file file;
	uint64_t begin_ms;
	unsigned due;

	ear_open(fix, &talkers[0], 440);
	ear_open(fix, &talkers[1], 1000);
	for (int i = 0; i < 8; i++) {
		ear_open_codec(fix, &listeners[i], 0, i % 2 ? MEDIA_G722 : MEDIA_PCMA, 8000,
			       i % 2 ? 9 : 8);
		all[2 + i] = &listeners[i];
	}
	for (int i = 0; i < 10; i++)
		media_room_join(all[i]->stream, room, &(struct media_member){ .muted = i >= 2 });
	talk(all, 10, 300);
	assert_int_equal(media_record(room, &(struct media_record){ .id = 3, .path = "room.wav" }), 0);
	forget(all, 10);
	begin_ms = clk_mono_ms();
	talk(all, 10, 1000);
	due = (unsigned)(clk_mono_ms() - begin_ms) / 20; /* a loaded machine takes longer */
	media_record_stop(room, 3);
	assert_true(fix_until(has_recorded, &room_ear, FIX_WAIT_MS));
	assert_int_equal(room_ear.recorded.err, 0);

	for (int i = 0; i < 8; i++) {
		assert_in_range(listeners[i].n_packets, due * 3 / 4, due + 6);
		assert_false(listeners[i].out_of_order);
		assert_hears(&listeners[i], 440);
		assert_hears(&listeners[i], 1000);
	}
	assert_hears(&talkers[0], 1000);
	assert_hears_not(&talkers[0], 440);
	file_read(&file, path_of(fix, "room.wav"));
	assert_int_equal(file.info.samplerate, 16000);
	assert_true(file_share(&file, 0, 440) > 0.3 && file_share(&file, 0, 1000) > 0.3);
	free(file.v);
	for (int i = 0; i < 10; i++)
		ear_close(all[i]);
	mem_deref(room);
}

static void an_announcement_is_for_all_or_for_one(void **state)
{
	struct fix *fix = *state;
	static const char *const to_all[] = { "tone:2200/0" }, *const to_one[] = { "tone:2800/0" };
	static struct ear a, b, c;
	struct ear *all[] = { &a, &b, &c };
	struct media_stream *room = room_open(fix, 16000);

	ear_open(fix, &a, 440);
	ear_open(fix, &b, 0);
	ear_open(fix, &c, 0);
	for (int i = 0; i < 3; i++)
		media_room_join(all[i]->stream, room, &(struct media_member){ .deaf = i == 2 });
	talk(all, 3, 200);
	assert_int_equal(media_play(room, &(struct media_play){ .id = 1, .sounds = to_all,
								.n_sounds = 1 }), 0);
	assert_int_equal(media_play(b.stream, &(struct media_play){ .id = 2, .sounds = to_one,
								    .n_sounds = 1, .mix = true }), 0);
	talk(all, 3, 500);
	forget(all, 3);
	talk(all, 3, 800);
	assert_hears(&a, 2200);
	assert_hears_not(&a, 2800);
	assert_true(hears(&b, 2200) > 0.1);
	assert_true(hears(&b, 2800) > 0.1);
	assert_hears(&b, 440);
	assert_hears(&c, 2200); /* deaf for the others only */
	assert_hears_not(&c, 440);

	media_play_stop(room, 1);
	media_play_stop(b.stream, 2);
	talk(all, 3, 300);
	forget(all, 3);
	talk(all, 3, 500);
	assert_hears_not(&a, 2200);
	assert_hears_not(&b, 2200);
	assert_hears_not(&b, 2800);
	assert_hears(&b, 440);
	for (int i = 0; i < 3; i++)
		assert_false(all[i]->out_of_order);
	for (int i = 0; i < 3; i++)
		ear_close(all[i]);
	mem_deref(room);
}

/* In any order: a member first, the room first, the room with members in it. */
static void rooms_and_members_may_end_in_any_order(void **state)
{
	struct fix *fix = *state;
	static struct ear a, b;
	struct ear *all[] = { &a, &b };

	for (int k = 0; k < 3; k++) {
		struct media_stream *room = room_open(fix, 8000);

		ear_open(fix, &a, 440);
		ear_open(fix, &b, 1000);
		media_room_join(a.stream, room, &(struct media_member){ 0 });
		media_room_join(b.stream, room, &(struct media_member){ 0 });
		assert_int_equal(media_record(room, &(struct media_record){ .id = 1, .path = "o.wav" }), 0);
		talk(all, 2, 100);
		if (k == 0)
			mem_deref(room);
		media_bridge(a.stream, b.stream);
		talk(all, 2, 100);
		if (k == 1)
			ear_close(&a);
		if (k)
			media_room_join(b.stream, room, &(struct media_member){ 0 });
		talk(&all[1], 1, 60);
		ear_close(&b);
		if (k != 1)
			ear_close(&a);
		if (k)
			mem_deref(room);
		fix_run(200);
		(void)unlink(path_of(fix, "o.wav"));
	}
}

#define T(test) cmocka_unit_test_setup_teardown(test, fix_setup, fix_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(stereo_has_what_is_said_left_and_what_is_heard_right),
		T(mono_has_both_and_said_only_has_one),
		T(what_is_said_in_a_pause_is_not_recorded),
		T(it_ends_by_length_silence_and_digit),
		T(a_stream_that_is_closed_tells_its_recordings_first),
		T(a_place_outside_of_the_folder_is_refused),
		T(a_killed_process_leaves_recordings_that_play),
		T(in_a_room_each_hears_the_others),
		T(a_spy_is_not_heard_a_whisper_by_one_a_barge_by_all),
		T(who_talks_is_told_and_mute_is_obeyed),
		T(listeners_share_a_packet_and_the_room_is_recorded),
		T(an_announcement_is_for_all_or_for_one),
		T(rooms_and_members_may_end_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
