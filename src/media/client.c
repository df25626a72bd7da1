/* SPDX-License-Identifier: Apache-2.0 */
#include "media/client.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/re.h"
#include "media/protocol.h"
#include "media/wire.h"

#define CLIENT_BUCKETS      4096
#define CLIENT_MAX_BATCHES  256 /* 4 MiB of commands wait at most while media is away */
#define CLIENT_MAX_ORPHANS  65536
#define CLIENT_RETRY_MS     100
#define CLIENT_RETRY_MAX_MS 1000
#define CLIENT_PATIENCE     4 /* failures in a row: at a common start media is ready within them */
#define CLIENT_READ_TURN    64 /* packets read before other work of the loop gets its turn */

enum client_state { STATE_DOWN, STATE_HELLO, STATE_LISTING, STATE_UP };

struct batch {
	struct le le;
	struct wire_batch wire;
};

struct media {
	char *path;
	uint8_t fingerprint[32];
	uint64_t lease, instance; /* instance 0: never connected, or known to be dead */
	uint64_t next_id;
	enum client_state state;
	int fd;
	bool writable; /* false: wait for FD_WRITE */
	bool warned;   /* the version of the other side was complained about */
	unsigned failures, dropped;
	struct tmr flush, retry;
	struct list batches; /* struct batch, oldest first; new messages go into the last */
	struct batch *spare;
	uint32_t n_batches;
	struct hash *streams;
	struct list all;
	uint64_t *orphans;
	size_t n_orphans;
	media_up_h *up_h;
	void *arg;
	media_event_h *recorded_h;
	void *recorded_arg;
};

struct media_stream {
	struct le hash_le, le;
	struct media *media; /* NULL: the connection object is gone */
	uint64_t id;
	uint16_t rtp_port, rtcp_port;
	bool opened, closed, gone;
	media_event_h *event_h;
	void *arg;
};

static void connect_now(void *arg);

/* ------------------------------------------------------------------ addresses */

static void addr_from_sa(struct mp_addr *addr, const struct sa *sa)
{
	if (!sa || !sa_isset(sa, SA_ADDR))
		return;

	addr->port = sa_port(sa);
	if (sa_af(sa) == AF_INET) {
		addr->family = 4;
		memcpy(addr->addr, &sa->u.in.sin_addr, 4);
	} else if (sa_af(sa) == AF_INET6) {
		addr->family = 6;
		addr->scope = sa->u.in6.sin6_scope_id;
		memcpy(addr->addr, &sa->u.in6.sin6_addr, 16);
	}
}

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

/* ------------------------------------------------------------------ out */

static void flush_h(void *arg);

static void batch_done(struct media *media, struct batch *batch)
{
	list_unlink(&batch->le);
	media->n_batches--;
	batch->wire.len = 0;
	if (media->spare)
		mem_deref(batch);
	else
		media->spare = batch;
}

static void batches_drop(struct media *media)
{
	struct le *le;

	while ((le = list_head(&media->batches)))
		batch_done(media, le->data);
}

static struct batch *batch_new(struct media *media)
{
	struct batch *batch = media->spare;

	if (media->n_batches >= CLIENT_MAX_BATCHES)
		return NULL;

	media->spare = NULL;
	if (!batch)
		batch = mem_alloc(sizeof(*batch), NULL);
	if (!batch)
		return NULL;

	batch->wire.len = 0;
	memset(&batch->le, 0, sizeof(batch->le));
	list_append(&media->batches, &batch->le, batch);
	media->n_batches++;
	return batch;
}

/*
 * How long a message may wait for others of its kind; 0: until the end of this turn of the loop. Waking
 * the media process costs as much as what it then does, so what nobody waits for goes with the next
 * call's. Far below the time between two packets, and the order stays.
 */
static const uint8_t patience_ms[] = {
	[MP_CLOSE] = 10,
	[MP_REMOTE] = 3,
	[MP_BRIDGE] = 3,
};

