/* SPDX-License-Identifier: Apache-2.0 */
#include "call/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/err.h"
#include "base/log.h"

/*
 * File: records of {magic, crc, call id, length} and text; length 0 removes the call. A torn or
 * damaged record ends the reading: what follows cannot be trusted.
 *
 * The thread keeps the open calls in memory as well, to write them into a fresh file when the old
 * one is full of dead ones.
 */
#define RECORD_MAGIC 0x414f4a31u /* "AOJ1" */
#define OPEN_BUCKETS 4096

/* Records of this long go to the file with one write; a kill within it forgets them, and their calls
 * then look as they did before (ringing instead of answered). The longer time is for a busy switch,
 * whose calls would else wake this thread each for itself; after a pause the shorter one begins again. */
#define GATHER_MS      2
#define GATHER_BUSY_MS 20
#define BUSY_RECORDS   2 /* that came within one gathering */

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
	size_t len;
	char text[];
};

struct item { /* queued by the call thread */
	struct item *next;
	struct record_head head;
	char text[];
};

struct call_journal {
	char path[512], path_new[520];
	int fd;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct item *first, **last; /* under the mutex */
	size_t queued_bytes, n_queued;
	bool is_running, is_ending;
	bool is_waiting; /* the thread, for cond */
	struct call_journal_stats stats;
	/* the thread's own */
	struct entry *map[OPEN_BUCKETS];
	bool write_failed;
};

static uint32_t record_crc(const struct record_head *head, const char *text)
{
	uint32_t crc = crc32c(0, &head->call_id, sizeof(head->call_id));

	crc = crc32c(crc, &head->len, sizeof(head->len));
	return crc32c(crc, text, head->len);
}

static void map_remove(struct call_journal *journal, uint64_t call_id)
{
	struct entry **p = &journal->map[call_id % OPEN_BUCKETS];

	for (; *p; p = &(*p)->next) {
		struct entry *entry = *p;

		if (entry->call_id == call_id) {
			*p = entry->next;
			free(entry);
			return;
		}
	}
}

static void map_put(struct call_journal *journal, uint64_t call_id, const char *text, size_t len)
{
	struct entry *entry;

	map_remove(journal, call_id);

	entry = malloc(sizeof(*entry) + len);
	if (!entry)
		return;
	entry->call_id = call_id;
	entry->len = len;
	memcpy(entry->text, text, len);
	entry->next = journal->map[call_id % OPEN_BUCKETS];
	journal->map[call_id % OPEN_BUCKETS] = entry;
}

static void map_flush(struct call_journal *journal)
{
	for (size_t i = 0; i < OPEN_BUCKETS; i++) {
		while (journal->map[i])
			map_remove(journal, journal->map[i]->call_id);
	}
}

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

static int write_entry(int fd, uint64_t call_id, const char *text, size_t len)
{
	struct record_head head = { .magic = RECORD_MAGIC, .call_id = call_id, .len = (uint32_t)len };
	int err;

	head.crc = record_crc(&head, text);
	err = write_all(fd, &head, sizeof(head));

	return err ? err : write_all(fd, text, len);
}

