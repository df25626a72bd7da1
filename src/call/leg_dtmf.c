/* SPDX-License-Identifier: Apache-2.0 */
#include "call/leg_dtmf.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "call/call.h"
#include "call/engine.h"
#include "call/leg.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

#define SAME_KEY_MS 2000  /* an event this close to an INFO of its digit is the same press */
#define MAX_MS      10000

static const char keys[] = "0123456789*#ABCD"; /* in the order of RFC 4733 */

/* ------------------------------------------------------------------ bodies of INFO */

/* "5", "*", "d", or the number of an event: 10 is *, 16 a flash. 0: none that we know. */
static char key_of(const struct pl *text)
{
	struct pl pl = *text;
	const char *found;
	uint32_t event;

	if (pl.l == 1) {
		found = memchr(keys, pl.p[0] >= 'a' ? pl.p[0] - 'a' + 'A' : pl.p[0], sizeof(keys) - 1);
		return found ? *found : 0;
	}
	if (pl.l != 2 || pl.p[0] < '0' || pl.p[0] > '9' || pl.p[1] < '0' || pl.p[1] > '9')
		return 0;
	event = pl_u32(&pl);
	return event < sizeof(keys) - 1 ? keys[event] : 0;
}

static struct pl trimmed(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		end--;
	return (struct pl){ .p = p, .l = (size_t)(end - p) };
}

/* "Signal=5\r\nDuration=160\r\n", with any spaces. */
static void parse_relay(char *digit, uint32_t *duration_ms, const struct pl *body)
{
	const char *p = body->p, *end = body->p + body->l;

	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		const char *stop = eol ? eol : end;
		const char *eq = memchr(p, '=', (size_t)(stop - p));

		if (eq) {
			struct pl name = trimmed(p, eq), value = trimmed(eq + 1, stop);

			if (!pl_strcasecmp(&name, "Signal"))
				*digit = key_of(&value);
			else if (!pl_strcasecmp(&name, "Duration"))
				*duration_ms = pl_u32(&value);
		}
		p = eol ? eol + 1 : end;
	}
}

static struct pl media_type(const struct pl *ctype)
{
	const char *end = ctype->l ? memchr(ctype->p, ';', ctype->l) : NULL;

	return trimmed(ctype->p, end ? end : ctype->p + ctype->l);
}

int leg_dtmf_parse(char *digit, uint32_t *duration_ms, const struct pl *ctype, const struct pl *body)
{
	struct pl type = media_type(ctype);
	const char *eol;

	*digit = 0;
	*duration_ms = 0;
	if (!pl_strcasecmp(&type, "application/dtmf-relay")) {
		if (body->l)
			parse_relay(digit, duration_ms, body);
	} else if (!pl_strcasecmp(&type, "application/dtmf")) {
		struct pl key;

		eol = body->l ? memchr(body->p, '\n', body->l) : NULL;
		key = trimmed(body->p, eol ? eol : body->p + body->l);
		*digit = key_of(&key);
	} else if (pl_strcasecmp(&type, "application/hook-flash")) {
		return -ENOENT;
	}
	if (!*duration_ms || *duration_ms > MAX_MS)
		*duration_ms = LEG_DTMF_MS;
	return 0;
}

/* ------------------------------------------------------------------ what was agreed */

/* Some phones answer with events that they were not offered. */
static bool events_agreed(const struct leg *leg)
{
	const struct sdesc_media *theirs = leg->remote ? sdesc_audio(leg->remote) : NULL;
	const struct sdesc_media *ours = leg->local_desc ? sdesc_audio(leg->local_desc) : NULL;

	return theirs && ours && neg_event_pt(theirs) >= 0 && neg_event_pt(ours) >= 0;
}

/* ------------------------------------------------------------------ digits that come */

static void tell_info(struct leg *leg, char digit, uint32_t duration_ms)
{
	leg->dtmf.last = digit;
	leg->dtmf.last_at_ms = clk_mono_ms();
	call_post_digit(leg->call, leg, digit, duration_ms, true);
}

/* No event came for them: this phone says its keys by INFO. */
static void hold_over(void *arg)
{
	struct leg *leg = arg;
	size_t n = leg->dtmf.n_held;

	leg->dtmf.n_held = 0;
	leg->dtmf.found = LEG_DTMF_BY_INFO;
	for (size_t i = 0; i < n && leg->call; i++)
		tell_info(leg, leg->dtmf.held[i].digit, leg->dtmf.held[i].duration_ms);
}

bool leg_dtmf_info(struct leg *leg, const struct pl *ctype, const struct pl *body)
{
	struct leg_dtmf *dtmf = &leg->dtmf;
	uint32_t duration_ms;
	char digit;

	if (leg_dtmf_parse(&digit, &duration_ms, ctype, body))
		return false;
	if (!digit || dtmf->found == LEG_DTMF_BY_MEDIA)
		return true;

	if (dtmf->found == LEG_DTMF_BY_INFO || !events_agreed(leg)) {
		tell_info(leg, digit, duration_ms);
		return true;
	}

	/* A phone that could send events, and has shown none yet: some say each key in both ways. */
	if (dtmf->n_held == LEG_DTMF_HELD)
		return true;
	dtmf->held[dtmf->n_held].digit = digit;
	dtmf->held[dtmf->n_held++].duration_ms = duration_ms;
	if (!tmr_isrunning(&dtmf->tmr))
		tmr_start(&dtmf->tmr, LEG_DTMF_HOLD_MS, hold_over, leg);
	return true;
}

