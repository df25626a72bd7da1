/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages in the spirit of RFC 4475, written from its descriptions: each is followed by an OPTIONS
 * that proves the edge alive. $P is our port, $N a unique number.
 */
#include "fixture.h"

#include <ctype.h>

#define VIA "Via: SIP/2.0/UDP 127.0.0.1:$P;branch=z9hG4bK$N;rport\r\n"
#define REST "From: <sip:a@x.example>;tag=1\r\nTo: <sip:b@x.example>\r\nCall-ID: t$N\r\nMax-Forwards: 70\r\n"
#define END "Content-Length: 0\r\n\r\n"

#define DROPPED 0

struct torture {
	const char *name, *text;
	unsigned scode; /* DROPPED: silence */
	const char *has; /* in the answer, or NULL */
};

static void expand(char *buf, size_t size, const struct fix *fix, const char *text)
{
	static unsigned number;
	size_t n = 0;

	number++;
	for (; *text && n + 16 < size; text++) {
		if (*text == '$' && (text[1] == 'P' || text[1] == 'N'))
			n += (size_t)snprintf(buf + n, size - n, "%u",
					      *++text == 'P' ? fix->fd_port : number);
		else
			buf[n++] = *text;
	}
	buf[n] = '\0';
}

static void is_alive(struct fix *fix)
{
	char buf[2048];
	const struct fix_req req = { .method = "OPTIONS", .user = "x", .callid = "alive", .cseq = 1 };

	assert_true(fix_exchange(fix, fix->fd, fix_print(buf, sizeof(buf), fix, &req, NULL), 1000));
	assert_int_equal(fix_status(fix), 200);
}

static unsigned play(struct fix *fix, const struct torture *t)
{
	static char buf[32768];
	unsigned scode;

	expand(buf, sizeof(buf), fix, t->text);
	scode = fix_exchange(fix, fix->fd, buf, t->scode ? 1000 : 60) ? fix_status(fix) : 0;
	if (scode != t->scode)
		print_error("%s: %u instead of %u\n%s\n", t->name, scode, t->scode, fix->rx);
	if (scode == t->scode && t->has && !fix_has(fix, t->has)) {
		print_error("%s: the answer lacks %s\n%s\n", t->name, t->has, fix->rx);
		return 1;
	}
	return scode != t->scode;
}

static void play_all(struct fix *fix, const struct torture *list, size_t n)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < n; i++) {
		wrong += play(fix, &list[i]);
		is_alive(fix);
	}
	assert_int_equal(wrong, 0);
}

/* ------------------------------------------------------------------ 3.1.1 */

