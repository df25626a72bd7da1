/* SPDX-License-Identifier: Apache-2.0 */
#define leg fix_leg /* the fixture's own, which this test does not use */
#include "mediafix.h"
#undef leg

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "call/call.h"
#include "call/call_play.h"
#include "call/engine.h"
#include "call/leg.h"
#include "snapshot/snapshot.h"

/*
 * Prompts and digits of a service in a real fiber, to a phone behind a real media process; only the
 * SIP dialog is missing. The keys are those that the phone sends, or are posted as INFO would be.
 */
/* cmocka's own checks would jump from the fiber's stack to the test's. */
#define CHECK(set, ...)                                                                            \
	do {                                                                                       \
		if (!(__VA_ARGS__)) {                                                              \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, #__VA_ARGS__);              \
			(set)->failed = true;                                                      \
			return;                                                                    \
		}                                                                                  \
	} while (0)

static bool is_between(uint64_t value, uint64_t least, uint64_t most)
{
	if (value < least || value > most)
		print_error("%llu is not in %llu..%llu\n", (unsigned long long)value,
			    (unsigned long long)least, (unsigned long long)most);
	return value >= least && value <= most;
}

struct key {
	struct tmr tmr;
	struct set *set;
	char digit; /* 0: hangs up */
};

struct set {
	struct fix *fix;
	struct engine engine;
	struct snap_tenant tenant;
	struct call *call;
	struct phone phone;
	void (*script)(struct set *set);
	struct key keys[16];
	unsigned n_keys;
	bool done, failed;
};

static void call_free_h(void *arg)
{
	struct call *call = arg;

	list_flush(&call->events);
}

static void key_h(void *arg)
{
	struct key *key = arg;

	if (key->digit)
		call_post_digit(key->set->call, key->set->call->a, key->digit, 100, false);
	else
		call_caller_gone(key->set->call);
}

/* A key so many ms from now; 0 hangs up. */
static void press(struct set *set, unsigned ms, char digit)
{
	struct key *key = &set->keys[set->n_keys++];

	assert_true(set->n_keys <= 16);
	key->set = set;
	key->digit = digit;
	tmr_init(&key->tmr);
	tmr_start(&key->tmr, ms, key_h, key);
}

static void set_main(void *arg)
{
	struct set *set = arg;

	set->failed = call_wait_streams(set->call, clk_mono_ms() + 3000);
	leg_media_remote(set->call->a, set->call->a->remote);
	if (!set->failed)
		set->script(set);
	set->call->a->call = NULL; /* what its streams still have to say wakes no fiber any more */
	set->done = true;
}

static bool is_done(void *arg)
{
	const struct set *set = arg;

	return set->done;
}

/* Runs a script in the fiber of a call whose phone hears and sends PCMA. */
static void run(struct fix *fix, void (*script)(struct set *set))
{
	struct set *set = calloc(1, sizeof(*set));
	struct snap_sip *sip = calloc(1, sizeof(*sip));
	struct sdesc *desc = NULL;
	struct arena *arena = NULL;
	char text[300];
	struct leg *leg;
	bool failed;
	int n;

	assert_non_null(set);
	assert_non_null(sip);
	set->fix = fix;
	set->script = script;
	set->engine.o.media = fix->media;
	assert_int_equal(snap_alloc(&set->engine.o.snap), 0);
	snap_swap_sip(set->engine.o.snap, sip, arena);
	set->tenant.language = "it";
	phone_open(&set->phone, "127.0.0.1");

	set->call = mem_zalloc(sizeof(*set->call), call_free_h);
	assert_non_null(set->call);
	set->call->engine = &set->engine;
	set->call->tenant = &set->tenant;
	assert_int_equal(leg_alloc(&leg, set->call, NULL, true), 0);
	set->call->a = leg;
	sa_set_str(&leg->local, "127.0.0.1", 0);
	n = snprintf(text, sizeof(text),
		     "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
		     "m=audio %u RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
		     "a=rtpmap:101 telephone-event/8000\r\n",
		     set->phone.port);
	assert_int_equal(sdesc_parse(&desc, text, (size_t)n), 0);
	leg->remote = mem_ref(desc);
	leg->local_desc = desc;
	assert_int_equal(leg_media_open(leg, desc), 0);
	assert_int_equal(fiber_spawn(&set->call->fiber, "test", set_main, set), 0);

	assert_true(fix_until(is_done, set, 20000));
	for (unsigned i = 0; i < set->n_keys; i++)
		tmr_cancel(&set->keys[i].tmr);
	set->call->a = NULL;
	mem_deref(leg);
	mem_deref(set->call);
	phone_close(&set->phone);
	snap_free(set->engine.o.snap);
	free(sip);
	failed = set->failed;
	free(set);
	assert_false(failed);
}

