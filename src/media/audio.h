/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_AUDIO_H
#define AOIDE_MEDIA_AUDIO_H

#include <stdbool.h>
#include <stdint.h>
#include "media/client.h"

/*
 * The slow path of a stream: its sound as samples, 20 ms at a time. Only streams that something wants
 * to hear or speak to have it; everybody else's packets pass untouched. Relay thread only.
 *
 * A tick (RELAY_TICK_MS) runs in this order, for all streams of the thread at each step:
 *   0. audio_tick_read():   packets that waited for the tick are fetched from their sockets
 *   1. audio_tick_hear():   jitter buffer, decoder, concealment -> audio_heard()
 *   2. those who listen:    digits in the sound, talker detection
 *   3. rooms mix, transcoded bridges copy, players and generators  -> audio_speak()
 *   4. audio_tick_speak():  what was spoken is encoded, packed by ptime and sent
 *   5. recorders take audio_heard() and audio_said()
 */
#define AUDIO_FRAME_MS  20
#define AUDIO_MAX_HZ    48000
#define AUDIO_MAX_FRAME (AUDIO_MAX_HZ / 1000 * AUDIO_FRAME_MS)

struct relay;
struct stream;

struct audio_frame {
	uint32_t hz;      /* 8000, 16000 or 48000; hz / 50 samples */
	bool silent;      /* nothing was said: all samples are 0 */
	bool concealed;   /* invented, as packets were lost */
	int16_t v[AUDIO_MAX_FRAME];
};

/* Reasons to decode what arrives; each is switched on and off by its owner. */
enum audio_want {
	AUDIO_WANT_BRIDGE  = 1 << 0, /* the peer does not understand the format (audio.c itself) */
	AUDIO_WANT_RECORD  = 1 << 1, /* record.c */
	AUDIO_WANT_ROOM    = 1 << 2, /* room.c */
	AUDIO_WANT_DIGITS  = 1 << 3, /* listen.c */
	AUDIO_WANT_MIX     = 1 << 4, /* play.c speaks over the bridge */
	AUDIO_WANT_SAID    = 1 << 5, /* the peer is recorded: what we say is what it hears (audio.c) */
};
/* -ENOMEM, -ENOTSUP (a format that we cannot decode, such as video). A stream whose formats are not
 * told yet is listened to when they are. */
int audio_want(struct relay *relay, struct stream *stream, enum audio_want reason, bool on);

/* What the stream's phone said in this tick; NULL: not wanted. Valid until the next tick. */
const struct audio_frame *audio_heard(const struct stream *stream);

/*
 * What the stream's phone shall hear in this tick. May be called several times: frames are added,
 * with saturation. Any rate: it is changed to the encoder's. The first call of a talkspurt makes the
 * encoder; who has spoken and falls silent sends nothing (the receiver's comfort noise).
 */
void audio_speak(struct relay *relay, struct stream *stream, const struct audio_frame *frame);

/* What the phone was sent in this tick, whoever made it (relayed peer, room, player, music); NULL:
 * nothing or not wanted (AUDIO_WANT_RECORD makes it available). */
const struct audio_frame *audio_said(const struct stream *stream);

/*
 * Somebody wants audio_said(). Sounds are encoded beforehand and would not be in it: who plays one then
 * gives it to audio_speak() instead.
 */
bool audio_said_wanted(const struct stream *stream);

/* The phone reports that so much of what it is sent was lost of late: Opus then repeats more. */
void audio_lost(struct stream *stream, unsigned percent);

/* Rate at which the stream's codec carries sound: 8000, 16000 or 48000. */
uint32_t audio_hz(const struct stream *stream);

/* Changes the rate of a frame; one per direction and pair of rates, as it has memory. */
struct audio_rate;
int audio_rate_alloc(struct audio_rate **ret, uint32_t from_hz, uint32_t to_hz);
void audio_rate_free(struct audio_rate *rate);
/* ret may not be frame. */
void audio_rate_change(struct audio_rate *rate, struct audio_frame *ret, const struct audio_frame *frame);

/* ------------------------------------------------------------------ hooks of relay.c and path.c */

struct hdr_rtp;

/*
 * A packet of sound that is for the peer. False: it is not to be passed on, as the peer has no such
 * format (from now on it is decoded and encoded anew) or wants packets of another length (it was sent
 * so). Else stream->pass_* say how, for all packets alike.
 */
bool audio_route(struct relay *relay, struct stream *stream, const struct hdr_rtp *hdr,
		 const uint8_t *payload);
/* A packet of a stream whose `audio` is set. */
void audio_take(struct relay *relay, struct stream *stream, const struct hdr_rtp *hdr,
		const uint8_t *payload);

/* What of a packet decides how it passes, see stream->pass_key: length and payload type. */
#define audio_pass_key(hdr) ((uint32_t)(hdr)->payload_len << 7 | (hdr)->pt)

/* The bridge of the stream was made; will be undone: all is looked at anew, for both sides. */
void audio_bridged(struct relay *relay, struct stream *stream);
void audio_unbridge(struct relay *relay, struct stream *stream);
/* The stream has other formats. */
void audio_formats_changed(struct relay *relay, struct stream *stream);

/* The stream joins the thread, leaves it (what it has goes with it), ends. */
void audio_enter(struct relay *relay, struct stream *stream);
void audio_leave(struct relay *relay, struct stream *stream);
void audio_close(struct stream *stream);

void audio_tick_read(struct relay *relay);
void audio_tick_hear(struct relay *relay);
void audio_tick_bridge(struct relay *relay); /* transcoded bridges copy */
void audio_tick_speak(struct relay *relay);
void audio_tick_end(struct relay *relay);    /* after the recorders */

#endif
