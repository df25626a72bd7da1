/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_SESSIONS_H
#define AOIDE_WEB_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Browser sessions, in the database (table web_session): a restart of this process logs nobody out.
 * Only the hash of a token is stored. A session ends 12 h after it began, after 2 h without a
 * request, and when the password changes (D-365).
 */
struct db;
struct principal;

#define SESSION_COOKIE      "aoide_session"
#define SESSION_TOKEN_CHARS 64
#define SESSION_LIFE_S      (12 * 3600)
#define SESSION_IDLE_S      (2 * 3600)

int sessions_migrate(struct db *db);

/* Begins a session for who. token: SESSION_TOKEN_CHARS + 1 bytes. Fills who->csrf. */
int session_begin(struct db *db, struct principal *who, const char *address, char *token);
/* The session of a token. -ENOENT: none, or over. */
int session_find(struct principal **ret, struct db *db, const char *token);
int session_end(struct db *db, const char *session_hash);
/* All sessions of a user but one (his password has changed). */
int session_end_others(struct db *db, const struct principal *who);
int session_set_language(struct db *db, struct principal *who, const char *language);

/* The token in a Cookie header. token: SESSION_TOKEN_CHARS + 1 bytes. -ENOENT. */
int session_token(char *token, const char *cookie);

/* Named values this module keeps for ever, made at first use: "serial". -errno. */
int web_setting(char *buf, size_t size, struct db *db, const char *name,
		void (*make)(char *buf, size_t size));

#endif