static void flush_within(struct media *media, uint16_t type)
{
	const uint8_t ms = type < ARRAY_SIZE(patience_ms) ? patience_ms[type] : 0;

	if (!tmr_isrunning(&media->flush) || tmr_get_expire(&media->flush) > ms)
		tmr_start(&media->flush, ms, flush_h, media);
}

/* A zeroed message that leaves soon; NULL when memory or queue is full. */
static void *message(struct media *media, uint16_t type, uint64_t id)
{
	struct batch *batch = list_ledata(list_tail(&media->batches));
	void *msg = batch ? wire_append(&batch->wire, type, id) : NULL;

	if (!msg) {
		batch = batch_new(media);
		msg = batch ? wire_append(&batch->wire, type, id) : NULL;
	}
	if (!msg) {
		if (!media->dropped++)
			log_error("media.client.queue_full", "the media process does not read its commands");
		return NULL;
	}
	flush_within(media, type);
	return msg;
}

static void *stream_message(struct media_stream *stream, uint16_t type)
{
	if (stream->gone || stream->closed || !stream->media)
		return NULL;
	return message(stream->media, type, stream->id);
}

/* ------------------------------------------------------------------ events */

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

static void stream_gone(struct media_stream *stream, enum media_event_type type, int err)
{
	struct media_event event = { .type = type, .err = err };

	if (stream->gone)
		return;
	stream->gone = true;
	hash_unlink(&stream->hash_le);
	list_unlink(&stream->le);
	stream_event(stream, &event);
}

/* The process that had our streams is dead. */
static void all_lost(struct media *media)
{
	struct le *le;
	uint32_t n = list_count(&media->all);

	media->instance = 0;
	media->n_orphans = 0;
	batches_drop(media);
	if (n)
		log_error("media.client.lost", "the media process died; its streams are gone",
			  kv_int("streams", n));

	/* A handler may deref any stream, so the head is looked up again each time. */
	while ((le = list_head(&media->all)))
		stream_gone(le->data, MEDIA_EV_LOST, -EUNAVAILABLE);
}

static void disconnect(struct media *media)
{
	enum client_state old = media->state;

	if (media->fd >= 0) {
		fd_close(media->fd);
		close(media->fd);
		media->fd = -1;
	}
	media->state = STATE_DOWN;
	tmr_cancel(&media->flush);
	tmr_start(&media->retry, 0, connect_now, media);
	if (old == STATE_UP && media->up_h)
		media->up_h(false, media->arg);
}

static void on_up(struct media *media)
{
	media->state = STATE_UP;
	media->failures = 0;
	media->dropped = 0;
	log_info("media.client.up", "connected to the media process",
		 kv_int("orphans", media->n_orphans));
	tmr_start(&media->flush, 0, flush_h, media);
	if (media->up_h)
		media->up_h(true, media->arg);
}

/* The same media process, another connection: the streams are still there and are claimed again. */
static void reclaim(struct media *media)
{
	struct list open = LIST_INIT;
	struct le *le;

	while ((le = list_head(&media->all))) {
		struct media_stream *stream = le->data;

		if (!stream->opened) {
			stream_gone(stream, MEDIA_EV_FAILED, -EUNAVAILABLE);
			continue;
		}
		list_unlink(le);
		list_append(&open, le, stream);
		(void)message(media, MP_ADOPT, stream->id); /* queue full: it ends with the lease */
	}
	media->all = open;
	LIST_FOREACH(&media->all, le)
		le->list = &media->all;
}

static void on_welcome(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_welcome *msg = (const void *)hdr;

	if (media->state != STATE_HELLO)
		return;
	if (msg->magic != MP_MAGIC || msg->version != MP_VERSION) {
		if (!media->warned)
			log_error("media.client.version",
				  "the media process is of another version; restart Aoide as a whole",
				  kv_int("ours", MP_VERSION), kv_int("theirs", msg->version));
		media->warned = true;
		disconnect(media);
		return;
	}

	if (media->instance && media->instance != msg->instance)
		all_lost(media);
	media->instance = msg->instance;
	memcpy(media->fingerprint, msg->fingerprint, sizeof(media->fingerprint));
	media->n_orphans = 0;
	reclaim(media);

	if (!msg->streams) {
		on_up(media);
		return;
	}
	media->state = STATE_LISTING;
	(void)message(media, MP_LIST, 0);
}

