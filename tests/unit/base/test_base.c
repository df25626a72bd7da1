/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/iface.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/seal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------ err */

static void an_error_has_a_text_whatever_its_sign(void **state)
{
	(void)state;
	assert_string_equal(err_text(0), "success");
	assert_string_equal(err_text(-EHANGUP), "the party hung up");
	assert_string_equal(err_text(EHANGUP), "the party hung up");
	assert_string_equal(err_text(-ENOENT), "No such file or directory");
	assert_string_equal(err_text(-99999), "unknown error");
}

static void codes_of_libre_change_their_sign(void **state)
{
	(void)state;
	assert_int_equal(err_from_re(0), 0);
	assert_int_equal(err_from_re(ENOMEM), -ENOMEM);
	assert_int_equal(err_from_re(-ENOMEM), -ENOMEM);
	assert_int_equal(err_from_re(217), -EAUTH); /* libre's EAUTH, which Linux does not have */
}

/* ------------------------------------------------------------------ clock */

static void time_stands_still_until_a_test_moves_it(void **state)
{
	char iso[32];
	uint64_t mono;

	(void)state;
	clk_drive(1461944906ll * 1000000);
	mono = clk_mono_ms();
	assert_int_equal(clk_wall_s(), 1461944906);
	clk_advance_ms(2 * 3600 * 1000);
	assert_int_equal(clk_mono_ms() - mono, 7200000);
	assert_string_equal(clk_iso(iso, sizeof(iso), clk_wall_us()), "2016-04-29T17:48:26Z");
	clk_release();
	assert_true(clk_wall_s() > 1700000000);
	assert_string_equal(clk_iso(iso, sizeof(iso), -1), "1969-12-31T23:59:59Z");
}

/* ------------------------------------------------------------------ arena */

static void an_arena_gives_zeroed_aligned_memory_of_any_size(void **state)
{
	struct arena *arena = NULL;
	char *texts[2000];

	(void)state;
	assert_int_equal(arena_alloc(&arena, 100), 0);
	for (size_t i = 0; i < 2000; i++) {
		const size_t size = 1 + i * 37 % 5000;
		char *p = arena_zalloc(arena, size);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t b = 0; b < size; b++)
			assert_int_equal(p[b], 0);
		memset(p, 0xff, size);
		texts[i] = arena_printf(arena, "number %zu", i);
	}
	for (size_t i = 0; i < 2000; i++)
		assert_int_equal(atoi(texts[i] + 7), i);
	assert_non_null(arena_zalloc(arena, 3 * 1024 * 1024)); /* larger than any block */
	assert_null(arena_zalloc(arena, SIZE_MAX - 3));
	assert_null(arena_strdup(arena, NULL));
	assert_string_equal(arena_strndup(arena, "abcdef", 3), "abc");
	assert_true(arena_bytes(arena) > 2000 * 2500);
	arena_free(arena);
	arena_free(NULL);
}

/* ------------------------------------------------------------------ json */

static int parse(const char *text, char *why, size_t size)
{
	json_t *value = NULL;
	const int err = js_parse(&value, text, strlen(text), why, size);

	json_decref(value);
	return err;
}

static void json_from_outside_is_parsed_strictly(void **state)
{
	static const char *const bad[] = { "", "{", "{\"a\":1,\"a\":2}", "{} x", "\"a\\u0000b\"", "[1,]",
					   "{'a':1}", "nul", "\xff" };
	char why[160], deep[1000];

	(void)state;
	assert_int_equal(parse("{\"a\":[1,{\"b\":\"]]]]\"}]}", why, sizeof(why)), 0);
	assert_int_equal(parse("\"text\"", why, sizeof(why)), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(bad[i], why, sizeof(why)), -EINVAL);
		assert_non_null(strstr(why, "line "));
	}

	memset(deep, '[', JS_MAX_DEPTH);
	memset(deep + JS_MAX_DEPTH, ']', JS_MAX_DEPTH);
	deep[2 * JS_MAX_DEPTH] = '\0';
	assert_int_equal(parse(deep, why, sizeof(why)), 0);
	memset(deep, '[', JS_MAX_DEPTH + 1);
	assert_int_equal(parse(deep, NULL, 0), -EMSGSIZE);
}

static void json_members_have_defaults(void **state)
{
	json_t *obj = json_pack("{s:s, s:i, s:b, s:n}", "s", "text", "i", 7, "b", 1, "n");
	char *text;

	(void)state;
	assert_string_equal(js_str(obj, "s", "-"), "text");
	assert_string_equal(js_str(obj, "i", "-"), "-");
	assert_string_equal(js_str(NULL, "i", "-"), "-");
	assert_int_equal(js_int(obj, "i", 0), 7);
	assert_int_equal(js_int(obj, "s", 3), 3);
	assert_true(js_bool(obj, "b", false));
	assert_true(js_bool(obj, "n", true));
	text = js_dump(obj);
	assert_string_equal(text, "{\"s\":\"text\",\"i\":7,\"b\":true,\"n\":null}");
	free(text);
	json_decref(obj);
}

