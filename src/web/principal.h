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

enum principal_via { VIA_HEADER, VIA_SESSION };

struct principal {
	struct sch_user user;       /* tenant_id 0: a machine user */
	char extension[32];         /* number of the user's own; "" none */
	char full_name[160];        /* "admin@default", for the audit */
	char language[8];           /* "it", "en" or "" */
	bool is_local;              /* the password is ours (BASE-73) */
	bool node_rights;           /* may act on node-level entities (D-034) */
	bool privacy;               /* sees external numbers complete (D-046) */
	bool must_change_password;
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

#endif
