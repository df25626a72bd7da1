/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "audio/store.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/seal.h"
#include "db/db.h"
#include "schema/schema.h"
#include "snapshot/snap_priv.h"
#include "snapshot/snapshot.h"
#include "testdb.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OK(call) assert_int_equal(call, 0)

/* A new node with its tenant "default"; objects are made as the web makes them. */
struct node {
	struct testdb *t;
	struct sch_ctx *ctx;
	int64_t tenant_id;
	struct arena *sip_arena;
	struct snap_sip *sip;
};

static void node_init(struct node *node, struct testdb *t)
{
	memset(node, 0, sizeof(*node));
	node->t = t;
	node->ctx = calloc(1, sizeof(*node->ctx));
	assert_non_null(node->ctx);
	OK(seal_init(t->dir));
	OK(sch_migrate(t->db));
	OK(audio_migrate(t->db));
	OK(arena_alloc(&node->ctx->arena, 4096));
	node->ctx->db = t->db;
	node->ctx->lang = SCH_EN;
	node->ctx->user_name = "admin@default";
	OK(sch_tenant_find(&node->tenant_id, t->db, "default"));
	node->ctx->tenant_id = node->tenant_id;
}

static void forget(struct node *node)
{
	json_decref(node->ctx->generated);
	json_decref(node->ctx->reset);
	node->ctx->generated = node->ctx->reset = NULL;
	node->ctx->n_problems = 0;
}

static void node_free(struct node *node)
{
	forget(node);
	arena_free(node->ctx->arena);
	arena_free(node->sip_arena);
	free(node->ctx);
}

/* JSON text with ' for ". */
static int64_t write_object(struct node *node, const char *entity, enum sch_write how, int64_t id,
			    const char *text)
{
	char *copy = strdup(text);
	json_t *body;
	int err;

	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	body = json_loads(copy, 0, NULL);
	assert_non_null(body);
	free(copy);
	forget(node);
	err = sch_write(node->ctx, sch_find(entity), how, id, body, 0, &id);
	for (size_t i = 0; err && i < node->ctx->n_problems; i++)
		print_error("%s: %s\n", node->ctx->problems[i].field,
			    node->ctx->problems[i].message);
	assert_int_equal(err, 0);
	json_decref(body);

	return id;
}

static int64_t create(struct node *node, const char *entity, const char *text)
{
	return write_object(node, entity, SCH_CREATE, 0, text);
}

static void settings(struct node *node, const char *text)
{
	int64_t id = 0, tenant_id = node->ctx->tenant_id;

	OK(db_query_i64(&id, node->t->db, "SELECT id FROM \"sip_settings\"", DB_NO_ARGS));
	node->ctx->tenant_id = 0;
	(void)write_object(node, "sip_settings", SCH_PATCH, id, text);
	node->ctx->tenant_id = tenant_id;
}

static void load_sip(struct node *node)
{
	arena_free(node->sip_arena);
	OK(arena_alloc(&node->sip_arena, 4096));
	OK(snap_sip_load(&node->sip, node->sip_arena, node->t->db,
			 &(struct snap_dirs){ "/data", AOIDE_SHARE }));
}

/* Applied and loaded. */
static struct snap_tenant *load(struct node *node)
{
	struct snap_tenant *tenant = NULL;

	OK(sch_apply(node->t->db, 0, NULL));
	OK(sch_apply(node->t->db, node->tenant_id, NULL));
	load_sip(node);
	OK(snap_tenant_load(&tenant, node->t->db, node->tenant_id, node->sip));

	return tenant;
}

static const struct snap_account *account(const struct snap_tenant *tenant, const char *username)
{
	for (uint32_t i = 0; i < tenant->n_accounts; i++)
		if (!strcmp(tenant->accounts[i].username, username))
			return &tenant->accounts[i];
	fail_msg("no account %s", username);

	return NULL;
}

