/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/outside.h"

#include <errno.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"

#define STUN_SERVER_PORT 3478
#define RETRY_MS         10000 /* after a failure */

/* An address that is looked up under a name, or is written as such. */
struct name {
	struct outside *outside;
	char *text;        /* NULL: none */
	struct sa addr;    /* unset: not known */
	struct dns_query *query;
	bool is_address, warned;
	void (*known_h)(struct outside *outside);
};

struct outside {
	struct dnsc *dnsc;
	struct name host, server;
	uint32_t refresh_s;
	uint16_t stun_port;
	struct sa seen;
	struct stun *stun;
	struct udp_sock *sock;
	struct stun_ctrans *request;
	struct tmr tmr;
	bool warned;
};

static void again_h(void *arg);

static void again_in(struct outside *outside, uint64_t ms)
{
	if (!tmr_isrunning(&outside->tmr) || tmr_get_expire(&outside->tmr) > ms)
		tmr_start(&outside->tmr, ms, again_h, outside);
}

/* ------------------------------------------------------------------ names */

static void name_failed(struct name *name, int err)
{
	if (!name->warned)
		log_warn("sip.outside.name",
			 "a name of the SIP settings (external host or STUN server) is not found; what "
			 "was known stays in force",
			 kv_text("name", name->text), kv_err(err));
	name->warned = true;
	again_in(name->outside, RETRY_MS);
}

static void name_h(int re_err, const struct dnshdr *hdr, struct list *answers, struct list *authority,
		   struct list *more, void *arg)
{
	struct name *name = arg;
	const struct dnsrr *rr =
		re_err ? NULL
		       : dns_rrlist_find(answers, NULL, DNS_TYPE_A, DNS_CLASS_IN, false);

	name->query = mem_deref(name->query);
	if (!rr) {
		name_failed(name, re_err ? err_from_re(re_err) : -ENOENT);
		return;
	}
	sa_set_in(&name->addr, rr->rdata.a.addr, 0);
	name->warned = false;
	if (name->known_h)
		name->known_h(name->outside);
}

static void name_find(struct name *name)
{
	int err;

	if (!name->text || name->query)
		return;
	if (name->is_address) {
		if (name->known_h)
			name->known_h(name->outside);
		return;
	}
	err = dnsc_query(&name->query, name->outside->dnsc, name->text, DNS_TYPE_A, DNS_CLASS_IN, true,
			 name_h, name);
	if (err)
		name_failed(name, err_from_re(err));
}

static bool name_is(const struct name *name, const char *text)
{
	const bool none = !text || !*text;

	return none ? !name->text : name->text && !strcmp(name->text, text);
}

static int name_set(struct name *name, const char *text)
{
	name->query = mem_deref(name->query);
	name->text = mem_deref(name->text);
	name->warned = name->is_address = false;
	sa_init(&name->addr, AF_UNSPEC);
	if (!text || !*text)
		return 0;
	name->is_address = !sa_set_str(&name->addr, text, 0);
	return err_from_re(str_dup(&name->text, text));
}

/* ------------------------------------------------------------------ the STUN server */

static void stun_h(int re_err, uint16_t scode, const char *reason, const struct stun_msg *msg, void *arg)
{
	struct outside *outside = arg;
	struct stun_attr *mapped =
		re_err || scode ? NULL : stun_msg_attr(msg, STUN_ATTR_XOR_MAPPED_ADDR);

	outside->request = NULL; /* it ends after this call */
	if (!mapped) {
		if (!outside->warned)
			log_warn("sip.outside.stun",
				 "the STUN server of the SIP settings does not tell our address; browsers "
				 "behind other networks may not hear anything",
				 kv_text("server", outside->server.text), kv_int("status", scode),
				 kv_err(err_from_re(re_err)));
		outside->warned = true;
		again_in(outside, RETRY_MS);
		return;
	}
	if (!sa_cmp(&outside->seen, &mapped->v.sa, SA_ADDR))
		log_info("sip.outside.seen", "the STUN server sees us at this address",
			 kv_sa("address", &mapped->v.sa));
	outside->warned = false;
	outside->seen = mapped->v.sa;
	sa_set_port(&outside->seen, 0);
}

