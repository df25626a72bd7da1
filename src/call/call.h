/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_CALL_H
#define AOIDE_CALL_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"
#include "call/outcome.h"

/*
 * A call: the parties with one linkedid, the fiber that routes it, the one CDR it leaves. Services
 * run in its fiber and use the verbs below. Every wait may return -EHANGUP: the caller is gone, and
 * from then on every wait fails (style guide, section 6). Call thread only.
 */
struct call;
struct engine;
struct leg;
struct fiber;
struct sip_msg;
struct snap_account;
struct snap_extension;
struct snap_tenant;

#define CALL_MAX_STEPS  20 /* hops of the routing loop (TEL-01) */
#define CALL_MAX_EVENTS 64 /* waiting for the fiber; a peer that floods is hung up */
#define CALL_TEXT       80
#define CALL_MAX_TRACED 16 /* dialogs of a call whose Call-IDs are kept for its trace */

enum call_state { CALL_NEW, CALL_RINGING, CALL_ANSWERED, CALL_HELD, CALL_ENDED };

enum call_event_type {
	CALL_EV_PROGRESS,
	CALL_EV_ANSWERED,
	CALL_EV_OFFER,
	CALL_EV_REANSWER,
	CALL_EV_ACK,        /* has been dealt with (call_take_answer()) */
	CALL_EV_INFO,
	CALL_EV_ENDED,      /* a leg other than the caller's ended */
	CALL_EV_MEDIA_LOST, /* the media process died */
	CALL_EV_DIGIT,      /* a key of the leg's phone: digit, duration_ms; once, whatever the way it
			       came (call/leg_dtmf.c) */
	CALL_EV_PLAYED,     /* a sequence of the leg is over: id, reason, digit, span_ms, err */
	CALL_EV_RECORDED,   /* a recording of the leg is over: the same, and bytes */
	CALL_EV_ROOM_OVER,  /* the conversation that the leg was a guest of is over (call_room.h) */
	CALL_EV_FAX,        /* the tone of a fax machine is heard from the leg, while a service has it:
			       is_called tells one that answers (CED) from one that calls (CNG) */
	CALL_EV_PLAY,       /* an operator plays to the leg; call_next() deals with it */
	CALL_EV_PLAY_OVER,  /* the same, over what is heard anyway */
};

struct call_event {
	struct le le;
	enum call_event_type type;
	struct leg *leg;  /* a reference */
	uint16_t scode;
	uint8_t q850;
	uint32_t branch;
	char *sdp;        /* inside the same block; NULL none */
	size_t sdp_len;
	char *ctype, *body; /* ENDED: body is the number that a 302 sends the call to */
	char digit;       /* 0-9 * # A-D */
	uint32_t duration_ms;
	bool is_called;
	bool by_info;     /* the media process has not seen it, so neither has the partner */
	uint32_t id;      /* PLAYED, RECORDED: as given to media_play(), media_record() */
	uint8_t reason;   /* enum media_end */
	int err;
	uint32_t span_ms;
	uint64_t bytes;
};

/* One hop of the call's path (PLT-60). */
struct call_step {
	struct le le;
	char destination_type[16], destination_id[24];
	char destination_name[CALL_TEXT], destination_num[CALL_TEXT], answered_by[CALL_TEXT];
	int64_t enter_us, answer_us, exit_us;
	char exit_cause[24];
};

#define CALL_MAX_DIVERSIONS 3 /* of the last forwards, in INVITEs */

/* A phone that was called has sent the call on (RFC 5806). */
struct call_diversion {
	char number[CALL_TEXT], name[CALL_TEXT];
	bool after_ringing;
};

struct call_quality;
struct call_room;

/* Runs in the fiber of a call that the PBX makes, in the place of the routing loop. */
typedef void(call_run_h)(struct call *call, void *arg);

