/* SPDX-License-Identifier: Apache-2.0 */
#include "mediafix.h"

#include <string.h>

/* Two lines of a phone on one transport (RFC 9143), towards two sockets of another phone. */

#define AUDIO 8
#define VIDEO 96

struct call {
	struct leg audio, video; /* the caller's, which share the transport of audio */
	struct leg far_audio, far_video;
	struct phone caller, ear, eye;
};

static const struct media_remote muxed_audio = {
	.may_send = true, .may_recv = true, .rtcp_mux = true, .n_formats = 1, .dtmf_pt = -1,
	.dtmf_pt_in = -1,
	.formats = &(const struct media_format){ .codec = MEDIA_PCMA, .pt_out = AUDIO, .pt_in = AUDIO,
						 .clock_hz = 8000 },
};

static const struct media_remote muxed_video = {
	.may_send = true, .may_recv = true, .rtcp_mux = true, .n_formats = 1, .dtmf_pt = -1,
	.dtmf_pt_in = -1,
	.formats = &(const struct media_format){ .pt_out = VIDEO, .pt_in = VIDEO, .clock_hz = 90000 },
};

static const struct media_remote plain_video = {
	.may_send = true, .may_recv = true, .n_formats = 1, .dtmf_pt = -1, .dtmf_pt_in = -1,
	.formats = &(const struct media_format){ .pt_out = VIDEO, .pt_in = VIDEO, .clock_hz = 90000 },
};

static void share(struct call *call)
{
	uint8_t numbers[16] = { [VIDEO / 8] = 1 << VIDEO % 8 };

	media_set_bundle(call->video.stream, call->audio.stream, numbers);
	leg_remote(&call->audio, &call->caller, &muxed_audio);
	leg_remote(&call->video, &call->caller, &muxed_video);
}

static void call_begin(struct fix *fix, struct call *call, bool bridged_first)
{
	*call = (struct call){ 0 };
	phone_open(&call->caller, "127.0.0.1");
	phone_open(&call->ear, "127.0.0.1");
	phone_open(&call->eye, "127.0.0.1");
	/* Nobody says who will be near whom: with several threads they are in different ones. */
	leg_open(fix, &call->audio, &(struct media_open_opts){ .rtcp_mux = true });
	leg_open(fix, &call->far_audio, &(struct media_open_opts){ 0 });
	leg_open(fix, &call->video, &(struct media_open_opts){ .video = true });
	leg_open(fix, &call->far_video, &(struct media_open_opts){ .video = true });
	if (!bridged_first)
		share(call);
	leg_remote(&call->far_audio, &call->ear, NULL);
	leg_remote(&call->far_video, &call->eye, &plain_video);
	media_bridge(call->audio.stream, call->far_audio.stream);
	media_bridge(call->video.stream, call->far_video.stream);
	if (bridged_first)
		share(call);
	fix_sync(&call->far_video);
}

static void call_open(struct fix *fix, struct call *call)
{
	call_begin(fix, call, false);
}

static void call_close(struct call *call)
{
	leg_close(&call->audio);
	leg_close(&call->video);
	leg_close(&call->far_audio);
	leg_close(&call->far_video);
	phone_close(&call->caller);
	phone_close(&call->ear);
	phone_close(&call->eye);
	fix_run(20);
}

static void send_as(struct phone *phone, uint32_t ssrc, uint16_t to, uint8_t pt, uint8_t mark)
{
	phone->ssrc = ssrc;
	phone_send(phone, to, pt, mark);
}

static void assert_hears(struct phone *phone, uint8_t want_pt, uint8_t want_mark)
{
	struct hdr_rtp hdr;
	uint8_t mark;

	assert_true(phone_hear(phone, &hdr, &mark, 3000));
	assert_int_equal(hdr.pt, want_pt);
	assert_int_equal(mark, want_mark);
}

static void assert_deaf(struct phone *phone)
{
	struct hdr_rtp hdr;
	uint8_t mark;

	assert_false(phone_hear(phone, &hdr, &mark, 50));
}

