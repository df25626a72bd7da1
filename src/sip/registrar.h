/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_REGISTRAR_H
#define AOIDE_SIP_REGISTRAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/re.h"

/*
 * The registrar (RFC 3261 section 10; BASE-29..31, 43..46; D-077, D-078): one contact per account
 * (more with max_contacts), kept in memory, stored through the writer, loaded at start. Call thread.
 */
struct edge;
struct db;
struct registrar;
struct snap_account;

#define REG_MAX_CONTACTS 10

struct reg_contact {
	uint64_t id;
	int64_t account_id, tenant_id;
	const char *username;
	const char *uri;        /* Contact URI as sent */
	struct sa dst;          /* where requests go: with NAT or a connection the packet's source */
	struct sa src;          /* source of the REGISTER (registration check) */
	int tp;                 /* enum sip_transp */
	const char *user_agent;
	const char *path;       /* Path header values or NULL */
	int64_t expires_at_us;  /* wall clock */
	int64_t registered_at_us;
	uint32_t rtt_us;        /* of the last OPTIONS; 0 unknown */
};

/* Contacts in force of an account: at most n into ret, newest first; returns how many. Pointers are
 * valid until the loop turns; copy what you keep. */
size_t reg_contacts(const struct registrar *reg, const struct snap_account *account,
		    const struct reg_contact **ret, size_t n);

/* BASE-44: did a registration of this account come from this source and transport? */
bool reg_source_matches(const struct registrar *reg, const struct snap_account *account,
			const struct sa *src, int tp);

/* Every contact, for `aoide ctl registrations` and the web. Return true from h to stop. */
typedef bool(reg_apply_h)(const struct reg_contact *contact, void *arg);
void reg_apply(const struct registrar *reg, reg_apply_h *h, void *arg);
uint32_t reg_count(const struct registrar *reg);

/* "registered", "refreshed", "unregistered", "expired", "replaced" */
typedef void(reg_change_h)(const struct reg_contact *contact, const char *what, void *arg);
void reg_set_change_handler(struct registrar *reg, reg_change_h *h, void *arg);

/* Drops contacts of accounts that a new snapshot no longer allows. */
void reg_snapshot_changed(struct registrar *reg, int64_t tenant_id);

/* Storage: table registration. reg_load runs before traffic starts; reg_writer_apply is called by
 * the switch's writer_apply_h for kinds REG_RECORD_*. */
enum { REG_RECORD_FIRST = 100, REG_RECORD_PUT = 100, REG_RECORD_REMOVE = 101, REG_RECORD_LAST = 119 };
int reg_migrate(struct db *db);
int reg_load(struct registrar *reg, struct db *db);
int reg_writer_apply(struct db *db, uint32_t kind, const void *data, size_t len);

#endif