void leg_dtmf_heard(struct leg *leg, char digit, uint32_t duration_ms)
{
	struct leg_dtmf *dtmf = &leg->dtmf;
	bool was_told = dtmf->last == digit && clk_mono_ms() - dtmf->last_at_ms < SAME_KEY_MS;

	dtmf->found = LEG_DTMF_BY_MEDIA;
	dtmf->n_held = 0;
	dtmf->last = 0;
	tmr_cancel(&dtmf->tmr);
	if (!was_told)
		call_post_digit(leg->call, leg, digit, duration_ms, false);
}

/* ------------------------------------------------------------------ digits that go */

enum media_dtmf leg_dtmf_way(const struct leg *leg, int event_pt)
{
	enum media_dtmf fallback = event_pt >= 0 && events_agreed(leg) ? MEDIA_DTMF_EVENT :
									 MEDIA_DTMF_INBAND;

	switch ((enum snap_dtmf)snap_sip(leg->engine->o.snap)->dtmf_mode) {
	case SNAP_DTMF_INFO:
		return leg->inv && inv_peer_allows(leg->inv, "INFO") ? MEDIA_DTMF_NONE : fallback;
	case SNAP_DTMF_INBAND:
		return MEDIA_DTMF_INBAND;
	case SNAP_DTMF_RFC2833:
		break;
	}
	return fallback;
}

static enum media_dtmf way_of(const struct leg *leg)
{
	const struct sdesc_media *theirs = leg->remote ? sdesc_audio(leg->remote) : NULL;

	return leg_dtmf_way(leg, theirs ? neg_event_pt(theirs) : -1);
}

static struct media_stream *sound_of(const struct leg *leg)
{
	for (size_t i = 0; leg->remote && i < leg->n_streams && i < leg->remote->n_media; i++)
		if (leg->streams[i] && leg->remote->media[i].kind == SDESC_AUDIO)
			return leg->streams[i];
	return NULL;
}

static void send_info(struct leg *leg, char digit, uint32_t duration_ms)
{
	char body[48];
	int err;

	(void)re_snprintf(body, sizeof(body), "Signal=%c\r\nDuration=%u\r\n", digit, duration_ms);
	err = inv_info(leg->inv, "application/dtmf-relay", body);
	if (err)
		log_warn("call.dtmf_info", "a digit could not be sent by INFO",
			 kv_text("linkedid", leg->call ? leg->call->linkedid : ""), kv_err(err));
}

void leg_dtmf_send(struct leg *leg, char digit, uint32_t duration_ms)
{
	struct media_stream *sound = sound_of(leg);

	/* Direct media: there is no stream of ours to put it into. */
	if (leg->inv && (way_of(leg) == MEDIA_DTMF_NONE || !sound))
		send_info(leg, digit, duration_ms);
	else if (sound)
		media_dtmf_send(sound, digit, duration_ms);
}

void leg_dtmf_pass(struct leg *leg, const struct call_event *event)
{
	if (event->by_info || way_of(leg) == MEDIA_DTMF_NONE)
		leg_dtmf_send(leg, event->digit, event->duration_ms);
}

/* ------------------------------------------------------------------ tones in the sound */

/* Its phone was not given, or did not take, another way to say its keys. */
static bool speaks_tones(const struct leg *leg)
{
	switch ((enum snap_dtmf)snap_sip(leg->engine->o.snap)->dtmf_mode) {
	case SNAP_DTMF_INFO:
		return false;
	case SNAP_DTMF_INBAND:
		return true;
	case SNAP_DTMF_RFC2833:
		break;
	}
	return !events_agreed(leg);
}

void leg_dtmf_update(struct leg *leg, const struct leg *partner)
{
	struct media_stream *sound = sound_of(leg);
	/* Two fax machines find each other by themselves; a service must know. */
	const bool fax = !partner;
	bool want;

	if (!sound)
		return;

	/* Between two that speak tones they pass as sound: nobody has to listen. */
	want = speaks_tones(leg) && (!partner || way_of(partner) != MEDIA_DTMF_INBAND);
	if (want == leg->dtmf.is_listening && fax == leg->dtmf.is_listening_fax)
		return;
	leg->dtmf.is_listening = want;
	leg->dtmf.is_listening_fax = fax;
	media_listen(sound, &(struct media_listen_opts){ .inband = want, .fax = fax });
}

void leg_dtmf_close(struct leg *leg)
{
	tmr_cancel(&leg->dtmf.tmr);
	leg->dtmf.n_held = 0;
}
