/* SPDX-License-Identifier: Apache-2.0 */
#include "media/relay.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "media/audio.h"
#include "media/bundle.h"
#include "media/play.h"
#include "media/record.h"
#include "media/room.h"
#include "media/secure.h"
#include "media/wire.h"

#define TICK_CATCH_UP 5 /* ticks made good when the thread was kept from running */

/* ------------------------------------------------------------------ queues */

static int cmd_push(struct cmd_queue *queue, const struct relay_cmd *cmd)
{
	if (queue->n == queue->cap) {
		size_t cap = queue->cap ? 2 * queue->cap : 256;
		struct relay_cmd *v = realloc(queue->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		queue->v = v;
		queue->cap = cap;
	}
	queue->v[queue->n++] = *cmd;
	return 0;
}

static int ev_push(struct ev_queue *queue, const struct relay_ev *ev, size_t n)
{
	if (queue->n + n > queue->cap) {
		size_t cap = queue->cap ? queue->cap : 256;
		struct relay_ev *v;

		while (cap < queue->n + n)
			cap *= 2;
		v = realloc(queue->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		queue->v = v;
		queue->cap = cap;
	}
	memcpy(queue->v + queue->n, ev, n * sizeof(*ev));
	queue->n += n;
	return 0;
}

static void wake(int fd)
{
	uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one)); /* only fails when it is awake 2^64 times already */
}

void relay_post(struct relay *relay, const struct relay_cmd *cmd, bool must_wake)
{
	pthread_mutex_lock(&relay->lock);
	while (cmd_push(&relay->cmds, cmd)) {
		/* A command may not be lost. The thread empties the queue, which then has room. */
		pthread_mutex_unlock(&relay->lock);
		atomic_store_explicit(&relay->cmds_waiting, true, memory_order_release);
		wake(relay->wake_fd);
		usleep(1000);
		pthread_mutex_lock(&relay->lock);
	}
	pthread_mutex_unlock(&relay->lock);

	atomic_store_explicit(&relay->cmds_waiting, true, memory_order_release);
	relay->needs_wake |= must_wake;
}

void relay_sounds_ready(struct relay *relay)
{
	atomic_store_explicit(&relay->sounds_ready, true, memory_order_release);
	wake(relay->wake_fd);
}

void relay_wake(struct relay *relay)
{
	if (relay->needs_wake)
		wake(relay->wake_fd);
	relay->needs_wake = false;
}

void relay_post_wait(struct relay *relay, struct relay_cmd *cmd)
{
	sem_t done;

	sem_init(&done, 0, 0);
	cmd->done = &done;
	relay_post(relay, cmd, true);
	relay_wake(relay);
	while (sem_wait(&done) && errno == EINTR)
		;
	sem_destroy(&done);
}

size_t relay_take_events(struct relay *relay, struct relay_ev **ret)
{
	size_t n;

	*ret = NULL;
	if (!atomic_exchange_explicit(&relay->evs_waiting, false, memory_order_acquire))
		return 0;

	pthread_mutex_lock(&relay->lock);
	n = relay->evs.n;
	*ret = relay->evs.v;
	relay->evs = (struct ev_queue){ 0 };
	pthread_mutex_unlock(&relay->lock);
	return n;
}

void relay_event(struct relay *relay, const struct relay_ev *ev, bool urgent)
{
	/* Out of memory loses a report, never a packet; a closed stream then stays allocated. */
	(void)ev_push(&relay->evs_work, ev, 1);
	relay->wake_control |= urgent;
}

void *relay_tell(struct relay *relay, const struct stream *stream, uint16_t type, bool urgent)
{
	struct relay_ev ev = { .type = REV_MESSAGE, .id = stream->id, .lease = stream->lease };
	uint16_t size = wire_size(type);

	ev.msg = calloc(1, size);
	if (!ev.msg)
		return NULL;
	if (ev_push(&relay->evs_work, &ev, 1)) {
		free(ev.msg);
		return NULL;
	}
	ev.msg->type = type;
	ev.msg->size = size;
	ev.msg->stream = stream->id;
	relay->wake_control |= urgent;
	return ev.msg;
}

