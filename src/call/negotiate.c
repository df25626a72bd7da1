/* SPDX-License-Identifier: Apache-2.0 */
#include "call/negotiate.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "media/codec.h"
#include "snapshot/snapshot.h"

#define FIRST_DYNAMIC 96
#define LAST_DYNAMIC  127

#define WIDE_EVENT_PT 110 /* telephone-event at the clock of Opus */

/*
 * What the media process decodes and encodes, and how we offer it. Static numbers are RFC 3551's; of
 * the others the first free one is taken, these being tried first.
 */
static const struct neg_codec {
	int snap; /* enum snap_codec; -1: never offered by us */
	enum media_codec media;
	const char *name;
	uint32_t clock_hz;
	uint8_t channels;
	int pt;
	const char *fmtp;
} neg_codecs[] = {
	{ SNAP_PCMA, MEDIA_PCMA, "PCMA", 8000, 1, 8, NULL },
	{ SNAP_PCMU, MEDIA_PCMU, "PCMU", 8000, 1, 0, NULL },
	{ SNAP_G722, MEDIA_G722, "G722", 8000, 1, 9, NULL },
	{ SNAP_G726, MEDIA_G726_32, "G726-32", 8000, 1, 112, NULL },
	{ SNAP_G729, MEDIA_G729, "G729", 8000, 1, 18, "annexb=no" },
	{ SNAP_GSM, MEDIA_GSM, "GSM", 8000, 1, 3, NULL },
	{ SNAP_OPUS, MEDIA_OPUS, "opus", 48000, 2, 111, "useinbandfec=1" },
	{ -1, MEDIA_L16, "L16", 0, 1, -1, NULL },
};

/* G.729 is optional when the program is built. */
static bool can_transcode(enum media_codec codec, uint32_t clock_hz)
{
	return codec != MEDIA_CODEC_OTHER && codec_find(codec, clock_hz);
}

static enum media_codec media_of(const struct sdesc_format *format)
{
	for (size_t i = 0; i < ARRAY_SIZE(neg_codecs); i++) {
		const struct neg_codec *codec = &neg_codecs[i];

		if (!strcasecmp(format->name, codec->name) &&
		    (!codec->clock_hz || codec->clock_hz == format->clock_hz) &&
		    codec->channels == format->channels)
			return codec->media;
	}

	return MEDIA_CODEC_OTHER;
}

static const struct neg_codec *own_codec(uint8_t snap)
{
	for (size_t i = 0; i < ARRAY_SIZE(neg_codecs); i++) {
		if (neg_codecs[i].snap == snap)
			return &neg_codecs[i];
	}

	return NULL;
}

static bool is_named(const struct sdesc_format *format, const char *name)
{
	return !strcasecmp(format->name, name);
}

static bool is_event(const struct sdesc_format *format)
{
	return is_named(format, "telephone-event");
}

static bool is_same(const struct sdesc_format *a, const struct sdesc_format *b)
{
	return is_named(a, b->name) && a->clock_hz == b->clock_hz && a->channels == b->channels;
}

/* The same codec in another line: under the same number if possible, for a codec may be there twice
 * (H.264 in two modes). */
static const struct sdesc_format *find_like(const struct sdesc_media *line,
					    const struct sdesc_format *like)
{
	const struct sdesc_format *found = NULL;

	for (size_t i = 0; i < line->n_formats; i++) {
		const struct sdesc_format *format = &line->formats[i];

		if (!is_same(format, like))
			continue;
		if (format->pt == like->pt)
			return format;
		if (!found)
			found = format;
	}

	return found;
}

static bool is_allowed(const struct sdesc_format *format, const struct snap_codecs *list)
{
	const int codec = sdesc_snap_codec(format);

	for (uint8_t i = 0; i < list->n; i++) {
		if (list->list[i] == codec)
			return true;
	}

	return false;
}

