/* SPDX-License-Identifier: Apache-2.0 */
#include "media/control_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "media/dtls.h"

/* ------------------------------------------------------------------ connections: out */

void *conn_message(struct conn *conn, uint16_t type, uint64_t stream)
{
	struct out_batch *batch;
	void *msg;

	if (conn->dead)
		return NULL;
	msg = conn->last ? wire_append(&conn->last->wire, type, stream) : NULL;
	if (msg)
		return msg;

	if (conn->n_batches == CONTROL_MAX_BATCHES) {
		log_error("media.control.slow_switch",
			  "a switch does not read its events and is disconnected");
		conn->dead = true;
		return NULL;
	}

	batch = conn->spare ? conn->spare : malloc(sizeof(*batch));
	conn->spare = NULL;
	if (!batch) {
		conn->dead = true;
		return NULL;
	}
	batch->next = NULL;
	batch->wire.len = 0;
	if (conn->last)
		conn->last->next = batch;
	else
		conn->first = batch;
	conn->last = batch;
	conn->n_batches++;
	return wire_append(&batch->wire, type, stream);
}

static void batch_done(struct conn *conn)
{
	struct out_batch *batch = conn->first;

	conn->first = batch->next;
	if (!conn->first)
		conn->last = NULL;
	conn->n_batches--;
	if (conn->spare)
		free(batch);
	else
		conn->spare = batch;
}

static void conn_watch(struct conn *conn, int op)
{
	struct epoll_event ev = { .events = EPOLLIN | (conn->blocked ? EPOLLOUT : 0),
				  .data.ptr = conn };

	if (epoll_ctl(conn->control->epoll_fd, op, conn->fd, &ev))
		conn->dead = true;
}

static void conn_flush(struct conn *conn)
{
	bool was_blocked = conn->blocked;

	conn->blocked = false;
	while (conn->first && !conn->blocked) {
		const struct wire_batch *wire = &conn->first->wire;
		ssize_t n = send(conn->fd, wire->data, wire->len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			batch_done(conn);
		} else if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR) {
			conn->blocked = true;
		} else {
			conn->dead = true;
			return;
		}
	}
	if (conn->blocked != was_blocked)
		conn_watch(conn, EPOLL_CTL_MOD);
}

/* ------------------------------------------------------------------ connections: in */

static void conn_free(struct conn *conn)
{
	struct control *control = conn->control;

	lease_detach(conn);
	close(conn->fd);
	while (conn->first)
		batch_done(conn);
	free(conn->spare);
	for (int i = 0; i < CONTROL_MAX_CONNS; i++)
		if (control->conns[i] == conn)
			control->conns[i] = NULL;
	free(conn);
}

/* Only our own user and root may command: the folder is private, but a mistake there must not matter. */
static bool peer_allowed(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) &&
	       (cred.uid == geteuid() || cred.uid == 0);
}

