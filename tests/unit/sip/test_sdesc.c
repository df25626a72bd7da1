/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "sip/sdesc.h"

static const char phone_offer[] = "v=0\r\n"
				  "o=- 3724394400 3724394405 IN IP4 198.51.100.7\r\n"
				  "s=call\r\n"
				  "c=IN IP4 198.51.100.7\r\n"
				  "t=0 0\r\n"
				  "m=audio 49170 RTP/AVP 0 8 9 96 101 13\r\n"
				  "a=rtpmap:96 opus/48000/2\r\n"
				  "a=fmtp:96 useinbandfec=1\r\n"
				  "a=rtpmap:101 telephone-event/8000\r\n"
				  "a=fmtp:101 0-16\r\n"
				  "a=ptime:20\r\n"
				  "a=sendrecv\r\n";

static struct sdesc *parsed(const char *text)
{
	struct sdesc *desc = NULL;

	assert_int_equal(sdesc_parse(&desc, text, strlen(text)), 0);
	return desc;
}

static int parse_error(const char *text)
{
	struct sdesc *desc = NULL;
	const int err = sdesc_parse(&desc, text, strlen(text));

	mem_deref(desc);
	return err;
}

static const char *printed(const struct sdesc *desc, uint16_t port)
{
	static char buf[4096];
	uint16_t ports[SDESC_MAX_MEDIA];
	struct sa addr;

	for (size_t i = 0; i < SDESC_MAX_MEDIA; i++)
		ports[i] = (uint16_t)(port ? port + 2 * i : 0);
	sa_set_str(&addr, "203.0.113.1", 0);
	assert_true(sdesc_print(desc, buf, sizeof(buf),
				&(struct sdesc_print_opts){ .addr = &addr,
							    .origin_id = 7,
							    .origin_version = 9,
							    .ports = ports }) > 0);
	return buf;
}

static void ordinary_offer_is_read(void **state)
{
	struct sdesc *desc = parsed(phone_offer);
	const struct sdesc_media *m = &desc->media[0];

	assert_true(desc->origin_id == 3724394400u && desc->origin_version == 3724394405u);
	assert_int_equal(desc->n_media, 1);
	assert_int_equal(m->kind, SDESC_AUDIO);
	assert_string_equal(m->proto, "RTP/AVP");
	assert_int_equal(m->port, 49170);
	assert_int_equal(sa_port(&m->rtp), 49170);
	assert_int_equal(sa_port(&m->rtcp), 49171);
	assert_int_equal(sa_in(&m->rtp), 0xc6336407);
	assert_int_equal(m->dir, SDESC_SENDRECV);
	assert_int_equal(m->ptime_ms, 20);
	assert_int_equal(m->n_formats, 6);
	assert_string_equal(m->formats[0].name, "PCMU");
	assert_string_equal(m->formats[2].name, "G722");
	assert_int_equal(m->formats[2].clock_hz, 8000);
	assert_string_equal(m->formats[3].name, "opus");
	assert_int_equal(m->formats[3].clock_hz, 48000);
	assert_int_equal(m->formats[3].channels, 2);
	assert_string_equal(m->formats[3].fmtp, "useinbandfec=1");
	assert_string_equal(m->formats[5].name, "CN");
	assert_string_equal(m->formats[4].name, "telephone-event");
	assert_int_equal(m->formats[4].pt, 101);
	assert_string_equal(sdesc_codec(m)->name, "PCMU");
	assert_ptr_equal(sdesc_audio(desc), m);
	mem_deref(desc);
}

static void print_has_our_address_and_ports(void **state)
{
	struct sdesc *desc = parsed(phone_offer);

	assert_string_equal(printed(desc, 10000), "v=0\r\n"
						  "o=- 7 9 IN IP4 203.0.113.1\r\n"
						  "s=-\r\n"
						  "c=IN IP4 203.0.113.1\r\n"
						  "t=0 0\r\n"
						  "m=audio 10000 RTP/AVP 0 8 9 96 101 13\r\n"
						  "a=rtpmap:0 PCMU/8000\r\n"
						  "a=rtpmap:8 PCMA/8000\r\n"
						  "a=rtpmap:9 G722/8000\r\n"
						  "a=rtpmap:96 opus/48000/2\r\n"
						  "a=fmtp:96 useinbandfec=1\r\n"
						  "a=rtpmap:101 telephone-event/8000\r\n"
						  "a=fmtp:101 0-16\r\n"
						  "a=rtpmap:13 CN/8000\r\n"
						  "a=ptime:20\r\n"
						  "a=sendrecv\r\n");
	mem_deref(desc);
}