bool neg_is_fax(const struct sdesc_media *line)
{
	return line->kind == SDESC_IMAGE && !strcasecmp(line->proto, "udptl") && line->n_formats &&
	       !strcasecmp(line->formats[0].id, "t38");
}

bool neg_is_transcodable(const struct sdesc_media *line, const struct neg_side *side)
{
	for (size_t i = 0; i < line->n_formats && !side->direct; i++) {
		if (can_transcode(media_of(&line->formats[i]), line->formats[i].clock_hz) &&
		    is_allowed(&line->formats[i], side->audio))
			return true;
	}

	return false;
}

bool neg_hears(const struct sdesc *said)
{
	for (size_t i = 0; i < said->n_media; i++) {
		if (said->media[i].kind == SDESC_AUDIO && said->media[i].port &&
		    said->media[i].dir & SDESC_RECVONLY)
			return true;
	}

	return false;
}

int neg_event_pt(const struct sdesc_media *line)
{
	const struct sdesc_format *codec = sdesc_codec(line);
	int pt = -1;

	for (size_t i = 0; i < line->n_formats; i++) {
		if (!is_event(&line->formats[i]))
			continue;
		if (codec && line->formats[i].clock_hz == codec->clock_hz)
			return line->formats[i].pt;
		if (pt < 0)
			pt = line->formats[i].pt;
	}

	return pt;
}

/* ------------------------------------------------------------------ making a line */

struct maker {
	struct sdesc_media *line;
	const struct sdesc_media *before; /* NULL: the line is new */
};

/* RFC 3264 section 8.3.2: within a session a number never means another codec. */
static bool is_free(const struct maker *m, int pt, const struct sdesc_format *like)
{
	if (pt < 0)
		return false;
	for (size_t i = 0; i < m->line->n_formats; i++) {
		if (m->line->formats[i].pt == pt)
			return false;
	}
	for (size_t i = 0; m->before && i < m->before->n_formats; i++) {
		if (m->before->formats[i].pt == pt && !is_same(&m->before->formats[i], like))
			return false;
	}

	return true;
}

/* As the side knows it already, else as the other side calls it, else as we do. */
static int number_for(const struct maker *m, const struct sdesc_format *like, int theirs, int ours)
{
	const struct sdesc_format *known = m->before ? find_like(m->before, like) : NULL;
	const int wanted[] = { known ? known->pt : -1, theirs, ours };

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (is_free(m, wanted[i], like))
			return wanted[i];
	}
	for (int pt = LAST_DYNAMIC; pt >= FIRST_DYNAMIC; pt--) {
		if (pt != NEG_EVENT_PT && is_free(m, pt, like))
			return pt;
	}

	return -1;
}

/* Without printf: each call has eight of them. */
static void put_number(char id[16], unsigned n)
{
	char *p = id;

	for (unsigned unit = n >= 100 ? 100 : n >= 10 ? 10 : 1; unit; unit /= 10)
		*p++ = (char)('0' + n / unit % 10);
	*p = '\0';
}

static void add_format(struct sdesc_media *line, const struct sdesc_format *like, int pt,
		       const char *fmtp)
{
	struct sdesc_format *format;

	if (line->n_formats == SDESC_MAX_FORMATS || pt < 0)
		return;
	format = &line->formats[line->n_formats++];
	*format = *like;
	format->pt = pt;
	format->fmtp = fmtp;
	put_number(format->id, (unsigned)pt);
}

static void add_numbered(const struct maker *m, const struct sdesc_format *like, int ours)
{
	add_format(m->line, like, number_for(m, like, like->pt, ours), like->fmtp);
}

static void add_own(const struct maker *m, const struct neg_codec *codec)
{
	struct sdesc_format format = { .clock_hz = codec->clock_hz, .channels = codec->channels };

	str_ncpy(format.name, codec->name, sizeof(format.name));
	add_format(m->line, &format, number_for(m, &format, -1, codec->pt), codec->fmtp);
}