static const struct torture valid[] = {
	{ "3.1.1.1 short tortuous INVITE",
	  "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n"
	  "TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = \r\n \r\n"
	  "from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n"
	  "MaX-fOrWaRdS: 0068\r\n"
	  "Call-ID: wsinv.$N@192.0.2.1\r\n"
	  "Content-Length   : 150\r\n"
	  "cseq: 0009\r\n  INVITE\r\n"
	  "Via  : SIP  /   2.0\r\n /UDP\r\n    127.0.0.1:$P;branch=z9hG4bK$N;rport\r\n"
	  "s :\r\n"
	  "NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n"
	  "UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"
	  "Content-Type: application/sdp\r\n"
	  "Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
	  "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
	  " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
	  "m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n newvalue ;\r\n"
	  "  secondparam ; q = 0.33\r\n\r\n"
	  "v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.3\r\ns=-\r\nc=IN IP4 192.0.2.4\r\n"
	  "t=0 0\r\nm=audio 49217 RTP/AVP 0 12\r\nm=video 3227 RTP/AVP 31\r\na=rtpmap:31 LPC\r\n",
	  401, NULL },
	{ "3.1.1.2 wide range of valid characters",
	  "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
	  ":&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0\r\n" VIA
	  "To: \"BEL:\a NUL:  DEL:\x7f\" <sip:1_unusual.URI~(to-be!sure)@example.com>\r\n"
	  "From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>"
	  ";fromParam''~+*_!.-%=\"\xd1\x80\xd0\xb0\";tag=_token~1'+`*%!-.\r\n"
	  "Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{$N\r\n"
	  "CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\r\n"
	  "Max-Forwards: 255\r\nextensionHeader-!.%*+_`'~:\xef\xbb\xbf\r\n" END,
	  501, "Allow:" },
	{ "3.1.1.3 escapes in URIs",
	  "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0\r\n" VIA
	  "To: sip:%75se%72@example.com\r\nFrom: <sip:I%20have%20spaces@example.net>;tag=938\r\n"
	  "Max-Forwards: 87\r\ni: esc01.$N\r\nCSeq: 234234 INVITE\r\nC: application/sdp\r\n"
	  "Contact:\r\n  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>\r\n" END,
	  401, NULL },
	{ "3.1.1.4 escaped nulls in URIs",
	  "REGISTER sip:example.com SIP/2.0\r\nTo: sip:null-%00-null@example.com\r\n"
	  "From: sip:null-%00-null@example.com;tag=839923423\r\nMax-Forwards: 70\r\n"
	  "Call-ID: escnull.$N\r\nCSeq: 14398234 REGISTER\r\n" VIA
	  "Contact: <sip:%00@host5.example.com>\r\nContact: <sip:%00%00@host5.example.com>\r\nL:0\r\n\r\n",
	  401, NULL },
	{ "3.1.1.5 a % that is no escape",
	  "RE%47IST%45R sip:registrar.example.com SIP/2.0\r\nTo: \"%Z%45\" <sip:resource@example.com>\r\n"
	  "From: \"%Z%45\" <sip:resource@example.com>;tag=f232jadfj23\r\nCall-ID: esc02.$N\r\n" VIA
	  "CSeq: 29344 RE%47IST%45R\r\nMax-Forwards: 70\r\nContact: <sip:alias1@host1.example.com>\r\n" END,
	  501, NULL },
	{ "3.1.1.6 no LWS between display name and <",
	  "OPTIONS sip:user@example.com SIP/2.0\r\nTo: sip:user@example.com\r\n"
	  "From: caller<sip:caller@example.com>;tag=323\r\nMax-Forwards: 70\r\nCall-ID: lws.$N\r\n"
	  "CSeq: 60 OPTIONS\r\n" VIA "l: 0\r\n\r\n",
	  200, NULL },
	{ "3.1.1.8 extra trailing octets in a datagram",
	  "OPTIONS sip:example.com SIP/2.0\r\n" VIA REST "CSeq: 8 OPTIONS\r\n" END
	  "INVITE sip:joe@example.com SIP/2.0\r\nt: sip:joe@example.com\r\n\r\nv=0\r\n",
	  200, NULL },
	{ "3.1.1.9 semicolons in the user part",
	  "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0\r\n" VIA REST
	  "CSeq: 8 OPTIONS\r\nAccept: application/sdp\r\n" END,
	  200, NULL },
	{ "3.1.1.10 varied and unknown transports",
	  "OPTIONS sip:user@example.com SIP/2.0\r\n" VIA "Via: SIP/2.0/SCTP t3.example.com;branch=z9hG4bKk1\r\n"
	  "Via: SIP/2.0/TLS t4.example.com;branch=z9hG4bKk2\r\n"
	  "Via: SIP/2.0/UNKNOWN t5.example.com;branch=z9hG4bKk3\r\n" REST "CSeq: 9 OPTIONS\r\n" END,
	  200, "UNKNOWN t5.example.com" },
	{ "3.1.1.11 multipart body",
	  "OPTIONS sip:user@example.com SIP/2.0\r\n" VIA REST "CSeq: 9 OPTIONS\r\n"
	  "Content-Type: multipart/mixed;boundary=7a9cbec02ceef655\r\nContent-Length: 82\r\n\r\n"
	  "--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHello\r\n--7a9cbec02ceef655--\r\n\r\nxxxx",
	  200, NULL },
	{ "3.1.1.12 unusual reason phrase of a response",
	  "SIP/2.0 200 = 2**3 * 5**2 \xd0\xbd\xd0\xbe\r\n" VIA REST "CSeq: 35 INVITE\r\n" END, DROPPED, NULL },
	{ "3.1.1.13 empty reason phrase", "SIP/2.0 100 \r\n" VIA REST "CSeq: 35 INVITE\r\n" END, DROPPED,
	  NULL },
};

/* ------------------------------------------------------------------ 3.1.2, 3.2 */

