/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "call/say.h"

/* The names with spaces between them; each must be a prompt that has been recorded. */
static const char *said(const struct say *say)
{
	static char text[4096];
	size_t len = 0;

	text[0] = '\0';
	for (const char *name = say_next(say, NULL); name; name = say_next(say, name))
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "", name);
	return text;
}

static void check_recorded(const struct say *say, const char *folder)
{
	char exe[256], path[512];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	assert_true(n > 0);
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	for (const char *name = say_next(say, NULL); name; name = say_next(say, name)) {
		(void)snprintf(path, sizeof(path), "%s/../../../../share/prompts/%s/%s.wav", exe, folder,
			       name);
		if (!strchr(name, ':') && access(path, R_OK))
			fail_msg("%s is not recorded in %s", name, folder);
	}
}

#define CHECK(say, language, expected)                                                             \
	do {                                                                                       \
		check_recorded(say, !strcmp(language, "it") ? "it" : "us");                        \
		assert_string_equal(said(say), expected);                                          \
	} while (0)

static void numbers(void **state)
{
	static const struct {
		int64_t number;
		const char *it, *us;
	} rows[] = {
		{ 0, "numbers/0", "numbers/0" },
		{ 7, "numbers/7", "numbers/7" },
		{ 21, "numbers/21", "numbers/21" },
		{ 100, "numbers/100", "numbers/100" },
		{ 101, "numbers/100 numbers/1", "numbers/100 numbers/and numbers/1" },
		{ 345, "numbers/300 numbers/45", "numbers/300 numbers/and numbers/45" },
		{ 1000, "numbers/thousand", "numbers/thousand" },
		{ 1001, "numbers/thousand numbers/1", "numbers/thousand numbers/and numbers/1" },
		{ 2000, "numbers/2 numbers/thousands", "numbers/2 numbers/thousands" },
		{ 2026, "numbers/2 numbers/thousands numbers/26",
		  "numbers/2 numbers/thousands numbers/and numbers/26" },
		{ 21100, "numbers/21 numbers/thousands numbers/100",
		  "numbers/21 numbers/thousands numbers/100" },
		{ 101000, "numbers/100 numbers/1 numbers/thousands",
		  "numbers/100 numbers/and numbers/1 numbers/thousands" },
		{ 1000000, "numbers/million", "numbers/million" },
		{ 2000300, "numbers/2 numbers/millions numbers/300",
		  "numbers/2 numbers/millions numbers/300" },
		{ 1001001, "numbers/million numbers/thousand numbers/1",
		  "numbers/million numbers/thousand numbers/and numbers/1" },
		{ 999999999999, "numbers/900 numbers/99 numbers/billions numbers/900 numbers/99 "
				"numbers/millions numbers/900 numbers/99 numbers/thousands numbers/900 "
				"numbers/99",
		  "numbers/900 numbers/and numbers/99 numbers/billions numbers/900 numbers/and "
		  "numbers/99 numbers/millions numbers/900 numbers/and numbers/99 numbers/thousands "
		  "numbers/900 numbers/and numbers/99" },
		{ 1000000000, "numbers/billion", "numbers/billion" },
		{ -5, "numbers/minus numbers/5", "numbers/minus numbers/5" },
		{ 1000000000000, "digits/1 digits/0 digits/0 digits/0 digits/0 digits/0 digits/0 digits/0 "
				 "digits/0 digits/0 digits/0 digits/0 digits/0",
		  "digits/1 digits/0 digits/0 digits/0 digits/0 digits/0 digits/0 digits/0 digits/0 "
		  "digits/0 digits/0 digits/0 digits/0" },
	};
	struct say say;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		say_init(&say, "it");
		say_number(&say, rows[i].number);
		CHECK(&say, "it", rows[i].it);
		say_init(&say, "us");
		say_number(&say, rows[i].number);
		CHECK(&say, "us", rows[i].us);
	}
	say_init(&say, "us");
	say_number(&say, INT64_MIN);
	assert_int_equal(say.n, 20);
}

static void every_number_below_a_thousand_is_recorded(void **state)
{
	struct say say;

	for (int i = 0; i < 1000; i++) {
		say_init(&say, "it_personal");
		say_number(&say, i);
		check_recorded(&say, "it");
		say_init(&say, "es");
		say_number(&say, i);
		check_recorded(&say, "us");
	}
}

static void digits_and_letters(void **state)
{
	struct say say;

	say_init(&say, "it");
	say_digits(&say, "+39 02*#");
	CHECK(&say, "it",
	      "letters/plus digits/3 digits/9 letters/space digits/0 digits/2 digits/star digits/pound");
	say_init(&say, "us");
	say_spell(&say, "A\xc3\xa0z.9@\xe2\x82\xac\x80");
	CHECK(&say, "us", "letters/a letters/a letters/z letters/dot digits/9 letters/at");
	say_init(&say, "us");
	for (int c = 1; c < 256; c++)
		say_spell(&say, (char[]){ (char)c, '\0' });
	check_recorded(&say, "us");
	say_init(&say, "it");
	say_spell(&say, "\xc3"); /* cut in the middle of a letter */
	assert_int_equal(say.n, 0);
}