static const char *const tone[] = { "tone:425/300" };
static const char *const endless[] = { "tone:425/0" };
static const struct prompt short_prompt = { .names = tone, .n_names = 1 };
static const struct prompt long_prompt = { .names = endless, .n_names = 1 };

/* Events, such as the end of a sound, wake the fiber. */
static void pause_ms(unsigned ms)
{
	uint64_t until_ms = clk_mono_ms() + ms;

	while (!fiber_wait(until_ms))
		;
}

static unsigned packets(const struct set *set)
{
	uint8_t data[2048];
	unsigned n = 0;

	while (phone_recv(set->phone.rtp, data, sizeof(data), 0))
		n++;
	return n;
}

/* ------------------------------------------------------------------ playing */

static void play_script(struct set *set)
{
	static const char *const none[] = { "file:/nonexistent.wav" };
	struct prompt prompt = short_prompt;
	uint64_t began_ms = clk_mono_ms();

	/* To the end; keys that do not count change nothing. */
	press(set, 50, '5');
	prompt.keys = "#";
	CHECK(set, call_play(set->call, &prompt) == 0);
	CHECK(set, is_between(clk_mono_ms() - began_ms, 280, 5000));
	CHECK(set, packets(set) == 15);

	prompt = long_prompt;
	prompt.keys = "#";
	press(set, 60, '1');
	press(set, 600, '#');
	CHECK(set, call_play(set->call, &prompt) == '#');
	CHECK(set, packets(set) >= 4);
	pause_ms(100);
	(void)packets(set);
	pause_ms(100);
	CHECK(set, packets(set) == 0); /* it has stopped */

	CHECK(set, call_play(set->call, &(struct prompt){ .names = none, .n_names = 1 }) == -ENOENT);
	CHECK(set, call_play(set->call, &(struct prompt){ 0 }) == -ENOENT);

	/* A sound in the background goes on until something else is played. */
	CHECK(set, call_ringback_start(set->call, "uk") == 0);
	for (unsigned n = 0; n < 8 && clk_mono_ms() < began_ms + 20000; n += packets(set))
		pause_ms(20);
	CHECK(set, clk_mono_ms() < began_ms + 20000);
	CHECK(set, call_play(set->call, &short_prompt) == 0);
	(void)packets(set);
	pause_ms(100);
	CHECK(set, packets(set) == 0);

	CHECK(set, call_sound_start(set->call, set->call->a, "tone:425/0") == 0);
	pause_ms(200);
	CHECK(set, packets(set) >= 8);
	call_sound_stop(set->call->a);
	pause_ms(100);
	(void)packets(set);
	pause_ms(100);
	CHECK(set, packets(set) == 0);
}

static void prompts_are_played_and_interrupted(void **state)
{
	run(*state, play_script);
}

/* ------------------------------------------------------------------ collecting */

static void limits_script(struct set *set)
{
	char digits[8] = { 0 };
	uint64_t began_ms;

	/* As many as asked for; the first one ends the prompt. */
	press(set, 60, '1');
	press(set, 100, '2');
	press(set, 140, '3');
	CHECK(set, call_play_collect(set->call, &long_prompt, digits, 3, &(struct collect){ 0 }) == 3);
	CHECK(set, !memcmp(digits, "123", 3));

	/* The terminator ends it and is not among them. */
	press(set, 40, '4');
	press(set, 80, '#');
	CHECK(set, call_play_collect(set->call, &short_prompt, digits, 8, &(struct collect){ .terminator = '#' }) == 1);
	CHECK(set, digits[0] == '4');
	press(set, 40, '#');
	CHECK(set, call_play_collect(set->call, NULL, digits, 8, &(struct collect){ .terminator = '#' }) == 0);

	/* Nobody presses anything: the time counts from the end of the prompt. */
	began_ms = clk_mono_ms();
	CHECK(set, call_play_collect(set->call, &short_prompt, digits, 8, &(struct collect){ .first_ms = 200 }) == 0);
	CHECK(set, is_between(clk_mono_ms() - began_ms, 480, 5000));

	/* From one digit to the next. */
	press(set, 30, '7');
	press(set, 130, '8');
	press(set, 1000, '9');
	began_ms = clk_mono_ms();
	CHECK(set, call_play_collect(set->call, NULL, digits, 8, &(struct collect){ .inter_ms = 250 }) == 2);
	CHECK(set, !memcmp(digits, "78", 2));
	CHECK(set, is_between(clk_mono_ms() - began_ms, 350, 5000));
	pause_ms(10);

	/* All in all. */
	for (unsigned i = 1; i < 5; i++)
		press(set, 1000 + 100 * i, '0');
	began_ms = clk_mono_ms();
	CHECK(set, call_play_collect(set->call, NULL, digits, 8, &(struct collect){ .first_ms = 5000, .inter_ms = 5000, .total_ms = 1350 }) > 0);
	CHECK(set, is_between(clk_mono_ms() - began_ms, 1300, 5000));
}

