/* SPDX-License-Identifier: Apache-2.0 */
#include "web/ws_sip.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netdb.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/config.h"
#include "base/log.h"
#include "web/security.h"
#include "web/web_priv.h"

#define SECRET_CHARS   64
#define CONNECT_S      5
#define RX_BYTES       4096
#define QUEUE_HIGH     (WS_SIP_QUEUE_BYTES / 4) /* from here on the sender waits */
#define PEER_HEADER    "x-aoide-peer: "         /* EDGE_PROXY_HEADER of sip/edge.h */

struct message {
	struct message *next;
	size_t len;
	bool is_binary;
	uint8_t data[]; /* LWS_PRE bytes, then len */
};

struct way { /* messages in one direction */
	struct message *first, **last;
	size_t bytes;
	uint8_t *part; /* a message that is still coming in: LWS_PRE bytes before */
	size_t part_len, part_size;
	bool waits;    /* the sender is not read from */
};

struct ws_sip_pipe {
	struct web *web;
	struct lws *down, *up; /* browser, switch; NULL: gone */
	bool is_up_ready, is_closing;
	char peer[80], secret[SECRET_CHARS + 1];
	struct way to_up, to_down;
};

/* ------------------------------------------------------------------ messages */

static void way_clear(struct way *way)
{
	struct message *message, *next;

	for (message = way->first; message; message = next) {
		next = message->next;
		free(message);
	}
	free(way->part);
	memset(way, 0, sizeof(*way));
}

static int part_add(struct way *way, const void *data, size_t len)
{
	size_t size = way->part_size ? way->part_size : RX_BYTES;
	uint8_t *part;

	if (way->part_len + len > WS_SIP_MAX_BYTES)
		return -EMSGSIZE;
	while (size < way->part_len + len)
		size *= 2;
	if (size != way->part_size) {
		part = realloc(way->part, size);
		if (!part)
			return -ENOMEM;
		way->part = part;
		way->part_size = size;
	}
	memcpy(way->part + way->part_len, data, len);
	way->part_len += len;
	return 0;
}

/* The message is complete. */
static int part_end(struct way *way, bool is_binary)
{
	struct message *message;

	if (way->bytes + way->part_len > WS_SIP_QUEUE_BYTES)
		return -ENOBUFS;
	message = malloc(sizeof(*message) + LWS_PRE + way->part_len);
	if (!message)
		return -ENOMEM;

	message->next = NULL;
	message->len = way->part_len;
	message->is_binary = is_binary;
	if (way->part_len)
		memcpy(message->data + LWS_PRE, way->part, way->part_len);
	if (!way->first)
		way->last = &way->first;
	*way->last = message;
	way->last = &message->next;
	way->bytes += message->len;

	/* Between messages a connection keeps nothing. */
	free(way->part);
	way->part = NULL;
	way->part_len = way->part_size = 0;
	return 0;
}

/* ------------------------------------------------------------------ pipes */

static void pipe_free(struct ws_sip_pipe *pipe)
{
	way_clear(&pipe->to_up);
	way_clear(&pipe->to_down);
	pipe->web->n_ws_sip--;
	free(pipe);
}

static void wake(struct lws *wsi)
{
	if (wsi)
		lws_callback_on_writable(wsi);
}

/* The other side has gone, or something cannot go on: this side ends as soon as lws asks. */
static void close_down(struct ws_sip_pipe *pipe)
{
	pipe->is_closing = true;
	if (!pipe->down)
		return;
	lws_rx_flow_control(pipe->down, 1); /* else lws would not ask */
	lws_callback_on_writable(pipe->down);
}

static void close_up(struct ws_sip_pipe *pipe)
{
	if (pipe->up)
		lws_set_timeout(pipe->up, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

static void down_gone(struct ws_sip_pipe *pipe)
{
	pipe->down = NULL;
	if (pipe->up)
		close_up(pipe);
	else
		pipe_free(pipe);
}

static void up_gone(struct ws_sip_pipe *pipe)
{
	pipe->up = NULL;
	pipe->is_up_ready = false;
	if (pipe->down)
		close_down(pipe);
	else
		pipe_free(pipe);
}

/* A piece of a message came from `from`; it goes to `to` when it is whole. Returns what lws wants. */
static int receive(struct ws_sip_pipe *pipe, struct way *way, struct lws *from, struct lws *to, const void *in,
		   size_t len)
{
	int err = part_add(way, in, len);

	if (!err && lws_is_final_fragment(from) && !lws_remaining_packet_payload(from)) {
		err = part_end(way, lws_frame_is_binary(from));
		wake(to);
	}
	if (err) {
		lws_close_reason(from, err == -EMSGSIZE ? LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE
							: LWS_CLOSE_STATUS_UNEXPECTED_CONDITION,
				 NULL, 0);
		return -1;
	}
	if (way->bytes >= QUEUE_HIGH && !way->waits) {
		way->waits = true;
		lws_rx_flow_control(from, 0);
	}
	return 0;
}

static bool is_utf8(const uint8_t *p, size_t len)
{
	static const struct {
		uint8_t mask, lead, more;
	} leads[] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 1 }, { 0xf0, 0xe0, 2 }, { 0xf8, 0xf0, 3 } };

	for (size_t i = 0; i < len;) {
		size_t k = 0, more;

		while (k < 4 && (p[i] & leads[k].mask) != leads[k].lead)
			k++;
		if (k == 4 || (p[i] & 0xfe) == 0xc0 || p[i] > 0xf4)
			return false;
		more = leads[k].more;
		if (more >= len - i)
			return false;
		if ((p[i] == 0xe0 && p[i + 1] < 0xa0) || (p[i] == 0xed && p[i + 1] > 0x9f) ||
		    (p[i] == 0xf0 && p[i + 1] < 0x90) || (p[i] == 0xf4 && p[i + 1] > 0x8f))
			return false;
		for (i++; more; more--, i++)
			if ((p[i] & 0xc0) != 0x80)
				return false;
	}
	return true;
}

