/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_REQUEST_H
#define AOIDE_WEB_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "web/text.h"

/*
 * One request and its answer. The loop fills it, exactly one worker reads it and writes the answer,
 * the loop sends it. Never two at a time, so nothing here is locked.
 */
enum web_method {
	WEB_GET = 1 << 0,
	WEB_HEAD = 1 << 1,
	WEB_POST = 1 << 2,
	WEB_PUT = 1 << 3,
	WEB_PATCH = 1 << 4,
	WEB_DELETE = 1 << 5,
	WEB_OPTIONS = 1 << 6,
};
#define WEB_READS  (WEB_GET | WEB_HEAD | WEB_OPTIONS)
const char *web_method_name(enum web_method method);

#define WEB_MAX_JSON_BYTES (1u * 1024 * 1024)
#define WEB_MAX_CSV_BYTES  (8u * 1024 * 1024)
#define WEB_MAX_ARGS       64

enum web_header { /* those that somebody here looks at */
	H_ACCEPT,
	H_ACCEPT_LANGUAGE,
	H_ACCEPT_ENCODING,
	H_AUTHENTICATE, /* X-authenticate */
	H_CONTENT_TYPE,
	H_COOKIE,
	H_CSRF, /* X-CSRF-Token */
	H_HOST,
	H_IDEMPOTENCY_KEY,
	H_IF_MATCH,
	H_IF_NONE_MATCH,
	H_ORIGIN,
	H_RANGE,
	H_USER_AGENT,
	H_COUNT
};

struct web_arg {
	const char *name, *value;
};

/* A complete answer that several requests share (the cache). Immutable, counted by atomics. */
struct web_shared {
	_Atomic unsigned refs;
	size_t bytes; /* of this block */
	const char *head; /* status line and all headers, without the last empty line */
	const char *body;
	size_t head_len, body_len;
	char etag[40];
};
struct web_shared *web_shared_ref(struct web_shared *shared);
void web_shared_unref(struct web_shared *shared);

struct web_response {
	int status;
	const char *ctype;      /* NULL: no body */
	struct web_text head;   /* more header lines, each ended by CRLF */
	struct web_text body;
	struct web_shared *shared; /* instead of all above but status */
	bool from_file;         /* the body is a part of a file, closed with the request */
	int file_fd;
	uint64_t file_at, file_len;
	bool close;             /* the connection ends after it */
};

struct lws;
struct arena;
struct web_req {
	struct web_req *next;
	struct lws *wsi; /* loop only; NULL: the client has gone */
	struct arena *arena;
	enum web_method method;
	char *path;      /* decoded, starts with '/' */
	char *query;     /* as sent, without '?'; "" none */
	struct web_arg args[WEB_MAX_ARGS];
	size_t n_args;
	const char *headers[H_COUNT]; /* NULL: absent */
	char address[64];
	bool loopback;
	bool keep_alive;
	char *body;      /* NUL terminated */
	size_t body_len, body_size, body_max;
	struct web_response resp;

	/* A body that goes to disk (upload.h). body holds what arrives before it is admitted. */
	bool is_upload, is_admitted, body_done;
	int64_t content_length;
	int spool_fd;    /* -1: none */
	int spool_err;   /* what kept it from being written */

	/* loop only */
	enum { REQ_RECEIVING, REQ_WORKING, REQ_SENDING } state;
	struct web_text out_head; /* the head as sent */
	size_t sent;              /* of head and body together */
	bool lingering;           /* answered; the rest of the body is read and thrown away */

	/* A WebSocket's opening request: only its caller's rights are found out. */
	bool is_socket;
	void *principal;
	uint64_t socket_id;
};

/* Value of the first query argument of that name; def when absent. */
const char *web_arg(const struct web_req *req, const char *name, const char *def);

#endif
