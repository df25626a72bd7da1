/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AOIDE_SIP_SDESC_H
#define AOIDE_SIP_SDESC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/re.h"

/*
 * A session description as a B2BUA needs it (RFC 4566/8866, 3264): parsed strictly enough to trust,
 * kept losslessly enough to hand on. Not libre's sdp_session: that one answers for itself, ours
 * carries what one side said to the other. All memory hangs on the struct and is one block as big as
 * the text needs (mem_deref); arrays may be reordered and shortened in place, not lengthened.
 */
#define SDESC_MAX_BYTES   (32 * 1024)
#define SDESC_MAX_MEDIA   8
#define SDESC_MAX_FORMATS 64  /* browsers offer some 40 of video */
#define SDESC_MAX_ATTRS   256 /* per section; four or five per format of video, and candidates */

enum sdesc_dir { SDESC_INACTIVE = 0, SDESC_SENDONLY = 1, SDESC_RECVONLY = 2, SDESC_SENDRECV = 3 };
enum sdesc_kind { SDESC_AUDIO, SDESC_VIDEO, SDESC_IMAGE, SDESC_OTHER };
/* Error correction of fax datagrams (T.38 annex D); each one includes what is before it. */
enum sdesc_t38_ec { SDESC_T38_UNSAID, SDESC_T38_NONE, SDESC_T38_REDUNDANCY, SDESC_T38_FEC };

struct sdesc_format {
	char id[16];          /* payload type as text, or "t38" */
	int pt;               /* -1 when not a number */
	char name[24];        /* rtpmap encoding name, or the static one (RFC 3551) */
	uint32_t clock_hz;
	uint8_t channels;     /* 1 unless told */
	const char *fmtp;     /* or NULL */
};

struct sdesc_attr {
	const char *name, *value; /* value NULL: flag */
};

struct sdesc_media {
	enum sdesc_kind kind;
	char kind_text[16];   /* "audio" */
	char proto[32];       /* "RTP/AVP" */
	uint16_t port;        /* 0: refused */
	struct sa rtp, rtcp;  /* address from c= and port; rtcp by a=rtcp or port + 1 */
	bool rtcp_mux;
	bool bundled;         /* in the a=group:BUNDLE (RFC 9143) */
	bool bundle_only;     /* said port 0 and means no refusal: port and addresses are the tagged line's */
	enum sdesc_dir dir;   /* what it amounts to: nothing can be sent to c=0.0.0.0 */
	enum sdesc_dir dir_said; /* as it was written: what an answer answers */
	uint8_t ptime_ms;     /* 0 not told */
	struct sdesc_format *formats; /* SDESC_MAX_FORMATS at most */
	size_t n_formats;
	struct sdesc_attr *attrs; /* others: not rtpmap, fmtp, direction, ptime, rtcp, rtcp-mux */
	size_t n_attrs;
	uint32_t bandwidth_as;
	uint16_t t38_max_datagram; /* 0 not told */
	enum sdesc_t38_ec t38_ec;
};

struct sdesc {
	uint64_t origin_id, origin_version;
	struct sdesc_media *media; /* SDESC_MAX_MEDIA at most */
	size_t n_media;
	bool bundle;          /* a=group:BUNDLE was there, and names a line */
	size_t tagged;        /* of a bundle: the line that describes the transport */
	struct sdesc_attr *attrs; /* of session level: those that media lines keep in attrs */
	size_t n_attrs;
};

/* -EBADMSG: not SDP, or an address that we never resolve (the offset is in a debug log line; answer
 * 400/488); -EMSGSIZE: over the limits. */
int sdesc_parse(struct sdesc **ret, const char *text, size_t len);
/* A deep copy to change, as small as what is in it now. */
int sdesc_copy(struct sdesc **ret, const struct sdesc *desc);

struct sdesc_hop { /* what one m-line says on this hop only */
	const char *proto; /* NULL: as the line says */
	const char *text;  /* whole "a=...\r\n" lines (sip/sdesc_secure.h), or NULL */
	bool rtcp_mux;
};

/*
 * A description of n_media empty lines (RTP addresses unset, no formats) to be filled, with room for
 * SDESC_MAX_FORMATS formats each, which is 4 KiB a line: what is kept for a call is a copy of it.
 * Texts and attributes may be those of a and b (NULL: none), which live as long; a and b must have
 * been parsed or be copies of such, so that no chain grows.
 */
int sdesc_alloc(struct sdesc **ret, size_t n_media, const struct sdesc *a, const struct sdesc *b);

struct sdesc_print_opts {
	const struct sa *addr;   /* our address in o= and c= */
	uint64_t origin_id, origin_version;
	const uint16_t *ports;   /* one per m-line: our RTP port; 0 refuses the line */
	const struct sdesc_hop *hops;  /* one per m-line, or NULL */
	const char *session_text;      /* whole lines before the first m-line, or NULL */
	bool keep_addresses;     /* direct media: the lines keep the peer's address and port; ports is unused */
};
/* Prints desc with our addresses and ports; host candidates, ICE, crypto and fingerprint attributes
 * of the other side are never handed on; ours come in hops. Without hops proto is printed as it
 * stands.
 * rtcp_mux prints a=rtcp-mux.
 * buf NUL terminated. Returns length or -EMSGSIZE. */
int sdesc_print(const struct sdesc *desc, char *buf, size_t size, const struct sdesc_print_opts *o);

/* True for SRTP by SDES or DTLS ("RTP/SAVP", "UDP/TLS/RTP/SAVPF"). */
bool sdesc_is_secure(const struct sdesc_media *media);
/* Reverse direction, as an answerer sees it. */
enum sdesc_dir sdesc_dir_reverse(enum sdesc_dir dir);
/* First audio line that is not refused; NULL none. */
struct sdesc_media *sdesc_audio(struct sdesc *desc);
/* "RTP/AVP", "UDP/TLS/RTP/SAVPF"...; not "udptl". */
bool sdesc_is_rtp(const char *proto);
/* A real codec: not telephone-event, comfort noise or redundancy. */
bool sdesc_is_codec(const struct sdesc_format *format);
/* Accompanies a codec and is none: telephone-event, CN, red. */
bool sdesc_is_companion(const struct sdesc_format *format);
/* enum snap_codec of a format (BASE-51), -1: one that no list can hold. */
int sdesc_snap_codec(const struct sdesc_format *format);
/* "name=12" of a format's fmtp; fallback when it is not there or no number. */
uint32_t sdesc_fmtp_number(const struct sdesc_format *format, const char *name, uint32_t fallback);
/* First format that is one; NULL none. */
const struct sdesc_format *sdesc_codec(const struct sdesc_media *media);

#endif
