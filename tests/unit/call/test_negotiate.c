/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "call/negotiate.h"
#include "media/codec.h"
#include "snapshot/snapshot.h"

/* Every expected description is text: what a phone would see. */
#define HEAD "v=0\r\no=- 7 1 IN IP4 203.0.113.1\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\n"
#define PHONE "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"
#define EVENT "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
#define WIDE_EVENT "a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-16\r\n"
#define OPUS "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n"

static const struct snap_codecs no_video;
static const struct snap_codecs alaw = { 1, { SNAP_PCMA } };
static const struct snap_codecs ulaw = { 1, { SNAP_PCMU } };
static const struct snap_codecs opus_first = { 3, { SNAP_OPUS, SNAP_PCMA, SNAP_G722 } };
static const struct snap_codecs common = { 4, { SNAP_PCMA, SNAP_PCMU, SNAP_G722, SNAP_OPUS } };
static const struct snap_codecs video = { 2, { SNAP_H264, SNAP_VP8 } };

static struct neg_side side(const struct snap_codecs *audio)
{
	return (struct neg_side){ .audio = audio, .video = &no_video, .events = true, .t38 = true };
}

static struct neg_side picture_side(uint32_t kbps)
{
	return (struct neg_side){ .audio = &alaw, .video = &video, .video_kbps = kbps, .events = true };
}

static struct sdesc *parsed(const char *text)
{
	struct sdesc *desc = NULL;

	assert_int_equal(sdesc_parse(&desc, text, strlen(text)), 0);
	return desc;
}

/* Prints with ports 10000, 10002... and lets go of desc. */
static const char *printed(struct sdesc *desc)
{
	static char buf[8192];
	static const uint16_t ports[SDESC_MAX_MEDIA] = { 10000, 10002, 10004, 10006,
							 10008, 10010, 10012, 10014 };
	struct sa addr;

	sa_set_str(&addr, "203.0.113.1", 0);
	assert_true(sdesc_print(desc, buf, sizeof(buf),
				&(struct sdesc_print_opts){ .addr = &addr,
							    .origin_id = 7,
							    .origin_version = 1,
							    .ports = ports }) > 0);
	mem_deref(desc);
	return buf;
}

static const char *offer(const char *want, const struct neg_side *from, const struct neg_side *to)
{
	struct sdesc *wanted = want ? parsed(want) : NULL, *desc = NULL;

	assert_int_equal(neg_offer(&desc, NULL, wanted, from, to, NULL), 0);
	mem_deref(wanted); /* what was made from it lives alone */
	return printed(desc);
}

static int offer_error(const char *want, const struct neg_side *from, const struct neg_side *to)
{
	struct sdesc *wanted = parsed(want), *desc = NULL;
	const int err = neg_offer(&desc, NULL, wanted, from, to, NULL);

	assert_null(desc);
	mem_deref(wanted);
	return err;
}

static const struct neg_lines straight = { { 0, 1, 2, 3, 4, 5, 6, 7 } };

static const char *answer(const char *offered, const struct neg_side *of, const char *chosen)
{
	struct sdesc *said = parsed(offered), *other = chosen ? parsed(chosen) : NULL, *desc = NULL;

	assert_int_equal(neg_answer(&desc, said, of, other, &straight), 0);
	mem_deref(said);
	mem_deref(other);
	return printed(desc);
}

static int answer_error(const char *offered, const struct neg_side *of, const char *chosen)
{
	struct sdesc *said = parsed(offered), *other = chosen ? parsed(chosen) : NULL, *desc = NULL;
	const int err = neg_answer(&desc, said, of, other, &straight);

	assert_null(desc);
	mem_deref(said);
	mem_deref(other);
	return err;
}

/* ------------------------------------------------------------------ codecs */

static const char alaw_phone[] = PHONE "m=audio 4000 RTP/AVP 8\r\na=ptime:30\r\n";

