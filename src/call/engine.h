/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_ENGINE_H
#define AOIDE_CALL_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"

/*
 * What every call needs, and the calls there are. One per switch process; call thread only.
 */
struct edge;
struct media;
struct snap;
struct snap_account;
struct snap_extension;
struct writer;
struct call_journal;
struct bus;
struct call;
struct cdr;
struct sip_msg;

#define ENGINE_MAX_CALLS 50000
#define ENGINE_REMEMBERED 512 /* ended calls whose trace can still be asked for */

struct engine_ended {
	char linkedid[40];
	char **callids; /* mem_alloc'ed texts in a mem_alloc'ed array */
	size_t n;
};

/* Runs in the call's fiber from the INVITE until everything is over (services/route.c). */
typedef void(engine_route_h)(struct call *call, void *arg);

struct engine_opts {
	struct edge *edge;
	struct media *media;
	struct snap *snap;
	struct writer *writer;         /* CDRs; NULL in tests */
	struct call_journal *journal;  /* NULL in tests */
	struct bus *bus;               /* NULL in tests */
	const uint8_t *recording_key;  /* VAULT_KEY_BYTES; NULL: nothing can be encrypted */
	engine_route_h *route_h;
	void *arg;
};

struct engine {
	struct engine_opts o;
	struct list calls;
	struct hash *by_linkedid;
	struct list recordings;        /* that are not over, or wait for their call's end */
	struct list rooms;
	struct list studios;           /* the last tasks of services/studio.c */
	uint32_t next_recording_id;
	struct list unsafe_cdrs;       /* posted, not yet acknowledged (call/record.c) */
	struct tmr unsafe_look;        /* runs while there are any */
	struct hash *usage;            /* active calls per extension */
	uint32_t n_calls;
	uint64_t calls_total, calls_refused;
	uint64_t call_counter;
	int64_t first_epoch_s;         /* ids of this process start after its birth second */
	uint64_t next_call_id, next_leg_id;
	struct engine_ended ended[ENGINE_REMEMBERED];
	size_t next_ended;
	char *sdp_buf;                 /* scratch of SDESC_MAX_BYTES; used up before any wait */
	struct cdr *cdr_buf;           /* scratch, likewise */
	uint8_t *record_buf;           /* scratch of CDR_RECORD_MAX_BYTES, likewise */
	bool draining;                 /* shutting down: no new calls */
};

int engine_alloc(struct engine **ret, const struct engine_opts *opts);
/* All calls must have ended (engine_hangup_all and the loop). */
void engine_free(struct engine *engine);

/* The edge's invite handler: makes the call and its fiber. arg is the engine. */
void engine_invite(const struct sip_msg *msg, const struct snap_account *account, void *arg);

struct call *engine_call_find(const struct engine *engine, const char *linkedid);
void engine_hangup_all(struct engine *engine);

/* Keeps the Call-IDs of a call that ends; they move out of it. */
void engine_remember(struct engine *engine, struct call *call);
/* Call-IDs of a call that is or was; borrowed until the loop turns. NULL: unknown. */
const char *const *engine_callids(const struct engine *engine, const char *linkedid, size_t *n);

/* "<epoch seconds>.<counter>" (D-208); never repeats, not even after a restart. */
void engine_unique_id(struct engine *engine, char *buf, size_t size);

/* Active calls of an extension, in and out, over all its accounts (BASE-39). */
uint32_t engine_usage(const struct engine *engine, const struct snap_extension *extension);
void engine_usage_add(struct engine *engine, const struct snap_extension *extension);
void engine_usage_remove(struct engine *engine, const struct snap_extension *extension);

#endif
