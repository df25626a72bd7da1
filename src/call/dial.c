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
#define SAID_MAX        16   /* early dialogs of a call whose descriptions are remembered */
#define BESIDE_MAX      4    /* forwards that ring beside the phones that were called */

#define Q850_ELSEWHERE 26 /* non-selected user clearing */

struct dial {
	struct call *call;
	const struct dial_opts *opts;
	const struct dial_target *targets;
	size_t n_targets;
	struct dial_target *all; /* targets, once forwards ring beside them; owned */
	struct {
		size_t first; /* of its targets */
		const struct snap_extension *callee;
	} beside[BESIDE_MAX];
	size_t n_beside;
	struct leg *winner;
	struct leg *early;       /* whose early media the caller hears */
	uint32_t early_branch;   /* which of its early dialogs */
	struct {                 /* descriptions in provisional responses: a final one may leave them out */
		const struct leg *leg;
		uint32_t branch;
		struct sdesc *desc;
	} said[SAID_MAX];
	size_t n_said;
	bool has_rung, is_183_sent;
	unsigned n_alive, n_busy, n_failed;
	uint16_t failed_scode;   /* what the last failed one said */
	uint8_t failed_q850;
	uint8_t said_q850[OUTCOME_COUNT]; /* cause that a phone told itself, by what its answer meant */
	char redirect[CALL_TEXT]; /* where the first 302 sends the call; empty: nowhere */
	bool redirect_after_ringing;
	bool is_over;
};

