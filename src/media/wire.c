/* SPDX-License-Identifier: Apache-2.0 */
#include "media/wire.h"

#include <errno.h>
#include <stdlib.h>
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

static const char *check_format(const struct mp_format *format)
{
	if (format->codec >= MEDIA_CODECS)
		return "codec";
	if (format->pt_out > 127 || format->pt_in > 127)
		return "payload type";
	if (format->flags & ~MP_FORMAT_FLAGS)
		return "format flags";
	if (format->clock_hz > 192000 || format->max_hz > 192000)
		return "clock rate";
	return NULL;
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
	if (msg->n_formats > MP_MAX_FORMATS)
		return "number of formats";
	for (unsigned i = 0; i < msg->n_formats && !why; i++)
		why = check_format(&msg->formats[i]);
	if (why)
		return why;
	if (msg->dtmf_tx >= MEDIA_DTMF_WAYS)
		return "way of digits";
	if (msg->dtmf_pt < -1 || msg->dtmf_pt > 127 || msg->dtmf_pt_in < -1 || msg->dtmf_pt_in > 127)
		return "telephone-event payload type";
	if (msg->dtmf_hz > 192000)
		return "telephone-event clock rate";
	return NULL;
}

static const char *check_bridge(const struct mp_hdr *hdr)
{
	return ((const struct mp_bridge *)hdr)->other ? NULL : "other stream";
}

