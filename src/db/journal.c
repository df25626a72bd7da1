/* SPDX-License-Identifier: Apache-2.0 */
#include "db/journal_priv.h"
#include "base/crc.h"
#include "base/err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_MAGIC 0xa01dec0du
#define SUFFIX	     ".journal"

static const char file_magic[8] = "AOIDEJ1\n";

struct record_header {
	uint32_t magic, len, kind, crc;
	uint64_t seq;
};
_Static_assert(sizeof(struct record_header) == JOURNAL_RECORD_BYTES, "no padding");

struct file_header {
	char magic[8];
	struct journal_id id;
	uint64_t first_seq;
};
_Static_assert(sizeof(struct file_header) == JOURNAL_HEADER_BYTES, "no padding");

uint32_t journal_seed(const struct journal_id *id)
{
	return crc32c(0, id->bytes, sizeof(id->bytes));
}

void journal_path(char *buf, size_t size, const char *dir, const char *name, uint64_t first_seq)
{
	(void)snprintf(buf, size, "%s/%s.%020" PRIu64 SUFFIX, dir, name, first_seq);
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* "cdr.00000000000000000042.journal" -> 42; 0: not a segment of this journal. */
static uint64_t segment_number(const char *file, const char *name)
{
	size_t len = strlen(name);
	char *end;
	uint64_t n;

	if (strncmp(file, name, len) || file[len] != '.' || file[len + 1] < '0' ||
	    file[len + 1] > '9')
		return 0;

	n = strtoull(file + len + 1, &end, 10);

	return strcmp(end, SUFFIX) ? 0 : n;
}

int journal_list(uint64_t **ret, size_t *n, const char *dir, const char *name)
{
	DIR *d = opendir(dir);
	uint64_t *list = NULL, *bigger;
	size_t count = 0;
	int err = 0;

	if (!d)
		return -errno;

	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		uint64_t number = segment_number(e->d_name, name);

		if (!number)
			continue;

		bigger = reallocarray(list, count + 1, sizeof(*list));
		if (!bigger) {
			err = -ENOMEM;
			goto out;
		}
		list = bigger;
		list[count++] = number;
	}

	if (count > 0)
		qsort(list, count, sizeof(*list), ascending);
	*ret = list;
	*n = count;
	list = NULL;

out:
	free(list);
	(void)closedir(d);

	return err;
}

int journal_write(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}

	return fdatasync(fd) ? -errno : 0;
}

/* A new name is on disk when its folder is. */
static int sync_folder(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		err = -errno;
	(void)close(fd);

	return err;
}

int journal_create(const char *dir, const char *name, uint64_t first_seq,
		   const struct journal_id *id)
{
	struct file_header header = { .id = *id, .first_seq = first_seq };
	char path[512];
	int fd, err;

	memcpy(header.magic, file_magic, sizeof(header.magic));
	journal_path(path, sizeof(path), dir, name, first_seq);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;

	err = journal_write(fd, &header, sizeof(header));
	if (!err)
		err = sync_folder(dir);
	if (err) {
		(void)close(fd);
		(void)unlink(path); /* or the next start finds a segment without a header */
		return err;
	}

	return fd;
}

static uint32_t record_crc(uint32_t seed, struct record_header header, const void *data)
{
	header.crc = 0;

	return crc32c(crc32c(seed, &header, sizeof(header)), data, header.len);
}

size_t journal_encode(uint8_t *buf, uint32_t seed, const struct journal_record *record)
{
	struct record_header header = {
		.magic = RECORD_MAGIC,
		.len = record->len,
		.kind = record->kind,
		.seq = record->seq,
	};

	header.crc = record_crc(seed, header, record->data);
	memcpy(buf, &header, sizeof(header));
	memcpy(buf + sizeof(header), record->data, record->len);

	return sizeof(header) + record->len;
}

enum found { FOUND_RECORD, FOUND_DAMAGE, FOUND_PART };

static enum found look(struct journal_record *ret, const uint8_t *buf, size_t len, uint32_t seed)
{
	struct record_header header;

	if (len < sizeof(header))
		return FOUND_PART;

	memcpy(&header, buf, sizeof(header));
	if (header.magic != RECORD_MAGIC || header.len > WRITER_MAX_RECORD_BYTES)
		return FOUND_DAMAGE;
	if (len - sizeof(header) < header.len)
		return FOUND_PART;
	if (record_crc(seed, header, buf + sizeof(header)) != header.crc)
		return FOUND_DAMAGE;

	*ret = (struct journal_record){
		.seq = header.seq,
		.kind = header.kind,
		.len = header.len,
		.data = buf + sizeof(header),
	};

	return FOUND_RECORD;
}

bool journal_parse(struct journal_record *ret, const uint8_t *buf, size_t len, size_t *offset,
		   uint32_t seed, bool last, size_t *damaged)
{
	for (; *offset < len; (*offset)++, (*damaged)++) {
		enum found found = look(ret, buf + *offset, len - *offset, seed);

		if (found == FOUND_RECORD) {
			*offset += JOURNAL_RECORD_BYTES + ret->len;
			return true;
		}
		/* A length that leads past the end may itself be the damage: then a good record
		 * can still follow. */
		if (found == FOUND_PART && !last)
			return false;
	}

	return false;
}

int journal_scan(struct journal_scan *ret, const char *path)
{
	struct file_header header;
	struct journal_record record;
	uint8_t *buf = NULL;
	struct stat st;
	uint64_t at = JOURNAL_HEADER_BYTES;
	size_t damaged = 0;
	int fd, err = 0;

	memset(ret, 0, sizeof(*ret));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;

	buf = malloc(JOURNAL_CHUNK_BYTES);
	if (!buf || fstat(fd, &st)) {
		err = buf ? -errno : -ENOMEM;
		goto out;
	}

	if (st.st_size < (off_t)sizeof(header)) {
		err = -ENODATA;
		goto out;
	}
	if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
	    memcmp(header.magic, file_magic, sizeof(file_magic))) {
		err = -ECORRUPT;
		goto out;
	}

	ret->id = header.id;
	ret->first_seq = header.first_seq;
	ret->file_bytes = (uint64_t)st.st_size;
	ret->valid_bytes = JOURNAL_HEADER_BYTES;
	while (at < ret->file_bytes) {
		ssize_t n = pread(fd, buf, JOURNAL_CHUNK_BYTES, (off_t)at);
		size_t offset = 0;

		if (n <= 0) {
			err = n < 0 ? -errno : -EIO;
			goto out;
		}
		while (journal_parse(&record, buf, (size_t)n, &offset, journal_seed(&header.id),
				     at + (uint64_t)n >= ret->file_bytes, &damaged)) {
			ret->last_seq = record.seq;
			ret->valid_bytes = at + offset;
		}
		at += offset;
	}

out:
	free(buf);
	(void)close(fd);

	return err;
}
