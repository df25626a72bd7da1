/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/sdesc.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include "base/log.h"
#include "snapshot/snapshot.h"

/* What a payload type means without rtpmap (RFC 3551 section 6, tables 4 and 5). */
static const struct static_type {
	uint8_t pt, channels;
	uint32_t clock_hz;
	const char *name;
} static_types[] = {
	{ 0, 1, 8000, "PCMU" },	  { 3, 1, 8000, "GSM" },    { 4, 1, 8000, "G723" },
	{ 5, 1, 8000, "DVI4" },	  { 6, 1, 16000, "DVI4" },  { 7, 1, 8000, "LPC" },
	{ 8, 1, 8000, "PCMA" },	  { 9, 1, 8000, "G722" },   { 10, 2, 44100, "L16" },
	{ 11, 1, 44100, "L16" },  { 12, 1, 8000, "QCELP" }, { 13, 1, 8000, "CN" },
	{ 14, 1, 90000, "MPA" },  { 15, 1, 8000, "G728" },  { 16, 1, 11025, "DVI4" },
	{ 17, 1, 22050, "DVI4" }, { 18, 1, 8000, "G729" },  { 25, 1, 90000, "CelB" },
	{ 26, 1, 90000, "JPEG" }, { 28, 1, 90000, "nv" },   { 31, 1, 90000, "H261" },
	{ 32, 1, 90000, "MPV" },  { 33, 1, 90000, "MP2T" }, { 34, 1, 90000, "H263" },
};

/* Encoding names of the codecs that a list may hold (BASE-51). */
static const struct codec_name {
	uint8_t codec; /* enum snap_codec */
	const char *name;
} codec_names[] = {
	{ SNAP_PCMA, "PCMA" },	     { SNAP_PCMU, "PCMU" },	    { SNAP_G722, "G722" },
	{ SNAP_G726, "G726-32" },    { SNAP_G726, "G726-16" },	    { SNAP_G726, "G726-24" },
	{ SNAP_G726, "G726-40" },    { SNAP_G726, "AAL2-G726-32" }, { SNAP_G729, "G729" },
	{ SNAP_G729, "G729A" },	     { SNAP_GSM, "GSM" },	    { SNAP_OPUS, "opus" },
	{ SNAP_H261, "H261" },	     { SNAP_H263, "H263" },	    { SNAP_H263P, "H263-1998" },
	{ SNAP_H263P, "H263-2000" }, { SNAP_H264, "H264" },	    { SNAP_VP8, "VP8" },
};

/* Formats that accompany a codec and are none. */
static const char *const companions[] = { "telephone-event", "CN", "red" };

/*
 * Attributes of one hop: they name addresses, keys or sources of the other side and mean nothing,
 * or too much, to a third party. A trailing * matches the rest.
 */
static const char *const hop_attrs[] = {
	"candidate",
	"end-of-candidates",
	"remote-candidates",
	"ice-*",
	"crypto",
	"crypto-*",
	"fingerprint",
	"setup",
	"tls-id",
	"dtls-*",
	"key-mgmt",
	"zrtp-*",
	"ssrc",
	"ssrc-*",
	"msid",
	"msid-*",
	"mid",
	"bundle-only",
	"group",
	"alt",
	"source-filter",
	"X-nat",
	"nortpproxy",
	"rtcp-mux-only",
	"connection",
	"3ge2ae",
	"encryption",
	"identity",
	"sendrtcp",
};

static const struct dir_name {
	const char *name;
	enum sdesc_dir dir;
} dir_names[] = {
	{ "sendrecv", SDESC_SENDRECV },
	{ "sendonly", SDESC_SENDONLY },
	{ "recvonly", SDESC_RECVONLY },
	{ "inactive", SDESC_INACTIVE },
};

static const char *const kind_names[] = {
	[SDESC_AUDIO] = "audio",
	[SDESC_VIDEO] = "video",
	[SDESC_IMAGE] = "image",
};

/* One allocation: this, the media lines, their formats and attributes, the text. */
struct block {
	struct sdesc desc;
	size_t bytes;
};

struct counts {
	size_t media, formats, attrs;
};

