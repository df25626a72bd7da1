/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "snapshot/snapshot.h"
#include "sip/digest.h"
#include "sip/edge_priv.h"
#include "sip/limiter.h"
#include "sip/registrar_priv.h"
#include "sip/transp_guard.h"

/*
 * What may pass. libre has matched retransmissions, ACKs of refusals, CANCELs and merged requests
 * before; the order here is: is it well formed, is it a dialog's, what does the method need, and for
 * REGISTER and INVITE who is it.
 */
#define ALLOW       "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE, PRACK, REFER, REGISTER\r\n"
#define SUPPORTED   "Supported: 100rel, timer, path, replaces\r\n"
#define ACCEPT      "Accept: application/sdp\r\n"
#define NONCE_REALM "aoide"
#define CONN_IDLE_MS (15 * 60 * 1000)

void edge_refuse(struct edge *edge, const struct sip_msg *msg, uint16_t scode, const char *reason,
		 const char *hdrs)
{
	/* Without a transaction: a refusal is made again for a repeat, and holds no memory. */
	edge->stats.refused++;
	(void)sip_replyf(edge->sip, msg, scode, reason, "%sContent-Length: 0\r\n\r\n",
			 hdrs ? hdrs : "");
}

/* ------------------------------------------------------------------ form */

struct fault {
	uint16_t scode;
	const char *reason;
};

static bool is_number(const struct pl *pl, uint64_t max)
{
	uint64_t value = 0;

	if (!pl->l || pl->l > 10)
		return false;
	for (size_t i = 0; i < pl->l; i++) {
		if (pl->p[i] < '0' || pl->p[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(pl->p[i] - '0');
	}
	return value <= max;
}

static struct fault check_single(const struct sip_msg *msg)
{
	static const struct {
		enum sip_hdrid id;
		const char *missing, *twice;
	} single[] = {
		{ SIP_HDR_FROM, "Missing From header", "More than one From header" },
		{ SIP_HDR_TO, "Missing To header", "More than one To header" },
		{ SIP_HDR_CALL_ID, "Missing Call-ID header", "More than one Call-ID header" },
		{ SIP_HDR_CSEQ, "Missing CSeq header", "More than one CSeq header" },
		{ SIP_HDR_MAX_FORWARDS, NULL, "More than one Max-Forwards header" },
		{ SIP_HDR_CONTENT_LENGTH, NULL, "More than one Content-Length header" },
	};

	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
		uint32_t n = sip_msg_hdr_count(msg, single[i].id);

		if (n > 1)
			return (struct fault){ 400, single[i].twice };
		if (!n && single[i].missing)
			return (struct fault){ 400, single[i].missing };
	}
	return (struct fault){ 0 };
}

static struct fault check_values(const struct sip_msg *msg)
{
	if (!pl_isset(&msg->callid))
		return (struct fault){ 400, "Empty Call-ID" };
	if (!pl_isset(&msg->via.branch) || !pl_strcmp(&msg->via.branch, "z9hG4bK"))
		return (struct fault){ 400, "Missing branch in Via" };
	if (pl_isset(&msg->uri.headers)) /* RFC 3261 section 19.1.1, table 1 */
		return (struct fault){ 400, "The request URI has headers" };
	if (pl_cmp(&msg->cseq.met, &msg->met))
		return (struct fault){ 400, "CSeq method does not match the request line" };
	if (msg->cseq.num > 0x7fffffff)
		return (struct fault){ 400, "CSeq number is too large" };
	if (!pl_isset(&msg->from.auri) || !pl_isset(&msg->to.auri))
		return (struct fault){ 400, "From or To has no address" };
	if (msg->maxfwd.p && !is_number(&msg->maxfwd, 255))
		return (struct fault){ 400, "Max-Forwards is not a number from 0 to 255" };
	return (struct fault){ 0 };
}

/* The body is what Content-Length says; on a datagram it may not say more than there is (RFC 3261
 * section 18.3). */
static struct fault check_body(const struct sip_msg *msg)
{
	size_t left = mbuf_get_left(msg->mb), length;

	if (!msg->clen.p)
		return (struct fault){ 0 };
	if (!is_number(&msg->clen, EDGE_MAX_MESSAGE))
		return (struct fault){ 400, "Content-Length is not a number, or too large" };
	length = pl_u32(&msg->clen);
	if (length > left)
		return (struct fault){ 400, "The body is shorter than Content-Length" };
	msg->mb->end = msg->mb->pos + length;
	return (struct fault){ 0 };
}

static struct fault check_uri(const struct sip_msg *msg)
{
	static const char *const schemes[] = { "sip", "sips", "tel" };

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (!pl_strcasecmp(&msg->uri.scheme, schemes[i]))
			return (struct fault){ 0 };
	}
	return (struct fault){ 416, "Unsupported URI Scheme" };
}

