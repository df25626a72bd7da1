/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "media/jitter.h"

/*
 * A driven clock: packets are put at the times at which they arrive, and every 20 ms a player takes
 * what it needs. Times are in us.
 */
#define TICK_US   20000
#define CLOCK     8000
#define MAX_AHEAD 512

struct flight { /* a packet on the way */
	uint64_t at_us;
	uint16_t seq;
	uint32_t ts, ssrc, span;
	bool pause;
};

struct sim {
	struct jitter *jitter;
	uint64_t now_us, tick_us;
	struct flight way[MAX_AHEAD];
	unsigned n_way;

	/* the sender */
	uint16_t seq;
	uint32_t ts, ssrc, span;
	double sent_us, step_us; /* of its own clock */

	/* the player */
	int64_t held; /* units */
	bool adapts;
	unsigned played, lost, dry, paused, ticks;
	uint64_t lost_units, bridged_units, dry_units, played_units;
	bool any;
	uint16_t last_seq;
	uint32_t last_ssrc;
	uint64_t restarts;
	uint32_t rnd;
};

static uint32_t rnd(struct sim *sim, uint32_t below)
{
	sim->rnd = sim->rnd * 1664525u + 1013904223u;
	return below ? (sim->rnd >> 8) % below : 0;
}

static void sim_open(struct sim *sim, uint32_t span, uint32_t seed)
{
	*sim = (struct sim){ .now_us = 1000000, .tick_us = 1007000, .seq = (uint16_t)(65000 + seed),
			     .ts = 0xfffff000u + seed, .ssrc = 77, .span = span, .sent_us = 1000000,
			     .step_us = span * 1e6 / CLOCK, .rnd = seed };
	assert_int_equal(jitter_alloc(&sim->jitter, CLOCK), 0);
}

static void sim_close(struct sim *sim)
{
	jitter_free(sim->jitter);
}

/* The sender makes its next packet, which arrives after delay_us; negative: it is lost. */
static void sim_send(struct sim *sim, int64_t delay_us)
{
	if (delay_us >= 0) {
		assert_true(sim->n_way < MAX_AHEAD);
		sim->way[sim->n_way++] = (struct flight){ .at_us = (uint64_t)sim->sent_us + (uint64_t)delay_us,
							  .seq = sim->seq, .ts = sim->ts,
							  .ssrc = sim->ssrc, .span = sim->span };
	}
	sim->seq++;
	sim->ts += sim->span;
	sim->sent_us += sim->step_us;
}

static void put(struct sim *sim, const struct flight *f)
{
	uint8_t payload[512];
	struct hdr_rtp hdr = { .pt = 8, .seq = f->seq, .ts = f->ts, .ssrc = f->ssrc,
			       .payload_len = f->span };

	memset(payload, 0, sizeof(payload));
	memcpy(payload, &f->seq, 2);
	memcpy(payload + 2, &f->ssrc, 4);
	jitter_put(sim->jitter, &hdr, payload, f->span, f->pause, f->at_us);
}

static void arrive(struct sim *sim, uint64_t until_us)
{
	for (;;) {
		unsigned first = MAX_AHEAD;

		for (unsigned i = 0; i < sim->n_way; i++)
			if (sim->way[i].at_us <= until_us &&
			    (first == MAX_AHEAD || sim->way[i].at_us < sim->way[first].at_us))
				first = i;
		if (first == MAX_AHEAD)
			return;
		put(sim, &sim->way[first]);
		sim->way[first] = sim->way[--sim->n_way];
	}
}

static void played(struct sim *sim, const struct jitter_next *next)
{
	uint16_t seq;
	uint32_t ssrc;

	memcpy(&seq, next->data, 2);
	memcpy(&ssrc, next->data + 2, 4);
	if (sim->any && ssrc == sim->last_ssrc && jitter_stats(sim->jitter)->restarts == sim->restarts)
		assert_true((int16_t)(seq - sim->last_seq) > 0); /* in order, and no one twice */
	sim->any = true;
	sim->restarts = jitter_stats(sim->jitter)->restarts;
	sim->last_seq = seq;
	sim->last_ssrc = ssrc;
	sim->held += next->span;
	sim->played++;
	sim->played_units += next->span;
	sim->bridged_units += next->bridged;
}

static void fill(struct sim *sim)
{
	struct jitter_next next;
	int rounds = 0;

	while (sim->held < 160) {
		assert_true(++rounds < 50);
		jitter_next(sim->jitter, &next, 160, sim->tick_us);
		if (next.verdict == JITTER_PAUSE)
			break;
		if (next.verdict == JITTER_PLAY) {
			played(sim, &next);
			continue;
		}
		assert_true(next.verdict == JITTER_DRY || (next.span > 0 && next.len > 0));
		sim->held += next.verdict == JITTER_DRY ? 160 : next.span;
		sim->dry += next.verdict == JITTER_DRY;
		sim->dry_units += next.verdict == JITTER_DRY ? 160 : 0;
		sim->lost += next.verdict == JITTER_LOST;
		sim->lost_units += next.verdict == JITTER_LOST ? next.span : 0;
	}
}

