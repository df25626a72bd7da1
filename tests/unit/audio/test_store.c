/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/store.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/seal.h"
#include "testdb.h"

#define OK(call) assert_int_equal(call, 0)

struct node {
	struct testdb *t;
	struct sch_ctx *ctx;
	int64_t tenant_id;
};

static void node_open(struct node *n, struct testdb *t)
{
	n->t = t;
	n->ctx = calloc(1, sizeof(*n->ctx));
	OK(seal_init(t->dir));
	OK(sch_migrate(t->db));
	OK(audio_migrate(t->db));
	OK(audio_migrate(t->db)); /* a second start */
	OK(arena_alloc(&n->ctx->arena, 4096));
	OK(sch_tenant_find(&n->tenant_id, t->db, "default"));
	n->ctx->db = t->db;
	n->ctx->lang = SCH_EN;
	n->ctx->user_name = "admin@default";
	n->ctx->tenant_id = n->tenant_id;
}

static void node_close(struct node *n)
{
	json_decref(n->ctx->generated);
	json_decref(n->ctx->reset);
	arena_free(n->ctx->arena);
	free(n->ctx);
}

static int64_t write_row(struct node *n, const char *entity, enum sch_write how, int64_t id,
			 const char *text, int wanted)
{
	json_t *body = json_loads(text, 0, NULL);

	assert_non_null(body);
	n->ctx->n_problems = 0;
	assert_int_equal(sch_write(n->ctx, sch_find(entity), how, id, body, 0, &id), wanted);
	json_decref(body);
	return id;
}

static struct audio_content upload(struct node *n, enum audio_kind kind, int64_t owner,
				   const char *name)
{
	struct audio_content c = { .kind = kind, .tenant_id = n->tenant_id, .owner_id = owner,
				   .bytes = 5 };
	char replaced[AUDIO_NAME_SIZE];
	int fd = audio_incoming_create(n->t->dir, c.incoming);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "sound", 5), 5);
	(void)close(fd);
	(void)snprintf(c.name, sizeof(c.name), "%s", name);
	OK(audio_stage(n->t->db, &c, replaced));
	audio_incoming_remove(n->t->dir, replaced);
	return c;
}

/* What jobs do, without sound. */
static void convert(struct node *n, struct audio_content *c)
{
	const struct audio_info info = { .duration_ms = 1500, .rate_hz = 16000 };
	char path[300], parent[300];
	bool stale;
	FILE *file;

	OK(audio_path(path, sizeof(path), n->t->dir, c));
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
		(void)mkdir(parent, 0700);
	}
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fclose(file);
	OK(audio_set_ready(n->t->db, c, &info, &stale));
	assert_false(stale);
	audio_incoming_remove(n->t->dir, c->incoming);
	OK(audio_get(c, n->t->db, c->id));
}

static bool is_file(struct node *n, const struct audio_content *c)
{
	char path[300];

	OK(audio_path(path, sizeof(path), n->t->dir, c));
	return access(path, F_OK) == 0;
}

static void an_upload_waits_is_converted_and_replaced(void **state)
{
	struct node n;
	struct audio_content c, next, newer;
	bool stale;

	node_open(&n, *state);
	assert_int_equal(audio_next(&next, n.t->db, 0), -ENOENT);
	c = upload(&n, AUDIO_FILE, 7, "");
	OK(audio_next(&next, n.t->db, 0));
	assert_int_equal(next.id, c.id);
	assert_string_equal(next.incoming, c.incoming);
	assert_int_equal(next.state, AUDIO_CONVERTING);
	convert(&n, &c);
	assert_int_equal(c.state, AUDIO_READY);
	assert_true(c.has_file);
	assert_int_equal(c.duration_ms, 1500);

	/* A refused replacement leaves what is played, and says why. */
	newer = upload(&n, AUDIO_FILE, 7, "");
	assert_int_equal(newer.id, c.id);
	OK(audio_set_failed(n.t->db, &newer, "unreadable", &stale));
	OK(audio_get(&c, n.t->db, c.id));
	assert_int_equal(c.state, AUDIO_READY);
	assert_true(c.has_file);
	assert_string_equal(c.reason, "unreadable");
	assert_string_equal(audio_reason_code(c.reason), "unreadable");
	assert_non_null(strstr(audio_reason(c.reason, SCH_IT), "WAV"));

	/* A newer upload during the conversion wins: the older result is stale. */
	c = upload(&n, AUDIO_FILE, 7, "");
	newer = upload(&n, AUDIO_FILE, 7, "");
	OK(audio_set_ready(n.t->db, &c, &(struct audio_info){ .rate_hz = 8000 }, &stale));
	assert_true(stale);
	OK(audio_set_failed(n.t->db, &newer, "empty", &stale));
	assert_false(stale);

	/* Nothing playable yet: failed. */
	c = upload(&n, AUDIO_FILE, 8, "");
	OK(audio_set_failed(n.t->db, &c, "damaged", &stale));
	OK(audio_find(&c, n.t->db, AUDIO_FILE, n.tenant_id, 8, ""));
	assert_int_equal(c.state, AUDIO_FAILED);
	assert_int_equal(audio_find(&c, n.t->db, AUDIO_FILE, n.tenant_id + 1, 8, ""), -ENOENT);
	node_close(&n);
}