static void expect_hex(const uint8_t *bytes, size_t n, const char *hex)
{
	char text[65];

	for (size_t i = 0; i < n; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	assert_string_equal(text, hex);
}

static void expect_codecs(const struct snap_codecs *codecs, const uint8_t *list, uint8_t n)
{
	assert_int_equal(codecs->n, n);
	assert_memory_equal(codecs->list, list, n);
}
#define EXPECT_CODECS(codecs, ...)                                                                 \
	expect_codecs(codecs, (const uint8_t[]){ __VA_ARGS__ },                                    \
		      (uint8_t)sizeof((const uint8_t[]){ __VA_ARGS__ }))

static bool allows(const struct snap_net *list, size_t n, const char *text)
{
	uint8_t addr[16] = { [10] = 0xff, [11] = 0xff };

	if (inet_pton(AF_INET, text, addr + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, addr), 1);

	return snap_net_allows(list, n, addr);
}

/* ------------------------------------------------------------------ bindings */

static const struct sch_field *field_of(const char *entity, const char *name)
{
	const struct sch_entity *e = sch_find(entity);

	for (size_t i = 0; e && i < e->n_fields; i++)
		if (!strcmp(e->fields[i].name, name))
			return &e->fields[i];

	return NULL;
}

static bool fits(enum snap_bind_type bind, const struct sch_field *f)
{
	switch (bind) {
	case SNAP_B_BOOL:
	case SNAP_B_BIT:
		return f->type == SCH_BOOL;
	case SNAP_B_U8:
		return f->type == SCH_INT && f->min >= 0 && f->max <= UINT8_MAX;
	case SNAP_B_U16:
		return f->type == SCH_INT && f->min >= 0 && f->max <= UINT16_MAX;
	case SNAP_B_U32:
		return f->type == SCH_INT && f->min >= 0 && f->max <= UINT32_MAX;
	case SNAP_B_ID:
		return f->type == SCH_REF;
	case SNAP_B_TEXT:
		return f->type == SCH_TEXT || f->type == SCH_DIGITS || f->type == SCH_PHONE ||
		       f->type == SCH_HOST;
	case SNAP_B_LENT:
		return f->type == SCH_TEXT || f->type == SCH_SECRET || f->type == SCH_LIST;
	case SNAP_B_ENUM:
		return f->type == SCH_ENUM;
	case SNAP_B_CODECS:
		return f->type == SCH_ENUM_LIST;
	case SNAP_B_NETS:
		return f->type == SCH_NET_LIST;
	}

	return false;
}

/* Each value that the registry allows is one that the binding knows. */
static void expect_values(const struct snap_bind *bind, const struct sch_field *f)
{
	for (const struct sch_value *v = f->values; v && v->value; v++) {
		bool found = false;

		for (int i = 0; bind->names && bind->names[i]; i++)
			found = found || !strcmp(bind->names[i], v->value);
		if (!found)
			fail_msg("%s: value %s is not bound", f->name, v->value);
	}
}

static void check_binds(const char *entity, const char *template, const struct snap_bind *binds,
			size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct sch_field *f = field_of(entity, binds[i].name);

		if (!f || (f->flags & SCH_VIRTUAL))
			fail_msg("%s.%s is no field of the registry", entity, binds[i].name);
		if (!fits(binds[i].type, f))
			fail_msg("%s.%s has another type in the registry", entity, binds[i].name);
		if (template && binds[i].inherit != !!(f->flags & SCH_INHERIT))
			fail_msg("%s.%s: inheritance differs", entity, binds[i].name);
		if (binds[i].inherit && !field_of(template, binds[i].name))
			fail_msg("%s.%s is no field of the template", entity, binds[i].name);
		if (binds[i].type == SNAP_B_ENUM)
			expect_values(&binds[i], f);
	}
}

static void bindings_are_in_step_with_the_registry(void **state)
{
	check_binds("account", "account_template", snap_account_binds, snap_n_account_binds);
	check_binds("extension", "extension_template", snap_extension_binds,
		    snap_n_extension_binds);
	check_binds("sip_settings", NULL, snap_sip_binds, snap_n_sip_binds);
	check_binds("audio_file", NULL, snap_audio_binds, snap_n_audio_binds);
	check_binds("moh_class", NULL, snap_moh_binds, snap_n_moh_binds);
	check_binds("audio_settings", NULL, snap_audio_settings_binds,
		    snap_n_audio_settings_binds);
}

/* ------------------------------------------------------------------ loading */

static void a_new_node_has_its_defaults(void **state)
{
	struct node node;
	struct snap_tenant *tenant;
	const struct snap_sip *sip;

	node_init(&node, *state);
	tenant = load(&node);
	sip = node.sip;
	assert_string_equal(sip->realm, "aoide");
	assert_string_equal(sip->user_agent, "Aoide");
	assert_true(sip->transport_enabled[SNAP_UDP] && sip->transport_enabled[SNAP_TCP] &&
		    sip->transport_enabled[SNAP_TLS] && sip->transport_enabled[SNAP_WSS]);
	assert_false(sip->transport_enabled[SNAP_WS]);
	assert_int_equal(sip->invite_auth, SNAP_INVITE_DIGEST);
	assert_int_equal(sip->min_expires_s, 60);
	assert_int_equal(sip->max_expires_s, 3600);
	assert_int_equal(sip->session_expires_s, 1800);
	assert_int_equal(sip->min_se_s, 90);
	assert_int_equal(sip->tos_sip, 24);
	assert_int_equal(sip->tos_audio, 46);
	assert_int_equal(sip->tos_video, 34);
	assert_int_equal(sip->options_interval_s, 25);
	assert_int_equal(sip->dtmf_mode, SNAP_DTMF_RFC2833);
	assert_int_equal(sip->video_max_kbps, 384);
	assert_true(sip->t38_passthrough);
	assert_int_equal(sip->ws_port, 8088);
	assert_int_equal(sip->wss_port, 8089);
	assert_false(sip->transport_enabled[SNAP_WS]);
	assert_true(sip->transport_enabled[SNAP_WSS]);
	EXPECT_CODECS(&sip->audio, SNAP_PCMA, SNAP_PCMU, SNAP_G722, SNAP_OPUS, SNAP_G729);
	EXPECT_CODECS(&sip->video, SNAP_H264, SNAP_VP8);
	assert_null(sip->outbound_proxy);
	assert_string_equal(tenant->domain, "default");
	assert_int_equal(strlen(tenant->uuid), 36);
	assert_int_equal(tenant->n_accounts, 0);
	assert_null(snap_extension_find(tenant, "101", 3));
	snap_tenant_free(tenant);
	tenant = NULL;
	assert_int_equal(snap_tenant_load(&tenant, node.t->db, 999, sip), -ENOENT);
	assert_null(tenant);
	node_free(&node);
}

