/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "web/xauth.h"

#define TV1_HEADER                                                                                 \
	"RestApiUsernameToken Username=\"admin\", Domain=\"default\", "                            \
	"Digest=\"+PJg7Tb3v98XnL6iJVv+v5hwhYjdzQ2tIWxvJB2cE40=\", "                                \
	"Nonce=\"bfb79078ff44c35714af28b7412a702b\", Created=\"2016-04-29T15:48:26Z\""
#define TV1_TIME 1461944906

static int parse(struct xauth *auth, const char *text)
{
	return xauth_parse(auth, text, strlen(text));
}

static void header_as_printed(void **state)
{
	struct xauth auth;

	assert_int_equal(parse(&auth, TV1_HEADER), 0);
	assert_string_equal(auth.username, "admin");
	assert_string_equal(auth.domain, "default");
	assert_string_equal(auth.digest, "+PJg7Tb3v98XnL6iJVv+v5hwhYjdzQ2tIWxvJB2cE40=");
	assert_string_equal(auth.nonce, "bfb79078ff44c35714af28b7412a702b");
	assert_string_equal(auth.created, "2016-04-29T15:48:26Z");
	assert_int_equal(auth.created_s, TV1_TIME);
}

static void order_and_white_space_are_free(void **state)
{
	struct xauth auth;

	assert_int_equal(parse(&auth, "  RestApiUsernameToken Created=\"2016-04-29T15:48:26Z\","
				      "Nonce = \"0011223344556677\" ,\tdomain=\"\", extra=\"x\","
				      "Digest=\"+PJg7Tb3v98XnL6iJVv+v5hwhYjdzQ2tIWxvJB2cE40=\" "
				      "username=\"mario rossi\"  "), 0);
	assert_string_equal(auth.username, "mario rossi");
	assert_string_equal(auth.domain, "");
	assert_true(xauth_is_machine_domain(auth.domain));
	assert_true(xauth_is_machine_domain("pbxAdmin"));
	assert_true(xauth_is_machine_domain("PBXADMIN"));
	assert_false(xauth_is_machine_domain("default"));
}

/* Each line breaks one rule of the grammar. */
static void malformed_headers_are_refused(void **state)
{
	static const char digest[] = "Digest=\"+PJg7Tb3v98XnL6iJVv+v5hwhYjdzQ2tIWxvJB2cE40=\"";
	static const char *const users[] = { "Username=\"\"", "Username=\"a@b\"", "Username=\"a",
					     "Username", "Username=a", "", "Username=\"a\", Username=\"a\"",
					     "Username=\"a\x01\"" };
	static const char *const nonces[] = { "Nonce=\"1234567\"", "Nonce=\"0123456g\"", "Nonce=\"\"", "" };
	static const char *const times[] = { "2016-04-29 15:48:26Z", "2016-04-29T15:48:26", "2016-4-29T15:48:26Z",
					     "2016-04-31T15:48:26Z", "2016-13-01T00:00:00Z",
					     "2016-04-29T25:48:26Z", "2016-04-29T15:48:26+00:00",
					     "2016-04-29T15:48:26.5Z", "" };
	struct xauth auth;
	char text[1024];

	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		snprintf(text, sizeof(text), "RestApiUsernameToken %s, Domain=\"d\", %s, Nonce=\"12345678\", "
			 "Created=\"2016-04-29T15:48:26Z\"", users[i], digest);
		assert_int_equal(parse(&auth, text), -EINVAL);
	}
	for (size_t i = 0; i < sizeof(nonces) / sizeof(nonces[0]); i++) {
		snprintf(text, sizeof(text), "RestApiUsernameToken Username=\"a\", Domain=\"d\", %s, %s, "
			 "Created=\"2016-04-29T15:48:26Z\"", digest, nonces[i]);
		assert_int_equal(parse(&auth, text), -EINVAL);
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		snprintf(text, sizeof(text), "RestApiUsernameToken Username=\"a\", Domain=\"d\", %s, "
			 "Nonce=\"12345678\", Created=\"%s\"", digest, times[i]);
		assert_int_equal(parse(&auth, text), -EINVAL);
	}
	assert_int_equal(parse(&auth, ""), -EINVAL);
	assert_int_equal(parse(&auth, "RestApiUsernameToken"), -EINVAL);
	assert_int_equal(parse(&auth, "Basic YTpi"), -EINVAL);
	memset(text, 'a', sizeof(text));
	assert_int_equal(xauth_parse(&auth, text, sizeof(text)), -EINVAL);
}

struct vector {
	const char *password, *salt, *hex, *nonce, *user, *domain, *created, *digest;
};

/* TV-1 to TV-4 of API-07. */
static const struct vector vectors[] = {
	{ "admin", "b5a8fdcf2f8d5acdad33c4a072a97d7a",
	  "dd7b0be7fa37d6cbaf0b842bf7532f229cb79ab8d54d509c2aa7eea27a53cd5e",
	  "bfb79078ff44c35714af28b7412a702b", "admin", "default", "2016-04-29T15:48:26Z",
	  "+PJg7Tb3v98XnL6iJVv+v5hwhYjdzQ2tIWxvJB2cE40=" },
	{ "Segreto-2024!", "00112233445566778899aabbccddeeff",
	  "cf09840856e0753f70b0a6d8adf190176bc8d571ad640cdea58934e41b5b605f", "0011223344556677",
	  "mario.rossi", "sampledomain", "2024-03-21T08:00:00Z",
	  "/ZPyXxi2kVSjncUkxLvJXpmd7uf0X894zvP8733pkiA=" },
	{ "caff\xc3\xa8", "00112233445566778899aabbccddeeff",
	  "8ad3a5199d4116672f1e175dd358e3fc0eb16378dcad76363bd80d72cd1f80d5", "0011223344556677",
	  "mario.rossi", "sampledomain", "2024-03-21T08:00:00Z",
	  "T0bNsYujuifCgw6z9wHHUZdVuyd867Izw/B7KVyxv4Y=" },
};

