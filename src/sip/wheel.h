/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_WHEEL_H
#define AOIDE_SIP_WHEEL_H

#include <stdint.h>
#include "base/re.h"

/*
 * A timing wheel: many coarse deadlines for 40 bytes each. The registrar has two per contact, and a
 * hundred thousand contacts; a libre timer each would cost twice that and a heap operation per
 * refresh. Granularity WHEEL_TICK_MS, for who runs it each tick; never early.
 */
#define WHEEL_TICK_MS 250
#define WHEEL_SLOTS   8192 /* 34 minutes a turn; later deadlines wait another turn */

struct wheel_item {
	struct le le;
	uint64_t due_ms; /* clk_mono_ms() */
};

typedef void(wheel_h)(void *data, void *arg);

struct wheel {
	struct list slots[WHEEL_SLOTS];
	uint64_t tick; /* the next to be run */
	wheel_h *h;
	void *arg;
};

void wheel_init(struct wheel *wheel, uint64_t now_ms, wheel_h *h, void *arg);
/* Sets or moves a deadline. */
void wheel_set(struct wheel *wheel, struct wheel_item *item, uint64_t due_ms, void *data);
void wheel_clear(struct wheel_item *item);
/* How long nothing will be due, in whole ticks, at most so many and at least one. */
unsigned wheel_idle_ticks(const struct wheel *wheel, unsigned max);
/* Calls the handler for everything due. The handler may set, clear and free any item. */
void wheel_run(struct wheel *wheel, uint64_t now_ms);

#endif
