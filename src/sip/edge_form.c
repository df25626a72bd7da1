/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "sip/edge_priv.h"

/*
 * The form of a request to the letter of RFC 3261 (PLT-36, "pedantic"): what most phones are forgiven. Each
 * check says what is wrong, or NULL.
 */

static bool is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* RFC 3261 section 25.1: token, or word with these characters more. */
static bool is_made_of(const struct pl *text, const char *more)
{
	for (size_t i = 0; i < text->l; i++) {
		const char c = text->p[i];

		if (!is_alnum((unsigned char)c) && (!c || !strchr("-.!%*_+`'~", c)) &&
		    (!c || !strchr(more, c)))
			return false;
	}
	return text->l > 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Past a quoted-string that begins here; NULL: it has no end. */
static const char *past_quotes(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		if (*p == '\\')
			p++;
		else if (*p == '"')
			return p + 1;
	}
	return NULL;
}

/* name-addr: the display name is a quoted-string or tokens, and nothing stands beside the URI in <>. */
static const char *check_name_addr(const char *p, const char *angle, const char *end)
{
	const char *close = memchr(angle, '>', (size_t)(end - angle));
	struct pl name = { .p = p, .l = (size_t)(angle - p) };

	if (!is_made_of(&name, " \t\r\n") && name.l)
		return "A display name with such characters needs quotes";
	if (!close || close == angle + 1)
		return "An address without its URI";
	if (is_space(angle[1]) || is_space(close[-1]))
		return "Spaces between < and >";
	return NULL;
}

/* addr-spec without <>: a comma or question mark would not be the URI's (RFC 3261 section 20.10). */
static const char *check_address(const struct pl *value)
{
	const char *p = value->p, *end = p + value->l, *angle;

	while (p < end && is_space(*p))
		p++;
	if (p < end && *p == '"') {
		p = past_quotes(p, end);
		if (!p)
			return "A quoted string without its end";
		while (p < end && is_space(*p))
			p++;
		return p < end && *p == '<' ? check_name_addr(p, p, end) : "An address without its URI";
	}
	angle = memchr(p, '<', (size_t)(end - p));
	if (angle)
		return check_name_addr(p, angle, end);
	return memchr(p, '?', (size_t)(end - p)) || memchr(p, ',', (size_t)(end - p)) ?
		       "A URI with a comma or question mark needs < and >" :
		       NULL;
}

/* The last word of a date is GMT (RFC 3261 section 20.17). */
static const char *check_date(const struct pl *value)
{
	return value->l >= 3 && !memcmp(value->p + value->l - 3, "GMT", 3) ? NULL : "Date is not in GMT";
}

static const struct {
	enum sip_hdrid id;
	const char *(*h)(const struct pl *value);
} forms[] = {
	{ SIP_HDR_FROM, check_address },    { SIP_HDR_TO, check_address },
	{ SIP_HDR_CONTACT, check_address }, { SIP_HDR_ROUTE, check_address },
	{ SIP_HDR_DATE, check_date },
};

struct look { /* at the headers of one kind */
	const char *(*h)(const struct pl *value);
	const char *reason;
};

static bool form_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct look *look = arg;

	(void)msg;
	if (hdr->id != SIP_HDR_CONTACT || pl_strcmp(&hdr->val, "*"))
		look->reason = look->h(&hdr->val);
	return look->reason != NULL;
}

static const char *check_headers(const struct sip_msg *msg)
{
	for (const struct le *le = msg->hdrl.head; le; le = le->next) {
		const struct sip_hdr *hdr = le->data;

		if (!is_made_of(&hdr->name, ""))
			return "A header's name is no token";
	}
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct look look = { .h = forms[i].h };

		(void)sip_msg_hdr_apply(msg, true, forms[i].id, form_handler, &look);
		if (look.reason)
			return look.reason;
	}
	return NULL;
}

/* RFC 3261 section 8.1.1. */
static const char *check_presence(const struct sip_msg *msg)
{
	const bool is_invite = !pl_strcmp(&msg->met, "INVITE");

	if (!pl_isset(&msg->maxfwd))
		return "Missing Max-Forwards header";
	if (!pl_isset(&msg->from.tag))
		return "Missing tag in From";
	if (is_invite && sip_msg_hdr_count(msg, SIP_HDR_CONTACT) != 1)
		return "An INVITE has one Contact";
	if (mbuf_get_left(msg->mb) && pl_isset(&msg->clen) && pl_u32(&msg->clen) &&
	    !pl_isset(&msg->ctyp.type))
		return "A body without Content-Type";
	return NULL;
}

const char *edge_pedantic(const struct sip_msg *msg)
{
	const char *reason = check_presence(msg);

	if (!reason && !is_made_of(&msg->met, ""))
		reason = "The method is no token";
	if (!reason && !is_made_of(&msg->callid, "()<>:\\\"/[]?{}@"))
		reason = "Call-ID has characters that it cannot have";
	return reason ? reason : check_headers(msg);
}
