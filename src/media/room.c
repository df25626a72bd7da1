/* SPDX-License-Identifier: Apache-2.0 */
#include "media/room.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "media/audio.h"
#include "media/codec.h"
#include "media/mix.h"
#include "media/play.h"
#include "media/relay.h"

#define RATE_TICKS   50 /* how often the members' formats are looked at */
#define MAX_PTIME_MS 20 /* of a shared packet: longer ones are packed for each listener */

/* An encoder of what all hear, for all whose format is the same. */
struct shared {
	const struct codec *codec;
	uint32_t max_hz;
	bool fec;
	struct codec_enc *enc;
	struct audio_rate *rate; /* NULL: the room's rate is right */
	uint64_t tick;           /* for which data was made */
	size_t len;
	uint8_t data[CODEC_MAX_BYTES];
};

struct room {
	struct room *next, **prev; /* of the relay */
	struct mix mix;
	uint32_t hz, max_hz; /* at which it mixes now; as asked for */
	bool rate_due;
	uint64_t tick;
	struct stream *stream;
	struct audio_frame said; /* an announcement to all */
	struct shared shared[ROOM_FORMATS];
	unsigned n_shared;
	struct audio_frame mixed;
};

struct member {
	struct mix_member mix; /* first: the mix's list is ours */
	struct room *room;
	struct stream *stream;
	bool tell_talking;
	struct audio_rate *rate; /* from what it says to the room's rate */
	uint32_t rate_from;
	struct audio_frame in;
	int16_t scaled[MIX_MAX_FRAME];
};

static struct member *first(const struct room *room)
{
	return (struct member *)room->mix.members;
}

static struct member *next(const struct member *member)
{
	return (struct member *)member->mix.next;
}

uint32_t room_hz(const struct room *room)
{
	return room->max_hz;
}

const struct audio_frame *room_mixed(const struct room *room)
{
	return &room->mixed;
}

/* ------------------------------------------------------------------ coming and going */

int room_open(struct relay *relay, struct stream *stream)
{
	struct room *room = calloc(1, sizeof(*room));

	if (!room)
		return -ENOMEM;

	room->stream = stream;
	room->hz = room->max_hz = stream->room_hz;
	room->mixed.hz = room->hz;
	room->mixed.silent = true;
	mix_init(&room->mix, room->hz);
	room->prev = &relay->rooms;
	room->next = relay->rooms;
	if (room->next)
		room->next->prev = &room->next;
	relay->rooms = room;
	stream->room = room;
	relay_tick_need(relay);
	return 0;
}

static void forget_shared(struct room *room)
{
	for (unsigned i = 0; i < room->n_shared; i++) {
		codec_enc_free(room->shared[i].enc);
		audio_rate_free(room->shared[i].rate);
	}
	room->n_shared = 0;
}

void room_close(struct relay *relay, struct stream *stream)
{
	struct room *room = stream->room;

	if (!room)
		return;

	while (first(room))
		room_leave(relay, first(room)->stream);
	*room->prev = room->next;
	if (room->next)
		room->next->prev = room->prev;
	forget_shared(room);
	free(room);
	stream->room = NULL;
	relay_tick_need(relay);
}

void room_leave(struct relay *relay, struct stream *stream)
{
	struct member *member = stream->member;

	if (!member)
		return;

	(void)audio_want(relay, stream, AUDIO_WANT_ROOM, false);
	mix_remove(&member->room->mix, &member->mix);
	member->room->rate_due = true;
	audio_rate_free(member->rate);
	free(member);
	stream->member = NULL;
}

void room_on_leave(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	room_leave(relay, stream);
}

static int member_new(struct member **ret, struct stream *stream, struct room *room)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member)
		return -ENOMEM;

	member->stream = stream;
	member->room = room;
	member->mix.id = stream->id;
	member->mix.scaled = member->scaled;
	mix_add(&room->mix, &member->mix);
	room->rate_due = true;
	stream->member = member;
	*ret = member;
	return 0;
}

