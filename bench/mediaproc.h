/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BENCH_MEDIAPROC_H
#define AOIDE_BENCH_MEDIAPROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A media process of its own in a temporary folder, and a switch's connection to it. Main thread only. */
struct media;
struct media_event;

struct mediaproc {
	char dir[64], socket[128];
	pid_t pid;
	struct media *media;          /* NULL: not begun */
	unsigned n_open, n_failed;    /* streams, counted by mediaproc_event_h() */
	bool up;
};

/* Once, before anything else: library, limits, folder; error or warn messages are seen. */
int mediaproc_init(struct mediaproc *ret, const char *log_level, unsigned max_fds);
/* Once, at the end: the folder goes. */
void mediaproc_close(struct mediaproc *proc);

/* Starts the process; music: a file for music on hold, or NULL. Waits until it is connected. */
int mediaproc_begin(struct mediaproc *proc, unsigned threads, const char *music);
/* Streams must have been given back. Also after a begin that failed, and after none. */
void mediaproc_end(struct mediaproc *proc);

/* media_event_h; arg is the struct mediaproc. Counts what opens and what cannot. */
void mediaproc_event_h(const struct media_event *event, void *arg);
/* Waits until so many have been told since the counts were zero; -ENOBUFS: not all are open. */
int mediaproc_wait_open(struct mediaproc *proc, unsigned streams);

/* Serves the connection until cond (may be NULL) holds, at most ms. Returns whether it does. */
typedef bool(mediaproc_cond_h)(void *arg);
bool mediaproc_until(mediaproc_cond_h *cond, void *arg, unsigned ms);

/* CPU seconds of a process and all its threads. */
double mediaproc_cpu(pid_t pid);

#endif
