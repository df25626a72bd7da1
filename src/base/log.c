/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"
#include "base/log_priv.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/re.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES   1536u         /* a longer line is cut */
#define QUEUE_BYTES      (256u * 1024) /* lines waiting for the writer */
#define MAX_MODULES      64u           /* with a level of their own */
#define MODULE_NAME      24u
#define REPEAT_SLOTS     128u          /* events whose rate is watched */
#define REPEAT_PER_S     10u           /* warnings and errors of one event within a second */
#define REPEAT_WINDOW_MS 1000u

static const char *const level_names[] = { "error", "warn", "info", "debug" };

/* scripts/check.py compares it with the events that there are. */
static const char known_modules[] =
	"audio, bus, call, data, db, demo, fiber, jobs, log, main, media, pbx, process, run, schema, seal, sip, "
	"snapshot, spy, studio, switch, timer, tls, web, writer";

struct module_level {
	char name[MODULE_NAME];
	_Atomic int level; /* enum log_level */
};

struct repeat {
	const char *event; /* names are constants */
	uint64_t window_ms; /* when the window began */
	uint32_t n, held;
};

/* The logger is one of the two known exceptions to "no mutable file-scope variable". */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool is_running, is_stopping;
	char *active, *spare; /* lines are added to the first while the writer writes the second */
	size_t used;
	uint64_t dropped;
	struct repeat repeats[REPEAT_SLOTS];
	uint32_t n_held; /* sum of repeats[].held: the writer looks only then */
	char process[32];
} logger = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };

static _Atomic int default_level = LOG_LVL_INFO;
static struct module_level modules[MAX_MODULES];
static _Atomic size_t n_modules; /* published after the name is written */

static __thread struct log_context thread_context;
static __thread struct log_context *context;

/* ------------------------------------------------------------------ levels */

static size_t module_len(const char *event)
{
	return strcspn(event, ".");
}

static struct module_level *module_find(const char *name, size_t len)
{
	const size_t n = atomic_load_explicit(&n_modules, memory_order_acquire);

	for (size_t i = 0; i < n; i++) {
		if (!strncmp(modules[i].name, name, len) && !modules[i].name[len])
			return &modules[i];
	}

	return NULL;
}

enum log_level log_level_of(const char *event)
{
	const struct module_level *module;

	if (atomic_load_explicit(&n_modules, memory_order_acquire)) {
		const size_t len = module_len(event);

		module = len < MODULE_NAME ? module_find(event, len) : NULL;
		if (module)
			return (enum log_level)atomic_load_explicit(&module->level,
								    memory_order_relaxed);
	}

	return (enum log_level)atomic_load_explicit(&default_level, memory_order_relaxed);
}

static int level_parse(const char *text)
{
	for (int i = 0; i <= LOG_LVL_DEBUG; i++) {
		if (!strcasecmp(text, level_names[i]))
			return i;
	}

	return -EINVAL;
}

const char *log_module_names(void)
{
	return known_modules;
}

static bool is_known(const char *module, size_t len)
{
	for (const char *at = known_modules; at; at = strchr(at, ' ')) {
		at += *at == ' ';
		if (strcspn(at, ",") == len && !memcmp(at, module, len))
			return true;
	}
	return false;
}

int log_level_set(const char *module, const char *level)
{
	const size_t len = module ? strlen(module) : 0;
	struct module_level *found;
	size_t n;
	int value, err = 0;

	if (!len || len >= MODULE_NAME || !level)
		return -EINVAL;
	value = level_parse(level);
	if (value < 0)
		return value;

	if (!strcmp(module, "*")) {
		atomic_store(&default_level, value);
		/* "all" means all: levels that single modules had are overruled, too. */
		n = atomic_load(&n_modules);
		for (size_t i = 0; i < n; i++)
			atomic_store(&modules[i].level, value);
		return 0;
	}

	if (!is_known(module, len))
		return -ENOENT;
	pthread_mutex_lock(&logger.lock);
	found = module_find(module, len);
	n = atomic_load(&n_modules);
	if (found) {
		atomic_store(&found->level, value);
	} else if (n == MAX_MODULES) {
		err = -ENOSPC;
	} else {
		memcpy(modules[n].name, module, len + 1);
		atomic_store(&modules[n].level, value);
		atomic_store_explicit(&n_modules, n + 1, memory_order_release);
	}
	pthread_mutex_unlock(&logger.lock);

	return err;
}

