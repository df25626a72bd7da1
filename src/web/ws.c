/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libwebsockets.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "web/mask.h"
#include "web/principal.h"
#include "web/rest.h"
#include "web/security.h"
#include "web/web_priv.h"

/*
 * /ws: events for browsers (docs/messages.md). A connection is opened first and its caller found
 * out by a worker afterwards, because the loop never asks the database; until then nothing is sent,
 * and a stranger is closed with code 4401.
 */
#define SOCKETS_MAX        4096
#define TOPICS_MAX         32
#define TOPIC_MAX_CHARS    64
#define QUEUE_MAX          256  /* events waiting for one slow reader */
#define INBOX_MAX          8192 /* events between the bus and the loop */
#define MESSAGE_MAX_BYTES  8192
#define CLOSE_UNAUTHORISED 4401

struct event { /* one text that several readers share; loop only but for its making */
	struct event *next;
	unsigned refs;
	int64_t tenant_id; /* 0: of the node */
	char topic[TOPIC_MAX_CHARS]; /* "call.ringing" */
	json_t *data;
	size_t len;        /* of text; 0: not printed yet */
	char *text;        /* LWS_PRE bytes before */
};

struct socket {
	struct socket *next;
	struct lws *wsi;
	uint64_t id;
	struct principal *who; /* NULL: not known yet */
	char topics[TOPICS_MAX][TOPIC_MAX_CHARS];
	size_t n_topics, n_ignored; /* n_ignored: of the last subscription, no topics or too many */
	struct event *queue[QUEUE_MAX];
	size_t head, count;
	bool hello, lagged, refused;
	bool subscribed; /* to be said: from here on nothing is missed */
	char in[MESSAGE_MAX_BYTES];
	size_t in_len;
};

struct web_sockets {
	struct web *web;
	struct socket *list; /* loop only */
	uint64_t last_id;
	_Atomic size_t n;
	_Atomic size_t n_ready; /* sockets that may get events: without any, events are not copied */

	pthread_mutex_t lock; /* inbox */
	struct event *first, **last;
	size_t waiting;
	bool lost;
};

int web_sockets_alloc(struct web_sockets **ret, struct web *web)
{
	struct web_sockets *sockets = calloc(1, sizeof(*sockets));

	if (!sockets)
		return -ENOMEM;
	sockets->web = web;
	sockets->last = &sockets->first;
	pthread_mutex_init(&sockets->lock, NULL);
	*ret = sockets;
	return 0;
}

static void event_unref(struct event *event)
{
	if (!event || --event->refs)
		return;
	json_decref(event->data);
	if (event->text)
		free(event->text - LWS_PRE);
	free(event);
}

static void socket_free(struct web_sockets *sockets, struct socket *socket)
{
	struct socket **at = &sockets->list;

	while (*at && *at != socket)
		at = &(*at)->next;
	if (*at)
		*at = socket->next;
	for (size_t i = 0; i < socket->count; i++)
		event_unref(socket->queue[(socket->head + i) % QUEUE_MAX]);
	if (socket->who)
		atomic_fetch_sub(&sockets->n_ready, 1);
	atomic_fetch_sub(&sockets->n, 1);
	principal_free(socket->who);
	free(socket);
}

void web_sockets_free(struct web_sockets *sockets)
{
	struct event *event, *next;

	if (!sockets)
		return;
	while (sockets->list)
		socket_free(sockets, sockets->list);
	for (event = sockets->first; event; event = next) {
		next = event->next;
		event_unref(event);
	}
	pthread_mutex_destroy(&sockets->lock);
	free(sockets);
}

size_t web_sockets_count(struct web_sockets *sockets)
{
	return atomic_load(&sockets->n);
}

/* ------------------------------------------------------------------ events in */

/* "t.7.call.ringing" is topic "call.ringing" of tenant 7; "sys.process.died" is "process.died" of 0. */
static bool split_subject(const char *subject, int64_t *tenant_id, const char **topic)
{
	char *end;

	*tenant_id = 0;
	if (!strncmp(subject, "sys.", 4)) {
		*topic = subject + 4;
		return true;
	}
	if (strncmp(subject, "t.", 2))
		return false;
	*tenant_id = strtoll(subject + 2, &end, 10);
	*topic = end + 1;
	return *end == '.';
}

