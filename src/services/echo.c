/* SPDX-License-Identifier: Apache-2.0 */
#include "services/echo.h"

#include "base/err.h"
#include "base/fiber.h"
#include "call/call.h"
#include "call/call_play.h"

int echo_run(struct call *call, struct result *result)
{
	static const char *const intro[] = { "echo/intro" };
	int n;

	n = call_answer(call);
	if (n)
		goto out;

	/* Without its message, which is logged, the test is still of use. */
	n = call_play(call, &(struct prompt){ .names = intro, .n_names = 1, .keys = "#" });
	if (n < 0 && n != -ENOENT)
		goto out;

	n = call_echo(call);
	if (!n)
		n = call_idle(call, FIBER_FOREVER);
out:
	if (n == -EHANGUP)
		return n;
	*result = (struct result){ .outcome = OUTCOME_FAILED,
				   .scode = n == -ENOTSUP ? 488 : 503,
				   .q850 = n == -ENOTSUP ? 88 : 41 };
	return 0;
}
