/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_RECORD_H
#define AOIDE_MEDIA_RECORD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Recordings of streams and rooms: each tick takes what the phone says (left) and what it is sent
 * (right) and hands it to media/disk.h. Both sides stand on the clock of the ticks: what is missing is
 * silence. Relay thread only.
 *
 * The switch is told the end (MP_RECORDED) once, when the file is complete; a stream that is closed
 * lives on until its recordings are.
 */
#define RECORD_MAX    4     /* at a time on one stream */
#define RECORD_WAV_HZ 16000 /* WAV holds no more: speech above is only room on the disk */

struct mp_hdr;
struct recorder;
struct relay;
struct stream;

/* relay_verbs[] */
void record_on_record(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);
void record_on_set(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);

/* A key was pressed on the stream's phone. */
void record_digit(struct relay *relay, struct stream *stream, uint8_t event);

/* Last step of a tick. */
void record_tick(struct relay *relay);

/* The stream goes to another thread, and comes. */
void record_detach(struct relay *relay, struct stream *stream);
void record_attach(struct relay *relay, struct stream *stream);

/* The stream ends, and its recordings with it. True: record_collect() tells REV_CLOSED later. */
bool record_close(struct relay *relay, struct stream *stream);

/* Tells the ends of those that are complete. To be called in each turn while relay->n_ending. */
void record_collect(struct relay *relay);

#endif
