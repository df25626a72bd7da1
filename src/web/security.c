/* SPDX-License-Identifier: Apache-2.0 */
#include "web/security.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/*
 * Mantine writes style attributes and <style> elements, hence 'unsafe-inline' for styles; scripts
 * come from files of ours only. WebSockets go to the same origin.
 */
static const char csp[] =
	"default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
	"img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
	"connect-src 'self' wss:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
	"form-action 'self'; frame-ancestors 'none'";

void web_security_headers(struct web_text *out, const char *ctype)
{
	web_text_puts(out, "Strict-Transport-Security: max-age=31536000\r\n"
			   "X-Content-Type-Options: nosniff\r\n"
			   "X-Frame-Options: DENY\r\n"
			   "Referrer-Policy: same-origin\r\n"
			   "Cross-Origin-Resource-Policy: same-origin\r\n");
	if (ctype && !strncmp(ctype, "text/html", 9))
		web_text_printf(out, "Content-Security-Policy: %s\r\n", csp);
	else
		web_text_puts(out, "Content-Security-Policy: default-src 'none'; "
				   "frame-ancestors 'none'\r\n");
}

bool web_origin_matches(const char *origin, const char *host)
{
	const char *name;

	if (!origin)
		return true;
	if (!host)
		return false;
	name = strstr(origin, "://");
	return name && !strcasecmp(name + 3, host);
}

struct net {
	uint8_t addr[16];
	uint8_t bits;
};

static bool in_net(const uint8_t *addr, const struct net *net)
{
	for (unsigned i = 0; i < net->bits; i++)
		if ((addr[i / 8] ^ net->addr[i / 8]) & (0x80 >> i % 8))
			return false;
	return true;
}

bool web_address_is_private(const char *address)
{
	static const struct net v4[] = {
		{ { 127 }, 8 }, { { 10 }, 8 }, { { 172, 16 }, 12 }, { { 192, 168 }, 16 },
		{ { 169, 254 }, 16 },
	};
	static const struct net v6[] = {
		{ { [15] = 1 }, 128 }, { { 0xfc }, 7 }, { { 0xfe, 0x80 }, 10 },
	};
	uint8_t addr[16];

	if (inet_pton(AF_INET, address, addr) == 1) {
		for (size_t i = 0; i < sizeof(v4) / sizeof(v4[0]); i++)
			if (in_net(addr, &v4[i]))
				return true;
		return false;
	}
	if (inet_pton(AF_INET6, address, addr) != 1)
		return false;
	for (size_t i = 0; i < sizeof(v6) / sizeof(v6[0]); i++)
		if (in_net(addr, &v6[i]))
			return true;
	return false;
}
