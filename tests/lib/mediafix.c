/* SPDX-License-Identifier: Apache-2.0 */
#include "mediafix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "media/media_main.h"

/* ------------------------------------------------------------------ process */

/* The shipped music; the test runs from build/<kind>/tests/unit. */
static void music_path(char *buf, size_t size)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	assert_true(n > 0);
	exe[n] = '\0';
	(void)snprintf(buf, size, "%.*s/../../../../share/moh/default.wav",
		       (int)(strrchr(exe, '/') - exe), exe);
}

static void child_run(struct fix *fix)
{
	struct config *config = NULL;
	char music[PATH_MAX + 64];
	char why[200], ports[32], threads[16];
	int err;

	(void)snprintf(ports, sizeof(ports), "%u-%u", fix->rtp_first, fix->rtp_last);
	(void)snprintf(threads, sizeof(threads), "%u", fix->threads);
	(void)log_level_set("*", getenv("MEDIA_LOG") ? getenv("MEDIA_LOG") : "error");
	music_path(music, sizeof(music));
	err = config_alloc(&config);
	if (!err)
		err = config_set(config, "data", fix->dir, why, sizeof(why)) ||
		      config_set(config, "listen", "0.0.0.0", why, sizeof(why)) ||
		      config_set(config, "rtp-ports", ports, why, sizeof(why)) ||
		      config_set(config, "media-threads", threads, why, sizeof(why)) ||
		      config_set(config, "moh-file", music, why, sizeof(why));
	if (!err)
		err = media_main(config);
	config_free(config);
	exit(err ? 1 : 0);
}

void fix_start(struct fix *fix)
{
	struct stat st;

	(void)unlink(fix->socket);
	fflush(NULL);
	fix->pid = fork();
	assert_true(fix->pid >= 0);
	if (!fix->pid)
		child_run(fix);
	for (int i = 0; i < 500 && stat(fix->socket, &st); i++)
		usleep(10000);
}

/* Ends it politely, so that the leak checker of the child speaks. */
static void process_stop(struct fix *fix)
{
	int status = 0;

	if (fix->pid <= 0)
		return;
	(void)kill(fix->pid, SIGTERM);
	assert_int_equal(waitpid(fix->pid, &status, 0), fix->pid);
	fix->pid = 0;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

void fix_kill(struct fix *fix)
{
	(void)kill(fix->pid, SIGKILL);
	(void)waitpid(fix->pid, NULL, 0);
	fix->pid = 0;
}

void fix_restart(struct fix *fix, uint16_t rtp_first, uint16_t rtp_last, unsigned threads)
{
	fix_disconnect(fix);
	process_stop(fix);
	fix->rtp_first = rtp_first;
	fix->rtp_last = rtp_last;
	fix->threads = threads;
	fix_start(fix);
	fix_connect(fix);
}

static void up_h(bool up, void *arg)
{
	struct fix *fix = arg;

	fix->up = up;
}

static bool is_up(void *arg)
{
	const struct fix *fix = arg;

	return fix->up;
}

void fix_connect(struct fix *fix)
{
	assert_int_equal(media_connect(&fix->media, fix->socket, up_h, fix), 0);
	assert_true(fix_until(is_up, fix, FIX_WAIT_MS));
}

void fix_disconnect(struct fix *fix)
{
	fix->media = mem_deref(fix->media);
	fix->up = false;
}

#define RANGE_PORTS 100

static uint16_t rtp_range; /* of this process */

static int udp_at(const char *address, uint16_t port);

static bool is_range_free(uint16_t first)
{
	for (unsigned i = 0; i < RANGE_PORTS; i++) {
		int fd = udp_at("0.0.0.0", (uint16_t)(first + i));

		if (fd < 0)
			return false;
		close(fd);
	}
	return true;
}

/*
 * Tests run side by side: each process has a range of its own, between those of the end-to-end tests
 * and the kernel's own ports. A name in the abstract namespace marks it as taken, until the process ends;
 * ports may belong to something else on the machine as well.
 */
static uint16_t range_first(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd;

	if (rtp_range)
		return rtp_range;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	for (int i = 0; i < 100 && !rtp_range; i++) {
		unsigned range = ((unsigned)getpid() + (unsigned)i) % 100;
		uint16_t first = (uint16_t)(21800 + range * RANGE_PORTS);
		int n = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "aoide-test-rtp-%u", range);

		if (is_range_free(first) &&
		    !bind(fd, (const struct sockaddr *)&name,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)))
			rtp_range = first;
	}
	assert_true(rtp_range);
	return rtp_range;
}

