/* SPDX-License-Identifier: Apache-2.0 */
/* The media side of a leg: where session descriptions meet streams. */
#include "call/leg.h"

#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "base/log.h"
#include "call/call.h"
#include "call/call_room.h"
#include "call/engine.h"
#include "call/leg_secure.h"
#include "call/quality.h"
#include "media/client.h"
#include "snapshot/snapshot.h"

#define Q850_OUT_OF_ORDER 27  /* destination out of order */
#define Q850_INTERWORKING 127 /* interworking, unspecified */

/* The leg has no sound any more: its call is ended, with this cause for the other one. */
static void end_soundless(struct leg *leg, uint8_t q850)
{
	struct call *call = leg->call;

	call->result.q850 = q850;
	if (leg == call->a)
		call_caller_gone(call);
	else
		call_post(call, CALL_EV_ENDED, leg, 0, q850, 0, NULL, NULL, NULL);
}

/* Keys could not be agreed, though both sides wanted them: nobody would hear anything. */
static void on_secured(struct leg *leg, int err)
{
	struct call *call = leg->call;

	if (!err || leg->state != LEG_UP || (leg != call->a && leg != call->b))
		return;

	log_warn("call.insecure", "encryption could not be set up; the call is ended",
		 kv_text("linkedid", call->linkedid),
		 kv_text("account", leg->account ? leg->account->username : ""), kv_err(err));
	end_soundless(leg, Q850_INTERWORKING);
}

/*
 * A phone that was heard and is not heard any more, not even by RTCP, is gone. On hold, and while it
 * hears music, it may be silent as long as it likes; and one that never said a word may be made so.
 */
static void on_silence(struct leg *leg)
{
	struct call *call = leg->call;
	const struct leg *other = leg == call->a ? call->b : call->a;

	if (leg->state != LEG_UP || !leg->has_sound || leg->is_held || (other && other->is_held) ||
	    (leg != call->a && leg != call->b))
		return;

	log_warn("call.silent", "a phone is no longer heard; its call is ended",
		 kv_text("linkedid", call->linkedid),
		 kv_text("account", leg->account ? leg->account->username : ""));
	end_soundless(leg, Q850_OUT_OF_ORDER);
}

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
	case MEDIA_EV_LATCHED:
		leg->has_sound = true;
		break;
	case MEDIA_EV_RTP_TIMEOUT:
		on_silence(leg);
		break;
	case MEDIA_EV_SECURED:
		on_secured(leg, event->err);
		break;
	case MEDIA_EV_FAX:
		call_post_fax(leg->call, leg, event->is_called);
		break;
	case MEDIA_EV_STATS:
	case MEDIA_EV_TALKING:
		break;
	}
}

/* What the leg may use: its account's codecs, the node's settings. */
static struct neg_side side_of(const struct leg *leg)
{
	static const enum sdesc_t38_ec ecs[] = { [SNAP_T38_NONE] = SDESC_T38_NONE,
						 [SNAP_T38_FEC] = SDESC_T38_FEC,
						 [SNAP_T38_REDUNDANCY] = SDESC_T38_REDUNDANCY };
	static const struct snap_codecs none;
	const struct snap_sip *sip = snap_sip(leg->engine->o.snap);
	const struct snap_account *account = leg->account;

	return (struct neg_side){ .audio = account ? &account->audio : &none,
				  .video = account ? &account->video : &none,
				  .video_kbps = sip->video_max_kbps,
				  .events = sip->dtmf_mode == SNAP_DTMF_RFC2833,
				  .t38 = sip->t38_passthrough,
				  .t38_max_datagram = sip->t38_max_datagram,
				  .t38_ec = ecs[sip->t38_error_correction],
				  .direct = leg->direct };
}

/* What a stream is opened for; whether it may be plain or must be encrypted leg_secure.c knows. */
static bool can_carry(const struct sdesc_media *line)
{
	return line->port && ((sdesc_is_rtp(line->proto) &&
			       (line->kind == SDESC_AUDIO || line->kind == SDESC_VIDEO)) ||
			      neg_is_fax(line));
}

/* What the leg said of this line can be agreed to. */
static bool carries(const struct leg *leg, const struct sdesc *said, size_t i)
{
	const struct sdesc_media *line = &said->media[i];

	return can_carry(line) && (line->kind == SDESC_IMAGE || leg_secure_carries(leg, said, i));
}