int log_levels_set(const char *spec)
{
	char item[MODULE_NAME + 16];
	int err;

	while (spec && *spec) {
		const size_t len = strcspn(spec, ",");
		char *level;

		if (len >= sizeof(item))
			return -EINVAL;
		memcpy(item, spec, len);
		item[len] = '\0';
		spec += len;
		if (*spec == ',')
			spec++;
		if (!len)
			continue;

		level = strchr(item, '=');
		if (level)
			*level++ = '\0';
		err = level ? log_level_set(item, level) : log_level_set("*", item);
		if (err)
			return err;
	}

	return 0;
}

void log_levels_print(char *buf, size_t size)
{
	const size_t n = atomic_load_explicit(&n_modules, memory_order_acquire);
	size_t pos;
	int len;

	if (!size)
		return;

	len = snprintf(buf, size, "* %s\n", level_names[atomic_load(&default_level)]);
	pos = len > 0 ? (size_t)len : 0;
	for (size_t i = 0; i < n && pos < size; i++) {
		len = snprintf(buf + pos, size - pos, "%s %s\n", modules[i].name,
			       level_names[atomic_load(&modules[i].level)]);
		pos += len > 0 ? (size_t)len : 0;
	}
}

/* ------------------------------------------------------------------ one line */

struct line {
	char *buf;
	size_t len, size;
};

static void put_char(struct line *line, char c)
{
	if (line->len < line->size)
		line->buf[line->len++] = c;
}

static void put_raw(struct line *line, const char *text)
{
	while (*text)
		put_char(line, *text++);
}

static bool needs_quotes(const char *text, size_t len)
{
	if (!len)
		return true;
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
			return true;
	}

	return false;
}

/* logfmt: a value that holds more than plain characters is quoted, so that what a stranger sent can
 * neither end the line nor pose as another key. */
static void put_value(struct line *line, const char *text, size_t len)
{
	static const char hex[] = "0123456789abcdef";

	if (!needs_quotes(text, len)) {
		for (size_t i = 0; i < len; i++)
			put_char(line, text[i]);
		return;
	}

	put_char(line, '"');
	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\') {
			put_char(line, '\\');
			put_char(line, (char)c);
		} else if (c == '\n') {
			put_raw(line, "\\n");
		} else if (c < ' ' || c == 0x7f) {
			put_raw(line, "\\x");
			put_char(line, hex[c >> 4]);
			put_char(line, hex[c & 15]);
		} else {
			put_char(line, (char)c);
		}
	}
	put_char(line, '"');
}

static void put_pair(struct line *line, const char *key, const char *value, size_t len)
{
	if (line->len)
		put_char(line, ' ');
	put_raw(line, key);
	put_char(line, '=');
	put_value(line, value, len);
}

static void put_text(struct line *line, const char *key, const char *value)
{
	put_pair(line, key, value, strlen(value));
}

static void put_kv(struct line *line, const struct kv *kv)
{
	char buf[96];

	switch (kv->type) {
	case KV_END:
		break;
	case KV_TEXT:
		put_text(line, kv->key, kv->u.text ? kv->u.text : "");
		break;
	case KV_TEXT_N:
		put_pair(line, kv->key, kv->u.text ? kv->u.text : "", kv->u.text ? kv->len : 0);
		break;
	case KV_INT:
		(void)snprintf(buf, sizeof(buf), "%lld", (long long)kv->u.num);
		put_text(line, kv->key, buf);
		break;
	case KV_SA:
		if (kv->u.sa && re_snprintf(buf, sizeof(buf), "%J", kv->u.sa) > 0)
			put_text(line, kv->key, buf);
		else
			put_text(line, kv->key, "-");
		break;
	case KV_ERR:
		put_text(line, kv->key, err_text((int)kv->u.num));
		break;
	}
}

