/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"
#include "bus/frame.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000

struct world {
	char dir[64], path[96];
	struct bus_hub *hub;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	(void)snprintf(world->dir, sizeof(world->dir), "/tmp/aoide-bus-XXXXXX");
	assert_non_null(mkdtemp(world->dir));
	(void)snprintf(world->path, sizeof(world->path), "%s/bus.sock", world->dir);
	assert_int_equal(bus_hub_start(&world->hub, world->path), 0);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	bus_hub_stop(world->hub);
	(void)rmdir(world->dir);
	free(world);
	return 0;
}

/* Waits for what another thread does; the condition is looked at every millisecond. */
#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		const uint64_t until_ms = clk_mono_ms() + PATIENCE_MS;                             \
		bool is_met;                                                                       \
		while (!(is_met = (condition)) && clk_mono_ms() < until_ms)                        \
			(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);           \
		assert_true(is_met);                                                               \
	} while (0)

static struct bus *client(struct world *world, const char *name)
{
	struct bus *bus = NULL;

	assert_int_equal(bus_connect(&bus, world->path, name), 0);
	return bus;
}

struct heard {
	atomic_uint n;
	atomic_llong sum;
	char last[64];
};

static void heard_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	struct heard *heard = arg;

	assert_null(reply);
	(void)snprintf(heard->last, sizeof(heard->last), "%.60s", subject);
	atomic_fetch_add(&heard->sum, js_int(data, "n", 0));
	atomic_fetch_add(&heard->n, 1);
}

/* Answers {"n":x} with {"n":2x}; x = 0 with an error. */
static void double_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	const int64_t n = js_int(data, "n", 0);

	(void)subject;
	(void)arg;
	assert_non_null(reply);
	bus_reply(reply, n ? 0 : -EINVALID, n ? json_pack("{s:I}", "n", (json_int_t)(2 * n)) : NULL);
}

