/* SPDX-License-Identifier: Apache-2.0 */
#include "web/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/config.h"
#include "base/err.h"
#include "web/content.h"
#include "web/rest.h"
#include "web/web_priv.h"

#define SPARE_BYTES (64ll * 1024 * 1024) /* of the disk: calls and their registers come first */

/* ------------------------------------------------------------------ admission */

static bool is_text(const char *ctype)
{
	static const char *const kinds[] = { "application/json", "application/xml", "text/",
					     "application/x-www-form-urlencoded" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strncasecmp(ctype, kinds[i], strlen(kinds[i])))
			return true;
	return strcasestr(ctype, "+json") != NULL;
}

bool upload_is_one(struct web_req *req)
{
	const char *ctype = req->headers[H_CONTENT_TYPE];
	const char *path = !strncmp(req->path, "/rest/", 6)	     ? req->path + 6 :
			   !strncmp(req->path, "/api/pbx/v2/", 12) ? req->path + 12 :
								     NULL;
	const char *params[REST_MAX_PARAMS];

	if (!path || !(req->method & (WEB_POST | WEB_PUT)) || (ctype && is_text(ctype)))
		return false;
	for (size_t i = 0; i < web_n_routes; i++)
		if (web_routes[i].upload && web_routes[i].methods & req->method &&
		    route_match(web_routes[i].pattern, path, req->arena, params) >= 0)
			return true;
	return false;
}

/* A file without a name: whatever happens, nothing of it stays. */
static int make_spool(struct rest *rest)
{
	const char *data_dir = rest->web->config->data_dir;
	char name[AUDIO_NAME_SIZE];
	int fd = audio_incoming_create(data_dir, name);

	if (fd >= 0)
		audio_incoming_remove(data_dir, name);
	return fd;
}

int upload_admit(struct rest *rest)
{
	struct web_req *req = rest->req;
	int64_t limit = content_upload_limit(rest);
	struct statvfs disk;
	int fd;

	if (req->content_length > limit)
		return rest_problem(rest, -EMSGSIZE, "too_large",
				    REST_TEXT(rest, "Il file supera il limite di %lld MB: accorciarlo, o alzare il limite nelle impostazioni audio.",
					      "The file exceeds the limit of %lld MB: shorten it, or raise the limit in the audio settings."),
				    (long long)(limit / (1024 * 1024)));
	if (!statvfs(rest->web->config->data_dir, &disk) &&
	    (int64_t)disk.f_bavail * (int64_t)disk.f_frsize < 2 * req->content_length + SPARE_BYTES)
		return -ENOSPC;
	fd = make_spool(rest);
	if (fd < 0)
		return fd;
	req->spool_fd = fd;
	return 0;
}

/* ------------------------------------------------------------------ the body */

static int bad_form(struct rest *rest)
{
	return rest_problem(rest, -EBADBODY, "malformed_body",
			    REST_TEXT(rest, "Il corpo non è multipart/form-data ben formato.",
				      "The body is not well-formed multipart/form-data."));
}

int upload_open(struct rest *rest, struct upload *upload)
{
	struct web_req *req = rest->req;
	const char *ctype = req->headers[H_CONTENT_TYPE];
	struct stat st;
	void *body;

	if (req->spool_fd < 0)
		return rest_problem(rest, -EBADBODY, "empty_body",
				    REST_TEXT(rest, "Manca il file nel corpo della richiesta.",
					      "The request has no file in its body."));
	if (req->spool_err)
		return req->spool_err;
	if (fstat(req->spool_fd, &st))
		return -errno;
	if (st.st_size != req->content_length || !st.st_size)
		return bad_form(rest);
	body = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, req->spool_fd, 0);
	if (body == MAP_FAILED)
		return -errno;
	*upload = (struct upload){ .body = body, .len = (size_t)st.st_size };
	snprintf(upload->name, sizeof(upload->name), "%s", web_arg(req, "filename", ""));
	if (!ctype || strncasecmp(ctype, "multipart/", 10))
		return 0;
	upload->is_multipart = true;
	return parts_boundary(upload->boundary, sizeof(upload->boundary), ctype) < 0 ? bad_form(rest) : 0;
}

void upload_close(struct upload *upload)
{
	if (upload->body)
		(void)munmap((void *)(uintptr_t)upload->body, upload->len);
	upload->body = NULL;
}

