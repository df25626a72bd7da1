/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static void what_is_written_is_read_again(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t id = make(ctx, "extension", "{'number':'101','firstName':'Ada','last_name':'Rossi'}");
	json_t *row = get(ctx, "extension", id);

	assert_string_equal(str(row, "number"), "101");
	assert_string_equal(str(row, "first_name"), "Ada");
	assert_true(json_is_true(json_object_get(row, "enabled")));
	assert_null(json_object_get(row, "service_pin"));
	assert_int_equal(json_array_size(json_object_get(row, "overrides")), 0);
	json_decref(row);
	fixture_free(ctx);
}

static void a_get_put_back_changes_nothing(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t saved, before, applied, id;
	json_t *row;

	for (size_t i = 0; i < sch_n_entities; i++) {
		const struct sch_entity *e = sch_entities[i];
		struct sch_out out = { 0 };
		json_t *list, *item;
		size_t k;

		OK(sch_list(ctx, e, &(struct sch_query){ 0 }, &out, NULL));
		list = js(out.text);
		sch_out_free(&out);
		json_array_foreach(list, k, item) {
			int64_t scope = e->scope == SCH_PBX ? 0 : ctx->tenant_id;

			if (e->permission && !strcmp(e->name, "role"))
				continue; /* predefined: no write at all */
			fixture_clear(ctx);
			OK(sch_revisions(ctx->db, scope, &before, &applied));
			OK(sch_write(ctx, e, SCH_PUT, num(item, "id"), item, 0, NULL));
			OK(sch_revisions(ctx->db, scope, &saved, &applied));
			assert_int_equal(saved, before);
		}
		json_decref(list);
	}
	id = make(ctx, "extension", "{'number':'101','busy_level':3,'overflow_internal_busy':"
				    "{'destination':{'type':'external_number','value':'0123'}}}");
	row = get(ctx, "extension", id);
	OK(sch_revisions(ctx->db, ctx->tenant_id, &before, &applied));
	OK(sch_write(ctx, sch_find("extension"), SCH_PUT, id, row, num(row, "revision"), NULL));
	OK(sch_revisions(ctx->db, ctx->tenant_id, &saved, &applied));
	assert_int_equal(saved, before);
	json_decref(row);
	fixture_free(ctx);
}

static void templates_are_inherited_and_overridden(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t tmpl = make(ctx, "extension_template", "{'name':'Sales','busy_level':2}");
	char body[200];
	int64_t a, b;
	json_t *row;

	(void)snprintf(body, sizeof(body), "{'number':'201','template':%lld}", (long long)tmpl);
	a = make(ctx, "extension", body);
	(void)snprintf(body, sizeof(body), "{'number':'202','template':%lld,'busy_level':7}",
		       (long long)tmpl);
	b = make(ctx, "extension", body);
	OK(put(ctx, "extension_template", SCH_PATCH, tmpl, "{'busy_level':5}", NULL));
	row = get(ctx, "extension", a);
	assert_int_equal(num(row, "busy_level"), 5);
	json_decref(row);
	row = get(ctx, "extension", b);
	assert_int_equal(num(row, "busy_level"), 7);
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "overrides"), 0)),
			    "busy_level");
	json_decref(row);

	/* null goes back to the template, for one field of many */
	OK(put(ctx, "extension", SCH_PATCH, b, "{'busy_level':null}", NULL));
	row = get(ctx, "extension", b);
	assert_int_equal(num(row, "busy_level"), 5);
	json_decref(row);

	/* another template keeps the overrides (D-088), an empty overrides drops them */
	OK(put(ctx, "extension", SCH_PATCH, b, "{'lock_mode':'code'}", NULL));
	OK(put(ctx, "extension", SCH_PATCH, b, "{'overrides':[]}", NULL));
	row = get(ctx, "extension", b);
	assert_string_equal(str(row, "lock_mode"), "open");
	json_decref(row);
	fixture_free(ctx);
}

