/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BENCH_REGISTER_SNAPSHOT_H
#define AOIDE_BENCH_REGISTER_SNAPSHOT_H

#include "snapshot/snapshot.h"

struct snap {
	struct snap_sip sip;
	struct snap_tenant tenant;
	struct snap_account *accounts;
	unsigned n;
};

__attribute__((weak)) const struct snap_sip *snap_sip(const struct snap *snap)
{
	return &snap->sip;
}

__attribute__((weak)) const struct snap_account *snap_account_find(const struct snap *snap,
								    const char *username, size_t len)
{
	unsigned i = len == 7 ? (unsigned)atoi(username + 1) : snap->n;

	return i < snap->n ? &snap->accounts[i] : NULL;
}

__attribute__((weak)) bool snap_net_allows(const struct snap_net *list, size_t n, const uint8_t addr[16])
{
	(void)list;
	(void)addr;
	return !n;
}

static struct snap *bench_snapshot(unsigned n, const char *format, const char *password)
{
	struct snap *snap = calloc(1, sizeof(*snap));

	snap->sip = (struct snap_sip){ .realm = "aoide", .user_agent = "Aoide", .min_expires_s = 60,
		.max_expires_s = 3600, .options_interval_s = 25 };
	snap->tenant.id = 1;
	snap->n = n;
	snap->accounts = calloc(n, sizeof(*snap->accounts));
	for (unsigned i = 0; i < n; i++) {
		struct snap_account *a = &snap->accounts[i];
		char *name = malloc(16), text[128];
		int len;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(name, 16, format, i);
#pragma GCC diagnostic pop
		*a = (struct snap_account){ .id = i + 1, .username = name, .enabled = true,
			.max_contacts = 1, .transports = 0x1f, .tenant = &snap->tenant };
		len = snprintf(text, sizeof(text), "%s:aoide:%s", name, password);
		md5((const uint8_t *)text, (size_t)len, a->ha1_md5);
		crypto_hash_sha256(a->ha1_sha256, (const uint8_t *)text, (size_t)len);
	}
	return snap;
}

#endif
