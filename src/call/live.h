/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_LIVE_H
#define AOIDE_CALL_LIVE_H

#include <jansson.h>

#include "call/call.h"

/* Calls as others see them: bus events and lists (docs/messages.md). Call thread only. */

/* Tells the bus that the call went from one state to another; costs nothing unless somebody listens. */
void live_publish(struct call *call, enum call_state to, enum call_state from);

/* A fax machine is heard from a leg: t.N.call.fax. */
struct leg;
void live_publish_fax(const struct call *call, const struct leg *leg, bool is_called);

struct engine;
struct live_query {
	int64_t tenant_id;    /* 0: of every tenant */
	const char *linkedid; /* only this call; NULL: all */
	int64_t offset;
	size_t max;           /* as many are printed in one turn of the call thread */
};
/* A page of calls. total: how many there are over all pages. New reference. */
json_t *live_calls(const struct engine *engine, const struct live_query *query, int64_t *total);

#endif
