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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ring.h"

#define BYTES 65536u

static struct ring *attach(int fd, bool expect_damage)
{
	struct ring *ring = NULL;
	bool is_damaged = false;

	assert_int_equal(ring_attach(&ring, &is_damaged, fd, BYTES), 0);
	assert_int_equal(is_damaged, expect_damage);

	return ring;
}

static void expect(const struct ring *ring, const char *text)
{
	size_t len;
	const uint8_t *data = ring_peek(ring, &len);

	assert_int_equal(len, strlen(text));
	assert_memory_equal(data, text, len);
}

static void it_takes_what_fits_and_gives_it_back_in_order(void **state)
{
	static uint8_t block[BYTES];
	struct ring *ring = NULL;

	(void)state;
	assert_int_equal(ring_alloc(&ring, 1000), -EINVAL);
	assert_int_equal(ring_alloc(&ring, 3 * BYTES), -EINVAL);
	assert_int_equal(ring_alloc(&ring, BYTES), 0);
	expect(ring, "");

	assert_int_equal(ring_put(ring, "one ", 4, "two", 3), 0);
	assert_int_equal(ring_put(ring, " three", 6, NULL, 0), 0);
	expect(ring, "one two three");
	ring_drop(ring, 4);
	expect(ring, "two three");

	/* To the last byte, and not one more; nothing is put in part. */
	assert_int_equal(ring_put(ring, block, BYTES - 9 + 1, NULL, 0), -ENOBUFS);
	assert_int_equal(ring_put(ring, block, 1, block, BYTES - 9), -ENOBUFS);
	assert_int_equal(ring_put(ring, block, SIZE_MAX, block, 10), -ENOBUFS);
	expect(ring, "two three");
	assert_int_equal(ring_put(ring, block, 1, block, BYTES - 10), 0);
	assert_int_equal(ring_used(ring), BYTES);
	assert_int_equal(ring_put(ring, "x", 1, NULL, 0), -ENOBUFS);
	ring_drop(ring, BYTES);
	expect(ring, "");
	ring_free(ring);
	ring_free(NULL);
}

/* Pieces of all lengths over the end of the memory, many times; the positions pass 2^32. */
static void what_lies_over_the_end_of_the_memory_is_one_piece(void **state)
{
	static uint8_t block[BYTES];
	unsigned seed = 4711;
	uint64_t put = 0, taken = 0;
	struct ring *ring = NULL;

	(void)state;
	assert_int_equal(ring_alloc(&ring, BYTES), 0);
	block[0] = 0;
	assert_int_equal(ring_put(ring, block, 1, NULL, 0), 0); /* never empty: it never starts again */
	put = 1;
	while (put < (5ull << 30)) {
		size_t len = 1 + (size_t)rand_r(&seed) % (BYTES - 2), there;
		const uint8_t *data;

		/* The middle is not looked at: 5 GiB are. */
		block[0] = (uint8_t)put;
		block[len - 1] = (uint8_t)(put + len - 1);
		if (ring_put(ring, block, len / 2, block + len / 2, len - len / 2)) {
			data = ring_peek(ring, &there);
			assert_int_equal(there, put - taken);
			assert_int_equal(data[0], (uint8_t)taken);
			assert_int_equal(data[there - 1], (uint8_t)(put - 1));
			/* The last byte stays, which is the first of what follows. */
			ring_drop(ring, there - 1);
			taken += there - 1;
			continue;
		}
		put += len;
	}
	ring_free(ring);
}

struct race {
	struct ring *ring;
	uint32_t n;
};

static void *produce(void *arg)
{
	struct race *race = arg;
	unsigned seed = 815;

	for (uint32_t i = 0; i < race->n; i++) {
		uint8_t text[64];
		uint32_t head[2] = { i, (uint32_t)rand_r(&seed) % sizeof(text) };

		memset(text, (int)(i % 251), sizeof(text));
		while (ring_put(race->ring, head, sizeof(head), text, head[1]))
			(void)usleep(10);
	}

	return NULL;
}

