/* SPDX-License-Identifier: Apache-2.0 */
#include "call/call_record.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/fiber.h"
#include "base/log.h"
#include "call/call.h"
#include "call/call_play.h"
#include "call/cdr.h"
#include "call/engine.h"
#include "call/leg.h"
#include "call/record.h"
#include "db/writer.h"
#include "media/disk.h"
#include "snapshot/snapshot.h"

#define PATH_MAX_BYTES 232 /* as media_record() takes it */
#define META_MAX_BYTES 4096
#define BEEP           "tone:1000/250,0/50"

struct recording {
	struct le le;            /* engine->recordings, which holds a reference until all is told */
	struct engine *engine;
	struct call *call;       /* NULL once the call is over */
	struct media_stream *stream; /* not held: only to command it while the leg has it */
	struct leg *leg;         /* likewise */
	uint32_t id, ms;
	char path[PATH_MAX_BYTES];
	bool paused, over, metadata;
	int err;
	enum media_end reason;
	int64_t start_us, stop_us;
	enum record_direction direction;
	enum record_type type;
	enum record_destination destination;
	unsigned sequence;
	char owner[CALL_TEXT], destination_name[CALL_TEXT];
	char *note;              /* to be written once the file is complete; NULL: nothing */
	struct cdr *cdr;         /* a copy, once the call is over; only when metadata waits for it */
};

static void recording_destructor(void *arg)
{
	struct recording *rec = arg;

	list_unlink(&rec->le);
	mem_deref(rec->note);
	mem_deref(rec->cdr);
}

bool recording_is_over(const struct recording *rec)
{
	return rec->over;
}

uint32_t recording_ms(const struct recording *rec)
{
	return rec->ms;
}

int recording_error(const struct recording *rec)
{
	return rec->err;
}

const char *recording_path(const struct recording *rec)
{
	return rec->path;
}

struct recording *recording_of(const struct call *call)
{
	for (struct le *le = call->engine->recordings.tail; le; le = le->prev) {
		struct recording *rec = le->data;

		if (rec->call == call && !rec->over)
			return rec;
	}

	return NULL;
}

/* ------------------------------------------------------------------ metadata (PLT-89) */

/* One value per line: what a name carries may not become another line. */
static const char *clean(char *buf, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 1 < size; text++)
		buf[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
	buf[n] = '\0';

	return buf;
}

static const char *when(char *buf, size_t size, int64_t us)
{
	if (!us)
		buf[0] = '\0';
	else
		(void)clk_iso(buf, size, us);

	return buf;
}

static long long seconds(int64_t from_us, int64_t to_us)
{
	return from_us && to_us > from_us ? (long long)((to_us - from_us) / 1000000) : 0;
}

static int print_metadata(char *buf, size_t size, const struct recording *rec)
{
	const struct cdr *cdr = rec->cdr;
	char t[6][32], text[7][2 * CALL_TEXT];

	return snprintf(
		buf, size,
		"[Record data]\n"
		"start_recording_timestamp=%s\n"
		"stop_recording_timestamp=%s\n"
		"direction=%d\n"
		"type=%d\n"
		"sequence_number=%u\n"
		"owner=%s\n"
		"destination_type=%d\n"
		"destination_name=%s\n"
		"\n"
		"[cdr_data]\n"
		"linked_id=%s\n"
		"start_time=%s\n"
		"channel_up_time=%s\n"
		"answer_time=%s\n"
		"end_time=%s\n"
		"status=%s\n"
		"caller_id=%s\n"
		"caller_name=%s\n"
		"called=%s\n"
		"called_name=%s\n"
		"answered_by=%s\n"
		"account_code=%s\n"
		"queue=\n"
		"duration=%lld\n"
		"bill_secs=%lld\n",
		when(t[0], sizeof(t[0]), rec->start_us), when(t[1], sizeof(t[1]), rec->stop_us),
		rec->direction, rec->type, rec->sequence, clean(text[0], sizeof(text[0]), rec->owner),
		rec->destination, clean(text[1], sizeof(text[1]), rec->destination_name), cdr->linkedid,
		when(t[2], sizeof(t[2]), cdr->start_us), when(t[3], sizeof(t[3]), cdr->channel_up_us),
		when(t[4], sizeof(t[4]), cdr->answer_us), when(t[5], sizeof(t[5]), cdr->end_us),
		cdr->status, clean(text[2], sizeof(text[2]), cdr->caller),
		clean(text[3], sizeof(text[3]), cdr->caller_name),
		clean(text[4], sizeof(text[4]), cdr->called),
		clean(text[5], sizeof(text[5]), cdr->called_name),
		cdr->answered_by, clean(text[6], sizeof(text[6]), cdr->account_code),
		seconds(cdr->start_us, cdr->end_us), seconds(cdr->answer_us, cdr->end_us));
}

