/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_SECURITY_H
#define AOIDE_WEB_SECURITY_H

#include <stdbool.h>
#include "web/text.h"

/* Header lines that every answer carries: HSTS, nosniff, no framing, and for pages the CSP. */
void web_security_headers(struct web_text *out, const char *ctype);

/* Does the Origin header name the host the request was sent to? NULL (not a browser): yes. */
bool web_origin_matches(const char *origin, const char *host);

/* Private (RFC 1918, RFC 4193), link-local and loopback addresses (D-037). */
bool web_address_is_private(const char *address);

#endif
