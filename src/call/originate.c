/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that the PBX makes itself: it rings a phone, and who answers is the call's caller. */
#include "call/call.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "call/engine.h"
#include "call/leg.h"
#include "call/record.h"
#include "media/client.h"
#include "sip/edge.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

#define STREAMS_WAIT_MS 3000

static int add_leg(struct call *call, const struct dial_target *target, size_t index)
{
	struct neg_lines lines;
	struct leg *leg = NULL;
	int err;

	err = leg_alloc(&leg, call, target->account, false);
	if (err)
		return err;

	leg->peer = target->dst;
	leg->tp = target->tp;
	leg->target = index;
	err = edge_local_addr(call->engine->o.edge, &leg->local, target->tp, &target->dst);
	if (!err)
		err = leg_media_offer(&leg->offer, &lines, leg, NULL, NULL);
	if (!err)
		err = leg_media_open(leg, leg->offer);
	if (err) {
		leg_end(leg, 0, NULL, 0);
		return err;
	}
	leg_count(leg, call->caller_ext);
	return 0;
}

static void end_all_but(struct call *call, const struct leg *keep)
{
	for (struct le *le = call->legs.head; le;) {
		struct leg *leg = le->data;

		le = le->next;
		if (leg != keep)
			leg_end(leg, 487, NULL, keep ? 26 : 0);
	}
}

/* Returns how many phones ring. */
static unsigned ring_all(struct call *call, const struct dial_target *targets,
			 const struct dial_identity *identity)
{
	unsigned n = 0;

	for (struct le *le = call->legs.head; le;) {
		struct leg *leg = le->data;
		int err = dial_invite(leg, &targets[leg->target], identity);

		le = le->next;
		if (err)
			leg_end(leg, 0, NULL, 0);
		n += !err;
	}

	return n;
}

static void take_description(const struct call_event *event)
{
	struct sdesc *desc = NULL;

	if (!event->sdp || sdesc_parse(&desc, event->sdp, event->sdp_len))
		return;
	leg_media_remote(event->leg, desc);
	mem_deref(desc);
}

static int on_answered(struct call *call, const struct call_event *event)
{
	struct leg *leg = event->leg;
	struct call_step *step = list_ledata(list_tail(&call->steps));

	take_description(event);
	if (!leg->remote) /* neither now nor in a provisional response */
		return -EBADMSG;

	leg->state = LEG_UP;
	end_all_but(call, leg);
	call->a = leg;
	leg_dtmf_update(leg, NULL);
	str_ncpy(call->account_name, leg->account ? leg->account->username : "",
		 sizeof(call->account_name));
	call->answer_us = clk_wall_us();
	leg->answered_us = call->answer_us;
	if (step)
		step->answer_us = call->answer_us;
	call->result = (struct result){ .outcome = OUTCOME_ANSWERED };
	call_record_save(call);
	call_set_state(call, CALL_ANSWERED);
	return 0;
}

int call_ring_caller(struct call *call, const struct dial_target *targets, size_t n,
		     const struct dial_identity *identity, uint32_t ring_ms)
{
	uint64_t deadline_ms = clk_mono_ms() + ring_ms;
	struct call_event *event;
	unsigned n_alive;
	int err;

	for (size_t i = 0; i < n; i++)
		(void)add_leg(call, &targets[i], i); /* a phone that cannot be called does not ring */
	err = call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
	n_alive = err ? 0 : ring_all(call, targets, identity);
	if (!err && !n_alive)
		err = -ENOANSWER;
	if (!err)
		call_set_state(call, CALL_RINGING);

	while (!err && !call->a) {
		err = call_next(call, deadline_ms, &event);
		if (err)
			break;
		if (event->type == CALL_EV_PROGRESS) {
			take_description(event);
		} else if (event->type == CALL_EV_ANSWERED) {
			err = on_answered(call, event);
		} else if (event->type == CALL_EV_ENDED) {
			leg_end(event->leg, 0, NULL, 0);
			err = --n_alive ? 0 : -ENOANSWER;
		} else if (event->type == CALL_EV_MEDIA_LOST) {
			err = -EUNAVAILABLE;
		}
		mem_deref(event);
	}

	if (err)
		end_all_but(call, NULL);
	if (err == -ETIMEDOUT)
		err = -ENOANSWER;
	if (err && err != -EHANGUP)
		call->result = (struct result){ .outcome = OUTCOME_NO_ANSWER };
	return err;
}

int call_originate(struct engine *engine, const struct snap_tenant *tenant,
		   const struct snap_extension *extension, const char *called, call_run_h *run_h,
		   void *arg)
{
	struct call *call;
	int err;

	if (engine->draining || engine->n_calls >= ENGINE_MAX_CALLS || !media_is_up(engine->o.media))
		return -EUNAVAILABLE;

	err = call_alloc(&call, engine, tenant);
	if (err)
		return err;

	call->caller_ext = extension;
	call->run_h = run_h;
	call->run_arg = arg;
	str_ncpy(call->called, called, sizeof(call->called));
	err = call_begin(call);
	if (err)
		mem_deref(call);
	return err;
}