static bool id_is(struct le *le, void *arg)
{
	const struct media_stream *stream = le->data;

	return stream->id == *(const uint64_t *)arg;
}

static uint32_t id_key(uint64_t id)
{
	return (uint32_t)((id * 0x9e3779b97f4a7c15ull) >> 32);
}

static struct media_stream *stream_find(const struct media *media, uint64_t id)
{
	return list_ledata(hash_lookup(media->streams, id_key(id), id_is, &id));
}

static void on_orphan(struct media *media, const struct mp_hdr *hdr)
{
	uint64_t *more;

	if (!hdr->stream) {
		if (media->state == STATE_LISTING)
			on_up(media);
		return;
	}
	if (stream_find(media, hdr->stream) || media->n_orphans >= CLIENT_MAX_ORPHANS)
		return;

	if (media->n_orphans % 256 == 0) {
		more = mem_reallocarray(media->orphans, media->n_orphans + 256, sizeof(*more), NULL);
		if (!more)
			return;
		media->orphans = more;
	}
	media->orphans[media->n_orphans++] = hdr->stream;
}

static void on_opened(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_opened *msg = (const void *)hdr;
	struct media_stream *stream = stream_find(media, hdr->stream);
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
	struct media_stream *stream = stream_find(media, hdr->stream);

	if (stream)
		stream_gone(stream, MEDIA_EV_FAILED, ((const struct mp_failed *)hdr)->err);
}

static void on_latched(struct media *media, const struct mp_hdr *hdr)
{
	struct media_stream *stream = stream_find(media, hdr->stream);
	struct media_event event = { .type = MEDIA_EV_LATCHED };
	struct sa remote;

	addr_to_sa(&remote, &((const struct mp_latched *)hdr)->remote);
	event.remote = &remote;
	if (stream && !stream->closed)
		stream_event(stream, &event);
}

static void on_timeout(struct media *media, const struct mp_hdr *hdr)
{
	struct media_stream *stream = stream_find(media, hdr->stream);
	struct media_event event = { .type = MEDIA_EV_RTP_TIMEOUT };

	if (stream && !stream->closed)
		stream_event(stream, &event);
}

static void on_dtmf(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_digit *msg = (const void *)hdr;
	struct media_stream *stream = stream_find(media, hdr->stream);
	struct media_event event = { .type = MEDIA_EV_DTMF,
				     .digit = wire_digit_of(msg->event),
				     .duration_ms = msg->duration_ms };

	if (stream && !stream->closed)
		stream_event(stream, &event);
}

