/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_TESTS_SIP_INV_FIXTURE_H
#define AOIDE_TESTS_SIP_INV_FIXTURE_H

/*
 * A dialog of ours against a peer made of text: the edge is real, its check of who may call is
 * replaced, the peer is a raw socket. Time stands still unless a test moves it, so that minutes of
 * repetitions pass at once.
 */
#include "fixture.h"
#include "sip/inv.h"

struct ph { /* the peer */
	struct fix *fix;
	struct inv *inv;
	bool tcp;
	int conn;	/* TCP connection to us, or -1 */
	struct list rx; /* struct got, oldest first */
	char log[8192]; /* what inv said, an event a line */
	char from_tag[64], to_tag[64], callid[128], branch[32];
	unsigned cseq;
	unsigned accept_errors;
};

struct got {
	struct le le;
	struct sip_msg *msg;
	char *text;
};

static void got_destructor(void *arg)
{
	struct got *got = arg;

	list_unlink(&got->le);
	mem_deref(got->msg);
	mem_deref(got->text);
}

/* ------------------------------------------------------------------ what inv says */

static const char *const ph_names[] = {
	[INV_EV_PROGRESS] = "PROGRESS", [INV_EV_ANSWERED] = "ANSWERED", [INV_EV_OFFER] = "OFFER",
	[INV_EV_REANSWER] = "REANSWER", [INV_EV_ACK] = "ACK",		[INV_EV_INFO] = "INFO",
	[INV_EV_REFER] = "REFER",	[INV_EV_ENDED] = "ENDED",
	[INV_EV_IDENTITY] = "IDENTITY",
};

static void ph_event(const struct inv_event *ev, void *arg)
{
	struct ph *ph = arg;
	size_t used = strlen(ph->log);

	used += (size_t)snprintf(ph->log + used, sizeof(ph->log) - used, "%s", ph_names[ev->type]);
	if (ev->scode)
		used += (size_t)snprintf(ph->log + used, sizeof(ph->log) - used, " %u", ev->scode);
	if (ev->branch && ev->type != INV_EV_OFFER) /* that one only counts */
		used += (size_t)snprintf(ph->log + used, sizeof(ph->log) - used, " #%u",
					 ev->branch);
	if (ev->unanswered)
		used += (size_t)snprintf(ph->log + used, sizeof(ph->log) - used, " unanswered");
	if (ev->type == INV_EV_ENDED)
		used += (size_t)snprintf(ph->log + used, sizeof(ph->log) - used, " q%u%s", ev->q850,
					 ev->by_peer ? " peer" : "");
	if (ev->sdp.l)
		used += (size_t)snprintf(ph->log + used, sizeof(ph->log) - used, " [%.*s]",
					 (int)ev->sdp.l, ev->sdp.p);
	if (ev->body.l)
		used += (size_t)snprintf(ph->log + used, sizeof(ph->log) - used, " {%.*s %.*s}",
					 (int)ev->ctype.l, ev->ctype.p, (int)ev->body.l,
					 ev->body.p);
	snprintf(ph->log + used, sizeof(ph->log) - used, "\n");
	if (ev->type == INV_EV_ENDED)
		ph->inv = mem_deref(ph->inv);
}

/* ------------------------------------------------------------------ the loop */

static void ph_drain(struct ph *ph)
{
	static char buf[65536];
	struct sockaddr_in src = { 0 };
	socklen_t src_len = sizeof(src);
	ssize_t n;

	while ((n = recvfrom(ph->conn >= 0 ? ph->conn : ph->fix->fd, buf, sizeof(buf) - 1,
			     MSG_DONTWAIT, (struct sockaddr *)&src, &src_len)) > 0) {
		size_t at = 0;

		/* The port may have been another program's, whose peers still send to it. */
		if (ph->conn < 0 && ntohs(src.sin_port) != ph->fix->port)
			continue;

		while (at < (size_t)n) { /* several messages of one TCP segment */
			struct got *got = mem_zalloc(sizeof(*got), got_destructor);
			struct mbuf *mb = mbuf_alloc((size_t)n);
			size_t len;

			(void)mbuf_write_mem(mb, (uint8_t *)buf + at, (size_t)n - at);
			mb->pos = 0;
			assert_int_equal(sip_msg_decode(&got->msg, mb), 0);
			mem_deref(mb);
			len = got->msg->mb->pos + pl_u32(&got->msg->clen);
			got->msg->mb->end = len;
			got->text = mem_zalloc(len + 1, NULL);
			memcpy(got->text, buf + at, len);
			at += len;
			list_append(&ph->rx, &got->le, got);
		}
	}
}

