/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "call/cdr.h"
#include "db/db.h"
#include "jobs/schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t at(int year, int month, int day, int hour, int min)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour,
			 .tm_min = min, .tm_isdst = -1 };

	return (int64_t)mktime(&tm);
}

static int rome(void **state)
{
	(void)state;
	(void)setenv("TZ", "Europe/Rome", 1);
	tzset();
	return 0;
}

static void nightly_work_is_due_at_its_hour_also_when_clocks_change(void **state)
{
	const struct schedule night = { .hour = 3, .min = 10 };

	(void)state;
	assert_int_equal(schedule_next_s(&night, at(2026, 11, 23, 12, 0), at(2026, 11, 23, 11, 0)),
			 at(2026, 11, 24, 3, 10));
	assert_int_equal(schedule_next_s(&night, at(2026, 11, 24, 3, 10), at(2026, 11, 23, 11, 0)),
			 at(2026, 11, 25, 3, 10));
	assert_int_equal(schedule_next_s(&night, at(2026, 12, 31, 4, 0), at(2026, 12, 1, 0, 0)),
			 at(2027, 1, 1, 3, 10));
	/* 29 March 2026: at 2:00 it becomes 3:00; 25 October: at 3:00 it becomes 2:00 */
	assert_int_equal(schedule_next_s(&night, at(2026, 3, 28, 3, 11), at(2026, 3, 1, 0, 0)),
			 at(2026, 3, 29, 3, 10));
	assert_int_equal(schedule_next_s(&night, at(2026, 10, 24, 3, 11), at(2026, 3, 1, 0, 0)),
			 at(2026, 10, 25, 3, 10));
}

static void what_was_missed_is_done_soon_after_the_start(void **state)
{
	const struct schedule night = { .hour = 3, .min = 10 }, often = { .every_s = 600 };
	const int64_t start = at(2026, 11, 23, 9, 0);

	(void)state;
	assert_int_equal(schedule_next_s(&night, 0, start), start + SCHEDULE_FIRST_S);
	assert_int_equal(schedule_next_s(&night, at(2026, 11, 20, 3, 10), start),
			 start + SCHEDULE_FIRST_S);
	assert_int_equal(schedule_next_s(&often, start - 100, start), start + 500);
	assert_int_equal(schedule_next_s(&often, start - 5000, start), start + SCHEDULE_FIRST_S);
}

static void insert_call(struct db *db, int i, int64_t end_us)
{
	static struct cdr cdr;
	static unsigned char record[CDR_RECORD_MAX_BYTES];
	int n;

	memset(&cdr, 0, sizeof(cdr));
	cdr.tenant_id = 1;
	(void)snprintf(cdr.unique_id, sizeof(cdr.unique_id), "1.%d", i);
	(void)snprintf(cdr.linkedid, sizeof(cdr.linkedid), "1.%d", i);
	cdr.start_us = end_us - 1000000;
	cdr.end_us = end_us;
	cdr.n_details = 2;
	n = cdr_pack(&cdr, record, sizeof(record));
	assert_true(n > 0);
	assert_int_equal(cdr_writer_apply(db, CDR_RECORD, record, (size_t)n), 0);
}

static void old_call_records_go_with_their_details(void **state)
{
	struct db *db = NULL;
	int64_t deleted = 0, n = 0;

	(void)state;
	assert_int_equal(db_open(&db, ":memory:", NULL, 0), 0);
	assert_int_equal(cdr_migrate(db), 0);
	assert_int_equal(db_begin(db), 0);
	for (int i = 0; i < 1300; i++)
		insert_call(db, i, i % 13 ? 1000000ll * (i + 1) : 9000000000000ll);
	assert_int_equal(db_commit(db), 0);

	assert_int_equal(cdr_purge(db, 1000000ll * 5000, &deleted), 0);
	assert_int_equal(deleted, 1200);
	assert_int_equal(db_query_i64(&n, db, "SELECT count(*) FROM cdr", DB_NO_ARGS), 0);
	assert_int_equal(n, 100);
	assert_int_equal(db_query_i64(&n, db, "SELECT count(*) FROM cdr_detail", DB_NO_ARGS), 0);
	assert_int_equal(n, 200);
	deleted = 0;
	assert_int_equal(cdr_purge(db, 1000000ll * 5000, &deleted), 0);
	assert_int_equal(deleted, 0);
	db_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nightly_work_is_due_at_its_hour_also_when_clocks_change),
		cmocka_unit_test(what_was_missed_is_done_soon_after_the_start),
		{ .name = "[D-214] call records older than 24 months go with their details",
		  .test_func = old_call_records_go_with_their_details },
	};

	return cmocka_run_group_tests(tests, rome, NULL);
}
