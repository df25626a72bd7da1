/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/trace.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/clock.h"
#include "base/err.h"
#include "sip/edge_priv.h"

#define KEEPALIVE_BYTES 4
#define CALLID_MAX      256
#define LINKTYPE_RAW    101 /* a packet starts with its IP header */
#define PCAP_SNAPLEN    65535
#define IP4_HEADER      20
#define IP6_HEADER      40
#define UDP_HEADER      8

struct entry {
	int64_t wall_us;
	struct sa src, dst;
	size_t at; /* in bytes */
	uint32_t len;
	uint32_t callid_hash;
	uint8_t tp;
	bool tx;
};

/* Messages lie one behind the other and begin again at the start: none is allocated, and the oldest are
 * not touched to let go of them. */
struct trace {
	uint8_t *bytes;
	size_t max_bytes, next; /* where the next message goes */
	size_t max_messages, first, n;
	struct entry entries[];
};

static void trace_destructor(void *arg)
{
	struct trace *trace = arg;

	free(trace->bytes);
}

int trace_alloc(struct trace **ret, size_t max_messages, size_t max_bytes)
{
	struct trace *trace = mem_zalloc(sizeof(*trace) + max_messages * sizeof(struct entry),
					 trace_destructor);

	if (!trace)
		return -ENOMEM;
	trace->max_messages = max_messages;
	trace->max_bytes = max_bytes;
	trace->bytes = malloc(max_bytes);
	if (!trace->bytes) {
		mem_deref(trace);
		return -ENOMEM;
	}
	memset(trace->bytes, '-', max_bytes); /* its pages are had now, no call waits for them; 0 would be calloc() */
	*ret = trace;
	return 0;
}

/* The value of the Call-ID header, also in its compact form. */
static bool find_callid(struct pl *ret, const uint8_t *pkt, size_t len)
{
	const char *p = (const char *)pkt, *end = p + len, *eol;

	for (; p < end; p = eol + 1) {
		size_t n;

		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			return false;
		n = (size_t)(eol - p);
		if (n <= 1)
			return false; /* the body begins */
		if (n > 8 && (*p | 0x20) == 'c' && !strncasecmp(p, "Call-ID", 7))
			p += 7;
		else if (n > 2 && (*p == 'i' || *p == 'I') && (p[1] == ':' || p[1] == ' '))
			p += 1;
		else
			continue;
		while (p < eol && (*p == ' ' || *p == '\t'))
			p++;
		if (p == eol || *p != ':')
			continue;
		for (p++; p < eol && (*p == ' ' || *p == '\t');)
			p++;
		ret->p = p;
		ret->l = (size_t)(eol - p);
		while (ret->l && (ret->p[ret->l - 1] == '\r' || ret->p[ret->l - 1] == ' '))
			ret->l--;
		return true;
	}
	return false;
}

static struct entry *oldest(struct trace *trace)
{
	return trace->n ? &trace->entries[trace->first] : NULL;
}

static void drop_oldest(struct trace *trace)
{
	trace->first = (trace->first + 1) % trace->max_messages;
	trace->n--;
}

/* Makes room for len bytes in one piece; returns where. */
static size_t make_room(struct trace *trace, size_t len)
{
	struct entry *old;

	if (len > trace->max_bytes - trace->next) {
		while ((old = oldest(trace)) && old->at >= trace->next)
			drop_oldest(trace);
		trace->next = 0;
	}
	while ((old = oldest(trace)) && old->at >= trace->next && old->at < trace->next + len)
		drop_oldest(trace);
	if (trace->n == trace->max_messages)
		drop_oldest(trace);

	return trace->next;
}

void trace_add(struct trace *trace, bool tx, enum sip_transp tp, const struct sa *src,
	       const struct sa *dst, const uint8_t *pkt, size_t len)
{
	struct pl callid;
	size_t at;

	if (len <= KEEPALIVE_BYTES || len > trace->max_bytes || !find_callid(&callid, pkt, len))
		return;

	at = make_room(trace, len);
	memcpy(trace->bytes + at, pkt, len);
	trace->next = at + len;
	trace->entries[(trace->first + trace->n++) % trace->max_messages] = (struct entry){
		.wall_us = clk_wall_us(),
		.src = *src,
		.dst = *dst,
		.at = at,
		.len = (uint32_t)len,
		.callid_hash = hash_joaat_pl(&callid),
		.tp = (uint8_t)tp,
		.tx = tx,
	};
}

