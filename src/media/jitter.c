/* SPDX-License-Identifier: Apache-2.0 */
#include "media/jitter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_BYTES    192 /* at first; more when a longer packet comes */
#define SLOT_MAX      1504
#define BUCKET_MS     5
#define BUCKETS       (JITTER_MAX_MS / BUCKET_MS)
#define WEIGHT        (1u << 24) /* of all buckets together */
#define FORGET_SHIFT  8          /* the last 256 packets count; at the beginning fewer */
#define FORGET_FIRST  4
#define IN_TIME       97         /* percent of packets that shall be */
#define MARGIN_MS     10         /* of our own clock of 20 ms */
#define LEAST_US      4000000    /* the fastest way is the fastest of the last 4 to 8 s */
#define JUMP_US       500000     /* no way is that much slower: the sender's clock has jumped */
#define STOOD_US      200000     /* after a pause: it stood still meanwhile */
#define SKIP_MS       200        /* above the target: sound is thrown away */
#define SPARE_US      10000000   /* after the last packet that repeated another */
#define BOOST_US      100000     /* a late packet's influence falls by 1 ms in this time */
#define MAX_MISSING_MS 120       /* of a longer hole only so much is bridged over, the rest is silence */

struct slot_j {
	bool used, pause;
	uint8_t pt;
	uint8_t buf; /* where its payload is */
	uint16_t seq, len;
	uint32_t ts, span;
};

struct jitter {
	uint32_t clock_hz;
	struct jitter_stats stats;

	/* the source */
	bool started;
	uint32_t ssrc;
	uint16_t odd_seq; /* that would prove a jump */
	bool odd;

	/* packets, by sequence number modulo JITTER_SLOTS */
	struct slot_j slots[JITTER_SLOTS];
	uint8_t *data; /* JITTER_SLOTS payloads of slot_bytes */
	uint8_t free[JITTER_SLOTS]; /* the last used is used first: few pages are ever touched */
	size_t slot_bytes;
	unsigned n;
	uint16_t last_seq; /* played last; packets up to it are late */
	bool has_last;
	uint64_t played; /* bit i: last_seq - i was played */

	/* playing */
	bool active;      /* within a talkspurt */
	bool pausing;     /* the last packet said so */
	uint32_t next_ts; /* of the sample that is played next */
	uint32_t bridged; /* invented since then, while waiting */

	/* the way: transit is arrival minus timestamp, in us, from an arbitrary zero */
	uint64_t zero_us;
	int64_t last_ext; /* timestamp without wrap */
	uint32_t last_ts;
	int64_t least_us, least_before_us, least_at_us;
	uint32_t buckets[BUCKETS];
	uint32_t learned;  /* packets, no more counted when there are enough */
	uint32_t usual_ms; /* delay at which IN_TIME percent come in time */
	uint32_t boost_ms; /* asked by a late packet */
	uint64_t boost_at_us;
	uint32_t spare_ms; /* so that the next packet is there, too */
	uint64_t spare_at_us;
};

static struct slot_j *slot_of(struct jitter *j, uint16_t seq)
{
	return &j->slots[seq % JITTER_SLOTS];
}

static uint8_t *data_of(const struct jitter *j, const struct slot_j *slot)
{
	return j->data + slot->buf * j->slot_bytes;
}

/* free[n..] are the payloads that no packet has. */
static void slot_take(struct jitter *j, struct slot_j *slot)
{
	slot->buf = j->free[j->n++];
	slot->used = true;
}

static void slot_give(struct jitter *j, struct slot_j *slot)
{
	j->free[--j->n] = slot->buf;
	slot->used = false;
}

/* ------------------------------------------------------------------ life */

int jitter_alloc(struct jitter **ret, uint32_t clock_hz)
{
	struct jitter *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->slot_bytes = SLOT_BYTES;
	j->data = malloc(JITTER_SLOTS * j->slot_bytes);
	if (!j->data) {
		free(j);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < JITTER_SLOTS; i++)
		j->free[i] = (uint8_t)i;
	j->clock_hz = clock_hz;
	j->usual_ms = JITTER_START_MS - MARGIN_MS;
	j->buckets[j->usual_ms / BUCKET_MS] = WEIGHT;
	*ret = j;
	return 0;
}

