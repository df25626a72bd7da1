/* SPDX-License-Identifier: Apache-2.0 */
#include "media/client_priv.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"
#include "media/wire.h"

/* ------------------------------------------------------------------ table */

static bool id_is(struct le *le, void *arg)
{
	const struct media_stream *stream = le->data;

	return stream->id == *(const uint64_t *)arg;
}

static uint32_t id_key(uint64_t id)
{
	return (uint32_t)((id * 0x9e3779b97f4a7c15ull) >> 32);
}

struct media_stream *client_stream_find(const struct media *media, uint64_t id)
{
	return list_ledata(hash_lookup(media->streams, id_key(id), id_is, &id));
}

void *client_stream_message(struct media_stream *stream, uint16_t type)
{
	if (stream->gone || stream->closed || !stream->media)
		return NULL;
	return client_message(stream->media, type, stream->id);
}

/* ------------------------------------------------------------------ events */

static void addr_to_sa(struct sa *sa, const struct mp_addr *addr)
{
	uint32_t v4;

	sa_init(sa, AF_UNSPEC);
	if (addr->family == 4) {
		memcpy(&v4, addr->addr, sizeof(v4));
		sa_set_in(sa, ntohl(v4), addr->port);
	} else if (addr->family == 6) {
		sa_set_in6(sa, addr->addr, addr->port);
		sa->u.in6.sin6_scope_id = addr->scope;
	}
}

static void stream_event(struct media_stream *stream, struct media_event *event)
{
	event->stream_id = stream->id;
	if (!stream->event_h)
		return;

	/* The handler may let go of the stream. */
	mem_ref(stream);
	stream->event_h(event, stream->arg);
	mem_deref(stream);
}

void client_stream_gone(struct media_stream *stream, enum media_event_type type, int err)
{
	struct media_event event = { .type = type, .err = err };

	if (stream->gone)
		return;
	stream->gone = true;
	hash_unlink(&stream->hash_le);
	list_unlink(&stream->le);
	stream_event(stream, &event);
}

static void on_opened(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_opened *msg = (const void *)hdr;
	struct media_stream *stream = client_stream_find(media, hdr->stream);
	struct media_event event = { .type = MEDIA_EV_OPENED,
				     .rtp_port = msg->rtp_port,
				     .rtcp_port = msg->rtcp_port };

	if (!stream || stream->opened)
		return; /* closed meanwhile, or adopted again after a reconnect */

	stream->opened = true;
	stream->rtp_port = msg->rtp_port;
	stream->rtcp_port = msg->rtcp_port;
	stream_event(stream, &event);
}

static void on_failed(struct media *media, const struct mp_hdr *hdr)
{
	struct media_stream *stream = client_stream_find(media, hdr->stream);

	if (stream)
		client_stream_gone(stream, MEDIA_EV_FAILED, ((const struct mp_failed *)hdr)->err);
}

static void on_stats(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_stats *msg = (const void *)hdr;
	struct media_stream *stream = client_stream_find(media, hdr->stream);
	struct media_event event = { .type = MEDIA_EV_STATS,
				     .stats = { .rx_packets = msg->rx_packets,
						.rx_bytes = msg->rx_bytes,
						.tx_packets = msg->tx_packets,
						.tx_bytes = msg->tx_bytes,
						.rx_lost = msg->rx_lost,
						.rx_dropped = msg->rx_dropped,
						.jitter_us = msg->jitter_us,
						.tx_lost = msg->tx_lost,
						.tx_jitter_us = msg->tx_jitter_us,
						.rtt_us = msg->rtt_us,
						.rtt_max_us = msg->rtt_max_us,
						.mos_x100 = msg->mos_x100,
						.codec = msg->codec,
						.transcoded = msg->transcoded,
						.concealed_ms = msg->concealed_ms,
						.delay_ms = msg->delay_ms,
						.jitter_max_us = msg->jitter_max_us,
						.mos_min_x100 = msg->mos_min_x100 } };

	if (!stream)
		return;
	if (msg->flags & MP_FINAL) {
		stream->gone = true;
		hash_unlink(&stream->hash_le);
		list_unlink(&stream->le);
	}
	stream_event(stream, &event);
}

