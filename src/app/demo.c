/* SPDX-License-Identifier: Apache-2.0 */
#include "app/entity.h"
#include "app/prepare.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/seal.h"
#include "db/db.h"
#include "schema/schema.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEMO_FILE      "demo.json"
#define DEMO_SAVED     "demo.saved.json" /* secrets of the demo, between starts */
#define DEMO_FIRST     101
#define DEMO_LAST      105
#define DEMO_DOMAIN    "default"
#define SECRET_SIZE    (16 + 1)
#define DEMO_MAX_BYTES (64 * 1024)

/* ------------------------------------------------------------------ writing entities */

static int log_problems(const struct sch_ctx *ctx, const char *entity, int err)
{
	log_error("demo.write", "the demo tenant could not be made", kv_text("entity", entity),
		  kv_text("field", ctx->n_problems ? ctx->problems[0].field : ""),
		  kv_text("why", ctx->n_problems ? ctx->problems[0].message : ""), kv_err(err));
	return err;
}

/* Steals body. */
static int write_entity(struct sch_ctx *ctx, const char *name, enum sch_write how, int64_t id,
			json_t *body, int64_t *ret_id)
{
	const int err = entity_write(ctx, name, how, id, body, ret_id);

	return err ? log_problems(ctx, name, err) : 0;
}

static int tenant_get(struct sch_ctx *ctx, const char *password, int64_t *ret)
{
	int err = entity_find(ctx, "tenant", "domain", DEMO_DOMAIN, ret);

	if (err != -ENOENT)
		return err;

	return sch_tenant_create(
		ctx, json_pack("{s:s, s:s}", "name", "Default", "domain", DEMO_DOMAIN), password, ret);
}

static int make_admin(struct sch_ctx *ctx, const char *password)
{
	int64_t id = 0;
	int err;

	err = entity_find(ctx, "user", "username", "admin", &id);
	if (err)
		return log_problems(ctx, "user", err);

	/* D-037: --demo may set another first password than the one that has to be changed. */
	return write_entity(ctx, "user", SCH_PATCH, id,
			    json_pack("{s:s, s:b, s:b, s:b, s:b}", "password", password, "enabled", 1,
				      "force_password_change", 0, "gui_access", 1, "api_access", 1),
			    NULL);
}

static int allow_transports(struct sch_ctx *ctx)
{
	int64_t id = 0;
	int err;

	err = entity_find(ctx, "account_template", "name", "Default", &id);
	if (err)
		return log_problems(ctx, "account_template", err);

	return write_entity(ctx, "account_template", SCH_PATCH, id,
			    json_pack("{s:b, s:b, s:b, s:b, s:b}", "transport_udp", 1, "transport_tcp",
				      1, "transport_tls", 1, "transport_ws", 1, "transport_wss", 1),
			    NULL);
}

/* Extension and account; the account as it is afterwards is added to accounts. */
static int make_extension(struct sch_ctx *ctx, int number, json_t *accounts)
{
	static const char *const names[] = { "Anna", "Bruno", "Carla", "Dario", "Elena" };
	char exten[16], secret[SECRET_SIZE];
	int64_t extension_id = 0, account_id = 0;
	json_t *account = NULL;
	int err;

	(void)snprintf(exten, sizeof(exten), "%d", number);
	seal_random_secret(secret, sizeof(secret));

	err = entity_find(ctx, "extension", "number", exten, &extension_id);
	if (err == -ENOENT)
		err = write_entity(ctx, "extension", SCH_CREATE, 0,
				   json_pack("{s:s, s:s, s:s}", "number", exten, "first_name",
					     names[(size_t)(number - DEMO_FIRST) %
						   (sizeof(names) / sizeof(names[0]))],
					     "last_name", "Demo"),
				   &extension_id);
	if (err)
		return err;

	err = entity_find(ctx, "account", "username", exten, &account_id);
	if (err == -ENOENT)
		err = write_entity(ctx, "account", SCH_CREATE, 0,
				   json_pack("{s:s, s:s, s:s, s:I}", "username", exten, "password",
					     secret, "label", exten, "extension",
					     (json_int_t)extension_id),
				   &account_id);
	else if (!err)
		err = write_entity(ctx, "account", SCH_PATCH, account_id,
				   json_pack("{s:s, s:I}", "password", secret, "extension",
					     (json_int_t)extension_id),
				   NULL);
	if (err)
		return err;

	/* The tenant may put its prefix before the name. */
	err = sch_get(ctx, sch_find("account"), account_id, &account);
	if (err)
		return log_problems(ctx, "account", err);
	json_array_append_new(accounts,
			      json_pack("{s:s, s:s, s:s}", "extension", exten, "username",
					js_str(account, "username", exten), "secret", secret));
	json_decref(account);

	return 0;
}

static int make_tenant(struct db *db, json_t **ret)
{
	struct sch_ctx *ctx = NULL;
	json_t *accounts = json_array();
	char password[SECRET_SIZE];
	int64_t tenant_id = 0, revision;
	int err;

	if (!accounts) {
		err = -ENOMEM;
		goto out;
	}
	err = entity_ctx_alloc(&ctx, db, "system");
	if (err)
		goto out;

	seal_random_secret(password, sizeof(password));
	err = tenant_get(ctx, password, &tenant_id);
	if (err) {
		(void)log_problems(ctx, "tenant", err);
		goto out;
	}
	ctx->tenant_id = tenant_id;
	err = make_admin(ctx, password);
	if (!err)
		err = allow_transports(ctx);
	for (int number = DEMO_FIRST; number <= DEMO_LAST && !err; number++)
		err = make_extension(ctx, number, accounts);
	if (!err)
		err = sch_apply(db, tenant_id, &revision);
	if (err)
		goto out;

	*ret = json_pack("{s:{s:s, s:s, s:s}, s:O}", "admin", "username", "admin", "domain",
			 DEMO_DOMAIN, "password", password, "accounts", accounts);
	err = *ret ? 0 : -ENOMEM;

out:
	entity_ctx_free(ctx);
	json_decref(accounts);
	return err;
}