static void packet_h(const struct sa *from, struct mbuf *mb, void *arg)
{
	struct outside *outside = arg;

	(void)stun_recv(outside->stun, mb); /* what answers no question of ours is nothing */
}

static int sock_open(struct outside *outside, int af)
{
	struct sa any;

	if (outside->sock)
		return 0;
	sa_set_str(&any, af == AF_INET6 ? "::" : "0.0.0.0", 0);
	return err_from_re(udp_listen(&outside->sock, &any, packet_h, outside));
}

static void server_known(struct outside *outside)
{
	struct sa server = outside->server.addr;
	int err = 0;

	sa_set_port(&server, outside->stun_port ? outside->stun_port : STUN_SERVER_PORT);
	if (outside->request)
		return;
	if (!outside->stun)
		err = err_from_re(stun_alloc(&outside->stun, NULL, NULL, NULL));
	if (!err)
		err = sock_open(outside, sa_af(&server));
	if (!err)
		err = err_from_re(stun_request(&outside->request, outside->stun, IPPROTO_UDP,
					       outside->sock, &server, 0, STUN_METHOD_BINDING, NULL, 0,
					       false, stun_h, outside, 0));
	if (err) {
		outside->request = NULL;
		stun_h(0, 1, "", NULL, outside);
	}
}

/* ------------------------------------------------------------------ all of it */

static void again_h(void *arg)
{
	struct outside *outside = arg;

	if (outside->server.text || (outside->host.text && !outside->host.is_address))
		tmr_start(&outside->tmr, outside->refresh_s * 1000ull, again_h, outside);
	name_find(&outside->host);
	name_find(&outside->server);
}

int outside_set(struct outside *outside, const struct outside_settings *settings)
{
	int err;

	outside->refresh_s = settings->refresh_s ? settings->refresh_s : 60;
	if (name_is(&outside->host, settings->host) &&
	    name_is(&outside->server, settings->stun_server) &&
	    outside->stun_port == settings->stun_port)
		return 0;

	tmr_cancel(&outside->tmr);
	outside->request = mem_deref(outside->request);
	outside->sock = mem_deref(outside->sock); /* the server may be of the other family */
	outside->warned = false;
	sa_init(&outside->seen, AF_UNSPEC);
	outside->stun_port = settings->stun_port;
	err = name_set(&outside->host, settings->host);
	if (!err)
		err = name_set(&outside->server, settings->stun_server);
	if (!err)
		again_h(outside);
	return err;
}

const struct sa *outside_host(const struct outside *outside)
{
	return outside && sa_isset(&outside->host.addr, SA_ADDR) ? &outside->host.addr : NULL;
}

const struct sa *outside_seen(const struct outside *outside)
{
	return outside && sa_isset(&outside->seen, SA_ADDR) ? &outside->seen : NULL;
}

static void outside_destructor(void *arg)
{
	struct outside *outside = arg;

	tmr_cancel(&outside->tmr);
	mem_deref(outside->host.query);
	mem_deref(outside->server.query);
	mem_deref(outside->host.text);
	mem_deref(outside->server.text);
	mem_deref(outside->request);
	mem_deref(outside->sock);
	mem_deref(outside->stun);
}

int outside_alloc(struct outside **ret, struct dnsc *dnsc)
{
	struct outside *outside = mem_zalloc(sizeof(*outside), outside_destructor);

	if (!outside)
		return -ENOMEM;
	outside->dnsc = dnsc;
	outside->host.outside = outside->server.outside = outside;
	outside->server.known_h = server_known;
	sa_init(&outside->seen, AF_UNSPEC);
	sa_init(&outside->host.addr, AF_UNSPEC);
	sa_init(&outside->server.addr, AF_UNSPEC);
	tmr_init(&outside->tmr);
	*ret = outside;
	return 0;
}