/* The path, a zero byte, the text: the writer thread makes a file of it. */
static void post_text(const struct recording *rec)
{
	char *data = mem_alloc(PATH_MAX_BYTES + META_MAX_BYTES, NULL);
	size_t at;
	int n, err;

	if (!data)
		return;

	at = (size_t)snprintf(data, PATH_MAX_BYTES, "%s", rec->path) + 1;
	n = rec->note ? snprintf(data + at, META_MAX_BYTES, "%s", rec->note) :
			print_metadata(data + at, META_MAX_BYTES, rec);
	err = n < 0 || n >= META_MAX_BYTES
		      ? -EMSGSIZE
		      : writer_post(rec->engine->o.writer, RECORDING_RECORD, data, at + (size_t)n, NULL);
	if (err)
		log_error("call.metadata", "the metadata of a recording could not be stored",
			  kv_text("file", rec->path), kv_err(err));
	mem_deref(data);
}

/* When the recording was written to last; it may not have its name yet. 0: there is none. */
static int64_t last_write_us(const char *folder, const char *path)
{
	static const char *const endings[] = { "", ".part" };
	char name[4096];
	struct stat st;

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		(void)snprintf(name, sizeof(name), "%s/%s%s", folder, path, endings[i]);
		if (!stat(name, &st))
			return (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
	}

	return 0;
}

/* text into buf, with the stop time of a recording that nobody saw the end of. Returns the length. */
static size_t with_stop_time(char *buf, const char *text, size_t len, const char *folder,
			     const char *path)
{
	static const char key[] = "\nstop_recording_timestamp=\n";
	const char *at = memmem(text, len, key, sizeof(key) - 1);
	const size_t head = at ? (size_t)(at - text) + sizeof(key) - 2 : len;
	const int64_t us = at ? last_write_us(folder, path) : 0;
	size_t n = 0;

	memcpy(buf, text, head);
	if (us)
		n = strlen(clk_iso(buf + head, 32, us));
	memcpy(buf + head + n, text + head, len - head);

	return len + n;
}

static int write_file(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len || fsync(fd))
		err = errno ? -errno : -EIO;
	(void)close(fd);

	return err;
}

int recording_writer_apply(const char *folder, const void *data, size_t len)
{
	const char *path = data, *end = memchr(data, 0, len);
	char tmp[4096], name[4096], text[META_MAX_BYTES + 32];
	size_t n;
	int err;

	if (!end || !disk_path_ok(path) || len - (size_t)(end + 1 - path) > META_MAX_BYTES)
		return -EINVAL;

	n = with_stop_time(text, end + 1, len - (size_t)(end + 1 - path), folder, path);

	(void)snprintf(name, sizeof(name), "%s/%s.txt", folder, path);
	(void)snprintf(tmp, sizeof(tmp), "%s/%s.txt.tmp", folder, path);
	err = write_file(tmp, text, n);
	if (!err && rename(tmp, name))
		err = -errno;
	if (err)
		log_error("call.metadata", "the metadata of a recording could not be written",
			  kv_text("file", name), kv_err(err));

	/* A folder that has gone must not hold up the CDRs behind: the record is put aside. */
	return err ? -EINVAL : 0;
}

/* ------------------------------------------------------------------ life */

/* All is known that will be: the file, and when somebody waits for it, the call's CDR. */
static void conclude(struct recording *rec)
{
	if (!rec->over || (rec->metadata && !rec->cdr))
		return;

	if ((rec->metadata || (rec->note && !rec->err)) && rec->engine->o.writer)
		post_text(rec);
	list_unlink(&rec->le);
	mem_deref(rec);
}

int recording_note(struct recording *rec, const char *text)
{
	if (strlen(text) >= META_MAX_BYTES)
		return -EMSGSIZE;
	if (!rec->engine->o.writer)
		return -EUNAVAILABLE;
	if (rec->over && rec->err)
		return rec->err;
	mem_deref(rec->note);
	rec->metadata = false;
	if (str_dup(&rec->note, text))
		return -ENOMEM;
	if (rec->over)
		post_text(rec);
	return 0;
}

static void on_over(struct recording *rec, int err, enum media_end reason, uint32_t ms)
{
	rec->over = true;
	rec->err = err;
	rec->reason = reason;
	rec->ms = ms;
	rec->stop_us = clk_wall_us();
	if (err)
		log_error("call.recording_failed", "a recording ended before it should",
			  kv_text("file", rec->path), kv_err(err));
	if (rec->call) {
		call_wake(rec->call);
		call_record_save(rec->call);
	}
	conclude(rec);
}