/* What is printed and read again prints the same: nothing of a description gets lost or doubled. */
static void printed_text_survives_a_second_round(void **state)
{
	static const char *const samples[] = {
		phone_offer,
		"v=0\no=a b c 1 2 IN IP4 h.example\nc=IN IP6 2001:db8::1\nm=audio 4000 RTP/AVP 18\n"
		"a=fmtp:18 annexb=no\na=recvonly\nm=video 0 RTP/AVP 99\n"
		"m=video 5002 RTP/AVP 99 34\nb=AS:384\na=rtpmap:99 H264/90000\n"
		"a=rtcp-fb:99 nack pli\na=rtcp-fb:* ccm fir\na=framerate:15\n"
		"m=image 6000 udptl t38\na=T38FaxVersion:0\na=T38MaxBitRate:14400\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct sdesc *desc = parsed(samples[i]), *again, *copy;
		char first[4096];

		str_ncpy(first, printed(desc, 20000), sizeof(first));
		again = parsed(first);
		assert_string_equal(printed(again, 20000), first);
		assert_int_equal(sdesc_copy(&copy, desc), 0);
		mem_deref(desc); /* a copy lives alone */
		assert_string_equal(printed(copy, 20000), first);
		mem_deref(copy);
		mem_deref(again);
	}
}

/* What sdesc_alloc() makes has room for many formats; its copy has none left over, and stands alone. */
static void copy_of_a_draft_is_as_small_as_what_is_in_it(void **state)
{
	struct sdesc *offer = parsed(phone_offer), *draft, *copy, *again;
	char text[4096];

	assert_int_equal(sdesc_alloc(&draft, 2, offer, NULL), 0);
	for (size_t i = 0; i < 2; i++) {
		struct sdesc_media *line = &draft->media[i];
		struct sdesc_format *formats = line->formats;

		*line = offer->media[0];
		line->formats = formats;
		memcpy(formats, offer->media[0].formats, line->n_formats * sizeof(*formats));
	}
	draft->media[1].n_formats = 2;
	str_ncpy(text, printed(draft, 20000), sizeof(text));

	assert_int_equal(sdesc_copy(&copy, draft), 0);
	assert_int_equal(sdesc_copy(&again, copy), 0);
	assert_ptr_equal(copy->media[1].formats, copy->media[0].formats + copy->media[0].n_formats);
	memset(draft->media[0].formats, 0, sizeof(*draft->media[0].formats));
	mem_deref(draft);
	mem_deref(offer);
	assert_string_equal(printed(copy, 20000), text);
	mem_deref(copy);
	assert_string_equal(printed(again, 20000), text);
	mem_deref(again);
}

static void hop_attributes_are_never_handed_on(void **state)
{
	struct sdesc *desc = parsed(
		"v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n"
		"a=group:BUNDLE 0\r\na=ice-ufrag:aaaa\r\na=fingerprint:sha-256 AA\r\n"
		"m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n"
		"a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\na=ice-pwd:secret\r\n"
		"a=end-of-candidates\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n"
		"a=setup:actpass\r\na=mid:0\r\na=msid:s t\r\na=ssrc:1 cname:me@10.0.0.1\r\n"
		"a=ssrc-group:FID 1 2\r\na=alt:1 1 : A B 10.0.0.1 5\r\na=rtcp-mux\r\n"
		"a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=maxptime:60\r\n");

	assert_true(desc->bundle);
	assert_true(sdesc_is_secure(&desc->media[0]));
	assert_true(desc->media[0].rtcp_mux);
	assert_string_equal(printed(desc, 30000),
			    "v=0\r\no=- 7 9 IN IP4 203.0.113.1\r\ns=-\r\n"
			    "c=IN IP4 203.0.113.1\r\nt=0 0\r\n"
			    "m=audio 30000 UDP/TLS/RTP/SAVPF 111 0\r\na=rtpmap:111 opus/48000/2\r\n"
			    "a=rtpmap:0 PCMU/8000\r\na=rtcp-mux\r\n"
			    "a=maxptime:60\r\na=sendrecv\r\n");
	mem_deref(desc);
}

