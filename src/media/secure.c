/* SPDX-License-Identifier: Apache-2.0 */
#include "media/secure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "base/re.h"

/*
 * SRTP is libre's (OpenSSL underneath): 0.45 us to protect a packet of 20 ms, where Debian's libsrtp2
 * (NSS underneath) takes 2.8 us. One libre context holds eight SSRCs, makes room for them before a
 * packet has proved authentic, and never gives one back; so each SSRC has a context of its own here,
 * made for a stranger only for the time of the proof.
 */
#define SOURCES 8 /* SSRCs known per direction; the one unused longest makes room */

struct source {
	struct srtp *srtp;
	uint32_t ssrc;
	uint32_t used; /* stamp of the last packet */
	uint16_t seq;  /* highest sent; RTP only */
	bool has_seq;
};

struct way { /* one direction */
	enum media_suite suite;
	uint8_t key[MP_MAX_KEY];
	struct source sources[SOURCES];
	unsigned hot; /* index of the last packet's */
	uint32_t stamp;
};

struct secure {
	uint8_t mode; /* enum mp_secure_mode */
	struct way rx, tx;
};

static const enum srtp_suite suites[MEDIA_SUITES] = {
	[MEDIA_AES_CM_128_HMAC_SHA1_80] = SRTP_AES_CM_128_HMAC_SHA1_80,
	[MEDIA_AES_CM_128_HMAC_SHA1_32] = SRTP_AES_CM_128_HMAC_SHA1_32,
	[MEDIA_AES_256_CM_HMAC_SHA1_80] = SRTP_AES_256_CM_HMAC_SHA1_80,
	[MEDIA_AES_256_CM_HMAC_SHA1_32] = SRTP_AES_256_CM_HMAC_SHA1_32,
	[MEDIA_AEAD_AES_128_GCM] = SRTP_AES_128_GCM,
	[MEDIA_AEAD_AES_256_GCM] = SRTP_AES_256_GCM,
};

/* ------------------------------------------------------------------ keys */

static void way_clear(struct way *way)
{
	for (unsigned i = 0; i < SOURCES; i++)
		mem_deref(way->sources[i].srtp);
	OPENSSL_cleanse(way, sizeof(*way));
}

/* The same key again keeps what was counted with it: a rollover counter lives as long as its key. */
static void way_set(struct way *way, enum media_suite suite, const uint8_t *key)
{
	size_t len = media_suite_key_len(suite);

	if (way->suite == suite && !CRYPTO_memcmp(way->key, key, len))
		return;
	way_clear(way);
	way->suite = suite;
	memcpy(way->key, key, len);
}

static struct source *source_known(struct way *way, uint32_t ssrc)
{
	if (way->sources[way->hot].srtp && way->sources[way->hot].ssrc == ssrc)
		return &way->sources[way->hot];
	for (unsigned i = 0; i < SOURCES; i++) {
		if (way->sources[i].srtp && way->sources[i].ssrc == ssrc) {
			way->hot = i;
			return &way->sources[i];
		}
	}
	return NULL;
}

static struct source *source_oldest(struct way *way)
{
	struct source *oldest = &way->sources[0];

	for (unsigned i = 0; i < SOURCES; i++) {
		struct source *source = &way->sources[i];

		if (!source->srtp)
			return source;
		if (way->stamp - source->used > way->stamp - oldest->used)
			oldest = source;
	}
	return oldest;
}

static struct source *source_keep(struct way *way, struct srtp *srtp, uint32_t ssrc)
{
	struct source *source = source_oldest(way);

	mem_deref(source->srtp);
	*source = (struct source){ .srtp = srtp, .ssrc = ssrc };
	way->hot = (unsigned)(source - way->sources);
	return source;
}

static int context_alloc(struct srtp **ret, const struct way *way)
{
	return srtp_alloc(ret, suites[way->suite], way->key, media_suite_key_len(way->suite), 0)
		       ? -ENOMEM
		       : 0;
}

/* ------------------------------------------------------------------ packets */

