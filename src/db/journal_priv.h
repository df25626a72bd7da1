/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_DB_JOURNAL_PRIV_H
#define AOIDE_DB_JOURNAL_PRIV_H

#include "db/writer.h"

#include <stdbool.h>

/*
 * The journal's files. A segment `<name>.<first number>.journal` is a header and then records; a
 * record carries its number and a CRC-32C that starts from the journal's random id, so that bytes
 * inside a record's data never pass for a record. Numbers only grow, also from segment to segment.
 *
 * Host byte order: a journal stays on the machine that wrote it.
 */
#define JOURNAL_HEADER_BYTES 32
#define JOURNAL_RECORD_BYTES 24		    /* before the data */
#define JOURNAL_CHUNK_BYTES  (1024u * 1024) /* holds the largest record */

struct journal_id {
	uint8_t bytes[16];
};

struct journal_record {
	uint64_t seq;
	uint32_t kind, len;
	const uint8_t *data;
};

/* What one reading of a segment found. */
struct journal_scan {
	uint64_t first_seq, last_seq; /* last_seq 0: no record */
	uint64_t valid_bytes;	      /* up to the end of the last good record */
	uint64_t file_bytes;
	struct journal_id id;
};

void journal_path(char *buf, size_t size, const char *dir, const char *name, uint64_t first_seq);

/* First numbers of all segments, ascending; *ret is malloc'ed. */
int journal_list(uint64_t **ret, size_t *n, const char *dir, const char *name);

/* Makes a segment with its header, safe on disk, open for writing at its end. Returns the file
 * descriptor or -errno. */
int journal_create(const char *dir, const char *name, uint64_t first_seq,
		   const struct journal_id *id);

/* Writes all or fails; fdatasync included. */
int journal_write(int fd, const void *data, size_t len);

/* What CRCs start from. */
uint32_t journal_seed(const struct journal_id *id);

/* Puts the record's header and its data; returns the bytes used. buf has room. */
size_t journal_encode(uint8_t *buf, uint32_t seed, const struct journal_record *record);

/*
 * Takes the next good record out of buf at *offset and moves *offset past it. Bytes that are no
 * record are passed over and added to *damaged; that they matter (a good record follows) or are
 * the torn end of the file, the caller sees by what comes after.
 *
 * last  the buffer ends where the file ends
 *
 * Returns true with a record (borrowed from buf), false when the rest needs more bytes (or, with
 * last, holds nothing).
 */
bool journal_parse(struct journal_record *ret, const uint8_t *buf, size_t len, size_t *offset,
		   uint32_t seed, bool last, size_t *damaged);

/* Reads a whole segment. -ENODATA: not even the header was written; -ECORRUPT: it is not ours. */
int journal_scan(struct journal_scan *ret, const char *path);

#endif
