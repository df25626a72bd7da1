/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

#define GATHER_US       1000 /* a message may wait this long for others to share the way */
#define BACKOFF_LAST_MS 2000u
#define CLOSE_FLUSH_MS  500u /* the last words of a process */

/* ------------------------------------------------------------------ answers */

static struct pending *pending_take(struct bus *bus, uint32_t id)
{
	struct pending *found = NULL;

	pthread_mutex_lock(&bus->lock);
	for (struct pending **p = &bus->pending; *p; p = &(*p)->next) {
		if ((*p)->id == id) {
			found = *p;
			*p = found->next;
			bus->n_pending--;
			break;
		}
	}
	pthread_mutex_unlock(&bus->lock);

	return found;
}

/* Answers with an error all requests, those that were sent, or those that waited too long. Handlers run
 * without the lock. */
static void pending_end(struct bus *bus, bool all, bool sent, int err)
{
	const uint64_t now = clk_mono_ms();
	struct pending *ended = NULL;

	pthread_mutex_lock(&bus->lock);
	for (struct pending **p = &bus->pending; *p;) {
		struct pending *one = *p;

		if (all || (sent && one->is_sent) || (!sent && one->deadline_ms <= now)) {
			*p = one->next;
			one->next = ended;
			ended = one;
			bus->n_pending--;
		} else {
			p = &one->next;
		}
	}
	pthread_mutex_unlock(&bus->lock);

	while (ended) {
		struct pending *next = ended->next;

		ended->answer_h(err, NULL, ended->arg);
		free(ended);
		ended = next;
	}
}

static int next_timeout_ms(struct bus *bus, bool is_connected)
{
	const uint64_t now = clk_mono_ms();
	uint64_t next = UINT64_MAX;

	pthread_mutex_lock(&bus->lock);
	for (const struct pending *p = bus->pending; p; p = p->next) {
		if (p->deadline_ms < next)
			next = p->deadline_ms;
	}
	pthread_mutex_unlock(&bus->lock);
	if (!is_connected && bus->retry_at_ms < next)
		next = bus->retry_at_ms;
	if (next == UINT64_MAX)
		return -1;
	if (next <= now)
		return 0;

	return next - now > 60000 ? 60000 : (int)(next - now);
}

/* ------------------------------------------------------------------ what comes in */

static json_t *parse_text(const struct frame *frame)
{
	char why[160] = "";
	json_t *data = NULL;

	if (!frame->text_len)
		return json_null();
	if (js_parse(&data, frame->text, frame->text_len, why, sizeof(why))) {
		log_warn("bus.bad_json", "a message that is no JSON document was dropped",
			 kv_text("subject", frame->subject), kv_text("why", why));
		return NULL;
	}

	return data;
}

static struct bus_reply *reply_make(struct bus *bus, uint32_t id)
{
	struct bus_reply *reply = calloc(1, sizeof(*reply));

	if (!reply)
		return NULL;

	reply->bus = bus;
	reply->id = id;
	reply->generation = bus->generation;
	atomic_fetch_add(&bus->refs, 1);
	return reply;
}

static size_t n_subscriptions(struct bus *bus)
{
	size_t n;

	pthread_mutex_lock(&bus->lock);
	n = bus->n_subs;
	pthread_mutex_unlock(&bus->lock);

	return n;
}

static void deliver(struct bus *bus, const struct frame *frame)
{
	const bool is_request = frame->type == FRAME_REQUEST;
	const size_t n = n_subscriptions(bus);
	struct bus_reply *reply = NULL;
	json_t *data = parse_text(frame);

	if (is_request) {
		reply = reply_make(bus, frame->id);
		if (!reply || !data) {
			bus_reply(reply, -EINVAL, NULL);
			json_decref(data);
			return;
		}
	} else if (!data) {
		return;
	}

	for (size_t i = 0; i < n; i++) {
		const struct subscription *sub = &bus->subs[i];

		if (is_request != subject_is_command(sub->pattern) ||
		    !subject_matches(sub->pattern, frame->subject))
			continue;
		sub->h(frame->subject, data, reply, sub->arg);
		if (is_request) {
			reply = NULL; /* the first that serves it owes the answer */
			break;
		}
	}
	bus_reply(reply, -EUNAVAILABLE, NULL);
	json_decref(data);
}

static void answer(struct bus *bus, const struct frame *frame)
{
	struct pending *pending = pending_take(bus, frame->id);
	json_t *data;
	int err = frame->arg;

	if (!pending)
		return; /* it came after the timeout */

	data = parse_text(frame);
	if (!data && !err)
		err = -EIO;
	pending->answer_h(err, data, pending->arg);
	free(pending);
}

