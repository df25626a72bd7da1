/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "snapshot/snapshot.h"
#include "sip/edge_priv.h"
#include "sip/registrar_priv.h"
#include "sip/transp_guard.h"

/*
 * A REGISTER (RFC 3261 section 10.3), already authenticated. Everything is checked before anything
 * is changed: a request works whole or not at all.
 */
#define DEFAULT_MIN_S    60
#define DEFAULT_MAX_S    3600
#define CONN_SLACK_MS    60000 /* a connection outlives the registration that came by it */
#define MAX_LISTED       REG_MAX_CONTACTS

struct wanted { /* one Contact of the request */
	struct sip_addr addr;
	uint32_t expires_s;
	uint16_t q;
	uint64_t instance_hash;
};

struct parse {
	const struct sip_msg *msg;
	uint32_t min_s, max_s, default_s;
	struct wanted list[MAX_LISTED];
	size_t n;
	bool star;
	uint16_t scode; /* of the refusal */
	const char *reason;
};

static uint64_t text_hash(const struct pl *pl)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (size_t i = 0; i < pl->l; i++)
		hash = (hash ^ (uint8_t)pl->p[i]) * 0x100000001b3ull;
	return hash;
}

static bool refuse(struct parse *parse, uint16_t scode, const char *reason)
{
	parse->scode = scode;
	parse->reason = reason;
	return true; /* ends sip_msg_hdr_apply */
}

