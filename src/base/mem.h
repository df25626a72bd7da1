/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_MEM_H
#define AOIDE_BASE_MEM_H

#include <stddef.h>

/*
 * Two kinds of memory (ARCHITECTURE.md, memory).
 *
 * Reference counted objects of one thread: libre's mem_zalloc/mem_ref/mem_deref and list_*, handed
 * on from here. The counts are plain integers: never mem_ref what another thread can see.
 */
#include "base/re.h"

#include "base/arena.h"

#endif
