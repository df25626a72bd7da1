/* SPDX-License-Identifier: Apache-2.0 */
#include "media/ice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>
#include "media/binding.h"

#define PACE_US       20000    /* between first checks of two pairs (Ta) */
#define CHECK_US      250000   /* until the first repetition; then doubled */
#define CHECK_TRIES   6        /* the last waits 8 s */
#define CONSENT_US    5000000  /* RFC 7675 section 5.1 */
#define CONSENT_LOST_US 30000000
#define NOMINATE_US   500000   /* a better pair has so much time to answer */
#define STALE_US      5000000  /* a nominated pair that is checked no more gives way */
#define PRIORITY_PRFLX (110u << 24 | 65535u << 8 | 255u)

enum state { PAIR_WAITING, PAIR_CHECKING, PAIR_ALIVE, PAIR_FAILED };

struct pair {
	union net_addr remote, local; /* local: ours as the packet named it; family 0 unknown */
	uint32_t priority;            /* of the remote candidate */
	uint8_t component;
	enum state state;
	bool proved;                  /* it has passed a check, its or ours */
	bool nominated;               /* by the controlling side */
	uint64_t heard_us;            /* last check that proved it */

	/* checks of our own */
	uint8_t tid[BINDING_TID];
	uint64_t sent_us, due_us;
	unsigned tries;
	bool nominates;               /* the check under way says USE-CANDIDATE */
};

struct agent {
	struct mp_ice said; /* credentials in force */
	char old_ufrag[MP_MAX_UFRAG], old_pwd[MP_MAX_PWD]; /* before a restart; still answered */
	bool controlling;
	uint64_t tie_breaker, started_us, next_us; /* next_us: no new pair is checked before */
	struct pair pairs[AGENT_PAIRS];
	unsigned n;
	struct pair *selected[2]; /* by component; into pairs */
	bool gave_up;
};

/* ------------------------------------------------------------------ pairs */

static struct pair *pair_find(struct agent *agent, const union net_addr *remote, uint8_t component)
{
	for (unsigned i = 0; i < agent->n; i++) {
		if (agent->pairs[i].component == component &&
		    net_addr_same(&agent->pairs[i].remote, remote))
			return &agent->pairs[i];
	}
	return NULL;
}

/* The table is full: the pair goes that was of no use for the longest time. */
static struct pair *pair_replace(struct agent *agent)
{
	struct pair *worst = NULL;

	for (unsigned i = 0; i < agent->n; i++) {
		struct pair *pair = &agent->pairs[i];

		if (pair == agent->selected[0] || pair == agent->selected[1])
			continue;
		if (!worst || pair->heard_us < worst->heard_us)
			worst = pair;
	}
	return worst;
}

static struct pair *pair_add(struct agent *agent, const union net_addr *remote, uint8_t component,
			     uint32_t priority)
{
	struct pair *pair = agent->n < AGENT_PAIRS ? &agent->pairs[agent->n++] : pair_replace(agent);

	*pair = (struct pair){ .remote = *remote, .component = component, .priority = priority };
	return pair;
}

bool agent_knows(const struct agent *agent, const union net_addr *from)
{
	for (unsigned i = 0; i < agent->n; i++) {
		if (agent->pairs[i].proved && net_addr_same(&agent->pairs[i].remote, from))
			return true;
	}
	return false;
}

bool agent_is_ready(const struct agent *agent)
{
	return agent->selected[0] != NULL;
}

static void use(struct agent *agent, struct relay *relay, struct stream *stream, struct pair *pair)
{
	struct relay_ev ev = { .type = REV_LATCHED, .id = stream->id, .lease = stream->lease };

	agent->selected[pair->component - 1] = pair;
	if (pair->component == 2) {
		stream->rtcp_dst = pair->remote;
		stream->rtcp_latched = true;
		return;
	}
	path_disconnect(stream->slot);
	stream->slot->keep_unconnected = true;
	stream->src = stream->dst = pair->remote;
	stream->local = pair->local;
	stream->rank = UINT8_MAX;
	stream->locked = true;
	net_addr_to_wire(&ev.u.addr, &pair->remote);
	relay_event(relay, &ev, true);
}

/*
 * Nominated beats proved; among equals the higher priority counts, unless the pair in use is no more
 * checked, as when a browser has changed its network.
 */