/* ------------------------------------------------------------------ seal */

static char folder[] = "/tmp/aoide-seal-XXXXXX";

static void rewrite_key(const char *text)
{
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/machine.key", folder);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fputs(text, file);
	(void)fclose(file);
}

static void a_sealed_secret_opens_only_whole_in_its_place_and_with_the_key(void **state)
{
	char *sealed = NULL, *again = NULL, *plain = NULL, path[64], key[100] = "";
	struct stat st;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(seal_init(folder), 0);
	(void)snprintf(path, sizeof(path), "%s/machine.key", folder);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	assert_int_equal(seal_close(&sealed, "account.password", "s3cret"), 0);
	assert_int_equal(seal_close(&again, "account.password", "s3cret"), 0);
	assert_string_not_equal(sealed, again); /* a nonce of its own each time */
	assert_int_equal(strncmp(sealed, "s1:", 3), 0);
	assert_null(strstr(sealed, "s3cret"));
	assert_int_equal(seal_open(&plain, "account.password", sealed), 0);
	assert_string_equal(plain, "s3cret");
	free(plain);
	plain = NULL;

	assert_int_equal(seal_open(&plain, "user.totp", sealed), -ECORRUPT); /* moved elsewhere */
	assert_int_equal(seal_open(&plain, "account.password", "s1:"), -ECORRUPT);
	assert_int_equal(seal_open(&plain, "account.password", "s3cret"), -ECORRUPT);
	for (size_t i = 3; i < strlen(sealed); i++) {
		const char was = sealed[i];

		sealed[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(seal_open(&plain, "account.password", sealed), -ECORRUPT);
		sealed[i] = was;
	}
	assert_null(plain);

	/* The same file gives the same key; another one does not open it. */
	assert_int_equal(seal_init(folder), 0);
	assert_int_equal(seal_open(&plain, "account.password", sealed), 0);
	free(plain);
	plain = NULL;
	file = fopen(path, "r");
	assert_non_null(file);
	assert_non_null(fgets(key, sizeof(key), file));
	(void)fclose(file);
	key[0] = key[0] == '0' ? '1' : '0';
	rewrite_key(key);
	assert_int_equal(seal_init(folder), 0);
	assert_int_equal(seal_open(&plain, "account.password", sealed), -ECORRUPT);
	rewrite_key("not a key");
	assert_int_equal(seal_init(folder), -ECORRUPT);

	(void)unlink(path);
	(void)rmdir(folder);
	free(sealed);
	free(again);
}

static void random_text_has_its_length_and_alphabet(void **state)
{
	char a[33], b[33], one[1] = "x";

	(void)state;
	seal_random_hex(a, sizeof(a));
	seal_random_hex(b, sizeof(b));
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_string_not_equal(a, b);
	seal_random_secret(a, 17);
	assert_int_equal(strlen(a), 16);
	assert_int_equal(strcspn(a, "0O1lI"), 16);
	seal_random_secret(one, 1);
	assert_int_equal(one[0], 0);
}

static void an_address_of_this_machine_has_several_names(void **state)
{
	static const char *const loopback[] = { "127.0.0.1", "%lo:0%", "lo:0" };
	struct iface_address found[IFACE_MAX];
	int n;

	(void)state;
	for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++) {
		assert_int_equal(iface_addresses(found, loopback[i]), 1);
		assert_string_equal(found[0].text, "127.0.0.1");
	}
	n = iface_addresses(found, "%lo%");
	assert_true(n == 1 || n == 2); /* with or without IPv6 */
	assert_string_equal(found[0].text, "127.0.0.1");
	assert_int_equal(iface_addresses(found, "0.0.0.0"), 1);
	assert_int_equal(iface_addresses(found, "192.0.2.1"), -EADDRNOTAVAIL);
	assert_int_equal(iface_addresses(found, "2001:db8::1"), -EADDRNOTAVAIL);
	assert_int_equal(iface_addresses(found, "%nosuch0%"), -ENODEV);
	assert_int_equal(iface_addresses(found, "%lo:99%"), -ENODEV);
	assert_int_equal(iface_addresses(found, "%lo:-1%"), -ENODEV);
	assert_int_equal(iface_addresses(found, "%%"), -ENODEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_has_a_text_whatever_its_sign),
		cmocka_unit_test(codes_of_libre_change_their_sign),
		cmocka_unit_test(time_stands_still_until_a_test_moves_it),
		cmocka_unit_test(an_arena_gives_zeroed_aligned_memory_of_any_size),
		cmocka_unit_test(json_from_outside_is_parsed_strictly),
		cmocka_unit_test(json_members_have_defaults),
		cmocka_unit_test(a_sealed_secret_opens_only_whole_in_its_place_and_with_the_key),
		cmocka_unit_test(an_address_of_this_machine_has_several_names),
		cmocka_unit_test(random_text_has_its_length_and_alphabet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
