/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus.h"
#include "bus/frame.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_CLIENTS       64u
#define MAX_PATTERNS      256u  /* of one client */
#define MAX_REQUESTS      4096u /* waiting for an answer, of all clients */
#define MAX_QUEUE_BYTES   (24u * 1024 * 1024) /* unread by one client, then it is disconnected */
#define MAX_REQUEST_MS    120000
#define READ_BYTES        65536u
#define READS_PER_TURN    16u /* so that one talkative client does not keep others waiting */

/* A frame on its way to one or more clients; all in the hub's thread. */
struct packet {
	unsigned refs;
	size_t len;
	uint8_t data[];
};

struct queued {
	struct queued *next;
	struct packet *packet;
};

struct client {
	int fd;
	bool is_dead; /* removed at the end of the turn */
	char name[SUBJECT_MAX + 1];
	char *patterns[MAX_PATTERNS];
	size_t n_patterns;
	uint8_t *in;
	size_t in_len, in_size;
	struct queued *out_head, *out_tail;
	size_t out_bytes; /* all queued */
	size_t out_pos;   /* sent of the first */
};

struct request {
	uint32_t id; /* given by the hub; 0 free */
	uint32_t client_id;
	struct client *from, *to;
	uint64_t deadline_ms;
};

struct bus_hub {
	char *path;
	int listen_fd, stop_fd;
	pthread_t thread;
	atomic_bool is_stopping;
	struct client *clients[MAX_CLIENTS];
	size_t n_clients;
	struct request requests[MAX_REQUESTS];
	size_t n_requests;
	uint32_t next_id;
	bool patterns_changed;
	uint64_t n_killed;
};

/* ------------------------------------------------------------------ sending */

static struct packet *packet_make(enum frame_type type, uint32_t id, int32_t arg,
				  const char *subject, const char *text, size_t text_len)
{
	const size_t len = frame_size(subject, text_len);
	struct packet *packet;

	if (len > FRAME_MAX_BYTES)
		return NULL;
	packet = malloc(sizeof(*packet) + len);
	if (!packet)
		return NULL;

	packet->refs = 1;
	packet->len = len;
	frame_print(packet->data, type, id, arg, subject, text, text_len);
	return packet;
}

static void packet_release(struct packet *packet)
{
	if (packet && !--packet->refs)
		free(packet);
}

static void client_kill(struct bus_hub *hub, struct client *client, const char *why)
{
	if (client->is_dead)
		return;

	client->is_dead = true;
	hub->n_killed++;
	hub->patterns_changed |= client->n_patterns > 0;
	if (why)
		log_warn("bus.disconnect", why, kv_text("client", client->name),
			 kv_int("queued_bytes", client->out_bytes));
}

static void client_pop(struct client *client)
{
	struct queued *first = client->out_head;

	client->out_head = first->next;
	if (!client->out_head)
		client->out_tail = NULL;
	client->out_bytes -= first->packet->len;
	client->out_pos = 0;
	packet_release(first->packet);
	free(first);
}

static void client_flush(struct bus_hub *hub, struct client *client)
{
	while (client->out_head && !client->is_dead) {
		const struct packet *packet = client->out_head->packet;
		const ssize_t n = send(client->fd, packet->data + client->out_pos,
				       packet->len - client->out_pos, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0) {
			client_kill(hub, client, NULL); /* it went away: its own log says why */
			return;
		}
		client->out_pos += (size_t)n;
		if (client->out_pos == packet->len)
			client_pop(client);
	}
}

static void client_send(struct bus_hub *hub, struct client *client, struct packet *packet)
{
	struct queued *queued;

	if (client->is_dead || !packet)
		return;
	if (client->out_bytes + packet->len > MAX_QUEUE_BYTES) {
		client_kill(hub, client, "the reader is too slow: it is disconnected and comes back");
		return;
	}

	queued = malloc(sizeof(*queued));
	if (!queued) {
		client_kill(hub, client, "no memory for its messages");
		return;
	}
	queued->next = NULL;
	queued->packet = packet;
	packet->refs++;
	if (client->out_tail)
		client->out_tail->next = queued;
	else
		client->out_head = queued;
	client->out_tail = queued;
	client->out_bytes += packet->len;
}

