/* SPDX-License-Identifier: Apache-2.0 */
#include "media/client_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "media/wire.h"

static void addr_from_sa(struct mp_addr *addr, const struct sa *sa)
{
	if (!sa || !sa_isset(sa, SA_ADDR))
		return;

	addr->port = sa_port(sa);
	if (sa_af(sa) == AF_INET) {
		addr->family = 4;
		memcpy(addr->addr, &sa->u.in.sin_addr, 4);
	} else if (sa_af(sa) == AF_INET6) {
		addr->family = 6;
		addr->scope = sa->u.in6.sin6_scope_id;
		memcpy(addr->addr, &sa->u.in6.sin6_addr, 16);
	}
}

void media_set_remote(struct media_stream *stream, const struct media_remote *remote)
{
	struct mp_remote *msg = client_stream_message(stream, MP_REMOTE);

	if (!msg)
		return;
	addr_from_sa(&msg->rtp, remote->rtp);
	addr_from_sa(&msg->rtcp, remote->rtcp);
	msg->flags = (uint8_t)((remote->rtcp_mux ? MP_REMOTE_MUX : 0) |
			       (remote->symmetric ? MP_REMOTE_SYMMETRIC : 0) |
			       (remote->may_send && !remote->raw ? MP_REMOTE_SEND : 0) |
			       (remote->may_recv && !remote->raw ? MP_REMOTE_RECV : 0));
	if (remote->raw)
		msg->flags |= MP_REMOTE_RAW;
	msg->ptime_ms = remote->ptime_ms;
	msg->dtmf_tx = (uint8_t)remote->dtmf_tx;
	msg->dtmf_pt = remote->dtmf_pt;
	msg->dtmf_pt_in = remote->dtmf_pt_in;
	msg->dtmf_hz = remote->dtmf_hz;
	for (size_t i = 0; i < remote->n_formats && i < MP_MAX_FORMATS; i++) {
		const struct media_format *from = &remote->formats[i];

		msg->formats[msg->n_formats++] = (struct mp_format){
			.codec = (uint8_t)from->codec,
			.pt_out = from->pt_out & 0x7f,
			.pt_in = from->pt_in & 0x7f,
			.flags = (uint8_t)((from->fec ? MP_FORMAT_FEC : 0) |
					   (from->dtx ? MP_FORMAT_DTX : 0)),
			.clock_hz = from->clock_hz,
			.max_hz = from->max_hz,
		};
	}
}

void media_bridge(struct media_stream *a, struct media_stream *b)
{
	struct mp_bridge *msg;

	if (b->gone || b->closed)
		return;
	msg = client_stream_message(a, MP_BRIDGE);
	if (msg)
		msg->other = b->id;
}

void media_unbridge(struct media_stream *stream)
{
	(void)client_stream_message(stream, MP_UNBRIDGE);
}

void media_music_start(struct media_stream *stream, uint32_t moh_class)
{
	struct mp_music *msg = client_stream_message(stream, MP_MUSIC_START);

	if (msg)
		msg->moh_class = moh_class;
}

void media_music_stop(struct media_stream *stream)
{
	(void)client_stream_message(stream, MP_MUSIC_STOP);
}

void media_dtmf_send(struct media_stream *stream, char digit, uint32_t duration_ms)
{
	int event = wire_event_of(digit);
	struct mp_digit *msg = event >= 0 ? client_stream_message(stream, MP_DTMF_SEND) : NULL;

	if (!msg)
		return;
	msg->event = (uint8_t)event;
	msg->duration_ms = duration_ms;
}

void media_listen(struct media_stream *stream, const struct media_listen_opts *opts)
{
	struct mp_listen *msg = client_stream_message(stream, MP_LISTEN);

	if (msg)
		msg->flags = (opts->inband ? MP_LISTEN_INBAND : 0) | (opts->fax ? MP_LISTEN_FAX : 0);
}

/* ------------------------------------------------------------------ encryption */

