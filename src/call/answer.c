/* SPDX-License-Identifier: Apache-2.0 */
/* The call answers its caller itself, for a service: by 200, or early by 183 (RFC 3261 section 13.3.1). */
#include "call/call.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "call/engine.h"
#include "call/leg.h"
#include "call/leg_dtmf.h"
#include "call/record.h"
#include "sip/inv.h"

#define STREAMS_WAIT_MS 3000
#define ACK_WAIT_MS     32000 /* 64 * T1: the answer to our offer comes in the ACK */

/* Makes our answer to the caller's offer and puts it in force; *ret as leg_media_accept(). */
static int take_sound(struct call *call, const char **ret)
{
	struct leg *leg = call->a;
	struct sdesc *answer = NULL;
	int err;

	leg->direct = false; /* a service speaks itself */
	err = leg_media_open(leg, leg->remote);
	if (!err)
		err = call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
	if (!err && leg->local_desc) /* what was said early is what is said now */
		answer = mem_ref(leg->local_desc);
	else if (!err)
		err = leg_media_answer(&answer, leg, leg->remote, NULL, NULL);
	if (err)
		return err;

	*ret = leg_media_accept(leg, leg->remote, answer);
	mem_deref(answer);
	if (!*ret)
		return -EMSGSIZE;
	leg_dtmf_update(leg, NULL);
	return 0;
}

/* The INVITE had no offer: ours goes out with the 200, and the ACK answers it. */
static int offer_sound(struct call *call)
{
	struct leg *leg = call->a;
	struct sdesc *offer = NULL;
	struct call_event *event;
	struct neg_lines lines;
	const char *text;
	int err;

	err = leg_media_offer(&offer, &lines, leg, leg, NULL);
	if (!err)
		err = leg_media_open(leg, offer);
	if (!err)
		err = call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
	if (err)
		goto out;

	text = leg_media_print_offer(leg, offer);
	err = text ? inv_answer(leg->inv, text, NULL) : -EMSGSIZE;
	leg->answer_due = !err;
	while (!err && leg->answer_due) {
		err = call_next(call, clk_mono_ms() + ACK_WAIT_MS, &event);
		if (!err)
			mem_deref(event);
	}
	if (!err)
		err = fiber_cancelled(call->fiber); /* it has not answered */
	if (err)
		goto out;

	leg_dtmf_update(leg, NULL);
out:
	mem_deref(offer);
	return err;
}

static void note_answer(struct call *call)
{
	struct call_step *step = list_ledata(list_tail(&call->steps));

	call->a->state = LEG_UP;
	call->answer_us = clk_wall_us();
	call->a->answered_us = call->answer_us;
	if (step)
		step->answer_us = call->answer_us;
	call->result = (struct result){ .outcome = OUTCOME_ANSWERED };
	call_record_save(call);
	call_set_state(call, CALL_ANSWERED);
}

int call_answer(struct call *call)
{
	const char *text = NULL;
	int err;

	if (!call->a)
		return -EHANGUP;
	if (call->a->state == LEG_UP)
		return 0;

	if (!call->a->remote) {
		err = offer_sound(call);
	} else {
		err = take_sound(call, &text);
		if (!err)
			err = inv_answer(call->a->inv, text, NULL);
	}
	if (err) {
		if (err != -EHANGUP)
			log_warn("call.answer_failed", "the call could not be answered by a service",
				 kv_text("linkedid", call->linkedid), kv_err(err));
		return err;
	}

	note_answer(call);
	return 0;
}

int call_progress(struct call *call)
{
	const char *text = NULL;
	int err;

	if (!call->a)
		return -EHANGUP;
	if (call->a->state == LEG_UP || call->a->local_desc)
		return 0;
	if (!call->a->remote)
		return -ENOTSUP; /* nobody knows yet where it wants to hear */

	err = take_sound(call, &text);
	if (!err)
		err = inv_progress(call->a->inv, 183, "Session Progress", text, NULL);
	if (!err)
		call_set_state(call, CALL_RINGING);
	return err;
}

void call_diverted(struct call *call, const char *number, const char *name, bool after_ringing)
{
	struct call_diversion *last = &call->diversions[call->n_diversions ? call->n_diversions - 1 : 0];

	if (call->n_diversions && !strcmp(last->number, number))
		return; /* another phone of the same one */
	if (call->n_diversions == CALL_MAX_DIVERSIONS)
		memmove(&call->diversions[0], &call->diversions[1],
			--call->n_diversions * sizeof(call->diversions[0]));
	last = &call->diversions[call->n_diversions++];
	str_ncpy(last->number, number, sizeof(last->number));
	str_ncpy(last->name, name ? name : "", sizeof(last->name));
	last->after_ringing = after_ringing;
}

void call_forwarded(struct call *call)
{
	if (call->a && call->a->inv && call->a->state != LEG_UP)
		(void)inv_progress(call->a->inv, 181, "Call Is Being Forwarded", NULL, NULL);
}
