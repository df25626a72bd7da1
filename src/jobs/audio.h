/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_JOBS_AUDIO_H
#define AOIDE_JOBS_AUDIO_H

/*
 * Converts what was uploaded (audio/store.h), in threads of its own so that nothing else waits. Begins
 * with whatever a crash left in state "converting". Serves
 *
 *	cmd.jobs.audio {"id"}             answers when this content is no longer in conversion
 *	cmd.jobs.unpack {"incoming","language","file_max_bytes"}   a ZIP of prompts: {"matched":[..],"unknown":[..]}
 *
 * takes over what was recorded from phones (services/studio.h) when sys.audio.recorded says so or by itself,
 * and after each conversion has the switch load the tenant again and publishes t.N.audio.converted.
 */
struct audio_jobs;
struct config;
struct bus;

/* config and bus are borrowed until audio_jobs_stop(). */
int audio_jobs_start(struct audio_jobs **ret, const struct config *config, struct bus *bus);
void audio_jobs_stop(struct audio_jobs *jobs); /* ends conversions that are under way: they begin again at the next start */

#endif
