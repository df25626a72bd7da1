/* SPDX-License-Identifier: Apache-2.0 */
#include "talk_ua.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/re.h"
#include "sip/digest.h"

#define MESSAGE   4096
#define LINE	  256
#define ANSWER_MS 4000
#define REPEAT_MS 500 /* RFC 3261 section 17.1.1.1: T1 */
#define CNONCE	  "0a4f113b"

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* ------------------------------------------------------------------ reading */

/* The first header of this name; false: none. */
static bool header(const char *msg, const char *name, char *buf, size_t size)
{
	char start[32];
	const char *at;

	snprintf(start, sizeof(start), "\r\n%s: ", name);
	at = strstr(msg, start);
	if (!at)
		return false;
	at += strlen(start);
	snprintf(buf, size, "%.*s", (int)strcspn(at, "\r"), at);
	return true;
}

static unsigned status(const char *msg)
{
	return strncmp(msg, "SIP/2.0 ", 8) ? 0 : (unsigned)atoi(msg + 8);
}

static bool is_of_call(const char *msg, const char *callid)
{
	char line[LINE];

	return header(msg, "Call-ID", line, sizeof(line)) && !strcmp(line, callid);
}

static uint16_t audio_port(const char *msg)
{
	const char *at = strstr(msg, "\r\nm=audio ");

	return at ? (uint16_t)atoi(at + 10) : 0;
}

/* ------------------------------------------------------------------ sending */

