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
 * program uses tmr_* freely.
 */

/* Proves at start that libre calls our functions; logs an error and returns false if it does not. */
bool timer_selfcheck(void);

#endif
