/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <string.h>
#include "base/log.h"
#include "sip/edge_priv.h"
#include "sip/registrar.h"

/* A dialog as bytes: enough to end it politely after a restart. */

#define STATE_CSEQ_GAP 10 /* requests since it was stored */

/* Appends a text with its end; false: it does not fit. */
static bool put_text(char *buf, size_t size, size_t *len, const char *text, size_t text_len)
{
	if (size - *len <= text_len)
		return false;
	memcpy(buf + *len, text, text_len);
	buf[*len + text_len] = '\0';
	*len += text_len + 1;
	return true;
}

int inv_export(const struct inv *inv, char *buf, size_t size)
{
	struct inv_state_head head = { .magic = INV_STATE_MAGIC };
	size_t len = sizeof(head);
	enum sip_transp tp;
	struct sa dst;

	if (inv->state == INV_ST_ENDED || inv_dialog_hop(inv, &dst, &tp))
		return -ENOTCONN;
	if (size > INV_STATE_MAX)
		size = INV_STATE_MAX;
	if (size < len)
		return -EMSGSIZE;
	head.cseq = inv->lseq;
	head.rcseq = inv->rseq;
	head.tp = (uint16_t)tp;
	head.port = sa_port(&dst);
	edge_addr16(head.addr, &dst);
	memcpy(buf, &head, sizeof(head));

	if (!put_text(buf, size, &len, inv->callid, strlen(inv->callid)) ||
	    !put_text(buf, size, &len, inv->ltag, strlen(inv->ltag)) ||
	    !put_text(buf, size, &len, inv->dlg->rtag, strlen(inv->dlg->rtag)) ||
	    !put_text(buf, size, &len, inv->fixed, strlen(inv->fixed)) ||
	    !put_text(buf, size, &len, inv->dlg->head, inv->dlg->head_len) ||
	    !put_text(buf, size, &len, inv_dlg_target(inv->dlg), strlen(inv_dlg_target(inv->dlg))))
		return -EMSGSIZE;
	return (int)len;
}

/* What inv_export() wrote, with the texts where they are. */
struct state {
	struct inv_state_head head;
	const char *callid, *ltag, *rtag, *from, *lines, *target;
};

static int read_state(struct state *state, const char *buf, size_t len)
{
	const char **const texts[] = { &state->callid, &state->ltag,  &state->rtag,
				       &state->from,   &state->lines, &state->target };
	const char *p = buf + sizeof(state->head), *end = buf + len;

	if (len < sizeof(state->head) || len > INV_STATE_MAX)
		return -EBADMSG;
	memcpy(&state->head, buf, sizeof(state->head));
	if (state->head.magic != INV_STATE_MAGIC || state->head.tp >= SIP_TRANSPC)
		return -EBADMSG;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *nul = memchr(p, '\0', (size_t)(end - p));

		if (!nul)
			return -EBADMSG;
		*texts[i] = p;
		p = nul + 1;
	}
	return 0;
}

/* Lines that we print as they are: each must end with CRLF and hold no empty line. */
static bool are_lines(const char *text)
{
	const size_t len = str_len(text);

	return len > 2 && !strcmp(text + len - 2, "\r\n") && !strstr(text, "\r\n\r\n");
}

struct lost_conn {
	struct sa src; /* its far end, where nobody listens */
	enum sip_transp tp;
	struct sa dst; /* where the phone that registered over it listens */
	bool found;
};

static bool is_of_conn(const struct reg_contact *contact, void *arg)
{
	struct lost_conn *lost = arg;

	if (contact->tp != (int)lost->tp || !sa_cmp(&contact->src, &lost->src, SA_ALL))
		return false;
	lost->dst = contact->dst;
	lost->found = !sa_cmp(&contact->dst, &lost->src, SA_ALL);
	return true;
}

/*
 * The connection that the phone had made died with the process, and nobody listens at its far end: a
 * new one goes where the phone registered, else to the Contact of the dialog (RFC 3261, 18.1.1). The
 * registration comes first, since some phones put the port of their connection into that Contact.
 * Behind NAT both fail.
 */
