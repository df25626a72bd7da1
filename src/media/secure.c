/* SPDX-License-Identifier: Apache-2.0 */
#include "media/secure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "base/log.h"
#include "base/re.h"
#include "media/binding.h"
#include "media/bundle.h"
#include "media/dtls.h"
#include "media/ice.h"

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

struct keys {
	struct way rx, tx;
};

struct secure {
	uint8_t mode; /* enum mp_secure_mode */
	bool told;    /* the switch knows that media can flow, or that it never will */
	struct keys keys[2];    /* of RTP; of RTCP where DTLS is done for it apart */
	struct assoc *assoc[2]; /* DTLS; by component, likewise */
	struct agent *agent;    /* ICE */
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

static struct keys *keys_of(const struct stream *stream, bool is_rtcp)
{
	struct secure *secure = stream->secure;

	return &secure->keys[is_rtcp && secure->mode == MP_SECURE_DTLS &&
			     !(stream->flags & MP_REMOTE_MUX)];
}

bool secure_protect(struct stream *stream, uint8_t *data, size_t *len, bool is_rtcp)
{
	struct way *way = &keys_of(stream, is_rtcp)->tx;
	struct mbuf mb = { .buf = data, .size = *len + SECURE_TRAILER, .end = *len };
	struct source *source;
	struct srtp *srtp;
	uint32_t ssrc;

	if (stream->bundle && !is_rtcp && ssrc_of(&ssrc, data, *len, false))
		bundle_sent(stream, ssrc);
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

/* ------------------------------------------------------------------ DTLS */

struct reply { /* where our datagrams go */
	struct relay *relay;
	const struct sock *sock;
	const union net_addr *to, *local;
};

static void reply_h(void *arg, const uint8_t *data, size_t len)
{
	const struct reply *reply = arg;

	path_send_raw(reply->relay, reply->sock, reply->to, reply->local, data, len);
}

static void tell(struct relay *relay, struct stream *stream, int err)
{
	struct mp_secured *msg;

	if (stream->secure->told)
		return;
	msg = relay_tell(relay, stream, MP_SECURED, true);
	if (msg)
		msg->err = err;
	stream->secure->told = true;
}

/* Media can flow when a pair is chosen and the keys are there. */
static void tell_when_ready(struct relay *relay, struct stream *stream)
{
	const struct secure *secure = stream->secure;

	if (secure->agent && !agent_is_ready(secure->agent))
		return;
	if (secure->mode == MP_SECURE_DTLS &&
	    (!secure->assoc[0] || assoc_state(secure->assoc[0]) != ASSOC_DONE))
		return;
	if (secure->agent || secure->mode == MP_SECURE_DTLS)
		tell(relay, stream, 0);
}

static void shaken(struct relay *relay, struct stream *stream, unsigned component)
{
	struct secure *secure = stream->secure;
	const struct assoc *assoc = secure->assoc[component];
	uint8_t tx[ASSOC_KEY_BYTES], rx[ASSOC_KEY_BYTES];
	enum media_suite suite;

	if (assoc_state(assoc) == ASSOC_FAILED) {
		log_warn("media.dtls",
			 assoc_error(assoc) == -EACCES
				 ? "the other side shows another certificate than signalling announced: "
				   "no media flows"
				 : "the handshake for the keys of a call failed: no media flows",
			 kv_int("stream", (int64_t)stream->id), kv_err(assoc_error(assoc)));
		tell(relay, stream, assoc_error(assoc));
		return;
	}
	suite = assoc_keys(assoc, tx, rx);
	way_set(&secure->keys[component].tx, suite, tx);
	way_set(&secure->keys[component].rx, suite, rx);
	OPENSSL_cleanse(tx, sizeof(tx));
	OPENSSL_cleanse(rx, sizeof(rx));
	tell_when_ready(relay, stream);
}

static void shake_receive(struct relay *relay, struct stream *stream, const struct sock *sock,
			 struct msghdr *msg, const uint8_t *data, size_t len)
{
	struct secure *secure = stream->secure;
	struct assoc *assoc = secure->assoc[sock->is_rtcp];
	union net_addr local;
	struct reply reply = { relay, sock, msg->msg_name, &local };
	enum assoc_state before;

	/* Only from an address that ICE has proved, or that media would be taken from. */
	if (!assoc || !path_source_ok(relay, stream, sock, msg))
		return;
	path_local(&local, msg);
	if (local.sa.sa_family == AF_UNSPEC)
		local = stream->local;
	before = assoc_state(assoc);
	if (assoc_receive(assoc, data, len, reply_h, &reply) != before &&
	    assoc_state(assoc) >= ASSOC_DONE)
		shaken(relay, stream, sock->is_rtcp);
}

static void shake_tick(struct relay *relay, struct stream *stream, unsigned component)
{
	struct assoc *assoc = stream->secure->assoc[component];
	struct reply reply = { relay, component ? &stream->slot->rtcp : &stream->slot->rtp,
			       component ? &stream->rtcp_dst : &stream->dst, &stream->local };
	enum assoc_state before, after;

	if (!assoc || !net_addr_isset(reply.to) ||
	    (component && (stream->flags & MP_REMOTE_MUX)))
		return;
	before = assoc_state(assoc);
	if (before == ASSOC_NEW)
		after = assoc_start(assoc, reply_h, &reply);
	else
		after = assoc_tick(assoc, relay->now_us, reply_h, &reply);
	if (after != before && after >= ASSOC_DONE)
		shaken(relay, stream, component);
}

static void shake_end(struct secure *secure)
{
	for (unsigned i = 0; i < 2; i++) {
		assoc_free(secure->assoc[i]);
		secure->assoc[i] = NULL;
	}
}

static void shake_begin(struct relay *relay, struct stream *stream, const struct mp_secure *msg)
{
	struct secure *secure = stream->secure;
	struct assoc_opts opts = { .identity = relay->identity,
				   .active = msg->active,
				   .hash = msg->hash,
				   .fingerprint = msg->fingerprint };
	int err = 0;

	if (secure->assoc[0] && assoc_is_same(secure->assoc[0], &opts))
		return; /* a re-INVITE: the association goes on */
	shake_end(secure);
	for (unsigned i = 0; i < 2; i++) {
		way_clear(&secure->keys[i].tx);
		way_clear(&secure->keys[i].rx);
		if (!err)
			err = assoc_alloc(&secure->assoc[i], &opts);
	}
	secure->told = false;
	if (err)
		tell(relay, stream, err);
}

/* ------------------------------------------------------------------ receiving */

bool secure_receive(struct relay *relay, struct stream *stream, struct sock *sock,
		    struct msghdr *msg, uint8_t *data, size_t *len)
{
	struct secure *secure = stream->secure;
	bool is_rtcp;

	/* RFC 7983: STUN, DTLS and media share the port and differ in the first byte. */
	if (*len && data[0] < 64) {
		if (binding_is(data, *len) && secure->agent) {
			agent_receive(secure->agent, relay, stream, sock, msg, data, *len);
			tell_when_ready(relay, stream);
			secure_tick(relay, stream);
		} else if (data[0] >= 20) {
			shake_receive(relay, stream, sock, msg, data, *len);
			relay_pace(relay, stream, secure_is_busy(stream));
		}
		return false;
	}
	if (secure->mode == MP_SECURE_OFF)
		return true;
	is_rtcp = sock->is_rtcp || hdr_is_rtcp(data, *len);
	return unprotect(&keys_of(stream, is_rtcp)->rx, data, len, is_rtcp);
}

bool secure_source_ok(const struct stream *stream, const union net_addr *from)
{
	return agent_knows(stream->secure->agent, from);
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

struct secure *secure_get(struct stream *stream)
{
	return get(stream) == &no_memory ? NULL : stream->secure;
}

static void plain_begin(struct secure *secure)
{
	for (unsigned i = 0; i < 2; i++) {
		way_clear(&secure->keys[i].tx);
		way_clear(&secure->keys[i].rx);
	}
	shake_end(secure);
}

void secure_on_secure(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	const struct mp_secure *msg = (const void *)hdr;
	struct secure *secure;

	if ((msg->mode == MP_SECURE_OFF && !stream->secure) || stream->wire != stream)
		return;
	secure = get(stream);
	if (secure == &no_memory)
		return;

	secure->mode = msg->mode;
	if (msg->mode == MP_SECURE_DTLS) {
		shake_begin(relay, stream, msg);
		return;
	}
	if (msg->mode == MP_SECURE_OFF) {
		plain_begin(secure);
		return;
	}
	shake_end(secure);
	way_set(&secure->keys[0].tx, msg->suite_tx, msg->key_tx);
	way_set(&secure->keys[0].rx, msg->suite_rx, msg->key_rx);
}

void secure_on_ice(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	const struct mp_ice *msg = (const void *)hdr;
	struct secure *secure;

	if (stream->wire != stream)
		return; /* its carrier's counts */
	secure = get(stream);
	if (secure == &no_memory)
		return;
	if (msg->flags & MP_ICE_OFF) {
		agent_free(secure->agent);
		secure->agent = NULL;
		stream->ice = false;
		return;
	}
	if (!secure->agent)
		secure->told = false;
	if (agent_set(&secure->agent, relay, stream, msg))
		tell(relay, stream, -ENOMEM);
	stream->ice = true;
}

void secure_on_candidate(struct relay *relay, struct stream *stream, const struct mp_hdr *hdr)
{
	if (stream->wire != stream || !stream->secure || !stream->secure->agent)
		return;
	agent_candidate(stream->secure->agent, relay, stream, (const void *)hdr);
	secure_tick(relay, stream);
}

static bool is_shaking(const struct assoc *assoc)
{
	return assoc && assoc_state(assoc) == ASSOC_SHAKING;
}

bool secure_is_busy(const struct stream *stream)
{
	const struct secure *secure = stream->secure;

	return (secure->agent && agent_is_busy(secure->agent)) || is_shaking(secure->assoc[0]) ||
	       is_shaking(secure->assoc[1]);
}

void secure_tick(struct relay *relay, struct stream *stream)
{
	struct secure *secure = stream->secure;
	int err;

	if (secure->agent) {
		err = agent_tick(secure->agent, relay, stream);
		if (err) {
			secure->told = false; /* also when it had worked before */
			tell(relay, stream, err);
		}
	}
	shake_tick(relay, stream, 0);
	shake_tick(relay, stream, 1);
	relay_pace(relay, stream, secure_is_busy(stream));
	relay_due(relay, relay->now_us + RELAY_HOUSE_MS * 1000);
}

void secure_free(struct stream *stream)
{
	struct secure *secure = stream->secure;

	stream->secure = NULL;
	stream->ice = false;
	if (!secure || secure == &no_memory)
		return;
	plain_begin(secure);
	agent_free(secure->agent);
	free(secure);
}
