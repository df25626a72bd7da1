/* SPDX-License-Identifier: Apache-2.0 */
#include "call/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/err.h"
#include "base/log.h"
#include "base/ring.h"

/*
 * Ring and file: records of {magic, crc, call id, length} and text; length 0 removes the call. A torn or
 * damaged record ends the reading: what follows cannot be trusted.
 *
 * A record leaves the ring when it is in the file. After a kill between the two it is taken twice, which
 * changes nothing: it says all that is known of its call, and so does each that follows.
 *
 * The thread keeps the open calls in memory as well, to write them into a fresh file when the old
 * one is full of dead ones.
 */
#define RECORD_MAGIC 0x414f4a31u /* "AOJ1" */
#define OPEN_BUCKETS 4096
#define TEXT_STEP    256u /* room for a call's text is a multiple of this: most changes fit where it is */
#define OUT_BYTES    (64u * 1024)

/* What comes within this long goes to the file with one write, and of each call the last. The thread only
 * sleeps meanwhile: on a calm core each wake is dear. After a pause the first record is written at once. */
#define GATHER_MS  100
#define MAX_ROUNDS 8 /* for what came while the file was written, so that the ring is empty and starts again */

#define WAKE_NEVER SIZE_MAX

struct record_head {
	uint32_t magic;
	uint32_t crc; /* of id, length and text */
	uint64_t call_id;
	uint32_t len;
	uint32_t reserved;
};

struct entry { /* an open call, in the thread's map */
	struct entry *next;
	uint64_t call_id;
	size_t len, room; /* of the text; len is 0 as long as nothing is known */
	uint8_t *text;
	const uint8_t *news; /* a newer record, where it was read, until it is kept */
	struct entry *next_changed;
};

struct out { /* to a file, in large pieces */
	int fd, err;
	uint64_t bytes; /* all that it was given */
	size_t len;
	uint8_t buf[OUT_BYTES];
};

struct call_journal {
	char path[512], path_new[520];
	struct ring *ring;
	int fd;
	pthread_t thread;
	bool is_running;
	_Atomic bool is_ending;
	_Atomic size_t wake_bytes; /* when so many lie in the ring the call thread wakes the other one */
	sem_t wake;
	_Atomic uint64_t puts, removes, dropped, written, rotations, file_bytes;
	/* the thread's own */
	struct entry *map[OPEN_BUCKETS];
	struct entry *changed, **last_changed;
	uint64_t told_dropped;
	bool write_failed;
	struct out out;
};

static uint32_t record_crc(const struct record_head *head, const void *text)
{
	uint32_t crc = crc32c(0, &head->call_id, sizeof(head->call_id));

	crc = crc32c(crc, &head->len, sizeof(head->len));
	return crc32c(crc, text, head->len);
}

/* ------------------------------------------------------------------ what is open */

static struct entry **map_find(struct call_journal *journal, uint64_t call_id)
{
	struct entry **p = &journal->map[call_id % OPEN_BUCKETS];

	while (*p && (*p)->call_id != call_id)
		p = &(*p)->next;

	return p;
}

static void map_remove(struct entry **p)
{
	struct entry *entry = *p;

	*p = entry->next;
	free(entry->text);
	free(entry);
}

static void map_flush(struct call_journal *journal)
{
	for (size_t i = 0; i < OPEN_BUCKETS; i++) {
		while (journal->map[i])
			map_remove(&journal->map[i]);
	}
}

/* A whole record, which stays where it is until it is kept. */
static void note_change(struct call_journal *journal, uint64_t call_id, const uint8_t *record)
{
	struct entry **p = map_find(journal, call_id), *entry = *p;

	if (!entry) {
		entry = *p = calloc(1, sizeof(*entry));
		if (!entry) {
			atomic_fetch_add(&journal->dropped, 1);
			return;
		}
		entry->call_id = call_id;
	}
	if (!entry->news) {
		*journal->last_changed = entry;
		journal->last_changed = &entry->next_changed;
	}
	entry->news = record;
}

static int keep_text(struct entry *entry, const uint8_t *text, size_t len)
{
	size_t room = (len + TEXT_STEP - 1) / TEXT_STEP * TEXT_STEP;
	uint8_t *bigger;

	if (room > entry->room) {
		bigger = realloc(entry->text, room);
		if (!bigger)
			return -ENOMEM;
		entry->text = bigger;
		entry->room = room;
	}
	memcpy(entry->text, text, len);
	entry->len = len;

	return 0;
}