static void patterns_match_as_documented(void **state)
{
	static const struct {
		const char *pattern, *subject;
		bool match;
	} cases[] = {
		{ "t.1.call.*", "t.1.call.ringing", true },
		{ "t.1.call.*", "t.1.call", false },
		{ "t.1.call.*", "t.1.call.a.b", false },
		{ "t.1.>", "t.1.call.ringing", true },
		{ "t.1.>", "t.1", false },
		{ "t.1.>", "t.12.call", false },
		{ ">", "anything.at.all", true },
		{ "t.*.config.applied", "t.7.config.applied", true },
		{ "sys.process.died", "sys.process.die", false },
		{ "sys.process.die", "sys.process.died", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(subject_matches(cases[i].pattern, cases[i].subject), cases[i].match);
	assert_true(subject_is_valid("t.1.call.ringing", false));
	assert_false(subject_is_valid("t..call", false));
	assert_false(subject_is_valid("t.1.", false));
	assert_false(subject_is_valid("", false));
	assert_false(subject_is_valid("t.*", false));
	assert_false(subject_is_valid("t.>.x", true));
	assert_false(subject_is_valid("t.1\nx", false));
}

static void events_reach_every_subscriber_once(void **state)
{
	struct world *world = *state;
	struct heard one = { 0 }, two = { 0 };
	struct bus *a = client(world, "a"), *b = client(world, "b"), *c = client(world, "c");

	assert_int_equal(bus_subscribe(a, "t.1.>", heard_h, &one), 0);
	assert_int_equal(bus_subscribe(b, "t.*.call.*", heard_h, &two), 0);
	WAIT_FOR(bus_wanted(c, "t.2.call.new") && bus_wanted(c, "t.1.x")); /* both are known */
	assert_false(bus_wanted(c, "t.2.x"));

	assert_int_equal(bus_publish(c, "t.1.call.new", json_pack("{s:i}", "n", 5)), 0);
	assert_int_equal(bus_publish_text(c, "t.2.call.new", "{\"n\":7}", 7), 0);
	assert_int_equal(bus_publish(c, "bad subject", json_object()), -EINVAL);
	WAIT_FOR(two.n == 2 && one.n == 1);
	assert_int_equal(one.sum, 5);
	assert_int_equal(two.sum, 12);
	assert_string_equal(two.last, "t.2.call.new");

	bus_close(b);
	WAIT_FOR(!bus_wanted(c, "t.2.call.new")); /* told by the hub */
	bus_close(a);
	bus_close(c);
}

static void requests_are_answered_with_value_or_error(void **state)
{
	struct world *world = *state;
	struct bus *server = client(world, "server"), *asker = client(world, "asker");
	json_t *data = NULL;

	assert_int_equal(bus_subscribe(server, "cmd.test.double", double_h, NULL), 0);
	assert_int_equal(bus_request_wait(&data, server, "cmd.test.double", json_pack("{s:i}", "n", 1),
					  PATIENCE_MS), 0); /* even its own */
	json_decref(data);
	data = NULL;
	assert_int_equal(bus_request_wait(&data, asker, "cmd.test.double",
					  json_pack("{s:i}", "n", 21), PATIENCE_MS), 0);
	assert_int_equal(js_int(data, "n", 0), 42);
	json_decref(data);
	data = NULL;
	assert_int_equal(bus_request_wait(&data, asker, "cmd.test.double", json_object(), PATIENCE_MS),
			 -EINVALID);
	assert_null(data);
	bus_close(asker);
	bus_close(server);
}

static void nobody_serves_it_is_answered_at_once(void **state)
{
	struct world *world = *state;
	struct bus *asker = client(world, "asker"), *listener = client(world, "listener");
	struct heard heard = { 0 };
	json_t *data = NULL;
	uint64_t start_ms;

	/* one who listens to everything serves nothing */
	assert_int_equal(bus_subscribe(listener, ">", heard_h, &heard), 0);
	WAIT_FOR(bus_wanted(asker, "x"));
	start_ms = clk_mono_ms();
	assert_int_equal(bus_request_wait(&data, asker, "cmd.nobody.x", json_object(), PATIENCE_MS),
			 -EUNAVAILABLE);
	assert_true(clk_mono_ms() - start_ms < PATIENCE_MS / 2);
	assert_int_equal(heard.n, 0);
	bus_close(listener);
	bus_close(asker);
}

static struct bus_reply *kept_reply;
static atomic_bool has_kept_reply;

static void keep_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	(void)subject;
	(void)data;
	(void)arg;
	kept_reply = reply;
	atomic_store(&has_kept_reply, true);
}

static void a_request_without_an_answer_times_out(void **state)
{
	struct world *world = *state;
	struct bus *server = client(world, "server"), *asker = client(world, "asker");
	json_t *data = NULL;

	atomic_store(&has_kept_reply, false);
	assert_int_equal(bus_subscribe(server, "cmd.test.keep", keep_h, NULL), 0);
	assert_int_equal(bus_request_wait(NULL, server, "cmd.nobody", json_object(), PATIENCE_MS),
			 -EUNAVAILABLE); /* so the subscription before it is in force */
	assert_int_equal(bus_request_wait(&data, asker, "cmd.test.keep", json_object(), 50), -ETIMEDOUT);
	WAIT_FOR(atomic_load(&has_kept_reply));
	bus_reply(kept_reply, 0, NULL); /* late: goes nowhere */
	bus_close(asker);
	bus_close(server);
}

static void answer_count_h(int err, json_t *data, void *arg)
{
	struct heard *heard = arg;

	atomic_fetch_add(&heard->sum, err ? err : js_int(data, "n", 0));
	atomic_fetch_add(&heard->n, 1);
	json_decref(data);
}

static void the_death_of_the_server_is_answered_at_once(void **state)
{
	struct world *world = *state;
	struct bus *server = client(world, "server"), *asker = client(world, "asker");
	struct heard heard = { 0 };

	atomic_store(&has_kept_reply, false);
	assert_int_equal(bus_subscribe(server, "cmd.test.keep", keep_h, NULL), 0);
	assert_int_equal(bus_request_wait(NULL, server, "cmd.nobody", json_object(), PATIENCE_MS),
			 -EUNAVAILABLE); /* so the subscription before it is in force */
	assert_int_equal(bus_request(asker, "cmd.test.keep", json_object(), 60000, answer_count_h, &heard),
			 0);
	WAIT_FOR(has_kept_reply);
	assert_int_equal(heard.n, 0);
	bus_close(server);
	WAIT_FOR(heard.n == 1);
	bus_reply(kept_reply, 0, json_object()); /* by a worker that outlived its bus */
	bus_close(asker);
}

static void many_requests_of_two_clients_all_get_their_own_answer(void **state)
{
	enum { N = 2000 };
	struct world *world = *state;
	struct bus *server = client(world, "server");
	struct bus *askers[2] = { client(world, "a"), client(world, "b") };
	struct heard heard[2] = { 0 };
	json_t *data = NULL;

	assert_int_equal(bus_subscribe(server, "cmd.test.*", double_h, NULL), 0);
	WAIT_FOR(bus_request_wait(&data, askers[0], "cmd.test.x", json_pack("{s:i}", "n", 1), 100) == 0);
	json_decref(data);
	for (int i = 1; i <= N; i++) {
		for (int k = 0; k < 2; k++)
			assert_int_equal(bus_request(askers[k], "cmd.test.double",
						     json_pack("{s:i}", "n", i + k * N), 60000,
						     answer_count_h, &heard[k]), 0);
	}
	WAIT_FOR(heard[0].n == N && heard[1].n == N);
	assert_int_equal(heard[0].sum, (long long)N * (N + 1));
	assert_int_equal(heard[1].sum, (long long)N * (N + 1) + 2ll * N * N);
	bus_close(askers[0]);
	bus_close(askers[1]);
	bus_close(server);
}

static void clients_come_back_after_a_restart_of_the_hub(void **state)
{
	struct world *world = *state;
	struct bus *a = client(world, "a"), *b = client(world, "b");
	struct heard heard = { 0 };
	json_t *data = NULL;

	assert_int_equal(bus_subscribe(a, "t.1.>", heard_h, &heard), 0);
	assert_int_equal(bus_subscribe(a, "cmd.a.double", double_h, NULL), 0);
	WAIT_FOR(bus_wanted(b, "t.1.x"));

	bus_hub_stop(world->hub);
	world->hub = NULL;
	WAIT_FOR(!bus_connected(a) && !bus_connected(b));
	assert_false(bus_wanted(b, "t.1.x"));
	assert_int_equal(bus_publish(b, "t.1.while_away", json_pack("{s:i}", "n", 3)), 0);
	assert_int_equal(bus_request_wait(&data, b, "cmd.a.double", json_object(), 30), -ETIMEDOUT);

	assert_int_equal(bus_hub_start(&world->hub, world->path), 0);
	WAIT_FOR(bus_connected(a) && bus_connected(b) && bus_wanted(b, "t.1.x"));
	/* What was wanted before the restart counts until the hub says otherwise: the other one may not
	 * have subscribed again yet. */
	WAIT_FOR(!bus_publish(b, "t.1.again", json_pack("{s:i}", "n", 4)) &&
		 !strcmp(heard.last, "t.1.again"));
	assert_int_equal(bus_request_wait(&data, b, "cmd.a.double", json_pack("{s:i}", "n", 2), PATIENCE_MS),
			 0);
	json_decref(data);
	bus_close(a);
	bus_close(b);
}

static void a_request_with_no_hub_at_all_says_so(void **state)
{
	struct bus *bus = NULL;
	json_t *data = NULL;

	(void)state;
	assert_int_equal(bus_connect(&bus, "/tmp/aoide-no-such-hub.sock", "alone"), 0);
	assert_false(bus_connected(bus));
	assert_int_equal(bus_request_wait(&data, bus, "cmd.switch.status", json_object(), 100),
			 -EUNAVAILABLE);
	bus_close(bus);
}

static int raw_connect(const struct world *world)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", world->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void a_malformed_frame_costs_its_sender_the_connection_and_nobody_else(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "\0\0\0\1X", 5 },
		{ "\xff\xff\xff\xff" "aaaaaaaaaaaaaaaa", 20 },
		{ "\0\0\0\x0f\x63\0\0\0\0\0\0\0\0\0\4abcd", 19 },         /* type */
		{ "\0\0\0\x0f\3\0\0\0\0\0\0\0\0\xff\xff" "abcd", 19 },     /* subject length */
		{ "\0\0\0\x0f\3\0\0\0\0\0\0\0\0\0\4a\0cd", 19 },           /* NUL in the subject */
		{ "\0\0\0\x0f\3\0\0\0\0\0\0\0\0\0\4a..d", 19 },            /* empty token */
		{ "\0\0\0\x0b\6\0\0\0\0\0\0\0\0\0\0", 15 },                /* only the hub says this */
		{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27 },
	};
	struct world *world = *state;
	struct bus *a = client(world, "a");
	struct heard heard = { 0 };

	assert_int_equal(bus_subscribe(a, ">", heard_h, &heard), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const int fd = raw_connect(world);
		char buf[4096];
		ssize_t n;

		assert_int_equal(send(fd, bad[i].bytes, bad[i].len, MSG_NOSIGNAL), bad[i].len);
		do {
			n = recv(fd, buf, sizeof(buf), 0);
		} while (n > 0);
		(void)close(fd);
	}
	assert_true(bus_connected(a));
	assert_int_equal(bus_publish(a, "still.alive", json_object()), 0);
	WAIT_FOR(heard.n == 1);
	bus_close(a);
}

