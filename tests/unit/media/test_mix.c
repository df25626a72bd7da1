/* SPDX-License-Identifier: Apache-2.0 */
/* Rooms: what each one hears, in numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "media/mix.h"

#define N 160

struct voice {
	struct mix_member m;
	int16_t v[N], scaled[N];
};

static void voice_add(struct mix *mix, struct voice *voice, uint64_t id, int16_t value)
{
	memset(voice, 0, sizeof(*voice));
	for (int i = 0; i < N; i++)
		voice->v[i] = value;
	voice->m.id = id;
	voice->m.gain_in = voice->m.gain_out = MIX_UNITY;
	voice->m.scaled = voice->scaled;
	voice->m.in = value ? voice->v : NULL;
	mix_add(mix, &voice->m);
}

/* The value that a member hears (frames are constant). */
static int hears(const struct mix *mix, const struct voice *voice)
{
	int16_t own[MIX_MAX_FRAME];
	enum mix_kind kind = mix_hear(mix, &voice->m, own);
	const int16_t *v = kind == MIX_OWN ? own : mix->common;

	if (kind == MIX_NOTHING)
		return 0;
	for (size_t i = 1; i < mix->n; i++)
		assert_int_equal(v[i], v[0]);
	return v[0];
}

static void each_hears_all_the_others(void **state)
{
	static struct mix mix;
	struct voice a, b, c, d;

	mix_init(&mix, 8000);
	voice_add(&mix, &a, 1, 1000);
	voice_add(&mix, &b, 2, 200);
	voice_add(&mix, &c, 3, 30);
	voice_add(&mix, &d, 4, 0);
	mix_run(&mix);
	assert_int_equal(hears(&mix, &a), 230);
	assert_int_equal(hears(&mix, &b), 1030);
	assert_int_equal(hears(&mix, &c), 1200);
	assert_int_equal(hears(&mix, &d), 1230);
	assert_int_equal(mix_hear(&mix, &d.m, NULL), MIX_COMMON); /* shared, nothing made for it */

	mix_remove(&mix, &b.m);
	mix_run(&mix);
	assert_int_equal(hears(&mix, &a), 30);
	assert_int_equal(hears(&mix, &d), 1030);
}

static void muted_is_not_heard_deaf_does_not_hear(void **state)
{
	static struct mix mix;
	struct voice a, b, c;
	int16_t extra[N];

	mix_init(&mix, 8000);
	voice_add(&mix, &a, 1, 1000);
	voice_add(&mix, &b, 2, 200);
	voice_add(&mix, &c, 3, 30);
	a.m.muted = true;
	b.m.deaf = true;
	mix_run(&mix);
	assert_int_equal(hears(&mix, &a), 230);
	assert_int_equal(mix_hear(&mix, &b.m, extra), MIX_NOTHING);
	assert_int_equal(hears(&mix, &c), 200);

	for (int i = 0; i < N; i++)
		extra[i] = 5;
	mix.extra = extra;
	mix_run(&mix);
	assert_int_equal(hears(&mix, &a), 235);
	assert_int_equal(hears(&mix, &b), 5); /* an announcement is for all */
}

static void a_spy_hears_both_and_is_heard_by_none(void **state)
{
	static struct mix mix;
	struct voice a, b, spy;

	mix_init(&mix, 8000);
	voice_add(&mix, &a, 1, 1000);
	voice_add(&mix, &b, 2, 200);
	voice_add(&mix, &spy, 3, 30);
	spy.m.muted = spy.m.spy = true;
	mix_run(&mix);
	assert_int_equal(hears(&mix, &a), 200);
	assert_int_equal(hears(&mix, &b), 1000);
	assert_int_equal(hears(&mix, &spy), 1200);
}

static void a_whisper_is_heard_by_its_target_and_by_spies_only(void **state)
{
	static struct mix mix;
	struct voice a, b, w, spy;

	mix_init(&mix, 8000);
	voice_add(&mix, &a, 1, 1000);
	voice_add(&mix, &b, 2, 200);
	voice_add(&mix, &w, 3, 30);
	voice_add(&mix, &spy, 4, 4);
	w.m.to = 1;
	spy.m.muted = spy.m.spy = true;
	mix_run(&mix);
	assert_int_equal(hears(&mix, &a), 230);
	assert_int_equal(hears(&mix, &b), 1000);
	assert_int_equal(hears(&mix, &w), 1200); /* not itself */
	assert_int_equal(hears(&mix, &spy), 1230);

	w.m.to = 0; /* barge */
	mix_run(&mix);
	assert_int_equal(hears(&mix, &a), 230);
	assert_int_equal(hears(&mix, &b), 1030);
}