int fix_setup(void **state)
{
	struct fix *fix = calloc(1, sizeof(*fix));

	assert_non_null(fix);
	(void)log_level_set("*", getenv("MEDIA_LOG") ? getenv("MEDIA_LOG") : "error");
	(void)snprintf(fix->dir, sizeof(fix->dir), "/tmp/aoide-media-XXXXXX");
	assert_non_null(mkdtemp(fix->dir));
	(void)snprintf(fix->socket, sizeof(fix->socket), "%s/run/media.sock", fix->dir);

	fix->rtp_first = range_first();
	fix->rtp_last = (uint16_t)(fix->rtp_first + RANGE_PORTS - 1);
	fix->threads = 2;
	assert_int_equal(libre_init(), 0);
	fix_start(fix);
	fix_connect(fix);
	*state = fix;
	return 0;
}

int fix_teardown(void **state)
{
	struct fix *fix = *state;
	char command[128];

	fix_disconnect(fix);
	process_stop(fix);
	libre_close();
	(void)snprintf(command, sizeof(command), "rm -rf %s", fix->dir);
	(void)!system(command);
	free(fix);
	return 0;
}

/* ------------------------------------------------------------------ loop */

struct until {
	fix_cond_h *cond;
	void *arg;
	uint64_t end_ms;
	struct tmr tmr;
	bool result;
};

static void until_h(void *arg)
{
	struct until *until = arg;

	until->result = until->cond && until->cond(until->arg);
	if (until->result || clk_mono_ms() >= until->end_ms)
		re_cancel();
	else
		tmr_start(&until->tmr, 1, until_h, until);
}

bool fix_until(fix_cond_h *cond, void *arg, unsigned ms)
{
	struct until until = { .cond = cond, .arg = arg, .end_ms = clk_mono_ms() + ms };

	tmr_init(&until.tmr);
	tmr_start(&until.tmr, 1, until_h, &until);
	(void)re_main(NULL);
	tmr_cancel(&until.tmr);
	return until.result;
}

void fix_run(unsigned ms)
{
	(void)fix_until(NULL, NULL, ms);
}

/* ------------------------------------------------------------------ streams */

void leg_event(const struct media_event *event, void *arg)
{
	struct leg *leg = arg;

	switch (event->type) {
	case MEDIA_EV_OPENED:
		leg->port = event->rtp_port;
		leg->rtcp_port = event->rtcp_port;
		break;
	case MEDIA_EV_FAILED:
		leg->failed = true;
		leg->err = event->err;
		break;
	case MEDIA_EV_LATCHED:
		leg->latched++;
		leg->remote = *event->remote;
		break;
	case MEDIA_EV_RTP_TIMEOUT:
		leg->timed_out = true;
		break;
	case MEDIA_EV_DTMF:
		leg->digit[leg->digits++ % 31] = event->digit;
		leg->duration_ms = event->duration_ms;
		break;
	case MEDIA_EV_STATS:
		leg->has_stats = true;
		leg->stats = event->stats;
		break;
	case MEDIA_EV_PLAYED:
		leg->played++;
		leg->last_played = *event;
		break;
	case MEDIA_EV_SECURED:
		leg->secured++;
		leg->secured_err = event->err;
		break;
	case MEDIA_EV_RECORDED:
	case MEDIA_EV_TALKING:
		break;
	case MEDIA_EV_FAX:
		leg->fax_tones++;
		leg->is_called_fax = event->is_called;
		break;
	case MEDIA_EV_LOST:
		leg->lost = true;
		break;
	}
}

static bool leg_known(void *arg)
{
	const struct leg *leg = arg;

	return leg->port || leg->failed;
}

void leg_open(struct fix *fix, struct leg *leg, const struct media_open_opts *opts)
{
	struct media_open_opts none = { 0 };

	memset(leg, 0, sizeof(*leg));
	assert_int_equal(media_open(&leg->stream, fix->media, opts ? opts : &none, leg_event, leg), 0);
	assert_true(fix_until(leg_known, leg, FIX_WAIT_MS));
}

