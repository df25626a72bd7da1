/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/entity.h"
#include "base/config.h"
#include "base/log.h"
#include "base/seal.h"
#include "db/db.h"
#include "schema/schema.h"

/*
 * Fills the tenant "default" of a data folder through the registry, also while the PBX runs on it:
 * N extensions from number 20000 and M accounts "u000000"... spread over them. Saved, not applied.
 *
 *	bench_fill DATA EXTENSIONS ACCOUNTS PASSWORD
 */
#define FIRST_NUMBER 20000
/* Others write too: a transaction must not hold the database for long. */
#define BATCH 250

static void must(bool ok, struct sch_ctx *ctx, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench_fill: %s failed %s %s\n", what,
		ctx && ctx->n_problems ? ctx->problems[0].field : "",
		ctx && ctx->n_problems ? ctx->problems[0].message : "");
	exit(1);
}

static void next_batch(struct sch_ctx *ctx, unsigned i)
{
	if (i % BATCH)
		return;
	must(!db_commit(ctx->db), ctx, "commit");
	must(!db_begin(ctx->db), ctx, "begin");
}

static void fill(struct sch_ctx *ctx, unsigned extensions, unsigned accounts, const char *password)
{
	int64_t *ids = calloc(extensions, sizeof(*ids)), id;
	char text[32];

	must(ids != NULL, NULL, "memory");
	must(!db_begin(ctx->db), ctx, "begin");
	for (unsigned i = 0; i < extensions; i++) {
		next_batch(ctx, i);
		snprintf(text, sizeof(text), "%u", FIRST_NUMBER + i);
		must(!entity_write(ctx, "extension", SCH_CREATE, 0,
				   json_pack("{s:s, s:s, s:s}", "number", text, "first_name", "Bench",
					     "last_name", text), &ids[i]), ctx, "extension");
	}
	for (unsigned i = 0; i < accounts; i++) {
		next_batch(ctx, i);
		snprintf(text, sizeof(text), "u%06u", i);
		must(!entity_write(ctx, "account", SCH_CREATE, 0,
				   json_pack("{s:s, s:s, s:I}", "username", text, "password", password,
					     "extension", (json_int_t)ids[i % extensions]), &id),
		     ctx, "account");
	}
	must(!db_commit(ctx->db), ctx, "commit");
	free(ids);
}

int main(int argc, char **argv)
{
	struct config *config = NULL;
	struct sch_ctx *ctx = NULL;
	struct db *db = NULL;
	char path[512], why[200] = "";
	unsigned extensions, accounts;

	if (argc != 5) {
		fprintf(stderr, "usage: bench_fill DATA EXTENSIONS ACCOUNTS PASSWORD\n");
		return 2;
	}
	(void)log_level_set("*", "warn");
	extensions = (unsigned)atoi(argv[2]);
	accounts = (unsigned)atoi(argv[3]);
	must(extensions > 0, NULL, "at least one extension");
	must(!config_alloc(&config) && !config_set(config, "data", argv[1], why, sizeof(why)), NULL,
	     why);
	must(!seal_init(argv[1]), NULL, "key of the data folder");
	must(!db_open(&db, config_path(path, sizeof(path), config, CONFIG_DB_FILE), why, sizeof(why)),
	     NULL, why);
	must(!entity_ctx_alloc(&ctx, db, "bench"), NULL, "registry");
	must(!sch_tenant_find(&ctx->tenant_id, db, "default"), NULL, "tenant default");
	fill(ctx, extensions, accounts, argv[4]);
	entity_ctx_free(ctx);
	db_close(db);
	config_free(config);
	return 0;
}
