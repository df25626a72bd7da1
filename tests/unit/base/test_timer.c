/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/re.h"
#include "base/timer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* libre's own loop polls this list; the tests poll it by hand. */
extern struct list *tmrl_get(void);

static int setup(void **state)
{
	(void)state;
	clk_drive(1000000);
	return libre_init();
}

static int teardown(void **state)
{
	(void)state;
	assert_null(tmrl_get()->head); /* the heap went with the last timer */
	libre_close();
	clk_release();
	return 0;
}

static void turn(uint64_t ms)
{
	clk_advance_ms(ms);
	tmr_poll(tmrl_get());
}

struct probe {
	struct tmr tmr;
	unsigned fired;
	struct probe *cancels;
	uint64_t at_ms;
};

static void probe_h(void *arg)
{
	struct probe *probe = arg;

	probe->fired++;
	probe->at_ms = clk_mono_ms();
	if (probe->cancels)
		tmr_cancel(&probe->cancels->tmr);
}

static void libre_uses_our_timers(void **state)
{
	(void)state;
	assert_true(timer_selfcheck());
}

static void a_timer_fires_once_when_its_time_has_come(void **state)
{
	struct probe probe = { 0 };

	(void)state;
	tmr_start(&probe.tmr, 20, probe_h, &probe);
	assert_true(tmr_isrunning(&probe.tmr));
	assert_int_equal(tmr_get_expire(&probe.tmr), 20);
	assert_int_equal(tmr_next_timeout(tmrl_get()), 20);

	turn(19);
	assert_int_equal(probe.fired, 0);
	assert_int_equal(tmr_next_timeout(tmrl_get()), 1);
	turn(1);
	assert_int_equal(probe.fired, 1);
	assert_false(tmr_isrunning(&probe.tmr));
	assert_int_equal(tmr_get_expire(&probe.tmr), 0);
	assert_int_equal(tmr_next_timeout(tmrl_get()), 0);
	turn(1000);
	assert_int_equal(probe.fired, 1);
}

static void a_handler_may_cancel_another_timer_of_the_same_moment(void **state)
{
	struct probe b = { 0 }, a = { .cancels = &b };

	(void)state;
	tmr_start(&a.tmr, 5, probe_h, &a);
	tmr_start(&b.tmr, 5, probe_h, &b);
	turn(5);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 0);
}

#define N_EQUAL 50
static unsigned order[N_EQUAL], n_order;

static void order_h(void *arg)
{
	order[n_order++] = (unsigned)(uintptr_t)arg;
}

static void timers_of_the_same_millisecond_fire_in_the_order_of_their_start(void **state)
{
	static struct tmr timers[N_EQUAL];

	(void)state;
	for (unsigned i = 0; i < N_EQUAL; i++)
		tmr_start(&timers[i], 7, order_h, (void *)(uintptr_t)i);
	turn(7);
	assert_int_equal(n_order, N_EQUAL);
	for (unsigned i = 0; i < N_EQUAL; i++)
		assert_int_equal(order[i], i);
}

static void restart_h(void *arg)
{
	struct probe *probe = arg;

	probe->fired++;
	tmr_start(&probe->tmr, 0, restart_h, probe);
}

static void a_timer_that_restarts_itself_leaves_sockets_their_turn(void **state)
{
	struct probe probe = { 0 };

	(void)state;
	tmr_start(&probe.tmr, 0, restart_h, &probe);
	tmr_poll(tmrl_get()); /* returns although time stands still */
	assert_true(probe.fired > 1);
	assert_int_equal(tmr_next_timeout(tmrl_get()), 1);
	tmr_cancel(&probe.tmr);
}

/* Random starts, restarts, cancels and turns, against a model that looks at every timer. */
#define N_MODEL 3000
static struct model {
	struct tmr tmr;
	uint64_t due_ms; /* 0: not running */
	unsigned fired, expected;
} models[N_MODEL];
static uint64_t last_fired_ms;