/* One message a turn, so that none is held up by another's flood. */
static int send_one(struct way *way, struct lws *from, struct lws *to, bool as_text)
{
	struct message *message = way->first;
	enum lws_write_protocol how;

	if (!message)
		return 0;

	/* The switch sends all as binary; browsers' libraries like text better (RFC 7118 section 5). */
	how = message->is_binary && !as_text ? LWS_WRITE_BINARY : LWS_WRITE_TEXT;
	if (how == LWS_WRITE_TEXT && message->is_binary &&
	    !is_utf8(message->data + LWS_PRE, message->len))
		how = LWS_WRITE_BINARY;
	if (lws_write(to, message->data + LWS_PRE, message->len, how) < (int)message->len)
		return -1;

	way->first = message->next;
	way->bytes -= message->len;
	free(message);
	if (way->waits && way->bytes < QUEUE_HIGH / 2) {
		way->waits = false;
		if (from)
			lws_rx_flow_control(from, 1);
	}
	if (way->first)
		lws_callback_on_writable(to);
	return 0;
}

/* ------------------------------------------------------------------ to the switch */

/* Written by the switch when it starts; a page of memory, not a disk. Returns the port; 0: none. */
static int read_target(const struct web *web, char secret[SECRET_CHARS + 1])
{
	char path[1024];
	unsigned port = 0;
	FILE *file;

	config_path(path, sizeof(path), web->config, CONFIG_WS_SIP);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%5u %64[0-9A-Za-z]", &port, secret) != 2 || port > 65535)
		port = 0;
	(void)fclose(file);
	return (int)port;
}

static int connect_up(struct ws_sip_pipe *pipe)
{
	struct web *web = pipe->web;
	struct lws *up = NULL;
	int port = read_target(web, pipe->secret);

	if (!port)
		return -ECONNREFUSED;
	/* lws may report a failure from inside this call; pipe->up says so. */
	if (!lws_client_connect_via_info(&(struct lws_client_connect_info){
		    .context = web->lws,
		    .vhost = web->ws_sip,
		    .address = "127.0.0.1",
		    .port = port,
		    .path = "/",
		    .host = "127.0.0.1",
		    .origin = "127.0.0.1",
		    .protocol = WS_SIP_PROTOCOL,
		    .local_protocol_name = WS_SIP_PROTOCOL,
		    .ietf_version_or_minus_one = -1,
		    .userdata = pipe,
		    .pwsi = &up }))
		return -ECONNREFUSED;

	pipe->up = up;
	return 0;
}

static int add_peer(const struct ws_sip_pipe *pipe, unsigned char **at, unsigned char *end)
{
	int n;

	if (end <= *at)
		return -1;
	n = snprintf((char *)*at, (size_t)(end - *at), PEER_HEADER "%s %s\r\n", pipe->secret, pipe->peer);
	if (n < 0 || n >= end - *at)
		return -1;
	*at += n;
	return 0;
}

static int up_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		       size_t len)
{
	struct ws_sip_pipe *pipe = user;

	if (!pipe)
		return 0;
	switch ((int)reason) {
	case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
		return add_peer(pipe, in, *(unsigned char **)in + len);

	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		pipe->is_up_ready = true;
		if (!pipe->down)
			return -1;
		lws_callback_on_writable(wsi);
		return 0;

	case LWS_CALLBACK_CLIENT_RECEIVE:
		return pipe->down ? receive(pipe, &pipe->to_down, wsi, pipe->down, in, len) : -1;

	case LWS_CALLBACK_CLIENT_WRITEABLE:
		if (!pipe->down)
			return -1;
		return pipe->is_up_ready ? send_one(&pipe->to_up, pipe->down, wsi, false) : 0;

	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		log_warn("web.ws_sip", "the switch does not take a browser's SIP connection",
			 kv_text("peer", pipe->peer),
			 kv_text("why", in ? (const char *)in : "no reason given"));
		up_gone(pipe);
		return 0;

	case LWS_CALLBACK_CLIENT_CLOSED:
		up_gone(pipe);
		return 0;
	}
	return 0;
}

