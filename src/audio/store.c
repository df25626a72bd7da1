/* SPDX-License-Identifier: Apache-2.0 */
#include "audio/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/log.h"
#include "base/seal.h"
#include "db/db.h"

#define COLUMNS                                                                                    \
	"id, tenant_id, kind, owner_id, name, place, folder, source_name, incoming, state, has_file," \
	" reason, bytes, duration_ms, rate_hz, source_format, updated_at, expires_at"

#define TABLE                                                                                      \
	"tenant_id BIGINT NOT NULL, kind TEXT NOT NULL, owner_id BIGINT NOT NULL,"                 \
	" name TEXT NOT NULL, place BIGINT NOT NULL, folder TEXT NOT NULL,"                        \
	" source_name TEXT NOT NULL, incoming TEXT NOT NULL, state TEXT NOT NULL,"                 \
	" has_file BIGINT NOT NULL, reason TEXT NOT NULL, bytes BIGINT NOT NULL,"                  \
	" duration_ms BIGINT NOT NULL, rate_hz BIGINT NOT NULL, source_format TEXT NOT NULL,"      \
	" created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, expires_at BIGINT NOT NULL);"    \
	"CREATE UNIQUE INDEX audio_content_owner ON audio_content"                                 \
	" (kind, tenant_id, owner_id, name, place);"                                               \
	"CREATE INDEX audio_content_state ON audio_content (state, id)"

static const struct db_migration migrations[] = {
	{ 1, "audio_content", "CREATE TABLE audio_content (id INTEGER PRIMARY KEY AUTOINCREMENT, " TABLE,
	  "CREATE TABLE audio_content (id BIGSERIAL PRIMARY KEY, " TABLE },
};

/* In the order of the enums. */
static const char *const kind_names[] = { "file", "moh", "prompt", "volatile" };
static const char *const state_names[] = { "empty", "converting", "ready", "failed" };

const struct sch_value audio_states[] = {
	{ "empty", { "Vuoto", "Empty" } },
	{ "converting", { "In conversione", "Converting" } },
	{ "ready", { "Pronto", "Ready" } },
	{ "failed", { "Non riuscito", "Failed" } },
	{ 0 },
};

static const struct {
	const char *reason;
	struct sch_label text;
} reasons[] = {
	{ "unreadable", { "Il file non è un audio riconosciuto: usare WAV, MP3, FLAC, Ogg, Opus o AIFF.",
			  "The file is no sound that is known here: use WAV, MP3, FLAC, Ogg, Opus or AIFF." } },
	{ "empty", { "Il file non contiene alcun suono: registrarlo di nuovo.",
		     "The file holds no sound: record it again." } },
	{ "too_long", { "L'audio dura più di tre ore: dividerlo.",
			"The sound is longer than three hours: divide it." } },
	{ "damaged", { "Il file è danneggiato e non si legge fino in fondo: esportarlo di nuovo.",
		       "The file is damaged and cannot be read to its end: export it again." } },
	{ "disk_full", { "Il disco del server è pieno: liberare spazio e caricare di nuovo il file.",
			 "The server's disk is full: make room and upload the file again." } },
	{ "too_slow", { "La conversione dura troppo: accorciare il file.",
			"The conversion takes too long: shorten the file." } },
	{ "lost", { "Il file caricato non c'è più: caricarlo di nuovo.",
		    "The uploaded file is gone: upload it again." } },
	{ "converter", { "La conversione non è riuscita: salvare il file come WAV e riprovare.",
			 "The conversion failed: save the file as WAV and try again." } },
};

const char *audio_state_name(enum audio_state state)
{
	return state_names[state];
}

static size_t reason_index(const char *reason)
{
	size_t i = 0, last = sizeof(reasons) / sizeof(reasons[0]) - 1;

	while (i < last && strcmp(reasons[i].reason, reason))
		i++;
	return i;
}

const char *audio_reason(const char *reason, enum sch_lang lang)
{
	size_t i = reason_index(reason);

	return lang == SCH_IT ? reasons[i].text.it : reasons[i].text.en;
}

const char *audio_reason_code(const char *reason)
{
	return reasons[reason_index(reason)].reason;
}