static void assert_talk(struct call *call)
{
	send_as(&call->caller, 0xa1, call->audio.port, AUDIO, 0x11);
	assert_hears(&call->ear, AUDIO, 0x11);
	send_as(&call->caller, 0xb1, call->audio.port, VIDEO, 0x12);
	assert_hears(&call->eye, VIDEO, 0x12);
	send_as(&call->ear, 0xa2, call->far_audio.port, AUDIO, 0x21);
	assert_hears(&call->caller, AUDIO, 0x21);
	send_as(&call->eye, 0xb2, call->far_video.port, VIDEO, 0x22);
	assert_hears(&call->caller, VIDEO, 0x22);
}

static void packets_are_sorted_by_payload_type(void **state)
{
	struct call call;

	call_open(*state, &call);
	assert_talk(&call);
	assert_deaf(&call.ear);
	assert_deaf(&call.eye);
	/* Several in one turn, of both kinds. */
	for (uint8_t i = 0; i < 4; i++) {
		send_as(&call.caller, 0xa1, call.audio.port, AUDIO, i);
		send_as(&call.caller, 0xb1, call.audio.port, VIDEO, i);
	}
	for (uint8_t i = 0; i < 4; i++) {
		assert_hears(&call.ear, AUDIO, i);
		assert_hears(&call.eye, VIDEO, i);
	}
	call_close(&call);
}

/* Wherever the legs were, all of the call come together, and bridges that were there stay. */
static void a_bundle_lives_in_one_thread(void **state)
{
	struct call call;
	struct leg room = { 0 };

	fix_restart(*state, ((struct fix *)*state)->rtp_first, ((struct fix *)*state)->rtp_last, 4);
	call_open(*state, &call);
	assert_talk(&call);

	/* The sound goes elsewhere; the pictures have to come along. */
	assert_int_equal(media_room_open(&room.stream, ((struct fix *)*state)->media, 8000, leg_event,
					 &room), 0);
	media_room_join(call.audio.stream, room.stream, &(struct media_member){ 0 });
	fix_sync(&call.video);
	send_as(&call.caller, 0xb1, call.audio.port, VIDEO, 0x33);
	assert_hears(&call.eye, VIDEO, 0x33);
	send_as(&call.eye, 0xb2, call.far_video.port, VIDEO, 0x34);
	for (uint8_t pt = 0, mark = 0; pt != VIDEO || mark != 0x34;) { /* the room is heard as well */
		struct hdr_rtp hdr;

		assert_true(phone_hear(&call.caller, &hdr, &mark, 3000));
		pt = hdr.pt;
	}

	media_room_leave(call.audio.stream);
	media_bridge(call.audio.stream, call.far_audio.stream);
	leg_close(&room);
	fix_sync(&call.audio);
	while (phone_hear(&call.caller, &(struct hdr_rtp){ 0 }, &(uint8_t){ 0 }, 50))
		;
	assert_talk(&call);
	call_close(&call);
}

static void who_is_bridged_stays_so_when_it_begins_to_ride(void **state)
{
	struct call call;

	fix_restart(*state, ((struct fix *)*state)->rtp_first, ((struct fix *)*state)->rtp_last, 4);
	call_begin(*state, &call, true);
	assert_talk(&call);
	call_close(&call);
}

static size_t put_report(uint8_t *p, uint8_t kind, uint32_t from)
{
	const uint8_t sr[28] = { 0x80, kind, 0, kind == 200 ? 6 : 1, (uint8_t)(from >> 24),
				 (uint8_t)(from >> 16), (uint8_t)(from >> 8), (uint8_t)from };

	memcpy(p, sr, kind == 200 ? 28 : 8);
	return kind == 200 ? 28 : 8;
}

static size_t put_pli(uint8_t *p, uint32_t from, uint32_t about)
{
	const uint8_t pli[12] = { 0x81, 206, 0, 2, (uint8_t)(from >> 24), (uint8_t)(from >> 16),
				  (uint8_t)(from >> 8), (uint8_t)from, (uint8_t)(about >> 24),
				  (uint8_t)(about >> 16), (uint8_t)(about >> 8), (uint8_t)about };

	memcpy(p, pli, sizeof(pli));
	return sizeof(pli);
}

