/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_WAV_H
#define AOIDE_MEDIA_WAV_H

#include <stddef.h>
#include <stdint.h>

/* The header of the WAV files that we write: RIFF, 16-bit PCM, the sound right behind it. Any thread. */
#define WAV_HEAD      44
#define WAV_MAX_BYTES 0xfffff000u /* of sound: lengths have 32 bits */

struct wav {
	uint32_t hz;
	uint16_t channels;
	uint32_t bytes; /* of sound; WAV_UNKNOWN while it is not known and cannot be corrected */
};
#define WAV_UNKNOWN 0xffffffffu

void wav_head(uint8_t head[WAV_HEAD], const struct wav *wav);

/* Reads what wav_head() made; -EBADMSG for anything else. */
int wav_parse(struct wav *ret, const uint8_t *head, size_t len);

/* Makes the lengths of the header agree with the file, as a crash or encryption may have left them
 * too small or open. -EBADMSG: not a WAV file of ours; -errno. */
int wav_repair(int fd);

#endif
