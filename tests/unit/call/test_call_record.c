/* SPDX-License-Identifier: Apache-2.0 */
/* Recording in a call's fiber, as voicemail does it: a real media process, a phone that is a socket. */
#define leg fix_leg /* the fixture has a struct of that name, too */
#include "mediafix.h"
#undef leg

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "call/call.h"
#include "call/call_record.h"
#include "call/cdr.h"
#include "call/engine.h"
#include "call/leg.h"
#include "media/codec.h"
#include "snapshot/snapshot.h"

#define WAIT_MS 5000

struct scene {
	struct fix *fix;
	struct engine engine;
	struct snap *snap;
	struct call *call;
	struct phone phone;
	struct codec_enc *enc;
	bool talks;
	size_t t;
	struct record_opts opts;

	/* what the fiber saw */
	struct recording *rec;
	enum media_end reason;
	int err;
	bool is_over;
};

static void call_destructor(void *arg)
{
	struct call *call = arg;

	list_flush(&call->events);
	while (call->legs.head)
		mem_deref(call->legs.head->data);
	mem_deref(call->quality);
}

static void snap_make(struct scene *scene)
{
	struct arena *arena = NULL;

	assert_int_equal(snap_alloc(&scene->snap), 0);
	assert_int_equal(arena_alloc(&arena, 1024), 0);
	snap_swap_sip(scene->snap, arena_zalloc(arena, sizeof(struct snap_sip)), arena);
}

static bool is_ready(void *arg)
{
	return leg_media_ready(arg);
}

/* What an INVITE and its answer would have told the leg. */
static void leg_talks(struct scene *scene, struct leg *leg)
{
	static const char ours[] = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
				   "m=audio 9 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
	struct sdesc *offer = NULL, *answer = NULL;
	char theirs[400];

	(void)snprintf(theirs, sizeof(theirs),
		       "v=0\r\no=- 2 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
		       "m=audio %u RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
		       scene->phone.port);
	assert_int_equal(sdesc_parse(&offer, theirs, strlen(theirs)), 0);
	assert_int_equal(sdesc_parse(&answer, ours, strlen(ours)), 0);
	assert_int_equal(leg_media_open(leg, offer), 0);
	assert_true(fix_until(is_ready, leg, WAIT_MS));
	assert_non_null(leg_media_accept(leg, offer, answer));
	assert_non_null(leg_sound(leg));
	mem_deref(offer);
	mem_deref(answer);
}

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct leg *leg = NULL;
	int err = fix_setup((void **)&scene->fix);

	if (err)
		return err;
	assert_int_equal(fiber_init(), 0);
	snap_make(scene);
	scene->engine.o = (struct engine_opts){ .media = scene->fix->media, .snap = scene->snap };
	scene->engine.sdp_buf = mem_zalloc(SDESC_MAX_BYTES, NULL);
	media_on_recorded(scene->fix->media, recording_event, &scene->engine);
	scene->call = mem_zalloc(sizeof(*scene->call), call_destructor);
	scene->call->engine = &scene->engine;
	str_ncpy(scene->call->linkedid, "1.1", sizeof(scene->call->linkedid));
	phone_open(&scene->phone, "127.0.0.1");
	assert_int_equal(codec_enc_alloc(&scene->enc, codec_find(MEDIA_PCMA, 8000),
					 &(struct codec_opts){ 0 }), 0);
	assert_int_equal(leg_alloc(&leg, scene->call, NULL, true), 0);
	sa_set_str(&leg->local, "127.0.0.1", 0);
	scene->call->a = leg;
	leg_talks(scene, leg);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	struct fix *fix = scene->fix;

	mem_deref(scene->rec);
	list_flush(&scene->engine.recordings);
	mem_deref(scene->call);
	mem_deref(scene->engine.sdp_buf);
	codec_enc_free(scene->enc);
	phone_close(&scene->phone);
	snap_free(scene->snap);
	fiber_close();
	free(scene);
	return fix_teardown((void **)&fix);
}

static void run(void *arg)
{
	static const struct cdr cdr;
	struct scene *scene = arg;

	scene->err = call_record(scene->call, scene->call->a, &scene->opts, &scene->rec, &scene->reason);
	recording_call_ended(scene->call, &cdr); /* as a call's fiber does before it ends */
	scene->call->fiber = NULL; /* here the call outlives it: what its stream still says wakes nobody */
	scene->is_over = true;
}

static void begin(struct scene *scene, const struct record_opts *opts)
{
	scene->opts = *opts;
	assert_int_equal(fiber_spawn(&scene->call->fiber, "test", run, scene), 0);
}

static void say(struct scene *scene)
{
	uint8_t data[HDR_RTP_BYTES + 160];
	int16_t pcm[160];

	for (int i = 0; i < 160; i++, scene->t++)
		pcm[i] = scene->talks ? (int16_t)(6000 * sin(2 * M_PI * 440 * (double)scene->t / 8000)) : 0;
	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = 8, .seq = scene->phone.seq++,
					       .ts = scene->phone.ts, .ssrc = scene->phone.ssrc });
	scene->phone.ts += 160;
	assert_int_equal(codec_encode(scene->enc, data + HDR_RTP_BYTES, 160, pcm, 160), 160);
	phone_send_raw(scene->phone.rtp, media_stream_port(leg_sound(scene->call->a)), data, sizeof(data));
}

static void talk(struct scene *scene, unsigned ms)
{
	uint64_t next_us = clk_mono_us();

	for (unsigned k = 0; k < ms / 20; k++) {
		say(scene);
		next_us += 20000;
		do
			fix_run(2);
		while (clk_mono_us() < next_us);
	}
}

static bool is_over(void *arg)
{
	const struct scene *scene = arg;

	return scene->is_over;
}

