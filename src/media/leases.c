/* SPDX-License-Identifier: Apache-2.0 */
#include "media/control_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "media/dtls.h"

/* Leases, the streams they own, and what a switch may do with them. Control thread only. */

#define TOS_AUDIO 0xb8 /* EF, D-082 */
#define TOS_VIDEO 0x88 /* AF41 */
#define MAX_COMPANY 64
#define POOL_PRESS_MS 20 /* how often the relays are made to give closed streams back at once */

/* ------------------------------------------------------------------ the table */

static struct stream **bucket(struct control *control, uint64_t id)
{
	return &control->table[((id * 0x9e3779b97f4a7c15ull) >> 32) & (CONTROL_BUCKETS - 1)];
}

static struct stream *stream_find(struct control *control, uint64_t id)
{
	struct stream *stream = *bucket(control, id);

	while (stream && stream->id != id)
		stream = stream->hash_next;
	return stream;
}

static struct lease *lease_find(struct control *control, uint64_t id)
{
	for (int i = 0; i < CONTROL_MAX_LEASES; i++)
		if (control->leases[i] && control->leases[i]->id == id)
			return control->leases[i];
	return NULL;
}

static void table_in(struct control *control, struct lease *lease, struct stream *stream)
{
	struct stream **head = bucket(control, stream->id);

	stream->hash_next = *head;
	*head = stream;
	stream->lease_next = lease->streams;
	if (lease->streams)
		lease->streams->lease_prev = stream;
	lease->streams = stream;
	lease->n_streams++;
	control->n_streams++;
	stream->relay->n_streams++;
}

static void table_out(struct control *control, struct lease *lease, struct stream *stream)
{
	struct stream **at = bucket(control, stream->id);

	while (*at != stream)
		at = &(*at)->hash_next;
	*at = stream->hash_next;

	if (stream->lease_prev)
		stream->lease_prev->lease_next = stream->lease_next;
	else
		lease->streams = stream->lease_next;
	if (stream->lease_next)
		stream->lease_next->lease_prev = stream->lease_prev;
	lease->n_streams--;
	control->n_streams--;
	stream->relay->n_streams--;
}

static void bundle_out(struct stream *stream)
{
	struct stream *before = stream->bundled;

	while (before && before->bundled != stream)
		before = before->bundled;
	if (before)
		before->bundled = stream->bundled == before ? NULL : stream->bundled;
	stream->bundled = NULL;
}

static void bundle_in(struct stream *stream, struct stream *carrier)
{
	stream->bundled = carrier->bundled ? carrier->bundled : carrier;
	carrier->bundled = stream;
}

static void bridge_out(struct stream *stream)
{
	if (stream->bridged)
		stream->bridged->bridged = NULL;
	stream->bridged = NULL;
}

/* The relay lets go of it first; REV_CLOSED frees it. */
static void stream_close(struct control *control, struct lease *lease, struct stream *stream,
			 bool want_stats)
{
	table_out(control, lease, stream);
	bundle_out(stream);
	bridge_out(stream);
	stream->want_stats = want_stats;
	stream->closed_at_ms = control->now_ms;
	control->n_closing++;
	relay_post(stream->relay, &(struct relay_cmd){ .type = RCMD_CLOSE, .stream = stream },
		   want_stats);
}

/* ------------------------------------------------------------------ leases */

static struct lease *lease_new(struct control *control, uint64_t id)
{
	for (int i = 0; i < CONTROL_MAX_LEASES; i++) {
		if (control->leases[i])
			continue;
		control->leases[i] = calloc(1, sizeof(struct lease));
		if (control->leases[i])
			control->leases[i]->id = id;
		return control->leases[i];
	}
	return NULL;
}

static void lease_end(struct control *control, struct lease *lease)
{
	while (lease->streams)
		stream_close(control, lease, lease->streams, false);
	for (int i = 0; i < CONTROL_MAX_LEASES; i++)
		if (control->leases[i] == lease)
			control->leases[i] = NULL;
	free(lease);
}

