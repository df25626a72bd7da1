/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/seal.h"
#include "bus/bus.h"
#include "db/db.h"
#include "web/mask.h"
#include "web/rest.h"
#include "web/sessions.h"
#include "web/web_priv.h"

/* Live state comes from the switch over the bus; it is never stored here. */
#define SWITCH_WAIT_MS 3000
#define LIVE_MAX_ITEMS 20000 /* of one list */

#ifndef AOIDE_BUILD
#define AOIDE_BUILD "00000000"
#endif

static int ask_switch(struct rest *rest, const char *subject, json_t *question, json_t **ret)
{
	int err;

	if (!rest->web->bus) {
		json_decref(question);
		return -EUNAVAILABLE;
	}
	err = bus_request_wait(ret, rest->web->bus, subject, question, SWITCH_WAIT_MS);
	return err == -ETIMEDOUT ? -EUNAVAILABLE : err;
}

static json_t *own_tenant(const struct rest *rest)
{
	return rest->who->user.tenant_id ?
		json_pack("{s:I}", "tenant_id", (json_int_t)rest->who->user.tenant_id) : json_object();
}

/* All pages of a list of the switch. question: stolen. ret: new reference. */
static int ask_list(struct rest *rest, const char *subject, json_t *question, json_t **ret)
{
	json_t *items = json_array(), *page = NULL;
	size_t before;
	int err;

	do {
		before = json_array_size(items);
		json_decref(page);
		page = NULL;
		json_object_set_new(question, "offset", json_integer((json_int_t)before));
		err = ask_switch(rest, subject, json_copy(question), &page);
		if (!err)
			(void)json_array_extend(items, json_object_get(page, "items"));
	} while (!err && json_array_size(items) > before && json_array_size(items) < LIVE_MAX_ITEMS &&
		 (int64_t)json_array_size(items) < js_int(page, "total", 0));

	json_decref(question);
	json_decref(page);
	if (err) {
		json_decref(items);
		return err;
	}
	*ret = items;
	return 0;
}

/* A list of the switch, as {"items": [...], "total": n} on v2 and a plain array on /rest/. */
static int answer_items(struct rest *rest, json_t *items)
{
	rest_header(rest, "Cache-Control", "no-store");
	if (rest->family == FAMILY_V2)
		items = json_pack("{s:o,s:I}", "items", items, "total",
				  (json_int_t)json_array_size(items));
	return rest_answer(rest, 200, items);
}

/* Never more than the caller's own, whatever the switch sent (D-226). */
static bool is_own(const struct rest *rest, const json_t *item)
{
	return !rest->who->user.tenant_id || js_int(item, "tenant_id", -1) == rest->who->user.tenant_id;
}

int rest_live_registrations(struct rest *rest)
{
	json_t *all = NULL, *items, *item;
	size_t i;
	int err = ask_list(rest, "cmd.switch.registrations", own_tenant(rest), &all);

	if (err)
		return err;
	items = json_array();
	json_array_foreach(all, i, item)
		if (is_own(rest, item))
			json_array_append(items, item);
	json_decref(all);
	return answer_items(rest, items);
}

static bool call_matches(const struct rest *rest, const json_t *call)
{
	static const struct {
		const char *arg, *fields[2];
	} filters[] = {
		{ "extension", { "caller", "called" } },
		{ "account", { "src_account", "dst_account" } },
		{ "linkedId", { "linkedid", "linkedid" } },
	};

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		const char *wanted = web_arg(rest->req, filters[i].arg, NULL);

		if (wanted && strcmp(js_str(call, filters[i].fields[0], ""), wanted) &&
		    strcmp(js_str(call, filters[i].fields[1], ""), wanted))
			return false;
	}
	return true;
}

static bool is_own_call(const struct rest *rest, const json_t *call)
{
	const char *own = rest->who->extension;

	return *own && (!strcmp(js_str(call, "caller", ""), own) ||
			!strcmp(js_str(call, "called", ""), own));
}

