/* SPDX-License-Identifier: Apache-2.0 */
#include "entities/entities.h"

/* What an entity refers to comes before it. */
const struct sch_entity *const sch_entities[] = {
	&entity_tenant,
	&entity_sip_settings,
	&entity_role,
	&entity_language,
	&entity_audio_file,
	&entity_moh_class,
	&entity_audio_settings,
	&entity_routing_class,
	&entity_pickup_group,
	&entity_closed_group,
	&entity_extension_template,
	&entity_extension,
	&entity_account_template,
	&entity_account,
	&entity_user,
};
const size_t sch_n_entities = sizeof(sch_entities) / sizeof(sch_entities[0]);
