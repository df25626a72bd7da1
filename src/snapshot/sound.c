/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/snap_priv.h"
#include "audio/prompts.h"
#include "audio/store.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What can be played. Whether a file is there is asked of the store's table when the snapshot is made;
 * jobs has the tenant loaded again when a conversion ends. */
#define LANGUAGES_MAX 200
#define FIRST_LANGUAGE "it"

#define B(struct_, column, t, member)                                                              \
	{                                                                                          \
		column, t, offsetof(struct struct_, member), false                                 \
	}

const struct snap_bind snap_audio_binds[] = {
	B(snap_audio_row, "path", SNAP_B_LENT, path),
	B(snap_audio_row, "name", SNAP_B_LENT, name),
	B(snap_audio_row, "builtin", SNAP_B_BOOL, builtin),
};
const size_t snap_n_audio_binds = sizeof(snap_audio_binds) / sizeof(snap_audio_binds[0]);

const struct snap_bind snap_moh_binds[] = {
	B(snap_moh_row, "name", SNAP_B_LENT, name),
	B(snap_moh_row, "preset", SNAP_B_LENT, preset),
	B(snap_moh_row, "files", SNAP_B_LENT, files),
	B(snap_moh_row, "random", SNAP_B_BOOL, random),
};
const size_t snap_n_moh_binds = sizeof(snap_moh_binds) / sizeof(snap_moh_binds[0]);

const struct snap_bind snap_audio_settings_binds[] = {
	B(snap_audio_settings_row, "system_language", SNAP_B_ID, language_id),
	B(snap_audio_settings_row, "default_moh_class", SNAP_B_ID, moh_id),
	B(snap_audio_settings_row, "spy_audio_file", SNAP_B_ID, spy_id),
};
const size_t snap_n_audio_settings_binds =
	sizeof(snap_audio_settings_binds) / sizeof(snap_audio_settings_binds[0]);

/* ------------------------------------------------------------------ prompts and languages */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int load_prompts(struct snap_sip *sip, struct arena *arena)
{
	struct prompts *prompts = NULL;
	const char **names;
	size_t n;
	int err = prompts_load(&prompts, sip->dirs.share_dir);

	if (err == -ENOMEM)
		return err;
	if (err) {
		/* Calls go on without words. */
		if (sip->dirs.share_dir)
			log_error("snapshot.prompts", "the list of spoken prompts cannot be read: "
				  "install Aoide again", kv_err(err));
		return 0;
	}
	n = prompts_count(prompts);
	names = arena_zalloc(arena, (n + 1) * sizeof(*names));
	for (size_t i = 0; names && i < n; i++) {
		names[i] = arena_strdup(arena, prompts_at(prompts, i)->name);
		if (!names[i])
			names = NULL;
	}
	prompts_free(prompts);
	if (!names)
		return -ENOMEM;
	sip->prompts = names;
	sip->n_prompts = (uint32_t)n;
	return 0;
}

struct replaced {
	struct arena *arena;
	const char **names;
	size_t n, size;
};

static int add_replaced(const struct audio_content *content, void *arg)
{
	struct replaced *r = arg;
	const char **bigger;

	if (!content->has_file)
		return 0;
	if (r->n == r->size) {
		size_t size = r->size ? 2 * r->size : 64;

		bigger = arena_zalloc(r->arena, size * sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		if (r->n)
			memcpy(bigger, r->names, r->n * sizeof(*bigger));
		r->names = bigger;
		r->size = size;
	}
	r->names[r->n] = arena_strdup(r->arena, content->name);
	return r->names[r->n++] ? 0 : -ENOMEM;
}

static int load_replaced(struct snap_language *language, struct arena *arena, struct db *db,
			 int64_t id)
{
	struct replaced r = { .arena = arena };
	int err = audio_each(db, AUDIO_PROMPT, 0, id, add_replaced, &r);

	if (!err && r.n) {
		qsort(r.names, r.n, sizeof(*r.names), by_text);
		language->replaced = r.names;
		language->n_replaced = (uint32_t)r.n;
	}
	return err;
}

int snap_sound_node(struct snap_sip *sip, struct arena *arena, struct db *db)
{
	struct snap_language *list = arena_zalloc(arena, LANGUAGES_MAX * sizeof(*list));
	int64_t ids[LANGUAGES_MAX];
	struct db_rows *rows = NULL;
	uint16_t count = 0;
	int n = 0, err;

	err = list ? load_prompts(sip, arena) : -ENOMEM;
	if (!err)
		err = db_query(&rows, db,
			       "SELECT id, code, base, custom FROM \"language_applied\""
			       " WHERE tenant_id = 0 ORDER BY code LIMIT $1",
			       DB_ARGS(db_i64(LANGUAGES_MAX)));
	if (err)
		return err;
	while (count < LANGUAGES_MAX && (n = db_next(rows)) > 0) {
		const char *base = db_col_text(rows, 2);

		ids[count] = db_col_i64(rows, 0);
		list[count].code = arena_strdup(arena, db_col_text(rows, 1));
		list[count].folder = prompts_folder(base ? base : "");
		list[count].custom = db_col_i64(rows, 3) != 0;
		if (list[count].code && list[count].folder)
			count++;
	}
	db_rows_close(rows);
	if (n < 0)
		return n;
	for (uint16_t i = 0; !err && i < count; i++)
		if (list[i].custom)
			err = load_replaced(&list[i], arena, db, ids[i]);
	sip->languages = list;
	sip->n_languages = count;
	return err;
}

/* ------------------------------------------------------------------ a tenant */

struct content { /* what the store says of one content */
	int64_t id, owner_id, place;
	uint32_t version;
};

struct contents {
	struct content *list;
	size_t n, size;
};

static int add_content(const struct audio_content *content, void *arg)
{
	struct contents *c = arg;
	struct content *bigger;

	if (!content->has_file)
		return 0;
	if (c->n == c->size) {
		c->size = c->size ? 2 * c->size : 64;
		bigger = reallocarray(c->list, c->size, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		c->list = bigger;
	}
	/* Its time in ms: another one after every conversion, and that is all it has to be. */
	c->list[c->n++] = (struct content){ content->id, content->owner_id, content->place,
					    (uint32_t)(content->updated_at_us / 1000) };
	return 0;
}

static const struct content *find_content(const struct contents *c, int64_t id, int64_t owner_id)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->list[i].owner_id == owner_id && (!id || c->list[i].id == id))
			return &c->list[i];
	return NULL;
}