/* Without the permission for the panel (PLT-22) a user sees the calls of his own extension. */
static bool may_see_call(const struct rest *rest, const json_t *call)
{
	return is_own(rest, call) &&
	       (principal_level(rest->who, "diagnostics") >= SCH_LEVEL_LIST || is_own_call(rest, call));
}

/* The calls that the caller may see; linkedid: only that one, or NULL. */
static int find_calls(struct rest *rest, const char *linkedid, json_t **ret)
{
	json_t *question = own_tenant(rest), *all = NULL, *items, *call;
	size_t i;
	int err;

	if (linkedid)
		json_object_set_new(question, "linkedid", json_string(linkedid));
	err = ask_list(rest, "cmd.switch.calls", question, &all);
	if (err)
		return err;
	items = json_array();
	json_array_foreach(all, i, call) {
		if (!may_see_call(rest, call))
			continue;
		mask_call(rest, call);
		json_array_append(items, call);
	}
	json_decref(all);
	*ret = items;
	return 0;
}

int rest_live_calls(struct rest *rest)
{
	json_t *calls = NULL, *items, *call;
	size_t i;
	int err = find_calls(rest, NULL, &calls);

	if (err)
		return err;
	items = json_array();
	json_array_foreach(calls, i, call)
		if (call_matches(rest, call))
			json_array_append(items, call);
	json_decref(calls);
	return answer_items(rest, items);
}

static int find_call(struct rest *rest, const char *linkedid, json_t **ret)
{
	json_t *calls = NULL, *call;
	size_t i;
	int err = find_calls(rest, linkedid, &calls);

	if (err)
		return err;
	err = -ENOENT;
	json_array_foreach(calls, i, call) {
		if (strcmp(js_str(call, "linkedid", ""), linkedid))
			continue;
		*ret = json_incref(call);
		err = 0;
		break;
	}
	json_decref(calls);
	return err;
}

int rest_live_call(struct rest *rest)
{
	json_t *call = NULL;
	int err = find_call(rest, rest->params[0], &call);

	if (err)
		return err;
	rest_header(rest, "Cache-Control", "no-store");
	return rest_answer(rest, 200, call);
}

int rest_live_hangup(struct rest *rest)
{
	json_t *call = NULL, *answer = NULL, *question;
	int err = find_call(rest, rest->params[0], &call);

	if (err)
		return err;
	/* Hanging somebody else's call up is an action of the panel (D-045). */
	if (principal_level(rest->who, "diagnostics") < SCH_LEVEL_WRITE && !is_own_call(rest, call)) {
		json_decref(call);
		return -EFORBIDDEN;
	}
	question = own_tenant(rest);
	json_object_set(question, "linkedid", json_object_get(call, "linkedid"));
	err = ask_switch(rest, "cmd.switch.hangup", question, &answer);
	json_decref(call);
	json_decref(answer);
	if (err)
		return err;
	return rest->family == FAMILY_V2 ? rest_answer_empty(rest, 204) :
					   rest_answer(rest, 200, json_pack("{s:s}", "result", "ok"));
}

/* ------------------------------------------------------------------ dashboard (PUB-03, D-016) */

static void make_serial(char *buf, size_t size)
{
	char hex[9];

	seal_random_hex(hex, sizeof(hex));
	snprintf(buf, size, "AOID%08lu", strtoul(hex, NULL, 16) % 100000000ul);
}

static int serial_of(struct rest *rest, char *buf, size_t size)
{
	return web_setting(buf, size, rest->db, "serial", make_serial);
}

/* Clients decide by this pattern what they may use, so it names the compatible release. */
static const char firmware_version[] = "4.16.0-" AOIDE_BUILD;

/* A JSON string, a text in XML; plain text when that is asked for. */
static int answer_word(struct rest *rest, const char *word)
{
	struct web_text text = { 0 };

	if (rest->repr == REPR_TEXT) {
		web_text_puts(&text, word);
		return rest_answer_text(rest, 200, web_repr_ctype(REPR_TEXT), &text);
	}
	return rest_answer(rest, 200, json_string(word));
}

