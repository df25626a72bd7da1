/* SPDX-License-Identifier: Apache-2.0 */
#include "sip/inv_priv.h"

#include <errno.h>
#include <string.h>
#include "base/json.h"
#include "base/log.h"
#include "sip/edge.h"
#include "sip/registrar.h"

/* A dialog as text: enough to end it politely after a restart. */

#define STATE_VERSION  1
#define STATE_CSEQ_GAP 10 /* requests since the text was stored */

int inv_export(const struct inv *inv, char *buf, size_t size)
{
	enum sip_transp tp;
	struct sa dst;
	char addr[80];
	json_t *obj;
	size_t len;

	if (inv->state == INV_ST_ENDED || inv_dialog_hop(inv, &dst, &tp))
		return -ENOTCONN;
	if (re_snprintf(addr, sizeof(addr), "%J", &dst) < 0)
		return -EMSGSIZE;
	obj = json_pack("{si,ss,ss,ss,ss,ss,ss,sI,sI,ss,si}", "v", STATE_VERSION, "callid",
			inv->callid, "ltag", inv->ltag, "rtag", inv->dlg->rtag, "from", inv->fixed,
			"head", inv->dlg->head, "target", inv_dlg_target(inv->dlg), "cseq",
			(json_int_t)inv->lseq, "rcseq", (json_int_t)inv->rseq, "dst", addr, "tp",
			(int)tp);
	if (!obj) /* text that is not UTF-8 cannot be JSON */
		return -EILSEQ;
	len = json_dumpb(obj, buf, size, JSON_COMPACT);
	json_decref(obj);
	if (!len || len >= size || len > INV_STATE_MAX)
		return -EMSGSIZE;
	buf[len] = '\0';
	return (int)len;
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

static int bye_from(struct inv *inv, struct edge *edge, const json_t *obj)
{
	const char *head = js_str(obj, "head", ""), *from = js_str(obj, "from", "");
	const char *target = js_str(obj, "target", ""), *rtag = js_str(obj, "rtag", "");
	struct inv_dlg *dlg;
	int err;

	if (!are_lines(head) || !are_lines(from) || !*target || strpbrk(target, " \r\n") ||
	    !*rtag || strlen(head) > INV_MAX_HEAD)
		return -EBADMSG;
	inv->tp = (enum sip_transp)js_int(obj, "tp", SIP_TRANSP_UDP);
	if ((int)inv->tp < 0 || inv->tp >= SIP_TRANSPC ||
	    sa_decode(&inv->dst, js_str(obj, "dst", ""), strlen(js_str(obj, "dst", ""))))
		return -EBADMSG;
	if (inv->tp == SIP_TRANSP_WS || inv->tp == SIP_TRANSP_WSS)
		return 0; /* the browser's connection died with the process; nobody can be called */
	if (inv->tp == SIP_TRANSP_TCP || inv->tp == SIP_TRANSP_TLS)
		listening_address(&inv->dst, edge_registrar(edge), target, inv->tp);
	inv->peer = inv->dst;
	inv->has_dst = true;
	inv->state = INV_ST_ENDED;
	inv->ended_queued = true;
	inv->lseq = (uint32_t)js_int(obj, "cseq", 0) + STATE_CSEQ_GAP;
	str_ncpy(inv->ltag, js_str(obj, "ltag", ""), sizeof(inv->ltag));
	err = inv_set_text(&inv->text, from, strlen(from));
	if (err)
		return err;
	inv->fixed = inv->text;
	inv->callid = js_str(obj, "callid", "");
	inv->contact_user = "";

	/* The block of a dialog by hand: the messages that made it are gone. */
	dlg = mem_zalloc(sizeof(*dlg) + strlen(head) + strlen(target) + strlen(rtag) + 3, NULL);
	if (!dlg)
		return -ENOMEM;
	dlg->head = strcpy((char *)(dlg + 1), head);
	dlg->head_len = strlen(head);
	dlg->target = strcpy((char *)(dlg + 1) + dlg->head_len + 1, target);
	dlg->rtag = strcpy((char *)(dlg + 1) + dlg->head_len + strlen(target) + 2, rtag);
	inv->dlg = dlg;
	return inv_send_request(NULL, inv, dlg, &(struct inv_req){ .method = INV_BYE, .q850 = 41 });
}

int inv_bye_exported(struct edge *edge, const char *state)
{
	struct inv_ctx *ctx = NULL;
	struct inv *inv = NULL;
	json_t *obj = NULL;
	int err;

	if (strlen(state) > INV_STATE_MAX)
		return -EMSGSIZE;
	err = js_parse(&obj, state, strlen(state), NULL, 0);
	if (err)
		return err;
	if (js_int(obj, "v", 0) != STATE_VERSION) {
		err = -EBADMSG;
		goto out;
	}
	err = inv_ctx_get(&ctx, edge);
	if (!err)
		err = inv_alloc(&inv, ctx, NULL, NULL);
	if (!err)
		err = bye_from(inv, edge, obj);
	if (err)
		log_warn("sip.recovery_bye", "a dialog of the last run cannot be ended",
			 kv_text("callid", js_str(obj, "callid", "")), kv_err(err));

out:
	mem_deref(inv); /* the transaction holds it now */
	mem_deref(ctx);
	json_decref(obj);
	return err;
}