static void shared_codecs_come_first_then_what_we_transcode(void **state)
{
	const struct neg_side from = side(&common), to = side(&opus_first);

	assert_string_equal(offer(PHONE "m=audio 4000 RTP/AVP 9 8 101\r\n"
					"a=rtpmap:101 telephone-event/8000\r\n",
				  &from, &to),
			    HEAD "m=audio 10000 RTP/AVP 8 9 111 101 110\r\n"
				 "a=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\n" OPUS EVENT WIDE_EVENT
				 "a=sendrecv\r\n");
}

static void events_are_offered_also_when_the_caller_knows_none(void **state)
{
	const struct neg_side from = side(&common), to = side(&alaw);

	assert_string_equal(offer(alaw_phone, &from, &to),
			    HEAD "m=audio 10000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n" EVENT
				 "a=ptime:30\r\na=sendrecv\r\n");
}

static void events_are_left_out_in_the_other_modes(void **state)
{
	struct neg_side from = side(&common), to = side(&alaw);

	to.events = false;
	assert_string_equal(offer(PHONE "m=audio 4000 RTP/AVP 8 101\r\n"
					"a=rtpmap:101 telephone-event/8000\r\n",
				  &from, &to),
			    HEAD "m=audio 10000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n");
	assert_string_equal(answer(PHONE "m=audio 4000 RTP/AVP 8 101\r\n"
					 "a=rtpmap:101 telephone-event/8000\r\n",
				   &to, NULL),
			    HEAD "m=audio 10000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n");
}

static void a_number_that_the_caller_uses_is_kept_and_never_used_twice(void **state)
{
	const struct neg_side from = side(&opus_first), to = side(&opus_first);

	/* 101 is the caller's Opus: our events go elsewhere. */
	assert_string_equal(offer(PHONE "m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 opus/48000/2\r\n"
					"a=fmtp:101 maxplaybackrate=16000\r\n",
				  &from, &to),
			    HEAD "m=audio 10000 RTP/AVP 101 8 9 127 110\r\n"
				 "a=rtpmap:101 opus/48000/2\r\na=fmtp:101 maxplaybackrate=16000\r\n"
				 "a=rtpmap:8 PCMA/8000\r\na=rtpmap:9 G722/8000\r\n"
				 "a=rtpmap:127 telephone-event/8000\r\na=fmtp:127 0-16\r\n" WIDE_EVENT
				 "a=sendrecv\r\n");
}

static void comfort_noise_passes_for_clocks_in_use(void **state)
{
	const struct neg_side from = side(&common), to = side(&alaw);

	assert_string_equal(offer(PHONE "m=audio 4000 RTP/AVP 8 106 13\r\na=rtpmap:106 CN/32000\r\n", &from,
				  &to),
			    HEAD "m=audio 10000 RTP/AVP 8 13 101\r\na=rtpmap:8 PCMA/8000\r\n"
				 "a=rtpmap:13 CN/8000\r\n" EVENT "a=sendrecv\r\n");
}

static void without_a_caller_we_offer_what_the_account_allows(void **state)
{
	const struct neg_side to = side(&common);

	assert_string_equal(offer(NULL, NULL, &to),
			    HEAD "m=audio 10000 RTP/AVP 8 0 9 111 101 110\r\n"
				 "a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n"
				 "a=rtpmap:9 G722/8000\r\n" OPUS EVENT WIDE_EVENT
				 "a=ptime:20\r\na=sendrecv\r\n");
}

static void a_caller_that_nobody_can_decode_is_refused(void **state)
{
	const struct neg_side from = side(&common), to = side(&common), only_ulaw = side(&ulaw);

	assert_int_equal(offer_error(PHONE "m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 iLBC/8000\r\n",
				     &from, &to),
			 -ENOTSUP);
	/* Its account does not allow what it offers. */
	assert_int_equal(offer_error(alaw_phone, &only_ulaw, &to), -ENOTSUP);
	assert_int_equal(answer_error(alaw_phone, &only_ulaw, NULL), -ENOTSUP);
}

static void g729_is_added_only_when_it_was_built_in(void **state)
{
	static const struct snap_codecs list = { 2, { SNAP_PCMA, SNAP_G729 } };
	const struct neg_side from = side(&common), to = side(&list);
	const char *text = offer(alaw_phone, &from, &to);

	assert_true(!strstr(text, "G729/8000") == !codec_find(MEDIA_G729, 8000));
	if (strstr(text, "G729/8000"))
		assert_non_null(strstr(text, "a=fmtp:18 annexb=no\r\n"));
}

