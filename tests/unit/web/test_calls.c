/* SPDX-License-Identifier: Apache-2.0 */
#include "webfix.h"

#include <time.h>

static void add_call(struct fix *f, const char *id, const char *caller, const char *called, int64_t end_us,
		     const char *destination)
{
	struct cdr *cdr = calloc(1, sizeof(*cdr));
	char *buf = malloc(CDR_RECORD_MAX_BYTES);
	int n;

	cdr->tenant_id = f->tenant_id;
	snprintf(cdr->unique_id, sizeof(cdr->unique_id), "%s", id);
	snprintf(cdr->linkedid, sizeof(cdr->linkedid), "%s", id);
	strcpy(cdr->source_type, "local_exten");
	strcpy(cdr->destination_type, destination);
	strcpy(cdr->status, "OK");
	snprintf(cdr->caller, sizeof(cdr->caller), "%s", caller);
	snprintf(cdr->called, sizeof(cdr->called), "%s", called);
	snprintf(cdr->answered_by, sizeof(cdr->answered_by), "%s", called);
	cdr->start_us = end_us - 75500000;
	cdr->answer_us = end_us - 60250000;
	cdr->end_us = end_us;
	cdr->n_details = 1;
	strcpy(cdr->details[0].destination_type, destination);
	strcpy(cdr->details[0].exit_cause, "NCC");
	snprintf(cdr->details[0].destination_num, CDR_TEXT, "%s", called);
	cdr->details[0].enter_us = cdr->start_us;
	cdr->details[0].answer_us = cdr->answer_us;
	cdr->details[0].exit_us = end_us;
	n = cdr_pack(cdr, buf, CDR_RECORD_MAX_BYTES);
	assert_true(n > 0);
	assert_int_equal(cdr_writer_apply(f->db, CDR_RECORD, buf, (size_t)n), 0);
	free(buf);
	free(cdr);
}

static int64_t moment(int year, int month, int day, int hour)
{
	struct tm tm = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour,
			 .tm_isdst = -1 };

	return (int64_t)mktime(&tm) * 1000000;
}

static const char *plain(struct fix *f, const char *accept)
{
	char more[128];

	snprintf(more, sizeof(more), "Accept: %s\r\n", accept);
	return sign_as(f, "admin", "default", ADMIN_PASSWORD, more);
}

