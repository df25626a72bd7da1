/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/re.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

extern struct list *tmrl_get(void);

static int setup(void **state)
{
	(void)state;
	clk_drive(1000000);
	if (libre_init())
		return -1;
	return fiber_init();
}

static int teardown(void **state)
{
	struct fiber_stats stats;

	(void)state;
	fiber_stats(&stats);
	assert_int_equal(stats.live, 0);
	fiber_close();
	libre_close();
	clk_release();
	return 0;
}

static void turn(uint64_t ms)
{
	clk_advance_ms(ms);
	tmr_poll(tmrl_get());
}

struct walker {
	struct fiber *fiber;
	char script[256];
	uint64_t deadline_ms;
	int err, waits;
};

static void note(struct walker *walker, const char *text)
{
	const size_t len = strlen(walker->script);

	(void)snprintf(walker->script + len, sizeof(walker->script) - len, "%s;", text);
}

static void wait_main(void *arg)
{
	struct walker *walker = arg;

	note(walker, "start");
	for (int i = 0; i < walker->waits; i++) {
		walker->err = fiber_wait(walker->deadline_ms);
		note(walker, walker->err ? err_text(walker->err) : "woken");
	}
}

static void a_fiber_runs_from_the_loop_and_not_inside_spawn(void **state)
{
	struct walker walker = { 0 };

	(void)state;
	assert_int_equal(fiber_spawn(&walker.fiber, "test", wait_main, &walker), 0);
	assert_string_equal(walker.script, "");
	turn(0);
	assert_string_equal(walker.script, "start;");
}

static void a_wake_ends_one_wait(void **state)
{
	struct walker walker = { .deadline_ms = FIBER_FOREVER, .waits = 2 };

	(void)state;
	assert_int_equal(fiber_spawn(&walker.fiber, "test", wait_main, &walker), 0);
	turn(0);
	fiber_wake(walker.fiber);
	fiber_wake(walker.fiber); /* twice is once */
	assert_string_equal(walker.script, "start;");
	turn(0);
	assert_string_equal(walker.script, "start;woken;");
	fiber_wake(walker.fiber);
	turn(0);
	assert_string_equal(walker.script, "start;woken;woken;");
}

static void a_wake_before_the_first_wait_counts(void **state)
{
	struct walker walker = { .deadline_ms = FIBER_FOREVER, .waits = 1 };

	(void)state;
	assert_int_equal(fiber_spawn(&walker.fiber, "test", wait_main, &walker), 0);
	fiber_wake(walker.fiber);
	turn(0);
	assert_string_equal(walker.script, "start;woken;");
}

static void the_deadline_ends_a_wait(void **state)
{
	struct walker walker = { .deadline_ms = clk_mono_ms() + 50, .waits = 2 };

	(void)state;
	assert_int_equal(fiber_spawn(&walker.fiber, "test", wait_main, &walker), 0);
	turn(49);
	assert_string_equal(walker.script, "start;");
	turn(1); /* the second wait finds the deadline past and fails at once */
	assert_int_equal(walker.err, -ETIMEDOUT);
	assert_string_equal(walker.script, "start;Connection timed out;Connection timed out;");
}

static void hangup_is_sticky(void **state)
{
	struct walker walker = { .deadline_ms = FIBER_FOREVER, .waits = 3 };

	(void)state;
	assert_int_equal(fiber_spawn(&walker.fiber, "test", wait_main, &walker), 0);
	turn(0);
	fiber_cancel(walker.fiber, -EHANGUP);
	fiber_cancel(walker.fiber, -ECANCELED); /* the first code stays */
	assert_int_equal(fiber_cancelled(walker.fiber), -EHANGUP);
	turn(0);
	assert_int_equal(walker.err, -EHANGUP);
	assert_string_equal(walker.script, "start;the party hung up;the party hung up;the party hung up;");
}

static void a_cancel_before_the_fiber_ran_fails_its_first_wait(void **state)
{
	struct walker walker = { .deadline_ms = FIBER_FOREVER, .waits = 1 };

	(void)state;
	assert_int_equal(fiber_spawn(&walker.fiber, "test", wait_main, &walker), 0);
	fiber_cancel(walker.fiber, -EHANGUP);
	turn(0);
	assert_string_equal(walker.script, "start;the party hung up;");
}

static void shield_main(void *arg)
{
	struct walker *walker = arg;

	walker->err = fiber_wait(FIBER_FOREVER);
	note(walker, err_text(walker->err));
	fiber_shield(fiber_self(), true);
	walker->err = fiber_wait(clk_mono_ms() + 10);
	note(walker, err_text(walker->err));
	fiber_shield(fiber_self(), false);
	walker->err = fiber_wait(clk_mono_ms() + 10);
	note(walker, err_text(walker->err));
}

static void a_shielded_fiber_can_wait_after_the_hangup(void **state)
{
	struct walker walker = { 0 };

	(void)state;
	assert_int_equal(fiber_spawn(&walker.fiber, "test", shield_main, &walker), 0);
	turn(0);
	fiber_cancel(walker.fiber, -EHANGUP);
	turn(0);
	assert_string_equal(walker.script, "the party hung up;");
	fiber_cancel(walker.fiber, -EHANGUP);
	turn(9);
	assert_string_equal(walker.script, "the party hung up;");
	turn(1);
	assert_string_equal(walker.script,
			    "the party hung up;Connection timed out;the party hung up;");
}

/* Two fibers hand a ball to each other through the scheduler. */
static struct fiber *players[2];
static unsigned passes;