static void a_slow_reader_is_disconnected_and_holds_nobody_up(void **state)
{
	enum { TEXT = 100000, N = 400 }; /* 40 MB, more than what is queued for one reader */
	struct world *world = *state;
	struct bus *writer = client(world, "writer"), *reader = client(world, "reader");
	struct heard heard = { 0 };
	char *text = malloc(TEXT);
	uint8_t frame[64];
	const int slow = raw_connect(world);
	unsigned sent = 0;

	/* The reader first: who publishes learns that somebody listens, not who. */
	assert_int_equal(bus_subscribe(reader, "t.1.>", heard_h, &heard), 0);
	WAIT_FOR(bus_wanted(writer, "t.1.x"));
	frame_print(frame, FRAME_SUBSCRIBE, 0, 0, "t.1.>", NULL, 0);
	assert_true(send(slow, frame, frame_size("t.1.>", 0), 0) > 0);

	assert_non_null(text);
	(void)snprintf(text, TEXT, "{\"n\":1,\"x\":\"");
	memset(text + strlen(text), 'x', TEXT - strlen(text));
	memcpy(text + TEXT - 2, "\"}", 2);
	while (sent < N) {
		if (!bus_publish_text(writer, "t.1.x", text, TEXT))
			sent++;
		if (sent > heard.n + 20) /* the reader is as fast as it can be */
			WAIT_FOR(heard.n + 10 >= sent);
	}
	WAIT_FOR(heard.n == N);

	/* The hub closed the slow one: what is in the socket's buffer, then the end. */
	while (recv(slow, text, TEXT, 0) > 0)
		;
	(void)close(slow);
	free(text);
	bus_close(reader);
	bus_close(writer);
}

