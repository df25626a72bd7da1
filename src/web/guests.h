/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_GUESTS_H
#define AOIDE_WEB_GUESTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"

/*
 * Connections that ask for nothing: between the handshake and a complete request, and between two
 * requests. There is a limit, and who comes beyond it takes the place of the one that has waited
 * longest: ten thousand half-open connections cost somebody's patience, but neither the memory nor the
 * attention of the server. The loop's thread only.
 */
struct lws;

#define GUESTS_MAX 4096

struct guests {
	struct list waiting; /* the longest first */
	size_t n, max;
	uint64_t turned_out;
	uint64_t told_ms; /* when the log was told last; 0: never */
};

/* A connection was accepted. */
void guests_come(struct guests *guests, struct lws *wsi);
/* It has asked for something: it is not turned out meanwhile. */
void guests_serve(struct lws *wsi);
/* It has its answer. */
void guests_wait(struct lws *wsi);
/* It has gone. */
void guests_leave(struct lws *wsi);

#endif
