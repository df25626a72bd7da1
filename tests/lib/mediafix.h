/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_TESTS_MEDIAFIX_H
#define AOIDE_TESTS_MEDIAFIX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <sys/types.h>
#include "base/re.h"
#include "media/client.h"
#include "media/rtphdr.h"

/*
 * A real media process (forked) on a temporary data folder, a client on libre's loop, and phones that
 * are UDP sockets on loopback.
 */
#define FIX_WAIT_MS 5000

struct fix {
	char dir[64], socket[96];
	pid_t pid;
	uint16_t rtp_first, rtp_last;
	unsigned threads;
	struct media *media;
	bool up;
};

struct leg { /* a stream and what it told */
	struct media_stream *stream;
	uint16_t port, rtcp_port;
	int err;
	bool failed, lost, timed_out, has_stats;
	unsigned secured;
	int secured_err;
	unsigned latched, digits, fax_tones;
	bool is_called_fax;
	struct sa remote;
	char digit[32];
	uint32_t duration_ms;
	unsigned played; /* sequences that ended; of the last one: */
	struct media_event last_played;
	struct media_stats stats;
};

struct phone {
	int rtp, rtcp;
	uint16_t port; /* rtcp is port + 1 */
	uint32_t ssrc, ts;
	uint16_t seq;
};

/* cmocka set-up and tear-down around each test. */
int fix_setup(void **state);
int fix_teardown(void **state);
/* A process with other settings instead of the one running. */
void fix_restart(struct fix *fix, uint16_t rtp_first, uint16_t rtp_last, unsigned threads);
void fix_start(struct fix *fix); /* only the process */
void fix_kill(struct fix *fix);
void fix_connect(struct fix *fix);
void fix_disconnect(struct fix *fix);

/* Runs the loop until *flag or the time is over; returns *flag. */
typedef bool(fix_cond_h)(void *arg);
bool fix_until(fix_cond_h *cond, void *arg, unsigned ms);
void fix_run(unsigned ms);
/* Until the media process has done all that was asked so far. */
void fix_sync(struct leg *leg);

void leg_open(struct fix *fix, struct leg *leg, const struct media_open_opts *opts);
void leg_event(const struct media_event *event, void *arg);
void leg_remote(struct leg *leg, const struct phone *phone, const struct media_remote *more);
void leg_close(struct leg *leg);
void leg_stats(struct leg *leg);

void phone_open(struct phone *phone, const char *address);
void phone_close(struct phone *phone);
/* Sends one packet of 160 bytes filled with mark to a port of the relay; moves seq and ts on. */
void phone_send(struct phone *phone, uint16_t to, uint8_t pt, uint8_t mark);
void phone_send_raw(int fd, uint16_t to, const void *data, size_t len);
/* Waits for a packet of the media process; returns its length, 0 when none came within ms. */
size_t phone_recv(int fd, uint8_t *data, size_t size, unsigned ms);
/* Waits for RTP; payload mark; false when none came. */
bool phone_hear(struct phone *phone, struct hdr_rtp *hdr, uint8_t *mark, unsigned ms);

#endif
