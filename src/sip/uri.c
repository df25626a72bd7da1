/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URIs, name-addrs and Via values as nearly all of them look, in one pass.
 *
 * libre matches them against several expressions one after the other. These functions take the place of
 * libre's through the symbol table, as the timers do (base/timer.h). What looks unusual is left to the
 * same expressions as in libre, so that the result is always libre's; a test compares both.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#pragma GCC visibility push(default)
#include "base/re.h"
#pragma GCC visibility pop

enum {
	STOP_SCHEME = 1, /* characters at which a part ends */
	STOP_USER = 2,
	STOP_PASSWORD = 4,
	STOP_HOST = 8,
	STOP_PATH = 16,
	STOP_PARAMS = 32,
	STOP_WORD = 64, /* of a Via */
	STOP_ADDR = 128,
};

static const uint8_t stops[256] = {
	[':'] = STOP_SCHEME | STOP_USER,
	['@'] = STOP_USER | STOP_PASSWORD,
	['/'] = STOP_HOST,
	[';'] = STOP_HOST | STOP_PATH | STOP_WORD | STOP_ADDR,
	['?'] = STOP_HOST | STOP_PATH | STOP_PARAMS,
	[' '] = STOP_HOST | STOP_PATH | STOP_WORD,
	['\t'] = STOP_WORD,
	['\r'] = STOP_WORD,
	['\n'] = STOP_WORD,
};

/* The part from *at to the first of these characters; *at is then there. */
static size_t take(struct pl *ret, const char **at, const char *end, uint8_t stop)
{
	const char *p = *at;

	ret->p = p;
	while (p < end && !(stops[(uint8_t)*p] & stop))
		p++;
	ret->l = (size_t)(p - ret->p);
	*at = p;
	return ret->l;
}

static bool take_char(const char **at, const char *end, char c)
{
	if (*at == end || **at != c)
		return false;
	++*at;
	return true;
}

static void skip_space(const char **at, const char *end)
{
	while (*at < end && strchr(" \t\r\n", **at) && **at)
		++*at;
}

/* ------------------------------------------------------------------ host and port */

static bool plain_hostport(const struct pl *hostport, struct pl *host, struct pl *port)
{
	const char *p = hostport->p, *end = p + hostport->l;

	if (memchr(p, ']', hostport->l) || !take(host, &p, end, STOP_SCHEME))
		return false;
	while (p < end && *p == ':')
		p++;
	port->p = p;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	port->l = (size_t)(p - port->p);
	return true;
}

int uri_decode_hostport(const struct pl *hostport, struct pl *host, struct pl *port)
{
	if (!hostport || !host || !port)
		return EINVAL;
	if (hostport->p && plain_hostport(hostport, host, port))
		return 0;

	if (!re_regex(hostport->p, hostport->l, "\\[[0-9a-f:]+\\][:]*[0-9]*", host, NULL, port))
		return 0;
	return re_regex(hostport->p, hostport->l, "[^:]+[:]*[0-9]*", host, NULL, port);
}

/* ------------------------------------------------------------------ URI */

static void host_and_behind(struct uri *uri, struct pl *hostport, const char *p, const char *end)
{
	(void)take(hostport, &p, end, STOP_HOST);
	(void)take(&uri->path, &p, end, STOP_PATH);
	(void)take(&uri->params, &p, end, STOP_PARAMS);
	uri->headers.p = p;
	uri->headers.l = (size_t)(end - p);
}

/* scheme:user:password@host, or scheme:host when there is no @ at all. */
static bool plain_uri(struct uri *uri, struct pl *hostport, const struct pl *pl)
{
	const char *p = pl->p, *end = p + pl->l;
	const bool has_user = memchr(p, '@', pl->l);

	if (!take(&uri->scheme, &p, end, STOP_SCHEME) || !take_char(&p, end, ':'))
		return false;
	if (has_user) {
		(void)take(&uri->user, &p, end, STOP_USER);
		while (take_char(&p, end, ':'))
			;
		(void)take(&uri->password, &p, end, STOP_PASSWORD);
		if (!take_char(&p, end, '@'))
			return false;
	}
	host_and_behind(uri, hostport, p, end);
	return hostport->l > 0;
}

static int odd_uri(struct uri *uri, struct pl *port, const struct pl *pl)
{
	struct pl hostport;
	int err;

	memset(uri, 0, sizeof(*uri));
	if (!re_regex(pl->p, pl->l, "[^:]+:[^@:]*[:]*[^@]*@[^/;? ]+[^;? ]*[^?]*[^]*", &uri->scheme,
		      &uri->user, NULL, &uri->password, &hostport, &uri->path, &uri->params,
		      &uri->headers) &&
	    !uri_decode_hostport(&hostport, &uri->host, port))
		return 0;

	memset(uri, 0, sizeof(*uri));
	err = re_regex(pl->p, pl->l, "[^:]+:[^/;? ]+[^;? ]*[^?]*[^]*", &uri->scheme, &hostport,
		       &uri->path, &uri->params, &uri->headers);
	return err ? err : uri_decode_hostport(&hostport, &uri->host, port);
}

