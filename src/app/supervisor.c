/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor is one thread that waits for signals, for ended children and for what the children
 * say over the bus. It parses nothing that comes from outside the machine.
 *
 * The children end when it dies (PR_SET_PDEATHSIG): with it the bus is gone and nobody would restart
 * them, and what is left would hold the ports against the next start (docs/decisions/0010).
 */
#include "app/app.h"
#include "app/child.h"
#include "app/ports.h"
#include "app/prepare.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/seal.h"
#include "bus/bus.h"
#include "call/journal.h"
#include "switch/switch.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* In the order of starting; ended in the opposite order, so that media outlives the switch, which ends
 * its calls, and the switch outlives those who command it. */
enum { MEDIA, SWITCH, WEB, JOBS, N_CHILDREN };
static const struct {
	const char *name;
	unsigned grace_ms; /* between SIGTERM and SIGKILL */
} specs[N_CHILDREN] = {
	[MEDIA] = { "media", 5000 },
	[SWITCH] = { "switch", 10000 },
	[WEB] = { "web", 5000 },
	[JOBS] = { "jobs", 5000 },
};

/* The hub is a thread of this process: only a machine that stands still needs this long. */
#define BUS_START_MS 30000u
#define RELOAD_MS    5000u

/*
 * How the children's malloc works (glibc's manual, "Tunables"; other C libraries ignore it): more of what was
 * freed is kept at hand per thread and size, the heap grows in huge pages where the system has them and
 * gives back only what is much. A call makes some hundred small blocks, and of its pages each one that is
 * new costs as much as a system call.
 */
#define MALLOC_SETTINGS                                                                            \
	"glibc.malloc.tcache_count=256:glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=16777216:"  \
	"glibc.malloc.mmap_threshold=4194304"

struct supervisor {
	struct config *config;
	struct bus_hub *hub;
	struct bus *bus;
	struct child children[N_CHILDREN];
	_Atomic int ready_pid[N_CHILDREN]; /* what the bus thread heard */
	uint64_t started_ms;
	char *demo_text;
	bool is_announced; /* everything was ready once */
	int stopping;      /* 0, or how many signals asked for the end */
};

/* A signal handler can only reach what is global. */
static int signal_pipe[2] = { -1, -1 };

static void signal_h(int number)
{
	const int saved = errno;
	const char byte = (char)number;

	(void)!write(signal_pipe[1], &byte, 1); /* full: enough is waiting already */
	errno = saved;
}

static int catch_signals(void)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	struct sigaction action = { .sa_handler = signal_h, .sa_flags = SA_RESTART };

	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (sigaction(numbers[i], &action, NULL))
			return -errno;
	}

	return 0;
}

/* systemd's protocol: a datagram to the socket it names (man sd_notify). */
static void notify_systemd(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len;
	int fd;

	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(addr.sun_path))
		return;

	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0'; /* an abstract name */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&addr,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)close(fd);
}

/* ------------------------------------------------------------------ bus */

static void ready_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	struct supervisor *supervisor = arg;
	const char *process = js_str(data, "process", "");

	(void)subject;
	(void)reply;
	for (int i = 0; i < N_CHILDREN; i++) {
		if (!strcmp(specs[i].name, process))
			atomic_store(&supervisor->ready_pid[i], (int)js_int(data, "pid", 0));
	}
	signal_h(0); /* wakes the loop */
}

static bool is_ready(const struct supervisor *supervisor, int i)
{
	const struct child *child = &supervisor->children[i];

	return child->pid && atomic_load(&supervisor->ready_pid[i]) == child->pid;
}

static void status_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	const struct supervisor *supervisor = arg;
	const uint64_t now = clk_mono_ms();
	json_t *list = json_array();

	(void)subject;
	(void)data;
	/* In the thread of the bus, while the loop goes on: each word is whole, a glance is all it is. */
	for (int i = 0; i < N_CHILDREN; i++) {
		const struct child *child = &supervisor->children[i];
		const int pid = child->pid;

		json_array_append_new(
			list, json_pack("{s:s, s:i, s:b, s:i, s:I}", "process", specs[i].name, "pid", pid,
					"ready", is_ready(supervisor, i), "restarts",
					(int)child->restarts, "uptime_s",
					pid ? (json_int_t)((now - child->started_ms) / 1000) :
					      (json_int_t)0));
	}

	bus_reply(reply, 0,
		  json_pack("{s:s, s:i, s:I, s:o}", "version", AOIDE_VERSION, "pid", (int)getpid(),
			    "uptime_s", (json_int_t)((now - supervisor->started_ms) / 1000),
			    "processes", list));
}

