/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as text, without printf.
 *
 * The C library prints an IPv4 address with sprintf(), and a call needs some thirty: in Via, Contact,
 * session descriptions, records. This function takes the place of libre's through the symbol table, as
 * the timers do (base/timer.h).
 */
#include <arpa/inet.h>
#include <errno.h>

#pragma GCC visibility push(default)
#include "base/re.h"
#pragma GCC visibility pop

/* At most three digits; returns where they end. */
static char *put_octet(char *p, uint8_t octet)
{
	if (octet >= 100)
		*p++ = (char)('0' + octet / 100);
	if (octet >= 10)
		*p++ = (char)('0' + octet / 10 % 10);
	*p++ = (char)('0' + octet % 10);

	return p;
}

static int print_v4(const struct sa *sa, char *buf, int size)
{
	const uint32_t addr = sa_in(sa);
	char *p = buf;

	if (size < INET_ADDRSTRLEN)
		return inet_ntop(AF_INET, &sa->u.in.sin_addr, buf, (socklen_t)size) ? 0 : ENOSPC;

	for (int shift = 24; shift >= 0; shift -= 8) {
		p = put_octet(p, (uint8_t)(addr >> shift));
		*p++ = shift ? '.' : '\0';
	}

	return 0;
}

int sa_ntop(const struct sa *sa, char *buf, int size)
{
	if (!sa || !buf || size <= 0)
		return EINVAL;

	switch (sa_af(sa)) {
	case AF_INET:
		return print_v4(sa, buf, size);
	case AF_INET6:
		return inet_ntop(AF_INET6, &sa->u.in6.sin6_addr, buf, (socklen_t)size) ? 0 : ENOSPC;
	default:
		return EAFNOSUPPORT;
	}
}
