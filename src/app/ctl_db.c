/* SPDX-License-Identifier: Apache-2.0 */
#include "app/ctl.h"
#include "app/entity.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/seal.h"
#include "bus/bus.h"
#include "db/db.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PASSWORD_SIZE     (16 + 1)
#define PASSWORD_MAX      256
#define RELOAD_TIMEOUT_MS 60000u

static int open_database(const struct ctl *ctl, struct db **ret_db, struct sch_ctx **ret_ctx)
{
	char url[PATH_MAX], why[300] = "";
	int err;

	err = seal_init(ctl->config->data_dir);
	if (err) {
		(void)fprintf(stderr, "aoide ctl: the machine key in %s cannot be read: %s\n",
			      ctl->config->data_dir, err_text(err));
		return err;
	}
	err = db_open(ret_db, config_db_url(url, sizeof(url), ctl->config), why, sizeof(why));
	if (err) {
		(void)fprintf(stderr, "aoide ctl: the database cannot be opened: %s\n",
			      *why ? why : err_text(err));
		return err;
	}

	return entity_ctx_alloc(ret_ctx, *ret_db, "aoide ctl");
}

static void close_database(struct db *db, struct sch_ctx *ctx)
{
	entity_ctx_free(ctx);
	if (db)
		db_close(db);
}

/* ------------------------------------------------------------------ apply */

static int apply_one(struct ctl *ctl, struct db *db, int64_t id, const char *name, json_t *results)
{
	json_t *answer = NULL;
	int64_t revision = 0;
	int err;

	err = sch_apply(db, id, &revision);
	if (err) {
		(void)fprintf(stderr, "aoide ctl: %s: the configuration could not be applied: %s\n", name,
			      err_text(err));
		return CTL_FAILED;
	}
	err = bus_request_wait(&answer, ctl->bus, "cmd.switch.reload",
			       json_pack("{s:I}", "tenant_id", (json_int_t)id), RELOAD_TIMEOUT_MS);
	if (err) {
		(void)fprintf(stderr,
			      "aoide ctl: %s: revision %lld is applied in the database, but the switch "
			      "did not take it: %s\n",
			      name, (long long)revision, err_text(err));
		return CTL_FAILED;
	}

	if (!ctl->is_json)
		(void)printf("%s: revision %lld is in force\n", name, (long long)revision);
	json_array_append_new(results, json_pack("{s:s, s:I, s:I}", "tenant", name, "tenant_id",
						 (json_int_t)id, "revision", (json_int_t)revision));
	json_decref(answer);
	return CTL_OK;
}

int ctl_apply(struct ctl *ctl)
{
	const char *wanted = ctl->argc ? ctl->argv[0] : NULL;
	json_t *tenants = NULL, *results = json_array(), *one;
	struct sch_ctx *ctx = NULL;
	struct db *db = NULL;
	bool is_found = false;
	int code = CTL_FAILED;
	size_t i;

	if (open_database(ctl, &db, &ctx) || entity_list(ctx, "tenant", &tenants))
		goto out;

	code = CTL_OK;
	if (!wanted)
		code = apply_one(ctl, db, 0, "node", results);
	json_array_foreach(tenants, i, one) {
		const char *domain = js_str(one, "domain", "");

		if (code || (wanted && strcasecmp(wanted, domain)))
			continue;
		is_found = true;
		code = apply_one(ctl, db, js_int(one, "id", 0), domain, results);
	}
	if (wanted && !is_found) {
		(void)fprintf(stderr, "aoide ctl: there is no tenant with the domain \"%s\"\n", wanted);
		code = CTL_NOT_FOUND;
	}
	if (!code && ctl->is_json)
		code = ctl_print_json(results);

out:
	json_decref(tenants);
	json_decref(results);
	close_database(db, ctx);
	return code;
}

/* ------------------------------------------------------------------ password */

static int read_password(char *buf, size_t size)
{
	if (!fgets(buf, (int)size, stdin))
		return -EINVAL;

	buf[strcspn(buf, "\r\n")] = '\0';
	return *buf ? 0 : -EINVAL;
}

/* "admin@default" is a user of a tenant; a name without domain one of the node. */
static int find_user(struct sch_ctx *ctx, const char *address, int64_t *ret)
{
	const char *at = strrchr(address, '@');
	char name[128];
	int err;

	if (at && (size_t)(at - address) >= sizeof(name))
		return -ENOENT;
	(void)snprintf(name, sizeof(name), "%.*s", at ? (int)(at - address) : (int)sizeof(name) - 1,
		       address);
	if (at) {
		err = entity_find(ctx, "tenant", "domain", at + 1, &ctx->tenant_id);
		if (err)
			return err;
	}

	return entity_find(ctx, "user", "username", name, ret);
}

int ctl_user(struct ctl *ctl)
{
	char password[PASSWORD_MAX];
	struct sch_ctx *ctx = NULL;
	struct db *db = NULL;
	int64_t id = 0;
	int code = CTL_FAILED, err;

	if (strcmp(ctl->argv[0], "reset-password")) {
		(void)fprintf(stderr, "aoide ctl: user reset-password USER@DOMAIN\n");
		return CTL_USAGE;
	}
	if (!ctl->reads_password) {
		seal_random_secret(password, PASSWORD_SIZE);
	} else if (read_password(password, sizeof(password))) {
		(void)fprintf(stderr, "aoide ctl: no password came from standard input\n");
		return CTL_USAGE;
	}
	if (open_database(ctl, &db, &ctx))
		goto out;

	err = find_user(ctx, ctl->argv[1], &id);
	if (err) {
		(void)fprintf(stderr, "aoide ctl: there is no user \"%s\"\n", ctl->argv[1]);
		code = err == -ENOENT ? CTL_NOT_FOUND : CTL_FAILED;
		goto out;
	}
	/* A password that went over a terminal is changed at the next login. */
	err = entity_write(ctx, "user", SCH_PATCH, id,
			   json_pack("{s:s, s:b, s:b}", "password", password, "enabled", 1,
				     "force_password_change", !ctl->reads_password),
			   NULL);
	if (err) {
		(void)fprintf(stderr, "aoide ctl: the password was not set: %s\n",
			      ctx->n_problems ? ctx->problems[0].message : err_text(err));
		goto out;
	}

	code = CTL_OK;
	if (ctl->is_json) {
		json_t *answer = json_pack("{s:s, s:s}", "user", ctl->argv[1], "password", password);

		code = ctl_print_json(answer);
		json_decref(answer);
	} else if (ctl->reads_password) {
		(void)printf("the password of %s is set\n", ctl->argv[1]);
	} else {
		(void)printf("%s\n", password);
	}

out:
	close_database(db, ctx);
	return code;
}