static void values_come_from_the_template_unless_overridden(void **state)
{
	struct node node;
	struct snap_tenant *tenant;
	const struct snap_account *a;
	const struct snap_extension *e;
	int64_t at, et, ext;
	char text[900];

	node_init(&node, *state);
	at = create(&node, "account_template",
		    "{'name':'Home','registration_check':false,'nat':true,'max_contacts':3,"
		    "'srtp':'optional','transport_udp':false,'transport_tls':true,"
		    "'acl_source_ip':['10.0.0.0/8','2001:db8::/32'],"
		    "'audio_codecs':['OPUS','G729'],'outbound_proxy_override':true,"
		    "'outbound_proxy_address':'proxy.example','outbound_proxy_port':5070,"
		    "'outbound_proxy_protocol':'TCP'}");
	et = create(&node, "extension_template",
		    "{'name':'Sales','busy_level':2,'max_concurrent_calls':4,"
		    "'no_answer_timeout_internal':11,'no_answer_timeout_external':12,"
		    "'no_answer_timeout_transfer':13,'simulate_ringing':true}");
	(void)snprintf(text, sizeof(text),
		       "{'number':'101','first_name':'Ada','last_name':'Lovelace',"
		       "'mobile_number':'+39333','template':%lld,'busy_level':7}",
		       (long long)et);
	ext = create(&node, "extension", text);
	(void)create(&node, "extension", "{'number':'102','enabled':false}");
	(void)snprintf(text, sizeof(text),
		       "{'username':'home','password':'Secret-1','template':%lld,'extension':%lld}",
		       (long long)at, (long long)ext);
	(void)create(&node, "account", text);
	(void)snprintf(
		text, sizeof(text),
		"{'username':'office','password':'Secret-2','template':%lld,'extension':%lld,"
		"'registration_check':true,'nat':false,'max_contacts':1,'srtp':'required',"
		"'transport_udp':true,'transport_type':'WEBRTC','acl_source_ip':[],"
		"'acl_contact_ip':['192.168.1.7'],'audio_codecs':[],"
		"'outbound_proxy_address':null,'outbound_proxy_override':false}",
		(long long)at, (long long)ext);
	(void)create(&node, "account", text);
	(void)create(&node, "account", "{'username':'alone','password':'x','enabled':false}");

	tenant = load(&node);
	assert_int_equal(tenant->n_accounts, 3);
	assert_int_equal(tenant->n_extensions, 2);
	a = account(tenant, "home");
	assert_true(a->enabled && !a->registration_check && a->nat && !a->direct_media);
	assert_int_equal(a->max_contacts, 3);
	assert_int_equal(a->srtp, SNAP_SRTP_OPTIONAL);
	assert_int_equal(a->transports, 1 << SNAP_TLS);
	assert_false(a->webrtc);
	EXPECT_CODECS(&a->audio, SNAP_OPUS, SNAP_G729);
	EXPECT_CODECS(&a->video, SNAP_H264, SNAP_VP8);
	assert_string_equal(a->outbound_proxy, "sip:proxy.example:5070;transport=tcp");
	assert_true(allows(a->acl_source, a->n_acl_source, "10.255.0.1"));
	assert_true(allows(a->acl_source, a->n_acl_source, "2001:db8::1"));
	assert_false(allows(a->acl_source, a->n_acl_source, "11.0.0.1"));
	assert_false(allows(a->acl_source, a->n_acl_source, "2001:db9::1"));
	assert_true(allows(a->acl_contact, a->n_acl_contact, "11.0.0.1"));
	/* md5 and sha256 of home:aoide:Secret-1 */
	expect_hex(a->ha1_md5, 16, "ee7d6ee81564ddf082992cca6686b624");
	expect_hex(a->ha1_sha256, 32,
		   "f905f62425fef04e6710bed2ba4339cd3ee1313797014cdcb791fd3e8d14628c");

	a = account(tenant, "office");
	assert_true(a->registration_check && !a->nat && a->webrtc);
	assert_int_equal(a->max_contacts, 1);
	assert_int_equal(a->srtp, SNAP_SRTP_REQUIRED);
	assert_int_equal(a->transports, 1 << SNAP_TLS | 1 << SNAP_UDP);
	EXPECT_CODECS(&a->audio, SNAP_PCMA, SNAP_PCMU, SNAP_G722, SNAP_OPUS, SNAP_G729);
	assert_null(a->outbound_proxy);
	assert_true(allows(a->acl_source, a->n_acl_source, "11.0.0.1"));
	assert_true(allows(a->acl_contact, a->n_acl_contact, "192.168.1.7"));
	assert_false(allows(a->acl_contact, a->n_acl_contact, "192.168.1.6"));

	a = account(tenant, "alone");
	assert_false(a->enabled);
	assert_null(a->extension);
	assert_ptr_equal(a->tenant, tenant);

	e = snap_extension_find(tenant, "101x", 3);
	assert_non_null(e);
	assert_ptr_equal(account(tenant, "home")->extension, e);
	assert_string_equal(e->display_name, "Ada Lovelace");
	assert_string_equal(e->mobile_number, "+39333");
	assert_int_equal(e->busy_level, 7);
	assert_int_equal(e->max_concurrent_calls, 4);
	assert_int_equal(e->no_answer_s[0], 11);
	assert_int_equal(e->no_answer_s[1], 12);
	assert_int_equal(e->no_answer_s[2], 13);
	assert_true(e->simulate_ringing);
	assert_int_equal(e->n_accounts, 2);
	assert_string_equal(e->accounts[0]->username, "home");
	assert_string_equal(e->accounts[1]->username, "office");
	e = snap_extension_find(tenant, "102", 3);
	assert_false(e->enabled);
	assert_string_equal(e->display_name, "102");
	assert_null(e->mobile_number);
	assert_int_equal(e->n_accounts, 0);
	assert_int_equal(e->no_answer_s[0], 30);
	assert_null(snap_extension_find(tenant, "10", 2));
	assert_null(snap_extension_find(tenant, "1011", 4));
	snap_tenant_free(tenant);
	node_free(&node);
}

