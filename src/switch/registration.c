/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/registration.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bus/bus.h"
#include "sip/registrar.h"
#include "snapshot/snapshot.h"

json_t *registration_json(const struct snap *snap, const struct reg_contact *contact)
{
	const struct snap_account *account =
		snap_account_by_id(snap, contact->tenant_id, contact->account_id);
	const struct snap_extension *extension = account ? account->extension : NULL;
	char at[32], until[32], source[64];

	(void)re_snprintf(source, sizeof(source), "%J", &contact->src);

	return json_pack("{s:I, s:I, s:s, s:s?, s:s?, s:s, s:s, s:s, s:s?, s:s, s:s, s:f}",
			 "account_id", (json_int_t)contact->account_id, "tenant_id",
			 (json_int_t)contact->tenant_id, "username", contact->username, "extension",
			 extension ? extension->number : NULL, "extension_name",
			 extension ? extension->display_name : NULL, "contact", contact->uri,
			 "source", source, "transport",
			 sip_transp_name((enum sip_transp)contact->tp), "user_agent",
			 contact->user_agent, "registered_at",
			 clk_iso(at, sizeof(at), contact->registered_at_us), "expires_at",
			 clk_iso(until, sizeof(until), contact->expires_at_us), "rtt_ms",
			 contact->rtt_us / 1000.0);
}

void registration_publish(struct bus *bus, const struct snap *snap,
			  const struct reg_contact *contact, const char *what)
{
	char subject[96];

	if (!bus)
		return;

	(void)snprintf(subject, sizeof(subject), "t.%lld.registration.%s",
		       (long long)contact->tenant_id, what);
	if (bus_wanted(bus, subject))
		(void)bus_publish(bus, subject, registration_json(snap, contact));
}
