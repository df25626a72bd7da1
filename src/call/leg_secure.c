/* SPDX-License-Identifier: Apache-2.0 */
#include "call/leg_secure.h"

#include <errno.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "call/call.h"
#include "call/engine.h"
#include "call/leg.h"
#include "media/client.h"
#include "sip/edge.h"
#include "sip/inv.h"
#include "sip/sdesc_secure.h"
#include "snapshot/snapshot.h"

#define TEXT_BYTES    4096
#define MAX_ADDRESSES 8
#define ADDRESSES_MS  10000 /* how long the list of our addresses is good */

_Static_assert((int)SDESC_SUITES == (int)MEDIA_SUITES && (int)SDESC_AEAD_AES_256_GCM ==
	       (int)MEDIA_AEAD_AES_256_GCM, "suites have the same numbers in sip/ and media/");
_Static_assert((int)SDESC_HASHES == (int)MEDIA_HASHES && (int)SDESC_SHA_256 == (int)MEDIA_SHA_256,
	       "and so have hashes");

/* In the order of the offer. Old phones look at the first only, and know no other than this one. */
static const enum sdesc_suite offered_suites[] = {
	SDESC_AES_CM_128_HMAC_SHA1_80, SDESC_AEAD_AES_256_GCM, SDESC_AEAD_AES_128_GCM,
	SDESC_AES_256_CM_HMAC_SHA1_80, SDESC_AES_CM_128_HMAC_SHA1_32,
};

enum policy { POLICY_OFF, POLICY_ACCEPT, POLICY_OFFER, POLICY_REQUIRE, POLICY_WEBRTC };

enum mode { MODE_UNKNOWN, MODE_PLAIN, MODE_SDES, MODE_DTLS };

struct line {
	enum mode mode;           /* as agreed */
	char proto[32];           /* as last said by the one who offered */
	char mid[SDESC_MAX_MID];
	bool mux;                 /* asked for by the one who offered */
	struct sdesc_crypto tx;   /* agreed: what we send with */
	uint8_t keys[SDESC_SUITES][SDESC_MAX_KEY]; /* ours, one per suite, for the life of the leg */
	bool has_keys;
	bool active;              /* DTLS: we are the client */
	bool has_ice, remote_lite;
	char ufrag[9], pwd[25];
	char remote_ufrag[SDESC_MAX_UFRAG];
	bool grouped;             /* we offered it in a bundle */
	bool rides;               /* it is in the bundle: what is said above of a transport is not its own */
	bool is_parted;           /* its stream uses the transport of another */
};

struct leg_secure {
	struct line *lines[SDESC_MAX_MEDIA]; /* NULL: nothing said yet; most calls have one */
	struct media_stream *carrier; /* has the transport of the bundle; NULL: there is none */
	size_t carrier_line;      /* where what was agreed on it is; that line may be refused meanwhile */
	size_t tagged;            /* the line that describes it */
	enum { TRY_BESIDE, TRY_ALONE, TRY_PLAIN } attempt; /* at an account with "optional" */
};

/* ------------------------------------------------------------------ policy */

static const struct snap_sip *settings(const struct leg *leg)
{
	return snap_sip(leg->engine->o.snap);
}

static bool is_webrtc(const struct leg *leg)
{
	return leg->account && leg->account->webrtc;
}

static enum policy policy_of(const struct leg *leg)
{
	static const enum policy by_account[] = {
		[SNAP_SRTP_OFF] = POLICY_OFF,
		[SNAP_SRTP_OPTIONAL] = POLICY_OFFER,
		[SNAP_SRTP_REQUIRED] = POLICY_REQUIRE,
	};

	if (!settings(leg)->srtp_support) /* PLT-41 */
		return POLICY_OFF;
	if (!leg->account)
		return POLICY_ACCEPT;
	return leg->account->webrtc ? POLICY_WEBRTC : by_account[leg->account->srtp];
}

