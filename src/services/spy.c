/* SPDX-License-Identifier: Apache-2.0 */
#include "services/spy.h"

#include <string.h>

#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "call/call.h"
#include "call/call_play.h"
#include "call/engine.h"
#include "call/leg.h"
#include "services/extension.h"
#include "snapshot/snapshot.h"

#define RING_MS 30000

/* D-119: what the keys of the supervisor's phone do. */
static const struct {
	char key;
	enum room_role role;
} keys[] = {
	{ '4', ROOM_SPY },
	{ '5', ROOM_WHISPER },
	{ '6', ROOM_BARGE },
};

struct spy { /* what the fiber needs; the target may be gone when the phone is answered */
	char linkedid[40];
	enum room_role role;
	bool to_caller;
	bool is_told; /* who is listened to knows */
};

/* PLT-32: who is listened to is told so, over the conversation. Without it the supervisor listens all the same. */
static void tell(struct spy *spy, const struct call *call, struct call *target)
{
	const struct snap *snap = call->engine->o.snap;
	const struct leg *leg = spy->to_caller ? target->a : target->b;
	const struct snap_extension *who = leg->account ? leg->account->extension : NULL;
	const struct snap_audio *audio = call->tenant->spy_audio;
	char path[220], sound[232];
	int err;

	if (!audio || spy->is_told)
		return;
	spy->is_told = true;
	err = snap_audio_path(path, sizeof(path), snap, audio,
			      who && who->language ? who->language : target->tenant->language);
	if (!err && re_snprintf(sound, sizeof(sound), "file:%s", path) < 0)
		err = -ENAMETOOLONG;
	if (!err)
		err = call_post_play(target, !spy->to_caller, sound, true);
	if (err)
		log_warn("spy.not_told", "who is listened to cannot be told",
			 kv_text("linkedid", spy->linkedid), kv_text("audio", audio->name), kv_err(err));
}

static int enter(struct spy *spy, struct call *call, enum room_role role)
{
	struct call *target = engine_call_find(call->engine, spy->linkedid);
	int err;

	if (!target)
		return -ENOENT;
	err = room_enter(target, call->a, role, spy->to_caller ? target->a : target->b);
	if (!err && role == ROOM_SPY)
		tell(spy, call, target);
	return err;
}

static int on_key(struct spy *spy, struct call *call, char key)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (keys[i].key == key)
			return enter(spy, call, keys[i].role);
	}

	return 0;
}

/* Until one of the two conversations is over. */
static int stay(struct spy *spy, struct call *call)
{
	struct call_event *event;
	bool is_over = false;
	int err = 0;

	while (!err && !is_over) {
		err = call_next(call, FIBER_FOREVER, &event);
		if (err)
			return err;
		if (event->type == CALL_EV_OFFER)
			err = call_offer(call, event->leg, event);
		else if (event->type == CALL_EV_DIGIT)
			err = on_key(spy, call, event->digit);
		else
			is_over = event->type == CALL_EV_ROOM_OVER ||
				  event->type == CALL_EV_MEDIA_LOST;
		mem_deref(event);
	}

	return err;
}

static void run(struct call *call, void *arg)
{
	struct spy *spy = arg;
	struct dial_target *targets = NULL;
	size_t n = 0;
	struct dial_identity identity = { .number = call->called, .name = call->called_name };
	int err;

	call_step_enter(call, "service", "spy", NULL, call->called);
	err = extension_targets(&targets, &n, call, call->caller_ext);
	if (!err)
		err = call_ring_caller(call, targets, n, &identity, RING_MS);
	targets = mem_deref(targets);
	if (!err)
		err = enter(spy, call, spy->role);
	if (!err)
		err = stay(spy, call);
	if (call->a)
		room_leave_guest(call->a);
	if (err && err != -EHANGUP && err != -ENOANSWER)
		log_warn("spy.ended", "a conversation cannot be listened to",
			 kv_text("linkedid", spy->linkedid), kv_err(err));
	mem_deref(spy);
}

/* Two talk there, and their sound passes us; told to who asks before a phone rings. */
static int check(const struct call *target)
{
	if (!target->a || !target->b || target->state < CALL_ANSWERED)
		return -ENOTCONN;

	return target->a->direct || target->b->direct ? -ENOTSUP : 0;
}

int spy_start(struct engine *engine, struct call *target, const struct spy_opts *opts)
{
	const struct snap_extension *extension =
		snap_extension_find(target->tenant, opts->extension, strlen(opts->extension));
	const struct leg *called = opts->to_caller ? target->a : target->b;
	struct spy *spy;
	int err;

	if (!extension || !extension->enabled)
		return -EINVALID;
	err = check(target);
	if (err)
		return err;

	spy = mem_zalloc(sizeof(*spy), NULL);
	if (!spy)
		return -ENOMEM;
	str_ncpy(spy->linkedid, target->linkedid, sizeof(spy->linkedid));
	spy->role = opts->role;
	spy->to_caller = opts->to_caller;
	err = call_originate(engine, target->tenant, extension,
			     called->account && called->account->extension
				     ? called->account->extension->number
				     : target->called,
			     run, spy);
	if (err)
		mem_deref(spy);
	return err;
}
