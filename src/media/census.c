/* SPDX-License-Identifier: Apache-2.0 */
#include "media/census.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "media/stream.h"

static const char *const codec_names[MEDIA_CODECS] = {
	[MEDIA_CODEC_OTHER] = "other", [MEDIA_PCMA] = "PCMA", [MEDIA_PCMU] = "PCMU",
	[MEDIA_G722] = "G722",	       [MEDIA_GSM] = "GSM",   [MEDIA_OPUS] = "opus",
	[MEDIA_L16] = "L16",	       [MEDIA_G726_32] = "G726-32", [MEDIA_G729] = "G729",
};

static const struct {
	const char *name;
	unsigned n; /* limits; one bucket more takes the rest */
	double limits[CENSUS_BUCKETS - 1];
} shapes[CENSUS_SHAPES] = {
	[CENSUS_JITTER] = { "jitter_ms", 9, { 1, 2, 5, 10, 20, 30, 50, 100, 200 } },
	[CENSUS_RTT] = { "rtt_ms", 9, { 1, 5, 10, 20, 50, 100, 200, 500, 1000 } },
	[CENSUS_MOS] = { "mos", 8, { 2, 2.5, 3, 3.5, 3.8, 4, 4.2, 4.4 } },
};

/* ------------------------------------------------------------------ relay thread */

static void observe(struct census_sums *sums, enum census_shape shape, double value)
{
	struct census_shape_data *data = &sums->shapes[shape];
	unsigned i = 0;

	while (i < shapes[shape].n && value > shapes[shape].limits[i])
		i++;
	data->n[i]++;
	data->count++;
	data->sum += value;
}

static void add_counts(struct census_sums *sums, const struct media_stats *stats)
{
	sums->rx_packets += stats->rx_packets;
	sums->rx_lost += stats->rx_lost;
	sums->rx_dropped += stats->rx_dropped;
	sums->tx_packets += stats->tx_packets;
	sums->tx_lost += stats->tx_lost;
	sums->transcoded += stats->transcoded;
}

void census_end(struct census_sums *sums, const struct stream *stream)
{
	struct media_stats stats;

	stream_stats(stream, &stats);
	sums->ended++;
	add_counts(sums, &stats);
	if (stream->video || !stats.rx_packets)
		return;
	observe(sums, CENSUS_JITTER, stats.jitter_us / 1000.0);
	if (stats.rtt_us)
		observe(sums, CENSUS_RTT, stats.rtt_us / 1000.0);
	if (stats.mos_x100)
		observe(sums, CENSUS_MOS, stats.mos_x100 / 100.0);
}

static void print_addr(char *buf, size_t size, const union net_addr *addr)
{
	char text[INET6_ADDRSTRLEN];

	buf[0] = '\0';
	if (addr->sa.sa_family == AF_INET &&
	    inet_ntop(AF_INET, &addr->in.sin_addr, text, sizeof(text)))
		(void)snprintf(buf, size, "%s:%u", text, net_addr_port(addr));
	else if (addr->sa.sa_family == AF_INET6 &&
		 inet_ntop(AF_INET6, &addr->in6.sin6_addr, text, sizeof(text)))
		(void)snprintf(buf, size, "[%s]:%u", text, net_addr_port(addr));
}

void census_add(struct census *census, const struct stream *stream, unsigned thread)
{
	struct census_stream *one;

	if (census->n == census->size)
		return; /* opened since this was asked */
	one = &census->v[census->n++];
	*one = (struct census_stream){ .id = stream->id,
				       .peer = stream->peer ? stream->peer->id : 0,
				       .port = stream->slot ? stream->wire->slot->port : 0,
				       .room = !stream->slot,
				       .thread = (uint8_t)thread,
				       .video = stream->video,
				       .music = stream->music,
				       .secure = stream->secure != NULL };
	print_addr(one->remote, sizeof(one->remote), &stream->wire->dst);
	stream_stats(stream, &one->stats);
}

void census_sum(struct census *census, const struct census_sums *sums)
{
	struct census_sums *to = &census->sums;

	to->ended += sums->ended;
	to->rx_packets += sums->rx_packets;
	to->rx_lost += sums->rx_lost;
	to->rx_dropped += sums->rx_dropped;
	to->tx_packets += sums->tx_packets;
	to->tx_lost += sums->tx_lost;
	to->transcoded += sums->transcoded;
	for (int s = 0; s < CENSUS_SHAPES; s++) {
		for (int i = 0; i < CENSUS_BUCKETS; i++)
			to->shapes[s].n[i] += sums->shapes[s].n[i];
		to->shapes[s].count += sums->shapes[s].count;
		to->shapes[s].sum += sums->shapes[s].sum;
	}
}

/* ------------------------------------------------------------------ telling */

/* Ids have 64 bits, which JSON readers do not: text. */
static json_t *id_text(uint64_t id)
{
	return json_sprintf("%016" PRIx64, id);
}

