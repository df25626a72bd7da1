/* SPDX-License-Identifier: Apache-2.0 */
#include "media/media_main.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"
#include "media/census.h"
#include "media/control.h"
#include "media/sandbox.h"

#define FILES_SPARE 128  /* besides RTP sockets */
#define FILES_LEAST 256  /* below this nothing sensible works */
#define FILES_MOST  262144 /* two families of 32,768 pairs of sockets, and some */

struct media_process {
	struct control *control;
	struct bus *bus;
	uint64_t started_at_ms;
};

/* A signal handler has no argument. */
static struct control *_Atomic signalled;

static void signal_h(int sig)
{
	struct control *control = atomic_load(&signalled);

	if (control)
		control_stop(control);
}

static void signals_set(void)
{
	struct sigaction action = { .sa_handler = signal_h, .sa_flags = SA_RESTART };

	sigemptyset(&action.sa_mask);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN); /* "reload" shall end no call */
}

static void status_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	const struct media_process *process = arg;
	struct control_totals t;
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	control_status(process->control, &t);
	bus_reply(reply, 0,
		  json_pack("{s:s, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I,"
			    " s:f, s:I}",
			    "version", AOIDE_VERSION,
			    "uptime_s", (json_int_t)((clk_mono_ms() - process->started_at_ms) / 1000),
			    "streams", (json_int_t)t.streams,
			    "threads", (int)t.threads,
			    "leases", (json_int_t)t.leases,
			    "opened", (json_int_t)t.opened,
			    "failed", (json_int_t)t.failed,
			    "rx_packets", (json_int_t)t.rx_packets,
			    "tx_packets", (json_int_t)t.tx_packets,
			    "dropped", (json_int_t)t.dropped,
			    "port_pairs", (json_int_t)t.pairs,
			    "port_pairs_bound", (json_int_t)t.bound_pairs,
			    "recordings", (json_int_t)t.recordings,
			    "recordings_failed", (json_int_t)t.recordings_failed,
			    "recordings_lost_ms", (json_int_t)t.recordings_lost_ms,
			    "cpu_s",
			    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
				    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
			    "rss_kb", (json_int_t)usage.ru_maxrss));
}

/* Bus thread: it may wait for the control thread, nobody waits for it. */
static void streams_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	const struct media_process *process = arg;
	struct census census;
	int64_t offset = js_int(data, "offset", 0);
	int err;

	if (!reply)
		return;
	err = control_census(process->control, &census);
	bus_reply(reply, err,
		  err ? NULL : census_page(&census, json_object_get(data, "ids"),
					   offset > 0 ? (size_t)offset : 0));
	census_free(&census);
}

static void totals_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	const struct media_process *process = arg;
	struct census census;
	int err;

	if (!reply)
		return;
	err = control_census(process->control, &census);
	bus_reply(reply, err, err ? NULL : census_totals(&census));
	census_free(&census);
}

static int bus_start(struct media_process *process, const struct config *config)
{
	char path[PATH_MAX];
	int err;

	err = bus_connect(&process->bus, config_path(path, sizeof(path), config, CONFIG_BUS_SOCKET),
			  "media");
	if (!err)
		err = bus_serve_process(process->bus, "media");
	if (!err)
		err = bus_subscribe(process->bus, "cmd.media.status", status_h, process);
	if (!err)
		err = bus_subscribe(process->bus, "cmd.media.streams", streams_h, process);
	if (!err)
		err = bus_subscribe(process->bus, "cmd.media.totals", totals_h, process);
	if (!err)
		err = bus_process_ready(process->bus, "media");
	return err;
}

/* Two sockets per pair of ports. Returns how many pairs the limit allows, 0 when far too few. */
static size_t files_allow(const struct config *config)
{
	size_t pairs = ((size_t)config->rtp_last - config->rtp_first + 1) / 2;
	struct rlimit limit;
	rlim_t want = 2 * pairs + FILES_SPARE;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return 0;
	if (limit.rlim_max < want && limit.rlim_max < FILES_MOST) {
		struct rlimit more = { FILES_MOST, FILES_MOST };

		if (!setrlimit(RLIMIT_NOFILE, &more)) /* only root may */
			limit = more;
	}
	limit.rlim_cur = limit.rlim_max < FILES_MOST ? limit.rlim_max : FILES_MOST;
	if (setrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur < FILES_LEAST)
		return 0;

	if (limit.rlim_cur < want)
		log_error("media.files",
			  "the limit of open files is too low for all RTP ports; raise it (ulimit -n, "
			  "LimitNOFILE=) or narrow --rtp-ports",
			  kv_int("limit", limit.rlim_cur), kv_int("needed", want));
	return (limit.rlim_cur - FILES_SPARE) / 2;
}

static const char *socket_path(char *buf, size_t size, const struct config *config)
{
	char folder[PATH_MAX];

	/* The supervisor makes it; alone, as in tests, we do. */
	(void)mkdir(config_path(folder, sizeof(folder), config, "run"), 0700);
	return config_path(buf, size, config, CONFIG_MEDIA_SOCKET);
}

int media_main(const struct config *config)
{
	struct media_process process = { .started_at_ms = clk_mono_ms() };
	struct control_opts opts = { .listen = config->listen,
				     .rtp_first = config->rtp_first,
				     .rtp_last = config->rtp_last,
				     .threads = config->media_threads,
				     .moh_file = config->moh_file };
	char path[PATH_MAX], folder[PATH_MAX], recordings[PATH_MAX];
	int err;

	opts.max_pairs = files_allow(config);
	if (!opts.max_pairs) {
		log_error("media.files", "the limit of open files is far too low; raise it (ulimit -n)",
			  kv_int("least", FILES_LEAST));
		return -EMFILE;
	}
	opts.socket_path = socket_path(path, sizeof(path), config);

	/* Strangers' packets are parsed here: whatever happens, nothing on the disk may suffer. */
	opts.recordings = config_path(recordings, sizeof(recordings), config, CONFIG_RECORDINGS_DIR);
	(void)mkdir(opts.recordings, 0700);
	err = sandbox_enter(config_path(folder, sizeof(folder), config, "run"), opts.recordings);
	if (err)
		log_warn("media.sandbox", "this kernel cannot forbid file writes to the media process",
			 kv_err(err));
	err = control_alloc(&process.control, &opts);
	if (err) {
		log_error("media.start", "the media process cannot start; look at --rtp-ports and --listen",
			  kv_text("socket", path), kv_int("rtp_first", config->rtp_first),
			  kv_int("rtp_last", config->rtp_last), kv_err(err));
		return err;
	}

	signals_set();
	atomic_store(&signalled, process.control);
	err = bus_start(&process, config);
	if (err)
		log_error("media.bus", "no bus; the status of media cannot be asked", kv_err(err));
	log_info("media.ready", "relaying", kv_int("threads", config->media_threads),
		 kv_int("rtp_first", config->rtp_first), kv_int("rtp_last", config->rtp_last));

	err = control_run(process.control);

	atomic_store(&signalled, NULL);
	bus_close(process.bus);
	control_free(process.control);
	log_info("media.stopped", "the media process ends");
	return err;
}