void leg_secure_close(struct leg *leg)
{
	if (leg->secure)
		leg->secure->carrier = mem_deref(leg->secure->carrier);
}

/* What the peer's line proposes, or agrees to. */
static enum mode mode_of(const struct sdesc_media *media, const struct sdesc_secure *said,
			 enum policy policy)
{
	if (said->has_fingerprint && (strstr(media->proto, "TLS/") || !said->n_crypto))
		return policy == POLICY_OFF && !sdesc_is_secure(media) ? MODE_PLAIN : MODE_DTLS;
	if (said->n_crypto)
		return policy == POLICY_OFF && !sdesc_is_secure(media) ? MODE_PLAIN : MODE_SDES;
	return sdesc_is_secure(media) ? MODE_UNKNOWN : MODE_PLAIN;
}

static bool may(enum policy policy, enum mode mode)
{
	if (mode == MODE_UNKNOWN)
		return false; /* SAVP without a key that we can use */
	if (mode == MODE_PLAIN)
		return policy < POLICY_REQUIRE;
	return policy != POLICY_OFF;
}

static bool is_voice_or_video(const struct sdesc_media *media)
{
	return media->port && sdesc_is_rtp(media->proto) &&
	       (media->kind == SDESC_AUDIO || media->kind == SDESC_VIDEO);
}

static bool has_number(const struct sdesc_media *media, int pt)
{
	for (size_t i = 0; i < media->n_formats; i++) {
		if (media->formats[i].pt == pt)
			return true;
	}
	return false;
}

/* A packet says by its payload type alone which line it belongs to (RFC 9143 section 9.2). */
static bool is_told_apart(const struct sdesc *desc, size_t line)
{
	const struct sdesc_media *media = &desc->media[line];

	for (size_t i = 0; i < line; i++) {
		if (!desc->media[i].port)
			continue;
		for (size_t k = 0; k < media->n_formats; k++) {
			if (has_number(&desc->media[i], media->formats[k].pt))
				return false;
		}
	}
	return true;
}

/* Keys of SDES are a line's own; two ports per line cannot be shared. */
static bool can_share(const struct sdesc_media *media, enum mode mode)
{
	return media->bundled && media->rtcp_mux && (mode == MODE_DTLS || mode == MODE_PLAIN);
}

bool leg_secure_carries(const struct leg *leg, const struct sdesc *desc, size_t line)
{
	const enum policy policy = policy_of(leg);
	struct sdesc_secure said;
	enum mode mode;

	if (!is_voice_or_video(&desc->media[line]))
		return false;
	if (!desc->media[line].n_attrs && !desc->n_attrs && !sdesc_is_secure(&desc->media[line]))
		return policy < POLICY_REQUIRE;
	sdesc_secure_parse(&said, desc, line);
	mode = mode_of(&desc->media[line], &said, policy);
	if (desc->media[line].bundle_only &&
	    (!can_share(&desc->media[line], mode) || !is_told_apart(desc, line)))
		return false;
	return may(policy, mode);
}

int leg_secure_check(const struct leg *leg, const struct sdesc *desc)
{
	const enum policy policy = policy_of(leg);
	bool any = false;

	for (size_t i = 0; i < desc->n_media; i++) {
		if (desc->media[i].kind != SDESC_AUDIO || !is_voice_or_video(&desc->media[i]))
			continue;
		if (leg_secure_carries(leg, desc, i))
			return 0;
		any = true;
	}
	if (!any)
		return 0; /* others say what is wrong with it */

	log_warn("call.encryption",
		 policy == POLICY_OFF
			 ? "the phone wants encrypted media, which is switched off: change \"SRTP\" of the "
			   "account or of the SIP settings, or switch it off on the phone"
			 : "the account requires encrypted media and the phone does not offer any that "
			   "can be used: switch SRTP on there, or make it optional in the account",
		 kv_text("linkedid", leg->call ? leg->call->linkedid : ""),
		 kv_text("account", leg->account ? leg->account->username : ""));
	return -EACCES;
}

