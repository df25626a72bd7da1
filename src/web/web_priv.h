/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_WEB_PRIV_H
#define AOIDE_WEB_WEB_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "web/guests.h"
#include "web/limiter.h"
#include "web/request.h"
#include "web/web.h"
#include "web/xauth.h"

/*
 * Shared inside this folder. Threads: the loop (libwebsockets and all sockets), the workers (all
 * that blocks: database, bus requests, files), one applier, and the bus' own.
 */
struct config;
struct bus;
struct db;
struct lws_context;
struct lws_vhost;
struct principal;

/* More requests than this waiting for a worker are answered 503 at once. */
#define WEB_MAX_QUEUED  1024
#define WEB_MAX_WORKERS 64

struct web_queue {
	struct web_req *first, **last;
	size_t count;
};
void web_queue_init(struct web_queue *queue);
struct web_req *web_queue_get(struct web_queue *queue); /* NULL: empty */

struct web {
	const struct config *config;
	char db_url[1024];
	struct bus *bus;          /* NULL: none */
	_Atomic bool is_listening; /* to events: from the first WebSocket on */
	uint64_t started_ms;      /* clk_mono_ms() */
	atomic_bool stop, reload;

	/* loop.c */
	struct lws_context *lws;
	struct lws_vhost *https, *http, *ws_sip;
	unsigned n_ws_sip;        /* loop only: browsers on /ws-sip */
	void *ssl_ctx;
	char cert_path[1024];
	struct guests guests;     /* loop only */
	unsigned active;          /* loop only: requests between their first and last byte */
	uint8_t *scratch;         /* loop only: what lws_write() sends from */

	/* pool.c; under lock */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct web_queue todo, done;
	bool closing;
	pthread_t workers[WEB_MAX_WORKERS];
	_Atomic unsigned n_workers; /* also of the status, in the thread of the bus */
	atomic_ullong answered, refused;

	struct xauth_nonces *nonces;
	struct web_limiter *failures, *rates;
	struct web_cache *cache;
	struct web_applier *applier;
	struct web_sockets *sockets;
};

/* pool.c */
int web_pool_start(struct web *web);
void web_pool_stop(struct web *web); /* waits for what is being worked on */
/* Loop. False: too many are waiting; the caller answers 503. */
bool web_pool_submit(struct web *web, struct web_req *req);
/* Loop: finished requests, oldest first. */
struct web_req *web_pool_collect(struct web *web);
int web_db_open(struct web *web, struct db **ret);

/* request.c */
struct web_req *web_req_alloc(void);
void web_req_free(struct web_req *req);

/* loop.c */
int web_loop_open(struct web *web);
void web_loop_close(struct web *web);
void web_loop_turn(struct web *web);
int web_loop_load_cert(struct web *web); /* -EINVAL: not a certificate with its key */
void web_loop_wake(struct web *web);     /* any thread */

/* bus.c: commands served by this process, events for browsers. */
int web_bus_open(struct web *web);
/* Asks for events from now on; until a browser wants them nobody needs to make them. Safe to repeat. */
void web_bus_listen(struct web *web);
void web_bus_close(struct web *web);
json_t *web_status(struct web *web);

struct lws;
struct socket;
/* What lws keeps for a connection. One struct for all protocols of a port: lws tells the end of a
 * connection to the first of them, whichever it had become. */
struct ws_sip_pipe;
struct web_session {
	struct web_req *req;      /* loop.c */
	struct socket *socket;    /* ws.c */
	struct ws_sip_pipe *pipe; /* ws_sip.c */
};

/* ws.c */
/* Loop: the connection has gone, however far it had come. */
void web_socket_forget(struct web *web, struct web_session *session);
int web_sockets_alloc(struct web_sockets **ret, struct web *web);
void web_sockets_free(struct web_sockets *sockets);
size_t web_sockets_count(struct web_sockets *sockets);
/* The caller's session has ended, or with but_this all his others have. Any thread. */
void web_sockets_end(struct web_sockets *sockets, const struct principal *who, bool but_this);
/* Loop: one lws callback of an upgraded connection. */
int web_socket_callback(struct web *web, struct lws *wsi, int reason, void *user, void *in,
			size_t len);
/* Loop: the worker's answer to a socket's opening request. */
void web_socket_opened(struct web *web, struct web_req *req);
/* Loop: hands queued events to the sockets. */
void web_sockets_flush(struct web *web);
/* Any thread: an event of the bus. */
void web_sockets_event(struct web_sockets *sockets, const char *subject, const json_t *data);

/* apply.c */
int web_applier_start(struct web_applier **ret, struct web *web);
void web_applier_stop(struct web_applier *applier); /* applies what is still waiting */
void web_applier_touch(struct web_applier *applier, int64_t tenant_id);
/* Applies now, in the caller's thread. Returns 0 or an error; revision may be NULL. */
int web_apply_now(struct web *web, struct db *db, int64_t tenant_id, int64_t *revision);

#endif
