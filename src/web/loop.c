/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <libwebsockets.h>
#include <openssl/ssl.h>

#include "base/certfile.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"
#include "base/arena.h"
#include "web/upload.h"
#include "web/web_priv.h"
#include "web/ws_sip.h"
#include "web/security.h"

/*
 * The event loop. HTTP/1.1 only: libwebsockets 4.1 drops unknown headers of HTTP/2 requests, and
 * X-authenticate is one; a server offering h2 could not be used by the API's clients.
 */
#define HEADER_MAX_BYTES  16384
#define HEADER_POOL       (GUESTS_MAX + 512) /* those that ask for nothing must not take them all */
#define REQUEST_TIMEOUT_S 20  /* to send headers, and between two pieces of a body */
#define WORK_TIMEOUT_S    120 /* a worker's longest answer: an import of 50,000 rows */
#define SEND_TIMEOUT_S    30  /* without any progress */
#define KEEPALIVE_S       65
#define LINGER_S          5   /* without a byte of a body that nobody wants */
#define SEND_BYTES        16384 /* one TLS record */
#define SENDS_PER_TURN    8
#define WS_IDLE_PING_S    30
#define WS_IDLE_HANGUP_S  50

static const struct {
	enum lws_token_indexes token;
	const char *custom; /* of headers that lws has no number for; ends with a colon */
} header_sources[H_COUNT] = {
	[H_ACCEPT] = { WSI_TOKEN_HTTP_ACCEPT, NULL },
	[H_ACCEPT_LANGUAGE] = { WSI_TOKEN_HTTP_ACCEPT_LANGUAGE, NULL },
	[H_ACCEPT_ENCODING] = { WSI_TOKEN_HTTP_ACCEPT_ENCODING, NULL },
	[H_AUTHENTICATE] = { 0, "x-authenticate:" },
	[H_CONTENT_TYPE] = { WSI_TOKEN_HTTP_CONTENT_TYPE, NULL },
	[H_COOKIE] = { WSI_TOKEN_HTTP_COOKIE, NULL },
	[H_CSRF] = { 0, "x-csrf-token:" },
	[H_HOST] = { WSI_TOKEN_HOST, NULL },
	[H_IDEMPOTENCY_KEY] = { 0, "idempotency-key:" },
	[H_IF_MATCH] = { WSI_TOKEN_HTTP_IF_MATCH, NULL },
	[H_IF_NONE_MATCH] = { WSI_TOKEN_HTTP_IF_NONE_MATCH, NULL },
	[H_ORIGIN] = { WSI_TOKEN_ORIGIN, NULL },
	[H_RANGE] = { WSI_TOKEN_HTTP_RANGE, NULL },
	[H_USER_AGENT] = { WSI_TOKEN_HTTP_USER_AGENT, NULL },
};

static const struct {
	enum lws_token_indexes token;
	enum web_method method;
} methods[] = {
	{ WSI_TOKEN_GET_URI, WEB_GET },         { WSI_TOKEN_HEAD_URI, WEB_HEAD },
	{ WSI_TOKEN_POST_URI, WEB_POST },       { WSI_TOKEN_PUT_URI, WEB_PUT },
	{ WSI_TOKEN_PATCH_URI, WEB_PATCH },     { WSI_TOKEN_DELETE_URI, WEB_DELETE },
	{ WSI_TOKEN_OPTIONS_URI, WEB_OPTIONS },
};

/* ------------------------------------------------------------------ reading a request */

static const char *copy_token(struct lws *wsi, struct arena *arena, enum lws_token_indexes token)
{
	int len = lws_hdr_total_length(wsi, token);
	char *text;

	if (len <= 0)
		return NULL;
	text = arena_zalloc(arena, (size_t)len + 1);
	if (!text || lws_hdr_copy(wsi, text, len + 1, token) < 0)
		return NULL;
	return text;
}

static const char *copy_custom(struct lws *wsi, struct arena *arena, const char *name)
{
	int name_len = (int)strlen(name);
	int len = lws_hdr_custom_length(wsi, name, name_len);
	char *text;

	if (len < 0)
		return NULL;
	text = arena_zalloc(arena, (size_t)len + 1);
	if (!text || lws_hdr_custom_copy(wsi, text, len + 1, name, name_len) < 0)
		return NULL;
	while (*text == ' ')
		text++;
	return text;
}