/* What the parser is at. Lines are cut in place in the copy of the text. */
struct parser {
	struct sdesc *desc;
	struct sdesc_media *media;    /* NULL: session level */
	struct sdesc_format *formats; /* next free */
	struct sdesc_attr *attrs;
	struct sa session_addr;
	bool has_session_addr;
	bool has_media_addr[SDESC_MAX_MEDIA];
	bool zero_addr[SDESC_MAX_MEDIA], zero_session_addr;
	bool has_dir[SDESC_MAX_MEDIA];
	bool has_rtcp[SDESC_MAX_MEDIA], has_rtcp_addr[SDESC_MAX_MEDIA];
	uint16_t rtcp_port[SDESC_MAX_MEDIA];
	enum sdesc_dir session_dir;
	uint8_t session_ptime_ms;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *skip_blank(char *p)
{
	while (is_blank(*p))
		++p;
	return p;
}

/* Cuts the next word off *p; NULL when there is none. */
static char *next_word(char **p)
{
	char *word = skip_blank(*p), *end = word;

	if (!*word)
		return NULL;
	while (*end && !is_blank(*end))
		++end;
	if (*end)
		*end++ = '\0';
	*p = end;
	return word;
}

/* Decimal number with nothing behind it (or one of the characters in stop). */
static int parse_number(uint64_t *ret, const char *text, const char *stop, uint64_t max)
{
	const char *p = text;
	uint64_t n = 0;

	for (; *p >= '0' && *p <= '9'; ++p) {
		const unsigned digit = (unsigned)(*p - '0');

		if (n > (UINT64_MAX - digit) / 10)
			return -EBADMSG;
		n = n * 10 + digit;
	}
	if (p == text || n > max || (*p && !strchr(stop, *p)))
		return -EBADMSG;
	*ret = n;
	return 0;
}

static bool is_rtp(const char *proto)
{
	return strstr(proto, "RTP/") != NULL;
}

/* ------------------------------------------------------------------ counting */

static size_t line_end(const char *text, size_t len, size_t pos)
{
	while (pos < len && text[pos] != '\r' && text[pos] != '\n')
		++pos;
	return pos;
}

static size_t count_words(const char *text, size_t len)
{
	size_t n = 0;
	bool in_word = false;

	for (size_t i = 0; i < len; i++) {
		const bool blank = is_blank(text[i]);

		if (!blank && !in_word)
			++n;
		in_word = !blank;
	}
	return n;
}

/* Upper bounds, so that one allocation suffices; also checks the limits. */
static int count_lines(struct counts *ret, const char *text, size_t len)
{
	size_t end, attrs = 0;

	for (size_t pos = 0; pos < len; pos = end + 1) {
		end = line_end(text, len, pos);
		if (end - pos < 2 || text[pos + 1] != '=')
			continue;

		if (text[pos] == 'm') {
			const size_t words = count_words(text + pos + 2, end - pos - 2);
			const size_t formats = words > 3 ? words - 3 : 0;

			if (++ret->media > SDESC_MAX_MEDIA || formats > SDESC_MAX_FORMATS)
				return -EMSGSIZE;
			ret->formats += formats;
			attrs = 0;
		} else if (text[pos] == 'a') {
			/* rtpmap and fmtp have a home of their own, so there may be as many more */
			if (++attrs > SDESC_MAX_ATTRS + 2 * SDESC_MAX_FORMATS)
				return -EMSGSIZE;
			if (ret->media)
				ret->attrs++;
		}
	}
	return 0;
}

/* ------------------------------------------------------------------ lines */

/*
 * "IN IP4 192.0.2.1/127". Host names are refused: resolving would let a caller make the switch wait
 * for and ask any name server. So is multicast: RFC 3264 sessions here are between two parties.
 */
static int parse_address(struct sa *ret, bool *zero, char *text)
{
	char *net, *type, *addr, *slash;
	struct sa sa;

	net = next_word(&text);
	type = next_word(&text);
	addr = next_word(&text);
	if (!net || !type || !addr || strcasecmp(net, "IN"))
		return -EBADMSG;

	slash = strchr(addr, '/');
	if (slash)
		*slash = '\0';
	if (sa_set_str(&sa, addr, 0))
		return -EBADMSG;
	if (sa_af(&sa) != (strcasecmp(type, "IP6") ? AF_INET : AF_INET6))
		return -EBADMSG;
	if (sa_af(&sa) == AF_INET && (sa_in(&sa) >> 28) == 0xe)
		return -EBADMSG;
	if (sa_af(&sa) == AF_INET6 && sa.u.in6.sin6_addr.s6_addr[0] == 0xff)
		return -EBADMSG;

	*zero = sa_is_any(&sa);
	*ret = sa;
	return 0;
}

static size_t media_index(const struct parser *p)
{
	return (size_t)(p->media - p->desc->media);
}

static int line_version(struct parser *p, char *value)
{
	return strcmp(value, "0") ? -EBADMSG : 0;
}

/* Read from its end: old phones have blanks in the user name. */
static int line_origin(struct parser *p, char *value)
{
	char *words[16];
	size_t n = 0;
	char *word;

	while ((word = next_word(&value))) {
		if (n == ARRAY_SIZE(words))
			return -EBADMSG;
		words[n++] = word;
	}
	if (n < 6)
		return -EBADMSG;
	/* Only equality of versions matters; what is not a number counts as 0. */
	if (parse_number(&p->desc->origin_id, words[n - 5], "", UINT64_MAX))
		p->desc->origin_id = 0;
	if (parse_number(&p->desc->origin_version, words[n - 4], "", UINT64_MAX))
		p->desc->origin_version = 0;
	return 0;
}

static int line_connection(struct parser *p, char *value)
{
	bool zero;
	struct sa sa;
	int err;

	if (p->media && p->has_media_addr[media_index(p)])
		return 0; /* more lines are for layered multicast (RFC 8866 section 5.7) */

	err = parse_address(&sa, &zero, value);
	if (err) {
		/* The address of a refused line is nobody's concern. */
		return p->media && !p->media->port ? 0 : err;
	}

	if (p->media) {
		const size_t i = media_index(p);

		sa_set_port(&sa, p->media->port);
		p->media->rtp = sa;
		p->has_media_addr[i] = true;
		p->zero_addr[i] = zero;
	} else {
		p->session_addr = sa;
		p->has_session_addr = true;
		p->zero_session_addr = zero;
	}
	return 0;
}

static int line_bandwidth(struct parser *p, char *value)
{
	uint64_t n;

	if (p->media && !strncasecmp(value, "AS:", 3) &&
	    !parse_number(&n, value + 3, " ", UINT32_MAX))
		p->media->bandwidth_as = (uint32_t)n;
	return 0;
}

static enum sdesc_kind kind_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kind_names); i++) {
		if (!strcasecmp(name, kind_names[i]))
			return (enum sdesc_kind)i;
	}
	return SDESC_OTHER;
}