/* ------------------------------------------------------------------ choosing */

static bool is_wanted(const struct trace *trace, const struct entry *entry,
		      const char *const *callids, size_t n)
{
	struct pl callid;

	for (size_t i = 0; i < n; i++) {
		if (hash_joaat_str(callids[i]) == entry->callid_hash &&
		    find_callid(&callid, trace->bytes + entry->at, entry->len) && !pl_strcmp(&callid, callids[i]))
			return true;
	}
	return false;
}

/* Keys of SRTP and passwords of ICE in a description: what follows the mark, to the end of the line. */
static void mask_body(char *p, const char *end)
{
	static const char *const marks[] = { "inline:", "a=ice-pwd:" };
	char *eol;

	for (; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = (char *)(uintptr_t)end;
		for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
			char *at = memmem(p, (size_t)(eol - p), marks[i], strlen(marks[i]));

			for (at = at ? at + strlen(marks[i]) : eol; at < eol; at++) {
				if (*at != '\r')
					*at = 'x';
			}
		}
	}
}

/* Covers the values of credentials with x; the length stays, so that a packet does. */
static void mask(uint8_t *data, size_t len)
{
	static const char *const names[] = { "Authorization", "Proxy-Authorization" };
	char *p = (char *)data, *end = p + len, *eol;
	bool is_secret = false;

	for (; p < end; p = eol + 1) {
		char *at = p;

		eol = memchr(p, '\n', (size_t)(end - p));
		if (!eol)
			eol = end;
		if (eol - p <= 1) {
			mask_body(p, end);
			return;
		}
		if (*p != ' ' && *p != '\t') { /* else it goes on with the line before */
			is_secret = false;
			for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
				size_t n = strlen(names[i]);

				if ((size_t)(eol - p) > n && !strncasecmp(p, names[i], n) &&
				    strchr(": \t", p[n])) {
					is_secret = true;
					at = p + n + 1;
				}
			}
		}
		for (; is_secret && at < eol; at++) {
			if (*at != '\r' && *at != ' ' && *at != '\t' && *at != ':')
				*at = 'x';
		}
	}
}

/* ------------------------------------------------------------------ text */

static int print_entry(struct mbuf *mb, const struct entry *entry, const uint8_t *data)
{
	char iso[32];
	size_t at;
	int err;

	clk_iso(iso, sizeof(iso), entry->wall_us);
	err = mbuf_printf(mb, "%.19s.%06uZ %s %s %J -> %J (%u bytes)\r\n", iso,
			  (unsigned)(entry->wall_us % 1000000), entry->tx ? "sent" : "received",
			  sip_transp_name((enum sip_transp)entry->tp), &entry->src, &entry->dst,
			  entry->len);
	if (err)
		return err;
	at = mb->pos;
	err = mbuf_write_mem(mb, data, entry->len);
	if (err)
		return err;
	mask(mb->buf + at, entry->len);
	return mbuf_write_str(mb, "\r\n----\r\n");
}

typedef int(print_h)(struct mbuf *mb, const struct entry *entry, const uint8_t *data);

static int print_all(struct mbuf *mb, const struct trace *trace, const char *const *callids,
		     size_t n, print_h *h)
{
	int err = 0;

	for (size_t i = 0; i < trace->n && !err; i++) {
		const struct entry *entry = &trace->entries[(trace->first + i) % trace->max_messages];

		if (is_wanted(trace, entry, callids, n))
			err = h(mb, entry, trace->bytes + entry->at);
	}
	return err_from_re(err);
}

int trace_text(const struct trace *trace, char **ret, const char *const *callids, size_t n)
{
	struct mbuf *mb = mbuf_alloc(4096);
	int err;

	if (!mb)
		return -ENOMEM;
	err = print_all(mb, trace, callids, n, print_entry);
	if (!err) {
		char *text = malloc(mb->end + 1);

		if (text) {
			memcpy(text, mb->buf, mb->end);
			text[mb->end] = '\0';
			*ret = text;
		} else {
			err = -ENOMEM;
		}
	}
	mem_deref(mb);
	return err;
}

