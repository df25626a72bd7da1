/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_MIX_H
#define AOIDE_MEDIA_MIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The arithmetic of a room: who speaks, what each one hears. Frames of 20 ms, one rate. Knows no
 * streams and no packets. Relay thread.
 *
 * Everybody hears the same sum but for those who are in it themselves (they hear it without their own
 * voice), those who are whispered to, spies and those with a gain. So the work grows with the number
 * who speak, not with the number who listen.
 */
#define MIX_MAX_FRAME 960 /* 48000 Hz */
#define MIX_ALL       8   /* up to so many open microphones all are mixed; above, those who talk */
#define MIX_LOUDEST   8   /* and of those the loudest, as more cannot be followed by any ear */
#define MIX_TALK_DBOV   50  /* louder than -50 dBov is talk */
#define MIX_TALK_TICKS  2   /* so long before it counts: clicks do not */
#define MIX_HANGOVER    20  /* 400 ms: pauses between words are no silence */
#define MIX_UNITY       4096
#define MIX_MAX_GAIN_DB 20
#define MIX_MIN_GAIN_DB (-60)

struct mix_member {
	struct mix_member *next, **prev; /* of the mix */

	/* set by the owner */
	uint64_t id;
	uint64_t to;           /* it whispers to this one; 0: it speaks to all */
	bool muted, deaf, spy;
	int32_t gain_in, gain_out; /* MIX_UNITY: as it is */
	int16_t *scaled;       /* room for a frame; needed with a gain_in */
	const int16_t *in;     /* each tick: what it says; NULL: nothing */

	/* results of mix_run() */
	bool talking, turned;  /* it talks; that has changed in this tick */
	uint8_t level;         /* -dBov of this tick, 127 silence */

	/* private */
	const int16_t *add;    /* what of it is heard in this tick */
	uint8_t loud_ticks, quiet_ticks, smooth_level;
};

struct mix {
	size_t n;              /* samples of a frame */
	struct mix_member *members;
	size_t n_members, n_open, n_talking;
	int32_t total[MIX_MAX_FRAME];
	int16_t common[MIX_MAX_FRAME];
	const int16_t *extra;  /* each tick: an announcement to all, or NULL */
	bool silent;           /* nobody is heard: common is 0 */
	size_t n_whispers;
	struct mix_member *whispers[MIX_LOUDEST];
};

/* hz: 8000, 16000, 48000. All zero otherwise. */
void mix_init(struct mix *mix, uint32_t hz);
void mix_add(struct mix *mix, struct mix_member *member);
void mix_remove(struct mix *mix, struct mix_member *member);

int32_t mix_gain(int gain_db); /* clamped to the limits above */

/* A tick: takes `in` of all and `extra`, makes common. */
void mix_run(struct mix *mix);

enum mix_kind {
	MIX_COMMON,  /* it hears what all hear: mix->common */
	MIX_OWN,     /* something of its own, in ret */
	MIX_NOTHING,
};
/* What a member hears in this tick. ret: mix->n samples, written for MIX_OWN only. */
enum mix_kind mix_hear(const struct mix *mix, const struct mix_member *member, int16_t *ret);

/* Level of a frame in -dBov, 0..127 (RFC 6464). */
uint8_t mix_level(const int16_t *v, size_t n);
int16_t mix_clip(int32_t v);

#endif
