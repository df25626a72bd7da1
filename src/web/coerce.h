/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_WEB_COERCE_H
#define AOIDE_WEB_COERCE_H

#include <jansson.h>
#include "schema/schema.h"

/*
 * XML and forms know texts only. Turns the texts of a body into what the entity's fields are:
 * numbers, booleans, lists of one. What does not fit stays text, for the validation to name it.
 */
void web_coerce(json_t *body, const struct sch_entity *entity);

#endif
