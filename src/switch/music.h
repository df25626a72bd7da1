/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SWITCH_MUSIC_H
#define AOIDE_SWITCH_MUSIC_H

struct media;
struct snap;
struct snap_tenant;

/*
 * Tells the media process which files the classes of music have (PLT-31): all of them when it has come
 * up, those of a tenant when its configuration is replaced. Call thread only.
 */
void music_tell_all(struct media *media, const struct snap *snap);
/* before NULL: a new tenant; now NULL: it is gone. */
void music_tell_change(struct media *media, const struct snap_tenant *before,
		       const struct snap_tenant *now);

#endif