static bool via_is_ours(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	const struct edge *edge = arg;
	struct sip_via via = { .tp = SIP_TRANSP_NONE };
	const size_t n = edge->n_transports;

	/* The topmost is the sender's: a phone on our host may have our address. */
	if (hdr->val.p == msg->via.val.p || sip_via_decode(&via, &hdr->val))
		return false;
	if (!sa_port(&via.addr))
		sa_set_port(&via.addr, sip_transp_port(via.tp, 0));
	for (size_t i = 0; i < n; i++) {
		struct sa local;

		if (edge->transports[i].tp == via.tp &&
		    !edge_local_addr(edge, &local, via.tp, &via.addr) &&
		    sa_cmp(&local, &via.addr, SA_ALL))
			return true;
	}
	return false;
}

static struct fault check_loop(const struct edge *edge, const struct sip_msg *msg)
{
	if (sip_msg_hdr_count(msg, SIP_HDR_VIA) > 1 &&
	    sip_msg_hdr_apply(msg, true, SIP_HDR_VIA, via_is_ours, (void *)edge))
		return (struct fault){ 482, "Loop Detected" };
	if (msg->maxfwd.p && !pl_u32(&msg->maxfwd))
		return (struct fault){ 483, "Too Many Hops" };
	return (struct fault){ 0 };
}

/*
 * Replies go where the datagram came from, with or without rport, for accounts behind a NAT and for
 * maddr, which would let a stranger send our replies to a third (BASE-46, RFC 3581).
 */
static void reply_to_source(struct sip_msg *msg)
{
	sa_set_port(&msg->via.addr, sa_port(&msg->src));
}

static void drop_maddr(struct sip_msg *msg)
{
	struct pl pl;

	if (msg->tp == SIP_TRANSP_UDP && !msg_param_decode(&msg->via.params, "maddr", &pl)) {
		reply_to_source(msg);
		msg->via.params.l = 0;
	}
}

/* ------------------------------------------------------------------ who */

struct who {
	const struct snap_account *account; /* NULL: nobody */
	struct digest_creds creds;
	struct pl user;                     /* as claimed */
	bool has_creds;
};

static bool auth_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	struct who *who = arg;
	struct digest_creds creds;

	(void)msg;
	if (digest_parse(&creds, &hdr->val))
		return false;
	/* A phone that answers both challenges: the stronger one counts. */
	if (!who->has_creds || creds.alg > who->creds.alg)
		who->creds = creds;
	who->has_creds = true;
	return false;
}

static void identify(struct who *who, const struct edge *edge, const struct sip_msg *msg)
{
	(void)sip_msg_hdr_apply(msg, true, SIP_HDR_AUTHORIZATION, auth_handler, who);
	if (!who->has_creds)
		(void)sip_msg_hdr_apply(msg, true, SIP_HDR_PROXY_AUTHORIZATION, auth_handler, who);
	who->user = who->has_creds ? who->creds.username : msg->from.uri.user;
	if (who->user.l)
		who->account = snap_account_find(edge->snap, who->user.p, who->user.l);
}

/* A claimed name may be anything; what no user name can have (D-086) is shown as a question mark, so
 * that it needs no escaping anywhere. */
static void printable(char *buf, size_t size, const struct pl *name)
{
	size_t len = name->l < size - 1 ? name->l : size - 1;

	for (size_t i = 0; i < len; i++) {
		char c = name->p[i];

		buf[i] = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
					 (c && strchr("._-+@", c)) ?
				 c :
				 '?';
	}
	buf[len] = '\0';
}

