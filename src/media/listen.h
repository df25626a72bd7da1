/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_LISTEN_H
#define AOIDE_MEDIA_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Digits that a phone sends, each told to the switch exactly once (PLT-37): RFC 4733 events, with lost,
 * repeated and late packets, and tones in the sound where the switch asks for that. What the bridged
 * phone does not understand is not passed on but sent anew in its own way (media/digits.h). Relay thread
 * only.
 */
struct audio_frame;
struct hdr_rtp;
struct listen; /* of a stream whose sound is listened to */
struct mp_hdr;
struct relay;
struct stream;

struct listen_event { /* of a stream */
	bool active, passes;
	bool any_done;
	uint8_t event, volume;
	uint32_t ssrc, ts, done_ts;
	uint32_t before;       /* units of the segments that are over */
	uint16_t duration;     /* of the present one */
	uint64_t seen_us;
	uint64_t credit_us;    /* digits reported, in time: a flood is cut */
};

/* A packet of telephone-event. True when it is to go on to the peer as it is. */
bool listen_event(struct relay *relay, struct stream *stream, const struct hdr_rtp *hdr,
		  const uint8_t *data);
/* Housekeeping: an event whose end was lost has ended. */
void listen_stale(struct relay *relay, struct stream *stream);

/* MP_LISTEN. */
void listen_on_listen(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);
/* Step 2 of a tick (media/audio.h). */
void listen_tick(struct relay *relay);
/*
 * The peer shall get the tones of this stream in another way: its sound has to pass as samples, and of
 * what was heard in this tick, frame, that is passed which comes back: a little older, without tones.
 */
bool listen_translates(const struct stream *stream);
const struct audio_frame *listen_without_tones(struct stream *stream, const struct audio_frame *frame);
/* The stream joins the thread, leaves it, ends. */
void listen_enter(struct relay *relay, struct stream *stream);
void listen_leave(struct relay *relay, struct stream *stream);
void listen_close(struct stream *stream);

#endif
