/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SWITCH_SWITCH_H
#define AOIDE_SWITCH_SWITCH_H

struct config;

/* Environment: the descriptor of the memory that keeps the last changes of open calls over a crash
 * (call/journal.h), inherited from who starts the switch. Without it the switch keeps none. */
#define SWITCH_OPEN_CALLS_FD "AOIDE_OPEN_CALLS_FD"

/*
 * The process `aoide switch`: SIP and call logic on one thread that never blocks; a loader thread
 * builds snapshots, the writer thread stores what calls leave behind, the bus has its own.
 * Returns when SIGTERM has ended it: 0, or the error that kept it from starting.
 */
int switch_main(const struct config *config);

#endif