static void consider(struct agent *agent, struct relay *relay, struct stream *stream,
		     struct pair *pair)
{
	struct pair *now = agent->selected[pair->component - 1];

	if (now == pair)
		return;
	if (now && now->nominated &&
	    (!pair->nominated || (pair->priority < now->priority &&
				  relay->now_us - now->heard_us < STALE_US)))
		return;
	if (now && !now->nominated && !pair->nominated)
		return;
	use(agent, relay, stream, pair);
}

/* ------------------------------------------------------------------ sending */

static const struct sock *sock_of(const struct stream *stream, uint8_t component)
{
	return component == 2 ? &stream->slot->rtcp : &stream->slot->rtp;
}

static void answer(struct relay *relay, const struct sock *sock, const union net_addr *to,
		   const union net_addr *local, const struct binding_write *msg)
{
	uint8_t buf[BINDING_BYTES];

	path_send_raw(relay, sock, to, local, buf, binding_write(buf, msg));
}

static void check(struct agent *agent, struct relay *relay, struct stream *stream, struct pair *pair)
{
	char username[MP_MAX_UFRAG * 2];
	struct binding_write msg = { .class = BINDING_REQUEST,
				     .tid = pair->tid,
				     .username = username,
				     .priority = PRIORITY_PRFLX + 1 - pair->component,
				     .controlling = agent->controlling,
				     .use_candidate = pair->nominates && agent->controlling,
				     .tie_breaker = agent->tie_breaker,
				     .password = agent->said.remote_pwd };

	if (!pair->tries) {
		(void)RAND_bytes(pair->tid, sizeof(pair->tid));
		pair->sent_us = relay->now_us;
	}
	(void)snprintf(username, sizeof(username), "%s:%s", agent->said.remote_ufrag,
		       agent->said.ufrag);
	pair->due_us = relay->now_us + ((uint64_t)CHECK_US << pair->tries);
	pair->tries++;
	answer(relay, sock_of(stream, pair->component), &pair->remote, &pair->local, &msg);
}

static void check_anew(struct agent *agent, struct relay *relay, struct stream *stream,
		       struct pair *pair)
{
	pair->tries = 0;
	if (pair->state != PAIR_ALIVE)
		pair->state = PAIR_CHECKING;
	check(agent, relay, stream, pair);
}

/* ------------------------------------------------------------------ receiving */

static bool is_ours(const struct binding *msg, const char *ufrag)
{
	size_t len = strlen(ufrag);

	return len && msg->username_len > len && msg->username[len] == ':' &&
	       !memcmp(msg->username, ufrag, len);
}

/* RFC 8445 section 7.3.1.1. Returns 487 when the other side has to change. */
static uint16_t settle_role(struct agent *agent, const struct binding *msg)
{
	if (!(agent->said.flags & MP_ICE_LITE_REMOTE))
		return msg->is_controlled ? 487 : 0; /* as a lite agent we never control */
	if (agent->controlling && msg->is_controlling) {
		if (agent->tie_breaker >= msg->tie_breaker)
			return 487;
		agent->controlling = false;
	} else if (!agent->controlling && msg->is_controlled) {
		if (agent->tie_breaker < msg->tie_breaker)
			return 487;
		agent->controlling = true;
	}
	return 0;
}

static void on_request(struct agent *agent, struct relay *relay, struct stream *stream,
		       const struct sock *sock, struct msghdr *msg, const struct binding *request,
		       const uint8_t *data)
{
	const union net_addr *from = msg->msg_name;
	const uint8_t component = sock->is_rtcp ? 2 : 1;
	struct binding_write reply = { .class = BINDING_ERROR, .tid = request->tid };
	const char *pwd = NULL;
	union net_addr local;
	struct pair *pair;

	path_local(&local, msg);
	if (is_ours(request, agent->said.ufrag))
		pwd = agent->said.pwd;
	else if (is_ours(request, agent->old_ufrag))
		pwd = agent->old_pwd;

	if (!request->integrity_at || !request->username)
		reply.error = 400;
	else if (!pwd || !binding_is_from(request, data, pwd))
		reply.error = 401;
	if (!reply.error) {
		reply.password = pwd;
		reply.error = settle_role(agent, request);
	}
	if (reply.error) {
		answer(relay, sock, from, &local, &reply);
		return;
	}

	pair = pair_find(agent, from, component);
	if (!pair)
		pair = pair_add(agent, from, component, request->priority);
	pair->local = local;
	pair->proved = true;
	pair->heard_us = relay->now_us;
	if (request->priority)
		pair->priority = request->priority;
	if (request->use_candidate && !agent->controlling)
		pair->nominated = true;

	reply.class = BINDING_SUCCESS;
	reply.mapped = from;
	answer(relay, sock, from, &local, &reply);
	consider(agent, relay, stream, pair);
}