static void on_stats(struct media *media, const struct mp_hdr *hdr)
{
	const struct mp_stats *msg = (const void *)hdr;
	struct media_stream *stream = stream_find(media, hdr->stream);
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

static void stream_tell(struct media *media, const struct mp_hdr *hdr, struct media_event *event)
{
	struct media_stream *stream = stream_find(media, hdr->stream);

	if (stream && !stream->closed)
		stream_event(stream, event);
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
	struct media_stream *stream = stream_find(media, hdr->stream);
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
	[MP_WELCOME] = on_welcome, [MP_OPENED] = on_opened,   [MP_FAILED] = on_failed,
	[MP_LATCHED] = on_latched, [MP_TIMEOUT] = on_timeout, [MP_DTMF] = on_dtmf,
	[MP_STATS] = on_stats,     [MP_ORPHAN] = on_orphan,   [MP_SECURED] = on_secured,
	[MP_PLAYED] = on_played,   [MP_RECORDED] = on_recorded, [MP_TALKING] = on_talking,
	[MP_FAX] = on_fax_tone,
};

static void on_packet(struct media *media, const uint8_t *data, size_t len)
{
	struct wire_reader reader = { .data = data, .left = len, .dir = WIRE_TO_SWITCH };
	const struct mp_hdr *hdr;
	const char *why = "";
	int n;

	while ((n = wire_next(&hdr, &reader, &why)) > 0) {
		if (media->fd < 0)
			return;
		if (media->state == STATE_HELLO && hdr->type != MP_WELCOME)
			continue; /* meant for the connection before */
		event_table[hdr->type](media, hdr);
	}
	if (n < 0)
		log_error("media.client.message", "the media process sent a message that is not valid",
			  kv_text("why", why));
}

/* ------------------------------------------------------------------ socket */

static void flush(struct media *media)
{
	struct le *le;

	while (media->state >= STATE_LISTING && (le = list_head(&media->batches))) {
		struct batch *batch = le->data;
		ssize_t n = send(media->fd, batch->wire.data, batch->wire.len,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
			media->writable = false;
			return;
		}
		if (n < 0)
			return; /* the read side will see the end of the connection */
		batch_done(media, batch);
	}
}

static void socket_h(int flags, void *arg)
{
	struct media *media = arg;
	_Alignas(8) static _Thread_local uint8_t data[MP_MAX_PACKET];
	ssize_t n;

	if (flags & FD_WRITE) {
		media->writable = true;
		flush(media);
		if (media->writable) /* else what is left waits for the next time */
			(void)fd_listen(media->fd, FD_READ, socket_h, media);
	}

	mem_ref(media); /* a handler may let go of us */
	for (int i = 0; i < CLIENT_READ_TURN && media->fd >= 0; i++) {
		n = recv(media->fd, data, sizeof(data), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			log_warn("media.client.down", "the connection to the media process ended");
			disconnect(media);
			break;
		}
		on_packet(media, data, (size_t)n);
	}
	mem_deref(media);
}

static void flush_h(void *arg)
{
	struct media *media = arg;

	if (media->state < STATE_LISTING || !media->writable)
		return;
	flush(media);
	if (!media->writable)
		(void)fd_listen(media->fd, FD_READ | FD_WRITE, socket_h, media);
}

static int socket_open(int *ret, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		err = -errno;
		close(fd);
		return err;
	}
	*ret = fd;
	return 0;
}

static int say_hello(struct media *media)
{
	struct mp_hello hello = { .hdr = { .type = MP_HELLO, .size = sizeof(hello) },
				  .magic = MP_MAGIC,
				  .version = MP_VERSION,
				  .lease = media->lease };

	if (send(media->fd, &hello, sizeof(hello), MSG_DONTWAIT | MSG_NOSIGNAL) != sizeof(hello))
		return -errno;
	return 0;
}

static void connect_now(void *arg)
{
	struct media *media = arg;
	unsigned wait_ms;
	int err;

	err = socket_open(&media->fd, media->path);
	if (!err) {
		media->state = STATE_HELLO;
		media->writable = true;
		err = err_from_re(fd_listen(media->fd, FD_READ, socket_h, media));
		if (!err)
			err = say_hello(media);
		if (!err)
			return;
		fd_close(media->fd);
		close(media->fd);
		media->fd = -1;
		media->state = STATE_DOWN;
	}

	/* Nobody listens: that process is dead, and its streams with it. */
	if ((err == -ECONNREFUSED || err == -ENOENT) && media->instance)
		all_lost(media);
	if (++media->failures == CLIENT_PATIENCE)
		log_warn("media.client.connect", "no connection to the media process; trying on",
			 kv_text("socket", media->path), kv_err(err));

	wait_ms = CLIENT_RETRY_MS * media->failures;
	tmr_start(&media->retry, wait_ms < CLIENT_RETRY_MAX_MS ? wait_ms : CLIENT_RETRY_MAX_MS,
		  connect_now, media);
}

/* ------------------------------------------------------------------ connection */

