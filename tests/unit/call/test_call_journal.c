/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call/journal.h"

struct left {
	size_t n;
	uint64_t ids[64];
	char texts[64][64];
};

#define FILLERS 1000000u /* ids from here on only fill the pipe of still_disk() */

static void left_h(uint64_t call_id, const void *data, size_t len, void *arg)
{
	struct left *left = arg;

	if (call_id >= FILLERS)
		return;
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

static void reopen_with(struct left *left, const char *dir, int memory_fd)
{
	struct call_journal *journal;

	memset(left, 0, sizeof(*left));
	assert_int_equal(call_journal_open(&journal, dir, memory_fd, left_h, left), 0);
	call_journal_close(journal);
}

static void reopen(struct left *left, const char *dir)
{
	reopen_with(left, dir, -1);
}

static void what_was_open_is_handed_over_and_what_ended_is_not(void **state)
{
	struct call_journal *journal;
	struct left left = { 0 };

	assert_int_equal(call_journal_open(&journal, *state, -1, left_h, &left), 0);
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

	assert_int_equal(call_journal_open(&journal, *state, -1, left_h, &left), 0);
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

	assert_int_equal(call_journal_open(&journal, *state, -1, left_h, &left), 0);
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
	assert_int_equal(call_journal_open(&journal, *state, -1, left_h, &left), 0);
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

	assert_int_equal(call_journal_open(&journal, *state, -1, left_h, &left), 0);
	call_journal_stats(journal, &stats);
	assert_int_equal(stats.dropped, 0);
	call_journal_close(journal);
}

/* ------------------------------------------------------------------ the ring */

static struct call_journal_stats stats_of(const struct call_journal *journal)
{
	struct call_journal_stats stats;

	call_journal_stats(journal, &stats);
	return stats;
}

static void of_what_comes_together_the_last_of_each_call_is_written(void **state)
{
	struct call_journal *journal;
	struct left left = { 0 };
	char text[32];

	assert_int_equal(call_journal_open(&journal, *state, -1, left_h, &left), 0);
	put(journal, 1, "after a pause");
	while (!stats_of(journal).written)
		usleep(100);
	for (int i = 0; i < 500; i++) {
		(void)snprintf(text, sizeof(text), "state %d", i);
		put(journal, 2 + (uint64_t)i % 2, text);
	}
	call_journal_remove(journal, 1);
	while (stats_of(journal).written < 4)
		usleep(1000);
	assert_int_equal(stats_of(journal).puts, 501);
	assert_in_range(stats_of(journal).written, 4, 40); /* 4 unless this process was halted in between */
	call_journal_close(journal);

	reopen(&left, *state);
	assert_int_equal(left.n, 2);
	assert_string_equal(text_of(&left, 2), "state 498");
	assert_string_equal(text_of(&left, 3), "state 499");
}

/* In the place of the file comes a pipe that nobody reads: a disk that stands still. */
static int still_disk(const char *dir)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/calls.journal.new", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static void *read_on(void *arg)
{
	static char buf[65536];
	int fd = *(int *)arg;

	(void)fcntl(fd, F_SETFL, 0);
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	return NULL;
}

static void a_disk_that_stands_still_holds_up_no_call(void **state)
{
	static uint8_t big[CALL_JOURNAL_MAX_RECORD];
	struct call_journal *journal;
	struct left left = { 0 };
	int fd = still_disk(*state);
	uint64_t dropped, puts;
	pthread_t thread;

	assert_true(fd >= 0);
	assert_int_equal(call_journal_open(&journal, *state, -1, left_h, &left), 0);
	/* What is being written has its room until it is; the pipe is full before each of these calls is written once. */
	for (uint64_t n = 0; !stats_of(journal).dropped; n++)
		call_journal_put(journal, n % 32, big, sizeof(big));
	puts = stats_of(journal).puts;
	assert_in_range(puts, CALL_JOURNAL_QUEUE_BYTES / sizeof(big) - 16,
			CALL_JOURNAL_QUEUE_BYTES / sizeof(big) + 16);
	put(journal, 1, "small");
	assert_int_equal(pthread_create(&thread, NULL, read_on, &fd), 0);
	do {
		usleep(1000);
		dropped = stats_of(journal).dropped;
		call_journal_put(journal, 1, big, sizeof(big));
	} while (stats_of(journal).dropped > dropped);
	for (uint64_t id = 0; id < 32; id++)
		call_journal_remove(journal, id);
	call_journal_close(journal);
	assert_int_equal(pthread_join(thread, NULL), 0);
	close(fd);
}

/* A process that puts its records and is killed before one of them is in the file. */
static void leave(const char *dir, int memory_fd, void (*put_h)(struct call_journal *journal))
{
	static uint8_t big[CALL_JOURNAL_MAX_RECORD];
	char path[256];
	int status;
	pid_t pid;

	/* Calls of an earlier file would be written into the pipe while the journal is opened. */
	(void)snprintf(path, sizeof(path), "%s/calls.journal", dir);
	(void)unlink(path);
	pid = fork();

	if (pid == 0) {
		struct call_journal *journal;
		struct left left = { 0 };

		if (still_disk(dir) < 0 || call_journal_open(&journal, dir, memory_fd, left_h, &left))
			_exit(1);
		for (uint64_t id = FILLERS; id < FILLERS + 10; id++)
			call_journal_put(journal, id, big, sizeof(big)); /* more than the pipe takes */
		put_h(journal);
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(unlink(path), 0);
}

static void put_three(struct call_journal *journal)
{
	put(journal, 1, "first words of one");
	put(journal, 2, "two");
	put(journal, 1, "one");
	put(journal, 3, "three");
	call_journal_remove(journal, 2);
}

static void expect_three(const struct left *left)
{
	assert_int_equal(left->n, 2);
	assert_string_equal(text_of(left, 1), "one");
	assert_string_equal(text_of(left, 3), "three");
}

static uint8_t *memory_of(int fd, size_t *ret_size)
{
	struct stat st;
	uint8_t *memory;

	assert_int_equal(fstat(fd, &st), 0);
	*ret_size = (size_t)st.st_size;
	memory = mmap(NULL, *ret_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(memory != MAP_FAILED);
	return memory;
}

static void what_a_killed_switch_had_not_written_is_known(void **state)
{
	int fd = call_journal_make_memory();
	struct left left;
	uint8_t *memory, *copy;
	size_t size;

	assert_true(fd >= 0);
	leave(*state, fd, put_three);
	memory = memory_of(fd, &size);
	copy = malloc(1 << 20);
	memcpy(copy, memory, 1 << 20);

	reopen_with(&left, *state, fd);
	expect_three(&left);
	reopen_with(&left, *state, fd);
	expect_three(&left);

	/* As if it had been killed when all was in the file and nothing dropped yet. */
	memcpy(memory, copy, 1 << 20);
	reopen_with(&left, *state, fd);
	expect_three(&left);
	reopen(&left, *state);
	expect_three(&left);

	free(copy);
	munmap(memory, size);
	close(fd);
}

static void who_keeps_the_memory_can_save_it(void **state)
{
	int fd = call_journal_make_memory();
	struct left left;

	assert_int_equal(call_journal_settle("/nowhere/at/all", fd), 0); /* nothing to save */
	assert_int_equal(call_journal_settle(*state, -1), -EINVAL);
	leave(*state, fd, put_three);
	assert_int_equal(call_journal_settle(*state, fd), 0);
	close(fd);
	reopen(&left, *state);
	expect_three(&left);
}

static void damaged_memory_costs_what_is_damaged_and_no_more(void **state)
{
	int fd = call_journal_make_memory();
	struct left left;
	unsigned seed = 1;
	uint8_t *memory, *found;
	size_t size;

	memory = memory_of(fd, &size);
	leave(*state, fd, put_three);
	found = memmem(memory, 1 << 20, "three", 5);
	assert_non_null(found);
	found[2] ^= 1;
	reopen_with(&left, *state, fd);
	assert_int_equal(left.n, 2); /* the end of "two" came after */
	assert_string_equal(text_of(&left, 1), "one");
	assert_string_equal(text_of(&left, 2), "two");

	/* Anything anywhere in the head of the ring and its first records. */
	for (int round = 0; round < 30; round++) {
		leave(*state, fd, put_three);
		for (int i = 0; i < round; i++) {
			size_t at = rand_r(&seed) % 2 ? (size_t)rand_r(&seed) % 128 :
						       65536 + 10 * CALL_JOURNAL_MAX_RECORD +
							       (size_t)rand_r(&seed) % 1024;

			memory[at] = (uint8_t)rand_r(&seed);
		}
		(void)call_journal_settle(*state, fd);
		(void)snprintf((char *)left.texts[0], 64, "%s/calls.journal", (char *)*state);
		(void)unlink(left.texts[0]);
	}

	/* A file that is no ring's memory: it works without. */
	munmap(memory, size);
	close(fd);
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	reopen_with(&left, *state, fd);
	assert_int_equal(left.n, 0);
	close(fd);
}

/* Operation n of the process that will be killed: N_CALLS calls in turns, every fifth time the end. */
#define N_CALLS 60u

static bool is_end(uint64_t n)
{
	return n / N_CALLS % 5 == 4;
}

static void operate(struct call_journal *journal, uint64_t n)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	if (is_end(n))
		call_journal_remove(journal, n % N_CALLS);
	else
		put(journal, n % N_CALLS, text);
}

static bool is_after(const char *text, uint64_t n)
{
	char expected[32];

	(void)snprintf(expected, sizeof(expected), "%llu", (unsigned long long)n);
	return is_end(n) ? !text : text && !strcmp(text, expected);
}

static void killed_at_any_moment_it_has_forgotten_nothing(void **state)
{
	struct progress {
		_Atomic uint64_t begun, done;
	} *progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd = call_journal_make_memory();

	assert_true(fd >= 0 && progress != MAP_FAILED);
	for (uint64_t round = 0; round < 40; round++) {
		struct left left;
		uint64_t done;
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			struct call_journal *journal;
			struct left own = { 0 };

			if (call_journal_open(&journal, *state, fd, left_h, &own))
				_exit(1);
			for (uint64_t n = atomic_load(&progress->begun) + 1;; n++) {
				atomic_store(&progress->begun, n);
				operate(journal, n);
				atomic_store(&progress->done, n);
				if (n % (1 + round * 8) == 0)
					usleep(200);
			}
		}

		usleep(2000 + (useconds_t)(round * 5300)); /* two gatherings */
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));

		reopen_with(&left, *state, fd);
		done = atomic_load(&progress->done);
		for (uint64_t n = done > N_CALLS ? done - N_CALLS + 1 : 1; n <= done; n++) {
			const char *text = text_of(&left, n % N_CALLS);

			/* What it was doing when it was killed is done, or not. */
			assert_true(is_after(text, n) ||
				    (n + N_CALLS == done + 1 && is_after(text, done + 1)));
		}
		/* What was in doubt is not afterwards. */
		if (atomic_load(&progress->begun) > done) {
			struct call_journal *journal;

			memset(&left, 0, sizeof(left));
			assert_int_equal(call_journal_open(&journal, *state, fd, left_h, &left), 0);
			operate(journal, done + 1);
			call_journal_close(journal);
			atomic_store(&progress->done, done + 1);
		}
	}
	assert_true(atomic_load(&progress->done) > 10 * N_CALLS);
	munmap(progress, sizeof(*progress));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_open_is_handed_over_and_what_ended_is_not, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_torn_end_costs_only_itself, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_record_that_is_too_large_is_dropped_and_counted, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(many_dead_calls_make_a_new_file_and_the_living_stay, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(of_what_comes_together_the_last_of_each_call_is_written, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_disk_that_stands_still_holds_up_no_call, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(what_a_killed_switch_had_not_written_is_known, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(who_keeps_the_memory_can_save_it, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(damaged_memory_costs_what_is_damaged_and_no_more, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(killed_at_any_moment_it_has_forgotten_nothing, make_dir, drop_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