static void settings_of_the_node_reach_every_account(void **state)
{
	struct node node;
	struct snap_tenant *tenant;
	const struct snap_account *a;

	node_init(&node, *state);
	(void)create(&node, "account",
		     "{'username':'u','password':'p','srtp':'required',"
		     "'audio_codecs':['G729','GSM'],'video_codecs':['VP8']}");
	settings(&node,
		 "{'realm':'pbx.example','srtp_support':false,'video_enabled':false,"
		 "'system_codecs':['PCMA','GSM','H264'],'default_audio_codecs':['GSM','PCMA'],"
		 "'default_video_codecs':['H264'],'outbound_proxy_address':'2001:db8::5',"
		 "'outbound_proxy_protocol':'TLS','invite_auth':'registered_source',"
		 "'local_networks':['10.0.0.0/8'],'udp_enabled':false,'drop_unknown':false}");
	tenant = load(&node);
	assert_int_equal(node.sip->invite_auth, SNAP_INVITE_REGISTERED_SOURCE);
	assert_false(node.sip->transport_enabled[SNAP_UDP] || node.sip->drop_unknown);
	assert_int_equal(node.sip->n_local_nets, 1);
	EXPECT_CODECS(&node.sip->audio, SNAP_GSM, SNAP_PCMA);

	/* The tenant lives on when the settings are gone. */
	arena_free(node.sip_arena);
	node.sip_arena = NULL;
	a = account(tenant, "u");
	EXPECT_CODECS(&a->audio, SNAP_GSM);
	assert_int_equal(a->video.n, 0);
	assert_int_equal(a->srtp, SNAP_SRTP_OFF);
	assert_string_equal(a->outbound_proxy, "sip:[2001:db8::5];transport=tls");
	assert_int_equal(a->transports & 1 << SNAP_UDP, 0); /* off for the node: off for everybody */
	/* md5 of u:pbx.example:p */
	expect_hex(a->ha1_md5, 16, "a34c8118578b69a35b6fb4b08ebc2ecf");
	snap_tenant_free(tenant);
	node_free(&node);
}

static void a_proxy_without_protocol_takes_the_preferred_transport(void **state)
{
	struct node node;
	struct snap_tenant *tenant;

	node_init(&node, *state);
	(void)create(&node, "account", "{'username':'u','password':'p'}");
	(void)create(&node, "account",
		     "{'username':'v','password':'p','outbound_proxy_override':true,"
		     "'outbound_proxy_address':'10.0.0.1','outbound_proxy_protocol':'UDP'}");
	settings(&node, "{'outbound_proxy_address':'proxy.example','preferred_transport':'TCP'}");
	tenant = load(&node);
	assert_string_equal(account(tenant, "u")->outbound_proxy, "sip:proxy.example;transport=tcp");
	assert_string_equal(account(tenant, "v")->outbound_proxy, "sip:10.0.0.1;transport=udp");
	snap_tenant_free(tenant);

	/* Off: the first that is on. */
	settings(&node, "{'tcp_enabled':false,'udp_enabled':false}");
	tenant = load(&node);
	assert_string_equal(account(tenant, "u")->outbound_proxy, "sip:proxy.example;transport=tls");
	snap_tenant_free(tenant);
	node_free(&node);
}

