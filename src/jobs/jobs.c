/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/jobs.h"
#include "jobs/audio.h"
#include "jobs/schedule.h"
#include "audio/store.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"
#include "call/cdr.h"
#include "db/db.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CDR_MONTHS      24 /* D-214 */
#define TEMP_MAX_AGE_S  86400
#define RETRY_S         600 /* after a failure */
#define STATE_FOLDER    "jobs" /* one empty file per activity; its time is the last run */
#define AUDIO_GRACE_S   3600 /* what a running request may still be about to name */
#define MAX_PATH        4096u

struct jobs;

static int keep_cdr(struct jobs *jobs, int64_t *ret_done);
static int optimize(struct jobs *jobs, int64_t *ret_done);
static int checkpoint(struct jobs *jobs, int64_t *ret_done);
static int remove_temp(struct jobs *jobs, int64_t *ret_done);
static int sweep_audio(struct jobs *jobs, int64_t *ret_done);

static const struct activity {
	const char *name;
	struct schedule schedule;
	int (*run_h)(struct jobs *jobs, int64_t *ret_done); /* ret_done: rows or files */
} activities[] = {
	{ "cdr_retention", { .hour = 3, .min = 10 }, keep_cdr },
	{ "database_optimize", { .hour = 3, .min = 40 }, optimize },
	{ "database_checkpoint", { .every_s = 600 }, checkpoint },
	{ "temp_files", { .every_s = 3600 }, remove_temp },
	{ "audio_files", { .every_s = 600 }, sweep_audio },
};
#define N_ACTIVITIES (sizeof(activities) / sizeof(activities[0]))

struct activity_state {
	int64_t last_s, next_s, done;
	uint64_t took_ms;
	uint32_t runs, failures;
	int err;
};

struct jobs {
	const struct config *config;
	struct bus *bus;
	struct db *db;
	struct audio_jobs *audio;
	int64_t started_s;
	pthread_mutex_t lock; /* states: the bus thread reports them */
	struct activity_state states[N_ACTIVITIES];
};

/* A signal handler can only reach what is global. */
static int signal_pipe[2] = { -1, -1 };

static void signal_h(int number)
{
	const int saved = errno;
	const char byte = (char)number;

	(void)!write(signal_pipe[1], &byte, 1);
	errno = saved;
}

/* ------------------------------------------------------------------ activities */

/* One connection, opened when it is needed first; an activity that fails closes it. */
static int database(struct jobs *jobs)
{
	char url[PATH_MAX], why[200] = "";
	int err;

	if (jobs->db)
		return 0;

	err = db_open(&jobs->db, config_db_url(url, sizeof(url), jobs->config), why, sizeof(why));
	if (err)
		log_warn("jobs.database", "the database cannot be opened", kv_text("why", why),
			 kv_err(err));
	return err;
}

static int64_t months_ago_us(int months)
{
	const time_t now = (time_t)clk_wall_s();
	struct tm tm;

	if (!gmtime_r(&now, &tm))
		return 0;
	tm.tm_mon -= months;
	return (int64_t)timegm(&tm) * 1000000;
}

static int keep_cdr(struct jobs *jobs, int64_t *ret_done)
{
	int err = database(jobs);

	return err ? err : cdr_purge(jobs->db, months_ago_us(CDR_MONTHS), ret_done);
}

static int optimize(struct jobs *jobs, int64_t *ret_done)
{
	int err = database(jobs);

	(void)ret_done;
	if (err || db_kind(jobs->db) != DB_SQLITE)
		return err; /* PostgreSQL has its own autovacuum */

	return db_script(jobs->db, "PRAGMA optimize");
}

/* SQLite checkpoints by itself, but never shrinks its journal while somebody reads. */
static int checkpoint(struct jobs *jobs, int64_t *ret_done)
{
	int err = database(jobs);

	(void)ret_done;
	if (err || db_kind(jobs->db) != DB_SQLITE)
		return err;

	return db_script(jobs->db, "PRAGMA wal_checkpoint(PASSIVE)");
}

static bool is_random_suffix(const char *text)
{
	size_t n = 0;

	while ((text[n] >= 'a' && text[n] <= 'z') || (text[n] >= 'A' && text[n] <= 'Z') ||
	       (text[n] >= '0' && text[n] <= '9'))
		n++;
	return n == 6 && !text[n];
}