/* A delta-seconds; what is no number counts as not said (section 10.3 step 7: as default). */
static bool seconds(uint32_t *ret, const struct pl *pl)
{
	uint64_t value = 0;

	if (!pl->l || pl->l > 10)
		return false;
	for (size_t i = 0; i < pl->l; i++) {
		if (pl->p[i] < '0' || pl->p[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(pl->p[i] - '0');
	}
	*ret = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
	return true;
}

/* "0.7" as 700; 1 when there is none or it is broken. */
static uint16_t q_value(const struct pl *params)
{
	struct pl pl;
	double q;

	if (msg_param_decode(params, "q", &pl))
		return 1000;
	q = pl_float(&pl);
	return q >= 0 && q <= 1 ? (uint16_t)(q * 1000 + 0.5) : 1000;
}

static bool has_control(const struct pl *pl)
{
	for (size_t i = 0; i < pl->l; i++) {
		if ((uint8_t)pl->p[i] <= ' ' || pl->p[i] == 0x7f)
			return true;
	}
	return false;
}

static bool contact_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct parse *parse = arg;
	struct wanted *w = &parse->list[parse->n];
	struct pl pl;

	(void)msg;
	if (!pl_strcmp(&hdr->val, "*")) {
		parse->star = true;
		return false;
	}
	if (parse->n == MAX_LISTED)
		return refuse(parse, 400, "Too many contacts");
	if (sip_addr_decode(&w->addr, &hdr->val) || !pl_isset(&w->addr.uri.host))
		return refuse(parse, 400, "Malformed Contact");
	if (pl_strcasecmp(&w->addr.uri.scheme, "sip") && pl_strcasecmp(&w->addr.uri.scheme, "sips"))
		return refuse(parse, 400, "Contact is not a SIP URI");
	if (w->addr.auri.l > REG_MAX_URI || has_control(&w->addr.auri))
		return refuse(parse, 400, "Contact is too long or has control characters");

	w->expires_s = parse->default_s;
	if (!msg_param_decode(&w->addr.params, "expires", &pl))
		(void)seconds(&w->expires_s, &pl);
	if (w->expires_s && w->expires_s < parse->min_s)
		return refuse(parse, 423, "Interval Too Brief");
	if (w->expires_s > parse->max_s)
		w->expires_s = parse->max_s;
	w->q = q_value(&w->addr.params);
	w->instance_hash = msg_param_decode(&w->addr.params, "+sip.instance", &pl) ? 0 :
										       text_hash(&pl);
	parse->n++;
	return false;
}

/* The contact a phone prefers stands first; what exceeds max_contacts falls off the end. */
static void sort_by_q(struct parse *parse)
{
	for (size_t i = 1; i < parse->n; i++) {
		struct wanted w = parse->list[i];
		size_t at = i;

		for (; at && parse->list[at - 1].q < w.q; at--)
			parse->list[at] = parse->list[at - 1];
		parse->list[at] = w;
	}
}

static bool parse_request(struct parse *parse, const struct sip_msg *msg, const struct snap_sip *set)
{
	parse->msg = msg;
	parse->min_s = set && set->min_expires_s ? set->min_expires_s : DEFAULT_MIN_S;
	parse->max_s = set && set->max_expires_s ? set->max_expires_s : DEFAULT_MAX_S;
	parse->default_s = parse->max_s;
	if (pl_isset(&msg->expires))
		(void)seconds(&parse->default_s, &msg->expires);

	if (sip_msg_hdr_apply(msg, true, SIP_HDR_CONTACT, contact_handler, parse))
		return false;
	if (parse->star && (parse->n || !pl_isset(&msg->expires) || parse->default_s)) {
		refuse(parse, 400, "Contact * needs Expires: 0 and no other contact");
		return false;
	}
	sort_by_q(parse);
	return true;
}

/* ------------------------------------------------------------------ where requests go */

static bool is_nat_forced(const struct snap_account *account, const struct sip_msg *msg)
{
	return account->nat || msg->tp != SIP_TRANSP_UDP;
}

static const struct {
	const char *name;
	enum sip_transp tp;
} transport_names[] = {
	{ "udp", SIP_TRANSP_UDP }, { "tcp", SIP_TRANSP_TCP }, { "tls", SIP_TRANSP_TLS },
	{ "ws", SIP_TRANSP_WS },   { "wss", SIP_TRANSP_WSS },
};

/*
 * Where requests for a contact go: its URI when it names an address and neither a NAT nor a
 * connection stands between, else the way the REGISTER came (BASE-46; RFC 5626 section 5.3).
 */
static bool destination(struct reg_contact *c, const struct sip_addr *addr,
			const struct snap_account *account, const struct sip_msg *msg)
{
	struct pl pl;
	struct sa dst;
	enum sip_transp tp = msg->tp;

	c->tp = msg->tp;
	c->dst = msg->src;
	if (is_nat_forced(account, msg))
		return false;

	if (!msg_param_decode(&addr->uri.params, "transport", &pl)) {
		for (size_t i = 0; i < sizeof(transport_names) / sizeof(transport_names[0]); i++) {
			if (!pl_strcasecmp(&pl, transport_names[i].name))
				tp = transport_names[i].tp;
		}
	}
	if (tp != msg->tp && !(account->transports & 1u << tp))
		return false;
	if (sa_set(&dst, &addr->uri.host, sip_transp_port(tp, addr->uri.port)) || sa_is_any(&dst) ||
	    sa_af(&dst) != sa_af(&msg->src))
		return false;
	c->tp = tp;
	c->dst = dst;
	return true;
}

/* BASE-45: the address in the Contact; a name is no address and passes no list. */
static bool acl_allows(const struct snap_account *account, const struct sip_addr *addr)
{
	uint8_t bytes[16];
	struct sa sa;

	if (!account->n_acl_contact)
		return true;
	if (sa_set(&sa, &addr->uri.host, 0))
		return false;
	edge_addr16(bytes, &sa);
	return snap_net_allows(account->acl_contact, account->n_acl_contact, bytes);
}

/* ------------------------------------------------------------------ changing bindings */

static bool same_text(const char *text, const struct pl *pl)
{
	return text ? !pl_strcmp(pl, text) : !pl->l;
}

static struct binding *find_uri(const struct registrar *reg, int64_t account_id,
				const struct pl *uri)
{
	struct binding *b = binding_first(reg, account_id);

	while (b && !same_text(b->c.uri, uri))
		b = binding_next(b);
	return b;
}

/* The same phone under another address: its Call-ID stays over refreshes, +sip.instance for ever. */
static struct binding *find_phone(const struct registrar *reg, int64_t account_id,
				  uint64_t callid_hash, uint64_t instance_hash)
{
	struct binding *b = binding_first(reg, account_id);

	while (b && b->callid_hash != callid_hash &&
	       !(instance_hash && b->instance_hash == instance_hash))
		b = binding_next(b);
	return b;
}

struct texts { /* NUL terminated copies of what the request says */
	char uri[REG_MAX_URI + 1], user_agent[REG_MAX_USER_AGENT + 1], path[REG_MAX_PATH + 1];
};

static void copy_text(char *buf, size_t size, const struct pl *pl)
{
	size_t len = pl->l < size - 1 ? pl->l : size - 1;

	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)pl->p[i] < ' ' ? ' ' : pl->p[i]; /* folded header lines */
	buf[len] = '\0';
}

