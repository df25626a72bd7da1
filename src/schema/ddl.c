/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/log.h"
#include "schema/schema_priv.h"

/*
 * Tables from the registry. They only ever grow: a field that is new in this release becomes a
 * column with the field's default; a field that went away leaves its column behind unread.
 */

/* Tables that belong to all entities. sch_deleted holds what the next apply must remove. */
static const struct db_migration migrations[] = {
	{ .number = 1,
	  .name = "configuration",
	  .sql = "CREATE TABLE configuration_revision ("
		 " tenant_id BIGINT PRIMARY KEY, saved BIGINT NOT NULL, applied BIGINT NOT NULL,"
		 " saved_at BIGINT, applied_at BIGINT);"
		 "CREATE TABLE sch_deleted ("
		 " tenant_id BIGINT NOT NULL, entity TEXT NOT NULL, id BIGINT NOT NULL,"
		 " PRIMARY KEY (tenant_id, entity, id));"
		 "CREATE TABLE sch_reference ("
		 " entity TEXT NOT NULL, id BIGINT NOT NULL, field TEXT NOT NULL,"
		 " target_entity TEXT NOT NULL, target_id BIGINT NOT NULL,"
		 " tenant_id BIGINT NOT NULL);"
		 "CREATE INDEX sch_reference_owner ON sch_reference (entity, id);"
		 "CREATE INDEX sch_reference_target ON sch_reference (target_entity, target_id);"
		 "CREATE TABLE sch_node (name TEXT PRIMARY KEY, value TEXT NOT NULL);" },
	{ .number = 2,
	  .name = "audit",
	  .sql_sqlite = "CREATE TABLE audit_log ("
			" id INTEGER PRIMARY KEY AUTOINCREMENT, transaction_id TEXT NOT NULL,"
			" tenant_id BIGINT NOT NULL, at BIGINT NOT NULL, user_id BIGINT,"
			" username TEXT, ip_address TEXT, action TEXT NOT NULL, entity TEXT,"
			" object_id BIGINT, object_type TEXT, description TEXT);"
			"CREATE INDEX audit_log_time ON audit_log (tenant_id, at);"
			"CREATE INDEX audit_log_object ON audit_log (entity, object_id, id);"
			"CREATE TABLE audit_change (audit_id BIGINT NOT NULL, seq INTEGER NOT NULL,"
			" property TEXT NOT NULL, previous TEXT, current TEXT,"
			" PRIMARY KEY (audit_id, seq));",
	  .sql = "CREATE TABLE audit_log ("
		 " id BIGSERIAL PRIMARY KEY, transaction_id TEXT NOT NULL,"
		 " tenant_id BIGINT NOT NULL, at BIGINT NOT NULL, user_id BIGINT,"
		 " username TEXT, ip_address TEXT, action TEXT NOT NULL, entity TEXT,"
		 " object_id BIGINT, object_type TEXT, description TEXT);"
		 "CREATE INDEX audit_log_time ON audit_log (tenant_id, at);"
		 "CREATE INDEX audit_log_object ON audit_log (entity, object_id, id);"
		 "CREATE TABLE audit_change (audit_id BIGINT NOT NULL, seq INTEGER NOT NULL,"
		 " property TEXT NOT NULL, previous TEXT, current TEXT,"
		 " PRIMARY KEY (audit_id, seq));" },
};

static const char *column_type(const struct sch_field *f)
{
	if (f->type == SCH_BOOL)
		return "INTEGER";
	if (f->type == SCH_INT || f->type == SCH_REF || f->type == SCH_TIME)
		return "BIGINT";
	return "TEXT";
}