static bool recording_over(void *arg)
{
	const struct scene *scene = arg;

	return recording_is_over(scene->rec);
}

static off_t size_of(const struct scene *scene)
{
	char path[300];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/recordings/%s", scene->fix->dir,
		       recording_path(scene->rec));
	return stat(path, &st) ? -1 : st.st_size;
}

static void press(struct scene *scene, uint8_t event)
{
	uint8_t data[HDR_RTP_BYTES + 4];

	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = 101, .seq = scene->phone.seq++,
					       .ts = scene->phone.ts, .ssrc = scene->phone.ssrc });
	hdr_event_write(data + HDR_RTP_BYTES, &(struct hdr_event){ .event = event, .end = true,
								   .duration = 800, .volume = 10 });
	phone_send_raw(scene->phone.rtp, media_stream_port(leg_sound(scene->call->a)), data, sizeof(data));
}

/* ------------------------------------------------------------------ */

static void a_stop_key_ends_it_after_the_beep(void **state)
{
	struct scene *scene = *state;
	const uint64_t began_ms = clk_mono_ms();
	uint8_t data[512];
	unsigned beeps = 0;

	scene->talks = true;
	begin(scene, &(struct record_opts){ .path = "vm/1", .beep = true, .stop_keys = "#",
					    .max_ms = 60000 });
	talk(scene, 1200);
	while (phone_recv(scene->phone.rtp, data, sizeof(data), 0))
		beeps++;
	assert_in_range(beeps, 8, 25); /* 300 ms of it, and no more: the recording sends nothing */
	assert_false(scene->is_over);
	press(scene, 11);
	assert_true(fix_until(is_over, scene, WAIT_MS));
	assert_int_equal(scene->err, 0);
	assert_int_equal(scene->reason, MEDIA_END_DIGIT);
	assert_string_equal(recording_path(scene->rec), "vm/1.wav");
	assert_in_range(recording_ms(scene->rec), 600, clk_mono_ms() - began_ms - 200);
	assert_int_equal(size_of(scene), 44 + 16 * (off_t)recording_ms(scene->rec)); /* one side */
}

static void silence_and_length_end_it(void **state)
{
	struct scene *scene = *state;

	scene->talks = true;
	begin(scene, &(struct record_opts){ .path = "s", .silence_ms = 500, .max_ms = 60000 });
	talk(scene, 400);
	scene->talks = false;
	talk(scene, 900);
	assert_true(fix_until(is_over, scene, WAIT_MS));
	assert_int_equal(scene->err, 0);
	assert_int_equal(scene->reason, MEDIA_END_SILENCE);

	scene->rec = mem_deref(scene->rec);
	scene->is_over = false;
	scene->talks = true;
	begin(scene, &(struct record_opts){ .path = "l", .opus = true, .max_ms = 400 });
	talk(scene, 700);
	assert_true(fix_until(is_over, scene, WAIT_MS));
	assert_int_equal(scene->reason, MEDIA_END_LIMIT);
	assert_int_equal(recording_ms(scene->rec), 400);
	assert_string_equal(recording_path(scene->rec), "l.opus");
}

/* Here hanging up is the normal end: what was said is kept. */
static void hanging_up_keeps_what_was_said(void **state)
{
	const uint64_t began_ms = clk_mono_ms();
	struct scene *scene = *state;

	scene->talks = true;
	begin(scene, &(struct record_opts){ .path = "h", .max_ms = 60000 });
	talk(scene, 800);
	call_caller_gone(scene->call);
	assert_true(fix_until(is_over, scene, WAIT_MS));
	assert_int_equal(scene->err, -EHANGUP);
	assert_non_null(scene->rec);
	assert_in_range(recording_ms(scene->rec), 700, clk_mono_ms() - began_ms + 20);
	mem_deref(scene->call->a);
	scene->call->a = NULL;
	assert_true(fix_until(recording_over, scene, WAIT_MS));
	assert_int_equal(recording_error(scene->rec), 0);
	assert_true(size_of(scene) > 44 + 16 * 600);
}

static void what_cannot_be_recorded_is_told(void **state)
{
	struct scene *scene = *state;

	begin(scene, &(struct record_opts){ .path = "../out", .max_ms = 1000 });
	assert_true(fix_until(is_over, scene, WAIT_MS));
	assert_int_equal(scene->err, -EINVAL);

	scene->rec = mem_deref(scene->rec);
	scene->is_over = false;
	begin(scene, &(struct record_opts){ .path = "e", .encrypt = true });
	assert_true(fix_until(is_over, scene, WAIT_MS));
	assert_int_equal(scene->err, -EFORBIDDEN); /* no key */
	assert_null(scene->rec);
}

/* Values of names are one line each, whatever is in them (PLT-89). */
static void metadata_files_are_written_where_recordings_are(void **state)
{
	struct scene *scene = *state;
	static const char data[] = "a.wav\0[Record data]\n", bad[] = "../a\0x";
	char folder[200], path[300], text[64] = "";
	FILE *file;

	(void)snprintf(folder, sizeof(folder), "%s/recordings", scene->fix->dir);
	assert_int_equal(recording_writer_apply(folder, data, sizeof(data) - 1), 0);
	(void)snprintf(path, sizeof(path), "%s/a.wav.txt", folder);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	assert_string_equal(text, "[Record data]\n");
	assert_int_equal(recording_writer_apply(folder, bad, sizeof(bad) - 1), -EINVAL);
	assert_int_equal(recording_writer_apply(folder, "no end", 6), -EINVAL);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_stop_key_ends_it_after_the_beep),
		T(silence_and_length_end_it),
		T(hanging_up_keeps_what_was_said),
		T(what_cannot_be_recorded_is_told),
		T(metadata_files_are_written_where_recordings_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