static void set_wanted(struct bus *bus, const struct frame *frame)
{
	json_t *list = parse_text(frame);
	const size_t n = json_array_size(list);
	struct wanted *wanted, *old;

	wanted = calloc(1, sizeof(*wanted) + n * sizeof(wanted->patterns[0]));
	for (size_t i = 0; wanted && i < n; i++) {
		const char *pattern = json_string_value(json_array_get(list, i));

		wanted->patterns[wanted->n] = pattern ? strdup(pattern) : NULL;
		if (wanted->patterns[wanted->n])
			wanted->n++;
	}
	json_decref(list);

	pthread_mutex_lock(&bus->wanted_lock);
	old = bus->wanted;
	bus->wanted = wanted;
	pthread_mutex_unlock(&bus->wanted_lock);

	for (size_t i = 0; old && i < old->n; i++)
		free(old->patterns[i]);
	free(old);
}

static int take_frames(struct bus *bus)
{
	size_t pos = 0, used = 0;
	struct frame frame;
	int n;

	for (;;) {
		n = frame_parse(&frame, bus->in + pos, bus->in_len - pos, &used);
		if (n <= 0)
			break;
		if (frame.type == FRAME_REPLY)
			answer(bus, &frame);
		else if (frame.type == FRAME_WANTED)
			set_wanted(bus, &frame);
		else if (frame.type == FRAME_EVENT || frame.type == FRAME_REQUEST)
			deliver(bus, &frame);
		pos += used;
	}
	if (n < 0)
		return n;

	memmove(bus->in, bus->in + pos, bus->in_len - pos);
	bus->in_len -= pos;
	if (used + BUS_READ_BYTES > bus->in_size || (!bus->in_len && bus->in_size > 4 * BUS_READ_BYTES)) {
		const size_t size = (used > bus->in_len ? used : bus->in_len) + BUS_READ_BYTES;
		uint8_t *in = realloc(bus->in, size);

		if (!in)
			return -ENOMEM;
		bus->in = in;
		bus->in_size = size;
	}

	return 0;
}

/* ------------------------------------------------------------------ the connection */

/* What only the lost connection was to hear; the next one is introduced anew. Lock held. */
static void drop_stale(struct bus *bus)
{
	struct packet **p = &bus->out_head;

	bus->out_tail = NULL;
	while (*p) {
		struct packet *one = *p;
		const uint8_t type = one->data[4];

		if (type == FRAME_REPLY || type == FRAME_HELLO || type == FRAME_SUBSCRIBE) {
			*p = one->next;
			bus->out_bytes -= one->len;
			bus->out_frames--;
			free(one);
		} else {
			bus->out_tail = one;
			p = &one->next;
		}
	}
}

static void disconnect(struct bus *bus)
{
	if (bus->fd < 0)
		return;

	(void)close(bus->fd);
	bus->fd = -1;
	bus->in_len = 0;
	bus->out_pos = 0; /* a frame that was sent in part is sent whole to the next hub */
	bus->retry_at_ms = clk_mono_ms() + bus->backoff_ms;
	pthread_mutex_lock(&bus->lock);
	bus->generation++;
	drop_stale(bus);
	atomic_store(&bus->is_connected, false);
	pthread_mutex_unlock(&bus->lock);

	pending_end(bus, false, true, -EUNAVAILABLE);
}

/* Hello and subscriptions go before what waits in the queue. The caller holds the lock. */
static int introduce(struct bus *bus)
{
	struct packet *head = bus_packet(FRAME_HELLO, 0, 0, bus->name, NULL, 0), *tail = head;
	size_t bytes = head ? head->len : 0, frames = 1;

	for (size_t i = 0; i < bus->n_subs && tail; i++) {
		tail->next = bus_packet(FRAME_SUBSCRIBE, 0, 0, bus->subs[i].pattern, NULL, 0);
		tail = tail->next;
		bytes += tail ? tail->len : 0;
		frames++;
	}
	if (!tail) {
		while (head) {
			struct packet *next = head->next;

			free(head);
			head = next;
		}
		return -ENOMEM;
	}

	tail->next = bus->out_head;
	bus->out_head = head;
	if (!bus->out_tail)
		bus->out_tail = tail;
	bus->out_bytes += bytes;
	bus->out_frames += frames;

	return 0;
}

int bus_try_connect(struct bus *bus)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err = 0;

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", bus->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		err = -errno;
		goto out;
	}

	pthread_mutex_lock(&bus->lock);
	err = introduce(bus);
	if (!err) {
		atomic_store(&bus->is_connected, true);
		atomic_store(&bus->was_connected, true);
	}
	pthread_mutex_unlock(&bus->lock);
	if (err)
		goto out;

	bus->fd = fd;
	bus->backoff_ms = BUS_BACKOFF_FIRST_MS;
	return 0;

