/* SPDX-License-Identifier: Apache-2.0 */
#include "../schema/fixture.h"

static int64_t role_id(struct sch_ctx *ctx, const char *kind)
{
	int64_t id = 0;

	OK(db_query_i64(&id, ctx->db, "SELECT id FROM \"role\" WHERE kind = $1 AND tenant_id = $2",
			DB_ARGS(db_text(kind), db_i64(ctx->tenant_id))));
	return id;
}

static void the_digest_is_the_documented_one(void **state)
{
	char digest[SCH_DIGEST_SIZE];

	sch_digest_password(digest, "admin", "b5a8fdcf2f8d5acdad33c4a072a97d7a");
	assert_string_equal(digest, "dd7b0be7fa37d6cbaf0b842bf7532f229cb79ab8d54d509c2aa7eea27a53cd5e");
}

static void a_new_node_has_its_administrator(void **state)
{
	struct testdb *t = *state;
	struct sch_ctx *ctx = fixture(t);
	char salt[SCH_SALT_SIZE], again[SCH_SALT_SIZE], digest[SCH_DIGEST_SIZE];
	struct sch_user u;

	OK(sch_user_verifier_open(&u, t->db, "Default", "admin"));
	OK(sch_salt(salt, t->db, "default"));
	assert_int_equal(strlen(salt), 32);
	sch_digest_password(digest, "admin", salt);
	assert_string_equal(u.verifier, digest);
	assert_true(u.enabled && u.gui && u.api && u.must_change && u.default_password);
	assert_int_equal(u.role_priority, 100);
	/* the only administrator of the machine, so also of its settings (D-034) */
	assert_int_equal(u.levels[sch_permission_index("extensions")], SCH_LEVEL_WRITE);
	assert_int_equal(u.levels[sch_permission_index("sip_settings")], SCH_LEVEL_WRITE);
	OK(sch_user_verifier_open(&u, t->db, NULL, "admin"));
	assert_string_equal(u.domain, "default");

	OK(sch_user_verifier_open(&u, t->db, "default", "click2call"));
	assert_false(u.enabled);
	assert_string_equal(u.verifier, "");
	assert_int_equal(sch_user_verifier_open(&u, t->db, "default", "nobody"), -ENOENT);
	assert_int_equal(sch_user_verifier_open(&u, t->db, "nowhere", "admin"), -ENOENT);
	assert_int_equal(sch_user_verifier_open(&u, t->db, "", "admin"), -ENOENT);

	/* unknown domains answer alike, and the same each time (D-225) */
	OK(sch_salt(salt, t->db, "nowhere"));
	OK(sch_salt(again, t->db, "NOWHERE"));
	assert_string_equal(salt, again);
	OK(sch_salt(again, t->db, "elsewhere"));
	assert_string_not_equal(salt, again);
	OK(sch_salt(salt, t->db, "pbxAdmin"));
	OK(sch_salt(again, t->db, ""));
	assert_string_equal(salt, again);
	fixture_free(ctx);
}

static void a_machine_user_takes_the_machine(void **state)
{
	struct testdb *t = *state;
	struct sch_ctx *ctx = fixture(t);
	int64_t tenant = ctx->tenant_id, role;
	char body[200];
	struct sch_user u;

	ctx->tenant_id = 0;
	role = role_id(ctx, "pbx_admin");
	(void)snprintf(body, sizeof(body),
		       "{'username':'pbxadmin','password':'Zebra-Quarzo-77','role':%lld,'gui_access':true}",
		       (long long)role);
	(void)make(ctx, "user", body);
	OK(sch_user_verifier_open(&u, t->db, NULL, "pbxadmin"));
	assert_int_equal(u.tenant_id, 0);
	assert_int_equal(u.role_priority, 1000);
	assert_int_equal(u.levels[sch_permission_index("sip_settings")], SCH_LEVEL_WRITE);
	assert_int_equal(u.levels[sch_permission_index("extensions")], SCH_LEVEL_NONE);
	OK(sch_user_verifier_open(&u, t->db, "default", "admin"));
	assert_int_equal(u.levels[sch_permission_index("sip_settings")], SCH_LEVEL_NONE);
	ctx->tenant_id = tenant;
	fixture_free(ctx);
}

