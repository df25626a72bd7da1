/* SPDX-License-Identifier: Apache-2.0 */
#include "../schema/fixture.h"

static void the_default_templates_have_the_printed_values(void **state)
{
	static const struct {
		const char *field, *value;
	} expected[] = {
		{ "registration_check", "true" }, { "acl_source_ip", "[]" }, { "nat", "false" },
		{ "direct_media", "false" }, { "srtp", "\"off\"" }, { "transport_udp", "true" },
		{ "transport_tcp", "false" }, { "transport_wss", "false" }, { "audio_codecs", "[]" },
		{ "max_contacts", "1" }, { "outbound_proxy_address", "null" },
	}, extension[] = {
		{ "max_concurrent_calls", "0" }, { "busy_level", "0" }, { "lock_mode", "\"open\"" },
		{ "lock_policy", "\"per_call\"" }, { "unlock_duration_min", "30" },
		{ "no_answer_timeout_internal", "30" }, { "clir_allowed", "false" },
		{ "clir_honour_privacy_header", "true" }, { "ldap_mode", "\"ldap_rule\"" },
		{ "simulate_ringing", "false" }, { "hunting_step", "15" },
		{ "overflow_internal_no_answer", "{\"destination\":{\"type\":\"hangup\",\"id\":null,"
		  "\"value\":null},\"generate_event\":false}" },
		{ "overflow_transfer_unavailable", "{\"destination\":{\"type\":\"return_to_transferor\","
		  "\"id\":null,\"value\":null},\"generate_event\":false}" },
	};
	struct sch_ctx *ctx = fixture(*state);
	int64_t account = make(ctx, "account", "{'username':'p1'}");
	int64_t exten = make(ctx, "extension", "{'number':'101'}");
	json_t *row = get(ctx, "account", account);
	char *text;

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		text = json_dumps(json_object_get(row, expected[i].field), JSON_ENCODE_ANY | JSON_COMPACT);
		assert_string_equal(text, expected[i].value);
		free(text);
	}
	json_decref(row);
	row = get(ctx, "extension", exten);
	for (size_t i = 0; i < sizeof(extension) / sizeof(extension[0]); i++) {
		text = json_dumps(json_object_get(row, extension[i].field), JSON_ENCODE_ANY | JSON_COMPACT);
		assert_string_equal(text, extension[i].value);
		free(text);
	}
	json_decref(row);
	fixture_free(ctx);
}

static void accounts_are_linked_and_made_from_the_extension(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t a = make(ctx, "account", "{'username':'a'}"), b = make(ctx, "account", "{'username':'b'}");
	char body[200];
	int64_t id, revision;
	json_t *row;

	(void)snprintf(body, sizeof(body),
		       "{'number':'101','link_accounts':[%lld],'create_account':{'label':'desk'}}",
		       (long long)a);
	id = make(ctx, "extension", body);
	assert_int_equal(strlen(str(ctx->generated, "account_password")), 20);
	row = get(ctx, "extension", id);
	assert_int_equal(json_array_size(json_object_get(row, "link_accounts")), 2);
	revision = num(row, "revision");
	json_decref(row);

	/* linking from the account's side shows in the extension, and its revision says so */
	(void)snprintf(body, sizeof(body), "{'extension':%lld}", (long long)id);
	OK(put(ctx, "account", SCH_PATCH, b, body, NULL));
	row = get(ctx, "extension", id);
	assert_int_equal(json_array_size(json_object_get(row, "link_accounts")), 3);
	assert_true(num(row, "revision") > revision);
	json_decref(row);

	(void)snprintf(body, sizeof(body), "{'link_accounts':[%lld]}", (long long)b);
	OK(put(ctx, "extension", SCH_PATCH, id, body, NULL));
	row = get(ctx, "extension", id);
	assert_int_equal(json_array_size(json_object_get(row, "link_accounts")), 1);
	json_decref(row);
	row = get(ctx, "account", a);
	assert_true(json_is_null(json_object_get(row, "extension")));
	json_decref(row);

	fixture_clear(ctx);
	OK(sch_delete(ctx, sch_find("extension"), id, 0));
	row = get(ctx, "account", b); /* the account lives on */
	assert_true(json_is_null(json_object_get(row, "extension")));
	json_decref(row);
	fixture_free(ctx);
}

