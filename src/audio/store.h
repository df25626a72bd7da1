/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_AUDIO_STORE_H
#define AOIDE_AUDIO_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "schema/schema.h"

/*
 * Uploaded sound (PLT-30, PLT-31, PLT-33). A piece of content belongs to a row of configuration, and
 * is one file below <data>/audio, which the media process reads and nobody but `aoide jobs` writes:
 *
 *	<tenant_id>/<audio_file id>.wav              AUDIO_FILE
 *	<tenant_id>/moh/<moh_class id>/<place>-<content id>.wav  AUDIO_MOH
 *	<tenant_id>/volatile/<token>.wav             AUDIO_VOLATILE
 *	lang/<code>/<prompt>.wav                     AUDIO_PROMPT
 *	incoming/<name>                              uploads that wait for their conversion
 *
 * Every file is mono 16-bit PCM WAV at 8, 16 or 48 kHz. The way of an upload: whoever receives it
 * writes incoming/<name> (audio_incoming_create()), says so in the row (audio_stage()), and wakes jobs,
 * which convert it beside its place, rename it and say so in the row. A crash anywhere leaves a row
 * in state "converting", and the next start of jobs goes on with it.
 *
 * Any thread with its own connection; all calls block.
 */
struct db;

enum audio_kind { AUDIO_FILE, AUDIO_MOH, AUDIO_PROMPT, AUDIO_VOLATILE };

/* Nothing was uploaded yet; waits for or is in conversion; can be played; nothing can be played. */
enum audio_state { AUDIO_EMPTY, AUDIO_CONVERTING, AUDIO_READY, AUDIO_FAILED };
const char *audio_state_name(enum audio_state state); /* "empty", "converting", ... */
extern const struct sch_value audio_states[];         /* for SCH_ENUM */

#define AUDIO_NAME_SIZE   33  /* an incoming file's name, a volatile file's token: 32 hex and a NUL */
#define AUDIO_SOURCE_SIZE 256 /* the name a file had at home */
#define AUDIO_PROMPT_SIZE 128 /* "echo/intro" */

struct audio_content {
	int64_t id, tenant_id; /* tenant_id 0: of the node (prompts) */
	enum audio_kind kind;
	int64_t owner_id;             /* audio_file, moh_class or language; 0: volatile */
	char name[AUDIO_PROMPT_SIZE]; /* prompt, token; "" else */
	int64_t place;                /* of music: in the file's name; the order is the class's own */
	char folder[64];              /* AUDIO_PROMPT: code of the language */
	char source_name[AUDIO_SOURCE_SIZE];
	char incoming[AUDIO_NAME_SIZE]; /* "": nothing waits */
	enum audio_state state;
	bool has_file;          /* something can be played, maybe an older content */
	char reason[32];        /* why the last upload was refused (audio_reason()); "" */
	int64_t bytes;          /* of the upload */
	int64_t duration_ms, rate_hz;
	char source_format[64]; /* "MPEG Layer 3, 44100 Hz, 2 ch" */
	int64_t updated_at_us, expires_at_us; /* expires 0: never */
};

/* Makes the table. Also needed: sch_migrate(). */
int audio_migrate(struct db *db);

/* ------------------------------------------------------------------ paths */

/* Where the content is played from. Returns 0 or -ENAMETOOLONG. data_dir NULL: relative to it. */
int audio_path(char *buf, size_t size, const char *data_dir, const struct audio_content *content);
void audio_incoming_path(char *buf, size_t size, const char *data_dir, const char *name);

/* ------------------------------------------------------------------ uploads */

/* A new file for an upload, mode 0600, and its name. Returns the descriptor, -ENOSPC, -errno. */
int audio_incoming_create(const char *data_dir, char name[AUDIO_NAME_SIZE]);
/* Throws an incoming file away that no row names yet. */
void audio_incoming_remove(const char *data_dir, const char *name);

/*
 * Says that content->incoming waits for its conversion: makes the row, or lets the upload take the
 * place of what kind, tenant, owner and name have (music: of content->id, 0: one more). Sets
 * content->id. replaced: name of an upload that waited before and is to be removed, or "".
 */
int audio_stage(struct db *db, struct audio_content *content, char replaced[AUDIO_NAME_SIZE]);

/* ------------------------------------------------------------------ conversion: jobs */

/* The next content in state converting with id > after. -ENOENT: none. */
int audio_next(struct audio_content *ret, struct db *db, int64_t after);
/* What conversion found; see convert.h. */
struct audio_info {
	int64_t duration_ms, rate_hz;
	char source_format[64];
};
/* Both do nothing when another upload came meanwhile (ret_stale). */
int audio_set_ready(struct db *db, const struct audio_content *content,
		    const struct audio_info *info, bool *ret_stale);
/* The older content goes on being played, if there is one. */
int audio_set_failed(struct db *db, const struct audio_content *content, const char *reason,
		     bool *ret_stale);

/* ------------------------------------------------------------------ reading */

int audio_get(struct audio_content *ret, struct db *db, int64_t id); /* -ENOENT */
int audio_find(struct audio_content *ret, struct db *db, enum audio_kind kind, int64_t tenant_id,
	       int64_t owner_id, const char *name); /* -ENOENT */
/* Every content of one kind and tenant, of one owner or (-1) of all; by owner, place, id. Calls h
 * until it returns an error, which is returned. */
typedef int(audio_content_h)(const struct audio_content *content, void *arg);
int audio_each(struct db *db, enum audio_kind kind, int64_t tenant_id, int64_t owner_id,
	       audio_content_h *h, void *arg);

/* State, reason, duration_ms... of a content as members of a REST object; NULL content: empty. */
int audio_describe(json_t *object, const struct audio_content *content, enum sch_lang lang);
/* What went wrong and what to do, for a person. */
const char *audio_reason(const char *reason, enum sch_lang lang);
/* The same word as a constant, which may be kept. */
const char *audio_reason_code(const char *reason);

/* ------------------------------------------------------------------ removing */

/* Forgets the row and removes its files. Returns 0 also when it is not there. */
int audio_remove(struct db *db, const char *data_dir, int64_t id);
/*
 * Removes contents that have expired, and those that neither the saved nor the applied configuration
 * names any more (a deletion is undone by "discard" until it is applied), and files without a row.
 * Younger than grace_s stays. ret_removed: contents.
 */
int audio_sweep(struct db *db, const char *data_dir, int64_t grace_s, int64_t *ret_removed);

#endif