static void transmit(const struct talk_phone *phone, const char *text)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(phone->server),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	if (sendto(phone->fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("sendto");
}

static void sdp_print(char *buf, size_t size, uint16_t port)
{
	snprintf(buf, size,
		 "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
		 "m=audio %u RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n", port);
}

/* extra: further headers, each with its CRLF. */
static void request(const struct talk_phone *phone, char *buf, const struct talk_call *call,
		    const char *method, const char *uri, const char *extra, const char *body)
{
	snprintf(buf, MESSAGE,
		 "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bK%08x%08x;rport\r\n"
		 "Max-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n"
		 "Contact: <sip:%s@127.0.0.1:%u>\r\n%s%sContent-Length: %zu\r\n\r\n%s",
		 method, uri, phone->port, rand_u32(), rand_u32(), call->from, call->to, call->callid,
		 call->cseq, method, phone->user, phone->port, extra,
		 *body ? "Content-Type: application/sdp\r\n" : "", strlen(body), body);
}

static void reply(const struct talk_phone *phone, const char *msg, const char *line, const char *body)
{
	char buf[MESSAGE], via[LINE], from[LINE], to[LINE], callid[LINE], cseq[LINE];

	if (!header(msg, "Via", via, sizeof(via)) || !header(msg, "From", from, sizeof(from)) ||
	    !header(msg, "To", to, sizeof(to)) || !header(msg, "Call-ID", callid, sizeof(callid)) ||
	    !header(msg, "CSeq", cseq, sizeof(cseq)))
		return;
	snprintf(buf, sizeof(buf),
		 "SIP/2.0 %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s%s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
		 "Contact: <sip:%s@127.0.0.1:%u>\r\n%sContent-Length: %zu\r\n\r\n%s",
		 line, via, from, to, strstr(to, ";tag=") ? "" : ";tag=callee", callid, cseq,
		 phone->user, phone->port, *body ? "Content-Type: application/sdp\r\n" : "",
		 strlen(body), body);
	transmit(phone, buf);
}

static bool authorization(const struct talk_phone *phone, char *buf, size_t size, const char *msg,
			  const char *method, const char *uri)
{
	char nonce[LINE], realm[LINE], text[3 * LINE], response[65];
	const char *at_nonce = strstr(msg, "nonce=\""), *at_realm = strstr(msg, "realm=\"");
	struct digest_creds creds = { .alg = DIGEST_MD5, .nc = PL("00000001"), .cnonce = PL(CNONCE),
		.qop = PL("auth") };
	struct pl met;
	uint8_t ha1[16];

	if (!at_nonce || !at_realm || sscanf(at_nonce, "nonce=\"%255[^\"]", nonce) != 1 ||
	    sscanf(at_realm, "realm=\"%255[^\"]", realm) != 1)
		return false;
	snprintf(text, sizeof(text), "%s:%s:%s", phone->user, realm, phone->password);
	md5((const uint8_t *)text, strlen(text), ha1);
	pl_set_str(&met, method);
	pl_set_str(&creds.nonce, nonce);
	pl_set_str(&creds.uri, uri);
	if (digest_response(response, DIGEST_MD5, ha1, &met, &creds))
		return false;
	snprintf(buf, size,
		 "Authorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", "
		 "response=\"%s\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"" CNONCE "\"\r\n",
		 phone->user, realm, nonce, uri, response);
	return true;
}

/* ------------------------------------------------------------------ the two phones */

/* What comes to the callee: calls are taken, everything else is agreed to. */
static void callee_serve(const struct talk_phone *callee, struct talk_call *call, uint16_t port)
{
	char msg[MESSAGE], sdp[LINE];
	ssize_t n = recv(callee->fd, msg, sizeof(msg) - 1, MSG_DONTWAIT);

	if (n <= 0)
		return;
	msg[n] = '\0';
	if (!strncmp(msg, "INVITE ", 7) && port) {
		call->relay_callee = audio_port(msg);
		sdp_print(sdp, sizeof(sdp), port);
		reply(callee, msg, "200 OK", sdp);
	} else if (!status(msg) && strncmp(msg, "ACK ", 4)) {
		reply(callee, msg, "200 OK", "");
	}
}

/*
 * Sends and waits for the final answer to this request; the callee is served meanwhile. Returns its
 * status, 0: none came.
 */
static unsigned exchange(const struct talk_phone *phone, const struct talk_phone *callee,
			 struct talk_call *call, uint16_t port, const char *text, char *answer)
{
	const uint64_t end_ms = clk_mono_ms() + ANSWER_MS;
	uint64_t again_ms = clk_mono_ms() + REPEAT_MS;
	bool heard = false;
	char cseq[LINE], line[LINE];

	(void)header(text, "CSeq", cseq, sizeof(cseq));
	transmit(phone, text);
	while (clk_mono_ms() < end_ms) {
		struct pollfd fds[2] = { { .fd = phone->fd, .events = POLLIN },
					 { .fd = callee ? callee->fd : -1, .events = POLLIN } };
		ssize_t n;

		(void)poll(fds, 2, 50);
		if (fds[1].revents)
			callee_serve(callee, call, port);
		if (!fds[0].revents) {
			if (!heard && clk_mono_ms() >= again_ms) {
				transmit(phone, text);
				again_ms += REPEAT_MS;
			}
			continue;
		}
		n = recv(phone->fd, answer, MESSAGE - 1, MSG_DONTWAIT);
		if (n <= 0)
			continue;
		answer[n] = '\0';
		if (!status(answer)) { /* a question, such as OPTIONS */
			if (strncmp(answer, "ACK ", 4))
				reply(phone, answer, "200 OK", "");
			continue;
		}
		if (!is_of_call(answer, call->callid) ||
		    !header(answer, "CSeq", line, sizeof(line)) || strcmp(line, cseq))
			continue;
		heard = true;
		if (status(answer) >= 200)
			return status(answer);
	}
	return 0;
}

void talk_open(struct talk_phone *phone, uint16_t server, const char *user, const char *password)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);

	*phone = (struct talk_phone){ .server = server, .user = user, .password = password };
	phone->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (phone->fd < 0 || bind(phone->fd, (struct sockaddr *)&at, sizeof(at)) ||
	    getsockname(phone->fd, (struct sockaddr *)&at, &len))
		die("socket");
	phone->port = ntohs(at.sin_port);
}

