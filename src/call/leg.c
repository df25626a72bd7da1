/* SPDX-License-Identifier: Apache-2.0 */
#include "call/leg.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "call/call.h"
#include "call/call_record.h"
#include "call/call_room.h"
#include "call/engine.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

static void leg_destructor(void *arg)
{
	struct leg *leg = arg;

	list_unlink(&leg->le);
	leg_dtmf_close(leg);
	leg_media_close(leg);
	mem_deref(leg->secure);
	mem_deref(leg->remote);
	mem_deref(leg->local_desc);
	mem_deref(leg->before.desc);
	mem_deref(leg->said);
	mem_deref(leg->offer);
	mem_deref(leg->inv);
}

int leg_alloc(struct leg **ret, struct call *call, const struct snap_account *account,
	      bool incoming)
{
	struct leg *leg = mem_zalloc(sizeof(*leg), leg_destructor);

	if (!leg)
		return -ENOMEM;

	leg->engine = call->engine;
	leg->call = call;
	leg->account = account;
	leg->incoming = incoming;
	leg->id = ++call->engine->next_leg_id;
	leg->sdp_id = rand_u32() & 0x7fffffff;
	memset(leg->lines.of, -1, sizeof(leg->lines.of));
	sa_init(&leg->peer, AF_UNSPEC);
	sa_init(&leg->local, AF_UNSPEC);

	list_append(&call->legs, &leg->le, leg);
	*ret = leg;
	return 0;
}

void leg_count(struct leg *leg, const struct snap_extension *extension)
{
	if (!extension || leg->counted)
		return;

	leg->counted = extension;
	engine_usage_add(leg->engine, extension);
}

/* Leaves the call: what belongs to the call's snapshot is let go with it. */
static void leave_call(struct leg *leg)
{
	struct call *call = leg->call;

	if (!call)
		return;

	if (leg->counted)
		engine_usage_remove(leg->engine, leg->counted);
	leg->counted = NULL;

	room_leave_guest(leg);
	recording_leg_gone(leg);
	leg_dtmf_close(leg);
	leg_media_close(leg);
	if (call->a == leg)
		call->a = NULL;
	if (call->b == leg)
		call->b = NULL;

	list_unlink(&leg->le);
	leg->account = NULL;
	leg->call = NULL;
}

void leg_end(struct leg *leg, uint16_t scode, const char *reason, uint8_t q850)
{
	if (!leg)
		return;

	leave_call(leg);

	/* With a dialog under way the leg waits for INV_EV_ENDED, which drops its last reference. */
	if (leg->inv && leg->state != LEG_ENDED)
		inv_end(leg->inv, scode, reason, q850);
	else
		mem_deref(leg);
}

/* 300 to 302: the phone says where the call may go (RFC 3261 section 8.1.3.4). */
static void find_redirect(struct pl *ret, char *buf, size_t size, const struct inv_event *event)
{
	*ret = pl_null;
	if (event->scode >= 300 && event->scode <= 302 && !inv_redirect_user(buf, size, event->msg))
		pl_set_str(ret, buf);
}

static void on_ended(struct leg *leg, const struct inv_event *event)
{
	const bool was_up = leg->state == LEG_UP;
	struct call *call = leg->call;
	char number[CALL_TEXT];
	struct pl redirect;

	leg->state = LEG_ENDED;
	leg->scode = event->scode;
	leg->q850 = event->q850;
	leg->q850_said = event->q850_said;
	leg->ended_by_peer = event->by_peer;
	leg->inv = mem_deref(leg->inv);

	if (!call) {
		mem_deref(leg);
		return;
	}

	if (call->a == leg) {
		if (was_up) /* why, for the other side and the CDR */
			call->result.q850 = event->q850;
		call_caller_gone(call);
		return;
	}
	find_redirect(&redirect, number, sizeof(number), event);
	call_post(call, CALL_EV_ENDED, leg, event->scode, event->q850, event->branch, NULL, NULL,
		  &redirect);
}

/* What a dialog says, to what a call hears; ENDED has its own path. */
static const struct {
	enum inv_event_type from;
	enum call_event_type to;
} event_map[] = {
	{ INV_EV_PROGRESS, CALL_EV_PROGRESS }, { INV_EV_ANSWERED, CALL_EV_ANSWERED },
	{ INV_EV_OFFER, CALL_EV_OFFER },       { INV_EV_REANSWER, CALL_EV_REANSWER },
	{ INV_EV_ACK, CALL_EV_ACK },           { INV_EV_INFO, CALL_EV_INFO },
};

void leg_inv_event(const struct inv_event *event, void *arg)
{
	struct leg *leg = arg;

	if (event->type == INV_EV_ENDED) {
		on_ended(leg, event);
		return;
	}

	if (event->type == INV_EV_REFER) {
		/* Transfer is a service of its own; until a call offers it the phone is told no. */
		(void)inv_refer_reply(event->inv, 501, "Not Implemented");
		return;
	}

	if (!leg->call)
		return;

	if (event->type == INV_EV_IDENTITY) {
		call_connected(leg->call, leg, event->msg);
		return;
	}

	if (event->type == INV_EV_INFO && leg_dtmf_info(leg, &event->ctype, &event->body))
		return;

	/* An ACK that owes no answer changes nothing. */
	if (event->type == INV_EV_ACK && !event->sdp.l && !event->unanswered)
		return;

	for (size_t i = 0; i < sizeof(event_map) / sizeof(event_map[0]); i++) {
		if (event_map[i].from == event->type)
			call_post(leg->call, event_map[i].to, leg, event->scode, event->q850,
				  event->branch, &event->sdp, &event->ctype, &event->body);
	}
}