static void a_local_user_is_made_with_the_extension(void **state)
{
	struct testdb *t = *state;
	struct sch_ctx *ctx = fixture(t);
	struct sch_user u;
	int64_t id;
	json_t *row;

	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0,
			     "{'number':'101','user_create':true,'user_name':'anna',"
			     "'user_password':'weak'}", NULL), -EINVAL);
	assert_true(problem(ctx, "user_password", "weak"));
	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0, "{'number':'101','user_create':true}", NULL),
			 -EINVAL);
	assert_true(problem(ctx, "user_name", "required"));
	id = make(ctx, "extension", "{'number':'101','first_name':'Anna','email':'a@b.it',"
				    "'user_create':true,'user_gui':true,'user_cti':true,"
				    "'user_name':'anna','user_password':'Zebra-Quarzo-77'}");
	OK(sch_user_verifier_open(&u, t->db, "default", "anna"));
	assert_int_equal(u.extension_id, id);
	assert_string_equal(u.role_name, "Tenant User");
	assert_int_equal(u.role_priority, 0);
	assert_true(u.gui && u.cti && !u.api);
	row = get(ctx, "extension", id);
	assert_int_equal(num(row, "user"), u.id);
	json_decref(row);
	assert_int_equal(put(ctx, "extension", SCH_PATCH, id,
			     "{'user_create':true,'user_name':'other'}", NULL), -EINVAL);
	assert_true(problem(ctx, "user_create", "exists"));
	/* an existing name is refused, and the extension with it */
	assert_int_equal(put(ctx, "extension", SCH_CREATE, 0,
			     "{'number':'102','user_create':true,'user_name':'anna'}", NULL),
			 -EDUPLICATE);
	assert_true(problem(ctx, "user_name", "duplicate"));
	fixture_free(ctx);
}

static void account_forms_old_and_new(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t exten = make(ctx, "extension", "{'number':'101'}");
	char body[200];
	json_t *row = get(ctx, "account", make(ctx, "account", "{'username':'a','srtp':true}"));

	assert_string_equal(str(row, "srtp"), "required"); /* D-080 */
	json_decref(row);
	(void)snprintf(body, sizeof(body),
		       "{'username':'app','kcti_mobile_app':true,'extension':%lld}", (long long)exten);
	row = get(ctx, "account", make(ctx, "account", body));
	assert_string_equal(str(row, "type"), "KCTI_MOBILE_APP");
	assert_true(json_is_false(json_object_get(row, "registration_check")));
	json_decref(row);
	(void)snprintf(body, sizeof(body),
		       "{'username':'app2','type':'MOBILE_APP','extension':%lld}", (long long)exten);
	assert_int_equal(put(ctx, "account", SCH_CREATE, 0, body, NULL), -EINVAL);
	assert_true(problem(ctx, "type", "double"));
	row = get(ctx, "account", make(ctx, "account",
		"{'username':'n','acl_source_ip':['10.1.2.3/8','2001:db8::1'],'audio_codecs':['opus','PCMA']}"));
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "acl_source_ip"), 0)),
			    "10.0.0.0/8");
	assert_string_equal(json_string_value(json_array_get(json_object_get(row, "audio_codecs"), 0)),
			    "OPUS");
	json_decref(row);
	assert_int_equal(put(ctx, "account", SCH_CREATE, 0,
			     "{'username':'x y','password':'a b','acl_source_ip':['10.0.0.0/33'],"
			     "'audio_codecs':['PCMA','PCMA'],'outbound_proxy_address':'10.0.0.300'}", NULL),
			 -EINVAL);
	assert_int_equal(ctx->n_problems, 5);
	OK(put(ctx, "sip_settings", SCH_PATCH, 0, "{'srtp_support':false,'tls_enabled':false}", NULL));
	assert_int_equal(put(ctx, "account", SCH_CREATE, 0,
			     "{'username':'s','srtp':'optional','outbound_proxy_protocol':'TLS'}", NULL),
			 -EINVAL);
	assert_true(problem(ctx, "srtp", "not_available"));
	fixture_free(ctx);
}

static void account_secrets_are_shown_on_purpose_only(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t id = make(ctx, "account", "{'username':'a'}");
	char password[64];
	struct sch_out out = { 0 };
	json_t *row = get(ctx, "account", id);

	(void)snprintf(password, sizeof(password), "%s", str(ctx->generated, "password"));
	assert_null(json_object_get(row, "password"));
	json_decref(row);
	OK(sch_list(ctx, sch_find("account"), &(struct sch_query){ 0 }, &out, NULL));
	assert_null(strstr(out.text, password));
	sch_out_free(&out);
	ctx->reveal_secrets = true;
	row = get(ctx, "account", id);
	assert_string_equal(str(row, "password"), password);
	json_decref(row);
	fixture_free(ctx);
}