static struct sdesc_format *find_format(struct sdesc_media *media, const char *id)
{
	for (size_t i = 0; i < media->n_formats; i++) {
		if (!strcmp(media->formats[i].id, id))
			return &media->formats[i];
	}
	return NULL;
}

static int add_format(struct parser *p, const char *id)
{
	struct sdesc_media *media = p->media;
	struct sdesc_format *fmt;
	uint64_t pt = 0;

	if (str_len(id) >= sizeof(fmt->id))
		return -EBADMSG;
	if (find_format(media, id))
		return 0;

	fmt = p->formats;
	if (is_rtp(media->proto)) {
		if (parse_number(&pt, id, "", 127))
			return -EBADMSG;
		fmt->pt = (int)pt;
		for (size_t i = 0; i < ARRAY_SIZE(static_types); i++) {
			if (static_types[i].pt != pt)
				continue;
			str_ncpy(fmt->name, static_types[i].name, sizeof(fmt->name));
			fmt->clock_hz = static_types[i].clock_hz;
			fmt->channels = static_types[i].channels;
		}
	} else {
		fmt->pt = -1;
		str_ncpy(fmt->name, id, sizeof(fmt->name));
	}
	if (!fmt->channels)
		fmt->channels = 1;
	str_ncpy(fmt->id, id, sizeof(fmt->id));
	p->formats++;
	media->n_formats++;
	return 0;
}