static void all_problems_are_told_at_once(void **state)
{
	struct sch_ctx *ctx = fixture(*state);

	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0,
			     "{'number':'10a','first_name':'a\\nb','email':'x','mobile_number':'12-3',"
			     "'service_pin':'12','colour':'red','lock_mode':'ajar',"
			     "'busy_level':-1,'routing_class_standard':99,"
			     "'overflow_internal_busy':{'destination':{'type':'extension'}},"
			     "'overflow_transfer_busy':{'destination':{'type':'ring_group','id':1}}}",
			     NULL),
			 -EINVAL);
	assert_true(problem(ctx, "number", "bad_format"));
	assert_true(problem(ctx, "first_name", "control_characters"));
	assert_true(problem(ctx, "email", "bad_format"));
	assert_true(problem(ctx, "mobile_number", "bad_format"));
	assert_true(problem(ctx, "service_pin", "bad_pin"));
	assert_true(problem(ctx, "colour", "unknown_field"));
	assert_true(problem(ctx, "lock_mode", "bad_choice"));
	assert_true(problem(ctx, "busy_level", "out_of_range"));
	assert_true(problem(ctx, "routing_class_standard", "not_found"));
	assert_true(problem(ctx, "overflow_internal_busy.destination.id", "required"));
	assert_true(problem(ctx, "overflow_transfer_busy.destination.type", "bad_choice"));
	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0, "{}", NULL), -EINVAL);
	assert_true(problem(ctx, "number", "required"));
	fixture_free(ctx);
}

static void uniqueness_has_its_scope(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t first = ctx->tenant_id, second;
	json_t *row;

	(void)make(ctx, "extension", "{'number':'101'}");
	(void)make(ctx, "account", "{'username':'phone1'}");
	(void)make(ctx, "user", "{'username':'anna','password':'Zebra-Quarzo-77'}");
	(void)make(ctx, "extension_template", "{'name':'Caffè'}");
	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0, "{'number':'101'}", NULL), -EDUPLICATE);
	assert_true(problem(ctx, "number", "duplicate"));
	assert_int_equal(put(ctx, "account", SCH_CREATE, 0, "{'username':'phone1'}", NULL),
			 -EDUPLICATE);
	assert_int_equal(put(ctx, "user", SCH_CREATE, 0, "{'username':'ANNA'}", NULL), -EDUPLICATE);
	assert_int_equal(put(ctx, "extension_template", SCH_CREATE, 0, "{'name':'CAFFÈ'}", NULL),
			 -EDUPLICATE);
	(void)make(ctx, "extension_template", "{'name':'Caffe'}"); /* an accent makes another name */

	second = make(ctx, "tenant", "{'name':'Second','domain':'second.example','password':'x'}");
	ctx->tenant_id = second;
	(void)make(ctx, "extension", "{'number':'101'}"); /* free in another tenant */
	(void)make(ctx, "user", "{'username':'anna','password':'Zebra-Quarzo-77'}");
	row = get(ctx, "account", make(ctx, "account", "{'username':'phone1'}"));
	assert_string_not_equal(str(row, "username"), "phone1"); /* the tenant's prefix */
	assert_int_equal(strlen(str(row, "username")), strlen("phone1") + 6);
	json_decref(row);
	row = get(ctx, "tenant", second);
	{
		char taken[64];

		(void)snprintf(taken, sizeof(taken), "{'username':'%sphone1'}", str(row, "sip_prefix"));
		ctx->tenant_id = first; /* the name with the prefix is taken on the whole node */
		assert_int_equal(put(ctx, "account", SCH_CREATE, 0, taken, NULL), -EDUPLICATE);
	}
	json_decref(row);
	fixture_free(ctx);
}

static void a_foreign_tenant_sees_nothing(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t id = make(ctx, "extension", "{'number':'101'}");
	int64_t group = make(ctx, "pickup_group", "{'name':'g'}");
	char body[100];
	json_t *row = NULL;

	ctx->tenant_id = make(ctx, "tenant", "{'name':'Second','domain':'second','password':'x'}");
	assert_int_equal(sch_get(ctx, sch_find("extension"), id, &row), -ENOENT);
	assert_int_equal(put(ctx, "extension", SCH_PATCH, id, "{'first_name':'x'}", NULL), -ENOENT);
	assert_int_equal(sch_delete(ctx, sch_find("extension"), id, 0), -ENOENT);
	(void)snprintf(body, sizeof(body), "{'number':'1','pickup_member_of':[%lld]}",
		       (long long)group);
	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0, body, NULL), -EINVAL);
	assert_true(problem(ctx, "pickup_member_of", "not_found"));
	fixture_free(ctx);
}

