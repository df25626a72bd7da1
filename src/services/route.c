/* SPDX-License-Identifier: Apache-2.0 */
#include "services/route.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "call/call.h"
#include "call/engine.h"
#include "services/codes.h"
#include "services/extension.h"
#include "snapshot/snapshot.h"

/* BASE-39, D-067: over its limit an extension may not call either. */
static bool caller_over_limit(const struct call *call)
{
	const struct snap_extension *ext = call->caller_ext;

	/* The call being made counts already. */
	return ext && ext->max_concurrent_calls &&
	       engine_usage(call->engine, ext) > ext->max_concurrent_calls;
}

/* What the caller may do at all, before anything is dialled. */
static bool may_call(const struct call *call, struct result *result)
{
	*result = (struct result){ .outcome = OUTCOME_FAILED, .scode = 403, .q850 = 21 };

	/* Identity and rights come from the extension: an account without one cannot call (BASE-27). */
	if (!call->caller_ext || !call->caller_ext->enabled)
		return false;

	if (caller_over_limit(call)) {
		*result = (struct result){ .outcome = OUTCOME_BUSY };
		return false;
	}

	return true;
}

static int reach(struct call *call, struct result *result)
{
	const struct snap_extension *extension;
	const struct code_service *service;

	*result = (struct result){ .outcome = OUTCOME_NOT_FOUND };

	service = codes_find(call->tenant, call->called); /* TEL-27: services first */
	if (service) {
		call_step_enter(call, "service", service->name, NULL, call->called);
		return service->run_h(call, result);
	}

	/* D-074: a disabled extension is as if it were not there. */
	extension = snap_extension_find(call->tenant, call->called, strlen(call->called));
	if (!extension || !extension->enabled)
		return 0;

	str_ncpy(call->called_name, extension->display_name, sizeof(call->called_name));
	call_step_enter(call, "local_exten", extension->number, extension->display_name,
			extension->number);

	return extension_run(call, extension, result);
}

void route_run(struct call *call, void *arg)
{
	struct result result;
	int err;

	if (!may_call(call, &result)) {
		call->result = result;
		return;
	}

	err = reach(call, &result);
	if (err)
		return; /* the caller gave up: the call began as such */

	call->result = result;
	if (result.outcome == OUTCOME_ANSWERED && call->b)
		(void)call_bridge(call);
}
