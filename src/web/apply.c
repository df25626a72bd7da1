/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"
#include "db/db.h"
#include "schema/schema.h"
#include "web/web_priv.h"

/*
 * Applies what REST calls wrote, once per burst: 500 ms after the last write, 5 s after the first at
 * most (D-052), so that an import of 500 rows is one reload.
 */
#define APPLY_QUIET_MS  500
#define APPLY_MOST_MS   5000
#define APPLY_RETRY_MS  2000
#define RELOAD_WAIT_MS  10000
#define APPLY_MAX_TENANTS 4096

struct waiting {
	int64_t tenant_id;
	uint64_t first_ms, due_ms;
};

struct web_applier {
	struct web *web;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool closing;
	struct waiting waiting[APPLY_MAX_TENANTS];
	size_t n;
};

int web_apply_now(struct web *web, struct db *db, int64_t tenant_id, int64_t *revision)
{
	json_t *answer = NULL;
	int64_t applied = 0;
	char subject[48];
	int err = sch_apply(db, tenant_id, &applied);

	if (err)
		return err;
	if (revision)
		*revision = applied;
	if (!web->bus)
		return 0;
	/* Without a switch the configuration is applied all the same: it loads it when it starts. */
	err = bus_request_wait(&answer, web->bus, "cmd.switch.reload",
			       json_pack("{s:I}", "tenant_id", (json_int_t)tenant_id), RELOAD_WAIT_MS);
	if (err)
		log_warn("web.reload", "the switch did not confirm the new configuration",
			 kv_int("tenant_id", tenant_id), kv_err(err));
	else
		log_info("web.applied", "configuration applied", kv_int("tenant_id", tenant_id),
			 kv_int("revision", applied),
			 kv_int("took_ms", js_int(answer, "took_ms", -1)));
	json_decref(answer);
	snprintf(subject, sizeof(subject), "t.%lld.config.applied", (long long)tenant_id);
	bus_publish(web->bus, subject, json_pack("{s:I}", "revision", (json_int_t)applied));
	return 0;
}

void web_applier_touch(struct web_applier *applier, int64_t tenant_id)
{
	uint64_t now_ms = clk_mono_ms();
	struct waiting *w = NULL;

	pthread_mutex_lock(&applier->lock);
	for (size_t i = 0; i < applier->n; i++)
		if (applier->waiting[i].tenant_id == tenant_id)
			w = &applier->waiting[i];
	if (!w && applier->n < APPLY_MAX_TENANTS) {
		w = &applier->waiting[applier->n++];
		*w = (struct waiting){ .tenant_id = tenant_id, .first_ms = now_ms };
	}
	if (w) {
		w->due_ms = now_ms + APPLY_QUIET_MS;
		if (w->due_ms > w->first_ms + APPLY_MOST_MS)
			w->due_ms = w->first_ms + APPLY_MOST_MS;
	}
	pthread_cond_signal(&applier->wake);
	pthread_mutex_unlock(&applier->lock);
}

/* Takes a tenant that is due out of the list. With closing all are due. Locked by the caller. */
static bool take_due(struct web_applier *applier, int64_t *tenant_id, uint64_t *wait_ms)
{
	uint64_t now_ms = clk_mono_ms(), next = 60000;

	for (size_t i = 0; i < applier->n; i++) {
		struct waiting *w = &applier->waiting[i];

		if (applier->closing || w->due_ms <= now_ms) {
			*tenant_id = w->tenant_id;
			*w = applier->waiting[--applier->n];
			return true;
		}
		if (w->due_ms - now_ms < next)
			next = w->due_ms - now_ms;
	}
	*wait_ms = next;
	return false;
}

static void wait_ms_locked(struct web_applier *applier, uint64_t ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += (time_t)(ms / 1000);
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	pthread_cond_timedwait(&applier->wake, &applier->lock, &ts);
}

static void *applier_main(void *arg)
{
	struct web_applier *applier = arg;
	struct db *db = NULL;
	uint64_t wait_ms = 0;
	int64_t tenant_id = 0;

	(void)pthread_setname_np(pthread_self(), "apply");
	pthread_mutex_lock(&applier->lock);
	for (;;) {
		int err;

		if (!take_due(applier, &tenant_id, &wait_ms)) {
			if (applier->closing)
				break;
			wait_ms_locked(applier, wait_ms);
			continue;
		}
		pthread_mutex_unlock(&applier->lock);
		err = db ? 0 : web_db_open(applier->web, &db);
		if (!err)
			err = web_apply_now(applier->web, db, tenant_id, NULL);
		pthread_mutex_lock(&applier->lock);
		if (!err || err == -ENOENT) /* -ENOENT: the tenant has been deleted */
			continue;
		log_error("web.apply", "the configuration could not be applied; trying again",
			  kv_int("tenant_id", tenant_id), kv_err(err));
		if (applier->closing)
			continue;
		pthread_mutex_unlock(&applier->lock);
		web_applier_touch(applier, tenant_id);
		pthread_mutex_lock(&applier->lock);
		wait_ms_locked(applier, APPLY_RETRY_MS);
	}
	pthread_mutex_unlock(&applier->lock);
	db_close(db);
	return NULL;
}

int web_applier_start(struct web_applier **ret, struct web *web)
{
	struct web_applier *applier = calloc(1, sizeof(*applier));
	pthread_condattr_t attr;
	int err;

	if (!applier)
		return -ENOMEM;
	applier->web = web;
	pthread_mutex_init(&applier->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&applier->wake, &attr);
	pthread_condattr_destroy(&attr);
	err = pthread_create(&applier->thread, NULL, applier_main, applier);
	if (err) {
		free(applier);
		return -err;
	}
	*ret = applier;
	return 0;
}

void web_applier_stop(struct web_applier *applier)
{
	if (!applier)
		return;
	pthread_mutex_lock(&applier->lock);
	applier->closing = true;
	pthread_cond_signal(&applier->wake);
	pthread_mutex_unlock(&applier->lock);
	pthread_join(applier->thread, NULL);
	pthread_mutex_destroy(&applier->lock);
	pthread_cond_destroy(&applier->wake);
	free(applier);
}