static int count_one(const struct audio_content *content, void *arg)
{
	++*(int *)arg;
	return 0;
}

static void what_nobody_names_any_more_goes(void **state)
{
	struct node n;
	struct audio_content file, kept, music[2], once, lost;
	int64_t id, class_id, removed = 0;
	char text[200];
	int count = 0;

	node_open(&n, *state);
	id = write_row(&n, "audio_file", SCH_CREATE, 0, "{\"name\":\"a\"}", 0);
	file = upload(&n, AUDIO_FILE, id, "");
	convert(&n, &file);
	kept = upload(&n, AUDIO_FILE, write_row(&n, "audio_file", SCH_CREATE, 0, "{\"name\":\"b\"}", 0), "");
	convert(&n, &kept);
	class_id = write_row(&n, "moh_class", SCH_CREATE, 0, "{\"name\":\"x\"}", 0);
	for (int i = 0; i < 2; i++) {
		music[i] = upload(&n, AUDIO_MOH, class_id, "");
		convert(&n, &music[i]);
	}
	assert_int_equal(music[1].place, 2);
	(void)snprintf(text, sizeof(text), "{\"files\":[{\"file\":%lld},{\"file\":%lld}]}",
		       (long long)music[1].id, (long long)music[0].id);
	(void)write_row(&n, "moh_class", SCH_PATCH, class_id, text, 0);
	OK(sch_apply(n.t->db, n.tenant_id, NULL));
	once = upload(&n, AUDIO_VOLATILE, 0, "0123456789abcdef0123456789abcdef");
	OK(audio_sweep(n.t->db, n.t->dir, 0, &removed));
	assert_int_equal(removed, 0);

	/* Deleted, but not applied: "discard" may bring it back. */
	OK(sch_delete(n.ctx, sch_find("audio_file"), id, 0));
	(void)snprintf(text, sizeof(text), "{\"files\":[{\"file\":%lld}]}", (long long)music[1].id);
	(void)write_row(&n, "moh_class", SCH_PATCH, class_id, text, 0);
	OK(audio_sweep(n.t->db, n.t->dir, 0, &removed));
	assert_int_equal(removed, 0);
	OK(sch_apply(n.t->db, n.tenant_id, NULL));
	/* Young ones stay: a request may be about to name them. */
	OK(audio_sweep(n.t->db, n.t->dir, 60, &removed));
	assert_int_equal(removed, 0);
	OK(audio_sweep(n.t->db, n.t->dir, 0, &removed));
	assert_int_equal(removed, 2);
	assert_false(is_file(&n, &file));
	assert_false(is_file(&n, &music[0]));
	assert_true(is_file(&n, &kept));
	assert_true(is_file(&n, &music[1]));

	/* An upload that no row names is a crash's; one that a row names is waiting. */
	assert_true(audio_incoming_create(n.t->dir, lost.incoming) >= 0);
	OK(audio_sweep(n.t->db, n.t->dir, 0, &removed));
	audio_incoming_path(text, sizeof(text), n.t->dir, lost.incoming);
	assert_int_equal(access(text, F_OK), -1);
	audio_incoming_path(text, sizeof(text), n.t->dir, once.incoming);
	assert_int_equal(access(text, F_OK), 0);

	OK(audio_each(n.t->db, AUDIO_FILE, n.tenant_id, -1, count_one, &count));
	assert_int_equal(count, 1);
	OK(audio_remove(n.t->db, n.t->dir, kept.id));
	assert_false(is_file(&n, &kept));
	OK(audio_remove(n.t->db, n.t->dir, kept.id));
	node_close(&n);
}

static void expired_files_go(void **state)
{
	struct node n;
	struct audio_content c = { .kind = AUDIO_VOLATILE, .name = "t1" }, d;
	char replaced[AUDIO_NAME_SIZE];
	int64_t removed = 0;

	node_open(&n, *state);
	c.tenant_id = n.tenant_id;
	c.expires_at_us = clk_wall_us() + 3600 * 1000000ll;
	(void)snprintf(c.incoming, sizeof(c.incoming), "x1");
	d = c;
	OK(audio_stage(n.t->db, &c, replaced));
	(void)snprintf(d.name, sizeof(d.name), "t2");
	(void)snprintf(d.incoming, sizeof(d.incoming), "x2");
	d.expires_at_us = clk_wall_us() - 1000000;
	OK(audio_stage(n.t->db, &d, replaced));
	OK(audio_sweep(n.t->db, n.t->dir, 3600, &removed));
	assert_int_equal(removed, 1);
	OK(audio_find(&c, n.t->db, AUDIO_VOLATILE, n.tenant_id, 0, "t1"));
	assert_int_equal(audio_find(&d, n.t->db, AUDIO_VOLATILE, n.tenant_id, 0, "t2"), -ENOENT);
	node_close(&n);
}

