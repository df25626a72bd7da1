/* SPDX-License-Identifier: Apache-2.0 */
#include "media/mix.h"

#include <math.h>
#include <string.h>

#define LEVEL_SILENCE 127
#define FULL_SCALE    (32768.0f * 32768.0f)

int16_t mix_clip(int32_t v)
{
	return (int16_t)(v > INT16_MAX ? INT16_MAX : v < INT16_MIN ? INT16_MIN : v);
}

uint8_t mix_level(const int16_t *v, size_t n)
{
	uint64_t sum = 0;
	float dbov;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)(v[i] * v[i]);
	if (!sum)
		return LEVEL_SILENCE;
	dbov = -10.0f * log10f((float)sum / (float)n / FULL_SCALE);
	return dbov <= 0 ? 0 : dbov >= LEVEL_SILENCE ? LEVEL_SILENCE : (uint8_t)lrintf(dbov);
}

int32_t mix_gain(int gain_db)
{
	int db = gain_db > MIX_MAX_GAIN_DB   ? MIX_MAX_GAIN_DB
		 : gain_db < MIX_MIN_GAIN_DB ? MIX_MIN_GAIN_DB
					     : gain_db;

	return (int32_t)lrintf(MIX_UNITY * powf(10.0f, (float)db / 20.0f));
}

void mix_init(struct mix *mix, uint32_t hz)
{
	memset(mix, 0, sizeof(*mix));
	mix->n = hz / 50;
	mix->silent = true;
}

void mix_add(struct mix *mix, struct mix_member *member)
{
	member->level = member->smooth_level = LEVEL_SILENCE;
	member->next = mix->members;
	if (mix->members)
		mix->members->prev = &member->next;
	member->prev = &mix->members;
	mix->members = member;
	mix->n_members++;
}

void mix_remove(struct mix *mix, struct mix_member *member)
{
	*member->prev = member->next;
	if (member->next)
		member->next->prev = member->prev;
	member->next = NULL;
	member->prev = NULL;
	mix->n_members--;
}

/* ------------------------------------------------------------------ who speaks */

static void scale(int16_t *ret, const int16_t *v, size_t n, int32_t gain)
{
	for (size_t i = 0; i < n; i++)
		ret[i] = mix_clip((int32_t)(((int64_t)v[i] * gain) >> 12));
}

static void detect_talk(struct mix_member *member)
{
	bool was = member->talking;

	if (member->level < MIX_TALK_DBOV) {
		member->quiet_ticks = 0;
		if (member->loud_ticks < MIX_TALK_TICKS)
			member->loud_ticks++;
		if (member->loud_ticks == MIX_TALK_TICKS)
			member->talking = true;
	} else {
		member->loud_ticks = 0;
		if (member->quiet_ticks < MIX_HANGOVER)
			member->quiet_ticks++;
		if (member->quiet_ticks == MIX_HANGOVER)
			member->talking = false;
	}
	member->turned = was != member->talking;

	/* Falls slowly, so that the loudest of a second ago keeps its place between two words. */
	if (member->level < member->smooth_level)
		member->smooth_level = member->level;
	else if (member->smooth_level < LEVEL_SILENCE)
		member->smooth_level++;
}

/* What each one says, in its loudness; how many microphones are open. */
static void listen(struct mix *mix)
{
	mix->n_open = mix->n_talking = 0;
	for (struct mix_member *m = mix->members; m; m = m->next) {
		m->add = NULL;
		if (!m->in && !m->talking && !m->loud_ticks) {
			m->level = LEVEL_SILENCE; /* most of a large room, at the least cost */
			m->smooth_level = LEVEL_SILENCE;
			m->turned = false;
			continue;
		}

		m->level = LEVEL_SILENCE;
		if (m->in) {
			m->add = m->in;
			if (m->gain_in != MIX_UNITY && m->scaled) {
				scale(m->scaled, m->in, mix->n, m->gain_in);
				m->add = m->scaled;
			}
			m->level = mix_level(m->add, mix->n);
		}
		detect_talk(m);
		mix->n_talking += m->talking;
		if (m->muted)
			m->add = NULL;
		mix->n_open += m->add != NULL;
	}
}

/* Above MIX_ALL open microphones only those who talk are heard, and of them the loudest. */
static void choose(struct mix *mix)
{
	struct mix_member *loudest[MIX_LOUDEST];
	size_t n = 0;

	if (mix->n_open <= MIX_ALL)
		return;

	for (struct mix_member *m = mix->members; m; m = m->next) {
		size_t at = n;

		if (!m->add)
			continue;
		if (!m->talking) {
			m->add = NULL;
			continue;
		}
		while (at && loudest[at - 1]->smooth_level > m->smooth_level)
			at--;
		if (at == MIX_LOUDEST) {
			m->add = NULL;
			continue;
		}
		if (n == MIX_LOUDEST)
			loudest[--n]->add = NULL;
		memmove(loudest + at + 1, loudest + at, (n - at) * sizeof(loudest[0]));
		loudest[at] = m;
		n++;
	}
}

/* ------------------------------------------------------------------ sums */

static void sum_up(int32_t *total, const int16_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		total[i] += v[i];
}

void mix_run(struct mix *mix)
{
	listen(mix);
	choose(mix);

	mix->n_whispers = 0;
	mix->silent = true;
	memset(mix->total, 0, mix->n * sizeof(mix->total[0]));
	for (struct mix_member *m = mix->members; m; m = m->next) {
		if (!m->add)
			continue;
		if (m->to) {
			if (mix->n_whispers < MIX_LOUDEST)
				mix->whispers[mix->n_whispers++] = m;
			continue;
		}
		sum_up(mix->total, m->add, mix->n);
		mix->silent = false;
	}
	if (mix->extra) {
		sum_up(mix->total, mix->extra, mix->n);
		mix->silent = false;
	}
	for (size_t i = 0; i < mix->n; i++)
		mix->common[i] = mix_clip(mix->total[i]);
}

static bool hears_whisper(const struct mix_member *member, const struct mix_member *whisper)
{
	return whisper != member && (member->spy || whisper->to == member->id);
}

enum mix_kind mix_hear(const struct mix *mix, const struct mix_member *member, int16_t *ret)
{
	bool in_total = member->add && !member->to, own = in_total;
	int32_t sum[MIX_MAX_FRAME];

	if (member->deaf) {
		if (!mix->extra)
			return MIX_NOTHING;
		memcpy(ret, mix->extra, mix->n * sizeof(*ret)); /* an announcement is for it, too */
		return MIX_OWN;
	}
	for (size_t k = 0; k < mix->n_whispers && !own; k++)
		own = hears_whisper(member, mix->whispers[k]);
	if (!own && (member->gain_out == MIX_UNITY || mix->silent))
		return MIX_COMMON;

	memcpy(sum, mix->total, mix->n * sizeof(sum[0]));
	for (size_t i = 0; in_total && i < mix->n; i++)
		sum[i] -= member->add[i];
	for (size_t k = 0; k < mix->n_whispers; k++)
		if (hears_whisper(member, mix->whispers[k]))
			sum_up(sum, mix->whispers[k]->add, mix->n);
	for (size_t i = 0; i < mix->n; i++)
		ret[i] = mix_clip((int32_t)(((int64_t)sum[i] * member->gain_out) >> 12));
	return MIX_OWN;
}
