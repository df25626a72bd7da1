/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "db/db.h"
#include "db/writer.h"
#include "snapshot/snapshot.h"
#include "sip/edge_priv.h"
#include "sip/registrar_priv.h"

/*
 * Registrations on disk. What happens in the call thread is one record posted to the writer; the
 * record is packed, because a hundred thousand phones refresh it.
 */
#define RECORD_VERSION 1
#define RECORD_TEXTS   6
#define RECORD_MAX     4096

enum { TEXT_USERNAME, TEXT_URI, TEXT_DST, TEXT_SRC, TEXT_USER_AGENT, TEXT_PATH };

struct record {
	uint8_t version, tp, alg, is_from_contact;
	uint32_t granted_s, cseq;
	uint16_t q, pad[3];
	int64_t id, account_id, tenant_id, expires_at_us, registered_at_us, callid_hash,
		instance_hash;
};

/* ------------------------------------------------------------------ call thread */

static void post_failed(const struct binding *binding, int err)
{
	log_warn("sip.registration_store", "the registration is not stored; a restart forgets it",
		 kv_text("account", binding->c.username), kv_err(err));
}

void store_put(struct binding *binding)
{
	const struct reg_contact *c = &binding->c;
	struct record rec = {
		.version = RECORD_VERSION,
		.tp = (uint8_t)c->tp,
		.alg = binding->alg,
		.is_from_contact = binding->is_from_contact,
		.granted_s = binding->granted_s,
		.cseq = binding->cseq,
		.q = binding->q,
		.id = (int64_t)c->id,
		.account_id = c->account_id,
		.tenant_id = c->tenant_id,
		.expires_at_us = c->expires_at_us,
		.registered_at_us = c->registered_at_us,
		.callid_hash = (int64_t)binding->callid_hash,
		.instance_hash = (int64_t)binding->instance_hash,
	};
	char buf[RECORD_MAX], dst[64], src[64];
	const char *texts[RECORD_TEXTS] = { c->username, c->uri, dst, src, c->user_agent, c->path };
	size_t len = sizeof(rec);
	int err;

	if (!binding->reg->writer)
		return;
	(void)re_snprintf(dst, sizeof(dst), "%J", &c->dst);
	(void)re_snprintf(src, sizeof(src), "%J", &c->src);
	memcpy(buf, &rec, sizeof(rec));
	for (size_t i = 0; i < RECORD_TEXTS; i++) {
		size_t n = texts[i] ? strlen(texts[i]) + 1 : 1;

		if (n > sizeof(buf) - len) { /* the limits of the fields forbid it */
			post_failed(binding, -EMSGSIZE);
			return;
		}
		memcpy(buf + len, texts[i] ? texts[i] : "", n);
		len += n;
	}
	err = writer_post(binding->reg->writer, REG_RECORD_PUT, buf, len, NULL);
	if (err)
		post_failed(binding, err);
	else
		binding->stored_expires_us = c->expires_at_us;
}

static int64_t slack_us(uint32_t granted_s)
{
	uint32_t half_s = granted_s / 2;

	return 1000000ll * (half_s > REG_STORE_SLACK_S ? half_s : REG_STORE_SLACK_S);
}

void store_refresh(struct binding *binding)
{
	if (binding->c.expires_at_us - binding->stored_expires_us > slack_us(binding->granted_s))
		store_put(binding);
}

void store_remove(const struct registrar *reg, uint64_t id)
{
	int64_t key = (int64_t)id;
	int err;

	if (!reg->writer)
		return;
	err = writer_post(reg->writer, REG_RECORD_REMOVE, &key, sizeof(key), NULL);
	if (err)
		log_warn("sip.registration_store", "a removed registration stays stored until it expires",
			 kv_err(err));
}

/* ------------------------------------------------------------------ writer thread */

