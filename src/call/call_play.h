/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_CALL_PLAY_H
#define AOIDE_CALL_CALL_PLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "call/e180.h"
#include "call/say.h"

/*
 * Sounds and digits, as services use them: straight-line, in the call's fiber. While one of these waits
 * the phone may put us on hold or offer other media, which is dealt with. Every wait returns -EHANGUP
 * once the caller is gone, -EUNAVAILABLE when the media process died, and -ECONNRESET when the leg that
 * is played to has ended but the caller has not.
 */
struct call;
struct call_event;
struct leg;

#define CALL_KEYS_ANY   "0123456789*#ABCD"
#define CALL_MAX_DIGITS 64

/* What somebody shall hear. A say or a list of names (both: the say first); names as in call/say.h. */
struct prompt {
	struct leg *leg;             /* who hears it; NULL: the caller */
	const struct say *say;
	const char *const *names;
	size_t n_names;
	const char *keys;            /* that interrupt it: CALL_KEYS_ANY, "#"; NULL: none does */
	uint32_t offset_ms;          /* into the first */
	int16_t gain_db;
	bool loop, mix;              /* for ever; over what is heard anyway */
};

/* The language in which the call is spoken to (D-367), for say_init(). Borrowed. */
const char *call_language(const struct call *call);

/*
 * Plays to the end. The leg must have media: call_answer() or call_progress().
 *
 * Returns 0, the key that interrupted it (> 0), -ENOENT (nothing of it could be found or read; it has
 * been logged), or as above. In between whatever can be read is heard.
 */
int call_play(struct call *call, const struct prompt *prompt);

struct collect {
	uint32_t first_ms; /* from the end of the prompt to the first digit; 0: 5 s */
	uint32_t inter_ms; /* from one digit to the next; 0: 3 s */
	uint32_t total_ms; /* from the end of the prompt, or the first digit, to the end; 0: no limit */
	char terminator;   /* ends it and is not given back; 0: none */
	bool no_barge_in;  /* digits during the prompt count for nothing */
};

/*
 * Plays and takes up to max digits; the first one ends the prompt. digits gets no zero byte. prompt may
 * be NULL: only collects, from the caller.
 *
 * Returns how many there are (0: none in time, or the terminator alone), or as above.
 */
int call_play_collect(struct call *call, const struct prompt *prompt, char *digits, size_t max,
		      const struct collect *collect);

/* A sound that goes on while the service does something else: tones, music ("moh:7"). Replaced by the
 * next one and by prompts. */
int call_sound_start(struct call *call, struct leg *leg, const char *sound);
void call_sound_stop(struct leg *leg);

/* The caller hears ringing as in that country (NULL: the default one), before or after the answer. */
int call_ringback_start(struct call *call, const char *country);

/* Waits, with all that a phone may do meanwhile, until the deadline (-ETIMEDOUT), or as above. For
 * services that have nothing to do but to be there. */
int call_idle(struct call *call, uint64_t deadline_ms);

/* Somebody else plays to a leg of a call that does something else (ctl, spy): posts, and deals with, the
 * event. sounds: separated by newlines; none stops what the last one plays; a country's tone ("tone:uk/busy",
 * E.180) alone goes on until then. mix: over what is heard anyway. -EINVAL: there is no such country or tone.
 * -ENOTCONN: there is no such leg; -ENOTSUP: direct media. */
int call_post_play(struct call *call, bool to_b, const char *sounds, bool mix);
void call_on_play(struct call *call, const struct call_event *event);

#endif
