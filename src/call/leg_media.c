/* SPDX-License-Identifier: Apache-2.0 */
/* The media side of a leg: where session descriptions meet streams. */
#include "call/leg.h"

#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "base/log.h"
#include "call/call.h"
#include "call/engine.h"
#include "call/leg_secure.h"
#include "media/client.h"
#include "snapshot/snapshot.h"

/* Encoding names to what the media process can make itself (music on hold). */
static const struct {
	const char *name;
	enum media_codec codec;
} own_codecs[] = {
	{ "PCMA", MEDIA_PCMA }, { "PCMU", MEDIA_PCMU }, { "G722", MEDIA_G722 },
	{ "GSM", MEDIA_GSM },   { "opus", MEDIA_OPUS }, { "L16", MEDIA_L16 },
	{ "G726-32", MEDIA_G726_32 }, { "G729", MEDIA_G729 },
};

static void on_media_event(const struct media_event *event, void *arg)
{
	struct leg *leg = arg;

	if (!leg->call)
		return;

	switch (event->type) {
	case MEDIA_EV_OPENED:
		call_wake(leg->call);
		break;
	case MEDIA_EV_FAILED:
		log_warn("call.media_failed", "a stream could not be opened",
			 kv_text("linkedid", leg->call->linkedid), kv_err(event->err));
		leg->media_failed = true;
		call_wake(leg->call);
		break;
	case MEDIA_EV_LOST:
		leg->media_failed = true;
		call_post(leg->call, CALL_EV_MEDIA_LOST, leg, 0, 0, 0, NULL, NULL, NULL);
		break;
	case MEDIA_EV_DTMF:
		leg_dtmf_heard(leg, event->digit, event->duration_ms);
		break;
	case MEDIA_EV_PLAYED:
	case MEDIA_EV_RECORDED:
		call_post_media(leg->call, leg, event);
		break;
	case MEDIA_EV_RTP_TIMEOUT: /* not asked for: session timers find out who is gone */
	case MEDIA_EV_LATCHED:
	case MEDIA_EV_STATS:
	case MEDIA_EV_SECURED:
	case MEDIA_EV_TALKING:
	case MEDIA_EV_FAX:
		break;
	}
}

/* RTP of sound and picture; whether it may be plain or must be encrypted leg_secure.c knows. */
static bool can_carry(const struct sdesc_media *line)
{
	return line->port && strstr(line->proto, "RTP/") &&
	       (line->kind == SDESC_AUDIO || line->kind == SDESC_VIDEO);
}

int leg_media_open(struct leg *leg, const struct sdesc *desc)
{
	const struct leg *near = leg->call->a;
	int err;

	if (leg->direct)
		return 0;

	for (size_t i = 0; i < desc->n_media; i++) {
		const struct sdesc_media *line = &desc->media[i];

		if (!can_carry(line) || leg->streams[i])
			continue;

		err = media_open(&leg->streams[i], leg->engine->o.media,
				 &(struct media_open_opts){
					 .video = line->kind == SDESC_VIDEO,
					 .ipv6 = sa_af(&leg->local) == AF_INET6,
					 .near = near && near != leg ? near->streams[i] : NULL,
				 },
				 on_media_event, leg);
		if (err)
			return err;
	}

	if (leg->n_streams < desc->n_media)
		leg->n_streams = desc->n_media;

	return 0;
}

bool leg_media_ready(const struct leg *leg)
{
	for (size_t i = 0; i < leg->n_streams; i++) {
		if (leg->streams[i] && !media_stream_opened(leg->streams[i]))
			return false;
	}

	return true;
}

