/* SPDX-License-Identifier: Apache-2.0 */
#include "web/rest.h"

#define REST    (1u << FAMILY_REST)
#define V2      (1u << FAMILY_V2)
#define ROOT    (1u << FAMILY_ROOT)
#define BOTH    (REST | V2)
#define JSON    REPR_MASK(REPR_JSON)
#define XML     REPR_MASK(REPR_XML)
#define PLAIN   REPR_MASK(REPR_TEXT)
#define CSV     REPR_MASK(REPR_CSV)
#define WAV     REPR_MASK(REPR_HTML) /* one form only, whatever Accept says */
#define HTML    REPR_MASK(REPR_HTML)
#define ANYONE  ACCESS_ANONYMOUS, NULL, SCH_LEVEL_NONE
#define USER    ACCESS_USER, NULL, SCH_LEVEL_NONE
#define DOCS    ACCESS_DOC, NULL, SCH_LEVEL_NONE
#define LEVEL(l) ACCESS_LEVEL, NULL, SCH_LEVEL_##l
#define CDR_IN  (JSON | XML | CSV | PLAIN)

/*
 * Every address of the API. First match wins, so that fixed names stand before {entity}. What the
 * registry describes itself (CRUD of entities) has no tag here: sch_openapi() writes it.
 */
const struct route web_routes[] = {
	/* Sessions of browsers */
	{ V2, WEB_POST, "session", rest_session_create, ANYONE, 0, "session", "Log in" },
	{ V2, WEB_GET, "session", rest_session_get, USER, 0, "session", "Who is logged in, and may do what" },
	{ V2, WEB_DELETE, "session", rest_session_delete, USER, 0, "session", "Log out" },
	{ V2, WEB_PATCH, "session", rest_session_patch, USER, 0, "session", "Choose the language" },
	{ V2, WEB_PUT, "me/password", rest_password_change, USER, 0, "session", "Change one's own password" },
	{ BOTH, WEB_GET, "salt/{domain}", rest_salt_get, ANYONE, JSON | XML | PLAIN, "authentication",
	  "Salt of a tenant, needed to sign X-authenticate" },

	/* Configuration as a whole */
	{ V2, WEB_GET, "schema", rest_schema_get, USER, 0, "configuration", "Description of all entities" },
	{ V2, WEB_GET, "configuration/revision", rest_config_revision, USER, 0, "configuration",
	  "Saved and applied revision" },
	{ V2, WEB_GET, "configuration/change", rest_config_changes, USER, 0, "configuration",
	  "Changes not applied yet" },
	{ V2, WEB_POST, "configuration/apply", rest_config_apply, USER, 0, "configuration",
	  "Apply the saved configuration" },
	{ V2, WEB_POST, "configuration/discard", rest_config_discard, USER, 0, "configuration",
	  "Discard changes not applied yet" },
	{ V2, WEB_GET, "logLevel", rest_loglevel_get, USER, 0, "system", "Log levels of the web process" },
	{ V2, WEB_PUT, "logLevel", rest_loglevel_put, USER, 0, "system", "Set a log level" },
	{ V2, WEB_GET, "health", rest_health_get, ANYONE, 0, "system", "Is the web server alive" },

	/* Call register */
	{ REST, WEB_GET, "cdr", rest_cdr_by_path, USER, CDR_IN, "cdr", "Calls of this month, summary" },
	{ REST, WEB_GET, "cdr/{format}", rest_cdr_by_path, USER, CDR_IN, "cdr", "Calls of this month" },
	{ REST, WEB_GET, "cdr/{format}/{years}", rest_cdr_by_path, USER, CDR_IN, "cdr", "Calls of years" },
	{ REST, WEB_GET, "cdr/{format}/{years}/{months}", rest_cdr_by_path, USER, CDR_IN, "cdr",
	  "Calls of months" },
	{ REST, WEB_GET, "cdr/{format}/{years}/{months}/{days}", rest_cdr_by_path, USER, CDR_IN, "cdr",
	  "Calls of days" },
	{ REST, WEB_POST, "cdr", rest_cdr_by_body, USER, CDR_IN, "cdr", "Search calls, summary" },
	{ REST, WEB_POST, "cdr/{format}", rest_cdr_by_body, USER, CDR_IN, "cdr", "Search calls" },
	{ REST, WEB_POST, "cdr/{format}/{years}", rest_cdr_by_body, USER, CDR_IN, NULL, NULL },
	{ REST, WEB_POST, "cdr/{format}/{years}/{months}", rest_cdr_by_body, USER, CDR_IN, NULL, NULL },
	{ REST, WEB_POST, "cdr/{format}/{years}/{months}/{days}", rest_cdr_by_body, USER, CDR_IN, NULL, NULL },
	{ V2, WEB_GET, "cdr", rest_cdr_page, USER, 0, "cdr", "Page of the call register with details" },

	{ BOTH, WEB_GET, "auditLog", rest_audit_list, ACCESS_LEVEL, "audit_log", SCH_LEVEL_LIST, 0, "audit",
	  "Page of the audit log, newest first; filters from, to, username, ip_address, action, object_type, "
	  "transaction_id, q" },

	/* Live state */
	{ BOTH, WEB_GET, "state/registration", rest_live_registrations, ACCESS_LEVEL, "accounts",
	  SCH_LEVEL_LIST, 0, "live", "Registered phones" },
	{ BOTH, WEB_GET, "phoneService/calls", rest_live_calls, USER, 0, "live",
	  "Calls in progress; filters extension, account, linkedId" },
	{ BOTH, WEB_GET, "phoneService/call/{linkedId}", rest_live_call, USER, 0, "live", "One call" },
	{ BOTH, WEB_DELETE, "phoneService/call/{linkedId}", rest_live_hangup, USER, 0, "live", "Hang up" },
	{ BOTH, WEB_GET, "dashboard", rest_dashboard_get, USER, 0, "dashboard", "Dashboard" },
	{ BOTH, WEB_GET, "dashboard/firmwareVersion", rest_dashboard_version, USER, JSON | XML | PLAIN,
	  "dashboard", "Version that API clients compare" },
	{ BOTH, WEB_GET, "dashboard/serialNumber", rest_dashboard_serial, USER, JSON | XML | PLAIN,
	  "dashboard", "Serial number" },
	{ BOTH, WEB_GET, "ctiUser", rest_cti_users, ACCESS_LEVEL, "gui_users", SCH_LEVEL_LIST, 0, "user",
	  "Users of CTI clients" },

	/* Contents of audio files, music, prompts */
	{ BOTH, WEB_POST, "audioFile", rest_audio_create, LEVEL(WRITE), 0, "audio",
	  "Upload a new audio file (multipart/form-data: file, folder, name; or the file as body)",
	  .entity = "audio_file", .upload = true },
	{ BOTH, WEB_POST, "audioFile/record", rest_audio_record, LEVEL(WRITE), 0, "audio",
	  "Record a new audio file from a phone, which rings (name, folder, extension, account)",
	  .entity = "audio_file" },
	{ BOTH, WEB_POST, "audioFile/{key}/record", rest_audio_rerecord, LEVEL(WRITE), 0, "audio",
	  "Replace the content of an audio file from a phone, which rings (extension, account)",
	  .entity = "audio_file" },
	{ BOTH, WEB_POST, "audioFile/{key}/play", rest_audio_play, LEVEL(READ), 0, "audio",
	  "Play an audio file on a phone, which rings (extension, account)", .entity = "audio_file" },
	{ BOTH, WEB_GET, "audioFile/phone/{task}", rest_audio_phone_get, LEVEL(READ), 0, "audio",
	  "How far playing on a phone or recording from one is", .entity = "audio_file" },
	{ BOTH, WEB_GET, "audioFile/{key}/content", rest_audio_content_get, LEVEL(READ), WAV, "audio",
	  "Play or download an audio file", .entity = "audio_file" },
	{ BOTH, WEB_PUT, "audioFile/{key}/content", rest_audio_content_put, LEVEL(WRITE), 0, "audio",
	  "Replace the content of an audio file, also of one in use", .entity = "audio_file", .upload = true },
	{ BOTH, WEB_DELETE, "audioFile/{key}/content", rest_audio_content_delete, LEVEL(WRITE), 0, "audio",
	  "Give a predefined audio file its own content back", .entity = "audio_file" },
	{ BOTH, WEB_GET, "mohClass/{key}/file", rest_moh_files_get, LEVEL(READ), 0, "audio",
	  "Files of a music class", .entity = "moh_class" },
	{ BOTH, WEB_POST, "mohClass/{key}/file", rest_moh_file_add, LEVEL(WRITE), 0, "audio",
	  "Upload music, several files at once", .entity = "moh_class", .upload = true },
	{ BOTH, WEB_DELETE, "mohClass/{key}/file/{file}", rest_moh_file_delete, LEVEL(WRITE), 0, "audio",
	  "Remove a file from a music class", .entity = "moh_class" },
	{ BOTH, WEB_GET, "mohClass/{key}/file/{file}/content", rest_moh_content_get, LEVEL(READ), WAV, "audio",
	  "Play or download music", .entity = "moh_class" },
	{ BOTH, WEB_PUT, "mohClass/{key}/file/{file}/content", rest_moh_content_put, LEVEL(WRITE), 0, "audio",
	  "Replace music", .entity = "moh_class", .upload = true },
	{ BOTH, WEB_GET, "language/{key}/prompt", rest_prompt_list, LEVEL(READ), 0, "audio",
	  "Prompts of a language: inherited or replaced", .entity = "language" },
	{ BOTH, WEB_GET, "language/{key}/prompt/{name}/content", rest_prompt_content_get, LEVEL(READ), WAV,
	  "audio", "Play or download a prompt", .entity = "language" },
	{ BOTH, WEB_PUT, "language/{key}/prompt/{name}/content", rest_prompt_content_put, LEVEL(WRITE), 0,
	  "audio", "Replace a prompt of a custom language", .entity = "language", .upload = true },
	{ BOTH, WEB_DELETE, "language/{key}/prompt/{name}/content", rest_prompt_content_delete, LEVEL(WRITE),
	  0, "audio", "Inherit a prompt again", .entity = "language" },
	{ BOTH, WEB_GET, "language/{key}/prompt/{group}/{name}/content", rest_prompt_content_get, LEVEL(READ),
	  WAV, "audio", "Play or download a prompt", .entity = "language" },
	{ BOTH, WEB_PUT, "language/{key}/prompt/{group}/{name}/content", rest_prompt_content_put, LEVEL(WRITE),
	  0, "audio", "Replace a prompt of a custom language", .entity = "language", .upload = true },
	{ BOTH, WEB_DELETE, "language/{key}/prompt/{group}/{name}/content", rest_prompt_content_delete,
	  LEVEL(WRITE), 0, "audio", "Inherit a prompt again", .entity = "language" },
	{ BOTH, WEB_POST, "language/{key}/archive", rest_language_archive, LEVEL(WRITE), 0, "audio",
	  "Upload a ZIP whose files replace the prompts of the same name", .entity = "language", .upload = true },
	{ BOTH, WEB_POST, "volatileAudio", rest_volatile_create, ACCESS_LEVEL, "audio_files", SCH_LEVEL_WRITE,
	  0, "audio", "Upload a file that goes by itself after expires_s seconds", .upload = true },
	{ BOTH, WEB_GET, "volatileAudio", rest_volatile_list, ACCESS_LEVEL, "audio_files", SCH_LEVEL_LIST, 0,
	  "audio", "Volatile audio files" },
	{ BOTH, WEB_GET, "volatileAudio/{token}", rest_volatile_get, ACCESS_LEVEL, "audio_files",
	  SCH_LEVEL_READ, 0, "audio", "One volatile audio file" },
	{ BOTH, WEB_GET, "volatileAudio/{token}/content", rest_volatile_content_get, ACCESS_LEVEL,
	  "audio_files", SCH_LEVEL_READ, WAV, "audio", "Play or download a volatile audio file" },
	{ BOTH, WEB_DELETE, "volatileAudio/{token}", rest_volatile_delete, ACCESS_LEVEL, "audio_files",
	  SCH_LEVEL_WRITE, 0, "audio", "Remove a volatile audio file" },

	/* For monitoring */
	{ ROOT, WEB_GET, "metrics", rest_metrics_get, DOCS, PLAIN, NULL, NULL },

	/* Documentation */
	{ ROOT, WEB_GET, "api/doc", rest_doc_html, DOCS, HTML, NULL, NULL },
	{ ROOT, WEB_GET, "api/doc.json", rest_doc_json, DOCS, JSON, NULL, NULL },
	{ ROOT, WEB_GET, "api/doc/postman.json", rest_doc_postman, DOCS, JSON, NULL, NULL },

	/* Entities of the registry */
	{ BOTH, WEB_GET, "{settings}", rest_settings_get, LEVEL(READ), 0, NULL, NULL },
	{ BOTH, WEB_PUT, "{settings}", rest_settings_put, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_PATCH, "{settings}", rest_settings_patch, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_GET, "{entity}/export.csv", rest_entity_export, LEVEL(READ), CSV, NULL, NULL },
	{ BOTH, WEB_POST, "{entity}/import", rest_entity_import, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_GET, "{entity}", rest_entity_list, LEVEL(LIST), 0, NULL, NULL },
	{ BOTH, WEB_POST, "{entity}", rest_entity_create, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_GET, "{entity}/{key}", rest_entity_get, LEVEL(READ), 0, NULL, NULL },
	{ BOTH, WEB_PUT, "{entity}/{key}", rest_entity_put, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_PATCH, "{entity}/{key}", rest_entity_patch, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_DELETE, "{entity}/{key}", rest_entity_delete, LEVEL(WRITE), 0, NULL, NULL },
};
const size_t web_n_routes = sizeof(web_routes) / sizeof(web_routes[0]);