static void nominate(struct agent *agent, struct relay *relay, struct stream *stream,
		     uint8_t component);

static void on_response(struct agent *agent, struct relay *relay, struct stream *stream,
			struct msghdr *msg, const struct binding *response, const uint8_t *data)
{
	struct pair *pair = NULL;

	for (unsigned i = 0; i < agent->n && !pair; i++) {
		if (agent->pairs[i].tries &&
		    !memcmp(agent->pairs[i].tid, response->tid, BINDING_TID))
			pair = &agent->pairs[i];
	}
	if (!pair || !net_addr_same(&pair->remote, msg->msg_name) ||
	    !binding_is_from(response, data, agent->said.remote_pwd))
		return;

	if (response->class == BINDING_ERROR) {
		if (response->error == 487) {
			agent->controlling = !agent->controlling;
			check_anew(agent, relay, stream, pair);
		}
		return;
	}
	path_local(&pair->local, msg);
	pair->state = PAIR_ALIVE;
	pair->proved = true;
	pair->heard_us = relay->now_us;
	pair->tries = 0;
	if (pair->nominates)
		pair->nominated = true;
	consider(agent, relay, stream, pair);
	nominate(agent, relay, stream, pair->component);
}

void agent_receive(struct agent *agent, struct relay *relay, struct stream *stream,
		   const struct sock *sock, struct msghdr *msg, const uint8_t *data, size_t len)
{
	struct binding binding;

	/* Who sends an attribute that nobody knows goes unanswered: no ICE agent does. */
	if (binding_parse(&binding, data, len))
		return;
	if (binding.class == BINDING_REQUEST)
		on_request(agent, relay, stream, sock, msg, &binding, data);
	else if (binding.class != BINDING_INDICATION)
		on_response(agent, relay, stream, msg, &binding, data);
}

/* ------------------------------------------------------------------ checks of our own */

static bool checks(const struct agent *agent)
{
	return (agent->said.flags & MP_ICE_LITE_REMOTE) && agent->said.remote_pwd[0] &&
	       agent->said.remote_ufrag[0];
}

/* The best pair that answered is nominated, when no better one can still come. */
static void nominate(struct agent *agent, struct relay *relay, struct stream *stream,
		     uint8_t component)
{
	struct pair *best = NULL, *hope = NULL;

	for (unsigned i = 0; i < agent->n; i++) {
		struct pair *pair = &agent->pairs[i];

		if (pair->component != component)
			continue;
		if (pair->nominates && pair->state != PAIR_FAILED)
			return;
		if (pair->state == PAIR_ALIVE && (!best || pair->priority > best->priority))
			best = pair;
		if (pair->state < PAIR_ALIVE && (!hope || pair->priority > hope->priority))
			hope = pair;
	}
	if (!best || !agent->controlling ||
	    (hope && hope->priority > best->priority &&
	     relay->now_us - agent->started_us < NOMINATE_US))
		return;
	best->nominates = true;
	check_anew(agent, relay, stream, best);
}

static void go_on(struct agent *agent, struct relay *relay, struct stream *stream, struct pair *pair)
{
	if (pair->tries && relay->now_us >= pair->due_us) {
		if (pair->tries < CHECK_TRIES) {
			check(agent, relay, stream, pair);
		} else {
			pair->tries = 0;
			if (pair->state == PAIR_CHECKING)
				pair->state = PAIR_FAILED;
		}
	} else if (!pair->tries && pair->nominated &&
		   relay->now_us - pair->sent_us >= CONSENT_US) {
		check_anew(agent, relay, stream, pair);
	}
}

