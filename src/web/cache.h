/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_CACHE_H
#define AOIDE_WEB_CACHE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Answers of list requests, kept as long as the saved revisions of the tenant and of the node stay
 * what they were when the list was read. The revisions are read from the database for each request,
 * so the cache is exact even when another process writes. Any thread.
 */
struct rest;
struct web_cache;

#define CACHE_SLOTS     1024
#define CACHE_MAX_BYTES (64u * 1024 * 1024)

int web_cache_alloc(struct web_cache **ret);
void web_cache_free(struct web_cache *cache);

/* True: the answer is set. Notes the revisions in force for a later web_cache_keep(). */
bool web_cache_answer(struct rest *rest);
/* Keeps the answer just made, if it is a cacheable list. */
void web_cache_keep(struct rest *rest);

#endif
