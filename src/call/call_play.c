/* SPDX-License-Identifier: Apache-2.0 */
#include "call/call_play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "call/call.h"
#include "call/engine.h"
#include "call/leg.h"
#include "media/client.h"
#include "snapshot/snapshot.h"

#define MAX_NAMES        128 /* of one prompt */
#define MAX_SOUND        232 /* as media_play() takes it */
#define FIRST_DEFAULT_MS 5000
#define INTER_DEFAULT_MS 3000
#define OPERATOR_ID      UINT32_MAX /* of what an operator plays */

/* Names and where their recordings are; freed as one block. */
struct sounds {
	const char *list[MAX_NAMES];
	size_t n;
	char text[MAX_NAMES][MAX_SOUND];
};

/* D-367: who called from an extension hears its user's language, others the tenant's. */
const char *call_language(const struct call *call)
{
	if (call->caller_ext && call->caller_ext->language)
		return call->caller_ext->language;

	return call->tenant->language ? call->tenant->language : "it";
}

static struct media_stream *sound_of(const struct leg *leg)
{
	for (size_t i = 0; i < leg->n_streams; i++) {
		if (leg->streams[i] && leg->remote && i < leg->remote->n_media &&
		    leg->remote->media[i].kind == SDESC_AUDIO)
			return leg->streams[i];
	}

	return NULL;
}

/* ------------------------------------------------------------------ what is played */

static void add_name(struct sounds *sounds, const struct call *call, const char *name)
{
	char path[MAX_SOUND - 5];
	char *text = sounds->text[sounds->n];
	int err;

	if (sounds->n == MAX_NAMES)
		return;
	if (strchr(name, ':')) {
		if (strlen(name) >= MAX_SOUND)
			return;
		(void)strcpy(text, name);
	} else {
		err = snap_prompt_path(path, sizeof(path), call->engine->o.snap, call_language(call),
				       name);
		if (err) {
			log_warn("call.no_prompt", "a prompt is missing; look at the folder of prompts",
				 kv_text("prompt", name), kv_text("language", call_language(call)),
				 kv_err(err));
			return;
		}
		(void)snprintf(text, MAX_SOUND, "file:%s", path);
	}
	sounds->list[sounds->n++] = text;
}

static struct sounds *sounds_of(const struct call *call, const struct prompt *prompt)
{
	struct sounds *sounds = mem_zalloc(sizeof(*sounds), NULL);

	if (!sounds)
		return NULL;
	if (prompt->say)
		for (const char *name = say_next(prompt->say, NULL); name;
		     name = say_next(prompt->say, name))
			add_name(sounds, call, name);
	for (size_t i = 0; i < prompt->n_names; i++)
		add_name(sounds, call, prompt->names[i]);

	return sounds;
}

/* Starts it; *id is what its end will be known by. */
static int start(struct call *call, struct leg *leg, const struct prompt *prompt, uint32_t *id)
{
	struct media_stream *stream = sound_of(leg);
	struct sounds *sounds;
	int err;

	if (!stream)
		return -ENOTCONN;
	sounds = sounds_of(call, prompt);
	if (!sounds)
		return -ENOMEM;
	if (!sounds->n) {
		mem_deref(sounds);
		return -ENOENT;
	}

	*id = ++call->n_plays;
	err = media_play(stream, &(struct media_play){ .id = *id,
						       .sounds = sounds->list,
						       .n_sounds = sounds->n,
						       .offset_ms = prompt->offset_ms,
						       .gain_db = prompt->gain_db,
						       .loop = prompt->loop,
						       .mix = prompt->mix });
	mem_deref(sounds);
	return err;
}

static void stop(const struct leg *leg, uint32_t id)
{
	struct media_stream *stream = sound_of(leg);

	if (stream)
		media_play_stop(stream, id);
}

/* ------------------------------------------------------------------ waiting */

/* What may happen to a leg while a service has it. Returns 0 or why the service cannot go on. */
static int on_other(struct call *call, const struct leg *leg, const struct call_event *event)
{
	switch (event->type) {
	case CALL_EV_OFFER:
		return call_offer(call, event->leg, event);
	case CALL_EV_ENDED:
		return event->leg == leg ? -ECONNRESET : 0;
	case CALL_EV_MEDIA_LOST:
		call->result.q850 = 41;
		return -EUNAVAILABLE;
	case CALL_EV_PROGRESS:
	case CALL_EV_ANSWERED:
	case CALL_EV_REANSWER:
	case CALL_EV_ACK:
	case CALL_EV_INFO:
	case CALL_EV_DIGIT:
	case CALL_EV_PLAYED:
	case CALL_EV_RECORDED:
	case CALL_EV_ROOM_OVER:
	case CALL_EV_FAX:
	case CALL_EV_PLAY:
	case CALL_EV_PLAY_OVER:
		break;
	}

	return 0;
}