static bool is_text(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static const char *check_secure(const struct mp_hdr *hdr)
{
	const struct mp_secure *msg = (const void *)hdr;

	if (msg->mode >= MP_SECURE_MODES)
		return "mode of encryption";
	if (msg->suite_tx >= MEDIA_SUITES || msg->suite_rx >= MEDIA_SUITES)
		return "suite";
	if (msg->mode == MP_SECURE_SDES && (!msg->suite_tx || !msg->suite_rx))
		return "no suite";
	return msg->hash < MEDIA_HASHES ? NULL : "hash";
}

static const char *check_ice(const struct mp_hdr *hdr)
{
	const struct mp_ice *msg = (const void *)hdr;

	if (msg->flags & ~MP_ICE_FLAGS)
		return "flags";
	return is_text(msg->ufrag, sizeof(msg->ufrag)) && is_text(msg->pwd, sizeof(msg->pwd)) &&
			       is_text(msg->remote_ufrag, sizeof(msg->remote_ufrag)) &&
			       is_text(msg->remote_pwd, sizeof(msg->remote_pwd))
		       ? NULL
		       : "text without end";
}

static const char *check_candidate(const struct mp_hdr *hdr)
{
	const struct mp_candidate *msg = (const void *)hdr;

	if (msg->component != 1 && msg->component != 2)
		return "component";
	return check_addr(&msg->addr);
}

static const char *check_moh_file(const struct mp_hdr *hdr)
{
	const struct mp_moh_file *msg = (const void *)hdr;

	if (msg->flags & ~MP_MOH_FLAGS)
		return "flags";
	if (!msg->moh_class)
		return "class 0";
	return is_text(msg->path, sizeof(msg->path)) ? NULL : "text without end";
}

static const char *check_play(const struct mp_hdr *hdr)
{
	const struct mp_play *msg = (const void *)hdr;

	if (msg->flags & ~MP_PLAY_FLAGS)
		return "flags";
	return is_text(msg->sound, sizeof(msg->sound)) ? NULL : "text without end";
}

static const char *check_played(const struct mp_hdr *hdr)
{
	const struct mp_played *msg = (const void *)hdr;

	if (msg->reason >= MEDIA_ENDS)
		return "reason";
	return msg->event < sizeof(digits) - 1 ? NULL : "digit";
}

static const char *check_record(const struct mp_hdr *hdr)
{
	const struct mp_record *msg = (const void *)hdr;

	if (msg->flags & ~MP_RECORD_FLAGS)
		return "flags";
	return is_text(msg->path, sizeof(msg->path)) ? NULL : "text without end";
}

static const char *check_record_set(const struct mp_hdr *hdr)
{
	return ((const struct mp_record_set *)hdr)->verb < MP_RECORD_VERBS ? NULL : "verb";
}

static const char *check_recorded(const struct mp_hdr *hdr)
{
	const struct mp_recorded *msg = (const void *)hdr;

	if (msg->reason >= MEDIA_ENDS)
		return "reason";
	return msg->event < sizeof(digits) - 1 ? NULL : "digit";
}

static const char *check_room_open(const struct mp_hdr *hdr)
{
	const struct mp_room_open *msg = (const void *)hdr;

	return msg->hz == 8000 || msg->hz == 16000 || msg->hz == 48000 ? NULL : "sampling rate";
}

static const char *check_room_join(const struct mp_hdr *hdr)
{
	const struct mp_room_join *msg = (const void *)hdr;

	if (msg->flags & ~MP_MEMBER_FLAGS)
		return "flags";
	return msg->room ? NULL : "room 0";
}

static const char *check_bundle(const struct mp_hdr *hdr)
{
	return ((const struct mp_bundle *)hdr)->carrier == hdr->stream ? "carrier is the stream" : NULL;
}

static const char *check_listen(const struct mp_hdr *hdr)
{
	return ((const struct mp_listen *)hdr)->flags & ~MP_LISTEN_FLAGS ? "flags" : NULL;
}

static const char *check_stats(const struct mp_hdr *hdr)
{
	return ((const struct mp_stats *)hdr)->codec < MEDIA_CODECS ? NULL : "codec";
}

static const char *check_digit(const struct mp_hdr *hdr)
{
	const struct mp_digit *msg = (const void *)hdr;

	return msg->event < sizeof(digits) - 1 ? NULL : "digit";
}

static const char *check_fax(const struct mp_hdr *hdr)
{
	return ((const struct mp_fax *)hdr)->tone < MP_FAX_TONES ? NULL : "tone";
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
	[MP_SECURE] = { sizeof(struct mp_secure), WIRE_TO_MEDIA, STREAM_SET, check_secure },
	[MP_ICE] = { sizeof(struct mp_ice), WIRE_TO_MEDIA, STREAM_SET, check_ice },
	[MP_CANDIDATE] = { sizeof(struct mp_candidate), WIRE_TO_MEDIA, STREAM_SET, check_candidate },
	[MP_MOH_FILE] = { sizeof(struct mp_moh_file), WIRE_TO_MEDIA, STREAM_NONE, check_moh_file },
	[MP_PLAY] = { sizeof(struct mp_play), WIRE_TO_MEDIA, STREAM_SET, check_play },
	[MP_PLAY_STOP] = { sizeof(struct mp_play_stop), WIRE_TO_MEDIA, STREAM_SET, NULL },
	[MP_RECORD] = { sizeof(struct mp_record), WIRE_TO_MEDIA, STREAM_SET, check_record },
	[MP_RECORD_SET] = { sizeof(struct mp_record_set), WIRE_TO_MEDIA, STREAM_SET, check_record_set },
	[MP_ROOM_OPEN] = { sizeof(struct mp_room_open), WIRE_TO_MEDIA, STREAM_SET, check_room_open },
	[MP_ROOM_JOIN] = { sizeof(struct mp_room_join), WIRE_TO_MEDIA, STREAM_SET, check_room_join },
	[MP_ROOM_LEAVE] = { sizeof(struct mp_hdr), WIRE_TO_MEDIA, STREAM_SET, NULL },
	[MP_BUNDLE] = { sizeof(struct mp_bundle), WIRE_TO_MEDIA, STREAM_SET, check_bundle },
	[MP_LISTEN] = { sizeof(struct mp_listen), WIRE_TO_MEDIA, STREAM_SET, check_listen },

	[MP_WELCOME] = { sizeof(struct mp_welcome), WIRE_TO_SWITCH, STREAM_NONE, NULL },
	[MP_OPENED] = { sizeof(struct mp_opened), WIRE_TO_SWITCH, STREAM_SET, NULL },
	[MP_FAILED] = { sizeof(struct mp_failed), WIRE_TO_SWITCH, STREAM_SET, check_failed },
	[MP_LATCHED] = { sizeof(struct mp_latched), WIRE_TO_SWITCH, STREAM_SET, check_latched },
	[MP_TIMEOUT] = { sizeof(struct mp_hdr), WIRE_TO_SWITCH, STREAM_SET, NULL },
	[MP_DTMF] = { sizeof(struct mp_digit), WIRE_TO_SWITCH, STREAM_SET, check_digit },
	[MP_STATS] = { sizeof(struct mp_stats), WIRE_TO_SWITCH, STREAM_SET, check_stats },
	[MP_ORPHAN] = { sizeof(struct mp_opened), WIRE_TO_SWITCH, STREAM_ANY, NULL },
	[MP_SECURED] = { sizeof(struct mp_secured), WIRE_TO_SWITCH, STREAM_SET, NULL },
	[MP_PLAYED] = { sizeof(struct mp_played), WIRE_TO_SWITCH, STREAM_SET, check_played },
	[MP_RECORDED] = { sizeof(struct mp_recorded), WIRE_TO_SWITCH, STREAM_SET, check_recorded },
	[MP_TALKING] = { sizeof(struct mp_talking), WIRE_TO_SWITCH, STREAM_SET, NULL },
	[MP_FAX] = { sizeof(struct mp_fax), WIRE_TO_SWITCH, STREAM_SET, check_fax },
};

/* Sizes are multiples of eight, or the messages behind them would not be aligned. */
#define WHOLE(type) _Static_assert(sizeof(struct type) % 8 == 0, #type)
WHOLE(mp_remote); WHOLE(mp_secure); WHOLE(mp_ice); WHOLE(mp_candidate); WHOLE(mp_moh_file);
WHOLE(mp_play); WHOLE(mp_played); WHOLE(mp_record); WHOLE(mp_recorded); WHOLE(mp_room_join);
WHOLE(mp_stats); WHOLE(mp_bundle); WHOLE(mp_welcome);

uint16_t wire_size(uint16_t type)
{
	return type < MP_TYPES ? rules[type].size : 0;
}

void wire_forget(struct mp_hdr *msg)
{
	if (msg)
		explicit_bzero(msg, msg->size);
	free(msg);
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