static void line_destructor(void *arg)
{
	explicit_bzero(arg, sizeof(struct line));
}

static void leg_secure_destructor(void *arg)
{
	struct leg_secure *secure = arg;

	mem_deref(secure->carrier);
	for (size_t i = 0; i < SDESC_MAX_MEDIA; i++)
		mem_deref(secure->lines[i]);
}

static struct line *line_of(struct leg *leg, size_t i)
{
	if (!leg->secure)
		leg->secure = mem_zalloc(sizeof(*leg->secure), leg_secure_destructor);
	if (leg->secure && !leg->secure->lines[i])
		leg->secure->lines[i] = mem_zalloc(sizeof(struct line), line_destructor);
	return leg->secure ? leg->secure->lines[i] : NULL;
}

bool leg_secure_fall_back(struct leg *leg, unsigned scode)
{
	if ((scode != 488 && scode != 606 && scode != 415) || policy_of(leg) != POLICY_OFFER ||
	    !line_of(leg, 0) || leg->secure->attempt == TRY_PLAIN)
		return false;
	leg->secure->attempt++;
	return true;
}

/* ------------------------------------------------------------------ what the peer says */

static void make_keys(struct line *line)
{
	if (!line->has_keys)
		rand_bytes((uint8_t *)line->keys, sizeof(line->keys));
	line->has_keys = true;
}

static void make_credentials(struct line *line)
{
	rand_str(line->ufrag, sizeof(line->ufrag));
	rand_str(line->pwd, sizeof(line->pwd));
}

/* Their order counts, but a suite in use stays. NULL: an answer to what we did not offer. */
static const struct sdesc_crypto *choose(const struct line *line, const struct sdesc_secure *said)
{
	for (size_t i = 0; i < said->n_crypto; i++) {
		if (line->mode == MODE_SDES && said->crypto[i].suite == line->tx.suite)
			return &said->crypto[i];
	}
	return &said->crypto[0];
}

static void agree_sdes(struct line *line, const struct sdesc_secure *said,
		       struct media_stream *stream)
{
	const struct sdesc_crypto *crypto = choose(line, said);

	make_keys(line);
	line->mode = MODE_SDES;
	line->tx.tag = crypto->tag;
	line->tx.suite = crypto->suite;
	memcpy(line->tx.key, line->keys[crypto->suite], sizeof(line->tx.key));
	media_set_secure(stream, &(struct media_secure){ .mode = MEDIA_SDES,
							 .suite_tx = (enum media_suite)crypto->suite,
							 .suite_rx = (enum media_suite)crypto->suite,
							 .key_tx = line->tx.key,
							 .key_rx = crypto->key });
}

/* RFC 5763 section 5: who offered lets the other choose; we like to be called (the server). */
static void agree_dtls(struct line *line, const struct sdesc_secure *said,
		       struct media_stream *stream)
{
	if (line->mode != MODE_DTLS || said->setup != SDESC_ACTPASS)
		line->active = said->setup == SDESC_PASSIVE;
	line->mode = MODE_DTLS;
	media_set_secure(stream, &(struct media_secure){ .mode = MEDIA_DTLS,
							 .active = line->active,
							 .hash = (enum media_hash)said->hash,
							 .fingerprint = said->fingerprint });
}

static void agree_ice(struct line *line, const struct sdesc_secure *said, bool is_offer,
		      struct media_stream *stream)
{
	struct media_candidate candidates[SDESC_MAX_CANDIDATES];
	bool restart = line->remote_ufrag[0] && strcmp(line->remote_ufrag, said->ufrag);

	if (!said->ufrag[0] || (!is_offer && !line->has_ice)) {
		if (line->has_ice)
			media_set_ice(stream, &(struct media_ice){ .off = true });
		line->has_ice = false;
		return;
	}
	if (!line->ufrag[0] || (restart && is_offer))
		make_credentials(line);

