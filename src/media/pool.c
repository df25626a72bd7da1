/* SPDX-License-Identifier: Apache-2.0 */
#include "media/pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "media/relay.h"

struct family {
	union net_addr addr; /* to bind to; family 0: not served */
	uint16_t *ports;     /* even ports never bound so far, a ring */
	size_t head, n;
	uint64_t refused_at_ms; /* when none of them could be bound; 0 never */
};

struct pool {
	struct pool_opts opts;
	struct family families[2]; /* IPv4, IPv6 */
	struct slot **slots;       /* all that were ever bound */
	size_t n_slots, cap_slots, n_pairs, in_use, bind_errors;
};

/* ------------------------------------------------------------------ binding */

static int udp_bind(int *ret, const union net_addr *at, uint16_t port)
{
	union net_addr addr = *at;
	bool ipv6 = addr.sa.sa_family == AF_INET6;
	int on = 1, fd, err;

	fd = socket(addr.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;

	if (ipv6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	/* Tells at which of our addresses a phone sends; best effort, see try_connect() in path.c. */
	(void)setsockopt(fd, ipv6 ? IPPROTO_IPV6 : IPPROTO_IP, ipv6 ? IPV6_RECVPKTINFO : IP_PKTINFO,
			 &on, sizeof(on));

	net_addr_set_port(&addr, port);
	if (bind(fd, &addr.sa, net_addr_len(&addr))) {
		err = -errno;
		close(fd);
		return err;
	}
	*ret = fd;
	return 0;
}

static void slot_free(struct slot *slot)
{
	if (!slot)
		return;
	if (slot->rtp.fd >= 0)
		close(slot->rtp.fd);
	if (slot->rtcp.fd >= 0)
		close(slot->rtcp.fd);
	free(slot);
}

static int slot_bind(struct slot **ret, const struct family *family, uint16_t port)
{
	struct slot *slot = stream_line_alloc(sizeof(*slot));
	int err;

	if (!slot)
		return -ENOMEM;

	slot->rtp = (struct sock){ .slot = slot, .fd = -1 };
	slot->rtcp = (struct sock){ .slot = slot, .fd = -1, .is_rtcp = true };
	slot->port = port;
	slot->ipv6 = family->addr.sa.sa_family == AF_INET6;
	err = udp_bind(&slot->rtp.fd, &family->addr, port);
	if (!err)
		err = udp_bind(&slot->rtcp.fd, &family->addr, (uint16_t)(port + 1));
	if (err) {
		slot_free(slot);
		return err;
	}
	*ret = slot;
	return 0;
}

static int slot_keep(struct pool *pool, struct slot *slot)
{
	if (pool->n_slots == pool->cap_slots) {
		size_t cap = pool->cap_slots ? 2 * pool->cap_slots : 256;
		struct slot **slots = realloc(pool->slots, cap * sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		pool->slots = slots;
		pool->cap_slots = cap;
	}
	pool->slots[pool->n_slots++] = slot;
	return 0;
}

/* Binds the next pair of the range that can be bound; others use ports too. */
static int bind_next(struct slot **ret, struct pool *pool, struct relay *relay, bool ipv6)
{
	struct family *family = &pool->families[ipv6];
	struct slot *slot = NULL;
	int err = -EADDRNOTAVAIL;

	/* Ports of other programs stay theirs for a while: not every call shall find that out anew. */
	if (family->refused_at_ms && clk_mono_ms() - family->refused_at_ms < POOL_REST_MS)
		return -EADDRNOTAVAIL;

	for (size_t tries = family->n; tries && pool->n_slots < pool->opts.max_pairs; tries--) {
		uint16_t port = family->ports[family->head];

		family->head = (family->head + 1) % pool->n_pairs;
		family->n--;
		err = slot_bind(&slot, family, port);
		if (!err)
			break;

		pool->bind_errors++;
		/* Taken by another program: it goes to the back, where it may be free later. */
		family->ports[(family->head + family->n) % pool->n_pairs] = port;
		family->n++;
		if (err != -EADDRINUSE && err != -EACCES)
			return err;
	}
	if (!slot) {
		family->refused_at_ms = clk_mono_ms();
		return -EADDRNOTAVAIL;
	}

	err = slot_keep(pool, slot);
	if (err) {
		slot_free(slot);
		return err;
	}
	relay_post(relay, &(struct relay_cmd){ .type = RCMD_SLOT_ADD, .slot = slot }, true);
	slot->relay = relay;
	*ret = slot;
	return 0;
}

/* ------------------------------------------------------------------ idle slots */

static struct slot *idle_pop(struct relay *relay, bool ipv6)
{
	struct slot *slot = relay->idle_first[ipv6];

	if (!slot)
		return NULL;
	relay->idle_first[ipv6] = slot->next;
	if (!slot->next)
		relay->idle_last[ipv6] = NULL;
	slot->next = NULL;
	return slot;
}

static void idle_push(struct slot *slot)
{
	struct relay *relay = slot->relay;

	slot->next = NULL;
	if (relay->idle_last[slot->ipv6])
		relay->idle_last[slot->ipv6]->next = slot;
	else
		relay->idle_first[slot->ipv6] = slot;
	relay->idle_last[slot->ipv6] = slot;
}

static struct slot *rested(struct relay *relay, bool ipv6, uint64_t now_ms)
{
	struct slot *slot = relay->idle_first[ipv6];

	return slot && (!slot->freed_at_ms || now_ms - slot->freed_at_ms >= POOL_REST_MS)
		       ? idle_pop(relay, ipv6)
		       : NULL;
}

/* An idle slot of another relay moves over. */
static struct slot *steal(struct pool *pool, struct relay *relay, bool ipv6)
{
	struct slot *slot = NULL;

	for (unsigned i = 0; i < pool->opts.n_relays && !slot; i++)
		if (pool->opts.relays[i] != relay)
			slot = idle_pop(pool->opts.relays[i], ipv6);
	if (!slot)
		return NULL;

	relay_post_wait(slot->relay, &(struct relay_cmd){ .type = RCMD_SLOT_REMOVE, .slot = slot });
	slot->relay = relay;
	relay_post(relay, &(struct relay_cmd){ .type = RCMD_SLOT_ADD, .slot = slot }, true);
	return slot;
}

int pool_take(struct slot **ret, struct pool *pool, struct relay *relay, bool ipv6)
{
	struct slot *slot;
	int err;

	if (!pool->families[ipv6].addr.sa.sa_family)
		return -EAFNOSUPPORT;

	slot = rested(relay, ipv6, clk_mono_ms());
	err = slot ? 0 : bind_next(&slot, pool, relay, ipv6);
	if (err == -EADDRNOTAVAIL) {
		slot = idle_pop(relay, ipv6);
		if (!slot)
			slot = steal(pool, relay, ipv6);
		err = slot ? 0 : err;
	}
	if (err)
		return err;

	pool->in_use++;
	*ret = slot;
	return 0;
}

void pool_give(struct pool *pool, struct slot *slot, uint64_t closed_at_ms)
{
	pool->in_use--;
	slot->freed_at_ms = closed_at_ms;
	idle_push(slot);
}

/* ------------------------------------------------------------------ the pool */

static int families_set(struct pool *pool, const char *listen)
{
	struct family *v4 = &pool->families[0], *v6 = &pool->families[1];

	if (!listen || !*listen || !strcmp(listen, "0.0.0.0") || !strcmp(listen, "::")) {
		v4->addr.in = (struct sockaddr_in){ .sin_family = AF_INET };
		v6->addr.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
		return 0;
	}
	if (inet_pton(AF_INET, listen, &v4->addr.in.sin_addr) == 1) {
		v4->addr.in.sin_family = AF_INET;
		return 0;
	}
	if (inet_pton(AF_INET6, listen, &v6->addr.in6.sin6_addr) == 1) {
		v6->addr.in6.sin6_family = AF_INET6;
		return 0;
	}
	return -EINVAL;
}

/*
 * Ports above 1023 to which a browser sends nothing, not even in WebRTC (the "bad ports" of the Fetch
 * standard): a call there would be without sound and nobody would know why.
 */
static bool is_shunned(uint32_t port)
{
	static const uint16_t bad[] = { 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000,
					6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (bad[i] == port)
			return true;
	}
	return false;
}

static int ports_set(struct pool *pool, uint32_t first, uint32_t last)
{
	for (int i = 0; i < 2; i++) {
		struct family *family = &pool->families[i];

		family->ports = calloc(pool->n_pairs, sizeof(*family->ports));
		if (!family->ports)
			return -ENOMEM;
		for (uint32_t port = first; port + 1 <= last; port += 2) {
			if (!is_shunned(port) && !is_shunned(port + 1))
				family->ports[family->n++] = (uint16_t)port;
		}
	}
	pool->n_pairs = pool->families[0].n;
	return pool->n_pairs ? 0 : -EINVAL;
}

/* So that calls do not pay for binding. */
int pool_prepare(struct pool *pool, size_t n)
{
	size_t most = pool->n_pairs / 2 < POOL_IDLE ? pool->n_pairs / 2 : POOL_IDLE;
	bool ipv6 = !pool->families[0].addr.sa.sa_family;
	struct slot *slot;
	int err = 0;

	for (size_t i = 0; i < n && pool->n_slots < most && !err; i++) {
		struct relay *relay = pool->opts.relays[pool->n_slots % pool->opts.n_relays];

		err = bind_next(&slot, pool, relay, ipv6);
		if (!err)
			idle_push(slot);
	}
	return err ? err : pool->n_slots < most ? -EAGAIN : 0;
}

int pool_alloc(struct pool **ret, const struct pool_opts *opts)
{
	uint32_t first = ((uint32_t)opts->first + 1) & ~1u;
	struct pool *pool;
	int err;

	if (!opts->first || opts->last <= first)
		return -EINVAL;

	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return -ENOMEM;

	pool->opts = *opts;
	pool->n_pairs = (opts->last - first + 1) / 2;
	err = families_set(pool, opts->listen);
	if (!err)
		err = ports_set(pool, first, opts->last);
	if (err) {
		pool_free(pool);
		return err;
	}
	(void)pool_prepare(pool, POOL_PREPARED); /* pool_take() will tell why */
	*ret = pool;
	return 0;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	for (size_t i = 0; i < pool->n_slots; i++)
		slot_free(pool->slots[i]);
	free(pool->slots);
	free(pool->families[0].ports);
	free(pool->families[1].ports);
	free(pool);
}

void pool_stats(const struct pool *pool, struct pool_stats *ret)
{
	*ret = (struct pool_stats){ .pairs = pool->n_pairs,
				    .bound = pool->n_slots,
				    .in_use = pool->in_use,
				    .bind_errors = pool->bind_errors };
}
