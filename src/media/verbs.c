/* SPDX-License-Identifier: Apache-2.0 */
#include "media/listen.h"
#include "media/play.h"
#include "media/record.h"
#include "media/relay.h"
#include "media/room.h"
#include "media/secure.h"

/* Messages that control.c and leases.c hand to a stream's thread as they are. */
relay_verb_h *const relay_verbs[MP_TYPES] = {
	[MP_LISTEN] = listen_on_listen,
	[MP_RECORD] = record_on_record,
	[MP_RECORD_SET] = record_on_set,
	[MP_ROOM_LEAVE] = room_on_leave,
	[MP_SECURE] = secure_on_secure,
	[MP_ICE] = secure_on_ice,
	[MP_CANDIDATE] = secure_on_candidate,
	[MP_PLAY] = play_on_play,
	[MP_PLAY_STOP] = play_on_stop,
};