void jitter_free(struct jitter *jitter)
{
	if (!jitter)
		return;
	free(jitter->data);
	free(jitter);
}

void jitter_prefetch(const struct jitter *jitter)
{
	__builtin_prefetch(&jitter->clock_hz);
	__builtin_prefetch(&jitter->n);
	__builtin_prefetch(&jitter->least_us);
	__builtin_prefetch(&jitter->buckets[BUCKETS / 2]);
}

void jitter_restart(struct jitter *jitter, uint32_t clock_hz)
{
	for (int i = 0; i < JITTER_SLOTS; i++)
		if (jitter->slots[i].used)
			slot_give(jitter, &jitter->slots[i]);
	jitter->clock_hz = clock_hz;
	jitter->started = false;
	jitter->odd = false;
	jitter->has_last = false;
	jitter->active = false;
	jitter->pausing = false;
	jitter->bridged = 0;
	jitter->stats.restarts++;
}

uint32_t jitter_clock_hz(const struct jitter *jitter)
{
	return jitter->clock_hz;
}

const struct jitter_stats *jitter_stats(const struct jitter *jitter)
{
	return &jitter->stats;
}

/* ------------------------------------------------------------------ the way */

static int64_t units_us(const struct jitter *j, int64_t units)
{
	return units * 1000000 / j->clock_hz;
}

static int64_t extend(const struct jitter *j, uint32_t ts)
{
	return j->last_ext + (int32_t)(ts - j->last_ts);
}

static int64_t transit_us(const struct jitter *j, uint32_t ts, uint64_t at_us)
{
	return (int64_t)(at_us - j->zero_us) - units_us(j, extend(j, ts));
}

static int64_t least_us(const struct jitter *j)
{
	return j->least_us < j->least_before_us ? j->least_us : j->least_before_us;
}

uint32_t jitter_target_ms(const struct jitter *jitter)
{
	uint32_t ms = jitter->usual_ms > jitter->boost_ms ? jitter->usual_ms : jitter->boost_ms;

	ms += MARGIN_MS + jitter->spare_ms;
	return ms < JITTER_MIN_MS ? JITTER_MIN_MS : ms > JITTER_MAX_MS ? JITTER_MAX_MS : ms;
}

/* Delay above the fastest way if the sample of timestamp ts were played at at_us. */
static int64_t delay_us(const struct jitter *j, uint32_t ts, uint64_t at_us)
{
	return transit_us(j, ts, at_us) - least_us(j);
}

/* 97 of 100 of the last packets were no slower than this. */
static uint32_t usual(const struct jitter *j)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < BUCKETS; i++) {
		sum += j->buckets[i];
		if (sum * 100 >= (uint64_t)WEIGHT * IN_TIME)
			return (i + 1) * BUCKET_MS;
	}
	return JITTER_MAX_MS;
}

static void learn_way(struct jitter *j, uint32_t ts, uint64_t now_us)
{
	int64_t transit = transit_us(j, ts, now_us), late;
	uint32_t i, shift;

	if ((int64_t)(now_us - j->zero_us) - j->least_at_us >= LEAST_US) {
		j->least_before_us = j->least_us;
		j->least_us = transit;
		j->least_at_us = (int64_t)(now_us - j->zero_us);
	}
	if (transit < j->least_us)
		j->least_us = transit;

	late = (transit - least_us(j)) / 1000;
	i = late / BUCKET_MS < BUCKETS ? (uint32_t)(late / BUCKET_MS) : BUCKETS - 1;
	shift = FORGET_FIRST + j->learned / 32;
	if (shift < FORGET_SHIFT)
		j->learned++;
	for (uint32_t b = 0; b < BUCKETS; b++)
		j->buckets[b] -= j->buckets[b] >> shift;
	j->buckets[i] += WEIGHT >> shift;
	j->usual_ms = usual(j);

	if (j->spare_ms && now_us - j->spare_at_us >= SPARE_US)
		j->spare_ms = 0;
	while (j->boost_ms && now_us - j->boost_at_us >= BOOST_US) {
		j->boost_ms--;
		j->boost_at_us += BOOST_US;
	}
}

