/* SPDX-License-Identifier: Apache-2.0 */
/* Session descriptions, from text. */
#include "sip/sdesc_priv.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include "base/log.h"

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

static const char *const kind_names[] = {
	[SDESC_AUDIO] = "audio",
	[SDESC_VIDEO] = "video",
	[SDESC_IMAGE] = "image",
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
	const char *group; /* the names in a=group:BUNDLE */
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
	const bool is_rtp = sdesc_is_rtp(media->proto);
	struct sdesc_format *fmt;
	char number[4];
	uint64_t pt = 0;

	if (is_rtp) { /* "08" is 8, which a line names once */
		if (parse_number(&pt, id, "", 127))
			return -EBADMSG;
		(void)re_snprintf(number, sizeof(number), "%u", (unsigned)pt);
		id = number;
	}
	if (str_len(id) >= sizeof(fmt->id))
		return -EBADMSG;
	if (find_format(media, id))
		return 0;

	fmt = p->formats;
	if (is_rtp) {
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
	if (!p->media && !p->group && !strncasecmp(value, "BUNDLE", 6))
		p->group = value + 6;
	return 0;
}

/* A value that we do not understand is as if nothing had been said. */
static int attr_t38_datagram(struct parser *p, char *value)
{
	uint64_t n;

	if (p->media && !parse_number(&n, value, "", UINT16_MAX))
		p->media->t38_max_datagram = (uint16_t)n;
	return 0;
}

static int attr_t38_ec(struct parser *p, char *value)
{
	enum sdesc_t38_ec ec;

	if (p->media && !sdesc_t38_ec_find(&ec, value))
		p->media->t38_ec = ec;
	return 0;
}

static const struct attr_rule {
	const char *name;
	int (*h)(struct parser *p, char *value);
} attr_rules[] = {
	{ "rtpmap", attr_rtpmap }, { "fmtp", attr_fmtp },	  { "ptime", attr_ptime },
	{ "rtcp", attr_rtcp },	   { "rtcp-mux", attr_rtcp_mux }, { "group", attr_group },
	{ "T38FaxMaxDatagram", attr_t38_datagram }, { "T38FaxUdpEC", attr_t38_ec },
};

static char no_value[] = "";

static int line_attribute(struct parser *p, char *value)
{
	char *name = value, *colon = strchr(value, ':');
	enum sdesc_dir dir;
	size_t *n;
	char *end;

	if (colon) {
		*colon = '\0';
		value = skip_blank(colon + 1);
	}
	for (end = name + strlen(name); end > name && is_blank(end[-1]); --end)
		end[-1] = '\0';
	if (!*name)
		return 0;

	if (sdesc_dir_find(&dir, name)) {
		if (p->media) {
			p->media->dir = dir;
			p->has_dir[media_index(p)] = true;
		} else {
			p->session_dir = dir;
		}
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(attr_rules); i++) {
		if (!strcasecmp(name, attr_rules[i].name))
			return attr_rules[i].h(p, colon ? value : no_value);
	}
	n = p->media ? &p->media->n_attrs : &p->desc->n_attrs;
	if (*n == SDESC_MAX_ATTRS)
		return -EMSGSIZE;
	*p->attrs++ = (struct sdesc_attr){ .name = name, .value = colon ? value : NULL };
	++*n;
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

static const struct sdesc_attr *find_attr(const struct sdesc_attr *attrs, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (!strcasecmp(attrs[i].name, name))
			return &attrs[i];
	}
	return NULL;
}

static bool has_attr(const struct sdesc_media *media, const char *name)
{
	return find_attr(media->attrs, media->n_attrs, name) != NULL;
}

static bool is_mid(const struct sdesc_media *media, const char *name, size_t len)
{
	const struct sdesc_attr *mid = find_attr(media->attrs, media->n_attrs, "mid");

	return mid && mid->value && strcspn(mid->value, " \t") == len && !memcmp(mid->value, name, len);
}

/* RFC 9143 section 7.1: the first name that is not refused is the tagged line's. */
static void find_bundle(struct parser *p)
{
	struct sdesc *desc = p->desc;
	const char *name = p->group;
	size_t len;

	for (; name && *name; name += len) {
		name += strspn(name, " \t");
		len = strcspn(name, " \t");
		for (size_t i = 0; len && i < desc->n_media; i++) {
			struct sdesc_media *media = &desc->media[i];

			if (!is_mid(media, name, len) || media->bundled)
				continue;
			media->bundled = true;
			media->bundle_only = !media->port && has_attr(media, "bundle-only");
			if (!desc->bundle && media->port) {
				desc->tagged = i;
				desc->bundle = true;
			}
			break;
		}
	}
}

/* Its own port and address say nothing. */
static void share_transport(struct sdesc *desc)
{
	const struct sdesc_media *tagged = &desc->media[desc->tagged];

	for (size_t i = 0; desc->bundle && i < desc->n_media; i++) {
		struct sdesc_media *media = &desc->media[i];

		if (!media->bundle_only)
			continue;
		media->port = tagged->port;
		media->rtp = tagged->rtp;
		media->rtcp = tagged->rtcp;
	}
}

/* Where media goes is found out otherwise: 0.0.0.0 is nothing but unknown (RFC 8839 section 4.3.1). */
static bool has_ice(const struct sdesc *desc, const struct sdesc_media *media)
{
	return media->bundle_only || has_attr(media, "ice-ufrag") ||
	       find_attr(desc->attrs, desc->n_attrs, "ice-ufrag");
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
		media->dir_said = media->dir;
		if (zero && !has_ice(p->desc, media))
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
	struct sdesc_block *block;
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
	p.attrs = p.desc->attrs = (struct sdesc_attr *)(p.formats + n.formats);
	block->tail_at = (size_t)((char *)p.attrs - (char *)block);
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
	if (!first)
		find_bundle(&p);
	err = first ? -EBADMSG : inherit(&p);
	if (!err)
		share_transport(p.desc);

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

