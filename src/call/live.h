/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_LIVE_H
#define AOIDE_CALL_LIVE_H

#include <jansson.h>

#include "call/call.h"

/* Calls as others see them: bus events and lists (docs/messages.md). Call thread only. */

/* Tells the bus that the call went from one state to another; costs nothing unless somebody listens. */
void live_publish(struct call *call, enum call_state to, enum call_state from);

/* All calls of a tenant, of every one with 0. */
struct engine;
json_t *live_calls(const struct engine *engine, int64_t tenant_id);

#endif
