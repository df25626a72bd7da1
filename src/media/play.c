/* SPDX-License-Identifier: Apache-2.0 */
#include "media/play.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "media/audio.h"
#include "media/music.h"
#include "media/relay.h"
#include "media/sound.h"

#define WAIT_MAX_US (5 * 1000000ull) /* for a disk; then the sound is left out */
#define EARLY_US    (RELAY_TICK_MS * 1000 / 2)

struct play { /* stream_line_alloc(): each packet touches its first line only */
	_Alignas(MEDIA_LINE) unsigned at; /* the sound that plays */
	unsigned n;
	struct sound *sound;     /* NULL: not got yet */
	uint32_t frame;          /* of it, that comes next */
	bool is_loop, is_mix, ends_by_digit;
	bool is_read;            /* all that follows has been read from the disk */
	bool is_begun;           /* the offset has been used */
	bool round_has_sound;    /* something of this round could be played */
	bool was_heard;
	uint64_t wait_since_us;  /* 0: does not wait */
	uint64_t played_frames;

	uint32_t id;
	uint32_t offset_ms;
	int16_t gain_db;
	uint32_t music_index;    /* of a class at a place of its own */
	int err;                 /* the first */
	char **names;            /* n of them */
};

/* What is to be sent. */
struct piece {
	const uint8_t *payload;
	size_t len; /* 0: time passes, nothing is sent */
	uint32_t n; /* frames */
	uint32_t frame_ts;
};

enum fetch { FETCH_OK, FETCH_WAIT, FETCH_OVER };

void play_prefetch(const struct play *play)
{
	__builtin_prefetch(play);
}

static void play_free(struct play *play)
{
	if (!play)
		return;
	sound_unref(play->sound);
	for (unsigned i = 0; i < play->n; i++)
		free(play->names[i]);
	free(play->names);
	free(play);
}

/* ------------------------------------------------------------------ what comes next */

static void note_err(struct play *play, int err)
{
	if (!play->err)
		play->err = err;
}

static void next_sound(struct play *play)
{
	play->sound = (sound_unref(play->sound), NULL);
	play->frame = 0;
	play->wait_since_us = 0;
	play->is_begun = true;
	play->at++;
	if (play->at < play->n || !play->is_loop || !play->round_has_sound)
		return;
	play->at = 0;
	play->round_has_sound = false;
}

/* "moh:<class>". */
static bool is_class(const char *name, uint32_t *moh_class)
{
	char *end;

	if (strncmp(name, "moh:", 4) || name[4] < '0' || name[4] > '9')
		return false;
	*moh_class = (uint32_t)strtoul(name + 4, &end, 10);
	return !*end;
}

/* A class with an offset is not the radio: the listener has a place of his own in it. */
static bool has_own_place(const struct play *play)
{
	return play->offset_ms && !play->at;
}

static int get_sound(struct relay *relay, struct play *play)
{
	const char *name = play->names[play->at];
	uint32_t moh_class;
	bool begins = !play->is_begun;
	int err;

	if (!is_class(name, &moh_class))
		err = sounds_get(&play->sound, relay->sounds, name, play->gain_db);
	else if (has_own_place(play))
		err = music_nth(&play->sound, relay->music, moh_class, play->gain_db,
				play->music_index);
	else
		return music_now(&play->sound, &play->frame, relay->music, moh_class, play->gain_db,
				 relay->now_us);
	if (err)
		return err;

	play->is_begun = true;
	if (begins)
		play->frame = play->offset_ms / SOUND_FRAME_MS;
	return 0;
}

/* The sound is at its end: a class and a tone without end go on. True: something else plays now. */
static void sound_over(struct play *play)
{
	uint32_t moh_class, from;

	if (sound_is_endless(play->sound, &from)) {
		play->frame = from;
	} else if (is_class(play->names[play->at], &moh_class)) {
		play->sound = (sound_unref(play->sound), NULL);
		play->frame = 0;
		play->music_index++;
	} else {
		next_sound(play);
	}
}

static bool waits_too_long(const struct relay *relay, struct play *play)
{
	if (!play->wait_since_us)
		play->wait_since_us = relay->now_us;
	return relay->now_us - play->wait_since_us > WAIT_MAX_US;
}

/* The format that is wanted: of a codec, or samples of a rate; none: only the time passes. */
struct format {
	enum media_codec codec;
	uint32_t clock_hz, pcm_hz;
	bool none;
};