int call_idle(struct call *call, uint64_t deadline_ms)
{
	struct call_event *event;
	int err;

	do {
		err = call_next(call, deadline_ms, &event);
		if (err)
			return err;
		err = on_other(call, call->a, event);
		mem_deref(event);
	} while (!err);

	return err;
}

/* What somebody who hears a prompt, or has heard it, does. */
struct hearing {
	struct call *call;
	struct leg *leg;
	uint32_t id;      /* of what plays */
	bool plays;
	int play_err;     /* of what has played */
	enum media_end reason;
};

/*
 * The next thing that matters: the end of the prompt (0; plays is false then), a key (> 0), or an error,
 * -ETIMEDOUT too.
 */
static int next_thing(struct hearing *hearing, uint64_t deadline_ms)
{
	struct call_event *event;
	int err;

	for (;;) {
		err = call_next(hearing->call, deadline_ms, &event);
		if (err)
			return err;

		if (event->type == CALL_EV_PLAYED && event->leg == hearing->leg &&
		    event->id == hearing->id && hearing->plays) {
			hearing->plays = false;
			hearing->play_err = event->err;
			hearing->reason = event->reason;
			mem_deref(event);
			return 0;
		}
		if (event->type == CALL_EV_DIGIT && event->leg == hearing->leg) {
			char key = event->digit;

			mem_deref(event);
			return key;
		}
		err = on_other(hearing->call, hearing->leg, event);
		mem_deref(event);
		if (err)
			return err;
	}
}

static void interrupt(struct hearing *hearing)
{
	if (hearing->plays)
		stop(hearing->leg, hearing->id);
	hearing->plays = false;
}

/* Begins to play, if there is something; the leg's reference is held until let_go(). */
static int begin(struct hearing *hearing, struct call *call, const struct prompt *prompt)
{
	struct leg *leg = prompt && prompt->leg ? prompt->leg : call->a;
	int err = 0;

	if (!leg)
		return -EHANGUP;
	if (prompt)
		err = start(call, leg, prompt, &hearing->id);
	if (err)
		return err;

	hearing->call = call;
	hearing->leg = mem_ref(leg);
	hearing->plays = prompt;
	return 0;
}

static void let_go(struct hearing *hearing)
{
	hearing->leg = mem_deref(hearing->leg);
}

/* ------------------------------------------------------------------ verbs */

int call_play(struct call *call, const struct prompt *prompt)
{
	struct hearing hearing = { 0 };
	int n;

	n = begin(&hearing, call, prompt);
	if (n)
		return n;

	do {
		n = next_thing(&hearing, FIBER_FOREVER);
	} while (n > 0 && !(prompt->keys && strchr(prompt->keys, n)));

	if (!n && hearing.reason == MEDIA_END_FAILED) {
		log_warn("call.play_failed", "nothing of a prompt could be played",
			 kv_text("linkedid", call->linkedid), kv_err(hearing.play_err));
		n = -ENOENT;
	}
	interrupt(&hearing);
	let_go(&hearing);
	return n;
}

/* When a collection is over, at the latest. */
static uint64_t sooner(uint64_t a_ms, uint64_t b_ms)
{
	return a_ms < b_ms ? a_ms : b_ms;
}