/* A fresh file with what is open now takes the old one's place. */
static int rotate(struct call_journal *journal)
{
	int fd, err = 0;

	fd = open(journal->path_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;

	for (size_t i = 0; i < OPEN_BUCKETS && !err; i++) {
		for (struct entry *e = journal->map[i]; e && !err; e = e->next)
			err = write_entry(fd, e->call_id, e->text, e->len);
	}

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

static void write_batch(struct call_journal *journal, struct item *batch)
{
	char buf[64 * 1024];
	size_t used = 0;
	uint64_t bytes = 0;
	int err = 0;

	while (batch) {
		struct item *item = batch;
		size_t len = item->head.len;

		batch = item->next;

		if (len)
			map_put(journal, item->head.call_id, item->text, len);
		else
			map_remove(journal, item->head.call_id);

		if (used + sizeof(item->head) + len > sizeof(buf)) {
			err = err ? err : write_all(journal->fd, buf, used);
			bytes += used;
			used = 0;
		}
		memcpy(buf + used, &item->head, sizeof(item->head));
		memcpy(buf + used + sizeof(item->head), item->text, len);
		used += sizeof(item->head) + len;
		free(item);
	}

	err = err ? err : write_all(journal->fd, buf, used);
	bytes += used;

	pthread_mutex_lock(&journal->mutex);
	journal->stats.file_bytes += bytes;
	bytes = journal->stats.file_bytes;
	pthread_mutex_unlock(&journal->mutex);

	/* After a failed write the file may end in a torn record: start a new one. */
	if (err || journal->write_failed || bytes > CALL_JOURNAL_ROTATE_SIZE) {
		err = rotate(journal);
		pthread_mutex_lock(&journal->mutex);
		if (!err) {
			journal->stats.file_bytes = 0;
			journal->stats.rotations++;
		}
		pthread_mutex_unlock(&journal->mutex);
	}

	report(journal, err);
}

/* Waits for records and then for those that follow soon. While they keep coming it only sleeps, so that
 * nobody has to wake it. */
static struct item *next_batch(struct call_journal *journal, unsigned *gather_ms)
{
	struct item *batch;
	size_t n;

	pthread_mutex_lock(&journal->mutex);
	while (!journal->first && !journal->is_ending && *gather_ms == GATHER_MS) {
		journal->is_waiting = true;
		pthread_cond_wait(&journal->cond, &journal->mutex);
	}
	journal->is_waiting = false;
	if (!journal->is_ending) {
		pthread_mutex_unlock(&journal->mutex);
		(void)usleep(*gather_ms * 1000);
		pthread_mutex_lock(&journal->mutex);
	}
	batch = journal->first;
	n = journal->n_queued;
	journal->first = NULL;
	journal->last = &journal->first;
	journal->queued_bytes = journal->n_queued = 0;
	pthread_mutex_unlock(&journal->mutex);

	*gather_ms = n >= BUSY_RECORDS ? GATHER_BUSY_MS : GATHER_MS;
	return batch;
}

static void *journal_thread(void *arg)
{
	struct call_journal *journal = arg;
	unsigned gather_ms = GATHER_MS;
	struct item *batch;
	bool is_ending;

	(void)pthread_setname_np(pthread_self(), "open-calls");
	do {
		batch = next_batch(journal, &gather_ms);
		pthread_mutex_lock(&journal->mutex);
		is_ending = journal->is_ending && !journal->first;
		pthread_mutex_unlock(&journal->mutex);

		if (batch)
			write_batch(journal, batch);
	} while (!is_ending);

	return NULL;
}

static int read_file(struct call_journal *journal)
{
	struct record_head head;
	char *text;
	FILE *f;

	f = fopen(journal->path, "rbe");
	if (!f)
		return errno == ENOENT ? 0 : -errno;

	text = malloc(CALL_JOURNAL_MAX_RECORD);
	if (!text) {
		fclose(f);
		return -ENOMEM;
	}

	while (fread(&head, sizeof(head), 1, f) == 1) {
		if (head.magic != RECORD_MAGIC || head.len > CALL_JOURNAL_MAX_RECORD ||
		    (head.len && fread(text, head.len, 1, f) != 1) ||
		    head.crc != record_crc(&head, text)) {
			log_warn("call.journal_torn", "the journal of calls ends in a damaged record",
				 kv_text("path", journal->path), kv_int("offset", ftell(f)));
			break;
		}
		if (head.len)
			map_put(journal, head.call_id, text, head.len);
		else
			map_remove(journal, head.call_id);
	}

	free(text);
	fclose(f);
	return 0;
}

int call_journal_open(struct call_journal **ret, const char *dir, call_journal_left_h *left_h,
		      void *arg)
{
	struct call_journal *journal = calloc(1, sizeof(*journal));
	int err;

	if (!journal)
		return -ENOMEM;

	journal->fd = -1;
	journal->last = &journal->first;
	pthread_mutex_init(&journal->mutex, NULL);
	pthread_cond_init(&journal->cond, NULL);
	(void)snprintf(journal->path, sizeof(journal->path), "%s/calls.journal", dir);
	(void)snprintf(journal->path_new, sizeof(journal->path_new), "%s.new", journal->path);

	if (mkdir(dir, 0700) && errno != EEXIST) {
		err = -errno;
		goto out;
	}

	err = read_file(journal);
	if (err)
		goto out;

	for (size_t i = 0; i < OPEN_BUCKETS; i++) {
		for (struct entry *e = journal->map[i]; e; e = e->next)
			left_h(e->call_id, e->text, e->len, arg);
	}

	/* They stay open until each one's CDR is safe: a second crash must not forget them. */
	err = rotate(journal);
	if (err)
		goto out;

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
		pthread_mutex_lock(&journal->mutex);
		journal->is_ending = true;
		pthread_cond_signal(&journal->cond);
		pthread_mutex_unlock(&journal->mutex);
		pthread_join(journal->thread, NULL);
	}

	if (journal->fd >= 0)
		close(journal->fd);
	map_flush(journal);
	pthread_mutex_destroy(&journal->mutex);
	pthread_cond_destroy(&journal->cond);
	free(journal);
}

static void enqueue(struct call_journal *journal, uint64_t call_id, const void *data, size_t len)
{
	struct item *item;
	bool is_full;

	item = len <= CALL_JOURNAL_MAX_RECORD ? malloc(sizeof(*item) + len) : NULL;
	if (item) {
		item->next = NULL;
		item->head = (struct record_head){
			.magic = RECORD_MAGIC, .call_id = call_id, .len = (uint32_t)len
		};
		if (len)
			memcpy(item->text, data, len);
		item->head.crc = record_crc(&item->head, item->text);
	}

	pthread_mutex_lock(&journal->mutex);
	is_full = !item || journal->queued_bytes + len > CALL_JOURNAL_MAX_QUEUE;
	if (is_full) {
		journal->stats.dropped++;
	} else {
		if (journal->is_waiting)
			pthread_cond_signal(&journal->cond);
		journal->is_waiting = false;
		*journal->last = item;
		journal->last = &item->next;
		journal->queued_bytes += len + sizeof(*item);
		journal->n_queued++;
		if (len)
			journal->stats.puts++;
		else
			journal->stats.removes++;
	}
	pthread_mutex_unlock(&journal->mutex);

	if (is_full)
		free(item);
}

void call_journal_put(struct call_journal *journal, uint64_t call_id, const void *data, size_t len)
{
	if (journal && len)
		enqueue(journal, call_id, data, len);
}

void call_journal_remove(struct call_journal *journal, uint64_t call_id)
{
	if (journal)
		enqueue(journal, call_id, NULL, 0);
}

void call_journal_stats(struct call_journal *journal, struct call_journal_stats *ret)
{
	pthread_mutex_lock(&journal->mutex);
	*ret = journal->stats;
	pthread_mutex_unlock(&journal->mutex);
}