/* New pairs one after the other, the most wanted first. */
static void begin_next(struct agent *agent, struct relay *relay, struct stream *stream)
{
	struct pair *best = NULL;

	if (relay->now_us < agent->next_us)
		return;
	for (unsigned i = 0; i < agent->n; i++) {
		struct pair *pair = &agent->pairs[i];

		if (pair->state == PAIR_WAITING && (!best || pair->priority > best->priority))
			best = pair;
	}
	if (!best)
		return;
	agent->next_us = relay->now_us + PACE_US;
	check_anew(agent, relay, stream, best);
}

bool agent_is_busy(const struct agent *agent)
{
	if (!checks(agent) || agent->gave_up)
		return false;
	for (unsigned i = 0; i < agent->n; i++) {
		if (agent->pairs[i].state == PAIR_WAITING || agent->pairs[i].tries)
			return true;
	}
	return agent->n && !agent->selected[0]; /* or a nomination is still to come */
}

static bool all_failed(const struct agent *agent)
{
	bool any = false;

	for (unsigned i = 0; i < agent->n; i++) {
		if (agent->pairs[i].component != 1)
			continue;
		if (agent->pairs[i].state != PAIR_FAILED)
			return false;
		any = true;
	}
	return any;
}

int agent_tick(struct agent *agent, struct relay *relay, struct stream *stream)
{
	struct pair *rtp = agent->selected[0];

	if (!checks(agent) || agent->gave_up)
		return 0;

	begin_next(agent, relay, stream);
	for (unsigned i = 0; i < agent->n; i++)
		go_on(agent, relay, stream, &agent->pairs[i]);
	nominate(agent, relay, stream, 1);
	nominate(agent, relay, stream, 2);

	if (rtp && relay->now_us - rtp->heard_us >= CONSENT_LOST_US) {
		memset(&stream->dst, 0, sizeof(stream->dst)); /* nobody may be sent to any more */
		agent->gave_up = true;
		return -ETIMEDOUT;
	}
	if (!rtp && all_failed(agent)) {
		agent->gave_up = true;
		return -EHOSTUNREACH;
	}
	return 0;
}

/* ------------------------------------------------------------------ commands */

/* What was nominated before a restart is used until something new is. */
static void restart(struct agent *agent, uint64_t now_us)
{
	memcpy(agent->old_ufrag, agent->said.ufrag, sizeof(agent->old_ufrag));
	memcpy(agent->old_pwd, agent->said.pwd, sizeof(agent->old_pwd));
	for (unsigned i = 0; i < agent->n; i++) {
		agent->pairs[i].nominated = agent->pairs[i].nominates = false;
		agent->pairs[i].state = PAIR_FAILED;
		agent->pairs[i].tries = 0;
	}
	agent->started_us = now_us;
	agent->gave_up = false;
}

int agent_set(struct agent **ret, struct relay *relay, struct stream *stream,
	      const struct mp_ice *msg)
{
	struct agent *agent = *ret;

	if (!agent) {
		agent = calloc(1, sizeof(*agent));
		if (!agent)
			return -ENOMEM;
		(void)RAND_bytes((uint8_t *)&agent->tie_breaker, sizeof(agent->tie_breaker));
		agent->controlling = msg->flags & MP_ICE_CONTROLLING;
		agent->started_us = relay->now_us;
		path_forget_remote(stream);
		*ret = agent;
	} else if (strcmp(agent->said.remote_ufrag, msg->remote_ufrag) ||
		   strcmp(agent->said.ufrag, msg->ufrag)) {
		restart(agent, relay->now_us);
	}
	agent->said = *msg;
	return 0;
}

void agent_candidate(struct agent *agent, struct relay *relay, struct stream *stream,
		     const struct mp_candidate *msg)
{
	union net_addr addr;
	struct pair *pair;

	net_addr_from_wire(&addr, &msg->addr);
	if (!net_addr_isset(&addr) || (addr.sa.sa_family == AF_INET6) != stream->slot->ipv6)
		return;
	pair = pair_find(agent, &addr, msg->component);
	if (pair && pair->state == PAIR_FAILED)
		pair->state = PAIR_WAITING; /* after a restart */
	/* A lite agent has no use for what it does not check itself: checks will name their source. */
	if (!pair && checks(agent) && agent->n < AGENT_PAIRS)
		(void)pair_add(agent, &addr, msg->component, msg->priority);
}

void agent_free(struct agent *agent)
{
	if (agent)
		OPENSSL_cleanse(agent, sizeof(*agent));
	free(agent);
}