static void send_reply(struct bus_hub *hub, struct client *client, uint32_t id, int err,
		       const char *text, size_t len)
{
	struct packet *packet = packet_make(FRAME_REPLY, id, err, "", text, len);

	client_send(hub, client, packet);
	packet_release(packet);
}

/* ------------------------------------------------------------------ routing */

static bool client_matches(const struct client *client, const char *subject)
{
	for (size_t i = 0; i < client->n_patterns; i++) {
		if (subject_matches(client->patterns[i], subject))
			return true;
	}

	return false;
}

static bool client_serves(const struct client *client, const char *subject)
{
	for (size_t i = 0; i < client->n_patterns; i++) {
		if (subject_is_command(client->patterns[i]) &&
		    subject_matches(client->patterns[i], subject))
			return true;
	}

	return false;
}

static void route_event(struct bus_hub *hub, const struct frame *frame)
{
	struct packet *packet = NULL;

	for (size_t i = 0; i < hub->n_clients; i++) {
		if (!client_matches(hub->clients[i], frame->subject))
			continue;
		if (!packet)
			packet = packet_make(FRAME_EVENT, 0, 0, frame->subject, frame->text,
					     frame->text_len);
		client_send(hub, hub->clients[i], packet);
	}
	packet_release(packet);
}

static struct request *request_slot(struct bus_hub *hub)
{
	if (hub->n_requests == MAX_REQUESTS)
		return NULL;

	for (size_t tries = 0; tries < MAX_REQUESTS; tries++) {
		struct request *slot;

		if (!++hub->next_id)
			hub->next_id = 1;
		slot = &hub->requests[hub->next_id % MAX_REQUESTS];
		if (!slot->id)
			return slot;
	}

	return NULL;
}

static void route_request(struct bus_hub *hub, struct client *from, const struct frame *frame)
{
	struct client *to = NULL;
	struct request *request;
	struct packet *packet;

	for (size_t i = 0; i < hub->n_clients && !to; i++) {
		if (!hub->clients[i]->is_dead && client_serves(hub->clients[i], frame->subject))
			to = hub->clients[i];
	}
	if (!to) {
		send_reply(hub, from, frame->id, -EUNAVAILABLE, NULL, 0);
		return;
	}
	request = request_slot(hub);
	if (!request) {
		send_reply(hub, from, frame->id, -EBUSY, NULL, 0);
		return;
	}

	*request = (struct request){
		.id = hub->next_id,
		.client_id = frame->id,
		.from = from,
		.to = to,
		.deadline_ms = clk_mono_ms() + (frame->arg > 0 && frame->arg < MAX_REQUEST_MS ?
							(uint64_t)frame->arg :
							MAX_REQUEST_MS),
	};
	hub->n_requests++;
	packet = packet_make(FRAME_REQUEST, request->id, frame->arg, frame->subject, frame->text,
			     frame->text_len);
	client_send(hub, to, packet);
	packet_release(packet);
}

static void request_end(struct bus_hub *hub, struct request *request)
{
	request->id = 0;
	hub->n_requests--;
}

static void route_reply(struct bus_hub *hub, const struct client *from, const struct frame *frame)
{
	struct request *request = &hub->requests[frame->id % MAX_REQUESTS];

	/* Late, or never asked: the requester has its timeout already. */
	if (!frame->id || request->id != frame->id || request->to != from)
		return;

	send_reply(hub, request->from, request->client_id, frame->arg <= 0 ? frame->arg : -EIO,
		   frame->text, frame->text_len);
	request_end(hub, request);
}

static void requests_check_once(struct bus_hub *hub)
{
	const uint64_t now = clk_mono_ms();

	for (size_t i = 0; i < MAX_REQUESTS && hub->n_requests; i++) {
		struct request *request = &hub->requests[i];

		if (!request->id)
			continue;
		if (request->from->is_dead || now >= request->deadline_ms) {
			request_end(hub, request); /* its own timeout tells the requester */
		} else if (request->to->is_dead) {
			send_reply(hub, request->from, request->client_id, -EUNAVAILABLE, NULL, 0);
			request_end(hub, request);
		}
	}
}

/* Answering may end a slow client, which again ends requests. */
static void requests_check(struct bus_hub *hub)
{
	uint64_t before;

	do {
		before = hub->n_killed;
		requests_check_once(hub);
	} while (hub->n_killed != before);
}