static int get_piece(struct piece *piece, struct play *play, const struct format *format,
		     uint32_t n_wanted)
{
	const struct sound_track *track;
	bool failed = false;
	int err;

	*piece = (struct piece){ .n = 1 };
	if (format->none)
		return 0;
	err = format->pcm_hz ? sound_pcm(&track, play->sound, format->pcm_hz)
			     : sound_track(&track, play->sound, format->codec, format->clock_hz);
	if (err == -ENOTSUP) {
		note_err(play, err);
		return 0; /* as long as it lasts there is silence */
	}
	if (err)
		return err;

	piece->n = n_wanted;
	piece->len = sound_payload(track, play->frame, &piece->n, &piece->payload, &failed);
	if (!piece->len)
		return failed ? -EIO : -EINPROGRESS;
	piece->frame_ts = sound_frame_ts(track);
	return 0;
}

static enum fetch fetch(struct piece *piece, struct relay *relay, struct play *play,
			const struct format *format, uint32_t n_wanted)
{
	/* Each turn ends a sound, or finds one that can be played. */
	for (unsigned turn = 0; turn <= 2 * play->n + 2; turn++) {
		int err = 0;

		if (play->at == play->n)
			return FETCH_OVER;
		if (!play->sound)
			err = get_sound(relay, play);
		if (!err && play->frame >= sound_frames(play->sound)) {
			sound_over(play);
			continue;
		}
		if (!err)
			err = get_piece(piece, play, format, n_wanted);
		if (!err) {
			play->wait_since_us = 0;
			play->round_has_sound = true;
			play->was_heard |= piece->len > 0;
			play->frame += piece->n;
			play->played_frames += piece->n;
			return FETCH_OK;
		}
		if (err == -EINPROGRESS && !waits_too_long(relay, play))
			return FETCH_WAIT;
		note_err(play, err == -EINPROGRESS ? -ETIMEDOUT : err);
		next_sound(play);
	}
	return FETCH_WAIT;
}

/* ------------------------------------------------------------------ ends */

static void set_flags(struct relay *relay, struct stream *stream)
{
	stream->music = stream->hold;
	stream->playing = stream->play; /* who mixes speaks the bridge's sound himself */
	if (play_wants_tick(stream))
		relay_gen_add(relay, stream);
	else if (!stream->digits.active)
		relay_gen_remove(relay, stream);
}

static void tell_end(struct relay *relay, const struct stream *stream, const struct play *play,
		     enum media_end reason, uint8_t event)
{
	struct mp_played *msg = relay_tell(relay, stream, MP_PLAYED, true);

	if (!msg)
		return;
	msg->play = play->id;
	msg->err = play->err;
	msg->played_ms = (uint32_t)(play->played_frames * SOUND_FRAME_MS);
	msg->reason = (uint8_t)reason;
	msg->event = event;
}

static void end(struct relay *relay, struct stream *stream, enum media_end reason, uint8_t event)
{
	struct play *play = stream->play;

	if (!play)
		return;
	if (reason == MEDIA_END_DONE && play->err && !play->was_heard)
		reason = MEDIA_END_FAILED;
	tell_end(relay, stream, play, reason, event);
	if (play->is_mix && stream->peer)
		(void)audio_want(relay, stream->peer, AUDIO_WANT_MIX, false); /* off cannot fail */
	stream->play = NULL;
	stream->own_wait = 0;
	play_free(play);
	set_flags(relay, stream);
}

void play_digit(struct relay *relay, struct stream *stream, uint8_t event)
{
	if (stream->play && stream->play->ends_by_digit)
		end(relay, stream, MEDIA_END_DIGIT, event);
}

void play_close(struct stream *stream)
{
	play_free(stream->play);
	play_free(stream->coming);
	play_free(stream->hold);
	stream->play = stream->coming = stream->hold = NULL;
}

/* ------------------------------------------------------------------ sending */

/* Timestamp of a packet that follows our own, or someone else's. */
static void set_ts(const struct relay *relay, struct stream *stream, struct hdr_rtp *hdr,
		   const struct piece *piece)
{
	if (stream->own_marker || stream->out.source != OUT_MUSIC) {
		out_start_own(&stream->out, relay->now_us);
		hdr->ts = out_next_ts(&stream->out, stream->clock_hz, relay->now_us);
		if (hdr->ts == stream->out.ts)
			hdr->ts += piece->frame_ts; /* what came before fills at least one frame */
		hdr->marker = true;
	} else {
		hdr->ts = stream->own_ts;
	}
	stream->own_marker = false;
	stream->own_ts = hdr->ts + piece->n * piece->frame_ts;
}

static void tell_no_codec(struct relay *relay, const struct stream *stream)
{
	if (relay->told_no_music)
		return;
	relay->told_no_music = true;
	log_warn("media.play.codec", "music and prompts cannot be sent in this codec; it is silent",
		 kv_int("payload_type", stream->pt), kv_int("clock_hz", stream->clock_hz));
}