void leg_remote(struct leg *leg, const struct phone *phone, const struct media_remote *more)
{
	struct media_remote remote = { .may_send = true,
				       .may_recv = true,
				       .formats = &(const struct media_format){ .codec = MEDIA_PCMA, .pt_out = 8,
					.pt_in = 8, .clock_hz = 8000 },
				    .n_formats = 1, .dtmf_tx = MEDIA_DTMF_EVENT,
				    .dtmf_pt = 101, .dtmf_pt_in = 101 };
	struct sa rtp;

	if (more)
		remote = *more;
	if (phone) {
		sa_set_str(&rtp, "127.0.0.1", phone->port);
		remote.rtp = &rtp;
	}
	media_set_remote(leg->stream, &remote);
}

static bool leg_has_stats(void *arg)
{
	return ((const struct leg *)arg)->has_stats;
}

void leg_stats(struct leg *leg)
{
	leg->has_stats = false;
	media_query_stats(leg->stream);
	assert_true(fix_until(leg_has_stats, leg, FIX_WAIT_MS));
}

void fix_sync(struct leg *leg)
{
	leg_stats(leg);
}

void leg_close(struct leg *leg)
{
	leg->stream = mem_deref(leg->stream);
}

/* ------------------------------------------------------------------ phones */

static int udp_at(const char *address, uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, address, &addr.sin_addr), 1);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

void phone_open(struct phone *phone, const char *address)
{
	struct sockaddr_in addr;
	socklen_t len = sizeof(addr);

	/* An even port given by the kernel whose odd neighbour is free as well. */
	for (int i = 0; i < 200; i++) {
		phone->rtp = udp_at(address, 0);
		len = sizeof(addr);
		assert_int_equal(getsockname(phone->rtp, (struct sockaddr *)&addr, &len), 0);
		phone->port = ntohs(addr.sin_port);
		phone->rtcp = phone->port % 2 ? -1 : udp_at(address, (uint16_t)(phone->port + 1));
		if (phone->rtcp >= 0)
			break;
		close(phone->rtp);
	}
	assert_true(phone->rtcp >= 0);
	phone->ssrc = 0x10000000u + phone->port;
	phone->seq = (uint16_t)(phone->port * 7u);
	phone->ts = phone->port * 1000u;
}

void phone_close(struct phone *phone)
{
	close(phone->rtp);
	close(phone->rtcp);
}

void phone_send_raw(int fd, uint16_t to, const void *data, size_t len)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(to),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	(void)sendto(fd, data, len, 0, (struct sockaddr *)&addr, sizeof(addr));
}

void phone_send(struct phone *phone, uint16_t to, uint8_t pt, uint8_t mark)
{
	uint8_t data[HDR_RTP_BYTES + 160];

	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = pt,
					       .seq = phone->seq++,
					       .ts = phone->ts,
					       .ssrc = phone->ssrc });
	phone->ts += 160;
	memset(data + HDR_RTP_BYTES, mark, 160);
	phone_send_raw(phone->rtp, to, data, sizeof(data));
}

/*
 * Tests run side by side, and the kernel gives a port again that another test's phone had: what a relay of
 * that test still has to say to it, a BYE for example, is not for us.
 */
size_t phone_recv(int fd, uint8_t *data, size_t size, unsigned ms)
{
	const uint64_t end_ms = clk_mono_ms() + ms;
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	for (;;) {
		const uint64_t now_ms = clk_mono_ms();
		struct sockaddr_in from = { 0 };
		socklen_t from_len = sizeof(from);
		ssize_t n;

		if (poll(&poll_fd, 1, now_ms < end_ms ? (int)(end_ms - now_ms) : 0) <= 0)
			return 0;
		n = recvfrom(fd, data, size, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
		if (n >= 0 && ntohs(from.sin_port) >= rtp_range &&
		    ntohs(from.sin_port) < rtp_range + RANGE_PORTS)
			return (size_t)n;
	}
}

bool phone_hear(struct phone *phone, struct hdr_rtp *hdr, uint8_t *mark, unsigned ms)
{
	uint8_t data[2048];
	size_t n = phone_recv(phone->rtp, data, sizeof(data), ms);

	if (!n)
		return false;
	assert_int_equal(hdr_rtp_parse(hdr, data, n), 0);
	*mark = hdr->payload_len ? data[hdr->payload_at] : 0;
	return true;
}
