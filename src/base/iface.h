/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_IFACE_H
#define AOIDE_BASE_IFACE_H

#include <netinet/in.h>

/* Addresses of this machine that a setting names (D-083). Any thread; asks the kernel only. */
#define IFACE_MAX 8

struct iface_address {
	char text[INET6_ADDRSTRLEN];
};

/*
 * setting  an IP address ("0.0.0.0" and "::": all), or an interface: "eth0" and "%eth0%" are its
 *          addresses but link-local ones, "%eth0:1%" is one of them, counted from 0 (an alias that is
 *          called eth0:1 comes first)
 *
 * Returns how many addresses there are in ret, -EADDRNOTAVAIL (an address of another machine), -ENODEV
 * (no such interface, or it has no address).
 */
int iface_addresses(struct iface_address ret[IFACE_MAX], const char *setting);

#endif