static void model_h(void *arg)
{
	struct model *model = arg;

	model->fired++;
	assert_true(model->due_ms >= last_fired_ms); /* never backwards */
	assert_true(model->due_ms <= clk_mono_ms());
	last_fired_ms = model->due_ms;
	model->due_ms = 0;
	if (model->fired % 5 == 0) {
		tmr_start(&model->tmr, 1 + model->fired % 97, model_h, model);
		model->due_ms = clk_mono_ms() + 1 + model->fired % 97;
	}
}

static void the_heap_does_what_a_model_does(void **state)
{
	(void)state;
	srand(4711);
	for (unsigned step = 0; step < 200000; step++) {
		struct model *model = &models[rand() % N_MODEL];
		const uint64_t delay = (uint64_t)(rand() % 2000);

		switch (rand() % 8) {
		case 0:
		case 1:
			tmr_cancel(&model->tmr);
			model->due_ms = 0;
			break;
		case 2:
			last_fired_ms = 0;
			turn((uint64_t)(rand() % 10));
			for (unsigned i = 0; step % 16 == 0 && i < N_MODEL; i++) {
				assert_true(!models[i].due_ms || models[i].due_ms > clk_mono_ms());
				assert_int_equal(models[i].due_ms != 0,
						 tmr_isrunning(&models[i].tmr));
			}
			break;
		default:
			tmr_start(&model->tmr, delay, model_h, model);
			model->due_ms = clk_mono_ms() + delay;
			break;
		}
	}

	for (unsigned i = 0; i < N_MODEL; i++)
		tmr_cancel(&models[i].tmr);
}

static void a_hundred_thousand_timers_are_no_slower_than_a_few(void **state)
{
	enum { N = 100000 };
	struct tmr *timers = calloc(N, sizeof(*timers));
	uint64_t start_us, took_us;

	(void)state;
	assert_non_null(timers);
	clk_release();
	start_us = clk_mono_us();
	for (unsigned i = 0; i < N; i++)
		tmr_start(&timers[i], 1000000 + i, order_h, NULL);
	/* the one that libre's list walks everything for: due before all others */
	for (unsigned i = 0; i < N; i++) {
		struct tmr tmr = { 0 };

		tmr_start(&tmr, 500000, order_h, NULL);
		tmr_cancel(&tmr);
	}
	for (unsigned i = 0; i < N; i++)
		tmr_cancel(&timers[i]);
	took_us = clk_mono_us() - start_us;
	clk_drive(1000000);

	/* A list needs minutes for this; the heap 0.1 s, here with sanitizers on a busy machine. */
	assert_true(took_us < 10u * 1000 * 1000);
	print_message("%d starts and cancels: %.3f us each\n", 2 * N, (double)took_us / (2 * N));
	free(timers);
}

static void loop_end_h(void *arg)
{
	(void)arg;
	re_cancel();
}

/* One wake of the thread serves many long timers; none is early, and short ones stay exact. */
static void long_timers_expire_together(void **state)
{
	struct probe probes[40] = { 0 }, brief = { 0 };
	const uint64_t began_ms = clk_mono_ms();

	(void)state;
	for (int i = 0; i < 40; i++) {
		tmr_start(&probes[i].tmr, 5000, probe_h, &probes[i]);
		tmr_start(&brief.tmr, 4000, probe_h, &brief);
		clk_advance_ms(1);
	}
	tmr_poll(tmrl_get());
	assert_in_range(tmr_next_timeout(tmrl_get()), 3999, 3999);
	for (int ms = 0; ms < 5100; ms++)
		turn(1);
	assert_int_equal(brief.at_ms, began_ms + 39 + 4000);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(probes[i].fired, 1);
		assert_in_range(probes[i].at_ms, began_ms + (uint64_t)i + 5000, began_ms + (uint64_t)i + 5049);
		assert_int_equal(probes[i].at_ms % 50, 0);
	}
}

static int turns;

static void turn_ended(void)
{
	turns++;
}

static void the_end_of_a_turn_is_told(void **state)
{
	struct probe probe = { 0 };

	(void)state;
	timer_set_turn_handler(turn_ended);
	tmr_start(&probe.tmr, 0, probe_h, &probe);
	tmr_poll(tmrl_get());
	assert_int_equal(probe.fired, 1);
	assert_int_equal(turns, 1);
	tmr_poll(tmrl_get());
	assert_int_equal(turns, 2);
	timer_set_turn_handler(NULL);
	tmr_poll(tmrl_get());
	assert_int_equal(turns, 2);
}

