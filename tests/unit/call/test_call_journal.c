/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call/journal.h"

struct left {
	size_t n;
	uint64_t ids[64];
	char texts[64][64];
};

static void left_h(uint64_t call_id, const void *data, size_t len, void *arg)
{
	struct left *left = arg;

	assert_true(left->n < 64 && len < 64);
	left->ids[left->n] = call_id;
	memcpy(left->texts[left->n], data, len);
	left->texts[left->n++][len] = '\0';
}

static const char *text_of(const struct left *left, uint64_t id)
{
	for (size_t i = 0; i < left->n; i++) {
		if (left->ids[i] == id)
			return left->texts[i];
	}

	return NULL;
}

static int make_dir(void **state)
{
	char *dir = strdup("/tmp/aoide-journal-XXXXXX");

	*state = mkdtemp(dir);
	return *state ? 0 : -1;
}

static int drop_dir(void **state)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/calls.journal", (char *)*state);
	(void)unlink(path);
	(void)rmdir(*state);
	free(*state);
	return 0;
}

static void put(struct call_journal *journal, uint64_t id, const char *text)
{
	call_journal_put(journal, id, text, strlen(text));
}

static void reopen(struct left *left, const char *dir)
{
	struct call_journal *journal;

	memset(left, 0, sizeof(*left));
	assert_int_equal(call_journal_open(&journal, dir, left_h, left), 0);
	call_journal_close(journal);
}

static void what_was_open_is_handed_over_and_what_ended_is_not(void **state)
{
	struct call_journal *journal;
	struct left left = { 0 };

	assert_int_equal(call_journal_open(&journal, *state, left_h, &left), 0);
	assert_int_equal(left.n, 0);
	put(journal, 1, "one");
	put(journal, 2, "two");
	put(journal, 1, "one again");
	call_journal_remove(journal, 2);
	put(journal, 3, "three");
	call_journal_close(journal);

	reopen(&left, *state);
	assert_int_equal(left.n, 2);
	assert_string_equal(text_of(&left, 1), "one again");
	assert_string_equal(text_of(&left, 3), "three");

	/* Nobody removed them: a second crash must not forget them. */
	reopen(&left, *state);
	assert_int_equal(left.n, 2);
}

static void a_torn_end_costs_only_itself(void **state)
{
	struct call_journal *journal;
	struct left left = { 0 };
	char path[256];
	FILE *f;

	assert_int_equal(call_journal_open(&journal, *state, left_h, &left), 0);
	put(journal, 1, "whole");
	call_journal_close(journal);

	(void)snprintf(path, sizeof(path), "%s/calls.journal", (char *)*state);
	f = fopen(path, "ab");
	assert_non_null(f);
	assert_int_equal(fwrite("AOJ1 torn", 9, 1, f), 1);
	fclose(f);

	reopen(&left, *state);
	assert_int_equal(left.n, 1);
	assert_string_equal(text_of(&left, 1), "whole");
}

static void a_record_that_is_too_large_is_dropped_and_counted(void **state)
{
	struct call_journal_stats stats;
	struct call_journal *journal;
	struct left left = { 0 };
	char *big = calloc(1, CALL_JOURNAL_MAX_RECORD + 1);

	assert_int_equal(call_journal_open(&journal, *state, left_h, &left), 0);
	call_journal_put(journal, 1, big, CALL_JOURNAL_MAX_RECORD + 1);
	call_journal_stats(journal, &stats);
	assert_int_equal(stats.dropped, 1);
	call_journal_close(journal);
	free(big);

	reopen(&left, *state);
	assert_int_equal(left.n, 0);
}

static void many_dead_calls_make_a_new_file_and_the_living_stay(void **state)
{
	struct call_journal_stats stats;
	struct call_journal *journal;
	struct left left = { 0 };
	char text[8000];

	memset(text, 'x', sizeof(text));
	assert_int_equal(call_journal_open(&journal, *state, left_h, &left), 0);
	put(journal, 7, "living");
	for (uint64_t id = 100; id < 100 + 2 * CALL_JOURNAL_ROTATE_SIZE / sizeof(text); id++) {
		call_journal_put(journal, id, text, sizeof(text));
		call_journal_remove(journal, id);
		if (id % 256 == 0)
			usleep(1000);
	}
	call_journal_close(journal);

	reopen(&left, *state);
	assert_int_equal(left.n, 1);
	assert_string_equal(text_of(&left, 7), "living");

	assert_int_equal(call_journal_open(&journal, *state, left_h, &left), 0);
	call_journal_stats(journal, &stats);
	assert_int_equal(stats.dropped, 0);
	call_journal_close(journal);
}

static void killed_at_any_moment_it_can_be_read(void **state)
{
	for (int round = 0; round < 20; round++) {
		struct left left = { 0 };
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			struct call_journal *journal;
			struct left own = { 0 };

			if (call_journal_open(&journal, *state, left_h, &own))
				_exit(1);
			for (uint64_t i = 0;; i++) {
				put(journal, i % 8, "some text of a call");
				if (i % 64 == 0)
					usleep(200);
			}
		}

		usleep(2000 + (useconds_t)(round * 700));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));

		reopen(&left, *state);
		assert_true(left.n <= 8);
		for (size_t i = 0; i < left.n; i++)
			assert_string_equal(left.texts[i], "some text of a call");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_open_is_handed_over_and_what_ended_is_not, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_torn_end_costs_only_itself, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_record_that_is_too_large_is_dropped_and_counted, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(many_dead_calls_make_a_new_file_and_the_living_stay, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(killed_at_any_moment_it_can_be_read, make_dir, drop_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