static void note_failure(struct dial *dial, uint16_t scode, uint8_t q850, bool is_said)
{
	const struct status_rule *rule = outcome_of_status(scode);

	if (is_said)
		dial->said_q850[rule->outcome] = q850;
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

/* Each callee is offered what its account allows, out of what the caller said (nothing: sound). */
static int prepare_offers(struct call *call)
{
	struct sdesc *wanted = NULL;
	int err, any = -ENOTSUP;

	err = leg_media_wanted(&wanted, call->a);
	if (err)
		return err;

	for (struct le *le = call->legs.head; le; le = le->next) {
		struct leg *leg = le->data;

		if (leg == call->a || leg->inv || leg->state == LEG_ENDED)
			continue;
		leg->offer = mem_deref(leg->offer);
		err = leg_media_offer(&leg->offer, &leg->lines, leg, call->a, wanted);
		if (err && err != -ENOTSUP)
			break;
		if (!err)
			any = 0;
	}
	mem_deref(wanted);

	return err && err != -ENOTSUP ? err : any;
}

/* Phones that talk to each other directly need a codec in common; else the PBX stays between. */
static int prepare(struct call *call, size_t first)
{
	bool was_direct = false;
	int err = prepare_offers(call);

	if (err != -ENOTSUP)
		return err;

	for (struct le *le = call->legs.head; le; le = le->next) {
		struct leg *leg = le->data;

		if (leg == call->a || leg->target < first)
			continue;
		was_direct |= leg->direct;
		leg->direct = false;
	}
	if (!first)
		call->a->direct = false;

	return was_direct ? prepare_offers(call) : err;
}

static int open_streams(struct call *call)
{
	int err = 0;

	if (call->a->remote)
		err = leg_media_open(call->a, call->a->remote);
	for (struct le *le = call->legs.head; le && !err; le = le->next) {
		struct leg *leg = le->data;

		if (leg->offer)
			err = leg_media_open(leg, leg->offer);
	}

	return err ? err : call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
}

/* "\"Anna Rossi\" <sip:101@192.0.2.1>" */
static int print_party(struct re_printf *pf, const struct leg *leg, const char *number, const char *display)
{
	char name[160];

	inv_quote(name, sizeof(name), display);
	return re_hprintf(pf, "%s%s%s<sip:%s@%j>", name[0] ? "\"" : "", name, name[0] ? "\" " : "", number,
			  &leg->local);
}

/* PLT-38, D-091: who it is, asserted by us. */
int dial_print_identity(struct re_printf *pf, const struct leg *leg, const struct dial_identity *identity,
			uint8_t mode, bool is_called)
{
	static const struct {
		const char *name, *params[2];
	} forms[] = {
		[SNAP_RPID_RPID] = { "Remote-Party-ID",
				     { ";party=calling;screen=yes;privacy=off",
				       ";party=called;screen=yes;privacy=off" } },
		[SNAP_RPID_PAI] = { "P-Asserted-Identity", { "", "" } },
	};
	int err;

	if (mode == SNAP_RPID_OFF || mode >= sizeof(forms) / sizeof(forms[0]))
		return 0;
	err = re_hprintf(pf, "%s: ", forms[mode].name);
	if (!err)
		err = print_party(pf, leg, identity->number, identity->name);
	return err ? err : re_hprintf(pf, "%s\r\n", forms[mode].params[is_called]);
}

/* RFC 5806: who has sent the call on, the last one first. For phones only: no line gets it (CHG-SVC-03). */
static int print_diversions(struct re_printf *pf, const struct leg *leg)
{
	int err = 0;

	for (size_t i = leg->n_diversions; i-- && !err;) {
		const struct call_diversion *by = &leg->call->diversions[i];

		err = re_hprintf(pf, "Diversion: ");
		if (!err)
			err = print_party(pf, leg, by->number, by->name);
		if (!err)
			err = re_hprintf(pf, ";reason=%s;counter=1\r\n",
					 by->after_ringing ? "no-answer" : "unconditional");
	}
	return err;
}

struct headers { /* of an INVITE */
	const struct leg *leg;
	const struct dial_identity *identity;
	uint8_t rpid_mode;
};

static int print_headers(struct re_printf *pf, void *arg)
{
	const struct headers *headers = arg;
	int err = dial_print_identity(pf, headers->leg, headers->identity, headers->rpid_mode, false);

	return err ? err : print_diversions(pf, headers->leg);
}

int dial_invite(struct leg *leg, const struct dial_target *target, const struct dial_identity *identity)
{
	struct call *call = leg->call;
	const struct snap_sip *sip = snap_sip(call->engine->o.snap);
	const char *proxy = target->account->outbound_proxy; /* BASE-49 */
	const char *routes[2];
	size_t n_routes = 0;
	char from[160], to[160], hdrs[1600];
	int err;
	const char *text;

	if (!leg->offer)
		return -ENOTSUP;
	text = leg_media_print_offer(leg, leg->offer);
	if (!text)
		return -EMSGSIZE;

	if (proxy)
		routes[n_routes++] = proxy;
	if (target->path[0])
		routes[n_routes++] = target->path;

	(void)re_snprintf(from, sizeof(from), "sip:%s@%j", identity->number, &leg->local);
	(void)re_snprintf(to, sizeof(to), "sip:%s@%j", call->called, &leg->local);
	if (re_snprintf(hdrs, sizeof(hdrs), "%H", print_headers,
			&(struct headers){ leg, identity, sip->send_rpid_mode }) < 0)
		hdrs[0] = '\0';

	err = inv_invite(&leg->inv, call->engine->o.edge,
			  &(struct inv_invite_opts){
				  .ruri = target->uri,
				  .to_uri = to,
				  .from_uri = from,
				  .from_name = identity->name,
				  .contact_user = identity->number,
				  .dst = proxy ? NULL : &target->dst, /* the proxy's name is resolved */
				  .tp = target->tp,
				  .routes = routes,
				  .n_routes = n_routes,
				  .sdp = text,
				  .hdrs = hdrs,
				  .session_expires_s = sip->session_expires_s,
				  .min_se_s = sip->min_se_s,
			  },
			  leg_inv_event, leg);
	call_note_dialog(call, leg);
	return err;
}

static int add_leg(struct dial *dial, size_t index, const struct snap_extension *callee, bool direct)
{
	const struct dial_target *target = &dial->targets[index];
	struct call *call = dial->call;
	struct leg *leg = NULL;
	int err;

	err = leg_alloc(&leg, call, target->account, false);
	if (err)
		return err;

	leg->peer = target->dst;
	leg->tp = target->tp;
	leg->target = index;
	leg->n_diversions = call->n_diversions;
	err = edge_local_addr(call->engine->o.edge, &leg->local, target->tp, &target->dst);
	if (err) {
		leg_end(leg, 0, NULL, 0);
		return err;
	}

	leg->direct = direct;
	leg_count(leg, callee);
	return 0;
}

/* BASE-47: only when every phone that may take the call does it, else the PBX stays between. */
static bool all_direct(const struct call *call, const struct dial_target *targets, size_t n)
{
	const struct snap_account *from = call->a->account;

	if (!from->direct_media || from->nat || from->srtp || from->webrtc || !call->a->remote ||
	    call->a->local_desc) /* it talks to us already */
		return false;

	for (size_t i = 0; i < n; i++) {
		const struct snap_account *to = targets[i].account;

		if (!to->direct_media || to->nat || to->srtp || to->webrtc)
			return false;
	}

	return true;
}

/* Rings the targets from the first on. */
static int set_out(struct dial *dial, size_t first, const struct snap_extension *callee)
{
	struct call *call = dial->call;
	const struct dial_identity identity = call_shown_caller(call);
	const bool direct = all_direct(call, dial->targets + first, dial->n_targets - first);
	int err;

	if (!first)
		call->a->direct = direct;
	for (size_t i = first; i < dial->n_targets; i++) {
		err = add_leg(dial, i, callee, direct);
		if (err)
			log_warn("call.leg_failed", "a contact cannot be called",
				 kv_text("linkedid", call->linkedid),
				 kv_text("account", dial->targets[i].account->username), kv_err(err));
	}

	err = prepare(call, first);
	if (err && err != -ENOTSUP)
		return err;
	err = open_streams(call);
	if (err)
		return err;

	for (struct le *le = call->legs.head; le;) {
		struct leg *leg = le->data;

		le = le->next;
		if (leg == call->a || leg->target < first)
			continue;

		err = dial_invite(leg, &dial->targets[leg->target], &identity);
		if (err) {
			note_failure(dial, err == -ENOTSUP ? 488 : 500, 0, false);
			leg_end(leg, 0, NULL, 0);
			continue;
		}
		dial->n_alive++;
	}

	return 0;
}

/* ------------------------------------------------------------------ while it rings */

/* What a provisional response of this early dialog said; NULL nothing. */
static struct sdesc *said_by(const struct dial *dial, const struct leg *leg, uint32_t branch)
{
	for (size_t i = 0; i < dial->n_said; i++) {
		if (dial->said[i].leg == leg && dial->said[i].branch == branch)
			return dial->said[i].desc;
	}

	return NULL;
}

static void remember(struct dial *dial, const struct leg *leg, uint32_t branch, struct sdesc *desc)
{
	for (size_t i = 0; i < dial->n_said; i++) {
		if (dial->said[i].leg == leg && dial->said[i].branch == branch) {
			mem_deref(dial->said[i].desc);
			dial->said[i].desc = mem_ref(desc);
			return;
		}
	}
	if (dial->n_said == SAID_MAX)
		return;
	dial->said[dial->n_said].leg = leg;
	dial->said[dial->n_said].branch = branch;
	dial->said[dial->n_said++].desc = mem_ref(desc);
}

static void forget_said(struct dial *dial)
{
	while (dial->n_said)
		mem_deref(dial->said[--dial->n_said].desc);
}

/*
 * What the callee says, or has said: a phone that answered our offer in a reliable 183 leaves it out
 * of its 200 (RFC 3262 section 5, RFC 6337 section 3.1.1).
 */
static int description_of(struct sdesc **ret, const struct dial *dial, const struct call_event *event)
{
	struct sdesc *said;

	if (event->sdp)
		return sdesc_parse(ret, event->sdp, event->sdp_len);
	said = said_by(dial, event->leg, event->branch);
	if (!said)
		return -EBADMSG;

	*ret = mem_ref(said);
	return 0;
}

/* The same lines are on: what the caller was told before still holds. */
static bool same_lines(const struct sdesc *a, const struct sdesc *b)
{
	if (a->n_media != b->n_media)
		return false;
	for (size_t i = 0; i < a->n_media; i++) {
		if (a->media[i].kind != b->media[i].kind || !a->media[i].port != !b->media[i].port)
			return false;
	}

	return true;
}

/*
 * The answer to the caller's offer. One that was given in a provisional response stays (RFC 3261
 * section 13.2.1): another phone's codecs are transcoded to it.
 */
static const char *answer_text(struct call *call, const struct leg *leg, const struct sdesc *desc)
{
	struct leg *a = call->a;
	struct sdesc *answer = NULL;
	const char *text;

	if (a->state == LEG_UP) /* a service has answered: all that is said */
		return "";
	if (leg_media_answer(&answer, a, a->remote, leg, desc))
		return NULL;

	text = leg_media_accept(a, a->remote,
				a->local_desc && !a->direct && same_lines(answer, a->local_desc) ?
					a->local_desc :
					answer);
	mem_deref(answer);

	return text;
}

/*
 * The caller made no offer: it gets ours, out of what the callee has chosen. Its answer comes in the
 * PRACK or the ACK. Waits for ports.
 */
static const char *offer_text(struct call *call, struct leg *leg, const struct sdesc *desc)
{
	struct leg *a = call->a;
	struct sdesc *offer = NULL;
	const char *text = NULL;

	if (a->state == LEG_UP)
		return "";
	if (a->local_desc) /* offered in a provisional response */
		return leg_media_print_offer(a, a->local_desc);
	if (leg_media_offer(&offer, NULL, a, leg, desc))
		return NULL;

	if (!leg_media_open(a, offer) &&
	    !call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS))
		text = leg_media_print_offer(a, offer);
	mem_deref(offer);

	return text;
}