static void add_event(const struct maker *m, uint32_t clock_hz, int pt)
{
	struct sdesc_format format = { .clock_hz = clock_hz, .channels = 1 };

	str_ncpy(format.name, "telephone-event", sizeof(format.name));
	add_format(m->line, &format, number_for(m, &format, pt, pt), "0-16");
}

/* The grammar wants one format even on a line that is refused. */
static void refuse(struct sdesc_media *line, const struct sdesc_media *like)
{
	struct sdesc_format *formats = line->formats;

	*line = *like;
	line->formats = formats;
	line->port = 0;
	line->attrs = NULL;
	line->n_attrs = 0;
	line->n_formats = like->n_formats ? 1 : 0;
	if (line->n_formats) {
		line->formats[0] = like->formats[0];
		line->formats[0].fmtp = NULL;
	}
}

static void limit_bandwidth(struct sdesc_media *line, const struct neg_side *side)
{
	if (side->video_kbps && (!line->bandwidth_as || line->bandwidth_as > side->video_kbps))
		line->bandwidth_as = side->video_kbps;
}

/* ------------------------------------------------------------------ the offer */

/* Shared codecs as the other side wrote them, so that nothing has to be translated. */
static void add_shared(const struct maker *m, const struct sdesc_media *want,
		       const struct snap_codecs *from, const struct snap_codecs *to)
{
	for (uint8_t k = 0; k < to->n; k++) {
		const struct neg_codec *own = own_codec(to->list[k]);

		for (size_t i = 0; i < want->n_formats; i++) {
			const struct sdesc_format *format = &want->formats[i];

			if (sdesc_snap_codec(format) == to->list[k] && is_allowed(format, from))
				add_numbered(m, format, own ? own->pt : -1);
		}
	}
}

static void add_transcoded(const struct maker *m, const struct snap_codecs *to)
{
	for (uint8_t k = 0; k < to->n; k++) {
		const struct neg_codec *own = own_codec(to->list[k]);
		struct sdesc_format like = { 0 };

		if (!own || !can_transcode(own->media, own->clock_hz))
			continue;
		like.clock_hz = own->clock_hz;
		like.channels = own->channels;
		str_ncpy(like.name, own->name, sizeof(like.name));
		if (!find_like(m->line, &like))
			add_own(m, own);
	}
}

static bool has_clock(const struct sdesc_media *line, size_t n, uint32_t clock_hz)
{
	for (size_t i = 0; i < n; i++) {
		if (line->formats[i].clock_hz == clock_hz)
			return true;
	}

	return false;
}

static void add_companions(const struct maker *m, const struct sdesc_media *want, const char *name)
{
	const size_t n = m->line->n_formats;

	for (size_t i = 0; i < want->n_formats; i++) {
		const struct sdesc_format *format = &want->formats[i];

		/* Browsers have comfort noise for clocks that no codec of theirs uses. */
		if (is_named(format, name) &&
		    (is_event(format) || has_clock(m->line, n, format->clock_hz)))
			add_numbered(m, format, -1);
	}
}

static bool has_number(const struct sdesc_media *line, uint32_t pt)
{
	for (size_t i = 0; i < line->n_formats; i++) {
		if (line->formats[i].pt == (int)pt)
			return true;
	}

	return false;
}

/* Lost packets again (RFC 4588), of a format that is there under the same number. */
static bool repeats(const struct sdesc_format *format, const struct sdesc_media *line)
{
	return is_named(format, "rtx") && has_number(line, sdesc_fmtp_number(format, "apt", UINT32_MAX));
}

/* Pictures pass without a look at their numbers: under theirs or not at all. */
static void add_repeats(const struct maker *m, const struct sdesc_media *want)
{
	for (size_t i = 0; i < want->n_formats; i++) {
		const struct sdesc_format *format = &want->formats[i];

		if (repeats(format, m->line) && is_free(m, format->pt, format))
			add_format(m->line, format, format->pt, format->fmtp);
	}
}