static int line_media(struct parser *p, char *value)
{
	char *kind, *port, *proto, *id;
	struct sdesc_media *media;
	uint64_t n;
	int err;

	kind = next_word(&value);
	port = next_word(&value);
	proto = next_word(&value);
	if (!kind || !port || !proto || parse_number(&n, port, "/", 65535))
		return -EBADMSG;

	media = &p->desc->media[p->desc->n_media++];
	p->media = media;
	if (str_len(kind) >= sizeof(media->kind_text) || str_len(proto) >= sizeof(media->proto))
		return -EBADMSG;
	media->kind = kind_of(kind);
	str_ncpy(media->kind_text, kind, sizeof(media->kind_text));
	str_ncpy(media->proto, proto, sizeof(media->proto));
	media->port = (uint16_t)n;
	media->formats = p->formats;
	media->attrs = p->attrs;
	sa_init(&media->rtp, AF_UNSPEC);
	sa_init(&media->rtcp, AF_UNSPEC);

	while ((id = next_word(&value))) {
		err = add_format(p, id);
		if (err)
			return err;
	}
	return media->n_formats || !media->port ? 0 : -EBADMSG;
}

/* ------------------------------------------------------------------ attributes */

static int attr_rtpmap(struct parser *p, char *value)
{
	struct sdesc_format *fmt;
	char *id, *name, *slash;
	uint64_t n;

	id = next_word(&value);
	name = next_word(&value);
	if (!id || !name || !p->media)
		return -EBADMSG;
	fmt = find_format(p->media, id);
	if (!fmt)
		return 0;

	slash = strchr(name, '/');
	if (!slash)
		return -EBADMSG;
	*slash++ = '\0';
	if (str_len(name) >= sizeof(fmt->name) || parse_number(&n, slash, "/", UINT32_MAX) || !n)
		return -EBADMSG;
	str_ncpy(fmt->name, name, sizeof(fmt->name));
	fmt->clock_hz = (uint32_t)n;
	fmt->channels = 1;

	slash = strchr(slash, '/');
	if (slash && p->media->kind == SDESC_AUDIO && !parse_number(&n, slash + 1, "/", 255) && n)
		fmt->channels = (uint8_t)n;
	return 0;
}

static int attr_fmtp(struct parser *p, char *value)
{
	struct sdesc_format *fmt;
	char *id;

	id = next_word(&value);
	value = skip_blank(value);
	if (!id || !p->media)
		return -EBADMSG;
	fmt = find_format(p->media, id);
	if (fmt && *value && !fmt->fmtp)
		fmt->fmtp = value;
	return 0;
}

static int attr_ptime(struct parser *p, char *value)
{
	uint64_t n;

	if (parse_number(&n, value, ". ", 255))
		return 0; /* a wish we do not understand is none */
	if (p->media)
		p->media->ptime_ms = (uint8_t)n;
	else
		p->session_ptime_ms = (uint8_t)n;
	return 0;
}

/* RFC 3605: "53020" or "53020 IN IP4 126.16.64.4". */
static int attr_rtcp(struct parser *p, char *value)
{
	char *port;
	bool zero;
	uint64_t n;
	size_t i;

	if (!p->media)
		return 0;
	port = next_word(&value);
	if (!port || parse_number(&n, port, "", 65535) || !n)
		return -EBADMSG;
	i = media_index(p);
	p->has_rtcp[i] = true;
	p->rtcp_port[i] = (uint16_t)n;
	if (!*skip_blank(value))
		return 0;
	if (parse_address(&p->media->rtcp, &zero, value))
		return -EBADMSG;
	p->has_rtcp_addr[i] = !zero;
	return 0;
}

static int attr_rtcp_mux(struct parser *p, char *value)
{
	if (p->media)
		p->media->rtcp_mux = true;
	return 0;
}

static int attr_group(struct parser *p, char *value)
{
	if (!p->media && !strncasecmp(value, "BUNDLE", 6))
		p->desc->bundle = true;
	return 0;
}

static const struct attr_rule {
	const char *name;
	int (*h)(struct parser *p, char *value);
} attr_rules[] = {
	{ "rtpmap", attr_rtpmap }, { "fmtp", attr_fmtp },	  { "ptime", attr_ptime },
	{ "rtcp", attr_rtcp },	   { "rtcp-mux", attr_rtcp_mux }, { "group", attr_group },
};

static char no_value[] = "";

