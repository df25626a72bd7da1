/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_JOURNAL_H
#define AOIDE_CALL_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

/*
 * The journal of open calls, so that a switch that was killed knows, when it starts again, which dialogs
 * to end, which streams to give back and which CDRs to write. The call thread puts what changes into a
 * ring in memory that outlives the process (the supervisor holds it); a thread of the journal's own moves
 * it, some time later, to an append-only file. So a kill of the switch loses nothing. The file outlives
 * all processes, not the machine: it is not synced, for calls do not survive a power cut either.
 */
struct call_journal;
struct call;
struct edge;
struct engine;
struct writer;
struct media;

#define CALL_JOURNAL_MAX_RECORD  (16 * 1024)
#define CALL_JOURNAL_ROTATE_SIZE (32u * 1024 * 1024)
#define CALL_JOURNAL_QUEUE_BYTES (64u * 1024 * 1024) /* not yet in the file; 1,500 calls/s need less than 2 MiB */

/* A call that the last process left open. */
typedef void(call_journal_left_h)(uint64_t call_id, const void *data, size_t len, void *arg);

/* The memory of the ring, for the process that keeps it and hands it to every switch: a descriptor that is
 * closed on exec, or a negative error. */
int call_journal_make_memory(void);

/*
 * Reads <dir>/calls.journal and what a killed process left in the ring, hands each open call to left_h
 * (which copies it), then starts the thread. What was left stays in the journal until it is removed.
 *
 * memory_fd  of call_journal_make_memory(), may be closed then; what cannot be used is logged and done
 *            without. -1: memory of this process
 */
int call_journal_open(struct call_journal **ret, const char *dir, int memory_fd,
		      call_journal_left_h *left_h, void *arg);
/* Writes what is in the ring, then ends. */
void call_journal_close(struct call_journal *journal);

/* For who keeps the memory and ends: what a killed process left in it goes to the file. Nobody may have the
 * journal open. */
int call_journal_settle(const char *dir, int memory_fd);

/* Replaces what is known of the call. data is copied; never blocks. Call thread. */
void call_journal_put(struct call_journal *journal, uint64_t call_id, const void *data, size_t len);
/* The call has ended and its CDR has been acknowledged. */
void call_journal_remove(struct call_journal *journal, uint64_t call_id);

struct call_journal_stats {
	uint64_t puts, removes; /* into the ring */
	uint64_t dropped;	/* too large, or the ring was full */
	uint64_t written;	/* records to the file: of those of one gathering the last of each call */
	uint64_t rotations, file_bytes;
};
void call_journal_stats(const struct call_journal *journal, struct call_journal_stats *ret);

#endif
