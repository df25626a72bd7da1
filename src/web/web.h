/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_WEB_H
#define AOIDE_WEB_WEB_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The process `aoide web`: HTTPS, REST API, WebSocket events, files of the GUI.
 */
struct config;
struct web;

/* Runs until SIGTERM or SIGINT; SIGHUP loads the certificate again. Returns 0 or -errno. */
int web_main(const struct config *config);

/* What web_main is made of, for tests that run a server in a thread of their own. */

/* Opens sockets and starts workers. config is borrowed until web_free(). */
int web_alloc(struct web **ret, const struct config *config);
/* Serves until web_stop(). Blocks. */
int web_run(struct web *web);
void web_stop(struct web *web);        /* any thread, and from a signal handler */
void web_free(struct web *web);        /* accepts NULL */

/* The ports in use: config may ask the kernel for one with 0. */
uint16_t web_https_port(const struct web *web);
uint16_t web_http_port(const struct web *web);

#endif