static int line_attribute(struct parser *p, char *value)
{
	char *name = value, *colon = strchr(value, ':');
	char *end;

	if (colon) {
		*colon = '\0';
		value = skip_blank(colon + 1);
	}
	for (end = name + strlen(name); end > name && is_blank(end[-1]); --end)
		end[-1] = '\0';
	if (!*name)
		return 0;

	for (size_t i = 0; i < ARRAY_SIZE(dir_names); i++) {
		if (strcasecmp(name, dir_names[i].name))
			continue;
		if (p->media) {
			p->media->dir = dir_names[i].dir;
			p->has_dir[media_index(p)] = true;
		} else {
			p->session_dir = dir_names[i].dir;
		}
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(attr_rules); i++) {
		if (!strcasecmp(name, attr_rules[i].name))
			return attr_rules[i].h(p, colon ? value : no_value);
	}
	if (!p->media)
		return 0;
	if (p->media->n_attrs == SDESC_MAX_ATTRS)
		return -EMSGSIZE;
	*p->attrs++ = (struct sdesc_attr){ .name = name, .value = colon ? value : NULL };
	p->media->n_attrs++;
	return 0;
}

static const struct line_rule {
	char type;
	int (*h)(struct parser *p, char *value);
} line_rules[] = {
	{ 'v', line_version },	 { 'o', line_origin }, { 'c', line_connection },
	{ 'b', line_bandwidth }, { 'm', line_media },  { 'a', line_attribute },
};

static int parse_line(struct parser *p, char *line)
{
	char *value, *end;

	if (line[0] < 'a' || line[0] > 'z' || line[1] != '=')
		return -EBADMSG;
	value = skip_blank(line + 2);
	for (end = value + strlen(value); end > value && is_blank(end[-1]); --end)
		end[-1] = '\0';

	for (size_t i = 0; i < ARRAY_SIZE(line_rules); i++) {
		if (line_rules[i].type == line[0])
			return line_rules[i].h(p, value);
	}
	return 0; /* s=, t=, i=, u=... say nothing to us (RFC 3264 section 5) */
}

/* What session level says for lines that do not say it themselves. */
static int inherit(struct parser *p)
{
	for (size_t i = 0; i < p->desc->n_media; i++) {
		struct sdesc_media *media = &p->desc->media[i];
		bool zero = p->zero_addr[i];

		if (!p->has_dir[i])
			media->dir = p->session_dir;
		if (!media->ptime_ms)
			media->ptime_ms = p->session_ptime_ms;
		if (!p->has_media_addr[i]) {
			if (!p->has_session_addr) {
				if (media->port)
					return -EBADMSG;
				continue;
			}
			media->rtp = p->session_addr;
			zero = p->zero_session_addr;
		}
		sa_set_port(&media->rtp, media->port);

		/* Hold as RFC 2543 had it (RFC 3264 section 8.4): nothing can reach 0.0.0.0. */
		if (zero)
			media->dir = (enum sdesc_dir)(media->dir & ~SDESC_RECVONLY);

		if (!p->has_rtcp_addr[i])
			media->rtcp = media->rtp;
		if (p->has_rtcp[i])
			sa_set_port(&media->rtcp, p->rtcp_port[i]);
		else if (!media->rtcp_mux)
			sa_set_port(&media->rtcp, media->port == 65535 ? 0 : media->port + 1);
	}
	return 0;
}

int sdesc_parse(struct sdesc **ret, const char *text, size_t len)
{
	struct counts n = { 0 };
	struct parser p = { .session_dir = SDESC_SENDRECV };
	struct block *block;
	size_t bytes, pos, end;
	bool first = true;
	char *copy;
	int err;

	if (len > SDESC_MAX_BYTES)
		return -EMSGSIZE;
	if (!text || !len || memchr(text, '\0', len))
		return -EBADMSG;
	err = count_lines(&n, text, len);
	if (err)
		return err;

	bytes = sizeof(*block) + n.media * sizeof(*p.media) + n.formats * sizeof(*p.formats) +
		n.attrs * sizeof(*p.attrs) + len + 1;
	block = mem_zalloc(bytes, NULL);
	if (!block)
		return -ENOMEM;
	block->bytes = bytes;
	p.desc = &block->desc;
	p.desc->media = (struct sdesc_media *)(block + 1);
	p.formats = (struct sdesc_format *)(p.desc->media + n.media);
	p.attrs = (struct sdesc_attr *)(p.formats + n.formats);
	copy = (char *)(p.attrs + n.attrs);
	memcpy(copy, text, len);

	for (pos = 0; pos < len; pos = end + 1) {
		end = line_end(copy, len, pos);
		copy[end] = '\0';
		if (pos == end)
			continue; /* the LF of a CRLF, or an empty line */
		if (first && copy[pos] != 'v')
			err = -EBADMSG;
		else
			err = parse_line(&p, copy + pos);
		if (err)
			goto out;
		first = false;
	}
	err = first ? -EBADMSG : inherit(&p);

out:
	if (err) {
		log_debug("sip.sdp_refused", "session description refused", kv_int("offset", pos),
			  kv_err(err));
		mem_deref(block);
		return err;
	}
	*ret = &block->desc;
	return 0;
}