/* Forwards ring beside each other some directly, some through the PBX: the caller's side is as the one's that
 * it hears. May wait for ports. */
static int stand_between(struct call *call, const struct leg *leg)
{
	struct leg *a = call->a;
	int err;

	if (a->direct == leg->direct || a->state == LEG_UP)
		return 0;

	a->direct = leg->direct;
	if (a->direct) {
		leg_media_close(a);
		return 0;
	}
	err = a->remote ? leg_media_open(a, a->remote) : 0;
	return err ? err : call_wait_streams(call, clk_mono_ms() + STREAMS_WAIT_MS);
}

/* The callee's description reaches the caller's side; returns the text for the caller, or NULL. */
static const char *relay_description(struct call *call, struct leg *leg, struct sdesc *desc)
{
	struct leg *a = call->a;
	const char *text;

	if (leg_secure_check(leg, desc) || stand_between(call, leg))
		return NULL;
	leg_media_remote(leg, desc);
	if (a->remote && !a->we_offered) {
		const struct neg_lines lines = leg->lines;

		text = answer_text(call, leg, desc);
		leg_media_pair(leg, a, &lines);
	} else {
		text = offer_text(call, leg, desc);
		leg_media_match(a, leg);
	}
	if (text)
		leg_media_bridge(call->a, leg);

	return text;
}