/* lws has decoded the arguments and split them; `a=1&b=2` is put together again as the cache's key. */
static int read_args(struct lws *wsi, struct web_req *req)
{
	int total = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_URI_ARGS);
	struct web_text query = { 0 };
	int len;

	req->query = arena_strdup(req->arena, "");
	if (total <= 0)
		return req->query ? 0 : -ENOMEM;

	for (int i = 0; (len = lws_hdr_fragment_length(wsi, WSI_TOKEN_HTTP_URI_ARGS, i)) > 0; i++) {
		char *text = arena_zalloc(req->arena, (size_t)len + 1), *equals;

		if (!text || lws_hdr_copy_fragment(wsi, text, len + 1, WSI_TOKEN_HTTP_URI_ARGS, i) < 0)
			goto out;
		if (!web_utf8_valid(text, strlen(text)) || req->n_args == WEB_MAX_ARGS) {
			web_text_free(&query);
			return -EINVAL;
		}
		web_text_puts(&query, text);
		web_text_add(&query, "&", 1);
		equals = strchr(text, '=');
		/* `number~=10` and `a[ne]=b`: the first '=' ends the name. */
		if (equals)
			*equals++ = '\0';
		req->args[req->n_args++] = (struct web_arg){ text, equals ? equals : "" };
	}
	req->query = arena_strndup(req->arena, query.text ? query.text : "", query.len);
out:
	web_text_free(&query);
	return req->query ? 0 : -ENOMEM;
}

static bool wants_keep_alive(struct lws *wsi, struct arena *arena)
{
	const char *version = copy_token(wsi, arena, WSI_TOKEN_HTTP);
	const char *connection = copy_token(wsi, arena, WSI_TOKEN_CONNECTION);

	if (connection && !strcasecmp(connection, "close"))
		return false;
	if (connection && !strcasecmp(connection, "keep-alive"))
		return true;
	return version && !strncmp(version, "HTTP/1.1", 8);
}

/*
 * What is wrong with the request line or its Host (RFC 9112 section 3.2); NULL: nothing. lws takes a decoded
 * %0A or %0D for the end of the line, and the version for lost with the rest of the address.
 */
static const char *head_fault(struct lws *wsi)
{
	char version[16] = "";

	if (lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_HTTP) <= 0)
		return "The request line is malformed: an address has no line break (%0A, %0D), and a version "
		       "follows it.";
	if (!strcmp(version, "HTTP/1.1") && lws_hdr_total_length(wsi, WSI_TOKEN_HOST) <= 0)
		return "An HTTP/1.1 request needs a Host header.";
	return lws_hdr_fragment_length(wsi, WSI_TOKEN_HOST, 1) > 0 ? "There is more than one Host header." : NULL;
}

static bool is_loopback(const char *address)
{
	return !strncmp(address, "127.", 4) || !strcmp(address, "::1") ||
	       !strncmp(address, "::ffff:127.", 11);
}

static struct web_req *read_request(struct lws *wsi)
{
	struct web_req *req = web_req_alloc();
	const char *path = NULL;

	if (!req)
		return NULL;
	req->wsi = wsi;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		path = copy_token(wsi, req->arena, methods[i].token);
		if (path) {
			req->method = methods[i].method;
			break;
		}
	}
	if (!path)
		goto fail;
	req->path = (char *)path;
	for (int i = 0; i < H_COUNT; i++)
		req->headers[i] = header_sources[i].custom ?
			copy_custom(wsi, req->arena, header_sources[i].custom) :
			copy_token(wsi, req->arena, header_sources[i].token);
	lws_get_peer_simple(wsi, req->address, sizeof(req->address));
	if (!strncmp(req->address, "::ffff:", 7))
		memmove(req->address, req->address + 7, strlen(req->address + 7) + 1);
	req->loopback = is_loopback(req->address);
	req->keep_alive = wants_keep_alive(wsi, req->arena);
	if (read_args(wsi, req))
		goto fail;
	return req;

fail:
	web_req_free(req);
	return NULL;
}

/* ------------------------------------------------------------------ sending an answer */