int reg_migrate(struct db *db)
{
	static const struct db_migration list[] = {
		{ .number = 1, .name = "registration",
		  .sql = "CREATE TABLE registration ("
			 " id BIGINT PRIMARY KEY,"
			 " account_id BIGINT NOT NULL,"
			 " tenant_id BIGINT NOT NULL,"
			 " username TEXT NOT NULL,"
			 " uri TEXT NOT NULL,"
			 " dst TEXT NOT NULL,"
			 " src TEXT NOT NULL,"
			 " transport INTEGER NOT NULL,"
			 " user_agent TEXT NOT NULL,"
			 " path TEXT NOT NULL,"
			 " digest_alg INTEGER NOT NULL,"
			 " is_from_contact INTEGER NOT NULL,"
			 " granted_s BIGINT NOT NULL,"
			 " cseq BIGINT NOT NULL,"
			 " q INTEGER NOT NULL,"
			 " callid_hash BIGINT NOT NULL,"
			 " instance_hash BIGINT NOT NULL,"
			 " expires_at_us BIGINT NOT NULL,"
			 " registered_at_us BIGINT NOT NULL);"
			 "CREATE INDEX registration_account ON registration (tenant_id, account_id);" },
	};

	return db_migrate(db, "registrar", list, sizeof(list) / sizeof(list[0]));
}

static int apply_put(struct db *db, const char *data, size_t len)
{
	static const char sql[] =
		"INSERT INTO registration (id, account_id, tenant_id, username, uri, dst, src,"
		" transport, user_agent, path, digest_alg, is_from_contact, granted_s, cseq, q,"
		" callid_hash, instance_hash, expires_at_us, registered_at_us)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
		" $18, $19)"
		" ON CONFLICT (id) DO UPDATE SET dst = excluded.dst, src = excluded.src,"
		" transport = excluded.transport, is_from_contact = excluded.is_from_contact,"
		" digest_alg = excluded.digest_alg, granted_s = excluded.granted_s,"
		" cseq = excluded.cseq, q = excluded.q, callid_hash = excluded.callid_hash,"
		" instance_hash = excluded.instance_hash, expires_at_us = excluded.expires_at_us";
	const char *texts[RECORD_TEXTS];
	struct record rec;
	size_t at = sizeof(rec);

	if (len < sizeof(rec))
		return -EINVAL;
	memcpy(&rec, data, sizeof(rec));
	if (rec.version != RECORD_VERSION)
		return -EINVAL;
	for (size_t i = 0; i < RECORD_TEXTS; i++) {
		const char *end = at < len ? memchr(data + at, '\0', len - at) : NULL;

		if (!end)
			return -EINVAL;
		texts[i] = data + at;
		at = (size_t)(end - data) + 1;
	}

	return db_exec(db, sql,
		       DB_ARGS(db_i64(rec.id), db_i64(rec.account_id), db_i64(rec.tenant_id),
			       db_text(texts[TEXT_USERNAME]), db_text(texts[TEXT_URI]),
			       db_text(texts[TEXT_DST]), db_text(texts[TEXT_SRC]), db_i64(rec.tp),
			       db_text(texts[TEXT_USER_AGENT]), db_text(texts[TEXT_PATH]),
			       db_i64(rec.alg), db_i64(rec.is_from_contact), db_i64(rec.granted_s),
			       db_i64(rec.cseq), db_i64(rec.q), db_i64(rec.callid_hash),
			       db_i64(rec.instance_hash), db_i64(rec.expires_at_us),
			       db_i64(rec.registered_at_us)));
}

int reg_writer_apply(struct db *db, uint32_t kind, const void *data, size_t len)
{
	int64_t id;

	if (kind == REG_RECORD_PUT)
		return apply_put(db, data, len);
	if (kind != REG_RECORD_REMOVE || len != sizeof(id))
		return -EINVAL;
	memcpy(&id, data, sizeof(id));
	return db_exec(db, "DELETE FROM registration WHERE id = $1", DB_ARGS(db_i64(id)));
}

/* ------------------------------------------------------------------ start */

/*
 * A connection died with the last process; only who listens for a new one can be called: by TCP a phone
 * that does so where its Contact says, at the address its request came from (else it is behind NAT).
 */
