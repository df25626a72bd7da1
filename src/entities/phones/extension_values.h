/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_ENTITIES_PHONES_EXTENSION_VALUES_H
#define AOIDE_ENTITIES_PHONES_EXTENSION_VALUES_H

#include "schema/schema.h"

/* Shared by extensions and their templates. */
extern const struct sch_value extension_ldap_modes[];
extern const struct sch_value extension_lock_modes[];
extern const struct sch_value extension_lock_policies[];
extern const struct sch_group extension_overflow_groups[];

/* One cell of the overflow table (BASE-42, D-072); the transfer row may also return the call. */
extern const struct sch_field extension_overflow_cell[2], extension_overflow_transfer_cell[2];

/* Sections of the form that both share; a macro because arrays do not concatenate. */
#define EXTENSION_SHARED_GROUPS                                                                    \
	{ "phonebook", { "Rubrica e LDAP", "Phonebook and LDAP" } },                               \
		{ "service_classes", { "Classi di servizio", "Service classes" } },                \
		{ "limits", { "Limiti", "Limits" } },                                              \
		{ "lock", { "Lucchetto elettronico", "Electronic lock" } },                        \
		{ "clir", { "CLIR", "CLIR" } },                                                    \
		{ "pickup", { "Gruppi di prelievo", "Pickup groups" } },                           \
		{ "closed_groups", { "Gruppi Chiusi di Interni", "Closed groups" } },              \
		{ "overflow_internal",                                                             \
		  { "Trabocchi: chiamate dagli interni", "Overflow: internal calls" } },           \
		{ "overflow_external",                                                             \
		  { "Trabocchi: chiamate dall'esterno", "Overflow: external calls" } },            \
		{ "overflow_transfer",                                                             \
		  { "Trabocchi: chiamate trasferite", "Overflow: transferred calls" } }

#endif