static void publish(struct edge *edge, const char *subject, const struct who *who,
		    const struct sip_msg *msg, uint32_t count)
{
	char json[256], user[REG_MAX_USERNAME + 1];

	if (!edge->event_h)
		return;
	printable(user, sizeof(user), &who->user);
	if (re_snprintf(json, sizeof(json), "{\"source\":\"%J\",\"username\":\"%s\",\"count\":%u}",
			&msg->src, user, count) > 0)
		edge->event_h(subject, who->account ? who->account->tenant->id : 0, json, edge->arg);
}

static struct digest_phone phone_of(const struct sip_msg *msg, const struct snap_account *account)
{
	const struct sip_hdr *ua = sip_msg_hdr(msg, SIP_HDR_USER_AGENT);
	struct digest_phone phone = { .account_id = account->id, .ha1_sha256 = account->ha1_sha256 };

	if (ua)
		phone.user_agent = ua->val;
	return phone;
}

static void challenge(struct edge *edge, const struct sip_msg *msg, const struct who *who, bool stale)
{
	const struct snap_sip *set = snap_sip(edge->snap);
	const struct sip_hdr *ua = sip_msg_hdr(msg, SIP_HDR_USER_AGENT);
	enum digest_offer offer = digest_offer_for(ua ? &ua->val : &(struct pl){ NULL, 0 });
	char hdrs[DIGEST_CHALLENGE_MAX];

	/* JsSIP, under whatever name, sees only the last of several challenges and knows MD5 only. */
	if (offer == DIGEST_OFFER_MD5_FIRST &&
	    (msg->tp == SIP_TRANSP_WS || msg->tp == SIP_TRANSP_WSS))
		offer = DIGEST_OFFER_MD5_ONLY;
	if (who->account) {
		struct digest_phone phone = phone_of(msg, who->account);

		if (digest_is_downgrade(edge->digest, &phone, DIGEST_MD5))
			offer = DIGEST_OFFER_SHA256_ONLY;
	}
	if (digest_challenge(edge->digest, hdrs, sizeof(hdrs),
			     set && set->realm ? set->realm : NONCE_REALM, offer, stale)) {
		edge_refuse(edge, msg, 500, "Server Internal Error", NULL);
		return;
	}
	(void)sip_replyf(edge->sip, msg, 401, "Unauthorized", "%sContent-Length: 0\r\n\r\n", hdrs);
}

/* Counts, tells and answers a failure: always 403, whatever was wrong (D-066). */
static void failed(struct edge *edge, const struct sip_msg *msg, const struct who *who)
{
	const struct snap_sip *set = snap_sip(edge->snap);
	uint32_t failures = 0;
	enum limit limit = limiter_failed(edge->limiter, &msg->src, &who->user, who->account,
					  set && set->drop_unknown, &failures);

	edge->stats.auth_failed++;
	log_warn("sip.auth_failed", "credentials refused",
		 kv_textn("account", who->user.p, who->user.l), kv_sa("source", &msg->src),
		 kv_int("failures", failures));
	publish(edge, "security.sip.auth_failed", who, msg, failures);
	if (limit != LIMIT_NONE) {
		log_warn("sip.banned", "too many failures, not listened to for a while",
			 kv_textn("account", who->user.p, who->user.l), kv_sa("source", &msg->src));
		publish(edge, "security.sip.banned", who, msg, failures);
	}
	if (limit == LIMIT_SOURCE && set && set->drop_unknown)
		return;
	edge_refuse(edge, msg, 403, "Forbidden", NULL);
}

/* Lenient: a phone may write another host, parameters or no user; but credentials made for one
 * number do not call another one. */
static bool uri_fits(const struct digest_creds *creds, const struct sip_msg *msg)
{
	struct uri uri;

	if (pl_strcmp(&msg->met, "INVITE") || uri_decode(&uri, &creds->uri) || !uri.user.l ||
	    !msg->uri.user.l)
		return true;
	return !pl_cmp(&uri.user, &msg->uri.user);
}

