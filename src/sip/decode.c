/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIP messages into libre's struct sip_msg, with one block of memory for all headers.
 *
 * libre allocates each header of each message, and looks at every character in every way: a third of a
 * busy switch's instructions. This function takes the place of libre's through the symbol table, as the
 * timers do (base/timer.h). It accepts, refuses and finds the same; a test compares both.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#pragma GCC visibility push(default)
#include "base/re.h"
#pragma GCC visibility pop

#include "sip/decode.h"

/* Who keeps a header too long is found although its block will be used again. */
#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size)	((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#endif

#define HEADER_BUCKETS 32 /* as in libre */
#define BLOCK_HEADERS  20 /* of a usual INVITE, with the elements of lists */
#define START_LINE_MAX 8192

/* Blocks that wait to be used again: what was just used is still in the caches. */
#define MAX_SPARE 64

struct block {
	struct block *next;
	struct hash *ht; /* of the message; NULL in its further blocks */
	struct sip_hdr headers[BLOCK_HEADERS];
};

/* Headers are not memory objects of their own: nobody keeps one longer than its message. */
struct decoded {
	struct sip_msg msg;   /* first: this is what others see */
	struct block *blocks; /* the one that is filled now first */
	size_t n_left;	      /* free ones of it */
};

static _Thread_local struct {
	struct block *first;
	size_t n;
} spare;

/* Headers whose value is a list: each element is found by itself as well. Ids are hashes of 12 bits. */
static const bool is_list[0x1000] = {
	[SIP_HDR_ACCEPT] = true,
	[SIP_HDR_ACCEPT_CONTACT] = true,
	[SIP_HDR_ACCEPT_ENCODING] = true,
	[SIP_HDR_ACCEPT_LANGUAGE] = true,
	[SIP_HDR_ACCEPT_RESOURCE_PRIORITY] = true,
	[SIP_HDR_ALERT_INFO] = true,
	[SIP_HDR_ALLOW] = true,
	[SIP_HDR_ALLOW_EVENTS] = true,
	[SIP_HDR_AUTHENTICATION_INFO] = true,
	[SIP_HDR_CALL_INFO] = true,
	[SIP_HDR_CONTACT] = true,
	[SIP_HDR_CONTENT_ENCODING] = true,
	[SIP_HDR_CONTENT_LANGUAGE] = true,
	[SIP_HDR_ERROR_INFO] = true,
	[SIP_HDR_HISTORY_INFO] = true,
	[SIP_HDR_IN_REPLY_TO] = true,
	[SIP_HDR_P_ASSERTED_IDENTITY] = true,
	[SIP_HDR_P_ASSOCIATED_URI] = true,
	[SIP_HDR_P_EARLY_MEDIA] = true,
	[SIP_HDR_P_MEDIA_AUTHORIZATION] = true,
	[SIP_HDR_P_PREFERRED_IDENTITY] = true,
	[SIP_HDR_P_REFUSED_URI_LIST] = true,
	[SIP_HDR_P_VISITED_NETWORK_ID] = true,
	[SIP_HDR_PATH] = true,
	[SIP_HDR_PERMISSION_MISSING] = true,
	[SIP_HDR_PROXY_REQUIRE] = true,
	[SIP_HDR_REASON] = true,
	[SIP_HDR_RECORD_ROUTE] = true,
	[SIP_HDR_REJECT_CONTACT] = true,
	[SIP_HDR_REQUEST_DISPOSITION] = true,
	[SIP_HDR_REQUIRE] = true,
	[SIP_HDR_RESOURCE_PRIORITY] = true,
	[SIP_HDR_ROUTE] = true,
	[SIP_HDR_SECURITY_CLIENT] = true,
	[SIP_HDR_SECURITY_SERVER] = true,
	[SIP_HDR_SECURITY_VERIFY] = true,
	[SIP_HDR_SERVICE_ROUTE] = true,
	[SIP_HDR_SUPPORTED] = true,
	[SIP_HDR_TRIGGER_CONSENT] = true,
	[SIP_HDR_UNSUPPORTED] = true,
	[SIP_HDR_VIA] = true,
	[SIP_HDR_WARNING] = true,
};

