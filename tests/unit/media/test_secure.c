/* SPDX-License-Identifier: Apache-2.0 */
#include "mediafix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Phones that speak SRTP, at a media process that relays to phones that do or do not. */

static const struct suite {
	enum media_suite media;
	enum srtp_suite re;
	size_t tag; /* bytes that protection adds to RTP */
} suites[] = {
	{ MEDIA_AES_CM_128_HMAC_SHA1_80, SRTP_AES_CM_128_HMAC_SHA1_80, 10 },
	{ MEDIA_AES_CM_128_HMAC_SHA1_32, SRTP_AES_CM_128_HMAC_SHA1_32, 4 },
	{ MEDIA_AES_256_CM_HMAC_SHA1_80, SRTP_AES_256_CM_HMAC_SHA1_80, 10 },
	{ MEDIA_AES_256_CM_HMAC_SHA1_32, SRTP_AES_256_CM_HMAC_SHA1_32, 4 },
	{ MEDIA_AEAD_AES_128_GCM, SRTP_AES_128_GCM, 16 },
	{ MEDIA_AEAD_AES_256_GCM, SRTP_AES_256_GCM, 16 },
};

struct side {
	struct leg leg;
	struct phone phone;
	const struct suite *suite;       /* NULL: plain */
	uint8_t key_phone[46], key_pbx[46]; /* what each sends with */
	struct srtp *tx, *rx;            /* the phone's */
};

static void side_keys(struct side *side)
{
	media_set_secure(side->leg.stream, &(struct media_secure){ .mode = MEDIA_SDES,
								   .suite_tx = side->suite->media,
								   .suite_rx = side->suite->media,
								   .key_tx = side->key_pbx,
								   .key_rx = side->key_phone });
}

static void side_start(struct side *side, uint8_t seed)
{
	size_t len = media_suite_key_len(side->suite->media);

	memset(side->key_phone, seed, len);
	memset(side->key_pbx, seed ^ 0x55, len);
	assert_int_equal(srtp_alloc(&side->tx, side->suite->re, side->key_phone, len, 0), 0);
	assert_int_equal(srtp_alloc(&side->rx, side->suite->re, side->key_pbx, len, 0), 0);
	side_keys(side);
}

static void side_open(struct fix *fix, struct side *side, const struct suite *suite, uint8_t seed,
		      const struct side *near,
		      bool video)
{
	side->suite = suite;
	phone_open(&side->phone, "127.0.0.1");
	leg_open(fix, &side->leg,
		 &(struct media_open_opts){ .video = video, .near = near ? near->leg.stream : NULL });
	if (suite)
		side_start(side, seed);
	leg_remote(&side->leg, &side->phone, NULL);
}

static void side_close(struct side *side)
{
	leg_close(&side->leg);
	phone_close(&side->phone);
	mem_deref(side->tx);
	mem_deref(side->rx);
}

struct pair {
	struct side a, b;
};

static void pair_open_as(struct fix *fix, struct pair *pair, const struct suite *a,
			 const struct suite *b, bool video)
{
	*pair = (struct pair){ 0 };
	side_open(fix, &pair->a, a, 0x11, NULL, video);
	side_open(fix, &pair->b, b, 0x22, &pair->a, video);
	media_bridge(pair->a.leg.stream, pair->b.leg.stream);
	fix_sync(&pair->b.leg);
}

static void pair_open(struct fix *fix, struct pair *pair, const struct suite *a,
		      const struct suite *b)
{
	pair_open_as(fix, pair, a, b, false);
}

static void pair_close(struct pair *pair)
{
	side_close(&pair->a);
	side_close(&pair->b);
	fix_run(20);
}

static size_t make_rtp(struct side *side, uint8_t *data, size_t size, uint8_t mark)
{
	struct mbuf mb = { .buf = data, .size = size, .end = HDR_RTP_BYTES + 160 };

	hdr_rtp_write(data, &(struct hdr_rtp){ .pt = 8,
					       .seq = side->phone.seq++,
					       .ts = side->phone.ts,
					       .ssrc = side->phone.ssrc });
	side->phone.ts += 160;
	memset(data + HDR_RTP_BYTES, mark, 160);
	if (side->tx)
		assert_int_equal(srtp_encrypt(side->tx, &mb), 0);
	return mb.end;
}

