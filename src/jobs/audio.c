/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/audio.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
#define N_WORKERS     2 /* so that a long piece does not hold up a short one */
#define POLL_S        30 /* a wake-up that got lost costs no more */
#define RETRY_S       5  /* after an error of the database */
#define RELOAD_MS     10000
#define GIVEN_UP_S    3600 /* a recording from a phone that nobody wants */

/* A request that is answered later: data NULL, a content is waited for; else an archive. */
struct request {
	int64_t id;
	json_t *archive;
	struct bus_reply *reply;
};

/* Workers convert; the front answers requests and unpacks archives. Each has a database of its own. */
struct worker {
	struct audio_jobs *jobs;
	struct db *db;
	pthread_t thread;
	bool is_running;
	bool asked;   /* under jobs->lock */
	int64_t busy; /* content in conversion; under jobs->claim */
	int (*work_h)(struct worker *worker);
};

struct audio_jobs {
	const struct config *config;
	struct bus *bus;
	struct worker front, workers[N_WORKERS];
	pthread_mutex_t claim; /* who converts what */
	pthread_mutex_t lock;  /* what follows */
	pthread_cond_t wake;
	atomic_bool closing; /* written under the lock; a conversion looks at it alone */
	struct request requests[MAX_WAITING];
	size_t n_requests;
};

/* ------------------------------------------------------------------ one content */

/* A switch that does not run loads everything when it starts. */
static void reloaded_h(int err, json_t *data, void *arg)
{
	json_decref(data);
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

static int convert_one(struct worker *worker, const struct audio_content *c)
{
	struct audio_jobs *jobs = worker->jobs;
	char from[PATH_MAX], to[PATH_MAX];
	struct audio_info info = { 0 };
	uint64_t start_ms = clk_mono_ms();
	const char *reason = "converter";
	bool stale = false;
	int err;

	audio_incoming_path(from, sizeof(from), jobs->config->data_dir, c->incoming);
	if (!audio_path(to, sizeof(to), jobs->config->data_dir, c))
		reason = audio_convert_file(from, to, &jobs->closing, &info);
	if (reason && !strcmp(reason, "stopped"))
		return 0; /* the next start goes on with it */
	err = reason ? audio_set_failed(worker->db, c, reason, &stale) :
		       audio_set_ready(worker->db, c, &info, &stale);
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
	err = audio_stage(a->jobs->front.db, &c, replaced);
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

/* ------------------------------------------------------------------ threads */

static int open_db(struct worker *worker)
{
	char url[PATH_MAX], why[200] = "";
	int err;

	if (worker->db)
		return 0;
	err = db_open(&worker->db, config_db_url(url, sizeof(url), worker->jobs->config), why,
		      sizeof(why));
	if (err)
		log_warn("jobs.database", "the database cannot be opened", kv_text("why", why),
			 kv_err(err));
	return err;
}

static bool is_closing(struct audio_jobs *jobs)
{
	return atomic_load(&jobs->closing);
}

/* Wakes everybody: there is something new to convert, or to answer. */
static void wake_all(struct audio_jobs *jobs)
{
	pthread_mutex_lock(&jobs->lock);
	jobs->front.asked = true;
	for (size_t i = 0; i < N_WORKERS; i++)
		jobs->workers[i].asked = true;
	pthread_cond_broadcast(&jobs->wake);
	pthread_mutex_unlock(&jobs->lock);
}

/* The first request that is about an archive, or whose content is done. False: none. Front only. */
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
		    audio_get(&content, jobs->front.db, waiting[found].id) ||
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

static int copy_file(int to, int from)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0, w; at < n; at += w) {
			w = write(to, buf + at, (size_t)(n - at));
			if (w < 0)
				return -errno;
		}
	return n < 0 || fsync(to) ? -errno : 0;
}

/* The recordings may be on another disk: copied, and the original goes when the row names the copy. */
static int stage_recording(struct worker *front, const char *path, json_t *order)
{
	const char *data_dir = front->jobs->config->data_dir;
	struct audio_content c = { .kind = AUDIO_FILE, .tenant_id = js_int(order, "tenant_id", 0),
				   .owner_id = js_int(order, "audio_file", 0) };
	char replaced[AUDIO_NAME_SIZE] = "";
	struct stat st = { 0 };
	int from, to, err;

	from = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (from < 0)
		return -errno;
	to = audio_incoming_create(data_dir, c.incoming);
	err = to < 0 ? to : fstat(from, &st) ? -errno : copy_file(to, from);
	(void)close(from);
	if (to >= 0)
		(void)close(to);
	c.bytes = (int64_t)st.st_size;
	(void)snprintf(c.source_name, sizeof(c.source_name), "%s.wav", js_str(order, "name", ""));
	if (!err)
		err = audio_stage(front->db, &c, replaced);
	audio_incoming_remove(data_dir, err ? c.incoming : replaced);
	return err;
}

/*
 * A file with an order (services/studio.h) is taken over; without one, it is a try that was given up.
 *
 * Returns 1 when one was taken over, 0, -errno.
 */
static int collect_one(struct worker *front, const char *folder, const char *name)
{
	char path[PATH_MAX], txt[PATH_MAX + 8];
	struct stat st;
	json_t *order;
	int err;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) >= sizeof(path))
		return -ENAMETOOLONG;
	(void)snprintf(txt, sizeof(txt), "%s.txt", path);
	if (access(txt, F_OK)) {
		if (!stat(path, &st) && clk_wall_s() - st.st_mtime > GIVEN_UP_S)
			(void)unlink(path);
		return 0;
	}
	order = json_load_file(txt, 0, NULL);
	err = order ? stage_recording(front, path, order) : 0; /* what says nothing helps nobody */
	json_decref(order);
	if (err)
		return err;
	(void)unlink(path); /* first: an order without a file is not looked at */
	(void)unlink(txt);
	return 1;
}

