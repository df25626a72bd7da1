/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SERVICES_STUDIO_H
#define AOIDE_SERVICES_STUDIO_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

/*
 * A phone as loudspeaker and microphone of the configuration (PLT-30): the PBX rings it, and who answers
 * hears an audio file, or is told to record one. What was recorded goes to CONFIG_PHONE_DIR below
 * the recordings, with a .txt beside it that says which audio file it is for; jobs take both from there, now or
 * when they run again. Call thread only.
 */
struct engine;

#define STUDIO_ID_SIZE 17

struct studio_opts {
	int64_t tenant_id;
	const char *extension, *account; /* number; user name, "" or NULL: all phones of the extension */
	const char *title;               /* "custom/welcome": what the phone shows, and the CDR */
	const char *sound;               /* to be played, as in call/say.h; NULL: a recording is made */
	int64_t audio_file;              /* which it is for */
};

/*
 * Rings and returns at once. id: for studio_state().
 *
 * Returns 0, -EINVALID (no such extension), -ENODATA (it has no such account), -ENOTCONN (no phone is
 * registered), -EBUSY (the extension has all the calls it may have), -EUNAVAILABLE, -ENOMEM.
 */
int studio_start(struct engine *engine, const struct studio_opts *opts, char id[STUDIO_ID_SIZE]);

/*
 * {"audio_file","state","reason"?,"file"?} of one of the last ones, or -ENOENT. States: ringing, playing or recording, done,
 * failed; file: what was recorded, below the recordings; reasons: no_answer, hung_up (before anything was recorded), too_short, failed.
 */
int studio_state(json_t **ret, const struct engine *engine, int64_t tenant_id, const char *id);

#endif