static const struct {
	int status;
	const char *text;
} reasons[] = {
	{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 206, "Partial Content" },
	{ 301, "Moved Permanently" }, { 304, "Not Modified" }, { 308, "Permanent Redirect" },
	{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
	{ 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 409, "Conflict" },
	{ 411, "Length Required" }, { 412, "Precondition Failed" }, { 413, "Content Too Large" },
	{ 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" }, { 422, "Unprocessable Content" }, { 423, "Locked" },
	{ 428, "Precondition Required" }, { 429, "Too Many Requests" },
	{ 500, "Internal Server Error" }, { 503, "Service Unavailable" },
};

static const char *reason_of(int status)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Unknown";
}

static bool has_body(const struct web_req *req)
{
	int status = req->resp.status;

	return status != 204 && status != 304;
}

static size_t body_length(const struct web_req *req)
{
	if (req->resp.from_file)
		return (size_t)req->resp.file_len;
	return req->resp.shared ? req->resp.shared->body_len : req->resp.body.len;
}

static size_t sent_body_length(const struct web_req *req)
{
	return req->method == WEB_HEAD || !has_body(req) ? 0 : body_length(req);
}

static void print_head(struct web_req *req)
{
	struct web_response *resp = &req->resp;
	struct web_text *out = &req->out_head;

	web_text_printf(out, "HTTP/1.1 %d %s\r\n", resp->status, reason_of(resp->status));
	if (resp->shared) {
		web_text_add(out, resp->shared->head, resp->shared->head_len);
	} else {
		web_security_headers(out, resp->ctype);
		if (resp->ctype && has_body(req))
			web_text_printf(out, "Content-Type: %s\r\n", resp->ctype);
		if (resp->head.text)
			web_text_add(out, resp->head.text, resp->head.len);
	}
	if (has_body(req))
		web_text_printf(out, "Content-Length: %zu\r\n", body_length(req));
	web_text_printf(out, "Connection: %s\r\n\r\n",
			req->keep_alive && !resp->close ? "keep-alive" : "close");
}

static void start_sending(struct web_req *req)
{
	req->state = REQ_SENDING;
	print_head(req);
	lws_set_timeout(req->wsi, PENDING_TIMEOUT_HTTP_CONTENT, SEND_TIMEOUT_S);
	/* lws calls nobody back, not even for writing, while reading is held up. */
	lws_rx_flow_control(req->wsi, 1);
	lws_callback_on_writable(req->wsi);
}

/* A file's pages are mostly in memory, and a piece is small: what a disk may hold up here is the
 * web pages, never a call. False: the file is shorter than it was. */
static bool read_piece(uint8_t *to, const struct web_response *resp, size_t from, size_t len)
{
	while (len) {
		ssize_t n = pread(resp->file_fd, to, len, (off_t)(resp->file_at + from));

		if (n <= 0)
			return false;
		to += n;
		from += (size_t)n;
		len -= (size_t)n;
	}
	return true;
}

/* Copies the next piece of head and body into the scratch buffer; returns its length, 0 at the end,
 * SIZE_MAX when the file cannot be read. */
static size_t next_piece(struct web *web, const struct web_req *req)
{
	const char *body = req->resp.shared ? req->resp.shared->body : req->resp.body.text;
	size_t body_len = sent_body_length(req);
	uint8_t *to = web->scratch + LWS_PRE;
	size_t n = 0, at = req->sent;

	if (at < req->out_head.len) {
		n = req->out_head.len - at;
		if (n > SEND_BYTES)
			n = SEND_BYTES;
		memcpy(to, req->out_head.text + at, n);
		at += n;
	}
	if (at >= req->out_head.len && n < SEND_BYTES) {
		size_t from = at - req->out_head.len;
		size_t more = body_len - from;

		if (more > SEND_BYTES - n)
			more = SEND_BYTES - n;
		if (more && req->resp.from_file) {
			if (!read_piece(to + n, &req->resp, from, more))
				return SIZE_MAX;
		} else if (more) {
			memcpy(to + n, body + from, more);
		}
		n += more;
	}
	return n;
}

/* The end of a transaction, or the client has gone: a request that a worker has stays his. */
static void forget(struct web *web, struct web_session *session)
{
	struct web_req *req = session->req;

	session->req = NULL;
	if (!req)
		return;
	web->active--;
	req->wsi = NULL;
	if (req->state != REQ_WORKING)
		web_req_free(req);
}

/* Returns -1 to close the connection. */
static int continue_sending(struct web *web, struct web_session *session, struct lws *wsi)
{
	struct web_req *req = session->req;
	bool close;
	size_t n = 0;

	if (req->out_head.failed)
		return -1;
	for (int i = 0; i < SENDS_PER_TURN && (n = next_piece(web, req)) > 0; i++) {
		if (n == SIZE_MAX || lws_write(wsi, web->scratch + LWS_PRE, n, LWS_WRITE_HTTP) < 0)
			return -1;
		req->sent += n;
		if (lws_send_pipe_choked(wsi))
			break;
	}
	if (req->sent < req->out_head.len + sent_body_length(req)) {
		lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, SEND_TIMEOUT_S);
		lws_callback_on_writable(wsi);
		return 0;
	}

	/* Who is still sending would see a broken connection in place of the answer. */
	if (req->is_upload && !req->body_done && !req->lingering) {
		req->lingering = true;
		lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, LINGER_S);
		return 0;
	}
	close = !req->keep_alive || req->resp.close || req->lingering;
	forget(web, session);
	if (close && !lws_partial_buffered(wsi))
		return -1;
	guests_wait(wsi);
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