static void two_threads_lose_nothing(void **state)
{
	struct race race = { .n = 300000 };
	uint32_t next = 0;
	pthread_t thread;

	(void)state;
	assert_int_equal(ring_alloc(&race.ring, BYTES), 0);
	assert_int_equal(pthread_create(&thread, NULL, produce, &race), 0);
	while (next < race.n) {
		size_t len, at = 0;
		const uint8_t *data = ring_peek(race.ring, &len);

		while (at < len) {
			uint32_t head[2];

			memcpy(head, data + at, sizeof(head));
			assert_int_equal(head[0], next);
			for (uint32_t i = 0; i < head[1]; i++)
				assert_int_equal(data[at + sizeof(head) + i], next % 251);
			at += sizeof(head) + head[1];
			next++;
		}
		ring_drop(race.ring, at);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(ring_used(race.ring), 0);
	ring_free(race.ring);
}

static void what_a_killed_process_put_is_there_for_the_next(void **state)
{
	int fd = ring_make_memory("test", BYTES);
	struct ring *ring;
	int status;
	pid_t pid;

	(void)state;
	assert_true(fd >= 0);
	pid = fork();
	if (!pid) {
		ring = attach(fd, false);
		(void)ring_put(ring, "taken, ", 7, NULL, 0);
		(void)ring_put(ring, "left", 4, " by the dead", 12);
		ring_drop(ring, 7);
		(void)kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));

	ring = attach(fd, false);
	expect(ring, "left by the dead");
	ring_free(ring);
	ring = attach(fd, false); /* again: nobody dropped it */
	expect(ring, "left by the dead");
	ring_drop(ring, 16);
	ring_free(ring);
	ring = attach(fd, false);
	expect(ring, "");
	ring_free(ring);
	(void)close(fd);
}

static void memory_that_is_no_ring_is_refused_or_left_aside(void **state)
{
	int fd = ring_make_memory("test", BYTES), other;
	struct ring *ring = NULL;
	unsigned seed = 42;
	bool is_damaged;

	(void)state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ftruncate(fd, 0), -1); /* sealed */
	assert_int_equal(ring_attach(&ring, &is_damaged, fd, 2 * BYTES), -EINVAL);
	assert_int_equal(ring_attach(&ring, &is_damaged, -1, BYTES), -EINVAL);
	other = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_int_equal(ring_attach(&ring, &is_damaged, other, BYTES), -EINVAL);
	(void)close(other);
	other = memfd_create("unsealed", MFD_CLOEXEC);
	assert_int_equal(ftruncate(other, 2 * BYTES), 0);
	assert_int_equal(ring_attach(&ring, &is_damaged, other, BYTES), -EINVAL);
	(void)close(other);
	assert_int_equal(ring_make_memory("test", BYTES + 1), -EINVAL);

	/* Any head: a whole ring, or an empty one. */
	for (int round = 0; round < 2000; round++) {
		uint32_t word = (uint32_t)rand_r(&seed) ^ (uint32_t)rand_r(&seed) << 16;
		size_t len;

		assert_int_equal(pwrite(fd, &word, sizeof(word), (off_t)(4 * ((size_t)rand_r(&seed) % 32))),
				 sizeof(word));
		assert_int_equal(ring_attach(&ring, &is_damaged, fd, BYTES), 0);
		(void)ring_peek(ring, &len);
		assert_true(len <= BYTES);
		if (is_damaged)
			assert_int_equal(len, 0);
		ring_drop(ring, len);
		assert_int_equal(ring_put(ring, "works", 5, NULL, 0), 0);
		expect(ring, "works");
		ring_free(ring);
	}
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_takes_what_fits_and_gives_it_back_in_order),
		cmocka_unit_test(what_lies_over_the_end_of_the_memory_is_one_piece),
		cmocka_unit_test(two_threads_lose_nothing),
		cmocka_unit_test(what_a_killed_process_put_is_there_for_the_next),
		cmocka_unit_test(memory_that_is_no_ring_is_refused_or_left_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
