/* SPDX-License-Identifier: Apache-2.0 */
#include "mediafix.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/err.h"
#include "media/protocol.h"
#include "media/sandbox.h"

/* ------------------------------------------------------------------ music and digits */

static bool is_next(const struct hdr_rtp *hdr, const struct hdr_rtp *last)
{
	return hdr->ssrc == last->ssrc && hdr->seq == (uint16_t)(last->seq + 1) &&
	       (int32_t)(hdr->ts - last->ts) > 0;
}

/* TEL-03: the held party hears music; for it all packets are one continuous source. */
static void hold_and_music_are_continuous(void **state)
{
	struct hdr_rtp hdr, last = { 0 };
	struct phone pa, pb;
	struct leg a, b;
	uint8_t mark;
	int music = 0;

	phone_open(&pa, "127.0.0.1");
	phone_open(&pb, "127.0.0.1");
	leg_open(*state, &a, NULL);
	leg_open(*state, &b, &(struct media_open_opts){ .near = a.stream });
	leg_remote(&a, &pa, NULL);
	leg_remote(&b, &pb, NULL);
	media_bridge(a.stream, b.stream);
	fix_sync(&b);

	for (int i = 0; i < 5; i++) {
		phone_send(&pb, b.port, 8, 0x22);
		assert_true(phone_hear(&pa, &hdr, &mark, 1000));
		assert_true(!i || is_next(&hdr, &last));
		last = hdr;
		usleep(20000);
	}

	fix_run(500); /* the music file is encoded meanwhile */
	media_music_start(a.stream, 0);
	fix_sync(&a);
	for (int i = 0; i < 25; i++) {
		phone_send(&pa, a.port, 8, 0x11); /* goes nowhere */
		phone_send(&pb, b.port, 8, 0x22); /* and this is not heard */
		assert_true(phone_hear(&pa, &hdr, &mark, 1000));
		assert_true(is_next(&hdr, &last));
		assert_int_equal(hdr.payload_len, 160);
		assert_int_equal(hdr.pt, 8);
		assert_int_equal(hdr.marker, i == 0);
		if (i)
			assert_int_equal(hdr.ts - last.ts, 160);
		music += mark != 0x22;
		last = hdr;
	}
	assert_true(music > 20);
	assert_false(phone_hear(&pb, &hdr, &mark, 50));

	media_music_stop(a.stream);
	fix_sync(&a);
	while (phone_hear(&pa, &hdr, &mark, 30)) /* the tick before the stop */
		last = hdr;
	for (int i = 0; i < 5; i++) {
		phone_send(&pb, b.port, 8, 0x33);
		assert_true(phone_hear(&pa, &hdr, &mark, 1000));
		assert_int_equal(mark, 0x33);
		assert_true(is_next(&hdr, &last));
		last = hdr;
		usleep(20000);
	}
	leg_close(&a);
	leg_close(&b);
	phone_close(&pa);
	phone_close(&pb);
}

static void a_codec_without_music_is_silent(void **state)
{
	struct media_remote g729 = { .may_send = true, .may_recv = true, .formats = &(const struct media_format){ .codec = MEDIA_CODEC_OTHER, .pt_out = 18,
					.pt_in = 18, .clock_hz = 8000 },
				    .n_formats = 1, .dtmf_tx = MEDIA_DTMF_EVENT,
				    .dtmf_pt = -1, .dtmf_pt_in = -1 };
	struct phone phone;
	struct hdr_rtp hdr;
	struct leg leg;
	uint8_t mark;

	phone_open(&phone, "127.0.0.1");
	leg_open(*state, &leg, NULL);
	leg_remote(&leg, &phone, &g729);
	media_music_start(leg.stream, 0);
	fix_run(600);
	assert_false(phone_hear(&phone, &hdr, &mark, 50));
	leg_close(&leg);
	phone_close(&phone);
}