static void add_events(const struct maker *m)
{
	const size_t n = m->line->n_formats;
	bool wide = false;

	for (size_t i = 0; i < n; i++)
		wide |= m->line->formats[i].clock_hz == 48000;
	add_event(m, 8000, NEG_EVENT_PT);
	if (wide)
		add_event(m, 48000, WIDE_EVENT_PT);
}

/* want NULL: all that we can. Returns false when nothing can be offered. */
static bool offer_audio(const struct maker *m, const struct sdesc_media *want,
			const struct neg_side *from, const struct neg_side *to)
{
	if (want)
		add_shared(m, want, from->audio, to->audio);
	if (!to->direct && (!want || neg_is_transcodable(want, from)))
		add_transcoded(m, to->audio);
	if (!m->line->n_formats)
		return false;

	if (want)
		add_companions(m, want, "CN");
	if (to->direct && want)
		add_companions(m, want, "telephone-event");
	else if (to->events)
		add_events(m);
	return true;
}

static bool offer_video(const struct maker *m, const struct sdesc_media *want,
			const struct neg_side *from, const struct neg_side *to)
{
	add_shared(m, want, from->video, to->video);
	if (!m->line->n_formats)
		return false;

	add_companions(m, want, "red");
	add_repeats(m, want);
	limit_bandwidth(m->line, to);
	return true;
}

/* CHG-ENG-05. Datagrams pass untouched, so that error correction can be told away but not added. */
static void limit_fax(struct sdesc_media *line, const struct sdesc_media *like,
		      const struct neg_side *side)
{
	line->t38_max_datagram =
		side->t38_max_datagram && !side->direct ? side->t38_max_datagram : like->t38_max_datagram;
	line->t38_ec = side->t38_ec && like->t38_ec > side->t38_ec ? side->t38_ec : like->t38_ec;
}

static bool offer_fax(const struct maker *m, const struct sdesc_media *want,
		      const struct neg_side *from, const struct neg_side *to)
{
	if (!neg_is_fax(want) || !from->t38 || !to->t38)
		return false;

	m->line->formats[0] = want->formats[0];
	m->line->n_formats = 1;
	limit_fax(m->line, want, to);
	return true;
}

/* Sound and pictures that travel otherwise than by RTP are not for us. */
static bool is_known(const struct sdesc_media *line)
{
	return (line->kind != SDESC_AUDIO && line->kind != SDESC_VIDEO) || sdesc_is_rtp(line->proto);
}

/* "RTP/SAVPF" of a browser becomes what every phone takes; a plain "RTP/AVPF" was meant so. */
static const char *plain_proto(const struct sdesc_media *want)
{
	if (want->kind == SDESC_IMAGE)
		return want->proto;

	return want->kind == SDESC_VIDEO && !strcmp(want->proto, "RTP/AVPF") ? "RTP/AVPF" : "RTP/AVP";
}

static bool offer_line(struct sdesc_media *line, const struct sdesc_media *want,
		       const struct neg_side *from, const struct neg_side *to,
		       const struct sdesc_media *before)
{
	const bool goes_on = before && before->port && before->kind == want->kind;
	const struct maker m = { .line = line, .before = goes_on ? before : NULL };

	line->kind = want->kind;
	str_ncpy(line->kind_text, want->kind_text, sizeof(line->kind_text));
	str_ncpy(line->proto, goes_on ? before->proto : plain_proto(want), sizeof(line->proto));
	line->port = want->port;
	line->rtp = want->rtp;
	line->rtcp = want->rtcp;
	/* Who is held by the other side hears music (TEL-03): sound flows between us whatever that
	 * said. */
	line->dir = want->kind == SDESC_AUDIO && !to->direct ? SDESC_SENDRECV : want->dir_said;
	line->ptime_ms = want->ptime_ms;
	line->attrs = want->attrs;
	line->n_attrs = want->n_attrs;
	line->bandwidth_as = want->bandwidth_as;
	if (to->direct)
		line->rtcp_mux = want->rtcp_mux;

	if (!want->port || !is_known(want))
		return false;
	switch (want->kind) {
	case SDESC_AUDIO:
		return offer_audio(&m, want, from, to);
	case SDESC_VIDEO:
		return offer_video(&m, want, from, to);
	case SDESC_IMAGE:
		return offer_fax(&m, want, from, to);
	case SDESC_OTHER:
		break;
	}

	return false;
}

