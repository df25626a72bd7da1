/* SPDX-License-Identifier: Apache-2.0 */
#include "media/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "media/audio.h"
#include "media/disk.h"
#include "media/mix.h"
#include "media/relay.h"
#include "media/room.h"

#define TICK_US  (RELAY_TICK_MS * 1000)
#define STALL_US 200000 /* behind the clock by more: ticks were lost, silence takes their place */

enum side { SAID, HEARD, SIDES };

struct recorder {
	struct recorder *next, **prev; /* of the relay */
	struct recorder *stream_next;
	struct stream *stream;
	uint32_t id, flags, max_ms, silence_ms, keys;
	struct disk_file *file;
	uint32_t hz;
	unsigned channels;
	struct audio_rate *rates[SIDES];
	uint32_t rates_from[SIDES];
	bool paused, ending;
	uint64_t clock_us; /* when the next frame is due */
	uint32_t ms, silent_ms;
	uint8_t reason, event;
	int err;
};

/* ------------------------------------------------------------------ lists */

static void relay_in(struct relay *relay, struct recorder *rec)
{
	rec->prev = &relay->recorders;
	rec->next = relay->recorders;
	if (rec->next)
		rec->next->prev = &rec->next;
	relay->recorders = rec;
	relay->n_ending += rec->ending;
	relay_tick_need(relay);
}

static void relay_out(struct relay *relay, struct recorder *rec)
{
	*rec->prev = rec->next;
	if (rec->next)
		rec->next->prev = rec->prev;
	relay->n_ending -= rec->ending;
	relay_tick_need(relay);
}

static struct recorder *find(const struct stream *stream, uint32_t id)
{
	struct recorder *rec = stream->recorders;

	while (rec && (rec->id != id || rec->ending))
		rec = rec->stream_next;
	return rec;
}

/* Something is being recorded now, not only completed. */
static bool is_recorded(const struct stream *stream)
{
	for (const struct recorder *rec = stream->recorders; rec; rec = rec->stream_next)
		if (!rec->ending)
			return true;
	return false;
}

static unsigned count(const struct stream *stream)
{
	unsigned n = 0;

	for (const struct recorder *rec = stream->recorders; rec; rec = rec->stream_next)
		n++;
	return n;
}

/* ------------------------------------------------------------------ ending */

static void recorder_free(struct recorder *rec)
{
	for (int i = 0; i < SIDES; i++)
		audio_rate_free(rec->rates[i]);
	free(rec);
}

static void tell(struct relay *relay, const struct stream *stream, uint32_t id, int err,
		 const struct recorder *rec, uint64_t bytes)
{
	struct mp_recorded *msg = relay_tell(relay, stream, MP_RECORDED, true);

	if (!msg)
		return;
	msg->record = id;
	msg->err = err;
	msg->bytes = bytes;
	msg->recorded_ms = rec ? rec->ms : 0;
	msg->reason = err ? MEDIA_END_FAILED : rec->reason;
	msg->event = rec ? rec->event : 0;
}

/* Nothing more is taken; the file is completed meanwhile. */
static void finish(struct relay *relay, struct recorder *rec, enum media_end reason, uint8_t event)
{
	struct stream *stream = rec->stream;

	rec->ending = true;
	rec->reason = (uint8_t)reason;
	rec->event = event;
	relay->n_ending++;
	disk_end(rec->file, relay->wake_fd);
	if (!is_recorded(stream) && !stream->room)
		(void)audio_want(relay, stream, AUDIO_WANT_RECORD, false);
}

static void forget(struct relay *relay, struct recorder *rec)
{
	struct recorder **at = &rec->stream->recorders;

	while (*at != rec)
		at = &(*at)->stream_next;
	*at = rec->stream_next;
	relay_out(relay, rec);
	recorder_free(rec);
}

