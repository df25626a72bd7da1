/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/entities.h"

/* Audio settings of a tenant (PLT-32, D-196). */
static const struct sch_field fields[] = {
	{ .name = "system_language", .type = SCH_REF, .ref = "language", .def = "@Italiano",
	  .flags = SCH_REQUIRED,
	  .label = { "Lingua del file audio di sistema", "Language of the system prompts" },
	  .help = { "Per chi chiama da fuori e per gli interni il cui utente non ne ha una. Le voci spagnole "
		    "non sono ancora registrate: lo spagnolo parla inglese",
		    "For callers from outside and for extensions whose user has none. Spanish has no "
		    "recordings yet: it speaks English" } },
	{ .name = "default_moh_class", .type = SCH_REF, .ref = "moh_class", .def = "@default",
	  .flags = SCH_REQUIRED,
	  .label = { "Classe di musica di attesa predefinita", "Default music-on-hold class" } },
	{ .name = "spy_audio_file", .type = SCH_REF, .ref = "audio_file",
	  .label = { "Servizio di ascolto passivo", "Silent listening service" },
	  .help = { "Ciò che sente chi viene ascoltato; vuoto: nulla",
		    "What the one who is listened to hears; empty: nothing" } },
	{ .name = "audio_max_mb", .type = SCH_INT, .min = 1, .max = 512, .def = "64",
	  .label = { "Dimensione massima dei file caricati (MB)", "Largest uploaded file (MB)" },
	  .help = { "Per chi ascolta al telefono bastano 5 MB: circa 10 minuti di buona qualità",
		    "For listeners on a telephone 5 MB are enough: about 10 minutes of good quality" } },
};

/* Not a default: who empties the field wants it empty. */
static int seed(struct sch_ctx *ctx)
{
	json_t *body;
	int64_t id = 0;
	int err = sch_find_title(&id, ctx, &entity_audio_file, "builtin/spy-start");

	if (err)
		return err == -ENOENT ? 0 : err;
	body = json_pack("{s:I}", "spy_audio_file", (json_int_t)id);
	err = body ? sch_write(ctx, &entity_audio_settings, SCH_PATCH, 0, body, 0, NULL) : -ENOMEM;
	json_decref(body);
	return err;
}

const struct sch_entity entity_audio_settings = {
	.name = "audio_settings", .scope = SCH_TENANT, .singleton = true,
	.permission = "audio_settings",
	.label = { "Impostazioni audio", "Audio settings" },
	.label_one = { "Impostazioni audio", "Audio settings" }, SCH_FIELDS(fields),
	.seed = seed,
};
