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

/*
 * The same for a program that is going to be executed, between fork and exec: it may read the system's
 * programs and libraries and the one file in_path, and write the one file out_path, and has no network
 * and no other process to look at. Makes system calls only.
 */
int jail_program(const char *in_path, const char *out_path, uint64_t file_max_bytes, unsigned cpu_s);

#endif