void lease_hello(struct conn *conn, const struct mp_hello *hello)
{
	struct control *control = conn->control;
	bool known = hello->magic == MP_MAGIC && hello->version == MP_VERSION;
	struct mp_welcome *msg = conn_message(conn, MP_WELCOME, 0);
	struct lease *lease;

	if (!msg)
		return;
	msg->magic = MP_MAGIC;
	msg->version = MP_VERSION;
	msg->lease = hello->lease;
	msg->instance = control->instance;
	assoc_fingerprint(msg->fingerprint, control->identity);
	if (!known) {
		log_error("media.control.version",
			  "a switch of another version was refused; restart Aoide as a whole",
			  kv_int("ours", MP_VERSION), kv_int("theirs", hello->version));
		conn->dead = true;
		return;
	}

	lease = lease_find(control, hello->lease);
	if (!lease)
		lease = lease_new(control, hello->lease);
	if (!lease) {
		log_error("media.control.leases", "too many leases; a switch was refused",
			  kv_int("limit", CONTROL_MAX_LEASES));
		conn->dead = true;
		return;
	}
	if (lease->conn) {
		log_warn("media.control.takeover", "a newer switch took the lease over");
		lease->conn->lease = NULL;
		lease->conn->dead = true;
	}

	conn->lease = lease;
	lease->conn = conn;
	lease->deadline_ms = lease->streams ? control->now_ms + control->opts.lease_ms : 0;
	for (struct stream *s = lease->streams; s; s = s->lease_next)
		s->claimed = false;
	msg->streams = (uint32_t)lease->n_streams;
	log_info("media.control.hello", "a switch is connected",
		 kv_int("waiting_streams", lease->n_streams));
}

void lease_detach(struct conn *conn)
{
	struct control *control = conn->control;
	struct lease *lease = conn->lease;

	conn->lease = NULL;
	if (!lease)
		return;

	lease->conn = NULL;
	lease->deadline_ms = control->now_ms + control->opts.lease_ms;
	if (!lease->streams) {
		lease_end(control, lease);
		return;
	}
	log_warn("media.control.orphaned", "the switch is gone; its streams go on for the lease",
		 kv_int("streams", lease->n_streams), kv_int("lease_ms", control->opts.lease_ms));
}

static void end_unclaimed(struct control *control, struct lease *lease)
{
	struct stream *next;
	size_t n = 0;

	for (struct stream *s = lease->streams; s; s = next) {
		next = s->lease_next;
		if (s->claimed)
			continue;
		stream_close(control, lease, s, false);
		n++;
	}
	if (n)
		log_info("media.control.unclaimed", "streams that no switch adopted have ended",
			 kv_int("streams", n));
}

void lease_expire(struct control *control)
{
	for (int i = 0; i < CONTROL_MAX_LEASES; i++) {
		struct lease *lease = control->leases[i];

		if (!lease || !lease->deadline_ms || control->now_ms < lease->deadline_ms)
			continue;
		lease->deadline_ms = 0;
		if (lease->conn) {
			end_unclaimed(control, lease);
			continue;
		}
		log_warn("media.control.lease_over", "no switch came back; its streams have ended",
			 kv_int("streams", lease->n_streams));
		lease_end(control, lease);
	}
}

int lease_wait_ms(const struct control *control)
{
	uint64_t at_ms = UINT64_MAX;

	for (int i = 0; i < CONTROL_MAX_LEASES; i++) {
		const struct lease *lease = control->leases[i];

		if (lease && lease->deadline_ms && lease->deadline_ms < at_ms)
			at_ms = lease->deadline_ms;
	}
	if (at_ms == UINT64_MAX)
		return -1;
	return at_ms > control->now_ms ? (int)(at_ms - control->now_ms) : 0;
}

void lease_free_all(struct control *control)
{
	for (int i = 0; i < CONTROL_MAX_LEASES; i++)
		if (control->leases[i])
			lease_end(control, control->leases[i]);
}

/* ------------------------------------------------------------------ commands */

static void say_failed(struct conn *conn, uint64_t id, int err)
{
	struct mp_failed *msg = conn_message(conn, MP_FAILED, id);

	if (msg)
		msg->err = err;
}

static void say_ports(struct conn *conn, uint16_t type, const struct stream *stream)
{
	struct mp_opened *msg = conn_message(conn, type, stream->id);

	if (!msg)
		return;
	if (!stream->slot)
		return; /* a room */
	msg->rtp_port = stream->slot->port;
	msg->rtcp_port = stream->mux ? stream->slot->port : (uint16_t)(stream->slot->port + 1);
}

static struct relay *choose_relay(struct control *control, const struct stream *near)
{
	struct relay *best = control->relays[0];