static void give_events(struct relay *relay)
{
	int err;

	if (!relay->evs_work.n)
		return;

	pthread_mutex_lock(&relay->lock);
	err = ev_push(&relay->evs, relay->evs_work.v, relay->evs_work.n);
	pthread_mutex_unlock(&relay->lock);
	if (err)
		return; /* again next turn */

	relay->evs_work.n = 0;
	atomic_store_explicit(&relay->evs_waiting, true, memory_order_release);
	if (relay->wake_control)
		wake(relay->control_fd);
	relay->wake_control = false;
}

/* ------------------------------------------------------------------ streams of the thread */

static void tick_arm(struct relay *relay, bool on)
{
	struct itimerspec spec = { 0 };

	if (relay->ticking == on)
		return;
	if (on)
		spec.it_interval.tv_nsec = spec.it_value.tv_nsec = RELAY_TICK_MS * 1000000;
	relay->ticking = timerfd_settime(relay->timer_fd, 0, &spec, NULL) ? relay->ticking : on;
}

void relay_tick_need(struct relay *relay)
{
	tick_arm(relay, relay->gens || relay->audios || relay->rooms || relay->recorders);
}

void relay_gen_add(struct relay *relay, struct stream *stream)
{
	if (stream->in_gen)
		return;
	stream->in_gen = true;
	stream->gen_prev = NULL;
	stream->gen_next = relay->gens;
	if (relay->gens)
		relay->gens->gen_prev = stream;
	relay->gens = stream;
	relay_tick_need(relay);
}

void relay_gen_remove(struct relay *relay, struct stream *stream)
{
	if (!stream->in_gen)
		return;
	stream->in_gen = false;
	if (stream->gen_prev)
		stream->gen_prev->gen_next = stream->gen_next;
	else
		relay->gens = stream->gen_next;
	if (stream->gen_next)
		stream->gen_next->gen_prev = stream->gen_prev;
	relay_tick_need(relay);
}

void relay_due(struct relay *relay, uint64_t at_us)
{
	if (at_us < relay->house_at_us)
		relay->house_at_us = at_us;
}

void relay_pace(struct relay *relay, struct stream *stream, bool on)
{
	if (stream->paced == on)
		return;
	stream->paced = on;
	if (on) {
		stream->pace_prev = NULL;
		stream->pace_next = relay->paces;
		if (relay->paces)
			relay->paces->pace_prev = stream;
		relay->paces = stream;
		return;
	}
	if (stream->pace_prev)
		stream->pace_prev->pace_next = stream->pace_next;
	else
		relay->paces = stream->pace_next;
	if (stream->pace_next)
		stream->pace_next->pace_prev = stream->pace_prev;
}

static void unbridge(struct relay *relay, struct stream *stream)
{
	if (stream->peer) {
		/* A key that is pressed there can no longer be heard to be let go. */
		digits_release(stream->peer, 0);
		digits_release(stream, 0);
		audio_unbridge(relay, stream);
		stream->peer->peer = NULL;
	}
	stream->peer = NULL;
}

static void list_in(struct relay *relay, struct stream *stream)
{
	stream->prev = NULL;
	stream->next = relay->streams;
	if (relay->streams)
		relay->streams->prev = stream;
	relay->streams = stream;
	if (play_wants_tick(stream) || stream->digits.active)
		relay_gen_add(relay, stream);
	audio_enter(relay, stream);
	listen_enter(relay, stream);
	if (stream->secure && stream->wire == stream)
		relay_pace(relay, stream, secure_is_busy(stream));
}