static void direct_media_shares_and_adds_nothing(void **state)
{
	struct neg_side from = side(&common), to = side(&opus_first), none = side(&ulaw);

	from.direct = to.direct = none.direct = true;
	assert_string_equal(offer(PHONE "m=audio 4000 RTP/AVP 9 8 96\r\n"
					"a=rtpmap:96 telephone-event/8000\r\n",
				  &from, &to),
			    HEAD "m=audio 10000 RTP/AVP 8 9 96\r\na=rtpmap:8 PCMA/8000\r\n"
				 "a=rtpmap:9 G722/8000\r\na=rtpmap:96 telephone-event/8000\r\n"
				 "a=sendrecv\r\n");
	assert_int_equal(offer_error(alaw_phone, &from, &none), -ENOTSUP);
}

/* ------------------------------------------------------------------ answers */

static void an_answer_prefers_what_needs_no_transcoding(void **state)
{
	const struct neg_side of = side(&common);
	static const char phone[] = PHONE "m=audio 4000 RTP/AVP 9 0 8 96\r\n"
					  "a=rtpmap:96 telephone-event/8000\r\n";

	/* The callee took PCMU, then PCMA: in the order that was offered. */
	assert_string_equal(answer(phone, &of, PHONE "m=audio 6000 RTP/AVP 8 0 101\r\n"
						     "a=rtpmap:101 telephone-event/8000\r\n"),
			    HEAD "m=audio 10000 RTP/AVP 0 8 96\r\na=rtpmap:0 PCMU/8000\r\n"
				 "a=rtpmap:8 PCMA/8000\r\n"
				 "a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\na=sendrecv\r\n");
	/* Nothing in common: the first that can be transcoded. */
	assert_string_equal(answer(phone, &of,
				   PHONE "m=audio 6000 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n"),
			    HEAD "m=audio 10000 RTP/AVP 9 96\r\na=rtpmap:9 G722/8000\r\n"
				 "a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\na=sendrecv\r\n");
	/* A service answers by itself. */
	assert_string_equal(answer(phone, &of, NULL),
			    HEAD "m=audio 10000 RTP/AVP 9 0 8 96\r\na=rtpmap:9 G722/8000\r\n"
				 "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
				 "a=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\na=sendrecv\r\n");
}

static void events_of_an_answer_follow_the_clock_of_its_codecs(void **state)
{
	const struct neg_side of = side(&common);

	assert_string_equal(
		answer(PHONE "m=audio 4000 RTP/AVP 111 8 110 126\r\na=rtpmap:111 opus/48000/2\r\n"
			     "a=rtpmap:110 telephone-event/48000\r\n"
			     "a=rtpmap:126 telephone-event/8000\r\n",
		       &of, PHONE "m=audio 6000 RTP/AVP 8\r\n"),
		HEAD "m=audio 10000 RTP/AVP 8 126\r\na=rtpmap:8 PCMA/8000\r\n"
		     "a=rtpmap:126 telephone-event/8000\r\na=fmtp:126 0-16\r\na=sendrecv\r\n");
}

static void rtcp_mux_is_accepted_and_not_passed_on(void **state)
{
	const struct neg_side from = side(&alaw), to = side(&alaw);
	static const char phone[] = PHONE "m=audio 4000 RTP/AVP 8\r\na=rtcp-mux\r\n";

	assert_non_null(strstr(answer(phone, &from, PHONE "m=audio 6000 RTP/AVP 8\r\n"),
			       "a=rtcp-mux\r\n"));
	assert_null(strstr(answer(alaw_phone, &from, phone), "a=rtcp-mux\r\n"));
	assert_null(strstr(offer(phone, &from, &to), "a=rtcp-mux\r\n"));
}

