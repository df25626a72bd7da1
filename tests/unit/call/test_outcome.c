/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "call/outcome.h"

/* Busy is 486; unavailable is not reachable at IP level or 480. D-069, D-070: a declined call
 * is busy and ends all the ringing. */
static void what_a_phone_says_becomes_the_outcome_of_its_leg(void **state)
{
	static const struct {
		uint16_t scode;
		enum outcome outcome;
		bool ends_all;
	} cases[] = {
		{ 486, OUTCOME_BUSY, false },        { 480, OUTCOME_UNAVAILABLE, false },
		{ 408, OUTCOME_UNAVAILABLE, false }, { 404, OUTCOME_UNAVAILABLE, false },
		{ 503, OUTCOME_UNAVAILABLE, false }, { 302, OUTCOME_UNAVAILABLE, false },
		{ 600, OUTCOME_BUSY, true },         { 603, OUTCOME_BUSY, true },
		{ 488, OUTCOME_FAILED, false },      { 500, OUTCOME_FAILED, false },
		{ 606, OUTCOME_FAILED, false },      { 200, OUTCOME_ANSWERED, false },
		{ 0, OUTCOME_FAILED, false },        { UINT16_MAX, OUTCOME_FAILED, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct status_rule *rule = outcome_of_status(cases[i].scode);

		assert_int_equal(rule->outcome, cases[i].outcome);
		assert_int_equal(rule->ends_all, cases[i].ends_all);
	}
}

/* The closed lists of PLT-62 and PLT-63 (01-entity-index). */
static void every_outcome_has_codes_of_the_closed_lists(void **state)
{
	static const char *const statuses[] = { "OK",     "CANCELED",    "NOANSWER", "BUSY",
						"FAILED", "UNAVAILABLE", "FORBIDDEN" };
	static const char *const causes[] = { "NCC",  "CANCELED",    "NOANSWER",
					      "BUSY", "UNAVAILABLE", "FAILED", "CFWD" };

	for (int outcome = 0; outcome < OUTCOME_COUNT; outcome++) {
		const struct outcome_rule *rule = outcome_rule((enum outcome)outcome);
		size_t found = 0;

		for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
			found += !strcmp(rule->cdr_status, statuses[i]);
		for (size_t i = 0; i < sizeof(causes) / sizeof(causes[0]); i++)
			found += !strcmp(rule->cdr_exit_cause, causes[i]);
		assert_int_equal(found, 2);
		assert_in_range(rule->q850, 1, 127);
		assert_in_range(rule->scode, 200, 699);
		assert_true(strlen(rule->reason) > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ .name = "a phone's answer becomes the outcome of its leg",
		  .test_func = what_a_phone_says_becomes_the_outcome_of_its_leg },
		{ .name = "every outcome has codes of the closed lists",
		  .test_func = every_outcome_has_codes_of_the_closed_lists },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
