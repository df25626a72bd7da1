/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/seal.h"
#include "db/db.h"
#include "schema/schema.h"

/*
 * What the registry costs on SQLite with 1,000 extensions and 2,000 accounts: a page of a list, an
 * apply of everything, an apply of one row. Prints one line per measure: name, value, unit.
 */
#define EXTENSIONS 1000
#define ACCOUNTS   2000
#define LISTS      5000

static double now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static void must(int err, const char *what)
{
	if (!err)
		return;
	(void)fprintf(stderr, "%s failed: %d\n", what, err);
	exit(1);
}

static void fill(struct sch_ctx *ctx)
{
	for (int i = 0; i < EXTENSIONS; i++) {
		char number[16];
		json_t *body;

		(void)snprintf(number, sizeof(number), "%d", 1000 + i);
		body = json_pack("{s:s, s:s, s:s}", "number", number, "first_name", "Ada",
				 "last_name", "Lovelace");
		must(sch_write(ctx, sch_find("extension"), SCH_CREATE, 0, body, 0, NULL), "extension");
		json_decref(body);
	}
	for (int i = 0; i < ACCOUNTS; i++) {
		char name[32];
		json_t *body;

		(void)snprintf(name, sizeof(name), "phone%d", i);
		body = json_pack("{s:s, s:s, s:i}", "username", name, "password", "x1y2z3",
				 "extension", 1 + i / 2);
		must(sch_write(ctx, sch_find("account"), SCH_CREATE, 0, body, 0, NULL), "account");
		json_decref(body);
	}
}

static double lists(struct sch_ctx *ctx, const char *entity, int page)
{
	double start = now_us();

	for (int i = 0; i < LISTS; i++) {
		struct sch_query query = { .page = page, .page_size = 50 };
		struct sch_out out = { 0 };
		int64_t total = 0;

		must(sch_list(ctx, sch_find(entity), &query, &out, &total), "list");
		sch_out_free(&out);
		arena_free(ctx->arena);
		must(arena_alloc(&ctx->arena, 16384), "arena");
	}
	return (now_us() - start) / LISTS;
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/bench-schema-XXXXXX", path[64], command[80];
	const char *url = argc > 1 ? argv[1] : path;
	struct sch_ctx *ctx = calloc(1, sizeof(*ctx));
	json_t *patch = json_pack("{s:s}", "first_name", "Grace");
	double start;

	if (!ctx || !mkdtemp(dir))
		return 1;
	(void)snprintf(path, sizeof(path), "%s/db", dir);
	must(seal_init(dir), "seal");
	must(db_open(&ctx->db, url, NULL, 0), "open");
	must(sch_migrate(ctx->db), "migrate");
	must(arena_alloc(&ctx->arena, 16384), "arena");
	must(sch_tenant_find(&ctx->tenant_id, ctx->db, "default"), "tenant");
	must(db_begin(ctx->db), "begin");
	start = now_us();
	fill(ctx);
	must(db_commit(ctx->db), "commit");
	(void)printf("schema.write %.1f us\n", (now_us() - start) / (EXTENSIONS + ACCOUNTS));
	start = now_us();
	must(sch_apply(ctx->db, ctx->tenant_id, NULL), "apply");
	(void)printf("schema.apply_all %.1f ms\n", (now_us() - start) / 1e3);
	must(sch_write(ctx, sch_find("extension"), SCH_PATCH, 5, patch, 0, NULL), "patch");
	start = now_us();
	must(sch_apply(ctx->db, ctx->tenant_id, NULL), "apply");
	(void)printf("schema.apply_one %.2f ms\n", (now_us() - start) / 1e3);
	must(db_exec(ctx->db, "UPDATE \"extension\" SET revision = revision + 1000000", DB_NO_ARGS), "touch");
	must(db_exec(ctx->db, "UPDATE \"account\" SET revision = revision + 1000000", DB_NO_ARGS), "touch");
	start = now_us();
	must(sch_apply(ctx->db, ctx->tenant_id, NULL), "apply");
	(void)printf("schema.apply_all_again %.1f ms\n", (now_us() - start) / 1e3);
	(void)printf("schema.list_extension %.1f us\n", lists(ctx, "extension", 1));
	(void)printf("schema.list_extension_page_10 %.1f us\n", lists(ctx, "extension", 10));
	(void)printf("schema.list_account %.1f us\n", lists(ctx, "account", 1));
	json_decref(patch);
	db_close(ctx->db);
	arena_free(ctx->arena);
	free(ctx);
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command) != 0;
}
