/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SNAPSHOT_SNAPSHOT_H
#define AOIDE_SNAPSHOT_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The applied configuration as the call thread reads it: typed, immutable, indexed. A tenant's
 * snapshot is built off the call thread from the applied tables, template values resolved, and
 * swapped in as one pointer; calls keep the one they started with.
 */
struct db;
struct arena;

enum snap_codec { /* bit numbers of masks; order of preference is the array's */
		  SNAP_PCMA,
		  SNAP_PCMU,
		  SNAP_G722,
		  SNAP_G726,
		  SNAP_G729,
		  SNAP_GSM,
		  SNAP_OPUS,
		  SNAP_H261,
		  SNAP_H263,
		  SNAP_H263P,
		  SNAP_H264,
		  SNAP_VP8,
		  SNAP_CODECS
};

enum snap_transport { SNAP_UDP, SNAP_TCP, SNAP_TLS, SNAP_WS, SNAP_WSS, SNAP_TRANSPORTS };
enum snap_srtp { SNAP_SRTP_OFF, SNAP_SRTP_OPTIONAL, SNAP_SRTP_REQUIRED };
enum snap_invite_auth { SNAP_INVITE_DIGEST, SNAP_INVITE_REGISTERED_SOURCE };

enum snap_rpid { SNAP_RPID_OFF, SNAP_RPID_RPID, SNAP_RPID_PAI }; /* PLT-38 */
enum snap_t38_ec { SNAP_T38_NONE, SNAP_T38_FEC, SNAP_T38_REDUNDANCY };

enum snap_dtmf { SNAP_DTMF_RFC2833, SNAP_DTMF_INFO, SNAP_DTMF_INBAND }; /* PLT-37 */

struct snap_net { /* IPv4 as ::ffff:a.b.c.d */
	uint8_t addr[16];
	uint8_t prefix; /* of 128 */
};

struct snap_codecs {
	uint8_t n;
	uint8_t list[SNAP_CODECS]; /* enum snap_codec, preferred first */
};

struct snap_tenant;
struct snap_extension;

struct snap_account { /* BASE-43..51, resolved */
	int64_t id;
	const char *username; /* as stored: with the tenant's prefix */
	uint8_t ha1_md5[16];  /* binary; H(user:realm:password) */
	uint8_t ha1_sha256[32];
	bool enabled, registration_check, nat, direct_media;
	bool webrtc;	      /* transport type WebRTC: DTLS-SRTP (D-080) */
	uint8_t max_contacts; /* D-078 */
	uint8_t srtp;	      /* enum snap_srtp */
	uint8_t transports;   /* bit mask 1 << enum snap_transport */
	const struct snap_net *acl_source, *acl_contact;
	uint16_t n_acl_source, n_acl_contact;
	struct snap_codecs audio, video; /* system defaults filled in (D-081); audio is never empty,
					  * video is when video is off on the node */
	const char *outbound_proxy;	 /* SIP URI or NULL; the system's unless overridden */
	const struct snap_extension *extension; /* NULL: not linked */
	const struct snap_tenant *tenant;
};

struct snap_extension { /* BASE-33..42, resolved */
	int64_t id;
	const char *number, *display_name; /* "First Last"; number when both are empty */
	const char *mobile_number;
	bool enabled, simulate_ringing;
	uint16_t max_concurrent_calls, busy_level;
	uint16_t no_answer_s[3]; /* by origin: internal, external, transfer (D-071) */
	const struct snap_account *const *accounts; /* linked, enabled or not */
	uint16_t n_accounts;
	const char *language; /* its user's, a code of prompts (D-367); NULL: the tenant's */
	const struct snap_tenant *tenant;
};

/* ------------------------------------------------------------------ sound (PLT-30..33) */

struct snap_dirs { /* where sound lies; a NULL one: nothing from there can be played */
	const char *data_dir, *share_dir;
};

struct snap_audio { /* an audio file */
	int64_t id;
	const char *name;   /* "custom/welcome", "builtin/rec-start" */
	const char *path;   /* of its WAV; NULL: nothing has been uploaded, or not converted yet */
	const char *prompt; /* predefined and not replaced: the prompt that says it; else NULL */
	uint32_t version;   /* another number when the content was replaced, which keeps its path */
};