struct call {
	struct le le;                   /* engine->calls */
	struct le he;                   /* engine->by_linkedid */
	struct engine *engine;
	struct fiber *fiber;
	const struct snap_tenant *tenant; /* held until the end */
	const struct snap_extension *caller_ext;
	struct leg *a;                  /* the caller's leg; NULL once it has ended */
	struct leg *b;                  /* who it talks to */
	struct list legs;
	struct list events;
	struct list steps;
	uint32_t n_events, n_steps;
	struct call_diversion diversions[CALL_MAX_DIVERSIONS]; /* the oldest first */
	size_t n_diversions;
	uint32_t n_recordings;          /* begun so far */
	struct call_room *room;         /* others join its two; NULL: a bridge */
	call_run_h *run_h;              /* NULL: it came in, and is routed */
	void *run_arg;
	uint32_t n_plays;               /* sequences begun: the newest one's id */
	enum call_state state;
	uint64_t id;                    /* in the journal */
	char linkedid[40];
	char account_name[CALL_TEXT];   /* the caller's SIP account */
	char called[CALL_TEXT];         /* as dialled */
	char called_name[CALL_TEXT], answered_by[CALL_TEXT];
	char source[64];                /* IP:port of the caller */
	struct {
		char number[CALL_TEXT], name[2 * CALL_TEXT];
	} shown;                        /* to who is called (PLT-38); empty: the caller's own */
	int64_t start_us, answer_us, end_us;
	struct call_quality *quality;   /* how its legs sounded; NULL until one has closed */
	struct result result;
	bool is_ended_by_admin;
	char *callids[CALL_MAX_TRACED]; /* of all its dialogs, ended ones too */
	size_t n_callids;
};

/* Takes the INVITE over (100 Trying) and starts the fiber. */
int call_incoming(struct engine *engine, const struct sip_msg *msg,
		  const struct snap_account *account);

/*
 * A call that the PBX makes, for an extension: run_h runs in its fiber, usually beginning with
 * call_ring_caller(). called: what it is about, for lists and its CDR. Returns 0, -EUNAVAILABLE, -ENOMEM.
 */
int call_originate(struct engine *engine, const struct snap_tenant *tenant,
		   const struct snap_extension *extension, const char *called, call_run_h *run_h,
		   void *arg);

/* For call.c and originate.c: a new call, and its start; after an error deref it. */
int call_alloc(struct call **ret, struct engine *engine, const struct snap_tenant *tenant);
int call_begin(struct call *call);

/* Asks the fiber to end the call, whatever it does. */
void call_hangup(struct call *call);

/* ------------------------------------------------------------------ for legs */

/* Queues an event for the fiber; takes a reference of the leg. Texts are copied. */
struct pl;
void call_post(struct call *call, enum call_event_type type, struct leg *leg, uint16_t scode,
	       uint8_t q850, uint32_t branch, const struct pl *sdp, const struct pl *ctype,
	       const struct pl *body);
/* A request within the call (re-INVITE, UPDATE) says who the leg's party is: if that is another one than before,
 * and is accepted at all (PLT-38), the partner's phone is told by UPDATE (D-091). */
void call_connected(struct call *call, struct leg *leg, const struct sip_msg *msg);
/* A key of the leg's phone was pressed: CALL_EV_DIGIT. Whoever calls this sees to "once". */
void call_post_digit(struct call *call, struct leg *leg, char digit, uint32_t duration_ms,
		     bool by_info);
void call_post_fax(struct call *call, struct leg *leg, bool is_called);
/* PLAYED and RECORDED of a stream of the leg. */
struct media_event;
void call_post_media(struct call *call, struct leg *leg, const struct media_event *event);
/* The caller's leg has ended: hang-up is sticky from now on. */
void call_caller_gone(struct call *call);
void call_wake(struct call *call);
/* The leg has its dialog: its Call-ID belongs to the call's trace. */
void call_note_dialog(struct call *call, const struct leg *leg);

/* ------------------------------------------------------------------ waits, in the fiber */

/*
 * The next event; mem_deref() it. Returns 0, -ETIMEDOUT, -EHANGUP.
 */
int call_next(struct call *call, uint64_t deadline_ms, struct call_event **ret);
/* An event that is not for who has taken it: the next call_next() gives it again. */
void call_put_back(struct call *call, struct call_event *event);

/* Until every stream of every leg has its port. -ETIMEDOUT, -EHANGUP, -EUNAVAILABLE. */
int call_wait_streams(struct call *call, uint64_t deadline_ms);

/* ------------------------------------------------------------------ verbs, in the fiber */

struct dial_target {
	const struct snap_account *account;
	char uri[300];
	char path[300];
	struct sa dst;
	int tp;
};