static void what_is_not_applied_is_not_seen(void **state)
{
	struct node node;
	struct snap_tenant *tenant, *before;
	int64_t id, revision;
	char text[100];

	node_init(&node, *state);
	id = create(&node, "account", "{'username':'u','password':'p'}");
	before = load(&node);
	revision = before->revision;
	(void)snprintf(text, sizeof(text), "{'nat':true}");
	(void)write_object(&node, "account", SCH_PATCH, id, text);
	OK(snap_tenant_load(&tenant, node.t->db, node.tenant_id, node.sip));
	assert_false(tenant->accounts[0].nat);
	assert_int_equal(tenant->revision, revision);
	snap_tenant_free(tenant);
	tenant = load(&node);
	assert_true(tenant->accounts[0].nat);
	assert_true(tenant->revision > revision);
	assert_false(before->accounts[0].nat); /* a call in progress keeps what it started with */
	snap_tenant_free(before);
	snap_tenant_free(tenant);
	node_free(&node);
}

static void broken_values_are_never_generous(void **state)
{
	struct node node;
	struct snap_tenant *tenant;
	const struct snap_account *a;

	node_init(&node, *state);
	(void)create(&node, "account",
		     "{'username':'u','password':'p','acl_source_ip':['10.0.0.0/8']}");
	(void)create(&node, "account", "{'username':'w','password':'p'}");
	snap_tenant_free(load(&node));
	OK(db_exec(
		node.t->db,
		"UPDATE account_applied SET acl_source_ip = '[\"nonsense\"]' WHERE username = 'u'",
		DB_NO_ARGS));
	OK(db_exec(node.t->db,
		   "UPDATE account_applied SET password = 's1:AAAA' WHERE username = 'w'",
		   DB_NO_ARGS));
	OK(snap_tenant_load(&tenant, node.t->db, node.tenant_id, node.sip));
	a = account(tenant, "u");
	assert_true(a->enabled);
	assert_false(allows(a->acl_source, a->n_acl_source, "10.0.0.1"));
	assert_false(account(tenant, "w")->enabled);
	snap_tenant_free(tenant);

	OK(db_exec(node.t->db, "UPDATE tenant_applied SET operating_mode = 'disabled'",
		   DB_NO_ARGS));
	OK(snap_tenant_load(&tenant, node.t->db, node.tenant_id, node.sip));
	assert_false(account(tenant, "u")->enabled);
	snap_tenant_free(tenant);

	OK(db_exec(node.t->db, "UPDATE account_applied SET audio_codecs = '{broken'", DB_NO_ARGS));
	assert_int_equal(snap_tenant_load(&tenant, node.t->db, node.tenant_id, node.sip),
			 -ECORRUPT);
	node_free(&node);
}

/* ------------------------------------------------------------------ in force */

/* A tenant made by hand: accounts first..first+n-1, named "u<number>". */
static struct snap_tenant *hand_made(int64_t id, int first, int n)
{
	struct arena *arena = NULL;
	struct snap_tenant *tenant;
	struct snap_account *accounts;

	OK(arena_alloc(&arena, 4096));
	tenant = arena_zalloc(arena, sizeof(*tenant));
	accounts = arena_zalloc(arena, (size_t)(n + 1) * sizeof(*accounts));
	for (int i = 0; i < n; i++) {
		accounts[i].id = first + i;
		accounts[i].username = arena_printf(arena, "u%d", first + i);
		accounts[i].tenant = tenant;
		accounts[i].enabled = true;
	}
	tenant->id = id;
	tenant->refs = 1;
	tenant->arena = arena;
	tenant->accounts = accounts;
	tenant->n_accounts = (uint32_t)n;
	tenant->by_number = snap_index_alloc(arena, 0);

	return tenant;
}

static bool knows(const struct snap *snap, int number, int64_t tenant_id)
{
	char name[16];
	int len = snprintf(name, sizeof(name), "u%d", number);
	const struct snap_account *a = snap_account_find(snap, name, (size_t)len);

	return a && a->id == number && a->tenant->id == tenant_id;
}

static void tenants_are_swapped_in_and_out(void **state)
{
	struct snap_stats stats;
	struct snap *snap = NULL;
	unsigned seed = 7;
	int first[6] = { 0 }, n[6] = { 0 };

	OK(snap_alloc(&snap));
	assert_null(snap_account_find(snap, "u1", 2));
	for (int round = 0; round < 300; round++) {
		int64_t id = 1 + rand_r(&seed) % 5;
		bool remove = rand_r(&seed) % 5 == 0;

		first[id] = (int)id * 1000 + rand_r(&seed) % 50;
		n[id] = remove ? 0 : rand_r(&seed) % 200;
		OK(snap_swap(snap, id, remove ? NULL : hand_made(id, first[id], n[id])));
		assert_int_equal(snap_tenant_find(snap, id) == NULL, remove);
		for (int other = 1; other <= 5; other++) {
			for (int k = 0; k < n[other]; k += 17)
				assert_true(knows(snap, first[other] + k, other));
			assert_false(knows(snap, first[other] + n[other], other));
			assert_false(knows(snap, first[other] - 1, other));
		}
	}
	snap_stats(snap, &stats);
	assert_int_equal(stats.accounts, n[1] + n[2] + n[3] + n[4] + n[5]);

	OK(snap_swap(snap, 9, hand_made(9, 5, 3)));
	assert_non_null(snap_account_by_id(snap, 9, 5));
	assert_non_null(snap_account_by_id(snap, 9, 7));
	assert_null(snap_account_by_id(snap, 9, 8));
	assert_null(snap_account_by_id(snap, 77, 5));
	assert_null(snap_account_find(snap, "U5", 2)); /* exact case */
	assert_non_null(snap_account_find(snap, "u5@x", 2));
	snap_free(snap);
}

