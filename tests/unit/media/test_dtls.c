/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/clock.h"
#include "media/dtls.h"

/* Two associations with a wire of memory between them. */

#define WIRE 32

struct wire {
	uint8_t data[WIRE][1600];
	size_t len[WIRE];
	unsigned n;
	unsigned lose; /* datagrams that get lost first */
};

struct pair {
	struct assoc_identity *identity[2];
	struct assoc *assoc[2];
	struct wire to[2];
	double cpu_us[2], longest_us[2];
};

static double cpu_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void put(void *arg, const uint8_t *data, size_t len)
{
	struct wire *wire = arg;

	assert_true(len <= 1200);
	if (wire->lose) {
		wire->lose--;
		return;
	}
	assert_true(wire->n < WIRE);
	memcpy(wire->data[wire->n], data, len);
	wire->len[wire->n++] = len;
}

static void spend(struct pair *pair, int side, double from_us)
{
	double us = cpu_us() - from_us;

	pair->cpu_us[side] += us;
	if (us > pair->longest_us[side])
		pair->longest_us[side] = us;
}

/* Side 0 is the client. */
static void open_pair(struct pair *pair, enum media_hash hash, const uint8_t *wrong)
{
	*pair = (struct pair){ 0 };
	for (int i = 0; i < 2; i++)
		assert_int_equal(assoc_identity_alloc(&pair->identity[i]), 0);
	for (int i = 0; i < 2; i++) {
		uint8_t print[64] = { 0 };

		assoc_fingerprint(print, pair->identity[!i]);
		assert_int_equal(assoc_alloc(&pair->assoc[i],
					     &(struct assoc_opts){ .identity = pair->identity[i],
								   .active = i == 0,
								   .hash = hash,
								   .fingerprint = i == 1 && wrong ? wrong
												  : print }),
				 0);
	}
}

static void carry(struct pair *pair)
{
	for (int round = 0; round < 20; round++) {
		for (int side = 0; side < 2; side++) {
			struct wire got = pair->to[side];

			pair->to[side].n = 0;
			for (unsigned i = 0; i < got.n; i++) {
				double from_us = cpu_us();

				(void)assoc_receive(pair->assoc[side], got.data[i], got.len[i], put,
						    &pair->to[!side]);
				spend(pair, side, from_us);
			}
		}
	}
}

static void shake(struct pair *pair)
{
	double from_us = cpu_us();

	(void)assoc_start(pair->assoc[0], put, &pair->to[1]);
	spend(pair, 0, from_us);
	carry(pair);
}

static void close_pair(struct pair *pair)
{
	for (int i = 0; i < 2; i++) {
		assoc_free(pair->assoc[i]);
		assoc_identity_free(pair->identity[i]);
	}
}

static void assert_same_keys(const struct pair *pair)
{
	uint8_t tx[2][ASSOC_KEY_BYTES], rx[2][ASSOC_KEY_BYTES];

	assert_int_equal(assoc_state(pair->assoc[0]), ASSOC_DONE);
	assert_int_equal(assoc_state(pair->assoc[1]), ASSOC_DONE);
	for (int i = 0; i < 2; i++)
		assert_int_equal(assoc_keys(pair->assoc[i], tx[i], rx[i]), MEDIA_AEAD_AES_256_GCM);
	assert_memory_equal(tx[0], rx[1], media_suite_key_len(MEDIA_AEAD_AES_256_GCM));
	assert_memory_equal(rx[0], tx[1], media_suite_key_len(MEDIA_AEAD_AES_256_GCM));
	assert_memory_not_equal(tx[0], rx[0], 32);
}

static void both_get_the_same_keys(void **state)
{
	struct pair pair;

	open_pair(&pair, MEDIA_SHA_256, NULL);
	shake(&pair);
	assert_same_keys(&pair);
	close_pair(&pair);
}

static void who_shows_another_certificate_gets_no_keys(void **state)
{
	uint8_t wrong[64] = { 1, 2, 3 };
	struct pair pair;

	open_pair(&pair, MEDIA_SHA_256, wrong);
	shake(&pair);
	assert_int_equal(assoc_state(pair.assoc[1]), ASSOC_FAILED);
	assert_int_equal(assoc_error(pair.assoc[1]), -EACCES);
	close_pair(&pair);

	open_pair(&pair, MEDIA_SHA_512, wrong); /* every hash is compared in full */
	shake(&pair);
	assert_int_equal(assoc_error(pair.assoc[1]), -EACCES);
	close_pair(&pair);
}

static void what_gets_lost_is_repeated(void **state)
{
	for (unsigned lost = 1; lost <= 4; lost++) {
		struct pair pair;

		open_pair(&pair, MEDIA_SHA_256, NULL);
		pair.to[lost % 2].lose = lost;
		shake(&pair);
		for (int i = 0; i < 40 && (assoc_state(pair.assoc[0]) != ASSOC_DONE ||
					   assoc_state(pair.assoc[1]) != ASSOC_DONE); i++) {
			usleep(250000);
			for (int side = 0; side < 2; side++)
				(void)assoc_tick(pair.assoc[side], clk_mono_us(), put, &pair.to[!side]);
			carry(&pair);
		}
		assert_same_keys(&pair);
		close_pair(&pair);
	}
}

static void noise_does_not_disturb(void **state)
{
	struct pair pair;
	uint8_t noise[200];

	open_pair(&pair, MEDIA_SHA_256, NULL);
	for (unsigned i = 0; i < 2000; i++) {
		for (size_t k = 0; k < sizeof(noise); k++)
			noise[k] = (uint8_t)(i * 31 + k * 7 + (i * k) % 251);
		noise[0] = (uint8_t)(20 + i % 44);
		noise[1] = 0xfe;
		noise[2] = 0xfd;
		(void)assoc_receive(pair.assoc[1], noise, i % sizeof(noise), put, &pair.to[0]);
		pair.to[0].n = 0;
	}
	if (assoc_state(pair.assoc[1]) != ASSOC_FAILED) {
		shake(&pair);
		assert_same_keys(&pair);
	}
	close_pair(&pair);
}

/* The reason why handshakes are done in the relay thread; see media/dtls.h. */
static void a_handshake_keeps_no_packet_waiting(void **state)
{
	double most = 0, sum = 0;

	for (int i = 0; i < 50; i++) {
		struct pair pair;

		open_pair(&pair, MEDIA_SHA_256, NULL);
		shake(&pair);
		sum += pair.cpu_us[1];
		if (pair.longest_us[1] > most && i) /* the first one loads tables */
			most = pair.longest_us[1];
		close_pair(&pair);
	}
	print_message("a handshake: %.0f us of CPU as server, longest portion %.0f us\n", sum / 50, most);
	assert_true(sum / 50 < 10000); /* also under a sanitizer, on a busy machine */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_get_the_same_keys),
		cmocka_unit_test(who_shows_another_certificate_gets_no_keys),
		cmocka_unit_test(what_gets_lost_is_repeated),
		cmocka_unit_test(noise_does_not_disturb),
		cmocka_unit_test(a_handshake_keeps_no_packet_waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