static void say(struct side *side, uint8_t mark)
{
	uint8_t data[256];
	size_t len = make_rtp(side, data, sizeof(data), mark);

	phone_send_raw(side->phone.rtp, side->leg.port, data, len);
}

/* The payload's mark, or -1: nothing came; -2: it came, but not in the agreed way. */
static int hear(struct side *side, unsigned ms)
{
	uint8_t data[256];
	size_t len = phone_recv(side->phone.rtp, data, sizeof(data), ms);
	struct mbuf mb = { .buf = data, .size = sizeof(data), .end = len };

	if (!len)
		return -1;
	if (!side->rx)
		return len == HDR_RTP_BYTES + 160 ? data[HDR_RTP_BYTES] : -2;
	if (len != HDR_RTP_BYTES + 160 + side->suite->tag)
		return -2;
	if (data[20] == data[21] && data[21] == data[22] && data[22] == data[23])
		return -2; /* our marks are all the same byte: this was not encrypted */
	return srtp_decrypt(side->rx, &mb) ? -2 : data[HDR_RTP_BYTES];
}

/* Other keys for a stream that runs. */
static void side_change(struct side *side, const struct suite *suite, uint8_t seed)
{
	side->tx = mem_deref(side->tx);
	side->rx = mem_deref(side->rx);
	side->suite = suite;
	if (suite)
		side_start(side, seed);
	else
		media_set_secure(side->leg.stream, &(struct media_secure){ .mode = MEDIA_PLAIN });
	fix_sync(&side->leg);
}

static void every_suite_meets_plain_and_every_other(void **state)
{
	const size_t n_suites = sizeof(suites) / sizeof(suites[0]);
	struct pair pair;

	pair_open(*state, &pair, NULL, NULL);
	for (size_t i = 0; i < n_suites; i++) {
		const struct suite *others[] = { NULL, &suites[i], &suites[(i + 1) % n_suites] };

		for (size_t k = 0; k < 3; k++) {
			side_change(&pair.a, &suites[i], (uint8_t)(16 * i + k));
			side_change(&pair.b, others[k], (uint8_t)(16 * i + k + 8));
			for (uint8_t n = 1; n < 10; n++) {
				say(&pair.a, n);
				assert_int_equal(hear(&pair.b, 3000), n);
				say(&pair.b, n + 100);
				assert_int_equal(hear(&pair.a, 3000), n + 100);
			}
		}
	}
	pair_close(&pair);
}

static void a_wrong_key_is_heard_by_nobody(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, &suites[0], NULL);
	pair.a.key_phone[3] ^= 1;
	side_keys(&pair.a);
	fix_sync(&pair.a.leg);
	say(&pair.a, 1);
	assert_int_equal(hear(&pair.b, 100), -1);
	pair_close(&pair);
}

static void plain_rtp_is_refused_where_keys_were_agreed(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, &suites[0], NULL);
	phone_send(&pair.a.phone, pair.a.leg.port, 8, 7);
	assert_int_equal(hear(&pair.b, 100), -1);
	pair_close(&pair);
}

static void a_packet_counts_once(void **state)
{
	uint8_t data[256], copy[256];
	struct pair pair;
	size_t len;

	pair_open(*state, &pair, &suites[0], NULL);
	len = make_rtp(&pair.a, data, sizeof(data), 9);
	memcpy(copy, data, len);
	phone_send_raw(pair.a.phone.rtp, pair.a.leg.port, data, len);
	assert_int_equal(hear(&pair.b, 3000), 9);
	phone_send_raw(pair.a.phone.rtp, pair.a.leg.port, copy, len);
	assert_int_equal(hear(&pair.b, 100), -1);
	pair_close(&pair);
}