/* ------------------------------------------------------------------ the files */

static int write_private(const struct config *config, const char *name, const char *text)
{
	char path[PATH_MAX], tmp[PATH_MAX + 16];
	const size_t len = strlen(text);
	int fd, err = 0;

	(void)config_path(path, sizeof(path), config, name);
	(void)snprintf(tmp, sizeof(tmp), "%s.XXXXXX", path);
	fd = mkostemp(tmp, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd))
		err = errno ? -errno : -EIO;
	(void)close(fd);
	if (!err && rename(tmp, path))
		err = -errno;
	if (err)
		(void)unlink(tmp);

	return err;
}

static int read_saved(const struct config *config, json_t **ret)
{
	char path[PATH_MAX], *text;
	FILE *file = fopen(config_path(path, sizeof(path), config, DEMO_SAVED), "re");
	size_t n;
	int err;

	if (!file)
		return -errno;
	text = malloc(DEMO_MAX_BYTES);
	if (!text) {
		(void)fclose(file);
		return -ENOMEM;
	}

	n = fread(text, 1, DEMO_MAX_BYTES, file);
	(void)fclose(file);
	err = js_parse(ret, text, n, NULL, 0);
	free(text);
	return err;
}

static void add_address(json_t *sip, const char *transport, const char *host, unsigned port)
{
	if (port)
		json_object_set_new(sip, transport, json_sprintf("%s:%u", host, port));
}

/* Where everything is reached now: ports and address may differ from the last start. */
static json_t *addresses(const struct config *config)
{
	char host[128];
	json_t *sip = json_object();

	(void)snprintf(host, sizeof(host), strchr(config->advertise, ':') ? "[%s]" : "%s",
		       config->advertise);
	add_address(sip, "udp", host, config->sip_port);
	add_address(sip, "tcp", host, config->sip_port);
	add_address(sip, "tls", host, config->sip_port + 1u);
	add_address(sip, "ws", host, config->ws_port);
	add_address(sip, "wss", host, config->wss_port);

	return json_pack("{s:o, s:o, s:o}", "https",
			 json_sprintf("https://%s:%u", host, config->https_port), "http",
			 config->http_port ? json_sprintf("http://%s:%u", host, config->http_port) :
					     json_null(),
			 "sip", sip);
}

int demo_prepare(const struct config *config, char **ret_text)
{
	char url[PATH_MAX], why[300] = "", *saved_text = NULL;
	json_t *facts = NULL, *all = NULL;
	struct db *db = NULL;
	int err;

	err = read_saved(config, &facts);
	if (err == -ENOENT) {
		err = db_open(&db, config_db_url(url, sizeof(url), config), why, sizeof(why));
		if (!err)
			err = make_tenant(db, &facts);
		if (err)
			goto out;
		saved_text = js_dump(facts);
		err = saved_text ? write_private(config, DEMO_SAVED, saved_text) : -ENOMEM;
	}
	if (err)
		goto out;

	all = addresses(config);
	if (!all || json_object_update(all, facts)) {
		err = -ENOMEM;
		goto out;
	}
	*ret_text = json_dumps(all, JSON_INDENT(2));
	err = *ret_text ? 0 : -ENOMEM;

out:
	if (err)
		log_error("demo.failed", "the demo tenant is not available", kv_text("why", why),
			  kv_err(err));
	free(saved_text);
	json_decref(all);
	json_decref(facts);
	if (db)
		db_close(db);
	return err;
}

static void print_facts(const json_t *facts)
{
	const json_t *sip = json_object_get(facts, "sip"), *admin = json_object_get(facts, "admin");
	const json_t *accounts = json_object_get(facts, "accounts");
	const char *transport;
	const json_t *value;
	size_t i;

	(void)printf("\n  Aoide is ready.\n\n  Web page   %s\n  User       %s@%s\n  Password   %s\n\n",
		     js_str(facts, "https", ""), js_str(admin, "username", ""),
		     js_str(admin, "domain", ""), js_str(admin, "password", ""));
	json_object_foreach((json_t *)(uintptr_t)sip, transport, value)
		(void)printf("  SIP %-6s %s\n", transport, json_string_value(value));
	(void)printf("\n  Extension  User name       Secret\n");
	json_array_foreach(accounts, i, value)
		(void)printf("  %-10s %-15s %s\n", js_str(value, "extension", ""),
			     js_str(value, "username", ""), js_str(value, "secret", ""));
	(void)printf("\n  Ctrl-C ends it.\n\n");
	(void)fflush(stdout);
}

int demo_publish(const struct config *config, const char *text)
{
	json_t *facts = NULL;
	int err;

	err = write_private(config, DEMO_FILE, text);
	if (!err)
		err = js_parse(&facts, text, strlen(text), NULL, 0);
	if (err) {
		log_error("demo.file", "the file with the demo's facts cannot be written",
			  kv_text("file", DEMO_FILE), kv_err(err));
		return err;
	}

	print_facts(facts);
	json_decref(facts);
	return 0;
}

void demo_withdraw(const struct config *config)
{
	char path[PATH_MAX];

	(void)unlink(config_path(path, sizeof(path), config, DEMO_FILE));
}