/* Notes the records that lie there, up to one that is damaged. Returns their bytes. */
static size_t note_records(struct call_journal *journal, const uint8_t *data, size_t len)
{
	struct record_head head;
	size_t at = 0;

	while (len - at >= sizeof(head)) {
		const uint8_t *text = data + at + sizeof(head);

		memcpy(&head, data + at, sizeof(head));
		if (head.magic != RECORD_MAGIC || head.len > CALL_JOURNAL_MAX_RECORD ||
		    head.len > len - at - sizeof(head) || head.crc != record_crc(&head, text))
			break;

		note_change(journal, head.call_id, data + at);
		at += sizeof(head) + head.len;
	}

	return at;
}

/* ------------------------------------------------------------------ the file */

static int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}

	return 0;
}

static void out_begin(struct out *out, int fd)
{
	out->fd = fd;
	out->err = 0;
	out->bytes = out->len = 0;
}

static int out_flush(struct out *out)
{
	if (!out->err)
		out->err = write_all(out->fd, out->buf, out->len);
	out->len = 0;

	return out->err;
}

static void out_put(struct out *out, const void *data, size_t len)
{
	if (out->len + len > sizeof(out->buf))
		(void)out_flush(out); /* its error stays */
	memcpy(out->buf + out->len, data, len);
	out->len += len;
	out->bytes += len;
}

static void out_entry(struct out *out, const struct entry *entry)
{
	struct record_head head = { .magic = RECORD_MAGIC,
				    .call_id = entry->call_id,
				    .len = (uint32_t)entry->len };

	if (!entry->len)
		return;
	head.crc = record_crc(&head, entry->text);
	out_put(out, &head, sizeof(head));
	out_put(out, entry->text, entry->len);
}

/* What was noted is what is known from now on. out: where it is written as well, or NULL. */
static void keep_changes(struct call_journal *journal, struct out *out)
{
	struct entry *entry = journal->changed;

	journal->changed = NULL;
	journal->last_changed = &journal->changed;
	while (entry) {
		struct entry *next = entry->next_changed;
		const uint8_t *record = entry->news;
		struct record_head head;

		memcpy(&head, record, sizeof(head));
		entry->news = NULL;
		entry->next_changed = NULL;
		if (out) {
			out_put(out, record, sizeof(head) + head.len);
			atomic_fetch_add(&journal->written, 1);
		}
		if (!head.len)
			map_remove(map_find(journal, head.call_id));
		else if (keep_text(entry, record + sizeof(head), head.len))
			atomic_fetch_add(&journal->dropped, 1);
		entry = next;
	}
}

