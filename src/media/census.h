/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_MEDIA_CENSUS_H
#define AOIDE_MEDIA_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "media/client.h"

/*
 * What can be counted of all streams: each of them as it is now, and sums and distributions that only
 * grow. Each relay thread fills in its own when asked (RCMD_CENSUS); between two questions it costs one
 * addition per stream that ends.
 */
struct stream;

#define CENSUS_BUCKETS 12

enum census_shape { CENSUS_JITTER, CENSUS_RTT, CENSUS_MOS, CENSUS_SHAPES };

/* Ended streams of sound, by the largest value that still belongs to a bucket. */
struct census_shape_data {
	uint64_t n[CENSUS_BUCKETS]; /* not cumulative; the last one has no limit */
	uint64_t count;
	double sum;
};

struct census_sums { /* of ended streams; those of living ones are added when it is read */
	uint64_t ended, rx_packets, rx_lost, rx_dropped, tx_packets, tx_lost, transcoded;
	struct census_shape_data shapes[CENSUS_SHAPES];
};

struct census_stream {
	uint64_t id, peer; /* 0: not bridged */
	uint16_t port;
	uint8_t thread;
	bool video, music, secure, room; /* room: a mixer, which has no port */
	char remote[56];
	struct media_stats stats;
};

struct census {
	struct census_stream *v;
	size_t n, size;
	struct census_sums sums;
};

/* Relay thread: a stream ends; a stream lives. */
void census_end(struct census_sums *sums, const struct stream *stream);
void census_add(struct census *census, const struct stream *stream, unsigned thread);
void census_sum(struct census *census, const struct census_sums *sums);

/* {"items":[...],"total":n}: by id, from offset on; ids: JSON array of the texts of the wanted ones, or
 * NULL. CENSUS_PAGE at most. */
#define CENSUS_PAGE 500
json_t *census_page(struct census *census, const json_t *ids, size_t offset);
/* Sums and shapes, living streams included, for /metrics. */
json_t *census_totals(const struct census *census);
void census_free(struct census *census);

#endif