/* An answer that needs no worker. */
static void refuse(struct web_req *req, int status, const char *detail)
{
	req->resp.status = status;
	req->resp.ctype = "application/problem+json";
	web_text_printf(&req->resp.body,
			"{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\"}\n",
			reason_of(status), status, detail);
	if (status == 503)
		web_text_puts(&req->resp.head, "Retry-After: 1\r\n");
	start_sending(req);
}

static void submit(struct web *web, struct web_req *req)
{
	req->state = REQ_WORKING;
	guests_serve(req->wsi);
	lws_set_timeout(req->wsi, PENDING_TIMEOUT_HTTP_CONTENT, WORK_TIMEOUT_S);
	lws_rx_flow_control(req->wsi, 0);
	if (!web_pool_submit(web, req))
		refuse(req, 503, "The server is busy. Try again in a second.");
}

static void begin(struct web *web, struct web_session *session, struct lws *wsi)
{
	struct web_req *req = session->req;
	const char *length = copy_token(wsi, req->arena, WSI_TOKEN_HTTP_CONTENT_LENGTH);
	bool takes_body = req->method & (WEB_POST | WEB_PUT | WEB_PATCH);
	const char *path_end = strrchr(req->path, '/');
	long long n;
	char *end;

	web->active++;
	req->body_max = path_end && !strcmp(path_end, "/import") ? WEB_MAX_CSV_BYTES : WEB_MAX_JSON_BYTES;
	if (!length) {
		/* Without a length lws would wait for a hundred megabytes: such a connection ends
		 * after its answer. */
		req->resp.close = takes_body;
		if (copy_token(wsi, req->arena, WSI_TOKEN_HTTP_TRANSFER_ENCODING)) {
			req->resp.close = true;
			refuse(req, 411, "Send the body with a Content-Length.");
			return;
		}
		submit(web, req);
		return;
	}
	n = strtoll(length, &end, 10);
	if (*length < '0' || *length > '9' || *end) { /* "+5" is none either (RFC 9110 section 8.6) */
		req->resp.close = true;
		refuse(req, 400, "Content-Length is malformed.");
		return;
	}
	if (n && upload_is_one(req)) {
		req->is_upload = true;
		req->content_length = n;
		submit(web, req);
		return;
	}
	if ((unsigned long long)n > req->body_max) {
		req->resp.close = true;
		refuse(req, 413,
		       req->body_max == WEB_MAX_CSV_BYTES ?
			       "The body may have 8 MiB at most." : "The body may have 1 MiB at most.");
		return;
	}
	if (n == 0) {
		submit(web, req);
		return;
	}
	req->body_size = (size_t)n + 1;
	req->body = malloc(req->body_size);
	if (!req->body) {
		req->resp.close = true;
		refuse(req, 503, "The server is out of memory. Try again.");
	}
}

