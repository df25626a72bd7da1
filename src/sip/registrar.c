/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/registrar.h"

#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "snapshot/snapshot.h"
#include "sip/edge_priv.h"
#include "sip/registrar_priv.h"

#define ACCOUNT_BUCKETS 65536
#define MAX_IDLE_TICKS  4 /* slept at once: so late may be what is set to be due sooner than that */

/* ------------------------------------------------------------------ bindings */

static uint32_t account_key(int64_t account_id)
{
	return (uint32_t)(((uint64_t)account_id * 0x9e3779b97f4a7c15ull) >> 32);
}

static bool account_match(struct le *le, void *arg)
{
	const struct binding *binding = le->data;

	return binding->c.account_id == *(const int64_t *)arg;
}

struct binding *binding_first(const struct registrar *reg, int64_t account_id)
{
	return list_ledata(hash_lookup(reg->by_account, account_key(account_id), account_match,
				       &account_id));
}

struct binding *binding_next(const struct binding *binding)
{
	int64_t account_id = binding->c.account_id;

	for (struct le *le = binding->he.next; le; le = le->next) {
		if (account_match(le, &account_id))
			return le->data;
	}
	return NULL;
}

static void binding_destructor(void *arg)
{
	struct binding *binding = arg;

	if (binding->le.list)
		binding->reg->n--;
	hash_unlink(&binding->he);
	list_unlink(&binding->le);
	wheel_clear(&binding->expiry);
	wheel_clear(&binding->keepalive);
	mem_deref(binding->conn_watch);
	mem_deref(binding->options);
	mem_deref(binding->conn);
}

static const char *text_put(char **at, const char *text)
{
	char *start = *at;

	if (!text)
		return NULL;
	strcpy(start, text);
	*at += strlen(text) + 1;
	return start;
}

static size_t text_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

/* One block with its texts: a hundred thousand of these are kept. */
int binding_alloc(struct binding **ret, struct registrar *reg, const struct reg_contact *contact)
{
	struct binding *binding;
	uint64_t id = contact->id ? contact->id : (uint64_t)clk_wall_us();
	char *at;

	binding = mem_zalloc(sizeof(*binding) + text_size(contact->username) +
				     text_size(contact->uri) + text_size(contact->user_agent) +
				     text_size(contact->path),
			     binding_destructor);
	if (!binding)
		return -ENOMEM;

	at = (char *)(binding + 1);
	binding->reg = reg;
	binding->c = *contact;
	binding->c.username = text_put(&at, contact->username);
	binding->c.uri = text_put(&at, contact->uri);
	binding->c.user_agent = text_put(&at, contact->user_agent);
	binding->c.path = text_put(&at, contact->path);

	if (!contact->id && id <= reg->last_id)
		id = reg->last_id + 1;
	if (id > reg->last_id)
		reg->last_id = id;
	binding->c.id = id;

	hash_append(reg->by_account, account_key(contact->account_id), &binding->he, binding);
	list_append(&reg->all, &binding->le, binding);
	reg->n++;
	*ret = binding;
	return 0;
}

void binding_changed(const struct binding *binding, const char *what)
{
	log_debug("sip.registration", what, kv_text("account", binding->c.username),
		  kv_sa("source", &binding->c.src));
	if (binding->reg->change_h)
		binding->reg->change_h(&binding->c, what, binding->reg->change_arg);
}

void binding_drop(struct binding *binding, const char *what)
{
	/* Out of the index first: the handler sees the state after the change. */
	hash_unlink(&binding->he);
	store_remove(binding->reg, binding->c.id);
	log_info("sip.registration", what, kv_text("account", binding->c.username),
		 kv_text("contact", binding->c.uri), kv_sa("source", &binding->c.src));
	if (binding->reg->change_h)
		binding->reg->change_h(&binding->c, what, binding->reg->change_arg);
	mem_deref(binding);
}

void binding_expire_in(struct binding *binding, uint32_t seconds)
{
	uint64_t now_ms = clk_mono_ms();

	binding->granted_s = seconds;
	binding->expires_ms = now_ms + 1000ull * seconds;
	binding->c.expires_at_us = clk_wall_us() + 1000000ll * seconds;
	wheel_set(&binding->reg->expiry, &binding->expiry, binding->expires_ms, binding);
}

bool binding_conn_is_alive(const struct binding *binding)
{
	struct sip_msg probe = { .sock = binding->conn, .tp = binding->c.tp };

	/* libre takes the TCP connection out of its own when that is closed. */
	return !binding->conn || sip_msg_tcpconn(&probe);
}

static void expiry_due(void *data, void *arg)
{
	(void)arg;
	binding_drop(data, "expired");
}

/* ------------------------------------------------------------------ life */