static int start_bus(struct supervisor *supervisor)
{
	char path[PATH_MAX];
	int err;

	(void)config_path(path, sizeof(path), supervisor->config, CONFIG_BUS_SOCKET);
	err = bus_hub_start(&supervisor->hub, path);
	if (!err)
		err = bus_connect(&supervisor->bus, path, "supervisor");
	if (!err)
		err = bus_subscribe(supervisor->bus, "sys.process.ready", ready_h, supervisor);
	if (!err)
		err = bus_subscribe(supervisor->bus, "cmd.supervisor.status", status_h, supervisor);
	if (!err)
		err = bus_serve_process(supervisor->bus, "supervisor");
	if (!err) {
		/* The hub answers in order: after this the subscriptions are in force, so that no child
		 * can be ready before anybody listens. */
		err = bus_request_wait(NULL, supervisor->bus, "cmd.supervisor.status", json_object(),
				       BUS_START_MS);
	}
	if (err)
		log_error("bus.start", "the bus cannot be started", kv_text("socket", path),
			  kv_err(err));

	return err;
}

static void publish(struct supervisor *supervisor, const char *what, int i, int pid)
{
	char subject[64];

	(void)snprintf(subject, sizeof(subject), "sys.process.%s", what);
	(void)bus_publish(supervisor->bus, subject,
			  json_pack("{s:s, s:i, s:i}", "process", specs[i].name, "pid", pid, "restarts",
				    (int)supervisor->children[i].restarts));
}

/* ------------------------------------------------------------------ children */

/* Memory that outlives the switch: a restarted one finds in it what a killed one had no time to write. */
static void keep_open_calls(struct supervisor *supervisor)
{
	int fd = call_journal_make_memory();
	char text[16];

	(void)unsetenv(SWITCH_OPEN_CALLS_FD); /* another supervisor's */
	if (fd < 0) {
		log_warn("run.open_calls", "there is no memory that outlives the switch: a crash of it forgets"
			 " the last changes of open calls", kv_err(fd));
		return;
	}

	(void)snprintf(text, sizeof(text), "%d", fd);
	(void)setenv(SWITCH_OPEN_CALLS_FD, text, 1);
	supervisor->children[SWITCH].kept_fd = fd;
}

/* The switch was killed and is not started again, as everything ends: the next run reads the file only. */
static void settle_open_calls(const struct supervisor *supervisor)
{
	const int fd = supervisor->children[SWITCH].kept_fd;
	char dir[PATH_MAX];
	int err;

	if (!fd)
		return;
	err = call_journal_settle(config_path(dir, sizeof(dir), supervisor->config, CONFIG_JOURNAL_DIR), fd);
	if (err)
		log_error("run.open_calls", "the last changes of open calls could not be written",
			  kv_text("folder", dir), kv_err(err));
}

static void start_due(struct supervisor *supervisor)
{
	for (int i = 0; i < N_CHILDREN; i++) {
		struct child *child = &supervisor->children[i];

		if (supervisor->stopping || child->pid || clk_mono_ms() < child->start_at_ms)
			continue;
		if (child_start(child, supervisor->config))
			continue; /* logged; it is tried again later */
		log_info("process.started", "a process was started", kv_text("process", child->name),
			 kv_int("pid", child->pid), kv_int("restarts", child->restarts));
		publish(supervisor, "started", i, child->pid);
	}
}

static void reap(struct supervisor *supervisor)
{
	for (int i = 0; i < N_CHILDREN; i++) {
		struct child *child = &supervisor->children[i];
		const int pid = child->pid;
		char how[80];

		if (!child_has_ended(child, supervisor->stopping != 0, how, sizeof(how)))
			continue;
		atomic_store(&supervisor->ready_pid[i], 0);
		if (supervisor->stopping) {
			log_info("process.ended", "a process has ended", kv_text("process", child->name),
				 kv_text("how", how));
			continue;
		}
		log_error("process.died", "a process died and is started again",
			  kv_text("process", child->name), kv_int("pid", pid), kv_text("how", how),
			  kv_int("restart_in_ms", child->start_at_ms > clk_mono_ms() ?
							  child->start_at_ms - clk_mono_ms() :
							  0));
		publish(supervisor, "died", i, pid);
	}
}

/* web and jobs first and together, then the switch, then media. */
static void stop_next(struct supervisor *supervisor)
{
	static const int waves[][2] = { { WEB, JOBS }, { SWITCH, SWITCH }, { MEDIA, MEDIA } };

	for (size_t w = 0; w < sizeof(waves) / sizeof(waves[0]); w++) {
		bool is_over = true;

		for (int k = 0; k < 2; k++) {
			struct child *child = &supervisor->children[waves[w][k]];

			if (!child->pid)
				continue;
			is_over = false;
			child_stop(child, supervisor->stopping > 1 ? 0 : specs[waves[w][k]].grace_ms);
		}
		if (!is_over && supervisor->stopping < 2)
			return;
	}
}

static bool all_ended(const struct supervisor *supervisor)
{
	for (int i = 0; i < N_CHILDREN; i++) {
		if (supervisor->children[i].pid)
			return false;
	}

	return true;
}

static void announce_when_ready(struct supervisor *supervisor)
{
	for (int i = 0; i < N_CHILDREN; i++) {
		if (!is_ready(supervisor, i))
			return;
	}
	if (supervisor->is_announced || supervisor->stopping)
		return;

	supervisor->is_announced = true;
	log_info("run.ready", "everything serves", kv_int("took_ms", clk_mono_ms() - supervisor->started_ms),
		 kv_int("https_port", supervisor->config->https_port),
		 kv_int("sip_port", supervisor->config->sip_port));
	notify_systemd("READY=1");
	if (supervisor->demo_text)
		(void)demo_publish(supervisor->config, supervisor->demo_text);
}

