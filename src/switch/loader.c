/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/loader.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db.h"
#include "snapshot/snapshot.h"

#define SIP_ARENA_BYTES 4096

struct job {
	struct job *next;
	int64_t tenant_id;
	struct bus_reply *reply;
};

struct loader {
	struct db *db;            /* the thread's */
	struct arena *sip_arena;  /* the thread's own copy of the settings, tenants are built with it */
	struct snap_sip *sip;
	loader_done_h *done_h;
	void *arg;
	struct mqueue *done_queue;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct job *first, **last; /* under the mutex */
	unsigned n_jobs;
	struct snap_dirs dirs;
	bool is_running, is_ending;
};

static int load_sip(struct snap_sip **ret, struct arena **arena, const struct loader *loader)
{
	int err;

	err = arena_alloc(arena, SIP_ARENA_BYTES);
	if (err)
		return err;

	err = snap_sip_load(ret, *arena, loader->db, &loader->dirs);
	if (err) {
		arena_free(*arena);
		*arena = NULL;
	}

	return err;
}

/* Settings are needed twice: the call thread owns one copy, the builder reads the other. */
static int refresh_sip(struct loader *loader)
{
	struct arena *arena = NULL;
	struct snap_sip *sip = NULL;
	int err;

	err = load_sip(&sip, &arena, loader);
	if (err)
		return err;

	arena_free(loader->sip_arena);
	loader->sip_arena = arena;
	loader->sip = sip;
	return 0;
}

static void finish(struct loader *loader, struct loader_done *done)
{
	if (mqueue_push(loader->done_queue, 0, done))
		log_error("switch.loader_stuck", "a new configuration could not be handed over; apply again");
}

static struct loader_done *done_alloc(int64_t tenant_id)
{
	struct loader_done *done = calloc(1, sizeof(*done));

	if (done) {
		done->tenant_id = tenant_id;
		done->started_ms = clk_mono_ms();
	}

	return done;
}

static void load_tenant(struct loader *loader, int64_t tenant_id, struct bus_reply *reply)
{
	struct loader_done *done = done_alloc(tenant_id);

	if (!done)
		return;

	done->reply = reply;
	done->err = snap_tenant_load(&done->tenant, loader->db, tenant_id, loader->sip);
	if (done->err == -ENOENT)
		done->err = 0; /* removed: swapped for nothing */

	finish(loader, done);
}

/* New settings change codecs and realms of every tenant. */
static void load_node(struct loader *loader, struct bus_reply *reply)
{
	struct loader_done *done = done_alloc(0);
	int64_t *ids = NULL;
	size_t n = 0;

	if (!done)
		return;

	done->reply = reply;
	done->err = refresh_sip(loader);
	if (!done->err)
		done->err = load_sip(&done->sip, &done->arena, loader);
	if (!done->err)
		done->err = snap_tenant_ids(&ids, &n, loader->db);

	for (size_t i = 0; i < n; i++)
		load_tenant(loader, ids[i], NULL);

	free(ids);
	finish(loader, done);
}

static void *loader_thread(void *arg)
{
	struct loader *loader = arg;
	struct job *job;

	(void)pthread_setname_np(pthread_self(), "loader");
	for (;;) {
		pthread_mutex_lock(&loader->mutex);
		while (!loader->first && !loader->is_ending)
			pthread_cond_wait(&loader->cond, &loader->mutex);
		job = loader->first;
		if (job) {
			loader->first = job->next;
			if (!loader->first)
				loader->last = &loader->first;
			loader->n_jobs--;
		}
		pthread_mutex_unlock(&loader->mutex);

		if (!job)
			return NULL;

		if (job->tenant_id)
			load_tenant(loader, job->tenant_id, job->reply);
		else
			load_node(loader, job->reply);
		free(job);
	}
}

static void done_queue_h(int id, void *data, void *arg)
{
	struct loader *loader = arg;

	(void)id;
	loader->done_h(data, loader->arg);
}

static int load_all(struct loader *loader, struct snap *snap)
{
	struct snap_sip *sip = NULL;
	struct arena *arena = NULL;
	int64_t *ids = NULL;
	size_t n = 0;
	int err;

	err = refresh_sip(loader);
	if (!err)
		err = load_sip(&sip, &arena, loader);
	if (err)
		return err;
	snap_swap_sip(snap, sip, arena);

	err = snap_tenant_ids(&ids, &n, loader->db);
	for (size_t i = 0; i < n && !err; i++) {
		struct snap_tenant *tenant = NULL;

		err = snap_tenant_load(&tenant, loader->db, ids[i], loader->sip);
		if (!err)
			err = snap_swap(snap, ids[i], tenant);
	}

	free(ids);
	return err;
}

int loader_start(struct loader **ret, const char *db_url, const struct snap_dirs *dirs,
		 struct snap *snap, loader_done_h *done_h, void *arg)
{
	struct loader *loader = calloc(1, sizeof(*loader));
	char text[256] = "";
	int err;

	if (!loader)
		return -ENOMEM;

	pthread_mutex_init(&loader->mutex, NULL);
	pthread_cond_init(&loader->cond, NULL);
	loader->last = &loader->first;
	loader->done_h = done_h;
	loader->arg = arg;
	loader->dirs = *dirs;

	err = err_from_re(mqueue_alloc(&loader->done_queue, done_queue_h, loader));
	if (!err)
		err = db_open(&loader->db, db_url, text, sizeof(text));
	if (!err)
		err = load_all(loader, snap);
	if (err) {
		log_error("switch.load_failed", "the configuration cannot be read",
			  kv_text("database", text), kv_err(err));
		goto out;
	}

	err = -pthread_create(&loader->thread, NULL, loader_thread, loader);
	if (err)
		goto out;

	loader->is_running = true;
	*ret = loader;
	loader = NULL;

out:
	loader_stop(loader);
	return err;
}

void loader_stop(struct loader *loader)
{
	if (!loader)
		return;

	if (loader->is_running) {
		pthread_mutex_lock(&loader->mutex);
		loader->is_ending = true;
		pthread_cond_signal(&loader->cond);
		pthread_mutex_unlock(&loader->mutex);
		pthread_join(loader->thread, NULL);
	}

	while (loader->first) {
		struct job *job = loader->first;

		loader->first = job->next;
		free(job);
	}

	mem_deref(loader->done_queue);
	db_close(loader->db);
	arena_free(loader->sip_arena);
	pthread_mutex_destroy(&loader->mutex);
	pthread_cond_destroy(&loader->cond);
	free(loader);
}

int loader_request(struct loader *loader, int64_t tenant_id, struct bus_reply *reply)
{
	struct job *job = calloc(1, sizeof(*job));
	int err = -ENOBUFS;

	if (!job)
		return -ENOMEM;
	job->tenant_id = tenant_id;
	job->reply = reply;

	pthread_mutex_lock(&loader->mutex);
	if (loader->n_jobs < LOADER_MAX_JOBS) {
		*loader->last = job;
		loader->last = &job->next;
		loader->n_jobs++;
		pthread_cond_signal(&loader->cond);
		err = 0;
	}
	pthread_mutex_unlock(&loader->mutex);

	if (err)
		free(job);
	return err;
}