static bool path_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct texts *texts = arg;
	size_t used = strlen(texts->path);

	(void)msg;
	if (used + hdr->val.l + 3 > sizeof(texts->path))
		return true;
	if (used) {
		memcpy(texts->path + used, ", ", 3);
		used += 2;
	}
	copy_text(texts->path + used, sizeof(texts->path) - used, &hdr->val);
	return false;
}

static bool is_pure_refresh(const struct binding *b, const struct reg_contact *c,
			    const struct texts *texts, const struct sip_msg *msg)
{
	return b->c.tp == c->tp && sa_cmp(&b->c.dst, &c->dst, SA_ALL) &&
	       sa_cmp(&b->c.src, &msg->src, SA_ALL) &&
	       !strcmp(b->c.user_agent ? b->c.user_agent : "", texts->user_agent) &&
	       !strcmp(b->c.path ? b->c.path : "", texts->path);
}

static int put(struct registrar *reg, const struct wanted *w, const struct snap_account *account,
	       const struct sip_msg *msg, enum digest_alg alg)
{
	const struct sip_hdr *ua = sip_msg_hdr(msg, SIP_HDR_USER_AGENT);
	struct binding *old = find_uri(reg, account->id, &w->addr.auri), *b, *phone;
	struct texts texts = { .path = "" };
	struct reg_contact c = { .account_id = account->id, .tenant_id = account->tenant->id };
	bool from_contact;
	int err;

	copy_text(texts.uri, sizeof(texts.uri), &w->addr.auri);
	if (ua)
		copy_text(texts.user_agent, sizeof(texts.user_agent), &ua->val);
	if (sip_msg_hdr_apply(msg, true, SIP_HDR_PATH, path_handler, &texts))
		return -EMSGSIZE;
	from_contact = destination(&c, &w->addr, account, msg);

	b = old && is_pure_refresh(old, &c, &texts, msg) ? old : NULL;
	if (!b) {
		phone = old ? old : find_phone(reg, account->id, text_hash(&msg->callid),
					       w->instance_hash);
		c.username = account->username;
		c.uri = texts.uri;
		c.user_agent = *texts.user_agent ? texts.user_agent : NULL;
		c.path = *texts.path ? texts.path : NULL;
		c.src = msg->src;
		c.registered_at_us = old ? old->c.registered_at_us : clk_wall_us();
		err = binding_alloc(&b, reg, &c);
		if (err)
			return err;
		if (phone)
			binding_drop(phone, "replaced");
		old = NULL;
	}

	b->is_from_contact = from_contact;
	b->nat = account->nat;
	b->alg = (uint8_t)alg;
	b->q = w->q;
	b->callid_hash = text_hash(&msg->callid);
	b->instance_hash = w->instance_hash;
	b->cseq = msg->cseq.num;
	b->refreshed_ms = clk_mono_ms();
	binding_expire_in(b, w->expires_s);
	if (!from_contact || c.tp == msg->tp)
		keepalive_watch_conn(b, msg);
	keepalive_start(b);
	guard_conn_touch(reg->edge->guard, msg, 1000 * w->expires_s + CONN_SLACK_MS);

	if (old) {
		store_refresh(b);
		binding_changed(b, "refreshed");
		return 0;
	}
	store_put(b);
	log_info("sip.registration", "registered", kv_text("account", b->c.username),
		 kv_text("contact", b->c.uri), kv_sa("source", &b->c.src));
	binding_changed(b, "registered");
	return 0;
}

static void remove_all(struct registrar *reg, int64_t account_id)
{
	struct binding *b;

	while ((b = binding_first(reg, account_id)))
		binding_drop(b, "unregistered");
}

/* BASE-31, D-078: the last registered stay. */
static void keep_newest(struct registrar *reg, const struct snap_account *account)
{
	size_t max = account->max_contacts ? account->max_contacts : 1;

	if (max > REG_MAX_CONTACTS)
		max = REG_MAX_CONTACTS;
	for (;;) {
		struct binding *oldest = NULL;
		size_t n = 0;

		for (struct binding *b = binding_first(reg, account->id); b; b = binding_next(b)) {
			if (!oldest || b->refreshed_ms < oldest->refreshed_ms ||
			    (b->refreshed_ms == oldest->refreshed_ms && b->c.id < oldest->c.id))
				oldest = b;
			n++;
		}
		if (n <= max)
			return;
		binding_drop(oldest, "replaced");
	}
}