int room_join(struct relay *relay, struct stream *stream, struct stream *room_stream,
	      const struct mp_room_join *msg)
{
	struct member *member = stream->member;
	bool listened_to;
	int err;

	if (member && member->room != room_stream->room) {
		room_leave(relay, stream);
		member = NULL;
	}
	if (!member) {
		err = member_new(&member, stream, room_stream->room);
		if (err)
			return err;
	}

	member->mix.muted = msg->flags & MP_MEMBER_MUTED;
	member->mix.deaf = msg->flags & MP_MEMBER_DEAF;
	member->mix.spy = msg->flags & MP_MEMBER_SPY;
	/* Who whispers to somebody that is not there is heard by nobody. */
	member->mix.to = msg->flags & MP_MEMBER_WHISPER ? (msg->to ? msg->to : UINT64_MAX) : 0;
	member->mix.gain_in = mix_gain(msg->gain_in_db);
	member->mix.gain_out = mix_gain(msg->gain_out_db);
	member->tell_talking = msg->flags & MP_MEMBER_TALKING;

	/* Nobody decodes what nobody hears: in a large room nearly all are muted. */
	listened_to = !member->mix.muted || member->tell_talking;
	err = audio_want(relay, stream, AUDIO_WANT_ROOM, listened_to);
	if (err)
		log_warn("media.room.deaf", "a member's codec cannot be decoded; it only listens",
			 kv_err(err));
	return 0;
}

/* ------------------------------------------------------------------ what they say */

static const int16_t *says(struct member *member)
{
	const struct stream *stream = member->stream;
	const struct audio_frame *frame;

	/* Who is on hold hears music, and what it says goes nowhere. */
	if (stream->music || (member->mix.muted && !member->tell_talking))
		return NULL;
	frame = audio_heard(stream);
	if (!frame || frame->silent)
		return NULL;
	if (frame->hz == member->room->hz)
		return frame->v;

	if (member->rate_from != frame->hz) {
		audio_rate_free(member->rate);
		member->rate = NULL;
		member->rate_from = frame->hz;
		if (audio_rate_alloc(&member->rate, frame->hz, member->room->hz))
			member->rate = NULL;
	}
	if (!member->rate)
		return NULL;
	audio_rate_change(member->rate, &member->in, frame);
	return member->in.v;
}

static void tell_talking(struct relay *relay, const struct member *member)
{
	struct mp_talking *msg = relay_tell(relay, member->stream, MP_TALKING, true);

	if (!msg)
		return;
	msg->talking = member->mix.talking;
	msg->level = member->mix.level;
}

/* ------------------------------------------------------------------ what they hear */

static struct shared *shared_find(struct room *room, const struct mp_format *format,
				  const struct codec *codec)
{
	bool fec = format->flags & MP_FORMAT_FEC;
	struct shared *shared = room->shared;
	uint32_t hz;

	for (unsigned i = 0; i < room->n_shared; i++, shared++)
		if (shared->codec == codec && shared->max_hz == format->max_hz && shared->fec == fec)
			return shared;
	if (room->n_shared == ROOM_FORMATS)
		return NULL;

	memset(shared, 0, sizeof(*shared));
	hz = codec_hz(codec, format->max_hz && format->max_hz < room->hz ? format->max_hz : room->hz);
	if (codec_enc_alloc(&shared->enc, codec,
			    &(struct codec_opts){ .hz = hz, .max_hz = format->max_hz, .fec = fec }))
		return NULL;
	if (hz != room->hz && audio_rate_alloc(&shared->rate, room->hz, hz)) {
		codec_enc_free(shared->enc);
		return NULL;
	}
	shared->codec = codec;
	shared->max_hz = format->max_hz;
	shared->fec = fec;
	room->n_shared++;
	return shared;
}

/* The packet of this tick; false: there is none. */
static bool shared_encode(struct room *room, struct shared *shared)
{
	const struct audio_frame *frame = &room->mixed;
	struct audio_frame changed;
	int n;

	if (shared->tick == room->tick)
		return shared->len;
	shared->tick = room->tick;
	if (shared->rate) {
		audio_rate_change(shared->rate, &changed, frame);
		frame = &changed;
	}
	n = codec_encode(shared->enc, shared->data, sizeof(shared->data), frame->v,
			 codec_enc_hz(shared->enc) / (1000 / AUDIO_FRAME_MS));
	shared->len = n > 0 ? (size_t)n : 0;
	return shared->len;
}