/* What the other side has chosen counts where phones talk directly; else who is held hears music. */
static void directions_answer_directions(void **state)
{
	static const struct {
		const char *offered, *chosen, *expected;
		bool direct;
	} rows[] = {
		{ "sendrecv", "sendrecv", "a=sendrecv" }, { "sendonly", "recvonly", "a=recvonly" },
		{ "sendonly", "sendrecv", "a=recvonly" }, { "inactive", "sendrecv", "a=inactive" },
		{ "recvonly", "sendrecv", "a=sendonly" }, { "sendrecv", "sendonly", "a=sendrecv" },
		{ "sendrecv", "inactive", "a=sendrecv" },
		{ "sendrecv", "sendonly", "a=sendonly", true },
		{ "sendonly", "inactive", "a=inactive", true },
		{ "sendrecv\r\nc=IN IP4 0.0.0.0", "sendrecv", "a=sendrecv" },
		{ "sendonly\r\nc=IN IP4 0.0.0.0", "sendrecv", "a=recvonly" },
		{ "inactive\r\nc=IN IP4 0.0.0.0", "sendrecv", "a=inactive" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct neg_side of = side(&alaw);
		char offered[256], chosen[256];
		const char *text;

		of.direct = rows[i].direct;
		(void)snprintf(offered, sizeof(offered), PHONE "m=audio 4000 RTP/AVP 8\r\na=%s\r\n",
			       rows[i].offered);
		(void)snprintf(chosen, sizeof(chosen), PHONE "m=audio 6000 RTP/AVP 8\r\na=%s\r\n",
			       rows[i].chosen);
		text = answer(offered, &of, chosen);
		if (!strstr(text, rows[i].expected))
			fail_msg("%s, %s: %s", rows[i].offered, rows[i].chosen, text);
	}
}

/* ------------------------------------------------------------------ formats for the media process */

static void numbers_of_both_sides_are_told(void **state)
{
	struct sdesc *ours = parsed(PHONE "m=audio 10000 RTP/AVP 8 111\r\na=rtpmap:111 opus/48000/2\r\n"
					  "a=fmtp:111 useinbandfec=1\r\n");
	struct sdesc *theirs = parsed(PHONE "m=audio 4000 RTP/AVP 96 8\r\na=rtpmap:96 opus/48000/2\r\n"
					    "a=fmtp:96 usedtx=1; maxplaybackrate=16000\r\n");
	struct media_format formats[MEDIA_MAX_FORMATS];

	assert_int_equal(neg_formats(formats, &ours->media[0], &theirs->media[0], true), 2);
	assert_int_equal(formats[0].codec, MEDIA_OPUS); /* the order of the answer, theirs */
	assert_int_equal(formats[0].pt_out, 96);
	assert_int_equal(formats[0].pt_in, 111);
	assert_int_equal(formats[0].clock_hz, 48000);
	assert_int_equal(formats[0].max_hz, 16000);
	assert_true(formats[0].dtx && !formats[0].fec);
	assert_int_equal(formats[1].codec, MEDIA_PCMA);

	assert_int_equal(neg_formats(formats, &ours->media[0], &theirs->media[0], false), 2);
	assert_int_equal(formats[0].codec, MEDIA_PCMA); /* the answer is ours */
	assert_int_equal(formats[1].pt_out, 96);
	assert_int_equal(formats[1].pt_in, 111);
	mem_deref(ours);
	mem_deref(theirs);
}

static void formats_that_cannot_be_decoded_pass(void **state)
{
	struct sdesc *ours = parsed(PHONE "m=video 10000 RTP/AVP 97 99\r\na=rtpmap:97 H264/90000\r\n"
					  "a=rtpmap:99 VP8/90000\r\n");
	struct media_format formats[MEDIA_MAX_FORMATS];

	assert_int_equal(neg_formats(formats, &ours->media[0], &ours->media[0], false), 2);
	assert_int_equal(formats[0].codec, MEDIA_CODEC_OTHER);
	assert_int_equal(formats[0].pt_out, 97);
	mem_deref(ours);
}

/* ------------------------------------------------------------------ lines */

static const char video_phone[] =
	PHONE "m=audio 4000 RTP/AVP 8\r\nm=application 4002 UDP/BFCP *\r\n"
	      "m=video 4004 RTP/AVP 96 97 34\r\nb=AS:2000\r\na=rtpmap:96 VP8/90000\r\n"
	      "a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42e01f;packetization-mode=1\r\n"
	      "a=rtcp-fb:97 nack pli\r\na=rtcp-fb:34 nack\r\na=rtcp-fb:* ccm fir\r\n";

static void video_passes_within_its_limit_and_strange_lines_do_not(void **state)
{
	const struct neg_side from = picture_side(384), to = picture_side(384);
	struct sdesc *wanted = parsed(video_phone), *desc = NULL;
	struct neg_lines lines;

	assert_int_equal(neg_offer(&desc, &lines, wanted, &from, &to, NULL), 0);
	assert_int_equal(lines.of[0], 0);
	assert_int_equal(lines.of[1], 2);
	assert_int_equal(lines.of[2], -1);
	mem_deref(wanted);
	assert_string_equal(printed(desc),
			    HEAD "m=audio 10000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n" EVENT
				 "a=sendrecv\r\n"
				 "m=video 10002 RTP/AVP 97 96\r\nb=AS:384\r\na=rtpmap:97 H264/90000\r\n"
				 "a=fmtp:97 profile-level-id=42e01f;packetization-mode=1\r\n"
				 "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:97 nack pli\r\n"
				 "a=rtcp-fb:* ccm fir\r\na=sendrecv\r\n");
}

static void video_that_is_off_is_refused_and_sound_goes_on(void **state)
{
	const struct neg_side from = picture_side(384), to = side(&alaw);
	struct sdesc *said = parsed(video_phone), *other, *desc = NULL;
	const struct neg_lines lines = { { 0, -1, -1, -1, -1, -1, -1, -1 } };

	assert_string_equal(offer(video_phone, &from, &to),
			    HEAD "m=audio 10000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\n" EVENT
				 "a=sendrecv\r\n");
	other = parsed(PHONE "m=audio 6000 RTP/AVP 8\r\n");
	assert_int_equal(neg_answer(&desc, said, &from, other, &lines), 0);
	mem_deref(said);
	mem_deref(other);
	assert_string_equal(printed(desc), HEAD "m=audio 10000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
						"a=sendrecv\r\nm=application 0 UDP/BFCP *\r\n"
						"m=video 0 RTP/AVP 96\r\n");
}

static void the_answer_about_video_is_the_other_sides(void **state)
{
	const struct neg_side of = picture_side(384);
	struct sdesc *said = parsed(video_phone), *desc = NULL;
	struct sdesc *other = parsed(PHONE "m=audio 6000 RTP/AVP 8\r\nm=video 6002 RTP/AVP 97\r\n"
					   "b=AS:256\r\na=rtpmap:97 H264/90000\r\n"
					   "a=fmtp:97 profile-level-id=42e00c\r\na=rtcp-fb:97 nack\r\n");
	const struct neg_lines lines = { { 0, 2, -1, -1, -1, -1, -1, -1 } };

	assert_int_equal(neg_answer(&desc, said, &of, other, &lines), 0);
	mem_deref(said);
	mem_deref(other);
	assert_string_equal(printed(desc),
			    HEAD "m=audio 10000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=sendrecv\r\n"
				 "m=application 0 UDP/BFCP *\r\n"
				 "m=video 10004 RTP/AVP 97\r\nb=AS:256\r\na=rtpmap:97 H264/90000\r\n"
				 "a=fmtp:97 profile-level-id=42e00c\r\na=rtcp-fb:97 nack\r\n"
				 "a=sendrecv\r\n");
}

/* RFC 4588: for a format that is there itself, and when both sides have it under one number. */
static void lost_pictures_come_again_where_both_can(void **state)
{
	static const char browser[] =
		PHONE "m=video 4004 RTP/AVPF 96 97 98 99\r\na=rtpmap:96 VP8/90000\r\n"
		      "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:98 VP9/90000\r\n"
		      "a=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n";
	static const char with[] = PHONE "m=video 6 RTP/AVPF 96 97\r\na=rtpmap:96 VP8/90000\r\n"
					 "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
	static const char without[] = PHONE "m=video 6 RTP/AVPF 96\r\na=rtpmap:96 VP8/90000\r\n";
	const struct neg_lines lines = { { 0, -1, -1, -1, -1, -1, -1, -1 } };
	const struct neg_side of = picture_side(0);
	struct sdesc *said = parsed(browser), *other = parsed(with), *desc = NULL;

	assert_string_equal(offer(browser, &of, &of),
			    HEAD "m=video 10000 RTP/AVPF 96 97\r\na=rtpmap:96 VP8/90000\r\n"
				 "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=sendrecv\r\n");
	assert_int_equal(neg_answer(&desc, said, &of, other, &lines), 0);
	mem_deref(other);
	assert_string_equal(printed(desc),
			    HEAD "m=video 10000 RTP/AVPF 96 97\r\na=rtpmap:96 VP8/90000\r\n"
				 "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=sendrecv\r\n");
	other = parsed(without);
	assert_int_equal(neg_answer(&desc, said, &of, other, &lines), 0);
	mem_deref(other);
	mem_deref(said);
	assert_string_equal(printed(desc), HEAD "m=video 10000 RTP/AVPF 96\r\na=rtpmap:96 VP8/90000\r\n"
						"a=sendrecv\r\n");
}

/* One row: what a side has, what is wanted of it, the kinds and ports of the lines it gets. */
static void lines_keep_their_place(void **state)
{
	static const struct {
		const char *before, *want, *expected;
	} rows[] = {
		/* video comes */
		{ "m=audio 1 RTP/AVP 8\r\n", "m=audio 1 RTP/AVP 8\r\nm=video 1 RTP/AVP 34\r\n",
		  "audio+ video+ " },
		/* and goes: the line stays, refused */
		{ "m=audio 1 RTP/AVP 8\r\nm=video 1 RTP/AVP 34\r\n",
		  "m=audio 1 RTP/AVP 8\r\nm=video 0 RTP/AVP 34\r\n", "audio+ video- " },
		{ "m=audio 1 RTP/AVP 8\r\nm=video 1 RTP/AVP 34\r\n", "m=audio 1 RTP/AVP 8\r\n",
		  "audio+ video- " },
		/* and comes again, in its place */
		{ "m=audio 1 RTP/AVP 8\r\nm=video 0 RTP/AVP 34\r\n",
		  "m=audio 1 RTP/AVP 8\r\nm=video 1 RTP/AVP 34\r\n", "audio+ video+ " },
		/* sides whose order differs */
		{ "m=video 1 RTP/AVP 34\r\nm=audio 1 RTP/AVP 8\r\n",
		  "m=audio 1 RTP/AVP 8\r\nm=video 1 RTP/AVP 34\r\n", "video+ audio+ " },
		/* fax in the place of sound, and back */
		{ "m=audio 1 RTP/AVP 8\r\n", "m=image 1 udptl t38\r\n", "image+ " },
		{ "m=image 1 udptl t38\r\n", "m=audio 1 RTP/AVP 8\r\n", "audio+ " },
		/* fax beside sound that is given up */
		{ "m=audio 1 RTP/AVP 8\r\n", "m=audio 0 RTP/AVP 8\r\nm=image 1 udptl t38\r\n",
		  "audio- image+ " },
		{ "m=audio 0 RTP/AVP 8\r\nm=image 1 udptl t38\r\n",
		  "m=audio 1 RTP/AVP 8\r\nm=image 0 udptl t38\r\n", "audio+ image- " },
		/* a line of no use to us takes no place */
		{ "m=audio 1 RTP/AVP 8\r\n", "m=audio 1 RTP/AVP 8\r\nm=message 1 TCP/MSRP *\r\n",
		  "audio+ " },
	};
	static const struct snap_codecs h263 = { 1, { SNAP_H263 } };
	struct neg_side of = side(&alaw);

	of.video = &h263;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct sdesc *before, *want, *desc = NULL;
		char text[512], got[128] = "";

		(void)snprintf(text, sizeof(text), PHONE "%s", rows[i].before);
		before = parsed(text);
		(void)snprintf(text, sizeof(text), PHONE "%s", rows[i].want);
		want = parsed(text);
		assert_int_equal(neg_offer(&desc, NULL, want, &of, &of, before), 0);
		for (size_t k = 0; k < desc->n_media; k++)
			(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s ",
				       desc->media[k].kind_text, desc->media[k].port ? "+" : "-");
		if (strcmp(got, rows[i].expected))
			fail_msg("row %zu: %s instead of %s", i, got, rows[i].expected);
		mem_deref(before);
		mem_deref(want);
		mem_deref(desc);
	}
}