/* RFC 4733: one marker, growing duration, the end three times, one timestamp. PLT-37. */
static void a_digit_is_sent_as_telephone_event(void **state)
{
	uint8_t data[2048];
	struct hdr_event event;
	struct hdr_rtp hdr, last = { 0 };
	struct phone phone;
	struct leg leg;
	uint16_t duration = 0;
	int ends = 0, markers = 0, n = 0;
	size_t len;

	phone_open(&phone, "127.0.0.1");
	leg_open(*state, &leg, NULL);
	leg_remote(&leg, &phone, NULL);
	media_dtmf_send(leg.stream, '#', 100);
	media_dtmf_send(leg.stream, 'x', 100); /* no such digit */
	fix_run(300);
	while ((len = phone_recv(phone.rtp, data, sizeof(data), 50))) {
		assert_int_equal(hdr_rtp_parse(&hdr, data, len), 0);
		assert_int_equal(hdr_event_parse(&event, data + hdr.payload_at, hdr.payload_len), 0);
		assert_int_equal(hdr.pt, 101);
		assert_int_equal(event.event, 11);
		assert_true(event.duration >= duration);
		assert_true(!n || (hdr.ts == last.ts && hdr.seq == (uint16_t)(last.seq + 1)));
		duration = event.duration;
		ends += event.end;
		markers += hdr.marker;
		last = hdr;
		n++;
	}
	assert_int_equal(ends, 3);
	assert_int_equal(markers, 1);
	assert_int_equal(duration, 800);
	assert_int_equal(n, 4 + 3);
	leg_close(&leg);
	phone_close(&phone);
}

/* ------------------------------------------------------------------ leases */

/* What the fake switch, a process of its own, tells the test. */
struct shared {
	_Atomic uint16_t port[2];
	_Atomic int ready;
};

struct sender {
	struct phone *from;
	uint16_t to;
	_Atomic bool stop;
	_Atomic unsigned sent;
};

static void *sender_main(void *arg)
{
	struct sender *sender = arg;

	while (!atomic_load(&sender->stop)) {
		phone_send(sender->from, sender->to, 8, 0x55);
		atomic_fetch_add(&sender->sent, 1);
		usleep(5000);
	}
	return NULL;
}

static pid_t fake_switch(struct fix *fix, struct shared *shared, const struct phone *pa,
			 const struct phone *pb)
{
	pid_t pid = fork();
	struct leg a, b;

	if (pid)
		return pid;
	fix->media = NULL;
	fix->up = false;
	fix_connect(fix);
	leg_open(fix, &a, NULL);
	leg_open(fix, &b, NULL);
	leg_remote(&a, pa, NULL);
	leg_remote(&b, pb, NULL);
	media_bridge(a.stream, b.stream);
	fix_sync(&b);
	atomic_store(&shared->port[0], a.port);
	atomic_store(&shared->port[1], b.port);
	atomic_store(&shared->ready, 1);
	fix_run(60000);
	_exit(0);
}

static void streams_survive_the_switch_without_losing_a_packet(void **state)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sender sender = { 0 };
	struct fix *fix = *state;
	struct leg adopted = { 0 };
	struct phone pa, pb;
	struct hdr_rtp hdr;
	uint64_t ids[8];
	pthread_t thread;
	unsigned heard = 0, before;
	uint16_t seq = 0;
	uint8_t mark;
	pid_t pid;

	assert_true(shared != MAP_FAILED);
	phone_open(&pa, "127.0.0.1");
	phone_open(&pb, "127.0.0.1");
	fix_disconnect(fix);
	pid = fake_switch(fix, shared, &pa, &pb);
	for (int i = 0; i < 500 && !atomic_load(&shared->ready); i++)
		usleep(10000);
	assert_true(atomic_load(&shared->ready));

	sender.from = &pa;
	sender.to = atomic_load(&shared->port[0]);
	seq = pa.seq;
	assert_int_equal(pthread_create(&thread, NULL, sender_main, &sender), 0);
	usleep(200000);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	usleep(300000);

	/* The next switch finds them by the lease in the data folder, adopts one, ends the other. */
	fix_connect(fix);
	assert_int_equal(media_orphans(fix->media, ids, 8), 2);
	for (int i = 0; i < 2; i++)
		if (media_adopt(&adopted.stream, fix->media, ids[i], leg_event, &adopted))
			fail();
		else if (fix_sync(&adopted), adopted.port == sender.to)
			break;
		else
			leg_close(&adopted); /* the callee's: closing ends it */
	assert_int_equal(adopted.port, sender.to);
	usleep(100000);
	atomic_store(&sender.stop, true);
	pthread_join(thread, NULL);

	before = atomic_load(&sender.sent);
	while (phone_hear(&pb, &hdr, &mark, 100)) {
		if (heard < before / 2) /* the second half saw the adoption end the other leg */
			assert_int_equal(hdr.seq, seq++);
		heard++;
	}
	leg_stats(&adopted);
	assert_int_equal(adopted.stats.rx_packets, before);
	assert_int_equal(adopted.stats.rx_lost, 0);
	leg_close(&adopted);
	phone_close(&pa);
	phone_close(&pb);
	munmap(shared, sizeof(*shared));
}

