/* SPDX-License-Identifier: Apache-2.0 */
/* What takes the place of functions of libre, against those: the same answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/re.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS   4000
#define MAX_ARGS 10

typedef int(regex_h)(const char *ptr, size_t len, const char *expr, ...);
typedef int(param_h)(const struct pl *pl, const char *name, struct pl *val);
typedef int(ntop_h)(const struct sa *sa, char *buf, int size);

static struct {
	void *lib;
	regex_h *regex;
	param_h *decode, *exists;
	ntop_h *ntop;
} theirs;

/* dlsym's void * as a function: ISO C knows no cast for it. */
static void take(void *to, const char *name)
{
	void *at = dlsym(theirs.lib, name);

	assert_non_null(at);
	memcpy(to, &at, sizeof(at));
}

static int setup(void **state)
{
	(void)state;
	theirs.lib = dlopen("libre.so.0", RTLD_NOW | RTLD_NOLOAD);
	if (!theirs.lib)
		theirs.lib = dlopen("libre.so", RTLD_NOW | RTLD_NOLOAD);
	assert_non_null(theirs.lib);
	take(&theirs.regex, "re_regex");
	take(&theirs.decode, "msg_param_decode");
	take(&theirs.exists, "msg_param_exists");
	take(&theirs.ntop, "net_inet_ntop"); /* its sa_ntop() asks this one */
	assert_ptr_not_equal((void *)(uintptr_t)theirs.regex, (void *)(uintptr_t)re_regex);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dlclose(theirs.lib);
	return 0;
}

/* The expressions of libre 1.1.0 that SIP, SDP, STUN and HTTP use, and some of the oddities. */
static const char *const exprs[] = {
	"[~ \t\r\n<]*[ \t\r\n]*<[^>]+>[^]*",
	"[^;]+[^]*",
	"\\[[0-9a-f:]+\\][:]*[0-9]*",
	"[^:]+[:]*[0-9]*",
	"[^:]+:[^@:]*[:]*[^@]*@[^/;? ]+[^;? ]*[^?]*[^]*",
	"[^:]+:[^/;? ]+[^;? ]*[^?]*[^]*",
	";[^;=]+[=]*[^;]*",
	"[?&]1[^=]+=[^&]+",
	"SIP[  \t\r\n]*/[ \t\r\n]*2.0[ \t\r\n]*/[ \t\r\n]*[A-Z]+[ \t\r\n]*[^; \t\r\n]+[ \t\r\n]*[^]*",
	"[0-9]+[ \t\r\n]+[^ \t\r\n]+",
	"[ \t\r\n]*[^ \t\r\n;/]+[ \t\r\n]*/[ \t\r\n]*[^ \t\r\n;]+[^]*",
	"[^ \t\r\n]+ [^ \t\r\n]+ [^\r\n]*[\r]*[\n]1",
	"[a-z]+[ \t\r\n]*=[ \t\r\n]*[~ \t\r\n,]*",
	"[~]+", "[\\]x-]+", "[a-", "@[a", "x@[a]", "[a]", "[a]x", "[^^a]+", "[a-c-e]2", "tag", "\\", "", "[0-9]3[a]*",
	"sip", "[-a]+", "[^~a]+",
};

static void same(const char *expr, const char *text, size_t len)
{
	struct pl a[MAX_ARGS] = { { NULL, 0 } }, b[MAX_ARGS] = { { NULL, 0 } };
	int ours, their;

	ours = re_regex(text, len, expr, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5], &a[6], &a[7],
			&a[8], &a[9]);
	their = theirs.regex(text, len, expr, &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &b[6],
			     &b[7], &b[8], &b[9]);
	if (ours != their || (!ours && memcmp(a, b, sizeof(a))))
		fail_msg("expression \"%s\", text \"%.*s\": %d, libre %d", expr, (int)len, text, ours,
			 their);
}

static const char *const texts[] = {
	"INVITE sip:100@example.com SIP/2.0\r\n",
	"SIP/2.0 200 OK\r\n",
	"SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1;rport",
	"sip / 2.0 / TCP   [2001:db8::1]:5061 ;received=1.2.3.4",
	"\"Anna \\\"B\\\" <x>\" <sip:anna:secret@[::1]:5062;transport=tls?x=y>;tag=a1;q=\"a;b\"",
	"<sips:100@pbx.example.com>",
	"sip:100@host;tag=1",
	"tel:+39055123;phone-context=a",
	"sip:host:99999/path;a=b?c=d&e=f",
	"1 INVITE", "  application/sdp ; charset=utf-8", ";tag=1;Tag = 2 ;lr;x=\"\";y=\" z\"",
	"[fe80::1]:5060", "\"", "\\", "a-b-c]x-", "^a", "~~~", "123abc", "aabbcc",
};