static void a_call_keeps_its_snapshot(void **state)
{
	const struct snap_tenant *held;
	struct snap *snap = NULL;

	OK(snap_alloc(&snap));
	OK(snap_swap(snap, 1, hand_made(1, 10, 5)));
	held = snap_tenant_ref(snap_tenant_find(snap, 1));
	OK(snap_swap(snap, 1, hand_made(1, 20, 5)));
	assert_false(knows(snap, 10, 1));
	assert_true(knows(snap, 20, 1));
	assert_string_equal(held->accounts[0].username, "u10");
	OK(snap_swap(snap, 1, NULL));
	assert_string_equal(held->accounts[0].username, "u10");
	snap_free(snap);
	assert_string_equal(held->accounts[4].username, "u14");
	snap_tenant_unref(held); /* the sanitizer sees a use after this, or a leak without */
}

/* An account moves to another tenant, and the tenants are swapped one after the other. */
static void one_name_twice_for_a_moment(void **state)
{
	struct snap *snap = NULL;

	OK(snap_alloc(&snap));
	OK(snap_swap(snap, 1, hand_made(1, 10, 1)));
	OK(snap_swap(snap, 2, hand_made(2, 10, 1)));
	assert_true(knows(snap, 10, 1) || knows(snap, 10, 2));
	OK(snap_swap(snap, 1, hand_made(1, 30, 1)));
	assert_true(knows(snap, 10, 2));
	snap_free(snap);
}

static void networks_by_prefix(void **state)
{
	static const struct snap_net nets[] = {
		{ { [10] = 0xff, [11] = 0xff, [12] = 192, [13] = 168, [14] = 128 }, 96 + 17 },
		{ { 0x20, 0x01, 0x0d, 0xb8 }, 29 },
	};
	static const struct snap_net any = { .prefix = 0 };

	assert_true(allows(nets, 2, "192.168.128.0"));
	assert_true(allows(nets, 2, "192.168.255.255"));
	assert_false(allows(nets, 2, "192.168.127.255"));
	assert_true(allows(nets, 2, "2001:dbf::1"));
	assert_false(allows(nets, 2, "2001:dc0::1"));
	assert_true(allows(&any, 1, "8.8.8.8"));
	assert_true(allows(NULL, 0, "8.8.8.8"));
}

/* ------------------------------------------------------------------ sound */

static void content(struct node *node, enum audio_kind kind, int64_t owner, const char *name,
		    bool ready, struct audio_content *ret)
{
	const struct audio_info info = { .duration_ms = 1000, .rate_hz = 8000 };
	char replaced[AUDIO_NAME_SIZE];
	bool stale;

	memset(ret, 0, sizeof(*ret));
	ret->kind = kind;
	ret->owner_id = owner;
	ret->tenant_id = kind == AUDIO_PROMPT ? 0 : node->tenant_id;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	(void)snprintf(ret->incoming, sizeof(ret->incoming), "aa");
	OK(audio_stage(node->t->db, ret, replaced));
	if (ready)
		OK(audio_set_ready(node->t->db, ret, &info, &stale));
}

static int64_t named(struct node *node, const char *entity, const char *title)
{
	int64_t id = 0;

	OK(sch_find_title(&id, node->ctx, sch_find(entity), title));
	return id;
}

