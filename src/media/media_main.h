/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_MEDIA_MAIN_H
#define AOIDE_MEDIA_MEDIA_MAIN_H

struct config;

/*
 * The process `aoide media`: serves the control socket <data>/run/media.sock and relays until SIGTERM
 * or SIGINT. Logging has been started by the caller.
 *
 * Returns the exit status of the process.
 */
int media_main(const struct config *config);

#endif