static const char *content_path(struct snap_tenant *tenant, const struct snap_sip *sip,
				enum audio_kind kind, const struct content *content)
{
	const struct audio_content c = { .id = content->id, .tenant_id = tenant->id, .kind = kind,
					 .owner_id = content->owner_id, .place = content->place };
	char path[PATH_MAX];

	if (!sip->dirs.data_dir || audio_path(path, sizeof(path), sip->dirs.data_dir, &c))
		return NULL;
	return arena_strdup(tenant->arena, path);
}

static int count_rows(size_t *ret, struct db *db, const char *sql, int64_t tenant_id)
{
	int64_t n = 0;
	int err = db_query_i64(&n, db, sql, DB_ARGS(db_i64(tenant_id)));

	*ret = (size_t)n;
	return err;
}

static int load_audio(struct snap_tenant *tenant, struct db *db, const struct snap_sip *sip)
{
	struct contents contents = { 0 };
	struct snap_audio *list;
	struct db_rows *rows = NULL;
	size_t total = 0, i = 0;
	int n = 0, err;

	err = count_rows(&total, db, "SELECT COUNT(*) FROM \"audio_file_applied\" WHERE tenant_id = $1",
			 tenant->id);
	if (!err)
		err = audio_each(db, AUDIO_FILE, tenant->id, -1, add_content, &contents);
	list = arena_zalloc(tenant->arena, (total + 1) * sizeof(*list));
	if (!err && !list)
		err = -ENOMEM;
	if (!err)
		err = snap_query(&rows, db, "audio_file", snap_audio_binds, snap_n_audio_binds, false,
				 tenant->id);
	while (!err && i < total && (n = db_next(rows)) > 0) {
		struct snap_audio_row row = { 0 };
		const struct content *content;

		err = snap_bind_row(&row, rows, snap_audio_binds, snap_n_audio_binds, tenant->arena);
		if (err || !row.path)
			continue;
		list[i].id = db_col_i64(rows, 0);
		list[i].name = arena_strdup(tenant->arena, row.path);
		content = find_content(&contents, 0, list[i].id);
		if (content) {
			list[i].path = content_path(tenant, sip, AUDIO_FILE, content);
			list[i].version = content->version;
		} else if (row.builtin && row.name) {
			list[i].prompt = arena_strdup(tenant->arena, row.name);
		}
		if (!list[i].name)
			err = -ENOMEM;
		i++;
	}
	db_rows_close(rows);
	free(contents.list);
	tenant->audio = list;
	tenant->n_audio = (uint32_t)i;
	return err ? err : n < 0 ? n : 0;
}

/* A class that nobody gave files to plays what we ship for it, or (a custom one) for the default. */
static int shipped_music(struct snap_moh *moh, struct arena *arena, const struct snap_sip *sip,
			 const char *preset)
{
	const char **files = arena_zalloc(arena, sizeof(*files));

	if (!files)
		return -ENOMEM;
	if (!sip->dirs.share_dir)
		return 0;
	files[0] = arena_printf(arena, "%s/moh/%s.wav", sip->dirs.share_dir,
				preset && *preset ? preset : "default");
	if (!files[0])
		return -ENOMEM;
	moh->files = files;
	moh->n_files = 1;
	return 0;
}

