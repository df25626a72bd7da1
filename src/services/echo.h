/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SERVICES_ECHO_H
#define AOIDE_SERVICES_ECHO_H

struct call;
struct result;

/*
 * Echo test (TEL-53): a message in the caller's language, which # skips, then the caller hears itself
 * until it hangs up.
 *
 * Returns -EHANGUP, as that is how it ends, or 0 with result filled when it could not be given.
 */
int echo_run(struct call *call, struct result *result);

#endif
