/* SPDX-License-Identifier: Apache-2.0 */
/* Who is on a leg changes within a call: the partner's phone shows it (PLT-38, D-091). */
#include "call/call.h"

#include <string.h>

#include "base/log.h"
#include "call/engine.h"
#include "call/leg.h"
#include "sip/inv.h"
#include "snapshot/snapshot.h"

/* Who the partner takes the leg for. */
static struct dial_identity known_as(const struct call *call, const struct leg *leg)
{
	const struct snap_extension *extension = leg->account ? leg->account->extension : NULL;

	if (leg == call->a)
		return call_shown_caller(call);
	if (leg->said)
		return (struct dial_identity){ .number = leg->said->number, .name = leg->said->name };
	return (struct dial_identity){ .number = extension ? extension->number : "",
				       .name = extension ? extension->display_name : "" };
}

/* An account that asserts its own name means its extension, whose name stands where none is said. */
static void complete(struct inv_identity *said, const struct leg *leg)
{
	const struct snap_extension *extension = leg->account ? leg->account->extension : NULL;

	if (!extension)
		return;
	if (!strcmp(said->number, leg->account->username))
		str_ncpy(said->number, extension->number, sizeof(said->number));
	if (!said->name[0] && !strcmp(said->number, extension->number))
		str_ncpy(said->name, extension->display_name, sizeof(said->name));
}

/* Where the next one is compared with, and phones that are called from now on are told. */
static int remember(struct call *call, struct leg *leg, const struct inv_identity *said)
{
	if (leg == call->a) {
		str_ncpy(call->shown.number, said->number, sizeof(call->shown.number));
		str_ncpy(call->shown.name, said->name, sizeof(call->shown.name));
		return 0;
	}
	if (!leg->said)
		leg->said = mem_zalloc(sizeof(*leg->said), NULL);
	if (!leg->said)
		return -ENOMEM;
	*leg->said = *said;
	return 0;
}

struct line {
	const struct leg *leg;
	struct dial_identity identity;
	uint8_t mode;
	bool is_called;
};

static int print_line(struct re_printf *pf, void *arg)
{
	const struct line *line = arg;

	return dial_print_identity(pf, line->leg, &line->identity, line->mode, line->is_called);
}

void call_connected(struct call *call, struct leg *leg, const struct sip_msg *msg)
{
	const struct snap_sip *sip = snap_sip(call->engine->o.snap);
	struct leg *other = leg == call->a ? call->b : call->a;
	const struct dial_identity known = known_as(call, leg);
	struct inv_identity said;
	char hdrs[400];

	if ((leg != call->a && leg != call->b) || leg->state != LEG_UP || !sip->accept_rpid ||
	    inv_asserted(&said, msg))
		return;
	complete(&said, leg);
	if ((!strcmp(said.number, known.number) && !strcmp(said.name, known.name)) || remember(call, leg, &said))
		return;

	log_info("call.connected", "a party says that it is another one now", kv_text("linkedid", call->linkedid),
		 kv_text("account", leg->account ? leg->account->username : ""));
	if (!other || !other->inv || other->state != LEG_UP ||
	    re_snprintf(hdrs, sizeof(hdrs), "%H", print_line,
			&(struct line){ .leg = other,
					.identity = { .number = said.number, .name = said.name },
					.mode = sip->send_rpid_mode,
					.is_called = leg == call->b }) <= 0)
		return;
	(void)inv_tell(other->inv, hdrs); /* one that takes no UPDATE goes on showing what it has shown */
}
