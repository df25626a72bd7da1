/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audio/store.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/seal.h"
#include "db/db.h"
#include "schema/schema.h"
#include "snapshot/snapshot.h"

/*
 * How long it takes until a saved configuration is in force: a tenant with 1,000 extensions and
 * 2,000 accounts, made through the registry, is applied, loaded and swapped in; and what 100,000
 * accounts cost in memory. On SQLite in a temporary folder, or on the database named by the first
 * argument. Prints one JSON object.
 */
#define EXTENSIONS 1000
#define ACCOUNTS   2000
#define MANY	   100000
#define ROUNDS	   7
/* Extensions per transaction: in PostgreSQL each write of one transaction makes a version of the
 * tenant's revision, and each next one walks past them all. */
#define FILL_BATCH 25

struct bench {
	char dir[64];
	struct db *db;
	struct sch_ctx ctx;
	struct arena *sip_arena;
	struct snap_sip *sip;
	struct snap *snap;
	int64_t tenant_id;
};

struct times {
	double apply_ms, load_ms, swap_ms;
};

static void must(int err, const char *what)
{
	if (!err)
		return;
	(void)fprintf(stderr, "%s: %s\n", what, err_text(err));
	exit(1);
}

static double now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);

	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int64_t make(struct bench *b, const char *entity, json_t *body)
{
	int64_t id = 0;
	int err =
		body ? sch_write(&b->ctx, sch_find(entity), SCH_CREATE, 0, body, 0, &id) : -ENOMEM;

	if (err && b->ctx.n_problems)
		(void)fprintf(stderr, "%s: %s\n", b->ctx.problems[0].field,
			      b->ctx.problems[0].message);
	must(err, entity);
	json_decref(body);
	json_decref(b->ctx.generated);
	b->ctx.generated = NULL;

	return id;
}

static void fill(struct bench *b)
{
	char text[32];

	must(db_begin(b->db), "begin");
	for (int i = 0; i < EXTENSIONS; i++) {
		int64_t ext;

		if (i > 0 && i % FILL_BATCH == 0) {
			must(db_commit(b->db), "commit");
			must(db_begin(b->db), "begin");
		}

		(void)snprintf(text, sizeof(text), "%d", 1000 + i);
		ext = make(b, "extension",
			   json_pack("{s:s, s:s, s:s}", "number", text, "first_name", "Bench",
				     "last_name", text));
		for (int k = 0; k < ACCOUNTS / EXTENSIONS; k++) {
			(void)snprintf(text, sizeof(text), "%d-%d", 1000 + i, k);
			(void)make(b, "account",
				   json_pack("{s:s, s:s, s:I}", "username", text, "password",
					     "Sixteen-letters1", "extension", (json_int_t)ext));
		}
	}
	must(db_commit(b->db), "commit");
}

static struct times in_force(struct bench *b)
{
	struct snap_tenant *tenant = NULL;
	struct times t;
	double start = now_ms(), applied, loaded;

	must(sch_apply(b->db, b->tenant_id, NULL), "apply");
	applied = now_ms();
	must(snap_tenant_load(&tenant, b->db, b->tenant_id, b->sip), "load");
	loaded = now_ms();
	must(snap_swap(b->snap, b->tenant_id, tenant), "swap");
	t = (struct times){ applied - start, loaded - applied, now_ms() - loaded };

	return t;
}

/* Every row of the tenant counts as changed, as after an import. */
static void touch_all(struct bench *b)
{
	static const char *const tables[] = { "extension", "account" };
	char sql[200];

	must(db_exec(b->db,
		     "UPDATE configuration_revision SET saved = saved + 1 WHERE tenant_id = $1",
		     DB_ARGS(db_i64(b->tenant_id))),
	     "touch");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		(void)snprintf(sql, sizeof(sql),
			       "UPDATE \"%s\" SET revision = (SELECT saved FROM"
			       " configuration_revision WHERE tenant_id = $1) WHERE tenant_id = $1",
			       tables[i]);
		must(db_exec(b->db, sql, DB_ARGS(db_i64(b->tenant_id))), "touch");
	}
}

static int by_total(const void *a, const void *b)
{
	const struct times *x = a, *y = b;
	double d = x->apply_ms + x->load_ms + x->swap_ms - y->apply_ms - y->load_ms - y->swap_ms;

	return (d > 0) - (d < 0);
}

static void print_times(const char *name, const struct times *t)
{
	(void)printf(" \"%s\": {\"apply_ms\": %.1f, \"load_ms\": %.1f, \"swap_ms\": %.2f,"
		     " \"total_ms\": %.1f},\n",
		     name, t->apply_ms, t->load_ms, t->swap_ms,
		     t->apply_ms + t->load_ms + t->swap_ms);
}

/* What of the load is opening the sealed passwords; the rest is SQL, hashes and indexes. */
static double unseal_ms(void)
{
	char *sealed = NULL, *clear = NULL;
	double start;

	must(seal_close(&sealed, "account.password", "Sixteen-letters1"), "seal");
	start = now_ms();
	for (int i = 0; i < ACCOUNTS; i++) {
		must(seal_open(&clear, "account.password", sealed), "unseal");
		free(clear);
	}
	free(sealed);

	return now_ms() - start;
}