struct places {
	int8_t slot[SDESC_MAX_MEDIA]; /* of each line of want; -1 none */
	bool taken[SDESC_MAX_MEDIA];
	size_t n; /* lines of the offer */
};

static void take(struct places *p, size_t line, size_t slot)
{
	p->slot[line] = (int8_t)slot;
	p->taken[slot] = true;
	if (slot >= p->n)
		p->n = slot + 1;
}

/*
 * Lines keep their place for the life of a session (RFC 3264 section 8): the same place and kind as
 * on the other side, else some line of that kind, else the same place (sound that becomes fax), else
 * a place that was given up, else a new one at the end.
 */
static void place_lines(struct places *p, const struct sdesc *want, const struct sdesc *before)
{
	const size_t old = before ? before->n_media : 0;

	memset(p->slot, -1, sizeof(p->slot));
	p->n = old;
	for (size_t i = 0; i < want->n_media && i < old; i++) {
		if (before->media[i].kind == want->media[i].kind)
			take(p, i, i);
	}
	for (size_t i = 0; i < want->n_media; i++) {
		for (size_t k = 0; k < old && p->slot[i] < 0; k++) {
			if (!p->taken[k] && before->media[k].kind == want->media[i].kind)
				take(p, i, k);
		}
	}
	for (size_t i = 0; i < want->n_media; i++) {
		if (p->slot[i] < 0 && i < old && !p->taken[i] && want->media[i].port)
			take(p, i, i);
		for (size_t k = 0; k < old && p->slot[i] < 0 && want->media[i].port; k++) {
			if (!p->taken[k] && !before->media[k].port)
				take(p, i, k);
		}
		if (p->slot[i] < 0 && want->media[i].port && p->n < SDESC_MAX_MEDIA)
			take(p, i, p->n);
	}
}

/* Sound alone, as we would have it ourselves. */
static int offer_alone(struct sdesc **ret, struct neg_lines *lines, const struct neg_side *to)
{
	struct sdesc *desc = NULL;
	int err;

	err = sdesc_alloc(&desc, 1, NULL, NULL);
	if (err)
		return err;

	desc->media[0].kind = SDESC_AUDIO;
	str_ncpy(desc->media[0].kind_text, "audio", sizeof(desc->media[0].kind_text));
	str_ncpy(desc->media[0].proto, "RTP/AVP", sizeof(desc->media[0].proto));
	desc->media[0].port = 9;
	desc->media[0].dir = SDESC_SENDRECV;
	desc->media[0].ptime_ms = 20;
	if (!offer_audio(&(struct maker){ .line = &desc->media[0] }, NULL, NULL, to)) {
		mem_deref(desc);
		return -ENOTSUP;
	}

	if (lines)
		memset(lines->of, -1, sizeof(lines->of));
	err = sdesc_copy(ret, desc);
	mem_deref(desc);
	return err;
}

/* Of a line that cannot be offered: nothing in a new session, a refusal where it has its place. */
static void leave_out(struct sdesc *desc, size_t slot, const struct sdesc *before,
		      const struct sdesc_media *want)
{
	if (before && slot < before->n_media)
		refuse(&desc->media[slot], &before->media[slot]);
	else
		refuse(&desc->media[slot], want);
}

