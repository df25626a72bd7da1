/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/wheel.h"

#include <string.h>

void wheel_init(struct wheel *wheel, uint64_t now_ms, wheel_h *h, void *arg)
{
	memset(wheel, 0, sizeof(*wheel));
	wheel->tick = now_ms / WHEEL_TICK_MS;
	wheel->h = h;
	wheel->arg = arg;
}

void wheel_set(struct wheel *wheel, struct wheel_item *item, uint64_t due_ms, void *data)
{
	uint64_t tick = due_ms / WHEEL_TICK_MS + 1; /* the end of the tick it falls in */

	if (tick < wheel->tick)
		tick = wheel->tick;
	wheel_clear(item);
	item->due_ms = due_ms;
	list_append(&wheel->slots[tick % WHEEL_SLOTS], &item->le, data);
}

void wheel_clear(struct wheel_item *item)
{
	list_unlink(&item->le);
}

static void run_slot(struct wheel *wheel, struct list *slot, uint64_t now_ms)
{
	/* The handler may free any item, also the next one, so always the head is taken; what is not
	 * due this turn goes to the end. */
	for (uint32_t n = list_count(slot); n && slot->head; n--) {
		struct wheel_item *item = (struct wheel_item *)slot->head;
		void *data = item->le.data;

		list_unlink(&item->le);
		if (item->due_ms > now_ms)
			list_append(slot, &item->le, data);
		else
			wheel->h(data, wheel->arg);
	}
}

void wheel_run(struct wheel *wheel, uint64_t now_ms)
{
	uint64_t last = now_ms / WHEEL_TICK_MS;

	if (last >= wheel->tick + WHEEL_SLOTS) /* a long sleep: each slot once is enough */
		wheel->tick = last - WHEEL_SLOTS + 1;
	while (wheel->tick <= last) {
		struct list *slot = &wheel->slots[wheel->tick % WHEEL_SLOTS];

		wheel->tick++;
		run_slot(wheel, slot, now_ms);
	}
}

unsigned wheel_idle_ticks(const struct wheel *wheel, unsigned max)
{
	unsigned n = 1;

	while (n < max && !wheel->slots[(wheel->tick + n - 1) % WHEEL_SLOTS].head)
		n++;
	return n;
}
