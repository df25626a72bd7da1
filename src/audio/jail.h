/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_AUDIO_JAIL_H
#define AOIDE_AUDIO_JAIL_H

#include <stdint.h>

/*
 * Locks this process in for good, before it decodes what a stranger sent: it keeps the descriptors it
 * has and may read, write and seek them, have memory and end. It opens no file, makes no socket and
 * no process. Limits: memory, CPU time, bytes per written file.
 *
 * Returns 0 or an error: then nothing may be decoded. A kernel without Landlock is no error: the system
 * call filter forbids the same.
 */
int jail_enter(uint64_t file_max_bytes, unsigned cpu_s);

#endif
