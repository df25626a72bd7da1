/* SPDX-License-Identifier: Apache-2.0 */
/* Session descriptions, to text. */
#include "sip/sdesc_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
	"rid",
	"simulcast",
	"extmap-allow-mixed",
};

/*
 * Header extensions that still mean the same behind a relay. Others count the packets of one transport
 * or name lines and layers of one description.
 */
static const char *const extensions[] = {
	"urn:ietf:params:rtp-hdrext:ssrc-audio-level",
	"urn:3gpp:video-orientation",
	"urn:ietf:params:rtp-hdrext:toffset",
	"http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
	"http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
	"http://www.webrtc.org/experiments/rtp-hdrext/color-space",
};

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

	if (strcasecmp(attr->name, "rtcp-fb") || !attr->value)
		return false;
	if (strstr(attr->value, "transport-cc"))
		return true; /* it reports an extension that does not pass */
	if (attr->value[0] == '*')
		return false;
	len = strcspn(attr->value, " \t");
	for (size_t i = 0; i < media->n_formats; i++) {
		if (strlen(media->formats[i].id) == len &&
		    !memcmp(media->formats[i].id, attr->value, len))
			return false;
	}
	return true;
}

/*
 * "96 nack" asks for lost packets again. Under SRTP they can only come as RFC 4588 has it, where that was
 * agreed for the format: the same packet a second time is taken for a replay.
 */
static bool asks_in_vain(const struct sdesc_media *media, const char *proto,
			 const struct sdesc_attr *attr)
{
	const char *rest = attr->value ? strchr(attr->value, ' ') : NULL;

	if (strcasecmp(attr->name, "rtcp-fb") || !rest || strcasecmp(rest, " nack") ||
	    !strstr(proto, "SAVP"))
		return false;
	for (size_t i = 0; i < media->n_formats; i++) {
		const struct sdesc_format *format = &media->formats[i];

		if (!strcasecmp(format->name, "rtx") &&
		    (attr->value[0] == '*' || sdesc_fmtp_number(format, "apt", UINT32_MAX) ==
						      strtoul(attr->value, NULL, 10)))
			return false;
	}
	return true;
}

/* "1 urn:..." or "1/sendonly urn:..." (RFC 8285). */
static bool is_foreign_extension(const struct sdesc_attr *attr)
{
	const char *uri;

	if (strcasecmp(attr->name, "extmap") || !attr->value)
		return false;
	uri = strchr(attr->value, ' ');
	for (size_t i = 0; uri && i < ARRAY_SIZE(extensions); i++) {
		const size_t len = strlen(extensions[i]);

		if (!strncmp(uri + 1, extensions[i], len) && (!uri[len + 1] || uri[len + 1] == ' '))
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

static void put_media(struct printer *out, const struct sdesc_media *media,
		      const struct sdesc_hop *hop, uint16_t port, bool keep_address)
{
	const bool rtcp_mux = hop ? hop->rtcp_mux : media->rtcp_mux;
	const char *proto = hop && hop->proto ? hop->proto : media->proto;

	put(out, "m=");
	put(out, media->kind_text);
	put(out, " ");
	put_number(out, port);
	put(out, " ");
	put(out, proto);
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
	if (keep_address && sdesc_is_rtp(media->proto))
		put_rtcp(out, media);
	if (rtcp_mux)
		put(out, "a=rtcp-mux\r\n");
	if (hop && hop->text)
		put(out, hop->text);
	for (size_t i = 0; i < media->n_attrs; i++) {
		const struct sdesc_attr *attr = &media->attrs[i];

		if (is_hop_attr(attr->name) || names_missing_format(media, attr) ||
		    asks_in_vain(media, proto, attr) || is_foreign_extension(attr))
			continue;
		put(out, "a=");
		put(out, attr->name);
		if (attr->value) {
			put(out, ":");
			put(out, attr->value);
		}
		put(out, "\r\n");
	}
	if (media->t38_max_datagram) {
		put(out, "a=T38FaxMaxDatagram:");
		put_number(out, media->t38_max_datagram);
		put(out, "\r\n");
	}
	if (media->t38_ec) {
		put(out, "a=T38FaxUdpEC:");
		put(out, sdesc_t38_ec_name(media->t38_ec));
		put(out, "\r\n");
	}
	if (sdesc_is_rtp(media->proto)) {
		put(out, "a=");
		put(out, sdesc_dir_name(media->dir));
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
	if (o->session_text)
		put(&out, o->session_text);
	for (size_t i = 0; i < desc->n_media; i++) {
		const struct sdesc_media *media = &desc->media[i];
		uint16_t port = media->port;

		if (port && !o->keep_addresses)
			port = o->ports[i];
		put_media(&out, media, o->hops ? &o->hops[i] : NULL, port, o->keep_addresses);
	}

	if (out.len >= size || out.len > SDESC_MAX_BYTES)
		return -EMSGSIZE;
	buf[out.len] = '\0';
	return (int)out.len;
}
