/* SPDX-License-Identifier: Apache-2.0 */
#include "media/relay.h"

#include "base/log.h"
#include "media/moh.h"

/* What the relay sends by itself: music on hold and digits. Every RELAY_TICK_MS, relay thread only. */

static void send_own(struct relay *relay, struct stream *stream, enum out_source source,
		     struct hdr_rtp *hdr, const uint8_t *payload, size_t len)
{
	uint8_t head[HDR_RTP_BYTES];
	struct iovec iov[2] = { { head, sizeof(head) }, { (void *)(uintptr_t)payload, len } };

	out_own(&stream->out, source, hdr, relay->now_us);
	hdr_rtp_write(head, hdr);
	path_send(relay, stream, iov, 2);
}

static bool may_send(const struct stream *stream)
{
	return (stream->flags & MP_REMOTE_SEND) && net_addr_isset(&stream->dst);
}

/* ------------------------------------------------------------------ music */

static void music_tick(struct relay *relay, struct stream *stream)
{
	struct hdr_rtp hdr = { .pt = stream->pt };
	const struct moh_track *track;
	const uint8_t *payload;
	uint32_t n = stream->ptime_ms >= 2 * MOH_FRAME_MS ? stream->ptime_ms / MOH_FRAME_MS : 1;
	size_t len;

	track = moh_track(atomic_load_explicit(relay->moh, memory_order_acquire), stream->codec,
			  stream->clock_hz);
	if (!track || !may_send(stream)) {
		stream->music_marker = true; /* silence ends with the next packet */
		return;
	}
	if (stream->music_wait) {
		stream->music_wait--;
		return;
	}

	if (stream->music_frame >= track->n_frames)
		stream->music_frame = 0;
	len = moh_payload(track, stream->music_frame, &n, &payload);

	if (stream->music_marker || stream->out.source != OUT_MUSIC) {
		out_start_own(&stream->out, relay->now_us);
		hdr.ts = out_next_ts(&stream->out, stream->clock_hz, relay->now_us);
		if (hdr.ts == stream->out.ts)
			hdr.ts += track->frame_ts; /* what came before fills at least one frame */
		hdr.marker = true;
	} else {
		hdr.ts = stream->music_ts;
	}
	stream->music_marker = false;
	stream->music_ts = hdr.ts + n * track->frame_ts;
	stream->music_frame += n;
	stream->music_wait = (uint8_t)(n - 1);
	send_own(relay, stream, OUT_MUSIC, &hdr, payload, len);
}

void generate_music_start(struct relay *relay, struct stream *stream, uint32_t moh_class)
{
	/* One class exists so far; an unknown one plays the default, as silence would seem a fault. */
	stream->music_class = moh_class;
	stream->music = true;
	stream->music_marker = true;
	relay_gen_add(relay, stream);

	if (!relay->told_no_music && stream->codec == MEDIA_CODEC_OTHER) {
		relay->told_no_music = true;
		log_warn("media.moh.codec", "music on hold cannot be sent in this codec; it is silent",
			 kv_int("payload_type", stream->pt), kv_int("clock_hz", stream->clock_hz));
	}
}

void generate_music_stop(struct relay *relay, struct stream *stream)
{
	stream->music = false;
	stream->music_wait = 0;
	if (!stream->digits.active)
		relay_gen_remove(relay, stream);
}

/* ------------------------------------------------------------------ tick */

void generate_tick(struct relay *relay)
{
	struct stream *next;

	for (struct stream *stream = relay->gens; stream; stream = next) {
		next = stream->gen_next; /* a tick may take the stream out */
		if (stream->digits.active)
			digits_tick(relay, stream);
		else if (stream->music)
			music_tick(relay, stream);
	}
}