static void in_use_is_refused_or_reset(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t target = make(ctx, "extension", "{'number':'101'}");
	int64_t group = make(ctx, "pickup_group", "{'name':'g'}");
	int64_t tmpl = make(ctx, "extension_template", "{'name':'T'}");
	char body[300];
	int64_t user;
	json_t *row;

	(void)snprintf(body, sizeof(body),
		       "{'number':'102','template':%lld,'pickup_member_of':[%lld],"
		       "'overflow_external_busy':{'destination':{'type':'extension','id':%lld}}}",
		       (long long)tmpl, (long long)group, (long long)target);
	user = make(ctx, "extension", body);
	assert_int_equal(sch_delete(ctx, sch_find("extension_template"), tmpl, 0), -EINUSE);
	assert_true(problem(ctx, "extension", "in_use"));
	assert_non_null(strstr(ctx->problems[0].message, "102"));
	fixture_clear(ctx);
	assert_int_equal(sch_delete(ctx, sch_find("pickup_group"), group, 0), -EINUSE);
	fixture_clear(ctx);

	OK(sch_delete(ctx, sch_find("extension"), target, 0));
	assert_int_equal(json_array_size(ctx->reset), 1);
	row = get(ctx, "extension", user);
	assert_string_equal(str(json_object_get(json_object_get(row, "overflow_external_busy"),
						"destination"), "type"), "hangup");
	json_decref(row);

	fixture_clear(ctx);
	ctx->force = true;
	OK(sch_delete(ctx, sch_find("pickup_group"), group, 0));
	row = get(ctx, "extension", user);
	assert_int_equal(json_array_size(json_object_get(row, "pickup_member_of")), 0);
	json_decref(row);
	fixture_clear(ctx);
	assert_int_equal(sch_delete(ctx, sch_find("extension_template"), 1, 0), -EINUSE);
	fixture_free(ctx);
}

static void ids_are_not_used_again(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t a = make(ctx, "extension", "{'number':'101'}"), b;

	OK(sch_delete(ctx, sch_find("extension"), a, 0));
	b = make(ctx, "extension", "{'number':'101'}");
	assert_true(b > a);
	fixture_free(ctx);
}

static void stale_writes_are_refused(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t id = make(ctx, "extension", "{'number':'101'}");
	json_t *row = get(ctx, "extension", id), *patch = js("{\"first_name\":\"x\"}");
	int64_t revision = num(row, "revision");

	OK(put(ctx, "extension", SCH_PATCH, id, "{'last_name':'y'}", NULL));
	assert_int_equal(sch_write(ctx, sch_find("extension"), SCH_PATCH, id, patch, revision, NULL),
			 -ESTALE_REV);
	json_decref(row);
	json_decref(patch);
	fixture_free(ctx);
}

static void a_failed_write_leaves_nothing(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t before, after, applied, n = -1;

	OK(sch_revisions(ctx->db, ctx->tenant_id, &before, &applied));
	/* the account cannot be made, so neither is the extension */
	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0,
			     "{'number':'101','create_account':{'username':'a b'}}", NULL), -EINVAL);
	assert_true(problem(ctx, "create_account.username", "bad_characters"));
	(void)make(ctx, "account", "{'username':'taken'}");
	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0,
			     "{'number':'101','create_account':{'username':'taken'}}", NULL),
			 -EDUPLICATE);
	assert_true(problem(ctx, "create_account.username", "duplicate"));
	OK(db_query_i64(&n, ctx->db, "SELECT COUNT(*) FROM \"extension\"", DB_NO_ARGS));
	assert_int_equal(n, 0);
	OK(sch_revisions(ctx->db, ctx->tenant_id, &after, &applied));
	assert_int_equal(after, before + 1); /* the account */
	fixture_free(ctx);
}

static void audit_tells_who_changed_what(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t id = make(ctx, "extension", "{'number':'101','service_pin':'4711'}"), n = 0;
	char text[200];

	OK(put(ctx, "extension", SCH_PATCH, id,
	       "{'first_name':'Ada','overflow_internal_busy':{'generate_event':true}}", NULL));
	OK(db_query_text(text, sizeof(text), ctx->db,
			 "SELECT action || ' ' || username || ' ' || ip_address || ' ' || object_type ||"
			 " ' ' || description FROM audit_log ORDER BY id DESC LIMIT 1", DB_NO_ARGS));
	assert_string_equal(text, "modified admin@default 127.0.0.1 Extension 101");
	OK(db_query_text(text, sizeof(text), ctx->db,
			 "SELECT current FROM audit_change WHERE property = 'first_name'"
			 " AND current = 'Ada'", DB_NO_ARGS));
	OK(db_query_text(text, sizeof(text), ctx->db,
			 "SELECT current FROM audit_change WHERE property ="
			 " 'overflow_internal_busy.generate_event' AND current = 'true'", DB_NO_ARGS));
	OK(db_query_text(text, sizeof(text), ctx->db,
			 "SELECT current FROM audit_change WHERE property = 'service_pin'", DB_NO_ARGS));
	assert_string_equal(text, "***");
	OK(db_query_i64(&n, ctx->db, "SELECT COUNT(*) FROM audit_change WHERE current LIKE '%4711%'",
			DB_NO_ARGS));
	assert_int_equal(n, 0);
	fixture_free(ctx);
}