	for (size_t i = 0; i < said->n_candidates; i++)
		candidates[i] = (struct media_candidate){ .addr = &said->candidates[i].addr,
							  .priority = said->candidates[i].priority,
							  .component = said->candidates[i].component };
	line->has_ice = true;
	line->remote_lite = said->ice_lite;
	str_ncpy(line->remote_ufrag, said->ufrag, sizeof(line->remote_ufrag));
	media_set_ice(stream, &(struct media_ice){ .ufrag = line->ufrag,
						   .pwd = line->pwd,
						   .remote_ufrag = said->ufrag,
						   .remote_pwd = said->pwd,
						   .remote_lite = said->ice_lite,
						   .controlling = said->ice_lite,
						   .restart = restart,
						   .candidates = candidates,
						   .n_candidates = said->n_candidates });
}

/* ------------------------------------------------------------------ one transport for several lines */

static bool rides(const struct leg *leg, size_t i)
{
	return leg->secure && leg->secure->lines[i] && leg->secure->lines[i]->rides;
}

static bool may_ride(const struct leg *leg, const struct sdesc *desc, size_t i, bool is_offer)
{
	const struct sdesc_media *media = &desc->media[i];
	const enum policy policy = policy_of(leg);
	struct sdesc_secure said;

	if (!desc->bundle || !leg->streams[i] || !media->port || !sdesc_is_rtp(media->proto) ||
	    (!is_offer && !leg->secure->lines[i]->grouped))
		return false;
	sdesc_secure_parse(&said, desc, i);
	return can_share(media, mode_of(media, &said, policy)) &&
	       (media->bundle_only || is_told_apart(leg->local_desc, i));
}

/* The line that lent its transport has left the bundle and uses it alone. */
static bool is_taken_back(const struct leg *leg)
{
	const size_t i = leg->secure->carrier_line;

	return leg->secure->carrier && leg->streams[i] == leg->secure->carrier && !rides(leg, i);
}

void leg_secure_group(struct leg *leg, const struct sdesc *desc)
{
	const bool is_offer = leg->inv && inv_owes_answer(leg->inv);
	size_t tagged = SDESC_MAX_MEDIA;

	if (leg->direct || (!desc->bundle && (!leg->secure || !leg->secure->carrier)))
		return;

	for (size_t i = 0; i < desc->n_media && i < leg->n_streams; i++) {
		struct line *line = line_of(leg, i);

		if (!line)
			return;
		line->rides = may_ride(leg, desc, i, is_offer);
		if (line->rides && (tagged == SDESC_MAX_MEDIA || i == desc->tagged))
			tagged = i;
	}
	if (tagged == SDESC_MAX_MEDIA || is_taken_back(leg))
		leg->secure->carrier = mem_deref(leg->secure->carrier);
	if (tagged == SDESC_MAX_MEDIA)
		return;
	leg->secure->tagged = tagged;
	if (!leg->secure->carrier) {
		leg->secure->carrier = mem_ref(leg->streams[tagged]);
		leg->secure->carrier_line = tagged;
	}
}

const struct media_stream *leg_secure_transport(const struct leg *leg, size_t i)
{
	return rides(leg, i) ? leg->secure->carrier : leg->streams[i];
}

static struct line *transport_of(struct leg *leg, size_t i)
{
	return line_of(leg, rides(leg, i) ? leg->secure->carrier_line : i);
}

/* The stream takes the place in the bundle, or out of it, that its line has. */
static void place(struct leg *leg, size_t i)
{
	const struct sdesc_media *ours = &leg->local_desc->media[i];
	struct line *line = leg->secure->lines[i];
	const bool is_parted = line->rides && leg->streams[i] != leg->secure->carrier;
	uint8_t numbers[16] = { 0 };

	for (size_t k = 0; is_parted && k < ours->n_formats; k++) {
		if (ours->formats[k].pt >= 0)
			numbers[ours->formats[k].pt / 8 % 16] |= (uint8_t)(1 << ours->formats[k].pt % 8);
	}
	if (is_parted || line->is_parted)
		media_set_bundle(leg->streams[i], is_parted ? leg->secure->carrier : NULL, numbers);
	line->is_parted = is_parted;
}

