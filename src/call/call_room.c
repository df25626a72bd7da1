/* SPDX-License-Identifier: Apache-2.0 */
#include "call/call_room.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "call/call.h"
#include "call/engine.h"
#include "call/leg.h"
#include "media/client.h"
#include "snapshot/snapshot.h"

#define ROOM_HZ 16000 /* wideband; what the phones have more of is not speech */

struct call_room {
	struct le le;                /* engine->rooms */
	struct call *call;
	struct media_stream *stream;
	struct list guests;
};

struct room_guest {
	struct le le;                /* room->guests */
	struct call_room *room;
	struct leg *leg;             /* whose `guest` this is */
	enum room_role role;
	struct leg *to;              /* of the room's call; compared only */
};

static const char *const role_names[ROOM_ROLES] = {
	[ROOM_SPY] = "spy", [ROOM_WHISPER] = "whisper", [ROOM_BARGE] = "barge",
};

int room_role_of(enum room_role *ret, const char *name)
{
	for (size_t i = 0; i < ROOM_ROLES; i++) {
		if (!strcmp(name, role_names[i])) {
			*ret = (enum room_role)i;
			return 0;
		}
	}

	return -EINVAL;
}

static void room_destructor(void *arg)
{
	struct call_room *room = arg;

	list_unlink(&room->le);
	mem_deref(room->stream);
}

/* The media process answers for the room; its end ends all streams, of which the legs hear. */
static void room_event(const struct media_event *event, void *arg)
{
	struct call_room *room = arg;

	if (event->type == MEDIA_EV_FAILED)
		log_error("call.room", "the media process could not open a room",
			  kv_text("linkedid", room->call->linkedid), kv_err(event->err));
}

static int room_make(struct call_room **ret, struct call *call)
{
	struct call_room *room = mem_zalloc(sizeof(*room), room_destructor);
	int err;

	if (!room)
		return -ENOMEM;

	room->call = call;
	err = media_room_open(&room->stream, call->engine->o.media, ROOM_HZ, room_event, room);
	if (err) {
		mem_deref(room);
		return err;
	}

	list_append(&call->engine->rooms, &room->le, room);
	call->room = room;
	*ret = room;
	return 0;
}

static void join(struct call_room *room, const struct leg *leg, const struct media_member *member)
{
	struct media_stream *sound = leg ? leg_sound(leg) : NULL;

	if (sound)
		media_room_join(sound, room->stream, member);
}

static void join_parties(struct call_room *room)
{
	join(room, room->call->a, &(struct media_member){ 0 });
	join(room, room->call->b, &(struct media_member){ 0 });
}

static void join_guest(struct room_guest *guest)
{
	struct media_member member = { 0 };

	if (guest->role == ROOM_SPY)
		member = (struct media_member){ .muted = true, .spy = true };
	if (guest->role == ROOM_WHISPER)
		member.whisper_to = guest->to ? leg_sound(guest->to) : NULL;
	/* Nobody to whisper to: silent rather than heard by the wrong one. */
	if (guest->role == ROOM_WHISPER && !member.whisper_to)
		member.muted = true;
	join(guest->room, guest->leg, &member);
}

bool room_holds(struct call *call)
{
	struct call_room *room = call->room;

	if (!room)
		return false;

	/* Streams may be new ones: who whispers to them has to know. */
	join_parties(room);
	for (struct le *le = room->guests.head; le; le = le->next)
		join_guest(le->data);

	return true;
}

/* Two talk, and their sound passes us. */
static int check(const struct call *call)
{
	if (!call->a || !call->b || call->a->state != LEG_UP || call->b->state != LEG_UP)
		return -ENOTCONN;
	if (call->a->direct || call->b->direct)
		return -ENOTSUP;

	return leg_sound(call->a) && leg_sound(call->b) ? 0 : -ENOTCONN;
}

static void guest_destructor(void *arg)
{
	struct room_guest *guest = arg;

	list_unlink(&guest->le);
}

int room_enter(struct call *call, struct leg *leg, enum room_role role, struct leg *to)
{
	struct call_room *room = call->room;
	struct room_guest *guest = leg->guest;
	int err;

	err = check(call);
	if (err)
		return err;
	if (!leg_sound(leg) || leg->call == call)
		return -ENOTCONN;

	if (guest && guest->room != room) {
		room_leave_guest(leg);
		guest = NULL;
	}
	if (!guest) {
		guest = mem_zalloc(sizeof(*guest), guest_destructor);
		if (!guest)
			return -ENOMEM;
	}
	if (!room) {
		err = room_make(&room, call);
		if (err) {
			mem_deref(guest);
			return err;
		}
		join_parties(room);
	}

	guest->role = role;
	guest->to = to ? to : call->b;
	if (!leg->guest) {
		guest->room = room;
		guest->leg = leg;
		leg->guest = guest;
		list_append(&room->guests, &guest->le, guest);
	}
	join_guest(guest);
	return 0;
}

/* The two go on alone. */
static void room_undo(struct call_room *room)
{
	struct call *call = room->call;

	call->room = NULL;
	mem_deref(room);
	if (call->a && call->b)
		leg_media_bridge(call->a, call->b);
}

void room_leave_guest(struct leg *leg)
{
	struct room_guest *guest = leg->guest;
	struct media_stream *sound = leg_sound(leg);
	struct call_room *room;

	if (!guest)
		return;

	room = guest->room;
	leg->guest = mem_deref(guest);
	if (sound)
		media_room_leave(sound);
	if (list_isempty(&room->guests))
		room_undo(room);
}

void room_over(struct call *call)
{
	struct call_room *room = call->room;

	if (!room)
		return;

	call->room = NULL;
	while (room->guests.head) {
		struct room_guest *guest = room->guests.head->data;
		struct leg *leg = guest->leg;

		leg->guest = mem_deref(guest);
		if (leg->call)
			call_post(leg->call, CALL_EV_ROOM_OVER, leg, 0, 0, 0, NULL, NULL, NULL);
	}
	mem_deref(room);
}

/* ------------------------------------------------------------------ list */

static const char *number_of(const struct leg *leg)
{
	const struct snap_account *account = leg ? leg->account : NULL;

	return !account ? "" : account->extension ? account->extension->number : account->username;
}

json_t *room_list(const struct engine *engine)
{
	json_t *items = json_array();

	for (struct le *le = engine->rooms.head; le; le = le->next) {
		const struct call_room *room = le->data;
		json_t *members = json_array();

		(void)json_array_append_new(members, json_pack("{s:s, s:s}", "extension",
							       number_of(room->call->a), "role", "caller"));
		(void)json_array_append_new(members, json_pack("{s:s, s:s}", "extension",
							       number_of(room->call->b), "role", "called"));
		for (struct le *g = room->guests.head; g; g = g->next) {
			const struct room_guest *guest = g->data;

			(void)json_array_append_new(members,
						    json_pack("{s:s, s:s}", "extension",
							      number_of(guest->leg), "role",
							      role_names[guest->role]));
		}
		(void)json_array_append_new(items, json_pack("{s:s, s:o}", "linkedid",
							     room->call->linkedid, "members", members));
	}

	return items;
}