static void a_number_keeps_its_meaning_in_a_session(void **state)
{
	const struct neg_side from = side(&opus_first), to = side(&opus_first);
	struct sdesc *before = parsed(PHONE "m=audio 1 RTP/AVP 96 8 101\r\na=rtpmap:96 opus/48000/2\r\n"
					    "a=rtpmap:101 telephone-event/8000\r\n");
	/* The other side calls Opus 101, and 96 something else: this side knows them otherwise. */
	struct sdesc *want = parsed(PHONE "m=audio 1 RTP/AVP 101 96\r\na=rtpmap:101 opus/48000/2\r\n"
					  "a=rtpmap:96 telephone-event/8000\r\n");
	struct sdesc *desc = NULL;

	assert_int_equal(neg_offer(&desc, NULL, want, &from, &to, before), 0);
	mem_deref(before);
	mem_deref(want);
	assert_non_null(strstr(printed(desc), "m=audio 10000 RTP/AVP 96 8 9 101 110\r\n"
					      "a=rtpmap:96 opus/48000/2\r\n"));
}

/* ------------------------------------------------------------------ fax */

#define FAX                                                                                        \
	"m=image 5000 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n"                 \
	"a=T38FaxRateManagement:transferredTCF\r\na=T38FaxMaxBuffer:1000\r\n"                      \
	"a=T38FaxMaxDatagram:400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"