static const struct torture invalid[] = {
	{ "3.1.2.2 Content-Length larger than the message",
	  "INVITE sip:user@example.com SIP/2.0\r\n" VIA REST "CSeq: 8 INVITE\r\n"
	  "Content-Type: application/sdp\r\nContent-Length: 9999\r\n\r\nv=0\r\n", 400, "Content-Length" },
	{ "3.1.2.3 negative Content-Length",
	  "INVITE sip:user@example.com SIP/2.0\r\n" VIA REST "CSeq: 8 INVITE\r\n"
	  "Content-Length: -999\r\n\r\n", 400, "Content-Length" },
	{ "3.1.2.4 overlarge scalar fields",
	  "REGISTER sip:example.com SIP/2.0\r\n" VIA "To: <sip:user@example.com>\r\n"
	  "From: <sip:user@example.com>;tag=2\r\nCall-ID: scalar.$N\r\nCSeq: 36893488147419103232 REGISTER\r\n"
	  "Max-Forwards: 300\r\nExpires: 10000000000000000000000000000000000\r\n"
	  "Contact: <sip:user@host.example.com>;expires=280297596632815\r\n" END, 400, NULL },
	{ "3.1.2.4 Max-Forwards of 300",
	  "OPTIONS sip:example.com SIP/2.0\r\n" VIA "To: <sip:user@example.com>\r\n"
	  "From: <sip:user@example.com>;tag=2\r\nCall-ID: s2.$N\r\nCSeq: 1 OPTIONS\r\n"
	  "Max-Forwards: 300\r\n" END, 400, "Max-Forwards" },
	{ "3.1.2.7 <> around the request URI",
	  "OPTIONS <sip:user@example.com> SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n" END, 416, NULL },
	{ "3.1.2.8 white space in the request URI",
	  "OPTIONS sip:user@example.com; lr SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n" END, 400,
	  "request line" },
	{ "3.1.2.9 several spaces in the request line",
	  "OPTIONS  sip:user@example.com  SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n" END, 400,
	  "request line" },
	{ "3.1.2.10 spaces at the end of the request line",
	  "OPTIONS sip:user@example.com SIP/2.0  \r\n" VIA REST "CSeq: 1 OPTIONS\r\n" END, 400,
	  "request line" },
	{ "3.1.2.11 escaped headers in the request URI",
	  "INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0\r\n" VIA REST
	  "CSeq: 1 INVITE\r\n" END, 400, "headers" },
	{ "3.1.2.12 invalid time zone in Date does no harm",
	  "OPTIONS sip:user@example.com SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n"
	  "Date: Fri, 01 Jan 2010 16:00:00 EST\r\n" END, 200, NULL },
	{ "3.1.2.16 unknown protocol version",
	  "OPTIONS sip:t.watson@example.org SIP/7.0\r\nVia: SIP/7.0/UDP 127.0.0.1:$P;branch=z9hG4bK$N\r\n" REST
	  "CSeq: 1 OPTIONS\r\n" END, 505, NULL },
	{ "3.1.2.17 method of the start line and CSeq differ",
	  "OPTIONS sip:user@example.com SIP/2.0\r\n" VIA REST "CSeq: 8 INVITE\r\n" END, 400, "CSeq method" },
	{ "3.1.2.18 unknown method and CSeq differ",
	  "NEWMETHOD sip:user@example.com SIP/2.0\r\n" VIA REST "CSeq: 8 INVITE\r\n" END, 400,
	  "CSeq method" },
	{ "3.1.2.19 overlarge response code",
	  "SIP/2.0 4294967301 better not break the receiver\r\n" VIA REST "CSeq: 35 INVITE\r\n" END,
	  DROPPED, NULL },
	{ "3.2.1 missing transaction identifier",
	  "OPTIONS sip:user@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:$P;branch=z9hG4bK\r\n" REST
	  "CSeq: 8 OPTIONS\r\n" END, 400, "branch" },
	{ "no From", "OPTIONS sip:x@y SIP/2.0\r\n" VIA "To: <sip:b@x>\r\nCall-ID: t$N\r\nCSeq: 1 OPTIONS\r\n" END,
	  400, "Missing From" },
	{ "no To", "OPTIONS sip:x@y SIP/2.0\r\n" VIA "From: <sip:b@x>;tag=1\r\nCall-ID: t$N\r\nCSeq: 1 OPTIONS\r\n" END,
	  400, "Missing To" },
	{ "no CSeq", "OPTIONS sip:x@y SIP/2.0\r\n" VIA REST END, 400, "Missing CSeq" },
	{ "no Call-ID", "OPTIONS sip:x@y SIP/2.0\r\n" VIA "From: <sip:b@x>;tag=1\r\nTo: <sip:b@x>\r\nCSeq: 1 OPTIONS\r\n" END,
	  400, "Missing Call-ID" },
	{ "no Via", "OPTIONS sip:x@y SIP/2.0\r\n" REST "CSeq: 1 OPTIONS\r\n" END, DROPPED, NULL },
	{ "an ACK is never answered", "ACK sip:x@y SIP/9.0\r\n" VIA END, DROPPED, NULL },
	{ "no end of the head", "OPTIONS sip:x@y SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n", 400, "Incomplete" },
	{ "no request line", "Hello, is this the web server? \r\n\r\n", DROPPED, NULL },
	{ "HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", DROPPED, NULL },
};