static struct play *current(const struct stream *stream)
{
	return stream->play ? stream->play : stream->hold;
}

/* Finds what comes next; false: nothing, or nothing yet. */
static bool next_piece(struct piece *piece, struct relay *relay, struct stream *stream,
		       const struct format *format, uint32_t n)
{
	for (struct play *play; (play = current(stream));) {
		enum fetch got = fetch(piece, relay, play, format, n);

		if (got == FETCH_OK)
			return true;
		if (got == FETCH_WAIT) {
			stream->own_marker = true; /* silence ends with the next packet */
			return false;
		}
		if (play == stream->hold)
			return false; /* no music at all; it may still come */
		end(relay, stream, MEDIA_END_DONE, 0);
	}
	return false;
}

/* Sends what comes next as it is in the cache; false when there was nothing to send. */
static bool send_next(struct relay *relay, struct stream *stream)
{
	const struct format format = { .codec = stream->codec,
				       .clock_hz = stream->clock_hz,
				       .none = !relay_may_send(stream) };
	uint32_t n = stream->ptime_ms >= 2 * SOUND_FRAME_MS ? stream->ptime_ms / SOUND_FRAME_MS : 1;
	struct hdr_rtp hdr = { .pt = stream->pt };
	struct piece piece;

	if (!next_piece(&piece, relay, stream, &format, n))
		return false;

	stream->own_wait = (uint8_t)(piece.n - 1);
	if (!piece.len) {
		stream->own_marker = true;
		if (!format.none)
			tell_no_codec(relay, stream);
		return true;
	}
	set_ts(relay, stream, &hdr, &piece);
	relay_send_own(relay, stream, OUT_MUSIC, &hdr, piece.payload, piece.len);
	return true;
}

bool play_mixes(const struct stream *stream)
{
	return stream->play && stream->play->is_mix;
}

/* Mixing, and what somebody records, needs samples: they are encoded for this stream alone. */
static bool must_speak(const struct stream *stream)
{
	return play_mixes(stream) || audio_said_wanted(stream);
}

/* The other side of the bridge goes on under what is mixed. */
static void speak_bridge(struct relay *relay, struct stream *stream)
{
	struct stream *peer = stream->peer;

	if (!stream->play || !stream->play->is_mix || !peer)
		return;
	if (!audio_heard(peer))
		(void)audio_want(relay, peer, AUDIO_WANT_MIX, true); /* else it is silent meanwhile */
	if (audio_heard(peer) && !peer->music)
		audio_speak(relay, stream, audio_heard(peer));
}

static void speak_next(struct relay *relay, struct stream *stream)
{
	const struct format format = { .pcm_hz = audio_hz(stream), .none = !relay_may_send(stream) };
	struct audio_frame frame = { .hz = format.pcm_hz };
	struct piece piece;

	speak_bridge(relay, stream);
	if (!next_piece(&piece, relay, stream, &format, 1) || !piece.len)
		return;
	memcpy(frame.v, piece.payload, piece.len);
	audio_speak(relay, stream, &frame);
	stream->own_marker = true; /* for what follows without an encoder */
}

void play_tick(struct relay *relay, struct stream *stream)
{
	if (!stream->slot)
		return; /* a room takes it by play_pull() */
	if (current(stream) && must_speak(stream)) {
		speak_next(relay, stream);
		return;
	}
	if (stream->own_wait) {
		stream->own_wait--;
		return;
	}
	/* Who has begun between two ticks keeps half a tick of distance at least. */
	if (relay->now_us < stream->own_next_us)
		return;
	(void)send_next(relay, stream);
}

/* The later ones are read while the first plays. */
static void read_ahead(struct relay *relay, const struct stream *stream, struct play *play)
{
	const struct sound_track *track;
	uint32_t moh_class;

	play->is_read = true;
	for (unsigned i = play->at + 1; i < play->n; i++) {
		struct sound *sound;
		int err;

		if (is_class(play->names[i], &moh_class))
			continue;
		err = sounds_get(&sound, relay->sounds, play->names[i], play->gain_db);
		if (!err) {
			err = sound_track(&track, sound, stream->codec, stream->clock_hz);
			sound_unref(sound);
		}
		if (err == -EINPROGRESS)
			play->is_read = false;
	}
}

/* Begins at once: the first packet does not wait for the tick. */
static void begin(struct relay *relay, struct stream *stream)
{
	set_flags(relay, stream);
	stream->own_wait = 0;
	if (!stream->slot || stream->digits.active || must_speak(stream))
		return;
	if (send_next(relay, stream))
		stream->own_next_us = relay->now_us + EARLY_US;
}