int call_play_collect(struct call *call, const struct prompt *prompt, char *digits, size_t max,
		      const struct collect *collect)
{
	const uint32_t first_ms = collect->first_ms ? collect->first_ms : FIRST_DEFAULT_MS;
	const uint32_t inter_ms = collect->inter_ms ? collect->inter_ms : INTER_DEFAULT_MS;
	uint64_t end_ms = FIBER_FOREVER, deadline_ms = FIBER_FOREVER;
	struct hearing hearing = { 0 };
	bool is_counting = false;
	size_t got = 0;
	int n;

	n = begin(&hearing, call, prompt);
	if (n == -ENOENT) { /* logged; who knows the service needs no prompt */
		prompt = NULL;
		n = begin(&hearing, call, NULL);
	}
	if (n)
		return n;

	while (got < max) {
		if (!hearing.plays && !is_counting) {
			is_counting = true;
			end_ms = collect->total_ms ? clk_mono_ms() + collect->total_ms : FIBER_FOREVER;
			deadline_ms = clk_mono_ms() + first_ms;
		}
		n = next_thing(&hearing, sooner(deadline_ms, end_ms));
		if (n == -ETIMEDOUT) {
			n = 0;
			break;
		}
		if (n < 0)
			break;
		if (!n || (hearing.plays && collect->no_barge_in))
			continue;

		interrupt(&hearing);
		if (collect->terminator && n == collect->terminator)
			break;
		digits[got++] = (char)n;
		if (!is_counting)
			end_ms = collect->total_ms ? clk_mono_ms() + collect->total_ms : FIBER_FOREVER;
		is_counting = true;
		deadline_ms = clk_mono_ms() + inter_ms;
	}

	interrupt(&hearing);
	let_go(&hearing);
	return n < 0 ? n : (int)got;
}

int call_sound_start(struct call *call, struct leg *leg, const char *sound)
{
	const char *const names[] = { sound };
	uint32_t id;

	return start(call, leg, &(struct prompt){ .names = names, .n_names = 1, .loop = true }, &id);
}

void call_sound_stop(struct leg *leg)
{
	if (leg && leg->call)
		stop(leg, leg->call->n_plays);
}

int call_ringback_start(struct call *call, const char *country)
{
	int err = call_progress(call);

	return err ? err : call_sound_start(call, call->a, e180_sound(country, E180_RINGBACK));
}

int call_echo(struct call *call)
{
	struct leg *leg = call->a;

	if (!leg)
		return -EHANGUP;
	for (size_t i = 0; i < leg->n_streams; i++) {
		if (leg->streams[i])
			media_bridge(leg->streams[i], leg->streams[i]);
	}
	return 0;
}

/* ------------------------------------------------------------------ operators */

static bool tones_exist(const char *lines)
{
	for (const char *line = lines; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *name = e180_asked(line);
		char buf[32];

		if (!name)
			continue;
		(void)snprintf(buf, sizeof(buf), "%.*s", (int)strcspn(name, "\n"), name);
		if (!e180_named(buf))
			return false;
	}
	return true;
}

int call_post_play(struct call *call, bool to_b, const char *sounds, bool mix)
{
	struct leg *leg = to_b ? call->b : call->a;
	struct pl body;

	if (sounds && !tones_exist(sounds))
		return -EINVAL;

	if (!leg)
		return -ENOTCONN;
	if (leg->direct)
		return -ENOTSUP;
	pl_set_str(&body, sounds);
	call_post(call, mix ? CALL_EV_PLAY_OVER : CALL_EV_PLAY, leg, 0, 0, 0, NULL, NULL, &body);
	return 0;
}

static int play_lines(struct call *call, struct leg *leg, char *lines, bool mix)
{
	struct media_stream *stream = sound_of(leg);
	struct sounds *sounds = mem_zalloc(sizeof(*sounds), NULL);
	char *rest = NULL;
	bool is_tone = false;
	int err = -ENOTCONN;

	if (!sounds)
		return -ENOMEM;
	for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		const char *tone = e180_asked(line);

		is_tone = tone != NULL;
		add_name(sounds, call, is_tone ? e180_named(tone) : line);
	}
	if (stream && sounds->n)
		err = media_play(stream, &(struct media_play){ .id = OPERATOR_ID,
							       .sounds = sounds->list,
							       .n_sounds = sounds->n,
							       .loop = is_tone && sounds->n == 1,
							       .mix = mix });
	mem_deref(sounds);
	return err;
}

void call_on_play(struct call *call, const struct call_event *event)
{
	struct leg *leg = event->leg;
	int err = 0;

	if (!event->body) {
		stop(leg, OPERATOR_ID);
		return;
	}
	if (leg == call->a && leg->state != LEG_UP)
		err = call_progress(call); /* early media */
	if (!err)
		err = play_lines(call, leg, event->body, event->type == CALL_EV_PLAY_OVER);
	if (err && err != -EHANGUP)
		log_warn("call.operator_play", "what an operator wants to play cannot be heard",
			 kv_text("linkedid", call->linkedid), kv_err(err));
}
