/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_AUTH_H
#define AOIDE_WEB_AUTH_H

#include <stdbool.h>
#include "web/limiter.h"
#include "web/rest.h"

/*
 * Finds out who sent the request: X-authenticate (API-08), or a session's cookie. Sets rest->who.
 * Failures are counted per address and user (D-245) and are events; the answer never tells which
 * part was wrong.
 *
 * anonymous_ok  a request without any credentials passes, with rest->who NULL
 *
 * Returns 0, -EAUTH, -EFORBIDDEN (CSRF, default password), -ETOOMANY, or an error of the database.
 */
int auth_request(struct rest *rest, bool anonymous_ok);

/* The password of the login page. Same errors. */
int auth_password(struct rest *rest, const char *username, const char *password);

/* -ETOOMANY with Retry-After when a name has used its rate up. */
int auth_rate(struct rest *rest, const char *name, struct web_rate rate);

#endif
