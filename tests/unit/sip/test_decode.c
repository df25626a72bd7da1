/* SPDX-License-Identifier: Apache-2.0 */
/* What takes messages and URIs apart, against libre's own: the same answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/re.h"
#include "sip/decode.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 32
#define ROUNDS  40000

typedef int(decode_h)(struct sip_msg **msgp, struct mbuf *mb);
typedef int(uri_h)(struct uri *uri, const struct pl *pl);
typedef int(hostport_h)(const struct pl *hostport, struct pl *host, struct pl *port);
typedef int(addr_h)(struct sip_addr *addr, const struct pl *pl);
typedef int(via_h)(struct sip_via *via, const struct pl *pl);

static struct {
	void *lib;
	decode_h *decode;
	uri_h *uri;
	hostport_h *hostport;
	addr_h *addr;
	via_h *via;
} theirs;

/* dlsym's void * as a function: ISO C knows no cast for it. */
static void *take(void *to, const char *name)
{
	void *at = dlsym(theirs.lib, name);

	assert_non_null(at);
	memcpy(to, &at, sizeof(at));
	return at;
}

static int setup(void **state)
{
	(void)state;
	theirs.lib = dlopen("libre.so.0", RTLD_NOW | RTLD_NOLOAD);
	assert_non_null(theirs.lib);
	assert_ptr_not_equal(take(&theirs.decode, "sip_msg_decode"), (void *)(uintptr_t)sip_msg_decode);
	assert_ptr_not_equal(take(&theirs.uri, "uri_decode"), (void *)(uintptr_t)uri_decode);
	assert_ptr_not_equal(take(&theirs.via, "sip_via_decode"), (void *)(uintptr_t)sip_via_decode);
	(void)take(&theirs.addr, "sip_addr_decode");
	(void)take(&theirs.hostport, "uri_decode_hostport");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dlclose(theirs.lib);
	return 0;
}

static bool same_pl(const struct pl *a, const struct pl *b)
{
	return a->p == b->p && a->l == b->l;
}

/* le: where in struct sip_hdr the list's node is does not matter, its data is the header. */
static bool same_list(const struct list *a, const struct list *b)
{
	const struct le *x = a->head, *y = b->head;

	for (; x && y; x = x->next, y = y->next) {
		const struct sip_hdr *h = x->data, *k = y->data;

		if (!same_pl(&h->name, &k->name) || !same_pl(&h->val, &k->val) || h->id != k->id)
			return false;
	}
	return !x && !y;
}

static bool same_uri(const struct uri *a, const struct uri *b)
{
	return same_pl(&a->scheme, &b->scheme) && same_pl(&a->user, &b->user) &&
	       same_pl(&a->password, &b->password) && same_pl(&a->host, &b->host) && a->af == b->af &&
	       a->port == b->port && same_pl(&a->path, &b->path) &&
	       same_pl(&a->params, &b->params) && same_pl(&a->headers, &b->headers);
}

static bool same_taddr(const struct sip_taddr *a, const struct sip_taddr *b)
{
	return same_pl(&a->dname, &b->dname) && same_pl(&a->auri, &b->auri) &&
	       same_uri(&a->uri, &b->uri) && same_pl(&a->params, &b->params) &&
	       same_pl(&a->tag, &b->tag) && same_pl(&a->val, &b->val);
}

static bool same_msg(const struct sip_msg *a, const struct sip_msg *b)
{
	bool same = same_pl(&a->ver, &b->ver) && same_pl(&a->met, &b->met) &&
		    same_pl(&a->ruri, &b->ruri) && same_uri(&a->uri, &b->uri) &&
		    a->scode == b->scode && same_pl(&a->reason, &b->reason) && a->req == b->req &&
		    same_taddr(&a->to, &b->to) && same_taddr(&a->from, &b->from) &&
		    same_pl(&a->via.sentby, &b->via.sentby) && a->via.tp == b->via.tp &&
		    same_pl(&a->via.params, &b->via.params) &&
		    same_pl(&a->via.branch, &b->via.branch) && same_pl(&a->via.val, &b->via.val) &&
		    a->cseq.num == b->cseq.num && same_pl(&a->cseq.met, &b->cseq.met) &&
		    same_pl(&a->ctyp.type, &b->ctyp.type) &&
		    same_pl(&a->ctyp.subtype, &b->ctyp.subtype) && same_pl(&a->callid, &b->callid) &&
		    same_pl(&a->maxfwd, &b->maxfwd) && same_pl(&a->expires, &b->expires) &&
		    same_pl(&a->clen, &b->clen) && same_list(&a->hdrl, &b->hdrl);

	for (uint32_t i = 0; i < BUCKETS; i++)
		same = same && same_list(hash_list(a->hdrht, i), hash_list(b->hdrht, i));
	return same;
}