static void call_register(void **state)
{
	struct fix *f = *state;
	struct reply r;
	json_t *call;

	add_call(f, "1463997154.0", "101", "102", moment(2016, 5, 23, 12), "local_exten");
	add_call(f, "1463997155.0", "101", "0612345678", moment(2016, 5, 24, 12), "obl");
	add_call(f, "1463997156.0", "103", "101", moment(2016, 6, 1, 0), "local_exten");

	ask(f, &r, "GET", "/rest/cdr/summary/2016/05", plain(f, "application/json"), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(json_array_size(r.json), 2);
	call = json_array_get(r.json, 1);
	assert_string_equal(json_string_value(json_object_get(call, "unique_id")), "1463997154.0");
	assert_string_equal(json_string_value(json_object_get(call, "duration")), "00:01:15");
	assert_string_equal(json_string_value(json_object_get(call, "end_datetime")), "2016-05-23 12:00:00");
	assert_true(json_real_value(json_object_get(call, "bill_secs")) > 60.2 &&
		    json_real_value(json_object_get(call, "bill_secs")) < 60.3);
	/* D-046: outside numbers lose three digits, inside ones do not. */
	assert_string_equal(json_string_value(json_object_get(json_array_get(r.json, 0), "called")),
			    "0612345xxx");
	assert_string_equal(json_string_value(json_object_get(call, "called")), "102");
	reply_free(&r);

	ask(f, &r, "GET", "/rest/cdr/detailed/2016/05-06/24-01", plain(f, "application/json"), NULL);
	assert_int_equal(json_array_size(r.json), 2);
	assert_int_equal(json_array_size(json_object_get(json_array_get(r.json, 0), "details")), 1);
	reply_free(&r);

	ask(f, &r, "GET", "/rest/cdr/v3_compat/2016/05/23", plain(f, "text/csv"), NULL);
	assert_string_equal(r.body,
			    "#id,source,start_time,answer_time,end_time,account_code,caller,gateway_name,"
			    "called,status,answered_by,bill_secs,duration,destination\n"
			    "1463997154.0,local_exten,2016-05-23 11:58:44,2016-05-23 11:58:59,"
			    "2016-05-23 12:00:00,,101,,102,OK,102,60.250,75,local_exten\n");
	reply_free(&r);
	ask(f, &r, "GET", "/rest/cdr/v3_compat/2016/05/23", plain(f, "*/*"), NULL);
	assert_non_null(strstr(r.body, "<?xml version=\"1.0\"?>\n<cdr><call><id>1463997154.0</id>"));
	assert_non_null(strstr(r.body, "<account_code/>"));
	reply_free(&r);
	ask(f, &r, "GET", "/rest/cdr/blues_out/2016", plain(f, "application/json"), NULL);
	assert_string_equal(header_of(&r, "content-type"), "text/plain; charset=utf-8");
	assert_string_equal(r.body, "2016-05-24,11:58:44,60,101,0612345xxx,,out,\n");
	reply_free(&r);
	ask(f, &r, "GET", "/rest/cdr", plain(f, "application/json"), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(json_array_size(r.json), 0);
	reply_free(&r);

	/* By POST, in XML and JSON; date parts of the URL do not count. */
	ask(f, &r, "POST", "/rest/cdr/summary/1999",
	    sign_as(f, "admin", "default", ADMIN_PASSWORD,
		    "Accept: application/json\r\nContent-Type: application/xml\r\n"),
	    "<?xml version=\"1.0\"?><kpbx_request><cdr><begin>2016-05-23 11:00:00</begin>"
	    "<end>2016-05-23 12:00:00</end></cdr></kpbx_request>");
	assert_int_equal(r.status, 200);
	assert_int_equal(json_array_size(r.json), 1);
	reply_free(&r);
	ask(f, &r, "POST", "/rest/cdr/summary", sign(f),
	    "{\"cdr\":{\"begin\":\"2016-01-01 00:00:00\",\"end\":\"2016-12-31 00:00:00\","
	    "\"unique_id\":\"1463997156.0\"}}");
	assert_int_equal(json_array_size(r.json), 1);
	reply_free(&r);
	ask(f, &r, "POST", "/rest/cdr/summary", sign(f), "{\"cdr\":{\"begin\":\"yesterday\"}}");
	assert_int_equal(r.status, 400);
	reply_free(&r);

	ask(f, &r, "GET", "/api/pbx/v2/cdr?from=2016-01-01&page_size=2&q=101", sign(f), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(json_integer_value(json_object_get(r.json, "total")), 3);
	assert_int_equal(json_array_size(json_object_get(r.json, "items")), 2);
	reply_free(&r);
}

/* ------------------------------------------------------------------ the switch, played by the test */

static void on_calls(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	const json_int_t own = ((struct fix *)arg)->tenant_id;
	const struct {
		const char *linkedid, *caller, *called;
		json_int_t tenant_id;
	} calls[] = { { "2.0", "901", "902", 99 }, { "1.0", "101", "102", own }, { "3.0", "103", "104", own } };
	const char *wanted = json_string_value(json_object_get(data, "linkedid"));
	size_t offset = (size_t)json_integer_value(json_object_get(data, "offset"));
	json_t *items = json_array();

	/* A page holds two; the switch's hold a thousand. */
	for (size_t i = offset; i < 3 && i < offset + 2; i++)
		if (!wanted || !strcmp(wanted, calls[i].linkedid))
			json_array_append_new(items, json_pack("{s:s,s:I,s:s,s:s}", "linkedid", calls[i].linkedid,
							       "tenant_id", calls[i].tenant_id, "caller",
							       calls[i].caller, "called", calls[i].called));
	bus_reply(reply, 0, json_pack("{s:o,s:i}", "items", items, "total", wanted ? 1 : 3));
}

static void on_hangup(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	bool ok = !strcmp(json_string_value(json_object_get(data, "linkedid")), "1.0");

	bus_reply(reply, ok ? 0 : -ENOENT, ok ? json_object() : NULL);
}

static void live_state(void **state)
{
	struct fix *f = *state;
	struct reply r;

	ask(f, &r, "GET", "/api/pbx/v2/phoneService/calls", sign(f), NULL);
	assert_int_equal(r.status, 503);
	assert_string_equal(code_of(&r), "unavailable");
	reply_free(&r);
	assert_int_equal(bus_subscribe(f->bus, "cmd.switch.calls", on_calls, f), 0);
	assert_int_equal(bus_subscribe(f->bus, "cmd.switch.hangup", on_hangup, f), 0);
	for (int i = 0; i < 50; i++) {
		ask(f, &r, "GET", "/api/pbx/v2/phoneService/calls", sign(f), NULL);
		if (r.status == 200)
			break;
		reply_free(&r);
		nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	}
	/* The call of another tenant is not shown, whatever the switch says. */
	assert_int_equal(json_integer_value(json_object_get(r.json, "total")), 2);
	reply_free(&r);
	ask(f, &r, "DELETE", "/api/pbx/v2/phoneService/call/2.0", sign(f), NULL);
	assert_int_equal(r.status, 404);
	reply_free(&r);
	ask(f, &r, "DELETE", "/api/pbx/v2/phoneService/call/1.0", sign(f), NULL);
	assert_int_equal(r.status, 204);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/dashboard", sign(f), NULL);
	assert_int_equal(r.status, 200);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/dashboard/firmwareVersion", sign(f), NULL);
	assert_int_equal(r.status, 200);
	assert_int_equal(strncmp(json_string_value(r.json), "4.16.0-", 7), 0);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/dashboard/serialNumber", sign(f), NULL);
	assert_int_equal(strncmp(json_string_value(r.json), "AOID", 4), 0);
	reply_free(&r);
	ask(f, &r, "GET", "/rest/ctiUser/", sign(f), NULL);
	assert_true(json_is_array(r.json));
	reply_free(&r);
	ask(f, &r, "GET", "/rest/account/", sign(f), NULL);
	assert_true(json_is_array(r.json));
	reply_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_SERVER("[PUB-04] [PUB-05] [PUB-06] the call register in its formats", call_register),
		ON_SERVER("[PUB-03] [PLT-22] live calls, hang up, dashboard", live_state),
		ON_POSTGRES("[PUB-04] the call register", call_register),
	};

	return testdb_run(tests);
}