/* A re-INVITE repeats the keys; the rollover counter (RFC 3711 section 3.3.1) must not start anew. */
static void the_same_keys_again_change_nothing(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, &suites[0], &suites[3]);
	pair.a.phone.seq = 65530;
	for (uint8_t n = 1; n < 20; n++) {
		say(&pair.a, n);
		assert_int_equal(hear(&pair.b, 3000), n);
		side_keys(&pair.a);
		side_keys(&pair.b);
		fix_sync(&pair.b.leg);
	}

	/* New keys are new. */
	memset(pair.a.key_phone, 0x77, sizeof(pair.a.key_phone));
	side_keys(&pair.a);
	fix_sync(&pair.a.leg);
	say(&pair.a, 50);
	assert_int_equal(hear(&pair.b, 100), -1);
	pair_close(&pair);
}

static void packets_that_overtake_at_the_rollover_do_no_harm(void **state)
{
	uint8_t data[40][256];
	size_t len[40];
	struct pair pair;
	unsigned heard = 0;

	pair_open(*state, &pair, &suites[0], &suites[0]);
	pair.a.phone.seq = 65520;
	for (int i = 0; i < 40; i++)
		len[i] = make_rtp(&pair.a, data[i], sizeof(data[i]), (uint8_t)(i + 1));
	for (int i = 0; i < 40; i++) {
		int at = i == 15 ? 17 : i == 17 ? 15 : i; /* 65535 after 1 */

		phone_send_raw(pair.a.phone.rtp, pair.a.leg.port, data[at], len[at]);
		heard += hear(&pair.b, i == 17 ? 50 : 1000) == at + 1;
	}
	assert_true(heard >= 39); /* the late one may be lost, none after it */
	pair_close(&pair);
}

static void many_sources_are_served_and_bounded(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, &suites[0], NULL);
	for (uint32_t ssrc = 1; ssrc <= 40; ssrc++) {
		size_t len = media_suite_key_len(suites[0].media);

		mem_deref(pair.a.tx); /* a context of libre holds eight */
		assert_int_equal(srtp_alloc(&pair.a.tx, suites[0].re, pair.a.key_phone, len, 0), 0);
		pair.a.phone.ssrc = ssrc;
		say(&pair.a, (uint8_t)ssrc);
		assert_int_equal(hear(&pair.b, 3000), ssrc);
	}
	pair_close(&pair);
}

static void rtcp_is_protected_too(void **state)
{
	uint8_t rr[64] = { 0x80, 201, 0, 1, 1, 2, 3, 4 }, got[128];
	struct mbuf mb = { .buf = rr, .size = sizeof(rr), .end = 8 };
	struct pair pair;
	size_t len;

	pair_open_as(*state, &pair, &suites[0], &suites[4], true); /* only video's passes */
	assert_int_equal(srtcp_encrypt(pair.a.tx, &mb), 0);
	phone_send_raw(pair.a.phone.rtcp, pair.a.leg.rtcp_port, rr, mb.end);
	len = phone_recv(pair.b.phone.rtcp, got, sizeof(got), 1000);
	assert_int_equal(len, 8 + 16 + 4);
	mb = (struct mbuf){ .buf = got, .size = sizeof(got), .end = len };
	assert_int_equal(srtcp_decrypt(pair.b.rx, &mb), 0);
	assert_int_equal(mb.end, 8);
	assert_int_equal(got[1], 201);
	assert_int_equal(got[7], 4);

	/* In clear it is refused. */
	phone_send_raw(pair.a.phone.rtcp, pair.a.leg.rtcp_port, "\x80\xc9\0\1\1\2\3\4", 8);
	assert_int_equal(phone_recv(pair.b.phone.rtcp, got, sizeof(got), 100), 0);
	pair_close(&pair);
}

/* What the process makes itself goes through the same door. */
static void digits_of_our_own_are_protected(void **state)
{
	uint8_t data[256];
	struct mbuf mb = { .buf = data, .size = sizeof(data) };
	struct pair pair;

	pair_open(*state, &pair, &suites[1], NULL);
	media_dtmf_send(pair.a.leg.stream, '5', 100);
	fix_sync(&pair.a.leg);
	mb.end = phone_recv(pair.a.phone.rtp, data, sizeof(data), 1000);
	assert_int_equal(mb.end, HDR_RTP_BYTES + 4 + 4);
	assert_int_equal(srtp_decrypt(pair.a.rx, &mb), 0);
	assert_int_equal(data[1] & 0x7f, 101);
	assert_int_equal(data[HDR_RTP_BYTES], 5);
	pair_close(&pair);
}

