/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor starts "this very binary" as its children, so this test is its own media, switch, web
 * and jobs: main() looks at what it was started as.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "app/app.h"
#include "app/child.h"
#include "app/harden.h"
#include "app/ports.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/landlock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 30000
#define SUPERVISOR  "test-supervisor" /* argv[0] of a process that is one */

static void nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
}

#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		const uint64_t until_ms = clk_mono_ms() + PATIENCE_MS;                             \
		bool is_met;                                                                       \
		while (!(is_met = (condition)) && clk_mono_ms() < until_ms)                        \
			nap();                                                                     \
		assert_true(is_met);                                                               \
	} while (0)

/* ------------------------------------------------------------------ the processes */

static volatile sig_atomic_t is_asked_to_end;

static void term_h(int number)
{
	(void)number;
	is_asked_to_end = 1;
}

static void note(const struct config *config, const char *process, const char *what)
{
	char path[PATH_MAX], line[64];
	const int fd = open(config_path(path, sizeof(path), config, "events"),
			    O_WRONLY | O_APPEND | O_CREAT, 0600);

	(void)snprintf(line, sizeof(line), "%s %s;", process, what);
	(void)!write(fd, line, strlen(line));
	(void)close(fd);
}

/* A process that does nothing but say that it is ready. A file "<name>.crash" makes it die at once. */
static int child_main(const char *name, const char *config_file)
{
	struct config *config = NULL;
	struct bus *bus = NULL;
	char path[PATH_MAX], file[64];

	(void)signal(SIGTERM, term_h);
	if (config_alloc(&config) || config_read(config, config_file, NULL, 0))
		return 9;
	(void)snprintf(file, sizeof(file), "%s.crash", name);
	if (!access(config_path(path, sizeof(path), config, file), F_OK)) {
		note(config, name, "crashed");
		config_free(config);
		return 3;
	}
	if (bus_connect(&bus, config_path(path, sizeof(path), config, CONFIG_BUS_SOCKET), name) ||
	    bus_process_ready(bus, name))
		return 8;
	while (!is_asked_to_end)
		nap();
	note(config, name, "ended");
	bus_close(bus);
	config_free(config);
	return 0;
}

/* Listens on a port that the kernel chooses. */
static int listener(uint16_t *ret_port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !bind(fd, (struct sockaddr *)&addr, len) && !listen(fd, 1) &&
	    !getsockname(fd, (struct sockaddr *)&addr, &len))
		*ret_port = ntohs(addr.sin_port);
	return fd;
}

/* Nobody listens on these ports but the supervisor asks for them: they must be free. */
static int set_ports(struct config *config)
{
	config->http_port = 0;
	config->wss_port = 0;
	for (int i = 0; i < 20; i++) {
		uint16_t https = 0, sip = 0;
		const int a = listener(&https), b = listener(&sip);

		(void)close(a);
		(void)close(b);
		config->https_port = https;
		config->sip_port = sip;
		if (https && sip && sip < 65535 && !ports_check(config))
			return 0;
	}
	return -EADDRINUSE;
}

static int run_supervisor(const char *dir)
{
	struct config *config = NULL;
	int err;

	(void)log_level_set("*", "error");
	err = config_alloc(&config);
	if (!err)
		err = config_set(config, "data", dir, NULL, 0);
	if (!err)
		err = config_set(config, "listen", "127.0.0.1", NULL, 0);
	if (!err)
		err = config_set(config, "demo", NULL, NULL, 0);
	if (!err)
		err = config_finish(config);
	if (!err) {
		/* The test chose them, so that every start of it has the same. */
		config->http_port = 0;
		config->wss_port = 0;
		config->https_port = (uint16_t)atoi(getenv("TEST_HTTPS_PORT"));
		config->sip_port = (uint16_t)atoi(getenv("TEST_SIP_PORT"));
		err = supervisor_main(config);
	}
	config_free(config);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ------------------------------------------------------------------ the world of a test */

struct world {
	char dir[64];
	int pid;
	struct bus *bus;
};

static int start(struct world *world)
{
	const int pid = fork();
	const int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (!pid) {
		(void)dup2(quiet, STDOUT_FILENO);
		(void)execl("/proc/self/exe", SUPERVISOR, world->dir, (char *)NULL);
		_exit(99);
	}
	(void)close(quiet);
	return pid;
}

static bool exists(const struct world *world, const char *name)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", world->dir, name);
	return !access(path, F_OK);
}

static char *read_file(const struct world *world, const char *name)
{
	static char text[1 << 16];
	char path[PATH_MAX];
	FILE *file;
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", world->dir, name);
	file = fopen(path, "r");
	if (!file)
		return NULL;
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	(void)fclose(file);
	return text;
}