static uint32_t read_u32(const uint8_t *data)
{
	return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static bool ssrc_of(uint32_t *ret, const uint8_t *data, size_t len, bool is_rtcp)
{
	if (len < (is_rtcp ? 8u : HDR_RTP_BYTES))
		return false;
	*ret = read_u32(data + (is_rtcp ? 4 : 8));
	return true;
}

static int decrypt(struct srtp *srtp, uint8_t *data, size_t *len, bool is_rtcp)
{
	struct mbuf mb = { .buf = data, .size = *len, .end = *len };
	int err = is_rtcp ? srtcp_decrypt(srtp, &mb) : srtp_decrypt(srtp, &mb);

	*len = mb.end;
	return err;
}

static bool unprotect(struct way *way, uint8_t *data, size_t *len, bool is_rtcp)
{
	struct source *source;
	struct srtp *srtp;
	uint32_t ssrc;

	if (!way->suite || !ssrc_of(&ssrc, data, *len, is_rtcp))
		return false;

	source = source_known(way, ssrc);
	if (source) {
		if (decrypt(source->srtp, data, len, is_rtcp))
			return false;
	} else {
		if (context_alloc(&srtp, way))
			return false;
		if (decrypt(srtp, data, len, is_rtcp)) {
			mem_deref(srtp);
			return false;
		}
		source = source_keep(way, srtp, ssrc);
	}
	source->used = ++way->stamp;
	return true;
}

/*
 * libre counts roll-overs for a sender that never looks back. A relay may: a late packet from before
 * the roll-over would be counted as one more, and the receiver could read nothing from then on.
 */
static bool rolls_back(struct source *source, uint16_t seq)
{
	if (source->has_seq && (int16_t)(seq - source->seq) < 0)
		return seq > source->seq;
	source->has_seq = true;
	source->seq = seq;
	return false;
}

bool secure_protect(struct stream *stream, uint8_t *data, size_t *len, bool is_rtcp)
{
	struct way *way = &stream->secure->tx;
	struct mbuf mb = { .buf = data, .size = *len + SECURE_TRAILER, .end = *len };
	struct source *source;
	struct srtp *srtp;
	uint32_t ssrc;

	if (stream->secure->mode == MP_SECURE_OFF)
		return true;
	if (!way->suite || !ssrc_of(&ssrc, data, *len, is_rtcp))
		return false;

	source = source_known(way, ssrc);
	if (!source) {
		if (context_alloc(&srtp, way))
			return false;
		source = source_keep(way, srtp, ssrc);
	}
	if (!is_rtcp && rolls_back(source, (uint16_t)(data[2] << 8 | data[3])))
		return false;
	source->used = ++way->stamp;
	if (is_rtcp ? srtcp_encrypt(source->srtp, &mb) : srtp_encrypt(source->srtp, &mb))
		return false;
	*len = mb.end;
	return true;
}

bool secure_receive(struct relay *relay, struct stream *stream, struct sock *sock,
		    struct msghdr *msg, uint8_t *data, size_t *len)
{
	struct secure *secure = stream->secure;

	if (secure->mode == MP_SECURE_OFF)
		return true;
	return unprotect(&secure->rx, data, len, sock->is_rtcp || hdr_is_rtcp(data, *len));
}

/* ------------------------------------------------------------------ commands */

/* Has no keys and never gets any: rather silent than in clear. */
static struct secure no_memory = { .mode = MP_SECURE_SDES };

static struct secure *get(struct stream *stream)
{
	if (!stream->secure)
		stream->secure = calloc(1, sizeof(*stream->secure));
	if (!stream->secure)
		stream->secure = &no_memory;
	return stream->secure;
}

int secure_set_keys(struct stream *stream, enum media_suite suite, const uint8_t *key_tx,
		    const uint8_t *key_rx)
{
	way_set(&stream->secure->tx, suite, key_tx);
	way_set(&stream->secure->rx, suite, key_rx);
	return 0;
}

void secure_on_secure(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	const struct mp_secure *msg = (const void *)hdr;
	struct secure *secure;

	if (msg->mode == MP_SECURE_OFF && !stream->secure)
		return;
	secure = get(stream);
	if (secure == &no_memory)
		return;

	secure->mode = msg->mode;
	if (msg->mode == MP_SECURE_SDES) {
		way_set(&secure->tx, msg->suite_tx, msg->key_tx);
		way_set(&secure->rx, msg->suite_rx, msg->key_rx);
	} else if (msg->mode == MP_SECURE_OFF) {
		way_clear(&secure->tx);
		way_clear(&secure->rx);
	}
}

void secure_free(struct stream *stream)
{
	struct secure *secure = stream->secure;

	stream->secure = NULL;
	if (!secure || secure == &no_memory)
		return;
	way_clear(&secure->tx);
	way_clear(&secure->rx);
	free(secure);
}