/* Lets everything under way happen. */
static void ph_turn(struct ph *ph)
{
	for (int i = 0; i < 6; i++) {
		struct tmr tmr;

		tmr_init(&tmr);
		tmr_start(&tmr, 0, fix_cancel, NULL);
		(void)re_main(NULL);
		tmr_cancel(&tmr);
	}
	ph_drain(ph);
}

/* Moves time in small steps, so that timers run in their order. */
static void ph_pass(struct ph *ph, unsigned ms)
{
	while (ms) {
		const unsigned step = ms < 250 ? ms : 250;
		struct tmr tmr;

		clk_advance_ms(step);
		tmr_init(&tmr);
		tmr_start(&tmr, 0, fix_cancel, NULL);
		(void)re_main(NULL);
		tmr_cancel(&tmr);
		ms -= step;
	}
	ph_turn(ph);
}

/* The next message that is a request of this method, or a response "200 INVITE"; others before it
 * are dropped. The caller reads got until the next call. */
static struct got *ph_next(struct ph *ph, const char *what)
{
	static struct got *held;
	char name[64];

	held = mem_deref(held);
	if (!what)
		return NULL;
	for (int i = 0; i < 40; i++) {
		struct le *le;

		ph_turn(ph);
		while ((le = list_head(&ph->rx))) {
			struct got *got = le->data;

			list_unlink(&got->le);
			if (got->msg->req)
				(void)re_snprintf(name, sizeof(name), "%r", &got->msg->met);
			else
				(void)re_snprintf(name, sizeof(name), "%u %r", got->msg->scode,
						  &got->msg->cseq.met);
			if (!strcmp(name, what)) {
				held = got;
				return got;
			}
			mem_deref(got);
		}
	}
	return NULL;
}

/* How many of these came since; the queue is emptied. */
UNUSED static unsigned ph_count(struct ph *ph, const char *what)
{
	char name[64];
	unsigned n = 0;
	struct le *le;

	ph_turn(ph);
	while ((le = list_head(&ph->rx))) {
		struct got *got = le->data;

		if (got->msg->req)
			(void)re_snprintf(name, sizeof(name), "%r", &got->msg->met);
		else
			(void)re_snprintf(name, sizeof(name), "%u %r", got->msg->scode,
					  &got->msg->cseq.met);
		n += !strcmp(name, what);
		mem_deref(got);
	}
	return n;
}

static const char *ph_log(struct ph *ph)
{
	static char log[8192];

	ph_turn(ph);
	memcpy(log, ph->log, sizeof(log));
	ph->log[0] = '\0';
	return log;
}

#define ph_expect(ph, what)                                                                        \
	do {                                                                                       \
		struct got *got_ = ph_next(ph, what);                                              \
		if (!got_)                                                                         \
			fail_msg("no %s", what);                                                   \
	} while (0)

static void ph_send(struct ph *ph, const char *fmt, ...)
{
	char buf[8192];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	assert_true(n > 0 && (size_t)n < sizeof(buf));
	fix_send(ph->fix, ph->conn >= 0 ? ph->conn : ph->fix->fd, buf, (size_t)n);
	ph_turn(ph);
}

/* ------------------------------------------------------------------ the peer calls */