static void list_out(struct relay *relay, struct stream *stream)
{
	relay_gen_remove(relay, stream);
	relay_pace(relay, stream, false);
	relay_rest(relay, stream, REST_NONE);
	room_leave(relay, stream);
	unbridge(relay, stream);
	listen_leave(relay, stream);
	audio_leave(relay, stream);
	if (stream->prev)
		stream->prev->next = stream->next;
	else
		relay->streams = stream->next;
	if (stream->next)
		stream->next->prev = stream->prev;
}

/* ------------------------------------------------------------------ slots */

static void slot_watch(struct relay *relay, struct slot *slot, int op)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	/* Cannot fail: the sockets are open, and epoll's watches are not counted against us. */
	ev.data.ptr = &slot->rtp;
	(void)epoll_ctl(relay->epoll_fd, op, slot->rtp.fd, &ev);
	ev.data.ptr = &slot->rtcp;
	(void)epoll_ctl(relay->epoll_fd, op, slot->rtcp.fd, &ev);
}

/*
 * What the socket holds when it is watched again is told at once: nothing is lost on the way. As long as one
 * socket of the machine wants stamps the kernel reads the clock for each packet of all: only who is heard does.
 */
static void slot_rest(struct relay *relay, struct slot *slot, enum rest rest)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.ptr = &slot->rtp };
	const int stamps = rest == REST_HEARD;

	if (!rest || !slot->resting)
		(void)epoll_ctl(relay->epoll_fd, rest ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, slot->rtp.fd, &ev);
	/* Without its time a packet counts as having come when it is read: more jitter is told, no more. */
	if (stamps != (slot->resting == REST_HEARD))
		(void)setsockopt(slot->rtp.fd, SOL_SOCKET, SO_TIMESTAMPNS, &stamps, sizeof(stamps));
	slot->resting = (uint8_t)rest;
}

void relay_rest(struct relay *relay, struct stream *stream, enum rest rest)
{
	if (!stream->slot)
		return;
	if (!stream->locked || stream->ice || stream->bundle || stream->wire != stream ||
	    stream->flags & MP_REMOTE_RAW)
		rest = REST_NONE;
	if (stream->slot->resting != rest)
		slot_rest(relay, stream->slot, rest);
}

static void slot_tos(struct slot *slot, uint8_t tos)
{
	int value = tos;

	if (slot->tos == tos)
		return;
	slot->tos = tos;
	/* Marking is best effort: a kernel that refuses it still relays. */
	(void)setsockopt(slot->rtp.fd, slot->ipv6 ? IPPROTO_IPV6 : IPPROTO_IP,
			 slot->ipv6 ? IPV6_TCLASS : IP_TOS, &value, sizeof(value));
}

void relay_slot_begin(struct relay *relay, struct slot *slot, struct stream *stream)
{
	if (slot->muted) {
		path_drain(relay, &slot->rtp);
		path_drain(relay, &slot->rtcp);
		slot_watch(relay, slot, EPOLL_CTL_MOD);
	}
	slot->muted = false;
	slot->strays = 0;
	slot->stream = stream;
	slot_tos(slot, stream->tos);
}

/* ------------------------------------------------------------------ commands */

static bool may_be_silent_too_long(const struct stream *stream)
{
	return stream->timeout_ms && !stream->timed_out && stream->flags & MP_REMOTE_RECV;
}

/* When it will have been. */
static void silence_due(struct relay *relay, const struct stream *stream)
{
	if (may_be_silent_too_long(stream))
		relay_due(relay, stream->heard_at_us + stream->timeout_ms * 1000ull);
}

static void on_open(struct relay *relay, const struct relay_cmd *cmd)
{
	cmd->stream->heard_at_us = relay->now_us;
	list_in(relay, cmd->stream);
	if (cmd->stream->slot)
		relay_slot_begin(relay, cmd->stream->slot, cmd->stream);
	else if (room_open(relay, cmd->stream))
		log_error("media.room.memory", "a room cannot be made: out of memory");
}