const char *leg_media_print(struct leg *leg, const struct sdesc *desc)
{
	char *buf = leg->engine->sdp_buf;
	uint16_t ports[SDESC_MAX_MEDIA] = { 0 };
	struct sdesc_print_opts opts = {
		.addr = &leg->local,
		.origin_id = leg->sdp_id,
		.origin_version = leg->sdp_version,
		.ports = ports,
		.keep_addresses = leg->direct,
	};
	struct sdesc *copy = NULL;
	uint32_t crc;
	int n;

	for (size_t i = 0; i < desc->n_media; i++) {
		if (leg->streams[i] && desc->media[i].port)
			ports[i] = media_stream_port(leg->streams[i]);
	}

	leg_secure_print(leg, desc, &opts);
	n = sdesc_print(desc, buf, SDESC_MAX_BYTES, &opts);
	if (n < 0)
		return NULL;

	/* RFC 3264 section 8: the version rises with every change, and only then. */
	crc = crc32c(0, buf, (size_t)n);
	if (crc != leg->sdp_crc) {
		opts.origin_version = ++leg->sdp_version;
		n = sdesc_print(desc, buf, SDESC_MAX_BYTES, &opts);
		if (n < 0)
			return NULL;
		leg->sdp_crc = crc32c(0, buf, (size_t)n);
	}

	if (desc != leg->local_desc) {
		if (sdesc_copy(&copy, desc))
			return NULL;
		mem_deref(leg->local_desc);
		leg->local_desc = copy;
	}

	return buf;
}

static enum media_codec own_codec(const struct sdesc_format *format)
{
	for (size_t i = 0; i < sizeof(own_codecs) / sizeof(own_codecs[0]); i++) {
		if (!str_casecmp(format->name, own_codecs[i].name))
			return own_codecs[i].codec;
	}

	return MEDIA_CODEC_OTHER;
}

/* The real codecs of a line, in its order. Returns how many. */
static size_t line_formats(struct media_format *ret, const struct sdesc_media *line)
{
	size_t n = 0;

	for (size_t i = 0; i < line->n_formats && n < MEDIA_MAX_FORMATS; i++) {
		const struct sdesc_format *format = &line->formats[i];

		if (!sdesc_is_codec(format))
			continue;
		ret[n++] = (struct media_format){ .codec = own_codec(format),
						  .pt_out = (uint8_t)format->pt,
						  .pt_in = (uint8_t)format->pt,
						  .clock_hz = format->clock_hz };
	}

	return n;
}

void leg_media_remote(struct leg *leg, struct sdesc *desc)
{
	for (size_t i = 0; i < desc->n_media && i < leg->n_streams; i++) {
		const struct sdesc_media *line = &desc->media[i];
		struct media_format formats[MEDIA_MAX_FORMATS];

		if (!leg->streams[i])
			continue;

		if (!line->port) { /* refused by the peer: the stream has no use */
			leg->streams[i] = mem_deref(leg->streams[i]);
			continue;
		}

		leg_secure_remote(leg, desc, i);
		media_set_remote(leg->streams[i],
				 &(struct media_remote){
					 .rtp = &line->rtp,
					 .rtcp = &line->rtcp,
					 .rtcp_mux = line->rtcp_mux,
					 .symmetric = leg->account && leg->account->nat,
					 .may_send = line->dir & SDESC_RECVONLY,
					 .may_recv = line->dir & SDESC_SENDONLY,
					 .formats = formats,
					 .n_formats = line_formats(formats, line),
					 .ptime_ms = line->ptime_ms,
					 .dtmf_tx = MEDIA_DTMF_EVENT,
					 .dtmf_pt = (int16_t)sdesc_dtmf_pt(line),
					 .dtmf_pt_in = (int16_t)sdesc_dtmf_pt(line),
				 });
	}

	mem_ref(desc);
	mem_deref(leg->remote);
	leg->remote = desc;
}

void leg_media_bridge(struct leg *a, struct leg *b)
{
	for (size_t i = 0; i < a->n_streams && i < b->n_streams; i++) {
		if (a->streams[i] && b->streams[i])
			media_bridge(a->streams[i], b->streams[i]);
	}
}

void leg_media_close(struct leg *leg)
{
	for (size_t i = 0; i < leg->n_streams; i++)
		leg->streams[i] = mem_deref(leg->streams[i]);
}

