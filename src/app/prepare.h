/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_APP_PREPARE_H
#define AOIDE_APP_PREPARE_H

#include <stddef.h>

/* What `aoide run` does before there is any other process. Errors are logged with their remedy. */
struct config;

/*
 * Makes the data folder and those below it (0700), and takes the lock that keeps a second `aoide run`
 * out. *ret_lock_fd is closed to give it back. -EBUSY: another one runs.
 */
int prepare_folders(struct config *config, int *ret_lock_fd);

/* Opens the database once and brings its tables up to date. */
int prepare_database(const struct config *config);

/* Makes the self-signed certificate unless a file is there, and warns when it runs out within 30
 * days; one of ours that ran out is made anew. */
int prepare_certificate(const struct config *config);

/*
 * The demo tenant: made on the first start with --demo; later starts change nothing. *ret_text is what
 * the facts file will hold, to be published by demo_publish() when everything serves; free() it.
 */
int demo_prepare(const struct config *config, char **ret_text);

/* Writes <data>/demo.json (0600) at once and prints the facts for a person. */
int demo_publish(const struct config *config, const char *text);

/* Removes the facts file, so that who waits for it does not read the one of the last run. */
void demo_withdraw(const struct config *config);

#endif