static const uint16_t compact_ids[] = {
	['a'] = SIP_HDR_ACCEPT_CONTACT, ['b'] = SIP_HDR_REFERRED_BY,
	['c'] = SIP_HDR_CONTENT_TYPE,	['d'] = SIP_HDR_REQUEST_DISPOSITION,
	['e'] = SIP_HDR_CONTENT_ENCODING, ['f'] = SIP_HDR_FROM,
	['i'] = SIP_HDR_CALL_ID,	['j'] = SIP_HDR_REJECT_CONTACT,
	['k'] = SIP_HDR_SUPPORTED,	['l'] = SIP_HDR_CONTENT_LENGTH,
	['m'] = SIP_HDR_CONTACT,	['n'] = SIP_HDR_IDENTITY_INFO,
	['o'] = SIP_HDR_EVENT,		['r'] = SIP_HDR_REFER_TO,
	['s'] = SIP_HDR_SUBJECT,	['t'] = SIP_HDR_TO,
	['u'] = SIP_HDR_ALLOW_EVENTS,	['v'] = SIP_HDR_VIA,
	['x'] = SIP_HDR_SESSION_EXPIRES, ['y'] = SIP_HDR_IDENTITY,
};

static enum sip_hdrid id_of(const struct pl *name)
{
	const uint8_t lower = (uint8_t)name->p[0] | 0x20;

	if (name->l > 1) {
		if (lower == 'x' && name->p[1] == '-')
			return SIP_HDR_NONE;
		return (enum sip_hdrid)(hash_joaat_ci(name->p, name->l) & 0xfff);
	}
	if (lower >= ARRAY_SIZE(compact_ids) || !compact_ids[lower])
		return SIP_HDR_NONE;
	return (enum sip_hdrid)compact_ids[lower];
}

/* ------------------------------------------------------------------ memory */

static void block_free(struct block *block)
{
	mem_deref(block->ht);
	free(block);
}

/* The first block of a message, with its table. */
static struct block *block_take(void)
{
	struct block *block = spare.first;

	if (block) {
		spare.first = block->next;
		spare.n--;
		block->next = NULL;
		ASAN_UNPOISON_MEMORY_REGION(block->headers, sizeof(block->headers));
		return block;
	}

	block = malloc(sizeof(*block));
	if (!block)
		return NULL;
	block->next = NULL;
	if (hash_alloc(&block->ht, HEADER_BUCKETS)) {
		free(block);
		return NULL;
	}
	return block;
}

static void block_give(struct block *block)
{
	if (!block->ht || spare.n == MAX_SPARE) {
		block_free(block);
		return;
	}
	memset(hash_list(block->ht, 0), 0, HEADER_BUCKETS * sizeof(struct list)); /* all lists in a row */
	ASAN_POISON_MEMORY_REGION(block->headers, sizeof(block->headers));
	block->next = spare.first;
	spare.first = block;
	spare.n++;
}

void decode_forget_headers(struct sip_msg *msg)
{
	struct decoded *decoded = (struct decoded *)msg;
	struct block *block;

	while ((block = decoded->blocks)) {
		decoded->blocks = block->next;
		block_give(block);
	}
	decoded->n_left = 0;
	msg->hdrht = NULL; /* no header is found */
	list_init(&msg->hdrl);
}

static void decoded_destructor(void *arg)
{
	struct decoded *decoded = arg;

	decode_forget_headers(&decoded->msg);
	mem_deref(decoded->msg.sock);
	mem_deref(decoded->msg.mb);
}

static int decoded_alloc(struct decoded **ret, struct mbuf *mb)
{
	struct decoded *decoded = mem_zalloc(sizeof(*decoded), decoded_destructor);

	if (!decoded)
		return ENOMEM;
	decoded->msg.mb = mem_ref(mb);
	decoded->msg.tag = rand_u64();
	decoded->blocks = block_take();
	if (!decoded->blocks) {
		mem_deref(decoded);
		return ENOMEM;
	}
	decoded->n_left = BLOCK_HEADERS;
	decoded->msg.hdrht = decoded->blocks->ht;
	*ret = decoded;
	return 0;
}

static struct sip_hdr *header_new(struct decoded *decoded)
{
	struct block *block = decoded->blocks;
	struct sip_hdr *hdr;

	if (!decoded->n_left) {
		block = malloc(sizeof(*block));
		if (!block)
			return NULL;
		block->ht = NULL;
		block->next = decoded->blocks;
		decoded->blocks = block;
		decoded->n_left = BLOCK_HEADERS;
	}
	hdr = &block->headers[BLOCK_HEADERS - decoded->n_left--];
	memset(&hdr->le, 0, sizeof(hdr->le));
	memset(&hdr->he, 0, sizeof(hdr->he));
	return hdr;
}

