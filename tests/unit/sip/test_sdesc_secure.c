/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "sip/sdesc_secure.h"

#define KEY30 "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5"
#define PRINT256                                                                                   \
	"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:" \
	"ff"

static struct sdesc_secure read_line(const char *session, const char *lines)
{
	struct sdesc_secure ret;
	struct sdesc *desc = NULL;
	char text[4096];

	(void)snprintf(text, sizeof(text),
		       "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n%s"
		       "m=audio 5004 RTP/SAVP 8\r\n%s",
		       session, lines);
	assert_int_equal(sdesc_parse(&desc, text, strlen(text)), 0);
	sdesc_secure_parse(&ret, desc, 0);
	mem_deref(desc);
	return ret;
}

static void keys_that_we_can_use_are_read(void **state)
{
	struct sdesc_secure said = read_line("",
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "\r\n"
		"a=crypto:2 aes_cm_128_hmac_sha1_32 inline:" KEY30 "|2^31 WSH=64\r\n"
		"a=crypto:3 AES_256_CM_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4"
		"OTAxMjM0NQ==\r\n");

	assert_int_equal(said.n_crypto, 3);
	assert_int_equal(said.crypto[0].tag, 1);
	assert_int_equal(said.crypto[0].suite, SDESC_AES_CM_128_HMAC_SHA1_80);
	assert_memory_equal(said.crypto[0].key, "012345678901234567890123456789", 30);
	assert_int_equal(said.crypto[1].suite, SDESC_AES_CM_128_HMAC_SHA1_32);
	assert_int_equal(said.crypto[2].suite, SDESC_AES_256_CM_HMAC_SHA1_80);
}

/* RFC 4568 section 7.1.2: who does not understand a part of the line must not take the line. */
static void keys_that_we_cannot_use_are_left_out(void **state)
{
	static const char *const bad[] = {
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 " UNENCRYPTED_SRTP",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 " KDR=1",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 "|2^20|1:4",
		"1 AES_CM_128_HMAC_SHA1_80 inline:" KEY30 ";inline:" KEY30,
		"1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1",
		"1 AES_CM_128_HMAC_SHA1_80 inline:",
		"1 AES_CM_128_HMAC_SHA1_80 plain:" KEY30,
		"1 F8_128_HMAC_SHA1_80 inline:" KEY30,
		"x AES_CM_128_HMAC_SHA1_80 inline:" KEY30,
		"1 AES_CM_128_HMAC_SHA1_80",
		"",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char line[256];

		(void)snprintf(line, sizeof(line), "a=crypto:%s\r\n", bad[i]);
		assert_int_equal(read_line("", line).n_crypto, 0);
	}
}

static void fingerprint_and_credentials_may_stand_above(void **state)
{
	struct sdesc_secure said = read_line(
		"a=fingerprint:sha-256 " PRINT256 "\r\na=setup:actpass\r\na=ice-ufrag:abcd\r\n"
		"a=ice-pwd:0123456789012345678901\r\na=ice-lite\r\n", "a=mid:audio\r\n");

	assert_true(said.has_fingerprint);
	assert_int_equal(said.hash, SDESC_SHA_256);
	assert_int_equal(said.fingerprint[1], 0x11);
	assert_int_equal(said.fingerprint[31], 0xff);
	assert_int_equal(said.setup, SDESC_ACTPASS);
	assert_string_equal(said.ufrag, "abcd");
	assert_true(said.ice_lite);
	assert_string_equal(said.mid, "audio");

	/* The line's own count more; half of the credentials are none. */
	said = read_line("a=ice-ufrag:abcd\r\na=setup:actpass\r\n", "a=setup:active\r\n");
	assert_int_equal(said.setup, SDESC_ACTIVE);
	assert_string_equal(said.ufrag, "");
	assert_false(said.has_fingerprint);
	assert_false(read_line("", "a=fingerprint:sha-256 00:11\r\n").has_fingerprint);
	assert_false(read_line("", "a=fingerprint:md5 00:11\r\n").has_fingerprint);
}