/* Moves a pointer into block old to the same place of block new. */
static void *moved(const void *ptr, const struct block *old_block, struct block *new_block)
{
	const uintptr_t at = (uintptr_t)ptr, base = (uintptr_t)old_block;

	if (at < base || at >= base + old_block->bytes)
		return (void *)(uintptr_t)ptr;
	return (char *)new_block + (at - base);
}

int sdesc_copy(struct sdesc **ret, const struct sdesc *desc)
{
	const struct block *old_block = (const struct block *)desc;
	struct block *block;

	block = mem_alloc(old_block->bytes, NULL);
	if (!block)
		return -ENOMEM;
	memcpy(block, old_block, old_block->bytes);

	block->desc.media = moved(desc->media, old_block, block);
	for (size_t i = 0; i < desc->n_media; i++) {
		struct sdesc_media *media = &block->desc.media[i];

		media->formats = moved(media->formats, old_block, block);
		media->attrs = moved(media->attrs, old_block, block);
		for (size_t k = 0; k < media->n_formats; k++)
			media->formats[k].fmtp = moved(media->formats[k].fmtp, old_block, block);
		for (size_t k = 0; k < media->n_attrs; k++) {
			media->attrs[k].name = moved(media->attrs[k].name, old_block, block);
			media->attrs[k].value = moved(media->attrs[k].value, old_block, block);
		}
	}
	*ret = &block->desc;
	return 0;
}

/* ------------------------------------------------------------------ printing */

struct printer {
	char *buf;
	size_t size, len; /* len beyond size: did not fit */
};

static void put_n(struct printer *out, const char *text, size_t len)
{
	if (out->len + len < out->size)
		memcpy(out->buf + out->len, text, len);
	out->len += len;
}

static void put(struct printer *out, const char *text)
{
	put_n(out, text, strlen(text));
}

static void put_number(struct printer *out, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	put_n(out, digits + i, sizeof(digits) - i);
}

static void put_address(struct printer *out, const struct sa *addr)
{
	char text[64];

	if (sa_ntop(addr, text, sizeof(text)))
		text[0] = '\0';
	put(out, sa_af(addr) == AF_INET6 ? "IN IP6 " : "IN IP4 ");
	put(out, text);
	put(out, "\r\n");
}

static bool is_hop_attr(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(hop_attrs); i++) {
		const size_t len = strlen(hop_attrs[i]);

		if (hop_attrs[i][len - 1] == '*' ? !strncasecmp(name, hop_attrs[i], len - 1)
						 : !strcasecmp(name, hop_attrs[i]))
			return true;
	}
	return false;
}

/* a=rtcp-fb:96 nack of a format that was filtered out would name a payload type nobody knows. */
static bool names_missing_format(const struct sdesc_media *media, const struct sdesc_attr *attr)
{
	size_t len;

	if (strcasecmp(attr->name, "rtcp-fb") || !attr->value || attr->value[0] == '*')
		return false;
	len = strcspn(attr->value, " \t");
	for (size_t i = 0; i < media->n_formats; i++) {
		if (strlen(media->formats[i].id) == len &&
		    !memcmp(media->formats[i].id, attr->value, len))
			return false;
	}
	return true;
}

static void put_format(struct printer *out, const struct sdesc_media *media,
		       const struct sdesc_format *fmt)
{
	if (fmt->pt >= 0 && fmt->name[0]) {
		put(out, "a=rtpmap:");
		put(out, fmt->id);
		put(out, " ");
		put(out, fmt->name);
		put(out, "/");
		put_number(out, fmt->clock_hz);
		if (media->kind == SDESC_AUDIO && fmt->channels > 1) {
			put(out, "/");
			put_number(out, fmt->channels);
		}
		put(out, "\r\n");
	}
	if (fmt->fmtp) {
		put(out, "a=fmtp:");
		put(out, fmt->id);
		put(out, " ");
		put(out, fmt->fmtp);
		put(out, "\r\n");
	}
}

