/* SPDX-License-Identifier: Apache-2.0 */
#include "services/route.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "call/call.h"
#include "call/engine.h"
#include "services/codes.h"
#include "services/extension.h"
#include "snapshot/snapshot.h"

#define Q850_ROUTING 25 /* exchange routing error */

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

static int reach(struct call *call, const char *number, struct result *result)
{
	const struct snap_extension *extension;
	const struct code_service *service;

	*result = (struct result){ .outcome = OUTCOME_NOT_FOUND };

	service = codes_find(call->tenant, number); /* TEL-27: services first */
	if (service) {
		call_step_enter(call, "service", service->name, NULL, number);
		return service->run_h(call, result);
	}

	/* D-074: a disabled extension is as if it were not there. */
	extension = snap_extension_find(call->tenant, number, strlen(number));
	if (!extension || !extension->enabled)
		return 0;

	if (!call->steps.head) /* the CDR's is the one that was dialled */
		str_ncpy(call->called_name, extension->display_name, sizeof(call->called_name));
	call_step_enter(call, "local_exten", extension->number, extension->display_name,
			extension->number);

	return extension_run(call, extension, result);
}

/* CHG-ENG-09, D-363: the path goes into the log, the caller hears that nobody is there. */
static void drop_loop(const struct call *call, const char *number, struct result *result)
{
	char path[CALL_MAX_STEPS * 24] = "";
	size_t len = 0;

	for (struct le *le = call->steps.head; le && len < sizeof(path); le = le->next) {
		const struct call_step *step = le->data;
		int n = re_snprintf(path + len, sizeof(path) - len, "%s > ", step->destination_id);

		if (n < 0)
			break;
		len += (size_t)n;
	}
	log_warn("pbx.loop.dropped", "a call was forwarded in a circle or too often; it is ended",
		 kv_text("linkedid", call->linkedid), kv_text("path", path), kv_text("next", number));
	*result = (struct result){ .outcome = OUTCOME_FAILED, .scode = 480, .q850 = Q850_ROUTING };
}

static bool is_loop(const struct call *call, const char *number)
{
	const struct call_step *last = list_ledata(list_tail(&call->steps));

	return call->n_steps >= CALL_MAX_STEPS || (last && !strcmp(last->destination_num, number));
}

/* By the destination that was tried last. */
static void note_diversion(struct call *call, const struct result *result)
{
	const struct call_step *step = list_ledata(list_tail(&call->steps));

	if (step)
		call_diverted(call, step->destination_num, step->destination_name, result->after_ringing);
}

/*
 * To the destination, and where its phones send the call on (TEL-46): what they may name is what their
 * extension could reach inside the tenant.
 */
static int follow(struct call *call, struct result *result)
{
	char number[sizeof(result->redirect)];
	int err;

	err = reach(call, call->called, result);
	while (!err && result->outcome == OUTCOME_REDIRECTED) {
		str_ncpy(number, result->redirect, sizeof(number));
		if (is_loop(call, number)) {
			drop_loop(call, number, result);
			break;
		}
		log_info("call.redirected", "a phone sends its call elsewhere",
			 kv_text("linkedid", call->linkedid), kv_text("to", number));
		note_diversion(call, result);
		call_forwarded(call);
		err = reach(call, number, result);
	}

	return err;
}

void route_run(struct call *call, void *arg)
{
	struct result result;
	int err;

	if (!may_call(call, &result)) {
		call->result = result;
		return;
	}

	err = follow(call, &result);
	if (err)
		return; /* the caller gave up: the call began as such */

	call->result = result;
	if (result.outcome == OUTCOME_ANSWERED && call->b)
		(void)call_bridge(call);
}
