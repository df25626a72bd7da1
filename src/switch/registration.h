/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SWITCH_REGISTRATION_H
#define AOIDE_SWITCH_REGISTRATION_H

#include <jansson.h>

/* Registrations as others see them (docs/messages.md). Call thread only. */
struct bus;
struct reg_contact;
struct snap;

/* The registration object. New reference; NULL when memory is out. */
json_t *registration_json(const struct snap *snap, const struct reg_contact *contact);

/* Tells the bus what happened ("registered", ...); costs nothing unless somebody listens. */
void registration_publish(struct bus *bus, const struct snap *snap,
			  const struct reg_contact *contact, const char *what);

#endif
