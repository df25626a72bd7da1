/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/re.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Standard error goes into a file while a test captures. */
static char path[] = "/tmp/aoide-log-XXXXXX";
static char text[1 << 20];
static int saved_stderr;

static void capture(void)
{
	int fd;

	memcpy(path + strlen(path) - 6, "XXXXXX", 6);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	saved_stderr = dup(STDERR_FILENO);
	(void)dup2(fd, STDERR_FILENO);
	(void)close(fd);
}

static const char *captured(void)
{
	FILE *file;
	size_t n;

	(void)dup2(saved_stderr, STDERR_FILENO);
	(void)close(saved_stderr);
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	(void)fclose(file);
	(void)unlink(path);
	return text;
}

static unsigned lines_of(const char *event)
{
	unsigned n = 0;

	for (const char *p = text; (p = strstr(p, event)); p++)
		n++;
	return n;
}

static int reset(void **state)
{
	(void)state;
	return log_level_set("*", "info");
}

static void a_line_is_logfmt_with_time_process_and_level(void **state)
{
	struct sa sa;

	(void)state;
	clk_drive(1461944906123456ll);
	assert_int_equal(sa_set_str(&sa, "192.0.2.1", 5060), 0);
	capture();
	assert_int_equal(log_start("switch"), 0);
	log_warn("sip.auth_failed", "digest rejected", kv_text("account", "101"), kv_sa("src", &sa),
		 kv_int("failures", -3), kv_err(-EHANGUP), kv_textn("part", "abcdef", 3));
	log_stop();
	assert_string_equal(captured(),
			    "time=2016-04-29T15:48:26.123Z level=warn proc=switch event=sip.auth_failed "
			    "msg=\"digest rejected\" account=101 src=192.0.2.1:5060 failures=-3 "
			    "error=\"the party hung up\" part=abc\n");
	clk_release();
}

static void what_a_stranger_sends_cannot_forge_a_line_or_a_key(void **state)
{
	(void)state;
	capture();
	log_info("test.forge", "x", kv_text("name", "a\nlevel=error event=fake\x1b[31m\"\\"));
	(void)captured();
	assert_int_equal(lines_of("\n"), 1);
	assert_non_null(strstr(text, "name=\"a\\nlevel=error event=fake\\x1b[31m\\\"\\\\\"\n"));
}

static void a_line_that_is_too_long_is_cut_and_still_a_line(void **state)
{
	char *big = malloc(100000);

	(void)state;
	assert_non_null(big);
	memset(big, 'x', 99999);
	big[99999] = '\0';
	capture();
	log_info("test.long", "x", kv_text("name", big));
	log_info("test.next", "y");
	(void)captured();
	assert_int_equal(lines_of("\n"), 2);
	assert_true(strlen(text) < 2000);
	free(big);
}

static void levels_are_set_per_module_at_run_time(void **state)
{
	char levels[256];

	(void)state;
	assert_int_equal(log_levels_set("warn,sip=debug,db=error"), 0);
	assert_int_equal(log_level_of("sip.auth_failed"), LOG_LVL_DEBUG);
	assert_int_equal(log_level_of("sipx.auth_failed"), LOG_LVL_WARN);
	assert_int_equal(log_level_of("si.x"), LOG_LVL_WARN);
	assert_int_equal(log_level_of("db"), LOG_LVL_ERROR);
	log_levels_print(levels, sizeof(levels));
	assert_string_equal(levels, "* warn\nsip debug\ndb error\n");
	assert_int_equal(log_level_set("sip", "loud"), -EINVAL);
	assert_int_equal(log_level_set("", "info"), -EINVAL);
	assert_int_equal(log_levels_set("info,sip"), -EINVAL);
	assert_int_equal(log_level_set("spi", "info"), -ENOENT); /* names are not guessed */
	assert_int_equal(log_level_set("si", "info"), -ENOENT);
	assert_non_null(strstr(log_module_names(), "sip, "));

	capture();
	log_debug("sip.x", "seen");
	log_info("web.x", "hidden");
	(void)captured();
	assert_int_equal(lines_of("\n"), 1);
	assert_int_equal(log_level_set("*", "info"), 0); /* all means all */
	assert_int_equal(log_level_of("sip.x"), LOG_LVL_INFO);
}

