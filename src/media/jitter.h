/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_JITTER_H
#define AOIDE_MEDIA_JITTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "media/rtphdr.h"

/*
 * Puts packets in order and holds them for as long as the slower ones need (adaptive jitter buffer).
 * One source, one clock; packets come by sequence number, time is taken from timestamps. Relay thread
 * only; memory is bounded, and none is taken per packet.
 *
 * The delay aimed at follows the spread of arrivals (97 of 100 come in time), at once when packets
 * come too late, and falls by 10 ms a second when they no longer do. jitter_over_ms() tells who plays
 * how much too long or too short the delay is at present, who then shortens or lengthens the sound:
 * that also makes up for a sender whose clock runs at another speed.
 */
#define JITTER_MIN_MS   20
#define JITTER_MAX_MS   200
#define JITTER_START_MS 40
#define JITTER_SLOTS    64  /* packets kept at most */
#define JITTER_DRY_MS   100 /* of nothing: then it is a pause */

struct jitter;

struct jitter_stats {
	uint64_t kept, late, twice; /* twice: duplicates; late: its time was over */
	uint64_t skipped;           /* thrown away as the delay had become too long */
	uint64_t restarts;          /* another SSRC, or time jumped */
};

int jitter_alloc(struct jitter **ret, uint32_t clock_hz); /* -ENOMEM */
void jitter_free(struct jitter *jitter);
/* It is used soon. */
void jitter_prefetch(const struct jitter *jitter);

/* Forgets all packets; the sender's clock now counts with clock_hz. What is known of the way stays. */
void jitter_restart(struct jitter *jitter, uint32_t clock_hz);
uint32_t jitter_clock_hz(const struct jitter *jitter);

/* A packet whose payload lasts span units of the clock; it is copied. pause: the sender says that it
 * will be silent. */
void jitter_put(struct jitter *jitter, const struct hdr_rtp *hdr, const uint8_t *payload,
		uint32_t span, bool pause, uint64_t now_us);

/* Packets repeat those before them: they are waited for, so that a lost one can be had from the next.
 * For the sound of this span; ends by itself some seconds after the last call. */
void jitter_expect_repeats(struct jitter *jitter, uint32_t span, uint64_t now_us);

enum jitter_verdict {
	JITTER_PLAY,  /* packet */
	JITTER_LOST,  /* span units are missing before `packet`, which is not taken yet */
	JITTER_DRY,   /* nothing has come in time: bridge it over, then ask again */
	JITTER_PAUSE, /* nothing is expected now */
};

struct jitter_next {
	enum jitter_verdict verdict;
	uint8_t pt;
	const uint8_t *data; /* PLAY, LOST; until the next jitter_put() */
	size_t len;
	uint32_t span;       /* PLAY: as put; LOST: how much is missing */
	bool adjacent;       /* LOST: the missing part ends where `data` begins */
	uint32_t bridged;    /* PLAY: units answered DRY before that were truly missing or late */
};

/* What comes next; to be asked whenever sound is needed. dry_span: how much is going to be bridged
 * over if the answer is DRY. */
void jitter_next(struct jitter *jitter, struct jitter_next *ret, uint32_t dry_span, uint64_t now_us);

/* How much longer the delay is than it should be; negative: shorter. wait_ms: so soon will the next
 * packet be taken, which is when it must have come. 0 while nothing plays. */
int32_t jitter_over_ms(const struct jitter *jitter, uint32_t wait_ms, uint64_t now_us);

uint32_t jitter_target_ms(const struct jitter *jitter);
/* Of what is played now, above the fastest way seen lately. held_ms: sound that was taken and is not
 * played yet. */
uint32_t jitter_delay_ms(const struct jitter *jitter, uint32_t held_ms, uint64_t now_us);
const struct jitter_stats *jitter_stats(const struct jitter *jitter);

#endif