/* The lease lies beside the socket, so that the next switch finds it. */
static int lease_load(uint64_t *ret, const char *socket_path)
{
	const char *slash = strrchr(socket_path, '/');
	char path[512], text[32] = "";
	uint64_t lease = 0;
	int fd, n;

	n = slash ? snprintf(path, sizeof(path), "%.*s/lease", (int)(slash - socket_path), socket_path)
		  : snprintf(path, sizeof(path), "lease");
	if (n >= (int)sizeof(path))
		return -ENAMETOOLONG;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (read(fd, text, sizeof(text) - 1) > 0)
			lease = strtoull(text, NULL, 16);
		close(fd);
		if (lease) {
			*ret = lease;
			return 0;
		}
	}

	while (!lease)
		if (getrandom(&lease, sizeof(lease), 0) != sizeof(lease))
			return -errno;

	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)lease);
	if (write(fd, text, (size_t)n) != n) {
		close(fd);
		return -EIO;
	}
	close(fd);
	*ret = lease;
	return 0;
}

static void media_destructor(void *arg)
{
	struct media *media = arg;
	struct le *le;

	/* Last words of streams that were closed in this turn of the loop. */
	if (media->fd >= 0) {
		flush(media);
		fd_close(media->fd);
		close(media->fd);
	}
	tmr_cancel(&media->flush);
	tmr_cancel(&media->retry);
	while ((le = list_head(&media->all))) {
		struct media_stream *stream = le->data;

		list_unlink(&stream->le);
		hash_unlink(&stream->hash_le);
		stream->media = NULL;
	}
	while ((le = list_head(&media->batches))) {
		list_unlink(le);
		mem_deref(le->data);
	}
	mem_deref(media->spare);
	mem_deref(media->streams);
	mem_deref(media->orphans);
	mem_deref(media->path);
}

int media_connect(struct media **ret, const char *socket_path, media_up_h *up_h, void *arg)
{
	struct media *media;
	uint32_t first;
	int err;

	media = mem_zalloc(sizeof(*media), media_destructor);
	if (!media)
		return -ENOMEM;

	media->fd = -1;
	media->up_h = up_h;
	media->arg = arg;
	tmr_init(&media->flush);
	tmr_init(&media->retry);

	err = err_from_re(str_dup(&media->path, socket_path));
	if (!err)
		err = err_from_re(hash_alloc(&media->streams, CLIENT_BUCKETS));
	if (!err)
		err = lease_load(&media->lease, socket_path);
	if (!err && getrandom(&first, sizeof(first), 0) != sizeof(first))
		err = -EIO;
	if (err) {
		mem_deref(media);
		return err;
	}

	/* Ids are never reused, also not by the next switch: a random epoch and a counter. */
	media->next_id = ((uint64_t)first | 1) << 32;
	tmr_start(&media->retry, 0, connect_now, media);
	*ret = media;
	return 0;
}

bool media_is_up(const struct media *media)
{
	return media && media->state == STATE_UP;
}

/* ------------------------------------------------------------------ streams */

