/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_BASE_RING_H
#define AOIDE_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bytes from one thread to another, in the order in which they were put: one producer, one consumer,
 * no lock. What lies in the ring is one piece for the consumer, also over the end of the memory.
 *
 * The memory can outlive the process: made once by another one (ring_make_memory()), it holds after a
 * kill exactly what was put and not yet dropped, for the process that attaches to it next. What was
 * being copied when the kill came was never put.
 *
 * A ring that is emptied starts again at its beginning, so that one that is nearly empty most of the time
 * touches little memory.
 */
struct ring;

/*
 * Memory for a ring of so many bytes (a power of two of at least 64 KiB), as a file descriptor that is
 * closed on exec; nobody can change its size. Only what is used takes memory of the machine.
 */
int ring_make_memory(const char *name, size_t bytes);

/* A ring of this process alone. */
int ring_alloc(struct ring **ret, size_t bytes);

/*
 * The ring in memory of ring_make_memory(), which must have been made for as many bytes; the descriptor may
 * be closed then. Nobody else may use the ring. *ret_damaged: what stood there cannot be a ring, and this
 * one is empty. What a ring that is not damaged holds must be examined, too.
 *
 * Returns 0, -EINVAL (the descriptor is no such memory), -errno.
 */
int ring_attach(struct ring **ret, bool *ret_damaged, int fd, size_t bytes);

void ring_free(struct ring *ring);

/* Producer: puts both parts, one after the other, or nothing. Returns 0, -ENOBUFS. */
int ring_put(struct ring *ring, const void *head, size_t head_len, const void *data, size_t data_len);

/* Consumer: all that lies there; it stays until it is dropped. */
const uint8_t *ring_peek(const struct ring *ring, size_t *ret_len);
/* Consumer: the first len bytes (at most what ring_peek() told) make room. */
void ring_drop(struct ring *ring, size_t len);

/* Bytes that lie there. Any thread. */
size_t ring_used(const struct ring *ring);

#endif
