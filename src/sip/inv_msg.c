/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <string.h>
#include <strings.h>

/* What inv reads out of a message. */

const char inv_allow_text[] = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER";
const char inv_supported_text[] = "100rel, timer";

static const char *const method_names[INV_METHODS] = {
	[INV_INVITE] = "INVITE", [INV_ACK] = "ACK",	[INV_BYE] = "BYE",
	[INV_CANCEL] = "CANCEL", [INV_PRACK] = "PRACK", [INV_UPDATE] = "UPDATE",
	[INV_INFO] = "INFO",	 [INV_REFER] = "REFER", [INV_OPTIONS] = "OPTIONS",
};

static const char *const options[] = { "100rel", "timer" };

/* Reason phrases of the codes that inv sends without being told one (RFC 3261 section 21). */
static const struct reason_row {
	uint16_t scode;
	const char *text;
} reasons[] = {
	{ 180, "Ringing" },
	{ 183, "Session Progress" },
	{ 200, "OK" },
	{ 302, "Moved Temporarily" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 415, "Unsupported Media Type" },
	{ 420, "Bad Extension" },
	{ 422, "Session Interval Too Small" },
	{ 480, "Temporarily Unavailable" },
	{ 481, "Call/Transaction Does Not Exist" },
	{ 484, "Address Incomplete" },
	{ 486, "Busy Here" },
	{ 487, "Request Terminated" },
	{ 488, "Not Acceptable Here" },
	{ 491, "Request Pending" },
	{ 500, "Server Internal Error" },
	{ 501, "Not Implemented" },
	{ 503, "Service Unavailable" },
	{ 504, "Server Time-out" },
	{ 600, "Busy Everywhere" },
	{ 603, "Decline" },
};

const char *inv_reason_text(uint16_t scode)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (reasons[i].scode == scode)
			return reasons[i].text;
	}
	return scode < 200 ? "Progress" : scode < 300 ? "OK" : scode < 400 ? "Redirect" : "Failed";
}

const char *inv_method_name(enum inv_method method)
{
	return method_names[method];
}

/* Methods are case sensitive (RFC 3261 section 7.1). */
bool inv_method_of(enum inv_method *ret, const struct pl *name)
{
	for (size_t i = 0; i < INV_METHODS; i++) {
		if (pl_strcmp(name, method_names[i]))
			continue;
		*ret = (enum inv_method)i;
		return true;
	}
	return false;
}

static bool allow_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	uint16_t *mask = arg;
	enum inv_method method;

	if (inv_method_of(&method, &hdr->val))
		*mask = (uint16_t)(*mask | 1u << method);
	return false;
}

void inv_note_allow(struct inv *inv, const struct sip_msg *msg)
{
	uint16_t mask = 0;

	if (!sip_msg_hdr(msg, SIP_HDR_ALLOW))
		return;
	(void)sip_msg_hdr_apply(msg, true, SIP_HDR_ALLOW, allow_handler, &mask);
	inv->allow = mask;
}

bool inv_msg_has_option(const struct sip_msg *msg, enum sip_hdrid id, const char *option)
{
	return sip_msg_hdr_has_value(msg, id, option);
}

struct unknown {
	char *buf;
	size_t size, len;
	bool any;
};

static bool require_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct unknown *unknown = arg;
	int n;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!pl_strcasecmp(&hdr->val, options[i]))
			return false;
	}
	n = re_snprintf(unknown->buf + unknown->len, unknown->size - unknown->len, "%s%r",
			unknown->any ? ", " : "", &hdr->val);
	unknown->any = true;
	if (n < 0)
		return true; /* more than fits: the ones listed suffice */
	unknown->len += (size_t)n;
	return false;
}

bool inv_msg_unknown_require(const struct sip_msg *msg, char *buf, size_t size)
{
	struct unknown unknown = { .buf = buf, .size = size };

	buf[0] = '\0';
	(void)sip_msg_hdr_apply(msg, true, SIP_HDR_REQUIRE, require_handler, &unknown);
	return unknown.any;
}