static void names_have_rules(void **state)
{
	static const char *const good[] = { "{\"name\":\"Auguri & saluti\"}",
					    "{\"name\":\"x\",\"folder\":\"custom/feste/natale\"}",
					    "{\"name\":\"più\"}" };
	static const char *const bad[] = { "{\"name\":\"a/b\"}", "{\"name\":\"..\"}",
					   "{\"name\":\"a\",\"folder\":\"../x\"}",
					   "{\"name\":\"a\",\"folder\":\"/x\"}",
					   "{\"name\":\"a\",\"folder\":\"x//y\"}",
					   "{\"name\":\"a\",\"folder\":\"builtin\"}",
					   "{\"name\":\"a\\u0007b\"}", "{}" };
	struct node n;
	int64_t id;

	node_open(&n, *state);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		(void)write_row(&n, "audio_file", SCH_CREATE, 0, good[i], 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		(void)write_row(&n, "audio_file", SCH_CREATE, 0, bad[i], -EINVAL);
	(void)write_row(&n, "audio_file", SCH_CREATE, 0, "{\"name\":\"X\",\"folder\":\"CUSTOM/feste/natale\"}",
			-EDUPLICATE);
	OK(sch_find_title(&id, n.ctx, sch_find("audio_file"), "builtin/rec-stop"));
	(void)write_row(&n, "audio_file", SCH_PATCH, id, "{\"name\":\"other\"}", -EINVAL);
	assert_int_equal(sch_delete(n.ctx, sch_find("audio_file"), id, 0), -EINUSE);

	/* A language of the machine: its code is made, its base cannot change, built-in ones neither. */
	n.ctx->tenant_id = 0;
	id = write_row(&n, "language", SCH_CREATE, 0,
		       "{\"name\":\"Ours\",\"base\":\"it\",\"variant\":\"ours\"}", 0);
	(void)write_row(&n, "language", SCH_CREATE, 0,
			"{\"name\":\"Other\",\"base\":\"it\",\"variant\":\"ours\"}", -EDUPLICATE);
	(void)write_row(&n, "language", SCH_CREATE, 0,
			"{\"name\":\"Bad\",\"base\":\"it\",\"variant\":\"a/b\"}", -EINVAL);
	(void)write_row(&n, "language", SCH_CREATE, 0, "{\"name\":\"Bad\",\"base\":\"it\"}", -EINVAL);
	OK(sch_find_title(&id, n.ctx, sch_find("language"), "Italiano"));
	(void)write_row(&n, "language", SCH_PATCH, id, "{\"name\":\"Mine\"}", -EINVAL);
	assert_int_equal(sch_delete(n.ctx, sch_find("language"), id, 0), -EINUSE);
	node_close(&n);
}

static void every_tenant_begins_with_its_sounds(void **state)
{
	struct node n;
	int64_t tenant_id = 0, id, count = 0;
	json_t *body = json_pack("{s:s, s:s}", "name", "New", "domain", "new");

	node_open(&n, *state);
	n.ctx->tenant_id = 0;
	OK(sch_tenant_create(n.ctx, body, NULL, &tenant_id));
	json_decref(body);
	n.ctx->tenant_id = tenant_id;
	OK(db_query_i64(&count, n.t->db, "SELECT COUNT(*) FROM moh_class WHERE tenant_id = $1",
			DB_ARGS(db_i64(tenant_id))));
	assert_int_equal(count, 5);
	OK(sch_find_title(&id, n.ctx, sch_find("moh_class"), "class4"));
	OK(db_query_i64(&count, n.t->db, "SELECT COUNT(*) FROM audio_settings WHERE tenant_id = $1"
			" AND system_language > 0 AND default_moh_class > 0 AND spy_audio_file > 0",
			DB_ARGS(db_i64(tenant_id))));
	assert_int_equal(count, 1);

	/* Names in the reader's language are the same name; what was deleted does not come back. */
	(void)write_row(&n, "moh_class", SCH_PATCH, id, "{\"name\":\"Classe 4\"}", 0);
	(void)write_row(&n, "moh_class", SCH_CREATE, 0, "{\"name\":\"Class 4\"}", -EDUPLICATE);
	n.ctx->n_problems = 0;
	OK(sch_delete(n.ctx, sch_find("moh_class"), id, 0));
	OK(sch_migrate(n.t->db));
	assert_int_equal(sch_find_title(&id, n.ctx, sch_find("moh_class"), "class4"), -ENOENT);
	node_close(&n);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TESTDB_BOTH("an upload waits, is converted and replaced",
			    an_upload_waits_is_converted_and_replaced),
		TESTDB_BOTH("what nobody names any more goes", what_nobody_names_any_more_goes),
		TESTDB_BOTH("expired files go", expired_files_go),
		TESTDB_BOTH("names have rules", names_have_rules),
		TESTDB_BOTH("[D-151] every tenant begins with its sounds",
			    every_tenant_begins_with_its_sounds),
	};

	return testdb_run(tests);
}
