/* SPDX-License-Identifier: Apache-2.0 */
/* Rings any number of contacts; the first that answers has the call (D-069, RFC 3261 section 16.7). */
#include "call/call.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "call/engine.h"
#include "call/leg.h"
#include "call/leg_secure.h"
#include "call/record.h"
#include "sip/edge.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

#define STREAMS_WAIT_MS 3000  /* a port from the media process takes well under a millisecond */
#define ACK_WAIT_MS     32000 /* 64 * T1: the answer to a delayed offer comes in the ACK */

#define Q850_ELSEWHERE 26 /* non-selected user clearing */

struct dial {
	struct call *call;
	const struct dial_opts *opts;
	const struct dial_target *targets;
	struct leg *winner;
	struct leg *early;       /* whose early media the caller hears */
	bool has_rung, is_183_sent;
	unsigned n_alive, n_busy, n_failed;
	uint16_t failed_scode;   /* what the last failed one said */
	uint8_t failed_q850;
	bool is_over;
};

static void note_failure(struct dial *dial, uint16_t scode, uint8_t q850)
{
	const struct status_rule *rule = outcome_of_status(scode);

	if (rule->ends_all)
		dial->is_over = true;
	if (rule->outcome == OUTCOME_BUSY)
		dial->n_busy++;
	if (rule->outcome == OUTCOME_FAILED) {
		dial->n_failed++;
		dial->failed_scode = scode;
		dial->failed_q850 = q850;
	}
}

/* ------------------------------------------------------------------ setting out */

static int open_streams(struct dial *dial)
{
	struct call *call = dial->call;
	const struct sdesc *offer = call->a->remote;
	int err;

	if (!offer)
		return 0;

	for (struct le *le = call->legs.head; le; le = le->next) {
		err = leg_media_open(le->data, offer);
		if (err)
			return err;
	}

	return call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
}

static const char *identity_headers(const struct leg *leg, char *buf, size_t size)
{
	const struct call *call = leg->call;

	/* PLT-38 default, D-091: who calls, asserted by us. */
	if (re_snprintf(buf, size, "P-Asserted-Identity: \"%s\" <sip:%s@%j>\r\n",
			call_caller_name(call), call_caller_number(call), &leg->local) < 0)
		return NULL;

	return buf;
}

static int invite_target(struct leg *leg, const struct dial_target *target)
{
	struct call *call = leg->call;
	const struct snap_sip *sip = snap_sip(call->engine->o.snap);
	const char *routes[1] = { target->path };
	char from[160], to[160], hdrs[320];
	int err;
	const char *text = NULL;
	struct sdesc *offer = NULL;

	if (call->a->remote) {
		err = leg_media_filter(&offer, call->a->remote, call->a, leg);
		if (err)
			return err;
		text = leg_media_print(leg, offer);
		mem_deref(offer);
		if (!text)
			return -EMSGSIZE;
	}

	(void)re_snprintf(from, sizeof(from), "sip:%s@%j", call_caller_number(call), &leg->local);
	(void)re_snprintf(to, sizeof(to), "sip:%s@%j", call->called, &leg->local);

	err = inv_invite(&leg->inv, call->engine->o.edge,
			  &(struct inv_invite_opts){
				  .ruri = target->uri,
				  .to_uri = to,
				  .from_uri = from,
				  .from_name = call_caller_name(call),
				  .contact_user = call_caller_number(call),
				  .dst = &target->dst,
				  .tp = target->tp,
				  .routes = routes,
				  .n_routes = target->path[0] ? 1 : 0,
				  .sdp = text,
				  .hdrs = identity_headers(leg, hdrs, sizeof(hdrs)),
				  .session_expires_s = sip->session_expires_s,
				  .min_se_s = sip->min_se_s,
			  },
			  leg_inv_event, leg);
	call_note_dialog(call, leg);
	return err;
}

static int add_leg(struct dial *dial, const struct dial_target *target, size_t index)
{
	struct call *call = dial->call;
	const struct snap_account *from = call->a->account;
	struct leg *leg = NULL;
	int err;

	err = leg_alloc(&leg, call, target->account, false);
	if (err)
		return err;

	leg->peer = target->dst;
	leg->tp = target->tp;
	leg->target = index;
	err = edge_local_addr(call->engine->o.edge, &leg->local, target->tp, &target->dst);
	if (err) {
		leg_end(leg, 0, NULL, 0);
		return err;
	}

	leg->direct = call->a->direct && target->account->direct_media && !target->account->nat &&
		      from->direct_media;
	leg_count(leg, dial->opts->callee);
	return 0;
}

/* BASE-47: only when every phone that may take the call does it, else the PBX stays between. */
static bool all_direct(const struct call *call, const struct dial_target *targets, size_t n)
{
	const struct snap_account *from = call->a->account;

	if (!from->direct_media || from->nat || from->srtp || from->webrtc || !call->a->remote)
		return false;

	for (size_t i = 0; i < n; i++) {
		const struct snap_account *to = targets[i].account;

		if (!to->direct_media || to->nat || to->srtp || to->webrtc)
			return false;
	}

	return true;
}