static void stream_destructor(void *arg)
{
	struct media_stream *stream = arg;

	(void)stream_message(stream, MP_CLOSE); /* queue full: the lease ends it */
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

	msg = message(media, MP_OPEN, stream->id);
	if (!msg)
		return stream_drop(stream);

	media->next_id++;
	msg->flags = (uint8_t)((opts->video ? MP_OPEN_VIDEO : 0) | (opts->rtcp_mux ? MP_OPEN_MUX : 0) |
			       (opts->ipv6 ? MP_OPEN_IPV6 : 0));
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

	if (!id || (media && stream_find(media, id)))
		return -EINVAL;
	err = stream_alloc(&stream, media, id, event_h, arg);
	if (err)
		return err;
	if (!message(media, MP_ADOPT, id))
		return stream_drop(stream);
	*ret = stream;
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

void media_set_remote(struct media_stream *stream, const struct media_remote *remote)
{
	struct mp_remote *msg = stream_message(stream, MP_REMOTE);

	if (!msg)
		return;
	addr_from_sa(&msg->rtp, remote->rtp);
	addr_from_sa(&msg->rtcp, remote->rtcp);
	msg->flags = (uint8_t)((remote->rtcp_mux ? MP_REMOTE_MUX : 0) |
			       (remote->symmetric ? MP_REMOTE_SYMMETRIC : 0) |
			       (remote->may_send && !remote->raw ? MP_REMOTE_SEND : 0) |
			       (remote->may_recv && !remote->raw ? MP_REMOTE_RECV : 0));
	if (remote->raw)
		msg->flags |= MP_REMOTE_RAW;
	msg->ptime_ms = remote->ptime_ms;
	msg->dtmf_tx = (uint8_t)remote->dtmf_tx;
	msg->dtmf_pt = remote->dtmf_pt;
	msg->dtmf_pt_in = remote->dtmf_pt_in;
	msg->dtmf_hz = remote->dtmf_hz;
	for (size_t i = 0; i < remote->n_formats && i < MP_MAX_FORMATS; i++) {
		const struct media_format *from = &remote->formats[i];

		msg->formats[msg->n_formats++] = (struct mp_format){
			.codec = (uint8_t)from->codec,
			.pt_out = from->pt_out & 0x7f,
			.pt_in = from->pt_in & 0x7f,
			.flags = (uint8_t)((from->fec ? MP_FORMAT_FEC : 0) |
					   (from->dtx ? MP_FORMAT_DTX : 0)),
			.clock_hz = from->clock_hz,
			.max_hz = from->max_hz,
		};
	}
}

void media_bridge(struct media_stream *a, struct media_stream *b)
{
	struct mp_bridge *msg;

	if (b->gone || b->closed)
		return;
	msg = stream_message(a, MP_BRIDGE);
	if (msg)
		msg->other = b->id;
}

void media_unbridge(struct media_stream *stream)
{
	(void)stream_message(stream, MP_UNBRIDGE);
}

void media_music_start(struct media_stream *stream, uint32_t moh_class)
{
	struct mp_music *msg = stream_message(stream, MP_MUSIC_START);

	if (msg)
		msg->moh_class = moh_class;
}

void media_music_stop(struct media_stream *stream)
{
	(void)stream_message(stream, MP_MUSIC_STOP);
}

void media_dtmf_send(struct media_stream *stream, char digit, uint32_t duration_ms)
{
	int event = wire_event_of(digit);
	struct mp_digit *msg = event >= 0 ? stream_message(stream, MP_DTMF_SEND) : NULL;

	if (!msg)
		return;
	msg->event = (uint8_t)event;
	msg->duration_ms = duration_ms;
}

void media_listen(struct media_stream *stream, const struct media_listen_opts *opts)
{
	struct mp_listen *msg = stream_message(stream, MP_LISTEN);

	if (msg)
		msg->flags = (opts->inband ? MP_LISTEN_INBAND : 0) | (opts->fax ? MP_LISTEN_FAX : 0);
}

/* ------------------------------------------------------------------ encryption */

size_t media_suite_key_len(enum media_suite suite)
{
	static const uint8_t lens[MEDIA_SUITES] = {
		[MEDIA_AES_CM_128_HMAC_SHA1_80] = 30, [MEDIA_AES_CM_128_HMAC_SHA1_32] = 30,
		[MEDIA_AES_256_CM_HMAC_SHA1_80] = 46, [MEDIA_AES_256_CM_HMAC_SHA1_32] = 46,
		[MEDIA_AEAD_AES_128_GCM] = 28,	      [MEDIA_AEAD_AES_256_GCM] = 44,
	};

	return suite < MEDIA_SUITES ? lens[suite] : 0;
}

void media_set_secure(struct media_stream *stream, const struct media_secure *secure)
{
	static const uint8_t hash_lens[MEDIA_HASHES] = { 20, 32, 48, 64 };
	struct mp_secure *msg = stream_message(stream, MP_SECURE);

	if (!msg)
		return;
	msg->mode = (uint8_t)secure->mode;
	if (secure->mode == MEDIA_SDES) {
		msg->suite_tx = (uint8_t)secure->suite_tx;
		msg->suite_rx = (uint8_t)secure->suite_rx;
		memcpy(msg->key_tx, secure->key_tx, media_suite_key_len(secure->suite_tx));
		memcpy(msg->key_rx, secure->key_rx, media_suite_key_len(secure->suite_rx));
	} else if (secure->mode == MEDIA_DTLS) {
		msg->active = secure->active;
		msg->hash = (uint8_t)secure->hash;
		memcpy(msg->fingerprint, secure->fingerprint, hash_lens[secure->hash]);
	}
}

const uint8_t *media_fingerprint(const struct media *media)
{
	return media_is_up(media) ? media->fingerprint : NULL;
}

static void text_set(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from ? from : "");
}