/* Names are shown and stored: what is not UTF-8 becomes a question mark. */
static void make_text(char *name)
{
	for (char *c = name; *c && !web_utf8_valid(name, strlen(name)); c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	for (char *c = name; *c; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
}

int upload_file(struct upload *upload, struct part *part)
{
	int n;

	if (!upload->is_multipart) {
		if (upload->is_done)
			return 0;
		upload->is_done = true;
		*part = (struct part){ .data = upload->body, .len = upload->len };
		snprintf(part->file_name, sizeof(part->file_name), "%s", upload->name);
		make_text(part->file_name);
		return 1;
	}
	do
		n = parts_next(part, upload->body, upload->len, upload->boundary, &upload->at);
	while (n > 0 && !part->file_name[0]);
	if (n > 0)
		make_text(part->file_name);
	return n < 0 ? -EBADBODY : n;
}

const char *upload_field(const struct upload *upload, struct arena *arena, const char *name)
{
	struct part part;
	size_t at = 0;

	while (upload->is_multipart &&
	       parts_next(&part, upload->body, upload->len, upload->boundary, &at) > 0)
		if (!part.file_name[0] && !strcmp(part.name, name) && part.len < 4096 &&
		    web_utf8_valid(part.data, part.len))
			return arena_strndup(arena, part.data, part.len);
	return NULL;
}

int upload_keep(char incoming[AUDIO_NAME_SIZE], const char *data_dir, const char *data, size_t len)
{
	int fd = audio_incoming_create(data_dir, incoming), err = 0;

	if (fd < 0) {
		incoming[0] = '\0';
		return fd;
	}
	while (!err && len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			err = -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	if (!err && fsync(fd))
		err = -errno;
	(void)close(fd);
	if (err) {
		audio_incoming_remove(data_dir, incoming);
		incoming[0] = '\0';
	}
	return err;
}

/* ------------------------------------------------------------------ sending a file */

/* One range of bytes; anything else is answered with the whole file, as the RFC allows. */
static bool read_range(const char *text, int64_t size, int64_t *first, int64_t *last)
{
	char *end;

	if (!text || strncasecmp(text, "bytes=", 6))
		return false;
	text += 6;
	if (*text == '-') {
		long long n = strtoll(text + 1, &end, 10);

		*first = n >= size ? 0 : size - n;
		*last = size - 1;
		return end != text + 1 && !*end && n > 0;
	}
	*first = strtoll(text, &end, 10);
	if (end == text || *end != '-' || *first < 0)
		return false;
	text = end + 1;
	*last = *text ? strtoll(text, &end, 10) : size - 1;
	if (*text && (*end || *last < *first))
		return false;
	if (*last >= size)
		*last = size - 1;
	return true;
}

int upload_send_file(struct rest *rest, const char *path, const char *ctype)
{
	struct web_response *resp = rest->resp;
	const char *wanted = rest->req->headers[H_IF_NONE_MATCH];
	int64_t first = 0, last;
	struct stat st;
	char etag[64];
	bool ranged;
	int fd = *path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		if (fd >= 0)
			(void)close(fd);
		return -ENOENT;
	}
	snprintf(etag, sizeof(etag), "\"%llx-%llx\"", (unsigned long long)st.st_size,
		 (unsigned long long)st.st_mtim.tv_sec * 1000000000ull +
			 (unsigned long long)st.st_mtim.tv_nsec);
	rest_header(rest, "ETag", "%s", etag);
	rest_header(rest, "Cache-Control", "private, no-cache");
	rest_header(rest, "Accept-Ranges", "bytes");
	if (wanted && strstr(wanted, etag)) {
		(void)close(fd);
		return rest_answer_empty(rest, 304);
	}
	last = st.st_size - 1;
	ranged = read_range(rest->req->headers[H_RANGE], st.st_size, &first, &last);
	if (ranged && first >= st.st_size) {
		(void)close(fd);
		rest_header(rest, "Content-Range", "bytes */%lld", (long long)st.st_size);
		rest_answer_empty(rest, 416);
		return 0;
	}
	if (ranged)
		rest_header(rest, "Content-Range", "bytes %lld-%lld/%lld", (long long)first,
			    (long long)last, (long long)st.st_size);
	else
		first = 0, last = st.st_size - 1;
	rest_answer_empty(rest, ranged ? 206 : 200);
	resp->ctype = ctype;
	resp->from_file = true;
	resp->file_fd = fd;
	resp->file_at = (uint64_t)first;
	resp->file_len = (uint64_t)(last - first + 1);
	return 0;
}