struct snap_moh { /* a music-on-hold class */
	int64_t id;
	const char *name;
	bool random;
	const char *const *files; /* paths of WAVs in the order of the class; never NULL when n_files */
	uint16_t n_files;	  /* 0: silence */
	uint32_t version;
};

struct snap_language {
	const char *code;   /* "it", "it_personal" */
	const char *folder; /* of the built-in recordings that it falls back to, below share/prompts */
	bool custom;
	const char *const *replaced; /* prompts with recordings of its own, sorted */
	uint32_t n_replaced;
};

struct snap_tenant {
	int64_t id, revision;
	const char *domain, *name, *uuid;
	struct arena *arena; /* everything hangs here */
	unsigned refs;	     /* call thread only; 1 when loaded, snap_swap() takes that one over */
	uint32_t n_accounts, n_extensions;
	const struct snap_account *accounts;	 /* by id */
	const struct snap_extension *extensions; /* by number */
	struct snap_index *by_number;

	uint32_t n_audio, n_moh;
	const struct snap_audio *audio;	    /* by id */
	const struct snap_moh *moh;	    /* by id */
	const struct snap_moh *default_moh; /* NULL: the tenant has no class at all */
	const struct snap_audio *spy_audio; /* NULL: the one who is listened to hears nothing */
	const char *language;		    /* code of its prompts (PLT-32) */
};

struct snap_sip {	   /* sip_settings of the node (PLT-36..44, D-082) */
	const char *realm; /* "aoide" */
	const char *user_agent;
	bool transport_enabled[SNAP_TRANSPORTS];
	const char *bind[SNAP_TRANSPORTS]; /* where it listens (base/iface.h); NULL or empty: --listen */
	uint16_t ws_port, wss_port;
	uint8_t preferred_transport; /* enum snap_transport; one that is on */
	bool pedantic;		     /* strict form of messages (PLT-36) */
	bool accept_rpid;	     /* who calls is what the phone asserts (PLT-38) */
	enum snap_invite_auth invite_auth;
	bool drop_unknown;
	uint32_t min_expires_s, max_expires_s; /* 60, 3600 */
	uint32_t session_expires_s, min_se_s;  /* 1800, 90; 0: off */
	uint32_t rtp_timeout_s;		       /* 60; 0: off */
	uint8_t tos_sip, tos_audio, tos_video; /* DSCP values: IP_TOS takes them << 2 */
	uint32_t options_interval_s;	       /* NAT keep-alive, 25 */
	struct snap_codecs audio, video;
	const struct snap_net *local_nets;
	uint16_t n_local_nets;
	bool video_enabled, srtp_support;
	bool t38_passthrough;
	uint8_t t38_error_correction;  /* enum snap_t38_ec: the strongest that is told */
	uint16_t t38_max_datagram;     /* told to both sides; 0: what the other one says */
	uint8_t dtmf_mode;	       /* enum snap_dtmf */
	uint8_t send_rpid_mode;	       /* enum snap_rpid */
	uint32_t video_max_kbps;       /* PLT-40 */
	uint16_t codecs_enabled;    /* bit mask 1 << enum snap_codec (PLT-44) */
	const char *outbound_proxy; /* SIP URI or NULL */
	const char *external_host;  /* address or name (PLT-43); NULL or empty: none */
	uint32_t external_refresh_s;
	uint16_t external_ports[SNAP_TLS + 1]; /* 0: the one we listen on */
	const char *stun_server;    /* likewise (PLT-42) */
	uint16_t stun_port;

	/* Sound of the node. */
	struct snap_dirs dirs;
	const struct snap_language *languages; /* by code */
	uint16_t n_languages;
	const char *const *prompts; /* names of all prompts, sorted */
	uint32_t n_prompts;
};

/* ------------------------------------------------------------------ building: loader thread */

