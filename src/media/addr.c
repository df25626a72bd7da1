/* SPDX-License-Identifier: Apache-2.0 */
#include "media/stream.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* C wants the size to be whole lines: those who ask are made of them (_Alignas). */
void *stream_line_alloc(size_t size)
{
	void *p = aligned_alloc(MEDIA_LINE, size);

	return p ? memset(p, 0, size) : NULL;
}

socklen_t net_addr_len(const union net_addr *addr)
{
	return addr->sa.sa_family == AF_INET6 ? sizeof(addr->in6) : sizeof(addr->in);
}

static const void *ip_of(const union net_addr *addr, size_t *len)
{
	*len = addr->sa.sa_family == AF_INET6 ? 16 : 4;
	return addr->sa.sa_family == AF_INET6 ? (const void *)&addr->in6.sin6_addr
					      : (const void *)&addr->in.sin_addr;
}

bool net_addr_isset(const union net_addr *addr)
{
	switch (addr->sa.sa_family) {
	case AF_INET:
		return addr->in.sin_port && addr->in.sin_addr.s_addr;
	case AF_INET6:
		return addr->in6.sin6_port && !IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
	default:
		return false;
	}
}

bool net_addr_same_ip(const union net_addr *a, const union net_addr *b)
{
	const void *ip_a, *ip_b;
	size_t len;

	if (a->sa.sa_family != b->sa.sa_family || a->sa.sa_family == AF_UNSPEC)
		return false;
	ip_a = ip_of(a, &len);
	ip_b = ip_of(b, &len);
	return memcmp(ip_a, ip_b, len) == 0;
}

bool net_addr_same(const union net_addr *a, const union net_addr *b)
{
	return net_addr_same_ip(a, b) && net_addr_port(a) == net_addr_port(b);
}

uint16_t net_addr_port(const union net_addr *addr)
{
	return ntohs(addr->sa.sa_family == AF_INET6 ? addr->in6.sin6_port : addr->in.sin_port);
}

void net_addr_set_port(union net_addr *addr, uint16_t port)
{
	if (addr->sa.sa_family == AF_INET6)
		addr->in6.sin6_port = htons(port);
	else
		addr->in.sin_port = htons(port);
}

void net_addr_from_wire(union net_addr *ret, const struct mp_addr *wire)
{
	memset(ret, 0, sizeof(*ret));
	if (wire->family == 4) {
		ret->in.sin_family = AF_INET;
		memcpy(&ret->in.sin_addr, wire->addr, 4);
	} else if (wire->family == 6) {
		ret->in6.sin6_family = AF_INET6;
		ret->in6.sin6_scope_id = wire->scope;
		memcpy(&ret->in6.sin6_addr, wire->addr, 16);
	} else {
		return;
	}
	net_addr_set_port(ret, wire->port);
}

void net_addr_to_wire(struct mp_addr *ret, const union net_addr *addr)
{
	memset(ret, 0, sizeof(*ret));
	if (addr->sa.sa_family == AF_INET) {
		ret->family = 4;
		memcpy(ret->addr, &addr->in.sin_addr, 4);
	} else if (addr->sa.sa_family == AF_INET6) {
		ret->family = 6;
		ret->scope = addr->in6.sin6_scope_id;
		memcpy(ret->addr, &addr->in6.sin6_addr, 16);
	} else {
		return;
	}
	ret->port = net_addr_port(addr);
}
