/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_JOBS_JOBS_H
#define AOIDE_JOBS_JOBS_H

struct config;

/*
 * The process `aoide jobs`: periodic work that may block (retention, maintenance of the database,
 * removal of what crashed processes left). Returns when SIGTERM has ended it: 0, or the error that kept
 * it from starting.
 */
int jobs_main(const struct config *config);

#endif