/* 100,000 accounts: the rows of one, under other names. They are not saved, only applied. */
static void multiply(struct bench *b)
{
	char sql[900];

	(void)snprintf(sql, sizeof(sql),
		       "CREATE TEMPORARY TABLE many AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
		       " SELECT i + 1 FROM n WHERE i < %d) SELECT a.* FROM n, (SELECT * FROM"
		       " account_applied WHERE tenant_id = %" PRId64 " ORDER BY id LIMIT 1) a",
		       MANY - ACCOUNTS, b->tenant_id);
	must(db_script(b->db, sql), "multiply");
	if (db_kind(b->db) == DB_POSTGRES)
		must(db_script(b->db, "CREATE TEMPORARY SEQUENCE many_seq"), "multiply");
	must(db_script(b->db,
		       db_kind(b->db) == DB_SQLITE
			       ? "UPDATE many SET id = 1000000 + rowid, extension = NULL,"
				 " username = 'many-' || rowid"
			       : "UPDATE many SET id = 1000000 + nextval('many_seq');"
				 "UPDATE many SET extension = NULL, username = 'many-' || id"),
	     "multiply");
	must(db_script(b->db, "INSERT INTO account_applied SELECT * FROM many"), "multiply");
}

static void bench_many(struct bench *b)
{
	struct snap_stats stats;
	struct snap_tenant *tenant = NULL;
	double start, loaded;

	multiply(b);
	start = now_ms();
	must(snap_tenant_load(&tenant, b->db, b->tenant_id, b->sip), "load");
	loaded = now_ms();
	must(snap_swap(b->snap, b->tenant_id, tenant), "swap");
	(void)printf(" \"many\": {\"load_ms\": %.0f, \"swap_ms\": %.1f", loaded - start,
		     now_ms() - loaded);
	snap_stats(b->snap, &stats);
	(void)printf(", \"accounts\": %" PRIu32 ", \"bytes\": %zu, \"bytes_per_account\": %.0f}",
		     stats.accounts, stats.bytes, (double)stats.bytes / stats.accounts);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static void bench_open(struct bench *b, const char *url)
{
	char path[96], text[300];

	(void)snprintf(b->dir, sizeof(b->dir), "/tmp/aoide-bench-XXXXXX");
	must(mkdtemp(b->dir) ? 0 : -errno, "temporary folder");
	(void)snprintf(path, sizeof(path), "%s/bench.db", b->dir);
	must(seal_init(b->dir), "key");
	if (db_open(&b->db, url ? url : path, text, sizeof(text))) {
		(void)fprintf(stderr, "%s\n", text);
		exit(1);
	}
	must(sch_migrate(b->db), "migrate");
	must(audio_migrate(b->db), "migrate");
	must(arena_alloc(&b->ctx.arena, 4096), "arena");
	must(sch_tenant_find(&b->tenant_id, b->db, "default"), "tenant");
	b->ctx.db = b->db;
	b->ctx.lang = SCH_EN;
	b->ctx.user_name = "bench";
	b->ctx.tenant_id = b->tenant_id;
}

int main(int argc, char **argv)
{
	struct bench b = { .tenant_id = 0 };
	struct times all[ROUNDS], one[ROUNDS], first;
	struct snap_stats stats;
	double start;

	bench_open(&b, argc > 1 ? argv[1] : NULL);
	start = now_ms();
	fill(&b);
	(void)printf("{\"bench\": \"snapshot\", \"database\": \"%s\", \"cores\": %ld,\n"
		     " \"extensions\": %d, \"accounts\": %d, \"fill_ms\": %.0f,\n",
		     db_kind(b.db) == DB_SQLITE ? "sqlite" : "postgresql",
		     sysconf(_SC_NPROCESSORS_ONLN), EXTENSIONS, ACCOUNTS, now_ms() - start);

	must(arena_alloc(&b.sip_arena, 4096), "arena");
	must(sch_apply(b.db, 0, NULL), "apply");
	must(snap_sip_load(&b.sip, b.sip_arena, b.db, NULL), "settings");
	must(snap_alloc(&b.snap), "snapshot");

	first = in_force(&b);
	for (int i = 0; i < ROUNDS; i++) {
		touch_all(&b);
		all[i] = in_force(&b);
		(void)make(&b, "extension",
			   json_pack("{s:o}", "number", json_sprintf("%d", 5000 + i)));
		one[i] = in_force(&b);
	}
	qsort(all, ROUNDS, sizeof(all[0]), by_total);
	qsort(one, ROUNDS, sizeof(one[0]), by_total);
	print_times("first", &first);
	print_times("all_changed", &all[ROUNDS / 2]);
	print_times("one_changed", &one[ROUNDS / 2]);
	snap_stats(b.snap, &stats);
	(void)printf(" \"unseal_ms\": %.1f, \"tenant_bytes\": %zu,\n", unseal_ms(), stats.bytes);
	bench_many(&b);
	(void)printf(",\n \"goal_total_ms\": 200, \"ok\": %s}\n",
		     all[ROUNDS / 2].apply_ms + all[ROUNDS / 2].load_ms + all[ROUNDS / 2].swap_ms <
				     200
			     ? "true"
			     : "false");

	snap_free(b.snap);
	arena_free(b.sip_arena);
	arena_free(b.ctx.arena);
	db_close(b.db);
	(void)nftw(b.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);

	return 0;
}
