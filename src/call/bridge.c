/* SPDX-License-Identifier: Apache-2.0 */
/* Two legs talk: hold with music (TEL-03), new offers, digits, the end. */
#include "call/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "call/engine.h"
#include "call/leg.h"
#include "call/leg_secure.h"
#include "call/record.h"
#include "media/client.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

#define REOFFER_WAIT_MS 35000  /* a re-INVITE's transaction gives up after 32 s */
#define STREAMS_WAIT_MS 3000
#define Q850_INCOMPATIBLE 88   /* incompatible destination */
#define JOURNAL_MS      600000 /* session refreshes move CSeq on: journal the dialogs again */

static struct leg *partner(const struct call *call, const struct leg *leg)
{
	return leg == call->a ? call->b : call->a;
}

/* ------------------------------------------------------------------ hold */

static void set_hold(struct call *call, struct leg *leg, bool hold)
{
	struct leg *other = partner(call, leg);

	if (leg->is_held == hold || !other)
		return;

	leg->is_held = hold;
	leg_music(other, hold);
	call_set_state(call, hold || other->is_held ? CALL_HELD : CALL_ANSWERED);
}

static bool is_empty(const struct sdesc *offer)
{
	for (size_t i = 0; i < offer->n_media; i++) {
		if (offer->media[i].port)
			return false;
	}

	return true;
}

/* Its offer still waits for an answer: a leg may end, or take its offer back, while that is worked out. */
static int is_asking(const struct leg *leg)
{
	if (!leg->inv)
		return -ECONNRESET;
	return inv_offer_stands(leg->inv, leg->offered) ? 0 : -ECANCELED;
}

static int say_yes(const struct leg *leg, const char *text)
{
	return inv_reanswer(leg->inv, 200, "OK", text);
}

static void say_no(const struct leg *leg, uint16_t scode, const char *reason)
{
	if (!is_asking(leg))
		(void)inv_reanswer(leg->inv, scode, reason, NULL);
}

/* Out of what the other side has; every line given up (port 0) is agreed to as well. */
static int local_answer(struct sdesc **ret, struct call *call, struct leg *leg, struct sdesc *offer)
{
	struct leg *other = partner(call, leg);
	struct sdesc *wanted = NULL;
	int err = 0;

	if (is_empty(offer))
		return sdesc_copy(ret, offer);
	if (other)
		err = leg_media_wanted(&wanted, other);
	if (!err)
		err = leg_media_answer(ret, leg, offer, wanted ? other : NULL, wanted);
	mem_deref(wanted);

	return err;
}

static int answer_locally(struct call *call, struct leg *leg, struct sdesc *offer)
{
	struct sdesc *answer = NULL;
	const char *text;
	int err;

	err = is_asking(leg);
	if (!err)
		err = local_answer(&answer, call, leg, offer);
	if (err)
		return err;

	text = leg_media_accept(leg, offer, answer);
	mem_deref(answer);
	if (!text)
		return -EMSGSIZE;

	err = say_yes(leg, text);
	if (!err)
		set_hold(call, leg, leg_media_holds(leg));

	return err;
}

/* ------------------------------------------------------------------ digits */

/* What is not about keys (leg_dtmf.c) goes on as it is, to who takes such requests. */
static void pass_info(struct call *call, const struct call_event *event)
{
	struct leg *other = partner(call, event->leg);

	if (other && other->inv && inv_peer_allows(other->inv, "INFO"))
		(void)inv_info(other->inv, event->ctype, event->body);
}

static void pass_digit(struct call *call, const struct call_event *event)
{
	struct leg *other = partner(call, event->leg);

	if (!other)
		return;
	if (call->room) /* a room mixes sound; keys are for the other side as before */
		leg_dtmf_send(other, event->digit, event->duration_ms);
	else
		leg_dtmf_pass(other, event);
}

/* ------------------------------------------------------------------ new media */

/* While an answer is waited for keys go on, little else does. Takes the event. -ECONNRESET: there is nothing
 * left to agree on, which the next event says. */