/* RFC 9143 section 7: what a browser says whose bundlePolicy is max-bundle. */
static void a_line_that_is_bundle_only_is_not_refused(void **state)
{
	static const char text[] =
		"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE a v\r\n"
		"m=audio 41000 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 192.0.2.1\r\na=mid:a\r\n"
		"a=ice-ufrag:u\r\na=ice-pwd:p\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
		"m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=bundle-only\r\na=mid:v\r\n"
		"a=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\n"
		"m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:w\r\na=bundle-only\r\na=rtcp-mux\r\n";
	struct sdesc *desc = parsed(text);
	const struct sdesc_media *video = &desc->media[1];

	assert_true(desc->bundle);
	assert_int_equal(desc->tagged, 0);
	assert_true(desc->media[0].bundled && !desc->media[0].bundle_only);
	assert_true(video->bundled && video->bundle_only);
	assert_int_equal(video->port, 41000);
	assert_int_equal(sa_port(&video->rtp), 41000);
	assert_true(sa_cmp(&video->rtp, &desc->media[0].rtp, SA_ALL));
	assert_int_equal(video->dir, SDESC_SENDRECV); /* 0.0.0.0 is no hold here */
	assert_false(desc->media[2].bundled); /* in no group: refused */
	assert_int_equal(desc->media[2].port, 0);
	mem_deref(desc);
}

static void feedback_of_a_removed_format_goes_with_it(void **state)
{
	struct sdesc *desc = parsed("v=0\no=- 1 1 IN IP4 10.0.0.1\nc=IN IP4 10.0.0.1\n"
				    "m=video 5000 RTP/AVPF 96 97\na=rtpmap:96 VP8/90000\n"
				    "a=rtpmap:97 H264/90000\na=rtcp-fb:96 nack\n"
				    "a=rtcp-fb:97 nack\n");

	desc->media[0].formats[0] = desc->media[0].formats[1];
	desc->media[0].n_formats = 1;
	assert_null(strstr(printed(desc, 4000), "96"));
	assert_non_null(strstr(printed(desc, 4000), "a=rtcp-fb:97 nack\r\n"));
	mem_deref(desc);
}

/* RFC 3264 section 8.4 and RFC 2543: c=0.0.0.0 holds, whatever the attribute says; that is kept, too. */
static void zero_address_is_hold(void **state)
{
	static const struct {
		const char *text;
		enum sdesc_dir dir, said;
	} cases[] = {
		{ "v=0\nc=IN IP4 0.0.0.0\nm=audio 5000 RTP/AVP 0\n", SDESC_SENDONLY, SDESC_SENDRECV },
		{ "v=0\nc=IN IP4 0.0.0.0\nm=audio 5000 RTP/AVP 0\na=recvonly\n", SDESC_INACTIVE,
		  SDESC_RECVONLY },
		{ "v=0\nc=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n",
		  SDESC_SENDONLY, SDESC_SENDRECV },
		{ "v=0\nc=IN IP4 10.0.0.1\na=sendonly\nm=audio 5000 RTP/AVP 0\n", SDESC_SENDONLY,
		  SDESC_SENDONLY },
		{ "v=0\nc=IN IP4 10.0.0.1\na=sendonly\nm=audio 5000 RTP/AVP 0\na=inactive\n",
		  SDESC_INACTIVE, SDESC_INACTIVE },
		{ "v=0\nc=IN IP6 ::\nm=audio 5000 RTP/AVP 0\n", SDESC_SENDONLY, SDESC_SENDRECV },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sdesc *desc = parsed(cases[i].text);

		assert_int_equal(desc->media[0].dir, cases[i].dir);
		assert_int_equal(desc->media[0].dir_said, cases[i].said);
		mem_deref(desc);
	}
	assert_int_equal(sdesc_dir_reverse(SDESC_SENDONLY), SDESC_RECVONLY);
	assert_int_equal(sdesc_dir_reverse(SDESC_RECVONLY), SDESC_SENDONLY);
	assert_int_equal(sdesc_dir_reverse(SDESC_SENDRECV), SDESC_SENDRECV);
	assert_int_equal(sdesc_dir_reverse(SDESC_INACTIVE), SDESC_INACTIVE);
}