out:
	(void)close(fd);
	return err;
}

static void retry_connect(struct bus *bus)
{
	if (clk_mono_ms() < bus->retry_at_ms || !bus_try_connect(bus))
		return;

	bus->retry_at_ms = clk_mono_ms() + bus->backoff_ms;
	bus->backoff_ms *= 2;
	if (bus->backoff_ms > BACKOFF_LAST_MS)
		bus->backoff_ms = BACKOFF_LAST_MS;
}

static void pop_first(struct bus *bus)
{
	struct packet *first = bus->out_head;

	if (first->data[4] == FRAME_REQUEST) {
		struct frame frame;
		size_t used;

		if (frame_parse(&frame, first->data, first->len, &used) == 1) {
			for (struct pending *p = bus->pending; p; p = p->next) {
				if (p->id == frame.id)
					p->is_sent = true;
			}
		}
	}
	bus->out_head = first->next;
	if (!bus->out_head)
		bus->out_tail = NULL;
	bus->out_bytes -= first->len;
	bus->out_frames--;
	bus->out_pos = 0;
	free(first);
}

static void flush(struct bus *bus)
{
	ssize_t n = 0;

	pthread_mutex_lock(&bus->lock);
	while (bus->out_head) {
		const struct packet *first = bus->out_head;

		n = send(bus->fd, first->data + bus->out_pos, first->len - bus->out_pos,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		bus->out_pos += (size_t)n;
		if (bus->out_pos == first->len)
			pop_first(bus);
	}
	pthread_mutex_unlock(&bus->lock);

	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		disconnect(bus);
}

static void receive(struct bus *bus)
{
	const ssize_t n =
		recv(bus->fd, bus->in + bus->in_len, bus->in_size - bus->in_len, MSG_DONTWAIT);

	if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0) {
		disconnect(bus);
		return;
	}
	bus->in_len += (size_t)n;
	if (take_frames(bus))
		disconnect(bus);
}

static bool has_output(struct bus *bus)
{
	bool has;

	pthread_mutex_lock(&bus->lock);
	has = bus->out_head != NULL;
	pthread_mutex_unlock(&bus->lock);

	return has;
}

static void log_dropped(struct bus *bus)
{
	uint64_t dropped;

	pthread_mutex_lock(&bus->lock);
	dropped = bus->dropped;
	pthread_mutex_unlock(&bus->lock);

	if (dropped == bus->dropped_logged)
		return;
	log_warn("bus.dropped", "messages were dropped: the queue to the bus is full",
		 kv_int("messages", dropped - bus->dropped_logged));
	bus->dropped_logged = dropped;
}

void *bus_main(void *arg)
{
	struct bus *bus = arg;
	uint64_t stop_at_ms = 0, n;

	(void)pthread_setname_np(pthread_self(), "bus");
	for (;;) {
		struct pollfd fds[2] = { { .fd = bus->wake_fd, .events = POLLIN } };
		const bool is_stopping = atomic_load(&bus->is_stopping);
		int timeout_ms;

		if (is_stopping && !stop_at_ms)
			stop_at_ms = clk_mono_ms() + CLOSE_FLUSH_MS;
		if (is_stopping &&
		    (bus->fd < 0 || !has_output(bus) || clk_mono_ms() >= stop_at_ms))
			break;
		if (bus->fd < 0)
			retry_connect(bus);

		fds[1].fd = bus->fd;
		fds[1].events = POLLIN | (bus->fd >= 0 && has_output(bus) ? POLLOUT : 0);
		timeout_ms = is_stopping ? 20 : next_timeout_ms(bus, bus->fd >= 0);
		if (poll(fds, 2, timeout_ms) < 0)
			continue;

		if (fds[0].revents) {
			/* A busy publisher pays for one wake per turn, not for one per message. */
			if (!is_stopping)
				(void)usleep(GATHER_US);
			(void)!read(bus->wake_fd, &n, sizeof(n));
		}
		if (bus->fd >= 0 && fds[1].revents & (POLLIN | POLLHUP | POLLERR))
			receive(bus);
		if (bus->fd >= 0)
			flush(bus);
		pending_end(bus, false, false,
			    atomic_load(&bus->was_connected) ? -ETIMEDOUT : -EUNAVAILABLE);
		log_dropped(bus);
	}

	pending_end(bus, true, false, -ECANCELED);
	if (bus->fd >= 0)
		(void)close(bus->fd);
	return NULL;
}
