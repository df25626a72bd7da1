/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/config.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
	return config_alloc((struct config **)state);
}

static int teardown(void **state)
{
	config_free(*state);
	return 0;
}

static int read_text(struct config *config, const char *text, char *why, size_t size)
{
	FILE *file = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	int err;

	assert_non_null(file);
	err = config_read_stream(config, file, "test.conf", why, size);
	(void)fclose(file);
	return err;
}

static void without_a_file_everything_has_a_value(void **state)
{
	struct config *config = *state;

	assert_int_equal(config_finish(config), 0);
	assert_non_null(config->data_dir);
	assert_string_equal(config->database, "sqlite");
	assert_string_equal(config->listen, "0.0.0.0");
	assert_non_null(config->advertise); /* found on this machine */
	assert_string_not_equal(config->advertise, "0.0.0.0");
	assert_int_equal(config->sip_port, 5060);
	assert_int_equal(config->ws_port, 0); /* D-082 */
	assert_int_equal(config->wss_port, 8089);
	assert_int_equal(config->rtp_first, 10000);
	assert_int_equal(config->rtp_last, 20000);
	assert_true(config->media_threads >= 1 && config->media_threads <= 4);
	assert_false(config->demo);
}

static void the_file_has_comments_quotes_and_both_spellings(void **state)
{
	struct config *config = *state;
	char why[200] = "";

	assert_int_equal(read_text(config,
				   "# a comment\n"
				   "\n"
				   "  data_dir_is_not_a_key_but = x\n",
				   why, sizeof(why)),
			 -EINVAL);
	assert_non_null(strstr(why, "test.conf, line 3: \"data_dir_is_not_a_key_but\" is not a known key"));
	assert_int_equal(read_text(config,
				   "sip-port=5070\n"
				   "\twss_port = 8443 # a comment\r\n"
				   "database = \"postgresql://u:a#b@h/d\"\n"
				   "listen = 127.0.0.1\n"
				   "rtp-ports = 20001-20100\n"
				   "demo = yes\n"
				   "log-level = info,sip=debug\n"
				   "data = /srv/a b\n",
				   why, sizeof(why)),
			 0);
	assert_int_equal(config->sip_port, 5070);
	assert_int_equal(config->wss_port, 8443);
	assert_string_equal(config->database, "postgresql://u:a#b@h/d");
	assert_string_equal(config->data_dir, "/srv/a b");
	assert_string_equal(config->log_level, "info,sip=debug");
	assert_int_equal(config->rtp_first, 20002); /* RTP wants an even port */
	assert_true(config->demo);
	assert_int_equal(config_finish(config), 0);
	assert_string_equal(config->advertise, "127.0.0.1");
}

static void a_bad_value_is_refused_with_key_and_remedy(void **state)
{
	static const struct {
		const char *key, *value, *says;
	} bad[] = {
		{ "sip-port", "0", "a number from 1 to 65534" },
		{ "sip-port", "5060x", "a number from 1 to 65534" },
		{ "sip-port", "", "a number from 1 to 65534" },
		{ "sip-port", "99999999999999999999", "a number from 1 to 65534" },
		{ "https-port", "-1", "a number" },
		{ "rtp-ports", "10000", "a range of ports" },
		{ "rtp-ports", "20000-10000", "a range of ports" },
		{ "rtp-ports", "80-20000", "a range of ports" },
		{ "rtp-ports", "10000-10001", "at least 4 ports" },
		{ "media-threads", "1000", "from 1 to 64" },
		{ "listen", "localhost", "not an IP address" },
		{ "advertise", "pbx..example", "neither an IP address nor a name" },
		{ "advertise", "pbx example", "neither an IP address nor a name" },
		{ "database", "mysql://pbx", "of no known kind" },
		{ "www", "/nowhere/www", "does not exist" },
		{ "moh-file", "/nowhere/moh.wav", "does not exist" },
		{ "share", "/nowhere/share", "does not exist" },
		{ "demo", "perhaps", "neither yes nor no" },
		{ "data", "", "give DIR" },
		{ "nonsense", "1", "is not a known key" },
	};
	struct config *config = *state;
	char why[300];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why[0] = '\0';
		assert_int_equal(config_set(config, bad[i].key, bad[i].value, why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, bad[i].key));
		assert_non_null(strstr(why, bad[i].says));
	}
	assert_int_equal(config->sip_port, 5060); /* untouched */
	assert_int_equal(config_set(config, "demo", NULL, why, sizeof(why)), 0);
	assert_true(config->demo);
	assert_true(config_is_flag("demo"));
	assert_false(config_is_flag("data"));
	assert_int_equal(config_read(config, "/nonexistent/aoide.conf", why, sizeof(why)), -ENOENT);
	assert_non_null(strstr(why, "/nonexistent/aoide.conf"));
}

