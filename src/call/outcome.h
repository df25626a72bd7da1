/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_CALL_OUTCOME_H
#define AOIDE_CALL_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

/* How an attempt to reach a destination ended; the routing loop chooses what comes next by it. */
enum outcome {
	OUTCOME_ANSWERED,
	OUTCOME_BUSY,
	OUTCOME_NO_ANSWER,
	OUTCOME_UNAVAILABLE,
	OUTCOME_NOT_FOUND,
	OUTCOME_FAILED,
	OUTCOME_HANGUP, /* the caller gave up */
	OUTCOME_REDIRECTED, /* a phone sends the call elsewhere: result.redirect (TEL-46) */
	OUTCOME_COUNT
};

/* An outcome with what the network said, so that the caller hears the true reason. */
struct result {
	enum outcome outcome;
	uint16_t scode; /* SIP status for the caller; 0: the outcome's own */
	uint8_t q850;   /* Q.850 cause; 0: the outcome's own */
	char redirect[80]; /* a number; REDIRECTED only */
	bool after_ringing; /* REDIRECTED: the phone had rung */
};

/* What an outcome means to the caller and in the CDR (PLT-62, PLT-63, D-067..D-069). */
struct outcome_rule {
	uint16_t scode;
	const char *reason;
	uint8_t q850;
	const char *cdr_status, *cdr_exit_cause;
};
const struct outcome_rule *outcome_rule(enum outcome outcome);

/*
 * What the final response of one phone means to the attempt (RFC 3261 section 21, BASE-42, D-069).
 * ends_all: a person said no (600, 603): the other phones stop ringing too.
 */
struct status_rule {
	uint16_t from, to; /* SIP status, inclusive; first match wins */
	enum outcome outcome;
	bool ends_all;
};
const struct status_rule *outcome_of_status(uint16_t scode);

#endif
