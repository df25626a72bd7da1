/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/audio.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audio/convert.h"
#include "audio/prompts.h"
#include "audio/store.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "bus/bus.h"
#include "db/db.h"

#define MAX_WAITING   256
#define POLL_S        30 /* a wake-up that got lost costs no more */
#define RETRY_S       5  /* after an error of the database */
#define RELOAD_MS     10000

/* A request that is answered later: data NULL, a content is waited for; else an archive. */
struct request {
	int64_t id;
	json_t *archive;
	struct bus_reply *reply;
};

struct audio_jobs {
	const struct config *config;
	struct bus *bus;
	struct db *db;      /* worker only */
	pthread_t thread;
	pthread_mutex_t lock; /* what follows */
	pthread_cond_t wake;
	bool closing, asked;
	struct request requests[MAX_WAITING];
	size_t n_requests;
};

/* ------------------------------------------------------------------ one content */

/* A switch that does not run loads everything when it starts. */
static void reloaded_h(int err, json_t *data, void *arg)
{
	if (err)
		log_debug("jobs.audio", "the switch did not confirm", kv_err(err));
}

static void tell(struct audio_jobs *jobs, const struct audio_content *c, const char *reason)
{
	static const char *const entities[] = { "audio_file", "moh_class", "language", "volatile_audio" };
	char subject[64];

	/* Until the snapshot is made again the file is not there for calls. */
	if (!reason && c->kind != AUDIO_VOLATILE)
		(void)bus_request(jobs->bus, "cmd.switch.reload",
				  json_pack("{s:I}", "tenant_id", (json_int_t)c->tenant_id), RELOAD_MS,
				  reloaded_h, NULL);
	if (c->tenant_id)
		(void)snprintf(subject, sizeof(subject), "t.%lld.audio.converted",
			       (long long)c->tenant_id);
	else
		(void)snprintf(subject, sizeof(subject), "sys.audio.converted");
	(void)bus_publish(jobs->bus, subject,
			  json_pack("{s:s, s:I, s:I, s:s}", "entity", entities[c->kind], "id",
				    (json_int_t)c->owner_id, "content", (json_int_t)c->id, "state",
				    !reason || c->has_file ? "ready" : "failed"));
}

static int convert_one(struct audio_jobs *jobs, const struct audio_content *c)
{
	char from[PATH_MAX], to[PATH_MAX];
	struct audio_info info = { 0 };
	uint64_t start_ms = clk_mono_ms();
	const char *reason = "converter";
	bool stale = false;
	int err;

	audio_incoming_path(from, sizeof(from), jobs->config->data_dir, c->incoming);
	if (!audio_path(to, sizeof(to), jobs->config->data_dir, c))
		reason = audio_convert_file(from, to, &info);
	err = reason ? audio_set_failed(jobs->db, c, reason, &stale) :
		       audio_set_ready(jobs->db, c, &info, &stale);
	if (err)
		return err; /* the upload is still there: it is done once more */
	audio_incoming_remove(jobs->config->data_dir, c->incoming);
	if (stale)
		return 0; /* a newer upload has its own turn */
	log_info("jobs.audio", reason ? "an upload could not be converted" : "an upload was converted",
		 kv_int("tenant_id", c->tenant_id), kv_int("content", c->id),
		 kv_text("reason", reason ? reason : ""), kv_int("duration_ms", info.duration_ms),
		 kv_int("took_ms", (int64_t)(clk_mono_ms() - start_ms)));
	tell(jobs, c, reason);
	return 0;
}

/* ------------------------------------------------------------------ an archive of prompts */

struct archive {
	struct audio_jobs *jobs;
	const struct prompts *prompts;
	int64_t language_id;
	const char *code;
	json_t *matched, *unknown;
};

/*
 * The prompt that a file of the archive replaces: by its path without ending ("echo/intro.wav"), also
 * below folders that were packed with it ("it_personal/echo/intro.mp3"). The longest end that names
 * a prompt wins.
 */
static const struct prompt *prompt_of(const struct prompts *prompts, const char *path)
{
	char name[AUDIO_PROMPT_SIZE];
	const struct prompt *prompt = NULL;
	const char *at = path, *slash;
	char *dot;

	while (!prompt && at) {
		if ((size_t)snprintf(name, sizeof(name), "%s", at) < sizeof(name)) {
			dot = strrchr(name, '.');
			if (dot && !strchr(dot, '/'))
				*dot = '\0';
			prompt = prompts_find(prompts, name);
		}
		slash = strchr(at, '/');
		at = slash ? slash + 1 : NULL;
	}
	return prompt;
}