static void subscribe(struct bus_hub *hub, struct client *client, const char *pattern)
{
	char *copy;

	for (size_t i = 0; i < client->n_patterns; i++) {
		if (!strcmp(client->patterns[i], pattern))
			return;
	}
	copy = client->n_patterns < MAX_PATTERNS ? strdup(pattern) : NULL;
	if (!copy) {
		client_kill(hub, client, "too many subscriptions");
		return;
	}
	client->patterns[client->n_patterns++] = copy;
	hub->patterns_changed = true;
}

/* Tells everybody what is listened to, so that events nobody wants are never printed. */
static void send_wanted(struct bus_hub *hub)
{
	json_t *list = json_array(), *seen = json_object();
	char *text = NULL;
	struct packet *packet = NULL;

	for (size_t i = 0; i < hub->n_clients; i++) {
		const struct client *client = hub->clients[i];

		for (size_t p = 0; p < client->n_patterns && !client->is_dead; p++) {
			const char *pattern = client->patterns[p];

			if (subject_is_command(pattern) || json_object_get(seen, pattern))
				continue;
			json_object_set_new(seen, pattern, json_true());
			json_array_append_new(list, json_string(pattern));
		}
	}

	text = list ? js_dump(list) : NULL;
	if (text)
		packet = packet_make(FRAME_WANTED, 0, 0, "", text, strlen(text));
	for (size_t i = 0; packet && i < hub->n_clients; i++)
		client_send(hub, hub->clients[i], packet);

	packet_release(packet);
	free(text);
	json_decref(list);
	json_decref(seen);
}

static void handle_frame(struct bus_hub *hub, struct client *client, const struct frame *frame)
{
	switch (frame->type) {
	case FRAME_HELLO:
		(void)snprintf(client->name, sizeof(client->name), "%s", frame->subject);
		hub->patterns_changed = true; /* the new one has to know them */
		break;
	case FRAME_SUBSCRIBE:
		subscribe(hub, client, frame->subject);
		break;
	case FRAME_EVENT:
		route_event(hub, frame);
		break;
	case FRAME_REQUEST:
		route_request(hub, client, frame);
		break;
	case FRAME_REPLY:
		route_reply(hub, client, frame);
		break;
	case FRAME_WANTED:
		client_kill(hub, client, "it sent what only the hub sends");
		break;
	}
}

/* ------------------------------------------------------------------ reading */

static void take_frames(struct bus_hub *hub, struct client *client)
{
	size_t pos = 0, used = 0;
	struct frame frame;
	int n;

	while (!client->is_dead) {
		n = frame_parse(&frame, client->in + pos, client->in_len - pos, &used);
		if (n < 0) {
			client_kill(hub, client, "it sent a malformed frame");
			return;
		}
		if (!n)
			break;
		handle_frame(hub, client, &frame);
		pos += used;
	}

	memmove(client->in, client->in + pos, client->in_len - pos);
	client->in_len -= pos;

	/* Room for the rest of a large frame; the memory of one that is over goes back. */
	if (used + READ_BYTES > client->in_size ||
	    (!client->in_len && client->in_size > 4 * READ_BYTES)) {
		const size_t size = (used > client->in_len ? used : client->in_len) + READ_BYTES;
		uint8_t *in = realloc(client->in, size);

		if (!in) {
			client_kill(hub, client, "no memory for its messages");
			return;
		}
		client->in = in;
		client->in_size = size;
	}
}

static void client_read(struct bus_hub *hub, struct client *client)
{
	for (unsigned i = 0; i < READS_PER_TURN && !client->is_dead; i++) {
		const ssize_t n = recv(client->fd, client->in + client->in_len,
				       client->in_size - client->in_len, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			client_kill(hub, client, NULL);
			return;
		}
		client->in_len += (size_t)n;
		take_frames(hub, client);
	}
}

static bool is_same_user(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) &&
	       (cred.uid == geteuid() || cred.uid == 0);
}

