/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "entities/sound/sound.h"

/*
 * Music on hold (PLT-31, D-151): a list of files, played in their order or at random. The files are
 * uploaded to .../file once the class has been saved. A preset class without files plays the music
 * that we ship for it.
 *
 * The names of the preset classes are stored in one form and shown in the reader's language.
 */
static const struct preset {
	const char *name;
	struct sch_label shown;
} presets[] = {
	{ "default", { "Predefinita", "Default" } },
	{ "class1", { "Classe 1", "Class 1" } },
	{ "class2", { "Classe 2", "Class 2" } },
	{ "class3", { "Classe 3", "Class 3" } },
	{ "class4", { "Classe 4", "Class 4" } },
};
#define N_PRESETS (sizeof(presets) / sizeof(presets[0]))

static const struct sch_field file_fields[] = {
	{ .name = "file", .type = SCH_INT, .min = 1, .max = INT64_MAX, .flags = SCH_REQUIRED,
	  .label = { "File", "File" } },
	{ .name = "name", .type = SCH_TEXT, .max = 255, .label = { "Nome", "Name" } },
};

static const struct sch_field fields[] = {
	{ .name = "name", .type = SCH_TEXT, .max = 64, .label = { "Nome", "Name" },
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH },
	{ .name = "random", .type = SCH_BOOL, .def = "false", .flags = SCH_LISTED,
	  .label = { "Abilita riproduzione casuale", "Enable random playback" },
	  .help = { "Altrimenti i file si susseguono dall'alto in basso",
		    "Otherwise the files follow from top to bottom" } },
	{ .name = "files", .type = SCH_LIST, .max = 200, SCH_ITEMS(file_fields),
	  .label = { "File audio", "Audio files" } },
	{ .name = "preset", .type = SCH_TEXT, .max = 16, .flags = SCH_READONLY,
	  .label = { "Classe predefinita", "Preset class" } },
	{ .name = "version", .type = SCH_INT, .max = 2000000000, .def = "0", .flags = SCH_READONLY,
	  .label = { "Versione del contenuto", "Version of the content" } },
	{ .name = "system_music", .type = SCH_BOOL, .flags = SCH_READONLY | SCH_VIRTUAL,
	  .label = { "Musica di sistema", "System music" } },
};

static int before_validate(struct sch_ctx *ctx, json_t *body)
{
	const char *name = sound_text(body, "name");
	json_t *files = json_object_get(body, "files"), *item;
	size_t i;

	for (size_t k = 0; k < N_PRESETS; k++) {
		if (strcmp(name, presets[k].shown.it) && strcmp(name, presets[k].shown.en))
			continue;
		if (sound_put(body, "name", presets[k].name))
			return -ENOMEM;
		break; /* name is gone */
	}
	/* What reading adds (decorate) may come back. */
	json_array_foreach(files, i, item) {
		static const char *const shown[] = { "state", "playable", "reason", "duration_ms",
						     "size_bytes", "rate_hz", "source_name",
						     "source_format", "content_at" };

		for (size_t k = 0; k < sizeof(shown) / sizeof(shown[0]); k++)
			(void)json_object_del(item, shown[k]);
	}
	return 0;
}

static void check_file(struct sch_ctx *ctx, const json_t *row, const json_t *item, size_t i)
{
	struct audio_content content;
	int64_t id = json_integer_value(json_object_get(item, "file"));
	int err = audio_get(&content, ctx->db, id);

	if (!err && content.kind == AUDIO_MOH && content.tenant_id == ctx->tenant_id &&
	    content.owner_id == sch_row_id(row))
		return;
	sch_problem_add(ctx, "files", "not_found",
			SCH_TR(ctx, "Il file %zu della lista non appartiene a questa classe: caricarlo dopo averla salvata.",
			       "File %zu of the list does not belong to this class: upload it after saving the class."),
			i + 1);
}

static int before_write(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	json_t *files = json_object_get(row, "files"), *item, *other;
	size_t i, k;

	if (ctx->system)
		return 0;
	json_array_foreach(files, i, item) {
		check_file(ctx, row, item, i);
		json_array_foreach(files, k, other)
			if (k < i && json_equal(json_object_get(item, "file"), json_object_get(other, "file")))
				sch_problem_add(ctx, "files", "double",
						SCH_TR(ctx, "Il file %zu della lista è ripetuto: toglierlo.",
						       "File %zu of the list is there twice: remove it."),
						i + 1);
	}
	return ctx->n_problems ? -EINVAL : 0;
}

static int seed(struct sch_ctx *ctx)
{
	int err = 0;

	for (size_t i = 0; !err && i < N_PRESETS; i++)
		err = sound_seed(ctx, "moh_class",
				 json_pack("{s:s, s:s}", "name", presets[i].name, "preset",
					   presets[i].name));
	return err;
}

/* ------------------------------------------------------------------ showing */

struct decorating {
	struct sch_ctx *ctx;
	json_t *rows;
};

static int add_state(const struct audio_content *content, void *arg)
{
	const struct decorating *d = arg;
	json_t *row, *item;
	size_t i, k;

	json_array_foreach(d->rows, i, row) {
		if (sch_row_id(row) != content->owner_id)
			continue;
		json_array_foreach(json_object_get(row, "files"), k, item)
			if (json_integer_value(json_object_get(item, "file")) == content->id)
				return audio_describe(item, content, d->ctx->lang);
	}
	return 0;
}

static int decorate(struct sch_ctx *ctx, json_t *rows)
{
	struct decorating d = { ctx, rows };
	size_t i;
	json_t *row;
	int bad = 0;

	json_array_foreach(rows, i, row) {
		const char *name = sound_text(row, "name");
		bool own = json_array_size(json_object_get(row, "files")) > 0;

		for (size_t k = 0; k < N_PRESETS; k++)
			if (!strcmp(name, presets[k].name)) {
				bad |= sound_put(row, "name", SCH_TR(ctx, presets[k].shown.it,
								     presets[k].shown.en));
				break;
			}
		bad |= json_object_set_new(row, "system_music",
					   json_boolean(!own && *sound_text(row, "preset")));
	}
	return bad ? -ENOMEM :
		     audio_each(ctx->db, AUDIO_MOH, ctx->tenant_id,
				json_array_size(rows) == 1 ? sch_row_id(json_array_get(rows, 0)) : -1,
				add_state, &d);
}

const struct sch_entity entity_moh_class = {
	.name = "moh_class", .scope = SCH_TENANT, .permission = "moh_classes", .title_field = "name",
	.label = { "Classi di musica di attesa", "Music-on-hold classes" },
	.label_one = { "Classe di musica di attesa", "Music-on-hold class" }, SCH_FIELDS(fields),
	.before_validate = before_validate, .before_write = before_write, .seed = seed,
	.decorate = decorate,
};