	if (near)
		return near->relay;
	for (unsigned i = 1; i < control->n_relays; i++)
		if (control->relays[i]->n_streams < best->n_streams)
			best = control->relays[i];
	return best;
}

static int take_slot(struct slot **ret, struct control *control, struct relay *relay, bool ipv6)
{
	int err = pool_take(ret, control->pool, relay, ipv6);

	/* Closed streams wait in the relays for a convenient moment; now is one, but not each time. */
	if (err != -EADDRNOTAVAIL || !control->n_closing ||
	    control->now_ms - control->pressed_at_ms < POOL_PRESS_MS)
		return err;
	control->pressed_at_ms = control->now_ms;
	for (unsigned i = 0; i < control->n_relays; i++)
		relay_post_wait(control->relays[i], &(struct relay_cmd){ .type = RCMD_SYNC });
	control_take_events(control);
	return pool_take(ret, control->pool, relay, ipv6);
}

/* A thread without streams sleeps for good; one that has some soon looks for what did not wake it. */
static void post_open(struct stream *stream)
{
	relay_post(stream->relay, &(struct relay_cmd){ .type = RCMD_OPEN, .stream = stream },
		   stream->relay->n_streams == 1);
}

static int stream_open(struct stream **ret, struct conn *conn, const struct mp_open *msg)
{
	struct control *control = conn->control;
	struct stream *near = msg->near ? stream_find(control, msg->near) : NULL;
	struct stream *stream;
	struct slot *slot;
	int err;

	if (stream_find(control, msg->hdr.stream))
		return -EEXIST;

	stream = stream_line_alloc(sizeof(*stream));
	if (!stream)
		return -ENOMEM;

	stream->relay = choose_relay(control, near);
	err = take_slot(&slot, control, stream->relay, msg->flags & MP_OPEN_IPV6);
	if (err) {
		free(stream);
		return err;
	}

	stream->id = msg->hdr.stream;
	stream->lease = conn->lease->id;
	stream->wire = stream;
	stream->slot = slot;
	stream->video = msg->flags & MP_OPEN_VIDEO;
	stream->mux = msg->flags & MP_OPEN_MUX;
	stream->tos = msg->flags & MP_OPEN_TOS ? msg->tos : stream->video ? TOS_VIDEO : TOS_AUDIO;
	stream->timeout_ms = msg->timeout_ms;
	stream->clock_hz = stream->dtmf_hz = 8000;
	stream->dtmf_pt = stream->dtmf_pt_in = -1;
	stream->claimed = true;
	table_in(control, conn->lease, stream);
	post_open(stream);
	*ret = stream;
	return 0;
}

static void on_open(struct conn *conn, struct stream *none, const struct mp_hdr *hdr)
{
	struct control *control = conn->control;
	struct stream *stream;
	int err = stream_open(&stream, conn, (const void *)hdr);

	if (!err) {
		atomic_fetch_add_explicit(&control->status.opened, 1, memory_order_relaxed);
		say_ports(conn, MP_OPENED, stream);
		return;
	}

	if (!(atomic_fetch_add_explicit(&control->status.failed, 1, memory_order_relaxed) % 1000))
		log_error("media.control.open", err == -EADDRNOTAVAIL
			  ? "no RTP port is free: widen the range (--rtp-ports)"
			  : "a stream could not be opened", kv_err(err),
			  kv_int("first", control->opts.rtp_first),
			  kv_int("last", control->opts.rtp_last),
			  kv_int("streams", control->n_streams));
	say_failed(conn, hdr->stream, err);
}

/* A mixer: a stream that has no socket. */
static void on_room_open(struct conn *conn, struct stream *none, const struct mp_hdr *hdr)
{
	struct stream *stream;
	int err = stream_find(conn->control, hdr->stream) ? -EEXIST : 0;

	stream = err ? NULL : stream_line_alloc(sizeof(*stream));
	if (!stream) {
		say_failed(conn, hdr->stream, err ? err : -ENOMEM);
		return;
	}
	stream->id = hdr->stream;
	stream->wire = stream;
	stream->lease = conn->lease->id;
	stream->relay = choose_relay(conn->control, NULL);
	stream->room_hz = ((const struct mp_room_open *)hdr)->hz;
	stream->clock_hz = 8000;
	stream->dtmf_pt = stream->dtmf_pt_in = -1;
	stream->claimed = true;
	table_in(conn->control, conn->lease, stream);
	post_open(stream);
	say_ports(conn, MP_OPENED, stream);
}