static void dates(void **state)
{
	static const struct {
		struct tm date;
		unsigned parts;
		const char *it, *us;
	} rows[] = {
		{ { .tm_mday = 1, .tm_mon = 0, .tm_year = 126 }, 0, "monthdays/1 months/1",
		  "months/1 monthdays/1" },
		{ { .tm_mday = 31, .tm_mon = 11, .tm_year = 99, .tm_wday = 5 }, SAY_WEEKDAY | SAY_YEAR,
		  "weekdays/5 monthdays/31 months/12 numbers/thousand numbers/900 numbers/99",
		  "weekdays/5 months/12 monthdays/31 numbers/19 numbers/99" },
		{ { .tm_mday = 3, .tm_mon = 2, .tm_year = 126 }, SAY_YEAR,
		  "monthdays/3 months/3 numbers/2 numbers/thousands numbers/26",
		  "months/3 monthdays/3 numbers/2 numbers/thousands numbers/and numbers/26" },
		{ { .tm_mday = 3, .tm_mon = 2, .tm_year = 5 }, SAY_YEAR,
		  "monthdays/3 months/3 numbers/thousand numbers/900 numbers/5",
		  "months/3 monthdays/3 numbers/19 time/oh numbers/5" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct say say;

		say_init(&say, "it");
		say_date(&say, &rows[i].date, rows[i].parts);
		CHECK(&say, "it", rows[i].it);
		say_init(&say, "us");
		say_date(&say, &rows[i].date, rows[i].parts);
		CHECK(&say, "us", rows[i].us);
	}
}

static void times(void **state)
{
	static const struct {
		unsigned hour, minute;
		enum say_time_form form;
		const char *it, *us;
	} rows[] = {
		{ 15, 30, SAY_AT, "time/at numbers/15 time/and numbers/30",
		  "time/at numbers/3 numbers/30 time/pm" },
		{ 9, 5, SAY_IT_IS, "time/it-is numbers/9 time/and numbers/5",
		  "time/it-is numbers/9 time/oh numbers/5 time/am" },
		{ 1, 15, SAY_AT, "time/at-one time/and numbers/15", "time/at-one numbers/15 time/am" },
		{ 13, 0, SAY_IT_IS, "time/it-is numbers/13", "time/it-is-one time/pm" },
		{ 0, 0, SAY_AT, "time/at-midnight", "time/at-midnight" },
		{ 12, 0, SAY_IT_IS, "time/it-is-noon", "time/it-is-noon" },
		{ 0, 30, SAY_AT, "time/at numbers/0 time/and numbers/30",
		  "time/at numbers/12 numbers/30 time/am" },
		{ 12, 1, SAY_TIME, "numbers/12 time/and numbers/1", "numbers/12 time/oh numbers/1 time/pm" },
		{ 1, 0, SAY_TIME, "numbers/1f", "numbers/1f time/am" },
		{ 23, 59, SAY_TIME, "numbers/23 time/and numbers/59", "numbers/11 numbers/59 time/pm" },
	};
	struct say say;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		say_init(&say, "it");
		say_time(&say, rows[i].hour, rows[i].minute, rows[i].form);
		CHECK(&say, "it", rows[i].it);
		say_init(&say, "us");
		say_time(&say, rows[i].hour, rows[i].minute, rows[i].form);
		CHECK(&say, "us", rows[i].us);
	}
	for (unsigned i = 0; i < 1440; i++) {
		say_init(&say, "it");
		say_time(&say, i / 60, i % 60, SAY_AT);
		check_recorded(&say, "it");
		say_init(&say, "us");
		say_time(&say, i / 60, i % 60, SAY_AT);
		check_recorded(&say, "us");
	}
}

static void durations(void **state)
{
	static const struct {
		uint64_t s;
		const char *said;
	} rows[] = {
		{ 0, "numbers/0 time/seconds" },
		{ 1, "numbers/1m time/second" },
		{ 60, "numbers/1m time/minute" },
		{ 3600, "numbers/1f time/hour" },
		{ 3661, "numbers/1f time/hour numbers/1m time/minute numbers/and numbers/1m time/second" },
		{ 7500, "numbers/2 time/hours numbers/and numbers/5 time/minutes" },
		{ 90000, "numbers/1m time/day numbers/and numbers/1f time/hour" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct say say;

		say_init(&say, "it");
		say_duration(&say, rows[i].s);
		CHECK(&say, "it", rows[i].said);
	}
}

static void what_is_too_long_is_cut_as_a_whole(void **state)
{
	struct say say;
	unsigned n;

	say_init(&say, "it");
	say_prompt(&say, "tone:425/100");
	say_silence(&say, 250);
	assert_string_equal(said(&say), "tone:425/100 silence:250");
	for (int i = 0; i < 1000; i++)
		say_number(&say, 345);
	assert_true(say.is_cut);
	n = say.n;
	say_prompt(&say, "a");
	assert_int_equal(say.n, n);
	assert_true(say.len <= SAY_MAX_TEXT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(every_number_below_a_thousand_is_recorded),
		cmocka_unit_test(digits_and_letters),
		cmocka_unit_test(dates),
		cmocka_unit_test(times),
		cmocka_unit_test(durations),
		cmocka_unit_test(what_is_too_long_is_cut_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