/* ------------------------------------------------------------------ headers */

/* What every user of a message asks for is taken apart at once. */
static int note_header(struct sip_msg *msg, const struct sip_hdr *hdr, bool is_element)
{
	int err;

	switch (hdr->id) {
	case SIP_HDR_VIA:
		if (!is_element || pl_isset(&msg->via.sentby))
			return 0;
		return sip_via_decode(&msg->via, &hdr->val);
	case SIP_HDR_TO:
		err = sip_addr_decode((struct sip_addr *)&msg->to, &hdr->val);
		if (err)
			return err;
		(void)msg_param_decode(&msg->to.params, "tag", &msg->to.tag);
		msg->to.val = hdr->val;
		return 0;
	case SIP_HDR_FROM:
		err = sip_addr_decode((struct sip_addr *)&msg->from, &hdr->val);
		if (err)
			return err;
		(void)msg_param_decode(&msg->from.params, "tag", &msg->from.tag);
		msg->from.val = hdr->val;
		return 0;
	case SIP_HDR_CALL_ID:
		msg->callid = hdr->val;
		return 0;
	case SIP_HDR_CSEQ:
		return sip_cseq_decode(&msg->cseq, &hdr->val);
	case SIP_HDR_MAX_FORWARDS:
		msg->maxfwd = hdr->val;
		return 0;
	case SIP_HDR_CONTENT_TYPE:
		return msg_ctype_decode(&msg->ctyp, &hdr->val);
	case SIP_HDR_CONTENT_LENGTH:
		msg->clen = hdr->val;
		return 0;
	case SIP_HDR_EXPIRES:
		msg->expires = hdr->val;
		return 0;
	default:
		return 0;
	}
}

/* is_element: one of a list, or all there is; is_line: as it stands in the message. Of Via and Route
 * only elements count. */
static int add_header(struct decoded *decoded, const struct pl *name, enum sip_hdrid id,
		      const char *p, const char *end, bool is_element, bool is_line)
{
	struct sip_msg *msg = &decoded->msg;
	struct sip_hdr *hdr = header_new(decoded);

	if (!hdr)
		return ENOMEM;
	hdr->name = *name;
	hdr->val.p = p;
	hdr->val.l = end > p ? (size_t)(end - p) : 0;
	hdr->id = id;

	if (id == SIP_HDR_VIA || id == SIP_HDR_ROUTE)
		is_line = is_element;
	if (is_element)
		hash_append(msg->hdrht, (uint32_t)id, &hdr->he, hdr);
	if (is_line)
		list_append(&msg->hdrl, &hdr->le, hdr);

	return note_header(msg, hdr, is_element);
}

/* ------------------------------------------------------------------ text */

enum {
	IN_NAME = 1, /* ends a run of characters of a name */
	IN_VALUE = 2,
	IN_LIST = 4,
	IN_WORD = 8, /* of the start line */
	IN_REST = 16,
};

static const uint8_t stops[256] = {
	[' '] = IN_NAME | IN_VALUE | IN_LIST | IN_WORD,
	['\t'] = IN_NAME | IN_VALUE | IN_LIST | IN_WORD,
	['\r'] = IN_NAME | IN_VALUE | IN_LIST | IN_WORD | IN_REST,
	['\n'] = IN_NAME | IN_VALUE | IN_LIST | IN_WORD | IN_REST,
	[':'] = IN_NAME,
	['"'] = IN_VALUE | IN_LIST,
	[','] = IN_LIST,
};

static const char *skip(const char *p, const char *end, uint8_t what)
{
	while (p < end && !(stops[(uint8_t)*p] & what))
		p++;
	return p;
}

/* "A B C" and the end of the line. */
static const char *start_line(struct pl word[3], const char *p, const char *end)
{
	for (int i = 0; i < 3; i++) {
		word[i].p = p;
		p = skip(p, end, i < 2 ? IN_WORD : IN_REST);
		word[i].l = (size_t)(p - word[i].p);
		if (i < 2 && (!word[i].l || p == end || *p++ != ' '))
			return NULL;
	}
	while (p < end && *p == '\r')
		p++;
	return p < end && *p == '\n' ? p + 1 : NULL;
}

