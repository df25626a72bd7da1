/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "base/err.h"
#include "base/log.h"
#include "db/db.h"
#include "web/rest.h"
#include "web/web_priv.h"

#define DB_RETRY_MAX_MS 5000

void web_queue_init(struct web_queue *queue)
{
	*queue = (struct web_queue){ .last = &queue->first };
}

static void queue_put(struct web_queue *queue, struct web_req *req)
{
	req->next = NULL;
	*queue->last = req;
	queue->last = &req->next;
	queue->count++;
}

struct web_req *web_queue_get(struct web_queue *queue)
{
	struct web_req *req = queue->first;

	if (!req)
		return NULL;
	queue->first = req->next;
	if (!queue->first)
		queue->last = &queue->first;
	queue->count--;
	return req;
}

int web_db_open(struct web *web, struct db **ret)
{
	char text[256] = "";
	int err = db_open(ret, web->db_url, text, sizeof(text));

	if (err)
		log_error("web.db", "the database cannot be opened", kv_text("reason", text),
			  kv_err(err));
	return err;
}

/* Waits for a request; NULL when the pool closes. */
static struct web_req *pool_take(struct web *web)
{
	struct web_req *req;

	pthread_mutex_lock(&web->lock);
	while (!(req = web_queue_get(&web->todo)) && !web->closing)
		pthread_cond_wait(&web->wake, &web->lock);
	pthread_mutex_unlock(&web->lock);
	return req;
}

static void pool_give(struct web *web, struct web_req *req)
{
	bool first;

	pthread_mutex_lock(&web->lock);
	first = !web->done.count;
	queue_put(&web->done, req);
	pthread_mutex_unlock(&web->lock);

	/* One wake-up is enough for all that lie there. */
	if (first)
		web_loop_wake(web);
}

static void *worker_main(void *arg)
{
	struct web *web = arg;
	struct db *db = NULL;
	struct web_req *req;

	(void)pthread_setname_np(pthread_self(), "rest");
	while ((req = pool_take(web))) {
		/* Without a database rest_run() answers 503, and the next request tries again. */
		if (!db)
			(void)web_db_open(web, &db);
		rest_run(web, db, req);
		atomic_fetch_add(&web->answered, 1);
		pool_give(web, req);
	}
	db_close(db);
	return NULL;
}

int web_pool_start(struct web *web)
{
	unsigned wanted = web->config->web_workers ? web->config->web_workers : 1;

	if (wanted > WEB_MAX_WORKERS)
		wanted = WEB_MAX_WORKERS;
	for (; web->n_workers < wanted; web->n_workers++) {
		int err = pthread_create(&web->workers[web->n_workers], NULL, worker_main, web);

		if (err)
			return -err;
	}
	return 0;
}

void web_pool_stop(struct web *web)
{
	pthread_mutex_lock(&web->lock);
	web->closing = true;
	pthread_cond_broadcast(&web->wake);
	pthread_mutex_unlock(&web->lock);

	for (unsigned i = 0; i < web->n_workers; i++)
		pthread_join(web->workers[i], NULL);
	web->n_workers = 0;
}

bool web_pool_submit(struct web *web, struct web_req *req)
{
	bool room;

	pthread_mutex_lock(&web->lock);
	room = web->todo.count < WEB_MAX_QUEUED && !web->closing;
	if (room) {
		queue_put(&web->todo, req);
		pthread_cond_signal(&web->wake);
	}
	pthread_mutex_unlock(&web->lock);

	if (!room)
		atomic_fetch_add(&web->refused, 1);
	return room;
}

struct web_req *web_pool_collect(struct web *web)
{
	struct web_req *req;

	pthread_mutex_lock(&web->lock);
	req = web_queue_get(&web->done);
	pthread_mutex_unlock(&web->lock);
	return req;
}
