/* SPDX-License-Identifier: Apache-2.0 */
#include "call/call.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "call/call_play.h"
#include "call/call_room.h"
#include "call/engine.h"
#include "call/leg.h"
#include "call/leg_secure.h"
#include "call/live.h"
#include "call/quality.h"
#include "call/record.h"
#include "media/client.h"
#include "sip/edge.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

static void event_destructor(void *arg)
{
	struct call_event *event = arg;

	list_unlink(&event->le);
	mem_deref(event->leg);
}

static void call_destructor(void *arg)
{
	struct call *call = arg;

	list_unlink(&call->le);
	hash_unlink(&call->he);
	list_flush(&call->events);
	list_flush(&call->steps);
	mem_deref(call->quality);
	for (size_t i = 0; i < call->n_callids; i++)
		mem_deref(call->callids[i]);
	snap_tenant_unref(call->tenant);
}

static void unlink_step(void *arg)
{
	struct call_step *step = arg;

	list_unlink(&step->le);
}

const char *call_caller_number(const struct call *call)
{
	return call->caller_ext ? call->caller_ext->number : call->account_name;
}

const char *call_caller_name(const struct call *call)
{
	return call->caller_ext ? call->caller_ext->display_name : "";
}

struct dial_identity call_shown_caller(const struct call *call)
{
	return (struct dial_identity){
		.number = call->shown.number[0] ? call->shown.number : call_caller_number(call),
		.name = call->shown.number[0] ? call->shown.name : call_caller_name(call),
	};
}

/* A phone that asserts itself by the name of its account means its extension. */
static void take_asserted(struct call *call, const struct sip_msg *msg)
{
	const struct snap_sip *sip = snap_sip(call->engine->o.snap);
	struct inv_identity said;

	if (!sip->accept_rpid || inv_asserted(&said, msg))
		return;
	str_ncpy(call->shown.number,
		 strcmp(said.number, call->account_name) ? said.number : call_caller_number(call),
		 sizeof(call->shown.number));
	str_ncpy(call->shown.name, said.name, sizeof(call->shown.name));
	if (!said.name[0] && !strcmp(call->shown.number, call_caller_number(call)))
		str_ncpy(call->shown.name, call_caller_name(call), sizeof(call->shown.name));
}

const char *call_state_name(enum call_state state)
{
	static const char *const names[] = { "new", "ringing", "answered", "held", "ended" };

	return names[state];
}

void call_set_state(struct call *call, enum call_state state)
{
	if (call->state == state)
		return;

	/* "answered" is said again after a hold as "resumed". */
	live_publish(call, state, call->state);
	call->state = state;
}

/* ------------------------------------------------------------------ events */

static char *copy_text(char **at, const struct pl *text)
{
	char *copy = *at;

	memcpy(copy, text->p, text->l);
	copy[text->l] = '\0';
	*at += text->l + 1;

	return copy;
}

static size_t text_size(const struct pl *text)
{
	return text && text->l ? text->l + 1 : 0;
}

/* Room for the event with its texts; NULL: the peer floods or memory is out, the call is ended. */
static struct call_event *event_new(struct call *call, enum call_event_type type, struct leg *leg,
				    size_t text_bytes)
{
	struct call_event *event;

	if (call->n_events >= CALL_MAX_EVENTS && type != CALL_EV_ENDED) {
		log_warn("call.event_flood", "a peer sends faster than its call can follow; it is ended",
			 kv_text("linkedid", call->linkedid));
		fiber_cancel(call->fiber, -EHANGUP);
		return NULL;
	}

	event = mem_zalloc(sizeof(*event) + text_bytes, event_destructor);
	if (!event) {
		fiber_cancel(call->fiber, -ENOMEM);
		return NULL;
	}

	event->type = type;
	event->leg = mem_ref(leg);
	return event;
}

static void event_send(struct call *call, struct call_event *event)
{
	list_append(&call->events, &event->le, event);
	call->n_events++;
	fiber_wake(call->fiber);
}

void call_post(struct call *call, enum call_event_type type, struct leg *leg, uint16_t scode,
	       uint8_t q850, uint32_t branch, const struct pl *sdp, const struct pl *ctype,
	       const struct pl *body)
{
	struct call_event *event =
		event_new(call, type, leg, text_size(sdp) + text_size(ctype) + text_size(body));
	char *at;

	if (!event)
		return;

	at = (char *)(event + 1);
	event->scode = scode;
	event->q850 = q850;
	event->branch = branch;
	if (text_size(sdp)) {
		event->sdp_len = sdp->l;
		event->sdp = copy_text(&at, sdp);
	}
	if (text_size(ctype))
		event->ctype = copy_text(&at, ctype);
	if (text_size(body))
		event->body = copy_text(&at, body);
	event_send(call, event);
}

void call_post_digit(struct call *call, struct leg *leg, char digit, uint32_t duration_ms,
		     bool by_info)
{
	struct call_event *event = event_new(call, CALL_EV_DIGIT, leg, 0);

	if (!event)
		return;

	event->digit = digit;
	event->duration_ms = duration_ms;
	event->by_info = by_info;
	event_send(call, event);
}

