/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_CALL_ROOM_H
#define AOIDE_CALL_CALL_ROOM_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

/*
 * A conversation of two that others join: the bridge becomes a room (a mixer of the media process)
 * while a guest is in it, and a bridge again afterwards. Guests are legs of other calls; they hear and
 * are heard by their role. Call thread only.
 */
struct call;
struct engine;
struct leg;

enum room_role {
	ROOM_SPY,     /* hears both, is heard by nobody */
	ROOM_WHISPER, /* is heard by one of the two */
	ROOM_BARGE,   /* is heard by both */
	ROOM_ROLES
};
int room_role_of(enum room_role *ret, const char *name); /* -EINVAL */

/*
 * guest joins the conversation of call, or takes another role in it. to: who hears a whisper (a leg of
 * call; NULL: the one that was called).
 *
 * Returns 0, -ENOTCONN (nobody talks there, or a side has no sound), -ENOTSUP (direct media), -ENOMEM,
 * -EUNAVAILABLE.
 */
int room_enter(struct call *call, struct leg *guest, enum room_role role, struct leg *to);
/* The last guest turns the room into a bridge again. Nothing happens to who is in no room. */
void room_leave_guest(struct leg *guest);

/* The call is over: its guests are told (CALL_EV_ROOM_OVER). Nothing happens without a room. */
void room_over(struct call *call);

/* The call talks in a room: its two legs are (again) members of it. False: bridge them. */
bool room_holds(struct call *call);

json_t *room_list(const struct engine *engine); /* a new reference */

#endif