static int meanwhile(struct call *call, struct call_event *event)
{
	if (event->type == CALL_EV_ENDED || event->type == CALL_EV_MEDIA_LOST) {
		call_put_back(call, event);
		return -ECONNRESET;
	}
	if (event->type == CALL_EV_OFFER && event->leg->inv && /* RFC 3261 section 14.2: one at a time */
	    inv_offer_stands(event->leg->inv, event->branch))
		(void)inv_reanswer(event->leg->inv, 491, "Request Pending", NULL);
	else if (event->type == CALL_EV_DIGIT)
		pass_digit(call, event);
	else if (event->type == CALL_EV_INFO)
		pass_info(call, event);
	mem_deref(event);

	return 0;
}

/* For the answer to what we offered the other leg. */
static int wait_reanswer(struct call *call, const struct leg *other, struct call_event **ret)
{
	uint64_t deadline_ms = clk_mono_ms() + REOFFER_WAIT_MS;
	struct call_event *event;
	int err;

	do {
		err = call_next(call, deadline_ms, &event);
		if (err)
			return err;
		if (event->leg == other && event->type == CALL_EV_REANSWER) {
			*ret = event;
			return 0;
		}
		err = meanwhile(call, event);
	} while (!err);

	return err;
}

/* An offer of ours is open in a 2xx to this leg. Its answer, in the ACK, comes before the next offer (RFC 3261
 * section 13.2.1). */
static int wait_ack(struct call *call, const struct leg *leg)
{
	uint64_t deadline_ms = clk_mono_ms() + REOFFER_WAIT_MS;
	struct call_event *event;
	int err = 0;

	while (!err && leg->answer_due) {
		err = call_next(call, deadline_ms, &event);
		if (!err)
			err = meanwhile(call, event);
	}

	return err;
}

/* other: NULL none. */
static void save(struct leg_before *before, const struct leg *leg, const struct leg *other)
{
	mem_deref(before->desc);
	before->desc = mem_ref(leg->local_desc);
	before->we_offered = leg->we_offered;
	before->lines = leg->lines;
	if (other)
		before->partner_lines = other->lines;
}

/* The session stays as it was (RFC 3261 section 14.1). */
static void take_back(const struct leg_before *before, struct leg *leg, struct leg *other)
{
	mem_deref(leg->local_desc);
	leg->local_desc = mem_ref(before->desc);
	leg->we_offered = before->we_offered;
	leg->lines = before->lines;
	leg_media_tidy(leg);
	if (other) {
		other->lines = before->partner_lines;
		leg_media_tidy(other);
	}
}

/* Offers desc to a leg and waits for its answer. -ENOTSUP: it said no, or, with *ret, what its account forbids. */
static int reoffer(struct sdesc **ret, struct call *call, struct leg *leg, const struct sdesc *desc)
{
	struct call_event *event = NULL;
	const char *text;
	int err;

	if (!leg->inv)
		return -ECONNRESET;
	text = leg_media_print_offer(leg, desc);
	err = text ? inv_reoffer(leg->inv, text, NULL) : -EMSGSIZE;
	if (!err || err == -EAGAIN) /* kept, and sent when the exchange under way has ended */
		err = wait_reanswer(call, leg, &event);
	if (err)
		return err;

	if (event->scode >= 300 || !event->sdp)
		err = -ENOTSUP;
	else
		err = sdesc_parse(ret, event->sdp, event->sdp_len);
	if (!err && leg_secure_check(leg, *ret))
		err = -ENOTSUP;
	mem_deref(event);

	return err;
}

