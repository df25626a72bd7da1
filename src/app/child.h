/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_APP_CHILD_H
#define AOIDE_APP_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One process that the supervisor keeps running: this very binary with another subcommand. A process
 * that dies is started again at once; when it dies again within a minute after 0.5 s, then 1 s, and so
 * on up to 30 s.
 */
struct config;

#define CHILD_BACKOFF_FIRST_MS 500u
#define CHILD_BACKOFF_LAST_MS  30000u
#define CHILD_STABLE_MS        60000u /* a life this long makes the next restart immediate again */

struct child {
	const char *name;
	int kept_fd; /* which it inherits besides standard output and error; 0: none */
	/* The supervisor's status is read by the thread of the bus. */
	_Atomic int pid; /* 0: not running */
	_Atomic unsigned restarts;
	_Atomic uint64_t started_ms;
	uint64_t start_at_ms;
	uint64_t backoff_ms; /* before the next start but one */
	uint64_t kill_at_ms; /* 0: not asked to end */
};

/* Errors are logged, and start_at_ms is moved. Main thread only: the death signal of the child is
 * bound to the thread that forks. */
int child_start(struct child *child, const struct config *config);

/* True once when the process has ended; says how, and when it may start again. */
bool child_has_ended(struct child *child, bool is_wanted, char *how, size_t size);

/* SIGTERM on the first call, SIGKILL when grace_ms are over. To be repeated. */
void child_stop(struct child *child, unsigned grace_ms);

void child_signal(const struct child *child, int number);

/* When the next start may be; part of child_has_ended(), apart for tests. */
uint64_t child_next_start_ms(struct child *child, uint64_t now_ms);

/* Ends a process of this name that a killed supervisor left behind, known by its locked pid file. */
void child_end_leftover(const char *name, const struct config *config);

#endif