static const struct lws_protocols up_protocols[] = {
	{ .name = WS_SIP_PROTOCOL, .callback = up_callback, .rx_buffer_size = RX_BYTES },
	{ 0 },
};

int ws_sip_open(struct web *web)
{
	struct lws_context_creation_info info = { 0 };

	info.port = CONTEXT_PORT_NO_LISTEN;
	info.vhost_name = "ws-sip";
	info.protocols = up_protocols;
	info.timeout_secs = CONNECT_S;
	info.connect_timeout_secs = CONNECT_S;
	web->ws_sip = lws_create_vhost(web->lws, &info);
	return web->ws_sip ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------ browsers */

static bool is_path(struct lws *wsi)
{
	char path[sizeof(WS_SIP_PATH) + 1];

	return lws_hdr_copy(wsi, path, sizeof(path), WSI_TOKEN_GET_URI) > 0 && !strcmp(path, WS_SIP_PATH);
}

/* "chat, sip": one of them is ours (RFC 7118 section 4.1). */
static bool offers_sip(struct lws *wsi)
{
	char list[200] = "", *save = NULL;

	if (lws_hdr_copy(wsi, list, sizeof(list), WSI_TOKEN_PROTOCOL) <= 0)
		return false;
	for (char *word = strtok_r(list, ", \t", &save); word; word = strtok_r(NULL, ", \t", &save))
		if (!strcmp(word, WS_SIP_PROTOCOL))
			return true;
	return false;
}

bool ws_sip_confirm(struct web *web, struct lws *wsi, int *ret)
{
	char origin[300] = "", host[300] = "";
	int status = 0;

	if (!is_path(wsi))
		return false;
	if (lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN) > 0 &&
	    lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN) < 0)
		status = 403;
	(void)lws_hdr_copy(wsi, host, sizeof(host), WSI_TOKEN_HOST); /* stays empty when absent */
	if (*origin && !web_origin_matches(origin, host))
		status = 403;
	else if (!offers_sip(wsi))
		status = 400;
	else if (web->n_ws_sip >= WS_SIP_MAX)
		status = 503;

	*ret = !status ? 0 : lws_return_http_status(wsi, (unsigned)status, NULL) ? -1 : 1;
	return true;
}

/* "192.0.2.1:4711" or "[2001:db8::1]:4711", mapped IPv4 as IPv4. */
static int name_peer(struct lws *wsi, char *buf, size_t size)
{
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char host[46], port[8];
	const char *plain = host;

	if (getpeername(lws_get_socket_fd(wsi), (struct sockaddr *)&from, &len))
		return -errno;
	if (getnameinfo((struct sockaddr *)&from, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		return -EINVAL;
	host[strcspn(host, "%")] = '\0'; /* an interface */
	if (!strncasecmp(host, "::ffff:", 7) && strchr(host, '.'))
		plain = host + 7;
	if (snprintf(buf, size, strchr(plain, ':') ? "[%s]:%s" : "%s:%s", plain, port) >= (int)size)
		return -EMSGSIZE;
	return 0;
}

static int begin(struct web *web, struct lws *wsi, struct web_session *user)
{
	struct ws_sip_pipe *pipe = calloc(1, sizeof(*pipe));

	if (!pipe)
		return -1;
	web->n_ws_sip++;
	pipe->web = web;
	if (name_peer(wsi, pipe->peer, sizeof(pipe->peer))) {
		pipe_free(pipe);
		return -1;
	}

	/* Until the switch has taken it, what comes is kept; a failure meanwhile closes it. */
	pipe->down = wsi;
	user->pipe = pipe;
	if (connect_up(pipe) && !pipe->is_closing) {
		log_warn("web.ws_sip", "the switch cannot be reached; is it running?",
			 kv_text("peer", pipe->peer));
		close_down(pipe);
	}
	return 0;
}

int ws_sip_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct web *web = wsi ? lws_context_user(lws_get_context(wsi)) : NULL;
	struct web_session *session = user;
	struct ws_sip_pipe *pipe = session ? session->pipe : NULL;

	if (!web)
		return 0;
	switch ((int)reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return is_path(wsi) ? 0 : -1; /* the word alone does not lead here */

	case LWS_CALLBACK_ESTABLISHED:
		return begin(web, wsi, session);

	case LWS_CALLBACK_RECEIVE:
		return pipe && !pipe->is_closing ?
			       receive(pipe, &pipe->to_up, wsi, pipe->is_up_ready ? pipe->up : NULL, in, len) :
			       -1;

	case LWS_CALLBACK_SERVER_WRITEABLE:
		if (!pipe)
			return -1;
		if (pipe->is_closing && !pipe->to_down.first) {
			lws_close_reason(wsi, LWS_CLOSE_STATUS_GOINGAWAY, NULL, 0);
			return -1;
		}
		if (send_one(&pipe->to_down, pipe->up, wsi, true))
			return -1;
		if (pipe->is_closing)
			lws_callback_on_writable(wsi);
		return 0;

	case LWS_CALLBACK_CLOSED:
		if (pipe) {
			session->pipe = NULL;
			down_gone(pipe);
		}
		return 0;
	}
	return 0;
}