static void fax_passes_with_all_it_says(void **state)
{
	const struct neg_side of = side(&alaw);

	assert_string_equal(offer(PHONE FAX, &of, &of),
			    HEAD "m=image 10000 udptl t38\r\na=T38FaxVersion:0\r\n"
				 "a=T38MaxBitRate:14400\r\na=T38FaxRateManagement:transferredTCF\r\n"
				 "a=T38FaxMaxBuffer:1000\r\na=T38FaxMaxDatagram:400\r\n"
				 "a=T38FaxUdpEC:t38UDPRedundancy\r\n");
	assert_string_equal(answer(PHONE FAX, &of,
				   PHONE "m=image 7000 udptl t38\r\na=T38FaxVersion:0\r\n"
					 "a=T38FaxUdpEC:t38UDPFEC\r\n"),
			    HEAD "m=image 10000 udptl t38\r\na=T38FaxVersion:0\r\n"
				 "a=T38FaxUdpEC:t38UDPFEC\r\n");
}

/* CHG-ENG-05: a size of ours for both sides; error correction is told away, never added. */
static void fax_is_told_the_systems_limits(void **state)
{
	static const struct {
		enum sdesc_t38_ec most;
		const char *said, *told;
	} rows[] = {
		{ SDESC_T38_REDUNDANCY, "a=T38FaxUdpEC:t38UDPFEC\r\n", "a=T38FaxUdpEC:t38UDPRedundancy\r\n" },
		{ SDESC_T38_REDUNDANCY, "a=T38FaxUdpEC:T38UDPRedundancy\r\n",
		  "a=T38FaxUdpEC:t38UDPRedundancy\r\n" },
		{ SDESC_T38_FEC, "a=T38FaxUdpEC:t38UDPRedundancy\r\n", "a=T38FaxUdpEC:t38UDPRedundancy\r\n" },
		{ SDESC_T38_NONE, "a=T38FaxUdpEC:t38UDPRedundancy\r\n", "a=T38FaxUdpEC:t38UDPNoEC\r\n" },
		{ SDESC_T38_FEC, "", "" },
		{ SDESC_T38_FEC, "a=T38FaxUdpEC:strange\r\n", "" },
	};
	char said[200], told[200];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct neg_side of = side(&alaw);

		of.t38_max_datagram = 1400;
		of.t38_ec = rows[i].most;
		(void)snprintf(said, sizeof(said), PHONE "m=image 7000 udptl t38\r\na=T38FaxMaxDatagram:72\r\n%s",
			       rows[i].said);
		(void)snprintf(told, sizeof(told),
			       HEAD "m=image 10000 udptl t38\r\na=T38FaxMaxDatagram:1400\r\n%s", rows[i].told);
		assert_string_equal(offer(said, &of, &of), told);
		assert_string_equal(answer(PHONE FAX, &of, said), told);
	}
}

