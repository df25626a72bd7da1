/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_FIBER_H
#define AOIDE_BASE_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Fibers: stackful coroutines on the libre event loop of one thread. Stacks (64 KiB) come from a
 * pool and have a guard page; address sanitizer and valgrind are told about switches.
 *
 * Cancelling a fiber does not unwind it: every later wait in it fails at once with the given code
 * ("hang-up is sticky"), and the code leaves by `goto out`.
 *
 * All functions: the thread of the scheduler only.
 */
struct fiber;

typedef void(fiber_main_h)(void *arg);

/* Starts the scheduler of this thread (after libre_init). Returns 0 or -errno. */
int fiber_init(void);
/* Frees the pool; every fiber must have ended. */
void fiber_close(void);

/*
 * Makes a fiber that runs main_h(arg) from the next turn of the loop.
 *
 * name  a constant, for statistics (deepest stack per name)
 * ret   may be NULL. Valid until main_h returns
 *
 * Returns 0, -ENOMEM, -EAGAIN (limit of fibers reached).
 */
int fiber_spawn(struct fiber **ret, const char *name, fiber_main_h *main_h, void *arg);

/* The running fiber; NULL outside. */
struct fiber *fiber_self(void);

/*
 * Suspends the running fiber until fiber_wake(), fiber_cancel() or the deadline. A wake that came
 * while it ran counts: the wait returns at once.
 *
 * deadline_ms  on clk_mono_ms(); FIBER_FOREVER waits without end
 *
 * Returns 0 (woken: look what changed), -ETIMEDOUT, or the code of fiber_cancel().
 */
#define FIBER_FOREVER UINT64_MAX
int fiber_wait(uint64_t deadline_ms);

/* Makes the fiber ready; it runs from the loop, not inside this call. Safe to repeat. */
void fiber_wake(struct fiber *fiber);

/* As wake, and each wait from now on fails with err (negative). The first code stays. */
void fiber_cancel(struct fiber *fiber, int err);

/* The code of fiber_cancel(), 0 if none. */
int fiber_cancelled(const struct fiber *fiber);

/* Turns waits that fail by cancellation off (true) for the clean-up after `out:`. */
void fiber_shield(struct fiber *fiber, bool on);

struct fiber_stats {
	uint32_t live, peak, pooled;
	size_t deepest_bytes;
	const char *deepest_name;
};
void fiber_stats(struct fiber_stats *ret);

/* The deepest stack per name; sampled, so the first fibers of a name are always measured. */
typedef void(fiber_stack_h)(const char *name, uint64_t n_fibers, size_t deepest_bytes, void *arg);
void fiber_stacks(fiber_stack_h *h, void *arg);

#endif