/* True: the password is right. Else it was answered. */
static bool authenticate(struct edge *edge, const struct sip_msg *msg, const struct who *who)
{
	static const uint8_t nobody[32] = { 0x5a };
	const struct snap_account *account = who->account;
	const struct snap_sip *set = snap_sip(edge->snap);
	struct digest_phone phone;

	if (limiter_check(edge->limiter, &msg->src, &who->user) != LIMIT_NONE) {
		edge->stats.rate_limited++;
		edge_refuse(edge, msg, 403, "Forbidden", NULL);
		return false;
	}
	if (!who->has_creds) {
		uint32_t failures;

		/* D-066: a scan needs no credentials to ask for many names. */
		if (!account && set && set->drop_unknown && limiter_is_public(&msg->src) &&
		    limiter_failed(edge->limiter, &msg->src, &who->user, false, true, &failures) !=
			    LIMIT_NONE) {
			publish(edge, "security.sip.banned", who, msg, failures);
			return false;
		}
		challenge(edge, msg, who, false);
		return false;
	}

	switch (digest_verify(edge->digest, &who->creds, &msg->met,
			      account ? account->ha1_md5 : nobody,
			      account ? account->ha1_sha256 : nobody, account)) {
	case DIGEST_RETRY:
		challenge(edge, msg, who, false);
		return false;
	case DIGEST_STALE:
		challenge(edge, msg, who, true);
		return false;
	case DIGEST_WRONG:
		failed(edge, msg, who);
		return false;
	case DIGEST_OK:
		break;
	}

	if (!uri_fits(&who->creds, msg)) {
		failed(edge, msg, who);
		return false;
	}
	phone = phone_of(msg, account);
	if (digest_is_downgrade(edge->digest, &phone, who->creds.alg)) {
		log_warn("sip.digest_downgrade",
			 "this phone has used SHA-256 and now answers MD5; a new password allows it",
			 kv_text("account", account->username), kv_sa("source", &msg->src));
		failed(edge, msg, who);
		return false;
	}
	digest_remember(edge->digest, &phone, who->creds.alg);
	limiter_passed(edge->limiter, &msg->src, &who->user);
	return true;
}

/* ------------------------------------------------------------------ may they */

static bool is_enabled(const struct edge *edge, const struct sip_msg *msg,
		       const struct snap_account *account)
{
	(void)edge;
	(void)msg;
	return account->enabled;
}

static bool may_use_transport(const struct edge *edge, const struct sip_msg *msg,
			      const struct snap_account *account)
{
	(void)edge;
	/* enum sip_transp and enum snap_transport count alike. */
	return account->transports & 1u << msg->tp && edge_is_on(edge, msg->tp);
}

static bool is_in_source_acl(const struct edge *edge, const struct sip_msg *msg,
			     const struct snap_account *account)
{
	uint8_t addr[16];

	(void)edge;
	edge_addr16(addr, &msg->src);
	return snap_net_allows(account->acl_source, account->n_acl_source, addr);
}

/* BASE-45 for call set-up; the registrar looks at each contact of a REGISTER. */
static bool is_in_contact_acl(const struct edge *edge, const struct sip_msg *msg,
			      const struct snap_account *account)
{
	const struct sip_hdr *hdr = sip_msg_hdr(msg, SIP_HDR_CONTACT);
	struct sip_addr contact;
	uint8_t addr[16];
	struct sa sa;

	(void)edge;
	if (!account->n_acl_contact || pl_strcmp(&msg->met, "INVITE"))
		return true;
	if (!hdr || sip_addr_decode(&contact, &hdr->val) || sa_set(&sa, &contact.uri.host, 0))
		return false;
	edge_addr16(addr, &sa);
	return snap_net_allows(account->acl_contact, account->n_acl_contact, addr);
}

static bool is_registered_there(const struct edge *edge, const struct sip_msg *msg,
				const struct snap_account *account)
{
	return !account->registration_check || pl_strcmp(&msg->met, "INVITE") ||
	       reg_source_matches(edge->registrar, account, &msg->src, msg->tp);
}

static const struct account_check {
	bool (*h)(const struct edge *edge, const struct sip_msg *msg,
		  const struct snap_account *account);
	const char *event, *text; /* for the log; the phone hears 403 each time (D-066) */
} account_checks[] = {
	{ is_enabled, "sip.account_disabled", "the account is disabled" },
	{ may_use_transport, "sip.transport_refused", "the account may not use this transport" },
	{ is_in_source_acl, "sip.acl_source", "the source is not in the account's list" },
	{ is_in_contact_acl, "sip.acl_contact", "the Contact address is not in the account's list" },
	{ is_registered_there, "sip.registration_check",
	  "the call does not come from where the account is registered" },
};