static void play_main(void *arg)
{
	const size_t me = (size_t)(uintptr_t)arg;

	while (passes < 1000) {
		passes++;
		fiber_wake(players[!me]);
		if (fiber_wait(FIBER_FOREVER))
			break;
	}
	fiber_wake(players[!me]);
	players[me] = NULL;
}

static void fibers_wake_each_other_without_waiting_for_the_next_turn(void **state)
{
	(void)state;
	passes = 0;
	assert_int_equal(fiber_spawn(&players[0], "ping", play_main, (void *)0), 0);
	assert_int_equal(fiber_spawn(&players[1], "pong", play_main, (void *)1), 0);
	turn(0);
	turn(0);
	assert_int_equal(passes, 1000);
}

static void float_main(void *arg)
{
	double *sum = arg;
	char used[4096];

	for (int i = 1; i <= 20; i++) {
		memset(used, i, sizeof(used));
		*sum += sqrt((double)i) + used[100] - i;
		if (fiber_wait(clk_mono_ms() + 1) != -ETIMEDOUT)
			return;
	}
}

static void registers_and_stacks_of_many_fibers_are_their_own(void **state)
{
	static double sums[500];
	double expected = 0;
	struct fiber_stats stats;

	(void)state;
	memset(sums, 0, sizeof(sums));
	for (size_t i = 0; i < 500; i++)
		assert_int_equal(fiber_spawn(NULL, "float", float_main, &sums[i]), 0);
	for (int i = 0; i < 25; i++)
		turn(1);
	for (int i = 1; i <= 20; i++)
		expected += sqrt((double)i);
	for (size_t i = 0; i < 500; i++)
		assert_true(fabs(sums[i] - expected) < 1e-9);

	fiber_stats(&stats);
	assert_int_equal(stats.live, 0);
	assert_true(stats.peak >= 500);
	assert_true(stats.pooled >= 500);
	assert_true(stats.deepest_bytes > 4096);
	assert_string_equal(stats.deepest_name, "float");
}

static void limit_main(void *arg)
{
	(void)arg;
	(void)fiber_wait(FIBER_FOREVER);
}

static void the_number_of_fibers_has_a_limit(void **state)
{
	static struct fiber *fibers[30000];
	size_t n = 0;
	int err = 0;

	(void)state;
	while (n < 30000 && !(err = fiber_spawn(&fibers[n], "limit", limit_main, NULL)))
		n++;
	assert_int_equal(err, -EAGAIN);
	assert_true(n >= 10000);
	for (size_t i = 0; i < n; i++)
		fiber_cancel(fibers[i], -EHANGUP);
	for (size_t i = 0; i < n / 1000 + 1; i++)
		turn(0);
}

static void log_main(void *arg)
{
	log_context_set("7", "1.2");
	(void)fiber_wait(FIBER_FOREVER);
	log_warn("test.context", arg);
}

static void the_log_context_follows_the_fiber(void **state)
{
	char line[512] = "";
	int saved, fds[2];
	struct fiber *fiber;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fiber_spawn(&fiber, "log", log_main, "hello"), 0);
	turn(0);
	log_context_set("8", NULL);
	fiber_wake(fiber);

	saved = dup(STDERR_FILENO);
	(void)dup2(fds[1], STDERR_FILENO);
	turn(0);
	log_warn("test.context2", "outside");
	(void)dup2(saved, STDERR_FILENO);
	(void)close(saved);
	(void)close(fds[1]);
	n = read(fds[0], line, sizeof(line) - 1);
	(void)close(fds[0]);
	assert_true(n > 0);
	assert_non_null(strstr(line, "msg=hello tenant=7 call=1.2\n"));
	assert_non_null(strstr(line, "msg=outside tenant=8\n"));
	log_context_set(NULL, NULL);
}

static void print_stack(const char *name, uint64_t n_fibers, size_t deepest_bytes, void *arg)
{
	(void)arg;
	print_message("deepest stack of %-8s %6zu bytes, %llu fibers\n", name, deepest_bytes,
		      (unsigned long long)n_fibers);
}

static void switching_is_cheap(void **state)
{
	uint64_t start_us, took_us;

	(void)state;
	passes = 0;
	clk_release();
	start_us = clk_mono_us();
	assert_int_equal(fiber_spawn(&players[0], "ping", play_main, (void *)0), 0);
	assert_int_equal(fiber_spawn(&players[1], "pong", play_main, (void *)1), 0);
	turn(0);
	turn(0);
	took_us = clk_mono_us() - start_us;
	clk_drive(1000000);
	assert_int_equal(passes, 1000);
	assert_true(took_us < 1000000);
	print_message("a wake and a switch there and back: %.3f us\n", (double)took_us / 1000);
	fiber_stacks(print_stack, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fiber_runs_from_the_loop_and_not_inside_spawn),
		cmocka_unit_test(a_wake_ends_one_wait),
		cmocka_unit_test(a_wake_before_the_first_wait_counts),
		cmocka_unit_test(the_deadline_ends_a_wait),
		cmocka_unit_test(hangup_is_sticky),
		cmocka_unit_test(a_cancel_before_the_fiber_ran_fails_its_first_wait),
		cmocka_unit_test(a_shielded_fiber_can_wait_after_the_hangup),
		cmocka_unit_test(fibers_wake_each_other_without_waiting_for_the_next_turn),
		cmocka_unit_test(registers_and_stacks_of_many_fibers_are_their_own),
		cmocka_unit_test(the_number_of_fibers_has_a_limit),
		cmocka_unit_test(the_log_context_follows_the_fiber),
		cmocka_unit_test(switching_is_cheap),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