static void what_is_played_has_a_path(void **state)
{
	struct node node;
	struct audio_content c[4];
	const struct snap_tenant *tenant;
	const struct snap_audio *audio;
	const struct snap_moh *moh;
	char text[200], path[300];
	int64_t welcome, waiting, jazz, empty;

	node_init(&node, *state);
	welcome = write_object(&node, "audio_file", SCH_CREATE, 0, "{\"name\": \"welcome & co\"}");
	waiting = write_object(&node, "audio_file", SCH_CREATE, 0, "{\"name\": \"waiting\"}");
	content(&node, AUDIO_FILE, welcome, "", true, &c[0]);
	content(&node, AUDIO_FILE, waiting, "", false, &c[1]);
	jazz = write_object(&node, "moh_class", SCH_CREATE, 0, "{\"name\": \"Jazz\", \"random\": true}");
	empty = write_object(&node, "moh_class", SCH_CREATE, 0, "{\"name\": \"Empty\"}");
	content(&node, AUDIO_MOH, jazz, "", true, &c[2]);
	content(&node, AUDIO_MOH, jazz, "", true, &c[3]);
	/* The order is the list's, not that of the uploads. */
	(void)snprintf(text, sizeof(text), "{\"files\": [{\"file\": %lld, \"name\": \"b\"}, {\"file\": %lld}]}",
		       (long long)c[3].id, (long long)c[2].id);
	(void)write_object(&node, "moh_class", SCH_PATCH, jazz, text);
	(void)snprintf(text, sizeof(text), "{\"default_moh_class\": %lld}", (long long)jazz);
	(void)write_object(&node, "audio_settings", SCH_PATCH, 0, text);
	tenant = load(&node);

	audio = snap_audio_by_name(tenant, "custom/welcome & co");
	assert_non_null(audio);
	assert_int_not_equal(audio->version, 0);
	assert_ptr_equal(audio, snap_audio_find(tenant, welcome));
	(void)snprintf(path, sizeof(path), "/data/audio/%lld/%lld.wav", (long long)node.tenant_id,
		       (long long)welcome);
	assert_string_equal(audio->path, path);
	assert_null(snap_audio_find(tenant, waiting)->path); /* not converted yet */
	audio = snap_audio_by_name(tenant, "builtin/rec-start");
	assert_null(audio->path);
	assert_string_equal(audio->prompt, "rec-start");
	assert_string_equal(tenant->spy_audio->name, "builtin/spy-start");
	assert_string_equal(tenant->language, "it");

	moh = snap_moh_find(tenant, jazz);
	assert_true(moh->random);
	assert_int_equal(moh->n_files, 2);
	(void)snprintf(path, sizeof(path), "/data/audio/%lld/moh/%lld/0002-%lld.wav",
		       (long long)node.tenant_id, (long long)jazz, (long long)c[3].id);
	assert_string_equal(moh->files[0], path);
	assert_ptr_equal(snap_moh_find(tenant, 999999), moh); /* the default */
	assert_string_equal(snap_moh_find(tenant, empty)->files[0], AOIDE_SHARE "/moh/default.wav");
	assert_string_equal(snap_moh_find(tenant, named(&node, "moh_class", "class3"))->files[0],
			    AOIDE_SHARE "/moh/class3.wav");
	assert_int_equal(access(AOIDE_SHARE "/moh/class3.wav", R_OK), 0);

	snap_tenant_free((struct snap_tenant *)tenant);
	node_free(&node);
}

static const char *language_of(const struct snap_tenant *tenant, const char *number)
{
	return snap_extension_find(tenant, number, strlen(number))->language;
}

static void an_extension_hears_its_users_language(void **state)
{
	static const struct {
		const char *number, *user;
	} users[] = { { "201", "{\"username\": \"a\", \"language\": \"en\", \"extension\": %lld}" },
		      { "202", "{\"username\": \"b\", \"language\": \"it\", \"extension\": %lld}" },
		      { "203", "{\"username\": \"c\", \"extension\": %lld}" },
		      { "204", NULL } };
	const struct snap_tenant *tenant;
	struct node node;
	char text[200];
	int64_t id;

	node_init(&node, *state);
	for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
		(void)snprintf(text, sizeof(text), "{\"number\": \"%s\"}", users[i].number);
		id = write_object(&node, "extension", SCH_CREATE, 0, text);
		if (!users[i].user)
			continue;
		(void)snprintf(text, sizeof(text), users[i].user, (long long)id);
		(void)write_object(&node, "user", SCH_CREATE, 0, text);
	}
	tenant = load(&node);
	assert_string_equal(language_of(tenant, "201"), "us");
	assert_null(language_of(tenant, "202")); /* the tenant's, which may be a variant of Italian */
	assert_null(language_of(tenant, "203"));
	assert_null(language_of(tenant, "204"));
	snap_tenant_free((struct snap_tenant *)tenant);

	(void)snprintf(text, sizeof(text), "{\"system_language\": %lld}",
		       (long long)named(&node, "language", "English"));
	(void)write_object(&node, "audio_settings", SCH_PATCH, 0, text);
	tenant = load(&node);
	assert_string_equal(tenant->language, "us");
	assert_null(language_of(tenant, "201"));
	assert_string_equal(language_of(tenant, "202"), "it");
	snap_tenant_free((struct snap_tenant *)tenant);
	node_free(&node);
}

