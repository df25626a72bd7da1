/* SPDX-License-Identifier: Apache-2.0 */
#include "media/client_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "media/wire.h"

#define CLIENT_BUCKETS      4096
#define CLIENT_MAX_BATCHES  256 /* 4 MiB of commands wait at most while media is away */
#define CLIENT_MAX_ORPHANS  65536
#define CLIENT_RETRY_MS     100
#define CLIENT_RETRY_MAX_MS 1000
#define CLIENT_PATIENCE     4 /* failures in a row: at a common start media is ready within them */
#define CLIENT_READ_TURN    64 /* packets read before other work of the loop gets its turn */

struct client_batch {
	struct le le;
	struct wire_batch wire;
};

static void connect_now(void *arg);

/* ------------------------------------------------------------------ out */

static void flush_h(void *arg);

static void batch_destructor(void *arg)
{
	struct client_batch *batch = arg;

	explicit_bzero(batch->wire.data, batch->wire.len); /* keys, perhaps */
}

static void batch_done(struct media *media, struct client_batch *batch)
{
	list_unlink(&batch->le);
	media->n_batches--;
	explicit_bzero(batch->wire.data, batch->wire.len); /* keys, perhaps */
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

static struct client_batch *batch_new(struct media *media)
{
	struct client_batch *batch = media->spare;

	if (media->n_batches >= CLIENT_MAX_BATCHES)
		return NULL;

	media->spare = NULL;
	if (!batch)
		batch = mem_alloc(sizeof(*batch), batch_destructor);
	if (!batch)
		return NULL;

	batch->wire.len = 0;
	memset(&batch->le, 0, sizeof(batch->le));
	list_append(&media->batches, &batch->le, batch);
	media->n_batches++;
	return batch;
}

/*
 * How long after the last packet a message leaves; 0: at the end of this turn of the loop. Waking
 * the media process costs as much as what it then does, so on a busy switch what nobody waits for
 * goes with the next call's, and on a calm one no timer has to wake us for it. What is closed waits
 * as long for others in any case. Far below the time between two packets, and the order stays.
 */
static const uint8_t patience_ms[] = {
	[MP_CLOSE] = 10,
	[MP_REMOTE] = 3,
	[MP_BRIDGE] = 3,
};

static void flush_within(struct media *media, uint16_t type)
{
	const uint64_t since_ms = type == MP_CLOSE ? 0 : clk_mono_ms() - media->flushed_at_ms;
	uint64_t ms = type < ARRAY_SIZE(patience_ms) ? patience_ms[type] : 0;

	ms -= since_ms < ms ? since_ms : ms;
	if (!tmr_isrunning(&media->flush) || tmr_get_expire(&media->flush) > ms)
		tmr_start(&media->flush, ms, flush_h, media);
}

/* A zeroed message that leaves soon; NULL when memory or queue is full. */
void *client_message(struct media *media, uint16_t type, uint64_t id)
{
	struct client_batch *batch = list_ledata(list_tail(&media->batches));
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

/* ------------------------------------------------------------------ events */

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
		client_stream_gone(le->data, MEDIA_EV_LOST, -EUNAVAILABLE);
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
			client_stream_gone(stream, MEDIA_EV_FAILED, -EUNAVAILABLE);
			continue;
		}
		list_unlink(le);
		list_append(&open, le, stream);
		(void)client_message(media, MP_ADOPT, stream->id); /* queue full: it ends with the lease */
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
	(void)client_message(media, MP_LIST, 0);
}

static void on_orphan(struct media *media, const struct mp_hdr *hdr)
{
	uint64_t *more;

	if (!hdr->stream) {
		if (media->state == STATE_LISTING)
			on_up(media);
		return;
	}
	if (client_stream_find(media, hdr->stream) || media->n_orphans >= CLIENT_MAX_ORPHANS)
		return;

	if (media->n_orphans % 256 == 0) {
		more = mem_reallocarray(media->orphans, media->n_orphans + 256, sizeof(*more), NULL);
		if (!more)
			return;
		media->orphans = more;
	}
	media->orphans[media->n_orphans++] = hdr->stream;
}

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
		if (hdr->type == MP_WELCOME)
			on_welcome(media, hdr);
		else if (hdr->type == MP_ORPHAN)
			on_orphan(media, hdr);
		else
			client_stream_told(media, hdr);
	}
	if (n < 0)
		log_error("media.client.message", "the media process sent a message that is not valid",
			  kv_text("why", why));
}

/* ------------------------------------------------------------------ socket */

static void flush(struct media *media)
{
	struct le *le;

	media->flushed_at_ms = clk_mono_ms();
	while (media->state >= STATE_LISTING && (le = list_head(&media->batches))) {
		struct client_batch *batch = le->data;
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
		(void)client_message(media, MP_ABANDON, ids[i]); /* queue full: they end with the lease */
}