static void put_head(struct line *line, enum log_level level, const char *event)
{
	const int64_t now_us = clk_wall_us();
	char when[32], ms[8];

	(void)clk_iso(when, sizeof(when), now_us);
	(void)snprintf(ms, sizeof(ms), ".%03uZ", (unsigned)(now_us / 1000 % 1000));
	if (strlen(when) == 20)
		memcpy(when + 19, ms, sizeof(".000Z"));

	put_text(line, "time", when);
	put_text(line, "level", level_names[level]);
	if (logger.process[0])
		put_text(line, "proc", logger.process);
	put_text(line, "event", event);
}

static size_t line_make(char *buf, size_t size, enum log_level level, const char *event,
			const char *text, const struct kv *kvs, uint32_t repeated)
{
	struct line line = { .buf = buf, .size = size - 1 };
	char count[16];

	put_head(&line, level, event);
	if (text)
		put_text(&line, "msg", text);
	if (repeated) {
		(void)snprintf(count, sizeof(count), "%u", repeated);
		put_text(&line, "repeated", count);
	}
	if (context && context->tenant[0])
		put_text(&line, "tenant", context->tenant);
	if (context && context->call[0])
		put_text(&line, "call", context->call);
	for (; kvs && kvs->type != KV_END; kvs++)
		put_kv(&line, kvs);
	buf[line.len++] = '\n';

	return line.len;
}

/* ------------------------------------------------------------------ repeats */

/* A flood from outside fills neither the disk nor the queue: of each warning or error, so many lines
 * a second; the rest is counted and the count follows. Returns how many were held back before this
 * line, or -1 to hold this one back. Lock held. */
static int repeat_check(enum log_level level, const char *event)
{
	const uint64_t now = clk_mono_ms();
	struct repeat *repeat;
	size_t slot;
	int held;

	if (level > LOG_LVL_WARN)
		return 0;

	slot = ((uintptr_t)event >> 3) % REPEAT_SLOTS;
	repeat = &logger.repeats[slot];
	if (repeat->event != event) {
		if (repeat->event && repeat->held && now - repeat->window_ms < REPEAT_WINDOW_MS)
			return 0; /* another flood owns the slot: this one passes */
		logger.n_held -= repeat->held;
		*repeat = (struct repeat){ .event = event, .window_ms = now };
	}

	if (now - repeat->window_ms >= REPEAT_WINDOW_MS) {
		held = (int)repeat->held;
		logger.n_held -= repeat->held;
		*repeat = (struct repeat){ .event = event, .window_ms = now, .n = 1 };
		return held;
	}
	if (repeat->n < REPEAT_PER_S) {
		repeat->n++;
		return 0;
	}
	repeat->held++;
	logger.n_held++;

	return -1;
}

/* ------------------------------------------------------------------ queue and writer */