static void protected_accounts_have_a_permission_of_their_own(void **state)
{
	uint8_t levels[SCH_MAX_PERMISSIONS] = { 0 };
	struct sch_ctx *ctx = fixture(*state);
	int64_t open = make(ctx, "account", "{'username':'open'}");
	int64_t guarded = make(ctx, "account", "{'username':'guarded','protected':true}");
	struct sch_out out = { 0 };
	int64_t total = 0;
	json_t *row = NULL;

	ctx->levels = levels;
	levels[sch_permission_index("accounts")] = SCH_LEVEL_WRITE;
	OK(sch_list(ctx, sch_find("account"), &(struct sch_query){ 0 }, &out, &total));
	assert_int_equal(total, 1);
	assert_null(strstr(out.text, "guarded"));
	assert_int_equal(sch_get(ctx, sch_find("account"), guarded, &row), -ENOENT);
	assert_int_equal(put(ctx, "account", SCH_PATCH, guarded, "{'label':'x'}", NULL), -EFORBIDDEN);
	assert_int_equal(put(ctx, "account", SCH_PATCH, open, "{'protected':true}", NULL), -EFORBIDDEN);
	assert_int_equal(sch_delete(ctx, sch_find("account"), guarded, 0), -EFORBIDDEN);
	levels[sch_permission_index("protected_accounts")] = SCH_LEVEL_LIST;
	sch_out_free(&out);
	OK(sch_list(ctx, sch_find("account"), &(struct sch_query){ 0 }, &out, &total));
	assert_int_equal(total, 2);
	assert_int_equal(sch_get(ctx, sch_find("account"), guarded, &row), -EFORBIDDEN);
	levels[sch_permission_index("accounts")] = SCH_LEVEL_NONE;
	levels[sch_permission_index("protected_accounts")] = SCH_LEVEL_WRITE;
	OK(put(ctx, "account", SCH_PATCH, guarded, "{'label':'x'}", NULL));
	assert_int_equal(sch_get(ctx, sch_find("account"), open, &row), -ENOENT);
	sch_out_free(&out);
	fixture_free(ctx);
}

/* ------------------------------------------------------------------ apply */

static int64_t applied_count(struct sch_ctx *ctx, const char *where)
{
	char sql[160];
	int64_t n = -1;

	(void)snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM \"extension_applied\" WHERE %s", where);
	OK(db_query_i64(&n, ctx->db, sql, DB_NO_ARGS));
	return n;
}

static void saved_is_not_applied_until_it_is_applied(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	int64_t a = make(ctx, "extension", "{'number':'101'}"), b, saved, applied, revision;
	json_t *list = NULL, *row;

	OK(sch_pending(ctx, &list));
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(str(json_array_get(list, 0), "action"), "created");
	assert_string_equal(str(json_array_get(list, 0), "user"), "admin@default");
	json_decref(list);
	assert_int_equal(applied_count(ctx, "1 = 1"), 0);
	OK(sch_apply(ctx->db, ctx->tenant_id, &revision));
	OK(sch_revisions(ctx->db, ctx->tenant_id, &saved, &applied));
	assert_int_equal(saved, revision);
	assert_int_equal(applied, revision);
	assert_int_equal(applied_count(ctx, "number = '101'"), 1);

	OK(put(ctx, "extension", SCH_PATCH, a, "{'number':'111'}", NULL));
	b = make(ctx, "extension", "{'number':'102'}");
	OK(sch_pending(ctx, &list));
	assert_int_equal(json_array_size(list), 2);
	json_decref(list);
	OK(sch_discard(ctx));
	row = get(ctx, "extension", a);
	assert_string_equal(str(row, "number"), "101");
	json_decref(row);
	assert_int_equal(sch_get(ctx, sch_find("extension"), b, &row), -ENOENT);
	OK(sch_pending(ctx, &list));
	assert_int_equal(json_array_size(list), 0);
	json_decref(list);

	OK(sch_delete(ctx, sch_find("extension"), a, 0));
	OK(sch_pending(ctx, &list));
	assert_string_equal(str(json_array_get(list, 0), "action"), "deleted");
	assert_string_equal(str(json_array_get(list, 0), "title"), "101");
	json_decref(list);
	assert_int_equal(applied_count(ctx, "1 = 1"), 1);
	OK(sch_discard(ctx)); /* the deleted one comes back */
	row = get(ctx, "extension", a);
	json_decref(row);
	OK(sch_delete(ctx, sch_find("extension"), a, 0));
	OK(sch_apply(ctx->db, ctx->tenant_id, NULL));
	assert_int_equal(applied_count(ctx, "1 = 1"), 0);
	fixture_free(ctx);
}