static void fax_is_refused_when_it_is_off_or_not_wanted(void **state)
{
	struct neg_side of = side(&alaw);

	assert_int_equal(answer_error(PHONE FAX, &of, PHONE "m=image 0 udptl t38\r\n"), -ENOTSUP);
	of.t38 = false;
	assert_int_equal(offer_error(PHONE FAX, &of, &of), -ENOTSUP);
	assert_int_equal(answer_error(PHONE FAX, &of, PHONE FAX), -ENOTSUP);
}

static void a_held_line_is_told_from_one_that_listens(void **state)
{
	static const struct {
		const char *text;
		bool hears;
	} rows[] = {
		{ PHONE "m=audio 1 RTP/AVP 8\r\n", true },
		{ PHONE "m=audio 1 RTP/AVP 8\r\na=recvonly\r\n", true },
		{ PHONE "m=audio 1 RTP/AVP 8\r\na=sendonly\r\n", false },
		{ PHONE "m=audio 1 RTP/AVP 8\r\na=inactive\r\n", false },
		{ PHONE "m=audio 1 RTP/AVP 8\r\nc=IN IP4 0.0.0.0\r\n", false },
		{ PHONE "m=audio 0 RTP/AVP 8\r\n", false },
		{ PHONE "m=audio 1 RTP/AVP 8\r\na=sendonly\r\nm=video 1 RTP/AVP 34\r\n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct sdesc *desc = parsed(rows[i].text);

		assert_int_equal(neg_hears(desc), rows[i].hears);
		mem_deref(desc);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_codecs_come_first_then_what_we_transcode),
		cmocka_unit_test(events_are_offered_also_when_the_caller_knows_none),
		cmocka_unit_test(events_are_left_out_in_the_other_modes),
		cmocka_unit_test(a_number_that_the_caller_uses_is_kept_and_never_used_twice),
		cmocka_unit_test(comfort_noise_passes_for_clocks_in_use),
		cmocka_unit_test(without_a_caller_we_offer_what_the_account_allows),
		cmocka_unit_test(a_caller_that_nobody_can_decode_is_refused),
		cmocka_unit_test(g729_is_added_only_when_it_was_built_in),
		cmocka_unit_test(direct_media_shares_and_adds_nothing),
		cmocka_unit_test(an_answer_prefers_what_needs_no_transcoding),
		cmocka_unit_test(events_of_an_answer_follow_the_clock_of_its_codecs),
		cmocka_unit_test(rtcp_mux_is_accepted_and_not_passed_on),
		cmocka_unit_test(directions_answer_directions),
		cmocka_unit_test(numbers_of_both_sides_are_told),
		cmocka_unit_test(formats_that_cannot_be_decoded_pass),
		cmocka_unit_test(video_passes_within_its_limit_and_strange_lines_do_not),
		cmocka_unit_test(video_that_is_off_is_refused_and_sound_goes_on),
		cmocka_unit_test(the_answer_about_video_is_the_other_sides),
		cmocka_unit_test(lost_pictures_come_again_where_both_can),
		cmocka_unit_test(lines_keep_their_place),
		cmocka_unit_test(a_number_keeps_its_meaning_in_a_session),
		cmocka_unit_test(fax_passes_with_all_it_says),
		cmocka_unit_test(fax_is_told_the_systems_limits),
		cmocka_unit_test(fax_is_refused_when_it_is_off_or_not_wanted),
		cmocka_unit_test(a_held_line_is_told_from_one_that_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