static int own_music(struct snap_moh *moh, struct snap_tenant *tenant, const struct snap_sip *sip,
		     const struct contents *contents, const char *json)
{
	json_t *list = json ? json_loads(json, 0, NULL) : NULL, *item;
	const char **files = arena_zalloc(tenant->arena,
					  (json_array_size(list) + 1) * sizeof(*files));
	size_t i;

	if (!files) {
		json_decref(list);
		return -ENOMEM;
	}
	json_array_foreach(list, i, item) {
		const struct content *content =
			find_content(contents, js_int(item, "file", -1), moh->id);

		if (content && moh->n_files < UINT16_MAX) {
			files[moh->n_files] = content_path(tenant, sip, AUDIO_MOH, content);
			moh->version = moh->version * 31 + content->version;
		}
		moh->n_files = (uint16_t)(moh->n_files + (content && files[moh->n_files]));
	}
	json_decref(list);
	moh->files = files;
	return 0;
}

static int load_moh(struct snap_tenant *tenant, struct db *db, const struct snap_sip *sip)
{
	struct contents contents = { 0 };
	struct snap_moh *list;
	struct db_rows *rows = NULL;
	size_t total = 0, i = 0;
	int n = 0, err;

	err = count_rows(&total, db, "SELECT COUNT(*) FROM \"moh_class_applied\" WHERE tenant_id = $1",
			 tenant->id);
	if (!err)
		err = audio_each(db, AUDIO_MOH, tenant->id, -1, add_content, &contents);
	list = arena_zalloc(tenant->arena, (total + 1) * sizeof(*list));
	if (!err && !list)
		err = -ENOMEM;
	if (!err)
		err = snap_query(&rows, db, "moh_class", snap_moh_binds, snap_n_moh_binds, false,
				 tenant->id);
	while (!err && i < total && (n = db_next(rows)) > 0) {
		struct snap_moh_row row = { 0 };

		err = snap_bind_row(&row, rows, snap_moh_binds, snap_n_moh_binds, tenant->arena);
		if (err || !row.name)
			continue;
		list[i].id = db_col_i64(rows, 0);
		list[i].name = arena_strdup(tenant->arena, row.name);
		list[i].random = row.random;
		err = list[i].name ? own_music(&list[i], tenant, sip, &contents, row.files) : -ENOMEM;
		if (!err && !list[i].n_files)
			err = shipped_music(&list[i], tenant->arena, sip, row.preset);
		i++;
	}
	db_rows_close(rows);
	free(contents.list);
	tenant->moh = list;
	tenant->n_moh = (uint32_t)i;
	return err ? err : n < 0 ? n : 0;
}

static int load_settings(struct snap_tenant *tenant, struct db *db)
{
	struct snap_audio_settings_row row = { 0 };
	struct db_rows *rows = NULL;
	char code[64] = FIRST_LANGUAGE;
	int n, err;

	err = snap_query(&rows, db, "audio_settings", snap_audio_settings_binds,
			 snap_n_audio_settings_binds, false, tenant->id);
	if (err)
		return err;
	n = db_next(rows);
	if (n > 0)
		err = snap_bind_row(&row, rows, snap_audio_settings_binds,
				    snap_n_audio_settings_binds, tenant->arena);
	db_rows_close(rows);
	if (n < 0 || err)
		return n < 0 ? n : err;
	err = db_query_text(code, sizeof(code), db,
			    "SELECT code FROM \"language_applied\" WHERE id = $1",
			    DB_ARGS(db_i64(row.language_id)));
	if (err && err != -ENOENT)
		return err;
	tenant->language = arena_strdup(tenant->arena, err ? FIRST_LANGUAGE : code);
	tenant->spy_audio = snap_audio_find(tenant, row.spy_id);
	/* The first class is the one that came with the tenant. */
	tenant->default_moh = tenant->n_moh ? &tenant->moh[0] : NULL;
	tenant->default_moh = snap_moh_find(tenant, row.moh_id);
	return tenant->language ? 0 : -ENOMEM;
}

/*
 * What a user has chosen as a code of prompts: NULL, the tenant's own, when that is the same language,
 * which may be a variant with recordings of the tenant's.
 */
static const char *language_of_user(const struct snap_tenant *tenant, const char *chosen)
{
	static const struct {
		const char *chosen, *code;
	} codes[] = { { "it", "it" }, { "en", "us" } };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		const char *code = codes[i].code;

		if (strcmp(chosen, codes[i].chosen))
			continue;
		return strncmp(tenant->language, code, strlen(code)) ||
				       !strchr("_", tenant->language[strlen(code)]) ?
			       code :
			       NULL;
	}

	return NULL;
}