/* The default as an SQL literal: a registry constant, so quoting is all that it needs. */
static int print_default(FILE *out, const struct sch_field *f)
{
	json_t *value = sch_default(f);
	char *text = NULL;

	if (!value)
		return -ENOMEM;
	if (!(f->flags & SCH_INHERIT) && !json_is_null(value) && !sch_is_secret(f->type)) {
		if (json_is_boolean(value))
			(void)fprintf(out, " DEFAULT %d", json_is_true(value));
		else if (json_is_integer(value))
			(void)fprintf(out, " DEFAULT %lld", (long long)json_integer_value(value));
		else {
			text = json_is_string(value) ? strdup(json_string_value(value)) :
						       js_dump(value);
			(void)fputs(" DEFAULT '", out);
			for (const char *p = text; p && *p; p++)
				(void)fputs(*p == '\'' ? "''" : (char[]){ *p, 0 }, out);
			(void)fputc('\'', out);
		}
	}
	free(text);
	json_decref(value);
	return 0;
}

static int create_table(struct db *db, const struct sch_entity *e, bool applied)
{
	char *sql = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&sql, &size);
	int err = 0;

	if (!out)
		return -ENOMEM;
	(void)fprintf(out, "CREATE TABLE IF NOT EXISTS \"%s%s\" (id %s, tenant_id BIGINT NOT NULL,"
			   " revision BIGINT NOT NULL, created_at BIGINT, updated_at BIGINT,"
			   " sort_key TEXT, search_key TEXT, rest TEXT, rest_over TEXT",
		      e->name, applied ? "_applied" : "",
		      applied ? "BIGINT PRIMARY KEY" : db_sql_autoid(db));
	for (size_t i = 0; !err && i < e->n_fields; i++) {
		if (!sch_stored(&e->fields[i]))
			continue;
		(void)fprintf(out, ", \"%s\" %s", e->fields[i].name, column_type(&e->fields[i]));
		err = print_default(out, &e->fields[i]);
	}
	(void)fputs(")", out);
	if (fclose(out))
		err = -ENOMEM;
	if (!err)
		err = db_exec(db, sql, DB_NO_ARGS);
	free(sql);
	return err;
}

static int existing_columns(bool *have, struct db *db, const struct sch_entity *e, bool applied)
{
	struct db_rows *rows = NULL;
	char sql[160];
	int err;

	(void)snprintf(sql, sizeof(sql), "SELECT * FROM \"%s%s\" WHERE id = 0", e->name,
		       applied ? "_applied" : "");
	err = db_query(&rows, db, sql, DB_NO_ARGS);
	if (err)
		return err;
	for (int col = 0; col < db_columns(rows); col++) {
		const struct sch_field *f =
			sch_field_find(e->fields, e->n_fields, db_column_name(rows, col));

		if (f)
			have[f - e->fields] = true;
	}
	while (db_next(rows) > 0)
		;
	db_rows_close(rows);
	return 0;
}

/* Tables made before lists had ready text to copy. */
static int add_rest_columns(struct db *db, const struct sch_entity *e, bool applied)
{
	static const char *const names[] = { "rest", "rest_over" };
	struct db_rows *rows = NULL;
	bool have = false;
	char sql[160];
	int err;

	(void)snprintf(sql, sizeof(sql), "SELECT * FROM \"%s%s\" WHERE id = 0", e->name,
		       applied ? "_applied" : "");
	err = db_query(&rows, db, sql, DB_NO_ARGS);
	for (int col = 0; !err && col < db_columns(rows); col++)
		have = have || !strcmp(db_column_name(rows, col), "rest");
	db_rows_close(rows);
	for (size_t i = 0; !err && !have && i < 2; i++) {
		(void)snprintf(sql, sizeof(sql), "ALTER TABLE \"%s%s\" ADD COLUMN %s TEXT", e->name,
			       applied ? "_applied" : "", names[i]);
		err = db_exec(db, sql, DB_NO_ARGS);
	}
	return err;
}

static int add_column(struct db *db, const struct sch_entity *e, bool applied,
		      const struct sch_field *f)
{
	char *sql = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&sql, &size);
	int err;

	if (!out)
		return -ENOMEM;
	(void)fprintf(out, "ALTER TABLE \"%s%s\" ADD COLUMN \"%s\" %s", e->name,
		      applied ? "_applied" : "", f->name, column_type(f));
	err = print_default(out, f);
	if (fclose(out))
		err = -ENOMEM;
	if (!err)
		err = db_exec(db, sql, DB_NO_ARGS);
	free(sql);
	if (!err && !applied)
		log_info("schema.column_added", "a new field has its column",
			 kv_text("entity", e->name), kv_text("field", f->name));
	return err;
}

