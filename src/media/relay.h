/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_RELAY_H
#define AOIDE_MEDIA_RELAY_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include "media/census.h"
#include "media/stream.h"

/*
 * A relay thread: owns the sockets of its slots and the relay half of its streams. The control
 * thread talks to it by commands and hears events; both queues are swapped under a mutex once per
 * turn, so a packet takes no lock and no allocation.
 *
 * Most commands do not wake the thread: their effect can only be seen when a packet arrives, and a
 * packet wakes it by itself; commands are always taken before packets. So opening, bridging and
 * closing a stream cost no context switch. A thread without streams sleeps until it gets one.
 */
#define RELAY_MAX_PACKET 1500 /* larger ones are dropped */
#define RELAY_BATCH      8    /* packets read from one socket at once */
#define RELAY_HOUSE_MS   250  /* housekeeping at most so often: timeouts, reports, handshakes */
#define RELAY_IDLE_MS    1000 /* and at least so often with streams: commands that did not wake us */
#define RELAY_TICK_MS    20   /* music and digits */
#define RELAY_PACE_MS    20   /* checks of ICE and handshakes that are under way */
#define RELAY_EVENTS     256
#define RELAY_NICE       (-11)
#define RELAY_SLICE_NS   100000 /* the shortest there is */

#define MEDIA_LATCH_US       1000000 /* a better source may replace the first within this time */
#define MEDIA_STRAYS_MAX     64      /* packets to a closed port before it is muted */
#define MEDIA_DIGIT_STALE_US 200000  /* an event whose end was lost has ended */

enum relay_cmd_type {
	RCMD_OPEN,   /* stream joins, slot belongs to it */
	RCMD_CLOSE,  /* answered by REV_CLOSED */
	RCMD_REMOTE,
	RCMD_BRIDGE,
	RCMD_UNBRIDGE,
	RCMD_JOIN,   /* stream enters the room other; msg is its struct mp_room_join */
	RCMD_BUNDLE, /* stream uses the transport of other (NULL: its own); msg is its struct mp_bundle */
	RCMD_MUSIC,
	RCMD_MUSIC_STOP,
	RCMD_DTMF,
	RCMD_STATS,
	RCMD_MESSAGE,     /* msg goes to its row of relay_verbs */
	RCMD_DETACH,      /* stream and slot leave this thread; posts done */
	RCMD_ATTACH,      /* ... and join this one */
	RCMD_SLOT_ADD,    /* an idle slot */
	RCMD_SLOT_REMOVE, /* posts done */
	RCMD_SYNC,        /* posts done */
	RCMD_CENSUS,      /* adds its streams and sums; posts done */
	RCMD_STOP,
};

struct relay_cmd {
	enum relay_cmd_type type;
	struct stream *stream, *other;
	struct slot *slot;
	struct mp_hdr *msg; /* allocated, freed by the relay */
	sem_t *done;
	struct census *census; /* RCMD_CENSUS */
	union {
		struct mp_remote remote;
		struct mp_music music;
		struct mp_digit digit;
	} u;
};

enum relay_ev_type { REV_CLOSED, REV_LATCHED, REV_TIMEOUT, REV_DIGIT, REV_STATS, REV_MESSAGE };

struct relay_ev {
	enum relay_ev_type type;
	uint64_t id, lease;
	struct stream *stream; /* REV_CLOSED: free it */
	struct mp_hdr *msg;    /* REV_MESSAGE: allocated, goes to the switch as it is */
	union {
		struct mp_addr addr;
		struct media_stats stats;
		struct {
			uint8_t event;
			uint32_t duration_ms;
		} digit;
	} u;
};

struct relay_counters { /* published once per turn */
	_Atomic uint64_t rx_packets, tx_packets, dropped, turns;
};

struct relay_local {
	uint64_t rx_packets, tx_packets, dropped, turns;
};

struct cmd_queue {
	struct relay_cmd *v;
	size_t n, cap;
};

struct ev_queue {
	struct relay_ev *v;
	size_t n, cap;
};

struct disk;
struct music;
struct sounds;

struct assoc_identity;

struct relay {
	/* shared */
	pthread_mutex_t lock;
	struct cmd_queue cmds; /* under lock */
	struct ev_queue evs;   /* under lock */
	_Atomic bool cmds_waiting, evs_waiting;
	struct relay_counters counters;
	int wake_fd;     /* to this thread */
	int control_fd;  /* to the control thread */
	unsigned index;
	struct disk *disk; /* set before the first command; NULL: nothing can be recorded */
	const struct assoc_identity *identity; /* for DTLS */
	_Atomic bool sounds_ready;
	struct sounds *sounds;
	struct music *music;

	/* control thread */
	pthread_t thread;
	bool running;
	unsigned n_streams;
	bool needs_wake;
	struct slot *idle_first[2], *idle_last[2]; /* free slots, by IPv6 or not */

	/* this thread */
	int epoll_fd, timer_fd;
	uint64_t rest_skew_us; /* from the kernel's clock of packets to now_us */
	bool ticking, stop, wake_control, told_no_music, told_no_codec;
	sem_t *done; /* who waits for the end of this turn */
	uint64_t now_us, house_at_us;
	struct stream *streams, *gens, *paces;
	uint64_t pace_at_us;
	unsigned gen_turn; /* ticks */
	struct audio *audios;
	struct room *rooms;
	struct recorder *recorders;
	unsigned n_ending; /* recorders whose file is being completed */
	struct cmd_queue cmds_work;
	struct ev_queue evs_work;
	struct relay_local local;
	struct census_sums ended;
	struct listen *listeners;
	struct mmsghdr in[RELAY_BATCH];
	struct iovec in_iov[RELAY_BATCH];
	union net_addr in_from[RELAY_BATCH];
	_Alignas(8) uint8_t in_data[RELAY_BATCH][2048];
	_Alignas(8) uint8_t in_control[RELAY_BATCH][96];
	struct mmsghdr out[RELAY_BATCH];
	struct iovec out_iov[RELAY_BATCH];
};