static void passwords_are_verifiers(void **state)
{
	struct testdb *t = *state;
	struct sch_ctx *ctx = fixture(t);
	char salt[SCH_SALT_SIZE], digest[SCH_DIGEST_SIZE], stored[400];
	int64_t id;
	struct sch_user u;
	json_t *row;

	assert_int_equal(put(ctx, "user", SCH_CREATE, 0, "{'username':'a','password':'short'}", NULL),
			 -EINVAL);
	assert_true(problem(ctx, "password", "weak"));
	assert_int_equal(put(ctx, "user", SCH_CREATE, 0,
			     "{'username':'marianna','password':'Marianna-1234567'}", NULL), -EINVAL);
	id = make(ctx, "user", "{'username':'Anna','password':'Zebra-Quarzo-77','api_access':true}");
	row = get(ctx, "user", id);
	assert_null(json_object_get(row, "password"));
	/* what was read is written back without the password: it stays */
	OK(sch_write(ctx, sch_find("user"), SCH_PUT, id, row, 0, NULL));
	json_decref(row);
	OK(sch_user_verifier_open(&u, t->db, "default", "anna"));
	OK(sch_salt(salt, t->db, "default"));
	sch_digest_password(digest, "Zebra-Quarzo-77", salt);
	assert_string_equal(u.verifier, digest);
	OK(db_query_text(stored, sizeof(stored), t->db, "SELECT password FROM \"user\" WHERE id = $1",
			 DB_ARGS(db_i64(id))));
	assert_null(strstr(stored, digest)); /* sealed at rest */
	/* the reveal of secrets is not for verifiers */
	ctx->reveal_secrets = true;
	row = get(ctx, "user", id);
	assert_null(json_object_get(row, "password"));
	json_decref(row);
	ctx->reveal_secrets = false;
	(void)make(ctx, "user", "{'username':'nopass'}");
	assert_true(strlen(str(ctx->generated, "password")) >= 12);
	fixture_free(ctx);
}

static void predefined_users_and_roles_stay(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t admin = 0;

	OK(sch_resolve(ctx, sch_find("user"), "admin", &admin));
	assert_int_equal(sch_delete(ctx, sch_find("user"), admin, 0), -EINUSE);
	fixture_clear(ctx);
	assert_int_equal(put(ctx, "user", SCH_PATCH, admin, "{'username':'root'}", NULL), -EINVAL);
	assert_int_equal(put(ctx, "user", SCH_PATCH, admin, "{'gui_access':false}", NULL), -EINVAL);
	OK(put(ctx, "user", SCH_PATCH, admin,
	       "{'password':'Zebra-Quarzo-77','force_password_change':false}", NULL));
	assert_int_equal(sch_delete(ctx, sch_find("role"), role_id(ctx, "tenant_admin"), 0), -EINUSE);
	fixture_clear(ctx);
	assert_int_equal(put(ctx, "role", SCH_PATCH, role_id(ctx, "tenant_user"),
			     "{'priority':50}", NULL), -EINVAL);
	fixture_free(ctx);
}

