/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_APP_PORTS_H
#define AOIDE_APP_PORTS_H

/*
 * Before any process is started: can every port that will be listened on be had? What cannot is
 * logged, all of it, each with its option. RTP ports are left to the media process, which passes over
 * those that are taken. Blocks for three seconds at most. 0, or the last port's error.
 */
struct config;
int ports_check(const struct config *config);

#endif
