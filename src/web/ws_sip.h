/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_WS_SIP_H
#define AOIDE_WEB_WS_SIP_H

#include <stdbool.h>
#include <stddef.h>
#include <libwebsockets.h>

/*
 * /ws-sip: SIP over WebSocket on the web port (RFC 7118, D-082, D-084). Each browser's connection gets
 * one of its own to the switch, on loopback, which is told whose it is; messages pass as they are,
 * whole, in both directions, and who reads slowly is not written to. Loop only.
 */
struct web;

#define WS_SIP_PATH        "/ws-sip"
#define WS_SIP_PROTOCOL    "sip"
#define WS_SIP_MAX_BYTES   65536           /* one SIP message */
#define WS_SIP_QUEUE_BYTES (256 * 1024)    /* waiting for one slow reader */
#define WS_SIP_MAX         16384           /* connections */

/* Browsers: a row of the HTTPS port's protocols. */
int ws_sip_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);
#define WS_SIP_ROW                                                                                 \
	{ .name = WS_SIP_PROTOCOL, .callback = ws_sip_callback,                                    \
	  .per_session_data_size = sizeof(struct web_session), .rx_buffer_size = 4096,             \
	  .tx_packet_size = WS_SIP_MAX_BYTES }

/* The connections to the switch; after the context was made. */
int ws_sip_open(struct web *web);

/* Before an upgrade: true when it is for this path; *ret is what the callback then returns. */
bool ws_sip_confirm(struct web *web, struct lws *wsi, int *ret);

#endif