static int set_out(struct dial *dial, const struct dial_target *targets, size_t n)
{
	struct call *call = dial->call;
	int err;

	call->a->direct = all_direct(call, targets, n);

	for (size_t i = 0; i < n; i++) {
		err = add_leg(dial, &targets[i], i);
		if (err)
			log_warn("call.leg_failed", "a contact cannot be called",
				 kv_text("linkedid", call->linkedid),
				 kv_text("account", targets[i].account->username), kv_err(err));
	}

	err = open_streams(dial);
	if (err)
		return err;

	for (struct le *le = call->legs.head; le;) {
		struct leg *leg = le->data;

		le = le->next;
		if (leg == call->a)
			continue;

		err = invite_target(leg, &targets[leg->target]);
		if (err) {
			note_failure(dial, err == -ENOTSUP ? 488 : 500, 0);
			leg_end(leg, 0, NULL, 0);
			continue;
		}
		dial->n_alive++;
	}

	return 0;
}

/* ------------------------------------------------------------------ while it rings */

/*
 * What the callee says, or has said: a phone that answered our offer in a reliable 183 leaves it out
 * of its 200 (RFC 3262 section 5, RFC 6337 section 3.1.1).
 */
static int description_of(struct sdesc **ret, const struct leg *leg, const struct call_event *event)
{
	if (event->sdp)
		return sdesc_parse(ret, event->sdp, event->sdp_len);
	if (!leg->remote)
		return -EBADMSG;

	*ret = mem_ref(leg->remote);
	return 0;
}

/* The callee's description reaches the caller's side; returns its text for the caller, or NULL. */
static const char *relay_description(struct dial *dial, struct leg *leg,
				     const struct call_event *event)
{
	struct call *call = dial->call;
	struct sdesc *desc = NULL;
	const char *text;

	if (description_of(&desc, leg, event))
		return NULL;
	if (leg_secure_check(leg, desc)) {
		mem_deref(desc);
		return NULL;
	}

	leg_media_remote(leg, desc);
	leg_media_remote(call->a, call->a->remote);
	leg_media_bridge(call->a, leg);
	text = leg_media_print(call->a, desc);
	mem_deref(desc);

	return text;
}

/* The caller hears another phone; what this one says may be all it will say. */
static void note_description(struct leg *leg, const struct call_event *event)
{
	struct sdesc *desc = NULL;

	if (!sdesc_parse(&desc, event->sdp, event->sdp_len))
		leg_media_remote(leg, desc);
	mem_deref(desc);
}

static void on_progress(struct dial *dial, const struct call_event *event)
{
	struct call *call = dial->call;
	struct leg *leg = event->leg;
	const char *text = NULL;

	leg->state = LEG_RINGING;
	dial->has_rung = true;

	if (event->sdp && call->a->remote && (!dial->early || dial->early == leg)) {
		text = relay_description(dial, leg, event);
		if (text)
			dial->early = leg;
	} else if (event->sdp && call->a->remote) {
		note_description(leg, event);
	}

	if (text) {
		(void)inv_progress(call->a->inv, event->scode == 180 ? 180 : 183,
				   event->scode == 180 ? "Ringing" : "Session Progress", text, NULL);
		dial->is_183_sent = true;
	} else if (call->state == CALL_NEW && !dial->is_183_sent) {
		(void)inv_progress(call->a->inv, 180, "Ringing", NULL, NULL);
	}

	call_set_state(call, CALL_RINGING);
}

/* A phone that refuses keys beside plain RTP is asked again, in other ways. */
static bool ask_again(struct dial *dial, struct leg *leg, uint16_t scode)
{
	if (!leg_secure_fall_back(leg, scode))
		return false;

	leg->state = LEG_NEW;
	return !invite_target(leg, &dial->targets[leg->target]);
}

static void on_failure(struct dial *dial, const struct call_event *event)
{
	if (ask_again(dial, event->leg, event->scode))
		return;

	note_failure(dial, event->scode, event->q850);
	if (dial->early == event->leg)
		dial->early = NULL;
	dial->n_alive--;
	leg_end(event->leg, 0, NULL, 0);
}

static void cancel_all_but(struct dial *dial, const struct leg *keep, uint8_t q850)
{
	struct call *call = dial->call;

	for (struct le *le = call->legs.head; le;) {
		struct leg *leg = le->data;

		le = le->next;
		if (leg != call->a && leg != keep)
			leg_end(leg, 487, NULL, q850);
	}
}

/* ------------------------------------------------------------------ the answer */

