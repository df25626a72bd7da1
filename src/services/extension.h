/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SERVICES_EXTENSION_H
#define AOIDE_SERVICES_EXTENSION_H

#include <stdbool.h>
#include <stddef.h>

struct call;
struct engine;
struct dial_target;
struct result;
struct snap_extension;

/*
 * Calls an extension: all registered accounts ring together until one answers or the no-answer time
 * of an internal call is over (BASE-28, BASE-39, BASE-42, D-069, D-071, D-074).
 *
 * Returns 0 with result filled, -EHANGUP when the caller gave up.
 */
int extension_run(struct call *call, const struct snap_extension *extension,
		  struct result *result);

/* BASE-39, D-369: the extension has all the calls it may have. */
bool extension_is_busy(const struct engine *engine, const struct snap_extension *extension);

/* Where the extension's phones are now; the account that calls does not ring itself. ret: n of them, to
 * be mem_deref()ed; NULL when there are none. Returns 0 or -ENOMEM. */
int extension_targets(struct dial_target **ret, size_t *n, const struct call *call,
		      const struct snap_extension *extension);

#endif