/* What lws had read already when its reading was held up. */
static void add_early(struct web_req *req, const void *data, size_t len)
{
	char *bigger;

	if (req->body_len + len > UPLOAD_EARLY_MAX) {
		req->spool_err = -ENOBUFS;
		return;
	}
	bigger = realloc(req->body, req->body_len + len);
	if (!bigger) {
		req->spool_err = -ENOMEM;
		return;
	}
	req->body = bigger;
	memcpy(req->body + req->body_len, data, len);
	req->body_len += len;
}

/* Into the page cache; the worker that admitted the request has asked for the room. */
static void spool(struct web_req *req, const void *data, size_t len)
{
	const char *at = data;

	while (len && !req->spool_err) {
		ssize_t n = write(req->spool_fd, at, len);

		if (n < 0 && errno != EINTR)
			req->spool_err = -errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}

static void add_upload(struct web_req *req, struct lws *wsi, const void *data, size_t len)
{
	if (req->lingering || req->state == REQ_SENDING)
		lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, LINGER_S);
	else if (!req->is_admitted)
		add_early(req, data, len);
	else
		spool(req, data, len);
}

/* A worker lets the body come in. */
static void begin_spooling(struct web *web, struct web_req *req)
{
	req->is_admitted = true;
	req->state = REQ_RECEIVING;
	if (!req->spool_err)
		spool(req, req->body, req->body_len);
	free(req->body);
	req->body = NULL;
	req->body_len = 0;
	lws_set_timeout(req->wsi, PENDING_TIMEOUT_HTTP_CONTENT, REQUEST_TIMEOUT_S);
	lws_rx_flow_control(req->wsi, 1);
	if (req->body_done)
		submit(web, req);
}

static void add_body(struct web_req *req, struct lws *wsi, const void *data, size_t len)
{
	if (req->is_upload) {
		add_upload(req, wsi, data, len);
		return;
	}
	if (req->state != REQ_RECEIVING || !req->body || !data)
		return;
	if (len > req->body_size - 1 - req->body_len)
		len = req->body_size - 1 - req->body_len;
	memcpy(req->body + req->body_len, data, len);
	req->body_len += len;
}

static void collect(struct web *web)
{
	struct web_req *req;

	while ((req = web_pool_collect(web))) {
		if (req->is_socket)
			web_socket_opened(web, req);
		else if (req->wsi && req->is_upload && !req->is_admitted && !req->resp.status)
			begin_spooling(web, req);
		else if (req->wsi)
			start_sending(req);
		else
			web_req_free(req);
	}
	web_sockets_flush(web);
}

static int on_http(struct web *web, enum lws_callback_reasons reason, struct lws *wsi,
		   struct web_session *session, void *in, size_t len)
{
	const char *fault;

	switch ((int)reason) {
	case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
		guests_come(&web->guests, wsi);
		return 0;

	case LWS_CALLBACK_HTTP:
		session->req = read_request(wsi);
		if (!session->req)
			return -1; /* what cannot be read cannot be answered */
		fault = head_fault(wsi);
		if (fault) {
			web->active++;
			session->req->resp.close = true;
			refuse(session->req, 400, fault);
			return 0;
		}
		begin(web, session, wsi);
		return 0;

	case LWS_CALLBACK_HTTP_BODY:
		if (session->req)
			add_body(session->req, wsi, in, len);
		return 0;

	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		if (session->req)
			session->req->body_done = true;
		if (session->req && session->req->lingering)
			return -1;
		if (session->req && session->req->state == REQ_RECEIVING) {
			if (session->req->body)
				session->req->body[session->req->body_len] = '\0';
			submit(web, session->req);
		}
		return 0;

	case LWS_CALLBACK_HTTP_WRITEABLE:
		if (session->req && session->req->state == REQ_SENDING)
			return continue_sending(web, session, wsi);
		return 0;

	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_WSI_DESTROY:
		if (session) {
			forget(web, session);
			web_socket_forget(web, session);
		}
		if (reason == LWS_CALLBACK_WSI_DESTROY)
			guests_leave(wsi);
		return 0;

	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		collect(web);
		return 0;
	}
	return 0;
}

static bool is_socket_reason(enum lws_callback_reasons reason)
{
	switch ((int)reason) {
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
	case LWS_CALLBACK_ESTABLISHED:
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_RECEIVE_PONG:
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
	case LWS_CALLBACK_CLOSED:
		return true;
	}
	return false;
}