/* had, with the lines given up that have been added since: a line stays (RFC 3264 section 8). */
static int without_added(struct sdesc **ret, const struct sdesc *had, const struct sdesc *now)
{
	struct sdesc *desc = NULL;
	int err;

	if (now->n_media <= had->n_media) {
		*ret = mem_ref((void *)(uintptr_t)had);
		return 0;
	}

	err = sdesc_alloc(&desc, now->n_media, had, NULL);
	if (err)
		return err;
	for (size_t i = 0; i < now->n_media; i++) {
		const bool is_added = i >= had->n_media;
		const struct sdesc_media *from = is_added ? &now->media[i] : &had->media[i];
		struct sdesc_media *to = &desc->media[i];
		struct sdesc_format *formats = to->formats;

		memcpy(formats, from->formats, from->n_formats * sizeof(*formats));
		*to = *from;
		to->formats = formats;
		if (!is_added)
			continue;
		to->port = 0;
		to->n_attrs = 0;
		for (size_t k = 0; k < to->n_formats; k++)
			formats[k].fmtp = NULL;
	}
	desc->attrs = had->attrs;
	desc->n_attrs = had->n_attrs;

	*ret = desc;
	return 0;
}

/* It has agreed to what is not to be: it gets back what it had. desc: what it was offered. */
static int give_back(struct call *call, struct leg *leg, struct leg *other, const struct leg_before *before,
		     const struct sdesc *offered)
{
	struct sdesc *answer = NULL, *desc = NULL;
	int err;

	err = without_added(&desc, before->desc, offered);
	if (!err)
		err = reoffer(&answer, call, leg, desc);
	mem_deref(desc);
	if (!err) {
		leg_media_remote(leg, answer);
		leg_media_bridge(leg, other);
	}
	mem_deref(answer);

	return err;
}

/* Both sides have said yes. */
static int agree(struct call *call, struct leg *leg, struct sdesc *offer, struct leg *other,
		 struct sdesc *answer)
{
	const char *text = leg_media_accept(leg, offer, answer);
	int err;

	if (!text)
		return -EMSGSIZE;

	leg_media_bridge(leg, other);
	err = say_yes(leg, text);
	if (!err) {
		set_hold(call, leg, leg_media_holds(leg));
		set_hold(call, other, leg_media_holds(other));
	}

	return err;
}

static int open_both(struct call *call, struct leg *leg, const struct sdesc *offer, struct leg *other,
		     const struct sdesc *desc)
{
	int err;

	err = leg_media_open(leg, offer);
	if (!err)
		err = leg_media_open(other, desc);

	return err ? err : call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
}

/* Lines of offer are a part of those in use: giving one up needs nobody's consent. */
static bool only_gives_up(const struct leg *leg, const struct sdesc *offer)
{
	const struct sdesc *had = leg->remote; /* NULL: it has left our offer without an answer */

	for (size_t i = 0; i < offer->n_media; i++) {
		if (offer->media[i].port &&
		    (i >= leg->n_streams || !leg->streams[i] || !had || i >= had->n_media ||
		     had->media[i].kind != offer->media[i].kind))
			return false;
	}

	return true;
}

static int ask(struct call *call, struct leg *leg, struct sdesc *offer, struct leg *other,
	       struct sdesc *desc, const struct neg_lines *lines)
{
	struct leg_before before = { 0 };
	struct sdesc *theirs = NULL, *answer = NULL;
	const bool less = only_gives_up(leg, offer);
	int err;

	save(&before, other, leg);
	err = open_both(call, leg, offer, other, desc);
	if (!err)
		err = reoffer(&theirs, call, other, desc);
	if (!err)
		err = is_asking(leg);
	if (!err) {
		leg_media_pair(other, leg, lines);
		err = leg_media_answer(&answer, leg, offer, other, theirs);
	}
	if (!err) {
		leg_media_remote(other, theirs);
		err = agree(call, leg, offer, other, answer);
		goto out;
	}
	if (err == -EHANGUP || err == -ECONNRESET)
		goto out;

	take_back(&before, other, leg);
	if (less && err != -ECANCELED) {
		err = answer_locally(call, leg, offer);
	} else if (theirs) {
		say_no(leg, 488, "Not Acceptable Here");
		err = give_back(call, other, leg, &before, desc);
	}

out:
	mem_deref(before.desc);
	mem_deref(theirs);
	mem_deref(answer);
	return err;
}