static void rtcp_address_comes_from_its_attribute(void **state)
{
	struct sdesc *desc = parsed("v=0\nc=IN IP4 10.0.0.1\n"
				    "m=audio 5000 RTP/AVP 0\na=rtcp:6001 IN IP4 10.0.0.2\n"
				    "m=audio 5004 RTP/AVP 0\na=rtcp:6003\n"
				    "m=audio 5008 RTP/AVP 0\na=rtcp-mux\n");

	assert_int_equal(sa_in(&desc->media[0].rtcp), 0x0a000002);
	assert_int_equal(sa_port(&desc->media[0].rtcp), 6001);
	assert_int_equal(sa_in(&desc->media[1].rtcp), 0x0a000001);
	assert_int_equal(sa_port(&desc->media[1].rtcp), 6003);
	assert_int_equal(sa_port(&desc->media[2].rtcp), 5008);
	mem_deref(desc);
}

static void phones_sloppiness_is_forgiven(void **state)
{
	struct sdesc *desc = parsed("v=0 \n\n"
				    "o=Some Phone 1.2 11 22 IN IP4 0.0.0.0\n"
				    "c= IN IP4 10.0.0.1  \r\n"
				    "m= audio  5000/1 RTP/AVP   0 8 8 \n"
				    "a=rtpmap:77 nothing/1\n"
				    "a= rtpmap:8 pcma/8000 \n"
				    "a=ptime:20.0\n"
				    "a=X-strange\n"
				    "a=sendonly ");

	assert_int_equal(desc->origin_id, 11);
	assert_int_equal(desc->media[0].n_formats, 2);
	assert_string_equal(desc->media[0].formats[1].name, "pcma");
	assert_int_equal(desc->media[0].dir, SDESC_SENDONLY);
	assert_int_equal(desc->media[0].ptime_ms, 20);
	assert_int_equal(desc->media[0].n_attrs, 1);
	mem_deref(desc);
}

static void bad_descriptions_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"\r\n\r\n",
		"hello",
		"v=1\r\n",
		"o=- 1 1 IN IP4 10.0.0.1\r\n",
		"v=0\nm=audio 5000 RTP/AVP 0\n", /* no address */
		"v=0\nc=IN IP4 phone.example.com\nm=audio 5000 RTP/AVP 0\n",
		"v=0\nc=IN IP4 224.2.1.1/127\nm=audio 5000 RTP/AVP 0\n",
		"v=0\nc=IN IP6 ff15::101\nm=audio 5000 RTP/AVP 0\n",
		"v=0\nc=IN IP6 10.0.0.1\nm=audio 5000 RTP/AVP 0\n",
		"v=0\nc=IN IP4 10.0.0.1\nm=audio 65536 RTP/AVP 0\n",
		"v=0\nc=IN IP4 10.0.0.1\nm=audio -1 RTP/AVP 0\n",
		"v=0\nc=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP 128\n",
		"v=0\nc=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP\n",
		"v=0\nc=IN IP4 10.0.0.1\nm=audio 5000\n",
		"v=0\nc=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP 96\na=rtpmap:96 opus\n",
		"v=0\nc=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP 96\na=rtpmap:96 opus/0\n",
		"v=0\nc=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP 0\na=rtcp:70000\n",
		"v=0\no=- 1 1\n",
		"v=0\n=x\n",
		"v=0\nsession\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse_error(bad[i]), -EBADMSG);

	struct sdesc *desc = NULL;

	assert_int_equal(sdesc_parse(&desc, "v=0\0\n", 5), -EBADMSG);
	assert_null(desc);
}