void web_sockets_event(struct web_sockets *sockets, const char *subject, const json_t *data)
{
	struct event *event;
	const char *topic;
	int64_t tenant_id;
	bool wake = false;

	if (!atomic_load(&sockets->n_ready) || !split_subject(subject, &tenant_id, &topic) ||
	    strlen(topic) >= TOPIC_MAX_CHARS)
		return;
	event = calloc(1, sizeof(*event));
	if (!event)
		return;
	event->refs = 1;
	event->tenant_id = tenant_id;
	strcpy(event->topic, topic);
	/* jansson's counts are not atomic: the loop's copy is its own. */
	event->data = json_deep_copy(data);

	pthread_mutex_lock(&sockets->lock);
	if (sockets->waiting < INBOX_MAX) {
		wake = !sockets->waiting++;
		*sockets->last = event;
		sockets->last = &event->next;
		event = NULL;
	} else {
		sockets->lost = true;
	}
	pthread_mutex_unlock(&sockets->lock);

	if (event)
		event_unref(event);
	if (wake && sockets->web->lws)
		web_loop_wake(sockets->web);
}

/* `*` is one token, a last `*` or `>` the rest. */
static bool topic_matches(const char *pattern, const char *topic)
{
	for (;;) {
		size_t p = strcspn(pattern, "."), t = strcspn(topic, ".");
		bool any = p == 1 && (*pattern == '*' || *pattern == '>');

		if (!t)
			return false;
		if (any && !pattern[p])
			return true;
		if (!any && (p != t || strncmp(pattern, topic, p)))
			return false;
		pattern += p;
		topic += t;
		if (!*pattern || !*topic)
			return !*pattern && !*topic;
		pattern++;
		topic++;
	}
}

static bool wants(const struct socket *socket, const char *topic)
{
	for (size_t i = 0; i < socket->n_topics; i++)
		if (topic_matches(socket->topics[i], topic))
			return true;
	return false;
}

/* What a topic needs; the same as reading the thing over REST. First match wins. */
static const struct {
	const char *pattern, *permission;
	bool own_calls; /* without it: events of calls of one's own extension */
} topic_rules[] = {
	{ "call.*", "diagnostics", true },
	{ "registration.*", "accounts", false },
	{ "security.>", "diagnostics", false },
	{ "process.>", NULL, false },
	{ "config.>", NULL, false },
	{ "entity.>", NULL, false },
};

static bool may_see(const struct socket *socket, const struct event *event)
{
	const struct principal *who = socket->who;
	const char *own = who->extension;

	if (event->tenant_id != who->user.tenant_id && !(event->tenant_id == 0 && who->node_rights))
		return false;
	if (!strcmp(event->topic, "entity.changed") || !strcmp(event->topic, "audio.converted")) {
		const struct sch_entity *entity = sch_find(js_str(event->data, "entity", ""));

		return entity && principal_level(who, entity->permission) >= SCH_LEVEL_LIST;
	}
	for (size_t i = 0; i < sizeof(topic_rules) / sizeof(topic_rules[0]); i++) {
		if (!topic_matches(topic_rules[i].pattern, event->topic))
			continue;
		if (!topic_rules[i].permission)
			return event->tenant_id || who->node_rights;
		if (principal_level(who, topic_rules[i].permission) >= SCH_LEVEL_LIST)
			return true;
		return topic_rules[i].own_calls && *own &&
		       (!strcmp(js_str(event->data, "caller", ""), own) ||
			!strcmp(js_str(event->data, "called", ""), own));
	}
	return false;
}

/*
 * A session that has ended reads no more: its sockets are closed as a stranger's are. It travels as
 * an event without a topic, because only the loop touches sockets. but_this: the user's other
 * sessions have ended, and this one goes on.
 */
void web_sockets_end(struct web_sockets *sockets, const struct principal *who, bool but_this)
{
	struct event *event;
	bool wake;

	if (!atomic_load(&sockets->n_ready))
		return;
	event = calloc(1, sizeof(*event));
	if (!event)
		return;
	event->refs = 1;
	event->data = json_pack("{s:I,s:s,s:b}", "user_id", (json_int_t)who->user.id, "session",
				who->session_hash, "but_this", but_this);

	/* Never dropped for being one too many: these are few, and a limit would keep a door open. */
	pthread_mutex_lock(&sockets->lock);
	wake = !sockets->waiting++;
	*sockets->last = event;
	sockets->last = &event->next;
	pthread_mutex_unlock(&sockets->lock);
	if (wake && sockets->web->lws)
		web_loop_wake(sockets->web);
}