/* RFC 3261 section 10.3 step 7: a request that is older than the last one of this phone. A repeat
 * with the same number is answered as the first was. */
static bool is_out_of_order(const struct registrar *reg, const struct snap_account *account,
			    const struct parse *parse)
{
	uint64_t callid_hash = text_hash(&parse->msg->callid);

	for (const struct binding *b = binding_first(reg, account->id); b; b = binding_next(b)) {
		if (b->callid_hash == callid_hash && parse->msg->cseq.num < b->cseq)
			return true;
	}
	return false;
}

static int change(struct registrar *reg, const struct parse *parse,
		  const struct snap_account *account, enum digest_alg alg)
{
	size_t max = account->max_contacts ? account->max_contacts : 1;
	int err;

	if (parse->star)
		remove_all(reg, account->id);

	/* The least wanted first, so that the first wanted is the newest. */
	for (size_t i = parse->n < max ? parse->n : max; i-- > 0;) {
		const struct wanted *w = &parse->list[i];
		struct binding *b;

		if (w->expires_s) {
			err = put(reg, w, account, parse->msg, alg);
			if (err)
				return err;
		} else if ((b = find_uri(reg, account->id, &w->addr.auri))) {
			binding_drop(b, "unregistered");
		}
	}
	/* Removals beyond max_contacts cost nothing and are done all the same. */
	for (size_t i = max; i < parse->n; i++) {
		struct binding *b = find_uri(reg, account->id, &parse->list[i].addr.auri);

		if (b && !parse->list[i].expires_s)
			binding_drop(b, "unregistered");
	}
	keep_newest(reg, account);
	return 0;
}

/* ------------------------------------------------------------------ answer */

static int print_contacts(struct re_printf *pf, void *arg)
{
	const struct binding *b = arg;
	uint64_t now_ms = clk_mono_ms();
	int err = 0;

	for (; b && !err; b = binding_next(b)) {
		uint32_t left_s = b->expires_ms > now_ms ?
					  (uint32_t)((b->expires_ms - now_ms + 999) / 1000) :
					  0;

		if (!left_s)
			continue;
		err = re_hprintf(pf, "Contact: <%s>;expires=%u", b->c.uri, left_s);
		if (!err && b->q != 1000)
			err = re_hprintf(pf, ";q=0.%03u", b->q);
		if (!err)
			err = re_hprintf(pf, "\r\n");
		if (!err && b->c.path)
			err = re_hprintf(pf, "Path: %s\r\n", b->c.path);
	}
	return err;
}

void registrar_request(struct registrar *reg, const struct sip_msg *msg,
		       const struct snap_account *account, enum digest_alg alg)
{
	struct parse parse = { .scode = 0 };
	char hdrs[48] = "";
	int err = 0;

	if (!parse_request(&parse, msg, snap_sip(reg->snap))) {
		if (parse.scode == 423)
			(void)re_snprintf(hdrs, sizeof(hdrs), "Min-Expires: %u\r\n", parse.min_s);
		edge_refuse(reg->edge, msg, parse.scode, parse.reason, hdrs);
		return;
	}
	for (size_t i = 0; i < parse.n; i++) {
		if (parse.list[i].expires_s && !acl_allows(account, &parse.list[i].addr)) {
			log_warn("sip.acl_contact", "the Contact address is not in the account's list",
				 kv_text("account", account->username), kv_sa("source", &msg->src));
			edge_refuse(reg->edge, msg, 403, "Forbidden", NULL);
			return;
		}
	}
	if ((parse.n || parse.star) && is_out_of_order(reg, account, &parse)) {
		edge_refuse(reg->edge, msg, 500, "CSeq is older than the last REGISTER", NULL);
		return;
	}

	err = change(reg, &parse, account, alg);
	if (err) {
		log_error("sip.registration", "cannot register", kv_text("account", account->username),
			  kv_err(err));
		edge_refuse(reg->edge, msg, 500, "Server Internal Error", NULL);
		return;
	}
	/*
	 * Without a server transaction, which libre would keep for 32 s with 6 KB: at a hundred
	 * thousand phones that is more than all their contacts. Who repeats because our 200 was lost
	 * is challenged with stale=true (the nonce is used) and gets through at once.
	 */
	(void)sip_replyf(reg->sip, msg, 200, "OK", "%HSupported: path\r\nContent-Length: 0\r\n\r\n",
			 print_contacts, binding_first(reg, account->id));
}