/* Builds the snapshot of one tenant from the applied tables, which are seen in one state. sip is
 * not needed afterwards. A tenant whose operating mode is disabled has no enabled account and no
 * enabled extension (PLT-51); an account whose password cannot be opened is off. -ENOENT: no such
 * tenant. */
int snap_tenant_load(struct snap_tenant **ret, struct db *db, int64_t tenant_id,
		     const struct snap_sip *sip);
/* Settings of the node; freed with its arena. dirs may be NULL. */
int snap_sip_load(struct snap_sip **ret, struct arena *arena, struct db *db,
		  const struct snap_dirs *dirs);
void snap_tenant_free(struct snap_tenant *tenant);
/* Ids of all tenants; *ret is malloc'ed. */
int snap_tenant_ids(int64_t **ret, size_t *n, struct db *db);

/* ------------------------------------------------------------------ reading: call thread */

struct snap; /* what is in force now: settings and all tenants */

int snap_alloc(struct snap **ret);
void snap_free(struct snap *snap);

const struct snap_sip *snap_sip(const struct snap *snap);
/* Swaps one tenant in and owns it then (NULL tenant: removes tenant_id). The old one is freed when
 * its last call has let go of it. -ENOMEM: nothing has changed. */
int snap_swap(struct snap *snap, int64_t tenant_id, struct snap_tenant *tenant);
/* Takes over arena and settings; the old ones are freed. */
void snap_swap_sip(struct snap *snap, struct snap_sip *sip, struct arena *arena);

/* User name as text + length, exact case. NULL: none. */
const struct snap_account *snap_account_find(const struct snap *snap, const char *username,
					     size_t len);
const struct snap_account *snap_account_by_id(const struct snap *snap, int64_t tenant_id,
					      int64_t id);
const struct snap_extension *snap_extension_find(const struct snap_tenant *tenant,
						 const char *number, size_t len);
const struct snap_tenant *snap_tenant_find(const struct snap *snap, int64_t tenant_id);
/* All of them, one after the other; NULL after the last. */
const struct snap_tenant *snap_tenant_at(const struct snap *snap, size_t index);

/* A call holds its tenant's snapshot. Call thread only. */
const struct snap_tenant *snap_tenant_ref(const struct snap_tenant *tenant);
void snap_tenant_unref(const struct snap_tenant *tenant);

/* NULL: none. by_name: "custom/welcome", case counts. */
const struct snap_audio *snap_audio_find(const struct snap_tenant *tenant, int64_t id);
const struct snap_audio *snap_audio_by_name(const struct snap_tenant *tenant, const char *name);
/* Another id than one of a class: the tenant's default class. NULL: silence. */
const struct snap_moh *snap_moh_find(const struct snap_tenant *tenant, int64_t id);

/*
 * Where the recording of a prompt ("digits/1", see share/prompts/README.md) lies in a language: the
 * custom one's own, else its base's. An unknown language speaks the first built-in one. The paths are
 * of WAVs that libsndfile opens (ours are G.711 inside, uploaded ones 16-bit PCM).
 *
 * Returns 0, -ENOENT (no such prompt), -ENAMETOOLONG.
 */
int snap_prompt_path(char *buf, size_t size, const struct snap *snap, const char *language,
		     const char *prompt);
/* Of a volatile file by its token (32 hex digits, else -ENOENT). Whether it has expired is known when it
 * is opened: jobs remove it. */
int snap_volatile_path(char *buf, size_t size, const struct snap *snap,
		       const struct snap_tenant *tenant, const char *token);
/* The same of an audio file: its own path, or its prompt's in the language. -ENOENT: nothing to play. */
int snap_audio_path(char *buf, size_t size, const struct snap *snap, const struct snap_audio *audio,
		    const char *language);

/* True when the list is empty or one network holds the address (16 bytes, v4 mapped). */
bool snap_net_allows(const struct snap_net *list, size_t n, const uint8_t addr[16]);

/* Deterministic apply figures for the bench. */
struct snap_stats {
	uint32_t tenants, accounts, extensions;
	size_t bytes;
};
void snap_stats(const struct snap *snap, struct snap_stats *ret);

#endif