static void a_custom_language_inherits_from_its_base(void **state)
{
	struct node node;
	struct audio_content c;
	struct arena *arena = NULL;
	struct snap_sip *sip = NULL;
	struct snap *snap = NULL;
	char path[300];
	int64_t id;

	node_init(&node, *state);
	node.ctx->tenant_id = 0;
	id = write_object(&node, "language", SCH_CREATE, 0,
			  "{\"name\": \"Ours\", \"base\": \"it\", \"variant\": \"ours\"}");
	(void)write_object(&node, "language", SCH_CREATE, 0,
			   "{\"name\": \"Mexico\", \"base\": \"es\", \"variant\": \"mx\"}");
	node.ctx->tenant_id = node.tenant_id;
	content(&node, AUDIO_PROMPT, id, "echo/intro", true, &c);
	content(&node, AUDIO_PROMPT, id, "beep", false, &c);
	OK(sch_apply(node.t->db, 0, NULL));

	OK(arena_alloc(&arena, 4096));
	OK(snap_sip_load(&sip, arena, node.t->db, &(struct snap_dirs){ "/data", AOIDE_SHARE }));
	OK(snap_alloc(&snap));
	snap_swap_sip(snap, sip, arena);

	OK(snap_prompt_path(path, sizeof(path), snap, "it_ours", "echo/intro"));
	assert_string_equal(path, "/data/audio/lang/it_ours/echo/intro.wav");
	OK(snap_prompt_path(path, sizeof(path), snap, "it_ours", "beep"));
	assert_string_equal(path, AOIDE_SHARE "/prompts/it/beep.wav");
	OK(snap_prompt_path(path, sizeof(path), snap, "us", "numbers/21"));
	assert_string_equal(path, AOIDE_SHARE "/prompts/us/numbers/21.wav");
	assert_int_equal(access(path, R_OK), 0);
	OK(snap_prompt_path(path, sizeof(path), snap, "es_mx", "numbers/21"));
	assert_string_equal(path, AOIDE_SHARE "/prompts/us/numbers/21.wav");
	OK(snap_prompt_path(path, sizeof(path), snap, "fr", "numbers/21"));
	assert_string_equal(path, AOIDE_SHARE "/prompts/it/numbers/21.wav");
	assert_int_equal(snap_prompt_path(path, sizeof(path), snap, "it", "../../etc/passwd"), -ENOENT);
	assert_int_equal(snap_prompt_path(path, 10, snap, "it", "beep"), -ENAMETOOLONG);
	OK(snap_audio_path(path, sizeof(path), snap, &(struct snap_audio){ .path = "/a.wav" }, "it"));
	assert_string_equal(path, "/a.wav");
	OK(snap_audio_path(path, sizeof(path), snap, &(struct snap_audio){ .prompt = "beep" }, "us"));
	assert_string_equal(path, AOIDE_SHARE "/prompts/us/beep.wav");
	assert_int_equal(snap_audio_path(path, sizeof(path), snap, &(struct snap_audio){ 0 }, "it"), -ENOENT);
	OK(snap_volatile_path(path, sizeof(path), snap, &(struct snap_tenant){ .id = 7 },
			      "0123456789abcdef0123456789abcdef"));
	assert_string_equal(path, "/data/audio/7/volatile/0123456789abcdef0123456789abcdef.wav");
	assert_int_equal(snap_volatile_path(path, sizeof(path), snap, &(struct snap_tenant){ .id = 7 },
					    "../../1/2.wav"), -ENOENT);

	/* Every prompt of the table has its recording in both languages. */
	for (uint32_t i = 0; i < sip->n_prompts; i++) {
		OK(snap_prompt_path(path, sizeof(path), snap, "it", sip->prompts[i]));
		assert_int_equal(access(path, R_OK), 0);
		OK(snap_prompt_path(path, sizeof(path), snap, "us", sip->prompts[i]));
		assert_int_equal(access(path, R_OK), 0);
	}
	assert_true(sip->n_prompts > 400);
	snap_free(snap);
	node_free(&node);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		{ "bindings are in step with the registry", bindings_are_in_step_with_the_registry,
		  NULL, NULL, NULL },
		TESTDB_BOTH("[D-082] a new node has its defaults", a_new_node_has_its_defaults),
		TESTDB_BOTH("[BASE-32] values come from the template unless overridden",
			    values_come_from_the_template_unless_overridden),
		TESTDB_BOTH("[PLT-44] [D-081] settings of the node reach every account",
			    settings_of_the_node_reach_every_account),
		TESTDB_BOTH("an outbound proxy without a protocol takes the preferred transport",
			    a_proxy_without_protocol_takes_the_preferred_transport),
		TESTDB_BOTH("[BASE-80] what is not applied is not seen",
			    what_is_not_applied_is_not_seen),
		TESTDB_BOTH("[BASE-45] broken values are never generous",
			    broken_values_are_never_generous),
		TESTDB_BOTH("what is played has a path", what_is_played_has_a_path),
		TESTDB_BOTH("[D-367] an extension hears its user's language",
			    an_extension_hears_its_users_language),
		TESTDB_BOTH("a custom language inherits from its base",
			    a_custom_language_inherits_from_its_base),
		{ "tenants are swapped in and out", tenants_are_swapped_in_and_out, NULL, NULL,
		  NULL },
		{ "a call keeps its snapshot", a_call_keeps_its_snapshot, NULL, NULL, NULL },
		{ "one name twice for a moment", one_name_twice_for_a_moment, NULL, NULL, NULL },
		{ "networks by prefix", networks_by_prefix, NULL, NULL, NULL },
	};

	return testdb_run(tests);
}
