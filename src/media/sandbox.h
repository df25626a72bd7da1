/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_SANDBOX_H
#define AOIDE_MEDIA_SANDBOX_H

/*
 * Takes from the calling thread, and from all threads it makes later, the right to exec() with more
 * privileges and to write, make or remove any file, but for sockets in run_dir and files and folders in
 * recordings_dir (Landlock).
 *
 * Returns 0, or -errno where the kernel does not know how (then the process goes on without).
 */
int sandbox_enter(const char *run_dir, const char *recordings_dir);

#endif
