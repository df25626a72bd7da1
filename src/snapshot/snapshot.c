/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot/snapshot.h"
#include "snapshot/snap_priv.h"
#include "base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Accounts of all tenants by user name: open addressing with linear probing, at most two thirds
 * full. Entries of one name may stand twice for the moment between the swaps of two tenants. */
struct names {
	const struct snap_account **slots;
	uint32_t mask, used;
};

struct snap {
	const struct snap_sip *sip;
	struct arena *sip_arena;
	struct snap_tenant **tenants; /* by id */
	size_t n_tenants;
	struct names names;
};

/* ------------------------------------------------------------------ indexes */

uint32_t snap_hash(const char *text, size_t len)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)text[i]) * 16777619u;

	return hash;
}

struct snap_index {
	uint32_t mask;
	struct {
		uint32_t hash, position; /* position + 1; 0: free */
	} slots[];
};

static uint32_t slots_for(size_t n)
{
	uint32_t slots = 8;

	while (slots * UINT64_C(2) < n * UINT64_C(3))
		slots *= 2;

	return slots;
}

struct snap_index *snap_index_alloc(struct arena *arena, size_t n)
{
	uint32_t slots = slots_for(n + 1);
	struct snap_index *index =
		arena_zalloc(arena, sizeof(*index) + slots * sizeof(index->slots[0]));

	if (index)
		index->mask = slots - 1;

	return index;
}

void snap_index_add(struct snap_index *index, uint32_t hash, uint32_t position)
{
	uint32_t i = hash & index->mask;

	while (index->slots[i].position)
		i = (i + 1) & index->mask;
	index->slots[i].hash = hash;
	index->slots[i].position = position + 1;
}

/* Walks the positions of a hash: start with *at = 0; false: no more. */
static bool index_next(const struct snap_index *index, uint32_t hash, uint32_t *at,
		     uint32_t *position)
{
	for (uint32_t i = (hash + *at) & index->mask; index->slots[i].position;
	     i = (i + 1) & index->mask) {
		(*at)++;
		if (index->slots[i].hash == hash) {
			*position = index->slots[i].position - 1;
			return true;
		}
	}

	return false;
}

static uint32_t home_of(const struct names *names, const struct snap_account *account)
{
	return snap_hash(account->username, strlen(account->username)) & names->mask;
}

static void names_put(struct names *names, const struct snap_account *account)
{
	uint32_t i = home_of(names, account);

	while (names->slots[i])
		i = (i + 1) & names->mask;
	names->slots[i] = account;
	names->used++;
}

static int names_reserve(struct names *names, size_t more)
{
	struct names bigger = { .mask = slots_for(names->used + more + 1) - 1 };

	if (names->slots && bigger.mask <= names->mask)
		return 0;

	bigger.slots = calloc(bigger.mask + 1u, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;

	for (uint32_t i = 0; names->slots && i <= names->mask; i++)
		if (names->slots[i])
			names_put(&bigger, names->slots[i]);
	free(names->slots);
	*names = bigger;

	return 0;
}

/* Those behind move up, so that no search stops short (Knuth, The Art of Computer Programming,
 * volume 3, algorithm 6.4 R). */
static void names_remove(struct names *names, const struct snap_account *account)
{
	uint32_t hole = home_of(names, account), i;

	while (names->slots[hole] != account) {
		if (!names->slots[hole])
			return;
		hole = (hole + 1) & names->mask;
	}

	for (i = (hole + 1) & names->mask; names->slots[i]; i = (i + 1) & names->mask) {
		uint32_t home = home_of(names, names->slots[i]);

		if (((i - home) & names->mask) < ((i - hole) & names->mask))
			continue;
		names->slots[hole] = names->slots[i];
		hole = i;
	}
	names->slots[hole] = NULL;
	names->used--;
}

/* ------------------------------------------------------------------ tenants */

void snap_tenant_free(struct snap_tenant *tenant)
{
	if (tenant)
		arena_free(tenant->arena); /* the tenant itself lies in it */
}

/* Counts are the one thing that changes in a snapshot; the call thread alone does it. */
const struct snap_tenant *snap_tenant_ref(const struct snap_tenant *tenant)
{
	if (tenant)
		((struct snap_tenant *)tenant)->refs++;

	return tenant;
}

void snap_tenant_unref(const struct snap_tenant *tenant)
{
	struct snap_tenant *t = (struct snap_tenant *)tenant;

	if (t && --t->refs == 0)
		snap_tenant_free(t);
}

/* Position of the tenant, or where it would stand. */
static size_t place_of(const struct snap *snap, int64_t tenant_id)
{
	size_t low = 0, high = snap->n_tenants;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (snap->tenants[middle]->id < tenant_id)
			low = middle + 1;
		else
			high = middle;
	}

	return low;
}

static bool is_there(const struct snap *snap, size_t place, int64_t tenant_id)
{
	return place < snap->n_tenants && snap->tenants[place]->id == tenant_id;
}

const struct snap_tenant *snap_tenant_at(const struct snap *snap, size_t index)
{
	return index < snap->n_tenants ? snap->tenants[index] : NULL;
}

