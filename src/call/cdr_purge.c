/* SPDX-License-Identifier: Apache-2.0 */
#include "call/cdr.h"

#include "db/db.h"

/* Calls per transaction: the switch's writer waits no longer than one of these takes. */
#define PURGE_BATCH 500

/* The oldest calls have the lowest ids, so each batch is found at once. */
#define PURGE_IDS "(SELECT id FROM cdr WHERE end_us > 0 AND end_us < $1 ORDER BY id LIMIT $2)"

static int purge_batch(struct db *db, int64_t before_us, int64_t *n)
{
	int err;

	err = db_begin(db);
	if (err)
		return err;

	err = db_exec(db, "DELETE FROM cdr_detail WHERE cdr_id IN " PURGE_IDS,
		      DB_ARGS(db_i64(before_us), db_i64(PURGE_BATCH)));
	if (!err)
		err = db_exec(db, "DELETE FROM cdr WHERE id IN " PURGE_IDS,
			      DB_ARGS(db_i64(before_us), db_i64(PURGE_BATCH)));
	*n = err ? 0 : db_changes(db);
	if (!err)
		err = db_commit(db);
	if (err)
		db_rollback(db);

	return err;
}

int cdr_purge(struct db *db, int64_t before_us, int64_t *deleted)
{
	int64_t n = 0;
	int err;

	do {
		err = purge_batch(db, before_us, &n);
		if (!err)
			*deleted += n;
	} while (!err && n == PURGE_BATCH);

	return err;
}