void media_set_ice(struct media_stream *stream, const struct media_ice *ice)
{
	struct mp_ice *msg = stream_message(stream, MP_ICE);

	if (!msg)
		return;
	msg->flags = (ice->remote_lite ? MP_ICE_LITE_REMOTE : 0) |
		     (ice->controlling ? MP_ICE_CONTROLLING : 0) |
		     (ice->restart ? MP_ICE_RESTART : 0) | (ice->off ? MP_ICE_OFF : 0);
	text_set(msg->ufrag, sizeof(msg->ufrag), ice->ufrag);
	text_set(msg->pwd, sizeof(msg->pwd), ice->pwd);
	text_set(msg->remote_ufrag, sizeof(msg->remote_ufrag), ice->remote_ufrag);
	text_set(msg->remote_pwd, sizeof(msg->remote_pwd), ice->remote_pwd);

	for (size_t i = 0; i < ice->n_candidates; i++) {
		struct mp_candidate *candidate = stream_message(stream, MP_CANDIDATE);

		if (!candidate)
			return;
		addr_from_sa(&candidate->addr, ice->candidates[i].addr);
		candidate->priority = ice->candidates[i].priority;
		candidate->component = ice->candidates[i].component == 2 ? 2 : 1;
	}
}

/* ------------------------------------------------------------------ sounds */

void media_moh_set(struct media *media, uint32_t moh_class, const char *const *paths, size_t n,
		   bool random)
{
	for (size_t i = 0; i < n || !i; i++) {
		struct mp_moh_file *msg = message(media, MP_MOH_FILE, 0);

		if (!msg)
			return;
		msg->moh_class = moh_class;
		msg->index = (uint16_t)i;
		msg->flags = (uint16_t)((random ? MP_MOH_RANDOM : 0) |
					(i + 1 >= n ? MP_MOH_LAST : 0) | (n ? 0 : MP_MOH_NONE));
		text_set(msg->path, sizeof(msg->path), n ? paths[i] : NULL);
	}
}

int media_play(struct media_stream *stream, const struct media_play *play)
{
	if (!play->n_sounds)
		return -EINVAL;
	for (size_t i = 0; i < play->n_sounds; i++) {
		if (strlen(play->sounds[i]) >= MP_MAX_PATH)
			return -ENAMETOOLONG;
	}

	for (size_t i = 0; i < play->n_sounds; i++) {
		bool last = i + 1 == play->n_sounds;
		struct mp_play *msg = stream_message(stream, MP_PLAY);

		if (!msg)
			return -EUNAVAILABLE;
		msg->play = play->id;
		msg->offset_ms = i ? 0 : play->offset_ms;
		msg->gain_db = play->gain_db;
		text_set(msg->sound, sizeof(msg->sound), play->sounds[i]);
		if (last)
			msg->flags = (uint16_t)(MP_PLAY_LAST | (play->loop ? MP_PLAY_LOOP : 0) |
						(play->until_digit ? MP_PLAY_KEYS : 0) |
						(play->mix ? MP_PLAY_MIX : 0));
	}
	return 0;
}

void media_play_stop(struct media_stream *stream, uint32_t id)
{
	struct mp_play_stop *msg = stream_message(stream, MP_PLAY_STOP);

	if (msg)
		msg->play = id;
}

