/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: who has changed what (PLT-01, PLT-02, ADV-78). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "web/period.h"
#include "web/rest.h"
#include "web/web_priv.h"

#define PAGE_SIZE_MAX 500

static int read_number(struct rest *rest, const char *name, int def, int max, int *ret)
{
	const char *text = web_arg(rest->req, name, NULL);
	char *end;
	long n;

	*ret = def;
	if (!text)
		return 0;
	n = strtol(text, &end, 10);
	if (end == text || *end || n < 1 || n > max)
		return rest_problem(rest, -EBADPATH, "bad_parameter",
				    REST_TEXT(rest, "Il parametro \"%s\" va da 1 a %d.",
					      "The parameter \"%s\" is from 1 to %d."), name, max);
	*ret = (int)n;
	return 0;
}

static int read_moment(struct rest *rest, const char *name, int64_t *ret)
{
	const char *text = web_arg(rest->req, name, NULL);

	if (!text || !period_parse_moment(ret, text))
		return 0;
	return rest_problem(rest, -EBADPATH, "bad_date",
			    REST_TEXT(rest, "%s è una data AAAA-MM-GG hh:mm:ss.",
				      "%s is a date YYYY-MM-DD hh:mm:ss."), name);
}

/* What is misspelt would otherwise filter nothing. */
static int check_arguments(struct rest *rest)
{
	static const char *const known[] = { "page", "page_size", "from", "to", "username", "ip_address", "action",
					     "object_type", "transaction_id", "q" };
	const struct web_req *req = rest->req;

	for (size_t i = 0; i < req->n_args; i++) {
		size_t k = 0;

		while (k < ARRAY_SIZE(known) && strcmp(req->args[i].name, known[k]))
			k++;
		if (k == ARRAY_SIZE(known))
			return rest_problem(rest, -EBADPATH, "bad_parameter",
					    REST_TEXT(rest,
						      "Il parametro \"%s\" non esiste: usare page, page_size, from, to, "
						      "username, ip_address, action, object_type, transaction_id, q.",
						      "There is no parameter \"%s\": use page, page_size, from, to, "
						      "username, ip_address, action, object_type, transaction_id, q."),
					    req->args[i].name);
	}
	return 0;
}

/* Newest first. The machine's administrator sees all tenants; what was changed in an object needs the
 * level that reading an object does. */
int rest_audit_list(struct rest *rest)
{
	struct sch_audit_query query = {
		.all_tenants = rest->who->node_rights,
		.with_changes = principal_level(rest->who, "audit_log") >= SCH_LEVEL_READ,
		.username = web_arg(rest->req, "username", NULL),
		.ip_address = web_arg(rest->req, "ip_address", NULL),
		.action = web_arg(rest->req, "action", NULL),
		.object_type = web_arg(rest->req, "object_type", NULL),
		.transaction_id = web_arg(rest->req, "transaction_id", NULL),
		.q = web_arg(rest->req, "q", NULL),
	};
	json_t *items = NULL;
	int64_t total = 0;
	int err;

	err = check_arguments(rest);
	if (!err)
		err = read_number(rest, "page", 1, 1000000, &query.page);
	if (!err)
		err = read_number(rest, "page_size", 50, PAGE_SIZE_MAX, &query.page_size);
	if (!err)
		err = read_moment(rest, "from", &query.from_us);
	if (!err)
		err = read_moment(rest, "to", &query.to_us);
	if (!err)
		err = sch_audit_list(&rest->ctx, &query, &items, &total);
	if (err)
		return err;

	rest_header(rest, "Cache-Control", "no-store");
	return rest_answer(rest, 200,
			   json_pack("{s:o, s:i, s:i, s:I}", "items", items, "page", query.page,
				     "page_size", query.page_size, "total", (json_int_t)total));
}
