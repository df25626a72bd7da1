/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sodium.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/re.h"
#include "sip/digest.h"

#define WALL 1700000000000000ll

static const struct pl method = PL("REGISTER");

struct keys {
	uint8_t md5[16], sha256[32];
};

static void make_keys(struct keys *keys, const char *text)
{
	md5((const uint8_t *)text, strlen(text), keys->md5);
	crypto_hash_sha256(keys->sha256, (const uint8_t *)text, strlen(text));
}

/* RFC 7616 section 3.9.1 */
static void vectors_of_rfc_7616(void **state)
{
	const struct pl get = PL("GET");
	struct digest_creds creds = {
		.uri = PL("/dir/index.html"),
		.nonce = PL("7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"),
		.nc = PL("00000001"),
		.cnonce = PL("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
		.qop = PL("auth"),
	};
	struct keys keys;
	char buf[65];

	(void)state;
	make_keys(&keys, "Mufasa:http-auth@example.org:Circle of Life");
	assert_int_equal(digest_response(buf, DIGEST_MD5, keys.md5, &get, &creds), 0);
	assert_string_equal(buf, "8ca523f5e9506fed4657c9700eebdbec");
	assert_int_equal(digest_response(buf, DIGEST_SHA256, keys.sha256, &get, &creds), 0);
	assert_string_equal(buf, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
}

/* RFC 2617 without qop, as RFC 2069 had it: the formula of RFC 2617 section 3.2.2.1. */
static void no_qop_is_the_old_formula(void **state)
{
	const struct pl get = PL("GET");
	struct digest_creds creds = { .uri = PL("/dir/index.html"),
		.nonce = PL("dcd98b7102dd2f0e8b11d0f600bfb0c093") };
	struct keys keys;
	char buf[65];

	(void)state;
	make_keys(&keys, "Mufasa:testrealm@host.com:Circle Of Life");
	assert_int_equal(digest_response(buf, DIGEST_MD5, keys.md5, &get, &creds), 0);
	assert_string_equal(buf, "670fd8c2df070c60b045671b8b24ff02");
}

static void parse(struct digest_creds *creds, const char *text, int want)
{
	struct pl pl;

	pl_set_str(&pl, text);
	assert_int_equal(digest_parse(creds, &pl), want);
}

static void header_is_parsed_as_phones_write_it(void **state)
{
	struct digest_creds creds;

	(void)state;
	parse(&creds, "Digest username=\"a\\\"b\" ,realm=\"r, x\",nonce=\"n\", uri=\"sip:x;y=z\",\r\n "
		      "response=\"aa\", algorithm=sha-256, qop=auth, nc=1, cnonce=\"\\\\\", opaque=\"\"",
	      0);
	assert_int_equal(pl_strcmp(&creds.username, "a\\\"b"), 0);
	assert_int_equal(pl_strcmp(&creds.realm, "r, x"), 0);
	assert_int_equal(pl_strcmp(&creds.uri, "sip:x;y=z"), 0);
	assert_int_equal(pl_strcmp(&creds.cnonce, "\\\\"), 0);
	assert_int_equal(creds.alg, DIGEST_SHA256);
	parse(&creds, "digest username=a,nonce=b,uri=c,response=d", 0);
	assert_int_equal(creds.alg, DIGEST_MD5);
	parse(&creds, "Digest username=a,nonce=b,uri=c,response=d,algorithm=MD5-sess", 0);
	assert_int_equal(creds.alg, DIGEST_NONE);
}

static void broken_header_is_refused(void **state)
{
	static const char *const broken[] = {
		"", "Digest", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Digest username",
		"Digest username=", "Digest =\"x\"", "Digest username=\"a", "Digest username=\"a\\",
		"Digest username=a,nonce=b,uri=c", "Digest username=a,nonce=b,uri=c,response=d,qop=auth",
		"Digest username=a,nonce=b,uri=c,response=d,qop=auth,nc=1", "Digest ,,,,",
	};
	struct digest_creds creds;
	char text[4096];

	(void)state;
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		parse(&creds, broken[i], -EBADMSG);
	snprintf(text, sizeof(text), "Digest username=\"%02000d\",nonce=b,uri=c,response=d", 0);
	parse(&creds, text, -EBADMSG);
}

/* ------------------------------------------------------------------ nonces */

struct client {
	struct digest *digest;
	struct keys keys;
	char nonce[128], nc[16], response[65];
	struct digest_creds creds;
};

static void get_nonce(struct client *c)
{
	char buf[DIGEST_CHALLENGE_MAX];

	assert_int_equal(digest_challenge(c->digest, buf, sizeof(buf), "r", DIGEST_OFFER_MD5_FIRST, false),
			 0);
	assert_int_equal(sscanf(strstr(buf, "nonce="), "nonce=\"%127[^\"]\"", c->nonce), 1);
}

static enum digest_verdict answer(struct client *c, enum digest_alg alg, const char *password,
				  unsigned nc, bool known)
{
	char text[64];
	struct keys mine;

	snprintf(text, sizeof(text), "u:r:%s", password);
	make_keys(&mine, text);
	c->creds = (struct digest_creds){ .alg = alg, .uri = PL("sip:x") };
	pl_set_str(&c->creds.nonce, c->nonce);
	if (nc) {
		snprintf(c->nc, sizeof(c->nc), "%08x", nc);
		pl_set_str(&c->creds.nc, c->nc);
		c->creds.cnonce = (struct pl)PL("c");
		c->creds.qop = (struct pl)PL("auth");
	}
	assert_int_equal(digest_response(c->response, alg,
					 alg == DIGEST_SHA256 ? mine.sha256 : mine.md5, &method,
					 &c->creds),
			 0);
	pl_set_str(&c->creds.response, c->response);
	return digest_verify(c->digest, &c->creds, &method, c->keys.md5, c->keys.sha256, known);
}

static int setup(void **state)
{
	struct client *c = calloc(1, sizeof(*c));

	clk_drive(WALL);
	assert_int_equal(digest_alloc(&c->digest), 0);
	make_keys(&c->keys, "u:r:pw");
	get_nonce(c);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct client *c = *state;

	mem_deref(c->digest);
	clk_release();
	free(c);
	return 0;
}

static void right_password_passes_with_both_algorithms(void **state)
{
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 1, true), DIGEST_OK);
	assert_int_equal(answer(*state, DIGEST_SHA256, "pw", 2, true), DIGEST_OK);
}

