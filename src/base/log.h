/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_LOG_H
#define AOIDE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Structured logging. Any thread; never blocks: a bounded queue and a writer thread; what does not
 * fit is counted and the count is logged.
 *
 * An event name is "<module>.<what>" ("sip.auth_failed"); the module is what levels are set for.
 * Never log a password, PIN, digest or message body. Use:
 *
 *	log_warn("sip.auth_failed", "digest rejected",
 *		 kv_text("account", account), kv_sa("src", &src), kv_int("failures", failures));
 */
enum log_level { LOG_LVL_ERROR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

enum kv_type { KV_END, KV_TEXT, KV_TEXT_N, KV_INT, KV_SA, KV_ERR };

struct sa;

struct kv {
	const char *key;
	enum kv_type type;
	union {
		const char *text;
		int64_t num;
		const struct sa *sa;
	} u;
	size_t len; /* KV_TEXT_N */
};

#define kv_text(k, v)     ((struct kv){ .key = (k), .type = KV_TEXT, .u.text = (v) })
#define kv_textn(k, v, n) ((struct kv){ .key = (k), .type = KV_TEXT_N, .u.text = (v), .len = (n) })
#define kv_int(k, v)      ((struct kv){ .key = (k), .type = KV_INT, .u.num = (int64_t)(v) })
#define kv_sa(k, v)       ((struct kv){ .key = (k), .type = KV_SA, .u.sa = (v) })
#define kv_err(v)         ((struct kv){ .key = "error", .type = KV_ERR, .u.num = (v) })
#define kv_end            ((struct kv){ .type = KV_END })

/* Starts the writer. process: "switch", "web"...; stamped on each line. Until then lines go to stderr. */
int log_start(const char *process);
void log_stop(void); /* flushes */

/* Sets the level of one module, or of all with "*". Any time, any thread. -EINVAL: unknown level; -ENOENT:
 * unknown module. */
int log_level_set(const char *module, const char *level);
/* All modules that write events, divided by commas: for who named another one. */
const char *log_module_names(void);
enum log_level log_level_of(const char *event);

/* Sets levels from one text: "info" or "info,sip=debug" (the configuration key log_level). */
int log_levels_set(const char *spec);

/* Prints "module level" lines into buf; for `aoide ctl log`. */
void log_levels_print(char *buf, size_t size);

void log_write(enum log_level level, const char *event, const char *text, const struct kv *kvs);

#define log_at(level, event, text, ...)                                                            \
	do {                                                                                       \
		if ((level) <= log_level_of(event))                                                \
			log_write(level, event, text, (const struct kv[]){ __VA_ARGS__ });         \
	} while (0)

#define log_error(event, text, ...) log_at(LOG_LVL_ERROR, event, text, ##__VA_ARGS__, kv_end)
#define log_warn(event, text, ...)  log_at(LOG_LVL_WARN, event, text, ##__VA_ARGS__, kv_end)
#define log_info(event, text, ...)  log_at(LOG_LVL_INFO, event, text, ##__VA_ARGS__, kv_end)
#define log_debug(event, text, ...) log_at(LOG_LVL_DEBUG, event, text, ##__VA_ARGS__, kv_end)

/* Tenant and call of the running fiber or request; added to each line of this thread. NULL clears. */
void log_context_set(const char *tenant, const char *call);

#endif