/* What packing programs add by themselves is not worth a word. */
static bool is_litter(const char *path)
{
	const char *last = strrchr(path, '/');

	last = last ? last + 1 : path;
	return !strncmp(path, "__MACOSX/", 9) || last[0] == '.' || !strcmp(last, "Thumbs.db");
}

static bool wants_file(const char *path, void *arg)
{
	struct archive *a = arg;

	if (is_litter(path))
		return false;
	if (prompt_of(a->prompts, path))
		return true;
	(void)json_array_append_new(a->unknown, json_string(path));
	return false;
}

static int store_file(const char *path, const char *incoming, int64_t bytes, void *arg)
{
	struct archive *a = arg;
	struct audio_content c = { .kind = AUDIO_PROMPT, .owner_id = a->language_id, .bytes = bytes };
	char replaced[AUDIO_NAME_SIZE] = "";
	int err;

	(void)snprintf(c.name, sizeof(c.name), "%s", prompt_of(a->prompts, path)->name);
	(void)snprintf(c.folder, sizeof(c.folder), "%s", a->code);
	(void)snprintf(c.source_name, sizeof(c.source_name), "%s", path);
	(void)snprintf(c.incoming, sizeof(c.incoming), "%s", incoming);
	err = audio_stage(a->jobs->db, &c, replaced);
	if (err)
		return err;
	audio_incoming_remove(a->jobs->config->data_dir, replaced);
	return json_array_append_new(a->matched, json_pack("{s:s, s:s, s:I}", "file", path, "prompt",
							   c.name, "content", (json_int_t)c.id)) ?
		       -ENOMEM :
		       0;
}

static int unpack(struct audio_jobs *jobs, const json_t *request, json_t **ret)
{
	struct archive a = { .jobs = jobs, .language_id = js_int(request, "language", 0),
			     .code = js_str(request, "code", ""), .matched = json_array(),
			     .unknown = json_array() };
	const char *incoming = js_str(request, "incoming", ""), *reason;
	struct prompts *prompts = NULL;
	char path[PATH_MAX];
	int fd = -1, err;

	audio_incoming_path(path, sizeof(path), jobs->config->data_dir, incoming);
	err = a.matched && a.unknown ? prompts_load(&prompts, jobs->config->share_dir) : -ENOMEM;
	a.prompts = prompts;
	if (!err) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		err = fd < 0 ? -errno : 0;
	}
	if (!err) {
		reason = audio_unpack(fd, jobs->config->data_dir, js_int(request, "file_max_bytes", 0),
				      wants_file, store_file, &a);
		*ret = json_pack("{s:O, s:O, s:s?}", "matched", a.matched, "unknown", a.unknown, "reason",
				 reason);
		err = *ret ? 0 : -ENOMEM;
	}
	if (fd >= 0)
		(void)close(fd);
	audio_incoming_remove(jobs->config->data_dir, incoming);
	prompts_free(prompts);
	json_decref(a.matched);
	json_decref(a.unknown);
	return err;
}

/* ------------------------------------------------------------------ the worker */

static int open_db(struct audio_jobs *jobs)
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

/* The first request that is about an archive, or whose content is done. False: none. */
static bool take_request(struct audio_jobs *jobs, struct request *ret)
{
	struct request waiting[MAX_WAITING];
	size_t n, found;

	pthread_mutex_lock(&jobs->lock);
	n = jobs->n_requests;
	memcpy(waiting, jobs->requests, n * sizeof(waiting[0]));
	pthread_mutex_unlock(&jobs->lock);

	for (found = 0; found < n; found++) {
		struct audio_content content = { 0 };

		if (waiting[found].archive ||
		    audio_get(&content, jobs->db, waiting[found].id) ||
		    content.state != AUDIO_CONVERTING)
			break;
	}
	if (found == n)
		return false;

	/* New ones came to the end meanwhile: the place is still the same. */
	*ret = waiting[found];
	pthread_mutex_lock(&jobs->lock);
	jobs->n_requests--;
	memmove(&jobs->requests[found], &jobs->requests[found + 1],
		(jobs->n_requests - found) * sizeof(jobs->requests[0]));
	pthread_mutex_unlock(&jobs->lock);
	return true;
}