static void digits_are_collected_within_their_times(void **state)
{
	run(*state, limits_script);
}

static void barge_script(struct set *set)
{
	char digits[4];

	/* What is pressed during a prompt that may not be interrupted counts for nothing. */
	press(set, 50, '1');
	for (unsigned i = 0; i < 10; i++) /* whenever it has ended */
		press(set, 500 + 400 * i, '2');
	CHECK(set, call_play_collect(set->call, &short_prompt, digits, 1, &(struct collect){ .no_barge_in = true }) == 1);
	CHECK(set, digits[0] == '2');
}

static void a_prompt_may_insist_on_being_heard(void **state)
{
	run(*state, barge_script);
}

/* The keys of the phone itself, as RFC 4733 packets: each counts once. */
static void event_script(struct set *set)
{
	uint16_t port = media_stream_port(set->call->a->streams[0]);
	char digits[4];

	pause_ms(50); /* the media process knows the phone now */
	for (unsigned digit = 1; digit <= 2; digit++) {
		for (unsigned i = 0; i < 6; i++) {
			struct hdr_rtp hdr = { .pt = 101, .marker = !i, .ssrc = 9, .ts = 8000 * digit,
					       .seq = (uint16_t)(10 * digit + i) };
			uint8_t data[16];

			hdr_rtp_write(data, &hdr);
			hdr_event_write(data + 12, &(struct hdr_event){ .event = (uint8_t)digit,
									.duration = (uint16_t)(160 * i),
									.end = i > 2 });
			phone_send_raw(set->phone.rtp, port, data, sizeof(data));
		}
	}
	CHECK(set, call_play_collect(set->call, &long_prompt, digits, 4, &(struct collect){ .inter_ms = 400 }) == 2);
	CHECK(set, !memcmp(digits, "12", 2));
}

static void keys_of_the_phone_count_once(void **state)
{
	run(*state, event_script);
}

/* ------------------------------------------------------------------ the end */

static void gone_in_play(struct set *set)
{
	press(set, 60, 0);
	CHECK(set, call_play(set->call, &long_prompt) == -EHANGUP);
	CHECK(set, call_play(set->call, &long_prompt) == -EHANGUP); /* it is sticky */
}

static void gone_in_collect(struct set *set)
{
	char digits[4];

	press(set, 30, '1');
	press(set, 90, 0);
	CHECK(set, call_play_collect(set->call, NULL, digits, 4, &(struct collect){ 0 }) == -EHANGUP);
	CHECK(set, call_idle(set->call, FIBER_FOREVER) == -EHANGUP);
}

static void media_dies(struct set *set)
{
	fix_kill(set->fix);
	CHECK(set, call_play(set->call, &long_prompt) == -EUNAVAILABLE);
}

static void who_hangs_up_ends_every_wait(void **state)
{
	run(*state, gone_in_play);
	run(*state, gone_in_collect);
}

static void a_dead_media_process_ends_the_wait(void **state)
{
	struct fix *fix = *state;

	run(fix, media_dies);
	fix_disconnect(fix);
	fix_start(fix);
	fix_connect(fix);
}

static int setup(void **state)
{
	int err = fix_setup(state);

	return err ? err : fiber_init();
}

static int teardown(void **state)
{
	fiber_close();
	return fix_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(prompts_are_played_and_interrupted),
		TEST(digits_are_collected_within_their_times),
		TEST(a_prompt_may_insist_on_being_heard),
		TEST(keys_of_the_phone_count_once),
		TEST(who_hangs_up_ends_every_wait),
		TEST(a_dead_media_process_ends_the_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
