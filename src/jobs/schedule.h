/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_JOBS_SCHEDULE_H
#define AOIDE_JOBS_SCHEDULE_H

#include <stdint.h>

/* When a periodic activity is due. */
struct schedule {
	uint32_t every_s;  /* so often; 0: once a day */
	uint8_t hour, min; /* of the day, local time */
};

/*
 * The next time, in seconds since 1970. last_s: when it ran last, 0 never: then soon after the start,
 * because a machine that is off at night shall be maintained as well.
 */
#define SCHEDULE_FIRST_S 120
int64_t schedule_next_s(const struct schedule *schedule, int64_t last_s, int64_t started_s);

#endif
