/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_APP_CTL_H
#define AOIDE_APP_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

/* Shared by the files of `aoide ctl`. */
struct bus;
struct config;

enum { /* exit codes, documented in --help */
	CTL_OK = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NOT_RUNNING = 3,
	CTL_NOT_FOUND = 4,
};

struct ctl {
	struct config *config;
	struct bus *bus;
	bool is_json;
	const char *pcap; /* --pcap FILE */
	bool reads_password; /* --password-stdin */
	struct {
		bool mono, opus, encrypt, whisper, barge, to_caller;
	} with; /* flags of record and spy */
	int argc;
	char **argv; /* of the command, without its name */
};

int ctl_print_json(const json_t *value);

/* A table of strings with columns as wide as they need to be; rows: array of arrays. */
void ctl_print_table(const char *const *titles, size_t n_columns, const json_t *rows);

/* Commands that go to the database (ctl_db.c). */
int ctl_apply(struct ctl *ctl);
int ctl_user(struct ctl *ctl);

/* Recordings and rooms (ctl_record.c). */
int ctl_record(struct ctl *ctl);
int ctl_spy(struct ctl *ctl);
int ctl_rooms(struct ctl *ctl);
int ctl_decrypt(struct ctl *ctl);

#endif