static bool may_hear_early(const struct dial *dial, const struct call_event *event)
{
	const struct leg *a = dial->call->a;

	if (dial->early)
		return dial->early == event->leg && dial->early_branch == event->branch;
	if (dial->call->a->state == LEG_UP)
		return true;

	/* An offer needs a reliable response (RFC 3262 section 5). */
	return a->remote || inv_is_reliable(a->inv);
}

static void on_progress(struct dial *dial, const struct call_event *event)
{
	struct call *call = dial->call;
	struct leg *leg = event->leg;
	struct sdesc *desc = NULL;
	const char *text = NULL;

	leg->state = LEG_RINGING;
	leg->has_rung = true;
	dial->has_rung = true;

	if (event->sdp && !sdesc_parse(&desc, event->sdp, event->sdp_len))
		remember(dial, leg, event->branch, desc);
	/* Who speaks first is heard; others wait until they answer. */
	if (desc && may_hear_early(dial, event))
		text = relay_description(call, leg, desc);
	mem_deref(desc);

	if (text) {
		dial->early = leg;
		dial->early_branch = event->branch;
	}
	if (call->a->state == LEG_UP || !call->a->inv)
		return; /* it hears the early media already; or it has gone meanwhile */
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
	const struct dial_identity identity = call_shown_caller(dial->call);

	if (!leg_secure_fall_back(leg, scode))
		return false;

	leg->state = LEG_NEW;
	return !dial_invite(leg, &dial->targets[leg->target], &identity);
}

/* The one that was heard has gone: the caller hears the next that had something to say. */
static void hear_another(struct dial *dial)
{
	dial->early = NULL;
	for (size_t i = 0; i < dial->n_said && !dial->early; i++) {
		struct leg *leg = NULL;
		const char *text;

		for (struct le *le = dial->call->legs.head; le; le = le->next) {
			if (le->data == dial->said[i].leg)
				leg = le->data;
		}
		text = leg ? relay_description(dial->call, leg, dial->said[i].desc) : NULL;
		if (!text)
			continue;
		dial->early = leg;
		dial->early_branch = dial->said[i].branch;
		if (*text && dial->call->a->inv)
			(void)inv_progress(dial->call->a->inv, 183, "Session Progress", text, NULL);
	}
}

/* Whose phone this is. */
static const struct snap_extension *callee_of(const struct dial *dial, size_t target)
{
	const struct snap_extension *callee = dial->opts->callee;

	for (size_t i = 0; i < dial->n_beside && dial->beside[i].first <= target; i++)
		callee = dial->beside[i].callee;
	return callee;
}