const struct snap_tenant *snap_tenant_find(const struct snap *snap, int64_t tenant_id)
{
	size_t place = place_of(snap, tenant_id);

	return is_there(snap, place, tenant_id) ? snap->tenants[place] : NULL;
}

static void take_out(struct snap *snap, size_t place)
{
	struct snap_tenant *old = snap->tenants[place];

	for (uint32_t i = 0; i < old->n_accounts; i++)
		names_remove(&snap->names, &old->accounts[i]);
	snap->n_tenants--;
	memmove(snap->tenants + place, snap->tenants + place + 1,
		(snap->n_tenants - place) * sizeof(*snap->tenants));
	snap_tenant_unref(old);
}

int snap_swap(struct snap *snap, int64_t tenant_id, struct snap_tenant *tenant)
{
	size_t place = place_of(snap, tenant_id);
	struct snap_tenant **bigger;
	int err;

	/* What can fail comes first: then the old one stays in force. */
	if (tenant) {
		bigger = reallocarray(snap->tenants, snap->n_tenants + 1, sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		snap->tenants = bigger;
		err = names_reserve(&snap->names, tenant->n_accounts);
		if (err)
			return err;
	}

	if (is_there(snap, place, tenant_id))
		take_out(snap, place);
	if (!tenant)
		return 0;

	memmove(snap->tenants + place + 1, snap->tenants + place,
		(snap->n_tenants - place) * sizeof(*snap->tenants));
	snap->tenants[place] = tenant;
	snap->n_tenants++;
	for (uint32_t i = 0; i < tenant->n_accounts; i++)
		names_put(&snap->names, &tenant->accounts[i]);

	return 0;
}

/* ------------------------------------------------------------------ what is in force */

int snap_alloc(struct snap **ret)
{
	struct snap *snap = calloc(1, sizeof(*snap));
	int err;

	if (!snap)
		return -ENOMEM;

	err = names_reserve(&snap->names, 0);
	if (err) {
		free(snap);
		return err;
	}
	*ret = snap;

	return 0;
}

void snap_free(struct snap *snap)
{
	if (!snap)
		return;

	while (snap->n_tenants > 0)
		take_out(snap, snap->n_tenants - 1);
	arena_free(snap->sip_arena);
	free(snap->names.slots);
	free(snap->tenants);
	free(snap);
}

const struct snap_sip *snap_sip(const struct snap *snap)
{
	return snap->sip;
}

void snap_swap_sip(struct snap *snap, struct snap_sip *sip, struct arena *arena)
{
	arena_free(snap->sip_arena);
	snap->sip_arena = arena;
	snap->sip = sip;
}

const struct snap_account *snap_account_find(const struct snap *snap, const char *username,
					     size_t len)
{
	const struct names *names = &snap->names;

	for (uint32_t i = snap_hash(username, len) & names->mask; names->slots[i];
	     i = (i + 1) & names->mask) {
		const char *name = names->slots[i]->username;

		if (!strncmp(name, username, len) && !name[len])
			return names->slots[i];
	}

	return NULL;
}

const struct snap_account *snap_account_by_id(const struct snap *snap, int64_t tenant_id,
					      int64_t id)
{
	const struct snap_tenant *tenant = snap_tenant_find(snap, tenant_id);
	uint32_t low = 0, high = tenant ? tenant->n_accounts : 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (tenant->accounts[middle].id == id)
			return &tenant->accounts[middle];
		if (tenant->accounts[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}

	return NULL;
}

const struct snap_extension *snap_extension_find(const struct snap_tenant *tenant,
						 const char *number, size_t len)
{
	uint32_t hash = snap_hash(number, len), at = 0, position;

	while (index_next(tenant->by_number, hash, &at, &position)) {
		const struct snap_extension *ext = &tenant->extensions[position];

		if (!strncmp(ext->number, number, len) && !ext->number[len])
			return ext;
	}

	return NULL;
}

static bool net_holds(const struct snap_net *net, const uint8_t addr[16])
{
	size_t bytes = net->prefix / 8;
	unsigned bits = net->prefix % 8;

	if (memcmp(net->addr, addr, bytes))
		return false;

	return bits == 0 || (net->addr[bytes] ^ addr[bytes]) >> (8 - bits) == 0;
}

bool snap_net_allows(const struct snap_net *list, size_t n, const uint8_t addr[16])
{
	for (size_t i = 0; i < n; i++)
		if (net_holds(&list[i], addr))
			return true;

	return n == 0;
}

void snap_stats(const struct snap *snap, struct snap_stats *ret)
{
	*ret = (struct snap_stats){
		.tenants = (uint32_t)snap->n_tenants,
		.bytes = (snap->names.mask + 1u) * sizeof(*snap->names.slots) +
			 snap->n_tenants * sizeof(*snap->tenants),
	};

	for (size_t i = 0; i < snap->n_tenants; i++) {
		ret->accounts += snap->tenants[i]->n_accounts;
		ret->extensions += snap->tenants[i]->n_extensions;
		ret->bytes += arena_bytes(snap->tenants[i]->arena);
	}
}