int audio_migrate(struct db *db)
{
	return db_migrate(db, "audio", migrations, sizeof(migrations) / sizeof(migrations[0]));
}

/* ------------------------------------------------------------------ paths */

int audio_path(char *buf, size_t size, const char *data_dir, const struct audio_content *c)
{
	const char *root = data_dir ? data_dir : "", *slash = data_dir ? "/" : "";
	long long tenant = (long long)c->tenant_id, owner = (long long)c->owner_id;
	int n = 0;

	switch (c->kind) {
	case AUDIO_FILE:
		n = snprintf(buf, size, "%s%s" CONFIG_AUDIO_DIR "/%lld/%lld.wav", root, slash, tenant,
			     owner);
		break;
	case AUDIO_MOH:
		n = snprintf(buf, size, "%s%s" CONFIG_AUDIO_DIR "/%lld/moh/%lld/%04lld-%lld.wav", root,
			     slash, tenant, owner, (long long)c->place, (long long)c->id);
		break;
	case AUDIO_PROMPT:
		n = snprintf(buf, size, "%s%s" CONFIG_AUDIO_DIR "/lang/%s/%s.wav", root, slash,
			     c->folder, c->name);
		break;
	case AUDIO_VOLATILE:
		n = snprintf(buf, size, "%s%s" CONFIG_AUDIO_DIR "/%lld/volatile/%s.wav", root, slash,
			     tenant, c->name);
		break;
	}
	return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

void audio_incoming_path(char *buf, size_t size, const char *data_dir, const char *name)
{
	(void)snprintf(buf, size, "%s/" CONFIG_AUDIO_DIR "/incoming/%s", data_dir, name);
}

/* ------------------------------------------------------------------ uploads */

int audio_incoming_create(const char *data_dir, char name[AUDIO_NAME_SIZE])
{
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/" CONFIG_AUDIO_DIR, data_dir);
	(void)mkdir(path, 0700); /* its absence shows below */
	audio_incoming_path(path, sizeof(path), data_dir, "");
	(void)mkdir(path, 0700);
	seal_random_hex(name, AUDIO_NAME_SIZE);
	audio_incoming_path(path, sizeof(path), data_dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

void audio_incoming_remove(const char *data_dir, const char *name)
{
	char path[PATH_MAX];

	if (!name[0])
		return;
	audio_incoming_path(path, sizeof(path), data_dir, name);
	(void)unlink(path); /* the sweep finds what stays */
}

/* ------------------------------------------------------------------ rows */

static void copy(char *buf, size_t size, const char *text)
{
	(void)snprintf(buf, size, "%s", text ? text : "");
}

static int index_of(const char *const *names, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (text && !strcmp(names[i], text))
			return (int)i;
	return 0;
}

static void read_row(struct audio_content *c, const struct db_rows *rows)
{
	int col = 0;

	memset(c, 0, sizeof(*c));
	c->id = db_col_i64(rows, col++);
	c->tenant_id = db_col_i64(rows, col++);
	c->kind = (enum audio_kind)index_of(kind_names, 4, db_col_text(rows, col++));
	c->owner_id = db_col_i64(rows, col++);
	copy(c->name, sizeof(c->name), db_col_text(rows, col++));
	c->place = db_col_i64(rows, col++);
	copy(c->folder, sizeof(c->folder), db_col_text(rows, col++));
	copy(c->source_name, sizeof(c->source_name), db_col_text(rows, col++));
	copy(c->incoming, sizeof(c->incoming), db_col_text(rows, col++));
	c->state = (enum audio_state)index_of(state_names, 4, db_col_text(rows, col++));
	c->has_file = db_col_i64(rows, col++) != 0;
	copy(c->reason, sizeof(c->reason), db_col_text(rows, col++));
	c->bytes = db_col_i64(rows, col++);
	c->duration_ms = db_col_i64(rows, col++);
	c->rate_hz = db_col_i64(rows, col++);
	copy(c->source_format, sizeof(c->source_format), db_col_text(rows, col++));
	c->updated_at_us = db_col_i64(rows, col++);
	c->expires_at_us = db_col_i64(rows, col);
}

static int one_row(struct audio_content *ret, struct db *db, const char *sql,
		   const struct db_arg *args, size_t n_args)
{
	struct db_rows *rows = NULL;
	int n, err = db_query(&rows, db, sql, args, n_args);

	if (err)
		return err;
	n = db_next(rows);
	if (n > 0)
		read_row(ret, rows);
	db_rows_close(rows);
	return n > 0 ? 0 : n < 0 ? n : -ENOENT;
}

int audio_get(struct audio_content *ret, struct db *db, int64_t id)
{
	return one_row(ret, db, "SELECT " COLUMNS " FROM audio_content WHERE id = $1",
		       DB_ARGS(db_i64(id)));
}

int audio_find(struct audio_content *ret, struct db *db, enum audio_kind kind, int64_t tenant_id,
	       int64_t owner_id, const char *name)
{
	return one_row(ret, db,
		       "SELECT " COLUMNS " FROM audio_content WHERE kind = $1 AND tenant_id = $2"
		       " AND owner_id = $3 AND name = $4 ORDER BY place LIMIT 1",
		       DB_ARGS(db_text(kind_names[kind]), db_i64(tenant_id), db_i64(owner_id),
			       db_text(name)));
}

int audio_next(struct audio_content *ret, struct db *db, int64_t after)
{
	return one_row(ret, db,
		       "SELECT " COLUMNS " FROM audio_content WHERE state = $1 AND id > $2"
		       " ORDER BY id LIMIT 1",
		       DB_ARGS(db_text(state_names[AUDIO_CONVERTING]), db_i64(after)));
}

int audio_each(struct db *db, enum audio_kind kind, int64_t tenant_id, int64_t owner_id,
	       audio_content_h *h, void *arg)
{
	static const char sql[] =
		"SELECT " COLUMNS " FROM audio_content WHERE kind = $1 AND tenant_id = $2"
		" AND (owner_id = $3 OR $3 = -1) ORDER BY owner_id, place, id";
	struct db_rows *rows = NULL;
	struct audio_content content;
	int n = 0, err;

	err = db_query(&rows, db, sql,
		       DB_ARGS(db_text(kind_names[kind]), db_i64(tenant_id), db_i64(owner_id)));
	while (!err && (n = db_next(rows)) > 0) {
		read_row(&content, rows);
		err = h(&content, arg);
	}
	db_rows_close(rows);
	return err ? err : n < 0 ? n : 0;
}

/* ------------------------------------------------------------------ staging */

static int stage_new(struct db *db, struct audio_content *c)
{
	static const char sql[] =
		"INSERT INTO audio_content (tenant_id, kind, owner_id, name, place, folder, source_name,"
		" incoming, state, has_file, reason, bytes, duration_ms, rate_hz, source_format,"
		" created_at, updated_at, expires_at) VALUES ($1, $2, $3, $4,"
		" (SELECT COALESCE(MAX(place), 0) + 1 FROM audio_content WHERE kind = $2 AND tenant_id = $1"
		" AND owner_id = $3 AND name = $4), $5, $6, $7, 'converting', 0, '', $8, 0, 0, '', $9, $9,"
		" $10) RETURNING id, place";
	struct db_rows *rows = NULL;
	int n, err;

	err = db_query(&rows, db, sql,
		       DB_ARGS(db_i64(c->tenant_id), db_text(kind_names[c->kind]),
			       db_i64(c->owner_id), db_text(c->name), db_text(c->folder),
			       db_text(c->source_name), db_text(c->incoming), db_i64(c->bytes),
			       db_i64(clk_wall_us()), db_i64(c->expires_at_us)));
	if (err)
		return err;
	n = db_next(rows);
	if (n > 0) {
		c->id = db_col_i64(rows, 0);
		c->place = db_col_i64(rows, 1);
		c->state = AUDIO_CONVERTING;
	}
	db_rows_close(rows);
	return n > 0 ? 0 : n < 0 ? n : -EIO;
}

static int stage_over(struct db *db, struct audio_content *c)
{
	return db_exec(db,
		       "UPDATE audio_content SET source_name = $2, incoming = $3, state = 'converting',"
		       " reason = '', bytes = $4, updated_at = $5 WHERE id = $1",
		       DB_ARGS(db_i64(c->id), db_text(c->source_name), db_text(c->incoming),
			       db_i64(c->bytes), db_i64(clk_wall_us())));
}

int audio_stage(struct db *db, struct audio_content *c, char replaced[AUDIO_NAME_SIZE])
{
	struct audio_content old;
	bool adds = c->kind == AUDIO_MOH && !c->id;
	int err = db_begin(db);

	if (err)
		return err;
	replaced[0] = '\0';
	err = adds ? -ENOENT :
	      c->id ? audio_get(&old, db, c->id) :
		      audio_find(&old, db, c->kind, c->tenant_id, c->owner_id, c->name);
	if (!err) {
		c->id = old.id;
		c->place = old.place;
		c->has_file = old.has_file;
		copy(replaced, AUDIO_NAME_SIZE, old.incoming);
		err = stage_over(db, c);
	} else if (err == -ENOENT && (adds || !c->id)) {
		err = stage_new(db, c);
	}
	if (!err)
		err = db_commit(db);
	if (err)
		db_rollback(db);
	return err;
}

/* ------------------------------------------------------------------ what conversion says */

int audio_set_ready(struct db *db, const struct audio_content *c, const struct audio_info *info,
		    bool *ret_stale)
{
	int err = db_exec(db,
			  "UPDATE audio_content SET state = 'ready', has_file = 1, incoming = '',"
			  " reason = '', duration_ms = $3, rate_hz = $4, source_format = $5,"
			  " updated_at = $6 WHERE id = $1 AND incoming = $2",
			  DB_ARGS(db_i64(c->id), db_text(c->incoming), db_i64(info->duration_ms),
				  db_i64(info->rate_hz), db_text(info->source_format),
				  db_i64(clk_wall_us())));

	*ret_stale = !err && !db_changes(db);
	return err;
}

int audio_set_failed(struct db *db, const struct audio_content *c, const char *reason,
		     bool *ret_stale)
{
	int err = db_exec(db,
			  "UPDATE audio_content SET incoming = '', reason = $3, updated_at = $4,"
			  " state = CASE WHEN has_file = 1 THEN 'ready' ELSE 'failed' END"
			  " WHERE id = $1 AND incoming = $2",
			  DB_ARGS(db_i64(c->id), db_text(c->incoming), db_text(reason),
				  db_i64(clk_wall_us())));

	*ret_stale = !err && !db_changes(db);
	return err;
}

/* ------------------------------------------------------------------ describing */

int audio_describe(json_t *object, const struct audio_content *c, enum sch_lang lang)
{
	static const struct audio_content none = { .state = AUDIO_EMPTY };
	char iso[32];
	int bad;

	c = c ? c : &none;
	bad = json_object_set_new(object, "state", json_string(state_names[c->state]));
	bad |= json_object_set_new(object, "playable", json_boolean(c->has_file));
	bad |= json_object_set_new(object, "reason",
				   c->reason[0] ? json_string(audio_reason(c->reason, lang)) :
						  json_null());
	bad |= json_object_set_new(object, "source_name",
				   c->source_name[0] ? json_string(c->source_name) : json_null());
	bad |= json_object_set_new(object, "source_format",
				   c->source_format[0] ? json_string(c->source_format) : json_null());
	bad |= json_object_set_new(object, "size_bytes", json_integer(c->bytes));
	bad |= json_object_set_new(object, "duration_ms", json_integer(c->duration_ms));
	bad |= json_object_set_new(object, "rate_hz", json_integer(c->rate_hz));
	bad |= json_object_set_new(object, "content_at",
				   c->updated_at_us ?
					   json_string(clk_iso(iso, sizeof(iso), c->updated_at_us)) :
					   json_null());
	return bad ? -ENOMEM : 0;
}

/* ------------------------------------------------------------------ removing */

static void remove_files(const char *data_dir, const struct audio_content *c)
{
	char path[PATH_MAX];

	audio_incoming_remove(data_dir, c->incoming);
	if (!audio_path(path, sizeof(path), data_dir, c))
		(void)unlink(path); /* who plays it has it open */
}

/* The row goes first: a file without a row is swept, a row without its file would be silence. */
static int remove_content(struct db *db, const char *data_dir, const struct audio_content *c)
{
	int err = db_exec(db, "DELETE FROM audio_content WHERE id = $1", DB_ARGS(db_i64(c->id)));

	if (!err)
		remove_files(data_dir, c);
	return err;
}

int audio_remove(struct db *db, const char *data_dir, int64_t id)
{
	struct audio_content content;
	int err = audio_get(&content, db, id);

	if (err)
		return err == -ENOENT ? 0 : err;
	return remove_content(db, data_dir, &content);
}

/* Contents that nothing names: their owner is neither saved nor applied, or names them no more. Music
 * is named by the list in its class, as {"file":12,...}. */
static const char *const unowned[] = {
	"kind = 'volatile' AND expires_at > 0 AND expires_at < $2",
	"kind = 'file' AND updated_at < $1"
	" AND NOT EXISTS (SELECT 1 FROM \"audio_file\" s WHERE s.id = audio_content.owner_id)"
	" AND NOT EXISTS (SELECT 1 FROM \"audio_file_applied\" a WHERE a.id = audio_content.owner_id)",
	"kind = 'prompt' AND updated_at < $1"
	" AND NOT EXISTS (SELECT 1 FROM \"language\" s WHERE s.id = audio_content.owner_id)"
	" AND NOT EXISTS (SELECT 1 FROM \"language_applied\" a WHERE a.id = audio_content.owner_id)",
	"kind = 'moh' AND updated_at < $1"
	" AND NOT EXISTS (SELECT 1 FROM \"moh_class\" s WHERE s.id = audio_content.owner_id"
	" AND s.\"files\" LIKE '%\"file\":' || audio_content.id || ',%')"
	" AND NOT EXISTS (SELECT 1 FROM \"moh_class_applied\" a WHERE a.id = audio_content.owner_id"
	" AND a.\"files\" LIKE '%\"file\":' || audio_content.id || ',%')",
};
#define SWEEP_MAX 1000 /* rows per kind and round; the next round takes the rest */

static int sweep_rows(struct db *db, const char *data_dir, const char *where, int64_t before_us,
		      int64_t *removed)
{
	struct audio_content *list = calloc(SWEEP_MAX, sizeof(*list));
	struct db_rows *rows = NULL;
	char sql[1200];
	size_t n = 0;
	int more = 0, err;

	if (!list)
		return -ENOMEM;
	(void)snprintf(sql, sizeof(sql), "SELECT " COLUMNS " FROM audio_content WHERE $1 > 0 AND $2 > 0 AND %s LIMIT $3",
		       where);
	err = db_query(&rows, db, sql,
		       DB_ARGS(db_i64(before_us), db_i64(clk_wall_us()), db_i64(SWEEP_MAX)));
	while (!err && n < SWEEP_MAX && (more = db_next(rows)) > 0)
		read_row(&list[n++], rows);
	db_rows_close(rows);
	if (!err && more < 0)
		err = more;
	for (size_t i = 0; !err && i < n; i++) {
		err = remove_content(db, data_dir, &list[i]);
		*removed += !err;
	}
	free(list);
	return err;
}

static int sweep_incoming(struct db *db, const char *data_dir, int64_t grace_s)
{
	char path[PATH_MAX];
	const struct dirent *entry;
	struct stat st;
	int err = 0;
	DIR *dir;

	audio_incoming_path(path, sizeof(path), data_dir, "");
	dir = opendir(path);
	while (dir && !err && (entry = readdir(dir))) {
		int64_t n = 0;

		audio_incoming_path(path, sizeof(path), data_dir, entry->d_name);
		if (lstat(path, &st) || !S_ISREG(st.st_mode) ||
		    clk_wall_s() - (int64_t)st.st_mtime < grace_s)
			continue;
		err = db_query_i64(&n, db, "SELECT COUNT(*) FROM audio_content WHERE incoming = $1",
				   DB_ARGS(db_text(entry->d_name)));
		if (!err && !n)
			(void)unlink(path);
	}
	if (dir)
		(void)closedir(dir);
	return err;
}

int audio_sweep(struct db *db, const char *data_dir, int64_t grace_s, int64_t *ret_removed)
{
	int64_t before_us = clk_wall_us() - grace_s * 1000000;
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(unowned) / sizeof(unowned[0]); i++)
		err = sweep_rows(db, data_dir, unowned[i], before_us, ret_removed);
	return err ? err : sweep_incoming(db, data_dir, grace_s);
}