/* ------------------------------------------------------------------ pcap */

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (len & 1)
		sum += (uint32_t)(p[len - 1] << 8);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *p, size_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

/* IP and UDP headers around a message, as if TCP and TLS had been UDP: what a reader wants is the
 * decoded text. Returns their length. */
static size_t headers(uint8_t *p, const struct entry *entry, const uint8_t *data, size_t len)
{
	struct sa src, dst;
	uint8_t src16[16], dst16[16], *udp;
	size_t ip, n;
	uint32_t sum;
	bool is_v4;

	edge_sa_unmap(&src, &entry->src);
	edge_sa_unmap(&dst, &entry->dst);
	edge_addr16(src16, &src);
	edge_addr16(dst16, &dst);
	is_v4 = sa_af(&src) == AF_INET && sa_af(&dst) == AF_INET;
	ip = is_v4 ? IP4_HEADER : IP6_HEADER;
	n = UDP_HEADER + len;
	memset(p, 0, ip + UDP_HEADER);

	if (is_v4) {
		p[0] = 0x45;
		put16(p + 2, ip + n);
		p[8] = 64;
		p[9] = 17;
		memcpy(p + 12, src16 + 12, 4);
		memcpy(p + 16, dst16 + 12, 4);
		put16(p + 10, fold(sum16(0, p, IP4_HEADER)));
		sum = sum16(0, p + 12, 8);
	} else {
		p[0] = 0x60;
		put16(p + 4, n);
		p[6] = 17;
		p[7] = 64;
		memcpy(p + 8, src16, 16);
		memcpy(p + 24, dst16, 16);
		sum = sum16(0, p + 8, 32);
	}

	udp = p + ip;
	put16(udp, sa_port(&src));
	put16(udp + 2, sa_port(&dst));
	put16(udp + 4, n);
	sum = sum16(sum + 17 + (uint32_t)n, udp, UDP_HEADER);
	put16(udp + 6, fold(sum16(sum, data, len)));
	return ip + UDP_HEADER;
}

static int pcap_entry(struct mbuf *mb, const struct entry *entry, const uint8_t *data)
{
	uint8_t head[IP6_HEADER + UDP_HEADER], *copy;
	size_t len = entry->len, head_len;
	uint32_t record[4];
	int err;

	if (len > PCAP_SNAPLEN - sizeof(head))
		len = PCAP_SNAPLEN - sizeof(head);
	copy = malloc(len);
	if (!copy)
		return ENOMEM;
	memcpy(copy, data, len);
	mask(copy, len);
	head_len = headers(head, entry, copy, len);

	record[0] = (uint32_t)(entry->wall_us / 1000000);
	record[1] = (uint32_t)(entry->wall_us % 1000000);
	record[2] = record[3] = (uint32_t)(head_len + len);
	err = mbuf_write_mem(mb, (const uint8_t *)record, sizeof(record));
	if (!err)
		err = mbuf_write_mem(mb, head, head_len);
	if (!err)
		err = mbuf_write_mem(mb, copy, len);
	free(copy);
	return err;
}

int trace_pcap(const struct trace *trace, uint8_t **ret, size_t *len, const char *const *callids,
	       size_t n)
{
	static const struct {
		uint32_t magic;
		uint16_t major, minor;
		uint32_t zone, sigfigs, snaplen, linktype;
	} file = { 0xa1b2c3d4, 2, 4, 0, 0, PCAP_SNAPLEN, LINKTYPE_RAW };
	struct mbuf *mb = mbuf_alloc(4096);
	int err;

	if (!mb)
		return -ENOMEM;
	err = err_from_re(mbuf_write_mem(mb, (const uint8_t *)&file, sizeof(file)));
	if (!err)
		err = print_all(mb, trace, callids, n, pcap_entry);
	if (!err) {
		uint8_t *data = malloc(mb->end);

		if (data) {
			memcpy(data, mb->buf, mb->end);
			*ret = data;
			*len = mb->end;
		} else {
			err = -ENOMEM;
		}
	}
	mem_deref(mb);
	return err;
}
