/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_CALL_RECORD_H
#define AOIDE_CALL_CALL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/mem.h"
#include "media/client.h"

/*
 * Recordings of calls: in the background while two talk, or in the fiber as voicemail wants it. The
 * media process writes the sound; what is known about it (PLT-89) is written beside it by the writer
 * thread, once the recording and the call are over. Until then it stands in the journal of open calls, so
 * that the next process writes it when this one is killed. Call thread only.
 */
struct call;
struct cdr;
struct db;
struct engine;
struct leg;
struct recording;

enum record_direction { /* D-204 */
	RECORD_IN = 1,     /* only what the leg's phone says */
	RECORD_OUT = 2,    /* only what it hears; not made so far */
	RECORD_MIXED = 3,  /* both on one channel */
	RECORD_STEREO = 4, /* said left, heard right */
};
enum record_type { RECORD_UNCONDITIONAL = 1, RECORD_ON_DEMAND = 2 };
enum record_destination { /* PLT-89 */
	RECORD_GROUP = 1, RECORD_QUEUE = 2, RECORD_TO_EXTENSION = 3, RECORD_FROM_EXTENSION = 4,
	RECORD_ROUTING = 5,
};

struct record_opts {
	const char *path;       /* below the folder of recordings, without its ending; NULL: by tenant, day
	                           and call */
	enum record_direction direction; /* 0: RECORD_STEREO */
	bool opus, encrypt;     /* encrypted at rest (PLT-87, D-206) */
	bool beep;              /* call_record() only: a tone says that it begins */
	uint32_t max_ms, silence_ms;
	const char *stop_keys;

	bool metadata;          /* write <path>.txt */
	enum record_type type;
	enum record_destination destination;
	const char *owner, *destination_name;
};

/*
 * Starts to record a leg's sound and returns at once. ret: a reference; the recording goes on without
 * it, until it is stopped or the leg ends.
 *
 * Returns 0, -ENOTCONN (the leg has no sound), -ENOTSUP (direct media), -EFORBIDDEN (encryption is
 * asked for and there is no key), -ENAMETOOLONG, -ENOMEM, -EUNAVAILABLE.
 */
int recording_start(struct recording **ret, struct call *call, struct leg *leg,
		    const struct record_opts *opts);
void recording_pause(struct recording *rec, bool pause);
/* The file is complete a moment later. */
void recording_stop(struct recording *rec);

bool recording_is_over(const struct recording *rec);
uint32_t recording_ms(const struct recording *rec);     /* once it is over */
int recording_error(const struct recording *rec);       /* 0: complete */
const char *recording_path(const struct recording *rec); /* with its ending */
/*
 * Once the file is complete, the text is written beside it as <path>.txt, in the place of metadata. Nothing
 * is written when the recording fails. Returns 0, -EMSGSIZE, -ENOMEM, what recording_error() says, -EUNAVAILABLE (no writer).
 */
int recording_note(struct recording *rec, const char *text);

/* The newest recording of a call that is not over; NULL none. Borrowed. */
struct recording *recording_of(const struct call *call);

/*
 * In the fiber: records what the leg's phone says until it presses a stop key, falls silent, the time
 * is over or the caller hangs up. ret: a reference, set when anything was recorded, also with -EHANGUP.
 *
 * Returns 0 with *reason filled, -EHANGUP, or why it could not be recorded (as recording_start(), and
 * what the disk said).
 */
int call_record(struct call *call, struct leg *leg, const struct record_opts *opts,
		struct recording **ret, enum media_end *reason);

/* ------------------------------------------------------------------ for the engine and the switch */

/* MEDIA_EV_RECORDED of any stream, also of one that is closed. arg: the engine. */
void recording_event(const struct media_event *event, void *arg);
/* No media process: what it was writing is over. */
void recording_media_lost(struct engine *engine);
/* The leg gives its streams up. */
void recording_leg_gone(struct leg *leg);
/* The call is over, and this is its CDR. */
void recording_call_ended(struct call *call, const struct cdr *cdr);

/* For the journal of open calls: what is known about the recordings of a call, as many as fit. Returns the
 * bytes. */
size_t recording_export(const struct call *call, void *buf, size_t size);
/* The same, found by the next process: their metadata are written with this CDR. */
void recording_recover(struct engine *engine, const void *data, size_t len, const struct cdr *cdr);

/*
 * What the writer thread does with what was posted to it: writes the file. folder: of recordings. A stop time
 * that was not known is when the last sound was written.
 */
enum { RECORDING_RECORD = 210 };
int recording_writer_apply(const char *folder, const void *data, size_t len);

#endif
