/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SNAPSHOT_SNAP_PRIV_H
#define AOIDE_SNAPSHOT_SNAP_PRIV_H

#include "base/mem.h"
#include "db/db.h"
#include "snapshot/snapshot.h"

/*
 * A binding says which column of an applied table fills which member of a struct. The unit test
 * proves that each name is a field of the registry with a fitting type.
 */
enum snap_bind_type {
	SNAP_B_BOOL,   /* bool */
	SNAP_B_U8,     /* uint8_t; what does not fit is cut to its limit, so are the next two */
	SNAP_B_U16,    /* uint16_t */
	SNAP_B_U32,    /* uint32_t */
	SNAP_B_ID,     /* int64_t; a reference */
	SNAP_B_TEXT,   /* const char *, in the arena; NULL when empty */
	SNAP_B_LENT,   /* const char *, valid until the next row: a secret leaves no copy behind; a
			* list is its JSON text */
	SNAP_B_ENUM,   /* uint8_t; index in names[] */
	SNAP_B_BIT,    /* a boolean; bit `bit` of an uint8_t */
	SNAP_B_CODECS, /* struct snap_codecs */
	SNAP_B_NETS,   /* struct snap_nets */
};

struct snap_nets {
	const struct snap_net *list;
	uint16_t n;
};

struct snap_bind {
	const char *name;
	enum snap_bind_type type;
	uint16_t offset;
	bool inherit; /* also a column of the template */
	uint8_t bit;
	const char *const *names; /* SNAP_B_ENUM, ends with NULL */
};

/* What a row becomes before it is an account: the template's values, then the row's own. */
struct snap_account_row {
	struct snap_account account;
	int64_t template_id, extension_id;
	const char *password; /* sealed, lent */
	bool proxy_override, transport_webrtc;
	const char *proxy_address;
	uint16_t proxy_port;
	uint8_t proxy_protocol; /* enum snap_transport + 1 */
	struct snap_nets acl_source, acl_contact;
};

struct snap_extension_row {
	struct snap_extension extension;
	int64_t template_id;
	const char *first_name, *last_name; /* lent */
};

struct snap_sip_row {
	struct snap_sip sip;
	struct snap_codecs system; /* what may be used at all */
	struct snap_nets local;
	const char *proxy_address;
	uint16_t proxy_port;
	uint8_t proxy_protocol; /* enum snap_transport + 1 */
	uint8_t invite_auth;
	uint8_t transports; /* bits of enum snap_transport */
};

struct snap_audio_row {
	const char *path, *name; /* lent */
	bool builtin;
};

struct snap_moh_row {
	const char *name, *preset, *files; /* lent; files: JSON */
	bool random;
};

struct snap_audio_settings_row {
	int64_t language_id, moh_id, spy_id;
};

extern const struct snap_bind snap_audio_binds[], snap_moh_binds[], snap_audio_settings_binds[];
extern const size_t snap_n_audio_binds, snap_n_moh_binds, snap_n_audio_settings_binds;

/* sound.c: languages and prompts of the node; files and music of a tenant. */
int snap_sound_node(struct snap_sip *sip, struct arena *arena, struct db *db);
int snap_sound_tenant(struct snap_tenant *tenant, struct db *db, const struct snap_sip *sip);

extern const struct snap_bind snap_account_binds[], snap_extension_binds[], snap_sip_binds[];
extern const size_t snap_n_account_binds, snap_n_extension_binds, snap_n_sip_binds;

/* "SELECT id, <columns> FROM <table>_applied WHERE tenant_id = $1 <order>" with the row's place of
 * each binding at column 1 + its number; template: only those that are inherited, the others are
 * NULL. */
int snap_query(struct db_rows **ret, struct db *db, const char *table,
	       const struct snap_bind *binds, size_t n, bool template, int64_t tenant_id);

/* Fills base from the current row; NULL leaves what is there (the template's value). */
int snap_bind_row(void *base, const struct db_rows *rows, const struct snap_bind *binds, size_t n,
		  struct arena *arena);

/* "sip:host:port;transport=tcp"; NULL without an address. protocol: enum snap_transport + 1; 0: the one that
 * the settings prefer. */
const char *snap_proxy_uri(struct arena *arena, const char *address, uint16_t port,
			   uint8_t protocol, const struct snap_sip *sip);

/* FNV-1a. */
uint32_t snap_hash(const char *text, size_t len);

/* Text -> position in an array, open addressing. In the arena. */
struct snap_index *snap_index_alloc(struct arena *arena, size_t n);
void snap_index_add(struct snap_index *index, uint32_t hash, uint32_t position);

#endif