void call_post_fax(struct call *call, struct leg *leg, bool is_called)
{
	struct call_event *event = event_new(call, CALL_EV_FAX, leg, 0);

	if (!event)
		return;

	log_info("call.fax", "a fax machine is heard", kv_text("linkedid", call->linkedid),
		 kv_text("tone", is_called ? "CED" : "CNG"));
	event->is_called = is_called;
	event_send(call, event);
	live_publish_fax(call, leg, is_called);
}

void call_post_media(struct call *call, struct leg *leg, const struct media_event *media)
{
	struct call_event *event =
		event_new(call, media->type == MEDIA_EV_PLAYED ? CALL_EV_PLAYED : CALL_EV_RECORDED, leg,
			  0);

	if (!event)
		return;

	event->id = media->id;
	event->reason = (uint8_t)media->reason;
	event->digit = media->digit;
	event->span_ms = media->span_ms;
	event->bytes = media->bytes;
	event->err = media->err;
	event_send(call, event);
}

void call_note_dialog(struct call *call, const struct leg *leg)
{
	if (leg->inv && call->n_callids < CALL_MAX_TRACED &&
	    !str_dup(&call->callids[call->n_callids], inv_callid(leg->inv)))
		call->n_callids++;
}

void call_wake(struct call *call)
{
	fiber_wake(call->fiber);
}

void call_caller_gone(struct call *call)
{
	fiber_cancel(call->fiber, -EHANGUP);
}

void call_hangup(struct call *call)
{
	call->is_ended_by_admin = true;
	fiber_cancel(call->fiber, -EHANGUP);
}

int call_next(struct call *call, uint64_t deadline_ms, struct call_event **ret)
{
	struct call_event *event;
	int err;

	for (;;) {
		err = fiber_cancelled(call->fiber);
		if (err)
			return err;

		event = list_ledata(list_head(&call->events));
		if (event) {
			list_unlink(&event->le);
			call->n_events--;

			/* A leg that the call has let go of meanwhile has nothing to say. */
			if (event->leg && event->leg->call != call) {
				mem_deref(event);
				continue;
			}
			if (event->type == CALL_EV_PLAY || event->type == CALL_EV_PLAY_OVER) {
				call_on_play(call, event);
				mem_deref(event);
				continue;
			}
			if (event->type == CALL_EV_ACK)
				call_take_answer(call, event);
			*ret = event;
			return 0;
		}

		err = fiber_wait(deadline_ms);
		if (err)
			return err;
	}
}

void call_put_back(struct call *call, struct call_event *event)
{
	list_prepend(&call->events, &event->le, event);
	call->n_events++;
}

static bool streams_ready(const struct call *call, bool *lost)
{
	for (struct le *le = call->legs.head; le; le = le->next) {
		const struct leg *leg = le->data;

		if (leg->media_failed)
			*lost = true;
		else if (!leg_media_ready(leg))
			return false;
	}

	return true;
}

int call_wait_streams(struct call *call, uint64_t deadline_ms)
{
	bool lost = false;
	int err;

	while (!streams_ready(call, &lost)) {
		err = fiber_wait(deadline_ms);
		if (err)
			return err;
	}

	return lost ? -EUNAVAILABLE : 0;
}

/* ------------------------------------------------------------------ the path */

static void step_exit(struct call *call, const char *cause)
{
	struct call_step *step = list_ledata(list_tail(&call->steps));

	if (!step || step->exit_us)
		return;

	step->exit_us = clk_wall_us();
	str_ncpy(step->exit_cause, cause, sizeof(step->exit_cause));
}

void call_step_enter(struct call *call, const char *type, const char *id, const char *name,
		     const char *number)
{
	struct call_step *step;

	step_exit(call, "CFWD");

	step = mem_zalloc(sizeof(*step), unlink_step);
	if (!step)
		return;

	str_ncpy(step->destination_type, type, sizeof(step->destination_type));
	str_ncpy(step->destination_id, id, sizeof(step->destination_id));
	if (name)
		str_ncpy(step->destination_name, name, sizeof(step->destination_name));
	str_ncpy(step->destination_num, number, sizeof(step->destination_num));
	step->enter_us = clk_wall_us();

	list_append(&call->steps, &step->le, step);
	call->n_steps++;
}

/* ------------------------------------------------------------------ life */

/* Whoever is still on a leg is told why it is over. */
static void end_legs(struct call *call)
{
	const struct outcome_rule *rule = outcome_rule(call->result.outcome);
	uint16_t scode = call->result.scode ? call->result.scode : rule->scode;
	uint8_t q850 = call->result.q850 ? call->result.q850 : rule->q850;
	const char *reason;

	/* A dialog that stands gets its BYE; the status is for one that still waits for an answer. */
	if (call->is_ended_by_admin)
		scode = 480;
	else if (scode < 300)
		scode = 487;
	reason = scode == rule->scode ? rule->reason : NULL; /* NULL: the status's own */

	while (call->legs.head)
		leg_end(call->legs.head->data, scode, reason, q850);
}

