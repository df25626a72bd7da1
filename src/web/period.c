/* SPDX-License-Identifier: Apache-2.0 */
#include "web/period.h"

#include <ctype.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"

#define YEAR_MIN 1970
#define YEAR_MAX 2199

struct range {
	int first, last;
};

/* "05" or "05-07", exactly `digits` digits each, within min..max and in order. */
static bool read_range(struct range *ret, const char *text, size_t digits, int min, int max)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (i == digits ? text[i] != '-' : !isdigit((unsigned char)text[i]))
			return false;
	if (len != digits && len != 2 * digits + 1)
		return false;
	ret->first = ret->last = atoi(text);
	if (len > digits)
		ret->last = atoi(text + digits + 1);
	return ret->first >= min && ret->first <= max && ret->last >= min && ret->last <= max;
}

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* Midnight at the start of a day; days beyond the month's end count on, as mktime() does. */
static int64_t midnight_us(int year, int month, int day)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day,
			 .tm_isdst = -1 };

	return (int64_t)mktime(&tm) * 1000000;
}

enum period_part period_parse(struct period *ret, const char *years, const char *months,
			      const char *days, int64_t now_us)
{
	struct range year, month = { 1, 12 }, day = { 0, 0 };

	if (!years) {
		time_t now = (time_t)(now_us / 1000000);
		struct tm tm;

		localtime_r(&now, &tm);
		ret->from_us = midnight_us(tm.tm_year + 1900, tm.tm_mon + 1, 1);
		ret->to_us = midnight_us(tm.tm_year + 1900, tm.tm_mon + 2, 1);
		return PERIOD_OK;
	}
	if (!read_range(&year, years, 4, YEAR_MIN, YEAR_MAX) || year.first > year.last)
		return PERIOD_YEAR;
	if (months && !read_range(&month, months, 2, 1, 12))
		return PERIOD_MONTH;
	if (months && year.first == year.last && month.first > month.last)
		return PERIOD_MONTH;
	if (days && !read_range(&day, days, 2, 1, 31))
		return PERIOD_DAY;
	if (!days) {
		day.first = 1;
		day.last = days_in(year.last, month.last);
	}
	if (day.first > days_in(year.first, month.first) || day.last > days_in(year.last, month.last))
		return PERIOD_DAY;

	ret->from_us = midnight_us(year.first, month.first, day.first);
	ret->to_us = midnight_us(year.last, month.last, day.last + 1);
	return ret->from_us < ret->to_us ? PERIOD_OK : PERIOD_DAY;
}

int period_parse_moment(int64_t *ret_us, const char *text)
{
	static const char shape[] = "0000-00-00 00:00:00";
	size_t len = strlen(text);
	struct tm tm = { .tm_isdst = -1 };

	if (len != 10 && len != 19)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		bool ok = shape[i] == '0' ? isdigit((unsigned char)text[i]) != 0 :
			  i == 10	  ? text[i] == ' ' || text[i] == 'T' : text[i] == shape[i];

		if (!ok)
			return -EINVAL;
	}
	tm.tm_year = atoi(text) - 1900;
	tm.tm_mon = atoi(text + 5) - 1;
	tm.tm_mday = atoi(text + 8);
	if (len == 19) {
		tm.tm_hour = atoi(text + 11);
		tm.tm_min = atoi(text + 14);
		tm.tm_sec = atoi(text + 17);
	}
	if (tm.tm_year + 1900 < YEAR_MIN || tm.tm_year + 1900 > YEAR_MAX || tm.tm_mon < 0 ||
	    tm.tm_mon > 11 || tm.tm_mday < 1 ||
	    tm.tm_mday > days_in(tm.tm_year + 1900, tm.tm_mon + 1) || tm.tm_hour > 23 ||
	    tm.tm_min > 59 || tm.tm_sec > 59)
		return -EINVAL;
	*ret_us = (int64_t)mktime(&tm) * 1000000;
	return 0;
}

const char *period_print_moment(char *buf, size_t size, int64_t us)
{
	time_t t = (time_t)(us / 1000000);
	struct tm tm;

	*buf = '\0';
	if (us) {
		localtime_r(&t, &tm);
		strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm);
	}
	return buf;
}
