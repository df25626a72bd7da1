/* SPDX-License-Identifier: Apache-2.0 */
#include "app/ports.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Who restarts Aoide at once may still meet the processes of the run before. */
#define WAIT_MS	 3000
#define AGAIN_MS 100

/* Binds as the process that will own the port does, and lets go. */
static int try_port(const char *address, int type, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const bool is_v6 = inet_pton(AF_INET6, address, &v6.sin6_addr) == 1;
	const int on = 1;
	int err = 0, fd;

	if (!is_v6 && inet_pton(AF_INET, address, &v4.sin_addr) != 1)
		return -EADDRNOTAVAIL;
	fd = socket(is_v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;

	/* TCP connections of the last run that wait for their end are no obstacle. */
	if (type == SOCK_STREAM)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (is_v6 ? bind(fd, (struct sockaddr *)&v6, sizeof(v6))
		  : bind(fd, (struct sockaddr *)&v4, sizeof(v4)))
		err = -errno;
	else if (type == SOCK_STREAM && listen(fd, 1))
		err = -errno;
	(void)close(fd);

	return err;
}

static const char *remedy(int err)
{
	switch (err) {
	case -EADDRINUSE:
		return "another program uses this port: stop it, or choose another port with this "
		       "option";
	case -EACCES:
		return "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one "
		       "with this "
		       "option";
	case -EADDRNOTAVAIL:
		return "this machine has no such address: choose another with --listen";
	default:
		return "this port cannot be used";
	}
}

int ports_check(const struct config *config)
{
	const struct {
		const char *option;
		int type;
		unsigned port; /* 0: off */
	} ports[] = {
		{ "--https-port", SOCK_STREAM, config->https_port },
		{ "--http-port", SOCK_STREAM, config->http_port },
		{ "--sip-port", SOCK_DGRAM, config->sip_port },
		{ "--sip-port", SOCK_STREAM, config->sip_port },
		{ "--sip-port (TLS is the next one)", SOCK_STREAM, config->sip_port + 1u },
		{ "--ws-port", SOCK_STREAM, config->ws_port },
		{ "--wss-port", SOCK_STREAM, config->wss_port },
	};
	const uint64_t end = clk_mono_ms() + WAIT_MS;
	int ret = 0;

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		int err;

		if (!ports[i].port)
			continue;
		while ((err = try_port(config->listen, ports[i].type, (uint16_t)ports[i].port)) ==
			       -EADDRINUSE &&
		       clk_mono_ms() < end)
			(void)usleep(AGAIN_MS * 1000);
		if (!err)
			continue;
		log_error("run.port", remedy(err), kv_text("option", ports[i].option),
			  kv_int("port", ports[i].port),
			  kv_text("protocol", ports[i].type == SOCK_DGRAM ? "UDP" : "TCP"),
			  kv_text("listen", config->listen), kv_err(err));
		ret = err;
	}

	return ret;
}
