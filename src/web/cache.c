/* SPDX-License-Identifier: Apache-2.0 */
#include "web/cache.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/sha.h>

#include "base/err.h"
#include "base/arena.h"
#include "web/rest.h"
#include "web/security.h"
#include "web/web_priv.h"

struct slot {
	char *key; /* NULL: free */
	int64_t tenant_revision, node_revision;
	struct web_shared *shared;
};

struct web_cache {
	pthread_mutex_t lock;
	struct slot slots[CACHE_SLOTS];
	size_t bytes;
};

int web_cache_alloc(struct web_cache **ret)
{
	struct web_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	pthread_mutex_init(&cache->lock, NULL);
	*ret = cache;
	return 0;
}

static void slot_clear(struct web_cache *cache, struct slot *slot)
{
	if (!slot->key)
		return;
	cache->bytes -= slot->shared->bytes;
	web_shared_unref(slot->shared);
	free(slot->key);
	*slot = (struct slot){ 0 };
}

void web_cache_free(struct web_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < CACHE_SLOTS; i++)
		slot_clear(cache, &cache->slots[i]);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

/*
 * Only lists of the registry: nothing else is a function of the revisions alone. Users are left out,
 * because their last login is not configuration; what is decorated shows states.
 */
static bool cacheable(const struct rest *rest)
{
	return rest->route && rest->route->handler == rest_entity_list && rest->entity &&
	       !rest->entity->decorate && strcmp(rest->entity->name, "user");
}

/* Who sees the same rows: one tenant, one set of rights. */
static char *make_key(const struct rest *rest)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	SHA256(rest->who->user.levels, sizeof(rest->who->user.levels), hash);
	return arena_printf(rest->req->arena, "%lld|%02x%02x%02x%02x%02x%02x%02x%02x|%d|%s|%s?%s",
			    (long long)rest->ctx.tenant_id, hash[0], hash[1],
			    hash[2], hash[3], hash[4], hash[5], hash[6], hash[7], rest->repr,
			    rest->lang == SCH_IT ? "it" : "en", rest->req->path, rest->req->query);
}

static size_t slot_index(const char *key)
{
	uint64_t hash = 1469598103934665603u; /* FNV-1a; a collision only evicts */

	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 1099511628211u;
	return (size_t)(hash % CACHE_SLOTS);
}

static int revisions(struct rest *rest)
{
	int64_t applied;
	int err = sch_revisions(rest->db, rest->ctx.tenant_id, &rest->cache_tenant_revision, &applied);

	rest->cache_node_revision = 0;
	if (!err && rest->ctx.tenant_id)
		err = sch_revisions(rest->db, 0, &rest->cache_node_revision, &applied);
	return err;
}

bool web_cache_answer(struct rest *rest)
{
	struct web_cache *cache = rest->web->cache;
	const char *wanted = rest->req->headers[H_IF_NONE_MATCH];
	struct slot *slot;
	bool hit;

	if (!cacheable(rest) || revisions(rest))
		return false;
	rest->cache_key = make_key(rest);
	if (!rest->cache_key)
		return false;

	slot = &cache->slots[slot_index(rest->cache_key)];
	pthread_mutex_lock(&cache->lock);
	hit = slot->key && !strcmp(slot->key, rest->cache_key) &&
	      slot->tenant_revision == rest->cache_tenant_revision &&
	      slot->node_revision == rest->cache_node_revision;
	if (hit)
		rest->resp->shared = web_shared_ref(slot->shared);
	pthread_mutex_unlock(&cache->lock);
	if (!hit)
		return false;

	rest->resp->status = 200;
	if (wanted && strstr(wanted, rest->resp->shared->etag))
		rest->resp->status = 304;
	return true;
}

void web_cache_keep(struct rest *rest)
{
	struct web_cache *cache = rest->web->cache;
	struct web_response *resp = rest->resp;
	struct web_text head = { 0 };
	struct web_shared *shared;
	struct slot *slot;
	const char *etag;
	size_t bytes;
	char *at, *key;

	if (!rest->cache_key || resp->status != 200 || !resp->body.text || resp->body.failed)
		return;
	web_security_headers(&head, resp->ctype);
	web_text_printf(&head, "Content-Type: %s\r\n", resp->ctype);
	if (resp->head.text)
		web_text_add(&head, resp->head.text, resp->head.len);
	bytes = sizeof(*shared) + head.len + resp->body.len;
	shared = head.failed || bytes > CACHE_MAX_BYTES / 8 ? NULL : calloc(1, bytes);
	if (!shared) {
		web_text_free(&head);
		return;
	}
	at = (char *)(shared + 1);
	memcpy(at, head.text, head.len);
	memcpy(at + head.len, resp->body.text, resp->body.len);
	*shared = (struct web_shared){ .refs = 1, .bytes = bytes, .head = at, .head_len = head.len,
				       .body = at + head.len, .body_len = resp->body.len };
	etag = strstr(resp->head.text ? resp->head.text : "", "ETag: ");
	if (etag)
		snprintf(shared->etag, sizeof(shared->etag), "%.*s", (int)strcspn(etag + 6, "\r"),
			 etag + 6);
	web_text_free(&head);

	slot = &cache->slots[slot_index(rest->cache_key)];
	pthread_mutex_lock(&cache->lock);
	slot_clear(cache, slot);
	/* Full: make room from the front; what is wanted comes back by itself. */
	for (size_t i = 0; i < CACHE_SLOTS && cache->bytes + bytes > CACHE_MAX_BYTES; i++)
		slot_clear(cache, &cache->slots[i]);
	key = strdup(rest->cache_key);
	if (key) {
		slot->key = key;
		slot->tenant_revision = rest->cache_tenant_revision;
		slot->node_revision = rest->cache_node_revision;
		slot->shared = shared;
		cache->bytes += bytes;
	}
	pthread_mutex_unlock(&cache->lock);
	if (!key)
		web_shared_unref(shared);
}