static void a_flood_is_limited_and_counted(void **state)
{
	(void)state;
	clk_drive(1000000);
	capture();
	for (int i = 0; i < 1000; i++)
		log_warn("test.flood", "again", kv_int("i", i));
	log_warn("test.other", "not a flood");
	clk_advance_ms(1000);
	log_warn("test.flood", "again", kv_int("i", 1000));
	(void)captured();
	assert_int_equal(lines_of("event=test.flood"), 11);
	assert_int_equal(lines_of("event=test.other"), 1);
	assert_non_null(strstr(text, "msg=again repeated=990 i=1000\n"));
	clk_release();
}

static void the_count_of_a_flood_that_ended_comes_with_the_end(void **state)
{
	(void)state;
	clk_advance_ms(5000);
	capture();
	assert_int_equal(log_start("test"), 0);
	for (int i = 0; i < 50; i++)
		log_error("test.flood2", "again");
	log_stop();
	(void)captured();
	assert_int_equal(lines_of("event=test.flood2"), 11);
	assert_non_null(strstr(text, "repeated=40\n"));
}

static void every_call_line_passes_at_info(void **state)
{
	(void)state;
	capture();
	assert_int_equal(log_start("test"), 0);
	for (int i = 0; i < 500; i++)
		log_info("call.ended", "a call", kv_int("i", i));
	log_stop();
	(void)captured();
	assert_int_equal(lines_of("event=call.ended"), 500);
}

static void *flood_main(void *arg)
{
	for (int i = 0; i < 20000; i++)
		log_info("test.thread", "x", kv_int("i", i), kv_text("who", arg));
	return NULL;
}

/* Nobody reads the pipe: the writer thread blocks, those who log do not. */
static void a_stuck_reader_blocks_nobody_and_the_loss_is_reported(void **state)
{
	pthread_t threads[4];
	int pipes[2];
	uint64_t start_ms;
	char buf[4096];
	size_t len = 0;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	saved_stderr = dup(STDERR_FILENO);
	(void)dup2(pipes[1], STDERR_FILENO);
	(void)close(pipes[1]);
	assert_int_equal(log_start("test"), 0);

	start_ms = clk_mono_ms();
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, flood_main, "t"), 0);
	for (int i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
	assert_true(clk_mono_ms() - start_ms < 30000);

	/* now it reads again, until the writer has told what was lost */
	while (!strstr(text, "event=log.dropped") && (n = read(pipes[0], buf, sizeof(buf))) > 0) {
		if (len + (size_t)n >= sizeof(text))
			len = 0;
		memcpy(text + len, buf, (size_t)n);
		len += (size_t)n;
		text[len] = '\0';
	}
	assert_non_null(strstr(text, "event=log.dropped"));
	(void)dup2(saved_stderr, STDERR_FILENO);
	(void)close(saved_stderr);
	/* the writer may stand in the pipe with more lines: without a reader it gets an error */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)close(pipes[0]);
	log_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_line_is_logfmt_with_time_process_and_level, reset),
		cmocka_unit_test_setup(what_a_stranger_sends_cannot_forge_a_line_or_a_key, reset),
		cmocka_unit_test_setup(a_line_that_is_too_long_is_cut_and_still_a_line, reset),
		cmocka_unit_test_setup(levels_are_set_per_module_at_run_time, reset),
		cmocka_unit_test_setup(a_flood_is_limited_and_counted, reset),
		cmocka_unit_test_setup(the_count_of_a_flood_that_ended_comes_with_the_end, reset),
		cmocka_unit_test_setup(every_call_line_passes_at_info, reset),
		cmocka_unit_test_setup(a_stuck_reader_blocks_nobody_and_the_loss_is_reported, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