/* Architecture, section 11: TLS 1.2 and newer. */
static void set_tls_rules(SSL_CTX *ctx)
{
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
}

static int https_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			  size_t len)
{
	struct web *web = wsi ? lws_context_user(lws_get_context(wsi)) : NULL;
	int ret;

	if (!web)
		return 0;
	if (reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE)
		guests_serve(wsi);
	if (reason == LWS_CALLBACK_HTTP_CONFIRM_UPGRADE && ws_sip_confirm(web, wsi, &ret))
		return ret;
	if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
		/* The one moment at which lws shows the TLS context: kept for a renewed certificate. */
		web->ssl_ctx = user;
		set_tls_rules(web->ssl_ctx);
		return 0;
	}
	if (is_socket_reason(reason))
		return web_socket_callback(web, wsi, reason, user, in, len);
	return on_http(web, reason, wsi, user, in, len);
}

/* ------------------------------------------------------------------ the plain port */

/* A Host header that may stand in a Location: a name or address, nothing else. */
static bool is_plain_host(const char *host, size_t len)
{
	if (!len || len > 255)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)host[i]) && !strchr(".-_[]:", host[i]))
			return false;
	return true;
}

static void add_escaped(struct web_text *text, const char *p, const char *plain)
{
	for (; *p; p++)
		if (isalnum((unsigned char)*p) || strchr(plain, *p))
			web_text_add(text, p, 1);
		else
			web_text_printf(text, "%%%02X", (unsigned char)*p);
}

static void redirect(struct web *web, struct web_req *req)
{
	const char *host = req->headers[H_HOST];
	size_t len = 0;

	if (host)
		len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	if (!host || !is_plain_host(host, len)) {
		refuse(req, 400, "The Host header is missing or malformed.");
		return;
	}
	req->resp.status = req->method & (WEB_GET | WEB_HEAD) ? 301 : 308;
	req->resp.ctype = "text/plain; charset=utf-8";
	web_text_puts(&req->resp.body, "This address speaks HTTPS only.\n");
	web_text_printf(&req->resp.head, "Location: https://%.*s", (int)len, host);
	if (web_https_port(web) != 443)
		web_text_printf(&req->resp.head, ":%u", web_https_port(web));
	add_escaped(&req->resp.head, req->path, "/-._~");
	for (size_t i = 0; i < req->n_args; i++) {
		web_text_add(&req->resp.head, i ? "&" : "?", 1);
		add_escaped(&req->resp.head, req->args[i].name, "-._~");
		if (*req->args[i].value)
			web_text_add(&req->resp.head, "=", 1);
		add_escaped(&req->resp.head, req->args[i].value, "-._~");
	}
	web_text_puts(&req->resp.head, "\r\n");
	start_sending(req);
}

static int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			 size_t len)
{
	struct web *web = wsi ? lws_context_user(lws_get_context(wsi)) : NULL;
	struct web_session *session = user;

	if (!web)
		return 0;
	switch ((int)reason) {
	case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
		guests_come(&web->guests, wsi);
		return 0;
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return -1;
	case LWS_CALLBACK_HTTP:
		session->req = read_request(wsi);
		if (!session->req)
			return -1;
		session->req->resp.close = true;
		web->active++;
		redirect(web, session->req);
		return 0;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		if (session->req && session->req->state == REQ_SENDING)
			return continue_sending(web, session, wsi);
		return 0;
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_WSI_DESTROY:
		if (session)
			forget(web, session);
		if (reason == LWS_CALLBACK_WSI_DESTROY)
			guests_leave(wsi);
		return 0;
	}
	return 0;
}

/* ------------------------------------------------------------------ opening */

static const struct lws_protocols https_protocols[] = {
	/* Without tx_packet_size lws would cut what is sent into pieces of rx_buffer_size. */
	{ .name = "aoide", .callback = https_callback, .per_session_data_size = sizeof(struct web_session),
	  .rx_buffer_size = 4096, .tx_packet_size = SEND_BYTES },
	WS_SIP_ROW,
	{ 0 },
};

static const struct lws_protocols http_protocols[] = {
	{ .name = "aoide-redirect", .callback = http_callback,
	  .per_session_data_size = sizeof(struct web_session) },
	{ 0 },
};