/* An event that means nothing any more once the stream is closed. */
static void stream_tell(struct media *media, const struct mp_hdr *hdr, struct media_event *event)
{
	struct media_stream *stream = client_stream_find(media, hdr->stream);

	if (stream && !stream->closed)
		stream_event(stream, event);
}

static void on_latched(struct media *media, const struct mp_hdr *hdr)
{
	struct sa remote;

	addr_to_sa(&remote, &((const struct mp_latched *)hdr)->remote);
	stream_tell(media, hdr,
		    &(struct media_event){ .type = MEDIA_EV_LATCHED, .remote = &remote });
}

static void on_timeout(struct media *media, const struct mp_hdr *hdr)
{
	stream_tell(media, hdr, &(struct media_event){ .type = MEDIA_EV_RTP_TIMEOUT });
}

static void on_dtmf(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_digit *msg = (const void *)hdr;

	stream_tell(media, hdr,
		    &(struct media_event){ .type = MEDIA_EV_DTMF,
					   .digit = wire_digit_of(msg->event),
					   .duration_ms = msg->duration_ms });
}

static void on_secured(struct media *media, const struct mp_hdr *hdr)
{
	stream_tell(media, hdr,
		    &(struct media_event){ .type = MEDIA_EV_SECURED,
					   .err = ((const struct mp_secured *)hdr)->err });
}

static void on_played(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_played *msg = (const void *)hdr;

	stream_tell(media, hdr,
		    &(struct media_event){
			    .type = MEDIA_EV_PLAYED,
			    .err = msg->err,
			    .id = msg->play,
			    .reason = msg->reason,
			    .span_ms = msg->played_ms,
			    .digit = msg->reason == MEDIA_END_DIGIT ? wire_digit_of(msg->event) : 0 });
}

static void on_recorded(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_recorded *msg = (const void *)hdr;
	struct media_stream *stream = client_stream_find(media, hdr->stream);
	struct media_event event = {
		.type = MEDIA_EV_RECORDED,
		.stream_id = hdr->stream,
		.err = msg->err,
		.id = msg->record,
		.reason = msg->reason,
		.span_ms = msg->recorded_ms,
		.bytes = msg->bytes,
		.digit = msg->reason == MEDIA_END_DIGIT ? wire_digit_of(msg->event) : 0,
	};

	if (media->recorded_h)
		media->recorded_h(&event, media->recorded_arg);
	/* Also of a stream that was closed: its recordings end with it, and somebody waits for them. */
	if (stream)
		stream_event(stream, &event);
}

static void on_talking(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_talking *msg = (const void *)hdr;

	stream_tell(media, hdr,
		    &(struct media_event){ .type = MEDIA_EV_TALKING,
					   .talking = msg->talking,
					   .level = msg->level < 127 ? (uint8_t)msg->level : 127 });
}

static void on_fax_tone(struct media *media, const struct mp_hdr *hdr)
{
	stream_tell(media, hdr,
		    &(struct media_event){
			    .type = MEDIA_EV_FAX,
			    .is_called = ((const struct mp_fax *)hdr)->tone == MP_FAX_CED });
}

static void (*const event_table[MP_TYPES])(struct media *media, const struct mp_hdr *hdr) = {
	[MP_OPENED] = on_opened,   [MP_FAILED] = on_failed, [MP_LATCHED] = on_latched,
	[MP_TIMEOUT] = on_timeout, [MP_DTMF] = on_dtmf,     [MP_STATS] = on_stats,
	[MP_SECURED] = on_secured, [MP_PLAYED] = on_played, [MP_RECORDED] = on_recorded,
	[MP_TALKING] = on_talking, [MP_FAX] = on_fax_tone,
};

void client_stream_told(struct media *media, const struct mp_hdr *hdr)
{
	event_table[hdr->type](media, hdr);
}

