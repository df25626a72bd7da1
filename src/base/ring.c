/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RING_MAGIC   0x414f5247u /* "AORG" */
#define RING_VERSION 1
#define HEAD_BYTES   65536u /* before the bytes: a multiple of any page size */
#define SEALS	     (F_SEAL_SHRINK | F_SEAL_GROW)

/* Linux 6.3; where the administrator allows no memory that could be executed it is asked for. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* At the beginning of the memory. */
struct ring_head {
	uint32_t magic, version;
	uint64_t bytes;
	/* Bytes ever put in (high half) and taken out (low half), modulo 2^32, in one word: a kill cannot
	 * come between the two, and either side can start both again at zero. */
	alignas(64) _Atomic uint64_t positions;
};

struct ring {
	struct ring_head *head;
	uint8_t *data; /* mapped twice, one after the other: nothing has to be taken apart at the end */
	uint32_t bytes;
};

static uint64_t positions_of(uint32_t put, uint32_t taken)
{
	return (uint64_t)put << 32 | taken;
}

static uint32_t used_of(uint64_t positions)
{
	return (uint32_t)(positions >> 32) - (uint32_t)positions;
}

static bool is_size(size_t bytes)
{
	return bytes >= HEAD_BYTES && bytes <= (size_t)1 << 31 && !(bytes & (bytes - 1));
}

int ring_make_memory(const char *name, size_t bytes)
{
	int fd, err;

	if (!is_size(bytes))
		return -EINVAL;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;

	if (ftruncate(fd, (off_t)(HEAD_BYTES + bytes)) || fcntl(fd, F_ADD_SEALS, SEALS)) {
		err = -errno;
		(void)close(fd);
		return err;
	}

	return fd;
}

/* fd -1: memory of this process. */
static int map(struct ring *ring, int fd)
{
	const size_t all = HEAD_BYTES + 2 * (size_t)ring->bytes, first = HEAD_BYTES + (size_t)ring->bytes;
	const int protection = PROT_READ | PROT_WRITE;
	uint8_t *base, *second;

	base = mmap(NULL, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return -errno;
	ring->head = (struct ring_head *)(void *)base;
	ring->data = base + HEAD_BYTES;

	if (mmap(base, first, protection, MAP_SHARED | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0) ==
	    MAP_FAILED)
		return -errno;

	/* An old size of 0 maps shared memory a second time (man mremap). */
	second = fd < 0 ? mremap(ring->data, 0, ring->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, base + first) :
			  mmap(base + first, ring->bytes, protection, MAP_SHARED | MAP_FIXED, fd, HEAD_BYTES);

	return second == MAP_FAILED ? -errno : 0;
}

/* Fresh memory is all zeros. */
static bool is_fresh(const struct ring_head *head)
{
	return !head->magic && !head->version && !head->bytes && !atomic_load(&head->positions);
}

static bool is_whole(const struct ring_head *head, size_t bytes)
{
	return head->magic == RING_MAGIC && head->version == RING_VERSION && head->bytes == bytes &&
	       used_of(atomic_load(&head->positions)) <= bytes;
}

static int begin(struct ring **ret, bool *ret_damaged, int fd, size_t bytes)
{
	struct ring *ring;
	bool is_damaged;
	int err;

	if (!is_size(bytes))
		return -EINVAL;

	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	ring->bytes = (uint32_t)bytes;
	err = map(ring, fd);
	if (err) {
		ring_free(ring);
		return err;
	}

	is_damaged = !is_fresh(ring->head) && !is_whole(ring->head, bytes);
	if (is_damaged || is_fresh(ring->head)) {
		atomic_store(&ring->head->positions, 0);
		ring->head->version = RING_VERSION;
		ring->head->bytes = bytes;
		ring->head->magic = RING_MAGIC;
	}

	*ret_damaged = is_damaged;
	*ret = ring;
	return 0;
}

int ring_alloc(struct ring **ret, size_t bytes)
{
	bool is_damaged;

	return begin(ret, &is_damaged, -1, bytes);
}

int ring_attach(struct ring **ret, bool *ret_damaged, int fd, size_t bytes)
{
	struct stat st;
	int seals;

	/* Memory that another process could make shorter would be a trap. */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) ||
	    st.st_size != (off_t)(HEAD_BYTES + bytes))
		return -EINVAL;

	return begin(ret, ret_damaged, fd, bytes);
}

void ring_free(struct ring *ring)
{
	if (!ring)
		return;

	if (ring->head)
		(void)munmap(ring->head, HEAD_BYTES + 2 * (size_t)ring->bytes);
	free(ring);
}

int ring_put(struct ring *ring, const void *head, size_t head_len, const void *data, size_t data_len)
{
	uint64_t old = atomic_load(&ring->head->positions), new;
	uint32_t put;
	uint8_t *to;

	/* Again only if the consumer dropped something meanwhile. Sequentially consistent, so that a consumer
	 * that says it sleeps and then looks again misses nothing. */
	do {
		if (head_len > ring->bytes || data_len > ring->bytes ||
		    head_len + data_len > ring->bytes - used_of(old))
			return -ENOBUFS;

		put = (uint32_t)(old >> 32);
		to = ring->data + (put & (ring->bytes - 1));
		memcpy(to, head, head_len);
		if (data_len)
			memcpy(to + head_len, data, data_len);
		new = positions_of(put + (uint32_t)(head_len + data_len), (uint32_t)old);
	} while (!atomic_compare_exchange_strong(&ring->head->positions, &old, new));

	return 0;
}

const uint8_t *ring_peek(const struct ring *ring, size_t *ret_len)
{
	const uint64_t positions = atomic_load(&ring->head->positions);

	*ret_len = used_of(positions);

	return ring->data + ((uint32_t)positions & (ring->bytes - 1));
}

void ring_drop(struct ring *ring, size_t len)
{
	uint64_t old = atomic_load(&ring->head->positions), new;

	do {
		new = used_of(old) == len ? 0 : positions_of((uint32_t)(old >> 32), (uint32_t)old + (uint32_t)len);
	} while (!atomic_compare_exchange_strong(&ring->head->positions, &old, new));
}

size_t ring_used(const struct ring *ring)
{
	return used_of(atomic_load(&ring->head->positions));
}