static void on_close(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	stream_close(conn->control, conn->lease, stream,
		     ((const struct mp_close *)hdr)->flags & MP_CLOSE_STATS);
}

/*
 * The first packet wakes the thread, which then takes this before it. But the socket may be connected
 * to where the other side was before, and the kernel lets nothing in from elsewhere: a change is urgent.
 */
static void on_remote(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	relay_post(stream->relay,
		   &(struct relay_cmd){ .type = RCMD_REMOTE,
					.stream = stream,
					.u.remote = *(const struct mp_remote *)hdr },
		   stream->has_remote);
	stream->has_remote = true;
}

struct company { /* streams that change thread together */
	struct stream *v[MAX_COMPANY];
	unsigned n;
};

static bool is_in(const struct company *company, const struct stream *stream)
{
	for (unsigned i = 0; i < company->n; i++) {
		if (company->v[i] == stream)
			return true;
	}
	return false;
}

static void add(struct company *company, struct stream *stream)
{
	if (stream && company->n < MAX_COMPANY && !is_in(company, stream))
		company->v[company->n++] = stream;
}

/* Those that share a transport cannot be parted, and those that they are bridged to come with them. */
static void gather(struct company *company, struct stream *stream)
{
	company->n = 0;
	add(company, stream);
	for (unsigned i = 0; i < company->n; i++) {
		for (struct stream *s = company->v[i]->bundled; s && s != company->v[i]; s = s->bundled)
			add(company, s);
		add(company, company->v[i]->bridged);
	}
}

/* The legs of one bridge live in one thread, so that no packet needs a lock. */
static void move(struct stream *stream, struct relay *to)
{
	struct company company;

	if (stream->relay == to)
		return;
	gather(&company, stream);
	for (unsigned i = 0; i < company.n; i++)
		relay_post_wait(company.v[i]->relay,
				&(struct relay_cmd){ .type = RCMD_DETACH, .stream = company.v[i] });

	for (unsigned i = 0; i < company.n; i++) {
		struct stream *s = company.v[i];

		s->relay->n_streams--;
		to->n_streams++;
		s->relay = to;
		s->slot->relay = to;
		relay_post(to, &(struct relay_cmd){ .type = RCMD_ATTACH, .stream = s }, true);
	}
	for (unsigned i = 0; i < company.n; i++) {
		struct stream *s = company.v[i];

		if (s->bridged && is_in(&company, s->bridged))
			relay_post(to, &(struct relay_cmd){ .type = RCMD_BRIDGE, .stream = s,
							    .other = s->bridged }, true);
	}
}

static void on_bridge(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	struct stream *other = stream_find(conn->control, ((const struct mp_bridge *)hdr)->other);

	if (!other || other->lease != conn->lease->id || other->room_hz)
		return; /* it has just failed, which was said */
	bridge_out(stream);
	bridge_out(other);
	if (other->bundled && !stream->bundled)
		move(stream, other->relay);
	else
		move(other, stream->relay);
	stream->bridged = other;
	other->bridged = stream;
	relay_post(stream->relay,
		   &(struct relay_cmd){ .type = RCMD_BRIDGE, .stream = stream, .other = other }, false);
}

/* The members of a room live in its thread. */
static void on_room_join(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	struct stream *room = stream_find(conn->control, ((const struct mp_room_join *)hdr)->room);
	struct relay_cmd cmd = { .type = RCMD_JOIN, .stream = stream, .other = room };

	if (!room || room->lease != conn->lease->id || !room->room_hz)
		return; /* it has just failed, which was said */
	cmd.msg = malloc(hdr->size);
	if (!cmd.msg) {
		say_failed(conn, hdr->stream, -ENOMEM);
		return;
	}
	memcpy(cmd.msg, hdr, hdr->size);
	bridge_out(stream);
	move(stream, room->relay);
	relay_post(room->relay, &cmd, true);
}

/* The streams of one transport live in its thread. */
static void on_bundle(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	const uint64_t id = ((const struct mp_bundle *)hdr)->carrier;
	struct stream *carrier = id ? stream_find(conn->control, id) : NULL;
	struct relay_cmd cmd = { .type = RCMD_BUNDLE, .stream = stream, .other = carrier };

	if (id && (!carrier || carrier->lease != conn->lease->id || carrier->room_hz))
		return; /* it has just failed, which was said */
	cmd.msg = malloc(hdr->size);
	if (!cmd.msg) {
		say_failed(conn, hdr->stream, -ENOMEM);
		return;
	}
	memcpy(cmd.msg, hdr, hdr->size);
	bundle_out(stream);
	if (carrier) {
		move(stream, carrier->relay);
		bundle_in(stream, carrier);
	}
	relay_post(stream->relay, &cmd, true);
}