/* ------------------------------------------------------------------ handles */

static void stream_destructor(void *arg)
{
	struct media_stream *stream = arg;

	(void)client_stream_message(stream, MP_CLOSE); /* queue full: the lease ends it */
	hash_unlink(&stream->hash_le);
	list_unlink(&stream->le);
}

static int stream_alloc(struct media_stream **ret, struct media *media, uint64_t id,
			media_event_h *event_h, void *arg)
{
	struct media_stream *stream;

	if (!media || media->state != STATE_UP)
		return -EUNAVAILABLE;

	stream = mem_zalloc(sizeof(*stream), stream_destructor);
	if (!stream)
		return -ENOMEM;

	stream->id = id;
	stream->media = media;
	stream->event_h = event_h;
	stream->arg = arg;
	hash_append(media->streams, id_key(id), &stream->hash_le, stream);
	list_append(&media->all, &stream->le, stream);
	*ret = stream;
	return 0;
}

static int stream_drop(struct media_stream *stream)
{
	stream->gone = true; /* the media process never heard of it */
	mem_deref(stream);
	return -ENOMEM;
}

int media_open(struct media_stream **ret, struct media *media, const struct media_open_opts *opts,
	       media_event_h *event_h, void *arg)
{
	struct media_stream *stream;
	struct mp_open *msg;
	int err;

	err = stream_alloc(&stream, media, media ? media->next_id : 0, event_h, arg);
	if (err)
		return err;

	msg = client_message(media, MP_OPEN, stream->id);
	if (!msg)
		return stream_drop(stream);

	media->next_id++;
	msg->flags = (uint8_t)((opts->video ? MP_OPEN_VIDEO : 0) | (opts->rtcp_mux ? MP_OPEN_MUX : 0) |
			       (opts->ipv6 ? MP_OPEN_IPV6 : 0) |
			       (opts->has_tos ? MP_OPEN_TOS : 0));
	msg->tos = opts->tos;
	msg->timeout_ms = opts->rtp_timeout_ms;
	msg->near = opts->near ? opts->near->id : 0;
	*ret = stream;
	return 0;
}

int media_adopt(struct media_stream **ret, struct media *media, uint64_t id,
		media_event_h *event_h, void *arg)
{
	struct media_stream *stream;
	int err;

	if (!id || (media && client_stream_find(media, id)))
		return -EINVAL;
	err = stream_alloc(&stream, media, id, event_h, arg);
	if (err)
		return err;
	if (!client_message(media, MP_ADOPT, id))
		return stream_drop(stream);
	*ret = stream;
	return 0;
}

int media_room_open(struct media_stream **ret, struct media *media, uint32_t hz,
		    media_event_h *event_h, void *arg)
{
	struct media_stream *room;
	struct mp_room_open *msg;
	int err;

	err = stream_alloc(&room, media, media ? media->next_id : 0, event_h, arg);
	if (err)
		return err;

	msg = client_message(media, MP_ROOM_OPEN, room->id);
	if (!msg)
		return stream_drop(room);

	media->next_id++;
	msg->hz = hz;
	*ret = room;
	return 0;
}

uint64_t media_stream_id(const struct media_stream *stream)
{
	return stream ? stream->id : 0;
}

uint16_t media_stream_port(const struct media_stream *stream)
{
	return stream ? stream->rtp_port : 0;
}

bool media_stream_opened(const struct media_stream *stream)
{
	return stream && stream->opened && !stream->gone;
}

void media_on_recorded(struct media *media, media_event_h *event_h, void *arg)
{
	media->recorded_h = event_h;
	media->recorded_arg = arg;
}

void media_stream_handler(struct media_stream *stream, media_event_h *event_h, void *arg)
{
	stream->event_h = event_h;
	stream->arg = arg;
}

void media_stream_close(struct media_stream *stream)
{
	struct mp_close *msg = client_stream_message(stream, MP_CLOSE);

	if (msg)
		msg->flags = MP_CLOSE_STATS;
	stream->closed = true;
}