static void agree(struct line *line, const struct sdesc_secure *said, enum mode mode, bool is_offer,
		  struct media_stream *stream)
{
	if (mode == MODE_SDES) {
		agree_sdes(line, said, stream);
	} else if (mode == MODE_DTLS) {
		agree_dtls(line, said, stream);
	} else {
		if (line->mode > MODE_PLAIN)
			media_set_secure(stream, &(struct media_secure){ .mode = MEDIA_PLAIN });
		line->mode = MODE_PLAIN;
	}
	agree_ice(line, said, is_offer, stream);
}

void leg_secure_remote(struct leg *leg, const struct sdesc *desc, size_t i)
{
	const struct sdesc_media *media = &desc->media[i];
	const bool is_offer = leg->inv && inv_owes_answer(leg->inv);
	struct line *line = line_of(leg, i), *transport = transport_of(leg, i);
	struct sdesc_secure said;
	enum mode mode;

	if (!line || !transport)
		return;

	sdesc_secure_parse(&said, desc, i);
	mode = mode_of(media, &said, policy_of(leg));
	str_ncpy(line->proto, media->proto, sizeof(line->proto));
	if (is_offer) {
		line->mux = media->rtcp_mux;
		str_ncpy(line->mid, said.mid, sizeof(line->mid));
	}

	place(leg, i);
	if (!line->rides || i == leg->secure->tagged)
		agree(transport, &said, mode, is_offer,
		      line->rides ? leg->secure->carrier : leg->streams[i]);
	if (transport != line)
		line->mode = mode;
}

/* ------------------------------------------------------------------ our addresses */

struct addresses {
	struct sa v[MAX_ADDRESSES];
	size_t n;
};

static void address_add(struct addresses *list, const struct sa *addr)
{
	for (size_t i = 0; i < list->n; i++) {
		if (sa_cmp(&list->v[i], addr, SA_ADDR))
			return;
	}
	if (list->n < MAX_ADDRESSES)
		list->v[list->n++] = *addr;
}

static bool interface_h(const char *ifname, const struct sa *addr, void *arg)
{
	if (!sa_is_loopback(addr) && !sa_is_linklocal(addr))
		address_add(arg, addr);
	return false;
}

/* Reading the interfaces is a system call or two; calls of the same seconds share them. */
static const struct addresses *interfaces(void)
{
	static struct addresses list;
	static uint64_t read_at_ms;
	uint64_t now_ms = clk_mono_ms();

	if (!read_at_ms || now_ms - read_at_ms >= ADDRESSES_MS) {
		list.n = 0;
		(void)net_if_apply(interface_h, &list);
		read_at_ms = now_ms;
	}
	return &list;
}

/*
 * Where this leg's streams can be reached. A browser's signalling may come through a proxy of this
 * host (/ws-sip), so that our address towards it says nothing: all are named, and its checks decide.
 */
static void addresses_of(struct addresses *ret, const struct leg *leg)
{
	const struct addresses *all = interfaces();
	const struct sa *outside = is_webrtc(leg) ? edge_outside(leg->engine->o.edge) : NULL;

	ret->n = 0;
	address_add(ret, &leg->local);
	if (outside && sa_af(outside) == sa_af(&leg->local))
		address_add(ret, outside); /* PLT-42, PLT-43 */
	for (size_t i = 0; is_webrtc(leg) && i < all->n; i++) {
		if (sa_af(&all->v[i]) == sa_af(&leg->local))
			address_add(ret, &all->v[i]);
	}
}

/* ------------------------------------------------------------------ what we say */

