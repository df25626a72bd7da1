/* SPDX-License-Identifier: Apache-2.0 */
#include "services/extension.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "call/call.h"
#include "call/engine.h"
#include "call/leg.h"
#include "services/codes.h"
#include "sip/edge.h"
#include "sip/registrar.h"
#include "snapshot/snapshot.h"

#define EXTENSION_MAX_TARGETS 32

enum { ORIGIN_INTERNAL, ORIGIN_EXTERNAL, ORIGIN_TRANSFER };

/* Both limits are looked at for an incoming call. */
bool extension_is_busy(const struct engine *engine, const struct snap_extension *extension)
{
	uint32_t calls = engine_usage(engine, extension);

	return (extension->busy_level && calls >= extension->busy_level) ||
	       (extension->max_concurrent_calls && calls >= extension->max_concurrent_calls);
}

struct phone {
	const struct snap_account *account;
	const struct reg_contact *contact;
};

/* Where the extension's phones are now. The account that calls does not ring itself. */
static size_t find_phones(const struct call *call, const struct snap_extension *extension,
			  struct phone *phones)
{
	const struct registrar *reg = edge_registrar(call->engine->o.edge);
	const struct reg_contact *contacts[REG_MAX_CONTACTS];
	size_t n = 0;

	for (uint16_t i = 0; i < extension->n_accounts; i++) {
		const struct snap_account *account = extension->accounts[i];
		size_t found;

		if (!account->enabled || (call->a && account == call->a->account))
			continue;

		found = reg_contacts(reg, account, contacts, REG_MAX_CONTACTS);
		for (size_t k = 0; k < found && n < EXTENSION_MAX_TARGETS; k++)
			phones[n++] = (struct phone){ account, contacts[k] };
	}

	return n;
}

/* Their addresses, copied: contacts change while the phones ring. */
static struct dial_target *copy_targets(const struct phone *phones, size_t n)
{
	struct dial_target *targets = mem_zalloc(n * sizeof(*targets), NULL);

	for (size_t i = 0; targets && i < n; i++) {
		const struct reg_contact *contact = phones[i].contact;
		struct dial_target *target = &targets[i];

		target->account = phones[i].account;
		target->dst = contact->dst;
		target->tp = contact->tp;
		str_ncpy(target->uri, contact->uri, sizeof(target->uri));
		if (contact->path)
			str_ncpy(target->path, contact->path, sizeof(target->path));
	}

	return targets;
}

int extension_targets(struct dial_target **ret, size_t *n, const struct call *call,
		      const struct snap_extension *extension)
{
	struct phone phones[EXTENSION_MAX_TARGETS];

	*n = find_phones(call, extension, phones);
	*ret = *n ? copy_targets(phones, *n) : NULL;
	return *n && !*ret ? -ENOMEM : 0;
}

/* A phone of another extension has sent its call to this number (TEL-46). */
static int ring_beside(struct dial_beside *ret, const struct call *call, const char *number)
{
	const struct snap_extension *extension =
		snap_extension_find(call->tenant, number, strlen(number));
	int err;

	/* A service would answer at once and take the call from those that ring. */
	if (!extension || !extension->enabled || codes_find(call->tenant, number) ||
	    extension_is_busy(call->engine, extension))
		return -ENOENT;

	err = extension_targets(&ret->targets, &ret->n, call, extension);
	ret->callee = extension;
	return !err && !ret->n ? -ENOENT : err;
}

int extension_run(struct call *call, const struct snap_extension *extension, struct result *result)
{
	struct phone phones[EXTENSION_MAX_TARGETS];
	struct dial_target *targets = NULL;
	size_t n;
	int err;

	if (extension_is_busy(call->engine, extension)) {
		*result = (struct result){ .outcome = OUTCOME_BUSY };
		return 0;
	}

	n = find_phones(call, extension, phones);
	if (!n && !extension->simulate_ringing) {
		*result = (struct result){ .outcome = OUTCOME_UNAVAILABLE };
		return 0;
	}

	targets = n ? copy_targets(phones, n) : NULL;
	if (n && !targets)
		return -ENOMEM;

	err = call_dial(call, targets, n,
			&(struct dial_opts){
				.ring_ms = extension->no_answer_s[ORIGIN_INTERNAL] * 1000u,
				.callee = extension,
				.beside_h = ring_beside,
				.simulate = !n },
			result);

	mem_deref(targets);
	return err;
}
