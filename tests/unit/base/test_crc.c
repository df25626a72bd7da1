/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/crc.h"

static void the_check_value_of_crc32c(void **state)
{
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283u);
}

static void a_value_may_be_made_in_pieces(void **state)
{
	const char text[] = "the quick brown fox jumps over the lazy dog";

	for (size_t i = 0; i <= sizeof(text); i++)
		assert_int_equal(crc32c(crc32c(0, text, i), text + i, sizeof(text) - i),
				 crc32c(0, text, sizeof(text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_value_of_crc32c),
		cmocka_unit_test(a_value_may_be_made_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
