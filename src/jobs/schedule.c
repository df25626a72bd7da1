/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/schedule.h"

#include <stddef.h>
#include <time.h>

#define DAY_S 86400

/* The first moment after `after_s` at which clocks show hour:min; mktime() knows about summer time. */
static int64_t next_time_of_day(int64_t after_s, unsigned hour, unsigned min)
{
	const time_t after = (time_t)after_s;
	struct tm tm;
	time_t next;

	if (!localtime_r(&after, &tm))
		return after_s + DAY_S;

	tm.tm_hour = (int)hour;
	tm.tm_min = (int)min;
	tm.tm_sec = 0;
	tm.tm_isdst = -1;
	next = mktime(&tm);
	if (next > after)
		return (int64_t)next;

	tm.tm_mday++;
	tm.tm_hour = (int)hour;
	tm.tm_min = (int)min;
	tm.tm_isdst = -1;
	return (int64_t)mktime(&tm);
}

int64_t schedule_next_s(const struct schedule *schedule, int64_t last_s, int64_t started_s)
{
	int64_t next_s;

	if (last_s <= 0)
		return started_s + SCHEDULE_FIRST_S;

	next_s = schedule->every_s ? last_s + schedule->every_s :
				     next_time_of_day(last_s, schedule->hour, schedule->min);

	/* What was missed while the machine was off is made up for, but not in the busy first minutes. */
	return next_s < started_s ? started_s + SCHEDULE_FIRST_S : next_s;
}