/* What a parser may refuse or forgive: it answers or drops, and lives. */
static const char *const any_answer[] = {
	/* 3.1.2.1 extraneous separators */
	"INVITE sip:user@example.com SIP/2.0\r\n" VIA "Contact: \"Joe\" <sip:joe@example.org>;;;;\r\n" REST
	"CSeq: 8 INVITE\r\nVia: SIP/2.0/UDP 192.0.2.15;;,;,,\r\n" END,
	/* 3.1.2.5 overlarge values in a response */
	"SIP/2.0 503 Service Unavailable\r\n" VIA REST "CSeq: 9292394834772304023312 OPTIONS\r\n"
	"Retry-After: 949302838503028349304023988\r\nWarning: 1812 overture \"In Progress\"\r\n" END,
	/* 3.1.2.6 unterminated quoted string */
	"INVITE sip:user@example.com SIP/2.0\r\n" VIA "To: \"Mr. J. User <sip:j.user@example.com>\r\n"
	"From: sip:caller@example.net;tag=93334\r\nMax-Forwards: 10\r\nCall-ID: q$N\r\nCSeq: 8 INVITE\r\n" END,
	/* 3.1.2.13 name-addr URI without <> */
	"REGISTER sip:example.com SIP/2.0\r\n" VIA REST "CSeq: 8 REGISTER\r\n"
	"Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E\r\n" END,
	/* 3.1.2.14 spaces within addr-spec */
	"OPTIONS sip:user@example.org SIP/2.0\r\n" VIA "From: <sip:a@x>;tag=1\r\n"
	"To: \"Watson, Thomas\" < sip:t.watson@example.org >\r\nCall-ID: s$N\r\nCSeq: 8 OPTIONS\r\n" END,
	/* 3.1.2.15 no token in a display name */
	"OPTIONS sip:t.watson@example.org SIP/2.0\r\n" VIA "From: Bell, Alexander <sip:a@x>;tag=43\r\n"
	"To: Watson, Thomas <sip:t@example.org>\r\nCall-ID: n$N\r\nCSeq: 8 OPTIONS\r\n" END,
	/* pieces */
	"INVITE", "INVITE sip:", "SIP/2.0", "SIP/2.0 ", "SIP/2.0 200", "\r\n\r\n\r\n\r\n\r\n", ": : :\r\n\r\n",
	"OPTIONS sip:@ SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n" END,
	"OPTIONS sip: SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n" END,
	"OPTIONS sip:[::1 SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n" END,
	"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP ;;;;\r\n" REST "CSeq: 1 OPTIONS\r\n" END,
	"OPTIONS sip:a SIP/2.0\r\nVia:\r\n" REST "CSeq: 1 OPTIONS\r\n" END,
	"OPTIONS sip:a SIP/2.0\r\n" VIA "From:\r\nTo:\r\nCall-ID:\r\nCSeq:\r\n" END,
	"OPTIONS sip:a SIP/2.0\r\n" VIA REST "CSeq: OPTIONS 1\r\n" END,
	"OPTIONS sip:a SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\nContent-Type: \r\n" END,
	"OPTIONS sip:a SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n , , ,\r\n:\r\n" END,
};

/* ------------------------------------------------------------------ 3.3, 3.4 */

