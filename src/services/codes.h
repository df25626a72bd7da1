/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SERVICES_CODES_H
#define AOIDE_SERVICES_CODES_H

#include <stddef.h>

/*
 * Services that are dialled by a code (TEL-28, TEL-29). They come first in the numbering plan (TEL-27).
 * Every tenant has the default codes; a service that is not in the table does not exist yet.
 */
struct call;
struct result;
struct snap_tenant;

struct code_service {
	const char *name; /* as in CDRs (PLT-60) */
	const char *code; /* by default */
	/* Returns 0 with result filled, -EHANGUP when the caller gave up. Always in the call's fiber. */
	int (*run_h)(struct call *call, struct result *result);
};

/* The service that a dialled number asks for; NULL: none. */
const struct code_service *codes_find(const struct snap_tenant *tenant, const char *number);

#endif