/* ------------------------------------------------------------------ the loop */

static void certificate_h(int err, json_t *data, void *arg)
{
	(void)arg;
	json_decref(data);
	if (err)
		log_error("run.reload", "the switch keeps the certificate that it has", kv_err(err));
}

/* The certificate on disk is another one: web takes the signal, the switch must not lose a call to it. */
static void reload(struct supervisor *supervisor)
{
	for (int i = 0; i < N_CHILDREN; i++) {
		if (!strcmp(specs[i].name, "web"))
			child_signal(&supervisor->children[i], SIGHUP);
	}
	(void)bus_request(supervisor->bus, "cmd.switch.certificate", json_object(), RELOAD_MS,
			  certificate_h, NULL);
}

static void take_signals(struct supervisor *supervisor)
{
	char bytes[64];
	ssize_t n;

	while ((n = read(signal_pipe[0], bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (bytes[i] == SIGTERM || bytes[i] == SIGINT) {
				if (!supervisor->stopping++) {
					log_info("run.stop", "the end was asked for; once more to hurry");
					notify_systemd("STOPPING=1");
				}
			} else if (bytes[i] == SIGHUP) {
				reload(supervisor);
			}
		}
	}
}

static int wait_ms(const struct supervisor *supervisor)
{
	const uint64_t now = clk_mono_ms();
	uint64_t next = now + 1000; /* a lost SIGCHLD costs a second */

	for (int i = 0; i < N_CHILDREN; i++) {
		const struct child *child = &supervisor->children[i];

		if (!child->pid && !supervisor->stopping && child->start_at_ms < next)
			next = child->start_at_ms;
		if (child->pid && child->kill_at_ms && child->kill_at_ms < next)
			next = child->kill_at_ms;
	}

	return next <= now ? 0 : (int)(next - now);
}

static void run_loop(struct supervisor *supervisor)
{
	for (;;) {
		struct pollfd fd = { .fd = signal_pipe[0], .events = POLLIN };

		start_due(supervisor);
		if (poll(&fd, 1, wait_ms(supervisor)) > 0)
			take_signals(supervisor);
		reap(supervisor);
		announce_when_ready(supervisor);
		if (!supervisor->stopping)
			continue;
		stop_next(supervisor);
		if (all_ended(supervisor))
			return;
	}
}

static int prepare(struct supervisor *supervisor, int *lock_fd)
{
	struct config *config = supervisor->config;
	char path[PATH_MAX];
	int err;

	err = prepare_folders(config, lock_fd);
	if (err)
		return err;
	demo_withdraw(config);
	err = ports_check(config);
	if (err)
		return err;

	err = seal_init(config->data_dir);
	if (err) {
		log_error("data.key", "the machine key cannot be read: without it no stored password opens",
			  kv_text("file", "machine.key"), kv_err(err));
		return err;
	}
	err = config_write(config, config_path(path, sizeof(path), config, CONFIG_RUN_FILE));
	if (err) {
		log_error("data.config", "the configuration cannot be handed on", kv_text("file", path),
			  kv_err(err));
		return err;
	}
	err = prepare_certificate(config);
	if (err)
		return err;
	err = prepare_database(config);
	if (err)
		return err;

	return config->demo ? demo_prepare(config, &supervisor->demo_text) : 0;
}

int supervisor_main(const struct config *config)
{
	struct supervisor *supervisor = calloc(1, sizeof(*supervisor));
	int lock_fd = -1, err;

	if (!supervisor)
		return -ENOMEM;

	/* main() owns it and gives it to nobody else: preparing makes the data folder absolute. */
	supervisor->config = (struct config *)(uintptr_t)config;
	supervisor->started_ms = clk_mono_ms();
	for (int i = 0; i < N_CHILDREN; i++)
		supervisor->children[i].name = specs[i].name;
	(void)setenv("GLIBC_TUNABLES", MALLOC_SETTINGS, 0); /* for the children; an operator's own stay */
	keep_open_calls(supervisor);

	err = catch_signals();
	if (err)
		goto out;
	err = prepare(supervisor, &lock_fd);
	if (err)
		goto out;
	for (int i = 0; i < N_CHILDREN; i++)
		child_end_leftover(specs[i].name, supervisor->config);
	err = start_bus(supervisor);
	if (err)
		goto out;

	run_loop(supervisor);
	settle_open_calls(supervisor);
	demo_withdraw(supervisor->config);

out:
	bus_close(supervisor->bus);
	bus_hub_stop(supervisor->hub);
	if (lock_fd >= 0)
		(void)close(lock_fd);
	if (supervisor->children[SWITCH].kept_fd)
		(void)close(supervisor->children[SWITCH].kept_fd);
	free(supervisor->demo_text);
	free(supervisor);
	return err;
}