static void on_unbridge(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	bridge_out(stream);
	relay_post(stream->relay, &(struct relay_cmd){ .type = RCMD_UNBRIDGE, .stream = stream },
		   false);
}

static void on_music(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	relay_post(stream->relay,
		   &(struct relay_cmd){ .type = RCMD_MUSIC,
					.stream = stream,
					.u.music = *(const struct mp_music *)hdr },
		   true);
}

static void on_music_stop(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	relay_post(stream->relay, &(struct relay_cmd){ .type = RCMD_MUSIC_STOP, .stream = stream },
		   true);
}

static void on_dtmf(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	relay_post(stream->relay,
		   &(struct relay_cmd){ .type = RCMD_DTMF,
					.stream = stream,
					.u.digit = *(const struct mp_digit *)hdr },
		   true);
}

/* What only the stream's thread has to know goes there as it is. */
static void on_message(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	struct mp_hdr *msg;

	if (!relay_verbs[hdr->type])
		return;
	msg = malloc(hdr->size);
	if (!msg) {
		say_failed(conn, hdr->stream, -ENOMEM);
		return;
	}
	memcpy(msg, hdr, hdr->size);
	relay_post(stream->relay,
		   &(struct relay_cmd){ .type = RCMD_MESSAGE, .stream = stream, .msg = msg }, true);
}

static void on_moh_file(struct conn *conn, struct stream *none, const struct mp_hdr *hdr)
{
	music_file(conn->control->music, (const void *)hdr);
}

static void on_stats(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	relay_post(stream->relay, &(struct relay_cmd){ .type = RCMD_STATS, .stream = stream }, true);
}

static void on_list(struct conn *conn, struct stream *none, const struct mp_hdr *hdr)
{
	for (const struct stream *s = conn->lease->streams; s; s = s->lease_next)
		if (!s->claimed)
			say_ports(conn, MP_ORPHAN, s);
	(void)conn_message(conn, MP_ORPHAN, 0);
}

static void on_adopt(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	stream->claimed = true;
	say_ports(conn, MP_OPENED, stream);
}

static void on_abandon(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr)
{
	stream_close(conn->control, conn->lease, stream, false);
}

static const struct verb {
	void (*run)(struct conn *conn, struct stream *stream, const struct mp_hdr *hdr);
	bool no_stream;      /* works without one */
	bool tells_missing;  /* answers MP_FAILED when the stream is not there */
	bool room;           /* rooms know it, too */
} verbs[MP_TYPES] = {
	[MP_OPEN] = { on_open, .no_stream = true },
	[MP_LIST] = { on_list, .no_stream = true },
	[MP_CLOSE] = { on_close, .room = true },
	[MP_REMOTE] = { on_remote },
	[MP_BRIDGE] = { on_bridge },
	[MP_UNBRIDGE] = { on_unbridge },
	[MP_MUSIC_START] = { on_music },
	[MP_MUSIC_STOP] = { on_music_stop },
	[MP_DTMF_SEND] = { on_dtmf },
	[MP_STATS_QUERY] = { on_stats, .tells_missing = true, .room = true },
	[MP_ADOPT] = { on_adopt, .tells_missing = true, .room = true },
	[MP_ABANDON] = { on_abandon, .room = true },
	[MP_SECURE] = { on_message },
	[MP_BUNDLE] = { on_bundle },
	[MP_ICE] = { on_message },
	[MP_CANDIDATE] = { on_message },
	[MP_LISTEN] = { on_message },
	[MP_PLAY] = { on_message, .room = true },
	[MP_PLAY_STOP] = { on_message, .room = true },
	[MP_MOH_FILE] = { on_moh_file, .no_stream = true },
	[MP_RECORD] = { on_message, .room = true },
	[MP_RECORD_SET] = { on_message, .room = true },
	[MP_ROOM_OPEN] = { on_room_open, .no_stream = true },
	[MP_ROOM_JOIN] = { on_room_join },
	[MP_ROOM_LEAVE] = { on_message },
};