static int take_start_line(struct sip_msg *msg, const struct pl word[3])
{
	msg->req = !pl_strcmp(&word[2], "SIP/2.0");
	if (msg->req) {
		msg->met = word[0];
		msg->ruri = word[1];
		msg->ver = word[2];
		return uri_decode(&msg->uri, &msg->ruri) ? EBADMSG : 0;
	}
	msg->ver = word[0];
	msg->scode = (uint16_t)pl_u32(&word[1]);
	msg->reason = word[2];
	return msg->scode ? 0 : EBADMSG;
}

/* Where in a header the reading is. */
struct reader {
	struct decoded *decoded;
	struct pl name; /* p NULL: before it; l 0: in it */
	enum sip_hdrid id;
	bool is_list;
	const char *line;    /* its value, NULL: not begun */
	const char *element; /* of a list, or the same as line */
	size_t spaces;	     /* in front of p */
	bool in_quote;
};

/* An element, and at the end of its header the line that it belongs to. */
static int end_of_value(struct reader *r, const char *p, bool at_line_end)
{
	const char *end = p - r->spaces;
	int err;

	if (!r->name.l)
		return EBADMSG;
	err = add_header(r->decoded, &r->name, r->id, r->element ? r->element : p,
			 r->element ? end : p, true, at_line_end && r->element == r->line);
	if (!err && at_line_end && r->element != r->line)
		err = add_header(r->decoded, &r->name, r->id, r->line ? r->line : p,
				 r->line ? end : p, false, true);
	r->element = NULL;
	if (at_line_end) {
		r->name.p = NULL;
		r->name.l = 0;
		r->line = NULL;
	}
	return err;
}

/* A character that is no white space; returns where the next one to look at is, NULL: malformed. */
static const char *take_char(struct reader *r, const char *p, const char *end)
{
	if (!r->name.p) {
		r->name.p = p;
		r->spaces = 0;
	}
	if (!r->name.l) {
		if (*p != ':') {
			r->spaces = 0;
			return skip(p + 1, end, IN_NAME);
		}
		if (p <= r->name.p + r->spaces)
			return NULL;
		r->name.l = (size_t)(p - r->name.p) - r->spaces;
		r->id = id_of(&r->name);
		r->is_list = r->id != SIP_HDR_NONE && is_list[r->id];
		return p + 1;
	}

	if (!r->element) {
		r->in_quote = false;
		r->element = p;
	}
	if (!r->line)
		r->line = p;
	if (*p == '"')
		r->in_quote = !r->in_quote;
	r->spaces = 0;
	return skip(p + 1, end, r->is_list ? IN_LIST : IN_VALUE);
}

/* Reads headers up to the empty line; *at is then behind it. A line that begins with white space goes
 * on with the one before. */
static int headers(struct decoded *decoded, const char **at, const char *end)
{
	struct reader r = { .decoded = decoded };
	unsigned line_feeds = 0;
	const char *p = *at;
	int err;

	while (p < end) {
		const bool is_comma = *p == ',' && r.name.l && r.is_list && !r.in_quote;

		if (*p == ' ' || *p == '\t' || *p == '\r') {
			line_feeds = *p == '\r' ? line_feeds : 0;
			r.spaces++;
			p++;
			continue;
		}
		if (*p == '\n') {
			r.spaces++;
			p++;
			if (!line_feeds++)
				continue;
			*at = p;
			return end_of_value(&r, p, true);
		}
		if (line_feeds || is_comma) {
			err = end_of_value(&r, p, line_feeds > 0);
			if (err)
				return err;
			if (!line_feeds) {
				p++;
				continue;
			}
			line_feeds = 0;
		}
		p = take_char(&r, p, end);
		if (!p)
			return EBADMSG;
	}

	return ENODATA;
}

int sip_msg_decode(struct sip_msg **msgp, struct mbuf *mb)
{
	struct decoded *decoded = NULL;
	const char *p, *end;
	struct pl word[3];
	int err;

	if (!msgp || !mb)
		return EINVAL;

	p = (const char *)mbuf_buf(mb);
	end = p + mbuf_get_left(mb);
	p = start_line(word, p, end);
	if (!p)
		return mbuf_get_left(mb) > START_LINE_MAX ? EBADMSG : ENODATA;

	err = decoded_alloc(&decoded, mb);
	if (err)
		return err;
	err = take_start_line(&decoded->msg, word);
	if (!err)
		err = headers(decoded, &p, end);
	if (err) {
		mem_deref(decoded);
		return err;
	}

	*msgp = &decoded->msg;
	mb->pos = mb->end - (size_t)(end - p);
	return 0;
}