static bool is_called(const struct dial *dial, const struct snap_extension *callee)
{
	bool found = callee == dial->opts->callee;

	for (size_t i = 0; i < dial->n_beside; i++)
		found = found || dial->beside[i].callee == callee;
	return found;
}

static int add_targets(struct dial *dial, const struct dial_beside *more)
{
	const size_t n = dial->n_targets;
	struct dial_target *all = mem_zalloc((n + more->n) * sizeof(*all), NULL);

	if (!all)
		return -ENOMEM;
	memcpy(all, dial->targets, n * sizeof(*all));
	memcpy(all + n, more->targets, more->n * sizeof(*all));
	mem_deref(dial->all);
	dial->targets = dial->all = all;
	dial->n_targets = n + more->n;
	dial->beside[dial->n_beside].first = n;
	dial->beside[dial->n_beside++].callee = more->callee;
	return 0;
}

static void end_from(struct call *call, size_t first)
{
	for (struct le *le = call->legs.head; le;) {
		struct leg *leg = le->data;

		le = le->next;
		if (leg != call->a && leg->target >= first)
			leg_end(leg, 487, NULL, 0);
	}
}

/*
 * The leg, which has ended, sends its call on while others ring: who it names rings beside them. False: it
 * has to wait for them.
 */
static bool ring_beside(struct dial *dial, const struct leg *leg, const char *number)
{
	const struct snap_extension *by = callee_of(dial, leg->target);
	const size_t first = dial->n_targets;
	struct call *call = dial->call;
	struct dial_beside more = { .n = 0 };
	int err;

	if (!dial->n_alive || !dial->opts->beside_h || !by || dial->n_beside == BESIDE_MAX ||
	    !call->a || dial->opts->beside_h(&more, call, number))
		return false;

	err = is_called(dial, more.callee) ? -EALREADY : add_targets(dial, &more);
	mem_deref(more.targets);
	if (err)
		return false;

	log_info("call.redirected", "a phone sends its call elsewhere, others ring on",
		 kv_text("linkedid", call->linkedid), kv_text("to", number));
	call_diverted(call, by->number, by->display_name, leg->has_rung);
	err = set_out(dial, first, more.callee);
	if (err)
		end_from(call, first);
	return true;
}

static void note_redirect(struct dial *dial, const struct call_event *event)
{
	str_ncpy(dial->redirect, event->body, sizeof(dial->redirect));
	dial->redirect_after_ringing = event->leg->has_rung;
}

static void on_failure(struct dial *dial, const struct call_event *event)
{
	const bool was_heard = dial->early == event->leg;

	if (ask_again(dial, event->leg, event->scode))
		return;
	if (!event->body)
		note_failure(dial, event->scode, event->q850, event->leg->q850_said);
	dial->n_alive--;
	leg_end(event->leg, 0, NULL, 0);
	if (event->body && !dial->redirect[0] && !ring_beside(dial, event->leg, event->body))
		note_redirect(dial, event);
	if (was_heard)
		hear_another(dial);
}

/* Phones read in SIP's own cause that somebody else has answered, and list no missed call. */
static void cancel_all_but(struct dial *dial, const struct leg *keep, uint8_t q850)
{
	struct call *call = dial->call;

	for (struct le *le = call->legs.head; le;) {
		struct leg *leg = le->data;

		le = le->next;
		if (leg != call->a && leg != keep)
			leg_end(leg, keep ? 200 : 487, keep ? "Call completed elsewhere" : NULL, q850);
	}
}

/* ------------------------------------------------------------------ the answer */

static int answer_caller(struct dial *dial, struct leg *leg, const struct call_event *event)
{
	struct call *call = dial->call;
	struct sdesc *desc = NULL;
	const char *text;
	int err;

	err = description_of(&desc, dial, event);
	if (err)
		return err;

	text = relay_description(call, leg, desc);
	mem_deref(desc);
	if (call->a->state == LEG_UP) /* answered before by a service: nothing more to tell */
		return text ? 0 : -ENOTSUP;

	err = text ? inv_answer(call->a->inv, text, NULL) : -ENOTSUP;
	if (!err)
		call->a->answer_due = !call->a->remote;
	return err;
}

/* The caller answers, in a PRACK, the offer of our 183. */
static void on_caller_answer(struct dial *dial, const struct call_event *event)
{
	struct leg *a = dial->call->a;

	if (event->leg != a)
		return;

	call_take_answer(dial->call, event);
	if (dial->early && a->remote)
		leg_media_bridge(a, dial->early);
}

