/* SPDX-License-Identifier: Apache-2.0 */
#include "web/sessions.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/seal.h"
#include "db/db.h"
#include "web/principal.h"

#define SEEN_STEP_S 60 /* how exactly the idle time is kept: a write per minute, not per request */

static const struct db_migration migrations[] = {
	{ 1, "sessions", NULL,
	  "CREATE TABLE web_session ("
	  " token_hash TEXT PRIMARY KEY,"
	  " user_id BIGINT NOT NULL,"
	  " csrf TEXT NOT NULL,"
	  " password_mark TEXT NOT NULL,"
	  " language TEXT,"
	  " address TEXT NOT NULL,"
	  " began_s BIGINT NOT NULL,"
	  " seen_s BIGINT NOT NULL);"
	  "CREATE INDEX web_session_user ON web_session (user_id);"
	  "CREATE TABLE web_setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
	  "CREATE TABLE web_idempotency ("
	  " key_hash TEXT PRIMARY KEY,"
	  " status BIGINT NOT NULL,"
	  " answer TEXT NOT NULL,"
	  " at_s BIGINT NOT NULL)" },
};

int sessions_migrate(struct db *db)
{
	return db_migrate(db, "web", migrations, sizeof(migrations) / sizeof(migrations[0]));
}

static void hash_hex(char *buf, const char *text, size_t bytes)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)text, strlen(text), hash);
	for (size_t i = 0; i < bytes; i++)
		snprintf(buf + 2 * i, 3, "%02x", hash[i]);
}

/* Changes with the password, and tells nothing about it. */
static void password_mark(char *buf, const struct principal *who)
{
	hash_hex(buf, who->user.verifier, 8);
}

int session_token(char *token, const char *cookie)
{
	const size_t name_len = sizeof(SESSION_COOKIE) - 1;

	while (cookie && *cookie) {
		cookie += strspn(cookie, " ;");
		if (!strncmp(cookie, SESSION_COOKIE "=", name_len + 1)) {
			const char *value = cookie + name_len + 1;
			size_t len = strcspn(value, "; ");

			if (len != SESSION_TOKEN_CHARS)
				return -ENOENT;
			for (size_t i = 0; i < len; i++)
				if (!isxdigit((unsigned char)value[i]))
					return -ENOENT;
			memcpy(token, value, len);
			token[len] = '\0';
			return 0;
		}
		cookie += strcspn(cookie, ";");
	}
	return -ENOENT;
}

int session_begin(struct db *db, struct principal *who, const char *address, char *token)
{
	int64_t now_s = clk_wall_s();
	char mark[20];
	int err;

	seal_random_hex(token, SESSION_TOKEN_CHARS + 1);
	seal_random_hex(who->csrf, 33);
	hash_hex(who->session_hash, token, 32);
	password_mark(mark, who);

	err = db_exec(db, "DELETE FROM web_session WHERE began_s < $1 OR seen_s < $2",
		      DB_ARGS(db_i64(now_s - SESSION_LIFE_S), db_i64(now_s - SESSION_IDLE_S)));
	if (err)
		return err;
	return db_exec(db,
		       "INSERT INTO web_session (token_hash, user_id, csrf, password_mark, address,"
		       " began_s, seen_s) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		       DB_ARGS(db_text(who->session_hash), db_i64(who->user.id), db_text(who->csrf),
			       db_text(mark), db_text(address), db_i64(now_s), db_i64(now_s)));
}

int session_find(struct principal **ret, struct db *db, const char *token)
{
	int64_t now_s = clk_wall_s(), user_id = 0, seen_s = 0;
	char hash[72] = "", csrf[48] = "", mark[24] = "", language[8] = "", now_mark[20];
	struct principal *who = NULL;
	struct db_rows *rows = NULL;
	int err, n;

	hash_hex(hash, token, 32);
	err = db_query(&rows, db,
		       "SELECT user_id, csrf, password_mark, language, seen_s FROM web_session"
		       " WHERE token_hash = $1 AND began_s >= $2 AND seen_s >= $3",
		       DB_ARGS(db_text(hash), db_i64(now_s - SESSION_LIFE_S),
			       db_i64(now_s - SESSION_IDLE_S)));
	if (err)
		return err;
	n = db_next(rows);
	if (n > 0) {
		const char *text = db_col_text(rows, 3);

		user_id = db_col_i64(rows, 0);
		snprintf(csrf, sizeof(csrf), "%s", db_col_text(rows, 1));
		snprintf(mark, sizeof(mark), "%s", db_col_text(rows, 2));
		snprintf(language, sizeof(language), "%s", text ? text : "");
		seen_s = db_col_i64(rows, 4);
	}
	db_rows_close(rows);
	if (n <= 0)
		return n < 0 ? n : -ENOENT;

	err = principal_by_id(&who, db, user_id);
	if (err)
		return err;
	password_mark(now_mark, who);
	if (strcmp(mark, now_mark) || !who->user.enabled || !who->user.gui) {
		principal_free(who);
		(void)session_end(db, hash); /* it is over either way */
		return -ENOENT;
	}
	who->via = VIA_SESSION;
	snprintf(who->csrf, sizeof(who->csrf), "%s", csrf);
	snprintf(who->session_hash, sizeof(who->session_hash), "%s", hash);
	if (*language)
		snprintf(who->language, sizeof(who->language), "%s", language);

	if (seen_s + SEEN_STEP_S <= now_s)
		/* A busy database must not cost the caller his request. */
		(void)db_exec(db, "UPDATE web_session SET seen_s = $1 WHERE token_hash = $2",
			      DB_ARGS(db_i64(now_s), db_text(hash)));
	*ret = who;
	return 0;
}

int session_end(struct db *db, const char *session_hash)
{
	return db_exec(db, "DELETE FROM web_session WHERE token_hash = $1",
		       DB_ARGS(db_text(session_hash)));
}

int session_end_others(struct db *db, const struct principal *who)
{
	char mark[20];
	int err;

	err = db_exec(db, "DELETE FROM web_session WHERE user_id = $1 AND token_hash <> $2",
		      DB_ARGS(db_i64(who->user.id), db_text(who->session_hash)));
	if (err)
		return err;
	password_mark(mark, who);
	return db_exec(db, "UPDATE web_session SET password_mark = $1 WHERE token_hash = $2",
		       DB_ARGS(db_text(mark), db_text(who->session_hash)));
}

int session_set_language(struct db *db, struct principal *who, const char *language)
{
	snprintf(who->language, sizeof(who->language), "%s", language);
	return db_exec(db, "UPDATE web_session SET language = $1 WHERE token_hash = $2",
		       DB_ARGS(db_text(language), db_text(who->session_hash)));
}

int web_setting(char *buf, size_t size, struct db *db, const char *name,
		void (*make)(char *buf, size_t size))
{
	static const char sql[] = "SELECT value FROM web_setting WHERE name = $1";
	int err = db_query_text(buf, size, db, sql, DB_ARGS(db_text(name)));

	if (err != -ENOENT)
		return err;
	make(buf, size);
	/* Another worker may have been first: what is stored counts. */
	err = db_exec(db,
		      "INSERT INTO web_setting (name, value) VALUES ($1, $2)"
		      " ON CONFLICT (name) DO NOTHING",
		      DB_ARGS(db_text(name), db_text(buf)));
	return err ? err : db_query_text(buf, size, db, sql, DB_ARGS(db_text(name)));
}