static void boost(struct jitter *j, uint32_t ts, uint64_t now_us)
{
	int64_t ms = delay_us(j, ts, now_us) / 1000;

	if (ms <= j->boost_ms)
		return;
	j->boost_ms = ms < JITTER_MAX_MS ? (uint32_t)ms : JITTER_MAX_MS;
	j->boost_at_us = now_us;
}

static void begin(struct jitter *j, const struct hdr_rtp *hdr, uint64_t now_us)
{
	j->started = true;
	j->ssrc = hdr->ssrc;
	j->zero_us = now_us;
	j->last_ext = 0;
	j->last_ts = hdr->ts;
	j->least_us = j->least_before_us = 0;
	j->least_at_us = 0;
}

/*
 * Another SSRC begins anew at once: the address of the sender was checked. A jump of time or number
 * begins anew when the next packet agrees; alone it is a stray (RFC 3550 appendix A.1).
 */
static bool belongs(struct jitter *j, const struct hdr_rtp *hdr, uint64_t now_us)
{
	int64_t off;
	bool jumped;

	if (j->started && j->ssrc != hdr->ssrc)
		jitter_restart(j, j->clock_hz);
	if (!j->started) {
		begin(j, hdr, now_us);
		return true;
	}

	off = delay_us(j, hdr->ts, now_us);
	jumped = off > JUMP_US || off < -JUMP_US;
	if (j->has_last && !jumped) {
		int16_t step = (int16_t)(hdr->seq - j->last_seq);

		jumped = step > 3000 || step < -3000;
	}
	if (!jumped) {
		j->odd = false;
		return true;
	}
	if (j->odd && hdr->seq == j->odd_seq) {
		jitter_restart(j, j->clock_hz);
		begin(j, hdr, now_us);
		return true;
	}
	j->odd = true;
	j->odd_seq = (uint16_t)(hdr->seq + 1);
	j->stats.late++;
	return false;
}

/* ------------------------------------------------------------------ packets in */

static bool grow(struct jitter *j, size_t len)
{
	size_t bytes = j->slot_bytes;
	uint8_t *data;

	while (bytes < len)
		bytes *= 2;
	bytes = bytes < SLOT_MAX ? bytes : SLOT_MAX;
	data = malloc(JITTER_SLOTS * bytes);
	if (!data)
		return false;
	for (unsigned i = 0; i < JITTER_SLOTS; i++)
		memcpy(data + i * bytes, j->data + i * j->slot_bytes, j->slot_bytes);
	free(j->data);
	j->data = data;
	j->slot_bytes = bytes;
	return true;
}

/* The packet with the lowest number; n is not 0. */
static struct slot_j *first_of(struct jitter *j)
{
	struct slot_j *first = NULL;

	if (j->has_last) {
		for (unsigned i = 1; i <= JITTER_SLOTS; i++) {
			struct slot_j *s = slot_of(j, (uint16_t)(j->last_seq + i));

			if (s->used)
				return s;
		}
	}
	for (unsigned i = 0; i < JITTER_SLOTS; i++) {
		struct slot_j *s = &j->slots[i];

		if (s->used && (!first || (int16_t)(s->seq - first->seq) < 0))
			first = s;
	}
	return first;
}

static void mark_played(struct jitter *j, uint16_t seq)
{
	uint16_t step = (uint16_t)(seq - j->last_seq);

	if (!j->has_last || step >= 64)
		j->played = 0;
	else
		j->played <<= step;
	j->played |= 1;
	j->last_seq = seq;
	j->has_last = true;
}

static void drop_first(struct jitter *j)
{
	struct slot_j *s = first_of(j);

	mark_played(j, s->seq);
	slot_give(j, s);
}