uint32_t inv_msg_number(const struct sip_msg *msg, enum sip_hdrid id)
{
	const struct sip_hdr *hdr = sip_msg_hdr(msg, id);
	struct pl num;

	if (!hdr || re_regex(hdr->val.p, hdr->val.l, "[0-9]+", &num) || num.p != hdr->val.p)
		return 0;
	return num.l > 10 ? 0 : pl_u32(&num);
}

/* ------------------------------------------------------------------ bodies */

struct pl inv_msg_body(const struct sip_msg *msg)
{
	struct pl body = { .p = (const char *)mbuf_buf(msg->mb), .l = mbuf_get_left(msg->mb) };

	/* Over UDP the datagram may be longer than the body says (RFC 3261 section 18.3). */
	if (msg->clen.p) {
		const uint32_t clen = pl_u32(&msg->clen);

		if (clen < body.l)
			body.l = clen;
	}
	return body;
}

static bool is_sdp_type(const struct pl *type, const struct pl *subtype)
{
	return !pl_strcasecmp(type, "application") && !pl_strcasecmp(subtype, "sdp");
}

static const char *find(const char *p, const char *end, const char *what, size_t len)
{
	return p < end ? memmem(p, (size_t)(end - p), what, len) : NULL;
}

/* The header of a part, up to the empty line; *ret is what follows it. */
static bool part_is_sdp(const char **ret, const char *p, const char *end)
{
	bool sdp = false;

	while (p < end) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		size_t len;
		struct pl type, subtype;

		if (!eol)
			return false;
		len = (size_t)(eol - p);
		if (len && p[len - 1] == '\r')
			--len;
		if (!len) {
			*ret = eol + 1;
			return sdp;
		}
		if (len > 13 && !strncasecmp(p, "Content-Type:", 13) &&
		    !re_regex(p + 13, len - 13, "[ \t]*[^/ \t]+/[^; \t]+", NULL, &type, &subtype))
			sdp = is_sdp_type(&type, &subtype);
		p = eol + 1;
	}
	return false;
}

/* The first application/sdp part of a multipart body (RFC 2046 section 5.1). */
static bool multipart_sdp(struct pl *ret, const struct sip_msg *msg, const struct pl *body)
{
	const char *p = body->p, *end = body->p + body->l, *next, *text;
	struct pl boundary;
	char mark[80];
	size_t len;

	if (msg_param_decode(&msg->ctyp.params, "boundary", &boundary))
		return false;
	if (boundary.l >= 2 && boundary.p[0] == '"') {
		boundary.p++;
		boundary.l -= 2;
	}
	if (!boundary.l || boundary.l > 70)
		return false;
	mark[0] = mark[1] = '-';
	memcpy(mark + 2, boundary.p, boundary.l);
	len = boundary.l + 2;

	p = find(p, end, mark, len);
	while (p) {
		p = memchr(p, '\n', (size_t)(end - p));
		if (!p)
			return false;
		++p;
		next = find(p, end, mark, len);
		if (!next)
			return false;
		if (part_is_sdp(&text, p, next)) {
			ret->p = text;
			ret->l = (size_t)(next - text);
			return ret->l > 0;
		}
		p = next;
	}
	return false;
}

enum inv_body inv_msg_sdp(struct pl *ret, const struct sip_msg *msg)
{
	const struct pl body = inv_msg_body(msg);

	*ret = pl_null;
	if (!body.l)
		return INV_BODY_NONE;
	if (is_sdp_type(&msg->ctyp.type, &msg->ctyp.subtype)) {
		*ret = body;
		return INV_BODY_SDP;
	}
	if (!pl_strcasecmp(&msg->ctyp.type, "multipart"))
		return multipart_sdp(ret, msg, &body) ? INV_BODY_SDP : INV_BODY_BAD;
	return INV_BODY_OTHER;
}

/* ------------------------------------------------------------------ headers */

