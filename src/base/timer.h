/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_TIMER_H
#define AOIDE_BASE_TIMER_H

#include <stdbool.h>

/*
 * libre's timers on a 4-ary heap.
 *
 * libre 1.1.0 keeps its timers in one sorted list: an insert walks past every later timer, which
 * is 90 % of the CPU of a busy SIP server. timer.c defines tmr_start, tmr_cancel, tmr_poll,
 * tmr_next_timeout (and what belongs to them) in the executable, exported with -rdynamic; Debian's
 * library resolves them through the symbol table, so libre itself uses ours. The rest of the
 * program uses tmr_* freely. A timer of 4.5 s or more may run up to 50 ms late, so that one wake
 * of the thread serves many.
 */

/* Proves at start that libre calls our functions; logs an error and returns false if it does not. */
bool timer_selfcheck(void);

/*
 * This thread's loop waits without a time-out and is woken by a timer descriptor, which is set anew only
 * when a timer is due before it: a time-out per wait arms and stops the clock of the processor each time.
 * 0, or the error with which all stays as it was. After libre_init() of the thread; off before its end.
 */
int timer_wait_by_fd(bool on);

/*
 * A busy loop of this thread (8 turns within 40 ms, rests not counted) rests so long between two
 * turns, 0: never. What comes meanwhile is done together: fewer wakes and system calls, and the code
 * is still in the caches for the second message of a kind. A loop with little to do answers at once.
 * Less than a second.
 */
void timer_set_rest(unsigned rest_us);

#define TIMER_FULL_LOAD 100u

/*
 * What this turn read, in percent of the most that one turn takes: the rest after it is shorter by the
 * square of that part, so that queues of sockets stay short. TIMER_FULL_LOAD: there may be more to read,
 * no rest. Adds up.
 */
void timer_load(unsigned percent);

/* Called at the end of each turn of this thread's loop, before it waits; NULL: nothing is. One at a time. */
typedef void(timer_turn_h)(void);
void timer_set_turn_handler(timer_turn_h *h);

#endif
