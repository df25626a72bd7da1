/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_CONFIG_H
#define AOIDE_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Start-up configuration of the node: what is needed before the database can be read. Read from
 * `--config FILE` (key = value lines, # comments), overridden by the command line of `aoide run`,
 * written to <data>/run/aoide.conf (0600), from which the child processes and `aoide ctl` read it. All
 * strings are owned by the struct.
 */
struct config {
	char *data_dir;         /* --data DIR; default ./data for a user, /var/lib/aoide for root service */
	char *database;         /* "sqlite" (default: <data>/aoide.db) or a libpq URI "postgresql://..." */
	char *listen;           /* --listen ADDRESS; default 0.0.0.0 */
	char *advertise;        /* address put into SDP and Contact when listen is a wildcard; default: found */
	uint16_t sip_port;      /* --sip-port N: UDP and TCP; TLS is N + 1; default 5060 */
	uint16_t ws_port;       /* SIP over WS; 0: as the SIP settings say */
	uint16_t wss_port;      /* SIP over WSS; 0 off; CONFIG_WSS_PORT: as the SIP settings say */
	uint16_t http_port;     /* redirect only; default 8080 for users, 80 for root */
	uint16_t https_port;    /* --https-port N; default 8443 for users, 443 for root */
	uint16_t rtp_first;     /* --rtp-ports A-B; default 10000-20000 */
	uint16_t rtp_last;
	unsigned media_threads; /* default: cores, 4 at most */
	unsigned web_workers;   /* default 4 */
	unsigned web_rate;      /* requests per second and user (D-245); 0 no limit; default 50 */
	char *www_dir;          /* GUI files; default: beside the binary or the installed place */
	char *moh_file;         /* music on hold WAV; default: the shipped one */
	char *share_dir;        /* what we ship to play: prompts/ and moh/; default: as www_dir */
	char *log_level;        /* "info" or "info,sip=debug" */
	bool demo;              /* --demo */
};

int config_alloc(struct config **ret); /* defaults */
void config_free(struct config *config);

/* Reads FILE over the defaults. err_text names line and remedy. */
int config_read(struct config *config, const char *path, char *err_text, size_t err_size);
int config_read_stream(struct config *config, FILE *file, const char *path, char *err_text,
		       size_t err_size);

/*
 * Fills in what was not given: advertise, www_dir, moh_file, share_dir (the last three stay NULL when
 * nothing is found), and makes data_dir absolute if it exists. main() calls it before the processes' own main
 * functions, so these see a complete configuration.
 */
int config_finish(struct config *config);

/* Writes everything to path (0600), replacing it at once. */
int config_write(const struct config *config, const char *path);

bool config_is_flag(const char *key); /* takes no value on the command line */
void config_help(FILE *out);          /* one line per key */

/* One "--key value" of the command line, dashes stripped. -EINVAL: unknown key or bad value. */
int config_set(struct config *config, const char *key, const char *value, char *err_text,
	       size_t err_size);

/* Paths below data_dir that several processes must agree on. buf is filled and returned. */
const char *config_path(char *buf, size_t size, const struct config *config, const char *name);
/* What db_open() takes: the SQLite file's path, or the libpq URI. buf is filled and returned. */
const char *config_db_url(char *buf, size_t size, const struct config *config);

#define CONFIG_WSS_PORT     8089
#define CONFIG_RUN_FILE     "run/aoide.conf"
#define CONFIG_BUS_SOCKET   "run/bus.sock"
#define CONFIG_MEDIA_SOCKET "run/media.sock"
#define CONFIG_WS_SIP       "run/ws-sip" /* port and secret: where /ws-sip goes on to the switch */
#define CONFIG_DB_FILE      "aoide.db"
#define CONFIG_TLS_CERT     "tls/server.pem" /* certificate and key */
#define CONFIG_JOURNAL_DIR  "journal"
#define CONFIG_RECORDINGS_DIR "recordings" /* written by the media process only, but for .txt */
#define CONFIG_PHONE_DIR    "phone" /* below the recordings: audio files recorded from phones */
#define CONFIG_AUDIO_DIR    "audio" /* converted sound: audio/store.h */

#endif