static void conn_accept(struct control *control)
{
	struct conn *conn;
	int fd, i;

	fd = accept4(control->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;

	for (i = 0; i < CONTROL_MAX_CONNS && control->conns[i]; i++)
		;
	conn = i < CONTROL_MAX_CONNS && peer_allowed(fd) ? calloc(1, sizeof(*conn)) : NULL;
	if (!conn) {
		log_warn("media.control.refused", "a connection to the control socket was refused");
		close(fd);
		return;
	}
	conn->control = control;
	conn->fd = fd;
	control->conns[i] = conn;
	conn_watch(conn, EPOLL_CTL_ADD);
}

static void conn_packet(struct conn *conn, const uint8_t *data, size_t len)
{
	struct wire_reader reader = { .data = data, .left = len, .dir = WIRE_TO_MEDIA };
	const struct mp_hdr *hdr;
	const char *why = "";
	int n;

	while ((n = wire_next(&hdr, &reader, &why)) > 0 && !conn->dead) {
		if (conn->lease) {
			lease_command(conn, hdr);
		} else if (hdr->type == MP_HELLO) {
			lease_hello(conn, (const void *)hdr);
		} else {
			why = "command before the greeting";
			n = -EBADMSG;
			conn->dead = true;
			break;
		}
	}
	if (n < 0 && !conn->n_bad++) /* once for a connection: it may send many */
		log_error("media.control.message", "a switch sent a message that is not valid",
			  kv_text("why", why), kv_int("bytes", len));
}

static void conn_readable(struct conn *conn)
{
	_Alignas(8) uint8_t data[MP_MAX_PACKET];

	for (int i = 0; i < CONTROL_READ_TURN && !conn->dead; i++) {
		ssize_t n = recv(conn->fd, data, sizeof(data), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conn->dead = true;
			return;
		}
		if ((size_t)n > sizeof(data)) {
			log_error("media.control.message", "a packet above the limit was ignored",
				  kv_int("bytes", n));
			continue;
		}
		conn_packet(conn, data, (size_t)n);
		explicit_bzero(data, (size_t)n); /* keys, perhaps */
		/* One packet is what a switch sends per turn: do not ask again without need. */
		if ((size_t)n < sizeof(data) / 2)
			return;
	}
}

/* ------------------------------------------------------------------ the loop */

void control_take_events(struct control *control)
{
	for (unsigned i = 0; i < control->n_relays; i++) {
		struct relay_ev *evs;
		size_t n = relay_take_events(control->relays[i], &evs);

		for (size_t k = 0; k < n; k++)
			lease_event(control, &evs[k]);
		free(evs);
	}
}

static void publish(struct control *control)
{
	struct control_status *status = &control->status;
	struct pool_stats pool;
	uint64_t leases = 0;

	for (int i = 0; i < CONTROL_MAX_LEASES; i++)
		leases += control->leases[i] != NULL;
	pool_stats(control->pool, &pool);
	atomic_store_explicit(&status->streams, control->n_streams, memory_order_relaxed);
	atomic_store_explicit(&status->leases, leases, memory_order_relaxed);
	atomic_store_explicit(&status->bound_pairs, pool.bound, memory_order_relaxed);
	atomic_store_explicit(&status->pairs, pool.pairs, memory_order_relaxed);
	atomic_store_explicit(&status->bind_errors, pool.bind_errors, memory_order_relaxed);
}

static int count_streams(struct control *control, struct census *census)
{
	census->size = control->n_streams;
	census->v = census->size ? calloc(census->size, sizeof(census->v[0])) : NULL;
	if (census->size && !census->v)
		return -ENOMEM;
	for (unsigned i = 0; i < control->n_relays; i++)
		relay_post_wait(control->relays[i],
				&(struct relay_cmd){ .type = RCMD_CENSUS, .census = census });
	return 0;
}

static void answer_census(struct control *control)
{
	pthread_mutex_lock(&control->census.lock);
	if (control->census.wanted) {
		control->census.err = count_streams(control, control->census.wanted);
		control->census.wanted = NULL;
		pthread_cond_signal(&control->census.done);
	}
	pthread_mutex_unlock(&control->census.lock);
}

int control_census(struct control *control, struct census *ret)
{
	struct timespec end;
	uint64_t one = 1;
	int err = 0;

	*ret = (struct census){ 0 };
	(void)clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec++;

	pthread_mutex_lock(&control->census.one);
	pthread_mutex_lock(&control->census.lock);
	control->census.wanted = ret;
	(void)!write(control->event_fd, &one, sizeof(one));
	while (control->census.wanted && !err)
		err = -pthread_cond_timedwait(&control->census.done, &control->census.lock, &end);
	err = control->census.wanted ? -ETIMEDOUT : control->census.err;
	control->census.wanted = NULL;
	pthread_mutex_unlock(&control->census.lock);
	pthread_mutex_unlock(&control->census.one);
	return err;
}

/* What no descriptor tells. */
static int idle_ms(const struct control *control)
{
	int lease_ms = lease_wait_ms(control);

	if (control->pool_err == -EAGAIN)
		return 0;
	if (!control->pool_err && !control->n_closing)
		return lease_ms;
	return lease_ms < 0 || lease_ms > CONTROL_TURN_MS ? CONTROL_TURN_MS : lease_ms;
}

/* At once after the start, though calls come already: each would pay for its own ports. */
static void bind_ahead(struct control *control, bool is_idle)
{
	if (control->pool_err == -EAGAIN || (control->pool_err && is_idle))
		control->pool_err = pool_prepare(control->pool,
						 is_idle ? CONTROL_BIND : CONTROL_BIND_BUSY);
}

static void turn(struct control *control)
{
	struct epoll_event evs[64];
	uint64_t count;
	int n;

	n = epoll_wait(control->epoll_fd, evs, 64, idle_ms(control));
	control->now_ms = clk_mono_ms();
	for (int i = 0; i < n; i++) {
		void *ptr = evs[i].data.ptr;

		if (ptr == &control->listen_fd)
			conn_accept(control);
		else if (ptr == &control->event_fd)
			(void)!read(control->event_fd, &count, sizeof(count));
		else if (ptr == &control->stop_fd)
			control->stopping = true;
		else if (evs[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			conn_readable(ptr);
	}

	control_take_events(control);
	answer_census(control);
	lease_expire(control);
	bind_ahead(control, n <= 0);
	for (unsigned i = 0; i < control->n_relays; i++)
		relay_wake(control->relays[i]);
	for (int i = 0; i < CONTROL_MAX_CONNS; i++) {
		struct conn *conn = control->conns[i];

		if (conn && conn->first)
			conn_flush(conn);
		if (conn && conn->dead)
			conn_free(conn);
	}
	publish(control);
}

int control_run(struct control *control)
{
	control->now_ms = clk_mono_ms();
	control->pool_err = -EAGAIN;
	while (!control->stopping)
		turn(control);
	return 0;
}

void control_stop(struct control *control)
{
	uint64_t one = 1;

	(void)!write(control->stop_fd, &one, sizeof(one));
}

void control_status(const struct control *control, struct control_totals *ret)
{
	const struct control_status *status = &control->status;

	*ret = (struct control_totals){
		.streams = atomic_load_explicit(&status->streams, memory_order_relaxed),
		.leases = atomic_load_explicit(&status->leases, memory_order_relaxed),
		.opened = atomic_load_explicit(&status->opened, memory_order_relaxed),
		.failed = atomic_load_explicit(&status->failed, memory_order_relaxed),
		.bound_pairs = atomic_load_explicit(&status->bound_pairs, memory_order_relaxed),
		.pairs = atomic_load_explicit(&status->pairs, memory_order_relaxed),
		.bind_errors = atomic_load_explicit(&status->bind_errors, memory_order_relaxed),
		.threads = control->n_relays,
	};
	for (unsigned i = 0; i < control->n_relays; i++) {
		const struct relay_counters *c = &control->relays[i]->counters;

		ret->rx_packets += atomic_load_explicit(&c->rx_packets, memory_order_relaxed);
		ret->tx_packets += atomic_load_explicit(&c->tx_packets, memory_order_relaxed);
		ret->dropped += atomic_load_explicit(&c->dropped, memory_order_relaxed);
		ret->turns += atomic_load_explicit(&c->turns, memory_order_relaxed);
	}
	if (control->disk) {
		struct disk_stats disk;

		disk_stats(control->disk, &disk);
		ret->recordings = disk.files;
		ret->recordings_failed = disk.failed;
		ret->recordings_lost_ms = disk.lost_ms;
	}
}

/* ------------------------------------------------------------------ start and end */

static int socket_listen(int *ret, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	mode_t old;
	int fd, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, path, strlen(path) + 1);

	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;

	(void)unlink(path); /* of the media process before; not being there is fine */
	old = umask(0177);
	err = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 16) ? -errno : 0;
	umask(old);
	if (err) {
		close(fd);
		return err;
	}
	*ret = fd;
	return 0;
}

static int watch(struct control *control, int *fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = fd };

	return epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, *fd, &ev) ? -errno : 0;
}