static void a_kill_of_the_switch_loses_nothing_at_the_receiver(void **state)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct fix *fix = *state;
	struct phone pa, pb;
	struct hdr_rtp hdr;
	uint8_t mark;
	pid_t pid;

	phone_open(&pa, "127.0.0.1");
	phone_open(&pb, "127.0.0.1");
	fix_disconnect(fix);
	pid = fake_switch(fix, shared, &pa, &pb);
	for (int i = 0; i < 500 && !atomic_load(&shared->ready); i++)
		usleep(10000);
	for (int i = 0; i < 200; i++) {
		uint16_t seq = pa.seq;

		if (i == 50)
			(void)kill(pid, SIGKILL);
		phone_send(&pa, atomic_load(&shared->port[0]), 8, (uint8_t)i);
		assert_true(phone_hear(&pb, &hdr, &mark, 1000));
		assert_int_equal(mark, (uint8_t)i);
		assert_int_equal(hdr.seq, seq);
		usleep(2000);
	}
	(void)waitpid(pid, NULL, 0);

	/* Abandoned streams end at once. */
	fix_connect(fix);
	{
		uint64_t ids[4];

		assert_int_equal(media_orphans(fix->media, ids, 4), 2);
		media_abandon(fix->media, ids, 2);
	}
	fix_run(400);
	phone_send(&pa, atomic_load(&shared->port[0]), 8, 1);
	assert_false(phone_hear(&pb, &hdr, &mark, 100));
	phone_close(&pa);
	phone_close(&pb);
	munmap(shared, sizeof(*shared));
}

static bool is_lost(void *arg)
{
	return ((struct leg *)arg)->lost;
}

static bool is_up(void *arg)
{
	return ((struct fix *)arg)->up;
}

static void a_dead_media_process_is_told_as_lost(void **state)
{
	struct fix *fix = *state;
	struct media_stream *stream;
	struct leg a, b;

	leg_open(fix, &a, NULL);
	leg_open(fix, &b, NULL);
	fix_kill(fix);
	assert_true(fix_until(is_lost, &a, FIX_WAIT_MS));
	assert_true(fix_until(is_lost, &b, FIX_WAIT_MS));
	assert_false(fix->up);
	assert_int_equal(media_open(&stream, fix->media, &(struct media_open_opts){ 0 }, NULL, NULL),
			 -EUNAVAILABLE);
	media_set_remote(a.stream, &(struct media_remote){ 0 }); /* harmless */
	leg_close(&a);
	leg_close(&b);

	/* The client comes back by itself. */
	{
		struct media *kept = fix->media;

		fix->media = NULL;
		fix_start(fix);
		fix->media = kept;
	}
	assert_true(fix_until(is_up, fix, FIX_WAIT_MS));
	leg_open(fix, &a, NULL);
	assert_true(a.port);
	leg_close(&a);
}

/* ------------------------------------------------------------------ limits and bad input */

static void without_a_free_port_opening_fails_and_later_works(void **state)
{
	struct fix *fix = *state;
	struct leg legs[6];
	int n = 0;

	/* Four pairs, if nobody else on this machine has one of them. */
	fix_restart(fix, fix->rtp_first, (uint16_t)(fix->rtp_first + 7), 2);
	for (; n < 6; n++) {
		leg_open(fix, &legs[n], NULL);
		if (legs[n].failed)
			break;
		for (int k = 0; k < n; k++)
			assert_int_not_equal(legs[k].port, legs[n].port);
	}
	assert_in_range(n, 2, 4);
	assert_int_equal(legs[n].err, -EADDRNOTAVAIL);
	leg_close(&legs[n]);

	/* Closed streams give their ports back at once when they are needed. */
	leg_close(&legs[1]);
	fix_run(50);
	leg_open(fix, &legs[5], NULL);
	assert_false(legs[5].failed);
	assert_int_equal(legs[5].port, legs[1].port);
	leg_close(&legs[5]);
	for (int i = 0; i < n; i++)
		if (i != 1)
			leg_close(&legs[i]);
}