/* Our caller sent no offer: the callee's 200 carries it, the caller's ACK answers it. */
static int answer_delayed(struct dial *dial, struct leg *leg, const struct call_event *event)
{
	struct call *call = dial->call;
	struct sdesc *offer = NULL, *filtered = NULL, *answer = NULL;
	struct call_event *ack = NULL;
	const char *text;
	int err;

	err = sdesc_parse(&offer, event->sdp, event->sdp_len);
	if (!err)
		err = leg_media_filter(&filtered, offer, leg, call->a);
	if (!err)
		err = leg_media_open(leg, filtered);
	if (!err)
		err = leg_media_open(call->a, filtered);
	if (!err)
		err = call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
	if (err)
		goto out;

	leg_media_remote(leg, filtered);
	text = leg_media_print(call->a, filtered);
	err = text ? inv_answer(call->a->inv, text, NULL) : -EMSGSIZE;
	if (err)
		goto out;

	do {
		ack = mem_deref(ack);
		err = call_next(call, clk_mono_ms() + ACK_WAIT_MS, &ack);
		if (err)
			goto out;
	} while (ack->type != CALL_EV_ACK);

	err = sdesc_parse(&answer, ack->sdp, ack->sdp_len);
	if (err)
		goto out;

	leg_media_remote(call->a, answer);
	text = leg_media_print(leg, answer);
	err = text ? inv_ack(leg->inv, text) : -EMSGSIZE;
	if (!err)
		leg_media_bridge(call->a, leg);

out:
	mem_deref(offer);
	mem_deref(filtered);
	mem_deref(answer);
	mem_deref(ack);
	return err;
}

static int answer_caller(struct dial *dial, struct leg *leg, const struct call_event *event)
{
	struct call *call = dial->call;
	const char *text;

	if (!call->a->remote)
		return event->sdp ? answer_delayed(dial, leg, event) : -EBADMSG;

	text = relay_description(dial, leg, event);
	return text ? inv_answer(call->a->inv, text, NULL) : -EBADMSG;
}

static int on_answered(struct dial *dial, const struct call_event *event)
{
	struct call *call = dial->call;
	struct leg *leg = event->leg;
	struct call_step *step = list_ledata(list_tail(&call->steps));
	int err;

	leg->state = LEG_UP;
	cancel_all_but(dial, leg, Q850_ELSEWHERE);
	dial->n_alive = 0;

	err = answer_caller(dial, leg, event);
	if (err) {
		log_warn("call.answer_failed", "an answer could not be handed on",
			 kv_text("linkedid", call->linkedid), kv_err(err));
		leg_end(leg, 488, NULL, 0);
		note_failure(dial, 488, 0);
		return err == -EHANGUP ? err : 0;
	}

	call->a->state = LEG_UP;
	call->b = leg;
	call->answer_us = clk_wall_us();
	leg->answered_us = call->answer_us;
	dial->winner = leg;
	if (leg->account->extension)
		str_ncpy(call->answered_by, leg->account->extension->number,
			 sizeof(call->answered_by));
	if (step) {
		step->answer_us = call->answer_us;
		str_ncpy(step->answered_by, call->answered_by, sizeof(step->answered_by));
	}

	call->result = (struct result){ .outcome = OUTCOME_ANSWERED };
	call_record_save(call);
	call_set_state(call, CALL_ANSWERED);
	return 0;
}

/* D-069: busy before no answer before unavailable; a lone technical refusal speaks for itself. */
static void conclude(const struct dial *dial, bool timed_out, struct result *result)
{
	*result = (struct result){ .outcome = OUTCOME_UNAVAILABLE };

	if (dial->winner) {
		result->outcome = OUTCOME_ANSWERED;
	} else if (timed_out) {
		if (dial->has_rung)
			result->outcome = OUTCOME_NO_ANSWER;
	} else if (dial->n_busy) {
		result->outcome = OUTCOME_BUSY;
	} else if (dial->n_failed) {
		*result = (struct result){ .outcome = OUTCOME_FAILED,
					   .scode = dial->failed_scode,
					   .q850 = dial->failed_q850 };
	} else if (dial->has_rung) {
		result->outcome = OUTCOME_NO_ANSWER;
	}
}

int call_dial(struct call *call, const struct dial_target *targets, size_t n,
	      const struct dial_opts *opts, struct result *result)
{
	uint64_t deadline_ms = clk_mono_ms() + opts->ring_ms;
	struct dial dial = { .call = call, .opts = opts, .targets = targets };
	struct call_event *event;
	int err;

	err = set_out(&dial, targets, n);
	if (err && err != -EHANGUP) {
		cancel_all_but(&dial, NULL, 0);
		*result = (struct result){ .outcome = OUTCOME_FAILED, .scode = 503, .q850 = 41 };
		return 0;
	}

	while (!err && dial.n_alive && !dial.winner && !dial.is_over) {
		err = call_next(call, deadline_ms, &event);
		if (err)
			break;

		if (event->type == CALL_EV_PROGRESS)
			on_progress(&dial, event);
		else if (event->type == CALL_EV_ANSWERED)
			err = on_answered(&dial, event);
		else if (event->type == CALL_EV_ENDED)
			on_failure(&dial, event);
		else if (event->type == CALL_EV_OFFER)
			err = call_offer(call, event->leg, event);
		else if (event->type == CALL_EV_MEDIA_LOST)
			dial.is_over = true; /* the caller hears "unavailable" */

		mem_deref(event);
	}

	if (!dial.winner)
		cancel_all_but(&dial, NULL, err == -ETIMEDOUT ? 19 : 0);
	if (err && err != -ETIMEDOUT)
		return err;

	conclude(&dial, err == -ETIMEDOUT, result);
	return 0;
}