size_t media_suite_key_len(enum media_suite suite)
{
	static const uint8_t lens[MEDIA_SUITES] = {
		[MEDIA_AES_CM_128_HMAC_SHA1_80] = 30, [MEDIA_AES_CM_128_HMAC_SHA1_32] = 30,
		[MEDIA_AES_256_CM_HMAC_SHA1_80] = 46, [MEDIA_AES_256_CM_HMAC_SHA1_32] = 46,
		[MEDIA_AEAD_AES_128_GCM] = 28,	      [MEDIA_AEAD_AES_256_GCM] = 44,
	};

	return suite < MEDIA_SUITES ? lens[suite] : 0;
}

void media_set_secure(struct media_stream *stream, const struct media_secure *secure)
{
	static const uint8_t hash_lens[MEDIA_HASHES] = { 20, 32, 48, 64 };
	struct mp_secure *msg = client_stream_message(stream, MP_SECURE);

	if (!msg)
		return;
	msg->mode = (uint8_t)secure->mode;
	if (secure->mode == MEDIA_SDES) {
		msg->suite_tx = (uint8_t)secure->suite_tx;
		msg->suite_rx = (uint8_t)secure->suite_rx;
		memcpy(msg->key_tx, secure->key_tx, media_suite_key_len(secure->suite_tx));
		memcpy(msg->key_rx, secure->key_rx, media_suite_key_len(secure->suite_rx));
	} else if (secure->mode == MEDIA_DTLS) {
		msg->active = secure->active;
		msg->hash = (uint8_t)secure->hash;
		memcpy(msg->fingerprint, secure->fingerprint, hash_lens[secure->hash]);
	}
}

const uint8_t *media_fingerprint(const struct media *media)
{
	return media_is_up(media) ? media->fingerprint : NULL;
}

static void text_set(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from ? from : "");
}

void media_set_ice(struct media_stream *stream, const struct media_ice *ice)
{
	struct mp_ice *msg = client_stream_message(stream, MP_ICE);

	if (!msg)
		return;
	msg->flags = (ice->remote_lite ? MP_ICE_LITE_REMOTE : 0) |
		     (ice->controlling ? MP_ICE_CONTROLLING : 0) |
		     (ice->restart ? MP_ICE_RESTART : 0) | (ice->off ? MP_ICE_OFF : 0);
	text_set(msg->ufrag, sizeof(msg->ufrag), ice->ufrag);
	text_set(msg->pwd, sizeof(msg->pwd), ice->pwd);
	text_set(msg->remote_ufrag, sizeof(msg->remote_ufrag), ice->remote_ufrag);
	text_set(msg->remote_pwd, sizeof(msg->remote_pwd), ice->remote_pwd);

	for (size_t i = 0; i < ice->n_candidates; i++) {
		struct mp_candidate *candidate = client_stream_message(stream, MP_CANDIDATE);

		if (!candidate)
			return;
		addr_from_sa(&candidate->addr, ice->candidates[i].addr);
		candidate->priority = ice->candidates[i].priority;
		candidate->component = ice->candidates[i].component == 2 ? 2 : 1;
	}
}

void media_set_bundle(struct media_stream *stream, const struct media_stream *carrier,
		      const uint8_t payload_types[16])
{
	struct mp_bundle *msg = client_stream_message(stream, MP_BUNDLE);

	if (!msg || !carrier)
		return;
	msg->carrier = carrier->id;
	memcpy(msg->payload_types, payload_types, sizeof(msg->payload_types));
}

/* ------------------------------------------------------------------ sounds */

void media_moh_set(struct media *media, uint32_t moh_class, const char *const *paths, size_t n,
		   bool random)
{
	for (size_t i = 0; i < n || !i; i++) {
		struct mp_moh_file *msg = client_message(media, MP_MOH_FILE, 0);

		if (!msg)
			return;
		msg->moh_class = moh_class;
		msg->index = (uint16_t)i;
		msg->flags = (uint16_t)((random ? MP_MOH_RANDOM : 0) |
					(i + 1 >= n ? MP_MOH_LAST : 0) | (n ? 0 : MP_MOH_NONE));
		text_set(msg->path, sizeof(msg->path), n ? paths[i] : NULL);
	}
}