static bool is_reachable(struct reg_contact *c, bool *is_from_contact, bool nat)
{
	struct uri uri;
	struct pl pl;
	struct sa dst;

	if (c->tp == SIP_TRANSP_UDP || (c->tp == SIP_TRANSP_TCP && *is_from_contact))
		return true;
	pl_set_str(&pl, c->uri);
	if (c->tp != SIP_TRANSP_TCP || nat || uri_decode(&uri, &pl) ||
	    sa_set(&dst, &uri.host, uri.port ? uri.port : SIP_PORT) ||
	    !sa_cmp(&dst, &c->src, SA_ADDR))
		return false;

	c->dst = dst;
	*is_from_contact = true;
	return true;
}

static int load_row(struct registrar *reg, struct db_rows *rows, int64_t now_us)
{
	struct reg_contact c = {
		.id = (uint64_t)db_col_i64(rows, 0),
		.account_id = db_col_i64(rows, 1),
		.tenant_id = db_col_i64(rows, 2),
		.username = db_col_text(rows, 3),
		.uri = db_col_text(rows, 4),
		.tp = (int)db_col_i64(rows, 7),
		.registered_at_us = db_col_i64(rows, 18),
	};
	const char *dst = db_col_text(rows, 5), *src = db_col_text(rows, 6);
	const char *user_agent = db_col_text(rows, 8), *path = db_col_text(rows, 9);
	uint32_t granted_s = (uint32_t)db_col_i64(rows, 12);
	bool is_from_contact = db_col_i64(rows, 11) != 0;
	int64_t stored_us = db_col_i64(rows, 17), left_us = stored_us + slack_us(granted_s) - now_us;
	const struct snap_account *account;
	struct digest_phone phone = { .account_id = 0 };
	struct binding *binding;
	int err;

	account = snap_account_by_id(reg->snap, c.tenant_id, c.account_id);
	if (!account || !account->enabled || !c.username || !c.uri || !dst || !src ||
	    c.tp < SIP_TRANSP_UDP || c.tp > SIP_TRANSP_WSS ||
	    !(account->transports & 1u << c.tp) || left_us <= 0 ||
	    sa_decode(&c.dst, dst, strlen(dst)) || sa_decode(&c.src, src, strlen(src)) ||
	    !is_reachable(&c, &is_from_contact, account->nat)) {
		store_remove(reg, c.id);
		return 0;
	}

	c.user_agent = user_agent && *user_agent ? user_agent : NULL;
	c.path = path && *path ? path : NULL;
	err = binding_alloc(&binding, reg, &c);
	if (err)
		return err;
	binding->alg = (uint8_t)db_col_i64(rows, 10);
	binding->is_from_contact = is_from_contact;
	binding->cseq = (uint32_t)db_col_i64(rows, 13);
	binding->q = (uint16_t)db_col_i64(rows, 14);
	binding->callid_hash = (uint64_t)db_col_i64(rows, 15);
	binding->instance_hash = (uint64_t)db_col_i64(rows, 16);
	binding->nat = account->nat;
	binding->refreshed_ms = clk_mono_ms();
	binding_expire_in(binding, (uint32_t)(left_us / 1000000) + 1);
	binding->granted_s = granted_s;
	binding->stored_expires_us = stored_us;
	keepalive_start(binding);
	phone.account_id = account->id;
	phone.ha1_sha256 = account->ha1_sha256;
	if (c.user_agent)
		pl_set_str(&phone.user_agent, c.user_agent);
	digest_remember(reg->digest, &phone, binding->alg);
	return 0;
}

int reg_load(struct registrar *reg, struct db *db)
{
	static const char sql[] =
		"SELECT id, account_id, tenant_id, username, uri, dst, src, transport, user_agent,"
		" path, digest_alg, is_from_contact, granted_s, cseq, q, callid_hash, instance_hash,"
		" expires_at_us, registered_at_us FROM registration ORDER BY id";
	struct db_rows *rows = NULL;
	int64_t now_us = clk_wall_us();
	int n, err;

	err = db_query(&rows, db, sql, DB_NO_ARGS);
	if (err)
		return err;
	while ((n = db_next(rows)) > 0) {
		err = load_row(reg, rows, now_us);
		if (err)
			break;
	}
	db_rows_close(rows);
	if (!err && n < 0)
		err = n;
	log_info("sip.registration_load", "registrations of the last run", kv_int("loaded", reg->n));
	return err;
}