/* The cache's thread. */
static void sounds_ready(void *arg)
{
	struct control *control = arg;

	for (unsigned i = 0; i < atomic_load(&control->n_ready_relays); i++)
		relay_sounds_ready(control->relays[i]);
}

/* What is played most is there before the first one is held. */
static void prepare_music(struct control *control)
{
	struct sound *sound;
	uint32_t frame;

	if (!music_now(&sound, &frame, control->music, 0, 0, 1))
		sound_unref(sound);
}

/* Calls go on without recordings. */
static void recordings_open(struct control *control)
{
	int err = disk_start(&control->disk, control->opts.recordings);

	if (err)
		log_error("media.disk.start", "nothing can be recorded: look at the folder",
			  kv_text("folder", control->opts.recordings), kv_err(err));
}

/* Until the relays have done all that was asked. */
static void relays_sync(struct control *control)
{
	for (unsigned i = 0; i < control->n_relays; i++)
		relay_post_wait(control->relays[i], &(struct relay_cmd){ .type = RCMD_SYNC });
}

static int start(struct control *control)
{
	struct pool_opts pool = { .listen = control->opts.listen,
				  .first = control->opts.rtp_first,
				  .last = control->opts.rtp_last,
				  .relays = control->relays,
				  .n_relays = control->opts.threads,
				  .max_pairs = control->opts.max_pairs };
	int err = 0;

	control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	control->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	control->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (control->epoll_fd < 0 || control->event_fd < 0 || control->stop_fd < 0)
		return -errno;
	while (!control->instance)
		if (getrandom(&control->instance, sizeof(control->instance), 0) < 0)
			return -errno;

	if (control->opts.recordings)
		recordings_open(control);
	err = sounds_alloc(&control->sounds, &(struct sounds_opts){ .ready_h = sounds_ready,
								    .arg = control });
	if (!err)
		err = assoc_identity_alloc(&control->identity);
	if (!err)
		err = music_alloc(&control->music, control->sounds, control->opts.moh_file);
	for (unsigned i = 0; i < control->opts.threads && !err; i++) {
		err = relay_start(&control->relays[i], i, control->event_fd, control->sounds,
				  control->music);
		control->n_relays += !err;
		if (!err) {
			control->relays[i]->disk = control->disk;
			control->relays[i]->identity = control->identity;
		}
	}
	atomic_store(&control->n_ready_relays, control->n_relays);
	if (!err)
		err = pool_alloc(&control->pool, &pool);
	if (!err)
		err = socket_listen(&control->listen_fd, control->opts.socket_path);
	if (!err)
		err = watch(control, &control->listen_fd);
	if (!err)
		err = watch(control, &control->event_fd);
	if (!err)
		err = watch(control, &control->stop_fd);
	if (!err)
		prepare_music(control);
	return err;
}