static void wrong_password_and_unknown_account_are_alike(void **state)
{
	assert_int_equal(answer(*state, DIGEST_MD5, "pX", 1, true), DIGEST_WRONG);
	assert_int_equal(answer(*state, DIGEST_SHA256, "pX", 1, true), DIGEST_WRONG);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 1, false), DIGEST_WRONG);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 1, true), DIGEST_OK); /* none used it up */
}

static void used_counter_is_stale(void **state)
{
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 1, true), DIGEST_OK);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 1, true), DIGEST_STALE);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 5, true), DIGEST_OK);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 3, true), DIGEST_OK); /* came late */
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 3, true), DIGEST_STALE);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 5, true), DIGEST_STALE);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 1000, true), DIGEST_OK);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 4, true), DIGEST_STALE); /* too late */
}

static void without_qop_a_nonce_serves_once(void **state)
{
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 0, true), DIGEST_OK);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 0, true), DIGEST_STALE);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 1, true), DIGEST_STALE);
	get_nonce(*state);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 0, true), DIGEST_OK);
}

static void old_nonce_is_stale(void **state)
{
	clk_advance_ms(DIGEST_NONCE_MS);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 1, true), DIGEST_OK);
	clk_advance_ms(2);
	assert_int_equal(answer(*state, DIGEST_MD5, "pw", 2, true), DIGEST_STALE);
	assert_int_equal(answer(*state, DIGEST_MD5, "pX", 2, true), DIGEST_RETRY);
}

/* A restart makes another secret: phones are asked again with stale=true and nobody is refused. */
static void nonce_of_another_run_is_stale(void **state)
{
	struct client *c = *state;

	mem_deref(c->digest);
	assert_int_equal(digest_alloc(&c->digest), 0);
	assert_int_equal(answer(c, DIGEST_MD5, "pw", 1, true), DIGEST_STALE);
	assert_int_equal(answer(c, DIGEST_MD5, "pX", 1, true), DIGEST_RETRY);
	c->nonce[3] ^= 1;
	assert_int_equal(answer(c, DIGEST_MD5, "pw", 1, true), DIGEST_STALE);
	strcpy(c->nonce, "short");
	assert_int_equal(answer(c, DIGEST_MD5, "pw", 1, true), DIGEST_STALE);
}

/* A nonce whose counters were forgotten for want of room never passes again. */
static void replay_after_eviction_is_stale(void **state)
{
	struct client *c = *state;
	char first[128];

	assert_int_equal(answer(c, DIGEST_MD5, "pw", 1, true), DIGEST_OK);
	strcpy(first, c->nonce);
	for (unsigned i = 0; i < 400000; i++) {
		get_nonce(c);
		if (i % 1000 == 0)
			clk_advance_ms(1);
		if (answer(c, DIGEST_MD5, "pw", 1, true) != DIGEST_OK)
			continue; /* an unlucky bucket asks again; never the other way round */
	}
	strcpy(c->nonce, first);
	assert_int_equal(answer(c, DIGEST_MD5, "pw", 1, true), DIGEST_STALE);
}

static void other_algorithms_and_auth_int_are_asked_again(void **state)
{
	struct client *c = *state;

	assert_int_equal(answer(c, DIGEST_MD5, "pw", 1, true), DIGEST_OK);
	c->creds.alg = DIGEST_NONE;
	assert_int_equal(digest_verify(c->digest, &c->creds, &method, c->keys.md5, c->keys.sha256, true),
			 DIGEST_RETRY);
	c->creds.alg = DIGEST_MD5;
	c->creds.qop = (struct pl)PL("auth-int");
	assert_int_equal(digest_verify(c->digest, &c->creds, &method, c->keys.md5, c->keys.sha256, true),
			 DIGEST_RETRY);
	c->creds.qop = (struct pl)PL("auth");
	c->creds.response.l = 31;
	assert_int_equal(digest_verify(c->digest, &c->creds, &method, c->keys.md5, c->keys.sha256, true),
			 DIGEST_WRONG);
}