static void send_packet(struct relay *relay, struct member *member, const struct shared *shared)
{
	struct stream *stream = member->stream;
	struct hdr_rtp hdr = { .pt = stream->pt, .ts = stream->own_ts };
	uint32_t step = shared->codec->clock_hz / (1000 / AUDIO_FRAME_MS);

	if (stream->own_marker || stream->out.source != OUT_ROOM) {
		hdr.ts = out_begin_ts(&stream->out, stream->clock_hz, relay->now_us);
		hdr.marker = true;
	}
	stream->own_marker = false;
	stream->own_ts = hdr.ts + step;
	relay_send_own(relay, stream, OUT_ROOM, &hdr, shared->data, shared->len);
}

/* True when what all hear was sent to it as it was to the others. */
static bool send_shared(struct relay *relay, struct member *member)
{
	struct stream *stream = member->stream;
	const struct codec *codec = codec_find(stream->codec, stream->clock_hz);
	struct shared *shared;

	/* What is recorded, or is spoken to beside the room, is its own. */
	if (!codec || stream->recorders || stream->play || (stream->ptime_ms && stream->ptime_ms != MAX_PTIME_MS) ||
	    codec->frame_ms > MAX_PTIME_MS || MAX_PTIME_MS % codec->frame_ms)
		return false;
	shared = shared_find(member->room, &stream->formats[0], codec);
	if (!shared)
		return false;
	if (shared_encode(member->room, shared))
		send_packet(relay, member, shared);
	return true;
}

static void hear(struct relay *relay, struct member *member)
{
	struct stream *stream = member->stream;
	struct audio_frame own;

	if (stream->music || (stream->playing && !play_mixes(stream)) || stream->digits.active ||
	    !relay_may_send(stream))
		return;

	switch (mix_hear(&member->room->mix, &member->mix, own.v)) {
	case MIX_COMMON:
		if (!send_shared(relay, member))
			audio_speak(relay, stream, &member->room->mixed);
		break;
	case MIX_OWN:
		own.hz = member->room->hz;
		own.silent = own.concealed = false;
		audio_speak(relay, stream, &own);
		break;
	case MIX_NOTHING:
		break;
	}
}

/* ------------------------------------------------------------------ rate */

/* Enough for the member that can tell the difference, and no more: narrow rooms cost half. */
static uint32_t widest(const struct room *room)
{
	uint32_t hz = 8000;

	for (const struct member *m = first(room); m && hz < room->max_hz; m = next(m))
		if (audio_hz(m->stream) > hz)
			hz = audio_hz(m->stream);
	return hz < room->max_hz ? hz : room->max_hz;
}

static void set_rate(struct room *room, uint32_t hz)
{
	room->rate_due = false;
	if (hz == room->hz)
		return;

	room->hz = room->mixed.hz = hz;
	room->mix.n = hz / (1000 / AUDIO_FRAME_MS);
	forget_shared(room);
	for (struct member *m = first(room); m; m = next(m)) {
		audio_rate_free(m->rate);
		m->rate = NULL;
		m->rate_from = 0;
	}
}

/* ------------------------------------------------------------------ ticks */

static void tick(struct relay *relay, struct room *room)
{
	struct mix *mix = &room->mix;

	room->tick++;
	if (room->rate_due || room->tick % RATE_TICKS == 0)
		set_rate(room, widest(room));
	for (struct member *m = first(room); m; m = next(m))
		m->mix.in = says(m);

	mix->extra = play_pull(relay, room->stream, room->hz, &room->said) ? room->said.v : NULL;
	mix_run(mix);
	room->mixed.silent = mix->silent;
	memcpy(room->mixed.v, mix->common, mix->n * sizeof(mix->common[0]));

	for (struct member *m = first(room); m; m = next(m)) {
		if (m->mix.turned && m->tell_talking)
			tell_talking(relay, m);
		hear(relay, m);
	}
}

void room_tick(struct relay *relay)
{
	for (struct room *room = relay->rooms; room; room = room->next)
		tick(relay, room);
}
