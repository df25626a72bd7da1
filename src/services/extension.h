/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SERVICES_EXTENSION_H
#define AOIDE_SERVICES_EXTENSION_H

struct call;
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

#endif
