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
	{ V2, WEB_POST, "session", session_create, ANYONE, 0, "session", "Log in" },
	{ V2, WEB_GET, "session", session_get, USER, 0, "session", "Who is logged in, and may do what" },
	{ V2, WEB_DELETE, "session", session_delete, USER, 0, "session", "Log out" },
	{ V2, WEB_PATCH, "session", session_patch, USER, 0, "session", "Choose the language" },
	{ V2, WEB_PUT, "me/password", password_change, USER, 0, "session", "Change one's own password" },
	{ BOTH, WEB_GET, "salt/{domain}", salt_get, ANYONE, JSON | XML | PLAIN, "authentication",
	  "Salt of a tenant, needed to sign X-authenticate" },

	/* Configuration as a whole */
	{ V2, WEB_GET, "schema", schema_get, USER, 0, "configuration", "Description of all entities" },
	{ V2, WEB_GET, "configuration/revision", config_revision, USER, 0, "configuration",
	  "Saved and applied revision" },
	{ V2, WEB_GET, "configuration/change", config_changes, USER, 0, "configuration",
	  "Changes not applied yet" },
	{ V2, WEB_POST, "configuration/apply", config_apply, USER, 0, "configuration",
	  "Apply the saved configuration" },
	{ V2, WEB_POST, "configuration/discard", config_discard, USER, 0, "configuration",
	  "Discard changes not applied yet" },
	{ V2, WEB_GET, "logLevel", loglevel_get, USER, 0, "system", "Log levels of the web process" },
	{ V2, WEB_PUT, "logLevel", loglevel_put, USER, 0, "system", "Set a log level" },
	{ V2, WEB_GET, "health", health_get, ANYONE, 0, "system", "Is the web server alive" },

	/* Call register */
	{ REST, WEB_GET, "cdr", cdr_by_path, USER, CDR_IN, "cdr", "Calls of this month, summary" },
	{ REST, WEB_GET, "cdr/{format}", cdr_by_path, USER, CDR_IN, "cdr", "Calls of this month" },
	{ REST, WEB_GET, "cdr/{format}/{years}", cdr_by_path, USER, CDR_IN, "cdr", "Calls of years" },
	{ REST, WEB_GET, "cdr/{format}/{years}/{months}", cdr_by_path, USER, CDR_IN, "cdr",
	  "Calls of months" },
	{ REST, WEB_GET, "cdr/{format}/{years}/{months}/{days}", cdr_by_path, USER, CDR_IN, "cdr",
	  "Calls of days" },
	{ REST, WEB_POST, "cdr", cdr_by_body, USER, CDR_IN, "cdr", "Search calls, summary" },
	{ REST, WEB_POST, "cdr/{format}", cdr_by_body, USER, CDR_IN, "cdr", "Search calls" },
	{ REST, WEB_POST, "cdr/{format}/{years}", cdr_by_body, USER, CDR_IN, NULL, NULL },
	{ REST, WEB_POST, "cdr/{format}/{years}/{months}", cdr_by_body, USER, CDR_IN, NULL, NULL },
	{ REST, WEB_POST, "cdr/{format}/{years}/{months}/{days}", cdr_by_body, USER, CDR_IN, NULL, NULL },
	{ V2, WEB_GET, "cdr", cdr_page, USER, 0, "cdr", "Page of the call register with details" },

	/* Live state */
	{ BOTH, WEB_GET, "state/registration", live_registrations, ACCESS_LEVEL, "accounts",
	  SCH_LEVEL_LIST, 0, "live", "Registered phones" },
	{ BOTH, WEB_GET, "phoneService/calls", live_calls, USER, 0, "live",
	  "Calls in progress; filters extension, account, linkedId" },
	{ BOTH, WEB_GET, "phoneService/call/{linkedId}", live_call, USER, 0, "live", "One call" },
	{ BOTH, WEB_DELETE, "phoneService/call/{linkedId}", live_hangup, USER, 0, "live", "Hang up" },
	{ BOTH, WEB_GET, "dashboard", dashboard_get, USER, 0, "dashboard", "Dashboard" },
	{ BOTH, WEB_GET, "dashboard/firmwareVersion", dashboard_version, USER, JSON | XML | PLAIN,
	  "dashboard", "Version that API clients compare" },
	{ BOTH, WEB_GET, "dashboard/serialNumber", dashboard_serial, USER, JSON | XML | PLAIN,
	  "dashboard", "Serial number" },
	{ BOTH, WEB_GET, "ctiUser", cti_users, ACCESS_LEVEL, "gui_users", SCH_LEVEL_LIST, 0, "user",
	  "Users of CTI clients" },

	/* Documentation */
	{ ROOT, WEB_GET, "api/doc", doc_html, DOCS, HTML, NULL, NULL },
	{ ROOT, WEB_GET, "api/doc.json", doc_json, DOCS, JSON, NULL, NULL },
	{ ROOT, WEB_GET, "api/doc/postman.json", doc_postman, DOCS, JSON, NULL, NULL },

	/* Entities of the registry */
	{ BOTH, WEB_GET, "{settings}", settings_get, LEVEL(READ), 0, NULL, NULL },
	{ BOTH, WEB_PUT, "{settings}", settings_put, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_PATCH, "{settings}", settings_patch, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_GET, "{entity}/export.csv", entity_export, LEVEL(READ), CSV, NULL, NULL },
	{ BOTH, WEB_POST, "{entity}/import", entity_import, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_GET, "{entity}", entity_list, LEVEL(LIST), 0, NULL, NULL },
	{ BOTH, WEB_POST, "{entity}", entity_create, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_GET, "{entity}/{key}", entity_get, LEVEL(READ), 0, NULL, NULL },
	{ BOTH, WEB_PUT, "{entity}/{key}", entity_put, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_PATCH, "{entity}/{key}", entity_patch, LEVEL(WRITE), 0, NULL, NULL },
	{ BOTH, WEB_DELETE, "{entity}/{key}", entity_delete, LEVEL(WRITE), 0, NULL, NULL },
};
const size_t web_n_routes = sizeof(web_routes) / sizeof(web_routes[0]);
