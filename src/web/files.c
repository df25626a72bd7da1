/* SPDX-License-Identifier: Apache-2.0 */
#include "web/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/config.h"
#include "base/err.h"
#include "web/rest.h"
#include "web/web_priv.h"

#define FILE_MAX_BYTES (64u * 1024 * 1024)
#define PATH_MAX_CHARS 512

static const struct {
	const char *ending, *ctype;
} types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".mjs", "text/javascript; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".json", "application/json" },
	{ ".webmanifest", "application/manifest+json" },
	{ ".svg", "image/svg+xml" },
	{ ".png", "image/png" },
	{ ".jpg", "image/jpeg" },
	{ ".webp", "image/webp" },
	{ ".ico", "image/x-icon" },
	{ ".woff2", "font/woff2" },
	{ ".woff", "font/woff" },
	{ ".wav", "audio/wav" },
	{ ".mp3", "audio/mpeg" },
	{ ".ogg", "audio/ogg" },
	{ ".wasm", "application/wasm" },
	{ ".txt", "text/plain; charset=utf-8" },
	{ ".map", "application/json" },
};

const char *files_ctype(const char *path)
{
	const char *dot = strrchr(path, '.');

	for (size_t i = 0; dot && i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcasecmp(dot, types[i].ending))
			return types[i].ctype;
	return "application/octet-stream";
}

bool files_path_is_safe(const char *path)
{
	if (strlen(path) > PATH_MAX_CHARS)
		return false;
	for (;;) {
		size_t len = strcspn(path, "/");

		if (!len || *path == '.')
			return false;
		for (size_t i = 0; i < len; i++)
			if ((unsigned char)path[i] < 0x20 || path[i] == '\\' || path[i] == 0x7f)
				return false;
		if (!path[len])
			return true;
		path += len + 1;
	}
}

bool files_is_immutable(const char *path)
{
	return strstr(path, "assets/") && strchr(path, '-');
}

/* Opens a plain file; links that lead out of the folder are the installer's business. */
static int open_file(const char *folder, const char *path, const char *ending, struct stat *st)
{
	char name[4096];
	int n = snprintf(name, sizeof(name), "%s/%s%s", folder, path, ending);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(name))
		return -ENOENT;
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -ENOENT;
	if (fstat(fd, st) || !S_ISREG(st->st_mode) || st->st_size > (off_t)FILE_MAX_BYTES) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

static int read_all(struct web_text *out, int fd, size_t size)
{
	out->text = malloc(size + 1);
	if (!out->text)
		return -ENOMEM;
	out->size = size + 1;
	while (out->len < size) {
		ssize_t n = read(fd, out->text + out->len, size - out->len);

		if (n <= 0)
			return -EIO;
		out->len += (size_t)n;
	}
	out->text[out->len] = '\0';
	return 0;
}

static bool accepts(const struct rest *rest, const char *coding)
{
	const char *header = rest->req->headers[H_ACCEPT_ENCODING];

	return header && strstr(header, coding);
}

/* The file, or what a build left beside it ready packed. */
static int open_best(struct rest *rest, const char *folder, const char *path, struct stat *st,
		     const char **coding)
{
	static const struct {
		const char *coding, *ending;
	} packed[] = { { "br", ".br" }, { "gzip", ".gz" } };

	*coding = NULL;
	for (size_t i = 0; i < 2; i++) {
		int fd;

		if (!accepts(rest, packed[i].coding))
			continue;
		fd = open_file(folder, path, packed[i].ending, st);
		if (fd >= 0) {
			*coding = packed[i].coding;
			return fd;
		}
	}
	return open_file(folder, path, "", st);
}

static int answer_file(struct rest *rest, const char *folder, const char *path)
{
	const char *wanted = rest->req->headers[H_IF_NONE_MATCH], *coding;
	struct web_text text = { 0 };
	struct stat st;
	char etag[64];
	int err, fd = open_best(rest, folder, path, &st, &coding);

	if (fd < 0)
		return -ENOENT;
	snprintf(etag, sizeof(etag), "\"%llx-%llx%s\"", (unsigned long long)st.st_size,
		 (unsigned long long)st.st_mtim.tv_sec * 1000 +
			 (unsigned long long)st.st_mtim.tv_nsec / 1000000, coding ? coding : "");
	rest_header(rest, "ETag", "%s", etag);
	rest_header(rest, "Vary", "Accept-Encoding");
	rest_header(rest, "Cache-Control", "%s",
		    files_is_immutable(path) ? "public, max-age=31536000, immutable" : "no-cache");
	if (wanted && strstr(wanted, etag)) {
		close(fd);
		return rest_answer_empty(rest, 304);
	}
	err = read_all(&text, fd, (size_t)st.st_size);
	close(fd);
	if (err) {
		web_text_free(&text);
		return err;
	}
	if (coding)
		rest_header(rest, "Content-Encoding", "%s", coding);
	return rest_answer_text(rest, 200, files_ctype(path), &text);
}

static const char page_not_built[] =
	"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Aoide</title>"
	"<style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:4em auto;padding:0 1em}"
	"code{background:#eee;padding:.1em .3em}</style></head><body><h1>Aoide is running</h1>"
	"<p>The web interface has not been built on this machine. Build it with <code>make</code> in "
	"the source folder, or install the package that contains it, then reload this page.</p>"
	"<p lang=\"it\">L'interfaccia web non è stata compilata su questa macchina: eseguire "
	"<code>make</code> nella cartella dei sorgenti e ricaricare la pagina.</p>"
	"<p>The REST API works already: <a href=\"/api/doc\">its documentation</a>.</p></body></html>";

static int answer_not_built(struct rest *rest)
{
	struct web_text text = { 0 };

	web_text_puts(&text, page_not_built);
	rest_header(rest, "Cache-Control", "no-store");
	return rest_answer_text(rest, 200, web_repr_ctype(REPR_HTML), &text);
}

int files_answer(struct rest *rest)
{
	const char *folder = rest->web->config->www_dir;
	const char *path = rest->req->path + strspn(rest->req->path, "/");
	const char *last = strrchr(path, '/');
	bool is_page = !strchr(last ? last : path, '.');
	int err;

	if (!(rest->req->method & (WEB_GET | WEB_HEAD))) {
		rest_header(rest, "Allow", "GET, HEAD");
		return -EMETHOD;
	}
	if (*path && !is_page && (!folder || !files_path_is_safe(path)))
		return -ENOENT;
	if (!folder)
		return answer_not_built(rest);
	if (*path && files_path_is_safe(path)) {
		err = answer_file(rest, folder, path);
		if (err != -ENOENT || !is_page)
			return err;
	}
	/* Pages of the single-page application are not files: it finds its way by the address. */
	err = answer_file(rest, folder, "index.html");
	return err == -ENOENT ? answer_not_built(rest) : err;
}
