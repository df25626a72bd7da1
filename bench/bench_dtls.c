/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Measures what DTLS handshakes cost the relay thread in which they are done: CPU of all steps of our
 * side, and of the longest one, for which packets have to wait. The other side has a P-256 certificate of
 * its own, as browsers have. Prints one JSON object.
 *
 *   bench_dtls [HANDSHAKES, default 500]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "media/dtls.h"

#define QUEUE    16
#define MAX_SPAN 4096

struct wire { /* datagrams on their way */
	struct {
		size_t len;
		uint8_t data[2048];
	} v[QUEUE];
	unsigned n;
};

struct cost {
	double all_ms, longest_ms;
};

static double cpu_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void send_h(void *arg, const uint8_t *data, size_t len)
{
	struct wire *wire = arg;

	if (wire->n == QUEUE || len > sizeof(wire->v[0].data))
		return;
	memcpy(wire->v[wire->n].data, data, len);
	wire->v[wire->n++].len = len;
}

static void take(struct assoc *assoc, struct wire *from, struct wire *to, struct cost *cost)
{
	for (unsigned i = 0; i < from->n; i++) {
		double begin = cpu_ms(), ms;

		(void)assoc_receive(assoc, from->v[i].data, from->v[i].len, send_h, to);
		ms = cpu_ms() - begin;
		cost->all_ms += ms;
		if (ms > cost->longest_ms)
			cost->longest_ms = ms;
	}
	from->n = 0;
}

/* 0: both have their keys. */
static int shake(struct cost *ret, const struct assoc_identity *ours,
		 const struct assoc_identity *theirs, bool we_begin)
{
	static struct wire to_us, to_them;
	uint8_t our_print[32], their_print[32];
	struct assoc_opts opts = { .identity = ours, .active = we_begin, .hash = MEDIA_SHA_256,
				   .fingerprint = their_print };
	struct assoc *us = NULL, *them = NULL;
	struct cost cost = { 0 }, other = { 0 };
	double begin;
	int err;

	assoc_fingerprint(our_print, ours);
	assoc_fingerprint(their_print, theirs);
	err = assoc_alloc(&us, &opts);
	opts = (struct assoc_opts){ .identity = theirs, .active = !we_begin, .hash = MEDIA_SHA_256,
				    .fingerprint = our_print };
	if (!err)
		err = assoc_alloc(&them, &opts);
	to_us.n = to_them.n = 0;
	if (!err) {
		begin = cpu_ms();
		(void)assoc_start(us, send_h, &to_them);
		cost.all_ms = cost.longest_ms = cpu_ms() - begin;
		(void)assoc_start(them, send_h, &to_us);
	}
	for (unsigned i = 0; !err && i < 10 && (to_us.n || to_them.n); i++) {
		take(us, &to_us, &to_them, &cost);
		take(them, &to_them, &to_us, &other);
	}
	if (!err && (assoc_state(us) != ASSOC_DONE || assoc_state(them) != ASSOC_DONE))
		err = -1;
	assoc_free(us);
	assoc_free(them);
	*ret = cost;
	return err;
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int measure(const char *name, const struct assoc_identity *ours,
		   const struct assoc_identity *theirs, bool we_begin, unsigned n)
{
	static double all[MAX_SPAN], longest[MAX_SPAN];
	struct cost cost;

	for (unsigned i = 0; i < n; i++) {
		if (shake(&cost, ours, theirs, we_begin)) {
			(void)fprintf(stderr, "a handshake failed\n");
			return -1;
		}
		all[i] = cost.all_ms;
		longest[i] = cost.longest_ms;
	}
	qsort(all, n, sizeof(all[0]), by_value);
	qsort(longest, n, sizeof(longest[0]), by_value);
	(void)printf("\"%s\": {\"all_ms\": %.3f, \"longest_ms\": %.3f, \"longest_p99_ms\": %.3f}", name,
		     all[n / 2], longest[n / 2], longest[n * 99 / 100]);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 500;
	struct assoc_identity *ours = NULL, *theirs = NULL;
	int err;

	if (!n || n > MAX_SPAN)
		n = MAX_SPAN;
	err = assoc_identity_alloc(&ours);
	if (!err)
		err = assoc_identity_alloc(&theirs);
	if (!err) {
		(void)printf("{");
		err = measure("server", ours, theirs, false, n);
		(void)printf(", ");
		if (!err)
			err = measure("client", ours, theirs, true, n);
		(void)printf("}\n");
	}
	assoc_identity_free(ours);
	assoc_identity_free(theirs);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}