static void roles_are_complete_and_closed(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t id = make(ctx, "role", "{'description':'Desk','permissions':{'extensions':'read',"
				       "'SERVICE_OPERATION':'write'}}");
	json_t *row = get(ctx, "role", id);

	/* D-041: what is missing is none, and every read has all of them */
	assert_int_equal(json_object_size(json_object_get(row, "permissions")), sch_n_permissions);
	assert_int_equal(sch_role_level(row, "extensions"), SCH_LEVEL_READ);
	assert_int_equal(sch_role_level(row, "service_operation"), SCH_LEVEL_WRITE);
	assert_string_equal(str(json_object_get(row, "permissions"), "queues"), "none");
	json_decref(row);
	OK(put(ctx, "role", SCH_PATCH, id, "{'permissions':{'queues':'list'}}", NULL));
	row = get(ctx, "role", id);
	assert_int_equal(sch_role_level(row, "extensions"), SCH_LEVEL_READ);
	assert_int_equal(sch_role_level(row, "queues"), SCH_LEVEL_LIST);
	json_decref(row);
	assert_int_equal(put(ctx, "role", SCH_CREATE, 0,
			     "{'description':'x','permissions':{'everything':'write'}}", NULL), -EINVAL);
	assert_true(problem(ctx, "permissions.everything", "unknown_field"));
	assert_int_equal(put(ctx, "role", SCH_CREATE, 0,
			     "{'description':'x','permissions':{'sip_settings':'write'}}", NULL), -EINVAL);
	assert_true(problem(ctx, "permissions.sip_settings", "wrong_level"));
	assert_int_equal(put(ctx, "role", SCH_CREATE, 0, "{'description':'x','priority':100}", NULL),
			 -EINVAL);
	assert_true(problem(ctx, "priority", "out_of_range"));
	fixture_free(ctx);
}

static void a_power_user_stays_below_himself(void **state)
{
	uint8_t levels[SCH_MAX_PERMISSIONS] = { 0 };
	struct sch_ctx *ctx = fixture(*state);
	int64_t own = make(ctx, "role", "{'description':'Power','priority':50,'permissions':"
					"{'roles':'write','gui_users':'write','extensions':'read'}}");
	int64_t peer = make(ctx, "role", "{'description':'Peer','priority':50}");
	int64_t boss = make(ctx, "user", "{'username':'boss','password':'Zebra-Quarzo-77'}");
	int64_t low, id;
	char body[200];

	(void)snprintf(body, sizeof(body), "{'role':%lld}", (long long)peer);
	OK(put(ctx, "user", SCH_PATCH, boss, body, NULL));
	levels[sch_permission_index("roles")] = SCH_LEVEL_WRITE;
	levels[sch_permission_index("gui_users")] = SCH_LEVEL_WRITE;
	levels[sch_permission_index("extensions")] = SCH_LEVEL_READ;
	ctx->levels = levels;
	ctx->role_id = own;
	ctx->role_priority = 50;

	low = make(ctx, "role", "{'description':'Low','priority':10,'permissions':{'extensions':'read'}}");
	assert_int_equal(put(ctx, "role", SCH_CREATE, 0, "{'description':'a','priority':50}", NULL),
			 -EINVAL);
	assert_int_equal(put(ctx, "role", SCH_PATCH, low, "{'permissions':{'extensions':'write'}}", NULL),
			 -EINVAL);
	assert_true(problem(ctx, "permissions.extensions", "exceeds_own"));
	assert_int_equal(put(ctx, "role", SCH_PATCH, own, "{'priority':1}", NULL), -EINVAL);
	assert_int_equal(sch_delete(ctx, sch_find("role"), peer, 0), -EFORBIDDEN);
	fixture_clear(ctx);

	id = make(ctx, "user", "{'username':'newbie','password':'Zebra-Quarzo-77'}");
	(void)snprintf(body, sizeof(body), "{'role':%lld}", (long long)low);
	OK(put(ctx, "user", SCH_PATCH, id, body, NULL));
	assert_int_equal(put(ctx, "user", SCH_PATCH, boss, body, NULL), -EINVAL);
	(void)snprintf(body, sizeof(body), "{'role':%lld}", (long long)peer);
	assert_int_equal(put(ctx, "user", SCH_PATCH, id, body, NULL), -EINVAL);
	ctx->user_id = id;
	(void)snprintf(body, sizeof(body), "{'role':%lld}", (long long)role_id(ctx, "tenant_user"));
	assert_int_equal(put(ctx, "user", SCH_PATCH, id, body, NULL), -EINVAL);
	assert_int_equal(sch_delete(ctx, sch_find("user"), boss, 0), -EFORBIDDEN);
	fixture_free(ctx);
}