/* RFC 3605, for direct media: where RTCP goes when that is not the next port. */
static void put_rtcp(struct printer *out, const struct sdesc_media *media)
{
	const bool same_host = sa_cmp(&media->rtp, &media->rtcp, SA_ADDR);

	if (media->rtcp_mux || (same_host && sa_port(&media->rtcp) == media->port + 1))
		return;
	put(out, "a=rtcp:");
	put_number(out, sa_port(&media->rtcp));
	if (!same_host) {
		put(out, " ");
		put_address(out, &media->rtcp);
		return;
	}
	put(out, "\r\n");
}

static void put_media(struct printer *out, const struct sdesc_media *media, uint16_t port,
		      bool keep_address)
{
	put(out, "m=");
	put(out, media->kind_text);
	put(out, " ");
	put_number(out, port);
	put(out, " ");
	put(out, media->proto);
	for (size_t i = 0; i < media->n_formats; i++) {
		put(out, " ");
		put(out, media->formats[i].id);
	}
	if (!media->n_formats) /* the grammar wants one even on a refused line */
		put(out, " 0");
	put(out, "\r\n");
	if (!port)
		return;

	if (keep_address) {
		put(out, "c=");
		put_address(out, &media->rtp);
	}
	if (media->bandwidth_as) {
		put(out, "b=AS:");
		put_number(out, media->bandwidth_as);
		put(out, "\r\n");
	}
	for (size_t i = 0; i < media->n_formats; i++)
		put_format(out, media, &media->formats[i]);
	if (media->ptime_ms) {
		put(out, "a=ptime:");
		put_number(out, media->ptime_ms);
		put(out, "\r\n");
	}
	if (keep_address && is_rtp(media->proto))
		put_rtcp(out, media);
	if (media->rtcp_mux)
		put(out, "a=rtcp-mux\r\n");
	for (size_t i = 0; i < media->n_attrs; i++) {
		const struct sdesc_attr *attr = &media->attrs[i];

		if (is_hop_attr(attr->name) || names_missing_format(media, attr))
			continue;
		put(out, "a=");
		put(out, attr->name);
		if (attr->value) {
			put(out, ":");
			put(out, attr->value);
		}
		put(out, "\r\n");
	}
	for (size_t i = 0; i < ARRAY_SIZE(dir_names) && is_rtp(media->proto); i++) {
		if (dir_names[i].dir != media->dir)
			continue;
		put(out, "a=");
		put(out, dir_names[i].name);
		put(out, "\r\n");
	}
}

int sdesc_print(const struct sdesc *desc, char *buf, size_t size, const struct sdesc_print_opts *o)
{
	struct printer out = { .buf = buf, .size = size };

	put(&out, "v=0\r\no=- ");
	put_number(&out, o->origin_id);
	put(&out, " ");
	put_number(&out, o->origin_version);
	put(&out, " ");
	put_address(&out, o->addr);
	put(&out, "s=-\r\nc=");
	put_address(&out, o->addr);
	put(&out, "t=0 0\r\n");
	for (size_t i = 0; i < desc->n_media; i++) {
		const struct sdesc_media *media = &desc->media[i];
		uint16_t port = media->port;

		if (port && !o->keep_addresses)
			port = o->ports[i];
		put_media(&out, media, port, o->keep_addresses);
	}

	if (out.len >= size || out.len > SDESC_MAX_BYTES)
		return -EMSGSIZE;
	buf[out.len] = '\0';
	return (int)out.len;
}

/* ------------------------------------------------------------------ codecs */

static bool is_companion(const struct sdesc_format *fmt)
{
	for (size_t i = 0; i < ARRAY_SIZE(companions); i++) {
		if (!strcasecmp(fmt->name, companions[i]))
			return true;
	}
	return false;
}

