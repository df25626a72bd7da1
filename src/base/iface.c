/* SPDX-License-Identifier: Apache-2.0 */
#include "base/iface.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <sys/socket.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static bool parse(union address *ret, socklen_t *len, const char *text)
{
	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &ret->v4.sin_addr) == 1) {
		ret->v4.sin_family = AF_INET;
		*len = sizeof(ret->v4);
		return true;
	}
	if (inet_pton(AF_INET6, text, &ret->v6.sin6_addr) == 1) {
		ret->v6.sin6_family = AF_INET6;
		*len = sizeof(ret->v6);
		return true;
	}
	return false;
}

/* Whoever may bind to it owns it: also addresses that float between two nodes, where the kernel is told to
 * allow them (ip_nonlocal_bind). */
static int check_ours(const union address *address, socklen_t len)
{
	int fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -EADDRNOTAVAIL; /* a machine without this family */
	if (bind(fd, &address->any, len))
		err = -EADDRNOTAVAIL;
	close(fd);
	return err;
}

/* False: of no use to a listener. */
static bool print(struct iface_address *ret, const struct sockaddr *sa)
{
	const union address *address = (const union address *)(const void *)sa;

	if (!sa)
		return false;
	if (sa->sa_family == AF_INET)
		return inet_ntop(AF_INET, &address->v4.sin_addr, ret->text, sizeof(ret->text));
	return sa->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&address->v6.sin6_addr) &&
	       inet_ntop(AF_INET6, &address->v6.sin6_addr, ret->text, sizeof(ret->text));
}

/* index < 0: all. */
static int of_interface(struct iface_address ret[IFACE_MAX], const struct ifaddrs *list,
			const char *name, long index)
{
	struct iface_address address;
	long at = 0;
	int n = 0;

	for (const struct ifaddrs *i = list; i && n < IFACE_MAX; i = i->ifa_next) {
		if (strcmp(i->ifa_name, name) || !print(&address, i->ifa_addr))
			continue;
		if (index < 0 || at == index)
			ret[n++] = address;
		at++;
	}
	return n;
}

static int named(struct iface_address ret[IFACE_MAX], const char *setting)
{
	const size_t len = strlen(setting);
	const bool percent = len > 2 && setting[0] == '%' && setting[len - 1] == '%';
	struct ifaddrs *list = NULL;
	char name[64], *colon, *end = NULL;
	long index;
	int n;

	if (len >= sizeof(name))
		return -ENODEV;
	memcpy(name, setting + percent, len - 2 * percent);
	name[len - 2 * percent] = '\0';
	if (getifaddrs(&list))
		return -ENODEV;

	n = of_interface(ret, list, name, -1);
	colon = strrchr(name, ':');
	if (!n && colon && colon[1]) {
		index = strtol(colon + 1, &end, 10);
		*colon = '\0';
		if (!*end && index >= 0)
			n = of_interface(ret, list, name, index);
	}
	freeifaddrs(list);
	return n ? n : -ENODEV;
}

int iface_addresses(struct iface_address ret[IFACE_MAX], const char *setting)
{
	union address address;
	socklen_t len = 0;
	int err;

	if (!parse(&address, &len, setting))
		return named(ret, setting);
	err = check_ours(&address, len);
	if (err)
		return err;
	strcpy(ret[0].text, setting);
	return 1;
}