int leg_media_filter(struct sdesc **ret, const struct sdesc *desc, const struct leg *from,
		     const struct leg *to)
{
	struct sdesc *copy = NULL;
	int err;

	err = sdesc_copy(&copy, desc);
	if (err)
		return err;

	for (size_t i = 0; i < copy->n_media; i++) {
		if (!leg_secure_carries(from, copy, i))
			copy->media[i].port = 0;
	}
	sdesc_plain(copy);

	if ((from->account && sdesc_filter(copy, &from->account->audio, &from->account->video) <= 0) ||
	    (to->account && sdesc_filter(copy, &to->account->audio, &to->account->video) <= 0)) {
		mem_deref(copy);
		return -ENOTSUP;
	}

	*ret = copy;
	return 0;
}

static const struct sdesc_format *find_format(const struct sdesc_media *line,
					      const struct sdesc_format *like)
{
	for (size_t i = 0; i < line->n_formats; i++) {
		const struct sdesc_format *format = &line->formats[i];

		if (format->pt == like->pt && format->clock_hz == like->clock_hz &&
		    !str_casecmp(format->name, like->name))
			return format;
	}

	return NULL;
}

enum leg_offer leg_media_classify(const struct leg *leg, const struct sdesc *offer)
{
	bool hears = false;

	if (!leg->local_desc || !leg->remote || offer->n_media != leg->local_desc->n_media)
		return LEG_OFFER_NEW;

	for (size_t i = 0; i < offer->n_media; i++) {
		const struct sdesc_media *now = &offer->media[i];
		const struct sdesc_media *was = &leg->local_desc->media[i];
		bool was_on = was->port && leg->remote->media[i].port;
		const struct sdesc_format *codec = sdesc_codec(was);

		if (was_on != (now->port != 0) || now->kind != was->kind)
			return LEG_OFFER_NEW;
		if (!was_on)
			continue;
		if (!leg_secure_carries(leg, offer, i) || !codec || !find_format(now, codec))
			return LEG_OFFER_NEW;
		if (now->kind == SDESC_AUDIO && (now->dir & SDESC_RECVONLY))
			hears = true;
	}

	return hears ? LEG_OFFER_SAME : LEG_OFFER_HOLD;
}

int leg_media_answer(struct sdesc **ret, const struct leg *leg, const struct sdesc *offer)
{
	struct sdesc *answer = NULL;
	int err;

	err = sdesc_copy(&answer, offer);
	if (err)
		return err;

	for (size_t i = 0; i < answer->n_media; i++) {
		struct sdesc_media *line = &answer->media[i];
		const struct sdesc_media *agreed = &leg->local_desc->media[i];
		struct sdesc_format kept[SDESC_MAX_FORMATS]; /* texts belong to the copy */
		size_t n = 0;

		if (!line->port || !agreed->port) {
			line->port = 0;
			continue;
		}

		/* In the order agreed before, so that the codec in use stays first. */
		for (size_t k = 0; k < agreed->n_formats && n < SDESC_MAX_FORMATS; k++) {
			const struct sdesc_format *f = find_format(line, &agreed->formats[k]);

			if (f)
				kept[n++] = *f;
		}
		memcpy(line->formats, kept, n * sizeof(kept[0]));
		line->n_formats = n;
		line->dir = sdesc_dir_reverse(line->dir);
	}

	*ret = answer;
	return 0;
}

void leg_music(struct leg *leg, bool on)
{
	for (size_t i = 0; i < leg->n_streams; i++) {
		const struct sdesc_media *line;

		if (!leg->streams[i] || !leg->remote || i >= leg->remote->n_media)
			continue;

		line = &leg->remote->media[i];
		if (line->kind != SDESC_AUDIO)
			continue;

		if (on)
			media_music_start(leg->streams[i], 0);
		else
			media_music_stop(leg->streams[i]);
	}
}