static void limits_have_their_own_error(void **state)
{
	static char text[SDESC_MAX_BYTES + 64];
	struct sdesc *desc = NULL;
	size_t n;

	n = (size_t)snprintf(text, sizeof(text), "v=0\nc=IN IP4 10.0.0.1\n");
	for (int i = 0; i <= SDESC_MAX_MEDIA; i++) {
		if (i == SDESC_MAX_MEDIA) {
			assert_int_equal(sdesc_parse(&desc, text, n), 0);
			desc = mem_deref(desc);
		}
		n += (size_t)snprintf(text + n, sizeof(text) - n, "m=audio 5000 RTP/AVP 0\n");
	}
	assert_int_equal(sdesc_parse(&desc, text, n), -EMSGSIZE);

	n = (size_t)snprintf(text, sizeof(text), "v=0\nc=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP");
	for (int i = 0; i <= SDESC_MAX_FORMATS; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %d", 40 + i);
	assert_int_equal(sdesc_parse(&desc, text, n), -EMSGSIZE);

	n = (size_t)snprintf(text, sizeof(text),
			     "v=0\nc=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP 0\n");
	for (int i = 0; i <= SDESC_MAX_ATTRS; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "a=x%d\n", i);
	assert_int_equal(sdesc_parse(&desc, text, n), -EMSGSIZE);

	memset(text, 'x', sizeof(text));
	assert_int_equal(sdesc_parse(&desc, text, SDESC_MAX_BYTES + 1), -EMSGSIZE);
}

static void small_buffer_is_an_error(void **state)
{
	const uint16_t ports[] = { 5000 };
	struct sdesc *desc = parsed(phone_offer);
	struct sa addr;
	char buf[4096];
	int len;

	sa_set_str(&addr, "::1", 0);
	const struct sdesc_print_opts o = { .addr = &addr, .ports = ports };

	len = sdesc_print(desc, buf, sizeof(buf), &o);
	assert_true(len > 0 && (size_t)len == strlen(buf));
	assert_non_null(strstr(buf, "c=IN IP6 ::1\r\n"));
	for (int size = 1; size <= len; size++)
		assert_int_equal(sdesc_print(desc, buf, (size_t)size, &o), -EMSGSIZE);
	assert_int_equal(sdesc_print(desc, buf, (size_t)len + 1, &o), len);
	mem_deref(desc);
}

/* Truncation at every byte and a flipped byte at every place: an error or a description, never
 * more. */
static void damaged_text_never_breaks_the_parser(void **state)
{
	const size_t len = strlen(phone_offer);
	char text[sizeof(phone_offer)];
	struct sdesc *desc;

	for (size_t i = 0; i <= len; i++) {
		desc = NULL;
		if (!sdesc_parse(&desc, phone_offer, i))
			(void)printed(desc, 5000);
		mem_deref(desc);
	}
	for (size_t i = 0; i < len * 8; i++) {
		memcpy(text, phone_offer, len);
		text[i / 8] = (char)(text[i / 8] ^ (1 << (i % 8)));
		desc = NULL;
		if (!sdesc_parse(&desc, text, len))
			(void)printed(desc, 5000);
		mem_deref(desc);
	}
}

static void direct_media_keeps_the_peers_addresses(void **state)
{
	struct sdesc *desc =
		parsed("v=0\nc=IN IP4 10.0.0.1\nm=audio 5000 RTP/AVP 0\n"
		       "m=audio 5004 RTP/AVP 0\nc=IN IP4 10.0.0.2\nb=AS:64\na=rtcp:7001\n"
		       "m=video 0 RTP/AVP 34\n");
	struct sa addr;
	char buf[1024];

	sa_set_str(&addr, "203.0.113.1", 0);
	assert_true(sdesc_print(desc, buf, sizeof(buf),
				&(struct sdesc_print_opts){ .addr = &addr,
							    .origin_id = 7,
							    .origin_version = 9,
							    .keep_addresses = true }) > 0);
	assert_string_equal(buf, "v=0\r\no=- 7 9 IN IP4 203.0.113.1\r\ns=-\r\n"
				 "c=IN IP4 203.0.113.1\r\nt=0 0\r\n"
				 "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 10.0.0.1\r\n"
				 "a=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
				 "m=audio 5004 RTP/AVP 0\r\nc=IN IP4 10.0.0.2\r\nb=AS:64\r\n"
				 "a=rtpmap:0 PCMU/8000\r\na=rtcp:7001\r\na=sendrecv\r\n"
				 "m=video 0 RTP/AVP 34\r\n");
	mem_deref(desc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_offer_is_read),
		cmocka_unit_test(print_has_our_address_and_ports),
		cmocka_unit_test(printed_text_survives_a_second_round),
		cmocka_unit_test(copy_of_a_draft_is_as_small_as_what_is_in_it),
		cmocka_unit_test(hop_attributes_are_never_handed_on),
		cmocka_unit_test(a_line_that_is_bundle_only_is_not_refused),
		cmocka_unit_test(feedback_of_a_removed_format_goes_with_it),
		cmocka_unit_test(zero_address_is_hold),
		cmocka_unit_test(rtcp_address_comes_from_its_attribute),
		cmocka_unit_test(phones_sloppiness_is_forgiven),
		cmocka_unit_test(bad_descriptions_are_refused),
		cmocka_unit_test(limits_have_their_own_error),
		cmocka_unit_test(direct_media_keeps_the_peers_addresses),
		cmocka_unit_test(small_buffer_is_an_error),
		cmocka_unit_test(damaged_text_never_breaks_the_parser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
