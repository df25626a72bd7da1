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