static uint32_t leading_number(const struct pl *pl)
{
	struct pl num;

	if (re_regex(pl->p, pl->l, "[0-9]+", &num) || num.p != pl->p || num.l > 9)
		return 0;
	return pl_u32(&num);
}

/* RFC 4028 sections 4 and 5. "x" is the compact form, which libre does not know. */
void inv_msg_session(struct inv_se *ret, const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = sip_msg_hdr(msg, SIP_HDR_SESSION_EXPIRES);
	struct pl params, who;

	memset(ret, 0, sizeof(*ret));
	if (!hdr)
		hdr = sip_msg_xhdr(msg, "x");
	if (hdr) {
		ret->se_s = leading_number(&hdr->val);
		params = hdr->val;
		if (!msg_param_decode(&params, "refresher", &who)) {
			if (!pl_strcasecmp(&who, "uac"))
				ret->role = INV_ROLE_UAC;
			else if (!pl_strcasecmp(&who, "uas"))
				ret->role = INV_ROLE_UAS;
		}
	}
	hdr = sip_msg_hdr(msg, SIP_HDR_MIN_SE);
	if (hdr)
		ret->min_se_s = leading_number(&hdr->val);
}

static bool reason_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	uint8_t *cause = arg;
	struct pl value;
	uint32_t n;

	if (hdr->val.l < 5 || strncasecmp(hdr->val.p, "Q.850", 5) ||
	    msg_param_decode(&hdr->val, "cause", &value))
		return false;
	n = leading_number(&value);
	if (!n || n > 127)
		return false;
	*cause = (uint8_t)n;
	return true;
}

uint8_t inv_msg_q850(const struct sip_msg *msg)
{
	uint8_t cause = 0;

	if (msg)
		(void)sip_msg_hdr_apply(msg, true, SIP_HDR_REASON, reason_handler, &cause);
	return cause;
}

/* RFC 3262 section 7.2: "776656 1 INVITE". */
bool inv_msg_rack(const struct sip_msg *msg, uint32_t *rseq, uint32_t *cseq, struct pl *method)
{
	const struct sip_hdr *hdr = sip_msg_hdr(msg, SIP_HDR_RACK);
	struct pl a, b;

	if (!hdr || re_regex(hdr->val.p, hdr->val.l, "[0-9]+[ \t]+[0-9]+[ \t]+[^ \t]+", &a, NULL,
			     &b, NULL, method))
		return false;
	*rseq = pl_u32(&a);
	*cseq = pl_u32(&b);
	return true;
}

/* ------------------------------------------------------------------ redirection */

struct best_contact {
	struct pl user;
	double q;
};

static bool redirect_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct best_contact *best = arg;
	struct sip_addr addr;
	struct pl user, value;
	double q = 1.0;
	(void)msg;

	if (sip_addr_decode(&addr, &hdr->val))
		return false;
	user = pl_strcasecmp(&addr.uri.scheme, "tel") ? addr.uri.user : addr.uri.host;
	if (!msg_param_decode(&addr.params, "q", &value))
		q = pl_float(&value);
	if (!user.l || q <= best->q)
		return false;
	best->user = user;
	best->q = q;
	return false;
}

int inv_redirect_user(char *buf, size_t size, const struct sip_msg *msg)
{
	struct best_contact best = { .q = 0.0 };
	const char *params;

	if (!msg)
		return -ENOENT;
	(void)sip_msg_hdr_apply(msg, true, SIP_HDR_CONTACT, redirect_handler, &best);
	params = best.user.l ? memchr(best.user.p, ';', best.user.l) : NULL;
	if (params)
		best.user.l = (size_t)(params - best.user.p);
	if (!best.user.l || re_snprintf(buf, size, "%H", uri_user_unescape, &best.user) < 0 || !buf[0])
		return -ENOENT;
	for (const char *p = buf; *p; p++) {
		if ((unsigned char)*p <= 0x20 || *p == 0x7f)
			return -ENOENT;
	}
	return 0;
}