void record_collect(struct relay *relay)
{
	struct recorder *next;

	for (struct recorder *rec = relay->recorders; rec; rec = next) {
		struct stream *stream = rec->stream;
		struct disk_result result;

		next = rec->next;
		if (!rec->ending || !disk_done(rec->file, &result))
			continue;
		if (result.lost_ms)
			log_warn("media.record.lost", "the disk is too slow: a recording has gaps",
				 kv_int("lost_ms", result.lost_ms));
		tell(relay, stream, rec->id, result.err ? result.err : rec->err, rec, result.bytes);
		forget(relay, rec);
		if (stream->closing && !stream->recorders)
			relay_tell_closed(relay, stream);
	}
}

bool record_close(struct relay *relay, struct stream *stream)
{
	for (struct recorder *rec = stream->recorders; rec; rec = rec->stream_next)
		if (!rec->ending)
			finish(relay, rec, MEDIA_END_STOPPED, 0);
	return stream->recorders;
}

void record_detach(struct relay *relay, struct stream *stream)
{
	for (struct recorder *rec = stream->recorders; rec; rec = rec->stream_next)
		relay_out(relay, rec);
}

void record_attach(struct relay *relay, struct stream *stream)
{
	for (struct recorder *rec = stream->recorders; rec; rec = rec->stream_next)
		relay_in(relay, rec);
}

/* ------------------------------------------------------------------ commands */

static uint32_t rate_of(const struct stream *stream, bool opus)
{
	uint32_t hz = stream->room ? room_hz(stream->room) : audio_hz(stream);

	return !opus && hz > RECORD_WAV_HZ ? RECORD_WAV_HZ : hz;
}

static int begin(struct relay *relay, struct stream *stream, const struct mp_record *msg)
{
	bool opus = msg->flags & MP_RECORD_OPUS;
	struct recorder *rec;
	int err;

	if (!relay->disk)
		return -EUNAVAILABLE;
	if (find(stream, msg->record))
		return -EEXIST;
	if (count(stream) >= RECORD_MAX)
		return -EMFILE;

	rec = calloc(1, sizeof(*rec));
	if (!rec)
		return -ENOMEM;
	*rec = (struct recorder){
		.stream = stream,
		.id = msg->record,
		.flags = msg->flags,
		.max_ms = msg->max_ms,
		.silence_ms = msg->silence_ms,
		.keys = msg->flags & MP_RECORD_KEYS ? msg->keys : 0,
		.hz = rate_of(stream, opus),
		.channels = msg->flags & MP_RECORD_STEREO && !stream->room &&
					    !(msg->flags & MP_RECORD_SAID)
				    ? 2
				    : 1,
		.clock_us = relay->now_us,
	};
	err = stream->room ? 0 : audio_want(relay, stream, AUDIO_WANT_RECORD, true);
	if (!err)
		err = disk_open(&rec->file, relay->disk,
				&(struct disk_opts){
					.path = msg->path,
					.opus = opus,
					.key = msg->flags & MP_RECORD_SEALED ? msg->key : NULL,
					.hz = rec->hz,
					.channels = rec->channels });
	if (err) {
		if (!is_recorded(stream) && !stream->room)
			(void)audio_want(relay, stream, AUDIO_WANT_RECORD, false);
		free(rec);
		return err;
	}

	rec->stream_next = stream->recorders;
	stream->recorders = rec;
	relay_in(relay, rec);
	return 0;
}

void record_on_record(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	const struct mp_record *msg = (const void *)hdr;
	int err = begin(relay, stream, msg);

	if (err)
		tell(relay, stream, msg->record, err, NULL, 0);
}

void record_on_set(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	const struct mp_record_set *msg = (const void *)hdr;
	struct recorder *rec = find(stream, msg->record);

	if (!rec)
		return; /* it has ended by itself, which was told */
	if (msg->verb == MP_RECORD_STOP) {
		finish(relay, rec, MEDIA_END_STOPPED, 0);
		return;
	}
	rec->paused = msg->verb == MP_RECORD_PAUSE;
	rec->clock_us = relay->now_us;
	rec->silent_ms = 0;
}

void record_digit(struct relay *relay, struct stream *stream, uint8_t event)
{
	for (struct recorder *rec = stream->recorders; rec; rec = rec->stream_next)
		if (!rec->ending && rec->keys & (1u << event))
			finish(relay, rec, MEDIA_END_DIGIT, event);
}