int media_record(struct media_stream *stream, const struct media_record *record)
{
	struct mp_record *msg;

	if (strlen(record->path) >= MP_MAX_PATH)
		return -ENAMETOOLONG;
	msg = stream_message(stream, MP_RECORD);
	if (!msg)
		return -EUNAVAILABLE;

	msg->record = record->id;
	msg->flags = (record->stereo ? MP_RECORD_STEREO : 0) | (record->opus ? MP_RECORD_OPUS : 0) |
		     (record->key ? MP_RECORD_SEALED : 0) | (record->said_only ? MP_RECORD_SAID : 0) |
		     (record->keys ? MP_RECORD_KEYS : 0);
	msg->max_ms = record->max_ms;
	msg->silence_ms = record->silence_ms;
	for (const char *key = record->keys; key && *key; key++) {
		int event = wire_event_of(*key);

		if (event >= 0)
			msg->keys |= 1u << event;
	}
	if (record->key)
		memcpy(msg->key, record->key, sizeof(msg->key));
	text_set(msg->path, sizeof(msg->path), record->path);
	return 0;
}

void media_on_recorded(struct media *media, media_event_h *event_h, void *arg)
{
	media->recorded_h = event_h;
	media->recorded_arg = arg;
}

static void record_set(struct media_stream *stream, uint32_t id, enum mp_record_verb verb)
{
	struct mp_record_set *msg = stream_message(stream, MP_RECORD_SET);

	if (!msg)
		return;
	msg->record = id;
	msg->verb = verb;
}

void media_record_pause(struct media_stream *stream, uint32_t id, bool pause)
{
	record_set(stream, id, pause ? MP_RECORD_PAUSE : MP_RECORD_RESUME);
}

void media_record_stop(struct media_stream *stream, uint32_t id)
{
	record_set(stream, id, MP_RECORD_STOP);
}

/* ------------------------------------------------------------------ rooms */

int media_room_open(struct media_stream **ret, struct media *media, uint32_t hz,
		    media_event_h *event_h, void *arg)
{
	struct media_stream *room;
	struct mp_room_open *msg;
	int err;

	err = stream_alloc(&room, media, media ? media->next_id : 0, event_h, arg);
	if (err)
		return err;

	msg = message(media, MP_ROOM_OPEN, room->id);
	if (!msg)
		return stream_drop(room);

	media->next_id++;
	msg->hz = hz;
	*ret = room;
	return 0;
}

void media_room_join(struct media_stream *stream, const struct media_stream *room,
		     const struct media_member *member)
{
	struct mp_room_join *msg = stream_message(stream, MP_ROOM_JOIN);

	if (!msg)
		return;
	msg->room = room->id;
	msg->to = member->whisper_to ? member->whisper_to->id : 0;
	msg->flags = (member->muted ? MP_MEMBER_MUTED : 0) | (member->deaf ? MP_MEMBER_DEAF : 0) |
		     (member->spy ? MP_MEMBER_SPY : 0) |
		     (member->whisper_to ? MP_MEMBER_WHISPER : 0) |
		     (member->tell_talking ? MP_MEMBER_TALKING : 0);
	msg->gain_in_db = member->gain_in_db;
	msg->gain_out_db = member->gain_out_db;
}

void media_room_leave(struct media_stream *stream)
{
	(void)stream_message(stream, MP_ROOM_LEAVE);
}

/* ------------------------------------------------------------------ ending */

void media_query_stats(struct media_stream *stream)
{
	(void)stream_message(stream, MP_STATS_QUERY);
}

void media_stream_handler(struct media_stream *stream, media_event_h *event_h, void *arg)
{
	stream->event_h = event_h;
	stream->arg = arg;
}

void media_stream_close(struct media_stream *stream)
{
	struct mp_close *msg = stream_message(stream, MP_CLOSE);

	if (msg)
		msg->flags = MP_CLOSE_STATS;
	stream->closed = true;
}

/* ------------------------------------------------------------------ orphans */

size_t media_orphans(const struct media *media, uint64_t *ids, size_t n)
{
	size_t take = media->n_orphans < n ? media->n_orphans : n;

	if (take)
		memcpy(ids, media->orphans, take * sizeof(*ids));
	return media->n_orphans;
}

void media_abandon(struct media *media, const uint64_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)message(media, MP_ABANDON, ids[i]); /* queue full: they end with the lease */
}