static void lists_filter_sort_and_page(void **state)
{
	static const struct {
		struct sch_query query;
		const char *numbers;
		int64_t total;
	} cases[] = {
		{ { 0 }, "9,20,101,102", 4 },
		{ { .sort = "-number" }, "102,101,20,9", 4 },
		{ { .sort = "last_name,-number" }, "101,9,102,20", 4 },
		{ { .page = 2, .page_size = 3 }, "102", 4 },
		{ { .page = 1, .page_size = 3 }, "9,20,101", 4 },
		{ { .q = "CAFFE" }, "20", 1 },
		{ { .filters = { { "busy_level", "=", "0" } }, .n_filters = 1 }, "9,101,102", 3 },
		{ { .filters = { { "busy_level", "gt", "0" } }, .n_filters = 1 }, "20", 1 },
		{ { .filters = { { "first_name", "~", "LU" } }, .n_filters = 1 }, "101", 1 },
		{ { .filters = { { "number", "in", "9,102" } }, .n_filters = 1 }, "9,102", 2 },
		{ { .filters = { { "email", "null", "true" } }, .n_filters = 1 }, "9,20,101,102", 4 },
		{ { .filters = { { "number", "~", "1%" } }, .n_filters = 1 }, "", 0 },
	};
	struct sch_ctx *ctx = fixture(*state);

	(void)make(ctx, "extension", "{'number':'102','last_name':'rossi'}");
	(void)make(ctx, "extension", "{'number':'9','last_name':'Bianchi','first_name':'Ada'}");
	(void)make(ctx, "extension", "{'number':'101','last_name':'Alfa','first_name':'Luca'}");
	(void)make(ctx, "extension", "{'number':'20','last_name':'Ùrsi','first_name':'Caffè','busy_level':2}");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sch_out out = { 0 };
		char numbers[100] = "";
		int64_t total = -1;
		json_t *list, *item;
		size_t k;

		fixture_clear(ctx);
		OK(sch_list(ctx, sch_find("extension"), &cases[i].query, &out, &total));
		list = js(out.text);
		json_array_foreach(list, k, item)
			(void)snprintf(numbers + strlen(numbers), sizeof(numbers) - strlen(numbers),
				       "%s%s", k ? "," : "", str(item, "number"));
		assert_string_equal(numbers, cases[i].numbers);
		assert_int_equal(total, cases[i].total);
		json_decref(list);
		sch_out_free(&out);
	}
	fixture_free(ctx);
}

static void a_list_cannot_be_made_to_leak(void **state)
{
	static char many[2 * 101 + 1], most[2 * 90 + 1]; /* "1,1,1..." */
	const struct sch_query bad[] = {
		{ .sort = "service_pin" },
		{ .sort = "number;DROP TABLE extension" },
		{ .filters = { { "service_pin", "ge", "s" } }, .n_filters = 1 },
		{ .filters = { { "nothing", "=", "1" } }, .n_filters = 1 },
		{ .filters = { { "number\" OR 1=1 --", "=", "1" } }, .n_filters = 1 },
		{ .fields = "number,salt2" },
		{ .filters = { { "enabled", "=", "maybe" } }, .n_filters = 1 },
		{ .filters = { { "email", "null", "maybe" } }, .n_filters = 1 },
		{ .filters = { { "id", "in", many } }, .n_filters = 1 },
		{ .filters = { { "id", "in", most }, { "id", "in", most }, { "id", "in", most } },
		  .n_filters = 3 },
	};
	struct sch_ctx *ctx = fixture(*state);

	for (size_t i = 0; i < sizeof(many) - 1; i++)
		many[i] = i % 2 ? ',' : '1';
	memcpy(most, many, sizeof(most) - 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct sch_out out = { 0 };

		fixture_clear(ctx);
		assert_int_equal(sch_list(ctx, sch_find("extension"), &bad[i], &out, NULL), -EINVAL);
		sch_out_free(&out);
	}
	fixture_free(ctx);
}

