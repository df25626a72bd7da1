/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_APP_APP_H
#define AOIDE_APP_APP_H

/* What only main() calls: the supervisor and the command line client. */
struct config;

/*
 * `aoide run`: prepares the data folder and the database, runs the bus, starts media, switch, web and
 * jobs, restarts what crashes, ends everything on SIGTERM or SIGINT. Returns then: 0, or the error that
 * kept it from starting.
 */
int supervisor_main(const struct config *config);

/* `aoide ctl`: argv without "aoide ctl". Returns the exit code. */
int ctl_main(int argc, char *argv[]);

#endif
