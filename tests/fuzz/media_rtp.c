/* SPDX-License-Identifier: Apache-2.0 */
/* RTP, RTCP and telephone-event headers as strangers send them. */
#include <stdlib.h>
#include <string.h>
#include "media/rtcp.h"
#include "media/rtphdr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