int rest_dashboard_version(struct rest *rest)
{
	return answer_word(rest, firmware_version);
}

int rest_dashboard_serial(struct rest *rest)
{
	char serial[32];
	int err = serial_of(rest, serial, sizeof(serial));

	return err ? err : answer_word(rest, serial);
}

static int64_t count_rows(struct rest *rest, const char *name)
{
	const struct sch_entity *entity = sch_find(name);
	struct sch_query query = { .fields = "id", .page = 1, .page_size = 1 };
	struct sch_out out = { 0 };
	int64_t total = 0;

	if (entity && rest->who->user.tenant_id)
		(void)sch_list(&rest->ctx, entity, &query, &out, &total); /* 0 when it fails */
	sch_out_free(&out);
	return total;
}

static json_t *service(const char *name, bool active)
{
	return json_pack("{s:s,s:s}", "name", name, "state", active ? "active" : "inactive");
}

static json_t *disk_of(const struct rest *rest)
{
	struct statvfs fs;

	if (statvfs(rest->web->config->data_dir, &fs))
		return json_null();
	return json_pack("{s:I,s:I}", "total_mb",
			 (json_int_t)((uint64_t)fs.f_blocks * fs.f_frsize >> 20), "free_mb",
			 (json_int_t)((uint64_t)fs.f_bavail * fs.f_frsize >> 20));
}

int rest_dashboard_get(struct rest *rest)
{
	json_t *calls = NULL, *sw = NULL;
	char serial[32], now[40];
	double load[3] = { 0 };
	bool up;
	int err = serial_of(rest, serial, sizeof(serial));

	if (err)
		return err;
	up = !ask_switch(rest, "cmd.switch.status", json_object(), &sw);
	if (up && find_calls(rest, NULL, &calls))
		calls = NULL;
	(void)getloadavg(load, 3);
	rest_header(rest, "Cache-Control", "no-store");
	err = rest_answer(
		rest, 200,
		json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:[f,f,f],s:o,s:[o,o,o]}",
			  "firmwareVersion", firmware_version, "productVersion", AOIDE_VERSION,
			  "serialNumber", serial, "time", clk_iso(now, sizeof(now), clk_wall_us()),
			  "uptime_s", (json_int_t)js_int(sw, "uptime_s", 0), "calls",
			  (json_int_t)json_array_size(calls), "extensions",
			  (json_int_t)count_rows(rest, "extension"), "accounts",
			  (json_int_t)count_rows(rest, "account"), "load", load[0], load[1], load[2],
			  "disk", disk_of(rest), "services", service("voip", up),
			  service("web-backend", true), service("web-socket", true)));
	json_decref(calls);
	json_decref(sw);
	return err;
}

/* Users who may use CTI clients (PUB-03). */
int rest_cti_users(struct rest *rest)
{
	const struct sch_entity *entity = sch_find("user");
	struct sch_query query = { .fields = "id,username,first_name,last_name,email,extension,enabled",
				   .page = 1 };
	struct sch_out out = { 0 };
	json_t *list;
	int64_t total = 0;
	int err;

	if (!rest->who->user.tenant_id)
		return rest_problem(rest, -EFORBIDDEN, "tenant_only",
				    REST_TEXT(rest, "Un utente di macchina non agisce dentro un tenant.",
					      "A machine user does not act inside a tenant."));
	query.filters[0].field = "cti_access";
	query.filters[0].op = "=";
	query.filters[0].value = "true";
	query.n_filters = 1;
	err = sch_list(&rest->ctx, entity, &query, &out, &total);
	if (err) {
		sch_out_free(&out);
		return err;
	}
	list = json_loadb(out.text, out.len, 0, NULL);
	sch_out_free(&out);
	return rest_answer(rest, 200, list);
}

int rest_health_get(struct rest *rest)
{
	rest_header(rest, "Cache-Control", "no-store");
	return rest_answer(rest, 200, json_pack("{s:s}", "status", "ok"));
}
