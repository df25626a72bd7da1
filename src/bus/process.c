/* SPDX-License-Identifier: Apache-2.0 */
#include "bus/bus.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

#include <stdio.h>
#include <unistd.h>

static void loglevel_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	const char *level = js_str(data, "level", NULL);
	char levels[2048];
	int err = 0;

	(void)subject;
	(void)arg;
	if (level) {
		err = log_level_set(js_str(data, "module", "*"), level);
		if (!err)
			log_info("log.level", "the log level was changed",
				 kv_text("module", js_str(data, "module", "*")),
				 kv_text("to", level));
	}
	if (err) {
		bus_reply(reply, err, NULL);
		return;
	}

	log_levels_print(levels, sizeof(levels));
	bus_reply(reply, 0, json_pack("{s:s}", "levels", levels));
}

int bus_serve_process(struct bus *bus, const char *process)
{
	char subject[64];

	(void)snprintf(subject, sizeof(subject), "cmd.%s.loglevel", process);
	return bus_subscribe(bus, subject, loglevel_h, NULL);
}

int bus_process_ready(struct bus *bus, const char *process)
{
	return bus_publish(bus, "sys.process.ready",
			   json_pack("{s:s, s:i}", "process", process, "pid", (int)getpid()));
}