struct dial_identity { /* who calls, as the phone shows it */
	const char *number, *name;
};
/* Sends the INVITE with leg->offer to a phone. Returns 0 or why not. */
int dial_invite(struct leg *leg, const struct dial_target *target, const struct dial_identity *identity);

/* Prints the header line that asserts who is on the other side, in the form of an enum snap_rpid; none when that
 * is off. is_called: that one was called by leg's phone. */
struct re_printf;
int dial_print_identity(struct re_printf *pf, const struct leg *leg, const struct dial_identity *identity,
			uint8_t mode, bool is_called);

/*
 * In the fiber of call_originate(): rings, and who answers first becomes the caller (call->a).
 *
 * Returns 0, -ENOANSWER (nobody took it in time, or no phone could be rung), -EHANGUP (the call was
 * ended meanwhile), -EUNAVAILABLE.
 */
int call_ring_caller(struct call *call, const struct dial_target *targets, size_t n,
		     const struct dial_identity *identity, uint32_t ring_ms);

struct dial_beside { /* where a phone sends its call */
	struct dial_target *targets; /* to be mem_deref()ed */
	size_t n;
	const struct snap_extension *callee;
};

struct dial_opts {
	uint32_t ring_ms;
	const struct snap_extension *callee; /* legs count as its calls; NULL none */
	/* The phones of a number that a 302 names, to ring beside the others. NULL, or an error: it is
	 * followed when none of the others has taken the call. */
	int (*beside_h)(struct dial_beside *ret, const struct call *call, const char *number);
	bool simulate; /* the caller hears it ring for ring_ms though there are no targets (D-090) */
};

/*
 * Rings all targets together and takes the first that answers; the caller is answered with it and
 * both are bridged (call->b). Progress and early media reach the caller (D-069).
 *
 * A phone that answers 302 leaves the others ringing, and the phones that it names ring beside them. What
 * cannot ring beside them is the result (REDIRECTED) when none of them takes the call.
 *
 * Returns 0 with result filled (ANSWERED or why not), -EHANGUP when the caller gave up.
 */
int call_dial(struct call *call, const struct dial_target *targets, size_t n,
	      const struct dial_opts *opts, struct result *result);

/* Lets a and b talk until one ends: hold with music (TEL-03), new offers, digits. Returns 0 when b
 * ended, -EHANGUP when the caller did. */
int call_bridge(struct call *call);

/*
 * The service answers the caller itself, or lets it hear something before (183, early media). Both may be
 * repeated, and answering may follow. -EHANGUP, -ENOTSUP (no codec in common; early media without an
 * offer), -ETIMEDOUT, -EUNAVAILABLE (no port).
 */
int call_answer(struct call *call);
int call_progress(struct call *call);
/*
 * A phone of this extension has sent the call elsewhere: phones that are called from now on read it (Diversion).
 * after_ringing: not at once.
 */
void call_diverted(struct call *call, const char *number, const char *name, bool after_ringing);
/* The caller is told that its call goes elsewhere (181), if it still waits. */
void call_forwarded(struct call *call);

/* The caller hears itself, from now on (TEL-53). */
int call_echo(struct call *call);

/* Answers an offer of either leg (re-INVITE, UPDATE) while it rings or talks; may ask the other
 * leg. Returns 0 also when it was refused, -EHANGUP. */
int call_offer(struct call *call, struct leg *leg, const struct call_event *event);
/*
 * The answer to an offer of ours, in an ACK (call_next() gives it to this) or a PRACK. A caller that leaves
 * the offer which its call began with without an answer would hear nothing and be heard by nobody: its call
 * is ended. A later offer without an answer changes nothing.
 */
void call_take_answer(struct call *call, const struct call_event *event);

/*
 * Path of the call (PLT-60): the step that was open is closed, the next begins. id: what identifies the
 * destination among those of its type, a service's name, an extension's number; name: NULL when there is
 * no other than the id.
 */
void call_step_enter(struct call *call, const char *type, const char *id, const char *name,
		     const char *number);

void call_set_state(struct call *call, enum call_state state);
const char *call_state_name(enum call_state state);
const char *call_caller_number(const struct call *call);
const char *call_caller_name(const struct call *call);
/* Who calls as phones shall show it, which a phone may assert itself (PLT-38); rights and records are
 * the caller's own. */
struct dial_identity call_shown_caller(const struct call *call);

#endif