static void accept_client(struct bus_hub *hub)
{
	const int fd = accept4(hub->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	if (fd < 0)
		return;
	client = hub->n_clients < MAX_CLIENTS && is_same_user(fd) ? calloc(1, sizeof(*client)) : NULL;
	if (client)
		client->in = malloc(READ_BYTES * 2);
	if (!client || !client->in) {
		log_warn("bus.refused", "a client was refused: foreign user, or too many clients",
			 kv_int("clients", hub->n_clients));
		free(client);
		(void)close(fd);
		return;
	}

	client->fd = fd;
	client->in_size = READ_BYTES * 2;
	hub->clients[hub->n_clients++] = client;
}

static void client_free(struct client *client)
{
	while (client->out_head)
		client_pop(client);
	for (size_t i = 0; i < client->n_patterns; i++)
		free(client->patterns[i]);
	free(client->in);
	(void)close(client->fd);
	free(client);
}

static void bury_dead(struct bus_hub *hub)
{
	size_t kept = 0;

	for (size_t i = 0; i < hub->n_clients; i++) {
		if (hub->clients[i]->is_dead)
			client_free(hub->clients[i]);
		else
			hub->clients[kept++] = hub->clients[i];
	}
	hub->n_clients = kept;
}

/* ------------------------------------------------------------------ the thread */

static void turn(struct bus_hub *hub)
{
	struct pollfd fds[MAX_CLIENTS + 2] = {
		{ .fd = hub->stop_fd, .events = POLLIN },
		{ .fd = hub->listen_fd, .events = POLLIN },
	};
	const size_t n = hub->n_clients;

	for (size_t i = 0; i < n; i++) {
		fds[i + 2].fd = hub->clients[i]->fd;
		fds[i + 2].events = POLLIN | (hub->clients[i]->out_head ? POLLOUT : 0);
	}
	if (poll(fds, n + 2, hub->patterns_changed ? 0 : hub->n_requests ? 500 : -1) < 0)
		return;

	if (fds[1].revents)
		accept_client(hub);
	for (size_t i = 0; i < n; i++) {
		if (fds[i + 2].revents & (POLLIN | POLLHUP | POLLERR))
			client_read(hub, hub->clients[i]);
	}

	/* Each step may kill clients, which changes what the next has to do. */
	if (hub->patterns_changed) {
		hub->patterns_changed = false;
		send_wanted(hub);
	}
	for (size_t i = 0; i < hub->n_clients; i++)
		client_flush(hub, hub->clients[i]);
	requests_check(hub);
	bury_dead(hub);
}

static void *hub_main(void *arg)
{
	struct bus_hub *hub = arg;

	(void)pthread_setname_np(pthread_self(), "hub");
	while (!atomic_load(&hub->is_stopping))
		turn(hub);

	return NULL;
}

static int listen_on(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, err;
	mode_t mask;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;

	(void)unlink(path); /* left by a crash; two supervisors are kept apart by their lock */
	mask = umask(0177);
	err = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	(void)umask(mask);
	if (!err && listen(fd, 64))
		err = -errno;
	if (err) {
		(void)close(fd);
		return err;
	}

	return fd;
}

int bus_hub_start(struct bus_hub **ret, const char *socket_path)
{
	struct bus_hub *hub = calloc(1, sizeof(*hub));
	int err = 0;

	if (!hub)
		return -ENOMEM;

	hub->listen_fd = hub->stop_fd = -1;
	hub->path = strdup(socket_path);
	if (!hub->path) {
		err = -ENOMEM;
		goto out;
	}
	hub->listen_fd = listen_on(socket_path);
	if (hub->listen_fd < 0) {
		err = hub->listen_fd;
		goto out;
	}
	hub->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (hub->stop_fd < 0) {
		err = -errno;
		goto out;
	}
	err = -pthread_create(&hub->thread, NULL, hub_main, hub);
	if (err)
		goto out;

	*ret = hub;
	return 0;

out:
	if (hub->listen_fd >= 0) {
		(void)close(hub->listen_fd);
		(void)unlink(socket_path);
	}
	if (hub->stop_fd >= 0)
		(void)close(hub->stop_fd);
	free(hub->path);
	free(hub);
	return err;
}

void bus_hub_stop(struct bus_hub *hub)
{
	const uint64_t one = 1;

	if (!hub)
		return;

	atomic_store(&hub->is_stopping, true);
	(void)!write(hub->stop_fd, &one, sizeof(one)); /* an eventfd that is full wakes as well */
	(void)pthread_join(hub->thread, NULL);

	for (size_t i = 0; i < hub->n_clients; i++)
		client_free(hub->clients[i]);
	(void)unlink(hub->path);
	(void)close(hub->listen_fd);
	(void)close(hub->stop_fd);
	free(hub->path);
	free(hub);
}