/* New lines that cannot be offered need not be told. */
static void leave_out_new(struct sdesc *desc, struct neg_lines *of, const struct sdesc *before)
{
	size_t n = before ? before->n_media : 0;

	for (size_t k = n; k < desc->n_media; k++) {
		if (!desc->media[k].port)
			continue;
		desc->media[n] = desc->media[k];
		of->of[n++] = of->of[k];
	}
	for (size_t k = n; k < desc->n_media; k++)
		of->of[k] = -1;
	if (n < desc->n_media)
		desc->n_media = n;
}

int neg_offer(struct sdesc **ret, struct neg_lines *lines, const struct sdesc *want,
	      const struct neg_side *from, const struct neg_side *to, const struct sdesc *before)
{
	struct places places = { .n = 0 };
	struct neg_lines of;
	struct sdesc *desc = NULL;
	size_t offered = 0;
	int err;

	if (!want)
		return offer_alone(ret, lines, to);

	place_lines(&places, want, before);
	err = sdesc_alloc(&desc, places.n, want, NULL);
	if (err)
		return err;

	memset(of.of, -1, sizeof(of.of));
	for (size_t i = 0; i < want->n_media; i++) {
		if (places.slot[i] >= 0)
			of.of[places.slot[i]] = (int8_t)i;
	}

	for (size_t k = 0; k < places.n; k++) {
		const struct sdesc_media *was = before && k < before->n_media ? &before->media[k] : NULL;
		const struct sdesc_media *line = of.of[k] >= 0 ? &want->media[of.of[k]] : NULL;

		if (line && offer_line(&desc->media[k], line, from, to, was)) {
			offered++;
			continue;
		}
		of.of[k] = -1;
		leave_out(desc, k, before, line ? line : was);
	}
	leave_out_new(desc, &of, before);

	if (!offered) {
		mem_deref(desc);
		return -ENOTSUP;
	}
	if (lines)
		*lines = of;
	err = sdesc_copy(ret, desc); /* a call keeps it: only as large as it must be */
	mem_deref(desc);
	return err;
}

/* ------------------------------------------------------------------ the answer */

/* In the offered order what the other side has, too. Its fmtp says what it wants to receive. */
static void take_common(struct sdesc_media *line, const struct sdesc_media *offer,
			const struct snap_codecs *list, const struct sdesc_media *chosen)
{
	for (size_t i = 0; i < offer->n_formats; i++) {
		const struct sdesc_format *format = &offer->formats[i];
		const struct sdesc_format *common = find_like(chosen, format);

		if (common && is_allowed(format, list))
			add_format(line, format, format->pt, common->fmtp);
	}
}

static void take_transcodable(struct sdesc_media *line, const struct sdesc_media *offer,
			      const struct neg_side *side, size_t most)
{
	for (size_t i = 0; i < offer->n_formats && line->n_formats < most; i++) {
		const struct sdesc_format *format = &offer->formats[i];
		const int codec = sdesc_snap_codec(format);
		const struct neg_codec *own = codec < 0 ? NULL : own_codec((uint8_t)codec);

		if (can_transcode(media_of(format), format->clock_hz) && is_allowed(format, side->audio))
			add_format(line, format, format->pt, own ? own->fmtp : NULL);
	}
}

/* Those that go with a codec of the answer; a phone that offers one clock only means all of them. */
static void take_events(struct sdesc_media *line, const struct sdesc_media *offer)
{
	const size_t n = line->n_formats;
	const struct sdesc_format *any = NULL;

	for (size_t i = 0; i < offer->n_formats; i++) {
		const struct sdesc_format *format = &offer->formats[i];

		if (!is_event(format))
			continue;
		if (!any)
			any = format;
		if (has_clock(line, n, format->clock_hz))
			add_format(line, format, format->pt, "0-16");
	}
	if (any && line->n_formats == n)
		add_format(line, any, any->pt, "0-16");
}