static const char *proto_of(const struct leg *leg, const struct line *line,
			    const struct sdesc_media *media)
{
	const enum policy policy = policy_of(leg);

	if (line->proto[0])
		return line->proto;
	if (policy == POLICY_WEBRTC)
		return "UDP/TLS/RTP/SAVPF";
	if (policy == POLICY_REQUIRE ||
	    (policy == POLICY_OFFER && leg->secure->attempt == TRY_ALONE))
		return "RTP/SAVP";
	return strcmp(media->proto, "RTP/AVPF") ? "RTP/AVP" : media->proto;
}

static void put_sdes(char *text, struct line *line)
{
	struct sdesc_crypto crypto = { .tag = 1 };

	if (line->mode == MODE_SDES) {
		(void)sdesc_put_crypto(text, TEXT_BYTES, &line->tx);
		return;
	}
	make_keys(line);
	for (size_t i = 0; i < ARRAY_SIZE(offered_suites); i++, crypto.tag++) {
		crypto.suite = offered_suites[i];
		memcpy(crypto.key, line->keys[crypto.suite], sizeof(crypto.key));
		(void)sdesc_put_crypto(text, TEXT_BYTES, &crypto);
	}
	explicit_bzero(&crypto, sizeof(crypto));
}

static void put_dtls(char *text, const struct leg *leg, const struct line *line, bool is_answer)
{
	const uint8_t *fingerprint = media_fingerprint(leg->engine->o.media);

	if (!fingerprint)
		return; /* the media process has just died, and the call with it */
	(void)sdesc_put_fingerprint(text, TEXT_BYTES, SDESC_SHA_256, fingerprint);
	(void)sdesc_put_attr(text, TEXT_BYTES, "setup",
			     !is_answer    ? "actpass"
			     : line->active ? "active"
					    : "passive");
}

static void put_ice(char *text, const struct leg *leg, struct line *line, uint16_t port, bool mux)
{
	struct addresses addresses;

	addresses_of(&addresses, leg);
	(void)sdesc_put_attr(text, TEXT_BYTES, "ice-ufrag", line->ufrag);
	(void)sdesc_put_attr(text, TEXT_BYTES, "ice-pwd", line->pwd);
	for (unsigned i = 0; i < addresses.n; i++) {
		struct sdesc_candidate candidate = { .addr = addresses.v[i] };

		for (unsigned component = 1; component <= (mux ? 1u : 2u); component++) {
			candidate.component = (uint8_t)component;
			candidate.priority = 126u << 24 | (65535 - i) << 8 | (256 - component);
			sa_set_port(&candidate.addr, (uint16_t)(port + component - 1));
			(void)sdesc_put_candidate(text, TEXT_BYTES, &candidate, i + 1, "host");
		}
	}
	(void)sdesc_put_attr(text, TEXT_BYTES, "end-of-candidates", NULL);
}

/* Of an offer of ours to a browser, before anything was agreed. */
static void begin(struct line *line, size_t i)
{
	line->mux = line->has_ice = true;
	(void)re_snprintf(line->mid, sizeof(line->mid), "%zu", i);
	make_credentials(line);
}

static bool is_dtls(const struct leg *leg, const struct line *line)
{
	return line->mode ? line->mode == MODE_DTLS : policy_of(leg) == POLICY_WEBRTC;
}

static void print_transport(char *text, struct leg *leg, struct line *line, uint16_t port,
			    bool is_answer)
{
	const enum policy policy = policy_of(leg);
	const bool sdes = line->mode ? line->mode == MODE_SDES
				     : policy == POLICY_REQUIRE ||
					       (policy == POLICY_OFFER &&
						leg->secure->attempt != TRY_PLAIN);

	if (sdes)
		put_sdes(text, line);
	if (is_dtls(leg, line))
		put_dtls(text, leg, line, is_answer);
	if (line->has_ice)
		put_ice(text, leg, line, port, line->mux);
}