static void choose_ports(void)
{
	struct config *config = NULL;
	char text[8];

	assert_int_equal(config_alloc(&config), 0);
	assert_int_equal(config_set(config, "listen", "127.0.0.1", NULL, 0), 0);
	assert_int_equal(set_ports(config), 0);
	(void)snprintf(text, sizeof(text), "%u", config->https_port);
	assert_int_equal(setenv("TEST_HTTPS_PORT", text, 1), 0);
	(void)snprintf(text, sizeof(text), "%u", config->sip_port);
	assert_int_equal(setenv("TEST_SIP_PORT", text, 1), 0);
	config_free(config);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	char path[PATH_MAX];

	(void)snprintf(world->dir, sizeof(world->dir), "/tmp/aoide-run-XXXXXX");
	assert_non_null(mkdtemp(world->dir));
	choose_ports();
	world->pid = start(world);
	WAIT_FOR(exists(world, "demo.json"));
	(void)snprintf(path, sizeof(path), "%s/" CONFIG_BUS_SOCKET, world->dir);
	assert_int_equal(bus_connect(&world->bus, path, "test"), 0);
	*state = world;
	return 0;
}

static int end(struct world *world, int number)
{
	int status = -1;

	(void)kill(world->pid, number);
	(void)waitpid(world->pid, &status, 0);
	world->pid = 0;
	return status;
}

static int teardown(void **state)
{
	struct world *world = *state;
	char command[128];

	if (world->pid)
		(void)end(world, SIGTERM);
	bus_close(world->bus);
	(void)snprintf(command, sizeof(command), "rm -rf %s", world->dir);
	assert_int_equal(system(command), 0);
	free(world);
	return 0;
}

/* A number of cmd.supervisor.status of one process. */
static int64_t status_of(const struct world *world, const char *process, const char *key)
{
	json_t *status = NULL;
	const json_t *one;
	int64_t value = -1;
	size_t i;

	if (bus_request_wait(&status, world->bus, "cmd.supervisor.status", json_object(), 5000))
		return -1;
	json_array_foreach(json_object_get(status, "processes"), i, one) {
		if (strcmp(js_str(one, "process", ""), process))
			continue;
		value = !strcmp(key, "ready") ? js_bool(one, key, false) : js_int(one, key, -1);
	}
	json_decref(status);
	return value;
}

/* ------------------------------------------------------------------ tests */

static void the_back_off_doubles_and_ends_after_a_stable_minute(void **state)
{
	struct child child = { .name = "x", .started_ms = 1000 };
	const uint64_t expected[] = { 0, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000 };
	uint64_t now = 2000;

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_int_equal(child_next_start_ms(&child, now) - now, expected[i]);
		now += expected[i] + 100;
		child.started_ms = now - 50;
	}
	child.started_ms = now;
	now += CHILD_STABLE_MS;
	assert_int_equal(child_next_start_ms(&child, now), now);
}

