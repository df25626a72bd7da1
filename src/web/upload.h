/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_UPLOAD_H
#define AOIDE_WEB_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "audio/parts.h"
#include "audio/store.h"

/*
 * Bodies that are files. Such a request goes to a worker twice: with its headers alone, which admits it
 * (who is it, may he, is it too large, is there room) and makes an unnamed file on disk; then the loop
 * writes what arrives into that file; then the worker runs the handler. So a stranger cannot fill the
 * disk, and no upload stands in memory.
 */
struct rest;
struct web_req;
struct arena;

#define UPLOAD_MAX_BYTES  (1024ll * 1024 * 1024) /* of a request with several files */
#define UPLOAD_HEAD_BYTES (256 * 1024)           /* what multipart may add to one file */
#define UPLOAD_EARLY_MAX  (512 * 1024)           /* what arrives before the request is admitted */

/* Is this a request whose body goes to disk? Loop. */
bool upload_is_one(struct web_req *req);
/* Worker, first visit; rest->route and rest->who are known. -EMSGSIZE, -ENOSPC, -errno. */
int upload_admit(struct rest *rest);

/* The body as it lies on disk, mapped. */
struct upload {
	const char *body;
	size_t len, at;
	bool is_multipart, is_done;
	char boundary[72];
	char name[256]; /* of a body that is one file */
};

/* -EBADBODY with a problem: nothing arrived, or it is no form. */
int upload_open(struct rest *rest, struct upload *upload);
void upload_close(struct upload *upload);
/* The next file: 1, 0 (no more), -EBADBODY. */
int upload_file(struct upload *upload, struct part *part);
/* Value of a form's field, or NULL. */
const char *upload_field(const struct upload *upload, struct arena *arena, const char *name);
/* Copies data to an incoming file of the store, on disk when this returns. */
int upload_keep(char incoming[AUDIO_NAME_SIZE], const char *data_dir, const char *data, size_t len);

/* Answers with a file, or the part of it that Range asks for (RFC 9110 section 14). -ENOENT. */
int upload_send_file(struct rest *rest, const char *path, const char *ctype);


#endif
