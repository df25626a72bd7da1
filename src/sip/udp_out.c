/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Exported although everything else is hidden. */
#pragma GCC visibility push(default)
#include "base/re.h"
#pragma GCC visibility pop

#include "base/log.h"
#include "base/timer.h"
#include "sip/udp_out.h"

#define OUT_SOCKETS   4     /* IPv4 and IPv6 */
#define OUT_DATAGRAMS 64    /* as many as one turn of the loop reads from a socket */
#define OUT_BYTES     65536 /* of those that wait */
#define OUT_REFUSED   8	    /* remembered destinations that could not be sent to */

typedef int(send_h)(struct udp_sock *us, const struct sa *dst, struct mbuf *mb);
typedef int(local_h)(const struct udp_sock *us, struct sa *local);

static struct out {
	struct {
		const struct udp_sock *us;
		int fd;
		struct sa local;
	} socks[OUT_SOCKETS];
	size_t n_socks;
	int fd; /* of all that wait */
	uint64_t lost;
	struct sa refused[OUT_REFUSED]; /* a ring; family 0: none */
	size_t n_refused;
	size_t n, used;
	struct mmsghdr msgs[OUT_DATAGRAMS];
	struct iovec iov[OUT_DATAGRAMS];
	struct sa dst[OUT_DATAGRAMS];
	uint8_t bytes[OUT_BYTES];
} out;

/* libre's own, behind ours. */
static void *next_of(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static int sock_find(const struct udp_sock *us)
{
	for (size_t i = 0; i < out.n_socks; i++)
		if (out.socks[i].us == us)
			return (int)i;
	return -1;
}

static bool is_refused(const struct sa *dst)
{
	for (size_t i = 0; i < OUT_REFUSED; i++)
		if (sa_isset(&out.refused[i], SA_ADDR) && sa_cmp(&out.refused[i], dst, SA_ALL))
			return true;
	return false;
}

/* Nobody else hears of a response: the phone repeats its request and gets it again. An INVITE is repeated
 * after 500 ms, then at once, and its transaction hears of the error. */
static void note_lost(const struct sa *dst, int err)
{
	out.lost++;
	if (!is_refused(dst))
		out.refused[out.n_refused++ % OUT_REFUSED] = *dst;
	log_warn("sip.not_sent", "a message could not be sent: look at the network and its routes",
		 kv_sa("to", dst), kv_err(-err), kv_int("lost", out.lost));
}

/* Sends what waits; nothing is fine. */
static void udp_out_flush(void)
{
	size_t at = 0;

	while (at < out.n) {
		const int n = sendmmsg(out.fd, out.msgs + at, (unsigned)(out.n - at), MSG_DONTWAIT);

		if (n > 0)
			at += (size_t)n;
		else if (n == 0 || errno != EINTR)
			note_lost(&out.dst[at++], n ? errno : EIO);
	}
	out.n = out.used = 0;
}

/* Nobody looks at what became of these: a response or ACK that is lost is sent again when the phone
 * repeats itself, a BYE is repeated, and its call has ended for us. An INVITE rarely fails where none has
 * failed before. */
static bool may_wait(const struct sa *dst, const struct mbuf *mb)
{
	const char *text = (const char *)mbuf_buf(mb);
	const size_t len = mbuf_get_left(mb);

	if (len <= 8 || len >= OUT_BYTES)
		return false;
	return !memcmp(text, "SIP/2.0 ", 8) || !memcmp(text, "ACK ", 4) || !memcmp(text, "BYE ", 4) ||
	       (!memcmp(text, "INVITE ", 7) && !is_refused(dst));
}

static void enqueue(int fd, const struct sa *dst, const struct mbuf *mb)
{
	const size_t len = mbuf_get_left(mb), i = out.n;

	memcpy(out.bytes + out.used, mbuf_buf(mb), len);
	out.iov[i] = (struct iovec){ out.bytes + out.used, len };
	out.dst[i] = *dst;
	out.msgs[i].msg_hdr = (struct msghdr){ .msg_name = &out.dst[i].u,
					       .msg_namelen = out.dst[i].len,
					       .msg_iov = &out.iov[i],
					       .msg_iovlen = 1 };
	out.fd = fd;
	out.used += len;
	out.n++;
}

/* What is sent at once may not overtake what waits for the same phone. */
static bool waits_for(const struct sa *dst)
{
	for (size_t i = 0; i < out.n; i++)
		if (sa_cmp(&out.dst[i], dst, SA_ALL))
			return true;
	return false;
}

int udp_send(struct udp_sock *us, const struct sa *dst, struct mbuf *mb)
{
	static send_h *next;
	const int i = dst && mb ? sock_find(us) : -1;

	if (i >= 0 && may_wait(dst, mb)) {
		if (out.n == OUT_DATAGRAMS || out.used + mbuf_get_left(mb) > OUT_BYTES ||
		    (out.n && out.fd != out.socks[i].fd))
			udp_out_flush();
		enqueue(out.socks[i].fd, dst, mb);
		return 0;
	}
	if (i >= 0 && waits_for(dst))
		udp_out_flush();
	if (!next)
		next = (send_h *)next_of("udp_send");
	return next ? next(us, dst, mb) : ENOSYS;
}

int udp_local_get(const struct udp_sock *us, struct sa *local)
{
	static local_h *next;
	const int i = local ? sock_find(us) : -1;

	if (i >= 0) {
		*local = out.socks[i].local;
		return 0;
	}
	if (!next)
		next = (local_h *)next_of("udp_local_get");
	return next ? next(us, local) : ENOSYS;
}

uint64_t udp_out_lost(void)
{
	return out.lost;
}

void udp_out_add(struct udp_sock *us, int fd)
{
	struct sa local;

	if (out.n_socks == OUT_SOCKETS || udp_local_get(us, &local))
		return; /* it is then served by libre itself */
	out.socks[out.n_socks].us = us;
	out.socks[out.n_socks].fd = fd;
	out.socks[out.n_socks++].local = local;
	timer_set_turn_handler(udp_out_flush);
}

void udp_out_remove(const struct udp_sock *us)
{
	const int i = sock_find(us);

	if (i < 0)
		return;
	udp_out_flush();
	out.socks[i] = out.socks[--out.n_socks];
	if (!out.n_socks)
		timer_set_turn_handler(NULL);
}