static void encryption_may_end(void **state)
{
	struct pair pair;

	pair_open(*state, &pair, &suites[0], NULL);
	say(&pair.a, 1);
	assert_int_equal(hear(&pair.b, 3000), 1);
	media_set_secure(pair.a.leg.stream, &(struct media_secure){ .mode = MEDIA_PLAIN });
	fix_sync(&pair.a.leg);
	pair.a.tx = mem_deref(pair.a.tx);
	pair.a.rx = mem_deref(pair.a.rx);
	say(&pair.a, 2);
	assert_int_equal(hear(&pair.b, 3000), 2);
	say(&pair.b, 3);
	assert_int_equal(hear(&pair.a, 3000), 3);
	pair_close(&pair);
}

/* The memory of the media process holds it somewhere. */
static bool is_remembered(const struct fix *fix, const void *key, size_t len)
{
	char path[64], line[256];
	bool found = false;
	FILE *maps;
	int mem;

	(void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)fix->pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)fix->pid);
	maps = fopen(path, "re");
	assert_true(mem >= 0 && maps);
	while (!found && fgets(line, sizeof(line), maps)) {
		unsigned long long from, to;
		size_t size;
		char *data;
		ssize_t n;

		/* Not what a sanitizer notes of other memory: terabytes without a byte of it. */
		if (sscanf(line, "%llx-%llx rw", &from, &to) != 2 || !strstr(line, " rw") ||
		    to - from > 256u << 20)
			continue;
		size = (size_t)(to - from);
		data = malloc(size);
		assert_non_null(data);
		n = pread(mem, data, size, (off_t)from);
		found = n > 0 && memmem(data, (size_t)n, key, len);
		free(data);
	}
	(void)fclose(maps);
	close(mem);
	return found;
}

struct two_keys {
	const struct fix *fix;
	uint8_t tx[30], rx[30];
};

static bool are_forgotten(void *arg)
{
	const struct two_keys *keys = arg;

	return !is_remembered(keys->fix, keys->tx, 16) && !is_remembered(keys->fix, keys->rx, 16);
}

static void a_key_is_forgotten_with_its_stream(void **state)
{
	struct two_keys keys = { .fix = *state };
	struct leg leg;

	leg_open(*state, &leg, NULL);
	rand_bytes(keys.tx, sizeof(keys.tx));
	rand_bytes(keys.rx, sizeof(keys.rx));
	media_set_secure(leg.stream, &(struct media_secure){ .mode = MEDIA_SDES,
							     .suite_tx = MEDIA_AES_CM_128_HMAC_SHA1_80,
							     .suite_rx = MEDIA_AES_CM_128_HMAC_SHA1_80,
							     .key_tx = keys.tx,
							     .key_rx = keys.rx });
	fix_sync(&leg);
	assert_true(is_remembered(keys.fix, keys.tx, 16) && is_remembered(keys.fix, keys.rx, 16));
	leg_close(&leg);
	assert_true(fix_until(are_forgotten, &keys, FIX_WAIT_MS));
}

#define T(test) cmocka_unit_test_setup_teardown(test, fix_setup, fix_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(every_suite_meets_plain_and_every_other),
		T(a_wrong_key_is_heard_by_nobody),
		T(a_key_is_forgotten_with_its_stream),
		T(plain_rtp_is_refused_where_keys_were_agreed),
		T(a_packet_counts_once),
		T(the_same_keys_again_change_nothing),
		T(packets_that_overtake_at_the_rollover_do_no_harm),
		T(many_sources_are_served_and_bounded),
		T(rtcp_is_protected_too),
		T(digits_of_our_own_are_protected),
		T(encryption_may_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