int control_alloc(struct control **ret, const struct control_opts *opts)
{
	struct control *control = calloc(1, sizeof(*control));
	int err;

	if (!control)
		return -ENOMEM;

	pthread_mutex_init(&control->census.lock, NULL);
	pthread_mutex_init(&control->census.one, NULL);
	pthread_cond_init(&control->census.done, NULL);
	control->opts = *opts;
	control->epoll_fd = control->listen_fd = control->event_fd = control->stop_fd = -1;
	if (!control->opts.lease_ms)
		control->opts.lease_ms = MEDIA_LEASE_MS;
	if (!control->opts.threads)
		control->opts.threads = 1;
	if (control->opts.threads > CONTROL_MAX_THREADS)
		control->opts.threads = CONTROL_MAX_THREADS;

	err = start(control);
	if (err) {
		control_free(control);
		return err;
	}
	*ret = control;
	return 0;
}

void control_free(struct control *control)
{
	if (!control)
		return;

	for (int i = 0; i < CONTROL_MAX_CONNS; i++)
		if (control->conns[i])
			conn_free(control->conns[i]);
	lease_free_all(control);
	relays_sync(control);
	disk_stop(control->disk); /* recordings that have just ended are completed */
	relays_sync(control);
	control_take_events(control);

	/* The cache outlives the relays, but must not wake one that has gone. */
	atomic_store(&control->n_ready_relays, 0);
	sounds_stop(control->sounds);
	for (unsigned i = 0; i < control->n_relays; i++)
		relay_stop(control->relays[i]);
	pool_free(control->pool);
	music_free(control->music);
	sounds_free(control->sounds);
	assoc_identity_free(control->identity);
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->event_fd >= 0)
		close(control->event_fd);
	if (control->stop_fd >= 0)
		close(control->stop_fd);
	if (control->epoll_fd >= 0)
		close(control->epoll_fd);
	pthread_cond_destroy(&control->census.done);
	pthread_mutex_destroy(&control->census.one);
	pthread_mutex_destroy(&control->census.lock);
	free(control);
}