/* A request of the peer. extra: header lines; body: SDP, or NULL. branch NULL: a new one. */
static void ph_request(struct ph *ph, const char *method, unsigned cseq, const char *branch,
		       const char *extra, const char *body)
{
	char auto_branch[32];

	snprintf(auto_branch, sizeof(auto_branch), "z9hG4bK%08x", rand_u32());
	ph_send(ph,
		"%s sip:us@127.0.0.1:%u SIP/2.0\r\n"
		"Via: SIP/2.0/%s 127.0.0.1:%u;branch=%s;rport\r\n"
		"Max-Forwards: 70\r\n"
		"From: \"Peer\" <sip:peer@test>;tag=%s\r\n"
		"To: <sip:us@test>%s%s\r\n"
		"Call-ID: %s\r\n"
		"CSeq: %u %s\r\n"
		"%s%s%s"
		"Content-Length: %zu\r\n\r\n%s",
		method, ph->fix->port, ph->tcp ? "TCP" : "UDP", ph->fix->fd_port,
		branch ? branch : auto_branch, ph->from_tag, ph->to_tag[0] ? ";tag=" : "",
		ph->to_tag, ph->callid, cseq, method,
		extra && strstr(extra, "Contact:") ? ""
		: ph->tcp ? "Contact: <sip:peer@192.168.250.1:5060;transport=tcp>\r\n"
			  : "Contact: <sip:peer@192.168.250.1:5060>\r\n",
		extra ? extra : "", body ? "Content-Type: application/sdp\r\n" : "",
		body ? strlen(body) : 0, body ? body : "");
}

static void ph_invite(struct ph *ph, const char *extra, const char *sdp)
{
	snprintf(ph->from_tag, sizeof(ph->from_tag), "p%08x", rand_u32());
	snprintf(ph->callid, sizeof(ph->callid), "c%08x@test", rand_u32());
	ph->to_tag[0] = '\0';
	ph->cseq = 1;
	snprintf(ph->branch, sizeof(ph->branch), "z9hG4bK%08x", rand_u32());
	ph_request(ph, "INVITE", ph->cseq, ph->branch, extra, sdp);
}

/* Takes our tag from a response, so that requests of the peer belong to the dialog. */
static void ph_learn(struct ph *ph, const struct got *got)
{
	assert_non_null(got);
	(void)re_snprintf(ph->to_tag, sizeof(ph->to_tag), "%r", &got->msg->to.tag);
}

/* ------------------------------------------------------------------ the peer is called */

/* A response to the request in text. extra and body as above; tag NULL: none added. */
static void ph_reply(struct ph *ph, const char *request, unsigned scode, const char *tag,
		     const char *extra, const char *body)
{
	char buf[8192], contact[64];
	size_t n = 0;
	const char *p = strstr(request, "\r\n") + 2;

	n += (size_t)snprintf(buf, sizeof(buf), "SIP/2.0 %u Text\r\n", scode);
	while (strncmp(p, "\r\n", 2)) {
		const char *eol = strstr(p, "\r\n");
		const bool to = !strncmp(p, "To:", 3);

		if (to || !strncmp(p, "Via:", 4) || !strncmp(p, "From:", 5) ||
		    !strncmp(p, "Call-ID:", 8) || !strncmp(p, "CSeq:", 5)) {
			n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%.*s", (int)(eol - p), p);
			if (to && tag && !memmem(p, (size_t)(eol - p), ";tag=", 5))
				n += (size_t)snprintf(buf + n, sizeof(buf) - n, ";tag=%s", tag);
			n += (size_t)snprintf(buf + n, sizeof(buf) - n, "\r\n");
		}
		p = eol + 2;
	}
	snprintf(contact, sizeof(contact), "Contact: <sip:peer@127.0.0.1:%u>\r\n",
		 ph->fix->fd_port);
	ph_send(ph, "%s%s%s%sContent-Length: %zu\r\n\r\n%s", buf,
		extra && strstr(extra, "Contact:") ? "" : contact, extra ? extra : "",
		body ? "Content-Type: application/sdp\r\n" : "", body ? strlen(body) : 0,
		body ? body : "");
}