static int collect_recordings(struct worker *front)
{
	char folder[PATH_MAX];
	struct dirent *entry;
	bool some = false;
	int err = 0;
	DIR *dir;

	(void)snprintf(folder, sizeof(folder), "%s/" CONFIG_RECORDINGS_DIR "/" CONFIG_PHONE_DIR,
		       front->jobs->config->data_dir);
	dir = opendir(folder);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (err >= 0 && (entry = readdir(dir))) {
		const char *end = strrchr(entry->d_name, '.');

		if (!end || strcmp(end, ".wav"))
			continue;
		err = collect_one(front, folder, entry->d_name);
		some = some || err > 0;
	}
	(void)closedir(dir);
	if (some)
		wake_all(front->jobs); /* there is something to convert now */
	return err < 0 ? err : 0;
}

static int answer_requests(struct worker *front)
{
	struct request request;
	int failed = collect_recordings(front);

	while (!is_closing(front->jobs) && take_request(front->jobs, &request)) {
		json_t *answer = NULL;
		int err = 0;

		if (request.archive) {
			err = unpack(front->jobs, request.archive, &answer);
			wake_all(front->jobs); /* there is much to convert now */
		}
		json_decref(request.archive);
		bus_reply(request.reply, err, answer);
	}
	return failed;
}

/* The next content that no other worker has. -ENOENT: none. */
static int claim_next(struct worker *worker, struct audio_content *ret)
{
	struct audio_jobs *jobs = worker->jobs;
	int64_t after = 0;
	bool taken = true;
	int err = 0;

	pthread_mutex_lock(&jobs->claim);
	worker->busy = 0;
	while (!err && taken) {
		err = audio_next(ret, worker->db, after);
		taken = false;
		for (size_t i = 0; !err && i < N_WORKERS; i++)
			taken = taken || jobs->workers[i].busy == ret->id;
		after = ret->id;
	}
	if (!err)
		worker->busy = ret->id;
	pthread_mutex_unlock(&jobs->claim);
	return err;
}

static int convert_all(struct worker *worker)
{
	struct audio_content content;
	int err = 0;

	while (!err && !is_closing(worker->jobs)) {
		err = claim_next(worker, &content);
		if (!err)
			err = convert_one(worker, &content);
		if (!err)
			wake_all(worker->jobs); /* somebody may wait for it */
	}
	return err == -ENOENT ? 0 : err;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct audio_jobs *jobs = worker->jobs;

	(void)pthread_setname_np(pthread_self(), "audio");
	while (!is_closing(jobs)) {
		struct timespec until;
		int err = open_db(worker);

		if (!err)
			err = worker->work_h(worker);
		if (err) {
			log_warn("jobs.audio", "uploads cannot be converted now; it is tried again",
				 kv_err(err));
			db_close(worker->db);
			worker->db = NULL;
		}
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += err ? RETRY_S : POLL_S;
		pthread_mutex_lock(&jobs->lock);
		while (!jobs->closing && (!worker->asked || err) &&
		       pthread_cond_timedwait(&jobs->wake, &jobs->lock, &until) != ETIMEDOUT)
			;
		worker->asked = false;
		pthread_mutex_unlock(&jobs->lock);
	}
	db_close(worker->db);
	return NULL;
}

static int start_worker(struct worker *worker, struct audio_jobs *jobs,
			int (*work_h)(struct worker *worker))
{
	int err;

	worker->jobs = jobs;
	worker->work_h = work_h;
	err = -pthread_create(&worker->thread, NULL, worker_main, worker);
	worker->is_running = !err;
	return err;
}

/* ------------------------------------------------------------------ bus */

static void add_request(struct audio_jobs *jobs, struct request request)
{
	bool room;

	pthread_mutex_lock(&jobs->lock);
	room = jobs->n_requests < MAX_WAITING && !jobs->closing;
	if (room && request.reply)
		jobs->requests[jobs->n_requests++] = request;
	pthread_mutex_unlock(&jobs->lock);
	wake_all(jobs);
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
	pthread_mutex_init(&jobs->claim, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&jobs->wake, &attr);
	pthread_condattr_destroy(&attr);
	*ret = jobs; /* to be stopped also after an error */
	err = start_worker(&jobs->front, jobs, answer_requests);
	for (size_t i = 0; !err && i < N_WORKERS; i++)
		err = start_worker(&jobs->workers[i], jobs, convert_all);
	if (!err)
		err = bus_subscribe(bus, "cmd.jobs.audio", audio_h, jobs);
	if (!err)
		err = bus_subscribe(bus, "sys.audio.recorded", audio_h, jobs);
	return err ? err : bus_subscribe(bus, "cmd.jobs.unpack", unpack_h, jobs);
}

void audio_jobs_stop(struct audio_jobs *jobs)
{
	if (!jobs)
		return;
	pthread_mutex_lock(&jobs->lock);
	jobs->closing = true;
	pthread_cond_broadcast(&jobs->wake);
	pthread_mutex_unlock(&jobs->lock);
	if (jobs->front.is_running)
		pthread_join(jobs->front.thread, NULL);
	for (size_t i = 0; i < N_WORKERS; i++)
		if (jobs->workers[i].is_running)
			pthread_join(jobs->workers[i].thread, NULL);
	for (size_t i = 0; i < jobs->n_requests; i++) {
		json_decref(jobs->requests[i].archive);
		bus_reply(jobs->requests[i].reply, -EUNAVAILABLE, NULL);
	}
	pthread_mutex_destroy(&jobs->lock);
	pthread_mutex_destroy(&jobs->claim);
	pthread_cond_destroy(&jobs->wake);
	free(jobs);
}
