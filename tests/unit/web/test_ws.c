/* SPDX-License-Identifier: Apache-2.0 */
#include "webfix.h"

static SSL *open_ws(struct fix *f, const char *headers)
{
	char head[1024];
	SSL *ssl = dial(f);
	int n = snprintf(head, sizeof(head), "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUpgrade: websocket\r\n"
			 "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
			 "Sec-WebSocket-Version: 13\r\n%s\r\n", web_https_port(f->web), headers);

	assert_int_equal(SSL_write(ssl, head, n), n);
	return ssl;
}

static int read_exactly(SSL *ssl, void *buf, int len)
{
	int got = 0;

	while (got < len) {
		int n = SSL_read(ssl, (char *)buf + got, len - got);

		if (n <= 0)
			return -1;
		got += n;
	}
	return 0;
}

/* The opening answer, byte by byte so that no frame is lost. */
static int read_head(SSL *ssl)
{
	char head[2048] = "";
	size_t n = 0;

	while (!strstr(head, "\r\n\r\n") && n < sizeof(head) - 1)
		if (read_exactly(ssl, head + n++, 1))
			return 0;
	return atoi(head + 9);
}

/* Returns the opcode; text into buf. */
static int read_frame(SSL *ssl, char *buf, size_t size)
{
	uint8_t head[2], more[2];
	size_t len;

	if (read_exactly(ssl, head, 2))
		return -1;
	len = head[1] & 0x7f;
	if (len == 126) {
		if (read_exactly(ssl, more, 2))
			return -1;
		len = (size_t)more[0] << 8 | more[1];
	}
	assert_true(len < size);
	if (read_exactly(ssl, buf, (int)len))
		return -1;
	buf[len] = '\0';
	return head[0] & 15;
}

static void send_frame(SSL *ssl, const char *text)
{
	uint8_t frame[256] = { 0x81, (uint8_t)(0x80 | strlen(text)) };

	assert_true(strlen(text) < 126);
	memcpy(frame + 6, text, strlen(text)); /* masked with zeros */
	assert_true(SSL_write(ssl, frame, (int)strlen(text) + 6) > 0);
}

static void publish(struct fix *f, const char *topic, int64_t tenant, const char *caller)
{
	char subject[80];

	snprintf(subject, sizeof(subject), "t.%lld.%s", (long long)tenant, topic);
	assert_int_equal(bus_publish(f->bus, subject, json_pack("{s:s,s:s}", "caller", caller, "called",
								"102")), 0);
}

static void events_for_browsers(void **state)
{
	struct fix *f = *state;
	char headers[256], text[4096];
	json_t *status = NULL;
	SSL *ssl;

	ssl = open_ws(f, "");
	assert_int_equal(read_head(ssl), 101);
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 8); /* close */
	assert_int_equal((uint8_t)text[0] << 8 | (uint8_t)text[1], 4401);
	hang_up(ssl);

	log_in(f);
	snprintf(headers, sizeof(headers), "Cookie: %s\r\nOrigin: https://evil.example\r\n", f->cookie);
	ssl = open_ws(f, headers);
	assert_int_equal(read_head(ssl), 403);
	hang_up(ssl);

	snprintf(headers, sizeof(headers), "Cookie: %s\r\nOrigin: https://127.0.0.1:%u\r\n", f->cookie,
		 web_https_port(f->web));
	ssl = open_ws(f, headers);
	assert_int_equal(read_head(ssl), 101);
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 1);
	assert_string_equal(text, "{\"type\":\"hello\"}");
	send_frame(ssl, "{\"type\":\"subscribe\",\"topics\":[\"call.*\",\"registration.*\"]}");
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 1);
	assert_string_equal(text, "{\"type\":\"subscribed\"}");
	/* The server asks the hub for events when the first browser does; its next answer has followed that. */
	assert_int_equal(bus_request_wait(&status, f->bus, "cmd.web.status", json_object(), 20000), 0);
	json_decref(status);
	publish(f, "call.new", 99, "foreign");
	publish(f, "config.applied", f->tenant_id, "unwanted");
	publish(f, "call.ringing", f->tenant_id, "101");
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 1);
	assert_string_equal(text, "{\"type\":\"event\",\"topic\":\"call.ringing\","
				  "\"data\":{\"caller\":\"101\",\"called\":\"102\"}}");
	/* What is not subscribed to is told: what is no topic, and what is one too many. */
	for (int i = 0; i < 31; i++) {
		snprintf(headers, sizeof(headers),
			 "{\"type\":\"subscribe\",\"topics\":[\"more.%d\",5]}", i);
		send_frame(ssl, headers);
		assert_int_equal(read_frame(ssl, text, sizeof(text)), 1);
		assert_string_equal(text, i < 30 ? "{\"type\":\"subscribed\",\"ignored\":1}" :
						   "{\"type\":\"subscribed\",\"ignored\":2}");
	}
	snprintf(headers, sizeof(headers), "Cookie: %s\r\nOrigin: https://127.0.0.1:%u\r\n", f->cookie,
		 web_https_port(f->web));
	/* Nonsense ends the connection and nothing else. */
	send_frame(ssl, "{{{");
	assert_int_equal(read_frame(ssl, text, sizeof(text)), 8);
	hang_up(ssl);
	ssl = open_ws(f, headers);
	assert_int_equal(read_head(ssl), 101);
	hang_up(ssl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_SERVER("events for browsers: login, origin, tenant, topics", events_for_browsers),
	};

	return testdb_run(tests);
}
