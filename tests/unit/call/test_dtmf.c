/* SPDX-License-Identifier: Apache-2.0 */
/* INFO about keys, in the forms in which phones write it (PLT-37). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include "call/leg_dtmf.h"

static int parse(const char *ctype, const char *body, char *digit, uint32_t *duration_ms)
{
	struct pl type, text;

	pl_set_str(&type, ctype);
	pl_set_str(&text, body);
	return leg_dtmf_parse(digit, duration_ms, &type, &text);
}

static void every_form_of_a_key(void **state)
{
	static const struct {
		const char *ctype, *body;
		char digit;
		uint32_t duration_ms;
	} rows[] = {
		{ "application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", '5', 160 },
		{ "application/dtmf-relay", "Signal= 5\r\nDuration= 250", '5', 250 },
		{ "application/dtmf-relay", "signal=d\nduration=90\n", 'D', 90 },
		{ "Application/DTMF-Relay; charset=x", "Duration=300\r\nSignal=*\r\n", '*', 300 },
		{ "application/dtmf-relay", "Signal=11\r\n", '#', LEG_DTMF_MS },
		{ "application/dtmf-relay", "Signal=#\r\nDuration=0\r\n", '#', LEG_DTMF_MS },
		{ "application/dtmf-relay", "Signal=1\r\nDuration=99999999\r\n", '1', LEG_DTMF_MS },
		{ "application/dtmf", "7", '7', LEG_DTMF_MS },
		{ "application/dtmf", " 10\r\n", '*', LEG_DTMF_MS },
		{ "application/dtmf", "#\r\n", '#', LEG_DTMF_MS },
		/* no digit: a flash, a key that does not exist, nothing at all */
		{ "application/dtmf-relay", "Signal=16\r\nDuration=80\r\n", 0, 80 },
		{ "application/dtmf-relay", "Signal=!\r\n", 0, LEG_DTMF_MS },
		{ "application/dtmf-relay", "Signal=55\r\n", 0, LEG_DTMF_MS },
		{ "application/dtmf-relay", "", 0, LEG_DTMF_MS },
		{ "application/dtmf", "", 0, LEG_DTMF_MS },
		{ "application/dtmf", "x", 0, LEG_DTMF_MS },
		{ "application/hook-flash", "", 0, LEG_DTMF_MS },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t duration_ms;
		char digit;

		assert_int_equal(parse(rows[i].ctype, rows[i].body, &digit, &duration_ms), 0);
		assert_int_equal(digit, rows[i].digit);
		assert_int_equal(duration_ms, rows[i].duration_ms);
	}
}

static void what_is_not_about_keys_is_left_alone(void **state)
{
	uint32_t duration_ms;
	char digit;

	assert_int_equal(parse("application/media_control+xml", "<x/>", &digit, &duration_ms), -ENOENT);
	assert_int_equal(parse("", "Signal=5", &digit, &duration_ms), -ENOENT);
	assert_int_equal(parse("application/dtmf-relayed", "Signal=5", &digit, &duration_ms), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_a_key),
		cmocka_unit_test(what_is_not_about_keys_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
