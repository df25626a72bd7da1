/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BENCH_REGISTER_SNAPSHOT_H
#define AOIDE_BENCH_REGISTER_SNAPSHOT_H

#include "base/mem.h"
#include "snapshot/snapshot.h"

/* A tenant with n accounts, named by format, without a database. */
static struct snap *bench_snapshot(unsigned n, const char *format, const char *password)
{
	struct arena *arena = NULL, *sip_arena = NULL;
	struct snap *snap = NULL;
	struct snap_tenant *tenant;
	struct snap_account *accounts;
	struct snap_sip *sip;

	if (snap_alloc(&snap) || arena_alloc(&arena, 1024 * 1024) || arena_alloc(&sip_arena, 4096))
		return NULL;
	tenant = arena_zalloc(arena, sizeof(*tenant));
	accounts = arena_zalloc(arena, n * sizeof(*accounts));
	sip = arena_zalloc(sip_arena, sizeof(*sip));
	if (!tenant || !accounts || !sip)
		return NULL;
	*sip = (struct snap_sip){ .realm = "aoide", .user_agent = "Aoide", .min_expires_s = 60,
		.max_expires_s = 3600, .options_interval_s = 25 };
	for (unsigned i = 0; i < n; i++) {
		char name[64], text[128];
		int len;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(name, sizeof(name), format, i);
#pragma GCC diagnostic pop
		accounts[i] = (struct snap_account){ .id = i + 1, .username = arena_strdup(arena, name),
			.enabled = true, .max_contacts = 1, .transports = 0x1f, .tenant = tenant };
		len = snprintf(text, sizeof(text), "%s:aoide:%s", name, password);
		md5((const uint8_t *)text, (size_t)len, accounts[i].ha1_md5);
		crypto_hash_sha256(accounts[i].ha1_sha256, (const uint8_t *)text, (size_t)len);
	}
	*tenant = (struct snap_tenant){ .id = 1, .domain = "bench", .arena = arena, .refs = 1,
		.n_accounts = n, .accounts = accounts };
	snap_swap_sip(snap, sip, sip_arena);
	return snap_swap(snap, 1, tenant) ? NULL : snap;
}

#endif