int media_play(struct media_stream *stream, const struct media_play *play)
{
	if (!play->n_sounds)
		return -EINVAL;
	for (size_t i = 0; i < play->n_sounds; i++) {
		if (strlen(play->sounds[i]) >= MP_MAX_PATH)
			return -ENAMETOOLONG;
	}

	for (size_t i = 0; i < play->n_sounds; i++) {
		bool last = i + 1 == play->n_sounds;
		struct mp_play *msg = client_stream_message(stream, MP_PLAY);

		if (!msg)
			return -EUNAVAILABLE;
		msg->play = play->id;
		msg->offset_ms = i ? 0 : play->offset_ms;
		msg->gain_db = play->gain_db;
		text_set(msg->sound, sizeof(msg->sound), play->sounds[i]);
		if (last)
			msg->flags = (uint16_t)(MP_PLAY_LAST | (play->loop ? MP_PLAY_LOOP : 0) |
						(play->until_digit ? MP_PLAY_KEYS : 0) |
						(play->mix ? MP_PLAY_MIX : 0));
	}
	return 0;
}

void media_play_stop(struct media_stream *stream, uint32_t id)
{
	struct mp_play_stop *msg = client_stream_message(stream, MP_PLAY_STOP);

	if (msg)
		msg->play = id;
}

int media_record(struct media_stream *stream, const struct media_record *record)
{
	struct mp_record *msg;

	if (strlen(record->path) >= MP_MAX_PATH)
		return -ENAMETOOLONG;
	msg = client_stream_message(stream, MP_RECORD);
	if (!msg)
		return -EUNAVAILABLE;

	msg->record = record->id;
	msg->flags = (record->stereo ? MP_RECORD_STEREO : 0) | (record->opus ? MP_RECORD_OPUS : 0) |
		     (record->key ? MP_RECORD_SEALED : 0) | (record->said_only ? MP_RECORD_SAID : 0) |
		     (record->keys ? MP_RECORD_KEYS : 0);
	msg->max_ms = record->max_ms;
	msg->silence_ms = record->silence_ms;
	for (const char *key = record->keys; key && *key; key++) {
		int event = wire_event_of(*key);

		if (event >= 0)
			msg->keys |= 1u << event;
	}
	if (record->key)
		memcpy(msg->key, record->key, sizeof(msg->key));
	text_set(msg->path, sizeof(msg->path), record->path);
	return 0;
}

static void record_set(struct media_stream *stream, uint32_t id, enum mp_record_verb verb)
{
	struct mp_record_set *msg = client_stream_message(stream, MP_RECORD_SET);

	if (!msg)
		return;
	msg->record = id;
	msg->verb = verb;
}

void media_record_pause(struct media_stream *stream, uint32_t id, bool pause)
{
	record_set(stream, id, pause ? MP_RECORD_PAUSE : MP_RECORD_RESUME);
}

void media_record_stop(struct media_stream *stream, uint32_t id)
{
	record_set(stream, id, MP_RECORD_STOP);
}
/* ------------------------------------------------------------------ rooms */

void media_room_join(struct media_stream *stream, const struct media_stream *room,
		     const struct media_member *member)
{
	struct mp_room_join *msg = client_stream_message(stream, MP_ROOM_JOIN);

	if (!msg)
		return;
	msg->room = room->id;
	msg->to = member->whisper_to ? member->whisper_to->id : 0;
	msg->flags = (member->muted ? MP_MEMBER_MUTED : 0) | (member->deaf ? MP_MEMBER_DEAF : 0) |
		     (member->spy ? MP_MEMBER_SPY : 0) |
		     (member->whisper_to ? MP_MEMBER_WHISPER : 0) |
		     (member->tell_talking ? MP_MEMBER_TALKING : 0);
	msg->gain_in_db = member->gain_in_db;
	msg->gain_out_db = member->gain_out_db;
}

void media_room_leave(struct media_stream *stream)
{
	(void)client_stream_message(stream, MP_ROOM_LEAVE);
}

void media_query_stats(struct media_stream *stream)
{
	(void)client_stream_message(stream, MP_STATS_QUERY);
}
