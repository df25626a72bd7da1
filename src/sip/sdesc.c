/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/sdesc_priv.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static const struct dir_name {
	const char *name;
	enum sdesc_dir dir;
} dir_names[] = {
	{ "sendrecv", SDESC_SENDRECV },
	{ "sendonly", SDESC_SENDONLY },
	{ "recvonly", SDESC_RECVONLY },
	{ "inactive", SDESC_INACTIVE },
};

bool sdesc_is_rtp(const char *proto)
{
	return strstr(proto, "RTP/") != NULL;
}

const char *sdesc_dir_name(enum sdesc_dir dir)
{
	for (size_t i = 0; i < ARRAY_SIZE(dir_names); i++) {
		if (dir_names[i].dir == dir)
			return dir_names[i].name;
	}
	return dir_names[0].name;
}

bool sdesc_dir_find(enum sdesc_dir *ret, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(dir_names); i++) {
		if (strcasecmp(name, dir_names[i].name))
			continue;
		*ret = dir_names[i].dir;
		return true;
	}
	return false;
}

static void block_destructor(void *arg)
{
	struct sdesc_block *block = arg;

	for (size_t i = 0; i < ARRAY_SIZE(block->lenders); i++)
		mem_deref(block->lenders[i]);
}

int sdesc_alloc(struct sdesc **ret, size_t n_media, const struct sdesc *a, const struct sdesc *b)
{
	const size_t bytes = sizeof(struct sdesc_block) + n_media * sizeof(struct sdesc_media) +
			     n_media * SDESC_MAX_FORMATS * sizeof(struct sdesc_format);
	struct sdesc_block *block;
	struct sdesc_format *formats;

	if (n_media > SDESC_MAX_MEDIA)
		return -EMSGSIZE;
	block = mem_alloc(bytes, block_destructor);
	if (!block)
		return -ENOMEM;

	/* Not the formats: most of them are never used, and each one is written as a whole. */
	memset(block, 0, sizeof(*block) + n_media * sizeof(struct sdesc_media));
	block->bytes = block->tail_at = bytes;
	block->lenders[0] = mem_ref((void *)(uintptr_t)a);
	block->lenders[1] = mem_ref((void *)(uintptr_t)b);
	block->desc.media = (struct sdesc_media *)(block + 1);
	block->desc.n_media = n_media;
	formats = (struct sdesc_format *)(block->desc.media + n_media);
	for (size_t i = 0; i < n_media; i++) {
		block->desc.media[i].formats = formats + i * SDESC_MAX_FORMATS;
		sa_init(&block->desc.media[i].rtp, AF_UNSPEC);
		sa_init(&block->desc.media[i].rtcp, AF_UNSPEC);
	}
	*ret = &block->desc;
	return 0;
}

/* From one block to a smaller one: what is behind the formats lies elsewhere in it. */
struct move {
	const struct sdesc_block *from;
	struct sdesc_block *to;
	size_t to_tail_at;
};

/* Where in the new block lies what ptr points to in the tail of the old one; texts of others stay. */
static void *moved(const void *ptr, const struct move *move)
{
	const uintptr_t at = (uintptr_t)ptr, base = (uintptr_t)move->from;

	if (at < base + move->from->tail_at || at >= base + move->from->bytes)
		return (void *)(uintptr_t)ptr;
	return (char *)move->to + (at - base - move->from->tail_at + move->to_tail_at);
}

static void move_attrs(struct sdesc_attr *attrs, size_t n, const struct move *move)
{
	for (size_t i = 0; i < n; i++) {
		attrs[i].name = moved(attrs[i].name, move);
		attrs[i].value = moved(attrs[i].value, move);
	}
}

int sdesc_copy(struct sdesc **ret, const struct sdesc *desc)
{
	struct move move = { .from = (const struct sdesc_block *)desc };
	const size_t tail = move.from->bytes - move.from->tail_at;
	size_t n_formats = 0, bytes;
	struct sdesc_block *block;
	struct sdesc_format *formats;

	for (size_t i = 0; i < desc->n_media; i++)
		n_formats += desc->media[i].n_formats;
	move.to_tail_at = sizeof(*block) + desc->n_media * sizeof(*desc->media) +
			  n_formats * sizeof(*formats);
	bytes = move.to_tail_at + tail;
	block = mem_alloc(bytes, block_destructor);
	if (!block)
		return -ENOMEM;
	move.to = block;

	*block = *move.from;
	block->bytes = bytes;
	block->tail_at = move.to_tail_at;
	for (size_t i = 0; i < ARRAY_SIZE(block->lenders); i++)
		mem_ref(block->lenders[i]);
	memcpy((char *)block + block->tail_at, (const char *)move.from + move.from->tail_at, tail);

	block->desc.attrs = moved(desc->attrs, &move);
	move_attrs(block->desc.attrs, desc->n_attrs, &move);
	block->desc.media = (struct sdesc_media *)(block + 1);
	formats = (struct sdesc_format *)(block->desc.media + desc->n_media);
	for (size_t i = 0; i < desc->n_media; i++) {
		struct sdesc_media *media = &block->desc.media[i];

		*media = desc->media[i];
		media->formats = formats;
		for (size_t k = 0; k < media->n_formats; k++) {
			*formats = desc->media[i].formats[k];
			formats->fmtp = moved(formats->fmtp, &move);
			formats++;
		}
		media->attrs = moved(media->attrs, &move);
		move_attrs(media->attrs, media->n_attrs, &move);
	}
	*ret = &block->desc;
	return 0;
}

bool sdesc_is_secure(const struct sdesc_media *media)
{
	return strstr(media->proto, "SAVP") != NULL;
}

static const char *const t38_ecs[] = { [SDESC_T38_NONE] = "t38UDPNoEC",
				       [SDESC_T38_REDUNDANCY] = "t38UDPRedundancy",
				       [SDESC_T38_FEC] = "t38UDPFEC" };

int sdesc_t38_ec_find(enum sdesc_t38_ec *ret, const char *text)
{
	for (size_t i = SDESC_T38_NONE; i < ARRAY_SIZE(t38_ecs); i++) {
		if (!strcasecmp(text, t38_ecs[i])) {
			*ret = (enum sdesc_t38_ec)i;
			return 0;
		}
	}

	return -ENOENT;
}

const char *sdesc_t38_ec_name(enum sdesc_t38_ec ec)
{
	return t38_ecs[ec];
}

enum sdesc_dir sdesc_dir_reverse(enum sdesc_dir dir)
{
	return (enum sdesc_dir)(((dir & 1) << 1) | ((dir >> 1) & 1));
}

struct sdesc_media *sdesc_audio(struct sdesc *desc)
{
	for (size_t i = 0; i < desc->n_media; i++) {
		if (desc->media[i].kind == SDESC_AUDIO && desc->media[i].port)
			return &desc->media[i];
	}
	return NULL;
}