static int host_family(const struct pl *host)
{
	struct sa addr;

	/* A name is none, and most URIs without a digit in front have one. */
	if ((host->p[0] < '0' || host->p[0] > '9') && !memchr(host->p, ':', host->l))
		return AF_UNSPEC;
	return sa_set(&addr, host, 0) ? AF_UNSPEC : sa_af(&addr);
}

int uri_decode(struct uri *uri, const struct pl *pl)
{
	struct pl port = PL_INIT, hostport;
	int err;

	if (!uri || !pl)
		return EINVAL;

	memset(uri, 0, sizeof(*uri));
	if (!pl->p || !plain_uri(uri, &hostport, pl) ||
	    uri_decode_hostport(&hostport, &uri->host, &port)) {
		err = odd_uri(uri, &port, pl);
		if (err)
			return err;
	}

	uri->af = host_family(&uri->host);
	if (pl_isset(&port))
		uri->port = (uint16_t)pl_u32(&port);
	return 0;
}

/* ------------------------------------------------------------------ name-addr */

/* <URI>;params, or URI;params without any bracket. */
static bool plain_addr(struct sip_addr *addr, const struct pl *pl)
{
	const char *p = pl->p, *end = p + pl->l, *close;

	if (take_char(&p, end, '<')) {
		close = memchr(p, '>', (size_t)(end - p));
		if (!close || close == p)
			return false;
		addr->auri.p = p;
		addr->auri.l = (size_t)(close - p);
		p = close + 1;
		addr->params.p = p < end ? p : NULL;
	} else {
		if (memchr(p, '<', pl->l) || !take(&addr->auri, &p, end, STOP_ADDR))
			return false;
		addr->params.p = p;
	}
	addr->params.l = (size_t)(end - p);
	return true;
}

static int odd_addr(struct sip_addr *addr, const struct pl *pl)
{
	memset(addr, 0, sizeof(*addr));
	if (!re_regex(pl->p, pl->l, "[~ \t\r\n<]*[ \t\r\n]*<[^>]+>[^]*", &addr->dname, NULL,
		      &addr->auri, &addr->params)) {
		if (!addr->dname.l)
			addr->dname.p = NULL;
		if (!addr->params.l)
			addr->params.p = NULL;
		return 0;
	}

	memset(addr, 0, sizeof(*addr));
	return re_regex(pl->p, pl->l, "[^;]+[^]*", &addr->auri, &addr->params) ? EBADMSG : 0;
}

int sip_addr_decode(struct sip_addr *addr, const struct pl *pl)
{
	int err = 0;

	if (!addr || !pl)
		return EINVAL;

	memset(addr, 0, sizeof(*addr));
	if (!pl->p || !plain_addr(addr, pl))
		err = odd_addr(addr, pl);
	if (err)
		return err;

	err = uri_decode(&addr->uri, &addr->auri);
	if (err)
		memset(addr, 0, sizeof(*addr));
	return err;
}

/* ------------------------------------------------------------------ Via */

static bool plain_via(struct sip_via *via, struct pl *transp, const struct pl *pl)
{
	static const char version[] = "SIP/2.0/";
	const char *p = pl->p, *end = p + pl->l;

	if (pl->l < sizeof(version) - 1 || strncasecmp(p, version, sizeof(version) - 1))
		return false;
	p += sizeof(version) - 1;
	transp->p = p;
	while (p < end && ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z'))
		p++;
	transp->l = (size_t)(p - transp->p);
	skip_space(&p, end);
	if (!transp->l || !take(&via->sentby, &p, end, STOP_WORD))
		return false;
	skip_space(&p, end);
	via->params.p = p;
	via->params.l = (size_t)(end - p);
	return true;
}

static int odd_via(struct sip_via *via, struct pl *transp, const struct pl *pl)
{
	return re_regex(pl->p, pl->l,
			"SIP[  \t\r\n]*/[ \t\r\n]*2.0[ \t\r\n]*/[ \t\r\n]*"
			"[A-Z]+[ \t\r\n]*[^; \t\r\n]+[ \t\r\n]*[^]*",
			NULL, NULL, NULL, NULL, transp, NULL, &via->sentby, NULL, &via->params);
}

static enum sip_transp transport_of(const struct pl *name)
{
	static const enum sip_transp known[] = { SIP_TRANSP_TCP, SIP_TRANSP_TLS, SIP_TRANSP_UDP };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (!pl_strcmp(name, sip_transp_name(known[i])))
			return known[i];
	}
	return SIP_TRANSP_NONE;
}

int sip_via_decode(struct sip_via *via, const struct pl *pl)
{
	struct pl transp, host, port;
	int err;

	if (!via || !pl)
		return EINVAL;

	if (!pl->p || !plain_via(via, &transp, pl)) {
		err = odd_via(via, &transp, pl);
		if (err)
			return err;
	}
	via->tp = transport_of(&transp);

	err = uri_decode_hostport(&via->sentby, &host, &port);
	if (err)
		return err;
	sa_init(&via->addr, AF_INET);
	(void)sa_set(&via->addr, &host, 0);
	if (pl_isset(&port))
		sa_set_port(&via->addr, (uint16_t)pl_u32(&port));
	via->val = *pl;

	return msg_param_decode(&via->params, "branch", &via->branch);
}
