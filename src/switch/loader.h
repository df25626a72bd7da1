/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SWITCH_LOADER_H
#define AOIDE_SWITCH_LOADER_H

#include <stdint.h>

/*
 * Builds snapshots off the call thread (architecture, section 5). A finished one is handed to the
 * call thread through the loop's message queue and swapped in there.
 */
struct loader;
struct snap;
struct snap_sip;
struct snap_dirs;
struct arena;
struct snap_tenant;
struct bus_reply;

#define LOADER_MAX_JOBS 4096

/* What the call thread gets: swap it in with loader_finish(). */
struct loader_done {
	int64_t tenant_id;              /* 0: settings of the node, then every tenant again */
	int err;
	struct snap_tenant *tenant;     /* NULL: removed */
	struct snap_sip *sip;
	struct arena *arena;
	struct bus_reply *reply;        /* NULL none */
	uint64_t started_ms;
};

/* Runs in the call thread; owns done. */
typedef void(loader_done_h)(struct loader_done *done, void *arg);

/* Loads everything now, into snap, in the caller's thread; then starts the thread. Call thread. dirs and
 * its texts are borrowed until loader_stop(). */
int loader_start(struct loader **ret, const char *db_url, const struct snap_dirs *dirs,
		 struct snap *snap, loader_done_h *done_h, void *arg);
void loader_stop(struct loader *loader);

/* Asks for a tenant (0: node settings) again. Any thread. reply may be NULL; answered when the new
 * snapshot is in force. -ENOBUFS: too many wait. */
int loader_request(struct loader *loader, int64_t tenant_id, struct bus_reply *reply);

#endif