/* sounds and music are borrowed. */
int relay_start(struct relay **ret, unsigned index, int control_fd, struct sounds *sounds,
		struct music *music);
/* Ends the thread and frees what it owned, streams and slots not included. */
void relay_stop(struct relay *relay);

/* Control thread. wake: the thread must act at once. Waits for the thread when memory is out. */
void relay_post(struct relay *relay, const struct relay_cmd *cmd, bool wake);
/* Posts and waits until the thread has taken it; for moves, which are rare. */
void relay_post_wait(struct relay *relay, struct relay_cmd *cmd);
/* Any thread: sounds that were waited for can be had now. */
void relay_sounds_ready(struct relay *relay);
/* Writes the wake-ups of this turn of the control thread. */
void relay_wake(struct relay *relay);
/* Takes the events; the caller frees *ret. Returns their number. */
size_t relay_take_events(struct relay *relay, struct relay_ev **ret);

/* ------------------------------------------------------------------ inside the thread */

/* An event for the control thread; urgent ones wake it, others wait for its next turn. */
void relay_event(struct relay *relay, const struct relay_ev *ev, bool urgent);
/*
 * A zeroed message of the stream to the switch, to be filled in at once; it leaves with this turn.
 * urgent as in relay_event(). NULL: out of memory, nothing will be said.
 */
void *relay_tell(struct relay *relay, const struct stream *stream, uint16_t type, bool urgent);

/* What a message of the switch does, by type; rows live with their subject. */
typedef void(relay_verb_h)(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr);
extern relay_verb_h *const relay_verbs[MP_TYPES];

/* What arrives at the slot is the stream's from now on. */
void relay_slot_begin(struct relay *relay, struct slot *slot, struct stream *stream);

/* The stream is over: the control thread may free it. */
void relay_tell_closed(struct relay *relay, struct stream *stream);

void relay_gen_add(struct relay *relay, struct stream *stream);
void relay_gen_remove(struct relay *relay, struct stream *stream);
/* Housekeeping is due then, if not before. */
void relay_due(struct relay *relay, uint64_t at_us);
/* secure_tick() of the stream is due every RELAY_PACE_MS, or with the rest of housekeeping again. */
void relay_pace(struct relay *relay, struct stream *stream, bool on);
/* Ticks come while somebody needs them. */
void relay_tick_need(struct relay *relay);
/*
 * Packets that only fill a jitter buffer need wake nobody before the tick that empties it, and those of a
 * held phone nobody at all. Connected streams without ICE alone rest, whatever is asked for: the others
 * have answers to give. Who lets it rest reads the socket.
 */
void relay_rest(struct relay *relay, struct stream *stream, enum rest rest);

/* path.c: packets */
void path_readable(struct relay *relay, struct sock *sock);
void path_set_remote(struct relay *relay, struct stream *stream, const struct mp_remote *remote);
void path_send(struct relay *relay, struct stream *stream, const struct iovec *iov, int n_iov);
/* One RTCP compound; it is protected in place: SECURE_TRAILER (media/secure.h) bytes follow data. Not
 * counted among what the stream sends. */
void path_send_rtcp(struct relay *relay, struct stream *stream, uint8_t *data, size_t len);
/* What the stream's phone says is for its peer: nothing else is sent there. */
bool path_passes(const struct stream *stream);
/* A datagram that is no media, from our address local (family 0: the kernel chooses). */
void path_send_raw(struct relay *relay, const struct sock *sock, const union net_addr *dst,
		   const union net_addr *local, const void *data, size_t len);
/* Our address that a packet was sent to; family 0: it does not say. */
void path_local(union net_addr *ret, const struct msghdr *msg);
/* Whether media would be taken from there; a first source is latched. */
bool path_source_ok(struct relay *relay, struct stream *stream, const struct sock *sock,
		    const struct msghdr *msg);
void path_disconnect(struct slot *slot);
/* What SDP said of addresses, and who was heard, do not count any more. */
void path_forget_remote(struct stream *stream);
void path_drain(struct relay *relay, struct sock *sock);

/* generate.c: what we send ourselves, every RELAY_TICK_MS */
void generate_tick(struct relay *relay);
bool relay_may_send(const struct stream *stream);
void relay_send_own(struct relay *relay, struct stream *stream, enum out_source source,
		    struct hdr_rtp *hdr, const uint8_t *payload, size_t len);

/* out.c: continuity for the receiver */
/* Numbers for a packet of a source; call for each packet in sending order. */
void out_map(struct stream_out *out, enum out_source source, uint64_t source_id,
	     struct hdr_rtp *hdr, uint32_t clock_hz, uint64_t now_us, bool keep_ssrc);
/* Fills ssrc and seq for a packet that we made ourselves, whose ts is set. */
void out_own(struct stream_out *out, enum out_source source, struct hdr_rtp *hdr, uint64_t now_us);
/* Random first numbers when we are the first source. */
void out_start_own(struct stream_out *out, uint64_t now_us);
/* The same for one that begins, and begins to count, now: continuous, and after all that was sent. */
uint32_t out_begin_ts(struct stream_out *out, uint32_t clock_hz, uint64_t now_us);
/* Timestamp that comes next for a source of ours that starts or goes on now. */
uint32_t out_next_ts(const struct stream_out *out, uint32_t clock_hz, uint64_t now_us);

#endif
