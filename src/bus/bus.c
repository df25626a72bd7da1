/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"

#define MAX_PENDING      4096u               /* requests without an answer yet */
#define MAX_QUEUE_BYTES  (24u * 1024 * 1024) /* not sent yet */
#define MAX_QUEUE_FRAMES 20000u

static void release(struct bus *bus)
{
	if (atomic_fetch_sub(&bus->refs, 1) > 1)
		return;

	for (size_t i = 0; i < bus->n_subs; i++)
		free(bus->subs[i].pattern);
	for (size_t i = 0; bus->wanted && i < bus->wanted->n; i++)
		free(bus->wanted->patterns[i]);
	free(bus->wanted);
	while (bus->out_head) {
		struct packet *next = bus->out_head->next;

		free(bus->out_head);
		bus->out_head = next;
	}
	if (bus->wake_fd >= 0)
		(void)close(bus->wake_fd);
	pthread_mutex_destroy(&bus->lock);
	pthread_mutex_destroy(&bus->wanted_lock);
	free(bus->in);
	free(bus->path);
	free(bus->name);
	free(bus);
}

static void wake(const struct bus *bus)
{
	const uint64_t one = 1;

	(void)!write(bus->wake_fd, &one, sizeof(one)); /* full means it is awake */
}

/* ------------------------------------------------------------------ sending */

struct packet *bus_packet(enum frame_type type, uint32_t id, int32_t arg,
				  const char *subject, const char *text, size_t text_len)
{
	const size_t len = frame_size(subject, text_len);
	struct packet *packet;

	if (len > FRAME_MAX_BYTES)
		return NULL;
	packet = malloc(sizeof(*packet) + len);
	if (!packet)
		return NULL;

	packet->next = NULL;
	packet->len = len;
	frame_print(packet->data, type, id, arg, subject, text, text_len);
	return packet;
}

/* Lock held. Steals packet. */
static int enqueue(struct bus *bus, struct packet *packet)
{
	if (!packet)
		return -ENOBUFS;
	if (bus->out_frames >= MAX_QUEUE_FRAMES || bus->out_bytes + packet->len > MAX_QUEUE_BYTES) {
		bus->dropped++;
		free(packet);
		return -ENOBUFS;
	}

	if (bus->out_tail) {
		bus->out_tail->next = packet;
	} else {
		bus->out_head = packet;
		wake(bus); /* the thread may sleep; with a queue it is awake or waits for POLLOUT */
	}
	bus->out_tail = packet;
	bus->out_bytes += packet->len;
	bus->out_frames++;

	return 0;
}

int bus_publish_text(struct bus *bus, const char *subject, const char *json, size_t len)
{
	struct packet *packet;
	int err;

	if (!subject_is_valid(subject, false))
		return -EINVAL;

	packet = bus_packet(FRAME_EVENT, 0, 0, subject, json, len);
	pthread_mutex_lock(&bus->lock);
	err = enqueue(bus, packet);
	pthread_mutex_unlock(&bus->lock);

	return err;
}

int bus_publish(struct bus *bus, const char *subject, json_t *data)
{
	char *text = js_dump(data);
	int err = -ENOMEM;

	if (text)
		err = bus_publish_text(bus, subject, text, strlen(text));
	free(text);
	json_decref(data);

	return err;
}

bool bus_wanted(struct bus *bus, const char *subject)
{
	bool found = false;

	if (!atomic_load_explicit(&bus->is_connected, memory_order_relaxed))
		return false;

	pthread_mutex_lock(&bus->wanted_lock);
	for (size_t i = 0; bus->wanted && i < bus->wanted->n && !found; i++)
		found = subject_matches(bus->wanted->patterns[i], subject);
	pthread_mutex_unlock(&bus->wanted_lock);

	return found;
}

int bus_subscribe(struct bus *bus, const char *pattern, bus_msg_h *h, void *arg)
{
	char *copy;
	int err = 0;

	if (!h || !subject_is_valid(pattern, true))
		return -EINVAL;
	copy = strdup(pattern);
	if (!copy)
		return -ENOMEM;

	pthread_mutex_lock(&bus->lock);
	if (bus->n_subs == BUS_MAX_SUBSCRIPTIONS)
		err = -ENOSPC;
	else if (atomic_load(&bus->is_connected)) /* else the thread subscribes to all it finds */
		err = enqueue(bus, bus_packet(FRAME_SUBSCRIBE, 0, 0, pattern, NULL, 0));
	if (!err) {
		bus->subs[bus->n_subs++] = (struct subscription){ .pattern = copy, .h = h, .arg = arg };
		copy = NULL;
	}
	pthread_mutex_unlock(&bus->lock);

	free(copy);
	return err;
}

