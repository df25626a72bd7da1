/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_APP_HARDEN_H
#define AOIDE_APP_HARDEN_H

/*
 * Gives up what a process will not need, as far as an ordinary user can. To be called before the first
 * thread starts, since threads that run already keep their rights.
 *
 * Every process: no program that it starts can gain rights (no_new_privs); files it makes are its
 * owner's only.
 *
 * media, which parses what comes from strangers: with Landlock (Linux 5.13) it can start no program and
 * read nothing of the data folder (database, machine key, TLS key) but <data>/run, which is all it may
 * write to; of the rest it reads the system's folders and that of the music.
 */
struct config;

void harden_process(const char *process, const struct config *config);

#endif