static const struct torture application[] = {
	{ "3.3.1 missing required headers", "INVITE sip:user@example.com SIP/2.0\r\nCSeq: 193942 INVITE\r\n"
	  VIA "Content-Type: application/sdp\r\n" END, 400, "Missing" },
	{ "3.3.2 unknown URI scheme",
	  "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0\r\n" VIA REST "CSeq: 3 OPTIONS\r\n" END,
	  416, NULL },
	{ "3.3.3 known but unusual scheme",
	  "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0\r\n" VIA REST "CSeq: 3 OPTIONS\r\n" END, 416, NULL },
	{ "3.3.4 unknown schemes in To and From",
	  "REGISTER sip:example.com SIP/2.0\r\n" VIA "To: isbn:2983792873\r\n"
	  "From: <http://www.example.com>;tag=3234233\r\nCall-ID: unksm2.$N\r\nCSeq: 234902 REGISTER\r\n"
	  "Max-Forwards: 70\r\nContact: <name:John_Smith>\r\nl: 0\r\n\r\n", DROPPED, NULL },
	{ "3.3.5 unknown Require",
	  "OPTIONS sip:user@example.com SIP/2.0\r\n" VIA REST "CSeq: 8 OPTIONS\r\n"
	  "Require: nothingSupportsThis, nothingSupportsThisEither\r\n"
	  "Proxy-Require: noProxiesSupportThis\r\n" END, 420, "Unsupported: nothingSupportsThis" },
	{ "3.3.7 unknown authorization scheme",
	  "REGISTER sip:example.com SIP/2.0\r\n" VIA REST "CSeq: 9338 REGISTER\r\n"
	  "Authorization: NoOneKnowsThisScheme opaque-data=here\r\n" END, 401, NULL },
	{ "3.3.8 several values in single-value headers",
	  "OPTIONS sip:user@company.com SIP/2.0\r\n" VIA
	  "Contact: <sip:caller@host25.example.net>\r\nMax-Forwards: 70\r\nCSeq: 5 OPTIONS\r\n"
	  "Call-ID: multi01.$N\r\nCSeq: 59 OPTIONS\r\nCall-ID: multi02.$N\r\n"
	  "From: sip:caller@example.com;tag=3413415\r\nTo: sip:user@example.com\r\n"
	  "To: sip:other@example.net\r\nFrom: sip:caller@example.net;tag=2923420123\r\n" END, 400,
	  "More than one" },
	{ "3.3.9 several Content-Length",
	  "OPTIONS sip:user@example.com SIP/2.0\r\n" VIA REST "CSeq: 8 OPTIONS\r\nContent-Length: 13\r\n"
	  "Content-Length: 5\r\n\r\nThere's no way to know", 400, "Content-Length" },
	{ "3.3.10 200 with a broadcast Via",
	  "SIP/2.0 200 OK\r\n" VIA "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23\r\n" REST
	  "CSeq: 35 INVITE\r\n" END, DROPPED, NULL },
	{ "3.3.11 Max-Forwards of zero",
	  "OPTIONS sip:user@example.com SIP/2.0\r\n" VIA "To: sip:u@x\r\nFrom: sip:c@x;tag=3\r\n"
	  "Call-ID: zeromf.$N\r\nCSeq: 39234321 OPTIONS\r\nMax-Forwards: 0\r\n" END, 483, NULL },
	{ "3.4.1 INVITE of RFC 2543, without branch",
	  "INVITE sip:UserB@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:$P\r\n"
	  "From: <sip:a@x>\r\nTo: <sip:b@x>\r\nCall-ID: inv2543.$N\r\nCSeq: 56 INVITE\r\n\r\n", 400,
	  "branch" },
};

static void play_valid(void **state)
{
	play_all(*state, valid, sizeof(valid) / sizeof(valid[0]));
}

static void play_invalid(void **state)
{
	play_all(*state, invalid, sizeof(invalid) / sizeof(invalid[0]));
}

static void play_application(void **state)
{
	play_all(*state, application, sizeof(application) / sizeof(application[0]));
}

static void play_any(void **state)
{
	static char buf[32768];
	struct fix *fix = *state;

	for (size_t i = 0; i < sizeof(any_answer) / sizeof(any_answer[0]); i++) {
		expand(buf, sizeof(buf), fix, any_answer[i]);
		if (fix_exchange(fix, fix->fd, buf, 60))
			assert_true(fix_status(fix) >= 200 && fix_status(fix) < 600);
		is_alive(fix);
	}
}