static void tick(struct sim *sim)
{
	int32_t over;

	sim->ticks++;
	fill(sim);
	over = jitter_over_ms(sim->jitter, (uint32_t)(sim->held / 160 * 20), sim->tick_us);
	if (sim->adapts && sim->held >= 160 && sim->ticks % 5 == 0) {
		if (over > 25)
			sim->held -= 40; /* 5 ms out of the sound */
		else if (over < -5)
			sim->held += 40;
		fill(sim);
	}
	sim->paused += sim->held < 160;
	sim->held = sim->held < 160 ? 0 : sim->held - 160;
}

/* Time passes; the sender sends what is due, each packet with its delay by `delay`. */
typedef int64_t(delay_h)(struct sim *sim);
static void sim_run(struct sim *sim, uint32_t ms, delay_h *delay)
{
	uint64_t end = sim->tick_us + ms * 1000ull;

	while (sim->tick_us < end) {
		while (sim->sent_us <= (double)sim->tick_us)
			sim_send(sim, delay ? delay(sim) : 5000);
		arrive(sim, sim->tick_us);
		tick(sim);
		sim->tick_us += TICK_US;
	}
}

static int64_t steady(struct sim *sim)
{
	return 5000;
}

static int64_t wobbly(struct sim *sim) /* up to 80 ms */
{
	return 5000 + rnd(sim, 80000);
}

static int64_t lossy(struct sim *sim)
{
	return rnd(sim, 10) ? 5000 + (int64_t)rnd(sim, 5000) : -1;
}

static int64_t gone(struct sim *sim)
{
	return -1;
}

static void a_steady_stream_plays_whole_with_little_delay(void **state)
{
	static const uint32_t spans[] = { 80, 160, 240, 320, 400, 480 }; /* 10 to 60 ms */

	for (int i = 0; i < 6; i++) {
		struct sim sim;

		sim_open(&sim, spans[i], 0);
		sim.adapts = true;
		sim_run(&sim, 20000, steady);
		assert_int_equal(sim.lost, 0);
		assert_int_equal(sim.dry, 0);
		assert_true(sim.paused <= 5);
		assert_true(sim.played >= 19800 * 8 / spans[i]);
		assert_in_range(jitter_target_ms(sim.jitter), JITTER_MIN_MS, 40);
		assert_in_range(jitter_delay_ms(sim.jitter, (uint32_t)sim.held / 8, sim.tick_us), 0, 80);
		sim_close(&sim);
	}
}

/* Numbers and timestamps wrap; that is not a jump. */
static void numbers_wrap(void **state)
{
	struct sim sim;

	sim_open(&sim, 160, 400);
	sim_run(&sim, 60000, steady);
	assert_int_equal(sim.lost, 0);
	assert_int_equal(sim.dry, 0);
	assert_int_equal(jitter_stats(sim.jitter)->restarts, 0);
	assert_int_equal(jitter_stats(sim.jitter)->late, 0);
	sim_close(&sim);
}

/* A copy of what was played tells nothing of the network's delay. */
static void a_double_of_what_was_played_is_not_late(void **state)
{
	struct sim sim;

	sim_open(&sim, 160, 3);
	sim_run(&sim, 2000, steady);
	for (int i = 0; i < 20; i++)
		put(&sim, &(struct flight){ .at_us = sim.tick_us, .seq = sim.last_seq, .ssrc = sim.ssrc, .span = 160,
					    .ts = sim.ts - 160u * (uint16_t)(sim.seq - sim.last_seq) });
	assert_int_equal(jitter_stats(sim.jitter)->twice, 20);
	assert_int_equal(jitter_stats(sim.jitter)->late, 0);
	sim_close(&sim);
}

static void the_delay_follows_the_spread_of_arrivals(void **state)
{
	struct sim sim;
	unsigned before, lost;

	sim_open(&sim, 160, 3);
	sim.adapts = true;
	sim_run(&sim, 5000, steady);
	assert_true(jitter_target_ms(sim.jitter) <= 40);

	sim_run(&sim, 5000, wobbly);
	assert_in_range(jitter_target_ms(sim.jitter), 70, 110);
	before = sim.dry;
	lost = sim.lost;
	sim_run(&sim, 10000, wobbly); /* it has learned: at most a few come too late */
	assert_true(sim.dry - before + (sim.lost - lost) <= 15);

	sim_run(&sim, 30000, steady);
	assert_true(jitter_target_ms(sim.jitter) <= 40);
	assert_true(jitter_delay_ms(sim.jitter, 0, sim.tick_us) <= 80);
	sim_close(&sim);
}