void relay_tell_closed(struct relay *relay, struct stream *stream)
{
	struct relay_ev ev = { .type = REV_CLOSED, .stream = stream };

	stream_stats(stream, &ev.u.stats);
	relay_event(relay, &ev, stream->want_stats);
}

static void on_close(struct relay *relay, const struct relay_cmd *cmd)
{
	struct stream *stream = cmd->stream;
	bool is_recorded;

	stream->closing = true;
	is_recorded = record_close(relay, stream);
	report_bye(relay, stream);
	bundle_leave(relay, stream);
	list_out(relay, stream);
	play_close(stream);
	listen_close(stream);
	audio_close(stream);
	if (stream->slot) {
		path_disconnect(stream->slot);
		stream->slot->stream = NULL;
		stream->slot->strays = 0;
	}
	secure_free(stream);
	census_end(&relay->ended, stream);
	room_close(relay, stream);
	if (!is_recorded)
		relay_tell_closed(relay, stream);
}

static void on_remote(struct relay *relay, const struct relay_cmd *cmd)
{
	path_set_remote(relay, cmd->stream, &cmd->u.remote);
	silence_due(relay, cmd->stream);
	if (cmd->stream->secure)
		secure_tick(relay, cmd->stream->wire);
}

static void on_bridge(struct relay *relay, const struct relay_cmd *cmd)
{
	if (cmd->stream->peer == cmd->other)
		return;
	unbridge(relay, cmd->stream);
	unbridge(relay, cmd->other);
	room_leave(relay, cmd->stream);
	room_leave(relay, cmd->other);
	cmd->stream->peer = cmd->other;
	cmd->other->peer = cmd->stream;
	audio_bridged(relay, cmd->stream);
	/* An echo: a phone that heard its own SSRC would take it for a loop (RFC 3550 section 8.2). */
	if (cmd->stream == cmd->other)
		out_start_own(&cmd->stream->out, relay->now_us);
}

static void on_unbridge(struct relay *relay, const struct relay_cmd *cmd)
{
	unbridge(relay, cmd->stream);
}

static void on_join(struct relay *relay, const struct relay_cmd *cmd)
{
	unbridge(relay, cmd->stream);
	if (!cmd->other->room || room_join(relay, cmd->stream, cmd->other, (const void *)cmd->msg))
		log_error("media.room.join", "a stream could not enter its room: out of memory");
	wire_forget(cmd->msg);
}

static void on_bundle(struct relay *relay, const struct relay_cmd *cmd)
{
	const struct mp_bundle *msg = (const void *)cmd->msg;

	if (!cmd->other)
		bundle_leave(relay, cmd->stream);
	else if (bundle_join(relay, cmd->stream, cmd->other, msg->payload_types))
		log_error("media.bundle", "a stream cannot share the transport of another: out of memory",
			  kv_int("stream", (int64_t)cmd->stream->id));
	wire_forget(cmd->msg);
}

static void on_music(struct relay *relay, const struct relay_cmd *cmd)
{
	play_music_start(relay, cmd->stream, cmd->u.music.moh_class);
}

static void on_music_stop(struct relay *relay, const struct relay_cmd *cmd)
{
	if (cmd->stream->music)
		cmd->stream->heard_at_us = relay->now_us; /* from now on it has to speak */
	play_music_stop(relay, cmd->stream);
}

static void on_dtmf(struct relay *relay, const struct relay_cmd *cmd)
{
	digits_send(relay, cmd->stream, cmd->u.digit.event, cmd->u.digit.duration_ms);
}

static void on_message(struct relay *relay, const struct relay_cmd *cmd)
{
	relay_verbs[cmd->msg->type](relay, cmd->stream, cmd->msg);
	if (cmd->stream->secure)
		relay_due(relay, relay->now_us + RELAY_HOUSE_MS * 1000);
	wire_forget(cmd->msg);
}

