/* SPDX-License-Identifier: Apache-2.0 */
#include "call/outcome.h"

#include <stddef.h>

static const struct outcome_rule rules[OUTCOME_COUNT] = {
	[OUTCOME_ANSWERED] = { 200, "OK", 16, "OK", "NCC" },
	[OUTCOME_BUSY] = { 486, "Busy Here", 17, "BUSY", "BUSY" },
	[OUTCOME_NO_ANSWER] = { 480, "No Answer", 19, "NOANSWER", "NOANSWER" },
	[OUTCOME_UNAVAILABLE] = { 480, "Temporarily Unavailable", 20, "UNAVAILABLE", "UNAVAILABLE" },
	[OUTCOME_NOT_FOUND] = { 404, "Not Found", 1, "FAILED", "FAILED" },
	[OUTCOME_FAILED] = { 500, "Server Internal Error", 41, "FAILED", "FAILED" },
	[OUTCOME_HANGUP] = { 487, "Request Terminated", 16, "CANCELED", "CANCELED" },
	[OUTCOME_REDIRECTED] = { 480, "Temporarily Unavailable", 23, "UNAVAILABLE", "CFWD" },
};

static const struct status_rule status_rules[] = {
	{ .from = 200, .to = 299, .outcome = OUTCOME_ANSWERED },
	{ .from = 408, .to = 408, .outcome = OUTCOME_UNAVAILABLE }, /* not reachable at IP level */
	{ .from = 410, .to = 410, .outcome = OUTCOME_UNAVAILABLE },
	{ .from = 480, .to = 480, .outcome = OUTCOME_UNAVAILABLE },
	{ .from = 404, .to = 404, .outcome = OUTCOME_UNAVAILABLE }, /* the phone forgot its account */
	{ .from = 486, .to = 486, .outcome = OUTCOME_BUSY },
	{ .from = 600, .to = 600, .outcome = OUTCOME_BUSY, .ends_all = true },
	{ .from = 603, .to = 603, .outcome = OUTCOME_BUSY, .ends_all = true }, /* D-070 */
	{ .from = 604, .to = 604, .outcome = OUTCOME_UNAVAILABLE },
	{ .from = 300, .to = 399, .outcome = OUTCOME_UNAVAILABLE },
	{ .from = 503, .to = 503, .outcome = OUTCOME_UNAVAILABLE },
	{ .from = 0, .to = UINT16_MAX, .outcome = OUTCOME_FAILED },
};

const struct outcome_rule *outcome_rule(enum outcome outcome)
{
	return &rules[outcome];
}

const struct status_rule *outcome_of_status(uint16_t scode)
{
	const struct status_rule *rule = status_rules;

	while (scode < rule->from || scode > rule->to)
		rule++;

	return rule;
}
