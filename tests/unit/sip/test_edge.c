/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static void options_is_answered(void **state)
{
	struct fix *fix = *state;
	char buf[2048];
	const struct fix_req req = { .method = "OPTIONS", .user = "x", .callid = "o1", .cseq = 1 };

	assert_true(fix_exchange(fix, fix->fd, fix_print(buf, sizeof(buf), fix, &req, NULL), 1000));
	assert_int_equal(fix_status(fix), 200);
	assert_true(fix_has(fix, "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS"));
	assert_true(fix_has(fix, "Accept: application/sdp"));
	assert_true(fix_has(fix, "Supported: 100rel"));
}

static void register_needs_a_password(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(fix_register(fix, fix->fd, "a0", "<sip:a0@127.0.0.1:5070>", 3600, 1), 200);
	assert_true(fix_has(fix, "Contact: <sip:a0@127.0.0.1:5070>;expires=3600"));
	assert_int_equal(reg_count(fix_reg(fix)), 1);
	assert_string_equal(fix->changes, "registered a0\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ "OPTIONS is answered with Allow, Accept and Supported", options_is_answered, fix_setup,
		  fix_teardown, NULL },
		{ "[BASE-29] REGISTER is challenged and then accepted", register_needs_a_password,
		  fix_setup, fix_teardown, NULL },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