static bool is_on(const struct leg *leg, size_t line)
{
	return leg->local_desc && leg->remote && line < leg->local_desc->n_media &&
	       line < leg->remote->n_media && leg->local_desc->media[line].port &&
	       leg->remote->media[line].port;
}

/* ------------------------------------------------------------------ offers and answers */

/* What a leg said, lines that we cannot carry as refused ones. */
static int carried(struct sdesc **ret, const struct leg *leg, const struct sdesc *want)
{
	struct sdesc *copy = NULL;
	size_t bad = 0;
	int err;

	for (size_t i = 0; i < want->n_media; i++)
		bad += want->media[i].port && !carries(leg, want, i);
	if (!bad) {
		*ret = mem_ref((void *)(uintptr_t)want);
		return 0;
	}

	err = sdesc_copy(&copy, want);
	if (err)
		return err;
	for (size_t i = 0; i < copy->n_media; i++) {
		if (!carries(leg, want, i))
			copy->media[i].port = 0;
	}

	*ret = copy;
	return 0;
}

int leg_media_offer(struct sdesc **ret, struct neg_lines *lines, const struct leg *leg,
		    const struct leg *peer, const struct sdesc *want)
{
	const struct neg_side from = side_of(peer ? peer : leg), to = side_of(leg);
	struct sdesc *usable = NULL;
	int err;

	if (want) {
		err = carried(&usable, peer ? peer : leg, want);
		if (err)
			return err;
	}
	err = neg_offer(ret, lines, usable, &from, &to, leg->local_desc);
	mem_deref(usable);

	return err;
}

int leg_media_answer(struct sdesc **ret, const struct leg *leg, const struct sdesc *offer,
		     const struct leg *peer, const struct sdesc *chosen)
{
	const struct neg_side side = side_of(leg);
	struct sdesc *usable = NULL;
	int err;

	err = carried(&usable, leg, offer);
	if (!err)
		err = neg_answer(ret, usable, &side, chosen, peer ? &peer->lines : NULL);
	mem_deref(usable);

	return err;
}

int leg_media_wanted(struct sdesc **ret, const struct leg *leg)
{
	*ret = NULL;
	if (!leg->remote)
		return 0;
	if (leg->local_desc)
		return neg_agreed(ret, leg->remote, leg->local_desc);

	*ret = mem_ref(leg->remote);
	return 0;
}

/* ------------------------------------------------------------------ streams */

