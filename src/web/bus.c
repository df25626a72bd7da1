/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"
#include "web/web_priv.h"

/* The bus thread: commands this process answers, and events that browsers want. */

json_t *web_status(struct web *web)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:f,s:I,s:i}", "version", AOIDE_VERSION, "uptime_s",
			 (json_int_t)((clk_mono_ms() - web->started_ms) / 1000), "requests",
			 (json_int_t)atomic_load(&web->answered), "refused",
			 (json_int_t)atomic_load(&web->refused), "sockets",
			 (json_int_t)web_sockets_count(web->sockets), "nonces",
			 (json_int_t)xauth_nonces_count(web->nonces), "cpu_s",
			 (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
				 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
			 "rss_kb", (json_int_t)usage.ru_maxrss, "workers", (int)web->n_workers);
}

static void on_status(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	if (reply)
		bus_reply(reply, 0, web_status(arg));
}

static void on_loglevel(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	const char *level = js_str(data, "level", NULL);
	char levels[4096] = "";
	int err = 0;

	if (!reply)
		return;
	if (level)
		err = log_level_set(js_str(data, "module", "*"), level);
	log_levels_print(levels, sizeof(levels));
	bus_reply(reply, err, err ? NULL : json_pack("{s:s}", "levels", levels));
}

static void on_event(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	struct web *web = arg;

	web_sockets_event(web->sockets, subject, data);
}

int web_bus_open(struct web *web)
{
	char path[1024];
	int err;

	config_path(path, sizeof(path), web->config, CONFIG_BUS_SOCKET);
	err = bus_connect(&web->bus, path, "web");
	if (err) {
		/* The register and the configuration work without; live state answers 503. */
		log_warn("web.bus", "no bus; live calls and registrations are not available",
			 kv_err(err));
		web->bus = NULL;
		return 0;
	}
	err = bus_subscribe(web->bus, "cmd.web.status", on_status, web);
	if (!err)
		err = bus_subscribe(web->bus, "cmd.web.loglevel", on_loglevel, web);
	return err;
}

void web_bus_listen(struct web *web)
{
	if (!web->bus || atomic_exchange(&web->is_listening, true))
		return;

	if (bus_subscribe(web->bus, "t.>", on_event, web) ||
	    bus_subscribe(web->bus, "sys.>", on_event, web))
		log_warn("web.bus", "events do not reach the browsers: out of memory");
}

void web_bus_close(struct web *web)
{
	if (web->bus)
		bus_close(web->bus);
	web->bus = NULL;
}
