/* SPDX-License-Identifier: Apache-2.0 */
#include "media/wire.h"

#include <errno.h>
#include <string.h>
#include "media/client.h"

static const char digits[] = "0123456789*#ABCD";

typedef const char *(wire_check_h)(const struct mp_hdr *hdr);

static const char *check_addr(const struct mp_addr *addr)
{
	if (addr->family != 0 && addr->family != 4 && addr->family != 6)
		return "address family";
	return NULL;
}

static const char *check_hello(const struct mp_hdr *hdr)
{
	const struct mp_hello *msg = (const void *)hdr;

	/* Magic and version are judged by the receiver, which answers with its own. */
	return msg->lease ? NULL : "lease 0";
}

static const char *check_open(const struct mp_hdr *hdr)
{
	const struct mp_open *msg = (const void *)hdr;

	return msg->flags & ~MP_OPEN_FLAGS ? "flags" : NULL;
}

static const char *check_remote(const struct mp_hdr *hdr)
{
	const struct mp_remote *msg = (const void *)hdr;
	const char *why = check_addr(&msg->rtp);

	if (!why)
		why = check_addr(&msg->rtcp);
	if (why)
		return why;
	if (msg->flags & ~MP_REMOTE_FLAGS)
		return "flags";
	if (msg->codec > MEDIA_L16)
		return "codec";
	if (msg->pt > 127)
		return "payload type";
	if (msg->dtmf_pt < -1 || msg->dtmf_pt > 127)
		return "telephone-event payload type";
	if (msg->clock_hz > 192000)
		return "clock rate";
	return NULL;
}

static const char *check_bridge(const struct mp_hdr *hdr)
{
	const struct mp_bridge *msg = (const void *)hdr;

	return msg->other && msg->other != hdr->stream ? NULL : "other stream";
}

static const char *check_digit(const struct mp_hdr *hdr)
{
	const struct mp_digit *msg = (const void *)hdr;

	return msg->event < sizeof(digits) - 1 ? NULL : "digit";
}

static const char *check_failed(const struct mp_hdr *hdr)
{
	const struct mp_failed *msg = (const void *)hdr;

	return msg->err < 0 ? NULL : "error code";
}

static const char *check_latched(const struct mp_hdr *hdr)
{
	return check_addr(&((const struct mp_latched *)hdr)->remote);
}

/* One row per message: who sends it, how long it is, whether it names a stream, what else to check. */
static const struct wire_rule {
	uint16_t size;
	uint8_t dir;
	enum { STREAM_NONE, STREAM_SET, STREAM_ANY } stream;
	wire_check_h *check_h;
} rules[MP_TYPES] = {
	[MP_HELLO] = { sizeof(struct mp_hello), WIRE_TO_MEDIA, STREAM_NONE, check_hello },
	[MP_OPEN] = { sizeof(struct mp_open), WIRE_TO_MEDIA, STREAM_SET, check_open },
	[MP_CLOSE] = { sizeof(struct mp_close), WIRE_TO_MEDIA, STREAM_SET, NULL },
	[MP_REMOTE] = { sizeof(struct mp_remote), WIRE_TO_MEDIA, STREAM_SET, check_remote },
	[MP_BRIDGE] = { sizeof(struct mp_bridge), WIRE_TO_MEDIA, STREAM_SET, check_bridge },
	[MP_UNBRIDGE] = { sizeof(struct mp_hdr), WIRE_TO_MEDIA, STREAM_SET, NULL },
	[MP_MUSIC_START] = { sizeof(struct mp_music), WIRE_TO_MEDIA, STREAM_SET, NULL },
	[MP_MUSIC_STOP] = { sizeof(struct mp_hdr), WIRE_TO_MEDIA, STREAM_SET, NULL },
	[MP_DTMF_SEND] = { sizeof(struct mp_digit), WIRE_TO_MEDIA, STREAM_SET, check_digit },
	[MP_STATS_QUERY] = { sizeof(struct mp_hdr), WIRE_TO_MEDIA, STREAM_SET, NULL },
	[MP_LIST] = { sizeof(struct mp_hdr), WIRE_TO_MEDIA, STREAM_NONE, NULL },
	[MP_ADOPT] = { sizeof(struct mp_hdr), WIRE_TO_MEDIA, STREAM_SET, NULL },
	[MP_ABANDON] = { sizeof(struct mp_hdr), WIRE_TO_MEDIA, STREAM_SET, NULL },

	[MP_WELCOME] = { sizeof(struct mp_welcome), WIRE_TO_SWITCH, STREAM_NONE, NULL },
	[MP_OPENED] = { sizeof(struct mp_opened), WIRE_TO_SWITCH, STREAM_SET, NULL },
	[MP_FAILED] = { sizeof(struct mp_failed), WIRE_TO_SWITCH, STREAM_SET, check_failed },
	[MP_LATCHED] = { sizeof(struct mp_latched), WIRE_TO_SWITCH, STREAM_SET, check_latched },
	[MP_TIMEOUT] = { sizeof(struct mp_hdr), WIRE_TO_SWITCH, STREAM_SET, NULL },
	[MP_DTMF] = { sizeof(struct mp_digit), WIRE_TO_SWITCH, STREAM_SET, check_digit },
	[MP_STATS] = { sizeof(struct mp_stats), WIRE_TO_SWITCH, STREAM_SET, NULL },
	[MP_ORPHAN] = { sizeof(struct mp_opened), WIRE_TO_SWITCH, STREAM_ANY, NULL },
};

uint16_t wire_size(uint16_t type)
{
	return type < MP_TYPES ? rules[type].size : 0;
}

static const char *check(const struct mp_hdr *hdr, size_t left, enum wire_dir dir)
{
	const struct wire_rule *rule;

	if (hdr->type >= MP_TYPES || !rules[hdr->type].size)
		return "unknown message type";

	rule = &rules[hdr->type];
	if (rule->dir != dir)
		return "message in the wrong direction";
	if (hdr->size != rule->size || hdr->size > left)
		return "message length";
	if (hdr->zero)
		return "reserved bytes";
	if (rule->stream != STREAM_ANY && !hdr->stream == (rule->stream == STREAM_SET))
		return "stream id";
	return rule->check_h ? rule->check_h(hdr) : NULL;
}

int wire_next(const struct mp_hdr **ret, struct wire_reader *reader, const char **why)
{
	const struct mp_hdr *hdr = (const void *)reader->data;

	if (!reader->left)
		return 0;

	*why = reader->left < sizeof(*hdr) ? "truncated message" : check(hdr, reader->left, reader->dir);
	if (*why)
		return -EBADMSG;

	reader->data += hdr->size;
	reader->left -= hdr->size;
	*ret = hdr;
	return 1;
}

int wire_event_of(char digit)
{
	const char *at = digit ? strchr(digits, digit) : NULL;

	return at ? (int)(at - digits) : -EINVAL;
}

char wire_digit_of(uint8_t event)
{
	return event < sizeof(digits) - 1 ? digits[event] : 0;
}

void *wire_append(struct wire_batch *batch, uint16_t type, uint64_t stream)
{
	uint16_t size = wire_size(type);
	struct mp_hdr *hdr = (void *)(batch->data + batch->len);

	if (batch->len + size > sizeof(batch->data))
		return NULL;

	memset(hdr, 0, size);
	hdr->type = type;
	hdr->size = size;
	hdr->stream = stream;
	batch->len += size;
	return hdr;
}