/* 3.3.12, 3.3.13: a parameter of the Contact and one of its URI. */
static void contact_parameters(void **state)
{
	struct fix *fix = *state;

	assert_int_equal(fix_register(fix, fix->fd, "a0", "sip:+19725552222@gw1.example.net;unknownparam",
				      600, 1), 200);
	assert_true(fix_has(fix, "Contact: <sip:+19725552222@gw1.example.net>;expires=600"));
	assert_int_equal(fix_register(fix, fix->fd, "a1",
				      "<sip:+19725552222@gw1.example.net;unknownparam>", 600, 1), 200);
	assert_true(fix_has(fix, "Contact: <sip:+19725552222@gw1.example.net;unknownparam>;expires=600"));
	/* 3.3.14: an escaped header stays in the URI. */
	assert_int_equal(fix_register(fix, fix->fd, "a2",
				      "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>", 600, 1), 200);
	assert_true(fix_has(fix, "?Route=%3Csip:sip.example.com%3E>"));
}

/* 3.1.1.7 long values, as long as a datagram may be. */
static void long_values(void **state)
{
	struct fix *fix = *state;
	char *buf = calloc(1, 70000), *head = calloc(1, 70000);
	unsigned n;

	for (unsigned size = 1000; size <= 60000; size *= 2) {
		snprintf(head, 70000, "OPTIONS sip:x@y SIP/2.0\r\n" VIA REST
				      "CSeq: 1 OPTIONS\r\nX-Long: %0*d\r\n" END, (int)size, 1);
		expand(buf, 70000, fix, head);
		n = fix_exchange(fix, fix->fd, buf, 1000) ? fix_status(fix) : 0;
		assert_int_equal(n, size < 8000 ? 200 : 513);
		is_alive(fix);
	}
	for (unsigned vias = 10; vias <= 100; vias += 45) {
		snprintf(head, 70000, "OPTIONS sip:x@y SIP/2.0\r\n" VIA);
		for (unsigned i = 0; i < vias; i++)
			strcat(head, "Via: SIP/2.0/UDP sip.example.net;branch=z9hG4bKx\r\n");
		strcat(head, REST "CSeq: 1 OPTIONS\r\n" END);
		expand(buf, 70000, fix, head);
		assert_true(fix_exchange(fix, fix->fd, buf, 1000));
		assert_int_equal(fix_status(fix), 200);
	}
	free(buf);
	free(head);
}

