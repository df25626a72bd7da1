/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "audio/parts.h"
#include "audio/prompts.h"
#include "base/err.h"

#define B "--xyz"
#define DISPOSITION "Content-Disposition: form-data; "

static int walk(struct part *parts, size_t max, const char *body, size_t len)
{
	size_t at = 0, n = 0;
	int got;

	while ((got = parts_next(&parts[n], body, len, "xyz", &at)) > 0)
		if (++n == max)
			return -E2BIG;
	return got < 0 ? got : (int)n;
}

static void boundaries(void **state)
{
	char b[80];

	assert_int_equal(parts_boundary(b, sizeof(b), "multipart/form-data; boundary=xyz"), 3);
	assert_string_equal(b, "xyz");
	assert_int_equal(parts_boundary(b, sizeof(b), "Multipart/Form-Data; charset=x; Boundary=\"a b\""), 1);
	assert_int_equal(parts_boundary(b, sizeof(b), "multipart/form-data; boundary=\"a'()+_,-./:=?\""), 13);
	assert_int_equal(parts_boundary(b, sizeof(b), "multipart/form-data"), -EINVAL);
	assert_int_equal(parts_boundary(b, sizeof(b), "multipart/form-data; boundary="), -EINVAL);
	assert_int_equal(parts_boundary(b, sizeof(b), "audio/wav; boundary=xyz"), -EINVAL);
	assert_int_equal(parts_boundary(b, sizeof(b),
					"multipart/form-data; boundary=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
					"aaaaaaaaaaaaaaaaaaaa"), -EINVAL);
}

static void fields_and_files(void **state)
{
	static const char body[] =
		"preamble that nobody reads\r\n" B "\r\n"
		DISPOSITION "name=\"folder\"\r\n\r\ncustom/feste\r\n" B "\r\n"
		"content-type: audio/wav\r\ncontent-disposition: form-data; name=\"file\"; "
		"filename=\"C:\\music\\due %22voci%22 & più.wav\"\r\n\r\nRIFF\r\n--xy\0\r\n\r\n" B "\r\n"
		DISPOSITION "name=\"empty\"; filename=\"\"\r\n\r\n\r\n" B "--\r\nepilogue";
	struct part parts[8];

	assert_int_equal(walk(parts, 8, body, sizeof(body) - 1), 3);
	assert_string_equal(parts[0].name, "folder");
	assert_string_equal(parts[0].file_name, "");
	assert_int_equal(parts[0].len, 12);
	assert_memory_equal(parts[0].data, "custom/feste", 12);
	assert_string_equal(parts[1].file_name, "due \"voci\" & più.wav");
	assert_int_equal(parts[1].len, 13);
	assert_memory_equal(parts[1].data, "RIFF\r\n--xy\0\r\n\r\n", 13);
	assert_int_equal(parts[2].len, 0);
}

static void what_is_cut_short_is_refused(void **state)
{
	static const char body[] = B "\r\n" DISPOSITION "name=\"file\"; filename=\"a.wav\"\r\n\r\nsound\r\n" B "--\r\n";
	struct part parts[4];

	assert_int_equal(walk(parts, 4, body, sizeof(body) - 1), 1);
	for (size_t len = 0; len < sizeof(body) - 5; len++)
		assert_int_equal(walk(parts, 4, body, len), -EINVAL);
	assert_int_equal(walk(parts, 4, B "\r\n\r\nno head\r\n" B "--", 20), -EINVAL);
	assert_int_equal(walk(parts, 4, B "\r\nX: y\r\n\r\nno name\r\n" B "--", 26), -EINVAL);
}

static void the_table_of_prompts(void **state)
{
	static const char table[] = "name,it,en\r\necho/intro,\"uno, due\",\"say \"\"hi\"\"\"\nbeep,@beep,@beep\n";
	struct prompts *p = NULL;

	assert_int_equal(prompts_parse(&p, table, sizeof(table) - 1), 0);
	assert_int_equal(prompts_count(p), 2);
	assert_string_equal(prompts_at(p, 0)->name, "beep");
	assert_string_equal(prompts_find(p, "echo/intro")->it, "uno, due");
	assert_string_equal(prompts_find(p, "echo/intro")->en, "say \"hi\"");
	assert_null(prompts_find(p, "echo"));
	prompts_free(p);
	assert_int_equal(prompts_parse(&p, "n,i,e\n../x,a,b\n", 15), -ECORRUPT);
	assert_int_equal(prompts_parse(&p, "n,i,e\na,b\n", 10), -ECORRUPT);
	assert_int_equal(prompts_parse(&p, "n,i,e\na,b,c\na,b,c\n", 18), -ECORRUPT);
	assert_int_equal(prompts_parse(&p, "n,i,e\na,b,\"c\n", 13), -ECORRUPT);

	/* The one that we ship: every number, in both languages. */
	assert_int_equal(prompts_load(&p, AOIDE_SHARE), 0);
	assert_string_equal(prompts_find(p, "numbers/28")->it, "ventotto");
	assert_string_equal(prompts_find(p, "numbers/99")->en, "ninety-nine");
	prompts_free(p);
	assert_int_equal(prompts_load(&p, "/nowhere"), -ENOENT);
	assert_int_equal(prompts_load(&p, NULL), -ENOENT);
	assert_string_equal(prompts_folder("es"), "us");
	assert_null(prompts_folder("fr"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(boundaries),
		cmocka_unit_test(fields_and_files),
		cmocka_unit_test(what_is_cut_short_is_refused),
		cmocka_unit_test(the_table_of_prompts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