static void what_is_written_reads_back_the_same(void **state)
{
	struct config *config = *state, *copy = NULL;
	char dir[] = "/tmp/aoide-config-XXXXXX", path[64], why[200] = "", buf[200];
	struct stat st;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/run.conf", dir);
	assert_int_equal(config_set(config, "data", dir, why, sizeof(why)), 0);
	assert_int_equal(config_set(config, "database", "postgresql://u:p#q \"x@h/d", why, sizeof(why)), 0);
	assert_int_equal(config_set(config, "rtp-ports", "30000-30010", why, sizeof(why)), 0);
	assert_int_equal(config_set(config, "ws-port", "5066", why, sizeof(why)), 0);
	assert_int_equal(config_finish(config), 0);
	assert_int_equal(config_write(config, path), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600); /* a password may be in it */

	assert_int_equal(config_alloc(&copy), 0);
	assert_int_equal(config_read(copy, path, why, sizeof(why)), 0);
	assert_string_equal(copy->database, config->database);
	assert_string_equal(copy->data_dir, config->data_dir);
	assert_string_equal(copy->advertise, config->advertise);
	assert_int_equal(copy->rtp_first, 30000);
	assert_int_equal(copy->rtp_last, 30010);
	assert_int_equal(copy->ws_port, 5066);
	assert_int_equal(copy->media_threads, config->media_threads);
	assert_string_equal(config_db_url(buf, sizeof(buf), copy), "postgresql://u:p#q \"x@h/d");
	assert_int_equal(config_set(copy, "database", "sqlite", why, sizeof(why)), 0);
	assert_int_equal(strncmp(config_db_url(buf, sizeof(buf), copy), dir, strlen(dir)), 0);
	config_free(copy);
	(void)unlink(path);
	(void)rmdir(dir);
}

/* Random changes of a valid file: a clear error with the line, or values in their ranges. */
static void damaged_files_are_refused_with_the_line(void **state)
{
	static const char good[] = "data = /tmp/x\nsip-port = 5062\nrtp-ports = 20000-20100\n"
				   "database = \"a#b\"\ndemo = yes\nmedia-threads = 2\n";
	unsigned refused = 0;

	(void)state;
	srand(42);
	for (int i = 0; i < 20000; i++) {
		struct config *config = NULL;
		char text[sizeof(good)], why[300] = "";
		int err;

		memcpy(text, good, sizeof(good));
		for (int k = rand() % 4; k >= 0; k--)
			text[(size_t)rand() % (sizeof(good) - 1)] = (char)(rand() % 255 + 1);
		assert_int_equal(config_alloc(&config), 0);
		err = read_text(config, text, why, sizeof(why));
		if (err) {
			refused++;
			assert_int_equal(strncmp(why, "test.conf, line ", 16), 0);
		}
		assert_true(config->sip_port > 0 && config->rtp_first % 2 == 0);
		assert_true(config->rtp_last > config->rtp_first);
		assert_true(config->media_threads >= 1 && config->media_threads <= 64);
		assert_true(config->data_dir[0] != '\0');
		config_free(config);
	}
	assert_true(refused > 5000);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(without_a_file_everything_has_a_value),
		T(the_file_has_comments_quotes_and_both_spellings),
		T(a_bad_value_is_refused_with_key_and_remedy),
		T(what_is_written_reads_back_the_same),
		T(damaged_files_are_refused_with_the_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
