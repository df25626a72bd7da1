/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_RECORD_H
#define AOIDE_CALL_RECORD_H

#include <stddef.h>
#include <stdint.h>

/*
 * What a call leaves behind: its CDR when it ends, and in the journal what the next process needs
 * when this one is killed.
 */
struct call;
struct engine;

/* Journals the call as it is now. At its start, and whenever a dialog or its media has changed. */
void call_record_save(struct call *call);

/* Writes the call's one CDR and, once that is safe, takes the call off the journal. */
void call_record_finish(struct call *call);

/* Takes calls off the journal whose CDRs were acknowledged; by itself while there are such calls. */
void call_record_sweep(struct engine *engine);

/*
 * Recovery of one call that the last process left (call_journal_left_h; arg is the engine): BYE to
 * both sides, its streams given back, its CDR written with what is known.
 */
void call_record_recover(uint64_t call_id, const void *data, size_t len, void *arg);

#endif