static void close_ended(struct web_sockets *sockets, const json_t *ended)
{
	const bool but_this = js_bool(ended, "but_this", false);

	for (struct socket *socket = sockets->list; socket; socket = socket->next) {
		const struct principal *who = socket->who;
		bool same;

		if (!who || who->user.id != js_int(ended, "user_id", 0))
			continue;
		same = !strcmp(who->session_hash, js_str(ended, "session", ""));
		if (same == but_this)
			continue;
		socket->refused = true;
		lws_callback_on_writable(socket->wsi);
	}
}

static bool print_event(struct event *event, const json_t *data)
{
	json_t *message = json_pack("{s:s,s:s,s:O}", "type", "event", "topic", event->topic, "data",
				    data);
	size_t len = message ? json_dumpb(message, NULL, 0, JSON_COMPACT) : 0;

	if (len) {
		event->text = malloc(LWS_PRE + len);
		if (event->text) {
			event->text += LWS_PRE;
			event->len = json_dumpb(message, event->text, len, JSON_COMPACT);
		}
	}
	json_decref(message);
	return event->text != NULL;
}

static void enqueue(struct socket *socket, struct event *event)
{
	if (socket->count == QUEUE_MAX) {
		/* He is too slow: what waits is worthless once something is missing. */
		for (; socket->count; socket->count--) {
			event_unref(socket->queue[socket->head]);
			socket->head = (socket->head + 1) % QUEUE_MAX;
		}
		socket->lagged = true;
	}
	event->refs++;
	socket->queue[(socket->head + socket->count++) % QUEUE_MAX] = event;
	lws_callback_on_writable(socket->wsi);
}

/* A caller without privacy rights gets a copy with masked numbers (D-046). */
static struct event *for_socket(const struct socket *socket, struct event *event)
{
	struct rest rest = { .who = socket->who };
	struct event *copy;
	json_t *data;

	if (strncmp(event->topic, "call.", 5) ||
	    (!mask_is_external(js_str(event->data, "source_type", "")) &&
	     !mask_is_external(js_str(event->data, "destination_type", ""))))
		return event->text || print_event(event, event->data) ? event : NULL;
	data = json_deep_copy(event->data);
	mask_call(&rest, data);
	copy = calloc(1, sizeof(*copy));
	if (copy) {
		*copy = (struct event){ .refs = 0, .tenant_id = event->tenant_id, .data = data };
		strcpy(copy->topic, event->topic);
		if (!print_event(copy, data)) {
			copy->refs = 1;
			event_unref(copy);
			copy = NULL;
		}
	} else {
		json_decref(data);
	}
	return copy;
}

void web_sockets_flush(struct web *web)
{
	struct web_sockets *sockets = web->sockets;
	struct event *event, *next;
	bool lost;

	pthread_mutex_lock(&sockets->lock);
	event = sockets->first;
	sockets->first = NULL;
	sockets->last = &sockets->first;
	sockets->waiting = 0;
	lost = sockets->lost;
	sockets->lost = false;
	pthread_mutex_unlock(&sockets->lock);

	for (; event; event = next) {
		next = event->next;
		if (!*event->topic)
			close_ended(sockets, event->data);
		for (struct socket *socket = sockets->list; socket; socket = socket->next) {
			struct event *mine;

			if (!socket->who || socket->refused || !wants(socket, event->topic) ||
			    !may_see(socket, event))
				continue;
			mine = for_socket(socket, event);
			if (mine)
				enqueue(socket, mine);
		}
		event_unref(event);
	}
	for (struct socket *socket = sockets->list; lost && socket; socket = socket->next) {
		socket->lagged = true;
		if (socket->who)
			lws_callback_on_writable(socket->wsi);
	}
}

/* ------------------------------------------------------------------ opening */

static const char *copy_header(struct lws *wsi, struct arena *arena, enum lws_token_indexes token)
{
	int len = lws_hdr_total_length(wsi, token);
	char *text = len > 0 ? arena_zalloc(arena, (size_t)len + 1) : NULL;

	if (!text || lws_hdr_copy(wsi, text, len + 1, token) < 0)
		return NULL;
	return text;
}