static int on_answered(struct dial *dial, const struct call_event *event)
{
	struct call *call = dial->call;
	struct leg *leg = event->leg;
	const struct snap_extension *callee = callee_of(dial, leg->target);
	struct call_step *step;
	int err;

	leg->state = LEG_UP;
	cancel_all_but(dial, leg, Q850_ELSEWHERE);
	dial->n_alive = 0;

	err = answer_caller(dial, leg, event);
	if (err) {
		log_warn("call.answer_failed", "an answer could not be handed on",
			 kv_text("linkedid", call->linkedid), kv_err(err));
		leg_end(leg, 488, NULL, 0);
		note_failure(dial, 488, 0, false);
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
	if (callee != dial->opts->callee) /* the way it went */
		call_step_enter(call, "local_exten", callee->number, callee->display_name,
				callee->number);
	step = list_ledata(list_tail(&call->steps));
	if (step) {
		step->answer_us = call->answer_us;
		str_ncpy(step->answered_by, call->answered_by, sizeof(step->answered_by));
	}

	call->result = (struct result){ .outcome = OUTCOME_ANSWERED };
	call_record_save(call);
	call_set_state(call, CALL_ANSWERED);
	return 0;
}

/*
 * D-069: busy before no answer before unavailable; a lone technical refusal speaks for itself. The cause
 * that a phone gave in a Reason header is the caller's too (RFC 3326).
 */
static void conclude(const struct dial *dial, bool timed_out, struct result *result)
{
	*result = (struct result){ .outcome = OUTCOME_UNAVAILABLE };

	if (dial->winner) {
		result->outcome = OUTCOME_ANSWERED;
	} else if (dial->redirect[0] && !dial->is_over) {
		result->outcome = OUTCOME_REDIRECTED;
		str_ncpy(result->redirect, dial->redirect, sizeof(result->redirect));
		result->after_ringing = dial->redirect_after_ringing;
	} else if (timed_out) {
		if (dial->has_rung)
			result->outcome = OUTCOME_NO_ANSWER;
	} else if (dial->n_busy) {
		result->outcome = OUTCOME_BUSY;
		result->q850 = dial->said_q850[OUTCOME_BUSY];
	} else if (dial->n_failed) {
		*result = (struct result){ .outcome = OUTCOME_FAILED,
					   .scode = dial->failed_scode,
					   .q850 = dial->failed_q850 };
	} else {
		if (dial->has_rung)
			result->outcome = OUTCOME_NO_ANSWER;
		result->q850 = dial->said_q850[OUTCOME_UNAVAILABLE];
	}
}

static void simulate_ringing(struct dial *dial)
{
	struct call *call = dial->call;

	dial->has_rung = true;
	if (call->state == CALL_NEW && call->a->inv)
		(void)inv_progress(call->a->inv, 180, "Ringing", NULL, NULL);
	call_set_state(call, CALL_RINGING);
}

int call_dial(struct call *call, const struct dial_target *targets, size_t n,
	      const struct dial_opts *opts, struct result *result)
{
	uint64_t deadline_ms = clk_mono_ms() + opts->ring_ms;
	struct dial dial = { .call = call, .opts = opts, .targets = targets, .n_targets = n };
	struct call_event *event;
	int err;

	err = set_out(&dial, 0, opts->callee);
	if (err && err != -EHANGUP) {
		cancel_all_but(&dial, NULL, 0);
		*result = (struct result){ .outcome = OUTCOME_FAILED, .scode = 503, .q850 = 41 };
		return 0;
	}

	if (!err && opts->simulate)
		simulate_ringing(&dial);

	while (!err && (dial.n_alive || opts->simulate) && !dial.winner && !dial.is_over) {
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
		else if (event->type == CALL_EV_REANSWER)
			on_caller_answer(&dial, event);
		else if (event->type == CALL_EV_MEDIA_LOST)
			dial.is_over = true; /* the caller hears "unavailable" */

		mem_deref(event);
	}

	forget_said(&dial);
	mem_deref(dial.all);
	if (!dial.winner)
		cancel_all_but(&dial, NULL, err == -ETIMEDOUT ? 19 : 0);
	if (err && err != -ETIMEDOUT)
		return err;

	conclude(&dial, err == -ETIMEDOUT, result);
	return 0;
}