static void take_companions(struct sdesc_media *line, const struct sdesc_media *offer,
			    const struct sdesc_media *chosen, const char *name)
{
	for (size_t i = 0; i < offer->n_formats; i++) {
		const struct sdesc_format *format = &offer->formats[i];
		const struct sdesc_format *other = find_like(chosen, format);

		if (is_named(format, name) && other)
			add_format(line, format, format->pt, other->fmtp);
	}
}

static bool answer_audio(struct sdesc_media *line, const struct sdesc_media *offer,
			 const struct neg_side *side, const struct sdesc_media *chosen)
{
	if (chosen)
		take_common(line, offer, side->audio, chosen);
	if (line->n_formats) {
		take_companions(line, offer, chosen, "CN");
		line->attrs = chosen->attrs;
		line->n_attrs = chosen->n_attrs;
		line->ptime_ms = chosen->ptime_ms;
	} else if (!side->direct) {
		take_transcodable(line, offer, side, chosen ? 1 : SDESC_MAX_FORMATS);
		line->ptime_ms = offer->ptime_ms;
	}
	if (!line->n_formats)
		return false;

	if (side->direct)
		take_companions(line, offer, chosen, "telephone-event");
	else if (side->events)
		take_events(line, offer);
	return true;
}

/* As the other side wrote it, numbers included: nothing of it is translated. */
static bool answer_video(struct sdesc_media *line, const struct sdesc_media *offer,
			 const struct neg_side *side, const struct sdesc_media *chosen)
{
	for (size_t i = 0; i < chosen->n_formats; i++) {
		const struct sdesc_format *format = &chosen->formats[i];

		if (find_like(offer, format) && !is_named(format, "rtx") &&
		    (sdesc_is_companion(format) || is_allowed(format, side->video)))
			add_format(line, format, format->pt, format->fmtp);
	}
	if (!sdesc_codec(line))
		return false;
	for (size_t i = 0; i < chosen->n_formats; i++) {
		const struct sdesc_format *format = &chosen->formats[i];

		if (repeats(format, line) && has_number(offer, (uint32_t)format->pt))
			add_format(line, format, format->pt, format->fmtp);
	}

	line->attrs = chosen->attrs;
	line->n_attrs = chosen->n_attrs;
	line->bandwidth_as = chosen->bandwidth_as;
	limit_bandwidth(line, side);
	return true;
}

static bool answer_fax(struct sdesc_media *line, const struct sdesc_media *offer,
		       const struct neg_side *side, const struct sdesc_media *chosen)
{
	if (!neg_is_fax(offer) || !neg_is_fax(chosen) || !side->t38)
		return false;

	line->formats[0] = chosen->formats[0];
	line->n_formats = 1;
	limit_fax(line, chosen, side);
	line->attrs = chosen->attrs;
	line->n_attrs = chosen->n_attrs;
	return true;
}

static bool answer_line(struct sdesc_media *line, const struct sdesc_media *offer,
			const struct neg_side *side, const struct sdesc_media *chosen)
{
	line->kind = offer->kind;
	str_ncpy(line->kind_text, offer->kind_text, sizeof(line->kind_text));
	str_ncpy(line->proto, offer->proto, sizeof(line->proto));
	line->port = offer->port;
	line->rtp = chosen ? chosen->rtp : offer->rtp;
	line->rtcp = chosen ? chosen->rtcp : offer->rtcp;
	line->rtcp_mux = offer->rtcp_mux && (!side->direct || (chosen && chosen->rtcp_mux));
	/* A phone that holds by c=0.0.0.0 knows no directions (RFC 2543): it is not told one back, or some
	 * believe themselves held and never come back. */
	line->dir = sdesc_dir_reverse(offer->dir_said);
	if (chosen && (side->direct || offer->kind != SDESC_AUDIO))
		line->dir = (enum sdesc_dir)(line->dir & chosen->dir);
	if (side->direct && chosen)
		line->port = chosen->port;

	if (!offer->port || (chosen && !chosen->port) || !is_known(offer))
		return false;
	if (offer->kind == SDESC_AUDIO)
		return answer_audio(line, offer, side, chosen);
	if (offer->kind == SDESC_VIDEO && chosen)
		return answer_video(line, offer, side, chosen);
	if (offer->kind == SDESC_IMAGE && chosen)
		return answer_fax(line, offer, side, chosen);

	return false;
}