static void a_tenant_has_all_that_it_needs(void **state)
{
	struct testdb *t = *state;
	struct sch_ctx *ctx = fixture(t);
	json_t *body = js("{\"name\":\"Acme / Nord\",\"domain\":\"ACME.example\"}"), *row;
	int64_t id = 0;
	struct sch_user u;

	OK(sch_tenant_create(ctx, body, NULL, &id));
	assert_non_null(str(ctx->generated, "password"));
	row = get(ctx, "tenant", id);
	assert_string_equal(str(row, "domain"), "acme.example");
	assert_int_equal(strlen(str(row, "sip_prefix")), 6);
	assert_int_equal(strlen(str(row, "uuid")), 36);
	assert_null(json_object_get(row, "salt"));
	assert_int_equal(num(row, "max_accounts"), -1);
	json_decref(row);
	OK(sch_user_verifier_open(&u, t->db, "acme.example", "admin"));
	assert_true(u.enabled && u.must_change == false && u.default_password == false);
	assert_int_equal(u.levels[sch_permission_index("sip_settings")], SCH_LEVEL_NONE);
	ctx->tenant_id = id;
	assert_true(role_id(ctx, "privacy_admin") > 0);
	row = get(ctx, "extension", make(ctx, "extension", "{'number':'1'}")); /* has its templates */
	json_decref(row);
	OK(put(ctx, "tenant", SCH_PATCH, id, "{'max_extensions':1}", NULL));
	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0, "{'number':'2'}", NULL), -EINVAL);
	assert_true(problem(ctx, "number", "limit"));
	(void)make(ctx, "account", "{'username':'p'}");
	assert_int_equal(put(ctx, "tenant", SCH_PATCH, id, "{'sip_prefix':'abc123'}", NULL), -EINUSE);
	assert_int_equal(put(ctx, "tenant", SCH_CREATE, 0, "{'name':'x','domain':'pbxadmin'}", NULL),
			 -EINVAL);
	assert_int_equal(put(ctx, "tenant", SCH_CREATE, 0, "{'name':'x','domain':'città'}", NULL),
			 -EINVAL);
	assert_int_equal(put(ctx, "tenant", SCH_CREATE, 0, "{'name':'ACME / nord','domain':'y'}", NULL),
			 -EDUPLICATE);
	fixture_clear(ctx);
	OK(sch_delete(ctx, sch_find("tenant"), id, 0));
	OK(db_query_i64(&id, t->db, "SELECT COUNT(*) FROM \"account\"", DB_NO_ARGS));
	assert_int_equal(id, 0);
	json_decref(body);
	fixture_free(ctx);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		{ .name = "[API-04] digestPassword of the documented vector",
		  .test_func = the_digest_is_the_documented_one },
		TESTDB_BOTH("a new node has its administrator", a_new_node_has_its_administrator),
		TESTDB_BOTH("a machine user takes the machine", a_machine_user_takes_the_machine),
		TESTDB_BOTH("passwords are sealed verifiers and are never read back",
			    passwords_are_verifiers),
		TESTDB_BOTH("[BASE-70] predefined users and roles stay", predefined_users_and_roles_stay),
		TESTDB_BOTH("[BASE-76] roles hold every permission", roles_are_complete_and_closed),
		TESTDB_BOTH("[CHG-SEC-05] [BASE-74] a power user stays below himself",
			    a_power_user_stays_below_himself),
		TESTDB_BOTH("[PLT-26] a tenant has all that it needs", a_tenant_has_all_that_it_needs),
	};

	return testdb_run(tests);
}