static void same_answers_as_libre(void **state)
{
	(void)state;
	for (size_t e = 0; e < ARRAY_SIZE(exprs); e++) {
		for (size_t t = 0; t < ARRAY_SIZE(texts); t++) {
			for (size_t from = 0; from <= strlen(texts[t]); from++)
				same(exprs[e], texts[t] + from, strlen(texts[t] + from));
		}
	}
}

/* A text of one of the above with a few bytes changed, or of characters that mean something. */
static size_t odd_text(char *buf, size_t size)
{
	static const char chars[] = "\"\\<>;:@=?&[]/ \t\r\n,.-^~aAzZ09tagsip\x80\xff";
	size_t len = (size_t)rand() % size;
	const char *from = texts[(size_t)rand() % ARRAY_SIZE(texts)];

	if (rand() % 2) {
		len = strlen(from) < size ? strlen(from) : size;
		memcpy(buf, from, len);
		for (int i = rand() % 4; i > 0 && len; i--)
			buf[(size_t)rand() % len] = chars[(size_t)rand() % (sizeof(chars) - 1)];
	} else {
		for (size_t i = 0; i < len; i++)
			buf[i] = chars[(size_t)rand() % (sizeof(chars) - 1)];
	}
	return len;
}

static void same_answers_for_odd_texts(void **state)
{
	char buf[96];

	(void)state;
	srand(1);
	for (int i = 0; i < ROUNDS; i++) {
		const size_t len = odd_text(buf, sizeof(buf));

		for (size_t e = 0; e < ARRAY_SIZE(exprs); e++)
			same(exprs[e], buf, len);
	}
}

/* The same place, another text: libre prints some of its expressions into a buffer on the stack. */
static void an_expression_may_change_in_its_place(void **state)
{
	char expr[32];

	(void)state;
	for (int i = 0; i < 300; i++) {
		(void)re_snprintf(expr, sizeof(expr), "x%d=[0-9]+", i);
		same(expr, "x1=5 x2=6 x17=8 x299=7", 22);
	}
}

static void same_param(const char *name, const char *text, size_t len)
{
	const struct pl pl = { text, len };
	struct pl a[2] = { { NULL, 0 } }, b[2] = { { NULL, 0 } };

	if (msg_param_decode(&pl, name, &a[0]) != theirs.decode(&pl, name, &b[0]) ||
	    msg_param_exists(&pl, name, &a[1]) != theirs.exists(&pl, name, &b[1]) ||
	    memcmp(a, b, sizeof(a)))
		fail_msg("parameter \"%s\" of \"%.*s\"", name, (int)len, text);
}

static void same_parameters_as_libre(void **state)
{
	static const char *const names[] = { "tag", "branch", "x", "rport", "lr", "q", "s" };
	char buf[96];

	(void)state;
	srand(2);
	for (int i = 0; i < 4 * ROUNDS; i++) {
		const size_t len = odd_text(buf, sizeof(buf));

		for (size_t n = 0; n < ARRAY_SIZE(names); n++)
			same_param(names[n], buf, len);
	}
	for (size_t t = 0; t < ARRAY_SIZE(texts); t++) {
		for (size_t n = 0; n < ARRAY_SIZE(names); n++)
			same_param(names[n], texts[t], strlen(texts[t]));
	}
	same_param("tag", NULL, 0);
}

static void same_addresses_as_libre(void **state)
{
	static const char *const addrs[] = { "0.0.0.0", "255.255.255.255", "10.20.103.4", "1.99.100.0",
					     "::", "::ffff:10.0.0.1", "2001:db8::1:0:0:1" };
	char a[64], b[64];
	struct sa sa;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(addrs); i++) {
		assert_int_equal(sa_set_str(&sa, addrs[i], 5060), 0);
		assert_int_equal(sa_ntop(&sa, a, sizeof(a)), 0);
		assert_int_equal(theirs.ntop(&sa, b, sizeof(b)), 0);
		assert_string_equal(a, b);
		assert_int_equal(sa_ntop(&sa, a, 3), strlen(b) < 3 ? 0 : ENOSPC);
	}
	assert_int_equal(sa_ntop(NULL, a, sizeof(a)), EINVAL);
	sa_init(&sa, AF_UNSPEC);
	assert_int_equal(sa_ntop(&sa, a, sizeof(a)), EAFNOSUPPORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_answers_as_libre),
		cmocka_unit_test(same_answers_for_odd_texts),
		cmocka_unit_test(an_expression_may_change_in_its_place),
		cmocka_unit_test(same_parameters_as_libre),
		cmocka_unit_test(same_addresses_as_libre),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
