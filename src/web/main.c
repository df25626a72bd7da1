/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"
#include "base/seal.h"
#include "bus/bus.h"
#include "db/db.h"
#include "web/cache.h"
#include "web/sessions.h"
#include "web/web_priv.h"

#define LIMITER_SLOTS   16384
#define WEB_FILES       65536
#define GOODBYE_MS      3000 /* to send what is being answered, at the end */

static int open_state(struct web *web)
{
	struct db *db = NULL;
	char path[1024];
	int err;

	config_path(path, sizeof(path), web->config, "run/nonces");
	err = xauth_nonces_alloc(&web->nonces, path);
	if (!err)
		err = web_limiter_alloc(&web->failures, LIMITER_SLOTS);
	if (!err)
		err = web_limiter_alloc(&web->rates, LIMITER_SLOTS);
	if (!err)
		err = web_cache_alloc(&web->cache);
	if (!err)
		err = web_sockets_alloc(&web->sockets, web);
	if (err)
		return err;

	err = web_db_open(web, &db);
	if (!err)
		err = sessions_migrate(db);
	db_close(db);
	return err;
}

/* A browser on /ws-sip takes two descriptors. lws reads the limit once, when its context is made. */
static void raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= WEB_FILES)
		return;
	limit.rlim_cur = limit.rlim_max < WEB_FILES ? limit.rlim_max : WEB_FILES;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		log_warn("web.files", "the limit of open files stays as it is",
			 kv_int("limit", (int64_t)limit.rlim_cur));
}

static void set_db_url(struct web *web)
{
	const char *database = web->config->database;

	if (!database || !strcmp(database, "sqlite"))
		config_path(web->db_url, sizeof(web->db_url), web->config, CONFIG_DB_FILE);
	else
		snprintf(web->db_url, sizeof(web->db_url), "%s", database);
}

int web_alloc(struct web **ret, const struct config *config)
{
	struct web *web = calloc(1, sizeof(*web));
	int err;

	if (!web)
		return -ENOMEM;
	web->config = config;
	web->started_ms = clk_mono_ms();
	pthread_mutex_init(&web->lock, NULL);
	pthread_cond_init(&web->wake, NULL);
	web_queue_init(&web->todo);
	web_queue_init(&web->done);
	set_db_url(web);
	config_path(web->cert_path, sizeof(web->cert_path), config, CONFIG_TLS_CERT);

	raise_files();
	err = seal_init(config->data_dir);
	if (!err)
		err = open_state(web);
	if (!err)
		err = web_loop_open(web);
	if (!err)
		err = web_bus_open(web);
	if (!err)
		err = web_applier_start(&web->applier, web);
	if (!err)
		err = web_pool_start(web);
	if (err) {
		log_error("web.start", "the web server cannot start", kv_err(err),
			  kv_int("https_port", config->https_port),
			  kv_text("certificate", web->cert_path));
		web_free(web);
		return err;
	}
	*ret = web;
	return 0;
}

void web_stop(struct web *web)
{
	atomic_store(&web->stop, true);
	web_loop_wake(web);
}

static void reload_cert(struct web *web)
{
	atomic_store(&web->reload, true);
	web_loop_wake(web);
}

static void reload_if_asked(struct web *web)
{
	if (!atomic_exchange(&web->reload, false))
		return;
	if (web_loop_load_cert(web))
		log_error("web.cert", "the new certificate cannot be read; the old one stays",
			  kv_text("path", web->cert_path));
	else
		log_info("web.cert", "certificate loaded again");
}

int web_run(struct web *web)
{
	uint64_t until_ms;

	log_info("web.ready", "the web server listens", kv_int("https_port", web_https_port(web)),
		 kv_int("http_port", web_http_port(web)));
	if (web->bus)
		bus_publish(web->bus, "sys.process.ready",
			    json_pack("{s:s,s:i}", "process", "web", "pid", (int)getpid()));

	while (!atomic_load(&web->stop)) {
		web_loop_turn(web);
		reload_if_asked(web);
	}

	/* What workers have is finished and sent; nothing new is taken. */
	web_pool_stop(web);
	until_ms = clk_mono_ms() + GOODBYE_MS;
	web_loop_wake(web);
	while (web->active && clk_mono_ms() < until_ms) {
		web_loop_turn(web);
		web_loop_wake(web);
	}
	log_info("web.stopped", "the web server ends",
		 kv_int("requests", (int64_t)atomic_load(&web->answered)));
	return 0;
}

void web_free(struct web *web)
{
	struct web_req *req;

	if (!web)
		return;
	web_pool_stop(web);
	web_applier_stop(web->applier);
	web_bus_close(web);
	web_loop_close(web);
	while ((req = web_queue_get(&web->todo)) || (req = web_queue_get(&web->done)))
		web_req_free(req);
	web_sockets_free(web->sockets);
	web_cache_free(web->cache);
	web_limiter_free(web->failures);
	web_limiter_free(web->rates);
	xauth_nonces_free(web->nonces);
	pthread_mutex_destroy(&web->lock);
	pthread_cond_destroy(&web->wake);
	free(web);
}

/* Signal handlers know the one server of this process by this. */
static struct web *_Atomic running;

static void on_signal(int number)
{
	struct web *web = atomic_load(&running);

	if (!web)
		return;
	if (number == SIGHUP)
		reload_cert(web);
	else
		web_stop(web);
}

int web_main(const struct config *config)
{
	struct sigaction action = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };
	struct web *web = NULL;
	int err = web_alloc(&web, config);

	if (err)
		return err;
	atomic_store(&running, web);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	err = web_run(web);
	atomic_store(&running, NULL);
	web_free(web);
	return err;
}