/* Whether the number can be stored; makes room by giving up the oldest. */
static bool has_place(struct jitter *j, uint16_t seq)
{
	/* All numbers kept lie within one turn of the ring. */
	while (j->n) {
		int16_t step = (int16_t)(seq - first_of(j)->seq);

		if (step > -JITTER_SLOTS && step < JITTER_SLOTS && !slot_of(j, seq)->used &&
		    (!j->has_last || (uint16_t)(seq - j->last_seq) <= JITTER_SLOTS))
			break;
		if (slot_of(j, seq)->used && slot_of(j, seq)->seq == seq)
			return false;
		if (step < 0)
			return false; /* older than all that is kept, and too old */
		drop_first(j);
		j->stats.skipped++;
	}
	if (!j->n && j->has_last && (uint16_t)(seq - j->last_seq) > JITTER_SLOTS)
		mark_played(j, (uint16_t)(seq - 1)); /* a long hole: the ring begins anew */
	return true;
}

static void reject_old(struct jitter *j, const struct hdr_rtp *hdr, uint64_t now_us)
{
	uint16_t back = (uint16_t)(j->last_seq - hdr->seq);

	if (back < 64 && j->played >> back & 1) {
		j->stats.twice++;
		return;
	}
	j->stats.late++;
	learn_way(j, hdr->ts, now_us);
	boost(j, hdr->ts, now_us);
}

/* Senders that stop their clock while they are on hold are slower than they were, and stay so. */
static void forgive_pause(struct jitter *j, const struct hdr_rtp *hdr, uint64_t now_us)
{
	if (!j->active && !j->n && delay_us(j, hdr->ts, now_us) > STOOD_US)
		j->least_us = j->least_before_us = transit_us(j, hdr->ts, now_us);
}

void jitter_put(struct jitter *jitter, const struct hdr_rtp *hdr, const uint8_t *payload,
		uint32_t span, bool pause, uint64_t now_us)
{
	struct slot_j *slot;

	if (hdr->payload_len > SLOT_MAX || !span || !belongs(jitter, hdr, now_us))
		return;
	if (jitter->has_last && (int16_t)(hdr->seq - jitter->last_seq) <= 0) {
		reject_old(jitter, hdr, now_us);
		return;
	}
	slot = slot_of(jitter, hdr->seq);
	if (slot->used && slot->seq == hdr->seq) {
		jitter->stats.twice++;
		return;
	}
	if (!has_place(jitter, hdr->seq) ||
	    (hdr->payload_len > jitter->slot_bytes && !grow(jitter, hdr->payload_len))) {
		jitter->stats.late++;
		return;
	}

	if ((int32_t)(hdr->ts - jitter->last_ts) > 0) {
		jitter->last_ext = extend(jitter, hdr->ts);
		jitter->last_ts = hdr->ts;
	}
	forgive_pause(jitter, hdr, now_us);
	learn_way(jitter, hdr->ts, now_us);
	if (jitter->active && jitter->bridged)
		boost(jitter, hdr->ts, now_us); /* its time had come before it did */

	slot_take(jitter, slot);
	slot->pause = pause;
	slot->pt = hdr->pt;
	slot->seq = hdr->seq;
	slot->len = (uint16_t)hdr->payload_len;
	slot->ts = hdr->ts;
	slot->span = span;
	memcpy(data_of(jitter, slot), payload, hdr->payload_len);
	jitter->stats.kept++;
}

void jitter_expect_repeats(struct jitter *jitter, uint32_t span, uint64_t now_us)
{
	jitter->spare_ms = (uint32_t)(units_us(jitter, span) / 1000);
	jitter->spare_at_us = now_us;
}

/* ------------------------------------------------------------------ packets out */

static void fill(const struct jitter *j, struct jitter_next *ret, const struct slot_j *slot)
{
	ret->pt = slot->pt;
	ret->data = data_of(j, slot);
	ret->len = slot->len;
}

static void play(struct jitter *j, struct jitter_next *ret, struct slot_j *slot)
{
	ret->verdict = JITTER_PLAY;
	ret->span = slot->span;
	fill(j, ret, slot); /* stays in its place until the next packet is put */
	j->active = true;
	j->pausing = slot->pause;
	j->next_ts = slot->ts + slot->span;
	j->bridged = 0;
	mark_played(j, slot->seq);
	slot_give(j, slot);
}

static void run_dry(struct jitter *j, struct jitter_next *ret, uint32_t dry_span)
{
	if (!j->active)
		return;
	if (j->pausing || units_us(j, j->bridged) >= JITTER_DRY_MS * 1000) {
		j->active = false;
		return;
	}
	ret->verdict = JITTER_DRY;
	j->bridged += dry_span;
}