static json_t *list_of(struct sch_ctx *ctx, const struct sch_query *query)
{
	struct sch_out out = { 0 };
	json_t *list;

	OK(sch_list(ctx, sch_find("extension"), query, &out, NULL));
	list = js(out.text);
	sch_out_free(&out);
	return list;
}

/* Whole rows are copied from ready text, chosen fields are printed one by one: the same values. */
static void whole_rows_are_the_sum_of_their_fields(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	const struct sch_entity *e = sch_find("extension");
	char names[4096] = "overrides";
	json_t *whole, *chosen;
	int64_t n;

	(void)make(ctx, "pickup_group", "{'name':'g'}");
	(void)make(ctx, "extension", "{'number':'1','first_name':'a\\\\b','organization':'x'}");
	(void)make(ctx, "extension", "{'number':'2','show_in_local_phonebook':false,'busy_level':2,"
				     "'pickup_member_of':[1],'no_answer_timeout_transfer':9}");
	(void)make(ctx, "extension", "{'number':'3','create_account':{},"
				     "'overflow_transfer_unavailable':{'destination':{'type':'hangup'}}}");
	for (size_t i = 0; i < e->n_fields; i++)
		(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), ",%s",
			       e->fields[i].name);
	whole = list_of(ctx, &(struct sch_query){ 0 });
	chosen = list_of(ctx, &(struct sch_query){ .fields = names });
	assert_true(json_equal(whole, chosen));
	json_decref(chosen);

	/* A program with another registry writes the ready text again. */
	OK(db_exec(ctx->db, "UPDATE \"extension\" SET rest = '', rest_over = NULL, search_key = ''",
		   DB_NO_ARGS));
	OK(db_exec(ctx->db, "UPDATE sch_node SET value = 'older' WHERE name = 'registry.extension'",
		   DB_NO_ARGS));
	OK(sch_migrate(ctx->db));
	chosen = list_of(ctx, &(struct sch_query){ 0 });
	assert_true(json_equal(whole, chosen));
	OK(db_query_i64(&n, ctx->db, "SELECT COUNT(*) FROM \"extension\" WHERE search_key <> ''",
			DB_NO_ARGS));
	assert_int_equal(n, 3);
	json_decref(chosen);
	json_decref(whole);
	fixture_free(ctx);
}

/* Changing the template of several at once drops their overrides (D-088); one by one keeps them. */
static void a_new_template_keeps_or_drops_overrides(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t tmpl = make(ctx, "extension_template", "{'name':'T','busy_level':8,'hunting_step':20}");
	int64_t id = make(ctx, "extension", "{'number':'1','busy_level':3}");
	char body[100];
	json_t *row;

	(void)snprintf(body, sizeof(body), "{'template':%lld}", (long long)tmpl);
	OK(put(ctx, "extension", SCH_PATCH, id, body, NULL));
	row = get(ctx, "extension", id);
	assert_int_equal(num(row, "busy_level"), 3);
	assert_int_equal(num(row, "hunting_step"), 20);
	json_decref(row);
	(void)snprintf(body, sizeof(body), "{'template':%lld,'overrides':[]}", (long long)tmpl);
	OK(put(ctx, "extension", SCH_PATCH, id, body, NULL));
	row = get(ctx, "extension", id);
	assert_int_equal(num(row, "busy_level"), 8);
	json_decref(row);
	fixture_free(ctx);
}

static json_t *audit(struct sch_ctx *ctx, struct sch_audit_query query, int64_t *total)
{
	json_t *items = NULL;

	query.page = query.page ? query.page : 1;
	query.page_size = query.page_size ? query.page_size : 50;
	OK(sch_audit_list(ctx, &query, &items, total));
	return items;
}