static void answer_requests(struct audio_jobs *jobs)
{
	struct request request;

	while (take_request(jobs, &request)) {
		json_t *answer = NULL;
		int err = 0;

		if (request.archive)
			err = unpack(jobs, request.archive, &answer);
		json_decref(request.archive);
		bus_reply(request.reply, err, answer);
	}
}

static bool is_closing(struct audio_jobs *jobs)
{
	bool closing;

	pthread_mutex_lock(&jobs->lock);
	closing = jobs->closing;
	pthread_mutex_unlock(&jobs->lock);
	return closing;
}

/* Everything there is to do now. */
static int work(struct audio_jobs *jobs)
{
	struct audio_content content;
	int err = open_db(jobs);

	while (!err && !is_closing(jobs)) {
		answer_requests(jobs);
		err = audio_next(&content, jobs->db, 0);
		if (!err)
			err = convert_one(jobs, &content);
	}
	return err == -ENOENT ? 0 : err;
}

static void *worker_main(void *arg)
{
	struct audio_jobs *jobs = arg;

	while (!is_closing(jobs)) {
		struct timespec until;
		int err = work(jobs);

		if (err) {
			log_warn("jobs.audio", "uploads cannot be converted now; it is tried again",
				 kv_err(err));
			db_close(jobs->db);
			jobs->db = NULL;
		}
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += err ? RETRY_S : POLL_S;
		pthread_mutex_lock(&jobs->lock);
		while (!jobs->closing && (!jobs->asked || err) &&
		       pthread_cond_timedwait(&jobs->wake, &jobs->lock, &until) != ETIMEDOUT)
			;
		jobs->asked = false;
		pthread_mutex_unlock(&jobs->lock);
	}
	return NULL;
}

/* ------------------------------------------------------------------ bus */

static void add_request(struct audio_jobs *jobs, struct request request)
{
	bool room;

	pthread_mutex_lock(&jobs->lock);
	room = jobs->n_requests < MAX_WAITING && !jobs->closing;
	if (room && request.reply)
		jobs->requests[jobs->n_requests++] = request;
	jobs->asked = true;
	pthread_cond_signal(&jobs->wake);
	pthread_mutex_unlock(&jobs->lock);
	if (room || !request.reply)
		return;
	json_decref(request.archive);
	bus_reply(request.reply, -EBUSY, NULL);
}

static void audio_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	add_request(arg, (struct request){ .id = js_int(data, "id", 0), .reply = reply });
}

static void unpack_h(const char *subject, json_t *data, struct bus_reply *reply, void *arg)
{
	if (reply)
		add_request(arg, (struct request){ .archive = json_deep_copy(data), .reply = reply });
}

int audio_jobs_start(struct audio_jobs **ret, const struct config *config, struct bus *bus)
{
	struct audio_jobs *jobs = calloc(1, sizeof(*jobs));
	pthread_condattr_t attr;
	int err;

	if (!jobs)
		return -ENOMEM;
	jobs->config = config;
	jobs->bus = bus;
	pthread_mutex_init(&jobs->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&jobs->wake, &attr);
	pthread_condattr_destroy(&attr);
	err = -pthread_create(&jobs->thread, NULL, worker_main, jobs);
	if (err) {
		free(jobs);
		return err;
	}
	*ret = jobs;
	err = bus_subscribe(bus, "cmd.jobs.audio", audio_h, jobs);
	return err ? err : bus_subscribe(bus, "cmd.jobs.unpack", unpack_h, jobs);
}

void audio_jobs_stop(struct audio_jobs *jobs)
{
	if (!jobs)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->closing = true;
	pthread_cond_signal(&jobs->wake);
	pthread_mutex_unlock(&jobs->lock);
	pthread_join(jobs->thread, NULL);
	for (size_t i = 0; i < jobs->n_requests; i++) {
		json_decref(jobs->requests[i].archive);
		bus_reply(jobs->requests[i].reply, -EUNAVAILABLE, NULL);
	}
	db_close(jobs->db);
	pthread_mutex_destroy(&jobs->lock);
	pthread_cond_destroy(&jobs->wake);
	free(jobs);
}
