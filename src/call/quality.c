/* SPDX-License-Identifier: Apache-2.0 */
#include "call/quality.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/re.h"
#include "call/call.h"
#include "call/leg.h"
#include "snapshot/snapshot.h"

struct call_quality {
	struct call *call;
	struct list words; /* that are awaited */
	size_t n;
	struct leg_quality {
		bool is_caller, is_known;
		char account[CALL_TEXT];
		struct media_stats stats;
	} legs[QUALITY_MAX_LEGS];
};

struct last_word { /* argument of a closed stream's handler */
	struct le le; /* of->words, which owns it */
	struct call_quality *of;
	struct media_stream *stream;
	size_t leg;
};

static const char *const codec_names[MEDIA_CODECS] = {
	[MEDIA_CODEC_OTHER] = "",  [MEDIA_PCMA] = "PCMA", [MEDIA_PCMU] = "PCMU",
	[MEDIA_G722] = "G722",	   [MEDIA_GSM] = "GSM",	  [MEDIA_OPUS] = "opus",
	[MEDIA_L16] = "L16",	   [MEDIA_G726_32] = "G726-32", [MEDIA_G729] = "G729",
};

/* "PCMA"; "" for one that only passes. */
static const char *codec_name(enum media_codec codec)
{
	return codec < MEDIA_CODECS ? codec_names[codec] : "";
}

static void last_word_destructor(void *arg)
{
	struct last_word *word = arg;

	list_unlink(&word->le);
	mem_deref(word->stream); /* nothing of it is heard any more */
}

static void quality_destructor(void *arg)
{
	struct call_quality *of = arg;

	list_flush(&of->words);
}

/* STATS, or the stream is gone without a word. */
static void last_word_h(const struct media_event *event, void *arg)
{
	struct last_word *word = arg;
	struct call_quality *of = word->of;

	if (event->type == MEDIA_EV_STATS) {
		of->legs[word->leg].stats = event->stats;
		of->legs[word->leg].is_known = event->stats.rx_packets || event->stats.tx_packets;
	} else if (event->type != MEDIA_EV_LOST && event->type != MEDIA_EV_FAILED) {
		return;
	}
	mem_deref(word);
	if (list_isempty(&of->words))
		call_wake(of->call);
}

static struct call_quality *quality_of(struct call *call)
{
	if (!call->quality) {
		call->quality = mem_zalloc(sizeof(*call->quality), quality_destructor);
		if (call->quality)
			call->quality->call = call;
	}
	return call->quality && call->quality->n < QUALITY_MAX_LEGS ? call->quality : NULL;
}

void call_quality_close(struct leg *leg, struct media_stream *stream)
{
	struct call_quality *of = NULL;
	struct last_word *word;

	/* A stream that heard nobody has nothing to say, and closing it costs no answer then. */
	if (leg->call && leg->has_sound && media_stream_opened(stream))
		of = quality_of(leg->call);
	word = of ? mem_zalloc(sizeof(*word), last_word_destructor) : NULL;
	if (!word) {
		mem_deref(stream);
		return;
	}

	word->of = of;
	word->stream = stream;
	word->leg = of->n++;
	of->legs[word->leg].is_caller = leg == leg->call->a || leg->incoming;
	str_ncpy(of->legs[word->leg].account, leg->account ? leg->account->username : "",
		 sizeof(of->legs[word->leg].account));
	list_append(&of->words, &word->le, word);
	media_stream_handler(stream, last_word_h, word);
	media_stream_close(stream);
}

void call_quality_wait(struct call *call)
{
	uint64_t deadline_ms = clk_mono_ms() + QUALITY_WAIT_MS;

	if (!call->quality)
		return;

	fiber_shield(call->fiber, true);
	while (!list_isempty(&call->quality->words) && !fiber_wait(deadline_ms))
		;
	fiber_shield(call->fiber, false);
	list_flush(&call->quality->words);
}

/* For one digit after the point; 0 is a round trip that nobody has measured. */
static double rounded_ms(uint32_t us)
{
	return us && us < 100 ? 0.1 : us / 1000.0;
}

static int print_leg(char *buf, size_t size, const struct leg_quality *leg)
{
	const struct media_stats *s = &leg->stats;

	/* Names of accounts were checked when they were given: nothing in them needs escaping. */
	return snprintf(buf, size,
			"{\"leg\":\"%s\",\"account\":\"%s\",\"codec\":\"%s\",\"transcoded\":%s,"
			"\"mos\":%.2f,\"mos_min\":%.2f,\"rx_packets\":%llu,\"rx_lost\":%llu,"
			"\"tx_packets\":%llu,\"tx_lost\":%llu,\"jitter_ms\":%.1f,\"jitter_max_ms\":%.1f,"
			"\"tx_jitter_ms\":%.1f,\"rtt_ms\":%.1f,\"rtt_max_ms\":%.1f}",
			leg->is_caller ? "caller" : "callee", leg->account, codec_name(s->codec),
			s->transcoded ? "true" : "false", s->mos_x100 / 100.0, s->mos_min_x100 / 100.0,
			(unsigned long long)s->rx_packets, (unsigned long long)s->rx_lost,
			(unsigned long long)s->tx_packets, (unsigned long long)s->tx_lost,
			s->jitter_us / 1000.0, s->jitter_max_us / 1000.0, s->tx_jitter_us / 1000.0,
			rounded_ms(s->rtt_us), rounded_ms(s->rtt_max_us));
}

void call_quality_print(const struct call *call, char *buf, size_t size)
{
	const struct call_quality *of = call->quality;
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; of && i < of->n; i++) {
		int n;

		if (!of->legs[i].is_known || size - len < 4)
			continue;
		buf[len] = len ? ',' : '[';
		n = print_leg(buf + len + 1, size - len - 2, &of->legs[i]);
		if (n < 0 || (size_t)n >= size - len - 2)
			break; /* no room: what is there stays whole */
		len += 1 + (size_t)n;
	}
	(void)snprintf(buf + len, size - len, "%s", len ? "]" : "");
}