/* ------------------------------------------------------------------ ticks */

/* One side at the rate of the file; NULL: silence. */
static const int16_t *at_rate(struct recorder *rec, enum side side, const struct audio_frame *frame,
			      struct audio_frame *changed)
{
	if (!frame || frame->silent)
		return NULL;
	if (frame->hz == rec->hz)
		return frame->v;

	if (rec->rates_from[side] != frame->hz) {
		audio_rate_free(rec->rates[side]);
		rec->rates[side] = NULL;
		rec->rates_from[side] = frame->hz;
		if (audio_rate_alloc(&rec->rates[side], frame->hz, rec->hz))
			rec->rates[side] = NULL;
	}
	if (!rec->rates[side])
		return NULL;
	audio_rate_change(rec->rates[side], changed, frame);
	return changed->v;
}

static void interleave(int16_t *ret, const int16_t *left, const int16_t *right, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		ret[2 * i] = left ? left[i] : 0;
		ret[2 * i + 1] = right ? right[i] : 0;
	}
}

static void mix_two(int16_t *ret, const int16_t *a, const int16_t *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = mix_clip(a[i] + b[i]);
}

static bool is_quiet(const int16_t *v, size_t n)
{
	return !v || mix_level(v, n) >= MIX_TALK_DBOV;
}

static int put(struct recorder *rec, const int16_t *said, const int16_t *heard, size_t n)
{
	int16_t both[2 * AUDIO_MAX_FRAME];

	if (!said && !heard)
		return disk_put(rec->file, NULL, n);
	if (rec->channels == 2) {
		interleave(both, said, heard, n);
		return disk_put(rec->file, both, n);
	}
	if (said && heard) {
		mix_two(both, said, heard, n);
		return disk_put(rec->file, both, n);
	}
	return disk_put(rec->file, said ? said : heard, n);
}

/* The thread stood still for longer than ticks are made good; no recording gets longer than it may by that. */
static int catch_up(struct relay *relay, struct recorder *rec, size_t n)
{
	int err = 0;

	if (relay->now_us <= rec->clock_us + STALL_US)
		return 0;
	while (!err && rec->clock_us + TICK_US < relay->now_us &&
	       (!rec->max_ms || rec->ms + RELAY_TICK_MS < rec->max_ms)) {
		err = disk_put(rec->file, NULL, n);
		rec->clock_us += TICK_US;
		rec->ms += RELAY_TICK_MS;
	}
	return err;
}

static void tick(struct relay *relay, struct recorder *rec)
{
	const struct stream *stream = rec->stream;
	struct audio_frame changed[SIDES];
	const int16_t *said, *heard;
	size_t n = rec->hz / (1000 / AUDIO_FRAME_MS);
	int err;

	if (stream->room) {
		said = at_rate(rec, SAID, room_mixed(stream->room), &changed[SAID]);
		heard = NULL;
	} else {
		said = at_rate(rec, SAID, audio_heard(stream), &changed[SAID]);
		heard = rec->flags & MP_RECORD_SAID
				? NULL
				: at_rate(rec, HEARD, audio_said(stream), &changed[HEARD]);
	}

	err = catch_up(relay, rec, n);
	if (!err)
		err = put(rec, said, heard, n);
	if (err) {
		rec->err = err;
		finish(relay, rec, MEDIA_END_FAILED, 0);
		return;
	}
	rec->clock_us += TICK_US;
	rec->ms += RELAY_TICK_MS;

	if (rec->max_ms && rec->ms >= rec->max_ms) {
		finish(relay, rec, MEDIA_END_LIMIT, 0);
		return;
	}
	if (!rec->silence_ms)
		return;
	rec->silent_ms = is_quiet(said, n) && is_quiet(heard, n) ? rec->silent_ms + RELAY_TICK_MS : 0;
	if (rec->silent_ms >= rec->silence_ms)
		finish(relay, rec, MEDIA_END_SILENCE, 0);
}

void record_tick(struct relay *relay)
{
	for (struct recorder *rec = relay->recorders; rec; rec = rec->next)
		if (!rec->paused && !rec->ending)
			tick(relay, rec);
}