static const struct sdesc_media *chosen_for(const struct sdesc *chosen, const struct neg_lines *lines,
					    size_t line)
{
	for (size_t k = 0; k < chosen->n_media && k < SDESC_MAX_MEDIA; k++) {
		if (lines->of[k] == (int8_t)line)
			return &chosen->media[k];
	}

	return NULL;
}

int neg_answer(struct sdesc **ret, const struct sdesc *offer, const struct neg_side *side,
	       const struct sdesc *chosen, const struct neg_lines *lines)
{
	struct sdesc *desc = NULL;
	size_t taken = 0;
	int err;

	err = sdesc_alloc(&desc, offer->n_media, offer, chosen);
	if (err)
		return err;

	for (size_t i = 0; i < offer->n_media; i++) {
		const struct sdesc_media *other = chosen ? chosen_for(chosen, lines, i) : NULL;

		/* For ourselves one line of sound is enough. */
		if ((other || (!chosen && !taken)) &&
		    answer_line(&desc->media[i], &offer->media[i], side, other))
			taken++;
		else
			refuse(&desc->media[i], &offer->media[i]);
	}

	if (!taken) {
		mem_deref(desc);
		return -ENOTSUP;
	}
	*ret = desc;
	return 0;
}

/* ------------------------------------------------------------------ what was agreed */

int neg_agreed(struct sdesc **ret, const struct sdesc *said, const struct sdesc *ours)
{
	struct sdesc *copy = NULL;
	int err;

	err = sdesc_copy(&copy, said);
	if (err)
		return err;

	for (size_t i = 0; i < copy->n_media; i++) {
		struct sdesc_media *line = &copy->media[i];
		size_t n = 0;

		if (i >= ours->n_media || !ours->media[i].port) {
			line->port = 0;
			continue;
		}
		for (size_t k = 0; k < line->n_formats; k++) {
			if (line->kind != SDESC_AUDIO || find_like(&ours->media[i], &line->formats[k]))
				line->formats[n++] = line->formats[k];
		}
		line->n_formats = n;
	}

	*ret = copy;
	return 0;
}

size_t neg_formats(struct media_format ret[MEDIA_MAX_FORMATS], const struct sdesc_media *ours,
		   const struct sdesc_media *theirs, bool we_offered)
{
	const struct sdesc_media *answer = we_offered ? theirs : ours;
	const struct sdesc_media *offer = we_offered ? ours : theirs;
	size_t n = 0;

	for (size_t i = 0; i < answer->n_formats && n < MEDIA_MAX_FORMATS; i++) {
		const struct sdesc_format *format = &answer->formats[i];
		const struct sdesc_format *other = find_like(offer, format);
		const struct sdesc_format *out = we_offered ? format : other;
		const struct sdesc_format *in = we_offered ? other : format;

		if (!sdesc_is_codec(format) || !other)
			continue;
		/* fmtp is what a side wishes to receive: theirs counts for what we send. */
		ret[n++] = (struct media_format){ .codec = media_of(format),
						  .pt_out = (uint8_t)out->pt,
						  .pt_in = (uint8_t)in->pt,
						  .clock_hz = format->clock_hz,
						  .max_hz = sdesc_fmtp_number(out, "maxplaybackrate", 0),
						  .fec = sdesc_fmtp_number(out, "useinbandfec", 0) == 1,
						  .dtx = sdesc_fmtp_number(out, "usedtx", 0) == 1 };
	}

	return n;
}