static void digest_vectors(void **state)
{
	char hex[XAUTH_HEX_BYTES], digest[XAUTH_DIGEST_BYTES];

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];

		xauth_digest_password(hex, v->password, v->salt);
		assert_string_equal(hex, v->hex);
		xauth_digest(digest, v->nonce, hex, v->user, v->domain, v->created);
		assert_string_equal(digest, v->digest);
	}
}

/* The salt as printed in the source has 30 characters and gives another hash. */
static void misprinted_salt_is_a_negative_vector(void **state)
{
	char hex[XAUTH_HEX_BYTES];

	xauth_digest_password(hex, "admin", "b5a8fdcf2f8d5acd33c4a072a97d7a");
	assert_string_equal(hex, "e5ea128e4c586d59c02bdca61da015648f0ec85afd9fbf6f389c269b51bcacb5");
	assert_false(xauth_equal(hex, vectors[0].hex));
}

static void five_minutes_either_way(void **state)
{
	struct xauth auth;

	assert_int_equal(parse(&auth, TV1_HEADER), 0);
	assert_true(xauth_in_window(&auth, TV1_TIME));
	assert_true(xauth_in_window(&auth, TV1_TIME + 300));
	assert_true(xauth_in_window(&auth, TV1_TIME - 300));
	assert_false(xauth_in_window(&auth, TV1_TIME + 301));
	assert_false(xauth_in_window(&auth, TV1_TIME - 301));
}

static void a_nonce_is_used_once(void **state)
{
	struct xauth_nonces *store = NULL;

	assert_int_equal(xauth_nonces_alloc(&store, NULL), 0);
	assert_int_equal(xauth_nonces_use(store, 1, "0011223344556677", 1000, 1000), 0);
	assert_int_equal(xauth_nonces_use(store, 1, "0011223344556677", 1000, 1001), -EDUPLICATE);
	/* Another user's nonces are his own. */
	assert_int_equal(xauth_nonces_use(store, 2, "0011223344556677", 1000, 1001), 0);
	/* Kept until max(received, Created) + 5 minutes: a Created in the future keeps it longer. */
	assert_int_equal(xauth_nonces_use(store, 1, "8899aabbccddeeff", 1300, 1000), 0);
	assert_int_equal(xauth_nonces_use(store, 1, "8899aabbccddeeff", 1300, 1600), -EDUPLICATE);
	assert_int_equal(xauth_nonces_use(store, 1, "8899aabbccddeeff", 1601, 1601), 0);
	xauth_nonces_free(store);
}

static void memory_follows_what_is_valid(void **state)
{
	struct xauth_nonces *store = NULL;
	char nonce[24];

	assert_int_equal(xauth_nonces_alloc(&store, NULL), 0);
	for (int round = 0; round < 5; round++) {
		int64_t now = 10000 + round * 1000;

		for (int i = 0; i < 20000; i++) {
			snprintf(nonce, sizeof(nonce), "%08x%08x", round, i);
			assert_int_equal(xauth_nonces_use(store, 1, nonce, now, now), 0);
		}
		for (int i = 0; i < 20000; i += 97) {
			snprintf(nonce, sizeof(nonce), "%08x%08x", round, i);
			assert_int_equal(xauth_nonces_use(store, 1, nonce, now, now), -EDUPLICATE);
		}
	}
	/* 100,000 were used; the expired ones went when room was needed. */
	assert_true(xauth_nonces_count(store) < 60000);
	xauth_nonces_free(store);
}

static void a_restart_forgets_no_nonce(void **state)
{
	char path[] = "/tmp/aoide-nonces-XXXXXX";
	struct xauth_nonces *store = NULL;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(xauth_nonces_alloc(&store, path), 0);
	assert_int_equal(xauth_nonces_use(store, 1, "0011223344556677", 1000, 1000), 0);
	xauth_nonces_free(store);
	assert_int_equal(xauth_nonces_alloc(&store, path), 0);
	assert_int_equal(xauth_nonces_use(store, 1, "0011223344556677", 1000, 1010), -EDUPLICATE);
	assert_int_equal(xauth_nonces_use(store, 1, "0011223344556678", 1000, 1010), 0);
	xauth_nonces_free(store);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{ .name = "[API-02] the header as printed is read", .test_func = header_as_printed },
		{ .name = "[PUB-02] order, white space and unknown parameters are free, Domain may be empty",
		  .test_func = order_and_white_space_are_free },
		{ .name = "[API-02] malformed headers are refused",
		  .test_func = malformed_headers_are_refused },
		{ .name = "[API-04] [API-05] [API-07] vectors TV-1 to TV-4",
		  .test_func = digest_vectors },
		{ .name = "[API-07] the misprinted salt gives another hash",
		  .test_func = misprinted_salt_is_a_negative_vector },
		{ .name = "[API-06] Created within five minutes either way",
		  .test_func = five_minutes_either_way },
		{ .name = "[API-06] a nonce is used once", .test_func = a_nonce_is_used_once },
		{ .name = "[API-06] the memory for nonces is bounded by what is valid",
		  .test_func = memory_follows_what_is_valid },
		{ .name = "[API-06] a restart forgets no nonce", .test_func = a_restart_forgets_no_nonce },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
