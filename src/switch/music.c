/* SPDX-License-Identifier: Apache-2.0 */
#include "switch/music.h"

#include <stdbool.h>
#include <string.h>

#include "media/client.h"
#include "snapshot/snapshot.h"

static void tell(struct media *media, const struct snap_moh *class)
{
	media_moh_set(media, (uint32_t)class->id, class->files, class->n_files, class->random);
}

static const struct snap_moh *find(const struct snap_tenant *tenant, int64_t id)
{
	for (uint32_t i = 0; tenant && i < tenant->n_moh; i++)
		if (tenant->moh[i].id == id)
			return &tenant->moh[i];
	return NULL;
}

static bool same(const struct snap_moh *a, const struct snap_moh *b)
{
	if (a->n_files != b->n_files || a->random != b->random)
		return false;
	for (uint16_t i = 0; i < a->n_files; i++)
		if (strcmp(a->files[i], b->files[i]))
			return false;
	return true; /* what is in the files the media process finds out by itself */
}

void music_tell_change(struct media *media, const struct snap_tenant *before,
		       const struct snap_tenant *now)
{
	for (uint32_t i = 0; now && i < now->n_moh; i++) {
		const struct snap_moh *was = find(before, now->moh[i].id);

		if (!was || !same(was, &now->moh[i]))
			tell(media, &now->moh[i]);
	}
	for (uint32_t i = 0; before && i < before->n_moh; i++)
		if (!find(now, before->moh[i].id))
			media_moh_set(media, (uint32_t)before->moh[i].id, NULL, 0, false);
}

void music_tell_all(struct media *media, const struct snap *snap)
{
	const struct snap_tenant *tenant;

	for (size_t i = 0; (tenant = snap_tenant_at(snap, i)); i++)
		music_tell_change(media, NULL, tenant);
}