int leg_media_open(struct leg *leg, const struct sdesc *desc)
{
	const struct leg *near = leg->call->a; /* a call is best in one thread: nothing has to move */
	const struct snap_sip *set = snap_sip(leg->engine->o.snap);
	int err;

	if (leg->direct)
		return 0;

	for (size_t i = 0; i < desc->n_media; i++) {
		const struct sdesc_media *line = &desc->media[i];
		const bool video = line->kind == SDESC_VIDEO;

		if (!can_carry(line) || leg->streams[i])
			continue;

		err = media_open(&leg->streams[i], leg->engine->o.media,
				 &(struct media_open_opts){
					 .video = video,
					 .has_tos = true, /* PLT-39 */
					 .tos = (uint8_t)((video ? set->tos_video : set->tos_audio) << 2),
					 .ipv6 = sa_af(&leg->local) == AF_INET6,
					 .near = near && near->streams[i] ? near->streams[i] : leg->streams[0],
					 .rtp_timeout_ms = line->kind == SDESC_AUDIO ? set->rtp_timeout_s * 1000 : 0,
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

static const char *print(struct leg *leg, const struct sdesc *desc)
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
	uint32_t crc;
	int n;

	for (size_t i = 0; i < desc->n_media; i++) {
		if (leg->streams[i] && desc->media[i].port)
			ports[i] = media_stream_port(leg_secure_transport(leg, i));
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

	return buf;
}

static int keep(struct leg *leg, const struct sdesc *desc)
{
	struct sdesc *copy = NULL;
	int err;

	if (desc == leg->local_desc)
		return 0;

	err = sdesc_copy(&copy, desc);
	if (err)
		return err;
	mem_deref(leg->local_desc);
	leg->local_desc = copy;

	return 0;
}

const char *leg_media_print_offer(struct leg *leg, const struct sdesc *desc)
{
	if (keep(leg, desc))
		return NULL;
	leg->we_offered = true;

	return print(leg, leg->local_desc);
}

static uint32_t clock_of(const struct sdesc_media *line, int pt)
{
	for (size_t i = 0; i < line->n_formats; i++) {
		if (line->formats[i].pt == pt)
			return line->formats[i].clock_hz;
	}

	return 0;
}

static void set_remote(struct leg *leg, size_t i, const struct sdesc_media *line)
{
	const struct sdesc_media *ours = &leg->local_desc->media[i];
	const bool is_audio = line->kind == SDESC_AUDIO;
	const int event_pt = is_audio ? neg_event_pt(line) : -1;
	struct media_format formats[MEDIA_MAX_FORMATS];
	struct media_remote remote = {
		.rtp = &line->rtp,
		.rtcp = &line->rtcp,
		.rtcp_mux = line->rtcp_mux,
		.symmetric = leg->account && leg->account->nat,
		.may_send = line->dir & SDESC_RECVONLY,
		.may_recv = line->dir & SDESC_SENDONLY,
		.formats = formats,
		.ptime_ms = line->ptime_ms,
		.dtmf_tx = is_audio ? leg_dtmf_way(leg, event_pt) : MEDIA_DTMF_NONE,
		.dtmf_pt = (int16_t)event_pt,
		.dtmf_hz = clock_of(line, event_pt),
		.dtmf_pt_in = (int16_t)(is_audio ? neg_event_pt(ours) : -1),
	};

	if (line->kind == SDESC_IMAGE) {
		remote.raw = true;
		remote.rtcp = NULL;
		remote.may_send = remote.may_recv = true;
	} else {
		remote.n_formats = neg_formats(formats, ours, line, leg->we_offered);
	}

	media_set_remote(leg->streams[i], &remote);
}

void leg_media_remote(struct leg *leg, struct sdesc *desc)
{
	mem_ref(desc);
	mem_deref(leg->remote);
	leg->remote = desc;

	leg_media_tidy(leg);
	leg_secure_group(leg, desc);
	for (size_t i = 0; i < desc->n_media && i < leg->n_streams; i++) {
		if (!leg->streams[i])
			continue;
		if (desc->media[i].kind != SDESC_IMAGE)
			leg_secure_remote(leg, desc, i);
		set_remote(leg, i, &desc->media[i]);
	}
}

const char *leg_media_accept(struct leg *leg, struct sdesc *offer, const struct sdesc *answer)
{
	if (keep(leg, answer))
		return NULL;
	leg->we_offered = false;
	leg_media_remote(leg, offer); /* what we say of keys depends on theirs */

	return print(leg, leg->local_desc);
}

void leg_media_pair(struct leg *leg, struct leg *peer, const struct neg_lines *lines)
{
	struct neg_lines inverse;

	memset(inverse.of, -1, sizeof(inverse.of));
	for (size_t i = 0; i < SDESC_MAX_MEDIA; i++) {
		if (lines->of[i] >= 0)
			inverse.of[lines->of[i]] = (int8_t)i;
	}
	leg->lines = *lines;
	peer->lines = inverse;
}

struct media_stream *leg_sound(const struct leg *leg)
{
	for (size_t i = 0; i < leg->n_streams; i++) {
		if (leg->streams[i] && is_on(leg, i) && leg->remote->media[i].kind == SDESC_AUDIO)
			return leg->streams[i];
	}

	return NULL;
}

void leg_media_match(struct leg *a, struct leg *b)
{
	struct neg_lines lines;
	bool taken[SDESC_MAX_MEDIA] = { false };

	memset(lines.of, -1, sizeof(lines.of));
	for (size_t i = 0; a->local_desc && i < a->local_desc->n_media; i++) {
		const struct sdesc_media *line = &a->local_desc->media[i];

		for (size_t k = 0; line->port && lines.of[i] < 0 && k < SDESC_MAX_MEDIA; k++) {
			if (taken[k] || !is_on(b, k) || b->local_desc->media[k].kind != line->kind)
				continue;
			lines.of[i] = (int8_t)k;
			taken[k] = true;
		}
	}
	leg_media_pair(a, b, &lines);
}

void leg_media_bridge(struct leg *a, struct leg *b)
{
	/* While others are in the conversation its sound meets in their room. */
	const bool in_room = a->call && room_holds(a->call);

	for (size_t i = 0; i < a->n_streams; i++) {
		const int8_t k = a->lines.of[i];

		if (k < 0 || (size_t)k >= b->n_streams || !a->streams[i] || !b->streams[k])
			continue;
		if (!in_room || a->streams[i] != leg_sound(a))
			media_bridge(a->streams[i], b->streams[k]);
	}

	leg_dtmf_update(a, b);
	leg_dtmf_update(b, a);
}

void leg_media_close(struct leg *leg)
{
	leg_secure_close(leg);
	for (size_t i = 0; i < leg->n_streams; i++) {
		bool is_sound = leg->remote && i < leg->remote->n_media &&
				leg->remote->media[i].kind == SDESC_AUDIO;

		if (is_sound)
			call_quality_close(leg, leg->streams[i]);
		else
			mem_deref(leg->streams[i]);
		leg->streams[i] = NULL;
	}
}

void leg_media_tidy(struct leg *leg)
{
	for (size_t i = 0; i < leg->n_streams; i++) {
		if (!is_on(leg, i))
			leg->streams[i] = mem_deref(leg->streams[i]);
	}
}

/* ------------------------------------------------------------------ what an offer is about */

/* A line that changes nothing for the other side: it stays off, or stays on with a codec of use. */
static bool is_old_line(const struct leg *leg, const struct sdesc *offer, size_t i)
{
	static const struct sdesc_media off;
	const struct sdesc_media *was =
		i < leg->remote->n_media ? &leg->remote->media[i] : &off;
	const struct sdesc_media *now = i < offer->n_media ? &offer->media[i] : &off;
	const struct neg_side side = side_of(leg);
	struct media_format formats[MEDIA_MAX_FORMATS];

	if (!is_on(leg, i)) /* what was refused once is refused again */
		return !can_carry(now) || (was->port && was->kind == now->kind);
	if (now == &off || !carries(leg, offer, i) || now->kind != was->kind)
		return false;
	if (now->kind == SDESC_IMAGE || neg_is_transcodable(now, &side))
		return true;

	return neg_formats(formats, &leg->local_desc->media[i], now, false) > 0;
}

enum leg_offer leg_media_classify(const struct leg *leg, const struct sdesc *offer)
{
	bool has_sound = false;

	if (!leg->local_desc || !leg->remote)
		return LEG_OFFER_NEW;

	for (size_t i = 0; i < SDESC_MAX_MEDIA; i++) {
		if (!is_old_line(leg, offer, i))
			return LEG_OFFER_NEW;
		if (i < offer->n_media && offer->media[i].kind == SDESC_AUDIO && is_on(leg, i))
			has_sound = true;
	}

	return !has_sound || neg_hears(offer) ? LEG_OFFER_SAME : LEG_OFFER_HOLD;
}

bool leg_media_is_same(const struct leg *leg, const struct sdesc *desc)
{
	for (size_t i = 0; i < SDESC_MAX_MEDIA; i++) {
		const bool on = i < desc->n_media && desc->media[i].port;

		if (on != is_on(leg, i) || (on && desc->media[i].kind != leg->local_desc->media[i].kind))
			return false;
	}

	return true;
}

bool leg_media_holds(const struct leg *leg)
{
	bool has_line = false;

	for (size_t i = 0; leg->remote && i < leg->remote->n_media; i++) {
		if (!is_on(leg, i))
			continue;
		has_line = true;
		if (leg->remote->media[i].kind == SDESC_AUDIO)
			return !neg_hears(leg->remote);
	}

	return leg->remote && !has_line;
}

bool leg_media_begins_held(const struct leg *leg)
{
	for (size_t i = 0; leg->remote && i < leg->remote->n_media; i++) {
		const struct sdesc_media *line = &leg->remote->media[i];

		/* An announcement that hears nobody says so by sendonly: it is heard. */
		if (is_on(leg, i) && line->kind == SDESC_AUDIO && line->dir_said != SDESC_SENDONLY)
			return leg_media_holds(leg);
	}

	return false;
}

/* The tenant's class (PLT-32); 0, the default file, when there is none or it has no file. */
static uint32_t music_class(const struct leg *leg)
{
	const struct snap_moh *moh = leg->call ? leg->call->tenant->default_moh : NULL;

	return moh && moh->n_files ? (uint32_t)moh->id : 0;
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
			media_music_start(leg->streams[i], music_class(leg));
		else
			media_music_stop(leg->streams[i]);
	}
}
