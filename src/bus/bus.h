/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BUS_BUS_H
#define AOIDE_BUS_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

/*
 * Events and commands between processes, as JSON documents on dotted subjects:
 *
 *	t.<tenant id>.call.ringing       events of a tenant
 *	sys.process.started              events of the node
 *	cmd.switch.calls                 commands; whoever serves the subject answers
 *
 * Patterns: `*` is one token, a last `>` is the rest ("t.1.call.*", "t.1.>").
 *
 * A client has a thread of its own that connects to the hub, reconnects with back-off, subscribes
 * again and calls the handlers. Queues are bounded: publishing never blocks; when the client's
 * queue is full the message is dropped and counted. A reader that is too slow for the hub is
 * disconnected with a log line and comes back.
 */
struct bus;     /* client */
struct bus_hub; /* the embedded server, inside `aoide run` */

/* Called in the bus thread. data is borrowed. reply: NULL for events; else answer with bus_reply(). */
struct bus_reply;
typedef void(bus_msg_h)(const char *subject, json_t *data, struct bus_reply *reply, void *arg);
/* -ETIMEDOUT, -EUNAVAILABLE (nobody serves it). data, or NULL, is the handler's from now on: one thread at a time
 * may look at a tree of JSON. */
typedef void(bus_answer_h)(int err, json_t *data, void *arg);

int bus_connect(struct bus **ret, const char *socket_path, const char *client_name);
void bus_close(struct bus *bus); /* waits for the thread */
bool bus_connected(const struct bus *bus);

/* Any thread; steals the reference of data. Returns 0, -ENOBUFS (dropped). */
int bus_publish(struct bus *bus, const char *subject, json_t *data);
/* As publish, ready JSON text (copied); for hot paths that print their own. */
int bus_publish_text(struct bus *bus, const char *subject, const char *json, size_t len);

/* True when somebody, anywhere, subscribes to something that subject could match; cheap. */
bool bus_wanted(struct bus *bus, const char *subject);

int bus_subscribe(struct bus *bus, const char *pattern, bus_msg_h *h, void *arg);

/* Asynchronous: answer_h is called once in the bus thread. Steals data. */
int bus_request(struct bus *bus, const char *subject, json_t *data, unsigned timeout_ms,
		bus_answer_h *answer_h, void *arg);
/* Blocking form, for ctl and web workers; never in a call or media thread. ret: new reference. */
int bus_request_wait(json_t **ret, struct bus *bus, const char *subject, json_t *data,
		     unsigned timeout_ms);

/* Answers a request, now or later, from any thread; err 0 or negative. Steals data. Exactly once. */
void bus_reply(struct bus_reply *reply, int err, json_t *data);

/*
 * What every process of ours does: answers `cmd.<process>.loglevel`, and says when it is ready to serve,
 * for which the supervisor waits (again after each restart of the process). Data of
 * sys.process.ready: {"process":"switch","pid":1}.
 */
int bus_serve_process(struct bus *bus, const char *process);
int bus_process_ready(struct bus *bus, const char *process);

/* The hub runs in a thread of its own. path: Unix socket, mode 0600. */
int bus_hub_start(struct bus_hub **ret, const char *socket_path);
void bus_hub_stop(struct bus_hub *hub);

#endif
