/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_REGISTRAR_PRIV_H
#define AOIDE_SIP_REGISTRAR_PRIV_H

#include "sip/registrar.h"
#include "sip/digest.h"
#include "sip/wheel.h"

/* Shared by the files of the registrar, and by the edge. Call thread. */
struct snap;
struct writer;

#define REG_MAX_URI        512
#define REG_MAX_PATH       1024
#define REG_MAX_USER_AGENT 128
#define REG_MAX_USERNAME   64

/* Refreshes that move the stored expiry by less than half of the interval, or less than this, are
 * not written; loading adds as much, so that a phone that kept refreshing is never lost. */
#define REG_STORE_SLACK_S 300

struct binding {
	struct le he;               /* registrar.by_account */
	struct le le;               /* registrar.all */
	struct wheel_item expiry, keepalive;
	struct registrar *reg;
	struct reg_contact c;
	uint64_t expires_ms;        /* clk_mono_ms() */
	uint64_t refreshed_ms;
	int64_t stored_expires_us;  /* what the database has; 0 nothing */
	uint64_t callid_hash, instance_hash;
	uint32_t cseq, granted_s;
	uint16_t q;                 /* thousandths */
	bool nat;
	bool is_from_contact;       /* c.dst is what the Contact says, not the packet's source */
	uint8_t alg;                /* enum digest_alg of the last REGISTER */
	uint16_t keepalives;
	void *conn;                 /* libre's connection, or NULL; we hold a reference */
	struct sip_keepalive *conn_watch;
	struct sip_request *options;
	uint64_t options_us;
};

struct registrar {
	struct edge *edge;
	struct sip *sip;
	const struct snap *snap;
	struct writer *writer;
	struct digest *digest;
	struct hash *by_account;
	struct list all;            /* newest last */
	uint32_t n;
	uint64_t last_id;
	struct wheel expiry, keepalive;
	struct tmr tmr;
	reg_change_h *change_h;
	void *change_arg;
};

int registrar_alloc(struct registrar **ret, struct edge *edge, struct sip *sip,
		    const struct snap *snap, struct writer *writer, struct digest *digest);
/* What the timer does; tests with a driven clock call it. */
void registrar_tick(struct registrar *reg);

/* An authenticated REGISTER of an account that may register from there; answers it. */
void registrar_request(struct registrar *reg, const struct sip_msg *msg,
		       const struct snap_account *account, enum digest_alg alg);

/* registrar.c: bindings */
struct binding *binding_first(const struct registrar *reg, int64_t account_id);
struct binding *binding_next(const struct binding *binding);
int binding_alloc(struct binding **ret, struct registrar *reg, const struct reg_contact *contact);
void binding_drop(struct binding *binding, const char *what); /* tells, deletes from storage, frees */
void binding_expire_in(struct binding *binding, uint32_t seconds);
bool binding_conn_is_alive(const struct binding *binding);
void binding_changed(const struct binding *binding, const char *what);

/* reg_keepalive.c */
void keepalive_start(struct binding *binding);
void keepalive_due(void *data, void *arg);
void keepalive_watch_conn(struct binding *binding, const struct sip_msg *msg);

/* reg_store.c */
void store_put(struct binding *binding);
void store_refresh(struct binding *binding); /* put, unless what is stored is good enough */
void store_remove(const struct registrar *reg, uint64_t id);

#endif