static void the_facts_appear_when_all_serve_and_the_end_has_an_order(void **state)
{
	static const char *const names[] = { "media", "switch", "web", "jobs" };
	struct world *world = *state;
	const char *events, *web, *jobs, *sw, *media;
	json_t *facts = NULL;
	struct stat st;
	char path[PATH_MAX];
	int status;

	(void)snprintf(path, sizeof(path), "%s/demo.json", world->dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(js_parse(&facts, read_file(world, "demo.json"),
				  strlen(read_file(world, "demo.json")), NULL, 0), 0);
	(void)snprintf(path, sizeof(path), "127.0.0.1:%s", getenv("TEST_SIP_PORT"));
	assert_string_equal(js_str(json_object_get(facts, "sip"), "udp", ""), path);
	(void)snprintf(path, sizeof(path), "127.0.0.1:%d", atoi(getenv("TEST_SIP_PORT")) + 1);
	assert_string_equal(js_str(json_object_get(facts, "sip"), "tls", ""), path);
	assert_null(json_object_get(json_object_get(facts, "sip"), "ws")); /* off */
	assert_int_equal(json_array_size(json_object_get(facts, "accounts")), 5);
	json_decref(facts);

	for (int i = 0; i < 4; i++) {
		assert_true(status_of(world, names[i], "pid") > 1);
		assert_int_equal(status_of(world, names[i], "ready"), 1);
	}

	status = end(world, SIGTERM);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_false(exists(world, "demo.json"));
	events = read_file(world, "events");
	assert_non_null(events);
	web = strstr(events, "web ended;");
	jobs = strstr(events, "jobs ended;");
	sw = strstr(events, "switch ended;");
	media = strstr(events, "media ended;");
	assert_true(web && jobs && sw && media);
	assert_true(web < sw && jobs < sw && sw < media);
}

static void a_killed_child_is_back_at_once_and_the_others_do_not_notice(void **state)
{
	struct world *world = *state;
	const int64_t web = status_of(world, "web", "pid"), media = status_of(world, "media", "pid");

	assert_int_equal(kill((pid_t)web, SIGKILL), 0);
	WAIT_FOR(status_of(world, "web", "restarts") == 1 && status_of(world, "web", "ready") == 1);
	assert_int_not_equal(status_of(world, "web", "pid"), web);
	assert_int_equal(status_of(world, "media", "pid"), media);
	assert_int_equal(status_of(world, "media", "restarts"), 0);
}

static void a_child_that_keeps_crashing_is_not_started_in_a_hurry(void **state)
{
	struct world *world = *state;
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/jobs.crash", world->dir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(kill((pid_t)status_of(world, "jobs", "pid"), SIGKILL), 0);
	WAIT_FOR(status_of(world, "jobs", "restarts") >= 3);
	assert_true(status_of(world, "jobs", "restarts") < 6);
	assert_int_equal(status_of(world, "jobs", "ready"), 0);
	assert_int_equal(status_of(world, "web", "restarts"), 0);
	(void)unlink(path);
	WAIT_FOR(status_of(world, "jobs", "ready") == 1); /* it gets well by itself */
}

static void a_second_supervisor_is_refused(void **state)
{
	struct world *world = *state;
	struct world second = *world;
	int status = -1;

	second.pid = start(&second);
	assert_int_equal(waitpid(second.pid, &status, 0), second.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
	assert_int_equal(status_of(world, "web", "ready"), 1); /* the first lives */
	assert_true(exists(world, "demo.json"));
}

static void a_killed_supervisor_takes_its_children_along_and_the_next_start_keeps_the_demo(void **state)
{
	struct world *world = *state;
	const int64_t media = status_of(world, "media", "pid");
	char *before = strdup(read_file(world, "demo.json"));

	assert_non_null(before);
	(void)end(world, SIGKILL);
	WAIT_FOR(kill((pid_t)media, 0) && errno == ESRCH);

	world->pid = start(world);
	WAIT_FOR(status_of(world, "media", "ready") == 1 && status_of(world, "web", "ready") == 1);
	WAIT_FOR(exists(world, "demo.json"));
	assert_string_equal(read_file(world, "demo.json"), before);
	assert_int_equal(status_of(world, "media", "restarts"), 0);
	free(before);
}

/* What is wrong, as an exit code; in a process of its own, because rights do not come back. */
static int confined_main(const struct config *config)
{
	char path[PATH_MAX];

	harden_process("media", config);
	if (open(config_path(path, sizeof(path), config, "machine.key"), O_RDONLY) >= 0)
		return 1;
	if (open(config_path(path, sizeof(path), config, "run/new"), O_WRONLY | O_CREAT, 0600) < 0)
		return 2;
	if (open(config_path(path, sizeof(path), config, "new"), O_WRONLY | O_CREAT, 0600) >= 0)
		return 3;
	if (open("/etc/passwd", O_RDONLY) < 0)
		return 4;
	(void)execl("/bin/true", "true", (char *)NULL);
	return errno == EACCES ? 0 : 5;
}

static void media_cannot_read_the_keys_nor_start_a_program(void **state)
{
	const struct world *world = *state;
	struct config *config = NULL;
	int pid, status = -1;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
		skip(); /* the kernel of this machine has no Landlock */
	assert_int_equal(config_alloc(&config), 0);
	assert_int_equal(config_set(config, "data", world->dir, NULL, 0), 0);
	assert_true(exists(world, "machine.key"));
	pid = fork();
	if (!pid)
		_exit(confined_main(config));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	config_free(config);
}

static void a_port_of_another_program_is_refused(void **state)
{
	struct config *config = NULL;
	uint16_t port = 0;
	int fd;

	(void)state;
	assert_int_equal(config_alloc(&config), 0);
	assert_int_equal(config_set(config, "listen", "127.0.0.1", NULL, 0), 0);
	assert_int_equal(set_ports(config), 0);
	fd = listener(&port);
	assert_true(fd >= 0);

	config->wss_port = port;
	assert_int_equal(ports_check(config), -EADDRINUSE);
	(void)close(fd);
	assert_int_equal(ports_check(config), 0);

	assert_int_equal(config_set(config, "listen", "198.51.100.77", NULL, 0), 0);
	assert_int_equal(ports_check(config), -EADDRNOTAVAIL);
	config_free(config);
}

int main(int argc, char *argv[])
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_back_off_doubles_and_ends_after_a_stable_minute),
		T(the_facts_appear_when_all_serve_and_the_end_has_an_order),
		T(a_killed_child_is_back_at_once_and_the_others_do_not_notice),
		T(a_child_that_keeps_crashing_is_not_started_in_a_hurry),
		T(a_second_supervisor_is_refused),
		cmocka_unit_test(a_port_of_another_program_is_refused),
		T(media_cannot_read_the_keys_nor_start_a_program),
		T(a_killed_supervisor_takes_its_children_along_and_the_next_start_keeps_the_demo),
	};

	if (argc == 4 && !strcmp(argv[2], "--config"))
		return child_main(argv[1], argv[3]);
	if (argc == 2 && !strcmp(argv[0], SUPERVISOR))
		return run_supervisor(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
