/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_MASK_H
#define AOIDE_WEB_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>
#include "web/rest.h"

/*
 * Privacy of external numbers (D-046, D-047): callers without privacy rights see them without their
 * last three digits. The one place that knows; every register, live list and export goes through it.
 */

/* "0612345678" becomes "0612345xxx"; three digits or fewer become "xxx". In place; size > 3. */
void mask_digits(char *number, size_t size);

/* May the caller see this call's numbers complete? own: he is on it. */
bool mask_needed(const struct principal *who, bool own);

/* Neither an extension nor a service of the tenant: types of PLT-61. */
bool mask_is_external(const char *type);

/* Masks the numbers of a live call object of the switch, in place. */
void mask_call(const struct rest *rest, json_t *call);

#endif