static void sip_settings_have_their_defaults(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	json_t *row = get(ctx, "sip_settings", 0);

	assert_string_equal(str(row, "realm"), "aoide");
	assert_string_equal(str(row, "invite_auth"), "digest");
	assert_int_equal(num(row, "udp_port"), 5060);
	assert_int_equal(num(row, "wss_port"), 8089);
	assert_true(json_is_false(json_object_get(row, "ws_enabled")));
	assert_int_equal(num(row, "video_max_bitrate"), 384);
	assert_int_equal(num(row, "t38_max_datagram"), 1400);
	assert_int_equal(json_array_size(json_object_get(row, "system_codecs")), 12);
	json_decref(row);
	assert_int_equal(put(ctx, "sip_settings", SCH_PATCH, 0,
			     "{'udp_enabled':false,'tcp_enabled':false,'tls_enabled':false,"
			     "'wss_enabled':false,'min_expires':3600,'max_expires':60,"
			     "'system_codecs':['PCMA']}", NULL), -EINVAL);
	assert_true(problem(ctx, "udp_enabled", "no_transport"));
	assert_true(problem(ctx, "min_expires", "range"));
	assert_true(problem(ctx, "default_audio_codecs", "not_enabled"));
	assert_int_equal(sch_delete(ctx, sch_find("sip_settings"), 1, 0), -EFORBIDDEN);
	fixture_free(ctx);
}

static void a_bind_address_belongs_to_this_machine(void **state)
{
	struct sch_ctx *ctx = fixture(*state);
	json_t *row;

	assert_int_equal(put(ctx, "sip_settings", SCH_PATCH, 0,
			     "{'udp_bind':'192.0.2.1','tcp_bind':'%nosuch0%','tls_bind':'%lo%'}", NULL),
			 -EINVAL);
	assert_true(problem(ctx, "udp_bind", "not_local"));
	assert_true(problem(ctx, "tcp_bind", "no_interface"));
	assert_false(problem(ctx, "tls_bind", "no_interface"));
	assert_int_equal(put(ctx, "sip_settings", SCH_PATCH, 0, "{'ws_bind':'no address'}", NULL), -EINVAL);
	assert_true(problem(ctx, "ws_bind", "bad_address"));
	assert_int_equal(put(ctx, "sip_settings", SCH_PATCH, 0,
			     "{'udp_bind':'127.0.0.1','tls_bind':'%lo%'}", NULL), 0);

	/* Choosing a transport turns it on; turning it off later is allowed. */
	assert_int_equal(put(ctx, "sip_settings", SCH_PATCH, 0, "{'preferred_transport':'WS'}", NULL), 0);
	row = get(ctx, "sip_settings", 0);
	assert_true(json_is_true(json_object_get(row, "ws_enabled")));
	json_decref(row);
	assert_int_equal(put(ctx, "sip_settings", SCH_PATCH, 0, "{'ws_enabled':false}", NULL), 0);
	row = get(ctx, "sip_settings", 0);
	assert_false(json_is_true(json_object_get(row, "ws_enabled")));
	json_decref(row);
	fixture_free(ctx);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TESTDB_BOTH("default templates have the printed values",
			    the_default_templates_have_the_printed_values),
		TESTDB_BOTH("[BASE-34] accounts are linked and made from the extension",
			    accounts_are_linked_and_made_from_the_extension),
		TESTDB_BOTH("[BASE-36] a local user is made with the extension, role Tenant User",
			    a_local_user_is_made_with_the_extension),
		TESTDB_BOTH("account values old and new are understood", account_forms_old_and_new),
		TESTDB_BOTH("account secrets are shown on purpose only",
			    account_secrets_are_shown_on_purpose_only),
		TESTDB_BOTH("[BASE-77] protected accounts have a permission of their own",
			    protected_accounts_have_a_permission_of_their_own),
		TESTDB_BOTH("[BASE-80] saved is not applied until it is applied",
			    saved_is_not_applied_until_it_is_applied),
		TESTDB_BOTH("SIP settings have their defaults", sip_settings_have_their_defaults),
		TESTDB_BOTH("[D-083] a bind address is one of this machine's; the preferred transport is on",
			    a_bind_address_belongs_to_this_machine),
	};

	return testdb_run(tests);
}
