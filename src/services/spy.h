/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SERVICES_SPY_H
#define AOIDE_SERVICES_SPY_H

#include <stdbool.h>
#include "call/call_room.h"

/*
 * Passive listening (TEL-34, APP-71): a supervisor's phone rings, and who answers listens to a
 * conversation, whispers to one side or joins it. The keys 4, 5 and 6 change between the three.
 */
struct call;
struct engine;

struct spy_opts {
	const char *extension; /* of the supervisor: its phones ring */
	enum room_role role;   /* to begin with */
	bool to_caller;        /* a whisper is for the one who called, else for who answered */
};

/*
 * Rings and returns at once.
 *
 * Returns 0, -EINVALID (no such extension in the call's tenant), -ENOTCONN (nobody talks in that call, or
 * the extension has no phone), -ENOTSUP (direct media), -ENOMEM, -EUNAVAILABLE.
 */
int spy_start(struct engine *engine, struct call *target, const struct spy_opts *opts);

#endif