int bus_request(struct bus *bus, const char *subject, json_t *data, unsigned timeout_ms,
		bus_answer_h *answer_h, void *arg)
{
	struct pending *pending = calloc(1, sizeof(*pending));
	char *text = js_dump(data);
	int err = -ENOMEM;

	json_decref(data);
	if (!pending || !text)
		goto out;
	if (!answer_h || !subject_is_valid(subject, false)) {
		err = -EINVAL;
		goto out;
	}

	pthread_mutex_lock(&bus->lock);
	if (bus->n_pending == MAX_PENDING) {
		err = -ENOBUFS;
	} else {
		pending->id = ++bus->next_id ? bus->next_id : ++bus->next_id;
		pending->deadline_ms = clk_mono_ms() + timeout_ms;
		pending->answer_h = answer_h;
		pending->arg = arg;
		err = enqueue(bus, bus_packet(FRAME_REQUEST, pending->id, (int32_t)timeout_ms,
					       subject, text, strlen(text)));
	}
	if (!err) {
		pending->next = bus->pending;
		bus->pending = pending;
		bus->n_pending++;
		pending = NULL;
		wake(bus); /* its next timeout may be nearer now */
	}
	pthread_mutex_unlock(&bus->lock);

out:
	free(pending);
	free(text);
	return err;
}

struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool is_done;
	int err;
	json_t *data;
};

static void waiter_answer(int err, json_t *data, void *arg)
{
	struct waiter *waiter = arg;

	pthread_mutex_lock(&waiter->lock);
	waiter->err = err;
	waiter->data = data;
	waiter->is_done = true;
	pthread_cond_signal(&waiter->cond);
	pthread_mutex_unlock(&waiter->lock);
}

int bus_request_wait(json_t **ret, struct bus *bus, const char *subject, json_t *data,
		     unsigned timeout_ms)
{
	struct waiter waiter = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	int err;

	if (pthread_equal(pthread_self(), bus->thread)) {
		json_decref(data);
		return -EDEADLK; /* the answer would come through this very thread */
	}

	err = bus_request(bus, subject, data, timeout_ms, waiter_answer, &waiter);
	if (err)
		return err;

	pthread_mutex_lock(&waiter.lock);
	while (!waiter.is_done) /* the bus thread answers every request, if only by its timeout */
		pthread_cond_wait(&waiter.cond, &waiter.lock);
	pthread_mutex_unlock(&waiter.lock);

	if (!waiter.err && ret)
		*ret = waiter.data;
	else
		json_decref(waiter.data);
	return waiter.err;
}

void bus_reply(struct bus_reply *reply, int err, json_t *data)
{
	struct bus *bus;
	char *text = NULL;
	struct packet *packet;

	if (!reply) {
		json_decref(data);
		return;
	}

	bus = reply->bus;
	if (data)
		text = js_dump(data);
	if (data && !text)
		err = -ENOMEM;
	packet = bus_packet(FRAME_REPLY, reply->id, err > 0 ? -err : err, "", text,
			     text ? strlen(text) : 0);
	if (!packet)
		packet = bus_packet(FRAME_REPLY, reply->id, -EMSGSIZE, "", NULL, 0);

	pthread_mutex_lock(&bus->lock);
	if (reply->generation == bus->generation)
		(void)enqueue(bus, packet); /* dropped: the requester has its timeout */
	else
		free(packet);
	pthread_mutex_unlock(&bus->lock);

	free(text);
	json_decref(data);
	free(reply);
	release(bus);
}

/* ------------------------------------------------------------------ life */

int bus_connect(struct bus **ret, const char *socket_path, const char *client_name)
{
	struct bus *bus;
	int err = 0;

	if (strlen(socket_path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -ENAMETOOLONG;
	if (!subject_is_valid(client_name, false))
		return -EINVAL;
	bus = calloc(1, sizeof(*bus));
	if (!bus)
		return -ENOMEM;

	atomic_init(&bus->refs, 1);
	pthread_mutex_init(&bus->lock, NULL);
	pthread_mutex_init(&bus->wanted_lock, NULL);
	bus->fd = -1;
	bus->backoff_ms = BUS_BACKOFF_FIRST_MS;
	bus->in_size = 2 * BUS_READ_BYTES;
	bus->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bus->wake_fd < 0)
		err = -errno;
	bus->in = malloc(bus->in_size);
	bus->path = strdup(socket_path);
	bus->name = strdup(client_name);
	if (!err && (!bus->in || !bus->path || !bus->name))
		err = -ENOMEM;
	if (err)
		goto out;

	(void)bus_try_connect(bus); /* a hub that is there is used at once, else the thread goes on trying */
	err = -pthread_create(&bus->thread, NULL, bus_main, bus);
	if (err)
		goto out;

	*ret = bus;
	return 0;

out:
	if (bus->fd >= 0)
		(void)close(bus->fd);
	release(bus);
	return err;
}

void bus_close(struct bus *bus)
{
	if (!bus)
		return;

	atomic_store(&bus->is_stopping, true);
	wake(bus);
	(void)pthread_join(bus->thread, NULL);
	pthread_mutex_lock(&bus->lock);
	bus->generation++; /* answers that are still owed go nowhere */
	atomic_store(&bus->is_connected, false);
	pthread_mutex_unlock(&bus->lock);

	release(bus);
}

bool bus_connected(const struct bus *bus)
{
	return atomic_load(&bus->is_connected);
}