static json_t *stream_json(const struct census_stream *one)
{
	const struct media_stats *s = &one->stats;
	json_t *json = json_pack(
		"{s:o, s:s, s:i, s:i, s:s, s:b, s:b, s:s, s:b}", "id", id_text(one->id), "kind",
		one->room ? "room" : one->video ? "video" : "audio", "port", one->port, "thread", one->thread, "remote",
		one->remote, "music", one->music, "encrypted", one->secure, "codec",
		codec_names[s->codec], "transcoded", s->transcoded);
	json_t *numbers = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I}", "rx_packets",
		(json_int_t)s->rx_packets, "rx_lost", (json_int_t)s->rx_lost, "rx_dropped",
		(json_int_t)s->rx_dropped, "tx_packets", (json_int_t)s->tx_packets, "tx_lost",
		(json_int_t)s->tx_lost, "jitter_ms", s->jitter_us / 1000.0, "jitter_max_ms",
		s->jitter_max_us / 1000.0, "tx_jitter_ms", s->tx_jitter_us / 1000.0, "rtt_ms",
		s->rtt_us / 1000.0, "rtt_max_ms", s->rtt_max_us / 1000.0, "mos", s->mos_x100 / 100.0,
		"mos_min", s->mos_min_x100 / 100.0, "buffer_ms", (json_int_t)s->delay_ms,
		"concealed_ms", (json_int_t)s->concealed_ms);

	(void)json_object_set_new(json, "peer", one->peer ? id_text(one->peer) : json_null());
	(void)json_object_update(json, numbers);
	json_decref(numbers);
	return json;
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct census_stream *)a)->id, y = ((const struct census_stream *)b)->id;

	return (x > y) - (x < y);
}

static bool is_wanted(const json_t *ids, uint64_t id)
{
	const json_t *item;
	char text[20];
	size_t i;

	if (!ids)
		return true;
	(void)snprintf(text, sizeof(text), "%016" PRIx64, id);
	json_array_foreach(ids, i, item)
		if (json_is_string(item) && !strcmp(json_string_value(item), text))
			return true;
	return false;
}

json_t *census_page(struct census *census, const json_t *ids, size_t offset)
{
	json_t *items = json_array();
	size_t total = 0;

	if (census->n)
		qsort(census->v, census->n, sizeof(census->v[0]), by_id);
	for (size_t i = 0; i < census->n; i++) {
		if (!is_wanted(ids, census->v[i].id))
			continue;
		if (total++ >= offset && json_array_size(items) < CENSUS_PAGE)
			(void)json_array_append_new(items, stream_json(&census->v[i]));
	}
	return json_pack("{s:o, s:I}", "items", items, "total", (json_int_t)total);
}

static json_t *shape_json(enum census_shape shape, const struct census_shape_data *data)
{
	json_t *buckets = json_array();

	for (unsigned i = 0; i <= shapes[shape].n; i++)
		(void)json_array_append_new(
			buckets, json_pack("[o, I]",
					   i < shapes[shape].n ? json_real(shapes[shape].limits[i]) :
								 json_null(),
					   (json_int_t)data->n[i]));
	return json_pack("{s:o, s:I, s:f}", "buckets", buckets, "count", (json_int_t)data->count, "sum",
			 data->sum);
}

json_t *census_totals(const struct census *census)
{
	uint64_t codecs[MEDIA_CODECS] = { 0 }, video = 0, transcoded = 0, music = 0, secure = 0, rooms = 0;
	struct census_sums sums = census->sums;
	json_t *json, *by_codec = json_object(), *all = json_object();

	for (size_t i = 0; i < census->n; i++) {
		const struct census_stream *one = &census->v[i];

		add_counts(&sums, &one->stats);
		transcoded += one->stats.transcoded;
		music += one->music;
		secure += one->secure;
		if (one->room)
			rooms++;
		else if (one->video)
			video++;
		else
			codecs[one->stats.codec]++;
	}
	for (int i = 0; i < MEDIA_CODECS; i++)
		(void)json_object_set_new(by_codec, codec_names[i], json_integer((json_int_t)codecs[i]));
	for (int i = 0; i < CENSUS_SHAPES; i++)
		(void)json_object_set_new(all, shapes[i].name,
					  shape_json((enum census_shape)i, &sums.shapes[i]));

	json = json_pack("{s:o, s:o, s:I, s:I, s:I, s:I}", "codecs", by_codec, "shapes", all, "video",
			 (json_int_t)video, "transcoding", (json_int_t)transcoded, "music",
			 (json_int_t)music, "encrypted", (json_int_t)secure);
	(void)json_object_set_new(json, "rooms", json_integer((json_int_t)rooms));
	(void)json_object_set_new(json, "ended", json_integer((json_int_t)sums.ended));
	(void)json_object_set_new(json, "rx_packets", json_integer((json_int_t)sums.rx_packets));
	(void)json_object_set_new(json, "rx_lost", json_integer((json_int_t)sums.rx_lost));
	(void)json_object_set_new(json, "rx_dropped", json_integer((json_int_t)sums.rx_dropped));
	(void)json_object_set_new(json, "tx_packets", json_integer((json_int_t)sums.tx_packets));
	(void)json_object_set_new(json, "tx_lost", json_integer((json_int_t)sums.tx_lost));
	(void)json_object_set_new(json, "transcoded", json_integer((json_int_t)sums.transcoded));
	return json;
}

void census_free(struct census *census)
{
	free(census->v);
	*census = (struct census){ 0 };
}
