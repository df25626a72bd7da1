/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_JOURNAL_H
#define AOIDE_CALL_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

/*
 * The journal of open calls: an append-only file that a thread of its own writes, so that a switch
 * that was killed knows, when it starts again, which dialogs to end, which streams to give back and
 * which CDRs to write. It outlives the process, not the machine: it is not synced, for calls do not
 * survive a power cut either.
 */
struct call_journal;
struct call;
struct edge;
struct engine;
struct writer;
struct media;

#define CALL_JOURNAL_MAX_RECORD  (16 * 1024)
#define CALL_JOURNAL_ROTATE_SIZE (32u * 1024 * 1024)
#define CALL_JOURNAL_MAX_QUEUE   (64u * 1024 * 1024)

/* A call that the last process left open. */
typedef void(call_journal_left_h)(uint64_t call_id, const void *data, size_t len, void *arg);

/*
 * Reads <dir>/calls.journal, hands each open call to left_h (which copies it), then starts the
 * thread. What was left stays in the journal until it is removed.
 */
int call_journal_open(struct call_journal **ret, const char *dir, call_journal_left_h *left_h,
		      void *arg);
void call_journal_close(struct call_journal *journal);

/* Replaces what is known of the call. data is copied; never blocks. Call thread. */
void call_journal_put(struct call_journal *journal, uint64_t call_id, const void *data, size_t len);
/* The call has ended and its CDR has been acknowledged. */
void call_journal_remove(struct call_journal *journal, uint64_t call_id);

struct call_journal_stats {
	uint64_t puts, removes, dropped, rotations, file_bytes;
	uint32_t open;
};
void call_journal_stats(struct call_journal *journal, struct call_journal_stats *ret);

#endif
