/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/convert.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audio/audio_priv.h"
#include "base/clock.h"
#include "base/err.h"

/*
 * The jailed child reads the archive and sends its files through a pipe as records: one byte of kind,
 * four bytes of length (little endian), data. The parent decides what is kept.
 */
enum record { REC_FILE = 'F', REC_DATA = 'D', REC_CLOSE = 'C', REC_END = 'E', REC_BAD = 'B' };
#define BLOCK_BYTES   65536u
#define PATH_BYTES    1024u
#define UNPACK_S      90

/* ------------------------------------------------------------------ the child's side */

static bool send_all(int fd, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool send_record(int fd, enum record kind, const void *data, size_t len)
{
	const uint8_t head[5] = { (uint8_t)kind, (uint8_t)len, (uint8_t)(len >> 8),
				  (uint8_t)(len >> 16), (uint8_t)(len >> 24) };

	return send_all(fd, head, sizeof(head)) && send_all(fd, data, len);
}

static bool send_file(struct archive *zip, const char *path, int out_fd, bool *bad)
{
	static char block[BLOCK_BYTES];
	la_ssize_t n;

	if (!send_record(out_fd, REC_FILE, path, strlen(path)))
		return false;
	while ((n = archive_read_data(zip, block, sizeof(block))) > 0)
		if (!send_record(out_fd, REC_DATA, block, (size_t)n))
			return false;
	*bad = n < 0;
	return send_record(out_fd, n < 0 ? REC_BAD : REC_CLOSE, NULL, 0);
}

int audio_unpack_child(int zip_fd, int out_fd)
{
	struct archive *zip = archive_read_new();
	struct archive_entry *entry;
	bool ok = true, bad = false;
	int n = ARCHIVE_FATAL;

	if (!zip)
		return EXIT_FAILURE;
	if (archive_read_support_format_zip(zip) == ARCHIVE_OK &&
	    archive_read_open_fd(zip, zip_fd, BLOCK_BYTES) == ARCHIVE_OK)
		while (ok && !bad && (n = archive_read_next_header(zip, &entry)) >= ARCHIVE_WARN &&
		       n != ARCHIVE_EOF) {
			const char *path = archive_entry_pathname(entry);

			if (path && *path && strlen(path) < PATH_BYTES &&
			    archive_entry_filetype(entry) == AE_IFREG)
				ok = send_file(zip, path, out_fd, &bad);
		}
	ok = ok && send_record(out_fd, n == ARCHIVE_EOF && !bad ? REC_END : REC_BAD, NULL, 0);
	archive_read_free(zip);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ------------------------------------------------------------------ the parent's side */

struct unpacking {
	int in_fd, out_fd;
	uint64_t end_ms;
	const char *data_dir;
	int64_t file_max_bytes, bytes, total;
	unsigned n_files;
	char path[PATH_BYTES], incoming[AUDIO_NAME_SIZE];
	audio_wanted_h *wanted_h;
	audio_stored_h *stored_h;
	void *arg;
};

static bool receive(struct unpacking *u, void *data, size_t len)
{
	uint8_t *at = data;

	while (len) {
		struct pollfd p = { .fd = u->in_fd, .events = POLLIN };
		uint64_t now_ms = clk_mono_ms();
		ssize_t n;

		if (now_ms >= u->end_ms || poll(&p, 1, (int)(u->end_ms - now_ms)) == 0)
			return false;
		n = read(u->in_fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static void drop_file(struct unpacking *u)
{
	if (u->out_fd < 0)
		return;
	(void)close(u->out_fd);
	u->out_fd = -1;
	audio_incoming_remove(u->data_dir, u->incoming);
}

/* A path inside the archive is a name to compare and nothing else; ".." and controls have no place. */
static bool is_decent(const char *path)
{
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < ' ' || *c == '\\' || (c[0] == '.' && c[1] == '.'))
			return false;
	return true;
}

static const char *begin_file(struct unpacking *u, size_t len)
{
	const char *path;

	drop_file(u);
	memset(u->path, 0, sizeof(u->path));
	if (len >= sizeof(u->path) || !receive(u, u->path, len))
		return "converter";
	if (++u->n_files > AUDIO_ARCHIVE_FILES)
		return "too_long";
	u->bytes = 0;
	path = u->path + strspn(u->path, "/");
	if (!is_decent(path) || !u->wanted_h(path, u->arg))
		return NULL;
	u->out_fd = audio_incoming_create(u->data_dir, u->incoming);
	return u->out_fd >= 0 ? NULL : u->out_fd == -ENOSPC ? "disk_full" : "converter";
}

static const char *add_data(struct unpacking *u, size_t len)
{
	static _Thread_local uint8_t block[BLOCK_BYTES];

	if (len > sizeof(block) || !receive(u, block, len))
		return "converter";
	u->bytes += (int64_t)len;
	u->total += (int64_t)len;
	if (u->total > AUDIO_ARCHIVE_BYTES || u->bytes > u->file_max_bytes)
		return "too_long";
	if (u->out_fd >= 0 && !send_all(u->out_fd, block, len))
		return errno == ENOSPC ? "disk_full" : "converter";
	return NULL;
}

static const char *end_file(struct unpacking *u)
{
	int err;

	if (u->out_fd < 0)
		return NULL;
	err = fsync(u->out_fd) ? -errno : 0;
	if (!err)
		err = u->stored_h(u->path + strspn(u->path, "/"), u->incoming, u->bytes, u->arg);
	if (err) {
		drop_file(u);
		return err == -ENOSPC ? "disk_full" : "converter";
	}
	(void)close(u->out_fd);
	u->out_fd = -1;
	return NULL;
}

static const char *read_records(struct unpacking *u)
{
	uint8_t head[5];
	const char *reason = NULL;

	while (!reason) {
		size_t len;

		if (!receive(u, head, sizeof(head)))
			return "converter";
		len = (size_t)head[1] | (size_t)head[2] << 8 | (size_t)head[3] << 16 |
		      (size_t)head[4] << 24;
		switch (head[0]) {
		case REC_FILE:
			reason = begin_file(u, len);
			break;
		case REC_DATA:
			reason = add_data(u, len);
			break;
		case REC_CLOSE:
			reason = end_file(u);
			break;
		case REC_END:
			return NULL;
		case REC_BAD:
			return u->n_files ? "damaged" : "unreadable";
		default:
			return "converter";
		}
	}
	return reason;
}

const char *audio_unpack(int zip_fd, const char *data_dir, int64_t file_max_bytes,
			 audio_wanted_h *wanted_h, audio_stored_h *stored_h, void *arg)
{
	struct unpacking u = { .out_fd = -1, .data_dir = data_dir, .file_max_bytes = file_max_bytes,
			       .wanted_h = wanted_h, .stored_h = stored_h, .arg = arg,
			       .end_ms = clk_mono_ms() + UNPACK_S * 1000 };
	const char *reason;
	int fds[2], pid;

	if (pipe2(fds, O_CLOEXEC))
		return "converter";
	pid = audio_child_start("unpack", zip_fd, fds[1], fds[1]);
	(void)close(fds[1]);
	u.in_fd = fds[0];
	reason = pid < 0 ? "converter" : read_records(&u);
	drop_file(&u);
	(void)close(fds[0]);
	if (pid > 0)
		(void)audio_child_end(pid, reason != NULL);
	return reason;
}