/* Lines that are on already on the other side, back on this one. */
static int rejoin(struct call *call, struct leg *leg, struct sdesc *offer, struct leg *other,
		  const struct neg_lines *lines)
{
	int err;

	leg_media_pair(other, leg, lines);
	err = leg_media_open(leg, offer);
	if (!err)
		err = call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
	if (!err)
		err = answer_locally(call, leg, offer);
	if (!err)
		leg_media_bridge(leg, other);

	return err;
}

/* It offers sound that can be agreed with nobody, where it had some: refusing the line would leave the
 * call without, refusing the offer leaves it as it is. */
static bool loses_sound(const struct leg *leg, const struct sdesc *offer, const struct neg_lines *lines)
{
	for (size_t i = 0; i < offer->n_media; i++) {
		bool taken = false;

		if (offer->media[i].kind != SDESC_AUDIO || !offer->media[i].port ||
		    i >= leg->n_streams || !leg->streams[i])
			continue;
		for (size_t k = 0; k < SDESC_MAX_MEDIA; k++)
			taken |= lines->of[k] == (int8_t)i;
		if (!taken)
			return true;
	}

	return false;
}

/*
 * Other lines than agreed: the other side decides. Without its consent the session stays as it was
 * (488, RFC 3261 section 14.1).
 */
static int ask_partner(struct call *call, struct leg *leg, struct sdesc *offer)
{
	struct leg *other = partner(call, leg);
	struct neg_lines lines;
	struct sdesc *desc = NULL;
	int err;

	if (is_empty(offer))
		return answer_locally(call, leg, offer);
	if (!other || !other->inv || !inv_is_established(other->inv))
		return -ENOTCONN;

	err = wait_ack(call, other);
	if (!err)
		err = is_asking(leg);
	if (!err)
		err = leg_media_offer(&desc, &lines, other, leg, offer);
	if (err)
		return err;

	if (loses_sound(leg, offer, &lines))
		err = -ENOTSUP;
	else if (!leg->direct && leg_media_is_same(other, desc))
		err = rejoin(call, leg, offer, other, &lines);
	else
		err = ask(call, leg, offer, other, desc, &lines);
	mem_deref(desc);

	return err;
}

/*
 * A re-INVITE without offer asks for ours, and for all that we can (RFC 3261 section 14.2, RFC 6337
 * section 5.1): its answer, in the ACK, may resume what was held.
 */
static int offer_again(struct call *call, struct leg *leg)
{
	struct leg *other = partner(call, leg);
	struct sdesc *wanted = NULL, *desc = NULL;
	struct neg_lines lines;
	const char *text;
	int err;

	err = leg_media_wanted(&wanted, other && other->remote ? other : leg);
	if (!err)
		err = leg_media_offer(&desc, &lines, leg, other && other->remote ? other : leg, wanted);
	if (!err)
		err = leg_media_open(leg, desc);
	if (!err)
		err = call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
	if (!err)
		err = is_asking(leg);
	if (err)
		goto out;

	save(&leg->before, leg, other);
	if (other && other->remote)
		leg_media_pair(leg, other, &lines);
	text = leg_media_print_offer(leg, desc);
	err = text ? say_yes(leg, text) : -EMSGSIZE;
	leg->answer_due = !err;

out:
	mem_deref(wanted);
	mem_deref(desc);
	return err;
}

static void no_answer(struct call *call, struct leg *leg, struct leg *other)
{
	if (leg->remote) {
		log_info("call.unanswered", "new media was offered and nothing answered; the old goes on",
			 kv_text("linkedid", call->linkedid));
		take_back(&leg->before, leg, other);
		return;
	}
	if (leg != call->a)
		return;

	log_warn("call.no_answer", "the caller has not answered our offer of media; its call is ended",
		 kv_text("linkedid", call->linkedid), kv_text("account", call->account_name));
	if (call->result.outcome != OUTCOME_ANSWERED)
		call->result = (struct result){ .outcome = OUTCOME_FAILED, .scode = 488 };
	call->result.q850 = Q850_INCOMPATIBLE;
	call_caller_gone(call);
}