static void write_all(const char *text, size_t len)
{
	while (len) {
		const ssize_t n = write(STDERR_FILENO, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere left to report it */
		text += n;
		len -= (size_t)n;
	}
}

static void enqueue(const char *line, size_t len)
{
	if (logger.used + len > QUEUE_BYTES) {
		logger.dropped++;
		return;
	}
	if (!logger.used)
		pthread_cond_signal(&logger.wake);
	memcpy(logger.active + logger.used, line, len);
	logger.used += len;
}

/* Counts of floods that ended: they get their line although no further event carries it. */
static void flush_repeats(bool all)
{
	const uint64_t now = clk_mono_ms();
	char buf[LINE_MAX_BYTES];

	for (size_t i = 0; i < REPEAT_SLOTS && logger.n_held; i++) {
		struct repeat *repeat = &logger.repeats[i];

		if (!repeat->held || (!all && now - repeat->window_ms < REPEAT_WINDOW_MS))
			continue;
		enqueue(buf, line_make(buf, sizeof(buf), LOG_LVL_WARN, repeat->event,
				       "more of the same were not logged", NULL, repeat->held));
		logger.n_held -= repeat->held;
		*repeat = (struct repeat){ 0 };
	}
}

static void wait_for_lines(void)
{
	struct timespec until;

	if (!logger.n_held) {
		pthread_cond_wait(&logger.wake, &logger.lock);
		return;
	}

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1;
	(void)pthread_cond_timedwait(&logger.wake, &logger.lock, &until);
}

static void *writer_main(void *arg)
{
	char buf[LINE_MAX_BYTES];

	(void)arg;
	(void)pthread_setname_np(pthread_self(), "log");
	pthread_mutex_lock(&logger.lock);
	for (;;) {
		char *text;
		uint64_t dropped;
		size_t len;

		while (!logger.used && !logger.is_stopping) {
			wait_for_lines();
			flush_repeats(false);
		}
		if (logger.is_stopping)
			flush_repeats(true);
		if (!logger.used)
			break;

		text = logger.active;
		len = logger.used;
		dropped = logger.dropped;
		logger.active = logger.spare;
		logger.spare = text;
		logger.used = 0;
		logger.dropped = 0;

		pthread_mutex_unlock(&logger.lock);
		write_all(text, len);
		if (dropped) {
			const struct kv kvs[] = { kv_int("lines", dropped), kv_end };

			write_all(buf, line_make(buf, sizeof(buf), LOG_LVL_WARN, "log.dropped",
						 "the reader of the log is too slow", kvs, 0));
		}
		pthread_mutex_lock(&logger.lock);
	}
	pthread_mutex_unlock(&logger.lock);

	return NULL;
}

int log_start(const char *process)
{
	int err = 0;

	pthread_mutex_lock(&logger.lock);
	if (logger.is_running)
		goto out;

	(void)snprintf(logger.process, sizeof(logger.process), "%s", process ? process : "");
	logger.active = malloc(QUEUE_BYTES);
	logger.spare = malloc(QUEUE_BYTES);
	logger.used = 0;
	logger.is_stopping = false;
	if (!logger.active || !logger.spare)
		err = -ENOMEM;
	else
		err = -pthread_create(&logger.thread, NULL, writer_main, NULL);
	if (err) {
		free(logger.active);
		free(logger.spare);
		logger.active = logger.spare = NULL;
		goto out;
	}
	logger.is_running = true;

out:
	pthread_mutex_unlock(&logger.lock);
	return err;
}

void log_stop(void)
{
	pthread_mutex_lock(&logger.lock);
	if (!logger.is_running || logger.is_stopping) {
		pthread_mutex_unlock(&logger.lock);
		return;
	}
	logger.is_stopping = true;
	pthread_cond_signal(&logger.wake);
	pthread_mutex_unlock(&logger.lock);

	(void)pthread_join(logger.thread, NULL);

	pthread_mutex_lock(&logger.lock);
	free(logger.active);
	free(logger.spare);
	logger.active = logger.spare = NULL;
	logger.used = 0;
	logger.is_running = false;
	pthread_mutex_unlock(&logger.lock);
}

void log_write(enum log_level level, const char *event, const char *text, const struct kv *kvs)
{
	char buf[LINE_MAX_BYTES];
	size_t len;
	int repeated;

	pthread_mutex_lock(&logger.lock);
	repeated = repeat_check(level, event);
	pthread_mutex_unlock(&logger.lock);
	if (repeated < 0)
		return;

	len = line_make(buf, sizeof(buf), level, event, text, kvs, (uint32_t)repeated);

	pthread_mutex_lock(&logger.lock);
	if (logger.is_running && !(logger.is_stopping && !logger.used)) {
		enqueue(buf, len);
		pthread_mutex_unlock(&logger.lock);
		return;
	}
	pthread_mutex_unlock(&logger.lock);
	write_all(buf, len); /* before log_start() and after log_stop() */
}

/* ------------------------------------------------------------------ context */

struct log_context *log_context_swap(struct log_context *next)
{
	struct log_context *before = context;

	context = next;
	return before;
}

void log_context_set(const char *tenant, const char *call)
{
	if (!context)
		context = &thread_context;

	(void)snprintf(context->tenant, sizeof(context->tenant), "%s", tenant ? tenant : "");
	(void)snprintf(context->call, sizeof(context->call), "%s", call ? call : "");
}