#define MANY_TURNS 20

/* How often this thread has slept; reading a page from the disk counts as well. */
static long sleeps(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
	return usage.ru_nvcsw;
}

/* In how many of MANY_TURNS the loop slept, with so much time between them. */
static long sleeps_in_turns(uint64_t apart_ms, unsigned load)
{
	const long before = sleeps();

	for (int i = 0; i < MANY_TURNS; i++) {
		clk_advance_ms(apart_ms);
		timer_load(load);
		timer_load(load);
		tmr_poll(tmrl_get());
	}
	return sleeps() - before;
}

/* On the driven clock: however slow the machine is, the turns are as far apart as is said here. */
static void a_busy_loop_rests_between_its_turns(void **state)
{
	(void)state;
	timer_set_rest(1000);
	assert_true(sleeps_in_turns(6, 0) < MANY_TURNS / 2);
	assert_true(sleeps_in_turns(4, 0) >= MANY_TURNS - 8); /* the first ones look back at slower ones */
	assert_true(sleeps_in_turns(4, 0) >= MANY_TURNS);
	assert_true(sleeps_in_turns(4, 25) >= MANY_TURNS); /* half as long */
	assert_true(sleeps_in_turns(4, 50) < MANY_TURNS / 2); /* all that one turn can take */
	assert_true(sleeps_in_turns(4, 90) < MANY_TURNS / 2);
	timer_set_rest(0);
	assert_true(sleeps_in_turns(0, 0) < MANY_TURNS / 2);
}

/* The loop waits without a time-out; a timer that is started or cancelled meanwhile still counts. */
static void the_loop_waits_by_descriptor(void **state)
{
	struct tmr end = { 0 };
	struct probe first = { 0 }, cancelled = { 0 }, later = { 0 };

	(void)state;
	clk_release();
	assert_int_equal(timer_wait_by_fd(true), 0);
	first.cancels = &cancelled;
	tmr_start(&cancelled.tmr, 6, probe_h, &cancelled);
	tmr_start(&first.tmr, 3, probe_h, &first);
	tmr_start(&later.tmr, 12, probe_h, &later);
	assert_int_equal(tmr_next_timeout(tmrl_get()), 0);
	tmr_start(&end, 30, loop_end_h, NULL);
	assert_int_equal(re_main(NULL), 0);
	assert_int_equal(first.fired, 1);
	assert_int_equal(cancelled.fired, 0);
	assert_int_equal(later.fired, 1);
	assert_int_equal(timer_wait_by_fd(false), 0);
	clk_drive(1000000);
}

static void the_loop_of_libre_runs_on_the_heap(void **state)
{
	struct tmr end = { 0 };
	struct probe probe = { 0 };

	(void)state;
	clk_release();
	tmr_start(&probe.tmr, 5, probe_h, &probe);
	tmr_start(&end, 20, loop_end_h, NULL);
	assert_int_equal(re_main(NULL), 0);
	assert_int_equal(probe.fired, 1);
	clk_drive(1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libre_uses_our_timers),
		cmocka_unit_test(a_timer_fires_once_when_its_time_has_come),
		cmocka_unit_test(a_handler_may_cancel_another_timer_of_the_same_moment),
		cmocka_unit_test(timers_of_the_same_millisecond_fire_in_the_order_of_their_start),
		cmocka_unit_test(a_timer_that_restarts_itself_leaves_sockets_their_turn),
		cmocka_unit_test(the_heap_does_what_a_model_does),
		cmocka_unit_test(a_hundred_thousand_timers_are_no_slower_than_a_few),
		cmocka_unit_test(long_timers_expire_together),
		cmocka_unit_test(the_end_of_a_turn_is_told),
		cmocka_unit_test(a_busy_loop_rests_between_its_turns),
		cmocka_unit_test(the_loop_of_libre_runs_on_the_heap),
		cmocka_unit_test(the_loop_waits_by_descriptor),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