/* A fresh file with what is open now takes the old one's place. */
static int rotate(struct call_journal *journal)
{
	struct out *out = &journal->out;
	int fd, err;

	fd = open(journal->path_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;

	out_begin(out, fd);
	for (size_t i = 0; i < OPEN_BUCKETS && !out->err; i++) {
		for (struct entry *e = journal->map[i]; e && !out->err; e = e->next)
			out_entry(out, e);
	}

	err = out_flush(out);
	if (!err && rename(journal->path_new, journal->path))
		err = -errno;
	if (err) {
		close(fd);
		(void)unlink(journal->path_new); /* the old file is still whole */
		return err;
	}

	if (journal->fd >= 0)
		close(journal->fd);
	journal->fd = fd;
	return 0;
}

static void report(struct call_journal *journal, int err)
{
	/* Calls go on without a journal; one line when it breaks, one when it works again. */
	if (err && !journal->write_failed)
		log_error("call.journal_failed",
			  "open calls cannot be journalled: free space or mend the disk",
			  kv_text("path", journal->path), kv_err(err));
	else if (!err && journal->write_failed)
		log_info("call.journal_works", "open calls are journalled again");

	journal->write_failed = err != 0;
}

static void report_dropped(struct call_journal *journal)
{
	uint64_t dropped = atomic_load(&journal->dropped);

	if (dropped == journal->told_dropped)
		return;
	log_error("call.journal_full",
		  "the disk did not follow: changes of open calls are not in the journal, and a restart after a"
		  " crash would not know them",
		  kv_text("path", journal->path), kv_int("changes", dropped - journal->told_dropped));
	journal->told_dropped = dropped;
}

static void report_damage(const struct call_journal *journal, size_t offset, size_t len)
{
	log_error("call.journal_damaged",
		  "the memory of open calls has a damaged record; it is left aside with what follows it",
		  kv_text("path", journal->path), kv_int("offset", offset), kv_int("bytes", len - offset));
}

/* ------------------------------------------------------------------ the thread */

static void write_changes(struct call_journal *journal)
{
	uint64_t bytes;
	int err;

	out_begin(&journal->out, journal->fd);
	keep_changes(journal, &journal->out);
	err = out_flush(&journal->out);
	bytes = atomic_fetch_add(&journal->file_bytes, journal->out.bytes) + journal->out.bytes;

	/* After a failed write the file may end in a torn record: start a new one. */
	if (err || journal->write_failed || bytes > CALL_JOURNAL_ROTATE_SIZE) {
		err = rotate(journal);
		if (!err) {
			atomic_store(&journal->file_bytes, 0);
			atomic_fetch_add(&journal->rotations, 1);
		}
	}

	report(journal, err);
}

/* Returns whether anything had come. */
static bool write_gathered(struct call_journal *journal)
{
	size_t len, noted;
	int round;

	for (round = 0; round < MAX_ROUNDS; round++) {
		const uint8_t *data = ring_peek(journal->ring, &len);

		if (!len)
			break;
		noted = note_records(journal, data, len);
		if (noted < len)
			report_damage(journal, noted, len);
		write_changes(journal);
		ring_drop(journal->ring, len);
	}
	report_dropped(journal);

	return round > 0;
}

static struct timespec after_ms(unsigned span_ms)
{
	struct timespec at;

	(void)clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_nsec += (long)(span_ms % 1000) * 1000000;
	at.tv_sec += span_ms / 1000 + at.tv_nsec / 1000000000;
	at.tv_nsec %= 1000000000;

	return at;
}

/* Until so many bytes lie in the ring, or the time is over; NULL: however long that takes. */
static void wait_for(struct call_journal *journal, size_t bytes, const struct timespec *until)
{
	/* First told, then looked: the call thread puts first and then reads what is told. */
	atomic_store(&journal->wake_bytes, bytes);
	if (ring_used(journal->ring) < bytes && !atomic_load(&journal->is_ending)) {
		if (until)
			(void)sem_clockwait(&journal->wake, CLOCK_MONOTONIC, until);
		else
			(void)sem_wait(&journal->wake);
	}
	atomic_store(&journal->wake_bytes, WAKE_NEVER);
}

static void *journal_thread(void *arg)
{
	struct call_journal *journal = arg;
	bool is_ending, has_come = false;

	(void)pthread_setname_np(pthread_self(), "open-calls");
	do {
		const struct timespec until = after_ms(GATHER_MS);

		/* While records keep coming nobody has to wake it, except before the ring is full. */
		if (has_come)
			wait_for(journal, CALL_JOURNAL_QUEUE_BYTES / 2, &until);
		else
			wait_for(journal, 1, NULL);
		is_ending = atomic_load(&journal->is_ending); /* what was put before is written below */
		has_come = write_gathered(journal);
	} while (!is_ending);

	return NULL;
}

/* ------------------------------------------------------------------ what the last process left */

static int read_file(struct call_journal *journal)
{
	struct record_head head;
	uint8_t *record;
	FILE *f;

	f = fopen(journal->path, "rbe");
	if (!f)
		return errno == ENOENT ? 0 : -errno;

	record = malloc(sizeof(head) + CALL_JOURNAL_MAX_RECORD);
	if (!record) {
		fclose(f);
		return -ENOMEM;
	}

	while (fread(record, sizeof(head), 1, f) == 1) {
		size_t len;

		memcpy(&head, record, sizeof(head));
		len = sizeof(head) + head.len;
		if (head.len > CALL_JOURNAL_MAX_RECORD ||
		    (head.len && fread(record + sizeof(head), head.len, 1, f) != 1) ||
		    note_records(journal, record, len) != len) {
			log_warn("call.journal_torn", "the journal of calls ends in a damaged record",
				 kv_text("path", journal->path), kv_int("offset", ftell(f)));
			break;
		}
		keep_changes(journal, NULL);
	}

	free(record);
	fclose(f);
	return 0;
}

static int attach_ring(struct call_journal *journal, int memory_fd)
{
	bool is_damaged = false;
	int err;

	if (memory_fd < 0)
		return ring_alloc(&journal->ring, CALL_JOURNAL_QUEUE_BYTES);

	err = ring_attach(&journal->ring, &is_damaged, memory_fd, CALL_JOURNAL_QUEUE_BYTES);
	if (err) {
		log_warn("call.journal_memory",
			 "the memory of open calls cannot be used: a crash forgets their last changes",
			 kv_err(err));
		return ring_alloc(&journal->ring, CALL_JOURNAL_QUEUE_BYTES);
	}
	if (is_damaged)
		report_damage(journal, 0, 0);

	return 0;
}

/* What a killed process had put and not yet written. */
static void read_ring(struct call_journal *journal)
{
	size_t len, noted;
	const uint8_t *data = ring_peek(journal->ring, &len);

	noted = note_records(journal, data, len);
	keep_changes(journal, NULL);
	if (noted < len)
		report_damage(journal, noted, len);
	if (noted)
		log_info("call.journal_left", "the last changes of open calls were found in memory",
			 kv_int("bytes", noted));
}

int call_journal_make_memory(void)
{
	return ring_make_memory("aoide-open-calls", CALL_JOURNAL_QUEUE_BYTES);
}

int call_journal_open(struct call_journal **ret, const char *dir, int memory_fd,
		      call_journal_left_h *left_h, void *arg)
{
	struct call_journal *journal = calloc(1, sizeof(*journal));
	int err;

	if (!journal)
		return -ENOMEM;

	journal->fd = -1;
	journal->last_changed = &journal->changed;
	atomic_store(&journal->wake_bytes, WAKE_NEVER);
	(void)sem_init(&journal->wake, 0, 0);
	(void)snprintf(journal->path, sizeof(journal->path), "%s/calls.journal", dir);
	(void)snprintf(journal->path_new, sizeof(journal->path_new), "%s.new", journal->path);

	if (mkdir(dir, 0700) && errno != EEXIST) {
		err = -errno;
		goto out;
	}

	err = attach_ring(journal, memory_fd);
	if (!err)
		err = read_file(journal);
	if (err)
		goto out;
	read_ring(journal);

	for (size_t i = 0; i < OPEN_BUCKETS; i++) {
		for (struct entry *e = journal->map[i]; e; e = e->next) {
			if (e->len)
				left_h(e->call_id, e->text, e->len, arg);
		}
	}

	/* They stay open until each one's CDR is safe: a second crash must not forget them. */
	err = rotate(journal);
	if (err)
		goto out;
	ring_drop(journal->ring, ring_used(journal->ring)); /* it is in the file */

	err = -pthread_create(&journal->thread, NULL, journal_thread, journal);
	if (err)
		goto out;

	journal->is_running = true;
	*ret = journal;
	journal = NULL;

out:
	call_journal_close(journal);
	return err;
}

void call_journal_close(struct call_journal *journal)
{
	if (!journal)
		return;

	if (journal->is_running) {
		atomic_store(&journal->is_ending, true);
		(void)sem_post(&journal->wake);
		pthread_join(journal->thread, NULL);
	}

	if (journal->fd >= 0)
		close(journal->fd);
	map_flush(journal);
	ring_free(journal->ring);
	(void)sem_destroy(&journal->wake);
	free(journal);
}

static void ignore_left(uint64_t call_id, const void *data, size_t len, void *arg)
{
	(void)call_id;
	(void)data;
	(void)len;
	(void)arg;
}

int call_journal_settle(const char *dir, int memory_fd)
{
	struct call_journal *journal = NULL;
	struct ring *ring = NULL;
	bool is_damaged;
	size_t used;
	int err;

	err = ring_attach(&ring, &is_damaged, memory_fd, CALL_JOURNAL_QUEUE_BYTES);
	if (err)
		return err;
	used = ring_used(ring);
	ring_free(ring);
	if (!used)
		return 0;

	/* To open it is to bring the file up to date. */
	err = call_journal_open(&journal, dir, memory_fd, ignore_left, NULL);
	call_journal_close(journal);

	return err;
}

/* ------------------------------------------------------------------ the call thread */

static bool enqueue(struct call_journal *journal, uint64_t call_id, const void *data, size_t len)
{
	struct record_head head = { .magic = RECORD_MAGIC, .call_id = call_id, .len = (uint32_t)len };
	int err = -EMSGSIZE;

	if (len <= CALL_JOURNAL_MAX_RECORD) {
		head.crc = record_crc(&head, data);
		err = ring_put(journal->ring, &head, sizeof(head), data, len);
	}
	if (err) {
		atomic_fetch_add(&journal->dropped, 1);
		return false;
	}

	if (ring_used(journal->ring) >= atomic_load(&journal->wake_bytes) &&
	    atomic_exchange(&journal->wake_bytes, WAKE_NEVER) != WAKE_NEVER)
		(void)sem_post(&journal->wake);

	return true;
}

void call_journal_put(struct call_journal *journal, uint64_t call_id, const void *data, size_t len)
{
	if (journal && len && enqueue(journal, call_id, data, len))
		atomic_fetch_add(&journal->puts, 1);
}

void call_journal_remove(struct call_journal *journal, uint64_t call_id)
{
	if (journal && enqueue(journal, call_id, NULL, 0))
		atomic_fetch_add(&journal->removes, 1);
}

void call_journal_stats(const struct call_journal *journal, struct call_journal_stats *ret)
{
	*ret = (struct call_journal_stats){
		.puts = atomic_load(&journal->puts),
		.removes = atomic_load(&journal->removes),
		.dropped = atomic_load(&journal->dropped),
		.written = atomic_load(&journal->written),
		.rotations = atomic_load(&journal->rotations),
		.file_bytes = atomic_load(&journal->file_bytes),
	};
}