void recording_event(const struct media_event *event, void *arg)
{
	struct engine *engine = arg;

	for (struct le *le = engine->recordings.head; le; le = le->next) {
		struct recording *rec = le->data;

		if (rec->id == event->id && !rec->over) {
			on_over(rec, event->err, event->reason, event->span_ms);
			return;
		}
	}
}

void recording_media_lost(struct engine *engine)
{
	for (struct le *le = engine->recordings.head; le;) {
		struct recording *rec = le->data;

		le = le->next;
		if (!rec->over)
			on_over(rec, -EUNAVAILABLE, MEDIA_END_FAILED,
				(uint32_t)((clk_wall_us() - rec->start_us) / 1000));
	}
}

void recording_call_ended(struct call *call, const struct cdr *cdr)
{
	for (struct le *le = call->engine->recordings.head; le;) {
		struct recording *rec = le->data;

		le = le->next;
		if (rec->call != call)
			continue;
		rec->call = NULL;
		rec->leg = NULL;
		rec->stream = NULL;
		if (!rec->metadata)
			continue;
		rec->cdr = mem_alloc(sizeof(*cdr), NULL);
		if (rec->cdr)
			memcpy(rec->cdr, cdr, offsetof(struct cdr, details));
		else
			rec->metadata = false;
		/* The journal forgets the call now; the exact end follows when it is known. */
		if (rec->metadata && !rec->over && rec->engine->o.writer)
			post_text(rec);
		conclude(rec);
	}
}

/* ------------------------------------------------------------------ after a crash */

struct left { /* of a recording, in the journal of open calls */
	int64_t start_us, stop_us;
	uint32_t sequence;
	uint8_t direction, type, destination;
	char path[PATH_MAX_BYTES], owner[CALL_TEXT], destination_name[CALL_TEXT];
};

size_t recording_export(const struct call *call, void *buf, size_t size)
{
	size_t used = 0;

	for (struct le *le = call->engine->recordings.head; le; le = le->next) {
		const struct recording *rec = le->data;
		struct left left = { .start_us = rec->start_us,
				     .stop_us = rec->stop_us,
				     .sequence = rec->sequence,
				     .direction = (uint8_t)rec->direction,
				     .type = (uint8_t)rec->type,
				     .destination = (uint8_t)rec->destination };

		if (rec->call != call || !rec->metadata || size - used < sizeof(left))
			continue;
		str_ncpy(left.path, rec->path, sizeof(left.path));
		str_ncpy(left.owner, rec->owner, sizeof(left.owner));
		str_ncpy(left.destination_name, rec->destination_name, sizeof(left.destination_name));
		memcpy((char *)buf + used, &left, sizeof(left));
		used += sizeof(left);
	}

	return used;
}

void recording_recover(struct engine *engine, const void *data, size_t len, const struct cdr *cdr)
{
	struct recording *rec = mem_zalloc(sizeof(*rec), recording_destructor);
	struct left left;

	for (size_t at = 0; rec && engine->o.writer && len - at >= sizeof(left); at += sizeof(left)) {
		memcpy(&left, (const char *)data + at, sizeof(left));
		rec->engine = engine;
		rec->start_us = left.start_us;
		rec->stop_us = left.stop_us;
		rec->sequence = left.sequence;
		rec->direction = left.direction;
		rec->type = left.type;
		rec->destination = left.destination;
		str_ncpy(rec->path, left.path, sizeof(rec->path));
		str_ncpy(rec->owner, left.owner, sizeof(rec->owner));
		str_ncpy(rec->destination_name, left.destination_name, sizeof(rec->destination_name));
		rec->cdr = mem_ref((void *)(uintptr_t)cdr);
		post_text(rec);
		rec->cdr = mem_deref(rec->cdr);
	}
	mem_deref(rec);
}

/* ------------------------------------------------------------------ starting */

static int make_path(struct recording *rec, const struct record_opts *opts)
{
	const char *kind = opts->opus ? ".opus" : ".wav", *sealed = opts->encrypt ? ".enc" : "";
	const time_t now = (time_t)clk_wall_s();
	const struct call *call = rec->call;
	struct tm tm;
	int n;

	if (opts->path) {
		n = snprintf(rec->path, sizeof(rec->path), "%s%s%s", opts->path, kind, sealed);
	} else {
		(void)gmtime_r(&now, &tm);
		n = snprintf(rec->path, sizeof(rec->path), "%lld/%04d/%02d/%02d/%s-%u%s%s",
			     (long long)call->tenant->id, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			     call->linkedid, rec->sequence, kind, sealed);
	}

	return n < 0 || (size_t)n >= sizeof(rec->path) ? -ENAMETOOLONG : 0;
}

