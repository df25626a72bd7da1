/* SPDX-License-Identifier: Apache-2.0 */
#include "web/request.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "web/principal.h"
#include "web/web_priv.h"

#define ARENA_FIRST_BYTES 4096

const char *web_method_name(enum web_method method)
{
	switch (method) {
	case WEB_GET:
		return "GET";
	case WEB_HEAD:
		return "HEAD";
	case WEB_POST:
		return "POST";
	case WEB_PUT:
		return "PUT";
	case WEB_PATCH:
		return "PATCH";
	case WEB_DELETE:
		return "DELETE";
	case WEB_OPTIONS:
		return "OPTIONS";
	}
	return "?";
}

struct web_shared *web_shared_ref(struct web_shared *shared)
{
	atomic_fetch_add(&shared->refs, 1);
	return shared;
}

void web_shared_unref(struct web_shared *shared)
{
	if (shared && atomic_fetch_sub(&shared->refs, 1) == 1)
		free(shared);
}

struct web_req *web_req_alloc(void)
{
	struct web_req *req = calloc(1, sizeof(*req));

	if (req && arena_alloc(&req->arena, ARENA_FIRST_BYTES)) {
		free(req);
		return NULL;
	}
	if (req)
		req->spool_fd = -1;
	return req;
}

void web_req_free(struct web_req *req)
{
	if (!req)
		return;
	principal_free(req->principal);
	web_text_free(&req->resp.head);
	web_text_free(&req->resp.body);
	web_text_free(&req->out_head);
	web_shared_unref(req->resp.shared);
	if (req->resp.from_file)
		(void)close(req->resp.file_fd);
	if (req->spool_fd >= 0)
		(void)close(req->spool_fd);
	arena_free(req->arena);
	free(req->body);
	free(req);
}

const char *web_arg(const struct web_req *req, const char *name, const char *def)
{
	for (size_t i = 0; i < req->n_args; i++)
		if (!strcmp(req->args[i].name, name))
			return req->args[i].value;
	return def;
}