static void on_stats(struct relay *relay, const struct relay_cmd *cmd)
{
	struct relay_ev ev = { .type = REV_STATS, .id = cmd->stream->id, .lease = cmd->stream->lease };

	stream_stats(cmd->stream, &ev.u.stats);
	relay_event(relay, &ev, true);
}

static void on_detach(struct relay *relay, const struct relay_cmd *cmd)
{
	list_out(relay, cmd->stream);
	record_detach(relay, cmd->stream);
	slot_watch(relay, cmd->stream->slot, EPOLL_CTL_DEL);
	cmd->stream->slot->away = true;
}

static void on_attach(struct relay *relay, const struct relay_cmd *cmd)
{
	list_in(relay, cmd->stream);
	relay_due(relay, relay->now_us + RELAY_HOUSE_MS * 1000);
	record_attach(relay, cmd->stream);
	cmd->stream->slot->away = false;
	/* A packet that came meanwhile is reported at once by the new watch. */
	slot_watch(relay, cmd->stream->slot, EPOLL_CTL_ADD);
}

static void on_slot_add(struct relay *relay, const struct relay_cmd *cmd)
{
	cmd->slot->away = false;
	slot_watch(relay, cmd->slot, EPOLL_CTL_ADD);
}

static void on_slot_remove(struct relay *relay, const struct relay_cmd *cmd)
{
	slot_watch(relay, cmd->slot, EPOLL_CTL_DEL);
	cmd->slot->muted = false;
	cmd->slot->away = true;
}

static void on_sync(struct relay *relay, const struct relay_cmd *cmd)
{
}

static void on_census(struct relay *relay, const struct relay_cmd *cmd)
{
	for (const struct stream *s = relay->streams; s; s = s->next)
		census_add(cmd->census, s, relay->index);
	census_sum(cmd->census, &relay->ended);
}

static void on_stop(struct relay *relay, const struct relay_cmd *cmd)
{
	relay->stop = true;
}

static void (*const cmd_table[])(struct relay *relay, const struct relay_cmd *cmd) = {
	[RCMD_OPEN] = on_open,		 [RCMD_CLOSE] = on_close,
	[RCMD_REMOTE] = on_remote,	 [RCMD_BRIDGE] = on_bridge,
	[RCMD_UNBRIDGE] = on_unbridge,	 [RCMD_MUSIC] = on_music,
	[RCMD_MUSIC_STOP] = on_music_stop, [RCMD_DTMF] = on_dtmf,
	[RCMD_STATS] = on_stats,	 [RCMD_DETACH] = on_detach,
	[RCMD_ATTACH] = on_attach,	 [RCMD_SLOT_ADD] = on_slot_add,
	[RCMD_SLOT_REMOVE] = on_slot_remove, [RCMD_SYNC] = on_sync,
	[RCMD_CENSUS] = on_census,
	[RCMD_STOP] = on_stop,		 [RCMD_MESSAGE] = on_message,
	[RCMD_JOIN] = on_join,		 [RCMD_BUNDLE] = on_bundle,
};

static void run_commands(struct relay *relay)
{
	struct cmd_queue work;

	if (!atomic_exchange_explicit(&relay->cmds_waiting, false, memory_order_acquire))
		return;

	pthread_mutex_lock(&relay->lock);
	work = relay->cmds;
	relay->cmds = relay->cmds_work;
	pthread_mutex_unlock(&relay->lock);

	for (size_t i = 0; i < work.n; i++) {
		cmd_table[work.v[i].type](relay, &work.v[i]);
		if (work.v[i].done)
			relay->done = work.v[i].done; /* one waits at a time: the control thread */
	}
	work.n = 0;
	relay->cmds_work = work;
}

/* ------------------------------------------------------------------ the loop */

