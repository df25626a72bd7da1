/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_DISK_H
#define AOIDE_MEDIA_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Writes recordings. Media threads put samples into a ring per file and never wait; one writer thread
 * empties the rings, encodes, encrypts and writes; another one makes finished files safe (fsync,
 * rename) so that a slow flush delays no other recording.
 *
 * A file is <path>.part until it is complete. Its header is right at any moment, but for the last
 * second; what a killed process left is completed and renamed when the next one starts.
 */
#define DISK_RING_MS  4000  /* how long the disk may stand still before sound is lost */
#define DISK_PATIENCE_MS 10000 /* after so much lost sound in a row the recording ends */

struct disk;
struct disk_file;

/*
 * folder  of the recordings; must exist
 *
 * Starts the threads; looks for what the last process left, in the background.
 */
int disk_start(struct disk **ret, const char *folder);
/* All files must have ended; waits until they are complete. NULL is fine. */
void disk_stop(struct disk *disk);

struct disk_opts {
	const char *path;    /* relative to the folder; folders are made */
	bool opus;           /* Ogg Opus, else WAV */
	const uint8_t *key;  /* VAULT_KEY_BYTES: encrypted; NULL plain */
	uint32_t hz;         /* 8000, 16000, 48000 */
	unsigned channels;   /* 1, 2 */
};

/* True for a path that stays below the folder: relative, no empty or hidden part, no "..". */
bool disk_path_ok(const char *path);

/*
 * A file to put samples into. It is made by the writer: that it cannot be is told by disk_error().
 *
 * Returns 0, -EINVAL (path), -ENOMEM.
 */
int disk_open(struct disk_file **ret, struct disk *disk, const struct disk_opts *opts);

/*
 * n samples per channel, interleaved; NULL: silence. Never waits. When the ring is full they are lost
 * and counted, and silence takes their place, so that what follows stays in time.
 *
 * Returns 0, or the error that ended the file (disk_end() is due).
 */
int disk_put(struct disk_file *file, const int16_t *samples, size_t n);

/* Nothing more comes. notify_fd, an eventfd, is written when the file is complete; -1 none. */
void disk_end(struct disk_file *file, int notify_fd);

struct disk_result {
	int err;             /* 0: complete and in its place */
	uint64_t bytes;      /* of the file */
	uint32_t lost_ms;    /* silence instead of what was lost */
};
/* After disk_end(): true when it is complete, and then the file is freed. */
bool disk_done(struct disk_file *file, struct disk_result *ret);

struct disk_stats {
	uint64_t files, finished, failed, bytes, lost_ms;
};
void disk_stats(const struct disk *disk, struct disk_stats *ret); /* any thread */

#endif
