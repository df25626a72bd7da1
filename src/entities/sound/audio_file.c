/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "entities/sound/sound.h"

/*
 * Audio files (PLT-30): what prompts of services play. The row names the file; its content is uploaded
 * to .../content and lies in the audio store. Predefined ones are spoken by the prompt of the same name
 * until somebody uploads another content.
 */
static const char *const builtins[] = { "rec-start", "rec-stop", "spy-start" };
#define BUILTIN_FOLDER "builtin"

/* Part of a path that people see: anything but what would make it another path. */
static int check_part(const char *text, bool may_have_slash)
{
	const char *last = text;

	for (const char *c = text;; c++) {
		if (*c == '/' || !*c) {
			if (c == last || *last == '.' || *last == ' ' || c[-1] == ' ')
				return -EINVAL;
			last = c + 1;
		}
		if (!*c)
			return 0;
		if ((unsigned char)*c < ' ' || *c == 0x7f || *c == '\\' || (*c == '/' && !may_have_slash))
			return -EINVAL;
	}
}

static int check_folder(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	if (!check_part(json_string_value(value), true))
		return 0;
	return entity_problem(problem, lang, "bad_characters",
			      "Una cartella è come \"custom\" o \"custom/feste\": niente \\, e nessuna parte "
			      "vuota o che inizia con un punto o uno spazio.",
			      "A folder is like \"custom\" or \"custom/holidays\": no \\, and no part that is "
			      "empty or begins with a dot or a space.");
}

static int check_name(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	if (!check_part(json_string_value(value), false))
		return 0;
	return entity_problem(problem, lang, "bad_characters",
			      "Il nome non può contenere / o \\, né iniziare con un punto o uno spazio.",
			      "A name cannot hold / or \\, nor begin with a dot or a space.");
}

static const struct sch_field fields[] = {
	{ .name = "folder", .type = SCH_TEXT, .max = 128, .def = "custom", .check = check_folder,
	  .flags = SCH_SEARCH, .label = { "Cartella", "Folder" },
	  .help = { "Cartella di destinazione, esistente o nuova",
		    "Destination folder, existing or new" } },
	{ .name = "name", .type = SCH_TEXT, .max = 128, .check = check_name,
	  .flags = SCH_REQUIRED | SCH_SEARCH, .label = { "Nome", "Name" } },
	{ .name = "path", .type = SCH_TEXT, .max = 257,
	  .flags = SCH_READONLY | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH,
	  .label = { "Nome completo", "Full name" } },
	{ .name = "builtin", .type = SCH_BOOL, .def = "false", .flags = SCH_READONLY | SCH_LISTED,
	  .label = { "Predefinito", "Predefined" } },
	{ .name = "version", .type = SCH_INT, .max = 2000000000, .def = "0", .flags = SCH_READONLY,
	  .label = { "Versione del contenuto", "Version of the content" } },
	SOUND_STATE_FIELDS,
};

/* The registry would name the field "path", which nobody filled in. */
static int check_free(struct sch_ctx *ctx, const char *path, int64_t id)
{
	int64_t other = 0;
	int err = sch_find_title(&other, ctx, &entity_audio_file, path);

	if (err == -ENOENT || (!err && other == id))
		return 0;
	if (!err)
		sch_problem_add(ctx, "name", "duplicate",
				SCH_TR(ctx, "\"%s\" esiste già: scegliere un altro nome, o sostituirne il contenuto.",
				       "\"%s\" exists already: choose another name, or replace its content."),
				path);
	return err;
}

static int before_write(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	const char *folder = sound_text(row, "folder"), *name = sound_text(row, "name");
	char path[600];
	int err;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	err = sound_put(row, "path", path);
	if (err || ctx->system)
		return err;
	if (json_is_true(json_object_get(row, "builtin"))) {
		if (strcmp(path, sound_text(old, "path")))
			sch_problem_add(ctx, "name", "predefined",
					SCH_TR(ctx, "Un file predefinito non cambia nome: se ne sostituisce il contenuto.",
					       "A predefined file keeps its name: replace its content instead."));
	} else if (!strcmp(folder, BUILTIN_FOLDER)) {
		sch_problem_add(ctx, "folder", "reserved",
				SCH_TR(ctx, "La cartella \"builtin\" è riservata: sceglierne un'altra.",
				       "The folder \"builtin\" is reserved: choose another one."));
	} else {
		err = check_free(ctx, path, sch_row_id(old));
	}
	return err ? err : ctx->n_problems ? -EINVAL : 0;
}

static int before_delete(struct sch_ctx *ctx, int64_t id, const json_t *old)
{
	if (!json_is_true(json_object_get(old, "builtin")) || ctx->system)
		return 0;
	sch_problem_add(ctx, "name", "predefined",
			SCH_TR(ctx, "I file predefiniti non si eliminano: se ne può ripristinare il contenuto.",
			       "Predefined files cannot be deleted: their content can be restored."));
	return -EINUSE;
}

static int seed(struct sch_ctx *ctx)
{
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(builtins) / sizeof(builtins[0]); i++)
		err = sound_seed(ctx, "audio_file",
				 json_pack("{s:s, s:s, s:b}", "folder", BUILTIN_FOLDER, "name",
					   builtins[i], "builtin", 1));
	return err;
}

/* A predefined one that was not replaced is spoken by its prompt, which is always ready. */
static int decorate(struct sch_ctx *ctx, json_t *rows)
{
	int err = sound_decorate(ctx, rows, AUDIO_FILE);
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
		if (!err && json_is_true(json_object_get(row, "builtin")) &&
		    !json_is_true(json_object_get(row, "playable")) &&
		    strcmp(sound_text(row, "state"), "converting"))
			err = sound_put(row, "state", "ready") ||
					      json_object_set_new(row, "playable", json_true()) ?
				      -ENOMEM :
				      0;
	return err;
}

const struct sch_entity entity_audio_file = {
	.name = "audio_file", .scope = SCH_TENANT, .permission = "audio_files", .title_field = "path",
	.label = { "File audio", "Audio files" }, .label_one = { "File audio", "Audio file" },
	SCH_FIELDS(fields), .before_write = before_write, .before_delete = before_delete, .seed = seed,
	.decorate = decorate,
};
