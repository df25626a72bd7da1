/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_PERIOD_H
#define AOIDE_WEB_PERIOD_H

#include <stddef.h>
#include <stdint.h>

/*
 * The date grammar of the CDR URLs (PUB-04): years, months and days, each a number or a range, that
 * combine into one period from the first day to the last. Dates and times are those
 * of the server (its time zone), as phones and people read them. Pure but for the zone.
 */
struct period {
	int64_t from_us, to_us; /* to_us exclusive */
};

enum period_part { PERIOD_OK, PERIOD_YEAR, PERIOD_MONTH, PERIOD_DAY };

/*
 * NULL parts are absent; without years it is the month of now_us. Returns PERIOD_OK, or which part
 * is wrong.
 */
enum period_part period_parse(struct period *ret, const char *years, const char *months,
			      const char *days, int64_t now_us);

/* "2016-01-12 15:00:00" (PUB-06), a bare date, or with a T. Returns 0 or -EINVAL. */
int period_parse_moment(int64_t *ret_us, const char *text);

/* "2016-01-12 15:00:00"; "" for 0. buf: 20 bytes. */
const char *period_print_moment(char *buf, size_t size, int64_t us);

#endif