void registrar_tick(struct registrar *reg)
{
	uint64_t now_ms = clk_mono_ms();

	wheel_run(&reg->expiry, now_ms);
	wheel_run(&reg->keepalive, now_ms);
}

static void tick_handler(void *arg)
{
	struct registrar *reg = arg;

	unsigned expiry, keepalive;

	registrar_tick(reg);
	expiry = wheel_idle_ticks(&reg->expiry, MAX_IDLE_TICKS);
	keepalive = wheel_idle_ticks(&reg->keepalive, MAX_IDLE_TICKS);
	tmr_start(&reg->tmr, WHEEL_TICK_MS * (expiry < keepalive ? expiry : keepalive), tick_handler, reg);
}

static void registrar_destructor(void *arg)
{
	struct registrar *reg = arg;

	/* Stored registrations stay: the next start loads them. */
	tmr_cancel(&reg->tmr);
	while (reg->all.head)
		mem_deref(reg->all.head->data);
	mem_deref(reg->by_account);
}

int registrar_alloc(struct registrar **ret, struct edge *edge, struct sip *sip,
		    const struct snap *snap, struct writer *writer, struct digest *digest)
{
	struct registrar *reg;

	reg = mem_zalloc(sizeof(*reg), registrar_destructor);
	if (!reg)
		return -ENOMEM;
	reg->edge = edge;
	reg->sip = sip;
	reg->snap = snap;
	reg->writer = writer;
	reg->digest = digest;
	wheel_init(&reg->expiry, clk_mono_ms(), expiry_due, reg);
	wheel_init(&reg->keepalive, clk_mono_ms(), keepalive_due, reg);
	if (hash_alloc(&reg->by_account, ACCOUNT_BUCKETS)) {
		mem_deref(reg);
		return -ENOMEM;
	}
	tmr_start(&reg->tmr, WHEEL_TICK_MS, tick_handler, reg);
	*ret = reg;
	return 0;
}

/* ------------------------------------------------------------------ questions */

size_t reg_contacts(const struct registrar *reg, const struct snap_account *account,
		    const struct reg_contact **ret, size_t n)
{
	const struct binding *found[REG_MAX_CONTACTS], *binding;
	uint64_t now_ms = clk_mono_ms();
	size_t count = 0, at;

	for (binding = binding_first(reg, account->id); binding && count < REG_MAX_CONTACTS;
	     binding = binding_next(binding)) {
		if (binding->expires_ms <= now_ms || !binding_conn_is_alive(binding))
			continue;
		for (at = count++; at && found[at - 1]->refreshed_ms < binding->refreshed_ms; at--)
			found[at] = found[at - 1];
		found[at] = binding;
	}

	for (size_t i = 0; i < count && i < n; i++)
		ret[i] = &found[i]->c;
	return count < n ? count : n;
}

bool reg_source_matches(const struct registrar *reg, const struct snap_account *account,
			const struct sa *src, int tp)
{
	uint64_t now_ms = clk_mono_ms();

	for (const struct binding *b = binding_first(reg, account->id); b; b = binding_next(b)) {
		if (b->expires_ms > now_ms && b->c.tp == tp && sa_cmp(&b->c.src, src, SA_ALL))
			return true;
	}
	return false;
}

void reg_apply(const struct registrar *reg, reg_apply_h *h, void *arg)
{
	for (struct le *le = reg->all.head; le; le = le->next) {
		const struct binding *binding = le->data;

		if (h(&binding->c, arg))
			return;
	}
}

uint32_t reg_count(const struct registrar *reg)
{
	return reg->n;
}

void reg_set_change_handler(struct registrar *reg, reg_change_h *h, void *arg)
{
	reg->change_h = h;
	reg->change_arg = arg;
}

static bool is_still_allowed(const struct binding *binding, const struct snap_account *account)
{
	uint8_t addr[16];

	if (!account || !account->enabled || !(account->transports & 1u << binding->c.tp) ||
	    strcmp(account->username, binding->c.username))
		return false;
	edge_addr16(addr, &binding->c.src);
	return snap_net_allows(account->acl_source, account->n_acl_source, addr);
}

void reg_snapshot_changed(struct registrar *reg, int64_t tenant_id)
{
	const struct snap_account *account;
	struct le *le = reg->all.head;

	while (le) {
		struct binding *binding = le->data;

		le = le->next;
		if (binding->c.tenant_id != tenant_id)
			continue;
		account = snap_account_by_id(reg->snap, tenant_id, binding->c.account_id);
		if (!is_still_allowed(binding, account)) {
			binding_drop(binding, "unregistered");
			continue;
		}
		binding->nat = account->nat;
		keepalive_start(binding);
	}
}