/* Each duty says when it is due next, so that a thread whose packets rest wakes no oftener than that. */
static void housekeeping(struct relay *relay)
{
	const uint64_t soonest_us = relay->now_us + RELAY_HOUSE_MS * 1000;

	relay->house_at_us = relay->now_us + RELAY_IDLE_MS * 1000;
	for (struct stream *s = relay->streams; s; s = s->next) {
		struct relay_ev ev = { .type = REV_TIMEOUT, .id = s->id, .lease = s->lease };

		if (s->secure && s->wire == s)
			secure_tick(relay, s);
		listen_stale(relay, s);
		report_due(relay, s);
		if (s->music)
			s->heard_at_us = relay->now_us; /* who is held need not speak */
		silence_due(relay, s);
		if (!may_be_silent_too_long(s) ||
		    relay->now_us - s->heard_at_us < s->timeout_ms * 1000ull)
			continue;
		s->timed_out = true;
		relay_event(relay, &ev, true);
	}
	if (relay->house_at_us < soonest_us)
		relay->house_at_us = soonest_us;
}

/* Commands that do not wake us are about streams that we have; the first one of a thread does. */
static int idle_ms(const struct relay *relay)
{
	if (relay->paces)
		return RELAY_PACE_MS;
	if (!relay->streams)
		return -1;
	return relay->house_at_us > relay->now_us ?
		       (int)((relay->house_at_us - relay->now_us + 999) / 1000) : 0;
}

/* Nothing is done for those that are connected. */
static void pace(struct relay *relay)
{
	struct stream *next;

	relay->pace_at_us = relay->now_us + RELAY_PACE_MS * 1000;
	for (struct stream *s = relay->paces; s; s = next) {
		next = s->pace_next; /* it may be through with it now */
		secure_tick(relay, s);
	}
}

static void publish(struct relay *relay)
{
	const struct relay_local *local = &relay->local;

	atomic_store_explicit(&relay->counters.rx_packets, local->rx_packets, memory_order_relaxed);
	atomic_store_explicit(&relay->counters.tx_packets, local->tx_packets, memory_order_relaxed);
	atomic_store_explicit(&relay->counters.dropped, local->dropped, memory_order_relaxed);
	atomic_store_explicit(&relay->counters.turns, local->turns, memory_order_relaxed);
}

/* What came since the last tick and could wait: thousands of packets, and one wake for all of them. */
static void read_rested(struct relay *relay)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts); /* the clock of SO_TIMESTAMPNS */
	relay->rest_skew_us = relay->now_us - (uint64_t)ts.tv_sec * 1000000 - (uint64_t)ts.tv_nsec / 1000;
	audio_tick_read(relay);
}

/* The order is that of media/audio.h. */
static void tick(struct relay *relay)
{
	read_rested(relay);
	audio_tick_hear(relay);
	listen_tick(relay);
	room_tick(relay);
	audio_tick_bridge(relay);
	generate_tick(relay);
	audio_tick_speak(relay);
	record_tick(relay);
	audio_tick_end(relay);
}