static void ports_that_browsers_refuse_are_left_out(void **state)
{
	struct fix *fix = *state;
	struct leg legs[4];
	int n = 0;

	/* 6665 to 6669 are refused: 6660, 6662 and 6670 are left, if nobody else has them. */
	fix_restart(fix, 6660, 6671, 2);
	for (; n < 4; n++) {
		leg_open(fix, &legs[n], NULL);
		if (legs[n].failed)
			break;
		assert_true(legs[n].port == 6660 || legs[n].port == 6662 || legs[n].port == 6670);
	}
	assert_in_range(n, 1, 3);
	assert_int_equal(legs[n].err, -EADDRNOTAVAIL);
	for (int i = 0; i <= n; i++)
		leg_close(&legs[i]);
}

static int raw_connect(const struct fix *fix)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", fix->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void malformed_control_messages_do_no_harm(void **state)
{
	struct fix *fix = *state;
	struct mp_hello hello = { .hdr = { .type = MP_HELLO, .size = sizeof(hello) },
				  .magic = MP_MAGIC, .version = MP_VERSION, .lease = 77 };
	_Alignas(8) uint8_t data[2048];
	struct mp_welcome welcome;
	struct leg leg;
	unsigned seed = 1;
	int fd;

	/* A command before the greeting ends the connection. */
	fd = raw_connect(fix);
	memset(data, 0, sizeof(data));
	((struct mp_hdr *)data)->type = MP_LIST;
	((struct mp_hdr *)data)->size = sizeof(struct mp_hdr);
	assert_int_equal(send(fd, data, sizeof(struct mp_hdr), 0), sizeof(struct mp_hdr));
	assert_int_equal(recv(fd, data, sizeof(data), 0), 0);
	close(fd);

	/* Another version is told ours, and that is all. */
	fd = raw_connect(fix);
	hello.version = 99;
	assert_int_equal(send(fd, &hello, sizeof(hello), 0), sizeof(hello));
	assert_int_equal(recv(fd, &welcome, sizeof(welcome), 0), sizeof(welcome));
	assert_int_equal(welcome.version, MP_VERSION);
	assert_int_equal(recv(fd, &welcome, sizeof(welcome), 0), 0);
	close(fd);

	/* Noise behind a valid greeting. */
	fd = raw_connect(fix);
	hello.version = MP_VERSION;
	assert_int_equal(send(fd, &hello, sizeof(hello), 0), sizeof(hello));
	for (int i = 0; i < 2000; i++) {
		for (size_t k = 0; k < 64; k++)
			data[k] = (uint8_t)rand_r(&seed);
		((struct mp_hdr *)data)->type = (uint16_t)(rand_r(&seed) % 80);
		((struct mp_hdr *)data)->size = (uint16_t)(rand_r(&seed) % 12 * 8);
		if (i % 2)
			((struct mp_hdr *)data)->zero = 0;
		(void)send(fd, data, 8 + (size_t)rand_r(&seed) % 56, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	close(fd);

	leg_open(fix, &leg, NULL);
	assert_true(leg.port);
	leg_close(&leg);
}

static void a_second_lease_cannot_touch_the_streams_of_the_first(void **state)
{
	struct fix *fix = *state;
	struct {
		struct mp_hello hello;
		struct mp_close close;
	} bytes = { { .hdr = { .type = MP_HELLO, .size = sizeof(struct mp_hello) },
		      .magic = MP_MAGIC, .version = MP_VERSION, .lease = 4711 },
		    { .hdr = { .type = MP_CLOSE, .size = sizeof(struct mp_close) } } };
	struct leg leg;
	int fd;

	leg_open(fix, &leg, NULL);
	bytes.close.hdr.stream = media_stream_id(leg.stream);
	fd = raw_connect(fix);
	assert_int_equal(send(fd, &bytes, sizeof(bytes), 0), sizeof(bytes));
	fix_run(100);
	leg_stats(&leg); /* still there */
	close(fd);
	leg_close(&leg);
}

/* In a child, as there is no way back. Without Landlock in the kernel there is nothing to test. */
static void the_sandbox_forbids_writing_files(void **state)
{
	const struct fix *fix = *state;
	char run[128], recordings[128], file[160], other[160];
	int status, fd;
	pid_t pid = fork();

	if (!pid) {
		(void)snprintf(run, sizeof(run), "%s/run", fix->dir);
		(void)snprintf(file, sizeof(file), "%s/run/written", fix->dir);
		(void)snprintf(recordings, sizeof(recordings), "%s/recordings", fix->dir);
		if (sandbox_enter(run, recordings))
			_exit(7);
		fd = open(file, O_WRONLY | O_CREAT, 0600);
		if (fd >= 0 || errno != EACCES)
			_exit(1);

		/* Recordings are written and renamed where they belong, and nowhere else. */
		(void)snprintf(file, sizeof(file), "%s/a.part", recordings);
		(void)snprintf(other, sizeof(other), "%s/a", recordings);
		fd = open(file, O_WRONLY | O_CREAT, 0600);
		if (fd < 0 || rename(file, other))
			_exit(3);
		(void)snprintf(file, sizeof(file), "%s/run/a", fix->dir);
		if (!rename(other, file))
			_exit(4);
		_exit(open("/etc/hostname", O_RDONLY) >= 0 && unlink(fix->socket) == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 7)
		assert_int_equal(WEXITSTATUS(status), 0);
}

static unsigned files_of(pid_t pid)
{
	char command[64], text[16] = "";
	FILE *pipe;

	(void)snprintf(command, sizeof(command), "ls /proc/%d/fd | wc -l", (int)pid);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_non_null(fgets(text, sizeof(text), pipe));
	pclose(pipe);
	return (unsigned)atoi(text);
}

/* The child's leak checker speaks at its end; files are counted here. */
static void a_thousand_streams_leave_nothing_behind(void **state)
{
	struct fix *fix = *state;
	unsigned files = 0;
	struct leg legs[40];

	for (int round = 0; round < 25; round++) {
		for (int i = 0; i < 40; i++)
			leg_open(fix, &legs[i], &(struct media_open_opts){
				.near = i % 2 ? legs[i - 1].stream : NULL });
		for (int i = 0; i < 40; i += 2)
			media_bridge(legs[i].stream, legs[i + 1].stream);
		media_music_start(legs[0].stream, 0);
		for (int i = 0; i < 40; i++) {
			assert_false(legs[i].failed);
			leg_close(&legs[i]);
		}
		if (round == 2)
			files = files_of(fix->pid);
	}
	fix_run(300);
	assert_true(files_of(fix->pid) <= files + 40 * 2);
}

#define T(function) cmocka_unit_test_setup_teardown(function, fix_setup, fix_teardown)
#define T_ID(id, function)                                                                         \
	{                                                                                          \
		id " " #function, function, fix_setup, fix_teardown, NULL                          \
	}

/* A media process that is slow for a moment gets all that was said meanwhile, whatever the socket holds. */
static void commands_wait_for_a_process_that_does_not_read(void **state)
{
	struct fix *fix = *state;
	struct sa rtp;
	struct leg a;

	leg_open(fix, &a, NULL);
	sa_set_str(&rtp, "127.0.0.1", 9);
	assert_int_equal(kill(fix->pid, SIGSTOP), 0);
	for (int i = 0; i < 20000; i++) /* more than any socket's buffer */
		media_set_remote(a.stream, &(struct media_remote){ .rtp = &rtp, .may_recv = true });
	fix_run(50);
	assert_int_equal(kill(fix->pid, SIGCONT), 0);
	fix_sync(&a); /* answered in the order of the commands */
	leg_close(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T_ID("[TEL-03]", hold_and_music_are_continuous),
		T(a_codec_without_music_is_silent),
		T_ID("[PLT-37]", a_digit_is_sent_as_telephone_event),
		T(streams_survive_the_switch_without_losing_a_packet),
		T(a_kill_of_the_switch_loses_nothing_at_the_receiver),
		T(a_dead_media_process_is_told_as_lost),
		T(without_a_free_port_opening_fails_and_later_works),
		T(ports_that_browsers_refuse_are_left_out),
		T(malformed_control_messages_do_no_harm),
		T(a_second_lease_cannot_touch_the_streams_of_the_first),
		T(the_sandbox_forbids_writing_files),
		T(a_thousand_streams_leave_nothing_behind),
		T(commands_wait_for_a_process_that_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