void lease_command(struct conn *conn, const struct mp_hdr *hdr)
{
	const struct verb *verb = &verbs[hdr->type];
	struct stream *stream = NULL;

	if (!verb->run)
		return; /* a second MP_HELLO */

	if (!verb->no_stream) {
		stream = stream_find(conn->control, hdr->stream);
		if (!stream || stream->lease != conn->lease->id) {
			if (verb->tells_missing)
				say_failed(conn, hdr->stream, -ENOENT);
			return;
		}
		if (stream->room_hz && !verb->room)
			return;
	}
	verb->run(conn, stream, hdr);
}

/* ------------------------------------------------------------------ events */

static void say_stats(struct conn *conn, uint64_t id, const struct media_stats *stats,
		      uint32_t flags)
{
	struct mp_stats *msg = conn_message(conn, MP_STATS, id);

	if (!msg)
		return;
	msg->flags = flags;
	msg->jitter_us = stats->jitter_us;
	msg->rx_packets = stats->rx_packets;
	msg->rx_bytes = stats->rx_bytes;
	msg->tx_packets = stats->tx_packets;
	msg->tx_bytes = stats->tx_bytes;
	msg->rx_lost = stats->rx_lost;
	msg->rx_dropped = stats->rx_dropped;
	msg->tx_lost = stats->tx_lost;
	msg->tx_jitter_us = stats->tx_jitter_us;
	msg->rtt_us = stats->rtt_us;
	msg->rtt_max_us = stats->rtt_max_us;
	msg->mos_x100 = stats->mos_x100;
	msg->mos_min_x100 = stats->mos_min_x100;
	msg->jitter_max_us = stats->jitter_max_us;
	msg->codec = (uint8_t)stats->codec;
	msg->transcoded = stats->transcoded;
	msg->concealed_ms = stats->concealed_ms;
	msg->delay_ms = stats->delay_ms;
}

static void ev_closed(struct control *control, struct conn *none, const struct relay_ev *ev)
{
	struct stream *stream = ev->stream;
	struct lease *lease = lease_find(control, stream->lease);

	if (stream->want_stats && lease && lease->conn)
		say_stats(lease->conn, stream->id, &ev->u.stats, MP_FINAL);
	control->n_closing--;
	if (stream->slot)
		pool_give(control->pool, stream->slot, stream->closed_at_ms);
	free(stream);
}

static void ev_latched(struct control *control, struct conn *conn, const struct relay_ev *ev)
{
	struct mp_latched *msg = conn_message(conn, MP_LATCHED, ev->id);

	if (msg)
		msg->remote = ev->u.addr;
}

static void ev_timeout(struct control *control, struct conn *conn, const struct relay_ev *ev)
{
	(void)conn_message(conn, MP_TIMEOUT, ev->id);
}

static void ev_digit(struct control *control, struct conn *conn, const struct relay_ev *ev)
{
	struct mp_digit *msg = conn_message(conn, MP_DTMF, ev->id);

	if (!msg)
		return;
	msg->event = ev->u.digit.event;
	msg->duration_ms = ev->u.digit.duration_ms;
}

static void ev_stats(struct control *control, struct conn *conn, const struct relay_ev *ev)
{
	say_stats(conn, ev->id, &ev->u.stats, 0);
}

static void ev_message(struct control *control, struct conn *conn, const struct relay_ev *ev)
{
	void *msg = conn_message(conn, ev->msg->type, ev->id);

	if (msg)
		memcpy(msg, ev->msg, ev->msg->size);
}

static void (*const event_table[])(struct control *control, struct conn *conn,
				   const struct relay_ev *ev) = {
	[REV_CLOSED] = ev_closed,   [REV_LATCHED] = ev_latched, [REV_TIMEOUT] = ev_timeout,
	[REV_DIGIT] = ev_digit,	    [REV_STATS] = ev_stats,
	[REV_MESSAGE] = ev_message,
};

void lease_event(struct control *control, const struct relay_ev *ev)
{
	struct lease *lease;

	if (ev->type == REV_CLOSED) {
		ev_closed(control, NULL, ev);
		return;
	}
	lease = lease_find(control, ev->lease);
	/* What was recorded is told though the stream is closed; the rest is of no use then. */
	if (lease && lease->conn &&
	    (stream_find(control, ev->id) || (ev->msg && ev->msg->type == MP_RECORDED)))
		event_table[ev->type](control, lease->conn, ev);
	free(ev->msg);
}