static uint64_t read_count(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void turn(struct relay *relay)
{
	struct epoll_event evs[RELAY_EVENTS];
	uint64_t ticks = 0;
	int n;

	n = epoll_wait(relay->epoll_fd, evs, RELAY_EVENTS, idle_ms(relay));
	relay->now_us = clk_mono_us();
	relay->local.turns++;
	run_commands(relay);

	for (int i = 0; i < n; i++) {
		if (evs[i].data.ptr == &relay->wake_fd)
			(void)read_count(relay->wake_fd);
		else if (evs[i].data.ptr == &relay->timer_fd)
			ticks = read_count(relay->timer_fd);
		else
			path_readable(relay, evs[i].data.ptr);
	}
	if (atomic_exchange_explicit(&relay->sounds_ready, false, memory_order_acquire))
		play_ready(relay);
	for (uint64_t i = 0; i < ticks && i < TICK_CATCH_UP; i++)
		tick(relay);
	if (relay->n_ending)
		record_collect(relay);
	if (relay->paces && relay->now_us >= relay->pace_at_us)
		pace(relay);
	if (relay->now_us >= relay->house_at_us)
		housekeeping(relay);

	publish(relay);
	give_events(relay);

	/* Only now is nothing of this turn's epoll events left that could name what was handed over. */
	if (relay->done)
		sem_post(relay->done);
	relay->done = NULL;
}

/* sched_setattr(2), first version: glibc of Debian 12 does not have it, and linux/sched/types.h cannot be
 * included beside its sched.h. */
struct sched_wish {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

/*
 * Voice before everything else of this machine, where that is allowed to us (RLIMIT_NICE, CAP_SYS_NICE).
 * A short slice is allowed to everybody: from Linux 6.12 on, who asks for a shorter one than the running
 * thread's does not wait for that one's end.
 */
static void be_prompt(void)
{
	const struct sched_wish wish = { .size = sizeof(wish), .policy = SCHED_OTHER,
					 .runtime_ns = RELAY_SLICE_NS };

	(void)syscall(SYS_sched_setattr, 0, &wish, 0);
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), RELAY_NICE);
}

static void *thread_main(void *arg)
{
	struct relay *relay = arg;

	char name[16];

	/* By the thread itself: for another one glibc writes a file, which the sandbox forbids. */
	(void)snprintf(name, sizeof(name), "relay%u", relay->index);
	(void)pthread_setname_np(pthread_self(), name);
	be_prompt();
	while (!relay->stop)
		turn(relay);
	return NULL;
}

static int watch(struct relay *relay, int *fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = fd };

	return epoll_ctl(relay->epoll_fd, EPOLL_CTL_ADD, *fd, &ev) ? -errno : 0;
}

static void relay_free(struct relay *relay)
{
	if (relay->epoll_fd >= 0)
		close(relay->epoll_fd);
	if (relay->timer_fd >= 0)
		close(relay->timer_fd);
	if (relay->wake_fd >= 0)
		close(relay->wake_fd);
	free(relay->cmds.v);
	free(relay->cmds_work.v);
	free(relay->evs.v);
	free(relay->evs_work.v);
	pthread_mutex_destroy(&relay->lock);
	free(relay);
}

int relay_start(struct relay **ret, unsigned index, int control_fd, struct sounds *sounds,
		struct music *music)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	int err;

	if (!relay)
		return -ENOMEM;

	pthread_mutex_init(&relay->lock, NULL);
	relay->index = index;
	relay->control_fd = control_fd;
	relay->sounds = sounds;
	relay->music = music;
	relay->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	relay->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	relay->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (int i = 0; i < RELAY_BATCH; i++) {
		relay->in_iov[i] = (struct iovec){ .iov_base = relay->in_data[i],
						   .iov_len = sizeof(relay->in_data[i]) };
		relay->in[i].msg_hdr.msg_iov = &relay->in_iov[i];
		relay->in[i].msg_hdr.msg_iovlen = 1;
		relay->in[i].msg_hdr.msg_name = &relay->in_from[i];
	}

	err = relay->epoll_fd < 0 || relay->timer_fd < 0 || relay->wake_fd < 0 ? -errno : 0;
	if (!err)
		err = watch(relay, &relay->wake_fd);
	if (!err)
		err = watch(relay, &relay->timer_fd);
	if (!err)
		err = -pthread_create(&relay->thread, NULL, thread_main, relay);
	if (err) {
		relay_free(relay);
		return err;
	}
	relay->running = true;
	*ret = relay;
	return 0;
}

void relay_stop(struct relay *relay)
{
	if (!relay)
		return;
	relay_post(relay, &(struct relay_cmd){ .type = RCMD_STOP }, true);
	relay_wake(relay);
	pthread_join(relay->thread, NULL);
	relay_free(relay);
}