/* A request of the peer inside the dialog that our INVITE (its text) made. */
UNUSED static void ph_request_in(struct ph *ph, const char *invite, const char *tag,
				 const char *method, unsigned cseq, const char *extra,
				 const char *body)
{
	const char *from = strstr(invite, "\r\nFrom: ") + 8,
		   *callid = strstr(invite, "Call-ID: ") + 9;

	ph_send(ph,
		"%s sip:us@127.0.0.1:%u SIP/2.0\r\n"
		"Via: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%08x;rport\r\n"
		"Max-Forwards: 70\r\nTo: %.*s\r\nFrom: <sip:peer@test>;tag=%s\r\n"
		"Call-ID: %.*s\r\nCSeq: %u %s\r\n%s%sContent-Length: %zu\r\n\r\n%s",
		method, ph->fix->port, ph->fix->fd_port, rand_u32(), (int)strcspn(from, "\r"), from,
		tag, (int)strcspn(callid, "\r"), callid, cseq, method, extra ? extra : "",
		body ? "Content-Type: application/sdp\r\n" : "", body ? strlen(body) : 0,
		body ? body : "");
}

/* ------------------------------------------------------------------ life */

/* In place of the edge's own checks: inside dialogs to inv, an INVITE is accepted. */
static bool ph_request_handler(const struct sip_msg *msg, void *arg)
{
	struct ph *ph = arg;
	struct edge *edge = ph->fix->edge;

	if (pl_isset(&msg->to.tag) && edge->dialog_h && edge->dialog_h(msg, edge->dialog_arg))
		return true;
	if (!pl_strcmp(&msg->met, "ACK"))
		return true;
	if (pl_strcmp(&msg->met, "INVITE") || pl_isset(&msg->to.tag)) {
		(void)sip_treply(NULL, edge->sip, msg, 481, "Gone");
		return true;
	}
	if (inv_accept(&ph->inv, edge, msg, "us", ph_event, ph))
		ph->accept_errors++;
	return true;
}

static struct ph *ph_open(bool tcp, const char *listen)
{
	struct ph *ph = calloc(1, sizeof(*ph));

	ph->fix = fix_open();
	if (listen) {
		struct edge *old = ph->fix->edge;

		ph->fix->port = fix_free_port();
		ph->fix->opts.udp_port = ph->fix->opts.tcp_port = ph->fix->port;
		ph->fix->opts.listen = listen;
		fix_start(ph->fix);
		edge_close(old);
	}
	ph->fix->sip->min_se_s = 90;
	ph->fix->sip->session_expires_s = 1800;
	ph->tcp = tcp;
	ph->conn = -1;
	ph->fix->edge->lsnr_req = mem_deref(ph->fix->edge->lsnr_req);
	assert_int_equal(sip_listen(&ph->fix->edge->lsnr_req, ph->fix->edge->sip, true,
				    ph_request_handler, ph),
			 0);
	clk_drive(1000000);
	if (tcp) {
		ph->conn = fix_tcp(ph->fix, ph->fix->port);
		ph_turn(ph);
	}
	return ph;
}

/* Everything has ended or is forgotten; nothing may be left. */
static void ph_close(struct ph *ph)
{
	(void)ph_next(ph, NULL);
	inv_close(ph->fix->edge);
	assert_int_equal(inv_count(ph->fix->edge), 0);
	ph->inv = mem_deref(ph->inv);
	list_flush(&ph->rx);
	if (ph->conn >= 0)
		close(ph->conn);
	fix_close(ph->fix);
	clk_release();
	free(ph);
}

static int ph_setup_udp(void **state)
{
	*state = ph_open(false, NULL);
	return 0;
}

UNUSED static int ph_setup_tcp(void **state)
{
	*state = ph_open(true, NULL);
	return 0;
}

UNUSED static int ph_setup_wildcard(void **state)
{
	*state = ph_open(false, "0.0.0.0");
	return 0;
}

static int ph_teardown(void **state)
{
	ph_close(*state);
	return 0;
}

#endif
