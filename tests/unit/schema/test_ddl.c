/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include "base/seal.h"
#include "db/db.h"
#include "schema/schema.h"
#include "testdb.h"

#define OK(call) assert_int_equal(call, 0)

static bool has_column(struct db *db, const char *table, const char *name)
{
	struct db_rows *rows = NULL;
	char sql[120];
	bool found = false;

	(void)snprintf(sql, sizeof(sql), "SELECT * FROM \"%s\" WHERE id = 0", table);
	OK(db_query(&rows, db, sql, DB_NO_ARGS));
	for (int i = 0; i < db_columns(rows); i++)
		found = found || !strcmp(db_column_name(rows, i), name);
	db_rows_close(rows);
	return found;
}

static void every_field_has_a_column_in_both_tables(void **state)
{
	struct testdb *t = *state;

	OK(seal_init(t->dir));
	OK(sch_migrate(t->db));
	OK(sch_migrate(t->db)); /* and a second start changes nothing */
	for (size_t i = 0; i < sch_n_entities; i++) {
		const struct sch_entity *e = sch_entities[i];
		char applied[80];

		(void)snprintf(applied, sizeof(applied), "%s_applied", e->name);
		for (size_t k = 0; k < e->n_fields; k++) {
			bool stored = !(e->fields[k].flags & SCH_VIRTUAL);

			assert_int_equal(has_column(t->db, e->name, e->fields[k].name), stored);
			assert_int_equal(has_column(t->db, applied, e->fields[k].name), stored);
		}
	}
}

static void a_new_field_becomes_a_column_with_its_default(void **state)
{
	struct testdb *t = *state;
	int64_t limit = 0;

	OK(seal_init(t->dir));
	OK(sch_migrate(t->db));
	OK(db_exec(t->db, "ALTER TABLE \"tenant\" DROP COLUMN \"call_limit\"", DB_NO_ARGS));
	assert_false(has_column(t->db, "tenant", "call_limit"));
	OK(db_exec(t->db,
		   "INSERT INTO \"tenant\" (tenant_id, revision, name, domain) VALUES (0, 1, 'x', 'x')",
		   DB_NO_ARGS));
	OK(sch_migrate(t->db));
	OK(db_query_i64(&limit, t->db, "SELECT call_limit FROM \"tenant\" WHERE domain = 'x'",
			DB_NO_ARGS));
	assert_int_equal(limit, -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TESTDB_BOTH("every field has a column in both tables",
			    every_field_has_a_column_in_both_tables),
		TESTDB_BOTH("a new field becomes a column with its default",
			    a_new_field_becomes_a_column_with_its_default),
	};

	return testdb_run(tests);
}