static void print_line(struct sdesc_hop *hop, char *text, struct leg *leg, size_t i,
		       const struct sdesc_media *media, uint16_t port, bool is_answer)
{
	struct line *line = line_of(leg, i), *transport = transport_of(leg, i);
	char id[16];

	if (!line || !transport || !sdesc_is_rtp(media->proto))
		return;

	hop->proto = proto_of(leg, line, media);
	if (!port)
		return;
	if (!is_answer && !line->mode && policy_of(leg) == POLICY_WEBRTC)
		begin(line, i);

	hop->rtcp_mux = line->mux;
	if (line->mid[0])
		(void)sdesc_put_attr(text, TEXT_BYTES, "mid", line->mid);
	if (!line->rides || i == leg->secure->tagged)
		print_transport(text, leg, transport, port, is_answer);
	if (is_dtls(leg, line)) { /* a browser groups tracks by the first word */
		(void)re_snprintf(id, sizeof(id), "aoide a%zu", i);
		(void)sdesc_put_attr(text, TEXT_BYTES, "msid", id);
	}
	hop->text = text;
}

/*
 * What rides, and in an offer also what may (each with a port of its own, that who knows no bundle
 * takes). The tagged line comes first (RFC 9143 section 7.2).
 */
static bool put_group(char *text, struct leg *leg, const struct sdesc *desc,
		      const struct sdesc_print_opts *opts, bool is_answer)
{
	char group[SDESC_MAX_MEDIA * (SDESC_MAX_MID + 1) + 8] = "BUNDLE";
	const size_t first = leg->secure->carrier ? leg->secure->tagged : 0;
	bool any = false;

	for (size_t k = 0; k < desc->n_media; k++) {
		const size_t i = !k ? first : k <= first ? k - 1 : k;
		struct line *line = i < desc->n_media ? leg->secure->lines[i] : NULL;

		if (!line)
			continue;
		line->grouped = desc->media[i].port && opts->ports[i] && line->mid[0] && line->mux &&
				(line->rides || (!is_answer && policy_of(leg) == POLICY_WEBRTC &&
						 is_told_apart(desc, i)));
		if (!line->grouped)
			continue;
		(void)re_snprintf(group + strlen(group), sizeof(group) - strlen(group), " %s", line->mid);
		any = true;
	}
	return any && sdesc_put_attr(text, TEXT_BYTES, "group", group);
}

static void print_session(char *text, struct leg *leg, const struct sdesc *desc,
			  const struct sdesc_print_opts *opts, bool is_answer)
{
	bool ice = false;

	(void)put_group(text, leg, desc, opts, is_answer);
	for (size_t i = 0; i < desc->n_media; i++) {
		const struct line *line = leg->secure->lines[i] ? transport_of(leg, i) : NULL;

		ice = ice || (line && desc->media[i].port && opts->ports[i] && line->has_ice &&
			      !line->remote_lite);
	}
	if (ice)
		(void)sdesc_put_attr(text, TEXT_BYTES, "ice-lite", NULL);
}

void leg_secure_print(struct leg *leg, const struct sdesc *desc, struct sdesc_print_opts *opts)
{
	static struct sdesc_hop hops[SDESC_MAX_MEDIA];
	static char texts[SDESC_MAX_MEDIA][TEXT_BYTES], session[TEXT_BYTES];
	const bool is_answer = leg->inv && inv_owes_answer(leg->inv);

	if (leg->direct || !line_of(leg, 0))
		return;

	for (size_t i = 0; i < desc->n_media; i++) {
		texts[i][0] = '\0';
		hops[i] = (struct sdesc_hop){ 0 };
		print_line(&hops[i], texts[i], leg, i, &desc->media[i],
			   desc->media[i].port ? opts->ports[i] : 0, is_answer);
	}
	session[0] = '\0';
	print_session(session, leg, desc, opts, is_answer);
	opts->hops = hops;
	opts->session_text = session;
}
