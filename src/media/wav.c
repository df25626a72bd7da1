/* SPDX-License-Identifier: Apache-2.0 */
#include "media/wav.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAMPLE_BYTES 2

static void put16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, (uint16_t)v);
	put16(at + 2, (uint16_t)(v >> 16));
}

static uint32_t get32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

void wav_head(uint8_t head[WAV_HEAD], const struct wav *wav)
{
	uint16_t block = (uint16_t)(wav->channels * SAMPLE_BYTES);

	memcpy(head, "RIFF", 4);
	put32(head + 4, wav->bytes == WAV_UNKNOWN ? WAV_UNKNOWN : wav->bytes + WAV_HEAD - 8);
	memcpy(head + 8, "WAVEfmt ", 8);
	put32(head + 16, 16);
	put16(head + 20, 1); /* PCM */
	put16(head + 22, wav->channels);
	put32(head + 24, wav->hz);
	put32(head + 28, wav->hz * block);
	put16(head + 32, block);
	put16(head + 34, 8 * SAMPLE_BYTES);
	memcpy(head + 36, "data", 4);
	put32(head + 40, wav->bytes);
}

int wav_parse(struct wav *ret, const uint8_t *head, size_t len)
{
	uint8_t again[WAV_HEAD];
	struct wav wav;

	if (len < WAV_HEAD)
		return -EBADMSG;
	wav = (struct wav){ .hz = get32(head + 24),
			    .channels = (uint16_t)get32(head + 22),
			    .bytes = get32(head + 40) };
	if (!wav.hz || wav.hz > 48000 || (wav.channels != 1 && wav.channels != 2))
		return -EBADMSG;

	/* Only ours: all but the lengths is as we would write it. */
	wav_head(again, &wav);
	memcpy(again + 4, head + 4, 4);
	if (memcmp(again, head, WAV_HEAD))
		return -EBADMSG;
	*ret = wav;
	return 0;
}

int wav_repair(int fd)
{
	uint8_t head[WAV_HEAD];
	struct stat st;
	struct wav wav;
	uint64_t bytes;
	ssize_t n;
	int err;

	if (fstat(fd, &st))
		return -errno;
	n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return -errno;
	err = wav_parse(&wav, head, (size_t)n);
	if (err)
		return err;

	bytes = (uint64_t)st.st_size - WAV_HEAD;
	if (bytes > WAV_MAX_BYTES)
		bytes = WAV_MAX_BYTES;
	bytes -= bytes % (SAMPLE_BYTES * wav.channels);
	wav.bytes = (uint32_t)bytes;
	wav_head(head, &wav);
	if (pwrite(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head))
		return errno ? -errno : -EIO;
	return 0;
}