void play_ready(struct relay *relay)
{
	struct stream *next;

	for (struct stream *stream = relay->gens; stream; stream = next) {
		struct play *play = current(stream);

		next = stream->gen_next;
		if (play && !play->is_read)
			read_ahead(relay, stream, play);
		if (play && play->wait_since_us)
			begin(relay, stream);
	}
}

bool play_wants_tick(const struct stream *stream)
{
	return stream->play || stream->hold;
}

bool play_pull(struct relay *relay, struct stream *stream, uint32_t hz, struct audio_frame *ret)
{
	struct piece piece;

	if (!stream->play)
		return false;
	switch (fetch(&piece, relay, stream->play, &(struct format){ .pcm_hz = hz }, 1)) {
	case FETCH_OVER:
		end(relay, stream, MEDIA_END_DONE, 0);
		return false;
	case FETCH_WAIT:
		return false;
	case FETCH_OK:
		break;
	}
	if (!piece.len)
		return false;
	ret->hz = hz;
	ret->silent = false;
	ret->concealed = false;
	memcpy(ret->v, piece.payload, piece.len);
	return true;
}

/* ------------------------------------------------------------------ commands */

static int add_sound(struct play *play, const char *name)
{
	char **names;

	if (play->n == PLAY_MAX_SOUNDS)
		return -E2BIG;
	names = realloc(play->names, (play->n + 1) * sizeof(*names));
	if (!names)
		return -ENOMEM;
	play->names = names;
	play->names[play->n] = strdup(name);
	if (!play->names[play->n])
		return -ENOMEM;
	play->n++;
	return 0;
}

static void start(struct relay *relay, struct stream *stream, const struct mp_play *msg)
{
	struct play *play = stream->coming;

	play->is_loop = msg->flags & MP_PLAY_LOOP;
	play->ends_by_digit = msg->flags & MP_PLAY_KEYS;
	play->is_mix = msg->flags & MP_PLAY_MIX;
	play->gain_db = msg->gain_db;
	end(relay, stream, MEDIA_END_STOPPED, 0);
	stream->coming = NULL;
	stream->play = play;
	read_ahead(relay, stream, play);
	begin(relay, stream);
}

void play_on_play(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	const struct mp_play *msg = (const void *)hdr;
	struct play *play = stream->coming;
	int err;

	if (play && play->id != msg->play) {
		play_free(play);
		play = stream->coming = NULL;
	}
	if (!play) {
		play = stream->coming = stream_line_alloc(sizeof(*play));
		if (!play) {
			tell_end(relay, stream, &(struct play){ .id = msg->play, .err = -ENOMEM },
				 MEDIA_END_FAILED, 0);
			return;
		}
		play->id = msg->play;
		play->offset_ms = msg->offset_ms;
	}
	err = add_sound(play, msg->sound);
	if (err)
		note_err(play, err);
	if (msg->flags & MP_PLAY_LAST)
		start(relay, stream, msg);
}

void play_on_stop(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	const struct mp_play_stop *msg = (const void *)hdr;

	if (stream->play && stream->play->id == msg->play)
		end(relay, stream, MEDIA_END_STOPPED, 0);
}

/* ------------------------------------------------------------------ music on hold */

void play_music_start(struct relay *relay, struct stream *stream, uint32_t moh_class)
{
	struct play *play;
	char name[32];

	if (stream->hold) {
		play_free(stream->hold);
		stream->hold = NULL;
	}
	(void)snprintf(name, sizeof(name), "moh:%u", moh_class);
	play = stream_line_alloc(sizeof(*play));
	if (!play || add_sound(play, name)) {
		/* Silence is heard; the bridge must not be, as the other side believes in its hold. */
		log_error("media.play.memory", "no memory for music on hold; it is silent");
		relay_rest(relay, stream, REST_NONE);
	}
	if (play)
		play->is_loop = play->is_read = true;
	stream->hold = play;
	stream->own_marker |= !stream->play;
	if (stream->play)
		set_flags(relay, stream);
	else
		begin(relay, stream);
}

void play_music_stop(struct relay *relay, struct stream *stream)
{
	/* What was said during the music is not for the other side. */
	if (stream->slot && stream->slot->resting)
		path_readable(relay, &stream->slot->rtp);
	relay_rest(relay, stream, REST_NONE);
	play_free(stream->hold);
	stream->hold = NULL;
	if (!stream->play)
		stream->own_wait = 0;
	set_flags(relay, stream);
}