void call_take_answer(struct call *call, const struct call_event *event)
{
	struct leg *leg = event->leg, *other = partner(call, leg);
	const bool is_due = leg->answer_due || (leg->we_offered && !leg->remote);
	struct sdesc *answer = NULL;

	leg->answer_due = false;
	if (!is_due && !(leg->we_offered && event->sdp))
		return;
	if (!event->sdp || sdesc_parse(&answer, event->sdp, event->sdp_len) || leg_secure_check(leg, answer)) {
		no_answer(call, leg, other);
		goto out;
	}

	leg_media_remote(leg, answer);
	if (other)
		leg_media_bridge(leg, other);
	set_hold(call, leg, leg_media_holds(leg));
out:
	mem_deref(answer);
}

int call_offer(struct call *call, struct leg *leg, const struct call_event *event)
{
	struct sdesc *offer = NULL;
	enum leg_offer kind;
	int err;

	leg->offered = event->branch;
	if (is_asking(leg)) /* it has ended since, or taken it back */
		return 0;
	if (!event->sdp) {
		err = offer_again(call, leg);
		goto out;
	}

	err = sdesc_parse(&offer, event->sdp, event->sdp_len);
	/* RFC 3264 section 8: a line that was described once stays, refused at the least. */
	if (!err && leg->remote && offer->n_media < leg->remote->n_media)
		err = -EBADMSG;
	if (err)
		goto out;

	kind = leg->direct ? LEG_OFFER_NEW : leg_media_classify(leg, offer);
	if (kind == LEG_OFFER_NEW)
		err = ask_partner(call, leg, offer);
	else
		err = answer_locally(call, leg, offer);

out:
	mem_deref(offer);

	if (err && err != -EHANGUP && !is_asking(leg)) {
		log_info("call.offer_refused", "new media could not be agreed; the old goes on",
			 kv_text("linkedid", call->linkedid), kv_err(err));
		say_no(leg, err == -EBADMSG ? 400 : 488,
		       err == -EBADMSG ? "Bad Session Description" : "Not Acceptable Here");
	}
	if (!err)
		call_record_save(call);

	return err == -EHANGUP ? err : 0;
}

/* ------------------------------------------------------------------ the loop */

/* Why the partner's leg ended, for the one that is left. */
static void note_end(struct call *call, const struct call_event *event)
{
	call->result = (struct result){ .outcome = OUTCOME_ANSWERED, .q850 = event->q850 };
}

static void begin_held(struct call *call)
{
	if (call->a && leg_media_begins_held(call->a))
		set_hold(call, call->a, true);
	if (call->b && leg_media_begins_held(call->b))
		set_hold(call, call->b, true);
}

int call_bridge(struct call *call)
{
	struct call_event *event;
	int err;

	begin_held(call);
	for (;;) {
		err = call_next(call, clk_mono_ms() + JOURNAL_MS, &event);
		if (err == -ETIMEDOUT) {
			call_record_save(call);
			continue;
		}
		if (err)
			return err;

		switch (event->type) {
		case CALL_EV_OFFER:
			err = call_offer(call, event->leg, event);
			break;
		case CALL_EV_INFO:
			pass_info(call, event);
			break;
		case CALL_EV_DIGIT:
			pass_digit(call, event);
			break;
		case CALL_EV_ENDED:
			note_end(call, event);
			mem_deref(event);
			return 0;
		case CALL_EV_MEDIA_LOST:
			log_warn("call.media_lost", "the media process died under a call; it is ended",
				 kv_text("linkedid", call->linkedid));
			call->result.q850 = 41;
			mem_deref(event);
			return 0;
		case CALL_EV_REANSWER:
			call_take_answer(call, event);
			break;
		case CALL_EV_ACK:
		case CALL_EV_PROGRESS:
		case CALL_EV_ANSWERED:
		case CALL_EV_PLAYED:
		case CALL_EV_RECORDED:
		case CALL_EV_ROOM_OVER:
		case CALL_EV_FAX:
		case CALL_EV_PLAY:
		case CALL_EV_PLAY_OVER:
			break;
		}

		mem_deref(event);
		if (err)
			return err;
	}
}