static int index_exec(struct db *db, const char *fmt, const char *entity, const char *field)
{
	char sql[400];

	(void)snprintf(sql, sizeof(sql), fmt, entity, field, entity, field);
	return db_exec(db, sql, DB_NO_ARGS);
}

/* Indexes: the orders that lists are paged in, what must be unique, and what lists look back by. */
static int create_indexes(struct db *db, const struct sch_entity *e)
{
	static const char by_revision[] = "CREATE INDEX IF NOT EXISTS \"%s_%s\" ON \"%s\""
					  " (tenant_id, %s)";
	static const char by_number[] = "CREATE INDEX IF NOT EXISTS \"%s_%s_order\" ON \"%s\""
					" (tenant_id, length(\"%s\"), %s)";
	static const char unique[] = "CREATE UNIQUE INDEX IF NOT EXISTS \"%s_%s_unique\" ON \"%s\""
				     " (tenant_id, \"%s\")";
	static const char unique_node[] = "CREATE UNIQUE INDEX IF NOT EXISTS \"%s_%s_unique\""
					  " ON \"%s\" (\"%s\")";
	static const char by_ref[] = "CREATE INDEX IF NOT EXISTS \"%s_%s_back\" ON \"%s\""
				     " (\"%s\", tenant_id)";
	int err;

	err = index_exec(db, by_revision, e->name, "revision");
	if (!err)
		err = index_exec(db, by_revision, e->name, "sort_key");
	for (size_t i = 0; !err && i < e->n_fields; i++) {
		const struct sch_field *f = &e->fields[i];

		if (!sch_stored(f))
			continue;
		if (f->flags & SCH_UNIQUE_NODE)
			err = index_exec(db, unique_node, e->name, f->name);
		else if (f->flags & SCH_UNIQUE)
			err = index_exec(db, unique, e->name, f->name);
		if (!err && f->type == SCH_DIGITS && e->title_field &&
		    !strcmp(f->name, e->title_field)) {
			char sql[400];

			(void)snprintf(sql, sizeof(sql), by_number, e->name, f->name, e->name,
				       f->name, "sort_key");
			err = db_exec(db, sql, DB_NO_ARGS);
		}
		if (!err && f->type == SCH_REF && !(f->flags & SCH_UNIQUE))
			err = index_exec(db, by_ref, e->name, f->name);
	}
	return err;
}

static int migrate_entity(struct db *db, const struct sch_entity *e)
{
	int err;

	for (int applied = 0; applied <= 1; applied++) {
		bool have[SCH_MAX_FIELDS] = { false };

		err = create_table(db, e, applied);
		if (err)
			return err;
		err = add_rest_columns(db, e, applied);
		if (!err)
			err = existing_columns(have, db, e, applied);
		for (size_t i = 0; !err && i < e->n_fields; i++)
			if (sch_stored(&e->fields[i]) && !have[i])
				err = add_column(db, e, applied, &e->fields[i]);
		if (err)
			return err;
	}
	err = index_exec(db, "CREATE INDEX IF NOT EXISTS \"%s_applied_%s\" ON \"%s_applied\" (%s)",
			 e->name, "tenant_id");
	return err ? err : create_indexes(db, e);
}

static int ddl(struct db *db)
{
	int err;

	err = db_migrate(db, "schema", migrations, sizeof(migrations) / sizeof(migrations[0]));
	for (size_t i = 0; !err && i < sch_n_entities; i++) {
		if (sch_entities[i]->n_fields > SCH_MAX_FIELDS)
			return -E2BIG;
		err = migrate_entity(db, sch_entities[i]);
	}
	return err;
}

int sch_migrate(struct db *db)
{
	int err = db_begin(db);

	if (err)
		return err;
	err = ddl(db);
	if (!err)
		err = sch_refresh(db);
	if (!err)
		err = sch_seed_node(db);
	if (!err)
		err = db_commit(db);
	if (err)
		db_rollback(db);
	return err;
}