static bool is_ws_path(struct lws *wsi)
{
	char path[8];

	return lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) > 0 && !strcmp(path, "/ws");
}

/* Before the upgrade: the address, and that the page is ours. */
static int confirm(struct web *web, struct lws *wsi)
{
	char origin[300] = "", host[300] = "";
	int status = 0;

	if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) > 0 &&
	    lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN) < 0)
		status = 403;
	(void)lws_hdr_copy(wsi, host, sizeof(host), WSI_TOKEN_HOST); /* stays empty when absent */
	if (!is_ws_path(wsi))
		status = 404;
	else if (*origin && !web_origin_matches(origin, host))
		status = 403;
	else if (atomic_load(&web->sockets->n) >= SOCKETS_MAX)
		status = 503;
	if (!status)
		return 0;
	return lws_return_http_status(wsi, (unsigned)status, NULL) ? -1 : 1;
}

/* The headers are gone after the upgrade, so a request for the worker is made of them here. */
static struct web_req *opening_request(struct lws *wsi)
{
	static const char xauth[] = "x-authenticate:";
	struct web_req *req = web_req_alloc();
	int len;

	if (!req)
		return NULL;
	req->is_socket = true;
	req->method = WEB_GET;
	req->path = arena_strdup(req->arena, "/ws");
	req->query = arena_strdup(req->arena, "");
	req->headers[H_COOKIE] = copy_header(wsi, req->arena, WSI_TOKEN_HTTP_COOKIE);
	req->headers[H_ORIGIN] = copy_header(wsi, req->arena, WSI_TOKEN_ORIGIN);
	req->headers[H_HOST] = copy_header(wsi, req->arena, WSI_TOKEN_HOST);
	len = lws_hdr_custom_length(wsi, xauth, sizeof(xauth) - 1);
	if (len > 0) {
		char *text = arena_zalloc(req->arena, (size_t)len + 1);

		if (text && lws_hdr_custom_copy(wsi, text, len + 1, xauth, sizeof(xauth) - 1) > 0)
			req->headers[H_AUTHENTICATE] = text;
	}
	lws_get_peer_simple(wsi, req->address, sizeof(req->address));
	return req;
}

static int filter(struct web *web, struct lws *wsi, struct web_session *session)
{
	struct web_sockets *sockets = web->sockets;
	struct socket *socket = calloc(1, sizeof(*socket));
	struct web_req *req = socket ? opening_request(wsi) : NULL;

	if (!req) {
		free(socket);
		return -1;
	}
	socket->wsi = wsi;
	socket->id = ++sockets->last_id;
	socket->next = sockets->list;
	sockets->list = socket;
	atomic_fetch_add(&sockets->n, 1);
	session->socket = socket;
	req->socket_id = socket->id;
	if (!web_pool_submit(web, req)) {
		web_req_free(req);
		session->socket = NULL;
		socket_free(sockets, socket);
		return -1;
	}
	return 0;
}

void web_socket_opened(struct web *web, struct web_req *req)
{
	struct socket *socket = web->sockets->list;

	while (socket && socket->id != req->socket_id)
		socket = socket->next;
	if (socket) {
		socket->who = req->principal;
		req->principal = NULL;
		socket->refused = !socket->who;
		if (socket->who)
			atomic_fetch_add(&web->sockets->n_ready, 1);
		lws_callback_on_writable(socket->wsi);
	}
	web_req_free(req);
}

/* ------------------------------------------------------------------ talking */

static void subscribe(struct socket *socket, const json_t *topics, bool add)
{
	json_t *topic;
	size_t i;

	socket->n_ignored = 0;
	json_array_foreach(topics, i, topic) {
		const char *text = json_string_value(topic);
		size_t at = 0;

		if (!text || !*text || strlen(text) >= TOPIC_MAX_CHARS) {
			socket->n_ignored++;
			continue;
		}
		while (at < socket->n_topics && strcmp(socket->topics[at], text))
			at++;
		if (add && at == socket->n_topics && at < TOPICS_MAX) {
			strcpy(socket->topics[socket->n_topics++], text);
		} else if (add && at == socket->n_topics) {
			socket->n_ignored++;
		} else if (!add && at < socket->n_topics) {
			socket->n_topics--;
			memmove(socket->topics[at], socket->topics[socket->n_topics], TOPIC_MAX_CHARS);
		}
	}
}

