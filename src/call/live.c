/* SPDX-License-Identifier: Apache-2.0 */
#include "call/live.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "bus/bus.h"
#include "call/engine.h"
#include "call/leg.h"
#include "media/client.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

static json_t *iso(int64_t wall_us)
{
	char buf[32];

	return wall_us ? json_string(clk_iso(buf, sizeof(buf), wall_us)) : json_null();
}

static json_t *live_leg(const struct leg *leg)
{
	static const char *const states[] = { "new", "ringing", "up", "ended" };
	/* What was agreed stands in the answer: ours to who called us, theirs to our call. */
	struct sdesc *answer = leg->we_offered ? leg->remote : leg->local_desc;
	const struct sdesc_media *audio = answer ? sdesc_audio(answer) : NULL;
	const struct sdesc_format *codec = audio ? sdesc_codec(audio) : NULL;
	const struct snap_account *account = leg->account;
	char remote[64] = "", id[20];
	json_t *streams = json_array(), *json;

	if (sa_isset(&leg->peer, SA_ALL))
		(void)re_snprintf(remote, sizeof(remote), "%J", &leg->peer);

	for (size_t i = 0; i < leg->n_streams; i++) {
		if (!leg->streams[i])
			continue;
		(void)snprintf(id, sizeof(id), "%016" PRIx64, media_stream_id(leg->streams[i]));
		(void)json_array_append_new(streams, json_string(id));
	}

	json = json_pack("{s:I, s:s, s:s?, s:s?, s:s, s:s?, s:s, s:s?}", "id", (json_int_t)leg->id,
			 "direction", leg->incoming ? "in" : "out", "account",
			 account ? account->username : NULL, "extension",
			 account && account->extension ? account->extension->number : NULL, "state",
			 states[leg->state], "codec", codec ? codec->name : NULL, "remote", remote,
			 "callid", leg->inv ? inv_callid(leg->inv) : NULL);
	(void)json_object_set_new(json, "streams", streams);
	return json;
}

/* New reference; NULL when memory is out. */
static json_t *call_object(const struct call *call)
{
	const struct leg *b = call->b;
	json_t *legs = json_array();

	for (struct le *le = call->legs.head; le; le = le->next)
		(void)json_array_append_new(legs, live_leg(le->data));

	return json_pack("{s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:o, s:o, s:o}", "linkedid",
			 call->linkedid, "tenant_id", (json_int_t)call->tenant->id, "state",
			 call_state_name(call->state), "caller", call_caller_number(call),
			 "caller_name", call_caller_name(call), "called", call->called,
			 "called_name", call->called_name, "src_account", call->account_name,
			 "dst_account", b && b->account ? b->account->username : NULL, "started_at",
			 iso(call->start_us), "answered_at", iso(call->answer_us), "legs", legs);
}

json_t *live_calls(const struct engine *engine, const struct live_query *query, int64_t *total)
{
	json_t *items = json_array();

	*total = 0;
	for (struct le *le = engine->calls.head; le; le = le->next) {
		const struct call *call = le->data;

		if (query->tenant_id && call->tenant->id != query->tenant_id)
			continue;
		if (query->linkedid && strcmp(call->linkedid, query->linkedid))
			continue;
		if ((*total)++ >= query->offset && json_array_size(items) < query->max)
			(void)json_array_append_new(items, call_object(call));
	}

	return items;
}

static const char *event_name(enum call_state to, enum call_state from)
{
	return to == CALL_ANSWERED && from == CALL_HELD ? "resumed" : call_state_name(to);
}

void live_publish(struct call *call, enum call_state to, enum call_state from)
{
	const struct outcome_rule *rule = outcome_rule(call->result.outcome);
	struct bus *bus = call->engine->o.bus;
	char subject[64];
	json_t *data;

	if (!bus)
		return;

	(void)snprintf(subject, sizeof(subject), "t.%lld.call.%s", (long long)call->tenant->id,
		       event_name(to, from));
	if (!bus_wanted(bus, subject))
		return;

	data = call_object(call);
	if (!data)
		return;

	(void)json_object_set_new(data, "state", json_string(call_state_name(to)));
	if (to == CALL_ENDED) {
		int64_t talked_us = call->answer_us ? call->end_us - call->answer_us : 0;
		uint16_t scode = call->result.scode ? call->result.scode : rule->scode;
		uint8_t q850 = call->result.q850 ? call->result.q850 : rule->q850;

		(void)json_object_set_new(data, "status", json_string(rule->cdr_status));
		(void)json_object_set_new(data, "sip_code", json_integer(scode));
		(void)json_object_set_new(data, "q850", json_integer(q850));
		(void)json_object_set_new(data, "bill_secs", json_real((double)talked_us / 1e6));
	}

	(void)bus_publish(bus, subject, data);
}

void live_publish_fax(const struct call *call, const struct leg *leg, bool is_called)
{
	struct bus *bus = call->engine->o.bus;
	char subject[64];
	json_t *data;

	if (!bus)
		return;
	(void)snprintf(subject, sizeof(subject), "t.%lld.call.fax", (long long)call->tenant->id);
	if (!bus_wanted(bus, subject))
		return;
	data = call_object(call);
	if (!data)
		return;
	(void)json_object_set_new(data, "tone", json_string(is_called ? "CED" : "CNG"));
	(void)json_object_set_new(data, "leg", json_integer((json_int_t)leg->id));
	(void)bus_publish(bus, subject, data);
}
