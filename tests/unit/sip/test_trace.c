/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sip/trace.h"

#define MESSAGES  32
#define BYTES	  4096
#define LONGEST	  1500
#define ROUNDS	  3000

static size_t message(char *buf, size_t size, unsigned i, size_t body)
{
	const int n = snprintf(buf, size, "OPTIONS sip:a SIP/2.0\r\nCall-ID: c%u@x\r\n\r\n", i);

	memset(buf + n, 'a' + (int)(i % 26), body);
	return (size_t)n + body;
}

static char *text_of(struct trace *trace, unsigned i)
{
	char callid[32];
	const char *ids[] = { callid };
	char *text = NULL;

	(void)snprintf(callid, sizeof(callid), "c%u@x", i);
	assert_int_equal(trace_text(trace, &text, ids, 1), 0);
	return text;
}

/* Whatever their sizes: the last messages are there, whole, and as many as number and bytes allow. */
static void the_last_messages_are_kept_whole(void **state)
{
	static char buf[LONGEST + 100];
	static size_t body[ROUNDS];
	struct trace *trace = NULL;
	struct sa sa;

	(void)state;
	srand(1);
	sa_set_str(&sa, "127.0.0.1", 5060);
	assert_int_equal(trace_alloc(&trace, MESSAGES, BYTES), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		size_t len, bytes = 0;
		unsigned kept = 0;

		body[i] = (size_t)rand() % (i % 3 ? 60 : LONGEST);
		len = message(buf, sizeof(buf), i, body[i]);
		trace_add(trace, i % 2, SIP_TRANSP_UDP, &sa, &sa, (const uint8_t *)buf, len);

		while (kept <= i) {
			char *text = text_of(trace, i - kept);
			const bool is_there = *text;

			len = message(buf, sizeof(buf), i - kept, body[i - kept]);
			bytes += len;
			if (is_there)
				assert_non_null(memmem(text, strlen(text), buf, len));
			free(text);
			if (!is_there)
				break;
			kept++;
		}
		assert_true(kept > 0 && kept <= MESSAGES);
		/* Less than the whole is used only where a message did not fit before the end. */
		if (kept <= i && kept < MESSAGES)
			assert_true(bytes + LONGEST + 100 > BYTES);
	}
	mem_deref(trace);
}

static void what_does_not_fit_or_has_no_call_id_is_not_kept(void **state)
{
	static char buf[BYTES + 200];
	struct trace *trace = NULL;
	struct sa sa;
	char *text;
	size_t len;

	(void)state;
	sa_set_str(&sa, "127.0.0.1", 5060);
	assert_int_equal(trace_alloc(&trace, MESSAGES, BYTES), 0);
	len = message(buf, sizeof(buf), 1, 10);
	trace_add(trace, true, SIP_TRANSP_UDP, &sa, &sa, (const uint8_t *)buf, len);
	len = message(buf, sizeof(buf), 2, BYTES);
	trace_add(trace, true, SIP_TRANSP_UDP, &sa, &sa, (const uint8_t *)buf, len);
	trace_add(trace, true, SIP_TRANSP_UDP, &sa, &sa, (const uint8_t *)"\r\n\r\n", 4);
	text = text_of(trace, 1);
	assert_non_null(strstr(text, "Call-ID: c1@x"));
	free(text);
	text = text_of(trace, 2);
	assert_string_equal(text, "");
	free(text);
	mem_deref(trace);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_messages_are_kept_whole),
		cmocka_unit_test(what_does_not_fit_or_has_no_call_id_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