static void the_audit_log_is_read_in_pages_and_by_tenant(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	const int64_t id = make(ctx, "extension", "{'number':'101','last_name':'Rossi'}");
	int64_t total = 0, all = 0;
	json_t *items, *change;

	OK(put(ctx, "extension", SCH_PATCH, id, "{'last_name':'Bianchi'}", NULL));
	(void)make(ctx, "account", "{'username':'a','password':'Zebra-Quarzo-77'}");

	items = audit(ctx, (struct sch_audit_query){ .object_type = "extension", .action = "modified",
						     .with_changes = true }, &total);
	assert_int_equal(total, 1);
	assert_string_equal(str(json_array_get(items, 0), "username"), "admin@default");
	assert_string_equal(str(json_array_get(items, 0), "tenant"), "default");
	assert_string_equal(str(json_array_get(items, 0), "description"), "101");
	assert_int_equal(num(json_array_get(items, 0), "object_id"), id);
	change = json_array_get(json_object_get(json_array_get(items, 0), "changes"), 0);
	assert_string_equal(str(change, "property"), "last_name");
	assert_string_equal(str(change, "previous"), "Rossi");
	assert_string_equal(str(change, "current"), "Bianchi");
	json_decref(items);

	/* The newest first, a page at a time; secrets are not in it. */
	items = audit(ctx, (struct sch_audit_query){ .page_size = 2, .with_changes = true }, &total);
	assert_true(total >= 3);
	assert_int_equal(json_array_size(items), 2);
	assert_string_equal(str(json_array_get(items, 0), "entity"), "account");
	{
		char *dump = json_dumps(items, 0);

		assert_null(strstr(dump, "Zebra"));
		assert_non_null(strstr(dump, "***"));
		free(dump);
	}
	json_decref(items);
	items = audit(ctx, (struct sch_audit_query){ .page = 2, .page_size = 2 }, &total);
	assert_true(json_array_size(items) >= 1);
	assert_null(json_object_get(json_array_get(items, 0), "changes"));
	json_decref(items);
	json_decref(audit(ctx, (struct sch_audit_query){ .q = "10" }, &total));
	assert_true(total >= 2);
	json_decref(audit(ctx, (struct sch_audit_query){ .q = "%" }, &total)); /* no wildcard */
	assert_int_equal(total, 0);
	json_decref(audit(ctx, (struct sch_audit_query){ .to_us = 1 }, &total));
	assert_int_equal(total, 0);

	json_decref(audit(ctx, (struct sch_audit_query){ .all_tenants = true }, &all));
	ctx->tenant_id += 1000; /* another tenant */
	json_decref(audit(ctx, (struct sch_audit_query){ .page = 1 }, &total));
	assert_int_equal(total, 0);
	json_decref(audit(ctx, (struct sch_audit_query){ .all_tenants = true }, &total));
	assert_int_equal(total, all);
	ctx->tenant_id -= 1000;
	fixture_free(ctx);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TESTDB_BOTH("what is written is read again", what_is_written_is_read_again),
		TESTDB_BOTH("GET followed by PUT changes nothing", a_get_put_back_changes_nothing),
		TESTDB_BOTH("[BASE-32] template values are inherited, overrides survive their change",
			    templates_are_inherited_and_overridden),
		TESTDB_BOTH("[D-227] every problem of a body is told at once, control characters refused",
			    all_problems_are_told_at_once),
		TESTDB_BOTH("[BASE-25] extension, account and user names are unique in their scopes",
			    uniqueness_has_its_scope),
		TESTDB_BOTH("objects of another tenant are neither seen nor named",
			    a_foreign_tenant_sees_nothing),
		TESTDB_BOTH("what is in use is refused, destinations are reset",
			    in_use_is_refused_or_reset),
		TESTDB_BOTH("ids are never used again", ids_are_not_used_again),
		TESTDB_BOTH("a write on a stale revision is refused", stale_writes_are_refused),
		TESTDB_BOTH("a failed write leaves nothing behind", a_failed_write_leaves_nothing),
		TESTDB_BOTH("[PLT-01] [PLT-02] the audit log tells who changed what, secrets as stars",
			    audit_tells_who_changed_what),
		TESTDB_BOTH("lists filter, sort and page", lists_filter_sort_and_page),
		TESTDB_BOTH("whole rows are the sum of their fields",
			    whole_rows_are_the_sum_of_their_fields),
		TESTDB_BOTH("a new template keeps overrides, or drops them when told",
			    a_new_template_keeps_or_drops_overrides),
		TESTDB_BOTH("a list answers no question about secrets or other columns",
			    a_list_cannot_be_made_to_leak),
		TESTDB_BOTH("[PLT-02] the audit log is read in pages: what, by whom, before and after; a tenant sees its own",
			    the_audit_log_is_read_in_pages_and_by_tenant),
	};

	return testdb_run(tests);
}