static void every_prefix_of_a_message(void **state)
{
	struct fix *fix = *state;
	char buf[2048];
	const struct fix_req req = { .method = "REGISTER", .user = "a0", .callid = "p", .cseq = 1,
		.extra = "Contact: <sip:x@127.0.0.1>\r\nUser-Agent: P\r\n" };
	size_t len;

	fix_print(buf, sizeof(buf), fix, &req, NULL);
	len = strlen(buf);
	for (size_t n = 1; n < len; n++) {
		fix_send(fix, fix->fd, buf, n);
		if (n % 16 == 0)
			fix_run(1);
	}
	fix_run(20);
	while (recv(fix->fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		continue;
	is_alive(fix);
}

/* Random bytes over a good message, always the same ones. */
static void random_damage(void **state)
{
	struct fix *fix = *state;
	char buf[2048], damaged[2048];
	const struct fix_req req = { .method = "INVITE", .user = "a0", .callid = "d", .cseq = 1,
		.extra = "Contact: <sip:x@127.0.0.1>\r\nAuthorization: Digest username=\"a0\", realm=\"aoide\","
			 " nonce=\"00\", uri=\"sip:x\", response=\"00\", qop=auth, nc=00000001, cnonce=\"x\"\r\n" };
	uint64_t seed = 42;
	size_t len;

	fix_print(buf, sizeof(buf), fix, &req, NULL);
	len = strlen(buf);
	for (unsigned round = 0; round < 1500; round++) {
		memcpy(damaged, buf, len);
		for (unsigned i = 0; i < 1 + round % 6; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			damaged[(seed >> 33) % len] = (char)(seed >> 20);
		}
		fix_send(fix, fix->fd, damaged, len);
		if (round % 16 == 0) {
			fix_run(1);
			while (recv(fix->fd, fix->rx, sizeof(fix->rx), MSG_DONTWAIT) > 0)
				continue;
		}
	}
	fix_run(20);
	while (recv(fix->fd, fix->rx, sizeof(fix->rx), MSG_DONTWAIT) > 0)
		continue;
	is_alive(fix);
}

/* ------------------------------------------------------------------ TCP */

static void options_tcp(char *buf, size_t size, const struct fix *fix, const char *callid)
{
	fix_print(buf, size, fix,
		  &(struct fix_req){ .method = "OPTIONS", .user = "x", .callid = callid, .cseq = 1,
			  .tp = "TCP" }, NULL);
}

static void tcp_in_single_bytes(void **state)
{
	struct fix *fix = *state;
	int fd = fix_tcp(fix, fix->port);
	char buf[2048];

	options_tcp(buf, sizeof(buf), fix, "bytes");
	for (size_t i = 0; buf[i]; i++) {
		fix_send(fix, fd, &buf[i], 1);
		if (i % 8 == 0)
			fix_run(1);
	}
	assert_true(fix_wait(fix, fd, 500));
	assert_int_equal(fix_status(fix), 200);
	close(fd);
}

static void tcp_two_in_one_write(void **state)
{
	struct fix *fix = *state;
	int fd = fix_tcp(fix, fix->port);
	char buf[4096];

	options_tcp(buf, sizeof(buf), fix, "one");
	options_tcp(buf + strlen(buf), sizeof(buf) - strlen(buf), fix, "two");
	assert_true(fix_exchange(fix, fd, buf, 500));
	if (!fix_has(fix, "Call-ID: two")) {
		assert_true(fix_has(fix, "Call-ID: one"));
		assert_true(fix_wait(fix, fd, 500));
	}
	assert_true(fix_has(fix, "Call-ID: two"));
	close(fd);
}

static bool is_closed(struct fix *fix, int fd)
{
	for (unsigned i = 0; i < 20; i++) {
		fix_run(10);
		if (recv(fd, fix->rx, sizeof(fix->rx), MSG_DONTWAIT) == 0 ||
		    (errno == ECONNRESET && i))
			return true;
	}
	return false;
}

static void tcp_garbage_closes_the_connection(void **state)
{
	static const char *const garbage[] = {
		("OPTIONS sip:x@y SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n"
		"To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n\r\n"), /* no Content-Length */
		"OPTIONS sip:x@y SIP/2.0\r\nFrom: >\r\nContent-Length: 0\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS\r\n\r\n\r\n A B C\r\n: \r\n\r\n",
	};
	struct fix *fix = *state;

	for (size_t i = 0; i < 2; i++) {
		int fd = fix_tcp(fix, fix->port);

		fix_send(fix, fd, garbage[i], strlen(garbage[i]));
		assert_true(is_closed(fix, fd));
		close(fd);
		is_alive(fix);
	}
}

static void tcp_huge_content_length_is_no_memory(void **state)
{
	struct fix *fix = *state;
	int fd = fix_tcp(fix, fix->port);
	char buf[2048], chunk[4096];
	bool closed = false;

	options_tcp(buf, sizeof(buf), fix, "huge");
	strcpy(strstr(buf, "Content-Length"), "Content-Length: 4000000000\r\n\r\n");
	memset(chunk, 'x', sizeof(chunk));
	fix_send(fix, fd, buf, strlen(buf));
	for (unsigned i = 0; i < 64 && !closed; i++) {
		(void)send(fd, chunk, sizeof(chunk), MSG_DONTWAIT | MSG_NOSIGNAL);
		fix_run(2);
		closed = recv(fd, fix->rx, sizeof(fix->rx), MSG_DONTWAIT) == 0 || errno == ECONNRESET;
	}
	assert_true(closed || is_closed(fix, fd));
	close(fd);
	is_alive(fix);
}

/* ------------------------------------------------------------------ PLT-36: pedantic */

/* Forgiven when the settings are relaxed (the status), refused when they are pedantic. */
static const struct torture sloppy[] = {
	{ "no Max-Forwards",
	  "OPTIONS sip:x@y SIP/2.0\r\n" VIA "From: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: p$N\r\n"
	  "CSeq: 1 OPTIONS\r\n" END, 200, "Max-Forwards" },
	{ "no tag of who sends",
	  "OPTIONS sip:x@y SIP/2.0\r\n" VIA "From: <sip:a@x>\r\nTo: <sip:b@x>\r\nCall-ID: p$N\r\n"
	  "Max-Forwards: 70\r\nCSeq: 1 OPTIONS\r\n" END, 200, "tag in From" },
	{ "an INVITE without Contact",
	  "INVITE sip:x@y SIP/2.0\r\n" VIA REST "CSeq: 1 INVITE\r\n" END, 401, "one Contact" },
	{ "a body of no type",
	  "OPTIONS sip:x@y SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\nContent-Length: 2\r\n\r\nab", 200,
	  "Content-Type" },
	{ "RFC 4475 3.1.2.12 a date of another zone",
	  "OPTIONS sip:x@y SIP/2.0\r\n" VIA REST "CSeq: 1 OPTIONS\r\n"
	  "Date: Fri, 01 Jan 2010 16:00:00 EST\r\n" END, 200, "GMT" },
	{ "RFC 4475 3.1.2.13 a contact with a question mark, without <>",
	  "REGISTER sip:x SIP/2.0\r\n" VIA REST "CSeq: 1 REGISTER\r\n"
	  "Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E\r\n" END, 401, "needs < and >" },
	{ "RFC 4475 3.1.2.14 spaces within <>",
	  "OPTIONS sip:x@y SIP/2.0\r\n" VIA "From: <sip:a@x>;tag=1\r\nTo: \"Watson\" < sip:t.watson@x >\r\n"
	  "Call-ID: p$N\r\nMax-Forwards: 70\r\nCSeq: 1 OPTIONS\r\n" END, 200, "Spaces" },
	{ "RFC 4475 3.1.2.15 a display name that needs quotes",
	  "OPTIONS sip:x@y SIP/2.0\r\n" VIA "From: Bell, Alexander <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\n"
	  "Call-ID: p$N\r\nMax-Forwards: 70\r\nCSeq: 1 OPTIONS\r\n" END, 200, "quotes" },
};

static void sloppy_messages_are_forgiven_or_not(void **state)
{
	struct fix *fix = *state;
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(sloppy) / sizeof(sloppy[0]); i++) {
		struct torture forgiven = sloppy[i], refused = sloppy[i];

		forgiven.has = NULL;
		refused.scode = 400;
		fix->sip->pedantic = false;
		wrong += play(fix, &forgiven);
		fix->sip->pedantic = true;
		wrong += play(fix, &refused);
	}
	assert_int_equal(wrong, 0);
	play_all(fix, valid, sizeof(valid) / sizeof(valid[0])); /* what is valid passes */
}

/* ------------------------------------------------------------------ detours */

static void maddr_does_not_redirect_our_answer(void **state)
{
	struct fix *fix = *state;
	char buf[2048], text[2048];
	uint16_t port;
	int victim = fix_socket(SOCK_DGRAM, &port);

	snprintf(text, sizeof(text),
		 "OPTIONS sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:%u;maddr=127.0.0.1;branch=z9hG4bK$N\r\n" REST
		 "CSeq: 1 OPTIONS\r\n" END, port);
	expand(buf, sizeof(buf), fix, text);
	assert_true(fix_exchange(fix, fix->fd, buf, 500));
	assert_int_equal(fix_status(fix), 200);
	assert_int_equal(recv(victim, buf, sizeof(buf), MSG_DONTWAIT), -1);
	close(victim);
}

static void own_via_is_a_loop(void **state)
{
	struct fix *fix = *state;
	char buf[2048], text[2048];

	snprintf(text, sizeof(text),
		 "INVITE sip:x@y SIP/2.0\r\n" VIA "Via: SIP/2.0/UDP 127.0.0.1:%u;branch=z9hG4bKours\r\n" REST
		 "CSeq: 1 INVITE\r\n" END, fix->port);
	expand(buf, sizeof(buf), fix, text);
	assert_true(fix_exchange(fix, fix->fd, buf, 500));
	assert_int_equal(fix_status(fix), 482);
}

#define T(name, f) { name, f, fix_setup, fix_teardown, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		T("RFC 4475 3.1.1: valid messages are understood", play_valid),
		T("RFC 4475 3.1.2 and 3.2: invalid messages are refused or dropped", play_invalid),
		T("[PLT-36] pedantic: what is badly formed is discarded, what is valid passes",
		  sloppy_messages_are_forgiven_or_not),
		T("RFC 4475 3.3 and 3.4: application and backward compatibility", play_application),
		T("RFC 4475 3.3.12 to 14: parameters of contacts", contact_parameters),
		T("what may be refused or forgiven does no harm", play_any),
		T("long values", long_values),
		T("every prefix of a message", every_prefix_of_a_message),
		T("random damage", random_damage),
		T("TCP: byte by byte", tcp_in_single_bytes),
		T("TCP: two messages in one write", tcp_two_in_one_write),
		T("TCP: garbage closes the connection", tcp_garbage_closes_the_connection),
		T("TCP: a huge Content-Length takes no memory", tcp_huge_content_length_is_no_memory),
		T("maddr does not redirect our answer", maddr_does_not_redirect_our_answer),
		T("our own Via is a loop", own_via_is_a_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