/* The time of a packet that begins anew has come when it has waited as long as others have to. */
static bool is_due(const struct jitter *j, const struct slot_j *slot, uint64_t now_us)
{
	return delay_us(j, slot->ts, now_us) >= (int64_t)jitter_target_ms(j) * 1000;
}

/* Throws away what is so late that nobody wants to hear it; the last packet stays. */
static void skip_delay(struct jitter *j, uint64_t now_us)
{
	int64_t most = ((int64_t)jitter_target_ms(j) + SKIP_MS) * 1000;

	while (j->n > 1 && delay_us(j, first_of(j)->ts, now_us) > most) {
		drop_first(j);
		j->stats.skipped++;
		j->next_ts = first_of(j)->ts;
		j->bridged = 0;
	}
}

/* Numbers up to seq are not waited for any longer. */
static void give_up(struct jitter *j, uint16_t seq, const struct slot_j *first)
{
	uint16_t step = (uint16_t)(seq - j->last_seq);

	if ((uint16_t)(first->seq - seq) == 0)
		return; /* more time than numbers is missing: the packet itself still comes */
	j->played = step < 64 ? j->played << step : 0;
	j->last_seq = seq;
}

/* A hole before the first packet. Returns true when the packet is to be played now. */
static bool over_hole(struct jitter *j, struct jitter_next *ret, struct slot_j *first, uint32_t hole,
		      uint64_t now_us)
{
	uint32_t most = j->clock_hz / 1000 * MAX_MISSING_MS, missing;
	bool lost = (uint16_t)(first->seq - j->last_seq) != 1;

	if (lost && j->bridged) { /* we waited for what has been lost: that much is bridged over */
		missing = hole < j->bridged ? hole : j->bridged;
		ret->bridged = j->bridged;
		j->bridged = 0;
		j->next_ts += missing;
		hole -= missing;
		if (!hole)
			return true;
	}
	if (lost && hole <= most) {
		missing = hole < first->span ? hole : first->span;
		ret->verdict = JITTER_LOST;
		ret->span = missing;
		ret->adjacent = missing == hole;
		fill(j, ret, first);
		j->next_ts += missing;
		give_up(j, ret->adjacent ? (uint16_t)(first->seq - 1) : (uint16_t)(j->last_seq + 1), first);
		return false;
	}

	/* The sender was silent, or is away for long: the next talkspurt begins when it is due. */
	j->active = false;
	j->bridged = 0;
	return is_due(j, first, now_us);
}

void jitter_next(struct jitter *jitter, struct jitter_next *ret, uint32_t dry_span, uint64_t now_us)
{
	struct slot_j *first;
	int32_t hole;

	*ret = (struct jitter_next){ .verdict = JITTER_PAUSE };
	skip_delay(jitter, now_us);
	if (!jitter->n) {
		run_dry(jitter, ret, dry_span);
		return;
	}

	first = first_of(jitter);
	if (!jitter->active) {
		if (is_due(jitter, first, now_us))
			play(jitter, ret, first);
		return;
	}

	hole = (int32_t)(first->ts - jitter->next_ts);
	if (hole > 0 && !over_hole(jitter, ret, first, (uint32_t)hole, now_us))
		return;
	if (hole <= 0)
		ret->bridged = jitter->bridged; /* it only was late: the delay is longer now */
	play(jitter, ret, first);
}

uint32_t jitter_delay_ms(const struct jitter *jitter, uint32_t held_ms, uint64_t now_us)
{
	int64_t us;

	if (!jitter->active)
		return 0;
	us = delay_us(jitter, jitter->next_ts, now_us) + (int64_t)held_ms * 1000;
	return us > 0 ? (uint32_t)(us / 1000) : 0;
}

int32_t jitter_over_ms(const struct jitter *jitter, uint32_t wait_ms, uint64_t now_us)
{
	if (!jitter->active || jitter->bridged)
		return 0;
	return (int32_t)jitter_delay_ms(jitter, wait_ms, now_us) -
	       (int32_t)jitter_target_ms(jitter);
}
