/* SPDX-License-Identifier: Apache-2.0 */
#include "db/db_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a: the texts are ours, nobody outside chooses them. */
static uint32_t hash_text(uint32_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (uint8_t)*text) * 16777619u;

	return hash;
}

static uint32_t hash_stmt(const char *types, const char *sql)
{
	return hash_text(hash_text(2166136261u, types), sql);
}

static void lru_unlink(struct db_cache *cache, struct db_stmt *stmt)
{
	if (stmt->lru_prev)
		stmt->lru_prev->lru_next = stmt->lru_next;
	else
		cache->first = stmt->lru_next;
	if (stmt->lru_next)
		stmt->lru_next->lru_prev = stmt->lru_prev;
	else
		cache->last = stmt->lru_prev;
	stmt->lru_prev = stmt->lru_next = NULL;
}

static void lru_push(struct db_cache *cache, struct db_stmt *stmt)
{
	stmt->lru_prev = NULL;
	stmt->lru_next = cache->first;
	if (cache->first)
		cache->first->lru_prev = stmt;
	else
		cache->last = stmt;
	cache->first = stmt;
}

static struct db_stmt *find(struct db *db, uint32_t hash, const char *types, const char *sql)
{
	struct db_stmt *stmt = db->cache.slots[hash % DB_HASH_SLOTS];

	while (stmt && (stmt->hash != hash || strcmp(stmt->sql, sql) || strcmp(stmt->types, types)))
		stmt = stmt->hash_next;

	return stmt;
}

struct db_stmt *db_cache_find(struct db *db, const char *types, const char *sql)
{
	struct db_stmt *stmt = find(db, hash_stmt(types, sql), types, sql);

	if (!stmt || stmt->busy)
		return NULL;

	lru_unlink(&db->cache, stmt);
	lru_push(&db->cache, stmt);

	return stmt;
}

static void stmt_destroy(struct db *db, struct db_stmt *stmt)
{
	db->ops->stmt_free(db, stmt);
	free(stmt->bind);
	free(stmt->types);
	free(stmt->sql);
	free(stmt);
}

static void unlink_cached(struct db *db, struct db_stmt *stmt)
{
	struct db_stmt **at = &db->cache.slots[stmt->hash % DB_HASH_SLOTS];

	while (*at != stmt)
		at = &(*at)->hash_next;
	*at = stmt->hash_next;

	lru_unlink(&db->cache, stmt);
	db->cache.count--;
	stmt->cached = false;
}

/* A busy statement leaves the cache now and is freed when its cursor ends. */
void db_cache_remove(struct db *db, struct db_stmt *stmt)
{
	if (stmt->cached)
		unlink_cached(db, stmt);
	if (!stmt->busy)
		stmt_destroy(db, stmt);
}

void db_cache_clear(struct db *db)
{
	while (db->cache.first)
		db_cache_remove(db, db->cache.first);
}

int db_cache_add(struct db_stmt **ret, struct db *db, const char *types, const char *sql)
{
	struct db_stmt *stmt = calloc(1, sizeof(*stmt));

	if (!stmt)
		return -ENOMEM;

	stmt->sql = strdup(sql);
	stmt->types = strdup(types);
	if (!stmt->sql || !stmt->types) {
		free(stmt->sql);
		free(stmt->types);
		free(stmt);
		return -ENOMEM;
	}

	stmt->hash = hash_stmt(types, sql);
	*ret = stmt;
	if (find(db, stmt->hash, types, sql))
		return 0;

	if (db->cache.count >= DB_MAX_STATEMENTS)
		db_cache_remove(db, db->cache.last);

	stmt->hash_next = db->cache.slots[stmt->hash % DB_HASH_SLOTS];
	db->cache.slots[stmt->hash % DB_HASH_SLOTS] = stmt;
	lru_push(&db->cache, stmt);
	db->cache.count++;
	stmt->cached = true;

	return 0;
}

void db_stmt_release(struct db *db, struct db_stmt *stmt)
{
	stmt->busy = false;
	if (!stmt->cached)
		stmt_destroy(db, stmt);
}
