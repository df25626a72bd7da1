/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "entities/sound/sound.h"

/*
 * Languages of the spoken prompts (PLT-33): three built in, and custom ones that inherit every prompt
 * of their base but those that somebody replaced (.../prompt/<name>/content). They belong to the
 * machine; tenants choose among them.
 */
static const struct sch_value bases[] = {
	{ "it", { "Italiano", "Italian" } },
	{ "us", { "Inglese", "English" } },
	{ "es", { "Spagnolo", "Spanish" } },
	{ 0 },
};

static const struct {
	const char *code, *name;
} builtins[] = { { "it", "Italiano" }, { "us", "English" }, { "es", "Español" } };

static int check_variant(const json_t *value, enum sch_lang lang, struct sch_problem *problem)
{
	const char *text = json_string_value(value);

	if (!text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789")])
		return 0;
	return entity_problem(problem, lang, "bad_characters",
			      "La variante ha solo lettere minuscole non accentate e cifre.",
			      "A variant has unaccented lower-case letters and digits only.");
}

static const struct sch_field fields[] = {
	{ .name = "custom", .type = SCH_BOOL, .def = "true", .flags = SCH_READONLY | SCH_LISTED,
	  .label = { "Personalizzata", "Custom" } },
	{ .name = "name", .type = SCH_TEXT, .max = 64, .label = { "Nome", "Name" },
	  .flags = SCH_REQUIRED | SCH_UNIQUE | SCH_NOCASE | SCH_LISTED | SCH_SEARCH },
	{ .name = "code", .type = SCH_TEXT, .max = 40,
	  .flags = SCH_READONLY | SCH_UNIQUE | SCH_LISTED | SCH_SEARCH,
	  .label = { "Codice", "Code" } },
	{ .name = "base", .type = SCH_ENUM, .values = bases,
	  .flags = SCH_REQUIRED | SCH_IMMUTABLE | SCH_LISTED,
	  .label = { "Pacchetto di base", "Base language pack" },
	  .help = { "I file non sostituiti vengono da qui. Le voci spagnole non sono ancora registrate: "
		    "lo spagnolo parla inglese",
		    "What is not replaced comes from here. Spanish has no recordings yet: it speaks "
		    "English" } },
	{ .name = "variant", .type = SCH_TEXT, .max = 32, .check = check_variant,
	  .flags = SCH_IMMUTABLE, .label = { "Variante", "Variant" },
	  .help = { "Forma il codice: it + personal = it_personal",
		    "Makes the code: it + personal = it_personal" } },
	{ .name = "version", .type = SCH_INT, .max = 2000000000, .def = "0", .flags = SCH_READONLY,
	  .label = { "Versione del contenuto", "Version of the content" } },
	{ .name = "replaced", .type = SCH_INT, .flags = SCH_READONLY | SCH_VIRTUAL | SCH_LISTED,
	  .label = { "File sostituiti", "Replaced files" } },
};

static int before_write(struct sch_ctx *ctx, json_t *row, const json_t *old)
{
	char code[80];

	if (ctx->system)
		return 0;
	if (!json_is_true(json_object_get(row, "custom"))) {
		if (old && !strcmp(sound_text(row, "name"), sound_text(old, "name")))
			return 0;
		sch_problem_add(ctx, "name", "predefined",
				SCH_TR(ctx, "Le lingue predefinite non si modificano: creare una lingua personalizzata.",
				       "Built-in languages cannot be changed: create a custom language."));
		return -EINVAL;
	}
	if (!*sound_text(row, "variant")) {
		sch_problem_add(ctx, "variant", "required",
				SCH_TR(ctx, "Indicare la variante, per esempio \"personal\".",
				       "Give the variant, for example \"personal\"."));
		return -EINVAL;
	}
	(void)snprintf(code, sizeof(code), "%s_%s", sound_text(row, "base"), sound_text(row, "variant"));
	return sound_put(row, "code", code);
}

static int before_delete(struct sch_ctx *ctx, int64_t id, const json_t *old)
{
	if (json_is_true(json_object_get(old, "custom")) || ctx->system)
		return 0;
	sch_problem_add(ctx, "name", "predefined",
			SCH_TR(ctx, "Le lingue predefinite non si eliminano.",
			       "Built-in languages cannot be deleted."));
	return -EINUSE;
}

static int seed(struct sch_ctx *ctx)
{
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(builtins) / sizeof(builtins[0]); i++)
		err = sound_seed(ctx, "language",
				 json_pack("{s:b, s:s, s:s, s:s}", "custom", 0, "name",
					   builtins[i].name, "code", builtins[i].code, "base",
					   builtins[i].code));
	return err;
}

static int count(const struct audio_content *content, void *arg)
{
	json_t *row, *n;
	size_t i;

	json_array_foreach((json_t *)arg, i, row) {
		n = json_object_get(row, "replaced");
		if (sch_row_id(row) == content->owner_id && content->has_file)
			(void)json_integer_set(n, json_integer_value(n) + 1);
	}
	return 0;
}

static int decorate(struct sch_ctx *ctx, json_t *rows)
{
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
		if (json_object_set_new(row, "replaced", json_integer(0)))
			return -ENOMEM;
	return audio_each(ctx->db, AUDIO_PROMPT, 0, -1, count, rows);
}

const struct sch_entity entity_language = {
	.name = "language", .scope = SCH_PBX, .shared = true, .permission = "audio_settings",
	.natural_key = "code", .title_field = "name",
	.label = { "Lingue personalizzate", "Custom languages" },
	.label_one = { "Lingua", "Language" }, SCH_FIELDS(fields), .before_write = before_write,
	.before_delete = before_delete, .seed = seed, .decorate = decorate,
};