/* A message that makes no sense ends the connection: our own pages never send one. */
static int receive(struct socket *socket, const char *data, size_t len, struct lws *wsi)
{
	json_t *message = NULL;
	const char *type;
	int ret = 0;

	if (len > sizeof(socket->in) - socket->in_len) {
		lws_close_reason(wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
		return -1;
	}
	memcpy(socket->in + socket->in_len, data, len);
	socket->in_len += len;
	if (!lws_is_final_fragment(wsi) || lws_remaining_packet_payload(wsi))
		return 0;
	if (js_parse(&message, socket->in, socket->in_len, NULL, 0) || !json_is_object(message)) {
		lws_close_reason(wsi, LWS_CLOSE_STATUS_INVALID_PAYLOAD, NULL, 0);
		ret = -1;
	}
	socket->in_len = 0;
	type = js_str(message, "type", "");
	if (!strcmp(type, "subscribe")) {
		subscribe(socket, json_object_get(message, "topics"), true);
		socket->subscribed = true;
		lws_callback_on_writable(wsi);
	} else if (!strcmp(type, "unsubscribe"))
		subscribe(socket, json_object_get(message, "topics"), false);
	json_decref(message);
	return ret;
}

static int send_text(struct lws *wsi, const char *text)
{
	unsigned char buf[LWS_PRE + 64];
	size_t len = strlen(text);

	memcpy(buf + LWS_PRE, text, len);
	return lws_write(wsi, buf + LWS_PRE, len, LWS_WRITE_TEXT) < 0 ? -1 : 0;
}

static int send_subscribed(struct lws *wsi, const struct socket *socket)
{
	char text[60];

	if (!socket->n_ignored)
		return send_text(wsi, "{\"type\":\"subscribed\"}");
	(void)snprintf(text, sizeof(text), "{\"type\":\"subscribed\",\"ignored\":%zu}", socket->n_ignored);
	return send_text(wsi, text);
}

/* One message a turn, as lws wants it. */
static int writeable(struct socket *socket, struct lws *wsi)
{
	int err = 0;

	if (socket->refused) {
		static const char why[] = "not logged in";

		lws_close_reason(wsi, (enum lws_close_status)CLOSE_UNAUTHORISED, (unsigned char *)why,
				 sizeof(why) - 1);
		return -1;
	}
	if (!socket->who)
		return 0;
	if (!socket->hello) {
		socket->hello = true;
		err = send_text(wsi, "{\"type\":\"hello\"}");
	} else if (socket->subscribed) {
		socket->subscribed = false;
		err = send_subscribed(wsi, socket);
	} else if (socket->lagged) {
		socket->lagged = false;
		err = send_text(wsi, "{\"type\":\"lagged\"}");
	} else if (socket->count) {
		struct event *event = socket->queue[socket->head];

		socket->head = (socket->head + 1) % QUEUE_MAX;
		socket->count--;
		if (lws_write(wsi, (unsigned char *)event->text, event->len, LWS_WRITE_TEXT) < 0)
			err = -1;
		event_unref(event);
	}
	if (!err && (socket->count || socket->lagged || socket->subscribed))
		lws_callback_on_writable(wsi);
	return err;
}

void web_socket_forget(struct web *web, struct web_session *session)
{
	struct socket *socket = session->socket;

	session->socket = NULL;
	if (socket)
		socket_free(web->sockets, socket);
}

int web_socket_callback(struct web *web, struct lws *wsi, int reason, void *user, void *in,
			size_t len)
{
	struct web_session *session = user;

	switch (reason) {
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return confirm(web, wsi);
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return filter(web, wsi, session);
	case LWS_CALLBACK_ESTABLISHED:
		web_bus_listen(web);
		lws_callback_on_writable(wsi);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return session->socket ? receive(session->socket, in, len, wsi) : -1;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return session->socket ? writeable(session->socket, wsi) : -1;
	case LWS_CALLBACK_CLOSED:
		if (session)
			web_socket_forget(web, session);
		return 0;
	}
	return 0;
}