void talk_register(struct talk_phone *phone)
{
	struct talk_call call = { .cseq = 1 };
	char text[MESSAGE], answer[MESSAGE], extra[1024], uri[64];

	snprintf(uri, sizeof(uri), "sip:127.0.0.1:%u", phone->server);
	snprintf(call.callid, sizeof(call.callid), "register-%08x@bench", rand_u32());
	snprintf(call.from, sizeof(call.from), "<sip:%s@127.0.0.1>;tag=%08x", phone->user, rand_u32());
	snprintf(call.to, sizeof(call.to), "<sip:%s@127.0.0.1>", phone->user);
	request(phone, text, &call, "REGISTER", uri, "Expires: 3600\r\n", "");
	if (exchange(phone, NULL, &call, 0, text, answer) != 401 ||
	    !authorization(phone, extra, sizeof(extra), answer, "REGISTER", uri)) {
		fprintf(stderr, "no challenge to the REGISTER of %s\n", phone->user);
		exit(1);
	}
	call.cseq++;
	request(phone, text, &call, "REGISTER", uri, extra, "");
	if (exchange(phone, NULL, &call, 0, text, answer) != 200) {
		fprintf(stderr, "registration of %s refused: %.40s\n", phone->user, answer);
		exit(1);
	}
}

static void ack(const struct talk_phone *phone, const struct talk_call *call, const char *uri,
		const char *sent, const char *answer)
{
	struct talk_call acked = *call;
	char text[MESSAGE], via[LINE] = "";

	(void)header(answer, "To", acked.to, sizeof(acked.to));
	request(phone, text, &acked, "ACK", uri, "", "");
	if (status(answer) >= 300) {
		/* RFC 3261 section 17.1.1.3: that of a refusal carries the Via of the request. */
		char rest[MESSAGE], *after = strstr(text, "\r\nMax-Forwards");

		snprintf(rest, sizeof(rest), "%s", after);
		(void)header(sent, "Via", via, sizeof(via));
		snprintf(text, sizeof(text), "ACK %s SIP/2.0\r\nVia: %s%.3000s", uri, via, rest);
	}
	transmit(phone, text);
}

bool talk_call(struct talk_call *call, struct talk_phone *caller, struct talk_phone *callee,
	       const char *number, uint16_t caller_port, uint16_t callee_port, unsigned index)
{
	char text[MESSAGE], answer[MESSAGE], extra[1024], uri[128], sdp[LINE], contact[LINE];
	unsigned scode;

	*call = (struct talk_call){ .cseq = 1 };
	snprintf(uri, sizeof(uri), "sip:%s@127.0.0.1:%u", number, caller->server);
	snprintf(call->callid, sizeof(call->callid), "talk-%u-%08x@bench", index, rand_u32());
	snprintf(call->from, sizeof(call->from), "<sip:%s@127.0.0.1>;tag=%08x", caller->user,
		 rand_u32());
	snprintf(call->to, sizeof(call->to), "<%s>", uri);
	sdp_print(sdp, sizeof(sdp), caller_port);
	request(caller, text, call, "INVITE", uri, "", sdp);
	scode = exchange(caller, callee, call, callee_port, text, answer);
	if (scode == 401 && authorization(caller, extra, sizeof(extra), answer, "INVITE", uri)) {
		ack(caller, call, uri, text, answer);
		call->cseq++;
		request(caller, text, call, "INVITE", uri, extra, sdp);
		scode = exchange(caller, callee, call, callee_port, text, answer);
	}
	if (scode != 200) {
		fprintf(stderr, "call %u: %.*s\n", index, (int)strcspn(answer, "\r"),
			scode ? answer : "no answer");
		if (scode)
			ack(caller, call, uri, text, answer);
		return false;
	}
	if (!header(answer, "Contact", contact, sizeof(contact)) ||
	    sscanf(contact, "%*[^<]<%255[^>]>", call->target) != 1)
		(void)sscanf(contact, "<%255[^>]>", call->target);
	call->relay_caller = audio_port(answer);
	ack(caller, call, call->target, text, answer);
	(void)header(answer, "To", call->to, sizeof(call->to));
	return call->relay_caller && call->relay_callee;
}

bool talk_hangup(struct talk_call *call, struct talk_phone *caller, struct talk_phone *callee)
{
	char text[MESSAGE], answer[MESSAGE];

	call->cseq++;
	request(caller, text, call, "BYE", call->target, "", "");
	return exchange(caller, callee, call, 0, text, answer) == 200;
}
