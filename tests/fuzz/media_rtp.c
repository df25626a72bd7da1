/* SPDX-License-Identifier: Apache-2.0 */
/* RTP, RTCP and telephone-event headers as strangers send them. */
#include <stdlib.h>
#include <string.h>
#include "media/bundle.h"
#include "media/rtcp.h"
#include "media/rtphdr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two lines on one transport, the second one of payload type 96 and SSRC 0x01020304. */
static struct stream *bundled(void)
{
	static struct stream carrier, rider;
	static struct slot slots[2];
	static struct relay relay;
	static const uint8_t numbers[16] = { [12] = 1 };
	static const uint8_t packet[12] = { 0x80, 96, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4 };

	if (!carrier.bundle) {
		carrier.wire = &carrier;
		carrier.slot = &slots[0];
		rider.wire = &rider;
		rider.slot = &slots[1];
		if (bundle_join(&relay, &rider, &carrier, numbers) ||
		    bundle_line(&carrier, packet, sizeof(packet)) != &rider)
			abort();
		bundle_sent(&rider, 0x11121314);
	}
	return &carrier;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hdr_map self = { true, 0x01020304, 0x0a0b0c0d, 77, 1234 };
	struct hdr_map about = { true, 0x11121314, 0x01020304, 9, 0 };
	struct report_heard heard;
	struct hdr_event event;
	struct hdr_rtp hdr;
	uint8_t *copy = malloc(size ? size : 1); /* exact, so that one byte too far is seen */

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	if (!hdr_rtp_parse(&hdr, copy, size)) {
		if (hdr.payload_at + hdr.payload_len > size)
			abort();
		if (!hdr_event_parse(&event, copy + hdr.payload_at, hdr.payload_len) && event.end)
			hdr.marker = !hdr.marker;
		hdr_rtp_patch(copy, &hdr);
	}
	(void)bundle_line(bundled(), copy, size);
	(void)bundle_report_line(bundled(), copy, size);
	memcpy(copy, data, size);
	if (hdr_is_rtcp(copy, size)) {
		if (!report_parse(&heard, copy, size, 0x11121314) &&
		    strlen(heard.cname) > REPORT_MAX_CNAME)
			abort();
		(void)hdr_rtcp_map(copy, size, &self, &about);
	}
	free(copy);
	return 0;
}