static void listening_address(struct sa *dst, const struct registrar *reg, const char *target,
			      enum sip_transp tp)
{
	struct lost_conn lost = { .src = *dst, .tp = tp };
	struct pl pl;
	struct uri uri;
	struct sa addr;

	if (reg)
		reg_apply(reg, is_of_conn, &lost);
	if (lost.found) {
		*dst = lost.dst;
		return;
	}

	pl_set_str(&pl, target);
	if (uri_decode(&uri, &pl) || sa_set(&addr, &uri.host, uri.port))
		return; /* a name: no server is asked for the sake of one BYE */
	if (!uri.port)
		sa_set_port(&addr, tp == SIP_TRANSP_TLS ? SIP_PORT_TLS : SIP_PORT);
	*dst = addr;
}

static int bye_from(struct inv *inv, struct edge *edge, const struct state *state)
{
	const size_t head_len = strlen(state->lines), target_len = strlen(state->target);
	const size_t from_len = strlen(state->from), callid_len = strlen(state->callid);
	struct inv_dlg *dlg;
	struct sa mapped;

	if (!are_lines(state->lines) || !are_lines(state->from) || !target_len ||
	    strpbrk(state->target, " \r\n") || !*state->rtag || head_len > INV_MAX_HEAD)
		return -EBADMSG;
	inv->tp = (enum sip_transp)state->head.tp;
	if (inv->tp == SIP_TRANSP_WS || inv->tp == SIP_TRANSP_WSS)
		return 0; /* the browser's connection died with the process; nobody can be called */
	sa_set_in6(&mapped, state->head.addr, state->head.port);
	edge_sa_unmap(&inv->dst, &mapped);
	if (inv->tp == SIP_TRANSP_TCP || inv->tp == SIP_TRANSP_TLS)
		listening_address(&inv->dst, edge_registrar(edge), state->target, inv->tp);
	inv->peer = inv->dst;
	inv->has_dst = true;
	inv->state = INV_ST_ENDED;
	inv->ended_queued = true;
	inv->lseq = state->head.cseq + STATE_CSEQ_GAP;
	str_ncpy(inv->ltag, state->ltag, sizeof(inv->ltag));

	/* The blocks of a call and of a dialog by hand: the messages that made them are gone. */
	inv->text = mem_alloc(from_len + callid_len + 2, NULL);
	if (!inv->text)
		return -ENOMEM;
	inv->fixed = strcpy(inv->text, state->from);
	inv->callid = strcpy(inv->text + from_len + 1, state->callid);
	inv->contact_user = "";

	dlg = mem_zalloc(sizeof(*dlg) + head_len + target_len + strlen(state->rtag) + 3, NULL);
	if (!dlg)
		return -ENOMEM;
	dlg->head = strcpy((char *)(dlg + 1), state->lines);
	dlg->head_len = head_len;
	dlg->target = strcpy((char *)(dlg + 1) + head_len + 1, state->target);
	dlg->rtag = strcpy((char *)(dlg + 1) + head_len + target_len + 2, state->rtag);
	inv->dlg = dlg;
	return inv_send_request(NULL, inv, dlg, &(struct inv_req){ .method = INV_BYE, .q850 = 41 });
}

int inv_bye_exported(struct edge *edge, const char *buf, size_t len)
{
	struct inv_ctx *ctx = NULL;
	struct inv *inv = NULL;
	struct state state;
	int err;

	err = read_state(&state, buf, len);
	if (err)
		return err;
	err = inv_ctx_get(&ctx, edge);
	if (!err)
		err = inv_alloc(&inv, ctx, NULL, NULL);
	if (!err)
		err = bye_from(inv, edge, &state);
	if (err)
		log_warn("sip.recovery_bye", "a dialog of the last run cannot be ended",
			 kv_text("callid", state.callid), kv_err(err));

	mem_deref(inv); /* the transaction holds it now */
	mem_deref(ctx);
	return err;
}