static void the_socket_is_for_its_owner_only(void **state)
{
	const struct world *world = *state;
	struct stat st;

	assert_int_equal(stat(world->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void every_process_answers_for_its_log_levels(void **state)
{
	struct world *world = *state;
	struct bus *server = client(world, "web"), *asker = client(world, "ctl");
	json_t *data = NULL;

	assert_int_equal(bus_serve_process(server, "web"), 0);
	WAIT_FOR(!bus_request_wait(&data, asker, "cmd.web.loglevel",
				   json_pack("{s:s, s:s}", "module", "web", "level", "debug"), 1000));
	assert_non_null(strstr(js_str(data, "levels", ""), "web debug\n"));
	json_decref(data);
	assert_int_equal(log_level_of("web.x"), LOG_LVL_DEBUG);
	assert_int_equal(bus_request_wait(&data, asker, "cmd.web.loglevel",
					  json_pack("{s:s}", "level", "loud"), 1000), -EINVAL);
	bus_close(asker);
	bus_close(server);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_as_documented),
		T(events_reach_every_subscriber_once),
		T(requests_are_answered_with_value_or_error),
		T(nobody_serves_it_is_answered_at_once),
		T(a_request_without_an_answer_times_out),
		T(the_death_of_the_server_is_answered_at_once),
		T(many_requests_of_two_clients_all_get_their_own_answer),
		T(clients_come_back_after_a_restart_of_the_hub),
		cmocka_unit_test(a_request_with_no_hub_at_all_says_so),
		T(a_malformed_frame_costs_its_sender_the_connection_and_nobody_else),
		T(a_slow_reader_is_disconnected_and_holds_nobody_up),
		T(the_socket_is_for_its_owner_only),
		T(every_process_answers_for_its_log_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