static void a_loud_sum_is_clipped_not_wrapped(void **state)
{
	static struct mix mix;
	struct voice a, b, c;

	mix_init(&mix, 8000);
	voice_add(&mix, &a, 1, 30000);
	voice_add(&mix, &b, 2, 30000);
	voice_add(&mix, &c, 3, -30000);
	mix_run(&mix);
	assert_int_equal(hears(&mix, &c), 32767);
	assert_int_equal(hears(&mix, &a), 0); /* exact, though the sum of all had been clipped */
	assert_int_equal(hears(&mix, &b), 0);
}

static void gains_are_those_asked_for(void **state)
{
	static struct mix mix;
	struct voice a, b;

	mix_init(&mix, 8000);
	voice_add(&mix, &a, 1, 1000);
	voice_add(&mix, &b, 2, 0);
	a.m.gain_in = mix_gain(6);
	mix_run(&mix);
	assert_in_range(hears(&mix, &b), 1990, 2000);
	b.m.gain_out = mix_gain(-20);
	mix_run(&mix);
	assert_in_range(hears(&mix, &b), 198, 200);
	assert_int_equal(mix_gain(0), MIX_UNITY);
	assert_int_equal(mix_gain(100), mix_gain(MIX_MAX_GAIN_DB));
	assert_int_equal(mix_gain(-1000), mix_gain(MIX_MIN_GAIN_DB));
}

static void talk_begins_after_a_click_would_have_ended_and_outlasts_pauses(void **state)
{
	static struct mix mix;
	struct voice a;
	int ticks = 0;

	mix_init(&mix, 8000);
	voice_add(&mix, &a, 1, 3000);
	mix_run(&mix);
	assert_false(a.m.talking);
	a.m.in = NULL;
	mix_run(&mix); /* it was a click */
	assert_false(a.m.talking);

	a.m.in = a.v;
	mix_run(&mix);
	mix_run(&mix);
	assert_true(a.m.talking && a.m.turned);
	assert_in_range(a.m.level, 20, 21); /* 3000 of 32768 */
	mix_run(&mix);
	assert_true(a.m.talking && !a.m.turned);

	a.m.in = NULL;
	while (a.m.talking && ticks < 100) {
		mix_run(&mix);
		ticks++;
	}
	assert_int_equal(ticks, MIX_HANGOVER);
	assert_true(a.m.turned);
	mix_run(&mix);
	assert_false(a.m.turned);
}

static void of_many_open_microphones_only_those_who_talk_are_heard(void **state)
{
	static struct mix mix;
	static struct voice noise[20], talker[12], listener;
	int sum = 0;

	mix_init(&mix, 8000);
	for (int i = 0; i < 20; i++)
		voice_add(&mix, &noise[i], (uint64_t)(100 + i), 10); /* -70 dBov */
	voice_add(&mix, &listener, 1, 0);
	voice_add(&mix, &talker[0], 2, 1000);
	for (int i = 0; i < 3; i++)
		mix_run(&mix);
	assert_int_equal(hears(&mix, &listener), 1000);
	assert_int_equal(hears(&mix, &talker[0]), 0);
	assert_int_equal(mix.n_talking, 1);

	/* Twelve talk: the eight loudest are heard, whatever the order they came in. */
	for (int i = 1; i < 12; i++)
		voice_add(&mix, &talker[i], (uint64_t)(2 + i), (int16_t)(i % 2 ? 1000 + i : 1500 + i));
	for (int i = 0; i < 3; i++)
		mix_run(&mix);
	for (int i = 0; i < 12; i++)
		sum += talker[i].m.add ? 1 : 0;
	assert_int_equal(sum, MIX_LOUDEST);
	for (int i = 2; i < 12; i += 2)
		assert_non_null(talker[i].m.add);
}

static void silence_costs_nothing_and_is_told(void **state)
{
	static struct mix mix;
	struct voice a, b;

	mix_init(&mix, 48000);
	assert_int_equal(mix.n, 960);
	voice_add(&mix, &a, 1, 0);
	voice_add(&mix, &b, 2, 0);
	mix_run(&mix);
	assert_true(mix.silent);
	assert_int_equal(mix_hear(&mix, &a.m, NULL), MIX_COMMON);
	assert_int_equal(a.m.level, 127);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_hears_all_the_others),
		cmocka_unit_test(muted_is_not_heard_deaf_does_not_hear),
		cmocka_unit_test(a_spy_hears_both_and_is_heard_by_none),
		cmocka_unit_test(a_whisper_is_heard_by_its_target_and_by_spies_only),
		cmocka_unit_test(a_loud_sum_is_clipped_not_wrapped),
		cmocka_unit_test(gains_are_those_asked_for),
		cmocka_unit_test(talk_begins_after_a_click_would_have_ended_and_outlasts_pauses),
		cmocka_unit_test(of_many_open_microphones_only_those_who_talk_are_heard),
		cmocka_unit_test(silence_costs_nothing_and_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
