/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SERVICES_ROUTE_H
#define AOIDE_SERVICES_ROUTE_H

struct call;

/* The routing loop (engine_route_h): from the dialled number to the end of the call. */
void route_run(struct call *call, void *arg);

#endif