static void feedback_reaches_the_line_that_it_is_about(void **state)
{
	uint8_t data[256], got[256];
	struct call call;
	size_t len;

	call_open(*state, &call);
	assert_talk(&call);

	/* Alone, from an SSRC that was never heard. */
	len = put_report(data, 201, 1);
	len += put_pli(data + len, 1, 0xb2);
	phone_send_raw(call.caller.rtp, call.audio.port, data, len);
	assert_int_equal(phone_recv(call.eye.rtcp, got, sizeof(got), 3000), len);
	assert_memory_equal(got, data, len);

	/* Behind a report of the sound, which ends with us. */
	len = put_report(data, 200, 0xa1);
	len += put_pli(data + len, 0xb1, 0xb2);
	phone_send_raw(call.caller.rtp, call.audio.port, data, len);
	assert_int_equal(phone_recv(call.eye.rtcp, got, sizeof(got), 3000), 12);
	assert_memory_equal(got, data + 28, 12);

	/* Before one. */
	len = put_pli(data, 0xb1, 0xb2);
	len += put_report(data + len, 200, 0xa1);
	phone_send_raw(call.caller.rtp, call.audio.port, data, len);
	assert_int_equal(phone_recv(call.eye.rtcp, got, sizeof(got), 3000), 12);

	/* And back, on the one port. */
	len = put_report(data, 201, 0xb2);
	len += put_pli(data + len, 0xb2, 0xb1);
	phone_send_raw(call.eye.rtcp, (uint16_t)(call.far_video.port + 1), data, len);
	assert_int_equal(phone_recv(call.caller.rtp, got, sizeof(got), 3000), len);
	assert_memory_equal(got, data, len);

	/* Lengths that do not add up. */
	data[3] = 200;
	phone_send_raw(call.caller.rtp, call.audio.port, data, len);
	assert_int_equal(phone_recv(call.eye.rtcp, got, sizeof(got), 50), 0);
	assert_talk(&call);
	call_close(&call);
}

static void the_socket_of_who_rides_is_closed_to_all(void **state)
{
	struct phone thief;
	struct call call;

	call_open(*state, &call);
	phone_open(&thief, "127.0.0.1");
	phone_send(&thief, call.video.port, VIDEO, 0x66);
	send_as(&call.caller, 0xb1, call.video.port, VIDEO, 0x66);
	assert_deaf(&call.eye);
	assert_talk(&call);
	phone_close(&thief);
	call_close(&call);
}

static void a_line_leaves_and_comes_back(void **state)
{
	struct phone own;
	struct call call;

	call_open(*state, &call);
	assert_talk(&call);
	phone_open(&own, "127.0.0.1");
	media_set_bundle(call.video.stream, NULL, NULL);
	leg_remote(&call.video, &own, &plain_video);
	fix_sync(&call.video);
	send_as(&own, 0xb1, call.video.port, VIDEO, 0x31);
	assert_hears(&call.eye, VIDEO, 0x31);
	send_as(&call.eye, 0xb2, call.far_video.port, VIDEO, 0x32);
	assert_hears(&own, VIDEO, 0x32);

	share(&call);
	fix_sync(&call.video);
	assert_talk(&call);
	send_as(&own, 0xb1, call.video.port, VIDEO, 0x33);
	assert_deaf(&call.eye);
	phone_close(&own);
	call_close(&call);
}

static void without_its_carrier_a_line_is_mute(void **state)
{
	struct call call;

	call_open(*state, &call);
	assert_talk(&call);
	leg_close(&call.audio);
	fix_sync(&call.video);
	send_as(&call.eye, 0xb2, call.far_video.port, VIDEO, 0x41);
	assert_deaf(&call.caller);
	send_as(&call.caller, 0xb1, call.video.port, VIDEO, 0x42);
	assert_deaf(&call.eye);
	call_close(&call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)
		T(packets_are_sorted_by_payload_type),
		T(a_bundle_lives_in_one_thread),
		T(who_is_bridged_stays_so_when_it_begins_to_ride),
		T(feedback_reaches_the_line_that_it_is_about),
		T(the_socket_of_who_rides_is_closed_to_all),
		T(a_line_leaves_and_comes_back),
		T(without_its_carrier_a_line_is_mute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