static void what_is_lost_is_told_to_the_sample(void **state)
{
	struct sim sim;
	uint64_t all;

	sim_open(&sim, 160, 9);
	sim_run(&sim, 20000, lossy);
	all = sim.played_units + sim.lost_units + sim.bridged_units;
	assert_true(sim.lost_units + sim.bridged_units > 20000 * 8 / 20); /* about a tenth */
	assert_true(sim.lost_units + sim.bridged_units < 20000 * 8 / 6);
	assert_in_range(all, 19700 * 8, 20100 * 8);
	sim_close(&sim);
}

/* A packet that comes after the one behind it, in time to be played, is. Twice is once. */
static void disorder_and_doubles_do_no_harm(void **state)
{
	struct sim sim;

	sim_open(&sim, 160, 5);
	for (int i = 0; i < 500; i++) {
		struct flight twice;

		sim_send(&sim, i % 7 == 3 ? 28000 : 5000);
		twice = sim.way[sim.n_way - 1];
		twice.at_us += 100;
		if (i % 3 == 0)
			sim.way[sim.n_way++] = twice;
		arrive(&sim, sim.tick_us);
		while (sim.tick_us < (uint64_t)sim.sent_us) {
			arrive(&sim, sim.tick_us);
			tick(&sim);
			sim.tick_us += TICK_US;
		}
	}
	assert_int_equal(sim.lost, 0);
	assert_true(sim.dry <= 2);
	assert_true(sim.played >= 490);
	assert_in_range(jitter_stats(sim.jitter)->twice, 150, 170);
	sim_close(&sim);
}

/* The rest of a silence is not lost: numbers tell that nothing was sent. */
static void silence_of_the_sender_is_no_loss(void **state)
{
	struct sim sim;

	sim_open(&sim, 160, 11);
	for (int i = 0; i < 20; i++) {
		sim_run(&sim, 1000, steady);
		sim.ts += 8 * 700; /* it saves 700 ms */
		sim.sent_us += 700000;
		sim_run(&sim, 700, steady);
	}
	assert_int_equal(sim.lost, 0);
	assert_int_equal(sim.bridged_units, 0);
	assert_true(sim.paused > 20 * 20);
	assert_int_equal(jitter_stats(sim.jitter)->late, 0);
	sim_close(&sim);
}

static void another_source_or_time_begins_at_once(void **state)
{
	struct sim sim;
	unsigned before;

	sim_open(&sim, 160, 13);
	sim_run(&sim, 2000, steady);
	sim.ssrc = 78; /* another SSRC, with numbers of its own */
	sim.seq = 9;
	sim.ts = 12345;
	before = sim.played;
	sim_run(&sim, 1000, steady);
	assert_true(sim.played - before >= 45);

	sim.ts += 8 * 3600 * 1000u; /* an hour later */
	before = sim.played;
	sim_run(&sim, 1000, steady);
	assert_true(sim.played - before >= 44);

	sim.ts -= 8 * 7000 * 1000u; /* back, and other numbers */
	sim.seq = (uint16_t)(sim.seq + 30000);
	before = sim.played;
	sim_run(&sim, 1000, steady);
	assert_true(sim.played - before >= 43);
	assert_true(jitter_stats(sim.jitter)->restarts >= 3);

	sim.sent_us += 10000000; /* on hold for 10 s, its clock stands still meanwhile */
	sim_run(&sim, 10000, steady);
	before = sim.played;
	sim_run(&sim, 1000, steady);
	assert_true(sim.played - before >= 46);
	assert_true(jitter_delay_ms(sim.jitter, 0, sim.tick_us) <= 80);

	sim.sent_us += 400000; /* the same for a moment only */
	sim_run(&sim, 400, steady);
	sim_run(&sim, 3000, steady);
	assert_true(jitter_delay_ms(sim.jitter, 0, sim.tick_us) <= 80);
	sim_close(&sim);
}

/* A clock that runs wrong by 500 of a million, fast or slow, for ten minutes. */
static void clocks_that_drift_are_followed(void **state)
{
	for (int slow = 0; slow < 2; slow++) {
		struct sim sim;

		sim_open(&sim, 160, 17);
		sim.adapts = true;
		sim.step_us *= slow ? 1.0005 : 0.9995;
		sim_run(&sim, 600000, steady);
		assert_int_equal(sim.lost, 0);
		assert_true(sim.dry <= 3);
		assert_true(jitter_stats(sim.jitter)->skipped == 0);
		assert_in_range(jitter_delay_ms(sim.jitter, 0, sim.tick_us), 0, 90);
		sim_close(&sim);
	}
}

