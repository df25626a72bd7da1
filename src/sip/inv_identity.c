/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv.h"

#include <errno.h>
#include <string.h>

/* Who a phone says it is, in the two headers there are (RFC 3325 section 9.1,
 * draft-ietf-sip-privacy-04 section 5). */

static bool is_number(const char *text)
{
	static const char allowed[] = "0123456789+*-._"
				      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return text[0] && !text[strspn(text, allowed)];
}

/* Without the backslashes of a quoted-string, and without what a display cannot show. */
static void plain_name(char *buf, size_t size, const struct pl *name)
{
	size_t n = 0;

	for (size_t i = 0; i < name->l && n + 1 < size; i++) {
		unsigned char c = (unsigned char)name->p[i];

		if (c == '\\' && i + 1 < name->l)
			c = (unsigned char)name->p[++i];
		if (c >= 0x20 && c != 0x7f)
			buf[n++] = (char)c;
	}
	while (n && buf[n - 1] == ' ')
		n--;
	buf[n] = '\0';
}

static int take_address(struct inv_identity *ret, const struct sip_addr *addr)
{
	struct pl user = pl_strcasecmp(&addr->uri.scheme, "tel") ? addr->uri.user : addr->uri.host;
	const char *params = user.l ? memchr(user.p, ';', user.l) : NULL;

	if (params)
		user.l = (size_t)(params - user.p);
	if (!user.l || re_snprintf(ret->number, sizeof(ret->number), "%H", uri_user_unescape, &user) < 0 ||
	    !is_number(ret->number))
		return -ENOENT;
	plain_name(ret->name, sizeof(ret->name), &addr->dname);
	return 0;
}

/* A header may be there several times; the first that says something counts. */
static bool pai_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct sip_addr addr;

	(void)msg;
	return !sip_addr_decode(&addr, &hdr->val) && !take_address(arg, &addr);
}

/* Another party than the one who sends it, or one who does not want to be shown, is passed over. */
static bool rpid_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct sip_addr addr;
	struct pl value;

	(void)msg;
	if (sip_addr_decode(&addr, &hdr->val))
		return false;
	if (!msg_param_decode(&addr.params, "party", &value) && !pl_strcasecmp(&value, "called"))
		return false;
	if (!msg_param_decode(&addr.params, "privacy", &value) && pl_strcasecmp(&value, "off"))
		return false;
	return !take_address(arg, &addr);
}

int inv_asserted(struct inv_identity *ret, const struct sip_msg *msg)
{
	if (sip_msg_hdr_apply(msg, true, SIP_HDR_P_ASSERTED_IDENTITY, pai_handler, ret) ||
	    sip_msg_xhdr_apply(msg, true, "Remote-Party-ID", rpid_handler, ret))
		return 0;
	return -ENOENT;
}