/* D-367. extensions: writable still, by number; users are few, their extensions are found one by one. */
static int load_user_languages(struct snap_tenant *tenant, struct db *db)
{
	struct snap_extension *extensions = (struct snap_extension *)(uintptr_t)tenant->extensions;
	struct db_rows *rows = NULL;
	int n, err;

	err = db_query(&rows, db,
		       "SELECT e.number, u.language FROM \"user_applied\" u, \"extension_applied\" e"
		       " WHERE u.tenant_id = $1 AND e.tenant_id = $1 AND e.id = u.extension"
		       " AND u.language IS NOT NULL",
		       DB_ARGS(db_i64(tenant->id)));
	if (err)
		return err;
	while ((n = db_next(rows)) > 0) {
		const char *number = db_col_text(rows, 0), *chosen = db_col_text(rows, 1);
		const struct snap_extension *found =
			number ? snap_extension_find(tenant, number, strlen(number)) : NULL;

		if (found && chosen)
			extensions[found - tenant->extensions].language =
				language_of_user(tenant, chosen);
	}
	db_rows_close(rows);

	return n;
}

int snap_sound_tenant(struct snap_tenant *tenant, struct db *db, const struct snap_sip *sip)
{
	int err = load_audio(tenant, db, sip);

	if (!err)
		err = load_moh(tenant, db, sip);
	if (!err)
		err = load_settings(tenant, db);
	return err ? err : load_user_languages(tenant, db);
}

/* ------------------------------------------------------------------ reading */

const struct snap_audio *snap_audio_find(const struct snap_tenant *tenant, int64_t id)
{
	uint32_t low = 0, high = tenant->n_audio;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (tenant->audio[middle].id == id)
			return &tenant->audio[middle];
		if (tenant->audio[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct snap_audio *snap_audio_by_name(const struct snap_tenant *tenant, const char *name)
{
	for (uint32_t i = 0; i < tenant->n_audio; i++)
		if (!strcmp(tenant->audio[i].name, name))
			return &tenant->audio[i];
	return NULL;
}

const struct snap_moh *snap_moh_find(const struct snap_tenant *tenant, int64_t id)
{
	for (uint32_t i = 0; i < tenant->n_moh; i++)
		if (tenant->moh[i].id == id)
			return &tenant->moh[i];
	return tenant->default_moh;
}

static const struct snap_language *find_language(const struct snap_sip *sip, const char *code)
{
	for (uint16_t i = 0; code && i < sip->n_languages; i++)
		if (!strcmp(sip->languages[i].code, code))
			return &sip->languages[i];
	return NULL;
}

static bool holds(const char *const *names, uint32_t n, const char *name)
{
	return n && bsearch(&name, names, n, sizeof(*names), by_text);
}

int snap_prompt_path(char *buf, size_t size, const struct snap *snap, const char *language,
		     const char *prompt)
{
	static const struct snap_language first = { .code = FIRST_LANGUAGE, .folder = FIRST_LANGUAGE };
	const struct snap_sip *sip = snap_sip(snap);
	const struct snap_language *l = sip ? find_language(sip, language) : NULL;
	int n;

	if (!sip || !holds(sip->prompts, sip->n_prompts, prompt))
		return -ENOENT;
	l = l ? l : &first;
	if (sip->dirs.data_dir && holds(l->replaced, l->n_replaced, prompt)) {
		struct audio_content c = { .kind = AUDIO_PROMPT };

		(void)snprintf(c.folder, sizeof(c.folder), "%s", l->code);
		(void)snprintf(c.name, sizeof(c.name), "%s", prompt);
		return audio_path(buf, size, sip->dirs.data_dir, &c);
	}
	n = snprintf(buf, size, "%s/prompts/%s/%s.wav", sip->dirs.share_dir, l->folder, prompt);
	return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

int snap_volatile_path(char *buf, size_t size, const struct snap *snap,
		       const struct snap_tenant *tenant, const char *token)
{
	const struct snap_sip *sip = snap_sip(snap);
	struct audio_content c = { .kind = AUDIO_VOLATILE, .tenant_id = tenant->id };
	size_t n = strspn(token, "0123456789abcdef");

	if (!sip || !sip->dirs.data_dir || token[n] || n != sizeof(c.incoming) - 1)
		return -ENOENT;
	(void)snprintf(c.name, sizeof(c.name), "%s", token);
	return audio_path(buf, size, sip->dirs.data_dir, &c);
}

int snap_audio_path(char *buf, size_t size, const struct snap *snap, const struct snap_audio *audio,
		    const char *language)
{
	if (audio->prompt)
		return snap_prompt_path(buf, size, snap, language, audio->prompt);
	if (!audio->path)
		return -ENOENT;
	return (size_t)snprintf(buf, size, "%s", audio->path) < size ? 0 : -ENAMETOOLONG;
}
