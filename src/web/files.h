/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_FILES_H
#define AOIDE_WEB_FILES_H

#include <stdbool.h>
#include <stddef.h>

struct rest;

/* Files of the GUI below config.www_dir. Returns 0, -ENOENT, -EMETHOD, or another error. */
int files_answer(struct rest *rest);

/*
 * Is the path (after the first slash) one that may be looked up below a folder: no empty, hidden or
 * dot-dot parts, no control characters, no backslash? Pure.
 */
bool files_path_is_safe(const char *path);

/* "text/javascript; charset=utf-8" by the name's ending. */
const char *files_ctype(const char *path);

/* Vite's assets carry a hash in their name, so what they hold never changes. */
bool files_is_immutable(const char *path);

#endif
