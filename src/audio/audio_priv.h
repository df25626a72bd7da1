/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_AUDIO_PRIV_H
#define AOIDE_AUDIO_PRIV_H

#include <stdbool.h>

/* Shared inside src/audio. */

/* Starts `aoide <command>` with descriptors 0, 1 and 3. Returns its pid or an error. */
int audio_child_start(const char *command, int in_fd, int out_fd, int words_fd);
/* Waits for its end. True: it ended by itself and was content. */
bool audio_child_end(int pid, bool kill_it);

/* The jailed side of audio_unpack(): reads a ZIP, writes its files as a stream. Exit code. */
int audio_unpack_child(int zip_fd, int out_fd);

#endif