/* NULL: every file of the folder is temporary; else only "<base>.XXXXXX", of which a kill between
 * writing and renaming leaves one. */
static int sweep(const struct config *config, const char *folder, const char *base, int64_t *done)
{
	char path[MAX_PATH], file[MAX_PATH + 300];
	const struct dirent *entry;
	struct stat st;
	DIR *dir = opendir(config_path(path, sizeof(path), config, folder));

	if (!dir)
		return errno == ENOENT ? 0 : -errno;

	while ((entry = readdir(dir))) {
		const size_t len = base ? strlen(base) : 0;

		if (base && (strncmp(entry->d_name, base, len) || entry->d_name[len] != '.' ||
			     !is_random_suffix(entry->d_name + len + 1)))
			continue;
		(void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
		if (lstat(file, &st) || !S_ISREG(st.st_mode) ||
		    clk_wall_s() - (int64_t)st.st_mtime < TEMP_MAX_AGE_S)
			continue;
		if (!unlink(file))
			++*done;
	}
	(void)closedir(dir);

	return 0;
}

static int remove_temp(struct jobs *jobs, int64_t *ret_done)
{
	static const struct {
		const char *folder, *base;
	} places[] = {
		{ "tmp", NULL },
		{ ".", "demo.json" },
		{ ".", "demo.saved.json" },
		{ ".", "machine.key" },
		{ "run", "aoide.conf" },
		{ "tls", "server.pem" },
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !err; i++)
		err = sweep(jobs->config, places[i].folder, places[i].base, ret_done);

	return err;
}

static int sweep_audio(struct jobs *jobs, int64_t *ret_done)
{
	int err = database(jobs);

	return err ? err :
		     audio_sweep(jobs->db, jobs->config->data_dir, AUDIO_GRACE_S, ret_done);
}

/* ------------------------------------------------------------------ when */

static void state_path(char *buf, size_t size, const struct jobs *jobs, size_t i)
{
	(void)snprintf(buf, size, "%s/" STATE_FOLDER "/%s", jobs->config->data_dir,
		       activities[i].name);
}

static void states_load(struct jobs *jobs)
{
	char path[MAX_PATH];
	struct stat st;

	(void)mkdir(config_path(path, sizeof(path), jobs->config, STATE_FOLDER), 0700);
	for (size_t i = 0; i < N_ACTIVITIES; i++) {
		state_path(path, sizeof(path), jobs, i);
		jobs->states[i].last_s = stat(path, &st) ? 0 : (int64_t)st.st_mtime;
		jobs->states[i].next_s = schedule_next_s(&activities[i].schedule,
							 jobs->states[i].last_s, jobs->started_s);
	}
}

static void state_save(const struct jobs *jobs, size_t i)
{
	char path[MAX_PATH];
	int fd;

	state_path(path, sizeof(path), jobs, i);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return; /* it runs once more after the next start, which does no harm */
	(void)futimens(fd, NULL);
	(void)close(fd);
}

static void run_activity(struct jobs *jobs, size_t i)
{
	struct activity_state *state = &jobs->states[i];
	const uint64_t start_ms = clk_mono_ms();
	int64_t done = 0;
	int err;

	err = activities[i].run_h(jobs, &done);
	if (err && jobs->db) {
		db_close(jobs->db);
		jobs->db = NULL;
	}

	pthread_mutex_lock(&jobs->lock);
	state->runs++;
	state->err = err;
	state->done = done;
	state->took_ms = clk_mono_ms() - start_ms;
	if (err) {
		state->failures++;
		state->next_s = clk_wall_s() + RETRY_S;
	} else {
		state->last_s = clk_wall_s();
		state->next_s =
			schedule_next_s(&activities[i].schedule, state->last_s, jobs->started_s);
	}
	pthread_mutex_unlock(&jobs->lock);

	if (err) {
		log_error("jobs.failed", "a periodic activity failed; it is tried again in ten minutes",
			  kv_text("activity", activities[i].name), kv_err(err));
		return;
	}
	state_save(jobs, i);
	if (done)
		log_info("jobs.done", "a periodic activity is done",
			 kv_text("activity", activities[i].name), kv_int("removed", done),
			 kv_int("took_ms", state->took_ms));
	else
		log_debug("jobs.done", "a periodic activity is done",
			  kv_text("activity", activities[i].name), kv_int("took_ms", state->took_ms));
}

static int wait_ms(const struct jobs *jobs)
{
	const int64_t now = clk_wall_s();
	int64_t next = now + 60; /* a clock that was set is noticed within a minute */

	for (size_t i = 0; i < N_ACTIVITIES; i++) {
		if (jobs->states[i].next_s < next)
			next = jobs->states[i].next_s;
	}

	return next <= now ? 0 : (int)((next - now) * 1000);
}

/* ------------------------------------------------------------------ process */

static void put_time(json_t *obj, const char *key, int64_t s)
{
	char iso[32];

	json_object_set_new(obj, key, s ? json_string(clk_iso(iso, sizeof(iso), s * 1000000)) :
					  json_null());
}

static void status_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	struct jobs *jobs = arg;
	json_t *list = json_array();

	(void)subject;
	(void)data;
	pthread_mutex_lock(&jobs->lock);
	for (size_t i = 0; i < N_ACTIVITIES; i++) {
		const struct activity_state *state = &jobs->states[i];
		json_t *one = json_pack("{s:s, s:i, s:i, s:I, s:I, s:s?}", "name", activities[i].name,
					"runs", (int)state->runs, "failures", (int)state->failures, "done",
					(json_int_t)state->done, "took_ms", (json_int_t)state->took_ms,
					"error", state->err ? err_text(state->err) : NULL);

		put_time(one, "last_run", state->last_s);
		put_time(one, "next_run", state->next_s);
		json_array_append_new(list, one);
	}
	pthread_mutex_unlock(&jobs->lock);

	bus_reply(reply, 0,
		  json_pack("{s:I, s:o}", "uptime_s", (json_int_t)(clk_wall_s() - jobs->started_s),
			    "activities", list));
}