static void candidates_with_an_address_are_read(void **state)
{
	struct sdesc_secure said = read_line("",
		"a=candidate:1 1 UDP 2113937151 192.0.2.7 5004 typ host\r\n"
		"a=candidate:1 2 udp 2113937150 2001:db8::1 5005 typ host generation 0\r\n"
		"a=candidate:2 1 udp 1 5d9a.local 5004 typ host\r\n"
		"a=candidate:3 1 tcp 1 192.0.2.7 9 typ host tcptype active\r\n"
		"a=candidate:4 3 udp 1 192.0.2.7 5004 typ host\r\n"
		"a=candidate:5 1 udp 4294967296 192.0.2.7 5004 typ host\r\n"
		"a=candidate:6 1 udp\r\n");

	assert_int_equal(said.n_candidates, 2);
	assert_int_equal(said.candidates[0].priority, 2113937151);
	assert_int_equal(sa_port(&said.candidates[0].addr), 5004);
	assert_int_equal(said.candidates[1].component, 2);
	assert_int_equal(sa_af(&said.candidates[1].addr), AF_INET6);
}

static void what_we_print_we_can_read(void **state)
{
	struct sdesc_crypto crypto = { .tag = 4, .suite = SDESC_AEAD_AES_256_GCM };
	struct sdesc_candidate candidate = { .priority = 77, .component = 1 };
	struct sdesc_secure said;
	uint8_t fingerprint[32] = { 0xab, 0xcd };
	char text[512] = "";

	memset(crypto.key, 0xa5, 44);
	sa_set_str(&candidate.addr, "192.0.2.9", 4000);
	assert_true(sdesc_put_crypto(text, sizeof(text), &crypto));
	assert_true(sdesc_put_fingerprint(text, sizeof(text), SDESC_SHA_256, fingerprint));
	assert_true(sdesc_put_candidate(text, sizeof(text), &candidate, 1, "host"));
	assert_true(sdesc_put_attr(text, sizeof(text), "setup", "passive"));

	said = read_line("", text);
	assert_int_equal(said.n_crypto, 1);
	assert_int_equal(said.crypto[0].tag, 4);
	assert_memory_equal(said.crypto[0].key, crypto.key, 44);
	assert_memory_equal(said.fingerprint, fingerprint, 32);
	assert_int_equal(said.setup, SDESC_PASSIVE);
	assert_int_equal(said.n_candidates, 1);
	assert_true(sa_cmp(&said.candidates[0].addr, &candidate.addr, SA_ALL));

	/* No room leaves what was there. */
	assert_false(sdesc_put_attr(text, strlen(text) + 4, "setup", "passive"));
	assert_int_equal(read_line("", text).n_crypto, 1);
}

static void each_hop_has_its_own(void **state)
{
	static const char offer[] =
		"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
		"a=group:BUNDLE 0\r\na=msid-semantic: WMS *\r\n"
		"m=audio 5004 UDP/TLS/RTP/SAVPF 8\r\na=rtcp-mux\r\na=mid:0\r\na=ice-ufrag:abcd\r\n"
		"a=extmap:2 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
		"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
		"a=rtcp-fb:8 transport-cc\r\na=rtcp-fb:8 nack pli\r\n";
	struct sdesc_hop hop = { .proto = "RTP/SAVP", .text = "a=crypto:1 ours\r\n" };
	const uint16_t port = 4000;
	struct sdesc *desc = NULL;
	struct sa addr;
	char text[2048];

	sa_set_str(&addr, "203.0.113.1", 0);
	assert_int_equal(sdesc_parse(&desc, offer, strlen(offer)), 0);
	assert_true(sdesc_print(desc, text, sizeof(text),
				&(struct sdesc_print_opts){ .addr = &addr, .ports = &port, .hops = &hop,
							    .session_text = "a=ice-lite\r\n" }) > 0);
	mem_deref(desc);
	assert_string_equal(strstr(text, "t=0 0"),
			    "t=0 0\r\na=ice-lite\r\nm=audio 4000 RTP/SAVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
			    "a=crypto:1 ours\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
			    "a=rtcp-fb:8 nack pli\r\na=sendrecv\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_that_we_can_use_are_read),
		cmocka_unit_test(keys_that_we_cannot_use_are_left_out),
		cmocka_unit_test(fingerprint_and_credentials_may_stand_above),
		cmocka_unit_test(candidates_with_an_address_are_read),
		cmocka_unit_test(what_we_print_we_can_read),
		cmocka_unit_test(each_hop_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