/* The line is dead for 600 ms, then all comes at once: played on with little delay. */
static void a_stall_ends_without_a_long_delay(void **state)
{
	struct sim sim;
	unsigned before;

	sim_open(&sim, 160, 19);
	sim.adapts = true;
	sim_run(&sim, 2000, steady);
	for (int i = 0; i < 30; i++)
		sim_send(&sim, (29 - i) * 20000 + 5000);
	sim_run(&sim, 600, steady);
	before = sim.played;
	sim_run(&sim, 1000, steady);
	assert_true(sim.played - before >= 45);
	sim_run(&sim, 10000, steady);
	assert_true(jitter_delay_ms(sim.jitter, 0, sim.tick_us) <= 250);
	sim_run(&sim, 30000, steady);
	assert_true(jitter_delay_ms(sim.jitter, 0, sim.tick_us) <= 90);
	sim_close(&sim);
}

/* A whole second is lost: a little is bridged over, the rest is silence; then it goes on. */
static void a_long_loss_is_silence(void **state)
{
	struct sim sim;
	unsigned before;

	sim_open(&sim, 160, 23);
	sim_run(&sim, 2000, steady);
	sim_run(&sim, 1000, gone);
	assert_true(sim.paused >= 38);
	before = sim.played;
	sim_run(&sim, 1000, steady);
	assert_true(sim.played - before >= 45);
	sim_close(&sim);
}

static int64_t chaos(struct sim *sim)
{
	uint32_t kind = rnd(sim, 100);

	if (kind < 10)
		return -1;
	if (kind < 20)
		return 5000 + rnd(sim, 300000);
	if (kind == 20)
		sim->seq = (uint16_t)rnd(sim, 65536);
	if (kind == 21)
		sim->ts += rnd(sim, 0xffffff);
	if (kind == 22)
		sim->ssrc = rnd(sim, 3);
	if (kind == 23)
		sim->span = 80 * (1 + rnd(sim, 6));
	if (kind == 24) {
		sim->sent_us += rnd(sim, 1000000);
		sim->seq = (uint16_t)(sim->seq - rnd(sim, 100));
	}
	sim->step_us = sim->span * 1e6 / CLOCK;
	return 5000 + rnd(sim, 60000);
}

/* Whatever comes, by 300 seeds: order holds, answers are bounded, and when peace returns all is well. */
static void nothing_that_comes_breaks_it(void **state)
{
	for (uint32_t seed = 1; seed <= 300; seed++) {
		struct sim sim;
		unsigned before;

		sim_open(&sim, 160, seed);
		sim.adapts = true;
		sim_run(&sim, 5000, chaos);
		assert_in_range(jitter_target_ms(sim.jitter), JITTER_MIN_MS, JITTER_MAX_MS);
		sim.ssrc = 1000 + seed;
		sim.span = 160;
		sim.step_us = TICK_US;
		sim.any = false;
		sim_run(&sim, 1500, steady);
		before = sim.played;
		sim_run(&sim, 2000, steady);
		assert_in_range(sim.played - before, 98, 115);
		sim_close(&sim);
	}
}

/* Sixty-four packets of the longest payload, put at once; room is bounded. */
static void a_flood_is_bounded(void **state)
{
	struct sim sim;

	sim_open(&sim, 480, 29);
	for (int i = 0; i < 5000; i++) {
		struct flight f = { .at_us = 1000000 + (uint64_t)i, .seq = (uint16_t)i,
				    .ts = (uint32_t)i * 480, .ssrc = 1, .span = 480 };

		put(&sim, &f);
	}
	assert_true(jitter_stats(sim.jitter)->kept + jitter_stats(sim.jitter)->late >= 4900);
	sim_run(&sim, 3000, steady);
	sim_close(&sim);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_steady_stream_plays_whole_with_little_delay),
		cmocka_unit_test(numbers_wrap),
		cmocka_unit_test(a_double_of_what_was_played_is_not_late),
		cmocka_unit_test(the_delay_follows_the_spread_of_arrivals),
		cmocka_unit_test(what_is_lost_is_told_to_the_sample),
		cmocka_unit_test(disorder_and_doubles_do_no_harm),
		cmocka_unit_test(silence_of_the_sender_is_no_loss),
		cmocka_unit_test(another_source_or_time_begins_at_once),
		cmocka_unit_test(clocks_that_drift_are_followed),
		cmocka_unit_test(a_stall_ends_without_a_long_delay),
		cmocka_unit_test(a_long_loss_is_silence),
		cmocka_unit_test(nothing_that_comes_breaks_it),
		cmocka_unit_test(a_flood_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
