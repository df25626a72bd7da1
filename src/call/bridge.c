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
#include "call/record.h"
#include "media/client.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

#define REOFFER_WAIT_MS 35000  /* a re-INVITE's transaction gives up after 32 s */
#define STREAMS_WAIT_MS 3000
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

static int answer_locally(struct call *call, struct leg *leg, struct sdesc *offer, bool hold)
{
	struct sdesc *answer = NULL;
	const char *text;
	int err;

	err = leg_media_answer(&answer, leg, offer);
	if (err)
		return err;

	leg_media_remote(leg, offer);
	text = leg_media_print(leg, answer);
	mem_deref(answer);
	if (!text)
		return -EMSGSIZE;

	err = inv_reanswer(leg->inv, 200, "OK", text);
	if (!err)
		set_hold(call, leg, hold);

	return err;
}

/* ------------------------------------------------------------------ new media */

/* Waits for the answer to what we offered the other leg; deals with little else meanwhile. */
static int wait_reanswer(struct call *call, const struct leg *other, struct call_event **ret)
{
	uint64_t deadline_ms = clk_mono_ms() + REOFFER_WAIT_MS;
	struct call_event *event;
	int err;

	for (;;) {
		err = call_next(call, deadline_ms, &event);
		if (err)
			return err;

		if (event->leg == other && event->type == CALL_EV_REANSWER) {
			*ret = event;
			return 0;
		}
		if (event->type == CALL_EV_OFFER) /* RFC 3261 section 14.2: one exchange at a time */
			(void)inv_reanswer(event->leg->inv, 491, "Request Pending", NULL);
		if (event->type == CALL_EV_ENDED && event->leg == other) {
			mem_deref(event);
			return -ECONNRESET;
		}
		mem_deref(event);
	}
}

/*
 * Other lines or codecs than agreed: the other side decides. Without its consent the session stays
 * as it was (488, RFC 3261 section 14.1).
 */
static int ask_partner(struct call *call, struct leg *leg, struct sdesc *offer)
{
	struct leg *other = partner(call, leg);
	struct sdesc *filtered = NULL, *answer = NULL;
	struct call_event *event = NULL;
	const char *text;
	int err;

	if (!other || !inv_is_established(other->inv)) {
		err = -ENOTCONN;
		goto out;
	}

	err = leg_media_filter(&filtered, offer, leg, other);
	if (!err)
		err = leg_media_open(leg, filtered);
	if (!err)
		err = leg_media_open(other, filtered);
	if (!err)
		err = call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
	if (err)
		goto out;

	text = leg_media_print(other, filtered);
	err = text ? inv_reoffer(other->inv, text, NULL) : -EMSGSIZE;
	if (!err)
		err = wait_reanswer(call, other, &event);
	if (err)
		goto out;

	if (event->scode >= 300 || !event->sdp) {
		err = -ENOTSUP;
		goto out;
	}

	err = sdesc_parse(&answer, event->sdp, event->sdp_len);
	if (err)
		goto out;

	leg_media_remote(other, answer);
	leg_media_remote(leg, offer);
	leg_media_bridge(leg, other);
	text = leg_media_print(leg, answer);
	err = text ? inv_reanswer(leg->inv, 200, "OK", text) : -EMSGSIZE;
	if (!err)
		set_hold(call, leg, false);

out:
	mem_deref(filtered);
	mem_deref(answer);
	mem_deref(event);
	return err;
}

/* A re-INVITE without offer: what we said last is our offer again (RFC 3261 section 14.2). */
static int offer_again(struct leg *leg)
{
	const char *text = leg->local_desc ? leg_media_print(leg, leg->local_desc) : NULL;

	return text ? inv_reanswer(leg->inv, 200, "OK", text) : -ENOTSUP;
}

int call_offer(struct call *call, struct leg *leg, const struct call_event *event)
{
	struct sdesc *offer = NULL;
	enum leg_offer kind;
	int err;

	if (!event->sdp) {
		err = offer_again(leg);
		goto out;
	}

	err = sdesc_parse(&offer, event->sdp, event->sdp_len);
	if (err)
		goto out;

	kind = leg->direct ? LEG_OFFER_NEW : leg_media_classify(leg, offer);
	if (kind == LEG_OFFER_NEW)
		err = ask_partner(call, leg, offer);
	else
		err = answer_locally(call, leg, offer, kind == LEG_OFFER_HOLD);

out:
	mem_deref(offer);

	if (err && err != -EHANGUP && leg->inv) {
		log_info("call.offer_refused", "new media could not be agreed; the old goes on",
			 kv_text("linkedid", call->linkedid), kv_err(err));
		(void)inv_reanswer(leg->inv, err == -EBADMSG ? 400 : 488,
				   err == -EBADMSG ? "Bad Session Description" :
						     "Not Acceptable Here",
				   NULL);
	}
	if (!err)
		call_record_save(call);

	return err == -EHANGUP ? err : 0;
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

	if (other)
		leg_dtmf_pass(other, event);
}

/* ------------------------------------------------------------------ the loop */

/* Why the partner's leg ended, for the one that is left. */
static void note_end(struct call *call, const struct call_event *event)
{
	call->result = (struct result){ .outcome = OUTCOME_ANSWERED, .q850 = event->q850 };
}

int call_bridge(struct call *call)
{
	struct call_event *event;
	int err;

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
		case CALL_EV_ACK: { /* answer to an offer of ours in a 2xx */
			struct sdesc *answer = NULL;

			if (!sdesc_parse(&answer, event->sdp, event->sdp_len))
				leg_media_remote(event->leg, answer);
			mem_deref(answer);
			break;
		}
		case CALL_EV_PROGRESS:
		case CALL_EV_ANSWERED:
		case CALL_EV_REANSWER:
		case CALL_EV_PLAYED:
		case CALL_EV_RECORDED:
			break;
		}

		mem_deref(event);
		if (err)
			return err;
	}
}