int recording_start(struct recording **ret, struct call *call, struct leg *leg,
		    const struct record_opts *opts)
{
	struct engine *engine = call->engine;
	struct media_stream *stream = leg_sound(leg);
	struct recording *rec;
	int err;

	if (leg->direct)
		return -ENOTSUP;
	if (!stream)
		return -ENOTCONN;
	if (opts->encrypt && !engine->o.recording_key)
		return -EFORBIDDEN;

	rec = mem_zalloc(sizeof(*rec), recording_destructor);
	if (!rec)
		return -ENOMEM;
	rec->engine = engine;
	rec->call = call;
	rec->leg = leg;
	rec->stream = stream;
	rec->id = ++engine->next_recording_id;
	rec->sequence = ++call->n_recordings;
	rec->start_us = clk_wall_us();
	rec->direction = opts->direction ? opts->direction : RECORD_STEREO;
	rec->type = opts->type ? opts->type : RECORD_UNCONDITIONAL;
	rec->destination = opts->destination;
	rec->metadata = opts->metadata;
	str_ncpy(rec->owner, opts->owner ? opts->owner : "", sizeof(rec->owner));
	str_ncpy(rec->destination_name, opts->destination_name ? opts->destination_name : "",
		 sizeof(rec->destination_name));

	err = make_path(rec, opts);
	if (!err)
		err = media_record(stream, &(struct media_record){
			.id = rec->id,
			.path = rec->path,
			.stereo = rec->direction == RECORD_STEREO,
			.said_only = rec->direction == RECORD_IN,
			.opus = opts->opus,
			.key = opts->encrypt ? engine->o.recording_key : NULL,
			.max_ms = opts->max_ms,
			.silence_ms = opts->silence_ms,
			.keys = opts->stop_keys });
	if (err) {
		mem_deref(rec);
		return err;
	}

	list_append(&engine->recordings, &rec->le, rec);
	*ret = mem_ref(rec);
	call_record_save(call);
	log_info("call.recording", "a recording begins", kv_text("linkedid", call->linkedid),
		 kv_text("file", rec->path));
	return 0;
}

/* The leg still has the stream; else the recording ends, or has ended, with it. */
static struct media_stream *stream_of(const struct recording *rec)
{
	return !rec->over && rec->call && rec->leg && leg_sound(rec->leg) == rec->stream ? rec->stream
											  : NULL;
}

void recording_pause(struct recording *rec, bool pause)
{
	struct media_stream *stream = stream_of(rec);

	if (!stream || rec->paused == pause)
		return;
	rec->paused = pause;
	media_record_pause(stream, rec->id, pause);
}

void recording_stop(struct recording *rec)
{
	struct media_stream *stream = stream_of(rec);

	if (stream)
		media_record_stop(stream, rec->id);
}

void recording_leg_gone(struct leg *leg)
{
	for (struct le *le = leg->engine->recordings.head; le; le = le->next) {
		struct recording *rec = le->data;

		if (rec->leg == leg) {
			rec->leg = NULL;
			rec->stream = NULL;
		}
	}
}

/* ------------------------------------------------------------------ in the fiber */

/* Until the recording is over; what the phone wants meanwhile is dealt with. */
static int wait_over(struct call *call, const struct leg *leg, const struct recording *rec)
{
	struct call_event *event;
	int err = 0;

	while (!rec->over && !err) {
		err = call_next(call, FIBER_FOREVER, &event);
		if (err)
			return err;
		if (event->type == CALL_EV_OFFER)
			err = call_offer(call, event->leg, event);
		else if (event->type == CALL_EV_ENDED && event->leg == leg)
			err = -ECONNRESET;
		else if (event->type == CALL_EV_MEDIA_LOST)
			err = -EUNAVAILABLE;
		mem_deref(event);
	}

	return err;
}

int call_record(struct call *call, struct leg *leg, const struct record_opts *opts,
		struct recording **ret, enum media_end *reason)
{
	struct record_opts said = *opts;
	struct recording *rec = NULL;
	const char *beep = BEEP;
	int err;

	said.direction = RECORD_IN;
	if (opts->beep) {
		err = call_play(call, &(struct prompt){ .leg = leg, .names = &beep, .n_names = 1 });
		if (err < 0 && err != -ENOENT)
			return err;
	}

	err = recording_start(&rec, call, leg, &said);
	if (err)
		return err;

	err = wait_over(call, leg, rec);
	if (err && !rec->over) {
		/* Hung up: what was said stays, and its length is known when the file is complete. */
		recording_stop(rec);
		rec->reason = MEDIA_END_STOPPED;
		rec->ms = (uint32_t)((clk_wall_us() - rec->start_us) / 1000);
	}
	if (!err)
		err = rec->err;
	*reason = rec->reason;
	*ret = rec;
	return err;
}