static bool check_account(struct edge *edge, const struct sip_msg *msg,
			  const struct snap_account *account)
{
	for (size_t i = 0; i < sizeof(account_checks) / sizeof(account_checks[0]); i++) {
		if (account_checks[i].h(edge, msg, account))
			continue;
		log_warn(account_checks[i].event, account_checks[i].text,
			 kv_text("account", account->username), kv_sa("source", &msg->src),
			 kv_text("transport", sip_transp_name(msg->tp)));
		edge_refuse(edge, msg, 403, "Forbidden", NULL);
		return false;
	}
	return true;
}

/* ------------------------------------------------------------------ methods */

static bool require_handler(const struct sip_hdr *hdr, const struct sip_msg *msg, void *arg)
{
	(void)msg;
	(void)arg;
	return pl_strcasecmp(&hdr->val, "path") && hdr->val.l > 0;
}

/* RFC 3261 section 8.2.2.3. An INVITE's Require is settled by sip/inv, which knows its extensions. */
static bool requires_unknown(struct edge *edge, const struct sip_msg *msg)
{
	const struct sip_hdr *hdr = sip_msg_hdr_apply(msg, true, SIP_HDR_REQUIRE, require_handler,
						      NULL);
	char line[128];

	if (!hdr)
		return false;
	if (re_snprintf(line, sizeof(line), "Unsupported: %r\r\n", &hdr->val) < 0)
		line[0] = '\0';
	edge_refuse(edge, msg, 420, "Bad Extension", line);
	return true;
}

static void on_register(struct edge *edge, const struct sip_msg *msg)
{
	struct who who = { .account = NULL };
	const struct snap_account *account;

	if (requires_unknown(edge, msg))
		return;
	identify(&who, edge, msg);
	account = who.account;
	if (account && account->nat)
		reply_to_source((struct sip_msg *)msg);
	if (!authenticate(edge, msg, &who) || !check_account(edge, msg, account))
		return;

	/* The address of record is the account's name, or its extension's number (section 10.3
	 * step 4: may they change these bindings). */
	if (pl_strcmp(&msg->to.uri.user, account->username) &&
	    !(account->extension && !pl_strcmp(&msg->to.uri.user, account->extension->number))) {
		log_warn("sip.register_other", "the To header names another account",
			 kv_text("account", account->username), kv_sa("source", &msg->src));
		edge_refuse(edge, msg, 403, "Forbidden", NULL);
		return;
	}
	registrar_request(edge->registrar, msg, account, who.creds.alg);
}

/* With invite_auth = registered_source the place of a registration stands for the password. */
static bool is_trusted_source(const struct edge *edge, const struct sip_msg *msg,
			      const struct who *who)
{
	const struct snap_sip *set = snap_sip(edge->snap);

	return set && set->invite_auth == SNAP_INVITE_REGISTERED_SOURCE && !who->has_creds &&
	       who->account && reg_source_matches(edge->registrar, who->account, &msg->src, msg->tp);
}

static void on_invite(struct edge *edge, const struct sip_msg *msg)
{
	struct who who = { .account = NULL };

	identify(&who, edge, msg);
	if (who.account && who.account->nat)
		reply_to_source((struct sip_msg *)msg);
	if (!is_trusted_source(edge, msg, &who) && !authenticate(edge, msg, &who))
		return;
	if (!check_account(edge, msg, who.account))
		return;
	if (edge->invite_h)
		edge->invite_h(msg, who.account, edge->arg);
	else
		edge_refuse(edge, msg, 503, "Service Unavailable", NULL);
}

static void on_options(struct edge *edge, const struct sip_msg *msg)
{
	if (requires_unknown(edge, msg))
		return;
	(void)sip_replyf(edge->sip, msg, 200, "OK",
			 ALLOW SUPPORTED ACCEPT "Content-Length: 0\r\n\r\n");
}

static void on_dialog_only(struct edge *edge, const struct sip_msg *msg)
{
	edge_refuse(edge, msg, 481, "Call/Transaction Does Not Exist", NULL);
}