static int start(struct jobs *jobs)
{
	struct sigaction action = { .sa_handler = signal_h };
	char path[PATH_MAX];
	int err;

	if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) || sigaction(SIGTERM, &action, NULL) ||
	    sigaction(SIGINT, &action, NULL) || sigaction(SIGHUP, &action, NULL))
		return -errno;

	states_load(jobs);
	err = bus_connect(&jobs->bus, config_path(path, sizeof(path), jobs->config, CONFIG_BUS_SOCKET),
			  "jobs");
	if (!err)
		err = bus_serve_process(jobs->bus, "jobs");
	if (!err)
		err = bus_subscribe(jobs->bus, "cmd.jobs.status", status_h, jobs);
	if (!err)
		err = audio_jobs_start(&jobs->audio, jobs->config, jobs->bus);
	if (!err)
		err = bus_process_ready(jobs->bus, "jobs");

	return err;
}

static bool is_asked_to_end(void)
{
	char bytes[16];
	const ssize_t n = read(signal_pipe[0], bytes, sizeof(bytes));

	for (ssize_t i = 0; i < n; i++) {
		if (bytes[i] == SIGTERM || bytes[i] == SIGINT)
			return true;
	}

	return false;
}

int jobs_main(const struct config *config)
{
	struct jobs *jobs = calloc(1, sizeof(*jobs));
	int err;

	if (!jobs)
		return -ENOMEM;

	jobs->config = config;
	jobs->started_s = clk_wall_s();
	pthread_mutex_init(&jobs->lock, NULL);

	err = start(jobs);
	if (err)
		goto out;

	for (;;) {
		struct pollfd fd = { .fd = signal_pipe[0], .events = POLLIN };

		if (poll(&fd, 1, wait_ms(jobs)) > 0 && is_asked_to_end())
			break;
		for (size_t i = 0; i < N_ACTIVITIES; i++) {
			if (jobs->states[i].next_s <= clk_wall_s())
				run_activity(jobs, i);
		}
	}

out:
	audio_jobs_stop(jobs->audio);
	bus_close(jobs->bus);
	if (jobs->db)
		db_close(jobs->db);
	pthread_mutex_destroy(&jobs->lock);
	free(jobs);
	return err;
}