static void call_main(void *arg)
{
	struct call *call = arg;
	struct engine *engine = call->engine;

	live_publish(call, CALL_NEW, CALL_NEW);
	call_record_save(call);

	if (call->run_h)
		call->run_h(call, call->run_arg);
	else
		engine->o.route_h(call, engine->o.arg);

	call->end_us = clk_wall_us();
	step_exit(call, outcome_rule(call->result.outcome)->cdr_exit_cause);
	room_over(call);
	end_legs(call);
	call_set_state(call, CALL_ENDED);
	call_quality_wait(call);
	call_record_finish(call);

	log_info("call.ended", "call over", kv_text("linkedid", call->linkedid),
		 kv_text("caller", call_caller_number(call)), kv_text("called", call->called),
		 kv_text("status", outcome_rule(call->result.outcome)->cdr_status),
		 kv_int("ms", (call->end_us - call->start_us) / 1000));

	engine_remember(engine, call);
	engine->n_calls--;
	mem_deref(call);
}

static int take_offer(struct call *call, struct leg *leg, const struct sip_msg *msg)
{
	struct sdesc *offer = NULL;
	int err;

	if (!mbuf_get_left(msg->mb))
		return 0; /* delayed offer */

	err = sdesc_parse(&offer, (const char *)mbuf_buf(msg->mb), mbuf_get_left(msg->mb));
	if (err)
		return err;

	leg->remote = offer;
	return leg_secure_check(leg, offer);
}

int call_alloc(struct call **ret, struct engine *engine, const struct snap_tenant *tenant)
{
	struct call *call = mem_zalloc(sizeof(*call), call_destructor);

	if (!call)
		return -ENOMEM;

	call->engine = engine;
	call->id = engine->next_call_id++;
	call->tenant = snap_tenant_ref(tenant);
	call->start_us = clk_wall_us();
	call->result.outcome = OUTCOME_HANGUP;
	engine_unique_id(engine, call->linkedid, sizeof(call->linkedid));
	*ret = call;
	return 0;
}

int call_begin(struct call *call)
{
	struct engine *engine = call->engine;
	int err;

	err = fiber_spawn(&call->fiber, "call", call_main, call);
	if (err)
		return err;

	/* From here on the fiber ends the call, also when a dialog never came to be. */
	list_append(&engine->calls, &call->le, call);
	hash_append(engine->by_linkedid, hash_joaat_str(call->linkedid), &call->he, call);
	engine->n_calls++;
	engine->calls_total++;
	return 0;
}

int call_incoming(struct engine *engine, const struct sip_msg *msg,
		  const struct snap_account *account)
{
	const struct snap_extension *extension = account->extension;
	struct call *call = NULL;
	struct leg *leg = NULL;
	int err;

	if (engine->draining || engine->n_calls >= ENGINE_MAX_CALLS ||
	    !media_is_up(engine->o.media)) {
		(void)sip_replyf(edge_sip(engine->o.edge), msg, 503, "Service Unavailable",
				 "Retry-After: 5\r\nContent-Length: 0\r\n\r\n");
		return -EUNAVAILABLE;
	}

	err = call_alloc(&call, engine, account->tenant);
	if (err)
		return err;

	call->caller_ext = extension;
	str_ncpy(call->account_name, account->username, sizeof(call->account_name));
	(void)pl_strcpy(&msg->uri.user, call->called, sizeof(call->called));
	take_asserted(call, msg);
	(void)re_snprintf(call->source, sizeof(call->source), "%J", &msg->src);

	err = leg_alloc(&leg, call, account, true);
	if (!err) {
		leg->peer = msg->src;
		leg->tp = msg->tp;
		err = edge_local_addr(engine->o.edge, &leg->local, msg->tp, &msg->src);
	}
	if (err) {
		(void)sip_reply(edge_sip(engine->o.edge), msg, 500, "Server Internal Error");
		goto out;
	}

	err = take_offer(call, leg, msg);
	if (err) {
		(void)sip_reply(edge_sip(engine->o.edge), msg, err == -EACCES ? 488 : 400,
				err == -EACCES ? "Not Acceptable Here" : "Bad Session Description");
		goto out;
	}

	err = call_begin(call);
	if (err) {
		(void)sip_reply(edge_sip(engine->o.edge), msg, 503, "Service Unavailable");
		goto out;
	}

	call->a = leg;
	leg_count(leg, extension);

	err = inv_accept(&leg->inv, engine->o.edge, msg,
			 extension ? extension->number : account->username, leg_inv_event, leg);
	call_note_dialog(call, leg);
	if (err) {
		leg->state = LEG_ENDED;
		call->result = (struct result){ .outcome = OUTCOME_FAILED, .scode = 400 };
		fiber_cancel(call->fiber, -EHANGUP);
	}
	return 0;

out:
	mem_deref(leg);
	mem_deref(call);
	return err;
}