static void on_not_allowed(struct edge *edge, const struct sip_msg *msg)
{
	edge_refuse(edge, msg, 405, "Method Not Allowed", ALLOW);
}

static void on_nothing(struct edge *edge, const struct sip_msg *msg)
{
	(void)edge;
	(void)msg;
}

/* Requests outside of a dialog, or of a dialog that nobody knows. */
static const struct method {
	const char *name;
	void (*h)(struct edge *edge, const struct sip_msg *msg);
	void (*lost_h)(struct edge *edge, const struct sip_msg *msg); /* with a To tag */
} methods[] = {
	{ "INVITE", on_invite, on_dialog_only },
	{ "REGISTER", on_register, on_register },
	{ "OPTIONS", on_options, on_options },
	{ "ACK", on_nothing, on_nothing },
	{ "BYE", on_dialog_only, on_dialog_only },
	{ "CANCEL", on_dialog_only, on_dialog_only },
	{ "INFO", on_dialog_only, on_dialog_only },
	{ "UPDATE", on_dialog_only, on_dialog_only },
	{ "PRACK", on_dialog_only, on_dialog_only },
	{ "REFER", on_not_allowed, on_dialog_only },
	{ "NOTIFY", on_dialog_only, on_dialog_only },
	{ "SUBSCRIBE", on_not_allowed, on_dialog_only },
	{ "MESSAGE", on_not_allowed, on_dialog_only },
	{ "PUBLISH", on_not_allowed, on_not_allowed },
};

/* PLT-36: to the letter where the settings say so. */
static struct fault check_form(const struct edge *edge, const struct sip_msg *msg)
{
	const struct snap_sip *set = edge->snap ? snap_sip(edge->snap) : NULL;
	const char *reason = set && set->pedantic ? edge_pedantic(msg) : NULL;

	return reason ? (struct fault){ 400, reason } : (struct fault){ 0 };
}

static bool malformed(struct edge *edge, const struct sip_msg *msg, const struct fault *fault)
{
	edge->stats.malformed++;
	log_debug("sip.malformed", fault->reason, kv_sa("source", &msg->src),
		  kv_textn("method", msg->met.p, msg->met.l));
	if (pl_strcmp(&msg->met, "ACK")) /* is never answered */
		edge_refuse(edge, msg, fault->scode, fault->reason, NULL);
	return true;
}

bool edge_request(const struct sip_msg *msg, void *arg)
{
	struct edge *edge = arg;
	const bool in_dialog = pl_isset(&msg->to.tag);
	struct fault fault;

	edge->stats.requests++;
	drop_maddr((struct sip_msg *)msg);
	guard_conn_touch(edge->guard, msg, CONN_IDLE_MS);

	fault = check_single(msg);
	if (!fault.scode)
		fault = check_values(msg);
	if (!fault.scode)
		fault = check_body(msg);
	if (!fault.scode)
		fault = check_form(edge, msg);
	if (fault.scode)
		return malformed(edge, msg, &fault);

	/* Without a To tag only what sip/inv may still know: the ACK of a 2xx has one. */
	if (in_dialog && edge->dialog_h && edge->dialog_h(msg, edge->dialog_arg))
		return true;

	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (pl_strcmp(&msg->met, methods[i].name))
			continue;
		if (methods[i].h == on_nothing)
			return true;
		fault = check_uri(msg);
		if (!fault.scode)
			fault = check_loop(edge, msg);
		if (fault.scode) {
			edge_refuse(edge, msg, fault.scode, fault.reason, NULL);
			return true;
		}
		(in_dialog ? methods[i].lost_h : methods[i].h)(edge, msg);
		return true;
	}
	edge_refuse(edge, msg, 501, "Not Implemented", ALLOW);
	return true;
}

bool edge_response(const struct sip_msg *msg, void *arg)
{
	struct edge *edge = arg;

	/* What no transaction waits for: a repeated or forked 2xx is the dialog's (RFC 3261 section
	 * 13.2.2.4). Taken in any case: libre prints what nobody takes. */
	edge->stats.responses++;
	guard_conn_touch(edge->guard, msg, CONN_IDLE_MS);
	if (edge->dialog_h)
		(void)edge->dialog_h(msg, edge->dialog_arg);
	return true;
}