/* Returns whether it is a message. */
static bool same(const char *text, size_t len)
{
	struct mbuf *mb = mbuf_alloc(len + 1);
	struct sip_msg *a = NULL, *b = NULL;
	size_t pos;
	int ours, their;

	assert_int_equal(mbuf_write_mem(mb, (const uint8_t *)text, len), 0);
	mb->pos = 0;
	ours = sip_msg_decode(&a, mb);
	pos = mb->pos;
	mb->pos = 0;
	their = theirs.decode(&b, mb);
	if (ours != their || pos != mb->pos || (!ours && !same_msg(a, b)))
		fail_msg("%d, libre %d for:\n%.*s", ours, their, (int)len, text);
	mem_deref(a);
	mem_deref(b);
	mem_deref(mb);
	return !ours;
}

static const char *const messages[] = {
	"INVITE sip:100@pbx.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1;rport,"
	" SIP/2.0/TCP [::1];branch=z9hG4bK2\r\nVia : SIP/2.0/TLS h;branch=3\r\nMax-Forwards: 70\r\n"
	"From: \"Anna, B\" <sip:anna@x>;tag=f1\r\nTo:<sip:100@y>\r\nCall-ID: c1@x\r\nCSeq: 1 INVITE\r\n"
	"Contact: <sip:a@b>, \"c,d\" <sip:e@f> ,\r\nRoute: <sip:p1;lr>, <sip:p2;lr>\r\n"
	"Subject: folded\r\n  line\r\n\there\r\nAllow: INVITE,ACK , BYE\r\nx-odd: \"\r\nSupported: ,timer\r\n"
	"Content-Type: application/sdp\r\nContent-Length: 4\r\nExpires: 60\r\n\r\nbody",
	("SIP/2.0 200 OK\r\nv: SIP/2.0/UDP 10.0.0.1;branch=b\r\nf: <sip:a@b>;tag=1\r\nt: sip:c@d;tag=2\r\n"
	 "i: x\r\nCSeq: 2 BYE\r\nl: 0\r\n\r\n"),
	"SIP/2.0 180 Ringing\n\nnothing",
	"OPTIONS sip:x SIP/2.0\nVia: SIP/2.0/UDP a;branch=b\n\n",
	"ACK sip:x SIP/2.0\r\n\r\n",
	"REGISTER tel:1 SIP/2.0\r\nTo: nothing\r\n\r\n",
	"INFO sip:a SIP/2.0\r\nno colon\r\n\r\n",
	"INFO sip:a SIP/2.0\r\n: no name\r\n\r\n",
	"INFO sip:a SIP/2.0\r\nContact:\r\nContact: ,\r\nA B : c\r\nVia:\r\n\r\n",
	"A  B C\r\n\r\n", "SIP/2.0 abc OK\r\nX: y\r\n\r\n", "SIP/2.0 0 OK\r\nX: y\r\n\r\n", "", "\r\n\r\n",
};

static void same_messages_as_libre(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		for (size_t len = 0; len <= strlen(messages[i]); len++)
			(void)same(messages[i], len);
	}
	assert_true(same(messages[0], strlen(messages[0])));
	assert_true(same(messages[1], strlen(messages[1])));
}

static void same_answers_for_damaged_messages(void **state)
{
	static const char chars[] = "\r\n \t:,\"\"\r\n;<>/\\aVX-@\x80";
	static char buf[2048];
	unsigned good = 0;

	(void)state;
	srand(3);
	for (int i = 0; i < ROUNDS; i++) {
		const char *from = messages[(size_t)rand() % 4];
		size_t len = strlen(from);

		memcpy(buf, from, len);
		for (int n = rand() % 6; n >= 0; n--) {
			const size_t at = (size_t)rand() % len;

			if (rand() % 3) {
				buf[at] = chars[(size_t)rand() % (sizeof(chars) - 1)];
			} else if (rand() % 2) {
				memmove(buf + at, buf + at + 1, --len - at);
			} else {
				memmove(buf + at + 1, buf + at, len++ - at);
				buf[at] = chars[(size_t)rand() % (sizeof(chars) - 1)];
			}
		}
		good += same(buf, len);
	}
	assert_true(good > ROUNDS / 4);
}

/* More headers than the first block has room for, and more than the next. */
static void many_headers(void **state)
{
	static char buf[60000];
	size_t len = (size_t)snprintf(buf, sizeof(buf), "INFO sip:a SIP/2.0\r\n");

	(void)state;
	for (int i = 0; i < 400; i++) {
		len += (size_t)snprintf(buf + len, sizeof(buf) - len, "X-%d: v%d\r\nAllow: a,b,c\r\n", i, i);
		memcpy(buf + len, "\r\n", 3);
		assert_true(same(buf, len + 2));
	}
}

static struct sip_msg *decoded(const char *text)
{
	struct mbuf *mb = mbuf_alloc(strlen(text));
	struct sip_msg *msg = NULL;

	assert_int_equal(mbuf_write_str(mb, text), 0);
	mb->pos = 0;
	assert_int_equal(sip_msg_decode(&msg, mb), 0);
	mem_deref(mb);
	return msg;
}

