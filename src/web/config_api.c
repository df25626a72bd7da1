/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"
#include "web/rest.h"
#include "web/web_priv.h"

/* The schema document, and saved versus applied (BASE-80, D-052). */
#define LOG_LEVELS_BYTES 4096

int rest_schema_get(struct rest *rest)
{
	int err = rest_answer(rest, 200, sch_document());

	if (!err)
		rest_etag(rest, 1);
	return err;
}

/* ?level=node acts on the node's configuration instead of the tenant's. */
static int choose_level(struct rest *rest)
{
	const char *level = web_arg(rest->req, "level", "tenant");

	if (!strcmp(level, "tenant"))
		return 0;
	if (strcmp(level, "node"))
		return rest_problem(rest, -EBADPATH, "bad_parameter",
				    REST_TEXT(rest, "level può essere tenant o node.",
					      "level may be tenant or node."));
	if (!rest->who->node_rights)
		return -EFORBIDDEN;
	rest->ctx.tenant_id = 0;
	return 0;
}

/* Anybody who may write something may apply (01-entity-index: "as lock"). */
static int may_write_something(struct rest *rest)
{
	for (size_t i = 0; i < sch_n_permissions; i++)
		if (principal_level(rest->who, sch_permissions[i].key) == SCH_LEVEL_WRITE)
			return 0;
	return rest_problem(rest, -EFORBIDDEN, "forbidden",
			    REST_TEXT(rest, "Il proprio ruolo non modifica la configurazione.",
				      "Your role does not change the configuration."));
}

static int answer_revision(struct rest *rest)
{
	int64_t saved = 0, applied = 0;
	json_t *pending = NULL;
	int err = sch_revisions(rest->db, rest->ctx.tenant_id, &saved, &applied);

	if (!err)
		err = sch_pending(&rest->ctx, &pending);
	if (err)
		return err;
	err = rest_answer(rest, 200,
			  json_pack("{s:I,s:I,s:I}", "saved", (json_int_t)saved, "applied",
				    (json_int_t)applied, "pending",
				    (json_int_t)json_array_size(pending)));
	json_decref(pending);
	rest_header(rest, "Cache-Control", "no-store");
	return err;
}

int rest_config_revision(struct rest *rest)
{
	int err = choose_level(rest);

	return err ? err : answer_revision(rest);
}

int rest_config_changes(struct rest *rest)
{
	json_t *pending = NULL;
	int err = choose_level(rest);

	if (!err)
		err = sch_pending(&rest->ctx, &pending);
	if (err)
		return err;
	rest_header(rest, "Cache-Control", "no-store");
	if (rest->family == FAMILY_V2)
		pending = json_pack("{s:o,s:I}", "items", pending, "total",
				    (json_int_t)json_array_size(pending));
	return rest_answer(rest, 200, pending);
}

int rest_config_apply(struct rest *rest)
{
	int err = may_write_something(rest);

	if (!err)
		err = choose_level(rest);
	if (!err)
		err = web_apply_now(rest->web, rest->db, rest->ctx.tenant_id, NULL);
	return err ? err : answer_revision(rest);
}

int rest_config_discard(struct rest *rest)
{
	int err = may_write_something(rest);

	if (!err)
		err = choose_level(rest);
	if (!err)
		err = sch_discard(&rest->ctx);
	return err ? err : answer_revision(rest);
}

/* ------------------------------------------------------------------ log levels of this process */

static int answer_levels(struct rest *rest)
{
	char levels[LOG_LEVELS_BYTES] = "";

	log_levels_print(levels, sizeof(levels));
	return rest_answer(rest, 200, json_pack("{s:s}", "levels", levels));
}

int rest_loglevel_get(struct rest *rest)
{
	if (!rest->who->node_rights)
		return -EFORBIDDEN;
	return answer_levels(rest);
}

int rest_loglevel_put(struct rest *rest)
{
	json_t *body = NULL;
	int err;

	if (!rest->who->node_rights)
		return -EFORBIDDEN;
	err = rest_body(rest, NULL, &body);
	if (err)
		return err;
	err = log_level_set(js_str(body, "module", "*"), js_str(body, "level", ""));
	if (err == -ENOENT)
		err = rest_problem(rest, -EINVAL, "unknown_module",
				   REST_TEXT(rest, "module può essere * oppure: %s.",
					     "module may be * or one of: %s."),
				   log_module_names());
	else if (err)
		err = rest_problem(rest, -EINVAL, "unknown_level",
				   REST_TEXT(rest, "level può essere error, warn, info o debug.",
					     "level may be error, warn, info or debug."));
	json_decref(body);
	return err ? err : answer_levels(rest);
}