/* Browsers and proxies drop silent connections: pings keep them, and find dead ones. */
static const lws_retry_bo_t ws_idle = {
	.secs_since_valid_ping = WS_IDLE_PING_S,
	.secs_since_valid_hangup = WS_IDLE_HANGUP_S,
};

static void lws_log(int level, const char *line)
{
	size_t len = strcspn(line, "\n");

	if (level & LLL_ERR)
		log_warn("web.lws", "libwebsockets", kv_textn("line", line, len));
	else
		log_debug("web.lws", "libwebsockets", kv_textn("line", line, len));
}

static void listen_on(struct lws_context_creation_info *info, const char *address, uint16_t port)
{
	info->port = port;
	if (!address || !*address || !strcmp(address, "0.0.0.0")) {
		info->options |= LWS_SERVER_OPTION_DISABLE_IPV6;
		return;
	}
	if (strchr(address, ':')) {
		if (strcmp(address, "::"))
			info->iface = address;
		return;
	}
	info->options |= LWS_SERVER_OPTION_DISABLE_IPV6;
	info->iface = address;
}

int web_loop_open(struct web *web)
{
	struct lws_context_creation_info info = { 0 }, vhost;

	lws_set_log_level(LLL_ERR | LLL_WARN, lws_log);
	web->guests.max = GUESTS_MAX;
	web->scratch = malloc(LWS_PRE + SEND_BYTES);
	if (!web->scratch)
		return -ENOMEM;

	info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	info.user = web;
	info.max_http_header_data = HEADER_MAX_BYTES;
	info.max_http_header_pool = HEADER_POOL;
	info.timeout_secs = REQUEST_TIMEOUT_S;
	info.gid = (gid_t)-1;
	info.uid = (uid_t)-1;
	info.pt_serv_buf_size = 16384;
	web->lws = lws_create_context(&info);
	if (!web->lws)
		return -ENOMEM;

	vhost = info;
	vhost.vhost_name = "https";
	vhost.protocols = https_protocols;
	vhost.alpn = "http/1.1";
	vhost.ssl_cert_filepath = web->cert_path;
	vhost.ssl_private_key_filepath = web->cert_path;
	vhost.ssl_cipher_list = "ECDHE+AESGCM:ECDHE+CHACHA20";
	vhost.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_COMPRESSION |
				SSL_OP_NO_RENEGOTIATION;
	vhost.keepalive_timeout = KEEPALIVE_S;
	vhost.retry_and_idle_policy = &ws_idle;
	listen_on(&vhost, web->config->listen, web->config->https_port);
	web->https = lws_create_vhost(web->lws, &vhost);
	if (!web->https)
		return -EADDRINUSE;
	if (ws_sip_open(web))
		return -ENOMEM;

	if (!web->config->http_port)
		return 0;
	vhost = info;
	vhost.vhost_name = "http";
	vhost.protocols = http_protocols;
	vhost.keepalive_timeout = 5;
	listen_on(&vhost, web->config->listen, web->config->http_port);
	web->http = lws_create_vhost(web->lws, &vhost);
	if (!web->http)
		/* Port 8080 is often somebody else's; the redirect is a comfort only. */
		log_warn("web.http_port", "the plain HTTP port is in use; no redirect to HTTPS",
			 kv_int("port", web->config->http_port));
	return 0;
}

void web_loop_close(struct web *web)
{
	if (web->lws)
		lws_context_destroy(web->lws);
	web->lws = NULL;
	free(web->scratch);
	web->scratch = NULL;
}

int web_loop_load_cert(struct web *web)
{
	return web->ssl_ctx ? certfile_replace(web->ssl_ctx, web->cert_path) : -EINVAL;
}

void web_loop_turn(struct web *web)
{
	lws_service(web->lws, 0);
}

void web_loop_wake(struct web *web)
{
	lws_cancel_service(web->lws);
}

uint16_t web_https_port(const struct web *web)
{
	return web->https ? (uint16_t)lws_get_vhost_listen_port(web->https) : 0;
}

uint16_t web_http_port(const struct web *web)
{
	return web->http ? (uint16_t)lws_get_vhost_listen_port(web->http) : 0;
}
