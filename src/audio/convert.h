/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_AUDIO_CONVERT_H
#define AOIDE_AUDIO_CONVERT_H

#include <stdatomic.h>
#include <stddef.h>
#include "audio/store.h"

/*
 * Converts whatever libsndfile reads (WAV of every kind, AIFF, AU, FLAC, Ogg Vorbis, Opus, MP3, CAF...)
 * into mono 16-bit PCM WAV: 48 kHz when the source has more than 16 kHz, 16 kHz when it has more
 * than 8 kHz, else 8 kHz. Channels are averaged. The loudness stays as it is; only when the change of
 * rate would cut peaks off, the whole is made quieter by as much as they stick out.
 *
 * Reasons of failure are words for audio_reason(): "unreadable", "empty", "too_long", "damaged",
 * "disk_full", "too_slow", "converter".
 */
#define AUDIO_MAX_S      (3 * 3600) /* of sound; ten hours of Opus fit 64 MB */
#define AUDIO_CONVERT_S  600        /* a child that takes longer is ended */

/* In this process: descriptors are borrowed, both seekable. Returns NULL or a reason. */
const char *audio_convert(int in_fd, int out_fd, struct audio_info *ret);

/* In a child without rights (jail.h). out_path is replaced at once when all is well and on disk. When
 * *stop becomes true (NULL: never) the child is ended, and the reason is "stopped".
 * Returns NULL or a reason. */
const char *audio_convert_file(const char *in_path, const char *out_path, const atomic_bool *stop,
			       struct audio_info *ret);

/*
 * The files of a ZIP, in a child without rights. Every wanted file becomes a new incoming file; h is
 * called for each file of the archive with its path in it (without a leading "/"), and says whether
 * it wants the content: then stored_h gets the name of the incoming file and becomes its owner.
 *
 * Returns NULL or a reason: "unreadable", "too_long" (too many or too big files), "disk_full", ...
 */
#define AUDIO_ARCHIVE_FILES 4000
#define AUDIO_ARCHIVE_BYTES (1024ll * 1024 * 1024)
typedef bool(audio_wanted_h)(const char *path, void *arg);
typedef int(audio_stored_h)(const char *path, const char *incoming, int64_t bytes, void *arg);
const char *audio_unpack(int zip_fd, const char *data_dir, int64_t file_max_bytes,
			 audio_wanted_h *wanted_h, audio_stored_h *stored_h, void *arg);

/* `aoide convert` and `aoide unpack`, which the functions above start: input is descriptor 0, output
 * descriptor 1, words about it descriptor 3. */
_Noreturn void audio_child_main(const char *command);

#endif
