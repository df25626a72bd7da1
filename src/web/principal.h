/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_PRINCIPAL_H
#define AOIDE_WEB_PRINCIPAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "schema/schema.h"

/*
 * Who a request comes from and what he may do (BASE-69..77).
 */
struct db;

enum principal_via { VIA_HEADER, VIA_SESSION, VIA_LOOPBACK };

struct principal {
	int64_t user_id, tenant_id; /* tenant 0: a machine user */
	int64_t extension_id;       /* 0 none */
	char username[128], domain[128], tenant_name[128], role[128], extension[32];
	char full_name[160];        /* "admin@default", for the audit */
	char salt[40], verifier[80];
	bool enabled, may_gui, may_api, is_admin, is_local;
	bool node_rights;           /* may act on node-level entities (D-034) */
	bool privacy;               /* sees external numbers complete (D-046) */
	bool must_change_password;
	bool default_password;      /* D-037 */
	int priority;
	char language[8];
	uint8_t levels[SCH_MAX_PERMISSIONS]; /* enum sch_level by index of sch_permissions[] */
	int64_t role_id;
	char role_kind[24];
	enum principal_via via;
	char csrf[48];              /* VIA_SESSION */
	char session_hash[72];
};

void principal_free(struct principal *who); /* accepts NULL */
enum sch_level principal_level(const struct principal *who, const char *permission);

/*
 * Looks a user up. domain NULL: a bare name of the login page, first a machine user, then one of the
 * tenant `default` (D-034). Returns 0, -ENOENT, -ENOMEM or an error of the database.
 */
int principal_find(struct principal **ret, struct db *db, const char *username, const char *domain);
int principal_by_id(struct principal **ret, struct db *db, int64_t user_id);

/* The tenant's salt, of "" the machine's. buf: 40 bytes. -ENOENT: no such tenant. */
int principal_salt(char *buf, size_t size, struct db *db, const char *domain);

#endif