static void capitals_in_the_response_pass(void **state)
{
	struct client *c = *state;
	char upper[65];

	(void)answer(c, DIGEST_MD5, "pw", 7, true);
	get_nonce(c);
	(void)answer(c, DIGEST_MD5, "pw", 1, false);
	for (size_t i = 0; i <= strlen(c->response); i++)
		upper[i] = c->response[i] >= 'a' ? (char)(c->response[i] - 32) : c->response[i];
	pl_set_str(&c->creds.response, upper);
	assert_int_equal(digest_verify(c->digest, &c->creds, &method, c->keys.md5, c->keys.sha256, true),
			 DIGEST_OK);
}

static void md5_after_sha256_is_a_downgrade(void **state)
{
	struct client *c = *state;
	struct digest_phone phone = { .account_id = 7, .user_agent = PL("Desk 1"),
		.ha1_sha256 = c->keys.sha256 }, other;
	struct keys keys;

	assert_false(digest_is_downgrade(c->digest, &phone, DIGEST_MD5));
	digest_remember(c->digest, &phone, DIGEST_MD5);
	assert_false(digest_is_downgrade(c->digest, &phone, DIGEST_MD5));
	digest_remember(c->digest, &phone, DIGEST_SHA256);
	assert_true(digest_is_downgrade(c->digest, &phone, DIGEST_MD5));
	assert_false(digest_is_downgrade(c->digest, &phone, DIGEST_SHA256));

	other = phone;
	other.account_id = 8;
	assert_false(digest_is_downgrade(c->digest, &other, DIGEST_MD5));
	other = phone;
	other.user_agent = (struct pl)PL("JsSIP 3.10"); /* D-078: shares the account */
	assert_false(digest_is_downgrade(c->digest, &other, DIGEST_MD5));
	other = phone;
	make_keys(&keys, "u:r:new password");
	other.ha1_sha256 = keys.sha256;
	assert_false(digest_is_downgrade(c->digest, &other, DIGEST_MD5));
}

static void challenge_fits_the_user_agent(void **state)
{
	static const struct {
		const char *agent;
		enum digest_offer offer;
	} agents[] = {
		{ "baresip v1.0.0 (x86_64/linux)", DIGEST_OFFER_MD5_ONLY },
		{ "baresip v3.10.1 (x86_64/Linux)", DIGEST_OFFER_MD5_FIRST },
		{ "LinphoneDesktop/4.4 belle-sip/5.1", DIGEST_OFFER_SHA256_FIRST },
		{ "JsSIP 3.10.0", DIGEST_OFFER_MD5_FIRST },
		{ "", DIGEST_OFFER_MD5_FIRST },
	};
	struct client *c = *state;
	char buf[DIGEST_CHALLENGE_MAX];
	struct pl pl;

	for (size_t i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
		pl_set_str(&pl, agents[i].agent);
		assert_int_equal(digest_offer_for(&pl), agents[i].offer);
	}
	assert_int_equal(digest_challenge(c->digest, buf, sizeof(buf), "r", DIGEST_OFFER_SHA256_FIRST, true),
			 0);
	assert_true(strstr(buf, "SHA-256") < strstr(buf, "algorithm=MD5"));
	assert_non_null(strstr(buf, "stale=true"));
	assert_int_equal(digest_challenge(c->digest, buf, sizeof(buf), "r", DIGEST_OFFER_MD5_ONLY, false),
			 0);
	assert_null(strstr(buf, "SHA-256"));
	assert_null(strstr(buf, "stale"));
	assert_int_equal(digest_challenge(c->digest, buf, 40, "r", DIGEST_OFFER_MD5_ONLY, false), -EMSGSIZE);
}

#define T(name, f) { name, f, setup, teardown, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		T("RFC 7616 section 3.9.1 vectors, MD5 and SHA-256", vectors_of_rfc_7616),
		T("without qop the formula of RFC 2069 is used", no_qop_is_the_old_formula),
		T("Authorization is parsed as phones write it", header_is_parsed_as_phones_write_it),
		T("broken Authorization is refused", broken_header_is_refused),
		T("the right password passes with MD5 and SHA-256", right_password_passes_with_both_algorithms),
		T("[D-066] wrong password and unknown account get one verdict",
		  wrong_password_and_unknown_account_are_alike),
		T("a used nonce count is stale", used_counter_is_stale),
		T("without qop a nonce serves once", without_qop_a_nonce_serves_once),
		T("an old nonce is stale", old_nonce_is_stale),
		T("a nonce of another run is stale", nonce_of_another_run_is_stale),
		T("a replay after eviction is stale", replay_after_eviction_is_stale),
		T("other algorithms and auth-int are asked again", other_algorithms_and_auth_int_are_asked_again),
		T("capitals in the response pass", capitals_in_the_response_pass),
		T("MD5 after SHA-256 is a downgrade until the password changes", md5_after_sha256_is_a_downgrade),
		T("the challenge fits the User-Agent", challenge_fits_the_user_agent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