/* Place in the list; SNAP_CODECS: a companion, after all codecs; -1: not allowed. */
static int rank_of(const struct sdesc_format *fmt, const struct snap_codecs *list)
{
	if (is_companion(fmt))
		return SNAP_CODECS;
	for (size_t i = 0; i < ARRAY_SIZE(codec_names); i++) {
		if (strcasecmp(fmt->name, codec_names[i].name))
			continue;
		for (int k = 0; k < list->n; k++) {
			if (list->list[k] == codec_names[i].codec)
				return k;
		}
	}
	return -1;
}

/* Returns how many real codecs are left. */
static int filter_media(struct sdesc_media *media, const struct snap_codecs *list, bool reorder)
{
	int ranks[SDESC_MAX_FORMATS];
	size_t kept = 0;
	int codecs = 0;

	for (size_t i = 0; i < media->n_formats; i++)
		ranks[i] = rank_of(&media->formats[i], list);
	for (size_t i = 0; i < media->n_formats; i++)
		codecs += ranks[i] >= 0 && ranks[i] < SNAP_CODECS;
	if (!codecs) { /* nothing in common refuses the line (RFC 3264 section 6) */
		media->port = 0;
		media->n_formats = media->n_formats ? 1 : 0;
		return 0;
	}

	/* Insertion keeps equals in their order; at most SDESC_MAX_FORMATS. */
	for (size_t i = 0; i < media->n_formats; i++) {
		const struct sdesc_format fmt = media->formats[i];
		const int rank = ranks[i];
		size_t at = kept;

		if (rank < 0)
			continue;
		while (reorder && at && ranks[at - 1] > rank) {
			media->formats[at] = media->formats[at - 1];
			ranks[at] = ranks[at - 1];
			--at;
		}
		media->formats[at] = fmt;
		ranks[at] = rank;
		++kept;
	}
	media->n_formats = kept;
	return codecs;
}

static int filter(struct sdesc *desc, const struct snap_codecs *audio,
		  const struct snap_codecs *video, bool reorder)
{
	int codecs = 0;

	for (size_t i = 0; i < desc->n_media; i++) {
		struct sdesc_media *media = &desc->media[i];

		if (!media->port || !is_rtp(media->proto))
			continue;
		if (media->kind == SDESC_AUDIO && audio)
			codecs += filter_media(media, audio, reorder);
		else if (media->kind == SDESC_VIDEO && video)
			(void)filter_media(media, video, reorder); /* counts audio only */
	}
	return codecs;
}

int sdesc_filter(struct sdesc *desc, const struct snap_codecs *audio,
		 const struct snap_codecs *video)
{
	return filter(desc, audio, video, true);
}

int sdesc_restrict(struct sdesc *desc, const struct snap_codecs *audio,
		   const struct snap_codecs *video)
{
	return filter(desc, audio, video, false);
}

bool sdesc_is_secure(const struct sdesc_media *media)
{
	return strstr(media->proto, "SAVP") != NULL;
}

void sdesc_plain(struct sdesc *desc)
{
	for (size_t i = 0; i < desc->n_media; i++) {
		struct sdesc_media *media = &desc->media[i];
		const size_t len = strlen(media->proto);

		if (!is_rtp(media->proto))
			continue;
		str_ncpy(media->proto, len && media->proto[len - 1] == 'F' ? "RTP/AVPF" : "RTP/AVP",
			 sizeof(media->proto));
	}
}

enum sdesc_dir sdesc_dir_reverse(enum sdesc_dir dir)
{
	return (enum sdesc_dir)(((dir & 1) << 1) | ((dir >> 1) & 1));
}

struct sdesc_media *sdesc_audio(struct sdesc *desc)
{
	for (size_t i = 0; i < desc->n_media; i++) {
		if (desc->media[i].kind == SDESC_AUDIO && desc->media[i].port)
			return &desc->media[i];
	}
	return NULL;
}

bool sdesc_is_codec(const struct sdesc_format *format)
{
	return format->pt >= 0 && format->name[0] && !is_companion(format);
}

const struct sdesc_format *sdesc_codec(const struct sdesc_media *media)
{
	for (size_t i = 0; i < media->n_formats; i++) {
		if (sdesc_is_codec(&media->formats[i]))
			return &media->formats[i];
	}
	return NULL;
}

int sdesc_dtmf_pt(const struct sdesc_media *media)
{
	for (size_t i = 0; i < media->n_formats; i++) {
		if (!strcasecmp(media->formats[i].name, "telephone-event"))
			return media->formats[i].pt;
	}
	return -1;
}