/* What transactions look at stays; the memory serves the next message, more of them than are kept. */
static void headers_can_be_forgotten(void **state)
{
	struct sip_msg *kept[100], *msg;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		kept[i] = decoded(messages[0]);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		msg = kept[i];
		assert_non_null(sip_msg_hdr(msg, SIP_HDR_CONTACT));
		decode_forget_headers(msg);
		decode_forget_headers(msg);
		assert_null(sip_msg_hdr(msg, SIP_HDR_CONTACT));
		assert_null(sip_msg_hdr(msg, SIP_HDR_VIA));
		assert_true(list_isempty(&msg->hdrl));
		assert_int_equal(pl_strcmp(&msg->via.branch, "z9hG4bK1"), 0);
		assert_int_equal(pl_strcmp(&msg->callid, "c1@x"), 0);
		assert_int_equal(pl_strcmp(&msg->from.tag, "f1"), 0);
		assert_int_equal(pl_strcmp(&msg->met, "INVITE"), 0);
		assert_int_equal(msg->cseq.num, 1);
		assert_true(same(messages[i % 2], strlen(messages[i % 2])));
	}
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		mem_deref(kept[i]);
}

/* Their functions call each other through ours; each is compared alone. */
static void same_value(const char *text, size_t len)
{
	const struct pl pl = { text, len };
	struct pl host[2] = { { NULL, 0 } }, port[2] = { { NULL, 0 } };
	struct sip_via via[2] = { { .val = PL_INIT } };
	struct sip_addr addr[2];
	struct uri uri[2];
	int err;
	bool is_same;

	err = uri_decode(&uri[0], &pl);
	is_same = err == theirs.uri(&uri[1], &pl) && (err || same_uri(&uri[0], &uri[1]));
	err = uri_decode_hostport(&pl, &host[0], &port[0]);
	is_same = is_same && err == theirs.hostport(&pl, &host[1], &port[1]) &&
		  (err || (same_pl(&host[0], &host[1]) && same_pl(&port[0], &port[1])));
	err = sip_addr_decode(&addr[0], &pl);
	is_same = is_same && err == theirs.addr(&addr[1], &pl) &&
		  (err || (same_pl(&addr[0].dname, &addr[1].dname) &&
			   same_pl(&addr[0].auri, &addr[1].auri) &&
			   same_uri(&addr[0].uri, &addr[1].uri) &&
			   same_pl(&addr[0].params, &addr[1].params)));
	err = sip_via_decode(&via[0], &pl);
	is_same = is_same && err == theirs.via(&via[1], &pl) &&
		  (err || (via[0].tp == via[1].tp && same_pl(&via[0].sentby, &via[1].sentby) &&
			   same_pl(&via[0].params, &via[1].params) &&
			   same_pl(&via[0].branch, &via[1].branch) &&
			   same_pl(&via[0].val, &via[1].val) &&
			   sa_cmp(&via[0].addr, &via[1].addr, SA_ALL)));
	if (!is_same)
		fail_msg("not as libre: \"%.*s\"", (int)len, text);
}

static void same_uris_addresses_and_vias_as_libre(void **state)
{
	static const char *const values[] = {
		"sip:100@10.0.0.1:5060", "sip:100@pbx.example.com;transport=tcp?a=b&c=d", "sips:[::1]:5061;x",
		"sip:a:b:c@h/p;q?r", "tel:+39055;phone-context=x", "sip:10.0.0.1", "sip:@h", ":sip:a@b",
		"sip:a@;b:c@d", "a@b:c", "sip:h?to=a@b", "sip:", "<sip:a@b>;tag=1", "<sip:a@b>", "<>", "<a",
		"\"A <\\\"> B\" <sip:a@b>;tag=1", "Anna B <sip:a@b>", " <sip:a@b>", "sip:a@b;tag=2", ";x", "",
		"SIP/2.0/UDP 10.0.0.1:5060;branch=z9;rport", "sip / 2.0 / tcp h ; branch=1",
		"SIP/2.0/WSS h.invalid;branch=2", "SIP/2.0/TLS [2001:db8::1]:5061;branch=3",
		"SIP/2.0/UDP", "SIP/2.0/UDP h", "h:5060", "[::1]", "[::1]:5", "h:", ":5", "h:5x", "a]b:1", "fe80::1",
	};
	static const char chars[] = ":@<>;?/[]\" \t\r\n\\.019afAZ-=\x80";
	char buf[128];

	(void)state;
	srand(4);
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		for (size_t from = 0; from <= strlen(values[i]); from++)
			same_value(values[i] + from, strlen(values[i] + from));
	}
	for (int i = 0; i < 2 * ROUNDS; i++) {
		const char *from = values[(size_t)rand() % ARRAY_SIZE(values)];
		const size_t len = strlen(from);

		memcpy(buf, from, len);
		for (int n = rand() % 4; n >= 0 && len; n--)
			buf[(size_t)rand() % len] = chars[(size_t)rand() % (sizeof(chars) - 1)];
		same_value(buf, len);
	}
	same_value(NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_messages_as_libre),
		cmocka_unit_test(same_answers_for_damaged_messages),
		cmocka_unit_test(many_headers),
		cmocka_unit_test(headers_can_be_forgotten),
		cmocka_unit_test(same_uris_addresses_and_vias_as_libre),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
